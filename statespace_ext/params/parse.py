"""
Conversion of matrix specifications (keywords, numbers, NaN, strings) to an `AffineMatrix`.

patsy parses linear expressions of named parameters, such as ``"a + 2*b"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from patsy import DesignInfo, PatsyError

from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array, at_period, is_positive_semidefinite
from .affine import AffineMatrix, Regimes, affine_matrix
from .curved import CovarianceFunction, CurvedMatrix

_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")


def parse_element(item: Any, where: str) -> tuple[float, dict[str, float]]:
    """
    Parse an element of a matrix into its constant and its coefficients by parameter name.

    Parameters
    ----------
    item : float or str
        A number or a linear expression in Python identifiers: ``"a"``, ``"a + 2*b"``, ``"1 - a/2"``.
    where : str
        Location of the element, for messages.

    Raises
    ------
    SpecificationError
        If a text is not linear, or is an equality, or the element is something else.
    """
    try:
        constant, coefficients = _linear(item) if isinstance(item, str) else (float(item), ())
    except TypeError as error:
        raise SpecificationError(f"{where} is neither a number nor a string", got=repr(item)) from error
    except (PatsyError, ValueError) as error:
        raise SpecificationError(
            f"{where} is not a linear expression of named parameters",
            got=repr(item),
            expected='a number, a name, or a linear expression such as "a + 2*b"',
        ) from error
    return constant, dict(coefficients)


@lru_cache(maxsize=1 << 14)  # a clone reads the elements of all periods again
def _linear(text: str) -> tuple[float, tuple[tuple[str, float], ...]]:
    """Return the constant and the coefficients of a linear expression; raise for other texts."""
    try:
        return float(text), ()
    except ValueError:
        names = list(dict.fromkeys(_NAME.findall(text)))
    if not names or "=" in text or "," in text:
        raise ValueError("no linear expression of names")
    with np.errstate(all="ignore"):  # "a/0", which is refused as not finite
        constraint = DesignInfo(names).linear_constraint(text)
    constant, coefs = -float(np.asarray(constraint.constants).item()), np.asarray(constraint.coefs, float)[0]
    if not (np.isfinite(constant) and np.isfinite(coefs).all()):
        raise ValueError("numbers that are not finite")
    return constant, tuple((name, coef) for name, coef in zip(names, coefs.tolist(), strict=True) if coef)


def parse_equations(
    value: object, names: Sequence[str], what: str = "hypotheses"
) -> tuple[Array, Array, list[str] | None]:
    """
    Return R (r, k), q (r,) and the texts of linear equations R b = q of named numbers.

    Parameters
    ----------
    value : str, list of str, mapping or (R, q)
        Equations in the form of `patsy.DesignInfo.linear_constraint`, such as ``"a = b, c = 0"``.
    names : sequence of str
        Names of the numbers.
    what : str
        Description of the equations, in the plural.

    Returns
    -------
    tuple
        R, q, and one text for each equation; None in place of the texts if they are not separate strings.

    Raises
    ------
    SpecificationError
        If an equation is not linear in the named numbers, or has coefficients that are not finite.
    """
    try:
        with np.errstate(all="ignore"):
            found = DesignInfo(names).linear_constraint(value)
        R, q = np.asarray(found.coefs, dtype=float), np.ravel(np.asarray(found.constants, dtype=float))
    except (LookupError, PatsyError, TypeError, ValueError) as error:
        raise SpecificationError(
            f"The {what} are not linear equations of coefficients",
            got=repr(value),
            expected=f'such as "{names[0]} = {names[-1]}", with names among {shown(names)}',
            remedy=next(iter(str(error).splitlines()), None),
        ) from error
    if not (np.isfinite(R).all() and np.isfinite(q).all()):
        raise SpecificationError(f"The {what} have numbers that are not finite", got=repr(value))
    texts = [value] if isinstance(value, str) else value
    if not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
        return R, q, None
    parts = [part.strip() for part in ",".join(texts).split(",")]
    return R, q, parts if len(parts) == len(R) else None


def equation_label(row: Array, value: float, names: Sequence[str]) -> str:
    """Return a linear equation as a text."""
    terms = [f"{coef:+g}*{name}" for name, coef in zip(names, row, strict=True) if coef]
    return f"{' '.join(terms) or '0'} = {value:g}"


def require_independent(R: Array, q: Array, labels: Sequence[str], what: str = "hypotheses") -> None:
    """
    Raise if linear equations R b = q contradict or repeat each other, or the list is empty.

    Raises
    ------
    SpecificationError
        In these cases.
    """
    scale = np.linalg.norm(R, axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, 1.0)
    rank = np.linalg.matrix_rank(R / scale) if R.size else 0
    if len(R) and rank == len(R):
        return
    clash = len(R) and np.linalg.matrix_rank(np.column_stack([R, q]) / scale) > rank
    raise SpecificationError(
        f"The {what} contradict each other" if clash else f"One of the {what} is redundant",
        got=shown(labels),
        expected="linearly independent equations",
        remedy="Leave one of them out.",
    )


Namer = Callable[[int, int], str]
Elements = list[tuple[int, int, str, float | Array]]
"""Row, column, parameter and coefficient (an array over time if the elements are not constant)."""

MATRIX_KEYWORDS = ("free", "zero", "identity", "diagonal")
COVARIANCES = frozenset({"obs_cov", "state_cov", "initial_state_cov"})
"""The blocks of a state-space model that are covariance matrices."""
COVARIANCE_KEYWORDS = ("unstructured", "free", "diagonal", "scalar", "equicorrelated", "identity", "zero")


def covariance_namer(stem: str, labels: Sequence[str], of: str = "") -> Namer:
    """Return names ``stem_var.a`` and ``stem_cov.a.b``; ``of`` comes before the labels."""

    def _name(i: int, j: int) -> str:
        first, second = labels[min(i, j)], labels[max(i, j)]
        return f"{stem}_var{of}.{first}" if i == j else f"{stem}_cov{of}.{first}.{second}"

    return _name


def matrix_namer(stem: str, rows: Sequence[str], columns: Sequence[str] | None = None) -> Namer:
    """Return names ``stem.column->row``, or ``stem.row`` for a vector."""
    if columns is None:
        return lambda i, j: f"{stem}.{rows[i]}"
    return lambda i, j: f"{stem}.{columns[j]}->{rows[i]}"


def parse_matrix(
    value: object, shape: tuple[int, int], where: str, namer: Namer, nobs: int | None = None
) -> AffineMatrix:
    """
    Parse the specification of a matrix of coefficients.

    Parameters
    ----------
    value : str, array_like or nested list
        "free", "zero", "identity", "diagonal"; numbers, where NaN marks a free element; or strings, each
        a linear expression of named parameters. A third axis runs over time.
    shape : (int, int)
        Rows and columns. A vector has one column.
    where : str
        Name of the argument, for messages.
    namer : callable
        Returns the name of the free element in row i and column j.
    nobs : int, optional
        Length of an axis over time.

    Raises
    ------
    SpecificationError
        If the value has the wrong shape, an unknown keyword, or elements that are not finite.
    """
    if isinstance(value, Regimes):
        return value.matrix(
            nobs, where, lambda each, suffix: parse_matrix(each, shape, where, _suffixed(namer, suffix))
        )
    found = _parsed_before(value, shape, where, nobs, MATRIX_KEYWORDS)
    if found is not None:
        return found
    if isinstance(value, str) and value in MATRIX_KEYWORDS:
        if value == "identity" and shape[0] != shape[1]:
            raise SpecificationError(f'{where}="identity" needs a square matrix', got=f"shape {shape}")
        numbers = keyword_array(value, shape)  # needs no checks: models are built from keywords in loops
        free = np.isnan(numbers)
        elements = [(i, j, namer(i, j), 1.0) for i, j in np.argwhere(free).tolist()]
        return affine_matrix(np.where(free, 0.0, numbers), elements)
    return affine_matrix(*_read(_as_array(value, shape, where, nobs), where, namer))


def keyword_array(keyword: str, shape: tuple[int, int]) -> Array:
    """Return the matrix of one of the `MATRIX_KEYWORDS`, with NaN for free elements."""
    if keyword in ("free", "zero"):
        return np.full(shape, np.nan if keyword == "free" else 0.0)
    eye = np.eye(*shape)
    return np.where(eye, np.nan, 0.0) if keyword == "diagonal" else eye


def parse_covariance(
    value: object,
    size: int,
    where: str,
    namer: Namer,
    nobs: int | None = None,
    shared: tuple[str, str] | None = None,
) -> AffineMatrix:
    """
    Parse the specification of a covariance matrix; see `parse_matrix`.

    ``shared`` contains the names of a common variance and covariance. By default these are the first part of
    the names.

    The keywords are "unstructured" (or "free"), "diagonal", "scalar", "equicorrelated", "identity" and
    "zero". A `CovarianceFunction` defines a custom structure.

    Raises
    ------
    SpecificationError
        Also if the specification is not symmetric, or fixed numbers in it rule out a covariance matrix.
    """
    common = shared or (namer(0, 0).split(".")[0], namer(min(1, size - 1), 0).split(".")[0])
    if isinstance(value, Regimes):
        return value.matrix(
            nobs, where, lambda each, suffix: _regime(each, suffix, size, where, namer, common)
        )
    found = _parsed_before(value, (size, size), where, nobs, COVARIANCE_KEYWORDS)
    if found is not None:
        return found
    if isinstance(value, CovarianceFunction):
        return CurvedMatrix.of(value, size, common[0])
    if isinstance(value, str) and value in COVARIANCE_KEYWORDS:
        return _covariance_keyword(value, size, namer, common)
    array = _as_array(value, (size, size), where, nobs)
    fixed, elements = _read(array, where, lambda i, j: namer(max(i, j), min(i, j)))
    _check_symmetry(array, fixed, elements, where)
    lower = [element for element in elements if element[0] >= element[1]]
    return check_covariance(affine_matrix(fixed, lower, symmetric=True), where)


def _suffixed(namer: Namer, suffix: str) -> Namer:
    """Return names with a suffix."""
    return lambda i, j: namer(i, j) + suffix


def _regime(
    value: object, suffix: str, size: int, where: str, namer: Namer, shared: tuple[str, str]
) -> AffineMatrix:
    """Return the covariance matrix of one regime."""
    if isinstance(value, CovarianceFunction):
        raise SpecificationError(
            f"{where} must not be a CovarianceFunction in a regime",
            got=repr(value)[:80],
            expected="a keyword or an array",
        )
    common = tuple(name + suffix.replace(".", "_", 1) for name in shared)
    return parse_covariance(value, size, where, _suffixed(namer, suffix), None, (common[0], common[1]))


def _parsed_before(
    value: object, shape: tuple[int, int], where: str, nobs: int | None, keywords: tuple[str, ...]
) -> AffineMatrix | None:
    """Return a matrix that was parsed before, and None for other values; raise for an unknown keyword."""
    if isinstance(value, str) and value not in keywords and shape != (1, 1):
        raise unknown_keyword(where, value, keywords)
    if not isinstance(value, AffineMatrix):
        return None
    if value.shape != shape or value.fixed.shape[2:] not in ((), (nobs,)):
        raise SpecificationError(
            f"{where} has the wrong shape", got=value.fixed.shape, expected=(*shape, nobs)
        )
    return value


def _covariance_keyword(keyword: str, size: int, namer: Namer, common: tuple[str, str]) -> AffineMatrix:
    """Return the matrix of a keyword, given the names of a common variance and covariance."""
    fixed = np.eye(size) if keyword == "identity" else np.zeros((size, size))
    diagonals = {"identity": 0, "zero": 0, "diagonal": 1, "scalar": 1}.get(keyword, size)
    places = [(j + d, j) for d in range(diagonals) for j in range(size - d)]
    if keyword in ("unstructured", "free", "diagonal"):
        return affine_matrix(fixed, [(i, j, namer(i, j), 1.0) for i, j in places], symmetric=True)
    return affine_matrix(fixed, [(i, j, common[int(i > j)], 1.0) for i, j in places], symmetric=True)


def _as_array(value: Any, shape: tuple[int, int], where: str, nobs: int | None) -> np.ndarray:
    """Return an array of numbers or of objects, of the shape or with a last axis over time."""
    array = _of_shape(numbers_or_objects(value, where, f"shape {shape}"), shape)
    lengths = [()] if nobs is None else [(), (1,), (nobs,)]
    if array.shape[:2] != shape or array.shape[2:] not in lengths:
        expected = f"{shape}" if nobs is None else f"{shape}, or {(*shape, nobs)} with a last axis over time"
        raise SpecificationError(f"{where} has the wrong shape", got=np.shape(value), expected=expected)
    if array.shape[2:] == (1,) and nobs != 1:
        array = array[:, :, 0]
    return array


def numbers_or_objects(value: object, where: str, expected: str) -> np.ndarray:
    """
    Return an array of floats, or of objects if there are strings.

    Raises
    ------
    SpecificationError
        If the value is ragged, or contains something else.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise SpecificationError(
            f"{where} has rows of different lengths", got=repr(value), expected=expected
        ) from error
    if array.dtype.kind in "OUS":
        return array.astype(object)
    if array.dtype.kind in "biuf":
        return array.astype(float)
    raise SpecificationError(f"{where} has the wrong type", got=array.dtype, expected="numbers or strings")


