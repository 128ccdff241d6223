"""Results of `ATSM`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.initialization import Initialization

from ..base.results import StateSpaceResults
from ..engine.arguments import one_of, positive_integer
from ..engine.validation import as_dates, read_dates
from ..exceptions import DataError, SpecificationError, UnsupportedError
from ..numerics.linear_algebra import Array
from ..numerics.ornstein_uhlenbeck import discretise
from ..params.cholesky import semidefinite_cholesky
from ..params.layout import real_array
from . import tables
from .dynamics import Curves, shock_responses, states_ahead
from .panel import years_after
from .plots import Pictures
from .rates import Rates, years


def forecast_horizons(
    results: StateSpaceResults, steps: Any, horizons: Any, dates: Any, extrapolate: bool = False
) -> tuple[Array, pd.Index]:
    """
    Return horizons in years, and what labels them.

    Raises
    ------
    SpecificationError
        If not exactly one of the three is given, or steps have no length.
    DataError
        If dates do not follow the sample.
    """
    model = results.model
    if sum(value is not None for value in (steps, horizons, dates)) > 1:
        raise SpecificationError("steps, horizons and dates are given together", expected="one of them")
    if horizons is not None:
        h = years(horizons, "horizons", model, extrapolate)
        return h, pd.Index(h, name="horizon")
    if dates is not None:
        index = as_dates(dates, "dates")
        return years_after(model, index), index
    count = positive_integer(1 if steps is None else steps, "steps")
    if model.panel.steps.ndim:
        raise SpecificationError(
            "Steps after irregular dates have no length",
            got=f"steps={count}",
            remedy="Pass dates=, or horizons= in years.",
        )
    h = float(model.panel.steps) * np.arange(1, count + 1)
    calendar = model.calendar
    if calendar.clock is not None and not calendar.labels.equals(pd.RangeIndex(model.nobs)):
        return h, calendar.ahead(count)
    return h, pd.Index(h, name="horizon")


def forecast(
    results: StateSpaceResults, h: Array, index: pd.Index, maturities: Any, extrapolate: bool = False
) -> Rates:
    """Return forecasts of yields: of the columns of the panel with measurement errors, or of a curve."""
    model, params = results.model, np.asarray(results.params, dtype=float)
    if results.filtered_state is None:
        raise SpecificationError(
            "The factors were not computed",
            got="a fit with low_memory=True",
            remedy="Call `model.smooth(res.params)`.",
        )
    at = model.dynamics(params)
    last, cov = results.filtered_state[:, -1], results.filtered_state_cov[:, :, -1]
    states, covs = states_ahead(at, last, cov, h)
    own = maturities is None
    tau = model.panel.maturities if own else years(maturities, "maturities", model, extrapolate)
    affine = Curves(at, model.convexity).yields(tau)
    variance = np.clip(affine.variance(covs), 0.0, None)
    columns = pd.Index(model.panel.labels if own else tau, name="yield" if own else "maturity")
    if own:
        variance = variance + np.diag(model.layout.matrices(params)["obs_cov"])
    return Rates(
        pd.DataFrame(affine.mean(states), index=index, columns=columns),
        pd.DataFrame(np.sqrt(variance), index=index, columns=columns),
    )


def responses(
    results: StateSpaceResults, horizons: Any, maturities: Any, impulse: Any, extrapolate: bool = False
) -> pd.DataFrame:
    """Return the responses of the curve, indexed by shock and horizon."""
    model = results.model
    at, k = model.dynamics(np.asarray(results.params, dtype=float)), model.k_states
    h = years(horizons, "horizons", model, extrapolate, zero=True)
    tau = years(
        model.panel.maturities if maturities is None else maturities, "maturities", model, extrapolate
    )
    names = model.factor_names
    if impulse is None:
        step = float(np.mean(model.panel.steps))
        shocks = semidefinite_cholesky(discretise(at.K_P, at.kappa_P, at.cov, step, at.period).cov)
    else:
        shocks = real_array(impulse, "The elements of impulse")
        if shocks.shape != (k,) or not np.all(np.isfinite(shocks)):
            raise SpecificationError("impulse cannot be used", got=shocks.shape, expected=f"{k} numbers")
        shocks, names = shocks[:, None], ["impulse"]
    values = shock_responses(at, Curves(at, model.convexity).yields(tau).slope, shocks, h)
    index = pd.MultiIndex.from_product([names, h], names=["shock", "horizon"])
    return pd.DataFrame(values.reshape(-1, len(tau)), index=index, columns=pd.Index(tau, name="maturity"))


class NewData(StateSpaceResults):
    """New data and prediction where statsmodels does not know the dates: a part of `ATSMResults`."""

    @property
    def _own_dates(self) -> bool:
        """Whether the sample has dates without a frequency."""
        return bool(self.model.calendar.dated and self.model.calendar.clock is None)

    def _continuation(self, endog: Any, exog: Any) -> pd.Index | None:
        """Return labels of new periods, which irregular steps need as dates."""
        index = getattr(endog, "index", None)
        if self._own_dates and not isinstance(read_dates(index), (pd.DatetimeIndex, pd.PeriodIndex)):
            raise DataError(
                "The new endog has no dates",
                got=type(endog if index is None else index).__name__,
                expected=f"dates after {self.model.calendar.labels[-1]}",
            )
        return super()._continuation(endog, exog)

    def extend(self, endog: Any, exog: Any = None, fit_kwargs: Any = None, **kwargs: Any) -> Any:
        """
        Go on with data that follow the sample; see `MLEResults.extend`.

        Where dates are irregular, the start is the exact distribution of the factors at the first new date.
        """
        if self.model.start_kind == "conditional":  # the start is known, and no date is conditioned on
            kwargs.setdefault("initialization", "stationary")
        told = not isinstance(self.model._given["dt"], str)
        if not self.model.panel.steps.ndim and (told or not self._own_dates):
            return super().extend(endog, exog, fit_kwargs=fit_kwargs, **kwargs)
        if not self._own_dates:
            raise UnsupportedError(
                "The time from the sample to the new data is not known",
                got="steps of different lengths without dates",
                remedy="Use `append` with dt= of all steps.",
            )
        index: Any = self._continuation(endog, exog)
        gap = years_after(self.model, index[:1])
        if self.model.panel.steps.ndim and len(index) == 1:
            kwargs.setdefault("dt", float(gap[0]))
        model = self.model.clone(endog, **kwargs)
        at = self.model.dynamics(np.asarray(self.params, dtype=float))
        mean, cov = states_ahead(at, self.filtered_state[:, -1], self.filtered_state_cov[:, :, -1], gap)
        start = Initialization(model.k_states, "known", constant=mean[0], stationary_cov=cov[0])
        model.ssm.initialization = start
        return self._apply(model, refit=False, fit_kwargs=fit_kwargs)

    def get_prediction(self, start: Any = None, end: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return predictions, as `MLEResults.get_prediction`; inside the sample where dates are irregular."""
        beyond = isinstance(end, (int, np.integer)) and end >= self.model.nobs
        self._check_inside(int(end) - self.model.nobs + 1 if beyond else 0)
        return super().get_prediction(start, end, *args, **kwargs)

    def simulate(self, nsimulations: int, *args: Any, **kwargs: Any) -> Any:
        """Simulate yields, as `MLEResults.simulate`; over the sample where dates are irregular."""
        count, anchor = positive_integer(nsimulations, "nsimulations"), kwargs.get("anchor")
        after = isinstance(anchor, str) and anchor == "end" or count > self.model.nobs
        self._check_inside(count if after else 0)
        return super().simulate(count, *args, **kwargs)

    def _check_inside(self, outside: int) -> None:
        if outside and self.model.panel.steps.ndim:
            raise UnsupportedError(
                "Periods after irregular dates have no length",
                got=f"{outside} periods",
                remedy="Use `forecast_yields` with dates= or horizons=.",
            )


