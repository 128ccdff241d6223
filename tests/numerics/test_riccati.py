"""Paths of Riccati recursions by doubling, against the recursion one step after the other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from statespace_ext.numerics.riccati import Riccati, riccati_paths


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
