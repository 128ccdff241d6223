"""
Smoothed states from the whole paths of the covariances, which `riccati` finds by doubling.

Predicted covariances P_t and the information Lam_j that j observations carry about the state at the first of
them follow two Riccati recursions,

    P_{t+1} = T F_t T' + W,   F_t = P_t - P_t Z' G_t^{-1} Z P_t,   G_t = I + Z P_t Z',
    Lam_{j+1} = T' Lam_j (I + W Lam_j)^{-1} T + Z'Z,

from P_1 and Lam_0 = 0, which do not depend on the data. Every covariance is made of one of each,

    V_t = (I + P_t Lam_{n-t+1})^{-1} P_t,     Cov(x_{t+1}, x_t|Y) = (I + P_{t+1} Lam_{n-t})^{-1} T F_t,

and the means are two linear recursions with K_t = T P_t Z' G_t^{-1} and M_t = T - K_t Z,

    a_{t+1} = c_t + K_t y_t + M_t a_t,     r_{t-1} = Z' G_t^{-1} (y_t - Z a_t) + M_t' r_t,

with E[x_t|Y] = a_t + P_t r_{t-1} and e_t = G_t^{-1} (y_t - Z a_t) - K_t' r_t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..numerics.linear_algebra import Array, symmetrize
from ..numerics.recursions import LinearRecursion, by_period
from ..numerics.riccati import Riccati, riccati_paths

_ILL_CONDITIONED = 1e10
"""Condition of I + P Lam, in units of the standard deviations, from which covariances lose digits."""


class WhiteModel(NamedTuple):
    """
    A model with unit observation noise: y (n, m), Z, T, c by row (one, or one a period), noise, a1, P1.

    W = noise noise' is the covariance of the state noise.
    """

    y: Array
    Z: Array
    T: Array
    c: Array
    noise: Array
    a1: Array
    P1: Array


@dataclass(frozen=True)
class SmoothedStates:
    """
    Smoothed means by period and sums of smoothed covariances.

    Attributes
    ----------
    mean : ndarray, (n, k)
        E[x_t|Y].
    costate : ndarray, (n, k)
        r_0, ..., r_{n-1}.
    log_det : float
        Sum of log|G_t|.
    cov_sum, lag_sum : ndarray, (k, k)
        Sums of V_t over t = 1..n and of Cov(x_{t+1}, x_t|Y) over t < n.
    first_cov, last_cov : ndarray, (k, k)
        V_1 and V_n.
    first_costate_cov : ndarray, (k, k)
        N_0.
    costate_sums : callable
        Computes the sums of N_t and of N_t M_t P_t over t < n, (k, k).
    noise : callable, optional
        Computes the smoothed noise of the white observations, (n, m).
    """

    mean: Array
    costate: Array
    log_det: float
    cov_sum: Array
    lag_sum: Array
    first_cov: Array
    last_cov: Array
    first_costate_cov: Array
    costate_sums: Callable[[], tuple[Array, Array]]
    noise: Callable[[], Array] | None = None


def states_by_path(model: WhiteModel) -> SmoothedStates:
    """Return smoothed states; LinAlgError where digits would be lost."""
    y, Z, T, c, noise, a1, P1 = model
    n = len(y)
    (P, G, weights, filtered), (information, *_) = riccati_paths(
        [Riccati(T, noise @ noise.T, Z, P1), Riccati(T.T, Z.T @ Z, noise.T, np.zeros_like(P1))], n + 1
    )
    P, G, weights, filtered = P[:n], G[:n], weights[:n], filtered[:n]
    gain = weights @ T.T
    recursion = LinearRecursion(T - np.swapaxes(gain, 1, 2) @ Z, n)
    inputs = np.empty((n, len(T)))
    inputs[0], inputs[1:] = a1, (by_period(y, gain) + c)[:-1]
    predicted = recursion.forward(inputs)
    weighted = by_period(y - predicted @ Z.T, np.linalg.inv(G))
    costate = recursion.backward(weighted @ Z)
    mean = predicted + by_period(costate, P)

    def smoothed_noise() -> Array:
        out = weighted.copy()
        out[:-1] -= by_period(costate[1:], np.swapaxes(gain, 1, 2))
        return out

    dets = np.linalg.slogdet(G)[1]
    log_det = float(dets.sum() + (n - len(P)) * dets[-1])
    sums = _covariances(P, T @ filtered, information, n)
    return SmoothedStates(mean, costate, log_det, noise=smoothed_noise, **sums)


def _covariances(P: Array, cross: Array, information: Array, n: int) -> dict[str, Any]:
    """Return `SmoothedStates` from ``cov_sum`` to ``costate_sums``; ``cross`` is T F_t = M_t P_t."""
    early, late = len(P), len(information)
    t = np.concatenate([np.arange(min(early, n)), np.arange(max(n - late, early), n)])
    between = max(n - early - late, 0)
    if between:
        t = np.append(t, early)
    prior, future = P[np.minimum(t, early - 1)], information[np.minimum(n - t, late - 1)]
    ahead = prior @ future
    ahead[:, np.arange(P.shape[1]), np.arange(P.shape[1])] += 1.0
    inverse = np.linalg.inv(ahead)
    size = np.sqrt(np.diagonal(prior, axis1=1, axis2=2).max(axis=0))
    size[size == 0.0] = 1.0
    ratio = size / size[:, None]
    if not np.abs(ahead * ratio).max() * np.abs(inverse * ratio).max() < _ILL_CONDITIONED:
        raise np.linalg.LinAlgError("smoothed covariances are ill-conditioned")

    def total(values: Array) -> Array:
        return values.sum(axis=0) + (max(between - 1, 0) * values[-1] if between else 0.0)

    cov = symmetrize(inverse @ prior)
    lag = inverse[1:] @ cross[np.minimum(t[1:] - 1, early - 1)]
    return {
        "cov_sum": total(cov),
        "lag_sum": total(lag),
        "first_cov": cov[0],
        "last_cov": cov[int(np.argmax(t))],
        "first_costate_cov": symmetrize(future[0] @ inverse[0]),
        "costate_sums": lambda: (symmetrize(total(future[1:] @ inverse[1:])), total(future[1:] @ lag)),
    }
