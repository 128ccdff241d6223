"""
Covariance structures.

A structure knows how the parameters of one covariance matrix behave: how to reach them from an
unconstrained vector (for gradient methods), and how to estimate them from a mean residual matrix
(for EM and start values). `structure_of` recognises the structure of any `AffineMatrix`, so that a
matrix written with strings, or one with a parameter held fixed, is treated as what it is.

The transforms are free of signs (Cholesky factors and square roots whose signs do not matter), so
that they do not stall at a singular covariance matrix.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.sparse.csgraph import connected_components

from ..numerics.linear_algebra import Array, is_positive_semidefinite
from .affine import AffineMatrix
from .cholesky import Chordal, Unstructured, elimination_order
from .curved import CurvedMatrix


class CovarianceStructure(Protocol):
    """What the engine and the optimiser ask of a structure; vectors are in the order of ``param_names``."""

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

        None stands for: there is no closed form (iterate Fisher scoring).
        """


class CommonVariance:
    """
    Variances that may be shared by rows, without covariances: diagonal, scalar, grouped.

    Each row with a free variance has one parameter with coefficient 1 and nothing fixed.
    """

    def __init__(self, matrix: AffineMatrix) -> None:
        self.param_names = matrix.param_names
        position = {name: i for i, name in enumerate(self.param_names)}
        self._rows = matrix.rows
        self._index = np.array([position[name] for name in matrix.names], dtype=np.intp)
        self._count = np.bincount(self._index, minlength=len(position))

    def constrain(self, unconstrained: Array) -> Array:
        """Return squares."""
        return unconstrained**2

    def unconstrain(self, params: Array) -> Array:
        """Return square roots."""
        return np.sqrt(np.clip(params, 0.0, None))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return the diagonal matrix of 2 z."""
        return np.diag(2.0 * unconstrained)

    def estimate(self, target: Array) -> Array:
        """Return the mean of the diagonal over the rows that share a parameter."""
        sums = np.bincount(self._index, weights=np.diag(target)[self._rows], minlength=len(self._count))
        return np.asarray(sums / self._count)


class Multiple:
    """One variance times a fixed positive semidefinite matrix."""

    def __init__(self, matrix: AffineMatrix) -> None:
        self.param_names = matrix.param_names
        pattern = np.zeros(matrix.shape)
        pattern[matrix.rows, matrix.columns] = matrix.coefs
        self._inverse = np.linalg.pinv(pattern, hermitian=True)
        self._rank = np.linalg.matrix_rank(pattern, hermitian=True)

    def constrain(self, unconstrained: Array) -> Array:
        """Return the square."""
        return unconstrained**2

    def unconstrain(self, params: Array) -> Array:
        """Return the square root."""
        return np.sqrt(np.clip(params, 0.0, None))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return 2 z."""
        return np.diag(2.0 * unconstrained)

    def estimate(self, target: Array) -> Array:
        """Return tr(M^+ target) / rank M."""
        return np.array([np.sum(self._inverse * target) / self._rank])


