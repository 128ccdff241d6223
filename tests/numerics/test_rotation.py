"""Rotations of factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from systems import sampled

from statespace_ext.numerics.rotation import lower_triangular_rotation, rotate_system


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 3))
def test_lower_triangular_rotation(seed: int, k: int, more: int) -> None:
    loadings = np.random.default_rng(seed).standard_normal((k + more, k))
    G = lower_triangular_rotation(loadings)
    assert_allclose(G.T @ G, np.eye(k), atol=1e-12)
    turned = loadings @ G
    assert_allclose(turned[:k], np.tril(turned[:k]), atol=1e-12)
    assert np.all(np.diag(turned) >= 0)
    assert_allclose(turned @ turned.T, loadings @ loadings.T, atol=1e-10)


def test_a_triangular_matrix_stays() -> None:
    loadings = np.array([[2.0, 0], [1, 3], [0.5, -1]])
    assert_allclose(loadings @ lower_triangular_rotation(loadings), loadings, atol=1e-12)


@pytest.mark.parametrize("lags", [1, 2])
def test_rotate_system_leaves_the_likelihood(lags: int) -> None:
    spec = {"lags": lags, "obs_intercept": "zero", "state_intercept": "free"}
    model, params = sampled(np.random.default_rng(0), 20, 3, 2, missing=0.2, **spec)
    at = model.matrices(params)
    G = np.array([[1.0, 0.4], [-0.3, 2.0]])
    turned = rotate_system(at | {"state_intercept": at["state_intercept"][:, 0]}, G, lags)
    other = model.params_from_matrices(
        {key: turned[key] for key in ("design", "transition", "state_intercept", "state_cov", "obs_cov")}
    )
    assert_allclose(model.loglike(other), model.loglike(params), rtol=1e-12)
    assert_array_equal(turned["obs_cov"], at["obs_cov"])
    smoothed, rotated = model.smooth(params).smoothed_state[:2], model.smooth(other).smoothed_state[:2]
    assert_allclose(G @ rotated, smoothed, rtol=1e-8, atol=1e-10)


def test_rotating_back_is_nothing() -> None:
    rng = np.random.default_rng(1)
    matrices = {
        "design": rng.standard_normal((3, 2)),
        "transition": rng.standard_normal((2, 4)),
        "state_intercept": rng.standard_normal(2),
        "state_cov": np.eye(2),
    }
    kept = {key: value.copy() for key, value in matrices.items()}
    G = rng.standard_normal((2, 2)) + 2 * np.eye(2)
    back = rotate_system(rotate_system(matrices, G, 2), np.linalg.inv(G), 2)
    for key, value in matrices.items():
        assert_allclose(back[key], value, atol=1e-12)
        assert_array_equal(value, kept[key])
