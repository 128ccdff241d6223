"""A chosen filter changes nothing but the time: models, choices, ways and options against the plain model."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from random_models import TAU, atsm_params
from statsmodels.tsa.statespace import kalman_filter as kf, kalman_smoother as ks
from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from yields import random_panel

import statespace_ext as sse
from statespace_ext.engine import filters
from statespace_ext.engine.filter_conditions import FLAGS, require_smoothed
from statespace_ext.engine.system import MATRICES
from statespace_ext.exceptions import EstimationError, StateSpaceError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore")  # what statsmodels says of its own options, twice each
N = 24

# -- models ------------------------------------------------------------------------------------------------


def series(p: int, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng([p, 20])
    common = 0.4 * rng.standard_normal((N, 1)).cumsum(axis=0)
    y = common @ np.linspace(1.0, 0.5, p)[None] + rng.standard_normal((N, p))
    y[rng.random((N, p)) < missing] = np.nan
    return y


def frame(p: int, missing: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        series(p, missing), index=pd.period_range("2001-01", periods=N, freq="M"), columns=list("abcdef")[:p]
    )


def regressors() -> np.ndarray:
    return np.random.default_rng(21).standard_normal((N, 2))


def constrained() -> Any:
    y, x = pd.Series(series(1)[:, 0]), pd.DataFrame(regressors(), columns=["u", "v"])
    return sm.RecursiveLS(y, x, constraints="u + v = 1")


UC = sm.tsa.UnobservedComponents
MODELS: dict[str, Callable[[], Any]] = {
    "SARIMAX": lambda: sm.tsa.SARIMAX(series(1), order=(1, 0, 1)),
    "SARIMAX, seasonal": lambda: sm.tsa.SARIMAX(series(1), order=(1, 0, 0), seasonal_order=(1, 0, 0, 4)),
    "SARIMAX, integrated, gaps": lambda: sm.tsa.SARIMAX(series(1, 0.15), order=(1, 1, 0)),
    "SARIMAX, concentrated": lambda: sm.tsa.SARIMAX(series(1), order=(1, 0, 0), concentrate_scale=True),
    "VARMAX": lambda: sm.tsa.VARMAX(series(2), order=(1, 0), measurement_error=True),
    "VARMAX, gaps": lambda: sm.tsa.VARMAX(series(3, 0.15), order=(1, 0), error_cov_type="diagonal"),
    "UnobservedComponents": lambda: UC(series(1), "lltrend"),
    "UnobservedComponents, exact": lambda: UC(series(1, 0.1), "llevel", seasonal=4, use_exact_diffuse=True),
    "UnobservedComponents, AR": lambda: UC(series(1), autoregressive=2),
    "DynamicFactor": lambda: sm.tsa.DynamicFactor(series(4), k_factors=1, factor_order=1),
    "DynamicFactor, gaps": lambda: sm.tsa.DynamicFactor(series(4, 0.1), k_factors=1, factor_order=2),
    "DynamicFactor, wide": lambda: sm.tsa.DynamicFactor(series(6), k_factors=2, factor_order=1),
    "DynamicFactor, wide, gaps": lambda: sm.tsa.DynamicFactor(series(6, 0.1), k_factors=1, factor_order=1),
    "DynamicFactorMQ": lambda: DynamicFactorMQ(frame(3, 0.1), factors=1, factor_orders=1, standardize=False),
    "RecursiveLS": lambda: sm.RecursiveLS(series(1)[:, 0], regressors()),
    "RecursiveLS, constrained": constrained,
    "ExponentialSmoothing": lambda: ExponentialSmoothing(series(1)[:, 0], trend=True),
    "ExponentialSmoothing, concentrated": lambda: ExponentialSmoothing(
        series(1)[:, 0], initialization_method="concentrated"
    ),
    "LGSSM": lambda: sse.LGSSM(series(4), 1, initialization="stationary"),
    "LGSSM, full H, gaps": lambda: sse.LGSSM(
        series(3, 0.1), 1, obs_cov="unstructured", initialization="stationary"
    ),
    "DynamicRegression": lambda: sse.DynamicRegression(series(3), regressors(), dynamics={"x1": "ar1"}),
    "CAPM": lambda: sse.CAPM(series(3), regressors()[:, :1]),
    "ATSM": lambda: sse.ATSM(random_panel(np.random.default_rng(3), N, TAU), TAU, k_factors=2),
}  # fmt: skip
NO_PARAMS = ("RecursiveLS", "RecursiveLS, constrained")


@cache
def params_of(name: str) -> np.ndarray:
    model = MODELS[name]()
    if name == "ATSM":
        return atsm_params(model)
    start = np.asarray(model.start_params, dtype=float)
    free = np.nan_to_num(np.asarray(model.untransform_params(start)), posinf=2.0, neginf=-2.0)
    return start if name in NO_PARAMS else np.asarray(model.transform_params(0.9 * free))


# -- choices, ways, options --------------------------------------------------------------------------------


def forced(flag: str) -> Callable[[Any], bool]:
    def choose(model: Any) -> bool:
        report = sse.filter_report(model, params_or_none(model))
        if not report.valid or report.reasons[flag]:
            return False
        filters._guard(model, report, flag)
        return True

    return choose


def params_or_none(model: Any) -> Any:
    return getattr(model, "at", None)


def fastest(model: Any) -> bool:
    try:
        assert sse.use_fastest_filter(model, params_or_none(model)) in FLAGS
    except UnsupportedError:
        return False
    return True


def chandrasekhar(model: Any) -> bool:
    report = sse.filter_report(model, params_or_none(model))
    try:
        sse.use_chandrasekhar(model, params_or_none(model))
    except UnsupportedError:
        assert "chandrasekhar" not in report.valid
        return False
    assert model.ssm.filter_chandrasekhar
    return True


CHOICES: dict[str, Callable[[Any], bool]] = {
    "fastest": fastest,
    "chandrasekhar": chandrasekhar,
    "univariate": forced("univariate"),
    "collapsed": forced("collapsed"),
    "univariate collapsed": forced("univariate collapsed"),
}


def cloned(model: Any) -> Any:
    other = copy.copy(model)
    matrices = {name: model.ssm[name] for name in MATRICES if np.shape(getattr(model.ssm, name))[-1] > 1}
    other.ssm = model.ssm.clone(model.ssm.endog.T, **matrices)
    other.ssm.initialization = model.ssm.initialization
    return other


WAYS: dict[str, tuple[bool, Callable[[Any], Any]]] = {
    "after": (False, lambda model: model),
    "before": (True, lambda model: model),
    "pickle": (False, lambda model: pickle.loads(pickle.dumps(model))),
    "deepcopy": (True, copy.deepcopy),
    "clone of ssm": (False, cloned),
}
"""Whether the model smooths before the choice as well, and what is used after it."""

OPTIONS: dict[str, tuple[str, int]] = {
    "none": ("filter_timing", kf.TIMING_INIT_PREDICTED),
    "filter univariate": ("filter_method", kf.FILTER_UNIVARIATE),
    "filter conventional": ("filter_method", kf.FILTER_CONVENTIONAL),
    "smooth conventional": ("smooth_method", ks.SMOOTH_CONVENTIONAL),
    "smooth classical": ("smooth_method", ks.SMOOTH_CLASSICAL),
    "smooth alternative": ("smooth_method", ks.SMOOTH_ALTERNATIVE),
    "states only": ("smoother_output", ks.SMOOTHER_STATE | ks.SMOOTHER_STATE_COV),
    "disturbances only": ("smoother_output", ks.SMOOTHER_DISTURBANCE | ks.SMOOTHER_DISTURBANCE_COV),
    "no filtered": ("conserve_memory", kf.MEMORY_NO_FILTERED),
    "no forecasts": ("conserve_memory", kf.MEMORY_NO_FORECAST),
    "conserve": ("conserve_memory", kf.MEMORY_CONSERVE),
    "lu": ("inversion_method", kf.SOLVE_LU),
    "inverse": ("inversion_method", kf.INVERT_CHOLESKY | kf.INVERT_UNIVARIATE),
    "no symmetry": ("stability_method", 0),
    "timing": ("filter_timing", kf.TIMING_INIT_FILTERED),
}


def set_option(model: Any, option: str) -> None:
    name, value = OPTIONS[option]
    if name == "filter_method":
        value |= model.ssm.filter_method & kf.FILTER_CONCENTRATED
    setattr(model.ssm, name, value)


# -- what is compared --------------------------------------------------------------------------------------

OUTPUTS = (
    "llf", "filtered_state", "filtered_state_cov", "predicted_state", "predicted_state_cov", "forecasts",
    "forecasts_error", "forecasts_error_cov", "smoothed_state", "smoothed_state_cov",
    "smoothed_state_autocov", "smoothed_measurement_disturbance", "smoothed_state_disturbance",
    "smoothed_measurement_disturbance_cov", "smoothed_state_disturbance_cov", "scaled_smoothed_estimator",
    "standardized_forecasts_error",
)  # fmt: skip


def tried(function: Callable[[], Any]) -> Any:
    """Return what a call returns, or the error that it raises."""
    try:
        return function()
    except Exception as error:  # compared with what the plain model raises
        return error


def simulated(model: Any) -> np.ndarray:
    ssm = model.ssm
    simulation = ssm.simulation_smoother()
    rng = np.random.default_rng(0)
    k, q, p, n = ssm.k_states, ssm.k_posdef, ssm.k_endog, ssm.nobs
    simulation.simulate(
        state_disturbance_variates=rng.standard_normal((n, q)),
        measurement_disturbance_variates=rng.standard_normal((n, p)),
        initial_state_variates=rng.standard_normal(k),
    )
    return np.array(simulation.simulated_state)


def outputs(model: Any, params: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Yield all that a model says; log-likelihoods first, so that a pass of another kind precedes each."""
    free = [params] if len(params) else []
    yield "loglike", tried(lambda: model.loglike(params))
    model.update(params)
    yield "ssm.loglike", tried(lambda: model.ssm.loglike())
    yield "ssm.loglikeobs", tried(lambda: model.ssm.loglikeobs())
    results = tried(lambda: model.smooth(*free, return_ssm=True))
    if isinstance(results, Exception):
        yield "smooth", results
    else:
        for name in OUTPUTS:
            yield name, tried(lambda name=name: getattr(results, name))
    yield "simulation smoother", tried(lambda: simulated(model))
    filtered = tried(lambda: model.filter(*free, return_ssm=True))
    if isinstance(filtered, Exception):
        yield "filter", filtered
    else:
        for name in OUTPUTS[:8]:
            yield f"filter: {name}", tried(lambda name=name: getattr(filtered, name))
    constant = model.ssm.time_invariant and not isinstance(filtered, Exception)
    if constant:
        yield "beyond the sample", tried(lambda: filtered.predict(N, N + 3).forecasts)
        yield "their variances", tried(lambda: filtered.predict(N, N + 3).forecasts_error_cov)
    yield "loglike again", tried(lambda: model.loglike(params))


