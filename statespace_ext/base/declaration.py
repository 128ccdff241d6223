"""The declaration of a model, and the defaults of its optional parts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..display import page
from ..em.updates import LinearGaussianUpdates, StateStructure
from ..engine.arguments import check_keywords, one_of
from ..engine.representation import Mixin
from ..engine.system import System, with_stationary_start
from ..engine.system_score import ALL, SystemScore, summed
from ..engine.validation import check_series
from ..exceptions import SpecificationError, shown
from ..fit.problem import EstimationProblem
from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix, affine_matrix
from ..params.layout import ParameterLayout
from ..params.parse import COVARIANCES, covariance_namer, matrix_namer, parse_covariance, parse_matrix
from .reporting import describe_sample

_DATA = ("endog", "exog", "state_exog", "dates", "freq")


class Declared(Mixin):
    """
    Mixin of the models with their declaration: layout, matrices, EM updates and start values.

    A model with constant matrices needs one call of `declare`. Other models set ``layout`` and
    ``initialization_kind``. They override `system`, `updates`, `score_by_block` and `score_matrices` where
    their blocks differ from the system matrices.
    """

    __signature__: inspect.Signature
    layout: ParameterLayout
    structure: StateStructure
    initialization_kind: str
    endog: Array
    _given: dict[str, Any]
    _computed: tuple[str, ...] = ()
    """Arguments in ``_given`` whose values the model computed. Clones use them; the repr omits them."""
    added_arguments: frozenset[str] = frozenset()
    """Arguments that a later version added. At their defaults, earlier checkpoints stay valid."""
    period_arguments: frozenset[str] = frozenset()
    """Arguments of predictions, apart from regressors, that have one row for each later period."""
    _elsewhere: Mapping[str, str] = {}
    """Hints for argument names that other packages use."""
    elsewhere_ahead: Mapping[str, str] = {}
    """The same for the arguments of predictions."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Set the signature of the class to that of its constructor, which `__new__` would hide."""
        super().__init_subclass__(**kwargs)
        _, *others = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(others)

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        """Reject unknown keywords before the constructor runs, and store the arguments for `clone`."""
        parameters = cls.__signature__.parameters.values()
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            check_keywords(cls.__name__, kwargs, list(cls.__signature__.parameters), cls._elsewhere)
        model = super().__new__(cls)
        try:
            bound = cls.__signature__.bind_partial(*args, **kwargs).arguments
        except TypeError:  # the constructor raises it with an explanation
            bound = {}
        model._given = {name: value for name, value in bound.items() if name not in _DATA}
        return model

    # -- the declaration -------------------------------------------------------------------------------

    def declare(
        self,
        *,
        design: object,
        transition: object,
        noise_rows: Sequence[int] | None = None,
        obs_intercept: object = "zero",
        state_intercept: object = "zero",
        obs_cov: object = "diagonal",
        state_cov: object = "diagonal",
        initialization: str = "stationary",
        noise_names: Sequence[str] | None = None,
    ) -> None:
        r"""
        Declare a model with constant matrices.

        .. math::

            y_t &= d + Z x_t + \varepsilon_t, & \varepsilon_t &\sim N(0, H) \\
            x_{t+1} &= c + T x_t + R \eta_t, & \eta_t &\sim N(0, Q)

        Parameters
        ----------
        design : matrix specification, (p, k)
            Z. A matrix specification is one of the keywords of `LGSSM`, a numeric array in which NaN marks a
            free element, or nested lists with linear expressions in named parameters.
        transition : matrix specification, (k, k)
            T. The rows of states without noise must be fixed.
        noise_rows : sequence of int, optional
            The state that each of the q disturbances enters. R selects these rows. By default every state
            has a disturbance.
        obs_intercept, state_intercept : matrix specification, (p, 1) and (q, 1)
            d, and the elements of c for the states with noise.
        obs_cov, state_cov : covariance specification, (p, p) and (q, q)
            H and Q.
        initialization : {"stationary", "diffuse"}
            Distribution of x_1: stationary or exact diffuse.
        noise_names : sequence of str, optional
            Names of the disturbances, used in parameter names. By default the names of their states.

        Raises
        ------
        SpecificationError
            If a specification is invalid, or the row of a state without noise has free elements.
        """
        k, endog = self.k_states, self._series_names()
        rows = np.arange(k) if noise_rows is None else np.asarray(noise_rows, dtype=np.intp)
        states = [str(name) for name in self.state_names]
        noises = [states[row] for row in rows] if noise_names is None else [str(name) for name in noise_names]
        self.initialization_kind = one_of(initialization, ("stationary", "diffuse"), "initialization")
        whole = parse_matrix(transition, (k, k), "transition", matrix_namer("transition", states, states))
        if any(np.isin(whole.rows, rows, invert=True)):
            raise SpecificationError(
                "transition has free elements in rows without noise",
                got=shown(sorted({states[row] for row in whole.rows if row not in rows})),
                expected="fixed rows, or the states in noise_rows",
            )
        kept = np.arange(k) if initialization == "stationary" else np.arange(0)
        self.structure = StateStructure(whole.fixed, rows, stationary=kept)
        p, q = len(endog), len(rows)
        matrices = {
            "design": parse_matrix(design, (p, k), "design", matrix_namer("loading", endog, states)),
            "obs_intercept": _vector("obs_intercept", obs_intercept, endog),
            "transition": whole.row_block(rows),
            "state_intercept": _vector("state_intercept", state_intercept, noises),
            "state_mean": _vector("state_mean", "zero", noises),
            "obs_coef": affine_matrix(np.zeros((p, 0)), []),
            "state_coef": affine_matrix(np.zeros((q, 0)), []),
            "obs_cov": parse_covariance(obs_cov, p, "obs_cov", covariance_namer("obs", endog)),
            "state_cov": parse_covariance(state_cov, q, "state_cov", covariance_namer("state", noises)),
            "initial_state": affine_matrix(np.zeros((k, 1)), []),
            "initial_state_cov": affine_matrix(np.zeros((k, k)), []),
        }
        self.layout = ParameterLayout(matrices, COVARIANCES)
        self.ssm["selection"] = self.structure.selection

    def _series_names(self) -> list[str]:
        return [str(name) for name in np.atleast_1d(self.endog_names)]

    # -- the interface of the engine, by default from `declare` ----------------------------------------

    def system(self, params: Array) -> System:
        """Return the system matrices at a full parameter vector, without side effects."""
        at, structure = self.layout.matrices(params), self.structure
        intercept = np.zeros(self.k_states)
        intercept[structure.noise_rows] = at["state_intercept"][:, 0]
        system = System(
            design=at["design"],
            obs_intercept=at["obs_intercept"][:, 0],
            obs_cov=at["obs_cov"],
            transition=structure.transition(at["transition"]),
            state_intercept=intercept,
            selection=structure.selection,
            state_cov=at["state_cov"],
            initialization_type=self.initialization_kind,
            initial_state=at["initial_state"][:, 0],
            initial_state_cov=at["initial_state_cov"],
        )
        return with_stationary_start(system) if self.initialization_kind == "stationary" else system

    def updates(self, layout: ParameterLayout) -> LinearGaussianUpdates:
        """Return the EM updates for a layout of the free parameters."""
        return LinearGaussianUpdates(layout, self.initialized_structure)

    @property
    def score_matrices(self) -> frozenset[str]:
        """The system matrices that have free elements. `ALL` is valid for every model."""
        return ALL & {key for key, block in self.layout.blocks.items() if not block.is_fixed}

    def score_by_block(self, score: SystemScore, params: Array) -> dict[str, Array]:
        """Return the score of each free block of the layout, from the score of the system matrices."""
        out = dict(score.by_matrix)
        if "obs_intercept" in out:
            out["obs_intercept"] = out["obs_intercept"].sum(axis=1)[:, None]
        if "state_intercept" in out:
            total = out["state_intercept"].sum(axis=1) + score.start_intercept
            out["state_intercept"] = total[self.structure.noise_rows, None]
        if "transition" in out:
            out["transition"] = summed(out["transition"])[self.structure.noise_rows]
        return out

    def arguments_of_periods(self, rows: slice) -> dict[str, object]:
        """Return the constructor arguments, apart from regressors, that have one row per period."""
        return {}

    def variance_sizes(self, params: Array) -> dict[str, Array]:
        """Return, for each covariance block, the variances that would explain the data on their own."""
        seen = [series[~np.isnan(series)] for series in self.endog.T]
        return {"obs_cov": np.array([np.var(series) if len(series) else 0.0 for series in seen])}

    def default_start(self, problem: EstimationProblem) -> Array:
        """Return start values: zero coefficients, and variances from first differences of the data."""
        size = np.nanvar(np.diff(self.endog, axis=0), axis=0)
        q = len(self.structure.noise_rows)
        sizes = {"obs_cov": np.diag(size), "state_cov": np.mean(size) * np.eye(q)}
        return problem.layout.project(sizes, np.zeros(len(problem.layout)))

    def check_sample(self) -> None:
        """Raise `DataError` if the sample does not suffice to estimate the model."""
        check_series(self.endog, self._series_names(), self.k_states, enough=3)

    # -- repr and checkpoints ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        names = np.atleast_1d(self.endog_names)
        series = f"{len(names)} series ({shown(names, 4)})" if len(names) > 1 else f"series {names[0]}"
        chosen = self._chosen()
        given = [f"{name}={_brief(chosen[name])}" for name in chosen if name not in self._computed]
        return (
            f"<{type(self).__name__}({', '.join(given)}): {series}, "
            f"{describe_sample(self.endog, self._index)}, {len(self.layout)} parameters>"
        )

    def _repr_html_(self) -> str:
        """Return the line of `repr` and a table of the matrices and their free parameters."""
        rows = {}
        for key, block in self.layout.blocks.items():
            shape = block.at(np.zeros(len(block.names))).shape
            rows[key] = (" x ".join(map(str, shape)), len(block.names), shown(block.names, 4))
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["shape", "free", "parameters"])
        return page(type(self).__name__, repr(self), {"": table})

    def _chosen(self) -> dict[str, object]:
        """Return the constructor arguments that differ from their defaults."""
        parameters = inspect.signature(type(self).__init__).parameters
        out = {}
        for name, value in self._given.items():
            default = parameters[name].default if name in parameters else None
            if not (value is default or isinstance(value, (str, int)) and value == default):
                out[name] = value
        return out

    def hashed_arguments(self, exact: bool) -> dict[str, object]:
        """Return the arguments that identify a model in a checkpoint of `fit_many`; round computed ones."""
        left_out = {*self.added_arguments} - {*self._chosen()}
        rounded = () if exact else self._computed
        return {
            name: np.round(value, 6) + 0.0 if name in rounded and isinstance(value, np.ndarray) else value
            for name, value in self._given.items()
            if name not in left_out
        }


def _vector(key: str, value: object, names: Sequence[str]) -> AffineMatrix:
    return parse_matrix(value, (len(names), 1), key, matrix_namer(key, names))


def _brief(value: object) -> str:
    if isinstance(value, (np.ndarray, pd.Series, pd.DataFrame)):
        return f"array {np.shape(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class NoNames(list[str]):
    """Empty list of names. statsmodels would replace a plain empty list by the names of the regressors."""

    def __bool__(self) -> bool:
        return True
