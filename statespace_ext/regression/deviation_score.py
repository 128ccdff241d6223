"""Likelihood, score and information of models whose coefficients are constants plus stationary deviations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..engine.representation import Mixin
from ..engine.system_score import SystemScore
from ..fit.problem import EstimationProblem
from ..numerics.linear_algebra import Array
from ..params.affine import Elements
from ..params.layout import ParameterLayout
from .coefficients import Coefficients
from .deviations import Deviations
from .obs_scale import scaled_cov

_SEVERAL = 4
"""Number of points from which one loop for all of them is faster than a compiled filter for each."""


class DeviationScores(Mixin):
    """
    Mixin of regressions that evaluates them by their deviations alone where these have all the noise.

    The levels must have an exact-diffuse start.
    """

    layout: ParameterLayout
    coefficients: Coefficients
    obs_scale: Array | None
    proportional: list[int]
    initialization_kind: str
    _design: Array
    _intercept: Array

    @property
    def is_stationary(self) -> bool:
        """Whether the coefficients are diffuse constants plus stationary deviations."""
        c, diffuse = self.coefficients, self.initialization_kind == "diffuse"
        return diffuse and bool(c.autoregressive) and c.moving == c.autoregressive

    @property
    def deviations(self) -> Deviations | None:
        """The likelihood by the deviations, unless the user set another initialization."""
        found: Deviations | None = self.private_smoother.deviations
        return found if self.user_initialization is None else None

    def new_deviations(self) -> Deviations | None:
        """Return the likelihood by the deviations, or None if the coefficients have other dynamics."""
        if not self.is_stationary:
            return None
        known = self._intercept if self._intercept.ndim == 1 else self._intercept.T
        constant, moving = np.split(self._design, [self.coefficients.n_levels], axis=1)
        return Deviations(self.endog - known, constant, moving, self.obs_scale)

    def _moves(self, params: Array) -> tuple[Array, Array, Array]:
        """Return V, W and the autoregressive coefficients."""
        at, rows = self._blocks(params), self.coefficients.noise_rows
        return at["obs_cov"], at["state_cov"], at["transition"][np.arange(len(rows)), rows]

    def deviation_score(self, params: Array) -> SystemScore | None:
        """Return the score by system matrix, or None if it needs a pass with all states."""
        deviations, rows = self.deviations, self.coefficients.noise_rows
        if deviations is None:
            return None
        V, W, phi = self._moves(params)
        found = deviations.score(scaled_cov(V, self.obs_scale), W, phi)
        if found is None:
            return None
        by_transition = np.zeros((self.coefficients.k_states,) * 2)
        by_transition[rows, rows] = found.phi
        by_matrix = {"obs_cov": found.obs_cov, "state_cov": found.state_cov, "transition": by_transition}
        nothing = np.zeros(0)
        return SystemScore(found.llf, by_matrix, nothing, nothing, nothing)

    def deviation_information(self, params: Array) -> Array:
        """
        Return the average of the observed and the expected information at a full parameter vector.

        The second derivatives of W and V by loadings are included, times the score.

        Raises
        ------
        numpy.linalg.LinAlgError
            If a matrix is too close to a singular one.
        """
        deviations, every = self.deviations, np.arange(len(self.layout))
        if deviations is not None:
            V, W, phi = self._moves(params)
            by_obs, by_state = self._elements("obs", params), self._elements("state", params)
            by_state = _joined([by_state, *self._proportions(by_obs, params)])
            by = by_obs, by_state, self.layout.derivative("transition", every)
            found = deviations.information(scaled_cov(V, self.obs_scale), W, phi, by, len(every))
            if found is not None:
                return found - self._curvature(params)
        raise np.linalg.LinAlgError("The covariance of a row is singular")

    def _elements(self, key: str, params: Array) -> Elements:
        """Return the derivatives of V or W, with its factors, by all parameters."""
        found = [self.layout.derivative(f"{key}_cov", np.arange(len(self.layout)))]
        block, index = self.layout.blocks[f"{key}_loading"], self.layout.index[f"{key}_loading"]
        loading = self.layout.matrix(f"{key}_loading", params)
        for i, column, place, coef in zip(block.rows, block.columns, index, block.coefs, strict=True):
            other = np.flatnonzero(loading[:, column])
            values, same = coef * loading[other, column], np.full(len(other), i)
            for rows, columns in ((same, other), (other, same)):
                found.append(Elements(rows, columns, np.full(len(other), place), values))
        return _joined(found)

    def _proportions(self, by_obs: Elements, params: Array) -> Iterator[Elements]:
        """Yield the derivatives of the blocks q_j V of W."""
        block, index = self.layout.blocks["proportion"], self.layout.index["proportion"]
        V, share = self._blocks(params)["obs_cov"], np.diag(self.layout.matrix("proportion", params))
        for place, j in enumerate(self.proportional):
            rows = self.coefficients.noise_places(j)
            yield Elements(
                rows[by_obs.rows], rows[by_obs.columns], by_obs.params, share[place] * by_obs.values
            )
            for param in index[block.rows == place]:
                left, right = np.repeat(rows, len(rows)), np.tile(rows, len(rows))
                yield Elements(left, right, np.full(len(left), param), V.ravel())

    def _curvature(self, params: Array) -> Array:
        """Return the second derivatives of V and W by loadings, times the score."""
        out = np.zeros((len(self.layout),) * 2)
        if not self.has_factors:
            return out
        score = self.deviation_score(params)
        by = {} if score is None else self.score_by_block(score, params)
        for key in ("obs", "state"):
            block, index = self.layout.blocks[f"{key}_loading"], self.layout.index[f"{key}_loading"]
            if f"{key}_cov" in by and len(index):
                same = block.columns[:, None] == block.columns
                slopes = by[f"{key}_cov"] + by[f"{key}_cov"].T
                weights = block.coefs[:, None] * block.coefs
                np.add.at(out, np.ix_(index, index), same * weights * slopes[np.ix_(block.rows, block.rows)])
        return out

    def values(self, problem: EstimationProblem, points: Sequence[Array]) -> Array:
        """Return the log-likelihoods at several points, from one loop over time for all of them."""
        deviations, found = self.deviations, None
        if deviations is not None and len(points) >= _SEVERAL:
            moves = [self._moves(problem.full(point)) for point in points]
            found = deviations.loglikes(*(np.array(each) for each in zip(*moves, strict=True)))
        if found is None:
            return super().values(problem, points)
        exist = np.isfinite(found) & np.array([problem.feasible(point) for point in points])
        return np.where(exist, found, -np.inf)


def _joined(parts: Sequence[Elements]) -> Elements:
    names = ("rows", "columns", "params", "values")
    return Elements(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
