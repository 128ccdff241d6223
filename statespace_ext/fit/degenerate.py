"""Where a likelihood has no interior maximum: singular covariances to leave, and spikes to stop before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..em.driver import DeadEnd
from ..engine.smoother import over_time
from ..engine.system import System, stationary_start
from ..exceptions import shown
from ..numerics.linear_algebra import NOT_HERE, Array
from ..params.affine import IntArray
from ..params.cholesky import Chordal, Unstructured
from ..params.covariance import General
from .problem import EstimationProblem

_ZERO = 1e-6
_RISING = 1e-4
_LIFT = 1e-2
_END = 1.0 - 1e-6


def lifted(problem: EstimationProblem, params: Array) -> Array | None:
    """
    Return parameters off a singular covariance matrix from which the log-likelihood rises, or None.

    In square roots and Cholesky factors the derivative is zero along a null direction v of Sigma whatever
    the likelihood does; what counts is v' (d log L / d Sigma) v, which is positive where Sigma should grow.
    In a factor with a zero pattern it is zero wherever a column is, and v is zero outside of its clique.
    It is zero at an end of the interval (-1, 1) of a parameter too.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    params : ndarray
        Free parameters at which a gradient method stopped.
    """
    layout = problem.layout
    params = layout.constrain(layout.unconstrain(params))  # a variance of EM may be below zero by rounding
    try:
        found = problem.value_and_score(params)
    except NOT_HERE:
        return None
    if found is None:
        return None
    sizes = problem.model.variance_sizes(problem.full(params))
    out, moved = np.array(params), False
    for key, structure in layout.structures.items():
        block = layout.blocks[key]
        if isinstance(structure, General) or block.time_varying:
            continue
        cov, gradient = layout.matrix(key, params), np.zeros(block.shape)
        count = np.bincount(layout.index[key], minlength=len(layout))[layout.index[key]]
        np.add.at(gradient, (block.rows, block.columns), found[1][layout.index[key]] / count)
        root = np.sqrt(sizes.get(key, np.full(len(cov), np.max(np.diag(cov)))))
        if isinstance(structure, Chordal) and not isinstance(structure, Unstructured):
            rises = [_rising(gradient, root, np.eye(len(cov))[:, clique]) for clique in structure.cliques]
        else:
            rises = [_rising(gradient, root, _null_space(cov, root, np.unique(block.rows)))]
        slope, v = max(rises, key=lambda pair: pair[0])
        if slope > _RISING:
            out, moved = layout.project({key: cov + _LIFT * np.outer(v, v)}, out), True
    ends = layout.positions(sorted(layout.bounded))
    inwards = -np.sign(params[ends]) * found[1][ends] * _LIFT
    leaving = ends[(np.abs(params[ends]) > _END) & (inwards > _RISING)]
    out[leaving] *= 1.0 - _LIFT
    moved = moved or bool(len(leaving))
    return out if moved and np.isfinite(problem.value(out)) else None


def _null_space(cov: Array, root: Array, rows: IntArray) -> Array:
    """Return an orthonormal basis of the null directions of Sigma / (root root') on some rows."""
    scale = root[rows]
    values, vectors = np.linalg.eigh(cov[np.ix_(rows, rows)] / scale[:, None] / scale)
    return np.eye(len(cov))[:, rows] @ vectors[:, values < _ZERO]


def _rising(gradient: Array, root: Array, basis: Array) -> tuple[float, Array]:
    """Return the largest slope v' (d log L / d Sigma) v for v / root in the span of a basis, and v."""
    if not basis.shape[1]:
        return 0.0, root
    slopes, directions = np.linalg.eigh(basis.T @ (gradient * root[:, None] * root) @ basis)
    return float(slopes[-1]), root * (basis @ directions[:, -1])


_NOTHING = 1e-10
"""Share of a series' variance from which the variance of a forecast counts as zero."""
_INVOLVED = 1e-3
_LITTLE_NEW = 1e-3
"""Share of innovations in the variance of a factor from which a singular state_cov is tried."""
_NEARLY = 5e-3
"""Largest log-likelihood by which a singular state_cov is ahead where a search is stopped."""
_EVERY = 10
"""Iterations from one trial of a singular state_cov to the next."""
_TRIALS = 3
"""Trials in a row in which it has to have the higher log-likelihood."""


class Watch:
    """
    What looks at each iteration of a search, and raises `DeadEnd`.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    start : ndarray
        Free parameters at which the search starts.
    """

    def __init__(self, problem: EstimationProblem, start: Array) -> None:
        self.count = self.trials = 0
        self.last = None if unbounded(problem, start) else np.array(start)

    def __call__(self, problem: EstimationProblem, params: Array) -> None:
        """Look at the parameters of an iteration."""
        self.count += 1
        reason = unbounded(problem, params)
        if reason and self.last is not None:
            raise DeadEnd(f"{reason}; the estimates are those of the last iteration before that", self.last)
        if not reason:
            self.last = np.array(params)
        if self.count % _EVERY == 0:
            reason = towards_singular(problem, params)
            self.trials = self.trials + 1 if reason else 0
            if self.trials == _TRIALS:
                raise DeadEnd(f"{reason}; the estimates are those of one iteration", np.array(params))


def unbounded(problem: EstimationProblem, params: Array) -> str:
    """
    Say that the data are fitted without error, empty where they are not.

    -1/2 log|F_t| grows without limit as an eigenvalue of F_t = Z P_t Z' + H falls to zero while v_t = 0 in
    its direction: for all t where series are linearly dependent or a series has neither V nor W, for t = 1
    where a_1 is free and P_1 = 0. F_t is at least Z R Q R' Z' + H; only where that is singular does it take
    a pass of the smoother.

    Parameters
    ----------
    problem : EstimationProblem
        The model.
    params : ndarray
        Free parameters.
    """
    smoother = problem.smoother
    size = _deviations(smoother.endog)
    try:
        system = problem.system(params)
        if not _is_singular(system.obs_cov, size):
            return ""
        return _at_first(problem, system, size) or _later(problem, system, size)
    except NOT_HERE:
        return ""


def _deviations(endog: Array) -> Array:
    """Return the standard deviation of each series, its size where it is constant."""
    seen = ~np.isnan(endog)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, endog, 0.0).sum(axis=0) / count
    squares = np.where(seen, endog - mean, 0.0) ** 2
    out = np.sqrt(squares.sum(axis=0) / count)
    out = np.where(out > 1e-12 * np.abs(mean), out, np.abs(mean))
    return np.where(out > 0, out, 1.0)


