"""Starts of `LGSSM` that differ by factor: likelihood, states, score, EM, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import dense, dense_diffuse, richardson_gradient
from statsmodels.tsa.statespace.structural import UnobservedComponents

import statespace_ext as sse

RNG = np.random.default_rng(11)
N = 40
LEVEL = RNG.normal(scale=0.5, size=N).cumsum() + 5.0
Y = np.column_stack([LEVEL, 0.5 * LEVEL]) + RNG.normal(size=(N, 2))
Y[3, 0] = Y[10:12, 1] = np.nan

MIXES: dict[str, dict[str, Any]] = {
    "a trend and a cycle": {
        "k_factors": 2, "design": [[1, 1], [0.5, 1]], "transition": [[1, 0], [0, "phi"]],
        "state_intercept": [0, "c"], "state_cov": [["q", "w"], ["w", "s"]],
        "initialization": ["diffuse", "stationary"],
    },
    "two lags": {
        "k_factors": 2, "lags": 2, "design": [[1, 1], [0.5, 1]],
        "transition": [[["phi", 0], [0.2, 2]], [["b", 0], [0, -1]]], "state_mean": ["m", 0],
        "state_cov": [["q", 0], [0, "s"]], "initialization": ["stationary", "known"],
        "initial_state": [0, 1, 0, 1], "initial_state_cov": np.diag([0, 2.0, 0, 2.0]),
    },
    "a known factor, a stationary and a vague one": {
        "k_factors": 3, "design": [[1, "z", 1], [0, 1, 0.5]],
        "transition": [["phi", 0, 0], [0, 1, 0], [0, 0.1, 0.5]], "state_cov": "diagonal",
        "initialization": ["stationary", "approximate_diffuse", "known"], "initial_state": [0, 0, 2],
        "initial_state_cov": np.diag([0, 0, 3.0]),
    },
    "all four": {
        "k_factors": 4, "design": [[1, 1, 0, 1], [0, 1, 1, 1]], "state_cov": "diagonal",
        "transition": [[1, 0.5, 0, 0], [0, 0.5, 0, 0], [0, 0, "phi", 0], [0, 0.2, 0, 0.9]],
        "initialization": ["diffuse", "known", "stationary", "approximate_diffuse"],
        "initial_state": [0, 1, 0, 0], "initial_state_cov": np.diag([0, 2.0, 0, 0]),
    },
}  # fmt: skip
VALUES = {"phi": 0.6, "b": 0.1, "c": 0.3, "m": 1.5, "z": 0.7, "q": 0.4, "s": 0.9, "w": 0.2}
every_mix = pytest.mark.parametrize("key", MIXES)


def model_of(key: str, **change: Any) -> sse.LGSSM:
    return sse.LGSSM(Y, obs_intercept="zero", obs_cov="diagonal", **{**MIXES[key], **change})


def params_of(model: sse.LGSSM) -> np.ndarray:
    return np.array([VALUES.get(name, 0.5) for name in model.param_names])


def dense_of(model: sse.LGSSM, params: np.ndarray) -> Any:
    """The dense Gaussian, its stationary part from a long sum of powers."""
    system = model.system(params)
    at = {name: np.array(getattr(system, name)) for name in
          "design obs_intercept obs_cov transition state_intercept selection state_cov".split()}  # fmt: skip
    size = model.k_states
    kinds = np.tile(model._given["initialization"], model.lags)
    keep = np.flatnonzero(kinds == "stationary")
    T = at["transition"][np.ix_(keep, keep)]
    W = (at["selection"] @ at["state_cov"] @ at["selection"].T)[np.ix_(keep, keep)]
    mean, cov, power = np.zeros(size), np.zeros((size, size)), np.eye(len(keep))
    if model._given["initial_state"] is not None:
        mean, cov = (
            np.array(model._given["initial_state"], float),
            np.array(model._given["initial_state_cov"]),
        )
    for _ in range(2000):
        cov[np.ix_(keep, keep)] += power @ W @ power.T
        mean[keep] += power @ at["state_intercept"][keep]
        power = T @ power
    cov = cov + np.diag(np.where(kinds == "approximate_diffuse", 1e6, 0.0))
    at |= {"initial_state": mean, "initial_state_cov": cov}
    diffuse = kinds == "diffuse"
    return dense_diffuse(Y, at, diffuse) if diffuse.any() else dense(Y, at)


@every_mix
def test_likelihood_and_states_are_those_of_the_joint_distribution(key: str) -> None:
    model = model_of(key)
    params = params_of(model)
    expected, res = dense_of(model, params), model.smooth(params)
    rtol = 1e-6 if "approximate_diffuse" in MIXES[key]["initialization"] else 1e-9
    assert_allclose([model.loglike(params), res.llf], expected.llf, rtol=rtol)
    assert_allclose(res.smoothed_state.T, expected.smoothed_state, rtol=1e-5, atol=1e-6)
    start = np.diag(res.matrices["initial_state_cov"])
    assert np.array_equal(np.isinf(start), model.starts == "diffuse")


@every_mix
def test_score_is_that_of_the_log_likelihood(key: str) -> None:
    model = model_of(key)
    params = params_of(model)
    numerical = richardson_gradient(model.loglike, params, step=1e-3 * np.ones(len(params)), levels=3)
    assert_allclose(model.score(params), numerical, rtol=1e-6, atol=1e-6)


@every_mix
def test_em_rises(key: str) -> None:
    model = model_of(key)
    llf = model.fit(params_of(model), method="em", maxiter=8, tolerance=0, cov_type="none").em_trace["llf"]
    assert np.all(np.diff(llf) >= -1e-9 * np.abs(llf.iloc[1:])) and llf.iloc[-1] > llf.iloc[0] + 0.1


@pytest.mark.slow  # six starts
def test_the_maximum_is_not_below_that_of_statsmodels() -> None:
    y = Y[:, 0]
    theirs = UnobservedComponents(y, level="llevel", autoregressive=1, use_exact_diffuse=True)
    start = {"k_factors": 2, "initialization": ["diffuse", "stationary"], "obs_intercept": "zero"}
    model = sse.LGSSM(
        y, design=[[1, 1]], transition=[[1, 0], [0, "phi"]], state_cov=[["q", 0], [0, "s"]], **start
    )
    values = {"obs_var.y": 0.2, "q": 0.3, "s": 1.1, "phi": 0.6}
    assert_allclose(model.loglike(values), theirs.loglike([*values.values()]), rtol=1e-10)
    res = model.fit(cov_type="none")
    assert res.converged and res.llf >= theirs.fit(disp=False, maxiter=200).llf - 1e-6


def test_results_go_on_and_survive_a_pickle() -> None:
    model = model_of("a trend and a cycle")
    res = model.smooth(params_of(model))
    again = pickle.loads(pickle.dumps(res))
    assert again.llf == res.llf and again.model.loglike(res.params) == res.llf
    assert model.clone(Y).loglike(res.params) == res.llf
    first = model.clone(Y[:30]).smooth(res.params)
    assert_allclose(first.append(Y[30:]).llf, res.llf, rtol=1e-10)
    assert_allclose(first.extend(Y[30:]).smoothed_state[:, -1], res.smoothed_state[:, -1], rtol=1e-8)
    assert "initialization=('diffuse', 'stationary')" in repr(model)


def test_one_start_for_all_is_that_start() -> None:
    one = model_of("a trend and a cycle", transition="diagonal", initialization=["stationary"] * 2)
    assert one._given["initialization"] == "stationary" and one.initialization_kind == "stationary"


def test_orders_compare_by_the_number_of_diffuse_states() -> None:
    def model(lags: int) -> sse.LGSSM:
        start = ["approximate_diffuse", "stationary"]
        return model_of(
            "a trend and a cycle", lags=lags, transition=[np.eye(2) / 4] * lags, initialization=start
        )

    with pytest.raises(sse.SpecificationError, match="different numbers of diffuse states.*got 2 for"):
        sse.select_order(model, lags=[1, 2])


def test_rolling_windows_leave_a_known_start_behind() -> None:
    with pytest.raises(sse.SpecificationError, match="A known start applies to the first period"):
        sse.rolling_fit(model_of("all four"), 30, expanding=False)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"initialization": ["diffuse", "estimated"]}, "unknown: got .*; expected .*or a list with"),
    "length": ({"initialization": ["diffuse"] * 3}, "wrong length: got 3; expected 2, one per factor"),
    "no list": ({"initialization": {"f1": "diffuse"}}, "initialization is unknown"),
    "dependence": (
        {"transition": [[1, 0], ["a", "phi"]]}, "must not depend on a factor with another start",
    ),
    "lags": (
        {"lags": 2, "transition": [[["a", 0], [0, 1]], [["b", 0], [0, 0]]], "state_intercept": "zero",
         "initialization": ["stationary", "diffuse"]}, "have a factor with a diffuse start",
    ),
    "apart": (
        {"k_factors": 3, "initialization": ["stationary", "diffuse", "stationary"],
         "transition": [["a", 0, 0], [0, 1, 0], ["b", 0, "c"]], "state_cov": "diagonal",
         "state_intercept": "zero",
         "design": [[1, 1, 1]] * 2}, "start between them: got stationary, diffuse, stat",
    ),
    "root": ({"transition": [[1, 0], [0, 1.0]]}, "not stationary: got largest root 1"),
    "loadings": ({"design": [[1, 1], ["z", 1]]}, "unbounded: free elements of design scale states"),
    "known without its state": ({"initialization": ["diffuse", "known"]}, "needs initial_state and initial"),
    "a state that is not known": (
        {"initialization": ["diffuse", "known"], "initial_state": [1, 1], "initial_state_cov": "zero"},
        'must be zero for a state whose initialization is not "known": got starts diffuse, known',
    ),
    "free": (
        {"initialization": ["diffuse", "known"], "initial_state": [0, "a"], "initial_state_cov": "zero"},
        "has free elements in initial_state",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_refused(key: str) -> None:
    change, message = REFUSED[key]
    with pytest.raises(sse.SpecificationError, match=message):
        model_of("a trend and a cycle", **change)


def test_a_root_outside_is_an_error_of_the_parameters() -> None:
    model = model_of("a trend and a cycle")
    params = np.where(np.array(model.param_names) == "phi", 1.2, params_of(model))
    with pytest.raises(sse.ParameterError, match="largest root 1.2"):
        model.loglike(params)


@pytest.mark.parametrize(
    "options",
    [
        {"identification": "triangular"},
        {"identification": "unit", "lags": 2},
        {"identification": "triangular", "state_mean": "free", "obs_intercept": "zero"},
        {"identification": "unit", "initialization": "approximate_diffuse"},
    ],
)
def test_start_values_of_many_series_are_close_to_the_maximum(options: dict[str, Any]) -> None:
    """Ten iterations of EM in the normalised coordinates end tens below the maximum."""
    rng = np.random.default_rng(5)
    x = np.zeros((100, 3))
    for t in range(1, 100):
        x[t] = 0.3 + np.array([0.9, 0.7, 0.4]) * x[t - 1] + rng.standard_normal(3)
    y = x @ rng.standard_normal((3, 25)) + rng.standard_normal((100, 25))
    y[rng.random(y.shape) < 0.05] = np.nan
    model = sse.LGSSM(y, 3, **options)
    start = model.loglike(model.start_params)
    res = model.fit(cov_type="none")
    assert res.converged
    assert res.llf - 1.0 < start < res.llf


# -- a design that is zero at first --------------------------------------------------------------------------


def moving_coefficients(first: float, n: int = 80, **options: Any) -> sse.LGSSM:
    """Return y_t = Z_t x_t + eps_t with random walks x_t; the first row has no data, and another design."""
    rng = np.random.default_rng(8)
    Z = np.stack([np.ones(n), rng.standard_normal(n)])[None]
    x = np.cumsum(0.5 * rng.standard_normal((n, 2)), axis=0)
    y = np.einsum("ikt,tk->ti", Z, x) + rng.standard_normal((n, 1))
    y[0], Z[..., 0] = np.nan, first
    given = {
        "obs_intercept": "zero",
        "transition": "identity",
        "state_cov": "diagonal",
        "initialization": "diffuse",
    }
    return sse.LGSSM(y, 2, design=Z, **{**given, **options})


@pytest.mark.parametrize("initialization", ["diffuse", "estimated"])
def test_a_design_of_an_empty_row_does_not_matter(initialization: str) -> None:
    models = [moving_coefficients(first, initialization=initialization) for first in (0.0, 1.0, -3.0)]
    fits = [model.fit(cov_type="none") for model in models]
    assert all(res.converged for res in fits)
    assert_allclose([res.llf for res in fits], fits[1].llf, rtol=1e-6)


# -- states that the data never determine --------------------------------------------------------------------


def test_states_that_the_data_never_determine_have_no_estimate() -> None:
    """Of two levels of one series only the sum is known; the other series is as in a model of its own."""
    y = np.cumsum(np.random.default_rng(1).standard_normal((30, 2)), axis=0)
    given = {
        "transition": "identity",
        "obs_intercept": "zero",
        "state_cov": "diagonal",
        "initialization": "diffuse",
    }
    three = sse.LGSSM(y, 3, design=[[1, 1, 0], [0, 0, 1]], obs_cov=np.eye(2), **given)
    res = three.smooth([0.4, 0.3, 0.5])
    alone = sse.LGSSM(y[:, 1], 1, design=[[1]], obs_cov=[[1.0]], **given).smooth([0.5])
    found, want = res.factors, alone.factors
    assert found.smoothed.iloc[:, :2].isna().all(axis=None) and found.smoothed_se.iloc[:, :2].isna().all(
        axis=None
    )
    assert_allclose(found.smoothed["f3"], want.smoothed["f1"], rtol=1e-8)
    assert_allclose(found.smoothed_se["f3"], want.smoothed_se["f1"], rtol=1e-8)
    x = np.column_stack([np.ones(30), np.ones(30), np.arange(30.0)])
    twice = sse.DynamicRegression(y[:, 0], x).smooth([1.0])
    assert twice.coefficients["x1"].smoothed.isna().all(axis=None)
    assert twice.coefficients["x1"].smoothed_se.isna().all(axis=None)
    assert twice.coefficients["x3"].smoothed.notna().all(axis=None)
