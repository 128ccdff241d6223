"""The delta method for functions of the parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..numerics.differences import step_sizes
from ..numerics.linear_algebra import Array


def delta_method(
    function: Callable[[Array], Array], params: Array, cov: Array, steps: Array | None = None
) -> tuple[Array, Array]:
    """
    Return the values of a function and their standard errors.

    Parameters
    ----------
    function : callable
        From a parameter vector to a vector.
    params : ndarray
        Estimates.
    cov : ndarray
        Their covariance, NaN where not available: a value that depends on such a parameter has NaN, and so
        has a value that is NaN one step from the estimates.
    steps : ndarray, optional
        Steps of the differences; by default a small share of each parameter.
    """
    value = np.asarray(function(params))
    steps = step_sizes(params) if steps is None else steps
    jacobian = np.empty((len(value), len(params)))
    for i in range(len(params)):
        move = np.zeros(len(params))
        move[i] = steps[i]
        jacobian[:, i] = (np.asarray(function(params + move)) - function(params - move)) / (2 * steps[i])
    se = np.empty(len(value))
    for row, gradient in enumerate(jacobian):
        if np.isnan(gradient).any():
            se[row] = np.nan
            continue
        used = np.abs(gradient) > 1e-12 * max(np.max(np.abs(gradient), initial=0.0), 1e-300)
        inner = cov[np.ix_(used, used)]
        se[row] = np.sqrt(gradient[used] @ inner @ gradient[used]) if np.all(np.isfinite(inner)) else np.nan
    return value, np.where(np.abs(jacobian).max(axis=1, initial=0.0) > 0, se, np.nan)


def correlation_table(
    matrix: Callable[[Array], Array], params: Array, cov: Array, labels: list[str]
) -> pd.DataFrame:
    """
    Return standard deviations and correlations of a covariance matrix, with delta-method errors.

    Parameters
    ----------
    matrix : callable
        From a parameter vector to the covariance matrix.
    params, cov : ndarray
        Estimates and their covariance.
    labels : list of str
        Names of the rows.
    """
    rows, columns = np.tril_indices(len(labels), -1)

    def quantities(at: Array) -> Array:
        sigma = matrix(at)
        sd = np.sqrt(np.clip(np.diag(sigma), 0.0, None))
        product = sd[rows] * sd[columns]
        correlation = np.divide(
            sigma[rows, columns], product, out=np.full(len(rows), np.nan), where=product > 0
        )
        return np.concatenate([sd, correlation])

    value, se = delta_method(quantities, params, cov)
    index = [("sd", name) for name in labels]
    index += [("corr", f"{labels[j]}, {labels[i]}") for i, j in zip(rows, columns, strict=True)]
    return pd.DataFrame(
        {"estimate": value, "se": se}, index=pd.MultiIndex.from_tuples(index, names=["quantity", "series"])
    )
