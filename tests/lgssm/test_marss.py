"""`from_marss`: the models of MARSS's guide, its timing against a dense Gaussian, and what it refuses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from statsmodels.regression.linear_model import OLS

import statespace_ext as sse

RNG = np.random.default_rng(5)

# -- the guide -----------------------------------------------------------------------------------------------


def triangular(k: int) -> list[list[Any]]:
    return [[f"z{i}{j}" if i >= j else 0 for j in range(k)] for i in range(5)]


def growth_by_period() -> np.ndarray:
    """U: "t1" in the first 11 periods, "t2" after, equal over states."""
    out = np.full((5, 1, 22), "t2", dtype=object)
    out[:, :, :11] = "t1"
    return out


LEVELS = {"transition": "identity", "state_cov": "diagonal", "state_intercept": "free"}
EACH = {**LEVELS, "design": "identity", "obs_intercept": "zero", "obs_cov": "scalar"}
ONE = {**LEVELS, "design": np.ones((5, 1)), "obs_intercept": [0, *[np.nan] * 4], "obs_cov": "scalar"}
FACTORS: dict[str, Any] = {
    "A": "zero", "R": "diagonal and unequal", "B": "identity", "U": "zero", "Q": "identity", "x0": "zero",
}  # fmt: skip
COVARIATES = {"U": "zero", "Q": "equalvarcov", "A": "zero", "R": "zero", "C": "unconstrained"}
NATIVE_COVARIATES = {
    "design": "identity", "obs_intercept": "zero", "obs_cov": "zero", "state_cov": "equicorrelated",
}  # fmt: skip
WOLVES = {"B": "unconstrained", "R": "zero", "U": "zero"}
NATIVE_WOLVES = {**NATIVE_COVARIATES, "state_cov": "diagonal"}


def native_factors(k: int) -> dict[str, Any]:
    known = {"initialization": "known", "initial_state": "zero", "initial_state_cov": 5 * np.eye(k)}
    fixed = {"transition": "identity", "state_cov": "identity", "obs_intercept": "zero"}
    return {"k_factors": k, "design": triangular(k), **fixed, **known}


GUIDE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "seal_def": ({}, {"k_factors": 5, **EACH}),
    "seal_evc": ({"Q": "equalvarcov"}, {"k_factors": 5, **EACH, "state_cov": "equicorrelated"}),
    "seal_pan": ({"Z": "onestate"}, {"k_factors": 1, **ONE}),
    "seal_pan2": (
        {"Z": np.ones((5, 1)), "R": "diagonal and unequal"},
        {"k_factors": 1, **ONE, "obs_cov": "diagonal"},
    ),
    "seal_two": (
        {"Z": pd.Categorical(list("NNNSS")), "Q": "diagonal and equal", "U": "equal"},
        {
            "k_factors": 2, **EACH, "design": [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]],
            "obs_intercept": [0, np.nan, np.nan, 0, np.nan], "state_cov": "scalar",
            "state_intercept": ["u", "u"],
        },
    ),
    "seal_tv": (
        {"U": growth_by_period(), "Q": "diagonal and equal"},
        {"k_factors": 5, **EACH, "state_cov": "scalar", "state_intercept": "zero",
         "state_coef": [["t1", "t2"]] * 5},
    ),
    "dfa1": ({"Z": triangular(1), **FACTORS, "V0": [[5]]}, native_factors(1)),
    "dfa3": ({"Z": triangular(3), **FACTORS, "V0": 5 * np.eye(3)}, native_factors(3)),
    "cov0b": (
        {"B": "diagonal and unequal", "U": "zero", "Q": "unconstrained", "A": "zero",
         "R": "diagonal and equal", "D": "unconstrained", "x0": "zero"},
        {"k_factors": 2, "design": "identity", "obs_intercept": "zero", "obs_cov": "scalar",
         "transition": "diagonal", "initialization": "known", "initial_state": "zero",
         "initial_state_cov": "zero"},
    ),
    "cov1": (COVARIATES, {"k_factors": 2, **NATIVE_COVARIATES, "transition": "identity"}),
    "cov1c": (
        {**COVARIATES, "B": "diagonal and unequal"},
        {"k_factors": 2, **NATIVE_COVARIATES, "transition": "diagonal"},
    ),
    "roy2": (WOLVES, {"k_factors": 2, **NATIVE_WOLVES}),
    "roy3": (
        {**WOLVES, "C": [[0, 0, 0], ["snow", "temp", "rain"]]},
        {"k_factors": 2, **NATIVE_WOLVES, "state_coef": [[0, 0, 0], ["snow", "temp", "rain"]]},
    ),
    "salmon": (
        {"B": "identity", "U": "zero", "A": "zero", "R": [["r"]], "Q": [["q1", 0], [0, "q2"]]},
        {"k_factors": 2, "transition": "identity", "obs_intercept": "zero", "obs_cov": [["r"]],
         "state_cov": [["q1", 0], [0, "q2"]]},
    ),
    "redd1": ({"Z": "onestate"}, {"k_factors": 1, **ONE, "design": [[1], [1]], "obs_intercept": [0, np.nan]}),
    "kes1": (
        {"Z": "onestate"},
        {"k_factors": 1, **ONE, "design": np.ones((3, 1)), "obs_intercept": [0, np.nan, np.nan]},
    ),
    "gray": ({}, {"k_factors": 1, **EACH}),
    "dogs": ({}, {"k_factors": 1, **EACH}),
    "seas3": (
        {"B": "diagonal and unequal", "U": "zero", "A": "zero", "R": "diagonal and equal"},
        {"k_factors": 5, "design": "identity", "obs_intercept": "zero", "obs_cov": "scalar",
         "transition": "diagonal", "state_cov": "diagonal"},
    ),
}  # fmt: skip


@cache
def guide(shared_data: Path) -> dict[str, Any]:
    text = (shared_data / "lgssm" / "marss_guide_models.json").read_text(encoding="utf-8")
    return {entry["id"]: entry for entry in json.loads(text)["models"]}


def test_the_guide_is_complete(shared_data: Path) -> None:
    assert set(guide(shared_data)) == set(GUIDE)


@pytest.mark.parametrize("key", GUIDE)
def test_models_of_the_guide(key: str, shared_data: Path) -> None:
    """In MARSS's words, and the same model in the words of `LGSSM`."""
    entry, (words, native) = guide(shared_data)[key], GUIDE[key]
    y = np.array(entry["y"], dtype=float).T
    n = len(y)
    c, d = (None if entry[name] is None else np.array(entry[name]).T for name in ("c", "d"))
    native = {"initialization": "estimated", **native}
    if key == "salmon":
        design = np.stack([np.ones(n), d[:, 0]])[None]
        words, native, d = (
            {**words, "Z": design},
            {**native, "design": np.pad(design, ((0, 0), (0, 0), (1, 0)))},
            None,
        )
    if c is not None:
        native["state_exog"] = np.concatenate([c, [np.full(c.shape[1], np.nan)]])
    if d is not None:
        native["exog"] = np.concatenate([np.zeros((1, d.shape[1])), d])
    if key == "seal_tv":
        steps = np.arange(n + 1)
        native["state_exog"] = np.column_stack([steps < 11, steps >= 11])
    model = sse.from_marss(y, words, c=c, d=d)
    res = model.fit(cov_type="none")
    assert_allclose(res.llf, entry["best"], rtol=0, atol=2e-5)
    assert_allclose([res.aic, res.aicc], [entry["AIC"], entry["AICc"]], rtol=0, atol=1e-4)
    assert res.df_model == entry["K"] == len(res.params) and res.converged
    ours = sse.LGSSM(np.concatenate([np.full((1, y.shape[1]), np.nan), y]), **native)
    assert_allclose(ours.loglike(np.asarray(res.params)), res.llf, rtol=1e-12)


