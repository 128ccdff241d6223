"""DynamicRegression: likelihood and smoothed coefficients against figures and GLS; maxima; boundaries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from capm import (
    ASSETS,
    BETA_MOVES,
    BOTH_MOVE,
    berndt,
    gls,
    least_squares,
    random_cov,
    random_walks,
    simulated,
    static_llf,
)
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.exceptions import ConvergenceWarning, UnsupportedError

RANDOM_STARTS = Path(__file__).parents[1] / "reference" / "capm_random_starts.json"
EXACT = {"rtol": 0, "atol": 1e-8}

Data = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Data:
    return berndt(shared_data)


@pytest.fixture(scope="module")
def decimals(data: Data) -> Data:
    y, x = data
    return y / 100.0, x.assign(MKT=x["MKT"] / 100.0)


@pytest.fixture(scope="module")
def book(data: Data, reference: dict) -> tuple[dict, sse.DynamicRegressionResults]:
    """The figures at the book's V and W_beta, and our results there."""
    figures = reference["capm"]["at_the_book_s_V_and_W_beta"]
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    matrices = {"obs_cov": figures["V"], "state_cov": figures["W_beta"]}
    return figures, model.smooth(model.params_from_matrices(matrices))


@pytest.fixture(scope="module")
def best(data: Data) -> sse.DynamicRegressionResults:
    """The unrestricted fit from the default start."""
    return sse.DynamicRegression(*data, dynamics=BETA_MOVES).fit()


# -- at given V and W --------------------------------------------------------------------------------------


def test_log_likelihood_at_the_book_s_matrices(book: tuple) -> None:
    figures, res = book
    assert_allclose(res.llf, figures["llf_statsmodels_exact_diffuse"], **EXACT)
    assert_allclose(res.model.loglike(res.params), figures["llf_statsmodels_exact_diffuse"], **EXACT)
    assert_allclose(res.matrices["obs_cov"].loc[ASSETS, ASSETS], figures["V"], rtol=1e-15)
    assert_allclose(res.matrices["state_cov"], figures["W_beta"], rtol=1e-15)


def test_alphas_at_the_book_s_matrices(book: tuple) -> None:
    figures, res = book
    alpha = res.coefficients["const"]
    assert_allclose(alpha.estimate[ASSETS], figures["alpha"], **EXACT)
    assert_allclose(alpha.se[ASSETS], figures["alpha_se"], **EXACT)
    cov = res.smoothed_state_cov[:4, :4, -1]
    wald = alpha.estimate @ np.linalg.solve(cov, alpha.estimate)
    assert_allclose(wald, figures["wald_alpha0_chi2_4"], **EXACT)


def test_betas_at_the_book_s_matrices(book: tuple) -> None:
    figures, res = book
    beta = res.coefficients["MKT"]
    for month, expected in figures["smoothed_beta"].items():
        assert_allclose(beta.smoothed.loc[month, ASSETS], expected, **EXACT)
        assert_allclose(beta.smoothed_se.loc[month, ASSETS], figures["smoothed_beta_se"][month], **EXACT)
    assert_allclose(beta.filtered.iloc[-1], beta.smoothed.iloc[-1], rtol=1e-12)
    with pytest.raises(sse.SpecificationError, match="no single estimate"):
        _ = beta.estimate


@pytest.mark.parametrize("moving", [False, True], ids=["static", "random walks with W = 0"])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_constant_coefficients_in_closed_form(m: int, moving: bool) -> None:
    rng = np.random.default_rng([m, 1])
    exog = np.column_stack([np.ones(40), rng.standard_normal((40, m - 1))])
    y = exog @ rng.standard_normal((m, 3)) + rng.standard_normal((40, 3))
    V = random_cov(rng, 3)
    dynamics = {f"x{j + 1}": "random_walk" for j in range(m)} if moving else None
    model = sse.DynamicRegression(y, exog, dynamics=dynamics)
    matrices = {"obs_cov": V, **({"state_cov": np.zeros((3 * m, 3 * m))} if moving else {})}
    res = model.smooth(model.params_from_matrices(matrices))
    assert_allclose(res.llf, static_llf(y, exog, V), rtol=0, atol=1e-10)
    coefficients, _ = least_squares(y, exog)
    for t in (0, 7, 39):
        assert_allclose(res.smoothed_state[:, t], coefficients.ravel(), rtol=0, atol=1e-10)
        cov = np.kron(np.linalg.inv(exog.T @ exog), V)
        assert_allclose(res.smoothed_state_cov[:, :, t], cov, rtol=0, atol=1e-10)


