"""The estimation problem of a model: free parameters, E-step, log-likelihood and exact score."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..em.covariances import by_group
from ..em.moments import Moments
from ..em.updates import LinearGaussianUpdates
from ..engine.expectation import expectation
from ..engine.singular import reason
from ..engine.smoother import Smoother
from ..engine.system import System
from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import NOT_HERE, Array, is_positive_semidefinite
from ..params.layout import ParameterLayout


class Model(Protocol):
    """Interface of a model for estimation."""

    layout: ParameterLayout
    endog_names: Any

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
        endog = self.smoother.endog
        seen = ~np.isnan(endog)
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, endog, 0.0).sum(axis=0) / count
        squares = np.where(seen, endog - mean, 0.0) ** 2
        out = np.sqrt(squares.sum(axis=0) / count)
        out = np.where(out > 1e-12 * np.abs(mean), out, np.abs(mean))
        return np.where(out > 0, out, 1.0)

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

    def _raise_at_first(self, error: UnsupportedError) -> None:
        """Raise an error, unless another point has a likelihood and a trial step was too long."""
        if self.best is None:
            raise error

    def value(self, params: Array) -> float:
        """Return the log-likelihood, or minus infinity if it does not exist."""
        try:
            value = self.loglike(params) if self.feasible(params) else -np.inf
        except NOT_HERE:
            return -np.inf
        except UnsupportedError as error:
            self._raise_at_first(error)
            return -np.inf
        if not np.isfinite(value):
            return -np.inf
        self.remember(value, params)
        return value

    def value_and_score(self, params: Array) -> tuple[float, Array] | None:
        """Return the log-likelihood and its gradient by free parameter, or None if it does not exist."""
        if not self.feasible(params):
            return None
        try:
            llf, gradient = self.model.loglike_and_score(self.full(params))
        except NOT_HERE:
            return None
        except UnsupportedError as error:
            self._raise_at_first(error)
            return None
        if not np.isfinite(llf) or not np.all(np.isfinite(gradient)):
            return None
        self.remember(llf, params)
        return llf, gradient[self._free]
