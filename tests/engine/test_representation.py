"""The representation that results own, and what fits and readers leave in the model."""

from __future__ import annotations

import copy
import pickle
from contextlib import suppress
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from walk import bytes_of
from walk_subjects import INDEX, SUBJECTS, MixedSARIMAX, N
from walk_verdicts import GROUPS

import statespace_ext as sse
from statespace_ext.engine.representation import preserved
from statespace_ext.engine.system import MATRICES
from statespace_ext.exceptions import StateSpaceError

OURS = [name for name, subject in SUBJECTS.items() if hasattr(subject.model(), "layout")]
FITTED = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("options", [{}, {"low_memory": True}, {"return_params": True}])
@pytest.mark.parametrize("name", OURS)
@FITTED
def test_a_fit_leaves_the_model_at_its_estimates(name: str, options: dict[str, Any]) -> None:
    subject = SUBJECTS[name]
    model, fresh = subject.model(), subject.model()
    found = model.fit(**dict(subject.fit), **options)
    fresh.update(np.asarray(getattr(found, "params", found)))
    for key in MATRICES:
        assert_array_equal(model.ssm[key], fresh.ssm[key])
        if not options.get("return_params"):
            assert_array_equal(found.filter_results.model[key], fresh.ssm[key])


@pytest.mark.parametrize("name", OURS)
@FITTED
def test_further_fits_and_inference_leave_the_model_as_it_was(name: str) -> None:
    subject = SUBJECTS[name]
    res = subject.model().smooth(subject.params)
    res.model.update(subject.other)
    before = bytes_of(res.model)
    if name in ("LGSSM with regressors", "CAPM", "SmoothTrends"):
        res.bootstrap(2, rng=0)
        res.rolling(N - 1, fit_options={"maxiter": 1})
    sse.exact_score(res.model, subject.params)
    sse.filter_report(res.model, subject.params)
    res.cov_params_of("harvey")
    assert res.model.matrices(subject.params).keys() and bytes_of(res.model) == before


FITS = "attach bootstrap estimate fit preserved profile rolling rolling_evaluation".split()
FITS += ["test_alpha", "test_constancy"]  # of simulated samples, by hundreds


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.slow] * (each != "CAPM")) for each in OURS]
)
@FITTED
def test_names_of_our_own_leave_the_model_as_it_was(name: str) -> None:
    """All public names of models and results beside those of statsmodels, which the walk calls."""
    subject = SUBJECTS[name]
    res = subject.model().smooth(subject.params)
    model, called = res.model, 0
    model.update(subject.other)
    before = bytes_of(model)
    for owner, known in ((res, GROUPS["results"]), (model, GROUPS["model"])):
        for attribute in dir(owner):
            if attribute.startswith("_") or attribute in known or attribute in FITS:
                continue
            with suppress(TypeError, StateSpaceError):  # the model has no such thing
                value = getattr(owner, attribute)
                for args in ((), (subject.params,)) if callable(value) else ():
                    with suppress(Exception):  # arguments of other kinds: only the model matters here
                        value(*args)
            called += 1
            assert bytes_of(model) == before, attribute
    plt.close("all")
    assert called > 30


@pytest.mark.parametrize("name", SUBJECTS)
def test_data_are_shared_and_matrices_are_not_those_of_the_model(name: str) -> None:
    subject = SUBJECTS[name]
    res = subject.model().smooth(subject.params, cov_type="none")
    own = res.smoother_results.model
    assert own is res.filter_results.model and own is not res.model.ssm
    assert own.endog is res.model.ssm.endog
    for key in MATRICES:
        assert getattr(own, key) is getattr(res.smoother_results, key)
        assert not np.shares_memory(getattr(own, key), getattr(res.model.ssm, key))


def test_a_concentrated_scale() -> None:
    """Results hold covariances multiplied by the scale; their representation those of the pass."""
    y = SUBJECTS["MixedSARIMAX"].y
    ours, plain = (
        kind(y, order=(1, 0, 1), concentrate_scale=True).smooth([0.5, 0.2])
        for kind in (MixedSARIMAX, sm.tsa.SARIMAX)
    )
    expected = [*plain.smoother_results.get_smoothed_decomposition(), plain.forecast(3), plain.llf]
    ours.model.smooth([-0.3, 0.1])
    given = [*ours.smoother_results.get_smoothed_decomposition(), ours.forecast(3), ours.llf]
    for one, two in zip(given, expected, strict=True):
        assert_allclose(one, two, rtol=1e-10, atol=1e-12)
    assert_allclose(ours.filter_results.model["state_cov"], plain.model.ssm["state_cov"], rtol=1e-12)


