"""The exact score of statsmodels' models and of ours: against differences, and what has no exact form."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from oracle import dense, dense_diffuse, richardson_gradient
from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.system import MATRICES

SARIMAX, VARMAX, DynamicFactor = sm.tsa.SARIMAX, sm.tsa.VARMAX, sm.tsa.DynamicFactor
UC = sm.tsa.UnobservedComponents
N = 36


pytestmark = [
    # start values of ARMA models are often not stationary, and of VARMA models not identified: said each time
    pytest.mark.filterwarnings("ignore:Non-stationary starting"),
    pytest.mark.filterwarnings("ignore:Non-invertible starting"),
    pytest.mark.filterwarnings("ignore:Estimation of VARMA"),
    pytest.mark.filterwarnings("ignore:Too few observations to estimate starting parameters"),
]


def series(p: int, missing: bool) -> np.ndarray:
    """Draw correlated series that wander a little; with missing values, two whole rows too."""
    rng = np.random.default_rng([p, 61])
    level = np.cumsum(0.4 * rng.standard_normal((N, 1)), axis=0)
    y = level @ np.linspace(1.0, 0.6, p)[None] + rng.standard_normal((N, p))
    if missing:
        y[rng.random((N, p)) < 0.12] = np.nan
        y[[9, 10]] = np.nan
    return y


def regressors(r: int) -> np.ndarray:
    return np.random.default_rng([r, 62]).standard_normal((N, r))


def univariate(kind: type[MLEModel], *args: Any, exog: int = 0, **options: Any) -> Callable[[bool], MLEModel]:
    """Return a builder of a model of one series, by whether there are missing values."""
    x = {"exog": regressors(exog)} if exog else {}
    return lambda missing: kind(series(1, missing)[:, 0], *args, **x, **options)


def multivariate(kind: type[MLEModel], p: int, exog: int = 0, **options: Any) -> Callable[[bool], MLEModel]:
    """Return a builder of a model of p series, by whether there are missing values."""
    x = {"exog": regressors(exog)} if exog else {}
    return lambda missing: kind(series(p, missing), **x, **options)


class Varying(MLEModel):
    """Every matrix varies over time and depends on the parameters, the known initial state too."""

    start_params = np.array([0.8, 0.3, 0.5, -0.2, 1.1, 0.4])
    param_names = list("abcdef")

    def __init__(self, endog: np.ndarray) -> None:
        super().__init__(endog, k_states=2, k_posdef=1)
        self.initialize_known(np.zeros(2), np.eye(2))

    def update(self, params: Any, **kwargs: Any) -> np.ndarray:
        a, b, c, d, e, f = params = super().update(params, **kwargs)
        t, one = np.linspace(0.0, 1.0, N), np.ones(N)
        self.ssm["design"] = np.array([[a + t, one], [b * t, c * one]])
        self.ssm["obs_intercept"] = np.array([d * t, e * t**2])
        self.ssm["obs_cov"] = np.array([[e**2 + t, 0.3 * e * one], [0.3 * e * one, one]])
        self.ssm["transition"] = np.array([[b + 0.2 * t, c * t], [0.0 * t, 0.5 * one]])
        self.ssm["state_intercept"] = np.array([f * t, d * one])
        self.ssm["selection"] = np.array([[one], [c + t]])
        self.ssm["state_cov"] = (f**2 + t)[None, None]
        self.initialize_known(np.array([d, e]), np.array([[a**2, 0.1 * a], [0.1 * a, 1.0 + f**2]]))
        return params


class PartlyDiffuse(MLEModel):
    """A diffuse level and a stationary deviation."""

    start_params = np.array([0.6, 0.7, 1.0, 0.3])
    param_names = ["phi", "ar", "obs", "level"]

    def __init__(self, endog: np.ndarray) -> None:
        super().__init__(endog, k_states=2, k_posdef=2)
        self["design"], self["selection"] = np.ones((1, 2)), np.eye(2)
        start = Initialization(2)
        start.set(0, "diffuse")
        start.set(1, "stationary")
        self.ssm.initialization = start

    def update(self, params: Any, **kwargs: Any) -> np.ndarray:
        phi, ar, obs, level = params = super().update(params, **kwargs)
        self["transition"] = np.diag([1.0, phi])
        self["state_cov"] = np.diag([level, ar])
        self["obs_cov", 0, 0] = obs
        return params


def vector(kind: str) -> dict[str, Any]:
    return {"order": (1, 0), "trend": "c", "error_cov_type": kind}


MODELS: dict[str, Callable[[bool], MLEModel]] = {
    "ARMA": univariate(SARIMAX, order=(2, 0, 1)),
    "ARMA, not enforced": univariate(
        SARIMAX, order=(2, 0, 1), enforce_stationarity=False, enforce_invertibility=False
    ),
    "ARIMA": univariate(SARIMAX, order=(1, 1, 1)),
    "ARIMA, trend": univariate(SARIMAX, order=(1, 1, 1), trend="t"),
    "ARIMA, differenced before": univariate(SARIMAX, order=(1, 1, 1), simple_differencing=True),
    "ARMA, Hamilton's form": univariate(SARIMAX, order=(2, 0, 1), hamilton_representation=True),
    "ARIMA, measurement error": univariate(SARIMAX, order=(1, 1, 0), measurement_error=True),
    "ARIMA, exact diffuse": univariate(SARIMAX, order=(1, 1, 1), use_exact_diffuse=True),
    "seasonal ARIMA": univariate(SARIMAX, order=(1, 0, 1), seasonal_order=(1, 1, 1, 4)),
    "ARMAX": univariate(SARIMAX, exog=2, order=(1, 0, 1), trend="c"),
    "ARIMAX, burn": univariate(SARIMAX, exog=2, order=(1, 1, 1)),
    "ARMAX, regression in the state": univariate(SARIMAX, exog=2, order=(1, 0, 0), mle_regression=False),
    "ARMAX, time-varying regression": univariate(
        SARIMAX, exog=2, order=(1, 0, 0), mle_regression=False, time_varying_regression=True
    ),
    "concentrated ARMA": univariate(SARIMAX, order=(1, 0, 1), concentrate_scale=True),
    "concentrated ARIMAX": univariate(SARIMAX, exog=1, order=(1, 1, 1), concentrate_scale=True),
    "local level": univariate(UC, "llevel"),
    "local linear trend": univariate(UC, "lltrend"),
    "smooth trend, season": univariate(UC, "strend", seasonal=4),
    "random walk with drift, exog": univariate(UC, "rwdrift", exog=2, irregular=True),
    "level, cycle, AR": univariate(
        UC, "llevel", cycle=True, stochastic_cycle=True, damped_cycle=True, autoregressive=1
    ),
    "level, trigonometric season": univariate(
        UC, "llevel", freq_seasonal=[{"period": 6, "harmonics": 2}]
    ),
    "level, exog in the state": univariate(UC, "llevel", exog=1, mle_regression=False),
    "local level, exact": univariate(UC, "llevel", use_exact_diffuse=True),
    "local linear trend, exact": univariate(UC, "lltrend", use_exact_diffuse=True),
    "level, season, exact": univariate(UC, "llevel", seasonal=4, use_exact_diffuse=True),
    "level, AR, exog, exact": univariate(UC, "llevel", exog=1, autoregressive=2, use_exact_diffuse=True),
    "exponential smoothing": univariate(ExponentialSmoothing, trend=True),
    "VAR(1)": multivariate(VARMAX, 2, order=(1, 0), trend="c"),
    "VAR(1), diagonal": multivariate(VARMAX, 3, **vector("diagonal")),
    "VAR(2)": multivariate(VARMAX, 3, order=(2, 0), trend="ct"),
    "VAR(1), exog": multivariate(VARMAX, 2, exog=1, order=(1, 0)),
    "VARMA(1, 1)": multivariate(VARMAX, 2, order=(1, 1)),
    "VMA(1)": multivariate(VARMAX, 2, order=(0, 1), trend="n"),
    "VAR(1), measurement error": multivariate(VARMAX, 2, order=(1, 0), measurement_error=True),
    "dynamic factor": multivariate(DynamicFactor, 3, k_factors=1, factor_order=2),
    "dynamic factor, AR errors": multivariate(
        DynamicFactor, 3, k_factors=1, factor_order=1, error_order=1
    ),
    "dynamic factors, exog": multivariate(DynamicFactor, 3, exog=1, k_factors=2, factor_order=1),
    "dynamic factor, mixed frequencies": lambda missing: monthly_factors(missing),
    "LGSSM": multivariate(sse.LGSSM, 3, k_factors=1, initialization="stationary"),
    "LGSSM, known": multivariate(
        sse.LGSSM, 2, k_factors=1, initialization="known", initial_state=[0.5], initial_state_cov=[[2.0]]
    ),
    "DynamicRegression": lambda missing: sse.DynamicRegression(
        series(2, missing), regressors(2), dynamics={"x1": "random_walk"}
    ),
    "DynamicRegression, ar1": lambda missing: sse.DynamicRegression(
        series(2, missing), regressors(2), dynamics={"x2": "ar1"}, state_cov="diagonal"
    ),
    "everything varies": multivariate(Varying, 2),
    "partly diffuse": univariate(PartlyDiffuse),
}  # fmt: skip

every_model = pytest.mark.parametrize("name", MODELS)


def monthly_factors(missing: bool) -> MLEModel:
    index = pd.period_range("2000-01", periods=N, freq="M")
    frame = pd.DataFrame(series(3, missing), index=index, columns=["a", "b", "c"])
    return DynamicFactorMQ(frame, factors=1, factor_orders=2, idiosyncratic_ar1=True, standardize=False)


def built(name: str, missing: bool = False) -> MLEModel:
    """Return the model, its filter exact: statsmodels stops updating within a tolerance otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy arrays without dates, and of trends in SARIMAX
        model = MODELS[name](missing)
    model.ssm.tolerance = 0.0
    return model


