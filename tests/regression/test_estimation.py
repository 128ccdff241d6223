"""EM of covariance matrices of factor models: steps that rise, a maximum that stands, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from edge_data import MARKET, returns
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.regression.estimation import factor_analysis_steps


def objective(target: np.ndarray, loading: np.ndarray, specific: np.ndarray) -> float:
    cov = loading @ loading.T + np.diag(specific)
    return float(-np.linalg.slogdet(cov)[1] - np.trace(np.linalg.solve(cov, target)))


def test_every_step_of_factor_analysis_rises_to_the_maximum() -> None:
    rng = np.random.default_rng(0)
    loading = rng.standard_normal((5, 2))
    specific = rng.uniform(0.5, 1.5, 5)
    target = loading @ loading.T + np.diag(specific)
    at, own = loading + 0.3 * rng.standard_normal((5, 2)), np.ones(5)
    values = [objective(target, at, own)]
    for _ in range(40):
        at, own = factor_analysis_steps(target, at, own, 1)
        values.append(objective(target, at, own))
        assert_allclose(np.triu(at, 1), 0.0, atol=1e-12)
    assert np.all(np.diff(values) > -1e-12) and values[-1] > values[0] + 0.1
    at, own = factor_analysis_steps(target, at, own, 5000)
    assert_allclose(at @ at.T + np.diag(own), target, atol=1e-6)


def test_a_specific_variance_of_zero_stands() -> None:
    loading, specific = np.array([[1.0], [0.5], [0.7]]), np.array([0.0, 1.0, 2.0])
    target = loading @ loading.T + np.diag([0.0, 1.5, 1.0])
    _, own = factor_analysis_steps(target, loading, specific)
    assert own[0] == 0.0 and np.all(own[1:] > 0)


def test_a_perfect_fit_is_left_before_it_is_singular() -> None:
    rng = np.random.default_rng(0)
    loading = rng.standard_normal((4, 2))
    target = loading @ loading.T
    start = loading + 0.3 * rng.standard_normal((4, 2))
    at, own = factor_analysis_steps(target, start, np.ones(4), 5000)
    assert 0.0 < np.min(own) <= np.max(own) < 1e-10
    assert np.isfinite(objective(target, at, own))


def regression(**spec: Any) -> sse.DynamicRegression:
    exog = np.column_stack([MARKET, np.ones(len(MARKET))])
    given = {"dynamics": {"x1": "random_walk"}, "obs_cov": "diagonal", "state_cov": "factor:1", **spec}
    return sse.DynamicRegression(returns(), exog, **given)


BOTH = {"dynamics": {"x1": "random_walk", "x2": "random_walk"}}


FACTORS: list[dict[str, Any]] = [
    {},
    {"obs_cov": "factor:1", "state_cov": "diagonal"},
    {"obs_cov": "factor:1", **BOTH},
]


@pytest.mark.parametrize("spec", FACTORS)
@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_em_rises_and_leaves_the_maximum_where_it_is(spec: dict[str, Any]) -> None:
    model = regression(**spec)
    best = model.fit(cov_type="none")
    em = model.fit(method="em", maxiter=30, tolerance=0.0, cov_type="none")
    assert np.all(np.diff(em.em_trace["llf"]) > -1e-9)
    assert em.em_trace["llf"].iloc[0] + 0.1 < em.llf <= best.llf + 1e-6
    again = model.fit(best.params, method="em", maxiter=5, tolerance=0.0, cov_type="none")
    assert_allclose(again.llf, best.llf, atol=1e-5)


@pytest.mark.parametrize("spec", FACTORS)
@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_repeated_updates_find_loadings_and_specific_variances(spec: dict[str, Any]) -> None:
    """Those of which the mean residual matrix is made: with three series to a factor there are no others."""
    problem = regression(**spec).problem()
    params = np.asarray(problem.model.start_params)
    moments, at = problem.moments(params), problem.updates.layout.matrices(params)
    rng, want = np.random.default_rng(5), {}
    for key, name in (("obs", "observation"), ("state", "state")):
        loading = np.where(at[f"{key}_loading"] != 0, rng.uniform(0.5, 1.0, at[f"{key}_loading"].shape), 0.0)
        specific = np.diag(rng.uniform(0.5, 1.0, len(loading)))
        want |= {f"{key}_loading": loading, f"{key}_cov": specific}
        sums = getattr(moments, name)
        ee = sums.n[0] * (loading @ loading.T + specific)
        moments = replace(moments, **{name: replace(sums, ee=ee[None])})
    for _ in range(50):
        for _, update in problem.updates.cycles()[0]:
            params, _ = update(params, moments)
    found = problem.updates.layout.matrices(params)
    for key, matrix in want.items():
        assert_allclose(found[key], matrix, rtol=1e-6, err_msg=key)


REFUSED = {
    "ar1": ({"dynamics": {"x1": "ar1"}}, "ar1"),
    "proportional": ({**BOTH, "state_cov": {"x1": "factor:1", "x2": "proportional"}}, "proportional"),
    "some regressors": ({**BOTH, "state_cov": {"x1": "factor:1", "x2": "diagonal"}}, "some moving"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_em_refuses(name: str) -> None:
    spec, words = REFUSED[name]
    with pytest.raises(sse.UnsupportedError, match=words):
        regression(**spec).fit(method="em")


def test_a_fixed_loading_is_refused() -> None:
    model = regression()
    name = next(name for name in model.param_names if "loading" in name or "factor1" in name)
    with model.fix_params({name: 0.5}), pytest.raises(sse.UnsupportedError, match="a fixed loading"):
        model.fit(method="em")


@pytest.mark.parametrize("second", [1.0, 0.0])
@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_repeated_updates_of_proportional_covariances_leave_no_slope(second: float) -> None:
    """In the expected log-likelihood of eps ~ N(0, V) and eta_j ~ N(0, q_j V); a q_j of zero stays."""
    model = regression(**BOTH, obs_cov="unstructured", state_cov="proportional")
    problem, params = model.problem(), np.asarray(model.start_params)
    q = model.layout.index["proportion"]
    params[q[1]] *= second
    moments = problem.moments(params)
    if second == 0.0:  # up to rounding, which may be negative
        assert_allclose(moments.state.ee[0][3:, 3:], 0.0, atol=1e-12)
        assert problem.updates.obs_cov_and_proportion(params, moments)[0][q[1]] >= 0.0
        moments.state.ee[0][3:, 3:] = 0.0

    def expected(at: np.ndarray) -> float:
        cov, value = model.layout.matrices(at)["obs_cov"], 0.0
        for share, ee, n in (
            (1.0, moments.observation.ee[0], moments.observation.n[0]),
            (at[q[0]], moments.state.ee[0][:3, :3], moments.state.n[0]),
            (at[q[1]], moments.state.ee[0][3:, 3:], moments.state.n[0]),
        ):
            if share > 0:
                value -= n * np.linalg.slogdet(share * cov)[1] + np.trace(np.linalg.solve(share * cov, ee))
        return 0.5 * value

    start = params
    for _ in range(40):
        for _, update in problem.updates.cycles()[0]:
            params, _ = update(params, moments)
    moving = np.flatnonzero(params)
    assert len(moving) == len(params) - (second == 0.0)
    before, after = (
        richardson_gradient(expected, at, step=0.01 * np.maximum(np.abs(at), 1e-6))[moving]
        for at in (start, params)
    )
    assert np.max(np.abs(after * params[moving])) < 1e-6 * np.max(np.abs(before * params[moving]))


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_em_of_two_proportional_regressors_rises_and_stands_at_the_maximum() -> None:
    model = regression(**BOTH, obs_cov="unstructured", state_cov="proportional")
    em = model.fit(method="em", maxiter=40, tolerance=0.0, cov_type="none")
    assert np.all(np.diff(em.em_trace["llf"]) > -1e-9)
    best = model.fit(cov_type="none")
    again = model.fit(best.params, method="em", maxiter=5, tolerance=0.0, cov_type="none")
    assert em.em_trace["llf"].iloc[0] + 0.1 < em.llf <= best.llf + 1e-6
    assert_allclose(again.llf, best.llf, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_start_values_without_residuals_are_finite(value: float) -> None:
    """The share of W in V is a ratio of residual variances; numpy's warnings are errors in the tests."""
    y = np.full((40, 2), value)
    market = np.random.default_rng(0).standard_normal(40)
    model = sse.CAPM(y, market, beta="random_walk", state_cov="proportional")
    assert np.isfinite(model.start_params).all()
