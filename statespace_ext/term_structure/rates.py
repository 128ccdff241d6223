"""Rates with their uncertainty, labelled by date and maturity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..base.reporting import normal_quantile
from ..base.results import StateSpaceResults
from ..base.states import Factors, factors_of
from ..engine.arguments import truth
from ..engine.calendars import Calendar
from ..exceptions import DataError, SpecificationError
from ..inference.information import delta_method
from ..inference.many import model_of
from ..numerics.linear_algebra import Array
from .declaration import spelled
from .dynamics import Affine, Curves

if TYPE_CHECKING:
    from .atsm import ATSM

DEFINITIONS = ("expected", "risk-neutral")


@dataclass(frozen=True)
class Rates:
    """
    Rates a year in the units of the yields, by date (or horizon) and maturity in years.

    Attributes
    ----------
    estimate, se : DataFrame, (n, m)
        Means and standard deviations.
    """

    estimate: pd.DataFrame
    se: pd.DataFrame

    def lower(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the lower ends of intervals of coverage 1 - alpha."""
        return self.estimate - normal_quantile(alpha) * self.se

    def upper(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the upper ends of intervals of coverage 1 - alpha."""
        return self.estimate + normal_quantile(alpha) * self.se

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return one row a date and maturity: estimate, se, lower, upper."""
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
"""Years; exponentials of roots times much longer ones are no numbers."""
_FAR = 2.0
"""Times the longest maturity; a longer one is more likely to be a number of months."""


def years(value: Any, name: str, model: ATSM, extrapolate: bool = False, *, zero: bool = False) -> Array:
    """
    Return maturities or horizons in years as an array.

    Parameters
    ----------
    value : float or array_like
        The maturities or horizons.
    name : str
        What they are called.
    model : ATSM
        The model.
    extrapolate : bool
        Whether they may be longer than twice the longest maturity of the panel.
    zero : bool
        Whether they may be zero.

    Raises
    ------
    SpecificationError
        If they are not positive numbers (or zero, where allowed), or too long.
    """
    try:
        out = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"{name} is no number of years", got=repr(value)[:80]) from error
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


def check_definition(definition: Any) -> bool:
    """Return whether the definition of a premium is the risk-neutral one."""
    if not isinstance(definition, str) or definition not in DEFINITIONS:
        raise SpecificationError(
            "definition is unknown", got=repr(definition), expected=f"one of {DEFINITIONS}"
        )
    return definition == "risk-neutral"


