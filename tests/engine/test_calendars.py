"""Calendars as people have them: labels of the sample are kept in every frame, and go on by one rule."""

from __future__ import annotations

import datetime as dt
import inspect
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.engine.calendars import Calendar, calendar_of

N, AHEAD = 40, 3
ALL = N + AHEAD
MONTHS = pd.date_range("2001-01-01", periods=ALL, freq="MS")
WEEKDAYS = pd.date_range("2024-01-02", periods=ALL + 4, freq="B")
TRADING = pd.DatetimeIndex(WEEKDAYS.delete([9, 20, ALL - 1, ALL + 1])[:ALL].to_numpy(), name="day")
"""Weekdays with holidays, one of them in the periods after the sample."""
STAMPS = pd.DatetimeIndex((pd.date_range("2020-03-25 16:30", periods=ALL, freq="D")).to_numpy())
"""Days, among them one on which the clocks of Berlin change."""
BY_RULE: dict[str, pd.Index] = {
    "default": pd.RangeIndex(ALL),
    "range from 5": pd.RangeIndex(5, 5 + ALL),
    "every second number": pd.RangeIndex(10, 10 + 2 * ALL, 2),
    "integer years": pd.Index(np.arange(1980, 1980 + ALL), name="year"),
    "every fifth year": pd.Index(np.arange(1900, 1900 + 5 * ALL, 5)),
    "months": pd.period_range("2001-01", periods=ALL, freq="M", name="month"),
    "every second month": pd.period_range("2001-01", periods=ALL, freq="2M"),
    "month ends without freq": pd.DatetimeIndex((MONTHS + pd.offsets.MonthEnd(0)).to_numpy(), name="end"),
    "days with a time zone": STAMPS.tz_localize("Europe/Berlin"),
    "every 24 hours with a time zone": STAMPS.tz_localize("UTC").tz_convert("Europe/Berlin"),
    "Python dates": pd.Index([each.date() for each in MONTHS], dtype=object),
    "text of months": pd.Index(MONTHS.strftime("%Y-%m").tolist(), name="month"),
    "text of days": pd.Index(MONTHS.strftime("%Y-%m-%d").tolist()),
    "text of quarters": pd.Index(pd.period_range("1990Q1", periods=ALL, freq="Q").astype(str).tolist()),
    "the 15th of each month": MONTHS.to_period("M").to_timestamp() + pd.Timedelta(days=14),
    "whole years in decimals": pd.Index(np.arange(1950.0, 1950.0 + ALL)),
    "years as 16-bit integers": pd.Index(np.arange(1950, 1950 + ALL, dtype="int16")),
    "hours since": pd.timedelta_range("1h", periods=ALL, freq="h"),
}
WITHOUT_RULE: dict[str, pd.Index] = {
    "trading days": TRADING,
    "trading days with a time zone": TRADING.tz_localize("America/New_York"),
    "Python dates of trading days": pd.Index([each.date() for each in TRADING], dtype=object, name="day"),
    "text of trading days": pd.Index(TRADING.strftime("%Y-%m-%d").tolist()),
    "text of quarters with gaps": pd.Index(
        pd.period_range("1990Q1", periods=ALL + 3, freq="Q").delete([7, 9, ALL + 1]).astype(str).tolist()
    ),
    "years with gaps": pd.Index(np.delete(np.arange(1950, 1953 + ALL), [7, 9, ALL + 1])),
    "names": pd.Index([f"round {i:03}" for i in range(ALL)]),
    "decimal years": pd.Index(1990.0 + np.arange(ALL) / 12.0),
}
CALENDARS = BY_RULE | WITHOUT_RULE
every_calendar = pytest.mark.parametrize("name", CALENDARS)


class Own(sse.LGSSM):
    """A user's model."""

    def __init__(self, endog: Any, **kwargs: Any) -> None:
        super().__init__(endog, **{"k_factors": 1, "identification": "unit", **kwargs})


def panel(index: Any) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    factor = np.convolve(rng.standard_normal(ALL + 20), 0.8 ** np.arange(20), mode="full")[20 : ALL + 20]
    y = np.outer(factor, [1.0, 0.7, 0.5]) + rng.standard_normal((ALL, 3))
    return pd.DataFrame(y[: len(index)], index=index, columns=["a", "b", "c"])


