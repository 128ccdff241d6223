"""Converged means: the score is small and nothing is left to gain, by the whole information matrix."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from numpy.testing import assert_allclose
from yields import random_panel

import statespace_ext as sse
from statespace_ext.fit.objective import FLAT, GAIN_TOLERANCE, Objective, judged, parameter_scale
from statespace_ext.fit.search import verdict_at

METHODS = ["auto", "em", "accelerated-em", "lbfgs", "bfgs", "cg", "newton", "nm", "powell"]


def factors(seed: int, n: int, p: int, k: int = 1, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    f = np.zeros((n, k))
    for t in range(1, n):
        f[t] = 0.8 * f[t - 1] + rng.standard_normal(k)
    y = f @ rng.standard_normal((p, k)).T + 0.7 * rng.standard_normal((n, p))
    y[rng.random((n, p)) < missing] = np.nan
    return y


def returns(
    seed: int, n: int, p: int, missing: float = 0.0, move: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    market = rng.standard_normal(n)
    y = market[:, None] * (1.0 + np.cumsum(move * rng.standard_normal((n, p)), axis=0))
    y += 0.6 * rng.standard_normal((n, p))
    y[rng.random((n, p)) < missing] = np.nan
    return y, market


def regression(structure: str, dynamics: str, **spec: Any) -> sse.DynamicRegression:
    y, market = returns(27, 80, 2)
    exog = pd.DataFrame({"const": 1.0, "MKT": market})
    return sse.DynamicRegression(y, exog, dynamics={"MKT": dynamics}, state_cov=structure, **spec)


def term_structure(seed: int, **spec: Any) -> sse.ATSM:
    tau = [0.5, 1.0, 2.0, 5.0, 10.0]
    return sse.ATSM(
        random_panel(np.random.default_rng(seed), 100, tau, 2), maturities=tau, k_factors=2, **spec
    )


BAND = np.where(np.abs(np.subtract.outer(range(3), range(3))) < 2, np.nan, 0.0)
MODELS: dict[str, Callable[[], Any]] = {
    "one factor": lambda: sse.LGSSM(factors(1, 80, 3, missing=0.1), 1, identification="triangular"),
    "not identified": lambda: sse.LGSSM(factors(5, 80, 3, 2), 2),
    "70 % missing": lambda: sse.LGSSM(factors(3, 150, 5, 2, 0.7), 2, identification="triangular"),
    "two lags": lambda: sse.LGSSM(factors(6, 100, 3), 1, lags=2, identification="unit"),
    "a Heywood case": lambda: sse.LGSSM(
        np.random.default_rng(99).standard_normal((60, 3)), 1, identification="triangular"
    ),
    "a pattern in obs_cov": lambda: sse.LGSSM(factors(8, 80, 3), 1, identification="unit", obs_cov=BAND),
    "units of 1e-6": lambda: sse.LGSSM(1e-6 * factors(1, 80, 3), 1, identification="triangular"),
    "units of 1e6": lambda: sse.LGSSM(1e6 * factors(1, 80, 3), 1, identification="triangular"),
    "fewer periods than parameters": lambda: sse.LGSSM(factors(46, 12, 4), 2, identification="triangular"),
    "CAPM": lambda: sse.CAPM(*returns(20, 80, 2, 0.1), beta="random_walk"),
    "CAPM that does not move": lambda: sse.CAPM(*returns(24, 80, 2, move=0.0), beta="random_walk"),
    "CAPM, one source": lambda: sse.CAPM(*returns(22, 80, 3), beta="random_walk", state_cov="factor:1"),
    "regression, diagonal": lambda: regression("diagonal", "random_walk", obs_cov="diagonal"),
    "regression, ar1": lambda: regression("equicorrelated", "ar1", obs_cov="diagonal"),
    "term structure": lambda: term_structure(30),
}  # fmt: skip


def coordinates(model: Any, params: np.ndarray) -> tuple[Callable[[np.ndarray], Any], np.ndarray]:
    """Return minus log-likelihood and gradient by scaled coordinates around parameters, and zero."""
    problem = model.problem()
    z, layout = problem.layout.unconstrain(params), problem.layout
    scale = parameter_scale(problem, params)

    def value(w: np.ndarray) -> tuple[float, np.ndarray]:
        found = problem.value_and_score(layout.constrain(z + scale * w))
        if found is None:
            return 1e10, np.zeros(len(w))
        return -found[0], -layout.vjp(z + scale * w, found[1]) * scale

    return value, np.zeros(len(z))


def dense_gain(model: Any, params: np.ndarray) -> float:
    """Return s' I^{-1} s / 2 from the whole matrix, over the directions that are identified."""
    value, here = coordinates(model, params)
    step = 1e-4 * np.eye(len(here))
    information = np.array([(value(e)[1] - value(-e)[1]) / 2e-4 for e in step])
    values, vectors = np.linalg.eigh(0.5 * (information + information.T))
    slope = vectors.T @ value(here)[1]
    return float(0.5 * np.sum(slope[values > FLAT] ** 2 / values[values > FLAT]))


