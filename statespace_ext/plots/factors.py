"""Pictures of the factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm


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
        Figure to draw in.
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
        fig = plt.figure(figsize=figsize or (10, 2.6 * k + 0.6), layout="constrained")
    axes = np.atleast_1d(fig.subplots(k, 1, sharex=True))
    index = smoothed.index.to_timestamp() if isinstance(smoothed.index, pd.PeriodIndex) else smoothed.index
    quantile = norm.ppf(1.0 - alpha / 2.0)
    for axis, name in zip(axes, smoothed.columns, strict=True):
        mean, band = smoothed[name].to_numpy(), quantile * se[name].to_numpy()
        axis.fill_between(
            index, mean - band, mean + band, color="#56B4E9", alpha=0.4, linewidth=0,
            label=f"{100 * (1 - alpha):g} % band, given the parameters",
        )  # fmt: skip
        axis.plot(index, mean, color="#0072B2", linewidth=1.4, label="smoothed")
        axis.axhline(0.0, color="0.6", linewidth=0.6)
        axis.set_ylabel(f"{name} (units of the factor)")
    axes[0].legend(loc="best", frameon=False, fontsize="small")
    axes[-1].set_xlabel("date" if isinstance(index, pd.DatetimeIndex) else "period")
    return fig
