"""The results of `ATSM` against closed forms, quadrature, published figures and statsmodels."""

from __future__ import annotations

import functools
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.linalg
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from yields import panel, random_panel

import statespace_ext as sse
from statespace_ext.term_structure import tables

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])


@functools.cache
def smoothed(units: str = "decimal", irregular: bool = False, n: int = 60, **options: Any) -> Any:
    """Return results at the start values of a random panel, without a fit, once for all tests."""
    y = random_panel(np.random.default_rng(3), n, TAU, irregular=irregular)
    y = 100.0 * y if units == "percent" else y
    model = sse.ATSM(y, TAU, units=units, **options)
    return model.smooth(model.start_params)


@pytest.fixture(scope="module")
def cdr(shared_data: Path, reference: dict[str, dict]) -> tuple[Any, dict[str, Any]]:
    """Return results at the stored maximum of the independent AFNS, and what is stored of it."""
    y, tau = panel(shared_data, "cdr", "decimal")
    model = sse.ATSM(y, tau, identification="afns", p_dynamics="diagonal", state_cov="diagonal")
    at = reference["yields"]["cdr_afns_independent"]
    K = np.diag(at["KP_diag"])
    start = {
        "decay": [[at["lam"]]], "K_P": K, "kappa_P": K @ at["thetaP"],
        "state_cov": np.diag(np.square(at["sigma_diag"])), "obs_cov": np.diag(np.square(at["h"])),
    }  # fmt: skip
    return model.smooth(model.params_from_matrices(start)), at


def test_published_standard_errors(cdr: tuple[Any, dict[str, Any]]) -> None:
    res, at = cdr
    table = res.matrices_table()
    K, theta, sigma = (table.loc[key] for key in ("K_P", "theta_P", "Sigma"))
    own = [(name, name) for name in res.model.factor_names]
    assert_allclose(theta["estimate"], at["thetaP"], rtol=1e-9)
    se = at["se_obs_info"]
    assert_allclose(K.loc[own, "se"], se["KP"], rtol=2e-3)
    assert_allclose(theta["se"], se["thetaP"], rtol=2e-3)
    assert_allclose(sigma.loc[own, "se"], se["sigma"], rtol=2e-3)
    assert_allclose(table.loc[("K_Q", "slope", "slope"), "se"], se["lam"], rtol=2e-3)
    assert np.all(np.isnan(res.matrices["theta_Q"]))
    assert any("theta_Q does not exist" in line for line in res.status_lines())


@pytest.mark.parametrize("cov_type", ["oim", "approx"])
def test_published_standard_errors_from_the_menu(cdr: tuple[Any, dict[str, Any]], cov_type: str) -> None:
    res, at = cdr
    se = np.sqrt(np.diag(res.cov_params_of(cov_type)))
    place = list(res.params.index).index("decay")
    assert_allclose(se[place], at["se_obs_info"]["lam"], rtol=2e-3)


def test_matrices_satisfy_the_definition_of_the_prices_of_risk() -> None:
    m = smoothed().matrices
    sigma, lambda_1 = m["Sigma"].to_numpy(), m["lambda_1"].to_numpy()
    assert_allclose(m["K_P"] + sigma @ lambda_1, m["K_Q"], atol=1e-12)
    assert_allclose(m["kappa_P"] - sigma @ m["lambda_0"], m["kappa_Q"], atol=1e-12)
    assert_allclose(m["K_P"] @ m["theta_P"], m["kappa_P"], atol=1e-12)


def test_dns_has_no_prices_of_risk() -> None:
    res = smoothed(identification="dns")
    assert np.all(np.isnan(res.matrices["lambda_1"]))
    assert any("no prices of risk" in line for line in res.status_lines())
    with pytest.raises(sse.SpecificationError, match="no prices of risk"):
        res.term_premium(10, "risk-neutral")
    assert np.all(np.isfinite(res.term_premium(10).estimate))


def test_vasicek() -> None:
    res = smoothed(k_factors=1, identification="dai-singleton")
    m = res.matrices
    k, d0, d1 = m["K_Q"].iloc[0, 0], m["delta_0"], m["delta_1"].iloc[0]
    tau = np.array([0.1, 2.0, 30.0])
    r = res.short_rate.estimate.to_numpy()
    B = (1 - np.exp(-k * tau)) / k
    far = d0 - d1**2 / (2 * k**2)
    price = np.exp((B - tau) * far - d1**2 * B**2 / (4 * k) - B * r)
    assert_allclose(res.zero_prices(tau, extrapolate=True), price, rtol=1e-11)
    assert_allclose(res.yield_curve(tau, extrapolate=True).estimate, -np.log(price) / tau, rtol=1e-10)


