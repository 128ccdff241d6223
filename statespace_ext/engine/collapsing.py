"""
Rows of observations collapsed to no more elements than there are states, and what goes series by series.

Let o be the observed series of a row and H_oo = L L'. With L^{-1} Z_o = B D, B orthonormal, all that y_t
tells about the states is in

    w_t = B' L^{-1} (y_o - d_o) = D_t x_t + N(0, I),

which has min(p, k) elements (Jungbacker & Koopman 2015). Zeros stand for what is missing, as rows without
loadings and with unit variance, which are taken out of the likelihood.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtri

from ..em.steady_state import blocks, cholesky_factor, inverse
from ..numerics.linear_algebra import Array, by_diagonal, is_diagonal
from .system import System

if TYPE_CHECKING:
    from .smoother import Smoother

FEWEST = 20
"""Number of series from which passes over collapsed rows take the place of those of statsmodels."""
_DEPENDENT = 1e-5
"""Determinant of the correlations in Z_o' H_oo^{-1} Z_o up to which its factor costs digits."""
_NEARLY_SINGULAR = 1e-6
"""Share of a variance of H that the other series leave unexplained, from which H counts as singular."""


def collapse_unsupported_reason(system: System) -> str | None:
    """Return why the rows cannot be collapsed, or None if they can (for a nonsingular ``obs_cov``)."""
    varying = [name for name in ("design", "obs_cov") if getattr(system, name).ndim == 3]
    if varying:
        return f"{varying[0]} varies over time"
    if system.diffuse:
        return "the start is exact diffuse"
    return None


def collapses(series: int, system: System) -> bool:
    """Return whether collapsed rows are so much shorter that they take less time."""
    return collapse_unsupported_reason(system) is None and series >= 2 * system.k_states


class Rows(NamedTuple):
    """
    Collapsed rows.

    ``endog`` is w_t (nobs, m), ``system`` that of w_t, ``constant`` (nobs,) what the log-likelihoods of w_t
    have too much, and ``precision`` H^{-1}.
    """

    endog: Array
    system: System
    constant: Array
    precision: Array


def collapsed_rows(smoother: Smoother, system: System) -> Rows | None:
    """
    Return the collapsed rows, or None if ``obs_cov`` is singular.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices, with a constant design and obs_cov.
    """
    missing, (patterns, place) = smoother.missing, smoother.patterns
    try:
        precision = _precision(system.obs_cov)
        fast = _by_products(smoother, system, precision) if by_diagonal(precision) else None
        if fast is not None:
            return fast
        whiten, sizes = _whitening(system.obs_cov, patterns)
    except np.linalg.LinAlgError:
        return None
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T
    y = np.where(missing, 0.0, smoother.endog - d)
    Z, diagonal = system.design, whiten.shape[2] == 1
    basis, design = np.linalg.qr(whiten * Z if diagonal else whiten @ Z)
    y = y * whiten[place, :, 0] if diagonal else np.squeeze(whiten[place] @ y[:, :, None], 2)
    one = len(basis) == 1
    rows = y @ basis[0] if one else np.squeeze(y[:, None, :] @ basis[place], 1)
    y -= rows @ basis[0].T if one else np.squeeze(basis[place] @ rows[:, :, None], 2)
    count, m = np.count_nonzero(~missing, axis=1), rows.shape[1]
    constant = (count - m) * np.log(2.0 * np.pi) + sizes[place] + np.einsum("ti,ti->t", y, y)
    design = design[0] if one else np.moveaxis(design[place], 0, 2)
    small = replace(system, design=design, obs_intercept=np.zeros(m), obs_cov=np.eye(m))
    return Rows(rows, small, 0.5 * constant, precision)


