"""
Recursions over time: linear ones without a loop over the periods, and those of Chandrasekhar.

A recursion is one triangular banded matrix to solve with. A matrix that changes only at first is given by
its first values, the last of which serves for all later periods. Where the matrix is constant, a recursion
over a block of L periods is one product with a triangular matrix; what comes from the periods before is a
shorter recursion from block to block, with M^L. The Chandrasekhar recursions, which are not linear, give the
log-likelihood by period and never form a k x k covariance.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy.linalg.blas import dtbsv
from scipy.linalg.lapack import dtrtri

from .linear_algebra import Array

_BAND_SIZE = 2**14
"""Elements of one banded matrix: longer samples take it several times."""


def by_period(rows: Array, matrices: Array) -> Array:
    """Return rows[t] @ matrices[t]."""
    s = min(len(matrices), len(rows)) - 1
    out = np.empty((len(rows), matrices.shape[2]))
    np.matmul(rows[:s, None, :], matrices[:s], out=out[:s, None, :])
    np.matmul(rows[s:], matrices[s], out=out[s:])
    return out


class LinearRecursion:
    """
    The recursion a_{t+1} = u_{t+1} + M_t a_t and its transpose.

    Parameters
    ----------
    M : ndarray, (s, k, k)
        First values of M_t.
    n : int
        Number of periods.
    """

    def __init__(self, M: Array, n: int) -> None:
        self._M = M
        k = M.shape[1]
        count = max(_BAND_SIZE // (2 * k * k), 8)
        constant = unit_band(M[-1:], min(count, n))
        self._chunks: list[tuple[int, int, Array]] = []
        for start in range(0, n, count):
            end = min(start + count, n)
            changing = start < len(M) - 1
            band = unit_band(M[start:end], end - start) if changing else constant[:, : (end - start) * k]
            self._chunks.append((start, end, band))

    def forward(self, u: Array) -> Array:
        """Return a_1 = u_1, a_{t+1} = u_{t+1} + M_t a_t for u, (n, k), which is written over."""
        M, k = self._M, u.shape[1]
        for start, end, band in self._chunks:
            if start:
                u[start] += M[min(start, len(M)) - 1] @ u[start - 1]
            out = dtbsv(2 * k - 1, band, u[start:end].ravel(), lower=1, diag=1, overwrite_x=1)
            u[start:end] = out.reshape(-1, k)
        return u

    def backward(self, u: Array) -> Array:
        """Return r_n = u_n, r_t = u_t + M_t' r_{t+1} for u, (n, k), which is written over."""
        M, (n, k) = self._M, u.shape
        for start, end, band in self._chunks[::-1]:
            if end < n:
                u[end - 1] += u[end] @ M[min(end, len(M)) - 1]
            out = dtbsv(2 * k - 1, band, u[start:end].ravel(), lower=1, diag=1, trans=1, overwrite_x=1)
            u[start:end] = out.reshape(-1, k)
        return u


def unit_band(M: Array, count: int) -> Array:
    """Return the unit lower triangular matrix with -M_t below the diagonal, in LAPACK's band storage."""
    s, k = M.shape[:2]
    out = np.zeros((count, k, 2 * k))
    out[:, :, 0] = 1.0
    # in column (t, j), element (t + 1, i) stands k + i - j below the diagonal
    size = out.itemsize
    strides = (2 * k * k * size, (2 * k - 1) * size, size)
    elements: Array = np.ndarray((count, k, k), float, out, k * size, strides)
    elements[:s], elements[s:] = -np.swapaxes(M, 1, 2), -M[-1].T
    return out.reshape(count * k, 2 * k).T


_WORTHWHILE, _MOST_STATES = 3000, 32
"""Number of elements from which blocks are faster than one banded matrix, and of states up to which."""


def constant_recursion(M: Array, n: int) -> LinearRecursion | BlockRecursion:
    """Return the recursion a_{t+1} = u_{t+1} + M a_t over n periods, and its transpose."""
    blocks = 2 < len(M) <= _MOST_STATES and n * len(M) >= _WORTHWHILE
    return BlockRecursion(M, n) if blocks else LinearRecursion(M[None], n)


