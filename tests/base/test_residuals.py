"""Residuals against published figures, the dense joint Gaussian and the filter without a cell."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from edge_data import BUILD
from incomplete import MODELS, N, dense, evaluated, lgssm, sample
from numpy.testing import assert_allclose
from statsmodels.stats.diagnostic import acorr_ljungbox

import statespace_ext as sse
from statespace_ext.base.residuals import portmanteau

every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def nile() -> Any:
    """Return the local level of the Nile with an exact-diffuse start at the estimates of Durbin & Koopman."""
    data = sm.datasets.nile.load_pandas().data
    y = pd.Series(data["volume"].to_numpy(), index=data["year"].astype(int).to_numpy(), name="volume")
    given = {"design": [[1.0]], "transition": [[1.0]], "obs_intercept": "zero"}
    model = sse.LGSSM(y, 1, initialization="diffuse", **given)
    assert model.param_names == ["obs_var.volume", "state_var.f1"]
    return model.smooth(np.array([15098.5209, 1469.1756]))


@pytest.mark.parametrize("box_pierce", [False, True])
def test_portmanteau_is_that_of_statsmodels(box_pierce: bool) -> None:
    series, lags = np.random.default_rng(0).standard_normal(120).cumsum(), np.array([1, 3, 7])
    want = acorr_ljungbox(series, lags, boxpierce=True, model_df=2)
    want = want[["bp_stat", "bp_pvalue"] if box_pierce else ["lb_stat", "lb_pvalue"]].to_numpy().T
    assert_allclose(portmanteau(series, lags, box_pierce, 2), want, rtol=1e-11)


def test_auxiliary_residuals_of_the_nile(nile: Any) -> None:
    """The standardised smoothed disturbances of Harvey & Koopman (1992), by KFAS 1.5."""
    found = nile.residuals("auxiliary")
    y, level = found["observation"].iloc[:, 0], found["state"].iloc[:, 0]
    want = {1913: -3.0391, 1877: -2.5050, 1964: 2.2796}
    assert_allclose(y[list(want)], list(want.values()), atol=5e-5)
    want = {1898: -3.2337, 1896: -2.6391, 1897: -2.5843}
    assert_allclose(level[list(want)], list(want.values()), atol=5e-5)
    assert np.isnan(level.iloc[-1]) and y.notna().all()
    table = nile.outliers(2.5)
    assert list(zip(table["period"], table["equation"], strict=True)) == [
        (1898, "state"), (1913, "observation"), (1896, "state"), (1897, "state"), (1877, "observation"),
    ]  # fmt: skip
    assert_allclose(table["statistic"].iloc[0], level[1898], rtol=1e-8)


@every_model
def test_smoothed_and_auxiliary_residuals(name: str) -> None:
    """Against generalised least squares on the joint covariance: diffuse states are its coefficients."""
    y = sample()
    res = evaluated(name, y)
    mean, X, signal, noise = joint(res)
    seen = y.notna().to_numpy().ravel()
    H, X = noise[np.ix_(seen, seen)], X[seen]
    inverse = np.linalg.inv(signal[np.ix_(seen, seen)] + H)
    weights = inverse - inverse @ X @ np.linalg.pinv(X.T @ inverse @ X) @ X.T @ inverse
    hat = H @ weights @ (y.to_numpy().ravel() - mean)[seen]
    sd = np.sqrt(np.diag(H @ weights @ H))
    for kind in ("smoothed", "auxiliary"):
        found = [res.residuals(kind, standardize=each) for each in (False, True)]
        raw, scaled = ((each["observation"] if kind == "auxiliary" else each) for each in found)
        assert_allclose(raw.to_numpy().ravel()[seen], hat, rtol=1e-7, atol=1e-8)
        assert_allclose(scaled.to_numpy().ravel()[seen], hat / sd, rtol=1e-6, atol=1e-8)
        assert raw.isna().to_numpy().ravel()[~seen].all()
        pd.testing.assert_index_equal(raw.index, y.index)


def joint(res: Any) -> tuple[np.ndarray, ...]:
    """Return the mean of all cells, their loadings on diffuse states, and covariances of signal and noise."""
    at = res.filter_results

    def over_time(name: str) -> np.ndarray:
        return np.moveaxis(np.broadcast_to(getattr(at, name), (*getattr(at, name).shape[:-1], N)), -1, 0)

    T, Z, H, R, Q, c, d = map(
        over_time,
        ("transition", "design", "obs_cov", "selection", "state_cov", "state_intercept", "obs_intercept"),
    )
    k, p = T.shape[1], Z.shape[1]
    diffuse = at.initial_diffuse_state_cov
    mean, loads = [np.array(at.initial_state)], [np.zeros((k, k)) if diffuse is None else np.array(diffuse)]
    states = np.zeros((N, k, N, k))
    states[0, :, 0] = at.initial_state_cov
    for t in range(N - 1):
        mean.append(T[t] @ mean[t] + c[t])
        loads.append(T[t] @ loads[t])
        for s in range(t + 1):
            states[t + 1, :, s] = T[t] @ states[t, :, s]
            states[s, :, t + 1] = states[t + 1, :, s].T
        states[t + 1, :, t + 1] = T[t] @ states[t, :, t] @ T[t].T + R[t] @ Q[t] @ R[t].T
    noise = np.zeros((N, p, N, p))
    noise[range(N), :, range(N)] = H
    return (
        (np.einsum("tik,tk->ti", Z, mean) + d).ravel(),
        (Z @ np.array(loads)).reshape(N * p, k),
        np.einsum("tik,tksl,sjl->tisj", Z, states, Z).reshape(N * p, N * p),
        noise.reshape(N * p, N * p),
    )


@every_model
def test_without_a_cell(name: str) -> None:
    """What `outliers` says of a cell is what the smoother says of it where it is missing."""
    y = sample()
    y.iloc[12, 0] += 30.0
    res = evaluated(name, y)
    table = res.outliers(1.5)
    cells = table[table["equation"] == "observation"]
    assert len(cells) >= 3 and cells["statistic"].abs().is_monotonic_decreasing
    for row in cells.head(3).itertuples():
        less = y.copy()
        less.loc[row.period, row.name] = np.nan
        mean, cov = dense(res.model, res.params, less.to_numpy())
        at = y.index.get_loc(row.period), list(y.columns).index(row.name)
        assert_allclose(row.without, mean[at], rtol=1e-8, atol=1e-8)
        assert_allclose(row.se**2, cov[at[0]][at[1], at[1]], rtol=1e-7)
        assert_allclose(row.size, y.iloc[at] - row.without, rtol=1e-7)
        assert_allclose(row.statistic, row.size / row.se, rtol=1e-9)


def test_a_break_is_the_estimate_of_a_dummy(nile: Any) -> None:
    """The size of a break in the level is the coefficient of a step, by generalised least squares."""
    row = nile.outliers(3.1).iloc[0]
    y, n = nile.model.endog[:, 0], nile.nobs
    step = (np.arange(n) > list(nile.model.calendar.labels).index(row["period"])).astype(float)
    levels = 1469.1756 * np.minimum.outer(np.arange(n), np.arange(n)) + 15098.5209 * np.eye(n)
    X, inverse = np.column_stack([np.ones(n), step]), np.linalg.inv(levels)
    cov = np.linalg.inv(X.T @ inverse @ X)
    assert_allclose(row["size"], (cov @ X.T @ inverse @ y)[1], rtol=1e-6)
    assert_allclose(row["se"], np.sqrt(cov[1, 1]), rtol=1e-6)


@pytest.mark.parametrize("name", BUILD)
def test_every_class(name: str) -> None:
    """Innovations are those of statsmodels; copies give the same; `augment` has a row a cell."""
    build, data = BUILD[name]
    y = np.array(data(), dtype=float)
    y[20:30, 1] = y[40] = np.nan
    model = build(y)
    res = model.smooth(model.start_params)
    first, seen = int(res.filter_results.nobs_diffuse), ~np.isnan(model.endog)
    found = res.residuals().to_numpy()
    want = np.asarray(res.standardized_forecasts_error).T
    assert_allclose(found[first:][seen[first:]], want[first:][seen[first:]])
    assert np.isnan(found[~seen]).all() and np.isnan(found[:first]).all()
    raw = res.residuals(standardize=False).to_numpy()
    assert_allclose(raw[first:], np.asarray(res.resid)[first:])
    for other in (pickle.loads(pickle.dumps(res)), copy.deepcopy(res)):
        pd.testing.assert_frame_equal(other.residuals("auxiliary"), res.residuals("auxiliary"))
    table = res.augment()
    assert len(table) == y.size and list(table["series"][: y.shape[1]]) == list(
        np.atleast_1d(model.endog_names)
    )
    begun = table.iloc[: first * y.shape[1]]
    assert begun[["fitted", "std_error", "residual"]].isna().all(axis=None)
    assert_allclose((table["observed"] - table["residual"])[table["residual"].notna()],
                    table["fitted"][table["residual"].notna()], rtol=1e-9, atol=1e-9)  # fmt: skip


def test_a_fit_without_covariances() -> None:
    res = lgssm(sample()).filter(np.zeros(0), low_memory=True)
    assert res.residuals().notna().any(axis=None)
    with pytest.raises(sse.UnsupportedError, match="low_memory"):
        res.augment()


def test_diagnostics_of_a_fit_without_covariances_leave_out_missing_values() -> None:
    model = lgssm(sample())
    low, whole = model.filter(np.zeros(0), low_memory=True), model.filter(np.zeros(0))
    assert low.model.endog[:, 0].size > np.isfinite(low.model.endog[:, 0]).sum()
    for test, method in (("serial_correlation", "ljungbox"), ("normality", "jarquebera"),
                         ("heteroskedasticity", "breakvar")):  # fmt: skip
        found, want = (getattr(res, f"test_{test}")(method) for res in (low, whole))
        assert_allclose(found, want, rtol=1e-10)


def test_a_singular_covariance_has_no_single_disturbance() -> None:
    res = lgssm(sample(), state_cov=np.ones((2, 2))).smooth(np.zeros(0))
    table = res.outliers(0.5)
    assert set(table["equation"]) == {"observation"} and np.isfinite(table["size"]).all()


def test_bad_input(nile: Any) -> None:
    with pytest.raises(sse.SpecificationError, match="kind"):
        nile.residuals("smooth")
    for wrong in (0, -1.0, "3", np.nan, True):
        with pytest.raises(sse.SpecificationError, match="threshold must be a positive number"):
            nile.outliers(wrong)
    filtered = nile.model.filter(nile.params)
    assert filtered.residuals().notna().sum().item() == 99
    with pytest.raises(sse.SpecificationError, match="not smoothed"):
        filtered.residuals("auxiliary")
