"""The right filter for any statsmodels state-space model: which are valid, and the cheapest of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_filter import (
    FILTER_CHANDRASEKHAR,
    FILTER_COLLAPSED,
    FILTER_CONVENTIONAL,
    FILTER_UNIVARIATE,
    KalmanFilter,
)
from statsmodels.tsa.statespace.representation import Representation

from ..exceptions import SpecificationError, UnsupportedError
from ..numerics.chandrasekhar import chandrasekhar_loglike
from ..numerics.linear_algebra import NOT_HERE, Array
from ..numerics.lyapunov import stationarity_error
from .filter_conditions import (
    FLAGS,
    MOST_FALL,
    NOT_STATIONARY,
    Conditions,
    chandrasekhar_pass,
    largest_fall,
    require_smoothed,
)
from .representation import forget_compiled, preserved
from .system import MATRICES, System

_CHOICES = FILTER_UNIVARIATE | FILTER_COLLAPSED | FILTER_CHANDRASEKHAR
_OF_DERIVATIVES = {"complex_step", "inversion_method"}
"""What `MLEModel` passes with a log-likelihood; other options ask for a pass of their own."""
_COST_OF_CHECKS = 200.0
"""Microseconds that a look at the conditions takes, about."""


@dataclass(frozen=True)
class FilterReport:
    """
    Which filters give the right likelihood for a model, and why the others do not.

    Attributes
    ----------
    reasons : dict
        By filter, why it is not valid; an empty tuple where it is.
    fastest : str
        The cheapest valid filter, by a cost model.
    costs : dict
        By filter, microseconds a period by that model.
    """

    reasons: dict[str, tuple[str, ...]]
    fastest: str
    costs: dict[str, float]

    @property
    def valid(self) -> tuple[str, ...]:
        """The filters that are valid."""
        return tuple(name for name, reasons in self.reasons.items() if not reasons)

    def __str__(self) -> str:
        """Return a table of the verdicts."""
        lines = []
        for name, reasons in self.reasons.items():
            verdict = "no: " + "; ".join(reasons) if reasons else f"valid, {self.costs[name]:.3g} us a period"
            lines.append(f"{name:<22}{verdict}{' (fastest)' if name == self.fastest else ''}")
        return "\n".join(lines)


def python_cost(k_endog: int, k_states: int) -> float:
    """Return the microseconds of a period of the Chandrasekhar likelihood of this package, a Python loop."""
    p, k = float(k_endog), float(k_states)
    return 16.0 + 0.35 * p + 0.03 * p**2 + 3e-4 * k**2 + 4e-5 * k**2 * p


def compiled_cost(k_endog: int, k_states: int) -> float:
    """Return the microseconds of a period of statsmodels' Chandrasekhar recursions."""
    p, k = float(k_endog), float(k_states)
    small = 0.6 + 0.12 * p + 2.6e-4 * p**3 + 0.0077 * k * p + 1.5e-4 * k * p**2
    return small + 1.7e-4 * k**2 * p + 0.0026 * k**2 + 4.3e-6 * k**3


def period_costs(k_endog: int, k_states: int, compiled: bool = False) -> dict[str, float]:
    """
    Return what a period costs each filter before its covariances have converged, in microseconds.

    Fitted to one thread on a common machine, for 1 to 120 states and 1 to 60 series; only the ratios count,
    and not the number of periods, which multiplies them all. The recursions are the cheaper of those of this
    package and those of statsmodels, or the latter (``compiled``).
    """
    p, k = float(k_endog), float(k_states)
    recursions = compiled_cost(k_endog, k_states)
    if not compiled:
        recursions = min(recursions, python_cost(k_endog, k_states))
    collapsed = 0.76 + 0.0092 * p + 2.2e-7 * p**3 + 0.0011 * k * p + 0.019 * k**2 + 6e-5 * k**3
    return {
        "conventional": 0.52 + 0.088 * p + 5e-5 * p**3 + 0.0093 * k * p + 0.0016 * k**2
        + 1.3e-4 * k**2 * p + 5.9e-5 * k**3 + 1.6e-5 * k * p**2,
        "univariate": 0.47 + 0.073 * p + 2.1e-6 * p**3 + 0.005 * k * p + 0.0031 * k**2
        + 4.1e-4 * k**2 * p + 5.3e-5 * k**3,
        "collapsed": collapsed,
        "univariate collapsed": 1.05 * collapsed,
        "chandrasekhar": recursions,
    }  # fmt: skip


def filter_report(model: Any, params: Any = None) -> FilterReport:
    """
    Tell which of statsmodels' filters give the right likelihood for a model and its data.

    Parameters
    ----------
    model : MLEModel or Representation
        Any statsmodels state-space model, or its ``ssm``. It is left as it was.
    params : array_like, optional
        Parameters (constrained) at which to look. Default is ``model.start_params``; for a representation,
        or a model without start values, the matrices as they stand.

    Returns
    -------
    FilterReport
        Validity, reasons, and the fastest. "univariate collapsed" is the combination of the two.
    """
    with _at(model, params) as ssm:
        return _report(ssm)


