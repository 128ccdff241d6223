"""The initial state in the M-step: free, known, or the stationary distribution of the states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics.linear_algebra import (
    STABILITY_LIMIT,
    Array,
    gaussian_objective,
    scaled_solve,
    spectral_radius,
)
from ..numerics.lyapunov import stationary_covariance, stationary_moments


@dataclass(frozen=True)
class StationaryTerm:
    """
    E log N(x_1; a_1, P_1) with a_1 = (I - T)^{-1} c and P_1 = T P_1 T' + W, as a function of T, c, W.

    Attributes
    ----------
    mean, cov : ndarray
        Mean and covariance of x_1 given the data.
    """

    mean: Array
    cov: Array

    def value(self, transition: Array, intercept: Array, selected_cov: Array) -> float:
        """Return the term without its constant, minus infinity where T is not stable."""
        if not spectral_radius(transition) < STABILITY_LIMIT:
            return -np.inf
        a1, P1 = stationary_moments(transition, intercept, selected_cov)
        return gaussian_objective(P1, self._second_moment(a1))

    def _second_moment(self, a1: Array) -> Array:
        gap = self.mean - a1
        return self.cov + np.outer(gap, gap)

    def gradient(
        self, transition: Array, intercept: Array, selected_cov: Array
    ) -> tuple[Array, Array, Array]:
        """Return the derivatives by T, c and W."""
        a1, P1 = stationary_moments(transition, intercept, selected_cov)
        precision = np.linalg.inv(P1)
        by_cov = 0.5 * (precision @ self._second_moment(a1) @ precision - precision)
        return stationary_chain(transition, a1, P1, precision @ (self.mean - a1), by_cov)


def stationary_chain(
    transition: Array, a1: Array, P1: Array, by_mean: Array, by_cov: Array
) -> tuple[Array, Array, Array]:
    """
    Return derivatives by T, c and W, given those by the stationary a_1 and P_1.

    With Lam = T' Lam T + dP_1 and g = (I - T')^{-1} da_1: dT = 2 Lam T P_1 + g a_1', dc = g, dW = Lam.
    """
    adjoint = stationary_covariance(transition.T, by_cov)
    g = np.linalg.solve(np.eye(len(transition)) - transition.T, by_mean)
    return 2.0 * adjoint @ transition @ P1 + np.outer(g, a1), g, adjoint


def newton_initial_mean(jacobian: Array, score: Array, information: Array) -> Array:
    """
    Return the step of a_1 = f + D m to the maximum of the likelihood, which is quadratic in a_1.

    (D' N_0 D)^+ D' r_0. For x_1 an unknown constant (P_1 = 0), which the EM formula a_1 = E[x_1|Y]
    never moves.
    """
    return scaled_solve(jacobian.T @ information @ jacobian, jacobian.T @ score)
