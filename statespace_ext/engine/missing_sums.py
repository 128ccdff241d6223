"""
Sums of the observation equation over incomplete rows, from what their missing elements change.

Let u be what a row misses, o the rest, and P = H^{-1}. With e_o = y_o - Z_o xhat and zeros in e_u,

    E[e_u|e_o] = -P_uu^{-1} (P e)_u,     Var[e_u|e_o] = P_uu^{-1}     (at known states),

and the loadings of all of e on the states are -Z, to whose rows u is added P_uu^{-1} (P Z)_u: an observed
element is what it is, a missing one follows from those. Rows that miss as many elements go together.
"""

from __future__ import annotations

import numpy as np

from ..em.moments import Regression, padded
from ..numerics.linear_algebra import Array, gram, symmetrize
from .smoother import Smoothed, Smoother, over_time
from .system import System


def missing_sums(
    smoother: Smoother, system: System, smoothed: Smoothed, precision: Array
) -> tuple[Regression, Array]:
    """
    Return the sums over rows that are not all missing, for a constant design and ``obs_cov``.

    The second value is E[e_t|Y], (nobs, p), zero in rows that are all missing.

    Parameters
    ----------
    smoother, system, smoothed
        The data, the matrices and the smoothed states.
    precision : ndarray, (p, p)
        P.
    """
    missing = smoother.missing
    some = ~missing.all(axis=1)
    holes, Z, PZ = missing[some], system.design, precision @ system.design
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T[some]
    mean, cov = smoothed.mean.T[some], over_time(smoothed.cov, some)
    e = np.where(holes, 0.0, smoother.endog[some] - d - mean @ Z.T)
    weighted = e @ precision
    moved, remainder = np.zeros(Z.shape), np.zeros((len(Z), len(Z)))
    counts = np.count_nonzero(holes, axis=1)
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        u = np.nonzero(holes[rows])[1].reshape(len(rows), count)
        left = np.linalg.inv(precision[u[:, :, None], u[:, None, :]])
        e[rows[:, None], u] = -np.squeeze(left @ weighted[rows[:, None], u][:, :, None], 2)
        loading = left @ PZ[u]
        moving = loading @ cov[rows]
        np.add.at(moved, u, moving)
        np.add.at(remainder, (u[:, :, None], u[:, None, :]), left + moving @ np.swapaxes(loading, 1, 2))
    cov_sum = cov.sum(axis=0)
    cross = moved @ Z.T
    b = np.concatenate([mean, np.ones((len(mean), 1)), smoother.exog[some]], axis=1)
    eb = e.T @ b
    eb[:, : Z.shape[1]] += moved - Z @ cov_sum
    ee = gram(e) + Z @ cov_sum @ Z.T - cross - cross.T + remainder
    bb = gram(b) + padded(cov_sum, b.shape[1])
    residuals = np.zeros(missing.shape)
    residuals[some] = e
    sums = Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(len(e))]))
    return sums, residuals