YEARS = ("maturity", "maturities", "horizon", "horizons")


def in_years() -> list[tuple[str, str]]:
    """Return the public methods that take maturities or horizons, and these arguments."""
    owners = (sse.ATSMResults, sse.ATSM)
    methods = {name: getattr(owner, name) for owner in owners for name in dir(owner) if name[0] != "_"}
    return [
        (name, argument)
        for name, method in methods.items()
        if callable(method)
        and method.__module__.startswith("statespace_ext")
        and name
        != "rolling_evaluation"  # of maturities of the panel: tests/term_structure/test_evaluation.py
        for argument in YEARS
        if argument in inspect.signature(method).parameters
    ]


def test_methods_that_take_years_are_known() -> None:
    assert len(in_years()) >= 14 and {name for name, _ in in_years()} >= {
        "term_premium",
        "plot_curve",
        "loadings",
    }


@pytest.mark.parametrize(("name", "argument"), in_years())
def test_far_beyond_the_data(name: str, argument: str) -> None:
    """Twice the longest maturity, ten years, is allowed; more needs extrapolate=True."""
    if name.startswith("plot_"):
        pytest.importorskip("matplotlib")
    res = smoothed()
    owner = res.model if name == "loadings" else res
    given: dict[str, Any] = {"params": res.params} if name == "loadings" else {}
    if name == "curve_responses":
        given = {"horizons": 1.0}
    if name in ("expected_excess_returns", "sharpe_ratios"):
        given = {"holding_period": 0.05}
    call = functools.partial(getattr(owner, name), **given)
    for allowed in (20.0, 0.1):
        assert call(**{argument: allowed}) is not None
    for far in (120, 20.1, [1.0, 120.0] if name != "plot_term_premium" else 360):
        with pytest.raises(
            sse.SpecificationError, match=r"at most 20 years.*by 12, or pass extrapolate=True"
        ):
            call(**{argument: far})
    assert call(**{argument: 30.0}, extrapolate=True) is not None
    with pytest.raises(sse.SpecificationError, match="extrapolate"):
        call(**{argument: 30.0}, extrapolate="yes")


def test_a_rate_of_30_years_from_a_panel_of_10() -> None:
    """Risk-neutral pricing goes on: y(30) is the average of forward rates up to 30 years."""
    res = smoothed(identification="afns")
    date = res.factors.smoothed.index[-1]
    long = res.yield_curve(30, date, extrapolate=True).estimate.iloc[0, 0]
    nodes, weights = np.polynomial.legendre.leggauss(40)
    forwards = res.forward_curve(15.0 * (nodes + 1.0), date, extrapolate=True).estimate.to_numpy()[0]
    assert_allclose(long, weights @ forwards / 2.0, rtol=1e-10)


@pytest.mark.parametrize("options", [{}, {"identification": "afns"}, {"identification": "dns"}])
def test_expected_short_rate_is_an_integral(options: dict[str, Any]) -> None:
    res = smoothed(**options)
    m, x, h = res.matrices, res.factors.smoothed.to_numpy()[-1], 4.0
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = -m["K_P"].to_numpy(), m["kappa_P"]
    nodes, weights = np.polynomial.legendre.leggauss(24)
    state = np.append(x, 1.0)
    short = [
        m["delta_0"] + m["delta_1"].to_numpy() @ (scipy.linalg.expm(generator * h * (s + 1) / 2) @ state)[:3]
        for s in nodes
    ]
    average = float(weights @ short) / 2
    date = res.factors.smoothed.index[-1]
    assert_allclose(res.expected_short_rate(h, date).estimate, [[average]], rtol=1e-9)
    end = m["delta_0"] + m["delta_1"].to_numpy() @ (scipy.linalg.expm(generator * h) @ state)[:3]
    assert_allclose(res.expected_short_rate(h, date, average=False).estimate, [[end]], rtol=1e-9)
    fitted = res.yield_curve(h, date).estimate.to_numpy()
    assert_allclose(res.term_premium(h, date=date).estimate, fitted - average, atol=1e-12)


