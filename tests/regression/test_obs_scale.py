"""Known scales of the noise: the same as dividing by hand, with the Jacobian."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose
from oracle import dense_diffuse, richardson_gradient

import statespace_ext as sse
from statespace_ext.exceptions import DataError, SpecificationError, UnsupportedError

N = 30
V = np.array([[2.0, 0.3], [0.3, 1.0]])
W = np.array([[0.04, 0.01], [0.01, 0.05]])
EXACT = {"rtol": 0, "atol": 1e-10}


def data(missing: bool = True) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return returns, regressors and a scale by asset."""
    y, x = simulated(np.random.default_rng(3), N, 2, move=0.2)
    scale = pd.DataFrame(np.exp(0.5 * np.random.default_rng(4).standard_normal((N, 2))), y.index, y.columns)
    y = y * scale
    if missing:
        y.iloc[[5, 11], 1] = np.nan
        y.iloc[8] = np.nan
    return y, x, scale


def model_of(missing: bool = True, **options: Any) -> sse.DynamicRegression:
    y, x, scale = data(missing)
    return sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_scale=scale, **options)


def params_of(model: Any) -> np.ndarray:
    return np.asarray(model.params_from_matrices({"obs_cov": V, "state_cov": W}))


@pytest.fixture(scope="module")
def res() -> Any:
    model = model_of()
    return model.smooth(params_of(model))


def divided(y: Any, x: Any, scale: Any) -> tuple[np.ndarray, dict[str, np.ndarray], float]:
    """Return the data divided by hand, the system that they follow, and the log of the Jacobian."""
    s = scale.to_numpy()
    plain = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    found = plain.system(params_of(plain))
    names = "obs_intercept obs_cov transition state_intercept selection state_cov initial_state"
    system = {name: getattr(found, name) for name in [*names.split(), "initial_state_cov"]}
    system["design"] = found.design / s.T[:, None, :]
    seen = y.notna().to_numpy()
    return y.to_numpy() / s, system, -float(np.sum(np.log(s)[seen]))


# -- the same as by hand -----------------------------------------------------------------------------------


def test_it_is_dividing_by_hand(res: Any) -> None:
    by_hand, system, jacobian = divided(*data())
    want = dense_diffuse(by_hand, system, np.ones(4, dtype=bool))
    assert_allclose(res.llf, want.llf + jacobian, **EXACT)
    assert_allclose(res.model.loglike(res.params), want.llf + jacobian, **EXACT)
    assert_allclose(res.smoothed_state.T, want.smoothed_state, **EXACT)
    assert_allclose(np.moveaxis(res.smoothed_state_cov, 2, 0), want.smoothed_cov, **EXACT)
    assert_allclose(res.matrices["obs_cov"], V, rtol=1e-12)


def test_static_coefficients_are_weighted_least_squares() -> None:
    y, x, scale = data()
    s = scale["A1"]
    res = sse.DynamicRegression(y["A1"], x, obs_scale=s).fit()
    seen = y["A1"].notna()
    left, right = (y["A1"] / s)[seen].to_numpy(), x.div(s, axis=0)[seen].to_numpy()
    estimate, squares = np.linalg.lstsq(right, left, rcond=None)[:2]
    assert_allclose(res.coefficients["MKT"].estimate["A1"], estimate[1], rtol=1e-10)
    assert_allclose(res.params.iloc[0], squares[0] / (len(left) - 2), rtol=1e-5)


