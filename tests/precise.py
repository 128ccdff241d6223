"""
Generalised least squares in 50 digits: exact-diffuse starts without rounding.

With x_1 = a_1 + D delta + xi, delta flat, the observed y = mu + A delta + e, e ~ N(0, S), and the states
x = m + B delta + w. Nothing here is a recursion of a filter:

    delta^ = (A' S^-1 A)^-1 A' S^-1 (y - mu),
    E[x|Y] = m + B delta^ + C S^-1 (y - mu - A delta^),   C = Cov(w, e),
    Var[x|Y] = Var(w) - C S^-1 C' + (B - C S^-1 A) (A' S^-1 A)^-1 (.)',
    log L = -1/2 [N log 2 pi + log|S| + log|A' S^-1 A| + (y - mu - A delta^)' S^-1 (y - mu - A delta^)].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import mpmath
import numpy as np
from oracle import VECTORS

DIGITS = 50


class Precise(NamedTuple):
    """Log-likelihood, E[x_t|Y] (n, k), Var[x_t|Y] (n, k, k) and Cov(x_{t+1}, x_t|Y) (n - 1, k, k)."""

    llf: float
    mean: np.ndarray
    cov: np.ndarray
    lag_cov: np.ndarray


def exactly(values: object) -> np.ndarray:
    """Return an array of numbers of 50 digits."""
    array = np.asarray(values)
    return np.array([mpmath.mpf(value) for value in array.ravel().tolist()], dtype=object).reshape(
        array.shape
    )


def cholesky(cov: np.ndarray) -> np.ndarray:
    """Return L with L L' = cov."""
    left, root = cov.copy(), exactly(np.zeros(cov.shape))
    for j in range(len(cov)):
        column = left[j:, j] / mpmath.sqrt(left[j, j])
        root[j:, j] = column
        left[j:, j:] -= np.outer(column, column)
    return root


def solved(root: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return L^-1 B."""
    out = right.copy()
    for j in range(len(root)):
        out[j] = out[j] / root[j, j]
        out[j + 1 :] -= np.outer(root[j + 1 :, j], out[j])
    return out


def precise(
    y: np.ndarray, system: Mapping[str, np.ndarray], diffuse: np.ndarray, states: bool = True
) -> Precise:
    """
    Condition on the observed elements of y.

    Parameters
    ----------
    y : ndarray, (n, p)
        Observations, NaN where missing.
    system : mapping
        As in `oracle`; elements may be numbers of mpmath.
    diffuse : ndarray of bool, (k,)
        Which first states have a flat part.
    states : bool
        Whether the moments of the states are wanted.
    """
    with mpmath.workdps(DIGITS):
        return _precise(np.asarray(y, dtype=float), system, np.asarray(diffuse), states)


def _precise(y: np.ndarray, system: Mapping[str, np.ndarray], diffuse: np.ndarray, states: bool) -> Precise:
    n, p = y.shape
    every = {name: exactly(value) for name, value in system.items()}
    varies = {name for name, value in every.items() if value.ndim > 2 - (name in (*VECTORS, "initial_state"))}
    at_t = [{name: v[..., t] if name in varies else v for name, v in every.items()} for t in range(n)]
    k = at_t[0]["transition"].shape[0]
    means, maps = [exactly(np.asarray(system["initial_state"]))], [exactly(np.eye(k)[:, diffuse])]
    covs = [exactly(np.asarray(system["initial_state_cov"]))]
    for m in at_t[:-1]:
        T = m["transition"]
        means.append(T @ means[-1] + m["state_intercept"])
        maps.append(T @ maps[-1])
        covs.append(T @ covs[-1] @ T.T + m["selection"] @ m["state_cov"] @ m["selection"].T)
    W = exactly(np.zeros((n, k, n, k)))
    for t in range(n):
        between = covs[t]
        for s in range(t, n):
            W[s, :, t], W[t, :, s] = between, between.T
            between = at_t[s]["transition"] @ between
    seen = ~np.isnan(y)
    rows = [(t, i) for t in range(n) for i in range(p) if seen[t, i]]
    C = np.array(
        [np.tensordot(at_t[t]["design"][i], W[t], axes=1).reshape(n * k) for t, i in rows], dtype=object
    )
    S = np.array(
        [[C[a].reshape(n, k)[s] @ at_t[s]["design"][j] for s, j in rows] for a in range(len(rows))],
        dtype=object,
    )
    for a, (t, i) in enumerate(rows):
        for b, (s, j) in enumerate(rows):
            if s == t:
                S[a, b] += at_t[t]["obs_cov"][i, j]
    A = np.array([at_t[t]["design"][i] @ maps[t] for t, i in rows], dtype=object)
    e = np.array(
        [
            mpmath.mpf(y[t, i]) - at_t[t]["obs_intercept"][i] - at_t[t]["design"][i] @ means[t]
            for t, i in rows
        ],
        dtype=object,
    )
    root = cholesky(S)
    white = solved(root, np.column_stack([A, e, C] if states else [A, e]))
    q = A.shape[1]
    A, e, C = white[:, :q], white[:, q], white[:, q + 1 :]
    inner = cholesky(A.T @ A)
    z = solved(inner, (A.T @ e)[:, None])[:, 0]
    logs = sum(mpmath.log(value) for value in [*root.diagonal(), *inner.diagonal()])
    llf = -(len(e) * mpmath.log(2 * mpmath.pi) + e @ e - z @ z) / 2 - logs
    if not states:
        return Precise(llf, np.zeros(0), np.zeros(0), np.zeros(0))
    B = np.concatenate(maps) - C.T @ A
    half = solved(inner, B.T)
    mean = np.concatenate(means) + C.T @ e + half.T @ z
    cov = (W.reshape(n * k, n * k) - C.T @ C + half.T @ half).reshape(n, k, n, k).astype(float)
    index = np.arange(n)
    return Precise(llf, mean.reshape(n, k).astype(float), cov[index, :, index], cov[index[1:], :, index[:-1]])


def precise_score(
    y: np.ndarray, system: Mapping[str, np.ndarray], diffuse: np.ndarray, name: str, place: tuple[int, ...]
) -> float:
    """Return the derivative of the log-likelihood by one element of a matrix."""
    with mpmath.workdps(DIGITS):
        at = exactly(system[name])[place]
        step = mpmath.mpf(10) ** -15 * (abs(at) or 1)
        values = []
        for sign in (1, -1):
            moved = exactly(system[name])
            moved[place] += sign * step
            values.append(_precise(np.asarray(y, dtype=float), {**system, name: moved}, diffuse, False).llf)
        return float((values[0] - values[1]) / (2 * step))
