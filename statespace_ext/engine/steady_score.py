"""
The score by system matrix of a model with constant matrices and complete data, without a loop over time.

With e_t = y_t - Z x_t - d_t and the sums of the fast E-step, for a nonsingular H (Fisher's identity),

    dZ = H^{-1} E sum e_t x_t', dd_t = H^{-1} E e_t, dH = 1/2 (H^{-1} E sum e_t e_t' H^{-1} - n H^{-1}),

and with costates, for any Q, dT = sum (r_t xhat_t' - N_t M_t P_t), dc_t = r_t, dW = 1/2 sum (r_t r_t' - N_t).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..numerics.linear_algebra import Array, symmetrize
from .expectation import constant_steady_state
from .smoother import Smoother
from .system import System

_LARGE = 1e6
"""Mean square of a series over its variance in H from which e_t loses more digits than the smoother."""


class SteadyScore(NamedTuple):
    """Log-likelihood, derivatives by matrix without what comes through the start, r_0 and N_0."""

    llf: float
    by_matrix: dict[str, Array]
    first_costate: Array
    first_costate_cov: Array


def has_small_noise(smoother: Smoother, system: System) -> bool:
    """Tell whether the noise of a series is so small that the score by way of its residuals loses digits."""
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T
    e = np.where(smoother.missing, 0.0, smoother.endog - d)
    count = np.count_nonzero(~smoother.missing, axis=0)
    variances = np.ravel(np.diagonal(system.obs_cov))[: e.shape[1]]
    return bool(np.any(np.einsum("ti,ti->i", e, e) > _LARGE * count * variances))


def steady_score(smoother: Smoother, system: System, needed: frozenset[str]) -> SteadyScore | None:
    """Return the score, None where it is not valid or digits would be lost."""
    if has_small_noise(smoother, system):
        return None
    found = constant_steady_state(smoother, system)
    if found is None:
        return None
    out: dict[str, Array] = {}
    k, sums = system.k_states, found.sums
    if needed & {"design", "obs_intercept", "obs_cov"}:
        Z, precision = system.design, found.precision
        e = found.residual(slice(None))
        ZV = Z @ found.states.cov_sum
        out["obs_intercept"] = precision @ e.T
        out["design"] = precision @ (sums.eb[:, :k] - ZV)
        residual = sums.ee + ZV @ Z.T - len(e) * system.obs_cov
        out["obs_cov"] = 0.5 * precision @ symmetrize(residual) @ precision
    cov_sum, lag_sum = found.states.costate_sums()
    noise = sums.rr - cov_sum
    R = system.selection
    out["transition"] = sums.rs[:, :k] - lag_sum
    out["state_intercept"] = np.concatenate([found.states.costate[1:], np.zeros((1, k))]).T
    out["state_cov"], out["selection"] = 0.5 * R.T @ noise @ R, noise @ R @ system.state_cov
    return SteadyScore(
        found.llf,
        {name: out[name] for name in needed if name in out},
        found.states.costate[0],
        found.states.first_costate_cov,
    )
