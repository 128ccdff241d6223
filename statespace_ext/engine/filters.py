"""The right filter for any statsmodels state-space model: which are valid, and the cheapest of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_filter import (
    FILTER_CHANDRASEKHAR,
    FILTER_COLLAPSED,
    FILTER_CONVENTIONAL,
    FILTER_UNIVARIATE,
    KalmanFilter,
)
from statsmodels.tsa.statespace.mlemodel import MLEModel
from statsmodels.tsa.statespace.representation import Representation

from ..display import Displayed
from ..exceptions import SpecificationError, UnsupportedError
from ..numerics.linear_algebra import NOT_HERE, Array
from .filter_conditions import FLAGS, Conditions, chandrasekhar_pass, require_smoothed
from .representation import forget_compiled, preserved

_CHOICES = FILTER_UNIVARIATE | FILTER_COLLAPSED | FILTER_CHANDRASEKHAR
_OF_DERIVATIVES = {"complex_step", "inversion_method"}
"""What `MLEModel` passes with a log-likelihood; other options ask for a pass of their own."""
_FEW_STATES = 8
"""Number of states from which the conventional filter is as fast as the univariate one."""
_MORE_SERIES, _SEVERAL_SERIES = 1.5, 5
"""Series by state, and series at least, from which it pays to collapse them."""
_LARGE_STATE, _MANY_STATES = 30, 75
"""
Number of states, less two by series, from which the Chandrasekhar recursions are faster than the filters, and
number of states from which those of this package, a loop in Python, are faster than the compiled ones.
"""


@dataclass(frozen=True, repr=False)
class FilterReport(Displayed):
    """
    Report which filters give the right likelihood for a model, and why the others do not.

    Attributes
    ----------
    reasons : dict
        For each filter, the reasons why it is not valid; an empty tuple if it is valid.
    fastest : str
        The fastest valid filter for these numbers of series and states; empty if no filter is valid.
    """

    reasons: dict[str, tuple[str, ...]]
    fastest: str

    @property
    def valid(self) -> tuple[str, ...]:
        """The filters that are valid."""
        return tuple(name for name, reasons in self.reasons.items() if not reasons)

    def __str__(self) -> str:
        """Return a table of the verdicts."""
        lines = []
        for name, reasons in self.reasons.items():
            verdict = "no: " + "; ".join(reasons) if reasons else "valid"
            lines.append(f"{name:<22}{verdict}{' (fastest)' if name == self.fastest else ''}")
        return "\n".join(lines)


def _fastest(reasons: dict[str, tuple[str, ...]], k_endog: int, k_states: int) -> str:
    """Return the valid filter that takes the least time; empty where none is valid."""
    order = ["conventional", "univariate", "collapsed", "univariate collapsed", "chandrasekhar"]
    if k_states < _FEW_STATES:
        order.insert(0, "univariate")
    if k_endog >= max(_MORE_SERIES * k_states, _SEVERAL_SERIES):
        order[:0] = ["collapsed", "univariate collapsed"]
    if _has_large_state(k_endog, k_states):
        order.insert(0, "chandrasekhar")
    return next((name for name in order if not reasons[name]), "")


def _has_large_state(k_endog: int, k_states: int) -> bool:
    """Return whether the Chandrasekhar recursions pay."""
    return k_states > _LARGE_STATE + 2 * k_endog


def filter_report(model: MLEModel | Representation, params: ArrayLike | None = None) -> FilterReport:
    """
    Tell which of statsmodels' filters give the right likelihood for a model and its data.

    Parameters
    ----------
    model : MLEModel or Representation
        Any statsmodels state-space model, or its ``ssm``. It is not changed.
    params : array_like, optional
        Parameters (constrained) at which the conditions are checked. The default is ``model.start_params``.
        For a representation, or a model without start values, the current matrices are checked.

    Returns
    -------
    FilterReport
        Validity, reasons, and the fastest. "univariate collapsed" is the combination of the two.
    """
    with _at(model, params) as ssm:
        conditions = Conditions(ssm)
        reasons = {name: tuple(conditions.reasons(name)) for name in FLAGS}
        return FilterReport(reasons, _fastest(reasons, ssm.k_endog, ssm.k_states))


def use_chandrasekhar(model: MLEModel | Representation, params: ArrayLike | None = None) -> None:
    """
    Switch to the Chandrasekhar recursions if they give the right likelihood.

    The log-likelihood of large models then comes from recursions that do not form the covariance of the
    state, and the stationary start does not need a Schur decomposition. Each pass checks its matrices. If
    the recursions are not valid for them, it runs the conventional filter.

    Parameters
    ----------
    model : MLEModel or Representation
        The model to change.
    params : array_like, optional
        As in `filter_report`.

    Raises
    ------
    UnsupportedError
        If the model or its data violate a condition; the message lists all of them. statsmodels itself
        returns a wrong likelihood, without an error, if the start is not stationary.
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