def market(index: Any) -> pd.DataFrame:
    values = np.random.default_rng(4).standard_normal(ALL)[: len(index)]
    return pd.DataFrame({"MKT": values}, index=index)


MODELS: dict[str, Callable[..., Any]] = {
    "LGSSM": lambda y, **k: sse.LGSSM(y, k_factors=1, identification="unit", **k),
    "DynamicRegression": lambda y, **k: sse.DynamicRegression(
        y, market(y.index).assign(const=1.0), dynamics={"MKT": "random_walk"}, obs_cov="diagonal", **k
    ),
    "CAPM": lambda y, **k: sse.CAPM(y, market(y.index), obs_cov="diagonal", state_cov="diagonal", **k),
    "ATSM": lambda y, **k: sse.ATSM(0.05 + 0.002 * y, [1.0, 3.0, 7.0], k_factors=1, dt=1.0 / 12.0, **k),
    "Own": lambda y, **k: Own(y, **k),
}


def crossed(*kinds: str, every: int = 5) -> Any:
    """Models x calendars: by default one calendar in ``every`` for each model, another one for the next."""
    cases = [
        pytest.param(kind, name, marks=[] if (i + j) % every == 0 else pytest.mark.slow)
        for i, kind in enumerate(kinds or MODELS)
        for j, name in enumerate(CALENDARS)
    ]
    return pytest.mark.parametrize(("kind", "name"), cases)


_RESULTS: dict[Any, Any] = {}


def results(kind: str, name: str) -> Any:
    """Results at the start values, made once: what is labelled does not depend on the fit."""
    key = kind, name
    if key not in _RESULTS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = MODELS[kind](panel(CALENDARS[name][:N]))
            _RESULTS[key] = model.smooth(params(kind), cov_type="none")
    return _RESULTS[key]


def params(kind: str) -> Any:
    if kind not in _RESULTS:
        _RESULTS[kind] = MODELS[kind](panel(MONTHS[:N])).start_params
    return _RESULTS[kind]


def later(kind: str, name: str, labelled: bool = True) -> dict[str, Any]:
    """Regressors of the periods after the sample."""
    frame = pd.DataFrame({"MKT": [0.5, -0.2, 0.1]}, index=CALENDARS[name][N:] if labelled else None)
    if kind == "DynamicRegression":
        return {"exog": frame.assign(const=1.0) if labelled else frame.assign(const=1.0).to_numpy()}
    return {"market": frame if labelled else frame.to_numpy()} if kind == "CAPM" else {}


def ahead(name: str) -> pd.Index:
    """The labels that the rule gives the periods after the sample."""
    index = CALENDARS[name]
    if name in BY_RULE:
        return index[N:]
    first = int(np.floor(index[N - 1])) + 1 if pd.api.types.is_numeric_dtype(index.dtype) else 1
    return pd.RangeIndex(first, first + AHEAD)


def counted(call: Callable[[], Any]) -> tuple[Any, int]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        out = call()
    others = [str(each.message) for each in found if "labelled by steps" not in str(each.message)]
    assert not others
    return out, len(found)


def same(index: pd.Index, expected: pd.Index) -> bool:
    return bool(index.equals(expected)) and list(index) == list(expected)


# -- inside the sample -------------------------------------------------------------------------------------


def frames_inside(res: Any) -> dict[str, Any]:
    """Every public accessor and method without arguments that returns rows by period."""
    out: dict[str, Any] = {"predict": res.predict(), "get_prediction": res.get_prediction().summary_frame()}
    out |= {"fittedvalues": res.fittedvalues, "resid": res.resid}
    out |= {"states.smoothed": res.states.smoothed, "states.filtered": res.states.filtered}
    for owner in ("factors", "alpha", "beta", "short_rate"):
        found = getattr(res, owner, None)
        if found is not None:
            frames = {key: value for key, value in vars(found).items() if isinstance(value, pd.DataFrame)}
            out |= {f"{owner}.{key}": value for key, value in frames.items() if not key.endswith("_cov")}
    for key, found in getattr(res, "coefficients", {}).items():
        parts = [part + of for part in ("smoothed", "filtered", "predicted") for of in ("", "_se")]
        out |= {f"coefficients.{key}.{part}": getattr(found, part) for part in parts}
    for key in ("fitted_yields", "pricing_errors"):
        if hasattr(res, key):
            out[key] = getattr(res, key)
    if hasattr(res, "yield_curve"):
        out["yield_curve"] = res.yield_curve([2.0]).estimate
        out["expected_short_rate"] = res.expected_short_rate(5.0).estimate
    out["simulate"] = res.simulate(N, rng=0)
    return out


