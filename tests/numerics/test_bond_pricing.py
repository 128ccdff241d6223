"""Loadings of zero-coupon yields against closed forms, published figures, an ODE solver and identities."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import DRIFTS, rotated, similar, slow
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from scipy.integrate import solve_ivp

from statespace_ext.exceptions import ParameterError
from statespace_ext.numerics.bond_pricing import (
    forward_loadings,
    loadings,
    loadings_vjp,
)
from statespace_ext.numerics.linear_algebra import symmetrize
from statespace_ext.numerics.ornstein_uhlenbeck import discretise


def intercept_parts(at: tuple, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drift and convexity of the intercept, which a difference of intercepts would round away."""
    K, kappa, cov, _, delta_1 = at
    drift, _ = loadings(K, kappa, np.zeros_like(cov), 0.0, delta_1, tau)
    convexity, _ = loadings(K, np.zeros_like(kappa), cov, 0.0, delta_1, tau)
    return drift, convexity


TAU = np.array([0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30.0])


def pricing(K: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray]:
    """Return Q-dynamics with this K, and a short rate, at random."""
    k, rng = len(K), np.random.default_rng(seed)
    root = 0.01 * rng.standard_normal((k, k))
    return K, 0.01 * rng.standard_normal(k), root @ root.T, 0.02, 0.5 + rng.random(k)


def by_ode(K: Any, kappa: Any, cov: Any, delta_0: float, delta_1: Any, tau: Any) -> tuple[Any, Any]:
    """Return the loadings by a Runge-Kutta method of order 8 on the equations of a and b."""

    def slope(_: float, at: np.ndarray) -> np.ndarray:
        b = at[1:]
        return np.append(kappa @ b + 0.5 * b @ cov @ b - delta_0, -K.T @ b - delta_1)

    at, path = np.zeros(len(K) + 1), []
    for span in pairwise([0.0, *tau]):  # the ends of the steps are more exact than what lies between
        at = solve_ivp(slope, span, at, "DOP853", rtol=1e-13, atol=1e-16).y[:, -1]
        path.append(-at / span[1])
    return np.array(path)[:, 0], np.array(path)[:, 1:]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", DRIFTS)
def test_ode_solver(name: str, seed: int) -> None:
    at = pricing(similar(DRIFTS[name], seed), seed)
    for ours, theirs in zip(loadings(*at, TAU), by_ode(*at, TAU), strict=True):
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_vasicek_closed_form(reference: dict[str, Any]) -> None:
    k, theta, sigma, r = 0.25, 0.06, 0.01, 0.03
    A, B = loadings(np.array([[k]]), np.array([k * theta]), np.array([[sigma**2]]), 0.0, np.ones(1), TAU)
    b = (1 - np.exp(-k * TAU)) / k
    a = (theta - sigma**2 / (2 * k**2)) * (b - TAU) - sigma**2 * b**2 / (4 * k)
    assert_allclose(B[:, 0], b / TAU, rtol=1e-12)
    assert_allclose(A, -a / TAU, rtol=1e-12, atol=1e-15)

    figures = reference["yields"]["vasicek_k.25_theta.06_sigma.01_r.03"]
    tau = np.array(figures["maturities"], dtype=float)
    A, B = loadings(np.array([[k]]), np.array([k * theta]), np.array([[sigma**2]]), 0.0, np.ones(1), tau)
    assert_allclose(A + r * B[:, 0], figures["yields"], rtol=0, atol=6e-13)  # they have twelve decimals


def afns(lam: float) -> tuple[np.ndarray, np.ndarray]:
    """Return K_Q and delta_1 of level, slope and curvature."""
    return np.array([[0, 0, 0], [0, lam, -lam], [0, 0, lam]]), np.array([1.0, 1.0, 0.0])


