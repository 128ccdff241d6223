"""The EM iteration: E-step, updates, stopping rule, trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..numerics.linear_algebra import NOT_HERE, Array
from .moments import Expectation
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


class DeadEnd(Exception):  # noqa: N818  (it ends a search and is not an error)
    """
    A search runs towards what has no maximum.

    Attributes
    ----------
    reason : str
        Why the point does not exist, and what to do.
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


class Run:
    """
    A run of EM: the best point so far, and its record.

    Attributes
    ----------
    params, llf, iteration : ndarray, float, int
        The point, its log-likelihood, and the number of the iteration that led to it.
    updates : list of (str, callable)
        The M-step in order, with a new E-step between two cycles.
    trace : dict of list
        As in `EMResult`.
    """

    def __init__(
        self,
        start: Array,
        expectation: Expectation,
        loglike: Callable[[Array], float],
        cycles: list[list[NamedUpdate]],
        options: EMOptions,
    ) -> None:
        self.expectation, self.loglike, self.options = expectation, loglike, options
        self.params, self.llf, self.iteration = np.array(start, dtype=float), -np.inf, 0
        self.updates: list[NamedUpdate] = []
        for cycle in cycles:
            if self.updates:
                self.updates.append(("E-step", lambda params, _: (params, expectation(params))))
            self.updates += cycle
        self.rule = StoppingRule(options)
        self.trace: dict[str, list[float]] = {
            key: [] for key in ("iteration", "llf", "change", "params_change")
        }

    def arrive(self, params: Array, llf: float) -> EMResult | None:
        """Judge and accept a point that plain EM led to; return the result where the run ends."""
        first, change = not self.trace["llf"], llf - self.llf
        if first and not np.isfinite(llf):
            self.llf = llf
            return self.end("stopped: no log-likelihood at the start")
        number = 0 if first else self.iteration + 1
        if decreased(llf, self.llf):
            what = f"fell by {-change:.3g}" if np.isfinite(llf) else "does not exist"
            return self.end(
                f"stopped: the log-likelihood {what} at iteration {number}, in the update of {self.guilty()}"
            )
        moved = self.accept(params, llf, number)
        if not first and self.rule.is_met(change, moved, llf, params):
            return self.end("converged", True)
        if not self.updates:
            return self.end("nothing to estimate", True)
        if number == self.options.maxiter:
            return self.end("stopped: the number of iterations reached maxiter")
        return None

    def accept(self, params: Array, llf: float, iteration: int) -> float:
        """Take a point, with a row of the trace; return by how much the parameters changed."""
        first = not self.trace["llf"]
        moved, change = (np.nan, np.nan) if first else (relative_change(params, self.params), llf - self.llf)
        for key, value in zip(self.trace, (float(iteration), llf, change, moved), strict=True):
            self.trace[key].append(value)
        self.params, self.llf, self.iteration = params, llf, iteration
        if self.options.report is not None:
            self.options.report(iteration, llf)
        return moved

    def watched(self, params: Array, iteration: int) -> EMResult | None:
        """Show parameters to the callback and to the watch; return the result where this ends the run."""
        if self.options.callback is not None:
            self.options.callback(params)
        try:
            if self.options.watch is not None:
                self.options.watch(params)
        except DeadEnd as end:
            self.params, self.llf, self.iteration = end.params, self.loglike(end.params), iteration
            return self.end(end.reason, dead_end=True)
        return None

    def guilty(self) -> str:
        """Repeat an iteration one update at a time; name the first that lowers the log-likelihood."""
        params, value = self.params, self.loglike(self.params)
        moments = self.expectation(params)
        for name, update in self.updates:
            params, moments = update(params, moments)
            try:
                new = self.loglike(params)
            except NOT_HERE:
                return name
            if not new >= value - _ROUNDING * (1.0 + abs(value)):
                return name
            value = new
        return "no single block (rounding)"

    def end(self, status: str, converged: bool = False, dead_end: bool = False) -> EMResult:
        """Return the result."""
        return EMResult(self.params, self.llf, self.iteration, converged, status, self.trace, dead_end)


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
    run = Run(start, expectation, loglike, cycles, options)
    params, number = run.params, 0
    while True:
        try:
            moments = expectation(params)
        except NOT_HERE as error:
            if number == 0:
                raise
            return run.end(f"stopped: the filter failed at the parameters of iteration {number} ({error})")
        ended = run.arrive(params, moments.llf)
        if ended is not None:
            return ended
        try:
            for _, update in run.updates:
                params, moments = update(params, moments)
        except NOT_HERE as error:
            return run.end(f"stopped: the filter failed or an update did after iteration {number} ({error})")
        number += 1
        ended = run.watched(params, number)
        if ended is not None:
            return ended


def decreased(llf: float, previous: float) -> bool:
    """Tell whether a log-likelihood does not exist, or is lower than the one before by more than rounding."""
    return not np.isfinite(llf) or llf - previous < -_ROUNDING * (1.0 + abs(previous))


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
