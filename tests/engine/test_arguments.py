"""Arguments of results that statsmodels cannot use: an error of this package, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_data import BUILD, MARKET, regression, returns
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse
from statespace_ext.engine.arguments import arguments_of

PLACES: list[Any] = [
    1.5,
    "",
    "nonsense",
    [],
    [[]],
    {},
    np.eye(2),
    object(),
    1j,
    b"x",
    pd.Series([1.0]),
    print,
]
METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "predict, start": lambda res, v: res.predict(start=v),
    "predict, end": lambda res, v: res.predict(end=v),
    "predict, dynamic": lambda res, v: res.predict(0, 5, dynamic=v),
    "get_prediction, end": lambda res, v: res.get_prediction(0, v),
    "forecast, steps": lambda res, v: res.forecast(v),
    "get_forecast, steps": lambda res, v: res.get_forecast(v),
    "simulate, nsimulations": lambda res, v: res.simulate(v),
    "simulate, anchor": lambda res, v: res.simulate(3, anchor=v),
    "impulse_responses, steps": lambda res, v: res.impulse_responses(v),
}


@pytest.fixture(scope="module", params=BUILD)
def res(request: pytest.FixtureRequest) -> Any:
    build, sample = BUILD[request.param]
    model = build(sample())
    return model.smooth(model.start_params)


@pytest.mark.parametrize("name", METHODS)
def test_an_error_of_the_package(res: Any, name: str) -> None:
    before = {key: res.model.ssm[key].copy() for key in ("transition", "obs_cov")}
    for value in PLACES:
        with pytest.raises(sse.StateSpaceError):
            METHODS[name](res, value)
            pytest.fail(f"{name}={value!r} was answered")
    for key, matrix in before.items():
        assert_array_equal(res.model.ssm[key], matrix)


def test_a_forecast_of_a_negative_number_of_steps_is_refused_in_the_words_of_statsmodels(res: Any) -> None:
    with pytest.raises(sse.SpecificationError, match="Prediction must have `end` after `start`"):
        res.forecast(-1)


def test_an_unknown_keyword_is_a_type_error(res: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        res.predict(0, 3, zzz=1)
    with pytest.raises(TypeError, match="unexpected keyword argument"), arguments_of("f"):
        (lambda: None)(zzz=1)  # type: ignore[call-arg]


def test_the_seed_of_simulate_under_its_name_before_statsmodels_0_15(res: Any) -> None:
    """statsmodels 0.15.0 itself refuses ``random_state`` here: it says that rng is given too."""
    wanted = res.simulate(4, anchor="start", rng=5)
    assert_allclose(res.simulate(4, anchor="start", random_state=5), wanted, rtol=1e-14)
    with pytest.raises(sse.SpecificationError, match="rng and random_state are both given"):
        res.simulate(4, anchor="start", rng=5, random_state=5)


def test_derivatives_by_period_without_options(res: Any) -> None:
    """statsmodels takes complex steps by default, which these models refuse."""
    model, at = res.model, res.params
    for name in ("score_obs", "observed_information_matrix", "opg_information_matrix"):
        with pytest.raises(sse.UnsupportedError, match="Complex-step derivatives are not supported"):
            getattr(model, name)(at, approx_complex_step=True)
    score, by_period = model.score(at), model.score_obs(at)
    unit = np.sqrt(np.sum(by_period**2, axis=0))
    assert_allclose(by_period.sum(axis=0) / unit, score / unit, atol=1e-5)
    assert_allclose(model.opg_information_matrix(at), by_period.T @ by_period / model.nobs, rtol=1e-10)
    assert np.all(np.isfinite(model.observed_information_matrix(at)))


@pytest.mark.parametrize("obs_cov", ["diagonal", "unstructured", "equicorrelated"])
def test_derivatives_by_period_with_an_approximate_diffuse_start(obs_cov: str) -> None:
    """The steps of statsmodels leave four digits here."""
    y = np.random.default_rng(5).standard_normal((24, 3)).cumsum(axis=0)
    model = sse.LGSSM(
        y, 2, initialization="approximate_diffuse", obs_cov=obs_cov, identification="triangular"
    )
    at = np.asarray(model.start_params)
    by_period = model.score_obs(at)
    assert_allclose(by_period.sum(axis=0), model.score(at), atol=1e-6 * np.abs(by_period).max())


def test_derivatives_with_fixed_parameters() -> None:
    y = pd.DataFrame(returns(), columns=["a", "b", "c"])
    model = regression(y)
    at, name = model.start_params, model.param_names[-1]
    everything = model.score(at), model.score_obs(at), model.hessian(at), model.opg_information_matrix(at)
    with model.fix_params({name: at[-1]}):
        for given, options in ((at[:-1], {}), (at, {"includes_fixed": True})):
            keep = slice(len(given))
            assert_allclose(model.score(given, **options), everything[0][keep], rtol=1e-9)
            assert_allclose(model.score_obs(given, **options), everything[1][:, keep], rtol=1e-9)
            assert_allclose(model.hessian(given, **options), everything[2][keep, keep], rtol=1e-6)
            assert_allclose(
                model.opg_information_matrix(given, **options), everything[3][keep, keep], rtol=1e-9
            )
        assert_allclose(model.score(at, True, True), everything[0], rtol=1e-9)


def test_predictions_of_a_series_by_name(res: Any) -> None:
    found, names = res.get_prediction(2, 6), np.atleast_1d(res.model.endog_names)
    for place, name in enumerate(names):
        pd.testing.assert_frame_equal(found.summary_frame(endog=str(name)), found.summary_frame(endog=place))
    for wrong in ("nonsense", len(names), -1, 0.5, None, True):
        with pytest.raises(sse.SpecificationError, match="endog are unknown|endog must be the name"):
            found.summary_frame(endog=wrong)


def test_intervals_of_predictions(res: Any) -> None:
    """In statsmodels, `conf_int(0.1)` has coverage 95 %: the first argument is the method."""
    found = res.get_prediction(2, 6)
    mean, se = np.asarray(found.predicted_mean), np.asarray(found.se_mean)
    wanted = np.column_stack([mean - 1.6448536269514722 * se, mean + 1.6448536269514722 * se])
    assert_allclose(found.conf_int(alpha=0.1), wanted, rtol=1e-9)
    with pytest.raises(sse.SpecificationError, match="method is not known"):
        found.conf_int(0.1)
    for alpha in (0.0, 1.2, np.nan):
        with pytest.raises(sse.SpecificationError, match="alpha must be between 0 and 1"):
            found.conf_int(alpha=alpha)
        with pytest.raises(sse.SpecificationError, match="alpha must be between 0 and 1"):
            found.summary_frame(alpha=alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.5, -1.0, np.nan])
def test_intervals_of_no_coverage(res: Any, alpha: float) -> None:
    """statsmodels returns intervals that end before they begin, or NaN."""
    with pytest.raises(sse.SpecificationError, match="alpha"):
        res.conf_int(alpha)


def test_labelled_intervals_and_responses_are_as_before() -> None:
    y = pd.DataFrame(returns(), columns=["a", "b", "c"])
    res = regression(y).fit(maxiter=60)
    assert list(res.conf_int(0.1).index) == list(res.params.index)
    assert_allclose(res.conf_int(0.32).mean(axis=1), res.params.where(res.bse.notna()))
    assert list(res.impulse_responses(2).columns) == ["a", "b", "c"]


def test_regressors_of_another_number_do_not_extend_a_sample() -> None:
    model = regression(returns())
    res = model.smooth(model.start_params)
    new = np.column_stack([MARKET[:3], np.ones(3)])
    assert np.isfinite(res.extend(returns()[:3], exog=new).llf)
    with pytest.raises(sse.DataError, match="exog"):
        res.extend(returns()[:3], exog=np.ones((3, 3)))


def test_what_a_fit_did_not_keep_or_does_not_take() -> None:
    y = pd.DataFrame(np.cos(np.arange(60.0)).reshape(30, 2), columns=["a", "b"])
    model = sse.LGSSM(y, 1)
    with pytest.warns(sse.ConvergenceWarning):
        lean = model.fit(method="em", maxiter=1, cov_type="none", low_memory=True)
    with pytest.raises(sse.SpecificationError, match="states were not smoothed.*low_memory"):
        _ = lean.factors
    with pytest.raises(sse.SpecificationError, match="lags must be smaller.*got 30; expected fewer than 30"):
        model.smooth(model.start_params).test_serial_correlation(lags=30)
    with pytest.raises(sse.SpecificationError, match="Covariance options"):
        model.fit(cov_kwds={"approx_centered": True})


def test_formulas_without_their_parts() -> None:
    data = pd.DataFrame({"a": np.arange(9.0), "x": np.cos(np.arange(9.0))})
    with pytest.raises(sse.DataError, match="needs its data in a DataFrame: got dict"):
        sse.DynamicRegression.from_formula("a ~ x", dict(data))
    for formula in ("~ x", "1 ~ x", "x"):
        with pytest.raises(sse.SpecificationError, match="no series on the left"):
            sse.DynamicRegression.from_formula(formula, data)
    twice = {"const": "random_walk", "Intercept": "static"}
    with pytest.raises(sse.SpecificationError, match="dynamics names the constant twice"):
        sse.DynamicRegression.from_formula("a ~ x", data, dynamics=twice)


def test_start_values_with_those_of_fixed_parameters() -> None:
    """By name, they may be of all parameters."""
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((60, 2)), columns=["a", "b"])
    model = sse.LGSSM(y, 1)
    start = pd.Series(model.start_params, model.param_names)
    with model.fix_params({"loading.f1->a": 0.3}):
        given = [start, start.to_dict(), start.drop("loading.f1->a"), start.drop("loading.f1->a").to_numpy()]
        found = [model.fit(each, maxiter=3, method="em", return_params=True) for each in given]
    assert_allclose(found[1:], [found[0]] * 3)


def test_regressors_that_the_model_does_not_have() -> None:
    model = sse.LGSSM(np.cos(np.arange(60.0)).reshape(30, 2), 1)
    res = model.smooth(model.start_params)
    for name in ("exog", "state_exog"):
        for call in (res.get_prediction, lambda **options: res.simulate(3, **options)):
            with pytest.raises(sse.DataError, match=f"The model has no {name}"):
                call(**{name: np.ones(3)})
