"""Predictions of missing cells beside a full covariance of the noise, against the dense joint Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_data import BUILD
from incomplete import EXOG, MODELS, N, dense, evaluated, lgssm, sample
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse

every_model = pytest.mark.parametrize("name", MODELS)
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def plain(res: Any, information_set: str, **options: Any) -> Any:
    """What statsmodels itself predicts."""
    return super(sse.LGSSMResults.__mro__[1], res._results).get_prediction(
        information_set=information_set, **options
    )


@every_model
def test_smoothed_predictions(name: str) -> None:
    y = sample()
    res = evaluated(name, y)
    mean, cov = dense(res.model, res.params, y.to_numpy())
    found = res.get_prediction(information_set="smoothed")
    missing = y.isna().to_numpy()
    assert_allclose(found.predicted_mean.to_numpy()[missing], mean[missing], **TIGHT)
    variance = np.diagonal(cov, axis1=1, axis2=2)
    assert_allclose(found.se_mean.to_numpy()[missing] ** 2, variance[missing], **TIGHT)
    for t in range(N):
        m = np.flatnonzero(missing[t])
        assert_allclose(found.var_pred_mean[t][np.ix_(m, m)], cov[t][np.ix_(m, m)], **TIGHT)


@every_model
def test_filtered_predictions(name: str) -> None:
    y = sample()
    res = evaluated(name, y)
    found = res.get_prediction(information_set="filtered")
    missing = y.isna().to_numpy()
    for t in range(6, N):
        m = np.flatnonzero(missing[t])
        mean, cov = dense(res.model, res.params, y.to_numpy()[: t + 1])
        assert_allclose(found.predicted_mean.to_numpy()[t, m], mean[t, m], **TIGHT)
        assert_allclose(found.var_pred_mean[t][np.ix_(m, m)], cov[t][np.ix_(m, m)], **TIGHT)


@every_model
@pytest.mark.parametrize("kind", ["smoothed", "filtered"])
def test_observed_cells_are_as_in_statsmodels(name: str, kind: str) -> None:
    """So are complete rows, empty rows, predictions one step ahead, and the signal."""
    y = sample()
    res = evaluated(name, y)
    found, theirs = res.get_prediction(information_set=kind), plain(res, kind)
    seen = y.notna().to_numpy()
    assert_array_equal(found.predicted_mean.to_numpy()[seen], theirs.predicted_mean.to_numpy()[seen])
    assert_allclose(found.se_mean.to_numpy()[seen], theirs.se_mean.to_numpy()[seen], rtol=1e-12)
    partly = seen.any(axis=1) & ~seen.all(axis=1)
    assert_array_equal(found.var_pred_mean[~partly], theirs.var_pred_mean[~partly])
    moved = np.abs(found.predicted_mean - theirs.predicted_mean).to_numpy()
    assert np.all(moved[~seen & partly[:, None]] > 1e-8)
    for options in ({"information_set": "predicted"}, {"information_set": kind, "signal_only": True}):
        ours, same = res.get_prediction(**options), plain(res, **options)
        assert_array_equal(ours.predicted_mean, same.predicted_mean)
        assert_array_equal(ours.var_pred_mean, same.var_pred_mean)


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("kind", ["smoothed", "filtered"])
def test_a_diagonal_covariance_is_as_in_statsmodels(name: str, kind: str) -> None:
    build, data = BUILD[name]
    y = np.array(data(), dtype=float)
    y[20:30, 1] = y[40] = np.nan
    model = build(y, obs_cov="diagonal")
    res = model.smooth(model.start_params)
    found, theirs = res.get_prediction(information_set=kind), plain(res, kind)
    assert_array_equal(found.predicted_mean, theirs.predicted_mean)
    assert_array_equal(found.var_pred_mean, theirs.var_pred_mean)


def test_every_table_of_a_prediction_has_them() -> None:
    y = sample()
    res = evaluated("LGSSM", y)
    mean, cov = dense(res.model, res.params, y.to_numpy())
    found = res.get_prediction(information_set="smoothed")
    t, se = N - 1, np.sqrt(cov[N - 1, 0, 0])
    assert_allclose(res.predict(information_set="smoothed").iloc[t, 0], mean[t, 0], rtol=1e-10)
    expected = [mean[t, 0], se, mean[t, 0] - 1.959963984540054 * se, mean[t, 0] + 1.959963984540054 * se]
    assert_allclose(found.summary_frame(endog=0).iloc[t], expected, rtol=1e-9)
    assert_allclose(found.conf_int().loc[y.index[t], ["lower a", "upper a"]], expected[2:], rtol=1e-9)
    assert_allclose(found.prediction_results.smoothed_forecasts[0, t], mean[t, 0], rtol=1e-10)


@pytest.mark.parametrize("name", ["LGSSM", "exog", "a user's"])
def test_part_of_the_sample_and_beyond_its_end(name: str) -> None:
    y, ahead = sample(), 3
    res = evaluated(name, y)
    future: dict[str, Any] = {}
    model = MODELS[name](y.reindex(pd.period_range(y.index[0], periods=N + ahead, freq="M")))
    if name == "exog":
        future["exog"] = EXOG[N : N + ahead]
    if name == "a user's":
        system = model.system(res.params)
        future |= {key: getattr(system, key)[:, :, N:] for key in ("design", "obs_cov")}
    mean, cov = dense(model, res.params, model.endog)
    for kind in ("smoothed", "filtered"):
        found = res.get_prediction(N - 1, N + ahead - 1, information_set=kind, **future)
        got = found.predicted_mean.to_numpy()
        assert_allclose(got[0, 0], mean[N - 1, 0], **TIGHT)
        assert_allclose(got[1:], mean[N:], **TIGHT)
        assert_allclose(found.var_pred_mean[1:], cov[N:], **TIGHT)
        assert_allclose(found.var_pred_mean[0, 0, 0], cov[N - 1, 0, 0], **TIGHT)


def test_dynamic_predictions() -> None:
    """From the period given on, nothing is observed: only what comes before takes in its row."""
    y = sample()
    y.iloc[N - 6] = [np.nan, 1.0, 0.5]
    res = evaluated("LGSSM", y)
    found = res.get_prediction(N - 6, N - 1, dynamic=2, information_set="filtered")
    mean, cov = dense(res.model, res.params, y.to_numpy()[: N - 5])
    assert_allclose(found.predicted_mean.iloc[0, 0], mean[-1, 0], **TIGHT)
    assert_allclose(found.var_pred_mean[0, 0, 0], cov[-1, 0, 0], **TIGHT)
    later, later_cov = dense(res.model, res.params, y.to_numpy()[: N - 4], N)
    assert_allclose(found.predicted_mean.to_numpy()[2:], later[N - 4 :], **TIGHT)
    assert_allclose(found.var_pred_mean[2:], later_cov[N - 4 :], **TIGHT)
    with pytest.raises(sse.UnsupportedError, match="dynamic prediction"):
        res.get_prediction(N - 6, N - 1, dynamic=2, information_set="smoothed")


@pytest.mark.parametrize("kind", ["append", "extend"])
def test_results_with_new_data(kind: str) -> None:
    y, more = sample(), sample(3)
    more.index = pd.period_range(y.index[-1] + 1, periods=N, freq="M")
    res = getattr(evaluated("LGSSM", y), kind)(more)
    mean, cov = dense(res.model if kind == "append" else lgssm(y), res.params, np.concatenate([y, more]))
    found = res.get_prediction(information_set="smoothed")
    missing = more.isna().to_numpy()
    assert_allclose(found.predicted_mean.to_numpy()[-N:][missing], mean[N:][missing], **TIGHT)
    variance = np.diagonal(cov[N:], axis1=1, axis2=2)
    assert_allclose(found.se_mean.to_numpy()[-N:][missing] ** 2, variance[missing], **TIGHT)


# -- imputation --------------------------------------------------------------------------------------------


@every_model
def test_imputed_data(name: str) -> None:
    y = sample()
    res = evaluated(name, y)
    mean, cov = dense(res.model, res.params, y.to_numpy())
    found = res.impute()
    for table in (found.data, found.se):
        pd.testing.assert_index_equal(table.index, y.index)
        assert list(table.columns) == list(y.columns)
    assert_allclose(found.data, mean, **TIGHT)
    assert_allclose(found.se**2, np.diagonal(cov, axis1=1, axis2=2), **TIGHT)
    seen = y.notna().to_numpy()
    assert_array_equal(found.data.to_numpy()[seen], y.to_numpy()[seen])
    assert np.all(found.se.to_numpy()[seen] == 0.0) and np.all(found.se.to_numpy()[~seen] >= 0.0)
    assert_array_equal(res.model.endog, y)


@pytest.mark.parametrize("name", BUILD)
def test_imputed_data_of_every_class(name: str) -> None:
    build, data = BUILD[name]
    y = np.array(data(), dtype=float)
    y[20:30, 1] = y[40] = np.nan
    model = build(y)
    res = model.smooth(model.start_params)
    found, smoothed = res.impute(), res.get_prediction(information_set="smoothed")
    missing = np.isnan(y)
    assert_allclose(found.data.to_numpy()[missing], np.asarray(smoothed.predicted_mean)[missing], rtol=1e-12)
    assert_allclose(found.se.to_numpy()[missing], np.asarray(smoothed.se_mean)[missing], rtol=1e-12)
    assert list(found.data.columns) == list(np.atleast_1d(model.endog_names))


def test_a_series_gives_series() -> None:
    y = sample()["b"]
    model = sse.LGSSM(y, 1, identification="unit")
    found = model.smooth(model.start_params).impute()
    assert isinstance(found.data, pd.Series) and isinstance(found.se, pd.Series)
    pd.testing.assert_series_equal(found.data[y.notna()], y[y.notna()])


def test_states_that_were_not_smoothed() -> None:
    model = lgssm(sample())
    with pytest.raises(sse.SpecificationError, match="not smoothed"):
        model.filter(model.start_params).impute()


def test_a_perfectly_correlated_cell() -> None:
    """With H of rank one, a missing cell has no noise of its own."""
    y = sample()[["a", "c"]]
    y["c"] = y["c"].fillna(0.0)
    model = sse.LGSSM(
        y, 1, design=[[0.0], [1.0]], transition=[[0.5]], obs_intercept="zero", state_cov=[[1.0]],
        obs_cov=[[1.0, 0.8], [0.8, 0.64]],
    )  # fmt: skip
    res = model.smooth([])
    mean, cov = dense(model, [], y.to_numpy())
    found = res.impute()
    assert_allclose(found.data, mean, **TIGHT)
    assert_allclose(found.se**2, np.diagonal(cov, axis1=1, axis2=2), **TIGHT)
