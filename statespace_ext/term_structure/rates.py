"""Rates with standard deviations, labelled by date and maturity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..base.summaries import normal_quantile
from ..display import Displayed
from ..engine.arguments import one_of, positive_integer, truth
from ..engine.calendars import Calendar
from ..engine.validation import as_dates
from ..exceptions import DataError, SpecificationError, shown
from ..numerics.linear_algebra import Array
from ..params.cholesky import semidefinite_cholesky
from ..params.layout import real_array
from .dynamics import Affine, Curves
from .panel import years_after
from .sensitivity import Sensitivity

DEFINITIONS = ("expected", "risk-neutral")


@dataclass(frozen=True, repr=False)
class Rates(Displayed):
    """
    Annual rates in the units of the yields, by date (or horizon) and maturity in years.

    Attributes
    ----------
    estimate, se : DataFrame, (n, m)
        Means and standard deviations.
    """

    estimate: pd.DataFrame
    se: pd.DataFrame

    def lower(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the lower bounds of intervals with coverage 1 - alpha."""
        return self.estimate - normal_quantile(alpha) * self.se

    def upper(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the upper bounds of intervals with coverage 1 - alpha."""
        return self.estimate + normal_quantile(alpha) * self.se

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return one row for each date and maturity, with estimate, se, lower and upper."""
        parts: dict[str, pd.DataFrame] = {
            "estimate": self.estimate,
            "se": self.se,
            "lower": self.lower(alpha),
            "upper": self.upper(alpha),
        }
        levels: Any = [self.estimate.index, self.estimate.columns]
        rows: Any = pd.MultiIndex.from_product(
            levels,
            names=[self.estimate.index.name or "date", self.estimate.columns.name],
        )
        return pd.DataFrame({key: part.to_numpy().ravel() for key, part in parts.items()}, index=rows)


_LONGEST = 1000.0
"""Longest time in years. For much longer ones the exponentials of roots overflow."""
_FAR = 2.0
"""Multiple of the longest maturity. A longer time is probably a number of months by mistake."""


def years(value: Any, name: str, model: Any, extrapolate: bool = False, *, zero: bool = False) -> Array:
    """
    Return maturities or horizons in years as an array.

    Parameters
    ----------
    value : float or array_like
        The maturities or horizons.
    name : str
        Name of the argument, for messages.
    model : ATSM or ACM
        The model.
    extrapolate : bool
        Whether the values may exceed twice the longest maturity of the panel.
    zero : bool
        Whether the values may be zero.

    Raises
    ------
    SpecificationError
        If a value is too long, or is not a positive number (or zero, if allowed).
    """
    try:
        out = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"{name} must be a number of years", got=repr(value)[:80]) from error
    if out.ndim != 1 or not len(out) or not np.all((out > 0) | (zero & (out == 0))):
        raise SpecificationError(f"{name} cannot be used", got=repr(value)[:80], expected="positive years")
    if np.any(out > _LONGEST):
        raise SpecificationError(f"{name} cannot be used", got=f"{out.max():g}", expected=f"<= {_LONGEST:g}")
    limit = _FAR * model.panel.longest
    if not truth(extrapolate, "extrapolate") and np.any(out > limit):
        raise SpecificationError(
            f"{name} must not be far beyond the data",
            got=f"{out.max():g} years",
            expected=f"at most {limit:g} years, twice the longest maturity of the panel",
            remedy="Divide months by 12, or pass extrapolate=True.",
        )
    return out