def _by_products(smoother: Smoother, system: System, precision: Array) -> Rows | None:
    """
    Return the collapsed rows from products over series, for a diagonal ``obs_cov``.

    J_t = Z_o' H_oo^{-1} Z_o equals D_t' D_t, and w_t = D_t^{-T} Z_o' H_oo^{-1} (y_o - d_o). The result is
    None if a J_t is so near to a singular matrix that an orthogonal basis keeps more digits.
    """
    used = np.flatnonzero(np.any(system.design != 0.0, axis=0))
    Z, weights, seen, m = system.design[:, used], precision.diagonal(), smoother.seen, len(used)
    if not 0 < m <= len(Z):
        return None
    weighted = Z * weights[:, None]
    pattern = seen if smoother.incomplete else seen[:1]
    J = (pattern @ (Z[:, :, None] * weighted[:, None, :]).reshape(len(Z), m * m)).reshape(-1, m, m)
    size = np.sqrt(np.diagonal(J, axis1=1, axis2=2))
    if not np.all(size > 0.0):
        return None
    correlation = J / (size[:, :, None] * size[:, None, :])
    if not np.all(np.linalg.det(correlation) > _DEPENDENT):
        return None
    lower = size[:, :, None] * np.linalg.cholesky(correlation)
    d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept.T
    moved = (seen * d) @ weighted if d.ndim == 2 else seen @ (d[:, None] * weighted)
    rows = np.linalg.solve(lower, (smoother.filled @ weighted - moved)[:, :, None])
    nearest = np.squeeze(np.linalg.solve(np.swapaxes(lower, 1, 2), rows), 2)
    constant = seen @ (np.log(2.0 * np.pi) - np.log(weights)) - m * np.log(2.0 * np.pi)
    for some in blocks(len(seen), len(Z)):
        e = nearest[some] @ Z.T
        e += d if d.ndim == 1 else d[some]
        e *= seen[some]
        np.subtract(smoother.filled[some], e, out=e)
        constant[some] += np.square(e, out=e) @ weights
    design = np.zeros((m, system.k_states, len(lower)))
    design[:, used] = np.moveaxis(lower, 0, 2).swapaxes(0, 1)
    small = replace(
        system,
        design=design if smoother.incomplete else design[:, :, 0],
        obs_intercept=np.zeros(m),
        obs_cov=np.eye(m),
    )
    return Rows(np.squeeze(rows, 2), small, 0.5 * constant, precision)


def standardized_errors(errors: Array, design: Array, covs: Array) -> Array:
    """
    Return L_t^{-1} v_t with L_t L_t' = Z P_t Z' + I over the observed elements, (nobs, p); NaN if missing.

    The elements are taken one after the other, in all periods at once (Koopman & Durbin 2000).

    Parameters
    ----------
    errors : ndarray, (nobs, p)
        v_t, whitened by H; NaN marks a missing value.
    design : ndarray, (p, k)
        Z, whitened by H.
    covs : ndarray, (nobs, k, k)
        P_t.
    """
    out, moved, covs = np.empty(errors.shape), np.zeros((len(errors), design.shape[1])), covs.copy()
    for i, z in enumerate(design):
        gain = covs @ z
        sd = np.sqrt(gain @ z + 1.0)
        out[:, i] = (errors[:, i] - moved @ z) / sd
        seen = ~np.isnan(errors[:, i])
        gain *= np.where(seen, 1.0 / sd, 0.0)[:, None]
        moved += gain * np.where(seen, out[:, i], 0.0)[:, None]
        covs -= gain[:, :, None] * gain[:, None, :]
    return out


def _precision(cov: Array) -> Array:
    """Return H^{-1}; LinAlgError where H is nearly singular."""
    precision = inverse(cholesky_factor(cov))
    if np.any(_NEARLY_SINGULAR * np.diag(cov) * np.diag(precision) > 1.0):
        raise np.linalg.LinAlgError("obs_cov is nearly singular")
    return precision


def _whitening(cov: Array, patterns: Array) -> tuple[Array, Array]:
    """Return L^{-1} by pattern, zero where missing, and log|H_oo|; a column stands for a diagonal matrix."""
    seen = ~patterns
    variances = np.diag(cov)
    if is_diagonal(cov):
        return (seen / np.sqrt(variances))[:, :, None], seen @ np.log(variances)
    both = seen[:, :, None] & seen[:, None, :]
    factor = np.linalg.cholesky(np.where(both, cov, np.eye(len(cov))))
    sizes = np.diagonal(factor, axis1=1, axis2=2)
    inverses = np.array([dtrtri(each.T)[0].T for each in factor])  # L' has the order of LAPACK: no copy
    return np.where(both, inverses, 0.0), 2.0 * np.log(sizes).sum(axis=1)