def test_a_scale_of_ones_changes_nothing() -> None:
    y, x, _ = data()
    plain = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    ones = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_scale=np.ones(N))
    at = params_of(plain)
    assert_allclose(ones.loglike(at), plain.loglike(at), rtol=1e-12)
    assert_allclose(ones.score(at), plain.score(at), rtol=1e-8, atol=1e-8)
    assert_allclose(ones.start_params, plain.start_params, rtol=1e-10)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"obs_cov": "factor:1", "state_cov": "diagonal"},
        {"state_cov": "proportional"},
        {"initialization": "approximate_diffuse"},
    ],
    ids=["full", "factor", "proportional", "approximate"],
)
def test_the_score_is_that_of_differences(options: dict[str, Any], missing: bool) -> None:
    model = model_of(missing, **options)
    at = model.start_params * 1.1 + 0.01
    assert_allclose(model.score(at), richardson_gradient(model.loglike, at), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("state_cov", ["diagonal", "proportional"])
@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_em_rises_and_stays_at_the_maximum(state_cov: str) -> None:
    model = model_of(obs_cov="diagonal", state_cov=state_cov)
    best = model.fit(method="lbfgs", cov_type="none")
    assert best.converged
    trace = model.fit(method="em", maxiter=8, cov_type="none").em_trace["llf"]
    assert len(trace) >= 8
    assert np.all(np.diff(trace) > 0) and trace.iloc[-1] < best.llf
    again = model.fit(best.params, method="em", maxiter=2, cov_type="none")
    assert_allclose(again.params, best.params, rtol=0.01, atol=1e-4)


# -- in use ------------------------------------------------------------------------------------------------


def test_append_extend_apply_and_pickle(res: Any) -> None:
    y, x, scale = data()
    start = sse.DynamicRegression(y[:20], x[:20], dynamics=BETA_MOVES, obs_scale=scale[:20]).smooth(
        res.params
    )
    rows = {"exog": x[20:], "obs_scale": scale[20:]}
    longer, rest = start.append(y[20:], **rows), start.extend(y[20:], **rows)
    assert_allclose(longer.llf, res.llf, **EXACT)
    assert_allclose(longer.smoothed_state, res.smoothed_state, **EXACT)
    assert_allclose(start.llf + rest.llf, res.llf, rtol=0, atol=1e-9)
    assert_allclose(start.apply(y, exog=x, obs_scale=scale).llf, res.llf, **EXACT)
    copy = pickle.loads(pickle.dumps(longer))
    assert_allclose(copy.model.loglike(res.params), res.llf, **EXACT)
    assert_allclose(
        copy.portfolio({"A1": 1}).beta.smoothed_se["portfolio"],
        res.coefficients["MKT"].smoothed_se["A1"],
        rtol=1e-9,
    )
    for method in (start.append, start.extend, start.apply, start.model.clone):
        with pytest.raises(DataError, match="obs_scale"):
            method(y[20:], exog=x[20:])
    with pytest.raises(DataError, match="obs_scale"):
        start.append(y[20:], exog=x[20:], obs_scale=scale[21:])


def test_forecasts_have_the_scale_that_is_given(res: Any) -> None:
    y, x, scale = data()
    start = sse.DynamicRegression(y[:20], x[:20], dynamics=BETA_MOVES, obs_scale=scale[:20]).smooth(
        res.params
    )
    found = start.get_forecast(2, exog=x[20:22], obs_scale=scale[20:22])
    want = start.append(y[20:22] * np.nan, exog=x[20:22], obs_scale=scale[20:22])
    F = want.forecasts_error_cov[:, :, -2:]
    assert_allclose(np.asarray(found.se_mean) ** 2, np.array([F[0, 0], F[1, 1]]).T, rtol=1e-9)
    cov = start.smoothed_state_cov[:, :, -1]
    cov[2:, 2:] += W
    Z = start.model.coefficients.design(x[20:21].to_numpy())[:, :, 0]
    S = np.diag(scale.iloc[20])
    assert_allclose(np.asarray(found.se_mean.iloc[0]) ** 2, np.diag(Z @ cov @ Z.T + S @ V @ S), rtol=1e-9)
    once = start.get_forecast(1, exog=x[20:21], obs_scale=[1.5])
    assert_allclose(np.asarray(once.se_mean.iloc[0]) ** 2, np.diag(Z @ cov @ Z.T + 2.25 * V), rtol=1e-9)
    draws = start.simulate(3, anchor="end", exog=x[20:23], obs_scale=1e-9 * scale[20:23], rng=0)
    assert draws.shape == (3, 2)
    for call in (start.forecast, start.get_forecast):
        with pytest.raises(DataError, match="obs_scale; the last value is not carried"):
            call(2, exog=x[20:22])
    with pytest.raises(DataError, match="obs_scale"):
        start.forecast(2, exog=x[20:22], obs_scale=scale[21:23])
    with pytest.raises(DataError, match="positive"):
        start.forecast(2, exog=x[20:22], obs_scale=[1.0, 0.0])
    plain = sse.DynamicRegression(y, x).smooth(np.ravel(V)[[0, 1, 3]])
    with pytest.raises(DataError, match="no obs_scale"):
        plain.forecast(1, exog=x[-1:].to_numpy(), obs_scale=[1.0])


def test_refits_have_the_scale_of_their_periods() -> None:
    model = model_of(False, obs_cov="diagonal", state_cov="scalar")
    res = model.fit(method="lbfgs")
    found = res.rolling_evaluation(window=26, refit_every=2, fit_options={"method": "lbfgs"})
    y, x, scale = data(False)
    options = {"dynamics": BETA_MOVES, "obs_cov": "diagonal", "state_cov": "scalar"}
    part = sse.DynamicRegression(y[:26], x[:26], obs_scale=scale[:26], **options).fit(method="lbfgs")
    want = part.get_forecast(1, exog=x[26:27], obs_scale=scale[26:27])
    assert_allclose(found.variances["dynamic"].iloc[0], np.asarray(want.se_mean.iloc[0]) ** 2, rtol=1e-4)
    assert len(res.bootstrap(n_boot=2, rng=0).params) == 2
    assert res.bse.notna().all()
    with pytest.raises(UnsupportedError, match="obs_scale"):
        res.test_constancy()
    static = sse.DynamicRegression(y, x, obs_cov="diagonal", obs_scale=scale).fit()
    assert static.test_coefficients("MKT.A1 = 1", n_sim=2, rng=0).distribution == "parametric bootstrap"


def test_missing_cells_are_filled_as_in_the_divided_model(res: Any) -> None:
    by_hand, system, _ = divided(*data())
    s = data()[2].to_numpy()
    joint = dense_diffuse(by_hand, system, np.ones(4, dtype=bool))
    filled = res.impute().data
    t = 5  # the second asset misses: its noise given that of the first
    state, Z = joint.smoothed_state[t], system["design"][:, :, t]
    e = by_hand[t, 0] - Z[0] @ state
    want = s[t, 1] * (Z[1] @ state + V[1, 0] / V[0, 0] * e)
    assert_allclose(filled.iloc[t, 1], want, rtol=1e-9)


def test_one_scale_for_all_series_is_a_regression_of_divided_data() -> None:
    y, x, scale = data()
    s = scale["A1"]
    ours = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_scale=s)
    plain = sse.DynamicRegression(y.div(s, axis=0), x.div(s, axis=0), dynamics=BETA_MOVES)
    at = params_of(plain)
    assert_allclose(ours.score(at), plain.score(at), rtol=1e-8, atol=1e-8)
    assert_allclose(ours.hessian(at), plain.hessian(at), rtol=1e-4, atol=1e-6)
    found, want = ours.smooth(at), plain.smooth(at)
    for kind in ("innovations", "auxiliary"):
        assert_allclose(found.residuals(kind=kind), want.residuals(kind=kind), rtol=1e-6, atol=1e-8)
    assert_allclose(
        found.test_serial_correlation("ljungbox"), want.test_serial_correlation("ljungbox"), rtol=1e-8
    )


