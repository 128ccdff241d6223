"""Parameters confined to an interval, for gradient methods."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array


class UnitInterval:
    """Parameters in (-1, 1): z / sqrt(1 + z^2)."""

    def __init__(self, param_names: list[str]) -> None:
        self.param_names = param_names

    def constrain(self, unconstrained: Array) -> Array:
        """Return parameters."""
        return unconstrained / np.sqrt(1.0 + unconstrained**2)

    def unconstrain(self, params: Array) -> Array:
        """Return the vector that `constrain` maps to ``params``."""
        inside = np.clip(params, -1.0 + 1e-12, 1.0 - 1e-12)
        return inside / np.sqrt(1.0 - inside**2)

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d unconstrained."""
        return np.diag((1.0 + unconstrained**2) ** -1.5)
