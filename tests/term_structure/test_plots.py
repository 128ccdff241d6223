"""Structure of the pictures of `ATSM`: what is drawn where, with which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from yields import random_panel

import statespace_ext as sse

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.collections import PolyCollection  # noqa: E402
from matplotlib.text import Text  # noqa: E402

TAU = np.array([0.25, 1.0, 3.0, 5.0, 7.0, 10.0])


@pytest.fixture(scope="module")
def res() -> Any:
    """Return results at the start values, with a missing yield on the last date."""
    y = random_panel(np.random.default_rng(4), 60, TAU)
    y.iloc[-1, 2] = np.nan
    model = sse.ATSM(y, TAU, identification="afns")
    return model.smooth(model.start_params)


def test_loadings_are_those_of_nelson_and_siegel(res: Any) -> None:
    (axis,) = res.plot_loadings().axes
    lines = {line.get_label(): line for line in axis.lines}
    tau, slope = lines["slope"].get_data()
    x = res.params["decay"] * tau if hasattr(res.params, "index") else res.params[0] * tau
    assert_allclose(slope, (1 - np.exp(-x)) / x, rtol=1e-10)
    assert_allclose(lines["level"].get_ydata(), 1.0)
    assert tau[-1] == 10.0 and axis.get_xlabel() == "maturity in years"
    assert_allclose(res.plot_loadings([1.0, 2.0]).axes[0].lines[1].get_xdata(), [1.0, 2.0])


def test_fit_has_a_panel_a_maturity_with_its_error(res: Any) -> None:
    fig = res.plot_fit()
    assert len(fig.axes) == len(TAU)
    rmse = res.pricing_error_summary()["rmse"]
    for axis, name in zip(fig.axes, rmse.index, strict=True):
        assert axis.get_title(loc="left") == f"{name}: rmse {rmse[name]:.1f} bp"
        assert_allclose(axis.lines[0].get_ydata(), res.fitted_yields[name])
        assert_allclose(axis.lines[1].get_ydata(), res._yields[name])


@pytest.mark.parametrize("definition", ["expected", "risk-neutral"])
def test_term_premium_is_the_distance_of_the_upper_lines(res: Any, definition: str) -> None:
    upper, lower = res.plot_term_premium(7, definition).axes
    above, below = (line.get_ydata() for line in upper.lines[:2])
    premium = res.term_premium(7, definition)
    assert_allclose(above - below, premium.estimate.iloc[:, 0], atol=1e-14)
    assert_allclose(lower.lines[0].get_ydata(), premium.estimate.iloc[:, 0])
    words = [text.get_text() for text in upper.get_legend().get_texts()]
    expected = {"expected": "short rate expected over 7 years", "risk-neutral": "risk-neutral yield"}
    assert words == ["yield of 7 years", expected[definition]]


def test_band_of_the_premium_with_the_uncertainty_of_the_parameters() -> None:
    y = random_panel(np.random.default_rng(4), 60, TAU, k=1)
    fitted = sse.ATSM(y, TAU, k_factors=1, obs_cov="scalar").fit()
    lower = fitted.plot_term_premium(7).axes[1]
    (band,) = [item for item in lower.collections if isinstance(item, PolyCollection)]
    assert band.get_label() == "95 % band, uncertainty of the parameters included"
    premium = fitted.term_premium(7)
    edges = band.get_paths()[0].vertices[:, 1]
    assert_allclose(edges.min(), premium.lower().min().iloc[0])
    assert_allclose(edges.max(), premium.upper().max().iloc[0])


def test_bands_say_what_they_contain() -> None:
    model = sse.ATSM(random_panel(np.random.default_rng(4), 60, TAU), TAU, identification="afns")
    res = model.smooth(model.start_params, cov_type="none")
    given = {"param_uncertainty": False}
    for draw, axis in ((res.plot_factors, 0), (res.plot_curve, 0), (res.plot_term_premium, 1)):
        for options, words in (({}, "no standard errors"), (given, "given the parameters")):
            figure = draw(**options)
            assert words in " ".join(figure.axes[axis].get_legend_handles_labels()[1])


def test_curve_of_a_date(res: Any) -> None:
    (axis,) = res.plot_curve("1993-05-31", param_uncertainty=False).axes
    assert axis.get_title(loc="left") == "1993-05-31"
    day = pd.Timestamp("1993-05-31")
    assert_allclose(axis.lines[1].get_ydata(), res._yields.loc[day])
    tau = axis.lines[0].get_xdata()
    assert_allclose(axis.lines[0].get_ydata(), res.yield_curve(tau, day).estimate.iloc[0])
    (band,) = [item for item in axis.collections if isinstance(item, PolyCollection)]
    assert band.get_label().startswith("95 % band")


def test_curve_of_the_last_date_leaves_out_what_is_missing(res: Any) -> None:
    (axis,) = res.plot_curve(alpha=0.1, param_uncertainty=False).axes
    assert np.isnan(axis.lines[1].get_ydata()).sum() == 1
    assert axis.collections[0].get_label().startswith("90 % band")
    with pytest.raises(sse.DataError, match="not in the sample"):
        res.plot_curve("1950-01-31")


def test_factors_have_a_panel_each(res: Any) -> None:
    assert [axis.get_ylabel().split()[0] for axis in res.plot_factors().axes] == res.model.factor_names


def test_a_given_figure_is_drawn_into(res: Any) -> None:
    for draw in (res.plot_factors, res.plot_loadings, res.plot_fit, res.plot_term_premium, res.plot_curve):
        fig = plt.figure(figsize=(5, 5))
        assert draw(fig=fig) is fig and fig.axes


@pytest.mark.parametrize("units", ["decimal", "percent"])
def test_the_axes_say_in_what_units_rates_are(units: str) -> None:
    y = random_panel(np.random.default_rng(4), 60, TAU) * (100.0 if units == "percent" else 1.0)
    model = sse.ATSM(y, TAU, identification="afns", units=units)
    res = model.smooth(model.start_params)
    for draw in (res.plot_fit, res.plot_term_premium, res.plot_curve):
        assert draw().axes[0].get_ylabel().endswith(f", {units} a year")


def test_the_premium_of_the_default_maturity(res: Any) -> None:
    """Ten years, or the longest maturity of a shorter panel."""
    short = sse.ATSM(random_panel(np.random.default_rng(3), 60, TAU[:3]), TAU[:3], 2)
    for figure, words in (
        (res.plot_term_premium(), "yield of 10 years"),
        (short.smooth(short.start_params).plot_term_premium(), "yield of 3 years"),
    ):
        assert any(text.get_text() == words for text in figure.findobj(Text))
