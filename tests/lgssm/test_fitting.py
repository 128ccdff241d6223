"""What LGSSM has from statsmodels' MLEModel, and where that bites: clones, forecasts, fixing, pickling."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from oracle import Dense, dense, dense_diffuse
from scipy.optimize import minimize
from statsmodels.multivariate.factor_rotation import rotate_factors
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse

unidentified = pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
not_converged = pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")

N, H = 50, 4
DESIGN = np.array([[1.0, 0.0], [0.5, 1.0], [-0.3, 0.8]])


# -- data and models ---------------------------------------------------------------------------------------


def panel(n: int = N, missing: bool = True) -> np.ndarray:
    """Draw 3 series from two AR(1) factors, a level each, some values missing."""
    rng = np.random.default_rng(11)
    x = np.zeros((n, 2))
    for t in range(1, n):
        x[t] = [0.8, 0.4] * x[t - 1] + rng.normal(size=2)
    y = x @ DESIGN.T + [1.0, -2.0, 0.5] + 0.7 * rng.normal(size=(n, 3))
    if missing:
        y[rng.random((n, 3)) < 0.1] = np.nan
        y[n // 2] = np.nan
    return y


def regressors(n: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns))


def ar1(n: int = 120, seed: int = 13) -> np.ndarray:
    """Draw an AR(1) with a mean, observed with noise."""
    rng = np.random.default_rng(seed)
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = 0.8 * x[t - 1] + rng.normal()
    return x + 2.0 + 0.6 * rng.normal(size=n)


def over_time(matrix: np.ndarray, periods: int) -> np.ndarray:
    """Return a matrix (or a vector) that changes a little from period to period, on a last axis."""
    wave = 1.0 + 0.1 * np.sin(np.arange(periods))
    return np.asarray(matrix, dtype=float)[..., None] * wave


STARTS: dict[str, dict] = {
    "stationary": {},
    "stationary, two lags": {"lags": 2},
    "stationary, means": {"state_intercept": [0.3, np.nan]},
    "known": {
        "initialization": "known",
        "initial_state": [1.0, -1.0],
        "initial_state_cov": [[2.0, 0.5], [0.5, 1.0]],
    },
    "estimated": {"initialization": "estimated"},
    "estimated with covariance": {"initialization": "estimated", "initial_state_cov": "free"},
    "diffuse": {"initialization": "diffuse", "design": DESIGN},
    "approximate_diffuse": {"initialization": "approximate_diffuse"},
}
REGRESSORS: dict[str, dict] = {
    "exog": {"exog": regressors(N, 2, 1)},
    "state_exog": {"state_exog": regressors(N, 1, 2)},
    "both": {"exog": regressors(N, 2, 1), "state_exog": regressors(N, 1, 2)},
    "both, two lags": {"lags": 2, "exog": regressors(N, 2, 1), "state_exog": regressors(N, 1, 2)},
    "both, diffuse": {
        "initialization": "diffuse",
        "design": DESIGN,
        "exog": regressors(N, 2, 1),
        "state_exog": regressors(N, 1, 2),
    },
}
MODELS = STARTS | REGRESSORS
every_model = pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS.keys())


def build(spec: Mapping, y: np.ndarray | None = None, **more: object) -> sse.LGSSM:
    return sse.LGSSM(panel() if y is None else y, 2, **{**spec, **more})


def smoothed(spec: Mapping, y: np.ndarray | None = None) -> sse.LGSSMResults:
    """Return results at the default start values: no fit is needed to look at the mechanics."""
    model = build(spec, y)
    return model.smooth(model.start_params)


def future(spec: Mapping, steps: int = H) -> dict[str, np.ndarray]:
    """
    Return regressors that enter the periods after the sample, for a model that has some.

    The first row of state_exog is the last one of the sample: it enters the first period after it.
    """
    out = {
        key: regressors(steps, np.shape(spec[key])[1], 7 + i)
        for i, key in enumerate(("exog", "state_exog"))
        if key in spec
    }
    if "state_exog" in out:
        out["state_exog"] = np.concatenate([spec["state_exog"][-1:], out["state_exog"]])[:steps]
    return out


def brute_force(res: sse.LGSSMResults, spec: Mapping, steps: int, **new: np.ndarray) -> tuple[Dense, dict]:
    """Return the joint Gaussian posterior of the sample and ``steps`` periods without data after it."""
    at = {key: frame.to_numpy() for key, frame in res.matrices.items()}
    k, lags, y = 2, spec.get("lags", 1), res.model.endog
    n = len(y) + steps

    def stacked(name: str, columns: int) -> np.ndarray:
        known = len(y) - int(name == "state_exog" and name in new)
        parts = [
            np.asarray(spec.get(name, np.zeros((len(y), columns))))[:known],
            new.get(name, np.zeros((0, columns))),
        ]
        rows = np.concatenate(parts)
        return np.concatenate([rows, np.zeros((n - len(rows), columns))])

    exog = stacked("exog", at["obs_coef"].shape[1])
    state_exog = stacked("state_exog", at["state_coef"].shape[1])
    transition = np.eye(k * lags, k=-k)
    transition[:k] = at["transition"]
    state_intercept = np.zeros((k * lags, n))
    state_intercept[:k] = at["state_intercept"] + at["state_coef"] @ state_exog.T
    system = {
        "design": np.hstack([at["design"], np.zeros((3, k * (lags - 1)))]),
        "obs_intercept": at["obs_intercept"] + at["obs_coef"] @ exog.T,
        "obs_cov": at["obs_cov"],
        "transition": transition,
        "state_intercept": state_intercept,
        "selection": np.eye(k * lags, k),
        "state_cov": at["state_cov"],
        "initial_state": at["initial_state"][:, 0],
        "initial_state_cov": at["initial_state_cov"],
    }
    padded = np.concatenate([y, np.full((steps, y.shape[1]), np.nan)])
    if spec.get("initialization") == "diffuse":
        everywhere = np.ones(k * lags, dtype=bool)
        system["initial_state_cov"] = np.zeros((k * lags, k * lags))
        return dense_diffuse(padded, system, everywhere), system
    return dense(padded, system), system


def without_diffuse_missing(spec: Mapping) -> np.ndarray:
    """Return data; statsmodels before 0.15 has partly missing rows of a diffuse period wrong."""
    y = panel()
    if spec.get("initialization") == "diffuse":
        y = panel(missing=False)
        y[N // 2] = np.nan
    return y


# -- the constructor ---------------------------------------------------------------------------------------


def test_specifications_are_kept_under_other_names() -> None:
    start = {"initialization": "known", "initial_state": [0, 0], "initial_state_cov": "identity"}
    model = build(start)
    properties = {name for name in dir(MLEModel) if isinstance(getattr(MLEModel, name), property)}
    assert not properties & set(vars(model))
    model.update(model.start_params)
    assert isinstance(model.initialization, Initialization)
    assert model.initialization is model.ssm.initialization
    assert_array_equal(model["design"], model.matrices(model.start_params)["design"])


def test_init_kwds_are_all_of_the_constructor() -> None:
    model = build({})
    keywords = set(inspect.signature(sse.LGSSM).parameters)
    assert set(model._get_init_kwds()) == keywords - {"endog", "exog", "state_exog", "dates", "freq"}


def test_is_an_mlemodel() -> None:
    model = build({})
    assert isinstance(model, MLEModel)
    assert model.k_states == 2 and model.k_endog == 3 and model.nobs == N
    assert model.start_params.shape == (len(model.param_names),)
    assert list(inspect.signature(sse.LGSSM.fit).parameters)[:8] == [
        "self", "start_params", "transformed", "includes_fixed", "cov_type", "cov_kwds", "method", "maxiter",
    ]  # fmt: skip


@every_model
def test_clone(spec: Mapping) -> None:
    model = build(spec, without_diffuse_missing(spec))
    given = {"exog": spec.get("exog")}
    if "state_exog" in spec:
        given["state_exog"] = spec["state_exog"]
    other = model.clone(model.endog, **given)
    assert other is not model and type(other) is type(model)
    assert other.param_names == model.param_names
    assert other.loglike(model.start_params) == model.loglike(model.start_params)


def test_clone_with_changes() -> None:
    model = build({})
    other = model.clone(panel()[:30], obs_cov="scalar", lags=2)
    assert other.nobs == 30 and other.lags == 2 and "obs_var" in other.param_names


@pytest.mark.parametrize("key", ["exog", "state_exog"])
def test_clone_needs_new_regressors(key: str) -> None:
    with pytest.raises(sse.DataError, match=key):
        build({key: regressors(N, 1, 1)}).clone(panel())


@every_model
def test_zeros_are_no_obstacle_to_a_constructor(spec: Mapping) -> None:
    """A forecast clones the model on zeros(h, p); what a sample must hold is checked by `fit`."""
    given = {key: value[:H] if key in ("exog", "state_exog") else value for key, value in spec.items()}
    model = build(given, np.zeros((H, 3)))
    with pytest.raises(sse.DataError, match="constant"):
        model.fit()


# -- forecasts ---------------------------------------------------------------------------------------------


@every_model
def test_forecast_is_the_posterior_of_periods_without_data(spec: Mapping) -> None:
    res = smoothed(spec, without_diffuse_missing(spec))
    new = future(spec)
    oracle, system = brute_force(res, spec, H, **new)
    assert_allclose(res.llf, oracle.llf, rtol=1e-10)
    forecast = res.get_forecast(H, **new)
    mean = oracle.smoothed_state[-H:] @ system["design"].T + system["obs_intercept"][:, -H:].T
    cov = system["design"] @ oracle.smoothed_cov[-H:] @ system["design"].T + system["obs_cov"]
    assert_allclose(forecast.predicted_mean, mean, rtol=1e-8, atol=1e-9)
    assert_allclose(forecast.se_mean, np.sqrt(np.diagonal(cov, axis1=1, axis2=2)), rtol=1e-8)
    assert_array_equal(res.forecast(H, **new), forecast.predicted_mean)
    interval = forecast.conf_int(alpha=0.1)
    half = 1.6448536269514722 * np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    assert_allclose(interval, np.hstack([mean - half, mean + half]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("key", ["exog", "state_exog"])
@pytest.mark.parametrize("rows", [None, H - 2, H + 1])
def test_forecast_needs_future_regressors_of_the_right_length(key: str, rows: int | None) -> None:
    res = smoothed(REGRESSORS[key])
    columns = np.shape(REGRESSORS[key][key])[1]
    given = {} if rows is None else {key: np.zeros((rows, columns))}
    with pytest.raises(sse.DataError, match=key):
        res.forecast(H, **given)


@pytest.mark.parametrize("key", ["exog", "state_exog"])
def test_forecast_refuses_regressors_that_the_model_has_not(key: str) -> None:
    with pytest.raises(sse.DataError, match=key):
        smoothed({}).forecast(H, **{key: np.zeros((H, 1))})


TIME_VARYING: dict[str, dict] = {
    "design": {"design": over_time(DESIGN, N + H)},
    "obs_intercept": {"obs_intercept": over_time([1.0, -1.0, 2.0], N + H)},
    "obs_cov": {"obs_cov": over_time(np.eye(3), N + H)},
    "transition": {"transition": over_time(np.diag([0.7, 0.3]), N + H)},
    "state_intercept": {"state_intercept": over_time([0.5, -0.2], N + H)},
    "state_cov": {"state_cov": over_time(np.eye(2), N + H)},
}
every_matrix = pytest.mark.parametrize("name", TIME_VARYING)


def time_varying(name: str, periods: int, y: np.ndarray) -> sse.LGSSM:
    start = {"initialization": "known", "initial_state": [0.0, 0.0], "initial_state_cov": np.eye(2)}
    return sse.LGSSM(y, 2, **start, **{name: TIME_VARYING[name][name][..., :periods]})


@every_matrix
def test_forecast_with_future_matrices(name: str) -> None:
    """The same model on the sample and H missing rows has the forecasts as its predictions."""
    y = panel()
    model = time_varying(name, N, y)
    params = model.start_params
    padded = time_varying(name, N + H, np.concatenate([y, np.full((H, 3), np.nan)])).smooth(params)
    res = model.smooth(params)
    given = {name: TIME_VARYING[name][name][..., N:]}
    forecast = res.get_forecast(H, **given)
    assert_allclose(res.llf, padded.llf, rtol=1e-12)
    assert_allclose(forecast.predicted_mean, padded.fittedvalues[-H:], rtol=1e-10)
    expected = padded.get_prediction(start=N, end=N + H - 1)
    assert_allclose(forecast.se_mean, expected.se_mean, rtol=1e-10)


@every_matrix
def test_forecast_without_future_matrices_says_what_is_missing(name: str) -> None:
    model = time_varying(name, N, panel())
    res = model.smooth(model.start_params)
    with pytest.raises(sse.SpecificationError, match=f"{name}.*future"):
        res.forecast(H)


@pytest.mark.parametrize(("name", "key"), [("obs_intercept", "exog"), ("state_intercept", "state_exog")])
def test_forecast_with_a_time_varying_intercept_beside_regressors(name: str, key: str) -> None:
    """Future regressors do not say what the fixed part of the intercept will be."""
    spec = {
        "initialization": "known",
        "initial_state": [0.0, 0.0],
        "initial_state_cov": np.eye(2),
        key: regressors(N, 1, 3),
        name: TIME_VARYING[name][name][..., :N],
    }
    res = smoothed(spec)
    for steps in (H, N):  # N: arrays of the sample would fit
        with pytest.raises(sse.SpecificationError, match=f"{name}.*future"):
            res.forecast(steps, **future(spec, steps))


@every_model
def test_prediction_across_the_end_of_the_sample(spec: Mapping) -> None:
    res, new = smoothed(spec, without_diffuse_missing(spec)), future(spec)
    predicted = res.predict(start=N - 3, end=N + H - 1, **new)
    assert_allclose(predicted[:3], res.fittedvalues[-3:], rtol=1e-12)
    assert_allclose(predicted[3:], res.forecast(H, **new), rtol=1e-12)


# -- extend, append, apply ---------------------------------------------------------------------------------


def split(spec: Mapping, m: int) -> tuple[dict, dict]:
    """Return a specification for the first m periods, and the regressors that enter the rest."""
    rows = {"exog": slice(m, None), "state_exog": slice(m - 1, -1)}
    first = {key: value[:m] if key in rows else value for key, value in spec.items()}
    return first, {key: spec[key][own] for key, own in rows.items() if key in spec}


@every_model
def test_extend_adds_up(spec: Mapping) -> None:
    y, m = without_diffuse_missing(spec), 30
    whole = smoothed(spec, y)
    params = np.asarray(whole.params)
    first_spec, rest = split(spec, m)
    first = build(first_spec, y[:m]).smooth(params)
    second = first.extend(y[m:], **rest)
    assert_allclose(first.llf + second.llf, whole.llf, rtol=1e-11)
    assert_allclose(second.filtered_state, whole.filtered_state[:, m:], rtol=1e-8, atol=1e-10)
    assert_allclose(second.forecast(H, **future(spec)), whole.forecast(H, **future(spec)), rtol=1e-8)


@every_model
def test_update_after_extend_keeps_the_state(spec: Mapping) -> None:
    y, m = without_diffuse_missing(spec), 30
    first_spec, rest = split(spec, m)
    first = smoothed(first_spec, y[:m])
    params = np.asarray(first.params)
    second = first.extend(y[m:], **rest)
    model = second.model
    for at in (params * 1.01, params):
        model.update(at)
    assert_allclose(model.ssm.loglike(), second.llf, rtol=1e-12)
    assert_allclose(model.smooth(params).llf, second.llf, rtol=1e-12)
    assert_allclose(model.loglike(params), second.llf, rtol=1e-10)
    assert_allclose(model.ssm.initialization.constant, first.predicted_state[:, -1], rtol=1e-12)


@unidentified
@not_converged
def test_fit_after_extend_keeps_the_state() -> None:
    y = panel()
    second = smoothed({}, y[:30]).extend(y[30:])
    start = second.model.ssm.initialization
    fit = second.model.fit(np.asarray(second.params), method="em", maxiter=5)
    assert second.model.ssm.initialization is start
    assert fit.em_trace["llf"].iloc[0] == pytest.approx(second.llf, rel=1e-10)
    assert fit.llf > second.llf
    assert_allclose(fit.model.loglike(fit.params), fit.llf, rtol=1e-10)


@every_model
def test_append(spec: Mapping) -> None:
    y, m = without_diffuse_missing(spec), 30
    first_spec, rest = split(spec, m)
    first = smoothed(first_spec, y[:m])
    appended = first.append(y[m:], **rest)
    whole = build(spec, y).smooth(np.asarray(first.params))
    assert appended.nobs == N
    assert_array_equal(np.asarray(appended.params), np.asarray(first.params))
    assert_allclose(appended.llf, whole.llf, rtol=1e-12)
    assert_allclose(appended.smoothed_state, whole.smoothed_state, rtol=1e-8, atol=1e-10)


@every_model
@pytest.mark.parametrize("copy_initialization", [False, True])
def test_apply(spec: Mapping, copy_initialization: bool) -> None:
    y, m = without_diffuse_missing(spec), 30
    first_spec, rest = split(spec, m)
    rest |= {key: spec[key][m:] for key in rest}  # other data: their own rows
    first = smoothed(first_spec, y[:m])
    params = np.asarray(first.params)
    applied = first.apply(y[m:], copy_initialization=copy_initialization, **rest)
    other = build({**spec, **rest}, y[m:])
    assert applied.nobs == N - m
    assert_array_equal(np.asarray(applied.params), params)
    # the initial distribution is a function of the parameters here, so a copy of it changes nothing
    assert_allclose(applied.llf, other.loglike(params), rtol=1e-11)
    applied.model.update(params)
    assert_allclose(applied.model.ssm.loglike(), applied.llf, rtol=1e-12)


@pytest.mark.parametrize("copy_initialization", [False, True])
def test_apply_with_refit(copy_initialization: bool) -> None:
    y, z = ar1(), ar1(seed=7)
    kwds = {"design": [[1.0]], "lags": 1}
    first = sse.LGSSM(y, 1, **kwds).fit()
    refit = first.apply(z, refit=True, copy_initialization=copy_initialization)
    if copy_initialization:
        kwds |= {
            "initialization": "known",
            "initial_state": first.matrices["initial_state"].to_numpy()[:, 0],
            "initial_state_cov": first.matrices["initial_state_cov"].to_numpy(),
        }
    expected = sse.LGSSM(z, 1, **kwds).fit()
    assert refit.converged
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-7)
    assert_allclose(np.asarray(refit.params), np.asarray(expected.params), rtol=1e-4)
    assert_allclose(refit.model.loglike(refit.params), refit.llf, rtol=1e-10)


def test_append_with_refit() -> None:
    y = ar1()
    first = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit()
    refit = first.append(y[80:], refit=True)
    expected = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-7)


def test_refit_leaves_a_boundary() -> None:
    """A variance that is zero on the first part of the sample is not on the whole."""
    y = ar1(seed=5)
    first = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit()
    assert first.boundary == ["obs_var.y"]
    refit = first.append(y[80:], refit=True)
    expected = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-6)


def test_append_with_refit_keeps_fixed_parameters() -> None:
    y = ar1()
    first = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit_constrained({"L1.f1->f1": 0.8})
    refit = first.append(y[80:], refit=True)
    expected = sse.LGSSM(y, 1, design=[[1.0]], transition=[[0.8]]).fit()
    assert refit.params[refit.model.param_names.index("L1.f1->f1")] == 0.8
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["append", "extend", "apply"])
def test_more_data_keep_the_names(kind: str) -> None:
    """Those of the regressors too, in parameters and matrices."""
    y = quarterly(panel())
    exog = pd.DataFrame(regressors(N, 1, 1), index=y.index, columns=["tax"])
    state_exog = pd.DataFrame(regressors(N, 1, 2), index=y.index, columns=["money"])
    first = smoothed({"exog": exog[:30], "state_exog": state_exog[:30]}, y[:30])
    entering = state_exog[30:] if kind == "apply" else state_exog[29:-1]
    more = getattr(first, kind)(y[30:], exog=exog[30:], state_exog=entering)
    assert "state_coef.money->f1" in first.model.param_names
    assert more.model.param_names == first.model.param_names
    assert more.params.index.tolist() == first.params.index.tolist()
    assert more.factors.smoothed.index.equals(y.index if kind == "append" else y.index[30:])


# -- news, simulation, impulse responses -------------------------------------------------------------------


def quarterly(y: np.ndarray, start: str = "2000Q1") -> pd.DataFrame:
    index = pd.period_range(start, periods=len(y), freq="Q")
    return pd.DataFrame(y, index=index, columns=["gdp", "cons", "inv"])


@pytest.mark.parametrize("spec", [{}, {"lags": 2}], ids=["one lag", "two lags"])
def test_news_explain_the_change_of_a_forecast(spec: Mapping) -> None:
    y = quarterly(panel())
    before = build(spec, y.iloc[:-1]).smooth(build(spec, y).start_params)
    after = before.append(y.iloc[-1:])
    last = y.index[-1]
    news = after.news(before, start=last, periods=1 + H, comparison_type="previous")
    surprise = y.loc[last] - before.forecast(1).loc[last]
    assert_allclose(news.news.to_numpy().ravel(), surprise, rtol=1e-8)
    revision = after.forecast(H).to_numpy() - before.forecast(1 + H).to_numpy()[1:]
    assert_allclose(news.total_impacts.iloc[1:], revision, rtol=1e-8, atol=1e-10)
    # on the period of the observation itself the impact is that on its signal Z x
    assert_allclose(news.total_impacts.iloc[0], signal_revision(before, after), rtol=1e-8)


def signal_revision(before: sse.LGSSMResults, after: sse.LGSSMResults) -> np.ndarray:
    """Return Z (E[x_n | all data] - E[x_n | all but the last row])."""
    k = after.model.k_factors
    change = after.smoothed_state[:k, -1] - before.predicted_state[:k, -1]
    return after.matrices["design"].to_numpy() @ change


def test_news_with_regressors() -> None:
    spec = REGRESSORS["both"]
    y = panel()
    first_spec, rest = split(spec, N - 1)
    before = smoothed(first_spec, y[:-1])
    after = before.append(y[-1:], **rest)
    news = after.news(before, start=N - 1, end=N - 1, comparison_type="previous", **rest)
    assert_allclose(news.news.to_numpy().ravel(), y[-1] - before.forecast(1, **rest)[0], rtol=1e-8)
    assert_allclose(news.total_impacts.iloc[0], signal_revision(before, after), rtol=1e-8)


def test_news_of_revised_data() -> None:
    y = quarterly(panel())
    revised = y.copy()
    revised.iloc[-3, 1] += 1.0
    before = smoothed({"lags": 2}, y)
    news = before.news(revised, start="2012Q3", periods=2, comparison_type="updated")
    after = build({"lags": 2}, revised).smooth(before.params)
    assert np.abs(news.total_impacts).max().max() > 1e-3
    assert_allclose(news.total_impacts, after.forecast(2) - before.forecast(2), rtol=1e-8)


def test_simulate_is_reproducible() -> None:
    res = smoothed({}, quarterly(panel()))
    first, again = res.simulate(20, rng=3), res.simulate(20, rng=3)
    generator = res.simulate(20, rng=np.random.default_rng(3))
    pd.testing.assert_frame_equal(first, again)
    assert generator.shape == (20, 3) and not np.allclose(res.simulate(20, rng=4), first)
    assert_array_equal(first.index, res.model.data.row_labels[:20])
    assert list(first.columns) == ["gdp", "cons", "inv"]


def test_simulate_is_the_model() -> None:
    """With given shocks: y = d + Z x + eps, x_{t+1} = c + T x_t + eta."""
    spec = REGRESSORS["both"]
    res = smoothed(spec)
    rng, at = np.random.default_rng(0), {key: frame.to_numpy() for key, frame in res.matrices.items()}
    eps, eta, x = rng.normal(size=(N, 3)), rng.normal(size=(N, 2)), np.array([0.5, -0.5])
    simulated = res.simulate(N, measurement_shocks=eps, state_shocks=eta, initial_state=x)
    expected = np.empty((N, 3))
    for t in range(N):
        expected[t] = at["obs_intercept"][:, 0] + at["obs_coef"] @ spec["exog"][t] + at["design"] @ x + eps[t]
        x = at["state_intercept"][:, 0] + at["transition"] @ x + at["state_coef"] @ spec["state_exog"][t]
        x = x + eta[t]
    assert_allclose(simulated, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("key", ["stationary", "stationary, two lags", "both"])
def test_simulate_after_the_sample_is_centred_at_the_forecast(key: str) -> None:
    spec = MODELS[key]
    res, new = smoothed(spec), future(spec)
    start = res.predicted_state[:, -1]
    none = {"measurement_shocks": np.zeros((H, 3)), "state_shocks": np.zeros((H, 2))}
    path = res.simulate(H, anchor="end", initial_state=start, **none, **new)
    assert_allclose(path, res.forecast(H, **new), rtol=1e-10)
    draws = res.simulate(H, anchor="end", repetitions=5, initial_state=start, rng=0, **new)
    assert draws.shape == (H, 3, 5)


@pytest.mark.parametrize("spec", [{}, {"lags": 2}], ids=["one lag", "two lags"])
@pytest.mark.parametrize("orthogonalized", [False, True])
def test_impulse_responses(spec: Mapping, orthogonalized: bool) -> None:
    res = smoothed(spec)
    at = {key: frame.to_numpy() for key, frame in res.matrices.items()}
    lags = spec.get("lags", 1)
    transition = np.eye(2 * lags, k=-2)
    transition[:2] = at["transition"]
    impulse = np.linalg.cholesky(at["state_cov"])[:, 0] if orthogonalized else np.array([1.0, 0.0])
    state, expected = np.concatenate([impulse, np.zeros(2 * lags - 2)]), []
    for _ in range(6):
        expected.append(at["design"] @ state[:2])
        state = transition @ state
    found = res.impulse_responses(5, impulse=0, orthogonalized=orthogonalized)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


# -- fixed parameters --------------------------------------------------------------------------------------


FIXED: dict[str, tuple[dict, dict[str, float], dict]] = {
    "transition": ({}, {"L1.f1->f1": 0.6}, {"transition": [[0.6, np.nan], [np.nan, np.nan]]}),
    "loading": (
        {},
        {"loading.f1->y2": 0.0},
        {"design": [[np.nan, np.nan], [0.0, np.nan], [np.nan, np.nan]]},
    ),
    "covariance": (
        {"obs_cov": "unstructured"},
        {"obs_cov.y1.y2": -0.05},
        {"obs_cov": [[np.nan, -0.05, np.nan], [-0.05, np.nan, np.nan], [np.nan, np.nan, np.nan]]},
    ),
    "variance": (
        {},
        {"obs_var.y2": 0.3},
        {"obs_cov": [[np.nan, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, np.nan]]},
    ),
    "state covariance": (
        {"design": DESIGN},
        {"state_cov.f1.f2": 0.2},
        {"design": DESIGN, "state_cov": [[np.nan, 0.2], [0.2, np.nan]]},
    ),
    "state variance": (
        {"design": DESIGN},
        {"state_var.f2": 0.5, "state_cov.f1.f2": 0.1},
        {"design": DESIGN, "state_cov": [[np.nan, 0.1], [0.1, 0.5]]},
    ),
    "equicorrelated": (
        {"obs_cov": "equicorrelated"},
        {"obs_cov": 0.05},
        {"obs_cov": [["v", 0.05, 0.05], [0.05, "v", 0.05], [0.05, 0.05, "v"]]},
    ),
    "initial state": (
        {"design": DESIGN, "initialization": "estimated", "initial_state_cov": np.eye(2)},
        {"initial_state.f2": 1.0},
        {
            "design": DESIGN,
            "initialization": "estimated",
            "initial_state": [np.nan, 1.0],
            "initial_state_cov": np.eye(2),
        },
    ),
}
every_constraint = pytest.mark.parametrize(("spec", "fixed", "declared"), FIXED.values(), ids=FIXED.keys())


def values(res: sse.LGSSMResults) -> dict[str, float]:
    return dict(zip(res.model.param_names, np.asarray(res.params), strict=True))


@unidentified
@every_constraint
@pytest.mark.parametrize("method", ["auto", "em", "lbfgs"])
def test_fixed_values_are_kept_exactly(spec: Mapping, fixed: dict, declared: Mapping, method: str) -> None:
    options = {"maxiter": 20, "tolerance": 0} if method == "em" else {}
    model = build(spec, panel(80))
    res = model.fit_constrained(fixed, method=method, **options)
    assert all(values(res)[name] == value for name, value in fixed.items())
    assert set(res.fixed_params) == set(fixed)
    llf = res.em_trace["llf"].to_numpy()
    assert np.all(np.diff(llf) >= -1e-9 * (1.0 + abs(res.llf)))
    assert not model._has_fixed_params


@unidentified
@every_constraint
def test_maximum_is_that_of_the_model_with_the_value_declared(
    spec: Mapping, fixed: dict, declared: Mapping
) -> None:
    model = build(spec, panel(80))
    with model.fix_params(fixed):
        res = model.fit()
    expected = build(declared, panel(80)).fit()
    assert len(model.param_names) - len(fixed) == len(expected.model.param_names)
    assert res.converged and expected.converged
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-6)
    assert res.df_model == expected.df_model


@unidentified
def test_em_path_with_fixed_values_is_that_of_the_declared_model() -> None:
    spec, fixed, declared = FIXED["covariance"]
    start = {
        "design": DESIGN, "obs_intercept": np.zeros(3), "transition": 0.5 * np.eye(2),
        "obs_cov": np.eye(3) - 0.05 * (1.0 - np.eye(3)), "state_cov": np.eye(2),
    }  # fmt: skip
    model, other = build(spec, panel(80)), build(declared, panel(80))
    options = {"method": "em", "maxiter": 15, "tolerance": 0}
    res = model.fit_constrained(fixed, start, **options)
    assert_allclose(res.em_trace["llf"], other.fit(start, **options).em_trace["llf"], rtol=1e-12)


@cache
def best_with_a_fixed_covariance() -> tuple[sse.LGSSM, float]:
    """Return a model and the maximum over H = L L' with L_21 = 0.1 / L_11, which is at a singular H."""
    y = panel(80)
    model = sse.LGSSM(
        y - np.nanmean(y, axis=0), 2, design=DESIGN, transition=np.diag([0.8, 0.4]), obs_intercept="zero",
        obs_cov="unstructured", state_cov=1.3 * np.eye(2),
    )  # fmt: skip

    def cov(free: np.ndarray) -> np.ndarray:
        a, l31, l22, l32, l33 = free
        root = np.array([[a, 0.0, 0.0], [0.1 / a, l22, 0.0], [l31, l32, l33]])
        return root @ root.T

    def minus_llf(free: np.ndarray) -> float:
        return -model.loglike(model.params_from_matrices({"obs_cov": cov(free)}))

    best = minimize(minus_llf, [0.8, 0.0, 0.5, 0.0, 0.6], method="BFGS", options={"gtol": 1e-6})
    assert np.linalg.eigvalsh(cov(best.x))[0] < 1e-6
    return model, -best.fun


