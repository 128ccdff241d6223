"""Plots of yield curves, loadings, fit and term premia."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..base.reporting import normal_quantile
from ..plots import (
    BAND,
    CONSTANT,
    LINE,
    ZERO,
    Size,
    band_label,
    draw_path,
    entries,
    few_dates,
    legend_above,
    line_label,
    new_figure,
    panel_grid,
    plot_factors,
)
from .dynamics import Affine
from .evaluation import Forecasts
from .rates import Rates, one_time, years

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = (LINE, CONSTANT, "#009E73", "#CC79A7", "#E69F00")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), "-.", (0, (3, 1, 1, 1)))
"""Line styles, which differ in colour and dashes."""


def _maturity_axis(axis: Axes, label: str) -> None:
    axis.set_xlabel("maturity in years")
    axis.set_ylabel(label)
    axis.set_xlim(left=0.0)
    axis.spines[["top", "right"]].set_visible(False)


def _band_words(rates: Rates, param_uncertainty: bool) -> str:
    """Describe the uncertainty that a band contains."""
    if not param_uncertainty:
        return "given the parameters"
    if rates.se.isna().to_numpy().all():
        return "not known: the parameters have no standard errors"
    return "uncertainty of the parameters included"


_GRID = 120


class Pictures(Forecasts):
    """Methods that plot with matplotlib, into ``fig`` if it is given, and return the Figure."""

    def plot_factors(
        self,
        fig: Figure | None = None,
        figsize: Size | None = None,
        alpha: float = 0.05,
        *,
        param_uncertainty: bool = True,
    ) -> Figure:
        """Plot the smoothed factors, with pointwise bands of coverage 1 - alpha."""
        names = self.model.factor_names
        own = Affine(np.zeros(len(names)), np.eye(len(names)))
        paths = self._implied(lambda *_: own, names, param_uncertainty=param_uncertainty, name="factor")
        words = _band_words(paths, param_uncertainty)
        return plot_factors(paths.estimate, paths.se, fig=fig, figsize=figsize, alpha=alpha, band=words)

    def plot_loadings(
        self,
        maturities: object = None,
        *,
        extrapolate: bool = False,
        fig: Figure | None = None,
        figsize: Size | None = None,
    ) -> Figure:
        """Plot the loadings B(tau) of the yields on the factors, by maturity in years (0 to the longest)."""
        tau = self._grid(maturities, extrapolate)
        names = self.model.factor_names[: self.model.k_factors]
        slopes = self.model.curves(np.asarray(self.params)).yields(tau).slope
        axis = new_figure(fig, figsize, (7.0, 4.0)).subplots()
        axis.axhline(0.0, color=ZERO, linewidth=0.6)
        for i, name in enumerate(names):
            style: Any = {"color": _COLORS[i % len(_COLORS)], "linestyle": _DASHES[i % len(_DASHES)]}
            axis.plot(tau, slopes[:, i], linewidth=1.6, label=name, **style)
        marks = self.model.panel.maturities
        axis.plot(
            marks, np.zeros(len(marks)), "|", color="0.3", transform=axis.get_xaxis_transform(),
            markersize=12, label="maturities of the panel",
        )  # fmt: skip
        _maturity_axis(axis, "yield per unit of the factor")
        axis.legend(frameon=False, ncols=len(names) + 1, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        return axis.figure

    def plot_fit(self, *, fig: Figure | None = None, figsize: Size | None = None) -> Figure:
        """Plot observed and fitted yields with the root mean square error, one panel for each maturity."""
        observed, fitted = self._yields, self.fitted_yields
        rmse = self.pricing_error_summary()["rmse"]
        fig, axes = panel_grid(fig, figsize, len(rmse), (3.05, 2.0), 0.7, most=4, sharex=True, sharey=True)
        for axis, name in zip(axes.ravel(), observed.columns, strict=False):
            path = fitted[name]
            time = draw_path(axis, path, path * np.nan, 0.05, "at the smoothed factors")
            places = axis.lines[0].get_xdata(orig=True)
            axis.plot(places, observed[name].to_numpy(), ".", color="0.25", markersize=1.6, label="observed")
            axis.set_title(f"{name}: rmse {rmse[name]:.1f} bp", fontsize="medium", loc="left")
            axis.tick_params(labelsize="small")
        for last in axes.ravel()[: len(rmse)][-axes.shape[1] :]:  # the lowest panel of each column
            last.tick_params(labelbottom=True)
            last.set_xlabel(time, fontsize="small")
            few_dates(last)
        for row in axes[:, 0]:
            row.set_ylabel(self._label("yield"), fontsize="small")
        handles, labels = entries(axes)
        legend_above(fig, handles, labels, len(labels))
        return fig

    def plot_term_premium(
        self,
        maturity: float | None = None,
        definition: str | None = None,
        *,
        param_uncertainty: bool = True,
        extrapolate: bool = False,
        alpha: float = 0.05,
        fig: Figure | None = None,
        figsize: Size | None = None,
    ) -> Figure:
        """
        Plot the yield of a maturity, the yield without the premium, and the premium; see `term_premium`.

        The default maturity is ten years, or the longest maturity of the panel if that is shorter.
        """
        neutral = self._neutral(definition)
        maturity = min(10.0, self.model.panel.longest) if maturity is None else maturity
        tau = one_time(maturity, "maturity", self.model, extrapolate)
        rates = self.term_premium(
            tau, definition, param_uncertainty=param_uncertainty, extrapolate=extrapolate
        )
        curve = self.yield_curve(tau, param_uncertainty=False, extrapolate=extrapolate)
        own, premium = curve.estimate.iloc[:, 0], rates.estimate.iloc[:, 0]
        rest = "risk-neutral yield" if neutral else f"short rate expected over {tau:g} years"
        fig = new_figure(fig, figsize, (8.0, 5.6))
        upper, lower = fig.subplots(2, 1, sharex=True)
        band = _band_words(rates, param_uncertainty)
        time = draw_path(lower, premium, rates.se.iloc[:, 0], alpha, "term premium", band)
        places = lower.lines[0].get_xdata(orig=True)
        upper.plot(places, own, color=LINE, linewidth=1.4, label=f"yield of {tau:g} years")
        upper.plot(places, own - premium, color=CONSTANT, linestyle=(0, (5, 2)), linewidth=1.4, label=rest)
        upper.spines[["top", "right"]].set_visible(False)
        lower.axhline(0.0, color=ZERO, linewidth=0.6)
        for axis, label in ((upper, "rate"), (lower, "premium")):
            axis.set_ylabel(self._label(label))
            axis.legend(
                frameon=False, fontsize="small", ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0)
            )
        lower.set_xlabel(time)
        return fig

    def plot_curve(
        self,
        date: object = None,
        maturities: object = None,
        *,
        param_uncertainty: bool = True,
        extrapolate: bool = False,
        alpha: float = 0.05,
        fig: Figure | None = None,
        figsize: Size | None = None,
    ) -> Figure:
        """Plot the yield curve of a date in the sample (by default the last) and the observed yields."""
        observed = self._yields
        date = observed.index[-1] if date is None else date
        tau = self._grid(maturities, extrapolate)
        rates = self.yield_curve(tau, date, param_uncertainty=param_uncertainty, extrapolate=extrapolate)
        at, band = rates.estimate.index[0], _band_words(rates, param_uncertainty)
        centre = rates.estimate.iloc[0].to_numpy()
        half = normal_quantile(alpha) * rates.se.iloc[0].to_numpy()
        axis = new_figure(fig, figsize, (7.0, 4.0)).subplots()
        label = band_label(f"{100 * (1 - alpha):g} % band, {band}", centre, half)
        axis.fill_between(tau, centre - half, centre + half, color=BAND, alpha=0.4, linewidth=0, label=label)
        label = line_label("at the smoothed factors", band, half)
        axis.plot(tau, centre, color=LINE, linewidth=1.6, label=label)
        seen = np.asarray(observed.loc[at])
        axis.plot(self.model.panel.maturities, seen, "o", color="0.2", markersize=4, label="observed")
        _maturity_axis(axis, self._label("yield"))
        title = str(at.date() if isinstance(at, pd.Timestamp) else at)
        axis.set_title(title, loc="left", fontsize="medium")
        axis.legend(frameon=False, fontsize="small", loc="best")
        return axis.figure

    def _grid(self, maturities: object, extrapolate: bool) -> Any:
        if maturities is not None:
            return years(maturities, "maturities", self.model, extrapolate)
        longest, period = self.model.panel.longest, self.model.panel.period
        grid = np.linspace(longest / _GRID, longest, _GRID)
        return grid if period is None else period * np.unique(np.maximum(np.rint(grid / period), 1.0))

    def _label(self, what: str) -> str:
        """Return the label of an axis that shows rates."""
        return f"{what}, {self.model._given['units']} a year"
