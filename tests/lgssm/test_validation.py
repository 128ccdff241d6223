"""Bad data of LGSSM, which are refused with clear words; unusual data, which are right."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from refusals import (
    FRAME,
    INF,
    MONTHS,
    NAN,
    NEXT,
    REGRESSORS,
    N,
    Refusal,
    X,
    Y,
    cases,
    changed,
    model,
    refused,
    unidentified,
)

import statespace_ext as sse
from statespace_ext import DataError, SpecificationError

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


def test_decimal_numbers_of_an_extension_type_are_numbers() -> None:
    """As those of Arrow: their kind is that of objects."""
    decimals = pytest.importorskip("pandas.tests.extension.decimal").DecimalArray
    exact = pd.Series(decimals([Decimal(str(value)) for value in FRAME["a"]]), index=FRAME.index)
    found = sse.LGSSM(FRAME.assign(a=exact), k_factors=1)
    np.testing.assert_array_equal(found.endog, FRAME)
