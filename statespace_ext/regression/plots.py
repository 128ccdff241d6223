"""Plots of the coefficients of a regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..plots import (
    CONSTANT,
    LINE,
    ZERO,
    draw_path,
    entries,
    few_dates,
    legend_above,
    mark_zero,
    new_figure,
    time_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 4
_PANEL = (3.0, 2.1)


def plot_coefficients(
    paths: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    lines: Mapping[str, Mapping[str, float]],
    *,
    fig: Figure | None = None,
    figsize: tuple[float, float] | None = None,
    alpha: float = 0.05,
    filtered: Mapping[str, pd.DataFrame] | None = None,
) -> Figure:
    """
    Plot smoothed coefficients with pointwise bands and the constant coefficient, one panel for each.

    Parameters
    ----------
    paths : mapping of str to (DataFrame, DataFrame)
        Means and standard deviations, (nobs, p), by regressor.
    lines : mapping of str to mapping of str to float
        Least-squares coefficients, by regressor and series. Slopes have none.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.
    alpha : float
        One minus the coverage of the bands.
    filtered : mapping of str to DataFrame, optional
        Filtered means, by regressor; NaN marks periods without one. They do not extend the vertical axis,
        because the first values rest on few periods.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, blocks = _panels(fig, figsize, [mean.shape[1] for mean, _ in paths.values()])
    label = ""
    for block, (name, (mean, se)) in zip(blocks, paths.items(), strict=True):
        for axis, asset in zip(block.ravel(), mean.columns, strict=False):
            label = draw_path(axis, mean[asset], se[asset], alpha, "smoothed coefficient")
            if filtered is not None:
                _beside(axis, filtered[name][asset])
            if name in lines:
                _constant(axis, lines[name][asset])
            axis.set_title(
                str(asset) if len(paths) == 1 else f"{asset}: {name}", fontsize="medium", loc="left"
            )
        _share_scale(block.ravel()[: mean.shape[1]], block.shape[1])
        for axis in block[:, 0]:
            axis.set_ylabel(f"coefficient on {name}", fontsize="small")
    _finish(fig, blocks, label)
    return fig


def _panels(fig: Any, figsize: tuple[float, float] | None, counts: list[int]) -> tuple[Figure, list[Any]]:
    """Return a figure and its panels, one block (rows, columns) for each count of series."""
    deep = -(-max(counts) // _MOST_COLUMNS)
    columns, rows = -(-max(counts) // deep), deep * len(counts)
    fig = new_figure(fig, figsize, (max(_PANEL[0] * columns, 4.5) + 0.6, _PANEL[1] * rows + 0.9))
    axes = fig.subplots(rows, columns, sharex=True, squeeze=False)
    blocks = np.split(axes, len(counts))
    for block, count in zip(blocks, counts, strict=True):
        for axis in block.ravel()[count:]:
            axis.remove()
    return fig, blocks


def _beside(axis: Axes, mean: pd.Series) -> None:
    """Draw a filtered path as a thin dotted line, within the axis limits of the smoothed path."""
    limits, places = axis.get_ylim(), axis.get_lines()[-1].get_xdata(orig=True)
    axis.plot(
        places, mean.to_numpy(), color="0.25", linewidth=1.0, linestyle=":", label="filtered coefficient"
    )
    axis.set_ylim(limits)


def _constant(axis: Axes, value: float) -> None:
    """Draw the constant coefficient as a dashed line, so that it differs from the path without colour."""
    axis.axhline(value, color=CONSTANT, linewidth=1.2, linestyle=(0, (5, 3)), label="least squares, constant")
    axis.tick_params(labelsize="small")


def _share_scale(panels: Any, columns: int) -> None:
    """Give the panels of one regressor the same vertical scale, so that paths compare, and mark zero."""
    low, high = (f(axis.get_ylim()[i] for axis in panels) for i, f in enumerate((min, max)))
    for place, axis in enumerate(panels):
        axis.set_ylim(low, high)
        mark_zero(axis)
        if place % columns:
            axis.tick_params(labelleft=False)


def _finish(fig: Figure, blocks: list[Any], label: str) -> None:
    """Label the time axis under the last panel of each column, and add one legend."""
    axes = np.concatenate(blocks)
    last = {column: axis for row in axes for column, axis in enumerate(row) if axis.figure is not None}
    for axis in last.values():
        axis.set_xlabel(label, fontsize="small")
        axis.tick_params(labelbottom=True)
        few_dates(axis)
    handles, labels = entries(axes)
    order = np.argsort([text.endswith("parameters") for text in labels], kind="stable")
    legend_above(fig, [handles[i] for i in order], [labels[i] for i in order], 3 if axes.shape[1] > 1 else 1)


def plot_lead(
    leads: Mapping[str, pd.DataFrame],
    what: str,
    *,
    fig: Figure | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """
    Plot the cumulative lead of predictions over those of other methods, one panel for each series.

    Parameters
    ----------
    leads : mapping of str to DataFrame
        Lead over each method by period, (periods, p).
    what : str
        Quantity that is cumulated, for the axis label.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    series = list(next(iter(leads.values())).columns)
    fig, blocks = _panels(fig, figsize, [len(series)])
    time = ""
    for axis, asset in zip(blocks[0].ravel(), series, strict=False):
        for (name, lead), style in zip(leads.items(), ("-", (0, (5, 3))), strict=True):
            places, time = time_axis(axis, lead.index)
            colour = LINE if style == "-" else CONSTANT
            axis.plot(places, lead[asset].to_numpy(), color=colour, linestyle=style, label=f"over {name}")
        axis.axhline(0.0, color=ZERO, linewidth=0.6, zorder=0.5)
        axis.set_title(str(asset), fontsize="medium", loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize="small")
    for axis in blocks[0][:, 0]:
        axis.set_ylabel(what, fontsize="small")
    _finish(fig, blocks, time)
    return fig
