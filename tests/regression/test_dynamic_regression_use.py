"""DynamicRegression in use: more data, forecasts, simulation and pickling."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, N, simulated
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.exceptions import (
    DataError,
)

Data = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def future(data: Data) -> pd.DataFrame:
    index = pd.period_range(data[0].index[-1] + 1, periods=6, freq="M")
    return pd.DataFrame({"const": 1.0, "MKT": [1.5, -2.0, 0.3, 4.0, 0.0, -1.0]}, index=index)


def first(data: Data, m: int, params: Any) -> sse.DynamicRegressionResults:
    """Return results at given parameters for the first m periods."""
    y, x = data
    return sse.DynamicRegression(y[:m], x[:m], dynamics=BETA_MOVES).smooth(params)


# -- more data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [10, 31, 59])
def test_log_likelihoods_of_two_parts_add_up(data: Data, res: Any, m: int) -> None:
    """For m beyond the diffuse periods; here the third series starts in the fifth."""
    y, x = data
    start = first(data, m, res.params)
    assert start.nobs_diffuse < m
    rest = start.extend(y[m:], exog=x[m:])
    assert_allclose(start.llf + rest.llf, res.llf, rtol=0, atol=1e-9)
    assert rest.nobs == N - m
    assert_allclose(rest.filtered_state, res.filtered_state[:, m:], rtol=0, atol=1e-9)
    assert_allclose(
        rest.coefficients["MKT"].filtered, res.coefficients["MKT"].filtered[m:], rtol=0, atol=1e-9
    )


def test_append(data: Data, res: Any) -> None:
    y, x = data
    longer = first(data, 40, res.params).append(y[40:], exog=x[40:])
    assert_allclose(longer.llf, res.llf, rtol=0, atol=1e-9)
    assert_allclose(longer.smoothed_state, res.smoothed_state, rtol=0, atol=1e-9)
    assert longer.model.nobs == N and longer.coefficients["MKT"].smoothed.index.equals(y.index)
    again = first(data, 40, res.params).append(y[40:], exog=x[40:], refit=True)
    assert_allclose(again.llf, res.llf, rtol=0, atol=1e-5)


def test_apply_and_clone(data: Data, res: Any) -> None:
    y, x = data
    assert_allclose(first(data, 40, res.params).apply(y, exog=x).llf, res.llf, rtol=0, atol=1e-9)
    for model in (res.model.clone(y, exog=x), first(data, 40, res.params).model.clone(y, exog=x)):
        assert model.param_names == res.model.param_names
        assert_allclose(model.loglike(res.params), res.llf, rtol=0, atol=1e-9)
    assert res.model.clone(y, exog=x, state_cov="diagonal").matrices([*[1.0] * 9])["state_cov"][0, 1] == 0.0


def test_only_a_clone_may_have_other_regressors(data: Data, res: Any) -> None:
    y, x = data
    more = x.assign(SMB=np.random.default_rng(1).standard_normal(len(x)))
    clone = res.model.clone(y, exog=more)
    assert clone.coefficients.regressors == [*x.columns, "SMB"] and clone.param_names == res.model.param_names
    with pytest.raises(DataError, match="not those of the model: got .*SMB"):
        res.apply(y, exog=more)


@pytest.mark.parametrize("what", ["clone", "append", "extend", "apply"])
def test_more_data_need_regressors(data: Data, res: Any, what: str) -> None:
    y, x = data
    start = res.model if what == "clone" else first(data, 40, res.params)
    with pytest.raises(DataError, match="exog"):
        getattr(start, what)(y[40:])
    with pytest.raises(ValueError, match="exog"):  # DataError is one; `append` leaves it to statsmodels
        getattr(start, what)(y[40:], exog=x[41:])


def test_results_of_the_first_part_do_not_change(data: Data, res: Any) -> None:
    y, x = data
    start = first(data, 40, res.params)
    before = {
        name: getattr(start, name).tobytes() for name in ("smoothed_state", "filtered_state", "llf_obs")
    }
    matrices = {
        name: np.array(start.model.ssm[name]).tobytes() for name in ("design", "obs_cov", "state_cov")
    }
    start.append(y[40:], exog=x[40:], refit=True)
    start.extend(y[40:], exog=x[40:])
    start.forecast(2, exog=x[40:42])
    start.simulate(5, rng=0)
    start.model.loglike(np.asarray(res.params) * 1.1)
    assert matrices == {name: np.array(start.model.ssm[name]).tobytes() for name in matrices}
    start.model.fit()  # which leaves the model at its own estimates
    assert before == {name: getattr(start, name).tobytes() for name in before}
    own = start.filter_results.model
    assert matrices == {name: np.array(own[name]).tobytes() for name in matrices}


@pytest.mark.parametrize("dynamics", ["static", "random_walk", "ar1"])
def test_the_likelihood_and_score_of_an_extended_model_are_those_of_its_start(dynamics: str) -> None:
    """`extend` starts from the predicted state: no part of the constructor's start is left."""
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(40), rng.standard_normal(40)])
    y = x @ rng.standard_normal((2, 2)) + rng.standard_normal((40, 2))
    names = {"x1": "static", "x2": dynamics}
    frame = pd.DataFrame(x, columns=list(names))
    model = sse.DynamicRegression(pd.DataFrame(y[:30]), frame.iloc[:30], dynamics=names, obs_cov="diagonal")
    at = np.maximum(np.asarray(model.start_params), 0.05)
    res = model.smooth(at, cov_type="none")
    longer = res.extend(pd.DataFrame(y[30:], index=range(30, 40)), frame.iloc[30:])
    assert_allclose(longer.model.loglike(at), longer.llf, rtol=1e-12)
    want = richardson_gradient(longer.model.loglike, at, step=0.02 * at)
    assert_allclose(longer.model.score(at), want, rtol=1e-6, atol=1e-7)


