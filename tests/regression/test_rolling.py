"""Out-of-sample predictions, against the results' own forecasts, plain least squares and a look ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, berndt, simulated
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import stats
from statsmodels.regression.linear_model import OLS

import statespace_ext as sse
from statespace_ext.inference.windows import diebold_mariano
from statespace_ext.regression.capm import CAPM
from statespace_ext.regression.rolling import (
    DYNAMIC,
    METHODS,
    ROLLING,
    STATIC,
    _dynamic,
    rolling_evaluation,
)

Y, X = simulated(np.random.default_rng(31), 36, 2, move=0.4)


def model_of(y: Any = Y, x: Any = X, **options: Any) -> Any:
    return sse.DynamicRegression(y, x, **{"dynamics": BETA_MOVES, "state_cov": "scalar", **options})


@pytest.mark.parametrize("steps", [1, 3])
def test_dynamic_predictions_are_those_of_the_results(steps: int) -> None:
    """Fits up to each refit, `append` of what comes until the origin, `get_forecast` with exog."""
    found = rolling_evaluation(model_of(), window=24, steps=steps, refit_every=5)
    assert list(found.refits["origin"]) == [Y.index[i] for i in range(23, 36 - steps, 5)]
    assert found.refits["converged"].all()
    for place, origin in enumerate(range(24, 36 - steps + 1)):
        refit = 24 + 5 * ((origin - 24) // 5)
        res = model_of(Y.iloc[:refit], X.iloc[:refit]).fit(method="lbfgs", cov_type="none")
        if origin > refit:
            res = res.append(Y.iloc[refit:origin], exog=X.iloc[refit:origin])
        forecast = res.get_forecast(steps, exog=X.iloc[origin : origin + steps])
        target = Y.index[origin + steps - 1]
        assert found.predictions.index[place] == target
        assert_allclose(found.predictions.loc[target, DYNAMIC], forecast.predicted_mean.iloc[-1], rtol=1e-6)
        assert_allclose(
            found.variances.loc[target, DYNAMIC], np.asarray(forecast.se_mean)[-1] ** 2, rtol=1e-5
        )


def test_rolling_windows() -> None:
    """Each refit has the last periods only, and the coefficients are filtered from there."""
    found = rolling_evaluation(model_of(), window=20, refit_every=4, expanding=False)
    assert (found.refits["nobs"] == 20).all()
    origin, refit = 27, 24
    res = model_of(Y.iloc[refit - 20 : refit], X.iloc[refit - 20 : refit]).fit(
        method="lbfgs", cov_type="none"
    )
    res = res.append(Y.iloc[refit:origin], exog=X.iloc[refit:origin])
    forecast = res.get_forecast(1, exog=X.iloc[[origin]])
    assert_allclose(
        found.predictions.loc[Y.index[origin], DYNAMIC], forecast.predicted_mean.iloc[0], rtol=1e-6
    )


def test_least_squares_predictions() -> None:
    y = Y.copy()
    y.iloc[10:14, 0] = np.nan
    found = rolling_evaluation(model_of(y), window=20, steps=2, refit_every=100)
    for target in (21, 30, 35):
        origin = target - 1
        for method, begin in ((STATIC, 0), (ROLLING, origin - 20)):
            ols = OLS(y["A1"].iloc[begin:origin], X.iloc[begin:origin], missing="drop").fit()
            forecast = ols.get_prediction(X.iloc[[target]])
            when = y.index[target]
            assert_allclose(
                found.predictions.loc[when, (method, "A1")], forecast.predicted_mean[0], rtol=1e-9
            )
            variance = forecast.var_pred_mean[0] + ols.mse_resid
            assert_allclose(found.variances.loc[when, (method, "A1")], variance, rtol=1e-9)


@pytest.mark.parametrize("expanding", [True, False])
def test_nothing_looks_ahead(expanding: bool) -> None:
    """Other data after a period change no prediction of it or before; nor do other regressors after it."""
    base = rolling_evaluation(model_of(), window=20, refit_every=4, expanding=expanding)
    changed_y, changed_x = Y.copy(), X.copy()
    changed_y.iloc[28:] += 50.0
    changed_x.iloc[29:, 1] -= 7.0
    other = rolling_evaluation(model_of(changed_y, changed_x), window=20, refit_every=4, expanding=expanding)
    upto = Y.index[28]
    for name in ("predictions", "variances"):
        assert_frame_equal(getattr(base, name).loc[:upto], getattr(other, name).loc[:upto], rtol=1e-10)
        assert not np.allclose(
            getattr(base, name).loc[Y.index[30] :], getattr(other, name).loc[Y.index[30] :]
        )
    fitted = rolling_evaluation(model_of().fit(method="lbfgs"), window=20, refit_every=4, expanding=expanding)
    assert_frame_equal(base.predictions, fitted.predictions)


def test_scores() -> None:
    found = rolling_evaluation(model_of(), window=20, refit_every=50)
    assert found.predictions.shape == (16, 6)
    assert list(found.predictions.columns.get_level_values("method").unique()) == list(METHODS)
    want = np.concatenate([Y.iloc[20:].to_numpy()] * 3, axis=1) - found.predictions
    assert_frame_equal(found.errors, want)
    assert_frame_equal(found.squared_errors, want**2)
    density = stats.norm.logpdf(found.errors, scale=np.sqrt(found.variances))
    assert_allclose(found.log_scores, density)
    table = found.summary()
    row = table.loc[("A2", STATIC)]
    errors = found.errors[STATIC]["A2"]
    assert row["n"] == 16
    assert_allclose(row["rmse"], np.sqrt(np.mean(errors**2)))
    assert_allclose(row["log_score"], found.log_scores[STATIC]["A2"].mean())
    loss = errors**2 - found.errors[DYNAMIC]["A2"] ** 2
    assert_allclose([row["dm_rmse"], row["pvalue_rmse"]], diebold_mariano(loss.to_numpy()))
    gain = found.log_scores[DYNAMIC]["A2"] - found.log_scores[STATIC]["A2"]
    assert_allclose([row["dm_log_score"], row["pvalue_log_score"]], diebold_mariano(gain.to_numpy()))
    assert table.xs(DYNAMIC, level="method")["dm_rmse"].isna().all()
    shown = str(found)
    assert "rolling OLS" in shown and "16 periods" in shown and "1 fits" in shown


def test_missing_values() -> None:
    """A series that starts late has predictions once it has been seen; a missing target has no error."""
    y, x = simulated(np.random.default_rng(5), 40, 3)
    y.iloc[:24, 2] = np.nan
    y.iloc[35, 0] = np.nan
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov="diagonal", state_cov="scalar")
    found = rolling_evaluation(model, window=28, refit_every=6)
    assert found.predictions[STATIC].notna().to_numpy().all()
    assert np.isnan(found.errors.loc[y.index[35], (DYNAMIC, "A1")])
    assert found.errors.drop(index=y.index[35]).notna().to_numpy().all()
    assert found.summary().loc[("A1", DYNAMIC), "n"] == 11


def test_unknown_coefficients_give_no_prediction() -> None:
    """Before a late series is seen often enough its coefficients are diffuse."""
    y, x = simulated(np.random.default_rng(5), 30, 2)
    y.iloc[1:15, 1] = np.nan
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov=np.eye(2), state_cov=0.1 * np.eye(2))
    means, variances = _dynamic(model, np.zeros(0), 0, np.array([1, 2, 10, 17]), 1)
    assert_array_equal(np.isnan(means), [[True, True], [False, True], [False, True], [False, False]])
    assert_array_equal(np.isnan(variances), np.isnan(means))


def test_fixed_parameters_and_arrays() -> None:
    model = sse.DynamicRegression(
        Y.to_numpy(), X.to_numpy(), dynamics={"x2": "random_walk"}, state_cov="scalar"
    )
    with model.fix_params({"state_var.x2": 0.3}):
        found = rolling_evaluation(model, window=30, refit_every=3)
    assert list(found.predictions.index) == list(range(30, 36))
    free = rolling_evaluation(model, window=30, refit_every=3)
    assert not np.allclose(found.predictions[DYNAMIC], free.predictions[DYNAMIC])
    assert_array_equal(found.predictions[STATIC], free.predictions[STATIC])
    short = rolling_evaluation(model, window=30, fit_options={"maxiter": 1})
    assert not short.refits["converged"].any() and "did not converge" in str(short)


def test_on_the_data_of_the_question(shared_data: Path) -> None:
    y, x = berndt(shared_data)
    model = CAPM(y, x["MKT"], state_cov="proportional")
    table = rolling_evaluation(model, window=90, refit_every=30).summary()
    assert (table["n"] == 30).all() and table["rmse"].between(3, 9).all()


def test_as_a_method_of_the_results() -> None:
    options = {"window": 30, "steps": 2, "refit_every": 5, "expanding": False}
    model = model_of()
    found = model.smooth(model.start_params).rolling_evaluation(**options)
    assert_frame_equal(found.predictions, rolling_evaluation(model, **options).predictions)


def test_half_of_the_sample_by_default() -> None:
    assert len(rolling_evaluation(model_of(), refit_every=50).errors) == 18


def test_refusals() -> None:
    model = model_of()
    for bad in ({"window": 2}, {"window": 36}, {"window": 30, "steps": 7}, {"window": 0}, {"window": 2.5}):
        with pytest.raises(sse.SpecificationError, match="window"):
            rolling_evaluation(model, **bad)
    for name in ("steps", "refit_every"):
        with pytest.raises(sse.SpecificationError, match=name):
            rolling_evaluation(model, 20, **{name: 0})
    known = model_of(initialization="known", initial_state=np.zeros(4), initial_state_cov=np.eye(4))
    with pytest.raises(sse.SpecificationError, match="known start"):
        rolling_evaluation(known, 30, expanding=False)
    assert len(rolling_evaluation(known, 34).errors) == 2


def test_a_fit_that_fails_does_not_stop_the_others() -> None:
    """A series that is not there yet: no prediction until the next refit."""
    late = Y.copy()
    late.iloc[:22, 0] = np.nan
    with pytest.warns(UserWarning, match="1 of 3 windows failed and are left out; the first failure was D"):
        found = rolling_evaluation(model_of(late), 20, refit_every=7)
    assert found.refits["error"].iloc[0].startswith("DataError") and found.refits["error"].iloc[1] == ""
    assert "1 of which failed" in str(found)
    missing = found.predictions[DYNAMIC].isna().to_numpy()
    assert missing[:7].all() and not missing[7:].any()
    assert found.predictions[(STATIC, "A2")].notna().all()


def test_the_model_is_left_as_it_was() -> None:
    model = model_of()
    res = model.fit(method="lbfgs")
    before = model.ssm["state_cov"].copy(), res.params.copy(), pd.DataFrame(res.model.endog)
    rolling_evaluation(res, 30)
    for a, b in zip(before, (model.ssm["state_cov"], res.params, pd.DataFrame(res.model.endog)), strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("loss", ["log_score", "squared_error"])
def test_the_plot_adds_up_the_lead(loss: str) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    y, x = simulated(np.random.default_rng(6), 40, 3)
    y.iloc[35, 1] = np.nan
    model = sse.DynamicRegression(
        y, x, dynamics={"MKT": "random_walk"}, obs_cov="diagonal", state_cov="scalar"
    )
    found = model.smooth(model.start_params).rolling_evaluation(
        30, refit_every=5, fit_options={"method": "lbfgs"}
    )
    fig = found.plot(loss)
    axes = {axis.get_title(loc="left"): axis for axis in fig.axes}
    assert list(axes) == list(y.columns)
    for name, axis in axes.items():
        own, other = (found.errors[method][name] ** 2 for method in ("dynamic", "rolling OLS"))
        if loss == "log_score":
            own, other = (-found.log_scores[method][name] for method in ("dynamic", "rolling OLS"))
        line = {each.get_label(): each for each in axis.get_lines()}["over rolling OLS"]
        assert_allclose(line.get_ydata(), (other - own).cumsum())
    plt.close("all")
    with pytest.raises(sse.SpecificationError, match="loss"):
        found.plot("rmse")


def test_the_former_name_of_steps() -> None:
    res = model_of().smooth(model_of().start_params, cov_type="none")
    with pytest.warns(DeprecationWarning, match="'horizon' is now called 'steps'"):
        former = res.rolling_evaluation(window=24, horizon=2, refit_every=100)
    now = res.rolling_evaluation(window=24, steps=2, refit_every=100)
    assert_frame_equal(former.errors, now.errors)
