"""Bad input of LGSSM: what is refused, with which error and which words; and what is unusual, but right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse
from statespace_ext import DataError, EstimationError, ParameterError, SpecificationError, UnsupportedError

unidentified = pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
not_converged = pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")

N = 60
NAN, INF = np.nan, np.inf
Refusal = tuple[Callable[[], object], type[Exception], str]


# -- data and models ---------------------------------------------------------------------------------------


def panel(n: int = N, p: int = 3) -> np.ndarray:
    """Draw 3 series of one AR(1) factor."""
    rng = np.random.default_rng(1)
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = 0.7 * x[t - 1] + rng.normal()
    return x[:, None] * np.array([1.0, 0.5, -0.8])[:p] + 0.5 * rng.normal(size=(n, p))


Y = panel()
MONTHS = pd.period_range("2000-01", periods=N, freq="M")
FRAME = pd.DataFrame(Y, index=MONTHS, columns=["a", "b", "c"])
NEXT = FRAME.iloc[:3].set_axis(pd.period_range("2005-01", periods=3, freq="M"))
X = np.random.default_rng(5).normal(size=(N, 2))
REGRESSORS = pd.DataFrame(X, index=MONTHS, columns=["u", "v"])


def model(**spec: Any) -> sse.LGSSM:
    return sse.LGSSM(Y, 1, **{"identification": "triangular", **spec})


def changed(value: object, row: int = 3, column: int = 0, of: np.ndarray = Y) -> np.ndarray:
    out = np.array(of, dtype=float)
    out[row, column] = value
    return out


def refused(call: Callable[[], object], error: type[Exception], words: str) -> str:
    """Check that a call is refused by one error, in a message of a few sentences with these words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert caught.type is error
    assert re.search(words, message), message
    assert message.endswith((".", "`")) and "\n" not in message and len(message) < 1200
    assert re.search(r": got |: expected |\. [A-Z]", message), f"neither value nor remedy: {message}"
    return message


def cases(of: Mapping[str, Refusal]) -> Callable:
    return pytest.mark.parametrize(("call", "error", "words"), of.values(), ids=of.keys())


# -- endog -------------------------------------------------------------------------------------------------

ENDOG: dict[str, tuple[object, str]] = {
    "infinite": (changed(INF, 3, 1), r"not finite: got inf at position \[3, 1\]"),
    "minus infinite": (changed(-INF), "not finite: got -inf"),
    "infinite in a frame": (pd.DataFrame(changed(INF)), "not finite"),
    "strings": ([["a", "b"], ["c", "d"]], "not numeric: got type <U1"),
    "numbers as strings": ([["1", "2"], ["3", "4"]], "not numeric.*astype"),
    "objects": (Y.astype(object), "not numeric: got type object"),
    "None among numbers": ([[1.0, None], [2.0, 3.0]], "not numeric"),
    "None": (None, "not numeric"),
    "a dict": ({"a": [1, 2]}, "not numeric"),
    "a string": ("abc", "not numeric"),
    "booleans": (Y > 0, "not numeric: got type bool"),
    "complex": (Y + 0j, "not numeric: got type complex128"),
    "dates": (np.array(["2000", "2001"], dtype="M8[Y]"), "not numeric"),
    "records": (FRAME.reset_index(drop=True).to_records(index=False), "not numeric"),
    "ragged": ([[1.0, 2.0], [3.0]], "different lengths"),
    "a frame with strings": (FRAME.assign(b="x"), "not numeric: got columns b of type"),
    "a frame of objects": (FRAME.astype(object), "not numeric: got columns a, b, c of type object"),
    "a frame with dates": (FRAME.assign(a=pd.Timestamp("2000")), "columns a of type"),
    "a frame with time differences": (FRAME.assign(a=pd.Timedelta("1D")), "columns a of type"),
    "a frame with categories": (FRAME.assign(a=pd.Categorical([1, 2] * 30)), "columns a of type category"),
    "a frame of booleans": (FRAME > 0, "columns a, b, c of type bool"),
    "nullable booleans": ((FRAME > 0).astype("boolean"), "of type boolean"),
    "a complex frame": (FRAME + 0j, "of type complex128"),
    "three dimensions": (Y[:, :, None], r"dimensions: got \(60, 3, 1\); expected \(nobs,\)"),
    "a scalar": (3.0, "dimensions"),
    "nothing": ([], "empty"),
    "no columns": (np.zeros((20, 0)), r"empty: got shape \(20, 0\)"),
    "a frame without columns": (pd.DataFrame(index=range(20)), "empty"),
    "a frame without rows": (FRAME.iloc[:0], "empty"),
    "an index with duplicates": (FRAME.iloc[[0, 0, *range(2, N)]], "duplicates: got 2000-01"),
    "a series with duplicates": (FRAME["a"].iloc[[0, 0, *range(2, N)]], "duplicates"),
    "a reversed index": (FRAME.iloc[::-1], r"must be in increasing order.*sort_index"),
    "a shuffled index": (FRAME.sample(frac=1.0, random_state=1), "must be in increasing order"),
    "an index with NaT": (
        FRAME.set_axis(pd.DatetimeIndex([pd.NaT, *pd.date_range("2000", periods=N - 1)])),
        "missing labels: got NaT at position 0",
    ),
    "an index with NaN": (FRAME.set_axis([*range(N - 1), NAN]), "missing labels: got nan at position 59"),
    "duplicate columns": (FRAME.set_axis(["a", "a", "b"], axis=1), "duplicate names: got 'a'"),
    "columns of one name as text": (FRAME.set_axis([1, "1", 2], axis=1), "duplicate names: got '1'"),
    "columns of two levels": (
        FRAME.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]), axis=1),
        "several levels: got a / 1; expected one name each",
    ),
}


