"""How near parameters are to a maximum: the scaled score, and what a Newton step would gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..numerics.linear_algebra import Array

SCORE_TOLERANCE = 1e-3
"""Largest scaled score at a maximum."""
GAIN_TOLERANCE = 1e-6
"""Largest predicted gain s' I^{-1} s / 2 at a maximum."""
FLAT = 1e-6
"""Curvature, where complete data have one, below which a direction counts as not identified."""
_PRODUCTS = 8
"""Largest number of products with the information, of two scores each."""
_DIFFERENCE = 1e-4
_SAFETY = 0.1
"""Share of the least curvature seen that is supposed of the directions not yet seen."""
_ACCURATE = 0.1
"""Relative accuracy of a predicted gain that is too large."""

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


def judged(
    score: Score, place: Array, at_place: Array | None, inverse: Callable[[Array], Array] | None = None
) -> Verdict:
    r"""
    Return the verdict on a point, by conjugate gradients.

    With I = -d score / dw, the products I d are differences of the score along d. After m products the gain
    is that of the best step in their span, a lower bound of s' I^{-1} s / 2; the residual r of I x = s and the
    least curvature seen give what may be left, r' r / 2 over a share of that curvature. It ends where the two
    agree on which side of the tolerance the gain is.

    Parameters
    ----------
    score : callable
        Return the score at w, in coordinates in which complete data have information one; None where the
        log-likelihood does not exist.
    place, at_place : ndarray
        The point w, and the score there (None where there is none).
    inverse : callable, optional
        Product with an approximation of I^{-1}, symmetric and positive definite.
    """
    if at_place is None:
        return Verdict(np.nan, np.nan, np.zeros(len(place)))
    s = at_place
    norm = float(np.max(np.abs(s), initial=0.0))
    gain, step, r = 0.0, np.zeros(len(place)), np.array(s)
    if 0.5 * float(s @ s) < FLAT * GAIN_TOLERANCE:  # whatever the curvature is
        return Verdict(norm, 0.5 * float(s @ s), step)
    z = r if inverse is None else inverse(r)
    d, rz, tridiagonal = z, float(r @ z), _Lanczos()
    for _ in range(min(_PRODUCTS, len(place))):
        product = _product(score, place, d)
        if product is None:
            return Verdict(norm, np.nan, step)
        curvature, size = float(d @ product), float(d @ d)
        if abs(curvature) <= FLAT * size:
            break
        if curvature < 0.0:
            return Verdict(norm, np.inf, step)
        alpha = rz / curvature
        gain, step, r = gain + 0.5 * alpha * rz, step + alpha * d, r - alpha * product
        z = r if inverse is None else inverse(r)
        before, rz = rz, float(r @ z)
        least = tridiagonal.least(alpha, rz / before)
        left = 0.5 * rz / (_SAFETY * least)
        if gain + left < GAIN_TOLERANCE or (gain > GAIN_TOLERANCE and left < _ACCURATE * gain):
            break
        d = z + (rz / before) * d
    return Verdict(norm, gain, step)


def _product(score: Score, place: Array, d: Array) -> Array | None:
    """Return the information times d, by differences of the score; None where it exists on neither side."""
    h = _DIFFERENCE / float(np.max(np.abs(d)))
    for share in (1.0, 0.1, 0.01):
        ahead, behind = score(place + share * h * d), score(place - share * h * d)
        if ahead is not None and behind is not None:
            return (behind - ahead) / (2.0 * share * h)
    return None


class _Lanczos:
    """The tridiagonal matrix of conjugate gradients, whose eigenvalues are curvatures seen so far."""

    def __init__(self) -> None:
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self._carried = 0.0

    def least(self, alpha: float, beta: float) -> float:
        """Return the least eigenvalue after a step of length alpha, the next direction having share beta."""
        self.diagonal.append(1.0 / alpha + self._carried)
        matrix = np.diag(self.diagonal)
        if self.beside:
            matrix += np.diag(self.beside, 1) + np.diag(self.beside, -1)
        self.beside.append(np.sqrt(max(beta, 0.0)) / alpha)
        self._carried = beta / alpha
        return float(np.linalg.eigvalsh(matrix)[0])
