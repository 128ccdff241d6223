"""
What published programs for this model do, and what is right: the pages' list, one test a fault.

Each test has the wrong formula, an independent way to the right number, and ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
from numpy.testing import assert_allclose
from oracle import Dense, dense, expected_sums
from scipy.stats import norm
from yields import random_panel

import statespace_ext as sse
from statespace_ext.numerics.bond_pricing import loadings
from statespace_ext.numerics.ornstein_uhlenbeck import continuous, discretise, stationary_moments

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
K = np.array([[0.1, -0.3], [-0.05, 0.9]])
KAPPA = np.array([0.006, -0.002])
ROOT = np.array([[0.012, 0.0], [-0.006, 0.018]])
COV = ROOT @ ROOT.T
DELTA_0, DELTA_1 = 0.0, np.ones(2)


def log_price(kappa: np.ndarray, cov: np.ndarray, tau: float) -> tuple[float, np.ndarray]:
    """Return a and b of the log price a + b'X, by an ODE solver."""

    def slope(_: float, z: np.ndarray) -> np.ndarray:
        a_slope = kappa @ z[:2] + 0.5 * z[:2] @ cov @ z[:2] - DELTA_0
        return np.append(-K.T @ z[:2] - DELTA_1, a_slope)

    path = scipy.integrate.solve_ivp(slope, (0, tau), np.zeros(3), method="DOP853", rtol=1e-12, atol=1e-14)
    return float(path.y[2, -1]), path.y[:2, -1]


def integrated(tau: float) -> np.ndarray:
    """Return what the programs call B: K'^{-1} (I - e^{-K' tau}) delta_1."""
    return np.linalg.solve(K.T, (np.eye(2) - scipy.linalg.expm(-K.T * tau)) @ DELTA_1)


# -- prices ------------------------------------------------------------------------------------------------


def test_yields_are_divided_by_maturity() -> None:
    wrong = np.array([integrated(tau) for tau in TAU])
    right = np.array([-log_price(KAPPA, COV, tau)[1] / tau for tau in TAU])
    ours = loadings(K, KAPPA, COV, DELTA_0, DELTA_1, TAU)[1]
    assert_allclose(ours, right, rtol=1e-9)
    assert_allclose(wrong / ours, np.broadcast_to(TAU[:, None], (5, 2)), rtol=1e-9)
    # the yield of a bond that is about to be paid is the short rate
    assert_allclose(loadings(K, KAPPA, COV, DELTA_0, DELTA_1, np.array([1e-6]))[1][0], DELTA_1, rtol=1e-6)
    assert np.all(np.abs(integrated(1e-6)) < 2e-6)


def test_intercept_is_an_integral_with_a_drift() -> None:
    tau = 10.0
    wrong = -0.5 * tau * integrated(tau) @ COV @ integrated(tau)
    a, convexity = log_price(KAPPA, COV, tau)[0], log_price(0 * KAPPA, COV, tau)[0]
    ours = loadings(K, KAPPA, COV, DELTA_0, DELTA_1, np.array([tau]))[0][0]
    assert_allclose(ours, -a / tau, rtol=1e-9)
    # as a log price it has the wrong sign; as part of a yield it is no average over maturities, and too large
    assert convexity > 0 > wrong
    assert wrong / (-convexity / tau) > 20
    # and it has no drift, which is here the largest part
    drift = scipy.integrate.quad(lambda s: KAPPA @ integrated(s), 0, tau)[0] / tau
    assert_allclose(ours, drift - convexity / tau, rtol=1e-9)
    assert drift > 4 * convexity / tau


def test_convexity_has_the_model_s_sigma() -> None:
    """With Sigma = I in the cross-section, the convexity of decimal yields swamps the yields."""
    right = -log_price(KAPPA, COV, 10.0)[0] / 10.0
    ours, wrong = (
        loadings(K, KAPPA, cov, DELTA_0, DELTA_1, np.array([10.0]))[0][0] for cov in (COV, np.eye(2))
    )
    assert_allclose(ours, right, rtol=1e-9)
    assert abs(ours) < 0.05 and wrong < -10.0


def test_mean_reversion_may_be_singular() -> None:
    """The level of Nelson and Siegel has a unit root under Q, where K'^{-1} does not exist."""
    decay, tau = 0.5, TAU
    K_Q = np.array([[0.0, 0.0, 0.0], [0.0, decay, -decay], [0.0, 0.0, decay]])
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        np.linalg.solve(K_Q.T, np.ones(3))
    slope = (1.0 - np.exp(-decay * tau)) / (decay * tau)
    closed = np.column_stack([np.ones(5), slope, slope - np.exp(-decay * tau)])
    model = sse.ATSM(random_panel(np.random.default_rng(3), 40, tau), tau, identification="afns")
    at = model.start_params.copy()
    at[model.param_names.index("decay")] = decay
    assert_allclose(model.loadings(at, tau)[1], closed, rtol=1e-12)
    assert_allclose(model.dynamics(at).pricing.K, K_Q, atol=1e-15)