def test_a_capm_takes_it_too() -> None:
    y, x, scale = data()
    res = sse.CAPM(y, x["MKT"], obs_scale=scale, obs_cov=V, state_cov=W).smooth([])
    assert_allclose(res.llf, model_of().loglike(params_of(model_of())), **EXACT)
    new = pd.period_range(y.index[-1] + 1, periods=2, freq="M")
    later = pd.DataFrame(1.0, new, y.columns)
    longer = res.append(later, market=pd.Series([1.0, 2.0], new, name="MKT"), obs_scale=later)
    assert longer.nobs == N + 2
    assert res.forecast(1, market=[1.0], obs_scale=[1.0]).shape == (1, 2)
    with pytest.raises(DataError, match="obs_scale"):
        res.forecast(1, market=[1.0])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s * 0.0, "not positive"),
        (lambda s: -s, "not positive"),
        (lambda s: s.drop(index=s.index[3]).reindex(s.index), "missing"),
        (lambda s: s.replace(s.iloc[2, 1], np.inf), "infinite"),
        (lambda s: s[:-1], "shape|index"),
        (lambda s: s.shift(1, freq="M"), "index"),
        (lambda s: s[["A2", "A1"]], "columns"),
        (lambda s: s.assign(A3=1.0), "columns"),
        (lambda s: s.rename(columns={"A2": "A9"}), "got A1, A9; expected 2: A1, A2"),
        (lambda s: s.to_numpy().T, "shape"),
        (lambda s: s.astype(str), "not numeric"),
        (lambda s: 2.0, "shape|not"),
    ],
)
def test_what_is_no_scale(change: Any, match: str) -> None:
    y, x, scale = data()
    with pytest.raises((DataError, SpecificationError), match=match):
        sse.DynamicRegression(y, x, obs_scale=change(scale))


