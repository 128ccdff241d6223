"""Start values: an M-step on principal components, random start values, and interior start values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse.linalg

from ..em.regressions import Moments
from ..em.updates import OBSERVATION, STATE, LinearGaussianUpdates
from ..engine.smoother import observation_sums, state_sums, without_uncertainty
from ..numerics.linear_algebra import (
    Array,
    by_diagonal,
    companion,
    diagonal_matrix,
    is_positive_definite,
    lower_triangular_rotation,
    spectral_radius,
    typical,
)
from ..params.affine import AffineMatrix
from .degenerate import lifted
from .problem import EstimationProblem

_LARGEST_ROOT = 0.98
_NOISE_SHARE = 0.25
"""Smallest initial share of noise in the variation of a series or in the changes of a factor."""
_LEAST_NOISE = 1e-6
"""Smallest variation relative to the variance of a series. It applies to an exact trend, for example."""
_SINGULAR = 1e-3
"""Smallest eigenvalue of initial correlations: principal components leave no residual in their directions."""
_FILLING_ROUNDS = 20
_AUTOCOVARIANCES = 2
"""Number of autocovariances that determine the predictable components."""


def start_values(problem: EstimationProblem, predictable: bool = False) -> Array:
    """
    Return start values of the free parameters.

    If the design is fixed, the factors are least-squares scores. Otherwise they are principal components of
    the series, with missing values filled in. If there are more factors than series, lags of the series are
    added. The M-step then treats the factors as observed, and estimates every block subject to the
    constraints of the layout.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    predictable : bool
        Whether the components come from the autocovariances of the series instead of the covariances.
    """
    layout = problem.layout
    y = fill_missing(problem.smoother.endog)
    params = _neutral(problem, y)
    factors = _unit_noise(problem, _factors(problem, y, params, predictable))
    structure = problem.updates.structure
    updates = LinearGaussianUpdates(layout, replace(structure, stationary=structure.stationary[:0]))
    moments = _as_observed(problem, y, factors, params)
    if any(not layout.blocks[key].is_fixed for key in OBSERVATION):
        params, moments = updates.observation_coefficients(params, moments)
    variation = np.minimum(np.var(y, axis=0), np.var(np.diff(y, axis=0), axis=0) if len(y) > 2 else np.inf)
    if not problem.system(params).diffuse:  # a diffuse initial state stays uncertain
        variation = np.maximum(variation, _LEAST_NOISE * np.var(y, axis=0))
    noise = np.maximum(np.diag(moments.observation.mean), _NOISE_SHARE * variation)
    params = covariance_near(problem, "obs_cov", params, moments.observation.mean, noise)
    if any(not layout.blocks[key].is_fixed for key in STATE):
        params, moments = updates.state_coefficients(params, moments)
    params = stabilised(problem, params)
    steps = np.diag(moments.state.mean)
    share = _NOISE_SHARE if layout.blocks["design"].is_fixed else 1.0
    least = 1e-4 * max(float(np.max(steps, initial=0.0)), 1e-8)
    params = covariance_near(
        problem, "state_cov", params, share * moments.state.mean, np.maximum(share * steps, least)
    )
    return _initial(problem, params, factors)


def fill_missing(endog: Array) -> Array:
    """Replace missing values by their least-squares fit on one principal component."""
    missing = np.isnan(endog)
    if not missing.any():
        return endog
    index = np.arange(len(endog), dtype=float)
    filled = np.array(endog)
    for j in range(endog.shape[1]):
        seen = ~missing[:, j]
        filled[:, j] = np.interp(index, index[seen], endog[seen, j]) if seen.any() else 0.0
    if endog.shape[1] < 3:
        return filled
    for _ in range(_FILLING_ROUNDS):
        mean, scale = filled.mean(axis=0), filled.std(axis=0) + 1e-300
        standard = (filled - mean) / scale
        left = _leading(standard, 1)
        fit = mean + scale * (left @ (left.T @ standard))
        filled = np.where(missing, fit, endog)
    return filled


def _leading(matrix: Array, count: int) -> Array:
    """Return the first left singular vectors of a matrix; of a large one, by Lanczos iterations."""
    if count < min(matrix.shape) / 10:
        first = np.ones(min(matrix.shape))
        left: Array = scipy.sparse.linalg.svds(matrix, count, v0=first)[0]
        return left[:, ::-1]
    return np.linalg.svd(matrix, full_matrices=False)[0][:, :count]


def _neutral(problem: EstimationProblem, y: Array) -> Array:
    """Return parameters with zero coefficients, and diagonal covariances on the scale of the data."""
    layout = problem.layout
    k = layout.blocks["state_cov"].shape[0]
    sizes = {
        "obs_cov": np.var(y, axis=0) + 1e-12,
        "state_cov": np.ones(k),
        "initial_state_cov": np.ones(layout.blocks["initial_state_cov"].shape[0]),
    }
    params = np.zeros(len(layout))
    for key, size in sizes.items():
        params = covariance_near(problem, key, params, diagonal_matrix(size), size)
    return params


def _factors(problem: EstimationProblem, y: Array, params: Array, predictable: bool) -> Array:
    """
    Return (nobs, k) factor scores.

    The scores of states that are lags of other states are lagged scores. Other states with free loadings have
    rotated principal components. States with only fixed loadings have least-squares scores of the residuals.
    """
    layout = problem.layout
    block = layout.blocks["design"]
    p, k = block.shape
    fixed = typical(block.fixed)
    if block.is_fixed:
        intercept = layout.matrices(params)["obs_intercept"]
        centred = y - (intercept[:, 0] if intercept.ndim == 2 else intercept[:, 0].T)
        if not layout.blocks["obs_intercept"].is_fixed and p > 1:
            centred = centred - (centred.mean(axis=0) - centred.mean())
        return centred @ np.linalg.pinv(fixed).T
    source, lag = _lags_of_states(problem)
    sums, free = np.zeros((p, k)), np.zeros((p, k), bool)
    np.add.at(sums.T, source, fixed.T)
    free[block.rows, source[block.columns]] = True
    common = free.any(axis=0)
    specific = ~common & (lag == 0) & np.any(sums, axis=0)
    scores = np.zeros((len(y), k))
    centred = y - y.mean(axis=0)
    scores[:, common] = _components(y, int(common.sum()), predictable)
    loadings = np.linalg.lstsq(scores[:, common], centred, rcond=None)[0].T
    left = centred - scores[:, common] @ loadings.T
    scores[:, specific] = left @ np.linalg.pinv(sums[:, specific]).T
    rotation = _rotation(loadings, sums[:, common], free[:, common])
    scores[:, common] = scores[:, common] @ np.linalg.inv(rotation).T
    return scores[np.maximum(np.arange(len(y))[:, None] - lag, 0), source]


def _components(y: Array, count: int, predictable: bool) -> Array:
    """
    Return principal components of the series. Add lags of the series if ``count`` exceeds their number.

    Predictable components are the leading eigenvectors of sum_l C_l C_l', where C_l are autocovariances.
    Serially uncorrelated errors do not contribute to these (Lam & Yao, 2012).
    """
    scale = np.std(y, axis=0)
    standard = (y - y.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    if predictable and count < y.shape[1] and len(y) > _AUTOCOVARIANCES:
        lags = range(1, _AUTOCOVARIANCES + 1)
        # the vectors are in the span of the rows, whose number may be smaller than that of the series
        basis = np.linalg.qr(standard.T)[0] if y.shape[1] > len(y) else None
        rows = standard if basis is None else standard @ basis
        each = [rows[lag:].T @ rows[:-lag] for lag in lags]
        vectors = np.linalg.eigh(sum(C @ C.T for C in each))[1]
        return rows @ vectors[:, : -count - 1 : -1]
    stacked = [standard]
    while sum(part.shape[1] for part in stacked) < count:
        lagged = np.roll(stacked[-1], 1, axis=0)
        lagged[0] = lagged[min(1, len(lagged) - 1)]
        stacked.append(lagged)
    left = _leading(np.concatenate(stacked, axis=1), count)
    out = np.zeros((len(y), count))
    out[:, : left.shape[1]] = left * np.sqrt(len(y))
    return out


def _lags_of_states(problem: EstimationProblem) -> tuple[Array, Array]:
    """Return, for each state, the state of which its fixed row makes it a lag, and the lag."""
    blocks = problem.layout.blocks
    transition, cov = blocks["transition"], blocks["state_cov"]
    k = cov.shape[0]
    source, lag = np.arange(k), np.zeros(k, dtype=np.intp)
    if transition.time_varying or cov.time_varying:
        return source, lag
    still = ~np.any(cov.fixed, axis=1)
    still[np.concatenate([transition.rows, cov.rows])] = False
    T = transition.fixed
    copies = still & (np.count_nonzero(T, axis=1) == 1) & (T[:, :k].max(axis=1) == 1.0) & (np.diag(T) == 0.0)
    before = {int(i): int(np.argmax(T[i])) for i in np.flatnonzero(copies)}
    for i in before:
        at, steps = i, 0
        while at in before and steps <= k:
            at, steps = before[at], steps + 1
        if steps <= k:  # otherwise it is a cycle of states without noise
            source[i], lag[i] = at, steps
    return source, lag


def _rotation(loadings: Array, fixed: Array, free: Array) -> Array:
    """Return a nonsingular G for which loadings @ G is close to the fixed elements of the design."""
    k = loadings.shape[1]
    if np.array_equal(free, np.tri(*free.shape, dtype=bool)) and not np.any(fixed[~free]):
        return lower_triangular_rotation(loadings)
    rotation = np.eye(k)
    for j in range(k):
        rows = ~free[:, j]
        if not rows.any():
            continue
        if np.any(fixed[rows, j]):
            rotation[:, j] = np.linalg.lstsq(loadings[rows], fixed[rows, j], rcond=None)[0]
        elif rows.sum() < len(loadings):
            rotation[:, j] = np.linalg.svd(loadings[rows])[2][-1]
    return rotation if np.linalg.cond(rotation) < 1e6 else np.eye(k)


def _unit_noise(problem: EstimationProblem, factors: Array) -> Array:
    """Rescale factors to their innovation variances if these are fixed and the loadings are free."""
    cov, design = problem.layout.blocks["state_cov"], problem.layout.blocks["design"]
    if design.is_fixed or len(factors) < 2:
        return factors
    fixed = np.diag(typical(cov.fixed))
    held = (fixed > 0) & ~np.isin(np.arange(len(fixed)), cov.rows)
    held &= ~np.any(typical(design.fixed), axis=0)
    fit = np.linalg.lstsq(factors[:-1], factors[1:], rcond=None)[0]
    noise = np.var(factors[1:] - factors[:-1] @ fit, axis=0)
    good = (noise > 0) & held
    return factors * np.sqrt(np.where(good, fixed, 1.0) / np.where(good, noise, 1.0))


def _as_observed(problem: EstimationProblem, y: Array, factors: Array, params: Array) -> Moments:
    """Return moments that treat the factors as observed states."""
    lags, n = problem.updates.lags, len(y)
    states = np.concatenate([factors[np.maximum(np.arange(n) - lag, 0)] for lag in range(lags)], axis=1).T
    system, exact = problem.system(params), without_uncertainty(states)
    observation = observation_sums(y, problem.smoother.exog, system, exact)
    return exact.moments(0.0, observation, state_sums(problem.smoother.state_exog, system, exact))


def covariance_near(
    problem: EstimationProblem, key: str, params: Array, target: Array, least: Array
) -> Array:
    """Set a covariance block close to a target, with variances of at least ``least``."""
    block = problem.layout.blocks[key]
    if block.is_fixed:
        return params
    goal = target + diagonal_matrix(np.maximum(least - np.diag(target), 0.0))
    if not block.is_diagonal:
        sizes = np.sqrt(np.diag(goal)) + 1e-300
        if np.linalg.eigvalsh(goal / sizes / sizes[:, None])[0] < _SINGULAR:  # EM cannot leave it
            goal = (1.0 - _NOISE_SHARE) * goal + _NOISE_SHARE * np.diag(np.diag(goal))
    estimate = None if block.moves else problem.layout.recognised[key].estimate(goal)
    if estimate is not None:
        out = np.array(params)
        out[problem.layout.block_params(key)] = estimate
        return out
    out = problem.layout.project({key: np.diag(np.diag(goal))}, params)
    size = float(np.max(np.abs(np.diag(goal)), initial=1.0))
    while not _all_regular(block, problem.layout.matrix(key, out)) and size < 1e12 * (
        1.0 + np.max(np.abs(goal))
    ):
        size *= 2.0
        out = problem.layout.project({key: size * np.eye(len(goal))}, out)
    return out


def _all_regular(block: AffineMatrix, values: Array) -> bool:
    """Return whether the covariance matrices of all regimes are positive definite where they are not zero."""
    for _, cov in block.by_regime(values):
        active = np.diag(cov) != 0
        if not is_positive_definite(cov[np.ix_(active, active)]):
            return False
    return True


def stabilised(problem: EstimationProblem, params: Array) -> Array:
    """Scale A_l by rho**l, so that a stationary start exists if the model needs one."""
    layout = problem.layout
    kept = problem.updates.structure.stationary
    if len(kept) == 0 or layout.blocks["transition"].is_fixed:
        return params
    lags, out = problem.updates.lags, params
    for _ in range(60):
        transition = layout.matrices(out)["transition"]
        radius = spectral_radius(companion(transition)[np.ix_(kept, kept)])
        if radius <= _LARGEST_ROOT:
            return out
        k = len(transition)
        powers = np.repeat((_LARGEST_ROOT / radius * 0.999) ** np.arange(1, lags + 1), k)
        out = layout.project({"transition": transition * powers}, out)
    return out


def _initial(problem: EstimationProblem, params: Array, factors: Array) -> Array:
    """Set a free initial state to the first values of the factors."""
    layout, lags = problem.layout, problem.updates.lags
    if not layout.blocks["initial_state"].is_fixed:
        params = layout.project({"initial_state": np.tile(factors[0], lags)[:, None]}, params)
    size = np.tile(np.var(factors, axis=0) + 1e-8, lags)
    return covariance_near(problem, "initial_state_cov", params, np.diag(size), size)


_TRIES = 30
_ZERO = 1e-6
_INSIDE = 0.1


def random_start(problem: EstimationProblem, around: Array, rng: np.random.Generator) -> Array:
    """Return random start values around given ones: shifted coefficients and rescaled variances."""
    layout = problem.layout
    centre = layout.unconstrain(around)
    in_cov = np.zeros(len(centre), bool)
    for structure in layout.structures.values():
        in_cov[layout.positions(structure.param_names)] = True
    level = np.abs(centre).copy()
    for key, block in layout.blocks.items():
        if key not in layout.covariances and not block.is_fixed:
            places = layout.block_params(key)
            level[places] = np.maximum(level[places], np.sqrt(np.mean(centre[places] ** 2)) + 1e-3)
    spread = 1.0
    for _ in range(_TRIES):
        draw = rng.standard_normal(len(centre))
        moved = np.where(in_cov, centre * np.exp(0.5 * spread * draw), centre + spread * level * draw)
        trial = problem.model.stabilised(problem, layout.constrain(moved))
        if np.isfinite(problem.value(trial)):
            return trial
        spread *= 0.7
    return around


def inside(problem: EstimationProblem, start_params: Array) -> Array:
    """
    Return start values with nonsingular free covariance matrices.

    A gradient method cannot leave a singular covariance matrix, since the derivative with respect to the
    unconstrained parameters is zero. If the likelihood increases away from it, one tenth of it is replaced by
    the default start values.
    """
    layout, out = problem.layout, np.array(start_params)
    singular = singular_blocks(problem, start_params)
    if not singular or lifted(problem, start_params) is None:
        return out
    default = problem.model.default_start(problem)
    for key in singular:
        places = layout.block_params(key)
        out[places] = (1.0 - _INSIDE) * out[places] + _INSIDE * default[places]
    return out if np.isfinite(problem.value(out)) else start_params


def singular_blocks(problem: EstimationProblem, params: Array) -> list[str]:
    """Return the free covariance matrices that are singular or nearly singular, relative to the data."""
    layout = problem.layout
    matrices, sizes = layout.matrices(params), problem.model.variance_sizes(problem.full(params))
    return [
        key for key in layout.structures if _is_singular(layout.blocks[key], matrices[key], sizes.get(key))
    ]


def _is_singular(block: AffineMatrix, cov: Array, size: Array | None) -> bool:
    for one, sigma in block.by_regime(cov):
        if one.is_fixed:
            continue
        rows = np.unique(one.rows)
        variance = np.diag(sigma)[rows]
        if np.any(variance <= _ZERO * (size[rows] if size is not None else np.max(variance))):
            return True
        scale = np.sqrt(variance)
        if by_diagonal(sigma):
            continue
        if np.linalg.eigvalsh(sigma[np.ix_(rows, rows)] / scale[:, None] / scale)[0] < _ZERO:
            return True
    return False
