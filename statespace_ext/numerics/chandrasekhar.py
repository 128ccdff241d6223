"""The log-likelihood by the Chandrasekhar recursions, which never form a k x k covariance."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from .linear_algebra import Array

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
    obs_intercept, state_intercept : ndarray, (p, 1 or n) and (k, 1 or n)
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
    forecast_covs, gains = _gains(len(endog), design, obs_cov, transition, cov, tolerance)
    errors = _forecast_errors(
        endog - obs_intercept.T, design, transition, state_intercept, np.array(mean), gains
    )
    roots = np.linalg.cholesky(np.array(forecast_covs))
    last = len(roots) - 1
    scaled = np.empty_like(errors)
    scaled[:last] = np.linalg.solve(roots[:last], errors[:last, :, None])[:, :, 0]
    scaled[last:] = scipy.linalg.solve_triangular(roots[last], errors[last:].T, lower=True).T
    half_logdet = np.sum(np.log(np.diagonal(roots, axis1=1, axis2=2)), axis=1)
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
