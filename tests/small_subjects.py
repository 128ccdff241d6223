"""Models of every class with few parameters, on data with gaps and dates, and errors of their parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from walk_subjects import SUBJECTS, Subject

import statespace_ext as sse


def _small() -> dict[str, Subject]:
    gaps = SUBJECTS["LGSSM"].y
    index = gaps.index
    level = 0.05 + 0.003 * np.cumsum(np.random.default_rng(3).standard_normal(len(index)))
    noise = 0.0005 * np.random.default_rng(4).standard_normal((len(index), 2))
    yields = pd.DataFrame(level[:, None] + [0.0, 0.002] + noise, index=index, columns=["1y", "5y"])
    yields.iloc[7, 1] = np.nan
    found = {
        "LGSSM": replace(
            SUBJECTS["LGSSM"],
            build=lambda y, x: sse.LGSSM(y, 1, identification="triangular"),
            y=gaps[["a", "b"]],
        ),
        "LGSSM with regressors": replace(
            SUBJECTS["LGSSM with regressors"],
            build=lambda y, x: sse.LGSSM(y, 1, exog=x, identification="triangular"),
            y=SUBJECTS["LGSSM with regressors"].y[["a"]],
        ),
        "DynamicRegression": SUBJECTS["DynamicRegression"],
        "CAPM": SUBJECTS["CAPM"],
        "ATSM": replace(
            SUBJECTS["ATSM"],
            build=lambda y, x: sse.ATSM(y, maturities=[1.0, 5.0], k_factors=1, dt=1 / 12),
            y=yields,
        ),
        "SmoothTrends": replace(SUBJECTS["SmoothTrends"], y=gaps[["a", "b"]]),
    }
    return {name: replace(each, name=name) for name, each in found.items()}


SMALL = _small()


def with_errors(name: str, y: Any = None) -> Any:
    """Return smoothed results whose parameters have errors that are not those of a fit."""
    s = SMALL[name]
    model = s.model() if y is None else s.model().clone(y, **regressors(name, len(y)))
    root = np.random.default_rng(3).standard_normal((len(s.params), len(s.params) + 2))
    size = 0.03 * np.abs(s.params) + 1e-8
    cov = root @ root.T / len(root) * np.outer(size, size)
    given = {"custom_cov_type": "given", "custom_cov_params": cov, "custom_description": ""}
    return model.smooth(s.params, cov_type="custom", cov_kwds=given)


def regressors(name: str, periods: int) -> dict[str, Any]:
    """Return the regressors of the first periods."""
    x = SMALL[name].x
    return {} if x is None else {"exog": x.iloc[:periods]}


def derivatives(function: Any, params: np.ndarray) -> np.ndarray:
    """Return derivatives by differences of fourth order, the parameters on the last axis."""
    columns = []
    for i, h in enumerate(np.where(np.abs(params) > 1e-12, 1e-4 * np.abs(params), 1e-4)):
        at = [function(params + k * h * np.eye(len(params))[i]) for k in (-2, -1, 1, 2)]
        columns.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h))
    return np.stack(columns, axis=-1)
