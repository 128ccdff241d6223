"""DynamicRegression: what can be said of V and W, autoregressive and static coefficients, the score."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy
from capm import BETA_MOVES, BOTH_MOVE, gls, random_cov, random_walks, simulated
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.exceptions import UnsupportedError

NAN = np.nan
PATTERN = np.array([[NAN, 0.0, NAN], [0.0, NAN, 0.0], [NAN, 0.0, NAN]])
FIXED = np.array([[0.02, 0.005, 0.0], [0.005, 0.01, 0.002], [0.0, 0.002, 0.03]])
ONE_FIXED = np.array([[0.01, NAN, 0.0], [NAN, NAN, 0.0], [0.0, 0.0, 0.02]])
STRINGS = [["a", "c", 0], ["c", "a", 0], [0, 0, "2*a + 0.001"]]
JOINT_PATTERN = np.kron(np.array([[1.0, NAN], [NAN, 1.0]]), np.eye(2)) * np.where(np.eye(4) > 0, NAN, 1.0)

Check = Callable[[np.ndarray, np.ndarray], bool]


def block(W: np.ndarray, j: int) -> np.ndarray:
    return W[3 * j : 3 * j + 3, 3 * j : 3 * j + 3]


def uncorrelated_blocks(W: np.ndarray) -> bool:
    return not W[:3, 3:].any() and not W[3:, :3].any()


def is_diagonal(M: np.ndarray) -> bool:
    return not (M - np.diag(np.diag(M))).any()


def is_scalar(M: np.ndarray) -> bool:
    return is_diagonal(M) and len(set(np.diag(M))) == 1


def is_equicorrelated(M: np.ndarray) -> bool:
    return len(set(np.diag(M))) == 1 and len(set(M[np.tril_indices(len(M), -1)])) == 1


def has_zeros_of(M: np.ndarray, pattern: np.ndarray) -> bool:
    """Fixed elements are what they were fixed at, to the bit; the others are not zero."""
    fixed = ~np.isnan(pattern)
    return bool(np.array_equal(M[fixed], pattern[fixed]) and np.all(M[~fixed] != 0.0))


def is_multiple(W: np.ndarray, V: np.ndarray) -> bool:
    return bool(np.allclose(W, W[0, 0] / V[0, 0] * V, rtol=1e-14, atol=0))


# name: (arguments, what must hold of V and W exactly)
CASES: dict[str, tuple[dict[str, Any], Check]] = {
    "V diagonal": ({"obs_cov": "diagonal"}, lambda V, W: is_diagonal(V)),
    "V scalar": ({"obs_cov": "scalar"}, lambda V, W: is_scalar(V)),
    "V equicorrelated": ({"obs_cov": "equicorrelated"}, lambda V, W: is_equicorrelated(V)),
    "V fixed": ({"obs_cov": 9.0 * np.eye(3) + 1.0}, lambda V, W: np.array_equal(V, 9.0 * np.eye(3) + 1.0)),
    "V with zeros": ({"obs_cov": PATTERN}, lambda V, W: has_zeros_of(V, PATTERN)),
    "V in strings": (
        {"obs_cov": [["v", 0, "c"], [0, "v", 0], ["c", 0, "w"]]},
        lambda V, W: V[0, 0] == V[1, 1] != V[2, 2] and V[0, 1] == V[1, 2] == 0.0 != V[0, 2] == V[2, 0],
    ),
    "W unstructured": ({"state_cov": "unstructured"}, lambda V, W: bool(np.all(W != 0))),
    "W diagonal": ({"state_cov": "diagonal"}, lambda V, W: is_diagonal(W)),
    "W scalar": ({"state_cov": "scalar"}, lambda V, W: is_scalar(W)),
    "W equicorrelated": ({"state_cov": "equicorrelated"}, lambda V, W: is_equicorrelated(W)),
    "W proportional": ({"state_cov": "proportional"}, lambda V, W: is_multiple(W, V)),
    "W and V diagonal, proportional": (
        {"obs_cov": "diagonal", "state_cov": "proportional"},
        lambda V, W: is_multiple(W, V) and is_diagonal(V),
    ),
    "W proportional to a fixed V": (
        {"obs_cov": 9.0 * np.eye(3), "state_cov": "proportional"},
        lambda V, W: is_scalar(W) and np.array_equal(V, 9.0 * np.eye(3)),
    ),
    "W fixed": ({"state_cov": FIXED}, lambda V, W: np.array_equal(W, FIXED)),
    "W with zeros": ({"state_cov": PATTERN}, lambda V, W: has_zeros_of(W, PATTERN)),
    "W with a fixed variance": ({"state_cov": ONE_FIXED}, lambda V, W: has_zeros_of(W, ONE_FIXED)),
    "W in strings": (
        {"state_cov": STRINGS},
        lambda V, W: W[0, 0] == W[1, 1] and W[2, 2] == 2 * W[0, 0] + 0.001 and not W[2, :2].any(),
    ),
    "one beta moves": (
        {"state_cov": np.diag([NAN, 0.0, 0.0])},
        lambda V, W: W[0, 0] > 0 and np.count_nonzero(W) == 1,
    ),
    "both move": (
        {"dynamics": BOTH_MOVE},
        lambda V, W: uncorrelated_blocks(W) and bool(block(W, 0).all() and block(W, 1).all()),
    ),
    "both move, diagonal": ({"dynamics": BOTH_MOVE, "state_cov": "diagonal"}, lambda V, W: is_diagonal(W)),
    "both move, each scalar": (
        {"dynamics": BOTH_MOVE, "state_cov": "scalar"},
        lambda V, W: is_scalar(block(W, 0)) and is_scalar(block(W, 1)) and W[0, 0] != W[3, 3],
    ),
    "both move, each with zeros": (
        {"dynamics": BOTH_MOVE, "state_cov": PATTERN},
        lambda V, W: all(has_zeros_of(block(W, j), PATTERN) for j in (0, 1)) and uncorrelated_blocks(W),
    ),
    "both move, each proportional": (
        {"dynamics": BOTH_MOVE, "state_cov": "proportional"},
        lambda V, W: all(is_multiple(block(W, j), V) for j in (0, 1)) and uncorrelated_blocks(W),
    ),
    "both move, each its own": (
        {"dynamics": BOTH_MOVE, "state_cov": {"const": "diagonal", "MKT": "equicorrelated"}},
        lambda V, W: is_diagonal(block(W, 0)) and is_equicorrelated(block(W, 1)) and uncorrelated_blocks(W),
    ),
    "both move, one proportional": (
        {"dynamics": BOTH_MOVE, "state_cov": {"const": "proportional", "MKT": "diagonal"}},
        lambda V, W: is_multiple(block(W, 0), V) and is_diagonal(block(W, 1)) and uncorrelated_blocks(W),
    ),
    "both move, one fixed": (
        {"dynamics": BOTH_MOVE, "state_cov": {"const": 0.1 * FIXED, "MKT": "unstructured"}},
        lambda V, W: np.array_equal(block(W, 0), 0.1 * FIXED) and uncorrelated_blocks(W),
    ),
    "joint": ({"dynamics": BOTH_MOVE, "state_cov": "joint"}, lambda V, W: bool(np.all(W != 0))),
}  # fmt: skip
# W with zeros between and within regressors, which no Cholesky factor keeps: slow, so a test of its own
JOINT_WITH_ZEROS = {"dynamics": BOTH_MOVE, "state_cov": JOINT_PATTERN}
every_case = pytest.mark.parametrize("name", CASES)
even_cases, odd_cases = (
    pytest.mark.parametrize(
        "name",
        [pytest.param(name, marks=[pytest.mark.slow] * (i % 2 != rest)) for i, name in enumerate(CASES)],
    )
    for rest in (0, 1)
)
"""Of the longest tests each case takes one or two; the others are slow."""


def sample(n: int = 60, p: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw data whose betas move; where a row has gaps, fewer than three series are seen of it."""
    return simulated(np.random.default_rng(31), n, p, missing=0.04, move=0.2)


