"""Macro factors that yields do not span, in continuous and in discrete time."""

from __future__ import annotations

import ast
import copy
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.optimize
from numpy.testing import assert_allclose
from oracle import dense
from scipy.stats import multivariate_normal
from yields import jps_with_macro, random_panel

import statespace_ext as sse
from statespace_ext.inference.bootstrap import Parametric

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
ROOTS = np.array([0.9968201437, 0.9594466921, 0.8717404052])
"""Of Joslin, Priebsch & Singleton (2014), a month, with the k_inf and standard deviation of errors below."""
K_INF, DEVIATION = 2.717366679e-5, 5.460882264e-5


def macro(n: int = 40, gaps: float = 0.0) -> pd.DataFrame:
    """Return two persistent macro factors."""
    rng = np.random.default_rng(5)
    values = np.cumsum(rng.standard_normal((n, 2)), axis=0) * 0.3 * np.array([1.0, 0.01])
    values[rng.random(values.shape) < gaps] = np.nan
    return pd.DataFrame(values, columns=["GRO", "INF"])


def built(gaps: float = 0.0, **options: Any) -> sse.ATSM:
    yields = random_panel(np.random.default_rng(3), 40, TAU)
    data = macro(gaps=gaps).set_index(yields.index)
    return sse.ATSM(yields, TAU, **{"macro": data, **options})


@cache
def _start(options: str) -> np.ndarray:
    """Return default start values, once for all tests: where yields have errors, they take a search."""
    return np.asarray(built(**ast.literal_eval(options)).start_params)


def start_of(**options: Any) -> np.ndarray:
    """Return parameters of `built` with these options, with gaps or without."""
    return _start(repr(dict(sorted({"obs_cov": "diagonal", "time": "continuous", **options}.items()))))


def published(shared_data: Path, **options: Any) -> sse.ATSM:
    """Return the model of the paper, its monthly yields times 12: the same portfolios, errors times 12."""
    yields, data, tau, W = jps_with_macro(shared_data)
    options = {"obs_cov": "exact-portfolios", "time": "discrete", **options}
    return sse.ATSM(12.0 * yields, tau, 3, macro=data, portfolio_weights=W / 12.0, **options)


JACOBIAN = 275 * 9 * np.log(12.0)
"""Of errors a year in place of errors a month, at 275 dates in 9 directions."""


def at_published_roots(model: sse.ATSM) -> np.ndarray:
    """Return parameters with the Q-dynamics of the paper, and a covariance that gives its errors."""
    start = np.asarray(model.start_params)
    at = model.layout.matrices(start)
    at["roots_Q"], at["k_inf"] = 12.0 * (1.0 - ROOTS)[:, None], np.array([[12.0 * 12.0 * K_INF]])
    data = np.column_stack(
        [model.panel.endog.iloc[:, 2:] @ model.panel.weights.T, model.panel.endog.iloc[:, :2]]
    )
    design = np.column_stack([data[:-1], np.ones(275)])
    rest = data[1:] - design @ np.linalg.lstsq(design, data[1:], rcond=None)[0]
    ols, best = 12.0 * rest.T @ rest / 275, at["state_cov"]

    def deviation(share: float) -> tuple[float, np.ndarray]:
        at["state_cov"] = share * best + (1.0 - share) * ols
        A, B = model.norm.yields_on_portfolios(at)
        errors = model.endog[1:, 2:] - A - data[1:, :3] @ B.T
        return float(np.sqrt(np.sum(errors**2) / (275 * 9))) / 12.0, at["state_cov"]

    share = scipy.optimize.brentq(lambda z: deviation(z)[0] - DEVIATION, 0.0, 1.3)
    at["state_cov"] = deviation(share)[1]
    at["obs_cov"] = at["obs_cov"] / np.trace(at["obs_cov"]) * 9 * (12.0 * DEVIATION) ** 2
    return np.asarray(model.layout.project(at, start))


