"""Lyapunov and Riccati equations against scipy, single steps, loops and known autocovariances."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from affine import DRIFTS
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient
from statsmodels.tsa.arima_process import ArmaProcess

from statespace_ext.numerics import matrix_equations
from statespace_ext.numerics.linear_algebra import spectral_radius, symmetrize
from statespace_ext.numerics.matrix_equations import (
    Riccati,
    continuous_covariance,
    geometric_sums,
    riccati_limit,
    riccati_paths,
    stationarity_error,
    stationary_covariance,
    stationary_moments,
    stationary_vjp,
)


def left_companion(phi: np.ndarray) -> np.ndarray:
    k = len(phi)
    return np.column_stack([phi, np.eye(k)[:, :-1]])


def stable(rng: np.random.Generator, k: int, radius: float) -> np.ndarray:
    transition = rng.standard_normal((k, k))
    return radius * transition / np.max(np.abs(np.linalg.eigvals(transition)))


def some_cov(rng: np.random.Generator, k: int, rank: int) -> np.ndarray:
    root = rng.standard_normal((k, rank))
    return root @ root.T


@pytest.mark.parametrize("k", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("radius", [0.3, 0.9, 0.999])
def test_general_matrices_against_scipy(k: int, radius: float) -> None:
    rng = np.random.default_rng(k)
    transition, cov = stable(rng, k, radius), some_cov(rng, k, max(1, k // 2))
    expected = scipy.linalg.solve_discrete_lyapunov(transition, cov)
    found = stationary_covariance(transition, cov)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.max(np.abs(expected)))
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("k", [1, 3, 12])
def test_diagonal_matrices_against_scipy(k: int) -> None:
    rng = np.random.default_rng(k)
    transition, cov = np.diag(rng.uniform(-0.999, 0.999, k)), some_cov(rng, k, max(1, k // 2))
    expected = scipy.linalg.solve_discrete_lyapunov(transition, cov)
    for found in (
        matrix_equations._of_diagonal(transition, cov, adjoint=False),
        stationary_covariance(transition, cov),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.max(np.abs(expected)))
    assert k == 1 or matrix_equations._of_diagonal(transition + np.eye(k, k=1), cov, adjoint=False) is None


@pytest.mark.parametrize("k", [3, 4, 12, 60])
def test_companions_against_scipy(k: int) -> None:
    rng = np.random.default_rng(k)
    phi = rng.uniform(-1.0, 1.0, k)
    phi *= 0.95 / np.sum(np.abs(phi))  # stable
    transition, cov = left_companion(phi), some_cov(rng, k, 2)
    expected = scipy.linalg.solve_discrete_lyapunov(transition, cov)
    found = stationary_covariance(transition, cov)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.max(np.abs(expected)))


def test_a_solution_that_does_not_fit_gives_way_to_the_next() -> None:
    """An elevenfold root: the powers of the transition grow beyond all bounds before they fall."""
    transition, noise = left_companion(-np.poly([0.92] * 11)[1:]), np.eye(11)
    with np.errstate(over="ignore", invalid="ignore"):
        assert matrix_equations._by_doubling(transition, noise, adjoint=False) is None
    assert stationarity_error(stationary_covariance(transition, noise), transition, noise) < 1e-12


def test_autocovariances_of_an_arma_process() -> None:
    """In Harvey's form y_t is the first state, so that P_11 is its variance."""
    ar, ma = [0.5, -0.3, 0.2], [0.4, 0.3]
    process = ArmaProcess.from_coeffs(ar, ma)
    shock = np.array([1.0, *ma])
    cov = stationary_covariance(left_companion(np.array(ar)), np.outer(shock, shock))
    assert cov[0, 0] == pytest.approx(process.acovf(1)[0], rel=1e-12)


