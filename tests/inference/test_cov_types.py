"""The menu of standard errors: against the dense log-likelihood, statsmodels, and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from capm import BETA_MOVES, simulated
from edge_data import BUILD, atsm, yields
from numpy.testing import assert_allclose
from oracle import joint, richardson_gradient
from random_models import dense_form
from statsmodels.tsa.statespace.mlemodel import MLEModel
from systems import dense_llf, sampled

import statespace_ext as sse
from statespace_ext.inference.information import COV_TYPES, innovations_information, period_scores
from statespace_ext.inference.many import model_on

SPECIFICATIONS = {
    "stationary": {"identification": "triangular"},
    "two lags": {"identification": "triangular", "lags": 2, "obs_intercept": "zero"},
    "estimated": {"design": [[1], [np.nan]], "initialization": "estimated", "obs_cov": "unstructured"},
    "diffuse": {"design": [[1], [1]], "initialization": "diffuse", "obs_intercept": [0, np.nan]},
}


def prefix_terms(model: sse.LGSSM, params: np.ndarray) -> np.ndarray:
    """Log-likelihood of each period given its past: differences of the dense one of growing samples."""
    growing = []
    for t in range(1, model.nobs + 1):
        y = np.full_like(model.endog, np.nan)
        y[:t] = model.endog[:t]
        growing.append(0.0 if np.isnan(y).all() else dense_llf(model, params, y))
    return np.diff([0.0, *growing])


@pytest.mark.parametrize("name", SPECIFICATIONS)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_scores_of_the_periods(name: str, missing: float) -> None:
    model, params = sampled(np.random.default_rng(3), 10, 2, 1, missing=missing, **SPECIFICATIONS[name])
    index = np.arange(len(params))
    found = period_scores(model, params, index)
    want = richardson_gradient(lambda p: prefix_terms(model, p), params, levels=2)
    assert_allclose(found, want, atol=1e-5 * np.abs(want).max())
    assert_allclose(found.sum(axis=0), model.score(params), atol=1e-6 * np.abs(want).max())


def dense_harvey(model: Any, params: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """v_t, F_t of what is observed by conditioning the joint normal of all observations."""
    (n, p), k, y = model.endog.shape, model.k_states, model.endog.ravel()

    def forecasts(at: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        prior = joint(dense_form(model, at)[0], n)
        mean, cov = prior.mean[n * k :], prior.cov[n * k :, n * k :]
        out = []
        for t in range(n):
            now = [i for i in range(p * t, p * t + p) if not np.isnan(y[i])]
            past = [i for i in range(p * t) if not np.isnan(y[i])]
            gain = cov[np.ix_(now, past)] @ np.linalg.inv(cov[np.ix_(past, past)])
            out.append(
                (
                    y[now] - mean[now] - gain @ (y[past] - mean[past]),
                    cov[np.ix_(now, now)] - gain @ cov[np.ix_(past, now)],
                )
            )
        return out

    moved = [(forecasts(params + s), forecasts(params - s)) for s in np.diag(steps)]
    want = np.zeros((len(params),) * 2)
    for t, (_, F) in enumerate(forecasts(params)):
        if not len(F):
            continue
        inverse = np.linalg.inv(F)
        dv = [(a[t][0] - b[t][0]) / (2 * h) for (a, b), h in zip(moved, steps, strict=True)]
        dF = [(a[t][1] - b[t][1]) / (2 * h) for (a, b), h in zip(moved, steps, strict=True)]
        for i, j in np.ndindex(*want.shape):
            want[i, j] += 0.5 * np.trace(inverse @ dF[i] @ inverse @ dF[j]) + dv[i] @ inverse @ dv[j]
    return want


@pytest.mark.parametrize("missing", [0.0, 0.35])
def test_harvey_against_the_dense_forecasts(missing: float) -> None:
    model, params = sampled(np.random.default_rng(5), 12, 2, 1, missing=missing, identification="triangular")
    want = dense_harvey(model, params, 1e-5 * np.maximum(np.abs(params), 0.1))
    found = innovations_information(model, params, np.arange(len(params)))
    assert_allclose(found, want, rtol=1e-5, atol=1e-6 * np.abs(want).max())


def test_harvey_of_the_term_structure_against_the_dense_forecasts() -> None:
    y = yields()[:12].copy()
    y[5, 1] = np.nan
    model = atsm(y)
    params = np.asarray(model.start_params)
    steps = model.difference_steps(params, 1e-2)
    scale = np.outer(steps, steps)
    want = dense_harvey(model, params, steps) * scale
    found = innovations_information(model, params, np.arange(len(params))) * scale
    assert_allclose(found, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("name", ["stationary", "two lags", "diffuse"])
def test_harvey_is_that_of_statsmodels_on_complete_data(name: str) -> None:
    model, params = sampled(np.random.default_rng(8), 40, 2, 1, **SPECIFICATIONS[name])
    want = model.nobs * MLEModel.observed_information_matrix(
        model, params, includes_fixed=True, approx_complex_step=False, approx_centered=True
    )
    found = innovations_information(model, params, np.arange(len(params)))
    assert_allclose(found, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_the_menu_agrees_in_a_large_sample_of_the_model() -> None:
    model, params = sampled(np.random.default_rng(12), 4000, 2, 1, identification="triangular", root=0.7)
    res = model.fit(params, method="lbfgs")
    want = np.sqrt(np.diag(res.cov_params_oim))
    for kind in ("opg", "robust", "harvey"):
        assert_allclose(np.sqrt(np.diag(res.cov_params_of(kind))), want, rtol=0.08, err_msg=kind)
    assert_allclose(np.sqrt(np.diag(res.cov_params_approx)), want, rtol=1e-2)


def test_robust_against_a_wrong_distribution() -> None:
    """White noise with kurtosis 9: Var(s2) = (kurtosis - 1) s2^2 / n where normal data give 2 s2^2 / n."""
    y = np.random.default_rng(1).standard_t(5, size=600)
    model = sse.LGSSM(y, 1, design=[[0]], transition=[[0]], state_cov=[[1]], obs_intercept="free")
    res = model.fit(cov_type="robust")
    e = y - y.mean()
    s2 = np.mean(e**2)
    assert_allclose(
        res.params, [y.mean(), s2] if "var" in model.param_names[1] else [s2, y.mean()], rtol=1e-5
    )
    want = dict(zip(["mean", "var"], [s2 / len(y), (np.mean(e**4) - s2**2) / len(y)], strict=True))
    order = ["mean", "var"] if "var" in model.param_names[1] else ["var", "mean"]
    assert_allclose(res.bse**2, [want[name] for name in order], rtol=1e-4)
    B = np.array([np.mean(e**2) / s2**2, np.mean((e**2 - s2) ** 2) / (4 * s2**4)])
    cross = np.mean(e**3) / (2 * s2**3)
    opg = np.linalg.inv(len(y) * np.array([[B[0], cross], [cross, B[1]]]))
    found = np.diag(res.cov_params_opg)
    assert_allclose(found, np.diag(opg) if order[0] == "mean" else np.diag(opg)[::-1], rtol=1e-4)


@pytest.mark.parametrize("kind", COV_TYPES)
def test_every_model_has_the_menu(kind: str) -> None:
    y, x = simulated(np.random.default_rng(4), 60, 2, missing=0.1)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov="diagonal")
    res = model.fit(method="lbfgs", cov_type=kind)
    known = np.isfinite(res.bse)
    assert not known.any() if kind == "none" else known.any()
    assert res.cov_type == kind and res.cov_kwds["description"] in str(res.summary())
    again = model.smooth(res.params, cov_type=kind)
    assert_allclose(again.bse, res.bse, rtol=1e-6)


@pytest.mark.parametrize("kind", ["CAPM", "ATSM"])
def test_scores_of_the_periods_of_other_classes(kind: str) -> None:
    """Of the log-likelihoods of growing samples; away from the maximum, with a missing value."""
    build, sample = BUILD[kind]
    y = sample()[:8].copy()
    y[5, 1] = np.nan
    model = build(y)
    params = np.asarray(model.start_params) * 1.05
    growing = [model_on(model, np.where(np.arange(8)[:, None] < t, y, np.nan)) for t in range(1, 9)]

    def terms(at: np.ndarray) -> np.ndarray:
        return np.diff([0.0, *(part.loglike(at) for part in growing)])

    steps = model.difference_steps(params, 0.02)
    want = richardson_gradient(terms, params, step=steps, levels=2) * steps
    found = period_scores(model, params, np.arange(len(params))) * steps
    assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_harvey_of_moving_betas_is_that_of_statsmodels_on_complete_data() -> None:
    build, sample = BUILD["CAPM"]
    model = build(sample())
    params = np.asarray(model.start_params)
    want = model.nobs * MLEModel.observed_information_matrix(
        model, params, includes_fixed=True, approx_complex_step=False, approx_centered=True
    )
    found = innovations_information(model, params, np.arange(len(params)))
    assert_allclose(found, want, rtol=1e-3, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("kind", BUILD)
def test_the_sandwich_of_every_class_is_made_of_the_others(kind: str) -> None:
    build, sample = BUILD[kind]
    res = build(sample()).fit()
    inside = np.isfinite(res.bse)
    A = np.linalg.inv(res.cov_params_of("approx")[np.ix_(inside, inside)])
    B = np.linalg.inv(res.cov_params_of("opg")[np.ix_(inside, inside)])
    want = np.linalg.inv(A) @ B @ np.linalg.inv(A)
    scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    assert_allclose(res.cov_params_of("robust")[np.ix_(inside, inside)] / scale, want / scale, atol=2e-2)
    assert np.isnan(res.cov_params_of("none")).all()


def test_fixed_parameters_have_none() -> None:
    model, params = sampled(np.random.default_rng(9), 60, 2, 1, identification="triangular", root=0.7)
    name = model.param_names[-1]
    with model.fix_params({name: params[-1]}):
        res = model.fit(cov_type="robust")
    assert np.isnan(res.bse[-1]) and np.isfinite(res.bse[:-1]).all()
