"""Plots that several families share: paths of factors, fan charts of forecasts, responses to shocks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from .engine.arguments import probability
from .engine.validation import read_dates
from .exceptions import SpecificationError, UnsupportedError
from .numerics.linear_algebra import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Size = tuple[float, float]
"""Width and height in inches."""
LINE, BAND, CONSTANT, ZERO = "#0072B2", "#56B4E9", "#D55E00", "0.6"
"""Colours that readers with red-green colour blindness can distinguish."""
_FIRST_YEAR, _LAST_YEAR = 1500, 2200
"""Whole numbers in this range count as years on an axis."""


def new_figure(fig: Figure | None, figsize: Size | None, default: Size) -> Any:
    """
    Return the given figure, or a new one.

    Raises
    ------
    SpecificationError
        If ``fig`` is not a Figure, or ``figsize`` is not a pair of positive numbers.
    UnsupportedError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.figure import FigureBase
    except ImportError as error:
        raise UnsupportedError(
            "Plots need matplotlib, which is not installed",
            remedy='Install it: pip install "statespace-ext[plot]".',
        ) from error

    if fig is not None:
        if not isinstance(fig, FigureBase):
            raise SpecificationError(
                "fig must be a matplotlib figure", got=repr(fig), expected="a matplotlib Figure"
            )
        return fig
    size = default if figsize is None else figsize
    pair = isinstance(size, (tuple, list, np.ndarray)) and len(size) == 2
    if not pair or not all(isinstance(x, Real) and 0.0 < float(x) < np.inf for x in size):
        raise SpecificationError(
            "figsize must be two positive numbers", got=repr(size), expected="(width, height) in inches"
        )
    return plt.figure(figsize=size, layout="constrained")


