"""Panels of yields with maturities, units, time between dates and portfolio weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..engine.arguments import one_of, positive_integer
from ..engine.validation import DAYS_IN_A_YEAR, check_dates, endog_frame, read_dates, series_names
from ..exceptions import DataError, SpecificationError, UnsupportedError, shown, warn
from ..fit.start_values import fill_missing
from ..numerics.linear_algebra import Array
from ..numerics.ornstein_uhlenbeck import whole_periods
from .observed import with_observed

if TYPE_CHECKING:
    from .atsm import ATSM

UNITS = {"decimal": 1.0, "percent": 100.0}
_MONTHS = {1: 1.0 / 12.0, 3: 0.25, 6: 0.5, 12: 1.0}
_LONG, _MONTHLY = 3.0, 0.1
"""Years. A shortest maturity above the first value is doubtful if dates are closer than the second value."""
_NEAR = 0.05
"""Relative difference of a maturity from its label that a different day count can explain."""
_LONGEST_NAMED = 50.0
"""Longest maturity in years that labels may name; labels y3, y12, ..., y120 are months."""
_IMPLAUSIBLE_DECIMAL, _IMPOSSIBLE_DECIMAL, _IMPLAUSIBLE_PERCENT = 0.5, 30.0, 0.2
_MEANT = {"decimal": 'is units="percent" meant?', "percent": "are these basis points? Divide by 100."}
_WORDS = {
    **dict.fromkeys(("m", "mo", "mos", "mon", "mth", "mths", "month", "months"), "m"),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), "y"),
}
_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"
_LABEL = re.compile(rf"^(?P<before>\D*?){_NUMBER}[\s_-]*(?P<unit>[a-z]+)?\.?$", re.IGNORECASE)
_WORD = re.compile(r"(?:^|[^a-z])([a-z]+)[^a-z]*$")


def numbers(value: object, fault: str) -> Array:
    """
    Return a new array of floats.

    Raises
    ------
    SpecificationError
        If the value is not numeric; ``fault`` is the message.
    """
    try:
        return np.array(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(fault, got=repr(value)[:80]) from error


def parse_maturities(maturities: object, columns: list[str], k_factors: int) -> Array:
    """
    Return the maturities of the columns of a panel.

    Raises
    ------
    SpecificationError
        If the maturities are not distinct positive numbers, or there are fewer than factors.
    DataError
        If their number or order differs from that of the columns, or they contradict the labels.
    """
    years = numbers(maturities, "maturities must be numbers of years, one per column")
    if years.ndim != 1 or len(years) != len(columns):
        raise DataError(
            "maturities do not match the columns of yields",
            got=f"{years.size} maturities, {len(columns)} columns",
            expected="one maturity per column, in the order of the columns",
        )
    if not np.all(np.isfinite(years)) or np.any(years <= 0):
        bad = years[~(np.isfinite(years) & (years > 0))]
        raise SpecificationError("maturities must be positive", got=bad[0], expected="years above 0")
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


def _part(label: str) -> tuple[float, str, bool]:
    """Return the number in a label (NaN if it is not readable), its unit, and whether none is behind it."""
    found = _LABEL.match(label.strip())
    if found is None or found["before"].strip() == ".":
        return np.nan, "", True
    behind, front = (found["unit"] or "").lower(), _WORD.search(found["before"].lower())
    number = np.nan if behind and behind not in _WORDS else float(found["number"])
    return number, _WORDS.get(behind or (front[1] if front else ""), ""), not behind


def _read(columns: list[str]) -> tuple[Array, Array, Array]:
    """
    Return the maturities in labels.

    Labels y1, y2, ... (and m1, m2, ...) number the columns. Numbers without a unit are years if at least one
    is not whole, such as 0.25. Numbers in labels such as y3, ..., y120 may be months.

    Returns
    -------
    years : ndarray of float
        A number without a unit is unchanged. A label that is not one number with or without a unit is NaN.
    certain : ndarray of bool
        Whether the unit is certain. It is not for a label such as y12, which may mean twelve months.
    told : ndarray of bool
        Whether the labels together determine the unit.
    """
    number, unit, front = (np.array(part) for part in zip(*map(_part, columns), strict=True))
    if np.array_equal(number[front], np.arange(1, len(columns) + 1)):
        unit = np.full(len(columns), "")
    named, doubtful, readable = unit != "", (unit == "y") & front, ~np.isnan(number)
    fractional, long = np.any(number[~named] % 1 > 0), np.any(number[doubtful] > _LONGEST_NAMED)
    told = np.where(named, ~(doubtful & long), fractional)
    return np.where(unit == "m", number / 12.0, number), named & ~doubtful & readable, told & readable


def maturities_of(columns: list[str]) -> list[float]:
    """
    Return the maturities in years that the labels of the columns contain.

    Labels with a unit are "3m", "3 months", "m3", "1y", "10-year" and "y10".

    Raises
    ------
    SpecificationError
        If a label has no maturity, or its unit is not known.
    """
    years, _, told = _read(columns)
    for place in np.flatnonzero(~told)[:1]:
        doubt = "" if np.isnan(years[place]) else ", which may be months or years"
        raise SpecificationError(
            "The maturities cannot be read from the labels of the yields",
            got=f"{columns[place]!r}{doubt}",
            expected='labels with a unit, such as "3m", "10y" or "120 months"',
            remedy="Pass maturities, in years.",
        )
    return years.tolist()


def _check_order(years: Array, columns: list[str]) -> None:
    """Raise if maturities contradict the labels of the columns or have a different order."""
    labelled, certain, _ = _read(columns)
    if len(np.unique(labelled)) == len(years) and not np.isnan(labelled).any():
        wrong = np.flatnonzero(np.argsort(np.argsort(labelled)) != np.argsort(np.argsort(years)))
        for place in wrong[:1]:
            raise DataError(
                "maturities must be in the order of the columns",
                got=f"{years[place]:g} years for column {columns[place]!r}",
                expected="the maturities of the columns, in their order",
            )
    for place in np.flatnonzero(certain & (np.abs(years - labelled) > _NEAR * labelled))[:1]:
        raise DataError(
            "maturities contradict the labels of the columns",
            got=f"{years[place]:g} years for column {columns[place]!r}",
            expected=f"{labelled[place]:g} years",
            remedy="Divide months by 12, or leave maturities out.",
        )


def check_shortest(years: Array, columns: list[str], step: float) -> None:
    """Warn if the shortest maturity of monthly data is that of a long bond, and no label has a unit."""
    if step > _MONTHLY or _read(columns)[1].any():
        return
    shortest = float(np.min(years))
    if shortest > _LONG:
        warn(f"The shortest maturity is {shortest:g} years: divide by 12 if maturities are in months.")


def check_units(values: Array, units: object) -> float:
    """
    Return the size of one (100 percent) in the units of the yields.

    Raises
    ------
    SpecificationError
        If the unit is unknown.
    DataError
        If yields are impossible. Implausible yields cause a warning.
    """
    name = one_of(units, UNITS, "units")
    seen = values[~np.isnan(values)]
    middle = float(np.median(np.abs(seen))) if len(seen) else np.nan
    share = middle / UNITS[name]
    if share > _IMPOSSIBLE_DECIMAL:
        raise DataError(
            f"Yields are too large to be {name}",
            got=f"a median of {middle:.4g}",
            expected=f"{0.05 * UNITS[name]:g} for five percent a year",
            remedy="Pass the units of the yields, and annual rates.",
        )
    if share > _IMPLAUSIBLE_DECIMAL:
        warn(f"The units say a median yield of {100 * share:.4g} percent a year: {_MEANT[name]}")
    if name == "percent" and middle < _IMPLAUSIBLE_PERCENT and np.max(np.abs(seen)) < 1.0:
        warn(f'The units say a median yield of {middle:.4g} percent a year: is units="decimal" meant?')
    return UNITS[name]


def time_steps(dt: object, index: object, nobs: int) -> Array:
    """
    Return the time between dates in years, as one number or one for each step (nobs - 1).

    Raises
    ------
    SpecificationError
        If ``dt`` is neither "infer" nor positive numbers, or it must be inferred and there are no dates.
    """
    if isinstance(dt, str):
        if dt != "infer":
            raise SpecificationError("dt is unknown", got=repr(dt), expected='"infer" or years')
        return inferred_steps(index)
    steps = numbers(dt, "dt must be a number of years")
    if steps.ndim > 1 or (steps.ndim == 1 and len(steps) != nobs - 1):
        raise SpecificationError(
            "dt has the wrong shape", got=steps.shape, expected=f"a number, or {nobs - 1} steps"
        )
    if not np.all(np.isfinite(steps)) or np.any(steps <= 0):
        raise SpecificationError("dt must be positive", got=shown(steps[~(steps > 0)].ravel()) or dt)
    return _one_if_equal(steps)


def inferred_steps(labels: object) -> Array:
    """Return 1/12, 1/4, 1/52, 1/252, ... for regular dates, and actual days / 365.25 for others."""
    dates = read_dates(labels)
    if not isinstance(dates, (pd.DatetimeIndex, pd.PeriodIndex)):
        raise SpecificationError(
            'dt="infer" needs yields with dates',
            got=f"an index of type {type(dates).__name__}",
            expected="a DatetimeIndex or a PeriodIndex",
            remedy="Pass dt in years, such as dt=1/12.",
        )
    index = _stamps(dates)
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


@dataclass(frozen=True)
class Panel:
    """
    Yields and the information needed to price them.

    Attributes
    ----------
    endog : DataFrame or ndarray, (nobs, m + p)
        Observed or macro factors and surveys (m columns, possibly none), then yields.
    labels : list of str
        Names of the yields.
    maturities : ndarray, (p,)
        Maturities in years.
    scale : float
        The size of one (100 percent) in the units of the yields.
    steps : ndarray, () or (nobs,)
        Years from each date to the next; one number if they are all equal.
    k_factors : int
        Number of factors.
    factor_names : list of str or None
        Names of observed factors.
    macro_names : list of str
        Names of macro factors.
    period : float or None
        Length of a period of discrete time in years; None in continuous time.
    horizons : ndarray, (q,)
        Horizons of the surveys in years.
    weights : ndarray, (k, p)
        Portfolio weights.
    given_weights : ndarray or None
        Weights that a model for other data must use too.
    """

    endog: Any
    labels: list[str]
    maturities: Array
    scale: float
    steps: Array
    k_factors: int
    factor_names: list[str] | None
    macro_names: list[str]
    period: float | None
    horizons: Array
    weights: Array
    given_weights: Array | None

    @property
    def longest(self) -> float:
        """The longest maturity."""
        return float(np.max(self.maturities))

    @property
    def n_seen(self) -> int:
        """Number of observed or macro factors, the first columns of ``endog``."""
        return len(self.factor_names or self.macro_names)

    @property
    def n_observed(self) -> int:
        """Number of columns of ``endog`` before the yields: observed or macro factors, and surveys."""
        return self.n_seen + len(self.horizons)

    @property
    def n_states(self) -> int:
        """Number of factors that price bonds plus number of macro factors."""
        return self.k_factors + len(self.macro_names)

    def require_regular(
        self, fault: str, remedy: str = "Use yields at regular dates, such as month ends."
    ) -> None:
        """Raise `UnsupportedError` with a message if the steps between dates differ."""
        if self.steps.ndim:
            raise UnsupportedError(fault, got="irregular dates", remedy=remedy)


def parts_of(yields: Any, maturities: Any, units: Any) -> tuple[Any, Any, Any]:
    """
    Return yields, maturities and units, from a panel or from labels.

    Raises
    ------
    SpecificationError
        If an argument contradicts the panel, or neither the arguments nor the labels contain maturities.
    """
    if not isinstance(yields, (pd.DataFrame, pd.Series)) and hasattr(yields, "yields"):
        maturities = _own(yields, "maturities", maturities)
        units = _own(yields, "units", units)
        yields = yields.yields
    if maturities is None:
        frame: Any = endog_frame(yields)
        labels = getattr(frame, "columns", [getattr(frame, "name", None)])
        if len(labels) == 1 and labels[0] is None:
            raise SpecificationError(
                "Yields without labels need maturities",
                got=type(yields).__name__,
                remedy="Pass maturities, in years.",
            )
        maturities = maturities_of(series_names(frame))
    return yields, maturities, "decimal" if units is None else units


def _own(panel: Any, name: str, given: Any) -> Any:
    """Return an attribute of a panel of yields, or the given value if the panel has none."""
    has = getattr(panel, name, None)
    if given is not None and has is not None and not np.array_equal(given, has):
        raise SpecificationError(
            f"{name} contradict those of the panel",
            got=repr(given)[:80],
            expected=has,
            remedy=f"Leave {name} out.",
        )
    return has if given is None else given


def parse_panel(yields: Any, dates: Any, given: Mapping[str, Any]) -> Panel:
    """
    Return the panel of the arguments of `ATSM`; those that `ACM` does not have may be absent.

    Raises
    ------
    SpecificationError, DataError
        If the arguments are invalid.
    """
    k = positive_integer(given["k_factors"], "k_factors")
    frame: Any = endog_frame(yields)
    values = np.asarray(frame, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    labels = series_names(frame)
    maturities = parse_maturities(given["maturities"], labels, k)
    scale = check_units(values, given["units"])
    check_dates(dates, len(values))
    index = getattr(frame, "index", None) if dates is None else pd.Index(dates)
    steps = time_steps(given["dt"], index, len(values))
    check_shortest(maturities, labels, float(np.median(steps)))
    if steps.ndim:
        steps = np.append(steps, steps[-1])
    period = _period(given.get("time", "continuous"), steps, maturities)
    endog, names, macro, horizons = with_observed(given, frame, values, labels, index, period)
    named, exact = given.get("identification"), is_word(given.get("obs_cov"), "exact-portfolios")
    uses = isinstance(named, str) and named in ("jsz", "jsz-pairs") and names is None or exact
    weights = _weights(given.get("portfolio_weights"), values, k, labels, uses)
    own = weights if uses else None
    return Panel(endog, labels, maturities, scale, steps, k, names, macro, period, horizons, weights, own)


def _period(time: object, steps: Array, maturities: Array) -> float | None:
    """Return the length of a period of discrete time; None in continuous time."""
    if one_of(time, ("continuous", "discrete"), "time") == "continuous":
        return None
    if steps.ndim:
        raise SpecificationError(
            'time="discrete" needs regular dates',
            got="steps of different lengths",
            remedy='Use time="continuous".',
        )
    whole_periods(maturities, float(steps))
    return float(steps)


def _weights(given: object, values: Array, k: int, labels: list[str], uses: bool) -> Array:
    """Return the given portfolio weights, or those of principal components of the yields."""
    if given is None:
        seen = ~np.isnan(values).all(axis=0)
        if uses and not seen.all():
            raise DataError(
                "A maturity has no observations", got=labels[int(np.argmin(seen))], remedy="Drop it."
            )
        filled = np.zeros(values.shape)
        filled[:, seen] = fill_missing(values[:, seen])
        return principal_directions(filled - filled.mean(axis=0), k)[1]
    weights = numbers(given, "portfolio_weights must be numbers")
    shape = (k, values.shape[1])
    if weights.shape != shape or not np.all(np.isfinite(weights)):
        raise SpecificationError("portfolio_weights have the wrong shape", got=weights.shape, expected=shape)
    if np.linalg.matrix_rank(weights) < k:
        raise SpecificationError("portfolio_weights are linearly dependent", expected=f"rank {k}")
    return weights


def principal_directions(centred: Array, k: int) -> tuple[Array, Array]:
    """
    Return the standard deviations of the principal components, times a constant, and the first k directions.

    The weights of the first component have a positive sum. The last weight of each other one is positive.
    """
    sizes, vectors = np.linalg.svd(centred, full_matrices=False)[1:]
    signs = np.append(vectors[:1].sum(axis=1), vectors[1:k, -1])
    return sizes, vectors[:k] * np.where(signs < 0, -1.0, 1.0)[:, None]


def first_portfolios(endog: Array, panel: Panel, given: Mapping[str, Any]) -> Array | None:
    """
    Return the first state if portfolios without error determine it and the start conditions on it.

    In all other cases return None. The yields of the first date give the portfolios P = W y. "conditional"
    starts from them and uses nothing else of the first date. "diffuse" has P_1 ~ N(W y_1, I), whose density
    at W y_1 is constant. For orthonormal weights this is equivalent to the exact-diffuse start of
    statsmodels, whose filter can lose all precision with this singular H.

    Raises
    ------
    DataError
        If a yield of the first date is missing.
    """
    initialization, m, seen = given["initialization"], panel.n_observed, panel.n_seen
    if initialization not in ("diffuse", "conditional") or given["obs_cov"] != "exact-portfolios":
        return None
    first = np.concatenate([endog[0, :seen], endog[0, m:]])
    if np.isnan(first).any():
        raise DataError(
            f"Portfolios without error need all yields of the first date for a {initialization} start",
            got=f"column {int(np.argmax(np.isnan(first)))} missing",
            remedy='Leave out the first dates, or use initialization="stationary".',
        )
    return np.concatenate([panel.weights @ endog[0, m:], endog[0, :seen]])


def years_after(model: ATSM, index: Any) -> Array:
    """
    Return the years from the last date of the sample to later dates.

    If ``dt="infer"`` found months, weeks or business days, these are counted. Otherwise the result is actual
    days / 365.25.

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
            "Dates must be in order and after the sample",
            got=f"{dates[0]} first" if len(dates) else "no dates",
            expected=f"dates after {last}",
        )
    inferred = isinstance(model._given["dt"], str) and not model.panel.steps.ndim
    return _elapsed(last, dates, float(model.panel.steps) if inferred else np.nan)


def _elapsed(last: pd.Timestamp, dates: pd.DatetimeIndex, step: float) -> Array:
    """Return the years from a date to later dates; counts whole steps of months, weeks or business days."""
    days = np.asarray((dates - last) / pd.Timedelta(days=1), dtype=float)
    months = np.asarray((dates.year - last.year) * 12 + dates.month - last.month, dtype=float)
    if step in _MONTHS.values() and np.all(months > 0):
        return months / 12.0
    if step == 1.0 / 52.0:
        return days / 364.0
    if step == 1.0 / 252.0:
        counts = np.busday_count(np.datetime64(last, "D"), dates.values.astype("datetime64[D]"))
        return np.asarray(counts, dtype=float) / 252.0
    return days / DAYS_IN_A_YEAR


def _stamps(index: Any) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index)


def is_word(value: object, word: str) -> bool:
    """Return whether an argument, which may be an array, equals a given string."""
    return isinstance(value, str) and value == word
