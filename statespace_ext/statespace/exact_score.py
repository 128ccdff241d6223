"""
The exact score from one smoother pass, by system matrix.

With r_t and N_t the smoother's costates (r_n = 0), P_t the predicted covariance, F_t = Z P_t Z' + H,
K_t = T P_t Z' F_t^{-1}, L_t = T - K_t Z and u_t = F_t^{-1} v_t - K_t' r_t (Koopman & Shephard 1992, in
the form that inverts neither H nor Q):

    dT = sum r_t xhat_t' - N_t L_t P_t       dc_t = r_t       dQ = 1/2 R' sum(r_t r_t' - N_t) R
    dZ = sum u_t xhat_t' - (F_t^{-1} Z - K_t' N_t L_t) P_t    dd_t = u_t
    dH = 1/2 sum(u_t u_t' - F_t^{-1} - K_t' N_t K_t)

and at the start da_1 = r_0, dP_1 = 1/2 (r_0 r_0' - N_0). In exact-diffuse periods P_t is infinite; there
the derivatives by Z, d, H and T come from the smoothed moments instead (Fisher's identity), which
needs a nonsingular H and, where T is free, a nonsingular Q.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..em.initial import stationary_chain
from ..numerics.linear_algebra import Array
from .smoother import Smoothed, Smoother, _over_time
from .system import System


@dataclass(frozen=True)
class SystemScore:
    """
    Derivatives of the log-likelihood by element of the system matrices.

    Matrices are summed over time; the intercepts are by period. A symmetric matrix has the derivative
    tr(G dM), so a free covariance collects G_ij and G_ji.
    """

    llf: float
    design: Array
    obs_intercept: Array
    obs_cov: Array
    transition: Array
    state_intercept: Array
    state_cov: Array
    initial_state: Array
    initial_state_cov: Array
    start_intercept: Array
    """Derivative by c through the stationary mean, zero for another start."""


def system_score(smoother: Smoother, system: System) -> SystemScore:
    """
    Return the score by system matrix, from one pass of the smoother.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    """
    smoothed = smoother.smooth(system)
    results, k = smoothed.results, system.k_states
    n, n_diffuse = len(smoother.endog), int(results.nobs_diffuse)
    costate = np.array(results.scaled_smoothed_estimator[:k])
    costate_cov = np.array(results.scaled_smoothed_estimator_cov[:k, :k])
    later = np.arange(n_diffuse, n)
    parts = [_proper_periods(smoother, system, smoothed, costate, costate_cov, later)]
    if n_diffuse:
        parts.append(_diffuse_periods(smoother, system, smoothed, np.arange(n_diffuse)))
    design, obs_cov, transition = (np.sum([part[i] for part in parts], axis=0) for i in (0, 2, 3))
    obs_intercept = np.concatenate([part[1] for part in parts[::-1]], axis=1)
    inside = costate @ costate.T - costate_cov.sum(axis=2)
    by_selected = 0.5 * inside
    r0 = np.array(results.scaled_smoothed_estimator_presample[:k])
    by_start = 0.5 * (np.outer(r0, r0) - results.scaled_smoothed_estimator_cov_presample[:k, :k])
    start_intercept = np.zeros(k)
    if system.start == "stationary":
        by_T, start_intercept, by_W = stationary_chain(
            system.transition, system.initial_state, system.initial_state_cov, r0, by_start
        )
        transition, by_selected = transition + by_T, by_selected + by_W
    return SystemScore(
        smoothed.llf,
        design,
        obs_intercept,
        obs_cov,
        transition,
        costate,
        system.selection.T @ by_selected @ system.selection,
        r0,
        by_start,
        start_intercept,
    )


def _proper_periods(
    smoother: Smoother, system: System, smoothed: Smoothed, costate: Array, costate_cov: Array, index: Array
) -> tuple[Array, Array, Array, Array]:
    """Return dZ, dd_t, dH, dT over periods in which the predicted covariance is finite."""
    k = system.k_states
    seen = (~smoother.missing[index]).astype(float)
    P = np.moveaxis(smoothed.results.predicted_state_cov[:k, :k, index], 2, 0)
    v = np.where(smoother.missing[index], 0.0, smoothed.results.forecasts_error.T[index])
    r, N = costate.T[index], np.moveaxis(costate_cov[:, :, index], 2, 0)
    Z = _over_time(system.design, index) * seen[:, :, None]
    H = _over_time(system.obs_cov, index) * (seen[:, :, None] * seen[:, None, :])
    T = _over_time(system.transition, index)
    PZ = P @ np.swapaxes(Z, 1, 2)
    F = Z @ PZ + H
    F[:, np.arange(F.shape[1]), np.arange(F.shape[1])] += 1.0 - seen
    inverse = np.linalg.inv(F) * (seen[:, :, None] * seen[:, None, :])
    K = T @ PZ @ inverse
    L = T - K @ Z
    u = np.einsum("tij,tj->ti", inverse, v) - np.einsum("tki,tk->ti", K, r)
    KN = np.swapaxes(K, 1, 2) @ N
    NLP = N @ L @ P
    xhat = smoothed.mean.T[index]
    by_design = u.T @ xhat - np.sum((inverse @ Z) @ P - np.swapaxes(K, 1, 2) @ NLP, axis=0)
    by_cov = 0.5 * (u.T @ u - np.sum(inverse + KN @ K, axis=0))
    return by_design, u.T, by_cov, r.T @ xhat - NLP.sum(axis=0)


def _diffuse_periods(
    smoother: Smoother, system: System, smoothed: Smoothed, index: Array
) -> tuple[Array, Array, Array, Array]:
    """Return dZ, dd_t, dH, dT over exact-diffuse periods, from smoothed moments."""
    p, k = smoother.endog.shape[1], system.k_states
    by_design, by_cov = np.zeros((p, k)), np.zeros((p, p))
    by_intercept, by_transition = np.zeros((p, len(index))), np.zeros((k, k))
    left = np.linalg.pinv(system.selection)
    for t in index:
        Z, H, T = (
            _over_time(m, np.array([t]))[0] for m in (system.design, system.obs_cov, system.transition)
        )
        d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept[:, t]
        x, V = smoothed.mean[:, t], smoothed.cov[:, :, t]
        seen = ~smoother.missing[t]
        precision = np.zeros((p, p))
        precision[np.ix_(seen, seen)] = np.linalg.pinv(H[np.ix_(seen, seen)], hermitian=True)
        e = np.where(seen, smoother.endog[t] - d - Z @ x, 0.0)
        noise = np.outer(e, e) + Z @ V @ Z.T
        by_intercept[:, t] = precision @ e
        by_design += precision @ (np.outer(e, x) - Z @ V)
        by_cov += 0.5 * (precision @ noise @ precision - precision)
        if t + 1 < smoothed.mean.shape[1]:
            c = system.state_intercept if system.state_intercept.ndim == 1 else system.state_intercept[:, t]
            Q = _over_time(system.state_cov, np.array([t]))[0]
            eta = smoothed.mean[:, t + 1] - c - T @ x
            cross = np.outer(eta, x) + smoothed.lag_cov[:, :, t] - T @ V
            by_transition += left.T @ np.linalg.pinv(Q, hermitian=True) @ left @ cross
    return by_design, by_intercept, by_cov, by_transition