def test_risk_neutral_yields_price_with_the_physical_dynamics() -> None:
    res = smoothed(identification="afns")
    m, x, h = res.matrices, res.factors.smoothed.to_numpy(), 5.0
    cov = m["Sigma"].to_numpy() @ m["Sigma"].to_numpy().T
    K, kappa, delta = m["K_P"].to_numpy(), m["kappa_P"].to_numpy(), m["delta_1"].to_numpy()

    def slopes(_: float, u: np.ndarray) -> np.ndarray:
        b = u[1:]
        return np.append(kappa @ b + 0.5 * b @ cov @ b - m["delta_0"], -K.T @ b - delta)

    solved = scipy.integrate.solve_ivp(slopes, (0, h), np.zeros(4), rtol=1e-11, atol=1e-13).y[:, -1]
    expected = -(solved[0] + x @ solved[1:]) / h
    assert_allclose(res.risk_neutral_yields(h).estimate.to_numpy()[:, 0], expected, rtol=1e-8)
    premium = res.term_premium(h, "risk-neutral").estimate.to_numpy()[:, 0]
    assert_allclose(premium, res.yield_curve(h).estimate.to_numpy()[:, 0] - expected, atol=1e-9)


@pytest.mark.parametrize("definition", ["expected", "risk-neutral"])
def test_forward_premia_average_to_term_premia(definition: str) -> None:
    res = smoothed()
    nodes, weights = np.polynomial.legendre.leggauss(30)
    forward = res.forward_premium(6.0 * (nodes + 1) / 2, definition).estimate
    assert_allclose(forward @ weights / 2, res.term_premium(6.0, definition).estimate.iloc[:, 0], atol=1e-10)


def test_percent_and_decimal_agree() -> None:
    decimal = smoothed(identification="afns")
    model = sse.ATSM(100.0 * decimal.model.data.orig_endog, TAU, units="percent", identification="afns")
    at = decimal.model.layout.matrices(np.asarray(decimal.params))
    scaled = {**at, "kappa_P": 100 * at["kappa_P"]}
    scaled.update(state_cov=1e4 * at["state_cov"], obs_cov=1e4 * at["obs_cov"])
    scaled.pop("initial_state")
    percent = model.smooth(model.params_from_matrices(scaled))
    held = {"param_uncertainty": False}
    for call in (lambda r: r.yield_curve(4, **held), lambda r: r.term_premium(4, "risk-neutral", **held)):
        assert_allclose(call(percent).estimate, 100.0 * call(decimal).estimate, rtol=1e-6)
        assert_allclose(call(percent).se, 100.0 * call(decimal).se, rtol=1e-6)
    assert_allclose(percent.zero_prices([1, 9]), decimal.zero_prices([1, 9]), rtol=1e-8)
    assert_allclose(decimal.zero_prices(9), np.exp(-9 * decimal.yield_curve(9).estimate), rtol=1e-13)
    assert_allclose(percent.pricing_errors, decimal.pricing_errors, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"identification": "dns"}])
def test_forecasts_are_those_of_statsmodels(options: dict[str, Any]) -> None:
    res = smoothed(**options)
    theirs, ours = res.get_forecast(7), res.forecast_yields(7, param_uncertainty=False)
    assert_allclose(ours.estimate, theirs.predicted_mean, rtol=1e-9)
    assert_allclose(ours.se, theirs.se_mean, rtol=1e-7)
    assert_allclose(np.column_stack([ours.lower(), ours.upper()]), theirs.conf_int(), rtol=1e-7)
    assert ours.estimate.index.equals(theirs.predicted_mean.index)
    assert_allclose(res.forecast_yields(horizons=7 / 12).estimate, ours.estimate.iloc[-1:], rtol=1e-9)
    by_dates = res.forecast_yields(dates=ours.estimate.index, param_uncertainty=False)
    assert_allclose(by_dates.se, ours.se, rtol=1e-9)


