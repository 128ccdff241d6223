"""
Where a Riccati recursion and its dual settle, by doubling.

With f(X) = A X (I + J X)^{-1} A' + C and its dual g(Y) = A' Y (I + C Y)^{-1} A + J, 2^m steps of f are one at
matrices that double,

    A <- A (I + C J)^{-1} A,   C <- C + A (I + C J)^{-1} C A',   J <- J + A' J (I + C J)^{-1} A,

where C and J are what f and g are at after 2^m steps from zero (the structured doubling algorithm: Chu, Fan,
Lin & Wang 2004, Int. J. Control 77, 767-788).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .linear_algebra import Array, solve, solve_and_log_det, symmetrize
from .riccati import CONSISTENT, POLISHES, relative_to

_SETTLED = 1e-15
"""Growth of a diagonal element, relative to it, that is rounding."""
_NEGLIGIBLE = 1e-12
"""Element of a power of a matrix that does not count."""


class RiccatiLimit(NamedTuple):
    """
    The limits X = f(X) and Y = g(Y), and what a step of f takes of X.

    Attributes
    ----------
    value, dual : ndarray, (k, k)
        X and Y.
    closing : ndarray, (k, k)
        (I + X J)^{-1}.
    damped : ndarray, (k, k)
        (I + X J)^{-1} X.
    log_det : float
        log|I + X J|.
    """

    value: Array
    dual: Array
    closing: Array
    damped: Array
    log_det: float


def riccati_limit(A: Array, C: Array, J: Array, length: int) -> RiccatiLimit | None:
    """
    Return where the recursions settle, None if not within ``length`` steps.

    Raises
    ------
    LinAlgError
        Where rounding spoils the doubling, which is compared with the recursion.
    """
    value, dual, power, steps = C, J, A, 1
    k, identity = len(A), np.eye(len(A))
    while steps < length:
        solved = solve(identity + value @ dual, np.concatenate([power, value @ power.T], axis=1))
        ahead = solved[:, :k]
        more, dual_more = power @ solved[:, k:], power.T @ (dual @ ahead)
        value, dual, power, steps = value + more, dual + dual_more, power @ ahead, 2 * steps
        if _small(more, value) and _small(dual_more, dual):
            return _polished(A, C, J, symmetrize(value), dual)
    return None


def _small(more: Array, total: Array) -> bool:
    return bool((more.diagonal() <= _SETTLED * total.diagonal()).all())


def _polished(A: Array, C: Array, J: Array, value: Array, dual: Array) -> RiccatiLimit:
    """Return limits that a step leaves where they are, near those given."""
    k, identity = len(A), np.eye(len(A))
    dual = symmetrize(A.T @ dual @ solve(identity + C @ dual, A) + J)
    for _ in range(POLISHES):
        both, log_det = solve_and_log_det(identity + value @ J, np.concatenate([identity, value], axis=1))
        damped = symmetrize(both[:, k:])
        following = symmetrize(A @ damped @ A.T + C)
        if (np.abs(following - value) <= relative_to(following, CONSISTENT)).all():
            return RiccatiLimit(value, dual, both[:, :k], damped, log_det)
        value = following
    raise np.linalg.LinAlgError("the Riccati recursion has no limit that rounding allows to find")


class GeometricSums(NamedTuple):
    """
    Sums over i >= 0.

    Attributes
    ----------
    forward, backward : ndarray, (k, k)
        Sums of M^i X M'^i and of M'^i Y M^i.
    powers : list of ndarray
        M, M^2, M^4, ..., up to a negligible one.
    """

    forward: Array
    backward: Array
    powers: list[Array]


def geometric_sums(M: Array, X: Array, Y: Array, scale: Array, length: int) -> GeometricSums | None:
    """
    Return sums of M^i X M'^i and M'^i Y M^i, None if none of M, M^2, M^4, ... up to ``length`` is negligible.

    Parameters
    ----------
    M, X, Y : ndarray, (k, k)
        The matrices.
    scale : ndarray, (k,)
        Sizes of the elements that M is applied to.
    length : int
        Largest power.
    """
    powers, steps = [M], 1
    least = _NEGLIGIBLE * scale[:, None]
    while not (np.abs(powers[-1]) * scale <= least).all():
        if 2 * steps > length:
            return None
        power = powers[-1]
        X, Y = X + power @ X @ power.T, Y + power.T @ Y @ power
        powers.append(power @ power)
        steps *= 2
    return GeometricSums(X, Y, powers)
