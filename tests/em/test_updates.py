"""The M-step against brute force: dense expected likelihoods, numerical maxima, textbook formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from em_cases import DESIGN, KNOWN, NAN, SPECIFICATIONS, N, case, maximised, places, updates_of
from numpy.testing import assert_allclose, assert_array_equal
from oracle import dense, expected_sums, richardson_gradient
from systems import ExpectedLikelihood, by_turns, dense_llf, dense_system, draw_params, maximise, sampled

from statespace_ext.em.updates import StationaryTerm
from statespace_ext.lgssm.model import LGSSM


def slope(function: Callable, params: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Differences of a function of the parameters, by some of them."""

    def part(x: np.ndarray) -> float:
        at = params.copy()
        at[free] = x
        return function(at)

    return richardson_gradient(part, params[free], levels=3)


# -- each update -----------------------------------------------------------------------------------------


@by_turns("name, missing", SPECIFICATIONS, [0.0, 0.3])
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
        (
            {
                "obs_cov": [["v", 0, 0], [0, "u", 0], [0, 0, "u"]], "initialization": "estimated",
                "initial_state_cov": [["v", 0], [0, "w"]],
            },
            "initial_state_cov shares parameters",
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
