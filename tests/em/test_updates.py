"""The M-step against brute force: dense expected likelihoods, numerical maxima, textbook formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import dense, expected_sums, richardson_gradient
from systems import ExpectedLikelihood, dense_llf, dense_system, draw_params, examples, maximise, sampled

from statespace_ext.em.driver import EMOptions, run_em
from statespace_ext.em.regressions import Moments
from statespace_ext.em.updates import StationaryTerm, companion_structure
from statespace_ext.fit.problem import EstimationProblem
from statespace_ext.lgssm.model import LGSSM

NAN = np.nan
rng = np.random.default_rng(30)
N = 10
X, U = rng.standard_normal((N, 2)), rng.standard_normal((N, 1))
DESIGN = np.array([[1.0, 0.0], [0.5, 1.0], [-0.3, 0.7]])
BAND = [[NAN, NAN, 0], [NAN, NAN, NAN], [0, NAN, NAN]]
SUMS = [["v", 0, 0], [0, "v + w", 0], [0, 0, "w"]]
KNOWN = {"initialization": "known", "initial_state": [0.5, 0], "initial_state_cov": [[1, 0.2], [0.2, 0.5]]}

SPECIFICATIONS: dict[str, dict] = {
    "known": KNOWN,
    "known, full obs_cov": KNOWN | {"obs_cov": "unstructured"},
    "known, full obs_cov, restricted": KNOWN | {
        "obs_cov": "unstructured", "design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]],
        "transition": [["g", "h"], [0, "g - h"]],
    },
    "known, intercepts, regressors": KNOWN | {"exog": X, "state_exog": U, "state_intercept": "free"},
    "known, mean": KNOWN | {"state_mean": "free", "obs_intercept": "zero"},
    "known, scalar": KNOWN | {"obs_cov": "scalar", "state_cov": "scalar"},
    "known, equicorrelated": KNOWN | {"obs_cov": "equicorrelated", "state_cov": "equicorrelated"},
    "known, zero pattern": KNOWN | {"obs_cov": BAND},
    "known, fixed variance": KNOWN | {"obs_cov": [[1, NAN, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]]},
    "known, sums": KNOWN | {"obs_cov": SUMS},
    "known, shared covariances": KNOWN | {
        "obs_cov": [["v", 0, 0], [0, "2*v", 0], [0, 0, 1]], "state_cov": [["v", 0], [0, "v + w"]],
    },
    "known, zero rows": KNOWN | {"obs_cov": np.diag([NAN, NAN, 0]), "design": [[NAN] * 2, [NAN] * 2, [1, 0]],
                                 "obs_intercept": [NAN, NAN, 0]},
    "known, varying covariances": KNOWN | {
        "obs_cov": np.stack([np.diag([1 + 0.1 * t, 1, 2]) for t in range(N)], axis=-1),
        "state_cov": np.stack([np.diag([1, 0.5 + 0.1 * t]) for t in range(N)], axis=-1),
        "design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]],
    },
    "known, varying covariances, free elements": KNOWN | {
        "obs_cov": np.stack([np.diag([1 + 0.1 * t, NAN, NAN]) for t in range(N)], axis=-1),
        "state_cov": np.stack([np.diag([NAN, 0.5 + 0.1 * t]) for t in range(N)], axis=-1),
    },
    "known, varying intercepts": KNOWN | {
        "obs_intercept": rng.standard_normal((3, N)), "state_intercept": rng.standard_normal((2, N)),
    },
    "stationary": {},
    "stationary, restricted": {"transition": [["g", "h"], [0, "g - h"]], "state_cov": "diagonal"},
    "stationary, mean": {"state_mean": "free"},
    "stationary, fixed mean": {"state_mean": [1.0, -2.0]},
    "stationary, intercept": {"state_intercept": "free", "obs_intercept": "zero"},
    "stationary, two lags": {"lags": 2, "transition": ["diagonal", "free"]},
    "stationary, regressors": {"exog": X, "state_exog": U},
    "estimated": {"initialization": "estimated", "initial_state_cov": "free"},
    "estimated, two lags": {"initialization": "estimated", "initial_state_cov": "diagonal", "lags": 2},
    "estimated, mean shared": {
        "initialization": "estimated", "initial_state": ["m", "2*m"], "initial_state_cov": "free",
    },
    "diffuse": {"design": DESIGN, "initialization": "diffuse"},
    "diffuse, full obs_cov, strings": {
        "design": DESIGN, "initialization": "diffuse", "transition": [["g", 0], ["1 - g", "g"]],
        "obs_cov": BAND,
    },
    "approximate diffuse": {"initialization": "approximate_diffuse"},
}  # fmt: skip

BLOCKS = {
    "observation coefficients": ("design", "obs_intercept", "obs_coef"),
    "state coefficients": ("transition", "state_intercept", "state_coef", "state_mean"),
    "obs_cov and state_cov": ("obs_cov", "state_cov"),
}


def case(name: str, missing: float = 0.3, seed: int = 31, n: int = N) -> tuple[LGSSM, np.ndarray]:
    """A model of a specification, and parameters that are not those of its sample."""
    model, _ = sampled(np.random.default_rng(seed), n, 3, 2, missing=missing, **SPECIFICATIONS[name])
    return model, draw_params(np.random.default_rng(seed + 1), model)


def updates_of(problem: EstimationProblem) -> list:
    return [update for cycle in problem.updates.cycles() for update in cycle]


def places(model: LGSSM, name: str) -> np.ndarray:
    """The parameters that an update may change."""
    keys = BLOCKS.get(name, (name,))
    return np.unique(np.concatenate([model.layout.index[key] for key in keys]))


def maximised(
    problem: EstimationProblem, params: np.ndarray, moments: Moments, rounds: int = 1
) -> np.ndarray:
    """The parameters after one M-step, or after many that share one E-step."""
    for _ in range(rounds):
        for _, update in updates_of(problem):
            params, moments = update(params, moments)
    return params


def slope(function: Callable, params: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Differences of a function of the parameters, by some of them."""

    def part(x: np.ndarray) -> float:
        at = params.copy()
        at[free] = x
        return function(at)

    return richardson_gradient(part, params[free], levels=3)


