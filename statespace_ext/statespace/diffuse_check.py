"""Whether statsmodels' exact-diffuse filter keeps its digits: generalised least squares on the first rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array
from .system import MATRICES, System, write

_ROWS, _ROWS_AFTER = (1, 2, 3, 4, 6, 8, 12, 16, 24), 2
_LARGEST_ERROR = 1e-5
_FULL_RANK = 1e-12


def require_digits(endog: Array, system: System) -> None:
    """
    Refuse a system of whose exact-diffuse log-likelihood statsmodels' filter loses the digits.

    The filter takes series one by one, and divides by the diffuse variance that those before leave. Where
    rows of the design are nearly dependent, as loadings of neighbouring maturities are, that is rounding.

    Parameters
    ----------
    endog : ndarray, (nobs, k_endog)
        Observations, NaN where missing.
    system : System
        With ``start="diffuse"``; others pass.

    Raises
    ------
    UnsupportedError
        If the log-likelihood of the first rows is not that of generalised least squares.
    """
    if system.start != "diffuse":
        return
    rows = next((rows for rows in _ROWS if _least_squares(endog[:rows], system) is not None), None)
    expected = None if rows is None else _least_squares(endog[: rows + _ROWS_AFTER], system)
    if rows is None or expected is None:
        return  # diffuse for long, or a singular covariance: least squares says nothing
    rows = min(rows + _ROWS_AFTER, len(endog))
    error = abs(_filtered(endog[:rows], system) - expected)
    if not error < _LARGEST_ERROR:
        raise UnsupportedError(
            "statsmodels' exact-diffuse filter loses its digits here: rows of the design are nearly "
            "dependent",
            got=f"a log-likelihood off by {error:.2g} after {rows} rows",
            remedy="Use a proper start by the argument initialization, or put series first whose rows of the "
            "design differ.",
        )


def _first(system: System, rows: int) -> System:
    cut = {name: getattr(system, name) for name in MATRICES}
    return replace(
        system,
        **{
            name: value[..., :rows] if value.ndim == (2 if name.endswith("intercept") else 3) else value
            for name, value in cut.items()
        },
    )


def _filtered(endog: Array, system: System) -> float:
    ssm = KalmanSmoother(endog.shape[1], system.k_states, system.selection.shape[1], tolerance=0.0)
    ssm.bind(endog.T.copy(order="F"))
    write(ssm, _first(system, len(endog)), solved=True)
    return float(ssm.loglike())


def _least_squares(endog: Array, system: System) -> float | None:
    """Return the log-likelihood of y = mean + D x_1 + error, x_1 diffuse; None where D has no full rank."""
    k, n = system.k_states, len(endog)
    seen = ~np.isnan(endog).ravel()
    if seen.sum() < k:
        return None
    mean, D, cov = _joint(system, n, endog.shape[1])
    D, cov, residual = D[seen], cov[np.ix_(seen, seen)], (endog.ravel() - mean)[seen]
    try:
        root = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None
    both = scipy.linalg.solve_triangular(root, np.column_stack([D, residual]), lower=True)
    q, r = np.linalg.qr(both[:, :k])
    pivots = np.abs(np.diag(r))
    if np.min(pivots) <= _FULL_RANK * np.max(pivots):
        return None
    left = both[:, k] - q @ (q.T @ both[:, k])
    logdet = 2.0 * np.sum(np.log(np.diag(root))) + 2.0 * np.sum(np.log(pivots))
    return float(-0.5 * (seen.sum() * np.log(2.0 * np.pi) + logdet + left @ left))


def _joint(system: System, n: int, p: int) -> tuple[Array, Array, Array]:
    """Return mean, design on x_1 and covariance of the stacked observations given x_1."""
    k = system.k_states
    means, maps, covs = [np.zeros(k)], [np.eye(k)], [np.zeros((k, k))]
    at = [{name: _at(getattr(system, name), name, t) for name in MATRICES} for t in range(n)]
    for m in at[:-1]:
        T, noise = m["transition"], m["selection"] @ m["state_cov"] @ m["selection"].T
        means.append(T @ means[-1] + m["state_intercept"])
        maps.append(T @ maps[-1])
        covs.append(T @ covs[-1] @ T.T + noise)
    mean = np.concatenate([m["design"] @ x + m["obs_intercept"] for m, x in zip(at, means, strict=True)])
    D = np.concatenate([m["design"] @ x for m, x in zip(at, maps, strict=True)])
    cov = np.zeros((n, p, n, p))
    for t in range(n):
        between = covs[t]
        for u in range(t, n):
            cov[u, :, t] = at[u]["design"] @ between @ at[t]["design"].T
            cov[t, :, u] = cov[u, :, t].T
            between = at[u]["transition"] @ between
        cov[t, :, t] += at[t]["obs_cov"]
    return mean, D, cov.reshape(n * p, n * p)


def _at(value: Array, name: str, t: int) -> Array:
    return value[..., t] if value.ndim == (2 if name.endswith("intercept") else 3) else value
