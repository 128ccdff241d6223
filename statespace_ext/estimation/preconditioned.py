"""
A gradient method for likelihoods with long curved ridges.

L-BFGS in coordinates in which the second derivatives, found by differences of the exact score, are the
identity (their absolute values, where they are not positive). After a number of steps, or where it stops, the
second derivatives are found anew. It ends where the Newton decrement says that nothing is left to gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from ..numerics.linear_algebra import Array
from .optimize import Optimum, parameter_scale
from .problem import EstimationProblem

_STEPS = 40
_DECREMENT = 1e-10
_FLOOR = 1e-7
_DIFFERENCE = 1e-4
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


@dataclass
class _Progress:
    llf: list[float]
    iterations: int = 0
    evaluations: int = 0


def maximise_preconditioned(
    problem: EstimationProblem,
    start: Array,
    maxiter: int,
    callback: Callable[[Array], object] | None = None,
    report: Callable[[int, float], object] | None = None,
) -> Optimum:
    """
    Maximise the log-likelihood from start values.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    start : ndarray
        Free parameters.
    maxiter : int
        Largest number of iterations.
    callback, report : callable, optional
        As for `maximise_likelihood`.
    """
    layout, progress = problem.layout, _Progress([])
    scale = parameter_scale(problem, start)
    z, basis, message = layout.unconstrain(start), np.diag(scale), "maxiter reached"
    value, stalled = -problem.value(start), 0

    def after(point: Array) -> None:
        progress.iterations += 1
        progress.llf.append(-objective.best[0])
        if report is not None:
            report(progress.iterations, -objective.best[0])
        if callback is not None:
            callback(layout.constrain(objective.best[1]))

    while progress.iterations < maxiter:
        objective = RotatedObjective(problem, z, basis)
        options = {
            "maxiter": min(_STEPS, maxiter - progress.iterations),
            "maxcor": 30,
            "ftol": 1e-14,
            "gtol": 1e-7,
        }
        scipy.optimize.minimize(  # type: ignore[call-overload]
            objective, np.zeros(len(z)), jac=True, method="L-BFGS-B", callback=after, options=options
        )
        progress.evaluations += objective.evaluations
        gain, (value, z, gradient) = value - objective.best[0], objective.best
        hessian = second_derivatives(problem, z, scale)
        progress.evaluations += 2 * len(z)
        if hessian is None:
            message = "second derivatives do not exist here"
            break
        basis, decrement = _whitened(hessian, gradient, scale)
        if decrement < _DECREMENT * (1.0 + abs(value)) and gain < 1e-6:
            message = "converged"
            break
        stalled = stalled + 1 if gain < _NO_GAIN * (1.0 + abs(value)) else 0
        if stalled == _MOST_STALLED:
            message = "no further gain"
            break
    params = layout.constrain(z)
    found = problem.value_and_score(params)
    norm = np.nan
    if found is not None:
        norm = float(np.max(np.abs(layout.pull_back(z, found[1]) * scale), initial=0.0))
    return Optimum(params, -value, norm, message, progress.iterations, progress.evaluations, progress.llf)


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
