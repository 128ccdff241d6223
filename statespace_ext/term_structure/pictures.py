"""Pictures: methods of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import SpecificationError, shown
from ..plots.paths import plot_factors
from . import plots
from .rates import check_definition, years
from .tables import BASIS_POINTS

Size = tuple[float, float]
_GRID = 120
_TEN_YEARS = 10.0


class Pictures:
    """Methods that draw with matplotlib, into ``fig`` where it is given, and return the Figure; mixed in."""

    model: Any

    def plot_factors(self, fig: Any = None, figsize: Size | None = None, alpha: float = 0.05) -> Any:
        """Plot the smoothed factors with pointwise bands of coverage 1 - alpha."""
        factors: Any = self._own.factors
        return plot_factors(factors.smoothed, factors.smoothed_se, fig=fig, figsize=figsize, alpha=alpha)

    def plot_loadings(
        self,
        maturities: Any = None,
        *,
        extrapolate: bool = False,
        fig: Any = None,
        figsize: Size | None = None,
    ) -> Any:
        """Plot the loadings B(tau) of the yields on the factors, by maturity in years (0 to the longest)."""
        tau = self._grid(maturities, extrapolate)
        B = self.model.loadings(np.asarray(self._own.params), tau, extrapolate=extrapolate)[1]
        frame = pd.DataFrame(B, index=tau, columns=self.model.factor_names)
        return plots.plot_loadings(frame, self.model.panel.maturities, fig=fig, figsize=figsize)

    def plot_fit(self, *, fig: Any = None, figsize: Size | None = None) -> Any:
        """Plot observed and fitted yields, one panel a maturity, with the root mean square error."""
        scale = BASIS_POINTS / self.model.panel.scale
        observed, fitted = self._own._yields, self._own.fitted_yields
        return plots.plot_fit(observed, fitted, scale, units=self._units, fig=fig, figsize=figsize)

    def plot_term_premium(
        self,
        maturity: float | None = None,
        definition: str = "expected",
        *,
        param_uncertainty: bool = False,
        extrapolate: bool = False,
        alpha: float = 0.05,
        fig: Any = None,
        figsize: Size | None = None,
    ) -> Any:
        """
        Plot the yield of a maturity, its part without the premium, and the premium; as `term_premium`.

        The default is ten years, or the longest maturity of a panel that ends before.
        """
        neutral = check_definition(definition)
        maturity = min(_TEN_YEARS, self.model.panel.longest) if maturity is None else maturity
        tau = years(maturity, "maturity", self.model, extrapolate)
        if len(tau) > 1:
            raise SpecificationError("The plot is of one maturity", got=shown(tau), expected="one number")
        premium = self._own.term_premium(
            tau, definition, param_uncertainty=param_uncertainty, extrapolate=extrapolate
        )
        own = self._own.yield_curve(tau, extrapolate=extrapolate).estimate.iloc[:, 0]
        rest = "risk-neutral yield" if neutral else f"short rate expected over {tau[0]:g} years"
        words = (f"yield of {tau[0]:g} years", rest, "term premium")
        band = "uncertainty of the parameters included" if param_uncertainty else "given the parameters"
        path = premium.estimate.iloc[:, 0]
        return plots.plot_term_premium(
            own, own - path, path, premium.se.iloc[:, 0], words, band,
            units=self._units, alpha=alpha, fig=fig, figsize=figsize,
        )  # fmt: skip

    def plot_curve(
        self,
        date: Any = None,
        maturities: Any = None,
        *,
        extrapolate: bool = False,
        alpha: float = 0.05,
        fig: Any = None,
        figsize: Size | None = None,
    ) -> Any:
        """Plot the yield curve of a date of the sample (the last by default), beside the observed yields."""
        observed = self._own._yields
        date = observed.index[-1] if date is None else date
        rates = self._own.yield_curve(self._grid(maturities, extrapolate), date, extrapolate=extrapolate)
        seen = observed.loc[rates.estimate.index[0]]
        at = rates.estimate.index[0]
        return plots.plot_curve(
            rates.estimate.iloc[0], rates.se.iloc[0],
            pd.Series(np.asarray(seen), index=self.model.panel.maturities),
            str(at.date() if isinstance(at, pd.Timestamp) else at),
            units=self._units, alpha=alpha, fig=fig, figsize=figsize,
        )  # fmt: skip

    def _grid(self, maturities: Any, extrapolate: bool) -> Any:
        if maturities is not None:
            return years(maturities, "maturities", self.model, extrapolate)
        longest = self.model.panel.longest
        return np.linspace(longest / _GRID, longest, _GRID)

    @property
    def _units(self) -> str:
        return str(self.model._given["units"])

    @property
    def _own(self) -> Any:
        return self