# -- prediction --------------------------------------------------------------------------------------------


def test_forecast_by_hand(res: Any, future: pd.DataFrame) -> None:
    """Mean x_t' beta_{n|n}; variance X (P_{n|n} + h W) X' + V."""
    rows = future.to_numpy()
    last = np.stack([res.coefficients[name].filtered.iloc[-1] for name in ("const", "MKT")])
    forecast = res.get_forecast(6, exog=future)
    assert_allclose(forecast.predicted_mean, rows @ last, rtol=1e-12)
    assert forecast.predicted_mean.index.equals(future.index)
    assert list(forecast.predicted_mean.columns) == ["A1", "A2", "A3"]
    V, W = (res.matrices[name].to_numpy() for name in ("obs_cov", "state_cov"))
    step = np.zeros((6, 6))
    step[3:, 3:] = W
    covs = np.asarray(forecast.var_pred_mean)
    for h, row in enumerate(rows):
        X = np.kron(row, np.eye(3))
        expected = X @ (res.filtered_state_cov[:, :, -1] + (h + 1) * step) @ X.T + V
        found = covs[:, :, h] if covs.shape[0] == 3 else covs[h]
        assert_allclose(found, expected, rtol=1e-10)


def test_regressors_of_a_forecast_as_frame_or_array(res: Any, future: pd.DataFrame) -> None:
    expected = res.forecast(6, exog=future)
    assert_allclose(res.forecast(6, exog=future.to_numpy()), expected, rtol=1e-14)
    assert_allclose(res.forecast(6, exog=future.to_numpy().tolist()), expected, rtol=1e-14)
    assert_allclose(res.forecast(exog=future[:1]), expected[:1], rtol=1e-14)
    assert_allclose(res.forecast(exog=future.iloc[0].to_numpy()), expected[:1], rtol=1e-14)
    assert_allclose(res.forecast(str(future.index[-1]), exog=future), expected, rtol=1e-14)


def test_one_step_predictions_by_hand(data: Data, res: Any) -> None:
    y, x = data
    predicted = res.get_prediction().predicted_mean
    assert_allclose(predicted, np.asarray(res.fittedvalues), rtol=1e-12)
    at = np.stack([res.coefficients[name].filtered.iloc[19] for name in ("const", "MKT")])
    assert_allclose(predicted.iloc[20], x.iloc[20].to_numpy() @ at, rtol=1e-10)


