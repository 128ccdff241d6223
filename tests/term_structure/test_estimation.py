"""The numerical M-step: the gradient of what it maximises, its information, and that it rises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from edge_data import N, atsm, yields
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.term_structure.estimation import ExpectedLoglike


def irregular() -> sse.ATSM:
    """Matrices of the state equation that vary, and gaps."""
    days = np.cumsum(np.random.default_rng(6).integers(3, 40, size=N))
    y = pd.DataFrame(yields(), index=pd.Timestamp("1990-01-01") + pd.to_timedelta(days, unit="D"))
    return atsm(y.mask(np.random.default_rng(7).random(y.shape) < 0.1), dt="infer")


def observed() -> sse.ATSM:
    """A factor that is observed without error, before the yields."""
    return atsm(yields(), factors=yields()[:, [1]])


MODELS = {
    "stationary": lambda: atsm(yields(), initialization="stationary"),
    "estimated": lambda: atsm(yields(), initialization="estimated"),
    "diffuse": lambda: atsm(yields(), initialization="diffuse"),
    "irregular": irregular,
    "observed": observed,
}


@pytest.mark.parametrize("name", MODELS)
def test_gradient(name: str) -> None:
    model = MODELS[name]()
    problem, start = model.problem(), np.asarray(model.start_params)
    expected = ExpectedLoglike(problem.updates, start, problem.moments(start))
    params = start * (1.0 + 0.02 * np.random.default_rng(0).uniform(-1, 1, len(start)))
    steps = 1e-4 * np.maximum(np.abs(params), 1e-4)
    value, gradient = expected.value_and_gradient(params)
    want = richardson_gradient(lambda x: expected.value_and_gradient(x)[0], params, step=steps)
    assert np.isfinite(value)
    assert_allclose(gradient * steps, want * steps, rtol=1e-5, atol=1e-9 * abs(value))


@pytest.mark.parametrize("initialization", ["stationary", "estimated"])
def test_em_rises(initialization: str) -> None:
    model = atsm(yields(), initialization=initialization)
    em = model.fit(method="em", maxiter=3, tolerance=0.0, cov_type="none")
    assert np.all(np.diff(em.em_trace["llf"]) > 0)


@pytest.mark.parametrize("name", MODELS)
def test_information(name: str) -> None:
    """Minus second derivatives of the expected log-likelihood; of that of the data, for an unknown start."""
    model = MODELS[name]()
    problem, params = model.problem(), np.asarray(model.start_params)
    moments = problem.moments(params)
    expected = ExpectedLoglike(problem.updates, params, moments)
    found = problem.updates.information(params, moments)
    unknown = problem.updates.layout.index["initial_state"]
    for i, size in enumerate(np.abs(params)):
        function = problem.loglike if i in unknown else lambda at: expected.value_and_gradient(at)[0]
        move = 1e-3 * size * np.eye(len(params))[i]
        ahead, here, behind = (function(params + sign * move) for sign in (1.0, 0.0, -1.0))
        second = (ahead - 2.0 * here + behind) / move[i] ** 2
        assert_allclose(found[i], -second, rtol=1e-4, err_msg=model.param_names[i])


@pytest.mark.parametrize("name", MODELS)
def test_each_update_leaves_no_slope(name: str) -> None:
    """In its own parameters, by the gradient that `test_gradient` compares."""
    problem = MODELS[name]().problem()
    start, layout = np.asarray(problem.model.start_params), problem.updates.layout
    moments = problem.moments(start)
    expected = ExpectedLoglike(problem.updates, start, moments)
    errors, unknown = layout.index["obs_cov"], layout.index["initial_state"]
    others = np.setdiff1d(np.arange(len(start)), np.concatenate([errors, unknown]))

    def slope(params: np.ndarray, own: np.ndarray) -> float:
        size = 1.0 / np.sqrt(problem.updates.information(params, moments)[own])
        return float(np.max(np.abs(expected.value_and_gradient(params)[1][own] * size)))

    new, shifted = problem.updates.dynamics(start, moments)
    assert slope(new, others) < 1e-3 * slope(start, others)
    assert_array_equal(np.delete(new, others), np.delete(start, others))
    last, _ = problem.updates.obs_cov(new, shifted)
    assert slope(last, errors) < 1e-6 * slope(new, errors)
    assert_array_equal(np.delete(last, errors), np.delete(new, errors))


def test_an_unknown_start_is_at_the_maximum_of_the_likelihood() -> None:
    problem = MODELS["estimated"]().problem()
    start = np.asarray(problem.model.start_params)
    new, _ = problem.updates.initial_state(start, problem.moments(start))
    (place,) = problem.updates.layout.index["initial_state"]

    def loglike(value: np.ndarray) -> float:
        at = new.copy()
        at[place] = value[0]
        return problem.loglike(at)

    left, before = (richardson_gradient(loglike, at[[place]])[0] for at in (new, start))
    assert abs(left) < 1e-6 * abs(before)