def test_published_likelihood_of_the_errors(shared_data: Path) -> None:
    model = published(shared_data)
    llP, llQ = model.loglike_parts(at_published_roots(model))
    assert_allclose(llQ + JACOBIAN, 20781.0320, atol=1e-4)
    assert llP + llQ + JACOBIAN < 21173.1177


@pytest.mark.parametrize("identification", ["jsz", "jsz-pairs"])
def test_default_fit_is_above_the_published_maximum(shared_data: Path, identification: str) -> None:
    model = published(shared_data, identification=identification)
    res = model.fit(cov_type="none")
    llP, llQ = model.loglike_parts(res.params)
    assert res.converged and llP + llQ + JACOBIAN > 21173.1177 > 21172.9196
    assert_allclose([llP, llQ + JACOBIAN], [392.4855, 20780.632], atol=2e-3)
    K_Q = model.dynamics(res.params).pricing.K
    roots = np.sort(1.0 - np.linalg.eigvals(K_Q) / 12.0)[::-1]
    assert_allclose(roots, [0.99677, 0.95983, 0.87001], atol=1e-5)
    W = model.panel.weights
    assert_allclose(res.llf, llP + llQ + 0.5 * 275 * np.linalg.slogdet(W @ W.T)[1], rtol=1e-12)
    variance = np.trace(model.matrices(res.params)["obs_cov"]) / 9.0
    assert_allclose(np.sqrt(variance) / 12.0, 5.461764e-5, rtol=1e-6)


def test_the_unit_of_time_is_free(shared_data: Path) -> None:
    """Yields a month with maturities in months are the same model as yields a year."""
    yields, data, tau, W = jps_with_macro(shared_data)
    labels = [f"y{i}" for i in range(12)]
    options: dict[str, Any] = {"obs_cov": "exact-portfolios", "time": "discrete", "dt": 1.0}
    months = sse.ATSM(
        yields.set_axis(labels, axis=1), np.rint(12 * tau), 3, macro=data, portfolio_weights=W, **options
    )
    llP, llQ = months.loglike_parts(months.fit(cov_type="none").params)
    assert llP + llQ > 21173.1177


@pytest.mark.parametrize("time", ["continuous", "discrete"])
@pytest.mark.parametrize("obs_cov", ["diagonal", "scalar", "exact-portfolios"])
def test_likelihood(time: str, obs_cov: str) -> None:
    """Of the joint normal distribution; of exact portfolios, from a regression and from errors."""
    exact = obs_cov == "exact-portfolios"
    model = built(0.0 if exact else 0.1, time=time, obs_cov=obs_cov)
    params = start_of(time=time, obs_cov=obs_cov)
    at, dt = model.dynamics(params), 1.0 / 12.0
    block = np.block([[-at.K_P, at.cov], [np.zeros((5, 5)), at.K_P.T]]) * dt
    expm = scipy.linalg.expm(block)
    Phi = expm[:5, :5] if time == "continuous" else np.eye(5) - dt * at.K_P
    W = expm[:5, 5:] @ Phi.T if time == "continuous" else dt * at.cov
    theta = np.linalg.solve(at.K_P, at.kappa_P)
    A, B = model.loadings(params, TAU)
    if not exact:
        design = np.vstack([np.eye(5)[3:], np.column_stack([B, np.zeros((5, 2))])])
        H = scipy.linalg.block_diag(np.zeros((2, 2)), model.matrices(params)["obs_cov"])
        system = {
            "design": design, "obs_intercept": np.append(np.zeros(2), A), "obs_cov": H, "transition": Phi,
            "state_intercept": theta - Phi @ theta, "selection": np.eye(5), "state_cov": W,
            "initial_state": theta, "initial_state_cov": scipy.linalg.solve_discrete_lyapunov(Phi, W),
        }  # fmt: skip
        assert_allclose(model.loglike(params), dense(model.endog, system).llf, rtol=1e-8)
        return
    y, N = model.panel.endog.to_numpy()[:, 2:], scipy.linalg.null_space(model.panel.weights)
    states = np.column_stack([y @ model.panel.weights.T, model.panel.endog.to_numpy()[:, :2]])
    moves = states[1:] - theta - (states[:-1] - theta) @ Phi.T
    errors = (y - A - states[:, :3] @ B.T)[1:] @ N
    variance = (N.T @ model.matrices(params)["obs_cov"] @ N)[0, 0]
    llP = multivariate_normal(np.zeros(5), W).logpdf(moves).sum()
    llQ = multivariate_normal(np.zeros(2), variance * np.eye(2)).logpdf(errors).sum()
    assert_allclose(model.loglike_parts(params), [llP, llQ], rtol=1e-9)
    assert_allclose([model.loglike(params), model.loglike_and_score(params)[0]], llP + llQ, rtol=1e-9)


