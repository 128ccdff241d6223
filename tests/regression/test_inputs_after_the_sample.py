"""
Rows of state_exog after the sample: row t enters x_{t+1}, so that h rows begin with the last of the sample.

Every way in is held against statsmodels' own filter on a plain `MLEModel` with the state intercepts of all
periods, and against the dense joint Gaussian.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracle import dense
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse

N, P, MOST = 40, 2, 12
MONTHS = pd.period_range("2001-01", periods=N + MOST, freq="M")
SPECS: dict[str, dict[str, Any]] = {
    "one lag": {},
    "two lags, mean": {"lags": 2, "state_mean": "free"},
    "known start": {"initialization": "known", "initial_state": [1.0], "initial_state_cov": [[0.5]]},
    "unknown constant": {"initialization": "estimated"},
}
every_spec = pytest.mark.parametrize("spec", SPECS)
horizons = pytest.mark.parametrize("h", [1, 2, 5])
in_pairs = pytest.mark.parametrize(
    ("spec", "h", "known"),
    [
        pytest.param(spec, h, known, marks=[pytest.mark.slow] * ((i + j + known) % 2))
        for i, spec in enumerate(SPECS)
        for j, h in enumerate((1, 2, 5))
        for known in (True, False)
    ],
)
"""Each specification meets each horizon, and each of both each last row; the other cells are slow."""
last_row = pytest.mark.parametrize("known", [True, False], ids=["known last row", "NaN last row"])
EXOG = np.random.default_rng(5).standard_normal((N + MOST, 1))
INPUTS = np.random.default_rng(6).standard_normal((N + MOST, 2))


def observations() -> np.ndarray:
    rng = np.random.default_rng(7)
    x, y = np.zeros(N + MOST), np.zeros((N + MOST, P))
    for t in range(1, N + MOST):
        x[t] = 0.7 * x[t - 1] + INPUTS[t - 1] @ [1.0, -0.5] + 0.5 * rng.standard_normal()
    y = np.outer(x, [1.0, 0.6]) + 0.3 * EXOG + 0.4 * rng.standard_normal((N + MOST, P))
    y[[3, 17], 0] = y[9] = y[N - 1, 1] = y[N + 2, 0] = np.nan
    return y


Y = observations()


def model_of(spec: str, known: bool = True, n: int = N, labelled: bool = False) -> Any:
    """The model on the first n periods; the last row of the inputs may be unknown."""
    inputs = INPUTS[:n].copy()
    if not known:
        inputs[-1] = np.nan
    index = MONTHS[:n] if labelled else None
    y, x, u = (pd.DataFrame(each, index=index) if labelled else each for each in (Y[:n], EXOG[:n], inputs))
    if labelled:
        y.columns, x.columns, u.columns = ["a", "b"], ["x"], ["u", "v"]
    return sse.LGSSM(y, 1, exog=x, state_exog=u, identification="unit", **SPECS[spec])


@cache
def params_of(spec: str) -> Any:
    """Return the start values, once for all tests."""
    params = model_of(spec).start_params
    params.flags.writeable = False
    return params


def results(spec: str, known: bool = True, n: int = N, labelled: bool = False) -> Any:
    return model_of(spec, known, n, labelled).smooth(params_of(spec))


class Plain(MLEModel):
    """statsmodels' filter at given matrices, all periods' intercepts among them."""

    def __init__(self, y: np.ndarray, at: dict[str, Any]) -> None:
        super().__init__(y, at["transition"].shape[0], k_posdef=at["selection"].shape[1])
        for name in ("design", "obs_intercept", "obs_cov", "transition", "state_intercept", "selection"):
            self[name] = at[name]
        self["state_cov"] = at["state_cov"]
        self.ssm.initialize_known(at["initial_state"], at["initial_state_cov"])

    start_params = param_names = []

    def update(self, params: Any, **kwargs: Any) -> None:
        pass


def matrices(spec: str, n: int) -> dict[str, Any]:
    """System matrices of n periods, written anew from the blocks: c_t = c + (I - sum A) mu + G u_t."""
    model = model_of(spec)
    at, k = model.matrices(params_of(spec)), model.k_states
    found = vars(model.system(params_of(spec))).items()
    out = {key: np.asarray(value) for key, value in found if hasattr(value, "ndim") and key != "stationary"}
    level = np.eye(1) - at["transition"].reshape(1, -1, 1).sum(axis=1)
    constant = at["state_intercept"][:, 0] + level @ at["state_mean"][:, 0]
    c = np.zeros((k, n))
    c[0] = constant + at["state_coef"][0] @ INPUTS[:n].T
    d = at["obs_intercept"] + at["obs_coef"] @ EXOG[:n].T
    return {**out, "state_intercept": c, "obs_intercept": d}


@cache
def reference(spec: str, h: int, n: int = N) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and standard errors of the h periods after the first n, by both oracles; the log-likelihood."""
    y = np.concatenate([Y[:n], np.full((h, P), np.nan)])
    at = matrices(spec, n + h)
    found = Plain(y, at).filter([])
    mean, cov = found.forecasts[:, n:].T, found.forecasts_error_cov[:, :, n:]
    joint = dense(y, at)
    ours = joint.smoothed_state[n:] @ at["design"].T + at["obs_intercept"][:, n:].T
    assert_allclose(mean, ours, rtol=1e-8, atol=1e-9)
    assert_allclose(found.llf, joint.llf, rtol=1e-9)
    se = np.sqrt(np.diagonal(cov)).reshape(h, P)
    mean.flags.writeable = se.flags.writeable = False
    return mean, se, found.llf


