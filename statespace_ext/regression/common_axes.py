"""The likelihood of a regression of many series from the decomposition of their common regressors."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..em.moments import Moments
from ..engine.smoother import Smoother
from ..engine.system import System
from ..numerics.common_regressors import CommonRegressors, CommonRegressorScore, RegressorAxes
from ..numerics.linear_algebra import Array
from .obs_scale import unscaled

_ROWS, _ROWS_PER_SERIES, _MOST_ROWS = 800, 100, 3000
"""Periods up to which the decomposition saves a fit more time than it takes: base, per series and maximum."""
_KEPT_ROWS, _KEPT = 1000, 4
"""Periods up to which decompositions are cached for models with the same regressors, and the cache size."""


def decomposed(exog: Array, moving: int, periods: Array) -> RegressorAxes | None:
    """Return the axes of the regressors, or None if these are linearly dependent."""
    if len(exog) > _KEPT_ROWS:
        return _decomposed(exog, moving, periods)
    return _kept(exog.tobytes(), exog.shape, moving, periods.tobytes())


def _decomposed(exog: Array, moving: int, periods: Array) -> RegressorAxes | None:
    try:
        return RegressorAxes(exog, moving, periods)
    except np.linalg.LinAlgError:
        return None


@lru_cache(maxsize=_KEPT)
def _kept(exog: bytes, shape: tuple[int, int], moving: int, periods: bytes) -> RegressorAxes | None:
    given = np.frombuffer(exog).reshape(shape)
    return _decomposed(given, moving, np.frombuffer(periods, dtype=np.intp))


class RegressionSmoother(Smoother):
    """
    A smoother of the coefficients of a dynamic regression.

    It uses the log-likelihood of `CommonRegressors` if one coefficient is a random walk, the others are
    constant, the start is exact diffuse and no row is partly missing.

    Parameters
    ----------
    walk : int or None
        The regressor whose coefficients are random walks, if all other coefficients are constant.
    scale : ndarray, (nobs, p), or None
        Multipliers of the standard deviations of the noise.
    *given
        The arguments of `Smoother`.
    """

    def __init__(self, *given: Any, walk: int | None, scale: Array | None = None) -> None:
        super().__init__(*given)
        self._walk, self.scale = walk if scale is None else None, scale

    def moments(self, system: System) -> Moments:
        """Return the moments of the E-step, scaled so that the noise covariance is V in every period."""
        found = super().moments(system)
        return replace(found, observation=unscaled(found.observation, self.scale))

    @cached_property
    def common(self) -> CommonRegressors | None:
        """The decomposed series, or None if the likelihood has no such form or a filter pass is faster."""
        empty = self.missing.all(axis=1)
        if self._walk is None or np.any(self.missing[~empty]):
            return None
        periods, p = np.flatnonzero(~empty), self.endog.shape[1]
        if len(periods) > min(_ROWS + _ROWS_PER_SERIES * p, _MOST_ROWS):
            return None
        axes = decomposed(np.ascontiguousarray(self.exog[periods]), self._walk, periods)
        return None if axes is None else CommonRegressors(axes, self.endog[periods])

    def loglike(self, system: System) -> float:
        """Return the log-likelihood."""
        if system.start == "diffuse" and self.common is not None:
            found = self.common.loglike(system.obs_cov, system.state_cov)
            if found is not None:
                return found
        return super().loglike(system)

    def common_score(self, obs_cov: Array, state_cov: Array) -> CommonRegressorScore | None:
        """Return the log-likelihood and its derivatives by V and W, or None if these need a filter pass."""
        return None if self.common is None else self.common.score(obs_cov, state_cov)
