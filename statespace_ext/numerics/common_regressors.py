r"""
The likelihood of many series on the same regressors, one of whose coefficients is a random walk.

With y_t (p,) = B x_t + b_t z_t + eps_t, eps_t ~ N(0, V), b_{t+1} = b_t + eta_t, eta_t ~ N(0, W), flat priors
of B and b_1 and z among the columns of X (n, m), the data given B and b_1 have the covariance

    I_n kron V + C kron W,     C_st = z_s z_t min(s, t).

Take U (n, n - m) with U'X = 0 and U'U = I, and U'CU = E diag(c) E'. Then the rows of Y = E'U'y are
independent, Y_k ~ N(0, S_k), S_k = V + c_k W, and

    log L = -1/2 [n p log 2 pi + p log|X'X| + sum_k log|S_k| + sum_k Y_k' S_k^{-1} Y_k],

which is the exact-diffuse log-likelihood (the decomposition of mixed models: Patterson & Thompson 1971,
Lippert et al. 2011). With A V A' = I and A W A' = diag(l), A S_k A' = diag(1 + c_k l) for every k: with
e_k = (1 + c_k l)^{-1} A Y_k,

    dV = 1/2 A' [sum_k e_k e_k' - diag sum_k 1 / (1 + c_k l)] A,
    dW = 1/2 A' [sum_k c_k e_k e_k' - diag sum_k c_k / (1 + c_k l)] A.

One evaluation takes 6 n p^2 + O(p^3) multiplications, regardless of the number of regressors. The
decomposition takes about 4 n^3 once. Rows without any observation are left out, but count in s and t.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgeqrf, dtrtri

from .linear_algebra import Array

_LEAST_PIVOT = 1e-6
"""Least Cholesky pivot of the correlation matrix of V: A loses digits below."""
_MOST_STEPS = 1e9
"""Largest c_k l_j. Above it, the rounding of small c_k costs digits of 1 + c_k l_j."""
_LEAST_RANK = 1e-10
"""Least pivot of X'X, regressors scaled to length one, at which its determinant has digits."""


class RegressorAxes:
    """
    The axes along which periods are independent, regardless of the series.

    Parameters
    ----------
    exog : ndarray, (n, m)
        Regressors, of full column rank.
    moving : int
        The column whose coefficient is a random walk.
    periods : ndarray, (n,)
        The period of each row.

    Attributes
    ----------
    sizes : ndarray, (n - m,)
        c.
    vectors : ndarray, (n, n - m)
        U E.
    logdet : float
        log|X'X|.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the regressors are linearly dependent.
    """

    def __init__(self, exog: Array, moving: int, periods: Array) -> None:
        (n, m), z = exog.shape, exog[:, moving]
        # |s - t| in place of min(s, t) adds multiples of z to rows and columns, which U removes
        inner = -0.5 * np.abs(np.subtract.outer(periods, periods)) * np.outer(z, z)
        factor, tau, _, _ = dgeqrf(exog)
        pivots = np.abs(np.diagonal(factor))
        if n <= m or np.any(pivots <= _LEAST_RANK * np.linalg.norm(exog, axis=0)):
            raise np.linalg.LinAlgError("The regressors are linearly dependent")
        reflectors = np.tril(factor, -1)
        np.fill_diagonal(reflectors, 1.0)
        for v, size in zip(reflectors.T, tau, strict=True):
            half = size * (inner @ v)
            half -= 0.5 * size * (v @ half) * v
            inner -= np.outer(v, half) + np.outer(half, v)
        values, vectors = np.linalg.eigh(inner[m:, m:])
        self.sizes = np.maximum(values, 0.0)
        self.vectors = np.concatenate([np.zeros((m, n - m)), vectors])
        for v, size in zip(reflectors.T[::-1], tau[::-1], strict=True):
            self.vectors -= np.outer(size * v, v @ self.vectors)
        self.logdet = 2.0 * float(np.sum(np.log(pivots)))


class CommonRegressors:
    """
    The likelihood of complete series (n, p) on regressors with given axes.

    Parameters
    ----------
    axes : RegressorAxes
        Of the regressors.
    rows : ndarray, (n - m, p)
        The independent rows of the series, E'U'y.
    shift : float
        A number that is subtracted from c. With V + shift W in place of V the likelihood is the same, and V
        may be singular.
    """

    def __init__(self, axes: RegressorAxes, rows: Array, shift: float = 0.0) -> None:
        p = rows.shape[1]
        self.sizes, self.rows = axes.sizes - shift if shift else axes.sizes, rows
        self._constant = len(axes.vectors) * p * np.log(2.0 * np.pi) + p * axes.logdet

    def loglike(self, obs_cov: Array, state_cov: Array) -> float | None:
        """Return the log-likelihood, or None if V is nearly singular."""
        axes = self.diagonalised(obs_cov, state_cov)
        return None if axes is None else self._value(*axes)[0]

    def score(self, obs_cov: Array, state_cov: Array) -> tuple[float, dict[str, Array]] | None:
        """Return the log-likelihood and its derivatives by matrix, or None if V is nearly singular."""
        axes = self.diagonalised(obs_cov, state_cov)
        if axes is None:
            return None
        llf, inverse, errors = self._value(*axes)
        A, sized = axes[0], self.sizes[:, None] * errors
        by_noise, by_steps = errors.T @ errors, errors.T @ sized
        np.fill_diagonal(by_noise, np.diagonal(by_noise) - inverse.sum(axis=0))
        np.fill_diagonal(by_steps, np.diagonal(by_steps) - self.sizes @ inverse)
        return llf, {"obs_cov": 0.5 * A.T @ by_noise @ A, "state_cov": 0.5 * A.T @ by_steps @ A}

    def diagonalised(self, obs_cov: Array, state_cov: Array) -> tuple[Array, Array, float] | None:
        """Return A, l and log|V|; None if V is nearly singular, or small beside W."""
        try:
            square_root = np.linalg.cholesky(obs_cov)
        except np.linalg.LinAlgError:
            return None
        pivots = np.diagonal(square_root)
        if not np.all(pivots > _LEAST_PIVOT * np.sqrt(np.diagonal(obs_cov))):  # False where one is NaN
            return None
        inverse = dtrtri(square_root, lower=1)[0]
        values, vectors = np.linalg.eigh(inverse @ state_cov @ inverse.T)
        if not values[-1] * self.sizes.max() < _MOST_STEPS:
            return None
        return vectors.T @ inverse, np.maximum(values, 0.0), 2.0 * float(np.sum(np.log(pivots)))

    def _value(self, A: Array, shares: Array, logdet: float) -> tuple[float, Array, Array]:
        """Return the log-likelihood, 1 / (1 + c_k l) and e_k."""
        along = self.rows @ A.T
        variances = 1.0 + np.multiply.outer(self.sizes, shares)
        errors = along / variances
        total = self._constant + len(along) * logdet + np.sum(np.log(variances)) + np.vdot(along, errors)
        return -0.5 * float(total), 1.0 / variances, errors
