"""Derivatives through the stationary distribution of an Ornstein-Uhlenbeck process."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from .linear_algebra import Array, symmetrize


def stationary_pullback(
    K: Array, kappa: Array, cov: Array, by_mean: Array, by_cov: Array
) -> tuple[Array, Array, Array]:
    """
    Return derivatives by K, kappa and cov, given those by the stationary mean and covariance.

    The mean is m = K^{-1} kappa, the covariance solves K P + P K' = cov. With g = K^{-T} dm and
    K' L + L K = dP:  dkappa = g,  dcov = L,  dK = -g m' - 2 L P.
    """
    mean = np.linalg.solve(K, kappa)
    P = symmetrize(scipy.linalg.solve_continuous_lyapunov(K, cov))
    adjoint = symmetrize(scipy.linalg.solve_continuous_lyapunov(K.T, symmetrize(by_cov)))
    g = np.linalg.solve(K.T, by_mean)
    return -np.outer(g, mean) - 2.0 * adjoint @ P, g, adjoint
