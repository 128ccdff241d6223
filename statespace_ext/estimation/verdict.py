"""How near parameters are to a maximum."""

from __future__ import annotations

import numpy as np

from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array
from .optimize import parameter_scale
from .problem import EstimationProblem


def score_norm(problem: EstimationProblem, params: Array) -> float:
    """Return the largest scaled score in unconstrained parameters, NaN where there is none."""
    if len(params) == 0:
        return 0.0
    try:
        found = problem.value_and_score(params)
    except UnsupportedError:
        return np.nan
    if found is None:
        return np.nan
    z = problem.layout.unconstrain(params)
    scaled = problem.layout.pull_back(z, found[1]) * parameter_scale(problem, params)
    return float(np.max(np.abs(scaled)))
