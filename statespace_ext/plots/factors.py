"""Pictures of the factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .paths import ZERO, draw_path, new_figure


def plot_factors(
    smoothed: pd.DataFrame,
    se: pd.DataFrame,
    *,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
    alpha: float = 0.05,
    units: Sequence[str] | None = None,
) -> Any:
    """
    Plot smoothed factors, one panel each, with pointwise bands.

    Parameters
    ----------
    smoothed, se : DataFrame, (nobs, k)
        Means and standard deviations.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in; it keeps its size and layout.
    figsize : (float, float), optional
        Size of a new figure.
    alpha : float
        One minus the coverage of the bands.
    units : sequence of str, optional
        Of each factor; "factor units", which depend on the normalisation, by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    k = smoothed.shape[1]
    fig = new_figure(fig, figsize, (10, 2.4 * k + 0.9))
    axes = np.atleast_1d(fig.subplots(k, 1, sharex=True))
    for axis, name, unit in zip(axes, smoothed.columns, units or ["factor units"] * k, strict=True):
        axis.axhline(0.0, color=ZERO, linewidth=0.6)
        label = draw_path(axis, smoothed[name], se[name], alpha, "smoothed")
        axis.set_ylabel(f"{name} ({unit})")
    # above the first panel, where it covers no data
    axes[0].legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
        frameon=False,
        fontsize="small",
        borderaxespad=0.2,
    )
    axes[-1].set_xlabel(label)
    return fig
