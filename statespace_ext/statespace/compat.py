"""The only file that knows a statsmodels version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import statsmodels
from statsmodels.tsa.statespace.kalman_filter import SOLVE_CHOLESKY, KalmanFilter

from ..exceptions import ParameterError, UnsupportedError
from ..numerics.linear_algebra import Array

VERSION = tuple(int(part) for part in statsmodels.__version__.split(".")[:2])


_SMALLEST_VARIANCE = 1e-6
_LARGEST_ERROR = 1e-4
_ROUNDING = 1e-14
_PERIODS_AFTER = 40


def without_absolute_tolerances(ssm: KalmanFilter) -> None:
    """
    Make a filter independent of the units of the data.

    By default it stops to update covariances that change by less than 1e-19, and it skips a single observed
    series with a forecast variance below 1e-12, without an error: both are sizes, not shares.
    """
    ssm.tolerance = 0.0
    ssm.inversion_method = SOLVE_CHOLESKY


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


def univariate_is_wrong() -> bool:
    """Tell whether the univariate filter is wrong about partly missing rows beside a full ``obs_cov``."""
    return VERSION < (0, 15)


def require_factorable(obs_cov: Array) -> None:
    """
    Refuse a zero pivot of an H that is not diagonal, before statsmodels 0.15.0, with an exact-diffuse start.

    Its factorisation H = L D L' then divides by zero in compiled code, which can end the process.

    Parameters
    ----------
    obs_cov : ndarray, (p, p) or (p, p, nobs)
        H.

    Raises
    ------
    ParameterError
        If the installed statsmodels cannot factorise H.
    """
    if VERSION >= (0, 15) or not np.any(obs_cov[~np.eye(len(obs_cov), dtype=bool)]):
        return
    each = obs_cov[None] if obs_cov.ndim == 2 else np.moveaxis(obs_cov, 2, 0)
    if any(_has_zero_pivot(H) for H in each):
        raise ParameterError(
            "statsmodels before 0.15.0 fails on an exact-diffuse start with a singular obs_cov that is not "
            "diagonal",
            got=f"statsmodels {statsmodels.__version__}",
            remedy='Install statsmodels>=0.15.0, or use initialization="approximate_diffuse".',
        )


def _has_zero_pivot(H: Array) -> bool:
    """Tell whether elimination meets a zero before the last row, in the order of statsmodels."""
    rows, pivots = np.array(H), np.zeros(len(H))
    for j in range(len(H)):
        left = rows[j, :j] * pivots[:j]
        pivots[j] = rows[j, j]
        for i in range(j):
            pivots[j] -= rows[j, i] * left[i]
        if pivots[j] == 0.0 and rows[j, j] > 0.0 and j < len(H) - 1:
            return True
        if pivots[j] != 0.0:
            rows[j + 1 :, j] = (rows[j + 1 :, j] - rows[j + 1 :, :j] @ left) / pivots[j]
    return False


@contextmanager
def simulation_seed(rng: object) -> Iterator[dict[str, object]]:
    """
    Yield the keyword under which the installed statsmodels takes a seed for simulation.

    Before 0.15.0 the initial state comes from numpy's global generator whatever the seed: that one is
    seeded meanwhile, and put back.
    """
    if rng is None:
        yield {}
    elif VERSION >= (0, 15):
        yield {"rng": rng}
    else:
        generator = np.random.default_rng(rng)  # type: ignore[arg-type]
        state = np.random.get_state()
        np.random.seed(int(generator.integers(2**32)))
        try:
            yield {"random_state": generator}
        finally:
            np.random.set_state(state)


def require_diffuse_regressors(endog: Array, exog: Array, correlated: bool) -> None:
    """
    Refuse regressors with which statsmodels' exact-diffuse filter loses its digits.

    It takes a diffuse forecast variance below 1e-10 for zero. Rows of regressors that are small, or nearly
    collinear in the first periods, are below it; what rounding leaves of rows that are exactly collinear is
    above it where they are large. Either is a wrong log-likelihood without an error. Here the filter's
    log-likelihood of constant coefficients is compared with that of least squares, by pattern of missing
    values, over the periods until the diffuse ones have passed; the diffuse variances do not depend on the
    parameters.

    Parameters
    ----------
    endog : ndarray, (nobs, k_endog)
        Observations, NaN where missing.
    exog : ndarray, (nobs, m)
        Regressors.
    correlated : bool
        Whether ``obs_cov`` can be other than diagonal.

    Raises
    ------
    UnsupportedError
        If the log-likelihoods differ.
    """
    patterns, first = np.unique(np.isnan(endog), axis=1, return_index=True)
    for missing, j in zip(patterns.T, first.tolist(), strict=True):
        y, X = endog[~missing, j], exog[~missing]
        k = 2 * X.shape[1] + _PERIODS_AFTER
        while k < len(X) and np.linalg.matrix_rank(X[: k - _PERIODS_AFTER]) < X.shape[1]:
            k *= 2
        error = _diffuse_error(y[:k], X[:k], 0.5 if correlated else 0.0)
        if not error < _LARGEST_ERROR:
            raise UnsupportedError(
                "statsmodels' exact-diffuse filter loses its digits with these regressors: they are too "
                "small or too large, or too nearly collinear in the first periods",
                got=f"sizes {np.max(np.abs(X), axis=0).tolist()}, a log-likelihood off by {error:.2g}",
                expected="regressors of order one, clearly different in the first periods",
                remedy="Multiply or divide columns of exog by a power of ten (percent, decimals), leave out "
                'first periods, or use initialization="approximate_diffuse".',
            )


def _diffuse_error(y: Array, X: Array, correlation: float) -> float:
    """Return by how much the filter is wrong about (y_t, y_{t-1}) = B' x_t + e_t with B diffuse."""
    n, m = X.shape
    q, r = np.linalg.qr(X)
    pivots = np.abs(np.diag(r))
    if n <= m or np.min(pivots) <= _ROUNDING * np.max(pivots):
        return 0.0  # no least squares: other checks have to do with it
    residual = y - q @ (q.T @ y)
    size = np.sqrt(np.sum(residual**2) / (n - m))
    if not size > _ROUNDING * np.max(np.abs(y)):
        return 0.0
    pair = np.column_stack([y, np.roll(y, 1)]) / size
    residuals = pair - q @ (q.T @ pair)
    cov = np.array([[1.0, correlation], [correlation, 1.0]])
    expected = -0.5 * (
        2 * n * np.log(2.0 * np.pi)
        + 4.0 * np.sum(np.log(pivots))
        + (n - m) * np.log(1.0 - correlation**2)
        + np.sum(np.linalg.solve(cov, residuals.T) * residuals.T)
    )
    kfilter = KalmanFilter(2, 2 * m, transition=np.eye(2 * m), obs_cov=cov, initialization="diffuse")
    kfilter.bind(pair.copy())
    kfilter["design"] = np.asfortranarray(np.einsum("tj,ik->ijkt", X, np.eye(2)).reshape(2, 2 * m, n))
    return abs(float(kfilter.loglike()) - float(expected))
