"""
The whole path of a Riccati recursion in log2(length) steps, by doubling.

With f(X) = A X (I + J X)^{-1} A' + C, 2^m steps of f are one step of the same form, at matrices that double:

    A <- A (I + C J)^{-1} A,   C <- C + A (I + C J)^{-1} C A',   J <- J + A' J (I + C J)^{-1} A

so that a path of 2^m values is extended to twice its length by one product for all of them.
"""

from __future__ import annotations

from typing import NamedTuple

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


def riccati_path(A: Array, C: Array, root: Array, start: Array, length: int) -> RiccatiPath:
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
    RiccatiPath
        s <= length values; where s < length those that follow equal the last.

    Raises
    ------
    LinAlgError
        Where rounding spoils the doubling, which is compared with the recursion.
    """
    first = [start]
    while len(first) < min(length, len(A) + 2) and _signal(root, first[-1]) > _LARGE_START:
        first.append(symmetrize(A @ _step(first[-1][None], root).damped[0] @ A.T + C))
    path = _doubled(A, C, root.T @ root, first[-1], length - len(first) + 1)
    path = np.concatenate([np.array(first[:-1]).reshape(-1, *start.shape), path])
    for _ in range(_POLISHES):
        found = _step(path, root)
        following = symmetrize(A @ found.damped[:-1] @ A.T + C)
        if np.all(np.abs(following - path[1:]) <= _scale(following, _CONSISTENT)):
            return found
        path = np.concatenate([path[:1], following])
    raise np.linalg.LinAlgError("the Riccati recursion cannot be doubled at these matrices")


def _signal(root: Array, X: Array) -> float:
    return float(np.max(np.einsum("ij,jk,ik->i", root, X, root)))


def _step(X: Array, root: Array) -> RiccatiPath:
    half = root @ X
    innovations = np.eye(len(root)) + half @ root.T
    weights = np.linalg.solve(innovations, half)
    return RiccatiPath(X, innovations, weights, X - np.swapaxes(half, 1, 2) @ weights)


def _scale(X: Array, tolerance: float) -> Array:
    size = np.sqrt(np.maximum(np.diagonal(X, axis1=-2, axis2=-1), 0.0))
    return tolerance * size[..., :, None] * size[..., None, :]


def _doubled(A: Array, C: Array, J: Array, start: Array, length: int) -> Array:
    """Return the path; ended where its last quarter has not changed."""
    path, k = start[None], len(start)
    identity = np.eye(k)
    while len(path) < length:
        half = path[: length - len(path)]
        following = A @ np.linalg.solve(identity + half @ J, half) @ A.T + C
        path = np.concatenate([path, symmetrize(following)])
        if len(path) >= _SHORTEST:
            apart = np.abs(path - path[-1]) > _scale(path[-1], _SETTLED)
            settled = len(path) - int(np.argmax(apart.any(axis=(1, 2))[::-1])) if apart.any() else 0
            if settled < 0.75 * len(path):
                return path[: settled + 1]
        step = np.linalg.solve(identity + C @ J, np.concatenate([A, C @ A.T], axis=1))
        J = J + symmetrize(A.T @ J @ step[:, :k])
        A, C = A @ step[:, :k], C + symmetrize(A @ step[:, k:])
    return path
