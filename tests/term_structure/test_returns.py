"""Excess returns, Sharpe ratios, prices of risk, short-rate parameters against independent computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from yields import random_panel

import statespace_ext as sse
from statespace_ext.term_structure.dynamics import bias_corrected

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
HELD: dict[str, Any] = {"param_uncertainty": False}


def smoothed(k: int = 2, units: str = "decimal", **options: Any) -> Any:
    """Return results at the start values of a random panel, without a fit."""
    y = random_panel(np.random.default_rng(3), 60, TAU, k) * (100.0 if units == "percent" else 1.0)
    model = sse.ATSM(y, TAU, k, units=units, **options)
    return model.smooth(model.start_params, cov_type="none")


def states_later(res: Any, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Moments of the factors h years after the last date, by matrix exponential and quadrature."""
    m = {key: np.asarray(value) for key, value in res.matrices.items()}
    x, k = res.factors.smoothed.to_numpy()[-1], len(m["K_P"])
    generator = np.zeros((k + 1, k + 1))
    generator[:k, :k], generator[:k, k] = -m["K_P"], m["kappa_P"]
    mean = (scipy.linalg.expm(generator * h) @ np.append(x, 1.0))[:k]
    nodes, weights = np.polynomial.legendre.leggauss(20)
    moves = [scipy.linalg.expm(-m["K_P"] * h * (s + 1) / 2) @ m["Sigma"] for s in nodes]
    return mean, sum(w * a @ a.T for w, a in zip(weights, moves, strict=True)) * h / 2


@pytest.mark.parametrize("units", ["decimal", "percent"])
def test_returns_of_simulated_factors(units: str) -> None:
    """A bond of seven years held for one and a half: prices now and at factors drawn for the end."""
    res, h, tau = smoothed(units=units), 1.5, 7.0
    scale, date = {"decimal": 1.0, "percent": 100.0}[units], res.factors.smoothed.index[-1]
    mean, cov = states_later(res, h)
    draws = np.random.default_rng(0).standard_normal((200_000, 2))
    draws = np.vstack([draws, -draws]) @ np.linalg.cholesky(cov).T + mean
    A, B = res.model.loadings(res.params, [tau - h, tau, h])
    now = A + B @ res.factors.smoothed.to_numpy()[-1]
    end = A[0] + draws @ B[0]
    rx = (tau * now[1] - (tau - h) * end - h * now[2]) / scale
    found = res.expected_excess_returns(tau, h, date, **HELD).estimate.iloc[0, 0]
    assert_allclose(found, scale * rx.mean() / h, rtol=1e-9)
    sharpe = np.log(np.mean(np.exp(rx))) / rx.std() / np.sqrt(h)
    assert_allclose(res.sharpe_ratios(tau, h, date, **HELD).estimate.iloc[0, 0], sharpe, atol=5e-3)


@pytest.mark.parametrize("units", ["decimal", "percent"])
def test_over_a_short_time_a_sharpe_ratio_is_a_price_of_risk(units: str) -> None:
    """b'Sigma Lambda over |Sigma'b|, and Lambda itself is what the definition says."""
    res = smoothed(units=units)
    m, X = res.matrices, res.factors.smoothed.to_numpy()
    prices = res.price_of_risk(**HELD).estimate
    direct = m["lambda_0"].to_numpy() + X @ m["lambda_1"].to_numpy().T
    assert_allclose(prices, direct, rtol=1e-10)
    b = -TAU[2:, None] * res.model.loadings(res.params, TAU[2:])[1] @ m["Sigma"].to_numpy()
    wanted = prices.to_numpy() @ b.T / np.linalg.norm(b, axis=1)
    assert_allclose(
        res.sharpe_ratios(TAU[2:], 1e-4, **HELD).estimate, wanted, atol=2e-3 * np.abs(wanted).max()
    )


def test_without_prices_of_risk_excess_returns_are_convexity() -> None:
    """Under Q every bond earns the short rate: E[P] grows with it, whatever is held."""
    res = smoothed()
    at = res.model.layout.matrices(np.asarray(res.params))
    dynamics = res.model.dynamics(res.params)
    params = res.model.layout.project(
        {**at, "K_P": dynamics.pricing.K, "kappa_P": dynamics.pricing.kappa[:, None]}, np.asarray(res.params)
    )
    curves = res.model.curves(params)
    short = curves.sharpe_ratios(np.array([3.0, 10.0]), 1e-4, 1.0)
    assert_allclose(short.intercept, 0.0, atol=1e-3)
    assert_allclose(short.slope, 0.0, atol=1e-3 * np.abs(dynamics.pricing.delta_1).max())
    assert_allclose(curves.price_of_risk().slope, 0.0, atol=1e-10)


