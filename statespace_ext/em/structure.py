"""Which states have noise, which are fixed identities, and which start from their stationary distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics.linear_algebra import Array, companion
from ..params.affine import IntArray


@dataclass(frozen=True)
class StateStructure:
    """
    The fixed part of a state equation x_{t+1} = T x_t + c + R eta_t, R a selection of rows.

    Attributes
    ----------
    base : ndarray, (k, k)
        T with its fixed rows; the rows that have noise are replaced by the block "transition".
    noise_rows : ndarray of int, (q,)
        The state that each disturbance enters.
    stationary : ndarray of int
        The states that start from their stationary distribution; T must not lead from others to them.
    """

    base: Array
    noise_rows: IntArray
    stationary: IntArray

    @property
    def selection(self) -> Array:
        """R, (k, q)."""
        return np.eye(len(self.base))[:, self.noise_rows]

    def transition(self, rows: Array) -> Array:
        """Return T, given the rows that have noise, (q, k) or (q, k, nobs)."""
        base = self.base if rows.ndim == 2 else np.repeat(self.base[:, :, None], rows.shape[2], axis=2)
        out = np.array(base)
        out[self.noise_rows] = rows
        return out

    def stationary_equation(self, rows: Array, intercept: Array, cov: Array) -> tuple[Array, Array, Array]:
        """Return T, c and R Q R' of the states with a stationary start."""
        k, keep = len(self.base), self.stationary
        c, W = np.zeros(k), np.zeros((k, k))
        c[self.noise_rows] = intercept
        W[np.ix_(self.noise_rows, self.noise_rows)] = cov
        return self.transition(rows)[np.ix_(keep, keep)], c[keep], W[np.ix_(keep, keep)]

    def rows_of(self, by_transition: Array, by_intercept: Array, by_cov: Array) -> tuple[Array, Array, Array]:
        """Return derivatives by the rows that have noise, given those by `stationary_equation`."""
        k, keep, noisy = len(self.base), self.stationary, self.noise_rows
        T, c, W = np.zeros((k, k)), np.zeros(k), np.zeros((k, k))
        T[np.ix_(keep, keep)], c[keep], W[np.ix_(keep, keep)] = by_transition, by_intercept, by_cov
        return T[noisy], c[noisy], W[np.ix_(noisy, noisy)]


def companion_structure(k: int, lags: int, stationary: bool) -> StateStructure:
    """Return the structure of k factors with lags in companion form."""
    size = k * lags
    base = companion(np.zeros((k, size)))
    return StateStructure(base, np.arange(k), np.arange(size if stationary else 0))
