"""
The ways to run the E-step, and the choice among them.

The fast form needs no loop over time. In the collapsed form, the observed series of each period are
collapsed to no more dimensions than there are states, as in `collapsing`, and statsmodels filters and
smooths the w_t.

The sums of the observation equation of collapsed rows come from the smoothed states and from what the missing
elements change. Let u be what a row misses and P = H^{-1}. With e_o = y_o - Z_o xhat and zeros in e_u,

    E[e_u|e_o] = -P_uu^{-1} (P e)_u,     Var[e_u|e_o] = P_uu^{-1}     (at known states),

and the loadings of all of e on the states are -Z, to whose rows u is added P_uu^{-1} (P Z)_u: an observed
element is what it is, a missing one follows from those. Rows that miss as many elements go together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..em.regressions import Moments, Regression, observation_equation, padded, state_equation
from ..em.steady_state import SteadyState, blocks, steady_state
from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array, by_diagonal, diagonal_matrix, gram, product, symmetrize
from .collapsing import collapse_unsupported_reason, collapsed_rows, collapses
from .smoother import Smoothed, Smoother, left_inverse, over_time, state_sums
from .system import System

_CONSTANT = ("design", "obs_cov", "transition", "selection", "state_cov")


@dataclass(frozen=True)
class EStep:
    """
    A way to run the E-step. All give the same moments where they are valid.

    Attributes
    ----------
    moments : callable
        From a smoother, which holds the data, and a system to moments; None if digits would be lost.
    unsupported_reason : callable
        From the same to why it is not valid, or None if it is.
    requires : str
        What it needs, for the message.
    pays : callable
        From the same to whether it is faster than those after it in `ESTEPS`, where it is valid.
    """

    moments: Callable[[Smoother, System], Moments | None]
    unsupported_reason: Callable[[Smoother, System], str | None]
    requires: str
    pays: Callable[[Smoother, System], bool] = lambda smoother, system: True


def expectation(smoother: Smoother, system: System, estep: str = "auto") -> Moments:
    """
    Return the E-step.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    estep : str
        A name in `ESTEPS`, or "auto": the first of them that pays.

    Raises
    ------
    UnsupportedError
        If the E-step that is asked for is not valid here.
    """
    for step in ESTEPS.values() if estep == "auto" else (ESTEPS[estep],):
        reason = step.unsupported_reason(smoother, system)
        used = reason is None and (estep != "auto" or step.pays(smoother, system))
        moments = step.moments(smoother, system) if used else None
        if moments is not None:
            return moments
    raise UnsupportedError(
        f'estep="{estep}" is not valid here',
        got=reason or "obs_cov is singular, or so near to it that digits would be lost",
        expected=step.requires,
        remedy='Use estep="auto".',
    )


def unsupported_reason(smoother: Smoother, system: System) -> str | None:
    """Return why the fast E-step is not valid, or None if it is (for a nonsingular ``obs_cov``)."""
    varying = [name for name in _CONSTANT if getattr(system, name).ndim == 3]
    if varying:
        return f"{varying[0]} varies over time"
    if system.observation_groups is not None or system.state_groups is not None:
        return "free elements vary over time"
    if smoother.incomplete:
        return "observations are missing"
    if system.diffuse or system.initialization is not None:
        return "the start is exact diffuse, or one set by blocks"
    return None


def constant_steady_state(smoother: Smoother, system: System) -> SteadyState | None:
    """Return smoothed means and sums without a loop over time, or None if that is not valid or not exact."""
    if unsupported_reason(smoother, system) is not None:
        return None
    return steady_state(
        smoother.endog - np.atleast_2d(system.obs_intercept.T),
        system.design,
        system.obs_cov,
        system.transition,
        np.atleast_2d(system.state_intercept.T),
        system.selection,
        system.state_cov,
        system.initial_state,
        system.initial_state_cov,
        smoother.exog,
        smoother.state_exog,
    )


def steady_moments(smoother: Smoother, system: System) -> Moments | None:
    """Return the E-step without a loop over time, or None if that is not valid or not exact."""
    found = constant_steady_state(smoother, system)
    if found is None:
        return None
    states, sums, n = found.states, found.sums, len(found.states.mean)
    observation = observation_equation(sums.ee, sums.eb, sums.bb, n, states.cov_sum, system.design)
    left = left_inverse(system.selection)
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
        initial_score=states.adjoint[0].copy(),
        initial_information=states.first_adjoint_cov,
    )


def missing_sums(
    smoother: Smoother, system: System, smoothed: Smoothed, precision: Array
) -> tuple[Regression, Array]:
    """
    Return the sums over rows that are not all missing, for a constant design and ``obs_cov``.

    The second value is E[e_t|Y], (nobs, p), zero in rows that are all missing.

    Parameters
    ----------
    smoother, system, smoothed
        The data, the matrices and the smoothed states.
    precision : ndarray, (p, p)
        P.
    """
    if by_diagonal(precision):
        return _missing_by_series(smoother, system, smoothed)
    missing = smoother.missing
    some = ~missing.all(axis=1)
    holes, Z, PZ = missing[some], system.design, product(precision, system.design)
    mean, cov = smoothed.mean.T[some], over_time(smoothed.cov, some)
    e = (smoother.endog - np.atleast_2d(system.obs_intercept.T))[some]
    e = np.where(holes, 0.0, e - mean @ Z.T)
    weighted = product(precision, e.T).T
    moved, remainder = np.zeros(Z.shape), np.zeros((len(Z), len(Z)))
    counts = np.count_nonzero(holes, axis=1)
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        u = np.nonzero(holes[rows])[1].reshape(len(rows), count)
        left = np.linalg.inv(precision[u[:, :, None], u[:, None, :]])
        e[rows[:, None], u] = -np.squeeze(left @ weighted[rows[:, None], u][:, :, None], 2)
        loading = left @ PZ[u]
        moving = loading @ cov[rows]
        np.add.at(moved, u, moving)
        np.add.at(remainder, (u[:, :, None], u[:, None, :]), left + moving @ np.swapaxes(loading, 1, 2))
    cov_sum = cov.sum(axis=0)
    cross = moved @ Z.T
    b = np.concatenate([mean, np.ones((len(mean), 1)), smoother.exog[some]], axis=1)
    eb = e.T @ b
    eb[:, : Z.shape[1]] += moved - Z @ cov_sum
    ee = gram(e) + Z @ cov_sum @ Z.T - cross - cross.T + remainder
    bb = gram(b) + padded(cov_sum, b.shape[1])
    residuals = np.zeros(missing.shape)
    residuals[some] = e
    sums = Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(len(e))]))
    return sums, residuals


def sums_suffice(system: System) -> bool:
    """Return whether derivatives by the intercepts of the observations need no residual by period."""
    return system.obs_intercept.ndim == 1 and by_diagonal(system.obs_cov)


def _missing_by_series(smoother: Smoother, system: System, smoothed: Smoothed) -> tuple[Regression, Array]:
    """
    Return `missing_sums` where ``obs_cov`` is stored by its diagonal: a missing e_it is noise alone.

    The residuals have no rows where `sums_suffice`.
    """
    Z, d, series = system.design, np.atleast_2d(system.obs_intercept.T), len(system.design)
    mean, k, n = smoothed.mean.T, system.k_states, len(smoother.endog)
    cov = np.moveaxis(smoothed.cov, 2, 0).reshape(n, k * k)
    some = (~smoother.missing.all(axis=1)).astype(float)
    b = np.concatenate([mean, np.ones((n, 1)), smoother.exog], axis=1)
    seen_sums = (smoother.seen.T @ cov).reshape(series, k, k)
    kept = np.squeeze(Z[:, None, :] @ seen_sums, 1)
    eb, squares = np.zeros((series, b.shape[1])), np.einsum("ij,ij->i", kept, Z)
    eb[:, :k] -= kept
    residuals = np.zeros((0 if sums_suffice(system) else n, series))
    for rows in blocks(n, series):
        e = mean[rows] @ Z.T
        e += d if len(d) == 1 else d[rows]
        e *= smoother.seen[rows]
        np.subtract(smoother.filled[rows], e, out=e)
        eb += e.T @ b[rows]
        squares += np.einsum("ti,ti->i", e, e)
        if len(residuals):
            residuals[rows] = e
    squares += (some.sum() - smoother.seen.sum(axis=0)) * system.obs_cov.diagonal()
    bb = gram(b * some[:, None]) + padded((some @ cov).reshape(k, k), b.shape[1])
    sums = Regression(diagonal_matrix(squares)[None], eb[None], symmetrize(bb)[None], np.array([some.sum()]))
    return sums, residuals


def collapsed_moments(smoother: Smoother, system: System) -> Moments | None:
    """Return the E-step by way of the collapsed rows, or None if ``obs_cov`` is singular."""
    found = collapsed_rows(smoother, system)
    if found is None:
        return None
    smoothed = Smoother(found.endog, *system.selection.shape).smooth(found.system)
    observation = missing_sums(smoother, system, smoothed, found.precision)[0]
    llf = smoothed.llf - float(found.constant.sum())
    return smoothed.moments(llf, observation, state_sums(smoother.state_exog, system, smoothed))


def coefficient_scores(
    system: System, sums: Regression, residuals: Array | None, precision: Array
) -> dict[str, Array]:
    """
    Return the derivatives by Z, d_t and H from the sums of the observation equation (Fisher's identity).

    Parameters
    ----------
    system : System
        The matrices.
    sums : Regression
        The sums of e_t = y_t - d_t - Z x_t.
    residuals : ndarray, (nobs, p), or None
        E[e_t|Y]; not needed where `sums_suffice`.
    precision : ndarray, (p, p)
        H^{-1}.
    """
    k, noise = system.k_states, sums.ee[0] - sums.n[0] * system.obs_cov
    by_intercept = sums.eb[0][:, k : k + 1] if sums_suffice(system) or residuals is None else residuals.T
    return {
        "design": product(precision, sums.eb[0][:, :k]),
        "obs_intercept": product(precision, by_intercept),
        "obs_cov": 0.5 * (precision @ noise @ precision),
    }


def _not_collapsed(smoother: Smoother, system: System) -> str | None:
    """Return why collapsed rows do not give the sums, or None if they do."""
    if system.observation_groups is not None:
        return "free elements of the observation equation vary over time"
    return collapse_unsupported_reason(system)


ESTEPS = {
    "fast": EStep(
        steady_moments,
        unsupported_reason,
        "constant matrices, complete data, a proper start and a nonsingular obs_cov",
    ),
    "collapsed": EStep(
        collapsed_moments,
        _not_collapsed,
        "a constant design and obs_cov, nonsingular, and a proper start",
        lambda smoother, system: collapses(smoother.endog.shape[1], system),
    ),
    "statsmodels": EStep(
        lambda smoother, system: smoother.moments(system), lambda smoother, system: None, "a smoother"
    ),
}
"""The E-steps by name, the fastest first. A model and `fit` know them by these names alone."""
