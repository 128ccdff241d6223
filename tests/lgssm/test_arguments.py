"""Bad parameters, start values and options of LGSSM: which error, with which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from refusals import INF, NAN, model, refused

import statespace_ext as sse
from statespace_ext import EstimationError, ParameterError, SpecificationError, UnsupportedError

# -- parameter vectors ---------------------------------------------------------------------------------------

TAKES_PARAMS: dict[str, Callable[[sse.LGSSM, Any], object]] = {
    name: lambda m, v, name=name: getattr(m, name)(v)
    for name in (
        *("loglike", "loglikeobs", "score", "score_obs", "hessian", "update", "smooth", "filter"),
        *("impulse_responses", "system", "matrices", "identification", "transform_params", "fit"),
        *("untransform_params", "observed_information_matrix", "opg_information_matrix"),
    )
} | {"simulate": lambda m, v: m.simulate(v, 5)}
takes_params = pytest.mark.parametrize("call", TAKES_PARAMS.values(), ids=TAKES_PARAMS.keys())


@takes_params
@pytest.mark.parametrize("size", [0, 1, 9, 11, 40])
def test_length_of_a_parameter_vector(call: Callable, size: int) -> None:
    with pytest.raises(ParameterError, match=rf"wrong shape: got \({size},\); expected \(10,\): loading"):
        call(model(), np.full(size, 0.3))


@takes_params
def test_values_of_a_parameter_vector(call: Callable) -> None:
    built = model()
    for value in (NAN, INF):
        params = np.array(built.start_params)
        params[7] = value
        with pytest.raises(ParameterError, match="not finite: got obs_var.y1"):
            call(built, params)


def test_length_with_fixed_parameters() -> None:
    built = model()
    with built.fix_params({"obs_var.y1": 0.5}):
        for size in (8, 11):
            refused(lambda size=size: built.loglike(np.ones(size)), ParameterError, "wrong shape")
        refused(
            lambda: built.loglike(np.ones(10)), ParameterError, "wrong length: got 10.*includes_fixed=True"
        )
        refused(lambda: built.loglike(np.ones(9), includes_fixed=True), ParameterError, "wrong shape")


@pytest.mark.parametrize("call", [TAKES_PARAMS[name] for name in ("loglike", "score", "smooth", "simulate")])
def test_no_stationary_start(call: Callable) -> None:
    built = model()
    for root in (1.0, -1.0, 1.5):
        params = np.array(built.start_params)
        params[built.param_names.index("L1.f1->f1")] = root
        refused(lambda params=params: call(built, params), ParameterError, "not stationary.*largest root 1")


STARTS: dict[str, tuple[object, str]] = {
    "text": ("abc", "must be real numbers: got 'abc'"),
    "numbers as text": (["0.1"] * 10, "must be real numbers"),
    "an object": (object(), "must be real numbers"),
    "complex": (np.full(10, 1j), "must be real numbers"),
    "scalar": (3.0, "wrong shape"),
    "a matrix": (np.zeros((10, 1)), r"wrong shape: got \(10, 1\)"),
    "unknown name": ({"foo": 1.0}, "names do not match: got unknown: foo, missing: loading"),
    "unknown name in a Series": (pd.Series({"foo": 1.0}), "unknown: foo"),
    "no names": ({}, "unknown: none, missing: loading"),
    "unknown matrix": ({"design": np.ones((3, 1)), "foo": 1}, r"Unknown matrices: got \['foo'\]"),
    "matrix of the wrong shape": ({"design": np.ones((1, 3))}, "design has the wrong shape"),
    "matrix over time": ({"obs_cov": np.eye(3)[:, :, None]}, "obs_cov has the wrong shape"),
    "matrix of text": ({"design": "x"}, "design must be real numbers|design has the wrong"),
    "matrix of NaN": ({"design": np.full((3, 1), NAN)}, "design has start values that are not finite"),
}


@pytest.mark.parametrize(("start", "words"), STARTS.values(), ids=STARTS.keys())
def test_start_params(start: object, words: str) -> None:
    refused(lambda: model().fit(start), ParameterError, words)


NOWHERE: dict[str, tuple[object, str]] = {
    "negative variance": (
        {"obs_cov": np.diag([-1.0, 1.0, 1.0])},
        "obs_cov that is not positive semidefinite",
    ),
    "indefinite": (
        {"obs_cov": np.full((3, 3), 0.9) - np.eye(3)},
        "obs_cov that is not positive semidefinite",
    ),
    "unstable": ({"transition": [[1.5]]}, "transition is not stationary"),
    "nothing": (np.zeros(10), "neither noise nor loadings"),
    "overflow": (np.full(10, 1e300), "transition is not stationary"),
}


@pytest.mark.parametrize("method", ["auto", "em", "lbfgs", "newton", "nm"])
@pytest.mark.parametrize(("start", "words"), NOWHERE.values(), ids=NOWHERE.keys())
def test_start_values_without_a_likelihood(start: object, words: str, method: str) -> None:
    message = refused(lambda: model().fit(start, method=method), EstimationError, words)
    assert "start_params" in message


def test_complex_steps_are_refused() -> None:
    built = model()
    with pytest.raises(UnsupportedError, match="Complex-step.*score"):
        built.update(built.start_params + 1e-20j, complex_step=True)


# -- options of fit ------------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "method": (
        {"method": "simplex"},
        "method is unknown: got 'simplex'; expected one of 'auto', 'em', 'accelerated-em', 'newton'",
    ),
    "method None": ({"method": None}, "method is unknown: got None"),
    "method in a list": ({"method": ["em"]}, "method is unknown"),
    "cov_type": ({"cov_type": "white"}, "cov_type is unknown: got 'white'; expected one of"),
    "cov_type number": ({"cov_type": 3}, "cov_type is unknown: got 3"),
    "cov_kwds": ({"cov_kwds": {"maxlags": 3}}, "cov_kwds.* are not supported: got {'maxlags': 3}"),
    "maxiter negative": ({"maxiter": -1}, "maxiter must be a whole number: got -1; expected 0 or more"),
    "maxiter fraction": ({"maxiter": 1.5}, "maxiter"),
    "maxiter text": ({"maxiter": "x"}, "maxiter must be a whole number: got 'x'"),
    "maxiter bool": ({"maxiter": True}, "maxiter"),
    "maxiter NaN": ({"maxiter": NAN}, "maxiter"),
    "maxiter infinite": ({"maxiter": INF}, "maxiter"),
    "tolerance one": ({"tolerance": 1}, "tolerance is out of range: got 1; expected 0 <= tolerance < 1"),
    "tolerance negative": ({"tolerance": -1e-3}, "tolerance"),
    "tolerance text": ({"tolerance": "x"}, "tolerance"),
    "tolerance None": ({"tolerance": None}, "tolerance"),
    "tolerance NaN": ({"tolerance": NAN}, "tolerance"),
    "n_starts zero": ({"n_starts": 0}, "n_starts must be a whole number: got 0; expected 1 or more"),
    "n_starts fraction": ({"n_starts": 1.5}, "n_starts"),
    "n_starts text": ({"n_starts": "x"}, "n_starts"),
    "n_starts None": ({"n_starts": None}, "n_starts"),
    "n_starts bool": ({"n_starts": True}, "n_starts"),
    "rng text": ({"rng": "x"}, "rng cannot be used: got 'x'; expected a numpy.random.Generator, a seed"),
    "rng negative": ({"rng": -1}, "rng cannot be used"),
    "rng fraction": ({"rng": 1.5}, "rng cannot be used"),
    "rng RandomState": ({"rng": np.random.RandomState(0)}, "rng cannot be used"),
    "callback": ({"callback": 3}, "callback must be callable: got 3"),
    "unknown option": (
        {"foo": 3},
        'method="auto" does not accept these options: got foo; expected options among',
    ),
    "unknown option of lbfgs": ({"foo": 3, "method": "lbfgs"}, "got foo; expected options among maxcor"),
    "option of another method": ({"xatol": 1e-3, "method": "bfgs"}, "got xatol"),
    "option of EM": ({"gtol": 1e-3, "method": "em"}, 'method="em" does not accept these options: got gtol'),
    "option of statsmodels": ({"optim_score": "approx"}, "does not accept these options: got optim_score"),
    "value of an option": ({"gtol": "x"}, "gtol must be a number"),
    "negative option": ({"maxfun": -3}, "maxfun must be a number of at least 0"),
}


@pytest.mark.parametrize(("options", "words"), OPTIONS.values(), ids=OPTIONS.keys())
def test_options_of_fit(options: dict[str, Any], words: str) -> None:
    refused(lambda: model().fit(**options), SpecificationError, words)


def test_options_are_checked_before_any_work() -> None:
    called: list[object] = []
    for options in ({"cov_type": "white"}, {"n_starts": 0}, {"foo": 1}):
        with pytest.raises(SpecificationError):
            model().fit(callback=called.append, **options)
    assert called == []


FIXED: dict[str, tuple[object, type[Exception], str]] = {
    "unknown": ({"foo": 1.0}, ParameterError, "Unknown parameter: got foo; expected names among loading"),
    "no names": (3, ParameterError, "must be given by name: got 3; expected a dict"),
    "text": ({"obs_var.y1": "x"}, ParameterError, "Values of obs_var.y1 must be real numbers"),
    "NaN": ({"obs_var.y1": NAN}, ParameterError, "value of obs_var.y1 is not a finite number: got nan"),
    "infinite": ({"obs_var.y1": INF}, ParameterError, "not a finite number"),
    "array": ({"obs_var.y1": np.ones(2)}, ParameterError, "not a finite number"),
    "negative variance": ({"obs_var.y1": -1.0}, SpecificationError, "obs_cov has a negative variance"),
    "unit root": ({"L1.f1->f1": 1.0}, SpecificationError, "transition is not stationary"),
    "explosive": ({"L1.f1->f1": -2.0}, SpecificationError, "largest root 2"),
}


@pytest.mark.parametrize(("values", "error", "words"), FIXED.values(), ids=FIXED.keys())
def test_fixed_parameters(values: Any, error: type[Exception], words: str) -> None:
    built = model()

    def fix() -> None:
        with built.fix_params(values):
            pass

    refused(fix, error, words)
    assert not built._has_fixed_params and np.isfinite(built.loglike(built.start_params))
    if hasattr(values, "items"):
        refused(lambda: built.fit_constrained(values), error, words)
