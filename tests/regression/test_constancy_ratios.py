"""The independent rows of a regression with one random walk, against the Kalman filter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.numerics.common_regressors import RegressorAxes
from statespace_ext.regression.constancy_ratios import ContrastedRatio, null_start, ratio_of

STRUCTURES = ["unstructured", "diagonal", "scalar", "equicorrelated", "factor:1"]
PAIRS = [(V, W) for V in STRUCTURES for W in [*STRUCTURES, "proportional"]]


def sample() -> tuple[pd.DataFrame, pd.DataFrame]:
    return simulated(np.random.default_rng(1), 40, 3)


def model_of(y: Any, x: Any, W: Any = "unstructured", V: Any = "unstructured") -> Any:
    return sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov=V, state_cov=W)


@pytest.mark.parametrize(("V", "W"), PAIRS)
def test_contrasts_have_the_diffuse_likelihood(V: str, W: str) -> None:
    """Value and score, with rows missing, are those of the Kalman filter."""
    y, x = sample()
    y.iloc[[0, 7, 39]] = np.nan
    model = model_of(y, x, W, V)
    params = model.start_params * np.random.default_rng(3).uniform(0.8, 1.2, len(model.layout))
    ratio = ratio_of(model)
    assert isinstance(ratio, ContrastedRatio)
    value, score = ratio.value_and_score(params, ratio.rows)
    assert_allclose(value, model.loglike(params), rtol=1e-12)
    want = model.score(params)
    assert_allclose(score, want, rtol=1e-8, atol=1e-8 * abs(want).max())


def test_contrasts_are_independent_rows() -> None:
    """U'X = 0, and U' D K D U is diagonal."""
    _, x = sample()
    seen = np.ones(40, bool)
    seen[[3, 20]] = False
    found = RegressorAxes(x.to_numpy()[seen], 1, np.flatnonzero(seen))
    walk = np.minimum.outer(np.arange(40), np.arange(40)) * np.outer(x["MKT"], x["MKT"])
    assert_allclose(found.vectors.T @ x[seen], 0, atol=1e-12)
    inner = found.vectors.T @ walk[np.ix_(seen, seen)] @ found.vectors
    assert_allclose(inner, np.diag(found.sizes), atol=1e-10 * found.sizes.max())


def test_a_singular_obs_cov_is_no_obstacle() -> None:
    y, x = sample()
    model = model_of(y, x)
    loading = np.array([1.0, 0.5, 2.0])
    params = model.layout.project(
        {"obs_cov": np.outer(loading, loading), "state_cov": np.eye(3)}, np.zeros(len(model.layout))
    )
    ratio = ratio_of(model)
    assert isinstance(ratio, ContrastedRatio)
    assert_allclose(ratio.value_and_score(params, ratio.rows)[0], model.loglike(params), rtol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_search_for_factors_starts_near_the_maximum(rank: int) -> None:
    """With factors along one direction, it took up to twice the time and often ended below the maximum."""
    rng = np.random.default_rng(rank)
    x = pd.DataFrame({"const": 1.0, "MKT": rng.standard_normal(100)})
    y = rng.standard_normal((100, rank)) @ rng.standard_normal((rank, 8)) + 0.5 * rng.standard_normal(
        (100, 8)
    )
    ratio = ratio_of(model_of(y, x, "diagonal", f"factor:{rank}"))
    assert isinstance(ratio, ContrastedRatio)
    first = null_start(ratio.layout, ratio.rows.T @ ratio.rows / len(ratio.rows))
    best, _, found = ratio.null(ratio.rows)
    assert found
    assert ratio.value_and_score(first, ratio.rows)[0] > best - 20.0
