"""Tests that compare forecasts."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ..numerics.linear_algebra import Array


def diebold_mariano(loss: Array, horizon: int = 1) -> tuple[float, float]:
    """
    Return the t-statistic of a mean loss difference and its two-sided p-value.

    The long-run variance has ``horizon - 1`` autocovariances (Diebold & Mariano 1995, equation 1). It uses
    Bartlett weights if the unweighted sum is not positive. The statistic has the small-sample correction of
    Harvey, Leybourne & Newbold (1997, equation 9).

    Parameters
    ----------
    loss : ndarray
        Loss of one method minus the loss of another. NaN marks missing values.
    horizon : int
        Number of periods ahead.
    """
    loss = loss[~np.isnan(loss)]
    n = len(loss)
    if n <= horizon + 1:
        return np.nan, np.nan
    deviations = loss - loss.mean()
    autocov = np.array([deviations[lag:] @ deviations[: n - lag] / n for lag in range(horizon)])
    variance = autocov[0] + 2.0 * np.sum(autocov[1:])
    if variance <= 0:
        variance = autocov[0] + 2.0 * np.sum((1.0 - np.arange(1, horizon) / horizon) * autocov[1:])
    if variance <= 0:
        return np.nan, np.nan
    correction = (n + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / n) / n
    statistic = float(np.sqrt(max(correction, 0.0)) * loss.mean() / np.sqrt(variance / n))
    return statistic, float(2.0 * stats.t.sf(abs(statistic), n - 1))
