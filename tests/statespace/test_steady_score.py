"""The score of long samples is that of the smoother, without its arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine import library_system
from numpy.testing import assert_allclose
from oracle import random_system

from statespace_ext.statespace import system_score as module
from statespace_ext.statespace.smoother import Smoother
from statespace_ext.statespace.steady_score import steady_score
from statespace_ext.statespace.system import System, stationary_start
from statespace_ext.statespace.system_score import ALL, SystemScore, system_score


def random_case(seed: int, n: int, k: int, p: int) -> tuple[Smoother, System]:
    y, arrays = random_system(np.random.default_rng(seed), n, k, p)
    return Smoother(y, k, arrays["selection"].shape[1]), library_system(arrays)


def both(monkeypatch: pytest.MonkeyPatch, smoother: Smoother, system: System) -> tuple[SystemScore, ...]:
    want = system_score(smoother, system)
    monkeypatch.setattr(module, "_LONG", 0)
    assert steady_score(smoother, system, ALL) is not None
    return system_score(smoother, system), want


def agree(found: SystemScore, want: SystemScore) -> None:
    assert_allclose(found.llf, want.llf, rtol=1e-11)
    assert found.by_matrix.keys() == want.by_matrix.keys() == ALL
    for name, value in want.by_matrix.items():
        assert_allclose(
            found.by_matrix[name], value, rtol=1e-8, atol=1e-8 * np.abs(value).max(), err_msg=name
        )
    for name in ("initial_state", "initial_state_cov", "start_intercept"):
        assert_allclose(getattr(found, name), getattr(want, name), rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(("n", "k", "p"), [(2, 1, 1), (7, 3, 2), (40, 2, 5), (60, 4, 4)])
def test_the_score_is_that_of_the_smoother(monkeypatch: pytest.MonkeyPatch, n: int, k: int, p: int) -> None:
    agree(*both(monkeypatch, *random_case(n, n, k, p)))


def test_a_singular_state_covariance_and_a_known_start(monkeypatch: pytest.MonkeyPatch) -> None:
    smoother, system = random_case(5, 50, 3, 3)
    state_cov = np.zeros_like(system.state_cov)
    state_cov[0, 0] = 0.7
    zero = np.zeros_like(system.initial_state_cov)
    agree(*both(monkeypatch, smoother, replace(system, state_cov=state_cov, initial_state_cov=zero)))


def test_a_stationary_start(monkeypatch: pytest.MonkeyPatch) -> None:
    smoother, system = random_case(6, 50, 2, 3)
    system = replace(system, transition=np.array([[0.9, 0.1], [-0.2, 0.7]]))
    if system.state_intercept.ndim == 2:
        system = replace(system, state_intercept=system.state_intercept[:, 0])
    mean, cov = stationary_start(system)
    system = replace(system, start="stationary", initial_state=mean, initial_state_cov=cov)
    agree(*both(monkeypatch, smoother, system))


def test_where_digits_would_be_lost_the_smoother_runs() -> None:
    smoother, system = random_case(7, 30, 2, 2)
    assert steady_score(smoother, system, ALL) is not None
    assert steady_score(smoother, replace(system, obs_cov=1e-12 * system.obs_cov), ALL) is None
    gap = np.array(smoother.endog)
    gap[3, 0] = np.nan
    assert steady_score(Smoother(gap, 2, system.selection.shape[1]), system, ALL) is None
