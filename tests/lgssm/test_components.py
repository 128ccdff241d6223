"""Components: matrices and likelihoods beside those of statsmodels, several series, and what collides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

import statespace_ext as sse
from statespace_ext.lgssm.components import Components, arma, cycle, regression, seasonal, trend

RNG = np.random.default_rng(3)
N = 48
Y = RNG.normal(size=N).cumsum() + 3.0
X = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["a", "b"])
DAMPED = {"cycle": True, "stochastic_cycle": True, "damped_cycle": True}
IRREGULAR = {"sigma2.irregular": ("obs_var.y", 0.8)}
LEVEL = {"sigma2.level": ("state_var.level", 0.4)}
SLOPE = {"sigma2.trend": ("state_var.slope", 0.1)}
ANGLE, RHO = 2.0 * np.pi / 9.0, 0.85

CASES: dict[str, tuple[Components, dict[str, Any], dict[str, tuple[str, float]]]] = {
    "local level": (trend("local_level"), {"level": "local level"}, LEVEL),
    "constant": (trend("constant"), {"level": "deterministic constant"}, {}),
    "linear": (trend("linear"), {"level": "deterministic trend"}, {}),
    "drift": (trend("drift"), {"level": "local linear deterministic trend"}, LEVEL),
    "smooth, dummies": (
        trend("smooth") + seasonal(4), {"level": "smooth trend", "seasonal": 4},
        {**SLOPE, "sigma2.seasonal": ("seasonal4_var", 0.3)},
    ),
    "fixed dummies": (
        trend("local_level") + seasonal(7, stochastic=False),
        {"level": "local level", "seasonal": 7, "stochastic_seasonal": False}, LEVEL,
    ),
    "local linear, trigonometric": (
        trend() + seasonal(5, "trigonometric"),
        {"level": "local linear trend", "freq_seasonal": [{"period": 5}]},
        {**LEVEL, **SLOPE, "sigma2.freq_seasonal_5(2)": ("seasonal5_var", 0.2)},
    ),
    "three harmonics of twelve": (
        trend("local_level") + seasonal(12, "trigonometric", harmonics=3),
        {"level": "local level", "freq_seasonal": [{"period": 12, "harmonics": 3}]},
        {**LEVEL, "sigma2.freq_seasonal_12(3)": ("seasonal12_var", 0.2)},
    ),
    "cycle, autoregression": (
        trend("local_level") + cycle() + arma(2),
        {"level": "local level", **DAMPED, "autoregressive": 2},
        {**LEVEL, "sigma2.cycle": ("cycle_var", 0.5), "sigma2.ar": ("state_var.arma", 0.7),
         "ar.L1": ("ar1", 0.5), "ar.L2": ("ar2", -0.2)},
    ),
    "cycle of a known period": (
        trend("local_level") + cycle(9.0), {"level": "local level", **DAMPED},
        {**LEVEL, "sigma2.cycle": ("cycle_var", 0.5), "damping.cycle": ("cycle_damping", RHO)},
    ),
    "undamped cycle": (
        trend("local_level") + cycle(9.0, damped=False),
        {"level": "local level", "cycle": True, "stochastic_cycle": True},
        {**LEVEL, "sigma2.cycle": ("cycle_var", 0.5)},
    ),
    "deterministic cycle": (
        trend("local_level") + cycle(9.0, damped=False, stochastic=False),
        {"level": "local level", "cycle": True}, LEVEL,
    ),
    "regression": (
        trend("local_level") + regression(X), {"level": "local level", "exog": X},
        {**LEVEL, "beta.a": ("obs_coef.a->y", 0.7), "beta.b": ("obs_coef.b->y", -0.4)},
    ),
    "coefficients as states": (
        trend("local_level") + regression(X, moving=True),
        {"level": "local level", "exog": X, "mle_regression": False}, LEVEL,
    ),
}  # fmt: skip
CYCLE = {"cycle_cos": RHO * np.cos(ANGLE), "cycle_sin": RHO * np.sin(ANGLE)}


@pytest.mark.parametrize("key", CASES)
def test_matrices_and_likelihood_are_those_of_unobserved_components(key: str) -> None:
    components, words, pairs = CASES[key]
    model = components.lgssm(Y)
    pairs = {**IRREGULAR, **pairs}
    ours = {**CYCLE, **dict(pairs.values()), "state_var.beta.a": 0.0, "state_var.beta.b": 0.0}
    theirs = UnobservedComponents(Y, use_exact_diffuse=True, **words)
    at = {name: value for name, (_, value) in pairs.items()}
    at |= {"frequency.cycle": ANGLE, "damping.cycle": RHO}
    theirs_at = [at[name] for name in theirs.param_names]
    theirs.update(theirs_at)
    if "damped_cycle" in words:  # statsmodels starts it diffuse
        start = Initialization(model.k_states)
        start.set(0, "diffuse")
        for first in range(1, model.k_states, 2):
            start.set((first, first + 2), "stationary")
        theirs.ssm.initialization = start
    params = [ours[name] for name in model.param_names]
    model.update(params)
    for name in ("design", "transition", "obs_cov"):
        ours_at, expected = model.ssm[name], theirs.ssm[name]
        assert_allclose(np.broadcast_to(ours_at, expected.shape), expected, atol=1e-12)
    noise = [ssm["selection"] @ ssm["state_cov"] @ ssm["selection"].T for ssm in (model.ssm, theirs.ssm)]
    assert_allclose(noise[0], noise[1], atol=1e-12)
    assert_allclose(model.loglike(params), theirs.loglike(theirs_at), rtol=1e-8)
    assert len(model.param_names) == len(set(model.param_names)) and len(model.state_names) == model.k_states


def test_arma_is_that_of_sarimax() -> None:
    theirs = SARIMAX(Y, order=(2, 0, 1), hamilton_representation=True)
    model = arma(2, 1).lgssm(Y, obs_cov="zero")
    values = {"ma1": 0.4, "ar1": 0.5, "ar2": -0.3, "state_var.arma": 1.3}
    params = [values[name] for name in model.param_names]
    assert_allclose(model.loglike(params), theirs.loglike([0.5, -0.3, 0.4, 1.3]), rtol=1e-10)


def test_a_season_of_even_length_has_one_state_of_period_two() -> None:
    """Its likelihood is that of dummies in a deterministic season, up to the scale of the diffuse states."""
    forms = [
        (trend("local_level") + seasonal(4, kind, stochastic=False)).lgssm(Y)
        for kind in ("dummy", "trigonometric")
    ]
    assert [model.k_states for model in forms] == [4, 4]
    gaps = np.diff([[model.loglike([q, 0.5]) for q in (0.3, 2.0)] for model in forms], axis=0)
    assert_allclose(gaps[0, 0], gaps[0, 1], rtol=1e-9)


# -- several series ------------------------------------------------------------------------------------------


def test_series_have_components_of_their_own() -> None:
    data = pd.DataFrame({"one": Y, "two beside": Y[::-1] ** 2 / 5})
    model = (trend("local_level") + seasonal(4) + arma(1)).lgssm(data)
    assert model.state_names[:3] == ["level.one", "level.two beside", "seasonal4.one"]
    values = {"obs_var": 0.7, "state_var.level": 0.3, "seasonal4_var": 0.2, "ar1": 0.6, "state_var.arma": 0.4}
    params = [next(v for stem, v in values.items() if name.startswith(stem)) for name in model.param_names]
    assert {"seasonal4_var_one", "seasonal4_var_2", "ar1_one"} < set(model.param_names)
    words = {"level": "local level", "seasonal": 4, "autoregressive": 1, "use_exact_diffuse": True}
    each = [UnobservedComponents(data[name], **words).loglike([0.7, 0.3, 0.2, 0.4, 0.6]) for name in data]
    assert_allclose(model.loglike(params), sum(each), rtol=1e-8)


def test_a_common_moving_average_has_loadings_that_are_numbers() -> None:
    model = arma(1, 1, loadings=[1.0, 0.5]).lgssm(np.column_stack([Y, Y[::-1]]))
    at = model.matrices({name: {"ma1": 0.4}.get(name, 0.3) for name in model.param_names})
    assert_allclose(at["design"], [[1.0, 0.4], [0.5, 0.2]])
    none = arma(1, 1, loadings=[1.0, 0.0]).lgssm(np.column_stack([Y, Y[::-1]]))
    assert_allclose(none.matrices({name: 0.3 for name in none.param_names})["design"][1], 0.0)


def test_a_common_trend_beside_cycles_of_their_own() -> None:
    data = np.column_stack([Y, 0.5 * Y + RNG.normal(size=N)])
    model = (trend("local_level", loadings=[1, 0.5]) + arma(1)).lgssm(data)
    params = dict.fromkeys(model.param_names, 0.5)
    at = model.matrices(params)
    assert_allclose(at["design"], [[1, 1, 0], [0.5, 0, 1]])
    assert at["obs_intercept"][:, 0].tolist() == [0.0, 0.5] and model.starts[0] == "diffuse"
    free = (trend("local_level", loadings=[1, np.nan]) + cycle(loadings=[1, "b"], name="business")).lgssm(
        data
    )
    assert free.param_names[:2] == ["loading.level->y2", "b"] and free.starts[0] == "approximate_diffuse"
    assert free.state_names == ["level", "business.cycle", "business.cycle.star"]
    assert "business_cycle_cos" in free.param_names
    llf = free.fit(method="em", maxiter=5, tolerance=0, cov_type="none").em_trace["llf"]
    assert llf.is_monotonic_increasing


def test_fits_and_forecasts() -> None:
    nile = sm.datasets.nile.load_pandas().data["volume"]
    res = trend("local_level").lgssm(nile).fit()
    assert_allclose(res.params, [15098.52, 1469.18], rtol=1e-4)
    assert_allclose(res.forecast(2), res.factors.smoothed["level"].iloc[-1], rtol=1e-8)
    moved = (trend("local_level") + regression(X)).lgssm(Y)
    at = moved.smooth([0.5] * len(moved.param_names))
    flat, up = (at.forecast(1, exog=[[value, 0.0]]) for value in (0.0, 1.0))
    assert_allclose(up - flat, 0.5)


# -- what is refused -----------------------------------------------------------------------------------------

COLLISIONS = {
    "same": (lambda: trend() + trend("local_level"), "same states: trend and trend: got level. Pass another"),
    "regressors": (lambda: regression(X) + regression(X), "two sets of regressors.*in one frame"),
    "two levels": (
        lambda: (trend() + trend("local_level", name="other")).lgssm(Y), "hold a level: got level and other",
    ),
    "seasons": (
        lambda: (seasonal(4) + seasonal(12)).lgssm(Y), "seasonal and seasonal collide: both move",
    ),
    "cycle and season": (
        lambda: (seasonal(12, "trigonometric") + cycle(6, damped=False)).lgssm(Y), "with the period 6",
    ),
    "a constant": (lambda: (trend() + regression(np.ones(N))).lgssm(Y), "repeats the level"),
}  # fmt: skip


@pytest.mark.parametrize("key", COLLISIONS)
def test_states_that_collide_are_refused(key: str) -> None:
    build, message = COLLISIONS[key]
    with pytest.raises(sse.SpecificationError, match=message):
        build()


def test_what_several_series_tell_apart_does_not_collide() -> None:
    two = np.column_stack([Y, Y[::-1]])
    both = trend("local_level", loadings=[1, 1]) + trend("local_level", loadings=[1, 0], name="own")
    assert np.isfinite(both.lgssm(two).loglike([0.5] * 5))
    with pytest.raises(sse.SpecificationError, match="collide: both hold a level"):
        (trend("local_level", loadings=[1, 1]) + trend("local_level", loadings=[2, 2], name="own")).lgssm(two)
    with pytest.raises(
        sse.SpecificationError, match="trend, trend, trend collide: all hold a level: got common"
    ):
        (trend("local_level", loadings=[1, 1], name="common") + trend("local_level")).lgssm(two)


REFUSED = {
    "kind": (lambda: trend("rw"), "kind is"),
    "period": (lambda: seasonal(1), "period"),
    "harmonics": (lambda: seasonal(7, "trigonometric", harmonics=4), "got 4; expected at most 3"),
    "harmonics of dummies": (lambda: seasonal(7, harmonics=2), "harmonics can be given only with kind="),
    "undamped": (lambda: cycle(damped=False), "undamped cycle of unknown period"),
    "without noise": (lambda: cycle(stochastic=False), "damped cycle without noise is zero"),
    "short": (lambda: cycle(2), "period of a cycle is too short: got 2"),
    "order": (lambda: arma(0), "p must be a positive integer"),
    "name": (lambda: trend(name="a b"), "name must be an identifier: got 'a b'"),
    "no regressors": (lambda: regression(None), "A regression component needs regressors"),
    "loadings": (lambda: trend(loadings=[1, 1]).lgssm(Y), "wrong length: got 2; expected 1"),
    "two free": (lambda: arma(1, 1, loadings=["a"]).lgssm(Y), "Free loadings of arma would be multiplied"),
    "names over time": (lambda: (arma(1, 1) + regression(X, moving=True)).lgssm(Y), "combined with named"),
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_refused(key: str) -> None:
    build, message = REFUSED[key]
    with pytest.raises(sse.SpecificationError, match=message):
        build()


def test_regressors_must_fit_the_series() -> None:
    with pytest.raises(sse.DataError, match=r"exog has the wrong shape: got \(48, 2\); expected \(20"):
        (trend() + regression(X.to_numpy())).lgssm(Y[:20])
    with pytest.raises(TypeError, match="unsupported operand"):
        trend() + 1  # type: ignore[operator]


FACTOR_NAMES = {
    "count": (["a"], "factor_names must be different strings: got .* expected 2 strings"),
    "type": ([1, 2], "factor_names must be different strings"),
    "same": (["a", "a"], r"factor_names must be different strings: got \['a', 'a'\]"),
}


@pytest.mark.parametrize("key", FACTOR_NAMES)
def test_names_of_factors(key: str) -> None:
    names, message = FACTOR_NAMES[key]
    assert sse.LGSSM(Y, 1, factor_names=["cycle"]).param_names[0] == "loading.cycle->y"
    with pytest.raises(sse.SpecificationError, match=message):
        sse.LGSSM(Y, 2, factor_names=names)


def test_regressors_can_be_passed_beside_the_arguments_of_components() -> None:
    """Arguments without regressors do not take the place of ``exog``."""
    res = sse.LGSSM(Y, **trend("local_level").arguments(Y), exog=X)
    assert res.param_names == (trend("local_level") + regression(X)).lgssm(Y).param_names
