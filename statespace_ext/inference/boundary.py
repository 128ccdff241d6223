"""Covariance matrices that are singular at the estimates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix
from ..params.covariance import Multiple, structure_of
from ..params.layout import ParameterLayout

_RELATIVE = 1e-7
"""A variance (or an eigenvalue of the correlation matrix) below this share counts as zero."""
_RELATIVE_INSIDE = 1e-5
"""The same for a matrix that the optimiser kept inside the cone by a barrier."""
_END = 1.0 - 1e-6
"""A parameter of (-1, 1) beyond this modulus counts as one."""


def boundary_params(layout: ParameterLayout, params: Array, sizes: Mapping[str, Array]) -> dict[str, float]:
    """
    Return the parameters of covariance blocks that are singular, and those at the end of their interval.

    A variance that is zero, to a small share of its size, brings itself and its covariances, with the
    value zero; a correlation matrix that is singular brings all the parameters involved, with the values
    that they have, unless it is singular by declaration (one variance times a fixed matrix).

    Parameters
    ----------
    layout : ParameterLayout
        The blocks.
    params : ndarray
        Full parameter vector.
    sizes : mapping of str to ndarray
        By covariance block, the size that each variance would have if it explained the data.
    """
    out: dict[str, float] = {}
    matrices = layout.matrices(params)
    values = dict(zip(layout.names, params.tolist(), strict=True))
    for key in sorted(layout.covariances):
        block = layout.blocks[key]
        if block.is_fixed or block.time_varying:
            continue
        share = _RELATIVE_INSIDE if key in layout.untransformed else _RELATIVE
        zero, dependent = _singular_rows(matrices[key], block, sizes.get(key), share)
        if isinstance(structure_of(block), Multiple):
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
    """Return the rows with a zero variance, and those involved in a singular correlation matrix."""
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
