"""The types of what results inherit from statsmodels, which declares none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ..numerics.linear_algebra import Array


class Inherited:
    """Mixin of the results without code, for type checkers and for editors that complete names."""

    params: pd.Series[float]
    tvalues: pd.Series[float]
    zvalues: pd.Series[float]
    pvalues: pd.Series[float]
    fittedvalues: pd.DataFrame | pd.Series[float]
    resid: pd.DataFrame | pd.Series[float]
    llf: float
    aic: float
    nobs: int
    mle_retvals: dict[str, Any] | None
    mle_settings: dict[str, Any]
    cov_type: str
    llf_obs: Array
    smoothed_state: Array
    smoothed_state_cov: Array
    filtered_state: Array
    filtered_state_cov: Array
    predicted_state: Array
    predicted_state_cov: Array
    forecasts: Array
    forecasts_error: Array
    forecasts_error_cov: Array
    standardized_forecasts_error: Array

    if TYPE_CHECKING:

        def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
            """Return intervals of the estimates; see `MLEResults.conf_int`."""
            ...

        def forecast(self, steps: Any = 1, **kwargs: Any) -> pd.DataFrame | pd.Series[float]:
            """Return forecasts; see `MLEResults.forecast`."""
            ...

        def predict(
            self, start: Any = None, end: Any = None, dynamic: Any = False, **kwargs: Any
        ) -> pd.DataFrame | pd.Series[float]:
            """Return predictions; see `MLEResults.predict`."""
            ...
