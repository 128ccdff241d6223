"""Models whose obs_cov is stored by its diagonal, compared with the same models with a whole matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from statespace_ext import LGSSM
from statespace_ext.engine.collapsing import collapsed_rows
from statespace_ext.engine.expectation import ESTEPS, expectation
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.system import System
from statespace_ext.fit.problem import EstimationProblem
from statespace_ext.numerics.linear_algebra import by_diagonal
from statespace_ext.params.layout import ParameterLayout

N, P, K = 160, 9, 2
NAMES = ["a", "b", "a", "b", "c", "d", "e", "f", "g"]
SPECS: dict[str, dict[str, Any]] = {
    "diagonal": {},
    "lags": {"lags": 2},
    "known start": {"initialization": "known", "initial_state": np.zeros(K), "initial_state_cov": np.eye(K)},
    "scalar": {"obs_cov": "scalar"},
    "shared": {"obs_cov": [[NAMES[i] if i == j else 0.0 for j in range(P)] for i in range(P)]},
    "scaled": {"obs_cov": [[f"{i + 1.0}*s" if i == j else 0.0 for j in range(P)] for i in range(P)]},
    "some fixed": {"obs_cov": [[(1.0 if i < 3 else f"v{i}") if i == j else 0.0 for j in range(P)]
                               for i in range(P)]},
    "regressors": {"exog": np.random.default_rng(3).standard_normal((N, 2)),
                   "state_exog": np.random.default_rng(4).standard_normal((N, 1))},
}  # fmt: skip


def sample(share: float) -> np.ndarray:
    """Return data with missing cells, a row without data, and a row with one series."""
    rng = np.random.default_rng(1)
    x = np.zeros((N, K))
    for t in range(1, N):
        x[t] = np.array([0.9, 0.5]) * x[t - 1] + rng.standard_normal(K)
    y = x @ rng.standard_normal((K, P))
    y += rng.standard_normal((N, P))
    if share:
        y[rng.random(y.shape) < share] = np.nan
        y[5], y[9, 1:] = np.nan, np.nan
    return y


def pair(share: float, **spec: Any) -> tuple[LGSSM, LGSSM, np.ndarray]:
    """Return a model, its twin with whole matrices, and parameters."""
    lean, whole = (LGSSM(sample(share), K, identification="triangular", **spec) for _ in range(2))
    given = whole.layout
    whole.layout = ParameterLayout(given.blocks, given.covariances, given.bounded)
    rng = np.random.default_rng(2)
    params = np.asarray(lean.start_params) * rng.uniform(0.8, 1.2, len(lean.param_names))
    assert by_diagonal(lean.system(params).obs_cov) and not by_diagonal(whole.system(params).obs_cov)
    return lean, whole, params


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("spec", list(SPECS))
def test_score_moments_and_updates(spec: str, share: float) -> None:
    lean, whole, params = pair(share, **SPECS[spec])
    (llf, score), (other, gradient) = (model.loglike_and_score(params) for model in (lean, whole))
    assert_allclose(llf, other, rtol=1e-11)
    assert_allclose(score, gradient, rtol=1e-9, atol=1e-8 * np.abs(gradient).max())
    assert_allclose(lean.loglike(params), whole.loglike(params), rtol=1e-11)
    problems = [EstimationProblem(model, {}) for model in (lean, whole)]
    for estep in [*ESTEPS][bool(share) :]:
        ours, theirs = (expectation(p.smoother, p.system(params), estep) for p in problems)
        assert_allclose(ours.llf, theirs.llf, rtol=1e-11)
        assert by_diagonal(ours.observation.ee) and not by_diagonal(theirs.observation.ee)
        assert_allclose(
            np.diagonal(ours.observation.ee, axis1=1, axis2=2),
            np.diagonal(theirs.observation.ee, axis1=1, axis2=2), rtol=1e-9,
        )  # fmt: skip
        for name in ("eb", "bb", "n"):
            one, two = getattr(ours.observation, name), getattr(theirs.observation, name)
            assert_allclose(one, two, rtol=1e-9, atol=1e-8)
        points = []
        for problem, moments in zip(problems, (ours, theirs), strict=True):
            point = params
            point, moments = problem.updates.observation_coefficients(point, moments)
            points.append(problem.updates.obs_cov(point, moments)[0])
        assert_allclose(points[0], points[1], rtol=1e-9, atol=1e-10)
    information = [p.updates.information(params, p.moments(params)) for p in problems]
    assert_allclose(information[0], information[1], rtol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_collapsed_rows_have_the_same_likelihood(share: float) -> None:
    lean, _, params = pair(share)
    smoother, system = lean.private_smoother, lean.system(params)
    found = collapsed_rows(smoother, system)
    other = collapsed_rows(smoother, replace(system, obs_cov=np.asarray(system.obs_cov)))
    assert found is not None and other is not None
    assert_allclose(found.constant, other.constant, rtol=1e-11)
    D, E = (np.moveaxis(np.atleast_3d(each.system.design), 2, 0) for each in (found, other))
    assert_allclose(np.swapaxes(D, 1, 2) @ D, np.swapaxes(E, 1, 2) @ E, rtol=1e-10, atol=1e-12)
    information = [
        np.squeeze(np.swapaxes(d, 1, 2) @ each.endog[:, :, None], 2) for d, each in ((D, found), (E, other))
    ]
    assert_allclose(information[0], information[1], rtol=1e-9, atol=1e-10)


def by_collapsed_rows(smoother: Smoother, system: System) -> float:
    """Return the log-likelihood of a few series by collapsed rows, which serve for many."""
    found = collapsed_rows(smoother, system)
    assert found is not None
    return Smoother(found.endog, K, K).loglike(found.system) - float(found.constant.sum())


@pytest.mark.parametrize("angle", [1e-1, 1e-3, 1e-6, 0.0])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_loadings_that_are_nearly_dependent(angle: float, share: float) -> None:
    lean, whole, params = pair(share)
    names = lean.param_names
    for i in range(2, P + 1):
        params[names.index(f"loading.f2->y{i}")] = params[names.index(f"loading.f1->y{i}")] * (
            1.0 + angle * np.sin(i)
        )
    (llf, score), (other, gradient) = (model.loglike_and_score(params) for model in (lean, whole))
    assert_allclose(llf, other, rtol=1e-10)
    assert_allclose(score, gradient, rtol=1e-7, atol=1e-8 * np.abs(gradient).max())
    assert_allclose(by_collapsed_rows(lean.private_smoother, lean.system(params)), other, rtol=1e-10)


def test_loadings_of_zero() -> None:
    lean, _, params = pair(0.2)
    system = replace(lean.system(params), design=np.zeros((P, K)))
    expected = lean.private_smoother.loglike(system)
    assert_allclose(by_collapsed_rows(lean.private_smoother, system), expected, rtol=1e-12)


@pytest.mark.parametrize("spec", ["diagonal", "shared", "scaled", "some fixed"])
def test_layout(spec: str) -> None:
    lean, whole, params = pair(0.0, **SPECS[spec])
    rng = np.random.default_rng(5)
    z, slope = lean.layout.unconstrain(params), rng.standard_normal(len(params))
    assert_allclose(lean.layout.constrain(z), params, rtol=1e-12)
    steps = 1e-6 * np.eye(len(z))
    numeric = [
        (lean.layout.constrain(z + step) - lean.layout.constrain(z - step)) @ slope / 2e-6 for step in steps
    ]
    assert_allclose(lean.layout.vjp(z, slope), numeric, rtol=1e-6, atol=1e-8)
    target = np.diag(rng.uniform(1.0, 2.0, P))
    from_whole = whole.layout.project({"obs_cov": target}, params)
    moved = lean.layout.matrix("obs_cov", from_whole)
    assert_allclose(lean.layout.project({"obs_cov": target}, params), from_whole, rtol=1e-12)
    assert_allclose(lean.layout.project({"obs_cov": moved}, params), from_whole, rtol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_fit_and_standard_errors(share: float) -> None:
    lean, whole, _ = pair(share)
    ours, theirs = (model.fit() for model in (lean, whole))
    assert ours.converged and theirs.converged
    assert_allclose(ours.llf, theirs.llf, rtol=1e-9)
    at_theirs = lean.smooth(theirs.params)
    assert_allclose(at_theirs.bse, theirs.bse, rtol=1e-7)
    assert ours.summary().as_text()


def test_matrices_of_users_are_arrays() -> None:
    lean, _, params = pair(0.0)
    assert type(lean.matrices(params)["obs_cov"]) is np.ndarray
