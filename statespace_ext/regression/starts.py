"""Start values of a dynamic regression from least squares, trial sizes of W and other local maxima."""

from __future__ import annotations

import itertools

import numpy as np

from ..fit.problem import EstimationProblem
from ..fit.start_values import covariance_near
from ..numerics.linear_algebra import Array
from ..params.affine import IntArray
from ..params.cholesky import Chordal, Unstructured

_SIZES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_LARGE, _MANY = 100.0, 28
"""Size of a W that is much too large, and the number of parameters from which it is tried (seven series)."""
_AR1 = (0.5, 0.9, 0.98)
_LARGE_AR1, _AR1_FROM_LARGE = 10.0, (0.0, 0.3, 0.6, 0.9)


def regression_start(problem: EstimationProblem, residual_cov: Array, unit: Array) -> Array:
    """
    Return start values of the free parameters.

    V is the residual covariance of least squares. Each W is diagonal and a multiple of the squared standard
    errors of the coefficients. The function tries a few multiples and keeps the one with the highest
    log-likelihood.

    Parameters
    ----------
    problem : EstimationProblem
        The estimation problem.
    residual_cov : ndarray, (p, p)
        Residual covariance of least squares.
    unit : ndarray, (q,)
        Squared standard error of the static coefficient to which each disturbance belongs.
    """
    if len(problem.layout) == 0:
        return np.zeros(0)
    phis = _AR1 if len(problem.layout.block_params("transition")) else (0.0,)
    trials = _trials(problem, residual_cov, unit, _SIZES, phis)
    return max(trials, key=problem.value)


def large_starts(problem: EstimationProblem, residual_cov: Array, unit: Array) -> list[Array]:
    """
    Return start values with a large W if the likelihood tends to have several maxima.

    This happens with autoregressive coefficients, with a W that has zeros, and with many series; otherwise
    the list is empty. From a W that is too large, an optimizer can still reach more of the maxima at which W
    is not singular. (The barrier method already starts from a large W.)
    """
    moving = len(problem.layout.block_params("transition")) > 0
    structure = problem.layout.structures.get("state_cov")
    patterned = isinstance(structure, Chordal) and not isinstance(structure, Unstructured)
    if not (moving or patterned):
        many = isinstance(structure, Unstructured) and len(structure.param_names) >= _MANY
        return _trials(problem, residual_cov, unit, (_LARGE,), (0.0,)) if many else []
    if moving:
        return _trials(problem, residual_cov, unit, (_LARGE_AR1,), _AR1_FROM_LARGE)
    return _trials(problem, residual_cov, unit, (_SIZES[-1],), (0.0,))


def _trials(
    problem: EstimationProblem,
    residual_cov: Array,
    unit: Array,
    sizes: tuple[float, ...],
    phis: tuple[float, ...],
) -> list[Array]:
    """Return one start for each size of W and each autoregressive coefficient."""
    layout = problem.layout
    variances = np.diag(residual_cov)
    params = covariance_near(problem, "obs_cov", np.zeros(len(layout)), residual_cov, 0.1 * variances)
    params = _with_factors(problem, "obs", params, residual_cov)
    trials = []
    for size, phi in itertools.product(sizes, phis):
        steps = size * unit
        trial = covariance_near(problem, "state_cov", params, np.diag(steps), steps)
        trial = _with_factors(problem, "state", trial, np.diag(steps) + np.sqrt(np.outer(steps, steps)))
        trial[layout.block_params("transition")] = phi
        if not layout.blocks["proportion"].is_fixed:
            typical = float(np.mean(steps)) / float(np.mean(variances))
            trial[layout.block_params("proportion")] = typical
        trials.append(trial)
    return trials


def _with_factors(problem: EstimationProblem, key: str, params: Array, cov: Array) -> Array:
    """Return parameters whose factors explain half of a covariance matrix; the rest is specific variance."""
    block = problem.layout.blocks[f"{key}_loading"]
    if block.is_fixed:
        return params
    loading, half = np.zeros(block.shape), 0.5 * np.diag(cov)
    for column in range(block.shape[1]):
        rows = np.sort(block.rows[block.columns == column])
        values, vectors = np.linalg.eigh(cov[np.ix_(rows, rows)])
        leading = vectors[:, -1] * np.sign(vectors[:, -1].sum() or 1.0)
        loading[rows, column] = np.sqrt(0.5 * values[-1]) * leading / (1.0 + column)
    return problem.layout.project({f"{key}_loading": loading, f"{key}_cov": np.diag(half)}, params)


