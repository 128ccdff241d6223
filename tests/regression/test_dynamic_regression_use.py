"""DynamicRegression in use: more data, forecasts, simulation, pickling, formulas, and what it refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, BOTH_MOVE, gls, random_walks, simulated
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.base.formula import regressors_out_of_sample
from statespace_ext.exceptions import (
    DataError,
    EstimationError,
    ParameterError,
    SpecificationError,
    StateSpaceError,
    UnsupportedError,
)

N, P = 60, 3
Data = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def data() -> Data:
    """Returns with missing values, never more than one series seen of a row with a gap."""
    y, x = simulated(np.random.default_rng(51), N, P, move=0.15)
    y.iloc[[7, 30], 1] = np.nan
    y.iloc[12] = np.nan
    y.iloc[:4, 2] = np.nan
    return y, x


@pytest.fixture(scope="module")
def future(data: Data) -> pd.DataFrame:
    index = pd.period_range(data[0].index[-1] + 1, periods=6, freq="M")
    return pd.DataFrame({"const": 1.0, "MKT": [1.5, -2.0, 0.3, 4.0, 0.0, -1.0]}, index=index)


@pytest.fixture(scope="module")
def res(data: Data) -> sse.DynamicRegressionResults:
    return sse.DynamicRegression(*data, dynamics=BETA_MOVES).fit()


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
    paths = paths.reshape(6, P, 4000)
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


# -- formulas ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame(data: Data) -> pd.DataFrame:
    quarter = [str(1 + (i // 3) % 4) for i in range(N)]
    return data[0].join(data[1]["MKT"]).assign(quarter=quarter, SMB=np.linspace(-1, 1, N) ** 3)


from_formula = sse.DynamicRegression.from_formula


def test_formula_is_the_model_of_its_arrays(data: Data, frame: pd.DataFrame, res: Any) -> None:
    model = from_formula("A1 + A2 + A3 ~ MKT", frame, dynamics=BETA_MOVES)
    assert model.endog_names == ["A1", "A2", "A3"] and model.coefficients.regressors == ["const", "MKT"]
    assert_allclose(model.endog, data[0], rtol=0)
    assert model.nobs == N and np.isnan(model.endog).sum() == data[0].isna().sum().sum()
    assert_allclose(model.loglike(res.params), res.llf, rtol=0, atol=1e-9)
    assert model.data.row_labels.equals(data[0].index)


@pytest.mark.parametrize("name", ["const", "Intercept"])
def test_the_intercept_has_two_names(frame: pd.DataFrame, name: str) -> None:
    model = from_formula("A1 + A2 ~ MKT", frame, dynamics={name: "random_walk"}, state_cov={name: "diagonal"})
    assert model.param_names[-2:] == ["state_var.const.A1", "state_var.const.A2"]
    with pytest.raises(SpecificationError, match="dynamics"):
        from_formula("A1 + A2 ~ MKT - 1", frame, dynamics={name: "random_walk"})


def test_formula_with_transformations_and_categories(frame: pd.DataFrame) -> None:
    model = from_formula("np.log1p(A1 / 100) + A2 ~ center(MKT) + I(MKT ** 2) + C(quarter)", frame)
    market = frame["MKT"] - frame["MKT"].mean()
    expected = {
        "const": np.ones(N),
        **{f"C(quarter)[T.{q}]": (frame["quarter"] == q).astype(float) for q in "234"},
        "center(MKT)": market,
        "I(MKT ** 2)": frame["MKT"] ** 2,
    }
    assert model.coefficients.regressors == list(expected)
    assert_allclose(model.exog, np.column_stack(list(expected.values())), rtol=0, atol=1e-12)
    assert_allclose(model.endog[:, 0], np.log1p(frame["A1"] / 100), rtol=1e-14)


def test_formula_keeps_the_functions_of_its_caller(frame: pd.DataFrame) -> None:
    def twice(values: pd.Series) -> pd.Series:
        return 2.0 * values

    model = from_formula("A1 ~ twice(MKT)", frame)
    assert_allclose(model.exog[:, 1], 2.0 * frame["MKT"], rtol=1e-14)


def test_regressors_out_of_sample_by_the_same_formula(frame: pd.DataFrame) -> None:
    """`center` takes the mean of the sample, and a category that the future lacks keeps its column."""
    model = from_formula("A1 + A2 ~ center(MKT) + C(quarter)", frame)
    index = pd.period_range(frame.index[-1] + 1, periods=3, freq="M")
    new = pd.DataFrame({"MKT": [1.0, 2.0, 3.0], "quarter": ["1", "1", "4"]}, index=index)
    exog = regressors_out_of_sample(model.design_info, new)
    assert list(exog.columns) == model.coefficients.regressors and exog.index.equals(index)
    assert_allclose(exog["center(MKT)"], new["MKT"] - frame["MKT"].mean(), rtol=1e-12)
    assert exog["C(quarter)[T.4]"].tolist() == [0.0, 0.0, 1.0]
    assert exog["C(quarter)[T.2]"].tolist() == [0.0, 0.0, 0.0]
    res = model.smooth([4.0, 0.5, 5.0])
    last = np.stack([res.coefficients[name].filtered.iloc[-1] for name in model.coefficients.regressors])
    assert_allclose(res.forecast(3, exog=exog), exog.to_numpy() @ last, rtol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_seasonal_dummies_can_be_fitted(seed: int) -> None:
    """The first periods do not span the regressors: what rounding leaves of them is no information."""
    rng = np.random.default_rng(seed)
    quarters = (np.arange(40) // 3) % 4
    x = np.column_stack(
        [np.ones(40), *(1.0 * (quarters == q) for q in (1, 2, 3)), 4.0 * rng.standard_normal(40)]
    )
    y = x @ rng.standard_normal((5, 2)) + rng.standard_normal((40, 2))
    model = sse.DynamicRegression(y, x, dynamics={"x5": "random_walk"})
    V, W = np.eye(2) + 0.3, 0.01 * np.eye(2) + 0.002
    expected = gls(y, x, V, random_walks(W, np.array([8, 9]), 10)).llf
    assert_allclose(
        model.loglike(model.params_from_matrices({"obs_cov": V, "state_cov": W})), expected, atol=1e-8
    )
    assert model.fit().converged


def test_formula_results_can_be_pickled(frame: pd.DataFrame) -> None:
    res = from_formula("A1 + A2 ~ MKT", frame, dynamics=BETA_MOVES).fit()
    again = pickle.loads(pickle.dumps(res))
    assert again.llf == res.llf and again.model.coefficients == res.model.coefficients


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("A1 + NOPE ~ MKT", "NOPE"),
        ("A1 ~ MKT + NOPE", "NOPE"),
        ("A1 ~ MKT +", "formula"),
        ("~ MKT", "formula"),
        ("A1 ~ 0", "formula|exog"),
    ],
)
def test_refused_formulas(frame: pd.DataFrame, formula: str, match: str) -> None:
    with pytest.raises(StateSpaceError, match=match):
        from_formula(formula, frame)


@pytest.mark.parametrize("column", ["MKT", "quarter"])
def test_formula_with_a_missing_regressor(frame: pd.DataFrame, column: str) -> None:
    gap = frame.copy()
    gap.loc[gap.index[5], column] = None
    with pytest.raises(DataError, match="missing"):
        from_formula("A1 ~ MKT + C(quarter)", gap)


@pytest.mark.parametrize(
    "change", [{"quarter": ["1", "9"]}, {"quarter": None}, {"MKT": [1.0, np.nan]}], ids=str
)
def test_refused_regressors_out_of_sample(frame: pd.DataFrame, change: dict) -> None:
    """An unknown category, an absent column, a missing value."""
    model = from_formula("A1 ~ MKT + C(quarter)", frame)
    new = pd.DataFrame({"MKT": [1.0, 2.0], "quarter": ["1", "2"]}).assign(**change)
    new = new.drop(columns=[name for name, value in change.items() if value is None])
    raised = None
    try:
        exog = regressors_out_of_sample(model.design_info, new)
        model.smooth(model.start_params).forecast(2, exog=exog)
    except Exception as error:  # patsy's chained errors crash pytest's report on Python 3.10
        raised = type(error)
    assert raised is not None and issubclass(raised, StateSpaceError)


# -- bad input ---------------------------------------------------------------------------------------------


def with_value(x: pd.DataFrame, value: float) -> pd.DataFrame:
    out = x.copy()
    out.iloc[4, 1] = value
    return out


def model(*args: Any, **kwargs: Any) -> Callable[[pd.DataFrame, pd.DataFrame], Any]:
    """Return a constructor that ignores how the data are changed."""
    return lambda y, x: sse.DynamicRegression(y, x, *args, **kwargs)


BAD: dict[str, tuple[Callable[[pd.DataFrame, pd.DataFrame], Any], type[Exception], str]] = {
    "no regressors": (lambda y, x: sse.DynamicRegression(y, None), DataError, "exog"),
    "exog with NaN": (lambda y, x: sse.DynamicRegression(y, with_value(x, np.nan)), DataError, "row 4"),
    "exog with inf": (lambda y, x: sse.DynamicRegression(y, with_value(x, np.inf)), DataError, "row 4"),
    "exog of text": (lambda y, x: sse.DynamicRegression(y, x.astype(str) + "?"), DataError, "numeric"),
    "exog too short": (lambda y, x: sse.DynamicRegression(y, x[:-1]), DataError, "shape|index"),
    "exog of other periods": (
        lambda y, x: sse.DynamicRegression(y, x.set_axis(x.index + 1)),
        DataError,
        "index of exog",
    ),
    "exog shuffled": (lambda y, x: sse.DynamicRegression(y, x.iloc[::-1]), DataError, "index of exog"),
    "both shuffled": (lambda y, x: sse.DynamicRegression(y.iloc[::-1], x.iloc[::-1]), DataError, "order"),
    "endog with inf": (lambda y, x: sse.DynamicRegression(y.fillna(np.inf), x), DataError, "finite"),
    "endog of text": (lambda y, x: sse.DynamicRegression(y.astype(str), x), DataError, "numeric"),
    "endog a cube": (lambda y, x: sse.DynamicRegression(np.zeros((N, 2, 2)), x), DataError, "dimensions"),
    "empty": (lambda y, x: sse.DynamicRegression(y[:0], x[:0]), DataError, "empty"),
    "two series of one name": (
        lambda y, x: sse.DynamicRegression(y.set_axis(["A", "A", "B"], axis=1), x),
        StateSpaceError,
        "A",
    ),
    "two regressors of one name": (
        lambda y, x: sse.DynamicRegression(y, x.set_axis(["MKT", "MKT"], axis=1), dynamics=BETA_MOVES),
        StateSpaceError,
        "MKT",
    ),
    "series all missing": (
        lambda y, x: sse.DynamicRegression(y.assign(A2=np.nan), x, obs_cov="diagonal").fit(),
        DataError,
        "A2.* has no observations",
    ),
    "series constant": (lambda y, x: sse.DynamicRegression(y.assign(A2=1.0), x).fit(), DataError, "A2"),
    "regressor constant": (
        lambda y, x: sse.DynamicRegression(y, x.assign(two=2.0)).fit(),
        DataError,
        "collinear",
    ),
    "regressor zero": (lambda y, x: sse.DynamicRegression(y, x.assign(z=0.0)).fit(), DataError, "collinear"),
    "regressors collinear": (
        lambda y, x: sse.DynamicRegression(y, x.assign(z=1.0 - 2.0 * x["MKT"])).fit(),
        DataError,
        "collinear",
    ),
    "too many assets than periods": (
        lambda y, x: sse.DynamicRegression(
            np.random.default_rng(0).normal(size=(20, 25)), x[:20].to_numpy()
        ).fit(),
        DataError,
        "too many assets for the sample",
    ),
    "an asset twice": (
        lambda y, x: sse.DynamicRegression(y.assign(again=3.0 * y["A1"]), x, dynamics=BETA_MOVES).fit(),
        DataError,
        "A1, again are linearly dependent",
    ),
    "a portfolio of the assets": (
        lambda y, x: sse.DynamicRegression(y.assign(sum=y.sum(axis=1, skipna=False)), x).fit(),
        DataError,
        "linearly dependent",
    ),
    "an asset that is the market": (
        lambda y, x: sse.DynamicRegression(y.assign(M=x["MKT"]), x, obs_cov="diagonal").fit(),
        DataError,
        "explain M exactly",
    ),
    "too few periods": (
        lambda y, x: sse.DynamicRegression(y[13:16], x[13:16], dynamics=BETA_MOVES).fit(),
        DataError,
        "few|too many assets",
    ),
    "dynamics not by name": (model(dynamics="random_walk"), SpecificationError, "dynamics"),
    "dynamics of no regressor": (model(dynamics={"SMB": "random_walk"}), SpecificationError, "SMB"),
    "dynamics unknown": (model(dynamics={"MKT": "ar2"}), SpecificationError, "ar2"),
    "obs_cov unknown": (model(obs_cov="full"), SpecificationError, "obs_cov"),
    "obs_cov proportional": (model(obs_cov="proportional"), SpecificationError, "obs_cov"),
    "obs_cov misspelt": (model(obs_cov="factr:1"), SpecificationError, "obs_cov.*not a known.*factor:r"),
    "obs_cov misspelt, one series": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, obs_cov="proportional"),
        SpecificationError,
        "obs_cov is not a known keyword",
    ),
    "state_cov misspelt": (
        model(dynamics=BETA_MOVES, state_cov="diagonl"),
        SpecificationError,
        "state_cov.*not a known.*factor:r, proportional, joint",
    ),
    "state_cov misspelt, one series": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, dynamics=BETA_MOVES, state_cov="diagonl"),
        SpecificationError,
        "state_cov is not a known keyword",
    ),
    "state_cov misspelt, one series, by regressor": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, dynamics=BETA_MOVES, state_cov={"MKT": "diagonl"}),
        SpecificationError,
        "state_cov is not a known keyword",
    ),
    "state_cov misspelt, nothing moves": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, state_cov="diagonl"),
        SpecificationError,
        "state_cov is not a known keyword",
    ),
    "factors of one series": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, obs_cov="factor:1"),
        SpecificationError,
        "two series or more",
    ),
    "obs_cov of wrong shape": (model(obs_cov=np.eye(2)), SpecificationError, "shape"),
    "obs_cov not symmetric": (model(obs_cov=np.eye(3) + np.eye(3, k=1)), SpecificationError, "symmetric"),
    "obs_cov indefinite": (
        model(obs_cov=np.eye(3) - 0.6 * np.ones((3, 3))),
        SpecificationError,
        "semidefinite|negative",
    ),
    "state_cov unknown": (model(dynamics=BETA_MOVES, state_cov="full"), SpecificationError, "state_cov"),
    "state_cov of wrong shape": (
        model(dynamics=BETA_MOVES, state_cov=np.eye(4)),
        SpecificationError,
        "shape",
    ),
    "state_cov of nothing": (model(state_cov=np.eye(3)), SpecificationError, "state_cov"),
    "state_cov of some": (
        model(dynamics=BOTH_MOVE, state_cov={"MKT": "diagonal"}),
        SpecificationError,
        "const",
    ),
    "state_cov of others": (
        model(dynamics=BETA_MOVES, state_cov={"MKT": "diagonal", "SMB": "scalar"}),
        SpecificationError,
        "SMB",
    ),
    "start unknown": (model(initialization="stationary"), SpecificationError, "initialization"),
    "known start without values": (model(initialization="known"), SpecificationError, "initial_state"),
    "values without known start": (model(initial_state=np.zeros(6)), SpecificationError, "initial_state"),
    "known start of wrong shape": (
        model(initialization="known", initial_state=np.zeros(3), initial_state_cov=np.eye(3)),
        SpecificationError,
        "shape",
    ),
    "known start indefinite": (
        model(initialization="known", initial_state=np.zeros(6), initial_state_cov=-np.eye(6)),
        SpecificationError,
        "initial_state_cov",
    ),
    "method unknown": (lambda y, x: sse.DynamicRegression(y, x).fit(method="foo"), SpecificationError, "foo"),
    "start values too few": (
        lambda y, x: sse.DynamicRegression(y, x).fit([1.0]),
        ParameterError,
        "shape|length",
    ),
    "start values no covariance": (
        lambda y, x: sse.DynamicRegression(y, x).fit(-np.ones(6)),
        (EstimationError, ParameterError),
        "start values|semidefinite",
    ),
    "start matrix unknown": (
        lambda y, x: sse.DynamicRegression(y, x).fit({"obs_cov": np.eye(3), "nope": 1}),
        ParameterError,
        "nope",
    ),
    "fixed parameter unknown": (
        lambda y, x: sse.DynamicRegression(y, x).fit_constrained({"nope": 1.0}),
        (ParameterError, ValueError),
        "nope",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_clear_error(data: Data, name: str) -> None:
    call, kind, match = BAD[name]
    with pytest.raises(kind, match=match):
        call(*data)


def test_regressors_of_any_size_and_what_no_double_tells_apart(data: Data) -> None:
    """Units of a regressor move the log-likelihood by their logarithm; two that nearly agree are refused."""
    y, x = data
    params = sse.DynamicRegression(y, x).start_params
    small = sse.DynamicRegression(y, x.assign(MKT=1e-7 * x["MKT"])).loglike(params)
    moved = y.shape[1] * np.log(1e-7)
    assert_allclose(small + moved, sse.DynamicRegression(y, x).loglike(params), rtol=1e-10)
    with pytest.raises((UnsupportedError, DataError)):
        sse.DynamicRegression(y, x.assign(z=x["MKT"] + 1e-9 * np.arange(N)), dynamics=BETA_MOVES).fit()


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x["MKT"],
        lambda x: x["MKT"].to_numpy(),
        lambda x: x[["MKT"]],
        lambda x: x[["MKT"]].to_numpy(),
        lambda x: x["MKT"].tolist(),
    ],
    ids=["Series", "1-D array", "DataFrame", "2-D array", "list"],
)
@pytest.mark.parametrize("p", [1, 2])
def test_one_regressor_in_every_form(data: Data, form: Callable, p: int) -> None:
    y = data[0]["A1"] if p == 1 else data[0][["A1", "A2"]]
    if not isinstance(form(data[1]), (pd.Series, pd.DataFrame)):
        y = y.to_numpy()
    model = sse.DynamicRegression(y, form(data[1]))
    params = np.array([4.0]) if p == 1 else np.array([4.0, 1.0, 5.0])
    column = data[1][["MKT"]]
    expected = sse.DynamicRegression(
        y, column if isinstance(y, pd.Series | pd.DataFrame) else column.to_numpy()
    )
    assert model.loglike(params) == expected.loglike(params)
    assert model.fit().forecast(2, exog=[1.0, 2.0]).shape[0] == 2


@pytest.mark.parametrize("kind", ["int64", "float32", "bool", "object", "Int64", "Float64"])
def test_regressors_of_every_numeric_type(data: Data, kind: str) -> None:
    y, x = data
    up = (x["MKT"] > 0).astype(float)
    expected = sse.DynamicRegression(y, x.assign(up=up)).fit().llf
    try:
        found = sse.DynamicRegression(y, x.assign(up=up.astype(kind))).fit().llf
    except DataError as error:
        assert "numeric" in str(error)
    else:
        assert_allclose(found, expected, rtol=1e-12)


def test_data_given_are_not_changed(data: Data) -> None:
    y, x = data[0].copy(), data[1].copy()
    res = sse.DynamicRegression(y, x, dynamics=BETA_MOVES).fit()
    res.forecast(1, exog=x[:1].to_numpy())
    pd.testing.assert_frame_equal(y, data[0])
    pd.testing.assert_frame_equal(x, data[1])


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