@not_converged
@pytest.mark.parametrize("method", ["auto", "lbfgs"])
def test_maximum_at_a_singular_covariance_with_a_fixed_element(method: str) -> None:
    """That factorisation reaches every H with the covariance, the singular ones too."""
    model, best = best_with_a_fixed_covariance()
    res = model.fit_constrained({"obs_cov.y1.y2": 0.1}, method=method)
    assert values(res)["obs_cov.y1.y2"] == 0.1
    gap = best - res.llf
    assert gap > -1e-6
    assert gap < 1e-5 or (method != "auto" and not res.converged)


def test_standard_errors_of_fixed_parameters_are_none() -> None:
    y = ar1()
    res = sse.LGSSM(y, 1, design=[[1.0]]).fit_constrained({"obs_var.y": 0.36})
    expected = sse.LGSSM(y, 1, design=[[1.0]], obs_cov=[[0.36]]).fit()
    names = res.model.param_names
    place = names.index("obs_var.y")
    assert np.isnan(res.bse[place])
    assert_allclose(np.delete(np.asarray(res.bse), place), np.asarray(expected.bse), rtol=1e-5)
    assert "(fixed)" in res.summary().as_text()


def test_unknown_fixed_parameter() -> None:
    with pytest.raises(ValueError, match="no_such"):
        build({}).fit_constrained({"no_such": 1.0})