def panel_grid(
    fig: Any, figsize: Any, count: int, panel: Size, margin: float = 0.6, most: int = 3, **shared: Any
) -> tuple[Any, Any]:
    """
    Return a figure and its panels (rows, columns), of which only the first ``count`` are there.

    There are at most ``most`` columns. A new figure has by default the size of the panels, with a ``margin``
    for the legend above them.
    """
    columns = min(count, most)
    rows = -(-count // columns)
    fig = new_figure(fig, figsize, (max(panel[0] * columns, 4.5), panel[1] * rows + margin))
    axes = fig.subplots(rows, columns, squeeze=False, **shared)
    for axis in axes.ravel()[count:]:
        axis.remove()
    return fig, axes


_GIVEN = "given the parameters"
_SEEN = 0.004
"""Width of a band, as a share of the height of the panel, below which it hides behind its line."""


def draw_path(
    axis: Axes, mean: pd.Series, se: pd.Series, alpha: float, label: str, band: str = _GIVEN
) -> str:
    """
    Draw means with a pointwise band of coverage 1 - alpha; return the label of the time axis.

    A band that cannot be seen has no entry in the legend.
    """
    alpha = probability(alpha, "alpha")
    places, time = time_axis(axis, mean.index)
    centre, half = mean.to_numpy(), norm.ppf(1.0 - alpha / 2.0) * se.to_numpy()
    words = band_label(f"{100 * (1 - alpha):g} % band, {band}", centre, half)
    axis.fill_between(places, centre - half, centre + half, color=BAND, alpha=0.4, linewidth=0, label=words)
    axis.plot(places, centre, color=LINE, linewidth=1.4, label=line_label(label, band, half))
    axis.margins(x=0.01)
    axis.spines[["top", "right"]].set_visible(False)
    return time


def band_label(words: str, centre: Array, half: Array) -> str:
    """Return the entry of a band in the legend, which matplotlib leaves out if the band cannot be seen."""
    ends = np.concatenate([np.ravel(centre - half), np.ravel(centre + half)])
    ends = ends[np.isfinite(ends)]
    return words if ends.size and 2.0 * np.nanmax(half) > _SEEN * np.ptp(ends) else "_nolegend_"


def line_label(label: str, band: str, half: Array) -> str:
    """Return the entry of a line in the legend, with the reason why it has no band."""
    return f"{label} (band {band})" if band != _GIVEN and np.isnan(half).all() else label


def mark_zero(axis: Axes) -> None:
    """Draw a line at zero if zero is within the limits of the vertical axis."""
    low, high = axis.get_ylim()
    if low < 0.0 < high:
        axis.axhline(0.0, color=ZERO, linewidth=0.6, zorder=0.5)


def time_axis(axis: Axes, index: pd.Index) -> tuple[Any, str]:
    """
    Return the positions of the periods on an axis, and its label, which is the name of the index.

    Labels that are neither dates nor numbers have equal distances, and only a few of them are shown.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    read = read_dates(index)
    if isinstance(read, pd.PeriodIndex):
        with warnings.catch_warnings():  # pandas deprecates periods of business days
            warnings.simplefilter("ignore", FutureWarning)
            read = read.to_timestamp()
    if isinstance(read, pd.DatetimeIndex):
        return read, str(index.name or "date")
    if pd.api.types.is_numeric_dtype(read.dtype):
        what = _whole_numbers(axis, read) if pd.api.types.is_integer_dtype(read.dtype) else "period"
        return read, str(index.name or what)
    labels = [str(label) for label in index]
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda at, _: labels[int(at)] if 0 <= at < len(labels) else "")
    )
    return np.arange(len(labels)), str(index.name or "period")


def _whole_numbers(axis: Axes, numbers: pd.Index) -> str:
    """Put ticks at whole numbers only (years, say: none at 1962.5), and return what the numbers are."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.ticklabel_format(axis="x", useOffset=False)
    years = len(numbers) and np.all((numbers >= _FIRST_YEAR) & (numbers <= _LAST_YEAR))
    return "year" if years else "period"


def plain_panel(axis: Axes) -> None:
    """Give a small panel small labels, narrow margins and no frame on two sides."""
    axis.margins(x=0.01)
    axis.tick_params(labelsize="small")
    axis.spines[["top", "right"]].set_visible(False)


def few_dates(axis: Axes) -> None:
    """Reduce the number of dates on the axis of a small panel."""
    import matplotlib.dates as mdates

    if isinstance(axis.xaxis.get_major_locator(), mdates.AutoDateLocator):
        locator = mdates.AutoDateLocator(minticks=3, maxticks=5)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        formatter = mdates.ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_formatter(formatter)


def entries(axes: Any) -> tuple[list[Any], list[str]]:
    """Return the entries of one legend for several panels: each label once."""
    found: dict[str, Any] = {}
    for axis in np.ravel(axes):
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def legend_above(fig: Figure, handles: list[Any], labels: list[str], columns: int) -> None:
    """Add one legend for all panels above them."""
    constrained = type(fig.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    place: Any = "outside upper center" if constrained else "upper center"
    fig.legend(handles, labels, loc=place, ncols=columns, frameon=False, fontsize="small")


def plot_factors(
    smoothed: pd.DataFrame,
    se: pd.DataFrame,
    *,
    fig: Figure | None = None,
    figsize: Size | None = None,
    alpha: float = 0.05,
    units: Sequence[str] | None = None,
    band: str = _GIVEN,
) -> Figure:
    """
    Plot smoothed factors with pointwise bands, one panel for each factor.

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
        Units of each factor. The default "factor units" depend on the normalisation.
    band : str
        Description of the uncertainty in the bands.

    Returns
    -------
    matplotlib.figure.Figure
    """
    k = smoothed.shape[1]
    fig = new_figure(fig, figsize, (10, 2.4 * k + 0.9))
    axes = np.atleast_1d(fig.subplots(k, 1, sharex=True))
    for axis, name, unit in zip(axes, smoothed.columns, units or ["factor units"] * k, strict=True):
        label = draw_path(axis, smoothed[name], se[name], alpha, "smoothed", band)
        mark_zero(axis)
        axis.set_ylabel(f"{name} ({unit})")
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}  # covers no data
    axes[0].legend(*entries(axes), ncols=2, frameon=False, fontsize="small", **above)
    axes[-1].set_xlabel(label)
    return fig


def plot_forecast(
    observed: pd.DataFrame,
    mean: pd.DataFrame,
    se: pd.DataFrame,
    *,
    levels: Sequence[float],
    band: str,
    fig: Figure | None = None,
    figsize: Size | None = None,
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
    fig, axes = panel_grid(fig, figsize, len(names), (max(3.6, 6.0 / len(names)), 2.4), 0.9)
    for axis, name in zip(axes.ravel(), names, strict=False):
        places, label = time_axis(axis, observed.index)
        _fan(axis, places, observed[name].to_numpy(), mean[name].to_numpy(), se[name].to_numpy(), levels)
        bare = mean[name].notna().any() and se[name][mean[name].notna()].isna().all()
        title = f"{name}: a parameter has no standard error" if bare else str(name)
        axis.set_title(title, fontsize="medium", loc="left")
        axis.set_xlabel(label, fontsize="small")
        plain_panel(axis)
        few_dates(axis)
    handles, labels = entries(axes)
    labels = [f"{text}, {band}" if text.endswith("intervals") else text for text in labels]
    legend_above(fig, handles, labels, 2)
    return fig


def _fan(axis: Axes, places: Any, observed: Array, mean: Array, se: Array, levels: Sequence[float]) -> None:
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
