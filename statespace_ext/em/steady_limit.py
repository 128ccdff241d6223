"""
Smoothed states from the limits P and Lam of the covariance recursions, without their paths.

With q_t = Z'H^{-1} y_t and J = Z'H^{-1} Z, which is all that is left of the observations, let

    D = (I + P J)^{-1},   F = D P,   M = T D,   C = (I + P Lam)^{-1},   N = Lam C.

Under x_1 ~ N(a_1, P) the filter is constant from the first period, and

    a_{t+1} = c_t + T F q_t + M a_t,     r_{t-1} = D' (q_t - J a_t) + M' r_t,     E[x_t|Y] = a_t + P r_{t-1},
    N_{t-1} = N - M'^j N M^j,   j = n - t + 1,     V_t = P - P N_{t-1} P,

up to terms of M^n, which this file takes for zero. What x_1 ~ N(a_1, P_1) is more than that, is a shift
delta ~ N(0, P_1 - P) of a_1. Given the data its mean is (P_1 - P) r_0 and its covariance S,

    r_0 = (I + Lam P_1)^{-1} (I + Lam P) r_0*,     S = (P_1 - P) (I + Lam P_1)^{-1} (I + Lam P),

where r_0* is that of the constant filter; a shift delta moves E[x_t|Y] by C M^{t-1} delta and r_{t-1} by
-N M^{t-1} delta. Sums over time are sums of M^i S M'^i and M'^i N M^i.
"""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array, solve_and_log_det, symmetrize
from ..numerics.recursions import constant_recursion
from ..numerics.riccati import geometric_sums, riccati_limit
from .steady_path import SmoothedStates
from .steady_sums import blocks

_ILL_CONDITIONED = 1e4
"""Condition of I + P Lam from which covariances would lose digits."""
_LARGE_SHIFT = 1e3
"""Factor from r_0* to r_0 from which the means would lose digits."""
_APART = 1e3
"""Ratio of standard deviations of states from which pivots would be the wrong ones."""


def states_by_limit(
    y: Array, Z: Array, weights: Array, T: Array, c: Array, W: Array, a1: Array, P1: Array
) -> SmoothedStates | None:
    """
    Return smoothed states, None where the sample is too short for the limits.

    Parameters
    ----------
    y : ndarray, (n, p)
        Observations less their intercepts.
    Z, weights : ndarray, (p, k)
        Design and H^{-1} Z.
    T, W : ndarray, (k, k)
        Transition and covariance of the state noise.
    c : ndarray, (1, k) or (n, k)
        State intercepts.
    a1, P1 : ndarray
        Mean (k,) and covariance (k, k) of the first state.

    Raises
    ------
    LinAlgError
        Where digits would be lost.
    """
    n, k = len(y), len(T)
    J = symmetrize(Z.T @ weights)
    limit = riccati_limit(T, W, J, n)
    if limit is None:
        return None
    P, information, D, F, log_det = limit
    M, shift, identity = T @ D, P1 - P, np.eye(k)
    known, begun = identity + P @ information, identity + information @ P1
    C, known_log_det = solve_and_log_det(known, identity)
    first, begun_log_det = solve_and_log_det(begun, identity)
    N, to_first = symmetrize(information @ C), first @ known.T
    scale = np.sqrt(P.diagonal() + P1.diagonal())
    _require_digits(known, C, to_first, scale)
    sums = geometric_sums(M, symmetrize(shift @ to_first), N, scale, n)
    if sums is None:
        return None
    mean, costate = _constant_filter(y, weights, J, M, F @ T.T, D, c, a1)
    moved = _orbit(shift @ (to_first @ costate[0]), sums.powers)
    mean[: len(moved)] += moved
    costate[: len(moved)] -= moved @ N
    for rows in blocks(n):
        mean[rows] += costate[rows] @ P
    CV, MP = M @ sums.forward, M @ P
    late = M.T @ sums.backward @ M  # from the second term on
    CVC, late_MP = CV @ C.T, late @ MP

    def costate_sums() -> tuple[Array, Array]:
        square = (n - 1) * N - late - N @ CV @ M.T @ N
        return symmetrize(square), (n - 1) * (N @ MP) - late_MP + N @ CVC

    return SmoothedStates(
        mean=mean,
        costate=costate,
        log_det=n * log_det + begun_log_det - known_log_det,
        cov_sum=symmetrize(n * (C @ P) + P @ late @ P + C @ sums.forward @ C.T),
        lag_sum=C @ ((n - 1) * MP + CVC) + P @ late_MP,
        first_cov=symmetrize(P1 @ first),
        last_cov=F,
        first_costate_cov=symmetrize(first @ information),
        costate_sums=costate_sums,
    )


def _constant_filter(
    y: Array, weights: Array, J: Array, M: Array, gain: Array, D: Array, c: Array, a1: Array
) -> tuple[Array, Array]:
    """Return a_t and r_{t-1} as rows; ``gain`` is F T'."""
    n, k = len(y), len(M)
    mean, costate = np.empty((n, k)), np.empty((n, k))
    carried, recursions = a1, {}
    for rows in blocks(n):
        length = rows.stop - rows.start
        if length not in recursions:
            recursions[length] = constant_recursion(M, length)
        q, constant = y[rows] @ weights, c if len(c) == 1 else c[rows]
        inputs = np.empty((length, k))
        inputs[0] = carried
        np.matmul(q[:-1], gain, out=inputs[1:])
        inputs[1:] += constant[: length - 1]
        mean[rows] = recursions[length].forward(inputs)
        carried = constant[-1] + q[-1] @ gain + M @ mean[rows.stop - 1]
        costate[rows] = (q - mean[rows] @ J) @ D
    for rows in reversed(list(blocks(n))):
        if rows.stop < n:
            costate[rows.stop - 1] += costate[rows.stop] @ M
        costate[rows] = recursions[rows.stop - rows.start].backward(costate[rows])
    return mean, costate


def _require_digits(known: Array, C: Array, to_first: Array, scale: Array) -> None:
    """Raise LinAlgError where scales differ much, I + P Lam is ill-conditioned, or the shift is large."""
    size = np.where(scale > 0.0, scale, scale.max())
    ratio = size / size[:, None]
    condition = np.abs(known * ratio).max() * np.abs(C * ratio).max()
    shift = np.abs(to_first / ratio).max()
    if not (condition < _ILL_CONDITIONED and shift < _LARGE_SHIFT and ratio.max() < _APART):
        raise np.linalg.LinAlgError("digits would be lost")


def _orbit(start: Array, powers: list[Array]) -> Array:
    """Return M^i start as rows, from M, M^2, M^4, ..."""
    out = start[None]
    for power in powers[:-1]:
        out = np.concatenate([out, out @ power.T])
    return out
