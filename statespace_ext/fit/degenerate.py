"""Likelihoods without an interior maximum: singular covariance matrices and unbounded likelihoods."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from ..em.driver import DeadEnd
from ..em.regressions import by_group
from ..engine.smoother import over_time
from ..engine.system import System, with_stationary_start
from ..exceptions import shown
from ..numerics.linear_algebra import NOT_HERE, Array, by_diagonal, diagonal_matrix, is_diagonal
from ..params.covariance import Chordal, General, Unstructured
from ..params.layout import ParameterLayout
from .problem import EstimationProblem

_ZERO = 1e-6
_RISING = 1e-4
_LIFT = 1e-2
_END = 1.0 - 1e-6


def lifted(problem: EstimationProblem, params: Array) -> Array | None:
    """
    Return parameters away from a singular covariance matrix if the log-likelihood increases there, or None.

    With respect to square roots and Cholesky factors, the derivative along a null direction v of Sigma is
    always zero. The relevant slope is v' (d log L / d Sigma) v, which is positive if Sigma should grow. In a
    factor with a zero pattern, the derivative is zero wherever a column is zero, and v is zero outside its
    clique. The derivative is also zero at an end of the interval (-1, 1) of a parameter.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    params : ndarray
        Free parameters at which a gradient method stopped.
    """
    layout = problem.layout
    params = layout.constrain(layout.unconstrain(params))  # rounding in EM may give a negative variance
    found = problem.value_and_score(params)
    if found is None:
        return None
    sizes = problem.model.variance_sizes(problem.full(params))
    out = np.array(params)
    for key, structure in layout.structures.items():
        if isinstance(structure, General) or layout.blocks[key].time_varying:
            continue
        cov = layout.matrix(key, params)
        rise = _rise(layout, key, found[1], cov, sizes.get(key, np.full(len(cov), np.max(cov.diagonal()))))
        out = out if rise is None else layout.project({key: cov + rise}, out)
    ends = layout.positions(sorted(layout.bounded))
    inwards = -np.sign(params[ends]) * found[1][ends] * _LIFT
    leaving = ends[(np.abs(params[ends]) > _END) & (inwards > _RISING)]
    out[leaving] *= 1.0 - _LIFT
    return None if np.array_equal(out, params) or not np.isfinite(problem.value(out)) else out


def _rise(layout: ParameterLayout, key: str, score: Array, cov: Array, size: Array) -> Array | None:
    """Return an increase of a block along the null direction with the largest slope, or None."""
    block, structure, index = layout.blocks[key], layout.structures[key], layout.index[key]
    shares = score[index] / np.bincount(index)[index]  # equal ones if a parameter stands in several elements
    if by_diagonal(cov):
        slopes = np.bincount(block.rows, shares, minlength=len(cov))
        near_zero = (slopes != 0.0) & (cov.diagonal() < _ZERO * size)
        slopes = np.where(near_zero, slopes * size, -np.inf)
        rises = (slopes > _RISING) & (np.arange(len(cov)) == slopes.argmax())
        return diagonal_matrix(_LIFT * size * rises) if np.any(rises) else None
    gradient, sds, rows = np.zeros(block.shape), np.sqrt(size), np.unique(block.rows)
    np.add.at(gradient, (block.rows, block.columns), shares)
    if isinstance(structure, Chordal) and not isinstance(structure, Unstructured):
        bases = [np.eye(len(cov))[:, clique] for clique in structure.cliques]
    else:
        values, vectors = np.linalg.eigh(cov[np.ix_(rows, rows)] / sds[rows, None] / sds[rows])
        bases = [np.eye(len(cov))[:, rows] @ vectors[:, values < _ZERO]]
    slope, v = max((_rising(gradient, sds, basis) for basis in bases), key=lambda pair: pair[0])
    return _LIFT * np.outer(v, v) if slope > _RISING else None


def _rising(gradient: Array, sds: Array, basis: Array) -> tuple[float, Array]:
    """Return the largest slope v' (d log L / d Sigma) v for v / sds in the span of a basis, and v."""
    if not basis.shape[1]:
        return 0.0, sds
    slopes, directions = np.linalg.eigh(basis.T @ (gradient * sds[:, None] * sds) @ basis)
    return float(slopes[-1]), sds * (basis @ directions[:, -1])