def build(name: str) -> sse.DynamicRegression:
    return sse.DynamicRegression(*sample(), **{"dynamics": BETA_MOVES, **CASES[name][0]})


@cache
def fitted(name: str) -> sse.DynamicRegressionResults:
    """Return the default fit, once for all tests."""
    return build(name).fit()


def interior(model: sse.DynamicRegression) -> np.ndarray:
    """Return parameters at which V and W are positive definite: the default start, variances raised."""
    matrices = model.matrices(model.start_params)
    W = matrices["state_cov"]
    params = model.params_from_matrices(
        {"obs_cov": matrices["obs_cov"], "state_cov": W + 0.02 * np.eye(len(W)) + 0.004}
    )
    named = pd.Series(params, index=model.param_names)
    named[[name for name in named.index if name.startswith("proportion")]] = 0.003
    named[named == 0.0] = 0.01  # covariances
    return named.to_numpy()


@every_case
def test_score(name: str) -> None:
    model = build(name)
    params = interior(model)
    want = richardson_gradient(model.loglike, params, step=0.02 * np.abs(params))
    assert_allclose(model.score(params), want, rtol=0, atol=1e-7 * np.abs(want).max())


@every_case
def test_fit(name: str) -> None:
    """It converges, and the constraint holds to the bit."""
    res = fitted(name)
    V, W = res.matrices["obs_cov"].to_numpy(), res.matrices["state_cov"].to_numpy()
    assert res.converged
    assert np.array_equal(V, V.T) and np.array_equal(W, W.T)
    assert np.linalg.eigvalsh(V)[0] > 0 and np.linalg.eigvalsh(W)[0] > -1e-12
    assert CASES[name][1](V, W)