# -- from one date to the next -----------------------------------------------------------------------------


def test_matrix_logarithm() -> None:
    """The logarithm of each element is no generator, even where all elements are positive."""
    dt = 1.0
    step = discretise(K, KAPPA, COV, dt)
    assert np.all(step.transition > 0)
    wrong = -np.log(step.transition)
    right = -scipy.linalg.logm(step.transition) / dt
    ours = continuous(step.transition, step.intercept, step.cov, dt)[0]
    assert_allclose(ours, right, atol=1e-13)
    assert_allclose(ours, K, atol=1e-12)
    assert np.max(np.abs(wrong - right)) > 1.0
    assert np.max(np.abs(scipy.linalg.expm(-wrong * dt) - step.transition)) > 0.1


@pytest.mark.parametrize("dt", [1 / 12, 1.0])
def test_covariance_of_a_step(dt: float) -> None:
    def integrand(s: float) -> np.ndarray:
        decay = scipy.linalg.expm(-K * s)
        return decay @ COV @ decay.T

    right = scipy.integrate.quad_vec(integrand, 0, dt, epsabs=1e-15)[0]
    ours = discretise(K, KAPPA, COV, dt).cov
    assert_allclose(ours, right, rtol=1e-10)
    error = np.max(np.abs(COV * dt / right - 1.0))
    assert error > (0.05 if dt < 0.5 else 0.5)
    # the stationary covariance times the step: right for no step
    assert np.max(np.abs(scipy.linalg.solve_continuous_lyapunov(K, COV) * dt / right - 1.0)) > 0.5


def test_step_of_monthly_data_is_a_twelfth() -> None:
    """With a step of one, K_P is a month's and K_Q a year's, and their difference no price of risk."""
    y = random_panel(np.random.default_rng(3), 40, TAU)
    model = sse.ATSM(y, TAU)
    assert float(model.panel.steps) == 1 / 12
    step = model.system(model.start_params)
    K_P = model.dynamics(model.start_params).K_P
    assert_allclose(-12 * scipy.linalg.logm(step.transition), K_P, atol=1e-9)
    assert_allclose(-scipy.linalg.logm(step.transition), K_P / 12, atol=1e-9)


# -- EM ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> tuple[Any, np.ndarray, dict[str, np.ndarray], Dense]:
    """A model on a panel of 30 months, parameters, and the joint normal distribution of its factors."""
    y = random_panel(np.random.default_rng(3), 30, TAU, k=2)
    model = sse.ATSM(y, TAU, k_factors=2, obs_cov="scalar")
    params = np.asarray(model.start_params)
    params[model.param_names.index("obs_var")] = 0.01**2  # noisy yields: the factors stay uncertain
    both = model.dynamics(params)
    step = discretise(both.K_P, both.kappa_P, both.cov, 1 / 12)
    mean, cov = stationary_moments(both.K_P, both.kappa_P, both.cov)
    A, B = model.loadings(params, TAU)
    system = {
        "design": B, "obs_intercept": A, "obs_cov": 0.01**2 * np.eye(5), "transition": step.transition,
        "state_intercept": step.intercept, "selection": np.eye(2), "state_cov": step.cov,
        "initial_state": mean, "initial_state_cov": cov,
    }  # fmt: skip
    return model, params, system, dense(model.endog, system)


def test_lag_one_covariance(example: tuple[Any, np.ndarray, dict[str, np.ndarray], Dense]) -> None:
    model, params, _, truth = example
    res = model.smooth(params)
    assert not hasattr(res, "smoothed_state_cov_all")
    smoothed = model.private_smoother.smooth(model.initialized_system(params))
    assert_allclose(smoothed.lag_cov[..., :29], truth.lag_cov.transpose(1, 2, 0), rtol=1e-6, atol=1e-12)
    neighbours = res.smoothed_state_cov[..., 1:]
    assert np.max(np.abs(neighbours / smoothed.lag_cov[..., :29] - 1.0)) > 0.1
    # a regression on covariances alone forgets the factors themselves
    x, V = truth.smoothed_state, truth.smoothed_cov
    level = np.linalg.norm(x[:-1].T @ x[:-1]) / np.linalg.norm(V[:-1].sum(axis=0))
    assert level > 10
    later, earlier = truth.lag_cov.sum(axis=0), V[:-1].sum(axis=0)
    wrong = later @ np.linalg.inv(earlier)
    right = (later + x[1:].T @ x[:-1]) @ np.linalg.inv(earlier + x[:-1].T @ x[:-1])
    assert np.max(np.abs(right - wrong)) > 0.05


def test_covariance_of_a_step_has_the_smoothing_variances(
    example: tuple[Any, np.ndarray, dict[str, np.ndarray], Dense],
) -> None:
    model, params, system, truth = example
    right = expected_sums(model.endog, system).state_yy
    moments = model.private_smoother.moments(model.initialized_system(params))
    assert_allclose(moments.state.ee.sum(axis=0), right, rtol=1e-6)
    x = truth.smoothed_state
    residuals = x[1:] - x[:-1] @ system["transition"].T - system["state_intercept"]
    wrong = residuals.T @ residuals
    assert np.all(np.linalg.eigvalsh(right - wrong) > 0)
    assert np.trace(wrong) < 0.6 * np.trace(right)


