"""Expected sums of a regression, against sums over data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.em.moments import Regression

P, R, N = 2, 3, 12
rng = np.random.default_rng(90)
ERRORS, REGRESSORS = rng.standard_normal((N, P)), rng.standard_normal((N, R))


def sums(errors: np.ndarray, regressors: np.ndarray, grouped: bool = False) -> Regression:
    """The sums of data that are known, in one group or one by period."""
    parts = [
        np.einsum("ti,tj->tij", a, b)
        for a, b in ((errors, errors), (errors, regressors), (regressors, regressors))
    ]
    if grouped:
        return Regression(*parts, np.ones(len(errors)))
    return Regression(*(part.sum(axis=0, keepdims=True) for part in parts), np.array([float(len(errors))]))


def assert_same(found: Regression, want: Regression) -> None:
    for name in ("ee", "eb", "bb", "n"):
        assert_allclose(getattr(found, name), getattr(want, name), atol=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_shifted(grouped: bool) -> None:
    change = rng.standard_normal((P, R))
    start = sums(ERRORS, REGRESSORS, grouped)
    assert_same(start.shifted(change), sums(ERRORS - REGRESSORS @ change.T, REGRESSORS, grouped))
    assert_same(start.shifted(change).shifted(-change), start)
    assert_array_equal(start.ee, sums(ERRORS, REGRESSORS, grouped).ee)


@pytest.mark.parametrize("grouped", [False, True])
def test_rows(grouped: bool) -> None:
    start = sums(ERRORS, REGRESSORS, grouped)
    assert_same(start.rows(np.array([1])), sums(ERRORS[:, [1]], REGRESSORS, grouped))


def test_mean() -> None:
    for grouped in (False, True):
        assert_allclose(sums(ERRORS, REGRESSORS, grouped).mean, ERRORS.T @ ERRORS / N)
