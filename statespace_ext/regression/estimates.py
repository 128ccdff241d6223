"""Estimated coefficients of the series and of portfolios of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..engine.arguments import names_among
from ..exceptions import DataError, SpecificationError, shown


@dataclass(frozen=True, repr=False)
class Coefficient(Displayed):
    """
    Estimates of the coefficients on one regressor, labelled by series or by portfolio.

    Attributes
    ----------
    dynamics : str
        "static", "random_walk", "ar1" or "local_linear".
    smoothed, filtered : DataFrame, (nobs, p)
        E[. | all data] and E[. | data up to t].
    predicted : DataFrame, (nobs + 1, p)
        E[. | data up to t - 1]. The last row belongs to the period after the sample.
    smoothed_se, filtered_se, predicted_se : DataFrame
        Standard errors of these means, given the parameters.

    Notes
    -----
    Filtered coefficients are NaN if the data up to t do not determine them. Predicted coefficients are NaN if
    the data up to t - 1 do not determine them. Smoothed coefficients are NaN if no data determine them.
    """

    dynamics: str
    smoothed: pd.DataFrame
    filtered: pd.DataFrame
    smoothed_se: pd.DataFrame
    filtered_se: pd.DataFrame
    predicted: pd.DataFrame
    predicted_se: pd.DataFrame

    @property
    def estimate(self) -> pd.Series:
        """The constant coefficient of each series; raises if the coefficients vary over time."""
        self._require_static()
        return self.smoothed.iloc[-1].rename("estimate")

    @property
    def se(self) -> pd.Series:
        """Standard error of ``estimate`` given V; raises if the coefficients vary over time."""
        self._require_static()
        return self.smoothed_se.iloc[-1].rename("se")

    def _require_static(self) -> None:
        if self.dynamics != "static":
            raise SpecificationError(
                "A coefficient that varies over time has no single estimate",
                got=self.dynamics,
                remedy="Use `smoothed` and `smoothed_se`.",
            )


@dataclass(frozen=True, repr=False)
class Portfolio(Displayed):
    """
    Coefficients of portfolios of the series, w' theta_{j,t}, by regressor.

    Attributes
    ----------
    weights : DataFrame, (p, r)
        The weights, with a row for each series and a column for each portfolio.
    coefficients : dict of str to Coefficient
        Smoothed, filtered and predicted paths with their standard errors, by regressor. Each path has a
        column for each portfolio. The dynamics are those of the series. A regressor that differs by series
        has a key for each of them, such as "size.A".
    constant : str or None
        Name of the coefficient on the constant; None if the regression has no constant.
    slopes : list of str
        Names of the slopes of "local_linear" coefficients among ``coefficients``.
    """

    weights: pd.DataFrame
    coefficients: dict[str, Coefficient]
    constant: str | None
    slopes: list[str] = field(default_factory=list)

    @property
    def alpha(self) -> Coefficient:
        """The coefficients on the constant; raises if the regression has no constant."""
        if self.constant is None:
            raise SpecificationError(
                "The regression has no constant",
                got=shown(self.coefficients),
                expected='a regressor named "const"',
                remedy="Use `coefficients`.",
            )
        return self.coefficients[self.constant]

    @property
    def beta(self) -> Any:
        """The coefficients on the other regressors; a dict by regressor if there are several."""
        others = {self.constant, *self.slopes}
        betas = {name: found for name, found in self.coefficients.items() if name not in others}
        return next(iter(betas.values())) if len(betas) == 1 else betas


def portfolio_weights(weights: object, series: list[str]) -> pd.DataFrame:
    """
    Return weights as a frame with a row for each series and a column for each portfolio.

    Parameters
    ----------
    weights : mapping, Series or DataFrame
        Weights by name of a series. A frame has a column for each portfolio. Series that are not named have
        weight zero.
    series : list of str
        Names of the series.

    Raises
    ------
    SpecificationError
        If the weights have no names, or names that do not belong to a series.
    DataError
        If weights are not finite numbers, or the name of a series or portfolio occurs twice.
    """
    if not isinstance(weights, (Mapping, pd.Series, pd.DataFrame)) or len(weights) == 0:
        raise SpecificationError(
            "weights must be given by series",
            got=repr(weights),
            expected=f"a dict, Series or DataFrame by {shown(series)}",
        )
    given: Any = weights if isinstance(weights, (pd.Series, pd.DataFrame)) else pd.Series(dict(weights))
    if isinstance(given, pd.Series):
        given = given.to_frame("portfolio" if given.name is None else given.name)
    given = given.rename(index=str, columns=str)
    names_among(given.index, series, "series in weights")
    for names in given.axes:
        if not names.is_unique:
            raise DataError("weights have a repeated name", got=shown(names), expected="each name once")
    return _finite(given, repr(weights)).reindex(series, fill_value=0.0)


def _finite(frame: pd.DataFrame, shown_as: str) -> pd.DataFrame:
    """Return weights as floats; raise `DataError` if a weight is missing, not a number or not finite."""
    try:
        values = frame.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError("weights are not numeric", got=shown_as) from error
    if not values.size or not np.all(np.isfinite(values)):
        raise DataError(
            "weights have missing or infinite values", got=values.to_numpy().tolist(), expected="numbers"
        )
    return values