@crossed()
def test_the_labels_of_the_sample_are_kept(kind: str, name: str) -> None:
    res, index = results(kind, name), CALENDARS[name][:N]
    found = frames_inside(res)
    assert len(found) >= 7
    found["states.predicted"] = res.states.predicted
    known, said = later(kind, name, labelled=False), int(name in WITHOUT_RULE)
    following, count = counted(lambda: res.forecast(1, **{key: value[:1] for key, value in known.items()}))
    assert same(following.index, ahead(name)[:1]) and count == said
    for key, frame in found.items():
        labels = frame.index
        if ".predicted" in key:  # with the period after the sample, which a forecast has, too
            assert len(labels) == N + 1 and labels[N] == following.index[0], key
            labels = labels[:N]
        assert same(labels, index), key
        assert labels.name == index.name or key in ("yield_curve", "short_rate.estimate"), key
    assert res.summary().as_text() and f"{N} periods" in repr(res.model)
    if name != "default":
        assert str(index[0])[:4] in repr(res.model)
    again = pickle.loads(pickle.dumps(res))
    assert same(again.predict().index, index)


@crossed(every=9)
def test_pictures_are_drawn_by_the_labels(kind: str, name: str) -> None:
    import matplotlib.pyplot as plt

    res = results(kind, name)
    for method in ("plot_factors", "plot_coefficients", "plot_fit"):
        if hasattr(res, method):
            fig = getattr(res, method)()
            fig.canvas.draw()
            axis = fig.axes[-1]
            text = " ".join(label.get_text() for label in axis.get_xticklabels()) + axis.get_xlabel()
            if name in ("names", "integer years"):
                assert any(str(label) in text for label in CALENDARS[name]), (method, text)
            plt.close(fig)


# -- after it ----------------------------------------------------------------------------------------------


@crossed()
def test_forecasts_and_simulations_go_on_by_the_rule(kind: str, name: str) -> None:
    res, index = results(kind, name), CALENDARS[name]
    options = later(kind, name, labelled=False)
    said = int(name in WITHOUT_RULE)
    calls = {
        "forecast": lambda: res.forecast(AHEAD, **options),
        "get_forecast": lambda: res.get_forecast(AHEAD, **options).conf_int(),
        "get_prediction": lambda: res.get_prediction(N, N + AHEAD - 1, **options).summary_frame(),
        "simulate": lambda: res.simulate(AHEAD, anchor="end", rng=1, **options),
    }
    for key, call in calls.items():
        frame, count = counted(call)
        assert same(frame.index, ahead(name)) and count == said, key
    across, count = counted(lambda: res.predict(N - 2, N + AHEAD - 1, **options))
    assert list(across.index) == [*index[N - 2 : N], *ahead(name)] and count == said
    assert not across.isna().to_numpy().any()


@crossed("DynamicRegression", "CAPM")
def test_labels_of_regressors_label_the_forecasts(kind: str, name: str) -> None:
    """Where the rule says nothing more; where it does, they must agree with it."""
    res, index, options = results(kind, name), CALENDARS[name], later(kind, name)
    for call in (
        lambda: res.forecast(AHEAD, **options),
        lambda: res.simulate(AHEAD, anchor="end", rng=1, **options),
        lambda: res.predict(N - 2, N + AHEAD - 1, **options).iloc[2:],
    ):
        frame, count = counted(call)
        assert same(frame.index, index[N:]) and count == 0
    key = "exog" if kind == "DynamicRegression" else "market"
    for wrong in (index[N - 1 : N + 2], index[N - 5 : N - 2]):
        with pytest.raises(sse.DataError, match=f"index of (future )?{key}"):
            res.forecast(AHEAD, **{key: options[key].set_axis(wrong, axis=0)})


