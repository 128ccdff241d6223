"""Pictures of what is known of the parameters: over windows of the sample, and by their profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .paths import CONSTANT, LINE, ZERO, draw_path, few_dates, legend_above, new_figure

_MOST_COLUMNS = 3
_PANEL = (3.4, 2.1)


def plot_windows(
    params: pd.DataFrame,
    bse: pd.DataFrame,
    lines: Mapping[str, float],
    *,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
    alpha: float = 0.05,
) -> Any:
    """
    Plot estimates by the end of their window, one panel a parameter, with bands.

    Parameters
    ----------
    params, bse : DataFrame
        Estimates and standard errors, one row a window.
    lines : mapping of str to float
        Estimates on the whole sample, where they are known.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.
    alpha : float
        One minus the coverage of the bands.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = [str(name) for name in params]
    columns = min(len(names), _MOST_COLUMNS)
    rows = -(-len(names) // columns)
    fig = new_figure(fig, figsize, (max(_PANEL[0] * columns, 4.5), _PANEL[1] * rows + 0.6))
    axes = np.ravel(fig.subplots(rows, columns, sharex=True, squeeze=False))
    for axis, name in zip(axes, names, strict=False):
        draw_path(axis, params[name], bse[name], alpha, "window", "window by window")
        if name in lines:
            axis.axhline(lines[name], color=CONSTANT, linewidth=1.0, linestyle="--", label="whole sample")
        axis.set_title(name, fontsize="small", loc="left")
        few_dates(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    for axis in axes[max(0, len(names) - columns) : len(names)]:  # the lowest of each column
        axis.tick_params(labelbottom=True)
    handles, labels = axes[0].get_legend_handles_labels()
    legend_above(fig, handles, labels, 3)
    return fig


def plot_profile(
    name: str,
    ratios: pd.Series,
    estimate: float,
    interval: tuple[float, float],
    cut: float,
    *,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """
    Plot likelihood ratios by the value of a parameter, with the cut and the interval.

    Parameters
    ----------
    name : str
        The parameter.
    ratios : Series
        Likelihood ratios, indexed by the values.
    estimate : float
        The estimate.
    interval : (float, float)
        Ends, which may be infinite.
    cut : float
        The ratio at the ends.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig = new_figure(fig, figsize, (5.0, 3.2))
    axis = fig.subplots()
    axis.plot(ratios.index, ratios.to_numpy(), color=LINE, marker="o", markersize=3, linewidth=1.2)
    axis.axhline(cut, color=CONSTANT, linewidth=1.0, linestyle="--")
    for end in interval:
        if np.isfinite(end):
            axis.axvline(end, color=CONSTANT, linewidth=0.8)
    axis.axvline(estimate, color=ZERO, linewidth=0.8)
    axis.set_xlabel(name)
    axis.set_ylabel("likelihood ratio")
    axis.spines[["top", "right"]].set_visible(False)
    return fig