def six_terms(lam: float, cov: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Return the adjustment -C(tau)/tau of Christensen, Diebold & Rudebusch (2011), term by term."""
    e, e2 = np.exp(-lam * tau), np.exp(-2 * lam * tau)
    f, f2 = (1 - e) / tau / lam**3, (1 - e2) / tau / lam**3
    level = tau**2 / 6
    slope = 1 / (2 * lam**2) - f + f2 / 4
    curvature = (
        1 / (2 * lam**2) + e / lam**2 - tau * e2 / (4 * lam) - 3 * e2 / (4 * lam**2) - 2 * f + 5 * f2 / 8
    )
    level_slope = tau / (2 * lam) + e / lam**2 - f
    level_curvature = 3 * e / lam**2 + tau / (2 * lam) + tau * e / lam - 3 * f
    slope_curvature = 1 / lam**2 + e / lam**2 - e2 / (2 * lam**2) - 3 * f + 3 * f2 / 4
    return -(
        cov[0, 0] * level
        + cov[1, 1] * slope
        + cov[2, 2] * curvature
        + cov[0, 1] * level_slope
        + cov[0, 2] * level_curvature
        + cov[1, 2] * slope_curvature
    )


def test_afns_adjustment(reference: dict[str, Any]) -> None:
    root = np.array([[0.0051, 0, 0], [-0.004, 0.011, 0], [0.003, -0.008, 0.0264]])
    for lam in (0.2, 0.5975, 2.0):
        K, delta_1 = afns(lam)
        A, B = loadings(K, np.zeros(3), root @ root.T, 0.0, delta_1, TAU)
        assert_allclose(A, six_terms(lam, root @ root.T, TAU), rtol=0, atol=1e-13)
        slope = (1 - np.exp(-lam * TAU)) / (lam * TAU)
        nelson_siegel = np.stack([np.ones_like(TAU), slope, slope - np.exp(-lam * TAU)], axis=1)
        assert_allclose(B, nelson_siegel, rtol=0, atol=1e-13)

    figures = reference["yields"]["afns_adjustment_bp"]
    K, delta_1 = afns(figures["lambda"])
    tau, cov = np.array(figures["maturity_years"], dtype=float), np.diag([0.0051, 0.0110, 0.0264]) ** 2
    A, _ = loadings(K, np.zeros(3), cov, 0.0, delta_1, tau)
    assert_allclose(1e4 * A, figures["adjustment"], rtol=0, atol=6e-7)  # they have six decimals


def test_jsz_loadings(shared_data: Path) -> None:
    at = json.loads((shared_data / "yields" / "jsz_continuous_map.json").read_text(encoding="utf-8"))
    K = np.diag(at["KQ_diag"])
    A, B = loadings(
        K,
        K @ at["thetaQ"],
        np.array(at["SigmaSigma"]),
        at["delta0"],
        np.array(at["delta1"]),
        np.array(at["maturities"]),
    )
    assert_allclose(A, at["A_expected"], rtol=1e-12, atol=1e-14)
    assert_allclose(B, at["B_expected"], rtol=1e-12)


@pytest.mark.parametrize("name", DRIFTS)
def test_forward_rates_are_the_slope_of_log_prices(name: str) -> None:
    at = pricing(DRIFTS[name])
    tau = np.array([0.5, 2.0, 10.0])
    A, B = forward_loadings(*at, tau)

    def log_prices(times: np.ndarray) -> np.ndarray:
        a, b = loadings(*at, times)
        return times[:, None] * np.column_stack([a, b])

    slopes = np.array([richardson_gradient(log_prices, tau[i : i + 1])[0, :, 0] for i in range(3)])
    assert_allclose(np.column_stack([A, B]), slopes, rtol=1e-8, atol=1e-9)


def test_long_maturities() -> None:
    K, kappa, cov, delta_0, delta_1 = at = pricing(DRIFTS["complex"])
    weights = np.linalg.solve(K.T, delta_1)
    limit = delta_0 + weights @ kappa - 0.5 * weights @ cov @ weights
    A, B = forward_loadings(*at, np.array([300.0]))
    assert_allclose(A, limit, rtol=1e-12)
    assert_allclose(B, 0.0, atol=1e-14)
    tau = np.array([1e3, 1e4, 1e5])
    A, B = loadings(*at, tau)
    assert_allclose(tau[:, None] * B, np.tile(weights, (3, 1)), rtol=1e-11)
    distance = tau * (A - limit)  # a constant: what the forward rates differ from their limit by, in all
    assert_allclose(distance[1:], distance[0], rtol=1e-7)
    assert abs(distance[0]) > 1e-4


@pytest.mark.parametrize("name", DRIFTS)
def test_short_maturities(name: str) -> None:
    K, kappa, cov, delta_0, delta_1 = at = pricing(DRIFTS[name])
    tau = np.array([1e-12, 1e-9, 1e-6, 30.0])  # beside a long one, which sets the first step
    drift, convexity = intercept_parts(at, tau)
    A, B = loadings(*at, tau)
    t = tau[:3]
    assert_allclose(A[:3] - delta_0, drift[:3] + convexity[:3], rtol=1e-3, atol=1e-17)
    assert_allclose(drift[:3], 0.5 * t * (kappa @ delta_1), rtol=2e-4)
    assert_allclose(convexity[:3], -(t**2) / 6 * (delta_1 @ cov @ delta_1), rtol=2e-4)
    assert_allclose(B[:3], delta_1 - 0.5 * t[:, None] * (K.T @ delta_1), rtol=1e-8)
    assert_allclose(B[:2], np.tile(delta_1, (2, 1)), rtol=1e-7)


@pytest.mark.parametrize("name", DRIFTS)
def test_composition_over_time(name: str) -> None:
    """The expected rate over tau + s: that over s, and that over tau at the expected state after s."""
    K, kappa, cov, delta_0, delta_1 = pricing(DRIFTS[name])
    tau, s = 3.0, 1.7
    A, B = loadings(K, kappa, np.zeros_like(cov), delta_0, delta_1, np.array([tau, s, tau + s]))
    a, b = A * [tau, s, tau + s], B * np.array([[tau], [s], [tau + s]])
    step = discretise(K, kappa, cov, s)
    assert_allclose(b[2], b[1] + b[0] @ step.transition, rtol=1e-12, atol=1e-13)
    assert_allclose(a[2], a[1] + a[0] + b[0] @ step.intercept, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", DRIFTS)
def test_rotation_leaves_yields(name: str) -> None:
    at = pricing(DRIFTS[name])
    k, rng = len(at[0]), np.random.default_rng(7)
    L = np.eye(k) + 0.3 * rng.standard_normal((k, k))
    h, x = 0.01 * rng.standard_normal(k), rng.standard_normal(k)
    A, B = loadings(*at, TAU)
    turned_A, turned_B = loadings(*rotated(at, L, h), TAU)
    assert_allclose(turned_A + turned_B @ (L @ x + h), A + B @ x, rtol=1e-12, atol=1e-12)


def test_parts_of_the_intercept() -> None:
    K, kappa, cov, delta_0, delta_1 = at = pricing(DRIFTS["stable"])
    drift, convexity = intercept_parts(at, TAU)
    assert_allclose(delta_0 + drift + convexity, loadings(*at, TAU)[0], rtol=1e-14)
    assert np.all(convexity < 0)
    A, B = loadings(K, kappa, np.zeros_like(cov), delta_0, delta_1, TAU)
    assert_allclose(A, delta_0 + drift, rtol=1e-14)
    assert_allclose(B, loadings(*at, TAU)[1], rtol=1e-14)


@pytest.mark.parametrize("period", [None, 0.25])
@pytest.mark.parametrize("name", DRIFTS)
def test_vjp(name: str, period: float | None) -> None:
    at = pricing(slow(DRIFTS[name]) if period else DRIFTS[name])
    rng, tau = np.random.default_rng(3), np.array([0.25, 1, 4, 10.0])
    bar_A, bar_B = rng.standard_normal(4), rng.standard_normal((4, len(at[0])))
    bars = loadings_vjp(*at, tau, bar_A, bar_B, period)
    for place, bar in enumerate(bars):

        def function(value: np.ndarray, place: int = place) -> float:
            moved = value if place != 3 else float(value[0])
            A, B = loadings(*at[:place], moved, *at[place + 1 :], tau, period)
            return float(bar_A @ A + np.sum(bar_B * B))

        numerical = richardson_gradient(function, np.atleast_1d(at[place]), step=1e-3 if place == 0 else None)
        assert_allclose(np.atleast_1d(bar), numerical, rtol=1e-8, atol=1e-8 * np.abs(numerical).max())
    assert_allclose(bars[2], symmetrize(bars[2]), rtol=0, atol=0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_maturity_that_is_none(wrong: float) -> None:
    with pytest.raises(ParameterError, match=f"not a positive number: got {wrong}; expected .* Pass mat"):
        loadings(*pricing(DRIFTS["stable"]), np.array([1.0, wrong]))


def test_no_maturities() -> None:
    with pytest.raises(ParameterError, match=r"There are no times: expected"):
        loadings(*pricing(DRIFTS["stable"]), np.array([]))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_drift_that_is_none(wrong: float) -> None:
    K, *rest = pricing(np.diag([wrong, 1.0]))
    with pytest.raises(
        ParameterError, match=r"drift matrix is not finite: got \[\[.*(nan|inf).*1\.0\]\].* Look at"
    ):
        loadings(K, *rest, TAU)


MONTH = 1.0 / 12.0


def by_recursion(K: Any, kappa: Any, cov: Any, delta_0: float, delta_1: Any, tau: Any) -> tuple[Any, Any]:
    """Return the loadings in discrete time, month by month (Ang & Piazzesi 2003, equation 17)."""
    Phi, A, B = np.eye(len(K)) - K * MONTH, [], []
    a, b = 0.0, np.zeros(len(K))
    for _ in range(round(12 * max(tau))):
        a, b = (
            a + MONTH * (kappa @ b - delta_0) + 0.5 * MONTH * b @ cov @ b,
            Phi.T @ b - MONTH * delta_1,
        )
        A.append(a)
        B.append(b)
    months = np.rint(12 * np.asarray(tau)).astype(int)
    return -np.array(A)[months - 1] / tau, -np.array(B)[months - 1] / np.asarray(tau)[:, None]


@pytest.mark.parametrize("name", list(DRIFTS))
def test_discrete_time_by_its_recursion(name: str) -> None:
    given = pricing(slow(DRIFTS[name]))
    tau = TAU[TAU <= 10.0]
    A, B = loadings(*given, tau, MONTH)
    a, b = by_recursion(*given, tau)
    assert_allclose(B, b, rtol=1e-11, atol=1e-13)
    assert_allclose(A, a, rtol=1e-11, atol=1e-13)


def test_forward_rates_of_discrete_time_are_differences_of_log_prices() -> None:
    given = pricing(next(iter(DRIFTS.values())))
    ahead = np.array([2.0, 2.0 + MONTH])
    A, B = loadings(*given, ahead, MONTH)
    forward = forward_loadings(*given, ahead[:1], MONTH)
    assert_allclose(forward[0], [12.0 * (ahead[1] * A[1] - ahead[0] * A[0])], rtol=1e-9)
    assert_allclose(forward[1], 12.0 * (ahead[1:] * B[1:] - ahead[:1] * B[:1]), rtol=1e-9)


def test_maturities_that_are_no_whole_number_of_periods() -> None:
    with pytest.raises(ParameterError, match="must be whole numbers of periods"):
        loadings(*pricing(np.eye(2)), np.array([1.0, 1.03]), MONTH)
    assert loadings(*pricing(np.eye(2)), np.array([0.0833]), MONTH)[0].shape == (1,)