@cache
def plain(name: str, option: str, again: bool) -> dict[str, Any]:
    """Return what the model says that no filter was chosen for; a pass that raises leaves options behind."""
    model = MODELS[name]()
    set_option(model, option)
    if again:
        dict(outputs(model, params_of(name)))
    return dict(outputs(model, params_of(name)))


def has_a_wrong_filter(model: Any) -> bool:
    """Tell whether the `filter_method` of a model is not valid, so that a choice replaces it."""
    own = model.ssm.filter_method & (kf.FILTER_UNIVARIATE | kf.FILTER_COLLAPSED)
    reasons = sse.filter_report(model, params_or_none(model)).reasons
    return any(reasons[method] for method, flag in FLAGS.items() if flag == own)


def differences(name: str, choice: str, way: str, option: str, late: bool) -> list[str] | None:
    """
    Return what differs from the plain model; None where the choice is not valid.

    Where an option makes the filter of the plain model wrong, the numbers are those without the option.
    """
    model, params = MODELS[name](), params_of(name)
    model.at = params
    smooths, then = WAYS[way]
    if not late:
        set_option(model, option)
    if smooths:
        dict(outputs(model, params))
    mended = has_a_wrong_filter(model)
    if not CHOICES[choice](model):
        return None
    model = then(model)
    if late:
        set_option(model, option)
    out, want = [], plain(name, "none" if mended else option, smooths and not late)
    for key, found in outputs(model, params):
        expected = want[key]
        if isinstance(found, Exception) or isinstance(expected, Exception):
            same = type(found) is type(expected) or isinstance(found, StateSpaceError)
        elif found is None or expected is None:
            same = found is expected
        else:
            found, expected = np.asarray(found), np.asarray(expected)
            size = np.max(np.abs(expected[np.isfinite(expected)]), initial=1.0)
            same = found.shape == expected.shape and np.allclose(
                found, expected, rtol=1e-8, atol=1e-8 * size, equal_nan=True
            )
        if not same:
            out.append(f"{key}: {found!r:.150} for {expected!r:.150}")
    return out


