"""Covariance matrices that are singular at the estimates, and parameters at a boundary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..numerics.differences import jacobian
from ..numerics.linear_algebra import Array, symmetrize
from ..params.affine import AffineMatrix, IntArray
from ..params.cholesky import Unstructured
from ..params.covariance import Multiple
from ..params.layout import ParameterLayout
from .information import Scored

_RELATIVE = 1e-7
"""A variance (or an eigenvalue of the correlation matrix) below this share counts as zero."""
_RELATIVE_INSIDE = 1e-5
"""The same share for a matrix that a barrier kept positive definite."""
_END = 1.0 - 1e-6
"""A parameter in (-1, 1) with a larger modulus counts as 1 or -1."""


def boundary_params(layout: ParameterLayout, params: Array, sizes: Mapping[str, Array]) -> dict[str, float]:
    """
    Return the parameters of singular covariance blocks, and those at the end of their interval.

    If a variance is zero, relative to its scale, the result contains the variance and its covariances, with
    the value zero. If a correlation matrix is singular, the result contains all parameters involved, with
    their values. A matrix that is singular by declaration (one variance times a fixed matrix) is omitted.

    Parameters
    ----------
    layout : ParameterLayout
        The blocks.
    params : ndarray
        Full parameter vector.
    sizes : mapping of str to ndarray
        For each covariance block, the variances that would explain the data on their own.
    """
    out: dict[str, float] = {}
    matrices = layout.matrices(params)
    values = dict(zip(layout.names, params.tolist(), strict=True))
    for key, structure in layout.recognised.items():
        whole = layout.blocks[key]
        if whole.time_varying and not whole.moves:
            continue
        share = _RELATIVE_INSIDE if key in layout.untransformed else _RELATIVE
        for block, cov in whole.by_regime(matrices[key]):
            zero, dependent = _singular_rows(cov, block, sizes.get(key), share)
            if isinstance(structure, Multiple):
                dependent = set()
            for i, j, name in zip(block.rows.tolist(), block.columns.tolist(), block.names, strict=True):
                if {i, j} & zero:
                    out[name] = 0.0
                elif {i, j} & dependent:
                    out.setdefault(name, values[name])
    return {**out, **{name: value for name, value in values.items() if _at_end(layout, name, value)}}


def _at_end(layout: ParameterLayout, name: str, value: float) -> bool:
    return name in layout.bounded and abs(value) > _END


def _singular_rows(
    cov: Array, block: AffineMatrix, size: Array | None, share: float
) -> tuple[set[int], set[int]]:
    """Return the rows with a zero variance, and the rows involved in a singular correlation matrix."""
    free = np.zeros(block.shape[0], bool)
    free[block.rows] = True
    if size is None:
        size = np.full(len(cov), max(float(np.max(np.diag(cov))), np.finfo(float).tiny))
    zero = free & (np.diag(cov) <= share * size)
    rest = np.flatnonzero(free & ~zero)
    dependent: set[int] = set()
    if len(rest) > 1:
        root = 1.0 / np.sqrt(np.diag(cov)[rest])
        values, vectors = np.linalg.eigh(cov[np.ix_(rest, rest)] * root[:, None] * root)
        involved = np.abs(vectors[:, values <= share]).max(axis=1, initial=0.0) > 1e-4
        dependent = set(rest[involved].tolist())
    return set(np.flatnonzero(zero).tolist()), dependent


_NEGLIGIBLE = 1e-6


def reduced_rank_cov(
    model: Scored, layout: ParameterLayout, params: Array, key: str, others: IntArray, steps: Array
) -> Array | None:
    """
    Return the covariance of the other estimates if an unstructured block is singular.

    The block is W = G G', where G has as many columns as the rank of W. The likelihood is regular in G, up to
    rotations of G, which a pseudo-inverse excludes. With W fixed, the other standard errors would be too
    small.

    Parameters
    ----------
    model : Scored
        A model with an exact score.
    layout : ParameterLayout
        The layout of all parameters.
    params : ndarray
        Full parameter vector.
    key : str
        The singular covariance block.
    others : ndarray of int
        Positions of the other free parameters, none of which is at a boundary.
    steps : ndarray
        Step sizes of the differences, by parameter.

    Returns
    -------
    ndarray or None
        The covariance; None if the block is not unstructured, or the information is not positive definite.
    """
    block = layout.blocks[key]
    if not isinstance(layout.structures.get(key), Unstructured) or np.any(block.fixed):
        return None
    cov = layout.matrices(params)[key]
    scale = np.sqrt(np.maximum(np.diag(cov), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(cov / scale[:, None] / scale)
    keep = values > _NEGLIGIBLE * values[-1]
    loading = scale[:, None] * vectors[:, keep] * np.sqrt(values[keep])
    m = len(others)

    def score(point: Array) -> Array:
        G = point[m:].reshape(loading.shape)
        full = np.array(params)
        full[others] = point[:m]
        full = layout.project({key: G @ G.T}, full)
        gradient = model.loglike_and_score(full)[1]
        by_cov = np.zeros(block.shape)
        share = np.where(block.rows == block.columns, 1.0, 0.5)
        np.add.at(by_cov, (block.rows, block.columns), share * gradient[layout.index[key]])
        return np.concatenate([gradient[others], 2.0 * (by_cov @ G).ravel()])

    point = np.concatenate([params[others], loading.ravel()])
    size = np.concatenate([steps[others], 1e-4 * np.repeat(scale, loading.shape[1])])
    information = -symmetrize(jacobian(score, point, size))
    root = 1.0 / np.sqrt(np.clip(np.diag(information), np.finfo(float).tiny, None))
    scaled = information * root[:, None] * root
    values = np.linalg.eigvalsh(scaled)
    if not np.all(np.isfinite(values)) or values[0] < -1e-4 or np.any(np.diag(information) <= 0):
        return None
    inverse = np.linalg.pinv(scaled, rcond=1e-6, hermitian=True) * root[:, None] * root
    return np.asarray(inverse[:m, :m])
