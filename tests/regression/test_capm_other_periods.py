"""CAPM in other periods: forecasts, simulations, more data, pickles, with raw data and with excess data."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, H, N, Raw, raw_fit
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.exceptions import DataError


@pytest.fixture(scope="module")
def res() -> sse.CAPMResults:
    return raw_fit()


# -- other periods -----------------------------------------------------------------------------------------


FORMS: dict[str, Callable[[Raw], dict]] = {
    "pandas": lambda d: {"market": d.market, "risk_free": d.rate},
    "numpy": lambda d: {"market": d.market.to_numpy(), "risk_free": d.rate.to_numpy()},
    "lists": lambda d: {"market": d.market.tolist(), "risk_free": d.rate.tolist()},
    "exog": lambda d: {"exog": d.regressors()},
    "exog as an array": lambda d: {"exog": d.regressors().to_numpy()},
}
every_form = pytest.mark.parametrize("form", FORMS)


@every_form
def test_forecast(res: Any, plain: Any, future: Raw, form: str) -> None:
    expected = plain.get_forecast(H, exog=future.regressors())
    assert_allclose(res.forecast(H, **FORMS[form](future)), expected.predicted_mean, rtol=1e-10)
    found = res.get_forecast(H, **FORMS[form](future))
    assert_allclose(found.predicted_mean, expected.predicted_mean, rtol=1e-10)
    assert_allclose(found.se_mean, expected.se_mean, rtol=1e-10)
    assert found.predicted_mean.index.equals(future.returns.index)
    assert_allclose(res.forecast(**FORMS[form](future[:1])), expected.predicted_mean[:1], rtol=1e-10)


def test_prediction_in_and_after_the_sample(res: Any, plain: Any, future: Raw) -> None:
    last = str(future.returns.index[-1])
    options = {"start": N - 5, "end": last, "dynamic": 2}
    expected = plain.get_prediction(**options, exog=future.regressors()).predicted_mean
    found = res.get_prediction(**options, market=future.market, risk_free=future.rate).predicted_mean
    assert_allclose(found, expected, rtol=1e-10)
    assert_allclose(res.predict(**options, market=future.market, risk_free=future.rate), expected, rtol=1e-10)
    assert_allclose(res.get_prediction().predicted_mean, plain.get_prediction().predicted_mean, rtol=1e-9)


@every_form
def test_simulation(res: Any, plain: Any, future: Raw, form: str) -> None:
    expected = plain.simulate(H, anchor="end", exog=future.regressors(), rng=3)
    found = res.simulate(H, anchor="end", rng=3, **FORMS[form](future))
    assert_allclose(found, expected, rtol=1e-6)
    assert list(found.columns) == ["A1", "A2"]
    assert res.simulate(N, rng=1).equals(res.simulate(N, rng=1))


@every_form
def test_append(sample: Raw, future: Raw, res: Any, form: str) -> None:
    start = sse.CAPM(sample.returns, sample.market, sample.rate).smooth(res.params)
    returns = future.excess if form.startswith("exog") else future.returns
    longer = start.append(returns, **FORMS[form](future))
    whole = sse.DynamicRegression(
        pd.concat([sample.excess, future.excess]),
        pd.concat([sample.regressors(), future.regressors()]),
        dynamics=BETA_MOVES,
    )
    assert_allclose(longer.llf, whole.loglike(res.params), rtol=1e-12)
    assert isinstance(longer.model, sse.CAPM) and longer.model.nobs == N + H
    assert longer.beta.smoothed.index.equals(whole.data.row_labels)
    assert longer.model.has_risk_free
    again = (
        longer.append(returns.set_axis(returns.index + H), **FORMS["numpy"](future))
        if form == "numpy"
        else longer
    )
    assert again.model.nobs >= N + H


@every_form
def test_extend(res: Any, plain: Any, future: Raw, form: str) -> None:
    returns = future.excess if form.startswith("exog") else future.returns
    expected = plain.extend(future.excess, exog=future.regressors())
    found = res.extend(returns, **FORMS[form](future))
    assert_allclose(found.llf, expected.llf, rtol=1e-10)
    assert_allclose(found.beta.filtered, expected.coefficients["MKT"].filtered, rtol=1e-9)
    assert found.beta.filtered.index.equals(future.returns.index)


@every_form
def test_apply_and_clone(res: Any, sample: Raw, form: str) -> None:
    first = sample[:40]
    returns = first.excess if form.startswith("exog") else first.returns
    expected = sse.DynamicRegression(first.excess, first.regressors(), dynamics=BETA_MOVES).loglike(
        res.params
    )
    assert_allclose(res.apply(returns, **FORMS[form](first)).llf, expected, rtol=1e-12)
    model = res.model.clone(returns, **FORMS[form](first))
    assert_allclose(model.loglike(res.params), expected, rtol=1e-12)
    assert model.param_names == res.model.param_names and model.has_risk_free
    assert model.clone(returns, **FORMS[form](first), state_cov="scalar").param_names[-1] == "state_var.MKT"


@pytest.mark.parametrize("value", [3, None, ["diffuse"], "bogus"])
def test_a_clone_refuses_an_unknown_initialization(res: Any, sample: Raw, value: object) -> None:
    with pytest.raises(sse.SpecificationError, match="initialization is unknown"):
        res.model.clone(sample.returns, **FORMS["pandas"](sample), initialization=value)


def test_arrays_for_a_model_of_pandas_and_the_reverse(res: Any, sample: Raw, future: Raw) -> None:
    expected = res.extend(future.returns, market=future.market, risk_free=future.rate).llf
    arrays = {"market": future.market.to_numpy(), "risk_free": future.rate.to_numpy()}
    assert_allclose(res.extend(future.returns.to_numpy(), **arrays).llf, expected, rtol=1e-12)
    applied = res.apply(
        sample.returns.to_numpy(), market=sample.market.to_numpy(), risk_free=sample.rate.to_numpy()
    )
    assert_allclose(applied.llf, res.llf, rtol=1e-12)
    assert applied.model.endog_names == ["A1", "A2"]
    bare = sse.CAPM(*(np.asarray(each) for each in (sample.returns, sample.market, sample.rate)))
    bare = bare.smooth(np.asarray(res.params))
    assert_allclose(bare.extend(future.returns.to_numpy(), **arrays).llf, expected, rtol=1e-12)
    assert bare.append(future.returns.to_numpy(), **arrays).model.nobs == N + H
    assert_allclose(
        bare.forecast(H, market=future.market, risk_free=future.rate), res.forecast(H, **arrays), rtol=1e-12
    )


def test_several_factors_of_other_periods(sample: Raw, future: Raw) -> None:
    model = sse.CAPM(*sample, beta=BETA_MOVES)
    res = model.smooth(model.start_params)
    other = sse.DynamicRegression(sample.excess, sample.regressors(several=True), dynamics=BETA_MOVES)
    plain = other.smooth(np.asarray(res.params))
    expected = plain.forecast(H, exog=future.regressors(several=True))
    rate = future.rate
    for factors in (future.factors, future.factors.to_numpy(), future.factors.to_numpy().tolist()):
        assert_allclose(res.forecast(H, market=factors, risk_free=rate), expected, rtol=1e-10)
    row, one = future.factors.iloc[0], rate.iloc[:1].to_numpy()
    for factors in (row.to_numpy(), row.tolist(), row, row.to_numpy()[None]):
        assert_allclose(res.forecast(1, market=factors, risk_free=one), expected[:1], rtol=1e-10)
    permuted = future.factors[["SMB", "MKT", "HML"]]
    for wrong in (permuted, permuted.iloc[0], future.factors[["MKT", "SMB"]], future.market):
        with pytest.raises(DataError, match="factors"):
            res.forecast(len(wrong) if wrong.ndim == 2 else 1, market=wrong, risk_free=one)
    with pytest.raises(DataError, match="factors"):
        res.append(future.returns, market=permuted, risk_free=rate)
    with pytest.raises(DataError, match="columns"):
        res.apply(future.excess, exog=future.regressors(several=True)[["const", "SMB", "MKT", "HML"]])


def test_excess_data_stay_excess_data(sample: Raw, future: Raw, res: Any) -> None:
    """A model without a risk-free rate takes none for new periods."""
    excess = sse.CAPM(sample.excess, sample.regressors()["MKT"]).smooth(np.asarray(res.params))
    market = future.regressors()["MKT"]
    expected = res.forecast(H, market=future.market, risk_free=future.rate)
    assert_allclose(excess.forecast(H, market=market), expected, rtol=1e-10)
    assert_allclose(
        excess.extend(future.excess, market=market).llf,
        res.extend(future.returns, market=future.market, risk_free=future.rate).llf,
        rtol=1e-10,
    )
    with pytest.raises(DataError, match="risk_free"):
        excess.forecast(H, market=market, risk_free=future.rate)


METHODS: dict[str, Callable[[Any, Raw], Callable[..., Any]]] = {
    "forecast": lambda res, d: lambda **k: res.forecast(H, **k),
    "simulate": lambda res, d: lambda **k: res.simulate(H, anchor="end", rng=1, **k),
    "append": lambda res, d: lambda **k: res.append(d.returns, **k),
    "extend": lambda res, d: lambda **k: res.extend(d.returns, **k),
    "apply": lambda res, d: lambda **k: res.apply(d.returns, **k),
    "clone": lambda res, d: lambda **k: res.model.clone(d.returns, **k),
}


@pytest.mark.parametrize("method", METHODS)
def test_new_periods_need_market_and_rate(res: Any, future: Raw, method: str) -> None:
    call, d = METHODS[method](res, future), future
    with pytest.raises(DataError, match="market"):
        call()
    with pytest.raises(DataError, match="market"):
        call(risk_free=d.rate)
    with pytest.raises(DataError, match="risk_free"):
        call(market=d.market)
    with pytest.raises(DataError, match="either exog, or market and risk_free"):
        call(market=d.market, risk_free=d.rate, exog=d.regressors())
    with pytest.raises(DataError, match="risk_free.*missing"):
        call(market=d.market, risk_free=d.rate.where(d.rate.index != d.rate.index[2]))
    with pytest.raises(DataError, match="market.*missing"):
        call(market=d.market.mask(d.rate.index == d.rate.index[2]), risk_free=d.rate)
    with pytest.raises(DataError, match="risk_free"):
        call(market=d.market, risk_free=d.rate[:-1])
    with pytest.raises(DataError, match="index"):
        call(market=d.market, risk_free=d.rate.set_axis(d.rate.index + 1))
    with pytest.raises(DataError, match="index"):
        call(market=d.market[::-1], risk_free=d.rate[::-1])
    with pytest.raises(DataError, match="columns|shape"):
        call(exog=d.market.to_numpy())
    if method != "simulate":
        with pytest.raises(DataError, match="length|shape"):
            call(market=d.market[:-1], risk_free=d.rate[:-1])


@pytest.mark.parametrize("method", ["append", "extend", "clone"])
def test_other_assets_are_refused(res: Any, future: Raw, method: str) -> None:
    call = res.model.clone if method == "clone" else getattr(res, method)
    options = {"market": future.market, "risk_free": future.rate}
    for wrong in (future.returns[["A2", "A1"]], future.returns[["A1"]]):
        with pytest.raises(DataError, match="columns"):
            call(wrong, **options)
    with pytest.raises(DataError, match="constant of ones"):
        res.model.clone(future.excess, exog=future.regressors().assign(const=2.0))


def test_pickled(res: Any, future: Raw) -> None:
    again = pickle.loads(pickle.dumps(res))
    assert again.llf == res.llf and again.beta.smoothed.equals(res.beta.smoothed)
    options = {"market": future.market, "risk_free": future.rate}
    assert_allclose(again.forecast(H, **options), res.forecast(H, **options), rtol=1e-12)
    assert_allclose(
        again.append(future.returns, **options).llf, res.append(future.returns, **options).llf, rtol=1e-12
    )
    model = pickle.loads(pickle.dumps(res.model))
    assert_allclose(model.loglike(1.1 * res.params), res.model.loglike(1.1 * res.params), rtol=1e-12)
    assert model.factors == ["MKT"] and model.has_risk_free
