"""Plots of yield curves, loadings, fit and term premia."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..engine.arguments import probability
from ..plots import (
    BAND,
    CONSTANT,
    LINE,
    ZERO,
    band_label,
    draw_path,
    entries,
    few_dates,
    legend_above,
    line_label,
    new_figure,
    plot_factors,
)
from .dynamics import Affine
from .evaluation import Forecasts
from .rates import Rates, one_time, years
from .tables import BASIS_POINTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4
_PANEL = (2.9, 2.0)
_LINES: tuple[tuple[str, Any], ...] = (
    (LINE, "-"),
    (CONSTANT, (0, (5, 2))),
    ("#009E73", (0, (1, 1.2))),
    ("#CC79A7", "-."),
    ("#E69F00", (0, (3, 1, 1, 1))),
)
"""Line styles that differ in colour and dashes."""


def plot_loadings(
    loadings: pd.DataFrame, marks: Any, *, fig: Any = None, figsize: tuple[float, float] | None = None
) -> Figure:
    """
    Plot the loadings of the yields on the factors, by maturity.

    Parameters
    ----------
    loadings : DataFrame, (m, k)
        Loadings B by maturity in years and factor.
    marks : array_like
        Maturities of the panel, which are marked on the axis.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    axis = new_figure(fig, figsize, (7.0, 4.0)).subplots()
    axis.axhline(0.0, color=ZERO, linewidth=0.6)
    for i, name in enumerate(loadings):
        color, dashes = _LINES[i % len(_LINES)]
        axis.plot(loadings.index, loadings[name], color=color, linestyle=dashes, linewidth=1.6, label=name)
    floor = axis.get_xaxis_transform()
    axis.plot(
        np.asarray(marks), np.zeros(len(marks)), "|", color="0.3", transform=floor, markersize=12,
        label="maturities of the panel",
    )  # fmt: skip
    _maturity_axis(axis, "yield per unit of the factor")
    axis.legend(frameon=False, ncols=len(loadings.columns) + 1, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return axis.figure


def plot_fit(
    observed: pd.DataFrame,
    fitted: pd.DataFrame,
    scale: float,
    *,
    units: str = "decimal",
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """
    Plot observed yields and yields at the smoothed factors, with one panel for each maturity.

    Parameters
    ----------
    observed, fitted : DataFrame, (nobs, p)
        Observed and fitted yields.
    scale : float
        Number of basis points in one unit of the yields.
    units : {"decimal", "percent"}
        Units of the yields.
    fig, figsize : optional
        As in `plot_loadings`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    p = observed.shape[1]
    columns = min(p, _COLUMNS)
    rows = -(-p // columns)
    fig = new_figure(fig, figsize, (_PANEL[0] * columns + 0.6, _PANEL[1] * rows + 0.7))
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    nothing = pd.DataFrame(np.nan, index=fitted.index, columns=fitted.columns)
    for axis, name in zip(axes.ravel(), observed.columns, strict=False):
        time = draw_path(axis, fitted[name], nothing[name], 0.05, "at the smoothed factors")
        places = axis.lines[0].get_xdata(orig=True)
        axis.plot(places, observed[name].to_numpy(), ".", color="0.25", markersize=1.6, label="observed")
        rmse = float(np.sqrt(np.nanmean((observed[name] - fitted[name]) ** 2)))
        axis.set_title(f"{name}: rmse {rmse * scale:.1f} bp", fontsize="medium", loc="left")
        axis.tick_params(labelsize="small")
    for axis in axes.ravel()[p:]:
        axis.remove()
    for place in range(columns):
        last = axes[(p - 1 - place) // columns, place]
        last.tick_params(labelbottom=True)
        last.set_xlabel(time, fontsize="small")
        few_dates(last)
    for row in axes[:, 0]:
        row.set_ylabel(_rate("yield", units), fontsize="small")
    handles, labels = entries(axes)
    legend_above(fig, handles, labels, len(labels))
    return fig


def plot_term_premium(
    yields: pd.Series,
    expected: pd.Series,
    premium: pd.Series,
    se: pd.Series,
    words: tuple[str, str, str],
    band: str,
    *,
    units: str = "decimal",
    alpha: float = 0.05,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """
    Plot a yield, its expected part, and the term premium with a band.

    Parameters
    ----------
    yields, expected, premium, se : Series, (nobs,)
        The yield, the yield without the premium, the premium and its standard deviation.
    words : (str, str, str)
        Labels of yield, expected part and premium.
    band : str
        Description of the uncertainty in the band.
    units : {"decimal", "percent"}
        Units of the yields.
    alpha : float
        One minus the coverage of the band.
    fig, figsize : optional
        As in `plot_loadings`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig = new_figure(fig, figsize, (8.0, 5.6))
    upper, lower = fig.subplots(2, 1, sharex=True)
    time = draw_path(lower, premium, se, alpha, words[2], band)
    places = lower.lines[0].get_xdata(orig=True)
    upper.plot(places, yields.to_numpy(), color=LINE, linewidth=1.4, label=words[0])
    upper.plot(
        places, expected.to_numpy(), color=CONSTANT, linestyle=(0, (5, 2)), linewidth=1.4, label=words[1]
    )
    upper.spines[["top", "right"]].set_visible(False)
    lower.axhline(0.0, color=ZERO, linewidth=0.6)
    for axis, label in ((upper, "rate"), (lower, "premium")):
        axis.set_ylabel(_rate(label, units))
        axis.legend(frameon=False, fontsize="small", ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    lower.set_xlabel(time)
    return fig


def plot_curve(
    curve: pd.Series,
    se: pd.Series,
    observed: pd.Series,
    title: str,
    band: str,
    *,
    units: str = "decimal",
    alpha: float = 0.05,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """
    Plot the yield curve of a date with a band, and the observed yields.

    Parameters
    ----------
    curve, se : Series, (m,)
        Yields by maturity in years, and their standard deviations.
    observed : Series
        Observed yields by maturity; NaN marks a missing yield.
    title : str
        The date.
    band : str
        Description of the uncertainty in the band.
    units : {"decimal", "percent"}
        Units of the yields.
    alpha : float
        One minus the coverage of the band.
    fig, figsize : optional
        As in `plot_loadings`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    axis = new_figure(fig, figsize, (7.0, 4.0)).subplots()
    tau, centre = curve.index.to_numpy(), curve.to_numpy()
    half = norm.ppf(1.0 - probability(alpha, "alpha") / 2.0) * se.to_numpy()
    label = band_label(f"{100 * (1 - alpha):g} % band, {band}", centre, half)
    axis.fill_between(tau, centre - half, centre + half, color=BAND, alpha=0.4, linewidth=0, label=label)
    label = line_label("at the smoothed factors", band, half)
    axis.plot(tau, centre, color=LINE, linewidth=1.6, label=label)
    axis.plot(observed.index, observed.to_numpy(), "o", color="0.2", markersize=4, label="observed")
    _maturity_axis(axis, _rate("yield", units))
    axis.set_title(title, loc="left", fontsize="medium")
    axis.legend(frameon=False, fontsize="small", loc="best")
    return axis.figure


def _rate(what: str, units: str) -> str:
    """Return the label of an axis that shows rates."""
    return f"{what}, {units} a year"


def _maturity_axis(axis: Any, label: str) -> None:
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


Size = tuple[float, float]
_GRID = 120
_TEN_YEARS = 10.0


class Pictures(Forecasts):
    """Methods that plot with matplotlib, into ``fig`` if it is given, and return the Figure."""

    def plot_factors(
        self,
        fig: Any = None,
        figsize: Size | None = None,
        alpha: float = 0.05,
        *,
        param_uncertainty: bool = True,
    ) -> Figure:
        """Plot the smoothed factors, with pointwise bands of coverage 1 - alpha."""
        names = self.model.factor_names
        own = Affine(np.zeros(len(names)), np.eye(len(names)))
        paths = self._implied(lambda c: own, names, None, param_uncertainty, "factor")
        words = _band_words(paths, param_uncertainty)
        return plot_factors(paths.estimate, paths.se, fig=fig, figsize=figsize, alpha=alpha, band=words)

    def plot_loadings(
        self,
        maturities: Any = None,
        *,
        extrapolate: bool = False,
        fig: Any = None,
        figsize: Size | None = None,
    ) -> Figure:
        """Plot the loadings B(tau) of the yields on the factors, by maturity in years (0 to the longest)."""
        tau = self._grid(maturities, extrapolate)
        k = self.model.k_factors
        B = self.model.curves(np.asarray(self.params)).yields(tau).slope[:, :k]
        frame = pd.DataFrame(B, index=tau, columns=self.model.factor_names[:k])
        return plot_loadings(frame, self.model.panel.maturities, fig=fig, figsize=figsize)

    def plot_fit(self, *, fig: Any = None, figsize: Size | None = None) -> Figure:
        """Plot observed and fitted yields with the root mean square error, one panel for each maturity."""
        scale = BASIS_POINTS / self.model.panel.scale
        observed, fitted = self._yields, self.fitted_yields
        return plot_fit(observed, fitted, scale, units=self._units, fig=fig, figsize=figsize)

    def plot_term_premium(
        self,
        maturity: float | None = None,
        definition: str | None = None,
        *,
        param_uncertainty: bool = True,
        extrapolate: bool = False,
        alpha: float = 0.05,
        fig: Any = None,
        figsize: Size | None = None,
    ) -> Figure:
        """
        Plot the yield of a maturity, the yield without the premium, and the premium; see `term_premium`.

        The default maturity is ten years, or the longest maturity of the panel if that is shorter.
        """
        neutral = self._neutral(definition)
        maturity = min(_TEN_YEARS, self.model.panel.longest) if maturity is None else maturity
        tau = one_time(maturity, "maturity", self.model, extrapolate)
        premium = self.term_premium(
            tau, definition, param_uncertainty=param_uncertainty, extrapolate=extrapolate
        )
        curve = self.yield_curve(tau, param_uncertainty=False, extrapolate=extrapolate)
        own = curve.estimate.iloc[:, 0]
        rest = "risk-neutral yield" if neutral else f"short rate expected over {tau:g} years"
        words = (f"yield of {tau:g} years", rest, "term premium")
        band = _band_words(premium, param_uncertainty)
        path = premium.estimate.iloc[:, 0]
        return plot_term_premium(
            own, own - path, path, premium.se.iloc[:, 0], words, band,
            units=self._units, alpha=alpha, fig=fig, figsize=figsize,
        )  # fmt: skip

    def plot_curve(
        self,
        date: Any = None,
        maturities: Any = None,
        *,
        param_uncertainty: bool = True,
        extrapolate: bool = False,
        alpha: float = 0.05,
        fig: Any = None,
        figsize: Size | None = None,
    ) -> Figure:
        """Plot the yield curve of a date in the sample (by default the last) and the observed yields."""
        observed = self._yields
        date = observed.index[-1] if date is None else date
        tau = self._grid(maturities, extrapolate)
        rates = self.yield_curve(tau, date, param_uncertainty=param_uncertainty, extrapolate=extrapolate)
        seen = observed.loc[rates.estimate.index[0]]
        at = rates.estimate.index[0]
        return plot_curve(
            rates.estimate.iloc[0], rates.se.iloc[0],
            pd.Series(np.asarray(seen), index=self.model.panel.maturities),
            str(at.date() if isinstance(at, pd.Timestamp) else at), _band_words(rates, param_uncertainty),
            units=self._units, alpha=alpha, fig=fig, figsize=figsize,
        )  # fmt: skip

    def _grid(self, maturities: Any, extrapolate: bool) -> Any:
        if maturities is not None:
            return years(maturities, "maturities", self.model, extrapolate)
        longest, period = self.model.panel.longest, self.model.panel.period
        grid = np.linspace(longest / _GRID, longest, _GRID)
        return grid if period is None else period * np.unique(np.maximum(np.rint(grid / period), 1.0))

    @property
    def _units(self) -> str:
        return str(self.model._given["units"])
