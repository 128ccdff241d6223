"""
The E-step of a time-invariant model with complete data, without a loop over time.

The log-likelihood takes its quadratic form from the smoothed noise,

    sum e_t' H^{-1} e_t + sum_{t<n} r_t' W r_t + r_0' P_1 r_0,    e_t = y_t - Z E[x_t|Y].

Smoothed states come from the limits of the covariance recursions (`states_by_limit`) or, where these are
approached too slowly for that, from their paths (`states_by_path`).

**Limits.** With q_t = Z'H^{-1} y_t and J = Z'H^{-1} Z, which is all that is left of the observations, and
the limits P and Lam of the two recursions below, let

    D = (I + P J)^{-1},   F = D P,   M = T D,   C = (I + P Lam)^{-1},   N = Lam C.

Under x_1 ~ N(a_1, P) the filter is constant from the first period, and

    a_{t+1} = c_t + T F q_t + M a_t,     r_{t-1} = D' (q_t - J a_t) + M' r_t,     E[x_t|Y] = a_t + P r_{t-1},
    N_{t-1} = N - M'^j N M^j,   j = n - t + 1,     V_t = P - P N_{t-1} P,

up to terms of M^n, which are taken for zero. What x_1 ~ N(a_1, P_1) is more than that, is a shift delta ~
N(0, P_1 - P) of a_1. Given the data its mean is (P_1 - P) r_0 and its covariance S,

    r_0 = (I + N (P_1 - P))^{-1} r_0*,     S = (P_1 - P) (I + N (P_1 - P))^{-1},

where r_0* is that of the constant filter; a shift delta moves E[x_t|Y] by C M^{t-1} delta and r_{t-1} by -N
M^{t-1} delta. Sums over time are sums of M^i S M'^i and M'^i N M^i.

**Paths.** Observations are whitened (H = I) and collapsed to the dimensions of Z. Predicted covariances P_t
and the information Lam_j that j observations carry about the state at the first of them follow two Riccati
recursions, found by doubling,

    P_{t+1} = T F_t T' + W,   F_t = P_t - P_t Z' G_t^{-1} Z P_t,   G_t = I + Z P_t Z',
    Lam_{j+1} = T' Lam_j (I + W Lam_j)^{-1} T + Z'Z,

from P_1 and Lam_0 = 0, which do not depend on the data. Every covariance is made of one of each,

    V_t = (I + P_t Lam_{n-t+1})^{-1} P_t,     Cov(x_{t+1}, x_t|Y) = (I + P_{t+1} Lam_{n-t})^{-1} T F_t,

and the means are two linear recursions with K_t = T P_t Z' G_t^{-1} and M_t = T - K_t Z,

    a_{t+1} = c_t + K_t y_t + M_t a_t,     r_{t-1} = Z' G_t^{-1} (y_t - Z a_t) + M_t' r_t,

with E[x_t|Y] = a_t + P_t r_{t-1} and e_t = G_t^{-1} (y_t - Z a_t) - K_t' r_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg.lapack import dpotrf, dpotri

from ..numerics.linear_algebra import (
    Array,
    by_diagonal,
    diagonal_like,
    diagonal_matrix,
    gram,
    identity,
    is_diagonal,
    is_positive_semidefinite,
    product,
    solve,
    solve_and_log_det,
    square_root,
    symmetrize,
    trace_of_product,
)
from ..numerics.matrix_equations import Riccati, geometric_sums, riccati_limit, riccati_paths
from ..numerics.recursions import LinearRecursion, by_period, constant_recursion

_NEARLY_SINGULAR = 1e-10
"""Share of a variance of H that the other series leave unexplained, from which H counts as singular."""


def cholesky_factor(H: Array) -> Array:
    """Return the Cholesky factor of H; LinAlgError where it is nearly singular."""
    if is_diagonal(H):
        if not np.all(H.diagonal() > 0.0):
            raise np.linalg.LinAlgError("obs_cov is singular")
        return diagonal_like(H, np.sqrt(H.diagonal()))
    factor = np.linalg.cholesky(H)
    if np.any(np.diag(factor) ** 2 < _NEARLY_SINGULAR * np.diag(H)):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    return factor


def inverse(factor: Array) -> Array:
    """Return H^{-1} from its Cholesky factor."""
    diagonal = factor.diagonal()
    if is_diagonal(factor):
        return diagonal_like(factor, 1.0 / diagonal**2)
    lower, _ = dpotri(factor, lower=1)
    return np.asarray(lower + np.tril(lower, -1).T)


def collapsed(y: Array, Z: Array, factor: Array) -> tuple[Array, Array]:
    """Return what observations tell about the states, and its design, whitened: new arrays, with H = I."""
    white, used = _divided(Z, factor), np.any(Z != 0.0, axis=0)
    used[0] |= not used.any()
    if np.count_nonzero(used) >= len(Z):
        return _divided(y.T, factor).T, white
    basis, triangle = np.linalg.qr(white[:, used])
    out = np.zeros((len(triangle), len(used)))
    out[:, used] = triangle
    return y @ _divided(basis, factor, transposed=True), out


def _divided(matrix: Array, factor: Array, transposed: bool = False) -> Array:
    """Return L^{-1} M, or L^{-T} M."""
    if is_diagonal(factor):
        return np.asarray(matrix / factor.diagonal()[:, None])
    triangle = factor.T if transposed else factor
    return np.asarray(scipy.linalg.solve_triangular(triangle, matrix, lower=not transposed))


_PERIODS = 2**13
"""Number of periods of a block."""
_ELEMENTS = 2**16
"""Number of observations of a block, which then stay in the cache."""


def blocks(n: int, p: int = 1) -> Iterator[slice]:
    """Yield slices of periods, in order, that cover a sample of p series."""
    length = min(_PERIODS, max(_ELEMENTS // p, 1))
    for start in range(0, n, length):
        yield slice(start, min(start + length, n))


class SteadySums(NamedTuple):
    """
    Sums over t of products of e_t, r_t, b_t = (E[x_t|Y], 1, exog_t) and s_t = (E[x_t|Y], 1, state_exog_t).

    Attributes
    ----------
    ee, eb, bb : ndarray, (p, p), (p, j) and (j, j)
        Sums of e_t e_t', e_t b_t' and b_t b_t' over t = 1..n.
    rr, rs, ss : ndarray, (k, k), (k, i) and (i, i)
        Sums of r_t r_t', r_t s_t' and s_t s_t' over t < n.
    """

    ee: Array
    eb: Array
    bb: Array
    rr: Array
    rs: Array
    ss: Array


def steady_sums(
    residual: Callable[[slice], Array],
    mean: Array,
    adjoint: Array,
    exog: Array,
    state_exog: Array,
    series: int,
    squares: bool,
) -> SteadySums:
    """
    Return the sums.

    Parameters
    ----------
    residual : callable
        Returns e_t of a block.
    mean, adjoint : ndarray, (n, k)
        E[x_t|Y], and r_0, ..., r_{n-1}.
    exog, state_exog : ndarray, (n, j) and (n, i)
        Regressors of the two equations.
    series : int
        Number of series.
    squares : bool
        Whether the diagonal of the sum of e_t e_t' suffices.
    """
    totals: list[Array] = []
    for rows in blocks(len(mean), series):
        e, r = residual(rows), adjoint[rows.start + 1 : rows.stop + 1]
        states = mean[rows], np.ones((len(e), 1))
        b, s = (np.concatenate([*states, each[rows]], axis=1) for each in (exog, state_exog))
        ee = diagonal_matrix(np.einsum("ti,ti->i", e, e)) if squares else gram(e)
        parts = [ee, e.T @ b, gram(b), gram(r), r.T @ s[: len(r)], gram(s)]
        totals = [total + part for total, part in zip(totals, parts, strict=True)] if totals else parts
    ee, eb, bb, rr, rs, ss = totals
    return SteadySums(ee, eb, bb, rr, rs, ss - s[-1][:, None] * s[-1])


_ILL_CONDITIONED = 1e10
"""Condition of I + P Lam, in units of the standard deviations, from which covariances lose digits."""


@dataclass(frozen=True)
class SmoothedStates:
    """
    Smoothed means by period and sums of smoothed covariances.

    Attributes
    ----------
    mean : ndarray, (n, k)
        E[x_t|Y].
    adjoint : ndarray, (n, k)
        r_0, ..., r_{n-1}.
    log_det : float
        Sum of log|G_t|.
    cov_sum, lag_sum : ndarray, (k, k)
        Sums of V_t over t = 1..n and of Cov(x_{t+1}, x_t|Y) over t < n.
    first_cov, last_cov : ndarray, (k, k)
        V_1 and V_n.
    first_adjoint_cov : ndarray, (k, k)
        N_0.
    adjoint_sums : callable
        Computes the sums of N_t and of N_t M_t P_t over t < n, (k, k).
    noise : callable, optional
        Computes the smoothed noise of the white observations, (n, m).
    """

    mean: Array
    adjoint: Array
    log_det: float
    cov_sum: Array
    lag_sum: Array
    first_cov: Array
    last_cov: Array
    first_adjoint_cov: Array
    adjoint_sums: Callable[[], tuple[Array, Array]]
    noise: Callable[[], Array] | None = None


def states_by_path(
    y: Array, Z: Array, T: Array, c: Array, noise: Array, a1: Array, P1: Array
) -> SmoothedStates:
    """
    Return smoothed states; LinAlgError where digits would be lost.

    Parameters
    ----------
    y, Z, T, c, a1, P1
        As for `states_by_limit`, of observations with H = I.
    noise : ndarray, (k, q)
        A square root of the covariance of the state noise.
    """
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
    adjoint = recursion.backward(weighted @ Z)
    mean = predicted + by_period(adjoint, P)

    def smoothed_noise() -> Array:
        """Return the smoothed noise of the white observations."""
        out = weighted.copy()
        out[:-1] -= by_period(adjoint[1:], np.swapaxes(gain, 1, 2))
        return out

    dets = np.linalg.slogdet(G)[1]
    log_det = float(dets.sum() + (n - len(P)) * dets[-1])
    sums = _covariances(P, T @ filtered, information, n)
    return SmoothedStates(mean, adjoint, log_det, noise=smoothed_noise, **sums)


def _covariances(P: Array, cross: Array, information: Array, n: int) -> dict[str, Any]:
    """Return `SmoothedStates` from ``cov_sum`` to ``adjoint_sums``; ``cross`` is T F_t = M_t P_t."""
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
        """Return the sum over all periods. The periods between the ends have the last value."""
        return values.sum(axis=0) + (max(between - 1, 0) * values[-1] if between else 0.0)

    cov = symmetrize(inverse @ prior)
    lag = inverse[1:] @ cross[np.minimum(t[1:] - 1, early - 1)]
    return {
        "cov_sum": total(cov),
        "lag_sum": total(lag),
        "first_cov": cov[0],
        "last_cov": cov[int(np.argmax(t))],
        "first_adjoint_cov": symmetrize(future[0] @ inverse[0]),
        "adjoint_sums": lambda: (symmetrize(total(future[1:] @ inverse[1:])), total(future[1:] @ lag)),
    }


_ILL_CONDITIONED_LIMIT = 1e4
"""Condition of I + P Lam from which covariances would lose digits."""
_LARGE_SHIFT = 1e3
"""Factor from r_0* to r_0 from which the means would lose digits."""
_APART = 1e3
"""Ratio of standard deviations of states from which pivots would be the wrong ones."""


def states_by_limit(
    y: Array, Z: Array, weights: Array, T: Array, c: Array, W: Array, a1: Array, P1: Array
) -> SmoothedStates:
    """
    Return smoothed states.

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
        If the sample is too short for the limits, or digits would be lost.
    """
    n = len(y)
    J = symmetrize(Z.T @ weights)
    P, information, D, F, log_det = riccati_limit(T, W, J, n)
    M, shift, one = T @ D, P1 - P, identity(len(T))
    known = one + P @ information
    C = solve(known, one)
    N = symmetrize(information @ C)
    to_first, shift_log_det = solve_and_log_det(one + N @ shift, one)
    scale = np.sqrt(P.diagonal() + P1.diagonal())
    _require_digits(known, C, to_first, scale)
    sums = geometric_sums(M, symmetrize(shift @ to_first), N, scale, n)
    mean, adjoint = _constant_filter(y, weights, J, M, F @ T.T, D, c, a1)
    moved = (shift @ (to_first @ adjoint[0]))[None]  # by M^i, as rows
    for power in sums.powers[:-1]:
        moved = np.concatenate([moved, moved @ power.T])
    mean[: len(moved)] += moved
    adjoint[: len(moved)] -= moved @ N
    for rows in blocks(n):
        mean[rows] += adjoint[rows] @ P
    CV, MP, first = M @ sums.forward, M @ P, to_first @ C.T
    late = M.T @ sums.backward @ M  # from the second term on
    CVC, late_MP = CV @ C.T, late @ MP
    return SmoothedStates(
        mean=mean,
        adjoint=adjoint,
        log_det=n * log_det + shift_log_det,
        cov_sum=symmetrize(n * (C @ P) + P @ late @ P + C @ sums.forward @ C.T),
        lag_sum=C @ ((n - 1) * MP + CVC) + P @ late_MP,
        first_cov=symmetrize(P1 @ first),
        last_cov=F,
        first_adjoint_cov=symmetrize(first @ information),
        adjoint_sums=lambda: (
            symmetrize((n - 1) * N - late - N @ CV @ M.T @ N),
            (n - 1) * (N @ MP) - late_MP + N @ CVC,
        ),
    )


def _constant_filter(
    y: Array, weights: Array, J: Array, M: Array, gain: Array, D: Array, c: Array, a1: Array
) -> tuple[Array, Array]:
    """Return a_t and r_{t-1} as rows; ``gain`` is F T'."""
    n, k = len(y), len(M)
    mean, adjoint = np.empty((n, k)), np.empty((n, k))
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
        adjoint[rows] = (q - mean[rows] @ J) @ D
    for rows in reversed(list(blocks(n))):
        if rows.stop < n:
            adjoint[rows.stop - 1] += adjoint[rows.stop] @ M
        adjoint[rows] = recursions[rows.stop - rows.start].backward(adjoint[rows])
    return mean, adjoint


