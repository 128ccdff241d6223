"""The EM iteration: E-step, updates, stopping rule, trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..numerics.linear_algebra import NOT_HERE, Array
from .moments import Expectation, Moments
from .updates import NamedUpdate

_ROUNDING = 1e-9
"""A fall of the log-likelihood within this much of its size is rounding."""
_SOONEST, _LATEST = 0.5, 1e-3
"""Shares of the change of the log-likelihood at one verdict, at which the next is asked for."""


@dataclass(frozen=True)
class EMOptions:
    """
    When to stop, and what to tell on the way.

    Attributes
    ----------
    maxiter : int
        Largest number of iterations.
    tolerance : float
        Ask for the verdict when the log-likelihood changes by less than this, relative to its size, *and*
        every parameter changes by less than its square root, relative to its size, in one iteration.
        Zero: run exactly ``maxiter`` iterations.
    callback : callable, optional
        Called with the parameters after each iteration.
    report : callable, optional
        Called with (iteration, log-likelihood) after each E-step.
    shortfall : callable, optional
        The verdict: how many times too large the score, or what is left to gain, is at parameters; 1 or less
        at a maximum. Without it EM stops where the verdict would be asked for.
    watch : callable, optional
        Called with the parameters after each iteration; it raises `DeadEnd`.
    """

    maxiter: int = 500
    tolerance: float = 1e-6
    callback: Callable[[Array], object] | None = None
    report: Callable[[int, float], object] | None = None
    shortfall: Callable[[Array], float] | None = None
    watch: Callable[[Array], object] | None = None


class DeadEnd(Exception):  # noqa: N818  (it ends a search, it is no error)
    """
    A search runs towards what has no maximum.

    Attributes
    ----------
    reason : str
        Why there is none, and what to do.
    params : ndarray
        Free parameters at the last point before it.
    """

    def __init__(self, reason: str, params: Array) -> None:
        super().__init__(reason)
        self.reason, self.params = reason, params


@dataclass(frozen=True)
class EMResult:
    """
    Where EM ended.

    Attributes
    ----------
    params : ndarray
        The parameters.
    llf : float
        Their log-likelihood.
    iterations : int
        Number of M-steps.
    converged : bool
        Whether the stopping rule was met.
    status : str
        What ended the iteration, in words.
    trace : dict of list
        "iteration", "llf", "change", "params_change", one entry by E-step, the start values first.
    dead_end : bool
        Whether it ran towards what has no maximum, as ``status`` says.
    """

    params: Array
    llf: float
    iterations: int
    converged: bool
    status: str
    trace: dict[str, list[float]] = field(repr=False)
    dead_end: bool = False


class Trace:
    """
    The trace of a run.

    Attributes
    ----------
    columns : dict of list
        As in `EMResult`.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {
            key: [] for key in ("iteration", "llf", "change", "params_change")
        }

    def record(self, iteration: int, llf: float, moved: float) -> None:
        """Add a row."""
        before = self.columns["llf"][-1] if self.columns["llf"] else np.nan
        row = {"iteration": float(iteration), "llf": llf, "change": llf - before, "params_change": moved}
        for key, value in row.items():
            self.columns[key].append(value)