def test_bands_are_the_delta_method() -> None:
    y = random_panel(np.random.default_rng(4), 60, TAU, k=1)
    res = sse.ATSM(y, TAU, k_factors=1, obs_cov="scalar").fit(method="mle")
    date, model = y.index[30], res.model
    params, cov = np.asarray(res.params), np.asarray(res.cov_params())
    for call in (
        lambda r, **o: r.expected_excess_returns(7, 1.0, date, **o),
        lambda r, **o: r.sharpe_ratios(7, 1.0, date, **o),
        lambda r, **o: r.price_of_risk(date, **o),
        lambda r, **o: r.term_premium(7, "expected", date, information_set="filtered", **o),
        lambda r, **o: r.forecast_yields(horizons=[2.0], maturities=[5.0], **o),
    ):
        slopes = []
        for place, step in enumerate(1e-3 * np.sqrt(np.diag(cov))):
            ends = []
            for sign in (1.0, -1.0):
                trial = params.copy()
                trial[place] += sign * step
                ends.append(call(model.smooth(trial, cov_type="none"), **HELD).estimate.iloc[0, 0])
            slopes.append((ends[0] - ends[1]) / (2 * step))
        added = np.array(slopes) @ cov @ np.array(slopes)
        own = call(res, **HELD).se.iloc[0, 0] ** 2
        assert_allclose(call(res).se.iloc[0, 0] ** 2, own + added, rtol=1e-4)


def test_vasicek_parameters() -> None:
    """The path of r is that of the equation: drift by finite differences of expected short rates."""
    res = smoothed(1)
    table = res.short_rate_parameters()["estimate"]
    r, eps = res.short_rate.estimate.iloc[:, 0].to_numpy(), 1e-5
    ahead = res.expected_short_rate(eps, average=False, **HELD).estimate.iloc[:, 0].to_numpy()
    assert_allclose((ahead - r) / eps, table["kappa_P"] * (table["theta_P"] - r), rtol=1e-3, atol=1e-7)
    tau, k = np.array([1.0, 5.0]), table["kappa_Q"]
    B = (1 - np.exp(-k * tau)) / k
    far = table["theta_Q"] - table["sigma"] ** 2 / (2 * k**2)
    price = np.exp((B - tau) * far - table["sigma"] ** 2 * B**2 / (4 * k) - B * r[:, None])
    assert_allclose(res.zero_prices(tau), price, rtol=1e-9)


@pytest.mark.parametrize("identification", ["jsz", "dai-singleton"])
def test_g2_parameters(identification: str) -> None:
    """The formula of Brigo & Mercurio (2006, 4.10-4.11) for constant phi prices the third yield from two."""
    res = smoothed(identification=identification)
    p = res.short_rate_parameters()["estimate"]
    a, b, s, e, rho = p[["a", "b", "sigma", "eta", "rho"]]

    def V(t: np.ndarray) -> np.ndarray:
        def own(k: float, v: float) -> np.ndarray:
            return v**2 / k**2 * (t + 2 / k * np.exp(-k * t) - np.exp(-2 * k * t) / (2 * k) - 3 / (2 * k))

        cross = t + (np.exp(-a * t) - 1) / a + (np.exp(-b * t) - 1) / b - (np.exp(-(a + b) * t) - 1) / (a + b)
        return own(a, s) + own(b, e) + 2 * rho * s * e / (a * b) * cross

    tau = np.array([0.5, 4.0, 9.0])
    loads = np.column_stack([(1 - np.exp(-k * tau)) / (k * tau) for k in (a, b)])
    fixed = p["phi"] - V(tau) / (2 * tau)
    y = res.yield_curve(tau, **HELD).estimate.to_numpy()
    xy = np.linalg.solve(loads[:2], (y[:, :2] - fixed[:2]).T)
    assert_allclose(fixed[2] + loads[2] @ xy, y[:, 2], rtol=1e-7)
    assert_allclose(p["phi"] + xy.sum(axis=0), res.short_rate.estimate.iloc[:, 0], rtol=1e-7)


def test_short_rate_parameters_of_other_models() -> None:
    for options in ({"k": 3}, {"k": 3, "identification": "dns"}, {"k": 1, "time": "discrete"}):
        with pytest.raises(sse.UnsupportedError, match="of one or two factors"):
            smoothed(**options).short_rate_parameters()


def test_bad_arguments() -> None:
    res = smoothed()
    with pytest.raises(sse.SpecificationError, match="longer than the holding period.*1 years, held for 1"):
        res.expected_excess_returns([1, 5], 1.0)
    with pytest.raises(sse.SpecificationError, match="holding_period must be one number"):
        res.sharpe_ratios(5, [1.0, 2.0])
    with pytest.raises(sse.SpecificationError, match="holding_period"):
        res.sharpe_ratios(5, 0.0)
    with pytest.raises(sse.SpecificationError, match="no prices of risk"):
        smoothed(3, identification="dns").price_of_risk()


