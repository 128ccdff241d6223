"""How what is estimated depends on the parameters, and what their uncertainty adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.results import StateSpaceResults
from ..inference.information import delta_errors, delta_method
from ..inference.many import model_of
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import Array
from .dynamics import Affine


def errors_at(
    results: StateSpaceResults, function: Callable[[Array], Array], held: Iterable[str]
) -> tuple[Array, Array]:
    """Return a function of all parameters, and its delta-method errors with some of them held."""
    model, params = model_of(results), np.asarray(results.params, dtype=float)
    free = places_without(model, held)

    def at(values: Array) -> Array:
        full = params.copy()
        full[free] = values
        return function(full)

    cov = np.asarray(results.params_cov.cov)[np.ix_(free, free)]
    return delta_method(at, params[free], cov, model.difference_steps(params)[free])


def places_without(model: Any, held: Iterable[str]) -> Array:
    """Return the places of the parameters but those that are held."""
    known = set(held)
    return np.array([i for i, name in enumerate(model.param_names) if name not in known], dtype=int)


@dataclass(frozen=True)
class Sensitivity:
    """
    How estimated factors depend on the parameters.

    Attributes
    ----------
    params : ndarray
        A full parameter vector: the estimates.
    places : ndarray of int, (q,)
        The free parameters.
    steps : ndarray
        Steps of differences, one for each parameter.
    cov : ndarray, (q, q)
        Covariance of the estimates of the free parameters.
    by_state : ndarray, (n, k, q)
        Derivatives of the factors by the free parameters.
    """

    params: Array
    places: Array
    steps: Array
    cov: Array
    by_state: Array

    def variance(self, rate: Callable[[Array], Affine], states: Array, by_state: Array) -> Array:
        """
        Return what the uncertainty of the parameters adds to the variance of rates A + B x, (n, m).

        By the delta method, with d(A + B x) = dA + dB x + B dx.

        Parameters
        ----------
        rate : callable
            From a full parameter vector to A and B.
        states : ndarray, (n, k)
            x.
        by_state : ndarray, (n, k, q)
            dx.
        """

        def joined(at: Array) -> Array:
            affine = rate(at)
            return np.column_stack([affine.intercept, affine.slope])

        moved = jacobian(joined, self.params, self.steps, places=self.places)
        intercept, slope = moved[:, 0], moved[:, 1:]
        moves = intercept + np.einsum("nk,mkq->nmq", states, slope)
        moves = moves + np.einsum("mk,nkq->nmq", rate(self.params).slope, by_state)
        flat = moves.reshape(-1, len(self.places))
        added = np.where((flat != 0).any(axis=1), delta_errors(flat, self.cov) ** 2, 0.0)
        return added.reshape(moves.shape[:2])
