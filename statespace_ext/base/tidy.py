"""Estimates and fits as plain DataFrames, named as broom names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..engine.arguments import probability
from ..params.layout import ParameterLayout


def normal_quantile(alpha: float) -> float:
    """
    Return the quantile of a two-sided interval with coverage 1 - alpha.

    Raises
    ------
    SpecificationError
        If alpha is no probability.
    """
    return float(norm.ppf(1.0 - probability(alpha, "alpha") / 2.0))


def matrix_of(layout: ParameterLayout) -> dict[str, str]:
    """Return the block of each parameter, the first where several share it."""
    out: dict[str, str] = {}
    for key, block in layout.blocks.items():
        for name in block.names:
            out.setdefault(name, key)
    return {name: out[name] for name in layout.names}


def with_tests(rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Return rows with "estimate" and "std_error", and the test of zero and the interval beside them."""
    quantile = normal_quantile(alpha)
    error = rows["std_error"].where(rows["std_error"] > 0)
    statistic = rows["estimate"] / error
    return rows.assign(
        statistic=statistic,
        p_value=2.0 * norm.sf(np.abs(statistic)),
        conf_low=rows["estimate"] - quantile * rows["std_error"],
        conf_high=rows["estimate"] + quantile * rows["std_error"],
    )


def parameter_rows(
    layout: ParameterLayout, params: Any, errors: Any, fixed: Mapping[str, float], boundary: list[str]
) -> pd.DataFrame:
    """Return matrix, term, estimate, std_error and status of the parameters, by block of the layout."""
    place = matrix_of(layout)
    status = {**dict.fromkeys(boundary, "boundary"), **dict.fromkeys(fixed, "fixed")}
    rows = pd.DataFrame(
        {
            "matrix": list(place.values()),
            "term": list(place),
            "estimate": np.asarray(params, dtype=float),
            "std_error": np.asarray(errors, dtype=float),
            "status": [status.get(name, "free") for name in place],
        }
    )
    order = {key: i for i, key in enumerate(layout.blocks)}
    return rows.sort_values("matrix", key=lambda keys: keys.map(order), kind="stable", ignore_index=True)