@unidentified
@not_converged
def test_includes_fixed() -> None:
    model = build({})
    params = model.start_params
    name = "obs_var.y1"
    place = model.param_names.index(name)
    fixed = {name: params[place]}
    free = np.delete(params, place)
    with model.fix_params(fixed):
        assert model.loglike(free) == model.loglike(params, includes_fixed=True)
        assert_array_equal(model.score(free), np.delete(model.score(params, includes_fixed=True), place))
        with pytest.raises(sse.ParameterError, match="length"):
            model.loglike(params)
        short = model.fit(free, method="em", maxiter=2)
        long = model.fit(params, includes_fixed=True, method="em", maxiter=2)
        named = model.fit(dict(zip(model.param_names, params, strict=True)), method="em", maxiter=2)
    assert_array_equal(np.asarray(short.params), np.asarray(long.params))
    assert_array_equal(np.asarray(named.params), np.asarray(long.params))
    assert model.loglike(params) == short.em_trace["llf"].iloc[0]


# -- start values and what fit returns ---------------------------------------------------------------------


@unidentified
@not_converged
def test_forms_of_start_params() -> None:
    model = build({"lags": 2, "obs_cov": "unstructured"})
    params = model.start_params * 1.01
    named = dict(zip(model.param_names, params, strict=True))
    at = model.matrices(params)
    keys = ("design", "obs_intercept", "transition", "obs_cov", "state_cov")
    forms = {
        "flat": params,
        "list": list(params),
        "Series": pd.Series(named).sample(frac=1.0, random_state=0),  # by name, in any order
        "dict": dict(reversed(named.items())),
        "matrices": {key: at[key] for key in keys},
        "frames": {key: model.smooth(params).matrices[key] for key in keys},
        "intercept as a vector": {key: at[key][:, 0] if key == "obs_intercept" else at[key] for key in keys},
    }
    for name, form in forms.items():
        res = model.fit(form, method="em", maxiter=2)
        assert res.em_trace["llf"].iloc[0] == pytest.approx(model.loglike(params), rel=1e-13), name