def test_maximum_of_constant_coefficients_in_closed_form(data: Data, reference: dict) -> None:
    y, x = (frame.to_numpy() for frame in data)
    coefficients, S = least_squares(y, x)
    V = S / (len(y) - 2)
    for method in ("auto", "lbfgs"):
        res = sse.DynamicRegression(*data).fit(method=method)
        assert res.converged
        assert_allclose(res.llf, static_llf(y, x, V), rtol=0, atol=1e-10)
        assert_allclose(res.llf, reference["capm"]["W_0_static"]["llf_statsmodels_exact_diffuse"], **EXACT)
        assert_allclose(res.matrices["obs_cov"], V, rtol=0, atol=1e-5)
        assert_allclose(res.coefficients["MKT"].estimate, coefficients[1], rtol=1e-9)
        assert_allclose(res.coefficients["const"].estimate, coefficients[0], rtol=1e-8)


GLS_CASES = {
    "static alpha, moving beta": (BETA_MOVES, "unstructured", [1]),
    "both moving": (BOTH_MOVE, "unstructured", [0, 1]),
    "both moving, jointly": (BOTH_MOVE, "joint", [0, 1]),
    "moving alpha": ({"const": "random_walk"}, "unstructured", [0]),
}


def random_case(name: str, p: int, missing: float, seed: int = 3) -> tuple:
    """Return a model of one of `GLS_CASES`, random parameters, V and the wander of the coefficients."""
    dynamics, structure, moving = GLS_CASES[name]
    rng = np.random.default_rng([p, seed])
    y, x = simulated(rng, 25, p, missing=missing)
    x["SMB"] = rng.standard_normal(25)
    V, q = random_cov(rng, p, 9.0), len(moving)
    W = random_cov(rng, q * p, 0.05)
    if structure != "joint":
        W *= np.kron(np.eye(q), np.ones((p, p)))
    model = sse.DynamicRegression(y, x, dynamics=dynamics, state_cov=structure)
    params = model.params_from_matrices({"obs_cov": V, "state_cov": W})
    places = np.concatenate([np.arange(j * p, (j + 1) * p) for j in moving])
    return model, params, V, random_walks(W, places, 3 * p)


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("name", GLS_CASES)
def test_against_gls(name: str, p: int, missing: float) -> None:
    model, params, V, wander = random_case(name, p, missing)
    expected = gls(model.endog, model.exog, V, wander)
    res = model.smooth(params)
    assert_allclose(model.loglike(params), expected.llf, rtol=0, atol=1e-9)
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-9)
    assert_allclose(res.smoothed_state[:, 0], expected.coefficients, rtol=0, atol=1e-9)
    assert_allclose(res.smoothed_state_cov[:, :, 0], expected.cov, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", GLS_CASES)
def test_score_against_differences_of_gls(name: str) -> None:
    model, params, *_ = random_case(name, 2, 0.15)

    def llf(at: np.ndarray) -> float:
        found = model.matrices(at)
        places = model.coefficients.noise_rows
        wander = random_walks(found["state_cov"], places, model.k_states)
        return gls(model.endog, model.exog, found["obs_cov"], wander).llf

    want = richardson_gradient(llf, params, step=0.05 * np.abs(params))
    assert_allclose(model.score(params), want, rtol=0, atol=1e-7 * np.abs(want).max())


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("p", [1, 2])
def test_autoregressive_coefficients_against_gls(p: int, missing: float) -> None:
    """A mean and a stationary deviation: Cov(theta_s, theta_t) = phi^|s - t| P given the mean."""
    rng = np.random.default_rng([p, 5])
    y, x = simulated(rng, 25, p, missing=missing)
    V, W, phi = random_cov(rng, p, 9.0), random_cov(rng, p, 0.05), rng.uniform(-0.5, 0.95, p)
    model = sse.DynamicRegression(y, x, dynamics={"MKT": "ar1"})
    params = model.params_from_matrices(
        {"obs_cov": V, "state_cov": W, "transition": np.c_[np.zeros((p, 2 * p)), np.diag(phi)]}
    )
    P = W / (1.0 - np.outer(phi, phi))

    def deviation(s: int, t: int) -> np.ndarray:
        out = np.zeros((2 * p, 2 * p))
        lag = s - t
        out[p:, p:] = phi[:, None] ** lag * P if lag >= 0 else P * phi[None, :] ** -lag
        return out

    expected = gls(model.endog, model.exog, V, deviation)
    res = model.smooth(params)
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-9)
    assert_allclose(res.smoothed_state[: 2 * p, 0], expected.coefficients, rtol=0, atol=1e-9)
    assert_allclose(res.smoothed_state_cov[: 2 * p, : 2 * p, 0], expected.cov, rtol=0, atol=1e-9)