def forecast_horizons(
    results: Any, steps: Any, horizons: Any, dates: Any, extrapolate: bool = False
) -> tuple[Array, pd.Index]:
    """
    Return horizons in years and their labels.

    Raises
    ------
    SpecificationError
        If more than one of the three arguments is given, or ``steps`` is used with irregular dates.
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


def check_definition(definition: Any) -> bool:
    """Return whether the definition of a premium is "risk-neutral"."""
    if not isinstance(definition, str) or definition not in DEFINITIONS:
        raise SpecificationError(
            "definition is unknown", got=repr(definition), expected=f"one of {DEFINITIONS}"
        )
    return definition == "risk-neutral"


def rows_of(calendar: Calendar, date: Any) -> slice:
    """
    Return the rows of a date in the sample; None selects all rows.

    Raises
    ------
    DataError
        If the sample does not contain the date.
    """
    if date is None:
        return slice(None)
    labels = calendar.labels
    try:
        if pd.api.types.is_integer_dtype(labels.dtype) and isinstance(date, (int, np.integer)):
            first = last = int([*np.flatnonzero(labels == date), len(labels)][0])
        else:
            first, last = calendar.positions(date, date)
    except (SpecificationError, TypeError):
        last = len(labels)
    if last >= len(labels):
        raise DataError(
            "The date is not in the sample",
            got=date,
            expected=f"a date of the index, from {labels[0]} to {labels[-1]}",
        )
    return slice(first, last + 1)


INFORMATION = ("smoothed", "filtered")
"""Information sets of estimated factors."""


class ImpliedRates:
    """
    Mixin for results of term structure models, with rates at the estimated factors.

    Methods return `Rates`. Standard deviations contain the uncertainty of the factors and, unless
    ``param_uncertainty=False``, that of the parameters. The latter uses the delta method; the derivatives of
    the factors are computed once and cached. ``information_set`` is "smoothed", E[x_t | all data], or
    "filtered", E[x_t | data up to t]. Both use the parameter estimates from the whole sample. ``date=None``
    selects all dates. Maturities and horizons are in years. Values beyond twice the longest maturity of the
    panel raise `SpecificationError` unless ``extrapolate=True``.
    """

    model: Any
    params: pd.Series[float]
    factors: Any
    _definition = "expected"
    """Default definition of a premium."""

    def _paths(self, information_set: str) -> tuple[Array, Array]:
        """Return means (n, k) and covariances (n, k, k) of the factors."""
        raise NotImplementedError

    def _sensitivity(self, information_set: str) -> Sensitivity:
        """Return the derivatives of the factors by the parameters."""
        raise NotImplementedError

    @property
    def _dates(self) -> pd.Index:
        labels: pd.Index = self.model.calendar.labels
        return labels

    @property
    def fitted_yields(self) -> pd.DataFrame:
        """Yields of the panel at the smoothed factors."""
        curves = self.model.curves(self.params)
        values = curves.yields(self.model.panel.maturities).mean(self._paths("smoothed")[0])
        return pd.DataFrame(values, index=self._dates, columns=self.model.panel.labels)

    @property
    def _yields(self) -> pd.DataFrame:
        values = self.model.endog[:, self.model.panel.n_observed :]
        return pd.DataFrame(values, index=self._dates, columns=self.model.panel.labels)

    def _implied(
        self,
        rate: Callable[[Curves], Affine],
        columns: Any,
        date: Any,
        param_uncertainty: bool,
        name: str,
        information_set: str = "smoothed",
    ) -> Rates:
        """Return rates at the factors, with standard deviations."""
        known = one_of(information_set, INFORMATION, "information_set")
        rows = rows_of(self.model.calendar, date)
        states, covs = (part[rows] for part in self._paths(known))
        affine = rate(self.model.curves(np.asarray(self.params, dtype=float)))
        variance = np.clip(affine.variance(covs), 0.0, None)
        if truth(param_uncertainty, "param_uncertainty"):
            trials = self._sensitivity(known)
            by_state = trials.by_state[rows]
            variance = variance + trials.variance(lambda at: rate(self.model.curves(at)), states, by_state)
        labels: Any = {"index": self._dates[rows], "columns": pd.Index(columns, name=name)}
        return Rates(pd.DataFrame(affine.mean(states), **labels), pd.DataFrame(np.sqrt(variance), **labels))

    def yield_curve(
        self,
        maturities: Any,
        date: Any = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return zero-coupon yields y(tau) = A(tau) + B(tau)'X_t at any maturities.

        Parameters
        ----------
        maturities : float or array_like
            Maturities in years.
        date : optional
            A date of the sample.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(
            lambda c: c.yields(tau), tau, date, param_uncertainty, "maturity", information_set
        )

    def forward_curve(
        self,
        maturities: Any,
        date: Any = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return instantaneous forward rates f(tau) = d(tau y(tau))/dtau; arguments as in `yield_curve`.

        In discrete time these are forward rates over one period that begins in tau years.
        """
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(
            lambda c: c.forwards(tau), tau, date, param_uncertainty, "maturity", information_set
        )

    @property
    def short_rate(self) -> Rates:
        """The short rate r_t = delta_0 + delta_1'X_t."""
        return self._implied(lambda c: c.short_rate(), np.zeros(1), None, True, "maturity")

    def expected_short_rate(
        self,
        horizon: Any,
        date: Any = None,
        *,
        average: bool = True,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return the short rate expected under P: (1/h) int_0^h E_t[r_{t+s}] ds, or E_t[r_{t+h}].

        Parameters
        ----------
        horizon : float or array_like
            The horizon h, in years.
        date : optional
            A date of the sample.
        average : bool
            Whether to return the average over the horizon, or the value at its end.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        h = years(horizon, "horizon", self.model, extrapolate)
        mean = truth(average, "average")
        return self._implied(
            lambda c: c.average_short_rate(h) if mean else c.short_rate_ahead(h),
            h, date, param_uncertainty, "horizon", information_set,
        )  # fmt: skip

    def risk_neutral_yields(
        self,
        maturities: Any,
        date: Any = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """Return the yields if the price of risk were zero; arguments as in `yield_curve`."""
        self._require_prices("risk-neutral yields")
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(
            lambda c: c.risk_neutral_yields(tau), tau, date, param_uncertainty, "maturity", information_set
        )

    def term_premium(
        self,
        maturity: Any,
        definition: str | None = None,
        date: Any = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return the term premium of zero-coupon yields.

        Parameters
        ----------
        maturity : float or array_like
            Maturities in years.
        definition : {"expected", "risk-neutral"}, optional
            "expected" is the yield minus the average short rate expected over its life under P.
            "risk-neutral" is the yield minus the risk-neutral yield, which includes convexity too. The
            default is "expected", and "risk-neutral" for `ACM`.
        date : optional
            A date of the sample.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        neutral = self._neutral(definition)
        tau = years(maturity, "maturity", self.model, extrapolate)
        return self._implied(
            lambda c: c.term_premium(tau, neutral), tau, date, param_uncertainty, "maturity", information_set
        )

    def forward_premium(
        self,
        maturity: Any,
        definition: str | None = None,
        date: Any = None,
        *,
        tenor: float | None = None,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        r"""
        Return the premium of forward rates.

        .. math::

            \frac{(m + s)\,TP_t(m + s) - m\,TP_t(m)}{s}

        where TP is the term premium, m the maturity and s the tenor. This is the premium in the rate agreed
        now for s years from year m on. ``forward_premium(5, tenor=5)`` is that of the five-year rate in five
        years.

        Parameters
        ----------
        maturity : float or array_like
            The maturity m, in years.
        definition : {"expected", "risk-neutral"}, optional
            As in `term_premium`.
        date : optional
            A date of the sample.
        tenor : float, optional
            The tenor s, in years. The default is the limit of zero, the instantaneous forward rate f(m) minus
            E_t[r_{t+m}] or minus the risk-neutral forward rate. Its average over maturities from zero is the
            term premium. In discrete time the default is the forward rate over one period.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class. It applies to maturity plus tenor.
        """
        neutral = self._neutral(definition)
        tau = years(maturity, "maturity", self.model, extrapolate)
        span = None if tenor is None else _tenor(tenor, tau, self.model, extrapolate)

        def premium(curves: Curves) -> Affine:
            if span is None:
                return curves.forward_premium(tau, neutral)
            end = tau + span
            near, far = curves.term_premium(tau, neutral), curves.term_premium(end, neutral)
            return (far * (end / span)) - (near * (tau / span))

        return self._implied(premium, tau, date, param_uncertainty, "maturity", information_set)

    def zero_prices(self, maturities: Any, date: Any = None, *, extrapolate: bool = False) -> pd.DataFrame:
        """
        Return the prices P(tau) = exp(-tau y(tau)) of zero-coupon bonds with face value one.

        Parameters
        ----------
        maturities : float or array_like
            Maturities in years.
        date : optional
            A date of the sample.
        extrapolate : bool
            As in the class.
        """
        y = self.yield_curve(maturities, date, param_uncertainty=False, extrapolate=extrapolate).estimate
        return np.exp(-y * (y.columns.to_numpy() / self.model.panel.scale))

    def curve_responses(
        self, horizons: Any, maturities: Any = None, impulse: Any = None, *, extrapolate: bool = False
    ) -> pd.DataFrame:
        """
        Return responses B(tau) Phi(h) s of the yield curve to impulses s, by shock and horizon.

        Parameters
        ----------
        horizons : float or array_like
            Years after the impulse; zero is allowed.
        maturities : float or array_like, optional
            Maturities in years; those of the panel by default.
        impulse : array_like, (k,), optional
            Impulse to the factors. By default one shock for each factor in turn, the columns of the Cholesky
            factor of the covariance of a step. For irregular dates this is the mean step.
        extrapolate : bool
            As in the class.
        """
        model, names = self.model, self.model.factor_names
        h = years(horizons, "horizons", model, extrapolate, zero=True)
        tau = model.panel.maturities if maturities is None else maturities
        tau = years(tau, "maturities", model, extrapolate)
        curves = model.curves(np.asarray(self.params, dtype=float))
        if impulse is None:
            step = np.array([float(np.mean(model.panel.steps))])
            shocks = semidefinite_cholesky(curves.ahead(step).cov[0])
        else:
            shocks, names = _impulse(impulse, len(names))[:, None], ["impulse"]
        Phi = np.tile(np.eye(len(shocks)), (len(h), 1, 1))
        if np.any(h > 0):
            Phi[h > 0] = curves.ahead(h[h > 0]).transition
        values = np.einsum("mi,hij,jq->qhm", curves.yields(tau).slope, Phi, shocks)
        index = pd.MultiIndex.from_product([names, h], names=["shock", "horizon"])
        return pd.DataFrame(values.reshape(-1, len(tau)), index=index, columns=pd.Index(tau, name="maturity"))

    def _neutral(self, definition: str | None) -> bool:
        neutral = check_definition(self._definition if definition is None else definition)
        if neutral:
            self._require_prices("risk-neutral premia")
        return neutral

    def _require_prices(self, what: str) -> None:
        """Raise if the model has no prices of risk."""

    # -- beyond the sample -----------------------------------------------------------------------------

    def _last(self) -> tuple[Array, Array]:
        """Return the mean and covariance of the factors at the last date."""
        raise NotImplementedError

    def _error_variances(self) -> Array:
        """Return the variances of the measurement errors."""
        raise NotImplementedError

    def _forecast(
        self, h: Array, index: pd.Index, maturities: Any, param_uncertainty: bool, extrapolate: bool
    ) -> Rates:
        """Return forecasts of the yields of the panel, with measurement errors, or of a curve."""
        model, own = self.model, maturities is None
        tau = model.panel.maturities if own else years(maturities, "maturities", model, extrapolate)
        (last, cov), curves = self._last(), model.curves(np.asarray(self.params, dtype=float))
        slope, step, shape = curves.yields(tau).slope, curves.ahead(h), (len(h), len(tau))
        covs = step.transition @ cov @ np.swapaxes(step.transition, 1, 2) + step.cov
        variance = np.clip(np.einsum("mi,nij,mj->nm", slope, covs, slope), 0.0, None)
        if truth(param_uncertainty, "param_uncertainty"):
            trials = self._sensitivity("smoothed")  # the last filtered factors equal the smoothed ones
            moved = trials.variance(
                lambda at: yields_ahead(model.curves(at), tau, h), last[None], trials.by_state[-1:]
            )
            variance = variance + moved.reshape(shape)
        mean = yields_ahead(curves, tau, h).mean(last[None]).reshape(shape)
        labels: Any = {"index": index}
        labels["columns"] = pd.Index(model.panel.labels if own else tau, name="yield" if own else "maturity")
        if own:
            variance = variance + self._error_variances()
        return Rates(pd.DataFrame(mean, **labels), pd.DataFrame(np.sqrt(variance), **labels))


def _impulse(impulse: Any, k: int) -> Array:
    """Return a checked impulse to the factors (k,)."""
    move = real_array(impulse, "The elements of impulse")
    if move.shape != (k,) or not np.all(np.isfinite(move)):
        raise SpecificationError("impulse cannot be used", got=move.shape, expected=f"{k} numbers")
    return move


def yields_ahead(curves: Curves, tau: Array, h: Array) -> Affine:
    """Return E_t[y_{t+h}(tau)] as functions of the factors at t, horizon by horizon (h m,)."""
    rates, step = curves.yields(tau), curves.ahead(h)
    slope = np.einsum("mi,hij->hmj", rates.slope, step.transition)
    return Affine(rates.mean(step.intercept).ravel(), slope.reshape(-1, slope.shape[2]))


def _tenor(tenor: Any, tau: Array, model: Any, extrapolate: bool) -> float:
    """Return a tenor in years; the end of the forward period must be a valid maturity."""
    span = years(tenor, "tenor", model, extrapolate)
    if len(span) > 1:
        raise SpecificationError("tenor is not one number", got=shown(span), expected="years")
    years(tau + span, "maturity + tenor", model, extrapolate)
    return float(span[0])
