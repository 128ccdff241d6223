"""Numerical derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .linear_algebra import Array


def step_sizes(params: Array, relative: float = 1e-5) -> Array:
    """Return steps for central differences of a gradient."""
    return relative * np.maximum(np.abs(params), 1e-4 * np.max(np.abs(params), initial=1.0))


def central_differences(function: Callable[[Array], float], params: Array, relative: float = 1e-3) -> Array:
    """Return the gradient of a function by central differences, extrapolated once (Richardson)."""
    out = np.empty(len(params))
    for i, step in enumerate(step_sizes(params, relative)):
        move = np.zeros(len(params))
        move[i] = step
        coarse = (function(params + move) - function(params - move)) / (2 * step)
        fine = (function(params + move / 2) - function(params - move / 2)) / step
        out[i] = (4.0 * fine - coarse) / 3.0
    return out


def jacobian(function: Callable[[Array], Array | None], point: Array, steps: Array) -> Array | None:
    """Return the derivatives of a vector, a row by element of the point; None where it exists on one side."""
    rows = []
    for move in np.diag(steps):
        ahead, behind = function(point + move), function(point - move)
        if ahead is None or behind is None:
            return None
        rows.append((ahead - behind) / (2.0 * move.sum()))
    return np.array(rows)
