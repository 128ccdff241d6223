"""The base class of all models: a declared layout of parameters and statsmodels' `MLEModel` interface."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..em.updates import StateStructure
from ..engine.arguments import one_of
from ..engine.calendars import Labelled
from ..engine.compat import require_factorable, without_absolute_tolerances
from ..engine.exact_results import ExactStartResults, require_draws, with_exact_start
from ..engine.passes import LazyResults, LazySmoother
from ..engine.representation import Removable, forget_compiled, own_representation
from ..engine.smoother import Smoother
from ..engine.system import (
    System,
    has_part,
    named_singularity,
    require_density,
    require_stationary,
    stationary_radius,
    with_stationary_start,
    write,
)
from ..engine.system_score import system_score
from ..engine.validation import (
    check_dates,
    check_same_columns,
    endog_frame,
    read_dates,
    regressor_frame,
    regressor_names,
    relabelled,
)
from ..exceptions import DataError, ParameterError, UnsupportedError
from ..numerics.linear_algebra import Array
from ..params.layout import ParameterLayout, checked_values
from ..params.parse import check_covariance
from .declaration import Declared, NoNames
from .fitting import Fitting, R
from .forecasts import OutOfSample
from .results import StateSpaceResults, StateSpaceResultsWrapper
from .standard_errors import Derivatives

_FOR_THE_ENGINE = frozenset(
    """added_arguments arguments_of_periods average_information calendar check_layout check_patterns
    check_sample current_initialization declare declare_timed default_start difference_steps elsewhere_ahead
    entered estimate exact_information following future_intercept future_rows future_scale
    has_average_information hashed_arguments initialization_kind initialized_structure initialized_system
    inputs_on later_arguments later_starts likelihood_neutral loglike_and_score mirrored more_data
    new_periods other_local_maxima other_starts patterns_ahead period_arguments preserved private_smoother
    problem ranked_starts require_scale score_at score_by_block score_matrices stabilised starts state_inputs
    structure system_at unknown_next updates user_initialization variance_sizes""".split()
)
"""Attributes for the engine and for subclasses. `dir` omits them."""

M = TypeVar("M", bound="StateSpaceModel[Any]")


class StateSpaceModel(Declared, Fitting[R], Derivatives, OutOfSample, Labelled, Removable, MLEModel):
    """
    Base class of the models. A subclass only declares its matrices.

    The constructor of a subclass calls ``super().__init__`` with its data, and then `declare`. See `Declared`
    if the matrices vary over time or are not affine in the parameters.

    Parameters
    ----------
    endog : array_like, (nobs, p)
        Observations. NaN marks missing values.
    k_states, k_posdef : int
        Number of states, and number of state disturbances.
    given : dict, optional
        Arguments that `clone` must repeat. By default the constructor arguments other than the data.
    exog, state_exog : array_like, optional
        Regressors of the observations and of the states.
    dates, freq : optional
        Labels of the periods, which replace those of the data, and their frequency.

    Raises
    ------
    DataError
        If the data are not numeric, have infinite values or different lengths, or their dates are invalid.
    """

    _res_classes: dict[str, tuple[type, type]] = {"fit": (StateSpaceResults, StateSpaceResultsWrapper)}
    likelihood_neutral: tuple[str, ...] = ("loglike", "loglikeobs", "score", "score_obs", "filter", "smooth")

    def __init__(
        self,
        endog: object,
        k_states: int,
        k_posdef: int,
        given: dict[str, object] | None = None,
        exog: object = None,
        state_exog: object = None,
        dates: object = None,
        freq: object = None,
    ) -> None:
        self._given = deepcopy(self._given) if given is None else given
        endog, exog, state_exog, dates = _checked_data(endog, exog, state_exog, dates)
        options = {"k_posdef": k_posdef, "results_class": ExactStartResults}
        super().__init__(endog, k_states, exog=exog, dates=dates, freq=freq, **options)
        self.regressor_names = {
            "exog": regressor_names(exog, "x"),
            "state_exog": regressor_names(state_exog, "u"),
        }
        self.state_exog = None if state_exog is None else np.asarray(state_exog)
        self.state_inputs = None if self.state_exog is None else np.nan_to_num(self.state_exog)
        self.k_exog, self.k_state_exog = (len(names) for names in self.regressor_names.values())
        without_absolute_tolerances(self.ssm)
        self._written_initialization: Initialization | None = None
        self._own_by_thread()

    def _own_by_thread(self) -> None:
        """Create a lock for writing the representation, and storage for one smoother per thread."""
        self._lock = threading.RLock()
        self._private = threading.local()

    def __getstate__(self) -> dict[str, object]:
        """Return the state without the private smoothers."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_private")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.__dict__.update(state)
        self._own_by_thread()
        if not self._removed:
            forget_compiled(self.ssm)

    def __dir__(self) -> list[str]:
        """List the attributes for users."""
        return sorted(set(super().__dir__()) - _FOR_THE_ENGINE)

    def initialize_statespace(self, **kwargs: object) -> None:
        """Create the representation; see `MLEModel.initialize_statespace`."""
        self.ssm = LazySmoother(self.endog.shape[1], self.k_states, nobs=len(self.endog), **kwargs)
        self.ssm.bind(self.endog.T)
        self.k_endog = self.ssm.k_endog

    # -- statsmodels' interface ------------------------------------------------------------------------

    @property
    def param_names(self) -> list[str]:
        """The names of the parameters."""
        return list(self.layout.names) or NoNames()

    def _get_init_kwds(self) -> dict[str, object]:
        return dict(self._given)

    def matrices(self, params: object) -> dict[str, Array]:
        """
        Return the matrices of the model at a parameter vector, by block.

        Parameters
        ----------
        params : array_like, Series or dict
            All parameters, including the fixed ones.
        """
        at = self.layout.matrices(self.layout.vector(params))
        return {key: np.asarray(matrix) for key, matrix in at.items()}

    def clone(self: M, endog: object, exog: object = None, **kwargs: Any) -> M:
        """
        Return the same model for other data.

        Parameters
        ----------
        endog, exog : array_like
            Data of the new model. A model with ``exog`` or ``state_exog`` needs new values of these.
        **kwargs
            Constructor arguments to change.
        """
        for name, value in (("exog", exog), ("state_exog", kwargs.get("state_exog"))):
            count = len(self.regressor_names[name])
            if count and value is None:
                raise DataError(
                    f"The model has {name}, so new periods need values of it", expected=f"{count} columns"
                )
        endog = endog_frame(endog)
        check_same_columns(endog, np.atleast_1d(self.endog_names).tolist(), "The new endog")
        return self._rebuilt(endog, kwargs if exog is None else {"exog": exog, **kwargs})

    def _rebuilt(self: M, endog: object, kwargs: dict[str, Any]) -> M:
        """Return a model with changed arguments; an `Initialization` among them is set on ``ssm``."""
        initialization = kwargs.get("initialization")
        if isinstance(initialization, Initialization):
            kwargs = {key: value for key, value in kwargs.items() if key != "initialization"}
        model = type(self)(endog, **{**self._given, **kwargs})
        if "design_info" in vars(self):  # the formula of `from_formula`
            model.design_info = self.design_info
        if isinstance(initialization, Initialization):
            model.ssm.initialization = initialization
        return model

    def handle_params(
        self,
        params: Any,
        transformed: bool = True,
        includes_fixed: bool = False,
        return_jacobian: bool = False,
    ) -> Any:
        """Check and return the full parameter vector. Parameters are not transformed in this package."""
        if return_jacobian:
            vector = self.handle_params(params, transformed, includes_fixed)
            return vector, np.eye(len(vector))
        if includes_fixed or not self._has_fixed_params:
            return self.layout.vector(params)
        fixed = dict(self._fixed_params)
        free = self.layout.fix(fixed)
        size = np.size(params)
        if size == len(self.layout) != len(free) and not hasattr(params, "items"):
            raise ParameterError(
                "The parameter vector has the wrong length",
                got=size,
                expected=f"{(len(free),)} free parameters: {free.names}",
                remedy="Pass includes_fixed=True for a vector with the fixed parameters.",
            )
        given = dict(zip(free.names, free.vector(params), strict=True))
        return self.layout.vector({**fixed, **given})

    @contextmanager
    def fix_params(self, params: Mapping[str, float]) -> Iterator[None]:
        """
        Fix parameters at values, by name, inside a ``with`` block; see `MLEModel.fix_params`.

        Raises
        ------
        ParameterError, SpecificationError
            If a name is unknown, a value is not a finite number, or the values are not admissible.
        """
        if not hasattr(params, "items"):
            raise ParameterError(
                "Fixed parameters must be given by name",
                got=repr(params),
                expected="a dict with names as keys",
            )
        values = checked_values(params)
        outside = [name for name in values if name in self.layout.bounded and not abs(values[name]) < 1.0]
        if outside:
            raise ParameterError(
                "An autoregressive coefficient is fixed outside the unit circle",
                got=f"{outside[0]} = {values[outside[0]]}",
                expected="a value between -1 and 1",
            )
        self.check_layout(self.layout.fix({**(self._fixed_params or {}), **values}))
        with super().fix_params(values):
            yield

    def check_layout(self, layout: ParameterLayout) -> None:
        """Raise `SpecificationError` if fixed elements contradict each other."""
        for key in sorted(layout.covariances & set(layout.blocks)):
            check_covariance(layout.blocks[key], key)

    def transform_params(self, unconstrained: Array) -> Array:
        """Return the vector unchanged, since the parameters are the variances and covariances themselves."""
        return self.layout.vector(unconstrained)

    def untransform_params(self, constrained: Array) -> Array:
        """Return the vector unchanged."""
        return self.layout.vector(constrained)

    def update(
        self,
        params: object,
        transformed: bool = True,
        includes_fixed: bool = False,
        complex_step: bool = False,
        **kwargs: object,
    ) -> Array:
        """Write the matrices at a parameter vector into the state-space representation."""
        if complex_step or np.iscomplexobj(np.asarray(params)):
            raise UnsupportedError(
                "Complex-step derivatives are not supported", remedy="Use `score`, which is exact."
            )
        vector = self.handle_params(params, transformed, includes_fixed)
        system = self.system(vector)
        require_density(np.isnan(self.endog), system, given_start=self._given_start)
        if system.diffuse:
            require_factorable(system.obs_cov)
        with self._lock:
            own = self.ssm.initialization is self._written_initialization
            write(self.ssm, system, start=own)
            if own:
                self._written_initialization = self.ssm.initialization
            else:
                require_stationary(stationary_radius(self.ssm))
        return vector

    def filter(self, params: object, *args: Any, **kwargs: Any) -> R:
        """Return filtered results; see `MLEModel.filter`."""
        with self._lock, named_singularity():
            return cast(R, super().filter(params, *args, **kwargs))

    def smooth(self, params: object, *args: Any, **kwargs: Any) -> R:
        """Return smoothed results; see `MLEModel.smooth`."""
        with self._lock, named_singularity(), warnings.catch_warnings():
            # for exact-diffuse starts: the covariance of the measurement disturbances, which is not used here
            warnings.filterwarnings("ignore", "The univariate filtering approach diagonalized")
            return cast(R, super().smooth(params, *args, **kwargs))

    def simulation_smoother(self, *args: Any, **kwargs: Any) -> Any:
        """Return a simulation smoother; see `MLEModel.simulation_smoother`."""
        with named_singularity(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The univariate filtering approach diagonalized")
            require_draws(self.ssm)
        return super().simulation_smoother(*args, **kwargs)

    def _wrap_results(self, params: object, result: Any, *args: object, **kwargs: object) -> Any:
        """Return the results of a pass, with the exact-diffuse initialization of this package."""
        initialization = self.ssm.initialization
        if has_part(initialization, "diffuse") and not isinstance(result, LazyResults):
            system = self.system(np.asarray(params, dtype=float))
            if initialization is not self._written_initialization:
                system = replace(system, initialization_type="custom", initialization=initialization)
            with named_singularity():
                with_exact_start(result, self.private_smoother, system)
        result.model = own_representation(result)
        return super()._wrap_results(params, result, *args, **kwargs)

    # -- methods that write the matrices at their parameters, and restore the representation -----------

    def loglikeobs(self, params: object, *args: object, **kwargs: object) -> Array:
        """Return the log-likelihood of each period; see `MLEModel.loglikeobs`."""
        with self.preserved(), named_singularity():
            return np.asarray(super().loglikeobs(params, *args, **kwargs))

    @property
    def private_smoother(self) -> Smoother:
        """A smoother for the data of the model. It shares no state with the model or with other threads."""
        if not hasattr(self._private, "smoother"):
            size = self.k_states, self.ssm.k_posdef
            self._private.smoother = Smoother(
                self.endog, *size, self.exog, self.state_inputs, given_start=self._given_start
            )
        return cast(Smoother, self._private.smoother)

    @property
    def _given_start(self) -> bool:
        """Whether the initial state has no free parameters."""
        return self.layout.blocks["initial_state"].is_fixed

    @property
    def user_initialization(self) -> Initialization | None:
        """The initialization that the user set on ``ssm``; None if it is that of the model."""
        initialization = self.ssm.initialization
        return None if initialization is self._written_initialization else initialization

    @property
    def current_initialization(self) -> str:
        """The kind of the current initialization; "custom" if it consists of blocks."""
        user = self.user_initialization
        return self.initialization_kind if user is None else user.initialization_type or "custom"

    @property
    def initialized_structure(self) -> StateStructure:
        """``structure`` with the stationary states of the current initialization."""
        if self.user_initialization is None:
            return self.structure
        kept = np.arange(self.k_states if self.current_initialization == "stationary" else 0)
        return replace(self.structure, stationary=kept)

    def initialized_system(self, params: Array) -> System:
        """Return `system` with the current initialization, which `extend` or the user may have replaced."""
        system = self.system(params)
        with self._lock:
            user = self.user_initialization
            if user is None:
                return system
            plain = partial(replace, system, initialization=None, stationary=None)
            if user.initialization_type == "diffuse":
                return plain(initialization_type="diffuse")
            if user.initialization_type == "stationary":
                return with_stationary_start(plain(initialization_type="stationary"))
            mean, diffuse, cov = user(model=self.ssm)
        if np.any(diffuse) or has_part(user, "stationary"):
            raise UnsupportedError(
                "A model with a partly diffuse or stationary start that was set on `ssm` cannot be estimated"
            )
        return plain(initialization_type="known", initial_state=mean, initial_state_cov=cov)

    def loglike(self, params: object, *args: Any, **kwargs: Any) -> float:
        """
        Return the log-likelihood. The state of the model does not change.

        Parameters
        ----------
        params : array_like
            Parameters.
        transformed, includes_fixed : bool
            As in `MLEModel.loglike`.
        """
        vector, _ = self._vector_and_free(params, *args[:2], **kwargs)
        with named_singularity():
            return self.private_smoother.loglike(self.initialized_system(vector))

    def score(self, params: object, *args: Any, **kwargs: Any) -> Array:
        """Return the exact gradient of the log-likelihood from one smoother pass."""
        vector, free = self._vector_and_free(params, *args[:2], **kwargs)
        return self.loglike_and_score(vector)[1][free]

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient at a full parameter vector, from one smoother pass."""
        with named_singularity():
            score = system_score(self.private_smoother, self.initialized_system(params), self.score_matrices)
        if self.user_initialization is not None:  # the parameters affect it only through the matrices
            nothing = np.zeros_like(score.initial_state), np.zeros_like(score.initial_state_cov)
            score = replace(score, initial_state=nothing[0], initial_state_cov=nothing[1])
        return score.llf, self.layout.gradient(self.score_by_block(score, params), params)

    @property
    def shock_names(self) -> list[str]:
        """The names of the state disturbances. A disturbance that enters a single state has its name."""
        selection = np.atleast_3d(np.asarray(self.ssm["selection"]))[:, :, 0] != 0.0
        single, rows = selection.sum(axis=0) == 1, selection.argmax(axis=0)
        return [
            self.state_names[row] if alone else f"shock.{j}"
            for j, (row, alone) in enumerate(zip(rows, single, strict=True))
        ]

    def impulse_responses(
        self, params: object, steps: int = 1, impulse: Any = 0, *args: Any, **kwargs: Any
    ) -> Any:
        """
        Return the responses of the observations to an impulse. The state of the model does not change.

        Parameters
        ----------
        params : array_like
            Parameters.
        steps : int
            Number of steps after the impulse.
        impulse : str, int or array_like
            The shock: its name (that of the factor or state that it enters), its position, or a vector with
            the sizes of all shocks.
        *args, **kwargs
            As in `MLEModel.impulse_responses`.

        Raises
        ------
        SpecificationError
            If the name of the shock is unknown.
        """
        if isinstance(impulse, str):
            names = self.shock_names
            impulse = names.index(one_of(impulse, names, "impulse"))
        elif isinstance(impulse, np.integer):
            impulse = int(impulse)
        with self.preserved():
            return super().impulse_responses(params, steps, impulse, *args, **kwargs)


def _checked_data(endog: object, exog: object, state_exog: object, dates: object) -> tuple[Any, ...]:
    """Return the data as floats with the same labels, and the labels that are not those of ``endog``."""
    data: Any = endog_frame(endog)
    nobs, index = len(data), getattr(data, "index", None)
    check_dates(dates, nobs)
    outer = regressor_frame(exog, nobs, index, "exog")
    index = getattr(outer, "index", None) if index is None else index
    inner = regressor_frame(state_exog, nobs, index, "state_exog", may_miss=slice(-1, None))
    if dates is None:
        return data, outer, inner, getattr(inner, "index", None) if index is None else None
    read = read_dates(dates)
    labels = read if isinstance(read, pd.DatetimeIndex) else pd.Index(cast(Any, dates))
    return (*(relabelled(each, labels) for each in (data, outer, inner)), labels)
