"""The numerical M-step: the gradient of what it maximises, its information, and that it rises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from edge_data import N, atsm, yields
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.em.numerical import ExpectedLoglike


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
def test_gradient_and_step(name: str) -> None:
    model = MODELS[name]()
    problem = model.problem()
    start = np.asarray(model.start_params)
    moments = problem.moments(start)
    expected = ExpectedLoglike(problem.updates, start, moments)
    away = start * (1.0 + 0.02 * np.random.default_rng(0).uniform(-1, 1, len(start)))
    for params in (start, away):
        steps = 1e-4 * np.maximum(np.abs(params), 1e-4)
        value, gradient = expected.value_and_gradient(params)
        want = richardson_gradient(lambda x: expected.value_and_gradient(x)[0], params, step=steps)
        assert np.isfinite(value)
        assert_allclose(gradient * steps, want * steps, rtol=1e-5, atol=1e-9 * abs(value))
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
