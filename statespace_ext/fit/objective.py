"""Minus the log-likelihood in coordinates without units, the test for convergence, the outcome of a fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..em.regressions import by_group
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import NOT_HERE, Array
from ..params.covariance import precision_of
from ..params.layout import ParameterLayout
from .problem import WHITENED_UP_TO, EstimationProblem

SCORE_TOLERANCE = 1e-3
"""Largest scaled score at a maximum."""
GAIN_TOLERANCE = 1e-6
"""Largest predicted gain s' I^{-1} s / 2 at a maximum."""
FLAT = 1e-6
"""Relative to complete data, a curvature below this limit leads to a trial of a long step."""
_PRODUCTS = 8
"""Largest number of products with the information. Each needs two scores."""
_DIFFERENCE = 1e-4
"""Step of the differences of scores, relative to the scale of the coordinates."""
_FAR = 10.0
"""Length of a long step, in complete-data standard errors, if the curvature is too small to measure."""
_LENGTHS = [sign * size for size in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0) for sign in (1.0, -1.0)]
"""Lengths of steps along a convex direction. Near a singular matrix, it may be convex by rounding alone."""
_ACCURATE = 0.1
"""Relative increase in a gain above its tolerance that justifies another product."""

Score = Callable[[Array], "Array | None"]


@dataclass(frozen=True)
class Verdict:
    """
    The distance of a point from a maximum.

    Attributes
    ----------
    score_norm : float
        Largest element of the score, scaled by complete-data standard errors.
    gain : float
        Predicted gain s' I^{-1} s / 2. If the log-likelihood is convex along a direction, it includes the
        gain of the best step along it.
    step : ndarray
        The Newton step, in the coordinates of the score.
    """

    score_norm: float
    gain: float
    step: Array

    @property
    def converged(self) -> bool:
        """Whether the score and the gain are below their tolerances."""
        return bool(self.score_norm < SCORE_TOLERANCE and self.gain < GAIN_TOLERANCE)

    @property
    def shortfall(self) -> float:
        """The larger of the ratios of the score and the gain to their tolerances; at most 1 at a maximum."""
        return float(max(self.score_norm / SCORE_TOLERANCE, self.gain / GAIN_TOLERANCE))

    @property
    def in_words(self) -> str:
        """The score and the gain as text for a status."""
        return f"the scaled score is {self.score_norm:.2g} and the predicted gain {self.gain:.2g}"


def judged(
    score: Score,
    place: Array,
    at_place: Array | None,
    inverse: Callable[[Array], Array] | None = None,
    goes_on: bool = True,
) -> Verdict:
    r"""
    Test a point for a maximum by conjugate gradients.

    With I = -d score / dw, the products I d are differences of the score along d. After m products, the gain
    is that of the best step in their span, which is a lower bound of s' I^{-1} s / 2. The residual r of I x =
    s adds at most r' r / 2 divided by the smallest relevant curvature. The iterations stop when this bound is
    below the tolerance, or when the gain is above it and hardly increases.

    Parameters
    ----------
    score : callable
        Function that returns the score at w, in coordinates with unit complete-data information. It returns
        None if the log-likelihood does not exist.
    place, at_place : ndarray
        The point w and its score, which is None if it does not exist.
    inverse : callable, optional
        Product with a symmetric positive definite approximation of I^{-1}.
    goes_on : bool
        Whether the search may use the step. Otherwise a score above its tolerance takes only one product.
    """
    if at_place is None:
        return Verdict(np.nan, np.nan, np.zeros(len(place)))
    norm, size = float(np.max(np.abs(at_place), initial=0.0)), 0.5 * float(at_place @ at_place)
    if size < FLAT * GAIN_TOLERANCE:  # for any curvature
        return Verdict(norm, size, np.zeros(len(place)))
    most = _PRODUCTS if goes_on or norm < SCORE_TOLERANCE else 1
    return _by_products(score, place, at_place, inverse or np.copy, min(most, len(place)))


