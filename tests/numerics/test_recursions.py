"""
Linear recursions against plain loops, over one banded matrix and several.

Recursions by blocks against plain loops.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from statespace_ext.numerics.recursions import BlockRecursion, LinearRecursion, by_period, constant_recursion


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
    assert isinstance(constant_recursion(np.eye(2), 100), LinearRecursion)
    assert isinstance(constant_recursion(np.eye(9), 10), LinearRecursion)
    assert isinstance(constant_recursion(np.eye(9), 1000), BlockRecursion)
