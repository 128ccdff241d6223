"""Trials of statsmodels' optimisers: they step back where there is no likelihood."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from statsmodels.base import optimizer
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..exceptions import ConvergenceWarning, ParameterError, StateSpaceError, warn
from ..numerics.linear_algebra import NOT_HERE, Array
from .filter_conditions import has_skipped, without_skips
from .representation import preserved
from .system import require_likelihood, stationary_radius

_BORDER = 1.0 - 1e-6
"""Modulus of a root from which a fit is at the border of the region of a stationary start."""
_SHARES = (0.98, 0.95, 0.9, 0.8, 0.6, 0.3, 0.0)
"""What is left of coefficients of the transition in start values that are moved inside."""

_FLAT, _ROUNDING, _LEAST_SHARE = 1e-10, 1e-12, 1e-9
"""Newton's method: least eigenvalue, decrement that is rounding, and least share of a step."""


Value = Callable[[Array], float]
Slope = Callable[[Array], Array]
T = TypeVar("T")

_NOWHERE = (b"", np.inf, False)
"""No parameters yet, with their value and whether observations are skipped there."""


def _bound(function: Callable[..., T], fargs: Iterable[object]) -> Callable[[Array], T]:
    """Return a function of the parameters alone: Newton's method of statsmodels passes nothing else."""
    return lambda params: function(params, *fargs)


def _within(start: Array, bounds: object) -> Array:
    """Return start values within bounds, where the optimiser would move them."""
    limits = np.array(bounds if bounds is not None else [], dtype=float)  # None means unbounded
    if limits.shape != (len(start), 2):  # the optimiser says what is wrong
        return start
    return np.asarray(np.fmin(np.fmax(start, limits[:, 0]), limits[:, 1]))


