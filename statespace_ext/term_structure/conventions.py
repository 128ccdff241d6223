"""What a user says of a panel of yields: maturities, units, time between dates."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..engine.validation import DAYS_IN_A_YEAR, read_dates
from ..exceptions import DataError, SpecificationError, shown
from ..numerics.linear_algebra import Array

UNITS = {"decimal": 1.0, "percent": 100.0}
_MONTHS = {1: 1.0 / 12.0, 3: 0.25, 6: 0.5, 12: 1.0}
_LONG, _MONTHLY = 3.0, 0.1
"""Years: a shortest maturity above the first is doubtful where dates are nearer than the second."""
_NEAR = 0.05
"""A maturity that differs relatively less from its label is the same with another count of days."""
_LONGEST_NAMED = 50.0
"""Years; labels y3, y12, ..., y120 are of months."""
_IMPLAUSIBLE_DECIMAL, _IMPOSSIBLE_DECIMAL, _IMPLAUSIBLE_PERCENT = 0.5, 30.0, 0.2
_MEANT = {"decimal": 'is units="percent" meant?', "percent": "are these basis points? Divide by 100."}
_WORDS = {
    **dict.fromkeys(("m", "mo", "mos", "mon", "mth", "mths", "month", "months"), "m"),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), "y"),
}
_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"
_LABEL = re.compile(rf"^(?P<before>\D*?){_NUMBER}[\s_-]*(?P<unit>[a-z]+)?\.?$", re.IGNORECASE)
_WORD = re.compile(r"(?:^|[^a-z])([a-z]+)[^a-z]*$")


def parse_maturities(maturities: Any, columns: list[str], k_factors: int) -> Array:
    """
    Return the maturities of the columns of a panel.

    Raises
    ------
    SpecificationError
        If they are not different positive numbers, at least as many as factors.
    DataError
        If their number or order is not that of the columns, or they contradict the labels.
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
    _check_order(years, columns)
    return years


@dataclass(frozen=True)
class Label:
    """
    What the label of a column says of a maturity.

    Attributes
    ----------
    number : float
        The number in it.
    unit : {"m", "y", ""}
        Months or years; empty where it does not say.
    in_front : bool
        Whether the unit is in front of the number, as in "m3".
    """

    number: float
    unit: str
    in_front: bool

    @property
    def years(self) -> float:
        """The number in years; a number without a unit as it is."""
        return self.number / 12.0 if self.unit == "m" else self.number

    @property
    def certain(self) -> bool:
        """Whether the unit is no name: y12 may be the yield of twelve months."""
        return bool(self.unit) and not (self.unit == "y" and self.in_front)


def read_label(label: str) -> Label | None:
    """Return what a label says of a maturity, None where it is not one number with or without a unit."""
    found = _LABEL.match(label.strip())
    if found is None or found["before"].strip() == ".":
        return None
    behind, front = (found["unit"] or "").lower(), _WORD.search(found["before"].lower())
    number = float(found["number"])
    if behind:
        return Label(number, _WORDS[behind], False) if behind in _WORDS else None
    return Label(number, _WORDS.get(front[1], "") if front else "", True)


def _read(columns: list[str]) -> list[Label | None]:
    """Return what labels say; y1, y2, ... (and m1, m2, ...) count the columns."""
    found = [read_label(column) for column in columns]
    numbers = [label.number if label and label.in_front else None for label in found]
    if numbers == list(range(1, len(columns) + 1)):
        return [Label(float(i + 1), "", True) for i in range(len(columns))]
    return found


def maturities_of(columns: list[str]) -> list[float]:
    """
    Return the maturities in years that the labels of the columns tell.

    "3m", "3 months", "m3", "1y", "10-year", "y10" have a unit. Numbers without one are years where one of
    them is not whole, as 0.25.

    Raises
    ------
    SpecificationError
        If a label tells no maturity, or its unit is not known.
    """
    found = _read(columns)
    bare = [label.number for label in found if label and not label.unit]
    fractional = any(number != round(number) for number in bare)
    doubtful = [label for label in found if label and label.unit and not label.certain]
    long = any(label.years > _LONGEST_NAMED for label in doubtful)
    for column, label in zip(columns, found, strict=True):
        if label is None or (not label.unit and not fractional) or (label in doubtful and long):
            raise SpecificationError(
                "The labels of the yields do not tell their maturities",
                got=f"{column!r}" if label is None else f"{column!r}, which may be months or years",
                expected='labels with a unit, as "3m", "10y" or "120 months"',
                remedy="Pass maturities, in years.",
            )
    return [label.years for label in found if label]


def _check_order(years: Array, columns: list[str]) -> None:
    """Refuse maturities that are in another order than the labels of the columns, or contradict them."""
    found = _read(columns)
    told = np.array([label.years if label else np.nan for label in found])
    if len(told) > 1 and len(np.unique(told)) == len(told) and not np.isnan(told).any():
        wrong = np.argsort(np.argsort(told)) != np.argsort(np.argsort(years))
        if wrong.any():
            place = int(np.argmax(wrong))
            raise DataError(
                "maturities are not in the order of the columns",
                got=f"{years[place]:g} years for column {columns[place]!r}",
                expected="the maturities of the columns, in their order",
            )
    for column, own, label in zip(columns, years, found, strict=True):
        if label and label.certain and abs(own - label.years) > _NEAR * label.years:
            raise DataError(
                "maturities contradict the labels of the columns",
                got=f"{own:g} years for column {column!r}",
                expected=f"{label.years:g} years",
                remedy="Divide months by 12, or leave maturities out.",
            )


def check_shortest(years: Array, columns: list[str], step: float) -> None:
    """Warn where the shortest maturity of monthly data is that of a long bond, and no label has a unit."""
    if step > _MONTHLY or any(label and label.certain for label in _read(columns)):
        return
    shortest = float(np.min(years))
    if shortest > _LONG:
        warnings.warn(
            f"The shortest maturity is {shortest:g} years: divide by 12 if maturities are in months.",
            UserWarning,
            stacklevel=4,
        )


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