def params_of(name: str, shrink: float = 0.7) -> np.ndarray:
    """Return parameters inside their space, away from the start values (those of the complete data)."""
    model = built(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of statsmodels' start values
        start = np.asarray(model.start_params, dtype=float)
    if isinstance(model, (sse.LGSSM, sse.DynamicRegression)):
        moved = pd.Series(shrink * start + 0.01, index=model.param_names)
        moved[[n for n in model.param_names if n.startswith("state_var")]] += 0.1
        return moved.to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a start value at the end of its interval
        free = np.asarray(model.untransform_params(start))
    return np.asarray(model.transform_params(shrink * np.nan_to_num(free, posinf=2.0, neginf=-2.0) + 0.02))


# -- against differences -----------------------------------------------------------------------------------


def dense_llf(model: MLEModel, params: np.ndarray) -> float:
    """Return the log-likelihood without a filter: a variance of 1e6 costs no digits."""
    model.update(params)
    ssm = model.ssm
    system = {
        name: np.array(value[..., 0] if value.shape[-1] == 1 else value)
        for name, value in ((name, getattr(ssm, name)) for name in MATRICES)
    }
    mean, diffuse, cov = (np.array(part) for part in ssm.initialization(model=ssm))
    system |= {"initial_state": mean, "initial_state_cov": cov}
    y, flat = ssm.endog.T, np.diag(diffuse) != 0
    if flat.any():
        return dense_diffuse(y, system, flat).llf
    burn = ssm.loglikelihood_burn
    return dense(y, system).llf - (dense(y[:burn], system).llf if burn else 0.0)


def is_vague(model: MLEModel) -> bool:
    """Return whether the start has a large variance, such as 1e6, which costs a filter that many digits."""
    return bool(np.max(model.ssm.initialization(model=model.ssm)[2]) >= 1e4)


def log_likelihood(model: MLEModel) -> Callable[[np.ndarray], float]:
    """Return what is to be differenced: the oracle where statsmodels has few digits, else its own."""
    diffuse = np.any(model.ssm.initialization(model=model.ssm)[1])
    if model.ssm.filter_concentrated or not (diffuse or is_vague(model)):
        return model.loglike
    return lambda params: dense_llf(model, params)


def steps(model: MLEModel, params: np.ndarray) -> np.ndarray:
    """Return steps of differences that stay inside the parameter space."""
    return 0.004 * np.maximum(np.abs(params), 0.02)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        pytest.param(name, missing, marks=[pytest.mark.slow] * (i % 2 and not missing))
        for i, name in enumerate(MODELS)
        for missing in (False, True)
    ],
)
def test_score_against_differences(name: str, missing: bool) -> None:
    model, params = built(name, missing), params_of(name)
    model.update(params)
    result = sse.exact_score(model, params)
    assert result.method == "exact" and result.reason == ""
    assert_allclose(result.llf, model.loglike(params), rtol=1e-7 if model.ssm.loglikelihood_burn else 1e-10)
    llf = log_likelihood(model)
    assert_allclose(result.llf, llf(params), rtol=1e-7)  # the filter's digits at a variance of 1e6
    want = richardson_gradient(llf, params, step=steps(model, params))
    digits = 3e-7 if is_vague(model) else 1e-7  # 1.1e-7 with the smoother of statsmodels 0.14.0
    assert_allclose(result.score, want, rtol=0, atol=digits * np.abs(want).max())


