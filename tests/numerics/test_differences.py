"""Numerical derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.numerics.differences import (
    central_differences,
    jacobian,
    nan_outside,
    second_differences,
    step_sizes,
)

X = np.array([0.3, -2.0, 40.0])


def scalar(v: np.ndarray) -> float:
    return float(np.exp(v[0]) * np.sin(v[1]) + np.sqrt(v[2]))


def matrix(v: np.ndarray) -> np.ndarray:
    return np.array([[v[0] * v[1], np.sin(v[2])], [v[0] ** 2, 3.0], [np.exp(v[1]), v[2]]])


SLOPE = np.array([np.exp(0.3) * np.sin(-2), np.exp(0.3) * np.cos(-2), 0.5 / np.sqrt(40)])
SLOPES = np.array(
    [
        [[-2.0, 0.3, 0.0], [0.0, 0.0, np.cos(40.0)]],
        [[0.6, 0.0, 0.0], [0.0, 0.0, 0.0]],
        [[0.0, np.exp(-2.0), 0.0], [0.0, 0.0, 1.0]],
    ]
)


def test_central_differences() -> None:
    assert_allclose(central_differences(scalar, X), SLOPE, rtol=1e-8)


@pytest.mark.parametrize(("order", "accuracy"), [(1, 1e-6), (2, 1e-6), (4, 1e-10)])
def test_jacobian(order: int, accuracy: float) -> None:
    steps = np.full(3, 1e-7 if order == 1 else 1e-3)
    assert_allclose(jacobian(scalar, X, steps, order), SLOPE, rtol=accuracy)
    assert_allclose(jacobian(matrix, X, steps, order), SLOPES, atol=accuracy)
    some = jacobian(matrix, X, steps, order, places=np.array([2, 0]))
    assert_array_equal(some, jacobian(matrix, X, steps, order)[..., [2, 0]])
    assert jacobian(matrix, X, steps, order, places=np.zeros(0, int)).shape == (3, 2, 0)


def test_the_error_falls_with_the_order() -> None:
    for order in (2, 4):
        coarse, fine = (
            np.max(np.abs(jacobian(matrix, X, np.full(3, h), order) - SLOPES)) for h in (0.04, 0.02)
        )
        assert 0.9 * 2**order < coarse / fine < 1.1 * 2**order


def test_the_edge_of_what_exists() -> None:
    """NaN where one side does not exist; one-sided where asked for; NaN where neither side does."""

    def root(v: np.ndarray) -> np.ndarray:
        if np.any(v < 0) or v[1] > 1.0:
            raise ValueError
        return np.array([v[0] * v[1], v[1] ** 1.5])

    inside, steps = nan_outside(root, (2,)), np.array([1e-6, 1e-6])
    at = np.array([0.0, 1e-7])
    with pytest.raises(ValueError):
        jacobian(root, at, steps)
    assert np.isnan(jacobian(inside, at, steps)).all()
    slopes = jacobian(inside, at, steps, one_sided=True)
    assert slopes.shape == (2, 2) and np.isfinite(slopes).all()
    assert_allclose(slopes[:, 0], [1e-7, 0.0], atol=1e-12)
    backward = jacobian(inside, np.array([2.0, 1.0]), steps, one_sided=True)
    assert_allclose(backward[:, 1], [2.0, 1.5], rtol=1e-5)
    nowhere = jacobian(inside, np.array([-1.0, 0.5]), steps, one_sided=True)
    assert nowhere.shape == (2, 2) and np.isnan(nowhere).all()


def test_nan_outside_lets_faults_of_the_code_through() -> None:
    def broken(v: np.ndarray) -> float:
        raise KeyError("a fault")

    with pytest.raises(KeyError):
        nan_outside(broken)(X)


def test_second_differences() -> None:
    s, c, e = np.sin(-2.0), np.cos(-2.0), np.exp(0.3)
    want = np.array([[e * s, e * c, 0.0], [e * c, -e * s, 0.0], [0.0, 0.0, -0.25 * 40**-1.5]])
    found = second_differences(scalar, X, np.array([1e-3, 1e-3, 1e-1]), np.arange(3))
    assert_allclose(found, want, atol=1e-5)
    assert_array_equal(found, found.T)
    assert_array_equal(
        second_differences(scalar, X, np.array([1e-3, 1e-3, 1e-1]), np.array([1, 2])), found[1:, 1:]
    )


def test_step_sizes() -> None:
    assert_allclose(step_sizes(np.array([2.0, -4.0]), 1e-3), [2e-3, 4e-3])
    assert np.all(step_sizes(np.zeros(3)) > 0)


def test_order_one_takes_the_side_where_the_function_is_finite() -> None:
    calls = []

    def root(v: np.ndarray) -> float:
        calls.append(v)
        return float(np.sqrt(1.0 - v[0]) if v[0] <= 1.0 else np.nan)

    found = jacobian(root, np.array([1.0 - 1e-9]), np.array([1e-8]), order=1)
    assert_allclose(found, [-(np.sqrt(1.1e-8) - np.sqrt(1e-9)) / 1e-8], rtol=1e-6)
    assert len(calls) == 3
