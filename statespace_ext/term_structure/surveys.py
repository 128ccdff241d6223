"""Survey expectations of short rates, as further measurements of the factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, SpecificationError
from ..numerics.bond_pricing import loadings_vjp
from ..numerics.linear_algebra import Array
from ..numerics.ornstein_uhlenbeck import whole_periods
from .dynamics import Dynamics, padded

_LONGEST = 60.0
"""Longest horizon in years. A longer one is probably in months by mistake."""


def survey_frame(surveys: Any, nobs: int, index: Any, period: float | None) -> tuple[pd.DataFrame, Array]:
    """
    Return surveys at the dates of the yields (NaN if there is no survey), and their horizons in years.

    Raises
    ------
    SpecificationError
        If the surveys are not a DataFrame by horizon, or a horizon is invalid.
    DataError
        If a date is not among those of the yields, or there are no values.
    """
    values, horizons = _read(surveys)
    if period is not None:
        whole_periods(horizons, period)
    index = pd.RangeIndex(nobs) if index is None else index
    foreign = values.index.difference(index)
    if len(foreign) or values.index.has_duplicates:
        raise DataError(
            "surveys have dates that the yields do not have, or repeated dates",
            got=foreign[0] if len(foreign) else values.index[values.index.duplicated()][0],
            expected=f"dates of the yields, from {index[0]} to {index[-1]}",
            remedy="Move each survey to the date of the yields that its answers knew.",
        )
    if np.isinf(values.to_numpy()).any():
        raise DataError(
            "surveys have infinite values", expected="finite numbers, or NaN where a value is missing"
        )
    return values.reindex(index).set_axis([f"survey.{h:g}y" for h in horizons], axis=1), horizons


def _read(surveys: Any) -> tuple[pd.DataFrame, Array]:
    """Return the cells and the horizons of surveys; raise if they are invalid."""
    if not isinstance(surveys, pd.DataFrame):
        raise SpecificationError(
            "surveys must be a DataFrame by horizon",
            got=type(surveys).__name__,
            expected="a DataFrame with years as columns",
        )
    try:
        horizons = np.array([float(column) for column in surveys.columns])
        values = surveys.astype(float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            "surveys have columns or cells that are not numbers",
            got=list(surveys.columns)[:5],
            expected="horizons in years as columns, rates as cells",
        ) from error
    if (
        not len(horizons)
        or not np.all((horizons > 0) & (horizons <= _LONGEST))
        or len(set(horizons)) < len(horizons)
    ):
        raise SpecificationError(
            "A horizon of the surveys cannot be used",
            got=horizons.tolist(),
            expected=f"different years above 0, up to {_LONGEST:g}",
            remedy="Divide months by 12.",
        )
    return values, horizons


def survey_vjp(
    both: Dynamics, horizons: Array, by_intercept: Array, by_slope: Array
) -> tuple[Array, Array, float, Array]:
    """
    Return the gradient by (K_P, kappa_P, delta_0, delta_1) of a function of expected average short rates.

    Parameters
    ----------
    both : Dynamics
    horizons : ndarray, (q,)
        Horizons in years.
    by_intercept : ndarray, (q,)
        The gradient by the intercepts.
    by_slope : ndarray, (q, n)
        The gradient by the slopes.
    """
    q, n = both.pricing, len(both.K_P)
    K, kappa, _, delta_0, delta_1 = loadings_vjp(
        both.K_P, both.kappa_P, np.zeros((n, n)), q.delta_0, padded(q.delta_1, n), horizons,
        by_intercept, by_slope, both.period,
    )  # fmt: skip
    return K, kappa, delta_0, delta_1[: len(q.K)]
