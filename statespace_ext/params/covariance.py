"""
Covariance structures.

A structure describes the parameters of one covariance matrix. It maps an unconstrained vector to them
(for gradient methods), and estimates them from a mean residual matrix (for EM and start values).
`structure_of` recognises the structure of any `AffineMatrix`, including matrices that were specified with
strings and matrices with fixed parameters.

The transforms use Cholesky factors and square roots whose signs do not matter, so that they do not stall at
a singular covariance matrix. Some zeros are those of a factor: let the rows be the vertices of a graph, and
the free covariances its edges. If the graph is chordal, the rows can be ordered so that the later neighbours
of each row are neighbours of one another. Then the lower triangles of Sigma = L L' and L have the same
zeros, and L is as general as Sigma for any rank. The smallest graph that is not chordal is a cycle of four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..numerics.linear_algebra import (
    Array,
    by_diagonal,
    diagonal_like,
    diagonal_matrix,
    identity,
    is_positive_semidefinite,
    solve,
    square_root,
)
from .affine import AffineMatrix, Pattern
from .curved import CurvedMatrix

_ZERO_PIVOT = 1e-13


class CovarianceStructure(Protocol):
    """Interface of a covariance structure; vectors are in the order of ``param_names``."""

    @property
    def param_names(self) -> list[str]:
        """Names of the parameters."""

    def constrain(self, unconstrained: Array) -> Array:
        """Return variances and covariances."""

    def unconstrain(self, params: Array) -> Array:
        """Return an unconstrained vector that `constrain` maps to ``params``."""

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d unconstrained."""

    def estimate(self, target: Array) -> Array | None:
        """
        Return the maximiser of -log|Sigma| - tr(Sigma^{-1} target) in closed form.

        None means that there is no closed form, so that Fisher scoring is iterated.
        """