def least_squares(endog: Array, regressors: Array, scale: Array | None = None) -> tuple[Array, Array]:
    """
    Return the residual covariance and the squared standard errors (m, p), for each series on its rows.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series; NaN marks a missing value.
    regressors : ndarray, (p, n, m)
        Regressors by series. Those of zeros do not count.
    scale : ndarray, (n, p), optional
        Residuals are divided by it for the covariance.
    """
    n, p = endog.shape
    residuals, squared = np.full((n, p), np.nan), np.zeros((regressors.shape[2], p))
    for i, rows in enumerate(regressors):
        seen = ~np.isnan(endog[:, i])
        X, y = rows[seen], endog[seen, i]
        inverse = np.linalg.pinv(X.T @ X)
        residuals[seen, i] = y - X @ (inverse @ X.T @ y)
        freedom = seen.sum() - int(X.any(axis=0).sum())
        variance = np.sum(residuals[seen, i] ** 2) / max(freedom, 1)
        squared[:, i] = variance * np.diag(inverse)
    residuals = residuals if scale is None else residuals / scale
    filled = np.where(np.isnan(residuals), 0.0, residuals)
    seen_both = (~np.isnan(residuals)).astype(float)
    count = np.maximum(seen_both.T @ seen_both, 1.0)
    cov = filled.T @ filled / count
    values = np.linalg.eigvalsh(cov)
    if values[0] <= 1e-8 * values[-1]:
        cov = 0.5 * (cov + np.diag(np.diag(cov)))
    return cov, squared


def shrunk_autoregression(problem: EstimationProblem, params: Array) -> Array:
    """Return parameters with the autoregressive coefficients moved inside the unit circle."""
    block = problem.layout.blocks["transition"]
    if block.is_fixed:
        return params
    out, places = np.array(params), problem.layout.block_params("transition")
    out[places] = np.clip(out[places], -0.98, 0.98)
    return out


_PHI = np.array([-0.999, -0.95, -0.8, -0.5, -0.2, 0.2, 0.5, 0.8, 0.95, 0.999])
_SIZE = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
_WITHIN = 6.0
"""A local maximum is ignored if it is lower than the maximum by more than this, other parameters equal."""


def autoregressive_local_maxima(problem: EstimationProblem, params: Array, unit: Array) -> list[Array]:
    """
    Return points from which a gradient method may reach a higher maximum, by decreasing likelihood.

    For b_t = phi b_{t-1} + e_t with Var(e_t) = w, the likelihood tends to have several maxima over phi and
    the stationary variance w / (1 - phi^2), because noise, slow movement and alternation may each explain a
    series. The points are the local maxima on a grid of these two numbers, for each coefficient in turn. The
    e_t of the coefficient is taken as uncorrelated with the others, because a correlation that suits one phi
    can hide another. All other parameters are held constant.

    Parameters
    ----------
    problem : EstimationProblem
        The estimation problem. The model has a diagonal "transition" with the same rows as "state_cov".
    params : ndarray
        Free parameters at a maximum.
    unit : ndarray, (q,)
        Squared standard error of the static coefficient to which each disturbance belongs, the unit of
        stationary variances.
    """
    layout, found = problem.layout, []
    lowest = problem.value(params) - _WITHIN
    size = _SIZE if len(layout.block_params("state_cov")) else np.ones(1)
    for place in layout.block_params("transition"):
        rows = layout.blocks["transition"].rows[layout.index["transition"] == place]
        points = [
            _moved(problem, params, place, rows, phi, variance * unit[rows])
            for phi, variance in itertools.product(_PHI, size)
        ]
        values = np.array([problem.value(point) for point in points]).reshape(len(_PHI), len(size))
        for i, j in itertools.product(range(len(_PHI)), range(len(size))):
            around = values[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            if values[i, j] == around.max() and values[i, j] > lowest:
                found.append((values[i, j], points[i * len(size) + j]))
    return [point for _, point in sorted(found, key=lambda pair: -pair[0])]


def _moved(
    problem: EstimationProblem, params: Array, place: int, rows: IntArray, phi: float, variances: Array
) -> Array:
    """Return parameters with a new coefficient and stationary variances of its rows, without correlations."""
    cov = problem.layout.matrices(params)["state_cov"]
    cov[rows, :] = cov[:, rows] = 0.0
    cov[rows, rows] = variances * (1.0 - phi**2)
    out = problem.layout.project({"state_cov": cov}, params)
    out[place] = phi
    return out


def series_by_series(endog: Array, regressors: Array) -> tuple[Array, Array]:
    """
    Return least-squares coefficients (m, p) and residuals (n, p), for each series on its observed rows.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series; NaN marks a missing value.
    regressors : ndarray, (n, m) or (p, n, m)
        Regressors, common or by series.
    """
    coefficients = np.empty((regressors.shape[-1], endog.shape[1]))
    residuals = np.full(endog.shape, np.nan)
    for i in range(endog.shape[1]):
        seen, X = ~np.isnan(endog[:, i]), regressors if regressors.ndim == 2 else regressors[i]
        coefficients[:, i] = np.linalg.lstsq(X[seen], endog[seen, i], rcond=None)[0]
        residuals[seen, i] = endog[seen, i] - X[seen] @ coefficients[:, i]
    return coefficients, residuals