@crossed()
def test_more_data_are_labelled(kind: str, name: str) -> None:
    res, index = results(kind, name), CALENDARS[name]
    new = panel(index).iloc[N:] if kind != "ATSM" else 0.05 + 0.002 * panel(index).iloc[N:]
    options = later(kind, name)
    whole = res.append(new, **options)
    assert same(whole.predict().index, index) and same(whole.states.smoothed.index, index)
    tail = res.extend(new, **options)
    assert same(tail.predict().index, index[N:])
    assert_allclose(res.llf + tail.llf, whole.llf, rtol=1e-8)
    assert same(res.apply(new, **options).predict().index, index[N:])
    said = int(name in WITHOUT_RULE)
    following, count = counted(lambda: whole.forecast(AHEAD, **later(kind, name, labelled=False)))
    assert count == said and len(following) == AHEAD
    if name in BY_RULE:
        longer = Calendar(index, whole.model.calendar.read, whole.model.calendar.clock).ahead(AHEAD)
        assert same(following.index, longer)
    if name == "default":
        return
    for wrong in (index[N - 1 : N + 2], index[:AHEAD]):
        for method in (res.append, res.extend):
            given = {key: value.set_axis(wrong, axis=0) for key, value in options.items()}
            with pytest.raises(sse.DataError, match=r"must continue|must be in order"):
                method(new.set_axis(wrong, axis=0), **given)
    back = new.iloc[::-1]
    with pytest.raises(sse.DataError, match=r"must be in increasing order|must continue|must be in order"):
        res.append(back, **{key: value.iloc[::-1] for key, value in options.items()})


@crossed("LGSSM", "DynamicRegression")
def test_more_data_without_labels(kind: str, name: str) -> None:
    res, index = results(kind, name), CALENDARS[name]
    new, options = panel(index).iloc[N:].to_numpy(), later(kind, name, labelled=False)
    said = int(name in WITHOUT_RULE)
    whole, count = counted(lambda: res.append(new, **options))
    assert list(whole.predict().index) == [*index[:N], *ahead(name)] and count == said
    tail, count = counted(lambda: res.extend(new, **options))
    assert same(tail.predict().index, ahead(name)) and count == said
    assert_allclose(res.llf + tail.llf, whole.llf, rtol=1e-8)
    one = {key: value[:1] for key, value in options.items()}
    again, count = counted(lambda: whole.append(new[:1], **one))
    assert len(set(again.predict().index)) == ALL + 1 and count <= said


@crossed("LGSSM", "CAPM")
def test_news_and_decompositions_are_labelled(kind: str, name: str) -> None:
    res, index = results(kind, name), CALENDARS[name]
    options = later(kind, name)
    one = {key: value.iloc[:1] for key, value in options.items()}
    after = res.append(panel(index).iloc[N : N + 1], **one)
    news, count = counted(lambda: after.news(res, start=N, periods=1, comparison_type="previous"))
    assert count == 0 and list(news.total_impacts.index) == [index[N]]
    by_label = after.news(res, impact_date=after.model.calendar.labels[-1], comparison_type="previous") \
        if not pd.api.types.is_integer_dtype(index.dtype) or index[0] > N + 1 else news  # fmt: skip
    assert_allclose(by_label.total_impacts, news.total_impacts)
    dates = news.details_by_impact.reset_index()["update date"]
    assert set(dates) <= {index[N]}
    if kind == "LGSSM":
        beyond, count = counted(lambda: after.news(res, start=N, periods=2, comparison_type="previous"))
        assert count == int(name in WITHOUT_RULE) and len(beyond.total_impacts) == 2
    parts = res.get_smoothed_decomposition()[0]
    assert set(parts.index.get_level_values("date_to")) == set(index[:N])


# -- by label ----------------------------------------------------------------------------------------------


@crossed()
def test_periods_by_label(kind: str, name: str) -> None:
    res, index = results(kind, name), CALENDARS[name]
    numbers = pd.api.types.is_integer_dtype(index.dtype)
    if numbers and index[0] <= N:  # an integer is a position, as in statsmodels
        assert same(res.predict(7, 9).index, index[7:10])
        return
    assert same(res.predict(index[7], index[9]).index, index[7:10])
    assert same(res.get_prediction(start=index[7], end=9 if not numbers else index[9]).summary_frame().index,
                index[7:10])  # fmt: skip
    if name in BY_RULE:
        options = later(kind, name)
        if not numbers:
            assert same(res.forecast(index[-1], **options).index, index[N:])
        assert same(res.predict(index[N - 1], index[-1], **options).index, index[N - 1 :])
    else:
        for call in (res.forecast, lambda key: res.predict(0, key)):
            if not numbers:
                with pytest.raises(sse.SpecificationError, match=r"not in the sample, and no rule"):
                    call(index[-1])
    with pytest.raises(sse.SpecificationError, match="not in the sample"):
        res.predict("nowhere")


