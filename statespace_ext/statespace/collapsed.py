"""
The E-step with the observed series of each period collapsed to no more dimensions than there are states.

Let o be the observed series of a row and H_oo = L L'. With L^{-1} Z_o = B D, B orthonormal, all that y_t
tells about the states is in

    w_t = B' L^{-1} (y_o - d_o) = D_t x_t + N(0, I),

which has min(p, k) elements (Jungbacker & Koopman 2015): statsmodels filters and smooths w_t. Zeros stand
for what is missing, as rows without loadings and with unit variance, which are taken out of the likelihood.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..em.moments import Moments
from ..em.regression import Regression
from ..em.sums import padded
from ..numerics.linear_algebra import Array, symmetrize
from .smoother import Smoothed, Smoother, over_time, state_sums
from .system import System

_NEARLY_SINGULAR = 1e-10
"""Share of a variance of H that the other series leave unexplained, from which H counts as singular."""


def collapse_obstacle(system: System) -> str | None:
    """Say why the rows cannot be collapsed, None where they can (for a nonsingular ``obs_cov``)."""
    varying = [name for name in ("design", "obs_cov") if getattr(system, name).ndim == 3]
    if varying:
        return f"{varying[0]} varies over time"
    if system.diffuse:
        return "the start is exact diffuse"
    return None


def pays(smoother: Smoother, system: System) -> bool:
    """Tell whether the collapsed rows are so much shorter that they take less time."""
    return collapse_obstacle(system) is None and smoother.endog.shape[1] >= 2 * system.k_states


def collapsed_moments(smoother: Smoother, system: System) -> Moments | None:
    """Return the E-step by way of the collapsed rows, None where ``obs_cov`` is singular."""
    try:
        whiten, sizes = _whitening(system.obs_cov, smoother.patterns[0])
    except np.linalg.LinAlgError:
        return None
    rows, design, constant = _collapsed(smoother, system, whiten, sizes)
    m = rows.shape[1]
    small = replace(
        system,
        design=np.moveaxis(design, 0, 2),
        obs_intercept=np.zeros(m),
        obs_cov=np.eye(m),
    )
    smoothed = Smoother(rows, *system.selection.shape).smooth(small)
    return Moments(
        llf=smoothed.llf - 0.5 * constant,
        observation=_observation_sums(smoother, system, smoothed, whiten),
        state=state_sums(smoother.state_exog, system, smoothed),
        initial_mean=np.array(smoothed.mean[:, 0]),
        initial_cov=symmetrize(smoothed.cov[:, :, 0]),
        initial_score=np.array(smoothed.first_costate),
        initial_information=symmetrize(smoothed.first_costate_cov),
    )


def _collapsed(smoother: Smoother, system: System, whiten: Array, sizes: Array) -> tuple[Array, Array, float]:
    """Return w_t (n, m), D_t (n, m, k), and what of -2 log L is not in the likelihood of w_t."""
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T
    y = np.where(smoother.missing, 0.0, smoother.endog - d)
    place = smoother.patterns[1]
    Z, diagonal = system.design, whiten.shape[2] == 1
    basis, design = np.linalg.qr(whiten * Z if diagonal else whiten @ Z)
    y = y * whiten[place, :, 0] if diagonal else np.squeeze(whiten[place] @ y[:, :, None], 2)
    basis = basis[place]
    rows = np.squeeze(y[:, None, :] @ basis, 1)
    y -= np.squeeze(basis @ rows[:, :, None], 2)
    count = np.count_nonzero(~smoother.missing) - rows.size
    constant = count * np.log(2.0 * np.pi) + sizes[place].sum() + np.vdot(y, y)
    return rows, design[place], float(constant)


def _whitening(cov: Array, patterns: Array) -> tuple[Array, Array]:
    """Return L^{-1} by pattern, zero where missing, and log|H_oo|; a column stands for a diagonal matrix."""
    seen = ~patterns
    variances = np.diag(cov)
    if np.count_nonzero(cov) == np.count_nonzero(variances):
        if not np.all(variances > 0.0):
            raise np.linalg.LinAlgError("obs_cov is singular")
        return (seen / np.sqrt(variances))[:, :, None], seen @ np.log(variances)
    both = seen[:, :, None] & seen[:, None, :]
    factor = np.linalg.cholesky(np.where(both, cov, np.eye(len(cov))))
    sizes = np.diagonal(factor, axis1=1, axis2=2)
    if np.any(sizes**2 < _NEARLY_SINGULAR * np.where(seen, variances, 1.0)):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    return np.where(both, np.linalg.inv(factor), 0.0), 2.0 * np.log(sizes).sum(axis=1)


def _observation_sums(smoother: Smoother, system: System, smoothed: Smoothed, whiten: Array) -> Regression:
    """Return the sums of the observation equation as `observation_sums` does, from what patterns share."""
    H = system.obs_cov
    Z, some = system.design, ~smoother.missing.all(axis=1)
    patterns, place = smoother.patterns
    place, mean, cov = place[some], smoothed.mean.T[some], over_time(smoothed.cov, some)
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T[some]
    e = np.where(smoother.missing[some], 0.0, smoother.endog[some] - d - mean @ Z.T)
    counts = np.bincount(place, minlength=len(patterns))
    if whiten.shape[2] == 1:
        loading = ~patterns[:, :, None] * Z
        remainder = np.diag(counts @ patterns * np.diag(H))
    else:  # J has the identity on observed rows and H_mo H_oo^{-1} on missing ones
        identity = np.eye(len(H)) * ~patterns[:, None, :]
        project = np.where(patterns[:, :, None], H @ np.swapaxes(whiten, 1, 2) @ whiten, identity)
        e = np.squeeze(project[place] @ e[:, :, None], 2)
        loading = project @ Z
        unexplained = np.where(patterns[:, :, None] & patterns[:, None, :], H - project @ H, 0.0)
        remainder = np.tensordot(counts, unexplained, axes=1)
    loading = loading[place]
    weighted = loading @ cov
    b = np.concatenate([mean, np.ones((len(mean), 1)), smoother.exog[some]], axis=1)
    ee = e.T @ e + np.tensordot(weighted, loading, axes=([0, 2], [0, 2])) + remainder
    eb = e.T @ b
    eb[:, : Z.shape[1]] -= weighted.sum(axis=0)
    bb = b.T @ b + padded(cov.sum(axis=0), b.shape[1])
    return Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(len(e))]))
