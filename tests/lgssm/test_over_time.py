"""Free elements in matrices that vary over time: compared with statsmodels, dense Gaussians, regressions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import expected_terms
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.numerics.differences import central_differences

N, BREAK = 60, 25
X = np.random.default_rng(5).uniform(0.5, 1.5, N)
KNOWN = {
    "initialization": "known",
    "initial_state": [0.3, -0.2],
    "initial_state_cov": [[1.0, 0.2], [0.2, 0.8]],
}


def by_period(rows: tuple[int, ...], item: Any) -> np.ndarray:
    """Return an array of objects, time last, whose period t is item(t)."""
    out = np.empty((*rows, N), dtype=object)
    for t in range(N):
        out[..., t] = np.array(item(t), dtype=object).reshape(rows)
    return out


def season(t: int) -> int:
    return t % 4


OBS_COV = by_period((2, 2), lambda t: [["r1", "c"], ["c", "r2"]] if t < BREAK else [["s1", 0], [0, "2.5*r2"]])
DIAGONAL = by_period((2, 2), lambda t: [["a", 0], [0, "b"]] if t < BREAK else [["2*a", 0], [0, "c"]])
SCALED = by_period((2, 2), lambda t: [[f"{X[t]}*a", f"{X[t]}*c"], [f"{X[t]}*c", f"{X[t]}*b"]])
DESIGN = by_period((2, 2), lambda t: [[1, 0], [f"z{season(t)}", f"0.5*z0 + {X[t]}*g"]])
TRANSITION = by_period((2, 2), lambda t: [["p" if season(t) else "q", 0.1], [0, "0.5*p + 0.2"]])
STATE_COV = by_period((2, 2), lambda t: [["v + w", 0], [0, "w"]] if t < BREAK else [["w", 0], [0, "v"]])
INTERCEPT = by_period((2,), lambda t: ["m", 1.0] if t < BREAK else ["m + h", "2*h"])
CASES: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "obs_cov": ({"obs_cov": OBS_COV}, {"r1": 1.0, "c": 0.3, "r2": 0.7, "s1": 2.0}),
    "diagonal obs_cov": ({"obs_cov": DIAGONAL}, {"a": 1.0, "b": 0.6, "c": 2.0}),
    "obs_cov known x free": ({"obs_cov": SCALED}, {"a": 1.0, "b": 0.6, "c": 0.2}),
    "design": ({"design": DESIGN}, {"z0": 0.5, "z1": -0.4, "z2": 1.0, "z3": 0.2, "g": 0.8}),
    "transition": ({"transition": TRANSITION}, {"p": 0.6, "q": -0.3}),
    "state_cov": ({"state_cov": STATE_COV}, {"v": 0.5, "w": 0.9}),
    "obs_intercept": ({"obs_intercept": INTERCEPT}, {"m": 0.4, "h": -0.7}),
    "state_intercept": ({"state_intercept": INTERCEPT}, {"m": 0.4, "h": -0.7}),
}  # fmt: skip
DRIFT = by_period((2,), lambda t: ["u" if season(t) else 0, "u"])
CASES["all"] = (
    {
        "obs_cov": OBS_COV, "design": DESIGN, "transition": TRANSITION, "state_cov": STATE_COV,
        "obs_intercept": INTERCEPT, "state_intercept": DRIFT,
    },
    {name: value for case in list(CASES.values()) for name, value in case[1].items() if name not in "ab"}
    | {"u": 0.2},
)  # fmt: skip
BASE: dict[str, Any] = {
    "design": [[1, 0], [0.5, 1]], "transition": [["f", 0.1], [0, 0.5]], "obs_intercept": "zero",
    "obs_cov": [[1.0, 0.2], [0.2, 0.8]], "state_cov": [[0.6, 0.1], [0.1, 0.5]],
}  # fmt: skip
REST = {"f": 0.7}


def data(missing: bool = True) -> np.ndarray:
    rng = np.random.default_rng(3)
    y = np.cumsum(rng.normal(size=(N, 2)), axis=0) * 0.3 + rng.normal(size=(N, 2))
    if missing:
        y[rng.random((N, 2)) < 0.15] = np.nan
        y[7] = y[BREAK] = np.nan
    return y


def model(case: str, missing: bool = True, **more: Any) -> tuple[sse.LGSSM, np.ndarray]:
    """Return a model and parameters."""
    arguments, values = CASES[case]
    built = sse.LGSSM(data(missing), 2, **{**BASE, **KNOWN, **arguments, **more})
    return built, np.array([{**REST, **values}[name] for name in built.param_names])


def number(item: Any, values: Mapping[str, float]) -> float:
    """Return the value of an element, by Python's own arithmetic."""
    return float(eval(compiled(item), {}, dict(values))) if isinstance(item, str) else float(item)