def test_yields_have_no_loading_on_macro_factors_and_premia_have() -> None:
    model = built(time="discrete")
    params = start_of(time="discrete", obs_cov="diagonal")
    curves, at = model.curves(params), model.dynamics(params)
    assert not np.any(curves.yields(TAU).slope[:, 3:])
    ahead = curves.average_short_rate(TAU[:2])
    assert np.all(ahead.slope[:, 3:] != 0)
    q, x = at.pricing, np.array([0.1, 0.02, -0.01, 0.4, -0.3])
    state, rates = x, []
    for _ in range(12):  # the mean path of the vector autoregression
        rates.append(q.delta_0 + q.delta_1 @ state[:3])
        state = state + (at.kappa_P - at.K_P @ state) / 12.0
    assert_allclose(ahead.mean(x[None])[0], [np.mean(rates[:3]), np.mean(rates)], rtol=1e-10)


def test_prices_of_risk_element_by_element() -> None:
    """Sigma and Lambda of the portfolios alone: macro factors have P-dynamics, and no price."""
    nan = np.nan
    prices = np.full((3, 5), 0.0)
    prices[0] = [nan, 0.0, 0.0, nan, 0.0]
    model = built(risk_prices={"lambda_0": [nan, 0.0, 0.0], "lambda_1": prices})
    names = [name for name in model.param_names if name.startswith("lambda")]
    assert names == ["lambda_0.P1", "lambda_1.P1.P1", "lambda_1.P1.GRO"]
    params = np.asarray(model.start_params)
    at, found = model.dynamics(params), model.smooth(params).matrices
    root = np.linalg.cholesky(at.cov)[:3, :3]
    K_Q = np.column_stack([at.pricing.K, np.zeros((3, 2))])
    assert_allclose(at.K_P[:3], K_Q - root @ found["lambda_1"], atol=1e-12)
    assert_allclose(at.kappa_P[:3], at.pricing.kappa + root @ found["lambda_0"], atol=1e-12)
    assert list(found["lambda_1"].columns) == ["P1", "P2", "P3", "GRO", "INF"]
    zero = found["lambda_1"].to_numpy()[np.isfinite(prices)]
    assert_allclose(zero, 0.0, atol=1e-9)


def test_what_nothing_identifies_is_not_printed() -> None:
    model = built()
    res = model.smooth(start_of(), cov_type="none")
    table = res.matrices_table()
    assert not [row for row in table.loc["K_Q"].index if {"GRO", "INF"} & set(row)]
    assert {"GRO", "INF"} <= set(table.loc["K_P"].index.get_level_values("row"))
    for key, shape in {
        "K_Q": (3, 3),
        "delta_1": (3,),
        "lambda_0": (3,),
        "lambda_1": (3, 5),
        "K_P": (5, 5),
    }.items():
        assert res.matrices[key].shape == shape
    text = str(res.summary())
    assert "K_P.GRO.P1" in text and "K_Q.GRO" not in text and "lambda_0.GRO" not in text
    assert len(res.mean_reversion.loc["Q"]) == 3 and len(res.mean_reversion_table().loc["P"]) == 5