def run_em(
    start: Array,
    expectation: Expectation,
    loglike: Callable[[Array], float],
    cycles: list[list[NamedUpdate]],
    options: EMOptions,
) -> EMResult:
    """
    Run EM from start values.

    Parameters
    ----------
    start : ndarray
        Start values.
    expectation : callable
        The E-step.
    loglike : callable
        The log-likelihood, used to find out which update made it fall.
    cycles : list of list of (str, callable)
        Updates, grouped by the E-step that they share.
    options : EMOptions
        When to stop.
    """
    params = np.array(start, dtype=float)
    trace, rule = Trace(), StoppingRule(options)
    previous, llf, iteration = params, -np.inf, 0
    while True:
        try:
            moments = expectation(params)
        except NOT_HERE as error:
            if iteration == 0:
                raise
            status = f"stopped: the filter failed at the parameters of iteration {iteration} ({error})"
            return EMResult(previous, llf, iteration - 1, False, status, trace.columns)
        if iteration == 0 and not np.isfinite(moments.llf):
            return EMResult(
                params, moments.llf, 0, False, "stopped: no log-likelihood at the start", trace.columns
            )
        change = moments.llf - llf
        moved = relative_change(params, previous) if iteration else np.nan
        if fall(moments.llf, llf):
            name = guilty(previous, expectation, loglike, cycles)
            what = f"fell by {-change:.3g}" if np.isfinite(moments.llf) else "does not exist"
            status = f"stopped: the log-likelihood {what} at iteration {iteration}, in the update of {name}"
            return EMResult(previous, llf, iteration - 1, False, status, trace.columns)
        llf = moments.llf
        trace.record(iteration, llf, moved)
        if options.report is not None:
            options.report(iteration, llf)
        if iteration and rule.is_met(change, moved, llf, params):
            return EMResult(params, llf, iteration, True, "converged", trace.columns)
        if iteration == options.maxiter or not cycles:
            status = "stopped: the number of iterations reached maxiter" if cycles else "nothing to estimate"
            return EMResult(params, llf, iteration, not cycles, status, trace.columns)
        previous = params
        try:
            params = maximise(params, moments, expectation, cycles)
        except NOT_HERE as error:
            status = f"stopped: the filter failed or an update did after iteration {iteration} ({error})"
            return EMResult(params, llf, iteration, False, status, trace.columns)
        iteration += 1
        if options.callback is not None:
            options.callback(params)
        try:
            if options.watch is not None:
                options.watch(params)
        except DeadEnd as end:
            return EMResult(
                end.params, loglike(end.params), iteration, False, end.reason, trace.columns, True
            )


def maximise(
    params: Array, moments: Moments, expectation: Expectation, cycles: list[list[NamedUpdate]]
) -> Array:
    """Return the parameters after one pass through the cycles, the first with the moments given."""
    for number, cycle in enumerate(cycles):
        if number:
            moments = expectation(params)
        for _, update in cycle:
            params, moments = update(params, moments)
    return params


def fall(llf: float, previous: float) -> bool:
    """Tell whether a log-likelihood does not exist, or is lower than the one before by more than rounding."""
    return not np.isfinite(llf) or llf - previous < -_ROUNDING * (1.0 + abs(previous))


def guilty(
    params: Array,
    expectation: Expectation,
    loglike: Callable[[Array], float],
    cycles: list[list[NamedUpdate]],
) -> str:
    """Repeat an iteration one update at a time; name the first update that lowers the log-likelihood."""
    value = loglike(params)
    for cycle in cycles:
        moments = expectation(params)
        for name, update in cycle:
            params, moments = update(params, moments)
            try:
                new = loglike(params)
            except NOT_HERE:
                return name
            if not new >= value - _ROUNDING * (1.0 + abs(value)):
                return name
            value = new
    return "no single block (rounding)"


def relative_change(params: Array, previous: Array) -> float:
    """Return the largest relative change of a parameter; near zero, relative to the others."""
    if not len(params):
        return 0.0
    size = np.maximum(np.abs(params), np.abs(previous))
    floor = 1e-3 * size.max() + np.finfo(float).tiny
    return float((np.abs(params - previous) / np.maximum(size, min(floor, 1e-3))).max())


class StoppingRule:
    """
    The stopping rule of `EMOptions`.

    After a verdict that was no, the next is asked for when the change has fallen by what was too large.

    Parameters
    ----------
    options : EMOptions
        When to stop.
    """

    def __init__(self, options: EMOptions) -> None:
        self.options, self.largest = options, np.inf

    def is_small(self, change: float, moved: float, llf: float) -> bool:
        """Tell whether a change of the log-likelihood and of the parameters is below the tolerance."""
        tolerance = self.options.tolerance
        return tolerance > 0.0 and abs(change) <= tolerance * (1.0 + abs(llf)) and moved <= np.sqrt(tolerance)

    def is_met(self, change: float, moved: float, llf: float, params: Array) -> bool:
        """Tell whether a change of the log-likelihood and of the parameters, and the verdict, end the run."""
        if not self.is_small(change, moved, llf):
            return False
        if self.options.shortfall is None:
            return True
        size = abs(change)
        if size > self.largest:
            return False
        short = self.options.shortfall(params)
        if short <= 1.0:
            return True
        self.largest = size * max(min(1.0 / short, _SOONEST), _LATEST) if short > 1.0 else _SOONEST * size
        return False
