"""Information criteria count what was observed, and the candidates of a comparison count alike."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_data import BUILD, factor_series
from numpy.testing import assert_allclose

import statespace_ext as sse


def with_holes(name: str) -> Any:
    """A model at its start values: 60 periods, of which one is empty, with 7 more cells missing."""
    build, sample = BUILD[name]
    y = np.array(sample(), dtype=float)
    y[30] = np.nan
    y[10:17, 1] = np.nan
    model = build(y)
    return model.smooth(model.start_params)


@pytest.mark.parametrize("name", BUILD)
def test_the_formulas(name: str) -> None:
    res = with_holes(name)
    m, minus_twice = res.df_model, -2.0 * res.llf
    cells, periods = 60 * 3 - 3 - 7, 59
    assert_allclose(res.aic, minus_twice + 2 * m, rtol=1e-12)
    assert_allclose(res.aicc, minus_twice + 2 * m + 2 * m * (m + 1) / (cells - m - 1), rtol=1e-12)
    assert_allclose(res.bic, minus_twice + m * np.log(periods), rtol=1e-12)
    assert_allclose(res.hqic, minus_twice + 2 * m * np.log(np.log(periods)), rtol=1e-12)
    row = res.glance().iloc[0]
    assert (row["nobs"], row["n_observed"], row["n_periods"]) == (60, cells, periods)
    assert [row[name] for name in ("aic", "aicc", "bic", "hqic")] == [res.aic, res.aicc, res.bic, res.hqic]
    assert f"of {cells} observed values. BIC and HQIC are of the {periods} periods" in str(res.summary())


@pytest.mark.parametrize("name", BUILD)
def test_statsmodels_keeps_its_own(name: str) -> None:
    """Its n is the number of all periods, empty or not."""
    res = with_holes(name)
    m, minus_twice = res.df_model, -2.0 * res.llf
    assert_allclose(res.info_criteria("aic"), minus_twice + 2 * m, rtol=1e-12)
    for name in ("bic", "BIC"):
        assert_allclose(res.info_criteria(name), minus_twice + m * np.log(60), rtol=1e-12)
    assert_allclose(res.info_criteria("hqic"), minus_twice + 2 * m * np.log(np.log(60)), rtol=1e-12)
    cov = res.model.system(np.asarray(res.params)).state_cov
    if np.linalg.det(cov) > 0:
        lutkepohl = np.linalg.slogdet(cov)[1] + m * np.log(60) / 60
        assert_allclose(res.info_criteria("bic", method="lutkepohl"), lutkepohl, rtol=1e-12)


def test_an_empty_row_in_front_changes_nothing() -> None:
    """With x_0 ~ N(0, P) in place of x_1 ~ N(0, T P T' + Q) the likelihood is the same."""
    y = factor_series()
    at = {"design": [[1.0], [0.6], [-0.8]], "transition": [[0.8]], "state_cov": "identity"}
    res = [
        sse.LGSSM(sample, 1, **at, obs_cov="scalar").smooth([0.0, 0.0, 0.0, 0.25])
        for sample in (y, np.concatenate([np.full((1, 3), np.nan), y]))
    ]
    for name in ("llf", "aic", "aicc", "bic", "hqic"):
        assert_allclose(getattr(res[1], name), getattr(res[0], name), rtol=1e-10)


def test_burnt_periods_do_not_count() -> None:
    model = sse.LGSSM(factor_series(), 1, identification="triangular")
    model.ssm.loglikelihood_burn = 5
    res = model.smooth(model.start_params)
    m = res.df_model
    assert_allclose(res.bic, -2.0 * res.llf + m * np.log(55), rtol=1e-12)
    assert_allclose(res.aicc, -2.0 * res.llf + 2.0 * m * 165 / (165 - m - 1), rtol=1e-12)


def test_candidates_are_counted_as_their_fits() -> None:
    y = factor_series()
    y[:1] = np.nan
    y[20:30, 0] = np.nan
    order = sse.select_order(sse.LGSSM(y, 1, identification="triangular"), lags=[1, 2])
    res = sse.LGSSM(y, 1, identification="triangular").fit()
    for name in ("aic", "aicc", "bic", "hqic"):
        assert_allclose(order.table.loc[1, name], getattr(res, name), rtol=1e-8)


def test_a_comparison_has_them() -> None:
    build, sample = BUILD["DynamicRegression"]
    y = np.array(sample(), dtype=float)
    y[5:9] = np.nan
    fits = [build(y, obs_cov=kind).fit(cov_type="none") for kind in ("diagonal", "scalar")]
    table = fits[0].compare(fits[1])
    for res in fits:
        row = table[table["llf"] == res.llf].iloc[0]
        assert [row[name] for name in ("aic", "aicc", "bic", "hqic")] == [
            res.aic, res.aicc, res.bic, res.hqic,
        ]  # fmt: skip


# -- figures of MARSS --------------------------------------------------------------------------------------

LEVELS = {"transition": "identity", "initialization": "estimated", "state_intercept": "free"}
OFFSETS = [[0.0], ["a1"], ["a2"], ["a3"], ["a4"]]
MARSS: dict[str, dict[str, Any]] = {
    "seal_def": {
        "k_factors": 5,
        "design": "identity",
        "obs_intercept": "zero",
        "obs_cov": "scalar",
        "state_cov": "diagonal",
    },
    "seal_pan": {"k_factors": 1, "design": np.ones((5, 1)), "obs_intercept": OFFSETS, "obs_cov": "scalar"},
    "gray": {"k_factors": 1, "design": "identity", "obs_intercept": "zero"},
    "dogs": {"k_factors": 1, "design": "identity", "obs_intercept": "zero"},
}


@cache
def figures(shared_data: Path) -> dict[str, Any]:
    text = (shared_data / "lgssm" / "marss_guide_models.json").read_text(encoding="utf-8")
    return {entry["id"]: entry for entry in json.loads(text)["models"]}


@pytest.mark.parametrize("key", MARSS)
def test_fits_of_marss(key: str, shared_data: Path) -> None:
    """Its x_0 needs an empty row, which no criterion counts."""
    entry = figures(shared_data)[key]
    y = np.array(entry["y"], dtype=float).T
    model = sse.LGSSM(np.concatenate([np.full((1, y.shape[1]), np.nan), y]), **LEVELS, **MARSS[key])
    res = model.fit(cov_type="none")
    assert res.df_model == entry["K"] and res.glance()["n_observed"].item() == entry["n_observed"]
    assert_allclose([res.aic, res.aicc], [entry["AIC"], entry["AICc"]], rtol=0, atol=2e-6)