# -- timing --------------------------------------------------------------------------------------------------

N, P, M = 6, 2, 2


def covariances(size: int) -> np.ndarray:
    roots = RNG.normal(size=(size, size, N))
    return np.einsum("ikt,jkt->ijt", roots, roots)


def dense_loglike(y: np.ndarray, at: dict[str, np.ndarray], tinitx: int) -> float:
    """Log-likelihood of MARSS's equations, from the joint distribution of all y; arrays run over time."""
    state, cov = at["x0"], at["V0"]
    mean_x, cov_x = [], np.zeros((N, N, M, M))
    carry = np.zeros((N, M, M))  # Cov(x_s, x_t) for the current t
    for t in range(N):
        if t or not tinitx:
            B = at["B"][:, :, t]
            state = B @ state + at["U"][:, t] + at["C"] @ at["c"][t]
            cov = B @ cov @ B.T + at["Q"][:, :, t]
            carry = carry @ B.T
        carry[t] = cov
        mean_x.append(state)
        for s in range(t + 1):
            cov_x[s, t], cov_x[t, s] = carry[s], carry[s].T
    Z = [at["Z"][:, :, t] for t in range(N)]
    mean = np.concatenate([Z[t] @ mean_x[t] + at["A"][:, t] + at["D"] @ at["d"][t] for t in range(N)])
    blocks = [[Z[s] @ cov_x[s, t] @ Z[t].T + (s == t) * at["R"][:, :, t] for t in range(N)] for s in range(N)]
    return float(multivariate_normal(mean, np.block(blocks)).logpdf(y.ravel()))


