"""Leaving a point that only looks like a maximum because a covariance matrix is singular there."""

from __future__ import annotations

import numpy as np

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
