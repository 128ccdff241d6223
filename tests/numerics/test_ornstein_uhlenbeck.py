"""
The discretised process against closed forms and identities, and the way back.

The exponential of a generator and its quadratic integral against quadrature and complex steps.
"""

from __future__ import annotations

import numpy as np
import pytest
from affine import DRIFTS, similar, slow
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient
from scipy.linalg import expm

from statespace_ext.exceptions import ParameterError
from statespace_ext.numerics.linear_algebra import symmetrize
from statespace_ext.numerics.matrix_equations import stationary_vjp
from statespace_ext.numerics.ornstein_uhlenbeck import (
    AffineFlow,
    continuous,
    discretise,
    discretise_vjp,
    stationary_moments,
)

STABLE = ["one factor", "stable", "repeated", "defective", "complex", "stiff"]


def process(K: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a process with this K."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal(K.shape)
    return K, rng.standard_normal(len(K)), root @ root.T


def van_loan(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray, dt: float) -> tuple[np.ndarray, ...]:
    """Return (Phi, c, Omega) from exponentials of blocks (Van Loan 1978)."""
    k = len(K)
    both = expm(np.block([[-K, cov], [np.zeros((k, k)), K.T]]) * dt)
    affine = expm(np.block([[-K, kappa[:, None]], [np.zeros((1, k + 1))]]) * dt)
    return affine[:k, :k], affine[:k, k], both[:k, k:] @ both[:k, :k].T


def by_eigenvalues(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray, dt: float) -> tuple[np.ndarray, ...]:
    """Return (Phi, c, Omega) from the eigenvalues of K, different and none zero."""
    values, V = np.linalg.eig(K)
    inverse = np.linalg.inv(V)
    sums = values[:, None] + values
    inner = inverse @ cov @ inverse.T * -np.expm1(-sums * dt) / sums
    found = (
        V @ np.diag(np.exp(-values * dt)) @ inverse,
        V @ (-np.expm1(-values * dt) / values * (inverse @ kappa)),
        V @ inner @ V.T,
    )
    return tuple(np.real(item) for item in found)


def parts(step: object) -> tuple[np.ndarray, ...]:
    """Return (Phi, c, Omega)."""
    return step.transition, step.intercept, step.cov  # type: ignore[attr-defined]


def close(found: tuple, expected: tuple, relative: float) -> None:
    """Compare arrays, errors relative to the largest element of each."""
    for ours, theirs in zip(found, expected, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=relative * np.abs(theirs).max())


@pytest.mark.parametrize("dt", [1 / 252, 1 / 12, 1.0])
@pytest.mark.parametrize("name", [name for name in DRIFTS if "stiff" not in name])
def test_van_loan(name: str, dt: float) -> None:
    at = process(DRIFTS[name])
    close(parts(discretise(*at, dt)), van_loan(*at, dt), 1e-12)


@pytest.mark.parametrize("dt", [1 / 12, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("core", [(0.02, 1, 25), (0.02, 1, 400)])
def test_stiff(core: tuple, dt: float) -> None:
    at = process(similar(np.diag(core)))
    close(parts(discretise(*at, dt)), by_eigenvalues(*at, dt), 1e-11)


def test_block_exponentials_are_not_for_stiff_processes() -> None:
    """What the doubling is for: the reference of the other tests is wrong here, in every digit."""
    at = process(similar(np.diag([0.02, 1, 25])))
    theirs, exact = van_loan(*at, 2.0)[2], by_eigenvalues(*at, 2.0)[2]
    assert np.abs(theirs - exact).max() > np.abs(exact).max()


@pytest.mark.parametrize("name", DRIFTS)
def test_composition_over_time(name: str) -> None:
    at = process(DRIFTS[name])
    first, second, both = (discretise(*at, dt) for dt in (0.3, 1.1, 1.4))
    Phi = second.transition
    composed = (
        Phi @ first.transition,
        second.intercept + Phi @ first.intercept,
        second.cov + Phi @ first.cov @ Phi.T,
    )
    close(parts(both), composed, 1e-13 * np.linalg.norm(Phi) * 10)


@pytest.mark.parametrize("name", DRIFTS)
def test_short_steps(name: str) -> None:
    K, kappa, cov = process(DRIFTS[name])
    dt = 1e-9
    step = discretise(K, kappa, cov, dt)
    close(parts(step), (np.eye(len(K)) - K * dt, kappa * dt, cov * dt), 1e-6)


@pytest.mark.parametrize("name", DRIFTS)
def test_steps_of_several_lengths(name: str) -> None:
    at = process(DRIFTS[name])
    dt = np.array([1 / 252, 0.5, 1 / 252, 3.0])
    together = parts(discretise(*at, dt))
    for i, step in enumerate(dt):
        alone = parts(discretise(*at, step))
        close(tuple(stack[i] for stack in together), alone, 1e-13)
    assert [stack.shape[0] for stack in together] == [4, 4, 4]


@pytest.mark.parametrize("period", [None, 0.1])
@pytest.mark.parametrize("dt", [0.1, np.array([0.1, 2.0, 0.1])], ids=["one step", "three steps"])
@pytest.mark.parametrize("name", DRIFTS)
def test_vjp(name: str, dt: float | np.ndarray, period: float | None) -> None:
    at = process(slow(DRIFTS[name]) if period else DRIFTS[name])
    rng = np.random.default_rng(1)
    bars = [rng.standard_normal(stack.shape) for stack in parts(discretise(*at, dt))]
    bars[2] = symmetrize(bars[2])
    found = discretise_vjp(*at, dt, *bars, period)

    def function(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray) -> float:
        stacks = parts(discretise(K, kappa, symmetrize(cov), dt, period))
        return sum(float(np.sum(bar * stack)) for bar, stack in zip(bars, stacks, strict=True))

    for place, ours in enumerate(found):
        numerical = richardson_gradient(
            lambda value, place=place: function(*at[:place], value, *at[place + 1 :]), at[place], step=1e-3
        )
        assert_allclose(ours, numerical, rtol=1e-8, atol=1e-8 * np.abs(numerical).max())


@pytest.mark.parametrize("wrong", [0.0, -0.5, np.nan, np.inf])
def test_a_step_that_is_none(wrong: float) -> None:
    with pytest.raises(ParameterError, match=f"not a positive number: got {wrong}"):
        discretise(*process(DRIFTS["stable"]), wrong)


# -- the stationary distribution ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", STABLE)
def test_stationary_moments_are_those_that_a_step_leaves(name: str) -> None:
    at = process(DRIFTS[name])
    mean, P = stationary_moments(*at)
    step = discretise(*at, 0.7)
    close((step.intercept + step.transition @ mean,), (mean,), 1e-12)
    close((step.transition @ P @ step.transition.T + step.cov,), (P,), 1e-12)
    ever = discretise(*at, 2000.0)
    close((ever.intercept, ever.cov), (mean, P), 1e-11)


@pytest.mark.parametrize("name", ["singular", "zero", "nilpotent", "unstable"])
def test_no_stationary_moments(name: str) -> None:
    with pytest.raises(
        ParameterError, match=r"no stationary distribution.*: got .*above 0.* Use a start other"
    ):
        stationary_moments(*process(np.round(DRIFTS[name], 12) - 1e-9 * np.eye(len(DRIFTS[name]))))


# -- back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [1 / 12, 0.25])
@pytest.mark.parametrize("name", [name for name in DRIFTS if "stiff" not in name])
def test_there_and_back(name: str, dt: float) -> None:
    at = process(DRIFTS[name])
    for found, given in zip(continuous(*parts(discretise(*at, dt)), dt), at, strict=True):
        assert_allclose(found, given, rtol=0, atol=1e-11)


def test_there_and_back_with_a_fast_root() -> None:
    at = process(DRIFTS["stiff"])
    close(continuous(*parts(discretise(*at, 1 / 12)), 1 / 12), at, 1e-9)


def test_fast_turns_come_back_slower() -> None:
    """With round noise the covariance over a step does not tell them apart either."""
    slow, fast = (np.array([[0.2, -w], [w, 0.2]]) for w in (np.pi + 0.5 - 2 * np.pi, np.pi + 0.5))
    step = parts(discretise(fast, np.zeros(2), np.eye(2), 1.0))
    close(step, parts(discretise(slow, np.zeros(2), np.eye(2), 1.0)), 1e-14)
    K, _, cov = continuous(*step, 1.0)
    close((K, cov), (slow, np.eye(2)), 1e-12)


NEGATIVE = {
    "simple": np.diag([0.5, -0.2]),
    "repeated": -0.2 * np.eye(2),
    "half a circle": expm(-np.array([[0.2, -np.pi], [np.pi, 0.2]])),
    "defective": np.array([[-0.2, 1.0], [0, -0.2]]),
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_no_logarithm_of_negative_eigenvalues(name: str) -> None:
    with pytest.raises(
        ParameterError, match=r"no principal real logarithm.*got -0\.[28].*Use a shorter step"
    ):
        continuous(NEGATIVE[name], np.zeros(2), np.eye(2), 1.0)


def test_no_logarithm_of_a_singular_matrix() -> None:
    for Phi in (np.diag([0.5, 0.0]), np.array([[1.0, 2.0], [0.5, 1.0]]), np.array([[0.0, 1.0], [0.0, 0.0]])):
        with pytest.raises(
            ParameterError, match=r"singular to rounding.*: got an eigenvalue .*Use a shorter"
        ):
            continuous(Phi, np.zeros(2), np.eye(2), 1.0)
    stiff = discretise(*process(DRIFTS["stiff"]), 1.0)
    with pytest.raises(ParameterError, match="singular to rounding"):
        continuous(*parts(stiff), 1.0)


def test_a_logarithm_that_cannot_be_computed() -> None:
    Phi = np.array([[0.5, 1e14, 0], [0, 0.5, 1e14], [0, 0, 0.5]])
    with pytest.raises(
        ParameterError, match=r"could not be computed: got exp\(log\(Phi\)\) differs .*Estimate"
    ):
        continuous(Phi, np.zeros(3), np.eye(3), 1.0)


def test_a_covariance_that_no_process_has() -> None:
    Phi = expm(-np.array([[0.2, -1.5], [1.5, 0.2]]))
    with pytest.raises(ParameterError, match=r"negative eigenvalue: got -.*Estimate the continuous-time"):
        continuous(Phi, np.zeros(2), np.diag([1.0, 1e-6]), 1.0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_step_back_that_is_none(wrong: float) -> None:
    with pytest.raises(ParameterError, match=f"step is not a positive number: got {wrong}; expected"):
        continuous(0.5 * np.eye(2), np.zeros(2), np.eye(2), wrong)


TIMES = np.array([0.1, 2.0, 0.7])


def flow_of(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a generator with the drift -K, and a source that touches every element."""
    n, rng = len(K) + 1, np.random.default_rng(4)
    G = np.zeros((n, n))
    G[:-1, :-1], G[:-1, -1] = -K, rng.standard_normal(n - 1)
    return G, symmetrize(rng.standard_normal((n, n)))


@pytest.mark.parametrize("name", [name for name in DRIFTS if "stiff" not in name])
def test_quadrature(name: str) -> None:
    G, N = flow_of(DRIFTS[name])
    flow = AffineFlow(G, N, TIMES)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for t, increment, integral in zip(TIMES, flow.increment, flow.integral, strict=True):
        assert_allclose(increment, expm(G * t) - np.eye(len(G)), rtol=0, atol=1e-13 * np.abs(increment).max())
        moved = [expm(G * s) for s in t * (nodes + 1) / 2]
        expected = sum(w * t / 2 * E @ N @ E.T for w, E in zip(weights, moved, strict=True))
        assert_allclose(integral, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", DRIFTS)
def test_pullback_is_exact(name: str) -> None:
    """Complex steps have no rounding error: all digits of the gradient, stiff or not."""
    G, N = flow_of(DRIFTS[name])
    n, rng = len(G), np.random.default_rng(5)
    bars = rng.standard_normal((3, n, n)), symmetrize(rng.standard_normal((3, n, n)))
    by_generator, by_source = AffineFlow(G, N, TIMES).vjp(*bars)
    for at, found, rows in ((0, by_generator, n - 1), (1, by_source, n)):
        expected = np.zeros((rows, n))
        for i, j in np.ndindex(rows, n):
            given = [G.astype(complex), N.astype(complex)]
            given[at][i, j] += 1e-30j
            given[1] = symmetrize(given[1])
            flow = AffineFlow(*given, TIMES)
            expected[i, j] = np.sum(bars[0] * flow.increment + bars[1] * flow.integral).imag / 1e-30
        assert_allclose(found[:rows], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_nothing_given_is_changed() -> None:
    G, N = flow_of(DRIFTS["stable"])
    bars = np.ones((3, 4, 4)), np.ones((3, 4, 4))
    kept = [array.copy() for array in (G, N, TIMES, *bars)]
    flow = AffineFlow(G, N, TIMES)
    first = flow.vjp(*bars)
    assert_array_equal(flow.vjp(*bars), first)
    for array, before in zip((G, N, TIMES, *bars), kept, strict=True):
        assert_array_equal(array, before)


@pytest.mark.parametrize("name", list(DRIFTS))
def test_discrete_time_step_by_step(name: str) -> None:
    K, kappa, cov = process(0.1 * DRIFTS[name])
    h, count = 0.25, 5
    Phi, mean, variance = np.eye(len(K)), np.zeros(len(K)), np.zeros_like(cov)
    unit = np.eye(len(K)) - h * K
    for _ in range(count):
        Phi, mean, variance = unit @ Phi, unit @ mean + h * kappa, unit @ variance @ unit.T + h * cov
    step = discretise(K, kappa, cov, count * h, h)
    close(parts(step), (Phi, mean, variance), 1e-12)
    once = discretise(K, kappa, cov, h, h)
    close(continuous(once.transition, once.intercept, once.cov, h, h), (K, kappa, cov), 1e-12)


def test_stationary_moments_of_discrete_time_are_those_that_a_step_leaves() -> None:
    K, kappa, cov = process(np.array([[0.4, 0.3], [-0.2, 0.9]]))
    mean, P = stationary_moments(K, kappa, cov, 0.5)
    step = discretise(K, kappa, cov, 0.5, 0.5)
    assert_allclose(step.intercept + step.transition @ mean, mean, rtol=1e-12)
    assert_allclose(step.transition @ P @ step.transition.T + step.cov, P, rtol=1e-12)
    with pytest.raises(ParameterError, match="no stationary distribution"):
        stationary_moments(np.array([[9.0]]), np.zeros(1), np.eye(1), 0.5)


def test_stationary_pullback_of_discrete_time() -> None:
    at, rng = process(np.array([[0.4, 0.3], [-0.2, 0.9]])), np.random.default_rng(3)
    bar_mean, bar_P = rng.standard_normal(2), symmetrize(rng.standard_normal((2, 2)))
    found = stationary_vjp(*at, bar_mean, bar_P, 0.5)

    def function(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray) -> float:
        mean, P = stationary_moments(K, kappa, symmetrize(cov), 0.5)
        return float(bar_mean @ mean + np.sum(bar_P * P))

    for place, ours in enumerate(found):
        numerical = richardson_gradient(
            lambda value, place=place: function(*at[:place], value, *at[place + 1 :]), at[place], step=1e-4
        )
        assert_allclose(ours, numerical, rtol=1e-8, atol=1e-8 * np.abs(numerical).max())