@pytest.mark.parametrize("tinitx", [0, 1])
def test_periods_are_those_of_marss(tinitx: int) -> None:
    """Every matrix varies over time, with inputs in both equations."""
    y, root = RNG.normal(size=(N, P)), RNG.normal(size=(M, M))
    at = {
        "Z": RNG.normal(size=(P, M, N)), "A": RNG.normal(size=(P, N)), "D": RNG.normal(size=(P, 1)),
        "B": RNG.normal(size=(M, M, N)) / 2, "U": RNG.normal(size=(M, N)), "C": RNG.normal(size=(M, 2)),
        "R": covariances(P), "Q": covariances(M), "x0": RNG.normal(size=M), "V0": root @ root.T,
        "c": RNG.normal(size=(N, 2)), "d": RNG.normal(size=(N, 1)),
    }  # fmt: skip
    words = {key: value for key, value in at.items() if key not in "cd"}
    words |= {"U": at["U"][:, None], "A": at["A"][:, None]}
    model = sse.from_marss(y, {**words, "tinitx": tinitx}, c=at["c"], d=at["d"])
    assert model.param_names == [] and model.nobs == N + 1 - tinitx
    assert_allclose(model.loglike([]), dense_loglike(y, at, tinitx), rtol=1e-11)


@pytest.mark.parametrize("tinitx", [0, 1])
def test_strings_over_time_are_inputs(tinitx: int) -> None:
    """U = a + s_t b in one state and 2 b in the other, A by season: the same as numbers at the values."""
    y, path = RNG.normal(size=(N, 2)), np.arange(N)
    U = np.array([[f"a + {t}*b" for t in path], ["2*b"] * N], dtype=object)[:, None]
    A = np.array([["w" if t % 2 else "s" for t in path], [0.5] * N], dtype=object)[:, None]
    words = {"B": "zero", "Q": "identity", "R": "identity", "x0": "zero", "tinitx": tinitx}
    free = sse.from_marss(y, {**words, "U": U, "A": A})
    assert set(free.param_names) == {"a", "b", "w", "s"}
    numbers = {
        "U": np.array([2.0 + 3.0 * path, np.full(N, 6.0)])[:, None],
        "A": np.array([np.where(path % 2, -1.0, 4.0), np.full(N, 0.5)])[:, None],
    }
    fixed = sse.from_marss(y, {**words, **numbers})
    values = {"a": 2.0, "b": 3.0, "w": -1.0, "s": 4.0}
    assert_allclose(free.loglike([values[name] for name in free.param_names]), fixed.loglike([]), rtol=1e-12)


