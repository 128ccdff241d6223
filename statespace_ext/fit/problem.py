"""What a fit is asked: the estimation problem of a model, and the options of `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, Protocol, TypeGuard, TypeVar

import numpy as np
import pandas as pd

from ..em.regressions import Moments, by_group
from ..em.updates import LinearGaussianUpdates
from ..engine.arguments import check_jobs, one_of, random_generator, whole_number
from ..engine.expectation import ESTEPS, expectation
from ..engine.smoother import Smoother
from ..engine.system import System, reason
from ..exceptions import SpecificationError, UnsupportedError, nearest, shown
from ..numerics.linear_algebra import NOT_HERE, Array, is_positive_semidefinite
from ..params.layout import ParameterLayout

T = TypeVar("T")
WHITENED_UP_TO = 80
"""Largest number of parameters for which "auto" uses second derivatives. They need one score each."""
_AVERAGED_UP_TO = 1500
"""The same for second derivatives from an average information, which take about three scores."""


class Model(Protocol):
    """Interface of a model for estimation."""

    layout: ParameterLayout
    endog_names: str | list[str]

    @property
    def private_smoother(self) -> Smoother:
        """A smoother that shares no state with the model."""

    def initialized_system(self, params: Array) -> System:
        """Return the system at a full parameter vector."""

    def variance_sizes(self, params: Array) -> dict[str, Array]:
        """Return, for each covariance block, the variances that would explain the data on their own."""

    def updates(self, layout: ParameterLayout) -> LinearGaussianUpdates:
        """Return the EM updates for a layout of the free parameters."""

    def default_start(self, problem: EstimationProblem) -> Array:
        """Return start values of the free parameters."""

    def other_starts(self, problem: EstimationProblem) -> list[Array]:
        """Return further start values, for likelihoods with several maxima."""

    def later_starts(self, problem: EstimationProblem) -> Iterator[Array]:
        """Yield start values to try after the first maximum, until several agree."""

    def other_local_maxima(self, problem: EstimationProblem, params: Array) -> list[Array]:
        """Return points that may lead to a higher maximum than ``params``."""

    def mirrored(self, problem: EstimationProblem, params: Array, near: Array) -> Array:
        """Return the sign-equivalent parameters that are closest to ``near``."""

    def stabilised(self, problem: EstimationProblem, params: Array) -> Array:
        """Return nearby free parameters at which the likelihood exists."""

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient at a full parameter vector."""

    @property
    def has_average_information(self) -> bool:
        """Whether `average_information` exists, and takes less time than differences of the score."""

    def average_information(self, params: Array) -> Array:
        """Return the average of the observed and the expected information at a full parameter vector."""