def test_partly_missing_rows_before_statsmodels_0_15() -> None:
    """statsmodels 0.14 returns a wrong likelihood there without a word: right or refused, never wrong."""
    model, params, V, wander = random_case("static alpha, moving beta", 4, 0.15)
    expected = gls(model.endog, model.exog, V, wander).llf
    try:
        assert_allclose(model.loglike(params), expected, rtol=0, atol=1e-9)
    except UnsupportedError as error:
        assert "statsmodels>=0.15.0" in str(error)


def test_assets_that_start_late_or_end_early() -> None:
    y, x = simulated(np.random.default_rng(11), 40, 2)
    y.iloc[:15, 0] = np.nan
    y.iloc[-9:, 1] = np.nan
    y.iloc[20] = np.nan
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    V, W = np.diag([4.0, 5.0]) + 1.0, np.array([[0.02, 0.01], [0.01, 0.03]])
    params = model.params_from_matrices({"obs_cov": V, "state_cov": W})
    expected = gls(y.to_numpy(), x.to_numpy(), V, random_walks(W, np.array([2, 3]), 4))
    res = model.smooth(params)
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-9)
    assert_allclose(res.smoothed_state[:, 0], expected.coefficients, rtol=0, atol=1e-9)
    fit = model.fit()
    assert fit.converged and fit.llf >= res.llf
    assert np.isfinite(fit.coefficients["MKT"].smoothed.to_numpy()).all()


# -- units -------------------------------------------------------------------------------------------------


def test_decimals_and_percent_differ_by_the_jacobian(data: Data, decimals: Data, book: tuple) -> None:
    """With an intercept and both rescaled: (observations - series) log 100; y alone: (n - k) p log 100."""
    _, res = book
    V, W = (res.matrices[name].to_numpy() for name in ("obs_cov", "state_cov"))
    both = sse.DynamicRegression(*decimals, dynamics=BETA_MOVES)
    llf = both.loglike(both.params_from_matrices({"obs_cov": V / 1e4, "state_cov": W}))
    assert_allclose(llf - res.llf, (480 - 4) * np.log(100.0), **EXACT)
    only = sse.DynamicRegression(decimals[0], data[1], dynamics=BETA_MOVES)
    llf = only.loglike(only.params_from_matrices({"obs_cov": V / 1e4, "state_cov": W / 1e4}))
    assert_allclose(llf - res.llf, (120 - 2) * 4 * np.log(100.0), **EXACT)


def test_estimates_in_other_units(data: Data, decimals: Data, best: sse.DynamicRegressionResults) -> None:
    """Results are in the user's units, whichever they are."""
    res = sse.DynamicRegression(*decimals, dynamics=BETA_MOVES).fit()
    assert res.converged and res.state_cov_rank == best.state_cov_rank
    assert_allclose(1e4 * res.matrices["obs_cov"], best.matrices["obs_cov"], rtol=1e-4, atol=1e-3)
    assert_allclose(res.matrices["state_cov"], best.matrices["state_cov"], rtol=1e-3, atol=1e-7)
    beta, expected = (r.coefficients["MKT"].smoothed for r in (res, best))
    assert_allclose(beta, expected, rtol=0, atol=1e-4)
    obs = [name for name in best.model.param_names if name.startswith("obs")]
    assert_allclose(1e4 * res.bse[obs], best.bse[obs], rtol=1e-3)


