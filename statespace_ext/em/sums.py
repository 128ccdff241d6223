"""Expected sums of the two equations where their matrices do not change over time."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array, symmetrize
from .regression import Regression


def padded(cov_sum: Array, width: int) -> Array:
    """Return the covariance of (x_t, 1, exog_t), of which only x_t is random, over leading axes."""
    out = np.zeros((*cov_sum.shape[:-2], width, width))
    k = cov_sum.shape[-1]
    out[..., :k, :k] = cov_sum
    return out


def observation_equation(ee: Array, eb: Array, bb: Array, n: int, cov: Array, Z: Array) -> Regression:
    """
    Return the sums of e = y_t - d_t - Z x_t over complete rows.

    Parameters
    ----------
    ee, eb, bb : ndarray, (p, p), (p, r) and (r, r)
        Sums of products of the means of e_t and of b_t = (x_t, 1, exog_t).
    n : int
        Number of rows.
    cov : ndarray, (k, k)
        Sum of Var[x_t|Y].
    Z : ndarray, (p, k)
        Design.
    """
    weighted = Z @ cov
    eb = eb.copy()
    eb[:, : len(cov)] -= weighted
    ee, bb = ee + weighted @ Z.T, bb + padded(cov, len(bb))
    return Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(n)]))


def state_equation(
    ee: Array, eb: Array, bb: Array, n: int, cov_from: Array, cov_to: Array, lag: Array, T: Array, left: Array
) -> Regression:
    """
    Return the sums of e = R^+ (x_{t+1} - c_t - T x_t) over t = 1..n-1.

    Parameters
    ----------
    ee, eb, bb : ndarray, (q, q), (q, r) and (r, r)
        Sums of products of the means of e_t and of b_t = (x_t, 1, state_exog_t).
    n : int
        Number of rows.
    cov_from, cov_to, lag : ndarray, (k, k)
        Sums of Var[x_t|Y], Var[x_{t+1}|Y] and Cov(x_{t+1}, x_t|Y).
    T, left : ndarray
        Transition (k, k) and R^+ (q, k).
    """
    cross = lag @ T.T
    ee = ee + left @ (cov_to - cross - cross.T + T @ cov_from @ T.T) @ left.T
    eb = eb.copy()
    eb[:, : len(T)] += left @ (lag - T @ cov_from)
    bb = bb + padded(cov_from, len(bb))
    return Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(n)]))
