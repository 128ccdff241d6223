"""Verdicts on filters: what is called valid equals the dense Gaussian, what is not raises or differs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from oracle import dense, dense_diffuse, random_system
from scipy.linalg import solve_discrete_lyapunov
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_filter import TIMING_INIT_FILTERED
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine import filter_conditions
from statespace_ext.engine.compat import VERSION
from statespace_ext.engine.filter_conditions import FLAGS, Conditions
from statespace_ext.engine.filters import GuardedFilter
from statespace_ext.exceptions import UnsupportedError

# SARIMAX and UnobservedComponents say so where they start from zeros;
# the univariate filter on request says that it transforms disturbances; a singular obs_cov is on purpose
pytestmark = [
    pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.EstimationWarning"),
    pytest.mark.filterwarnings("ignore:The univariate filtering approach"),
    pytest.mark.filterwarnings("ignore:Positive semi-definite observation covariance"),
    pytest.mark.filterwarnings("ignore:divide by zero"),
    pytest.mark.filterwarnings("ignore:invalid value"),
]
Matrices = dict[str, np.ndarray]


def representation(y: np.ndarray, system: Matrices, start: str = "known") -> KalmanSmoother:
    """Return a representation with the matrices of the oracle, at tolerance 0."""
    k, q = system["selection"].shape[:2]
    ssm = KalmanSmoother(y.shape[1], k, q, tolerance=0.0)
    ssm.bind(y.T.copy(order="F"))
    for name, value in system.items():
        if not name.startswith("initial_"):
            column = value[:, None] if name.endswith("intercept") and value.ndim == 1 else value
            ssm[name] = np.asfortranarray(column)
    if start == "known":
        ssm.initialize_known(system["initial_state"], system["initial_state_cov"])
    else:
        ssm.initialize(start)
    return ssm


def raw(ssm: Any, method: str) -> tuple[float, np.ndarray]:
    """Return likelihood and smoothed states by a filter of statsmodels, valid or not."""
    ssm = copy.deepcopy(ssm)
    ssm.filter_method |= FLAGS[method]
    output = ssm.smooth()
    return float(ssm.loglike()), output.smoothed_state.T


def drawn(seed: int, k: int, p: int, n: int = 25, **options: Any) -> tuple[np.ndarray, Matrices]:
    """Return a random system without an observation intercept, and data."""
    y, system = random_system(np.random.default_rng(seed), n, k, p, **options)
    intercept = system["obs_intercept"]
    y = y - (intercept.T if intercept.ndim == 2 else intercept)
    return y, {**system, "obs_intercept": np.zeros(p)}


def diagonal(system: Matrices) -> Matrices:
    H = system["obs_cov"]
    eye = np.eye(len(H))
    return {**system, "obs_cov": H * (eye[:, :, None] if H.ndim == 3 else eye)}


# -- valid means equal -------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [True, False], ids=["full", "diagonal"])
@pytest.mark.parametrize("intercept", [True, False], ids=["d", "no d"])
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["stationary", "known", "zero", "varying", "diffuse"])
@pytest.mark.parametrize(("k", "p"), [(3, 2), (2, 5)])
def test_valid_filters_equal_the_dense_gaussian(
    k: int, p: int, kind: str, missing: float, intercept: bool, full: bool
) -> None:
    varying = kind == "varying"
    start = "known" if varying else kind
    draw = random_system(
        np.random.default_rng(p), 25, k, p, missing=missing, time_varying=varying, initialization=start
    )
    y, system = (
        draw if intercept else drawn(p, k, p, missing=missing, time_varying=varying, initialization=start)
    )
    system = system if full else diagonal(system)
    ssm = representation(y, system, "diffuse" if kind == "diffuse" else "known")
    report = sse.filter_report(ssm)
    expected = dense_diffuse(y, system, np.ones(k, bool)) if kind == "diffuse" else dense(y, system)
    unsupported = kind == "diffuse" and VERSION < (0, 15) and full and missing
    assert unsupported or "conventional" in report.valid
    for method in report.valid:
        llf, states = raw(ssm, method)
        assert llf == pytest.approx(expected.llf, rel=1e-9), method
        np.testing.assert_allclose(states, expected.smoothed_state, atol=1e-7, err_msg=method)
    assert ("chandrasekhar" in report.valid) == (kind == "stationary" and not missing)
    assert ("collapsed" in report.valid) <= (p > k and not intercept)


# -- not valid means wrong ---------------------------------------------------------------------------


def too_small() -> tuple[Any, float]:
    """Diffuse, in units in which the forecast variances are below statsmodels' limit."""
    y, system = drawn(1, 2, 2, initialization="diffuse")
    unit = 1e-7
    small = {**system, "obs_cov": system["obs_cov"] * unit**2, "state_cov": system["state_cov"] * unit**2}
    small["state_intercept"] = system["state_intercept"] * unit
    exact = dense_diffuse(unit * y, small, np.ones(2, bool)).llf
    return representation(unit * y, small, "diffuse"), exact


