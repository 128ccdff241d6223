"""Limits of Riccati recursions and sums of powers, against scipy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

from statespace_ext.numerics.riccati_limit import geometric_sums, riccati_limit


def matrices(seed: int, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return A, C of rank two and the root of J, of rank one or two."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((k, k))
    A *= (0.7, 0.95, 1.2)[seed % 3] / np.abs(np.linalg.eigvals(A)).max()
    noise, root = rng.standard_normal((k, 2)), rng.standard_normal((1 + seed % 2, k))
    return A, noise @ noise.T, root


@pytest.mark.parametrize("seed", range(9))
def test_limits_solve_the_riccati_equations(seed: int) -> None:
    A, C, root = matrices(seed)
    J = root.T @ root
    found = riccati_limit(A, C, J, 10_000)
    assert found is not None
    identity = np.eye(3)
    want = scipy.linalg.solve_discrete_are(A.T, root.T, C, np.eye(len(root)))
    assert_allclose(found.value, want, rtol=1e-7, atol=1e-8 * np.abs(want).max())
    again = A @ np.linalg.solve(identity + found.value @ J, found.value) @ A.T + C
    assert_allclose(found.value, again, rtol=1e-11, atol=1e-12 * np.abs(again).max())
    again = A.T @ found.dual @ np.linalg.solve(identity + C @ found.dual, A) + J
    assert_allclose(found.dual, again, rtol=1e-9, atol=1e-11 * np.abs(again).max())
    assert_allclose(found.closing @ (identity + found.value @ J), identity, atol=1e-11)
    assert_allclose(found.damped, found.closing @ found.value, rtol=1e-10, atol=1e-12)
    assert_allclose(found.log_det, np.linalg.slogdet(identity + found.value @ J)[1], rtol=1e-11)


def test_none_where_it_settles_too_late() -> None:
    """A random walk with little noise: the filter forgets some 2 % a period."""
    walk = np.eye(1), np.array([[4e-4]]), np.eye(1)
    assert riccati_limit(*walk, 200) is None
    found = riccati_limit(*walk, 20_000)
    assert found is not None
    assert_allclose(found.value, (4e-4 + np.sqrt(4e-4**2 + 4 * 4e-4)) / 2, rtol=1e-12)


def test_a_constant_without_noise_never_settles() -> None:
    assert riccati_limit(np.eye(1), np.zeros((1, 1)), np.eye(1), 10**6) is None


@pytest.mark.parametrize("root", [0.0, 0.3, -0.8])
def test_sums_of_powers(root: float) -> None:
    rng = np.random.default_rng(1)
    M = np.array([[root, 0.4], [0.0, 0.5 * root]])
    X, Y = rng.standard_normal((2, 2, 2))
    found = geometric_sums(M, X, Y, np.ones(2), 1000)
    assert found is not None
    forward, backward, power = np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)
    for _ in range(400):
        forward, backward = forward + power @ X @ power.T, backward + power.T @ Y @ power
        power = power @ M
    assert_allclose(found.forward, forward, rtol=1e-13)
    assert_allclose(found.backward, backward, rtol=1e-13)
    for i, power in enumerate(found.powers):
        assert_allclose(power, np.linalg.matrix_power(M, 2**i), atol=1e-15)
    assert np.abs(found.powers[-1]).max() <= 1e-12


def test_sums_are_judged_in_the_units_of_the_elements() -> None:
    """What is negligible of the second element may not be beside a first of a trillionth of its size."""
    M, zero = np.array([[0.5, 1e-3], [0.0, 0.1]]), np.zeros((2, 2))
    short = geometric_sums(M, zero, zero, np.ones(2), 64)
    assert short is not None
    assert geometric_sums(M, zero, zero, np.array([1.0, 1e12]), 64) is None
