"""How many parameters a layout has, by equation and at most."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .affine import AffineMatrix, IntArray
from .layout import ParameterLayout

_OBSERVATION = ("design", "obs_intercept", "obs_coef")
_BEYOND = ("obs_coef", "state_coef", "initial_state", "initial_state_cov")


def coefficients_by_series(layout: ParameterLayout) -> list[int]:
    """
    Return the number of free coefficients in the equation of each series alone.

    Zero where the variance of the series is fixed.
    """
    rows: dict[str, set[int]] = {}
    for key in _OBSERVATION:
        block = layout.blocks[key]
        for row, name in zip(block.rows.tolist(), block.names, strict=True):
            rows.setdefault(name, set()).add(row)
    count = Counter(row for where in rows.values() if len(where) == 1 for row in where)
    cov = layout.blocks["obs_cov"]
    noisy = set(cov.rows[cov.rows == cov.columns].tolist())
    return [count[row] if row in noisy else 0 for row in range(cov.shape[0])]


def most_identified(layout: ParameterLayout, k_states: int) -> int:
    """
    Return a number that the identified free parameters do not exceed.

    A linear system with m states and p outputs has at most 2 m p + p (p + 1) / 2 + p parameters that its
    output can tell apart; coefficients of regressors and an initial state come on top.
    """
    p = layout.blocks["obs_cov"].shape[0]
    beyond = len({name for key in _BEYOND for name in layout.blocks[key].names})
    time_varying = any(block.time_varying for block in layout.blocks.values())
    within = len(layout) - beyond
    return beyond + (within if time_varying else min(within, 2 * k_states * p + p * (p + 3) // 2))


def own_columns(block: AffineMatrix, row: int) -> IntArray:
    """Return the columns of a row whose free element is shared with no other."""
    uses = Counter(block.names)
    own = np.array([uses[name] == 1 for name in block.names], dtype=bool)
    return np.unique(block.columns[(block.rows == row) & own])


def without_noise(cov: AffineMatrix) -> IntArray:
    """Return the rows of a covariance matrix whose variance is fixed at zero."""
    fixed = cov.fixed if cov.time_varying else cov.fixed[:, :, None]
    zero = np.all(np.einsum("iit->it", fixed) == 0, axis=1)
    zero[cov.rows[cov.rows == cov.columns]] = False
    return np.flatnonzero(zero)