def test_series_in_different_units() -> None:
    """Scaling each series by itself scales its coefficients and nothing else."""
    y, x = simulated(np.random.default_rng(12), 120, 3)
    scale = np.array([1.0, 1e-2, 50.0])
    one = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov="diagonal").fit()
    other = sse.DynamicRegression(y * scale, x, dynamics=BETA_MOVES, state_cov="diagonal").fit()
    assert one.converged and other.converged
    assert_allclose(other.llf, one.llf - 118 * np.log(scale).sum(), rtol=0, atol=1e-5)
    assert_allclose(other.matrices["obs_cov"] / np.outer(scale, scale), one.matrices["obs_cov"], rtol=1e-3)


# -- maxima ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "lbfgs"])
def test_maximum_of_a_diagonal_state_cov(data: Data, reference: dict, method: str) -> None:
    res = sse.DynamicRegression(*data, dynamics=BETA_MOVES, state_cov="diagonal").fit(method=method)
    expected = reference["capm"]["diagonal_W_beta_full_V"]["llf_statsmodels_exact_diffuse"]
    assert res.converged
    assert_allclose(res.llf, expected, rtol=0, atol=1e-6)  # printed with seven decimals


def test_ibm_alone(decimals: Data, reference: dict) -> None:
    """The figures of KFAS are not quite its maximum; those of dlm and its vague prior are as printed."""
    figures = reference["capm"]["IBM_alone_decimal_alpha_and_beta_random_walks"]
    expected = figures["llf_statsmodels_exact_diffuse"]
    model = sse.DynamicRegression(decimals[0]["IBM"], decimals[1], dynamics=BOTH_MOVE)
    assert model.param_names == ["obs_var.IBM", "state_var.const.IBM", "state_var.MKT.IBM"]
    assert_allclose(model.loglike(figures["variances_obs_alpha_beta"]), expected, rtol=0, atol=1e-6)
    for method in ("auto", "lbfgs"):
        res = model.fit(method=method)
        assert res.converged and res.llf >= expected - 1e-6
        assert_allclose(res.llf, expected, rtol=0, atol=1e-4)
        assert_allclose(res.params, figures["variances_obs_alpha_beta"], rtol=0.02)
        assert_allclose(res.params, [2.32840e-03, 1.10013e-05, 6.49622e-04], rtol=1e-4)


def starts(y: pd.DataFrame, x: pd.DataFrame) -> dict[str, dict | None]:
    """Return start values of V and W_beta."""
    least = least_squares(y.to_numpy(), x.to_numpy())[1] / len(y)
    ten = 10.0 * np.tri(4)
    return {
        "default": None,
        "ones": {"obs_cov": np.eye(4), "state_cov": np.eye(4)},
        "0.1 I": {"obs_cov": 0.1 * np.eye(4), "state_cov": 0.1 * np.eye(4)},
        "least squares": {"obs_cov": least, "state_cov": 0.01 * least / np.mean(x["MKT"] ** 2)},
        "the answer's": {"obs_cov": np.diag(y.var()), "state_cov": 0.1 * np.eye(4)},
        "10 * ones in a Cholesky factor": {"obs_cov": ten @ ten.T, "state_cov": ten @ ten.T},
    }


START_NAMES = ("default", "ones", "0.1 I", "least squares", "the answer's", "10 * ones in a Cholesky factor")


@pytest.mark.parametrize("units", ["percent", "decimal"])
@pytest.mark.parametrize("start", START_NAMES)
def test_one_maximum_from_every_start(
    data: Data, decimals: Data, best: sse.DynamicRegressionResults, units: str, start: str
) -> None:
    frames, jacobian = (data, 0.0) if units == "percent" else (decimals, 476.0 * np.log(100.0))
    model = sse.DynamicRegression(*frames, dynamics=BETA_MOVES)
    res = model.fit(starts(*frames)[start], cov_type="none")
    assert res.converged
    assert_allclose(res.llf - jacobian, best.llf, rtol=0, atol=1e-5)


@pytest.mark.parametrize("start", ["default", "ones", "0.1 I", "least squares"])
def test_lbfgs_reaches_the_same_maximum(data: Data, best: sse.DynamicRegressionResults, start: str) -> None:
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    res = model.fit(starts(*data)[start], method="lbfgs")
    assert res.converged
    assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5)