@pytest.mark.parametrize(("endog", "words"), ENDOG.values(), ids=ENDOG.keys())
def test_endog(endog: object, words: str) -> None:
    refused(lambda: sse.LGSSM(endog, 1), DataError, words)


DATES: dict[str, tuple[dict[str, object], str]] = {
    "too short": ({"dates": pd.date_range("2000", periods=10)}, "wrong length: got 10; expected 60"),
    "reversed": ({"dates": pd.date_range("2000", periods=N)[::-1]}, "dates must be in increasing order"),
    "duplicates": ({"dates": pd.DatetimeIndex(["2000"] * N)}, "dates has duplicates"),
    "no dates": ({"dates": [f"row {i}" for i in range(N)]}, "(?i)date"),
    "unknown freq": ({"dates": pd.date_range("2000", periods=N), "freq": "zzz"}, "(?i)freq"),
    "another freq": ({"dates": MONTHS, "freq": "D"}, "(?i)freq"),
}


@pytest.mark.parametrize(("spec", "words"), DATES.values(), ids=DATES.keys())
def test_dates(spec: dict[str, object], words: str) -> None:
    refused(lambda: model(**spec), DataError, words)


def missing_but(rows: list[int]) -> np.ndarray:
    """Return the data with the last series missing except in some rows."""
    out = np.array(Y)
    out[:, 2] = NAN
    out[rows, 2] = Y[rows, 2]
    return out


SAMPLE: dict[str, Refusal] = {
    "all missing": (lambda: sse.LGSSM(np.full((N, 2), NAN), 1).fit(), DataError, "'y1' has no observations"),
    "one series all missing": (
        lambda: sse.LGSSM(FRAME.assign(b=NAN), 1).fit(),
        DataError,
        "Series 'b' has no observations.*Drop",
    ),
    "constant": (lambda: sse.LGSSM(changed(3.0, slice(None), 1), 1).fit(), DataError, "'y2' is constant"),
    "constant where seen": (
        lambda: sse.LGSSM(FRAME.assign(b=np.where(np.arange(N) % 2, 3.0, NAN)), 1).fit(),
        DataError,
        "'b' is constant: got 3.0 in all 30 periods",
    ),
    "constant to rounding": (lambda: sse.LGSSM(Y + 1e14, 1).fit(), DataError, "constant.*to rounding"),
    "squares overflow": (lambda: sse.LGSSM(1e100 * Y, 1).fit(), DataError, "overflow or underflow"),
    "squares vanish": (lambda: sse.LGSSM(1e-100 * Y, 1).fit(), DataError, "underflow.*Change its unit"),
    "one value in a series": (
        lambda: sse.LGSSM(missing_but([7]), 1).fit(),
        DataError,
        "'y3' has too few observations.*got 1 observations, 2 free coefficients",
    ),
    "two values in a series": (
        lambda: sse.LGSSM(missing_but([7, 9]), 1).fit(),
        DataError,
        "'y3' has too few observations.*expected at least 3",
    ),
    "one period": (lambda: sse.LGSSM(Y[:1], 1, design=np.ones((3, 1))).fit(), DataError, "too few periods"),
    "one period, all free": (lambda: sse.LGSSM(Y[:1], 1).fit(), DataError, "too few"),
    "two periods": (lambda: sse.LGSSM(Y[:2], 1).fit(), DataError, "too few"),
    "three periods": (
        lambda: sse.LGSSM(Y[:3], 1, identification="triangular").fit(),
        DataError,
        "too few observations for the free parameters: got 9 observations, 10 parameters",
    ),
    "as many observations as parameters": (
        lambda: sse.LGSSM(Y[:3, 0], 1, design=[[1.0]], transition=[[0.5]]).fit(),
        DataError,
        "got 3 observations, 3 parameters",
    ),
    "as many states as periods": (
        lambda: sse.LGSSM(Y, N).fit(),
        SpecificationError,
        "k_factors is too large for the sample: got 60 factors x 1 lags; expected fewer states than the 60",
    ),
    "too many lags": (lambda: sse.LGSSM(Y, 2, 30).fit(), SpecificationError, "2 factors x 30 lags"),
    "more factors than the sample can tell": (
        lambda: sse.LGSSM(Y, N - 1).fit(),
        DataError,
        "got 180 observations, 363 parameters.*fewer factors",
    ),
    "no noise in more series than factors": (
        lambda: sse.LGSSM(Y, 1, obs_cov="zero").fit(),
        SpecificationError,
        "singular: got 3 series without noise, 1 factors",
    ),
    "no noise in the first period": (
        lambda: sse.LGSSM(
            Y[:, 0], 1, design=[[1.0]], obs_intercept="zero", obs_cov="zero",
            initialization="known", initial_state=[Y[0, 0]], initial_state_cov=[[0.0]],
        ).fit(),
        SpecificationError,
        "first observation has no variance.*first row of endog NaN",
    ),
}  # fmt: skip