@pytest.mark.parametrize("way", [lambda res: res, copy.deepcopy, lambda res: pickle.loads(pickle.dumps(res))])
def test_a_guarded_filter_stays_with_the_model(way: Any) -> None:
    subject = SUBJECTS["LGSSM"]
    expected = subject.model().smooth(subject.params)
    model = subject.model()
    model.ssm.filter_collapsed = True
    sse.use_fastest_filter(model, subject.params)
    res = way(model.smooth(subject.params))
    own = res.filter_results.model
    assert not any(getattr(value, "__self__", own) is model.ssm for value in vars(own).values())
    assert_allclose(res.forecast(3), expected.forecast(3), rtol=1e-10)


def test_a_start_set_on_the_model_is_that_of_its_results_alone() -> None:
    """A result keeps the start of its pass: forecasts and standard errors do not follow the model."""
    subject = SUBJECTS["LGSSM"]
    k = subject.model().k_states

    def started(mean: float) -> Any:
        model = subject.model()
        model.initialize_known(np.full(k, mean), np.eye(k))
        return model.smooth(subject.params)

    res, expected = started(3.0), started(3.0)
    res.model.initialize_known(np.zeros(k), 1e4 * np.eye(k))
    other = res.model.smooth(subject.params)
    assert not np.isclose(other.llf, res.llf)
    assert_array_equal(res.filter_results.model.initialization.constant, np.full(k, 3.0))
    errors, right, wrong = (np.diag(each.cov_params_of("opg")) for each in (res, expected, other))
    assert_allclose(errors, right, rtol=1e-8)
    assert not np.allclose(wrong, right, equal_nan=True)
    assert_allclose(
        res.get_prediction(end=N + 1).predicted_mean, expected.get_prediction(end=N + 1).predicted_mean
    )


def test_in_place_changes_are_put_back() -> None:
    """`update` of statsmodels' own models writes into arrays, of the model and of its representation."""
    model = SUBJECTS["MixedSARIMAX"].model()
    model.update(SUBJECTS["MixedSARIMAX"].params)
    before, attributes = bytes_of(model), {key: np.array(v) for key, v in vars(model).items() if np.ndim(v)}
    with preserved(model):
        model.update(SUBJECTS["MixedSARIMAX"].other)
        model.ssm.filter_univariate = True
        model.extra = 1
        assert bytes_of(model) != before
    assert bytes_of(model) == before and not hasattr(model, "extra")
    for key, value in attributes.items():
        assert_array_equal(np.asarray(getattr(model, key)), value)


@FITTED
def test_the_model_of_the_documentation_goes_on() -> None:
    """It takes no regressors: `clone` passes none."""
    subject = SUBJECTS["SmoothTrends"]
    y, res = subject.y, subject.model().smooth(subject.params)
    assert_allclose(res.append(y.iloc[N:]).llf, subject.model(periods=len(INDEX)).loglike(subject.params))
    assert_allclose(res.llf + res.extend(y.iloc[N:]).llf, res.apply(y).llf)
    assert res.model.clone(y).nobs == len(INDEX)
    assert np.isfinite(res.rolling(N - 1).params.to_numpy()).all()
    assert np.isfinite(res.bootstrap(2, rng=0).params.to_numpy()).all()


def test_removed_data_are_named() -> None:
    subject = SUBJECTS["CAPM"]
    res = subject.model().smooth(subject.params)
    model, errors, llf = res.model, res.bse.to_numpy(), res.llf
    before = bytes_of(model)
    res.remove_data()
    assert_array_equal(res.bse, errors)
    assert res.llf == llf and not hasattr(res, "smoothed_state") and bytes_of(model) == before
    for call in (lambda: res.forecast(1), lambda: res.smoothed_state, lambda: res.model.loglike(res.params)):
        with pytest.raises(sse.DataError, match="`remove_data` removed"):
            call()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = model.nonsense