# -- the rule: a method uses the scale that is given, or says that it cannot ---------------------------------


CUT = 20
LATER = {"exog": data()[1][CUT : CUT + 3]}
USE_IT: dict[str, Any] = {
    "forecast": lambda r, **k: r.forecast(3, **LATER, **k),
    "get_forecast": lambda r, **k: r.get_forecast(3, **LATER, **k).se_mean,
    "get_forecast, parameters": lambda r, **k: (
        r.get_forecast(3, param_uncertainty=True, **LATER, **k).se_mean
    ),
    "get_prediction": lambda r, **k: r.get_prediction(15, CUT + 2, **LATER, **k).se_mean,
    "predict": lambda r, **k: r.predict(15, CUT + 2, **LATER, **k),
    "simulate": lambda r, **k: r.simulate(3, anchor="end", rng=0, **LATER, **k),
    "simulate from the start": lambda r, **k: r.simulate(CUT + 3, rng=0, **LATER, **k),
    "model.simulate": lambda r, **k: r.model.simulate(r.params, CUT + 3, **LATER, **k),
    "fevd": lambda r, **k: r.fevd(3, shares=False, **LATER, **k),
}
ADD_DATA: dict[str, Any] = {
    "append": lambda r, **k: r.append(data()[0][CUT : CUT + 3], **LATER, **k).llf,
    "extend": lambda r, **k: r.extend(data()[0][CUT : CUT + 3], **LATER, **k).llf,
    "apply": lambda r, **k: r.apply(data()[0][CUT : CUT + 3], **LATER, **k).llf,
    "clone": lambda r, **k: r.model.clone(data()[0][CUT : CUT + 3], **LATER, **k).obs_scale,
}
HAVE_NO_USE: dict[str, Any] = {
    "simulate": lambda r, **k: r.simulate(10, rng=0, **k),
    "get_prediction": lambda r, **k: r.get_prediction(2, 5, **k).se_mean,
    "predict": lambda r, **k: r.predict(2, 5, **k),
    "impulse_responses": lambda r, **k: r.impulse_responses(3, **k),
    "model.impulse_responses": lambda r, **k: r.model.impulse_responses(r.params, 3, **k),
    "irf": lambda r, **k: r.irf(3, **k).estimate,
    "news": lambda r, **k: r.news(shorter(r), **k).total_impacts,
    "smooth": lambda r, **k: r.model.smooth(r.params, **k).llf,
    "filter": lambda r, **k: r.model.filter(r.params, **k).llf,
    "simulation_smoother": lambda r, **k: r.model.simulation_smoother(**k),
}


def part(scaled: bool = True) -> Any:
    """Return results on the first periods, with or without a scale."""
    y, x, scale = data()
    model = sse.DynamicRegression(
        y[:CUT], x[:CUT], dynamics=BETA_MOVES, obs_scale=scale[:CUT] if scaled else None
    )
    return model.smooth(params_of(model))


def shorter(res: Any) -> Any:
    model, rows = res.model, slice(CUT - 1)
    return model.clone(*(each[rows] for each in data()[:2]), **model.arguments_of_periods(rows)).smooth(
        res.params
    )


def differ(one: Any, other: Any) -> bool:
    return not np.allclose(np.asarray(one, dtype=float), np.asarray(other, dtype=float), equal_nan=True)


