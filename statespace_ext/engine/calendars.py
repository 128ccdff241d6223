"""
The calendar of a sample: one rule for the labels of its periods and of later periods.

A model with the mixin `Labelled` uses its calendar wherever statsmodels asks for an index.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.errors import InvalidIndexError

from ..exceptions import DataError, SpecificationError, shown, warn
from .representation import Mixin
from .validation import QUARTER, check_index, labels_of, read_dates, text_format

_NOT_FOUND = (KeyError, TypeError, ValueError, OverflowError, InvalidIndexError)
_RANGES: dict[type, Any] = {
    pd.DatetimeIndex: pd.date_range,
    pd.PeriodIndex: pd.period_range,
    pd.TimedeltaIndex: pd.timedelta_range,
}


@dataclass(frozen=True, eq=False)
class Calendar:
    """
    The labels of the periods of a sample, and the rule for the labels of later periods.

    The rule is the first of these that applies: the frequency of the index; whole numbers in equal steps; a
    frequency inferred from the dates; the labels of new data or of their regressors; steps. Labels of the
    sample do not change. Text and Python dates are continued as text and Python dates.

    Attributes
    ----------
    labels : Index
        One label for each period. They are 0, 1, ... if the data have no labels.
    read : Index
        The labels, with text and Python dates converted to dates.
    clock : DatetimeIndex, PeriodIndex, TimedeltaIndex, RangeIndex or None
        The labels with a frequency or a step; None if the labels have no rule.
    given : bool
        Whether the data have labels.
    is_open : bool
        Whether later labels may differ from the rule: it does not exist, or it is weekdays and was only
        inferred, so that holidays may follow.
    """

    labels: pd.Index
    read: pd.Index
    clock: Any
    given: bool = True
    is_open: bool = False

    @property
    def dated(self) -> bool:
        """Whether the labels are dates or periods."""
        return isinstance(self.read, (pd.DatetimeIndex, pd.PeriodIndex))

    # -- the labels after the sample -------------------------------------------------------------------

    def ahead(self, steps: int) -> pd.Index:
        """Return the labels of the periods after the sample, or steps 1, 2, ... if there is no rule."""
        if steps <= 0:
            return self.labels[:0]
        clock = self.clock
        if isinstance(clock, pd.RangeIndex):
            later = pd.RangeIndex(clock.stop, clock.stop + steps * clock.step, clock.step, name=clock.name)
            kept = later.astype(self.labels.dtype)
            return later if kept.dtype == later.dtype or np.any(kept != later) else kept
        if clock is None:  # integer labels go on by ones
            last = self.labels[-1]
            first = int(np.floor(last)) + 1 if _is_number(last) else 1
            return pd.RangeIndex(first, first + steps, name="step")
        with _no_notice():
            later = _RANGES[type(clock)](start=clock[-1], periods=steps + 1, freq=clock.freq)[1:]
        if hasattr(clock, "unit"):
            later = later.as_unit(clock.unit)
        return self.in_kind(later.rename(clock.name))

    def in_kind(self, later: Any) -> pd.Index:
        """Convert dates to the kind of labels that the sample has."""
        kind, name = self.labels.inferred_type, self.labels.name
        if kind == "date":
            return pd.Index(later.date, dtype=object, name=name)
        pattern = "%YQ%q" if isinstance(later, pd.PeriodIndex) else text_format(str(self.labels[0]))
        if kind != "string" or pattern is None:  # a form that is read, but not written
            return pd.Index(later)
        return pd.Index(list(later.strftime(pattern)), dtype=self.labels.dtype, name=name)

    def following(self, steps: int, *data: Any, name: str = "endog") -> pd.Index:
        """
        Return the labels of new periods, by the rule or from the labels of new data or regressors.

        Parameters
        ----------
        steps : int
            Number of periods.
        *data
            New data, then regressors. The labels of the first object that has labels are used.
        name : str
            Name of the data, for messages.

        Raises
        ------
        DataError
            If the labels of the data contradict the rule, overlap with the sample or are not increasing.
        """
        index = next((each.index for each in data if labels_of(each, steps) is not None), None)
        if index is None:
            return self.announced(steps)
        expected = index[:0] if self.clock is None else self.ahead(steps)
        if index.equals(expected):
            return expected
        if self.is_open and self.precedes(index, f"the new {name}"):
            return pd.Index(index)
        raise DataError(
            f"The index of the new {name} must continue the index of the sample",
            got=f"{index[0]} to {index[-1]}",
            expected=f"{expected[0]} to {expected[-1]}"
            if len(expected)
            else f"labels after {self.labels[-1]}",
        )

    def taken(self, index: pd.Index | None) -> pd.Index | None:
        """Return the labels of future regressors if they are those of periods after the sample, else None."""
        return index if index is not None and self.is_open and _kind(index) == _kind(self.labels) else None

    def announced(self, steps: int) -> pd.Index:
        """Return `ahead`, with a warning if the labels are steps."""
        if steps > 0 and self.given and self.clock is None:
            warn(
                f"The labels of the sample have no frequency by which they go on after {self.labels[-1]}: "
                "the periods after it are labelled by steps. Pass new data or regressors with labels, or "
                "give the index a frequency."
            )
        return self.ahead(steps)

    def precedes(self, index: pd.Index, name: str) -> bool:
        """Return whether labels come after the sample; reject duplicates and labels that do not increase."""
        check_index(index, name)
        return _hold(operator.gt, read_dates(index)[:1], self.read[-1:])

    def check_future(self, index: pd.Index, steps: int, name: str, back: int = 0) -> None:
        """
        Reject labels of future regressors that belong to other periods.

        Labels of a different kind than those of the sample are ignored.

        Parameters
        ----------
        index : Index
            The labels.
        steps : int
            Number of periods.
        name : str
            Name of the regressors, for messages.
        back : int
            Number of periods between the first row and the first period after the sample.

        Raises
        ------
        DataError
            If the labels belong to other periods.
        """
        check_index(index, f"future {name}")
        if len(index) != steps or _kind(index) != _kind(self.labels):
            return
        own, later = self.labels[len(self.labels) - back :], self.ahead(steps - back)
        expected = pd.Index([*own, *later])
        by_rule = back if self.is_open else steps
        rest = index[by_rule:]
        same = _hold(operator.eq, read_dates(index[:by_rule]), read_dates(expected[:by_rule]))
        if same and (not len(rest) or self.precedes(rest, f"future {name}")):
            return
        first_row = "Row t enters x_{t+1}: begin with the last period of the sample."
        word, remedy = ("from", first_row) if back else ("after", None)
        after = f"{word} {self.labels[-1]}"
        raise DataError(
            f"The index of future {name} must hold the periods after the sample",
            got=f"{index[0]} to {index[-1]}",
            expected=after if self.clock is None else f"{expected[0]} to {expected[-1]}",
            remedy=remedy,
        )

    def between(self, first: int, last: int, after: pd.Index | None = None) -> pd.Index:
        """
        Return the labels from one position to another; positions may be after the sample.

        Parameters
        ----------
        first, last : int
            Positions of the first and last period, both included.
        after : Index, optional
            Labels of the periods after the sample, if they are known.
        """
        n = len(self.labels)
        inside = self.labels[first : last + 1]
        if last < n:
            return inside
        steps = last - n + 1
        later = after[:steps] if after is not None and len(after) >= steps else self.ahead(steps)
        if not len(inside):
            return later[first - n :]
        return inside.append(later.rename(inside.name))

    # -- positions -------------------------------------------------------------------------------------

    def positions(self, start: Any, end: object = None, numbers_are_labels: bool = True) -> tuple[int, int]:
        """
        Return the positions of the first and the last period of a range, which may be after the sample.

        An integer is a position, as in statsmodels. If the labels are integers larger than the number of
        periods, such as years, an integer from the first label on is a label, unless ``numbers_are_labels``
        is False.

        Raises
        ------
        SpecificationError
            If a label is neither in the sample nor, by the rule, after it.
        """
        n = len(self.labels)
        start = 0 if start is None else start
        first = self.position(start, numbers_are_labels)
        if end is None:
            return first, max(first, n - 1)
        ahead = isinstance(start, (int, np.integer)) and start == n  # as `forecast` counts
        return first, self.position(end, numbers_are_labels and not ahead, side="last")

    def position(self, key: object, numbers_are_labels: bool = True, side: str = "first") -> int:
        """Return the position of a label or of an integer position; see `positions`."""
        if _is_number(key):
            place = self._place_of_number(np.asarray(key).item(), numbers_are_labels)
            if place is not None:
                return place
        for index in (self.labels, self.read):
            with suppress(*_NOT_FOUND):
                return _place(index, key, side)
        with suppress(*_NOT_FOUND):
            if isinstance(self.read, tuple(_RANGES)):
                return self._place_of_date(key, side)
        raise self._unknown(key)

    def _place_of_number(self, number: float, may_be_label: bool) -> int | None:
        """Return the position for an integer position or a label; None if the labels have no step."""
        n, clock = len(self.labels), self.clock
        if isinstance(number, int):
            labels = may_be_label and pd.api.types.is_numeric_dtype(self.labels.dtype) and self.labels[0] > n
            if not (labels and number >= self.labels[0]):
                if number < -n:
                    raise self._unknown(number)
                return number + n * (number < 0)
        if not isinstance(clock, pd.RangeIndex):
            return None
        place, rest = divmod(number - clock.start, clock.step)
        if rest or place < 0:
            raise self._unknown(number)
        return int(place)

    def _place_of_date(self, key: Any, side: str) -> int:
        """Return the position of a date, by the rule if it is after the sample."""
        read, date = self.read, None  # type: Any, Any
        if isinstance(read, pd.TimedeltaIndex):
            date = pd.Timedelta(key)
        elif isinstance(read, pd.PeriodIndex):
            with _no_notice():
                date = pd.Period(key, freq=read.freqstr)
        else:
            text = isinstance(key, str) and QUARTER.fullmatch(key)
            date = pd.Period(key).to_timestamp() if text else pd.Timestamp(key)
            date = date.tz_localize(read.tz) if read.tz is not None and date.tzinfo is None else date
        if date <= read[-1]:
            return _place(read, date, side)
        if self.clock is None:
            raise KeyError(key)
        with _no_notice():
            later = _RANGES[type(self.clock)](start=self.clock[-1], end=date, freq=self.clock.freq)
        return len(read) - 2 + len(later) + int(later[-1] != date)

    def _unknown(self, key: object) -> SpecificationError:
        return SpecificationError(
            "A period is not in the sample, and no rule says where it is after it",
            got=repr(key),
            expected=f"a label from {self.labels[0]} to {self.labels[-1]}, or one after it by a frequency",
            remedy="Give the number of periods, or the position.",
        )


def calendar_of(labels: Any, nobs: int, freq: object = None, name: str = "endog") -> Calendar:
    """
    Return the calendar of a sample.

    Parameters
    ----------
    labels : array_like or None
        The labels of the periods.
    nobs : int
        Number of periods.
    freq : str or offset, optional
        Frequency of the dates.
    name : str
        Name of the object with the labels, for messages.

    Raises
    ------
    DataError
        If the labels are not sorted, have gaps for their frequency, or contradict ``freq``.
    """
    if labels is None:
        if freq is not None:
            raise DataError("freq needs dates", got=repr(freq))
        steps = pd.RangeIndex(nobs)
        return Calendar(steps, steps, steps, given=False)
    index = pd.Index(labels)
    check_index(index, name)
    read = read_dates(index)
    if isinstance(read, tuple(_RANGES)):
        clock = _dated_clock(read, freq, text=read is not index)
    elif freq is not None:
        raise DataError("freq needs labels that are dates", got=shown(map(repr, index), 3), expected="dates")
    else:
        clock = _number_clock(index)
    kept: Any = clock if read is index and isinstance(clock, tuple(_RANGES)) else index
    inferred = [freq, getattr(read, "freq", None)] == [None, None]
    weekdays = inferred and isinstance(getattr(clock, "freq", None), pd.offsets.BusinessDay)
    return Calendar(kept, read if kept is index else kept, clock, is_open=clock is None or weekdays)


def _dated_clock(read: Any, freq: object, text: bool) -> Any:
    """Return dates with their frequency, given or inferred; None without one."""
    own = read.freq
    if not (freq is None or own is None or _same_freq(own, freq, read)):
        raise DataError("freq differs from the frequency of the dates", got=repr(freq), expected=own.freqstr)
    freq = freq if own is None else own
    if isinstance(read, pd.PeriodIndex):
        return _without_holes(read, text)
    if freq is None:
        return _inferred(read)
    try:
        return type(read)(read, freq=freq)
    except ValueError as error:
        raise _off_beat(read, freq, error) from error


def _inferred(read: Any) -> Any:
    """Return at least three dates with the frequency that pandas infers, or with their common distance."""
    if len(read) < 3:
        return None
    seconds = (read[1] - read[0]).total_seconds()
    found: Any = [pd.offsets.Second(int(seconds))] if seconds.is_integer() else []
    if isinstance(read, pd.DatetimeIndex):
        months = 12 * (read[1].year - read[0].year) + read[1].month - read[0].month
        found += [pd.DateOffset(months=months)] if months > 0 else []
    with _no_notice():
        for freq in filter(None, (pd.infer_freq(read), *found)):
            with suppress(ValueError):  # at clock changes, days are not 24 hours
                return type(read)(read, freq=freq)
    return None


def _same_freq(own: Any, freq: Any, read: Any) -> bool:
    with suppress(TypeError, ValueError):
        if isinstance(read, pd.PeriodIndex):
            return bool(pd.PeriodIndex([], freq=freq).freq == own)
        return bool(pd.tseries.frequencies.to_offset(freq) == own)
    return False


def _without_holes(read: pd.PeriodIndex, text: bool) -> pd.PeriodIndex | None:
    """Return periods without gaps; None for text with a gap, which statsmodels would ignore."""
    freq: Any = read.freq
    holes = np.flatnonzero(np.diff(read.asi8) != freq.n)
    if not len(holes) or text:
        return None if len(holes) else read
    before: Any = read[holes[0]]
    with _no_notice():
        missing = before + 1
    raise DataError(
        "The index has missing periods",
        got=f"no {missing} after {before}",
        expected=f"every period of frequency {read.freqstr}",
        remedy="Insert a row of NaN there, or use `index.to_timestamp()`: dates may be irregular.",
    )


def _off_beat(read: Any, freq: object, error: Exception) -> DataError:
    """Return the error for dates that do not have the given frequency."""
    try:
        expected = _RANGES[type(read)](read[0], read[-1], freq=freq)
    except (TypeError, ValueError):
        return DataError("freq cannot be used", got=f"{freq!r} ({error})")
    missing, strange = expected.difference(read), read.difference(expected)
    return DataError(
        "The dates do not have the frequency that is given",
        got=f"no {missing[0]}" if len(missing) else f"{strange[0]}",
        expected=f"every date of frequency {freq}",
        remedy="Insert a row of NaN there, or leave freq out.",
    )


def _number_clock(index: pd.Index) -> pd.RangeIndex | None:
    """Return whole numbers in equal steps as a range, None for anything else."""
    if isinstance(index, pd.RangeIndex):
        return index
    if isinstance(index, pd.MultiIndex) or not pd.api.types.is_numeric_dtype(index.dtype):
        return None
    if pd.api.types.is_float_dtype(index.dtype) and not np.all(np.mod(index.to_numpy(), 1.0) == 0.0):
        return None
    values = index.to_numpy(dtype=np.int64)
    steps = np.diff(values) if len(values) > 1 else np.ones(1, dtype=np.int64)
    if np.any(steps != steps[0]):
        return None
    step = int(steps[0])
    return pd.RangeIndex(int(values[0]), int(values[-1]) + step, step, name=index.name)


@contextmanager
def said_once() -> Iterator[None]:
    """Issue each warning of a ``with`` block once, at its end."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for each in {(entry.category, str(entry.message)): entry for entry in found}.values():
        warn(each.message, each.category)


