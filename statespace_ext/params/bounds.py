"""Parameters confined to an interval, for gradient methods."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array

_LIMIT = 1.0 - 1e-9
"""Inside what a stationary start accepts, so that a search along the edge of the interval meets no wall."""


class UnitInterval:
    """Parameters in (-1, 1), the ends left out by a hair: limit * z / sqrt(1 + z^2)."""

    def __init__(self, param_names: list[str]) -> None:
        self.param_names = param_names

    def constrain(self, unconstrained: Array) -> Array:
        """Return parameters."""
        return _LIMIT * unconstrained / np.sqrt(1.0 + unconstrained**2)

    def unconstrain(self, params: Array) -> Array:
        """Return the vector that `constrain` maps to ``params``."""
        inside = np.clip(params / _LIMIT, -1.0 + 1e-12, 1.0 - 1e-12)
        return inside / np.sqrt(1.0 - inside**2)

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d unconstrained."""
        return np.diag(_LIMIT * (1.0 + unconstrained**2) ** -1.5)