def use_chandrasekhar(model: Any, params: Any = None) -> None:
    """
    Set ``filter_chandrasekhar``, where the recursions give the right likelihood.

    The log-likelihood of large models then comes from recursions that form no covariance of the state, and a
    stationary start needs no Schur form. Each pass checks the matrices that it meets: where the recursions
    are not valid for them, it runs the conventional filter.

    Parameters
    ----------
    model : MLEModel or Representation
        The model to change.
    params : array_like, optional
        As in `filter_report`.

    Raises
    ------
    UnsupportedError
        With every condition that the model or its data violate. statsmodels itself returns a wrong
        likelihood, without an error, for a start that is not stationary.
    """
    report = filter_report(model, params)
    reasons = report.reasons["chandrasekhar"]
    if reasons:
        raise UnsupportedError(
            "The Chandrasekhar recursions are not valid for this model",
            got="; ".join(reasons),
            expected="constant matrices (intercepts may vary), a stationary start, complete data",
            remedy="Leave the conventional filter, or let `use_fastest_filter` choose among the valid ones.",
        )
    _guard(model, report, "chandrasekhar")


def use_fastest_filter(model: Any, params: Any = None) -> str:
    """
    Set the cheapest filter that gives the right likelihood, and return its name.

    Each pass checks the matrices that it meets, and runs the conventional filter where they do not allow
    the choice. Passes that keep more than the likelihood do not use the univariate or the collapsed filter,
    whose forecast covariances and disturbances are not those of the series.

    Parameters
    ----------
    model : MLEModel or Representation
        The model to change.
    params : array_like, optional
        As in `filter_report`.

    Raises
    ------
    UnsupportedError
        If no filter of the installed statsmodels is right.
    """
    report = filter_report(model, params)
    if not report.valid:
        raise UnsupportedError("No filter gives the right likelihood", got=str(report))
    _guard(model, report, report.fastest)
    return report.fastest


def system_recursions(system: System, missing: Array) -> str:
    """
    Say which Chandrasekhar recursions give the log-likelihood of a system, where they pay.

    Parameters
    ----------
    system : System
        The matrices.
    missing : ndarray of bool, (nobs, k_endog)
        Where observations are missing.

    Returns
    -------
    str
        "python" or "compiled" (those of statsmodels); empty where they are not valid or the Kalman filter is
        faster.
    """
    n, p = missing.shape
    costs = {"python": python_cost(p, system.k_states), "compiled": compiled_cost(p, system.k_states)}
    cheaper = min(costs, key=costs.__getitem__)
    saved = n * (period_costs(p, system.k_states)["conventional"] - costs[cheaper])
    if system.start != "stationary" or saved < _COST_OF_CHECKS:
        return ""
    constant = all(getattr(system, name).ndim == 2 for name in MATRICES if not name.endswith("intercept"))
    if not constant or missing.any():
        return ""
    Z, H, T, P = system.design, system.obs_cov, system.transition, system.initial_state_cov
    selected_cov = system.selection @ system.state_cov @ system.selection.T
    stationary = stationarity_error(P, T, selected_cov) <= NOT_STATIONARY
    falls = largest_fall(Z @ P @ Z.T + H, Z @ selected_cov @ Z.T + H)
    return cheaper if stationary and falls < MOST_FALL else ""


def system_loglike(system: System, endog: Array) -> float:
    """Return the log-likelihood of a system by the recursions of this package, where they are valid."""
    d, c = (each.reshape(len(each), -1) for each in (system.obs_intercept, system.state_intercept))
    start = system.initial_state, system.initial_state_cov
    by_period = chandrasekhar_loglike(endog, system.design, d, system.obs_cov, system.transition, c, *start)
    return float(np.sum(by_period))


def _report(ssm: Any) -> FilterReport:
    conditions = Conditions(ssm)
    reasons = {name: tuple(conditions.reasons(name)) for name in FLAGS}
    costs = period_costs(ssm.k_endog, ssm.k_states, compiled=bool(ssm.filter_concentrated))
    fastest = min((name for name in FLAGS if not reasons[name]), key=costs.__getitem__, default="")
    return FilterReport(reasons, fastest, costs)


@contextmanager
def _at(model: Any, params: Any) -> Iterator[Any]:
    """Yield the representation with the matrices at some parameters, and put its own back."""
    ssm = getattr(model, "ssm", model)
    if not isinstance(ssm, Representation):
        raise SpecificationError(
            "model is no state-space model", got=repr(model), expected="an MLEModel or its Representation"
        )
    if ssm.endog is None:
        raise UnsupportedError("The representation has no data", remedy="Bind them: `ssm.bind(endog)`.")
    if params is None and ssm is not model:
        try:
            params = model.start_params
        except NotImplementedError:
            params = None
    if params is None:
        yield ssm
        return
    with preserved(model):
        model.update(np.asarray(params), transformed=True)
        yield ssm


