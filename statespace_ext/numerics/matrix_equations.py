"""
Lyapunov and Riccati equations: moments of a stationary distribution, paths of recursions and their limits.

In discrete time, moments take a linear system for few states, and doubling steps otherwise: both are faster
than a Schur form. In continuous time derivatives are carried back through them.

With f(X) = A X (I + J X)^{-1} A' + C and its dual g(Y) = A' Y (I + C Y)^{-1} A + J, 2^m steps of f are one
step of the same form, at matrices that double:

    A <- A (I + C J)^{-1} A,   C <- C + A (I + C J)^{-1} C A',   J <- J + A' J (I + C J)^{-1} A

A path of 2^m values is extended to twice its length by one product for all of them. The matrices C and J
are what f and g are at after 2^m steps from zero, so that they go to the limits (the structured doubling
algorithm: Chu, Fan, Lin & Wang 2004, Int. J. Control 77, 767-788).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg.lapack import dgetrf, dgetrs

from .linear_algebra import Array, identity, quiet, solve, solve_and_log_det, symmetrize

_ROUNDING = 1e-12
"""Largest residual of the Lyapunov equation, relative to its solution, that passes for rounding."""
_MOST_DOUBLINGS = 50
_FEW = 4
"""Number of states up to which one linear system for all elements is faster than doubling."""
_LARGE = 16.0
"""Squared norm of T up to which the solution of that system fits the equation to rounding."""
_DIVERGED = 1e200
"""If the squared norm of a power of the transition is larger, doubling has diverged and stops."""
_EPS = float(np.finfo(float).eps)


def stationary_covariance(transition: Array, selected_cov: Array, adjoint: bool = False) -> Array:
    """
    Solve P = T P T' + W, or the adjoint equation P = T' P T + W.

    A few states take one linear system for all elements. For a diagonal T each element of P has its own
    equation. Another stable matrix takes some doublings. The last two solutions are put into the equation.
    Where one does not fit to rounding, as for a transition that is not stable, scipy solves it. The factors
    of the linear system, and the powers of doubling, are computed once for both equations at a T.

    Parameters
    ----------
    transition : ndarray, (k, k)
        T.
    selected_cov : ndarray, (k, k) or (m, k, k)
        W = R Q R', one or several, each of its own size.
    adjoint : bool
        Whether to solve the adjoint equation.
    """
    few = _of_few(transition, selected_cov, adjoint)
    if few is not None:
        return few
    step = transition.T if adjoint else transition
    with quiet():
        for solution in (_of_diagonal, _by_doubling):
            cov = solution(transition, selected_cov, adjoint)
            if cov is not None and stationarity_error(cov, step, selected_cov) <= _ROUNDING:
                return cov
    each = selected_cov.reshape(-1, *step.shape)
    solutions = np.array([scipy.linalg.solve_discrete_lyapunov(step, W) for W in each])
    return symmetrize(solutions.reshape(selected_cov.shape))


def continuous_covariance(K: Array, cov: Array) -> Array:
    """
    Solve K P + P K' = W.

    Parameters
    ----------
    K, cov : ndarray, (k, k)
        K and W.
    """
    return symmetrize(scipy.linalg.solve_continuous_lyapunov(K, cov))


def stationary_moments(transition: Array, intercept: Array, selected_cov: Array) -> tuple[Array, Array]:
    """
    Return the mean and covariance of the stationary distribution of x' = c + T x + w.

    Parameters
    ----------
    transition : ndarray, (k, k)
        T, with all eigenvalues inside the unit circle.
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


def stationarity_error(cov: Array, transition: Array, selected_cov: Array) -> float:
    """Return the largest element of T P T' + W - P, relative to P; infinity where that is not a number."""
    size = np.abs(cov).max(axis=(-2, -1), initial=0.0)
    error = np.abs(transition @ cov @ transition.T + selected_cov - cov).max(axis=(-2, -1), initial=0.0)
    with quiet():
        largest = float((error / np.where(error == 0.0, 1.0, size)).max(initial=0.0))
    return largest if math.isfinite(largest) else np.inf


def _of_diagonal(transition: Array, selected_cov: Array, adjoint: bool) -> Array | None:
    """Solve P = T P T' + W for a diagonal T, which is its own adjoint."""
    phi = transition.diagonal()
    if np.count_nonzero(transition) != np.count_nonzero(phi):
        return None
    return symmetrize(selected_cov / (1.0 - np.outer(phi, phi)))


