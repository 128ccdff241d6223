"""
The E-step with the observed series of each period collapsed to no more dimensions than there are states.

Rows are collapsed as in `collapsing`; statsmodels filters and smooths the w_t.

The sums of the observation equation come from the smoothed states and from what the missing elements
change. Let u be what a row misses and P = H^{-1}. With e_o = y_o - Z_o xhat and zeros in e_u,

    E[e_u|e_o] = -P_uu^{-1} (P e)_u,     Var[e_u|e_o] = P_uu^{-1}     (at known states),

and the loadings of all of e on the states are -Z, to whose rows u is added P_uu^{-1} (P Z)_u: an observed
element is what it is, a missing one follows from those. Rows that miss as many elements go together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..em.moments import Moments, Regression, padded
from ..numerics.linear_algebra import Array, gram, product, symmetrize
from .collapsing import collapsed_rows, collapses
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
    holes, Z, PZ = missing[some], system.design, product(precision, system.design)
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T[some]
    mean, cov = smoothed.mean.T[some], over_time(smoothed.cov, some)
    e = np.where(holes, 0.0, smoother.endog[some] - d - mean @ Z.T)
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


def pays(smoother: Smoother, system: System) -> bool:
    """Return whether the collapsed rows are so much shorter that they take less time."""
    return collapses(smoother.endog.shape[1], system)


def collapsed_moments(smoother: Smoother, system: System) -> Moments | None:
    """Return the E-step by way of the collapsed rows, or None if ``obs_cov`` is singular."""
    found = collapse(smoother, system)
    if found is None:
        return None
    smoothed = found.smoother.smooth(found.system)
    return Moments(
        llf=smoothed.llf - float(found.constant.sum()),
        observation=missing_sums(smoother, system, smoothed, found.precision)[0],
        state=state_sums(smoother.state_exog, system, smoothed),
        initial_mean=np.array(smoothed.mean[:, 0]),
        initial_cov=symmetrize(smoothed.cov[:, :, 0]),
        initial_score=np.array(smoothed.first_adjoint),
        initial_information=symmetrize(smoothed.first_adjoint_cov),
    )


class Collapsed(NamedTuple):
    """The collapsed rows as a smoother and a system of their own; the rest as of `Rows`."""

    smoother: Smoother
    system: System
    constant: Array
    precision: Array


def collapse(smoother: Smoother, system: System) -> Collapsed | None:
    """Return the collapsed rows, or None if ``obs_cov`` is singular."""
    rows = collapsed_rows(smoother.endog, smoother.missing, smoother.patterns, system)
    return None if rows is None else Collapsed(Smoother(rows.endog, *system.selection.shape), *rows[1:])


def coefficient_scores(
    smoother: Smoother, system: System, smoothed: Smoothed, precision: Array
) -> dict[str, Array]:
    """Return the derivatives by Z, d_t and H from the sums over incomplete rows (Fisher's identity)."""
    sums, residuals = missing_sums(smoother, system, smoothed, precision)
    inner = product(precision, product(precision, sums.ee[0]).T) - sums.n[0] * precision
    return {
        "design": product(precision, sums.eb[0][:, : system.k_states]),
        "obs_intercept": product(precision, residuals.T),
        "obs_cov": 0.5 * symmetrize(inner),
    }
