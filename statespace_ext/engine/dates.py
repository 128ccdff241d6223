"""Labels of periods: their order, and text and Python dates read as dates."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, shown

DAYS_IN_A_YEAR = 365.25
QUARTER, _ISO = re.compile(r"\d{4}Q[1-4]"), re.compile(r"\d{4}-\d{2}")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d")
_FORMATS = (
    *_DAYS, "%Y-%m", "%Y/%m", "%Y", "%Y%m%d",
    *(f"{day}{gap}{time}" for day in _DAYS for gap in " T" for time in ("%H:%M", "%H:%M:%S")),
)  # fmt: skip


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
    if not index.is_monotonic_increasing and not read_dates(_own_labels(index)).is_monotonic_increasing:
        raise DataError(
            f"The index of {name} is not in increasing order",
            got=f"{index[0]} first, {index[-1]} last",
            remedy="Sort it with `sort_index()`.",
        )


def _own_labels(index: pd.Index) -> pd.Index:
    """Return labels without the steps 1, 2, ... that `Calendar` put after them."""
    if index.dtype != object or isinstance(index[0], int) or not isinstance(index[-1], int):
        return index
    steps = int(index[-1])
    if 0 < steps < len(index) and list(index[-steps:]) == list(range(1, steps + 1)):
        return pd.Index(list(index[:-steps]))
    return index


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


def text_format(text: str) -> str | None:
    """Return the format in which a text writes a date, the year first; None for another text."""
    for pattern in _FORMATS if text[:4].isdigit() else ():
        try:
            if datetime.strptime(text, pattern).strftime(pattern) == text:
                return pattern
        except ValueError:
            continue
    return None


def read_dates(labels: Any) -> Any:
    """
    Return text that is dates (2001-01-31, 2001-01, 2001Q1) and Python dates as an index of dates.

    Anything else is returned as it is.
    """
    if not isinstance(labels, (list, tuple, np.ndarray, pd.Index, pd.Series)) or np.ndim(labels) != 1:
        return labels
    index = labels if isinstance(labels, pd.Index) else pd.Index(labels)
    kind = index.inferred_type if len(index) else "empty"
    try:
        if kind in ("date", "datetime"):
            return pd.DatetimeIndex(index)
        first = str(index[0]) if kind == "string" else ""
        if QUARTER.fullmatch(first):
            return pd.PeriodIndex(index, freq="Q")
        pattern = text_format(first) or ("ISO8601" if _ISO.match(first) else None)
        if pattern is not None:
            return pd.DatetimeIndex(pd.to_datetime(index, format=pattern))
    except (TypeError, ValueError):
        pass
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
            f"{name} are no dates",
            got=shown(map(repr, index), 3),
            expected="a DatetimeIndex, or text such as 2001-01-31",
            remedy="Convert them with `pd.to_datetime`.",
        )
    return index
