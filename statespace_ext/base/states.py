"""Estimates of linear combinations of the states: smoothed, filtered and predicted, with their errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..numerics.linear_algebra import Array


class Estimates(NamedTuple):
    """
    Frames of L x_t, labelled by period; NaN where the data so far do not determine an element.

    Attributes
    ----------
    filtered, filtered_se : DataFrame, (nobs, r)
        E[L x_t | y_1..y_t] and its standard error.
    predicted, predicted_se : DataFrame, (nobs + 1, r)
        E[L x_t | y_1..y_{t-1}] and its standard error; the last row is of the period after the sample.
    """

    filtered: pd.DataFrame
    filtered_se: pd.DataFrame
    predicted: pd.DataFrame
    predicted_se: pd.DataFrame


def estimates_of(results: Any, loading: Array, index: pd.Index, names: list[str]) -> Estimates:
    """
    Return estimates of L x_t from what the data up to a period say.

    Parameters
    ----------
    results : StateSpaceResults
        Results that kept the states.
    loading : ndarray, (r, k)
        L.
    index : Index, (nobs,)
        Labels of the periods.
    names : list of str
        Labels of the rows of L.
    """
    output = results.filter_results
    after = results.model.calendar.between(0, len(index))
    frames = []
    for name, flat, labels in (
        ("filtered_state", getattr(output, "filtered_flat", None), index),
        ("predicted_state", output.predicted_diffuse_state_cov, after),
    ):
        mean = loading @ getattr(output, name)
        variance = _quadratic(loading, getattr(output, f"{name}_cov"))
        if flat is not None:
            unknown = _quadratic(loading, flat) > 0.0
            mean[:, : unknown.shape[1]][unknown] = np.nan
            variance[:, : unknown.shape[1]][unknown] = np.nan
        for values in (mean, np.sqrt(np.clip(variance, 0.0, None))):
            frames.append(pd.DataFrame(values.T, index=labels, columns=names))
    return Estimates(*frames)


def _quadratic(loading: Array, covs: Array) -> Array:
    """Return the diagonals of L V_t L', (r, n)."""
    return np.einsum("ri,ijt,rj->rt", loading, covs, loading, optimize=True)
