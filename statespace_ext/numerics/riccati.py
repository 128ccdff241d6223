"""
Riccati recursions by doubling: the whole path in log2(length) steps, and the limit of one and of its dual.

With f(X) = A X (I + J X)^{-1} A' + C and its dual g(Y) = A' Y (I + C Y)^{-1} A + J, 2^m steps of f are one
step of the same form, at matrices that double:

    A <- A (I + C J)^{-1} A,   C <- C + A (I + C J)^{-1} C A',   J <- J + A' J (I + C J)^{-1} A

A path of 2^m values is extended to twice its length by one product for all of them. The matrices C and J
are what f and g are at after 2^m steps from zero, so that they go to the limits (the structured doubling
algorithm: Chu, Fan, Lin & Wang 2004, Int. J. Control 77, 767-788).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .linear_algebra import Array, solve, solve_and_log_det, symmetrize

_SETTLED = 1e-14
"""Change of an element, relative to the roots of its diagonal ones, below which it has converged."""
_LARGE_START = 1e3
"""Start (in units of the noise that damps it) from which the first steps are taken one by one."""
CONSISTENT = 1e-12
"""Largest difference, relative as above, between the path and one step of the recursion from each value."""
POLISHES = 6
"""Largest number of such steps to make the path consistent, which wear off what rounding did to it."""
_SHORTEST = 8
"""Length of the path from which it is worth looking whether it has settled."""


class RiccatiPath(NamedTuple):
    """
    Values X_t and what a step takes of each.

    Attributes
    ----------
    values : ndarray, (s, k, k)
        X_t.
    innovations : ndarray, (s, m, m)
        G_t = I + root X_t root'.
    weights : ndarray, (s, m, k)
        G_t^{-1} root X_t.
    damped : ndarray, (s, k, k)
        X_t - X_t root' G_t^{-1} root X_t = X_t (I + J X_t)^{-1}, of which A(.)A' + C is X_{t+1}.
    """

    values: Array
    innovations: Array
    weights: Array
    damped: Array


class Riccati(NamedTuple):
    """
    X_{t+1} = f(X_t) from X_1.

    Attributes
    ----------
    A, C : ndarray, (k, k)
        The recursion; C is positive semidefinite.
    root : ndarray, (m, k)
        J = root' root.
    start : ndarray, (k, k)
        X_1.
    """

    A: Array
    C: Array
    root: Array
    start: Array


def riccati_paths(recursions: list[Riccati], length: int) -> list[RiccatiPath]:
    """
    Return the paths of recursions of one size until they stop changing.

    Parameters
    ----------
    recursions : list of Riccati
        The recursions, doubled side by side.
    length : int
        Largest number of values.

    Returns
    -------
    list of RiccatiPath
        s <= length values; where s < length those that follow equal the last.

    Raises
    ------
    LinAlgError
        Where rounding spoils the doubling, which is compared with the recursion.
    """
    first = [_first_steps(recursion, length) for recursion in recursions]
    paths = _doubled(
        np.array([recursion.A for recursion in recursions]),
        np.array([recursion.C for recursion in recursions]),
        np.array([recursion.root.T @ recursion.root for recursion in recursions]),
        np.array([steps[-1] for steps in first]),
        length,
    )
    return [
        _consistent(recursion, np.concatenate([steps[:-1], path[: _converged_after(path)]])[:length])
        for recursion, steps, path in zip(recursions, first, paths, strict=True)
    ]


def _first_steps(recursion: Riccati, length: int) -> Array:
    """Return X_1 and, where it is large, the values until it has come down."""
    A, C, root, start = recursion
    out = start[None]
    while len(out) < min(length, len(A) + 2) and _signal(root, out[-1]) > _LARGE_START:
        out = np.concatenate([out, symmetrize(A @ _step(out[-1:], root).damped @ A.T + C)])
    return out


def _consistent(recursion: Riccati, path: Array) -> RiccatiPath:
    """Return the path, improved by steps of the recursion from each value until these change nothing."""
    A, C, root, _ = recursion
    for _ in range(POLISHES):
        found = _step(path, root)
        following = symmetrize(A @ found.damped[:-1] @ A.T + C)
        if np.all(np.abs(following - path[1:]) <= relative_to(following, CONSISTENT)):
            return found
        path = np.concatenate([path[:1], following])
    raise np.linalg.LinAlgError("the Riccati recursion cannot be doubled at these matrices")


def _signal(root: Array, X: Array) -> float:
    return float(np.max(np.sum((root @ X) * root, axis=1)))


def _step(X: Array, root: Array) -> RiccatiPath:
    half = root @ X
    innovations = np.eye(len(root)) + half @ root.T
    weights = np.linalg.solve(innovations, half)
    return RiccatiPath(X, innovations, weights, X - np.swapaxes(half, 1, 2) @ weights)


def relative_to(X: Array, tolerance: float) -> Array:
    """Return a tolerance by element, relative to the roots of the diagonal elements."""
    size = np.sqrt(np.maximum(np.diagonal(X, axis1=-2, axis2=-1), 0.0))
    return tolerance * size[..., :, None] * size[..., None, :]


def _converged_after(path: Array) -> int:
    """Return the number of values up to the first of those that equal the last."""
    apart = np.any(np.abs(path - path[-1]) > relative_to(path[-1], _SETTLED), axis=(1, 2))
    return int(np.max(np.flatnonzero(apart), initial=-1)) + 2


def _doubled(A: Array, C: Array, J: Array, start: Array, length: int) -> Array:
    """
    Return the paths, (recursion, period, k, k), ended where no last quarter has changed.

    C is what the steps make of zero: it is carried in front of each path.
    """
    path, identity = np.stack([C, start], axis=1), np.eye(start.shape[-1])
    while True:
        half = path[:, : 1 + length - (path.shape[1] - 1)]
        ahead = identity + half @ J[:, None]
        transposed = np.swapaxes(A, 1, 2)
        following = A[:, None] @ np.linalg.solve(ahead, half) @ transposed[:, None]
        following = symmetrize(following) + path[:, :1]
        path = np.concatenate([following[:, :1], path[:, 1:], following[:, 1:]], axis=1)
        if path.shape[1] > length or _at_rest(path[:, 1:]):
            return path[:, 1:]
        step = np.linalg.solve(ahead[:, 0], A)
        J = J + transposed @ (J @ step)
        A = A @ step


def _at_rest(path: Array) -> bool:
    """Return whether nothing changed over the last quarter."""
    count = path.shape[1]
    if count < _SHORTEST:
        return False
    late = np.abs(path[:, (3 * count) // 4 :: max(count // 8, 1)] - path[:, -1:])
    if late.max() > _SETTLED * np.abs(path[:, -1]).max():  # beyond the largest of the limits
        return False
    return bool(np.all(late <= relative_to(path[:, -1:], _SETTLED)))


_GROWN = 1e-15
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
    return bool((more.diagonal() <= _GROWN * total.diagonal()).all())


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