@pytest.mark.parametrize("dynamic", [True, 5])
def test_dynamic_prediction_by_hand(data: Data, res: Any, dynamic: Any) -> None:
    """From its origin on, a dynamic prediction uses the coefficients filtered there."""
    y, x = data
    origin = 40 + (0 if dynamic is True else dynamic)
    found = res.get_prediction(start=40, dynamic=dynamic).predicted_mean
    last = np.stack([res.coefficients[name].filtered.iloc[origin - 1] for name in ("const", "MKT")])
    assert_allclose(found.iloc[origin - 40 :], x.to_numpy()[origin:] @ last, rtol=1e-10)
    static = res.get_prediction(start=40).predicted_mean
    assert_allclose(found.iloc[: origin - 40], static.iloc[: origin - 40], rtol=1e-12)


def test_dynamic_prediction_past_the_sample(data: Data, res: Any, future: pd.DataFrame) -> None:
    origin = 50
    found = res.get_prediction(
        start=str(data[0].index[45]),
        end=str(future.index[2]),
        dynamic=str(data[0].index[origin]),
        exog=future[:3],
    ).predicted_mean
    last = np.stack([res.coefficients[name].filtered.iloc[origin - 1] for name in ("const", "MKT")])
    rows = np.vstack([data[1].to_numpy()[origin:], future.to_numpy()[:3]])
    assert len(found) == 15 + 3
    assert_allclose(found.iloc[5:], rows @ last, rtol=1e-10)


def test_forecast_of_autoregressive_coefficients_by_hand(data: Data, future: pd.DataFrame) -> None:
    y, x = data[0][["A1", "A2"]], data[1]
    model = sse.DynamicRegression(y, x, dynamics={"MKT": "ar1"}, state_cov="diagonal")
    params = pd.Series(model.start_params, index=model.param_names)
    params[["ar1.MKT.A1", "ar1.MKT.A2"]] = phi = np.array([0.9, -0.5])
    params[["state_var.MKT.A1", "state_var.MKT.A2"]] = 0.05
    res = model.smooth(params)
    alpha, mean, deviation = res.filtered_state[:, -1].reshape(3, 2)
    powers = phi ** np.arange(1, 7)[:, None]
    expected = alpha + future["MKT"].to_numpy()[:, None] * (mean + powers * deviation)
    assert_allclose(res.forecast(6, exog=future), expected, rtol=1e-10)


def test_forecast_of_static_coefficients_is_that_of_least_squares() -> None:
    import statsmodels.api as sm

    y, x = simulated(np.random.default_rng(52), 50, 2)
    new = np.array([[1.0, 2.0], [1.0, -3.0]])
    res = sse.DynamicRegression(y, x).fit()
    forecast = res.get_forecast(2, exog=new)
    for j, name in enumerate(y.columns):
        ols = sm.OLS(y[name], x).fit().get_prediction(new)
        assert_allclose(forecast.predicted_mean[name], ols.predicted_mean, rtol=1e-8)
        assert_allclose(np.asarray(forecast.se_mean)[:, j], ols.se_obs, rtol=1e-6)


def test_standardised_forecast_errors_are_white_where_the_model_is_right() -> None:
    y, x = simulated(np.random.default_rng(53), 400, 2, move=0.1)
    res = sse.DynamicRegression(y, x, dynamics=BETA_MOVES).fit()
    errors = res.standardized_forecasts_error[:, 5:]
    assert_allclose(np.var(errors, axis=1), 1.0, atol=0.15)
    assert_allclose(np.mean(errors, axis=1), 0.0, atol=0.15)


def test_refused_forecasts(data: Data, res: Any, future: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="exog"):
        res.forecast(6)
    with pytest.raises(DataError, match="exog"):
        res.forecast(6, exog=future[:5])
    with pytest.raises(DataError, match="exog"):
        res.forecast(6, exog=future.assign(SMB=1.0))
    with pytest.raises(DataError, match="missing or infinite"):
        res.forecast(6, exog=future.mask(future["MKT"] > 3))
    with pytest.raises(DataError, match="exog"):
        res.simulate(5, anchor="end")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x[["MKT", "const"]],
        lambda x: x.rename(columns={"MKT": "SMB"}),
        lambda x: x.iloc[::-1],
        lambda x: x.set_axis(x.index - 6),
    ],
    ids=["other order of columns", "other names", "shuffled index", "index of the sample"],
)
def test_future_regressors_that_do_not_fit_are_not_used_as_they_are(
    res: Any, future: pd.DataFrame, wrong: Callable
) -> None:
    """A clear error, or (columns and rows in another order) the right forecast; never a wrong one."""
    try:
        found = res.forecast(6, exog=wrong(future))
    except DataError as error:
        assert "exog" in str(error)
    else:
        assert_allclose(found, res.forecast(6, exog=future), rtol=1e-12)


