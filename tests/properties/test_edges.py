"""At the edge: the right answer, or an error that says what is wrong; never NaN, a hang or a wrong number."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from edge_data import BUILD, ELSEWHERE, SAME, SHIFTED, N, atsm, capm, lgssm, regression, returns
from numpy.testing import assert_allclose
from oracle import dense, dense_diffuse
from random_models import dense_form

import statespace_ext as sse

every_class = pytest.mark.parametrize("kind", BUILD)
pytestmark = [
    pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning"),
    pytest.mark.filterwarnings("ignore:The units say:UserWarning"),
]


def fitted(kind: str, data: Callable[[np.ndarray], Any], **options: Any) -> Any:
    build, sample = BUILD[kind]
    return build(data(sample())).fit(**options)


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return {kind: fitted(kind, np.asarray) for kind in BUILD}


@cache
def begun(kind: str) -> Any:
    """Return the first iterations of a fit to an array."""
    return fitted(kind, np.asarray, maxiter=2, cov_type="none")


@every_class
@pytest.mark.parametrize("name", SAME)
@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
def test_the_same_numbers_have_the_same_fit(kind: str, name: str) -> None:
    """In any form, from the start values on."""
    if name == "pyarrow":
        pytest.importorskip("pyarrow")
    res, same = fitted(kind, SAME[name], maxiter=2, cov_type="none"), begun(kind)
    assert_allclose(res.llf, same.llf, rtol=1e-10)
    assert_allclose(np.asarray(res.params), np.asarray(same.params), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["LGSSM", "DynamicRegression", "CAPM"])
@pytest.mark.parametrize("name", SHIFTED)
def test_the_maximum_in_other_units(kind: str, name: str, plain: dict[str, Any]) -> None:
    build, sample = BUILD[kind]
    y = sample()
    changed = SHIFTED[name](y)
    size = changed[0] / y[0]
    res = build(changed).fit()
    flat = 0 if kind == "LGSSM" else 2
    assert res.converged
    assert_allclose(res.llf, plain[kind].llf - (N - flat) * np.log(size).sum(), rtol=1e-8, atol=1e-5)


def outcome(kind: str, data: Callable[[np.ndarray], Any]) -> str:
    """Fit; return what came of it, and check that it is one of the outcomes that there may be."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", sse.ConvergenceWarning)
        try:
            res = fitted(kind, data)
        except sse.StateSpaceError as error:
            return type(error).__name__
    assert res.converged or any(issubclass(each.category, sse.ConvergenceWarning) for each in caught)
    assert np.isfinite(res.llf) and np.all(np.isfinite(np.asarray(res.params)))
    assert np.all(np.isfinite(res.smoothed_state)) and np.all(np.isfinite(res.smoothed_state_cov))
    model, params = res.model, np.asarray(res.params)
    if res.converged and np.max(np.abs(np.asarray(model.endog)[np.isfinite(model.endog)])) < 1e3:
        system, flat = dense_form(model, params)
        found = dense_diffuse(model.endog, system, flat) if flat.any() else dense(model.endog, system)
        assert_allclose(res.llf, found.llf, rtol=1e-6, atol=1e-4)
    return "converged" if res.converged else "ConvergenceWarning"


REFUSED = {"one period", "empty", "objects", "booleans", "infinite", "constant"}
REFUSED |= {"all missing", "one series all missing"}
EXPECTED = {
    ("LGSSM", "three periods"): "DataError",
    ("LGSSM", "twice the same series"): "ConvergenceWarning",
    ("ATSM", "units of 1e-8"): "ConvergenceWarning",
    ("ATSM", "units of 1e8"): "DataError",
    ("ATSM", "outlier"): "ConvergenceWarning",
    ("ATSM", "integers"): "DataError",
}


LONG = {("ATSM", "units of 1e-8"), ("ATSM", "outlier")}
EDGES = [
    pytest.param(kind, name, marks=[pytest.mark.slow] if (kind, name) in LONG else [], id=f"{kind}, {name}")
    for kind in BUILD
    for name in ELSEWHERE
]


