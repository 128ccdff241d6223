"""
The exact score of constant matrices and complete data, without an array of covariances by period.

The formulas are those of `system_score`. With a nonsingular H, u_t = H^{-1} (y_t - d_t - Z xhat_t) and
F_t^{-1} + K_t' N_t K_t = H^{-1} - H^{-1} Z V_t Z' H^{-1}, so that only sums of V_t, N_t and N_t L_t P_t are
needed, and `em.steady_state` has them.
"""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array
from .expectation import obstacle, steady_pass
from .smoother import Smoother
from .system import System

_CANCELS = 1e-9
"""Share of the mean square of a series at which its noise would lose digits in y_t - Z xhat_t."""


def steady_score(
    smoother: Smoother, system: System, needed: frozenset[str]
) -> tuple[float, dict[str, Array], Array, Array] | None:
    """
    Return log-likelihood, derivatives by matrix, r_0 and N_0; None where the smoother has to run.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    needed : frozenset of str
        The matrices whose derivatives are wanted.
    """
    if obstacle(smoother, system) is not None:
        return None
    y, found = steady_pass(smoother, system)
    H, Z = system.obs_cov, system.design
    if found is None or np.any(np.diag(H) * len(y) < _CANCELS * np.einsum("ti,ti->i", y, y)):
        return None
    y -= found.mean @ Z.T
    precision = np.linalg.inv(H)
    u, r = y @ precision, found.costate[1:]
    R, Q = system.selection, system.state_cov
    weighted = Z @ found.cov_sum
    noise = r.T @ r - found.costate_cov_sum
    out = {
        "design": u.T @ found.mean - precision @ weighted,
        "obs_intercept": u.T,
        "obs_cov": 0.5 * (u.T @ u + precision @ weighted @ Z.T @ precision - len(y) * precision),
        "transition": r.T @ found.mean[:-1] - found.costate_lag_sum,
        "state_intercept": np.concatenate([r.T, np.zeros((len(Z.T), 1))], axis=1),
        "state_cov": 0.5 * R.T @ noise @ R,
        "selection": noise @ R @ Q,
    }
    first = found.costate[0].copy()
    return found.llf, {key: out[key] for key in out if key in needed}, first, found.first_costate_cov
