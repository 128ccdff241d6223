"""Forecasts out of sample: the random walk of two panels, and forecasts computed origin by origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from yields import panel, random_panel

import statespace_ext as sse

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
FEW: dict[str, Any] = {"fit_options": {"method": "two-step"}}
"""The benchmark does not depend on the fits."""


def at_start(y: pd.DataFrame, tau: Any, k: int = 1, **options: Any) -> Any:
    model = sse.ATSM(y, tau, k, **options)
    return model.smooth(model.start_params, cov_type="none")


@pytest.mark.parametrize(
    ("name", "window", "tau", "wanted"),
    [
        ("dra", 265, [0.25, 1, 3, 5, 10], [0.894, 0.940, 1.018, 1.040, 0.971]),
        ("jsz", 133, [0.5, 1, 3, 5, 10], [1.331, 1.224, 1.029, 0.841, 0.605]),
    ],
)
def test_the_random_walk_twelve_months_ahead(
    shared_data: Path, name: str, window: int, tau: list[float], wanted: list[float]
) -> None:
    """Diebold & Li's panel, origins 1994-01 to 1999-12; JSZ's zeros, the last 72 origins."""
    y, own = panel(shared_data, name, "percent")
    keep = [int(np.argmin(abs(own - each))) for each in tau]
    res = at_start(y.iloc[:, keep], own[keep], units="percent")
    found = res.rolling_evaluation([1, 12], tau, window=window, refit_every=72, **FEW)
    assert len(found.errors) == 72
    if name == "dra":
        assert [str(date)[:7] for date in found.errors.index[[0, -1]]] == ["1994-01", "1999-12"]
    assert_allclose(found.summary().loc[12, "rmse_benchmark"], wanted, atol=5.01e-4)


@pytest.fixture(scope="module")
def evaluated() -> tuple[Any, Any]:
    y = random_panel(np.random.default_rng(6), 80, TAU, 2)
    y.iloc[70, 1] = np.nan
    res = at_start(y, TAU, 2)
    return res, res.rolling_evaluation([1, 3], window=60, refit_every=10, **FEW)


def test_forecasts_are_those_of_each_origin(evaluated: tuple[Any, Any]) -> None:
    """A model estimated on the window, filtered to the origin, and its own forecasts."""
    res, found = evaluated
    y = res.model.data.orig_endog
    assert len(found.errors) == 18 and list(found.refits["origin"]) == list(y.index[[59, 69]])
    for block in (60, 70):
        first = sse.ATSM(y.iloc[:block], TAU, 2)
        fitted = first.fit(method="two-step", cov_type="none")
        for origin in (block, block + 4):
            model = first.clone(y.iloc[:origin], portfolio_weights=first.panel.weights)
            ahead = model.smooth(fitted.params, cov_type="none").forecast_yields(3, param_uncertainty=False)
            for step in (1, 3):
                wanted = y.iloc[origin - 1 + step] - ahead.estimate.iloc[step - 1].to_numpy()
                assert_allclose(found.errors["model"][step].iloc[origin - 60], wanted, rtol=1e-6, atol=1e-9)
                walk = y.iloc[origin - 1 + step] - y.iloc[origin - 1]
                assert_allclose(found.errors["random walk"][step].iloc[origin - 60], walk, atol=1e-15)


def test_nothing_after_an_origin_enters(evaluated: tuple[Any, Any]) -> None:
    res, found = evaluated
    y = res.model.data.orig_endog.copy()
    y.iloc[75:] += 0.05
    again = at_start(y, TAU, 2).rolling_evaluation([1, 3], window=60, refit_every=10, **FEW)
    assert_allclose(again.errors.iloc[:12], found.errors.iloc[:12], rtol=1e-9)
    assert not np.allclose(again.errors.iloc[15:], found.errors.iloc[15:], equal_nan=True)


def test_summary_and_its_statistics(evaluated: tuple[Any, Any]) -> None:
    """The Diebold-Mariano statistic from its definition, one step ahead: a t-test of the mean loss."""
    _, found = evaluated
    table = found.summary()
    errors = [found.errors[name][1].iloc[:, 0].to_numpy() for name in ("model", "random walk")]
    row = table.loc[(1, "y3m")]
    assert_allclose(row[["rmse", "rmse_benchmark"]], [np.sqrt(np.mean(e**2)) for e in errors], rtol=1e-12)
    assert_allclose(row["ratio"], row["rmse"] / row["rmse_benchmark"], rtol=1e-12)
    loss = errors[1] ** 2 - errors[0] ** 2
    n = len(loss)
    assert_allclose(row["dm"], loss.mean() / loss.std() * np.sqrt(n - 1), rtol=1e-10)
    assert table.loc[(1, "y12m"), "n"] == n - 2  # missing at 70: as a target, and as the walk from there
    assert "18 origins" in str(found)


def test_a_model_beside_another(evaluated: tuple[Any, Any]) -> None:
    res, found = evaluated
    one = at_start(res.model.data.orig_endog, TAU, 1)
    both = res.rolling_evaluation([1, 3], 7.0, one, window=60, refit_every=10, **FEW)
    alone = one.rolling_evaluation([1, 3], 7.0, window=60, refit_every=10, **FEW)
    assert_allclose(both.errors["other model"], alone.errors["model"], rtol=1e-12)
    assert_allclose(both.errors["model"][3]["y84m"], found.errors["model"][3]["y84m"], rtol=1e-12)


@pytest.mark.parametrize("obs_cov", ["scalar", "exact-portfolios"])
def test_with_macro_factors(obs_cov: str) -> None:
    y = random_panel(np.random.default_rng(3), 60, TAU, 2)
    moves = np.cumsum(np.random.default_rng(5).standard_normal(60)) * 0.3
    macro = pd.DataFrame({"g": moves}, index=y.index)
    given: dict[str, Any] = {"obs_cov": obs_cov, "time": "discrete"}
    res = at_start(y, TAU, 2, macro=macro, **given)
    found = res.rolling_evaluation(3, window=50, refit_every=50, **FEW)
    first = sse.ATSM(y.iloc[:50], TAU, 2, macro=macro.iloc[:50], **given)
    ahead = first.fit(method="two-step", cov_type="none").forecast_yields(3, param_uncertainty=False)
    assert_allclose(
        found.errors["model"][3].iloc[0], y.iloc[52] - ahead.estimate.iloc[-1], rtol=1e-6, atol=1e-9
    )


def test_picture(evaluated: tuple[Any, Any]) -> None:
    pytest.importorskip("matplotlib")
    _, found = evaluated
    axes = found.plot().axes
    assert [axis.get_title(loc="left") for axis in axes] == ["1 step ahead", "3 steps ahead"]
    lines = {line.get_label(): line.get_ydata() for line in axes[1].lines}
    assert_allclose(lines["model"], found.summary().loc[3, "rmse"])
    assert_allclose(lines["random walk"], found.summary().loc[3, "rmse_benchmark"])


def test_bad_arguments(evaluated: tuple[Any, Any]) -> None:
    res, _ = evaluated
    for options, message in (
        ({"maturities": 2.0}, "yields of the panel: got 2.0 years"),
        ({"benchmark": "mean"}, "benchmark is unknown"),
        ({"benchmark": 3}, "benchmark is unknown"),
        (
            {"benchmark": at_start(random_panel(np.random.default_rng(6), 70, TAU), TAU)},
            "fit to the same panel",
        ),
        ({"steps": 0}, "steps"),
        ({"window": 78}, "leaves nothing to forecast"),
        ({"window": 200}, "longer than the sample"),
    ):
        with pytest.raises(sse.SpecificationError, match=message):
            res.rolling_evaluation(**{"steps": 3, "window": 60, "refit_every": 50, **FEW, **options})
    irregular = at_start(random_panel(np.random.default_rng(6), 60, TAU, irregular=True), TAU)
    with pytest.raises(sse.UnsupportedError, match="irregular dates"):
        irregular.rolling_evaluation()