def rows(h: int, n: int = N) -> dict[str, np.ndarray]:
    return {"exog": EXOG[n : n + h], "state_exog": INPUTS[n - 1 : n + h - 1]}


def check(res: Any, spec: str, h: int, n: int, given: dict[str, Any]) -> None:
    """Hold every way to the periods after the sample against the reference."""
    mean, se, _ = reference(spec, h, n)
    ahead = res.get_forecast(h, **given)
    assert_allclose(ahead.predicted_mean, mean, rtol=1e-8, atol=1e-9)
    assert_allclose(ahead.se_mean, se, rtol=1e-8)
    assert_allclose(res.forecast(h, **given), mean, rtol=1e-8, atol=1e-9)
    last = res.model.nobs
    for start in (last, last - 1):
        for found in (
            res.predict(start, last + h - 1, **given),
            res.get_prediction(start, last + h - 1, **given).predicted_mean,
        ):
            assert_allclose(np.asarray(found)[-h:], mean, rtol=1e-8, atol=1e-9)


@every_spec
@horizons
@last_row
def test_forecasts(spec: str, h: int, known: bool) -> None:
    res = results(spec, known)
    assert_allclose(res.llf, reference(spec, h)[2], rtol=1e-9)
    check(res, spec, h, N, rows(h))


@in_pairs
def test_append_and_extend_and_what_comes_after_them(spec: str, h: int, known: bool) -> None:
    first = results(spec, known)
    more, llf = N + h, reference(spec, 1, N + h)[2]
    appended = first.append(Y[N:more], **rows(h))
    extended = first.extend(Y[N:more], **rows(h))
    assert_allclose(appended.llf, llf, rtol=1e-9)
    assert_allclose(first.llf + extended.llf, llf, rtol=1e-9)
    for res in (appended, extended):
        assert np.isnan(res.model.state_exog[-1]).all() and np.isfinite(res.model.state_exog[:-1]).all()
        for steps in (1, 3):
            check(res, spec, steps, more, rows(steps, more))
    again = extended.extend(Y[more : more + 2], **rows(2, more))
    assert_allclose(first.llf + extended.llf + again.llf, reference(spec, 1, more + 2)[2], rtol=1e-9)
    check(again, spec, 2, more + 2, rows(2, more + 2))


@in_pairs
def test_simulations_after_the_sample(spec: str, h: int, known: bool) -> None:
    """A path without shocks from a state is the mean; another input moves a path as it moves the mean."""
    res, given = results(spec, known), rows(h)
    none = {"measurement_shocks": np.zeros((h, P)), "state_shocks": np.zeros((h, 1))}
    mean = reference(spec, h)[0]
    at = matrices(spec, N + h)
    state = Plain(np.concatenate([Y[:N], np.full((h, P), np.nan)]), at).filter([]).predicted_state[:, N]
    path = res.simulate(h, anchor="end", initial_state=state, **none, **given)
    assert_allclose(path, mean, rtol=1e-8, atol=1e-9)
    paths = res.simulate(h, anchor="end", repetitions=400, rng=3, **given)
    spread = reference(spec, h)[1] / np.sqrt(400)
    assert np.all(np.abs(paths.mean(axis=2) - mean) < 5 * spread)
    none = {"measurement_shocks": np.zeros((N + h, P)), "state_shocks": np.zeros((N + h, 1))}
    long = res.model.simulate(params_of(spec), N + h, initial_state=at["initial_state"], **none, **given)
    x, expected = at["initial_state"], []
    for t in range(N + h):
        expected.append(at["design"] @ x + at["obs_intercept"][:, t])
        x = at["state_intercept"][:, t] + at["transition"] @ x
    assert_allclose(long, expected, rtol=1e-9, atol=1e-10)


@last_row
def test_dynamic_predictions_across_the_end(known: bool) -> None:
    h, spec = 3, "one lag"
    y = Y[: N + h].copy()
    y[N - 4 :] = np.nan
    expected = Plain(y, matrices(spec, N + h)).filter([]).forecasts.T[N - 4 :]
    found = results(spec, known).predict(N - 4, N + h - 1, dynamic=True, **rows(h))
    assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@horizons