_NOTHING = 1e-10
"""A forecast variance below this share of the variance of its series counts as zero."""
_INVOLVED = 1e-3
_LITTLE_NEW = 1e-3
"""A singular state_cov is tried if innovations have less than this share of the variance of a factor."""
_NEARLY = 5e-3
"""A search stops only if a singular state_cov is ahead by at most this log-likelihood."""
_EVERY = 10
"""Number of iterations between two trials of a singular state_cov."""
_TRIALS = 3
"""Number of consecutive trials in which a singular state_cov must have the higher log-likelihood."""


class Watch:
    """
    Monitor of the iterations of a search. It raises `DeadEnd` if there is no maximum ahead.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    start_params : ndarray
        Free parameters at which the search starts.
    """

    def __init__(self, problem: EstimationProblem, start_params: Array) -> None:
        self.problem = problem
        self.count = self.trials = 0
        self.by_block = False
        with suppress(*NOT_HERE):
            obs_cov = problem.system(start_params).obs_cov
            self.by_block = np.array_equal(obs_cov, problem.layout.matrix("obs_cov", start_params))
        reason = unbounded(problem, start_params, self.by_block)
        self.last = None if reason else np.array(start_params)

    def __call__(self, params: Array) -> None:
        """Check the parameters of an iteration."""
        self.count += 1
        reason = unbounded(self.problem, params, self.by_block)
        if reason and self.last is not None:
            raise DeadEnd(f"{reason}; the estimates are those of the last iteration before that", self.last)
        if not reason:
            self.last = np.array(params)
        if self.count % _EVERY == 0:
            reason = towards_singular(self.problem, params)
            self.trials = self.trials + 1 if reason else 0
            if self.trials == _TRIALS:
                raise DeadEnd(f"{reason}; the estimates are those of one iteration", np.array(params))


def unbounded(problem: EstimationProblem, params: Array, by_block: bool = False) -> str:
    """
    Return a message if the model fits the data without error, and an empty string otherwise.

    -1/2 log|F_t| is unbounded if an eigenvalue of F_t = Z P_t Z' + H tends to zero while v_t = 0 in its
    direction. This holds for all t if series are linearly dependent or a series has neither V nor W, and for
    t = 1 if a_1 is free and P_1 = 0. F_t is at least Z R Q R' Z' + H. A pass of the smoother is needed only
    if that lower bound is singular.

    Parameters
    ----------
    problem : EstimationProblem
        The model.
    params : ndarray
        Free parameters.
    by_block : bool
        Whether ``obs_cov`` is the block of that name. If this is regular, no system is needed.
    """
    size = problem.deviations
    try:
        if by_block and not _is_singular(problem.layout.matrix("obs_cov", params), size):
            return ""
        system = problem.system(params)
        if not _is_singular(system.obs_cov, size):
            return ""
        return _at_first(problem, system, size) or _later(problem, system, size)
    except NOT_HERE:
        return ""


def _is_singular(cov: Array, size: Array) -> bool:
    """Return whether a variance or an eigenvalue of any covariance matrix is numerically zero."""
    if np.min(np.diagonal(cov, axis1=0, axis2=1) / size**2) <= _NOTHING:
        return True
    if cov.ndim == 2 and is_diagonal(cov) or all(is_diagonal(each) for each in by_group(cov)):
        return False
    scaled = over_time(cov, slice(None)) / size[:, None] / size
    return bool(np.min(np.linalg.eigvalsh(scaled)) <= _NOTHING)


def _null(F: Array, size: Array) -> Array:
    """Return which series are involved in the null directions of F."""
    values, vectors = np.linalg.eigh(F / size[:, None] / size)
    found = np.abs(vectors[:, values <= _NOTHING]).max(axis=1, initial=0.0)
    return np.asarray(found > _INVOLVED)


