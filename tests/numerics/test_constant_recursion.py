"""Recursions by blocks against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from statespace_ext.numerics.constant_recursion import BlockRecursion, constant_recursion
from statespace_ext.numerics.recursions import LinearRecursion


@pytest.mark.parametrize(("n", "k"), [(9, 1), (16, 1), (17, 2), (50, 4), (5, 6), (33, 6), (3000, 4)])
def test_both_directions_are_those_of_loops(n: int, k: int) -> None:
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
