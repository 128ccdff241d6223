"""Leaving a point that only looks like a maximum because a covariance matrix is singular there."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import NOT_HERE, Array
from ..params.covariance import General
from .problem import EstimationProblem

_ZERO = 1e-6
_RISING = 1e-4
_LIFT = 1e-2


def lifted(problem: EstimationProblem, params: Array) -> Array | None:
    """
    Return parameters off a singular covariance matrix from which the log-likelihood rises, or None.

    In square roots and Cholesky factors the derivative is zero along a null direction v of Sigma whatever
    the likelihood does; what counts is v' (d log L / d Sigma) v, which is positive where Sigma should grow.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    params : ndarray
        Free parameters at which a gradient method stopped.
    """
    layout = problem.layout
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
        if isinstance(structure, General) or block.time_varying or key not in sizes:
            continue
        cov, rows = layout.matrices(params)[key], np.unique(block.rows)
        gradient = np.zeros(cov.shape)
        count = np.bincount(layout.index[key], minlength=len(layout))[layout.index[key]]
        np.add.at(gradient, (block.rows, block.columns), found[1][layout.index[key]] / count)
        scale = np.sqrt(sizes[key][rows])
        inner = np.ix_(rows, rows)
        values, vectors = np.linalg.eigh(cov[inner] / scale[:, None] / scale)
        null = vectors[:, values < _ZERO]
        if not null.shape[1]:
            continue
        rises, directions = np.linalg.eigh(null.T @ (gradient[inner] * scale[:, None] * scale) @ null)
        if rises[-1] <= _RISING:
            continue
        v = scale * (null @ directions[:, -1])
        target = np.array(cov)
        target[inner] += _LIFT * np.outer(v, v)
        out, moved = layout.project({key: target}, out), True
    return out if moved and np.isfinite(problem.value(out)) else None
