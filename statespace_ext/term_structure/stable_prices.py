"""Prices of risk to start from, where restrictions on them leave little room for P-dynamics that revert."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize

from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix
from ..params.cholesky import semidefinite_cholesky
from .dynamics import Pricing

_WEIGHT = 100.0


def stable_prices(block: AffineMatrix, pricing: Pricing, cov: Array, K: Array, least: float) -> Array:
    """
    Return lambda_1 under its restrictions with K_P = K_Q - Sigma lambda_1 near K, and stable if it can be.

    Parameters
    ----------
    block : AffineMatrix
        lambda_1: what is free and what is fixed.
    pricing : Pricing
        Q-dynamics.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    K : ndarray, (k, k)
        The K_P that is wanted.
    least : float
        Smallest real part of a root.
    """
    root, names = semidefinite_cholesky(cov), list(block.param_names)

    def prices(x: Array) -> Array:
        return block.values(dict(zip(names, x.tolist(), strict=True)))

    def distance(x: Array) -> Array:
        return np.asarray(pricing.K - root @ prices(x) - K)

    if not names:
        return prices(np.zeros(0))
    base = distance(np.zeros(len(names)))
    jacobian = np.column_stack([(distance(unit) - base).ravel() for unit in np.eye(len(names))])
    nearest = np.linalg.lstsq(jacobian, -base.ravel(), rcond=None)[0]
    size = float(np.linalg.norm(K)) + least

    def loss(x: Array) -> float:
        away = distance(x)
        short = np.maximum(0.0, 2.0 * least - np.linalg.eigvals(away + K).real) / least
        return float(np.sum((away / size) ** 2) + _WEIGHT * np.sum(short**2))

    if np.min(np.linalg.eigvals(distance(nearest) + K).real) >= least:
        return prices(nearest)
    scale = np.maximum(np.abs(nearest), 0.1 * size / np.sqrt(np.max(np.diag(cov))))
    simplex = nearest + np.vstack([np.zeros(len(names)), 0.2 * np.diag(scale)])
    options: Any = {"maxiter": 4000, "maxfev": 4000, "initial_simplex": simplex, "xatol": 1e-8, "fatol": 1e-8}
    return prices(scipy.optimize.minimize(loss, nearest, method="Nelder-Mead", options=options).x)
