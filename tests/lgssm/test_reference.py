"""LGSSM against figures that others computed or printed; their data and figures are in ../shared/data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse

ROUNDING = 1e-9
"""A fall of the log-likelihood by less than this, relative to its size, is rounding."""

unidentified = pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")


def rises(trace: pd.DataFrame) -> bool:
    """Tell whether EM never lowered the log-likelihood beyond rounding, and rose."""
    llf = trace["llf"].to_numpy()
    return bool(np.all(np.diff(llf) >= -ROUNDING * (1.0 + np.abs(llf[1:]))) and llf[-1] > llf[0])


def after_x0(y: np.ndarray) -> np.ndarray:
    """Put a row without data in front: the period t = 0 at which MARSS and astsa have their initial state."""
    rows = np.asarray(y, dtype=float).reshape(len(y), -1)
    return np.concatenate([np.full((1, rows.shape[1]), np.nan), rows])


# -- the models, as the figures' authors declared them -----------------------------------------------------


def read(shared: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(shared / "lgssm" / name, na_values="NA")


def nile() -> np.ndarray:
    return sm.datasets.nile.load_pandas().data["volume"].to_numpy(dtype=float, copy=True)[:, None]


def local_level(y: np.ndarray, **start: object) -> sse.LGSSM:
    return sse.LGSSM(y, 1, design=[[1.0]], transition=[[1.0]], obs_intercept="zero", **start)


def ar1_and_noise(shared: Path) -> sse.LGSSM:
    y = read(shared, "shumway_stoffer_ex68.csv")["y_arima_sim"].to_numpy()
    return sse.LGSSM(after_x0(y), 1, design=[[1.0]], obs_intercept="zero")


def nile_unknown_constant(shared: Path) -> sse.LGSSM:
    return local_level(after_x0(nile()), initialization="estimated")


def nile_known_start(shared: Path) -> sse.LGSSM:
    start = {"initialization": "known", "initial_state": [0.0], "initial_state_cov": [[1000.0]]}
    return local_level(nile(), **start)


def nile_diffuse(shared: Path) -> sse.LGSSM:
    return local_level(nile(), initialization="diffuse")


def nile_diffuse_missing(shared: Path) -> sse.LGSSM:
    y = nile()
    y[20:40] = y[60:80] = np.nan
    return local_level(y, initialization="diffuse")


def seals(shared: Path) -> pd.DataFrame:
    counts = read(shared, "marss_harborSealWA.csv").set_index("Year")
    first = counts.index[0] - 1
    return counts.reindex(range(first, counts.index[-1] + 1))


def seals_independent(shared: Path) -> sse.LGSSM:
    return sse.LGSSM(
        seals(shared), 5, design="identity", transition="identity", obs_intercept="zero",
        state_intercept="free", obs_cov="scalar", state_cov="diagonal", initialization="estimated",
    )  # fmt: skip


def seals_one_population(shared: Path) -> sse.LGSSM:
    return sse.LGSSM(
        seals(shared), 1, design=np.ones((5, 1)), transition=[[1.0]], state_intercept="free",
        obs_intercept=[0.0, np.nan, np.nan, np.nan, np.nan], initialization="estimated",
    )  # fmt: skip


def ar2_without_noise(shared: Path, name: str, rows: slice) -> sse.LGSSM:
    start = read(shared, "marss_ar2.csv")["y"].to_numpy()[:2]
    return sse.LGSSM(
        after_x0(read(shared, name).iloc[rows, 1].to_numpy()), 1, 2, design=[[1.0]], obs_intercept="zero",
        obs_cov="zero", initialization="known", initial_state=start[::-1], initial_state_cov=np.zeros((2, 2)),
    )  # fmt: skip


def ar2(shared: Path) -> sse.LGSSM:
    return ar2_without_noise(shared, "marss_ar2.csv", slice(2, None))


def ar2_gappy(shared: Path) -> sse.LGSSM:
    return ar2_without_noise(shared, "marss_ar2_gappy.csv", slice(None))


def longley(shared: Path) -> sse.LGSSM:
    data = sm.datasets.longley.load_pandas().data / 1000.0
    return sse.LGSSM(
        data["TOTEMP"], 1, exog=data[["GNP", "POP"]], design=[[1.0]], transition=[[0.0]], state_cov="zero",
        initialization="known", initial_state=[0.0], initial_state_cov=[[0.0]],
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model, and our name of each parameter that the reference has a figure for."""

    build: Callable[[Path], sse.LGSSM]
    names: dict[str, str] = field(default_factory=dict)

    def expected(self, entry: dict) -> pd.Series:
        """Return the figures by our names."""
        figures = {**entry["expected"], **entry["expected"].get("params", {})}
        figures |= {f"D{i}": value for i, value in enumerate(figures.get("D", []))}
        return pd.Series({ours: figures[theirs] for theirs, ours in self.names.items()})


