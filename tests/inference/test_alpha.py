"""Tests that alphas are zero, against a published point, statsmodels' multivariate regression and GLS."""

from __future__ import annotations

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
from statespace_ext.inference.alpha import grs, wald_alpha


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


def test_wald_refusals() -> None:
    y, x = simulated(np.random.default_rng(3), 40, 2)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov="scalar")
    res = model.smooth(model.start_params)
    with pytest.raises(sse.SpecificationError, match="static coefficients on MKT: got 'random_walk'"):
        wald_alpha(res, "MKT")
    with pytest.raises(sse.SpecificationError, match="no such regressor"):
        wald_alpha(res, "alpha")
    with pytest.raises(sse.SpecificationError, match="low_memory"):
        wald_alpha(model.fit(method="lbfgs", low_memory=True))
    factor = sse.LGSSM(y, 1)
    with pytest.raises(sse.SpecificationError, match="dynamic regressions"):
        wald_alpha(factor.smooth(factor.start_params))


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
    gap = y.copy()
    gap.iloc[3, 1] = np.nan
    for bad in (gap, y.where(y != y.iloc[0, 0], np.inf)):
        with pytest.raises(sse.DataError, match="balanced data, but endog"):
            grs(bad, f)
    with pytest.raises(sse.DataError, match="but factors"):
        grs(y, f.where(f != f.iloc[2, 0]))
    with pytest.raises(sse.DataError, match="collinear"):
        grs(y, f.assign(const=1.0))
    with pytest.raises(sse.DataError, match="collinear"):
        grs(y, f.assign(G=f["MKT"] * 2))
    with pytest.raises(sse.DataError, match="different periods"):
        grs(y, f.iloc[1:])
    with pytest.raises(sse.DataError, match="different periods"):
        grs(y, f.set_axis(f.index + 1))
    with pytest.raises(sse.DataError, match="more periods"):
        grs(y.iloc[:5], f.iloc[:5])
    with pytest.raises(sse.DataError, match="residuals of the series are collinear"):
        grs(np.column_stack([y["A1"], np.zeros(60)]), f)
    with pytest.raises(sse.DataError, match="not numeric"):
        grs(y.astype(object).where(y != y.iloc[0, 0], "x"), f)