# -- each update -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_each_update_is_a_conditional_maximum(name: str, missing: float) -> None:
    """
    It moves its own parameters, raises the dense expected log-likelihood, and leaves no slope in it.

    Under a stationary start, and where a mean multiplies the transition, the updates of the state equation
    are safeguarded steps: they raise.
    """
    model, params = case(name, missing)
    problem = model.problem()
    moments, expected = problem.moments(params), ExpectedLikelihood(model, params)
    for block, update in updates_of(problem):
        new, moments = update(params, moments)
        own = places(model, block)
        assert_array_equal(np.delete(new, own), np.delete(params, own), err_msg=block)
        gain = expected(new) - expected(params)
        assert gain > 0.0, f"{block} gains {gain}"
        steps = block.startswith("state") and (
            model.initialization_kind == "stationary" or "state_mean" in SPECIFICATIONS[name]
        )
        if not steps:
            before, after = slope(expected, params, own), slope(expected, new, own)
            assert np.abs(after).max() < 1e-5 * np.abs(before).max(), block
        params = new


@pytest.mark.parametrize(
    "name", ["stationary, mean", "stationary, two lags", "known, mean", "known, full obs_cov, restricted"]
)
def test_m_steps_from_one_e_step_reach_the_joint_maximum(name: str) -> None:
    """The safeguarded and the conditional updates too: nothing is left when they are repeated."""
    model, params = case(name)
    problem = model.problem()
    expected = ExpectedLikelihood(model, params)
    last = maximised(problem, params, problem.moments(params), rounds=60)
    everything = np.arange(len(params))
    left, before = slope(expected, last, everything), slope(expected, params, everything)
    assert np.abs(left).max() < 1e-5 * np.abs(before).max()


