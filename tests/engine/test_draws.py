"""Draws with singular covariance matrices: simulation and the simulation smoother, against exact moments."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels
from numpy.testing import assert_allclose
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.compat import simulation_seed
from statespace_ext.engine.passes import LazySmoother

SMALL = 1e-4
ZEROS = SMALL * np.diag([1.0, 0.0, 1.0])
ALIKE = SMALL * np.array([[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]])  # two equal, then another
N = 4000
alike_or_zeros = pytest.mark.parametrize(
    "cov", [pytest.param(ZEROS, marks=pytest.mark.slow), ALIKE], ids=["zeros", "alike"]
)
"""For tests that draw one path at a time: 4,000 take seconds."""


def representation(kind: type, obs_cov: Any, state_cov: Any, initial: Any, y: Any) -> Any:
    ssm = kind(3, 3, 3)
    ssm.bind(np.asfortranarray(y))
    ssm["design"] = ssm["selection"] = np.eye(3)
    ssm["transition"] = 0.5 * np.eye(3)
    ssm["obs_cov"], ssm["state_cov"] = obs_cov, state_cov
    ssm.initialize_known(np.ones(3), initial)
    return ssm


@pytest.mark.parametrize("cov", [ZEROS, ALIKE], ids=["zeros", "alike"])
@pytest.mark.parametrize("varies", [False, True])
def test_simulated_series(cov: np.ndarray, varies: bool) -> None:
    zero = np.zeros((3, 3))
    over_time = np.repeat(cov[:, :, None], N, axis=2) if varies else cov
    for obs_cov, state_cov in ((over_time, zero), (zero, over_time)):
        ssm = representation(LazySmoother, obs_cov, state_cov, zero, np.full((3, N), np.nan))
        with simulation_seed(3) as seed:
            y, states = ssm.simulate(N, initial_state=np.zeros(3), **seed)
        drawn = y - states if obs_cov is over_time else states[1:] - 0.5 * states[:-1]
        assert_allclose(np.cov(drawn.T), cov, atol=0.08 * SMALL)


@alike_or_zeros
def test_simulated_first_states(cov: np.ndarray) -> None:
    ssm = representation(LazySmoother, np.zeros((3, 3)), np.zeros((3, 3)), cov, np.full((3, 2), np.nan))
    with simulation_seed(3) as seed:
        simulator = ssm.simulation_smoother(**seed)
    drawn = []
    for _ in range(N):
        simulator.simulate()
        drawn.append(simulator.generated_state[:, 0])
    assert_allclose(np.mean(drawn, axis=0), 1.0, atol=4.0 * np.sqrt(SMALL / N))
    assert_allclose(np.cov(np.transpose(drawn)), cov, atol=0.08 * SMALL)


@alike_or_zeros
def test_draws_of_the_smoothed_state(cov: np.ndarray) -> None:
    """Their mean and covariance are those of the smoother."""
    rng = np.random.default_rng(1)
    y = 1.0 + np.sqrt(SMALL) * rng.standard_normal((3, 5))
    y[0, 2] = y[2, 3] = np.nan
    ssm = representation(LazySmoother, SMALL * np.eye(3), cov, cov, y)
    want = ssm.smooth()
    with simulation_seed(3) as seed:
        simulator = ssm.simulation_smoother(**seed)
    drawn = []
    for _ in range(N):
        simulator.simulate()
        drawn.append(simulator.simulated_state.copy())
    error = np.mean(drawn, axis=0) - want.smoothed_state
    assert np.max(np.abs(error)) < 4.5 * np.sqrt(SMALL / N)
    for t in range(5):
        found = np.cov(np.array(drawn)[:, :, t].T)
        assert_allclose(found, want.smoothed_state_cov[:, :, t], atol=0.08 * SMALL)


def test_given_variates_are_transformed() -> None:
    ssm = representation(LazySmoother, ZEROS, ALIKE, ZEROS, np.full((3, 50), np.nan))
    rng = np.random.default_rng(0)
    shocks = {
        "measurement_shocks": rng.standard_normal((50, 3)),
        "state_shocks": rng.standard_normal((50, 3)),
    }
    raw = {"pretransformed_measurement_shocks": False, "pretransformed_state_shocks": False}
    y, states = ssm.simulate(50, initial_state=np.zeros(3), **shocks, **raw)
    assert_allclose(y - states, shocks["measurement_shocks"] * np.sqrt(np.diag(ZEROS)), rtol=1e-9, atol=1e-12)
    found = states[1:] - 0.5 * states[:-1]
    assert_allclose(found[:, 0], found[:, 1], atol=1e-12)
    y, states = ssm.simulate(50, initial_state=np.zeros(3), **shocks)
    assert_allclose(y - states, shocks["measurement_shocks"], rtol=1e-9)


def test_a_constant_coefficient_before_a_moving_one() -> None:
    """`simulate` of models and results, of copies, and after the sample."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"x": np.ones(N)})
    y = pd.DataFrame(rng.standard_normal((N, 2)), columns=["a", "b"])
    model = sse.DynamicRegression(
        y, x, dynamics={"x": "random_walk"}, obs_cov="diagonal", state_cov=np.diag([0.0, SMALL])
    )
    variances = {name: SMALL if name.startswith("obs") else value for name, value in start(model).items()}
    res = model.smooth(variances, cov_type="none")
    with simulation_seed(1) as seed:
        drawn = np.asarray(model.simulate(res.params, N, initial_state=np.zeros(2), **seed))
    assert_allclose(np.var(np.diff(drawn[:, 0])), 2.0 * SMALL, rtol=0.1)
    assert_allclose(np.var(np.diff(drawn[:, 1])), 3.0 * SMALL, rtol=0.1)
    again = np.asarray(res.simulate(N, anchor="start", initial_state=np.zeros(2), rng=1))
    assert_allclose(np.var(np.diff(again[:, 1])), 3.0 * SMALL, rtol=0.1)


def start(model: Any) -> dict[str, float]:
    return dict(zip(model.param_names, model.start_params, strict=True))


def test_statsmodels_draws_with_variances_in_place_of_standard_deviations() -> None:
    model = MLEModel(np.zeros((N, 3)), k_states=3, k_posdef=3)
    model["design"] = model["selection"] = np.eye(3)
    model["obs_cov"] = ZEROS
    model.ssm.initialize_known(np.zeros(3), np.zeros((3, 3)))
    with warnings.catch_warnings(), simulation_seed(3) as seed:
        warnings.simplefilter("ignore")
        drawn = model.ssm.simulate(N, **seed)[0]
    assert np.var(drawn[:, 2]) < 0.01 * SMALL, (
        f"statsmodels {statsmodels.__version__} has this right: what guards against it can go"
    )
