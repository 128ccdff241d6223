"""The capital asset pricing model with time-varying betas, and its results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..base.formula import regression_frames
from ..base.results import StateSpaceResultsWrapper
from ..engine.arguments import one_of
from ..engine.validation import (
    check_same_columns,
    endog_frame,
    future_labels,
    regressor_array,
    regressor_names,
    series_names,
)
from ..exceptions import DataError, SpecificationError, shown, warn_renamed
from .alpha import GRSTest, WaldTest, grs, wald_alpha
from .dynamic_regression import DynamicRegression
from .estimates import Coefficient
from .results import DynamicRegressionResults

_SHAPE = "(nobs,), or (nobs, factors) with the market first"
CONSTANT, ALPHA = "const", "alpha"
MARKET = "MKT"


class CAPMCoefficients(dict[str, Coefficient]):
    """The coefficients of a `CAPM` by name ("alpha" and the factors); "const" is the former name of alpha."""

    def __missing__(self, key: str) -> Coefficient:
        """Return alpha when it is requested by its former name."""
        if key != CONSTANT:
            raise KeyError(key)
        warn_renamed(CONSTANT, ALPHA)
        return self[ALPHA]


class CAPMResults(DynamicRegressionResults):
    """
    Results of fitting (or of filtering and smoothing) a `CAPM`.

    The class extends `DynamicRegressionResults` with `alpha`, `beta` and `test_alpha`. Methods for other
    periods (`forecast`, `get_prediction`, `simulate`, `append`, `extend`, `apply`) accept raw ``market`` and
    ``risk_free`` in place of ``exog``, as the constructor does.
    """

    @property
    def coefficients(self) -> CAPMCoefficients:
        """Estimates of the coefficients, by name: "alpha" and the factors."""
        return CAPMCoefficients(super().coefficients)

    @property
    def alpha(self) -> Coefficient:
        """The alphas (`Coefficient`): use ``estimate`` and ``se`` if static, ``smoothed`` if time-varying."""
        return self._coefficient(0)

    @property
    def beta(self) -> Any:
        """The betas (`Coefficient`); a dict by factor if there are several factors."""
        betas = {name: self._coefficient(j + 1) for j, name in enumerate(self.model.factors)}
        return next(iter(betas.values())) if len(betas) == 1 else betas

    def fit_measures(self) -> pd.DataFrame:
        """
        Return how much of each asset's return the factors explain, and the tracking error.

        Returns
        -------
        DataFrame
            The columns of `DynamicRegressionResults.fit_measures`, and "tracking_error". It is the standard
            deviation of the difference between the return and the market (the first factor), over the
            periods with a return.
        """
        active = pd.DataFrame(np.asarray(self.model.endog) - self.model.exog[:, [1]])
        return super().fit_measures().assign(tracking_error=active.std().to_numpy())

    def test_alpha(
        self, n_sim: int = 199, rng: object = None, n_jobs: int | None = None
    ) -> dict[str, WaldTest | GRSTest | None]:
        """
        Test that all alphas are zero.

        Parameters
        ----------
        n_sim : int
            Number of samples, if the distribution of the Wald statistic is simulated.
        rng : numpy.random.Generator or int, optional
            Random number generator or seed.
        n_jobs : int, optional
            As in `fit_many`.

        Returns
        -------
        dict
            "wald" is the joint Wald test from the smoothed alphas. Its p-value is exact for static betas
            with a full, diagonal or scalar ``obs_cov`` (see `WaldTest`). Otherwise it comes from a
            parametric bootstrap. It is NaN if the number of periods does not exceed the number of assets and
            factors. "grs" is the exact F test of Gibbons, Ross & Shanken (1989) on the static least-squares
            model without constraints. It is None if a period is partly missing or there are too few periods.

        Raises
        ------
        SpecificationError
            If alpha is not static, or constraints decide whether the alphas are zero.
        """
        model = self.model
        seen = ~np.isnan(model.endog)
        rows, (p, k) = seen.all(axis=1), (model.k_endog, len(model.factors))
        exact = rows.sum() > p + k and np.array_equal(rows, seen.any(axis=1))
        returns = pd.DataFrame(model.endog[rows], columns=model.coefficients.endog)
        return {
            "wald": wald_alpha(self, ALPHA, n_sim=n_sim, rng=rng, n_jobs=n_jobs),
            "grs": grs(returns, model.exog[rows, 1:]) if exact and model.obs_scale is None else None,
        }

    def get_prediction(
        self, *args: Any, market: object = None, risk_free: object = None, exog: object = None, **kwargs: Any
    ) -> Any:
        """Predict excess returns; ``market`` and ``risk_free`` belong to the periods after the sample."""
        _, exog = self.model.new_periods(None, exog, market, risk_free)
        return super().get_prediction(*args, exog=exog, **kwargs)

    def simulate(
        self,
        nsimulations: int,
        *args: Any,
        market: object = None,
        risk_free: object = None,
        exog: object = None,
        **kwargs: Any,
    ) -> Any:
        """Simulate excess returns; ``market`` and ``risk_free`` belong to the periods after the sample."""
        _, exog = self.model.new_periods(None, exog, market, risk_free)
        return super().simulate(nsimulations, *args, exog=exog, **kwargs)


class CAPM(DynamicRegression):
    r"""
    Capital asset pricing model of several assets, with static alphas and time-varying betas.

    .. math::

        r_{it} - r_{ft} = \alpha_{it} + \beta_{it}(r_{mt} - r_{ft}) + \varepsilon_{it}

    The model is a `DynamicRegression` of the excess returns on a constant and the factors. By default the
    covariance matrices of the observations (V) and of the innovations of beta (W) are full across assets, and
    the start is exact diffuse.

    Parameters
    ----------
    returns : array_like, (nobs, p)
        Returns of the assets; NaN marks a missing value. They are excess returns if ``risk_free`` is None.
    market : array_like, (nobs,) or (nobs, f)
        Return of the market, or several factors with the market first (Fama-French).
    risk_free : array_like, (nobs,), optional
        Risk-free rate. It is subtracted from the returns and from the first factor. The other factors are
        returns of zero-investment portfolios and stay unchanged.
    alpha, beta : {"static", "random_walk", "ar1", "local_linear"}
        Dynamics of the coefficients. ``beta`` may be a mapping by factor.
    obs_cov, state_cov, initialization, initial_state, initial_state_cov, obs_scale : optional
        As in `DynamicRegression`.
    constraints, dates, freq : optional
        As in `DynamicRegression`. The constant is named "alpha": ``constraints="alpha = 0"``.

    Raises
    ------
    DataError
        If the inputs are not finite numbers of matching length and index.

    Examples
    --------
    >>> import numpy as np, statespace_ext as sse
    >>> rng = np.random.default_rng(0)
    >>> market = rng.normal(size=100)
    >>> returns = np.outer(market, [0.8, 1.2]) + rng.normal(size=(100, 2))
    >>> res = sse.CAPM(returns, market, state_cov="scalar").fit()
    >>> res.beta.smoothed.shape
    (100, 2)
    """

    _res_classes = {"fit": (CAPMResults, StateSpaceResultsWrapper)}
    _readable: Mapping[str, str] = {CONSTANT: ALPHA}  # noqa: RUF012
    _regressors_are = "market"

    if TYPE_CHECKING:

        def fit(self, start_params: object = None, *args: Any, **kwargs: Any) -> CAPMResults:
            """Estimate the parameters; see `DynamicRegression.fit`."""

        def filter(self, params: object, *args: Any, **kwargs: Any) -> CAPMResults:
            """Return filtered results; see `MLEModel.filter`."""

        def smooth(self, params: object, *args: Any, **kwargs: Any) -> CAPMResults:
            """Return smoothed results; see `MLEModel.smooth`."""

    def __init__(
        self,
        returns: object,
        market: object,
        risk_free: object = None,
        *,
        alpha: str = "static",
        beta: str | Mapping[str, str] = "random_walk",
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
        if returns is None:
            raise DataError("A CAPM needs returns", got="returns=None")
        endog, exog = excess_data(returns, market, risk_free)
        endog = _named(endog, series_names(endog), exog.index)
        factors = [str(name) for name in exog.columns[1:]]
        betas = dict(beta) if isinstance(beta, Mapping) else dict.fromkeys(factors, beta)
        if CONSTANT in betas:
            raise SpecificationError(
                "beta must not name the constant", got=repr(beta), remedy="Use alpha=..."
            )
        super().__init__(
            endog,
            exog,
            dynamics={CONSTANT: alpha, **betas},
            obs_cov=obs_cov,
            state_cov=_with_alpha(state_cov),
            initialization=initialization,
            initial_state=_with_alpha(initial_state),
            initial_state_cov=_with_alpha(initial_state_cov),
            obs_scale=obs_scale,
            constraints=constraints,
            dates=dates,
            freq=freq,
        )
        self.has_risk_free = risk_free is not None
        del self._given["dynamics"]
        self._given |= {"alpha": alpha, "beta": dict(beta) if isinstance(beta, Mapping) else beta}
        self.factors = factors
        self._has_names = isinstance(market, (pd.Series, pd.DataFrame))

    def handle_params(self, params: object, *args: Any, **kwargs: Any) -> Any:
        """Return the full parameter vector, checked; see `StateSpaceModel.handle_params`."""
        return super().handle_params(_with_alpha(params), *args, **kwargs)

    def fix_params(self, params: object) -> Any:
        """Fix parameters at given values, by name; see `MLEModel.fix_params`."""
        return super().fix_params(_with_alpha(params))

    def clone(
        self, endog: Any, exog: Any = None, *, market: Any = None, risk_free: Any = None, **kwargs: Any
    ) -> CAPM:
        """
        Return the same model for other data.

        Parameters
        ----------
        endog : array_like
            Returns, as in the constructor. If ``exog`` is given, they are excess returns.
        exog : array_like, optional
            The constant and the factors, as in ``model.exog``.
        market, risk_free : array_like, optional
            Market and risk-free rate as in the constructor, in place of ``exog``.
        **kwargs
            Arguments of the constructor to change.
        """
        endog, exog = self.new_periods(endog, exog, market, risk_free)
        if exog is None:
            raise DataError("New periods need the return of the market", expected=f"market={self.factors}")
        endog, names = endog_frame(endog), self.coefficients.endog
        check_same_columns(endog, names, "The new returns")
        endog = _named(endog, names, exog.index if isinstance(exog, pd.DataFrame) else None)
        self.require_scale(kwargs)
        factors = self._factors_of(self.regressors(exog), endog)
        model = self._rebuilt(endog, {"market": factors, **kwargs})
        model.has_risk_free = self.has_risk_free
        return model

    def _factors_of(self, exog: object, endog: object) -> pd.DataFrame:
        """Return the factors from regressors whose first column is a constant."""
        values = np.asarray(regressor_array(exog, None, None, "exog"))
        columns = [CONSTANT, *self.factors]
        if values.shape[1] != len(columns) or np.any(values[:, 0] != 1.0):
            raise DataError(
                "exog must hold a constant of ones and the factors",
                got=f"shape {values.shape}",
                expected=f"columns {shown(columns)}",
                remedy="Pass market= (and risk_free=) instead.",
            )
        labels = _labels_of(exog, endog)
        index = labels if labels is not None and len(labels) == len(values) else None
        return pd.DataFrame(values[:, 1:], index=index, columns=self.factors)

    def new_periods(self, returns: Any, exog: Any, market: Any, risk_free: Any) -> tuple[Any, Any]:
        """
        Return excess returns and regressors of other periods, computed from raw data where these are given.

        Raises
        ------
        DataError
            If both ``exog`` and raw data are given, or in the cases listed in `excess`.
        """
        if market is None and risk_free is None:
            return returns, exog
        if exog is not None:
            raise DataError("Pass either exog, or market and risk_free, but not both")
        return self.excess(returns, market, risk_free)

    def more_data(self, endog: Any, exog: Any, options: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Return excess returns and regressors of other periods; the options may contain raw data."""
        left = {key: value for key, value in options.items() if key not in ("market", "risk_free")}
        endog, exog = self.new_periods(endog, exog, options.get("market"), options.get("risk_free"))
        return super().more_data(endog, exog, left)

    def excess(self, returns: object, market: object, risk_free: object = None) -> tuple[Any, Any]:
        """
        Return excess returns (None for None) and regressors of other periods from raw data.

        Raises
        ------
        DataError
            If the market is missing or has other factors. Also if ``risk_free`` is given and the model was
            built without it, or the reverse.
        """
        if market is None:
            raise DataError("New periods need the return of the market", expected=f"market={self.factors}")
        if self.has_risk_free != (risk_free is not None):
            raise DataError(
                "risk_free must be given for new periods exactly if the model was built with it",
                got=f"risk_free {'given' if risk_free is not None else 'missing'}",
            )
        market = self._factor_rows(market)
        data, exog = excess_data(returns, market, risk_free)
        labelled = any(isinstance(each, (pd.Series, pd.DataFrame)) for each in (returns, market))
        return data, exog.set_axis([CONSTANT, *self.factors], axis=1) if labelled else exog.to_numpy()

    def _factor_rows(self, market: Any) -> Any:
        """Return the factors with one row for each period; raise if they are not those of the model."""
        count = len(self.factors)
        market = _as_rows(market, count)
        found = np.shape(market)[1] if np.ndim(market) == 2 else 1
        numbered = not isinstance(market, pd.DataFrame) or market.columns.equals(pd.RangeIndex(found))
        names = [] if numbered else [str(name) for name in market.columns]
        if found != count or (names and self._has_names and names != self.factors):
            raise DataError(
                "market does not have the factors of the model",
                got=shown(names) if names else f"{found} columns",
                expected=shown(self.factors),
                remedy="Pass the same columns in the same order.",
            )
        return market

    def _get_extension_time_varying_matrices(self, params: Any, exog: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the design of the periods after the sample."""
        if exog is None:
            raise DataError(
                "Periods after the sample need the return of the market",
                expected=f"market={self.factors}" + (" and risk_free" if self.has_risk_free else ""),
            )
        labels, steps = future_labels(exog, 1 + len(self.factors)), args[0] if args else None
        if labels is not None:
            self.calendar.check_future(labels, len(labels), "market")
        if steps is not None and np.ndim(exog) == 2 and len(exog) != steps:
            raise DataError("The market of later periods has the wrong length", got=len(exog), expected=steps)
        return super()._get_extension_time_varying_matrices(params, exog, *args, **kwargs)

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, risk_free: object = None, **kwargs: Any) -> CAPM:
        """
        Build the model from a patsy formula, such as ``"IBM + XOM ~ MKT + SMB + HML"``.

        Parameters
        ----------
        formula : str
            Returns on the left, factors on the right with the market first. The intercepts are the alphas.
        data : DataFrame
            The data. Rows with missing returns are kept.
        risk_free : str or array_like, optional
            Risk-free rate, or the name of its column. It is subtracted as in the constructor.
        **kwargs
            Arguments of the constructor.

        Raises
        ------
        SpecificationError
            If the formula has no market or no intercept, or the data lack a column.

        Notes
        -----
        For later periods pass ``market``, with a column for each term on the right, and ``risk_free``.
        """
        endog, exog, _ = regression_frames(formula, data, depth=1)
        factors = exog.drop(columns=CONSTANT, errors="ignore")
        if CONSTANT not in exog or factors.shape[1] == 0:
            raise SpecificationError(
                "The formula does not describe a CAPM",
                got=repr(formula),
                expected='an intercept and the market on the right, such as "IBM ~ MKT + SMB"',
                remedy="Use DynamicRegression.from_formula for other regressions.",
            )
        if isinstance(risk_free, str):
            risk_free = data[one_of(risk_free, map(str, data.columns), "risk_free")]
        return cls(endog, factors, risk_free, **kwargs)


def _with_alpha(value: object) -> Any:
    """Replace former names of alpha in a mapping, Series or frame; return other objects unchanged."""
    if isinstance(value, (pd.Series, pd.DataFrame)):
        out: Any = value
        for place, axis in enumerate(value.axes):
            labels = [_renamed(label) for label in axis]
            out = out if labels == list(axis) else out.set_axis(labels, axis=place)
        return out
    if not isinstance(value, Mapping):
        return value
    out = {_renamed(key): item for key, item in value.items()}
    if len(out) < len(value):
        raise SpecificationError("The constant has two names", got=shown(value), expected=f"{ALPHA!r} alone")
    return out


def _renamed(name: Any) -> Any:
    """Return "alpha.A" for "const.A", also where it stands in the middle of a name."""
    found = _FORMER.match(name) if isinstance(name, str) else None
    if found is None:
        return name
    new = f"{found[1] or ''}{ALPHA}{name[found.end() :]}"
    warn_renamed(name, new)
    return new


_FORMER = re.compile(rf"((?:state_var|state_cov|ar1|proportion|state_factor\d+)\.)?{CONSTANT}(?=\.|$)")
"""The former name of alpha, also after the prefix of a parameter of time-varying coefficients."""


def _as_rows(market: Any, count: int) -> Any:
    """Return several factors of one period, given as a Series or vector, as a row."""
    if count > 1 and isinstance(market, pd.Series):
        return market.to_frame().T
    return np.asarray(market)[None] if count > 1 and np.shape(market) == (count,) else market


def excess_data(returns: Any, market: Any, risk_free: Any) -> tuple[Any, pd.DataFrame]:
    """
    Return excess returns and the regressors (constant, factors).

    Raises
    ------
    DataError
        If lengths or indexes do not match, or the market or the risk-free rate is missing somewhere.
    """
    if market is None:
        raise DataError("A CAPM needs the return of the market", got="market=None")
    if isinstance(market, Mapping):
        raise DataError(
            "The factors of a CAPM must be the same for all assets",
            got=f"a mapping of {shown(market)}",
            expected=_SHAPE,
            remedy="Use DynamicRegression for regressors that differ by series.",
        )
    data: Any = None if returns is None else endog_frame(returns)
    if data is not None and np.ndim(market) and len(data) != len(market):
        raise DataError("returns and market have different lengths", got=f"{len(data)} and {len(market)}")
    index = _labels_of(data, market)
    factors = _factor_frame(market, index)
    size = len(factors)
    rate = regressor_array(risk_free, size, index, "risk_free", f"({size},): one rate a period")
    if rate is not None:
        if rate.shape[1] != 1:
            raise DataError("risk_free must be one column", got=rate.shape, expected=f"({size},)")
        factors.iloc[:, 0] = factors.iloc[:, 0].to_numpy() - rate[:, 0]
        data = None if data is None else (data.T - rate[:, 0]).T
    factors.insert(0, CONSTANT, 1.0)
    return data, factors


def _labels_of(*data: Any) -> pd.Index | None:
    """Return the index of the first object that has one."""
    return next((each.index for each in data if isinstance(each, (pd.Series, pd.DataFrame))), None)


def _named(data: Any, names: list[str], index: Any) -> Any:
    """Give returns names and labels if they have none."""
    if isinstance(data, (pd.Series, pd.DataFrame)):
        return data
    index = index if index is not None and len(index) == len(data) else None
    frame = pd.DataFrame(data, index=index, columns=names)
    return frame.iloc[:, 0] if len(names) == 1 else frame


def _factor_frame(market: object, index: pd.Index | None) -> pd.DataFrame:
    """Return the factors as a frame; a market without a name is named MKT."""
    values = np.array(regressor_array(market, None if index is None else len(index), index, "market", _SHAPE))
    names = regressor_names(market, "factor")
    if not isinstance(market, pd.DataFrame) and getattr(market, "name", None) is None:
        names[0] = MARKET
    taken = [name for name in (CONSTANT, ALPHA) if name in names]
    if taken:
        raise DataError(f"A factor is named {taken[0]!r}, the name of the constant", remedy="Rename it.")
    return pd.DataFrame(values, index=index, columns=names)
