"""
A gradient method for likelihoods with long curved ridges.

L-BFGS in coordinates in which the second derivatives, found by differences of the exact score, are the
identity (their absolute values, where they are not positive). After a number of steps, or where it stops, the
second derivatives are found anew. It ends where the Newton decrement says that nothing is left to gain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.optimize

from ..em.driver import DeadEnd
from ..numerics.linear_algebra import Array
from .optimize import Optimum, parameter_scale, verdict_at
from .problem import EstimationProblem
from .unbounded import Watch
from .verdict import GAIN_TOLERANCE

_STEPS = 40
_DECREMENT = 1e-10
_FLOOR = 1e-7
_DIFFERENCE = 1e-4
_LEAST_SHARE = 1e-8
_NO_GAIN, _MOST_STALLED = 1e-12, 2


class RotatedObjective:
    """Minus the log-likelihood as a function of w, with z = origin + M w the unconstrained parameters."""

    def __init__(self, problem: EstimationProblem, origin: Array, basis: Array) -> None:
        self.problem, self.origin, self.basis = problem, origin, basis
        self.evaluations = 0
        self.best: tuple[float, Array, Array] = (np.inf, origin, np.zeros(len(origin)))
        self._last = np.inf

    def __call__(self, w: Array) -> tuple[float, Array]:
        """Return the value and the gradient; a wall where the likelihood does not exist."""
        self.evaluations += 1
        z = self.origin + self.basis @ w
        found = self.problem.value_and_score(self.problem.layout.constrain(z))
        if found is None:
            wall = self._last if np.isfinite(self._last) else 0.0
            return wall + 10.0 + abs(wall), np.zeros(len(w))
        value, gradient = -found[0], -self.problem.layout.pull_back(z, found[1])
        self._last = value
        if value < self.best[0]:
            self.best = (value, z, gradient)
        return value, self.basis.T @ gradient


class PreconditionedSearch:
    """
    A maximisation that can be stopped and taken up again as if it had not been.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    start : ndarray
        Free parameters.
    callback, report : callable, optional
        As for `maximise_likelihood`.
    """

    def __init__(
        self,
        problem: EstimationProblem,
        start: Array,
        callback: Callable[[Array], object] | None = None,
        report: Callable[[int, float], object] | None = None,
    ) -> None:
        self.problem, self.callback, self.report = problem, callback, report
        self.scale = parameter_scale(problem, _off_zero(problem, start))
        self.z, self.basis = problem.layout.unconstrain(start), np.diag(self.scale)
        self.value, self.message = -problem.value(start), ""
        self.path: list[float] = []
        self.watch, self.dead_end = Watch(problem, start), ""
        self.evaluations = self._stalled = 0
        self.score_norm = self.gain = np.nan

    def run(self, maxiter: int) -> None:
        """Go on until an end, or after the round in which ``maxiter`` iterations in all are reached."""
        while not self.message and len(self.path) < maxiter:
            self.message = self._round(min(_STEPS, maxiter - len(self.path)))

    def _round(self, steps: int) -> str:
        """Take steps in the coordinates of the moment and find new ones; return what ended it, or nothing."""
        objective = RotatedObjective(self.problem, self.z, self.basis)

        def after(point: Array) -> None:
            self.path.append(-objective.best[0])
            if self.report is not None:
                self.report(len(self.path), -objective.best[0])
            params = self.problem.layout.constrain(objective.best[1])
            if self.callback is not None:
                self.callback(params)
            self.watch(self.problem, params)

        options = {"maxiter": steps, "maxcor": 30, "ftol": 1e-14, "gtol": 1e-7}
        try:
            scipy.optimize.minimize(  # type: ignore[call-overload]
                objective, np.zeros(len(self.z)), jac=True, method="L-BFGS-B", callback=after, options=options
            )
            self.watch(self.problem, self.problem.layout.constrain(objective.best[1]))
        except DeadEnd as end:
            self.z, self.value = self.problem.layout.unconstrain(end.params), -self.problem.value(end.params)
            self.dead_end = end.reason
            return end.reason
        gain, (self.value, self.z, gradient) = self.value - objective.best[0], objective.best
        self.evaluations += objective.evaluations + 2 * len(self.z)
        hessian = second_derivatives(self.problem, self.z, self.scale)
        self.score_norm = self.gain = np.nan
        if hessian is None:
            return "second derivatives do not exist here"
        self.basis, self.gain = _whitened(hessian, gradient, self.scale)
        self.score_norm = float(np.max(np.abs(self.basis.T @ gradient), initial=0.0))
        if self.gain < min(_DECREMENT * (1.0 + abs(self.value)), GAIN_TOLERANCE) and gain < 1e-6:
            return "converged"
        self._stalled = self._stalled + 1 if gain < _NO_GAIN * (1.0 + abs(self.value)) else 0
        return "no further gain" if self._stalled == _MOST_STALLED else ""

    def optimum(self) -> Optimum:
        """Return where the search stands; the score is scaled by the second derivatives there."""
        params, message = self.problem.layout.constrain(self.z), self.message or "maxiter reached"
        norm, left = self.score_norm, self.gain
        if np.isnan(left):
            at = verdict_at(self.problem, params)
            norm, left = at.score_norm, at.gain
        return Optimum(
            params, -self.value, norm, left, message, len(self.path), self.evaluations, list(self.path),
            self.dead_end,
        )  # fmt: skip


def _off_zero(problem: EstimationProblem, params: Array) -> Array:
    """
    Return parameters with the measurement variances away from zero.

    Of a series without error complete data know the loadings exactly: a scale of nothing, in which steps and
    differences vanish.
    """
    block, places = problem.layout.blocks["obs_cov"], problem.layout.index["obs_cov"]
    single = block.rows == block.columns
    least = _LEAST_SHARE * problem.model.variance_sizes(problem.full(params))["obs_cov"][block.rows[single]]
    out = np.array(params)
    np.maximum.at(out, places[single], least)
    return out


def maximise_preconditioned(problem: EstimationProblem, start: Array, maxiter: int) -> Optimum:
    """Maximise the log-likelihood from start values, the whole way."""
    search = PreconditionedSearch(problem, start)
    search.run(maxiter)
    return search.optimum()


def second_derivatives(problem: EstimationProblem, z: Array, scale: Array) -> Array | None:
    """Return those of minus the log-likelihood by z / scale, by differences; None at an edge."""
    layout, rows = problem.layout, []
    for i, size in enumerate(scale):
        pair = []
        for sign in (1.0, -1.0):
            at = np.array(z)
            at[i] += sign * _DIFFERENCE * size
            found = problem.value_and_score(layout.constrain(at))
            if found is None:
                return None
            pair.append(-layout.pull_back(at, found[1]) * scale)
        rows.append((pair[0] - pair[1]) / (2.0 * _DIFFERENCE))
    matrix = np.array(rows)
    return 0.5 * (matrix + matrix.T)


def _whitened(hessian: Array, gradient: Array, scale: Array) -> tuple[Array, float]:
    """Return M with M' |H| M = I, and the Newton decrement."""
    values, vectors = np.linalg.eigh(hessian)
    size = np.maximum(np.abs(values), _FLOOR * max(float(np.max(np.abs(values))), 1e-300))
    slope = vectors.T @ (scale * gradient)
    return scale[:, None] * vectors / np.sqrt(size), 0.5 * float(np.sum(slope**2 / size))