@pytest.mark.parametrize(
    "options", [{}, {"obs_cov": "exact-portfolios"}, {"time": "discrete"}, {"identification": "afns"}]
)
def test_ways_in(options: dict[str, Any]) -> None:
    model = built(**options)
    params, data = start_of(**options), model.panel.endog
    given = {"cov_type": "none" if options else "oim"}  # standard errors with one of the options
    res = model.smooth(params, **given)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.clone(data)):
        assert_allclose(other.loglike(params), res.llf, rtol=1e-12)
    early = model.clone(data.iloc[:30]).smooth(params, **given)
    later = early.append(data.iloc[30:])
    assert_allclose(later.llf, res.llf, rtol=1e-10)
    assert_allclose(early.extend(data.iloc[30:]).llf, res.llf - early.llf, rtol=1e-6)
    assert_allclose(early.apply(data).llf, res.llf, rtol=1e-10)
    assert early.get_forecast(3).predicted_mean.shape == (3, 7)
    assert early.forecast_yields(12).estimate.shape == (12, 5)
    assert res.term_premium([1.0, 5.0]).estimate.notna().all().all()
    assert list(res.factors.smoothed.columns[-2:]) == ["GRO", "INF"]
    assert_allclose(res.factors.smoothed.iloc[:, -2:], data.iloc[:, :2], atol=1e-9)
    assert res.curve_responses([0.0, 1.0]).index.get_level_values("shock").nunique() == 5


def test_missing_macro_cells_are_filled_by_the_filter() -> None:
    model = built(0.2)
    res = model.smooth(start_of(), cov_type="none")
    gaps = np.isnan(model.endog[:, :2])
    assert gaps.any() and np.isfinite(res.factors.smoothed.to_numpy()).all()
    assert np.all(res.factors.smoothed_se.iloc[:, -2:].to_numpy()[gaps] > 0)


@pytest.mark.parametrize("together", [0, 1, 2])
def test_macro_factors_that_are_rarely_observed_together_are_not_collinear(together: int) -> None:
    data = macro()
    data.iloc[together::2, 0] = data.iloc[together + 1 :: 2, 1] = np.nan
    built(macro=data.set_index(built().panel.endog.index)).check_sample()


