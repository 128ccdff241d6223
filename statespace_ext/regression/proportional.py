"""EM where the state covariances are multiples of the observation covariance: W_j = q_j V."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..em.covariances import update_covariance
from ..em.moments import Moments, Regression
from ..em.updates import LinearGaussianUpdates, NamedUpdate
from ..numerics.linear_algebra import Array
from ..params.covariance import precision_of


@dataclass(frozen=True)
class ProportionalUpdates(LinearGaussianUpdates):
    """
    Updates of V and q_j, the coefficients being random walks or constants.

    The expected log-likelihood of eps ~ N(0, V) and eta_j ~ N(0, q_j V) is maximised in turn over V (its
    structure's update, the sums of eta_j scaled by 1 / q_j), then over q_j = tr(V^{-1} E eta eta') / (p n).
    """

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates."""
        return [[("obs_cov and proportion", self.obs_cov_and_proportion)]]

    def obstacle(self) -> str | None:
        """Say why EM cannot estimate this specification, None where it can."""
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
        """V, then q_j."""
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
