"""Start values of a dynamic regression: least squares, and the best of a few sizes of W."""

from __future__ import annotations

import itertools

import numpy as np

from ..numerics.linear_algebra import Array
from ..params.affine import IntArray
from .problem import EstimationProblem
from .start_values import covariance_near

_SIZES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_AR1 = (0.5, 0.9, 0.98)


def regression_start(problem: EstimationProblem, exog: Array, noisy: IntArray) -> Array:
    """
    Return start values of the free parameters.

    V is that of least squares. Each W is diagonal, a share of the squared standard errors of the
    coefficients; of a few shares, the one with the highest log-likelihood.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    exog : ndarray, (nobs, m)
        Regressors.
    noisy : ndarray of int, (q,)
        The level (regressor by regressor, series by series) that each disturbance moves.
    """
    layout = problem.layout
    if len(layout) == 0:
        return np.zeros(0)
    residual_cov, squared_se = _least_squares(problem.smoother.endog, exog)
    variances = np.diag(residual_cov)
    params = covariance_near(problem, "obs_cov", np.zeros(len(layout)), residual_cov, 0.1 * variances)
    params = _with_factors(problem, "obs", params, residual_cov)
    moving = layout.block_params("transition")
    trials = []
    for size, phi in itertools.product(_SIZES, _AR1 if len(moving) else (0.0,)):
        steps = size * squared_se.ravel()[noisy]
        trial = covariance_near(problem, "state_cov", params, np.diag(steps), steps)
        trial = _with_factors(problem, "state", trial, np.diag(steps) + np.sqrt(np.outer(steps, steps)))
        trial[moving] = phi
        if not layout.blocks["proportion"].is_fixed:
            typical = float(np.mean(steps)) / float(np.mean(variances))
            trial[layout.block_params("proportion")] = typical
        trials.append((problem.value(trial), trial))
    return max(trials, key=lambda pair: pair[0])[1]


def _with_factors(problem: EstimationProblem, key: str, params: Array, cov: Array) -> Array:
    """Return parameters with loadings that explain half of a covariance matrix, and the rest specific."""
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


def _least_squares(endog: Array, exog: Array) -> tuple[Array, Array]:
    """Return the residual covariance and the squared standard errors (m, p), each series on its own rows."""
    n, p = endog.shape
    residuals, squared = np.full((n, p), np.nan), np.zeros((exog.shape[1], p))
    for i in range(p):
        seen = ~np.isnan(endog[:, i])
        inverse = np.linalg.pinv(exog[seen].T @ exog[seen])
        residuals[seen, i] = endog[seen, i] - exog[seen] @ (inverse @ exog[seen].T @ endog[seen, i])
        variance = np.sum(residuals[seen, i] ** 2) / max(seen.sum() - exog.shape[1], 1)
        squared[:, i] = variance * np.diag(inverse)
    filled = np.where(np.isnan(residuals), 0.0, residuals)
    seen_both = (~np.isnan(residuals)).astype(float)
    count = np.maximum(seen_both.T @ seen_both, 1.0)
    cov = filled.T @ filled / count
    values = np.linalg.eigvalsh(cov)
    if values[0] <= 1e-8 * values[-1]:
        cov = 0.5 * (cov + np.diag(np.diag(cov)))
    return cov, squared


def shrunk_autoregression(problem: EstimationProblem, params: Array) -> Array:
    """Return parameters with autoregressive coefficients inside the unit circle."""
    block = problem.layout.blocks["transition"]
    if block.is_fixed:
        return params
    out, places = np.array(params), problem.layout.block_params("transition")
    out[places] = np.clip(out[places], -0.98, 0.98)
    return out
