"""Known multipliers of the standard deviations of the observation noise: H_t = S_t V S_t."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from ..em.regressions import Regression
from ..engine.calendars import Calendar
from ..engine.validation import check_same_columns, future_labels, regressor_array
from ..exceptions import DataError
from ..numerics.linear_algebra import Array

NAME = "obs_scale"
M = TypeVar("M", bound=Callable[..., Any])


def parse_scale(value: object, nobs: int, index: object, series: list[str]) -> Array | None:
    """
    Return the multipliers of standard deviations, (nobs, p); None for None.

    Parameters
    ----------
    value : array_like, (nobs,) or (nobs, p)
        One multiplier for each period, or one for each period and series.
    nobs : int
        Number of periods.
    index : Index or None
        Labels of the periods.
    series : list of str
        Names of the series.

    Raises
    ------
    DataError
        If the multipliers are not positive finite numbers, do not have one row for each period, or have
        labels or columns that differ from those of the data.
    """
    if value is None:
        return None
    rows = np.asarray(regressor_array(value, nobs, index, NAME, f"({nobs},) or ({nobs}, {len(series)})"))
    if np.any(rows <= 0.0):
        row, column = np.argwhere(rows <= 0.0)[0].tolist()
        raise DataError(
            f"{NAME} has values that are not positive",
            got=f"{rows[row, column]} in row {row}, column {column}",
            expected="finite numbers above 0",
            remedy="It multiplies standard deviations.",
        )
    if rows.shape[1] == 1:
        return np.repeat(rows, len(series), axis=1)
    check_same_columns(value if isinstance(value, pd.DataFrame) else rows, series, NAME)
    return rows


class _Given:
    """A scale that a caller gave, and whether a period after the sample needed it."""

    def __init__(self, value: object) -> None:
        self.value, self.used = value, False


def taken(value: object) -> Any:
    """Return the scale that a caller gave, and note that it is needed."""
    if isinstance(value, _Given):
        value.used, value = True, value.value
    return value


def with_scale(method: M) -> M:
    """
    Return a method that raises `DataError` if it has no use for a scale among its arguments.

    It has none if no period after the sample needs the scale.
    """

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the method, and raise if it did not use the scale."""
        value = kwargs.pop(NAME, None)
        if value is None:
            return method(self, *args, **kwargs)
        given = kwargs[NAME] = value if isinstance(value, _Given) else _Given(value)
        out = reason = None
        try:
            out = method(self, *args, **kwargs)
        except TypeError as error:  # of statsmodels, about an unknown argument
            if given.used:
                raise
            reason = error
        if not given.used:
            raise DataError(
                f"{method.__name__} uses {NAME} only for periods after the sample",
                got=f"{NAME} without such a period",
                remedy="Leave it out: the model has the scale of its sample.",
            ) from reason
        return out

    return cast(M, call)


class ScaledNoise:
    """Mixin for models with known scales of the noise, which other periods need too."""

    added_arguments = frozenset({"obs_scale", "constraints"})
    period_arguments = frozenset({NAME})
    obs_scale: Array | None
    calendar: Calendar
    coefficients: Any

    def require_scale(self, kwargs: dict[str, Any]) -> None:
        """Raise if other data come without a scale and the model has one."""
        if self.obs_scale is not None and "obs_scale" not in kwargs:
            raise DataError(
                "A model with obs_scale needs the obs_scale of the new data", expected="obs_scale=..."
            )

    def arguments_of_periods(self, rows: slice) -> dict[str, Any]:
        """Return the constructor arguments with one row for each period, restricted to some periods."""
        return {} if self.obs_scale is None else {"obs_scale": self.obs_scale[rows]}

    def future_scale(self, value: object, steps: int) -> Array | None:
        """
        Return the multipliers of periods after the sample, (steps, p); None for a model without a scale.

        Raises
        ------
        DataError
            If the multipliers are missing, the model has no scale, or in the cases listed in `parse_scale`.
        """
        value = taken(value)
        if self.obs_scale is None:
            if value is not None:
                raise DataError(f"The model has no {NAME}", got=f"future {NAME}", remedy="Leave it out.")
            return None
        if value is None:
            raise DataError(
                f"Periods after the sample need {NAME}; the last value is not carried forward",
                expected=f"{steps} rows, one column for all series or one per series",
                remedy=f"Pass {NAME}=np.ones({steps}) for the noise of V itself.",
            )
        labels = future_labels(value, 1)
        if labels is not None:
            self.calendar.check_future(labels, len(labels), NAME)
        return parse_scale(value, steps, None, self.coefficients.endog)


def scaled_cov(cov: Array, scale: Array | None) -> Array:
    """Return S_t V S_t, (p, p, nobs), or V if there is no scale."""
    return cov if scale is None else np.einsum("ti,ij,tj->ijt", scale, cov, scale)


def by_cov(score: Array, scale: Array | None) -> Array:
    """Return the derivatives by V, given those by S_t V S_t."""
    return score if scale is None else np.einsum("ti,ijt,tj->ij", scale, score, scale)


def unscaled(regression: Regression, scale: Array | None) -> Regression:
    """Return the sums for S_t^{-1} e_t, which has the covariance V, from those for e_t by period."""
    if scale is None:
        return regression
    over = 1.0 / scale
    return Regression(
        np.einsum("ti,tij,tj->ij", over, regression.ee, over)[None],
        np.einsum("ti,tir->ir", over, regression.eb)[None],
        regression.bb.sum(axis=0, keepdims=True),
        np.array([regression.n.sum()]),
    )
