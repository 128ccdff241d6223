"""
The E-step of a time-invariant model with complete data, without a loop over time.

With y_t and Z whitened (H = I) and, where Z has fewer dimensions than there are series, collapsed to that
many, predicted covariances P_t and the information Lam_j that j observations carry about the state at the
first of them follow two Riccati recursions,

    P_{t+1} = T F_t T' + W,   F_t = P_t - P_t Z' G_t^{-1} Z P_t,   G_t = I + Z P_t Z',
    Lam_{j+1} = T' Lam_j (I + W Lam_j)^{-1} T + Z'Z,

from P_1 and Lam_0 = 0, which do not depend on the data and converge. Every covariance is made of one of each,

    V_t = (I + P_t Lam_{n-t+1})^{-1} P_t,     Cov(x_{t+1}, x_t|Y) = (I + P_{t+1} Lam_{n-t})^{-1} T F_t,

and the means are two linear recursions with K_t = T P_t Z' G_t^{-1} and M_t = T - K_t Z,

    a_{t+1} = c_t + K_t y_t + M_t a_t,     r_{t-1} = Z' G_t^{-1} (y_t - Z a_t) + M_t' r_t,

with E[x_t|Y] = a_t + P_t r_{t-1}. The quadratic form of the log-likelihood is that of the smoothed noise,

    sum e_t' H^{-1} e_t + sum_{t<n} r_t' W r_t + r_0' P_1 r_0,    e_t = y_t - Z E[x_t|Y].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from ..numerics.linear_algebra import Array, symmetrize
from ..numerics.recursions import LinearRecursion, by_period
from ..numerics.riccati import Riccati, riccati_paths

_ILL_CONDITIONED = 1e10
"""Condition of I + P Lam from which the covariances lose digits."""
_NEARLY_SINGULAR = 1e-10
"""Share of a variance of H that the other series leave unexplained, from which H counts as singular."""


@dataclass(frozen=True)
class SteadyState:
    """
    Smoothed means by period and sums of smoothed covariances.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    mean : ndarray, (n, k)
        E[x_t|Y].
    residual, residual_sum : ndarray, (n, p) and (p, p)
        e_t = y_t - Z E[x_t|Y], and the sum of e_t e_t'.
    costate : ndarray, (n, k)
        r_0, ..., r_{n-1}.
    costate_square : ndarray, (k, k)
        Sum of r_t r_t' over t = 1..n-1.
    cov_sum, lag_sum : ndarray, (k, k)
        Sums of V_t over t = 1..n and of Cov(x_{t+1}, x_t|Y) over t < n.
    first_cov, last_cov : ndarray, (k, k)
        V_1 and V_n.
    first_costate_cov : ndarray, (k, k)
        N_0.
    costate_sums : callable
        Computes the sums of N_t and of N_t M_t P_t over t < n, (k, k).
    """

    llf: float
    mean: Array
    residual: Array
    residual_sum: Array
    costate: Array
    costate_square: Array
    cov_sum: Array
    lag_sum: Array
    first_cov: Array
    last_cov: Array
    first_costate_cov: Array
    costate_sums: Callable[[], tuple[Array, Array]]


def steady_state(
    y: Array, Z: Array, H: Array, T: Array, c: Array, R: Array, Q: Array, a1: Array, P1: Array
) -> SteadyState | None:
    """
    Return the E-step, None where H is singular or digits would be lost.

    Parameters
    ----------
    y : ndarray, (n, p)
        Observations less their intercepts, complete.
    Z, H, T, R, Q : ndarray
        Design (p, k), observation covariance (p, p), transition (k, k), selection (k, q) and covariance
        (q, q) of the state disturbances.
    c : ndarray, (k,) or (n, k)
        State intercepts.
    a1, P1 : ndarray
        Mean (k,) and covariance (k, k) of the first state.
    """
    try:
        found = _steady_state(y, Z, H, T, c, R, Q, a1, P1)
    except np.linalg.LinAlgError:
        return None
    return found if np.isfinite(found.llf) else None


def _steady_state(
    y: Array, Z: Array, H: Array, T: Array, c: Array, R: Array, Q: Array, a1: Array, P1: Array
) -> SteadyState:
    n = len(y)
    factor = _factor(H)
    observed, Zw = _collapsed(y, Z, factor)
    noise = R @ _root(Q)
    (P, G, weights, filtered), (information, *_) = riccati_paths(
        [Riccati(T, noise @ noise.T, Zw, P1), Riccati(T.T, Zw.T @ Zw, noise.T, np.zeros_like(P1))], n + 1
    )
    P, G, weights, filtered = P[:n], G[:n], weights[:n], filtered[:n]
    gain = weights @ T.T
    recursion = LinearRecursion(T - np.swapaxes(gain, 1, 2) @ Zw, n)
    inputs = np.empty((n, len(T)))
    inputs[0], inputs[1:] = a1, (by_period(observed, gain) + c)[:-1]
    predicted = recursion.forward(inputs)
    observed -= predicted @ Zw.T
    weighted = by_period(observed, np.linalg.inv(G))
    costate = recursion.backward(weighted @ Zw)
    mean = predicted + by_period(costate, P)
    if len(Zw) == len(Z):  # not collapsed: H u_t keeps digits where H is small
        weighted[:-1] -= by_period(costate[1:], np.swapaxes(gain, 1, 2))
        residual = weighted @ factor.T
    else:
        residual = y - mean @ Z.T
    residual_sum = residual.T @ residual
    dets = np.linalg.slogdet(G)[1]
    size = y.size * np.log(2.0 * np.pi) + 2.0 * n * np.sum(np.log(np.diag(factor)))
    size += dets.sum() + (n - len(P)) * dets[-1]
    start = costate[0] @ P1 @ costate[0]
    costate_square = costate[1:].T @ costate[1:]
    fit = _weighted_trace(residual_sum, factor) + np.sum(noise * (costate_square @ noise)) + start
    return SteadyState(
        -0.5 * float(size + fit),
        mean,
        residual,
        residual_sum,
        costate,
        costate_square,
        *_covariances(P, T @ filtered, information, n),
    )


def _root(cov: Array) -> Array:
    """Return S with S S' equal to a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(cov)
    if np.min(values, initial=0.0) < -_NEARLY_SINGULAR * np.max(values, initial=0.0):
        raise np.linalg.LinAlgError("state_cov is not positive semidefinite")
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _factor(H: Array) -> Array:
    """Return the Cholesky factor of H."""
    factor = np.linalg.cholesky(H)
    if np.any(np.diag(factor) ** 2 < _NEARLY_SINGULAR * np.diag(H)):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    return factor


