"""A diagonal matrix that stores its diagonal stands in for the array that it is."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from statespace_ext.numerics.linear_algebra import (
    by_diagonal,
    diagonal_matrix,
    gaussian_objective,
    is_diagonal,
    is_positive_semidefinite,
    symmetrize,
    trace_of_product,
)

RNG = np.random.default_rng(0)
ENTRIES, OTHER, FULL = RNG.uniform(1.0, 2.0, 4), RNG.uniform(1.0, 2.0, 4), RNG.standard_normal((4, 4))
WIDE, VECTOR = RNG.standard_normal((4, 3)), RNG.standard_normal(4)
ROWS, COLUMNS = np.array([0, 1, 2]), np.array([0, 2, 2])
KEPT: dict[str, Callable[[Any], Any]] = {
    "sum": lambda D: D + diagonal_matrix(OTHER),
    "difference": lambda D: D - diagonal_matrix(OTHER),
    "product": lambda D: D @ diagonal_matrix(OTHER),
    "elements": lambda D: D * diagonal_matrix(OTHER),
    "number": lambda D: 2 * D / 3.0 * np.float64(2.0),
    "negative": lambda D: -np.square(D),
    "transposed": lambda D: D.T,
    "groups": lambda D: (D[None] + D[None])[0],
    "mean": lambda D: D[None].sum(axis=0) / np.float64(5.0),
    "symmetric": symmetrize,
}
DENSE: dict[str, Callable[[Any], Any]] = {
    "plus full": lambda D: D + FULL,
    "full minus": lambda D: FULL - D,
    "plus number": lambda D: D + 1.0,
    "over": lambda D: FULL / (D + 1.0),
    "times row": lambda D: D * VECTOR,
    "left": lambda D: D @ WIDE,
    "right": lambda D: WIDE.T @ D,
    "by vector": lambda D: D @ VECTOR,
    "vector by": lambda D: VECTOR @ D,
    "stacked": lambda D: np.stack([FULL, FULL]) @ D,
    "stack of": lambda D: D[None] @ np.stack([FULL, FULL]),
    "diag": np.diag,
    "diagonal": lambda D: np.diagonal(D),
    "off": lambda D: np.diagonal(D, offset=1),
    "method": lambda D: D.diagonal(),
    "method off": lambda D: D.diagonal(1),
    "axes": lambda D: np.diagonal(D[None], axis1=1, axis2=2),
    "other axes": lambda D: np.diagonal(D[None], axis1=0, axis2=1),
    "diag back": lambda D: np.diag(np.diag(D)),
    "pairs": lambda D: D[ROWS, COLUMNS],
    "outer": lambda D: D[np.ix_(ROWS, COLUMNS)],
    "row": lambda D: D[1],
    "element": lambda D: D[2, 2],
    "mask": lambda D: D[np.array([True, False, True, False])],
    "cholesky": np.linalg.cholesky,
    "concatenate": lambda D: np.concatenate([D, FULL]),
    "tolist": lambda D: np.array(D.tolist()),
    "copy": lambda D: D.copy(),
    "where": lambda D: np.where(FULL > 0, D, 0.0),
    "nonzero": lambda D: np.count_nonzero(D),
    "largest": lambda D: D.max(),
    "total": lambda D: D.sum(),
    "ndim": np.ndim,
    "shape": lambda D: np.array([*D.shape, D.ndim, len(D), D.size]),
    "swapped": lambda D: D[None].swapaxes(0, 1),
    "list": lambda D: np.array(list(D)),
    "fortran": np.asfortranarray,
    "out": lambda D: np.add(FULL, D, out=np.empty((4, 4))),
    "reduce": lambda D: np.add.reduce(D),
    "deepcopy": copy.deepcopy,
    "pickle": lambda D: pickle.loads(pickle.dumps(D)),
    "equal": lambda D: D == np.diag(ENTRIES),
}


@pytest.mark.parametrize("name", KEPT)
def test_stays_diagonal(name: str) -> None:
    found = KEPT[name](diagonal_matrix(ENTRIES))
    assert by_diagonal(found)
    assert_allclose(np.asarray(found), np.asarray(KEPT[name](np.diag(ENTRIES))), rtol=1e-14)


@pytest.mark.parametrize("name", DENSE)
def test_equals_the_array(name: str) -> None:
    expected = np.asarray(DENSE[name](np.diag(ENTRIES)))
    found = np.asarray(DENSE[name](diagonal_matrix(ENTRIES)))
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=1e-14)


def test_functions_of_covariances() -> None:
    D, second = diagonal_matrix(ENTRIES), FULL @ FULL.T
    whole = np.asarray(D)
    assert is_diagonal(D) and is_positive_semidefinite(D) and not is_positive_semidefinite(-D)
    assert not is_positive_semidefinite(diagonal_matrix(np.array([1.0, np.nan])))
    few = diagonal_matrix(np.diag(second).copy())
    assert_allclose(gaussian_objective(D, few, 7.0), gaussian_objective(whole, second, 7.0), rtol=1e-13)
    assert gaussian_objective(diagonal_matrix(np.array([1.0, -1.0])), D, 1.0) == -np.inf
    assert_allclose(trace_of_product(D, few), np.trace(whole @ second), rtol=1e-13)
