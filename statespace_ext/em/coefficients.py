"""M-step of the coefficients: generalised least squares under vec(B) = f + D m."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..numerics.linear_algebra import Array, scaled_solve
from ..params.affine import AffineMatrix, IntArray
from .moments import Regression


class StackedCoefficients:
    """
    The free elements of B = [B_1 | B_2 | ...], the joined matrices of one equation.

    Parameters
    ----------
    blocks : list of (AffineMatrix, ndarray, int)
        Each matrix, the positions of its parameters in the flat vector, and its first column in B. If free
        elements vary over time, the axis over time has one period for each group of the regression.
    shape : (int, int)
        Shape of B.
    n_params : int
        Length of the flat vector.
    """

    def __init__(
        self, blocks: list[tuple[AffineMatrix, IntArray, int]], shape: tuple[int, int], n_params: int
    ) -> None:
        self.shape, self.n_params = shape, n_params
        self.rows = np.concatenate([block.rows for block, _, _ in blocks])
        self.columns = np.concatenate([block.columns + first for block, _, first in blocks])
        self.index = np.concatenate([index for _, index, _ in blocks])
        self.coefs = np.concatenate(_coefs([block for block, _, _ in blocks]))
        self.params = np.unique(self.index)

    @cached_property
    def columns_by_row(self) -> dict[int, IntArray] | None:
        """Free columns of each row, or None if an element is shared, combined, scaled or varies over time."""
        if self.coefs.ndim == 2:
            return None
        elements = set(zip(self.rows.tolist(), self.columns.tolist(), strict=True))
        plain = len(self.params) == len(self.index) == len(elements) and np.all(self.coefs == 1.0)
        if not plain:
            return None
        return {int(row): np.sort(self.columns[self.rows == row]) for row in np.unique(self.rows)}

    @cached_property
    def _groups(self) -> list[tuple[IntArray, IntArray]] | None:
        """Groups of rows with the same free columns, and these columns; None if rows do not separate."""
        if self.columns_by_row is None:
            return None
        groups: dict[tuple[int, ...], list[int]] = {}
        for row, columns in self.columns_by_row.items():
            groups.setdefault(tuple(columns.tolist()), []).append(row)
        return [(np.array(rows), np.array(columns)) for columns, rows in groups.items()]

    def change(self, step: Array) -> Array:
        """Return the change of B, or of B by group, for a change of the flat vector."""
        out = np.zeros((*self.shape, *self.coefs.shape[1:]))
        np.add.at(out, (self.rows, self.columns), (self.coefs.T * step[self.index]).T)
        return np.moveaxis(out, 2, 0) if out.ndim == 3 else out

    def weighted(self, regression: Regression) -> bool:
        """Return whether the step depends on the precision; it does not if all rows share free columns."""
        groups = self._groups or []
        same = bool(groups) and len(groups[0][0]) == self.shape[0]
        return not same or len(regression.n) > 1

    def step(self, regression: Regression, precision: Array | None) -> Array:
        """
        Return the step of the flat vector to the maximum of -1/2 tr(Pi E sum e e').

        It solves D'(sum bb' kron Pi) D step = D' vec(Pi sum e b'). If all rows have the same free columns, or
        Pi is diagonal, the rows separate into independent least-squares problems.

        Parameters
        ----------
        regression : Regression
            Sums of g groups.
        precision : ndarray, (g, p, p), or None
            Pi = Sigma^{-1} by group, or one for all; None if the step does not depend on it.
        """
        if precision is None:
            return self._step_by_row(regression)
        diagonal = len(precision) == 1 and np.count_nonzero(precision) == np.count_nonzero(
            np.diag(precision[0])
        )
        if self._groups is not None and (diagonal or not self.weighted(regression)):
            return self._step_by_row(regression)
        return self._general_step(regression, precision)

    def _step_by_row(self, regression: Regression) -> Array:
        groups = self._groups or []
        change = np.zeros(self.shape)
        for rows, keep in groups:
            if len(keep) == self.shape[1]:
                change[rows] = scaled_solve(regression.bb[0], regression.eb[0][rows].T).T
                continue
            normal, right = regression.bb[0][keep][:, keep], regression.eb[0][rows][:, keep]
            change[rows[:, None], keep] = scaled_solve(normal, right.T).T
        out = np.zeros(self.n_params)
        out[self.index] = change[self.rows, self.columns]
        return out

    def _general_step(self, regression: Regression, precision: Array) -> Array:
        places = np.searchsorted(self.params, self.index)
        size = len(self.params)
        information, score = np.zeros((size, size)), np.zeros(size)
        groups = len(regression.n)
        precision = np.broadcast_to(precision, (groups, *precision.shape[1:]))
        every = self.coefs.T if self.coefs.ndim == 2 else np.broadcast_to(self.coefs, (groups, len(places)))
        for coefs, pi, eb, bb in zip(every, precision, regression.eb, regression.bb, strict=True):
            here = np.flatnonzero(coefs)
            rows, columns, coefs, at = self.rows[here], self.columns[here], coefs[here], places[here]
            elements = coefs[:, None] * coefs * pi[np.ix_(rows, rows)] * bb[np.ix_(columns, columns)]
            np.add.at(information, (at[:, None], at[None, :]), elements)
            score += np.bincount(at, weights=coefs * (pi @ eb)[rows, columns], minlength=size)
        out = np.zeros(self.n_params)
        out[self.params] = scaled_solve(information, score)
        return out


def _coefs(blocks: list[AffineMatrix]) -> list[Array]:
    """Return the coefficients of each block, by group if those of one block vary over time."""
    groups = next((block.coefs.shape[1] for block in blocks if block.moves), 0)
    if not groups:
        return [block.coefs for block in blocks]
    return [block.coefs if block.moves else np.repeat(block.coefs[:, None], groups, 1) for block in blocks]
