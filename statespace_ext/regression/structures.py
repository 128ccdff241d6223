"""Names of the covariance structures of a dynamic regression, and EM updates for non-affine structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..em.covariances import update_covariance
from ..em.moments import Moments, Regression
from ..em.updates import LinearGaussianUpdates, NamedUpdate
from ..numerics.linear_algebra import Array
from ..numerics.rotation import lower_triangular_rotation
from ..params.affine import AffineMatrix, IntArray, affine_matrix
from ..params.cholesky import Unstructured
from ..params.covariance import CommonVariance, Equicorrelated, precision_of, structure_of
from ..params.curved import CurvedMatrix

_CLOSED = {
    "unstructured": {"unstructured", "proportional"},
    "diagonal": {"unstructured", "diagonal", "factor", "proportional"},
    "equicorrelated": {"unstructured", "equicorrelated", "proportional"},
    "scalar": {"unstructured", "diagonal", "equicorrelated", "scalar", "factor", "proportional", "patterned"},
}
"""Structures of W that A W A' preserves for each A with A A' = V, by structure of V."""


def covariance_kind(block: AffineMatrix, rows: IntArray | None = None) -> str:
    """
    Return the name of the structure of a covariance matrix, independent of how it was specified.

    Parameters
    ----------
    block : AffineMatrix
        The matrix.
    rows : ndarray of int, optional
        Rows and columns to consider; all by default.

    Returns
    -------
    str
        "unstructured", "diagonal", "scalar", "equicorrelated", "zero", "fixed", the class of a
        `CovarianceFunction`, or "patterned" for any other structure. A free 1 x 1 matrix is "scalar".
    """
    if isinstance(block, CurvedMatrix):
        return type(block.function).__name__
    if block.time_varying:
        return "patterned"
    part = block if rows is None else _part(block, rows)
    if part.is_fixed:
        return "fixed" if np.any(part.fixed) else "zero"
    return _free_kind(part)


def _free_kind(part: AffineMatrix) -> str:
    """Return the name of the structure of a matrix with free parameters."""
    structure, p, count = structure_of(part), part.shape[0], len(part.param_names)
    if len(np.unique(part.rows)) < p:
        return "patterned"
    if isinstance(structure, CommonVariance) and count in (1, p):
        return "scalar" if count == 1 else "diagonal"
    if isinstance(structure, Equicorrelated):
        return "equicorrelated"
    whole = isinstance(structure, Unstructured) and 2 * count == p * (p + 1)
    return "unstructured" if whole else "patterned"


def _part(block: AffineMatrix, rows: IntArray) -> AffineMatrix:
    """Return selected rows and columns of a matrix."""
    place = np.full(block.shape[0], -1)
    place[rows] = np.arange(len(rows))
    inside = zip(place[block.rows], place[block.columns], block.names, block.coefs, strict=True)
    elements = [(int(i), int(j), name, float(coef)) for i, j, name, coef in inside if min(i, j) >= 0]
    return affine_matrix(block.fixed[np.ix_(rows, rows)], elements)


def obs_kind(model: Any) -> str:
    """Return the name of the structure of V."""
    rank = factors_of(model, "obs_loading", np.arange(model.coefficients.p))
    return f"factor:{rank}" if rank else covariance_kind(model.layout.blocks["obs_cov"])


def state_kinds(model: Any) -> dict[str, str]:
    """
    Return the names of the structures of W, by regressor with time-varying coefficients.

    A W that is not block-diagonal by regressor has one entry. Its key joins the names of all these regressors
    with "+".
    """
    c, block = model.coefficients, model.layout.blocks["state_cov"]
    group = np.repeat(np.arange(len(c.noise)), [len(each.rows) for each in c.noise])
    if len(c.noise) > 1 and (
        np.any(group[block.rows] != group[block.columns]) or np.any(block.fixed * (group[:, None] != group))
    ):
        return {"+".join(c.moving_names): covariance_kind(block)}
    out = {}
    for place, name in enumerate(c.moving_names):
        rows = c.noise_places(place)
        rank = factors_of(model, "state_loading", rows)
        out[name] = f"factor:{rank}" if rank else covariance_kind(block, rows)
        if place in model.proportional:
            out[name] = "proportional"
    return out


def factors_of(model: Any, key: str, rows: IntArray) -> int:
    """Return the number of factors that load on the given rows."""
    if key not in model.layout.blocks:
        return 0
    block = model.layout.blocks[key]
    return len(set(block.columns[np.isin(block.rows, rows)].tolist()))


def is_equivariant(obs: str, state: list[str]) -> bool:
    """
    Return whether a change of basis of the series transforms any V to I and preserves each structure of W.

    If so, the distribution of the likelihood ratio of W = 0 does not depend on parameters. The change of
    basis is a matrix A with V = A A' from the group that preserves the structure of V: all matrices, diagonal
    matrices, matrices that treat all series alike, or multiples of I. A fixed V contains no unknowns.
    """
    if obs == "fixed":
        return True
    kinds = [kind.split(":")[0] for kind in state]
    return obs in _CLOSED and all(kind == "zero" or kind in _CLOSED[obs] for kind in kinds)


_STEPS = 20


def factor_analysis_steps(
    target: Array, loading: Array, specific: Array, steps: int = _STEPS
) -> tuple[Array, Array]:
    """
    Return loadings and specific variances that increase -log|S| - tr(S^{-1} target), S = G G' + diag(u).

    The function takes EM steps of factor analysis (Rubin & Thayer 1982), each of which increases the
    objective. It rotates the loadings to lower triangular form, which leaves S unchanged.

    Parameters
    ----------
    target : ndarray, (p, p)
        The mean residual matrix.
    loading : ndarray, (p, r)
        The loadings G.
    specific : ndarray, (p,)
        The specific variances u, which must be positive.
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
    """Updates of V = diag + G G', and of W in the same form by regressor."""

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates."""
        first = self.obs_factors if self._has("obs_loading") else self.obs_cov
        second = self.state_factors if self._has("state_loading") else self.state_cov
        free = {"obs_cov": self._free("obs_cov"), "state_cov": self._free("state_cov")}
        named: list[NamedUpdate] = [("obs_cov", first), ("state_cov", second)]
        return [[(name, update) for name, update in named if free[name]]]

    def unsupported_reason(self) -> str | None:
        """Return the reason why EM cannot estimate this specification, or None if it can."""
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
        """Update G and the diagonal part of V."""
        rows = np.arange(self.layout.blocks["obs_cov"].shape[0])
        return self._factors("obs", rows, moments.observation, params), moments

    def state_factors(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Update G and the diagonal part of W, one regressor after the other."""
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


