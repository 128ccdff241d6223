"""Rotations of factors."""

from __future__ import annotations

import numpy as np

from .linear_algebra import Array


def lower_triangular_rotation(loadings: Array) -> Array:
    """
    Return the orthogonal G for which ``loadings @ G`` has a lower triangular top block.

    The diagonal of the top block of ``loadings @ G`` is non-negative.

    Parameters
    ----------
    loadings : ndarray, (p, k)
        Loadings, with p >= k.
    """
    k = loadings.shape[1]
    orthogonal, upper = np.linalg.qr(loadings[:k].T)
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    return np.asarray(orthogonal * signs)


def rotate_system(matrices: dict[str, Array], rotation: Array, lags: int) -> dict[str, Array]:
    """
    Return the system matrices of the states G^{-1} x in place of x.

    Parameters
    ----------
    matrices : dict of ndarray
        design (p, k), transition (k, k * lags), state_cov (k, k); if present, also state_intercept, state_mean,
        state_coef and initial_state (k * lags), with a row for each state. Others are unchanged.
    rotation : ndarray, (k, k)
        G, nonsingular: x = G f, where f are the new states.
    lags : int
        Number of lags of the transition.
    """
    inverse = np.linalg.inv(rotation)
    out = dict(matrices)
    out["design"] = matrices["design"] @ rotation
    out["transition"] = inverse @ matrices["transition"] @ np.kron(np.eye(lags), rotation)
    out["state_cov"] = inverse @ matrices["state_cov"] @ inverse.T
    for key in {"state_intercept", "state_mean", "state_coef"} & set(matrices):
        out[key] = inverse @ matrices[key]
    if "initial_state" in matrices:
        out["initial_state"] = np.kron(np.eye(lags), inverse) @ matrices["initial_state"]
    return out