def further(model: Any, params: np.ndarray) -> float:
    """Return what a long search by another program gains from parameters."""
    value, here = coordinates(model, params)
    options = {"gtol": 1e-9, "maxiter": 300}
    return value(here)[0] - scipy.optimize.minimize(value, here, jac=True, method="BFGS", options=options).fun


def by_newton(model: Any, params: np.ndarray) -> float:
    """Return what Newton steps gain from parameters, by differences without the scale of the package."""
    layout = model.layout

    def minus(z: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            llf, score = model.loglike_and_score(layout.constrain(z))[:2]
        except (sse.StateSpaceError, np.linalg.LinAlgError):
            return np.inf, np.zeros(len(z))
        return -llf, -layout.vjp(z, np.asarray(score))

    z = np.asarray(layout.unconstrain(np.asarray(params)))
    first = best = minus(z)[0]
    for _ in range(20):
        steps = np.diag(1e-5 * np.maximum(np.abs(z), 1e-2))
        curvature = np.array([(minus(z + h)[1] - minus(z - h)[1]) / (2.0 * np.max(h)) for h in steps])
        values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
        slope, most = vectors.T @ minus(z)[1], float(np.max(np.abs(values)))
        ends = (
            z - share * vectors @ (slope / np.maximum(np.abs(values), floor * most))
            for floor in (1e-12, 1e-9, 1e-6, 1e-3)
            for share in (1.0, 0.1, 0.01)
        )
        better = next(((minus(end)[0], end) for end in ends if minus(end)[0] < best - 1e-9), None)
        if better is None:
            break
        best, z = better
    return first - best


def fitted(model: Any, method: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sse.ConvergenceWarning)
        warnings.simplefilter("ignore", sse.IdentificationWarning)
        return model.fit(method=method, cov_type="none", **options)


QUICK = {("one factor", method) for method in METHODS if method != "nm"} | {(name, "auto") for name in MODELS}
QUICK |= {
    (name, "lbfgs") for name in ("CAPM", "regression, diagonal", "not identified", "a pattern in obs_cov")
}
QUICK |= {(name, "accelerated-em") for name in ("two lags", "a Heywood case", "not identified")}


def cell(name: str, method: str) -> Any:
    marks = () if (name, method) in QUICK else pytest.mark.slow
    return pytest.param(name, method, marks=marks, id=f"{name}, {method}")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        cell(name, method)
        for name in MODELS
        for method in METHODS
        if (name, method[-2:]) != ("term structure", "em")
    ],
)
def test_what_has_converged_is_at_a_maximum(name: str, method: str) -> None:
    model = MODELS[name]()
    res = fitted(model, method)
    params, told = np.asarray(res.params), res.mle_retvals
    assert set(told) >= {"predicted_gain", "score_norm"}
    if res.converged:
        assert told["predicted_gain"] < GAIN_TOLERANCE and told["score_norm"] < 1e-3
        assert dense_gain(model, params) < 2e-6
        assert further(model, params) < 1e-5
    else:
        assert "NOT CONVERGED" in str(res.summary())
        assert "predicted gain" in told["task"] or "singular" in told["task"]


