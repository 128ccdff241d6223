"""Plots of forecasts (fan charts) and of responses to shocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..engine.arguments import probability
from .paths import BAND, LINE, ZERO, band_label, entries, few_dates, legend_above, new_figure, time_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_COLUMNS = 3


def plot_forecast(
    observed: pd.DataFrame,
    mean: pd.DataFrame,
    se: pd.DataFrame,
    *,
    levels: Sequence[float],
    band: str,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """
    Plot observations and forecasts with intervals of several coverages, one panel for each series.

    Parameters
    ----------
    observed, mean, se : DataFrame, (n + h, p)
        Observations, which are NaN after the sample. Forecasts and standard errors, which are NaN within it.
    levels : sequence of float
        Coverages of the intervals, the smallest first.
    band : str
        Description of the uncertainty in the intervals.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(observed.columns)
    columns = min(len(names), _MOST_COLUMNS)
    rows = -(-len(names) // columns)
    fig = new_figure(fig, figsize, (max(3.6 * columns, 6.0), 2.4 * rows + 0.9))
    axes = fig.subplots(rows, columns, squeeze=False)
    for axis, name in zip(axes.ravel(), names, strict=False):
        places, label = time_axis(axis, observed.index)
        _fan(axis, places, observed[name].to_numpy(), mean[name].to_numpy(), se[name].to_numpy(), levels)
        bare = mean[name].notna().any() and se[name][mean[name].notna()].isna().all()
        title = f"{name}: a parameter has no standard error" if bare else str(name)
        axis.set_title(title, fontsize="medium", loc="left")
        axis.set_xlabel(label, fontsize="small")
        axis.margins(x=0.01)
        axis.tick_params(labelsize="small")
        axis.spines[["top", "right"]].set_visible(False)
        few_dates(axis)
    for axis in axes.ravel()[len(names) :]:
        axis.remove()
    handles, labels = entries(axes)
    labels = [f"{text}, {band}" if text.endswith("intervals") else text for text in labels]
    legend_above(fig, handles, labels, 2)
    return fig


def _fan(axis: Any, places: Any, observed: Any, mean: Any, se: Any, levels: Sequence[float]) -> None:
    """Draw one series; the fan starts at the last period of the sample if that has a value."""
    first = int(np.flatnonzero(np.isfinite(mean))[0]) if np.isfinite(mean).any() else len(mean)
    if first and np.isfinite(observed[first - 1]):
        first, mean = first - 1, mean.copy()
        mean[first] = observed[first]
    axis.plot(places, observed, color="0.25", linewidth=1.2, label="observed")
    after = slice(first, None)
    axis.plot(places[after], mean[after], color=LINE, linewidth=1.4, label="forecast")
    for i, level in enumerate(levels):
        half = norm.ppf(0.5 + 0.5 * level) * se
        axis.fill_between(
            places[after], (mean - half)[after], (mean + half)[after], color=BAND, linewidth=0,
            alpha=0.7 * 0.6**i, zorder=1.0 - 0.1 * i,
        )  # fmt: skip
    words = f"{', '.join(f'{100 * level:g}' for level in levels)} % intervals"
    label = band_label(words, mean[after], norm.ppf(0.5 + 0.5 * max(levels)) * se[after])
    axis.fill_between(places[:0], [], [], color=BAND, alpha=0.6, linewidth=0, label=label)


def plot_responses(
    estimate: pd.DataFrame,
    se: pd.DataFrame,
    *,
    alpha: float = 0.05,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """
    Plot responses to shocks with pointwise intervals, in rows by series and columns by shock.

    Parameters
    ----------
    estimate, se : DataFrame
        Responses and their standard errors, indexed by shock and step, with a column for each series.
    alpha : float
        One minus the coverage of the intervals.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    quantile = norm.ppf(1.0 - probability(alpha, "alpha") / 2.0)
    shocks, series = list(estimate.index.unique(0)), list(estimate.columns)
    fig = new_figure(fig, figsize, (max(2.6 * len(shocks), 4.0) + 0.4, 1.9 * len(series) + 0.9))
    axes = fig.subplots(len(series), len(shocks), sharex=True, sharey="row", squeeze=False)
    for j, shock in enumerate(shocks):
        for i, name in enumerate(series):
            axis, centre = axes[i, j], estimate.loc[shock, name]
            half = quantile * se.loc[shock, name]
            words = f"{100 * (1 - alpha):g} % interval, uncertainty of the parameters"
            axis.fill_between(
                centre.index, centre - half, centre + half, color=BAND, alpha=0.4, linewidth=0,
                label=band_label(words, centre, half),
            )  # fmt: skip
            axis.plot(centre.index, centre, color=LINE, linewidth=1.4, label="response")
            axis.axhline(0.0, color=ZERO, linewidth=0.6, zorder=0.5)
            axis.margins(x=0.01)
            axis.tick_params(labelsize="small")
            axis.spines[["top", "right"]].set_visible(False)
        axes[0, j].set_title(f"shock {shock}", fontsize="medium", loc="left")
        axes[-1, j].set_xlabel("periods after the shock", fontsize="small")
    for i, name in enumerate(series):
        axes[i, 0].set_ylabel(str(name), fontsize="small")
    handles, labels = entries(axes)
    legend_above(fig, handles, labels, 1 if len(shocks) == 1 else 2)
    return fig
