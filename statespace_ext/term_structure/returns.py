"""What holders of bonds expect to earn: excess returns, Sharpe ratios, prices of risk."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array
from .dynamics import Affine
from .rates import ImpliedRates, Rates, years, yields_ahead


def expected_excess_returns(curves: Any, tau: Array, h: float) -> Affine:
    """Return the expected log return of bonds over h years less that of the bond of h years, a year."""
    later = yields_ahead(curves, tau - h, np.array([h]))
    safe = curves.yields(np.array([h]))
    held = curves.yields(tau) * (tau / h) - later * ((tau - h) / h)
    return Affine(held.intercept - safe.intercept, held.slope - safe.slope)


def return_deviations(curves: Any, tau: Array, h: float, scale: float) -> Array:
    """Return the standard deviations of log returns of bonds over h years."""
    slope = curves.yields(tau - h).slope * ((tau - h) / scale)[:, None]
    return np.sqrt(np.einsum("mi,ij,mj->m", slope, curves.ahead(np.array([h])).cov[0], slope))


def sharpe_ratios(curves: Any, tau: Array, h: float, scale: float) -> Affine:
    """Return (E[rx] + Var[rx] / 2) / sd[rx] of log excess returns over h years, over sqrt(h)."""
    sd, rx = return_deviations(curves, tau, h, scale), expected_excess_returns(curves, tau, h)
    mean = rx * np.full(len(tau), h / scale)
    both = Affine(mean.intercept + 0.5 * sd**2, mean.slope)
    return both * (1.0 / (sd * np.sqrt(h)))


class ImpliedReturns(ImpliedRates):
    """Expected returns and prices of risk at the estimated factors; mixed in, as `ImpliedRates`."""

    def expected_excess_returns(
        self,
        maturities: Any,
        holding_period: float = 1.0,
        date: Any = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        r"""
        Return expected excess log returns of zero-coupon bonds, a year, in the units of the yields.

        .. math::

            \frac{1}{h}\Big(\tau y_t(\tau) - (\tau - h)\,E_t[y_{t+h}(\tau - h)]\Big) - y_t(h)

        Parameters
        ----------
        maturities : float or array_like
            tau, in years, longer than the holding period.
        holding_period : float
            h, in years.
        date : optional
            A date of the sample.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        tau, h = self._held(maturities, holding_period, extrapolate)
        return self._implied(
            lambda c: expected_excess_returns(c, tau, h),
            tau, date, param_uncertainty, "maturity", information_set,
        )  # fmt: skip

    def sharpe_ratios(
        self,
        maturities: Any,
        holding_period: float = 1.0,
        date: Any = None,
        *,
        information_set: str = "smoothed",
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        r"""
        Return Sharpe ratios of zero-coupon bonds, a year.

        .. math::

            \frac{E_t[rx] + \tfrac12 Var[rx]}{\sqrt{h\,Var[rx]}}

        with rx the excess log return over the holding period h: the numerator is the logarithm of the
        expected gross return over the safe one. As h goes to zero, the ratio goes to b'Sigma Lambda over the
        volatility of the bond.

        Parameters
        ----------
        maturities : float or array_like
            tau, in years, longer than the holding period.
        holding_period : float
            h, in years.
        date : optional
            A date of the sample.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        extrapolate : bool
            As in the class.
        """
        (tau, h), scale = self._held(maturities, holding_period, extrapolate), self.model.panel.scale
        return self._implied(
            lambda c: sharpe_ratios(c, tau, h, scale),
            tau, date, param_uncertainty, "maturity", information_set,
        )  # fmt: skip

    def price_of_risk(
        self, date: Any = None, *, information_set: str = "smoothed", param_uncertainty: bool = True
    ) -> Rates:
        r"""
        Return the path of the price of risk, one column a shock.

        .. math::

            \Lambda_t = \lambda_0 + \lambda_1 X_t

        of dW_Q = dW_P + Lambda dt: the Sharpe ratio a year of what moves with one shock alone. The shocks are
        those of the Cholesky factor Sigma, in the order of the factors. Of `ACM`, in discrete time, it is
        Sigma^{-1}(lambda_0 + lambda_1 X_t) / sqrt(dt).

        Parameters
        ----------
        date : optional
            A date of the sample.
        information_set : {"smoothed", "filtered"}
            As in the class.
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters.
        """
        self._require_prices("prices of risk")
        shocks = self.model.factor_names[: self.model.k_factors]
        return self._implied(
            lambda c: c.price_of_risk(), shocks, date, param_uncertainty, "shock", information_set
        )

    def _held(self, maturities: Any, holding_period: Any, extrapolate: bool) -> tuple[Array, float]:
        """Return maturities and a holding period that is shorter than all of them."""
        tau = years(maturities, "maturities", self.model, extrapolate)
        h = years(holding_period, "holding_period", self.model, extrapolate)
        if len(h) > 1:
            raise SpecificationError("holding_period is not one number", got=shown(h), expected="years")
        if not np.all(tau > h[0]):
            raise SpecificationError(
                "A bond must outlive the holding period",
                got=f"{tau.min():g} years, held for {h[0]:g}",
                expected="maturities longer than holding_period",
            )
        return tau, float(h[0])