class ATSMResults(Pictures, NewData):
    """
    Results of fitting (or of filtering and smoothing) an `ATSM`.

    Beside what `MLEResults` has: `matrices`, `matrices_table`, `mean_reversion`, `mean_reversion_table`;
    `factors`, `fitted_yields`, `pricing_errors`, `pricing_error_summary`; `yield_curve`, `forward_curve`,
    `short_rate`, `zero_prices`, `expected_short_rate`, `risk_neutral_yields`, `term_premium`,
    `forward_premium`; `forecast_yields`, `curve_responses`; `plot_factors`, `plot_loadings`, `plot_fit`,
    `plot_term_premium`, `plot_curve`.
    Maturities are in years, rates in the units of the yields, pricing errors in basis points.
    """

    # -- estimates -------------------------------------------------------------------------------------

    @property
    def matrices(self) -> dict[str, Any]:
        """
        K_P, kappa_P, theta_P, K_Q, kappa_Q, theta_Q, Sigma, lambda_0, lambda_1, delta_0, delta_1 and obs_cov.

        Labelled by factor or yield. NaN where a matrix does not exist: `status_lines` says why.
        """
        return tables.labelled(self.model, tables.structural_values(self.model, np.asarray(self.params)))

    def matrices_table(self) -> pd.DataFrame:
        """Return estimate and delta-method se of the elements of `matrices`, by matrix, row and column."""
        return tables.matrices_table(self)

    @property
    def mean_reversion(self) -> pd.DataFrame:
        """Eigenvalues of K_P and K_Q, with half-lives and periods in years, the slowest first."""
        return tables.mean_reversion_table(tables.structural_values(self.model, np.asarray(self.params)))

    def mean_reversion_table(self) -> pd.DataFrame:
        """
        Return `mean_reversion` with delta-method standard errors of real parts and half-lives.

        Multiple roots, which have no derivative, and infinite half-lives have none (NaN).
        """
        return tables.mean_reversion_errors(self)

    def status_lines(self) -> list[str]:
        """Return what `summary` says of the fit."""
        values = tables.structural_values(self.model, np.asarray(self.params))
        return [
            *super().status_lines(),
            *self.model.norm.remarks(self.model.matrices(self.params)),
            *tables.exact_line(self),
            *tables.matrix_lines(self.model, values),
            *tables.ridge_lines(self),
        ]

    def _parameter_tables(self, alpha: float) -> list[Any]:
        """Return the tables of the estimates: P, Q and risk prices, observation."""
        return tables.summary_tables(self, alpha)

    # -- fit -------------------------------------------------------------------------------------------

    @property
    def pricing_errors(self) -> pd.DataFrame:
        """Yields less fitted yields, in basis points, by date and maturity."""
        return (self._yields - self.fitted_yields) * (tables.BASIS_POINTS / self.model.panel.scale)

    def pricing_error_summary(self, by: str = "maturity") -> pd.DataFrame:
        """
        Return mean, std, rmse, max_abs (basis points) and number of the pricing errors.

        Parameters
        ----------
        by : {"maturity", "date"}
            What the rows are.
        """
        return tables.error_summary(self.pricing_errors, one_of(by, ("maturity", "date"), "by"))

    # -- beyond the sample -----------------------------------------------------------------------------

    def forecast_yields(
        self,
        steps: Any = None,
        *,
        horizons: Any = None,
        dates: Any = None,
        maturities: Any = None,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Forecast yields from the end of the sample, exactly at any horizon.

        Intervals are given the parameters.

        Parameters
        ----------
        steps : int, optional
            Number of periods (1); for regular dates.
        horizons : float or array_like, optional
            Years after the last date, instead of steps.
        dates : array_like of dates, optional
            Dates after the last one, instead of steps.
        maturities : float or array_like, optional
            Of the curve, without measurement errors. By default the yields of the panel, with them.
        extrapolate : bool
            Whether horizons and maturities may be beyond twice the longest maturity of the panel.
        """
        h, index = forecast_horizons(self, steps, horizons, dates, extrapolate)
        return forecast(self, h, index, maturities, extrapolate)

    def curve_responses(
        self, horizons: Any, maturities: Any = None, impulse: Any = None, *, extrapolate: bool = False
    ) -> pd.DataFrame:
        """
        Return responses of the yield curve to moves of the factors, by shock and horizon.

        Parameters
        ----------
        horizons : float or array_like
            Years after the move, from zero.
        maturities : float or array_like, optional
            In years; those of the panel by default.
        impulse : array_like, (k,), optional
            A move of the factors. By default one shock for each factor in turn: the columns of the Cholesky
            factor of the covariance of a step (the mean step, of irregular dates).
        extrapolate : bool
            Whether horizons and maturities may be beyond twice the longest maturity of the panel.
        """
        return responses(self, horizons, maturities, impulse, extrapolate)
