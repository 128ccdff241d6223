"""Regressions with ar1 coefficients by their deviations alone, against all states and dense GLS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from capm import simulated
from numpy.testing import assert_allclose
from statsmodels.tsa.statespace.initialization import Initialization

import statespace_ext as sse
from statespace_ext.base.model import StateSpaceModel
from statespace_ext.engine.smoother import Smoother
from statespace_ext.numerics.differences import jacobian

N, P = 30, 3
MODELS: dict[str, dict[str, Any]] = {
    "unstructured": {},
    "diagonal": {"state_cov": "diagonal", "obs_cov": "diagonal"},
    "W factor:1": {"state_cov": "factor:1"},
    "V and W factor:1": {"obs_cov": "factor:1", "state_cov": "factor:1", "alpha": "ar1"},
    "alpha ar1, W joint": {"state_cov": "joint", "alpha": "ar1"},
    "proportional": {"state_cov": "proportional", "alpha": "ar1"},
    "scaled noise": {"obs_scale": 1.0 + 0.1 * np.arange(N * P).reshape(N, P)},
    "constraints": {"constraints": ["MKT.A1 + MKT.A2 = 2"]},
}
AFFINE = [name for name in MODELS if "factor" not in name and name != "proportional"]


def built(name: str, missing: bool) -> tuple[sse.CAPM, np.ndarray]:
    """Return a model of three assets, and parameters in the interior."""
    rng = np.random.default_rng(3)
    y, x = simulated(rng, N, P, missing=0.15 if missing else 0.0)
    if missing:
        y.iloc[7] = np.nan
    model = sse.CAPM(y, x["MKT"], beta="ar1", **MODELS[name])
    params = model.start_params * np.exp(0.1 * rng.standard_normal(len(model.layout)))
    params[model.layout.block_params("state_cov")] *= 100.0
    places = model.layout.block_params("transition")
    params[places] = rng.uniform(-0.9, 0.95, len(places))
    return model, params


def dense(model: sse.CAPM, params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the covariance of the observed series given the constants, their loadings, and the series."""
    system, first, seen = model.system(params), model.coefficients.n_levels, ~np.isnan(model.endog.ravel())
    Z, phi = np.moveaxis(system.design, 2, 0), system.transition.diagonal()[first:]
    P1 = system.state_cov / (1.0 - np.outer(phi, phi))
    H = system.obs_cov if system.obs_cov.ndim == 3 else np.repeat(system.obs_cov[:, :, None], N, 2)
    lag = np.subtract.outer(np.arange(N), np.arange(N))
    powers = phi ** np.abs(lag)[:, :, None]
    later = (lag > 0)[:, :, None, None]
    covs = P1 * np.where(later, powers[:, :, :, None], powers[:, :, None, :])
    Sigma = np.einsum("tia,tsab,sjb->tisj", Z[:, :, first:], covs, Z[:, :, first:], optimize=True)
    Sigma[np.arange(N), :, np.arange(N)] += np.moveaxis(H, 2, 0)
    d = system.obs_intercept
    y = (model.endog - (d if d.ndim == 1 else d.T)).ravel()[seen]
    return Sigma.reshape(N * P, -1)[np.ix_(seen, seen)], Z[:, :, :first].reshape(N * P, -1)[seen], y


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_and_score(name: str, missing: bool) -> None:
    model, params = built(name, missing)
    assert model._deviations is not None
    llf, score = model.loglike_and_score(params)
    Sigma, X, y = dense(model, params)
    inverse = np.linalg.inv(Sigma)
    gram = X.T @ inverse @ X
    left = y - X @ np.linalg.solve(gram, X.T @ inverse @ y)
    logdets = np.linalg.slogdet(Sigma)[1] + np.linalg.slogdet(gram)[1]
    assert_allclose(llf, -0.5 * (len(y) * np.log(2 * np.pi) + logdets + left @ inverse @ left), rtol=1e-11)
    assert_allclose(model.loglike(params), llf, rtol=1e-13)
    all_states = StateSpaceModel.loglike_and_score(model, params)
    assert_allclose(llf, all_states[0], rtol=1e-12)
    assert_allclose(score, all_states[1], rtol=1e-8, atol=1e-8 * np.max(np.abs(score)))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", AFFINE)
def test_average_information(name: str, missing: bool) -> None:
    """It is u' S_i P S_j u / 2 with the derivatives S_i of the covariance, from differences."""
    model, params = built(name, missing)
    Sigma, X, y = dense(model, params)
    inverse = np.linalg.inv(Sigma)
    P_ = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    u = P_ @ y
    moved = jacobian(lambda at: dense(model, at)[0] @ u, params, 3e-5 * np.maximum(np.abs(params), 0.1))
    want = 0.5 * moved.T @ P_ @ moved
    units = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    assert_allclose(model.average_information(params) / units, want / units, atol=1e-6)