@cases(SAMPLE)
def test_sample(call: Callable[[], object], error: type[Exception], words: str) -> None:
    refused(call, error, words)


@unidentified
def test_checks_of_the_sample_are_in_fit_alone() -> None:
    """Forecasting clones the model on zeros: a constructor must take any numbers."""
    for endog in (np.zeros((1, 3)), np.full((5, 3), NAN), np.zeros(2)):
        built = sse.LGSSM(endog, 1)
        assert len(built.param_names) == 3 * built.k_endog + 2


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
    "obs_cov": ({"obs_cov": np.eye(2)}, "obs_cov has the wrong shape"),
    "obs_cov, a vector": ({"obs_cov": np.ones(3)}, "obs_cov has the wrong shape"),
    "state_cov": ({"state_cov": np.eye(2)}, "state_cov has the wrong shape"),
    "initial_state": ({**KNOWN, "initial_state": [0.0, 1.0]}, "initial_state has the wrong shape"),
    "initial_state_cov": ({**KNOWN, "initial_state_cov": np.eye(2)}, "initial_state_cov has the wrong shape"),
    "obs_coef": ({"exog": X, "obs_coef": np.ones((2, 3))}, r"obs_coef.*got \(2, 3\); expected \(3, 2\)"),
    "state_coef": ({"state_exog": X, "state_coef": np.ones((2, 1))}, "state_coef has the wrong shape"),
    # values
    "infinite": ({"design": [[INF], [1.0], [1.0]]}, "design has infinite elements"),
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
    "identification": ({"identification": "lower"}, "identification is unknown: got 'lower'"),
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
    "infinite covariance": ({"obs_cov": np.full((3, 3), INF)}, "obs_cov has infinite elements"),
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


# -- parameter vectors ---------------------------------------------------------------------------------------

TAKES_PARAMS: dict[str, Callable[[sse.LGSSM, Any], object]] = {
    "loglike": lambda m, v: m.loglike(v),
    "loglikeobs": lambda m, v: m.loglikeobs(v),
    "score": lambda m, v: m.score(v),
    "score_obs": lambda m, v: m.score_obs(v),
    "hessian": lambda m, v: m.hessian(v),
    "update": lambda m, v: m.update(v),
    "smooth": lambda m, v: m.smooth(v),
    "filter": lambda m, v: m.filter(v),
    "simulate": lambda m, v: m.simulate(v, 5),
    "impulse_responses": lambda m, v: m.impulse_responses(v),
    "system": lambda m, v: m.system(v),
    "matrices": lambda m, v: m.matrices(v),
    "identification": lambda m, v: m.identification(v),
    "transform_params": lambda m, v: m.transform_params(v),
    "untransform_params": lambda m, v: m.untransform_params(v),
    "observed_information_matrix": lambda m, v: m.observed_information_matrix(v),
    "opg_information_matrix": lambda m, v: m.opg_information_matrix(v),
    "fit": lambda m, v: m.fit(v),
}
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


# -- regressors ----------------------------------------------------------------------------------------------

FROM_FRAME = [REGRESSORS.sample(frac=1.0, random_state=0), REGRESSORS.set_axis(range(N))]
BAD_REGRESSORS: dict[str, tuple[object, str]] = {
    "NaN": (
        changed(NAN, 3, 0, X),
        "missing or infinite values: got nan in row 3, column 0.*cannot be missing",
    ),
    "infinite": (changed(INF, 4, 1, X), "got inf in row 4, column 1"),
    "too short": (X[:50], r"wrong shape: got \(50, 2\); expected \(60, number of regressors\)"),
    "three dimensions": (X[:, :, None], "wrong shape"),
    "scalar": (3.0, "wrong shape"),
    "text": (X.astype(str), "not numeric"),
    "objects": (X.astype(object), "not numeric: got type object"),
    "complex": (X + 1j, "not numeric: got type complex128"),
    "no columns": (X[:, :0], "no columns"),
    "text in a frame": (REGRESSORS.assign(v="1"), "not numeric: got columns v"),
    "dates in a frame": (REGRESSORS.assign(v=pd.Timestamp("2000")), "not numeric: got columns v"),
    "nullable missing": (
        REGRESSORS.assign(v=pd.array([1, None] * 30, dtype="Int64")),
        "missing or infinite values: got nan in row 1, column 1",
    ),
    "duplicate columns": (REGRESSORS.set_axis(["u", "u"], axis=1), "duplicate names: got 'u'"),
    "shuffled index": (FROM_FRAME[0], "must be in increasing order"),
    "another index": (FROM_FRAME[1], r"index of \w+ must equal the index of endog: got \[0, 1, 2\].*reindex"),
    "duplicate index": (REGRESSORS.set_axis([MONTHS[0]] * N), "duplicates"),
}
which = pytest.mark.parametrize("name", ["exog", "state_exog"])


@which
@pytest.mark.parametrize(("value", "words"), BAD_REGRESSORS.values(), ids=BAD_REGRESSORS.keys())
def test_regressors(name: str, value: object, words: str) -> None:
    message = refused(lambda: sse.LGSSM(FRAME, 1, **{name: value}), DataError, words)
    assert name in message


