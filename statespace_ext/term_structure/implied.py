"""Curves, expectations and premia: methods of the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..base.states import Factors, factors_of
from ..engine.arguments import truth
from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array
from .dynamics import Affine, Curves
from .rates import Rates, check_definition, implied_rates, years


class ImpliedRates:
    """
    Rates at the smoothed factors; mixed into `ATSMResults`.

    Every method returns `Rates`, with standard deviations of the factors alone, or with
    ``param_uncertainty=True`` of the parameters too (delta method). ``date=None`` is all dates. Maturities
    and horizons are in years; those beyond twice the longest maturity of the panel raise `SpecificationError`
    unless ``extrapolate=True``.
    """

    model: Any

    @property
    def factors(self) -> Factors:
        """Smoothed and filtered factors."""
        return factors_of(self, self.model.factor_names, self._dates)

    @property
    def _dates(self) -> pd.Index:
        labels: pd.Index = self.model.calendar.labels
        return labels

    def _implied(
        self, rate: Callable[[Curves], Affine], columns: Array, date: Any, param_uncertainty: bool, name: str
    ) -> Rates:
        labels = pd.Index(columns, name=name)
        return implied_rates(self, self.factors, rate, labels, date, param_uncertainty)

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
                got='identification="dns"',
                remedy='Use identification="afns", or definition="expected".',
            )