@even_cases
def test_lbfgs_ends_no_higher(name: str) -> None:
    res, other = fitted(name), build(name).fit(method="lbfgs", cov_type="none")
    assert other.converged
    assert_allclose(other.llf, res.llf, rtol=0, atol=1e-5)
    assert_allclose(other.matrices["obs_cov"], res.matrices["obs_cov"], rtol=0, atol=0.02)


@odd_cases
def test_fit_from_another_start(name: str) -> None:
    model, best = build(name), fitted(name).llf
    assert_allclose(model.fit(interior(model), cov_type="none").llf, best, rtol=0, atol=1e-5)


@odd_cases
@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
def test_em_rises(name: str) -> None:
    model, best = build(name), fitted(name).llf
    try:
        res = model.fit(interior(model), method="em", maxiter=60, tolerance=0, cov_type="none")
    except UnsupportedError as error:
        assert "proportional" in str(error) and "lbfgs" in str(error)
        assert name == "both move, one proportional"  # the only structure that EM may refuse
        return
    llf = res.em_trace["llf"].to_numpy()
    assert len(llf) == 61 and np.all(np.diff(llf) > -1e-9)
    assert llf[-1] <= best + 1e-9 and best - llf[-1] < 0.5 * (best - llf[0]) + 1e-6
    assert CASES[name][1](*(res.matrices[key].to_numpy() for key in ("obs_cov", "state_cov")))


@every_case
def test_standard_errors(name: str) -> None:
    """Finite where the information is positive definite and nothing is at a boundary, NaN at a boundary."""
    res = fitted(name)
    inside = [param for param in res.model.param_names if param not in res.boundary]
    assert res.bse[res.boundary].isna().all()
    assert (res.bse[inside] > 0).all()
    table = res.correlations("state_cov")
    sizes = table.loc["sd", "estimate"].to_numpy()
    assert_allclose(sizes**2, np.diag(res.matrices["state_cov"]), atol=1e-15)
    assert res.summary().as_text()


def test_joint_pattern_of_zeros() -> None:
    """The constraint holds, the fit converges, EM ends below it."""
    model = sse.DynamicRegression(*sample(60, 2), **JOINT_WITH_ZEROS)
    res = model.fit()
    assert res.converged
    assert has_zeros_of(res.matrices["state_cov"].to_numpy(), JOINT_PATTERN)
    # behind its barrier, the L-BFGS-B of SciPy before 1.15 (in Fortran) ends 7e-5 lower
    version = tuple(int(part) for part in scipy.__version__.split(".")[:2])
    close = 1e-5 if version >= (1, 15) else 1e-4
    assert_allclose(model.fit(method="lbfgs").llf, res.llf, rtol=0, atol=close)
    params = interior(model)
    want = richardson_gradient(model.loglike, params, step=0.02 * np.abs(params))
    assert_allclose(model.score(params), want, rtol=0, atol=1e-7 * np.abs(want).max())