@unidentified
@not_converged
def test_some_start_matrices_leave_the_others_at_their_defaults() -> None:
    model = build({})
    res = model.fit({"obs_cov": 2.0 * np.eye(3)}, method="em", maxiter=0, tolerance=0)
    assert_array_equal(res.matrices["obs_cov"], 2.0 * np.eye(3))
    default = model.matrices(model.start_params)
    assert_allclose(res.matrices["transition"], default["transition"], rtol=1e-14)


BAD_STARTS = {
    "too long": (np.ones(30), "shape"),
    "too short": (np.ones(3), "shape"),
    "NaN": (None, "finite"),
    "unknown name": ({"no_such": 1.0}, "no_such"),
    "unknown matrix": ({"design": DESIGN, "obs_covariance": np.eye(3)}, "obs_covariance"),
    "wrong shape": ({"design": DESIGN.T}, "design"),
}


@pytest.mark.parametrize(("start", "what"), BAD_STARTS.values(), ids=BAD_STARTS.keys())
def test_bad_start_params(start: object, what: str) -> None:
    model = build({})
    if start is None:
        start = np.where(np.arange(len(model.param_names)) == 2, np.nan, model.start_params)
    with pytest.raises(sse.ParameterError, match=what):
        model.fit(start)


@pytest.mark.parametrize("method", ["auto", "em", "lbfgs"])
def test_start_values_without_a_likelihood(method: str) -> None:
    """Under a stationary start, a transition with roots outside the unit circle has no likelihood."""
    model = build({})
    start = {**model.matrices(model.start_params), "transition": 2.0 * np.eye(2)}
    with pytest.raises(sse.ParameterError, match="not stationary"):
        model.loglike(model.params_from_matrices(start))
    with pytest.raises(sse.EstimationError, match="start values"):
        model.fit(start, method=method)


def test_a_fit_stays_where_a_stationary_start_exists() -> None:
    """From here the optimiser tries unstable transitions, where the recursions give a number, 0.0."""
    y = ar1(seed=5)
    res = sse.LGSSM(y, 1, design=[[1.0]], obs_cov=[[0.36]]).fit()
    expected = sm.tsa.SARIMAX(y, exog=np.ones(len(y)), order=(1, 0, 0), measurement_error=True)
    with expected.fix_params({"var.measurement_error": 0.36}):
        best = expected.fit(disp=False)
    assert res.converged and abs(res.matrices["transition"].iloc[0, 0]) < 1.0
    assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5)


