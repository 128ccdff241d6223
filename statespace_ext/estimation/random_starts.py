"""Random start values around others."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array
from .problem import EstimationProblem

_TRIES = 30


def random_start(problem: EstimationProblem, around: Array, rng: np.random.Generator) -> Array:
    """Return start values scattered around others: coefficients shifted, variances rescaled."""
    layout = problem.layout
    centre = layout.unconstrain(around)
    in_cov = np.zeros(len(centre), bool)
    for structure in layout.structures.values():
        in_cov[layout.positions(structure.param_names)] = True
    typical = np.abs(centre).copy()
    for key, block in layout.blocks.items():
        if key not in layout.covariances and not block.is_fixed:
            places = layout.block_params(key)
            typical[places] = np.maximum(typical[places], np.sqrt(np.mean(centre[places] ** 2)) + 1e-3)
    spread = 1.0
    for _ in range(_TRIES):
        draw = rng.standard_normal(len(centre))
        moved = np.where(in_cov, centre * np.exp(0.5 * spread * draw), centre + spread * typical * draw)
        trial = problem.model.stabilised(problem, layout.constrain(moved))
        if np.isfinite(problem.value(trial)):
            return trial
        spread *= 0.7
    return around
