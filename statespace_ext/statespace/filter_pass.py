"""One pass of a statsmodels filter: a fast stationary start, and the likelihood without covariances."""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.tsa.statespace.initialization import Initialization

from ..numerics.chandrasekhar import chandrasekhar_loglike
from ..numerics.linear_algebra import Array
from ..numerics.lyapunov import stationary_covariance


def stationary_moments(ssm: Any) -> tuple[Array, Array]:
    """Return (I - T)^{-1} c and P = T P T' + R Q R' at the first period's matrices."""
    transition, state_cov, selection = (
        np.real(ssm[name]).reshape(*np.shape(ssm[name])[:2], -1)[:, :, 0]
        for name in ("transition", "state_cov", "selection")
    )
    intercept = first_period(ssm["state_intercept"])
    mean = np.zeros(len(transition))
    if np.any(intercept):
        mean = np.linalg.solve(np.eye(len(transition)) - transition, intercept)
    return mean, stationary_covariance(transition, selection @ state_cov @ selection.T)


def first_period(intercept: Any) -> Array:
    """Return an intercept's vector at t = 1."""
    return np.real(intercept).reshape(len(intercept), -1)[:, 0]


def initial_moments(ssm: Any) -> tuple[Array, Array]:
    """Return a_1 and the finite part of P_1."""
    if ssm.initialization.initialization_type == "stationary":
        return stationary_moments(ssm)
    mean, _, cov = ssm.initialization(model=ssm)
    return np.real(mean), np.real(cov)


def initialize_state(
    ssm: Any,
    prefix: str | None = None,
    complex_step: bool = False,
    moments: tuple[Array, Array] | None = None,
) -> None:
    """
    Give the compiled representation its first state, as its own method of this name does, but faster.

    ``moments`` are a_1 and P_1 where they are known already.
    """
    start = ssm.initialization
    real = (prefix or ssm.prefix) == "d" and not complex_step
    if not real or start is None or start.initialization_type != "stationary":
        type(ssm)._initialize_state(ssm, prefix, complex_step)
        return
    mean, cov = stationary_moments(ssm) if moments is None else moments
    known = Initialization(ssm.k_states, "known", constant=mean, stationary_cov=cov)
    ssm._statespaces["d"].initialize(known)


def chandrasekhar_pass(ssm: Any, mean: Array, cov: Array) -> float:
    """Return the log-likelihood by the recursions, from a_1 and P_1, where they are valid."""

    def over_time(name: str) -> Array:
        return np.asarray(ssm[name]).reshape(len(ssm[name]), -1)

    by_period = chandrasekhar_loglike(
        ssm.endog.T,
        ssm["design"],
        over_time("obs_intercept"),
        ssm["obs_cov"],
        ssm["transition"],
        over_time("state_intercept"),
        mean,
        cov,
        ssm.tolerance,
    )
    return float(np.sum(by_period[ssm.loglikelihood_burn :]))
