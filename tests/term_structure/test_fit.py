"""The methods of `ATSM.fit`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm
from systems import by_turns
from yields import panel, random_panel, turning_panel as complex_panel

import statespace_ext as sse
from statespace_ext.base.model import StateSpaceModel
from statespace_ext.fit.problem import FitRequest
from statespace_ext.numerics.bond_pricing import loadings
from statespace_ext.term_structure.estimation import ExpectedLoglike, concentrated_starts
from statespace_ext.term_structure.maximal import Portfolios

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
INDEPENDENT = {"identification": "afns", "p_dynamics": "diagonal", "state_cov": "diagonal"}
SPECIFICATIONS: dict[str, dict[str, Any]] = {
    "jsz": {},
    "afns": {"identification": "afns"},
    "dns": {"identification": "dns"},
    "dai-singleton": {"identification": "dai-singleton"},
    "estimated start": {"identification": "afns", "initialization": "estimated"},
    "diffuse start": {"identification": "afns", "initialization": "diffuse"},
    "prices of risk": {"risk_prices": {"lambda_1": "diagonal"}},
}


@cache
def cdr_by_likelihood(shared_data: Path) -> sse.ATSMResults:
    """Return the fit from its natural start, once for all tests."""
    yields, tau = panel(shared_data, "cdr", "decimal")
    return sse.ATSM(yields, tau, **INDEPENDENT).fit(method="mle")


def test_cdr_from_the_default_start(shared_data: Path, reference: dict[str, dict]) -> None:
    """Christensen, Diebold & Rudebusch (2011), independent factors: the maximum and its parameters."""
    figures = reference["yields"]["cdr_afns_independent"]
    yields, tau = panel(shared_data, "cdr", "decimal")
    res = sse.ATSM(yields, tau, **INDEPENDENT).fit()
    assert res.converged
    assert_allclose(res.llf, figures["llf"], atol=1e-6)
    at = res.model.dynamics(res.params)
    assert_allclose(np.diag(at.K_P), figures["KP_diag"], rtol=1e-4)
    assert_allclose(np.linalg.solve(at.K_P, at.kappa_P), figures["thetaP"], rtol=1e-4)
    assert_allclose(np.sqrt(np.diag(at.cov)), figures["sigma_diag"], rtol=1e-5)
    assert_allclose(res.params["decay"], figures["lam"], rtol=1e-5)
    h = np.sqrt(np.diag(res.model.layout.matrices(np.asarray(res.params))["obs_cov"]))
    assert_allclose(h, figures["h"], rtol=1e-4)


def test_cdr_in_percent_is_the_same_model(shared_data: Path) -> None:
    yields, tau = panel(shared_data, "cdr", "decimal")
    decimal = cdr_by_likelihood(shared_data)
    percent = sse.ATSM(100 * yields, tau, units="percent", **INDEPENDENT).fit(method="mle")
    assert_allclose(percent.llf, decimal.llf - yields.size * np.log(100.0), atol=1e-6)
    assert_allclose(percent.params["decay"], decimal.params["decay"], rtol=1e-5)


def test_unrestricted_afns_leaves_the_local_maximum(shared_data: Path, reference: dict[str, dict]) -> None:
    """The natural start ends 138 log points below the maximum that several starts reach."""
    yields, tau = panel(shared_data, "cdr", "decimal")
    model = sse.ATSM(yields, tau, identification="afns")
    single, several = (model.fit(method=method, cov_type="none") for method in ("mle", "auto"))
    assert single.llf < 16356 < 16494.477 < several.llf
    assert "starts reached the best log-likelihood" in str(several.summary())


def test_diebold_rudebusch_aruoba(shared_data: Path, reference: dict[str, dict]) -> None:
    """The yields-only model in its own, discrete-time parameters."""
    figures = reference["yields"]["dra2006_yields_only"]
    yields, tau = panel(shared_data, "dra", "percent")
    res = sse.ATSM(yields, tau, identification="dns", units="percent").fit(method="mle")
    assert_allclose(res.llf, figures["llf"], atol=1e-6)
    system = res.model.system(np.asarray(res.params))
    assert_allclose(system.transition, figures["A"], atol=1e-5)
    assert_allclose(system.state_cov, figures["Q"], atol=1e-5)
    assert_allclose(system.initial_state, figures["mu"], atol=1e-3)
    assert_allclose(res.params["decay"] / 12.0, figures["lam"], rtol=1e-5)
    assert_allclose(np.sqrt(np.diag(system.obs_cov)), figures["h"], rtol=1e-4)


@by_turns("name, irregular", SPECIFICATIONS, [False, True])
@pytest.mark.filterwarnings("ignore:The likelihood is flat")  # a root of 95 a year, where one of these ends
def test_em_never_falls(name: str, irregular: bool) -> None:
    # an M-step costs an evaluation a parameter, and one with steps of its own lengths more: fewer of both
    two = irregular and name in ("jsz", "dai-singleton", "prices of risk")
    k, nobs = (2 if two else 3), (25 if irregular else 60)
    yields = random_panel(np.random.default_rng(3), nobs, TAU, k, missing=0.1, irregular=irregular)
    model = sse.ATSM(yields, TAU, k, **SPECIFICATIONS[name])
    res = model.fit(method="em", maxiter=3, tolerance=0, cov_type="none")
    steps = np.diff(res.em_trace["llf"])
    assert len(steps) == 3 and np.all(steps > 0)
    assert_allclose(model.loglike(res.params), res.llf, rtol=1e-12)


@pytest.mark.slow
def test_em_approaches_the_maximum(shared_data: Path, reference: dict[str, dict]) -> None:
    yields, tau = panel(shared_data, "cdr", "decimal")
    res = sse.ATSM(yields, tau, **INDEPENDENT).fit(method="em", maxiter=60, tolerance=0)
    best = reference["yields"]["cdr_afns_independent"]["llf"]
    gap = best - res.em_trace["llf"].to_numpy()
    assert np.all(np.diff(gap) < 0)
    assert gap[0] > 700 and 0 < gap[-1] < 10


def test_em_with_observed_factors() -> None:
    yields = random_panel(np.random.default_rng(3), 60, TAU)
    factors = yields.iloc[:, [0, 2, 4]].to_numpy() @ np.array([[1.0, -1, 1], [0, 0, -2], [0, 1, 1]])
    model = sse.ATSM(yields, TAU, identification="afns", factors=factors)
    assert np.all(np.diff(model.fit(method="em", maxiter=10, tolerance=0).em_trace["llf"]) > 0)


@pytest.mark.parametrize("initialization", ["diffuse", "stationary"])
def test_concentrated_likelihood(shared_data: Path, initialization: str) -> None:
    """Its P-dynamics are OLS; the maximum of the likelihood is near with a diffuse start, and higher."""
    yields, tau = panel(shared_data, "jsz")
    model = sse.ATSM(yields, tau, obs_cov="exact-portfolios", initialization=initialization)
    portfolios = yields.to_numpy() @ model.panel.weights.T
    design = np.column_stack([portfolios[:-1], np.ones(len(portfolios) - 1)])
    ols = np.linalg.lstsq(design, portfolios[1:], rcond=None)[0][:-1].T
    start = concentrated_starts(model)[0]
    assert_allclose(model.system(start).transition, ols, atol=1e-8)
    res = model.fit(method="jsz")
    assert res.converged and np.max(np.abs(model.system(np.asarray(res.params)).transition - ols)) > 1e-5
    gain = res.llf - model.loglike(start)
    assert 0 < gain < (0.01 if initialization == "diffuse" else 10.0)
    rng, best = np.random.default_rng(0), np.asarray(res.params)
    for _ in range(20):
        assert model.loglike(best * (1.0 + 1e-3 * rng.standard_normal(len(best)))) < res.llf
    if initialization == "diffuse":
        assert_allclose(res.llf, _conditional_llf(model, res.params), rtol=1e-10)
    assert_allclose(model.panel.weights @ res.model.loadings(res.params, tau)[1], np.eye(3), atol=1e-9)


def _conditional_llf(model: sse.ATSM, params: Any) -> float:
    """Portfolios given the first, errors, and of the first the constant of a diffuse start."""
    system, y = model.system(np.asarray(params)), model.endog
    W = model.panel.weights
    N = scipy.linalg.null_space(W).T
    P = y @ W.T
    errors = (y - system.obs_intercept[None, :].reshape(1, -1) - P @ system.design.T) @ N.T
    moves = P[1:] - P[:-1] @ system.transition.T - system.state_intercept.reshape(1, -1)
    out = multivariate_normal(np.zeros(len(W)), system.state_cov).logpdf(moves).sum()
    sd = np.sqrt((N @ system.obs_cov @ N.T)[0, 0])
    return float(out + norm.logpdf(errors, scale=sd).sum() - 0.5 * len(W) * np.log(2 * np.pi))


@pytest.mark.parametrize("name", ["cdr", "dra"])
def test_exact_portfolios_keep_their_digits_with_a_diffuse_start(shared_data: Path, name: str) -> None:
    """Where statsmodels' own exact-diffuse filter returns anything between -1e18 and the maximum."""
    yields, tau = panel(shared_data, name, "decimal")
    model = sse.ATSM(yields, tau, obs_cov="exact-portfolios", initialization="diffuse")
    params = np.asarray(model.start_params)
    assert_allclose(model.loglike(params), _conditional_llf(model, params), rtol=1e-10)


