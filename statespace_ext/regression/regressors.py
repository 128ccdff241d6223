"""Regressors of periods after the sample: by formula, by name, by period."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..engine.validation import endog_frame, regressor_array
from ..exceptions import DataError, shown
from .formula import FormulaDesign, regressors_out_of_sample


def named_regressors(value: Any, names: list[str], labelled: bool, design: FormulaDesign | None) -> Any:
    """
    Return regressors of other periods: built from the data of a formula, or checked by name.

    Parameters
    ----------
    value : array_like
        Regressors; for a model built by a formula also a frame with the columns that it needs.
    names : list of str
        Names of the regressors.
    labelled : bool
        Whether the names are those that the sample had, not made up.
    design : FormulaDesign or None
        Right-hand side of the formula.

    Raises
    ------
    DataError
        If a frame has other columns.
    """
    if not isinstance(value, pd.DataFrame):
        return value
    columns = [str(column) for column in value.columns]
    if columns == names:
        return value
    unnamed = value.columns.equals(pd.RangeIndex(len(names)))
    if design is not None and not unnamed and sorted(columns) != sorted(names):
        return regressors_out_of_sample(design, value)
    if labelled and not unnamed:
        raise DataError(
            "The columns of exog are not those of the model",
            got=shown(columns),
            expected=shown(names),
            remedy="Pass the same columns in the same order.",
        )
    return value


def labelled_as(model: Any, endog: Any, exog: Any) -> tuple[Any, Any]:
    """Return data of other periods with the names of a model's series and regressors where they have none."""
    names = model.coefficients.regressors
    if isinstance(exog, (pd.Series, pd.DataFrame)) or not isinstance(model.data.orig_exog, pd.DataFrame):
        return endog, exog
    rows = regressor_array(exog, None, None, "exog")
    if rows is None or rows.shape[1] != len(names):
        return endog, exog
    index = getattr(endog, "index", None)
    index = index if isinstance(index, pd.Index) and len(index) == len(rows) else None
    if index is None and np.ndim(endog) == 2 and np.shape(endog)[1] == len(model.coefficients.endog):
        endog = pd.DataFrame(np.asarray(endog_frame(endog)), columns=model.coefficients.endog)
    return endog, pd.DataFrame(rows, index=index, columns=names)