def test_strings_over_time_go_on_from_inputs_and_forecast_with_their_values() -> None:
    y, c = RNG.normal(size=(30, 1)).cumsum(axis=0), RNG.normal(size=(30, 1))
    U = np.where(np.arange(30) < 15, "early", "late").astype(object)[None, None]
    model = sse.from_marss(y, {"U": U, "A": "zero", "R": "zero"}, c=c)
    assert model.regressor_names["state_exog"] == ["c1", "early", "late"]
    res = model.smooth(
        {"state_coef.c1->X1": 0.5, "early": 1.0, "late": 2.0, "state_var.X1": 1.0, "initial_state.X1": 0.0}
    )
    ahead = res.forecast(2, state_exog=[[4.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert_allclose(ahead, y[-1, 0] + np.array([4.0, 5.0]), rtol=1e-12)
    with pytest.raises(
        TypeError, match="'c'. The future c of MARSS is state_exog here, with one row per new"
    ):
        res.forecast(2, c=[[4.0], [0.0]])


def written(items: np.ndarray, values: dict[str, float]) -> np.ndarray:
    """Return the numbers of an array of names and numbers."""
    return np.array([values.get(item, item) for item in items.flat], dtype=float).reshape(items.shape)


@pytest.mark.parametrize("tinitx", [0, 1])
def test_strings_over_time_in_every_matrix_are_their_numbers(tinitx: int) -> None:
    """Z, B, R and Q by season or before and after a date, against the dense Gaussian of `dense_loglike`."""
    rng = np.random.default_rng(17)
    when, y = np.arange(N), rng.normal(size=(N, P))
    values = {"r": 0.7, "s": 1.4, "k": 0.2, "b": 0.6, "g": -0.3, "q": 0.5, "w": 1.1, "z": 0.8, "v": -0.6}
    R = np.zeros((P, P, N), dtype=object)
    R[range(P), range(P)] = np.where(when < N // 2, "r", "s").astype(object)
    R[0, 1, : N // 2] = R[1, 0, : N // 2] = "k"
    B = np.zeros((M, M, N), dtype=object)
    B[range(M), range(M)] = np.where(when % 2, "b", "g").astype(object)
    Q = np.zeros((M, M, N), dtype=object)
    Q[range(M), range(M)] = np.where(when % 3, "q", "w").astype(object)
    Z = rng.normal(size=(P, M, N)).astype(object)
    Z[0, 0] = np.where(when % 2, "z", "v").astype(object)
    fixed = {"x0": rng.normal(size=M), "V0": np.eye(M), "A": np.zeros((P, N)), "U": np.zeros((M, N))}
    words = {"Z": Z, "B": B, "R": R, "Q": Q, "x0": fixed["x0"], "V0": fixed["V0"], "A": "zero", "U": "zero"}
    model = sse.from_marss(y, {**words, "tinitx": tinitx})
    assert set(model.param_names) == set(values)
    at = {key: written(words[key], values) for key in "ZBRQ"} | fixed
    none = {"C": np.zeros((M, 1)), "D": np.zeros((P, 1)), "c": np.zeros((N, 1)), "d": np.zeros((N, 1))}
    params = np.array([values[name] for name in model.param_names])
    assert_allclose(model.loglike(params), dense_loglike(y, {**at, **none}, tinitx), rtol=1e-11)
    held = dict.fromkeys(("design", "transition", "obs_cov", "state_cov"), "hold")
    assert np.all(np.isfinite(model.smooth(params).forecast(2, **held)))


def test_regimes_are_for_the_constructor() -> None:
    y = np.random.default_rng(19).normal(size=(20, 1))
    noise = sse.Regimes(np.arange(20) < 9, {True: [["r"]], False: [["s"]]})
    with pytest.raises(sse.SpecificationError, match="R must not be a Regimes object.*Use LGSSM"):
        sse.from_marss(y, {"R": noise})


def test_states_have_the_names_of_marss_or_of_the_user() -> None:
    y = np.random.default_rng(18).normal(size=(20, 3))
    assert sse.from_marss(y).state_names == ["X1", "X2", "X3"]
    assert sse.from_marss(y, {"Z": pd.Categorical(["n", "s", "n"])}).state_names == ["n", "s"]
    named = sse.from_marss(y, {"Z": "onestate", "A": "zero"}, state_names=["level"])
    assert named.state_names == ["level"] and "state_var.level" in named.param_names
    with pytest.raises(sse.SpecificationError, match="2 strings|1 strings"):
        sse.from_marss(y, {"Z": "onestate", "A": "zero"}, state_names=["a", "b"])


def test_names_of_two_matrices_are_two_parameters() -> None:
    y = RNG.normal(size=(20, 2))
    words = {"Z": [["a"], ["b"]], "U": [["a - 2*ab"]], "A": "zero", "Q": [["ab"]], "R": "identity"}
    names = sse.from_marss(y, words).param_names
    assert names[:2] == ["Z_a", "b"] and set(names[2:]) == {"U_a", "U_ab", "Q_ab", "initial_state.X1"}
    with pytest.raises(
        sse.SpecificationError, match="'a' is the name of parameters in several matrices: got 'Z_a' too"
    ):
        sse.from_marss(y, {**words, "R": [["Z_a", 0], [0, 1]]})


# -- a first observation without a distribution -----------------------------------------------------------


def autoregression(y: np.ndarray, **change: Any) -> sse.LGSSM:
    words = {
        "Z": [[1, 0]], "B": [["b1", "b2"], [1, 0]], "U": "zero", "Q": [["q", 0], [0, 0]], "A": "zero",
        "R": "zero", "x0": [y[1], y[0]], "tinitx": 1,
    }  # fmt: skip
    return sse.from_marss(y[1:], {**words, **change})


def test_no_noise_and_the_first_state_in_the_first_period() -> None:
    """The AR(2) of the guide: its maximum is that of least squares, given the first two values."""
    rng, y = np.random.default_rng(2), np.zeros(60)
    for t in range(2, 60):
        y[t] = 0.8 * y[t - 1] - 0.4 * y[t - 2] + rng.normal()
    model = autoregression(y)
    assert np.isnan(model.endog[0, 0]) and np.array_equal(model.endog[1:, 0], y[2:])
    res, ols = model.fit(), OLS(y[2:], np.column_stack([y[1:-1], y[:-2]])).fit()
    assert_allclose(res.llf, ols.llf, rtol=0, atol=1e-8)
    assert_allclose(res.params[["b1", "b2"]], ols.params, rtol=1e-5)


def test_a_first_state_that_contradicts_or_is_free_is_refused() -> None:
    y = RNG.normal(size=20)
    with pytest.raises(sse.SpecificationError, match=r"contradict the first observation: got .* Fix x0"):
        autoregression(y, x0=[0.0, 0.0])
    with pytest.raises(
        sse.SpecificationError, match="give the first observation no distribution: got free elements"
    ):
        autoregression(y, x0="unconstrained")
    assert not np.isnan(autoregression(y, x0=[0.0, 0.0], V0="identity").endog).any()


# -- labels, defaults, and what is refused -------------------------------------------------------------------

INDEXES = {
    "months": (pd.period_range("2000-01", periods=20, freq="M"), pd.Period("1999-12", freq="M")),
    "days": (pd.date_range("2000-01-01", periods=20), pd.Timestamp("1999-12-31")),
    "text": (pd.Index([f"20{t:02d}-01-01" for t in range(20)]), "1999-01-01"),
    "years": (pd.Index(range(1980, 2020, 2)), 1978),
}


@pytest.mark.parametrize("key", INDEXES)
def test_the_empty_row_has_the_label_of_the_period_before(key: str) -> None:
    index, before = INDEXES[key]
    y = pd.DataFrame(RNG.normal(size=(20, 2)), index=index, columns=["a", "b"])
    model = sse.from_marss(y, c=pd.Series(1.0, index, name="one"))
    assert model._index[0] == before and model._index[1:].equals(index)
    assert model.endog_names == ["a", "b"] and np.isnan(model.endog[0]).all()
    assert sse.from_marss(y, {"tinitx": 1})._index.equals(index)


def test_arrays_have_the_periods_of_marss() -> None:
    model = sse.from_marss(RNG.normal(size=20))
    assert model._index.tolist() == list(range(21)) and model.endog_names == "y"


def test_labels_without_a_rule_have_no_period_before() -> None:
    y = pd.Series(RNG.normal(size=4), index=list("abcd"))
    with pytest.raises(sse.DataError, match="cannot be inferred from the labels of y"):
        sse.from_marss(y)


Y = RNG.normal(size=(20, 3))
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "orientation": ({"y": Y.T}, sse.DataError, "one row per series, as in MARSS: got .3, 20.; .* Pass y.T"),
    "orientation told by R": (
        {"model": {"R": np.eye(20)}}, sse.DataError, r"Pass y\.T\.",
    ),
    "orientation of c": ({"c": np.ones((2, 20))}, sse.DataError, "c must have one column per .* Pass c.T"),
    "length of d": ({"d": np.ones((19, 2))}, sse.DataError, r"d has the wrong shape: got \(19, 2\)"),
    "missing input": ({"c": [*[0.0] * 19, np.nan]}, sse.DataError, "c has missing or infinite values"),
    "inputs in model": ({"model": {"c": 1}}, sse.SpecificationError, r"Pass them as an argument: .*c=\.\.\."),
    "letter": ({"model": {"P": 1}}, sse.SpecificationError, "unknown element: got 'P'; expected .*Z, A, D"),
    "no mapping": ({"model": "Z"}, sse.SpecificationError, "model must map names to values: got .Z"),
    "word": ({"model": {"Q": "unequal"}}, sse.SpecificationError, "Q is not a keyword of MARSS: got 'uneq"),
    "name": ({"model": {"R": "r"}}, sse.SpecificationError, r"1 x 1 matrix is written \[\['r'\]\]"),
    "tinitx": ({"model": {"tinitx": 2}}, sse.SpecificationError, "tinitx is unknown: got 2; expected 0 or 1"),
    "diffuse": ({"model": {"diffuse": True}}, sse.UnsupportedError, 'LGSSM.*initialization="diffuse"'),
    "G": ({"model": {"G": np.eye(3)}}, sse.UnsupportedError, "G must have the default .* product into Q"),
    "C without c": ({"model": {"C": "unconstrained"}}, sse.SpecificationError, "C needs c, which is missing"),
    "scaling": ({"model": {"Z": "unconstrained"}}, sse.SpecificationError, 'A="scaling", the default, needs'),
    "diagonal C": (
        {"model": {"C": "diagonal and equal"}, "c": Y[:, :2]}, sse.SpecificationError, "needs a square",
    ),
    "ragged": ({"model": {"B": [[1], [1, 2]]}}, sse.SpecificationError, "B has rows of different lengths"),
    "type": ({"model": {"B": 1j * np.eye(3)}}, sse.SpecificationError, "B has the wrong type"),
    "element": ({"model": {"B": [[None] * 3] * 3}}, sse.SpecificationError, "neither a number nor a string"),
    "categories": ({"model": {"Q": pd.Categorical(list("aab"))}}, sse.SpecificationError, "Only Z can be"),
    "rows": ({"model": {"Q": np.eye(2)}}, sse.SpecificationError, r"Q has the wrong shape: got \(2, 2\)"),
    "periods": (
        {"model": {"B": np.ones((3, 3, 7))}}, sse.SpecificationError, "B has the wrong length: got 7",
    ),
    "moving V0": (
        {"model": {"V0": np.ones((3, 3, 20))}}, sse.SpecificationError, "V0 must be constant over time",
    ),
    "NaN": (
        {"model": {"U": np.full((3, 1, 20), np.nan, dtype=object)}}, sse.SpecificationError, "contain NaN",
    ),
    "parameter of a period that nothing enters": (
        {"y": Y[:, 0], "model": {"U": [["a", *["b"] * 19]], "tinitx": 1}},
        sse.DataError, "An input in c is zero in every period in which it enters: got a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_refused(key: str) -> None:
    arguments, error, message = REFUSED[key]
    with pytest.raises(error, match=message):
        sse.from_marss(**{"y": Y, **arguments})


def test_more_series_than_periods_are_taken_where_a_matrix_says_so() -> None:
    model = sse.from_marss(Y[:2], {"Z": np.ones((3, 1)), "Q": "identity"})
    assert model.endog.shape == (3, 3)


WORDS = {
    "obs_cov": ("diagonal and equal", "'scalar' here; from_marss takes"),
    "state_cov": ("equalvarcov", "MARSS's 'equalvarcov' is written 'equicorrelated' here"),
    "transition": ("unconstrained", "is written 'free' here"),
    "design": ("onestate", r"is written such as \[\[1\], \[1\]\] here"),
    "initial_state_cov": ("unconstrained", "is written 'unstructured' here"),
}


@pytest.mark.parametrize("key", WORDS)
def test_the_constructor_answers_words_of_marss(key: str) -> None:
    word, message = WORDS[key]
    with pytest.raises(sse.SpecificationError, match=message):
        sse.LGSSM(Y, 1, initialization="estimated", **{key: word})


def test_the_constructor_answers_letters_of_marss() -> None:
    with pytest.raises(TypeError, match="'R'. MARSS's R is obs_cov here; from_marss takes MARSS's notation"):
        sse.LGSSM(Y, 1, R="identity")
    with pytest.raises(TypeError, match="tinitx belongs to from_marss"):
        sse.LGSSM(Y, 1, tinitx=0)