def test_periods_that_do_not_exist() -> None:
    """Positions before the sample, labels of another number of periods, and labels in another time zone."""
    res = results("LGSSM", "trading days with a time zone")
    with pytest.raises(sse.SpecificationError, match=f"not in the sample.*got {-N - 5}"):
        res.predict(-N - 5)
    with pytest.raises(sse.SpecificationError, match="index has the wrong length: got 3; expected 4 labels"):
        res.get_prediction(N, N + 3, index=TRADING[:3])
    with pytest.raises(sse.DataError, match="must continue the index of the sample"):
        res.append(panel(TRADING).iloc[N:])


def test_dates_by_part_and_in_other_forms() -> None:
    res = results("LGSSM", "months")
    assert same(res.predict("2002", "2002").index, pd.period_range("2002-01", "2002-12", freq="M"))
    res = results("LGSSM", "month ends without freq")
    assert len(res.predict("2002", "2002-03")) == 3
    assert len(res.forecast("2004-07-15")) == 3 and len(res.forecast(dt.date(2004, 7, 31))) == 3
    res = results("LGSSM", "text of months")
    assert list(res.predict(pd.Timestamp("2001-03-01"), "2001-04").index) == ["2001-03", "2001-04"]
    assert list(res.forecast("2004-06").index) == ["2004-05", "2004-06"]
    res = results("LGSSM", "days with a time zone")
    assert len(res.forecast(CALENDARS["days with a time zone"][-1])) == AHEAD
    res = results("LGSSM", "integer years")
    assert same(res.simulate(3, anchor=1990, initial_state=[0.0], rng=0).index, pd.Index([1990, 1991, 1992]))
    assert len(res.simulate(2000, rng=0)) == len(res.forecast(2000)) == 2000
    short = sse.LGSSM(panel(pd.RangeIndex(22, 42)), 1, identification="unit").smooth(params("LGSSM"))
    assert len(short.append(panel(pd.RangeIndex(42, 52))).predict()) == 30
    dynamic = results("LGSSM", "trading days").predict(TRADING[5], TRADING[9], dynamic=TRADING[7])
    assert_allclose(dynamic, results("LGSSM", "default").predict(5, 9, dynamic=2))


# -- numbers do not depend on labels -----------------------------------------------------------------------


@crossed()
def test_numbers_do_not_depend_on_labels(kind: str, name: str) -> None:
    res, plain = results(kind, name), results(kind, "default")
    assert_allclose(res.llf, plain.llf, rtol=1e-13)
    options, others = later(kind, name, labelled=False), later(kind, "default", labelled=False)
    assert_allclose(
        counted(lambda: res.forecast(AHEAD, **options))[0], plain.forecast(AHEAD, **others), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("LGSSM", "names"),
        ("CAPM", "trading days"),
        pytest.param("CAPM", "integer years", marks=pytest.mark.slow),
        pytest.param("LGSSM", "text of trading days", marks=pytest.mark.slow),
    ],
)
def test_windows_are_labelled(kind: str, name: str) -> None:
    index = CALENDARS[name][:N]
    options = {"method": "em", "maxiter": 1, "tolerance": 0, "cov_type": "none"}
    rolled = results(kind, name).rolling(N - 4, step=2, fit_options=options)
    assert same(rolled.params.index, index[[N - 5, N - 3, N - 1]])
    assert rolled.fits["first"].tolist() == [index[0], index[2], index[4]]
    assert same(rolled.forecasts.index, index[[N - 4, N - 2]])
    assert str(index[N - 1])[:8] in str(rolled)
    fig = rolled.plot(rolled.params.columns[:1].tolist())
    fig.canvas.draw()
    if kind == "CAPM":
        out = results(kind, name).rolling_evaluation(window=N - 4, refit_every=5, fit_options=options)
        assert same(out.errors.index, index[N - 4 :])


# -- what is refused ---------------------------------------------------------------------------------------


