"""Observations without noise that have no density: the check before a pass, and the names of errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..exceptions import ParameterError, StateSpaceError, shown
from ..numerics.linear_algebra import Array, symmetrize
from .system import System

_DEPENDENT = 1e-10
"""Singular value, relative to loadings of unit length, that counts as zero."""
_CERTAIN = 1e-14
"""Variance of a forecast or of noise, relative to its size, that passes for zero."""


def require_density(
    missing: Array, system: System, patterns: Array | None = None, given_start: bool = False
) -> None:
    """
    Reject series without noise whose distribution is singular, given what came before.

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
        Whether the first state is known. An estimated first state can fit the first row exactly, with an
        unbounded density: the status of a fit reports it.

    Raises
    ------
    ParameterError
        If there is no density.
    """
    H, Z = system.obs_cov, system.design
    if H.ndim == 3 or Z.ndim == 3:
        return
    patterns = missing if patterns is None else patterns
    _require_full_rank(patterns, H, Z)
    certain = np.flatnonzero(np.diag(H) == 0.0)
    if not len(certain):
        return
    _require_independent(patterns, Z, certain)
    known = given_start and not system.diffuse and system.initialization is None
    if known and all(getattr(system, name).ndim == 2 for name in ("transition", "selection", "state_cov")):
        _require_uncertain_states(missing, system, certain)


def _require_independent(missing: Array, Z: Array, certain: Array) -> None:
    """Reject more series without noise in a period than the states can move independently."""
    for unseen in np.unique(missing[:, certain], axis=0):
        rows = certain[~unseen]
        size = np.linalg.norm(Z[rows], axis=1, keepdims=True)
        loadings = Z[rows] / np.where(size > 0, size, 1.0)
        if len(rows) and np.linalg.matrix_rank(loadings, tol=_DEPENDENT) < len(rows):
            raise ParameterError(
                "Series without noise have dependent loadings: their distribution is singular",
                got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}",
                expected="at most as many as the states move independently",
            )


def _require_full_rank(missing: Array, H: Array, Z: Array) -> None:
    """
    Reject an H that is singular and not diagonal, where the states do not move its null space.

    Whether a factorisation of the forecast variance fails there is rounding, and differs between machines.
    """
    noisy = np.flatnonzero(np.diag(H) > 0.0)
    size = np.sqrt(np.diag(H)[noisy])
    correlation = H[np.ix_(noisy, noisy)] / size[:, None] / size
    if np.count_nonzero(correlation) == len(noisy) or _is_regular(correlation):
        return
    loadings = Z[noisy] / size[:, None]
    tolerance = _DEPENDENT * max(float(np.max(np.abs(loadings), initial=0.0)), 1e-300)
    for unseen in np.unique(missing[:, noisy], axis=0):
        seen = ~unseen
        values, vectors = np.linalg.eigh(correlation[np.ix_(seen, seen)])
        null = vectors[:, values <= _CERTAIN * len(values)]
        moved = null.T @ loadings[seen]
        if null.shape[1] and np.linalg.matrix_rank(moved, tol=tolerance) < null.shape[1]:
            raise ParameterError(
                "The log-likelihood does not exist at these parameters",
                got=f"a singular obs_cov that is not diagonal, of rank {int(seen.sum()) - null.shape[1]} of "
                f"{int(seen.sum())}",
                expected="forecast errors of positive definite variance",
                remedy="Let obs_cov be positive definite, or leave out a series that the others determine.",
            )


def _is_regular(correlation: Array) -> bool:
    """Return whether the Cholesky factor of a correlation matrix exists, and has no negligible pivot."""
    try:
        pivots = np.diag(np.linalg.cholesky(correlation))
    except np.linalg.LinAlgError:
        return False
    return bool(np.min(pivots, initial=1.0) ** 2 > _DEPENDENT)


def _require_uncertain_states(missing: Array, system: System, certain: Array) -> None:
    """Reject series without noise that the states, known so far, leave no variance."""
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
                    "Series without noise are known before they are observed, so they have no density",
                    got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}, in period {t + 1}",
                    expected="states with a positive variance",
                    remedy="Add noise to the states that they load on, or use an uncertain start.",
                )
            P = symmetrize(P - half @ np.linalg.solve(cov, half.T))
        P = T @ P @ T.T + W


@contextmanager
def named_singularity() -> Iterator[None]:
    """
    Give the errors of numpy and of compiled filters a name, where forecast errors have a singular variance.

    Raises
    ------
    ParameterError
        In their place.
    """
    try:
        yield
    except StateSpaceError:
        raise
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise ParameterError(
            "The log-likelihood does not exist at these parameters",
            got=reason(error),
            expected="forecast errors of positive definite variance, and stable roots for a stationary start",
            remedy="Let obs_cov be positive definite, or leave out a series that the others determine.",
        ) from error


def reason(error: BaseException) -> str:
    """Return what an error of a filter says, in words: it divides by pivots of obs_cov alone."""
    return "a singular obs_cov that is not diagonal" if isinstance(error, ZeroDivisionError) else str(error)
