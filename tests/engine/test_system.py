"""System matrices, the first state, and names for singular variances of forecast errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from edge_data import atsm, factor_series, lgssm, yields
from numpy.testing import assert_allclose, assert_array_equal
from oracle import dense_diffuse, random_system
from scipy.stats import norm
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from systems import dense_llf, library_system, sampled

import statespace_ext as sse
from statespace_ext.engine.system import MATRICES, initialization_of, with_stationary_start, write
from statespace_ext.lgssm.model import LGSSM

UNSTABLE = {
    "one root": [[1.02, 0.0], [0.0, 0.5]],
    "two roots": [[1.2, 0.3], [0.0, 1.5]],
    "complex roots": [[0.0, 1.1], [-1.1, 0.0]],
    "negative root": [[-2.4, 0.0], [0.0, 0.1]],
    "unit root": [[1.0, 0.0], [0.0, 0.5]],
}


@pytest.mark.parametrize("name", UNSTABLE)
def test_no_stationary_start_outside_the_unit_circle(name: str) -> None:
    """Lyapunov's equation has a solution there, which is no covariance; a filter takes it all the same."""
    model, params = sampled(np.random.default_rng(0), 20, 2, 2, design=np.eye(2))
    params[model.layout.index["transition"]] = np.array(UNSTABLE[name])[
        model.layout.blocks["transition"].rows, model.layout.blocks["transition"].columns
    ]
    for call in (model.loglike, model.score, model.smooth):
        with pytest.raises((ValueError, np.linalg.LinAlgError)):
            call(params)
    problem = model.problem()
    assert problem.value(params) == -np.inf
    assert problem.value_and_score(params) is None


@pytest.mark.parametrize(
    ("seed", "spec"), [(55, {"state_mean": "free"}), (52, {"lags": 2, "transition": "diagonal"})]
)
def test_a_fit_ends_inside_the_unit_circle(seed: int, spec: dict) -> None:
    """Samples in which a gradient method once walked out, to a likelihood that does not exist."""
    model, params = sampled(
        np.random.default_rng(seed), 80, 3, 2, missing=0.1, identification="triangular", **spec
    )
    optimum = model.fit(params, return_params=True)
    assert np.abs(np.linalg.eigvals(model.system(optimum).transition)).max() < 1.0
    assert_allclose(model.loglike(optimum), dense_llf(model, optimum), rtol=1e-8)