def _kind(index: pd.Index) -> str:
    """Return what labels are: dates, numbers, or what pandas calls them."""
    if isinstance(read_dates(index), (pd.DatetimeIndex, pd.PeriodIndex)):
        return "dates"
    return "numbers" if pd.api.types.is_numeric_dtype(index.dtype) else index.inferred_type


def _is_number(label: object) -> bool:
    return isinstance(label, (int, float, np.integer, np.floating)) and not isinstance(label, bool)


def _place(index: pd.Index, key: Any, side: str) -> int:
    """Return the first or last position of a label, or of the labels within a period such as a year."""
    at = index.get_loc(key)
    if isinstance(at, slice):  # empty for a period without labels between two of them
        return int(at.start if side == "first" else at.stop - 1)
    places = np.flatnonzero(at) if isinstance(at, np.ndarray) else np.atleast_1d(at)
    return int(places[0 if side == "first" else -1])


def _hold(relation: Callable[[Any, Any], bool], index: pd.Index, other: pd.Index) -> bool:
    """Return whether a relation holds for all labels of two indexes; dates become periods beside periods."""
    with suppress(TypeError, ValueError):  # different kinds of labels, frequencies or time zones
        if isinstance(other, pd.PeriodIndex) and isinstance(index, pd.DatetimeIndex):
            index = index.to_period(other.freqstr)
        elif isinstance(index, pd.PeriodIndex) and isinstance(other, pd.DatetimeIndex):
            other = other.to_period(index.freqstr)
        return all(relation(one, two) for one, two in zip(index, other, strict=True))
    return False