SITES = ["SJF", "SJI", "EBays", "PSnd", "HC"]
LEVEL = {"R": "obs_var.y", "Q": "state_var.f1"}
AR2 = {"b1": "L1.f1->f1", "b2": "L2.f1->f1", "q": "state_var.f1"}
CASES = {
    "E3b": Case(ar1_and_noise, {"phi": "L1.f1->f1", **LEVEL}),
    "N2": Case(nile_unknown_constant, {**LEVEL, "x0": "initial_state.f1"}),
    "N4": Case(nile_known_start, LEVEL),
    "N6": Case(nile_diffuse, LEVEL),
    "N7": Case(nile_diffuse_missing, LEVEL),
    "H1": Case(
        seals_independent,
        {
            "R": "obs_var",
            **{f"U{i}": f"state_intercept.f{i}" for i in range(1, 6)},
            **{f"Q{i}": f"state_var.f{i}" for i in range(1, 6)},
            **{f"x0_{i}": f"initial_state.f{i}" for i in range(1, 6)},
        },
    ),
    "H3": Case(
        seals_one_population,
        {
            **{f"A.{site}": f"obs_intercept.{site}" for site in SITES[1:]},
            **{f"R.{site}": f"obs_var.{site}" for site in SITES},
            "U": "state_intercept.f1",
            "Q": "state_var.f1",
            "x0": "initial_state.f1",
        },
    ),
    "A1": Case(ar2, AR2),
    "A2": Case(ar2_gappy, AR2),
    "L1": Case(
        longley,
        {
            "a": "obs_intercept.TOTEMP",
            "D0": "obs_coef.GNP->TOTEMP",
            "D1": "obs_coef.POP->TOTEMP",
            "R": "obs_var.TOTEMP",
        },
    ),
}
every_case = pytest.mark.parametrize("key", CASES)


# -- maxima ------------------------------------------------------------------------------------------------


@cache
def fitted(key: str, method: str, shared_data: Path) -> sse.LGSSMResults:
    """Return a fit, once for all tests."""
    return CASES[key].build(shared_data).fit(method=method)


@pytest.mark.parametrize("method", ["auto", "lbfgs"])
@every_case
def test_maximum(key: str, method: str, reference: dict, shared_data: Path) -> None:
    case, entry = CASES[key], reference[key]
    res = fitted(key, method, shared_data)
    assert res.converged and res.mle_retvals["converged"]
    assert_allclose(res.llf, entry["expected"]["loglik"], rtol=0, atol=1e-7)
    estimates = pd.Series(np.asarray(res.params), index=res.model.param_names)
    expected = case.expected(entry)
    assert sorted(expected.index) == sorted(estimates.index)
    in_standard_errors = (estimates[expected.index] - expected) / pd.Series(
        np.asarray(res.bse), index=estimates.index
    )
    assert_allclose(in_standard_errors, 0.0, atol=1e-4)  # 1e-4 of one costs 5e-9 of log-likelihood


