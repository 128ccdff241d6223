"""Estimates of the factors, which several models have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import SpecificationError
from .states import estimates_of


@dataclass(frozen=True)
class Factors:
    """
    Estimates of the factors, labelled by period.

    Attributes
    ----------
    smoothed, filtered : DataFrame, (nobs, k)
        E[x_t | all data] and E[x_t | data up to t].
    smoothed_cov : DataFrame, (nobs * k, k)
        Var[x_t | all data], indexed by period and factor.
    filtered_se : DataFrame, (nobs, k)
        Standard errors of the filtered factors, given the parameters.
    predicted, predicted_se : DataFrame, (nobs + 1, k)
        E[x_t | data up to t - 1] and its standard errors; the last row is of the period after the sample.

    Notes
    -----
    A factor that the data up to t (up to t - 1 where predicted) do not determine is NaN.
    """

    smoothed: pd.DataFrame
    filtered: pd.DataFrame
    smoothed_cov: pd.DataFrame
    filtered_se: pd.DataFrame
    predicted: pd.DataFrame
    predicted_se: pd.DataFrame

    @property
    def smoothed_se(self) -> pd.DataFrame:
        """Standard deviations of the smoothed factors."""
        k = self.smoothed.shape[1]
        values = self.smoothed_cov.to_numpy().reshape(-1, k, k)
        se = np.sqrt(np.clip(np.diagonal(values, axis1=1, axis2=2), 0.0, None))
        return pd.DataFrame(se, index=self.smoothed.index, columns=self.smoothed.columns)


def factors_of(results: Any, names: list[str], index: Any) -> Factors:
    """
    Return the factors of results whose first states they are.

    Raises
    ------
    SpecificationError
        If the fit kept no states.
    """
    if results.smoothed_state is None:
        raise SpecificationError(
            "The factors were not computed",
            got="a fit with low_memory=True",
            remedy="Call `model.smooth(res.params)`.",
        )
    k = len(names)
    cov = np.transpose(results.smoothed_state_cov[:k, :k], (2, 0, 1)).reshape(-1, k)
    rows = pd.MultiIndex.from_product([index, names])
    found = estimates_of(results, np.eye(k, len(results.smoothed_state)), index, names)
    return Factors(
        pd.DataFrame(results.smoothed_state[:k].T, index=index, columns=names),
        found.filtered,
        pd.DataFrame(cov, index=rows, columns=names),
        found.filtered_se,
        found.predicted,
        found.predicted_se,
    )
