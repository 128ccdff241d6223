"""
Zero-coupon yields when the short rate is affine in a Gaussian process: loadings, and their derivatives.

Under the pricing measure dX = (kappa - K X) dt + Sigma dW and r = delta_0 + delta_1'X. The price of a zero is
P(tau) = exp(a(tau) + b(tau)'X) with

    b' = -K'b - delta_1,                                     b(0) = 0
    a' = kappa'b + (1/2) b' Sigma Sigma' b - delta_0,        a(0) = 0

and its yield y(tau) = A + B x has A = -a / tau, B = -b / tau. The integrals of b and b b' are blocks of
int_0^tau u u' with u = (b, 1), u' = [[-K', -delta_1], [0, 0]] u, which `AffineFlow` computes for any K.

In discrete time, with periods of length h and X_{t+h} = X_t + (kappa - K X_t) h + Sigma sqrt(h) e, the same
holds with (b_{n+1} - b_n) / h and (a_{n+1} - a_n) / h for derivatives, and sums for integrals: every function
takes ``period=h``, and times that are whole numbers of periods.
"""

from __future__ import annotations

import numpy as np

from .linear_algebra import Array
from .ornstein_uhlenbeck import Flow, affine_flow


def loadings(
    K: Array,
    kappa: Array,
    cov: Array,
    delta_0: float,
    delta_1: Array,
    tau: Array,
    period: float | None = None,
) -> tuple[Array, Array]:
    """
    Return (A, B) of the yields y(tau) = A + B x.

    As tau goes to 0, they go to those of the short rate, (delta_0, delta_1').

    Parameters
    ----------
    K : ndarray, (k, k)
        Mean reversion under the pricing measure; any matrix.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    delta_0 : float
        The short rate at X = 0.
    delta_1 : ndarray, (k,)
        Its loadings on X.
    tau : ndarray, (m,)
        Maturities, positive, in the units of time of K.
    period : float, optional
        Length of a period of discrete time; continuous time by default.

    Returns
    -------
    A : ndarray, (m,)
    B : ndarray, (m, k)
    """
    k, flow = len(K), _flow(K, delta_1, tau, period)
    drift = -(flow.integral[:, :k, k] @ kappa) / tau
    convexity = -0.5 * np.einsum("tij,ij->t", flow.integral[:, :k, :k], cov) / tau
    return delta_0 + drift + convexity, -flow.increment[:, :k, k] / tau[:, None]


def loadings_vjp(
    K: Array,
    kappa: Array,
    cov: Array,
    delta_0: float,
    delta_1: Array,
    tau: Array,
    bar_A: Array,
    bar_B: Array,
    period: float | None = None,
) -> tuple[Array, Array, Array, float, Array]:
    """
    Return the gradient by (K, kappa, Sigma Sigma', delta_0, delta_1) of a function of the loadings.

        dL = bar_A' dA + sum(bar_B * dB)
           = sum(bar_K * dK) + bar_kappa' dkappa + tr(bar_cov d(Sigma Sigma')) + ...

    Parameters
    ----------
    K, kappa, cov, delta_0, delta_1, tau, period
        As in `loadings`.
    bar_A : ndarray, (m,)
        The gradient by A.
    bar_B : ndarray, (m, k)
        The gradient by B.

    Returns
    -------
    bar_K : ndarray, (k, k)
    bar_kappa : ndarray, (k,)
    bar_cov : ndarray, (k, k)
        Symmetric.
    bar_delta_0 : float
    bar_delta_1 : ndarray, (k,)
    """
    k = len(K)
    flow = _flow(K, delta_1, tau, period)
    weights = -np.asarray(bar_A) / tau
    bar_increment = np.zeros(flow.increment.shape, dtype=np.result_type(flow.increment, bar_A, bar_B))
    bar_increment[:, :k, k] = -np.asarray(bar_B) / tau[:, None]
    by_integral = np.zeros((k + 1, k + 1), dtype=np.result_type(kappa, cov))
    by_integral[:k, :k] = 0.5 * cov
    by_integral[:k, k] = by_integral[k, :k] = 0.5 * kappa
    bar_generator, _ = flow.vjp(bar_increment, weights[:, None, None] * by_integral)
    integral = np.einsum("t,tij->ij", weights, flow.integral)
    bar_K, bar_delta_1 = -bar_generator[:k, :k].T, -bar_generator[:k, k]
    return bar_K, integral[:k, k], 0.5 * integral[:k, :k], np.sum(bar_A), bar_delta_1


def convexity_vjp(K: Array, delta_1: Array, tau: Array, bar_A: Array, period: float | None = None) -> Array:
    """Return the gradient by Sigma Sigma' alone of a function of A; as `loadings_vjp` does."""
    k = len(K)
    integral = _flow(K, delta_1, tau, period).integral[:, :k, :k]
    return np.asarray(-0.5 * np.einsum("t,tij->ij", np.asarray(bar_A) / tau, integral))


def forward_loadings(
    K: Array,
    kappa: Array,
    cov: Array,
    delta_0: float,
    delta_1: Array,
    tau: Array,
    period: float | None = None,
) -> tuple[Array, Array]:
    """
    Return (A, B) of the instantaneous forward rates f(tau) = d(tau y(tau))/dtau = A + B x.

        A = delta_0 - kappa'b - (1/2) b' Sigma Sigma' b,    B = delta_1' e^{-K tau}

    In discrete time they are those of one period, from tau on.

    Parameters
    ----------
    K, kappa, cov, delta_0, delta_1, tau, period
        As in `loadings`.

    Returns
    -------
    A : ndarray, (m,)
    B : ndarray, (m, k)
    """
    k = len(K)
    increment = _flow(K, delta_1, tau, period).increment
    b = increment[:, :k, k]
    A = delta_0 - b @ kappa - 0.5 * np.sum((b @ cov) * b, axis=1)
    return A, delta_1 + increment[:, :k, :k] @ delta_1


def _flow(K: Array, delta_1: Array, tau: Array, period: float | None) -> Flow:
    """Return the flow of u = (b, 1) from (0, 1): increments with b, integrals of u u'."""
    k = len(K)
    generator = np.zeros((k + 1, k + 1), dtype=np.result_type(K, delta_1, float))
    generator[:k, :k], generator[:k, k] = -K.T, -delta_1
    source = np.zeros((k + 1, k + 1))
    source[k, k] = 1.0
    return affine_flow(generator, source, tau, period)