def noisy_factors(seed: int) -> tuple[np.ndarray, int]:
    """Factors, and noise of another size in each value: an estimate of obs_cov is nearly singular."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(2, 5))
    k, n = int(rng.integers(1, min(p, 2) + 1)), int(rng.choice([40, 80, 150]))
    phi, x, loadings = rng.uniform(-0.5, 0.98, k), rng.standard_normal(k), rng.standard_normal((p, k))
    y = np.empty((n, p))
    for t in range(n):
        y[t] = loadings @ x + rng.standard_normal(p) * 10.0 ** rng.uniform(-0.5, 0.5)
        x = phi * x + rng.standard_normal(k)
    return y, k


@pytest.mark.parametrize(
    "seed", [s if s < 1010 else pytest.param(s, marks=pytest.mark.slow) for s in range(1004, 1200, 5)]
)
def test_what_has_converged_beside_a_singular_obs_cov_is_at_a_maximum(seed: int) -> None:
    res = fitted(sse.LGSSM(*noisy_factors(seed), obs_cov="unstructured"), "auto")
    assert res.converged and by_newton(res.model, res.params) < 1e-5


def test_the_predicted_gain_is_what_em_is_short() -> None:
    model = MODELS["one factor"]()
    best = model.fit(cov_type="none").llf
    for maxiter in (20, 30):
        res = fitted(model, "em", maxiter=maxiter)
        gain = res.mle_retvals["predicted_gain"]
        assert not res.converged
        assert_allclose(gain, best - res.llf, rtol=0.05)
        assert_allclose(gain, dense_gain(model, np.asarray(res.params)), rtol=0.01)
        assert f"the predicted gain {gain:.2g}" in res.mle_retvals["task"]
        assert f"{gain:.2g}" in str(res.summary())


@pytest.mark.parametrize("p", [30, pytest.param(120, marks=pytest.mark.slow)])
def test_em_goes_on_to_the_maximum(p: int) -> None:
    """With many series, where a small change of the log-likelihood says little."""
    y = factors(7, 50, p)
    model = sse.LGSSM(y, 1, identification="triangular")
    best = model.fit(cov_type="none")
    res = fitted(model, "em")
    assert best.converged
    assert not res.converged or best.llf - res.llf < 1e-5
    assert_allclose(best.llf - res.llf, res.mle_retvals["predicted_gain"], rtol=0.3, atol=1e-7)


def test_em_from_a_variance_of_zero_says_what_holds_it() -> None:
    model = MODELS["regression, diagonal"]()
    best = model.fit(cov_type="none")
    start = np.array(best.params)
    place = model.param_names.index("state_var.MKT.y2")
    start[place] = 0.0
    res = fitted(model, "em", start_params=start, maxiter=200)
    assert best.llf - res.llf > 0.1 and not res.converged
    assert "EM cannot leave a singular covariance" in res.mle_retvals["task"]
    assert "state_var.MKT.y2" in res.mle_retvals["task"]


# -- the products ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("seed", range(5))
def test_products_with_the_information(seed: int, least: float) -> None:
    """A quadratic whose s' I^{-1} s / 2 is known, on both sides of the tolerance."""
    rng = np.random.default_rng(seed)
    size = 30
    values = np.exp(rng.uniform(np.log(least), 0.0, size))
    turn = np.linalg.qr(rng.standard_normal((size, size)))[0]
    information = turn * values @ turn.T
    share = np.where(rng.random(size) < 0.2, 1.0, 1e-3)  # a search leaves the score in few directions
    for gain in (1e-9, 1e-8, 1e-5, 1e-2):
        s = turn @ (share * np.sqrt(values) * rng.standard_normal(size))
        s *= np.sqrt(gain / (0.5 * s @ np.linalg.solve(information, s)))
        calls = [0]

        def score(w: np.ndarray, s: np.ndarray = s, calls: list[int] = calls) -> np.ndarray:
            calls[0] += 1
            return s - information @ w

        found = judged(score, np.zeros(size), s)
        assert (found.gain < GAIN_TOLERANCE) == (gain < GAIN_TOLERANCE)
        assert found.gain <= 3.0 * gain and calls[0] <= 16
        exact = judged(score, np.zeros(size), s, lambda v: np.linalg.solve(information, v))
        assert_allclose(exact.gain, gain, rtol=1e-6)