def _divided(matrix: Array, factor: Array, transposed: bool = False) -> Array:
    """Return L^{-1} M, or L^{-T} M."""
    if np.count_nonzero(factor) == len(factor):
        return matrix / np.diag(factor)[:, None]
    triangle = factor.T if transposed else factor
    return np.asarray(scipy.linalg.solve_triangular(triangle, matrix, lower=not transposed))


def _weighted_trace(matrix: Array, factor: Array) -> float:
    """Return tr(H^{-1} M)."""
    if np.count_nonzero(factor) == len(factor):
        return float(np.sum(np.diag(matrix) / np.diag(factor) ** 2))
    return float(np.trace(_divided(_divided(matrix, factor).T, factor)))


def _collapsed(y: Array, Z: Array, factor: Array) -> tuple[Array, Array]:
    """Return what observations tell about the states, and its design, whitened: new arrays, with H = I."""
    white, used = _divided(Z, factor), np.any(Z != 0.0, axis=0)
    used[0] |= not used.any()
    if np.count_nonzero(used) >= len(Z):
        return _divided(y.T, factor).T, white
    basis, triangle = np.linalg.qr(white[:, used])
    collapsed = np.zeros((len(triangle), len(used)))
    collapsed[:, used] = triangle
    return y @ _divided(basis, factor, transposed=True), collapsed


def _covariances(P: Array, cross: Array, information: Array, n: int) -> tuple[Any, ...]:
    """Return what `SteadyState` has from ``cov_sum`` on; ``cross`` is T F_t = M_t P_t."""
    early, late = len(P), len(information)
    t = np.concatenate([np.arange(min(early, n)), np.arange(max(n - late, early), n)])
    between = max(n - early - late, 0)
    if between:
        t = np.append(t, early)
    prior, future = P[np.minimum(t, early - 1)], information[np.minimum(n - t, late - 1)]
    ahead = prior @ future
    ahead[:, np.arange(P.shape[1]), np.arange(P.shape[1])] += 1.0
    inverse = np.linalg.inv(ahead)
    if not np.max(np.abs(ahead), initial=0.0) * np.max(np.abs(inverse), initial=0.0) < _ILL_CONDITIONED:
        raise np.linalg.LinAlgError("smoothed covariances are ill-conditioned")

    def total(values: Array) -> Array:
        return values.sum(axis=0) + (max(between - 1, 0) * values[-1] if between else 0.0)

    cov = symmetrize(inverse @ prior)
    lag = inverse[1:] @ cross[np.minimum(t[1:] - 1, early - 1)]
    return (
        total(cov),
        total(lag),
        cov[0],
        cov[int(np.argmax(t))],
        symmetrize(future[0] @ inverse[0]),
        lambda: (symmetrize(total(future[1:] @ inverse[1:])), total(future[1:] @ lag)),
    )
