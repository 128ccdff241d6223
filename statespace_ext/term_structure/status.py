"""What the summary says of the matrices: why some are missing, and where the likelihood is nearly flat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..exceptions import shown
from ..numerics.linear_algebra import NOT_HERE, Array
from .dynamics import is_singular, weakest_direction

_RIDGE = 1e-3
"""Information along a direction, relative to that on single parameters, below which there is a ridge."""


def matrix_lines(model: Any, values: Mapping[str, Array]) -> list[str]:
    """Return why theta or the prices of risk are NaN, and which maturities are priced without error."""
    lines = []
    for measure in ("P", "Q"):
        if is_singular(values[f"K_{measure}"]):
            lines.append(f"theta_{measure} does not exist: K_{measure} is singular. kappa_{measure} does.")
    if not model.norm.arbitrage_free:
        lines.append(
            "lambda_0 and lambda_1 do not exist: the dynamic Nelson-Siegel model has no prices of risk."
        )
    elif np.any(np.isnan(values["lambda_0"])):
        lines.append("lambda_0 and lambda_1 are not determined: Sigma is singular.")
    return lines


def exact_line(results: Any) -> list[str]:
    """Return which maturities are priced without error."""
    block, labels = results.model.layout.blocks["obs_cov"], results.model.panel.labels
    zero = [
        labels[i]
        for i, j, name in zip(block.rows, block.columns, block.names, strict=True)
        if i == j and results._boundary_values.get(name) == 0.0
    ]
    if not zero:
        return []
    out = [
        f"A measurement standard deviation is zero, so that the yield is priced without error: {shown(zero)}."
    ]
    if results.model.start_kind == "estimated":
        out.append(
            "With estimated first factors the likelihood then grows without bound, for the first yield is "
            'hit exactly: use initialization="stationary" or "diffuse".'
        )
    return out


def ridge_lines(results: Any) -> list[str]:
    """Return what the information at the estimates says of nearly flat directions."""
    cov = np.asarray(results.params_cov.cov)
    known = np.flatnonzero(np.isfinite(np.diag(cov)))
    if len(known) < 2:
        return []
    try:
        least, direction = weakest_direction(cov[np.ix_(known, known)])
    except NOT_HERE:
        return []
    if not least < _RIDGE:
        return []
    weights = np.abs(direction)
    order = [i for i in np.argsort(-weights) if weights[i] > 0.1]
    names = [results.model.param_names[known[i]] for i in order]
    return [
        f"The likelihood has a ridge: along a direction in {shown(names)} there is {least:.1g} of the "
        "information that there is on each alone. Intervals by the delta method may be poor."
    ]
