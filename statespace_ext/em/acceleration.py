"""Accelerated EM: quasi-Newton steps on the fixed-point equation of an EM iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numerics.linear_algebra import NOT_HERE, Array
from .driver import EMOptions, EMResult, Run, decreased, relative_change
from .regressions import Expectation, Moments
from .updates import NamedUpdate

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
    roots : ndarray of bool
        True for coordinates that are square roots of variances or diagonal elements of a Cholesky factor.
    """

    unconstrain: Callable[[Array], Array]
    constrain: Callable[[Array], Array]
    feasible: Callable[[Array], bool]
    roots: NDArray[np.bool_]


class Secants:
    """
    The last EM steps g(z) = F(z) - z, and the points z from which they were taken.

    Differences of successive z and g are the columns of dZ and dG. The quasi-Newton step (Anderson 1965; for
    EM, Henderson & Varadhan 2019) is

        z + g - (dZ + dG) c,   c the least-squares solution of dG c = g.

    It is the root of g if g is linear and dG has as many independent columns as z has elements.

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


def kept_away(place: Array, here: Array, roots: NDArray[np.bool_]) -> Array:
    """
    Return a proposal in which no variance falls to zero in one step.

    At a variance of zero EM does not move, regardless of the score, because its steps are multiples of the
    variance.

    Parameters
    ----------
    place, here : ndarray
        The proposal and the current point.
    roots : ndarray of bool
        As in `Coordinates`.
    """
    side = np.sign(here)
    least = _LEAST_SHARE * np.abs(here)
    return np.where(roots & (side * place < least), side * least, place)


def run_accelerated_em(
    start: Array,
    expectation: Expectation,
    loglike: Callable[[Array], float],
    cycles: list[list[NamedUpdate]],
    options: EMOptions,
    coordinates: Coordinates,
) -> EMResult:
    """
    Run accelerated EM from start values, with proposals from the secants of earlier iterations.

    An iteration is an E-step and an M-step. If the log-likelihood at a proposal is lower than before, or does
    not exist, the run drops the proposal and the secants and takes the plain EM step. The log-likelihood
    therefore never decreases. Dropped proposals count as iterations, but have no row in the trace.

    Parameters
    ----------
    start : ndarray
        Start values.
    expectation, loglike, cycles, options
        As for `run_em`.
    coordinates : Coordinates
        Coordinates for extrapolation.
    """
    return _Run(coordinates, start, expectation, loglike, cycles, options).run()


class _Run(Run):
    """The state of an accelerated run: the best point, the EM step from there, and the secants."""

    def __init__(self, coordinates: Coordinates, *run: Any) -> None:
        super().__init__(*run)
        self.coordinates, self.secants = coordinates, Secants(len(self.params))
        self.em_step = self.params
        self.moved, self.still, self.number = np.nan, 0, 0

    def run(self) -> EMResult:
        """Iterate."""
        moments = self.expectation(self.params)
        if not np.isfinite(moments.llf):
            self.llf = moments.llf
            return self.end("stopped: no log-likelihood at the start")
        if not self.updates:
            self.accept(self.params, moments.llf, 0)
            return self.end("nothing to estimate", True)
        try:
            self._go_on(self.params, moments)
        except NOT_HERE as error:
            self.llf = moments.llf
            return self.end(f"stopped: an update failed at the start values ({error})")
        while self.number < self.options.maxiter:
            self.number += 1
            ended = self._iterate()
            if ended is not None:
                return ended
        return self.end("stopped: the number of iterations reached maxiter")

    def _iterate(self) -> EMResult | None:
        """Move to the next point; return the result if the run ends."""
        before, secants = self.llf, len(self.secants)
        try:
            llf = self._quasi_newton() if secants else self._plain()
        except NOT_HERE as error:
            return self.end(
                f"stopped: the filter failed or an update did at iteration {self.number} ({error})"
            )
        if llf is None:
            name = self.guilty()
            return self.end(
                f"stopped: the log-likelihood fell at iteration {self.number}, in the update of {name}"
            )
        ended = self.watched(self.params, self.number)
        if ended is None and (secants or self.moved == 0) and self._has_converged(llf - before, llf):
            return self.end("converged", True)
        return ended

    def _has_converged(self, change: float, llf: float) -> bool:
        """Return whether the stopping rule is met in enough consecutive steps."""
        self.still = self.still + 1 if self.rule.is_small(change, self.moved, llf) else 0
        return self.still >= _STILL and self.rule.is_met(change, self.moved, llf, self.params)

    def _quasi_newton(self) -> float | None:
        """Take the quasi-Newton step; return the log-likelihood, or minus infinity if it does not exist."""
        place = kept_away(self.secants.proposal(), self.secants.places[-1], self.coordinates.roots)
        params = self.coordinates.constrain(place)
        if not np.all(np.isfinite(params)) or not self.coordinates.feasible(params):
            self.secants.forget()
            return self._plain()
        llf = -np.inf
        try:
            moments = self.expectation(params)
            if moments.llf >= self.llf:
                self._go_on(params, moments)
                return moments.llf
            if np.isfinite(moments.llf):
                llf = moments.llf
        except NOT_HERE:
            pass
        self.secants.forget()
        return llf

    def _plain(self) -> float | None:
        """Take the EM step; return the log-likelihood, or None if it fell."""
        moments = self.expectation(self.em_step)
        if decreased(moments.llf, self.llf):
            return None
        self._go_on(self.em_step, moments)
        return moments.llf

    def _go_on(self, params: Array, moments: Moments) -> None:
        """Take the EM step from a point and accept the point."""
        em_step = params
        at: Moments = moments
        for _, update in self.updates:
            em_step, at = update(em_step, at)
        place = self.coordinates.unconstrain(params)
        self.secants.add(place, self.coordinates.unconstrain(em_step) - place)
        self.accept(params, moments.llf, self.number)
        self.em_step, self.moved = em_step, relative_change(em_step, params)

    def end(self, status: str, converged: bool = False, dead_end: bool = False) -> EMResult:
        """Return the result, whose number of iterations includes dropped proposals."""
        self.iteration = self.number
        return super().end(status, converged, dead_end)