def test_names_of_covariance_parameters() -> None:
    y, x = sample(20, 2)
    model = sse.DynamicRegression(
        y, x, dynamics=BOTH_MOVE, state_cov={"const": "scalar", "MKT": "unstructured"}
    )
    assert model.param_names == [
        "obs_var.A1", "obs_cov.A1.A2", "obs_var.A2",
        "state_var.const",
        "state_var.MKT.A1", "state_cov.MKT.A1.A2", "state_var.MKT.A2",
    ]  # fmt: skip
    assert model.state_names == ["const.A1", "const.A2", "MKT.A1", "MKT.A2"]


def test_order_of_the_dict_is_that_of_the_regressors() -> None:
    y, x = sample(20, 2)
    given = {"MKT": "unstructured", "const": "scalar"}
    one = sse.DynamicRegression(y, x, dynamics=BOTH_MOVE, state_cov=given)
    other = sse.DynamicRegression(y, x, dynamics=dict(reversed(BOTH_MOVE.items())), state_cov=given)
    assert one.param_names == other.param_names and one.param_names[3] == "state_var.const"


def test_one_string_named_in_v_and_w_ties_them() -> None:
    """A name is one parameter wherever it stands."""
    y, x = sample(40, 2)
    model = sse.DynamicRegression(
        y, x, dynamics=BETA_MOVES, obs_cov=[["v", 0], [0, "w"]], state_cov=[["0.01*v", 0], [0, "0.01*w"]]
    )
    assert model.param_names == ["v", "w"]
    params = np.array([8.0, 5.0])
    want = richardson_gradient(model.loglike, params)
    assert_allclose(model.score(params), want, rtol=0, atol=1e-7 * np.abs(want).max())
    tied, free = (
        model.fit(),
        sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov="diagonal", state_cov="diagonal"),
    )
    assert tied.converged and tied.llf < free.fit().llf


def test_proportional_is_what_a_fixed_multiple_gives() -> None:
    res = fitted("W proportional")
    V, q = res.matrices["obs_cov"].to_numpy(), res.params["proportion.MKT"]
    fixed = sse.DynamicRegression(*sample(), dynamics=BETA_MOVES, obs_cov=V, state_cov=q * V)
    assert_allclose(fixed.loglike([]), res.llf, rtol=1e-13)
    for other in (0.9 * q, 1.1 * q):
        away = sse.DynamicRegression(*sample(), dynamics=BETA_MOVES, obs_cov=V, state_cov=other * V)
        assert away.loglike([]) < res.llf


def test_everything_fixed_is_no_parameter() -> None:
    y, x = sample()
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov=9.0 * np.eye(3), state_cov=FIXED)
    res = model.fit()
    assert model.param_names == [] and len(res.params) == 0
    wander = random_walks(FIXED, np.arange(3, 6), 6)
    assert_allclose(res.llf, gls(y.to_numpy(), x.to_numpy(), 9.0 * np.eye(3), wander).llf, rtol=0, atol=1e-9)
    assert res.summary().as_text()


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")  # of EM
def test_fixed_parameters_stay_and_the_rest_is_at_a_maximum() -> None:
    y, x = sample(60, 2)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    free = model.fit()
    held = {"obs_cov.A1.A2": 0.5, "state_var.MKT.A1": 0.02}
    for method in ("auto", "lbfgs", "em"):
        with model.fix_params(held):
            res = model.fit(method=method)
        assert res.converged or method == "em"
        assert {name: res.params[name] for name in held} == held
        assert res.bse[list(held)].isna().all()
        assert res.llf < free.llf
        score = model.score(np.asarray(res.params)) * np.abs(np.asarray(res.params))
        loose = [i for i, name in enumerate(model.param_names) if name not in held]
        if method != "em" and not res.boundary:
            assert np.abs(score[loose]).max() < 1e-3
    with model.fix_params({"obs_var.A1": 5.0}):
        assert model.fit().matrices["obs_cov"].loc["A1", "A1"] == 5.0
    assert not model._has_fixed_params
    assert_allclose(model.fit().llf, free.llf, rtol=1e-12)