@pytest.mark.parametrize("name", ["W factor:1", "V and W factor:1", "proportional"])
def test_average_information_by_factors(name: str) -> None:
    """The chain rule from free V and W; factors add their second derivatives times the score."""
    model, params = built(name, True)
    free = {**MODELS[name], "obs_cov": "unstructured", "state_cov": "joint"}
    whole = sse.CAPM(model.data.orig_endog, model.exog[:, 1], beta="ar1", **free)

    def as_free(at: np.ndarray) -> np.ndarray:
        return whole.params_from_matrices(model.matrices(at))

    step = 1e-4 * np.maximum(np.abs(params), 1e-2)
    slopes, score = jacobian(as_free, params, step), whole.score(as_free(params))
    want = slopes.T @ whole.average_information(as_free(params)) @ slopes
    if name != "proportional":
        want -= jacobian(lambda at: jacobian(as_free, at, step).T @ score, params, step)
    assert_allclose(model.average_information(params), want, atol=1e-5 * np.max(np.abs(want)))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", ["unstructured", "scaled noise", "proportional"])
def test_several_points_at_once(name: str, missing: bool) -> None:
    model, params = built(name, missing)
    problem = model.problem()
    points = [params * scale for scale in (1.0, 0.9, 0.7, 0.5, 0.2)]
    one_by_one = np.array([problem.value(point) for point in points])
    assert_allclose(model._values(problem, points), one_by_one, rtol=1e-9)
    negative = model.layout.project({"obs_cov": -np.eye(P)}, params)
    assert model._values(problem, [*points, negative])[-1] == -np.inf


def test_other_starts_use_all_states() -> None:
    """A start that the user sets, and rows that are singular."""
    model, params = built("unstructured", False)
    singular = model.layout.project({"obs_cov": np.ones((P, P)), "state_cov": np.zeros((P, P))}, params)
    assert model._deviation_score(singular) is None
    k = model.k_states
    model.ssm.initialization = Initialization(k, "known", constant=np.zeros(k), stationary_cov=np.eye(k))
    assert model._deviations is None
    want = StateSpaceModel.loglike_and_score(model, params)
    assert_allclose(model.loglike_and_score(params)[0], want[0])
    assert_allclose(model.loglike(params), want[0])


def test_the_first_rows_do_not_depend_on_earlier_matrices() -> None:
    """The axes of a nearly singular start lose all digits of another, for instance with a W of rank one."""
    model, params = built("unstructured", False)
    extreme = model.layout.project({"obs_cov": 1e-4 * np.eye(P), "state_cov": 1e3 * np.eye(P)}, params)
    loading = np.array([0.3, 0.2, -0.1])
    usual = model.layout.project({"state_cov": 0.01 * np.outer(loading, loading)}, params)
    smoother = Smoother(model.endog, model.k_states, P)
    smoother.loglike(model.system(extreme))
    assert_allclose(smoother.loglike(model.system(usual)), model.loglike(usual), rtol=1e-11)


@pytest.mark.parametrize(
    "kind", [pytest.param("unstructured", marks=pytest.mark.slow), "diagonal", "factor:1"]
)
def test_a_fit_takes_few_scores(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four assets over 90 months took 600 to 820 scores by L-BFGS in coordinates of complete data."""
    y, x = simulated(np.random.default_rng(4), 90, 4)
    model = sse.CAPM(y, x["MKT"], beta="ar1", state_cov=kind)
    count, score = [0], sse.CAPM.loglike_and_score

    def counted(self: sse.CAPM, params: np.ndarray) -> tuple[float, np.ndarray]:
        count[0] += 1
        return score(self, params)

    monkeypatch.setattr(sse.CAPM, "loglike_and_score", counted)
    res = model.fit(cov_type="none")
    assert res.converged
    assert count[0] < 400
    least = {"unstructured": -848.243894, "diagonal": -851.712631, "factor:1": -848.243894}
    assert res.llf > least[kind] - 1e-5


@pytest.mark.parametrize("n", [1, 2, 3])
def test_as_few_observations_as_constants_leave_nothing_to_project(n: int) -> None:
    """The filter of all states has an answer: that of coefficients whose start is diffuse."""
    rng = np.random.default_rng(0)
    y, x = rng.standard_normal((n, 2)), np.column_stack([np.ones(n), rng.standard_normal((n, 2))])
    model = sse.DynamicRegression(y, x, dynamics={"x2": "ar1", "x3": "ar1"}, state_cov="diagonal")
    params = np.where([name.startswith("ar1") for name in model.param_names], 0.3, 1.0)
    params[[name.startswith("obs_cov") for name in model.param_names]] = 0.2
    expected = model.smooth(params, cov_type="none").llf
    assert np.isfinite(expected)
    assert_allclose(model.loglike(params), expected, rtol=1e-10)
    assert np.isfinite(model.score(params)).all()


@pytest.mark.filterwarnings("error")
def test_data_without_residuals_start_in_silence() -> None:
    """A covariance of the data that is given, and zero least-squares residuals: nothing is to be divided."""
    x = np.column_stack([np.ones(40), np.cos(np.arange(40.0))])
    y = x @ [[1.0, 0.5], [2.0, 1.0]]
    model = sse.DynamicRegression(y, x, dynamics={"x2": "random_walk"}, obs_cov=np.eye(2))
    assert_allclose(model.start_params, 0.0, atol=1e-20)