@dataclass
class Trials:
    """
    A replacement of one of statsmodels' optimisers that steps back where there is no likelihood.

    The value there is that of the iterate plus a wall, since a line search interpolates and needs a finite
    value. The gradient there points away from the best parameters.

    A gradient by differences (``approx_grad``) is the one of `scipy.optimize.fmin_l_bfgs_b`, to rounding. The
    tests that a likelihood exists are made once a gradient, not at each of its points.

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
    _moved: bool = field(default=False, repr=False)
    _last: tuple[bytes, float, bool] = field(default=_NOWHERE, repr=False)

    def __call__(
        self, f: Any, score: Any, start_params: Any, fargs: Any, kwargs: dict[str, Any], **options: Any
    ) -> tuple[Array, dict[str, Any] | None]:
        """Minimise ``f``; arguments and return values are those of statsmodels' optimisers."""
        start = np.array(start_params, dtype=float)
        own = {name: value for name, value in kwargs.items() if name != "extra_fit_funcs"}
        f, score, hess = (_bound(each, fargs) for each in (f, score, options["hess"]))
        by_differences = bool(own.get("approx_grad") and own.get("epsilon") and "bounds" not in own)
        if by_differences:
            del own["approx_grad"]
            f, score = self._unskipped(f), partial(self._forward, f, own.pop("epsilon"))
        with nullcontext() if by_differences else without_skips(self.model.ssm):
            start = _within(self._inside(start), own.get("bounds"))
            self._floor = float(f(start))  # what is wrong there is an error
            self._best = self._floor, start
            require_likelihood(self.model.ssm)
            newton = self.minimise is optimizer._fit_newton
            if newton:  # before 0.15 of another sign
                score, hess = _bound(self._slope, fargs), _bound(self._curvature, fargs)
            value, gradient = partial(self._value, f), partial(self._gradient, score)
            hess = partial(self._hessian, hess)
            options["hess"] = partial(self._damped, value, gradient, hess) if newton else hess
            options["callback"] = partial(self._called, options.get("callback"))
            found, retvals = self.minimise(value, gradient, start, (), own, **options)
            return self._ended(np.asarray(found), retvals, value(found))

    def _called(self, then: Callable[..., object] | None, *state: object) -> object:
        self._floor = self._best[0]
        return None if then is None else then(*state)

    def _gradient(self, score: Slope, params: Array) -> Array:
        """Return the gradient, away from the best parameters where there is no likelihood."""
        try:
            return np.asarray(score(params))
        except (StateSpaceError, *NOT_HERE):
            self._last = _NOWHERE
            away = np.asarray(params) - self._best[1]
            if not np.any(away):  # the likelihood exists there, so that something else is wrong
                self._stuck = True
                if not self._moved:
                    raise
            return np.asarray((10.0 + abs(self._floor)) * away / max(float(away @ away), 1e-300))

    def _hessian(self, hess: Slope, params: Array) -> Array:
        """Return second derivatives, which statsmodels divides by the number of periods twice."""
        return (self.model.nobs - self.model.ssm.loglikelihood_burn) * np.asarray(hess(params))

    def _unskipped(self, f: Value) -> Value:
        """Return ``f`` that is computed anew where statsmodels has skipped an observation."""

        def value(params: Array) -> float:
            """Return the value, and remember it with whether observations are skipped there."""
            found, skips = float(f(params)), has_skipped(self.model.ssm)
            if skips:
                with without_skips(self.model.ssm):
                    found = float(f(params))
            self._last = params.tobytes(), found, skips
            return found

        return value

    def _forward(self, f: Value, step: float, params: Array) -> Array:
        """Return forward differences of ``f``; optimisers ask for the value at the same parameters first."""
        key, here, skips = self._last
        if key != params.tobytes():
            here, skips = self._unskipped(f)(params), self._last[2]
            require_likelihood(self.model.ssm)
        out, at = np.empty(len(params)), np.array(params)
        with without_skips(self.model.ssm) if skips else nullcontext():
            for i, value in enumerate(params):
                at[i] = value + step
                out[i] = (float(f(at)) - here) / (at[i] - value)
                at[i] = value
        return out

    def _slope(self, params: Array, *args: object) -> Array:
        return -np.asarray(self.model.score(params, *args)) / self.model.nobs

    def _curvature(self, params: Array, *args: object) -> Array:
        return -np.asarray(self.model.hessian(params, *args)) / self.model.nobs

    def _damped(self, value: Value, slope: Slope, hessian: Slope, params: Array) -> Array:
        """Return positive definite second derivatives, over the share of the step that lowers the value."""
        here, gradient = value(params), slope(params)
        values, vectors = np.linalg.eigh(hessian(params))
        values = np.maximum(np.abs(values), _FLAT * np.max(np.abs(values), initial=_FLAT))
        step, share = -vectors @ (vectors.T @ gradient / values), 1.0
        small = -float(gradient @ step) <= _ROUNDING * (1.0 + abs(here))
        while not small and share > _LEAST_SHARE and not value(params + share * step) < here:
            share /= 2.0
        self._stuck = share <= _LEAST_SHARE
        return np.asarray((vectors * values) @ vectors.T / share)

    def _value(self, f: Value, params: Array) -> float:
        """Return the value, behind the wall where there is no likelihood."""
        params = np.asarray(params)
        if params.tobytes() == self._last[0]:
            return self._last[1]
        try:
            value = float(f(params))
            require_likelihood(self.model.ssm)
        except (StateSpaceError, *NOT_HERE):
            value, self._last = np.inf, _NOWHERE
        if not np.isfinite(value):
            self.outside += 1
            return self._floor + 10.0 + abs(self._floor)
        if value < self._best[0]:
            self._best, self._moved = (value, np.array(params)), True
        return value

    def _ended(
        self, found: Array, retvals: dict[str, Any] | None, value: float
    ) -> tuple[Array, dict[str, Any] | None]:
        """Return the best parameters, where the optimiser ended at much worse ones; warn at the border."""
        least, best = self._best
        beaten = value - least > 1e-6 * (1.0 + abs(least))
        found = best if beaten else found
        radius = self._radius(found) if self.outside else 0.0
        good = not (self._stuck or beaten or radius >= _BORDER)
        if retvals is not None:
            good = good and retvals["converged"]
            ends = {"trials_without_likelihood": self.outside, "converged": good, "fopt": min(value, least)}
            retvals = {**retvals, **ends}
        if self.outside and not (good and retvals):
            self._warn(radius)
        return found, retvals

    def _warn(self, radius: float) -> None:
        place = "at" if radius >= _BORDER else "near"
        warn(
            f"The fit ended {place} the border of the region in which a likelihood exists: the largest root "
            f"of a stationary start has modulus {radius:.8g}, and {self.outside} trials had no likelihood. "
            "Start elsewhere, or use another initialization.",
            ConvergenceWarning,
        )

    def _radius(self, params: Array) -> float:
        """Return the largest modulus of a root of the states with a stationary start."""
        with preserved(self.model):
            self.model.update(params, transformed=False)
            return stationary_radius(self.model.ssm)

    def _inside(self, start: Array) -> Array:
        """Return start values with a stationary start; coefficients of the transition shrink where needed."""
        if not self.movable:
            return start
        self.model.update(start, transformed=False)
        if stationary_radius(self.model.ssm) < 1.0:
            return start

        def transition(params: Array) -> Array:
            """Return a copy of the transition."""
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
