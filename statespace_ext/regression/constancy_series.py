"""The likelihood ratio of W = 0 for one series, whose distribution has no unknown parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..numerics.linear_algebra import Array
from .constancy_statistics import FittedRatio
from .contrasts import LONGEST, ProfileRatio, contrasts


class SeriesRatio:
    """
    One series with independent random walks, from its own rows: by a profile likelihood, or by fits.

    Parameters
    ----------
    model : DynamicRegression
        The regression.
    place : int
        The series.
    """

    def __init__(self, model: Any, place: int) -> None:
        self._seen = ~np.isnan(model.endog[:, place])
        self._profile: ProfileRatio | None = None
        moving = model.coefficients.moving
        if len(moving) == 1 and self._seen.sum() <= LONGEST:
            found = contrasts(np.asarray(model.exog), moving[0], self._seen)
            self._basis, self._profile = found.basis, ProfileRatio(found, "scalar", 1)
        else:
            self._fitted = FittedRatio(model._of_series(place), pivotal=True)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return a series."""
        return np.where(self._seen, rng.standard_normal(len(self._seen)), np.nan)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the likelihood ratio of a series."""
        if self._profile is None:
            return self._fitted.ratio(sample[:, None])
        return self._profile.ratio(self._basis.T @ sample[self._seen, None])
