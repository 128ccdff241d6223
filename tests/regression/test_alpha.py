"""Tests that alphas are zero, against a published point, statsmodels' multivariate regression and GLS."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, berndt, gls, random_walks, simulated
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.multivariate.multivariate_ols import _MultivariateOLS
from statsmodels.regression.linear_model import OLS

import statespace_ext as sse
from statespace_ext.inference.many import model_on, spawn
from statespace_ext.regression.alpha import _zero, grs, wald_alpha
from statespace_ext.regression.hypotheses import Refit, bootstrapped


def refit_of(res: Any, regressor: str = "alpha") -> Refit:
    return Refit(res, _zero(res, regressor)[2], null=True)


def data(seed: int = 4, n: int = 60, p: int = 3, factors: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    y, x = simulated(np.random.default_rng(seed), n, p, move=0.0)
    rng = np.random.default_rng(seed + 1)
    for i in range(1, factors):
        x[f"F{i}"] = 0.3 + rng.standard_normal(n)
        y = y + np.outer(x[f"F{i}"], rng.standard_normal(p))
    return y, x.drop(columns="const")


# -- Wald --------------------------------------------------------------------------------------------------


def test_wald_at_the_published_point(shared_data: Path, reference: dict[str, Any]) -> None:
    want = reference["capm"]["at_the_book_s_V_and_W_beta"]
    y, x = berndt(shared_data)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    params = model.params_from_matrices(
        {"obs_cov": np.array(want["V"]), "state_cov": np.array(want["W_beta"])}
    )
    test = wald_alpha(model.smooth(params), n_sim=4, rng=0)
    assert_allclose(test.statistic, want["wald_alpha0_chi2_4"], rtol=1e-10)
    assert test.df == 4
    assert_allclose(test.pvalue_chi2, stats.chi2.sf(want["wald_alpha0_chi2_4"], 4))
    assert test.distribution == "parametric bootstrap" and len(test.simulated) == 4
    assert_allclose(test.estimate, want["alpha"], rtol=1e-8)
    assert_allclose(np.sqrt(np.diag(test.cov)), want["alpha_se"], rtol=1e-8)
    assert list(test.estimate.index) == list(test.cov.columns) == list(y.columns)


def test_wald_is_that_of_gls() -> None:
    y, x = simulated(np.random.default_rng(3), 25, 2, missing=0.1)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov="diagonal")
    params = model.start_params
    at = model.matrices(params)
    found = gls(y.to_numpy(), x.to_numpy(), at["obs_cov"], random_walks(at["state_cov"], np.array([2, 3]), 4))
    alpha = found.coefficients[:2]
    want = alpha @ np.linalg.solve(found.cov[:2, :2], alpha)
    assert_allclose(wald_alpha(model.smooth(params), n_sim=4).statistic, want, rtol=1e-8)


def test_wald_of_another_regressor_and_of_one_series() -> None:
    y, x = simulated(np.random.default_rng(3), 40, 2)
    res = sse.DynamicRegression(y["A1"], x).fit()
    test = wald_alpha(res, "MKT")
    beta = res.coefficients["MKT"]
    assert_allclose(test.statistic, (beta.estimate / beta.se).iloc[0] ** 2)
    assert test.df == 1 and test.regressor == "MKT"
    assert_allclose(test.pvalue, OLS(y["A1"], x).fit().pvalues["MKT"], rtol=1e-8)
    assert "(F(1, 38))" in str(test) and f"p = {test.pvalue:.4f}" in str(test)


# -- its distribution --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "factors"), [(1, 1), (3, 1), (4, 3)])
def test_static_betas_have_the_exact_distribution(p: int, factors: int) -> None:
    """That of Gibbons, Ross & Shanken, and the exact F of multivariate regression for any regressor."""
    y, f = data(p=p, factors=factors)
    res = sse.CAPM(y, f, beta="static").fit(cov_type="none")
    found = res.test_alpha()
    assert found["wald"].distribution == f"F({p}, {60 - p - factors})" and not len(found["wald"].simulated)
    assert_allclose(
        found["wald"].pvalue, stats.f.sf(written_out(y.to_numpy(), f.to_numpy()), p, 60 - p - factors)
    )
    assert_allclose(found["wald"].pvalue, found["grs"].pvalue, rtol=1e-9)
    assert found["wald"].pvalue > found["wald"].pvalue_chi2 and found["wald"].pvalue_se == 0.0
    X = np.column_stack([np.ones(60), f])
    for place, name in enumerate(["alpha", *res.model.factors]):
        test = wald_alpha(res, name)
        if p > 1:
            one = np.eye(1, factors + 1, place)
            other = (
                _MultivariateOLS(y.to_numpy(), X).fit().mv_test([("b", one, np.eye(p))]).results["b"]["stat"]
            )
            want = float(other.loc["Wilks' lambda", "Pr > F"])
        else:
            want = OLS(y.to_numpy(), X).fit().pvalues[place]
        assert_allclose(test.pvalue, want, rtol=1e-7)


def test_rows_that_are_all_missing_are_left_out() -> None:
    y, f = data()
    holes = y.copy()
    holes.iloc[[0, 7, 59]] = np.nan
    found = sse.CAPM(holes, f, beta="static").fit(cov_type="none").test_alpha()
    kept = ~holes.isna().all(axis=1)
    assert_allclose(found["wald"].pvalue, grs(y[kept], f[kept]).pvalue, rtol=1e-9)
    assert_allclose(found["grs"].statistic, grs(y[kept], f[kept]).statistic, rtol=1e-12)
    holes.iloc[3, 1] = np.nan
    partly = sse.CAPM(holes, f, beta="static").fit(cov_type="none").test_alpha(n_sim=5, rng=0)
    assert partly["grs"] is None and partly["wald"].distribution == "parametric bootstrap"


def test_independent_series() -> None:
    """Squared t-statistics, each with its own periods; the tail of their sum by quadrature."""
    y, f = data(p=2, factors=1)
    y.iloc[5:20, 0] = np.nan
    res = sse.CAPM(y, f, beta="static", obs_cov="diagonal").fit(cov_type="none")
    test = res.test_alpha(rng=1)["wald"]
    fits = [OLS(y[name], np.column_stack([np.ones(60), f]), missing="drop").fit() for name in y]
    value = sum(fit.tvalues.iloc[0] ** 2 for fit in fits)
    assert_allclose(test.statistic, value, rtol=1e-5)
    first, second = (fit.df_resid for fit in fits)
    angle, weight = np.polynomial.legendre.leggauss(400)
    root = 0.5 * np.sqrt(value) * (angle + 1.0)  # t = root of the first F, whose density is smooth
    inside = (
        0.5
        * np.sqrt(value)
        * weight
        * 2.0
        * stats.t.pdf(root, first)
        * stats.f.sf(value - root**2, 1, second)
    )
    want = np.sum(inside) + stats.f.sf(value, 1, first)
    assert_allclose(test.pvalue, want, atol=4 * test.pvalue_se)
    assert test.distribution == "sum of F" and test.pvalue_se < 0.002
    assert test.pvalue == res.test_alpha(rng=1)["wald"].pvalue


def test_one_variance() -> None:
    y, f = data(p=3, factors=1)
    y.iloc[5:20, 0] = np.nan
    test = sse.CAPM(y, f, beta="static", obs_cov="scalar").fit(cov_type="none").test_alpha()["wald"]
    fits = [OLS(y[name], np.column_stack([np.ones(60), f]), missing="drop").fit() for name in y]
    freedom = sum(fit.df_resid for fit in fits)
    variance = sum(fit.ssr for fit in fits) / freedom
    value = sum(fit.params.iloc[0] ** 2 / fit.normalized_cov_params.iloc[0, 0] for fit in fits) / variance
    assert_allclose(test.statistic, value, rtol=1e-5)
    assert_allclose(test.pvalue, stats.f.sf(value / 3, 3, freedom), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"beta": "static"}, {"beta": "static", "obs_cov": "diagonal"}])
def test_no_more_periods_than_series_and_factors(options: dict[str, Any]) -> None:
    y, f = data(n=10, p=9, factors=1)
    model = sse.CAPM(y, f, **options)
    test = model.smooth(model.start_params).test_alpha(n_sim=2)
    assert np.isnan(test["wald"].pvalue) and test["wald"].distribution == "unknown" and test["grs"] is None
    assert "No p-value: 10 periods for 9 series and 2 regressors" in str(test["wald"])
    more = sse.CAPM(*data(n=12, p=9, factors=1), beta="static")
    assert more.smooth(more.start_params).test_alpha()["wald"].distribution == "F(9, 2)"


def test_known_covariances_have_the_chi_squared_distribution() -> None:
    y, f = data()
    test = sse.CAPM(y, f, beta="static", obs_cov=np.eye(3)).smooth([]).test_alpha()["wald"]
    assert test.distribution == "chi-squared" and test.pvalue == test.pvalue_chi2


@pytest.mark.slow
def test_the_bootstrap_has_the_exact_distribution_where_there_is_one() -> None:
    """
    Static betas, drawn and fitted again as if the distribution were not known.

    `test_the_bootstrap_of_static_coefficients_is_the_exact_law` does so for one coefficient, in 20 samples.
    """
    y, f = data(n=16, p=3, factors=1)
    res = sse.CAPM(y, f, beta="static").fit(cov_type="none")._results
    law = bootstrapped(refit_of(res), spawn(2, 120), 1)
    scaled = law.simulated * 12 / (3 * 14)
    assert stats.kstest(scaled, stats.f(3, 12).cdf).pvalue > 0.01
    assert stats.kstest(law.simulated, stats.chi2(3).cdf).pvalue < 0.05  # which the test would notice
    assert_allclose(law.at, res.test_alpha()["wald"].statistic, rtol=1e-4)
    exceed = np.sum(law.simulated >= law.at)
    assert law.pvalue == (1 + exceed) / 121


MOVING: dict[str, dict[str, Any]] = {
    "W = q V": {"state_cov": "proportional"},
    "W full, V diagonal": {"obs_cov": "diagonal"},
    "a factor in V": {"obs_cov": "factor:1", "state_cov": "scalar"},
    "ar1": {"beta": "ar1", "state_cov": "diagonal"},
    "an approximate start": {"state_cov": "scalar", "initialization": "approximate_diffuse"},
    "partly missing, static": {"beta": "static"},
}


@pytest.mark.parametrize("case", MOVING)
def test_samples_have_no_effects_and_are_fitted_near_their_maximum(case: str) -> None:
    """Alphas of 100 in the data leave nothing in the samples, whose statistics are those of a whole fit."""
    y, x = simulated(np.random.default_rng(5), 60, 3, missing=0.1 if "missing" in case else 0.0)
    model = sse.CAPM(y + 100.0, x["MKT"], **MOVING[case])
    res = model.fit(method="lbfgs", cov_type="none")
    test = res.test_alpha(n_sim=2, rng=0)["wald"]
    assert test.distribution == "parametric bootstrap" and test.statistic > 1000.0 and test.pvalue == 1 / 3
    assert np.all(test.simulated < 60.0)
    if case == "ar1":
        return  # its likelihood on random walks is so flat that rounding shows
    if case == "W = q V":
        assert_allclose(test.simulated, res.test_alpha(n_sim=2, rng=0)["wald"].simulated, rtol=1e-6)
    refit = refit_of(res._results)
    sample = refit.sampler.draw(np.random.default_rng(spawn(0, 2)[0]))
    whole = model_on(model, sample).fit(np.asarray(res.params), method="lbfgs", cov_type="none")
    assert_allclose(test.simulated[0], wald_alpha(whole, "alpha", n_sim=1).statistic, rtol=0.01)


def test_parameters_that_are_held_stay_held_in_the_samples() -> None:
    y, x = simulated(np.random.default_rng(3), 60, 2)
    model = sse.CAPM(y, x["MKT"], state_cov="diagonal")
    with model.fix_params({"obs_cov.A1.A2": 0.0}):
        res = model.fit(cov_type="none")
    refit = refit_of(res._results)
    assert refit.fixed == {"obs_cov.A1.A2": 0.0}
    assert_allclose(refit.statistic(model), res.test_alpha(n_sim=2)["wald"].statistic, rtol=1e-3)


def test_the_p_value_is_that_of_the_maximum() -> None:
    y, x = simulated(np.random.default_rng(3), 60, 2)
    model = sse.CAPM(y, x["MKT"], state_cov="diagonal")
    best = model.fit(cov_type="none")
    elsewhere = model.smooth(1.5 * best.params).test_alpha(n_sim=3, rng=0)["wald"]
    at = best.test_alpha(n_sim=3, rng=0)["wald"]
    assert not at.notes and len(elsewhere.notes) == 1
    told = float(elsewhere.notes[0].split()[5].rstrip(","))
    assert_allclose(told, at.statistic, rtol=1e-2)
    assert elsewhere.statistic < 0.9 * at.statistic


@pytest.mark.slow
@pytest.mark.parametrize("place", range(6))
def test_size(place: int) -> None:
    """Within two Monte Carlo errors of 5 % in a thousand samples, as on the page of benchmarks."""
    name = Path(__file__).parents[1] / "benchmarks" / "bench_size.py"
    spec = importlib.util.spec_from_file_location("bench_size", name)
    assert spec is not None and spec.loader is not None
    bench = sys.modules.setdefault("bench_size", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(bench)
    assert len(bench.ALPHA) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert bench.size_of_alpha(bench.ALPHA[place], 1050)


def test_wald_refusals() -> None:
    y, x = simulated(np.random.default_rng(3), 40, 2)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov="scalar")
    res = model.smooth(model.start_params)
    with pytest.raises(sse.SpecificationError, match="static coefficients on MKT: got 'random_walk'"):
        wald_alpha(res, "MKT")
    with pytest.raises(sse.SpecificationError, match="regressor is unknown"):
        wald_alpha(res, "alpha")
    with pytest.raises(sse.SpecificationError, match="low_memory"):
        wald_alpha(model.fit(method="lbfgs", low_memory=True))


# -- Gibbons, Ross & Shanken -------------------------------------------------------------------------------


def written_out(y: np.ndarray, f: np.ndarray) -> float:
    """GRS as printed: residual and factor covariances over n, alphas from deviations from means."""
    n, p = y.shape
    f = f.reshape(n, -1)
    k = f.shape[1]
    mean_f, mean_y = f.mean(axis=0), y.mean(axis=0)
    omega = (f - mean_f).T @ (f - mean_f) / n
    betas = ((y - mean_y).T @ (f - mean_f) / n) @ np.linalg.inv(omega)
    alpha = mean_y - betas @ mean_f
    residual = y - alpha - f @ betas.T
    sigma = residual.T @ residual / n
    squared_sharpe = mean_f @ np.linalg.inv(omega) @ mean_f
    return (n - p - k) / p * (alpha @ np.linalg.inv(sigma) @ alpha) / (1.0 + squared_sharpe)


@pytest.mark.parametrize(("p", "factors"), [(2, 1), (3, 2), (4, 3)])
def test_grs_is_exact(p: int, factors: int) -> None:
    """Against the formula, and the exact F of multivariate regression."""
    y, f = data(p=p, factors=factors)
    test = grs(y, f)
    assert_allclose(test.statistic, written_out(y.to_numpy(), f.to_numpy()), rtol=1e-9)
    assert test.df == (p, 60 - p - factors)
    assert_allclose(test.pvalue, stats.f.sf(test.statistic, *test.df))
    X = np.column_stack([np.ones(60), f])
    hypothesis = [("alpha", np.eye(1, factors + 1), np.eye(p))]
    other = _MultivariateOLS(y.to_numpy(), X).fit().mv_test(hypothesis).results["alpha"]["stat"]
    assert_allclose(test.statistic, float(other.loc["Wilks' lambda", "F Value"]), rtol=1e-8)
    assert_allclose(test.pvalue, float(other.loc["Wilks' lambda", "Pr > F"]), rtol=1e-8)
    assert_allclose(test.estimate, np.linalg.lstsq(X, y.to_numpy(), rcond=None)[0][0], rtol=1e-9)
    assert list(test.estimate.index) == list(y.columns)


def test_grs_of_one_series_is_a_squared_t() -> None:
    y, f = data(p=1)
    ols = OLS(y.to_numpy(), np.column_stack([np.ones(60), f])).fit()
    assert_allclose(grs(y.iloc[:, 0], f).statistic, ols.tvalues[0] ** 2, rtol=1e-9)
    assert_allclose(grs(y.to_numpy()[:, 0], f.to_numpy()).pvalue, ols.pvalues[0], rtol=1e-8)


def test_grs_does_not_depend_on_units() -> None:
    y, f = data()
    assert_allclose(grs(1e-3 * y, f * [100.0, 1e-4]).statistic, grs(y, f).statistic, rtol=1e-9)


def test_wald_and_grs_agree_without_moving_betas() -> None:
    """Static betas: the Wald statistic has S / (n - k - 1) where F has its own degrees of freedom."""
    y, x = simulated(np.random.default_rng(3), 80, 3)
    wald = wald_alpha(sse.DynamicRegression(y, x).fit())
    exact = grs(y, x["MKT"])
    n, p, k = 80, 3, 1
    assert_allclose(wald.statistic * (n - p - k) / (p * (n - k - 1)), exact.statistic, rtol=1e-5)


def test_grs_on_the_data_of_the_question(shared_data: Path) -> None:
    y, x = berndt(shared_data)
    test = grs(y, x["MKT"])
    assert test.df == (4, 115)
    assert_allclose(test.statistic, written_out(y.to_numpy(), x["MKT"].to_numpy()), rtol=1e-9)
    assert "F(4, 115)" in str(test) and f"{test.statistic:.4f}" in str(test)


def test_grs_refusals() -> None:
    y, f = data()
    with pytest.raises(sse.DataError, match="collinear"):
        grs(y, f.assign(const=1.0))
    with pytest.raises(sse.DataError, match="collinear"):
        grs(y, f.assign(G=f["MKT"] * 2))
    with pytest.raises(sse.DataError, match="residuals of the series are collinear"):
        grs(np.column_stack([y["A1"], np.zeros(60)]), f)
