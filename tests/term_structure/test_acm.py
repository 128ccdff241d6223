"""`ACM` against its published premium, simulated bonds, simulated samples and direct recursions."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.term_structure.dynamics import mean_reversion

MONTHS = np.array([1, 3, 6, *range(12, 121, 12)])
TAU = MONTHS / 12.0


@pytest.fixture(scope="module")
def published(shared_data: Path) -> pd.DataFrame:
    data = pd.read_csv(shared_data / "yields" / "acm_replicated_monthly.csv", index_col=0, parse_dates=True)
    data.index = data.index.to_period("M")
    return data[~data.index.duplicated()]


def fitted_yields(published: pd.DataFrame) -> pd.DataFrame:
    years = [f"ACMY{i:02d}" for i in range(1, 11)]
    return published[["ACMY001M", "ACMY003M", "ACMY006M", *years]]


def test_the_premium_of_the_new_york_fed(published: pd.DataFrame) -> None:
    res = sse.ACM(fitted_yields(published), TAU, units="percent").fit()
    premium = res.term_premium(10, param_uncertainty=False).estimate.iloc[:, 0]
    assert len(premium) == 780
    assert 100.0 * (premium - published["ACMTP10"]).abs().mean() < 0.1


def test_the_sample_matters(published: pd.DataFrame, shared_data: Path) -> None:
    months = pd.read_csv(
        shared_data / "yields" / "gsw_zero_yields_monthend.csv", index_col=0, parse_dates=True
    ).index.to_period("M")
    part = published.loc[published.index.isin(months)]
    res = sse.ACM(fitted_yields(part), TAU, units="percent").fit()
    premium = res.term_premium(10, param_uncertainty=False).estimate.iloc[:, 0]
    assert_allclose(100.0 * (premium - part["ACMTP10"]).abs().mean(), 58.0, atol=1.0)


# -- a sample in which the model holds -----------------------------------------------------------------------

PHI = np.array([[0.97, 0.03], [0.0, 0.9]])
COV = np.array([[0.06, 0.01], [0.01, 0.15]])
LAMBDA_0, LAMBDA_1 = np.array([-0.02, 0.01]), np.array([[0.01, 0.02], [0.02, -0.03]])
DELTA_0, DELTA_1 = 0.05 / 12.0, np.array([0.0012, -0.0006])


def log_prices(count: int, priced: float = 1.0, cov: np.ndarray = COV) -> tuple[np.ndarray, np.ndarray]:
    A, B = [0.0], [np.zeros(2)]
    for _ in range(count):
        A.append(A[-1] - priced * B[-1] @ LAMBDA_0 + 0.5 * B[-1] @ cov @ B[-1] - DELTA_0)
        B.append((PHI - priced * LAMBDA_1).T @ B[-1] - DELTA_1)
    return np.array(A), np.array(B)


def simulated(n: int, rng: int, noise: float = 0.0) -> pd.DataFrame:
    """Return yields of every maturity, with returns that have errors where there is noise."""
    draw = np.random.default_rng(rng)
    x, states = np.zeros(2), []
    root = np.linalg.cholesky(COV)
    for _ in range(n + 100):
        x = PHI @ x + root @ draw.standard_normal(2)
        states.append(x)
    A, B = log_prices(60)
    logs = A + np.array(states[100:]) @ B.T
    y = -logs[:, 1:] / (np.arange(1, 61) / 12.0)
    y[:, 1:] += noise * draw.standard_normal(y[:, 1:].shape)
    index = pd.period_range("1960-01", periods=n, freq="M")
    return pd.DataFrame(y, index=index, columns=[f"{i}m" for i in range(1, 61)])


def fit(n: int = 400, rng: int = 0, noise: float = 1e-5, **options: Any) -> Any:
    return sse.ACM(simulated(n, rng, noise), k_factors=2, **options).fit()


def test_a_model_that_holds_is_found() -> None:
    """Without noise the second regression is exact, and so are the Q-dynamics."""
    res = fit(noise=0.0)
    at, Q = res.matrices, PHI - LAMBDA_1
    found = np.linalg.eigvals(at["Phi"] - at["lambda_1"])
    assert_allclose(np.sort(found), np.sort(np.linalg.eigvals(Q)), atol=1e-6)
    assert res.pricing_errors.abs().to_numpy().max() < 1e-2
    assert np.all(res.bse[[name for name in res.bse.index if name.startswith("Phi")]] > 0)
    assert not hasattr(res, "llf")


def test_prices_are_those_of_simulated_bonds() -> None:
    """P-expectations of discounted payoffs: the risk-neutral yield and the expected short rate."""
    res = fit()
    at, x = res.matrices, res.factors.smoothed.iloc[-1].to_numpy()
    draw, n, paths = np.random.default_rng(1), 36, 40_000
    root, states, total = np.linalg.cholesky(at["state_cov"]), np.tile(x, (paths, 1)), np.zeros(paths)
    for _ in range(n):
        total += at["delta_0"] + states @ at["delta_1"]
        shocks = draw.standard_normal((paths // 2, 2)) @ root.T
        states = states @ at["Phi"].to_numpy().T + np.vstack([shocks, -shocks])
    error = total.std() / np.sqrt(paths)
    date = res.factors.smoothed.index[-1]
    expected = res.expected_short_rate(3, date).estimate.iloc[0, 0]
    assert_allclose(expected * 3, total.mean(), atol=1e-10)  # antithetic draws: exact
    own = 0.5 * (n - 1) * at["return_var"]  # of the return errors, which no path has
    neutral = -np.log(np.mean(np.exp(-total))) - own
    assert_allclose(res.risk_neutral_yields(3, date).estimate.iloc[0, 0] * 3, neutral, atol=4 * error)


def test_curves_are_those_of_the_recursion() -> None:
    res = fit(noise=0.0)
    A, B = log_prices(60, priced=0.0, cov=np.zeros((2, 2)))
    y = res.yield_curve([1, 5]).estimate
    assert_allclose(y, simulated(400, 0)[["12m", "60m"]], atol=1e-6)
    forward = res.forward_curve(3).estimate.iloc[:, 0]
    direct = 12.0 * (
        res.yield_curve(37 / 12).estimate.iloc[:, 0] * 37 / 12 - res.yield_curve(3).estimate.iloc[:, 0] * 3
    )
    assert_allclose(forward, direct, atol=1e-12)
    ten = res.forward_premium(2, tenor=3).estimate.iloc[:, 0]
    parts = res.term_premium([2, 5]).estimate
    assert_allclose(ten, (5 * parts[5.0] - 2 * parts[2.0]) / 3, atol=1e-12)
    assert_allclose(res.term_premium(5).estimate, y[[5.0]] - res.risk_neutral_yields(5).estimate, atol=1e-12)
    assert_allclose(res.zero_prices(5), np.exp(-5 * y[[5.0]]), rtol=1e-12)


def test_forecasts_are_those_of_the_autoregression() -> None:
    res = fit()
    at, x = res.matrices, res.factors.smoothed.iloc[-1].to_numpy()
    ahead = np.linalg.matrix_power(at["Phi"].to_numpy(), 12) @ x
    assert_allclose(res.factors.predicted.iloc[-1], at["Phi"].to_numpy() @ x, rtol=1e-12)
    curves = res.model.curves(res.params)
    found = res.forecast_yields(horizons=1, maturities=[2.0, 5.0])
    assert_allclose(
        found.estimate.iloc[0], curves.yields(np.array([2.0, 5.0])).mean(ahead[None])[0], rtol=1e-10
    )
    by_steps = res.forecast_yields(12)
    assert list(by_steps.estimate.index) == list(pd.period_range("1993-05", periods=12, freq="M"))
    assert np.all(by_steps.se > res.forecast_yields(12, param_uncertainty=False).se)


def test_returns_of_one_period_are_those_of_the_pricing_equation() -> None:
    """E[rx] = b'(lambda_0 + lambda_1 X) - (b'S b + s^2) / 2 (Adrian, Crump & Moench 2013, equation 13)."""
    res = fit()
    at, X = res.matrices, res.factors.smoothed.to_numpy()
    tau = np.array([13, 60]) / 12
    slope = res.model.curves(res.params).yields(tau - 1 / 12).slope
    b, S = -slope * (tau - 1 / 12)[:, None], at["state_cov"].to_numpy()
    prices = at["lambda_0"].to_numpy() + X @ at["lambda_1"].to_numpy().T
    variance = np.einsum("mi,ij,mj->m", b, S, b)
    expected = prices @ b.T - 0.5 * (variance + at["return_var"])
    held = {"param_uncertainty": False}
    assert_allclose(res.expected_excess_returns(tau, 1 / 12, **held).estimate / 12, expected, atol=1e-12)
    sharpe = (expected + 0.5 * variance) / np.sqrt(variance / 12)
    assert_allclose(res.sharpe_ratios(tau, 1 / 12, **held).estimate, sharpe, rtol=1e-8)
    unit = np.linalg.cholesky(S) * np.sqrt(1 / 12)
    assert_allclose(res.price_of_risk(**held).estimate @ unit.T, prices, rtol=1e-10)


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_simulated_estimates() -> None:
    """Of roots under P and Q, functions of the parameters that a rotation of the factors does not move."""

    def roots(params: np.ndarray, model: Any) -> np.ndarray:
        at = model.matrices(params)
        both = (np.linalg.eigvals(at["Phi"]), np.linalg.eigvals(at["Phi"] - at["lambda_1"]))
        return np.concatenate([np.sort(each.real) for each in both])

    from statespace_ext.inference.information import delta_method

    found, errors = [], []
    for rng in range(200):
        res = fit(600, rng, noise=2e-4)
        value, se = delta_method(
            lambda at, model=res.model: roots(at, model), np.asarray(res.params), res.cov_params().to_numpy(),
            1e-3 * np.asarray(res.bse),
        )  # fmt: skip
        found.append(value)
        errors.append(se)
    assert_allclose(np.std(found, axis=0), np.median(errors, axis=0), rtol=0.25)


def test_the_band_of_a_premium_is_the_delta_method() -> None:
    res = fit()
    date, cov = res.factors.smoothed.index[10], res.cov_params().to_numpy()
    gradient, X = [], res.factors.smoothed.to_numpy()[10:11]
    for i, step in enumerate(1e-4 * np.asarray(res.bse)):
        ends = []
        for sign in (1.0, -1.0):
            params = np.asarray(res.params).copy()
            params[i] += sign * step
            ends.append(res.model.curves(params).term_premium(np.array([5.0]), True).mean(X)[0, 0])
        gradient.append((ends[0] - ends[1]) / (2 * step))
    found = res.term_premium(5, date=date)
    assert_allclose(found.se.iloc[0, 0] ** 2, np.array(gradient) @ cov @ np.array(gradient), rtol=1e-5)
    assert np.all(res.term_premium(5, date=date, param_uncertainty=False).se == 0.0)


def test_tables_and_pictures() -> None:
    res = fit()
    assert list(res.tidy()["term"]) == res.model.param_names == list(res.bse.index)
    assert_allclose(res.conf_int(0.1), res.tidy(0.1)[["conf_low", "conf_high"]], rtol=1e-12)
    assert repr(res) == f"<ACMResults: {res.model}>" and f"{res.nobs} periods" in repr(res)
    text = str(res.summary())
    assert all(word in text for word in ("lambda_1.PC1.PC2", "Three least-squares regressions", "asymptotic"))
    table = res.mean_reversion
    roots = np.abs(np.linalg.eigvals(res.matrices["Phi"]))
    assert_allclose(
        table.loc["P", "half_life"], np.log(0.5) / np.log(np.sort(roots)[::-1]) / 12.0, rtol=1e-10
    )
    again = pickle.loads(pickle.dumps(res))
    assert_allclose(again.term_premium(5).se, res.term_premium(5).se, rtol=1e-12)
    # a cycle, a root of each sign and a shock without persistence: the slowest has the largest modulus
    Phi = np.zeros((5, 5))
    Phi[:2, :2], Phi[2, 2], Phi[3, 3] = 0.95 * np.array([[0.8, 0.6], [-0.6, 0.8]]), -0.9, 0.5
    found = mean_reversion(12.0 * (np.eye(5) - Phi), 1.0 / 12.0)
    half = np.log(0.5) / np.log([0.95, 0.95, 0.9, 0.5]) / 12.0
    assert_allclose(found[:, 2], [*half, 0.0], rtol=1e-12)
    assert_allclose(1.0 - found[:, 0] / 12.0, [0.76, 0.76, -0.9, 0.5, 0.0], atol=1e-14)
    pytest.importorskip("matplotlib")
    for name in ("plot_factors", "plot_loadings", "plot_fit", "plot_term_premium", "plot_curve"):
        assert getattr(res, name)().axes


def test_units_and_order_of_the_columns() -> None:
    y = simulated(200, 3, 1e-5).iloc[:, [0, 11, 23, 2, 5, 35, 47, 59]]
    one = sse.ACM(y, k_factors=2).fit()
    other = sse.ACM(100.0 * y[y.columns[::-1]], k_factors=2, units="percent").fit()
    assert_allclose(other.params, one.params, rtol=1e-6, atol=1e-12)
    assert_allclose(other.term_premium(5).estimate, 100.0 * one.term_premium(5).estimate, rtol=1e-6)
    assert_allclose(other.pricing_errors[y.columns], one.pricing_errors, atol=1e-6)


def test_bad_input() -> None:
    y = simulated(100, 3, 1e-5)
    few = y[["1m", "12m", "24m", "36m", "60m"]]
    gappy = few.copy()
    gappy.iloc[7, 1] = np.nan
    with pytest.raises(sse.DataError, match="complete yields.*'12m' at 1960-08"):
        sse.ACM(gappy, k_factors=2)
    with pytest.raises(sse.DataError, match="one-period rate is not among the yields.*0.25 years"):
        sse.ACM(y[["3m", "12m", "24m", "60m"]], k_factors=2)
    with pytest.raises(sse.UnsupportedError, match="irregular dates"):
        days = pd.DatetimeIndex(np.cumsum(np.arange(5, 105)) * np.timedelta64(1, "D") + np.datetime64("1990"))
        sse.ACM(few.set_axis(days), k_factors=2)
    with pytest.raises(sse.DataError, match="too short.*6 periods"):
        sse.ACM(few.iloc[:6], k_factors=2)
    with pytest.raises(sse.SpecificationError, match="fewer maturities than factors"):
        sse.ACM(few, k_factors=6)
    with pytest.raises(sse.SpecificationError, match="return_maturities cannot be used"):
        sse.ACM(few, k_factors=2, return_maturities=[1 / 12, 1, 2])
    with pytest.raises(sse.SpecificationError, match="whole numbers of periods"):
        sse.ACM(few, k_factors=2, factor_maturities=[0.3, 1, 2])
    with pytest.raises(sse.DataError, match="fewer principal components"):
        one = pd.DataFrame(np.outer(np.linspace(0.02, 0.05, 40), np.ones(5)), columns=few.columns)
        sse.ACM(one, k_factors=2, dt=1 / 12).fit()
    res = sse.ACM(few, k_factors=2).fit()
    with pytest.raises(sse.SpecificationError, match="whole numbers of periods.*1.2 periods"):
        res.term_premium(0.1)
    with pytest.raises(sse.SpecificationError, match="at most 10 years"):
        res.term_premium(60)
    with pytest.raises(sse.SpecificationError, match="information_set"):
        res.term_premium(5, information_set="future")


def test_responses_of_the_curve_are_those_of_the_autoregression() -> None:
    res = fit()
    at, tau = res.matrices, np.array([1.0, 5.0])
    slope = res.model.curves(res.params).yields(tau).slope
    root, Phi = np.linalg.cholesky(at["state_cov"]), at["Phi"].to_numpy()
    found = res.curve_responses([0.0, 0.5], tau)
    assert found.index.names == ["shock", "horizon"]
    assert_allclose(
        found.loc["PC2"], [slope @ root[:, 1], slope @ np.linalg.matrix_power(Phi, 6) @ root[:, 1]]
    )
    moved = res.curve_responses(1.0, impulse=[1.0, -2.0])
    assert list(moved.columns) == list(res.model.panel.maturities)
    with pytest.raises(sse.SpecificationError, match="impulse cannot be used"):
        res.curve_responses(1.0, impulse=[1.0])
    with pytest.raises(sse.SpecificationError, match="whole numbers of periods"):
        res.curve_responses(0.1)


@pytest.mark.parametrize("dated", [True, False])
def test_yields_that_follow(dated: bool) -> None:
    """Factors keep the weights of the sample of the estimates, and rates are of their dates."""
    whole = simulated(200, 3, 1e-5).iloc[:, [0, 2, 5, 11, 23, 35, 47, 59]]
    tau, options = np.array([1, 3, 6, 12, 24, 36, 48, 60]) / 12.0, {} if dated else {"dt": 1 / 12}
    data = whole if dated else whole.to_numpy()
    early = sse.ACM(data[:150], tau, 2, **options).fit()
    res = early.append(data[150:])
    assert res.nobs == 200 and list(res.params) == list(early.params)
    first = early.term_premium(5)
    for name in ("estimate", "se"):
        assert_allclose(getattr(res.term_premium(5), name).iloc[:150], getattr(first, name), rtol=1e-10)
    own = early.bias_corrected()
    later = own.append(data[150:])
    assert_allclose(res.bias_corrected().params, own.params, rtol=1e-12)  # of the 150 periods
    assert "estimates from 150 periods" in str(res.summary()) and "unit circle" not in str(res.summary())
    assert later.status_lines()[-1] == own.status_lines()[-1]
    assert_allclose(
        early.append(data[150:], refit=True).params, sse.ACM(data, tau, 2, **options).fit().params
    )
    assert_allclose(early.apply(data).factors.smoothed, res.factors.smoothed, rtol=1e-12)
    if dated:
        assert list(res.forecast_yields(1).estimate.index) == [pd.Period("1976-09", "M")]
        for rows in (slice(149, 160), slice(151, 160)):
            with pytest.raises(sse.DataError, match="must continue"):
                early.append(data[rows])
        with pytest.raises(sse.DataError, match="does not have the columns"):
            early.append(data.iloc[150:, ::-1])
    gappy = np.array(whole[150:])
    gappy[3, 2] = np.nan
    with pytest.raises(sse.DataError, match="complete yields"):
        early.append(gappy)


def test_every_name_of_other_results_works_or_is_refused_by_name() -> None:
    res = fit()
    ours = [name for name in dir(sse.ATSMResults) if not name.startswith("_")]
    for name in ours:
        if not hasattr(type(res), name) and name not in vars(res):
            with pytest.raises(sse.UnsupportedError, match=f"have no {name}"):
                getattr(res, name)
    assert not hasattr(res, "rolling") and not hasattr(res, "get_forecast")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = res.nonsense
    for copied in (copy.deepcopy(res), pickle.loads(pickle.dumps(res))):
        assert_allclose(copied.curve_responses(1.0), res.curve_responses(1.0))
    with pytest.raises(sse.SpecificationError, match="a model of this package"):
        sse.rolling_fit(res, 100)


def test_a_curve_that_explodes_is_warned_of() -> None:
    """Five factors on few maturities: the premium would look plausible."""
    with pytest.warns(UserWarning, match="long yields explode"):
        res = sse.ACM(sse.datasets.load_yields()).fit()
    assert any("long yields explode" in line for line in res.status_lines())