@unidentified
def test_return_params() -> None:
    model = build({"design": DESIGN})
    params = model.fit(return_params=True)
    assert isinstance(params, np.ndarray)
    assert_array_equal(params, np.asarray(model.fit().params))
    with model.fix_params({"obs_var.y1": 0.5}):
        fixed = model.fit(return_params=True)
    assert fixed[model.param_names.index("obs_var.y1")] == 0.5


def test_types_of_standard_errors() -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    oim, approx, none = (model.fit(cov_type=kind) for kind in ("oim", "approx", "none"))
    assert_allclose(approx.bse, oim.bse, rtol=1e-4)
    assert np.all(np.isnan(none.bse)) and none.cov_type == "none"
    assert_allclose(oim.cov_params(), np.linalg.inv(-oim.nobs * model.hessian(oim.params)), rtol=1e-8)
    assert_allclose(oim.conf_int()[:, 1] - oim.params, 1.959963984540054 * oim.bse, rtol=1e-10)


@not_converged
@pytest.mark.parametrize("method", ["auto", "em", "lbfgs", "bfgs", "newton"])
def test_maxiter_bounds_the_iterations(method: str) -> None:
    res = sse.LGSSM(ar1(), 1, design=[[1.0]]).fit(method=method, maxiter=4)
    assert res.mle_retvals["iterations"] <= 4


def test_mle_retvals() -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    res = model.fit()
    assert res.mle_retvals["converged"] is True and res.mle_retvals["warnflag"] == 0
    assert res.mle_retvals["iterations"] > 0 and res.mle_retvals["fcalls"] > 0
    assert res.mle_settings["optimizer"] == "auto"
    assert model.fit(full_output=False).mle_retvals is None
    with pytest.warns(sse.ConvergenceWarning, match="maxiter"):
        short = model.fit(method="em", maxiter=2)
    assert short.mle_retvals["converged"] is False and short.mle_retvals["warnflag"] == 1
    assert short.mle_retvals["iterations"] == 2 and not short.converged


def test_em_trace() -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    start = model.start_params
    res = model.fit(start, method="em", maxiter=12, tolerance=0)
    trace = res.em_trace
    assert {"iteration", "llf", "change", "score_norm"} <= set(trace.columns)
    assert trace["iteration"].tolist() == list(range(13))
    assert trace["llf"].iloc[0] == pytest.approx(model.loglike(start), rel=1e-13)
    assert trace["llf"].iloc[-1] == pytest.approx(res.llf, rel=1e-10)
    assert np.isnan(trace["change"].iloc[0])
    assert_allclose(trace["change"].iloc[1:], np.diff(trace["llf"]), rtol=1e-9, atol=1e-11)
    assert np.isfinite(trace["score_norm"].iloc[-1])
    assert model.smooth(start).em_trace.empty


@pytest.mark.parametrize("method", ["auto", "lbfgs", "newton"])
def test_em_trace_of_a_fit_without_em(method: str) -> None:
    """It holds the iterations of the gradient method."""
    res = sse.LGSSM(ar1(), 1, design=[[1.0]]).fit(method=method)
    trace = res.em_trace
    assert trace["iteration"].tolist() == list(range(1, res.mle_retvals["iterations"] + 1))
    assert trace["llf"].iloc[-1] == pytest.approx(res.llf, rel=1e-9)
    assert_allclose(trace["change"].iloc[1:], np.diff(trace["llf"]), rtol=1e-9, atol=1e-11)
    assert trace["params_change"].isna().all()
    assert trace["score_norm"].iloc[-1] == res.mle_retvals["score_norm"]


@pytest.mark.parametrize("method", ["auto", "em", "lbfgs", "newton"])
def test_fit_prints_nothing(method: str, capsys: pytest.CaptureFixture) -> None:
    sse.LGSSM(ar1(), 1, design=[[1.0]]).fit(method=method, tolerance=1e-4)
    assert capsys.readouterr() == ("", "")


