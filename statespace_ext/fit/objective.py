"""Minus the log-likelihood in coordinates that do not depend on the units of the data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..em.m_step import by_group
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import NOT_HERE, Array
from ..params.covariance import precision_of
from ..params.layout import ParameterLayout
from .outcome import Verdict, judged
from .problem import EstimationProblem

_LEAST_SHARE, _ROUNDING = 0.03, 1e-12
_LEAST_NOISE = 1e-8
"""Smallest measurement variance, relative to that of the data, for the scale from complete data."""
_DIFFERENCE, _FLOOR = 1e-4, 1e-7
"""Step of second derivatives, and the smallest of them, relative to the largest, that is used."""
_NEAR_EDGE = 1e-3
"""If a correlation matrix has larger eigenvalues, the barrier moves a maximum by its weight squared."""
_FINISHING = 3
"""Largest number of Newton steps by conjugate gradients after a search that stopped early."""


class Objective:
    """
    Minus the log-likelihood as a function of w, with params = constrain(z) and z = origin + basis w.

    Initially, the basis is a scale for each parameter. After `whiten` it is M with M' |I| M = 1. The origin
    moves with the search, so that each round starts from w = 0.

    The likelihood may not exist, for example with an unstable transition and a stationary start, or if a
    matrix is not a covariance. The value is then the last value plus a large constant, so that a line search
    steps back.

    A barrier, weight * log|Sigma|, keeps covariance matrices without a transform (patterns, expressions,
    fixed elements) positive definite. Its maximum is within weight * rank of the true maximum.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    params : ndarray
        Free parameters at the origin.
    weight : float
        Weight of the barrier.
    scale : ndarray, optional
        Scale of each unconstrained parameter. By default `parameter_scale`.
    """

    def __init__(
        self, problem: EstimationProblem, params: Array, weight: float = 0.0, scale: Array | None = None
    ) -> None:
        self.problem, self.weight = problem, weight
        self.origin = problem.layout.unconstrain(params)
        self.scale = parameter_scale(problem, params) if scale is None else scale
        self.basis = self.scale
        self.evaluations = 0
        self.value_here = self._last = np.inf
        self.score_here: Array | None = None
        self._best: tuple[float, Array, Array | None] = (np.inf, np.zeros(len(params)), None)
        self._recent: tuple[Array, tuple[float, Array] | None] = (np.zeros(0), None)

    def unconstrained(self, w: Array) -> Array:
        """Return the unconstrained parameters at w."""
        return np.asarray(self.origin + (self.basis * w if self.basis.ndim == 1 else self.basis @ w))

    def params(self, w: Array | None = None) -> Array:
        """Return the parameters at w, or at the origin."""
        return self.problem.layout.constrain(self.origin if w is None else self.unconstrained(w))

    def slope(self, way: Array) -> float:
        """Return the slope of the log-likelihood at the origin along a vector of unconstrained parameters."""
        w = way / self.basis if self.basis.ndim == 1 else np.linalg.solve(self.basis, way)
        return np.nan if self.score_here is None else float(self.score_here @ w)

    def evaluate(self, w: Array) -> tuple[float, Array] | None:
        """Return the value and the gradient, or None if the likelihood does not exist."""
        if np.array_equal(w, self._recent[0]):
            return self._recent[1]
        self._recent = (np.array(w), self._evaluate(w))
        return self._recent[1]

    def _evaluate(self, w: Array) -> tuple[float, Array] | None:
        self.evaluations += 1
        z, layout = self.unconstrained(w), self.problem.layout
        found = self.problem.value_and_score(layout.constrain(z))
        if found is None:
            return None
        llf, slope = found
        if self.weight:
            inside, more = log_determinants(layout, layout.constrain(z))
            llf, slope = llf + self.weight * inside, slope + self.weight * more
        back = -layout.vjp(z, slope)
        gradient = self.basis * back if self.basis.ndim == 1 else self.basis.T @ back
        self._keep(-llf, w, gradient)
        return -llf, gradient

    def __call__(self, w: Array) -> tuple[float, Array]:
        """Return the value and the gradient, with a large value if the likelihood does not exist."""
        found = self.evaluate(w)
        if found is None:
            wall = self._last if np.isfinite(self._last) else 0.0
            return wall + 10.0 + abs(wall), np.zeros(len(w))
        return found

    def score(self, w: Array) -> Array | None:
        """Return minus the gradient, or None if the likelihood does not exist."""
        found = self.evaluate(w)
        return None if found is None else -found[1]

    def _score_or_nan(self, w: Array) -> Array:
        score = self.score(w)
        return np.full(len(w), np.nan) if score is None else score

    def value(self, w: Array) -> float:
        """Return the value only; it is infinite if the likelihood does not exist."""
        self.evaluations += 1
        value = -self.problem.value(self.params(w))
        if np.isfinite(value):
            self._keep(value, w, None)
        return value

    def _keep(self, value: float, w: Array, gradient: Array | None) -> None:
        self._last = value
        if value < self._best[0]:
            self._best = (value, np.array(w), gradient)

    @property
    def best(self) -> float:
        """The lowest value since the last move of the origin."""
        return self._best[0]

    def move(self, end: Array) -> None:
        """Move the origin to the end of a search, or to the best point if that is clearly better."""
        found, (least, best, gradient) = self.evaluate(end), self._best
        if found is not None and found[0] - least <= _ROUNDING * (1.0 + abs(least)):
            best, (least, gradient) = end, found
        elif gradient is None:
            found = self.evaluate(best)
            gradient = None if found is None else found[1]
        self.origin = self.unconstrained(best)
        self.value_here = least
        self._here(gradient)

    def _here(self, gradient: Array | None) -> None:
        """Store the value and the gradient at the origin."""
        zero = np.zeros(len(self.origin))
        self.score_here = None if gradient is None else -gradient
        self._best = (self.value_here, zero, gradient)
        self._recent = (zero, None if gradient is None else (self.value_here, gradient))

    def finish(self, inverse: Callable[[Array], Array] | None, goes_on: bool) -> Verdict:
        """Return the verdict on the origin. With ``goes_on``, first take Newton steps of the verdicts."""
        here = np.zeros(len(self.origin))
        found = judged(self.score, here, self.score_here, inverse, goes_on)
        for _ in range(_FINISHING if goes_on else 0):
            if found.converged or not np.any(found.step):
                break
            before = self.value_here
            self.move(found.step)
            if not self.value_here < before:
                break
            found = judged(self.score, here, self.score_here, inverse)
        return found

    def whiten(self, order: int = 1) -> bool:
        """
        Use coordinates in which second derivatives are 1 or -1. Return False if they do not exist.

        Second derivatives are differences of the score. ``order`` is the order of their error in the step.
        """
        zero = np.zeros(len(self.scale))
        self.basis, self._recent = self.scale, (np.zeros(0), None)
        self._here(self(zero)[1])
        information = -jacobian(self._score_or_nan, zero, np.full(len(zero), _DIFFERENCE), order)
        if not np.all(np.isfinite(information)):
            return False
        values, vectors = np.linalg.eigh(0.5 * (information + information.T))
        size = np.maximum(np.abs(values), _FLOOR * max(float(np.max(np.abs(values))), 1e-300))
        turn = vectors / np.sqrt(size)
        self.basis = self.scale[:, None] * turn
        self._here(-turn.T @ self.score_here)
        return True

    def shortfall(self) -> float:
        """Return how far the barrier lowers a maximum with a singular covariance matrix."""
        if not self.weight:
            return 0.0
        matrices, lost = self.problem.layout.matrices(self.params()), 0
        for key in self.problem.layout.untransformed:
            for sigma in by_group(matrices[key]):
                root = np.sqrt(np.where(np.diag(sigma) > 0, np.diag(sigma), 1.0))
                lost += int(np.sum(np.linalg.eigvalsh(sigma / root[:, None] / root) < _NEAR_EDGE))
        return self.weight * lost


def log_determinants(layout: ParameterLayout, params: Array) -> tuple[float, Array]:
    """Return the sum of log|Sigma| over the covariance matrices without a transform, and its gradient."""
    total, slopes = 0.0, {}
    matrices = layout.matrices(params)
    for key in layout.untransformed:
        cov = matrices[key]
        groups = by_group(cov)
        inverse = np.stack([precision_of(sigma) for sigma in groups])
        for sigma in groups:
            active = np.diag(sigma) > 0
            total += float(np.linalg.slogdet(sigma[np.ix_(active, active)])[1])
        slopes[key] = inverse[0] if cov.ndim == 2 else np.moveaxis(inverse, 0, 2)
    return total, layout.gradient(slopes, params)


def parameter_scale(problem: EstimationProblem, params: Array) -> Array:
    """
    Return a scale for each unconstrained parameter, from its complete-data information.

    The scale is the inverse square root of the information. It makes the path of a gradient method
    independent of the units of the data.
    """
    fallback = np.maximum(np.abs(problem.layout.unconstrain(params)), 1e-3)
    params = _off_zero(problem, params)
    z = problem.layout.unconstrain(params)
    try:
        information = problem.updates.information(params, problem.moments(params))
    except NOT_HERE:
        return fallback
    out = np.array(information)
    for transform in problem.layout.transforms:
        places = problem.layout.positions(transform.param_names)
        slope = transform.jacobian(z[places])
        out[places] = np.square(slope).T @ information[places]
    good = np.isfinite(out) & (out > 0)
    scale = np.where(good, 1.0 / np.sqrt(np.where(good, out, 1.0)), fallback)
    ends = problem.layout.positions(sorted(problem.layout.bounded))
    known = np.isfinite(information[ends]) & (information[ends] > 0)
    # at an end of the interval, the parameter changes by half the square of a step
    longest = np.where(known, np.sqrt(2.0) * np.where(known, information[ends], 1.0) ** -0.25, 1.0)
    scale[ends] = np.minimum(scale[ends], longest)
    return np.maximum(scale, _smallest_scale(problem, params))


def _smallest_scale(problem: EstimationProblem, params: Array) -> Array:
    """
    Return the smallest scale of square roots and Cholesky factors, and zero for other parameters.

    Near zero, complete data determine a variance much more precisely than the observed data. The smallest
    scale of a row is the square root of the variance that would explain the data on its own, divided by the
    number of periods.
    """
    layout = problem.layout
    out = np.zeros(len(layout))
    sizes = problem.model.variance_sizes(problem.full(params))
    nobs = len(problem.smoother.endog)
    for key in layout.structures:
        if key in sizes and key not in layout.untransformed:
            root = np.sqrt(np.minimum(sizes[key], 1e100) / nobs)
            rows = np.maximum(layout.blocks[key].rows, layout.blocks[key].columns)
            np.maximum.at(out, layout.index[key], _LEAST_SHARE * root[rows])
    return out


def _off_zero(problem: EstimationProblem, params: Array) -> Array:
    """
    Return parameters with measurement variances bounded away from zero.

    If a series has no measurement error, complete data determine its loadings exactly. Their scale would be
    zero, and so would steps and differences.
    """
    block, places = problem.layout.blocks["obs_cov"], problem.layout.index["obs_cov"]
    single = block.rows == block.columns
    least = _LEAST_NOISE * problem.model.variance_sizes(problem.full(params))["obs_cov"][block.rows[single]]
    out = np.array(params)
    np.maximum.at(out, places[single], least)
    return out
