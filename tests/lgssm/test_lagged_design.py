"""Designs of `LGSSM` with loadings on lags: likelihood, states, score, EM, and what they refuse."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracle import dense, richardson_gradient

import statespace_ext as sse

RNG = np.random.default_rng(21)
N = 30
Y = RNG.normal(size=(N, 3)).cumsum(axis=0)
Y[4, 1] = Y[20, :] = np.nan
INPUTS = RNG.normal(size=(N, 1))
ONE = {"k_factors": 1, "lags": 2, "design": [[1, np.nan], ["a", "b"], ["a", 0]]}
CASES: dict[str, dict[str, Any]] = {
    "one factor": ONE,
    "two factors": {
        "k_factors": 2, "lags": 3, "design": [[1, 0, "a", 0, 0, "b"], [0, 1, 0, 0, "c", 0], [np.nan] * 6],
        "state_intercept": ["d", 0], "initialization": "known", "initial_state": np.arange(6.0),
        "initial_state_cov": np.eye(6),
    },
    "inputs, full obs_cov": {
        **ONE, "state_exog": INPUTS, "exog": INPUTS, "obs_cov": "unstructured", "initialization": "known",
        "initial_state": [1, 2], "initial_state_cov": np.eye(2),
    },
}  # fmt: skip
every_case = pytest.mark.parametrize("key", CASES)


def model_of(key: str, **change: Any) -> sse.LGSSM:
    return sse.LGSSM(Y, **{**CASES[key], **change})


def params_of(model: sse.LGSSM) -> np.ndarray:
    size = RNG.uniform(0.05, 0.15, len(model.param_names))
    return np.where(["_var" in name for name in model.param_names], 0.8 + size, size)


def by_hand(model: sse.LGSSM, params: np.ndarray) -> dict[str, np.ndarray]:
    """The system from the values of the parameters, without the code of the package."""
    value = dict(zip(model.param_names, params, strict=True))
    k, lags = model._given["k_factors"], model._given["lags"]
    factors = [f"f{i + 1}" for i in range(k)]
    states = [name if lag == 0 else f"{name}.L{lag}" for lag in range(lags) for name in factors]
    series = ["y1", "y2", "y3"]
    design = np.array([
        [value.get(item, 0.0) if isinstance(item, str) else value[f"loading.{states[j]}->{series[i]}"]
         if np.isnan(item) else item for j, item in enumerate(row)]
        for i, row in enumerate(model._given["design"])
    ])  # fmt: skip
    transition = np.eye(k * lags, k=-k)
    transition[:k] = [
        [value[f"L{lag + 1}.{b}->{a}"] for lag in range(lags) for b in factors] for a in factors
    ]

    def cov(stem: str, names: list[str]) -> np.ndarray:
        out = np.diag([value[f"{stem}_var.{name}"] for name in names])
        for i, a in enumerate(names):
            for j, b in enumerate(names[:i]):
                out[i, j] = out[j, i] = value.get(f"{stem}_cov.{b}.{a}", 0.0)
        return out

    intercept = np.zeros((k * lags, N))
    intercept[0] = value.get("d", 0.0)
    obs = np.array([[value[f"obs_intercept.{name}"]] * N for name in series])
    if model.exog is not None:
        obs = obs + np.array([[value[f"obs_coef.x1->{name}"]] for name in series]) @ INPUTS.T
        intercept[0] += value["state_coef.u1->f1"] * INPUTS[:, 0]
    at = {
        "design": design, "obs_intercept": obs, "obs_cov": cov("obs", series), "transition": transition,
        "state_intercept": intercept, "selection": np.eye(k * lags, k), "state_cov": cov("state", factors),
    }  # fmt: skip
    mean, P = model._given["initial_state"], np.zeros((k * lags, k * lags))
    if mean is None:  # stationary
        noise = at["selection"] @ at["state_cov"] @ at["selection"].T
        for _ in range(500):
            P = transition @ P @ transition.T + noise
        return {**at, "initial_state": np.zeros(k * lags), "initial_state_cov": P}
    return {**at, "initial_state": np.array(mean, float), "initial_state_cov": np.eye(k * lags)}


@every_case
def test_likelihood_and_states_are_those_of_the_joint_distribution(key: str) -> None:
    model = model_of(key)
    params = params_of(model)
    expected, res = dense(Y, by_hand(model, params)), model.smooth(params)
    assert_allclose([model.loglike(params), res.llf], expected.llf, rtol=1e-10)
    assert_allclose(res.smoothed_state.T, expected.smoothed_state, rtol=1e-8, atol=1e-10)


@every_case
def test_score_and_em(key: str) -> None:
    model = model_of(key)
    params = params_of(model)
    numerical = richardson_gradient(model.loglike, params, step=1e-3 * np.ones(len(params)), levels=3)
    assert_allclose(model.score(params), numerical, rtol=1e-6, atol=1e-6)
    llf = model.fit(params, method="em", maxiter=8, tolerance=0, cov_type="none").em_trace["llf"]
    assert np.all(np.diff(llf) >= -1e-9 * np.abs(llf.iloc[1:])) and llf.iloc[-1] > llf.iloc[0]


def test_names_tables_and_later_data() -> None:
    model = model_of("one factor")
    params = params_of(model)
    res = model.smooth(params)
    assert "loading.f1.L1->y1" in model.param_names and "L2.f1->f1" in model.param_names
    assert model.state_names == ["f1", "f1.L1"] == res.factors.smoothed.columns.tolist()
    assert res.matrices["design"].columns.tolist() == ["f1", "f1.L1"]
    assert pickle.loads(pickle.dumps(res)).llf == res.llf == model.clone(Y).loglike(params)
    first = model.clone(Y[:25]).smooth(params)
    assert_allclose(first.append(Y[25:]).llf, res.llf, rtol=1e-10)
    at = res.matrices
    state = at["transition"].to_numpy() @ res.predicted_state[:, -1]
    ahead = at["obs_intercept"].to_numpy()[:, 0] + at["design"].to_numpy() @ state
    assert_allclose(res.forecast(2)[1], ahead, rtol=1e-9)


def test_a_fit_finds_loadings_on_the_lag() -> None:
    rng, f = np.random.default_rng(1), np.zeros(200)
    for t in range(1, 200):
        f[t] = 0.6 * f[t - 1] + rng.normal()
    loadings = np.array([[1.0, 0.5], [0.8, -0.4], [0.3, 1.0]])
    y = np.column_stack([f[1:], f[:-1]]) @ loadings.T + 0.3 * rng.normal(size=(199, 3))
    res = sse.LGSSM(
        y, 1, 2, design=[[1, np.nan], [np.nan] * 2, [np.nan] * 2], transition=["free", "zero"]
    ).fit()
    found = res.matrices["design"].to_numpy()
    assert res.converged and np.all(np.abs(found - loadings)[:, 0] < 4 * 0.1)
    assert pd.Series(res.bse).notna().all()


def test_what_is_refused() -> None:
    with pytest.raises(sse.UnsupportedError, match="state_mean cannot be combined with a design on lags"):
        model_of("one factor", state_mean="free")
    with pytest.raises(sse.SpecificationError, match="design has the wrong shape"):
        model_of("one factor", design=np.ones((3, 3)))
