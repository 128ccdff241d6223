"""
The whole path of a Riccati recursion in log2(length) steps, by doubling.

With f(X) = A X (I + J X)^{-1} A' + C, 2^m steps of f are one step of the same form, at matrices that double:

    A <- A (I + C J)^{-1} A,   C <- C + A (I + C J)^{-1} C A',   J <- J + A' J (I + C J)^{-1} A

so that a path of 2^m values is extended to twice its length by one product for all of them.
"""

from __future__ import annotations

import numpy as np

from .linear_algebra import Array, symmetrize

_SETTLED = 1e-14
"""Change of an element, relative to the roots of its diagonal ones, below which it has converged."""
_LARGE_START = 1e3
"""Start (in units of the noise that damps it) from which the first steps are taken one by one."""
_CONSISTENT = 1e-12
"""Largest difference, relative as above, between the path and one step of the recursion from each value."""
_POLISHES = 6
"""Largest number of such steps to make the path consistent, which wear off what rounding did to it."""


def damped(X: Array, J: Array) -> Array:
    """Return X (I + J X)^{-1} = (I + X J)^{-1} X for symmetric matrices, over leading axes."""
    return symmetrize(np.linalg.solve(np.eye(X.shape[-1]) + X @ J, X))


def riccati_step(A: Array, C: Array, root: Array, X: Array) -> Array:
    """Return A (X - X root' (I + root X root')^{-1} root X) A' + C, over leading axes."""
    half = root @ X
    solved = np.linalg.solve(np.eye(len(root)) + half @ root.T, half)
    return symmetrize(A @ (X - np.swapaxes(half, -1, -2) @ solved) @ A.T + C)


def riccati_path(A: Array, C: Array, root: Array, start: Array, length: int) -> Array:
    """
    Return X_1 = ``start`` and X_{t+1} = f(X_t) until they stop changing.

    Parameters
    ----------
    A, C : ndarray, (k, k)
        The recursion; C is positive semidefinite.
    root : ndarray, (m, k)
        J = root' root.
    start : ndarray, (k, k)
        X_1.
    length : int
        Largest number of values.

    Returns
    -------
    ndarray, (s, k, k)
        The values, s <= length; where s < length those that follow equal the last.

    Raises
    ------
    LinAlgError
        Where rounding spoils the doubling, which is compared with the recursion.
    """
    first = [start]
    while len(first) < min(length, len(A) + 2) and np.max(np.diag(root @ first[-1] @ root.T)) > _LARGE_START:
        first.append(riccati_step(A, C, root, first[-1]))
    tail = _doubled(A, C, root.T @ root, first[-1], length - len(first) + 1)
    path = np.concatenate([np.array(first[:-1]).reshape(-1, *start.shape), tail])
    for _ in range(_POLISHES):
        following = riccati_step(A, C, root, path[:-1])
        consistent = np.all(np.abs(following - path[1:]) <= _scale(following, _CONSISTENT))
        path[1:] = following
        if consistent:
            return path
    raise np.linalg.LinAlgError("the Riccati recursion cannot be doubled at these matrices")


def _scale(X: Array, tolerance: float) -> Array:
    size = np.sqrt(np.clip(np.diagonal(X, axis1=-2, axis2=-1), 0.0, None))
    return tolerance * size[..., :, None] * size[..., None, :]


def _doubled(A: Array, C: Array, J: Array, start: Array, length: int) -> Array:
    path, k = start[None], len(start)
    identity = np.eye(k)
    while len(path) < length:
        half = len(path)
        following = symmetrize(A @ damped(path[: length - half], J) @ A.T + C)
        path = np.concatenate([path, following])
        apart = np.any(np.abs(path[:-1] - path[-1]) > _scale(path[-1], _SETTLED), axis=(1, 2))
        settled = int(np.flatnonzero(apart)[-1]) + 2 if apart.any() else 1
        if settled <= half:
            return path[:settled]
        step = np.linalg.solve(identity + C @ J, np.concatenate([A, C @ A.T], axis=1))
        J = symmetrize(J + A.T @ J @ step[:, :k])
        A, C = A @ step[:, :k], symmetrize(C + A @ step[:, k:])
    return path
