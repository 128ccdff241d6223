"""Rolling and expanding fits: each is the separate fit of its slice; failures, processes, checkpoints."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from yields import random_panel

import statespace_ext as sse
from statespace_ext.inference.many import of_parameters
from statespace_ext.inference.windows import diebold_mariano

Y, X = simulated(np.random.default_rng(31), 48, 2, move=0.4)


def regression(rows: slice = slice(None), **options: Any) -> Any:
    options = {"dynamics": BETA_MOVES, "state_cov": "scalar", **options}
    return sse.DynamicRegression(Y.iloc[rows], X.iloc[rows], **options)


@pytest.mark.parametrize("expanding", [False, True])
def test_each_window_is_the_fit_of_its_slice(expanding: bool) -> None:
    found = sse.rolling_fit(regression(), 30, 9, expanding=expanding)
    assert list(found.params.index) == [Y.index[29], Y.index[38], Y.index[47]]
    for i, end in enumerate((30, 39, 48)):
        begin = 0 if expanding else end - 30
        res = regression(slice(begin, end)).fit(method="lbfgs")
        assert_allclose(found.params.iloc[i], res.params, rtol=1e-6)
        assert_allclose(found.bse.iloc[i], res.bse, rtol=1e-4)
        fit = found.fits.iloc[i]
        assert fit["first"] == Y.index[begin] and fit["nobs"] == end - begin and fit["converged"]
        assert_allclose(fit["llf"], res.llf, rtol=1e-10)
        if end < 48:
            forecast = res.get_forecast(1, exog=X.iloc[[end]])
            row = found.forecasts.loc[Y.index[end]]
            assert_allclose(row["mean"], forecast.predicted_mean.iloc[0], rtol=1e-6)
            assert_allclose(row["se"], np.asarray(forecast.se_mean)[0], rtol=1e-6)
            assert_allclose(row["error"], Y.iloc[end] - row["mean"])
    assert len(found.forecasts) == 2


def test_inputs_of_both_equations_go_with_their_periods() -> None:
    rng = np.random.default_rng(3)
    index = pd.date_range("2001-01-01", periods=60, freq="MS")
    y = pd.DataFrame(rng.standard_normal((60, 2)), index=index, columns=["a", "b"])
    x = pd.Series(rng.standard_normal(60), index=index, name="x")
    u = pd.Series(rng.standard_normal(60), index=index, name="u")
    y["a"] += 2.0 * x

    def model(rows: slice) -> Any:
        given = {"exog": x.iloc[rows], "state_exog": u.iloc[rows]}
        return sse.LGSSM(y.iloc[rows], 1, identification="unit", **given)

    found = sse.rolling_fit(model(slice(None)), 40, 20)
    for i, rows in enumerate((slice(0, 40), slice(20, 60))):
        res = model(rows).fit(method="lbfgs", cov_type="none")
        assert_allclose(found.fits["llf"].iloc[i], res.llf, rtol=1e-10)
        assert_allclose(found.params.iloc[i], res.params, rtol=1e-4, atol=1e-6)


def test_the_term_structure() -> None:
    tau = [0.5, 2.0, 5.0, 10.0]
    y = random_panel(np.random.default_rng(0), 80, tau, 1)
    options = {"maturities": tau, "k_factors": 1}
    found = sse.rolling_fit(sse.ATSM(y, **options), 60, 20, fit_options={"method": "auto"})
    for i, rows in enumerate((slice(0, 60), slice(20, 80))):
        res = sse.ATSM(y.iloc[rows], **options).fit(cov_type="none")
        assert_allclose(found.fits["llf"].iloc[i], res.llf, rtol=1e-9)
        assert_allclose(found.params.iloc[i], res.params, rtol=1e-3, atol=1e-6)


def test_a_fit_that_ends_with_other_parameters_is_no_window() -> None:
    """As the default fit of "jsz" does, which goes on with pairs of roots."""
    y = random_panel(np.random.default_rng(0), 60, [0.5, 2.0, 5.0, 10.0], 2)
    model = sse.ATSM(y, [0.5, 2.0, 5.0, 10.0], 2)
    pairs = model.clone(y, identification="jsz-pairs")
    record = replace(next(sse.fit_many({"a": pairs}, {"maxiter": 0, "cov_type": "none"})), error="")
    assert list(record.params) == pairs.param_names
    same, other = (of_parameters([record], each.param_names)[0] for each in (pairs, model))
    assert same == record
    assert other.error.startswith("EstimationError: The fit went on with other parameters")
    assert other.params == other.bse == {}


def test_from_results_fits_start_there_and_keep_what_is_fixed() -> None:
    model = regression()
    with model.fix_params({"state_var.MKT": 0.3}):
        res = model.fit(method="lbfgs", cov_type="none")
    found = res.rolling(30, 18)
    assert (found.params["state_var.MKT"] == 0.3).all()
    part = regression(slice(18, 48))
    with part.fix_params({"state_var.MKT": 0.3}):
        want = part.fit(method="lbfgs", cov_type="none").params
    assert_allclose(found.params.iloc[1], want, rtol=1e-5)
    assert_allclose(found.full_sample, res.params)
    whole = res.rolling(48)
    assert_allclose(whole.params.iloc[0], res.params, rtol=1e-6)
    assert whole.forecasts.empty
    stopped = res.rolling(48, fit_options={"maxiter": 0})
    assert_allclose(stopped.params.iloc[0], res.params, rtol=1e-12)


def test_a_failure_does_not_stop_the_rest() -> None:
    y = Y.copy()
    y.iloc[:30, 0] = np.nan
    model = sse.DynamicRegression(y, X, dynamics=BETA_MOVES, state_cov="scalar")
    with pytest.raises(sse.EstimationError, match="Too few windows succeeded: got 1 of 2; .* DataError"):
        sse.rolling_fit(model, 28, 20)
    with pytest.warns(
        UserWarning, match="1 of 3 windows failed and are left out; the first failure was Data"
    ):
        found = sse.rolling_fit(model, 28, 10)
    assert found.fits["error"].iloc[0].startswith("DataError") and found.fits["error"].iloc[1] == ""
    assert found.params.iloc[0].isna().all() and found.params.iloc[1].notna().all()
    assert found.forecasts.iloc[0].isna().all()
    assert "1 failed, the first by DataError" in str(found)


def test_processes_and_a_checkpoint_change_nothing(tmp_path: Path) -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    file = tmp_path / "windows.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one = sse.rolling_fit(regression(), 30, 6, n_jobs=1, checkpoint=file)
        two = sse.rolling_fit(regression(), 30, 6, n_jobs=2)
    assert_array_equal(one.params, two.params)
    lines = file.read_text().splitlines()
    assert len(lines) == 1 + 4
    file.write_text("\n".join(lines[:3]) + "\n")
    again = sse.rolling_fit(regression(), 30, 6, checkpoint=file)
    assert_array_equal(one.params, again.params)
    assert file.read_text().splitlines()[:3] == lines[:3]


def test_arrays_and_one_series() -> None:
    y = np.cumsum(np.random.default_rng(0).standard_normal(50))
    model = sse.LGSSM(y, 1, design=[[1]], obs_intercept="zero", transition=[[1]], initialization="diffuse")
    found = sse.rolling_fit(model, 30, 10)
    assert list(found.params.index) == [29, 39, 49] and list(found.forecasts.index) == [30, 40]
    want = sse.LGSSM(
        y[10:40], 1, design=[[1]], obs_intercept="zero", transition=[[1]], initialization="diffuse"
    ).fit(method="lbfgs")
    assert_allclose(found.fits["llf"].iloc[1], want.llf, rtol=1e-10)
    frame = pd.DataFrame(y)  # a column that is named 0
    assert list(sse.rolling_fit(sse.LGSSM(frame, 1), 40, 5, fit_options={"maxiter": 1}).params.index) == [
        39, 44, 49,
    ]  # fmt: skip


def test_the_picture() -> None:
    found = regression().fit(method="lbfgs", cov_type="none").rolling(30, 9)
    fig = found.plot(alpha=0.1)
    assert sum(axis.get_visible() for axis in fig.axes) == found.params.shape[1]
    dated = [axis for axis in fig.axes if axis.get_visible() and axis.xaxis.get_tick_params()["labelbottom"]]
    assert len(dated) == 3  # of four panels in three columns
    lines = fig.axes[0].get_lines()
    assert_allclose(lines[0].get_ydata(), found.params.iloc[:, 0])
    assert_allclose(lines[1].get_ydata(), found.full_sample.iloc[0])
    assert len(found.plot(["state_var.MKT"]).axes) == 1
    with pytest.raises(sse.SpecificationError, match="names are unknown"):
        found.plot(["beta"])


@pytest.mark.parametrize("bad", [{"window": 0}, {"window": 49}, {"window": 30, "step": 1.5}])
def test_refusals(bad: dict[str, Any]) -> None:
    with pytest.raises(sse.SpecificationError, match="window|step"):
        sse.rolling_fit(regression(), **bad)


def test_a_known_start_cannot_roll() -> None:
    start = {"initial_state": np.zeros(4), "initial_state_cov": np.eye(4)}
    model = regression(initialization="known", **start)
    with pytest.raises(sse.SpecificationError, match="known start"):
        sse.rolling_fit(model, 30)
    assert len(sse.rolling_fit(model, 40, 8, expanding=True).params) == 2


def test_diebold_mariano() -> None:
    """With one lag, against the formula; by hand."""
    loss = np.random.default_rng(0).standard_normal(50) + 0.3
    t, pvalue = diebold_mariano(loss)
    assert_allclose(t, loss.mean() / np.sqrt(loss.var() / 49), rtol=1e-12)  # the correction for h = 1
    assert_allclose(pvalue, 2 * stats.t.sf(abs(t), 49))
    d = loss - loss.mean()
    variance = (d @ d + 2 * d[1:] @ d[:-1]) / 50
    correction = (50 + 1 - 4 + 2 / 50) / 50
    want = np.sqrt(correction) * loss.mean() / np.sqrt(variance / 50)
    assert_allclose(diebold_mariano(np.append(loss, np.nan), 2)[0], want)
    sawtooth = np.tile([1.0, -1.0], 10) + 0.1
    assert np.isfinite(diebold_mariano(sawtooth, 2)[0])  # the plain sum of autocovariances is negative
    for degenerate in (np.zeros(20), np.ones(2)):
        assert np.isnan(diebold_mariano(degenerate)).all()
