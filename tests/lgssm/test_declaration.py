"""Bad specifications of LGSSM: which error, with which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from refusals import FRAME, INF, NAN, N, X, Y, refused

import statespace_ext as sse
from statespace_ext import SpecificationError

# -- k_factors, lags, matrices -------------------------------------------------------------------------------

NO_COUNT = {"zero": 0, "negative": -1, "float": 1.0, "bool": True, "text": "1", "None": None, "NaN": NAN}


@pytest.mark.parametrize("value", NO_COUNT.values(), ids=NO_COUNT.keys())
@pytest.mark.parametrize("name", ["k_factors", "lags"])
def test_counts(name: str, value: object) -> None:
    counts: dict[str, Any] = {"k_factors": 1, "lags": 1, name: value}
    refused(lambda: sse.LGSSM(Y, **counts), SpecificationError, f"{name} must be a positive integer: got ")


def test_unknown_argument() -> None:
    with pytest.raises(TypeError, match="initialisation"):
        sse.LGSSM(Y, 1, initialisation="diffuse")
    with pytest.raises(TypeError, match="missing"):
        sse.LGSSM(Y, 1, missing="drop")


KNOWN = {"initialization": "known", "initial_state": [0.0], "initial_state_cov": [[1.0]]}
SPECIFICATIONS: dict[str, tuple[dict[str, object], str]] = {
    # shapes
    "design, too few rows": ({"design": np.ones((2, 1))}, r"design.*shape: got \(2, 1\); expected \(3, 1\)"),
    "design, transposed": ({"design": np.ones((1, 3))}, "design has the wrong shape"),
    "design, other periods": ({"design": np.ones((3, 1, 7))}, r"or \(3, 1, 60\) with a last axis over time"),
    "design, scalar": ({"design": 3.0}, "design has the wrong shape"),
    "design, None": ({"design": None}, "design has the wrong shape"),
    "design, ragged": ({"design": [["a"], ["b"], ["c", "d"]]}, "design has rows of different lengths"),
    "design, arrays": (
        {"lags": 2, "design": [np.ones((1, 2)), np.ones((1, 3)), np.ones((1, 2))]},
        "design has rows of different lengths",
    ),
    "design, dict": ({"design": {"a": 1}}, "design has the wrong shape"),
    "design, not square": ({"design": "identity"}, "identity.*square"),
    "obs_intercept": ({"obs_intercept": np.ones(2)}, "obs_intercept has the wrong shape"),
    "obs_intercept, other periods": (
        {"obs_intercept": np.ones((3, 59))},
        "obs_intercept has the wrong shape",
    ),
    "state_intercept": ({"state_intercept": np.ones(2)}, "state_intercept has the wrong shape"),
    "state_mean": ({"state_mean": np.ones(3)}, "state_mean has the wrong shape"),
    "transition": ({"transition": np.ones((2, 2))}, "transition has the wrong shape"),
    "transition, too many lags": ({"transition": [0.5, 0.2]}, "transition has the wrong shape"),
    "transition, ragged": (
        {"transition": [np.ones((2, 2)), np.ones((2, 3))], "lags": 2},
        "different lengths",
    ),
    "obs_cov": ({"obs_cov": np.eye(2)}, "obs_cov has the wrong shape"),
    "obs_cov, a vector": ({"obs_cov": np.ones(3)}, "obs_cov has the wrong shape"),
    "state_cov": ({"state_cov": np.eye(2)}, "state_cov has the wrong shape"),
    "initial_state": ({**KNOWN, "initial_state": [0.0, 1.0]}, "initial_state has the wrong shape"),
    "initial_state_cov": ({**KNOWN, "initial_state_cov": np.eye(2)}, "initial_state_cov has the wrong shape"),
    "obs_coef": ({"exog": X, "obs_coef": np.ones((2, 3))}, r"obs_coef.*got \(2, 3\); expected \(3, 2\)"),
    "state_coef": ({"state_exog": X, "state_coef": np.ones((2, 1))}, "state_coef has the wrong shape"),
    # values
    "infinite": ({"design": [[INF], [1.0], [1.0]]}, r"design\[0\]\[0\] is infinite"),
    "infinite text": ({"design": [["inf"], ["a"], [1]]}, r"design\[0\]\[0\] is infinite"),
    "overflowing text": ({"design": [["1e400"], ["a"], [1]]}, "infinite: got 1e400"),
    "complex": ({"design": np.ones((3, 1), complex)}, "wrong type: got complex128"),
    "None inside": ({"design": [[None], ["a"], [1]]}, "neither a number nor a string: got None"),
    "free in some periods": (
        {"obs_intercept": np.where(np.arange(N) < 3, NAN, np.ones((3, N)))},
        "obs_intercept is NaN .free. in some periods",
    ),
    # expressions
    "product": ({"design": [["a*b"], [1], [1]]}, r"design\[0\]\[0\] is not a linear expression.*got 'a\*b'"),
    "power": ({"design": [["a**2"], [1], [1]]}, "not a linear expression"),
    "equality": ({"design": [["a=1"], [1], [1]]}, "not a linear expression"),
    "inequality": ({"design": [["a > 0"], [1], [1]]}, "not a linear expression"),
    "empty text": ({"design": [[""], [1], [1]]}, "not a linear expression"),
    "unfinished": ({"design": [["a+"], [1], [1]]}, "not a linear expression"),
    "division by zero": ({"design": [["a/0"], [1], [1]]}, "not a linear expression"),
    "a call": ({"design": [["__import__('os')"], [1], [1]]}, "not a linear expression"),
    "two names": ({"design": [["a b"], [1], [1]]}, "not a linear expression"),
    "an automatic name": ({"design": [["loading.f1->a"], [1], [1]]}, "not a linear expression"),
    # keywords
    "keyword of design": (
        {"design": "fre"},
        "design is not a known keyword: got 'fre'; expected one of free",
    ),
    "keyword of transition": ({"transition": "fre"}, "transition is not a known keyword: got 'fre'"),
    "keyword of state_cov": ({"state_cov": "unstructred"}, "state_cov is not a known.*one of unstructured"),
    "keyword of obs_cov": ({"obs_cov": "full"}, "obs_cov is not a known keyword"),
    "keyword of state_mean": ({"state_mean": "Free"}, "state_mean is not a known keyword"),
    "initialization": (
        {"initialization": "steady"},
        "initialization is unknown: got 'steady'; expected one of",
    ),
    "initialization None": ({"initialization": None}, "initialization is unknown"),
    "identification": (
        {"identification": "lower"},
        "unknown: got 'lower'; expected None or one of",
    ),
    "identification True": ({"identification": True}, "identification is unknown: got True"),
    # covariances
    "negative variances": ({"obs_cov": -np.eye(3)}, "obs_cov has a negative variance: got -1.0 in row 0"),
    "negative variance": ({"state_cov": [[-1.0]]}, "state_cov has a negative variance"),
    "indefinite": ({"obs_cov": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]}, "obs_cov is not positive semidefinite"),
    "indefinite beside free elements": (
        {"obs_cov": [[1, 2, NAN], [2, 1, NAN], [NAN, NAN, NAN]]},
        "obs_cov is not positive semidefinite",
    ),
    "indefinite in one period": (
        {"obs_cov": np.dstack([np.eye(3)] * (N - 1) + [np.eye(3) - 2.0])},
        r"obs_cov\[:, :, 59\]",
    ),
    "asymmetric": (
        {"obs_cov": [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]},
        r"obs_cov is not symmetric: got 0.5 in \[0\]\[1\], 0.0 in \[1\]\[0\]",
    ),
    "asymmetric names": (
        {"obs_cov": [["a", "b", 0], ["c", "a", 0], [0, 0, 1]]},
        "got b in .0..1., c in .1..0.",
    ),
    "covariance of a variance of zero": (
        {"obs_cov": [[1, NAN, 0], [NAN, 0, 0], [0, 0, 1]]},
        "variance fixed at zero but a covariance that is not zero: got row 1",
    ),
    "infinite covariance": ({"obs_cov": np.full((3, 3), INF)}, r"obs_cov\[0\]\[0\] is infinite"),
    "initial covariance": (
        {**KNOWN, "initial_state_cov": [[-1.0]]},
        "initial_state_cov has a negative variance",
    ),
    # contradictions
    "triangular and a design": (
        {"identification": "triangular", "design": np.ones((3, 1))},
        'identification="triangular" sets design itself.*Leave design',
    ),
    "triangular and a state_cov": (
        {"identification": "triangular", "state_cov": "diagonal"},
        "sets state_cov itself: got state_cov='diagonal'",
    ),
    "unit and a design": ({"identification": "unit", "design": np.ones((3, 1))}, "sets design itself"),
    "diffuse and a free design": ({"initialization": "diffuse"}, "unbounded: free elements of design"),
    "diffuse and a free transition": (
        {"lags": 2, "initialization": "diffuse", "design": np.ones((3, 1))},
        "unbounded: free elements of transition",
    ),
    "too many lags": ({"lags": 10_001}, "state vector is too long: got 1 factors x 10001 lags"),
    "diffuse and triangular": (
        {"initialization": "diffuse", "identification": "triangular"},
        "unbounded.*Fix design",
    ),
    "stationary and a unit root": (
        {"transition": [[1.0]]},
        "fixed transition is not stationary: got largest root 1;.*diffuse",
    ),
    "stationary, a unit root and fixed noise": (
        {"transition": [[1.0]], "state_cov": "identity"},
        "fixed transition is not stationary",
    ),
    "stationary and an explosive root": ({"transition": [[-1.5]]}, "largest root 1.5"),
    "stationary and changing transition": ({"transition": np.full((1, 1, N), 0.5)}, "constant over time"),
    "known without values": ({"initialization": "known"}, "needs initial_state and initial_state_cov"),
    "known without covariance": (
        {"initialization": "known", "initial_state": [0.0]},
        "needs initial_state and initial_state_cov: got no initial_state_cov",
    ),
    "known but free": ({**KNOWN, "initial_state": "free"}, 'free elements in initial_state.*"estimated"'),
    "estimated but fixed": ({"initialization": "estimated", "initial_state": [0.0]}, "nothing to estimate"),
    "stationary with values": (
        {"initial_state": [0.0]},
        'cannot be combined with initialization="stationary"',
    ),
    "obs_coef without exog": (
        {"obs_coef": np.ones((3, 1))},
        "obs_coef needs exog, which is missing.*Pass exog",
    ),
    "state_coef without state_exog": (
        {"state_coef": [[1.0]]},
        "state_coef needs state_exog, which is missing",
    ),
    # names
    "coefficient and covariance": (
        {"design": [["a"], [1], ["b"]], "state_cov": [["a"]]},
        r"coefficient in one matrix and an element of a covariance.*\['a'\]",
    ),
    "the name that a keyword gives": (
        {"obs_cov": "scalar", "state_cov": [["obs_var"]]},
        "has the name that obs_cov='scalar' gives: got 'obs_var'",
    ),
    "the name that a keyword gives, as a coefficient": (
        {"obs_cov": "equicorrelated", "design": [["obs_cov"], [1], [1]]},
        "has the name that obs_cov='equicorrelated' gives: got 'obs_cov'",
    ),
}


@pytest.mark.parametrize(("spec", "words"), SPECIFICATIONS.values(), ids=SPECIFICATIONS.keys())
def test_specification(spec: dict[str, object], words: str) -> None:
    refused(lambda: sse.LGSSM(FRAME, 1, **spec), SpecificationError, words)


def test_more_factors_than_series_to_normalise() -> None:
    for name in ("triangular", "unit"):
        refused(
            lambda name=name: sse.LGSSM(Y[:, 0], 2, identification=name),
            SpecificationError,
            "at least as many series as factors: got 1 series, 2 factors",
        )


def test_columns_whose_joined_names_are_one() -> None:
    endog = pd.DataFrame(np.c_[Y, Y[:, 0]], columns=["a", "b.c", "a.b", "c"])
    refused(
        lambda: sse.LGSSM(endog, 1, obs_cov="unstructured"),
        SpecificationError,
        r"same name: got obs_cov.a.b.c.*Rename",
    )
    assert len(set(sse.LGSSM(endog, 1).param_names)) == 4 + 4 + 1 + 4 + 1
