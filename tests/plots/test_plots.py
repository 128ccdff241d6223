"""Structure of the figures: what is drawn where, with which words. Their looks are not compared here."""

from __future__ import annotations

import re
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import statespace_ext as sse
from statespace_ext.plots import plot_factors

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.collections import PolyCollection  # noqa: E402
from matplotlib.dates import date2num  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

N = 40
INDEXES = {
    "dates": pd.date_range("1990-01-31", periods=N, freq="D"),
    "periods": pd.period_range("1990Q1", periods=N, freq="Q"),
    "range": pd.RangeIndex(N),
    "integers": pd.Index(np.arange(100, 100 + N)),
}


def frames(k: int, index: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Factors and standard deviations."""
    rng = np.random.default_rng(0)
    names = [f"f{i + 1}" for i in range(k)]
    mean = pd.DataFrame(rng.normal(size=(len(index), k)), index=index, columns=names)
    return mean, pd.DataFrame(rng.uniform(0.1, 1.0, size=mean.shape), index=index, columns=names)


def band_edges(axis: plt.Axes) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of the one band of a panel, over time."""
    (band,) = [item for item in axis.collections if isinstance(item, PolyCollection)]
    points = band.get_paths()[0].vertices
    places = np.unique(points[:, 0])
    ends = [points[points[:, 0] == place, 1] for place in places]
    return np.array([low.min() for low in ends]), np.array([high.max() for high in ends])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("kind", INDEXES)
def test_panels_labels_and_legend(k: int, kind: str) -> None:
    mean, se = frames(k, INDEXES[kind])
    fig = plot_factors(mean, se)
    assert isinstance(fig, Figure)
    assert [axis.get_ylabel() for axis in fig.axes] == [f"f{i + 1} (factor units)" for i in range(k)]
    assert [axis.get_xlabel() for axis in fig.axes[:-1]] == [""] * (k - 1)
    assert fig.axes[-1].get_xlabel() == ("date" if kind in ("dates", "periods") else "period")
    legends = [axis.get_legend() for axis in fig.axes]
    assert [text.get_text() for text in legends[0].get_texts()] == [
        "95 % band, given the parameters",
        "smoothed",
    ]
    assert legends[1:] == [None] * (k - 1)


@pytest.mark.parametrize("kind", INDEXES)
def test_line_and_band_are_the_numbers(kind: str) -> None:
    mean, se = frames(2, INDEXES[kind])
    fig = plot_factors(mean, se, alpha=0.1)
    for axis, name in zip(fig.axes, mean, strict=True):
        (line,) = [item for item in axis.lines if item.get_label() == "smoothed"]
        np.testing.assert_array_equal(line.get_ydata(), mean[name])
        low, high = band_edges(axis)
        np.testing.assert_allclose(low, mean[name] - norm.ppf(0.95) * se[name])
        np.testing.assert_allclose(high, mean[name] + norm.ppf(0.95) * se[name])
    assert fig.axes[0].get_legend().get_texts()[0].get_text().startswith("90 % band")


def test_periods_stand_at_their_dates() -> None:
    index = INDEXES["periods"]
    fig = plot_factors(*frames(1, index))
    line = next(item for item in fig.axes[0].lines if item.get_label() == "smoothed")
    np.testing.assert_array_equal(date2num(line.get_xdata()), date2num(index.to_timestamp()))


def test_name_of_the_index_is_the_label() -> None:
    fig = plot_factors(*frames(1, INDEXES["periods"].rename("quarter")))
    assert fig.axes[0].get_xlabel() == "quarter"


def test_legend_covers_no_data() -> None:
    fig = plot_factors(*frames(3, INDEXES["dates"]))
    fig.canvas.draw()
    legend = fig.axes[0].get_legend().get_window_extent()
    assert not any(legend.overlaps(axis.get_window_extent()) for axis in fig.axes)
    assert fig.bbox.containsx(legend.x0) and fig.bbox.containsx(legend.x1) and fig.bbox.containsy(legend.y1)


def test_given_figure_is_drawn_in() -> None:
    given = plt.figure(figsize=(5, 4))
    assert plot_factors(*frames(2, INDEXES["range"]), fig=given, figsize=(9, 9)) is given
    assert len(given.axes) == 2
    assert tuple(given.get_size_inches()) == (5, 4)
    assert plt.get_fignums() == [given.number]


def test_given_part_of_a_figure_is_drawn_in() -> None:
    left, right = plt.figure().subfigures(1, 2)
    plot_factors(*frames(2, INDEXES["range"]), fig=right)
    assert (len(left.axes), len(right.axes)) == (0, 2)


def test_size_of_a_new_figure() -> None:
    assert tuple(plot_factors(*frames(1, INDEXES["range"]), figsize=(6, 2)).get_size_inches()) == (6, 2)
    heights = [plot_factors(*frames(k, INDEXES["range"])).get_size_inches()[1] for k in (1, 3)]
    assert heights[1] > 2 * heights[0]


@pytest.fixture(scope="module")
def results() -> sse.LGSSMResults:
    """Two factors behind four series with gaps."""
    rng = np.random.default_rng(3)
    x = np.zeros((80, 2))
    for t in range(1, len(x)):
        x[t] = 0.7 * x[t - 1] + rng.normal(size=2)
    y = x @ rng.normal(size=(2, 4)) + rng.normal(size=(80, 4))
    y[10:14] = np.nan
    y[:5, 2] = np.nan
    endog = pd.DataFrame(y, index=pd.period_range("2000-01", periods=80, freq="M"), columns=list("abcd"))
    model = sse.LGSSM(endog, k_factors=2, identification="triangular")
    return model.smooth(model.start_params)


def test_factors_of_results(results: sse.LGSSMResults) -> None:
    fig = results.plot_factors(alpha=0.32)
    assert [axis.get_ylabel() for axis in fig.axes] == [f"f{i} (s.d. of its innovation)" for i in (1, 2)]
    line = next(item for item in fig.axes[1].lines if item.get_label() == "smoothed")
    np.testing.assert_array_equal(line.get_ydata(), results.factors.smoothed["f2"])
    low, high = band_edges(fig.axes[1])
    np.testing.assert_allclose(high - low, 2 * norm.ppf(0.84) * results.factors.smoothed_se["f2"])
    given = plt.figure()
    assert results.plot_factors(fig=given) is given


@pytest.mark.parametrize(
    ("identification", "labels"),
    [("unit", ["f1 (units of a)", "f2 (units of b)"]), (None, ["f1 (factor units)", "f2 (factor units)"])],
)
def test_factors_have_the_units_of_their_normalisation(
    results: sse.LGSSMResults, identification: str | None, labels: list[str]
) -> None:
    model = results.model.clone(results.model.data.orig_endog, identification=identification)
    fig = model.smooth(model.start_params).plot_factors()
    assert [axis.get_ylabel() for axis in fig.axes] == labels


def test_a_missing_matplotlib_is_named(results: sse.LGSSMResults, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(sse.ConvergenceWarning):
        fitted = results.model.fit(method="em", maxiter=1, cov_type="none")
    for module in ("matplotlib.pyplot", "matplotlib.ticker"):
        monkeypatch.setitem(sys.modules, module, None)
    for plot in (results.plot_factors, results.plot_diagnostics, fitted.plot_em_trace):
        with pytest.raises(sse.UnsupportedError, match=r"matplotlib, which is not installed.*\[plot\]"):
            plot()


@pytest.mark.parametrize("variable", [0, 2, 3])
def test_diagnostics_of_each_series(results: sse.LGSSMResults, variable: int) -> None:
    """`plot_diagnostics` of statsmodels works on several series, by place."""
    fig = results.plot_diagnostics(variable=variable, fig=plt.figure())
    assert len(fig.axes) == 4
    assert f'"{"abcd"[variable]}"' in fig.axes[0].get_title()
    shown = fig.axes[0].lines[0].get_ydata()
    residuals = results.standardized_forecasts_error[variable]
    seen = ~np.isnan(results.model.endog[:, variable])
    np.testing.assert_allclose(np.asarray(shown)[-30:], residuals[-30:])
    assert np.all(np.isfinite(residuals[seen]))


# -- what is drawn where it can be seen ----------------------------------------------------------------------


def flat_lines(axis: plt.Axes) -> list[float]:
    """Heights of the horizontal lines through a whole panel."""
    return [line.get_ydata()[0] for line in axis.lines if list(line.get_xdata()) == [0, 1]]


@pytest.mark.parametrize(("level", "lines"), [(0.0, [0.0]), (64.0, []), (-9.0, [])])
def test_a_line_at_zero_does_not_extend_the_axis(level: float, lines: list[float]) -> None:
    mean, se = frames(1, INDEXES["range"])
    (axis,) = plot_factors(mean + level, 0.1 * se).axes
    assert flat_lines(axis) == lines
    low, high = axis.get_ylim()
    assert high - low < 1.3 * float((mean + 0.4 * se).max().item() - (mean - 0.4 * se).min().item())


@pytest.mark.parametrize(("size", "shown"), [(0.0, False), (1e-4, False), (np.nan, False), (1.0, True)])
def test_a_band_that_cannot_be_seen_is_not_in_the_legend(size: float, shown: bool) -> None:
    mean, se = frames(2, INDEXES["periods"])
    fig = plot_factors(mean, size * se)
    texts = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert texts == ["95 % band, given the parameters"] * shown + ["smoothed"]


def test_a_band_of_one_panel_alone_is_in_the_legend() -> None:
    mean, se = frames(2, INDEXES["periods"])
    fig = plot_factors(mean, se.assign(f1=0.0))
    assert len(fig.axes[0].get_legend().get_texts()) == 2


@pytest.mark.parametrize("index", [pd.RangeIndex(1961, 1969), pd.period_range("1961", periods=8, freq="Y")])
def test_years_are_shown_as_years(index: pd.Index) -> None:
    mean, se = frames(1, index)
    fig = plot_factors(mean, se)
    fig.canvas.draw()
    ticks = [text.get_text() for text in fig.axes[0].get_xticklabels() if text.get_text()]
    assert len(ticks) >= 3 and all(re.fullmatch(r"19[67]\d", tick) for tick in ticks)
    assert len(set(ticks)) == len(ticks)
    assert fig.axes[0].get_xlabel() == ("date" if isinstance(index, pd.PeriodIndex) else "year")


def test_states_of_an_identity_design_have_the_names_of_the_series() -> None:
    y = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)).cumsum(axis=0), columns=["hare", "lynx"])
    for arguments, names in (({}, ["hare", "lynx"]), ({"factor_names": ["p", "q"]}, ["p", "q"])):
        model = sse.LGSSM(y, 2, design="identity", obs_intercept="zero", **arguments)
        fig = model.smooth(model.start_params).plot_factors()
        assert [axis.get_ylabel() for axis in fig.axes] == [f"{name} (units of the series)" for name in names]
    model = sse.LGSSM(y, 2, design=[[1, 0], [1, 1]], obs_intercept="zero")
    labels = [axis.get_ylabel() for axis in model.smooth(model.start_params).plot_factors().axes]
    assert labels == ["f1 (factor units)", "f2 (factor units)"]


def test_the_trace_of_a_fit(results: sse.LGSSMResults) -> None:
    with pytest.raises(sse.UnsupportedError, match="do not come from a fit"):
        results.plot_em_trace()
    with pytest.warns(sse.ConvergenceWarning):
        res = results.model.fit(method="em", maxiter=4)
    (axis,) = res.plot_em_trace().axes
    (line,) = axis.lines
    llf = res.em_trace["llf"].to_numpy()
    np.testing.assert_allclose(np.asarray(line.get_ydata())[:-1], llf.max() - llf[:-1])
    assert axis.get_yscale() == "log"