class EstimationProblem:
    """
    A model with some parameters fixed. Parameter vectors contain only the free parameters.

    Parameters
    ----------
    model : Model
        The model.
    fixed : mapping of str to float
        Values of the fixed parameters by name.
    estep : {"auto", "fast", "collapsed", "statsmodels"}
        Method of the E-step.

    Attributes
    ----------
    best : tuple of (float, ndarray) or None
        The highest log-likelihood so far, and its parameters.
    path : list of float
        The log-likelihoods that were higher than all earlier ones.
    began : float
        Time at which the problem was created, by `time.perf_counter`.
    memory : dict
        What the model keeps from one proposal of start values to the next.
    """

    def __init__(self, model: Model, fixed: Mapping[str, float], estep: str = "auto") -> None:
        self.model, self.estep = model, estep
        self.layout = model.layout.fix(fixed)
        self._free = model.layout.positions(self.layout.names)
        self._full = np.zeros(len(model.layout))
        self._full[model.layout.positions(list(fixed))] = list(fixed.values())
        self.updates = model.updates(self.layout)
        self.best: tuple[float, Array] | None = None
        self.path: list[float] = []
        self.began = time.perf_counter()
        self.memory: dict[str, Any] = {}

    def remember(self, llf: float, params: Array) -> None:
        """Store parameters and their log-likelihood if it is the highest so far."""
        if np.isfinite(llf) and (self.best is None or llf > self.best[0]):
            self.best = (llf, np.array(params))
            self.path.append(llf)

    @property
    def smoother(self) -> Smoother:
        """The private smoother of the model."""
        return self.model.private_smoother

    @cached_property
    def deviations(self) -> Array:
        """The standard deviation of each series, or the magnitude of a constant series."""
        endog = pd.DataFrame(self.smoother.endog)
        mean = np.abs(endog.mean().to_numpy())
        out = endog.std(ddof=0).to_numpy()
        out = np.where(out > 1e-12 * mean, out, mean)
        return np.where(out > 0, out, 1.0)  # a series without observations has NaN

    def full(self, params: Array) -> Array:
        """Return the full parameter vector."""
        out = self._full.copy()
        out[self._free] = params
        return out

    def reduced(self, full: Array) -> Array:
        """Return the free part of a full vector."""
        return np.asarray(full, dtype=float)[self._free]

    def system(self, params: Array) -> System:
        """Return the system matrices."""
        return self.model.initialized_system(self.full(params))

    def moments(self, params: Array) -> Moments:
        """Return the moments of the E-step."""
        moments = expectation(self.smoother, self.system(params), self.estep)
        self.remember(moments.llf, params)
        return moments

    def loglike(self, params: Array) -> float:
        """Return the log-likelihood."""
        return self.smoother.loglike(self.system(params))

    def feasible(self, params: Array) -> bool:
        """Return whether covariance matrices are positive semidefinite and every series is random."""
        layout = self.layout
        if self._certain(params):
            return False
        free = [layout.matrix(key, params) for key in layout.covariances if not layout.blocks[key].is_fixed]
        return all(is_positive_semidefinite(cov) for each in free for cov in by_group(each))

    def _certain(self, params: Array) -> bool:
        """Return whether a series has neither noise nor loadings; its likelihood in statsmodels is zero."""
        blocks = self.layout.blocks
        if "design" not in blocks or blocks["design"].time_varying or blocks["obs_cov"].time_varying:
            return False
        if blocks["design"].is_fixed and not np.any(blocks["design"].fixed):  # regressors
            return False
        exact = np.diag(self.layout.matrix("obs_cov", params)) == 0
        return bool(exact.any() and np.any(exact & ~np.any(self.layout.matrix("design", params), axis=1)))

    def unsupported_reason(self, params: Array) -> str:
        """Return the reason why the log-likelihood does not exist."""
        matrices = self.layout.matrices(params)
        for key in sorted(self.layout.covariances & set(matrices)):
            if not all(is_positive_semidefinite(cov) for cov in by_group(matrices[key])):
                return f"{key} that is not positive semidefinite, {matrices[key].tolist()}"
        if self._certain(params):
            return "a series with neither noise nor loadings"
        try:
            return f"a log-likelihood of {self.loglike(params)}"
        except NOT_HERE as error:
            return reason(error)

    def _at(self, function: Callable[[Array], T], params: Array) -> T | None:
        """
        Return the value of a function of the parameters, or None if the likelihood does not exist.

        A likelihood that is not available raises an error, unless another point has one and a trial step was
        too long.
        """
        try:
            return function(params) if self.feasible(params) else None
        except NOT_HERE:
            return None
        except UnsupportedError:
            if self.best is None:
                raise
            return None

    def value(self, params: Array) -> float:
        """Return the log-likelihood, or minus infinity if it does not exist."""
        value = self._at(self.loglike, params)
        if value is None or not np.isfinite(value):
            return -np.inf
        self.remember(value, params)
        return float(value)

    def value_and_score(self, params: Array) -> tuple[float, Array] | None:
        """Return the log-likelihood and its gradient by free parameter, or None if it does not exist."""
        found = self._at(lambda at: self.model.loglike_and_score(self.full(at)), params)
        if found is None or not np.isfinite(found[0]) or not np.all(np.isfinite(found[1])):
            return None
        self.remember(found[0], params)
        return found[0], found[1][self._free]

    @cached_property
    def whitens(self) -> bool:
        """Whether second derivatives are worth their time."""
        most = _AVERAGED_UP_TO if self.model.has_average_information else WHITENED_UP_TO
        return len(self.layout) <= most

    def average_information(self, params: Array) -> Array | None:
        """Return the average information; None if the model has none or it does not exist here."""
        if not self.model.has_average_information:
            return None
        found = self._at(lambda at: self.model.average_information(self.full(at)), params)
        return None if found is None else found[np.ix_(self._free, self._free)]


