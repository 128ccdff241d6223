"""Ordinary least squares, series by series, for comparison."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array


def series_by_series(endog: Array, exog: Array) -> tuple[Array, Array]:
    """
    Return least-squares coefficients (m, p) and residuals (n, p), each series on the rows it has.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series, NaN where missing.
    exog : ndarray, (n, m)
        Regressors.
    """
    coefficients = np.empty((exog.shape[1], endog.shape[1]))
    residuals = np.full(endog.shape, np.nan)
    for i in range(endog.shape[1]):
        seen = ~np.isnan(endog[:, i])
        coefficients[:, i] = np.linalg.lstsq(exog[seen], endog[seen, i], rcond=None)[0]
        residuals[seen, i] = endog[seen, i] - exog[seen] @ coefficients[:, i]
    return coefficients, residuals