def _is_singular(cov: Array, size: Array) -> bool:
    """Tell whether a covariance matrix, or one of several, has a variance or an eigenvalue of nothing."""
    scaled = over_time(cov, slice(None)) / size[:, None] / size
    single = np.diagonal(scaled, axis1=1, axis2=2)
    if np.min(single) <= _NOTHING:
        return True
    if np.array_equal(scaled * np.eye(len(size)), scaled):
        return False
    return bool(np.min(np.linalg.eigvalsh(scaled)) <= _NOTHING)


def _null(F: Array, size: Array) -> Array:
    """Return which series are involved in the directions in which F is nothing."""
    values, vectors = np.linalg.eigh(F / size[:, None] / size)
    found = np.abs(vectors[:, values <= _NOTHING]).max(axis=1, initial=0.0)
    return np.asarray(found > _INVOLVED)


def _at_first(problem: EstimationProblem, system: System, size: Array) -> str:
    """Say that a free mean of x_1 fits the first observation exactly, empty where it does not."""
    block = problem.layout.blocks.get("initial_state")
    seen = ~problem.smoother.missing[0]
    if block is None or block.is_fixed or not seen.any():
        return ""
    if system.diffuse or system.initialization is not None:
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
    """Say which series the model forecasts without error in the last of their periods."""
    missing, names = problem.smoother.missing, np.atleast_1d(problem.model.endog_names)
    cov, first = None, 0
    for row in _last_rows(missing):
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
        if row < first:  # among the first rows of a diffuse start nothing is forecast without error
            continue
        found = _null(Z @ cov[:, :, row] @ Z.T + H, scale)
        if found.any():
            return _exact(names[seen[found]].tolist())
    return ""


def _last_rows(missing: Array) -> list[int]:
    """Return the last complete period, and the last one of each series; the first period tells nothing."""
    rows = [np.flatnonzero(~missing.any(axis=1))[-1:], *(np.flatnonzero(~gone)[-1:] for gone in missing.T)]
    return sorted({int(row) for row in np.concatenate(rows) if row}, reverse=True)


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


def towards_singular(problem: EstimationProblem, params: Array) -> str:
    """
    Say that the log-likelihood is highest at a singular state_cov which is held nonsingular, else nothing.

    With Q = I and free loadings a factor without innovations has infinite coefficients. In units of the
    factors' variances P the direction of the least innovations is left without any. Where the log-likelihood
    is a little higher there, the search goes on for ever and gains no more than that.

    Parameters
    ----------
    problem : EstimationProblem
        The model.
    params : ndarray
        Free parameters.
    """
    blocks = problem.layout.blocks
    held = "state_cov" in blocks and blocks["state_cov"].is_fixed
    free = not any(key not in blocks or blocks[key].is_fixed for key in ("design", "transition"))
    if not (held and free):
        return ""
    try:
        system = problem.system(params)
        if any(m.ndim == 3 for m in (system.transition, system.state_cov, system.selection)):
            return ""
        mean, cov = stationary_start(system)
        R = system.selection
        root = np.linalg.cholesky(R.T @ cov @ R)
        inner = np.linalg.solve(root, np.linalg.solve(root, system.state_cov).T)
        values, vectors = np.linalg.eigh(inner)
        if values[0] > _LITTLE_NEW:
            return ""
        direction = root @ vectors[:, 0]
        limit = replace(system, state_cov=system.state_cov - values[0] * np.outer(direction, direction))
        if system.start == "stationary":
            mean, cov = stationary_start(limit)
            limit = replace(limit, initial_state=mean, initial_state_cov=cov)
        if not 0.0 <= problem.smoother.loglike(limit) - problem.loglike(params) < _NEARLY:
            return ""
    except NOT_HERE:
        return ""
    return (
        "the log-likelihood rises towards a singular state_cov (a factor without innovations of its own), "
        "which a fixed state_cov cannot be: the coefficients grow without limit; "
        'use identification="unit", whose state_cov is free, or fewer factors'
    )
