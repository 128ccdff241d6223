"""Observed information and the covariance of the estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ..exceptions import UnsupportedError
from ..numerics.differences import step_sizes
from ..numerics.linear_algebra import NOT_HERE, Array, symmetrize


class Scored(Protocol):
    """A model with an exact score; ``exact_information`` is optional."""

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient."""


def observed_information(
    model: Scored, params: Array, index: Array | None = None, steps: Array | None = None
) -> Array:
    """
    Return minus the second derivatives of the log-likelihood.

    They are exact where the model has ``exact_information`` and it applies, and central differences of the
    exact score elsewhere. Both are right with missing data, unlike Harvey's (1989) formula as statsmodels
    sums it.

    Parameters
    ----------
    model : Scored
        The model.
    params : ndarray
        A full parameter vector.
    index : ndarray of int, optional
        The parameters to differentiate by; all of them by default.
    steps : ndarray, optional
        Steps of the differences, one for each element of the full vector.
    """
    places = np.arange(len(params)) if index is None else np.asarray(index)
    exact = model.exact_information(params, places) if hasattr(model, "exact_information") else None
    if exact is not None and np.all(np.isfinite(exact)):
        return np.asarray(exact)

    def gradient(at: Array) -> Array:
        return model.loglike_and_score(at)[1][places]

    return _differences(gradient, params, places, step_sizes(params) if steps is None else steps)


def numerical_information(
    loglike: Callable[[Array], float], params: Array, index: Array, steps: Array
) -> Array:
    """Return minus the second derivatives of the log-likelihood, from its values alone."""
    m = len(index)
    out = np.zeros((m, m))
    base = loglike(params)

    def at(*moves: tuple[int, float]) -> float:
        trial = np.array(params)
        for place, move in moves:
            trial[place] += move
        return loglike(trial)

    for a, i in enumerate(index):
        h = steps[i]
        out[a, a] = (-at((i, 2 * h)) + 16 * at((i, h)) - 30 * base + 16 * at((i, -h)) - at((i, -2 * h))) / (
            12 * h * h
        )
        for b, j in enumerate(index[:a]):
            g = steps[j]
            cross = at((i, h), (j, g)) - at((i, h), (j, -g)) - at((i, -h), (j, g)) + at((i, -h), (j, -g))
            out[a, b] = out[b, a] = cross / (4 * h * g)
    return -out


def _differences(gradient: Callable[[Array], Array], params: Array, index: Array, steps: Array) -> Array:
    """Return minus the Jacobian of a gradient; one-sided where a step leaves the parameter space."""
    rows = []
    for i in index:
        move = np.zeros(len(params))
        move[i] = steps[i]
        ahead, behind = _try(gradient, params + move), _try(gradient, params - move)
        if ahead is not None and behind is not None:
            rows.append((ahead - behind) / (2 * steps[i]))
        elif ahead is None and behind is None:
            rows.append(np.full(len(index), np.nan))
        else:
            centre = _try(gradient, params)
            if centre is None:
                rows.append(np.full(len(index), np.nan))
            else:
                rows.append((ahead - centre if ahead is not None else centre - behind) / steps[i])
    return -symmetrize(np.array(rows).reshape(len(index), len(index)))


def _try(gradient: Callable[[Array], Array], params: Array) -> Array | None:
    try:
        value = gradient(params)
    except UnsupportedError:
        raise
    except NOT_HERE:
        return None
    return value if np.all(np.isfinite(value)) else None


_INDEFINITE = 1e-12
"""Reciprocal of the largest variance in units of unit information from which the information is singular."""


@dataclass(frozen=True)
class ParamsCov:
    """Covariance of the estimates (NaN where not available), and what was said of it."""

    cov: Array
    rank: int
    notes: list[str]


def params_covariance(
    information: Array, free: Array, flat: Array, n_params: int, middle: Array | None = None
) -> ParamsCov:
    """
    Invert the information of the free, identified parameters.

    Parameters
    ----------
    information : ndarray, (m, m)
        Information of the parameters ``free``.
    free : ndarray of int
        Their places in the full vector.
    flat : ndarray, (m, q)
        Orthonormal directions in which the likelihood is flat. A parameter that no such direction
        moves has a standard error; the others have NaN.
    n_params : int
        Length of the full vector.
    middle : ndarray, (m, m), optional
        Put between two inverses of the information: the sandwich A^{-1} B A^{-1}.

    Returns
    -------
    ParamsCov
    """
    m = len(free)
    if m == 0:
        return ParamsCov(np.full((n_params, n_params), np.nan), 0, [])
    diagonal = np.diag(information)
    # in units in which the information of each parameter is one, whatever the units of the data
    scale = np.where(diagonal > 0, 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 1.0)
    basis = _orthonormal(flat / scale[:, None])
    found, note = _inverse_beside(_scaled(information, scale), basis)
    if note:
        return ParamsCov(np.full((n_params, n_params), np.nan), 0, [note])
    if middle is not None:
        found = found @ _projected(_scaled(middle, scale), basis) @ found
    found *= scale
    found *= scale[:, None]
    moved = np.linalg.norm(basis, axis=1) > 1e-6
    found[moved] = np.nan
    found[:, moved] = np.nan
    if np.array_equal(free, np.arange(n_params)):
        return ParamsCov(found, m - basis.shape[1], [])
    cov = np.full((n_params, n_params), np.nan)
    cov[np.ix_(free, free)] = found
    return ParamsCov(cov, m - basis.shape[1], [])


def _scaled(matrix: Array, scale: Array) -> Array:
    out = np.array(matrix * scale, order="F")
    out *= scale[:, None]
    return out


def _orthonormal(directions: Array) -> Array:
    if not directions.shape[1]:
        return directions
    return np.asarray(np.linalg.svd(directions / np.linalg.norm(directions, axis=0), full_matrices=False)[0])


def _projected(matrix: Array, basis: Array) -> Array:
    """Return (I - B B') M (I - B B') in the memory of M."""
    if basis.shape[1]:
        left = basis.T @ matrix
        matrix -= basis @ left
        matrix -= (matrix @ basis) @ basis.T
    return matrix


def _inverse_beside(information: Array, basis: Array) -> tuple[Array, str]:
    """Return the inverse on the complement of a basis, in the same memory, or why there is none."""
    if not np.all(np.isfinite(np.diag(information))) or not np.isfinite(information.sum()):
        note = "Second derivatives of the log-likelihood do not exist at the estimates: no standard errors."
        return information, note
    inverse = _projected(information, basis)
    inverse += basis @ basis.T
    inverse, failed = dpotrf(inverse, lower=1, clean=0, overwrite_a=1)
    if not failed:
        inverse, failed = dpotri(inverse, lower=1, overwrite_c=1)
    if failed or not np.max(np.diag(inverse)) < 1.0 / _INDEFINITE:
        note = (
            "The information matrix is not positive definite at the estimates (not a maximum, or a parameter "
            "at its boundary): no standard errors."
        )
        return inverse, note
    for column in range(1, len(inverse)):
        inverse[:column, column] = inverse[column, :column]
    inverse -= basis @ basis.T
    return inverse, ""