def _require_digits(known: Array, C: Array, to_first: Array, scale: Array) -> None:
    """Raise LinAlgError where scales differ much, I + P Lam is ill-conditioned, or the shift is large."""
    size = np.where(scale > 0.0, scale, scale.max())
    ratio = size / size[:, None]
    largest = np.abs([known * ratio, C * ratio, to_first / ratio]).max(axis=(1, 2)).tolist()
    well_conditioned = largest[0] * largest[1] < _ILL_CONDITIONED_LIMIT
    if not (well_conditioned and largest[2] < _LARGE_SHIFT and ratio.max() < _APART):
        raise np.linalg.LinAlgError("digits would be lost")


@dataclass(frozen=True)
class SteadyState:
    """
    What an E-step takes from the data.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    states : SmoothedStates
        Smoothed means by period and sums of smoothed covariances.
    sums : SteadySums
        Sums of products of means, with e_t = y_t - Z E[x_t|Y].
    residual : callable
        Returns e_t of a slice of periods.
    precision : ndarray, (p, p)
        H^{-1}.
    """

    llf: float
    states: SmoothedStates
    sums: SteadySums
    residual: Callable[[slice], Array]
    precision: Array


def steady_state(
    y: Array,
    Z: Array,
    H: Array,
    T: Array,
    c: Array,
    R: Array,
    Q: Array,
    a1: Array,
    P1: Array,
    exog: Array,
    state_exog: Array,
) -> SteadyState | None:
    """
    Return the E-step, or None if H is singular or digits would be lost.

    Parameters
    ----------
    y : ndarray, (n, p)
        Observations less their intercepts, complete.
    Z, H, T, R, Q : ndarray
        Design (p, k), observation covariance (p, p), transition (k, k), selection (k, q) and covariance
        (q, q) of the state disturbances.
    c : ndarray, (1, k) or (n, k)
        State intercepts.
    a1, P1 : ndarray
        Mean (k,) and covariance (k, k) of the first state.
    exog, state_exog : ndarray, (n, j) and (n, i)
        Regressors of the two equations, for the sums.
    """
    n = len(y)
    try:
        factor = cholesky_factor(H)
        precision, W, noise = inverse(factor), R @ Q @ R.T, R @ _square_root(Q)
        try:
            states = states_by_limit(y, Z, product(precision, Z), T, c, W, a1, P1)
        except np.linalg.LinAlgError:
            observed, design = collapsed(y, Z, factor)
            states = states_by_path(observed, design, T, c, noise, a1, P1)
            states = states if len(design) == len(Z) else replace(states, noise=None)
    except np.linalg.LinAlgError:
        return None
    residuals = None if states.noise is None else product(factor, states.noise().T).T

    def residual(rows: slice) -> Array:
        """Return e_t of some periods."""
        if residuals is not None:  # they keep digits where H is small
            return residuals[rows]
        out = states.mean[rows] @ Z.T
        return np.subtract(y[rows], out, out=out)

    sums = steady_sums(residual, states.mean, states.adjoint, exog, state_exog, len(Z), by_diagonal(H))
    fit = (
        trace_of_product(precision, sums.ee)
        + np.vdot(W, sums.rr)
        + states.adjoint[0] @ P1 @ states.adjoint[0]
    )
    size = y.size * math.log(2.0 * math.pi) + 2.0 * n * np.log(factor.diagonal()).sum() + states.log_det
    llf = -0.5 * float(size + fit)
    return SteadyState(llf, states, sums, residual, precision) if math.isfinite(llf) else None


def _square_root(cov: Array) -> Array:
    """Return S with S S' equal to a positive semidefinite matrix."""
    factor, failed = dpotrf(cov, lower=1)
    if not failed:
        return np.asarray(factor)
    if not is_positive_semidefinite(cov):
        raise np.linalg.LinAlgError("state_cov is not positive semidefinite")
    return square_root(cov)