@pytest.mark.parametrize("time", ["continuous", "discrete"])
def test_with_macro_factors(time: str) -> None:
    """Forecasts are those of statsmodels, returns those that the forecasts of yields make."""
    y = random_panel(np.random.default_rng(3), 60, TAU, 2)
    rng = np.random.default_rng(5)
    macro = pd.DataFrame({"g": np.cumsum(rng.standard_normal(60)) * 0.3}, index=y.index)
    model = sse.ATSM(y, TAU, 2, macro=macro, time=time, obs_cov="scalar")
    res = model.smooth(model.start_params, cov_type="none")
    theirs, ours = res.get_forecast(6), res.forecast_yields(6, **HELD)
    assert_allclose(ours.estimate, theirs.predicted_mean[y.columns], rtol=1e-8)
    assert_allclose(ours.se, theirs.se_mean.iloc[:, 1:], rtol=1e-6)
    date, h, tau = y.index[-1], 0.5, 7.0
    later = res.forecast_yields(6, maturities=[tau - h], **HELD).estimate.iloc[-1, 0]
    now = res.yield_curve([tau, h], date, **HELD).estimate.iloc[0].to_numpy()
    rx = (tau * now[0] - (tau - h) * later - h * now[1]) / h
    assert_allclose(res.expected_excess_returns(tau, h, date, **HELD).estimate, [[rx]], rtol=1e-8)
    assert list(res.price_of_risk(**HELD).estimate.columns) == model.factor_names[:2]
    out = res.bias_corrected()
    Phi = [each.model.curves(each.params).ahead(np.array([1 / 12])).transition[0] for each in (res, out)]
    step = model.curves(res.params).ahead(np.array([1 / 12])).cov[0]
    assert_allclose(Phi[1], bias_corrected(Phi[0], step, 60, "analytic").transition, atol=1e-9)
    assert_allclose(out.factors.smoothed.shape, (60, 3))
    assert any("corrected for the bias" in line for line in out.status_lines())


# -- information, tenors ------------------------------------------------------------------------------------


def test_filtered_premia_know_no_later_yields() -> None:
    """At date 40 they are those of results that end there."""
    res = smoothed()
    y, date = res.model.data.orig_endog, res.factors.smoothed.index[40]
    weights = res.model.panel.weights
    short = sse.ATSM(y.iloc[:41], TAU, 2, portfolio_weights=weights).smooth(res.params, cov_type="none")
    for name, given in (("term_premium", 7), ("expected_short_rate", 5), ("expected_excess_returns", 7)):
        found = getattr(res, name)(given, date=date, information_set="filtered", **HELD)
        last = getattr(short, name)(given, date=date, **HELD)
        assert_allclose(found.estimate, last.estimate, rtol=1e-9)
        assert_allclose(found.se, last.se, rtol=1e-7)
    assert not np.allclose(res.term_premium(7, date=date, **HELD).estimate, found.estimate)
    alone = res.model.filter(res.params, cov_type="none")  # without a smoother pass
    again = alone.expected_excess_returns(7, date=date, information_set="filtered", **HELD)
    assert_allclose(again.estimate, found.estimate, rtol=1e-12)
    with pytest.raises(sse.SpecificationError, match="information_set"):
        res.term_premium(7, information_set="predicted")


@pytest.mark.parametrize("definition", ["expected", "risk-neutral"])
def test_a_forward_premium_of_a_tenor_is_the_mean_of_instantaneous_ones(definition: str) -> None:
    res = smoothed()
    nodes, weights = np.polynomial.legendre.leggauss(20)
    points = 5.0 + 5.0 * (nodes + 1) / 2
    parts = res.forward_premium(points, definition, **HELD).estimate.to_numpy() @ weights / 2
    found = res.forward_premium(5, definition, tenor=5, **HELD).estimate.iloc[:, 0]
    assert_allclose(found, parts, rtol=1e-9)
    with pytest.raises(sse.SpecificationError, match="maturity \\+ tenor.*21 years"):
        res.forward_premium(15, tenor=6)
    with pytest.raises(sse.SpecificationError, match="tenor must be one number"):
        res.forward_premium(5, tenor=[1, 2])
    with pytest.raises(sse.ParameterError, match="got 1.03 years"):  # the maturity as it was given
        smoothed(time="discrete").forward_premium(1.03, tenor=1, **HELD)


def test_bands_smooth_the_panel_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    y = random_panel(np.random.default_rng(4), 60, TAU, k=1)
    res = sse.ATSM(y, TAU, k_factors=1, obs_cov="scalar").fit(method="mle")
    first = res.term_premium(7)
    smoother, calls = res.model.private_smoother, []
    monkeypatch.setattr(smoother, "smooth", lambda *a, **k: calls.append(1))
    again = (res.term_premium(7), res.risk_neutral_yields(5), res.forecast_yields(3), res.sharpe_ratios(7))
    assert_allclose(again[0].se, first.se, rtol=1e-12)
    assert all(np.all(each.se > 0) for each in again) and not calls
    assert np.all(first.se > res.term_premium(7, **HELD).se)


def test_without_standard_errors_there_is_no_band() -> None:
    res = smoothed()
    assert np.isnan(res.term_premium(7).se).to_numpy().all()
    assert np.all(res.term_premium(7, **HELD).se > 0)