def holes(index: pd.PeriodIndex, place: int) -> pd.PeriodIndex:
    return index.delete([place, place + 6])


@pytest.mark.filterwarnings("ignore:Period with BDay freq", "ignore:PeriodDtype.B. is deprecated")
@pytest.mark.parametrize("freq", ["B", "D", "M", "Q", "Y", "2M", "W-FRI"])
@pytest.mark.parametrize("kind", ["LGSSM", "CAPM", "ATSM"])
def test_periods_with_holes(kind: str, freq: str) -> None:
    whole = pd.period_range("2001-01-01", periods=N + 2, freq=freq)
    with pytest.raises(sse.DataError, match=f"has missing periods: got no {whole[11]} after {whole[10]}"):
        MODELS[kind](panel(holes(whole, 11)))


def test_dates_that_do_not_have_the_frequency_given() -> None:
    y = panel(TRADING[:N])
    with pytest.raises(sse.DataError, match=f"do not have the frequency.*got no {WEEKDAYS[9]}"):
        MODELS["LGSSM"](y, freq="B")
    with pytest.raises(sse.DataError, match="freq differs from the frequency of the dates"):
        MODELS["LGSSM"](panel(MONTHS[:N]), freq="D")
    with pytest.raises(sse.DataError, match="freq needs labels that are dates"):
        MODELS["LGSSM"](panel(pd.RangeIndex(3, N + 3)), freq="D")
    with pytest.raises(sse.DataError, match="freq needs dates"):
        sse.LGSSM(y.to_numpy(), 1, identification="unit", freq="D")
    with pytest.raises(sse.DataError, match="freq cannot be used"):
        MODELS["LGSSM"](y, freq="NONSENSE")


@pytest.mark.parametrize("name", [key for key in CALENDARS if key != "default"])
def test_labels_that_go_back(name: str) -> None:
    index = CALENDARS[name][:N]
    for wrong in (index[::-1], index[[0, 0, *range(2, N)]]):
        with pytest.raises(sse.DataError, match=r"must be in increasing order|duplicates"):
            MODELS["LGSSM"](panel(wrong))


# -- other ways in -----------------------------------------------------------------------------------------


@every_calendar
def test_dates_beside_arrays(name: str) -> None:
    """Text and Python dates among ``dates`` are read as dates, as statsmodels reads them."""
    index = CALENDARS[name][:N]
    res = sse.LGSSM(panel(index).to_numpy(), 1, identification="unit", dates=index).smooth(params("LGSSM"))
    read = res.model.calendar.labels
    assert len(read) == N and same(res.factors.smoothed.index, read)
    if not name.startswith(("text", "Python")):
        assert same(read, index)
    assert isinstance(res.fittedvalues, np.ndarray)
    longer, _ = counted(lambda: res.append(panel(CALENDARS[name]).iloc[N:].to_numpy()))
    assert same(longer.factors.smoothed.index[:N], read)
    framed = sse.LGSSM(panel(range(N)), 1, identification="unit", dates=index).smooth(params("LGSSM"))
    assert same(framed.predict().index, read) and same(framed.factors.smoothed.index, read)


def test_regressors_label_arrays() -> None:
    y, u = panel(TRADING[:N]).to_numpy(), market(TRADING[:N])
    for key in ("exog", "state_exog"):
        model = sse.LGSSM(y, 1, identification="unit", **{key: u})
        assert same(model.smooth(model.start_params).factors.smoothed.index, TRADING[:N])


def test_a_forecast_after_weekdays_may_meet_a_holiday() -> None:
    """Weekdays without holidays in the sample have an inferred frequency; new data may skip one."""
    days = pd.DatetimeIndex(WEEKDAYS.to_numpy())
    model = MODELS["CAPM"](panel(days[:N]))
    res = model.smooth(params("CAPM"))
    frame, count = counted(lambda: res.forecast(AHEAD, market=[0.1, 0.2, 0.3]))
    assert same(frame.index, days[N : N + AHEAD]) and count == 0
    skipping = days[[N, N + 2, N + 3]]
    coming = market(skipping)
    assert same(res.forecast(AHEAD, market=coming).index, skipping)
    whole = res.append(panel(skipping), market=coming)
    assert same(whole.predict().index, days[:N].append(skipping)) and whole.model.calendar.clock is None