def test_irregular_forecast_is_a_row_of_missing_yields() -> None:
    res = smoothed(irregular=True)
    later = res.model.data.row_labels[-1] + pd.Timedelta(days=47)
    y = res.model.data.orig_endog
    empty = pd.DataFrame(np.nan, index=pd.DatetimeIndex([later]), columns=y.columns)
    appended = res.append(empty)
    assert appended.factors.smoothed.index[-1] == later
    ours = res.forecast_yields(dates=[later], param_uncertainty=False)
    theirs = appended.yield_curve(TAU, later, param_uncertainty=False)
    assert_allclose(ours.estimate, theirs.estimate, rtol=1e-9)
    noise = np.diag(res.matrices["obs_cov"])
    assert_allclose(ours.se**2, theirs.se**2 + noise, rtol=1e-9)
    with pytest.raises(sse.SpecificationError, match="length of a .* is unknown"):
        res.forecast_yields(3)
    with pytest.raises(sse.UnsupportedError, match="length of a .* is unknown"):
        res.forecast(3)


@pytest.mark.parametrize("irregular", [False, True])
def test_append_and_extend(irregular: bool) -> None:
    whole = smoothed(irregular=irregular, identification="afns")
    y, params = whole.model.data.orig_endog, np.asarray(whole.params)
    res = sse.ATSM(y.iloc[:45], TAU, identification="afns").smooth(params)
    appended, extended = res.append(y.iloc[45:]), res.extend(y.iloc[45:])
    assert appended.factors.smoothed.index.equals(y.index)
    assert_allclose(appended.llf, whole.llf, rtol=1e-10)
    assert_allclose(res.llf + extended.llf, whole.llf, rtol=1e-10)
    assert extended.factors.smoothed.index.equals(y.index[45:])
    assert_allclose(res.apply(y).llf, whole.llf, rtol=1e-10)
    one = res.extend(y.iloc[45:46])
    assert_allclose(
        res.llf + one.llf, sse.ATSM(y.iloc[:46], TAU, identification="afns").loglike(params), rtol=1e-10
    )
    assert len(whole.simulate(60, rng=1)) == 60
    assert whole.get_prediction(0, 9).predicted_mean.index.equals(y.index[:10])


def test_responses_are_those_of_statsmodels() -> None:
    res = smoothed()
    theirs = res.impulse_responses(6, impulse=1, orthogonalized=True)
    ours = res.curve_responses(np.arange(7) / 12).loc["P2"]
    assert_allclose(ours, np.asarray(theirs), rtol=1e-8, atol=1e-13)
    moved = res.curve_responses(2.0, impulse=[1.0, 0.0, 0.0])
    slope = res.model.loadings(res.params, TAU)[1]
    expected = slope @ scipy.linalg.expm(-2.0 * res.matrices["K_P"].to_numpy())[:, 0]
    assert_allclose(moved.to_numpy()[0], expected, rtol=1e-9)


def test_mean_reversion(cdr: tuple[Any, dict[str, Any]]) -> None:
    res, at = cdr
    table = res.mean_reversion
    assert_allclose(table.loc["P", "half_life"], np.log(2) / np.array(at["KP_diag"]), rtol=1e-9)
    assert np.isinf(table.loc[("Q", 1), "half_life"])


def test_errors_of_the_roots(cdr: tuple[Any, dict[str, Any]]) -> None:
    """Published for a diagonal K; from left and right eigenvectors for a full one."""
    res, at = cdr
    table, K = res.mean_reversion_table(), np.array(at["KP_diag"])
    assert_allclose(table.loc["P", "real_se"], at["se_obs_info"]["KP"], rtol=2e-3)
    half_se = np.log(2) / K**2 * np.array(at["se_obs_info"]["KP"])
    assert_allclose(table.loc["P", "half_life_se"], half_se, rtol=2e-3)
    assert np.isnan(table.loc["Q", "real_se"].iloc[1:]).all()  # a double root
    assert np.isnan(table.loc["Q", "half_life_se"].iloc[0])  # a unit root
    assert_frame_equal(table[list(res.mean_reversion)], res.mean_reversion)

    tau = [0.5, 2.0, 5.0, 10.0]
    model = sse.ATSM(random_panel(np.random.default_rng(3), 120, tau, 2), maturities=tau, k_factors=2)
    res = model.fit(method="mle")
    params, cov = np.asarray(res.params), np.asarray(res.cov_params())
    steps = 1e-3 * np.sqrt(np.diag(cov))
    for measure in "PQ":

        def at_params(at: np.ndarray, measure: str = measure) -> np.ndarray:
            return tables.structural_values(model, at)[f"K_{measure}"]

        moves = [at_params(params + s) - at_params(params - s) for s in np.diag(steps)]
        roots, left, right = scipy.linalg.eig(at_params(params), left=True)
        order = np.lexsort((roots.imag, roots.real))
        for i, row in zip(order, res.mean_reversion_table().loc[measure].itertuples(), strict=True):
            w, v = left[:, i].conj(), right[:, i]
            slopes = np.array([(w @ dK @ v / (w @ v)).real for dK in moves]) / (2 * steps)
            assert_allclose(row.real_se, np.sqrt(slopes @ cov @ slopes), rtol=1e-3)


