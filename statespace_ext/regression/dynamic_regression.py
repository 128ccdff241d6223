"""Regressions with time-varying coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import numpy as np
import pandas as pd

from ..base.formula import FormulaDesign, labelled_as, named_regressors, regression_frames, with_const
from ..base.model import StateSpaceModel
from ..base.results import StateSpaceResultsWrapper
from ..em.second_order import AverageInformation
from ..em.updates import StateStructure
from ..engine.system import System
from ..engine.system_score import SystemScore
from ..engine.validation import endog_frame, regressor_array, regressor_names, series_names
from ..exceptions import DataError, ParameterError
from ..numerics.linear_algebra import STABILITY_LIMIT, Array
from ..params.affine import Elements
from ..params.layout import ParameterLayout
from .coefficients import Coefficients, by_series_frame, is_by_series
from .declaration import parse_dynamics, parse_start, partly_diffuse, regression_layout
from .estimation import RegressionEstimation, RegressionSmoother
from .obs_scale import ScaledNoise, by_cov, parse_scale, scaled_cov, with_scale
from .results import DynamicRegressionResults


class DynamicRegression(ScaledNoise, RegressionEstimation[DynamicRegressionResults]):
    r"""
    Regression of several series on common regressors, with constant or time-varying coefficients.

    .. math::

        y_t &= (x_t' \otimes I_p)\,\theta_t + \varepsilon_t, & \varepsilon_t &\sim N(0, V) \\
        \theta_{j,t+1} &= \theta_{j,t} + \eta_{j,t}, & \eta_t &\sim N(0, W)

    for p series and m regressors. The vector :math:`\theta_{j,t}` contains the p coefficients on regressor j.
    A "static" coefficient has no disturbance. An "ar1" coefficient is the sum of a constant and a stationary
    deviation :math:`\delta_{ij,t+1} = \phi_{ij}\delta_{ij,t} + \eta_{ij,t}`. A "local_linear" coefficient is
    a trend, :math:`\theta_{ij,t+1} = \theta_{ij,t} + s_{ij,t} + \eta_{ij,t}`. Its slope :math:`s_{ij,t}` is a
    random walk.

    Parameters
    ----------
    endog : array_like, (nobs, p)
        Observations; NaN marks a missing value.
    exog : array_like, (nobs, m), or mapping
        Regressors. The model does not add a constant. Regressors that differ by series are a dict by name of
        a series, or a frame with columns (series, regressor).
    dynamics : mapping, optional
        Dynamics by name of a regressor: "static" (the default), "random_walk", "ar1" or "local_linear".
    obs_cov : specification
        Structure of V: "unstructured", "diagonal", "scalar", "equicorrelated" or "factor:r" (r factors and
        specific variances). You can also pass an array (NaN marks a free element), nested lists with strings,
        or your own structure (`statespace_ext.params.curved.CovarianceFunction`).
    state_cov : specification
        Structure of W, which is block-diagonal by regressor with time-varying coefficients. Pass one
        specification for all regressors, or a dict with one for each. The values are those of ``obs_cov``,
        and "proportional" (W_j = q_j V). With "joint", or an array over all time-varying coefficients, W is
        not block-diagonal. The disturbances of slopes have a block too, named "MKT.slope". In a dict, it is
        that of "MKT" by default.
    initialization : {"diffuse", "approximate_diffuse", "known"}
        Initial distribution of the levels. "diffuse" is exact diffuse, "approximate_diffuse" uses a variance
        of 1e6, and "known" uses ``initial_state`` and ``initial_state_cov``.
    initial_state, initial_state_cov : array_like, optional
        Mean (p * m,) and covariance of the levels in the first period. With constraints, these are the free
        coefficients. Slopes follow the levels.
    obs_scale : array_like, (nobs,) or (nobs, p), optional
        Known positive multipliers s_t of the standard deviations of the noise: eps_t ~ N(0, S_t V S_t) with
        S_t = diag(s_t). Examples are GARCH volatilities and weights of outliers. Methods for later periods
        need the multipliers of those periods.
    constraints : str, list of str or mapping, optional
        Linear equations among the coefficients that hold in every period, such as ``"SMB + HML = 1"`` for
        each series, or ``"MKT.A = MKT.B"``. Each equation determines its first coefficient from the others,
        which are the states. W is the covariance of the coefficients that remain. docs/dynamic_regression.md
        names forms of W that do not depend on the order of the coefficients.
    dates, freq : optional
        Labels of the periods, in place of those of the data, and their frequency. Labels of any kind are
        kept. Labels of later periods follow the rule in docs/dates.md.

    Notes
    -----
    The states are ordered regressor by regressor. The slopes of "local_linear" coefficients follow, and the
    deviations of "ar1" coefficients come last.

    Raises
    ------
    SpecificationError
        If arguments are unknown, have the wrong shape, or contradict each other.
    DataError
        If the data are not finite numbers with matching shapes and indexes.

    References
    ----------
    Harvey, A. C. (1989), Forecasting, Structural Time Series Models and the Kalman Filter, section 8.2;
    Petris, Petrone & Campagnoli (2009), Dynamic Linear Models with R, section 3.3.

    Examples
    --------
    >>> import numpy as np, pandas as pd, statespace_ext as sse
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"const": 1.0, "MKT": rng.normal(size=60)})
    >>> y = pd.DataFrame(np.outer(x["MKT"], [1.0, 0.5]) + rng.normal(size=(60, 2)), columns=["A", "B"])
    >>> model = sse.DynamicRegression(y, x, dynamics={"MKT": "random_walk"}, state_cov="diagonal")
    >>> model.param_names[-1]
    'state_var.MKT.B'
    """

    _res_classes = {"fit": (DynamicRegressionResults, StateSpaceResultsWrapper)}
    _readable: Mapping[str, str] = {}
    _regressors_are = "exog"

    def __init__(
        self,
        endog: object,
        exog: object,
        *,
        dynamics: Mapping[str, str] | None = None,
        obs_cov: object = "unstructured",
        state_cov: object = "unstructured",
        initialization: str = "diffuse",
        initial_state: object = None,
        initial_state_cov: object = None,
        obs_scale: object = None,
        constraints: object = None,
        dates: object = None,
        freq: object = None,
    ) -> None:
        given = {
            "dynamics": dynamics, "obs_cov": obs_cov, "state_cov": state_cov,
            "initialization": initialization, "initial_state": initial_state,
            "initial_state_cov": initial_state_cov, "obs_scale": obs_scale, "constraints": constraints,
        }  # fmt: skip
        given = deepcopy(given)
        data: Any = endog_frame(endog)
        if exog is None:
            raise DataError("A regression needs regressors (exog)", got="None")
        index, series = getattr(data, "index", None), series_names(data)
        columns = None
        if is_by_series(exog):
            exog, names, columns = by_series_frame(exog, series, len(data), index)
        else:
            regressor_array(exog, len(data), index, "exog")
            names = regressor_names(exog, "x")
        kinds = parse_dynamics(dynamics, names)
        c = self.coefficients = Coefficients(
            series, names, kinds, self._readable, columns, given["constraints"]
        )
        self.obs_scale = parse_scale(obs_scale, len(data), index, c.endog)
        layout, self.proportional = regression_layout(self.coefficients, obs_cov, state_cov)
        levels = c.state_names[: c.n_levels]
        start = parse_start(initialization, initial_state, initial_state_cov, levels)
        super().__init__(data, c.k_states, len(c.noise_rows), given, exog, None, dates, freq)
        self.layout: ParameterLayout = layout
        self.initialization_kind, self._level_mean, self._level_cov = start
        self._design, self._intercept = c.design(self.exog), c.intercept(self.exog)
        base = np.diag((np.arange(c.k_states) < c.n_levels).astype(float))
        self.structure = StateStructure(base, c.noise_rows, stationary=np.arange(c.n_levels, c.k_states))
        self._selection = self.structure.selection
        self.ssm["selection"] = self._selection
        self.ssm["design"] = self._design

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, **kwargs: Any) -> DynamicRegression:
        """
        Build the model from a patsy formula, such as ``"IBM + XOM ~ MKT"``.

        Parameters
        ----------
        formula : str
            Series on the left, regressors on the right. The intercept of patsy is renamed to "const".
        data : DataFrame
            The data. Rows with missing values on the left are kept.
        **kwargs
            Arguments of the constructor.

        Notes
        -----
        patsy evaluates the terms of a formula as Python code. Do not use formulas from untrusted sources.
        """
        endog, exog, design_info = regression_frames(formula, data, depth=1)
        for key in {"dynamics", "state_cov"} & set(kwargs):
            kwargs[key] = with_const(kwargs[key], key)
        model = cls(endog, exog, **kwargs)
        model.design_info = design_info
        return model

    design_info: FormulaDesign | None = None
    """Right-hand side of the formula of `from_formula`, used to build regressors out of sample."""

    def regressors(self, exog: object) -> Any:
        """
        Return regressors of other periods; a model with a formula accepts a frame with its variables.

        Raises
        ------
        DataError
            If a frame has neither the columns of the model nor the variables of its formula.
        """
        labelled = isinstance(self.data.orig_exog, (pd.Series, pd.DataFrame))
        exog = self.coefficients.flat(exog)
        return named_regressors(exog, self.coefficients.exog_names, labelled, self.design_info)

    def more_data(self, endog: Any, exog: Any, options: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Return the series and regressors of other periods, and the remaining options."""
        return endog, self.regressors(exog), options

    def clone(self, endog: object, exog: object = None, **kwargs: Any) -> DynamicRegression:
        """Return the same model for other data; see `LGSSM.clone`."""
        own = self.coefficients.columns is not None
        if self.design_info is not None or own:
            exog = self.regressors(exog)
        endog, exog = labelled_as(self, endog, exog)
        if own and isinstance(exog, pd.DataFrame):
            exog = self.coefficients.two_level(exog)
        self.require_scale(kwargs)
        return super().clone(endog, exog, **kwargs)

    def _of_series(self, place: int) -> DynamicRegression:
        """Return the regression of one series on what moves its free coefficients, with independent noise."""
        c, index = self.coefficients, self._index
        own = np.flatnonzero(c.used[place])
        regressors = c.free[own] // c.p
        names = [c.regressors[j] for j in regressors]
        return DynamicRegression(
            pd.Series(self.endog[:, place] - self._intercept[place], index, name=c.endog[place]),
            pd.DataFrame(self._design[place, own].T, index, names),
            dynamics={c.regressors[j]: c.dynamics[j] for j in regressors},
            obs_cov="scalar",
            state_cov="scalar",
        )

    likelihood_neutral = ("filter", "smooth")
    filter, smooth, simulate, impulse_responses, simulation_smoother = map(
        with_scale,
        (
            StateSpaceModel.filter,
            StateSpaceModel.smooth,
            StateSpaceModel.simulate,
            StateSpaceModel.impulse_responses,
            StateSpaceModel.simulation_smoother,
        ),
    )

    def hashed_arguments(self, exact: bool) -> dict[str, Any]:
        """Return the arguments that identify a model in a checkpoint; names matter to constraints."""
        c = self.coefficients
        return {**super().hashed_arguments(exact), **({} if c.is_plain else {"exog": c.exog_names})}

    @property
    def state_names(self) -> list[str]:
        """Names of the states."""
        return self.coefficients.state_names

    @property
    def shock_names(self) -> list[str]:
        """Names of the disturbances, which are those of their coefficients."""
        return self.coefficients.disturbance_names or super().shock_names

    # -- params -> matrices ----------------------------------------------------------------------------

    def matrices(self, params: object) -> dict[str, Array]:
        """Return V ("obs_cov"), W ("state_cov") and the rows of T with disturbances ("transition")."""
        at = self._blocks(self.layout.vector(params))
        return {key: at[key] for key in ("obs_cov", "state_cov", "transition")}

    def _blocks(self, params: Array) -> dict[str, Array]:
        """Return the blocks of the layout; V and W include their factors, and W its multiples of V."""
        at = self.layout.matrices(params)
        for key in ("obs", "state"):
            if at[f"{key}_loading"].size:
                at[f"{key}_cov"] += at[f"{key}_loading"] @ at[f"{key}_loading"].T
        for share, place in zip(np.diag(at["proportion"]), self.proportional, strict=True):
            rows = self.coefficients.noise_places(place)
            at["state_cov"][np.ix_(rows, rows)] = share * at["obs_cov"]
        return at

    def system(self, params: Array) -> System:
        """Return the state-space matrices at a full parameter vector."""
        at = self._blocks(params)
        c = self.coefficients
        transition, state_cov = self.structure.transition(at["transition"]), at["state_cov"]
        mean, cov = np.zeros(c.k_states), np.zeros((c.k_states, c.k_states))
        levels = slice(0, c.n_levels)
        mean[levels], cov[levels, levels] = self._level_mean, self._level_cov
        start, initialization, stationary = self.initialization_kind, None, None
        if c.autoregressive:
            stationary = self.structure.stationary
            phi, own = np.diag(transition)[stationary], np.flatnonzero(c.noise_rows >= c.n_levels)
            if not np.max(np.abs(phi)) < STABILITY_LIMIT:
                raise ParameterError(
                    "An autoregressive coefficient is outside the unit circle",
                    got=f"{at['transition'].ravel().tolist()}",
                    expected="values between -1 and 1",
                )
            W = state_cov[np.ix_(own, own)]
            cov[np.ix_(stationary, stationary)] = W / (1.0 - np.multiply.outer(phi, phi))
            if start == "diffuse":
                start, initialization = "custom", partly_diffuse(c.n_levels, cov)
        return System(
            design=self._design, obs_intercept=self._intercept, transition=transition,
            obs_cov=scaled_cov(at["obs_cov"], self.obs_scale),
            state_intercept=np.zeros(c.k_states), selection=self._selection, state_cov=state_cov,
            initialization_type=start, initialization=initialization, initial_state=mean,
            initial_state_cov=cov, stationary=stationary,
        )  # fmt: skip

    @property
    def score_matrices(self) -> frozenset[str]:
        """The system matrices that have free elements."""
        needed = {"obs_cov", "state_cov"}
        return frozenset(needed | {"transition"} if self.coefficients.autoregressive else needed)

    def score_by_block(self, score: SystemScore, params: Array) -> dict[str, Array]:
        """Return the score by element of each free block."""
        by = score.by_matrix
        by_obs_cov, by_share = by_cov(by["obs_cov"], self.obs_scale), np.zeros((len(self.proportional),) * 2)
        at = self._blocks(params) if self.proportional or self.has_factors else {}
        for i, place in enumerate(self.proportional):
            rows = self.coefficients.noise_places(place)
            inner = by["state_cov"][np.ix_(rows, rows)]
            by_share[i, i] = np.sum(inner * at["obs_cov"])
            by_obs_cov = by_obs_cov + at["proportion"][i, i] * inner
        out = {"obs_cov": by_obs_cov, "state_cov": by["state_cov"], "proportion": by_share}
        if self.has_factors:
            out["obs_loading"] = (by_obs_cov + by_obs_cov.T) @ at["obs_loading"]
            out["state_loading"] = (by["state_cov"] + by["state_cov"].T) @ at["state_loading"]
        if "transition" in by:
            out["transition"] = by["transition"][self.coefficients.noise_rows]
        return out

    @property
    def private_smoother(self) -> RegressionSmoother:
        """A smoother of the model's data that shares no state with the model or with other threads."""
        if not hasattr(self._private, "smoother"):
            c = self.coefficients
            one = c.is_plain and len(c.noise) == 1 and not c.autoregressive
            given = self.endog, c.k_states, self.ssm.k_posdef, self.exog, self.state_inputs, self._given_start
            self._private.smoother = RegressionSmoother(
                *given,
                walk=c.moving[0] if one else None,
                scale=self.obs_scale,
                deviations=self._new_deviations(),
            )
        return cast(RegressionSmoother, self._private.smoother)

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, from fewer states or no filter pass where possible."""
        score = self._common_score(params) or self._deviation_score(params)
        if score is None:
            return super().loglike_and_score(params)
        return score.llf, self.layout.gradient(self.score_by_block(score, params), params)

    def _common_score(self, params: Array) -> SystemScore | None:
        """Return the score from decomposed data, or None if it needs a filter pass."""
        common = self.private_smoother.common
        if common is None or self.current_initialization != "diffuse":
            return None
        at = self._blocks(params)
        found = common.score(at["obs_cov"], at["state_cov"])
        return None if found is None else SystemScore(*found)

    @property
    def has_average_information(self) -> bool:
        """
        Whether the derivatives of V and W are known, and the log-likelihood takes passes of the filter.

        With ar1 coefficients the derivatives by factors and proportions are known too.
        """
        if self.coefficients.autoregressive:
            return not self.layout.curved and self._deviations is not None
        affine = not (self.has_factors or self.proportional or self.layout.curved)
        return affine and self.private_smoother.common is None

    def average_information(self, params: Array) -> Array:
        """Return the average of the observed and the expected information at a full parameter vector."""
        if self.coefficients.autoregressive:
            return self._deviation_information(params)
        system, V = self.initialized_system(params), self._blocks(params)["obs_cov"]
        mean, directions, cov = self.private_smoother.start_of(system)
        scale = np.ones(self.endog.shape) if self.obs_scale is None else self.obs_scale
        endog, R = (self.endog - system.obs_intercept.T) / scale, system.selection
        design = np.moveaxis(system.design, 2, 0) / scale[:, :, None]
        noise = R @ system.state_cov @ R.T
        found = AverageInformation(endog, design, V, system.transition, noise, mean, cov, directions)
        every, rows = np.arange(len(self.layout)), self.coefficients.noise_rows
        by = self.layout.derivative("state_cov", every)
        by_noise = Elements(rows[by.rows], rows[by.columns], by.params, by.values)
        return found.by(self.layout.derivative("obs_cov", every), by_noise, len(every))

    # -- out of sample ---------------------------------------------------------------------------------

    def _get_extension_time_varying_matrices(
        self,
        params: object,
        exog: object,
        out_of_sample: int,
        extend_kwargs: dict[str, Any] | None = None,
        transformed: bool = True,
        includes_fixed: bool = False,
        obs_scale: object = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the design and the covariance of scaled noise for the periods after the sample."""
        rows = np.asarray(self._future(self.regressors(exog), out_of_sample, "exog"))
        out = {"design": self.coefficients.design(rows), **kwargs}
        if self._intercept.ndim > 1:
            out["obs_intercept"] = self.coefficients.intercept(rows)
        scale = self.future_scale(obs_scale, out_of_sample)
        if scale is not None:
            vector = self.handle_params(params, transformed, includes_fixed)
            out["obs_cov"] = scaled_cov(self._blocks(vector)["obs_cov"], scale)
        return out