def in_units(unit: float, start: str = "stationary") -> tuple[Any, float]:
    y, system = drawn(1, 2, 5, initialization=start)
    scaled = {**system, "state_intercept": unit * system["state_intercept"]}
    scaled["initial_state"] = unit * system["initial_state"]
    for name in ("obs_cov", "state_cov", "initial_state_cov"):
        scaled[name] = unit**2 * system[name]
    return representation(unit * y, scaled), dense(unit * y, scaled).llf


def tiny_variances() -> tuple[Any, float]:
    """A diagonal obs_cov: only the limit on the variances is in the way."""
    y, system = drawn(1, 2, 5, initialization="stationary")
    system, unit = diagonal(system), 1e-7
    for name in ("state_intercept", "initial_state"):
        system[name] = unit * system[name]
    for name in ("obs_cov", "state_cov", "initial_state_cov"):
        system[name] = unit**2 * system[name]
    return representation(unit * y, system), dense(unit * y, system).llf


def with_changes(
    k: int = 2, p: int = 5, start: str = "known", options: dict[str, Any] | None = None, **changes: Any
) -> tuple[Any, float]:
    y, system = drawn(3, k, p, **{"initialization": "stationary", **(options or {})})
    system = {**system, **{name: change(system[name]) for name, change in changes.items()}}
    exact = dense_diffuse(y, system, np.ones(k, bool)) if start == "diffuse" else dense(y, system)
    return representation(y, system, start), exact.llf


def concentrated() -> tuple[Any, float]:
    ssm, _ = with_changes()
    ssm.filter_concentrated = True
    return ssm, float(ssm.loglike())


def varying(name: str) -> tuple[Any, float]:
    def over_time(matrix: np.ndarray) -> np.ndarray:
        return np.repeat(matrix[:, :, None], 25, axis=2) * np.linspace(1.0, 1.1, 25)

    return with_changes(**{name: over_time})


def filtered_timing() -> tuple[Any, float]:
    ssm, _ = with_changes()
    ssm.filter_timing = TIMING_INIT_FILTERED
    return ssm, float(ssm.loglike())


def near_unit_root() -> tuple[Any, float]:
    y, system = drawn(1, 2, 1, initialization="stationary")
    system["transition"] = np.diag([1.0 - 1e-9, 0.5])
    system["state_intercept"] = system["initial_state"] = np.zeros(2)
    cov = solve_discrete_lyapunov(system["transition"], system["state_cov"])
    system["initial_state_cov"] = (cov + cov.T) / 2
    ssm = representation(y, system)
    return ssm, float(ssm.loglike())


def no_start() -> tuple[Any, float]:
    ssm, exact = with_changes()
    ssm.initialization = None
    return ssm, exact