def test_bands_of_the_factors_and_of_the_parameters(cdr: tuple[Any, dict[str, Any]]) -> None:
    res, _ = cdr
    model, params, cov = res.model, np.asarray(res.params), np.asarray(res.cov_params())
    A, B = model.loadings(params, np.array([10.0]))
    own = np.einsum("i,ijn,j->n", B[0], res.smoothed_state_cov, B[0])
    given = res.yield_curve(10, param_uncertainty=False)
    assert_allclose(given.se.to_numpy()[:, 0] ** 2, own, rtol=1e-9)
    date = res.factors.smoothed.index[100]
    premium = res.term_premium(10, date=date).se.iloc[0, 0]
    alone = res.term_premium(10, date=date, param_uncertainty=False).se.iloc[0, 0]
    steps = 1e-3 * np.sqrt(np.diag(cov))
    gradient = []
    for i, step in enumerate(steps):
        ends = [
            model.smooth(params + sign * step * np.eye(len(params))[i])
            .term_premium(10, date=date, param_uncertainty=False)
            .estimate.iloc[0, 0]
            for sign in (1, -1)
        ]
        gradient.append((ends[0] - ends[1]) / (2 * step))
    assert_allclose(premium**2, alone**2 + np.array(gradient) @ cov @ gradient, rtol=1e-4)
    assert premium > 2 * alone


def test_a_zero_measurement_error_spoils_no_other_standard_error(cdr: tuple[Any, dict[str, Any]]) -> None:
    res, _ = cdr
    params = np.array(res.params)
    place = res.model.param_names.index("obs_var.m36")
    params[place] = 0.0
    zero = res.model.smooth(params)
    table = zero.matrices_table()
    assert np.isnan(table.loc[("obs_cov", "m36", "m36"), "se"])
    assert np.all(table.loc["theta_P"]["se"] > 0)
    others = table.loc["obs_cov"].drop(("m36", "m36"))
    assert np.all(others["se"] > 0)
    assert np.all(zero.term_premium(10, date=zero.factors.smoothed.index[5]).se > 0)
    assert any("without error: m36" in line for line in zero.status_lines())


def test_summary_has_its_blocks(cdr: tuple[Any, dict[str, Any]]) -> None:
    text = str(cdr[0].summary())
    places = [text.index(title) for title in ("P dynamics", "Q dynamics", "Prices of risk", "Observation (")]
    assert places == sorted(places)
    assert "theta_Q does not exist" in text


def test_pricing_errors(cdr: tuple[Any, dict[str, Any]]) -> None:
    res, _ = cdr
    errors = 1e4 * (res.model.endog - res.fitted_yields.to_numpy())
    table = res.pricing_error_summary()
    assert_allclose(table["rmse"], np.sqrt(np.mean(errors**2, axis=0)), rtol=1e-10)
    assert_allclose(table["max_abs"], np.abs(errors).max(axis=0), rtol=1e-10)
    assert_allclose(res.pricing_error_summary("date")["mean"], errors.mean(axis=1), atol=1e-9)


def test_pickling_and_fixed_parameters() -> None:
    res = smoothed(identification="afns")
    again = pickle.loads(pickle.dumps(res))
    assert_allclose(again.term_premium(10).estimate, res.term_premium(10).estimate, rtol=1e-12)
    with res.model.fix_params({"decay": 0.5}), pytest.warns(sse.ConvergenceWarning):
        fixed = res.model.fit(method="lbfgs", maxiter=5, start_params=np.delete(np.asarray(res.params), 0))
    assert fixed.matrices["K_Q"].loc["slope", "slope"] == 0.5
    assert np.isnan(fixed.matrices_table().loc[("K_Q", "slope", "slope"), "se"])