@every_model
def test_score_of_unconstrained_parameters(name: str) -> None:
    """With transformed=False the derivatives are by what an optimiser moves."""
    model, params = built(name, True), params_of(name)
    free = np.asarray(model.untransform_params(params))
    result = sse.exact_score(model, free, transformed=False)
    jacobian = richardson_gradient(model.transform_params, free, step=1e-3 * np.maximum(np.abs(free), 0.1))
    want = jacobian.T @ sse.exact_score(model, params).score
    assert_allclose(result.score, want, rtol=0, atol=1e-6 * np.abs(want).max())
    assert_allclose(result.llf, model.loglike(params), rtol=1e-7)


@every_model
def test_model_is_left_as_it_was(name: str) -> None:
    """Byte for byte: matrices, start, data, options."""
    model, params = built(name, True), params_of(name)
    own = model.loglike(params)
    model.update(params_of(name, 0.6))
    ssm = model.ssm
    start = ssm.initialization

    def state() -> dict[str, Any]:
        parts = {key: np.array(ssm[key]).tobytes() for key in MATRICES}
        parts |= {f"start {i}": np.array(a).tobytes() for i, a in enumerate(ssm.initialization(model=ssm))}
        parts |= {"endog": np.array(ssm.endog).tobytes(), "own endog": np.array(model.endog).tobytes()}
        options = ("filter_method", "smoother_output", "tolerance", "loglikelihood_burn", "memory_conserve")
        return parts | {key: getattr(ssm, key) for key in options}

    before, llf = state(), ssm.loglike()
    sse.exact_score(model, params)
    assert state() == before and ssm.initialization is start
    assert ssm.loglike() == llf
    assert model.loglike(params) == own


