"""Observations with unit noise, collapsed to no more dimensions than there are states."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy.linalg.lapack import dpotri

from ..numerics.linear_algebra import Array

_NEARLY_SINGULAR = 1e-10
"""Share of a variance of H that the other series leave unexplained, from which H counts as singular."""


def cholesky_factor(H: Array) -> Array:
    """Return the Cholesky factor of H; LinAlgError where it is nearly singular."""
    factor = np.linalg.cholesky(H)
    if np.any(np.diag(factor) ** 2 < _NEARLY_SINGULAR * np.diag(H)):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    return factor


def inverse(factor: Array) -> Array:
    """Return H^{-1} from its Cholesky factor."""
    diagonal = factor.diagonal()
    if np.count_nonzero(factor) == len(factor):
        return np.diag(1.0 / diagonal**2)
    lower, failed = dpotri(factor, lower=1)
    if failed:
        raise np.linalg.LinAlgError("obs_cov is singular")
    return np.asarray(lower + np.tril(lower, -1).T)


def collapsed(y: Array, Z: Array, factor: Array) -> tuple[Array, Array]:
    """Return what observations tell about the states, and its design, whitened: new arrays, with H = I."""
    white, used = _divided(Z, factor), np.any(Z != 0.0, axis=0)
    used[0] |= not used.any()
    if np.count_nonzero(used) >= len(Z):
        return _divided(y.T, factor).T, white
    basis, triangle = np.linalg.qr(white[:, used])
    out = np.zeros((len(triangle), len(used)))
    out[:, used] = triangle
    return y @ _divided(basis, factor, transposed=True), out


def _divided(matrix: Array, factor: Array, transposed: bool = False) -> Array:
    """Return L^{-1} M, or L^{-T} M."""
    if np.count_nonzero(factor) == len(factor):
        return matrix / np.diag(factor)[:, None]
    triangle = factor.T if transposed else factor
    return np.asarray(scipy.linalg.solve_triangular(triangle, matrix, lower=not transposed))
