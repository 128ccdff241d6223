"""The calendar of a model in place of the index rules of statsmodels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from ..exceptions import SpecificationError
from .calendars import Calendar, calendar_of


class Labelled:
    """
    Labels of periods by `Calendar`; mixed into the models in front of `MLEModel`.

    statsmodels asks a model for the labels of predictions, simulations, news, states and new data by the
    methods below. Its own rules drop labels without a frequency and cannot go on after them.
    """

    calendar: Calendar
    data: Any
    endog: Any
    nobs: int
    _private: Any

    def _init_dates(self, dates: Any = None, freq: Any = None) -> None:
        """Make the calendar from the dates, else from the labels of the data."""
        labels, name = (self.data.row_labels, "endog") if dates is None else (dates, "dates")
        self.calendar = calendar = calendar_of(labels, len(self.endog), freq, name)
        self._index = calendar.labels
        self._index_generated, self._index_none = False, not calendar.given
        self._index_dates = isinstance(calendar.labels, (pd.DatetimeIndex, pd.PeriodIndex))
        self._index_int64 = isinstance(calendar.clock, pd.RangeIndex) and calendar.given
        self._index_freq = getattr(calendar.clock, "freq", None)
        self._index_inferred_freq = self._index_freq is not None and getattr(dates, "freq", None) is None
        self.data.dates = self._index if self._index_dates else None
        self.data.freq = getattr(self._index_freq, "freqstr", None)

    def _get_index_with_final_state(self) -> pd.Index:
        return self.calendar.between(0, len(self.calendar.labels))

    def _get_index_loc(self, key: Any, base_index: Any = None) -> tuple[int, pd.Index, bool]:
        place = self.calendar.position(key)
        return place, self.calendar.between(0, place), place >= len(self.calendar.labels)

    _get_index_label_loc = _get_index_loc

    def _get_prediction_index(
        self, start: Any, end: Any, index: Any = None, silent: bool = False
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
            if beyond and (after is None or len(after) < beyond):
                calendar.announced(beyond)
            labels = calendar.between(first, last, after)
        self.data.predict_dates = labels
        self.data.predict_start, self.data.predict_end = (
            (None, None) if labels is None else (labels[0], labels[-1])
        )
        return first, last - beyond, beyond, labels

    @contextmanager
    def following(self, labels: pd.Index | None, counts: bool = False) -> Iterator[None]:
        """
        Label the periods after the sample as given, where not None, inside a ``with`` block.

        With ``counts``, statsmodels passes positions there: no integer is a label.
        """
        private = self._private
        before = getattr(private, "following", None), getattr(private, "counts", False)
        private.following, private.counts = before[0] if labels is None else labels, counts
        try:
            yield
        finally:
            private.following, private.counts = before