def rows_of(calendar: Calendar, date: Any) -> slice:
    """
    Return where a date is in the sample; all of it for None.

    Raises
    ------
    DataError
        If it is not there.
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


def errors_at(
    results: StateSpaceResults, function: Callable[[Array], Array], held: Iterable[str]
) -> tuple[Array, Array]:
    """Return a function of all parameters, and its delta-method errors with some of them held."""
    model, params = model_of(results), np.asarray(results.params, dtype=float)
    known = set(held)
    free = np.array([i for i, name in enumerate(model.param_names) if name not in known], dtype=int)

    def at(values: Array) -> Array:
        full = params.copy()
        full[free] = values
        return function(full)

    cov = np.asarray(results.params_cov.cov)[np.ix_(free, free)]
    return delta_method(at, params[free], cov, model.difference_steps(params)[free])


class ImpliedRates(StateSpaceResults):
    """
    Rates at the smoothed factors: a part of `ATSMResults`.

    Every method returns `Rates`, with standard deviations of the factors alone, or with
    ``param_uncertainty=True`` of the parameters too (delta method). ``date=None`` is all dates. Maturities
    and horizons are in years; those beyond twice the longest maturity of the panel raise `SpecificationError`
    unless ``extrapolate=True``.
    """

    @property
    def factors(self) -> Factors:
        """Smoothed and filtered factors."""
        return factors_of(self, self.model.factor_names, self._dates)

    @property
    def _dates(self) -> pd.Index:
        labels: pd.Index = self.model.calendar.labels
        return labels

    @property
    def fitted_yields(self) -> pd.DataFrame:
        """Yields of the panel at the smoothed factors."""
        curves = self.model.curves(self.params)
        values = curves.yields(self.model.panel.maturities).mean(self.factors.smoothed.to_numpy())
        return pd.DataFrame(values, index=self._dates, columns=self.model.panel.labels)

    @property
    def _yields(self) -> pd.DataFrame:
        values = self.model.endog[:, self.model.panel.n_observed :]
        return pd.DataFrame(values, index=self._dates, columns=self.model.panel.labels)

    def _implied(
        self, rate: Callable[[Curves], Affine], columns: Array, date: Any, param_uncertainty: bool, name: str
    ) -> Rates:
        """Return rates at the smoothed factors, which are smoothed again at other parameters."""
        model, factors, params = model_of(self), self.factors, np.asarray(self.params, dtype=float)
        rows = rows_of(model.calendar, date)
        affine, states = rate(model.curves(params)), factors.smoothed.to_numpy()[rows]
        covs = factors.smoothed_cov.to_numpy().reshape(-1, model.k_states, model.k_states)[rows]
        mean = affine.mean(states)
        variance = np.clip(affine.variance(covs), 0.0, None)
        if truth(param_uncertainty, "param_uncertainty"):

            def at(trial: Array) -> Array:
                smoothed = model.private_smoother.smooth(model.started_system(trial), lag_cov=False)
                return rate(model.curves(trial)).mean(np.array(smoothed.mean.T[rows])).ravel()

            _, errors = errors_at(self, at, [*self.boundary, *self._fixed])
            variance = variance + (errors**2).reshape(mean.shape)
        labels: Any = {"index": factors.smoothed.index[rows], "columns": pd.Index(columns, name=name)}
        return Rates(pd.DataFrame(mean, **labels), pd.DataFrame(np.sqrt(variance), **labels))

    def yield_curve(
        self,
        maturities: Any,
        date: Any = None,
        *,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return zero-coupon yields y(tau) = A(tau) + B(tau)'X_t at any maturities.

        Parameters
        ----------
        maturities : float or array_like
            In years.
        date : optional
            A date of the sample.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(lambda c: c.yields(tau), tau, date, param_uncertainty, "maturity")

    def forward_curve(
        self,
        maturities: Any,
        date: Any = None,
        *,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
    ) -> Rates:
        """Return instantaneous forward rates f(tau) = d(tau y(tau))/dtau; as `yield_curve`."""
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(lambda c: c.forwards(tau), tau, date, param_uncertainty, "maturity")

    @property
    def short_rate(self) -> Rates:
        """The short rate r_t = delta_0 + delta_1'X_t."""
        return self._implied(lambda c: c.short_rate(), np.zeros(1), None, False, "maturity")

    def expected_short_rate(
        self,
        horizon: Any,
        date: Any = None,
        *,
        average: bool = True,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return the short rate expected under P: (1/h) int_0^h E_t[r_{t+s}] ds, or E_t[r_{t+h}].

        Parameters
        ----------
        horizon : float or array_like
            h, in years.
        date : optional
            A date of the sample.
        average : bool
            Whether to average over the horizon, or to take its end.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        h = years(horizon, "horizon", self.model, extrapolate)
        mean = truth(average, "average")
        return self._implied(
            lambda c: c.average_short_rate(h) if mean else c.short_rate_ahead(h),
            h, date, param_uncertainty, "horizon",
        )  # fmt: skip

    def risk_neutral_yields(
        self,
        maturities: Any,
        date: Any = None,
        *,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
    ) -> Rates:
        """Return the yields if the price of risk were zero: priced with K_P and kappa_P; as `yield_curve`."""
        self._require_prices("risk-neutral yields")
        tau = years(maturities, "maturities", self.model, extrapolate)
        return self._implied(lambda c: c.risk_neutral_yields(tau), tau, date, param_uncertainty, "maturity")

    def term_premium(
        self,
        maturity: Any,
        definition: str = "expected",
        date: Any = None,
        *,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return the term premium of zero-coupon yields.

        Parameters
        ----------
        maturity : float or array_like
            In years.
        definition : {"expected", "risk-neutral"}
            "expected": the yield less the average short rate expected over its life under P. "risk-neutral":
            the yield less the risk-neutral yield, which has the convexity of the yield too.
        date : optional
            A date of the sample.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        neutral = self._neutral(definition)
        tau = years(maturity, "maturity", self.model, extrapolate)
        return self._implied(lambda c: c.term_premium(tau, neutral), tau, date, param_uncertainty, "maturity")

    def forward_premium(
        self,
        maturity: Any,
        definition: str = "expected",
        date: Any = None,
        *,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Return the premium of instantaneous forward rates; as `term_premium`.

        "expected": f(tau) - E_t[r_{t+tau}]; "risk-neutral": less the risk-neutral forward rate. Averaged over
        maturities from zero, it is the term premium.
        """
        neutral = self._neutral(definition)
        tau = years(maturity, "maturity", self.model, extrapolate)
        return self._implied(
            lambda c: c.forward_premium(tau, neutral), tau, date, param_uncertainty, "maturity"
        )

    def zero_prices(self, maturities: Any, date: Any = None, *, extrapolate: bool = False) -> pd.DataFrame:
        """
        Return the prices P(tau) = exp(-tau y(tau)) of zero-coupon bonds that pay one.

        Parameters
        ----------
        maturities : float or array_like
            In years.
        date : optional
            A date of the sample.
        extrapolate : bool
            As in the class.
        """
        y = self.yield_curve(maturities, date, extrapolate=extrapolate).estimate
        return np.exp(-y * (y.columns.to_numpy() / self.model.panel.scale))

    def _neutral(self, definition: str) -> bool:
        neutral = check_definition(definition)
        if neutral:
            self._require_prices("risk-neutral premia")
        return neutral

    def _require_prices(self, what: str) -> None:
        if not self.model.norm.arbitrage_free:
            raise SpecificationError(
                f"There are no {what}: the model has no prices of risk",
                got=spelled(self.model._given["identification"]),
                remedy='Use identification="afns", or definition="expected".',
            )
