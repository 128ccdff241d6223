"""Trials of statsmodels' optimisers at parameters that have no likelihood."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from statsmodels.base import optimizer
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..exceptions import ConvergenceWarning, ParameterError, StateSpaceError
from ..numerics.linear_algebra import NOT_HERE, Array
from .model_score import preserved
from .system import stationary_radius

METHODS_OF_FIT: dict[str, Callable[..., Any]] = {
    name: getattr(optimizer, f"_fit_{name}")
    for name in ("lbfgs", "bfgs", "newton", "cg", "ncg", "basinhopping", "nm", "powell")
}
_BORDER = 1.0 - 1e-6
"""Modulus of a root from which a fit is at the border of the region of a stationary start."""
_SHARES = (0.98, 0.95, 0.9, 0.8, 0.6, 0.3, 0.0)
"""What is left of coefficients of the transition in start values that are moved inside."""


@dataclass
class Trials:
    """
    A replacement of one of statsmodels' optimisers that steps back where there is no likelihood.

    The value there is the last one plus a wall, since a line search by interpolation needs a number: after
    minus infinity it would not find back.

    Attributes
    ----------
    model : MLEModel
        The model, for its transition.
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
    _last: float = field(default=0.0, repr=False)

    def __call__(
        self, f: Any, score: Any, start_params: Any, fargs: Any, kwargs: dict[str, Any], **options: Any
    ) -> tuple[Array, dict[str, Any] | None]:
        """Minimise ``f``; arguments and return values are those of statsmodels' optimisers."""
        start = np.array(start_params, dtype=float)
        if self.movable:
            start = self._inside(start)
        own = {name: value for name, value in kwargs.items() if name != "extra_fit_funcs"}
        self._last = float(f(start, *fargs))  # named errors pass
        if self.minimise is optimizer._fit_newton:
            found, retvals = self.minimise(f, score, start, fargs, own, **options)
            return found, retvals

        def value(params: Array, *args: Any) -> float:
            out = self._value(f, params, args)
            if out is None:
                self.outside += 1
                return self._last + 10.0 + abs(self._last)
            self._last = out
            return out

        def gradient(params: Array, *args: Any) -> Array:
            try:
                return np.asarray(score(params, *args))
            except (StateSpaceError, *NOT_HERE):
                return np.zeros(len(start))

        found, retvals = self.minimise(value, gradient, start, fargs, own, **options)
        if retvals is not None:
            retvals = {**retvals, "trials_without_likelihood": self.outside}
        self._report(np.asarray(found), retvals)
        return found, retvals

    def _value(self, f: Any, params: Array, args: Any) -> float | None:
        """Return the value, None where there is no likelihood."""
        try:
            value = float(f(params, *args))
        except (StateSpaceError, *NOT_HERE):
            return None
        return value if np.isfinite(value) and stationary_radius(self.model.ssm) < 1.0 else None

    def _radius(self, params: Array) -> float:
        """Return the largest modulus of a root of the states with a stationary start."""
        with preserved(self.model):
            self.model.update(params, transformed=False)
            return stationary_radius(self.model.ssm)

    def _inside(self, start: Array) -> Array:
        """Return start values with a stationary start, coefficients of the transition smaller where needed."""
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

    def _report(self, found: Array, retvals: dict[str, Any] | None) -> None:
        """Warn where the fit ended at the border."""
        if not self.outside:
            return
        radius = self._radius(found)
        stuck = retvals is not None and not retvals["converged"]
        if radius >= _BORDER or stuck:
            warnings.warn(
                f"The fit ended {'at' if radius >= _BORDER else 'near'} the border of the region in which a "
                f"stationary start exists: the transition has a root of modulus {radius:.8g}, and "
                f"{self.outside} trials had no likelihood. Start elsewhere, or choose another initialization.",
                ConvergenceWarning,
                stacklevel=2,
            )
