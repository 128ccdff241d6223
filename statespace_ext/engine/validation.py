"""
Checks of data and of labels of periods, before anything is computed from them.

Text and Python dates are read as dates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, shown
from ..numerics.linear_algebra import Array

DAYS_IN_A_YEAR = 365.25
QUARTER, _ISO = re.compile(r"\d{4}Q[1-4]"), re.compile(r"\d{4}-\d{2}")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d")
_FORMATS = (
    *_DAYS, "%Y-%m", "%Y/%m", "%Y", "%Y%m%d",
    *(f"{day}{gap}{time}" for day in _DAYS for gap in " T" for time in ("%H:%M", "%H:%M:%S")),
)  # fmt: skip


def check_index(index: pd.Index, name: str) -> None:
    """Reject an index with missing labels, duplicates, or one that does not increase."""
    if not isinstance(index, pd.MultiIndex) and index.hasnans:
        raise DataError(
            f"The index of {name} has missing labels",
            got=f"{index[index.isna()][0]} at position {int(np.argmax(index.isna()))}",
            remedy="Drop those rows or give them a date.",
        )
    if index.has_duplicates:
        raise DataError(
            f"The index of {name} has duplicates",
            got=index[index.duplicated()][0],
            remedy="Keep one row per period.",
        )
    if not index.is_monotonic_increasing and not read_dates(_own_labels(index)).is_monotonic_increasing:
        raise DataError(
            f"The index of {name} must be in increasing order",
            got=f"{index[0]} first, {index[-1]} last",
            remedy="Sort it with `sort_index()`.",
        )


def _own_labels(index: pd.Index) -> pd.Index:
    """Return labels without the steps 1, 2, ... that `Calendar` put after them."""
    steps = index[-1] if isinstance(index[-1], int) and not isinstance(index[0], int) else 0
    added = 0 < steps < len(index) and list(index[-steps:]) == list(range(1, steps + 1))
    return pd.Index(list(index[:-steps])) if added else index


def check_dates(dates: Any, nobs: int) -> None:
    """Reject dates of the wrong number, and anything else than a sequence."""
    expected = f"{nobs}, one per row of endog"
    if dates is not None and np.ndim(dates) != 1:
        raise DataError("dates must be a sequence", got=repr(dates), expected=expected)
    if dates is not None and len(dates) != nobs:
        raise DataError("dates have the wrong length", got=len(dates), expected=expected)


def text_format(text: str) -> str | None:
    """Return the format in which a text writes a date, the year first; None for another text."""
    for pattern in _FORMATS if text[:4].isdigit() else ():
        with suppress(ValueError):
            if datetime.strptime(text, pattern).strftime(pattern) == text:
                return pattern
    return None


def read_dates(labels: Any) -> Any:
    """
    Return text that is dates (2001-01-31, 2001-01, 2001Q1) and Python dates as an index of dates.

    Anything else is returned as it is.
    """
    if np.ndim(labels) != 1:
        return labels
    index = labels if isinstance(labels, pd.Index) else pd.Index(labels)
    kind = index.inferred_type
    with suppress(IndexError, TypeError, ValueError):  # no label, or a later one is not a date
        first = str(index[0]) if kind == "string" else ""
        pattern = text_format(first) or ("ISO8601" if _ISO.match(first) else None)
        if kind in ("date", "datetime"):
            return pd.DatetimeIndex(index)
        if QUARTER.fullmatch(first):
            return pd.PeriodIndex(index, freq="Q")
        if pattern is not None:
            return pd.DatetimeIndex(pd.to_datetime(index, format=pattern))
    return labels


def as_dates(labels: Any, name: str) -> pd.DatetimeIndex | pd.PeriodIndex:
    """
    Return dates, periods or text that is ISO dates as an index.

    Raises
    ------
    DataError
        If they are something else.
    """
    index = pd.Index(read_dates(labels if np.ndim(labels) == 1 else [labels]))
    if not isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        raise DataError(
            f"{name} must be dates",
            got=shown(map(repr, index), 3),
            expected="a DatetimeIndex, or text such as 2001-01-31",
            remedy="Convert them with `pd.to_datetime`.",
        )
    return index


_LARGEST, _SMALLEST = 1e75, 1e-75
"""Beyond these, squares of squares overflow or vanish."""
_ROUNDING = 1e-12


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
    array = _as_floats(endog, "endog")
    if array.ndim not in (1, 2):
        raise DataError(
            "endog has the wrong number of dimensions", got=array.shape, expected="(nobs,) or (nobs, k_endog)"
        )
    if array.size == 0:
        raise DataError("endog is empty", got=f"shape {array.shape}", expected="at least one observation")
    infinite = np.argwhere(np.isinf(array))
    if len(infinite):
        raise DataError(
            "endog has values that are not finite",
            got=f"{array[tuple(infinite[0])]} at position {infinite[0].tolist()}",
            expected="finite numbers, or NaN where missing",
        )
    if isinstance(endog, pd.Series):
        return pd.Series(array[:, 0], index=endog.index, name=endog.name)
    if isinstance(endog, pd.DataFrame):
        return pd.DataFrame(array, index=endog.index, columns=endog.columns)
    return array


def _as_floats(data: Any, name: str) -> Array:
    """Return data as a new float array; those of pandas have two axes, and masked values are missing ones."""
    allowed = "iuf" if name == "endog" else "biuf"  # truth values are regressors, but no observations
    frame = data.to_frame() if isinstance(data, pd.Series) else data
    if isinstance(frame, pd.DataFrame):
        _check_columns(frame.columns, name)
        kinds = allowed + "O"  # decimal numbers of an extension type have the kind of objects
        right = frame.dtypes.map(lambda dtype: pd.api.types.is_numeric_dtype(dtype) and dtype.kind in kinds)
        bad = [str(column) for column in frame.columns[~right.to_numpy(dtype=bool)]]
        if bad:
            raise _not_numbers(name, f"columns {shown(bad)} of type {shown(frame.dtypes)}")
        return np.array(frame.to_numpy(dtype=float, na_value=np.nan), order="C")
    try:
        array: Any = np.asanyarray(data)
    except ValueError as error:
        raise _not_numbers(name, "a sequence with rows of different lengths") from error
    if array.dtype.kind not in allowed:
        raise _not_numbers(name, f"type {array.dtype}")
    return np.array(np.ma.filled(array.astype(float), np.nan))


def _not_numbers(name: str, got: str) -> DataError:
    return DataError(
        f"{name} is not numeric",
        got=got,
        expected="real numbers" + (", NaN where missing" if name == "endog" else ""),
        remedy="Convert it with `astype(float)`.",
    )


def _check_columns(columns: pd.Index, name: str) -> None:
    """Reject column names that would give two series, or two regressors, the same parameters."""
    if isinstance(columns, pd.MultiIndex):
        raise DataError(
            f"The columns of {name} have several levels",
            got=" / ".join(str(part) for part in columns[0]),
            expected="one name each",
            remedy="Join them: `df.columns = ['_'.join(map(str, c)) for c in df.columns]`.",
        )
    names = pd.Index([str(column) for column in columns])
    if names.has_duplicates:
        raise DataError(
            f"The columns of {name} have duplicate names",
            got=repr(names[names.duplicated()][0]),
            expected="different names",
            remedy="Rename or drop one of them.",
        )


def regressor_frame(
    value: Any,
    nobs: int | None,
    row_labels: object,
    name: str,
    may_miss: slice | None = None,
    shape: str | None = None,
) -> Any:
    """
    Return regressors as floats, (nobs, r), in a DataFrame where they come from pandas; None for None.

    Values of the rows ``may_miss`` may be NaN. ``shape`` is the right shape, for messages.

    Raises
    ------
    DataError
        If they are not numbers, not finite, or their rows or index do not match endog.
    """
    if value is None:
        return None
    labelled = isinstance(value, (pd.Series, pd.DataFrame))
    if labelled and nobs is not None:
        check_index(value.index, name)
    array = _as_floats(value, name)
    array = array[:, None] if array.ndim == 1 else array
    _check_regressor_values(array, nobs, name, may_miss, shape)
    if not labelled:
        return array
    if isinstance(row_labels, pd.Index) and not value.index.equals(row_labels):
        raise DataError(
            f"The index of {name} must equal the index of endog",
            got=value.index[:3].tolist(),
            expected=row_labels[:3].tolist(),
            remedy=f"Align it: `{name}.reindex(endog.index)`.",
        )
    columns = [value.name] if isinstance(value, pd.Series) else value.columns
    return pd.DataFrame(array, index=value.index, columns=columns)


def _check_regressor_values(
    array: Array, nobs: int | None, name: str, may_miss: slice | None, shape: str | None
) -> None:
    if array.ndim != 2 or (nobs is not None and len(array) != nobs):
        raise DataError(
            f"{name} has the wrong shape",
            got=array.shape,
            expected=shape or f"({nobs}, number of regressors)",
        )
    if array.shape[1] == 0:
        raise DataError(f"{name} has no columns", got=array.shape, remedy="Leave it out.")
    bad = ~np.isfinite(array)
    if may_miss is not None:
        bad[may_miss] = np.isinf(array[may_miss])
    if np.any(bad):
        row, column = np.argwhere(bad)[0].tolist()
        raise DataError(
            f"{name} has missing or infinite values",
            got=f"{array[row, column]} in row {row}, column {column}",
            expected="finite numbers",
            remedy=f"{name if shape else 'Regressors'} cannot be missing: drop or fill those periods.",
        )


def regressor_array(
    value: object, nobs: int | None, row_labels: object, name: str, shape: str | None = None
) -> Array | None:
    """Return regressors as (nobs, r) floats, None for None; see `regressor_frame`."""
    frame = regressor_frame(value, nobs, row_labels, name, shape=shape)
    return None if frame is None else np.asarray(frame)


def regressor_names(value: Any, stem: str) -> list[str]:
    """Return column names of regressors, or ``stem1``, ``stem2``, ..."""
    if value is None:
        return []
    if isinstance(value, pd.DataFrame):
        return [str(name) for name in value.columns]
    if isinstance(value, pd.Series) and value.name is not None:
        return [str(value.name)]
    return [f"{stem}{i + 1}" for i in range(1 if np.ndim(value) == 1 else np.shape(value)[1])]


def series_names(endog: object) -> list[str]:
    """Return the names of series as statsmodels would assign them."""
    named = isinstance(endog, pd.DataFrame) or getattr(endog, "name", None) is not None
    names = regressor_names(endog, "y")
    return names if named or len(names) > 1 else ["y"]


def labels_of(data: object, steps: int) -> pd.Index | None:
    """Return the labels of new data, one for each period; None if they have none."""
    index = getattr(data, "index", None)
    return index if isinstance(index, pd.Index) and len(index) == steps else None


def future_labels(value: object, columns: int) -> pd.Index | None:
    """Return the labels of regressors, or of the first by series; None if they are 0, 1, ... or have none."""
    if isinstance(value, Mapping):
        labelled = (each for each in value.values() if isinstance(each, (pd.Series, pd.DataFrame)))
        value, columns = next(labelled, None), 1
    index = getattr(value, "index", None)
    one_period = isinstance(value, pd.Series) and columns > 1
    if not isinstance(index, pd.Index) or one_period or index.equals(pd.RangeIndex(len(index))):
        return None
    return index


def relabelled(data: Any, labels: pd.Index) -> Any:
    """Return pandas data with other labels, and arrays unchanged."""
    return data.set_axis(labels, axis=0) if isinstance(data, (pd.Series, pd.DataFrame)) else data


def check_same_columns(value: Any, names: Sequence[object], what: str) -> None:
    """Reject new data with another number of columns, in another order, or of which only some are known."""
    names = [str(name) for name in names]
    columns = [str(name) for name in value.columns] if isinstance(value, pd.DataFrame) else []
    count = 1 if np.ndim(value) < 2 else np.shape(value)[1]
    if count != len(names) or (columns != names and set(columns) & set(names)):
        raise DataError(
            f"{what} does not have the columns of the model",
            got=shown(columns) if columns else f"{count} columns",
            expected=f"{len(names)}: {shown(names)}",
            remedy="Pass the same columns in the same order.",
        )


def check_series(endog: Array, names: list[str], k_factors: int, enough: int) -> None:
    """
    Reject series from which nothing can be estimated.

    Raises
    ------
    DataError
        If a series is all missing, constant, or in units in which its square overflows, or there are
        too few periods.
    """
    for j, name in enumerate(names):
        seen = endog[:, j][~np.isnan(endog[:, j])]
        if len(seen) == 0:
            raise DataError(
                f"Series {name!r} has no observations", expected="observations", remedy="Drop it."
            )
        largest = float(np.max(np.abs(seen)))
        if len(seen) > 1 and np.ptp(seen) <= _ROUNDING * largest:
            raise DataError(
                f"Series {name!r} is constant",
                got=f"{seen[0]} in all {len(seen)} periods" + (", up to rounding" if np.ptp(seen) else ""),
                expected="values that vary",
                remedy="Drop it, or subtract its level.",
            )
        if largest > _LARGEST or (len(seen) > 1 and np.ptp(seen) < _SMALLEST):
            raise DataError(
                f"Series {name!r} has values whose squares overflow or underflow",
                got=f"values up to {largest:.3g}, a range of {np.ptp(seen):.3g}",
                expected=f"magnitudes between {_SMALLEST:g} and {_LARGEST:g}",
                remedy="Change its unit.",
            )
    periods = int((~np.isnan(endog)).any(axis=1).sum())
    if periods < enough:
        raise DataError(
            "There are too few periods with data",
            got=periods,
            expected=f"at least {enough} for {k_factors} factors",
        )


def check_residuals(endog: Array, exog: Array, names: list[str], joint: bool) -> None:
    """
    Reject series that regressors explain exactly, alone or (joint) in a combination: V is then singular.

    Parameters
    ----------
    endog, exog : ndarray, (nobs, p) and (nobs, m)
        Observations and regressors.
    names : list of str
        Names of the series.
    joint : bool
        Whether the covariance of the residuals is free.

    Raises
    ------
    DataError
        If the likelihood is unbounded for one of these reasons.
    """
    size = np.sqrt(np.nansum(endog**2, axis=0))
    exact = [name for j, name in enumerate(names) if _is_explained(endog[:, j], exog, size[j])]
    if exact:
        raise DataError(f"The regressors explain {shown(exact)} exactly", remedy="Drop these series.")
    complete = ~np.isnan(endog).any(axis=1)
    if not joint or complete.sum() < len(names) + exog.shape[1]:
        return
    y = endog / size
    direction = np.linalg.svd(_residual(y[complete], exog[complete]), full_matrices=False)[2][-1]
    places = np.flatnonzero(np.abs(direction) > 1e-6)
    if _is_explained(y[:, places] @ direction[places], exog, 1.0):
        raise DataError(
            f"Given the regressors, {shown([names[j] for j in places])} are linearly dependent",
            remedy='Drop one of them, or use obs_cov="diagonal".',
        )


def _residual(y: Array, x: Array) -> Array:
    """Return the residuals of least squares."""
    return np.asarray(y - x @ np.linalg.lstsq(x, y, rcond=None)[0])


def _is_explained(y: Array, x: Array, size: float) -> bool:
    """Return whether regressors explain a series of some size to rounding, where it is observed."""
    seen = ~np.isnan(y)
    return bool(np.linalg.norm(_residual(y[seen], x[seen])) < _ROUNDING * size)


def check_counts(endog: Array, names: list[str], coefficients: list[int], n_params: int) -> None:
    """
    Reject more parameters than the sample has values, and series that their own coefficients fit exactly.

    Parameters
    ----------
    endog : ndarray, (nobs, p)
        Observations.
    names : list of str
        Names of the series.
    coefficients : list of int
        Number of free coefficients in the equation of each series alone, zero where its variance is fixed.
    n_params : int
        Number of parameters that can be identified.

    Raises
    ------
    DataError
        If there are too few observations.
    """
    seen = ~np.isnan(endog)
    if n_params and seen.sum() <= n_params:
        raise DataError(
            "There are too few observations for the free parameters",
            got=f"{int(seen.sum())} observations, {n_params} parameters",
            expected="more observations than parameters",
            remedy="Use fewer factors or lags, or fix parameters.",
        )
    for name, count, own in zip(names, seen.sum(axis=0).tolist(), coefficients, strict=True):
        if own and count <= own:
            raise DataError(
                f"Series {name!r} has too few observations: its coefficients can fit it exactly, "
                "with a variance of zero",
                got=f"{count} observations, {own} free coefficients",
                expected=f"at least {own + 1} observations",
                remedy="Drop the series, or fix its coefficients or its variance.",
            )


def check_regressors(exog: Array, name: str, with_constant: bool) -> None:
    """Reject regressors that are collinear, among themselves or with a constant that the model has."""
    columns = np.column_stack([exog, np.ones(len(exog))]) if with_constant else exog
    scale = np.linalg.norm(columns, axis=0)
    rank = int(np.linalg.matrix_rank(columns / np.where(scale > 0, scale, 1.0)))
    if rank < columns.shape[1]:
        raise DataError(
            f"{name} is collinear" + (" (with the free intercept)" if with_constant else ""),
            got=f"rank {rank}",
            expected=f"rank {columns.shape[1]}",
            remedy="Drop a column, or fix the intercept at zero." if with_constant else "Drop a column.",
        )