def _by_products(score: Score, place: Array, s: Array, solve: Callable[[Array], Array], most: int) -> Verdict:
    """Return the verdict after at most ``most`` products with the information."""
    norm, gain, step, r = float(np.max(np.abs(s))), 0.0, np.zeros(len(place)), np.array(s)
    d = solve(r)
    rz, least = float(r @ d), np.inf
    for _ in range(most):
        product = _product(score, place, d)
        if product is None:
            return Verdict(norm, np.nan, step)
        curvature, size = float(d @ product), float(d @ d)
        if curvature <= FLAT * size:
            along, convex = d / np.sqrt(size), curvature < -FLAT * size
            lengths = _LENGTHS if convex else [np.copysign(_FAR, r @ along)]
            more, length = _best_along(score, place + step, r, along, lengths)
            return Verdict(norm, gain + more, step + length * along if convex else step)
        alpha, least = rz / curvature, min(least, curvature / size)
        grows = 0.5 * alpha * rz
        gain, step, r = gain + grows, step + alpha * d, r - alpha * product
        hidden = 0.5 * float(r @ r)
        if hidden < FLAT * GAIN_TOLERANCE or (gain > GAIN_TOLERANCE and grows < _ACCURATE * gain):
            return Verdict(norm, gain, step)
        z = solve(r)
        before, rz = rz, float(r @ z)
        d = z + (rz / before) * d
    return Verdict(norm, gain + hidden / least, step)


def _best_along(
    score: Score, place: Array, s: Array, d: Array, lengths: Sequence[float]
) -> tuple[float, float]:
    """
    Return the largest gain along a direction, from the scores at both ends of steps, and its step.

    A direction that is not identified has no slope. If the log-likelihood is constant along a curve, it
    decreases along the tangent. On a ridge it increases over a long distance.
    """
    found = [(0.0, 0.0)]
    for length in lengths:
        there = score(place + length * d)
        if there is not None:
            found.append((0.5 * length * float((s + there) @ d), length))
    return max(found)


def _product(score: Score, place: Array, d: Array) -> Array | None:
    """Return the information times d from differences of the score, or None if both sides have no score."""
    h = _DIFFERENCE / float(np.max(np.abs(d)))
    for share in (1.0, 0.1, 1e-2, 1e-3, 1e-4):  # smaller steps near the boundary
        ahead, behind = score(place + share * h * d), score(place - share * h * d)
        if ahead is not None and behind is not None:
            return (behind - ahead) / (2.0 * share * h)
    return None


SAME_MAXIMUM = 1e-4
"""Two starts reach the same maximum if their log-likelihoods have at most this relative difference."""


@dataclass(frozen=True)
class FitResult:
    """
    The outcome of a fit.

    Attributes
    ----------
    params : ndarray
        All parameters, including the fixed ones.
    llf : float
        Log-likelihood.
    method : str
        The requested method.
    converged : bool
        Whether the scaled score and the predicted gain are below their tolerances.
    status : str
        The reason why the fit stopped.
    score_norm : float
        Largest element of the score, scaled by complete-data standard errors. If second derivatives were
        computed, it is measured in coordinates in which they are 1 or -1.
    gain : float
        Predicted gain of a Newton step in the log-likelihood, s' I^{-1} s / 2.
    iterations, evaluations : int
        Number of iterations, and of evaluations of the likelihood or its gradient.
    em_trace : dict of list
        Trace of an EM method; empty for other methods.
    gradient_path : list of float
        Log-likelihoods of a gradient method, by iteration.
    starts : list of float
        Log-likelihoods that the starts reached, in their order. A start may stop early, on the path of
        another start or on the slope of a known maximum. It then has the log-likelihood of that maximum.
    seconds : float
        Elapsed time.
    warnings : list of (str, type)
        Warnings to issue.
    dead_end : bool
        Whether the search approached a region without a maximum, which ``status`` describes.
    """

    params: Array
    llf: float
    method: str
    converged: bool
    status: str
    score_norm: float = np.nan
    gain: float = np.nan
    iterations: int = 0
    evaluations: int = 1
    em_trace: dict[str, list[float]] = field(default_factory=dict)
    gradient_path: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    seconds: float = 0.0
    warnings: list[tuple[str, type[Warning]]] = field(default_factory=list)
    dead_end: bool = False

    @property
    def trace(self) -> dict[str, list[float]]:
        """The trace of EM, or the iterations of a gradient method in the same columns."""
        path = self.gradient_path
        columns = [range(1, len(path) + 1), path, np.diff(path, prepend=np.nan), np.full(len(path), np.nan)]
        names = ("iteration", "llf", "change", "params_change")
        return self.em_trace or {key: list(column) for key, column in zip(names, columns, strict=True)}

    @property
    def starts_at_best(self) -> int:
        """The number of starts that reached the highest log-likelihood."""
        level = max(self.starts, default=0.0) - SAME_MAXIMUM * (1.0 + abs(self.llf))
        return int(sum(llf > level for llf in self.starts))


