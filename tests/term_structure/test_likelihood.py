"""The log-likelihood of `ATSM` and its score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from oracle import dense, richardson_gradient
from yields import panel, random_panel

import statespace_ext as sse

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
NAN = np.nan
PRICES = {"lambda_0": [NAN, 0.0, NAN], "lambda_1": [[NAN, NAN, 0.0], [NAN, NAN, NAN], [0.0, NAN, NAN]]}
MACRO = np.sin(np.arange(40.0))[:, None] + 0.5 * np.random.default_rng(5).standard_normal((40, 1))
"""A macro factor."""
GAPS = np.where(np.random.default_rng(6).random((40, 1)) < 0.2, NAN, MACRO)
MACRO_PRICES = {"lambda_0": [NAN, 0.0], "lambda_1": [[NAN, 0.0, NAN], [0.0, NAN, 0.0]]}
SPECIFICATIONS: dict[str, dict[str, Any]] = {
    "macro": {"macro": GAPS, "k_factors": 2},
    "macro, exact": {"macro": MACRO, "obs_cov": "exact-portfolios", "k_factors": 2},
    "macro, stationary": {
        "macro": MACRO,
        "obs_cov": "exact-portfolios",
        "initialization": "stationary",
        "k_factors": 2,
    },
    "macro, prices": {"macro": GAPS, "risk_prices": MACRO_PRICES, "obs_cov": "scalar", "k_factors": 2},
    "macro, afns": {"macro": GAPS, "identification": "afns"},
    "macro, discrete": {"macro": GAPS, "time": "discrete", "k_factors": 2},
    "discrete": {"time": "discrete"},
    "discrete, prices of risk": {"time": "discrete", "risk_prices": PRICES},
    "discrete afns": {"time": "discrete", "identification": "afns"},
    "discrete dai-singleton": {"time": "discrete", "identification": "dai-singleton"},
    "conditional": {"obs_cov": "exact-portfolios", "initialization": "conditional"},
    "jsz": {},
    "jsz of one factor": {"k_factors": 1},
    "jsz of two factors, diagonal Sigma": {"k_factors": 2, "state_cov": "diagonal", "obs_cov": "scalar"},
    "jsz with own portfolios": {"portfolio_weights": np.eye(5)[[0, 2, 4]]},
    "jsz with restricted prices of risk": {"risk_prices": PRICES},
    "jsz with exact portfolios": {"obs_cov": "exact-portfolios"},
    "jsz estimated start": {"initialization": "estimated"},
    "dai-singleton": {"identification": "dai-singleton"},
    "dai-singleton of two factors": {
        "identification": "dai-singleton",
        "k_factors": 2,
        "p_dynamics": "triangular",
    },
    "afns": {"identification": "afns"},
    "independent afns": {"identification": "afns", "p_dynamics": "diagonal", "state_cov": "diagonal"},
    "afns with restricted prices": {"identification": "afns", "risk_prices": {"lambda_1": "diagonal"}},
    "dns": {"identification": "dns", "p_dynamics": "triangular"},
    "percent": {"units": "percent"},
    "afns in percent": {"units": "percent", "identification": "afns"},
}


def specified(name: str, **kwargs: Any) -> sse.ATSM:
    """Return a model on a random panel with gaps."""
    options = SPECIFICATIONS[name]
    yields = random_panel(np.random.default_rng(3), 40, TAU, **kwargs)
    if options.get("units") == "percent":
        yields = 100.0 * yields
    return sse.ATSM(yields, TAU, **options)


def near_start(model: sse.ATSM, seed: int = 0) -> np.ndarray:
    """Return parameters near the start values, at which every term matters."""
    z = model.layout.unconstrain(np.asarray(model.start_params))
    rng = np.random.default_rng(seed)
    return model.layout.constrain(z * (1.0 + 0.05 * rng.standard_normal(len(z))))


def check_score(model: sse.ATSM, params: np.ndarray, step: float = 1e-3) -> None:
    """Compare the score with Richardson differences, by unconstrained parameter, in relative units."""
    layout = model.layout
    z = layout.unconstrain(params)
    scale = np.maximum(np.abs(z), 0.02)
    score = layout.vjp(z, model.score(params)) * scale
    expected = richardson_gradient(
        lambda w: model.loglike(layout.constrain(z + scale * w)),
        np.zeros(len(z)),
        step=step * np.ones(len(z)),
    )
    assert_allclose(score, expected, rtol=1e-7, atol=1e-7 * np.median(np.abs(expected)))


@pytest.mark.parametrize("name", list(SPECIFICATIONS))
def test_score(name: str) -> None:
    exact = SPECIFICATIONS[name].get("obs_cov") == "exact-portfolios"
    model = specified(name, missing=0.0 if exact else 0.1)
    # portfolios without error make the log-likelihood round more, and curve less
    check_score(model, near_start(model), 4e-3 if exact else 1e-3)


@pytest.mark.parametrize("name", ["jsz", "afns", "dns", "jsz with restricted prices of risk"])
def test_score_irregular_dates(name: str) -> None:
    model = specified(name, missing=0.1, irregular=True)
    assert model.panel.steps.ndim == 1
    check_score(model, near_start(model))


@pytest.mark.parametrize("name", ["jsz", "independent afns", "dns"])
def test_score_diffuse(name: str) -> None:
    model = sse.ATSM(
        random_panel(np.random.default_rng(3), 40, TAU), TAU, initialization="diffuse", **SPECIFICATIONS[name]
    )
    check_score(model, near_start(model))


@pytest.mark.parametrize("identification", ["jsz", "afns"])
def test_score_observed_factors(identification: str) -> None:
    yields = random_panel(np.random.default_rng(3), 40, TAU)
    factors = np.column_stack([yields.iloc[:, 4], yields.iloc[:, 0] - yields.iloc[:, 4], yields.iloc[:, 2]])
    factors[:, 2] = 2 * yields.iloc[:, 2] - yields.iloc[:, 0] - yields.iloc[:, 4]
    model = sse.ATSM(yields, TAU, identification=identification, factors=factors)
    check_score(model, near_start(model))


@pytest.mark.parametrize("name", ["jsz", "afns", "dai-singleton"])
def test_likelihood_is_that_of_the_joint_normal_distribution(name: str) -> None:
    """With P- and Q-dynamics through matrix exponentials that the library does not use."""
    model = specified(name, missing=0.1)
    params = near_start(model)
    at = model.dynamics(params)
    k, dt = model.k_factors, 1.0 / 12.0
    block = np.block([[-at.K_P, at.cov], [np.zeros((k, k)), at.K_P.T]]) * dt
    van_loan = scipy.linalg.expm(block)
    Phi = van_loan[:k, :k]
    A, B = riccati(at, TAU)
    theta = np.linalg.solve(at.K_P, at.kappa_P)
    P_1 = scipy.linalg.solve_continuous_lyapunov(at.K_P, at.cov)
    H = model.layout.matrices(params)["obs_cov"]
    system = {
        "design": B, "obs_intercept": A, "obs_cov": H, "transition": Phi,
        "state_intercept": theta - Phi @ theta, "selection": np.eye(k),
        "state_cov": van_loan[:k, k:] @ Phi.T, "initial_state": theta, "initial_state_cov": P_1,
    }  # fmt: skip
    assert_allclose(model.loglike(params), dense(model.endog, system).llf, rtol=1e-9)


def riccati(at: Any, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B by an ODE solver."""
    q, k = at.pricing, len(at.K_P)

    def slope(_: float, z: np.ndarray) -> np.ndarray:
        b = z[:k]
        return np.append(-q.K.T @ b - q.delta_1, q.kappa @ b + 0.5 * b @ at.cov @ b - q.delta_0)

    from scipy.integrate import solve_ivp

    path = solve_ivp(
        slope, (0, tau[-1]), np.zeros(k + 1), t_eval=tau, rtol=1e-12, atol=1e-14, method="DOP853"
    ).y
    return -path[k] / tau, (-path[:k] / tau).T