def use_fastest_filter(model: MLEModel | Representation, params: ArrayLike | None = None) -> str:
    """
    Switch to the fastest filter that gives the right likelihood, and return its name.

    Each pass checks its matrices, and runs the conventional filter if the choice is not valid for them.
    Passes that keep more than the likelihood do not use the univariate or the collapsed filter, whose
    forecast covariances and disturbances differ from those of the series.

    Parameters
    ----------
    model : MLEModel or Representation
        The model to change.
    params : array_like, optional
        As in `filter_report`.

    Raises
    ------
    UnsupportedError
        If no filter of the installed statsmodels is valid.
    """
    report = filter_report(model, params)
    if not report.valid:
        raise UnsupportedError("No filter computes the correct likelihood", got=str(report))
    _guard(model, report, report.fastest)
    return report.fastest


def choose_recursions(ssm: KalmanFilter) -> None:
    """Have each log-likelihood use the Chandrasekhar recursions where they are valid, if they pay."""
    if _has_large_state(ssm.k_endog, ssm.k_states):
        _choose(ssm, "chandrasekhar")


@contextmanager
def _at(model: MLEModel | Representation, params: ArrayLike | None) -> Iterator[KalmanFilter]:
    """Yield the representation with the matrices at some parameters, and put its own back."""
    ssm = getattr(model, "ssm", model)
    if not isinstance(ssm, Representation):
        raise SpecificationError(
            "model must be a state-space model", got=repr(model), expected="an MLEModel or its Representation"
        )
    if ssm.endog is None:
        raise UnsupportedError("The representation needs data", remedy="Call `ssm.bind(endog)`.")
    if params is None and ssm is not model:
        with suppress(NotImplementedError):
            params = model.start_params
    if params is None:
        yield ssm
        return
    with preserved(model):
        model.update(np.asarray(params), transformed=True)
        yield ssm


def _guard(model: MLEModel | Representation, report: FilterReport, name: str) -> None:
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
    _choose(ssm, name if FLAGS[name] != own else "")  # which needs no check at each pass


def _choose(ssm: Any, name: str) -> None:
    """Put the guard before the class of a representation, with the filter for its log-likelihood."""
    if not isinstance(ssm, GuardedFilter):
        ssm.__class__ = _guarded(ssm.__class__)
    ssm.chosen_filter = name


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

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[object, ...]:
        """Name the class without the guard: the other is made when it is needed."""
        _, _, *rest = super().__reduce_ex__(max(int(protocol), 2))
        return _copied, (type(self).__bases__[1],), *rest

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes; compiled objects stay behind, since a copy of them follows no matrices."""
        take = getattr(super(), "__setstate__", self.__dict__.update)
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
        with self._choice(kwargs) as options:
            pays = self.k_states >= _MANY_STATES and not self.filter_concentrated and self.prefix == "d"
            if self._moments is not None and pays:
                with suppress(*NOT_HERE):  # the compiled filter says what there is to say
                    return chandrasekhar_pass(self, *self._moments)
            return super().loglike(**options)

    def loglikeobs(self, **kwargs: Any) -> Array:
        """Return the log-likelihood of each period."""
        with self._choice(kwargs) as options:
            return super().loglikeobs(**options)

    def smooth(self, smoother_output: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return smoothed results, as the representation would without the guard."""
        results = super().smooth(smoother_output, *args, **kwargs)
        require_smoothed(self, results, self.smoother_output if smoother_output is None else smoother_output)
        return results

    @contextmanager
    def _choice(self, kwargs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """
        Yield the arguments for the chosen filter; those given, if it is not valid or more is asked for.

        The pass takes a_1 and P_1 from the conditions of the Chandrasekhar recursions, which compute them.
        """
        # derivatives by complex steps lose digits in the other filters
        plain = not self.chosen_filter or not set(kwargs) <= _OF_DERIVATIVES or kwargs.get("complex_step")
        conditions = None if plain else Conditions(self)
        if conditions is None or conditions.reasons(self.chosen_filter):
            yield kwargs
            return
        method = self.filter_method & ~_CHOICES | FILTER_CONVENTIONAL | FLAGS[self.chosen_filter]
        self._moments = vars(conditions).get("moments")
        try:
            yield {**kwargs, "filter_method": int(method)}
        finally:
            self._moments = None

    def _initialize_state(self, prefix: str | None = None, complex_step: bool = False) -> None:
        if self._moments is None or complex_step or (prefix or self.prefix) != "d":
            super()._initialize_state(prefix, complex_step)
            return
        mean, cov = self._moments
        known = Initialization(self.k_states, "known", constant=mean, stationary_cov=cov)
        self._statespaces["d"].initialize(known)
