"""Derivatives of estimated quantities by the parameters, and the resulting uncertainty."""

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
    """Return a function of all parameters and its delta-method errors, with some parameters fixed."""
    model, params = model_of(results), np.asarray(results.params, dtype=float)
    free = places_without(model, held)

    def at(values: Array) -> Array:
        full = params.copy()
        full[free] = values
        return function(full)

    cov = np.asarray(results.params_cov.cov)[np.ix_(free, free)]
    return delta_method(at, params[free], cov, model.difference_steps(params)[free])


def places_without(model: Any, held: Iterable[str]) -> Array:
    """Return the positions of the parameters that are not fixed."""
    known = set(held)
    return np.array([i for i, name in enumerate(model.param_names) if name not in known], dtype=int)


@dataclass(frozen=True)
class Sensitivity:
    """
    Derivatives of estimated factors by the parameters.

    Attributes
    ----------
    params : ndarray
        The estimates, as a full parameter vector.
    places : ndarray of int, (q,)
        Positions of the free parameters.
    steps : ndarray
        Steps of finite differences, one for each parameter.
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
        Return the contribution of parameter uncertainty to the variance of rates A + B x, (n, m).

        It uses the delta method with d(A + B x) = dA + dB x + B dx.

        Parameters
        ----------
        rate : callable
            Function that maps a full parameter vector to A and B.
        states : ndarray, (n, k)
            The states x.
        by_state : ndarray, (n, k, q)
            The derivatives dx.
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
