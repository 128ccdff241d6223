"""Years between dates of yields, by frequency of the panel; forecasts and responses that cannot be given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from yields import random_panel

import statespace_ext as sse
from statespace_ext.term_structure.panel import years_after

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])


def results(index: Any, **options: Any) -> Any:
    y = random_panel(np.random.default_rng(3), 60, TAU)
    frame = pd.DataFrame(np.asarray(y), columns=TAU) if index is None else np.asarray(y)
    if index is not None:
        frame = pd.DataFrame(frame, index=index, columns=TAU)
    model = sse.ATSM(frame, TAU, **options)
    return model.smooth(model.start_params)


STEPS = {"W-FRI": 1.0 / 52.0, "B": 1.0 / 252.0, "MS": 1.0 / 12.0}


@pytest.mark.parametrize("freq", STEPS)
def test_dates_are_counted_as_the_panel_counts_them(freq: str) -> None:
    dates = pd.date_range("2001-01-01", periods=66, freq=freq)
    res = results(dates[:60])
    assert_allclose(years_after(res.model, dates[60:]), STEPS[freq] * np.arange(1, 7), rtol=1e-12)
    by_dates = res.forecast_yields(dates=dates[60:], param_uncertainty=False)
    by_steps = res.forecast_yields(6, param_uncertainty=False)
    assert_allclose(by_dates.estimate, by_steps.estimate, rtol=1e-9)
    assert_allclose(by_dates.se, by_steps.se, rtol=1e-9)


def test_days_within_the_month_are_counted_by_the_day() -> None:
    res = results(pd.date_range("2001-01-01", periods=60, freq="MS"))
    later = pd.DatetimeIndex(["2005-12-11"])  # ten days after the last month
    assert_allclose(years_after(res.model, later), 10 / 365.25, rtol=1e-12)


def test_dates_need_dates() -> None:
    res = results(None, dt=1.0 / 12.0)
    with pytest.raises(sse.DataError, match="The sample has no dates"):
        res.forecast_yields(dates=["2020-01-31"])
    dated = results(pd.date_range("2001-01-01", periods=60, freq="MS"))
    for wrong in ([], ["2006-02-01", "2006-01-01"]):
        with pytest.raises(sse.DataError, match="must be in order and after the sample"):
            dated.forecast_yields(dates=pd.DatetimeIndex(wrong))


def test_dates_as_text() -> None:
    """ISO dates are read, for the panel and beyond it; other text is refused by name."""
    dates = pd.date_range("2001-01-01", periods=66, freq="MS")
    text = [str(date.date()) for date in dates]
    want = results(dates[:60])
    values = np.asarray(want.model.data.orig_endog)
    model = sse.ATSM(values, TAU, dates=text[:60])
    assert model.panel.steps == 1.0 / 12.0 and list(model._index) == list(dates[:60])
    framed = results(pd.Index(text[:60]))
    for res in (framed, model.smooth(model.start_params)):
        ours = res.forecast_yields(dates=text[60:], param_uncertainty=False)
        assert list(ours.estimate.index) == list(dates[60:])
        theirs = want.forecast_yields(6, param_uncertainty=False)
        assert_allclose(ours.estimate, theirs.estimate, rtol=1e-9)
    one = want.forecast_yields(dates=text[60], param_uncertainty=False).estimate
    assert list(one.index) == [dates[60]]
    with pytest.raises(sse.SpecificationError, match="needs yields with dates"):
        sse.ATSM(values, TAU, dates=[f"31/{i}" for i in range(60)])
    for wrong in (["soon"], [2006], 7, np.full((3, 1), np.nan)):
        with pytest.raises(sse.DataError, match="dates must be dates"):
            want.forecast_yields(dates=wrong)


def test_steps_after_irregular_dates_have_no_length() -> None:
    dates = pd.date_range("2001-01-01", periods=120, freq="D")[::2][:60].to_series()
    dates.iloc[-1] += pd.Timedelta(days=3)
    dates.iloc[30] += pd.Timedelta(days=1)
    res = results(pd.DatetimeIndex(dates.to_numpy()))
    assert res.model.panel.steps.ndim == 1
    with pytest.raises(sse.SpecificationError, match="is unknown"):
        res.forecast_yields(3)


def test_factors_that_were_not_kept() -> None:
    model = results(None, dt=1.0 / 12.0).model
    res = model.filter(model.start_params, low_memory=True)
    with pytest.raises(sse.SpecificationError, match=r"low_memory=True.*model\.smooth"):
        res.forecast_yields(3)


def test_an_impulse_has_a_number_by_factor() -> None:
    res = results(None, dt=1.0 / 12.0)
    one = res.curve_responses(horizons=[0, 1], impulse=np.eye(res.model.k_factors)[0])
    assert one.index.get_level_values("shock").unique().tolist() == ["impulse"]
    for wrong in (np.ones(res.model.k_factors + 1), np.full(res.model.k_factors, np.nan)):
        with pytest.raises(sse.SpecificationError, match="impulse cannot be used"):
            res.curve_responses(horizons=[0, 1], impulse=wrong)
