"""The only file that knows a statsmodels version."""

from __future__ import annotations

import numpy as np
import statsmodels

from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array

VERSION = tuple(int(part) for part in statsmodels.__version__.split(".")[:2])


_SMALLEST_VARIANCE = 1e-6


def require_exact_diffuse(endog: Array, obs_cov: Array) -> None:
    """
    Refuse what the installed statsmodels gets silently wrong about exact-diffuse starts.

    Every version ignores an observation whose forecast variance is below 1e-10 in a diffuse period, so
    series in very small units are refused. Before 0.15.0 the log-likelihood is wrong where a row is
    partly missing, three or more of its elements are observed, and ``obs_cov`` is not diagonal.

    Parameters
    ----------
    endog : ndarray, (nobs, k_endog)
        Observations, NaN where missing.
    obs_cov : ndarray
        H.

    Raises
    ------
    UnsupportedError
        If the installed statsmodels would return a wrong log-likelihood.
    """
    seen = ~np.isnan(endog)
    counts = seen.sum(axis=0)
    mean = np.where(seen, endog, 0.0).sum(axis=0) / np.maximum(counts, 1)
    variance = np.where(seen, endog - mean, 0.0) ** 2
    smallest = float(np.min(variance.sum(axis=0)[counts > 1] / counts[counts > 1], initial=np.inf))
    if smallest < _SMALLEST_VARIANCE:
        raise UnsupportedError(
            "statsmodels gives a wrong log-likelihood for an exact-diffuse start with values this small",
            got=f"a series with variance {smallest:.2g}",
            expected=f"a variance of at least {_SMALLEST_VARIANCE:g}",
            remedy="Multiply endog by 100 or 1000 (percent, basis points).",
        )
    if VERSION >= (0, 15):
        return
    partly = ~seen.all(axis=1) & (seen.sum(axis=1) > 2)
    between = obs_cov if obs_cov.ndim == 3 else obs_cov[:, :, None]
    if partly.any() and np.any(between[~np.eye(len(between), dtype=bool)]):
        raise UnsupportedError(
            "statsmodels before 0.15.0 gives a wrong log-likelihood for an exact-diffuse start with a "
            "non-diagonal obs_cov and partly missing rows",
            got=f"statsmodels {statsmodels.__version__}, row {int(np.argmax(partly))} partly missing",
            remedy='Install statsmodels>=0.15.0, or use initialization="approximate_diffuse".',
        )


def simulation_seed(rng: object) -> dict[str, object]:
    """Return the keyword under which the installed statsmodels takes a seed for simulation."""
    if rng is None:
        return {}
    return {"rng": rng} if VERSION >= (0, 15) else {"random_state": rng}


def require_diffuse_length(endog: Array, exog: Array) -> None:
    """
    Refuse regressors so nearly collinear at the start that an exact-diffuse filter loses them.

    statsmodels takes a diffuse forecast variance below 1e-10 for zero. It is at least the squared part of
    a row of regressors that the rows before it do not span, relative to their size.

    Raises
    ------
    UnsupportedError
        If such a row is neither spanned to rounding nor clearly outside.
    """
    rows = exog[~np.isnan(endog).all(axis=1)]
    diffuse = np.eye(exog.shape[1])
    for row in rows:
        along = diffuse @ row
        variance = float(row @ along)
        if variance <= 1e-16 * float(row @ row):
            continue
        if variance < 1e-9:
            raise UnsupportedError(
                "Regressors are too small, or too nearly collinear in the first periods, for statsmodels' "
                "exact-diffuse filter",
                got=f"a diffuse variance of {variance:.2g}",
                remedy="Multiply exog by 100 or 1000 (percent, basis points).",
            )
        diffuse = diffuse - np.outer(along, along) / variance
        if np.trace(diffuse) < 1e-12:
            return