NEARLY_SINGULAR = {
    "rank one": np.full((4, 4), 0.01) + 1e-9 * np.eye(4),
    "one tiny variance": np.diag([0.01, 0.01, 0.01, 1e-9]),
    "all tiny": 1e-9 * np.eye(4),
    "large and tiny": np.diag([10.0, 1.0, 1e-3, 1e-7]),
    "zero": np.zeros((4, 4)),
}


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
@pytest.mark.parametrize("method", ["auto", "lbfgs"])
@pytest.mark.parametrize("start", NEARLY_SINGULAR)
def test_nearly_singular_start_values(
    data: Data, best: sse.DynamicRegressionResults, start: str, method: str
) -> None:
    """Plain Cholesky factors in units of the data get to the maximum from all of them, by SciPy's BFGS."""
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    obs_cov = least_squares(*(frame.to_numpy() for frame in data))[1] / 118
    start_params = {"obs_cov": obs_cov, "state_cov": NEARLY_SINGULAR[start]}
    res = model.fit(start_params, method=method, cov_type="none")
    if method == "auto":
        assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5)
    if res.converged:
        assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(5))
def test_converged_means_at_a_maximum(data: Data, best: sse.DynamicRegressionResults, seed: int) -> None:
    """From W_beta of low rank and any size: at the maximum, or said not to be."""
    rng = np.random.default_rng(seed)
    loading = rng.standard_normal((4, 1 + seed % 3)) * 10.0 ** rng.uniform(-3, 1)
    start = {"obs_cov": random_cov(rng, 4, 40.0), "state_cov": loading @ loading.T + 1e-9 * np.eye(4)}
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    for method in ("auto", "lbfgs"):
        res = model.fit(start, method=method)
        if res.converged:
            assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5, err_msg=method)


def test_default_fit_is_not_below_the_best_of_200_random_starts(best: sse.DynamicRegressionResults) -> None:
    stored = json.loads(RANDOM_STARTS.read_text(encoding="utf-8"))
    assert stored["starts"] == 200
    assert best.llf >= stored["best_llf"] - 1e-5
    assert best.llf <= stored["best_llf"] + 1e-5  # else the starts were too few, and are to be run again


def test_maxima_are_ordered_as_the_models_are_nested(data: Data, best: sse.DynamicRegressionResults) -> None:
    llf = {
        structure: sse.DynamicRegression(*data, dynamics=BETA_MOVES, state_cov=structure).fit().llf
        for structure in ("scalar", "diagonal", "equicorrelated")
    }
    static = sse.DynamicRegression(*data).fit().llf
    assert static < llf["scalar"] < llf["diagonal"] < best.llf
    assert llf["scalar"] < llf["equicorrelated"] < best.llf


def test_em_rises_and_is_slow_at_the_boundary(data: Data, best: sse.DynamicRegressionResults) -> None:
    """The gap falls like n / (2 iterations), not geometrically: doubling the iterations halves it."""
    res = sse.DynamicRegression(*data, dynamics=BETA_MOVES).fit(
        method="em", maxiter=400, tolerance=0, cov_type="none"
    )
    llf = res.em_trace["llf"].to_numpy()
    assert len(llf) == 401
    assert np.all(np.diff(llf) > -1e-9)
    gap = best.llf - llf
    assert np.all(gap > 0)
    assert 0.1 < gap[400] < 10 * 120 / (2 * 400)
    for k in (100, 200):
        assert 0.4 < gap[2 * k] / gap[k] < 0.75


def test_em_says_that_it_has_not_converged(data: Data) -> None:
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    with pytest.warns(ConvergenceWarning, match="maxiter"):
        res = model.fit(method="em", maxiter=20)
    assert not res.converged and not res.mle_retvals["converged"]


# -- the boundary ------------------------------------------------------------------------------------------


def test_singular_state_cov_is_reported(best: sse.DynamicRegressionResults) -> None:
    assert best.converged
    assert best.state_cov_rank == {"MKT": 1}
    values = np.linalg.eigvalsh(best.matrices["state_cov"])
    assert values[-1] > 1e-3 and np.all(np.abs(values[:-1]) < 1e-7 * values[-1])
    text = best.summary().as_text()
    assert "rank 1 of 4" in text and "boundary" in text


def test_no_standard_errors_at_a_boundary(best: sse.DynamicRegressionResults) -> None:
    state = [name for name in best.model.param_names if name.startswith("state")]
    assert sorted(best.boundary) == sorted(state)
    assert best.bse[state].isna().all()
    assert best.conf_int().loc[state].isna().all(axis=None)
    assert best.pvalues[state].isna().all()
    table = best.correlations("state_cov")
    assert_allclose(table.loc["corr", "estimate"], 1.0, atol=1e-6)
    assert table["se"].isna().all()


