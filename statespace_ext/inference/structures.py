"""Names of the covariance structures of a dynamic regression, and which of them contain which."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix, IntArray

_CLOSED = {
    "unstructured": {"unstructured", "proportional"},
    "diagonal": {"unstructured", "diagonal", "proportional"},
    "equicorrelated": {"unstructured", "equicorrelated", "proportional"},
    "scalar": {"unstructured", "diagonal", "equicorrelated", "scalar", "proportional", "patterned"},
}
"""By structure of V: the structures of W that A W A' keeps, for each A with A A' = V."""


def covariance_kind(block: AffineMatrix, rows: IntArray | None = None) -> str:
    """
    Return the name of the structure of a covariance matrix, whatever it was written as.

    Parameters
    ----------
    block : AffineMatrix
        The matrix.
    rows : ndarray of int, optional
        Rows and columns to look at; all by default.

    Returns
    -------
    str
        "unstructured", "diagonal", "scalar", "equicorrelated", "zero", "fixed", or "patterned" for
        anything else. One by one: "scalar".
    """
    if block.time_varying:
        return "patterned"
    index = np.arange(block.shape[0]) if rows is None else rows
    p = len(index)
    fixed = block.fixed[np.ix_(index, index)]
    place = {int(row): i for i, row in enumerate(index)}
    inside = [
        (place[int(i)], place[int(j)], name, coef)
        for i, j, name, coef in zip(block.rows, block.columns, block.names, block.coefs, strict=True)
        if int(i) in place and int(j) in place
    ]
    if not inside:
        return "fixed" if np.any(fixed) else "zero"
    plain = len({(i, j) for i, j, *_ in inside}) == len(inside) and all(c == 1.0 for *_, c in inside)
    if np.any(fixed) or not plain:
        return "patterned"
    variances = [name for i, j, name, _ in inside if i == j]
    covariances = [name for i, j, name, _ in inside if i > j]
    if len(variances) != p or set(variances) & set(covariances):
        return "patterned"
    return _kind_by_count(p, len(covariances), len(set(variances)), len(set(covariances)))


def _kind_by_count(p: int, covariances: int, different_variances: int, different_covariances: int) -> str:
    """Return the name, given how many elements and how many parameters there are."""
    if covariances == 0 and different_variances in (1, p):
        return "scalar" if different_variances == 1 else "diagonal"
    if covariances == p * (p - 1) // 2:
        if different_variances == p and different_covariances == covariances:
            return "unstructured"
        if different_variances == different_covariances == 1:
            return "equicorrelated"
    return "patterned"


def obs_kind(model: Any) -> str:
    """Return the name of the structure of V."""
    return covariance_kind(model.layout.blocks["obs_cov"])


def state_kinds(model: Any) -> dict[str, str]:
    """
    Return the names of the structures of W by moving regressor.

    A W that is not block-diagonal by regressor is one entry, under the names of all moving regressors
    joined by "+".
    """
    c, block = model.coefficients, model.layout.blocks["state_cov"]
    names = [c.regressors[j] for j in c.moving]
    p = c.p
    if len(names) > 1 and (
        np.any(block.rows // p != block.columns // p) or np.any(block.fixed * ~_same_block(len(names), p))
    ):
        return {"+".join(names): covariance_kind(block)}
    return {
        name: "proportional"
        if place in model.proportional
        else covariance_kind(block, np.arange(place * p, (place + 1) * p))
        for place, name in enumerate(names)
    }


def _same_block(count: int, p: int) -> Array:
    return np.kron(np.eye(count, dtype=bool), np.ones((p, p), dtype=bool))


def is_equivariant(obs: str, state: list[str]) -> bool:
    """
    Tell whether a change of basis of the series takes any V to I and keeps every structure of W.

    Then the distribution of the likelihood ratio of W = 0 is free of parameters. Such a change is A with
    V = A A', from the group that keeps the structure of V: all matrices, the diagonal ones, those that
    treat all series alike, or the multiples of I. A fixed V leaves nothing unknown.
    """
    if obs == "fixed":
        return True
    return obs in _CLOSED and all(kind == "zero" or kind in _CLOSED[obs] for kind in state)


# -- which structure contains which -----------------------------------------------------------------------


def is_nested(small: Any, large: Any) -> bool:
    """
    Tell whether every (V, W) of one regression is a (V, W) of another.

    Exact for structures that are affine in their parameters, and for "proportional"; False for models
    with "ar1" coefficients of different regressors.
    """
    if small.coefficients.autoregressive != large.coefficients.autoregressive:
        return False
    for place, j in enumerate(large.coefficients.moving):
        if place in large.proportional and not _multiples_of_obs_cov(small, j):
            return False
    return _affine_hull_inside(small, large)


def _multiples_of_obs_cov(model: Any, regressor: int) -> bool:
    """Tell whether W of a regressor is q V in every (V, W) of a model."""
    c = model.coefficients
    if regressor not in c.moving:
        return True
    place = c.moving.index(regressor)
    if place in model.proportional:
        return True
    own = _places(model)[place * c.p : (place + 1) * c.p]
    fixed, span = _hull(model)
    n_obs, size = c.p**2, c.n_levels
    rows = n_obs + (own[:, None] * size + own[None, :]).ravel()
    both = np.column_stack([span[:n_obs], fixed[:n_obs, None], span[rows], fixed[rows, None]])
    return bool(np.linalg.matrix_rank(both) <= 1)


def _places(model: Any) -> IntArray:
    """Return the level that each disturbance moves."""
    c = model.coefficients
    return np.array([i for j in c.moving for i in c.level(j)], dtype=np.intp)


def _hull(model: Any) -> tuple[Array, Array]:
    """
    Return a point and spanning directions of the smallest affine set with all (vec V, vec W).

    W has the coefficients on all regressors here, zero where they do not move. The set of (V, q V) spans
    the product of the set of V and of all its multiples.
    """
    c, layout = model.coefficients, model.layout
    size, p, n_obs = c.n_levels, c.p, c.p**2
    obs, state = layout.blocks["obs_cov"], layout.blocks["state_cov"]
    places = _places(model)
    fixed = np.zeros(n_obs + size * size)
    fixed[:n_obs] = obs.fixed.ravel()
    span = np.zeros((len(fixed), len(layout)))
    np.add.at(span, (obs.rows * p + obs.columns, layout.index["obs_cov"]), obs.coefs)
    if len(places):
        fixed[n_obs + (places[:, None] * size + places[None, :]).ravel()] = state.fixed.ravel()
        rows = n_obs + places[state.rows] * size + places[state.columns]
        np.add.at(span, (rows, layout.index["state_cov"]), state.coefs)
    extra = []
    multiples = np.column_stack([span[:n_obs], fixed[:n_obs]])
    for place in model.proportional:
        own = places[place * p : (place + 1) * p]
        column = np.zeros((len(fixed), multiples.shape[1]))
        column[n_obs + (own[:, None] * size + own[None, :]).ravel()] = multiples
        extra.append(column)
    return fixed, np.column_stack([span, *extra])


def _affine_hull_inside(small: Any, large: Any) -> bool:
    """Tell whether the affine hull of one model lies in that of another."""
    (f_small, d_small), (f_large, d_large) = _hull(small), _hull(large)
    rank = np.linalg.matrix_rank(d_large) if d_large.size else 0
    joined = np.column_stack([d_large, d_small, f_small - f_large])
    return bool(np.linalg.matrix_rank(joined) == rank)
