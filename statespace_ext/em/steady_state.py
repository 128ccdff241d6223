"""
The E-step of a time-invariant model with complete data, without a loop over time.

With y_t and Z whitened (H = I) and, where Z has fewer dimensions than there are series, collapsed to that
many, smoothed states come from the limits of the covariance recursions (`steady_limit`) or, where these are
approached too slowly for that, from their paths (`steady_path`). The quadratic form of the log-likelihood is
that of the smoothed noise,

    sum e_t' H^{-1} e_t + sum_{t<n} r_t' W r_t + r_0' P_1 r_0,    e_t = y_t - Z E[x_t|Y].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics.linear_algebra import Array, gram, symmetrize
from .steady_limit import states_by_limit
from .steady_path import SmoothedStates, WhiteModel, states_by_path
from .whitening import cholesky_factor, collapsed, inverse

_NEGATIVE = 1e-10
"""Negative eigenvalue of Q, relative to the largest, that is not rounding."""


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
    residual, residual_sum : ndarray, (n, p) and (p, p)
        e_t = y_t - Z E[x_t|Y], and the sum of e_t e_t'.
    costate_square : ndarray, (k, k)
        Sum of r_t r_t' over t = 1..n-1.
    """

    llf: float
    states: SmoothedStates
    residual: Array
    residual_sum: Array
    costate_square: Array


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
    factor = cholesky_factor(H)
    precision = inverse(factor)
    weights = precision @ Z
    W = R @ Q @ R.T
    try:
        states = states_by_limit(y @ weights, symmetrize(Z.T @ weights), T, c, W, a1, P1)
    except np.linalg.LinAlgError:
        states = None
    if states is None:
        observed, design = collapsed(y, Z, factor)
        states = states_by_path(WhiteModel(observed, design, T, c, R @ _root(Q), a1, P1))
    if states.noise is not None and len(design) == len(Z):  # H u_t keeps digits where H is small
        residual = states.noise() @ factor.T
    else:
        residual = y - states.mean @ Z.T
    residual_sum, costate_square = gram(residual), gram(states.costate[1:])
    fit = np.vdot(precision, residual_sum) + np.vdot(W, costate_square)
    start = states.costate[0] @ P1 @ states.costate[0]
    size = y.size * np.log(2.0 * np.pi) + 2.0 * len(y) * np.log(np.diag(factor)).sum() + states.log_det
    return SteadyState(-0.5 * float(size + fit + start), states, residual, residual_sum, costate_square)


def _root(cov: Array) -> Array:
    """Return S with S S' equal to a positive semidefinite matrix."""
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
    if np.min(values, initial=0.0) < -_NEGATIVE * np.max(values, initial=0.0):
        raise np.linalg.LinAlgError("state_cov is not positive semidefinite")
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))
