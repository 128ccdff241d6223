"""Paths of Riccati recursions against single steps; limits and sums of powers against scipy and loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

from statespace_ext.numerics.riccati import Riccati, geometric_sums, riccati_limit, riccati_paths


def stepwise(recursion: Riccati, length: int) -> np.ndarray:
    A, C, root, X = recursion
    out = [X]
    for _ in range(length - 1):
        X = A @ np.linalg.solve(np.eye(len(A)) + X @ root.T @ root, X) @ A.T + C
        out.append(X)
    return np.array(out)


def recursion(rng: np.random.Generator, k: int, m: int, radius: float, start: float) -> Riccati:
    A = rng.standard_normal((k, k))
    A *= radius / np.max(np.abs(np.linalg.eigvals(A)))
    noise, first = rng.standard_normal((k, k)), rng.standard_normal((k, k))
    return Riccati(A, noise @ noise.T, 0.3 * rng.standard_normal((m, k)), start * first @ first.T)


def agree(recursions: list[Riccati], length: int) -> list[int]:
    counts = []
    for one, path in zip(recursions, riccati_paths(recursions, length), strict=True):
        want = stepwise(one, length)
        s = len(path.values)
        size = np.maximum(np.abs(want).max(axis=(1, 2), keepdims=True), 1e-300)
        assert s <= length
        assert np.max(np.abs(path.values - want[:s]) / size[:s]) < 1e-10
        assert np.max(np.abs(want[s:] - path.values[-1]) / size[s:], initial=0.0) < 1e-10
        A, C, root, _ = one
        assert_allclose(path.innovations, np.eye(len(root)) + root @ path.values @ root.T, rtol=1e-12)
        assert_allclose(A @ path.damped[:-1] @ A.T + C, path.values[1:], rtol=1e-9, atol=1e-12)
        counts.append(s)
    return counts


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 200])
@pytest.mark.parametrize(("k", "m"), [(1, 1), (3, 2), (2, 4)])
def test_the_path_is_that_of_the_steps(k: int, m: int, length: int) -> None:
    rng = np.random.default_rng(k)
    agree([recursion(rng, k, m, 0.9, 1.0), recursion(rng, k, m, 0.5, 0.0)], length)


def test_the_path_goes_on_as_long_as_it_moves() -> None:
    """Little information and a root near one: thousands of steps, beside a path that is short."""
    slow = Riccati(np.array([[0.9995]]), np.array([[1e-3]]), np.array([[1e-4]]), np.array([[0.0]]))
    fast = Riccati(np.array([[0.1]]), np.array([[1.0]]), np.array([[1.0]]), np.array([[1.0]]))
    late, early = agree([slow, fast], 40_000)
    assert late > 5_000 and early < 30


def test_a_start_of_any_size() -> None:
    rng = np.random.default_rng(9)
    for start in (1e-8, 1.0, 1e5):
        agree([recursion(rng, 2, 3, 0.8, start)], 60)


def test_units_do_not_matter() -> None:
    one = recursion(np.random.default_rng(4), 2, 2, 0.97, 1.0)
    (want,) = riccati_paths([one], 500)
    for size in (1e-8, 1e6):
        scaled = Riccati(one.A, size**2 * one.C, one.root / size, size**2 * one.start)
        (found,) = riccati_paths([scaled], 500)
        assert len(found.values) == pytest.approx(len(want.values), abs=2)
        shortest = min(len(found.values), len(want.values))
        assert_allclose(found.values[:shortest], size**2 * want.values[:shortest], rtol=1e-10)


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
