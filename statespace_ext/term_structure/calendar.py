"""Years between dates, as the panel counts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..engine.validation import DAYS_IN_A_YEAR, read_dates
from ..exceptions import DataError
from ..numerics.linear_algebra import Array

_MONTHLY = (1.0 / 12.0, 0.25, 0.5, 1.0)


def years_after(model: Any, index: Any) -> Array:
    """
    Return the years from the last date of the sample to later dates.

    Where ``dt="infer"`` found months, weeks or business days, they are counted as they are there; otherwise
    actual days / 365.25.

    Raises
    ------
    DataError
        If the sample has no dates, or the dates do not follow it.
    """
    if not model.calendar.dated:
        raise DataError("The sample has no dates", remedy="Pass horizons= in years.")
    last, dates = _stamps(model.calendar.read[-1:])[0], _stamps(read_dates(index))
    if len(dates) == 0 or not bool(np.all(dates > last)) or not dates.is_monotonic_increasing:
        raise DataError(
            "Dates do not follow the sample in order",
            got=f"{dates[0]} first" if len(dates) else "no dates",
            expected=f"dates after {last}",
        )
    days = np.asarray((dates - last) / pd.Timedelta(days=1), dtype=float)
    inferred = isinstance(model._given["dt"], str) and not model.panel.steps.ndim
    step = float(model.panel.steps) if inferred else np.nan
    if step in _MONTHLY:
        months = np.asarray((dates.year - last.year) * 12 + dates.month - last.month, dtype=float)
        if np.all(months > 0):
            return months / 12.0
    if step == 1.0 / 52.0:
        return days / 364.0
    if step == 1.0 / 252.0:
        counts = np.busday_count(np.datetime64(last, "D"), dates.values.astype("datetime64[D]"))
        return np.asarray(counts, dtype=float) / 252.0
    return days / DAYS_IN_A_YEAR


def _stamps(index: Any) -> pd.DatetimeIndex:
    index = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else pd.DatetimeIndex(index)
    return pd.DatetimeIndex(index)
