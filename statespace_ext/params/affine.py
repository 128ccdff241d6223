"""Matrices whose elements are affine in named parameters, vec(M) = f + D m, also between named regimes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, compress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.sparse.csgraph import connected_components

from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array, at_period, diagonal_matrix

IntArray = NDArray[np.intp]
M = TypeVar("M", bound="AffineMatrix")


@dataclass(frozen=True)
class AffineMatrix:
    """
    A matrix M with vec(M) = f + D m, D stored by its nonzero elements.

    Attributes
    ----------
    fixed : ndarray, (rows, columns) or (rows, columns, nobs)
        The fixed part f. A third axis runs over time.
    rows, columns : ndarray of int
        Position of each nonzero element of D in the matrix.
    names : tuple of str
        The parameter of each nonzero element.
    coefs : ndarray of float, (elements,) or (elements, nobs)
        The value of each nonzero element. With an axis over time, D varies over time, and ``fixed`` has that
        axis too.
    """

    fixed: Array
    rows: IntArray
    columns: IntArray
    names: tuple[str, ...]
    coefs: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.fixed.shape[0], self.fixed.shape[1]

    @property
    def time_varying(self) -> bool:
        """Whether the fixed part has an axis over time."""
        return self.fixed.ndim == 3

    @property
    def moves(self) -> bool:
        """Whether D varies over time."""
        return self.coefs.ndim == 2

    @property
    def param_names(self) -> list[str]:
        """Distinct parameter names, in order of first appearance by column."""
        return list(dict.fromkeys(self.names))

    @property
    def param_places(self) -> IntArray:
        """The position in `param_names` of the parameter of each nonzero element of D."""
        place = {name: position for position, name in enumerate(self.param_names)}
        return np.array([place[name] for name in self.names], dtype=np.intp)

    @property
    def is_fixed(self) -> bool:
        """Whether no element is free."""
        return not self.names

    @property
    def free_elements(self) -> NDArray[np.bool_]:
        """The elements of the matrix that D moves, (rows, columns)."""
        out = np.zeros(self.shape, bool)
        out[self.rows, self.columns] = True
        return out

    def values(self, params: Mapping[str, float]) -> Array:
        """Return the matrix at the given parameter values."""
        return self.at(np.array([params[name] for name in self.names], dtype=float))

    def at(self, element_values: Array) -> Array:
        """Return the matrix, given the parameter value behind each nonzero element of D."""
        out = np.array(self.fixed, order="F")
        terms = self._terms(element_values)
        if self.is_distinct:
            out[self.rows, self.columns] = self._fixed_here + terms
        else:
            np.add.at(out, (self.rows, self.columns), terms)
        return out

    def diagonal_at(self, element_values: Array) -> Array:
        """Return the matrix, which `is_diagonal`, stored by its diagonal."""
        terms = np.bincount(self.rows, self.coefs * element_values, minlength=len(self.fixed))
        return diagonal_matrix(self._fixed_diagonal + terms)

    @cached_property
    def _fixed_here(self) -> Array:
        """The fixed part of the elements that D moves."""
        return np.asarray(self.fixed[self.rows, self.columns])

    @cached_property
    def _fixed_diagonal(self) -> Array:
        return np.array(np.diag(self.fixed), dtype=float)

    @cached_property
    def is_diagonal(self) -> bool:
        """Whether the matrix is constant over time, and diagonal at all parameter values."""
        square = self.fixed.ndim == 2 and self.shape[0] == self.shape[1]
        inside = square and np.array_equal(self.rows, self.columns)
        return bool(inside) and np.count_nonzero(self.fixed) == np.count_nonzero(self._fixed_diagonal)

    @property
    def along_diagonal(self) -> AffineMatrix:
        """The diagonal, as a matrix with one column, of a matrix that `is_diagonal`."""
        zero = np.zeros_like(self.columns)
        return AffineMatrix(self._fixed_diagonal[:, None], self.rows, zero, self.names, self.coefs)

    def _terms(self, element_values: Array) -> Array:
        """Return coefficient times value, with an axis over time if the matrix has one."""
        if self.moves:
            return self.coefs * element_values[:, None]
        terms = self.coefs * element_values
        return terms[:, None] if self.time_varying else terms

    @cached_property
    def is_distinct(self) -> bool:
        """Whether each element of the matrix depends on at most one nonzero element of D."""
        return len(np.unique(self.rows * self.shape[1] + self.columns)) == len(self.names)

    def fix(self, values: Mapping[str, float]) -> AffineMatrix:
        """Return the matrix with parameters fixed at values: f += D[:, j] v, and column j is dropped."""
        held = np.array([name in values for name in self.names], dtype=bool)
        if not held.any():
            return self
        fixed = np.array(self.fixed)
        terms = self._terms(np.array([values.get(name, 0.0) for name in self.names]))
        np.add.at(fixed, (self.rows[held], self.columns[held]), terms[held])
        return self._kept(~held, fixed, self.coefs)

    def row_block(self, rows: IntArray) -> AffineMatrix:
        """Return the matrix with the selected rows, in the given order."""
        place = np.full(self.shape[0], -1)
        place[rows] = np.arange(len(rows))
        kept = self._kept(place[self.rows] >= 0, self.fixed[rows], self.coefs)
        return replace(kept, rows=place[kept.rows])

    def _kept(self: M, which: Array, fixed: Array, coefs: Array) -> M:
        """Return the matrix with some of the nonzero elements of D, and another fixed part."""
        names = tuple(compress(self.names, which))
        rows, columns = self.rows[which], self.columns[which]
        return replace(self, fixed=fixed, rows=rows, columns=columns, names=names, coefs=coefs[which])

    # -- matrices that vary over time --------------------------------------------------------------------

    def over(self, periods: IntArray | slice) -> AffineMatrix:
        """Return the matrix over some periods; a constant one is returned unchanged."""
        if not self.time_varying:
            return self
        coefs = self.coefs[:, periods] if self.moves else self.coefs
        return replace(self, fixed=self.fixed[:, :, periods], coefs=coefs)

    @cached_property
    def regimes(self) -> IntArray:
        """The first period of each distinct pair (f_t, D_t); 0 for a constant matrix."""
        return periods_alike([self], [self])[0] if self.time_varying else np.zeros(1, dtype=np.intp)

    def at_period(self, t: int) -> AffineMatrix:
        """Return the constant matrix of a period, with the elements that are free in it."""
        if not self.time_varying:
            return self
        coefs = self.coefs[:, t] if self.moves else self.coefs
        return self._kept(coefs != 0.0, self.fixed[:, :, t], coefs)

    def by_regime(self, values: Array) -> Iterator[tuple[AffineMatrix, Array]]:
        """Yield the constant matrix of each regime, with its values."""
        for t in self.regimes.tolist():
            yield self.at_period(t), at_period(values, t)

    def joined(self, diagonal: bool) -> AffineMatrix:
        """Return the matrices of all `regimes` as one constant matrix: block-diagonal, or side by side."""
        return side_by_side([self.at_period(t) for t in self.regimes.tolist()], diagonal)


@dataclass(frozen=True)
class Elements:
    """Nonzero elements of the derivative of a matrix: row, column, position of the parameter and value."""

    rows: IntArray
    columns: IntArray
    params: IntArray
    values: Array

    def __iter__(self) -> Iterator[tuple[int, int, int, float]]:
        """Iterate over row, column, position of the parameter and value."""
        return zip(self.rows, self.columns, self.params, self.values, strict=True)

    def between(self, first: int, last: int) -> Elements:
        """Return the elements of parameters first <= place < last, counted from ``first``."""
        kept = (self.params >= first) & (self.params < last)
        return Elements(self.rows[kept], self.columns[kept], self.params[kept] - first, self.values[kept])

    def dense(self, m: int, shape: tuple[int, ...]) -> Array:
        """Return the derivative as an array (m, rows, columns)."""
        out = np.zeros((m, *shape))
        np.add.at(out, (self.params, self.rows, self.columns), self.values)
        return out


class Pattern:
    """
    The pattern of free elements of a covariance matrix, which determines its structure.

    Attributes
    ----------
    matrix : AffineMatrix
        The matrix.
    free : ndarray of bool, (p, p)
        True for free elements.
    fixed : ndarray, (p, p)
        The fixed elements, with the largest value over time.
    rows : ndarray of int
        The rows with free elements.
    plain : bool
        Whether each free element is one parameter, and no other element of these rows has a fixed value.
    """

    def __init__(self, matrix: AffineMatrix) -> None:
        self.matrix = matrix
        self.free = matrix.free_elements
        self.fixed = matrix.fixed if matrix.fixed.ndim == 2 else np.abs(matrix.fixed).max(axis=2)
        self.rows = np.flatnonzero(self.free.any(axis=0))
        single = bool(np.all(matrix.coefs == 1.0)) and matrix.is_distinct
        self.plain = single and not np.any(self.fixed[self.rows])

    @property
    def is_unshared(self) -> bool:
        """Whether each free element of a triangle has its own parameter."""
        return self.plain and int(np.tril(self.free).sum()) == len(self.matrix.param_names)

    @cached_property
    def blocks(self) -> list[list[int]]:
        """The rows that free covariances connect."""
        count, labels = connected_components(self.free[np.ix_(self.rows, self.rows)], directed=False)
        return [self.rows[labels == label].tolist() for label in range(count)]


def periods_alike(
    free: Sequence[AffineMatrix], whole: Sequence[AffineMatrix] = ()
) -> tuple[IntArray, IntArray]:
    """
    Return the first period of each group of alike periods, and the group of each period.

    Parameters
    ----------
    free : sequence of AffineMatrix
        Matrices whose D_t is the same in the periods of a group. One at least varies over time.
    whole : sequence of AffineMatrix
        Matrices whose f_t is the same in the periods of a group.
    """
    parts = [matrix.coefs for matrix in free if matrix.moves]
    parts += [matrix.fixed.reshape(-1, matrix.fixed.shape[2]) for matrix in whole if matrix.time_varying]
    _, first, group = np.unique(np.concatenate(parts).T, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # groups in the order in which they begin
    return first[order], np.argsort(order)[np.ravel(group)]


def affine_matrix(
    fixed: Array, elements: Sequence[tuple[int, int, str, float | Array]], symmetric: bool = False
) -> AffineMatrix:
    """
    Build an `AffineMatrix` from (row, column, name, coefficient) elements.

    A coefficient may be an array over time. With ``symmetric``, elements below the diagonal are repeated
    above it.
    """
    if symmetric:
        elements = [*elements, *((j, i, name, coef) for i, j, name, coef in elements if i != j)]
    elements = sorted(elements, key=lambda element: (element[1], element[0]))
    return AffineMatrix(
        np.array(fixed, dtype=float),
        np.array([element[0] for element in elements], dtype=np.intp),
        np.array([element[1] for element in elements], dtype=np.intp),
        tuple(element[2] for element in elements),
        np.array([element[3] for element in elements], dtype=float),
    )


def side_by_side(blocks: Sequence[AffineMatrix], diagonal: bool = False) -> AffineMatrix:
    """
    Join matrices with equal rows side by side, or constant ones along the diagonal.

    Side by side, constant matrices are repeated over time if another varies over time.
    """
    periods = max((block.fixed.shape[2] for block in blocks if block.time_varying), default=0)
    moves = any(block.moves for block in blocks)
    shapes = np.array([block.shape for block in blocks])
    begins = (np.cumsum(shapes, axis=0) - shapes) * (diagonal, True)
    pairs = zip(blocks, begins, strict=True)
    places = [np.array([block.rows, block.columns]) + begin[:, None] for block, begin in pairs]
    rows, columns = np.concatenate(places, axis=1)
    each = [with_time(block.fixed, periods, 3) for block in blocks]
    fixed = block_diag(*each) if diagonal else np.concatenate(each, axis=1)
    names = tuple(chain.from_iterable(block.names for block in blocks))
    coefs = np.concatenate([with_time(block.coefs, periods * moves, 2) for block in blocks])
    return AffineMatrix(fixed, rows, columns, names, coefs)


def with_time(values: Array, periods: int, axes: int) -> Array:
    """Return values with an axis over time, the last of so many axes, if there are periods."""
    return np.repeat(values[..., None], periods, -1) if periods and values.ndim < axes else values


@dataclass(frozen=True, repr=False)
class Regimes:
    """
    A matrix that changes over time between regimes, as an argument of `LGSSM`.

    Parameters
    ----------
    labels : array_like, (nobs,)
        The regime of each period.
    patterns : mapping
        The specification of the matrix in each regime. Named parameters are shared by all regimes in which
        they stand. Free elements of keywords and of NaN get the label as a suffix: ``obs_var.y1.before``, or
        ``obs_var_before`` for a variance of all rows.
    hold : bool
        Whether the last regime lasts in periods after the sample. By default these periods need labels.
    partial : bool
        Whether patterns may stand in no period, as in a part of a sample.

    Raises
    ------
    SpecificationError
        If a label has no pattern, or a pattern no period.

    Examples
    --------
    >>> import numpy as np
    >>> import statespace_ext as sse
    >>> y = np.cumsum(np.random.default_rng(0).normal(size=80))
    >>> when = np.where(np.arange(80) < 50, "before", "after")
    >>> noise = sse.Regimes(when, {"before": [["r"]], "after": [["4*r"]]})
    >>> level = {"design": [[1]], "transition": [[1]], "obs_intercept": "zero", "initialization": "diffuse"}
    >>> sse.LGSSM(y, 1, obs_cov=noise, **level).param_names
    ['r', 'state_var.f1']
    """

    labels: Any
    patterns: Mapping[Hashable, object]
    hold: bool = False
    partial: bool = False

    def __post_init__(self) -> None:
        """Check that labels and patterns belong together."""
        labels = self.label_list
        if not isinstance(self.patterns, Mapping) or not self.patterns:
            raise SpecificationError(
                "patterns must be a mapping", got=repr(self.patterns)[:80], expected="{label: matrix, ...}"
            )
        unknown = [label for label in dict.fromkeys(labels) if label not in self.patterns]
        if unknown:
            raise SpecificationError(
                "A label has no pattern",
                got=shown(map(repr, unknown)),
                expected=shown(map(repr, self.patterns)),
            )
        nowhere = [label for label in self.patterns if label not in labels]
        if nowhere and not self.partial:
            raise SpecificationError(
                "A pattern is used in no period, so its parameters enter nowhere",
                got=shown(map(repr, nowhere)),
                expected=f"labels among {shown(map(repr, dict.fromkeys(labels)))}",
                remedy="Drop the pattern, or correct the labels.",
            )

    def __repr__(self) -> str:
        return f"Regimes({len(self.label_list)} periods: {shown(map(repr, self.patterns))})"

    def over(self, labels: Any) -> Regimes:
        """Return the patterns for other periods, of which none need have a certain regime."""
        # a Series keeps its index
        own = labels if hasattr(labels, "iloc") else np.array(labels, dtype=object)
        return replace(self, labels=own, partial=True)

    @property
    def label_list(self) -> list[Hashable]:
        """The regime of each period."""
        labels = self.labels
        if np.ndim(labels) != 1:
            raise SpecificationError(
                "labels must be one-dimensional",
                got=f"shape {np.shape(labels)}",
                expected="one label per period",
            )
        return list(labels.tolist() if hasattr(labels, "tolist") else labels)

    def matrix(
        self, nobs: int | None, where: str, parse: Callable[[object, str], AffineMatrix]
    ) -> AffineMatrix:
        """
        Return the matrix over time.

        Parameters
        ----------
        nobs : int or None
            Number of periods; None if the matrix must be constant.
        where : str
            Name of the argument.
        parse : callable
            From the pattern of a regime and the suffix of its names to a constant matrix.
        """
        labels = self.label_list
        if nobs is None:
            raise SpecificationError(f"{where} cannot vary over time", got="Regimes", expected="one matrix")
        if len(labels) != nobs:
            raise SpecificationError(
                f"{where} has the wrong number of labels", got=len(labels), expected=f"{nobs}, one per period"
            )
        matrices = [repeated(parse(pattern, f".{label}"), 1) for label, pattern in self.patterns.items()]
        fixed, paths = _one_after_another(matrices)
        each = affine_matrix(fixed, [(*at, path) for at, path in paths.items()])
        place = {label: g for g, label in enumerate(self.patterns)}
        return each.over(np.array([place[label] for label in labels]))


def _one_after_another(matrices: Sequence[AffineMatrix]) -> tuple[Array, dict[tuple[int, int, str], Array]]:
    """Return the fixed part and the path of each coefficient over the periods of several matrices in turn."""
    ends = np.cumsum([matrix.fixed.shape[2] for matrix in matrices]).tolist()
    paths: dict[tuple[int, int, str], Array] = {}
    for matrix, end in zip(matrices, ends, strict=True):
        count = matrix.fixed.shape[2]
        places = zip(matrix.rows.tolist(), matrix.columns.tolist(), matrix.names, strict=True)
        for place, path in zip(places, with_time(matrix.coefs, count, 2), strict=True):
            paths.setdefault(place, np.zeros(ends[-1]))[end - count : end] = path
    return np.concatenate([matrix.fixed for matrix in matrices], axis=2), paths


def require_names(later: AffineMatrix, known: Sequence[str], where: str) -> None:
    """Raise `SpecificationError` if a matrix of new periods has parameters that the model does not have."""
    new = sorted(set(later.names) - set(known))
    if new:
        raise SpecificationError(
            f"{where} has parameters in the new periods that were not estimated",
            got=shown(new),
            expected=f"names among {shown(known)}",
            remedy="Fit a model of all periods.",
        )


def continued(earlier: AffineMatrix, later: AffineMatrix, both: bool, where: str) -> AffineMatrix:
    """
    Return a matrix of later periods with the parameters of earlier ones, or of both one after the other.

    Raises
    ------
    SpecificationError
        If the later periods have parameters that the earlier ones do not have.
    """
    require_names(later, earlier.param_names, where)
    fixed, paths = _one_after_another([earlier, later])  # the earlier elements first, for their order
    rows, columns, names = zip(*paths, strict=True) if paths else ((), (), ())
    coefs = np.array([*paths.values()]).reshape(len(paths), fixed.shape[2])
    whole = AffineMatrix(fixed, np.array(rows, np.intp), np.array(columns, np.intp), names, coefs)
    out = whole if both else whole.over(slice(earlier.fixed.shape[2], None))
    return out if np.any(np.ptp(out.coefs, axis=1)) else replace(out, coefs=out.coefs[:, 0])


def repeated(matrix: AffineMatrix, periods: int) -> AffineMatrix:
    """Return a constant matrix with an axis over time; others are returned unchanged."""
    return replace(matrix, fixed=with_time(matrix.fixed, periods, 3))