def turning_panel(nobs: int) -> np.ndarray:
    """Return decimal yields of two factors that turn under Q."""
    rng = np.random.default_rng(2)
    turn = np.array([[0.3, -0.5], [0.5, 0.3]])
    slopes = loadings(turn, np.zeros(2), np.zeros((2, 2)), 0.0, np.array([1.0, 0.5]), TAU)[1]
    states = np.zeros((nobs, 2))
    for t in range(1, nobs):
        states[t] = 0.9 * states[t - 1] + 0.004 * rng.standard_normal(2)
    return 0.05 + states @ slopes.T + 0.0005 * rng.standard_normal((nobs, len(TAU)))


@pytest.mark.parametrize("k", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_dai_singleton_is_the_model_for_portfolios_rotated(k: int) -> None:
    """Both default fits go on with a pair where two real roots meet, and keep them if that is no better."""
    yields = turning_panel(40) if k == 2 else random_panel(np.random.default_rng(1), 120, TAU).to_numpy()
    portfolios, latent = (
        sse.ATSM(yields, TAU, k, identification=name, dt=1 / 12).fit(cov_type="none")
        for name in ("jsz", "dai-singleton")
    )
    assert latent.converged and abs(latent.llf - portfolios.llf) < 1e-6
    assert_allclose(latent.mean_reversion["real"], portfolios.mean_reversion["real"], rtol=1e-3)
    K_Q = latent.matrices["K_Q"].to_numpy()
    pair = K_Q[k - 2 :, k - 2 :]  # two of the real roots meet in these samples, and complex ones are better
    assert not np.any(K_Q[: k - 2, 1:]) and pair[0, 0] == pair[1, 1] and pair[0, 1] * pair[1, 0] < 0
    assert abs(pair[0, 1]) <= abs(pair[1, 0])


@pytest.mark.parametrize(
    "options",
    [{}, {"obs_cov": "exact-portfolios", "p_dynamics": "diagonal"}, {"identification": "afns"}],
)
def test_concentrated_likelihood_refuses_other_models(options: dict[str, Any]) -> None:
    model = sse.ATSM(random_panel(np.random.default_rng(0), 40, TAU), TAU, **options)
    with pytest.raises(sse.UnsupportedError, match='method="jsz" cannot estimate this model'):
        model.fit(method="jsz")


def test_em_refuses_exact_portfolios() -> None:
    model = sse.ATSM(random_panel(np.random.default_rng(0), 40, TAU), TAU, obs_cov="exact-portfolios")
    with pytest.raises(sse.UnsupportedError, match="priced without error"):
        model.fit(method="em")


def test_two_step_says_what_it_is(shared_data: Path) -> None:
    yields, tau = panel(shared_data, "cdr", "decimal")
    model = sse.ATSM(yields, tau, **INDEPENDENT)
    res = model.fit(method="two-step")
    assert "not maximum likelihood" in res.mle_retvals["task"]
    assert res.llf < cdr_by_likelihood(shared_data).llf


def test_a_fitted_model_is_an_lgssm_with_fixed_matrices(shared_data: Path) -> None:
    yields = panel(shared_data, "cdr", "decimal")[0]
    res = cdr_by_likelihood(shared_data)
    s = res.model.system(np.asarray(res.params))
    values = yields.copy()
    values.index = pd.period_range("1987-01", periods=len(values), freq="M")
    fixed = sse.LGSSM(
        values, 3, design=s.design, obs_intercept=s.obs_intercept, obs_cov=s.obs_cov,
        transition=s.transition, state_intercept=s.state_intercept, state_cov=s.state_cov,
    )  # fmt: skip
    assert_allclose(fixed.loglike([]), res.llf, rtol=1e-9)


def test_unknown_method() -> None:
    model = sse.ATSM(random_panel(np.random.default_rng(0), 40, TAU), TAU)
    with pytest.raises(sse.SpecificationError, match="method is unknown: got 'ols'"):
        model.fit(method="ols")


def test_jsz_normalisation_sorts_the_roots() -> None:
    model = sse.ATSM(random_panel(np.random.default_rng(0), 40, TAU), TAU)
    params = np.asarray(model.start_params)
    mixed = model.layout.project({"roots_Q": model.layout.matrices(params)["roots_Q"][::-1]}, params)
    sorted_ = model.normalised(mixed)
    assert_allclose(model.loglike(sorted_), model.loglike(mixed), rtol=1e-9)
    assert np.all(np.diff(model.layout.matrices(sorted_)["roots_Q"][:, 0]) >= 0)


@pytest.mark.parametrize("identification", ["afns", "jsz"])
@pytest.mark.parametrize("free", [[(0, 0), (0, 1)], [(0, 0), (1, 1)], [(0, 1), (1, 0), (1, 1)]])
def test_restricted_prices_of_risk_start_stable(
    shared_data: Path, identification: str, free: list[tuple[int, int]]
) -> None:
    """K_P = K_Q - Sigma lambda_1 with a few free elements: a start on which the process reverts is sought."""
    yields, tau = panel(shared_data, "cdr", "decimal")
    lambda_1 = np.zeros((3, 3))
    lambda_1[tuple(zip(*free, strict=True))] = np.nan
    model = sse.ATSM(yields, tau, identification=identification, risk_prices={"lambda_1": lambda_1})
    assert np.isfinite(model.loglike(model.start_params))
    found = model.dynamics(model.start_params)
    assert np.min(np.linalg.eigvals(found.K_P).real) > 0
    root = np.linalg.cholesky(found.cov)
    prices = np.linalg.solve(root, found.pricing.K - found.K_P)
    assert_allclose(prices[lambda_1 == 0], 0.0, atol=1e-8 * np.max(np.abs(prices)))


def test_information_of_a_tiny_variance() -> None:
    """
    Minus the second derivative of -n/2 log h - S / (2 h), whatever the size of h.

    Differences by a step as large as the variance made a scale of it that stopped fits short.
    """
    model = sse.ATSM(random_panel(np.random.default_rng(3), 80, TAU), TAU, identification="afns")
    problem, params = model.problem(), np.array(model.start_params)
    places = model.layout.index["obs_cov"]
    params[places[2]] = 1e-13
    moments = problem.moments(params)
    found = problem.updates.information(params, moments)[places]
    n, residuals = moments.observation.n[0], np.diag(moments.observation.ee[0])
    h = params[places]
    assert_allclose(found, residuals / h**3 - 0.5 * n / h**2, rtol=1e-5)


@pytest.mark.slow
def test_convergence_at_variances_of_zero(shared_data: Path) -> None:
    """Three of thirteen maturities are fitted exactly: the fit is at its maximum, and says so."""
    yields, tau = panel(shared_data, "gsw", "decimal")
    res = sse.ATSM(yields, tau, **INDEPENDENT).fit(cov_type="none")
    assert res.converged
    assert_allclose(res.llf, 27582.788424, atol=1e-5)  # the best of 200 random starts


@pytest.mark.slow
def test_a_singular_covariance_of_the_portfolios_has_no_dai_singleton_form() -> None:
    """The fit then starts from the default values of the model, and no factorisation fails."""
    yields = random_panel(np.random.default_rng(1), 40, TAU, 3)
    twin = sse.ATSM(yields, TAU, 3, identification="jsz").fit(cov_type="none")
    assert "state_var.P1" in twin.boundary
    with pytest.warns(sse.ConvergenceWarning):
        res = sse.ATSM(yields, TAU, 3, identification="dai-singleton").fit(cov_type="none")
    assert np.isfinite(res.llf) and res.llf <= twin.llf + 1e-6


def test_without_a_dai_singleton_form_the_fit_has_its_own_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_form(*_: object) -> None:
        np.linalg.cholesky(np.zeros((2, 2)))

    monkeypatch.setattr("statespace_ext.term_structure.estimation.rotated", no_form)
    model = sse.ATSM(
        random_panel(np.random.default_rng(1), 40, TAU, 2), TAU, 2, identification="dai-singleton"
    )
    with pytest.warns(sse.ConvergenceWarning):
        res = model.fit(cov_type="none", maxiter=2)
    assert res.llf > model.loglike(model.start_params)


def test_start_values_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default start, the other starts and the ranking share the fits of the cross-section."""
    calls: list[object] = []
    plain = Portfolios.starts
    monkeypatch.setattr(Portfolios, "starts", lambda self, sample: calls.append(self) or plain(self, sample))
    model = sse.ATSM(random_panel(np.random.default_rng(1), 60, TAU, k=1), TAU, k_factors=1)
    model.fit(cov_type="none")
    assert len(calls) == 1
    assert len(model.start_params) == len(model.param_names)
    assert len(calls) == 1


def test_real_roots_that_meet_leave_other_starts_to_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sse.ATSM(*complex_panel())
    assert model.estimate(FitRequest()).starts != []
    monkeypatch.setattr(Portfolios, "roots_meet", lambda self, at: True)
    found = sse.ATSM(*complex_panel()).estimate(FitRequest())
    assert len(found.starts) == 1 and found.converged


@pytest.mark.parametrize("name", ["jsz", "afns", "estimated start"])
def test_scale_of_variances_needs_no_system(name: str) -> None:
    """The second derivatives by measurement variances are those of the whole expected log-likelihood."""
    model = sse.ATSM(random_panel(np.random.default_rng(1), 60, TAU), TAU, **SPECIFICATIONS[name])
    params, problem = np.asarray(model.start_params), model.problem()
    expected = ExpectedLoglike(problem.updates, params, problem.moments(params))
    assert_allclose(
        expected.gradient_of_noise(params)[model.layout.index["obs_cov"]],
        expected.value_and_gradient(params)[1][model.layout.index["obs_cov"]],
        rtol=1e-10,
    )


@pytest.mark.parametrize("tau", [TAU, TAU[:2]], ids=["identified", "flat"])
def test_identification_without_error_variances_is_that_of_all_parameters(tau: np.ndarray) -> None:
    """Two maturities of two factors leave flat directions; none of them moves an error variance."""
    model = sse.ATSM(random_panel(np.random.default_rng(1), 60, tau, k=2), tau, k_factors=2)
    params = np.asarray(model.start_params)
    found, whole = model.identification(params), StateSpaceModel.identification(model, params)
    assert found.n_flat == whole.n_flat and (whole.n_flat > 0) == (len(tau) == 2)
    assert found.names == whole.names and found.message.startswith(whole.message)
    assert_allclose(found.flat @ found.flat.T, whole.flat @ whole.flat.T, atol=1e-4)
    assert list(found.free) == list(whole.free) and found.flat.shape == whole.flat.shape
    name = model.layout.blocks["obs_cov"].names[0]
    fixed = {name: params[model.param_names.index(name)]}
    assert len(model.identification(params, fixed).free) == len(params) - 1
