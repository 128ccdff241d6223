"""The gradient methods end equally near a maximum, from one start, for every kind of model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from edge_data import atsm, capm, factor_series, lgssm, missing, regression, returns, yields

BAND = np.where(np.abs(np.subtract.outer(range(3), range(3))) < 2, np.nan, 0.0)
MODELS: dict[str, Callable[[], Any]] = {
    "LGSSM, triangular": lambda: lgssm(factor_series()),
    "LGSSM, unit": lambda: lgssm(factor_series(), identification="unit"),
    "LGSSM, two lags": lambda: lgssm(factor_series(), identification="unit", lags=2),
    "LGSSM, full obs_cov": lambda: lgssm(factor_series(), obs_cov="unstructured"),
    "LGSSM, pattern": lambda: lgssm(factor_series(), identification="unit", obs_cov=BAND),
    "LGSSM, missing cells": lambda: lgssm(missing(factor_series(), slice(10, 30), 1)),
    "CAPM, diagonal": lambda: capm(returns(), beta="random_walk", state_cov="diagonal"),
    "CAPM, unstructured": lambda: capm(returns(), beta="random_walk", state_cov="unstructured"),
    "CAPM, one factor": lambda: capm(returns(), beta="random_walk", state_cov="factor:1"),
    "CAPM, ar1": lambda: capm(returns(), beta="ar1", state_cov="diagonal"),
    "DynamicRegression": lambda: regression(returns()),
    "DynamicRegression, proportional": lambda: regression(returns(), state_cov="proportional"),
    "ATSM, afns": lambda: atsm(yields()),
    "ATSM, jsz": lambda: atsm(yields(), identification="jsz"),
}
NEAR = 1e-6
"""Largest difference of log-likelihoods: the predicted gain up to which a fit has converged."""


@pytest.mark.parametrize("name", MODELS)
def test_methods_end_equally_near_a_maximum(name: str) -> None:
    model = MODELS[name]()
    start, ends = model.start_params, {}
    for method in ("lbfgs", "newton", "auto"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res = model.fit(start, method=method, cov_type="none")
        ends[method] = (res.llf, res.mle_retvals["converged"], res.mle_retvals["task"])
    highest = max(llf for llf, _, _ in ends.values())
    assert min(llf for llf, _, _ in ends.values()) > highest - NEAR, ends
    assert {converged for _, converged, _ in ends.values()} == {True}, ends