@pytest.mark.parametrize(
    "spec",
    [
        {"initialization": "estimated", "initial_state_cov": "free"},
        {
            "initialization": "known",
            "initial_state": [1.0],
            "initial_state_cov": [[0.5]],
            "obs_cov": "unstructured",
        },
        {"design": [[1], ["a"]], "obs_cov": "unstructured"},
        {"state_mean": "free", "obs_intercept": "zero"},
    ],
    ids=["estimated", "known", "stationary, restricted", "stationary, mean"],
)
def test_the_m_step_is_the_numerical_maximum(spec: dict) -> None:
    model, params = sampled(np.random.default_rng(32), 8, 2, 1, missing=0.2, **spec)
    problem, expected = model.problem(), ExpectedLikelihood(model, params)
    rounds = 1 if model.initialization_kind == "known" else 100
    found = maximised(problem, params, problem.moments(params), rounds)
    brute = maximise(expected, params)
    assert_allclose(expected(found), expected(brute), rtol=1e-10)
    assert_allclose(found, brute, rtol=0, atol=1e-5)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_an_unknown_constant_start_is_at_its_maximum(missing: float) -> None:
    """P_1 = 0: E[x_1|Y] is a_1 itself and never moves; the likelihood is quadratic in a_1."""
    for spec in ({}, {"lags": 2}, {"initial_state": ["m", "1 - m"]}, {"initial_state": [0.5, NAN]}):
        model, _ = sampled(
            np.random.default_rng(33), N, 3, 2, missing=missing, initialization="estimated", **spec
        )
        params = draw_params(np.random.default_rng(34), model)
        ((name, update), *_), *_ = model.problem().updates.cycles()
        assert name == "initial_state"
        new, _ = update(params, model.problem().moments(params))
        own = places(model, "initial_state")
        assert_array_equal(np.delete(new, own), np.delete(params, own))
        left = slope(lambda at, model=model: dense_llf(model, at), new, own)
        assert np.abs(left).max() < 1e-7 * np.abs(model.score(params)[own]).max()


# -- formulas --------------------------------------------------------------------------------------------


def raw_sums(model: LGSSM, params: np.ndarray) -> dict[str, np.ndarray]:
    """S_xx, S_yx, S_yy, S_00, S_10, S_11 of MATH.md, (x_t, 1) as regressors; complete data."""
    system, _ = dense_system(model.system(params))
    y, posterior = model.endog, dense(model.endog, system)
    x = np.column_stack([posterior.smoothed_state, np.ones(len(y))])
    second = np.einsum("ti,tj->tij", x, x)
    second[:, :-1, :-1] += posterior.smoothed_cov
    cross = np.einsum("ti,tj->tij", x[1:, :-1], x[:-1])
    cross[:, :, :-1] += posterior.lag_cov
    return {
        "xx": second.sum(axis=0),
        "yx": y.T @ x,
        "yy": y.T @ y,
        "00": second[:-1].sum(axis=0),
        "10": cross.sum(axis=0),
        "11": second[1:, :-1, :-1].sum(axis=0),
        "first": posterior.smoothed_state[0],
        "first_cov": posterior.smoothed_cov[0],
    }


@pytest.mark.parametrize("lags", [1, 2])
def test_shumway_stoffer(lags: int) -> None:
    spec = {
        "obs_cov": "unstructured", "state_intercept": "free", "lags": lags, "initialization": "estimated",
        "initial_state_cov": "free",
    }  # fmt: skip
    k, n = 2, 15
    model, params = sampled(np.random.default_rng(35), n, 3, k, **spec)
    new = model.matrices(maximised(model.problem(), params, model.problem().moments(params)))
    s = raw_sums(model, params)
    if lags == 1:
        B = s["yx"] @ np.linalg.inv(s["xx"])
    else:  # y_t loads on the newest lag alone
        keep = [*range(k), -1]
        s["xx"], s["yx"] = s["xx"][np.ix_(keep, keep)], s["yx"][:, keep]
        B = s["yx"] @ np.linalg.inv(s["xx"])
    H = (s["yy"] - B @ s["yx"].T - s["yx"] @ B.T + B @ s["xx"] @ B.T) / n
    A = s["10"][:k] @ np.linalg.inv(s["00"])  # the top block of the to-state on the whole from-state
    Q = (s["11"][:k, :k] - A @ s["10"][:k].T - s["10"][:k] @ A.T + A @ s["00"] @ A.T) / (n - 1)
    assert_allclose(new["design"], B[:, :k], rtol=1e-9)
    assert_allclose(new["obs_intercept"][:, 0], B[:, k], rtol=1e-9)
    assert_allclose(new["obs_cov"], H, rtol=1e-9)
    assert_allclose(new["transition"], A[:, :-1], rtol=1e-8)
    assert_allclose(new["state_intercept"][:, 0], A[:, -1], rtol=1e-8)
    assert_allclose(new["state_cov"], Q, rtol=1e-9)
    assert_allclose(new["initial_state"][:, 0], s["first"], rtol=1e-9)
    assert_allclose(new["initial_state_cov"], s["first_cov"], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("structure", "value"),
    [
        ("unstructured", lambda S: S),
        ("diagonal", lambda S: np.diag(np.diag(S))),
        ("scalar", lambda S: np.eye(3) * np.trace(S) / 3),
        (
            "equicorrelated",
            lambda S: np.where(np.eye(3, dtype=bool), np.trace(S) / 3, (S.sum() - np.trace(S)) / 6),
        ),
        (
            [[NAN, 0, NAN], [0, NAN, 0], [NAN, 0, NAN]],
            lambda S: S * np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]),
        ),
        (np.diag([NAN, 0.7, NAN]), lambda S: np.diag([S[0, 0], 0.7, S[2, 2]])),
        (
            [["v", 0, 0], [0, "w", 0], [0, 0, "v"]],
            lambda S: np.diag([(S[0, 0] + S[2, 2]) / 2, S[1, 1]] * 2)[:3, :3],
        ),
    ],
    ids=["unstructured", "diagonal", "scalar", "equicorrelated", "blocks", "fixed variance", "grouped"],
)
def test_closed_forms_of_covariances(structure: object, value) -> None:
    model, params = sampled(np.random.default_rng(36), 15, 3, 2, missing=0.2, obs_cov=structure, **KNOWN)
    problem = model.problem()
    moments = problem.moments(params)
    system, _ = dense_system(model.system(params))
    empty = np.isnan(model.endog).all(axis=1).sum()  # rows without data do not count
    residuals = (expected_sums(model.endog, system).obs_yy - empty * system["obs_cov"]) / (15 - empty)
    update = dict(updates_of(problem))["obs_cov"]
    new = model.matrices(update(params, moments)[0])["obs_cov"]
    assert_allclose(new, value(residuals), rtol=1e-9, atol=1e-12)


