"""The average information of a dynamic regression, against dense covariance matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.fit.objective import Objective
from statespace_ext.numerics.differences import jacobian
from statespace_ext.numerics.linear_algebra import quiet

N, P = 12, 3
WALKS = {"MKT": "random_walk", "SMB": "random_walk"}
MODELS: dict[str, dict[str, Any]] = {
    "two walks": {"dynamics": WALKS},
    "trends": {"dynamics": {"MKT": "local_linear"}},
    "joint W, V equicorrelated": {"dynamics": WALKS, "state_cov": "joint", "obs_cov": "equicorrelated"},
    "W scalar, V diagonal": {"dynamics": WALKS, "state_cov": "scalar", "obs_cov": "diagonal"},
    "pattern": {"dynamics": WALKS, "state_cov": [[np.nan, 0.01, 0], [0.01, np.nan, 0], [0, 0, np.nan]]},
    "scaled noise": {"dynamics": WALKS, "obs_scale": 1.0 + 0.1 * np.arange(N * P).reshape(N, P)},
    "constraints": {"dynamics": WALKS, "constraints": "MKT + SMB = 1"},
    "known start": {
        "dynamics": WALKS,
        "initialization": "known",
        "initial_state": np.full(3 * P, 0.5),
        "initial_state_cov": np.diag(np.linspace(0.2, 1.0, 3 * P)),
    },
}


def built(name: str, missing: bool) -> sse.DynamicRegression:
    """Return a model of three series on a constant, the market and a size factor."""
    rng = np.random.default_rng(1)
    x = pd.DataFrame({"const": 1.0, "MKT": rng.standard_normal(N), "SMB": rng.standard_normal(N)})
    y = pd.DataFrame(
        x.to_numpy() @ rng.standard_normal((3, P)) + rng.standard_normal((N, P)), columns=list("abc")
    )
    if missing:
        y.iloc[[1, 5, 5, 8, 8, 8], [0, 1, 2, 0, 1, 2]] = np.nan
        y.iloc[3, 2] = np.nan
    return sse.DynamicRegression(y, x, **MODELS[name])


def dense(model: sse.DynamicRegression, params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the covariance of the series given the diffuse states, their loadings, and the mean."""
    system, n, p = model.system(params), model.nobs, model.k_endog
    Z, T, R = system.design, system.transition, system.selection
    W, k = R @ system.state_cov @ R.T, system.k_states
    H = system.obs_cov if system.obs_cov.ndim == 3 else np.repeat(system.obs_cov[:, :, None], n, 2)
    powers = [np.linalg.matrix_power(T, t) for t in range(n)]
    first = np.concatenate([Z[:, :, t] @ powers[t] for t in range(n)])
    Sigma = np.zeros((n * p, n * p))
    for s in range(n):
        effect = np.zeros((n, p, k))
        for t in range(s + 1, n):
            effect[t] = Z[:, :, t] @ powers[t - s - 1]
        Sigma += effect.reshape(n * p, k) @ W @ effect.reshape(n * p, k).T
        Sigma[s * p : s * p + p, s * p : s * p + p] += H[:, :, s]
    d = system.obs_intercept
    mean = (d.T if d.ndim == 2 else np.tile(d, (n, 1))).ravel()
    if system.initialization_type == "diffuse":
        return Sigma, first, mean
    cov = first @ system.initial_state_cov @ first.T
    return Sigma + cov, np.zeros((n * p, 0)), mean + first @ system.initial_state


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_that_of_the_joint_density(name: str, missing: bool) -> None:
    model = built(name, missing)
    params = model.start_params * np.linspace(0.9, 1.1, len(model.start_params))
    compare(model, params)


@pytest.mark.parametrize("missing", [False, True])
def test_a_singular_noise_covariance(missing: bool) -> None:
    """The series a + b has no noise, as at many maxima; its moving coefficients explain it."""
    model = built("two walks", missing)
    root = np.array([[1.0, 0.0], [-1.0, 0.0], [0.3, 0.7]])
    compare(model, model.layout.project({"obs_cov": root @ root.T}, model.start_params))


def compare(model: sse.DynamicRegression, params: np.ndarray) -> None:
    """Compare the average information with that of the joint density."""
    seen = ~np.isnan(model.endog.ravel())
    inside = np.ix_(seen, seen)
    Sigma, X, mean = dense(model, params)
    X = X[seen]
    inverse = np.linalg.inv(Sigma[inside] + X @ X.T)  # X X' does not change the projection
    P_ = inverse - inverse @ X @ np.linalg.pinv(X.T @ inverse @ X) @ X.T @ inverse
    u = P_ @ (model.endog.ravel() - mean)[seen]
    steps = np.eye(len(params))  # Sigma is affine
    w = np.column_stack([(dense(model, params + h)[0] - Sigma)[inside] @ u for h in steps])
    assert model.has_average_information
    assert_allclose(model.average_information(params), 0.5 * w.T @ P_ @ w, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_second_derivatives_by_unconstrained_parameters(name: str) -> None:
    """Those of a quadratic function of the parameters with the same gradient and second derivatives."""
    model = built(name, False)
    asked = model.problem("auto")
    with quiet():
        objective = Objective(asked, model.default_start(asked))
        here, origin = objective.params(), objective.origin
        objective.move(np.zeros(len(origin)))
        found = objective._average_information()
        slope, information = asked.value_and_score(here)[1], model.average_information(here)

    def gradient(z: np.ndarray) -> np.ndarray:
        bent = slope - information @ (asked.layout.constrain(z) - here)
        return asked.layout.vjp(z, bent)

    want = -objective.scale[:, None] * jacobian(gradient, origin, 1e-5 * objective.scale) * objective.scale
    assert found is not None
    assert_allclose(found, want, atol=1e-7 * np.max(np.abs(want)))


def test_models_without_it() -> None:
    for options in (
        {"dynamics": {"MKT": "random_walk"}},
        {"dynamics": WALKS, "state_cov": "factor:1"},
        {"dynamics": WALKS, "state_cov": "proportional"},
        {"dynamics": {"MKT": "ar1", "SMB": "random_walk"}},
    ):
        data = built("two walks", False).data
        model = sse.DynamicRegression(data.orig_endog, data.orig_exog, **options)
        assert not model.has_average_information


@pytest.mark.slow
def test_a_fit_takes_fewer_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(60), rng.standard_normal((60, 3))])
    steps = 0.1 * np.cumsum(rng.standard_normal((60, 6)), axis=0)
    y = x @ rng.standard_normal((4, 6)) + steps * x[:, 1:2] + rng.standard_normal((60, 6))
    model = sse.DynamicRegression(y, x, dynamics=dict.fromkeys(["x1", "x2", "x3"], "random_walk"))
    scores, score = [0], sse.DynamicRegression.loglike_and_score

    def counted(self: sse.DynamicRegression, params: np.ndarray) -> tuple[float, np.ndarray]:
        scores[0] += 1
        return score(self, params)

    monkeypatch.setattr(sse.DynamicRegression, "loglike_and_score", counted)
    ours, taken = model.fit(cov_type="none"), scores[0]
    monkeypatch.setattr(sse.DynamicRegression, "has_average_information", False)
    theirs = model.fit(cov_type="none")
    assert ours.converged
    assert ours.llf > theirs.llf - 1e-6
    assert len(ours.params) > 80
    assert taken < 0.7 * (scores[0] - taken)