def test_windows_of_exact_portfolios_begin_with_their_own_first_date() -> None:
    """The likelihood is given the first date, which each window has, and so has a sample of a bootstrap."""
    model = built(obs_cov="exact-portfolios")
    start = model.smooth(start_of(obs_cov="exact-portfolios"), cov_type="none")
    found = start.rolling(34, 6, fit_options={"cov_type": "none", "maxiter": 0})
    for i, rows in enumerate((slice(0, 34), slice(6, 40))):
        own = model.clone(model.panel.endog.iloc[rows])
        assert_allclose(found.fits["llf"].iloc[i], own.loglike(start.params), rtol=1e-12)
        assert np.isnan(own.endog[0]).all() and not np.isnan(own.endog[1:]).any()
    ahead = model.clone(model.panel.endog.iloc[:34]).smooth(start.params).get_forecast(1)
    assert_allclose(found.forecasts["mean"].iloc[0], ahead.predicted_mean.iloc[0], rtol=1e-10)
    assert_allclose(found.forecasts["se"].iloc[0], np.asarray(ahead.se_mean)[0], rtol=1e-8)
    drawn = Parametric(model, np.asarray(start.params)).draw(np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    assert_allclose(drawn[0, :2], model.panel.endog.iloc[0, :2], rtol=1e-10)
    assert np.isfinite(model.clone(drawn).loglike(start.params))


def with_gap(column: int) -> dict[str, Any]:
    yields = random_panel(np.random.default_rng(3), 40, TAU)
    data = macro().set_index(yields.index)
    (yields if column < 0 else data).iloc[7, 0] = np.nan
    return {"yields": yields, "macro": data, "obs_cov": "exact-portfolios"}


def spanned() -> dict[str, Any]:
    yields = random_panel(np.random.default_rng(3), 40, TAU)
    return {
        "macro": macro().set_index(yields.index).assign(SLOPE=2.0 * yields.iloc[:, 4] - yields.iloc[:, 0])
    }


DATES = random_panel(np.random.default_rng(3), 40, TAU).index
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "spanned": (spanned(), "'SLOPE' is a combination of the yields"),
    "ends early": ({"macro": macro(36).set_index(DATES[:36])}, "does not have all dates .* 4 missing"),
    "misses a date": ({"macro": macro().set_index(DATES).drop(DATES[3])}, "1 missing, the first 1990-04"),
    "too short": ({"macro": macro(39).to_numpy()}, "wrong shape"),
    "infinite": ({"macro": np.full((40, 1), np.inf)}, "infinite"),
    "missing yields": (with_gap(-1), "row 7: a yield is missing"),
    "missing macro": (with_gap(0), "row 7: GRO is missing"),
    "factors too": ({"macro": macro().to_numpy(), "factors": np.ones((40, 3))}, "cannot be combined"),
    "sets Sigma": ({"macro": macro().to_numpy(), "identification": "dai-singleton"}, "sets state_cov"),
    "names": ({"macro": macro().set_index(DATES).set_axis(["y3m", "INF"], axis=1)}, "same name"),
    "time": ({"time": "monthly"}, "time is unknown"),
    "parts of a period": ({"time": "discrete", "dt": 0.2}, "must be whole numbers of periods"),
    "irregular": ({"time": "discrete", "dt": np.linspace(0.05, 0.1, 39)}, "needs regular dates"),
    "conditional": ({"initialization": "conditional"}, "leaves the first factors unknown"),
    "p_dynamics": ({"macro": macro().to_numpy(), "p_dynamics": np.eye(3)}, "wrong shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    options, message = BAD[name]
    yields = options.get("yields", random_panel(np.random.default_rng(3), 40, TAU))
    with pytest.raises(sse.StateSpaceError, match=message):
        sse.ATSM(yields, TAU, **{key: value for key, value in options.items() if key != "yields"})


def test_parts_of_a_likelihood_that_has_none() -> None:
    model = built()
    with pytest.raises(sse.UnsupportedError, match="cannot be split into parts"):
        model.loglike_parts(start_of())


def redrawn(shared_data: Path, seed: int) -> tuple[sse.ATSM, np.ndarray]:
    """Return the model of the paper on a sample drawn from its maximum, and the parameters there."""
    model = published(shared_data)
    truth = np.asarray(model.start_params)
    system, rng, W = model.system(truth), np.random.default_rng(seed), model.panel.weights
    X = np.tile(model.first_portfolios, (276, 1))
    for t in range(1, 276):
        mean = system.state_intercept + system.transition @ X[t - 1]
        X[t] = rng.multivariate_normal(mean, system.state_cov)
    off = scipy.linalg.null_space(W)
    noise = rng.standard_normal((276, 9)) @ off.T * np.sqrt(np.trace(system.obs_cov) / 9.0)
    y = X @ system.design[2:].T + system.obs_intercept[2:] + noise
    data = pd.DataFrame(
        np.column_stack([X[:, 3:], y]), index=model.panel.endog.index, columns=list(model.panel.endog)
    )
    return model.clone(data), truth


@pytest.mark.slow
def test_simulate_and_recover(shared_data: Path) -> None:
    """In 20 panels: the likelihood beats that at the truth, and Q-parameters are within their errors."""
    inside = []
    for seed in range(20):
        model, truth = redrawn(shared_data, seed)
        res = model.fit()
        assert res.converged and res.llf > model.loglike(truth)
        inside.append(np.abs(np.asarray(res.params) - truth)[:4] < 1.96 * np.asarray(res.bse)[:4])
    print(np.mean(inside, axis=0))
    assert np.all(np.mean(inside, axis=0) >= 0.75)  # .95, less than four standard deviations of a share of 20
