r"""
The average of the observed and the expected information about variances.

Let y ~ N(X delta, Sigma) with a flat prior of delta. Let Sigma be affine in the parameters, with derivatives
S_i, and let P = Sigma^{-1} - Sigma^{-1} X (X' Sigma^{-1} X)^{-1} X' Sigma^{-1}. The observed information is
y' P S_i P S_j P y - tr(P S_i P S_j) / 2 and the expected one is tr(P S_i P S_j) / 2. Their average has no
trace (Gilmour, Thompson & Cullis 1995):

    1/2 w_i' P w_j,     w_i = S_i P y.

In a state-space form, u = P y are the smoothing errors and r_t the adjoints of the states. Then

    w_it = dH_i u_t + Z_t s_it,     s_i,t+1 = T s_it + dW_i r_t,     s_i1 = 0,

and one filter whitens all w_i together. For n periods, p series, k states and m parameters, this takes about
n m p (2 k + p) + n p m^2 / 2 multiplications and one pass of the filter.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from ..numerics.linear_algebra import Array
from ..params.affine import Elements

_AT_ONCE = 2**22
"""Largest number of elements of the derivatives that are stored at once."""


class AverageInformation:
    """
    A pass of the filter, and what the average information needs of it.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series less their intercepts; NaN marks a missing value.
    design : ndarray, (n, p, k)
        Z.
    obs_cov : ndarray, (p, p)
        H.
    transition, noise : ndarray, (k, k)
        T and the covariance W of the disturbances of the states.
    mean, cov : ndarray
        Mean and finite covariance of the first state.
    directions : ndarray, (k, d)
        Diffuse directions of the first state.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of a row given the rows before it and delta is singular.
    """

    def __init__(
        self,
        endog: Array,
        design: Array,
        obs_cov: Array,
        transition: Array,
        noise: Array,
        mean: Array,
        cov: Array,
        directions: Array,
    ) -> None:
        n, p, k = design.shape
        seen = ~np.isnan(endog)
        self._seen, self._design = seen, design * seen[:, :, None]
        self._T = None if np.array_equal(transition, np.eye(k)) else transition
        wide = 1 + directions.shape[1]
        states = np.column_stack([mean, -directions])
        cov = cov + self._proper(endog, directions)
        self._whiten, self._gain = np.empty((n, p, p)), np.empty((n, p, k))
        errors = np.zeros((n, p, wide))
        errors[:, :, 0] = np.where(seen, endog, 0.0)
        for t, (Z, here) in enumerate(zip(self._design, seen, strict=True)):
            ZP = Z @ cov
            F = ZP @ Z.T + np.where(np.outer(here, here), obs_cov, np.eye(p))
            root, failed = dpotrf(F, lower=1, clean=1)
            if failed:
                raise np.linalg.LinAlgError("The covariance of a row is singular")
            whiten = dtrtri(root, lower=1)[0]
            errors[t] = whiten @ (errors[t] - Z @ states)
            gain = whiten @ ZP
            states = self._ahead(states + gain.T @ errors[t])
            cov = cov - gain.T @ gain
            cov = (cov if self._T is None else self._T @ cov @ self._T.T) + noise
            self._whiten[t], self._gain[t] = whiten, gain
        self._diffuse = np.linalg.qr(errors[:, :, 1:].reshape(n * p, wide - 1))[0]
        ours = errors[:, :, 0].ravel()
        self._adjoints((ours - self._diffuse @ (self._diffuse.T @ ours)).reshape(n, p))

    def _proper(self, endog: Array, directions: Array) -> Array:
        """
        Return a covariance of the diffuse directions, of the size of the data.

        It does not change P, and with it a singular H leaves the first rows a regular covariance.
        """
        size = np.sum((self._design @ directions) ** 2, axis=(0, 1))
        squares = np.nansum(endog**2) / np.where(size > 0.0, size, 1.0)
        return np.asarray((directions * squares) @ directions.T)

    def _ahead(self, states: Array) -> Array:
        return states if self._T is None else self._T @ states

    def _adjoints(self, errors: Array) -> None:
        """Set the smoothing errors u_t and the adjoints r_t from the whitened errors."""
        n, _, k = self._design.shape
        self._u, self._r, r = np.empty(errors.shape), np.zeros((n, k)), np.zeros(k)
        for t in range(n - 1, -1, -1):
            self._r[t] = r
            moved = r if self._T is None else self._T.T @ r
            self._u[t] = self._whiten[t].T @ (errors[t] - self._gain[t] @ moved)
            r = self._design[t].T @ self._u[t] + moved

    def by(self, obs_cov: Elements, noise: Elements, m: int) -> Array:
        """
        Return the average information about m parameters.

        Parameters
        ----------
        obs_cov, noise : Elements
            Derivatives of H and W.
        m : int
            Number of parameters.
        """
        n, p, k = self._design.shape
        states, products, along = np.zeros((k, m)), np.zeros((m, m)), np.zeros((self._diffuse.shape[1], m))
        length = max(1, _AT_ONCE // max(1, (p + k) * m))
        for first in range(0, n, length):
            part = slice(first, min(first + length, n))
            errors = _products(obs_cov, self._u[part], p, m) * self._seen[part, :, None]
            steps = _products(noise, self._r[part], k, m)
            for t, step in enumerate(steps):
                error = errors[t] = self._whiten[first + t] @ (errors[t] + self._design[first + t] @ states)
                states = self._ahead(states - self._gain[first + t].T @ error) + step
            flat = errors.reshape(-1, m)
            products += flat.T @ flat
            along += self._diffuse[part.start * p : part.stop * p].T @ flat
        return np.asarray(0.5 * (products - along.T @ along))


def _products(derivatives: Elements, vectors: Array, size: int, m: int) -> Array:
    """Return the products of the derivatives of a matrix by m parameters with vectors, (n, size, m)."""
    out = np.zeros((len(vectors), size, m))
    each = derivatives.rows, derivatives.columns, derivatives.params, derivatives.values
    for i, j, q, value in zip(*each, strict=True):
        out[:, i, q] += value * vectors[:, j]
    return out