def test_a_root_near_the_unit_circle_fits_the_equation() -> None:
    """Against its closed form for an AR(1): there scipy itself has few digits left."""
    found = stationary_covariance(np.diag([1.0 - 1e-9, 0.5]), np.eye(2))
    exact = np.diag([1.0 / (1.0 - (1.0 - 1e-9) ** 2), 1.0 / 0.75])
    np.testing.assert_allclose(found, exact, rtol=1e-7)


@pytest.mark.parametrize("companion", [True, False])
def test_an_unstable_matrix_gets_the_solution_of_scipy(companion: bool) -> None:
    """It is no covariance, as in statsmodels: whoever asks must know that the matrix is stable."""
    rng = np.random.default_rng(0)
    transition = left_companion(np.array([1.2, 0.3, 0.1])) if companion else stable(rng, 4, 1.3)
    cov = np.eye(len(transition))
    found = stationary_covariance(transition, cov)
    expected = scipy.linalg.solve_discrete_lyapunov(transition, cov)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
    assert np.min(np.linalg.eigvalsh(found)) < 0


@pytest.mark.parametrize("companion", [True, False])
def test_error_is_that_of_the_equation(companion: bool) -> None:
    rng = np.random.default_rng(1)
    transition = left_companion(np.array([0.4, 0.2, 0.1, 0.1])) if companion else stable(rng, 4, 0.8)
    cov, noise = some_cov(rng, 4, 4), some_cov(rng, 4, 2)
    expected = np.max(np.abs(transition @ cov @ transition.T + noise - cov)) / np.max(np.abs(cov))
    assert stationarity_error(cov, transition, noise) == pytest.approx(expected, rel=1e-12)
    assert stationarity_error(np.zeros((4, 4)), transition, np.zeros((4, 4))) == 0.0
    assert stationarity_error(np.full((4, 4), np.nan), transition, noise) == np.inf


@pytest.mark.parametrize("k", [1, 2, 4, 5, 12])
@pytest.mark.parametrize("radius", [0.3, 0.95, 1.0 - 1e-6])
def test_the_adjoint_equation_has_the_factors_of_its_transition(k: int, radius: float) -> None:
    """Equal to the equation of T', to the Kronecker system, and adjoint: <G, P(W)> = <L(G), W>."""
    rng = np.random.default_rng(k)
    T = rng.standard_normal((k, k))
    T *= radius / spectral_radius(T)
    W, G = (each @ each.T for each in rng.standard_normal((2, k, k)))
    adjoint = stationary_covariance(T, G, adjoint=True)
    dense = np.linalg.solve(np.eye(k * k) - np.kron(T.T, T.T), G.ravel()).reshape(k, k)
    for other in (stationary_covariance(T.T.copy(), G), dense):
        assert_allclose(adjoint, other, rtol=1e-8, atol=1e-8 * np.abs(adjoint).max())
    assert_allclose(np.vdot(G, stationary_covariance(T, W)), np.vdot(adjoint, W), rtol=1e-8)


def test_moments_are_new_arrays_and_follow_their_matrices() -> None:
    transition, intercept, cov = np.array([[0.5, 0.2], [0.0, 0.8]]), np.array([1.0, 2.0]), np.eye(2)
    for place in (transition, intercept, cov):
        for array in stationary_moments(transition, intercept, cov):
            array[:] = np.nan
        place *= 0.9
        mean, P = stationary_moments(transition, intercept, cov)
        assert_allclose(mean, intercept + transition @ mean, rtol=1e-13)
        assert_allclose(P, transition @ P @ transition.T + cov, rtol=1e-13)


def test_several_at_once_each_to_its_own_size() -> None:
    rng = np.random.default_rng(5)
    transition = stable(rng, 6, 0.95)
    covs = np.stack([scale * some_cov(rng, 6, 3) for scale in (1.0, 1e-12, 1e9)])
    for found, cov in zip(stationary_covariance(transition, covs), covs, strict=True):
        expected = scipy.linalg.solve_discrete_lyapunov(transition, cov)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