def _of_few(transition: Array, selected_cov: Array, adjoint: bool) -> Array | None:
    """
    Solve (I - T kron T) vec P = vec W; None if there are many states, no solution, or large elements.

    The residual of the solution is rounding relative to (1 + |T|^2) |P|.
    """
    k = len(transition)
    factors = _kronecker_factors(transition.tobytes(), transition.dtype.char, k) if 0 < k <= _FEW else None
    if factors is None or np.iscomplexobj(selected_cov):
        return None
    solution, _ = dgetrs(*factors, selected_cov.reshape(-1, k * k).T, trans=int(adjoint))
    return symmetrize(solution.T.reshape(selected_cov.shape))


@lru_cache(maxsize=2)
def _kronecker_factors(elements: bytes, dtype: str, k: int) -> tuple[Array, Array] | None:
    """Return the LU factors of I - T kron T; None if it is singular, or T large."""
    T = np.frombuffer(elements, dtype).reshape(k, k)
    if np.iscomplexobj(T) or not np.vdot(T, T) <= _LARGE:
        return None
    T = T.astype(float)
    system = -(T[:, None, :, None] * T[:, None]).reshape(k * k, k * k)
    system.flat[:: k * k + 1] += 1.0
    factors, pivots, failed = dgetrf(system)
    return None if failed else (factors, pivots)


def _by_doubling(transition: Array, selected_cov: Array, adjoint: bool) -> Array | None:
    """Return W + T W T' + T^2 W T^2' + ..., twice as many terms at each step; W is one matrix or a stack."""
    powers = _powers(transition.tobytes(), transition.dtype.char, len(transition))
    if powers is None:
        return None
    cov = selected_cov
    for power in powers:
        cov = cov + (power.T @ cov @ power if adjoint else power @ cov @ power.T)
    return symmetrize(cov) if np.isfinite(cov).all() else None


@lru_cache(maxsize=2)
def _powers(elements: bytes, dtype: str, k: int) -> list[Array] | None:
    """Return T, T^2, T^4, ... up to the last that counts in a sum of T^i W T'^i; None if there is no last."""
    powers = [np.frombuffer(elements, dtype).reshape(k, k)]
    for _ in range(_MOST_DOUBLINGS):
        power = powers[-1] @ powers[-1]
        size = np.vdot(power, power).real  # bounds the terms to come, relative to the sum
        if not size < _DIVERGED:
            return None
        if size <= _EPS:
            return powers
        powers.append(power)
    return None


def stationary_chain(
    transition: Array, a1: Array, P1: Array, by_mean: Array, by_cov: Array
) -> tuple[Array, Array, Array]:
    """
    Return derivatives by T, c and W, given those by the stationary a_1 and P_1.

    With Lam = T' Lam T + dP_1 and g = (I - T')^{-1} da_1: dT = 2 Lam T P_1 + g a_1', dc = g, dW = Lam.
    """
    adjoint = stationary_covariance(transition, by_cov, adjoint=True)
    g = solve(identity(len(transition)) - transition.T, by_mean[:, None])[:, 0]
    return 2.0 * (adjoint @ transition @ P1) + g[:, None] * a1, g, adjoint


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
    if period is not None:
        Phi = np.eye(len(K)) - period * K
        P = stationary_covariance(Phi, period * cov)
        by_Phi, by_c, by_W = stationary_chain(Phi, mean, P, bar_mean, symmetrize(bar_P))
        return -period * by_Phi, period * by_c, period * by_W
    bar_kappa = np.linalg.solve(K.T, bar_mean)
    P, bar_cov = continuous_covariance(K, cov), continuous_covariance(K.T, symmetrize(bar_P))
    return -np.outer(bar_kappa, mean) - 2.0 * bar_cov @ P, bar_kappa, bar_cov


_CONVERGED = 1e-14
"""Change of an element, relative to the square roots of its diagonal ones, below which it has converged."""
_LARGE_START = 1e3
"""Start (in units of the noise that damps it) from which the first steps are taken one by one."""
CONSISTENT = 1e-12
"""Largest difference, relative as above, between the path and one step of the recursion from each value."""
POLISHES = 6
"""Largest number of such steps to make the path consistent, which wear off what rounding did to it."""
_SHORTEST = 8
"""Length of the path from which it is worth looking whether it has converged."""


class RiccatiPath(NamedTuple):
    """
    Values X_t and what a step takes of each.

    Attributes
    ----------
    values : ndarray, (s, k, k)
        X_t.
    innovations : ndarray, (s, m, m)
        G_t = I + S X_t S'.
    weights : ndarray, (s, m, k)
        G_t^{-1} S X_t.
    damped : ndarray, (s, k, k)
        X_t - X_t S' G_t^{-1} S X_t = X_t (I + J X_t)^{-1}, of which A(.)A' + C is X_{t+1}.
    """

    values: Array
    innovations: Array
    weights: Array
    damped: Array


