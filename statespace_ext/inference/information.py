"""Observed information and the covariance of the estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..exceptions import UnsupportedError
from ..numerics.differences import step_sizes
from ..numerics.linear_algebra import NOT_HERE, Array, symmetrize


class Scored(Protocol):
    """A model with an exact score."""

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient."""


def observed_information(
    model: Scored, params: Array, index: Array | None = None, steps: Array | None = None
) -> Array:
    """
    Return minus the second derivatives of the log-likelihood: central differences of the exact score.

    Right with missing data, unlike Harvey's (1989) formula as statsmodels sums it.

    Parameters
    ----------
    model : Scored
        The model.
    params : ndarray
        A full parameter vector.
    index : ndarray of int, optional
        The parameters to differentiate by; all of them by default.
    steps : ndarray, optional
        Steps, one for each element of the full vector.
    """
    places = np.arange(len(params)) if index is None else np.asarray(index)

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
"""An eigenvalue of the scaled information below this is rounding, or negative."""


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
    cov = np.full((n_params, n_params), np.nan)
    m = len(free)
    if m == 0:
        return ParamsCov(cov, 0, [])
    diagonal = np.diag(information)
    # in units in which the information of each parameter is one, whatever the units of the data
    scale = np.where(diagonal > 0, 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 1.0)
    directions = flat / scale[:, None]
    if flat.shape[1]:
        left = np.linalg.svd(directions / np.linalg.norm(directions, axis=0), full_matrices=True)[0]
        basis, complement = left[:, : flat.shape[1]], left[:, flat.shape[1] :]
    else:
        basis, complement = np.zeros((m, 0)), np.eye(m)
    inner = complement.T @ (information * scale[:, None] * scale) @ complement
    if not np.all(np.isfinite(inner)):
        note = "Second derivatives of the log-likelihood do not exist at the estimates: no standard errors."
        return ParamsCov(cov, 0, [note])
    values = np.linalg.eigvalsh(inner)
    if np.min(values, initial=1.0) <= _INDEFINITE:
        note = (
            "The information matrix is not positive definite at the estimates (not a maximum, or a parameter "
            "at its boundary): no standard errors."
        )
        return ParamsCov(cov, int(np.sum(values > _INDEFINITE)), [note])
    inverse = np.linalg.inv(inner)
    if middle is not None:
        inverse = inverse @ (complement.T @ (middle * scale[:, None] * scale) @ complement) @ inverse
    found = complement @ inverse @ complement.T * scale[:, None] * scale
    moved = np.linalg.norm(basis, axis=1) > 1e-6
    found[moved] = np.nan
    found[:, moved] = np.nan
    cov[np.ix_(free, free)] = found
    return ParamsCov(cov, complement.shape[1], [])
