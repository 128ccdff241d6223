"""Trials of statsmodels' optimisers at parameters that have no likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from statsmodels.base import optimizer
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..exceptions import ConvergenceWarning, ParameterError, StateSpaceError, warn
from ..numerics.linear_algebra import NOT_HERE, Array
from .filter_pass import without_skips
from .representation import preserved
from .system import require_likelihood, stationary_radius

METHODS_OF_FIT: dict[str, Callable[..., Any]] = {
    name: getattr(optimizer, f"_fit_{name}")
    for name in ("lbfgs", "bfgs", "newton", "cg", "ncg", "basinhopping", "nm", "powell")
}
_BORDER = 1.0 - 1e-6
"""Modulus of a root from which a fit is at the border of the region of a stationary start."""
_SHARES = (0.98, 0.95, 0.9, 0.8, 0.6, 0.3, 0.0)
"""What is left of coefficients of the transition in start values that are moved inside."""

_FLAT, _ROUNDING, _LEAST_SHARE = 1e-10, 1e-12, 1e-9
"""Newton's method: least eigenvalue, decrement that is rounding, and least share of a step."""


def _with(function: Any, fargs: Any, params: Array) -> Any:
    return function(params, *fargs)


@dataclass
class Trials:
    """
    A replacement of one of statsmodels' optimisers that steps back where there is no likelihood.

    The value there is that of the iterate plus a wall, since a line search interpolates and needs a finite
    value. The gradient there points away from the best parameters.

    Attributes
    ----------
    model : MLEModel
        The model.
    minimise : callable
        The optimiser.
    movable : bool
        Whether start values outside of the region are moved inside; else they are an error.
    outside : int
        Number of trials without a likelihood.
    """

    model: MLEModel
    minimise: Callable[..., Any]
    movable: bool
    outside: int = 0
    _floor: float = field(default=0.0, repr=False)
    _best: tuple[float, Array] = field(default=(np.inf, np.zeros(0)), repr=False)
    _stuck: bool = field(default=False, repr=False)

    def __call__(
        self, f: Any, score: Any, start_params: Any, fargs: Any, kwargs: dict[str, Any], **options: Any
    ) -> tuple[Array, dict[str, Any] | None]:
        """Minimise ``f``; arguments and return values are those of statsmodels' optimisers."""
        start = np.array(start_params, dtype=float)
        own = {name: value for name, value in kwargs.items() if name != "extra_fit_funcs"}
        with without_skips(self.model.ssm):
            if self.movable:
                start = self._inside(start)
            self._floor = float(f(start, *fargs))  # what is wrong there is an error
            self._best = self._floor, start
            require_likelihood(self.model.ssm)
            hess, then = options.pop("hess", None), options.pop("callback", None)
            if self.minimise is optimizer._fit_newton:  # before 0.15 of another sign
                score, hess = self._slope, self._curvature
            periods = self.model.nobs - self.model.ssm.loglikelihood_burn

            def value(params: Array, *args: Any) -> float:
                return self._value(f, np.asarray(params), args)

            def gradient(params: Array, *args: Any) -> Array:
                try:
                    return np.asarray(score(params, *args))
                except (StateSpaceError, *NOT_HERE):
                    away = np.asarray(params) - self._best[1]
                    return np.asarray((10.0 + abs(self._floor)) * away / max(float(away @ away), 1e-300))

            def hessian(params: Array, *args: Any) -> Array:
                try:  # statsmodels divides by the number of periods twice
                    return periods * np.asarray(hess(params, *args))
                except (StateSpaceError, *NOT_HERE):
                    return np.eye(len(start))

            def callback(*state: Any) -> Any:
                self._floor = self._best[0]
                return None if then is None else then(*state)

            options |= {"hess": hessian, "callback": callback}
            if self.minimise is optimizer._fit_newton:  # which calls these without fargs
                slope = partial(_with, gradient, fargs)
                options["hess"] = partial(self._damped, partial(_with, value, fargs), slope, hessian, fargs)
                found, retvals = self.minimise(value, slope, start, fargs, own, **options)
            else:
                found, retvals = self.minimise(value, gradient, start, fargs, own, **options)
            return self._ended(np.asarray(found), retvals, value(found, *fargs))

    def _slope(self, params: Array, *args: Any) -> Array:
        return -np.asarray(self.model.score(params, *args)) / self.model.nobs

    def _curvature(self, params: Array, *args: Any) -> Array:
        return -np.asarray(self.model.hessian(params, *args)) / self.model.nobs

    def _damped(self, value: Any, slope: Any, hessian: Any, fargs: Any, params: Array) -> Array:
        """Return positive definite second derivatives, over the share of the step that lowers the value."""
        here, gradient = value(params), slope(params)
        values, vectors = np.linalg.eigh(hessian(params, *fargs))
        values = np.maximum(np.abs(values), _FLAT * np.max(np.abs(values), initial=_FLAT))
        step, share = -vectors @ (vectors.T @ gradient / values), 1.0
        small = -float(gradient @ step) <= _ROUNDING * (1.0 + abs(here))
        while not small and share > _LEAST_SHARE and not value(params + share * step) < here:
            share /= 2.0
        self._stuck = share <= _LEAST_SHARE
        return np.asarray((vectors * values) @ vectors.T / share)

    def _value(self, f: Any, params: Array, args: Any) -> float:
        """Return the value, behind the wall where there is no likelihood."""
        try:
            value = float(f(params, *args))
            require_likelihood(self.model.ssm)
        except (StateSpaceError, *NOT_HERE):
            value = np.inf
        if not np.isfinite(value):
            self.outside += 1
            return self._floor + 10.0 + abs(self._floor)
        if value < self._best[0]:
            self._best = value, np.array(params)
        return value

    def _ended(
        self, found: Array, retvals: dict[str, Any] | None, value: float
    ) -> tuple[Array, dict[str, Any] | None]:
        """Return the best parameters, where the optimiser ended at much worse ones; warn at the border."""
        least, best = self._best
        beaten = value - least > 1e-6 * (1.0 + abs(least))
        found = best if beaten else found
        radius = self._radius(found) if self.outside else 0.0
        if retvals is not None:
            retvals = {**retvals, "trials_without_likelihood": self.outside}
            ended = retvals["converged"] and not self._stuck
            retvals["converged"] = ended and not beaten and radius < _BORDER
            retvals["fopt"] = min(value, least)
        if radius >= _BORDER or self.outside and not (retvals and retvals["converged"]):
            warn(
                f"The fit ended {'at' if radius >= _BORDER else 'near'} the border of the region in which "
                f"a likelihood exists: the largest root of a stationary start has modulus {radius:.8g}, and "
                f"{self.outside} trials had no likelihood. Start elsewhere, or use another initialization.",
                ConvergenceWarning,
            )
        return found, retvals

    def _radius(self, params: Array) -> float:
        """Return the largest modulus of a root of the states with a stationary start."""
        with preserved(self.model):
            self.model.update(params, transformed=False)
            return stationary_radius(self.model.ssm)

    def _inside(self, start: Array) -> Array:
        """Return start values with a stationary start; coefficients of the transition shrink where needed."""
        if self._radius(start) < 1.0:
            return start

        def transition(params: Array) -> Array:
            self.model.update(params, transformed=False)
            return np.array(self.model.ssm["transition"])

        with preserved(self.model):
            here, steps = transition(start), np.diag(1e-4 * np.maximum(np.abs(start), 1.0))
            moving = np.array([np.any(transition(start + step) != here) for step in steps])
        for share in _SHARES:
            inside = np.where(moving, share * start, start)
            if self._radius(inside) < 1.0:
                return inside
        raise ParameterError(
            "The start values of the model have no stationary start",
            got=f"a root of modulus {self._radius(start):.6g}",
            remedy="Pass start_params with the roots of the transition inside the unit circle.",
        )