@every_case
def test_em_rises_towards_the_maximum(key: str, reference: dict, shared_data: Path) -> None:
    best = reference[key]["expected"]["loglik"]
    res = CASES[key].build(shared_data).fit(method="em", maxiter=200, tolerance=0, cov_type="none")
    llf = res.em_trace["llf"].to_numpy()
    assert len(llf) == 201 and rises(res.em_trace)
    assert np.all(llf <= best + ROUNDING * (1.0 + abs(best)))
    assert best - llf[-1] < 0.05 * max(best - llf[0], 1e-6)


def test_shumway_and_stoffer_example_6_6(reference: dict, shared_data: Path) -> None:
    expected = reference["E3b"]
    res = fitted("E3b", "auto", shared_data)
    assert_allclose(np.asarray(res.params), CASES["E3b"].expected(expected), rtol=expected["tol"])
    phi, obs_var, state_var = np.asarray(res.params)
    # they printed the standard errors of the standard deviations: Var(s^2) = (2 s)^2 Var(s)
    se = np.asarray(res.bse) / [1.0, 2.0 * np.sqrt(obs_var), 2.0 * np.sqrt(state_var)]
    assert_allclose(se, [0.0806, 0.1429, 0.1753], rtol=0, atol=5.1e-5)


def test_exact_diffuse_convention_of_kfas(shared_data: Path) -> None:
    """KFAS leaves log(2 pi) / 2 out for each diffuse state."""
    for build, printed in ((nile_diffuse, -632.545625103), (nile_diffuse_missing, -380.007729121)):
        res = build(shared_data).fit()
        assert_allclose(res.llf + 0.5 * np.log(2.0 * np.pi), printed, rtol=0, atol=1e-8)


def test_em_does_not_stop_where_marss_did(reference: dict, shared_data: Path) -> None:
    """A rule that sees only the log-likelihood stopped 19 % off in the state variance."""
    entry = reference["N2"]
    res = nile_unknown_constant(shared_data).fit(method="em", tolerance=1e-8, maxiter=5000)
    found = pd.Series(np.asarray(res.params), index=res.model.param_names)["state_var.f1"]
    assert res.converged
    assert_allclose(found, entry["expected"]["params"]["Q"], rtol=0.01)
    assert abs(entry["marss"]["default_tol"]["Q"] / entry["expected"]["params"]["Q"] - 1.0) > 0.19


# -- standard errors ---------------------------------------------------------------------------------------


def test_standard_errors_with_missing_data(reference: dict, shared_data: Path) -> None:
    case, entry = CASES["H3"], reference["H3"]
    names = list(case.expected(entry).index)
    res = fitted("H3", "auto", shared_data)
    se = pd.Series(np.asarray(res.bse), index=res.model.param_names)[names]
    # printed to 1e-8, from differences that are themselves good to 4e-6 (see the next test)
    assert_allclose(se, entry["SE_numeric_hessian"], rtol=1e-5)
    wrong = pd.Series(entry["SE_statsmodels_oim_WRONG_with_missing"], index=names)
    variances = [name for name in names if name.startswith("obs_var")]
    assert np.all(se > wrong * (1.0 - 1e-5)) and np.all(se[variances] > 1.2 * wrong[variances])
    assert se["obs_var.HC"] > 1.6 * wrong["obs_var.HC"]


def brute_force_se(model: sse.LGSSM, params: np.ndarray) -> np.ndarray:
    """Standard errors from log-likelihoods alone: Richardson differences of Richardson differences."""

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(model.loglike, at, step=step, levels=3)

    step = 0.02 * np.maximum(np.abs(params), 1e-3)
    return np.sqrt(np.diag(np.linalg.inv(-richardson_gradient(gradient, params, step=step, levels=3))))


@pytest.mark.parametrize("key", ["E3b", "N2", "N4", "N6", "N7", "H3", "A1", "A2", "L1"])
def test_standard_errors_are_those_of_the_log_likelihood(key: str, shared_data: Path) -> None:
    res = fitted(key, "auto", shared_data)
    expected = brute_force_se(res.model, np.asarray(res.params))
    assert_allclose(np.asarray(res.bse), expected, rtol=2e-6)