# -- simulation and pickling -------------------------------------------------------------------------------


def test_simulation_is_reproducible_and_has_names(data: Data, res: Any) -> None:
    one, other = (res.simulate(10, rng=3) for _ in range(2))
    assert one.equals(other) and not one.equals(res.simulate(10, rng=4))
    assert list(one.columns) == list(data[0].columns)


def test_simulation_from_the_end_agrees_with_the_forecast(res: Any, future: pd.DataFrame) -> None:
    """4000 paths from the estimated state: mean and variance of the forecast, within five standard errors."""
    forecast = res.get_forecast(6, exog=future)
    paths = res.simulate(6, anchor="end", exog=future, repetitions=4000, rng=7).to_numpy()
    paths = paths.reshape(6, 3, 4000)
    se = np.asarray(forecast.se_mean)
    mean = np.asarray(forecast.predicted_mean)
    assert np.all(np.abs(paths.mean(axis=2) - mean) < 5 * se / np.sqrt(4000))
    assert np.all(np.abs(paths.std(axis=2) / se - 1.0) < 5 / np.sqrt(2 * 4000))


def test_simulation_of_the_sample_uses_its_regressors(data: Data) -> None:
    """From known coefficients and no noise the simulation is x_t' theta."""
    y, x = data
    model = sse.DynamicRegression(y, x, obs_cov="diagonal")
    theta = np.array([0.1, 0.2, 0.3, 1.0, 1.5, 2.0])
    found = model.simulate(np.zeros(3) + 1e-20, N, initial_state=theta)
    assert_allclose(found, x.to_numpy() @ theta.reshape(2, 3), rtol=0, atol=1e-7)


def test_pickled_results(data: Data, res: Any, future: pd.DataFrame) -> None:
    again = pickle.loads(pickle.dumps(res))
    assert again.llf == res.llf and again.converged == res.converged
    assert_allclose(again.smoothed_state, res.smoothed_state, rtol=0)
    assert again.matrices["obs_cov"].equals(res.matrices["obs_cov"])
    assert_allclose(again.forecast(6, exog=future), res.forecast(6, exog=future), rtol=1e-12)
    assert_allclose(again.bse, res.bse, rtol=1e-6)
    assert again.summary().as_text()[600:] == res.summary().as_text()[600:]


def test_a_pickled_model_works_at_other_parameters(data: Data, res: Any) -> None:
    """statsmodels' filter, once pickled, keeps the matrices that it had: it must not be taken along."""
    params = np.asarray(res.params)
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    model.loglike(1.3 * params)
    model.score(1.3 * params)
    again = pickle.loads(pickle.dumps(model))
    for factor in (1.0, 0.8, 1.3):
        assert_allclose(again.loglike(factor * params), model.loglike(factor * params), rtol=1e-12)
        assert_allclose(again.score(factor * params), model.score(factor * params), rtol=1e-8, atol=1e-8)
    assert_allclose(again.smooth(params).smoothed_state, res.smoothed_state, rtol=0, atol=1e-9)
    assert_allclose(again.fit().llf, res.llf, rtol=0, atol=1e-6)


def test_the_model_of_pickled_results_works_at_other_parameters(res: Any) -> None:
    params = np.asarray(res.params)
    again = pickle.loads(pickle.dumps(res)).model
    for factor in (0.8, 1.0, 1.3):
        assert_allclose(again.loglike(factor * params), res.model.loglike(factor * params), rtol=1e-12)
        assert_allclose(again.smooth(factor * params).llf, res.model.loglike(factor * params), rtol=1e-12)
