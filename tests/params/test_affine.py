"""Matrices vec(M) = f + D m."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.params.affine import AffineMatrix, affine_matrix

FIXED = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 2.0]])
ELEMENTS = [(0, 0, "a", 1.0), (1, 1, "a", 2.0), (1, 1, "b", -1.0), (0, 2, "b", 0.5), (1, 2, "a", 1.0)]
VALUES = {"a": 3.0, "b": 4.0}
MATRIX = [[3, 1, 2], [0.5, 2, 5]]


@pytest.fixture
def matrix() -> AffineMatrix:
    return affine_matrix(FIXED, ELEMENTS)


def test_values(matrix: AffineMatrix) -> None:
    assert_array_equal(matrix.values(VALUES), MATRIX)
    assert_array_equal(matrix.at(np.array([VALUES[name] for name in matrix.names])), MATRIX)
    assert matrix.shape == (2, 3)
    assert matrix.param_names == ["a", "b"]
    assert not matrix.is_fixed
    assert not matrix.time_varying


def test_names_are_in_order_of_first_appearance_by_column() -> None:
    elements = [(0, 1, "third", 1.0), (1, 0, "second", 1.0), (0, 0, "first", 1.0), (1, 1, "first", 1.0)]
    assert affine_matrix(np.zeros((2, 2)), elements).param_names == ["first", "second", "third"]


def test_values_over_time() -> None:
    fixed = np.stack([FIXED, 2 * FIXED], axis=-1)
    matrix = affine_matrix(fixed, ELEMENTS)
    assert matrix.time_varying
    assert matrix.shape == (2, 3)
    assert_array_equal(matrix.values(VALUES)[..., 0], MATRIX)
    assert_array_equal(matrix.values(VALUES)[..., 1], np.array(MATRIX) + FIXED)


def test_a_value_is_a_new_array(matrix: AffineMatrix) -> None:
    matrix.values(VALUES)[:] = 9
    assert_array_equal(matrix.values(VALUES), MATRIX)
    fixed = affine_matrix(FIXED, [])
    fixed.values({})[:] = 9
    assert_array_equal(fixed.values({}), FIXED)


def test_symmetric() -> None:
    matrix = affine_matrix(
        np.zeros((2, 2)), [(0, 0, "v", 1.0), (1, 0, "c", 2.0), (1, 1, "v", 3.0)], symmetric=True
    )
    assert_array_equal(matrix.values({"v": 1.0, "c": 5.0}), [[1, 10], [10, 3]])


@pytest.mark.parametrize("held", [{}, {"a": 3.0}, {"b": 4.0}, {"a": 3.0, "b": 4.0}, {"z": 1.0}])
@pytest.mark.parametrize("over_time", [False, True])
def test_fixing_parameters_changes_no_value(matrix: AffineMatrix, held: dict, over_time: bool) -> None:
    if over_time:
        matrix = affine_matrix(np.stack([FIXED, -FIXED], axis=-1), ELEMENTS)
    fixed = matrix.fix(held)
    free = {name: value for name, value in VALUES.items() if name not in held}
    assert_allclose(fixed.values(free), matrix.values(VALUES))
    assert fixed.param_names == [name for name in matrix.param_names if name not in held]
    assert fixed.is_fixed == (not free)
    assert_array_equal(matrix.values(VALUES), matrix.fix({}).values(VALUES))