def pairwise(*factors: list[Any]) -> list[tuple[Any, ...]]:
    """Return rows in which every pair of values of two factors occurs, by greed."""
    left = {
        (i, a, j, b)
        for i, j in product(range(len(factors)), repeat=2)
        if i < j
        for a, b in product(factors[i], factors[j])
    }
    rng, rows = np.random.default_rng(0), []

    def news(row: tuple[Any, ...]) -> set[Any]:
        return {(i, row[i], j, row[j]) for i in range(len(row)) for j in range(i + 1, len(row))} & left

    while left:
        i, a, j, b = min(left, key=repr)
        trials = []
        for _ in range(20):
            row = [values[rng.integers(len(values))] for values in factors]
            row[i], row[j] = a, b
            trials.append(tuple(row))
        best = max(trials, key=lambda row: len(news(row)))
        left -= news(best)
        rows.append(best)
    return rows


@pytest.mark.parametrize("name", MODELS)
def test_a_choice_changes_no_number(name: str) -> None:
    """
    Likelihood, filter, smoother, simulation, forecasts, for each pair of a valid choice, way and option.

    A model takes every eighth row of its design: each pair occurs with about three of the models.
    """
    model = MODELS[name]()
    model.at = params_of(name)
    named = {choice: choose for choice, choose in CHOICES.items() if choice != "fastest"}  # is one of them
    valid = [choice for choice, choose in named.items() if choose(copy.deepcopy(model))] or ["fastest"]
    rows = pairwise(valid, list(WAYS), list(OPTIONS), [False, True])
    for choice, way, option, late in rows[list(MODELS).index(name) % 8 :: 8]:
        found = differences(name, choice, way, option, late)
        assert not found, (choice, way, option, late, found)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_choice_changes_a_number(name: str) -> None:
    """The full product."""
    for choice, way, option, late in product(CHOICES, WAYS, OPTIONS, [False, True]):
        found = differences(name, choice, way, option, late)
        assert not found, (choice, way, option, late, found)


