"""Coefficients of portfolios of the series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..exceptions import DataError, SpecificationError, nearest, shown


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
        column for each portfolio. The dynamics are those of the series.
    constant : str or None
        Name of the coefficient on the constant; None if the regression has no constant.
    """

    weights: pd.DataFrame
    coefficients: dict[str, Any]
    constant: str | None

    @property
    def alpha(self) -> Any:
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
        betas = {name: found for name, found in self.coefficients.items() if name != self.constant}
        return next(iter(betas.values())) if len(betas) == 1 else betas


def portfolio_weights(weights: Any, series: list[str]) -> pd.DataFrame:
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
            "weights do not name the series",
            got=repr(weights),
            expected=f"a dict, Series or DataFrame by {shown(series)}",
        )
    given: Any = weights if isinstance(weights, (pd.Series, pd.DataFrame)) else pd.Series(dict(weights))
    if isinstance(given, pd.Series):
        given = given.to_frame("portfolio" if given.name is None else given.name)
    rows, columns = ([str(name) for name in axis] for axis in given.axes)
    unknown = [name for name in rows if name not in series]
    if unknown:
        raise SpecificationError(
            "weights name series that the model does not have",
            got=shown(unknown),
            expected=f"names among {shown(series)}",
            remedy=nearest(unknown[0], series),
        )
    for names in (rows, columns):
        if len(set(names)) < len(names):
            raise DataError("weights have a name twice", got=shown(names), expected="each name once")
    try:
        values = given.to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError("weights are not numeric", got=repr(weights)) from error
    if not values.size or not np.all(np.isfinite(values)):
        raise DataError("weights have missing or infinite values", got=values.tolist(), expected="numbers")
    frame = pd.DataFrame(values, index=rows, columns=columns)
    return frame.reindex(series, fill_value=0.0)
