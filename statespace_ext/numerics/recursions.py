"""
Linear recursions over time, as one triangular banded matrix to solve with.

A matrix that changes only at first is given by its first values, the last of which serves for all later
periods.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import dtbsv

from .linear_algebra import Array

_BAND_SIZE = 2**18
"""Elements of one banded matrix: longer samples take it several times."""


def by_period(rows: Array, matrices: Array) -> Array:
    """Return rows[t] @ matrices[t]."""
    s = min(len(matrices), len(rows)) - 1
    early = (rows[:s, None, :] @ matrices[:s])[:, 0]
    return np.concatenate([early, rows[s:] @ matrices[s]])


def forward(M: Array, u: Array) -> Array:
    """
    Return a_1 = u_1, a_{t+1} = u_{t+1} + M_t a_t.

    Parameters
    ----------
    M : ndarray, (s, k, k)
        First values of M_t.
    u : ndarray, (n, k)
        Inputs.
    """
    out = np.array(u)
    k = u.shape[1]
    for start, end, band in _chunks(M, len(u)):
        if start:
            out[start] += M[min(start, len(M)) - 1] @ out[start - 1]
        out[start:end] = dtbsv(2 * k - 1, band, out[start:end].ravel(), lower=1, diag=1).reshape(-1, k)
    return out


def backward(M: Array, u: Array) -> Array:
    """Return r_n = u_n, r_t = u_t + M_t' r_{t+1}; see `forward`."""
    out = np.array(u)
    n, k = u.shape
    for start, end, band in _chunks(M, n)[::-1]:
        if end < n:
            out[end - 1] += out[end] @ M[min(end, len(M)) - 1]
        part = dtbsv(2 * k - 1, band, out[start:end].ravel(), lower=1, trans=1, diag=1)
        out[start:end] = part.reshape(-1, k)
    return out


def _chunks(M: Array, n: int) -> list[tuple[int, int, Array]]:
    """Return (start, end, banded matrix); the chunks in which M is constant share one matrix."""
    k = M.shape[1]
    count = max(_BAND_SIZE // (2 * k * k), 8)
    out: list[tuple[int, int, Array]] = []
    constant: Array | None = None
    for start in range(0, n, count):
        end = min(start + count, n)
        if start < len(M) - 1:
            out.append((start, end, _band(M[start:end], end - start)))
            continue
        if constant is None:
            constant = _band(M[-1:], end - start)
        out.append((start, end, constant[:, : (end - start) * k]))
    return out


def _band(M: Array, count: int) -> Array:
    """Return the unit lower triangular matrix with -M_t below the diagonal, in LAPACK's band storage."""
    s, k = M.shape[:2]
    out = np.zeros((count, k, 2 * k))
    out[:, :, 0] = 1.0
    for j in range(k):  # column (t, j): element ((t + 1), i) stands k + i - j below the diagonal
        out[:s, j, k - j : 2 * k - j] = -M[:, :, j]
        out[s:, j, k - j : 2 * k - j] = -M[-1, :, j]
    return out.reshape(count * k, 2 * k).T
