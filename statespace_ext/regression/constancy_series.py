"""The likelihood ratio of W = 0 for one series, whose distribution has no unknown parameters."""

from __future__ import annotations

import numpy as np
import scipy.optimize

from ..engine.smoother import Smoother
from ..engine.system import System
from ..engine.system_score import system_score
from ..numerics.linear_algebra import Array
from .contrasts import CONVERGED, LONGEST, MODERATE, OPTIONS, SMALL, ProfileRatio, contrasts, largest_root
from .starts import series_by_series

_COVARIANCES = frozenset({"obs_cov", "state_cov"})


class SeriesRatio:
    """
    One series with independent random walks, from its own rows: at once, or by maximum likelihood.

    Parameters
    ----------
    seen : ndarray of bool, (nobs,)
        The periods that are observed.
    exog : ndarray, (nobs, m)
        Regressors.
    moving : list of int
        Those whose coefficients move.
    """

    pivotal = True

    def __init__(self, seen: Array, exog: Array, moving: list[int]) -> None:
        self._seen = seen
        self._exog = exog / np.sqrt(np.mean(exog[seen] ** 2, axis=0))
        self._moving = moving
        self._profile: ProfileRatio | None = None
        if len(moving) == 1 and seen.sum() <= LONGEST:
            found = contrasts(self._exog, moving[0], seen)
            self._basis, self._profile = found.basis, ProfileRatio(found, "scalar", 1)
        else:
            self._largest = np.array([largest_root(self._exog, j, seen) for j in moving])

    def draw(self, rng: np.random.Generator) -> Array:
        """Return a series."""
        return np.where(self._seen, rng.standard_normal(len(self._seen)), np.nan)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the likelihood ratio of a series."""
        residuals = series_by_series(sample[:, None], self._exog)[1]
        residuals = residuals / np.sqrt(np.nansum(residuals**2) / (self._seen.sum() - self._exog.shape[1]))
        if self._profile is not None:
            return self._profile.ratio(self._basis.T @ residuals[self._seen])
        return _WalksLikelihood(residuals, self._exog, self._moving).ratio(self._largest)


class _WalksLikelihood:
    """The exact diffuse likelihood of a series with several random walks, by standard deviations."""

    def __init__(self, series: Array, exog: Array, moving: list[int]) -> None:
        n, m = exog.shape
        self._smoother = Smoother(series, m, len(moving))
        self._design = np.ascontiguousarray(exog.T)[None].copy(order="F")
        self._selection = np.eye(m)[:, moving]
        self._m, self._q = m, len(moving)

    def _system(self, variances: Array) -> System:
        m = self._m
        return System(
            design=self._design, obs_intercept=np.zeros(1), obs_cov=variances[:1, None], transition=np.eye(m),
            state_intercept=np.zeros(m), selection=self._selection, state_cov=np.diag(variances[1:]),
            start="diffuse", initial_state=np.zeros(m), initial_state_cov=np.zeros((m, m)),
        )  # fmt: skip

    def ratio(self, largest: Array) -> tuple[float, bool]:
        """Return the likelihood ratio of no variance at all; the residual variance is one without it."""
        null = self._smoother.loglike(self._system(np.eye(self._q + 1)[0]))
        tries = []
        for size in (SMALL, MODERATE):
            scale = np.sqrt(np.concatenate([[1.0], 1.0 / largest]))
            start = np.sqrt(np.concatenate([[1.0], np.full(self._q, size)]))
            tries.append(
                scipy.optimize.minimize(  # type: ignore[call-overload]
                    self._objective, start, (scale,), "L-BFGS-B", jac=True, options=OPTIONS
                )
            )
        best = min(tries, key=lambda out: float(out.fun))
        found = bool(np.max(np.abs(best.jac)) < CONVERGED)
        return max(0.0, 2.0 * (-float(best.fun) - null)), found

    def _objective(self, z: Array, scale: Array) -> tuple[float, Array]:
        deviations = z * scale
        score = system_score(self._smoother, self._system(deviations**2), _COVARIANCES)
        by = np.concatenate([np.diag(score.by_matrix["obs_cov"]), np.diag(score.by_matrix["state_cov"])])
        return -score.llf, -2.0 * by * deviations * scale
