"""Derivatives through the stationary distribution."""

from __future__ import annotations

import numpy as np
import pytest
from affine import DRIFTS
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient

from statespace_ext.numerics.linear_algebra import symmetrize
from statespace_ext.numerics.stationary import stationary_pullback


def moments(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the stationary mean and covariance, the latter by one linear system in its elements."""
    eye = np.eye(len(K))
    P = np.linalg.solve(np.kron(K, eye) + np.kron(eye, K), symmetrize(cov).ravel())
    return np.linalg.solve(K, kappa), P.reshape(K.shape)


@pytest.mark.parametrize("name", ["one factor", "stable", "repeated", "defective", "complex", "stiff"])
def test_pullback(name: str) -> None:
    K, rng = DRIFTS[name], np.random.default_rng(2)
    k = len(K)
    root = rng.standard_normal((k, k))
    at = K, rng.standard_normal(k), root @ root.T
    bar_mean, bar_P = rng.standard_normal(k), rng.standard_normal((k, k))

    def function(*values: np.ndarray) -> float:
        mean, P = moments(*values)
        return float(bar_mean @ mean + np.sum(bar_P * P))

    found = stationary_pullback(*at, bar_mean, bar_P)
    for place, ours in enumerate(found):
        numerical = richardson_gradient(
            lambda value, place=place: function(*at[:place], value, *at[place + 1 :]),
            at[place],
            step=1e-4 if name == "stiff" else 1e-3,
        )
        assert_allclose(ours, numerical, rtol=1e-8, atol=1e-8 * np.abs(numerical).max())
    assert_array_equal(found[2], found[2].T)
