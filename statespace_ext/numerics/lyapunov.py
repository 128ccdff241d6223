"""
Moments of a stationary distribution, in discrete and continuous time.

In discrete time they take a linear system for companion matrices and for few states, and doubling steps
otherwise: all are faster than a Schur form. In continuous time derivatives are carried back through them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.linalg
from scipy.linalg.lapack import dgees, dtrsyl

from .linear_algebra import Array, quiet, solve, symmetrize

_ROUNDING = 1e-12
"""Largest residual of the Lyapunov equation, relative to its solution, that passes for rounding."""
_MOST_DOUBLINGS = 50
_FEW = 4
"""Number of states up to which one linear system for all elements is faster than doubling."""
_DIVERGED = 1e100
"""Element of a power of the transition from which there is no hope."""


def stationary_covariance(transition: Array, selected_cov: Array) -> Array:
    """
    Solve P = T P T' + W.

    For a diagonal T each element of P has its own equation. A left companion matrix (of ARMA models in
    Harvey's form) takes one k x k linear system and O(k^2) operations beside; a few states take one linear
    system; another stable matrix takes some doublings. Each solution is put into the equation. Where it does
    not fit to rounding, as for a transition that is not stable, scipy solves it.

    Parameters
    ----------
    transition, selected_cov : ndarray, (k, k)
        T and W = R Q R'.
    """
    with quiet():
        for solution in (_of_diagonal, _of_companion, _of_few, _by_doubling):
            cov = solution(transition, selected_cov)
            if cov is not None and _fits(cov, transition, selected_cov):
                return cov
    return symmetrize(scipy.linalg.solve_discrete_lyapunov(transition, selected_cov))


def continuous_covariance(K: Array, cov: Array) -> Array:
    """
    Solve K P + P K' = W.

    These are the steps of `scipy.linalg.solve_continuous_lyapunov`. With few states, its checks take most of
    the time. If a step fails, scipy solves the equation or raises the error.

    Parameters
    ----------
    K, cov : ndarray, (k, k)
        K and W.
    """
    if np.isrealobj(K) and np.isrealobj(cov) and np.all(np.isfinite(cov)):
        T, _, _, _, Z, _, failed = dgees(lambda *_: 0, K, sort_t=0)
        P, scale, wrong = dtrsyl(T, T, Z.T @ cov @ Z, tranb="T")
        if not failed and not wrong and scale == 1.0 and np.all(np.isfinite(P)):
            return symmetrize(Z @ P @ Z.T)
    return symmetrize(scipy.linalg.solve_continuous_lyapunov(K, cov))


def stationary_moments(transition: Array, intercept: Array, selected_cov: Array) -> tuple[Array, Array]:
    """
    Return the mean and covariance of the stationary distribution of x' = c + T x + w.

    Parameters
    ----------
    transition : ndarray, (k, k)
        T, with all roots inside the unit circle.
    intercept : ndarray, (k,)
        c.
    selected_cov : ndarray, (k, k)
        W = R Q R', the covariance of w.

    Returns
    -------
    mean : ndarray, (k,)
        (I - T)^{-1} c.
    cov : ndarray, (k, k)
        P = T P T' + W.
    """
    given = (transition, intercept, selected_cov)
    mean, cov = _moments(*((each.tobytes(), each.dtype.char) for each in given))
    return mean.copy(), cov.copy()


@lru_cache(maxsize=8)
def _moments(*given: tuple[bytes, str]) -> tuple[Array, Array]:
    """Return `stationary_moments`, which an M-step and the E-step after it need at the same matrices."""
    T, c, W = (np.frombuffer(each, dtype) for each, dtype in given)
    T, W = T.reshape(len(c), -1), W.reshape(len(c), -1)
    mean = np.linalg.solve(np.eye(len(c)) - T, c) if np.any(c) else np.zeros(len(c))
    return mean, stationary_covariance(T, W)


def stationary_covariances(transition: Array, selected_covs: Array) -> Array:
    """
    Solve P_i = T P_i T' + W_i for several symmetric W_i, each to its own size.

    Parameters
    ----------
    transition : ndarray, (k, k)
        T, with all roots inside the unit circle.
    selected_covs : ndarray, (m, k, k)
        W_i.
    """
    with quiet():
        covs = _by_doubling(transition, selected_covs)
    if covs is None:
        covs = np.stack([scipy.linalg.solve_discrete_lyapunov(transition, each) for each in selected_covs])
    return covs


def stationarity_error(cov: Array, transition: Array, selected_cov: Array) -> float:
    """Return the largest element of T P T' + W - P, relative to P; infinity where that is not a number."""
    if _is_left_companion(transition):
        half = _times_companion(transition[:, 0], cov)
        moved = _times_companion(transition[:, 0], half.T).T
    else:
        moved = transition @ cov @ transition.T
    size = np.max(np.abs(cov), initial=0.0)
    error = np.max(np.abs(moved + selected_cov - cov), initial=0.0)
    if error == 0.0:
        return 0.0
    return float(error / size) if size > 0.0 and np.isfinite(error) else np.inf


def _fits(cov: Array, transition: Array, selected_cov: Array) -> bool:
    return stationarity_error(cov, transition, selected_cov) <= _ROUNDING


def _of_diagonal(transition: Array, selected_cov: Array) -> Array | None:
    """Solve P = T P T' + W for a diagonal T."""
    phi = transition.diagonal()
    if np.count_nonzero(transition) != np.count_nonzero(phi):
        return None
    return symmetrize(selected_cov / (1.0 - np.outer(phi, phi)))


def _is_left_companion(transition: Array) -> bool:
    """Return whether T = [phi, [I; 0]]."""
    k = len(transition)
    above = transition[:, 1:]
    return k > 2 and np.count_nonzero(above) == k - 1 and bool(np.all(np.diagonal(transition, 1) == 1.0))


def _times_companion(phi: Array, matrix: Array) -> Array:
    """Return [phi, [I; 0]] M."""
    out = np.outer(phi, matrix[0])
    out[:-1] += matrix[1:]
    return out


def _of_companion(transition: Array, selected_cov: Array) -> Array | None:
    """
    Solve P = T P T' + W for T = [phi, [I; 0]].

    With p = P[:, 0], and p_k = 0, the equation reads P_ij = P_{i+1, j+1} + C_ij, where
    C_ij = W_ij + phi_i phi_j p_0 + phi_i p_{j+1} + phi_j p_{i+1}: P sums C along its diagonals, downwards,
    and in the first column that is a linear system for p.
    """
    if not _is_left_companion(transition):
        return None
    phi = transition[:, 0]
    k = len(phi)
    shifted = scipy.linalg.hankel(phi)
    system = np.eye(k + 1)[:k]
    system[:, 1:] -= shifted + np.triu(scipy.linalg.toeplitz(phi))
    system[:, 0] -= shifted @ phi
    try:
        first = np.linalg.solve(system[:, :k], _diagonal_sums(selected_cov)[:, 0])
    except np.linalg.LinAlgError:
        return None
    cross = np.outer(phi, np.append(first[1:], 0.0))
    return symmetrize(_diagonal_sums(selected_cov + np.outer(phi * first[0], phi) + cross + cross.T))


def _diagonal_sums(matrix: Array) -> Array:
    """Return S with S_ij = sum over m >= 0 of M_{i+m, j+m}: in rows one longer, diagonals are columns."""
    k = len(matrix)
    flat = np.zeros(k * (2 * k + 1))
    flat[: 2 * k * k].reshape(k, 2 * k)[:, :k] = matrix
    sums = np.cumsum(flat.reshape(k, 2 * k + 1)[::-1], axis=0)[::-1]
    return sums.reshape(-1)[: 2 * k * k].reshape(k, 2 * k)[:, :k]


def _of_few(transition: Array, selected_cov: Array) -> Array | None:
    """Solve (I - T kron T) vec P = vec W; None if there are many states, or no solution."""
    k = len(transition)
    if not 0 < k <= _FEW:
        return None
    system = np.eye(k * k) - (transition[:, None, :, None] * transition[:, None]).reshape(k * k, k * k)
    try:
        return symmetrize(solve(system, selected_cov.reshape(-1, 1)).reshape(k, k))
    except np.linalg.LinAlgError:
        return None


def _by_doubling(transition: Array, selected_cov: Array) -> Array | None:
    """Return W + T W T' + T^2 W T^2' + ..., twice as many terms at each step; W is one matrix or a stack."""
    cov, power = selected_cov, transition
    for _ in range(_MOST_DOUBLINGS):
        cov = cov + power @ cov @ power.T
        power = power @ power
        size = float(np.abs(power).max(initial=0.0))
        if not size < _DIVERGED:
            return None
        if (len(power) * size) ** 2 <= np.finfo(float).eps:  # bounds the terms to come, relative to cov
            return symmetrize(cov) if np.all(np.isfinite(cov)) else None
    return None


def stationary_vjp(
    K: Array, kappa: Array, cov: Array, bar_mean: Array, bar_P: Array, period: float | None = None
) -> tuple[Array, Array, Array]:
    """
    Return the gradient by (K, kappa, Sigma Sigma') of a function of the stationary mean and covariance.

        m = K^{-1} kappa,    K P + P K' = Sigma Sigma',    dL = bar_mean' dm + tr(bar_P dP)

    With g = K^{-T} bar_mean and K' L + L K = bar_P:

        bar_kappa = g,    bar_cov = L,    bar_K = -g m' - 2 L P

    In discrete time, with Phi = I - h K and P = Phi P Phi' + h Sigma Sigma', L = Phi' L Phi + bar_P is

        bar_cov = h L,    bar_K = -g m' - 2 h L Phi P.

    Parameters
    ----------
    K : ndarray, (k, k)
        The stationary distribution exists.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    bar_mean : ndarray, (k,)
        The gradient by m.
    bar_P : ndarray, (k, k)
        The gradient by P.
    period : float, optional
        h of discrete time; continuous time by default.

    Returns
    -------
    bar_K : ndarray, (k, k)
    bar_kappa : ndarray, (k,)
    bar_cov : ndarray, (k, k)
        Symmetric.
    """
    mean = np.linalg.solve(K, kappa)
    bar_kappa = np.linalg.solve(K.T, bar_mean)
    if period is not None:
        Phi = np.eye(len(K)) - period * K
        P = stationary_covariance(Phi, period * cov)
        bar_cov = period * stationary_covariance(Phi.T, symmetrize(bar_P))
        return -np.outer(bar_kappa, mean) - 2.0 * bar_cov @ Phi @ P, bar_kappa, bar_cov
    P, bar_cov = continuous_covariance(K, cov), continuous_covariance(K.T, symmetrize(bar_P))
    return -np.outer(bar_kappa, mean) - 2.0 * bar_cov @ P, bar_kappa, bar_cov