@which
def test_a_shuffled_index_beside_an_array(name: str) -> None:
    refused(lambda: sse.LGSSM(Y, 1, **{name: FROM_FRAME[0]}), DataError, "must be in increasing order")


last_only = np.zeros((N, 1))
last_only[-1] = 1.0
COLLINEAR: dict[str, tuple[str, object, str]] = {
    "exog": ("exog", np.c_[X, X @ [1.0, 2.0]], "exog is collinear .with the free intercept.: got rank 3"),
    "exog, a constant": (
        "exog",
        np.ones((N, 1)),
        "exog is collinear .with the free intercept.*fix the intercept",
    ),
    "exog, zero": ("exog", np.zeros((N, 1)), "exog is collinear"),
    "exog, twice nearly": ("exog", np.c_[X, X[:, :1] * (1 + 1e-16)], "exog is collinear"),
    "state_exog": ("state_exog", np.c_[X, X[:, 0]], "state_exog is collinear: got rank 2; expected rank 3"),
    "state_exog, zero": ("state_exog", np.zeros((N, 1)), "state_exog is collinear"),
    "state_exog, of no state": ("state_exog", last_only, "state_exog is collinear: got rank 0"),
}


@pytest.mark.parametrize(("name", "value", "words"), COLLINEAR.values(), ids=COLLINEAR.keys())
def test_collinear_regressors(name: str, value: object, words: str) -> None:
    refused(lambda: model(**{name: value}).fit(), DataError, words)


def test_a_regressor_without_effect_on_a_series() -> None:
    exog = np.zeros((N, 1))
    exog[:4] = 1.0
    endog = np.array(Y)
    endog[:4, 1] = NAN
    refused(
        lambda: sse.LGSSM(endog, 1, exog=exog).fit(),
        DataError,
        "exog, in the periods of series 'y2', is collinear .with the free intercept.",
    )


# -- periods after the sample --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    """Results of a model with exog, with state_exog and with neither, at the start values."""
    out = {}
    for name in ("exog", "state_exog", "none"):
        spec = {} if name == "none" else {name: REGRESSORS}
        built = sse.LGSSM(FRAME, 1, identification="triangular", **spec)
        out[name] = built.smooth(built.start_params)
    return out


FUTURE = pd.DataFrame(X[:3], index=NEXT.index, columns=["u", "v"])
ENTERING = pd.DataFrame(np.concatenate([X[-1:], X[:2]]), index=NEXT.index.shift(-1), columns=["u", "v"])
"""Rows of state_exog that enter the periods after the sample: the first is the last one of the sample."""
BAD_FUTURES: dict[str, tuple[object, str]] = {
    "none": (None, r"need future values of \w+: expected 3 rows of 2 columns"),
    "too short": (X[:1], r"wrong shape: got \(1, 2\); expected \(3, 2\)"),
    "too long": (X[:4], r"wrong shape: got \(4, 2\)"),
    "too few columns": (X[:3, :1], "wrong shape"),
    "transposed": (X[:3].T, r"wrong shape: got \(2, 3\)"),
    "NaN": (changed(NAN, 1, 0, X[:3]), "missing or infinite values: got nan in row 1"),
    "text": ([["a", "b"]] * 3, "not numeric"),
    "columns in another order": (FUTURE[["v", "u"]], "columns of the model: got v, u; expected 2: u, v"),
    "periods of the sample": (
        FUTURE.set_axis(MONTHS[:3]),
        "must hold the periods after the sample: got 2000-01",
    ),
}


@which
@pytest.mark.parametrize(("value", "words"), BAD_FUTURES.values(), ids=BAD_FUTURES.keys())
def test_future_regressors(name: str, value: object, words: str, fitted: dict[str, Any]) -> None:
    res = fitted[name]
    for call in (res.forecast, lambda steps, **kw: res.simulate(steps, anchor="end", **kw)):
        message = refused(lambda call=call: call(3, **{name: value}), DataError, words)
        assert name in message


@which
def test_future_regressors_in_any_form(name: str, fitted: dict[str, Any]) -> None:
    res, frame = fitted[name], FUTURE if name == "exog" else ENTERING
    rows = frame.to_numpy()
    wanted = res.forecast(3, **{name: rows})
    for value in (rows.tolist(), frame, frame.astype("Float64"), np.asfortranarray(rows)):
        assert_allclose(res.forecast(3, **{name: value}), wanted, rtol=1e-14)
    assert_allclose(res.forecast(1, **{name: rows[0]}), wanted.iloc[:1], rtol=1e-14)


@which
def test_regressors_that_the_model_has_not(name: str, fitted: dict[str, Any]) -> None:
    res = fitted["none"]
    refused(
        lambda: res.forecast(3, **{name: X[:3]}), DataError, f"no {name}: got future {name}. Leave it out"
    )


@which
def test_new_data_need_new_regressors(name: str, fitted: dict[str, Any]) -> None:
    res = fitted[name]
    words = f"The model has {name}, so new periods need values of it: expected 2 columns"
    for call in (res.append, res.extend, res.apply, res.model.clone):
        refused(lambda call=call: call(NEXT), DataError, words)
    refused(lambda: res.append(NEXT, **{name: X[:2]}), DataError, r"wrong shape: got \(2, 2\); expected \(3,")
    refused(lambda: res.append(NEXT, **{name: FUTURE[["v", "u"]]}), DataError, "columns of the model")
    words = "must equal the index of endog" if name == "exog" else "must hold the periods after the sample"
    refused(lambda: res.append(NEXT, **{name: FUTURE.set_axis(MONTHS[:3])}), DataError, words)
    frame = FUTURE if name == "exog" else ENTERING
    for value in (frame.to_numpy(), frame):
        assert res.append(NEXT, **{name: value}).model.param_names == res.model.param_names