def test_disp_prints_one_line_an_iteration(capsys: pytest.CaptureFixture) -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    res = model.fit(method="em", maxiter=6, tolerance=0, disp=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    printed = [float(re.search(r"log-likelihood = (\S+)", line).group(1)) for line in lines]
    assert_allclose(printed, res.em_trace["llf"], rtol=1e-6)
    res = model.fit(disp=True)
    lines = capsys.readouterr().out.splitlines()
    assert all("log-likelihood" in line for line in lines) and len(lines) >= len(res.em_trace)


@not_converged
@pytest.mark.parametrize("method", ["auto", "em", "lbfgs"])
def test_callback(method: str) -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    seen: list[np.ndarray] = []
    with model.fix_params({"obs_var.y": 0.4}):
        res = model.fit(method=method, maxiter=20, callback=lambda params: seen.append(np.array(params)))
    assert seen and all(params.shape == (len(model.param_names),) for params in seen)
    assert all(params[model.param_names.index("obs_var.y")] == 0.4 for params in seen)
    assert model.loglike(seen[-1]) <= res.llf + 1e-8
    if method == "em":
        assert len(seen) == res.mle_retvals["iterations"]


@unidentified
def test_random_starts_are_reproducible() -> None:
    model = build({"design": DESIGN})
    first, again = model.fit(n_starts=4, rng=1), model.fit(n_starts=4, rng=1)
    assert_array_equal(np.asarray(first.params), np.asarray(again.params))
    other = model.fit(n_starts=4, rng=np.random.default_rng(2))
    single = model.fit()
    assert first.llf >= single.llf - 1e-8
    assert_allclose(other.llf, first.llf, rtol=0, atol=1e-4)
    found = re.search(r"(\d) of 4 starts reached the best", first.summary().as_text())
    assert found and int(found.group(1)) >= 1
    assert "starts reached" not in single.summary().as_text()


@unidentified
@pytest.mark.parametrize("maxiter", [0, 1, 7])
def test_tolerance_zero_runs_exactly_maxiter_iterations(maxiter: int) -> None:
    model = build({})
    start = model.start_params
    res = model.fit(start, method="em", maxiter=maxiter, tolerance=0)
    assert len(res.em_trace) == maxiter + 1 and res.mle_retvals["iterations"] == maxiter
    if maxiter == 0:
        assert_array_equal(np.asarray(res.params), start)


@unidentified
@not_converged
@pytest.mark.parametrize("method", ["auto", "em", "lbfgs"])
def test_maxiter_zero_evaluates_the_start_values(method: str) -> None:
    model = build({})
    start = model.start_params
    res = model.fit(start, method=method, maxiter=0)
    assert_allclose(np.asarray(res.params), start, rtol=1e-12)
    assert res.llf == pytest.approx(model.loglike(start), rel=1e-12)
    assert not res.converged


@unidentified
def test_low_memory() -> None:
    model = build({"design": DESIGN})
    full, small = model.fit(), model.fit(low_memory=True)
    assert_array_equal(np.asarray(small.params), np.asarray(full.params))
    assert_allclose(small.llf, full.llf, rtol=1e-12)
    assert_allclose(small.bse, full.bse, rtol=1e-12)
    assert_allclose(small.forecast(H), full.forecast(H), rtol=1e-10)
    assert small.smoothed_state is None
    with pytest.raises(sse.SpecificationError, match="low_memory"):
        _ = small.factors


BAD_OPTIONS = {
    "method": {"method": "simplex"},
    "maxiter": {"maxiter": -1},
    "tolerance": {"tolerance": -1e-3},
    "n_starts": {"n_starts": 0},
    "cov_type": {"cov_type": "white"},
    "an option of no method": {"method": "em", "gtol": 1e-3},
}


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_unknown_options(options: dict) -> None:
    with pytest.raises(sse.SpecificationError):
        sse.LGSSM(ar1(), 1, design=[[1.0]]).fit(**options)


# -- nothing changes behind the user's back ----------------------------------------------------------------


def arrays(*holders: object) -> dict[str, bytes]:
    """Return the bytes of every array that objects hold."""
    return {
        f"{i}.{name}": np.asarray(value).tobytes()
        for i, holder in enumerate(holders)
        for name, value in vars(holder).items()
        if isinstance(value, (np.ndarray, pd.Series, pd.DataFrame))
    }


@unidentified
@not_converged
@pytest.mark.parametrize("method", ["auto", "em", "lbfgs"])
@pytest.mark.parametrize("key", ["stationary", "estimated", "both", "diffuse"])
def test_readers_leave_the_model_and_a_fit_leaves_data_and_earlier_results_unchanged(
    key: str, method: str
) -> None:
    spec = MODELS[key]
    model = build(spec, without_diffuse_missing(spec))
    start = model.start_params
    earlier = model.smooth(start * 1.02)
    matrices, initialization = arrays(model, model.data, model.ssm), model.ssm.initialization
    results = arrays(earlier._results, earlier.filter_results)
    assert len(results) > 20
    forecast = np.asarray(earlier.forecast(H, **future(spec)))
    model.loglike(start)
    model.score(start)
    model.hessian(start)
    assert arrays(model, model.data, model.ssm) == matrices
    assert model.ssm.initialization is initialization
    data, res = arrays(model, model.data), model.fit(method=method, maxiter=5)
    assert arrays(model, model.data) == data
    assert_array_equal(model.ssm["obs_cov"], model.system(np.asarray(res.params)).obs_cov)
    assert arrays(earlier._results, earlier.filter_results) == results
    assert_array_equal(np.asarray(earlier.forecast(H, **future(spec))), forecast)


@unidentified
def test_the_data_and_specifications_given_are_left_alone() -> None:
    y, exog, design = panel(), regressors(N, 1, 0), np.where(DESIGN == 0.0, 0.0, np.nan)
    before = [array.tobytes() for array in (y, exog, design)]
    sse.LGSSM(y, 2, exog=exog, design=design).fit(method="em", maxiter=3, tolerance=0)
    assert [array.tobytes() for array in (y, exog, design)] == before


# -- pickling ----------------------------------------------------------------------------------------------


def pickled(thing: object) -> object:
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@every_model
def test_copy_of_a_model(spec: Mapping, copied: Callable) -> None:
    """Used before and after: statsmodels' filters forget, in a copy, where their matrices are."""
    model = build(spec, without_diffuse_missing(spec))
    params = model.start_params
    fresh = copied(model)
    model.loglike(params)
    model.smooth(params)
    for other in (fresh, copied(model)):
        assert other.param_names == model.param_names
        for at in (params, params * 1.05, params * 0.95):
            assert other.loglike(at) == model.loglike(at)
            assert_array_equal(other.score(at), model.score(at))
            assert_array_equal(other.smooth(at).smoothed_state, model.smooth(at).smoothed_state)


def without_date(summary: object) -> str:
    return re.sub(r"(Date|Time): +.*?  ", "", summary.as_text())


@unidentified
@pytest.mark.parametrize("key", ["stationary", "both", "diffuse", "estimated with covariance"])
def test_pickle_of_a_fit(key: str) -> None:
    spec = MODELS[key]
    res = build(spec, quarterly(without_diffuse_missing(spec))).fit(method="em", maxiter=5, tolerance=0)
    other = pickled(res)
    assert without_date(other.summary()) == without_date(res.summary())
    assert_array_equal(np.asarray(other.params), np.asarray(res.params))
    pd.testing.assert_frame_equal(other.em_trace, res.em_trace)
    pd.testing.assert_frame_equal(other.factors.smoothed, res.factors.smoothed)
    pd.testing.assert_frame_equal(other.forecast(H, **future(spec)), res.forecast(H, **future(spec)))


def test_pickle_keeps_standard_errors_and_can_go_on() -> None:
    y = ar1()
    res = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit()
    other = pickled(res)
    assert_allclose(other.bse, res.bse, rtol=1e-12)
    assert other.converged and without_date(other.summary()) == without_date(res.summary())
    assert other.append(y[80:]).llf == res.append(y[80:]).llf
    assert_allclose(other.model.fit(method="lbfgs").llf, res.llf, rtol=0, atol=1e-6)


def test_save_and_load(tmp_path: Path) -> None:
    res = sse.LGSSM(ar1(), 1, design=[[1.0]]).fit()
    res.save(str(tmp_path / "fit.pickle"))
    other = sm.load(str(tmp_path / "fit.pickle"))
    assert without_date(other.summary()) == without_date(res.summary())


# -- pandas ------------------------------------------------------------------------------------------------


INDEXES = {
    "dates": pd.date_range("2000-01-31", periods=N, freq="M" if pd.__version__ < "2.2" else "ME"),
    "periods": pd.period_range("2000Q1", periods=N, freq="Q"),
    "range": pd.RangeIndex(N),
    "years": pd.RangeIndex(1950, 1950 + N),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
def test_indexes_are_kept(index: pd.Index) -> None:
    y = pd.DataFrame(panel(), index=index, columns=["gdp", "cons", "inv"])
    res = smoothed({"lags": 2}, y)
    factors = res.factors
    for frame in (factors.smoothed, factors.filtered, factors.smoothed_se, res.fittedvalues):
        assert frame.index.equals(index) and type(frame.index) is type(index)
        assert getattr(frame.index, "freq", None) == getattr(index, "freq", None)
    assert factors.smoothed.columns.tolist() == ["f1", "f2"]
    assert factors.smoothed_cov.index.get_level_values(0).unique().equals(index)
    forecast = res.forecast(H)
    assert type(forecast.index) is type(index)
    assert forecast.columns.tolist() == ["gdp", "cons", "inv"]
    if index.dtype.kind != "i":
        whole = pd.period_range if isinstance(index, pd.PeriodIndex) else pd.date_range
        assert forecast.index.equals(whole(index[-1], periods=H + 1, freq=index.freq)[1:])
        assert forecast.index.freq == index.freq
    else:
        assert forecast.index.tolist() == list(range(index[-1] + 1, index[-1] + 1 + H))
    frame = res.get_forecast(H).summary_frame(endog=1)
    assert frame.index.equals(forecast.index) and frame.columns.name == "cons"


def test_dates_of_the_constructor() -> None:
    index = INDEXES["dates"]
    res = sse.LGSSM(panel(), 2, dates=index, freq=index.freqstr)
    factors = res.smooth(res.start_params).factors
    assert factors.smoothed.index.equals(index)


def test_a_series_has_its_name() -> None:
    y = pd.Series(ar1(), index=pd.period_range("1990-01", periods=120, freq="M"), name="infl")
    res = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    assert res.model.param_names == ["obs_intercept.infl", "L1.f1->f1", "obs_var.infl", "state_var.f1"]
    assert res.params.index.tolist() == res.model.param_names
    assert res.bse.index.tolist() == res.model.param_names
    assert isinstance(res.forecast(2), pd.Series)


def test_matrices_are_labelled() -> None:
    y, index = quarterly(panel()), quarterly(panel()).index
    exog = pd.DataFrame(regressors(N, 2, 1), index=index, columns=["tax", "oil"])
    state_exog = pd.Series(regressors(N, 1, 2)[:, 0], index=index, name="money")
    at = smoothed({"lags": 2, "exog": exog, "state_exog": state_exog}, y).matrices
    series, factors = ["gdp", "cons", "inv"], ["f1", "f2"]
    states = ["f1", "f2", "f1.L1", "f2.L1"]
    axes = {
        "design": (series, factors),
        "obs_intercept": (series, None),
        "obs_coef": (series, ["tax", "oil"]),
        "obs_cov": (series, series),
        "transition": (factors, [("L1", "f1"), ("L1", "f2"), ("L2", "f1"), ("L2", "f2")]),
        "state_intercept": (factors, None),
        "state_coef": (factors, ["money"]),
        "state_cov": (factors, factors),
        "initial_state": (states, None),
        "initial_state_cov": (states, states),
    }
    for key, (rows, columns) in axes.items():
        assert at[key].index.tolist() == rows, key
        if columns is not None:
            assert at[key].columns.tolist() == columns, key
        else:
            assert at[key].shape[1] == 1


def test_parameter_names_and_matrices_agree() -> None:
    spec = {"lags": 2, "obs_cov": "unstructured", "state_mean": "free"}
    res = smoothed({**spec, **REGRESSORS["both"]}, quarterly(panel()))
    at, found = res.matrices, values(res)
    assert found["loading.f1->gdp"] == at["design"].loc["gdp", "f1"]
    assert found["L2.f1->f2"] == at["transition"].loc["f2", ("L2", "f1")]
    assert found["obs_var.gdp"] == at["obs_cov"].loc["gdp", "gdp"]
    assert found["obs_cov.gdp.cons"] == at["obs_cov"].loc["cons", "gdp"] == at["obs_cov"].loc["gdp", "cons"]
    assert found["state_cov.f1.f2"] == at["state_cov"].loc["f1", "f2"]
    assert found["obs_intercept.inv"] == at["obs_intercept"].loc["inv"].item()
    assert found["obs_coef.x2->cons"] == at["obs_coef"].loc["cons", "x2"]
    assert found["state_coef.u1->f2"] == at["state_coef"].loc["f2", "u1"]
    assert found["state_mean.f2"] == at["state_mean"].loc["f2"].item()


# -- identification, summary, rotation ---------------------------------------------------------------------


def test_identification_warns_once_and_says_it_in_the_summary() -> None:
    with pytest.warns(sse.IdentificationWarning) as caught:
        res = build({}, panel(80)).fit()
    assert len(caught) == 1 and "flat along 4 directions" in str(caught[0].message)
    text = res.summary().as_text()
    assert "flat along 4 directions" in text and "Converged" in text
    se = dict(zip(res.model.param_names, np.asarray(res.bse), strict=True))
    for name, value in se.items():
        moved = name.split(".")[0] in ("loading", "L1", "state_var", "state_cov")
        assert np.isnan(value) == moved, name
    # 3 x 2 loadings, 3 intercepts, 2 x 2 transition, 3 and 3 of the covariances, less 4 rotations
    assert len(res.model.param_names) == 19 and res.df_model == 15
    assert res.aic == pytest.approx(-2.0 * res.llf + 2.0 * 15.0)
    assert res.bic == pytest.approx(-2.0 * res.llf + np.log(79) * 15.0)  # one of 80 periods is empty


@pytest.mark.parametrize("use", ["identification", "df_model", "aic", "summary"])
def test_without_standard_errors_identification_is_checked_at_its_first_use(use: str) -> None:
    """Without standard errors, the check would be most of a short re-estimation."""
    model = build({}, panel(80))
    calls: list[Any] = []
    check = model.identification
    model.identification = lambda *args: calls.append(args) or check(*args)  # type: ignore[method-assign]
    res = model.fit(cov_type="none")  # warnings are errors here
    assert not calls
    with pytest.warns(sse.IdentificationWarning, match="flat along 4 directions"):
        found = getattr(res, use)
        if callable(found):
            found()
    assert res.aic == pytest.approx(-2.0 * res.llf + 2.0 * 15.0)  # the second use does not warn
    assert len(calls) == 1


def test_a_mean_beside_a_free_intercept() -> None:
    y = ar1()
    with pytest.warns(sse.IdentificationWarning, match="1 direction.*mean") as caught:
        res = sse.LGSSM(y, 1, design=[[1.0]], state_mean="free").fit()
    assert len(caught) == 1
    se = dict(zip(res.model.param_names, np.asarray(res.bse), strict=True))
    assert np.isnan(se["obs_intercept.y"]) and np.isnan(se["state_mean.f1"])
    expected = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    same = ["L1.f1->f1", "obs_var.y", "state_var.f1"]
    assert_allclose(
        [se[name] for name in same],
        [np.asarray(expected.bse)[expected.model.param_names.index(name)] for name in same],
        rtol=1e-4,
    )
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-8)
    assert res.df_model == expected.df_model == 4


@pytest.mark.parametrize("identification", ["triangular", "unit"])
def test_a_normalisation_has_standard_errors(identification: str) -> None:
    """And the same maximum; no warning, since warnings are errors here."""
    res = build({}, panel(80), identification=identification).fit()
    with pytest.warns(sse.IdentificationWarning):
        free = build({}, panel(80)).fit()
    assert_allclose(res.llf, free.llf, rtol=0, atol=1e-6)
    assert np.all(np.isfinite(res.bse)) and np.all(np.asarray(res.bse) > 0)
    assert res.df_model == free.df_model == len(res.model.param_names)
    design = res.matrices["design"].to_numpy()
    if identification == "triangular":
        assert design[0, 1] == 0.0
        assert_array_equal(res.matrices["state_cov"], np.eye(2))
    else:
        assert_array_equal(design[:2], np.eye(2))


def test_summary_states_the_convergence() -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    text = model.fit().summary().as_text()
    assert "Converged: method auto" in text and "LGSSM" in text
    with pytest.warns(sse.ConvergenceWarning):
        short = model.fit(method="em", maxiter=3)
    text = short.summary().as_text()
    assert "NOT CONVERGED" in text and "maxiter" in text
    assert "onverged" not in model.smooth(model.start_params).summary().as_text()


@unidentified
@pytest.mark.parametrize("method", ["varimax", "quartimax", "quartimin"])
@pytest.mark.parametrize("lags", [1, 2])
def test_rotation_changes_no_fitted_value(method: str, lags: int) -> None:
    model = build({"lags": lags, "state_intercept": "free", "obs_intercept": "zero"})
    res = model.smooth(model.start_params)
    rotated = res.rotate(method)
    fitted = rotated.smoothed.to_numpy() @ rotated.loadings.to_numpy().T
    expected = res.factors.smoothed.to_numpy() @ res.matrices["design"].to_numpy().T
    assert_allclose(fitted, expected, rtol=1e-9, atol=1e-10)
    inverse = np.linalg.inv(rotated.rotation.to_numpy())
    turned = {
        "design": rotated.loadings,
        "transition": rotated.transition,
        "state_cov": rotated.state_cov,
        "state_intercept": inverse @ res.matrices["state_intercept"].to_numpy(),
    }
    same = model.params_from_matrices({**model.matrices(res.params), **turned})
    again = model.smooth(same)
    assert_allclose(again.llf, res.llf, rtol=1e-10)
    assert_allclose(again.fittedvalues, res.fittedvalues, rtol=1e-7, atol=1e-9)
    assert_allclose(again.factors.smoothed, rotated.smoothed, rtol=1e-7, atol=1e-9)
    assert rotated.loadings.index.tolist() == ["y1", "y2", "y3"]


def test_varimax_raises_the_varimax_criterion() -> None:
    model = build({})
    res = model.smooth(model.start_params)

    def criterion(loadings: np.ndarray) -> float:
        return float(np.sum(np.var(loadings**2, axis=0)))

    rotated = res.rotate()
    root = np.linalg.cholesky(res.matrices["state_cov"].to_numpy())
    assert criterion(rotated.loadings.to_numpy()) >= criterion(res.matrices["design"].to_numpy() @ root)
    assert_allclose(rotated.state_cov, np.eye(2), atol=1e-10)


@pytest.mark.parametrize("method", ["varimax", "quartimin"])
def test_rotated_loadings_are_those_of_statsmodels(method: str) -> None:
    """An oblique rotation has L = A (T')^{-1}, not A T."""
    res = smoothed({})
    root = np.linalg.cholesky(res.matrices["state_cov"].to_numpy())
    expected, _ = rotate_factors(res.matrices["design"].to_numpy() @ root, method)
    assert_allclose(res.rotate(method).loadings, expected, rtol=1e-8, atol=1e-10)


def test_unknown_rotation() -> None:
    with pytest.raises(sse.SpecificationError, match="no_such"):
        smoothed({}).rotate("no_such")


def test_rotations_with_arguments() -> None:
    """Oblimin with gamma 0 is quartimin; orthomax with gamma 1 is varimax."""
    res = smoothed({})
    assert_allclose(res.rotate("oblimin").loadings, res.rotate("quartimin").loadings)
    assert_allclose(res.rotate("oblimin", 0.5, "oblique").loadings, res.rotate("biquartimin").loadings)
    assert_allclose(res.rotate("orthomax", 1).loadings, res.rotate("varimax").loadings)


@pytest.mark.parametrize("method", ["orthomax", "CF", "target", "partial_target", 3, None])
@pytest.mark.parametrize("given", [(), (0.5,), (0.5, "skew"), (0.5, "oblique", 1), ("x", "oblique")])
def test_rotations_with_wrong_arguments(method: Any, given: tuple[Any, ...]) -> None:
    if (method, given) == ("orthomax", (0.5,)):
        given = (0.5, "oblique")
    with pytest.raises(sse.SpecificationError, match=r"arguments are missing or wrong: got .* with \("):
        smoothed({}).rotate(method, *given)


# -- two ways to say one thing -----------------------------------------------------------------------------


@unidentified
@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("initialization", ["stationary", "known"])
def test_a_mean_is_an_intercept(lags: int, initialization: str) -> None:
    spec: dict = {"lags": lags, "design": DESIGN, "obs_intercept": "zero"}
    if initialization == "known":
        spec |= {
            "initialization": "known",
            "initial_state": np.zeros(2 * lags),
            "initial_state_cov": np.eye(2 * lags),
        }
    y = panel(80) + DESIGN @ [2.0, -1.0] - [1.0, -2.0, 0.5]
    mean = build({**spec, "state_mean": "free"}, y).fit()
    intercept = build({**spec, "state_intercept": "free"}, y).fit()
    assert_allclose(mean.llf, intercept.llf, rtol=0, atol=1e-8)
    at = intercept.matrices
    level = np.eye(2) - at["transition"].to_numpy().reshape(2, lags, 2).sum(axis=1)
    implied = np.linalg.solve(level, at["state_intercept"].to_numpy())
    assert_allclose(mean.matrices["state_mean"], implied, rtol=1e-3)
    em = build({**spec, "state_mean": "free"}, y).fit(method="em", maxiter=30, tolerance=0)
    assert np.all(np.diff(em.em_trace["llf"]) >= -1e-9 * abs(em.llf)) and em.llf <= mean.llf + 1e-8


@unidentified
def test_a_nested_list_of_strings_is_an_array_of_nan() -> None:
    text = [["a", 0], ["b", 1.0], ["c", "d"]]
    array = [[np.nan, 0], [np.nan, 1.0], [np.nan, np.nan]]
    first, second = build({"design": text}), build({"design": array})
    params = second.start_params
    assert first.param_names[:4] == ["a", "b", "c", "d"]
    assert first.loglike(params) == second.loglike(params)


# -- statsmodels' own models -------------------------------------------------------------------------------


def test_sarimax_with_measurement_error() -> None:
    y = ar1()
    ours = sse.LGSSM(y, 1, 2, design=[[1.0]])
    theirs = sm.tsa.SARIMAX(y, exog=np.ones(120), order=(2, 0, 0), measurement_error=True)
    mean, a1, a2, noise, variance = 2.0, 0.5, 0.2, 0.4, 1.1
    params = [mean, a1, a2, noise, variance]
    assert ours.param_names == ["obs_intercept.y", "L1.f1->f1", "L2.f1->f1", "obs_var.y", "state_var.f1"]
    a, b = ours.smooth(params), theirs.smooth(params)
    assert_allclose(a.llf, b.llf, rtol=1e-11)
    ones = {"exog": np.ones((H, 1))}
    assert_allclose(a.forecast(H), b.forecast(H, **ones), rtol=1e-9)
    assert_allclose(a.get_forecast(H).se_mean, b.get_forecast(H, **ones).se_mean, rtol=1e-9)
    assert_allclose(a.fittedvalues, b.fittedvalues, rtol=1e-8)


def test_regression_with_autoregressive_errors() -> None:
    y, exog = ar1(), regressors(120, 2, 8)
    ours = sse.LGSSM(y, 1, exog=exog, design=[[1.0]], obs_intercept="zero", obs_cov="zero")
    theirs = sm.tsa.SARIMAX(y, exog=exog, order=(1, 0, 0))
    params = [0.3, -0.2, 0.7, 1.3]
    a, b = ours.smooth(params), theirs.smooth(params)
    new = regressors(H, 2, 9)
    assert_allclose(a.llf, b.llf, rtol=1e-11)
    assert_allclose(a.forecast(H, exog=new), b.forecast(H, exog=new), rtol=1e-9)
    best, reference = ours.fit(), theirs.fit(disp=False)
    assert best.llf >= reference.llf - 1e-9
    assert_allclose(best.llf, reference.llf, rtol=0, atol=1e-4)


def random_walks(k: int) -> tuple[np.ndarray, sse.LGSSM]:
    """Return data with a local level (k = 1) or a local linear trend (k = 2), and the model of them."""
    rng = np.random.default_rng(k)
    level = np.cumsum(rng.normal(size=120) + (k - 1) * np.cumsum(0.3 * rng.normal(size=120)))
    y = level + 1.5 * rng.normal(size=120)
    y[[3, 50, 51]] = np.nan
    return y, local_trend(y, k)


def local_trend(y: np.ndarray, k: int) -> sse.LGSSM:
    return sse.LGSSM(
        y, k, design=np.eye(1, k), transition=np.triu(np.ones((k, k))), obs_intercept="zero",
        state_cov="diagonal", initialization="diffuse",
    )  # fmt: skip


@pytest.mark.parametrize(("k", "trend"), [(1, "local level"), (2, "local linear trend")])
def test_unobserved_components_from_an_exact_diffuse_start(k: int, trend: str) -> None:
    y, ours = random_walks(k)
    theirs = sm.tsa.UnobservedComponents(y, trend, use_exact_diffuse=True)
    params = [0.5, 1.2, 0.3][: 1 + k]
    a, b = ours.smooth(params), theirs.smooth(params)
    assert_allclose(a.llf, b.llf, rtol=1e-11)
    assert_allclose(a.forecast(H), b.forecast(H), rtol=1e-9)
    assert_allclose(a.factors.smoothed.to_numpy().T, b.smoothed_state, rtol=1e-7, atol=1e-8)
    assert a.nobs_diffuse == b.nobs_diffuse
    best, reference = ours.fit(), theirs.fit(disp=False)
    assert_allclose(best.llf, reference.llf, rtol=0, atol=1e-5)
    assert best.llf >= reference.llf - 1e-9
    assert_allclose(best.forecast(H), reference.forecast(H), rtol=1e-3)


def test_a_maximum_at_zero_variance_is_one() -> None:
    """Integrated data without noise: the observation variance goes to zero, and the fit has converged."""
    y = np.cumsum(ar1())
    y[[3, 50, 51]] = np.nan
    res = local_trend(y, 2).fit()
    reference = sm.tsa.UnobservedComponents(y, "local linear trend", use_exact_diffuse=True)
    assert_allclose(res.llf, reference.fit(disp=False).llf, rtol=0, atol=1e-6)
    assert res.converged and res.boundary == ["obs_var.y"]
    assert "boundary" in res.summary().as_text() and np.all(np.isfinite(res.params))


def test_approximate_diffuse_start_of_unobserved_components() -> None:
    y = np.cumsum(ar1())
    ours = sse.LGSSM(
        y, 1, design=[[1.0]], transition=[[1.0]], obs_intercept="zero", initialization="approximate_diffuse"
    )
    theirs = sm.tsa.UnobservedComponents(y, "local level", loglikelihood_burn=0)
    theirs.ssm.tolerance = 0.0  # as ours: the default freezes the covariances early
    params = [0.5, 1.2]
    assert_allclose(ours.smooth(params).llf, theirs.smooth(params).llf, rtol=1e-11)


@pytest.mark.parametrize("lags", [1, 2])
def test_varmax_with_measurement_error(lags: int) -> None:
    y = panel()[:, :2]
    ours = sse.LGSSM(y, 2, lags, design="identity", obs_intercept="zero", state_intercept="free")
    theirs = sm.tsa.VARMAX(y, order=(lags, 0), trend="c", measurement_error=True)
    params = dict(zip(theirs.param_names, theirs.start_params, strict=True))
    blocks = [[[params[f"L{lag + 1}.y{j}.y{i}"] for j in (1, 2)] for i in (1, 2)] for lag in range(lags)]
    root = np.array([[params["sqrt.var.y1"], 0.0], [params["sqrt.cov.y1.y2"], params["sqrt.var.y2"]]])
    vector = ours.params_from_matrices(
        {
            "transition": np.hstack(blocks),
            "state_intercept": [params["intercept.y1"], params["intercept.y2"]],
            "state_cov": root @ root.T,
            "obs_cov": np.diag([params["measurement_variance.y1"], params["measurement_variance.y2"]]),
        }
    )
    a, b = ours.smooth(vector), theirs.smooth(theirs.start_params)
    assert_allclose(a.llf, b.llf, rtol=1e-10)
    assert_allclose(a.forecast(H), b.forecast(H), rtol=1e-8)


@pytest.mark.parametrize("order", [1, 2])
def test_dynamic_factor(order: int) -> None:
    rng = np.random.default_rng(1)
    y = ar1()[:, None] * [1.0, 0.7, -0.5] + rng.normal(size=(120, 3))
    y = y - y.mean(axis=0)
    y[rng.random(y.shape) < 0.1] = np.nan
    ours = sse.LGSSM(y, 1, order, obs_intercept="zero", state_cov="identity")
    theirs = sm.tsa.DynamicFactor(y, k_factors=1, factor_order=order)
    found = dict(zip(theirs.param_names, theirs.start_params, strict=True))
    vector = ours.params_from_matrices(
        {
            "design": [[found[f"loading.f1.y{i}"]] for i in (1, 2, 3)],
            "obs_cov": np.diag([found[f"sigma2.y{i}"] for i in (1, 2, 3)]),
            "transition": [[found[f"L{lag + 1}.f1.f1"] for lag in range(order)]],
        }
    )
    a, b = ours.smooth(vector), theirs.smooth(theirs.start_params)
    assert_allclose(a.llf, b.llf, rtol=1e-10)
    assert_allclose(a.forecast(H), b.forecast(H), rtol=1e-8)
    best, reference = ours.fit(), theirs.fit(disp=False, maxiter=500)
    assert best.converged and best.llf >= reference.llf - 1e-8
    assert_allclose(best.llf, reference.llf, rtol=0, atol=1e-4)


def test_state_exog_is_varmax_exog_one_period_later() -> None:
    """VARMAX's exog_t enters y_t; here row t enters x_{t+1}."""
    y, exog = panel()[:, :2], regressors(N, 1, 4)
    theirs = sm.tsa.VARMAX(y, order=(1, 0), trend="n", exog=exog, measurement_error=True)
    found = dict(zip(theirs.param_names, theirs.start_params, strict=True))
    start = theirs.smooth(theirs.start_params)
    ours = sse.LGSSM(
        y, 2, state_exog=np.concatenate([exog[1:], [[0.0]]]), design="identity", obs_intercept="zero",
        initialization="known", initial_state=start.filter_results.initial_state,
        initial_state_cov=start.filter_results.initial_state_cov,
    )  # fmt: skip
    root = np.array([[found["sqrt.var.y1"], 0.0], [found["sqrt.cov.y1.y2"], found["sqrt.var.y2"]]])
    vector = ours.params_from_matrices(
        {
            "transition": [[found[f"L1.y{j}.y{i}"] for j in (1, 2)] for i in (1, 2)],
            "state_coef": [[found["beta.x1.y1"]], [found["beta.x1.y2"]]],
            "state_cov": root @ root.T,
            "obs_cov": np.diag([found["measurement_variance.y1"], found["measurement_variance.y2"]]),
        }
    )
    assert_allclose(ours.loglike(vector), start.llf, rtol=1e-10)


def test_a_diffuse_initialisation_set_by_the_user() -> None:
    fixed = {"design": DESIGN, "transition": "identity", "obs_intercept": "zero"}
    own = build(fixed, panel(), initialization="diffuse")
    theirs = build(fixed, panel(), initialization="approximate_diffuse")
    params = np.asarray(own.start_params)
    theirs.ssm.initialize_diffuse()
    assert theirs.loglike(params) == own.loglike(params)
    partly = Initialization(2)
    partly.set(0, "diffuse")
    partly.set(1, "stationary")
    theirs.ssm.initialization = partly
    with pytest.raises(sse.UnsupportedError, match="partly diffuse"):
        theirs.loglike(params)


def test_parameters_are_not_transformed() -> None:
    model = build({})
    params, jacobian = model.handle_params(model.start_params, return_jacobian=True)
    np.testing.assert_array_equal(params, model.start_params)
    np.testing.assert_array_equal(jacobian, np.eye(len(params)))


def test_a_design_over_time_has_no_rotation() -> None:
    design = np.repeat(DESIGN[:, :, None], N, axis=2)
    model = build({"design": design, "obs_intercept": "zero"})
    with pytest.raises(sse.SpecificationError, match="varies over time"):
        model.smooth(model.start_params).rotate()
