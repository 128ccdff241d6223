"""Information, the menu of standard errors, against the dense log-likelihood, statsmodels and each other."""

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
from systems import by_turns, dense_llf, sampled

import statespace_ext as sse
from statespace_ext.inference.information import (
    COV_TYPES,
    CovType,
    innovations_information,
    observed_information,
    params_covariance,
    period_scores,
)
from statespace_ext.inference.many import model_on
from statespace_ext.lgssm.model import LGSSM
from statespace_ext.numerics.differences import second_differences, step_sizes

NAN = np.nan
NOTHING_FLAT = np.zeros((2, 0))
SPECIFICATIONS = {
    "stationary": {"identification": "triangular"},
    "two lags": {"identification": "triangular", "lags": 2, "obs_intercept": "zero"},
    "strings": {"design": [["a"], ["2*a"]], "obs_cov": [["v", 0], [0, "v"]]},
    "estimated": {"design": [[1], [NAN]], "initialization": "estimated", "obs_cov": "unstructured"},
    "diffuse": {"design": [[1], [1]], "initialization": "diffuse", "obs_intercept": [0, NAN]},
    "mean": {"design": [[1], [NAN]], "state_mean": "free", "obs_intercept": "zero"},
}


def richardson_information(model: LGSSM, params: np.ndarray) -> np.ndarray:
    """Minus the second derivatives from the log-likelihood alone, without any score."""

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(model.loglike, at, levels=3)

    return -richardson_gradient(gradient, params, levels=3)


@by_turns("name, missing", SPECIFICATIONS, [0.0, 0.3])
def test_observed_information(name: str, missing: float) -> None:
    """Away from a maximum too: second derivatives, whatever the score."""
    model, params = sampled(np.random.default_rng(80), 25, 2, 1, missing=missing, **SPECIFICATIONS[name])
    want = richardson_information(model, params)
    found = observed_information(model, params)
    atol = 1e-5 * np.abs(want).max()
    assert_allclose(found, want, atol=atol)
    assert_allclose(found, found.T, rtol=1e-14)
    assert_allclose(-model.nobs * model.hessian(params), want, atol=atol)
    some = np.array([2, 0])
    assert_allclose(observed_information(model, params, some), want[np.ix_(some, some)], atol=atol)
    by_values = -second_differences(model.loglike, params, step_sizes(params, 2e-4), some)
    assert_allclose(by_values, want[np.ix_(some, some)], atol=1e-3 * np.abs(want).max())


def test_standard_errors_with_missing_data() -> None:
    """Inverse of the dense oracle's second derivatives; statsmodels' own count the missing rows."""
    model, params = sampled(
        np.random.default_rng(93), 40, 2, 1, missing=0.4, identification="triangular", root=0.7
    )
    res = model.fit(params)
    optimum = np.asarray(res.params)

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(lambda p: dense_llf(model, p), at, levels=2)

    want = np.sqrt(np.diag(np.linalg.inv(-richardson_gradient(gradient, optimum, levels=2))))
    assert_allclose(res.bse, want, rtol=1e-4)
    assert_allclose(np.sqrt(np.diag(res.cov_params_approx)), want, rtol=1e-2)


def test_more_missing_data_say_less() -> None:
    model, params = sampled(np.random.default_rng(82), 120, 2, 1, identification="triangular", root=0.7)
    thin = model.endog.copy()
    thin[::2] = np.nan
    full, half = model.fit(params), LGSSM(thin, 1, identification="triangular").fit(params)
    intercepts = [model.param_names.index(f"obs_intercept.y{i}") for i in (1, 2)]
    variances = [model.param_names.index(f"obs_var.y{i}") for i in (1, 2)]
    assert np.all(half.bse[variances] > 1.15 * full.bse[variances])
    assert np.all(half.bse[intercepts] > full.bse[intercepts])


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_standard_errors_follow_the_units_of_the_data(scale: float) -> None:
    spec = {"design": [[1], [NAN]], "obs_intercept": "free"}
    model, params = sampled(np.random.default_rng(83), 80, 2, 1, missing=0.2, root=0.8, **spec)
    res = model.fit(params)
    other = LGSSM(scale * model.endog, 1, **spec).fit()
    assert_allclose(other.llf, res.llf - np.isfinite(model.endog).sum() * np.log(scale), atol=1e-4)
    power = np.array([{"obs_v": 2, "state": 2, "obs_i": 1}.get(name[:5], 0) for name in model.param_names])
    assert_allclose(other.params, res.params * scale**power, rtol=1e-3)
    assert_allclose(other.bse, res.bse * scale**power, rtol=1e-3)


