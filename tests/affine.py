"""Drift matrices of every kind, and affine transformations of factors."""

from __future__ import annotations

from typing import Any

import numpy as np


def similar(core: Any, seed: int = 0) -> np.ndarray:
    """Return a full matrix with the Jordan form of this one."""
    core = np.asarray(core, dtype=float)
    basis = np.eye(len(core)) + 0.4 * np.random.default_rng(seed).standard_normal(core.shape)
    return basis @ core @ np.linalg.inv(basis)


DRIFTS: dict[str, np.ndarray] = {
    "one factor": np.array([[0.3]]),
    "stable": similar(np.diag([0.05, 0.6, 1.5])),
    "singular": similar(np.diag([0.0, 0.6, 1.5])),
    "zero": np.zeros((2, 2)),
    "repeated": similar(np.diag([0.5, 0.5, 1.5])),
    "defective": similar([[0.5, 1, 0], [0, 0.5, 1], [0, 0, 0.5]]),
    "nilpotent": similar([[0.0, 1, 0], [0, 0, 1], [0, 0, 0]]),
    "complex": similar([[0.2, -0.9, 0], [0.9, 0.2, 0], [0, 0, 0.7]]),
    "unstable": similar(np.diag([-0.05, 0.6, 1.5])),
    "stiff": similar(np.diag([0.02, 1.0, 80.0])),
    "stiff and defective": similar([[0.0, 0, 0, 0], [0, 0.5, -0.5, 0], [0, 0, 0.5, 0], [0, 0, 0, 40.0]]),
}
"""K by what is special about it."""


def rotated(
    at: tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray], L: np.ndarray, h: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray]:
    """Return (K, kappa, cov, delta_0, delta_1) of the factors L X + h."""
    K, kappa, cov, delta_0, delta_1 = at
    inverse = np.linalg.inv(L)
    turned, by_new = L @ K @ inverse, inverse.T @ delta_1
    return turned, L @ kappa + turned @ h, L @ cov @ L.T, delta_0 - by_new @ h, by_new


def slow(K: np.ndarray) -> np.ndarray:
    """Return a drift matrix whose powers by month and quarter do not grow without bound."""
    return K / max(1.0, np.abs(np.linalg.eigvals(K)).max())