def duplication(model: LGSSM, key: str) -> tuple[np.ndarray, np.ndarray]:
    """D and f of one matrix, vec stacking columns."""
    block = model.layout.blocks[key]
    D = np.zeros((block.fixed.size, len(model.layout)))
    np.add.at(D, (block.columns * block.shape[0] + block.rows, model.layout.index[key]), block.coefs)
    return D, block.fixed.ravel(order="F")


def restricted_gls(
    D: np.ndarray, f: np.ndarray, ab: np.ndarray, bb: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """D'(S_bb kron Pi) D m = D' vec(Pi S_ab) - D'(S_bb kron Pi) f."""
    used = np.abs(D).sum(axis=0) > 0
    weight = np.kron(bb, precision)
    right = D[:, used].T @ ((precision @ ab).ravel(order="F") - weight @ f)
    m = np.zeros(D.shape[1])
    m[used] = np.linalg.solve(D[:, used].T @ weight @ D[:, used], right)
    return m


RESTRICTED = {
    "fixed": {"design": [[1, 0], [NAN, 1], [NAN, NAN]], "transition": [[NAN, 0.3], [0, NAN]]},
    "shared": {"design": [["a", "b"], ["b", "a"], ["c", "a"]], "transition": [["g", "h"], ["h", "g"]]},
    "combined": {
        "design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]],
        "transition": [["g", "0.5*h"], [0, "g - h"]],
    },
    "shared with the intercept": {
        "design": [["a", 0], ["b", 1.0], [1, 2]], "obs_intercept": ["a", "b", "2*a"],
        "state_intercept": ["g", 0.5], "transition": [["g", "h"], [0, "h"]],
    },
    "zero": {"design": [[NAN, 0], [0, NAN], [0, NAN]], "transition": "diagonal", "obs_intercept": "zero"},
}  # fmt: skip


@pytest.mark.parametrize("name", RESTRICTED)
def test_restricted_generalised_least_squares(name: str) -> None:
    model, _ = sampled(
        np.random.default_rng(37), 14, 3, 2, obs_cov="unstructured", **RESTRICTED[name], **KNOWN
    )
    params = draw_params(np.random.default_rng(38), model)
    problem, s, at = model.problem(), raw_sums(model, params), model.matrices(params)
    moments = problem.moments(params)
    for update, keys, ab, bb, cov in (
        ("observation coefficients", ("design", "obs_intercept"), s["yx"], s["xx"], at["obs_cov"]),
        ("state coefficients", ("transition", "state_intercept"), s["10"], s["00"], at["state_cov"]),
    ):
        D, f = (
            np.concatenate(parts) for parts in zip(*(duplication(model, key) for key in keys), strict=True)
        )
        want = restricted_gls(D, f, ab, bb, np.linalg.inv(cov))
        new, moments = dict(updates_of(problem))[update](params, moments)
        own = np.flatnonzero(np.abs(D).sum(axis=0))
        assert_allclose(new[own], want[own], rtol=1e-9, atol=1e-11)


def test_fixed_parameters_are_held_and_the_rest_is_restricted_least_squares() -> None:
    model, _ = sampled(np.random.default_rng(39), 14, 3, 2, obs_cov="unstructured", **KNOWN)
    params = draw_params(np.random.default_rng(40), model)
    held = ["loading.f1->y1", "loading.f2->y3", "L1.f1->f1", "obs_cov.y1.y2", "state_var.f2"]
    with model.fix_params({name: params[model.param_names.index(name)] for name in held}):
        problem = model.problem()
    free = problem.reduced(params)
    s, at = raw_sums(model, params), model.matrices(params)
    moments = problem.moments(free)
    after, _ = dict(updates_of(problem))["observation coefficients"](free, moments)
    design, intercept = duplication(model, "design"), duplication(model, "obs_intercept")
    D, f = np.concatenate([design[0], intercept[0]]), np.concatenate([design[1], intercept[1]])
    places_held = [model.param_names.index(name) for name in held]
    f = f + D[:, places_held] @ params[places_held]
    D = D.copy()
    D[:, places_held] = 0.0
    want = restricted_gls(D, f, s["yx"], s["xx"], np.linalg.inv(at["obs_cov"]))
    own = np.flatnonzero(np.abs(D).sum(axis=0))
    assert_allclose(problem.full(after)[own], want[own], rtol=1e-9)
    last = problem.full(maximised(problem, free, moments))
    assert_array_equal(last[places_held], params[places_held])
    changed = np.delete(np.arange(len(params)), places_held)
    assert np.all(last[changed] != params[changed])


@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_term_of_a_stationary_start_is_a_normal_density_with_its_derivatives(k: int) -> None:
    rng = np.random.default_rng(k)
    T = rng.standard_normal((k, k))
    W, V = (each @ each.T + np.eye(k) for each in rng.standard_normal((2, k, k)))
    T *= 0.9 / np.abs(np.linalg.eigvals(T)).max()
    c, term = rng.standard_normal(k), StationaryTerm(rng.standard_normal(k), V)

    def value(vector: np.ndarray) -> float:
        T, c, W = vector[: k * k].reshape(k, k), vector[k * k : -k * k], vector[-k * k :].reshape(k, k)
        gap = term.mean - np.linalg.solve(np.eye(k) - T, c)
        P1 = np.linalg.solve(np.eye(k * k) - np.kron(T, T), W.ravel()).reshape(k, k)
        return -0.5 * (np.linalg.slogdet(P1)[1] + np.trace(np.linalg.solve(P1, V + np.outer(gap, gap))))

    at = np.concatenate([T.ravel(), c, W.ravel()])
    found, gradient = term.value_and_gradient(T, c, W)
    assert_allclose([found, term.value(T, c, W)], value(at), rtol=1e-10)
    expected = richardson_gradient(value, at)
    assert_allclose(np.concatenate([each.ravel() for each in gradient]), expected, rtol=1e-7, atol=1e-7)
    assert term.value(1.2 * T, c, W) == -np.inf


def test_state_mean_under_a_stationary_start() -> None:
    """[P_1^{-1} + (n-1)(I-T)'W^{-1}(I-T)] mu = P_1^{-1} xhat_1 + (I-T)'W^{-1} sum(xhat_{t+1} - T xhat_t)."""
    model, _ = sampled(
        np.random.default_rng(41),
        14,
        3,
        2,
        state_mean="free",
        obs_intercept="zero",
        transition=[[0.5, 0.2], [0, -0.3]],
    )
    params = draw_params(np.random.default_rng(42), model)
    problem = model.problem()
    system, _ = dense_system(model.system(params))
    x = dense(model.endog, system).smoothed_state
    T, W, P1 = system["transition"], system["state_cov"], system["initial_state_cov"]
    level = (np.eye(2) - T).T @ np.linalg.inv(W)
    left = np.linalg.inv(P1) + 13 * level @ (np.eye(2) - T)
    want = np.linalg.solve(left, np.linalg.inv(P1) @ x[0] + level @ (x[1:] - x[:-1] @ T.T).sum(axis=0))
    moments = problem.moments(params)
    update = dict(updates_of(problem))["state coefficients"]
    for _ in range(60):
        params, moments = update(params, moments)
    assert_allclose(model.matrices(params)["state_mean"][:, 0], want, rtol=1e-6)


def test_regressors_in_a_noiseless_state_are_least_squares() -> None:
    """One E-step of a model whose states are nothing: the M-step is ordinary least squares."""
    n = 30
    rng = np.random.default_rng(43)
    x = rng.standard_normal((n, 2))
    y = x @ rng.standard_normal((2, 2)) + rng.standard_normal((n, 2)) + 3
    model = LGSSM(
        y, 1, exog=x, design="zero", transition="zero", state_cov="identity", obs_cov="unstructured"
    )
    problem = model.problem()
    params = problem.model.layout.vector(
        np.where([name.startswith("obs_var") for name in model.param_names], 1.0, 0.0)
    )
    new = model.matrices(maximised(problem, params, problem.moments(params)))
    coefs, *_ = np.linalg.lstsq(np.column_stack([np.ones(n), x]), y, rcond=None)
    residuals = y - np.column_stack([np.ones(n), x]) @ coefs
    assert_allclose(new["obs_intercept"][:, 0], coefs[0], rtol=1e-10)
    assert_allclose(new["obs_coef"], coefs[1:].T, rtol=1e-10)
    assert_allclose(new["obs_cov"], residuals.T @ residuals / n, rtol=1e-10)


# -- the likelihood rises --------------------------------------------------------------------------------


def em_path(model: LGSSM, params: np.ndarray, iterations: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods of plain EM, and the parameters at its end."""
    problem = model.problem()
    result = run_em(
        params, problem.moments, problem.loglike, problem.updates.cycles(), EMOptions(iterations, 0.0)
    )
    assert result.status == "stopped: the number of iterations reached maxiter"
    return np.array(result.trace["llf"]), result.params


UNKNOWN_CONSTANTS = {
    "unknown constant": {"initialization": "estimated"},
    "unknown constant, two lags": {"initialization": "estimated", "lags": 2, "state_mean": "free"},
    "unknown constant and variance": {"initialization": "estimated", "initial_state_cov": np.diag([NAN, 0])},
}
LENGTHS = [
    (name, n)
    for name, spec in (SPECIFICATIONS | UNKNOWN_CONSTANTS).items()
    for n in ([N] if {"exog"} & set(spec) or "varying" in name else [12, 40])
]


@pytest.mark.parametrize(("name", "n"), LENGTHS)
def test_the_likelihood_rises(name: str, n: int) -> None:
    """At every iteration, from two starts; the dense oracle agrees with the last value."""
    spec = (SPECIFICATIONS | UNKNOWN_CONSTANTS)[name]
    for seed in (44, 45):
        model, _ = sampled(np.random.default_rng(seed), n, 3, 2, missing=0.2, **spec)
        llf, last = em_path(model, draw_params(np.random.default_rng(seed + 10), model))
        assert len(llf) == 31
        assert np.all(np.diff(llf) > -1e-9 * (1 + np.abs(llf[1:])))
        assert llf[-1] > llf[0]
        diffuse = model.initialization_kind == "approximate_diffuse"
        assert_allclose(llf[-1], dense_llf(model, last), rtol=1e-6 if diffuse else 1e-9)


@examples(40)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 3),
    p=st.integers(1, 4),
    lags=st.integers(1, 2),
    missing=st.sampled_from([0.0, 0.3]),
    obs_cov=st.sampled_from(["diagonal", "unstructured", "scalar", "equicorrelated"]),
    mean=st.sampled_from([{}, {"state_mean": "free"}, {"state_intercept": "free"}]),
    start=st.sampled_from(["stationary", "estimated", "approximate_diffuse"]),
)
def test_the_likelihood_of_short_samples_rises(seed, k, p, lags, missing, obs_cov, mean, start) -> None:
    """n = 12: where a plain M-step under a stationary start makes it fall in most samples."""
    spec = {"lags": lags, "obs_cov": obs_cov, "initialization": start, **mean}
    model, params = sampled(np.random.default_rng(seed), 12, p, k, missing=missing, **spec)
    llf, _ = em_path(model, draw_params(np.random.default_rng(seed), model), 15)
    assert np.all(np.diff(llf) > -1e-9 * (1 + np.abs(llf[1:])))
    em_path(model, params, 15)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
@pytest.mark.parametrize("name", ["stationary, mean", "known, zero pattern", "estimated, mean shared"])
def test_the_path_does_not_depend_on_the_units_of_the_data(name: str, scale: float) -> None:
    """The design is rescaled with the data, so the states stay what they are."""
    model, params = case(name, n=20)
    scaled = LGSSM(scale * model.endog, 2, **SPECIFICATIONS[name])
    at = model.matrices(params)
    for key, power in (("design", 1), ("obs_intercept", 1), ("obs_cov", 2)):
        at[key] = at[key] * scale**power
    here, _ = em_path(model, params)
    there, _ = em_path(scaled, scaled.params_from_matrices(at))
    assert_allclose(there + np.isfinite(model.endog).sum() * np.log(scale), here, rtol=1e-7)


def test_the_plain_formulas_fall_where_the_library_rises() -> None:
    """The stationary start is part of the objective: without it the test above would mean nothing."""
    fell = 0
    for seed in range(10):
        model, params = sampled(np.random.default_rng(seed), 12, 2, 1, root=0.95)
        plain = EstimationProblem(model, {})
        plain.updates = replace(plain.updates, structure=companion_structure(1, 1, stationary=False))
        value = plain.loglike(params)
        for _ in range(30):
            params = maximised(plain, params, plain.moments(params))
            new = plain.value(params)
            fell += new < value - 1e-6
            value = new
            if not np.isfinite(new):
                break
    assert fell > 0


# -- fixed points ----------------------------------------------------------------------------------------

TRIANGULAR = {"identification": "triangular"}
FIXED_POINTS = {  # and a sample whose maximum is in the interior
    "stationary": (55, TRIANGULAR),
    "stationary, mean": (52, TRIANGULAR | {"state_mean": "free", "obs_intercept": "zero"}),
    "two lags": (50, TRIANGULAR | {"lags": 2, "transition": "diagonal"}),
    "strings": (
        53,
        {"design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]], "transition": [["g", "h"], [0, "g - h"]]},
    ),
    "zero pattern": (54, {"obs_cov": BAND, "design": DESIGN}),
    "unknown constant": (50, {"k_factors": 1, "design": [[1], [1], [1]], "initialization": "estimated"}),
    "diffuse": (52, {"design": DESIGN, "initialization": "diffuse"}),
}


@pytest.mark.parametrize("name", FIXED_POINTS)
def test_em_stands_still_at_a_maximum_and_nowhere_else(name: str) -> None:
    """Where the score is zero no update moves; from anywhere else each moves uphill."""
    seed, spec = FIXED_POINTS[name]
    spec = {"k_factors": 2} | spec
    k = spec.pop("k_factors")
    model, params = sampled(np.random.default_rng(seed), 100, 3, k, missing=0.1, **spec)
    problem = model.problem()
    optimum = model.fit(params, return_params=True)
    at = model.matrices(optimum)
    assert all(np.linalg.eigvalsh(at[cov]).min() > 0.1 for cov in ("obs_cov", "state_cov"))
    information = problem.updates.information(optimum, problem.moments(optimum))
    assert np.abs(model.score(optimum) / np.sqrt(information)).max() < 1e-4
    step = maximised(problem, optimum, problem.moments(optimum)) - optimum
    assert np.abs(step * np.sqrt(information)).max() < 1e-3
    moved = model.layout.constrain(1.05 * model.layout.unconstrain(optimum))
    score = model.score(moved)
    for block, update in updates_of(problem):
        own = places(model, block)
        away = update(moved, problem.moments(moved))[0] - moved
        assert score[own] @ away[own] > 0.0, block


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_the_slope_of_the_expected_likelihood(seed: int) -> None:
    """Fisher's identity, which ties the M-step to the score: both from nothing in common."""
    model, params = sampled(np.random.default_rng(seed), N, 3, 2, missing=0.3, obs_cov="unstructured")
    found = richardson_gradient(ExpectedLikelihood(model, params), params)
    assert_allclose(found, model.score(params), rtol=0, atol=1e-7 * np.abs(found).max())


# -- what is asked of the updates ------------------------------------------------------------------------


def test_cycles_name_what_is_free() -> None:
    def names(**spec: object) -> list[list[str]]:
        model, _ = sampled(np.random.default_rng(0), N, 3, 2, **spec)
        return [[name for name, _ in cycle] for cycle in model.problem().updates.cycles()]

    everything = ["observation coefficients", "state coefficients", "obs_cov", "state_cov"]
    assert names() == [everything]
    assert names(initialization="estimated") == [["initial_state"], everything]
    assert names(initialization="estimated", initial_state_cov="free") == [
        [*everything, "initial_state", "initial_state_cov"]
    ]
    assert names(state_cov="identity", transition=np.eye(2) / 2) == [["observation coefficients", "obs_cov"]]
    fixed = {"design": DESIGN, "transition": np.eye(2) / 2, "obs_intercept": "zero"}
    assert names(**fixed, obs_cov="identity", state_cov="identity") == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"obs_cov": np.diag([0, NAN, NAN])}, "fixed at zero"),
        ({"state_cov": np.diag([NAN, 0.0])}, "fixed at zero"),
        ({"design": [["a", 0], [0, 1], [1, 1]], "transition": [["a", 0], [0, 0.5]]}, "two equations"),
        (
            {"obs_cov": [["v", 0, 0], [0, "v", 0], [0, 0, "v"]], "state_cov": [["v", 0], [0, "v"]]},
            "stationary",
        ),
    ],
)  # fmt: skip
def test_obstacles_to_em_are_named(spec: dict, words: str) -> None:
    model, _ = sampled(np.random.default_rng(0), N, 3, 2, **spec)
    assert words in str(model.problem().updates.unsupported_reason())


