"""Forecasts that contain the uncertainty of the parameters, and their picture."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_data import factor_series, frame, lgssm, regression, returns
from numpy.testing import assert_allclose, assert_array_equal
from small_subjects import SMALL, derivatives, regressors, with_errors
from walk_subjects import N

import statespace_ext as sse

matplotlib = pytest.importorskip("matplotlib")

every_model = pytest.mark.parametrize("name", SMALL)


def means(name: str, periods: int = 3) -> Any:
    """Return a function: from parameters to the forecasts, by a filter over the data and empty rows."""
    s = SMALL[name]
    y = s.y.iloc[: N + periods].copy()
    y.iloc[N:] = np.nan
    model = s.model().clone(y, **regressors(name, N + periods))
    return lambda params: np.asarray(model.filter(params, cov_type="none").forecasts).T[N:]


@every_model
def test_the_delta_method(name: str) -> None:
    """Z P Z' + H + J Sigma J', with J from another pass, and past the sample in `get_prediction` too."""
    res, s = with_errors(name), SMALL[name]
    plain, found = (res.get_forecast(3, param_uncertainty=each, **s.future(3)) for each in (False, True))
    J = derivatives(means(name), s.params)
    added = J @ np.asarray(res.cov_params()) @ J.transpose(0, 2, 1)
    change = np.asarray(found.var_pred_mean) - np.asarray(plain.var_pred_mean)
    assert_allclose(change.reshape(added.shape), added, rtol=1e-5, atol=1e-12 * added.max())
    assert added.diagonal(axis1=1, axis2=2).min() > 0
    assert_array_equal(found.predicted_mean, plain.predicted_mean)
    variances = np.diagonal(np.asarray(found.var_pred_mean).reshape(added.shape), axis1=1, axis2=2)
    assert_allclose(np.reshape(found.se_mean, variances.shape) ** 2, variances)
    assert (found.conf_int().iloc[:, 0] < plain.conf_int().iloc[:, 0]).all()
    both = res.get_prediction(N - 2, N + 2, param_uncertainty=True, **s.future(3))
    assert_allclose(both.var_pred_mean[2:], found.var_pred_mean, rtol=1e-9)
    assert both.predicted_mean.index[2:].equals(found.predicted_mean.index)


@pytest.mark.parametrize("name", ["LGSSM", "CAPM"])
def test_draws_of_the_parameters(name: str) -> None:
    """The variance of forecasts at parameters drawn close to the estimates, in units of their spread."""
    res, s, share = with_errors(name), SMALL[name], 1e-2
    plain, found = (
        res.get_forecast(2, param_uncertainty=each, **s.future(2)).se_mean for each in (False, True)
    )
    rng, at = np.random.default_rng(0), means(name, 2)
    draws = rng.multivariate_normal(s.params, share**2 * np.asarray(res.cov_params()), 100)
    spread = np.var([at(draw) for draw in draws], axis=0) / share**2
    assert_allclose(found**2 - plain**2, spread, rtol=0.5)


def test_a_regression_with_known_variance_is_exact() -> None:
    """Generalised least squares: Var = s2 (1 + x'(X'X)^{-1} x) of each forecast, here exactly."""
    rng = np.random.default_rng(5)
    x = pd.DataFrame({"u": rng.standard_normal(32)})
    y = pd.DataFrame({"a": 1.0 + 2.0 * x["u"] + rng.standard_normal(32)}).iloc[:30]
    y.iloc[7] = np.nan
    model = sse.LGSSM(y, 1, exog=x.iloc[:30], design=[[0.0]], transition=[[0.5]], state_cov=[[1.0]],
                      obs_cov=[[1.7]], identification=None)  # fmt: skip
    res = model.fit()
    X = np.column_stack([np.ones(32), x])
    inverse = np.linalg.inv(X[:30][y["a"].notna()].T @ X[:30][y["a"].notna()])
    found = res.get_forecast(2, exog=x.iloc[30:], param_uncertainty=True)
    expected = 1.7 * (1.0 + np.einsum("ti,ij,tj->t", X[30:], inverse, X[30:]))
    assert_allclose(found.var_pred_mean, expected, rtol=1e-7)
    assert_allclose(found.se_mean, np.sqrt(expected), rtol=1e-7)
    frame = found.summary_frame()
    assert_allclose(frame["mean_se"], np.sqrt(expected), rtol=1e-7)


def test_yields_have_the_errors_of_their_own_method() -> None:
    res = with_errors("ATSM")
    own = res.forecast_yields(4)
    assert_allclose(res.get_forecast(4, param_uncertainty=True).se_mean, own.se, rtol=1e-5)


@every_model
def test_ways(name: str) -> None:
    """Copies, and data that go on, give what a model of all data does; `extend` says why it does not."""
    s, future = SMALL[name], {} if SMALL[name].x is None else {"exog": SMALL[name].x.iloc[:2]}
    last = pd.period_range(pd.Period(s.y.index[-1], freq="M") + 1, periods=2, freq="M")
    if future:
        labels = last if isinstance(s.y.index, pd.PeriodIndex) else last.to_timestamp()
        future = {"exog": s.x.iloc[:2].set_axis(labels, axis=0)}

    def variance(res: Any) -> np.ndarray:
        return res.get_forecast(2, param_uncertainty=True, **future).var_pred_mean

    first = with_errors(name)
    expected = variance(with_errors(name, s.y))
    appended = first.append(s.more(), **s.more_regressors())
    assert_allclose(variance(appended), expected, rtol=1e-6)
    assert_allclose(variance(pickle.loads(pickle.dumps(appended))), expected, rtol=1e-6)
    assert_allclose(variance(first.apply(s.y, **s.longer_regressors())), expected, rtol=1e-6)
    extended = first.extend(s.more(), **s.more_regressors())
    for each in (extended, pickle.loads(pickle.dumps(extended)), copy.deepcopy(extended)):
        with pytest.raises(sse.UnsupportedError, match="append"):
            variance(each)


@every_model
def test_the_model_may_be_used_for_something_else(name: str) -> None:
    """Results of their own start and parameters, whatever the model holds; and it is left as it was."""
    s, res = SMALL[name], with_errors(name)
    expected = res.get_forecast(2, param_uncertainty=True, **s.future(2)).var_pred_mean
    res.model.ssm.initialize_approximate_diffuse(1e3)
    res.model.smooth(s.other)
    held = {key: np.array(res.model.ssm[key]) for key in ("transition", "obs_cov", "state_cov")}
    start = res.model.ssm.initialization
    found = res.get_forecast(2, param_uncertainty=True, **s.future(2)).var_pred_mean
    assert_allclose(found, expected, rtol=1e-9)
    assert res.model.ssm.initialization is start
    for key, value in held.items():
        assert_array_equal(res.model.ssm[key], value)


def test_a_warning_is_given_once() -> None:
    y = SMALL["SmoothTrends"].y.iloc[:N]
    res = with_errors("SmoothTrends", y.set_axis([f"row {i:02d}" for i in range(N)], axis=0))
    with pytest.warns(UserWarning, match="no frequency") as seen:
        res.get_forecast(2, param_uncertainty=True)
    assert len(seen) == 1


def test_smoothed_and_filtered_predictions_of_missing_cells() -> None:
    """Inside the sample the derivatives are those of what the information set says."""
    res, s = with_errors("LGSSM"), SMALL["LGSSM"]
    for kind in ("filtered", "smoothed"):
        options = {"start": 5, "end": 9, "information_set": kind}
        plain, found = (res.get_prediction(**options, param_uncertainty=each) for each in (False, True))

        def mean(params: np.ndarray, options: Any = options) -> np.ndarray:
            other = s.model().smooth(params, cov_type="none")
            return np.asarray(other.get_prediction(**options).predicted_mean)

        J = derivatives(mean, s.params)
        added = J @ np.asarray(res.cov_params()) @ J.transpose(0, 2, 1)
        assert_allclose(found.var_pred_mean - plain.var_pred_mean, added, rtol=1e-5, atol=1e-9)


def test_fixed_parameters_are_known() -> None:
    s = SMALL["LGSSM"]
    model, names = s.model(), list(s.model().param_names)
    fixed = dict(zip(names, s.params.tolist(), strict=True))
    with model.fix_params(fixed):
        res = model.smooth(s.params, includes_fixed=True)
    plain, found = (res.get_forecast(3, param_uncertainty=each).var_pred_mean for each in (False, True))
    assert_array_equal(plain, found)


def test_the_intercepts_alone() -> None:
    """Far ahead the forecast is the intercept, and has its covariance."""
    model = lgssm(frame(factor_series()))
    fitted = model.fit().params
    with model.fix_params(dict(fitted[[not name.startswith("obs_int") for name in fitted.index]])):
        res = model.smooth(fitted, includes_fixed=True)
    place = [i for i, name in enumerate(fitted.index) if name.startswith("obs_int")]
    cov = np.asarray(res.params_cov.cov)[np.ix_(place, place)]
    plain, found = (res.get_forecast(90, param_uncertainty=each).var_pred_mean for each in (False, True))
    assert len(place) == 3 and np.diag(cov).min() > 0
    assert_allclose((found - plain)[-1], cov, rtol=1e-6)


def test_without_standard_errors() -> None:
    """NaN for the series whose forecast depends on a variance at zero; an error where that is all."""
    y = frame(returns())
    res = regression(y).fit()
    assert res.boundary == ["state_var.MKT.b"]
    x = pd.DataFrame({"MKT": [0.4, 1.0], "const": 1.0})
    found = res.get_forecast(2, exog=x, param_uncertainty=True)
    plain = res.get_forecast(2, exog=x)
    assert found.se_mean["b"].isna().all() and (found.se_mean > plain.se_mean)[["a", "c"]].all(axis=None)
    one = regression(y[["b"]]).fit()
    with pytest.raises(sse.UnsupportedError, match=r"no standard error of state_var.MKT.b"):
        one.get_forecast(2, exog=x, param_uncertainty=True)
    low = one.model.filter(one.params, low_memory=True)
    for call in (low.get_forecast, low.plot_forecast):
        with pytest.raises(sse.UnsupportedError, match="low_memory"):
            call(2, exog=x, param_uncertainty=True)
    none = lgssm(factor_series()).fit(cov_type="none")
    with pytest.raises(sse.UnsupportedError, match="no standard error of loading"):
        none.get_forecast(2, param_uncertainty=True)


@pytest.mark.parametrize("wrong", [1, "yes", None, 0.5])
def test_bad_input(wrong: Any) -> None:
    res = with_errors("LGSSM")
    with pytest.raises(sse.SpecificationError, match="param_uncertainty must be true or false"):
        res.get_forecast(2, param_uncertainty=wrong)
    with pytest.raises(TypeError, match="param_uncertainty"):
        res.get_forecast(2, param_uncertain=True)


# -- the picture -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "uncertain"), [*((name, False) for name in SMALL), ("CAPM", True)])
def test_a_fan(name: str, uncertain: bool) -> None:
    """A panel a series; the outer band is the interval of 95 %; the legend says what it contains."""
    res, s = with_errors(name), SMALL[name]
    fig = res.plot_forecast(3, history=10, param_uncertainty=uncertain, **s.future(3))
    names = np.atleast_1d(res.model.endog_names).tolist()
    assert [axis.get_title(loc="left") for axis in fig.axes] == names
    words = " ".join(text.get_text() for text in fig.legends[0].get_texts())
    assert ("uncertainty of the parameters included" in words) == uncertain
    assert ("given the parameters" in words) != uncertain and "50, 80, 95 %" in words
    ends = res.get_forecast(3, param_uncertainty=uncertain, **s.future(3)).conf_int(alpha=0.05)
    for i, axis in enumerate(fig.axes):
        heights = axis.collections[2].get_paths()[0].vertices[:, 1]
        for edge in (ends.iloc[:, i], ends.iloc[:, len(names) + i]):
            assert np.abs(heights[:, None] - edge.to_numpy()).min(axis=0).max() < 1e-9
        observed = axis.lines[0].get_ydata()
        assert_allclose(observed[:10], np.asarray(res.model.endog)[-10:, i])
        assert np.isnan(observed[10:]).all() and len(observed) == 13
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("labels", ["none", "texts", "dates", "numbers"])
def test_fans_with_any_index(labels: str) -> None:
    y = frame(factor_series())
    n = len(y)
    index = {
        "none": None, "texts": [f"row {i:02d}" for i in range(n)],
        "dates": pd.date_range("2001-01-31", periods=n, freq="ME" if pd.__version__ >= "2.2" else "M"),
        "numbers": np.arange(1900, 1900 + n),
    }[labels]  # fmt: skip
    y = y.to_numpy() if index is None else y.set_axis(index, axis=0)
    model = lgssm(y)
    res = model.smooth(model.start_params)
    with pytest.warns() if labels == "texts" else _nothing():
        fig = res.plot_forecast(2, model.endog_names[1], levels=0.9, history=1000)
    assert len(fig.axes) == 1 and len(fig.axes[0].lines[0].get_ydata()) == n + 2
    matplotlib.pyplot.close("all")


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...


@pytest.mark.parametrize("way", ["append", "extend"])
@pytest.mark.parametrize("later", [np.asarray, pd.DataFrame], ids=["array", "frame"])
def test_new_periods_of_labelled_series_beside_an_array_of_regressors(way, later) -> None:
    dates = pd.period_range("2001-01", periods=60, freq="M")
    y, x = pd.DataFrame(factor_series()[:, :2], dates, ["a", "b"]), np.cos(np.arange(60.0))[:, None]
    model, part = sse.LGSSM(y, 1, exog=x), sse.LGSSM(y[:-5], 1, exog=x[:-5])
    params = model.start_params
    rows = (
        later(x[-5:])
        if later is np.asarray
        else pd.DataFrame(x[-5:], dates[-5:], part.regressor_names["exog"])
    )
    res = getattr(part.smooth(params), way)(y[-5:], exog=rows)
    assert list(res.model.data.row_labels)[-5:] == list(dates[-5:])
    expected = model.loglikeobs(params)
    assert_allclose(res.llf, expected.sum() if way == "append" else expected[-5:].sum(), rtol=1e-10)


def test_columns_with_numbers_as_names() -> None:
    y, x = pd.DataFrame(factor_series()[:, :2]), pd.DataFrame(np.cos(np.arange(60)))
    with_exog = sse.LGSSM(y[:-1], 1, exog=x[:-1])
    longer = with_exog.smooth(with_exog.start_params).append(y[-1:], x[-1:])
    assert list(longer.model.data.orig_exog) == [0] and longer.nobs == 60
    model = sse.LGSSM(y, 1)
    res = model.smooth(model.start_params)
    titles = [axis.get_title() for axis in res.plot_diagnostics("1").axes]
    assert titles[0] == 'Standardized residual for "1"'
    assert [axis.get_title(loc="left") for axis in res.plot_forecast(2).axes] == ["0", "1"]
    (axis,) = res.plot_forecast(2, series="1").axes
    assert axis.get_title(loc="left") == "1"
    found = res.get_forecast(2)
    pd.testing.assert_frame_equal(found.summary_frame(endog="1"), found.summary_frame(endog=1))
    with pytest.raises(sse.DataError, match="does not have the columns of the model"):
        model.clone(model.data.orig_endog[[1, 0]])


def test_a_fan_without_intervals_says_so() -> None:
    y = frame(returns())
    res = regression(y).fit()
    x = pd.DataFrame({"MKT": [0.4, 1.0], "const": 1.0})
    fig = res.plot_forecast(2, exog=x, param_uncertainty=True)
    assert [axis.get_title(loc="left") for axis in fig.axes] == [
        "a", "b: a parameter has no standard error", "c",
    ]  # fmt: skip
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"series": "zz"}, "series are unknown"), ({"levels": 95}, "levels must be between 0 and 1"),
     ({"levels": []}, "levels must not be empty"), ({"history": 0}, "history must be a positive"),
     ({"fig": 3}, "fig")],
)  # fmt: skip
def test_bad_pictures(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(sse.SpecificationError, match=match):
        with_errors("LGSSM").plot_forecast(2, **wrong)


# -- coverage ----------------------------------------------------------------------------------------------


@pytest.mark.slow  # 300 fits
def test_coverage_on_simulated_data() -> None:
    """Intervals that contain the uncertainty of the parameters cover nearly what they say; others less."""
    rng, inside, n = np.random.default_rng(1), {False: [], True: []}, 20
    for _ in range(300):
        e, y = rng.standard_normal(n + 54), np.zeros(n + 54)
        for t in range(2, n + 54):
            y[t] = 0.5 * y[t - 1] - 0.3 * y[t - 2] + e[t]
        y = 2.0 + y[50:]
        model = sse.LGSSM(y[:n], 1, lags=2, design=[[1.0]], obs_cov="zero")
        res = model.fit()
        for uncertain, found in inside.items():
            low, high = np.asarray(res.get_forecast(4, param_uncertainty=uncertain).conf_int()).T
            found.append((low < y[n:]) & (y[n:] < high))
    covered = {uncertain: float(np.mean(found)) for uncertain, found in inside.items()}
    print(covered)
    assert covered[True] > covered[False] + 0.01
    assert abs(covered[True] - 0.95) < abs(covered[False] - 0.95)
    assert covered[True] > 0.9
