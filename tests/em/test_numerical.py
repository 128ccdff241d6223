"""The numerical M-step: the gradient of what it maximises, its information, and that it rises."""

from __future__ import annotations

import numpy as np
import pytest
from edge_data import atsm, yields
from numpy.testing import assert_allclose
from oracle import richardson_gradient

from statespace_ext.em.numerical import ExpectedLoglike


@pytest.mark.parametrize("initialization", ["stationary", "estimated"])
def test_gradient_information_and_step(initialization: str) -> None:
    model = atsm(yields(), initialization=initialization)
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
    information = problem.updates.information(start, moments)
    place = int(np.argmax(information > 0))
    step = np.zeros(len(start))
    step[place] = 1e-4 * max(abs(start[place]), 1e-4)
    values = [expected.value_and_gradient(start + sign * step)[0] for sign in (1.0, 0.0, -1.0)]
    curvature = -(values[0] - 2.0 * values[1] + values[2]) / step[place] ** 2
    assert_allclose(information[place], curvature, rtol=1e-2)