NEW_DATA: dict[str, tuple[str, object, str]] = {
    "append, overlap": (
        "append",
        FRAME.iloc[:3],
        "must continue.*got 2000-01 to 2000-03; expected 2005-01",
    ),
    "append, gap": ("append", NEXT.set_axis(NEXT.index + 1), "must continue"),
    "append, fewer series": (
        "append",
        NEXT[["a", "b"]],
        "columns of the model: got a, b; expected 3: a, b, c",
    ),
    "append, another order": ("append", NEXT[["b", "a", "c"]], "columns of the model: got b, a, c"),
    "append, infinite": ("append", NEXT + INF, "not finite"),
    "append, text": ("append", NEXT.astype(str), "not numeric"),
    "extend, overlap": ("extend", FRAME.iloc[:3], "must continue"),
    "extend, fewer series": ("extend", NEXT[["a", "b"]], "columns of the model"),
    "apply, fewer series": ("apply", NEXT[["a", "b"]], "columns of the model"),
    "apply, another order": ("apply", NEXT[["c", "b", "a"]], "columns of the model"),
    "apply, duplicates": ("apply", NEXT.iloc[[0, 0, 1]], "duplicates"),
}


@pytest.mark.parametrize(("method", "data", "words"), NEW_DATA.values(), ids=NEW_DATA.keys())
def test_new_data(method: str, data: object, words: str, fitted: dict[str, Any]) -> None:
    refused(lambda: getattr(fitted["none"], method)(data), DataError, words)


def test_simulations(fitted: dict[str, Any]) -> None:
    res = fitted["none"]
    for count in (0, -1, 2.5, "x", True):
        refused(
            lambda count=count: res.simulate(count),
            SpecificationError,
            "nsimulations must be a positive integer",
        )
    refused(lambda: res.simulate(3, rng="x"), SpecificationError, "rng cannot be used: got 'x'")


def test_complex_steps_are_refused() -> None:
    built = model()
    with pytest.raises(UnsupportedError, match="Complex-step.*score"):
        built.update(built.start_params + 1e-20j, complex_step=True)


# -- unusual, and right --------------------------------------------------------------------------------------

READ_ONLY = Y.copy()
READ_ONLY.flags.writeable = False
WIDE = np.repeat(Y, 2, axis=1)
SAME: dict[str, object] = {
    "read-only": READ_ONLY,
    "not contiguous": WIDE[:, ::2],
    "negative strides": np.ascontiguousarray(Y[::-1])[::-1],
    "Fortran order": np.asfortranarray(Y),
    "big endian": Y.astype(">f8"),
    "long double": Y.astype(np.longdouble),
    "list": Y.tolist(),
    "tuple": tuple(map(tuple, Y)),
    "memoryview": memoryview(Y),
    "frame of an array": pd.DataFrame(READ_ONLY),
    "frame of columns apart": pd.concat([FRAME[[name]] for name in FRAME], axis=1),
    "nullable floats": FRAME.astype("Float64"),
    "sparse": FRAME.astype(pd.SparseDtype(float)),
    "masked, nothing": np.ma.array(Y, mask=False),
    "unsorted columns": FRAME.set_axis(["z", "b", "a"], axis=1),
}


def content(data: Any) -> bytes:
    """Return the bytes of the data, of whatever kind."""
    if isinstance(data, (pd.Series, pd.DataFrame)):
        return pd.util.hash_pandas_object(data).to_numpy().tobytes()
    return np.asarray(data).tobytes()


@pytest.mark.parametrize("endog", SAME.values(), ids=SAME.keys())
def test_the_same_numbers_in_another_form(endog: Any) -> None:
    before = content(endog)
    built = sse.LGSSM(endog, 1, identification="triangular")
    res = built.fit(method="em", maxiter=3, tolerance=0)
    expected = model().fit(method="em", maxiter=3, tolerance=0)
    assert_array_equal(built.endog, Y)
    assert_allclose(np.asarray(res.params), np.asarray(expected.params), rtol=1e-12)
    assert content(endog) == before
    assert not np.shares_memory(built.endog, Y)


ROUNDED: dict[str, Any] = {
    "float32": Y.astype("f4"),
    "float16": Y.astype("f2"),
    "integers": (10 * Y).astype(int),
    "small integers": (10 * Y).astype("i1"),
    "unsigned": np.abs(100 * Y).astype("u2"),
    "nullable float32": FRAME.astype("Float32"),
    "nullable integers": (100 * FRAME).round().astype("Int64"),
    "series": FRAME["a"],
    "series of float32": FRAME["a"].astype("f4"),
    "two values": (Y > 0).astype(int),
}


