"""
Linear recursions against plain loops, over one banded matrix and several.

Recursions by blocks against plain loops.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import dense, random_system

from statespace_ext.numerics.recursions import (
    BlockRecursion,
    LinearRecursion,
    by_period,
    chandrasekhar_loglike,
    constant_recursion,
)


def at(matrices: np.ndarray, t: int) -> np.ndarray:
    return matrices[min(t, len(matrices) - 1)]


@pytest.mark.parametrize("changing", [1, 2, 7, 30, 3000])
@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 1), (30, 3), (2500, 3)])
def test_both_directions_are_those_of_loops(n: int, k: int, changing: int) -> None:
    rng = np.random.default_rng(n + k + changing)
    M = rng.uniform(-0.6, 0.6, (changing, k, k)) / np.sqrt(k)
    u = rng.standard_normal((n, k))
    forward, backward = u.copy(), u.copy()
    for t in range(1, n):
        forward[t] += at(M, t - 1) @ forward[t - 1]
    for t in range(n - 2, -1, -1):
        backward[t] += at(M, t).T @ backward[t + 1]
    # the transpose: r_t = u_t + M_t' r_{t+1}, where M_t moves period t to t + 1
    recursion = LinearRecursion(M, n)
    assert_allclose(recursion.forward(u.copy()), forward, rtol=1e-11, atol=1e-12)
    assert_allclose(recursion.backward(u.copy()), backward, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("changing", [1, 3, 9, 12])
def test_rows_times_matrices(changing: int) -> None:
    rng = np.random.default_rng(changing)
    rows, matrices = rng.standard_normal((9, 2)), rng.standard_normal((changing, 2, 3))
    want = np.array([rows[t] @ at(matrices, t) for t in range(9)])
    assert_allclose(by_period(rows, matrices), want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("n", "k"), [(9, 1), (16, 1), (17, 2), (50, 4), (5, 6), (33, 6), (3000, 4)])
def test_both_directions_of_blocks_are_those_of_loops(n: int, k: int) -> None:
    rng = np.random.default_rng(n + k)
    M = rng.uniform(-1.0, 1.0, (k, k))
    M *= 0.98 / np.abs(np.linalg.eigvals(M)).max()
    u = rng.standard_normal((n, k))
    forward, backward = u.copy(), u.copy()
    for t in range(1, n):
        forward[t] += M @ forward[t - 1]
    for t in range(n - 2, -1, -1):
        backward[t] += M.T @ backward[t + 1]
    recursion = BlockRecursion(M, n)
    assert_allclose(recursion.forward(u.copy()), forward, rtol=1e-11, atol=1e-12)
    assert_allclose(recursion.backward(u.copy()), backward, rtol=1e-11, atol=1e-12)


def test_small_ones_are_one_banded_matrix() -> None:
    assert isinstance(constant_recursion(np.eye(2), 5000), LinearRecursion)
    assert isinstance(constant_recursion(np.eye(9), 10), LinearRecursion)
    assert isinstance(constant_recursion(np.eye(900), 4), LinearRecursion)  # a block would have 3600 rows
    assert isinstance(constant_recursion(np.eye(9), 1000), BlockRecursion)


# -- the Chandrasekhar likelihood against the dense joint Gaussian -----------------------------------------


def likelihoods(y: np.ndarray, system: dict[str, np.ndarray], tolerance: float = 0.0) -> np.ndarray:
    return chandrasekhar_loglike(
        y,
        system["design"],
        system["obs_intercept"].reshape(y.shape[1], -1),
        system["obs_cov"],
        system["transition"],
        system["state_intercept"].reshape(len(system["transition"]), -1),
        system["initial_state"],
        system["initial_state_cov"],
        tolerance,
    )


@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize(("k", "p", "lags"), [(1, 1, 1), (3, 2, 1), (2, 5, 1), (2, 2, 3), (1, 1, 4)])
def test_against_the_dense_gaussian(k: int, p: int, lags: int, singular: bool) -> None:
    rng = np.random.default_rng(k + p)
    y, system = random_system(
        rng, 30, k, p, lags=lags, initialization="stationary", singular=singular and p > 1
    )
    np.testing.assert_allclose(likelihoods(y, system).sum(), dense(y, system).llf, rtol=1e-11)


def test_each_period_is_the_likelihood_given_the_past() -> None:
    y, system = random_system(np.random.default_rng(2), 12, 2, 2, initialization="stationary")
    cumulative = [dense(y[:t], system).llf for t in range(2, 13)]
    np.testing.assert_allclose(np.cumsum(likelihoods(y, system))[1:], cumulative, rtol=1e-11)


def test_intercepts_over_time_and_another_mean() -> None:
    rng = np.random.default_rng(3)
    y, system = random_system(rng, 25, 3, 2, initialization="stationary")
    system["obs_intercept"] = rng.standard_normal((2, 25))
    system["state_intercept"] = rng.standard_normal((3, 25))
    system["initial_state"] = rng.standard_normal(3)
    np.testing.assert_allclose(likelihoods(y, system).sum(), dense(y, system).llf, rtol=1e-11)


def test_memory_does_not_grow_with_the_square_of_the_states() -> None:
    k, n = 100, 300
    transition, cov = np.eye(k, k=-1), np.eye(k)
    transition[0, 0] = 0.999
    design, zero = np.eye(1, k), np.zeros(k)
    tracemalloc.start()
    chandrasekhar_loglike(np.ones((n, 1)), design, zero[:1], np.eye(1), transition, zero, zero, cov)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * n * k * 8


def test_covariances_that_have_converged_stay() -> None:
    """Past convergence nothing changes; a tolerance that stops earlier changes the likelihood a little."""
    y, system = random_system(np.random.default_rng(4), 200, 2, 2, initialization="stationary")
    exact = dense(y, system).llf
    assert likelihoods(y, system).sum() == pytest.approx(exact, rel=1e-11)
    assert likelihoods(y, system, 1e-19).sum() == pytest.approx(exact, rel=1e-8)
    assert likelihoods(y, system, 1e-3).sum() != pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_units_do_not_matter(size: float) -> None:
    """States and data in other units: the same likelihood, shifted by their logarithm."""
    y, system = random_system(np.random.default_rng(6), 60, 2, 2, initialization="stationary")
    powers = {"obs_intercept": 1, "state_intercept": 1, "initial_state": 1}
    powers |= {"obs_cov": 2, "initial_state_cov": 2}
    scaled = {name: value * size ** powers.get(name, 0) for name, value in system.items()}
    want = likelihoods(y, system) - 2.0 * np.log(size)
    np.testing.assert_allclose(likelihoods(size * y, scaled), want, rtol=1e-11)


def test_a_singular_forecast_covariance_raises() -> None:
    y, system = random_system(np.random.default_rng(5), 10, 2, 2, initialization="stationary")
    system["obs_cov"] = np.zeros((2, 2))
    system["design"] = np.array([[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(np.linalg.LinAlgError):
        likelihoods(y, system)