def test_the_information_next_to_the_edge_of_the_parameters() -> None:
    """One-sided where a step would leave them."""

    class Edge:
        def loglike_and_score(self, params: np.ndarray) -> tuple[float, np.ndarray]:
            if params[0] < 1.0:
                raise np.linalg.LinAlgError("no likelihood here")
            return -0.5 * float(params @ params), -params

    assert_allclose(observed_information(Edge(), np.array([1.0, 2.0])), np.eye(2), rtol=1e-4, atol=1e-9)


def test_no_information_where_there_is_no_likelihood() -> None:
    class Nowhere:
        def loglike_and_score(self, params: np.ndarray) -> tuple[float, np.ndarray]:
            raise ValueError("no likelihood")

    information = observed_information(Nowhere(), np.array([1.0, 2.0]))
    assert np.all(np.isnan(information))
    found = params_covariance(information, np.arange(2), NOTHING_FLAT, 2)
    assert np.all(np.isnan(found.cov))
    assert found.rank == 0
    assert "do not exist" in found.notes[0]


# -- the inverse -----------------------------------------------------------------------------------------


def test_params_covariance() -> None:
    information = np.array([[4.0, 1.0], [1.0, 2.0]])
    found = params_covariance(information, np.array([2, 0]), NOTHING_FLAT, 4)
    assert_allclose(found.cov[np.ix_([2, 0], [2, 0])], np.linalg.inv(information))
    assert np.all(np.isnan(found.cov[[1, 3]]))
    assert found.rank == 2
    assert found.notes == []


def test_params_covariance_with_flat_directions() -> None:
    """What they move has none; the rest is as if one of the moved parameters were held fixed."""
    root = np.random.default_rng(84).standard_normal((6, 4))
    flat = np.array([[1.0], [-1.0], [0.0], [0.0]]) / np.sqrt(2)
    root = root - root @ flat @ flat.T
    information = root.T @ root
    found = params_covariance(information, np.arange(4), flat, 4)
    assert np.all(np.isnan(found.cov[:2]))
    pinned = np.linalg.inv(information[1:, 1:])
    assert_allclose(found.cov[2:, 2:], pinned[1:, 1:])
    assert found.rank == 3


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_params_covariance_with_units_far_apart(unit: float) -> None:
    information = np.array([[4.0, 1.9], [1.9, 1.0]])
    scale = np.array([1.0, unit])
    found = params_covariance(information * scale[:, None] * scale, np.arange(2), NOTHING_FLAT, 2)
    assert found.notes == []
    assert_allclose(found.cov * scale[:, None] * scale, np.linalg.inv(information), rtol=1e-8)


@pytest.mark.parametrize(
    "information", [[[1, 2], [2, 1]], [[-1, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]]
)
def test_params_covariance_where_it_is_not_positive_definite(information: list) -> None:
    found = params_covariance(np.array(information, float), np.arange(2), NOTHING_FLAT, 2)
    assert np.all(np.isnan(found.cov))
    assert "not positive definite" in found.notes[0]


def test_params_covariance_of_nothing() -> None:
    found = params_covariance(np.zeros((0, 0)), np.zeros(0, int), np.zeros((0, 0)), 3)
    assert np.all(np.isnan(found.cov))
    assert found.rank == 0


MENU = {
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


@by_turns("name, missing", MENU, [0.0, 0.3])
def test_scores_of_the_periods(name: str, missing: float) -> None:
    model, params = sampled(np.random.default_rng(3), 10, 2, 1, missing=missing, **MENU[name])
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
    model, params = sampled(np.random.default_rng(8), 40, 2, 1, **MENU[name])
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


def _half(
    model: LGSSM, params: np.ndarray, index: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    return 0.5 * observed_information(model, params, index, steps), None


def test_an_estimate_of_ones_own_is_one_object() -> None:
    own = CovType("half", "Standard errors from half of the information.", _half)
    model, _ = sampled(np.random.default_rng(80), 60, 2, 1, identification="triangular")
    usual, res = model.fit(), model.fit(cov_type=own)
    assert_allclose(res.bse, np.sqrt(2.0) * np.asarray(usual.bse), rtol=1e-6)
    assert res.cov_type == "half" and own.description in str(res.summary())
    assert_allclose(usual.cov_params_of(own), 2.0 * np.asarray(usual.cov_params()), rtol=1e-6)
    longer = res.append(np.asarray(model.endog)[:5])
    assert_allclose(longer.params, res.params)
    assert "half" not in COV_TYPES
    with pytest.raises(sse.SpecificationError, match="cov_type is unknown"):
        model.fit(cov_type="half")