@dataclass(frozen=True)
class ProportionalUpdates(LinearGaussianUpdates):
    """
    Updates of V and q_j for coefficients that are random walks or constants.

    The expected log-likelihood of eps ~ N(0, V) and eta_j ~ N(0, q_j V) is maximised in turn over V and over
    q_j. The update of V is that of its structure, with the sums of eta_j scaled by 1 / q_j. The update of q_j
    is tr(V^{-1} E eta eta') / (p n).
    """

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates."""
        return [[("obs_cov and proportion", self.obs_cov_and_proportion)]]

    def unsupported_reason(self) -> str | None:
        """Return the reason why EM cannot estimate this specification, or None if it can."""
        if len(self.structure.stationary):
            return 'state_cov="proportional" with "ar1" coefficients'
        if not self.layout.blocks["state_cov"].is_fixed or np.any(self.layout.blocks["state_cov"].fixed):
            return "state_cov is proportional to obs_cov for some regressors only"
        if self.layout.blocks["proportion"].shape[0] * self._p != self.layout.blocks["state_cov"].shape[0]:
            return "state_cov is proportional to obs_cov for some regressors only"
        return None

    @property
    def _p(self) -> int:
        return self.layout.blocks["obs_cov"].shape[0]

    def obs_cov_and_proportion(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Update V, then q_j."""
        observation, state, p = moments.observation, moments.state, self._p
        q = np.diag(self.layout.matrices(params)["proportion"])
        scaled, count = observation.ee[0], float(observation.n[0])
        noise = [state.ee[0][j * p : (j + 1) * p, j * p : (j + 1) * p] for j in range(len(q))]
        for share, ee in zip(q, noise, strict=True):
            if share > 0:
                scaled, count = scaled + ee / share, count + float(state.n[0])
        pooled = Regression(scaled[None], observation.eb, observation.bb, np.array([count]))
        if self._free("obs_cov"):
            params = update_covariance([self._term("obs_cov", pooled)], params)
        precision = precision_of(self.layout.matrices(params)["obs_cov"])
        shares = np.array([max(np.sum(precision * ee), 0.0) / (p * float(state.n[0])) for ee in noise])
        block, out = self.layout.blocks["proportion"], np.array(params)
        out[self.layout.index["proportion"]] = shares[block.rows]
        return out, moments
