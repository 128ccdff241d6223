"""Start values of a dynamic regression: least squares, sizes of W, and what lies beside a maximum."""

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
"""A W that is much too large, and the number of parameters (seven series) from which on it is tried too."""
_AR1 = (0.5, 0.9, 0.98)
_LARGE_AR1, _AR1_FROM_LARGE = 10.0, (0.0, 0.3, 0.6, 0.9)


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
    if len(problem.layout) == 0:
        return np.zeros(0)
    phis = _AR1 if len(problem.layout.block_params("transition")) else (0.0,)
    trials = _trials(problem, exog, noisy, _SIZES, phis)
    return max(trials, key=problem.value)


def large_starts(problem: EstimationProblem, exog: Array, noisy: IntArray) -> list[Array]:
    """
    Return starts of large W, for autoregressive coefficients, a W with zeros or of many series; else none.

    Such likelihoods have several maxima. Coming from a W that is too large, more of the directions in which
    W may stay away from zero are still open. (A barrier comes from there anyway.)
    """
    moving = len(problem.layout.block_params("transition")) > 0
    structure = problem.layout.structures.get("state_cov")
    patterned = isinstance(structure, Chordal) and not isinstance(structure, Unstructured)
    if not (moving or patterned):
        many = isinstance(structure, Unstructured) and len(structure.param_names) >= _MANY
        return _trials(problem, exog, noisy, (_LARGE,), (0.0,)) if many else []
    if moving:
        return _trials(problem, exog, noisy, (_LARGE_AR1,), _AR1_FROM_LARGE)
    return _trials(problem, exog, noisy, (_SIZES[-1],), (0.0,))


def _trials(
    problem: EstimationProblem,
    exog: Array,
    noisy: IntArray,
    sizes: tuple[float, ...],
    phis: tuple[float, ...],
) -> list[Array]:
    """Return a start for each size of W and each autoregressive coefficient."""
    layout = problem.layout
    residual_cov, squared_se = _least_squares(
        problem.smoother.endog, exog, getattr(problem.smoother, "scale", None)
    )
    variances = np.diag(residual_cov)
    params = covariance_near(problem, "obs_cov", np.zeros(len(layout)), residual_cov, 0.1 * variances)
    params = _with_factors(problem, "obs", params, residual_cov)
    trials = []
    for size, phi in itertools.product(sizes, phis):
        steps = size * squared_se.ravel()[noisy]
        trial = covariance_near(problem, "state_cov", params, np.diag(steps), steps)
        trial = _with_factors(problem, "state", trial, np.diag(steps) + np.sqrt(np.outer(steps, steps)))
        trial[layout.block_params("transition")] = phi
        if not layout.blocks["proportion"].is_fixed:
            typical = float(np.mean(steps)) / float(np.mean(variances))
            trial[layout.block_params("proportion")] = typical
        trials.append(trial)
    return trials


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


def squared_errors(endog: Array, exog: Array) -> Array:
    """Return the squared standard errors of static coefficients, regressor by regressor, (m * p,)."""
    return _least_squares(endog, exog)[1].ravel()


def _least_squares(endog: Array, exog: Array, scale: Array | None = None) -> tuple[Array, Array]:
    """
    Return the residual covariance and the squared standard errors (m, p), each series on its own rows.

    The covariance is that of residuals divided by a scale.
    """
    n, p = endog.shape
    residuals, squared = np.full((n, p), np.nan), np.zeros((exog.shape[1], p))
    for i in range(p):
        seen = ~np.isnan(endog[:, i])
        inverse = np.linalg.pinv(exog[seen].T @ exog[seen])
        residuals[seen, i] = endog[seen, i] - exog[seen] @ (inverse @ exog[seen].T @ endog[seen, i])
        variance = np.sum(residuals[seen, i] ** 2) / max(seen.sum() - exog.shape[1], 1)
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
    """Return parameters with autoregressive coefficients inside the unit circle."""
    block = problem.layout.blocks["transition"]
    if block.is_fixed:
        return params
    out, places = np.array(params), problem.layout.block_params("transition")
    out[places] = np.clip(out[places], -0.98, 0.98)
    return out


_PHI = np.array([-0.999, -0.95, -0.8, -0.5, -0.2, 0.2, 0.5, 0.8, 0.95, 0.999])
_SIZE = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
_WITHIN = 6.0
"""A peak that is lower than the maximum by more than this, all else as it is, is not followed."""


def autoregressive_local_maxima(
    problem: EstimationProblem, params: Array, exog: Array, noisy: IntArray
) -> list[Array]:
    """
    Return points from which a gradient method may reach a higher maximum, those of high likelihood first.

    For b_t = phi b_{t-1} + e_t with Var(e_t) = w, the likelihood tends to have several maxima over phi and
    the stationary variance w / (1 - phi^2): noise, slow movement and alternation may each explain a series.
    The points are the peaks on a grid of the two, for each coefficient in turn: its e_t uncorrelated with the
    others, since a correlation that suits one phi hides another, and all else held.

    Parameters
    ----------
    problem : EstimationProblem
        The problem, of a model with a diagonal "transition" whose rows are those of "state_cov".
    params : ndarray
        Free parameters at a maximum.
    exog : ndarray, (nobs, m)
        Regressors.
    noisy : ndarray of int, (q,)
        The level that each disturbance moves; the squared standard error of a static one is the unit of
        stationary variances.
    """
    unit = squared_errors(problem.smoother.endog, exog)[noisy]
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
    """Return parameters with a coefficient and the stationary variances of its rows, without correlations."""
    cov = problem.layout.matrices(params)["state_cov"]
    cov[rows, :] = cov[:, rows] = 0.0
    cov[rows, rows] = variances * (1.0 - phi**2)
    out = problem.layout.project({"state_cov": cov}, params)
    out[place] = phi
    return out


def series_by_series(endog: Array, exog: Array) -> tuple[Array, Array]:
    """
    Return least-squares coefficients (m, p) and residuals (n, p), each series on the rows it has.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series, NaN where missing.
    exog : ndarray, (n, m)
        Regressors.
    """
    coefficients = np.empty((exog.shape[1], endog.shape[1]))
    residuals = np.full(endog.shape, np.nan)
    for i in range(endog.shape[1]):
        seen = ~np.isnan(endog[:, i])
        coefficients[:, i] = np.linalg.lstsq(exog[seen], endog[seen, i], rcond=None)[0]
        residuals[seen, i] = endog[seen, i] - exog[seen] @ coefficients[:, i]
    return coefficients, residuals
