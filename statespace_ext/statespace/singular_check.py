"""Whether observations without noise have a density."""

from __future__ import annotations

import numpy as np

from ..exceptions import ParameterError, shown
from ..numerics.linear_algebra import Array, symmetrize
from .system import System

_DEPENDENT = 1e-10
"""Singular value, relative to loadings of unit length, that is none."""
_CERTAIN = 1e-14
"""Variance of a forecast, relative to what the states may bring, that is none."""


def require_density(
    missing: Array, system: System, patterns: Array | None = None, given_start: bool = False
) -> None:
    """
    Refuse series without noise whose distribution is singular, given what came before.

    That is so where more of them are seen in one period than the states can move independently, and where
    the states are certain already. Such a row has no density; statsmodels leaves out what it takes for
    certain, and returns the density of the rest.

    Parameters
    ----------
    missing : ndarray of bool, (nobs, k_endog)
        Which elements are missing.
    system : System
        With a constant design and obs_cov; others pass.
    patterns : ndarray of bool, (m, k_endog), optional
        The distinct rows of ``missing``, if they are known.
    given_start : bool, default False
        Whether the first state is no parameter. One that is takes the first row for its own, with a density
        that has no bound: the status of a fit says so.

    Raises
    ------
    ParameterError
        If there is no density.
    """
    H, Z = system.obs_cov, system.design
    if H.ndim == 3 or Z.ndim == 3:
        return
    certain = np.flatnonzero(np.diag(H) == 0.0)
    if not len(certain):
        return
    for unseen in np.unique((missing if patterns is None else patterns)[:, certain], axis=0):
        rows = certain[~unseen]
        size = np.linalg.norm(Z[rows], axis=1, keepdims=True)
        loadings = Z[rows] / np.where(size > 0, size, 1.0)
        if len(rows) and np.linalg.matrix_rank(loadings, tol=_DEPENDENT) < len(rows):
            raise ParameterError(
                "Series without noise have dependent loadings: their distribution is singular",
                got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}",
                expected="at most as many as the states move independently",
            )
    if not given_start or system.diffuse or system.initialization is not None:
        return
    varying = any(getattr(system, name).ndim == 3 for name in ("transition", "selection", "state_cov"))
    if not varying:
        _require_uncertain_states(missing, system, certain)


def _require_uncertain_states(missing: Array, system: System, certain: Array) -> None:
    """Refuse series without noise that the states, known so far, leave no variance."""
    R, P, T = system.selection, system.initial_state_cov, system.transition
    W = R @ system.state_cov @ R.T
    reach = np.abs(system.design) @ np.sqrt(np.diag(W) + np.diag(P))
    Z = system.design[certain]
    moved = np.linalg.matrix_rank(Z @ W @ Z.T, tol=_DEPENDENT * np.max(np.abs(Z @ W @ Z.T))) == len(certain)
    for t in range(1 if moved else min(len(missing), len(T) + 1)):
        rows = certain[~missing[t, certain]]
        if len(rows):
            half = P @ system.design[rows].T
            cov = system.design[rows] @ half
            scale = np.where(reach[rows] > 0.0, reach[rows], 1.0)
            if np.min(np.linalg.eigvalsh(cov / scale[:, None] / scale)) <= _CERTAIN:
                raise ParameterError(
                    "Series without noise are certain before they are seen: they have no density",
                    got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}, in period {t + 1}",
                    expected="states of positive variance behind them",
                    remedy="Give the states behind them noise, or an uncertain start.",
                )
            P = symmetrize(P - half @ np.linalg.solve(cov, half.T))
        P = T @ P @ T.T + W