# -- published figures -------------------------------------------------------------------------------------


def afns_params(model: sse.ATSM, at: dict[str, Any], scale: float = 1.0) -> dict[str, np.ndarray]:
    K = np.diag(at.get("KP_diag", at.get("K")))
    theta = np.array(at.get("thetaP", at.get("theta"))) * scale
    sigma = np.array(at.get("sigma_diag", at.get("sigma"))) * scale
    return {
        "decay": np.array([[at["lam"]]]),
        "K_P": K,
        "kappa_P": (K @ theta)[:, None],
        "state_cov": np.diag(sigma**2),
        "obs_cov": np.diag((scale * np.array(at["h"])) ** 2),
    }


def independent(shared_data: Path, units: str = "decimal", **kwargs: Any) -> sse.ATSM:
    yields, tau = panel(shared_data, "cdr", units)
    options = {"identification": "afns", "p_dynamics": "diagonal", "state_cov": "diagonal", **kwargs}
    return sse.ATSM(yields, tau, units=units, **options)


def test_cdr_maximum(shared_data: Path, reference: dict[str, dict]) -> None:
    figures = reference["yields"]["cdr_afns_independent"]
    model = independent(shared_data)
    params = model.params_from_matrices(afns_params(model, figures))
    assert_allclose(model.loglike(params), figures["llf"], atol=1e-6)


def test_cdr_evaluation(shared_data: Path, reference: dict[str, dict]) -> None:
    figures = reference["yields"]["cdr_evaluation_only"]
    for identification in ("afns", "dns"):
        model = independent(shared_data, identification=identification)
        params = model.params_from_matrices(afns_params(model, figures))
        assert_allclose(model.loglike(params), figures[f"llf_{identification}"], atol=1e-6)


def test_percent_data_differ_by_the_jacobian(shared_data: Path, reference: dict[str, dict]) -> None:
    figures = reference["yields"]["cdr_afns_independent"]
    decimal, percent = independent(shared_data), independent(shared_data, "percent")
    first = decimal.loglike(decimal.params_from_matrices(afns_params(decimal, figures)))
    second = percent.loglike(percent.params_from_matrices(afns_params(percent, figures, 100.0)))
    assert_allclose(second, first - decimal.endog.size * np.log(100.0), rtol=1e-12)