@pytest.mark.parametrize(("kind", "name"), EDGES)
def test_edge(kind: str, name: str) -> None:
    before = time.process_time()
    expected = EXPECTED.get((kind, name), "DataError" if name in REFUSED else "converged")
    assert outcome(kind, ELSEWHERE[name]) == expected
    assert time.process_time() - before < 20.0


# -- parameters at the edge --------------------------------------------------------------------------------


def refused(model: Any, params: np.ndarray, words: str) -> None:
    """Require the same named error of all that need the likelihood."""
    for call in (model.loglike, model.score, model.smooth, model.filter):
        with pytest.raises(sse.ParameterError, match=words):
            call(params)


def likelihoods(model: Any, params: np.ndarray) -> tuple[float, float]:
    """Return the log-likelihood of a model and that of the oracle."""
    system, flat = dense_form(model, params)
    return model.loglike(params), (
        dense_diffuse(model.endog, system, flat) if flat.any() else dense(model.endog, system)
    ).llf


@pytest.mark.parametrize("size", [1e-6, 1e-12, 0.0])
@pytest.mark.parametrize("which", ["obs_var.y1", "state_var.f1"])
def test_small_and_zero_variances(which: str, size: float) -> None:
    model = sse.LGSSM(BUILD["LGSSM"][1](), 2)
    params = np.array(model.start_params)
    params[model.param_names.index(which)] = size
    if which == "state_var.f1":
        params[model.param_names.index("state_cov.f1.f2")] = 0.0
    found, expected = likelihoods(model, params)
    assert_allclose(found, expected, rtol=1e-7)
    assert np.all(np.isfinite(model.score(params)))


@pytest.mark.parametrize("kind", ["DynamicRegression", "CAPM", "ATSM"])
@pytest.mark.parametrize("share", [1e-12, 0.0])
def test_small_and_zero_variances_of_other_classes(kind: str, share: float) -> None:
    """Each variance alone, and all of the states."""
    build, sample = BUILD[kind]
    model = build(sample())
    params = np.asarray(model.start_params)
    single = [[i] for i, name in enumerate(model.param_names) if "var" in name]
    states = [i for i, name in enumerate(model.param_names) if name.startswith("state_var")]
    for places in [*single, states]:
        moved = np.where(np.isin(np.arange(len(params)), places), share * params, params)
        found, expected = likelihoods(model, moved)
        assert_allclose(found, expected, rtol=1e-9)
        assert np.all(np.isfinite(model.score(moved)))


@pytest.mark.parametrize("kind", ["LGSSM", "ATSM"])
def test_series_without_noise_beyond_the_number_of_states_have_no_density(kind: str) -> None:
    """Three series that one factor moves: statsmodels returns the density of the first."""
    build, sample = BUILD[kind]
    model = build(sample())
    noise = [i for i, name in enumerate(model.param_names) if name.startswith("obs_var")]
    params = np.array(model.start_params)
    params[noise[1:]] = 0.0
    refused(model, params, "without noise")
    params[noise[1]] = 1.0
    found, expected = likelihoods(model, params)
    assert_allclose(found, expected, rtol=1e-8)


def test_series_without_noise_that_are_never_seen_together_have_a_density() -> None:
    y = BUILD["LGSSM"][1]()
    y[::2, 1], y[1::2, 2] = np.nan, np.nan
    model = lgssm(y)
    params = np.array(model.start_params)
    params[[model.param_names.index(f"obs_var.y{i}") for i in (2, 3)]] = 0.0
    found, expected = likelihoods(model, params)
    assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("start", "noise", "period"), [(0.0, 1.0, 1), (1.0, 0.0, 2), (0.0, 0.0, 1), (1.0, 1.0, 0)]
)
def test_a_series_without_noise_needs_an_uncertain_state(start: float, noise: float, period: int) -> None:
    """Its state known at the start, or from the first period on: statsmodels leaves it out."""
    model = sse.LGSSM(
        np.random.default_rng(0).standard_normal((20, 2)),
        2,
        design=[[1.0, 0.0], [0.5, 1.0]],
        transition=[[0.5, 0.0], [0.0, 0.5]],
        obs_cov=[[0.0, 0.0], [0.0, "r"]],
        state_cov=[[noise, 0.0], [0.0, 1.0]],
        initialization="known",
        initial_state=[0.0, 0.0],
        initial_state_cov=[[start, 0.0], [0.0, 1.0]],
    )
    params = np.ones(len(model.param_names))
    if not period:
        found, expected = likelihoods(model, params)
        assert_allclose(found, expected, rtol=1e-9)
        return
    for call in (model.loglike, model.score):
        with pytest.raises(sse.ParameterError, match=f"known before they are observed.*period {period}"):
            call(params)