def _guard(model: Any, report: FilterReport, name: str) -> None:
    """
    Have each log-likelihood use a filter where it is right.

    Other passes run as the model has them, or, where that is wrong, with the conventional filter; where this
    is wrong too, with the chosen one.
    """
    ssm = getattr(model, "ssm", model)
    own = ssm.filter_method & (FILTER_UNIVARIATE | FILTER_COLLAPSED)
    if report.reasons[{flag: method for method, flag in FLAGS.items()}[own]]:
        own = FLAGS[name] if report.reasons["conventional"] else 0
    if ssm.filter_method & _CHOICES != own:
        ssm.filter_method = ssm.filter_method & ~_CHOICES | FILTER_CONVENTIONAL | own
    kind: Any = type(ssm)
    if not issubclass(kind, GuardedFilter):
        ssm.__class__ = _guarded(kind)
    ssm.chosen_filter = name if FLAGS[name] != own else ""  # which needs no check at each pass


@cache
def _guarded(plain: Any) -> Any:
    """Return the class of a representation with `GuardedFilter` before it."""
    return type(plain.__name__, (GuardedFilter, plain), {"__module__": plain.__module__})


def _copied(plain: Any) -> Any:
    """Return an empty representation with a guard, into which a copy puts its attributes."""
    guarded = _guarded(plain)
    return guarded.__new__(guarded)


class GuardedFilter(KalmanFilter):
    """
    The class that a representation gets before its own, once a filter was chosen for it.

    The choice serves the log-likelihood alone. All other passes (filter, smoother, simulation, forecasts)
    keep the ``filter_method`` of the representation, so that a filter and the smoother after it cannot
    disagree. A copy and an unpickled representation have the choice too; a clone has it not.
    """

    likelihood_neutral = ("loglike", "loglikeobs", "smooth")
    chosen_filter: str = ""
    _moments: tuple[Array, Array] | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Name the class without the guard: the other is made when it is needed."""
        _, _, *rest = super().__reduce_ex__(max(int(protocol), 2))
        return _copied, (type(self).__bases__[1],), *rest

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes; compiled objects stay behind, since a copy of them follows no matrices."""
        take: Any = getattr(super(), "__setstate__", self.__dict__.update)
        take(state)
        forget_compiled(self)

    @property
    def filter_chandrasekhar(self) -> bool:
        """Whether the recursions serve the log-likelihood, or all passes; set to False, none."""
        return bool(self.filter_method & FILTER_CHANDRASEKHAR) or self.chosen_filter == "chandrasekhar"

    @filter_chandrasekhar.setter
    def filter_chandrasekhar(self, value: bool) -> None:
        self.filter_method &= ~FILTER_CHANDRASEKHAR
        self.filter_method |= FILTER_CHANDRASEKHAR if value else 0
        if not value and self.chosen_filter == "chandrasekhar":
            self.chosen_filter = ""

    def loglike(self, **kwargs: Any) -> float:
        """Return the log-likelihood."""
        conditions = self._conditions(kwargs)
        if conditions is None:
            return super().loglike(**kwargs)
        real = self.prefix == "d" and not kwargs.get("complex_step")
        pays = python_cost(self.k_endog, self.k_states) < compiled_cost(self.k_endog, self.k_states)
        if self.chosen_filter == "chandrasekhar" and real and pays and not self.filter_concentrated:
            try:
                return chandrasekhar_pass(self, *conditions.moments)
            except NOT_HERE:
                pass  # the compiled filter says what there is to say
        with self._started(conditions):
            return super().loglike(filter_method=self._chosen_method, **kwargs)

    def loglikeobs(self, **kwargs: Any) -> Array:
        """Return the log-likelihood of each period."""
        conditions = self._conditions(kwargs)
        if conditions is None:
            return super().loglikeobs(**kwargs)
        with self._started(conditions):
            return super().loglikeobs(filter_method=self._chosen_method, **kwargs)

    def smooth(self, smoother_output: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return smoothed results, as the representation would without the guard."""
        results = super().smooth(smoother_output, *args, **kwargs)
        require_smoothed(self, results, self.smoother_output if smoother_output is None else smoother_output)
        return results

    def _conditions(self, kwargs: dict[str, Any]) -> Conditions | None:
        """Return what the choice was checked by; None where it is not right, or more is asked for."""
        if not self.chosen_filter or not set(kwargs) <= _OF_DERIVATIVES:
            return None
        if kwargs.get("complex_step"):
            return None  # derivatives by complex steps lose digits in the other filters
        conditions = Conditions(self)
        return None if conditions.reasons(self.chosen_filter) else conditions

    @property
    def _chosen_method(self) -> int:
        return int(self.filter_method & ~_CHOICES | FILTER_CONVENTIONAL | FLAGS[self.chosen_filter])

    @contextmanager
    def _started(self, conditions: Conditions) -> Iterator[None]:
        """Have the pass take a_1 and P_1 from the conditions, where these computed them."""
        self._moments = vars(conditions).get("moments")
        try:
            yield
        finally:
            self._moments = None

    def _initialize_state(self, prefix: str | None = None, complex_step: bool = False) -> None:
        if self._moments is None or complex_step or (prefix or self.prefix) != "d":
            super()._initialize_state(prefix, complex_step)
            return
        mean, cov = self._moments
        known = Initialization(self.k_states, "known", constant=mean, stationary_cov=cov)
        self._statespaces["d"].initialize(known)
