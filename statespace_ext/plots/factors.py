"""Pictures of the factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

_LINE, _BAND, _ZERO = "#0072B2", "#56B4E9", "0.6"
"""Colours that readers who confuse red and green can tell apart."""


def plot_factors(
    smoothed: pd.DataFrame,
    se: pd.DataFrame,
    *,
    fig: Any = None,
    figsize: tuple[float, float] | None = None,
    alpha: float = 0.05,
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

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    k = smoothed.shape[1]
    if fig is None:
        fig = plt.figure(figsize=figsize or (10, 2.4 * k + 0.9), layout="constrained")
    axes = np.atleast_1d(fig.subplots(k, 1, sharex=True))
    places, label = _time_axis(smoothed.index)
    quantile = norm.ppf(1.0 - alpha / 2.0)
    for axis, name in zip(axes, smoothed.columns, strict=True):
        mean, band = smoothed[name].to_numpy(), quantile * se[name].to_numpy()
        axis.axhline(0.0, color=_ZERO, linewidth=0.6)
        axis.fill_between(
            places, mean - band, mean + band, color=_BAND, alpha=0.4, linewidth=0,
            label=f"{100 * (1 - alpha):g} % band, given the parameters",
        )  # fmt: skip
        axis.plot(places, mean, color=_LINE, linewidth=1.4, label="smoothed")
        axis.set_ylabel(f"{name} (factor units)")
        axis.margins(x=0.01)
        axis.spines[["top", "right"]].set_visible(False)
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


def _time_axis(index: pd.Index) -> tuple[Any, str]:
    """Return where the periods stand on the axis, and its label: the name of the index if it has one."""
    if isinstance(index, pd.PeriodIndex):
        return index.to_timestamp(), str(index.name or "date")
    return index, str(index.name or ("date" if isinstance(index, pd.DatetimeIndex) else "period"))
