"""Matrices whose elements are affine in named parameters: vec(M) = f + D m."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..numerics.linear_algebra import Array, diagonal_matrix

IntArray = NDArray[np.intp]


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
    def is_fixed(self) -> bool:
        """Whether no element is free."""
        return not self.names

    def values(self, params: Mapping[str, float]) -> Array:
        """Return the matrix at the given parameter values."""
        return self.at(np.array([params[name] for name in self.names], dtype=float))

    def at(self, element_values: Array) -> Array:
        """Return the matrix, given the parameter value behind each nonzero element of D."""
        out = np.array(self.fixed, order="F")
        terms = self._terms(element_values)
        if self.is_distinct:
            out[self.rows, self.columns] += terms
        else:
            np.add.at(out, (self.rows, self.columns), terms)
        return out

    def diagonal_at(self, element_values: Array) -> Array:
        """Return the matrix, which `is_diagonal`, stored by its diagonal."""
        terms = np.bincount(self.rows, self.coefs * element_values, minlength=len(self.fixed))
        return diagonal_matrix(self._fixed_diagonal + terms)

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
        keep = ~held
        return AffineMatrix(
            fixed,
            self.rows[keep],
            self.columns[keep],
            tuple(name for name, kept in zip(self.names, keep, strict=True) if kept),
            self.coefs[keep],
        )

    def row_block(self, rows: IntArray) -> AffineMatrix:
        """Return the matrix with the selected rows, in the given order."""
        place = np.full(self.shape[0], -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.rows] >= 0
        names = tuple(name for name, keep in zip(self.names, kept, strict=True) if keep)
        at = place[self.rows[kept]].astype(np.intp)
        return AffineMatrix(self.fixed[rows], at, self.columns[kept], names, self.coefs[kept])

    # -- matrices that vary over time --------------------------------------------------------------------

    def over(self, periods: IntArray | slice) -> AffineMatrix:
        """Return the matrix over some periods; a constant one is returned unchanged."""
        if not self.time_varying:
            return self
        coefs = self.coefs[:, periods] if self.moves else self.coefs
        return AffineMatrix(self.fixed[:, :, periods], self.rows, self.columns, self.names, coefs)

    @cached_property
    def regimes(self) -> IntArray:
        """The first period of each distinct pair (f_t, D_t); 0 for a constant matrix."""
        return periods_alike([self], [self])[0] if self.time_varying else np.zeros(1, dtype=np.intp)

    def at_period(self, t: int) -> AffineMatrix:
        """Return the constant matrix of a period, with the elements that are free in it."""
        if not self.time_varying:
            return self
        coefs = self.coefs[:, t] if self.moves else self.coefs
        here = coefs != 0.0
        names = tuple(name for name, stands in zip(self.names, here, strict=True) if stands)
        return AffineMatrix(self.fixed[:, :, t], self.rows[here], self.columns[here], names, coefs[here])

    def by_regime(self, values: Array) -> Iterator[tuple[AffineMatrix, Array]]:
        """Yield the constant matrix of each regime, with its values."""
        for t in self.regimes.tolist():
            yield self.at_period(t), values[:, :, t] if values.ndim == 3 else values

    def joined(self, diagonal: bool) -> AffineMatrix:
        """Return the matrices of all `regimes` as one constant matrix: block-diagonal, or side by side."""
        each, (m, n) = [self.at_period(t) for t in self.regimes.tolist()], self.shape
        down = m if diagonal else 0
        fixed = np.zeros((down * (len(each) - 1) + m, n * len(each)))
        for g, one in enumerate(each):
            fixed[down * g : down * g + m, n * g : n * (g + 1)] = one.fixed
        return AffineMatrix(
            fixed,
            np.concatenate([one.rows + down * g for g, one in enumerate(each)]),
            np.concatenate([one.columns + n * g for g, one in enumerate(each)]),
            tuple(name for one in each for name in one.names),
            np.concatenate([one.coefs for one in each]),
        )


@dataclass(frozen=True)
class Elements:
    """Nonzero elements of the derivative of a matrix: row, column, position of the parameter and value."""

    rows: IntArray
    columns: IntArray
    params: IntArray
    values: Array

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
        self.free = np.zeros(matrix.shape, bool)
        self.free[matrix.rows, matrix.columns] = True
        self.fixed = matrix.fixed if matrix.fixed.ndim == 2 else np.abs(matrix.fixed).max(axis=2)
        self.rows = np.flatnonzero(self.free.any(axis=0))
        single = bool(np.all(matrix.coefs == 1.0)) and matrix.is_distinct
        self.plain = single and not np.any(self.fixed[self.rows])

    @property
    def variances(self) -> set[str]:
        """Names of the parameters on the diagonal."""
        return set(np.array(self.matrix.names)[self.matrix.rows == self.matrix.columns].tolist())

    @property
    def covariances(self) -> set[str]:
        """Names of the parameters off the diagonal."""
        return set(np.array(self.matrix.names)[self.matrix.rows != self.matrix.columns].tolist())

    @property
    def is_unshared(self) -> bool:
        """Whether each free element of a triangle has its own parameter."""
        return self.plain and int(np.tril(self.free).sum()) == len(self.matrix.param_names)

    @cached_property
    def blocks(self) -> list[list[int]]:
        """The rows that free covariances connect."""
        count, labels = connected_components(self.free[np.ix_(self.rows, self.rows)], directed=False)
        return [self.rows[labels == label].tolist() for label in range(count)]

    @property
    def has_full_blocks(self) -> bool:
        """Whether all covariances within the blocks are free."""
        return all(self.free[np.ix_(block, block)].all() for block in self.blocks)


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


def side_by_side(blocks: Sequence[AffineMatrix]) -> AffineMatrix:
    """Join matrices with equal rows; constant ones are repeated over time if another varies over time."""
    periods = max((block.fixed.shape[2] for block in blocks if block.time_varying), default=0)
    first = np.cumsum([0, *[block.shape[1] for block in blocks]])
    coefs = [block.coefs for block in blocks]
    if any(block.moves for block in blocks):
        coefs = [each if each.ndim == 2 else np.repeat(each[:, None], periods, 1) for each in coefs]
    return AffineMatrix(
        np.concatenate([_repeated(block.fixed, periods) for block in blocks], axis=1),
        np.concatenate([block.rows for block in blocks]),
        np.concatenate([block.columns + start for block, start in zip(blocks, first[:-1], strict=True)]),
        tuple(name for block in blocks for name in block.names),
        np.concatenate(coefs),
    )


def _repeated(fixed: Array, periods: int) -> Array:
    """Add an axis over time to a constant matrix if there are periods; return other matrices unchanged."""
    return np.repeat(fixed[:, :, None], periods, 2) if periods and fixed.ndim == 2 else fixed