def _of_shape(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a number as a matrix, and a column's vector, or its rows over time, with two or three axes."""
    if array.ndim == 0 and shape == (1, 1):
        array = array.reshape(1, 1)
    if shape[1] == 1 and array.ndim < 3 and array.shape[:1] == shape[:1]:
        if array.ndim == 1:
            return array[:, None]
        if array.shape[1] != 1:
            return array[:, None, :]
    return array


def _read(array: np.ndarray, where: str, namer: Namer) -> tuple[Array, Elements]:
    """Return the fixed part and the free elements of an array of numbers, NaN and linear expressions."""
    texts = array.dtype == object
    numbers, paths = _parse_strings(array, where) if texts else (array, {})
    free = _free_in_all_periods(numbers, array, where)
    one = np.ones(array.shape[2:])
    paths |= {(i, j, namer(i, j)): one for i, j in np.argwhere(free).tolist()}
    fixed = np.where(np.isnan(numbers), 0.0, numbers)
    if fixed.ndim == 3 and not any(np.ptp(path) for path in paths.values()):
        paths = {place: path[0] for place, path in paths.items()}
        if texts and not np.any(np.ptp(fixed, axis=2)):
            fixed = fixed[:, :, 0]
    return fixed, [(*place, path[()]) for place, path in paths.items()]


def _free_in_all_periods(numbers: Array, array: np.ndarray, where: str) -> np.ndarray:
    """Return which elements are NaN; reject infinite ones, and those that are NaN in some periods only."""
    infinite = np.isinf(numbers)
    if infinite.any():
        at = tuple(np.argwhere(infinite)[0].tolist())
        raise SpecificationError(
            f"{_place(where, at)} is infinite", got=array[at], expected="a finite number or NaN (free)"
        )
    free = np.isnan(numbers)
    if np.any(free.T != at_period(free).T):
        raise SpecificationError(
            f"{where} is NaN (free) in some periods but not in others",
            expected="an element that is NaN in all periods or in none",
            remedy="Name the parameter: a string in the periods where it is free.",
        )
    return at_period(free)


def _parse_strings(array: np.ndarray, where: str) -> tuple[Array, dict[tuple[int, int, str], Array]]:
    """Return the constants of numbers and strings, and the path of each coefficient over time."""
    numbers = np.zeros(array.shape)
    paths: dict[tuple[int, int, str], Array] = {}
    for at, item in np.ndenumerate(array):
        numbers[at], coefs = parse_element(item, _place(where, at))
        for name, coef in coefs.items():
            paths.setdefault((at[0], at[1], name), np.zeros(array.shape[2:]))[at[2:]] = coef
    return numbers, paths


def _place(where: str, at: Sequence[int]) -> str:
    return where + "".join(f"[{index}]" for index in at)


def check_covariance(matrix: AffineMatrix, where: str) -> AffineMatrix:
    """
    Return the matrix if its fixed numbers allow a covariance matrix.

    Raises
    ------
    SpecificationError
        If they do not.
    """
    for t in matrix.regimes.tolist():
        _check_fixed(matrix.at_period(t), f"{where}[:, :, {t}]" if matrix.time_varying else where)
    return matrix


def _check_fixed(matrix: AffineMatrix, where: str) -> None:
    """Check the fixed numbers of a constant covariance matrix."""
    fixed, touched = matrix.fixed, matrix.free_elements
    diagonal, known = np.diag(fixed), ~np.diag(touched)
    complete = known & ~touched.any(axis=0)
    negative = np.flatnonzero(known & (diagonal < 0))
    if len(negative):
        i = int(negative[0])
        raise SpecificationError(
            f"{where} has a negative variance", got=f"{diagonal[i]} in row {i}", expected="zero or more"
        )
    pairs = known[:, None] & known & ~touched
    beyond = pairs & (fixed**2 > (1 + 1e-10) * diagonal[:, None] * diagonal)
    if beyond.any() or not is_positive_semidefinite(fixed[complete][:, complete]):
        raise SpecificationError(
            f"{where} is not positive semidefinite",
            got=fixed.tolist(),
            expected="a covariance matrix",
            remedy="Check the fixed elements.",
        )
    rows = np.flatnonzero(known & (diagonal == 0) & (np.any(fixed, axis=1) | touched.any(axis=1)))
    if len(rows):
        raise SpecificationError(
            f"{where} has a variance fixed at zero but a covariance that is not zero",
            got=f"row {rows[0]}",
            remedy="Fix the covariances of that row at zero too.",
        )


def _check_symmetry(array: np.ndarray, fixed: Array, elements: Elements, where: str) -> None:
    """Reject a covariance specification with an element that differs from its mirror image."""
    symmetric = np.isclose(fixed, np.swapaxes(fixed, 0, 1), rtol=1e-12, atol=0)
    coefs = {(i, j, name): coef for i, j, name, coef in elements}
    for (i, j, name), coef in coefs.items():
        same = coef == coefs.get((j, i, name), 0.0)
        symmetric[i, j], symmetric[j, i] = symmetric[i, j] & same, symmetric[j, i] & same
    if not np.all(symmetric):
        i, j, *period = np.argwhere(~symmetric)[0].tolist()
        one, other = (array[(*place, *period)] for place in ((i, j), (j, i)))
        raise SpecificationError(
            f"{where} is not symmetric" + "".join(f" in period {t}" for t in period),
            got=f"{one!s:.60} in [{i}][{j}], {other!s:.60} in [{j}][{i}]",
            expected="the same above and below the diagonal",
        )


MARSS_COVARIANCES = {
    "unconstrained": "unstructured",
    "diagonal and unequal": "diagonal",
    "diagonal and equal": "scalar",
    "equalvarcov": "equicorrelated",
}
_MARSS_MATRICES: Mapping[str, object] = {
    "unconstrained": "free",
    "unequal": "free",
    "diagonal and unequal": "diagonal",
    "diagonal and equal": [["b", 0], [0, "b"]],
    "equalvarcov": [["b", "c"], ["c", "b"]],
    "equal": ["u", "u"],
    "onestate": [[1], [1]],
    "scaling": [0, float("nan")],
}
"""Keywords of this package for those of MARSS; a list represents a matrix of any size."""


def unknown_keyword(where: str, value: str, keywords: tuple[str, ...]) -> SpecificationError:
    """Return the error for a string that is not a keyword, with the name used here if MARSS has it."""
    known: Mapping[str, object] = MARSS_COVARIANCES if "unstructured" in keywords else _MARSS_MATRICES
    name = known.get(value)
    like = "" if isinstance(name, str) else "such as "
    return SpecificationError(
        f"{where} is not a known keyword",
        got=repr(value),
        expected=f"one of {', '.join(keywords)}; an array (NaN: free); or nested lists with strings",
        remedy=None
        if name is None
        else f"MARSS's {value!r} is written {like}{name!r} here; from_marss takes MARSS's words.",
    )
