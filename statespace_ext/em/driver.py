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


@dataclass(frozen=True)
class EMOptions:
    """
    When to stop, and what to tell on the way.

    Attributes
    ----------
    maxiter : int
        Largest number of iterations.
    tolerance : float
        Stop when the log-likelihood changes by less than this, relative to its size, *and* every
        parameter changes by less than its square root, relative to its size, in one iteration.
        Zero: run exactly ``maxiter`` iterations.
    callback : callable, optional
        Called with the parameters after each iteration.
    report : callable, optional
        Called with (iteration, log-likelihood) after each E-step.
    """

    maxiter: int = 500
    tolerance: float = 1e-6
    callback: Callable[[Array], object] | None = None
    report: Callable[[int, float], object] | None = None


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
    """

    params: Array
    llf: float
    iterations: int
    converged: bool
    status: str
    trace: dict[str, list[float]] = field(repr=False)


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
    trace = Trace()
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
        if iteration and settled(change, moved, llf, options.tolerance):
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


def settled(change: float, moved: float, llf: float, tolerance: float) -> bool:
    """Tell whether the stopping rule of `EMOptions` is met."""
    if tolerance <= 0.0:
        return False
    return abs(change) <= tolerance * (1.0 + abs(llf)) and moved <= np.sqrt(tolerance)