def _at_first(problem: EstimationProblem, system: System, size: Array) -> str:
    """Return a message if a free mean of x_1 fits the first observation exactly, or an empty string."""
    block = problem.layout.blocks.get("initial_state")
    seen = ~problem.smoother.missing[0]
    if block is None or block.is_fixed or not seen.any() or system.initialization is not None:
        return ""
    Z, H = (over_time(m, slice(0, 1))[0] for m in (system.design, system.obs_cov))
    F = (Z @ system.initial_state_cov @ Z.T + H)[np.ix_(seen, seen)]
    if not _null(F, size[seen]).any():
        return ""
    return (
        "the likelihood is unbounded: an estimated x_1 fits the first observation exactly as its variance "
        "falls to zero; put an empty (NaN) row first"
    )


def _later(problem: EstimationProblem, system: System, size: Array) -> str:
    """Return a message with the series that the model forecasts without error in their last period."""
    missing, names = problem.smoother.missing, np.atleast_1d(problem.model.endog_names)
    # the last complete period and the last period of each series, apart from the first period
    last = [np.flatnonzero(here)[-1:] for here in (~missing.any(axis=1), *~missing.T)]
    cov, first = None, 0
    for row in sorted({int(row) for row in np.concatenate(last) if row}, reverse=True):
        seen = np.flatnonzero(~missing[row])
        Z, H, R, Q = (
            over_time(m, slice(row, row + 1))[0]
            for m in (system.design, system.obs_cov, system.selection, system.state_cov)
        )
        Z, H, scale = Z[seen], H[np.ix_(seen, seen)], size[seen]
        if not _null(Z @ R @ Q @ R.T @ Z.T + H, scale).any():
            continue
        if cov is None:
            _, cov, first = problem.smoother.states(system)
        if row < first:  # no forecast is exact in the first rows of a diffuse start
            continue
        found = _null(Z @ cov[:, :, row] @ Z.T + H, scale)
        if found.any():
            return _exact(names[seen[found]].tolist())
    return ""


def _exact(names: list[str]) -> str:
    if len(names) == 1:
        return (
            f"the likelihood is unbounded: {names[0]} is fitted without error as its variances in obs_cov "
            f"and in state_cov fall to zero; leave {names[0]} out or hold its variance fixed"
        )
    return (
        f"the likelihood is unbounded: a combination of {shown(names)} is forecast without error as its "
        "variances fall to zero (linearly dependent series); leave one of them out"
    )


def towards_singular(problem: EstimationProblem, params: Array, ahead: float = _NEARLY) -> str:
    """
    Return a message if the supremum has a singular state_cov that the model excludes, or an empty string.

    With Q = I and free loadings, a factor without innovations has infinite coefficients. In units of the
    variances P of the factors, the trial sets the direction with the smallest innovations to zero. If the
    log-likelihood is slightly higher there, the search would not end, and would gain only this difference.
    At the end of a search, any higher value there shows that the point is not a maximum.

    Parameters
    ----------
    problem : EstimationProblem
        The model.
    params : ndarray
        Free parameters.
    ahead : float
        Largest difference of the log-likelihood.
    """
    blocks = problem.layout.blocks
    fixed = [blocks[key].is_fixed for key in ("design", "transition", "state_cov") if key in blocks]
    if fixed != [False, False, True]:
        return ""
    try:
        limit = _without_a_direction(problem.system(params))
        gain = -1.0 if limit is None else problem.smoother.loglike(limit) - problem.loglike(params)
    except NOT_HERE:
        return ""
    if not 0.0 <= gain < ahead:
        return ""
    return (
        "the log-likelihood rises towards a singular state_cov (a factor without innovations of its own), "
        "which a fixed state_cov cannot be: the coefficients grow without limit; "
        'use identification="unit", whose state_cov is free, or fewer factors'
    )


def _without_a_direction(system: System) -> System | None:
    """Return the system without the smallest innovations; None if none are small, or matrices vary."""
    if any(m.ndim == 3 for m in (system.transition, system.state_cov, system.selection)):
        return None
    R = system.selection
    cov = with_stationary_start(system).initial_state_cov
    factor = np.linalg.cholesky(R.T @ cov @ R)
    inner = np.linalg.solve(factor, np.linalg.solve(factor, system.state_cov).T)
    values, vectors = np.linalg.eigh(inner)
    if values[0] > _LITTLE_NEW:
        return None
    direction = factor @ vectors[:, 0]
    limit = replace(system, state_cov=system.state_cov - values[0] * np.outer(direction, direction))
    return with_stationary_start(limit) if system.initialization_type == "stationary" else limit