def test_the_walk_takes_every_choice() -> None:
    """Each is valid for some of the models, and used by their likelihoods."""
    for choice, choose in CHOICES.items():
        used = []
        for name, build in MODELS.items():
            model = build()
            model.at = params_of(name)
            if choose(model) and model.ssm.chosen_filter:
                used.append(name)
        assert len(used) >= 3, choice


@pytest.mark.parametrize("flags", [kf.FILTER_CHANDRASEKHAR, kf.FILTER_UNIVARIATE, kf.FILTER_COLLAPSED])
def test_flags_that_are_wrong_do_not_outlive_a_choice(flags: int) -> None:
    """Recursions with a diffuse start, and the univariate filter with tiny variances, are wrong alone."""
    model = UC(1e-7 * series(1), "llevel") if flags == kf.FILTER_UNIVARIATE else UC(series(1), "llevel")
    params = 1e-14 * np.array([1.0, 0.5]) if flags == kf.FILTER_UNIVARIATE else np.array([1.0, 0.5])
    model.ssm.inversion_method = kf.SOLVE_CHOLESKY
    want, states = model.loglike(params), model.smooth(params).smoothed_state
    model.ssm.filter_method |= flags
    wrong = tried(lambda: model.loglike(params))
    assert isinstance(wrong, Exception) or abs(wrong - want) > 1.0
    sse.use_fastest_filter(model, params)
    np.testing.assert_allclose(model.loglike(params), want, rtol=1e-9)
    np.testing.assert_allclose(model.smooth(params).llf, want, rtol=1e-9)
    np.testing.assert_allclose(model.smooth(params).smoothed_state, states, rtol=1e-6)


# -- one place that finds zeros ----------------------------------------------------------------------------


class Disagreeing(KalmanSmoother):
    """Its smoother runs after another filter than that of the pass, as a guard of one method once did."""

    def _filter(self, *args: Any, **kwargs: Any) -> Any:
        return super()._filter(kf.FILTER_CONVENTIONAL)


def smoothed(smoother_output: int) -> Any:
    ssm = Disagreeing(1, 1)
    ssm.bind(series(1))
    for name in ("design", "selection", "obs_cov", "state_cov"):
        ssm[name] = np.eye(1)
    ssm["transition"] = 0.5 * np.eye(1)
    ssm.initialize_stationary()
    ssm.filter_univariate = True
    ssm.smoother_output = smoother_output
    return ssm, ssm.smooth()


def test_smoothed_zeros_are_an_error() -> None:
    ssm, results = smoothed(ks.SMOOTHER_ALL)
    assert not np.any(results.smoothed_state) and not np.any(results.smoothed_state_cov[..., 1:])
    with pytest.raises(EstimationError, match="smoothed_state, smoothed_state_cov, smoothed_state_autocov"):
        require_smoothed(ssm, results, ks.SMOOTHER_ALL)
    for flag, name in {
        ks.SMOOTHER_STATE: "smoothed_state zero",
        ks.SMOOTHER_STATE_COV: "smoothed_state_cov zero",
        ks.SMOOTHER_STATE_AUTOCOV: "smoothed_state_autocov zero",
        ks.SMOOTHER_DISTURBANCE_COV: "smoothed_state_disturbance_cov zero",
    }.items():
        with pytest.raises(EstimationError, match=name):
            require_smoothed(*smoothed(flag), flag)


def test_zeros_that_are_right_are_no_error() -> None:
    """A state that is known: its covariances are zero, and so are a series of zeros and its state."""
    ssm = KalmanSmoother(1, 1, design=np.eye(1), transition=np.eye(1), selection=np.eye(1), obs_cov=np.eye(1))
    ssm.bind(np.zeros((5, 1)))
    ssm.initialize_known(np.zeros(1), np.zeros((1, 1)))
    results = ssm.smooth()
    assert not np.any(results.smoothed_state_cov) and not np.any(results.smoothed_state_disturbance_cov)
    require_smoothed(ssm, results, ks.SMOOTHER_ALL)