@pytest.mark.parametrize("start", ["approximate_diffuse", "known"])
def test_proper_starts(start: str) -> None:
    y, x = sample(30, 2)
    mean, cov = np.array([0.1, -0.2, 1.0, 0.9]), random_cov(np.random.default_rng(1), 4)
    known = {"initial_state": mean, "initial_state_cov": cov} if start == "known" else {}
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, initialization=start, **known)
    params = interior(model)
    V, W = (model.matrices(params)[key] for key in ("obs_cov", "state_cov"))
    if start == "known":
        m, P = mean, cov
    else:
        m, P = np.zeros(4), 1e6 * np.eye(4)
    # a proper prior is GLS with as many more observations: theta_1 = m + N(0, P)
    step = np.zeros((4, 4))
    step[2:, 2:] = W
    X = np.kron(x.to_numpy(), np.eye(2))
    index = np.arange(30)
    joint = np.kron(np.eye(30), V) + X @ P @ X.T
    moves = np.minimum(index[:, None], index[None, :])
    for s in range(30):
        for t in range(30):
            joint[2 * s : 2 * s + 2, 2 * t : 2 * t + 2] += (
                moves[s, t] * x["MKT"].iloc[s] * x["MKT"].iloc[t] * W
            )
    seen = np.flatnonzero(~np.isnan(y.to_numpy().ravel()))
    e = (y.to_numpy().ravel() - X @ m)[seen]
    C = joint[np.ix_(seen, seen)]
    expected = -0.5 * (len(seen) * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + e @ np.linalg.solve(C, e))
    assert_allclose(model.loglike(params), expected, rtol=0, atol=1e-9 if start == "known" else 1e-6)
    res = model.fit()
    assert res.converged and res.llf > expected


# -- autoregressive coefficients ---------------------------------------------------------------------------


def autoregressive(p: int = 2, **options: Any) -> sse.DynamicRegression:
    return sse.DynamicRegression(*sample(80, p), dynamics={"MKT": "ar1"}, **options)


def ar1_params(model: sse.DynamicRegression, phi: Any, seed: int = 0) -> np.ndarray:
    """Return V and W positive definite, and phi."""
    rng = np.random.default_rng(seed)
    p = model.k_endog
    count = len(model.coefficients.noise_rows)
    params = pd.Series(
        model.params_from_matrices(
            {"obs_cov": random_cov(rng, p, 9.0), "state_cov": random_cov(rng, count, 0.1)}
        ),
        index=model.param_names,
    )
    params[[name for name in model.param_names if name.startswith("ar1.")]] = phi
    return params.to_numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"state_cov": "diagonal"},
        {"obs_cov": "diagonal", "state_cov": "scalar"},
        {"state_cov": "equicorrelated"},
    ],
    ids=str,
)
def test_score_of_autoregressive_coefficients(options: dict) -> None:
    model = autoregressive(**options)
    params = ar1_params(model, [0.7, -0.4])
    want = richardson_gradient(model.loglike, params, step=0.02 * np.abs(params))
    assert_allclose(model.score(params), want, rtol=0, atol=1e-7 * np.abs(want).max())


@pytest.mark.parametrize(
    "dynamics", [{"MKT": "ar1", "const": "ar1"}, {"MKT": "ar1", "const": "random_walk"}], ids=str
)
def test_score_of_mixed_dynamics(dynamics: dict) -> None:
    model = sse.DynamicRegression(*sample(80, 2), dynamics=dynamics, state_cov="joint")
    places = [name for name in model.param_names if name.startswith("ar1.")]
    assert len(places) == 2 * list(dynamics.values()).count("ar1")
    params = ar1_params(model, np.linspace(-0.5, 0.8, len(places)))
    want = richardson_gradient(model.loglike, params, step=0.02 * np.abs(params))
    assert_allclose(model.score(params), want, rtol=0, atol=1e-7 * np.abs(want).max())