def test_standard_errors_at_the_ols_limit(reference: dict, shared_data: Path) -> None:
    data = sm.datasets.longley.load_pandas().data / 1000.0
    ols = sm.OLS(data["TOTEMP"], sm.add_constant(data[["GNP", "POP"]])).fit()
    res = CASES["L1"].build(shared_data).fit()
    assert_allclose(res.llf, ols.llf, rtol=1e-12)
    assert_allclose(np.asarray(res.params)[:3], ols.params, rtol=1e-6)
    names = ["obs_intercept.TOTEMP", "obs_coef.GNP->TOTEMP", "obs_coef.POP->TOTEMP", "obs_var.TOTEMP"]
    exact = res.params.copy()
    exact[names] = [*ols.params, ols.ssr / ols.nobs]
    printed = [reference["L1"]["SE"][key] for key in ("a", "GNP", "Pop", "R")]
    at_maximum = res.model.smooth(exact.to_numpy())  # of ten printed digits, the fit has six
    for results, rtol in ((at_maximum, 1e-8), (res, 1e-6)):
        ours = pd.Series(np.asarray(results.bse), index=res.model.param_names)[names]
        assert_allclose(ours, printed, rtol=rtol)
        assert_allclose(ours.iloc[:3], ols.bse * np.sqrt(ols.df_resid / ols.nobs), rtol=1e-6)


# -- paths of EM -------------------------------------------------------------------------------------------


def robot_model(intercepts: np.ndarray) -> sse.LGSSM:
    """Return pykalman's robot (5 states, 2 series); column t of the intercepts enters x_{t+1}."""
    from pykalman.datasets import load_robot

    robot = load_robot()
    y = np.ma.filled(robot.observations.astype(float), np.nan)
    assert np.isnan(y[0]).all() and not np.isnan(y[1:]).any()
    return sse.LGSSM(
        y, 5, design=robot.observation_matrix, obs_intercept=robot.observation_offset,
        transition=robot.transition_matrix, state_intercept=intercepts,
        obs_cov="unstructured", state_cov="unstructured",
        initialization="known", initial_state=robot.initial_state_mean,
        initial_state_cov=robot.initial_state_covariance,
    )  # fmt: skip


def robot_intercepts() -> np.ndarray:
    """Return (5, nobs): b_0, ..., b_{n-2}, and a last column that enters no state of the sample."""
    from pykalman.datasets import load_robot

    return np.column_stack([load_robot().transition_offsets.T, np.zeros(5)])


def fit_robot(model: sse.LGSSM, maxiter: int) -> sse.LGSSMResults:
    start = {"obs_cov": 10.0 * np.eye(2), "state_cov": 10.0 * np.eye(5)}
    return model.fit(start, method="em", maxiter=maxiter, tolerance=0)


def test_robot_log_likelihoods(reference: dict) -> None:
    res = fit_robot(robot_model(robot_intercepts()), 49)
    expected = reference["E1"]["expected"]["loglikelihoods"]
    assert res.em_trace["iteration"].tolist() == list(range(50))
    assert_allclose(res.em_trace["llf"], expected, rtol=0, atol=1e-8)
    assert_allclose(res.llf, expected[-1], rtol=0, atol=1e-8)


def test_robot_covariances_and_states() -> None:
    """What the file of the data holds itself: the covariances after 50 M-steps, and the states at them."""
    from pykalman.datasets import load_robot

    robot = load_robot()
    res = fit_robot(robot_model(robot_intercepts()), 50)
    for key, published in (
        ("state_cov", robot.transition_covariance),
        ("obs_cov", robot.observation_covariance),
    ):
        assert_allclose(res.matrices[key], published, rtol=0, atol=1e-10)
    assert_allclose(res.factors.smoothed, robot.smoothed_state_means, rtol=0, atol=1e-10)
    assert_allclose(res.factors.filtered, robot.filtered_state_means, rtol=0, atol=1e-10)
    cov = res.factors.smoothed_cov.to_numpy().reshape(-1, 5, 5)
    assert_allclose(cov, robot.smoothed_state_covariances, rtol=0, atol=1e-10)