@unidentified
@pytest.mark.parametrize("endog", ROUNDED.values(), ids=ROUNDED.keys())
def test_other_numbers_are_doubles(endog: Any) -> None:
    before = content(endog)
    plain = np.asarray(endog, dtype=float)
    built, expected = sse.LGSSM(endog, 1), sse.LGSSM(plain, 1)
    assert built.endog.dtype == np.float64
    assert_array_equal(built.endog, plain.reshape(N, -1))
    assert built.loglike(expected.start_params) == expected.loglike(expected.start_params)
    res = built.fit(method="em", maxiter=3, tolerance=0)
    assert np.all(np.isfinite(res.params)) and content(endog) == before


@unidentified
def test_missing_values_of_every_kind() -> None:
    hole = np.abs(Y) > 1.0
    endogs = [
        np.where(hole, NAN, Y),
        np.ma.array(Y, mask=hole),
        FRAME.mask(hole),
        FRAME.astype("Float64").mask(hole),
    ]
    for endog in endogs:
        assert_array_equal(sse.LGSSM(endog, 1).endog, endogs[0])
    integers = (100 * FRAME).round().astype("Int64").mask(hole)
    assert_array_equal(np.isnan(sse.LGSSM(integers, 1).endog), hole)
    masked = np.ma.array((100 * Y).astype(int), mask=hole)
    assert_array_equal(np.isnan(sse.LGSSM(masked, 1).endog), hole)


def test_pyarrow() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for kind in ("double[pyarrow]", "float[pyarrow]"):
        assert_allclose(model().endog, sse.LGSSM(FRAME.astype(kind), 1).endog, rtol=1e-6)
    holes = (100 * FRAME).round().astype("int64[pyarrow]").mask(FRAME > 1.0)
    assert_array_equal(np.isnan(sse.LGSSM(holes, 1).endog), Y > 1.0)
    refused(lambda: sse.LGSSM((FRAME > 0).astype("bool[pyarrow]"), 1), DataError, "not numeric")
    refused(lambda: sse.LGSSM(FRAME.astype("string[pyarrow]"), 1), DataError, "not numeric")


GOOD_REGRESSORS: dict[str, Any] = {
    "list": X.tolist(),
    "read-only": np.broadcast_to(X[:, :1], (N, 1)),
    "not contiguous": np.repeat(X, 2, axis=1)[:, ::2],
    "one column": X[:, 0],
    "float32": X.astype("f4"),
    "booleans": X > 0,
    "frame": REGRESSORS,
    "series": REGRESSORS["u"],
    "booleans among floats": REGRESSORS.assign(v=X[:, 1] > 0),
    "nullable": REGRESSORS.round(3).astype("Float64"),
    "nullable integers": pd.DataFrame({"u": pd.array(range(N), dtype="Int64")}, index=MONTHS),
}


@which
@pytest.mark.parametrize("value", GOOD_REGRESSORS.values(), ids=GOOD_REGRESSORS.keys())
def test_regressors_in_any_form(name: str, value: Any) -> None:
    before = content(value)
    built = sse.LGSSM(FRAME, 1, identification="triangular", **{name: value})
    stored = built.exog if name == "exog" else built.state_exog
    plain = np.asarray(value, dtype=float).reshape(N, -1)
    assert stored.dtype == np.float64 and not np.shares_memory(stored, X)
    assert_array_equal(stored, plain)
    assert np.isfinite(built.fit(method="em", maxiter=2, tolerance=0).llf)
    assert content(value) == before


def test_arguments_are_left_alone() -> None:
    spec: dict[str, Any] = {
        "design": np.array([[1.0], [NAN], [NAN]]),
        "obs_cov": np.diag([NAN, NAN, 0.2]),
        "state_intercept": np.zeros((1, N)),
        "transition": np.array([[NAN]]),
        "initialization": "known",
        "initial_state": np.zeros(1),
        "initial_state_cov": np.eye(1),
    }
    for value in spec.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    built = sse.LGSSM(READ_ONLY, 1, **spec)
    start = built.start_params
    start.flags.writeable = False
    assert np.isfinite(built.fit(start).llf)
    assert np.isfinite(built.fit({"obs_cov": 2.0 * np.eye(3)}, method="em", maxiter=2, tolerance=0).llf)


@unidentified
def test_a_starting_variance_of_zero_is_left() -> None:
    """A gradient method could not: the derivative by its square root is zero there."""
    built = model()
    best = built.fit()
    start = built.matrices(built.start_params)
    start["obs_cov"] = np.diag([0.0, *np.diag(start["obs_cov"])[1:]])
    for method in ("auto", "lbfgs", "newton"):
        res = built.fit(start, method=method)
        assert_allclose(res.llf, best.llf, atol=1e-5)
        assert res.boundary == []


# -- degenerate, with a statement ----------------------------------------------------------------------------


def sound(res: Any) -> str:
    """Check what holds of any result, and return its summary."""
    params, bse = np.asarray(res.params), np.asarray(res.bse)
    assert np.all(np.isfinite(params)) and np.isfinite(res.llf)
    assert not np.any(np.isinf(bse)) and not np.any(bse < 0)
    size = np.maximum(np.abs(params), 1e-3 * np.max(np.abs(params), initial=0.0))
    assert not np.any(bse > 1e4 * size), "absurd standard errors"
    text = res.summary().as_text()
    assert re.search(r"\[\d\] (Converged|NOT CONVERGED): method ", text)
    assert ("At a boundary" in text) == bool(res.boundary)
    assert np.all(np.isnan(bse[[list(res.model.param_names).index(name) for name in res.boundary]]))
    assert all(
        np.all(np.isfinite(res.matrices[key])) for key in ("design", "transition", "obs_cov", "state_cov")
    )
    future = {} if res.model.exog is None else {"exog": res.model.exog[:3]}
    assert np.all(np.isfinite(res.factors.smoothed)) and np.all(np.isfinite(res.forecast(3, **future)))
    return text


