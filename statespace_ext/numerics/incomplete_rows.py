"""
Rows of observations of which some cells are missing, beside a full covariance of the noise.

With m the missing cells of a row, o the observed ones, and B = H_mo H_oo^+,

    y_m = d_m + B (y_o - d_o) + (Z_m - B Z_o) x + u,    u ~ N(0, H_mm - B H_om),

where u is independent of x and of everything observed: an observation equation of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .linear_algebra import Array, scaled_solve, symmetrize

_PATTERNS = 32
"""Patterns of missing cells whose matrices (p, p) are kept: all of 240 rows of 400 series take 600 MB."""


def noise_of_missing(obs_cov: Array, seen: Array) -> tuple[Array, Array]:
    """
    Return the regression of the noise of missing cells on that of the observed cells of their row.

    Parameters
    ----------
    obs_cov : ndarray, (p, p)
        H, which may be singular.
    seen : ndarray of bool, (p,)
        The observed cells.

    Returns
    -------
    weights : ndarray, (p, p)
        B in rows m and columns o, zero elsewhere.
    cov : ndarray, (p, p)
        H_mm - B H_om and H_oo, zero between m and o.
    """
    weights, cov = np.zeros(obs_cov.shape), np.array(obs_cov, dtype=float)
    m, o = np.flatnonzero(~seen), np.flatnonzero(seen)
    between = cov[np.ix_(o, m)]
    if np.any(between):
        B = scaled_solve(cov[np.ix_(o, o)], between).T
        left = symmetrize(cov[np.ix_(m, m)] - B @ between)
        np.fill_diagonal(left, np.maximum(np.diag(left), 0.0))
        weights[np.ix_(m, o)], cov[np.ix_(m, m)] = B, left
        cov[np.ix_(m, o)] = cov[np.ix_(o, m)] = 0.0
    return weights, cov


@dataclass(frozen=True)
class Row:
    """
    The observation equation of a row, given what is observed of it: y = intercept + design x + N(0, cov).

    Attributes
    ----------
    intercept : ndarray, (p,)
    design : ndarray, (p, k)
    cov : ndarray, (p, p)
    weights : ndarray, (p, p)
        B: what the intercept has of each observed cell.
    """

    intercept: Array
    design: Array
    cov: Array
    weights: Array

    def mean(self, state: Array) -> Array:
        """Return E[y] at the mean of the states."""
        return np.asarray(self.intercept + self.design @ state)


class Rows:
    """
    The observation equations of a sample, row by row, given what is observed of each row.

    Parameters
    ----------
    endog : ndarray, (nobs, p)
        Observations; NaN marks a missing value.
    design, obs_intercept, obs_cov : ndarray
        Z (p, k), d (p,) and H (p, p), or with a last axis over time, which may have length one.
    """

    def __init__(self, endog: Array, design: Array, obs_intercept: Array, obs_cov: Array) -> None:
        self.endog, self.seen = endog, ~np.isnan(endog)
        self._Z, self._H = np.atleast_3d(design), np.atleast_3d(obs_cov)
        self._d = obs_intercept.reshape(len(obs_intercept), -1)
        self.diagonal = not np.any(self._H[~np.eye(len(self._H), dtype=bool)])
        self._known: dict[tuple[int, bytes], tuple[Array, Array]] = {}

    def __call__(self, t: int, seen: Array | None = None) -> Row:
        """
        Return the equation of a row.

        Parameters
        ----------
        t : int
            The row.
        seen : ndarray of bool, (p,), optional
            The cells that are given, by default all that are observed.
        """
        seen = self.seen[t] if seen is None else seen
        Z, d = at(self._Z, t), at(self._d, t)
        B, cov = self._noise(t, seen)
        return Row(d + B @ np.where(seen, self.endog[t] - d, 0.0), Z - B @ Z, cov, B)

    def coupled(self) -> Iterator[tuple[int, Row]]:
        """Return the rows in which a missing cell depends on the noise of an observed one."""
        if self.diagonal:
            return
        for t in np.flatnonzero(self.seen.any(axis=1) & ~self.seen.all(axis=1)).tolist():
            row = self(t)
            if np.any(row.weights):
                yield t, row

    def _noise(self, t: int, seen: Array) -> tuple[Array, Array]:
        key = (t if self._H.shape[2] > 1 else 0, seen.tobytes())
        if key not in self._known:
            if len(self._known) >= _PATTERNS:
                self._known.clear()
            self._known[key] = noise_of_missing(at(self._H, t), seen)
        return self._known[key]


def at(matrix: Array, t: int) -> Array:
    """Return a matrix at a period; that of a constant one has length one on the last axis."""
    return np.asarray(matrix[..., t if matrix.shape[-1] > 1 else 0])
