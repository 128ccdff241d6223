"""LGSSM as an MLEModel: constructor, clones, copies, pickles; statsmodels' own models as its cases."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEModel
from two_factors import (
    DESIGN,
    MODELS,
    H,
    N,
    ar1,
    build,
    every_model,
    future,
    not_converged,
    panel,
    quarterly,
    regressors,
    unidentified,
    without_diffuse_missing,
)

import statespace_ext as sse

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


@every_model
def test_zeros_are_no_obstacle_to_a_constructor(spec: Mapping) -> None:
    """A forecast clones the model on zeros(h, p); what a sample must hold is checked by `fit`."""
    given = {key: value[:H] if key in ("exog", "state_exog") else value for key, value in spec.items()}
    model = build(given, np.zeros((H, 3)))
    with pytest.raises(sse.DataError, match="constant"):
        model.fit()


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