methods = pytest.mark.parametrize("method", ["auto", "lbfgs", "em"])
gradient = pytest.mark.parametrize("method", ["auto", "lbfgs"])


@unidentified
@not_converged
@methods
@pytest.mark.parametrize("identification", [None, "triangular"])
def test_one_series_without_noise_is_an_autoregression(method: str, identification: str | None) -> None:
    y = Y[:, 0]
    creeps = {"maxiter": 60} if method == "em" else {}  # towards a variance of zero
    res = sse.LGSSM(y, 1, identification=identification).fit(method=method, **creeps)
    sound(res)
    reference = sm.tsa.SARIMAX(y, order=(1, 0, 0), trend="c").fit(disp=False, maxiter=200)
    if not creeps:
        assert_allclose(res.llf, reference.llf, atol=1e-5)
        assert res.converged and "obs_var.y" in res.boundary
        assert_allclose(res.matrices["transition"].iloc[0, 0], reference.params[1], atol=1e-3)
    assert res.llf <= reference.llf + 1e-6


@unidentified
@gradient
def test_more_factors_than_one_series_can_tell(method: str) -> None:
    res = sse.LGSSM(Y[:, 0], 2).fit(method=method)
    text = sound(res)
    assert res.boundary and "flat along" in text
    smaller = sse.LGSSM(Y[:, 0], 1).fit()
    assert res.llf >= smaller.llf - 1e-6 and res.df_model < len(res.params)


@gradient
def test_a_factor_without_variance(method: str) -> None:
    """The second factor, loading one on each series, is not in the data: its transition has no effect."""
    res = sse.LGSSM(
        Y, 2, design=[[NAN, 1], [NAN, 1], [NAN, 1]], state_cov=[[1, 0], [0, NAN]], transition="diagonal"
    ).fit(method=method)
    text = sound(res)
    assert_allclose(res.llf, model().fit().llf, atol=1e-4)
    assert res.boundary == ["state_var.f2"] and res.converged
    assert "Without effect while a variance is zero, and without standard errors: L1.f2->f2." in text
    assert np.flatnonzero(np.isnan(res.bse)).tolist() == [
        list(res.model.param_names).index(name) for name in ("L1.f2->f2", "state_var.f2")
    ]
    assert_allclose(res.bse[:7], model().fit().bse[:7], rtol=1e-3)


@gradient
def test_a_level_that_does_not_move(method: str) -> None:
    y = 5.0 + np.random.default_rng(3).normal(size=N)
    spec: dict[str, Any] = {"transition": [[1.0]], "obs_intercept": "zero", "initialization": "diffuse"}
    res = sse.LGSSM(y, 1, design=[[1.0]], **spec).fit(method=method)
    text = sound(res)
    assert res.boundary == ["state_var.f1"] and "state_var.f1" in text
    assert_allclose(res.params[0], np.var(y, ddof=1), rtol=1e-4)


TWICE: dict[str, tuple[np.ndarray, int, dict[str, Any]]] = {
    "duplicated series": (Y[:, [0, 0, 1]], 1, {}),
    "duplicated pair": (Y[:, [0, 0]], 1, {}),
    "duplicated series, full obs_cov": (Y[:, [0, 0, 1]], 1, {"obs_cov": "unstructured"}),
    "duplicated series, equicorrelated": (Y[:, [0, 0, 1]], 1, {"obs_cov": "equicorrelated"}),
    "a sum of series": (np.c_[Y[:, :2], Y[:, 0] + Y[:, 1]], 1, {"obs_cov": "unstructured"}),
    "a sum of series, two factors": (np.c_[Y[:, :2], Y[:, 0] + Y[:, 1]], 2, {}),
    "one series, three times": (np.outer(Y[:, 0], [1.0, 2.0, 3.0]), 1, {}),
}


@not_converged
@methods
@pytest.mark.parametrize(("endog", "k", "spec"), TWICE.values(), ids=TWICE.keys())
def test_dependent_series_have_no_maximum(endog: np.ndarray, k: int, spec: dict, method: str) -> None:
    res = sse.LGSSM(endog, k, identification="triangular", **spec).fit(method=method)
    text = sound(res)
    stopped = "stopped: the filter failed" in text  # the first M-step is singular: EM cannot go on
    assert stopped or "linearly dependent series" in text.lower() or "At a boundary" in text
    if "Linearly dependent series" in text:
        assert "the log-likelihood has no maximum" in " ".join(text.split()) and np.all(np.isnan(res.bse))


@not_converged
@pytest.mark.parametrize("method", ["bfgs", "cg", "newton", "nm", "powell"])
@pytest.mark.parametrize("columns", [[0], [0, 0, 1]])
def test_other_methods_at_a_boundary(method: str, columns: list[int]) -> None:
    sound(sse.LGSSM(Y[:, columns], 1, identification="triangular").fit(method=method, maxiter=5))