def test_robot_intercept_enters_the_next_state() -> None:
    start = {"obs_cov": 10.0 * np.eye(2), "state_cov": 10.0 * np.eye(5)}

    def llf(intercepts: np.ndarray) -> float:
        model = robot_model(intercepts)
        return model.loglike(model.params_from_matrices(start))

    b = robot_intercepts()
    other_end, late = b.copy(), np.roll(b, 1, axis=1)
    other_end[:, -1] = 1e3
    assert llf(other_end) == llf(b)
    assert abs(llf(late) - llf(b)) > 100.0


def test_constrained_companion_path(reference: dict, shared_data: Path) -> None:
    entry = reference["E4"]
    expected, init = entry["expected"], entry["init"]
    y = read(shared_data, "astsa_ar2_noise.csv")["y"].to_numpy()
    model = sse.LGSSM(
        after_x0(y), 1, 2, design=[[1.0]], obs_intercept="zero", initialization="known",
        initial_state=[0.0, 0.0], initial_state_cov=[[8.6, 7.4], [7.4, 8.6]],
    )  # fmt: skip
    start = {"transition": [init["phi"]], "state_cov": [[init["q"]]], "obs_cov": [[init["R"]]]}
    res = model.fit(start, method="em", maxiter=expected["after_M_steps"], tolerance=0)
    # astsa's `like` leaves the constant out
    likes = -res.em_trace["llf"] - 0.5 * len(y) * np.log(2.0 * np.pi)
    for before_step, like in expected["minus_like_before_M"].items():
        assert_allclose(likes[int(before_step) - 1], like, rtol=0, atol=entry["tol"])
    names = ["phi1", "phi2", "R", "q"]
    assert_allclose(np.asarray(res.params), [expected[name] for name in names], rtol=0, atol=entry["tol"])
    assert model.param_names == ["L1.f1->f1", "L2.f1->f1", "obs_var.y", "state_var.f1"]


# -- the simulation of the published notebooks, and their four variants ------------------------------------


def simulated_and_start() -> tuple[np.ndarray, np.ndarray]:
    """Return the notebook's data (200, 3) and its first design, from numpy's legacy generator."""
    draw = np.random.RandomState(1)  # the stream of np.random.seed(1)
    transition = np.array([[0.8, 0.1], [0.0, 0.9]])
    design = np.array([[1.0, 0.0], [0.5, 1.0], [0.0, 0.3]])
    x = np.zeros((200, 2))
    x[0] = draw.randn(2)
    for t in range(1, 200):
        x[t] = transition @ x[t - 1] + draw.multivariate_normal(np.zeros(2), 0.1 * np.eye(2))
    y = np.array([design @ state + draw.multivariate_normal(np.zeros(3), 0.5 * np.eye(3)) for state in x])
    return y, draw.randn(3, 2)


@unidentified
def test_simulation_of_the_published_notebook() -> None:
    y, first_design = simulated_and_start()
    model = sse.LGSSM(
        y, 2, obs_intercept="zero", obs_cov="unstructured", initialization="approximate_diffuse"
    )
    start = {"design": first_design, "transition": np.eye(2), "obs_cov": np.eye(3), "state_cov": np.eye(2)}
    res = model.fit(start, method="em", maxiter=29, tolerance=0)
    llf = res.em_trace["llf"].to_numpy()
    assert_allclose(llf[[0, 1, 29]], [-1040.71, -747.66, -704.29], rtol=0, atol=0.005)
    assert len(llf) == 30 and np.all(np.diff(llf) > 0.0)


VARIANTS: dict[str, dict] = {
    "zero mean": {"obs_intercept": "zero"},
    "non-zero means": {"obs_intercept": "free", "state_mean": "free"},
    "multi-lag": {"lags": 2, "obs_intercept": "zero"},
    "multi-lag, non-zero means": {"lags": 2, "obs_intercept": "free", "state_mean": "free"},
}
every_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())