def test_rows_are_labelled_by_the_periods_in_which_they_stand(h: int) -> None:
    res = results("one lag", known=False, labelled=True)
    mean = reference("one lag", h)[0]
    x = pd.DataFrame(EXOG[N : N + h], index=MONTHS[N : N + h], columns=["x"])
    u = pd.DataFrame(INPUTS[N - 1 : N + h - 1], index=MONTHS[N - 1 : N + h - 1], columns=["u", "v"])
    found = res.forecast(h, exog=x, state_exog=u)
    assert_allclose(found, mean, rtol=1e-8)
    assert found.index.equals(MONTHS[N : N + h])
    y = pd.DataFrame(Y[N : N + h], index=MONTHS[N : N + h], columns=["a", "b"])
    appended = res.append(y, exog=x, state_exog=u)
    assert appended.model.calendar.labels.equals(MONTHS[: N + h])
    assert_allclose(res.llf + res.extend(y, exog=x, state_exog=u).llf, appended.llf, rtol=1e-10)
    later = u.set_axis(MONTHS[N : N + h])
    for call in (res.forecast, lambda h, **kw: res.simulate(h, anchor="end", **kw)):
        with pytest.raises(sse.DataError, match=r"index of future state_exog.*begin with the last period"):
            call(h, exog=x, state_exog=later)
    for method in (res.append, res.extend):
        with pytest.raises(sse.DataError, match=r"index of future state_exog.*begin with the last period"):
            method(y, exog=x, state_exog=later)


def test_a_first_row_that_contradicts_the_sample() -> None:
    res, given = results("one lag"), rows(2)
    wrong = {**given, "state_exog": given["state_exog"] + 1.0}
    calls = [
        lambda: res.forecast(2, **wrong), lambda: res.predict(N - 1, N + 1, **wrong),
        lambda: res.simulate(2, anchor="end", **wrong), lambda: res.append(Y[N : N + 2], **wrong),
        lambda: res.extend(Y[N : N + 2], **wrong),
        lambda: res.model.simulate(params_of("one lag"), N + 2, **wrong),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(sse.DataError, match="first row of future state_exog is not the last row"):
            call()


def test_an_unknown_input_is_not_taken_for_zero() -> None:
    """The state of the next period is NaN, and a forecast without the input is refused."""
    res = results("two lags, mean", known=False)
    assert np.isnan(res.predicted_state[0, -1]) and np.isfinite(res.predicted_state[1:, -1]).all()
    assert np.isfinite(res.predicted_state[:, :-1]).all() and np.isfinite(res.smoothed_state).all()
    with pytest.raises(sse.DataError, match="future values of state_exog"):
        res.forecast(1, exog=EXOG[N : N + 1])
    one = results("two lags, mean")
    assert_allclose(res.model.score(res.params), one.model.score(res.params), rtol=1e-10)
    assert_allclose(res.model.loglike(res.params), one.llf, rtol=1e-12)
    half = INPUTS[:N].copy()
    half[-1, 1] = np.nan
    partly = res.model.clone(Y[:N], EXOG[:N], state_exog=half).smooth(res.params)
    check(partly, "two lags, mean", 2, N, rows(2))
    for bad in (0, N - 2):
        inputs = INPUTS[:N].copy()
        inputs[bad, 0] = np.nan
        with pytest.raises(sse.DataError, match=f"missing or infinite values: got nan in row {bad}"):
            res.model.clone(Y[:N], EXOG[:N], state_exog=inputs)


def test_windows_and_samples_slice_the_rows() -> None:
    """The forecast after a window rests on the row of its last period; a sample keeps the unknown row."""
    res = results("one lag", known=False)
    model = res.model
    rolled = sse.rolling_fit(res, window=N - 2, fit_options={"maxiter": 1, "method": "em", "tolerance": 0})
    params = rolled.params.iloc[0]
    part = model_of("one lag", n=N - 2).smooth(params.to_numpy())
    mean = part.forecast(1, **rows(1, N - 2))
    assert_allclose(rolled.forecasts["mean"].iloc[0], np.ravel(mean), rtol=1e-8)
    drawn = res.bootstrap(2, rng=1)
    assert np.isfinite(drawn.params.to_numpy()).all() and np.isnan(model.state_exog[-1]).all()


def test_fits_do_not_depend_on_the_unknown_row() -> None:
    fits = [model_of("one lag", known).fit() for known in (True, False)]
    assert_allclose(fits[0].params, fits[1].params, rtol=1e-10)
    assert_allclose(fits[0].bse, fits[1].bse, rtol=1e-8)


@last_row
def test_news_rest_on_the_rows_that_enter(known: bool) -> None:
    before = results("one lag", known)
    after = before.append(Y[N : N + 1], **rows(1))
    found = after.news(before, start=N, periods=1, comparison_type="previous")
    surprise = Y[N] - reference("one lag", 1)[0][0]
    assert_allclose(found.news.to_numpy().ravel(), surprise, rtol=1e-8)
    later = after.news(before, start=N + 1, periods=2, comparison_type="previous", **rows(2, N + 1))
    moved = after.forecast(2, **rows(2, N + 1)) - before.forecast(3, **rows(3))[1:]
    assert_allclose(later.total_impacts, moved, rtol=1e-7, atol=1e-10)
