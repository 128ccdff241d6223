"""Start values from others: at random around them, and inside the parameter space."""

from __future__ import annotations

import numpy as np

from ..em.covariances import by_group
from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix
from .problem import EstimationProblem

_TRIES = 30
_ZERO = 1e-6
_INSIDE = 0.1


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


def inside(problem: EstimationProblem, start: Array) -> Array:
    """
    Return start values whose free covariance matrices are not singular.

    A gradient method cannot leave a singular one, where the derivative by the unconstrained parameters
    is zero. It is replaced by a mixture with the default start values, one part in ten.
    """
    layout, out = problem.layout, np.array(start)
    singular = singular_blocks(problem, start)
    if not singular:
        return out
    default = problem.model.default_start(problem)
    for key in singular:
        places = layout.block_params(key)
        out[places] = (1.0 - _INSIDE) * out[places] + _INSIDE * default[places]
    return out if np.isfinite(problem.value(out)) else start


def singular_blocks(problem: EstimationProblem, params: Array) -> list[str]:
    """Return the free covariance matrices that are singular, or nearly so in the units of the data."""
    layout = problem.layout
    matrices, sizes = layout.matrices(params), problem.model.variance_sizes(problem.full(params))
    return [
        key for key in layout.structures if _is_singular(layout.blocks[key], matrices[key], sizes.get(key))
    ]


def _is_singular(block: AffineMatrix, cov: Array, size: Array | None) -> bool:
    rows = np.unique(block.rows)
    for sigma in by_group(cov):
        variance = np.diag(sigma)[rows]
        if np.any(variance <= _ZERO * (size[rows] if size is not None else np.max(variance))):
            return True
        scale = np.sqrt(variance)
        if np.linalg.eigvalsh(sigma[np.ix_(rows, rows)] / scale[:, None] / scale)[0] < _ZERO:
            return True
    return False
