"""LGSSM in other periods: forecasts, more data, news, simulations, against the Gaussian of all periods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from two_factors import (
    DESIGN,
    MODELS,
    REGRESSORS,
    H,
    N,
    ar1,
    brute_force,
    build,
    every_model,
    future,
    not_converged,
    over_time,
    panel,
    quarterly,
    regressors,
    smoothed,
    split,
    unidentified,
    without_diffuse_missing,
)

import statespace_ext as sse

# -- forecasts ---------------------------------------------------------------------------------------------


@every_model
def test_forecast_is_the_posterior_of_periods_without_data(spec: Mapping) -> None:
    res = smoothed(spec, without_diffuse_missing(spec))
    new = future(spec)
    oracle, system = brute_force(res, spec, H, **new)
    assert_allclose(res.llf, oracle.llf, rtol=1e-10)
    forecast = res.get_forecast(H, **new)
    mean = oracle.smoothed_state[-H:] @ system["design"].T + system["obs_intercept"][:, -H:].T
    cov = system["design"] @ oracle.smoothed_cov[-H:] @ system["design"].T + system["obs_cov"]
    assert_allclose(forecast.predicted_mean, mean, rtol=1e-8, atol=1e-9)
    assert_allclose(forecast.se_mean, np.sqrt(np.diagonal(cov, axis1=1, axis2=2)), rtol=1e-8)
    assert_array_equal(res.forecast(H, **new), forecast.predicted_mean)
    interval = forecast.conf_int(alpha=0.1)
    half = 1.6448536269514722 * np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    assert_allclose(interval, np.hstack([mean - half, mean + half]), rtol=1e-8, atol=1e-8)


TIME_VARYING: dict[str, dict] = {
    "design": {"design": over_time(DESIGN, N + H)},
    "obs_intercept": {"obs_intercept": over_time([1.0, -1.0, 2.0], N + H)},
    "obs_cov": {"obs_cov": over_time(np.eye(3), N + H)},
    "transition": {"transition": over_time(np.diag([0.7, 0.3]), N + H)},
    "state_intercept": {"state_intercept": over_time([0.5, -0.2], N + H)},
    "state_cov": {"state_cov": over_time(np.eye(2), N + H)},
}
every_matrix = pytest.mark.parametrize("name", TIME_VARYING)


def time_varying(name: str, periods: int, y: np.ndarray) -> sse.LGSSM:
    start = {"initialization": "known", "initial_state": [0.0, 0.0], "initial_state_cov": np.eye(2)}
    return sse.LGSSM(y, 2, **start, **{name: TIME_VARYING[name][name][..., :periods]})


@every_matrix
def test_forecast_with_future_matrices(name: str) -> None:
    """The same model on the sample and H missing rows has the forecasts as its predictions."""
    y = panel()
    model = time_varying(name, N, y)
    params = model.start_params
    padded = time_varying(name, N + H, np.concatenate([y, np.full((H, 3), np.nan)])).smooth(params)
    res = model.smooth(params)
    given = {name: TIME_VARYING[name][name][..., N:]}
    forecast = res.get_forecast(H, **given)
    assert_allclose(res.llf, padded.llf, rtol=1e-12)
    assert_allclose(forecast.predicted_mean, padded.fittedvalues[-H:], rtol=1e-10)
    expected = padded.get_prediction(start=N, end=N + H - 1)
    assert_allclose(forecast.se_mean, expected.se_mean, rtol=1e-10)


@every_matrix
def test_forecast_without_future_matrices_says_what_is_missing(name: str) -> None:
    model = time_varying(name, N, panel())
    res = model.smooth(model.start_params)
    with pytest.raises(sse.SpecificationError, match=f"{name}.*future"):
        res.forecast(H)


@pytest.mark.parametrize(("name", "key"), [("obs_intercept", "exog"), ("state_intercept", "state_exog")])
def test_forecast_with_a_time_varying_intercept_beside_regressors(name: str, key: str) -> None:
    """Future regressors do not say what the fixed part of the intercept will be."""
    spec = {
        "initialization": "known",
        "initial_state": [0.0, 0.0],
        "initial_state_cov": np.eye(2),
        key: regressors(N, 1, 3),
        name: TIME_VARYING[name][name][..., :N],
    }
    res = smoothed(spec)
    for steps in (H, N):  # N: arrays of the sample would fit
        with pytest.raises(sse.SpecificationError, match=f"{name}.*future"):
            res.forecast(steps, **future(spec, steps))


@every_model
def test_prediction_across_the_end_of_the_sample(spec: Mapping) -> None:
    res, new = smoothed(spec, without_diffuse_missing(spec)), future(spec)
    predicted = res.predict(start=N - 3, end=N + H - 1, **new)
    assert_allclose(predicted[:3], res.fittedvalues[-3:], rtol=1e-12)
    assert_allclose(predicted[3:], res.forecast(H, **new), rtol=1e-12)


# -- extend, append, apply ---------------------------------------------------------------------------------


@every_model
def test_extend_adds_up(spec: Mapping) -> None:
    y, m = without_diffuse_missing(spec), 30
    whole = smoothed(spec, y)
    params = np.asarray(whole.params)
    first_spec, rest = split(spec, m)
    first = build(first_spec, y[:m]).smooth(params)
    second = first.extend(y[m:], **rest)
    assert_allclose(first.llf + second.llf, whole.llf, rtol=1e-11)
    assert_allclose(second.filtered_state, whole.filtered_state[:, m:], rtol=1e-8, atol=1e-10)
    assert_allclose(second.forecast(H, **future(spec)), whole.forecast(H, **future(spec)), rtol=1e-8)


@every_model
def test_update_after_extend_keeps_the_state(spec: Mapping) -> None:
    y, m = without_diffuse_missing(spec), 30
    first_spec, rest = split(spec, m)
    first = smoothed(first_spec, y[:m])
    params = np.asarray(first.params)
    second = first.extend(y[m:], **rest)
    model = second.model
    for at in (params * 1.01, params):
        model.update(at)
    assert_allclose(model.ssm.loglike(), second.llf, rtol=1e-12)
    assert_allclose(model.smooth(params).llf, second.llf, rtol=1e-12)
    assert_allclose(model.loglike(params), second.llf, rtol=1e-10)
    assert_allclose(model.ssm.initialization.constant, first.predicted_state[:, -1], rtol=1e-12)


@unidentified
@not_converged
def test_fit_after_extend_keeps_the_state() -> None:
    y = panel()
    second = smoothed({}, y[:30]).extend(y[30:])
    start = second.model.ssm.initialization
    fit = second.model.fit(np.asarray(second.params), method="em", maxiter=5)
    assert second.model.ssm.initialization is start
    assert fit.em_trace["llf"].iloc[0] == pytest.approx(second.llf, rel=1e-10)
    assert fit.llf > second.llf
    assert_allclose(fit.model.loglike(fit.params), fit.llf, rtol=1e-10)


@every_model
def test_append(spec: Mapping) -> None:
    y, m = without_diffuse_missing(spec), 30
    first_spec, rest = split(spec, m)
    first = smoothed(first_spec, y[:m])
    appended = first.append(y[m:], **rest)
    whole = build(spec, y).smooth(np.asarray(first.params))
    assert appended.nobs == N
    assert_array_equal(np.asarray(appended.params), np.asarray(first.params))
    assert_allclose(appended.llf, whole.llf, rtol=1e-12)
    assert_allclose(appended.smoothed_state, whole.smoothed_state, rtol=1e-8, atol=1e-10)


@every_model
@pytest.mark.parametrize("copy_initialization", [False, True])
def test_apply(spec: Mapping, copy_initialization: bool) -> None:
    y, m = without_diffuse_missing(spec), 30
    first_spec, rest = split(spec, m)
    rest |= {key: spec[key][m:] for key in rest}  # other data: their own rows
    first = smoothed(first_spec, y[:m])
    params = np.asarray(first.params)
    applied = first.apply(y[m:], copy_initialization=copy_initialization, **rest)
    other = build({**spec, **rest}, y[m:])
    assert applied.nobs == N - m
    assert_array_equal(np.asarray(applied.params), params)
    # the initial distribution is a function of the parameters here, so a copy of it changes nothing
    assert_allclose(applied.llf, other.loglike(params), rtol=1e-11)
    applied.model.update(params)
    assert_allclose(applied.model.ssm.loglike(), applied.llf, rtol=1e-12)


@pytest.mark.parametrize("copy_initialization", [False, True])
def test_apply_with_refit(copy_initialization: bool) -> None:
    y, z = ar1(), ar1(seed=7)
    kwds = {"design": [[1.0]], "lags": 1}
    first = sse.LGSSM(y, 1, **kwds).fit()
    refit = first.apply(z, refit=True, copy_initialization=copy_initialization)
    if copy_initialization:
        kwds |= {
            "initialization": "known",
            "initial_state": first.matrices["initial_state"].to_numpy()[:, 0],
            "initial_state_cov": first.matrices["initial_state_cov"].to_numpy(),
        }
    expected = sse.LGSSM(z, 1, **kwds).fit()
    assert refit.converged
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-7)
    assert_allclose(np.asarray(refit.params), np.asarray(expected.params), rtol=1e-4)
    assert_allclose(refit.model.loglike(refit.params), refit.llf, rtol=1e-10)


def test_append_with_refit() -> None:
    y = ar1()
    first = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit()
    refit = first.append(y[80:], refit=True)
    expected = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-7)


def test_refit_leaves_a_boundary() -> None:
    """A variance that is zero on the first part of the sample is not on the whole."""
    y = ar1(seed=5)
    first = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit()
    assert first.boundary == ["obs_var.y"]
    refit = first.append(y[80:], refit=True)
    expected = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-6)


def test_append_with_refit_keeps_fixed_parameters() -> None:
    y = ar1()
    first = sse.LGSSM(y[:80], 1, design=[[1.0]]).fit_constrained({"L1.f1->f1": 0.8})
    refit = first.append(y[80:], refit=True)
    expected = sse.LGSSM(y, 1, design=[[1.0]], transition=[[0.8]]).fit()
    assert refit.params[refit.model.param_names.index("L1.f1->f1")] == 0.8
    assert_allclose(refit.llf, expected.llf, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["append", "extend", "apply"])
def test_more_data_keep_the_names(kind: str) -> None:
    """Those of the regressors too, in parameters and matrices."""
    y = quarterly(panel())
    exog = pd.DataFrame(regressors(N, 1, 1), index=y.index, columns=["tax"])
    state_exog = pd.DataFrame(regressors(N, 1, 2), index=y.index, columns=["money"])
    first = smoothed({"exog": exog[:30], "state_exog": state_exog[:30]}, y[:30])
    entering = state_exog[30:] if kind == "apply" else state_exog[29:-1]
    more = getattr(first, kind)(y[30:], exog=exog[30:], state_exog=entering)
    assert "state_coef.money->f1" in first.model.param_names
    assert more.model.param_names == first.model.param_names
    assert more.params.index.tolist() == first.params.index.tolist()
    assert more.factors.smoothed.index.equals(y.index if kind == "append" else y.index[30:])


# -- news, simulation, impulse responses -------------------------------------------------------------------


@pytest.mark.parametrize("spec", [{}, {"lags": 2}], ids=["one lag", "two lags"])
def test_news_explain_the_change_of_a_forecast(spec: Mapping) -> None:
    y = quarterly(panel())
    before = build(spec, y.iloc[:-1]).smooth(build(spec, y).start_params)
    after = before.append(y.iloc[-1:])
    last = y.index[-1]
    news = after.news(before, start=last, periods=1 + H, comparison_type="previous")
    surprise = y.loc[last] - before.forecast(1).loc[last]
    assert_allclose(news.news.to_numpy().ravel(), surprise, rtol=1e-8)
    revision = after.forecast(H).to_numpy() - before.forecast(1 + H).to_numpy()[1:]
    assert_allclose(news.total_impacts.iloc[1:], revision, rtol=1e-8, atol=1e-10)
    # on the period of the observation itself the impact is that on its signal Z x
    assert_allclose(news.total_impacts.iloc[0], signal_revision(before, after), rtol=1e-8)


def signal_revision(before: sse.LGSSMResults, after: sse.LGSSMResults) -> np.ndarray:
    """Return Z (E[x_n | all data] - E[x_n | all but the last row])."""
    k = after.model.k_factors
    change = after.smoothed_state[:k, -1] - before.predicted_state[:k, -1]
    return after.matrices["design"].to_numpy() @ change


def test_news_with_regressors() -> None:
    spec = REGRESSORS["both"]
    y = panel()
    first_spec, rest = split(spec, N - 1)
    before = smoothed(first_spec, y[:-1])
    after = before.append(y[-1:], **rest)
    news = after.news(before, start=N - 1, end=N - 1, comparison_type="previous", **rest)
    assert_allclose(news.news.to_numpy().ravel(), y[-1] - before.forecast(1, **rest)[0], rtol=1e-8)
    assert_allclose(news.total_impacts.iloc[0], signal_revision(before, after), rtol=1e-8)


def test_news_of_revised_data() -> None:
    y = quarterly(panel())
    revised = y.copy()
    revised.iloc[-3, 1] += 1.0
    before = smoothed({"lags": 2}, y)
    news = before.news(revised, start="2012Q3", periods=2, comparison_type="updated")
    after = build({"lags": 2}, revised).smooth(before.params)
    assert np.abs(news.total_impacts).max().max() > 1e-3
    assert_allclose(news.total_impacts, after.forecast(2) - before.forecast(2), rtol=1e-8)


def test_simulate_is_reproducible() -> None:
    res = smoothed({}, quarterly(panel()))
    first, again = res.simulate(20, rng=3), res.simulate(20, rng=3)
    generator = res.simulate(20, rng=np.random.default_rng(3))
    pd.testing.assert_frame_equal(first, again)
    assert generator.shape == (20, 3) and not np.allclose(res.simulate(20, rng=4), first)
    assert_array_equal(first.index, res.model.data.row_labels[:20])
    assert list(first.columns) == ["gdp", "cons", "inv"]


def test_simulate_is_the_model() -> None:
    """With given shocks: y = d + Z x + eps, x_{t+1} = c + T x_t + eta."""
    spec = REGRESSORS["both"]
    res = smoothed(spec)
    rng, at = np.random.default_rng(0), {key: frame.to_numpy() for key, frame in res.matrices.items()}
    eps, eta, x = rng.normal(size=(N, 3)), rng.normal(size=(N, 2)), np.array([0.5, -0.5])
    simulated = res.simulate(N, measurement_shocks=eps, state_shocks=eta, initial_state=x)
    expected = np.empty((N, 3))
    for t in range(N):
        expected[t] = at["obs_intercept"][:, 0] + at["obs_coef"] @ spec["exog"][t] + at["design"] @ x + eps[t]
        x = at["state_intercept"][:, 0] + at["transition"] @ x + at["state_coef"] @ spec["state_exog"][t]
        x = x + eta[t]
    assert_allclose(simulated, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("key", ["stationary", "stationary, two lags", "both"])
def test_simulate_after_the_sample_is_centred_at_the_forecast(key: str) -> None:
    spec = MODELS[key]
    res, new = smoothed(spec), future(spec)
    start = res.predicted_state[:, -1]
    none = {"measurement_shocks": np.zeros((H, 3)), "state_shocks": np.zeros((H, 2))}
    path = res.simulate(H, anchor="end", initial_state=start, **none, **new)
    assert_allclose(path, res.forecast(H, **new), rtol=1e-10)
    draws = res.simulate(H, anchor="end", repetitions=5, initial_state=start, rng=0, **new)
    assert draws.shape == (H, 3, 5)


@pytest.mark.parametrize("spec", [{}, {"lags": 2}], ids=["one lag", "two lags"])
@pytest.mark.parametrize("orthogonalized", [False, True])
def test_impulse_responses(spec: Mapping, orthogonalized: bool) -> None:
    res = smoothed(spec)
    at = {key: frame.to_numpy() for key, frame in res.matrices.items()}
    lags = spec.get("lags", 1)
    transition = np.eye(2 * lags, k=-2)
    transition[:2] = at["transition"]
    impulse = np.linalg.cholesky(at["state_cov"])[:, 0] if orthogonalized else np.array([1.0, 0.0])
    state, expected = np.concatenate([impulse, np.zeros(2 * lags - 2)]), []
    for _ in range(6):
        expected.append(at["design"] @ state[:2])
        state = transition @ state
    found = res.impulse_responses(5, impulse=0, orthogonalized=orthogonalized)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
