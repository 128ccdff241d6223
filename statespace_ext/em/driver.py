"""The EM iteration: E-step, updates, stopping rule, trace; and its acceleration by quasi-Newton steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..numerics.linear_algebra import NOT_HERE, Array
from .regressions import Expectation, Moments
from .updates import NamedUpdate

_ROUNDING = 1e-9
"""Relative decrease of the log-likelihood that counts as rounding."""
_SOONEST, _LATEST = 0.5, 1e-3
"""Shares of the change of the log-likelihood at one verdict, at which the next is asked for."""


@dataclass(frozen=True)
class EMOptions:
    """
    Stopping rule and callbacks.

    Attributes
    ----------
    maxiter : int
        Maximum number of iterations.
    tolerance : float
        ``shortfall`` is evaluated when, in one iteration, the log-likelihood changes by less than this
        relative to its size, *and* every parameter by less than the square root of this relative to its size.
        With zero, EM runs exactly ``maxiter`` iterations.
    callback : callable, optional
        Function that is called with the parameters after each iteration.
    report : callable, optional
        Function that is called with (iteration, log-likelihood) after each E-step.
    shortfall : callable, optional
        Convergence criterion. It returns the ratio of the score, or of the remaining gain, at parameters to
        its limit. The ratio is at most 1 at a maximum. Without it EM stops when ``tolerance`` is met.
    watch : callable, optional
        Function that is called with the parameters after each iteration and may raise `DeadEnd`.
    coordinates : Coordinates, optional
        Coordinates in which EM is accelerated. Without them it takes plain steps.
    """

    maxiter: int = 500
    tolerance: float = 1e-6
    callback: Callable[[Array], object] | None = None
    report: Callable[[int, float], object] = lambda iteration, llf: None
    shortfall: Callable[[Array], float] | None = None
    watch: Callable[[Array], object] | None = None
    coordinates: Coordinates | None = None


class DeadEnd(Exception):  # noqa: N818  (it ends a search and is not an error)
    """
    A search moves towards a point without a maximum.

    Attributes
    ----------
    reason : str
        Explanation of why there is no maximum, and what to do.
    params : ndarray
        Free parameters at the last point before it.
    """

    def __init__(self, reason: str, params: Array) -> None:
        super().__init__(reason)
        self.reason, self.params = reason, params


@dataclass(frozen=True)
class EMResult:
    """
    Result of an EM run.

    Attributes
    ----------
    params : ndarray
        The parameters.
    llf : float
        Log-likelihood at the parameters.
    iterations : int
        Number of M-steps.
    converged : bool
        Whether the stopping rule was met.
    status : str
        Description of why the iteration ended.
    trace : dict of list
        "iteration", "llf", "change" and "params_change", with one entry for each E-step, beginning with the
        start values.
    dead_end : bool
        Whether the run moved towards a point without a maximum, which ``status`` describes.
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
    An EM run with the best point so far and its trace.

    Attributes
    ----------
    params, llf, iteration : ndarray, float, int
        The point, its log-likelihood, and the number of the iteration that led to it.
    moments : Moments
        The E-step at the last point of plain steps.
    updates : list of (str, callable)
        The M-step in order, with a new E-step between two cycles.
    trace : dict of list
        As in `EMResult`.
    """

    def __init__(
        self,
        start_params: Array,
        expectation: Expectation,
        loglike: Callable[[Array], float],
        cycles: list[list[NamedUpdate]],
        options: EMOptions,
    ) -> None:
        self.expectation, self.loglike, self.options = expectation, loglike, options
        self.params, self.llf, self.iteration = np.array(start_params, dtype=float), -np.inf, 0
        self.updates: list[NamedUpdate] = []
        for cycle in cycles:
            if self.updates:
                self.updates.append(("E-step", lambda params, _: (params, expectation(params))))
            self.updates += cycle
        self._largest = np.inf
        self.trace: dict[str, list[float]] = {
            key: [] for key in ("iteration", "llf", "change", "params_change")
        }

    def begin(self) -> EMResult | None:
        """Take the E-step at the start values; return the result if the run ends there."""
        self.moments = self.expectation(self.params)
        if not np.isfinite(self.moments.llf):
            self.llf = self.moments.llf
            return self.end("stopped: no log-likelihood at the start")
        self.accept(self.params, self.moments.llf, 0)
        return self.end_at_maxiter(0) if self.updates else self.end("nothing to estimate", True)

    def arrive(self, params: Array, number: int) -> EMResult | None:
        """Take the E-step at the end of a plain step and accept it; return the result if the run ends."""
        try:
            self.moments = self.expectation(params)
        except NOT_HERE as error:
            return self.end_failed(number, error)
        llf = self.moments.llf
        change = llf - self.llf
        if decreased(llf, self.llf):
            return self.end_lower(number)
        moved = self.accept(params, llf, number)
        if self._meets_rule(change, moved, llf, params):
            return self.end("converged", True)
        return self.end_at_maxiter(number)

    def accept(self, params: Array, llf: float, iteration: int) -> float:
        """Accept a point and add a row to the trace; return the change of the parameters."""
        first = not self.trace["llf"]
        moved, change = (np.nan, np.nan) if first else (relative_change(params, self.params), llf - self.llf)
        for key, value in zip(self.trace, (float(iteration), llf, change, moved), strict=True):
            self.trace[key].append(value)
        self.params, self.llf, self.iteration = params, llf, iteration
        self.options.report(iteration, llf)
        return moved

    def watched(self, params: Array, iteration: int) -> EMResult | None:
        """Call the callback and ``watch`` with the parameters; return the result if this ends the run."""
        if self.options.callback is not None:
            self.options.callback(params)
        try:
            if self.options.watch is not None:
                self.options.watch(params)
        except DeadEnd as end:
            self.params, self.llf, self.iteration = end.params, self.loglike(end.params), iteration
            return self.end(end.reason, dead_end=True)
        return None

    def _is_small(self, change: float, moved: float, llf: float) -> bool:
        """Return whether a change of the log-likelihood and of the parameters is below the tolerance."""
        tolerance = self.options.tolerance
        return tolerance > 0.0 and abs(change) <= tolerance * (1.0 + abs(llf)) and moved <= np.sqrt(tolerance)

    def _meets_rule(self, change: float, moved: float, llf: float, params: Array) -> bool:
        """
        Return whether the changes are small and ``shortfall`` is met, so that the run ends.

        After an evaluation of ``shortfall`` that was not met, the next one waits until the change of the
        log-likelihood has decreased in proportion.
        """
        if not self._is_small(change, moved, llf) or abs(change) > self._largest:
            return False
        short = 0.0 if self.options.shortfall is None else self.options.shortfall(params)
        if short <= 1.0:
            return True
        self._largest = abs(change) * max(min(_SOONEST, 1.0 / short), _LATEST)  # min passes over NaN
        return False

    def guilty(self) -> str:
        """Repeat an iteration one update at a time; return the first that lowers the log-likelihood."""
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

    def end_lower(self, number: int) -> EMResult:
        """Return the result after an EM step to a lower log-likelihood, or to none."""
        llf = self.moments.llf
        what = f"fell by {self.llf - llf:.3g}" if np.isfinite(llf) else "does not exist"
        return self.end(
            f"stopped: the log-likelihood {what} at iteration {number}, in the update of {self.guilty()}"
        )

    def end_failed(self, number: int, error: Exception) -> EMResult:
        """Return the result after an error."""
        return self.end(f"stopped: the filter failed or an update did at iteration {number} ({error})")

    def end_at_maxiter(self, number: int) -> EMResult | None:
        """Return the result if this iteration is the last."""
        last = number == self.options.maxiter
        return self.end("stopped: the number of iterations reached maxiter") if last else None

    def end(self, status: str, converged: bool = False, dead_end: bool = False) -> EMResult:
        """Return the result."""
        return EMResult(self.params, self.llf, self.iteration, converged, status, self.trace, dead_end)


def run_em(
    start_params: Array,
    expectation: Expectation,
    loglike: Callable[[Array], float],
    cycles: list[list[NamedUpdate]],
    options: EMOptions,
) -> EMResult:
    """
    Run EM from start values, accelerated if the options have coordinates for it.

    Parameters
    ----------
    start_params : ndarray
        Start values.
    expectation : callable
        The E-step.
    loglike : callable
        The log-likelihood, used to find the update that lowered it.
    cycles : list of list of (str, callable)
        Updates, grouped by the E-step that they share.
    options : EMOptions
        When to stop, and in which coordinates to accelerate.
    """
    if options.coordinates is not None:
        return _AcceleratedRun(start_params, expectation, loglike, cycles, options).run(options.coordinates)
    run = Run(start_params, expectation, loglike, cycles, options)
    ended = run.begin()
    while ended is None:
        params, moments = run.params, run.moments
        number = run.iteration + 1
        try:
            for _, update in run.updates:
                params, moments = update(params, moments)
        except NOT_HERE as error:
            return run.end_failed(number, error)
        ended = run.watched(params, number) or run.arrive(params, number)
    return ended


def decreased(llf: float, previous: float) -> bool:
    """Return whether a log-likelihood does not exist, or fell by more than rounding."""
    return not np.isfinite(llf) or llf - previous < -_ROUNDING * (1.0 + abs(previous))


def relative_change(params: Array, previous: Array) -> float:
    """Return the largest relative change of a parameter; near zero, relative to the others."""
    size = np.maximum(np.abs(params), np.abs(previous))
    floor = 1e-3 * size.max(initial=0.0) + np.finfo(float).tiny
    return float((np.abs(params - previous) / np.maximum(size, min(floor, 1e-3))).max(initial=0.0))


_MEMORY = 10
_SINGULAR = 1e-8
"""Singular values of dG below this, relative to the largest, are dropped."""
_LEAST_SHARE = 0.3
"""Smallest ratio by which a step may reduce the square root of a variance."""
_STILL = 2
"""Consecutive quasi-Newton steps that must meet the stopping rule, because one can be short by chance."""


@dataclass(frozen=True)
class Coordinates:
    """
    Coordinates in which parameters may be extrapolated.

    Attributes
    ----------
    unconstrain, constrain : callable
        Maps from parameters to the coordinates, and back.
    feasible : callable
        Returns whether parameters have a likelihood, as far as this is known without a filter pass.
    square_roots : ndarray of bool
        True for coordinates that are square roots of variances or diagonal elements of a Cholesky factor.
    """

    unconstrain: Callable[[Array], Array]
    constrain: Callable[[Array], Array]
    feasible: Callable[[Array], bool]
    square_roots: NDArray[np.bool_]


class Secants:
    """
    The last EM steps g(z) = F(z) - z, and the points z from which they were taken.

    Differences of successive z and g are the columns of dZ and dG. The quasi-Newton step (Anderson 1965; for
    EM, Henderson & Varadhan 2019) is

        z + g - (dZ + dG) c,   c the least-squares solution of dG c = g.

    It is the zero of g if g is linear and dG has as many independent columns as z has elements.

    Parameters
    ----------
    size : int
        Number of elements of z.
    """

    def __init__(self, size: int) -> None:
        self.memory = min(size, _MEMORY)
        self.places: list[Array] = []
        self.steps: list[Array] = []

    def __len__(self) -> int:
        return max(len(self.places) - 1, 0)

    def add(self, place: Array, step: Array) -> None:
        """Store an EM step."""
        self.places = [*self.places, place][-self.memory - 1 :]
        self.steps = [*self.steps, step][-self.memory - 1 :]

    def forget(self) -> None:
        """Drop all steps except the last."""
        self.places, self.steps = self.places[-1:], self.steps[-1:]

    def proposal(self) -> Array:
        """Return the end of the quasi-Newton step, or of the EM step if only one step is stored."""
        place, step = self.places[-1], self.steps[-1]
        moves, changes = np.diff(self.places, axis=0).T, np.diff(self.steps, axis=0).T
        size = np.linalg.norm(changes, axis=0)
        moves, changes = moves[:, size > 0] / size[size > 0], changes[:, size > 0] / size[size > 0]
        share = np.linalg.lstsq(changes, step, rcond=_SINGULAR)[0]
        return place + step - (moves + changes) @ share


def kept_away(place: Array, here: Array, square_roots: NDArray[np.bool_]) -> Array:
    """
    Return a proposal in which no variance falls to zero in one step.

    At a variance of zero EM does not move, regardless of the score, because its steps are multiples of the
    variance.

    Parameters
    ----------
    place, here : ndarray
        The proposal and the current point.
    square_roots : ndarray of bool
        As in `Coordinates`.
    """
    side = np.sign(here)
    least = _LEAST_SHARE * np.abs(here)
    return np.where(square_roots & (side * place < least), side * least, place)


class _AcceleratedRun(Run):
    """
    An EM run with proposals from the secants of earlier iterations.

    An iteration is an E-step and an M-step. If the log-likelihood at a proposal is lower than before, or does
    not exist, the run drops the proposal and the secants and takes the plain EM step. The log-likelihood
    therefore never decreases. Dropped proposals count as iterations, but have no row in the trace.
    """

    def run(self, coordinates: Coordinates) -> EMResult:
        """Iterate."""
        self.coordinates, self.secants = coordinates, Secants(len(self.params))
        self.em_step = self.params
        self.moved, self.still, self.number = np.nan, 0, 0
        ended = self.begin()
        if ended is None:
            try:
                self._go_on(self.params, self.moments)
            except NOT_HERE as error:
                return self.end(f"stopped: an update failed at the start values ({error})")
        while ended is None:
            self.number += 1
            ended = self._iterate()
        return ended

    def _iterate(self) -> EMResult | None:
        """Move to the next point; return the result if the run ends."""
        before, secants = self.llf, len(self.secants)
        try:
            llf = self._quasi_newton() if secants else self._plain()
        except NOT_HERE as error:
            return self.end_failed(self.number, error)
        if llf is None:
            return self.end_lower(self.number)
        ended = self.watched(self.params, self.number)
        if ended is None and (secants or self.moved == 0) and self._has_converged(llf - before, llf):
            return self.end("converged", True)
        return ended or self.end_at_maxiter(self.number)

    def _has_converged(self, change: float, llf: float) -> bool:
        """Return whether the stopping rule is met in enough consecutive steps."""
        self.still = self.still + 1 if self._is_small(change, self.moved, llf) else 0
        return self.still >= _STILL and self._meets_rule(change, self.moved, llf, self.params)

    def _quasi_newton(self) -> float | None:
        """Take the quasi-Newton step; return the log-likelihood, or minus infinity if it does not exist."""
        place = kept_away(self.secants.proposal(), self.secants.places[-1], self.coordinates.square_roots)
        params = self.coordinates.constrain(place)
        if not np.all(np.isfinite(params)) or not self.coordinates.feasible(params):
            self.secants.forget()
            return self._plain()
        llf = -np.inf
        try:
            moments = self.expectation(params)
            if moments.llf >= self.llf:
                self._go_on(params, moments)
                self.accept(params, moments.llf, self.number)
                return moments.llf
            if np.isfinite(moments.llf):
                llf = moments.llf
        except NOT_HERE:
            pass
        self.secants.forget()
        return llf

    def _plain(self) -> float | None:
        """Take the EM step; return the log-likelihood, or None if it fell."""
        params = self.em_step
        self.moments = self.expectation(params)
        if decreased(self.moments.llf, self.llf):
            return None
        self._go_on(params, self.moments)
        self.accept(params, self.moments.llf, self.number)
        return self.llf

    def _go_on(self, params: Array, moments: Moments) -> None:
        """Take the EM step from a point."""
        em_step = params
        for _, update in self.updates:
            em_step, moments = update(em_step, moments)
        place = self.coordinates.unconstrain(params)
        self.secants.add(place, self.coordinates.unconstrain(em_step) - place)
        self.em_step, self.moved = em_step, relative_change(em_step, params)

    def end(self, status: str, converged: bool = False, dead_end: bool = False) -> EMResult:
        """Return the result, whose number of iterations includes dropped proposals."""
        self.iteration = self.number
        return super().end(status, converged, dead_end)