def test_approximate_diffuse_starts_of_all_sizes() -> None:
    """The score has its digits at a variance of 1e10, where differences of the filter have none."""
    for variance in (1e2, 1e6, 1e10):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SARIMAX(series(1, True)[:, 0], order=(1, 1, 1), initial_variance=variance)
        params = np.array([0.4, 0.3, 0.9])
        want = richardson_gradient(lambda at, model=model: dense_llf(model, at), params)
        found = sse.exact_score(model, params).score
        assert_allclose(found, want, rtol=0, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("variance", [1.0, 1e2])
@pytest.mark.parametrize("name", ["local level", "local linear trend", "smooth trend, season"])
def test_burnt_periods_count_for_nothing(name: str, variance: float) -> None:
    """Against statsmodels' own log-likelihood, at a start of small variance, which costs it no digits."""
    model, params = built(name, True), params_of(name)
    start = Initialization(model.k_states, "approximate_diffuse", approximate_diffuse_variance=variance)
    model.ssm.initialization = start
    assert model.ssm.loglikelihood_burn > 0
    want = richardson_gradient(model.loglike, params, step=steps(model, params))
    assert_allclose(sse.exact_score(model, params).score, want, rtol=0, atol=1e-7 * np.abs(want).max())
    model.ssm.loglikelihood_burn = 0
    whole = sse.exact_score(model, params).score
    assert np.abs(whole - want).max() > 1e-3 * np.abs(want).max()


def test_concentrated_scale_is_at_its_maximum() -> None:
    """The score of the concentrated likelihood is that of the full one at the best scale, without it."""
    one, other = (built("concentrated ARMA"), built("concentrated ARMA", True))
    for model in (one, other):
        params = np.array([0.5, 0.3])
        scale = float(model.smooth(params).scale)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            full = SARIMAX(model.endog, order=(1, 0, 1))
        both = sse.exact_score(full, np.array([*params, scale])).score
        assert_allclose(sse.exact_score(model, params).score, both[:2], rtol=1e-8)
        assert abs(both[2] * scale) < 1e-8


@pytest.mark.parametrize("name", ["ARMAX", "local linear trend, exact", "VAR(1)", "LGSSM"])
def test_fixed_parameters(name: str) -> None:
    model, params = built(name, True), params_of(name)
    whole = sse.exact_score(model, params).score
    held = {model.param_names[i]: params[i] for i in (0, len(params) - 1)}
    kept = [i for i, param in enumerate(model.param_names) if param not in held]
    with model.fix_params(held):
        part = sse.exact_score(model, params[kept])
        again = sse.exact_score(model, params, includes_fixed=True)
    assert_allclose(part.score, whole[kept], rtol=1e-6, atol=1e-9 * np.abs(whole).max())
    assert_allclose(again.score, whole, rtol=1e-10)


def test_filter_options_make_no_difference() -> None:
    """The score has a smoother of its own."""
    params = params_of("VAR(1)")
    want = sse.exact_score(built("VAR(1)", True), params).score
    for method, value in (
        ("filter_univariate", True),
        ("memory_no_predicted", True),
        ("filter_conventional", True),
    ):
        model = built("VAR(1)", True)
        setattr(model.ssm, method, value)
        assert_allclose(sse.exact_score(model, params).score, want, rtol=1e-12)


# -- what has no exact form --------------------------------------------------------------------------------


def test_start_at_a_filtered_state_falls_back_with_a_reason() -> None:
    model, params = built("VAR(1)"), params_of("VAR(1)")
    model.ssm.timing_init_filtered = True
    model.initialize_known(np.zeros(2), np.eye(2))
    result = sse.exact_score(model, params)
    assert result.method == "numerical" and "first period" in result.reason
    want = richardson_gradient(model.loglike, params, step=steps(model, params))
    assert_allclose(result.score, want, rtol=0, atol=1e-6 * np.abs(want).max())
    assert_allclose(result.llf, model.loglike(params), rtol=1e-12)


def test_complex_data_fall_back_with_a_reason() -> None:
    model = SARIMAX(series(1, False)[:, 0] + 0j, order=(1, 0, 0))
    try:
        expected = model.loglike([0.5, 1.0])
    except Exception as error:  # then statsmodels has no likelihood for them either
        with pytest.raises(type(error)):
            sse.exact_score(model, [0.5, 1.0])
        return
    result = sse.exact_score(model, [0.5, 1.0])
    assert result.method == "numerical" and "real" in result.reason
    assert_allclose(result.llf, expected, rtol=1e-12)


def test_concentrated_scale_with_an_exact_diffuse_start() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SARIMAX(
            series(1, True)[:, 0], order=(1, 1, 1), concentrate_scale=True, use_exact_diffuse=True
        )
    model.ssm.tolerance = 0.0
    params = np.array([0.4, 0.3])
    result = sse.exact_score(model, params)
    want = richardson_gradient(model.loglike, params)
    assert_allclose(result.score, want, rtol=0, atol=1e-6 * np.abs(want).max())
    assert_allclose(result.llf, model.loglike(params), rtol=1e-10)
    assert result.method == "exact" or result.reason


def test_singular_obs_cov_in_diffuse_periods() -> None:
    """A level without measurement error that starts diffuse: exact or numerical, but right."""
    model = UC(series(1, True)[:, 0], "rwalk", use_exact_diffuse=True)
    model.ssm.tolerance = 0.0
    result = sse.exact_score(model, [0.7])
    want = richardson_gradient(model.loglike, [0.7])
    assert_allclose(result.score, want, rtol=1e-7)
    assert result.method == "exact" or result.reason


def explosive() -> tuple[MLEModel, np.ndarray]:
    """Return a vector autoregression with a stationary start, and parameters at which there is none."""
    model = VARMAX(series(2, False), order=(1, 0), trend="n", enforce_stationarity=False)
    return model, np.array([1.1, 0.0, 0.0, 0.5, 1.0, 0.0, 1.0])


def test_no_score_without_a_stationary_start() -> None:
    """statsmodels' log-likelihood is NaN there or a number that means nothing; the score is not made up."""
    model, params = explosive()
    model.update(params)
    with pytest.raises(ValueError, match="not stationary"):
        model.ssm.initialization(model=model.ssm)  # as statsmodels says it
    with pytest.raises(ValueError, match="not stationary"):
        sse.exact_score(model, params)
    exact = type("Exact", (sse.ExactScoreMixin, VARMAX), {})(
        model.endog, order=(1, 0), trend="n", enforce_stationarity=False
    )
    with pytest.raises(ValueError, match="not stationary"):
        exact.score(params)
    assert_allclose(exact.loglike(params), model.loglike(params))  # NaN equals NaN here


@pytest.mark.parametrize("size", [1, 9])
def test_parameter_vectors_of_wrong_length(size: int) -> None:
    with pytest.raises((ValueError, IndexError)):
        sse.exact_score(built("VAR(1)"), np.ones(size))


def test_another_timing_falls_back_with_a_reason() -> None:
    """A first state that is of "t = 0" has no exact form."""
    model = SARIMAX(series(1, False)[:, 0], order=(1, 0, 0))
    model.ssm.timing_init_filtered = True
    found = sse.exact_score(model, [0.4, 1.0])
    assert found.method == "numerical" and "state of the first period" in found.reason
