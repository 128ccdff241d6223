"""Whether observations without noise have a density."""

from __future__ import annotations

import numpy as np

from ..exceptions import ParameterError, shown
from ..numerics.linear_algebra import Array
from .system import System

_DEPENDENT = 1e-10


def require_density(missing: Array, system: System) -> None:
    """
    Refuse more series without noise, seen in one period, than the states can move independently.

    The covariance of such a row is singular: it has no density. statsmodels leaves out what it takes for
    certain, and returns the density of the rest.

    Parameters
    ----------
    missing : ndarray of bool, (m, k_endog)
        Which elements are missing, by period, or by pattern of periods.
    system : System
        With a constant design and obs_cov; others pass.

    Raises
    ------
    ParameterError
        If the loadings of the series without noise are linearly dependent.
    """
    H, Z = system.obs_cov, system.design
    if H.ndim == 3 or Z.ndim == 3:
        return
    certain = np.flatnonzero(np.diag(H) == 0.0)
    if not len(certain):
        return
    for unseen in np.unique(missing[:, certain], axis=0):
        rows = certain[~unseen]
        size = np.linalg.norm(Z[rows], axis=1, keepdims=True)
        loadings = Z[rows] / np.where(size > 0, size, 1.0)
        if len(rows) and np.linalg.matrix_rank(loadings, tol=_DEPENDENT) < len(rows):
            raise ParameterError(
                "Series without noise have dependent loadings: their distribution is singular",
                got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}",
                expected="at most as many as the states move independently",
            )
