"""The E-step: the fast one where it is valid, statsmodels' smoother elsewhere."""

from __future__ import annotations

import numpy as np

from ..em.moments import Moments
from ..em.steady_state import SteadyState, steady_state
from ..em.sums import observation_equation, state_equation
from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array
from .smoother import Smoother
from .system import System

ESTEPS = ("auto", "fast", "statsmodels")
"""Ways to run the E-step: "auto" takes the fast one where it is valid."""

_CONSTANT = ("design", "obs_cov", "transition", "selection", "state_cov")


def expectation(smoother: Smoother, system: System, estep: str = "auto") -> Moments:
    """
    Return the E-step.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    estep : {"auto", "fast", "statsmodels"}
        How to run it.

    Raises
    ------
    UnsupportedError
        If ``estep="fast"`` is not valid here.
    """
    if estep == "statsmodels":
        return smoother.moments(system)
    reason = obstacle(smoother, system)
    moments = steady_moments(smoother, system) if reason is None else None
    if moments is not None:
        return moments
    if estep == "auto":
        return smoother.moments(system)
    raise UnsupportedError(
        'estep="fast" is not valid here',
        got=reason or "obs_cov is singular, or so near to it that digits would be lost",
        expected="constant matrices, complete data, a proper start and a nonsingular obs_cov",
        remedy='Use estep="auto".',
    )


def obstacle(smoother: Smoother, system: System) -> str | None:
    """Say why the fast E-step is not valid, None where it is (for a nonsingular ``obs_cov``)."""
    varying = [name for name in _CONSTANT if getattr(system, name).ndim == 3]
    if varying:
        return f"{varying[0]} varies over time"
    if smoother.incomplete:
        return "observations are missing"
    if system.diffuse or system.initialization is not None:
        return "the start is exact diffuse, or one set by blocks"
    return None


def steady_moments(smoother: Smoother, system: System) -> Moments | None:
    """Return the E-step without a loop over time, None where digits would be lost."""
    c, Z, T = _rows(system.state_intercept), system.design, system.transition
    y, found = steady_pass(smoother, system)
    if found is None:
        return None
    b = _regressors(found.mean, smoother.exog)
    y -= found.mean @ Z.T
    left = _left_inverse(system.selection)
    move = found.mean[1:] - found.mean[:-1] @ T.T - (c[:-1] if len(c) > 1 else c)
    return Moments(
        llf=found.llf,
        observation=observation_equation(y.T, b.T, found.cov_sum, Z),
        state=state_equation(
            left @ move.T,
            _state_regressors(found, b, smoother),
            found.cov_sum - found.last_cov,
            found.cov_sum - found.first_cov,
            found.lag_sum,
            T,
            left,
        ),
        initial_mean=found.mean[0].copy(),
        initial_cov=found.first_cov,
        initial_score=found.costate[0].copy(),
        initial_information=found.first_costate_cov,
    )


def steady_pass(smoother: Smoother, system: System) -> tuple[Array, SteadyState | None]:
    """Return y_t - d_t (n, p) and what the recursions of constant matrices find."""
    y = smoother.endog - _rows(system.obs_intercept)
    return y, steady_state(
        y,
        system.design,
        system.obs_cov,
        system.transition,
        _rows(system.state_intercept),
        system.selection,
        system.state_cov,
        system.initial_state,
        system.initial_state_cov,
    )


def _left_inverse(selection: Array) -> Array:
    orthonormal = np.array_equal(selection.T @ selection, np.eye(selection.shape[1]))
    return selection.T if orthonormal else np.linalg.pinv(selection)


def _rows(intercept: Array) -> Array:
    """Return an intercept as rows: one, or one by period."""
    return intercept[None] if intercept.ndim == 1 else intercept.T


def _regressors(mean: Array, exog: Array) -> Array:
    return np.concatenate([mean, np.ones((len(mean), 1)), exog], axis=1)


def _state_regressors(found: SteadyState, b: Array, smoother: Smoother) -> Array:
    if smoother.exog.shape[1] or smoother.state_exog.shape[1]:
        b = _regressors(found.mean, smoother.state_exog)
    return b[:-1].T
