"""The generic linear Gaussian state-space model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..base.results import StateSpaceResultsWrapper
from ..em.driver import EMOptions, run_em
from ..em.second_order import second_order_information
from ..em.smoothed_point import SmoothedPoint
from ..em.updates import companion_structure
from ..engine.arguments import positive_integer
from ..engine.system import System, mixed_start, start_moments
from ..engine.system_score import SystemScore, summed
from ..engine.validation import check_counts, check_regressors, check_series
from ..exceptions import DataError, SpecificationError
from ..fit.problem import WHITENED_UP_TO, EstimationProblem
from ..fit.start_values import random_start, stabilised, start_values
from ..inference.identification import Identification, identify
from ..numerics.linear_algebra import (
    NOT_HERE,
    Array,
    companion,
    lower_triangular_rotation,
    one_minus_sum,
    rotate_system,
    typical,
)
from ..params.layout import (
    ParameterLayout,
    coefficients_by_series,
    most_identified,
    own_columns,
    without_noise,
)
from .declaration import (
    MARSS_ARGUMENTS,
    TIMED,
    Labels,
    check_initialization,
    check_size,
    declared_blocks,
    initialization_of,
    kinds_of,
    lagged_names,
    layout_of,
    loads_on_lags,
    names_of_factors,
)
from .over_time import OverTime
from .results import LGSSMResults

_EXPANDED = 10
"""Number of iterations of EM without the normalisation."""
_RANDOM_STARTS = 4
"""Largest number of random starts, which are used if the other starts reach different maxima."""


class LGSSM(OverTime):
    r"""
    Linear Gaussian state-space model with k factors and L lags, estimated by EM or maximum likelihood.

    .. math::

        y_t &= d + Z x_t + D\,\mathrm{exog}_t + \varepsilon_t, & \varepsilon_t &\sim N(0, H) \\
        x_{t+1} &= c + (I - \textstyle\sum_l A_l)\mu + A_1 x_t + \dots + A_L x_{t-L+1}
            + G\,\mathrm{state\_exog}_t + \eta_t, & \eta_t &\sim N(0, Q)

    for t = 1..n. ``initialization`` specifies the distribution of :math:`x_1, x_0, \dots, x_{2-L}`.

    Parameters
    ----------
    endog : array_like, (nobs, p)
        Observations. NaN marks missing values.
    k_factors : int
        Number k of factors x. The state vector has k * lags elements.
    lags : int
        Number L of lags of the transition.
    exog : array_like, (nobs, r), optional
        Regressors of the observations.
    state_exog : array_like, (nobs, s), optional
        Regressors of the states. Row t enters x_{t+1}. The last row does not affect the sample, and may be
        NaN. A forecast of h periods needs the h rows that enter these periods: the row of the last period of
        the sample, and the h - 1 rows after it.
    obs_intercept, state_intercept : matrix specification
        d (p,) and c (k,).
    design : matrix specification
        Z (p, k). If series also load on lags, Z is (p, k * L), with the most recent lag first. Tables then
        show the lags as separate factors, and ``state_mean`` is zero.
    transition : matrix specification, or a list with one per lag
        A_1..A_L, each (k, k). An array for all lags is (k, k * L), with the lags side by side.
    obs_cov, state_cov : covariance specification
        H (p, p) and Q (k, k).
    initialization : {"stationary", "known", "estimated", "diffuse", "approximate_diffuse"}, or a list
        Distribution of the initial state. "stationary" is the stationary distribution. "known" uses
        ``initial_state`` and ``initial_state_cov``. "estimated" estimates ``initial_state`` (default "free");
        ``initial_state_cov`` is zero unless it is "free". "diffuse" is exact diffuse. "approximate_diffuse"
        has mean zero and variance 1e6. A list has one entry per factor, which also applies to its lags.
        "estimated" cannot be combined with other kinds.
    initial_state, initial_state_cov : specification, optional
        a_1 (k * L,) and P_1 (k * L, k * L), with the most recent lag first.
    dates, freq : optional
        Labels of the periods, which replace those of the data, and their frequency. Any type of label is
        allowed. docs/dates.md describes the labels of later periods.
    state_mean : matrix specification
        mu (k,). A "free" mean is an alternative to a free ``state_intercept``.
    obs_coef, state_coef : matrix specification
        D (p, r) and G (k, s).
    identification : {None, "triangular", "unit"}
        Normalisation of the factors. "triangular" sets Q = I and a lower triangular design. "unit" sets the
        first k rows of the design to the identity. None adds no restriction; a warning then lists parameters
        that are not identified.
    factor_names : sequence of str, optional
        Names of the factors. By default f1, f2, ...

    Notes
    -----
    A matrix specification is a keyword ("free", "zero", "identity" or "diagonal"), a numeric array or nested
    lists. In an array, NaN marks a free element, and an additional last axis is time. Nested lists and arrays
    may contain strings, which are linear expressions in named parameters. A repeated name is a shared
    parameter. `Regimes` specifies a matrix that changes between regimes.
    The keywords of a covariance specification are "unstructured", "diagonal", "scalar", "equicorrelated",
    "identity" and "zero".

    Raises
    ------
    SpecificationError
        If arguments are unknown, have the wrong shape, contradict each other, or leave the likelihood
        unbounded.
    DataError
        If endog or the regressors are not numeric, have infinite values or different lengths.

    References
    ----------
    Shumway & Stoffer (1982), Ghahramani & Hinton (1996); constraints: Holmes (2013).

    Examples
    --------
    >>> import numpy as np
    >>> import statespace_ext as sse
    >>> y = np.cumsum(np.random.default_rng(0).normal(size=(80, 2)), axis=0)
    >>> model = sse.LGSSM(y, k_factors=1, identification="triangular")
    >>> model.param_names[:2]
    ['loading.f1->y1', 'loading.f1->y2']
    """

    added_arguments = frozenset({"factor_names"})
    _res_classes = {"fit": (LGSSMResults, StateSpaceResultsWrapper)}
    _elsewhere = {
        each: f"MARSS's {each} is {name} here; from_marss takes MARSS's notation."
        for each, name in MARSS_ARGUMENTS.items()
    } | {"tinitx": "tinitx belongs to from_marss, which takes MARSS's notation."}
    elsewhere_ahead = {
        each: f"The future {each} of MARSS is {MARSS_ARGUMENTS[each]} here, with one row per new period."
        for each in ("c", "d")
    } | {each: f"MARSS's {each} is {name} here." for each, name in MARSS_ARGUMENTS.items() if name in TIMED}

    def __init__(
        self,
        endog: object,
        k_factors: int,
        lags: int = 1,
        *,
        exog: object = None,
        state_exog: object = None,
        obs_intercept: object = "free",
        state_intercept: object = "zero",
        design: object = "free",
        transition: object = "free",
        obs_cov: object = "diagonal",
        state_cov: object = "unstructured",
        initialization: object = "stationary",
        initial_state: object = None,
        initial_state_cov: object = None,
        dates: object = None,
        freq: object = None,
        state_mean: object = "zero",
        obs_coef: object = "free",
        state_coef: object = "free",
        identification: str | None = None,
        factor_names: Sequence[str] | None = None,
    ) -> None:
        k_factors, lags = positive_integer(k_factors, "k_factors"), positive_integer(lags, "lags")
        check_size(k_factors, lags)
        initialization = initialization_of(initialization, k_factors)
        given = {
            "k_factors": k_factors, "lags": lags, "obs_intercept": obs_intercept,
            "state_intercept": state_intercept, "design": design, "transition": transition,
            "obs_cov": obs_cov, "state_cov": state_cov, "initialization": initialization,
            "initial_state": initial_state, "initial_state_cov": initial_state_cov,
            "state_mean": state_mean, "obs_coef": obs_coef, "state_coef": state_coef,
            "identification": identification, "factor_names": factor_names,
        }  # fmt: skip
        on_lags = loads_on_lags(design, k_factors, lags)
        self.k_factors, self.lags = (k_factors * lags, 1) if on_lags else (k_factors, lags)
        super().__init__(endog, k_factors * lags, self.k_factors, given, exog, state_exog, dates, freq)
        mixed = isinstance(initialization, tuple)
        self.initialization_kind = "diffuse" if mixed else str(initialization).replace("estimated", "known")
        factors = names_of_factors(factor_names, k_factors)
        self.labels = Labels(
            [str(name) for name in np.atleast_1d(self.endog_names)],
            factors,
            lagged_names(factors, lags),
            self.regressor_names["exog"],
            self.regressor_names["state_exog"],
        )
        blocks = declared_blocks(given, self.labels, lags, self.nobs)
        self.declare_timed(blocks, self.labels)
        self.layout: ParameterLayout = layout_of(blocks, self.labels, lags)
        if on_lags:  # the lags are then separate factors
            self.labels = replace(self.labels, factors=self.labels.states)
        stationary = np.flatnonzero(self.starts == "stationary")
        self.structure = companion_structure(self.k_factors, self.lags, stationary)
        self.ssm["selection"] = self.structure.selection

    @property
    def state_names(self) -> list[str]:
        """The names of the states: the factors, followed by their lags."""
        return list(self.labels.states)

    @property
    def starts(self) -> np.ndarray:
        """The kind of initialization of each state."""
        return kinds_of(self._given["initialization"], self.k_states)

    # -- params -> matrices ----------------------------------------------------------------------------

    def system(self, params: Array) -> System:
        """Return the state-space matrices at a full parameter vector."""
        at = self.layout.matrices(self.layout.vector(params))
        k, size = self.k_factors, self.k_states
        design = np.zeros((self.k_endog, size, *at["design"].shape[2:]))
        design[:, :k] = at["design"]
        intercept = self._intercept("state_intercept", at, None)
        transition, selection = companion(at["transition"]), np.eye(size, k)
        first, first_cov = at["initial_state"][:, 0], at["initial_state_cov"]
        if self.initialization_kind == "stationary":
            first, first_cov = start_moments(transition, intercept, selection, at["state_cov"])
        system = System(
            design=design,
            obs_intercept=self._intercept("obs_intercept", at, self.exog),
            obs_cov=at["obs_cov"],
            transition=transition,
            state_intercept=intercept,
            selection=selection,
            state_cov=at["state_cov"],
            initialization_type=self.initialization_kind,
            initial_state=first,
            initial_state_cov=first_cov,
            observation_groups=self.layout.groups.get("observation"),
            state_groups=self.layout.groups.get("state"),
        )
        if isinstance(self._given["initialization"], tuple):
            system = mixed_start(system, self.structure.stationary, self.starts == "diffuse")
        if self.k_state_exog:
            whole = self._intercept("state_intercept", at, self.state_inputs)
            system = replace(system, state_intercept=whole)
        return system

    def _intercept(self, name: str, at: Mapping[str, Array], exog: Array | None) -> Array:
        """Return an intercept at the matrices of the blocks, with the contribution of regressors if given."""
        own, coefs = at[name][:, 0], at["obs_coef" if name == "obs_intercept" else "state_coef"]
        if name == "state_intercept" and at["state_mean"].any():
            own = (own.T + one_minus_sum(at["transition"]) @ at["state_mean"][:, 0]).T
        if exog is not None and coefs.shape[1]:
            own = (own if own.ndim == 2 else own[:, None]) + coefs @ exog.T
        if name == "obs_intercept":
            return own
        return np.concatenate([own, np.zeros((self.k_states - self.k_factors, *own.shape[1:]))])

    def future_intercept(self, name: str, exog: Array, params: Array) -> Array:
        """Return the intercepts of the observations or the states for future regressors."""
        return self._intercept(name, self.layout.matrices(params), exog)

    @property
    def score_matrices(self) -> frozenset[str]:
        """The system matrices that have free elements."""
        free = {key for key, block in self.layout.blocks.items() if not block.is_fixed}
        mean = "transition" in free and np.any(self.layout.blocks["state_mean"].fixed)
        if mean or free & {"state_coef", "state_mean"}:
            free.add("state_intercept")
        if "obs_coef" in free:
            free.add("obs_intercept")
        return frozenset(free.intersection(TIMED))

    def score_by_block(self, score: SystemScore, params: Array) -> dict[str, Array]:
        """Return the score of each free block, from the score of the system matrices."""
        out, k = dict(score.by_matrix), self.k_factors
        if "design" in out:
            out["design"] = out["design"][:, :k]
        if "obs_intercept" in out:
            if self.exog is not None:
                out["obs_coef"] = out["obs_intercept"] @ self.exog
            out["obs_intercept"] = out["obs_intercept"][:, None, :]
        if "transition" in out:
            out["transition"] = out["transition"][:k]
        if "state_intercept" in out:
            out |= self._scores_of_intercepts(score, params, out.get("transition"))
        if self.initialization_kind == "known":
            out["initial_state"] = score.initial_state[:, None]
            out["initial_state_cov"] = score.initial_state_cov
        return out

    def _scores_of_intercepts(
        self, score: SystemScore, params: Array, by_transition: Array | None
    ) -> dict[str, Array]:
        """Return the scores of what the intercepts of the states consist of."""
        each = np.array(score.by_matrix["state_intercept"][: self.k_factors])
        out = {} if self.state_exog is None else {"state_coef": each @ self.state_inputs}
        each[:, 0] += score.start_intercept[: self.k_factors]  # a stationary start has the first intercept
        total = each.sum(axis=1)
        out["state_intercept"] = each[:, None, :]
        out["state_mean"] = (one_minus_sum(self.layout.matrix("transition", params)).T @ total)[:, None]
        mean = self.layout.matrix("state_mean", params)[:, 0]
        if by_transition is not None and np.any(mean):
            out["transition"] = summed(by_transition) - np.tile(np.outer(total, mean), self.lags)
        return out

    # -- estimation ------------------------------------------------------------------------------------

    def default_start(self, problem: EstimationProblem) -> Array:
        """Return start values of the free parameters from an M-step on principal components."""
        if self.nobs < 2:
            raise DataError("The sample is too short for default start values", got="one period")
        return _improved(self, problem, start_values(problem))

    def later_starts(self, problem: EstimationProblem) -> Iterator[Array]:
        """Yield start values to try after the first maximum: from other components, then random ones."""
        if not problem.layout.blocks["design"].is_fixed:
            yield _improved(self, problem, start_values(problem, predictable=True))
        elif not isinstance(self._given["initialization"], tuple):
            return
        first, rng = start_values(problem), np.random.default_rng(0)
        for _ in range(_RANDOM_STARTS):
            yield random_start(problem, first, rng)

    def mirrored(self, problem: EstimationProblem, params: Array, near: Array) -> Array:
        """Return parameters with the signs of factors for which the loadings are closest to ``near``."""
        at, layout = self.layout.matrices(problem.full(params)), problem.layout
        loadings = layout.matrix("design", near)
        on_lags = self.lags != self._given["lags"]  # lags change signs with their factors
        if any(block.time_varying for block in layout.blocks.values()) or on_lags:
            return params
        signs = np.where(np.sum(at["design"] * loadings, axis=0) < 0, -1.0, 1.0)
        if np.all(signs > 0):
            return params
        return layout.project(rotate_system(at, np.diag(signs), self.lags), params)

    def stabilised(self, problem: EstimationProblem, params: Array) -> Array:
        """Return the free parameters, with the transition rescaled to stationarity if necessary."""
        return stabilised(problem, params)

    def variance_sizes(self, params: Array) -> dict[str, Array]:
        """Return, for each covariance block, the variances that would explain the data on their own."""
        out = super().variance_sizes(params)
        largest = np.max(np.abs(typical(self.layout.matrix("design", params))), axis=0)
        implied = np.max(out["obs_cov"]) / np.maximum(largest**2, 1e-100)
        if self.k_factors == 1:  # with several factors, use the largest variance
            out["state_cov"] = implied
        return {**out, "initial_state_cov": np.tile(implied, self.lags)}

    def check_sample(self) -> None:
        """Raise `DataError` if the sample does not suffice to estimate the model."""
        check_series(self.endog, self.labels.endog, self.k_factors, enough=2)
        layout = self.problem().layout
        if not layout.blocks["design"].is_fixed and self.k_states >= self.nobs:
            raise SpecificationError(
                "k_factors is too large for the sample",
                got=f"{self.k_factors} factors x {self.lags} lags",
                expected=f"fewer states than the {self.nobs} periods",
            )
        self._check_noise(layout)
        self.check_patterns(layout)
        n_params = most_identified(layout, self.k_states)
        check_counts(self.endog, self.labels.endog, coefficients_by_series(layout), n_params)
        for i, name in enumerate(self.labels.endog):
            columns = own_columns(layout.blocks["obs_coef"], i)
            seen = ~np.isnan(self.endog[:, i])
            if len(columns) and self.exog is not None:
                constant = i in layout.blocks["obs_intercept"].rows
                where = "exog" if seen.all() else f"exog, in the periods of series {name!r},"
                check_regressors(self.exog[seen][:, columns], where, constant)
        if not layout.blocks["state_coef"].is_fixed and self.state_exog is not None:
            constant = any(not layout.blocks[key].is_fixed for key in ("state_intercept", "state_mean"))
            check_regressors(self.state_exog[:-1], "state_exog", constant)

    def _check_noise(self, layout: ParameterLayout) -> None:
        """Raise an error if variances fixed at zero make the distribution of the observations singular."""
        seen = ~np.isnan(self.endog[:, without_noise(layout.blocks["obs_cov"])])
        if seen.shape[1] and seen.sum(axis=1).max() > self.k_factors:
            raise SpecificationError(
                "obs_cov is zero for more series than there are factors: their distribution is singular",
                got=f"{seen.shape[1]} series without noise, {self.k_factors} factors",
                remedy="Leave the variances of the others free.",
            )
        certain = without_noise(layout.blocks["initial_state_cov"]) < self.k_factors
        if np.all(self.starts == "known") and seen[0].sum() > self.k_factors - certain.sum():
            raise SpecificationError(
                "The first observation has no variance",
                got="obs_cov and initial_state_cov of zero",
                expected="noise in one of them",
                remedy="Make the first row of endog NaN (a known value of it is the initial state).",
            )

    def check_layout(self, layout: ParameterLayout) -> None:
        """Raise `SpecificationError` if fixed elements contradict each other or the initialization."""
        super().check_layout(layout)
        check_initialization(self._given["initialization"], layout.blocks)

    def identification(self, params: object, fixed: Mapping[str, float] | None = None) -> Identification:
        """
        Find which parameters are identified, from the rank of the moments of the data.

        Parameters
        ----------
        params : array_like
            A full parameter vector, including the fixed parameters.
        fixed : mapping, optional
            Values of fixed parameters by name. By default those of the active `fix_params`.
        """
        fixed = dict(self._fixed_params or {}) if fixed is None else fixed
        return identify(self, self.layout.vector(params), fixed)

    def exact_information(self, params: Array, index: Array) -> Array | None:
        """
        Return minus the exact second derivatives of the log-likelihood for selected parameters.

        The result is None if the initialization is diffuse or was set on `ssm`, if matrices vary over time or
        are not affine, if a covariance matrix is singular, or if values are missing and ``obs_cov`` is not
        diagonal.
        """
        diffuse = self.initialization_kind == "diffuse"
        if diffuse or self.user_initialization is not None or self.layout.curved:
            return None
        nothing = np.zeros((self.nobs, 0))
        exog, state_exog = (nothing if each is None else each for each in (self.exog, self.state_inputs))
        at = self.layout.matrices(params)
        stationary = self.initialization_kind == "stationary"
        point = SmoothedPoint(self.layout, at, index, self.lags, stationary, self.endog, exog, state_exog)
        return second_order_information(point)


def _improved(model: LGSSM, problem: EstimationProblem, start_params: Array) -> Array:
    """Return the better of some start values and those of `_by_expanded_em`, if it is worth its time."""
    small = len(problem.layout) <= WHITENED_UP_TO  # second derivatives do the same in fewer passes
    held = model._given["identification"] is None or len(problem.layout) < len(model.layout)
    if small or held or any(block.time_varying for block in model.layout.blocks.values()):
        return start_params
    try:
        expanded = _by_expanded_em(model, problem, start_params)
    except NOT_HERE:
        return start_params
    return expanded if problem.value(expanded) > problem.value(start_params) else start_params


def _by_expanded_em(model: LGSSM, problem: EstimationProblem, start_params: Array) -> Array:
    """
    Return start values after some iterations of parameter-expanded EM (Liu, Rubin & Wu, 1998).

    EM changes the normalised loadings and the transition in small steps, since the factors of the E-step are
    already normalised. The iterations run without the normalisation, where this does not happen. Their result
    is then rotated.
    """
    whole = EstimationProblem(model._rebuilt(model.data.orig_endog, {"identification": None}), {})
    first = whole.layout.project(problem.layout.matrices(start_params), np.zeros(len(whole.layout)))
    steps = whole.moments, whole.loglike, whole.updates.cycles()
    at = whole.layout.matrices(run_em(first, *steps, EMOptions(_EXPANDED, 0.0)).params)
    if model._given["identification"] == "unit":
        rotation = np.linalg.inv(at["design"][: model.k_factors])
    else:
        square_root = np.linalg.cholesky(at["state_cov"])
        rotation = square_root @ lower_triangular_rotation(at["design"] @ square_root)
    return problem.layout.project(rotate_system(at, rotation, model.lags), start_params)