def simulate(lags: int, means: bool) -> np.ndarray:
    """Draw 150 periods of 4 series from two factors with one or two lags, with or without means."""
    rng = np.random.default_rng(20)
    blocks = [np.array([[0.5, 0.2], [-0.1, 0.6]]), np.array([[0.2, 0.0], [0.1, -0.3]])][:lags]
    design = np.array([[1.0, 0.0], [0.6, -0.5], [0.0, 1.2], [-0.8, 0.4]])
    state_mean = np.array([1.0, -2.0]) * means
    x = np.zeros((200, 2))
    for t in range(2, 200):
        x[t] = rng.normal(scale=0.8, size=2) + sum(A @ x[t - 1 - lag] for lag, A in enumerate(blocks))
    noise = rng.normal(scale=0.5, size=(150, 4))
    return (x[50:] + state_mean) @ design.T + means * np.array([3.0, 0.0, -1.0, 10.0]) + noise


def variant(options: dict, initialization: str, **more: object) -> sse.LGSSM:
    """Return a variant; an unknown constant x_1 has no data, or the likelihood is unbounded (R_jj -> 0)."""
    lags, y = options.get("lags", 1), simulate(options.get("lags", 1), "state_mean" in options)
    start: dict = {"initialization": initialization}
    if initialization == "known":
        start |= {"initial_state": np.zeros(2 * lags), "initial_state_cov": np.eye(2 * lags)}
    if initialization == "estimated":
        y = after_x0(y)
    return sse.LGSSM(y, 2, **start, **options, **more)


def far_away(model: sse.LGSSM) -> dict[str, np.ndarray]:
    """Return poor start values, from which a wrong M-step falls."""
    k, lags, p = model.k_factors, model.lags, model.k_endog
    start = {
        "design": np.random.default_rng(3).normal(size=(p, k)),
        "transition": np.hstack([0.5 / lags * np.eye(k)] * lags),
        "obs_cov": 10.0 * np.eye(p),
        "state_cov": np.eye(k),
        "obs_intercept": np.zeros(p),
        "state_mean": np.zeros(k),
        "initial_state": np.zeros(k * lags),
    }
    return {key: value for key, value in start.items() if not model.layout.blocks[key].is_fixed}


@unidentified
@pytest.mark.parametrize("initialization", ["stationary", "known", "estimated", "approximate_diffuse"])
@every_variant
def test_em_rises_in_the_four_published_variants(options: dict, initialization: str) -> None:
    model = variant(options, initialization)
    for start in (None, far_away(model)):
        res = model.fit(start, method="em", maxiter=30, tolerance=0, cov_type="none")
        assert rises(res.em_trace) and len(res.em_trace) == 31
        assert np.all(np.isfinite(res.params))


@unidentified
@pytest.mark.parametrize("initialization", ["stationary", "known", "estimated"])
@every_variant
def test_auto_and_lbfgs_reach_one_maximum_in_the_four_variants(options: dict, initialization: str) -> None:
    """A prior of x_1 that does not depend on Q needs factors of a fixed scale, or the scale runs away."""
    normalised = {} if initialization == "stationary" else {"identification": "triangular"}
    model = variant(options, initialization, **normalised)
    em = model.fit(method="em", maxiter=60, tolerance=0, cov_type="none")
    auto, lbfgs = (model.fit(method=method, cov_type="none") for method in ("auto", "lbfgs"))
    assert auto.converged and lbfgs.converged
    assert_allclose(lbfgs.llf, auto.llf, rtol=0, atol=1e-5)
    assert em.llf <= auto.llf + ROUNDING * (1.0 + abs(auto.llf))
    assert auto.llf - em.llf < 0.2 * (auto.llf - em.em_trace["llf"].iloc[0])


@unidentified
def test_means_are_those_of_the_data() -> None:
    """Mean of y = d + Z mu, however the intercept is split: what is identified is near the sample mean."""
    model = variant(VARIANTS["multi-lag, non-zero means"], "stationary")
    at = model.fit().matrices
    implied = at["obs_intercept"].to_numpy() + at["design"].to_numpy() @ at["state_mean"].to_numpy()
    assert_allclose(implied[:, 0], model.endog.mean(axis=0), atol=0.3)