def test_flat_and_convex_directions() -> None:
    flat = judged(lambda w: np.array([1e-3 - w[0], 1e-12]), np.zeros(2), np.array([1e-3, 1e-12]))
    assert_allclose(flat.gain, 5e-7, rtol=1e-6)
    for unit in (1.0, -1.0):  # a ridge, at the end of which 1.3e-3 are left to gain
        ridge = judged(
            lambda w, s=unit: np.array([s * 1.6e-6 - 1e-9 * w[0], -w[1]]),
            np.zeros(2),
            np.array([unit * 1.6e-6, 0.0]),
        )
        assert ridge.gain > GAIN_TOLERANCE and not ridge.converged
    orbit = judged(lambda w: np.array([2e-6 - 1e-5 * w[0] ** 3, -w[1]]), np.zeros(2), np.array([2e-6, 0.0]))
    assert orbit.converged
    convex = judged(lambda w: np.array([1e-4 + w[0], 0.0]), np.zeros(2), np.array([1e-4, 0.0]))
    assert convex.gain > 1.0 and not convex.converged and convex.step[0] == 10.0
    rounding = judged(
        lambda w: np.array([1e-5 * w[0] - 1e-3 * w[0] ** 3, -w[1]]), np.zeros(2), np.array([0.0, 1e-9])
    )
    assert rounding.gain < 1e-6
    saddle = judged(
        lambda w: np.array([1e-2 * w[0] - 1e-3 * w[0] ** 3, -w[1]]), np.zeros(2), np.array([1e-5, 0.0])
    )
    assert not saddle.converged and abs(saddle.step[0]) >= 1.0
    nowhere = judged(lambda w: None, np.zeros(2), np.array([1e-3, 0.0]))
    assert np.isnan(nowhere.gain) and not nowhere.converged


def test_a_verdict_costs_a_few_scores() -> None:
    for name in ("one factor", "CAPM", "two lags"):
        model = MODELS[name]()
        params = np.asarray(model.fit(cov_type="none").params)
        problem = model.problem()
        counted = [0]
        inner = problem.value_and_score

        def value_and_score(at: np.ndarray, inner: Any = inner, counted: list[int] = counted) -> Any:
            counted[0] += 1
            return inner(at)

        problem.value_and_score = value_and_score  # type: ignore[method-assign]
        assert verdict_at(problem, params).converged
        assert counted[0] <= 5, name


def test_units_of_the_data_do_not_matter() -> None:
    y = factors(1, 80, 3)
    found = []
    for unit in (1e-6, 1.0, 1e6):
        model = sse.LGSSM(unit * y, 1, identification="triangular")
        found.append(fitted(model, "em", maxiter=100).mle_retvals)
    for key in ("predicted_gain", "score_norm"):
        assert_allclose([told[key] for told in found], found[1][key], rtol=1e-3)


def test_the_objective_and_its_score_agree() -> None:
    problem = MODELS["CAPM"]().problem()
    params = problem.model.default_start(problem)
    objective = Objective(problem, params)
    w = np.full(len(params), 0.01)
    assert_allclose(objective.score(w), -objective(w)[1])


# -- an end of an interval ---------------------------------------------------------------------------------


def test_a_coefficient_at_one_is_reached() -> None:
    """A beta that is a random walk, declared as AR(1): the maximum is at the end of the interval."""
    y, market = returns(25, 80, 2, 0.12, 0.3)
    model = sse.CAPM(y, market, beta="ar1", state_cov="diagonal")
    res = fitted(model, "auto")
    assert res.converged and "At the end of its interval" in str(res.summary())
    ends = [name for name in res.boundary if name.startswith("ar1")]
    assert ends
    params = np.array(res.params)
    for share in (1e-3, 1e-4, 1e-5):
        lower = np.array(params)
        lower[[model.param_names.index(name) for name in ends]] = 1.0 - share
        assert model.loglike(lower) < res.llf
    assert further(model, params) < 1e-5


def test_an_end_of_the_interval_that_is_no_maximum_is_left() -> None:
    """From 1 where the maximum is inside; the derivative by the coordinate is zero there."""
    rng = np.random.default_rng(5)
    beta = np.zeros((200, 2))
    for t in range(1, 200):
        beta[t] = 0.5 * beta[t - 1] + rng.standard_normal(2)
    market = rng.standard_normal(200)
    y = market[:, None] * (1.0 + beta) + 0.5 * rng.standard_normal((200, 2))
    model = sse.CAPM(y, market, beta="ar1", state_cov="diagonal")
    best = fitted(model, "auto")
    start = np.array(best.params)
    start[model.param_names.index("ar1.MKT.y1")] = 1.0 - 1e-7
    for method in ("lbfgs", "bfgs"):
        res = fitted(model, method, start_params=start)
        assert not res.converged or best.llf - res.llf < 1e-5, method
