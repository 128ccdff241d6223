"""
The E-step with the observed series of each period collapsed to no more dimensions than there are states.

Let o be the observed series of a row and H_oo = L L'. With L^{-1} Z_o = B D, B orthonormal, all that y_t
tells about the states is in

    w_t = B' L^{-1} (y_o - d_o) = D_t x_t + N(0, I),

which has min(p, k) elements (Jungbacker & Koopman 2015): statsmodels filters and smooths w_t. Zeros stand
for what is missing, as rows without loadings and with unit variance, which are taken out of the likelihood.

The sums of the observation equation come from the smoothed states and from what the missing elements
change. Let u be what a row misses and P = H^{-1}. With e_o = y_o - Z_o xhat and zeros in e_u,

    E[e_u|e_o] = -P_uu^{-1} (P e)_u,     Var[e_u|e_o] = P_uu^{-1}     (at known states),

and the loadings of all of e on the states are -Z, to whose rows u is added P_uu^{-1} (P Z)_u: an observed
element is what it is, a missing one follows from those. Rows that miss as many elements go together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..em.moments import Moments, Regression, padded
from ..em.steady_state import inverse
from ..numerics.linear_algebra import Array, gram, symmetrize
from .smoother import Smoothed, Smoother, over_time, state_sums
from .system import System


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
    missing = smoother.missing
    some = ~missing.all(axis=1)
    holes, Z, PZ = missing[some], system.design, precision @ system.design
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T[some]
    mean, cov = smoothed.mean.T[some], over_time(smoothed.cov, some)
    e = np.where(holes, 0.0, smoother.endog[some] - d - mean @ Z.T)
    weighted = e @ precision
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


_NEARLY_SINGULAR = 1e-6
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
    found = collapse(smoother, system)
    if found is None:
        return None
    smoothed = found.smoother.smooth(found.system)
    return Moments(
        llf=smoothed.llf - found.constant,
        observation=missing_sums(smoother, system, smoothed, found.precision)[0],
        state=state_sums(smoother.state_exog, system, smoothed),
        initial_mean=np.array(smoothed.mean[:, 0]),
        initial_cov=symmetrize(smoothed.cov[:, :, 0]),
        initial_score=np.array(smoothed.first_costate),
        initial_information=symmetrize(smoothed.first_costate_cov),
    )


class Collapsed(NamedTuple):
    """
    The collapsed rows as a smoother and a system of their own.

    ``constant`` is what the log-likelihood of the collapsed rows has too much, ``precision`` is H^{-1}.
    """

    smoother: Smoother
    system: System
    constant: float
    precision: Array


def collapse(smoother: Smoother, system: System) -> Collapsed | None:
    """Return the collapsed rows, None where ``obs_cov`` is singular."""
    try:
        precision = _precision(system.obs_cov)
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
    return Collapsed(Smoother(rows, *system.selection.shape), small, 0.5 * constant, precision)


def coefficient_scores(
    smoother: Smoother, system: System, smoothed: Smoothed, precision: Array
) -> dict[str, Array]:
    """Return the derivatives by Z, d_t and H from the sums over incomplete rows (Fisher's identity)."""
    sums, residuals = missing_sums(smoother, system, smoothed, precision)
    inner = precision @ sums.ee[0] @ precision - sums.n[0] * precision
    return {
        "design": precision @ sums.eb[0][:, : system.k_states],
        "obs_intercept": precision @ residuals.T,
        "obs_cov": 0.5 * symmetrize(inner),
    }


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


def _precision(cov: Array) -> Array:
    """Return H^{-1}; LinAlgError where H is nearly singular."""
    precision = inverse(np.linalg.cholesky(cov))
    if np.any(_NEARLY_SINGULAR * np.diag(cov) * np.diag(precision) > 1.0):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    return precision


def _whitening(cov: Array, patterns: Array) -> tuple[Array, Array]:
    """Return L^{-1} by pattern, zero where missing, and log|H_oo|; a column stands for a diagonal matrix."""
    seen = ~patterns
    variances = np.diag(cov)
    if np.count_nonzero(cov) == np.count_nonzero(variances):
        return (seen / np.sqrt(variances))[:, :, None], seen @ np.log(variances)
    both = seen[:, :, None] & seen[:, None, :]
    factor = np.linalg.cholesky(np.where(both, cov, np.eye(len(cov))))
    sizes = np.diagonal(factor, axis1=1, axis2=2)
    return np.where(both, _inverses(factor), 0.0), 2.0 * np.log(sizes).sum(axis=1)


def _inverses(factors: Array) -> Array:
    """Return the inverses of lower triangular matrices, row by row."""
    out = np.zeros_like(factors)
    for i in range(factors.shape[1]):
        size = factors[:, i, i]
        out[:, i, :i] = np.squeeze(factors[:, i, None, :i] @ out[:, :i, :i], 1) / -size[:, None]
        out[:, i, i] = 1.0 / size
    return out