@not_converged
def test_random_starts_of_a_degenerate_model() -> None:
    for endog in (Y[:, :1], Y[:, [0, 0, 1]]):
        res = sse.LGSSM(endog, 1, identification="triangular").fit(n_starts=3, rng=0)
        count = re.search(r"of (\d+) starts reached the best log-likelihood", sound(res))
        assert count and int(count[1]) >= 3  # and those that the model adds


PERFECT: dict[str, dict[str, Any]] = {
    "a trend": {
        "endog": np.arange(60.0), "obs_intercept": "zero", "state_intercept": "free",
        "transition": [[1.0]], "initialization": "estimated",
    },
    "a trend, diffuse": {
        "endog": np.arange(60.0), "obs_intercept": "zero", "state_intercept": "free",
        "transition": [[1.0]], "initialization": "diffuse",
    },
    "a geometric series": {"endog": 0.9 ** np.arange(60.0)},
    "plus and minus": {"endog": (-1.0) ** np.arange(60)},
    "explained by exog": {"endog": 2.0 * np.sqrt(np.arange(60.0)), "exog": np.sqrt(np.arange(60.0))},
    "a random walk": {"endog": np.cumsum(np.random.default_rng(0).normal(size=80))},
}  # fmt: skip


@not_converged
@methods
@pytest.mark.parametrize("spec", PERFECT.values(), ids=PERFECT.keys())
def test_data_without_noise(spec: dict[str, Any], method: str) -> None:
    given = dict(spec)
    maxiter = 30 if method == "em" else 300  # EM does not end: its variances fall without limit
    res = sse.LGSSM(given.pop("endog"), 1, design=[[1.0]], **given).fit(method=method, maxiter=maxiter)
    sound(res)
    if res.model.initialization_kind == "stationary":
        assert abs(res.matrices["transition"].iloc[0, 0]) < 1.0


UNITS = {"large": 1e8, "small": 1e-8, "mixed": np.array([1e6, 1.0, 1e-6])}


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_units_of_the_data(unit: Any) -> None:
    plain, res = model().fit(), sse.LGSSM(unit * Y, 1, identification="triangular").fit()
    sound(res)
    assert_allclose(res.llf, plain.llf - N * np.sum(np.log(unit * np.ones(3))), atol=1e-4)
    assert_allclose(res.tvalues, plain.tvalues, rtol=1e-2)


def test_a_level_far_from_zero() -> None:
    plain, res = model().fit(), sse.LGSSM(Y + 1e9, 1, identification="triangular").fit()
    sound(res)
    assert_allclose(res.llf, plain.llf, atol=1e-3)
    assert_allclose(res.bse, plain.bse, rtol=1e-2)


@not_converged
@gradient
def test_an_outlier(method: str) -> None:
    sound(sse.LGSSM(changed(1e12, 20, 1), 1, identification="triangular").fit(method=method))


@not_converged
@gradient
def test_nearly_everything_missing(method: str) -> None:
    endog = np.where(np.random.default_rng(0).random((N, 3)) < 0.8, NAN, Y)
    sound(sse.LGSSM(endog, 1, identification="triangular").fit(method=method))


@not_converged
@unidentified
@gradient
@pytest.mark.parametrize(("n", "k", "p"), [(4, 1, 3), (6, 1, 3), (12, 2, 3), (5, 1, 1), (12, 4, 2)])
def test_short_samples(n: int, k: int, p: int, method: str) -> None:
    sound(sse.LGSSM(Y[:n, :p], k).fit(method=method))


def test_samples_without_information_have_a_summary() -> None:
    """All missing, all zero, a single row: results at given parameters, without a warning."""
    built = model()
    for endog in (np.full((5, 3), NAN), np.zeros((5, 3)), Y[:1], changed(NAN, slice(None), 1)):
        res = built.clone(endog).smooth(built.start_params)
        assert "State" in res.summary().as_text() and np.all(np.isfinite(res.forecast(2)))


@pytest.mark.parametrize("cov_type", ["oim", "approx"])
def test_standard_errors_beside_a_boundary(cov_type: str) -> None:
    """They are those of the model with the variance fixed at zero."""
    y = Y[:, 0]
    res = sse.LGSSM(y, 1, identification="triangular").fit(cov_type=cov_type)
    inside = sse.LGSSM(y, 1, identification="triangular", obs_cov="zero").fit()
    assert np.isnan(res.bse[-1])
    assert_allclose(res.bse[:-1], inside.bse, rtol=1e-3)


def test_nothing_to_estimate() -> None:
    spec = {"design": [[1.0]], "transition": [[0.5]], "obs_intercept": "zero", "obs_cov": "identity"}
    built = sse.LGSSM(Y[:, 0], 1, state_cov="identity", **spec)
    for method in ("auto", "em", "lbfgs", "nm"):
        res = built.fit(method=method)
        assert len(res.params) == 0 and res.converged
        assert_allclose(res.llf, built.loglike([]), rtol=1e-9)
        assert "Converged" in res.summary().as_text()


@not_converged
def test_an_initial_variance_goes_to_zero() -> None:
    """One path has one initial state: its mean explains it, its variance is zero."""
    res = model(initialization="estimated", initial_state_cov="free").fit()
    sound(res)
    assert res.boundary == ["initial_var.f1"]
    assert_allclose(res.llf, model(initialization="estimated").fit().llf, atol=1e-5)
