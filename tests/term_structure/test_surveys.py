"""Surveys of expected short rates, as further measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from oracle import dense, richardson_gradient
from yields import random_panel

import statespace_ext as sse

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])


def built(**options: Any) -> sse.ATSM:
    """Return a model with surveys twice a year over 1 and 10 years, some of them missing."""
    yields = random_panel(np.random.default_rng(3), 40, TAU, missing=options.pop("missing", 0.1))
    rng = np.random.default_rng(4)
    rows = yields.index[2::6]
    level = yields.mean(axis=1).loc[rows].to_numpy()[:, None]
    surveys = pd.DataFrame(level + 0.002 * rng.standard_normal((len(rows), 2)), index=rows, columns=[1, 10])
    surveys.iloc[3, 1] = np.nan
    return sse.ATSM(yields, TAU, **{"k_factors": 2, "surveys": surveys, **options})


@pytest.mark.parametrize("time", ["continuous", "discrete"])
def test_likelihood_is_that_of_the_joint_normal_distribution(time: str) -> None:
    model = built(time=time)
    params = np.asarray(model.start_params)
    system, at = model.system(params), model.dynamics(params)
    q, steps = at.pricing, 1200 if time == "continuous" else 12
    intercept, slope = np.zeros(2), np.zeros((2, 2))
    for row, h in enumerate((1, 10)):  # the mean rate along the expected path: midpoints, or months
        mean, unit = np.zeros(2), np.eye(2)
        dt = 1.0 / steps
        Phi = np.eye(2) - dt * at.K_P
        if time == "continuous":
            Phi = np.linalg.solve(np.eye(2) + 0.5 * dt * at.K_P, np.eye(2) - 0.5 * dt * at.K_P)
        for _ in range(h * steps):
            after = Phi @ unit, Phi @ mean + np.linalg.solve(at.K_P, (np.eye(2) - Phi) @ at.kappa_P)
            both = (
                (0.5 * (unit + after[0]), 0.5 * (mean + after[1])) if time == "continuous" else (unit, mean)
            )
            slope[row] += q.delta_1 @ both[0] / (h * steps)
            intercept[row] += (q.delta_0 + q.delta_1 @ both[1]) / (h * steps)
            unit, mean = after
    A, B = model.loadings(params, TAU)
    matrices = model.matrices(params)
    expected = {
        "design": np.vstack([slope, B]), "obs_intercept": np.append(intercept, A),
        "obs_cov": scipy.linalg.block_diag(matrices["survey_cov"], matrices["obs_cov"]),
        **{key: getattr(system, key) for key in ("transition", "state_intercept", "selection", "state_cov")},
        "initial_state": system.initial_state, "initial_state_cov": system.initial_state_cov,
    }  # fmt: skip
    assert_allclose(system.design[:2], slope, rtol=1e-6)
    assert_allclose(model.loglike(params), dense(model.endog, expected).llf, rtol=1e-6)


MACRO = np.sin(np.arange(40.0))[:, None]
SPECIFICATIONS: dict[str, dict[str, Any]] = {
    "jsz": {},
    "discrete": {"time": "discrete"},
    "prices of risk": {"risk_prices": {"lambda_1": "diagonal"}},
    "macro": {"macro": MACRO},
    "exact": {"obs_cov": "exact-portfolios", "missing": 0.0, "macro": MACRO},
    "dns": {"identification": "dns", "k_factors": 3, "p_dynamics": "diagonal"},
}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_score(name: str) -> None:
    model = built(**SPECIFICATIONS[name])
    z = model.layout.unconstrain(np.asarray(model.start_params))
    z = z * (1.0 + 0.03 * np.random.default_rng(0).standard_normal(len(z)))
    params = model.layout.constrain(z)
    scale = np.maximum(np.abs(z), 0.02)
    score = model.layout.vjp(z, model.score(params)) * scale
    step = 1e-3 * np.ones(len(z))
    want = richardson_gradient(
        lambda w: model.loglike(model.layout.constrain(z + scale * w)), np.zeros(len(z)), step=step
    )
    assert_allclose(score, want, rtol=1e-7, atol=1e-7 * np.median(np.abs(want)))


def test_ways_in() -> None:
    model = built(obs_cov="scalar")
    data, params = model.panel.endog, np.asarray(model.start_params)
    assert list(data)[:2] == ["survey.1y", "survey.10y"]
    assert [name for name in model.param_names if "survey" in name] == ["survey_var.1y", "survey_var.10y"]
    res = model.smooth(params)
    early = model.clone(data.iloc[:30]).smooth(params)
    assert_allclose(early.append(data.iloc[30:]).llf, res.llf, rtol=1e-10)
    assert_allclose(early.apply(data).llf, res.llf, rtol=1e-10)
    assert_allclose(model.clone(data).loglike(params), res.llf, rtol=1e-12)
    assert res.fitted_yields.shape == (40, 5) and res.pricing_errors.shape == (40, 5)
    with pytest.raises(sse.UnsupportedError, match="surveys measure expectations"):
        model.fit(method="em")


DATES = random_panel(np.random.default_rng(3), 40, TAU).index
RATES = pd.DataFrame({1.0: 0.05, 5.0: 0.05}, index=DATES[::6])
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no frame": (RATES[1.0], {}, "must be a DataFrame by horizon"),
    "months": (RATES.set_axis([12, 120], axis=1), {}, "cannot be used.* Divide months"),
    "not positive": (RATES.set_axis([0, 1], axis=1), {}, "cannot be used"),
    "twice": (RATES.set_axis([1, 1], axis=1), {}, "cannot be used"),
    "words": (RATES.set_axis(["a", "b"], axis=1), {}, "not numbers"),
    "no step reaches": (
        RATES.set_axis([0.04, 1], axis=1),
        {"time": "discrete"},
        "must be whole numbers of periods",
    ),
    "another date": (RATES.set_axis(RATES.index + pd.Timedelta(days=3)), {}, "the yields do not have"),
    "infinite": (RATES * np.inf, {}, "infinite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    surveys, options, message = BAD[name]
    with pytest.raises(sse.StateSpaceError, match=message):
        built(surveys=surveys, **options)


def simulated(seed: int) -> tuple[sse.ATSM, sse.ATSM, np.ndarray]:
    """Return models with and without surveys of 20 years, and the true ten-year premium."""
    rng, n, dt = np.random.default_rng(seed), 240, 1.0 / 12.0
    index = pd.period_range("1990-01", periods=n, freq="M")
    blank = pd.DataFrame(0.05 + 0.01 * rng.standard_normal((n, 5)), index=index)
    truth = sse.ATSM(blank, TAU, 3, identification="afns", obs_cov="scalar")
    K, root = np.diag([0.1, 0.3, 1.0]), np.diag([0.006, 0.01, 0.02])
    params = truth.params_from_matrices(
        {
            "decay": np.array([[0.6]]), "K_P": K, "kappa_P": K @ np.array([[0.06], [-0.02], [-0.01]]),
            "state_cov": root**2, "obs_cov": 0.0005**2 * np.eye(5),
        }
    )  # fmt: skip
    system, curves = truth.system(params), truth.curves(params)
    X = np.zeros((n, 3))
    X[0] = rng.multivariate_normal(system.initial_state, system.initial_state_cov)
    for t in range(1, n):
        mean = system.state_intercept + system.transition @ X[t - 1]
        X[t] = mean + rng.multivariate_normal(np.zeros(3), system.state_cov)
    y = curves.yields(TAU).mean(X) + 0.0005 * rng.standard_normal((n, 5))
    yields = pd.DataFrame(y, index=index, columns=[f"y{12 * t:g}m" for t in TAU])
    horizons = np.array([1.0, 5.0, 10.0])
    rates = curves.average_short_rate(horizons).mean(X) + 0.002 * rng.standard_normal((n, 3))
    surveys = pd.DataFrame(rates, index=index, columns=horizons).iloc[::6]
    options = {
        "identification": "afns",
        "obs_cov": "scalar",
        "p_dynamics": "diagonal",
        "state_cov": "diagonal",
    }
    premium = curves.term_premium(np.array([10.0]), False).mean(X)[:, 0]
    assert dt * n == 20
    return sse.ATSM(yields, TAU, surveys=surveys, **options), sse.ATSM(yields, TAU, **options), premium


def premium_errors(seed: int, method: str = "auto") -> list[float]:
    """Return the root mean square errors of the ten-year premium, with and without surveys."""
    *models, premium = simulated(seed)
    fits = [model.fit(method=method, cov_type="none") for model in models]
    paths = [res.term_premium(10.0).estimate.to_numpy()[:, 0] for res in fits]
    return [float(np.sqrt(np.mean((path - premium) ** 2))) for path in paths]


def test_a_survey_makes_the_premium_surer() -> None:
    with_them, without = premium_errors(0, "mle")
    assert with_them < without


@pytest.mark.slow
def test_simulate_and_recover_the_premium() -> None:
    """In 20 panels of 20 years: the error of the ten-year premium with and without surveys."""
    errors = np.array([premium_errors(seed) for seed in range(20)])
    print(10_000 * np.sqrt(np.mean(errors**2, axis=0)))
    assert np.mean(errors[:, 0] < errors[:, 1]) >= 0.8
    assert np.sqrt(np.mean(errors[:, 0] ** 2)) < 0.5 * np.sqrt(np.mean(errors[:, 1] ** 2))
