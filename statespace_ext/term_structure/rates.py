"""Rates with standard deviations, labelled by date and maturity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..base.reporting import normal_quantile
from ..display import Displayed
from ..engine.arguments import one_of, truth
from ..engine.calendars import Calendar
from ..exceptions import DataError, SpecificationError, shown
from ..numerics.linear_algebra import Array
from ..params.covariance import semidefinite_cholesky
from .declaration import explained
from .dynamics import Affine, Curves
from .panel import numbers
from .tables import BASIS_POINTS, Sensitivity, error_summary


@explained
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
        levels: Any = [self.estimate.index, self.estimate.columns]
        names = [levels[0].name or "date", levels[1].name]
        rows: Any = pd.MultiIndex.from_product(levels, names=names)
        bounds = {"lower": self.lower(alpha), "upper": self.upper(alpha)}
        parts = {"estimate": self.estimate, "se": self.se, **bounds}
        return pd.DataFrame({key: part.to_numpy().ravel() for key, part in parts.items()}, index=rows)


_LONGEST = 1000.0
"""Longest time in years. For much longer ones the exponentials of roots overflow."""
_FAR = 2.0
"""Multiple of the longest maturity. A longer time is probably a number of months by mistake."""


def years(value: object, name: str, model: Any, extrapolate: bool = False, *, zero: bool = False) -> Array:
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
    out = np.atleast_1d(numbers(value, f"{name} must be a number of years"))
    if out.ndim != 1 or not len(out) or not np.all((out > 0) | (zero & (out == 0))):
        raise SpecificationError(f"{name} cannot be used", got=repr(value)[:80], expected="positive years")
    if np.any(out > _LONGEST):
        raise SpecificationError(f"{name} cannot be used", got=f"{out.max():g}", expected=f"<= {_LONGEST:g}")
    limit = _FAR * model.panel.longest
    if not truth(extrapolate, "extrapolate") and np.any(out > limit):
        raise SpecificationError(
            f"{name} is far beyond the maturities of the data",
            got=f"{out.max():g} years",
            expected=f"at most {limit:g} years, twice the longest maturity of the panel",
            remedy="Divide months by 12, or pass extrapolate=True.",
        )
    return out


def one_time(value: object, name: str, model: Any, extrapolate: bool = False) -> float:
    """Return one maturity or horizon in years; see `years`."""
    out = years(value, name, model, extrapolate)
    if len(out) > 1:
        raise SpecificationError(f"{name} must be one number", got=shown(out), expected="years")
    return float(out[0])


def rows_of(calendar: Calendar, date: object) -> slice:
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


@explained
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Explain wrong arguments of the methods that a class adds."""
        super().__init_subclass__(**kwargs)
        explained(cls)

    model: Any
    params: pd.Series[float]
    factors: Any
    _definition = "expected"
    """Default definition of a premium."""

    _paths: Callable[[str], tuple[Array, Array]]
    """Function of the information set: means (n, k) and covariances (n, k, k) of the factors."""
    _sensitivity: Callable[[str], Sensitivity]
    """Function of the information set: the derivatives of the factors by the parameters."""

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

    @property
    def pricing_errors(self) -> pd.DataFrame:
        """Yields minus fitted yields, in basis points, by date and maturity."""
        return (self._yields - self.fitted_yields) * (BASIS_POINTS / self.model.panel.scale)

    def pricing_error_summary(self, by: str = "maturity") -> pd.DataFrame:
        """
        Return mean, std, rmse, max_abs (basis points) and number of the pricing errors.

        Parameters
        ----------
        by : {"maturity", "date"}
            Whether rows are maturities or dates.
        """
        return error_summary(self.pricing_errors, one_of(by, ("maturity", "date"), "by"))

    def _implied(
        self,
        rate: Callable[..., Affine],
        columns: Any,
        date: object = None,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        *more: Any,
        name: str = "maturity",
    ) -> Rates:
        """Return ``rate(curves, columns, *more)`` at the factors, with standard deviations."""
        known = one_of(information_set, ("smoothed", "filtered"), "information_set")
        rows = rows_of(self.model.calendar, date)
        states, covs = (part[rows] for part in self._paths(known))

        def _at(params: Array) -> Affine:
            return rate(self.model.curves(params), columns, *more)

        affine = _at(np.asarray(self.params, dtype=float))
        variance = np.clip(affine.variance(covs), 0.0, None)
        if truth(param_uncertainty, "param_uncertainty"):
            variance = variance + self._sensitivity(known).variance(_at, states, rows)
        labels: Any = {"index": self._dates[rows], "columns": pd.Index(columns, name=name)}
        return Rates(pd.DataFrame(affine.mean(states), **labels), pd.DataFrame(np.sqrt(variance), **labels))

    def yield_curve(
        self,
        maturities: object,
        date: object = None,
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
        information_set, param_uncertainty, extrapolate : optional
            As in the class.
        """
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(Curves.yields, tau, date, information_set, param_uncertainty)

    def forward_curve(
        self,
        maturities: object,
        date: object = None,
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
        return self._implied(Curves.forwards, tau, date, information_set, param_uncertainty)

    @property
    def short_rate(self) -> Rates:
        """The short rate r_t = delta_0 + delta_1'X_t."""
        return self._implied(lambda c, _: c.short_rate(), np.zeros(1))

    def expected_short_rate(
        self,
        horizon: object,
        date: object = None,
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
        information_set, param_uncertainty, extrapolate : optional
            As in the class.
        """
        h = years(horizon, "horizon", self.model, extrapolate)
        rate = Curves.average_short_rate if truth(average, "average") else Curves.short_rate_ahead
        return self._implied(rate, h, date, information_set, param_uncertainty, name="horizon")

    def risk_neutral_yields(
        self,
        maturities: object,
        date: object = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """Return the yields if the price of risk were zero; arguments as in `yield_curve`."""
        self._require_prices("risk-neutral yields")
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(Curves.risk_neutral_yields, tau, date, information_set, param_uncertainty)

    def term_premium(
        self,
        maturity: object,
        definition: str | None = None,
        date: object = None,
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
        information_set, param_uncertainty, extrapolate : optional
            As in the class.
        """
        neutral = self._neutral(definition)
        tau = years(maturity, "maturity", self.model, extrapolate)
        return self._implied(Curves.term_premium, tau, date, information_set, param_uncertainty, neutral)

    def forward_premium(
        self,
        maturity: object,
        definition: str | None = None,
        date: object = None,
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
        information_set, param_uncertainty, extrapolate : optional
            As in the class.
        """
        neutral = self._neutral(definition)
        tau = years(maturity, "maturity", self.model, extrapolate)
        span = None if tenor is None else one_time(tenor, "tenor", self.model, extrapolate)
        if span is not None:
            years(tau + span, "maturity + tenor", self.model, extrapolate)
        known = date, information_set, param_uncertainty
        return self._implied(Curves.forward_premium, tau, *known, neutral, span)

    def zero_prices(self, maturities: object, date: Any = None, *, extrapolate: bool = False) -> pd.DataFrame:
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
        self, horizons: object, maturities: Any = None, impulse: Any = None, *, extrapolate: bool = False
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
            move = numbers(impulse, "The elements of impulse must be real numbers")
            if move.shape != (len(names),) or not np.all(np.isfinite(move)):
                raise SpecificationError(
                    "impulse cannot be used", got=move.shape, expected=f"{len(names)} numbers"
                )
            shocks, names = move[:, None], ["impulse"]
        Phi = np.tile(np.eye(len(shocks)), (len(h), 1, 1))
        if np.any(h > 0):
            Phi[h > 0] = curves.ahead(h[h > 0]).transition
        values = np.einsum("mi,hij,jq->qhm", curves.yields(tau).slope, Phi, shocks)
        index = pd.MultiIndex.from_product([names, h], names=["shock", "horizon"])
        return pd.DataFrame(values.reshape(-1, len(tau)), index=index, columns=pd.Index(tau, name="maturity"))

    def _neutral(self, definition: str | None) -> bool:
        word = self._definition if definition is None else definition
        if one_of(word, ("expected", "risk-neutral"), "definition") == "expected":
            return False
        self._require_prices("risk-neutral premia")
        return True

    def _require_prices(self, what: str) -> None:
        """Raise if the model has no prices of risk."""


class ImpliedReturns(ImpliedRates):
    """Mixin with expected returns and prices of risk at the estimated factors; see `ImpliedRates`."""

    def expected_excess_returns(
        self,
        maturities: object,
        holding_period: float = 1.0,
        date: object = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        r"""
        Return annual expected excess log returns of zero-coupon bonds, in the units of the yields.

        .. math::

            \frac{1}{h}\Big(\tau y_t(\tau) - (\tau - h)\,E_t[y_{t+h}(\tau - h)]\Big) - y_t(h)

        Parameters
        ----------
        maturities : float or array_like
            Maturities tau in years, which must exceed the holding period.
        holding_period : float
            Holding period h in years.
        date : optional
            A date of the sample.
        information_set, param_uncertainty, extrapolate : optional
            As in the class.
        """
        tau, h = self._held(maturities, holding_period, extrapolate)
        return self._implied(Curves.expected_excess_returns, tau, date, information_set, param_uncertainty, h)

    def sharpe_ratios(
        self,
        maturities: object,
        holding_period: float = 1.0,
        date: object = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        r"""
        Return annual Sharpe ratios of zero-coupon bonds.

        .. math::

            \frac{E_t[rx] + \tfrac12 Var[rx]}{\sqrt{h\,Var[rx]}}

        where rx is the excess log return over the holding period h. The numerator is the logarithm of the
        expected gross return relative to the safe return. As h goes to zero, the ratio converges to
        b'Sigma Lambda divided by the volatility of the bond.

        Parameters
        ----------
        maturities : float or array_like
            Maturities tau in years, which must exceed the holding period.
        holding_period : float
            Holding period h in years.
        date : optional
            A date of the sample.
        information_set, param_uncertainty, extrapolate : optional
            As in the class.
        """
        (tau, h), scale = self._held(maturities, holding_period, extrapolate), self.model.panel.scale
        return self._implied(Curves.sharpe_ratios, tau, date, information_set, param_uncertainty, h, scale)

    def price_of_risk(
        self, date: object = None, *, information_set: str = "smoothed", param_uncertainty: bool = True
    ) -> Rates:
        r"""
        Return the path of the price of risk, with one column for each shock.

        .. math::

            \Lambda_t = \lambda_0 + \lambda_1 X_t

        where dW_Q = dW_P + Lambda dt. Each element is the annual Sharpe ratio of an asset that moves with one
        shock alone. The shocks are defined by the Cholesky factor Sigma, in the order of the factors. For
        `ACM`, in discrete time, the price of risk is Sigma^{-1}(lambda_0 + lambda_1 X_t) / sqrt(dt).

        Parameters
        ----------
        date : optional
            A date of the sample.
        information_set, param_uncertainty : optional
            As in the class.
        """
        self._require_prices("prices of risk")
        shocks = self.model.factor_names[: self.model.k_factors]
        return self._implied(
            lambda c, _: c.price_of_risk(), shocks, date, information_set, param_uncertainty, name="shock"
        )

    def _held(self, maturities: object, holding_period: Any, extrapolate: bool) -> tuple[Array, float]:
        """Return maturities and a holding period, which must be shorter than each of them."""
        tau = years(maturities, "maturities", self.model, extrapolate)
        h = one_time(holding_period, "holding_period", self.model, extrapolate)
        if not np.all(tau > h):
            raise SpecificationError(
                "A maturity must be longer than the holding period",
                got=f"{tau.min():g} years, held for {h:g}",
                expected="maturities longer than holding_period",
            )
        return tau, h
