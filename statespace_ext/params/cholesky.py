"""
Covariance matrices with a Cholesky factor: unstructured ones, and those whose zeros the factor preserves.

Let the rows be the vertices of a graph, and the free covariances its edges. If the graph is chordal, the rows
can be ordered so that the later neighbours of each row are neighbours of one another. Then the lower
triangles of Sigma = L L' and L have the same zeros, and L is as general as Sigma for any rank. The smallest
graph that is not chordal is a cycle of four.
"""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array, is_positive_semidefinite
from .affine import AffineMatrix, Pattern

_ZERO_PIVOT = 1e-13


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
        position = {name: i for i, name in enumerate(self.param_names)}
        where = {
            (i, j): position[name]
            for i, j, name in zip(matrix.rows, matrix.columns, matrix.names, strict=True)
        }
        self._blocks = []
        for order in orders:
            lower = [
                (i, j)
                for i, j in zip(*np.tril_indices(len(order)), strict=True)
                if (order[i], order[j]) in where
            ]
            rows, columns = np.array(lower).T
            index = np.array([where[order[i], order[j]] for i, j in lower])
            self._blocks.append((np.array(order), rows, columns, index))

    @property
    def cliques(self) -> list[Array]:
        """The rows of each column of the factor: v v' is in the pattern if v is zero outside one of them."""
        return [
            order[rows[columns == j]] for order, rows, columns, _ in self._blocks for j in range(len(order))
        ]

    def _factor(self, vector: Array, rows: Array, columns: Array, index: Array, size: int) -> Array:
        out = np.zeros((size, size))
        out[rows, columns] = vector[index]
        return out

    def constrain(self, unconstrained: Array) -> Array:
        """Return the free elements of L L'."""
        out = np.empty(len(self.param_names))
        for order, rows, columns, index in self._blocks:
            factor = self._factor(unconstrained, rows, columns, index, len(order))
            out[index] = (factor @ factor.T)[rows, columns]
        return out

    def unconstrain(self, params: Array) -> Array:
        """Return the Cholesky factor, zero pivots included."""
        out = np.empty(len(self.param_names))
        for order, rows, columns, index in self._blocks:
            lower = self._factor(params, rows, columns, index, len(order))
            out[index] = self._root(lower + np.tril(lower, -1).T)[rows, columns]
        return out

    def _root(self, cov: Array) -> Array:
        return sparse_cholesky(cov)

    def jacobian(self, unconstrained: Array) -> Array:
        """Return the derivatives of the free elements of L L' by those of L."""
        out = np.zeros((len(self.param_names),) * 2)
        for order, rows, columns, index in self._blocks:
            factor = self._factor(unconstrained, rows, columns, index, len(order))
            same_row = rows[:, None] == rows[None, :]
            cross = columns[:, None] == rows[None, :]
            # d (L L')_ij / d L_ab = 1[i = a] L_jb + 1[j = a] L_ib, for (i, j) = (rows, columns)
            values = same_row * factor[columns][:, columns] + cross * factor[rows][:, columns]
            out[np.ix_(index, index)] = values
        return out

    def vjp(self, unconstrained: Array, gradient: Array) -> Array:
        """Return the gradient by L, (G + G')L, given that by L L', the lower triangular G."""
        out = np.empty(len(self.param_names))
        for order, rows, columns, index in self._blocks:
            factor, slope = (
                self._factor(each, rows, columns, index, len(order)) for each in (unconstrained, gradient)
            )
            out[index] = ((slope + slope.T) @ factor)[rows, columns]
        return out

    def estimate(self, target: Array) -> Array | None:
        """Return None: there is no closed form."""
        return None


class Unstructured(Chordal):
    """Free variances and covariances within blocks of rows, zero between them."""

    @classmethod
    def of(cls, pattern: Pattern) -> Unstructured | None:
        """Return the structure of a pattern that is this one, else None."""
        whole = pattern.is_unshared and pattern.has_full_blocks
        return cls(pattern.matrix, pattern.blocks) if whole else None

    def _root(self, cov: Array) -> Array:
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
    size = len(cov)
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    upper: Array = np.asarray(np.linalg.qr(root.T, mode="r"))
    lower = np.zeros((size, size))
    lower[:, : upper.shape[0]] = upper.T
    return lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