def test_several_at_once_without_a_stable_matrix() -> None:
    transition, covs = np.diag([1.2, 0.5]), np.stack([np.eye(2), np.ones((2, 2))])
    for found, cov in zip(stationary_covariance(transition, covs), covs, strict=True):
        np.testing.assert_allclose(found, transition @ found @ transition.T + cov, atol=1e-12)


def test_doubling_itself_comes_to_an_end() -> None:
    """Where it did not, the slow way would take over and nothing would show."""
    rng = np.random.default_rng(12)
    transition, cov = stable(rng, 4, 0.95), some_cov(rng, 4, 4)
    found = matrix_equations._by_doubling(transition, cov, adjoint=False)
    assert found is not None
    assert np.max(np.abs(found - transition @ found @ transition.T - cov)) < 1e-10


def moments(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the stationary mean and covariance, the latter by one linear system in its elements."""
    eye = np.eye(len(K))
    P = np.linalg.solve(np.kron(K, eye) + np.kron(eye, K), symmetrize(cov).ravel())
    return np.linalg.solve(K, kappa), P.reshape(K.shape)


STABLE = ["one factor", "stable", "repeated", "defective", "complex", "stiff"]


@pytest.mark.parametrize("name", STABLE)
def test_continuous_time_against_one_linear_system(name: str) -> None:
    K = DRIFTS[name]
    cov = some_cov(np.random.default_rng(2), len(K), len(K))
    want = moments(K, K[0], cov)[1]
    found = continuous_covariance(K, cov)
    assert_allclose(found, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
    theirs = symmetrize(scipy.linalg.solve_continuous_lyapunov(K, cov))
    assert_allclose(found, theirs, rtol=1e-12, atol=1e-12 * np.abs(want).max())


def test_continuous_time_of_complex_matrices_is_left_to_scipy() -> None:
    K = DRIFTS["stable"] * (1.0 + 0.3j)
    want = symmetrize(scipy.linalg.solve_continuous_lyapunov(K, np.eye(3)))
    assert_array_equal(continuous_covariance(K, np.eye(3)), want)


def test_continuous_time_without_numbers_is_the_error_of_scipy() -> None:
    for K, cov in ((np.full((2, 2), np.nan), np.eye(2)), (np.eye(2), np.full((2, 2), np.inf))):
        with pytest.raises(ValueError, match="infs or NaNs"):
            continuous_covariance(K, cov)


@pytest.mark.parametrize("name", STABLE)
def test_vjp(name: str) -> None:
    K, rng = DRIFTS[name], np.random.default_rng(2)
    k = len(K)
    root = rng.standard_normal((k, k))
    at = K, rng.standard_normal(k), root @ root.T
    bar_mean, bar_P = rng.standard_normal(k), rng.standard_normal((k, k))

    def function(*values: np.ndarray) -> float:
        mean, P = moments(*values)
        return float(bar_mean @ mean + np.sum(bar_P * P))

    found = stationary_vjp(*at, bar_mean, bar_P)
    for place, ours in enumerate(found):
        numerical = richardson_gradient(
            lambda value, place=place: function(*at[:place], value, *at[place + 1 :]),
            at[place],
            step=1e-4 if name == "stiff" else 1e-3,
        )
        assert_allclose(ours, numerical, rtol=1e-8, atol=1e-8 * np.abs(numerical).max())
    assert_array_equal(found[2], found[2].T)


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
    for start in (1e6, 1e8):  # approximate diffuse, where the plain steps lose digits
        one = recursion(rng, 3, 2, 1.0, start)
        (path,) = riccati_paths([one], 60)
        want = stepwise(one, len(path.values))
        assert np.max(np.abs(path.values - want)) < 1e-7 * np.max(want)
        assert_allclose(path.values[-1], want[-1], rtol=1e-6)


def test_units_do_not_matter() -> None:
    one = recursion(np.random.default_rng(4), 2, 2, 0.97, 1.0)
    (want,) = riccati_paths([one], 500)
    for size in (1e-8, 1e6):
        scaled = Riccati(one.A, size**2 * one.C, one.square_root / size, size**2 * one.start)
        (found,) = riccati_paths([scaled], 500)
        assert len(found.values) == pytest.approx(len(want.values), abs=2)
        shortest = min(len(found.values), len(want.values))
        assert_allclose(found.values[:shortest], size**2 * want.values[:shortest], rtol=1e-10)


def matrices(seed: int, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return A, C of rank two and the root of J, of rank one or two."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((k, k))
    A *= (0.7, 0.95, 1.2)[seed % 3] / np.abs(np.linalg.eigvals(A)).max()
    noise, root = rng.standard_normal((k, 2)), rng.standard_normal((1 + seed % 2, k))
    return A, noise @ noise.T, root


@pytest.mark.parametrize("seed", range(9))
def test_limits_solve_the_riccati_equations(seed: int) -> None:
    A, C, root = matrices(seed)
    J = root.T @ root
    found = riccati_limit(A, C, J, 10_000)
    identity = np.eye(3)
    want = scipy.linalg.solve_discrete_are(A.T, root.T, C, np.eye(len(root)))
    assert_allclose(found.value, want, rtol=1e-7, atol=1e-8 * np.abs(want).max())
    again = A @ np.linalg.solve(identity + found.value @ J, found.value) @ A.T + C
    assert_allclose(found.value, again, rtol=1e-11, atol=1e-12 * np.abs(again).max())
    again = A.T @ found.dual @ np.linalg.solve(identity + C @ found.dual, A) + J
    assert_allclose(found.dual, again, rtol=1e-9, atol=1e-11 * np.abs(again).max())
    assert_allclose(found.closing @ (identity + found.value @ J), identity, atol=1e-11)
    assert_allclose(found.damped, found.closing @ found.value, rtol=1e-10, atol=1e-12)
    assert_allclose(found.log_det, np.linalg.slogdet(identity + found.value @ J)[1], rtol=1e-11)


def test_none_where_it_settles_too_late() -> None:
    """A random walk with little noise: the filter forgets some 2 % a period."""
    walk = np.eye(1), np.array([[4e-4]]), np.eye(1)
    with pytest.raises(np.linalg.LinAlgError, match="do not settle"):
        riccati_limit(*walk, 200)
    found = riccati_limit(*walk, 20_000)
    assert_allclose(found.value, (4e-4 + np.sqrt(4e-4**2 + 4 * 4e-4)) / 2, rtol=1e-12)


def test_a_constant_without_noise_never_settles() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="do not settle"):
        riccati_limit(np.eye(1), np.zeros((1, 1)), np.eye(1), 10**6)


@pytest.mark.parametrize("root", [0.0, 0.3, -0.8])
def test_sums_of_powers(root: float) -> None:
    rng = np.random.default_rng(1)
    M = np.array([[root, 0.4], [0.0, 0.5 * root]])
    X, Y = rng.standard_normal((2, 2, 2))
    found = geometric_sums(M, X, Y, np.ones(2), 1000)
    forward, backward, power = np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)
    for _ in range(400):
        forward, backward = forward + power @ X @ power.T, backward + power.T @ Y @ power
        power = power @ M
    assert_allclose(found.forward, forward, rtol=1e-13)
    assert_allclose(found.backward, backward, rtol=1e-13)
    for i, power in enumerate(found.powers):
        assert_allclose(power, np.linalg.matrix_power(M, 2**i), atol=1e-15)
    assert np.abs(found.powers[-1]).max() <= 1e-12


def test_sums_are_judged_in_the_units_of_the_elements() -> None:
    """What is negligible of the second element may not be beside a first of a trillionth of its size."""
    M, zero = np.array([[0.5, 1e-3], [0.0, 0.1]]), np.zeros((2, 2))
    short = geometric_sums(M, zero, zero, np.ones(2), 64)
    assert len(short.powers) > 1
    with pytest.raises(np.linalg.LinAlgError, match="do not vanish"):
        geometric_sums(M, zero, zero, np.array([1.0, 1e12]), 64)
