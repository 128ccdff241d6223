"""Passes of a statsmodels filter: fast starts and likelihoods, compiled objects, output that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from statsmodels.tsa.statespace.kalman_filter import INVERT_UNIVARIATE, SOLVE_CHOLESKY
from statsmodels.tsa.statespace.kalman_smoother import (
    SMOOTHER_DISTURBANCE_COV,
    SMOOTHER_STATE,
    SMOOTHER_STATE_AUTOCOV,
    SMOOTHER_STATE_COV,
)

from ..exceptions import EstimationError
from ..numerics.chandrasekhar import chandrasekhar_loglike
from ..numerics.linear_algebra import Array
from ..numerics.lyapunov import stationary_covariance

_ROUNDING = 1e-8
"""Share of the largest moment up to which a filtered moment at t = n passes for zero."""


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


def follows_matrices(ssm: Any) -> bool:
    """Tell whether compiled objects hold the memory into which statsmodels writes new matrices."""
    return all(
        np.shares_memory(ssm._representations[prefix]["transition"], compiled.transition)
        for prefix, compiled in ssm._statespaces.items()
    )


@contextmanager
def without_skips(ssm: Any) -> Iterator[None]:
    """
    Have the filter factorise the forecast variance of a single series too.

    statsmodels skips a single series with a forecast variance below 1e-12, whatever the units: the
    log-likelihood at a variance near zero would be 0.
    """
    own = ssm.inversion_method
    ssm.inversion_method = own & ~INVERT_UNIVARIATE or SOLVE_CHOLESKY
    try:
        yield
    finally:
        ssm.inversion_method = own


def require_smoothed(ssm: Any, results: Any, requested: int) -> None:
    """
    Refuse smoothed output that was requested and is zero where it cannot be.

    statsmodels leaves zeros, without an error, where the smoother meets another filter method than that of
    the filter pass. At t = n the output is known: E[x_n|Y] and Var[x_n|Y] are the filtered ones,
    Cov(x_{n+1}, x_n|Y) is T_n Var[x_n|Y] and Var[eta_n|Y] is Q_n.

    Parameters
    ----------
    ssm : KalmanSmoother
        The representation, after its smoother pass.
    results : SmootherResults
        What the pass returned.
    requested : int
        The ``smoother_output`` of the pass.

    Raises
    ------
    EstimationError
        If an output is zero at t = n, and its value there is not.
    """
    smoother, last = ssm._kalman_smoother, {}
    if requested & SMOOTHER_DISTURBANCE_COV:
        last["smoothed_state_disturbance_cov"] = ssm.state_cov[..., -1], ssm.state_cov
    if hasattr(results, "filtered_state"):  # the compiled filter has lost them by now
        means, covs = results.filtered_state, results.filtered_state_cov
        path = results.predicted_state_cov  # filtered ones of series without noise are rounding throughout
        if requested & SMOOTHER_STATE:
            last["smoothed_state"] = means[..., -1], means
        if requested & SMOOTHER_STATE_COV:
            last["smoothed_state_cov"] = covs[..., -1], path
        if requested & SMOOTHER_STATE_AUTOCOV and results.nobs_diffuse < ssm.nobs:
            last["smoothed_state_autocov"] = ssm.transition[..., -1] @ covs[..., -1], path
    missing = [
        name
        for name, (value, path) in last.items()
        if np.max(np.abs(value)) > _ROUNDING * np.nanmax(np.abs(path), initial=0.0)
        and not np.any(np.asarray(getattr(smoother, name))[..., -1])
    ]
    if missing:
        raise EstimationError(
            "The smoother of statsmodels returned zeros",
            got=f"{', '.join(missing)} zero at the last period",
            expected="the filter method of the filter pass in the smoother",
            remedy="Set `ssm.filter_method` before `smooth`, and not between a filter and its smoother.",
        )
