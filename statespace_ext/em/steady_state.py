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

with E[x_t|Y] = a_t + P_t r_{t-1}.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    costate : ndarray, (n, k)
        r_{t-1} by period.
    cov_sum, lag_sum : ndarray, (k, k)
        Sums of V_t over t = 1..n and of Cov(x_{t+1}, x_t|Y) over t < n.
    first_cov, last_cov : ndarray, (k, k)
        V_1 and V_n.
    first_costate_cov : ndarray, (k, k)
        N_0.
    costate_cov_sum, costate_lag_sum : ndarray, (k, k)
        Sums over t < n of N_t and of N_t L_t P_t, with L_t = M_t.
    """

    llf: float
    mean: Array
    costate: Array
    cov_sum: Array
    lag_sum: Array
    first_cov: Array
    last_cov: Array
    first_costate_cov: Array
    costate_cov_sum: Array
    costate_lag_sum: Array


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
    y, Z, constant = _whitened(y, Z, H)
    noise = R @ _root(Q)
    (P, G, weights, filtered), (information, *_) = riccati_paths(
        [Riccati(T, noise @ noise.T, Z, P1), Riccati(T.T, Z.T @ Z, noise.T, np.zeros_like(P1))], n + 1
    )
    P, G, weights, filtered = P[:n], G[:n], weights[:n], filtered[:n]
    gain = weights @ T.T
    recursion = LinearRecursion(T - np.swapaxes(gain, 1, 2) @ Z, n)
    inputs = np.empty((n, len(T)))
    inputs[0], inputs[1:] = a1, (by_period(y, gain) + c)[:-1]
    predicted = recursion.forward(inputs)
    v = y - predicted @ Z.T
    weighted = by_period(v, np.linalg.inv(G))
    fit = float(np.vdot(v, weighted))
    costate = recursion.backward(weighted @ Z)
    dets = 2.0 * np.sum(np.log(np.diagonal(np.linalg.cholesky(G), axis1=1, axis2=2)), axis=1)
    return SteadyState(
        -0.5 * float(constant + dets.sum() + (n - len(P)) * dets[-1] + fit),
        predicted + by_period(costate, P),
        costate,
        *_covariances(P, T @ filtered, information, n),
    )


def _root(cov: Array) -> Array:
    """Return S with S S' equal to a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(cov)
    if np.min(values, initial=0.0) < -_NEARLY_SINGULAR * np.max(values, initial=0.0):
        raise np.linalg.LinAlgError("state_cov is not positive semidefinite")
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _whitened(y: Array, Z: Array, H: Array) -> tuple[Array, Array, float]:
    """Return observations and design with H = I, and what of -2 log L does not depend on the states."""
    factor = np.linalg.cholesky(H)
    sizes = np.diag(factor)
    if np.any(sizes**2 < _NEARLY_SINGULAR * np.diag(H)):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    constant = y.size * np.log(2.0 * np.pi) + 2.0 * len(y) * np.sum(np.log(sizes))
    if np.count_nonzero(factor) == len(factor):
        y, Z = y / sizes, Z / sizes[:, None]
    else:
        y = scipy.linalg.solve_triangular(factor, y.T, lower=True).T
        Z = scipy.linalg.solve_triangular(factor, Z, lower=True)
    basis, triangle, order = scipy.linalg.qr(Z, mode="economic", pivoting=True)
    size = np.abs(np.diag(triangle))
    rank = max(int(np.sum(size > np.finfo(float).eps * max(Z.shape) * size[0])), 1)
    if rank == len(Z):
        return y, Z, float(constant)
    collapsed = np.zeros((rank, Z.shape[1]))
    collapsed[:, order] = triangle[:rank]
    basis = basis[:, :rank]
    inside = y @ basis
    outside = y - inside @ basis.T
    return inside, collapsed, float(constant + np.vdot(outside, outside))


def _covariances(P: Array, cross: Array, information: Array, n: int) -> tuple[Array, ...]:
    """Return the covariances of `SteadyState`; ``cross`` is T F_t."""
    early, late = len(P), len(information)
    t = np.concatenate([np.arange(min(early, n)), np.arange(max(n - late, early), n)])
    between = max(n - early - late, 0)
    if between:
        t = np.append(t, early)
    prior = P[np.minimum(t, early - 1)]
    behind = information[np.minimum(n - t, late - 1)]
    ahead = prior @ behind
    ahead[:, np.arange(P.shape[1]), np.arange(P.shape[1])] += 1.0
    inverse = np.linalg.inv(ahead)
    if not np.max(np.abs(ahead), initial=0.0) * np.max(np.abs(inverse), initial=0.0) < _ILL_CONDITIONED:
        raise np.linalg.LinAlgError("smoothed covariances are ill-conditioned")
    cov = symmetrize(inverse @ prior)
    lag = inverse[1:] @ cross[np.minimum(t[1:] - 1, early - 1)]
    last = int(np.argmax(t))
    costate_cov = symmetrize(behind @ inverse)

    def over_transitions(values: Array) -> Array:
        return np.asarray(values.sum(axis=0) + (max(between - 1, 0) * values[-1] if between else 0.0))

    return (
        cov.sum(axis=0) + max(between - 1, 0) * cov[-1],
        over_transitions(lag),
        cov[0],
        cov[last],
        costate_cov[0],
        over_transitions(costate_cov[1:]),
        over_transitions(behind[1:] @ lag),
    )
