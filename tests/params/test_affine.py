"""Matrices vec(M) = f + D m."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.params.affine import AffineMatrix, affine_matrix, periods_alike, side_by_side

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


PATHS = [
    (0, 0, "a", np.array([1.0, 0.0, 1.0, 0.0])), (1, 1, "a", np.array([0.0, 2.0, 0.0, 2.0])),
    (1, 1, "b", np.array([-1.0, 0.5, -1.0, 0.5])), (1, 2, "c", np.array([0.0, 3.0, 0.0, 3.0])),
]  # fmt: skip


def moving() -> AffineMatrix:
    return affine_matrix(np.repeat(FIXED[..., None], 4, 2), PATHS)


def test_coefficients_over_time() -> None:
    values = {**VALUES, "c": -1.0}
    at = moving().values(values)
    for t in range(4):
        wanted = np.array(FIXED)
        for i, j, name, path in PATHS:
            wanted[i, j] += path[t] * values[name]
        assert_allclose(at[..., t], wanted)
    held = moving().fix({"a": 3.0})
    assert_allclose(held.values({"b": 4.0, "c": -1.0}), at)
    assert held.param_names == ["b", "c"]
    assert_allclose(moving().row_block(np.array([1])).values(values), at[1:])


def test_periods_and_regimes_of_coefficients_over_time() -> None:
    matrix, values = moving(), {**VALUES, "c": -1.0}
    at = matrix.values(values)
    assert_array_equal(matrix.regimes, [0, 1])
    assert_allclose(matrix.over(np.array([3, 0])).values(values), at[..., [3, 0]])
    assert matrix.at_period(0).param_names == ["a", "b"]
    assert_allclose(matrix.joined(diagonal=False).values(values), np.hstack([at[..., 0], at[..., 1]]))
    diagonal = matrix.joined(diagonal=True).values(values)
    assert_allclose(diagonal[:2, :3], at[..., 0])
    assert_allclose(diagonal[2:, 3:], at[..., 1])
    assert not diagonal[:2, 3:].any()
    first, group = periods_alike([matrix, affine_matrix(FIXED, ELEMENTS)])
    assert_array_equal(first, [0, 1])
    assert_array_equal(group, [0, 1, 0, 1])


def test_matrices_with_and_without_coefficients_over_time_side_by_side() -> None:
    constant, values = affine_matrix(FIXED, ELEMENTS), {**VALUES, "c": -1.0}
    both = side_by_side([constant, moving()]).values(values)
    assert_allclose(both[:, 3:], moving().values(values))
    assert_allclose(both[:, :3, 2], constant.values(values))


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