def test_no_obstacle_where_there_is_none() -> None:
    for name, spec in SPECIFICATIONS.items():
        model, _ = sampled(np.random.default_rng(0), N, 3, 2, **spec)
        assert model.problem().updates.unsupported_reason() is None, name


def test_information_is_that_of_the_complete_data() -> None:
    """Minus the second derivatives of the expected log-likelihood, for coefficients."""
    model, params = case("known, intercepts, regressors")
    problem, expected = model.problem(), ExpectedLikelihood(model, params)
    information = problem.updates.information(params, problem.moments(params))
    for block in ("observation coefficients", "state coefficients"):
        for i in places(model, block):
            e = np.eye(len(params))[i]
            second = expected(params + e) - 2 * expected(params) + expected(params - e)  # quadratic: exact
            assert_allclose(information[i], -second, rtol=1e-6)
    assert np.all(information >= 0)


def test_information_of_variances_is_half_the_periods_over_their_square() -> None:
    """Whatever multiple of a parameter a variance is."""
    spec = KNOWN | {"obs_cov": [["2*u", 0, 0], [0, "v", 0], [0, 0, "3*w"]], "state_cov": "diagonal"}
    model, params = sampled(np.random.default_rng(72), N, 3, 2, **spec)
    information = model.problem().updates.information(params, model.problem().moments(params))
    for key, periods in (("obs_cov", N), ("state_cov", N - 1)):
        own = model.layout.index[key]
        assert_allclose(information[own], 0.5 * periods / params[own] ** 2, rtol=1e-12)


