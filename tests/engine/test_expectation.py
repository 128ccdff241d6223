"""The choice of the E-step, and that it does not change what EM does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import random_system
from systems import compare_moments, library_system, sampled

from statespace_ext.engine.expectation import expectation, obstacle
from statespace_ext.engine.smoother import Smoother
from statespace_ext.exceptions import SpecificationError, UnsupportedError
from statespace_ext.lgssm.model import LGSSM


@pytest.mark.parametrize("regressors", [(0, 0), (2, 0), (0, 1), (1, 2)])
@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
def test_moments_equal(regressors: tuple[int, int], lags: int, initialization: str) -> None:
    rng = np.random.default_rng(5)
    y, system = random_system(rng, 60, 2, 3, lags=lags, initialization=initialization)
    system["obs_intercept"] = rng.standard_normal((3, 60))
    system["state_intercept"] = rng.standard_normal((2 * lags, 60))
    exog, state_exog = (rng.standard_normal((60, count)) for count in regressors)
    smoother = Smoother(y, 2 * lags, 2, exog, state_exog)
    at = library_system(system)
    compare_moments(expectation(smoother, at, "fast"), expectation(smoother, at, "statsmodels"))


def test_one_and_two_periods() -> None:
    for n in (1, 2):
        y, system = random_system(np.random.default_rng(n), n, 2, 3)
        smoother, at = Smoother(y, 2, 2), library_system(system)
        ours, other = (expectation(smoother, at, estep) for estep in ("fast", "statsmodels"))
        assert_allclose(ours.state.ee, other.state.ee, rtol=1e-10, atol=1e-14)
        assert_allclose(ours.observation.ee, other.observation.ee, rtol=1e-10)


SPECS = {
    "stationary": {"initialization": "stationary"},
    "estimated": {"initialization": "estimated"},
    "approximate diffuse": {"initialization": "approximate_diffuse"},
    "lags": {"lags": 2, "obs_cov": "unstructured"},
}


@pytest.mark.parametrize("spec", list(SPECS))
def test_em_takes_the_same_path(spec: str) -> None:
    model, _ = sampled(np.random.default_rng(6), 80, 4, 2, **SPECS[spec])
    paths = []
    for estep in ("fast", "statsmodels"):
        path: list[np.ndarray] = []
        model.fit(
            method="em", maxiter=20, tolerance=0.0, callback=path.append, return_params=True, estep=estep
        )
        paths.append(np.array(path))
    assert paths[0].shape == (20, len(model.param_names))
    assert_allclose(paths[0], paths[1], rtol=1e-8, atol=1e-8)


def test_auto_takes_the_fast_one_where_valid() -> None:
    model, params = sampled(np.random.default_rng(7), 30, 3, 1)
    automatic, fast, slow = (
        model.problem(estep).moments(params) for estep in ("auto", "fast", "statsmodels")
    )
    assert automatic.llf == fast.llf
    assert not np.array_equal(fast.observation.bb, slow.observation.bb)
    compare_moments(fast, slow)


def test_obstacles() -> None:
    y, system = random_system(np.random.default_rng(8), 20, 2, 3)
    at, smoother = library_system(system), Smoother(y, 2, 2)
    assert obstacle(smoother, at) is None
    holes = np.array(y)
    holes[3, 1] = np.nan
    varying = replace(at, transition=np.repeat(at.transition[:, :, None], 20, axis=2))
    singular = replace(at, obs_cov=np.diag([1.0, 1.0, 0.0]))
    for data, trial, words in (
        (holes, at, "observations are missing"),
        (y, varying, "transition varies over time"),
        (y, replace(at, start="diffuse"), "exact diffuse"),
        (y, singular, "obs_cov is singular"),
    ):
        smoother = Smoother(data, 2, 2)
        with pytest.raises(UnsupportedError, match=words):
            expectation(smoother, trial, "fast")
        automatic, slow = (expectation(smoother, trial, estep).llf for estep in ("auto", "statsmodels"))
        assert automatic == slow


@pytest.mark.parametrize("value", ["quick", None, 1])
def test_unknown_estep(value: object) -> None:
    model = LGSSM(np.random.default_rng(9).standard_normal((30, 2)), 1)
    with pytest.raises(SpecificationError, match="estep is unknown"):
        model.fit(estep=value)