@cache
def compiled(text: str) -> Any:
    return compile(text, "element", "eval")


def numbers(case: str, values: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:
    """Return the matrices of a case, at its parameters or others."""
    arguments, default = CASES[case]
    values = {**REST, **default, **(values or {})}
    out = {}
    for name, spec in {**BASE, "state_intercept": [0, 0], **arguments}.items():
        if isinstance(spec, str):
            spec = np.zeros(2)
        array = np.array(spec, dtype=object)
        out[name] = np.array([number(item, values) for item in array.ravel()]).reshape(array.shape)
    return out


def plain(case: str, y: np.ndarray, kind: str = "known") -> MLEModel:
    """Return a model of statsmodels with the matrices of a case."""
    out = MLEModel(y, k_states=2, k_posdef=2)
    out.ssm["selection"] = np.eye(2)
    for name, value in numbers(case).items():
        out.ssm[name] = value[:, None] if value.ndim == 1 else value
    if kind == "diffuse":
        out.ssm.initialize_diffuse()
    else:
        out.ssm.initialize_known(
            *(np.asarray(KNOWN[name]) for name in ("initial_state", "initial_state_cov"))
        )
    return out


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("missing", [False, True])
def test_likelihood_is_that_of_statsmodels(case: str, missing: bool) -> None:
    ours, params = model(case, missing)
    assert_allclose(ours.loglike(params), plain(case, data(missing)).ssm.loglike(), rtol=1e-10)
    at = ours.matrices(params)
    for name, value in numbers(case).items():
        mine = at[name] if at[name].shape[1] > 1 else at[name][:, 0]
        assert_allclose(mine, value, rtol=1e-12, atol=1e-14, err_msg=name)


def test_likelihood_of_a_diffuse_start_is_that_of_statsmodels() -> None:
    ours, params = model("obs_cov", initialization="diffuse", initial_state=None, initial_state_cov=None)
    assert_allclose(ours.loglike(params), plain("obs_cov", data(), "diffuse").ssm.loglike(), rtol=1e-9)


def richardson(ours: sse.LGSSM, params: np.ndarray, step: float = 4e-3) -> np.ndarray:
    """Return differences of the log-likelihood without their errors of order two and four."""
    values = []
    for h in (step, step / 2, step / 4):
        moved = [params + h * sign * row for row in np.eye(len(params)) for sign in (1, -1)]
        each = np.array([ours.loglike(at) for at in moved]).reshape(-1, 2)
        values.append((each[:, 0] - each[:, 1]) / (2 * h))
    first, second = ((4 * b - a) / 3 for a, b in zip(values, values[1:], strict=False))
    return (16 * second - first) / 15


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("missing", [False, True])
def test_score_is_the_derivative_of_the_likelihood(case: str, missing: bool) -> None:
    ours, params = model(case, missing)
    score = ours.score(params)
    size = np.abs(score).max()
    assert_allclose(score, central_differences(ours.loglike, params), rtol=1e-6, atol=1e-6 * size)
    assert_allclose(score, richardson(ours, params), rtol=1e-8, atol=1e-8 * size)


STARTS: dict[str, dict[str, Any]] = {
    "stationary": {"initialization": "stationary"},
    "diffuse": {"initialization": "diffuse"},
    "mixed": {"initialization": ["diffuse", "stationary"]},
    "estimated": {"initialization": "estimated", "initial_state": ["i0", "i1"]},
}


@pytest.mark.parametrize("start", STARTS)
def test_score_with_other_starts(start: str) -> None:
    intercepts = {**CASES["obs_cov"][0], **CASES["state_intercept"][0]}
    more: dict[str, Any] = {"initial_state": None, "initial_state_cov": None, **intercepts, **STARTS[start]}
    constant = {"transition": [[0.9, 0], [0, 0.5]]} if start in ("mixed", "diffuse") else {}
    ours = sse.LGSSM(data(), 2, **{**BASE, **more, **constant})
    values = {**REST, **CASES["obs_cov"][1], **CASES["state_intercept"][1], "i0": 0.4, "i1": -0.1}
    params = np.array([values[name] for name in ours.param_names])
    assert_allclose(ours.score(params), richardson(ours, params), rtol=1e-7, atol=1e-7)


# -- EM ----------------------------------------------------------------------------------------------------

PARTS = {
    "obs": ("design", "obs_intercept", "obs_cov"),
    "state": ("transition", "state_intercept", "state_cov"),
}


def joined(case: str, keys: tuple[str, str, str], values: Mapping[str, float]) -> np.ndarray:
    """Return [Z_t | d_t] or [T_t | c_t], (n, 2, 3)."""
    at = numbers(case, values)
    matrix, intercept = (at[key] if at[key].shape[-1:] == (N,) else at[key][..., None] for key in keys[:2])
    parts = np.broadcast_to(matrix, (2, 2, N)), np.broadcast_to(intercept[:, None], (2, 1, N))
    return np.moveaxis(np.concatenate(parts, axis=1), 2, 0)


def covs(case: str, key: str, values: Mapping[str, float]) -> np.ndarray:
    cov = numbers(case, values)[key]
    return np.moveaxis(np.broadcast_to(cov if cov.ndim == 3 else cov[..., None], (2, 2, N)), 2, 0)


def slopes(function: Any, values: dict[str, float], names: list[str]) -> list[np.ndarray]:
    """Return the derivatives of an affine function by parameter, which are differences of step one."""
    return [function({**values, name: values[name] + 1.0}) - function(values) for name in names]


def dense_step(case: str, y: np.ndarray, values: dict[str, float]) -> tuple[dict[str, float], list[Any]]:
    """
    Return the parameters after one step for the coefficients, and the later objective of each covariance.

    The moments are those of one Gaussian vector of all states and observations. Weighted least squares sums
    them over the periods in which a parameter stands.
    """
    at = {**numbers(case, values), **{key: np.asarray(KNOWN[key]) for key in list(KNOWN)[1:]}}
    terms = dict(zip(PARTS, expected_terms(y, {**at, "selection": np.eye(2)}), strict=False))
    seen = ~np.isnan(y).all(axis=1)
    out, objectives = dict(values), []
    for part, keys in PARTS.items():
        periods = [t for t in range(len(terms[part])) if part == "state" or seen[t]]
        names = [
            n
            for n, move in zip(
                values, slopes(lambda v, k=keys: joined(case, k, v), values, list(values)), strict=True
            )
            if np.any(move[periods])
        ]
        moves = slopes(lambda v, k=keys: joined(case, k, v), values, names)
        weights = np.linalg.inv(covs(case, keys[2], values))
        normal, right = np.zeros((len(names),) * 2), np.zeros(len(names))
        for t in periods:
            _, eb, bb = terms[part][t]
            for i, one in enumerate(moves):
                right[i] += np.sum(weights[t] @ eb * one[t])
                for j, other in enumerate(moves):
                    normal[i, j] += np.sum(weights[t] @ other[t] @ bb * one[t])
        for name, step in zip(names, np.linalg.solve(normal, right) if names else [], strict=True):
            out[name] += step
        change = joined(case, keys, out) - joined(case, keys, values)
        residuals = {}
        for t in periods:
            ee, eb, bb = terms[part][t]
            cross = eb @ change[t].T
            residuals[t] = ee - cross - cross.T + change[t] @ bb @ change[t].T
        objectives.append((keys[2], residuals))
    return out, objectives


def expected_loglike(
    case: str, key: str, residuals: dict[int, np.ndarray], values: dict[str, float]
) -> float:
    cov = covs(case, key, values)
    each = (
        np.linalg.slogdet(cov[t])[1] + np.trace(np.linalg.solve(cov[t], ee)) for t, ee in residuals.items()
    )
    return -0.5 * sum(each)


def one_step(ours: sse.LGSSM, params: np.ndarray) -> dict[str, float]:
    res = ours.fit(params, method="em", maxiter=1, tolerance=0)
    return dict(zip(ours.param_names, np.asarray(res.params), strict=True))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("missing", [False, True])
def test_one_em_step_is_that_of_dense_moments(case: str, missing: bool) -> None:
    ours, params = model(case, missing)
    values = dict(zip(ours.param_names, params.tolist(), strict=True))
    wanted, objectives = dense_step(case, data(missing), values)
    found = one_step(ours, params)
    for key, residuals in objectives:
        free = [
            name for name in values if np.any(slopes(lambda v, k=key: covs(case, k, v), values, [name])[0])
        ]
        for name in free:
            wanted[name] = found[name]
            up, down = ({**found, name: found[name] + sign * 1e-5} for sign in (1, -1))
            both = (expected_loglike(case, key, residuals, at) for at in (up, down))
            assert abs(np.subtract(*both)) / 2e-5 < 1e-5 * len(residuals), name  # at the maximum
    assert_allclose([found[name] for name in values], [wanted[name] for name in values], rtol=1e-8)


def test_one_em_step_of_variances_is_a_mean_over_the_periods_of_each() -> None:
    ours, params = model("diagonal obs_cov", missing=False)
    values = dict(zip(ours.param_names, params.tolist(), strict=True))
    _, ((_, residuals), _) = dense_step("diagonal obs_cov", data(False), values)
    first, second = (np.array([ee[i, i] for ee in residuals.values()]) for i in (0, 1))
    scale = np.where(np.arange(N) < BREAK, 1.0, 2.0)
    found = one_step(ours, params)
    assert_allclose(found["a"], np.mean(first / scale), rtol=1e-10)
    assert_allclose(found["b"], np.mean(second[:BREAK]), rtol=1e-10)
    assert_allclose(found["c"], np.mean(second[BREAK:]), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
@pytest.mark.parametrize("method", ["em", "accelerated-em"])
@pytest.mark.parametrize("case", CASES)
def test_em_never_lowers_the_likelihood(case: str, method: str) -> None:
    ours, params = model(case)
    llf = ours.fit(params, method=method, maxiter=12, tolerance=0, cov_type="none").em_trace["llf"].to_numpy()
    assert len(llf) > 5
    assert np.all(np.diff(llf) > -1e-9)
    assert llf[-1] > llf[0] + 0.5


@pytest.mark.parametrize("case", ["diagonal obs_cov", "transition", "design", "state_intercept"])
def test_em_and_a_gradient_method_reach_the_same_maximum(case: str) -> None:
    ours, _ = model(case)
    by_em, by_score = ours.fit(method="accelerated-em"), ours.fit(method="lbfgs")
    assert by_em.converged
    assert by_score.converged
    assert_allclose(by_em.llf, by_score.llf, atol=1e-5)
    assert_allclose(by_em.params, by_score.params, atol=1e-2)


ZERO_FIRST = by_period((2, 2), lambda t: [["r" if t > 3 else 0, 0], [0, 1]])
STATIONARY = {"initialization": "stationary", "initial_state": None, "initial_state_cov": None}
EM_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "stationary": (
        {"state_intercept": INTERCEPT, **STATIONARY},
        "state_intercept has free elements that vary over time, under a stationary start",
    ),
    "no noise at times": (
        {"obs_cov": ZERO_FIRST, "obs_intercept": INTERCEPT},
        "obs_intercept has free elements in a row where obs_cov is fixed at zero",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EM_REFUSED)
def test_em_refused_by_name(case: str) -> None:
    arguments, words = EM_REFUSED[case]
    ours = sse.LGSSM(data(), 2, **{**BASE, **KNOWN, **arguments})
    with pytest.raises(sse.UnsupportedError, match=words) as caught:
        ours.fit(method="em")
    assert "lbfgs" in str(caught.value) or "auto" in str(caught.value)
    assert ours.fit(method="lbfgs").converged


@pytest.mark.parametrize("later", ["b", "a"])
def test_appended_periods_may_be_given_with_those_of_the_sample(later: str) -> None:
    rng = np.random.default_rng(0)
    endog, design = rng.normal(size=(30, 2)), np.full((2, 1, 30), 1.0, dtype=object)
    design[1, 0] = ["a"] * 10 + ["b"] * 10 + [later] * 10
    model = sse.LGSSM(endog[:20], 1, design=design[..., :20])
    res = model.smooth(np.linspace(0.3, 0.6, len(model.param_names)))
    expected = res.append(endog[20:], design=design[..., 20:])
    assert_allclose(res.append(endog[20:], design=design).llf, expected.llf, rtol=1e-12)
    constant = np.where(design == "b", "a", design)
    expected = res.append(endog[20:], design=constant[..., 20:])
    assert_allclose(res.append(endog[20:], design=constant).llf, expected.llf, rtol=1e-12)