@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("varying", [False, True])
def test_information_of_means_and_of_an_unknown_start(lags: int, varying: bool) -> None:
    """The expected log-likelihood is quadratic in the means, that of the data in the first state."""
    spec = {"lags": lags, "state_mean": ["2*a", NAN], "obs_intercept": "zero"}
    if varying:
        spec["state_cov"] = SPECIFICATIONS["known, varying covariances"]["state_cov"]
    start = ["3*m", *[NAN] * (2 * lags - 1)]
    model, _ = sampled(
        np.random.default_rng(70), N, 3, 2, initialization="estimated", initial_state=start, **spec
    )
    params = draw_params(np.random.default_rng(71), model)
    problem = model.problem()
    information = problem.updates.information(params, problem.moments(params))
    expected = ExpectedLikelihood(model, params)
    for block, function in (("state_mean", expected), ("initial_state", lambda at: dense_llf(model, at))):
        for i in places(model, block):
            e = np.eye(len(params))[i]
            second = function(params + e) - 2 * function(params) + function(params - e)
            assert_allclose(information[i], -second, rtol=1e-6, err_msg=model.param_names[i])


def test_updates_change_nothing_that_they_are_given() -> None:
    for name in ("known, zero pattern", "stationary, mean", "estimated"):
        model, params = case(name)
        problem = model.problem()
        moments = problem.moments(params)
        kept, ee = params.copy(), moments.observation.ee.copy()
        bb = moments.state.bb.copy()
        for _, update in updates_of(problem):
            update(params, moments)
        assert_array_equal(params, kept)
        assert_array_equal(moments.observation.ee, ee)
        assert_array_equal(moments.state.bb, bb)