class Riccati(NamedTuple):
    """
    X_{t+1} = f(X_t) from X_1.

    Attributes
    ----------
    A, C : ndarray, (k, k)
        The recursion; C is positive semidefinite.
    square_root : ndarray, (m, k)
        J = S'S, with S = square_root.
    start : ndarray, (k, k)
        X_1.
    """

    A: Array
    C: Array
    square_root: Array
    start: Array


def riccati_paths(recursions: list[Riccati], length: int) -> list[RiccatiPath]:
    """
    Return the paths of recursions of one size until they stop changing.

    Parameters
    ----------
    recursions : list of Riccati
        The recursions, doubled side by side.
    length : int
        Largest number of values.

    Returns
    -------
    list of RiccatiPath
        s <= length values; where s < length those that follow equal the last.

    Raises
    ------
    LinAlgError
        Where rounding spoils the doubling, which is compared with the recursion.
    """
    first = [_first_steps(recursion, length) for recursion in recursions]
    paths = _doubled(
        np.array([recursion.A for recursion in recursions]),
        np.array([recursion.C for recursion in recursions]),
        np.array([recursion.square_root.T @ recursion.square_root for recursion in recursions]),
        np.array([steps[-1] for steps in first]),
        length,
    )
    return [
        _consistent(recursion, np.concatenate([steps[:-1], path[: _converged_after(path)]])[:length])
        for recursion, steps, path in zip(recursions, first, paths, strict=True)
    ]


def _first_steps(recursion: Riccati, length: int) -> Array:
    """Return X_1 and, where it is large, the values until it has come down."""
    A, C, square_root, start = recursion
    out = start[None]
    while len(out) < min(length, len(A) + 2) and (
        np.sum((square_root @ out[-1]) * square_root, axis=1).max() > _LARGE_START
    ):
        out = np.concatenate([out, symmetrize(A @ _step(out[-1:], square_root).damped @ A.T + C)])
    return out


def _consistent(recursion: Riccati, path: Array) -> RiccatiPath:
    """Return the path, improved by steps of the recursion from each value until these change nothing."""
    A, C, square_root, _ = recursion
    for _ in range(POLISHES):
        found = _step(path, square_root)
        following = symmetrize(A @ found.damped[:-1] @ A.T + C)
        if np.all(np.abs(following - path[1:]) <= relative_to(following, CONSISTENT)):
            return found
        path = np.concatenate([path[:1], following])
    raise np.linalg.LinAlgError("the Riccati recursion cannot be doubled at these matrices")


def _step(X: Array, square_root: Array) -> RiccatiPath:
    half = square_root @ X
    innovations = np.eye(len(square_root)) + half @ square_root.T
    weights = np.linalg.solve(innovations, half)
    return RiccatiPath(X, innovations, weights, X - np.swapaxes(half, 1, 2) @ weights)


def relative_to(X: Array, tolerance: float) -> Array:
    """Return a tolerance by element, relative to the square roots of the diagonal elements."""
    size = np.sqrt(np.maximum(np.diagonal(X, axis1=-2, axis2=-1), 0.0))
    return tolerance * size[..., :, None] * size[..., None, :]


def _converged_after(path: Array) -> int:
    """Return the number of values up to the first of those that equal the last."""
    apart = np.any(np.abs(path - path[-1]) > relative_to(path[-1], _CONVERGED), axis=(1, 2))
    return int(np.max(np.flatnonzero(apart), initial=-1)) + 2


def _doubled(A: Array, C: Array, J: Array, start: Array, length: int) -> Array:
    """
    Return the paths, (recursion, period, k, k), ended where no last quarter has changed.

    C is what the steps make of zero: it is carried in front of each path.
    """
    path, one = np.stack([C, start], axis=1), identity(start.shape[-1])
    while True:
        half = path[:, : 1 + length - (path.shape[1] - 1)]
        ahead = one + half @ J[:, None]
        transposed = np.swapaxes(A, 1, 2)
        following = A[:, None] @ np.linalg.solve(ahead, half) @ transposed[:, None]
        following = symmetrize(following) + path[:, :1]
        path = np.concatenate([following[:, :1], path[:, 1:], following[:, 1:]], axis=1)
        if path.shape[1] > length or _at_rest(path[:, 1:]):
            return path[:, 1:]
        step = np.linalg.solve(ahead[:, 0], A)
        J = J + transposed @ (J @ step)
        A = A @ step


