"""The outcome of a fit, and its test for convergence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..numerics.linear_algebra import Array

SCORE_TOLERANCE = 1e-3
"""Largest scaled score at a maximum."""
GAIN_TOLERANCE = 1e-6
"""Largest predicted gain s' I^{-1} s / 2 at a maximum."""
FLAT = 1e-6
"""Relative to complete data, a curvature below this limit leads to a trial of a long step."""
_PRODUCTS = 8
"""Largest number of products with the information. Each needs two scores."""
_DIFFERENCE = 1e-3
"""Step in complete-data standard errors. Scores have errors of 1e-5 at a coefficient near one."""
_FAR = 10.0
"""Length of a long step, in complete-data standard errors, if the curvature is too small to measure."""
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
        Predicted gain s' I^{-1} s / 2. It is infinite if the log-likelihood is convex along a direction.
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
            convex = curvature < -FLAT * size
            far = np.inf if convex else _gain_far_along(score, place + step, r, d / np.sqrt(size))
            return Verdict(norm, gain + far, step)
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


def _gain_far_along(score: Score, place: Array, s: Array, d: Array) -> float:
    """
    Return the gain of a long step along a direction, from the scores at both ends; zero if it is negative.

    A direction that is not identified has no slope. If the log-likelihood is constant along a curve, it
    decreases along the tangent. On a ridge it increases over a long distance.
    """
    up = d if s @ d > 0.0 else -d
    there = score(place + _FAR * up)
    return 0.0 if there is None else max(0.5 * _FAR * float((s + there) @ up), 0.0)


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
        return int(
            np.sum(
                np.array(self.starts) > max(self.starts, default=0.0) - SAME_MAXIMUM * (1.0 + abs(self.llf))
            )
        )