SCIPY_METHODS = {"lbfgs": "L-BFGS-B", "bfgs": "BFGS", "cg": "CG", "nm": "Nelder-Mead", "powell": "Powell"}
OPTIONS = {
    "lbfgs": ("maxcor", "ftol", "gtol", "maxfun", "maxls"),
    "bfgs": ("gtol", "norm", "xrtol"),
    "cg": ("gtol", "norm"),
    "nm": ("maxfev", "xatol", "fatol"),
    "powell": ("maxfev", "xtol", "ftol"),
}
"""Options of `scipy.optimize.minimize` that users may set."""
WITHOUT_GRADIENT = ("nm", "powell")
EM_METHODS = ("em", "accelerated-em")
METHODS = ("auto", *EM_METHODS, "newton", *SCIPY_METHODS)
ARGUMENTS = (
    "start_params", "transformed", "includes_fixed", "cov_type", "cov_kwds", "method", "maxiter",
    "full_output", "disp", "callback", "return_params", "low_memory", "tolerance", "n_starts", "rng",
    "progress", "estep", "n_jobs",
)  # fmt: skip
"""Arguments of `fit` in addition to the options of a method, for suggestions for misspelt names."""


@dataclass(frozen=True)
class FitRequest:
    """The options of `fit`."""

    start_params: Array | None = None
    method: str = "auto"
    maxiter: int | None = None
    tolerance: float = 1e-6
    n_starts: int = 1
    rng: object = None
    n_jobs: int | None = 1
    disp: bool = False
    progress: bool = False
    callback: Callable[[Array], object] | None = None
    estep: str = "auto"
    options: dict[str, object] = field(default_factory=dict)


def check_request(request: FitRequest) -> None:
    """
    Check the options.

    Raises
    ------
    SpecificationError
        If an option is unknown, of the wrong type or out of range.
    """
    one_of(request.method, METHODS, "method")
    one_of(request.estep, ("auto", *ESTEPS), "estep")
    if request.maxiter is not None:
        whole_number(_without_point(request.maxiter), "maxiter", 0)
    whole_number(_without_point(request.n_starts), "n_starts", 1)
    if not _is_real(request.tolerance) or not 0.0 <= request.tolerance < 1.0:
        raise SpecificationError(
            "tolerance is out of range", got=repr(request.tolerance), expected="0 <= tolerance < 1"
        )
    if request.callback is not None and not callable(request.callback):
        raise SpecificationError(
            "callback must be callable", got=repr(request.callback), expected="a function of the parameters"
        )
    random_generator(request.rng)
    check_jobs(request.n_jobs)
    if request.callback is not None and request.n_jobs != 1:
        raise SpecificationError(
            "callback cannot be called from several processes", got=f"n_jobs={request.n_jobs}",
            expected="n_jobs=1",
        )  # fmt: skip
    _check_options(request)


def _check_options(request: FitRequest) -> None:
    """Raise an error for options that the method does not have."""
    allowed = OPTIONS.get("lbfgs" if request.method == "auto" else request.method, ())
    unknown = [name for name in request.options if name not in allowed]
    if unknown:
        raise SpecificationError(
            f'method="{request.method}" does not accept these options',
            got=shown(unknown),
            expected=f"options among {shown(allowed)}" if allowed else "no options",
            remedy=nearest(unknown[0], [*allowed, *ARGUMENTS]),
        )
    for name, value in request.options.items():
        if not _is_real(value) or value < 0:
            raise SpecificationError(f"{name} must be a number of at least 0", got=repr(value))


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)


def _without_point(value: object) -> object:
    """Return an integer in place of a float such as 1e3."""
    return int(value) if _is_real(value) and value == int(value) else value
