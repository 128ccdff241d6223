"""Linear hypotheses about coefficients, against regressions of statsmodels and GLS without a filter."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, gls, simulated
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.multivariate.multivariate_ols import _MultivariateOLS
from statsmodels.regression.linear_model import OLS

import statespace_ext as sse
from statespace_ext.exceptions import SpecificationError
from statespace_ext.regression.alpha import grs
from statespace_ext.regression.hypotheses import Refit, Restrictions, _lawley_hotelling

V = np.array([[2.0, 0.3], [0.3, 1.0]])
W = np.array([[0.04, 0.01], [0.01, 0.05]])
BOTH = "MKT.A1 = MKT.A2, MKT.A1 = 1"


def data(n: int = 60, p: int = 3, missing: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    y, x = simulated(np.random.default_rng(4), n, p, move=0.0, missing=missing)
    return y, x.assign(SMB=np.random.default_rng(5).standard_normal(n))


def static(obs_cov: str = "unstructured", missing: float = 0.0) -> Any:
    return sse.DynamicRegression(*data(missing=missing), obs_cov=obs_cov).fit()


@pytest.fixture(scope="module")
def full() -> Any:
    return static()


@pytest.fixture(scope="module")
def moving() -> Any:
    y, x = simulated(np.random.default_rng(3), 25, 2, move=0.2)
    y.iloc[[4, 9], 1] = np.nan
    return sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov=V, state_cov=W).smooth([])


# -- static coefficients -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hypothesis", "weights", "own"),
    [
        ("MKT.A1 = MKT.A2", [1, -1, 0], "MKT = 0"),
        ("MKT.A1 = 1", [1, 0, 0], "MKT = 1"),
        ("MKT.A3 = 1, SMB.A3 = 0, const.A3 = 0", [0, 0, 1], "MKT = 1, SMB = 0, const = 0"),
        ("SMB.A1 + SMB.A2 = 0.5, MKT.A1 + MKT.A2 = 2", [1, 1, 0], "SMB = 0.5, MKT = 2"),
        ("MKT.A1 - SMB.A1 = MKT.A2 - SMB.A2", [1, -1, 0], "MKT = SMB"),
    ],
)
def test_one_combination_of_series_is_an_f_test(full: Any, hypothesis: str, weights: list, own: str) -> None:
    y, x = data()
    want = OLS(y.to_numpy() @ np.array(weights), x).fit().f_test(own)
    test = full.test_coefficients(hypothesis)
    assert test.distribution == f"F({int(want.df_num)}, {int(want.df_denom)})"
    assert_allclose(test.pvalue, want.pvalue, rtol=1e-9)
    assert_allclose(test.statistic / test.df, want.fvalue, rtol=1e-4)  # at the V of the fit
    assert test.date is None and not len(test.simulated)


def test_one_combination_of_regressors_is_hotelling_s(full: Any) -> None:
    y, x = data()
    test = full.test_coefficients({f"const.A{i}": 0 for i in (1, 2, 3)})
    want = grs(y, x[["MKT", "SMB"]])
    assert test.distribution == f"F{want.df}"
    assert_allclose(test.pvalue, want.pvalue, rtol=1e-9)
    wald = full.test_coefficients("MKT.A1 = 1, MKT.A2 = 1, MKT.A3 = 1")
    want = _MultivariateOLS(y.to_numpy() - x[["MKT"]].to_numpy(), x).fit().mv_test([("t", np.eye(3)[[1]])])
    assert_allclose(wald.pvalue, want.results["t"]["stat"].loc["Hotelling-Lawley trace", "Pr > F"], rtol=1e-9)


def test_several_combinations_of_both_are_lawley_s_and_hotelling_s(full: Any) -> None:
    y, x = data()
    test = full.test_coefficients("MKT.A1 = MKT.A2, MKT.A2 = MKT.A3, SMB.A1 = SMB.A2, SMB.A2 = SMB.A3", rng=0)
    L, M = np.eye(3)[1:], np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]).T
    want = _MultivariateOLS(y, x).fit().mv_test([("t", L, M)]).results["t"]["stat"]
    assert test.distribution == "Lawley-Hotelling"
    assert_allclose(test.statistic / 57, want.loc["Hotelling-Lawley trace", "Value"], rtol=1e-4)
    approximate = want.loc["Hotelling-Lawley trace", "Pr > F"]
    assert abs(test.pvalue - approximate) < 0.02  # an F approximation of statsmodels


def test_the_simulated_trace() -> None:
    draws = _lawley_hotelling(2, 3, 20, np.random.default_rng(0))
    assert_allclose(draws.mean(), 20 * 2 * 3 / (20 - 3 - 1), rtol=0.02)
    one = _lawley_hotelling(3, 1, 15, np.random.default_rng(0)) / 3
    assert stats.kstest(one, stats.f(3, 15).cdf).pvalue > 0.01


def test_hypotheses_of_no_such_form_are_simulated(full: Any) -> None:
    test = full.test_coefficients("MKT.A1 = 1, SMB.A2 = 0", n_sim=3, rng=0)
    assert test.distribution == "parametric bootstrap" and len(test.simulated) == 3


def test_a_scalar_v_pools_the_series() -> None:
    y, x = data(missing=0.05)
    res = static("scalar", missing=0.05)
    long = np.kron(np.eye(3), x.to_numpy())  # series by series: const, MKT, SMB of each
    values = y.to_numpy().T.ravel()
    seen = ~np.isnan(values)
    R = np.zeros((2, 9))
    R[0, [1, 4]], R[1, 8] = [1.0, -1.0], 1.0
    want = OLS(values[seen], long[seen]).fit().f_test(R)
    test = res.test_coefficients(["MKT.A1 = MKT.A2", "SMB.A3 = 0"])
    assert test.distribution == f"F(2, {int(want.df_denom)})"
    assert_allclose(test.pvalue, want.pvalue, rtol=1e-9)
    assert_allclose(test.statistic / 2, want.fvalue, rtol=1e-4)


def test_a_diagonal_v_takes_series_by_series() -> None:
    y, x = data(missing=0.05)
    res = static("diagonal", missing=0.05)
    fits = {name: OLS(y[name].dropna(), x[y[name].notna()]).fit() for name in y}
    one = res.test_coefficients("MKT.A2 = 1, SMB.A2 = 0")
    want = fits["A2"].f_test("MKT = 1, SMB = 0")
    assert one.distribution == f"F(2, {int(want.df_denom)})"
    assert_allclose(one.pvalue, want.pvalue, rtol=1e-9)
    two = res.test_coefficients("MKT.A2 = 1, SMB.A2 = 0, SMB.A1 = 0", rng=0)
    first = float(fits["A1"].f_test("SMB = 0").fvalue)
    assert two.distribution == "sum of F"
    assert_allclose(two.statistic, 2 * float(want.fvalue) + first, rtol=1e-4)
    rng, df = np.random.default_rng(9), [int(fits[name].df_resid) for name in ("A1", "A2")]
    draws = rng.f(1, df[0], 200_000) + 2 * rng.f(2, df[1], 200_000)
    assert abs(two.pvalue - np.mean(draws >= 2 * float(want.fvalue) + first)) < 0.01
    assert res.test_coefficients("MKT.A1 = MKT.A2", n_sim=3, rng=0).distribution == "parametric bootstrap"


def test_given_parameters_are_chi_squared(full: Any) -> None:
    model = full.model
    with model.fix_params(dict(full.params)):
        res = model.fit()
    test = res.test_coefficients("MKT.A1 = MKT.A2, SMB.A1 = 0")
    assert test.distribution == "chi-squared"
    assert_allclose(test.pvalue, stats.chi2.sf(test.statistic, 2))
    assert test.pvalue == test.pvalue_chi2


# -- coefficients that move --------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0, 11, 24])
def test_the_statistic_is_that_of_gls_about_the_date(moving: Any, t: int) -> None:
    """Seen from the date the coefficients are unknown constants, from which the others wander both ways."""
    step = np.zeros((4, 4))
    step[2:, 2:] = W

    def wander(a: int, b: int) -> np.ndarray:
        return min(abs(a - t), abs(b - t)) * step if (a - t) * (b - t) > 0 else 0.0 * step

    y, x = moving.model.data.orig_endog, moving.model.data.orig_exog
    found = gls(y.to_numpy(), x.to_numpy(), V, wander)
    R, q = np.array([[0.0, 0.0, 1.0, -1.0], [1.0, 0.0, 2.0, 0.0]]), np.array([0.0, 1.0])
    error = R @ found.coefficients - q
    test = moving.test_coefficients((R, q), date=y.index[t])
    assert_allclose(test.statistic, error @ np.linalg.solve(R @ found.cov @ R.T, error), rtol=1e-9)
    assert_allclose(test.cov, R @ found.cov @ R.T, rtol=0, atol=1e-10)
    assert test.date == y.index[t] and test.distribution == "chi-squared"
    again = moving.test_coefficients(
        "MKT.A1 = MKT.A2, const.A1 + 2*MKT.A1 = 1", date=str(y.index[t]), n_sim=2
    )
    assert_allclose(again.statistic, test.statistic, rtol=1e-12)


@pytest.mark.parametrize("kind", ["random_walk", "ar1"])
def test_given_v_and_w_the_law_is_chi_squared(kind: str) -> None:
    """The statistic of the true coefficients of samples, at given parameters."""
    y, x = simulated(np.random.default_rng(3), 15, 2)
    model = sse.DynamicRegression(y, x, dynamics={"MKT": kind}, obs_cov="diagonal", state_cov="diagonal")
    params = {"random_walk": [2.0, 1.0, 0.3, 0.2], "ar1": [0.6, -0.3, 2.0, 1.0, 0.3, 0.2]}[kind]
    with model.fix_params(dict(zip(model.param_names, params, strict=True))):
        res = model.fit()
    R = np.eye(6 if kind == "ar1" else 4)[2:4]
    if kind == "ar1":
        R[:, 4:] = np.eye(2)
    refit = Refit(res, Restrictions(R, np.zeros(2), 9))
    values = [refit(np.random.default_rng(seed)) for seed in range(25)]
    assert stats.kstest(values, stats.chi2(2).cdf).pvalue > 0.05
    assert res.test_coefficients("MKT.A1 = MKT.A2", date=9).distribution == "chi-squared"


def test_an_ar1_coefficient_at_a_date_is_its_mean_and_its_deviation() -> None:
    y, x = simulated(np.random.default_rng(3), 25, 2)
    model = sse.DynamicRegression(y, x, dynamics={"MKT": "ar1"}, obs_cov="diagonal", state_cov="diagonal")
    res = model.smooth([0.6, -0.3, 2.0, 1.0, 0.3, 0.2])
    test = res.test_coefficients("MKT.A2 = 1", date=7, n_sim=2, rng=0)
    path = res.coefficients["MKT"]
    assert_allclose(test.estimate.iloc[0], path.smoothed["A2"].iloc[7], rtol=1e-12)
    assert_allclose(np.sqrt(test.cov.iloc[0, 0]), path.smoothed_se["A2"].iloc[7], rtol=1e-10)


def test_the_bootstrap_of_static_coefficients_is_the_exact_law() -> None:
    y, x = simulated(np.random.default_rng(3), 20, 2, move=0.0)
    res = sse.DynamicRegression(y, x).fit()
    refit = Refit(res, Restrictions(np.array([[0.0, 0.0, 1.0, -1.0]]), np.zeros(1), -1))
    values = [refit(np.random.default_rng(seed)) for seed in range(20)]
    assert stats.kstest(values, stats.f(1, 18).cdf).pvalue > 0.05
    # the same sample: least squares of the difference
    rng = np.random.default_rng(0)
    sample, states = refit.sampler.path(rng)
    want = OLS(sample[:, 0] - sample[:, 1], x).fit().t_test(f"MKT = {states[0, 2] - states[0, 3]}")
    assert_allclose(values[0], float(np.squeeze(want.tvalue)) ** 2, rtol=0.02)


def test_append_extend_and_pickle(moving: Any) -> None:
    y, x = moving.model.data.orig_endog, moving.model.data.orig_exog
    start = moving.model.clone(y[:15], x[:15]).smooth([])
    options = {"date": y.index[20]}
    want = moving.test_coefficients(BOTH, **options)
    copy = pickle.loads(pickle.dumps(moving))
    for res in (copy, start.extend(y[15:], exog=x[15:]), start.append(y[15:], exog=x[15:])):
        found = res.test_coefficients(BOTH, **options)
        assert_allclose(found.statistic, want.statistic, rtol=1e-8)
    assert "df = 2" in str(found) and list(found.estimate.index) == ["MKT.A1 = MKT.A2", "MKT.A1 = 1"]
    assert pickle.loads(pickle.dumps(found)).pvalue == found.pvalue
    with pytest.raises(SpecificationError):
        start.extend(y[15:], exog=x[15:]).test_coefficients(BOTH, date=y.index[3])


@pytest.mark.parametrize(
    ("hypotheses", "match"),
    [
        ("MKT.A1 = MKT.A9", "not linear equations"),
        ("MKT.A1 * MKT.A2 = 1", "not linear equations"),
        ("", "not linear equations"),
        (None, "not linear equations"),
        (3.0, "not linear equations"),
        ([], "not linear equations|is redundant"),
        (np.ones((1, 3)), "not linear equations"),
        ((np.eye(4)[:2], [1.0, np.nan]), "not finite"),
        ("MKT.A1 = MKT.A1", "no variables"),
        ("MKT.A1 = 1, 2*MKT.A1 = 2", "is redundant"),
        ("MKT.A1 = 1, MKT.A1 = 2", "contradict"),
        ("MKT.A1 = MKT.A2, MKT.A1 = 1, MKT.A2 = 2", "contradict"),
        ({"MKT.A1": 1, "SMB.A1": 0}, "not linear equations"),
    ],
)
def test_what_is_no_hypothesis(moving: Any, hypotheses: Any, match: str) -> None:
    with pytest.raises(SpecificationError, match=match):
        moving.test_coefficients(hypotheses, date=3)


def test_a_hypothesis_about_what_moves_needs_a_date_of_the_sample(moving: Any) -> None:
    with pytest.raises(SpecificationError, match="on MKT vary"):
        moving.test_coefficients(BOTH)
    for date in ("1990-01", "2050-01", 25, "soon"):
        with pytest.raises(SpecificationError):
            moving.test_coefficients(BOTH, date=date)
    assert moving.test_coefficients("const.A1 = const.A2").date is None