@pytest.mark.parametrize("lags", [1, 3])
def test_stationary_start(lags: int) -> None:
    _, given = random_system(np.random.default_rng(1), 3, 2, 2, lags=lags, initialization="stationary")
    blank = {name: np.zeros_like(given[name]) for name in ("initial_state", "initial_state_cov")}
    system = with_stationary_start(library_system({**given, **blank}, "stationary"))
    assert_allclose(system.initial_state, given["initial_state"], rtol=1e-10)
    assert_allclose(system.initial_state_cov, given["initial_state_cov"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("start", ["known", "stationary", "diffuse", "approximate_diffuse"])
def test_write(start: str) -> None:
    """Into any statsmodels representation, whose own arrays are replaced."""
    kind = {"approximate_diffuse": "known"}.get(start, start)
    y, given = random_system(np.random.default_rng(3), 8, 2, 3, initialization=kind)
    ssm = KalmanSmoother(k_endog=3, k_states=2, k_posdef=2)
    ssm.bind(y.copy())
    write(ssm, library_system(random_system(np.random.default_rng(4), 8, 2, 3)[1]))
    before = {name: ssm[name] for name in MATRICES}
    kept = {name: value.copy() for name, value in before.items()}
    for solved in (False, True):
        write(ssm, library_system(given, start), solved=solved)
        assert_allclose(
            ssm.loglike(), dense_diffuse(y, given, np.full(2, start == "diffuse")).llf, rtol=1e-10
        )
    for name in MATRICES:
        assert_array_equal(before[name], kept[name])


def test_write_keeps_a_start_where_asked() -> None:
    y, given = random_system(np.random.default_rng(4), 8, 2, 3)
    ssm = KalmanSmoother(k_endog=3, k_states=2, k_posdef=2)
    ssm.bind(y.copy())
    ssm.initialize_known(np.full(2, 5.0), np.eye(2))
    before = ssm.initialization
    write(ssm, library_system(given), start=False)
    assert ssm.initialization is before


def test_initialization_with_state_regressors_is_that_of_the_constant_part() -> None:
    """A stationary start with an intercept that varies cannot be left to statsmodels."""
    y, given = random_system(np.random.default_rng(5), 8, 2, 3, initialization="stationary")
    system = library_system(given, "stationary")
    varying = replace(system, state_intercept=np.repeat(system.state_intercept[:, None], 8, axis=1))
    ssm = KalmanSmoother(k_endog=3, k_states=2, k_posdef=2)
    ssm.bind(y.copy())
    write(ssm, varying)
    mean, diffuse, cov = initialization_of(varying)(model=ssm)
    assert_allclose(mean, given["initial_state"])
    assert_allclose(cov, given["initial_state_cov"])
    assert not np.any(diffuse)


def test_the_system_of_a_model_with_everything() -> None:
    """Regressors, means and lags, written out."""
    rng = np.random.default_rng(6)
    n, x, u = 12, rng.standard_normal((12, 2)), rng.standard_normal((12, 1))
    model = LGSSM(
        rng.standard_normal((n, 3)), 2, 2, exog=x, state_exog=u, state_intercept="free", state_mean=[1.0, 2.0]
    )
    params = 0.2 * rng.standard_normal(len(model.param_names))
    at, system = model.matrices(params), model.system(params)
    A1, A2 = at["transition"][:, :2], at["transition"][:, 2:]
    assert_array_equal(system.transition, np.block([[A1, A2], [np.eye(2), np.zeros((2, 2))]]))
    assert_array_equal(system.selection, np.vstack([np.eye(2), np.zeros((2, 2))]))
    assert_array_equal(system.design, np.hstack([at["design"], np.zeros((3, 2))]))
    assert_allclose(system.obs_intercept, at["obs_intercept"] + at["obs_coef"] @ x.T)
    c = at["state_intercept"] + (np.eye(2) - A1 - A2) @ [[1.0], [2.0]]
    assert_allclose(system.state_intercept, np.vstack([c + at["state_coef"] @ u.T, np.zeros((2, n))]))
    mean = np.linalg.solve(np.eye(2) - A1 - A2, c[:, 0])
    assert_allclose(system.initial_state, np.tile(mean, 2), rtol=1e-10)


DIRECTION = np.array([1.0, 2.0, 3.0])
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    name: lambda model, params, name=name: getattr(model, name)(params)
    for name in ("loglike", "score", "filter", "smooth")
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("obs_cov", [np.ones((3, 3)), np.outer(DIRECTION, DIRECTION)])
def test_a_singular_obs_cov_that_is_not_diagonal(obs_cov: Any, name: str) -> None:
    """One factor and noise of rank one: three series have a variance of rank two."""
    model = lgssm(factor_series(), obs_cov=obs_cov)
    with pytest.raises(sse.ParameterError, match="does not exist at these parameters: got .* Let obs_cov be"):
        CALLS[name](model, model.start_params)


def test_the_start_of_a_fit() -> None:
    with pytest.raises(sse.EstimationError, match="a singular obs_cov that is not diagonal"):
        lgssm(factor_series(), obs_cov=np.ones((3, 3))).fit()


@pytest.mark.parametrize("name", CALLS)
def test_three_series_without_noise_and_one_factor(name: str) -> None:
    model = lgssm(factor_series(), obs_cov=np.zeros((3, 3)))
    with pytest.raises(sse.ParameterError, match="dependent loadings"):
        CALLS[name](model, model.start_params)


def test_enough_factors_carry_a_singular_obs_cov() -> None:
    """Three factors make F_t positive definite again: the limit of noise that goes to that of rank one."""
    models = [
        lgssm(factor_series(), k_factors=3, obs_cov=np.ones((3, 3)) + noise * np.eye(3))
        for noise in (0.0, 1e-9)
    ]
    values = [model.loglike(models[1].start_params) for model in models]
    assert np.isclose(*values, rtol=1e-6) and np.isfinite(values).all()


def test_a_series_without_noise_whose_innovations_change() -> None:
    """It is its state: an autoregression with a variance of its own in each period."""
    rng = np.random.default_rng(0)
    variances = np.linspace(0.5, 2.0, 30)
    y = rng.standard_normal(30)
    model = LGSSM(
        y, 1, design=[[1.0]], obs_cov=[[0.0]], transition=[[0.5]], state_cov=variances[None, None],
        obs_intercept=[0.0], initialization="known", initial_state=[0.0], initial_state_cov=[[1.0]],
    )  # fmt: skip
    expected = norm(0.5 * y[:-1], np.sqrt(variances[:-1])).logpdf(y[1:]).sum() + norm.logpdf(y[0])
    assert_allclose(model.loglike([]), expected, rtol=1e-12)


def test_errors_of_the_package_keep_their_name() -> None:
    with pytest.raises(sse.SpecificationError, match="unbounded"):
        lgssm(factor_series(), initialization="diffuse").loglike(np.ones(8))
    with pytest.raises(sse.ParameterError, match="wrong shape"):
        atsm(yields()).loglike([1.0])
