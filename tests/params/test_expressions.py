"""Linear expressions of named parameters."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose

from statespace_ext.exceptions import SpecificationError
from statespace_ext.params.expressions import parse_expression

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
    constant, coefficients = parse_expression(text, "design[0][0]")
    assert constant == LINEAR[text][0]
    assert coefficients == LINEAR[text][1]


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3.0), (" -1.5 ", -1.5), ("1e-3", 0.001), ("inf", float("inf"))]
)
def test_bare_constants(text: str, value: float) -> None:
    """Which patsy alone rejects."""
    assert parse_expression(text, "here") == (value, {})


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
        parse_expression(text, "design[1][0]")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["a = 1", "a == b", "a = b + 1"])
def test_an_equality_is_refused(text: str) -> None:
    """Patsy would take it as a constraint, and drop half of what was meant."""
    with pytest.raises(SpecificationError, match="linear expression"):
        parse_expression(text, "here")


numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 6))


@given(st.lists(numbers, min_size=1, max_size=4).filter(any), numbers)
def test_values_are_those_of_python(coefs: list, constant: float) -> None:
    names = ["a", "b", "c1", "d_2"][: len(coefs)]
    text = " + ".join(
        [*(f"({coef!r})*{name}" for coef, name in zip(coefs, names, strict=True)), f"({constant!r})"]
    )
    found, coefficients = parse_expression(text, "here")
    at = dict(zip(names, [0.3, -1.7, 2.0, 11.0], strict=False))
    value = found + sum(coef * at[name] for name, coef in coefficients.items())
    assert_allclose(value, eval(text, {}, at), rtol=1e-9, atol=1e-9)
    assert set(coefficients) == {name for name, coef in zip(names, coefs, strict=True) if coef != 0}