def _at_rest(path: Array) -> bool:
    """Return whether nothing changed over the last quarter."""
    count = path.shape[1]
    if count < _SHORTEST:
        return False
    late = np.abs(path[:, (3 * count) // 4 :: max(count // 8, 1)] - path[:, -1:])
    return bool(np.all(late <= relative_to(path[:, -1:], _CONVERGED)))


_GROWN = 1e-15
"""Growth of a diagonal element, relative to it, that is rounding."""
_NEGLIGIBLE = 1e-12
"""Element of a power of a matrix that does not count."""


class RiccatiLimit(NamedTuple):
    """
    The limits X = f(X) and Y = g(Y), and what a step of f takes of X.

    Attributes
    ----------
    value, dual : ndarray, (k, k)
        X and Y.
    closing : ndarray, (k, k)
        (I + X J)^{-1}.
    damped : ndarray, (k, k)
        (I + X J)^{-1} X.
    log_det : float
        log|I + X J|.
    """

    value: Array
    dual: Array
    closing: Array
    damped: Array
    log_det: float


def riccati_limit(A: Array, C: Array, J: Array, length: int) -> RiccatiLimit:
    """
    Return where the recursions settle.

    Raises
    ------
    LinAlgError
        If they do not settle within ``length`` steps, or rounding spoils the doubling, which is compared with
        the recursion.
    """
    value, dual, power, steps = C, J, A, 1
    k, one = len(A), identity(len(A))
    while steps < length:
        solved = solve(one + value @ dual, np.concatenate([power, value @ power.T], axis=1))
        ahead = power @ solved
        more, dual_more = ahead[:, k:], power.T @ (dual @ solved[:, :k])
        value, dual, power, steps = value + more, dual + dual_more, ahead[:, :k], 2 * steps
        if _small(more, value) and _small(dual_more, dual):
            return _polished(A, C, J, symmetrize(value), dual)
    raise np.linalg.LinAlgError("the Riccati recursions do not settle within the sample")


def _small(more: Array, total: Array) -> bool:
    pairs = zip(more.diagonal().tolist(), total.diagonal().tolist(), strict=True)
    return all(grown <= _GROWN * size for grown, size in pairs)


def _polished(A: Array, C: Array, J: Array, value: Array, dual: Array) -> RiccatiLimit:
    """Return limits that a step leaves where they are, near those given."""
    k, one = len(A), identity(len(A))
    dual = symmetrize(A.T @ dual @ solve(one + C @ dual, A) + J)
    for _ in range(POLISHES):
        both, log_det = solve_and_log_det(one + value @ J, np.concatenate([one, value], axis=1))
        damped = symmetrize(both[:, k:])
        following = symmetrize(A @ damped @ A.T + C)
        if (np.abs(following - value) <= relative_to(following, CONSISTENT)).all():
            return RiccatiLimit(value, dual, both[:, :k], damped, log_det)
        value = following
    raise np.linalg.LinAlgError("the Riccati recursion has no limit that rounding allows to find")


_NO_SIZE = 1e-200
"""Stands for the size of an element that is certain: no other one may move it."""


class GeometricSums(NamedTuple):
    """
    Sums over i >= 0.

    Attributes
    ----------
    forward, backward : ndarray, (k, k)
        Sums of M^i X M'^i and of M'^i Y M^i.
    powers : list of ndarray
        M, M^2, M^4, ..., up to a negligible one.
    """

    forward: Array
    backward: Array
    powers: list[Array]


def geometric_sums(M: Array, X: Array, Y: Array, scale: Array, length: int) -> GeometricSums:
    """
    Return sums of M^i X M'^i and M'^i Y M^i.

    Parameters
    ----------
    M, X, Y : ndarray, (k, k)
        The matrices.
    scale : ndarray, (k,)
        Sizes of the elements that M is applied to.
    length : int
        Largest power.

    Raises
    ------
    LinAlgError
        If none of M, M^2, M^4, ... up to ``length`` is negligible.
    """
    powers, steps = [np.asarray(M)], 1
    sums, both = np.array([X, Y]), np.array([M, M.T])
    size = scale.tolist()
    weight = np.array([[column / (row or _NO_SIZE) for column in size] for row in size])
    while not np.linalg.norm(both[0] * weight) <= _NEGLIGIBLE:
        if 2 * steps > length:
            raise np.linalg.LinAlgError("the powers of the matrix do not vanish within the sample")
        sums = sums + both @ sums @ both[::-1]
        both = both @ both
        powers.append(both[0])
        steps *= 2
    return GeometricSums(sums[0], sums[1], powers)
