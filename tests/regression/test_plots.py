"""The picture of the coefficients: what it shows and says, not its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, berndt
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy.stats import norm

import statespace_ext as sse
from statespace_ext.regression.plots import plot_coefficients


def paths(p: int, names: tuple[str, ...] = ("MKT",), index: Any = None, n: int = 24) -> tuple[dict, dict]:
    rng = np.random.default_rng(0)
    series = [f"A{i}" for i in range(p)]
    index = pd.RangeIndex(n) if index is None else index
    found, lines = {}, {}
    for name in names:
        mean = pd.DataFrame(np.cumsum(rng.standard_normal((n, p)), axis=0), index=index, columns=series)
        found[name] = mean, mean.abs() * 0.1 + 0.2
        lines[name] = dict(zip(series, rng.standard_normal(p), strict=True))
    return found, lines


def panels(fig: Figure) -> dict[str, Any]:
    return {axis.get_title(loc="left"): axis for axis in fig.axes}


def test_a_panel_shows_path_band_and_constant() -> None:
    found, lines = paths(2)
    axes = panels(plot_coefficients(found, lines, alpha=0.1))
    mean, se = found["MKT"]
    axis = axes["A1"]
    by_label = {line.get_label(): line for line in axis.get_lines()}
    assert_allclose(by_label["smoothed coefficient"].get_ydata(), mean["A1"])
    constant = by_label["least squares, constant"]
    assert_allclose(constant.get_ydata(), lines["MKT"]["A1"])
    assert constant.get_linestyle() == "--"
    (band,) = axis.collections
    edges = band.get_paths()[0].vertices[:, 1]
    half = norm.ppf(0.95) * se["A1"]
    assert_allclose([edges.min(), edges.max()], [(mean["A1"] - half).min(), (mean["A1"] + half).max()])
    assert band.get_label() == "90 % band, given the parameters"


def test_one_legend() -> None:
    fig = plot_coefficients(*paths(3))
    assert all(axis.get_legend() is None for axis in fig.axes)
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "smoothed coefficient",
        "least squares, constant",
        "95 % band, given the parameters",
    ]


@pytest.mark.parametrize(("p", "rows", "columns"), [(1, 1, 1), (4, 1, 4), (5, 2, 3), (6, 2, 3), (12, 3, 4)])
def test_the_grid_wraps(p: int, rows: int, columns: int) -> None:
    fig = plot_coefficients(*paths(p))
    assert len(fig.axes) == p
    grid = fig.axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (rows, columns)
    below = [axis for axis in fig.axes if axis.get_xlabel()]
    assert len(below) == columns
    fig.canvas.draw()
    assert all(any(text.get_text() for text in axis.get_xticklabels()) for axis in below)


def test_a_block_for_each_regressor() -> None:
    fig = plot_coefficients(*paths(5, ("const", "MKT")))
    axes = panels(fig)
    assert list(axes) == [f"A{i}: {name}" for name in ("const", "MKT") for i in range(5)]
    labels = [axis.get_ylabel() for axis in fig.axes if axis.get_ylabel()]
    assert labels == ["coefficient on const"] * 2 + ["coefficient on MKT"] * 2
    for name in ("const", "MKT"):
        limits = {axis.get_ylim() for title, axis in axes.items() if title.endswith(name)}
        assert len(limits) == 1
    assert axes["A0: const"].get_ylim() != axes["A0: MKT"].get_ylim()


@pytest.mark.parametrize(
    "index", [pd.period_range("1990-01", periods=24, freq="M"), pd.date_range("1990", periods=24)]
)
def test_dates(index: Any) -> None:
    fig = plot_coefficients(*paths(2, index=index))
    assert fig.axes[0].get_xlabel() == "date"
    first = num2date(fig.axes[0].get_lines()[0].get_xdata(orig=False)[0])
    assert (first.year, first.month) == (1990, 1)
    fig.canvas.draw()
    assert 2 <= len(fig.axes[0].get_xticks()) <= 7


def test_periods_and_named_indexes() -> None:
    assert plot_coefficients(*paths(1)).axes[0].get_xlabel() == "period"
    index = pd.RangeIndex(24, name="day")
    assert plot_coefficients(*paths(1, index=index)).axes[0].get_xlabel() == "day"


def test_figures_of_the_user() -> None:
    mine = plt.figure(figsize=(5, 4))
    assert plot_coefficients(*paths(2), fig=mine) is mine
    assert_allclose(mine.get_size_inches(), (5, 4))
    assert len(mine.legends) == 1
    assert_allclose(plot_coefficients(*paths(2), figsize=(7, 3)).get_size_inches(), (7, 3))


def test_zero_is_marked_where_it_is_in_sight() -> None:
    found, lines = paths(1)
    mean, se = found["MKT"]
    counts = []
    for shift in (-mean["A0"].mean(), 100.0):
        fig = plot_coefficients({"MKT": (mean + shift, se)}, {"MKT": {"A0": shift + 1}})
        counts.append(len(fig.axes[0].get_lines()))
    assert counts == [3, 2]


def test_the_data_of_the_question(shared_data: Path, tmp_path: Path) -> None:
    y, x = berndt(shared_data)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    res = model.smooth(model.start_params)
    fig = res.plot_coefficients()
    assert list(panels(fig)) == list(y.columns)
    slope = np.linalg.lstsq(x.to_numpy(), y.to_numpy(), rcond=None)[0][1]
    dashed = [line for line in fig.axes[3].get_lines() if line.get_linestyle() == "--"]
    assert_allclose(dashed[0].get_ydata(), slope[3])
    both = res.plot_coefficients(["const", "MKT"])
    assert len(both.axes) == 8
    both.savefig(tmp_path / "coefficients.png")
    with pytest.raises(sse.SpecificationError, match="regressors are unknown"):
        res.plot_coefficients(["SMB"])


def test_filtered_paths_stand_beside_and_keep_the_scale() -> None:
    found, lines = paths(3)
    beside = {"MKT": found["MKT"][0] + 0.1}
    beside["MKT"].iloc[0] = 1e4  # the first ones rest on nothing
    beside["MKT"].iloc[1] = np.nan
    plain, both = (
        panels(plot_coefficients(found, lines)),
        panels(plot_coefficients(found, lines, filtered=beside)),
    )
    for name, axis in both.items():
        line = {each.get_label(): each for each in axis.get_lines()}["filtered coefficient"]
        assert_allclose(line.get_ydata(), beside["MKT"][name])
        assert line.get_linestyle() == ":"
        assert_allclose(axis.get_ylim(), plain[name].get_ylim())


def test_results_draw_filtered_coefficients(shared_data: Path) -> None:
    y, x = berndt(shared_data)
    model = sse.DynamicRegression(
        y[:40], x[:40], dynamics=BETA_MOVES, obs_cov="diagonal", state_cov="diagonal"
    )
    res = model.smooth(model.start_params)
    axes = panels(res.plot_coefficients(filtered=True))
    line = {each.get_label(): each for each in axes["IBM"].get_lines()}["filtered coefficient"]
    assert_allclose(line.get_ydata(), res.coefficients["MKT"].filtered["IBM"])
    with pytest.raises(sse.SpecificationError, match="filtered"):
        res.plot_coefficients(filtered="yes")
