"""From what a user writes for a matrix to vec(M) = f + D m; linear expressions of named parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.exceptions import SpecificationError
from statespace_ext.params.affine import AffineMatrix
from statespace_ext.params.parse import (
    COVARIANCE_KEYWORDS,
    MATRIX_KEYWORDS,
    parse_covariance,
    parse_element,
    parse_matrix,
)

NAN = np.nan


def name(i: int, j: int) -> str:
    return f"m.{i}.{j}"


def cov_name(i: int, j: int) -> str:
    return f"var.{i}" if i == j else f"cov.{max(i, j)}.{min(i, j)}"


def matrix(value: object, shape: tuple = (2, 2), nobs: int | None = None) -> AffineMatrix:
    return parse_matrix(value, shape, "design", name, nobs)


def covariance(value: object, size: int = 2, nobs: int | None = None) -> AffineMatrix:
    return parse_covariance(value, size, "obs_cov", cov_name, nobs)


def letters(parsed: AffineMatrix) -> list:
    """The matrix with a name, or a number, in each place; a combination as a tuple."""
    out = [[parsed.fixed[i, j] for j in range(parsed.shape[1])] for i in range(parsed.shape[0])]
    for i, j, text, coef in zip(parsed.rows, parsed.columns, parsed.names, parsed.coefs, strict=True):
        out[i][j] = text if coef == 1.0 and out[i][j] == 0.0 else (out[i][j], coef, text)
    return out


# -- matrices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("free", [["m.0.0", "m.0.1"], ["m.1.0", "m.1.1"]]),
        ("zero", [[0, 0], [0, 0]]),
        ("identity", [[1, 0], [0, 1]]),
        ("diagonal", [["m.0.0", 0], [0, "m.1.1"]]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        (np.array([[1, NAN], [0, 4]]), [[1, "m.0.1"], [0, 4]]),
        ([[True, False], [False, True]], [[1, 0], [0, 1]]),
        ([["a", 0], ["a", 1.5]], [["a", 0], ["a", 1.5]]),
        ([["a", NAN], ["0.5", "-1"]], [["a", "m.0.1"], [0.5, -1]]),
        ([["nan", "a"], [0, 1]], [["m.0.0", "a"], [0, 1]]),
        ([["2*a", "1 - a"], ["a + 1", 0]], [[(0, 2, "a"), (1, -1, "a")], [(1, 1, "a"), 0]]),
        (np.array([["a", "b"], ["b", "a"]]), [["a", "b"], ["b", "a"]]),
        ((("a", 1), (0, "b")), [["a", 1], [0, "b"]]),
    ],
)
def test_matrices(value: object, expected: list) -> None:
    assert letters(matrix(value)) == expected


def test_floats_beside_strings_keep_their_digits() -> None:
    parsed = matrix([["a", 1 / 3], [0.1 + 0.2, 1e-300]])
    assert parsed.fixed[0, 1] == 1 / 3
    assert parsed.fixed[1, 0] == 0.1 + 0.2
    assert parsed.fixed[1, 1] == 1e-300


def test_an_element_may_combine_several_parameters() -> None:
    parsed = matrix([["a + 2*b - 1", 0], ["b", "a"]])
    assert_array_equal(parsed.values({"a": 3.0, "b": 5.0}), [[12, 0], [5, 3]])


def test_rectangular_keywords() -> None:
    assert letters(matrix("diagonal", (3, 2))) == [["m.0.0", 0], [0, "m.1.1"], [0, 0]]
    with pytest.raises(SpecificationError, match="square"):
        matrix("identity", (3, 2))


@pytest.mark.parametrize("value", [[1, NAN, 3], [[1], [NAN], [3]], np.array([1, NAN, 3.0])])
def test_vectors(value: object) -> None:
    assert letters(matrix(value, (3, 1))) == [[1], ["m.1.0"], [3]]
    assert letters(matrix(["a", "0.5", "b"], (3, 1))) == [["a"], [0.5], ["b"]]


@pytest.mark.parametrize("value", [2, 2.0, [2], [[2]], "2", ["2"], [["2"]]])
def test_scalars(value: object) -> None:
    assert letters(matrix(value, (1, 1))) == [[2]]


@pytest.mark.parametrize("value", ["phi", ["phi"], [["phi"]]])
def test_scalar_names(value: object) -> None:
    assert letters(matrix(value, (1, 1))) == [["phi"]]


@pytest.mark.parametrize("value", [NAN, [NAN], [["nan"]], "free", "diagonal"])
def test_free_scalars(value: object) -> None:
    assert letters(matrix(value, (1, 1))) == [["m.0.0"]]


def test_a_last_axis_over_time() -> None:
    value = np.arange(12.0).reshape(2, 2, 3)
    value[0, 1] = NAN
    parsed = matrix(value, nobs=3)
    assert parsed.time_varying
    assert parsed.names == ("m.0.1",)
    assert_array_equal(parsed.values({"m.0.1": -1.0})[1], value[1])
    assert_array_equal(parsed.values({"m.0.1": -1.0})[0, 1], [-1, -1, -1])


def test_strings_over_time() -> None:
    value = np.full((2, 2, 3), 0.0, dtype=object)
    value[0, 1], value[1, 0, 2], value[1, 1] = "a", "2*a + b - 1", NAN
    parsed = matrix(value, nobs=3)
    assert parsed.moves
    assert set(parsed.param_names) == {"a", "b", "m.1.1"}
    at = parsed.values({"a": 3.0, "b": 5.0, "m.1.1": 7.0})
    assert_array_equal(at[..., 0], [[0, 3], [0, 7]])
    assert_array_equal(at[..., 2], [[0, 3], [10, 7]])


def test_strings_that_do_not_vary_have_no_axis_over_time() -> None:
    value = np.full((2, 2, 3), "a", dtype=object)
    assert not matrix(value, nobs=3).time_varying
    value[1, 1] = [1.0, 2.0, 3.0]
    varying = matrix(value, nobs=3)
    assert varying.time_varying
    assert not varying.moves


def test_an_axis_of_length_one_is_no_time() -> None:
    parsed = matrix(np.ones((2, 2, 1)), nobs=3)
    assert not parsed.time_varying
    assert parsed.fixed.shape == (2, 2)


@pytest.mark.parametrize("shape", [(2, 5), (2, 1, 5)])
def test_vectors_over_time(shape: tuple) -> None:
    value = np.arange(10.0).reshape(shape)
    parsed = matrix(value, (2, 1), nobs=5)
    assert parsed.fixed.shape == (2, 1, 5)
    assert_array_equal(parsed.fixed[:, 0], value.reshape(2, 5))


def test_the_value_is_copied() -> None:
    value = np.array([[1.0, NAN], [0.0, 2.0]])
    parsed = matrix(value)
    value[:] = 7
    assert letters(parsed) == [[1, "m.0.1"], [0, 2]]


REFUSED = {
    "unknown keyword": ("fre", "not a known keyword", MATRIX_KEYWORDS),
    "a covariance's keyword": ("scalar", "not a known keyword", ("free",)),
    "wrong shape": (np.ones((2, 3)), "wrong shape", ("(2, 3)", "(2, 2)")),
    "wrong shape of strings": ([["a", "b"]], "wrong shape", ("(1, 2)",)),
    "vector for a matrix": ([1, 2], "wrong shape", ("(2,)",)),
    "ragged": ([[1, 2], [3]], "different lengths|shape", ("(2, 2)",)),
    "infinite": ([[1, np.inf], [0, 1]], "infinite", ()),
    "infinite string": ([["a", "inf"], [0, 1]], r"design\[0\]\[1\] is infinite", ()),
    "not linear": ([["a*b", 0], [0, 1]], r"design\[0\]\[0\] is not a linear", ("'a*b'",)),
    "complex": (np.ones((2, 2)) * 1j, "wrong type", ("complex",)),
    "None": ([["a", None], [0, 1]], r"design\[0\]\[1\]", ("None",)),
    "object": ([["a", {}], [0, 1]], r"design\[0\]\[1\]", ()),
    "nothing": (None, "design", ()),
    "no time axis": (np.ones((2, 2, 4)), "wrong shape", ("(2, 2, 4)", "(2, 2, 5)")),
    "NaN at times": (np.where(np.arange(5) > 2, NAN, np.ones((2, 2, 5))), "some periods", ()),
    "NaN beside strings": (
        np.where(np.arange(5) > 2, "a", np.full((2, 2, 5), NAN, dtype=object)), "some periods", ("string",),
    ),
    "not linear at times": (
        np.where(np.arange(5) > 2, "a*b", np.full((2, 2, 5), 1, dtype=object)), r"\[0\]\[0\]\[3\] is not", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_matrices_refused(case: str) -> None:
    value, message, words = REFUSED[case]
    with pytest.raises(SpecificationError, match=message) as caught:
        matrix(value, nobs=5)
    assert "design" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# -- covariances -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("unstructured", [["var.0", "cov.1.0"], ["cov.1.0", "var.1"]]),
        ("free", [["var.0", "cov.1.0"], ["cov.1.0", "var.1"]]),
        ("diagonal", [["var.0", 0], [0, "var.1"]]),
        ("scalar", [["var", 0], [0, "var"]]),
        ("equicorrelated", [["var", "cov"], ["cov", "var"]]),
        ("identity", [[1, 0], [0, 1]]),
        ("zero", [[0, 0], [0, 0]]),
        ([[2, 1], [1, 2]], [[2, 1], [1, 2]]),
        ([[NAN, 0.5], [0.5, 2]], [["var.0", 0.5], [0.5, 2]]),
        ([[NAN, NAN], [NAN, NAN]], [["var.0", "cov.1.0"], ["cov.1.0", "var.1"]]),
        ([["v", "c"], ["c", "v"]], [["v", "c"], ["c", "v"]]),
        ([["v", NAN], [NAN, "2*v"]], [["v", "cov.1.0"], ["cov.1.0", (0, 2, "v")]]),
        ([["v", "0.5"], [0.5, 1]], [["v", 0.5], [0.5, 1]]),
        ([["a + b", "b"], ["b", "b"]], None),
        ([[0, 0], [0, NAN]], [[0, 0], [0, "var.1"]]),
    ],
)
def test_covariances(value: object, expected: list | None) -> None:
    parsed = covariance(value)
    if expected is not None:
        assert letters(parsed) == expected
    at = parsed.values({text: i + 1.0 for i, text in enumerate(parsed.param_names)})
    assert_array_equal(at, at.T)


@pytest.mark.parametrize("value", ["unstructured", "diagonal", "scalar", "equicorrelated", NAN, [[NAN]]])
def test_covariances_of_one_series(value: object) -> None:
    parsed = covariance(value, 1)
    assert len(parsed.param_names) == 1
    assert parsed.values({parsed.param_names[0]: 3.0}) == [[3.0]]


def test_names_of_a_common_variance() -> None:
    parsed = parse_covariance("equicorrelated", 2, "obs_cov", cov_name, shared=("v", "c"))
    assert letters(parsed) == [["v", "c"], ["c", "v"]]


def test_covariances_over_time() -> None:
    value = np.stack([np.diag([1.0, t]) for t in range(1, 4)], axis=-1)
    parsed = covariance(value, nobs=3)
    assert parsed.is_fixed
    assert_array_equal(parsed.values({}), value)
    value[1, 1] = NAN
    assert covariance(value, nobs=3).param_names == ["var.1"]


REFUSED_COVARIANCES = {
    "unknown keyword": ("full", "not a known keyword", COVARIANCE_KEYWORDS),
    "numbers not symmetric": ([[1, 0.5], [0.2, 1]], "not symmetric", ("0.2",)),
    "strings not symmetric at times": (
        np.dstack([np.eye(2).astype(object), [["v", "c"], ["d", "v"]]]), "symmetric in period 1", ("d in",),
    ),
    "NaN not symmetric": ([[1, NAN], [0, 1]], "not symmetric", ()),
    "strings not symmetric": ([["v", "c"], [0, "v"]], "not symmetric", ("c",)),
    "expressions not symmetric": ([["v", "2*c"], ["c", "v"]], "not symmetric", ()),
    "negative variance": ([[-1, 0], [0, 1]], "negative variance", ("-1",)),
    "two negative variances": ([[-1, 0], [0, -2]], "negative variance", ("-1", "row 0")),
    "not positive semidefinite": ([[1, 2], [2, 1]], "not positive semidefinite", ()),
    "zero variance, covariance": ([[0, 0.5], [0.5, 1]], "semidefinite|fixed at zero", ()),
    "zero variance, free covariance": ([[0, NAN], [NAN, NAN]], "fixed at zero", ()),
    "wrong shape": (np.eye(3), "wrong shape", ("(3, 3)",)),
    "infinite": ([[np.inf, 0], [0, 1]], "infinite", ()),
    "negative at times": (np.stack([np.eye(2), -np.eye(2)], axis=-1), "negative variance", ()),
    "not semidefinite at times": (
        np.stack([np.eye(2), np.array([[1.0, 2], [2, 1]])], axis=-1), "not positive semidefinite", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_COVARIANCES)
def test_covariances_refused(case: str) -> None:
    value, message, words = REFUSED_COVARIANCES[case]
    with pytest.raises(SpecificationError, match=message) as caught:
        covariance(value, nobs=2)
    assert "obs_cov" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_row_at_fault_is_named() -> None:
    """Of two rows without variance the one that has a covariance."""
    with pytest.raises(SpecificationError, match="got row 1[;.]"):
        covariance([[0, 0, 0], [0, 0, 0.5], [0, 0.5, NAN]], size=3)


def test_a_singular_fixed_covariance_is_accepted() -> None:
    assert covariance([[1, 1], [1, 1]]).is_fixed
    assert covariance(np.zeros((2, 2))).is_fixed


LINEAR = {
    "a": (0, {"a": 1}),
    "-a": (0, {"a": -1}),
    "2*a": (0, {"a": 2}),
    "a*2": (0, {"a": 2}),
    "a/4": (0, {"a": 0.25}),
    "2*3*a": (0, {"a": 6}),
    "a + 2*b": (0, {"a": 1, "b": 2}),
    "1 - a/2": (1, {"a": -0.5}),
    "2*(a + b) - 3": (-3, {"a": 2, "b": 2}),
    "-(a - b)": (0, {"a": -1, "b": 1}),
    "a - -b": (0, {"a": 1, "b": 1}),
    "1e-3*a": (0, {"a": 0.001}),
    "0.5 + a + a": (0.5, {"a": 2}),
    "0*a + b": (0, {"b": 1}),
    "  a+b ": (0, {"a": 1, "b": 1}),
    "alpha_1 - beta2": (0, {"alpha_1": 1, "beta2": -1}),
    "é + 1": (1, {"é": 1}),
    "e + lambda": (0, {"e": 1, "lambda": 1}),
}


@pytest.mark.parametrize("text", LINEAR)
def test_linear_expressions(text: str) -> None:
    constant, coefficients = parse_element(text, "design[0][0]")
    assert constant == LINEAR[text][0]
    assert coefficients == LINEAR[text][1]


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3.0), (" -1.5 ", -1.5), ("1e-3", 0.001), ("inf", float("inf"))]
)
def test_bare_constants(text: str, value: float) -> None:
    """Which patsy alone rejects."""
    assert parse_element(text, "here") == (value, {})


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a*b", "a**2", "1/a", "a/0", "a(1)", "I(a)", "a[1]", "a.b", "2a", "a b", "a:b", "a ~ b",
        "a;b", "(a", "a +", "a < b", "a % 2", "a // 2", "a @ b", "a + 'b'", "a*1e400", "a, b", "exp(a)",
        "a if b else c",
    ],
)  # fmt: skip
def test_what_is_not_linear_is_refused(text: str) -> None:
    with pytest.raises(SpecificationError, match=r"design\[1\]\[0\] is not a linear expression") as caught:
        parse_element(text, "design[1][0]")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["a = 1", "a == b", "a = b + 1"])
def test_an_equality_is_refused(text: str) -> None:
    """Patsy would take it as a constraint, and drop half of what was meant."""
    with pytest.raises(SpecificationError, match="linear expression"):
        parse_element(text, "here")


numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 6))


@given(st.lists(numbers, min_size=1, max_size=4).filter(any), numbers)
def test_values_are_those_of_python(coefs: list, constant: float) -> None:
    names = ["a", "b", "c1", "d_2"][: len(coefs)]
    text = " + ".join(
        [*(f"({coef!r})*{name}" for coef, name in zip(coefs, names, strict=True)), f"({constant!r})"]
    )
    found, coefficients = parse_element(text, "here")
    at = dict(zip(names, [0.3, -1.7, 2.0, 11.0], strict=False))
    value = found + sum(coef * at[name] for name, coef in coefficients.items())
    assert_allclose(value, eval(text, {}, at), rtol=1e-9, atol=1e-9)
    assert set(coefficients) == {name for name, coef in zip(names, coefs, strict=True) if coef != 0}
