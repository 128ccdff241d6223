"""The outcome of a fit, how near it is to a maximum, and when it counts as converged."""

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
"""Curvature of a direction, where complete data have one, below which a long step is tried along it."""
_PRODUCTS = 8
"""Largest number of products with the information, of two scores each."""
_DIFFERENCE = 1e-3
"""In complete-data standard errors: at a coefficient near one a score has errors of 1e-5."""
_FAR = 10.0
"""Complete-data standard errors, a step in a direction whose curvature is too small to tell."""
_ACCURATE = 0.1
"""Share of a predicted gain that is too large by which another product still adds to it."""

Score = Callable[[Array], "Array | None"]


@dataclass(frozen=True)
class Verdict:
    """
    How near a point is to a maximum.

    Attributes
    ----------
    score_norm : float
        Largest element of the score, each times the standard error that complete data would give.
    gain : float
        Predicted gain s' I^{-1} s / 2; infinite where the log-likelihood is convex along a direction.
    step : ndarray
        The Newton step, in the coordinates of the score.
    """

    score_norm: float
    gain: float
    step: Array

    @property
    def converged(self) -> bool:
        """Whether both are below their tolerances."""
        return bool(self.score_norm < SCORE_TOLERANCE and self.gain < GAIN_TOLERANCE)

    @property
    def shortfall(self) -> float:
        """How many times the score and the gain are too large, 1 or less at a maximum."""
        return float(max(self.score_norm / SCORE_TOLERANCE, self.gain / GAIN_TOLERANCE))

    @property
    def in_words(self) -> str:
        """The two numbers, for a status."""
        return f"the scaled score is {self.score_norm:.2g} and the predicted gain {self.gain:.2g}"


def judged(
    score: Score,
    place: Array,
    at_place: Array | None,
    inverse: Callable[[Array], Array] | None = None,
    goes_on: bool = True,
) -> Verdict:
    r"""
    Return the verdict on a point, by conjugate gradients.

    With I = -d score / dw, the products I d are differences of the score along d. After m products the gain
    is that of the best step in their span, a lower bound of s' I^{-1} s / 2. What the residual r of I x = s
    may hide is at most r' r / 2 over the least curvature that counts. The products end where that is below
    the tolerance, or where the gain is above it and hardly grows.

    Parameters
    ----------
    score : callable
        Return the score at w, in coordinates in which complete data have information one; None where the
        log-likelihood does not exist.
    place, at_place : ndarray
        The point w, and the score there (None where it does not exist).
    inverse : callable, optional
        Product with an approximation of I^{-1}, symmetric and positive definite.
    goes_on : bool
        Whether the search may use the step. Else a score above its tolerance takes one product alone.
    """
    if at_place is None:
        return Verdict(np.nan, np.nan, np.zeros(len(place)))
    norm, size = float(np.max(np.abs(at_place), initial=0.0)), 0.5 * float(at_place @ at_place)
    if size < FLAT * GAIN_TOLERANCE:  # whatever the curvature is
        return Verdict(norm, size, np.zeros(len(place)))
    most = _PRODUCTS if goes_on or norm < SCORE_TOLERANCE else 1
    return _by_products(score, place, at_place, inverse or np.copy, min(most, len(place)))


def _by_products(score: Score, place: Array, s: Array, solve: Callable[[Array], Array], most: int) -> Verdict:
    """Return the verdict after so many products with the information, or fewer."""
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
    Return what a long step along a direction gains, by the score at both ends; nothing where it falls.

    A direction that is not identified has no slope, and one in which the log-likelihood is constant along a
    curve falls beside it. On a ridge it rises for long.
    """
    up = d if s @ d > 0.0 else -d
    there = score(place + _FAR * up)
    return 0.0 if there is None else max(0.5 * _FAR * float((s + there) @ up), 0.0)


def _product(score: Score, place: Array, d: Array) -> Array | None:
    """Return the information times d, by differences of the score; None where it exists on neither side."""
    h = _DIFFERENCE / float(np.max(np.abs(d)))
    for share in (1.0, 0.1, 1e-2, 1e-3, 1e-4):  # less beside the edge of the cone
        ahead, behind = score(place + share * h * d), score(place - share * h * d)
        if ahead is not None and behind is not None:
            return (behind - ahead) / (2.0 * share * h)
    return None


SAME_MAXIMUM = 1e-4
"""Relative difference of log-likelihoods up to which two starts reach the same maximum."""


@dataclass(frozen=True)
class FitResult:
    """
    The outcome of a fit.

    Attributes
    ----------
    params : ndarray
        All parameters, the fixed ones included.
    llf : float
        Log-likelihood.
    method : str
        The method asked for.
    converged : bool
        Whether the scaled score and the predicted gain are below their tolerances.
    status : str
        What ended it, in words.
    score_norm : float
        Largest element of the score, each times the standard error that complete data would give; where a
        search has found second derivatives, in coordinates in which they are 1 or -1.
    gain : float
        What the log-likelihood would gain by a Newton step, s' I^{-1} s / 2.
    iterations, evaluations : int
        Iterations; evaluations of the likelihood or its gradient.
    em_trace : dict of list
        Trace of an EM method; empty after others.
    gradient_path : list of float
        Log-likelihoods of a gradient method, by iteration.
    starts : list of float
        Log-likelihoods that the starts reached, in their order. A start that goes no further, because a few
        steps bring it to where another start goes, or onto the slope of a maximum at hand, counts with that.
    seconds : float
        Time taken.
    warnings : list of (str, type)
        What to warn of.
    dead_end : bool
        Whether the search ran towards what has no maximum, as ``status`` says.
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
        """The trace of EM, or the iterations of a gradient method in its columns."""
        path = self.gradient_path
        columns = [range(1, len(path) + 1), path, np.diff(path, prepend=np.nan), np.full(len(path), np.nan)]
        names = ("iteration", "llf", "change", "params_change")
        return self.em_trace or {key: list(column) for key, column in zip(names, columns, strict=True)}

    @property
    def starts_at_best(self) -> int:
        """Number of starts that reached the highest log-likelihood."""
        return int(
            np.sum(
                np.array(self.starts) > max(self.starts, default=0.0) - SAME_MAXIMUM * (1.0 + abs(self.llf))
            )
        )


def status_of(verdict: Verdict, message: str, dead_end: str = "") -> tuple[bool, str]:
    """Return whether a search has converged, and what ended it, in words."""
    if dead_end or verdict.converged:
        return not dead_end, dead_end or "converged"
    return False, f"{verdict.in_words} ({message})"