@contextmanager
def _no_notice() -> Iterator[None]:
    """Silence future warnings of pandas about inferred frequencies and business-day periods."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Labelled(Mixin):
    """
    Mixin that labels periods by `Calendar`; it comes before `MLEModel` in the bases of a model.

    statsmodels asks a model for the labels of predictions, simulations, news, states and new data by the
    methods below. Its own rules drop labels without a frequency and cannot continue them.
    """

    calendar: Calendar

    def _init_dates(self, dates: object = None, freq: object = None) -> None:
        """Create the calendar from the dates, or from the labels of the data."""
        labels, name = (self.data.row_labels, "endog") if dates is None else (dates, "dates")
        self.calendar = calendar = calendar_of(labels, len(self.endog), freq, name)
        self._index = calendar.labels
        self._index_generated, self._index_none = False, not calendar.given
        self._index_dates = isinstance(calendar.labels, (pd.DatetimeIndex, pd.PeriodIndex))
        self.data.dates = self._index if self._index_dates else None
        self.data.freq = getattr(getattr(calendar.clock, "freq", None), "freqstr", None)

    def _get_index_with_final_state(self) -> pd.Index:
        return self.calendar.between(0, len(self.calendar.labels))

    def _get_index_loc(self, key: object, base_index: object = None) -> tuple[int, pd.Index, bool]:
        place = self.calendar.position(key)
        return place, self.calendar.between(0, place), place >= len(self.calendar.labels)

    _get_index_label_loc = _get_index_loc

    def _get_prediction_index(
        self, start: object, end: object, index: Any = None, silent: bool = False
    ) -> tuple[int, int, int, pd.Index | None]:
        """Return the first and last position in the sample, the number of periods after it, and labels."""
        calendar, n = self.calendar, len(self.calendar.labels)
        by_label = not getattr(self._private, "counts", False)
        first, last = calendar.positions(start, end, by_label)
        if last < first:
            raise ValueError("Prediction must have `end` after `start`.")  # as statsmodels has it
        beyond = max(last - n + 1, 0)
        if index is not None and len(index) != last - first + 1:
            raise SpecificationError(
                "index has the wrong length", got=len(index), expected=f"{last - first + 1} labels"
            )
        labels = None if index is None else pd.Index(index)
        if labels is None and calendar.given:
            after = getattr(self._private, "following", None)
            if after is None or len(after) < beyond:
                after = calendar.announced(beyond)
            labels = calendar.between(first, last, after)
        self.data.predict_dates = labels
        return first, last - beyond, beyond, labels

    @contextmanager
    def following(self, labels: pd.Index | None, counts: bool = False) -> Iterator[None]:
        """
        Use the given labels (if not None) for the periods after the sample, inside a ``with`` block.

        With ``counts``, statsmodels passes positions, so integers are never labels.
        """
        private = self._private
        before = getattr(private, "following", None), getattr(private, "counts", False)
        private.following, private.counts = before[0] if labels is None else labels, counts
        try:
            yield
        finally:
            private.following, private.counts = before