# -- prices of risk ----------------------------------------------------------------------------------------


def test_prices_of_risk_follow_from_both_measures() -> None:
    """Left at their start, zero, they say that there is no term premium, whatever P and Q are."""
    y = random_panel(np.random.default_rng(3), 60, TAU)
    res = sse.ATSM(y, TAU).fit(method="two-step")
    m = {key: np.asarray(value, dtype=float) for key, value in res.matrices.items()}
    lambda_1 = np.linalg.solve(m["Sigma"], m["K_Q"] - m["K_P"])
    lambda_0 = np.linalg.solve(m["Sigma"], m["kappa_P"] - m["kappa_Q"])
    assert_allclose(m["lambda_1"], lambda_1, rtol=1e-8)
    assert_allclose(m["lambda_0"], lambda_0, rtol=1e-8)
    assert np.max(np.abs(m["Sigma"] @ m["lambda_1"])) > 0.1

    def premium(_: float, z: np.ndarray) -> np.ndarray:
        """Coefficients of the log price under Q and, with prices of risk of zero, under P."""
        b_Q, b_P, cov = z[:3], z[3:6], m["Sigma"] @ m["Sigma"].T
        slopes = -m["K_Q"].T @ b_Q - m["delta_1"], -m["K_P"].T @ b_P - m["delta_1"]
        a = m["kappa_Q"] @ b_Q - m["kappa_P"] @ b_P + 0.5 * (b_Q @ cov @ b_Q - b_P @ cov @ b_P)
        return np.concatenate([*slopes, [a]])

    end = scipy.integrate.solve_ivp(premium, (0, 10), np.zeros(7), method="DOP853", rtol=1e-11, atol=1e-13)
    b_Q, b_P, a = np.split(end.y[:, -1], [3, 6])
    right = -(a + res.factors.smoothed.to_numpy() @ (b_Q - b_P)) / 10
    ours = res.term_premium(10.0, "risk-neutral").estimate.iloc[:, 0]
    assert_allclose(ours, right, atol=1e-8)
    assert np.max(np.abs(ours)) > 0.002  # of decimal yields: 20 basis points


def test_dynamics_are_fitted_to_steps_and_not_to_one_path() -> None:
    """A path from the first date, without a look at later ones, is the mean of no later date."""
    rng = np.random.default_rng(4)
    n, dt, speed, sd = 240, 1 / 12, np.array([0.4, 0.8, 1.2]), np.array([0.01, 0.012, 0.02])
    X = np.zeros((n, 3))
    for t in range(n - 1):
        noise = sd * np.sqrt((1 - np.exp(-2 * speed * dt)) / (2 * speed)) * rng.standard_normal(3)
        X[t + 1] = np.exp(-speed * dt) * X[t] + noise
    X[:, 0] += 0.05
    B = (1.0 - np.exp(-0.5 * TAU)) / (0.5 * TAU)
    design = np.column_stack([np.ones(5), B, B - np.exp(-0.5 * TAU)])
    y = X @ design.T + 0.0005 * rng.standard_normal((n, 5))
    options: dict[str, Any] = {"p_dynamics": "diagonal", "state_cov": "diagonal", "dt": dt}
    res = sse.ATSM(y, TAU, identification="dns", factors=X, **options).fit(method="mle")
    found = np.diag(res.matrices["K_P"])

    def loss(z: np.ndarray, x: np.ndarray) -> float:
        """Minus the exact log density of an autoregression from its stationary distribution."""
        theta, phi, sd = z[0], np.exp(-np.exp(z[1]) * dt), np.exp(z[2])
        errors = np.append((x[0] - theta) * np.sqrt(1 - phi**2), x[1:] - theta - phi * (x[:-1] - theta))
        return -float(norm(scale=sd).logpdf(errors).sum() + 0.5 * np.log(1 - phi**2))

    for j in range(3):
        start, tight = [0.0, 0.0, np.log(0.005)], {"xatol": 1e-7, "fatol": 1e-9}
        x = X[:, j] - X[:, j].mean()
        right = scipy.optimize.minimize(loss, start, (x,), method="Nelder-Mead", options=tight)
        assert_allclose(found[j], np.exp(right.x[1]), rtol=1e-4)

    def path_error(z: np.ndarray) -> float:
        K, theta = np.exp(z[0]), z[1]
        path = theta + np.exp(-K * dt * np.arange(n)) * (X[0, 0] - theta)
        return float(np.sum((X[:, 0] - path) ** 2))

    wrong = np.exp(scipy.optimize.minimize(path_error, [0.0, 0.05], method="Nelder-Mead").x[0])
    assert not 0.5 < wrong / found[0] < 2.0