def test_a_series_is_labelled() -> None:
    y = panel(TRADING[:N])["a"]
    res = sse.LGSSM(y, 1, design=[[1.0]]).smooth([0.1, 0.5, 1.0, 1.0])
    frame, count = counted(lambda: res.forecast(2))
    assert isinstance(frame, pd.Series) and list(frame.index) == [1, 2] and count == 1
    whole = res.append(panel(TRADING)["a"].iloc[N:])
    assert same(whole.predict().index, TRADING) and isinstance(whole.predict(), pd.Series)


def test_statsmodels_words_are_not_heard() -> None:
    """No place of the library makes labels of its own."""
    import statespace_ext.engine.calendars as module

    for name in ("_init_dates", "_get_prediction_index", "_get_index_loc", "_get_index_label_loc"):
        for kind in MODELS:
            assert name in vars(module.Labelled) and getattr(type(results(kind, "default").model), name) is (
                getattr(module.Labelled, name)
            )
    assert "No supported index" not in inspect.getsource(module)


@every_calendar
def test_yields_by_date(name: str) -> None:
    """Curves of a date, forecasts by steps and by dates, whatever the labels are."""
    res, index = results("ATSM", name), CALENDARS[name]
    whole = res.yield_curve([1.0, 5.0])
    for key in {index[4], str(index[4])} if not name.startswith("Python") else {index[4]}:
        if isinstance(key, str) and not isinstance(index[4], (str, pd.Period)):
            continue
        one = res.yield_curve([1.0, 5.0], date=key)
        assert same(one.estimate.index, index[4:5])
        assert_allclose(one.estimate, whole.estimate.iloc[[4]])
    frame = res.forecast_yields(AHEAD).estimate
    if name in BY_RULE and name != "default":
        assert same(frame.index, index[N:])
    else:  # years
        assert_allclose(frame.index, np.arange(1, AHEAD + 1) / 12.0)
    if not res.model.calendar.dated:
        with pytest.raises(sse.DataError, match="no dates"):
            res.forecast_yields(dates=["2060-01-31"])
    else:
        later = res.forecast_yields(dates=pd.DatetimeIndex(["2060-01-31"]).tz_localize(
            getattr(res.model.calendar.read, "tz", None)))  # fmt: skip
        assert np.isfinite(later.estimate.to_numpy()).all()


def test_a_panel_of_text_or_python_dates_has_its_steps() -> None:
    wanted = sse.ATSM(0.05 + 0.002 * panel(MONTHS[:N]), [1.0, 3.0, 7.0], k_factors=1).panel.steps
    for name in ("text of months", "text of days", "Python dates"):
        y = 0.05 + 0.002 * panel(CALENDARS[name][:N])
        assert sse.ATSM(y, [1.0, 3.0, 7.0], k_factors=1).panel.steps == wanted == 1.0 / 12.0
    irregular = sse.ATSM(0.05 + 0.002 * panel(TRADING[:N]), [1.0, 3.0, 7.0], k_factors=1)
    for name in ("Python dates of trading days", "text of trading days"):
        y = 0.05 + 0.002 * panel(CALENDARS[name])
        model = sse.ATSM(y.iloc[:N], [1.0, 3.0, 7.0], k_factors=1)
        assert_allclose(model.panel.steps, irregular.panel.steps)
        res = model.smooth(model.start_params)
        whole, tail = res.append(y.iloc[N:]), res.extend(y.iloc[N:])
        assert_allclose(res.llf + tail.llf, whole.llf, rtol=1e-9)
        assert same(whole.predict().index, CALENDARS[name]) and same(
            tail.predict().index, CALENDARS[name][N:]
        )


def test_a_month_without_labels_is_between_its_neighbours() -> None:
    calendar = calendar_of(pd.DatetimeIndex(["2001-01-15", "2001-07-15", "2002-01-15"]), 3)
    assert calendar.positions("2001-01", "2001-04") == (0, 0)
    assert calendar.positions("2001-04", "2001-07") == (1, 1)


def test_freq_of_time_differences_is_compared() -> None:
    days = pd.timedelta_range("1D", periods=4, freq="D")
    assert calendar_of(days, 4, "D").clock.freq == days.freq
    with pytest.raises(sse.DataError, match="freq differs from the frequency of the dates"):
        calendar_of(days, 4, "B")
