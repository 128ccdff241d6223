"""Information at a singular covariance matrix, in the model in which its rank is that of the estimate."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array, symmetrize
from ..params.affine import IntArray
from ..params.cholesky import Unstructured
from ..params.layout import ParameterLayout
from .information import Scored

_NEGLIGIBLE = 1e-6


def reduced_rank_cov(
    model: Scored, layout: ParameterLayout, params: Array, key: str, others: IntArray, steps: Array
) -> Array | None:
    """
    Return the covariance of the other estimates where an unstructured block is singular.

    The block is W = G G' with as many columns as its rank, and the likelihood is regular in G (up to its
    rotations, which a pseudo-inverse leaves out). To hold W fixed instead would understate the others.

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
        Places of the other free parameters, none of them at a boundary.
    steps : ndarray
        Steps of the differences, by parameter.

    Returns
    -------
    ndarray or None
        None where the block is not unstructured, or the information is not positive definite.
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
    rows = []
    for i, step in enumerate(size):
        move = np.zeros(len(point))
        move[i] = step
        rows.append((score(point + move) - score(point - move)) / (2.0 * step))
    information = -symmetrize(np.array(rows))
    root = 1.0 / np.sqrt(np.clip(np.diag(information), np.finfo(float).tiny, None))
    scaled = information * root[:, None] * root
    values = np.linalg.eigvalsh(scaled)
    if not np.all(np.isfinite(values)) or values[0] < -1e-4 or np.any(np.diag(information) <= 0):
        return None
    inverse = np.linalg.pinv(scaled, rcond=1e-6, hermitian=True) * root[:, None] * root
    return np.asarray(inverse[:m, :m])