@pytest.mark.parametrize("root", [0.999, 1.0 - 1e-6, -1.0 + 1e-6, 1.0, -1.0, 1.02])
def test_autoregressive_coefficients_near_one(root: float) -> None:
    model = regression(returns(), dynamics={"MKT": "ar1"})
    params = np.array(model.start_params)
    params[[i for i, name in enumerate(model.param_names) if name.startswith("ar1")]] = root
    if abs(root) < 1.0:
        found, expected = likelihoods(model, params)
        assert_allclose(found, expected, rtol=1e-8)
        return
    refused(model, params, "unit circle")


@pytest.mark.parametrize("start", ["stationary", "estimated"])
@pytest.mark.parametrize("speed", [1e-6, 1e3, 0.0, -0.1])
def test_mean_reversion_at_the_edge(start: str, speed: float) -> None:
    """So slow that the process hardly reverts, within a day, not at all, explosive."""
    model = atsm(BUILD["ATSM"][1](), initialization=start)
    params = np.array(model.start_params)
    params[model.param_names.index("K_P.P1.P1")] = speed
    if speed > 0.0 or start == "estimated":
        found, expected = likelihoods(model, params)
        assert_allclose(found, expected, rtol=1e-8)
        return
    refused(model, params, "stationary")


@pytest.mark.parametrize("root", [0.999, 1.0 - 1e-6, -1.0 + 1e-6, 0.0])
def test_roots_near_one(root: float) -> None:
    model = lgssm(BUILD["LGSSM"][1]())
    params = np.array(model.start_params)
    params[model.param_names.index("L1.f1->f1")] = root
    found, expected = likelihoods(model, params)
    assert_allclose(found, expected, rtol=1e-6)
    assert np.all(np.isfinite(model.score(params)))


@pytest.mark.parametrize("root", [1.0, -1.0, 1.02, 3.0])
def test_roots_outside_the_unit_circle_have_no_stationary_start(root: float) -> None:
    model = lgssm(BUILD["LGSSM"][1]())
    params = np.array(model.start_params)
    params[model.param_names.index("L1.f1->f1")] = root
    refused(model, params, "stationary|unit circle")


@pytest.mark.parametrize("root", [1.0, 1.05, -1.1])
def test_explosive_roots_from_a_known_start(root: float) -> None:
    known = {"initialization": "known", "initial_state": [0.0], "initial_state_cov": [[1.0]]}
    model = lgssm(BUILD["LGSSM"][1](), **known)
    params = np.array(model.start_params)
    params[model.param_names.index("L1.f1->f1")] = root
    found, expected = likelihoods(model, params)
    assert_allclose(found, expected, rtol=1e-7)


def test_more_series_than_periods() -> None:
    y = np.random.default_rng(0).standard_normal((8, 20)) + np.arange(8)[:, None]
    with pytest.raises(sse.DataError, match=r"too few|singular|dependent"):
        sse.LGSSM(y, 1, obs_cov="unstructured").fit()
    model = lgssm(y)
    found, expected = likelihoods(model, model.start_params)
    assert_allclose(found, expected, rtol=1e-8)
    assert capm(y).fit().converged


def test_as_many_factors_as_series() -> None:
    model = sse.LGSSM(BUILD["LGSSM"][1](), 3, identification="unit")
    res = model.fit()
    found, expected = likelihoods(model, np.asarray(res.params))
    assert res.converged
    assert_allclose([res.llf, found], expected, rtol=1e-8)


def test_the_same_regressor_twice() -> None:
    x = np.column_stack([np.arange(N), np.arange(N)]).astype(float)
    with pytest.raises(sse.DataError, match="collinear"):
        sse.DynamicRegression(returns(), x).fit()
