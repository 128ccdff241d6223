"""Derivatives through the stationary distribution of an Ornstein-Uhlenbeck process."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from .linear_algebra import Array, symmetrize


def stationary_pullback(
    K: Array, kappa: Array, cov: Array, bar_mean: Array, bar_P: Array
) -> tuple[Array, Array, Array]:
    """
    Return the gradient by (K, kappa, Sigma Sigma') of a function of the stationary mean and covariance.

        m = K^{-1} kappa,    K P + P K' = Sigma Sigma',    dL = bar_mean' dm + tr(bar_P dP)

    With g = K^{-T} bar_mean and K' L + L K = bar_P:

        bar_kappa = g,    bar_cov = L,    bar_K = -g m' - 2 L P

    Parameters
    ----------
    K : ndarray, (k, k)
        All eigenvalues have positive real parts.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    bar_mean : ndarray, (k,)
        The gradient by m.
    bar_P : ndarray, (k, k)
        The gradient by P.

    Returns
    -------
    bar_K : ndarray, (k, k)
    bar_kappa : ndarray, (k,)
    bar_cov : ndarray, (k, k)
        Symmetric.
    """
    mean = np.linalg.solve(K, kappa)
    P = symmetrize(scipy.linalg.solve_continuous_lyapunov(K, cov))
    bar_cov = symmetrize(scipy.linalg.solve_continuous_lyapunov(K.T, symmetrize(bar_P)))
    bar_kappa = np.linalg.solve(K.T, bar_mean)
    return -np.outer(bar_kappa, mean) - 2.0 * bar_cov @ P, bar_kappa, bar_cov