def test_first_order_conditions_at_the_boundary(best: sse.DynamicRegressionResults) -> None:
    """With dlogL = tr(G dW): none into the inside rises (G <= 0), none along the boundary (G W = 0)."""
    model, params = best.model, np.asarray(best.params)
    score = model.score(params)
    W = best.matrices["state_cov"].to_numpy()
    G = np.zeros((4, 4))
    rows, columns = np.triu_indices(4)
    G[rows, columns] = np.where(rows == columns, score[10:], 0.5 * score[10:])
    G = G + np.triu(G, 1).T
    size = np.sqrt(np.diag(W))
    scaled = G * np.outer(size, size)
    assert np.linalg.eigvalsh(scaled)[-1] < 1e-3
    assert np.abs(size[:, None] * (G @ W) / size).max() < 1e-3
    assert np.abs(score[:10] * np.diag(best.matrices["obs_cov"]).max()).max() < 1e-2


def test_standard_errors_of_obs_cov_at_the_boundary(best: sse.DynamicRegressionResults) -> None:
    """They hold in the model of rank one, W = g g', or are not available."""
    model, params = best.model, np.asarray(best.params)
    values, vectors = np.linalg.eigh(model.matrices(params)["state_cov"])
    loading = vectors[:, -1] * np.sqrt(values[-1])

    def full(at: np.ndarray) -> np.ndarray:
        return np.concatenate([at[:10], np.outer(at[10:], at[10:])[np.triu_indices(4)]])

    def score(at: np.ndarray) -> np.ndarray:
        jacobian = richardson_gradient(full, at, levels=2)
        return jacobian.T @ model.score(full(at))

    point = np.concatenate([params[:10], loading])
    assert_allclose(model.loglike(full(point)), best.llf, rtol=0, atol=1e-9)
    information = -richardson_gradient(score, point, levels=2)
    expected = np.sqrt(np.diag(np.linalg.inv(information)))[:10]
    found = best.bse.to_numpy()[:10]
    available = np.isfinite(found)
    assert_allclose(found[available], expected[available], rtol=1e-3)


def test_standard_errors_inside_the_parameter_space() -> None:
    y, x = simulated(np.random.default_rng(14), 300, 2, move=0.2)
    res = sse.DynamicRegression(y, x, dynamics=BETA_MOVES).fit()
    assert res.converged and res.boundary == [] and res.state_cov_rank == {"MKT": 2}
    information = -richardson_gradient(res.model.score, res.params, step=1e-3 * np.abs(res.params))
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    assert_allclose(res.bse, expected, rtol=1e-4)
    assert_allclose(np.sqrt(np.diag(res.cov_params_approx)), expected, rtol=1e-2)
    table = res.correlations("obs_cov")
    V = res.matrices["obs_cov"].to_numpy()
    assert_allclose(table.loc[("corr", "A1, A2"), "estimate"], V[0, 1] / np.sqrt(V[0, 0] * V[1, 1]))
    assert_allclose(table.loc[("sd", "A1"), "se"], res.bse["obs_var.A1"] / (2 * np.sqrt(V[0, 0])), rtol=1e-6)


def test_static_coefficients_have_the_standard_errors_of_least_squares(data: Data) -> None:
    import statsmodels.api as sm

    y, x = data
    res = sse.DynamicRegression(y, x).fit()
    for name in ASSETS:
        ols = sm.OLS(y[name], x).fit()
        for regressor in x.columns:
            assert_allclose(res.coefficients[regressor].estimate[name], ols.params[regressor], rtol=1e-7)
            assert_allclose(res.coefficients[regressor].se[name], ols.bse[regressor], rtol=1e-6)


# -- the three faults of the published code ----------------------------------------------------------------


def test_random_walks_do_not_start_from_a_stationary_distribution(data: Data) -> None:
    """Fault one: a stationary start of states with a unit root, which does not exist."""
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    model.update(model.start_params)
    assert model.ssm.initialization.initialization_type == "diffuse"
    with pytest.raises(sse.SpecificationError, match="initialization"):
        sse.DynamicRegression(*data, dynamics=BETA_MOVES, initialization="stationary")


