"""EM where a covariance matrix is that of a factor model: loadings and specific variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..em.moments import Moments, Regression
from ..em.updates import LinearGaussianUpdates, NamedUpdate
from ..numerics.linear_algebra import Array
from ..numerics.rotation import lower_triangular_rotation
from ..params.affine import AffineMatrix

_STEPS = 20


def factor_analysis_steps(
    target: Array, loading: Array, specific: Array, steps: int = _STEPS
) -> tuple[Array, Array]:
    """
    Return loadings and specific variances nearer to the maximum of -log|S| - tr(S^{-1} target).

    EM steps of factor analysis (Rubin & Thayer 1982), S = G G' + diag(u), each of which raises it; the
    loadings are rotated to lower triangular form, which leaves S unchanged.

    Parameters
    ----------
    target : ndarray, (p, p)
        The mean residual matrix.
    loading : ndarray, (p, r)
        G.
    specific : ndarray, (p,)
        u, positive.
    steps : int
        Number of steps.
    """
    for _ in range(steps):
        weight = np.linalg.solve(loading @ loading.T + np.diag(specific), loading).T
        cross = target @ weight.T
        second = np.eye(loading.shape[1]) - weight @ loading + weight @ cross
        loading = np.linalg.solve(second, cross.T).T
        specific = np.maximum(np.diag(target - loading @ cross.T), 0.0)
        if np.min(specific) <= 1e-14 * np.max(np.diag(target)):
            break
    return loading @ lower_triangular_rotation(loading), specific


@dataclass(frozen=True)
class FactorUpdates(LinearGaussianUpdates):
    """Updates of V = diag + G G' and of W, by moving regressor, in the same form."""

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates."""
        first = self.obs_factors if self._has("obs_loading") else self.obs_cov
        second = self.state_factors if self._has("state_loading") else self.state_cov
        free = {"obs_cov": self._free("obs_cov"), "state_cov": self._free("state_cov")}
        named: list[NamedUpdate] = [("obs_cov", first), ("state_cov", second)]
        return [[(name, update) for name, update in named if free[name]]]

    def obstacle(self) -> str | None:
        """Say why EM cannot estimate this specification, None where it can."""
        if not self.layout.blocks["transition"].is_fixed:
            return '"factor:r" with "ar1" coefficients'
        if self.layout.blocks["proportion"].shape[0]:
            return '"factor:r" beside "proportional"'
        for key in ("obs", "state"):
            block = self.layout.blocks[f"{key}_loading"]
            if block.shape[1] and np.any(block.fixed):
                return f"a fixed loading of {key}_cov"
        loading, cov = self.layout.blocks["state_loading"], self.layout.blocks["state_cov"]
        loaded = np.unique(loading.rows)
        if self._has("state_loading") and set(cov.rows.tolist()) - set(loaded.tolist()):
            return '"factor:r" for some moving regressors only'
        return None

    def _has(self, key: str) -> bool:
        return self.layout.blocks[key].shape[1] > 0

    def obs_factors(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """G and diag of V."""
        rows = np.arange(self.layout.blocks["obs_cov"].shape[0])
        return self._factors("obs", rows, moments.observation, params), moments

    def state_factors(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """G and diag of W, one moving regressor after the other."""
        p = self.layout.blocks["obs_cov"].shape[0]
        for first in range(0, self.layout.blocks["state_cov"].shape[0], p):
            params = self._factors("state", np.arange(first, first + p), moments.state, params)
        return params, moments

    def _factors(self, key: str, rows: Array, regression: Regression, params: Array) -> Array:
        at = self.layout.matrices(params)
        own = np.flatnonzero(_touched(self.layout.blocks[f"{key}_loading"])[rows].any(axis=0))
        loading, specific = at[f"{key}_loading"], at[f"{key}_cov"]
        target = regression.mean[np.ix_(rows, rows)]
        new_loading, new_specific = factor_analysis_steps(
            target, loading[np.ix_(rows, own)], np.diag(specific)[rows]
        )
        loading[np.ix_(rows, own)] = new_loading
        specific[rows, rows] = new_specific
        return self.layout.project({f"{key}_loading": loading, f"{key}_cov": specific}, params)


def _touched(block: AffineMatrix) -> Array:
    out = np.zeros(block.shape, bool)
    out[block.rows, block.columns] = True
    return out