class Chordal:
    """
    Free variances and covariances by element, zeros elsewhere, in blocks of rows whose graphs are chordal.

    Parameters
    ----------
    matrix : AffineMatrix
        The matrix. Each free element has its own parameter, with coefficient 1 and no fixed part.
    orders : list of list of int
        The rows of each block in the order of `elimination_order`.
    """

    @classmethod
    def of(cls, pattern: Pattern) -> Chordal | None:
        """Return the structure of a pattern that is this one, else None."""
        if not pattern.is_unshared:
            return None
        orders = [elimination_order(pattern.free, block) for block in pattern.blocks]
        return cls(pattern.matrix, orders) if all(orders) else None

    def __init__(self, matrix: AffineMatrix, orders: list[list[int]]) -> None:
        self.param_names = matrix.param_names
        where = np.full(matrix.shape, -1)
        where[matrix.rows, matrix.columns] = matrix.param_places
        self._blocks = []
        for order in map(np.array, orders):
            within = where[np.ix_(order, order)]
            rows, columns = np.nonzero(np.tril(within >= 0))
            self._blocks.append((order, rows, columns, within[rows, columns]))

    @property
    def cliques(self) -> list[Array]:
        """The rows of each column of the factor: v v' is in the pattern if v is zero outside one of them."""
        return [
            order[rows[columns == j]] for order, rows, columns, _ in self._blocks for j in range(len(order))
        ]

    def _triangles(self, vector: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Yield the lower triangle of each block: rows, columns and places in the vector, and the matrix."""
        for order, rows, columns, index in self._blocks:
            out = np.zeros((len(order), len(order)))
            out[rows, columns] = vector[index]
            yield rows, columns, index, out

    def constrain(self, unconstrained: Array) -> Array:
        """Return the free elements of L L'."""
        out = np.empty(len(self.param_names))
        for rows, columns, index, factor in self._triangles(unconstrained):
            out[index] = (factor @ factor.T)[rows, columns]
        return out

    def unconstrain(self, params: Array) -> Array:
        """Return the Cholesky factor, zero pivots included."""
        out = np.empty(len(self.param_names))
        for rows, columns, index, lower in self._triangles(params):
            out[index] = self._square_root(lower + np.tril(lower, -1).T)[rows, columns]
        return out

    def _square_root(self, cov: Array) -> Array:
        return sparse_cholesky(cov)

    def jacobian(self, unconstrained: Array) -> Array:
        """Return the derivatives of the free elements of L L' by those of L."""
        out = np.zeros((len(self.param_names),) * 2)
        for rows, columns, index, factor in self._triangles(unconstrained):
            same_row = rows[:, None] == rows[None, :]
            cross = columns[:, None] == rows[None, :]
            # d (L L')_ij / d L_ab = 1[i = a] L_jb + 1[j = a] L_ib, for (i, j) = (rows, columns)
            values = same_row * factor[columns][:, columns] + cross * factor[rows][:, columns]
            out[np.ix_(index, index)] = values
        return out

    def vjp(self, unconstrained: Array, gradient: Array) -> Array:
        """Return the gradient by L, (G + G')L, given that by L L', the lower triangular G."""
        out = np.empty(len(self.param_names))
        factors = (factor for *_, factor in self._triangles(unconstrained))
        for (rows, columns, index, slope), factor in zip(self._triangles(gradient), factors, strict=True):
            out[index] = ((slope + slope.T) @ factor)[rows, columns]
        return out

    def curvature(self, gradient: Array) -> Array:
        """Return the derivatives of `vjp` by L, the same at every L."""
        out = np.zeros((len(self.param_names),) * 2)
        for rows, columns, index, slope in self._triangles(gradient):
            same_column = columns[:, None] == columns[None, :]
            out[np.ix_(index, index)] = same_column * (slope + slope.T)[rows][:, rows]
        return out

    def estimate(self, target: Array) -> Array | None:
        """Return None: there is no closed form."""
        return None


class Unstructured(Chordal):
    """Free variances and covariances within blocks of rows, zero between them."""

    @classmethod
    def of(cls, pattern: Pattern) -> Unstructured | None:
        """Return the structure of a pattern that is this one, else None."""
        whole = all(pattern.free[np.ix_(block, block)].all() for block in pattern.blocks)
        return cls(pattern.matrix, pattern.blocks) if whole and pattern.is_unshared else None

    def _square_root(self, cov: Array) -> Array:
        return semidefinite_cholesky(cov)

    def estimate(self, target: Array) -> Array:
        """Return the blocks of the target."""
        out = np.empty(len(self.param_names))
        for order, rows, columns, index in self._blocks:
            out[index] = target[order[rows], order[columns]]
        return out


def elimination_order(free: Array, rows: list[int]) -> list[int]:
    """Return rows so ordered that the later neighbours of each are neighbours; empty if there is no order."""
    left, order = list(rows), []
    while left:
        for row in left:
            near = [other for other in left if free[row, other]]
            if row in near and free[np.ix_(near, near)].all():
                order.append(row)
                left.remove(row)
                break
        else:
            return []
    return order


def sparse_cholesky(cov: Array) -> Array:
    """Return a lower triangular L with L L' = cov, column by column, zero where the pivot is."""
    try:
        return np.asarray(np.linalg.cholesky(cov))
    except np.linalg.LinAlgError:
        if not is_positive_semidefinite(cov, 1e-8):
            raise
    rest, lower = np.array(cov, dtype=float), np.zeros(cov.shape)
    for j, size in enumerate(np.diag(cov)):
        if rest[j, j] > _ZERO_PIVOT * size:
            lower[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
            rest[j:, j:] -= np.outer(lower[j:, j], lower[j:, j])
    return lower


def semidefinite_cholesky(cov: Array) -> Array:
    """Return a lower triangular L with L L' = cov, for a singular cov too (zero columns)."""
    try:
        return np.asarray(np.linalg.cholesky(cov))
    except np.linalg.LinAlgError:
        if not is_positive_semidefinite(cov, 1e-8):
            raise
    lower = np.asarray(np.linalg.qr(square_root(cov).T, mode="r")).T
    return lower * np.where(np.diag(lower) < 0, -1.0, 1.0)


class SquareRoots:
    """Variances, transformed by their square roots."""

    def constrain(self, unconstrained: Array) -> Array:
        """Return squares."""
        return unconstrained**2

    def unconstrain(self, params: Array) -> Array:
        """Return square roots."""
        return np.sqrt(np.clip(params, 0.0, None))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return the diagonal matrix of 2 z."""
        return diagonal_matrix(2.0 * unconstrained)


class CommonVariance(SquareRoots):
    """
    Positive multiples of variances without covariances, which rows may share (diagonal, scalar or grouped).

    Each row with a free variance has one parameter and no fixed part.
    """

    @classmethod
    def of(cls, pattern: Pattern) -> CommonVariance | None:
        """Return the structure of a pattern that is this one, else None."""
        matrix = pattern.matrix
        alone = matrix.is_distinct and np.array_equal(matrix.rows, matrix.columns)
        scaled = alone and np.all(matrix.coefs > 0.0)
        return cls(matrix) if scaled and not np.any(pattern.fixed[pattern.rows]) else None

    def __init__(self, matrix: AffineMatrix) -> None:
        self.param_names = matrix.param_names
        self._rows, self._coefs, self._index = matrix.rows, matrix.coefs, matrix.param_places
        self._count = np.bincount(self._index, minlength=len(self.param_names))

    def estimate(self, target: Array) -> Array:
        """Return the mean of the diagonal over its multiples, for the rows that share a parameter."""
        parts = np.diag(target)[self._rows] / self._coefs
        return np.asarray(np.bincount(self._index, parts, minlength=len(self._count)) / self._count)


class Multiple(SquareRoots):
    """One variance times a fixed positive semidefinite matrix."""

    @classmethod
    def of(cls, pattern: Pattern) -> Multiple | None:
        """Return the structure of a pattern that is this one, else None."""
        matrix = pattern.matrix
        if pattern.plain or len(matrix.param_names) != 1 or np.any(pattern.fixed):
            return None
        structure = cls(matrix)
        return structure if is_positive_semidefinite(structure.multiple) else None

    def __init__(self, matrix: AffineMatrix) -> None:
        self.param_names = matrix.param_names
        self.multiple = np.zeros(matrix.shape)
        np.add.at(self.multiple, (matrix.rows, matrix.columns), matrix.coefs)
        self._inverse = np.linalg.pinv(self.multiple, hermitian=True)
        self._rank = np.linalg.matrix_rank(self.multiple, hermitian=True)

    def estimate(self, target: Array) -> Array:
        """Return tr(M^+ target) / rank M."""
        return np.array([np.sum(self._inverse * target) / self._rank])


class Equicorrelated:
    """One variance v and one covariance c for all rows, with eigenvalues v + (p - 1) c and v - c."""

    @classmethod
    def of(cls, pattern: Pattern) -> Equicorrelated | None:
        """Return the structure of a pattern that is this one, else None."""
        matrix = pattern.matrix
        kinds = set(zip(matrix.names, matrix.rows == matrix.columns, strict=True))
        common = len(kinds) == len(matrix.param_names) == 2  # one name on the diagonal, one off it
        whole = pattern.plain and pattern.free[np.ix_(pattern.rows, pattern.rows)].all()
        return cls(matrix, pattern.rows) if whole and common else None

    def __init__(self, matrix: AffineMatrix, rows: Array) -> None:
        self.param_names = matrix.param_names
        self._rows = rows
        p = len(rows)
        self._order = slice(None, None, 1 if matrix.rows[0] == matrix.columns[0] else -1)
        # (v, c) in the order of the parameters, from (common, specific) eigenvalues
        self._map = np.array([[1.0 / p, (p - 1.0) / p], [1.0 / p, -1.0 / p]])[self._order]

    def constrain(self, unconstrained: Array) -> Array:
        """Return (v, c) from the square roots of the eigenvalues."""
        return np.asarray(self._map @ unconstrained**2)

    def unconstrain(self, params: Array) -> Array:
        """Return the square roots of the eigenvalues."""
        return np.sqrt(np.clip(np.linalg.solve(self._map, params), 0.0, None))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d (v, c) / d z."""
        return self._map * (2.0 * unconstrained)

    def estimate(self, target: Array) -> Array:
        """Return the mean variance and the mean covariance."""
        block = target[np.ix_(self._rows, self._rows)]
        p, variances = len(block), np.trace(block)
        return np.array([variances / p, (block.sum() - variances) / (p * (p - 1))])[self._order]


class General:
    """
    Any other affine covariance matrix, with fixed elements, shared parameters or non-chordal zeros.

    Variances with their own parameter are transformed by square roots, and the covariances between them
    by correlations. Other parameters are not transformed. The transform does not guarantee a covariance
    matrix, so the optimiser rejects steps to matrices that are not positive semidefinite.
    """

    def __init__(self, matrix: AffineMatrix) -> None:
        self.param_names = matrix.param_names
        rows, columns, index = matrix.rows, matrix.columns, matrix.param_places
        places, count = rows * matrix.shape[1] + columns, np.bincount(index)
        # elements that are a parameter, and the parameters which are nothing else
        element = (np.bincount(places)[places] == 1) & (matrix.coefs == 1.0)
        element &= Pattern(matrix).fixed[rows, columns] == 0.0
        variance, covariance = element & (rows == columns), element & (rows > columns) & (count[index] == 2)
        variance &= (count == np.bincount(index[variance], minlength=len(count)))[index]
        of_row = np.full(matrix.shape[0], -1)
        of_row[rows[variance]] = index[variance]
        triples = np.column_stack([index, of_row[rows], of_row[columns]])[covariance]
        self._variances, self._pairs = np.unique(index[variance]), triples[np.all(triples >= 0, axis=1)]

    def constrain(self, unconstrained: Array) -> Array:
        """Return squares, and correlations times the square roots."""
        out = np.array(unconstrained)
        out[self._variances] **= 2
        c, i, j = self._pairs.T
        out[c] = unconstrained[c] * unconstrained[i] * unconstrained[j]
        return out

    def unconstrain(self, params: Array) -> Array:
        """Return square roots and correlations."""
        out = np.array(params)
        out[self._variances] = np.sqrt(np.clip(params[self._variances], 0.0, None))
        c, i, j = self._pairs.T
        scale = out[i] * out[j]
        out[c] = np.where(scale > 0, params[c] / np.where(scale > 0, scale, 1.0), 0.0)
        return out

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d z."""
        out = np.eye(len(self.param_names))
        out[self._variances, self._variances] = 2.0 * unconstrained[self._variances]
        c, i, j = self._pairs.T
        out[c, c] = unconstrained[i] * unconstrained[j]
        np.add.at(out, (c, i), unconstrained[c] * unconstrained[j])
        np.add.at(out, (c, j), unconstrained[c] * unconstrained[i])
        return out

    def estimate(self, target: Array) -> None:
        """Return None: there is no closed form."""
        return None


STRUCTURES: list[Callable[[Pattern], CovarianceStructure | None]] = [
    CommonVariance.of,
    Equicorrelated.of,
    Unstructured.of,
    Chordal.of,
    Multiple.of,
]
"""Constructors that recognise a structure from the free elements of a matrix; the first match is used."""


def structure_of(matrix: AffineMatrix) -> CovarianceStructure:
    """
    Recognise the structure of a covariance matrix.

    If its free elements vary over time, the structure is that of the block-diagonal matrix of all regimes. It
    has the transforms of the parameters. Its estimate refers to that matrix.
    """
    if isinstance(matrix, CurvedMatrix):
        return matrix
    if matrix.moves:
        matrix = _without_scale(matrix).joined(diagonal=True)
    pattern = Pattern(matrix)
    found = (recognise(pattern) for recognise in STRUCTURES)
    return next((structure for structure in found if structure is not None), General(matrix))


def _without_scale(matrix: AffineMatrix) -> AffineMatrix:
    """Return a matrix over time whose regimes differ in more than their scale, which needs no transform."""
    if np.any(matrix.fixed[matrix.rows]):
        return matrix
    size = np.abs(matrix.coefs).max(axis=0)
    coefs = matrix.coefs / np.where(size > 0.0, size, 1.0)
    return replace(matrix, fixed=np.zeros_like(matrix.fixed), coefs=np.round(coefs, 12))


def precision_of(cov: Array) -> Array:
    """Return the inverse on the rows whose variance is not zero (the pseudo-inverse of a singular one)."""
    variances = cov.diagonal()
    active = variances > 0
    noisy = np.count_nonzero(active)
    if by_diagonal(cov) or np.count_nonzero(cov) == noisy:
        return diagonal_like(cov, np.divide(1.0, variances, out=np.zeros(len(cov)), where=active))
    if noisy < len(cov):
        out = np.zeros_like(cov)
        rows = np.ix_(active, active)
        out[rows] = precision_of(cov[rows])
        return out
    try:
        return solve(cov, identity(len(cov)))
    except np.linalg.LinAlgError:
        return np.linalg.pinv(cov, hermitian=True)
