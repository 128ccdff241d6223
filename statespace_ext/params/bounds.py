"""Parameters confined to an interval, for gradient methods."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array

_LIMIT = 1.0 - 1e-7
"""
Inside what a stationary start accepts, so that a search along the edge of the interval meets no wall.

Nearer to one the variance of a stationary start, 1 / (1 - a^2), costs the score its digits: errors of 1e-3 at
1 - 1e-9, where L-BFGS finds no descent.
"""


class UnitInterval:
    """
    Parameters in (-1, 1), the ends left out by a hair: limit * sin z.

    An end is reached at a finite z, where the derivative is zero, as a variance of zero is by its root.
    """

    def __init__(self, param_names: list[str]) -> None:
        self.param_names = param_names

    def constrain(self, unconstrained: Array) -> Array:
        """Return parameters."""
        return np.asarray(_LIMIT * np.sin(unconstrained))

    def unconstrain(self, params: Array) -> Array:
        """Return the vector that `constrain` maps to ``params``."""
        return np.asarray(np.arcsin(np.clip(params / _LIMIT, -1.0, 1.0)))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d unconstrained."""
        return np.diag(_LIMIT * np.cos(unconstrained))
