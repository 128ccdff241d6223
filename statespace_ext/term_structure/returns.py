"""Expected excess returns and Sharpe ratios of bonds, and prices of risk."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array
from .dynamics import Affine
from .rates import ImpliedRates, Rates, years, yields_ahead


def expected_excess_returns(curves: Any, tau: Array, h: float) -> Affine:
    """Return the annual expected log return of bonds over h years, in excess of that of the h-year bond."""
    later = yields_ahead(curves, tau - h, np.array([h]))
    safe = curves.yields(np.array([h]))
    held = curves.yields(tau) * (tau / h) - later * ((tau - h) / h)
    return Affine(held.intercept - safe.intercept, held.slope - safe.slope)


def return_deviations(curves: Any, tau: Array, h: float, scale: float) -> Array:
    """Return the standard deviations of log returns of bonds over h years."""
    slope = curves.yields(tau - h).slope * ((tau - h) / scale)[:, None]
    return np.sqrt(np.einsum("mi,ij,mj->m", slope, curves.ahead(np.array([h])).cov[0], slope))


def sharpe_ratios(curves: Any, tau: Array, h: float, scale: float) -> Affine:
    """Return (E[rx] + Var[rx] / 2) / sd[rx] of log excess returns over h years, divided by sqrt(h)."""
    sd, rx = return_deviations(curves, tau, h, scale), expected_excess_returns(curves, tau, h)
    mean = rx * np.full(len(tau), h / scale)
    both = Affine(mean.intercept + 0.5 * sd**2, mean.slope)
    return both * (1.0 / (sd * np.sqrt(h)))


class ImpliedReturns(ImpliedRates):
    """Mixin with expected returns and prices of risk at the estimated factors; see `ImpliedRates`."""

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
        """Return maturities and a holding period, which must be shorter than each of them."""
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