def test_parameters_are_not_truncated_to_integers(book: tuple) -> None:
    """Fault two: a Cholesky factor written into an array of integers makes the likelihood a step function."""
    _, res = book
    params = np.asarray(res.params)
    for i in range(len(params)):
        moved = params.copy()
        moved[i] *= 1.0 + 1e-4
        assert res.model.loglike(moved) != res.llf
        matrices = res.model.matrices(moved)
        assert_allclose(
            res.model.params_from_matrices({k: matrices[k] for k in ("obs_cov", "state_cov")}), moved
        )


def test_integer_start_values_are_not_kept_as_integers(
    data: Data, best: sse.DynamicRegressionResults
) -> None:
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    start = model.params_from_matrices({"obs_cov": 40 * np.eye(4), "state_cov": np.eye(4)}).astype(int)
    res = model.fit(start)
    assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5)
    integers = sse.DynamicRegression(
        data[0].round().astype(int), data[1].round().astype(int), dynamics=BETA_MOVES
    )
    floats = sse.DynamicRegression(data[0].round(), data[1].round(), dynamics=BETA_MOVES)
    assert integers.loglike(res.params) == floats.loglike(res.params)


def test_start_values_are_not_too_large(
    data: Data, decimals: Data, best: sse.DynamicRegressionResults
) -> None:
    """Fault three: 10 in every place of the Cholesky factors, whatever the data. Ours follow the data."""
    for y, x in (data, decimals):
        model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
        matrices = model.matrices(model.start_params)
        S = least_squares(y.to_numpy(), x.to_numpy())[1]
        ratio = np.diag(matrices["obs_cov"]) * (len(y) - 2) / np.diag(S)
        assert np.all((ratio > 0.5) & (ratio < 2.0))
        spread = np.diag(matrices["state_cov"]) * np.mean(x["MKT"] ** 2) / np.diag(S) * len(y)
        assert np.all(spread < 1.0)
        assert np.linalg.eigvalsh(matrices["obs_cov"])[0] > 0
    model = sse.DynamicRegression(*data, dynamics=BETA_MOVES)
    assert best.llf - model.loglike(model.start_params) < 15.0


# -- invariance --------------------------------------------------------------------------------------------


def test_permuting_the_assets_permutes_the_results(data: Data, best: sse.DynamicRegressionResults) -> None:
    order = ["CITCRP", "IBM", "MOBIL", "WEYER"]
    res = sse.DynamicRegression(data[0][order], data[1], dynamics=BETA_MOVES).fit()
    assert_allclose(res.llf, best.llf, rtol=0, atol=1e-6)
    assert list(res.matrices["obs_cov"].index) == order
    expected = best.matrices["obs_cov"].loc[order, order]
    assert_allclose(res.matrices["obs_cov"], expected, rtol=1e-3, atol=1e-2)
    beta = best.coefficients["MKT"]
    assert_allclose(res.coefficients["MKT"].smoothed, beta.smoothed[order], rtol=0, atol=2e-3)
    assert_allclose(res.coefficients["MKT"].smoothed_se, beta.smoothed_se[order], rtol=0, atol=2e-3)


def test_permuting_the_regressors_permutes_the_states(data: Data, book: tuple) -> None:
    _, res = book
    model = sse.DynamicRegression(data[0], data[1][["MKT", "const"]], dynamics=BETA_MOVES)
    other = model.smooth(res.params)
    assert_allclose(other.llf, res.llf, **EXACT)
    assert_allclose(other.coefficients["const"].estimate, res.coefficients["const"].estimate, **EXACT)
    assert_allclose(other.coefficients["MKT"].smoothed, res.coefficients["MKT"].smoothed, **EXACT)


def test_the_order_of_frames_and_arrays_makes_no_difference(data: Data, book: tuple) -> None:
    _, res = book
    y, x = data
    for endog, exog in (
        (y.to_numpy(), x.to_numpy()),
        (np.asfortranarray(y), np.asfortranarray(x)),
        (y.to_numpy().tolist(), x.to_numpy().tolist()),
    ):
        model = sse.DynamicRegression(endog, exog, dynamics={"x2": "random_walk"})
        assert_allclose(model.loglike(np.asarray(res.params)), res.llf, rtol=1e-14)
