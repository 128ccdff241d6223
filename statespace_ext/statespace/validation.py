"""Checks of data, before anything is computed from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError
from ..numerics.linear_algebra import Array


def endog_frame(endog: object) -> object:
    """
    Return endog in a form that statsmodels accepts without guessing: float, 1-D or 2-D, pandas kept.

    Raises
    ------
    DataError
        If the values are not real numbers, are infinite, or the index has duplicates or is not monotone.
    """
    if isinstance(endog, (pd.Series, pd.DataFrame)):
        check_index(endog.index, "endog")
        frame = endog.to_frame() if isinstance(endog, pd.Series) else endog
        bad = [
            str(name) for name, kind in zip(frame.columns, frame.dtypes, strict=True) if not _is_number(kind)
        ]
        if bad:
            raise _not_numbers(f"columns {bad} of type {[str(t) for t in frame.dtypes]}")
        values = np.column_stack(
            [frame.iloc[:, j].to_numpy(dtype=float, na_value=np.nan) for j in range(frame.shape[1])]
        )
        _check_values(values)
        out = pd.DataFrame(values, index=endog.index, columns=frame.columns)
        return (
            out
            if isinstance(endog, pd.DataFrame)
            else pd.Series(values[:, 0], index=endog.index, name=endog.name)
        )
    try:
        array = np.asarray(endog)
    except ValueError as error:
        raise _not_numbers("a ragged sequence") from error
    if array.dtype.kind not in "biuf":
        raise _not_numbers(f"type {array.dtype}")
    if array.ndim not in (1, 2):
        raise DataError(
            "endog has the wrong number of dimensions", got=array.shape, expected="(nobs,) or (nobs, k_endog)"
        )
    values = np.array(array, dtype=float)
    _check_values(values)
    return values


def _is_number(kind: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(kind)) and not pd.api.types.is_complex_dtype(kind)


def _not_numbers(got: str) -> DataError:
    return DataError(
        "endog is not numeric",
        got=got,
        expected="real numbers, NaN where missing",
        remedy="Convert it with `astype(float)`.",
    )


def _check_values(values: Array) -> None:
    if values.size == 0:
        raise DataError("endog is empty", got=f"shape {values.shape}", expected="at least one observation")
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        raise DataError(
            "endog has values that are not finite",
            got=f"{values[tuple(infinite[0])]} at position {infinite[0].tolist()}",
            expected="finite numbers, or NaN where missing",
        )


def check_index(index: pd.Index, name: str) -> None:
    """Refuse an index with duplicates, or one that does not increase."""
    if index.has_duplicates:
        raise DataError(
            f"The index of {name} has duplicates",
            got=index[index.duplicated()][0],
            remedy="Keep one row a period.",
        )
    if not index.is_monotonic_increasing:
        raise DataError(
            f"The index of {name} is not in increasing order",
            got=f"{index[0]} first, {index[-1]} last",
            remedy="Sort it with `sort_index()`.",
        )


def regressor_array(value: object, nobs: int | None, row_labels: object, name: str) -> Array | None:
    """
    Return regressors as (nobs, r) floats, None for None.

    Raises
    ------
    DataError
        If they are not numbers, not finite, or their rows or index do not match endog.
    """
    if value is None:
        return None
    if (
        isinstance(value, (pd.Series, pd.DataFrame))
        and isinstance(row_labels, pd.Index)
        and len(value) == nobs
    ):
        if not value.index.equals(row_labels):
            raise DataError(
                f"The index of {name} is not that of endog",
                got=value.index[:3].tolist(),
                expected=row_labels[:3].tolist(),
            )
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is not numeric", got=type(value).__name__, expected="real numbers"
        ) from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or (nobs is not None and len(array) != nobs):
        raise DataError(
            f"{name} has the wrong shape", got=array.shape, expected=f"({nobs}, number of regressors)"
        )
    if not np.all(np.isfinite(array)):
        raise DataError(
            f"{name} has missing or infinite values",
            got=f"row {int(np.argwhere(~np.isfinite(array))[0][0])}",
            expected="finite numbers",
            remedy="Regressors cannot be missing: drop or fill those periods.",
        )
    return array


def regressor_names(value: object, stem: str) -> list[str]:
    """Return column names of regressors, or ``stem1``, ``stem2``, ..."""
    if value is None:
        return []
    if isinstance(value, pd.DataFrame):
        return [str(name) for name in value.columns]
    if isinstance(value, pd.Series):
        return [str(value.name) if value.name is not None else f"{stem}1"]
    array = np.asarray(value)
    return [f"{stem}{i + 1}" for i in range(1 if array.ndim == 1 else array.shape[1])]


def check_series(endog: Array, names: list[str], k_factors: int, enough: int) -> None:
    """
    Refuse series from which nothing can be estimated.

    Raises
    ------
    DataError
        If a series is all missing or constant, or there are too few periods.
    """
    for j, name in enumerate(names):
        seen = endog[:, j][~np.isnan(endog[:, j])]
        if len(seen) == 0:
            raise DataError(f"Series {name!r} is all missing", remedy="Drop it.")
        if len(seen) > 1 and np.ptp(seen) == 0.0:
            raise DataError(f"Series {name!r} is constant", got=seen[0], remedy="Drop it.")
    periods = int((~np.isnan(endog)).any(axis=1).sum())
    if periods < enough:
        raise DataError(
            "There are too few periods with data",
            got=periods,
            expected=f"at least {enough} for {k_factors} factors",
        )


def check_regressors(exog: Array | None, name: str, with_constant: bool) -> None:
    """Refuse regressors that are collinear, among themselves or with a constant that the model has."""
    if exog is None:
        return
    columns = np.column_stack([exog, np.ones(len(exog))]) if with_constant else exog
    scale = np.linalg.norm(columns, axis=0)
    if (
        np.any(scale == 0)
        or np.linalg.matrix_rank(columns / np.where(scale > 0, scale, 1.0)) < columns.shape[1]
    ):
        raise DataError(
            f"{name} is collinear" + (" (with the free intercept)" if with_constant else ""),
            got=f"rank below {columns.shape[1]}",
            remedy="Drop a column, or fix the intercept at zero.",
        )