class BlockRecursion:
    """
    The recursion a_{t+1} = u_{t+1} + M a_t and its transpose.

    A block has eight periods for up to four states, and four for more.

    Parameters
    ----------
    M : ndarray, (k, k)
        The matrix.
    n : int
        Number of periods.
    """

    def __init__(self, M: Array, n: int) -> None:
        self._k, length = len(M), 8 if len(M) <= 4 else 4
        steps = np.eye(length * len(M)) - np.kron(np.eye(length, k=-1), M)
        self._within = dtrtri(steps, lower=1, unitdiag=1)[0]
        self._ahead, self._behind = self._within[:, : len(M)] @ M, M @ self._within[-len(M) :]
        self._between = LinearRecursion(self._ahead[None, -len(M) :], -(-n // length))

    def forward(self, u: Array) -> Array:
        """Return a_1 = u_1, a_{t+1} = u_{t+1} + M a_t for u, (n, k)."""
        out = self._blocks(u) @ self._within.T
        last = self._between.forward(out[:, -self._k :].copy())
        out[1:] += last[:-1] @ self._ahead.T
        return out.reshape(-1, self._k)[: len(u)]

    def backward(self, u: Array) -> Array:
        """Return r_n = u_n, r_t = u_t + M' r_{t+1} for u, (n, k)."""
        out = self._blocks(u) @ self._within
        first = self._between.backward(out[:, : self._k].copy())
        out[:-1] += first[1:] @ self._behind
        return out.reshape(-1, self._k)[: len(u)]

    def _blocks(self, u: Array) -> Array:
        """Return the rows by block, with zeros after the last."""
        width = len(self._within)
        return np.append(u, np.zeros(-u.size % width)).reshape(-1, width)


_NO_CHANGE = 1e-40
"""P changes by 1e-20 of itself: further steps are without effect, and their products underflow."""


def chandrasekhar_loglike(
    endog: Array,
    design: Array,
    obs_intercept: Array,
    obs_cov: Array,
    transition: Array,
    state_intercept: Array,
    mean: Array,
    cov: Array,
    tolerance: float = 0.0,
) -> Array:
    """
    Return the log-likelihood of each period of a time-invariant model, for complete data.

    P_{t+1} = P_t + W_t M_t W_t' with W_t (k, p) and M_t (p, p), and only F_t = Z P_t Z' + H and
    G_t = T P_t Z' are needed, B_t = Z W_t::

        F_{t+1} = F_t + B_t M_t B_t'                       W_1 = G_1,   M_1 = -F_1^{-1}
        G_{t+1} = G_t + T W_t M_t B_t'
        W_{t+1} = T W_t - G_{t+1} F_{t+1}^{-1} B_t
        M_{t+1} = M_t + M_t B_t' F_t^{-1} B_t M_t

    That is O(k^2 p) a period where the Kalman filter takes O(k^3); see Herbst (2015).

    Parameters
    ----------
    endog : ndarray, (n, p)
        y, without missing values.
    design, obs_cov, transition : ndarray
        Z (p, k), H (p, p) and T (k, k).
    obs_intercept, state_intercept : ndarray, (p,) or (p, n), and (k,) or (k, n)
        d and c.
    mean, cov : ndarray, (k,) and (k, k)
        a_1 and P_1, where P_1 = T P_1 T' + R Q R'.
    tolerance : float
        As in statsmodels: covariances are constant once the sum of the squared elements of P_{t+1} - P_t is
        below it.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a forecast covariance is singular.

    Notes
    -----
    Rounding errors keep the size that they have in P_1: where the forecast variances fall from it by many
    digits, the Kalman filter has those digits and this does not.
    """
    d, c = (each.reshape(len(each), -1) for each in (obs_intercept, state_intercept))
    forecast_covs, gains = _gains(len(endog), design, obs_cov, transition, cov, tolerance)
    errors = _forecast_errors(endog - d.T, design, transition, c, np.array(mean), gains)
    factors = np.linalg.cholesky(np.array(forecast_covs))
    last = len(factors) - 1
    scaled = np.empty_like(errors)
    scaled[:last] = np.linalg.solve(factors[:last], errors[:last, :, None])[:, :, 0]
    scaled[last:] = scipy.linalg.solve_triangular(factors[last], errors[last:].T, lower=True).T
    half_logdet = np.sum(np.log(np.diagonal(factors, axis1=1, axis2=2)), axis=1)
    half_logdet = half_logdet[np.minimum(np.arange(len(endog)), last)]
    return -half_logdet - 0.5 * (endog.shape[1] * np.log(2.0 * np.pi) + np.sum(scaled**2, axis=1))


def _gains(
    n: int, design: Array, obs_cov: Array, transition: Array, cov: Array, tolerance: float
) -> tuple[list[Array], list[Array]]:
    """Return F_t and G_t F_t^{-1} for t = 1, 2, ... until they are constant or t = n."""
    cross = cov @ design.T
    forecast_cov = design @ cross + obs_cov
    gain = W = transition @ cross
    inverse = np.linalg.inv(forecast_cov)
    M = -inverse
    kalman_gain = gain @ inverse
    forecast_covs, gains = [forecast_cov], [kalman_gain]
    tolerance = max(tolerance, _NO_CHANGE * float(np.sum(cov**2)))
    for _ in range(1, n):
        inner = M @ (W.T @ W)
        if np.sum(inner * inner.T) <= tolerance:  # the squared elements of W M W'
            break
        B, moved = design @ W, transition @ W
        MB = M @ B.T
        forecast_cov = forecast_cov + B @ MB
        gain = gain + moved @ MB
        M = M + MB @ inverse @ MB.T
        inverse = np.linalg.inv(forecast_cov)
        kalman_gain = gain @ inverse
        W = moved - kalman_gain @ B
        forecast_covs.append(forecast_cov)
        gains.append(kalman_gain)
    return forecast_covs, gains


def _forecast_errors(
    endog: Array, design: Array, transition: Array, state_intercept: Array, state: Array, gains: list[Array]
) -> Array:
    """Return y_t - d_t - Z a_t."""
    errors = np.empty_like(endog)
    moves = state_intercept.shape[1] > 1
    constant = state_intercept[:, 0]
    last = gains[-1]
    for t, row in enumerate(endog):
        error = row - design @ state
        errors[t] = error
        gain = gains[t] if t < len(gains) else last
        state = transition @ state + gain @ error + (state_intercept[:, t] if moves else constant)
    return errors