@pytest.mark.parametrize("state_cov", ["diagonal", "unstructured"])
def test_fit_of_autoregressive_coefficients(state_cov: str) -> None:
    model = autoregressive(state_cov=state_cov)
    llf = []
    for method in ("auto", "lbfgs"):
        res = model.fit(method=method)
        assert res.converged
        assert (res.matrices["ar1"].abs() < 1.0).all(axis=None)
        llf.append(res.llf)
    assert_allclose(llf[1], llf[0], rtol=0, atol=1e-5)
    assert list(res.matrices["ar1"].index) == ["MKT"] and list(res.matrices["ar1"].columns) == ["A1", "A2"]
    assert_allclose(res.matrices["ar1"].loc["MKT", "A1"], res.params["ar1.MKT.A1"])
    assert llf[0] > sse.DynamicRegression(*sample(80, 2)).fit().llf


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
def test_em_of_autoregressive_coefficients_rises() -> None:
    model = autoregressive(state_cov="diagonal")
    res = model.fit(method="em", maxiter=100, tolerance=0)
    llf = res.em_trace["llf"].to_numpy()
    assert np.all(np.diff(llf) > -1e-9)
    assert llf[-1] <= model.fit().llf + 1e-9
    assert (res.matrices["ar1"].abs() < 1.0).all(axis=None)


def test_autoregressive_betas_are_found_again() -> None:
    """A long sample with phi = 0.8: the estimate is within three standard errors."""
    rng = np.random.default_rng(41)
    n, phi = 1500, np.array([0.8, 0.5])
    x = pd.DataFrame({"const": 1.0, "MKT": 4.0 * rng.standard_normal(n)})
    beta = np.zeros((n, 2))
    for t in range(1, n):
        beta[t] = phi * beta[t - 1] + 0.3 * rng.standard_normal(2)
    y = pd.DataFrame(
        0.2 + x[["MKT"]].to_numpy() * (1.0 + beta) + 1.5 * rng.standard_normal((n, 2)), columns=["A1", "A2"]
    )
    model = sse.DynamicRegression(y, x, dynamics={"MKT": "ar1"}, obs_cov="diagonal", state_cov="diagonal")
    res = model.fit()
    assert res.converged
    names = ["ar1.MKT.A1", "ar1.MKT.A2"]
    assert np.all(np.abs(res.params[names] - phi) < 3 * res.bse[names])
    assert np.all(np.abs(np.diag(res.matrices["state_cov"]) - 0.09) < 0.03)
    smoothed = res.coefficients["MKT"].smoothed.to_numpy()
    assert np.corrcoef(smoothed[:, 0], 1.0 + beta[:, 0])[0, 1] > 0.75


def test_phi_of_zero_is_a_heteroskedastic_regression() -> None:
    """Then Var(y_t) = V + x_t^2 W, and no two periods are correlated."""
    model = autoregressive()
    params = ar1_params(model, 0.0)
    at = model.matrices(params)
    step = np.zeros((4, 4))
    step[2:, 2:] = at["state_cov"]
    expected = gls(model.endog, model.exog, at["obs_cov"], lambda s, t: step * (s == t))
    assert_allclose(model.loglike(params), expected.llf, rtol=0, atol=1e-9)


def test_phi_near_one_is_a_random_walk() -> None:
    """The deviation's start is absorbed by the diffuse mean as phi goes to one."""
    model = autoregressive()
    walk = sse.DynamicRegression(*sample(80, 2), dynamics=BETA_MOVES)
    params = ar1_params(model, 1.0 - 1e-7)
    at = model.matrices(params)
    expected = walk.smooth(walk.params_from_matrices({key: at[key] for key in ("obs_cov", "state_cov")}))
    res = model.smooth(params)
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-3)
    beta, walking = res.coefficients["MKT"], expected.coefficients["MKT"]
    assert_allclose(beta.smoothed, walking.smoothed, rtol=0, atol=1e-3)
    assert_allclose(beta.smoothed_se, walking.smoothed_se, rtol=0, atol=1e-3)


def test_fixed_phi() -> None:
    model = autoregressive(state_cov="diagonal")
    with model.fix_params({"ar1.MKT.A1": 0.5, "ar1.MKT.A2": 0.0}):
        res = model.fit()
    assert res.matrices["ar1"].loc["MKT"].tolist() == [0.5, 0.0]
    assert res.converged and res.llf <= model.fit().llf + 1e-9
    assert res.bse[["ar1.MKT.A1", "ar1.MKT.A2"]].isna().all()


