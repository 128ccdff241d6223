"""The E-step: the fast one where it is valid, statsmodels' smoother elsewhere."""

from __future__ import annotations

import numpy as np

from ..em.moments import Moments, observation_equation, state_equation
from ..em.steady_state import SteadyState, steady_state
from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array
from .collapsed import collapse_obstacle, collapsed_moments, pays
from .smoother import Smoother
from .system import System

ESTEPS = ("auto", "fast", "collapsed", "statsmodels")
"""Ways to run the E-step: "auto" takes the fast one where it is valid, then the collapsed one if it pays."""

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
    estep : {"auto", "fast", "collapsed", "statsmodels"}
        How to run it.

    Raises
    ------
    UnsupportedError
        If ``estep="fast"`` or ``estep="collapsed"`` is not valid here.
    """
    if estep == "statsmodels":
        return smoother.moments(system)
    if estep == "collapsed":
        return _forced_collapse(smoother, system)
    moments = steady_moments(smoother, system)
    if moments is not None:
        return moments
    if estep == "auto":
        collapsed = collapsed_moments(smoother, system) if pays(smoother, system) else None
        return smoother.moments(system) if collapsed is None else collapsed
    raise UnsupportedError(
        'estep="fast" is not valid here',
        got=obstacle(smoother, system) or "obs_cov is singular, or so near to it that digits would be lost",
        expected="constant matrices, complete data, a proper start and a nonsingular obs_cov",
        remedy='Use estep="auto".',
    )


def _forced_collapse(smoother: Smoother, system: System) -> Moments:
    reason = collapse_obstacle(system)
    moments = collapsed_moments(smoother, system) if reason is None else None
    if moments is None:
        raise UnsupportedError(
            'estep="collapsed" is not valid here',
            got=reason or "obs_cov is singular, or nearly so",
            expected="a constant design and obs_cov, nonsingular, and a proper start",
            remedy='Use estep="auto".',
        )
    return moments


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


def constant_steady_state(smoother: Smoother, system: System) -> SteadyState | None:
    """Return smoothed means and sums without a loop over time, None where that is not valid or not exact."""
    if obstacle(smoother, system) is not None:
        return None
    return steady_state(
        smoother.endog - _rows(system.obs_intercept),
        system.design,
        system.obs_cov,
        system.transition,
        _rows(system.state_intercept),
        system.selection,
        system.state_cov,
        system.initial_state,
        system.initial_state_cov,
        smoother.exog,
        smoother.state_exog,
    )


def steady_moments(smoother: Smoother, system: System) -> Moments | None:
    """Return the E-step without a loop over time, None where that is not valid or not exact."""
    found = constant_steady_state(smoother, system)
    if found is None:
        return None
    states, sums, n = found.states, found.sums, len(found.states.mean)
    observation = observation_equation(sums.ee, sums.eb, sums.bb, n, states.cov_sum, system.design)
    left = _left_inverse(system.selection)
    gain = left @ system.selection @ system.state_cov @ system.selection.T
    state = state_equation(
        gain @ sums.rr @ gain.T,
        gain @ sums.rs,
        sums.ss,
        n - 1,
        states.cov_sum - states.last_cov,
        states.cov_sum - states.first_cov,
        states.lag_sum,
        system.transition,
        left,
    )
    return Moments(
        llf=found.llf,
        observation=observation,
        state=state,
        initial_mean=states.mean[0].copy(),
        initial_cov=states.first_cov,
        initial_score=states.costate[0].copy(),
        initial_information=states.first_costate_cov,
    )


def _left_inverse(selection: Array) -> Array:
    orthonormal = np.array_equal(selection.T @ selection, np.eye(selection.shape[1]))
    return selection.T if orthonormal else np.linalg.pinv(selection)


def _rows(intercept: Array) -> Array:
    """Return an intercept as rows: one, or one by period."""
    return intercept[None] if intercept.ndim == 1 else intercept.T