_LEAST_SHARE, _ROUNDING = 0.03, 1e-12
_FLOOR = 1e-7
"""The smallest second derivative, relative to the largest, that is used."""
_NEAR_EDGE = 1e-3
"""If a correlation matrix has larger eigenvalues, the barrier moves a maximum by its weight squared."""
_FINISHING = 3
"""Largest number of Newton steps by conjugate gradients after a search that stopped early."""
_NOWHERE = np.array([np.nan])
"""A point that no other equals."""


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
        self._recent: tuple[Array, tuple[float, Array] | None] = (_NOWHERE, None)
        self._slope: Array | None = None  # the gradient by parameter of the last evaluation

    def unconstrained(self, w: Array) -> Array:
        """Return the unconstrained parameters at w."""
        return np.asarray(self.origin + (self.basis * w if self.basis.ndim == 1 else self.basis @ w))

    def params(self, w: Array | None = None) -> Array:
        """Return the parameters at w, or at the origin."""
        return self.problem.layout.constrain(self.origin if w is None else self.unconstrained(w))

    def slope(self, way: Array, gradient: Array) -> float:
        """Return the slope of the log-likelihood along a vector of unconstrained parameters."""
        w = way / self.basis if self.basis.ndim == 1 else np.linalg.solve(self.basis, way)
        return -float(gradient @ w)

    def evaluate(self, w: Array) -> tuple[float, Array] | None:
        """Return the value and the gradient, or None if the likelihood does not exist."""
        if np.array_equal(w, self._recent[0]):
            return self._recent[1]
        self._recent = (np.array(w), self._evaluate(w))
        return self._recent[1]

    def _evaluate(self, w: Array) -> tuple[float, Array] | None:
        self.evaluations += 1
        self._slope = None
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
        self._slope = slope
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

        Second derivatives are those of an average information. If a model has no such matrix, or with order
        two, they are differences of the score. ``order`` is the order of their error in the step. (Many
        parameters keep their scale if the average does not exist here.)
        """
        zero = np.zeros(len(self.scale))
        self.basis, self._recent = self.scale, (_NOWHERE, None)
        self._here(self(zero)[1])
        information = self._average_information() if order == 1 else None
        if information is None and order == 1 and len(zero) > WHITENED_UP_TO:
            return True
        if information is None:
            steps, nowhere = np.full(len(zero), _DIFFERENCE), np.full(len(zero), np.nan)
            information = -jacobian(
                lambda w: nowhere if (s := self.score(w)) is None else s, zero, steps, order
            )
        if not np.all(np.isfinite(information)):
            return False
        values, vectors = np.linalg.eigh(0.5 * (information + information.T))
        size = np.maximum(np.abs(values), _FLOOR * max(float(np.max(np.abs(values))), 1e-300))
        turn = vectors / np.sqrt(size)
        self.basis = self.scale[:, None] * turn
        self._here(-turn.T @ self.score_here)
        return True

    def _average_information(self) -> Array | None:
        """Return the average information in units of the scale, or None."""
        slope = self._slope
        found = None if self.weight else self.problem.average_information(self.params())
        if found is None or slope is None:
            return None
        information = self.problem.layout.information(self.origin, found, slope)
        return np.asarray(self.scale[:, None] * information * self.scale)

    def shortfall(self) -> float:
        """Return how far the barrier lowers a maximum with a singular covariance matrix."""
        if not self.weight:
            return 0.0
        matrices, lost = self.problem.layout.matrices(self.params()), 0
        for key in self.problem.layout.untransformed:
            for sigma in by_group(matrices[key]):
                sds = np.sqrt(np.where(np.diag(sigma) > 0, np.diag(sigma), 1.0))
                lost += int(np.sum(np.linalg.eigvalsh(sigma / sds[:, None] / sds) < _NEAR_EDGE))
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


def scale_from(layout: ParameterLayout, params: Array, information: Array, fallback: Array) -> Array:
    """Return the inverse square root of the information about each unconstrained parameter, or a fallback."""
    z = layout.unconstrain(params)
    out = np.array(information)
    for transform, places in layout.transforms:
        out[places] = np.square(transform.jacobian(z[places])).T @ information[places]
    good = np.isfinite(out) & (out > 0)
    return np.where(good, 1.0 / np.sqrt(np.where(good, out, 1.0)), fallback)


def parameter_scale(problem: EstimationProblem, params: Array) -> Array:
    """
    Return a scale for each unconstrained parameter, from its complete-data information.

    The scale is the inverse square root of the information. It makes the path of a gradient method
    independent of the units of the data.
    """
    fallback = np.maximum(np.abs(problem.layout.unconstrain(params)), 1e-3)
    params = _with_noise(problem, params)
    try:
        information = problem.updates.information(params, problem.moments(params))
    except NOT_HERE:
        return fallback
    scale = scale_from(problem.layout, params, information, fallback)
    ends = problem.layout.positions(sorted(problem.layout.bounded))
    known = np.isfinite(information[ends]) & (information[ends] > 0)
    # at an end of the interval, the parameter changes by half the square of a step
    longest = np.where(known, np.sqrt(2.0) * np.where(known, information[ends], 1.0) ** -0.25, 1.0)
    scale[ends] = np.minimum(scale[ends], longest)
    return np.maximum(scale, _smallest_scale(problem, params))


def _smallest_scale(problem: EstimationProblem, params: Array) -> Array:
    """
    Return the smallest scale of square roots, Cholesky factors and parameters in (-1, 1); zero for others.

    Near zero, complete data determine a variance much more precisely than the observed data. The smallest
    scale of a row is the square root of the variance that would explain the data on its own, divided by the
    number of periods. The complete data of a process without noise determine its autoregression exactly.
    """
    layout = problem.layout
    out = np.zeros(len(layout))
    sizes = problem.model.variance_sizes(problem.full(params))
    nobs = len(problem.smoother.endog)
    for key in layout.structures:
        if key in sizes and key not in layout.untransformed:
            sds = np.sqrt(np.minimum(sizes[key], 1e100) / nobs)
            rows = np.maximum(layout.blocks[key].rows, layout.blocks[key].columns)
            np.maximum.at(out, layout.index[key], _LEAST_SHARE * sds[rows])
    out[layout.positions(sorted(layout.bounded))] = _LEAST_SHARE / np.sqrt(nobs)
    return out


def _with_noise(problem: EstimationProblem, params: Array) -> Array:
    """
    Return parameters with additional measurement noise, of the sizes of `_smallest_scale`.

    If a combination of series has hardly any measurement error, complete data determine its loadings much
    more precisely than the observed data. Their scales would be nearly zero, as would steps and the score.
    """
    block, places = problem.layout.blocks["obs_cov"], problem.layout.index["obs_cov"]
    single = block.rows == block.columns
    sizes = problem.model.variance_sizes(problem.full(params))["obs_cov"][block.rows[single]]
    more = np.zeros(len(params))
    np.maximum.at(more, places[single], _LEAST_SHARE**2 * sizes / len(problem.smoother.endog))
    return params + more