def add(*values: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda d: d + np.array(values)


def repeated(Z: np.ndarray) -> np.ndarray:
    return np.column_stack([Z[:, 0], 3.0 * Z[:, 0]])


def singular(H: np.ndarray) -> np.ndarray:
    """Of rank p - 1 up to rounding: its Cholesky factor exists or not as rounding has it."""
    values, vectors = np.linalg.eigh(H)
    values[0] = 1e-13
    return (vectors * values) @ vectors.T


DIFFUSE = {"start": "diffuse", "options": {"initialization": "diffuse"}}
WRONG: dict[str, tuple[str, str, Callable[[], tuple[Any, float]]]] = {
    "diffuse units": ("conventional", "lose digits", too_small),
    "diffuse units, univariate": ("univariate", "lose digits", too_small),
    "small covariances": ("univariate", "takes for zero", lambda: in_units(2e-5)),
    "small variances": ("univariate", "skips an observation", tiny_variances),
    "few series": ("collapsed", "2 series are not more than 3 states", lambda: with_changes(3, 2)),
    "intercept": (
        "collapsed", "observation intercept", lambda: with_changes(obs_intercept=add(1, 2, 0, 0, 0)),
    ),
    "intercept, sum 0": (
        "collapsed", "observation intercept", lambda: with_changes(obs_intercept=add(1, -1, 0, 0, 0)),
    ),
    "concentrated": ("collapsed", "scale is concentrated", concentrated),
    "diffuse collapsed": (
        "collapsed", "exact diffuse", lambda: with_changes(**DIFFUSE),
    ),
    "repeated loadings": ("collapsed", "no accurate inverse", lambda: with_changes(design=repeated)),
    "singular obs_cov": ("collapsed", "no accurate inverse", lambda: with_changes(obs_cov=singular)),
    "Z varies": ("chandrasekhar", "design varies over time", lambda: varying("design")),
    "H varies": ("chandrasekhar", "obs_cov varies over time", lambda: varying("obs_cov")),
    "T varies": ("chandrasekhar", "transition varies over time", lambda: varying("transition")),
    "R varies": ("chandrasekhar", "selection varies over time", lambda: varying("selection")),
    "Q varies": ("chandrasekhar", "state_cov varies over time", lambda: varying("state_cov")),
    "missing": ("chandrasekhar", "values are missing", lambda: with_changes(options={"missing": 0.1})),
    "timing": ("chandrasekhar", "filtered values", filtered_timing),
    "known start": (
        "chandrasekhar", "not that of the stationary",
        lambda: with_changes(initial_state_cov=lambda P: 1.5 * P),
    ),
    "zero start": ("chandrasekhar", "not that of the stationary", lambda: with_changes(
        k=1, p=1, options={"initialization": "zero"})),
    "diffuse start": (
        "chandrasekhar", "diffuse", lambda: with_changes(**DIFFUSE),
    ),
    "no start": ("chandrasekhar", "no initial distribution", no_start),
    "near unit root": ("chandrasekhar", "may fall by a factor", near_unit_root),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_valid_raises_or_differs(name: str) -> None:
    method, reason, build = WRONG[name]
    ssm, exact = build()
    reasons = sse.filter_report(ssm).reasons[method]
    assert any(reason in each for each in reasons), reasons
    try:
        llf = raw(ssm, method)[0]
    except (RuntimeError, ValueError, np.linalg.LinAlgError):
        return
    assert not abs(llf - exact) <= 1e-9 * abs(exact)


def test_collapsed_and_univariate_smooths_wrongly() -> None:
    """The likelihood is right there, and the smoothed states are not."""
    y, system = drawn(0, 2, 5, missing=0.4, initialization="stationary")
    ssm, exact = representation(y, system), dense(y, system)
    report = sse.filter_report(ssm)
    assert "smoothed moments would be wrong" in report.reasons["univariate collapsed"][-1]
    assert "collapsed" in report.valid
    llf, states = raw(ssm, "univariate collapsed")
    assert llf == pytest.approx(exact.llf, rel=1e-9)
    assert np.max(np.abs(states - exact.smoothed_state)) > 1e-3


def test_univariate_before_statsmodels_0_15(monkeypatch: pytest.MonkeyPatch) -> None:
    y, system = drawn(0, 2, 5, missing=0.2, initialization="stationary")
    ssm, exact = representation(y, system), dense(y, system).llf
    if VERSION >= (0, 15):
        assert raw(ssm, "univariate")[0] == pytest.approx(exact, rel=1e-9)
        monkeypatch.setattr(filter_conditions, "univariate_is_wrong", lambda: True)
    else:
        assert raw(ssm, "univariate")[0] != pytest.approx(exact, rel=1e-9)
    assert "before statsmodels 0.15" in sse.filter_report(ssm).reasons["univariate"][0]


def test_singular_obs_cov_with_a_diffuse_start_before_statsmodels_0_15() -> None:
    """It can end the process there: the report must know without trying."""
    y, system = drawn(3, 2, 5, initialization="diffuse")
    report = sse.filter_report(representation(y, {**system, "obs_cov": np.ones((5, 5))}, "diffuse"))
    refused = any("singular obs_cov" in reason for reason in report.reasons["conventional"])
    assert refused == (VERSION < (0, 15))


def test_a_block_that_cannot_start_is_no_stationary_start() -> None:
    ssm, _ = with_changes(transition=lambda T: np.diag([1.5, 0.5]))
    start = Initialization(2)
    start.set((0, 1), "stationary")
    start.set((1, 2), "stationary")
    ssm.initialization = start
    assert "no stationary start" in sse.filter_report(ssm).reasons["chandrasekhar"][0]


# -- every model -------------------------------------------------------------------------------------


def panel(n: int, p: int) -> np.ndarray:
    rng = np.random.default_rng(p)
    common = np.zeros(n)
    for t in range(1, n):
        common[t] = 0.7 * common[t - 1] + rng.standard_normal()
    return np.outer(common, rng.uniform(0.5, 1.5, p)) + rng.standard_normal((n, p))


def sarimax(**options: Any) -> Any:
    return sm.tsa.SARIMAX(panel(120, 1), order=(2, 0, 1), seasonal_order=(1, 0, 0, 4), **options)


MODELS: dict[str, tuple[Callable[[], Any], bool]] = {
    "SARIMAX": (sarimax, True),
    "SARIMAX with trend": (lambda: sarimax(trend="ct"), True),
    "SARIMAX concentrated": (lambda: sarimax(concentrate_scale=True), True),
    "SARIMAX integrated": (lambda: sm.tsa.SARIMAX(panel(80, 1), order=(1, 1, 1)), False),
    "SARIMAX differenced": (
        lambda: sm.tsa.SARIMAX(panel(80, 1), order=(1, 1, 1), simple_differencing=True), True,
    ),
    "AR(2) components": (lambda: sm.tsa.UnobservedComponents(panel(80, 1), autoregressive=2), True),
    "local level": (lambda: sm.tsa.UnobservedComponents(panel(80, 1), "local level"), False),
    "damped cycle": (
        lambda: sm.tsa.UnobservedComponents(
            panel(80, 1), cycle=True, damped_cycle=True, stochastic_cycle=True, irregular=True
        ), False,
    ),
    "VARMAX": (lambda: sm.tsa.VARMAX(panel(80, 2), order=(2, 0), trend="c", measurement_error=True), True),
    "DynamicFactor": (lambda: sm.tsa.DynamicFactor(panel(80, 4), k_factors=1, factor_order=2), True),
    "LGSSM": (lambda: sse.LGSSM(panel(80, 4), 2, initialization="stationary"), True),
    "LGSSM estimated": (lambda: sse.LGSSM(panel(80, 4), 2, initialization="estimated"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    """Valid filters agree with the conventional one; a guarded model has its likelihood everywhere."""
    build, stationary = MODELS[name]
    model = build()
    model.ssm.tolerance = 0.0
    params = np.asarray(model.start_params)
    report = sse.filter_report(model)
    assert ("chandrasekhar" in report.valid) == stationary, str(report)
    model.update(params)
    exact = float(model.ssm.loglike())
    for method in report.valid:
        assert raw(model.ssm, method)[0] == pytest.approx(exact, rel=1e-9), method
    if stationary:
        sse.use_chandrasekhar(model)
        assert model.ssm.filter_chandrasekhar
    else:
        assert raw(model.ssm, "chandrasekhar")[0] != pytest.approx(exact, rel=1e-9)
        with pytest.raises(UnsupportedError, match="not valid for this model"):
            sse.use_chandrasekhar(model)
    for at in (params, 0.9 * params):
        plain = build()
        plain.ssm.tolerance = 0.0
        plain.update(at)
        model.update(at)
        assert model.ssm.loglike() == pytest.approx(plain.ssm.loglike(), rel=1e-9)
        np.testing.assert_allclose(
            model.ssm.smooth().smoothed_state, plain.ssm.smooth().smoothed_state, rtol=1e-7, atol=1e-7
        )


@pytest.mark.parametrize("name", ["SARIMAX", "VARMAX", "LGSSM"])
def test_a_report_leaves_the_model_as_it_was(name: str) -> None:
    model = MODELS[name][0]()
    model.update(0.8 * np.asarray(model.start_params))
    before = {key: np.array(model.ssm[key]) for key in Conditions(model.ssm).ssm.shapes if key != "obs"}
    start, attributes = model.ssm.initialization, dict(vars(model))
    sse.filter_report(model, model.start_params)
    assert model.ssm.initialization is start
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[key] is value for key, value in attributes.items())
    for key, value in before.items():
        np.testing.assert_array_equal(model.ssm[key], value)


# -- the choice, and what guards it ------------------------------------------------------------------


def test_an_error_names_every_violation() -> None:
    y, system = drawn(0, 2, 5, missing=0.2, time_varying=True, initialization="known")
    with pytest.raises(UnsupportedError) as error:
        sse.use_chandrasekhar(representation(y, system))
    for name in ("design", "obs_cov", "transition", "selection", "state_cov", "values are missing"):
        assert name in str(error.value)
    ssm, _ = with_changes(initial_state_cov=lambda P: 2.0 * P, options={"missing": 0.1})
    with pytest.raises(UnsupportedError, match=r"values are missing; the initial covariance is not"):
        sse.use_chandrasekhar(ssm)


class KnownStart(MLEModel):
    """AR(1) whose initial variance is stationary, as given, only at phi = 0.5."""

    start_params = np.array([0.5])
    param_names = ("phi",)

    def __init__(self, endog: Any) -> None:
        super().__init__(endog, k_states=1, tolerance=0.0)
        self["design"] = self["selection"] = self["state_cov"] = self["obs_cov"] = np.eye(1)
        self.ssm.initialize_known(np.zeros(1), np.eye(1) / 0.75)

    def update(self, params: Any, **kwargs: Any) -> Any:
        params = super().update(params, **kwargs)
        self["transition", 0, 0] = params[0]
        return params


def test_parameters_can_end_the_validity() -> None:
    y = panel(60, 1)
    guarded, plain, unguarded = KnownStart(y), KnownStart(y), KnownStart(y)
    sse.use_chandrasekhar(guarded)
    unguarded.ssm.filter_chandrasekhar = True
    for phi in (0.5, 0.8, 0.5):
        expected = plain.loglike([phi])
        assert guarded.loglike([phi]) == pytest.approx(expected, rel=1e-11)
        assert guarded.loglikeobs([phi]).sum() == pytest.approx(expected, rel=1e-11)
        assert guarded.smooth([phi]).llf == pytest.approx(expected, rel=1e-11)
        assert (unguarded.loglike([phi]) == pytest.approx(expected, rel=1e-11)) == (phi == 0.5)
    with pytest.raises(UnsupportedError, match="not that of the stationary"):
        sse.use_chandrasekhar(plain, [0.8])


def test_a_fit_ends_where_the_conventional_one_does() -> None:
    guarded, plain = sarimax(), sarimax()
    sse.use_chandrasekhar(guarded)
    ours, theirs = guarded.fit(disp=False), plain.fit(disp=False)
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-6)
    assert guarded.loglike(theirs.params) == pytest.approx(theirs.llf, rel=1e-9)
    np.testing.assert_allclose(ours.forecast(5), theirs.forecast(5), rtol=1e-2)
    np.testing.assert_allclose(
        guarded.smooth(theirs.params).forecast(5), theirs.forecast(5), rtol=1e-8
    )  # the filter beyond the sample, at the same parameters
    np.testing.assert_allclose(guarded.smooth(theirs.params).bse, theirs.bse, rtol=1e-4)


def test_the_start_is_that_of_the_parameters() -> None:
    """The hook computes it anew at every pass, and shows no other initialisation to the outside."""
    model = sarimax()
    sse.use_chandrasekhar(model)
    for scale in (1.0, 0.5):
        model.update(scale * np.asarray(model.start_params))
        model.ssm._initialize_representation()
        model.ssm._initialize_state()
        expected = model.ssm.initialization(model=model.ssm)[2]
        found = np.asarray(model.ssm._statespaces["d"].initial_state_cov)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.max(np.abs(expected)))
    assert model.ssm.initialization.initialization_type == "stationary"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_a_guard_of_their_own(copied: Callable[[Any], Any]) -> None:
    model = sarimax()
    sse.use_chandrasekhar(model)
    params = np.asarray(model.start_params)
    expected = model.loglike(params)
    other = copied(model)
    assert type(other.ssm) is type(model.ssm) and other.ssm is not model.ssm
    assert other.ssm.chosen_filter == "chandrasekhar" and other.ssm.loglike.__self__ is other.ssm
    other.loglike(0.5 * params)
    assert model.ssm["state_cov", 0, 0] == params[-1]
    assert other.loglike(params) == pytest.approx(expected, rel=1e-12)
    sse.use_fastest_filter(other)
    assert model.ssm.chosen_filter == "chandrasekhar"


def test_flags_of_the_user_survive() -> None:
    model = sarimax(concentrate_scale=True)
    assert sse.use_fastest_filter(model) in FLAGS
    assert model.ssm.filter_concentrated
    sse.use_chandrasekhar(model)
    guarded = type(model.ssm)
    sse.use_chandrasekhar(model)
    assert type(model.ssm) is guarded  # not one around another
    assert model.ssm.filter_concentrated
    model.ssm.filter_chandrasekhar = False
    plain = sarimax(concentrate_scale=True)
    params = plain.start_params
    assert model.loglike(params) == plain.loglike(params)


@pytest.mark.parametrize(
    ("k", "p", "start", "expected"),
    [
        (2, 30, "known", "collapsed"),
        (1, 3, "known", "univariate"),
        (60, 1, "stationary", "chandrasekhar"),
        (8, 1, "known", "conventional"),
    ],
)
def test_the_fastest(k: int, p: int, start: str, expected: str) -> None:
    y, system = drawn(0, k, p, n=25 if k < 10 else 4, initialization=start)  # the dense one is n k wide
    ssm, exact = representation(y, system), dense(y, system)
    assert sse.use_fastest_filter(ssm) == expected
    assert ssm.chosen_filter == (expected if expected != "conventional" else "")
    assert (
        isinstance(ssm, GuardedFilter)
        and isinstance(ssm, KalmanSmoother)
        and type(ssm).__name__ == "KalmanSmoother"
    )
    assert f"{expected:<22}valid" in str(sse.filter_report(ssm))
    assert ssm.loglike() == pytest.approx(exact.llf, rel=1e-9)


def test_what_is_kept_is_of_the_series() -> None:
    """Forecast covariances of the univariate filter are diagonal: passes that keep them do not use it."""
    y, system = drawn(0, 1, 3, initialization="known")
    ssm, plain = representation(y, system), representation(y, system)
    assert sse.use_fastest_filter(ssm) == "univariate"
    kept, expected = ssm.filter().forecasts_error_cov, plain.filter().forecasts_error_cov
    np.testing.assert_array_equal(kept, expected)
    assert np.any(np.abs(expected[0, 1]) > 1e-3)


def test_no_valid_filter_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="No filter computes the correct likelihood"):
        sse.use_fastest_filter(too_small()[0])
    with pytest.raises(UnsupportedError, match="needs data"):
        sse.filter_report(KalmanSmoother(1, 1))


class WithoutStart(MLEModel):
    """A model that has no start values."""

    def __init__(self) -> None:
        super().__init__(np.zeros(5), k_states=1)
        for name in ("design", "transition", "selection", "obs_cov", "state_cov"):
            self.ssm[name] = np.eye(1) * (0.5 if name == "transition" else 1.0)
        self.ssm.initialize_stationary()


def test_a_model_without_start_values_is_looked_at_as_it_stands() -> None:
    report = sse.filter_report(WithoutStart())
    assert report.reasons == sse.filter_report(WithoutStart().ssm).reasons
    assert "conventional" in report.valid