@pytest.mark.parametrize("phi", [1.0, -1.0, 1.3])
def test_phi_outside_the_unit_circle_is_no_model(phi: float) -> None:
    model = autoregressive()
    for use in (model.loglike, model.score, model.fit):
        with pytest.raises((np.linalg.LinAlgError, sse.StateSpaceError), match="unit circle|start values"):
            use(ar1_params(model, phi))
    with pytest.raises(sse.ParameterError, match="unit circle"), model.fix_params({"ar1.MKT.A1": phi}):
        pass


def test_autoregressive_coefficients_have_a_mean_and_a_path() -> None:
    model = autoregressive()
    res = model.smooth(ar1_params(model, 0.6))
    assert model.state_names == ["const.A1", "const.A2", "MKT.A1", "MKT.A2", "MKT.dev.A1", "MKT.dev.A2"]
    beta = res.coefficients["MKT"]
    assert beta.dynamics == "ar1"
    assert_allclose(beta.smoothed.to_numpy().T, res.smoothed_state[2:4] + res.smoothed_state[4:6], rtol=1e-14)
    loading = np.kron([0.0, 1.0, 1.0], np.eye(2))
    variance = np.einsum("ik,kjt,ij->it", loading, res.smoothed_state_cov, loading)
    assert_allclose(beta.smoothed_se.to_numpy().T, np.sqrt(variance), rtol=1e-10)


# -- static coefficients -----------------------------------------------------------------------------------


def test_static_only() -> None:
    y, x = sample()
    model = sse.DynamicRegression(y, x)
    res = model.fit()
    assert res.converged and set(res.matrices) == {"obs_cov"}
    assert res.state_cov_rank == {} and res.boundary == []
    assert all(name.startswith("obs") for name in model.param_names)
    assert "rank" not in res.summary().as_text()
    assert {c.dynamics for c in res.coefficients.values()} == {"static"}
    for coefficient in res.coefficients.values():
        assert_allclose(coefficient.smoothed, np.tile(coefficient.estimate, (len(y), 1)), rtol=0, atol=1e-10)
        assert_allclose(coefficient.smoothed_se, np.tile(coefficient.se, (len(y), 1)), rtol=0, atol=1e-10)


def test_static_coefficients_with_missing_values_are_feasible_gls() -> None:
    y, x = sample()
    res = sse.DynamicRegression(y, x).fit()
    expected = gls(
        y.to_numpy(), x.to_numpy(), res.matrices["obs_cov"].to_numpy(), lambda s, t: np.zeros((6, 6))
    )
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-9)
    found = np.concatenate([res.coefficients[name].estimate for name in ("const", "MKT")])
    assert_allclose(found, expected.coefficients, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
def test_em_of_static_coefficients() -> None:
    model = sse.DynamicRegression(*sample())
    res = model.fit(method="em", tolerance=1e-12, maxiter=2000)
    assert np.all(np.diff(res.em_trace["llf"]) > -1e-9)
    assert_allclose(res.llf, model.fit().llf, rtol=0, atol=1e-6)


def test_naming_a_regressor_static_is_the_default() -> None:
    y, x = sample()
    one, other = (
        sse.DynamicRegression(y, x, dynamics=d) for d in ({"const": "static", **BETA_MOVES}, BETA_MOVES)
    )
    assert one.param_names == other.param_names
    assert one.loglike(interior(one)) == other.loglike(interior(one))


def test_rank_of_a_joint_w() -> None:
    """Two coefficients that move as one: each of their blocks has full rank, W has not."""
    y, x = sample(80, 1)
    model = sse.DynamicRegression(y, x, dynamics=BOTH_MOVE, state_cov="joint")
    root = np.array([0.3, -0.2])
    values = {"obs_cov": np.eye(1), "state_cov": np.outer(root, root)}
    res = model.smooth(model.layout.project(values, np.zeros(len(model.param_names))))
    names = model.coefficients.regressors
    assert res.state_cov_rank == {names[0]: 1, names[1]: 1, "joint": 1}
    assert "state_cov is singular: rank 1 of 2." in res.summary().as_text()
