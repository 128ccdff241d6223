"""Fits of LGSSM: fixed parameters, start values, options, and what `fit` returns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from systems import by_turns
from two_factors import DESIGN, H, ar1, build, not_converged, panel, unidentified, values

import statespace_ext as sse

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


@unidentified
@by_turns("name, method", FIXED, ["auto", "em", "lbfgs"])
def test_fixed_values_are_kept_exactly(name: str, method: str) -> None:
    spec, fixed, _ = FIXED[name]
    options = {} if method == "auto" else {"cov_type": "none"}
    options |= {"maxiter": 20, "tolerance": 0} if method == "em" else {}
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
        res = model.fit(cov_type="none")
    expected = build(declared, panel(80)).fit(cov_type="none")
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