def test_bad_arguments() -> None:
    res = smoothed()
    with pytest.raises(sse.SpecificationError, match="maturities"):
        res.yield_curve(-1)
    with pytest.raises(sse.SpecificationError, match="definition"):
        res.term_premium(10, "neutral")
    with pytest.raises(sse.DataError, match="not in the sample"):
        res.yield_curve(10, "2050-01-31")
    with pytest.raises(sse.SpecificationError, match="Only one of steps"):
        res.forecast_yields(3, horizons=1.0)
    with pytest.raises(sse.DataError, match="in order and after the sample"):
        res.forecast_yields(dates=["1980-01-31"])


@pytest.mark.parametrize("identification", ["jsz", "afns", "dai-singleton"])
def test_new_data_may_lack_a_maturity(identification: str) -> None:
    """Only what is estimated, or is the source of the portfolio weights, must be seen."""
    y = random_panel(np.random.default_rng(3), 62, TAU)
    y.iloc[60:, 2] = np.nan
    model = sse.ATSM(y.iloc[:60], TAU, identification=identification)
    res = model.smooth(model.start_params)
    whole = res.append(y.iloc[60:])
    assert_allclose(res.extend(y.iloc[60:]).llf, whole.llf_obs[60:].sum(), rtol=1e-9)


def test_forecasts_for_periods() -> None:
    y = random_panel(np.random.default_rng(3), 60, TAU)
    y.index = pd.period_range("1990-01", periods=60, freq="M")
    model = sse.ATSM(y, TAU, identification="afns")
    res = model.smooth(model.start_params)
    later = y.index[-1] + 3
    for dates in ([later], later, pd.PeriodIndex([later]), [later.to_timestamp()]):
        by_dates, by_steps = (
            res.forecast_yields(**{**how, "param_uncertainty": False})
            for how in ({"dates": dates}, {"steps": 3})
        )
        assert_allclose(by_dates.se, by_steps.se.iloc[-1:], rtol=1e-12)
    assert res.forecast_yields(dates=later).estimate.index[0] == later


def test_observed_factors_and_yields_beside_them() -> None:
    """A variance that is small beside the variance of its yield is at the boundary; factors have none."""
    y = random_panel(np.random.default_rng(3), 60, TAU)
    factors = np.column_stack([y.iloc[:, 4], y.iloc[:, 4] - y.iloc[:, 0]])
    model = sse.ATSM(y.iloc[:, :4], TAU[:4], k_factors=2, factors=factors)
    res = model.smooth(model.start_params)
    assert_allclose(model.variance_sizes(res.params)["obs_cov"], y.iloc[:, :4].var(ddof=0))
    assert res.boundary == []
    assert_allclose(res.factors.smoothed, factors)
    assert list(res.pricing_errors) == list(y.columns[:4])


def test_the_variance_of_exact_portfolios_has_a_standard_error() -> None:
    """H is singular by declaration, not by its estimate: se = variance sqrt(2 / n (p - k))."""
    y, tau = random_panel(np.random.default_rng(3), 60, TAU, 2), TAU
    res = sse.ATSM(y, tau, 2, obs_cov="exact-portfolios").fit(method="jsz")
    assert res.boundary == []
    at = list(res.model.param_names).index("obs_var")
    expected = np.asarray(res.params)[at] * np.sqrt(2.0 / (len(y) * (len(tau) - 2)))
    assert_allclose(np.asarray(res.bse)[at], expected, rtol=0.02)


def test_estimated_first_factors_and_an_exact_yield_have_no_maximum() -> None:
    """P_1 = 0: the density of the first yield is that of its measurement error alone."""
    y = random_panel(np.random.default_rng(3), 60, TAU)
    model = sse.ATSM(y, TAU, identification="afns", initialization="estimated")
    params = np.asarray(model.start_params).copy()
    at = model.layout.matrices(params)
    B = model.loadings(params, TAU)
    x = at["initial_state"][:, 0]
    x = x + B[1][1] * (y.iloc[0, 1] - B[0][1] - B[1][1] @ x) / (B[1][1] @ B[1][1])  # the second yield is hit
    params = model.layout.project({"initial_state": x[:, None]}, params)
    place = model.param_names.index("obs_var.y12m")
    llf = []
    for variance in (1e-12, 1e-16, 1e-20):
        params[place] = variance
        llf.append(model.loglike(params))
    assert_allclose(np.diff(llf), 0.5 * np.log(1e4), rtol=0.01)
    params[place] = 0.0
    assert any("without bound" in line for line in model.smooth(params + 0.0).status_lines())