@pytest.mark.parametrize("method", [*USE_IT, *ADD_DATA])
def test_methods_for_later_periods_use_the_scale_or_refuse_it(method: str) -> None:
    call, res, scale = {**USE_IT, **ADD_DATA}[method], part(), data()[2][CUT : CUT + 3]
    found = call(res, obs_scale=scale)
    assert method in ("forecast", "predict") or differ(found, call(res, obs_scale=2.0 * scale))
    with pytest.raises(DataError, match="obs_scale"):
        call(res)
    with pytest.raises(DataError, match="obs_scale has the wrong shape"):
        call(res, obs_scale=scale[:2])
    with pytest.raises(DataError, match="obs_scale has values that are not positive"):
        call(res, obs_scale=-scale)
    if method in USE_IT:
        with pytest.raises(DataError, match="no obs_scale"):
            call(part(False), obs_scale=scale)
    else:
        assert differ(call(part(False), obs_scale=scale), call(part(False), obs_scale=2.0 * scale))


@pytest.mark.parametrize("method", HAVE_NO_USE)
@pytest.mark.parametrize("scaled", [True, False], ids=["with a scale", "without"])
def test_methods_without_later_periods_refuse_a_scale(method: str, scaled: bool) -> None:
    call, res = HAVE_NO_USE[method], part(scaled)
    call(res)
    with pytest.raises(DataError, match="uses obs_scale only for periods after the sample"):
        call(res, obs_scale=data()[2][CUT : CUT + 3])


def test_a_model_without_a_scale_had_ones_before() -> None:
    y, x, scale = data()
    both = np.concatenate([np.ones((CUT, 2)), scale[CUT:]])
    whole = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_scale=both)
    res, rows = part(False), {"exog": x[CUT:], "obs_scale": scale[CUT:]}
    assert_allclose(res.append(y[CUT:], **rows).llf, whole.loglike(res.params), rtol=1e-10)
    assert_allclose(res.llf + res.extend(y[CUT:], **rows).llf, whole.loglike(res.params), rtol=1e-10)


def test_simulations_of_the_sample_have_its_scale() -> None:
    y, x, scale = data()
    common = scale["A1"]
    scaled, plain = (
        sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_scale=each) for each in (common, None)
    )
    start = {"initial_state": np.zeros(4), "state_shocks": np.zeros((N, 2)), "rng": 0}
    noise = [model.smooth(params_of(model)).simulate(N, **start) for model in (scaled, plain)]
    assert_allclose(noise[0], noise[1].mul(common, axis=0), rtol=1e-8)
    responses = [model.impulse_responses(params_of(model), 4, anchor=3) for model in (scaled, plain)]
    assert_allclose(*responses)


def test_news_after_the_sample_use_the_scale() -> None:
    y, x, scale = data()
    res = part()
    rows = {"exog": x[CUT : CUT + 1], "obs_scale": scale[CUT : CUT + 1]}
    found = res.news(shorter(res), start=y.index[CUT], end=y.index[CUT], **rows).total_impacts
    before = shorter(res).forecast(2, exog=x[CUT - 1 : CUT + 1], obs_scale=scale[CUT - 1 : CUT + 1])
    assert_allclose(found, res.forecast(1, **rows).to_numpy() - before[1:].to_numpy(), rtol=1e-6)
    with pytest.raises(DataError, match="obs_scale"):
        res.news(shorter(res), start=y.index[CUT], end=y.index[CUT], exog=x[CUT : CUT + 1])


def test_rolling_fits_have_the_scale_of_their_windows() -> None:
    y, x, scale = data(False)
    options = {"dynamics": BETA_MOVES, "obs_cov": "diagonal", "state_cov": "scalar"}
    model = sse.DynamicRegression(y, x, obs_scale=scale, **options)
    found = sse.rolling_fit(model, window=20, step=10, fit_options={"method": "lbfgs"})
    part = sse.DynamicRegression(y[10:], x[10:], obs_scale=scale[10:], **options).fit(method="lbfgs")
    assert_allclose(found.params.iloc[-1], part.params, rtol=1e-3)
