"""The score without a loop over time, against the one from a pass of statsmodels' smoother."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import random_system
from systems import library_system

from statespace_ext.engine import system_score as module
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.steady_score import steady_score
from statespace_ext.engine.system import System
from statespace_ext.engine.system_score import ALL, SystemScore, system_score

NAMES = ("llf", "initial_state", "initial_state_cov", "start_intercept")


def both(smoother: Smoother, system: System) -> tuple[SystemScore, SystemScore]:
    """Return the score by the fast way and by the other."""
    steady = steady_score(smoother, system, ALL)
    assert steady is not None
    return module._with_start(system, steady), module._one_pass(smoother, system, ALL)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("singular", [False, True])
def test_equals_the_smoothers(seed: int, initialization: str, lags: int, singular: bool) -> None:
    rng = np.random.default_rng(seed)
    n, k, p = (int(rng.integers(low, high)) for low, high in ((2, 200), (1, 4), (1, 6)))
    y, system = random_system(rng, n, k, p, lags=lags, initialization=initialization)
    system["obs_intercept"], system["state_intercept"] = (
        rng.standard_normal((size, n)) for size in (p, k * lags)
    )
    if singular:
        system["state_cov"] = np.diag(np.arange(k) == 0).astype(float)
    start = "stationary" if initialization == "stationary" else "known"
    fast, slow = both(Smoother(y, k * lags, k), library_system(system, start))
    for name in ALL:
        wanted = slow.by_matrix[name]
        assert_allclose(fast.by_matrix[name], wanted, atol=1e-10 * np.abs(wanted).max(), err_msg=name)
    for name in NAMES:
        wanted = getattr(slow, name)
        assert_allclose(getattr(fast, name), wanted, atol=1e-10 * np.abs(wanted).max(), err_msg=name)


def test_only_what_is_needed() -> None:
    y, system = random_system(np.random.default_rng(0), 30, 2, 3)
    smoother, at = Smoother(y, 2, 2), library_system(system)
    for needed in (frozenset({"state_cov"}), frozenset({"design", "selection"}), frozenset[str]()):
        found = steady_score(smoother, at, needed)
        assert found is not None
        assert found.by_matrix.keys() == needed


def test_long_samples_take_it() -> None:
    for n, wanted in ((100, False), (400, True)):
        y, system = random_system(np.random.default_rng(3), n, 2, 3)
        smoother, at = Smoother(y, 2, 2), library_system(system)
        fast, slow = both(smoother, at)
        chosen = (fast if wanted else slow).by_matrix["transition"]
        np.testing.assert_array_equal(system_score(smoother, at).by_matrix["transition"], chosen)


@pytest.mark.parametrize("exponent", range(0, 13, 2))
def test_small_noise_is_right_or_left_to_the_smoother(exponent: int) -> None:
    """Where the differences y - Z x are small beside y, the fast way stands back before it loses digits."""
    y, system = random_system(np.random.default_rng(1), 60, 2, 3)
    system["obs_cov"] = 10.0**-exponent * system["obs_cov"]
    smoother, at = Smoother(y, 2, 2), library_system(system)
    steady, wanted = steady_score(smoother, at, ALL), module._one_pass(smoother, at, ALL)
    assert (steady is not None) == (exponent <= 2) or exponent == 4
    found = wanted if steady is None else module._with_start(at, steady)
    for name in ALL:
        size = np.abs(wanted.by_matrix[name]).max()
        assert_allclose(found.by_matrix[name], wanted.by_matrix[name], atol=1e-8 * size, err_msg=name)


def test_stands_back() -> None:
    y, system = random_system(np.random.default_rng(2), 30, 2, 3)
    at = library_system(system)
    holes = np.array(y)
    holes[3, 1] = np.nan
    varying = replace(at, transition=np.repeat(at.transition[:, :, None], 30, axis=2))
    by_period = replace(at, obs_cov=np.repeat(at.obs_cov[:, :, None], 30, axis=2))
    singular = replace(at, obs_cov=np.diag([1.0, 1.0, 0.0]))
    for data, trial in (
        (holes, at),
        (y, varying),
        (y, by_period),
        (y, singular),
        (y, replace(at, start="diffuse")),
    ):
        assert steady_score(Smoother(data, 2, 2), trial, ALL) is None
