"""Small dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from systems import sampled

from statespace_ext.numerics.linear_algebra import (
    STABILITY_LIMIT,
    companion,
    gaussian_objective,
    is_positive_definite,
    is_positive_semidefinite,
    is_stable,
    lower_triangular_rotation,
    rotate_system,
    scaled_solve,
    spectral_radius,
    symmetrize,
)
from statespace_ext.numerics.matrix_equations import stationary_moments


def test_symmetrize() -> None:
    stacked = np.arange(8.0).reshape(2, 2, 2)
    found = symmetrize(stacked)
    assert_array_equal(found, 0.5 * (stacked + stacked.transpose(0, 2, 1)))
    assert_array_equal(symmetrize(found), found)


@pytest.mark.parametrize("radius", [0.1, 0.7, 0.99, 1.0 - 1e-9, 1.0 - 1e-11, 1.0, 1.5])
@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_stability_is_that_of_the_eigenvalues(k: int, radius: float) -> None:
    rng = np.random.default_rng(k)
    T = rng.standard_normal((k, k)) * np.exp(rng.standard_normal(k))
    T = np.diag(np.linspace(-radius, 0.0, k)) if radius > 0.999 else T * (radius / spectral_radius(T))
    assert is_stable(T) == (spectral_radius(T) < STABILITY_LIMIT)
    for value in (30.0, 1e200, np.inf, np.nan):  # warnings are errors
        T[0, 0] = value
        assert not is_stable(T)


@pytest.mark.parametrize(
    ("matrix", "radius"),
    [
        ([[0.5, 0], [0, -0.9]], 0.9),
        ([[0, 1.1], [-1.1, 0]], 1.1),
        ([[0.5, 100], [0, 0.5]], 0.5),
        (np.zeros((0, 0)), 0.0),
        ([[np.nan]], np.inf),
        ([[np.inf, 0], [0, 0]], np.inf),
    ],
)
def test_spectral_radius(matrix: list, radius: float) -> None:
    assert_allclose(spectral_radius(np.array(matrix, float)), radius)


@pytest.mark.parametrize(
    ("matrix", "definite", "semidefinite"),
    [
        ([[2, 1], [1, 2]], True, True),
        ([[1, 1], [1, 1]], False, True),
        ([[1, 2], [2, 1]], False, False),
        ([[0, 0], [0, 0]], False, True),
        ([[1e-12, 0], [0, 1e12]], True, True),
        ([[-1e-12, 0], [0, 1]], False, True),  # rounding
        ([[-1e-3, 0], [0, 1]], False, False),
        ([[-1e-14]], False, False),
        (np.zeros((0, 0)), True, True),
        ([[np.nan]], False, False),
    ],
)
def test_definiteness(matrix: list, definite: bool, semidefinite: bool) -> None:
    array = np.array(matrix, float)
    assert is_positive_semidefinite(array) == semidefinite
    if np.all(np.isfinite(array)):
        assert is_positive_definite(array) == definite


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_stationary_moments(seed: int, k: int) -> None:
    """The fixed point of one step."""
    rng = np.random.default_rng(seed)
    T = rng.standard_normal((k, k))
    T *= rng.uniform(0.1, 0.95) / spectral_radius(T)
    c, root = rng.standard_normal(k), rng.standard_normal((k, k))
    W = root @ root.T
    mean, cov = stationary_moments(T, c, W)
    size = max(np.abs(cov).max(), np.abs(mean).max())
    assert_allclose(c + T @ mean, mean, atol=1e-9 * size)
    assert_allclose(T @ cov @ T.T + W, cov, atol=1e-9 * size)
    assert_array_equal(cov, cov.T)


def test_stationary_moments_of_a_companion_form() -> None:
    """A second-order autoregression, with its autocovariances (Yule-Walker)."""
    first, second, variance = 0.5, 0.3, 2.0
    T = np.array([[first, second], [1, 0]])
    mean, cov = stationary_moments(T, np.array([1.0, 0.0]), np.diag([variance, 0.0]))
    rho = first / (1 - second)
    gamma = variance / (1 - first * rho - second * (first * rho + second))
    assert_allclose(cov, gamma * np.array([[1, rho], [rho, 1]]))
    assert_allclose(mean, 1 / (1 - first - second))


@pytest.mark.parametrize("n", [1.0, 7.0])
def test_gaussian_objective(n: float) -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    cov, draws = root @ root.T, rng.standard_normal((int(n), 3))
    want = multivariate_normal.logpdf(draws, np.zeros(3), cov).sum() + 1.5 * n * np.log(2 * np.pi)
    assert_allclose(gaussian_objective(cov, draws.T @ draws, n), want)


@pytest.mark.parametrize("cov", [[[1, 2], [2, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 1]], [[np.nan, 0], [0, 1]]])
def test_gaussian_objective_without_a_density(cov: list) -> None:
    assert gaussian_objective(np.array(cov, float), np.eye(2)) == -np.inf


def test_gaussian_objective_of_nothing() -> None:
    assert gaussian_objective(np.zeros((0, 0)), np.zeros((0, 0))) == 0.0


@pytest.mark.parametrize("columns", [None, 2])
def test_scaled_solve(columns: int | None) -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((4, 4))
    matrix, rhs = root @ root.T, rng.standard_normal(4 if columns is None else (4, columns))
    assert_allclose(scaled_solve(matrix, rhs), np.linalg.solve(matrix, rhs), rtol=1e-9)


def test_scaled_solve_with_units_far_apart() -> None:
    rng = np.random.default_rng(2)
    root, units = rng.standard_normal((3, 3)), np.array([1e-9, 1.0, 1e9])
    matrix, rhs = root @ root.T, rng.standard_normal(3)
    found = scaled_solve(matrix * units[:, None] * units, rhs * units)
    assert_allclose(found * units, np.linalg.solve(matrix, rhs), rtol=1e-9)


def test_scaled_solve_leaves_what_is_not_known() -> None:
    """A zero diagonal, or a flat direction: the solution does not move along it."""
    matrix = np.diag([2.0, 0.0, 4.0])
    assert_allclose(scaled_solve(matrix, np.array([2.0, 5.0, 4.0])), [1, 0, 1])
    flat = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert_allclose(scaled_solve(flat, np.array([2.0, 2.0])), [1, 1], rtol=1e-9)
    assert_array_equal(scaled_solve(np.zeros((2, 2)), np.zeros(2)), [0, 0])


def test_companion() -> None:
    A = np.arange(8.0).reshape(2, 4)
    assert_array_equal(companion(A), np.vstack([A, np.eye(2, 4)]))
    assert_array_equal(companion(A[:, :2]), A[:, :2])
    over_time = np.stack([A, 2 * A], axis=-1)
    assert_array_equal(companion(over_time)[..., 1], companion(2 * A))


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