class Equicorrelated:
    """One variance v and one covariance c on all rows: eigenvalues v + (p - 1) c and v - c."""

    def __init__(self, matrix: AffineMatrix, rows: list[int]) -> None:
        self.param_names = matrix.param_names
        self._rows = np.array(rows)
        p = len(rows)
        self._variance_first = matrix.rows[0] == matrix.columns[0]
        # (v, c) from (common, specific) eigenvalues
        self._map = np.array([[1.0 / p, (p - 1.0) / p], [1.0 / p, -1.0 / p]])

    def _order(self, pair: Array) -> Array:
        return pair if self._variance_first else pair[::-1]

    def constrain(self, unconstrained: Array) -> Array:
        """Return (v, c) from the square roots of the eigenvalues."""
        return self._order(self._map @ unconstrained**2)

    def unconstrain(self, params: Array) -> Array:
        """Return the square roots of the eigenvalues."""
        return np.sqrt(np.clip(np.linalg.solve(self._map, self._order(params)), 0.0, None))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d (v, c) / d z."""
        out = self._map * (2.0 * unconstrained)
        return out if self._variance_first else out[::-1]

    def estimate(self, target: Array) -> Array:
        """Return the mean variance and the mean covariance."""
        block = target[np.ix_(self._rows, self._rows)]
        p = len(block)
        variance = np.trace(block) / p
        covariance = (block.sum() - np.trace(block)) / (p * (p - 1))
        return self._order(np.array([variance, covariance]))


class General:
    """
    Any affine covariance matrix: fixed elements, shared or combined parameters, zeros not of a chordal graph.

    Variances with a parameter of their own are reached through square roots and the covariances
    between them through correlations; anything else is left as it is. The transform does not
    guarantee a covariance matrix: the optimiser refuses a step out of the cone.
    """

    def __init__(self, matrix: AffineMatrix) -> None:
        self.param_names = matrix.param_names
        position = {name: i for i, name in enumerate(self.param_names)}
        simple: dict[tuple[int, int], int] = {}
        uses = dict.fromkeys(range(len(position)), 0)
        for i, j, name, coef in zip(matrix.rows, matrix.columns, matrix.names, matrix.coefs, strict=True):
            uses[position[name]] += 1
            if coef == 1.0:
                simple[i, j] = position[name]
        fixed = matrix.fixed if matrix.fixed.ndim == 2 else np.abs(matrix.fixed).max(axis=2)
        elements = list(zip(matrix.rows, matrix.columns, strict=True))
        single = {ij for ij in simple if elements.count(ij) == 1 and fixed[ij] == 0.0}
        diagonal = {i: simple[i, i] for i, j in single if i == j}
        shared = {simple[ij] for ij in simple if ij[0] != ij[1]} | {
            position[n]
            for n, i, j in zip(matrix.names, matrix.rows, matrix.columns, strict=True)
            if (i, j) not in single
        }
        self._variances = np.array(sorted({v for v in diagonal.values() if v not in shared}), dtype=np.intp)
        own = set(self._variances.tolist())
        triples = {
            simple[i, j]: (diagonal[i], diagonal[j])
            for i, j in single
            if i > j and uses[simple[i, j]] == 2 and diagonal.get(i) in own and diagonal.get(j) in own
        }
        self._pairs = np.array([(c, *v) for c, v in triples.items()], dtype=np.intp).reshape(-1, 3)

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


def structure_of(matrix: AffineMatrix) -> CovarianceStructure:
    """Recognise the structure of a covariance matrix."""
    if isinstance(matrix, CurvedMatrix):
        return matrix
    plain = np.all(matrix.coefs == 1.0) and len(set(zip(matrix.rows, matrix.columns, strict=True))) == len(
        matrix.names
    )
    free = np.zeros(matrix.shape, bool)
    free[matrix.rows, matrix.columns] = True
    fixed = matrix.fixed if matrix.fixed.ndim == 2 else np.abs(matrix.fixed).max(axis=2)
    rows = np.flatnonzero(free.any(axis=0))
    if not plain or np.any(fixed[rows]):
        return Multiple(matrix) if _is_multiple(matrix, fixed) else General(matrix)
    on_diagonal = matrix.rows == matrix.columns
    if np.all(on_diagonal):
        return CommonVariance(matrix)
    names = np.array(matrix.names)
    variances, covariances = set(names[on_diagonal]), set(names[~on_diagonal])
    if (
        len(variances) == len(covariances) == 1
        and variances != covariances
        and free[np.ix_(rows, rows)].all()
    ):
        return Equicorrelated(matrix, rows.tolist()) if len(rows) > 2 else _unless_shared(matrix, free, rows)
    return _unless_shared(matrix, free, rows)


def _is_multiple(matrix: AffineMatrix, fixed: Array) -> bool:
    """Tell whether the matrix is one parameter times a positive semidefinite matrix."""
    pattern = np.zeros(matrix.shape)
    np.add.at(pattern, (matrix.rows, matrix.columns), matrix.coefs)
    alone = len(matrix.param_names) == 1 and not np.any(fixed)
    return alone and is_positive_semidefinite(pattern)


def _unless_shared(matrix: AffineMatrix, free: Array, rows: Array) -> CovarianceStructure:
    """Return a structure with a Cholesky factor where each element has its own parameter, if there is one."""
    count, labels = connected_components(free[np.ix_(rows, rows)], directed=False)
    blocks = [rows[labels == label].tolist() for label in range(count)]
    full = all(free[np.ix_(block, block)].all() for block in blocks)
    if np.tril(free).sum() == len(matrix.param_names):
        if full:
            return Unstructured(matrix, blocks)
        orders = [elimination_order(free, block) for block in blocks]
        if all(orders):
            return Chordal(matrix, orders)
    if full and count == 1 and len(rows) == 2 and len(matrix.param_names) == 2:
        on_diagonal = set(np.array(matrix.names)[matrix.rows == matrix.columns])
        if len(on_diagonal) == 1:
            return Equicorrelated(matrix, rows.tolist())
    return General(matrix)


def precision_of(cov: Array) -> Array:
    """Return the inverse on the rows whose variance is not zero (the pseudo-inverse of a singular one)."""
    variances = np.diag(cov)
    active = variances > 0
    if np.count_nonzero(cov) == np.count_nonzero(active):
        return np.diag(np.divide(1.0, variances, out=np.zeros(len(cov)), where=active))
    out = np.zeros_like(cov)
    if active.any():
        inner = cov[np.ix_(active, active)]
        try:
            out[np.ix_(active, active)] = np.linalg.inv(inner)
        except np.linalg.LinAlgError:
            out[np.ix_(active, active)] = np.linalg.pinv(inner, hermitian=True)
    return out
