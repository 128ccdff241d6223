"""
The E-step of a time-invariant model with complete data, without a loop over time.

Smoothed states come from the limits of the covariance recursions (`steady_limit`) or, where these are
approached too slowly for that, from their paths (`steady_path`), of whitened observations (H = I) in the
dimensions of Z. The log-likelihood takes its quadratic form from the smoothed noise,

    sum e_t' H^{-1} e_t + sum_{t<n} r_t' W r_t + r_0' P_1 r_0,    e_t = y_t - Z E[x_t|Y].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..numerics.linear_algebra import Array
from .steady_limit import states_by_limit
from .steady_path import SmoothedStates, WhiteModel, states_by_path
from .steady_sums import SteadySums, steady_sums
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
    exog: Array | None = None,
    state_exog: Array | None = None,
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
    c : ndarray, (1, k) or (n, k)
        State intercepts.
    a1, P1 : ndarray
        Mean (k,) and covariance (k, k) of the first state.
    exog, state_exog : ndarray, optional
        Regressors of the two equations, (n, j) and (n, i), for the sums.
    """
    n = len(y)
    try:
        factor = cholesky_factor(H)
        precision, W = inverse(factor), R @ Q @ R.T
        states = _smoothed(y, Z, factor, precision, T, c, R @ _root(Q), W, a1, P1)
    except np.linalg.LinAlgError:
        return None
    residual = _residual(y, Z, factor, states)
    none = np.empty((n, 0))
    sums = steady_sums(
        residual,
        states.mean,
        states.costate,
        none if exog is None else exog,
        none if state_exog is None else state_exog,
    )
    fit = np.vdot(precision, sums.ee) + np.vdot(W, sums.rr) + states.costate[0] @ P1 @ states.costate[0]
    size = y.size * np.log(2.0 * np.pi) + 2.0 * n * np.log(factor.diagonal()).sum() + states.log_det
    llf = -0.5 * float(size + fit)
    return SteadyState(llf, states, sums, residual, precision) if np.isfinite(llf) else None


def _smoothed(
    y: Array,
    Z: Array,
    factor: Array,
    precision: Array,
    T: Array,
    c: Array,
    noise: Array,
    W: Array,
    a1: Array,
    P1: Array,
) -> SmoothedStates:
    """Return smoothed states from the limits of the covariances, or else from their paths."""
    try:
        states = states_by_limit(y, Z, precision @ Z, T, c, W, a1, P1)
    except np.linalg.LinAlgError:
        states = None
    if states is not None:
        return states
    observed, design = collapsed(y, Z, factor)
    states = states_by_path(WhiteModel(observed, design, T, c, noise, a1, P1))
    return states if len(design) == len(Z) else replace(states, noise=None)


def _residual(y: Array, Z: Array, factor: Array, states: SmoothedStates) -> Callable[[slice], Array]:
    """Return a function that computes e_t over a slice of periods."""
    if states.noise is None:
        return lambda rows: y[rows] - states.mean[rows] @ Z.T
    out = states.noise() @ factor.T  # H u_t keeps digits where H is small
    return lambda rows: out[rows]


def _root(cov: Array) -> Array:
    """Return S with S S' equal to a positive semidefinite matrix."""
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
    if np.min(values, initial=0.0) < -_NEGATIVE * np.max(values, initial=0.0):
        raise np.linalg.LinAlgError("state_cov is not positive semidefinite")
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))
