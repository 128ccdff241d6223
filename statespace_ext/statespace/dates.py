"""Dates and other labels of periods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, shown


def check_index(index: pd.Index, name: str) -> None:
    """Refuse an index with missing labels, duplicates, or one that does not increase."""
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
            remedy="Keep one row a period.",
        )
    if not index.is_monotonic_increasing:
        raise DataError(
            f"The index of {name} is not in increasing order",
            got=f"{index[0]} first, {index[-1]} last",
            remedy="Sort it with `sort_index()`.",
        )


def check_dates(dates: Any, nobs: int) -> None:
    """Refuse dates of the wrong number, with duplicates, or not in order."""
    if dates is None:
        return
    array = dates if isinstance(dates, pd.Index) else np.asarray(dates)
    if array.ndim != 1:
        raise DataError("dates are no sequence", got=repr(dates), expected=f"{nobs}, one a row of endog")
    index = pd.Index(array)
    if len(index) != nobs:
        raise DataError("dates have the wrong length", got=len(index), expected=f"{nobs}, one a row of endog")
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)) or index.has_duplicates:
        check_index(index, "dates")


def read_dates(labels: Any) -> Any:
    """Return text that is ISO dates (2001-01-31, 2001-01) as a DatetimeIndex; anything else as it is."""
    if not isinstance(labels, (list, tuple, np.ndarray, pd.Index, pd.Series)) or np.ndim(labels) != 1:
        return labels
    index = pd.Index(labels)
    if index.inferred_type != "string":
        return labels
    try:
        return pd.DatetimeIndex(pd.to_datetime(index, format="ISO8601"))
    except ValueError:
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
    if index.inferred_type in ("date", "datetime"):
        index = pd.DatetimeIndex(index)
    if not isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        raise DataError(
            f"{name} are no dates",
            got=shown(map(repr, index), 3),
            expected="a DatetimeIndex, or text such as 2001-01-31",
            remedy="Convert them with `pd.to_datetime`.",
        )
    return index
