"""Covariance matrices that are singular at the estimates."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array
from ..params.layout import ParameterLayout

_RELATIVE = 1e-7
"""A variance (or an eigenvalue of the correlation matrix) below this share counts as zero."""


def boundary_params(layout: ParameterLayout, params: Array, endog: Array) -> list[str]:
    """
    Return the parameters of covariance blocks that are singular at the estimates.

    A variance that is zero, to a small share of the variation of the data or of the other variances,
    brings itself and its covariances; a correlation matrix that is singular brings all its parameters.

    Parameters
    ----------
    layout : ParameterLayout
        The blocks.
    params : ndarray
        Full parameter vector.
    endog : ndarray
        The data, which set the scale of a single variance.
    """
    names: list[str] = []
    matrices = layout.matrices(params)
    variation = np.nanvar(endog, axis=0)
    for key in sorted(layout.covariances):
        block = layout.blocks[key]
        if block.is_fixed or block.time_varying:
            continue
        cov = matrices[key]
        free = np.zeros(block.shape[0], bool)
        free[block.rows] = True
        size = (
            variation
            if key == "obs_cov"
            else np.full(len(cov), max(np.max(np.diag(cov)), np.finfo(float).tiny))
        )
        if key != "obs_cov" and len(cov) == 1:
            size = _implied_size(matrices, variation)
        zero = free & (np.diag(cov) <= _RELATIVE * size)
        rest = np.flatnonzero(free & ~zero)
        hit = set(np.flatnonzero(zero).tolist())
        if len(rest) > 1:
            root = 1.0 / np.sqrt(np.diag(cov)[rest])
            values, vectors = np.linalg.eigh(cov[np.ix_(rest, rest)] * root[:, None] * root)
            involved = np.abs(vectors[:, values <= _RELATIVE]).max(axis=1, initial=0.0) > 1e-4
            hit |= set(rest[involved].tolist())
        names += [
            name
            for i, j, name in zip(block.rows, block.columns, block.names, strict=True)
            if (int(i) in hit or int(j) in hit) and name not in names
        ]
    return list(dict.fromkeys(names))


def _implied_size(matrices: dict[str, Array], variation: Array) -> Array:
    """Return the variance of a single state that would explain the variation of the data."""
    design = matrices["design"] if matrices["design"].ndim == 2 else matrices["design"][:, :, 0]
    loading = np.max(np.abs(design[:, 0]))
    return np.array([float(np.max(variation)) / max(loading**2, np.finfo(float).tiny)])
