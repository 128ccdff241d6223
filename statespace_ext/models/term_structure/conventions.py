"""What a user says of a panel of yields: maturities, units, time between dates."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd

from ...exceptions import DataError, SpecificationError, shown
from ...numerics.linear_algebra import Array
from ...statespace.dates import DAYS_IN_A_YEAR, read_dates

UNITS = {"decimal": 1.0, "percent": 100.0}
_MONTHS = {1: 1.0 / 12.0, 3: 0.25, 6: 0.5, 12: 1.0}
_IMPLAUSIBLE_MATURITY, _IMPOSSIBLE_MATURITY = 50.0, 150.0
_IMPLAUSIBLE_DECIMAL, _IMPOSSIBLE_DECIMAL, _IMPLAUSIBLE_PERCENT = 0.5, 30.0, 0.2
_MEANT = {"decimal": 'is units="percent" meant?', "percent": "are these basis points? Divide by 100."}
_LABEL = re.compile(r"^[^\d]*?(\d+(?:\.\d+)?)\s*(m|mo|month|months|y|yr|year|years)?$", re.IGNORECASE)


def parse_maturities(maturities: Any, columns: list[str], k_factors: int) -> Array:
    """
    Return the maturities of the columns of a panel.

    Raises
    ------
    SpecificationError
        If they are not different positive numbers, at least as many as factors, or too long to be years.
    DataError
        If their number or order is not that of the columns.
    """
    try:
        years = np.array(maturities, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            "maturities are not numbers", got=repr(maturities)[:80], expected="years, one a column"
        ) from error
    if years.ndim != 1 or len(years) != len(columns):
        raise DataError(
            "maturities do not match the columns of yields",
            got=f"{years.size} maturities, {len(columns)} columns",
            expected="one maturity a column, in the order of the columns",
        )
    if not np.all(np.isfinite(years)) or np.any(years <= 0):
        bad = years[~(np.isfinite(years) & (years > 0))]
        raise SpecificationError("maturities are not positive", got=bad[0], expected="years, above zero")
    values, counts = np.unique(years, return_counts=True)
    if np.any(counts > 1):
        raise SpecificationError("A maturity is repeated", got=values[counts > 1][0], remedy="Drop a column.")
    if len(years) < k_factors:
        raise SpecificationError(
            "There are fewer maturities than factors",
            got=f"{len(years)} maturities, {k_factors} factors",
            expected=f"at most {len(years)} factors",
        )
    _check_length(years)
    _check_order(years, columns)
    return years


def _check_length(years: Array) -> None:
    longest = float(np.max(years))
    if longest > _IMPOSSIBLE_MATURITY:
        raise SpecificationError(
            "A maturity is too long to be in years",
            got=f"{longest:g}",
            expected=f"at most {_IMPOSSIBLE_MATURITY:g} years",
            remedy="Divide months by 12.",
        )
    if longest > _IMPLAUSIBLE_MATURITY:
        warnings.warn(
            f"The longest maturity is {longest:g} years: divide by 12 if these are months.",
            UserWarning,
            stacklevel=5,
        )


def _check_order(years: Array, columns: list[str]) -> None:
    """Refuse maturities in another order than that which the labels of the columns tell."""
    found = [_LABEL.match(str(column)) for column in columns]
    if not all(found) or len(columns) < 2:
        return
    told = np.array([_years_told(match) for match in found if match])
    if len(np.unique(told)) < len(told):
        return
    if all(match.group(2) for match in found if match) and np.allclose(years, 12.0 * told):
        warnings.warn(
            f"The maturity of column {columns[-1]!r} is {years[-1]:g} years: divide by 12 if in months.",
            UserWarning,
            stacklevel=5,
        )
    if np.array_equal(np.argsort(told), np.argsort(years)):
        return
    place = int(np.argmax(np.argsort(np.argsort(told)) != np.argsort(np.argsort(years))))
    raise DataError(
        "maturities are not in the order of the columns",
        got=f"{years[place]:g} years for column {columns[place]!r}",
        expected="the maturities of the columns, in their order",
    )


def _years_told(match: re.Match[str]) -> float:
    unit = (match.group(2) or "").lower()
    return float(match.group(1)) / (12.0 if unit.startswith("m") else 1.0)


def check_units(values: Array, units: Any) -> float:
    """
    Return the size of one (100 percent) in the units of the yields.

    Raises
    ------
    SpecificationError
        If the units are unknown.
    DataError
        If yields are impossible; implausible ones are warned of.
    """
    if not isinstance(units, str) or units not in UNITS:
        raise SpecificationError("units are unknown", got=repr(units), expected=f"one of {list(UNITS)}")
    seen = values[~np.isnan(values)]
    middle = float(np.median(np.abs(seen))) if len(seen) else np.nan
    share = middle / UNITS[units]
    if share > _IMPOSSIBLE_DECIMAL:
        raise DataError(
            f"Yields are too large to be {units}",
            got=f"a median of {middle:.4g}",
            expected=f"{0.05 * UNITS[units]:g} for five percent a year",
            remedy="Pass the units of the yields, and annual rates.",
        )
    if share > _IMPLAUSIBLE_DECIMAL:
        _warn_units(f"a median yield of {100 * share:.4g} percent a year", _MEANT[units])
    if units == "percent" and middle < _IMPLAUSIBLE_PERCENT and np.max(np.abs(seen)) < 1.0:
        _warn_units(f"a median yield of {middle:.4g} percent a year", 'is units="decimal" meant?')
    return UNITS[units]


def _warn_units(told: str, question: str) -> None:
    warnings.warn(f"The units say {told}: {question}", UserWarning, stacklevel=4)


def time_steps(dt: Any, index: Any, nobs: int) -> Array:
    """
    Return the time between dates in years: one number, or one a step (nobs - 1).

    Raises
    ------
    SpecificationError
        If ``dt`` is neither "infer" nor positive numbers, or there are no dates to infer it from.
    """
    if isinstance(dt, str):
        if dt != "infer":
            raise SpecificationError("dt is unknown", got=repr(dt), expected='"infer" or years')
        return inferred_steps(index)
    try:
        steps = np.array(dt, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError("dt is not a number of years", got=repr(dt)[:80]) from error
    if steps.ndim > 1 or (steps.ndim == 1 and len(steps) != nobs - 1):
        raise SpecificationError(
            "dt has the wrong shape", got=steps.shape, expected=f"a number, or {nobs - 1} steps"
        )
    if not np.all(np.isfinite(steps)) or np.any(steps <= 0):
        raise SpecificationError("dt is not positive", got=shown(steps[~(steps > 0)].ravel()) or dt)
    return _one_if_equal(steps)


def inferred_steps(index: Any) -> Array:
    """Return 1/12, 1/4, 1/52, 1/252, ... for regular dates, actual days / 365.25 for others."""
    index = read_dates(index)
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        raise SpecificationError(
            'dt="infer" needs yields with dates',
            got=f"an index of type {type(index).__name__}",
            expected="a DatetimeIndex or a PeriodIndex",
            remedy="Pass dt in years, such as dt=1/12.",
        )
    if len(index) < 2:
        raise SpecificationError('dt="infer" needs two dates', got=f"{len(index)}", remedy="Pass dt.")
    months = np.unique(np.diff(index.year * 12 + index.month))
    if len(months) == 1 and int(months[0]) in _MONTHS:
        return np.array(_MONTHS[int(months[0])])
    days = np.diff(index.values) / np.timedelta64(1, "D")
    if np.all(days == 7.0):
        return np.array(1.0 / 52.0)
    weekdays = (index.values.astype("datetime64[D]").astype(int) + 3) % 7  # Monday is 0
    if np.all(weekdays < 5) and np.all(days == np.where(weekdays[:-1] == 4, 3.0, 1.0)):
        return np.array(1.0 / 252.0)
    return _one_if_equal(days / DAYS_IN_A_YEAR)


def _one_if_equal(steps: Array) -> Array:
    return np.array(steps.flat[0]) if steps.ndim and np.all(steps == steps.flat[0]) else steps
