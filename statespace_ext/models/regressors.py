"""Regressors of periods after the sample: by formula, by name, by period."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, shown
from ..statespace.dates import check_index
from ..statespace.validation import endog_frame, regressor_array
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


def check_future_index(value: Any, model: Any, steps: int) -> None:
    """
    Refuse future regressors whose labels are not the periods after the sample, in their order.

    Labels of another kind than those of the sample, and 0, 1, ... are no labels.

    Raises
    ------
    DataError
        If they are other periods.
    """
    index, names = getattr(value, "index", None), model.coefficients.regressors
    if not isinstance(index, pd.Index) or index.equals(pd.RangeIndex(len(index))):
        return
    if isinstance(value, pd.Series) and len(names) > 1:  # one period
        if [str(name) for name in index] != names:
            raise DataError(
                "The index of exog, a row, has not the names of the regressors",
                got=shown(index),
                expected=shown(names),
            )
        return
    check_index(index, "future exog")
    expected = _periods(model, steps)
    if expected is None or len(index) != steps:
        return
    after = model._index_generated  # the sample's labels are known, but not how they go on
    if not _agree(index, expected, after):
        raise DataError(
            "The index of exog is not that of the periods after the sample",
            got=f"{index[0]} to {index[-1]}",
            expected=f"after {expected[-1]}" if after else f"{expected[0]} to {expected[-1]}",
        )


def _periods(model: Any, steps: int) -> pd.Index | None:
    """Return the labels of the periods after the sample; those of the sample where they have no frequency."""
    if model._index_generated:
        labels: pd.Index | None = model.data.row_labels
        return labels
    dates = vars(model.data).get("predict_dates")  # statsmodels' labels of the prediction that is under way
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after: pd.Index = model._get_prediction_index(model.nobs, model.nobs + steps - 1)[3]
    model.data.predict_dates = dates
    return after


def _agree(index: pd.Index, expected: pd.Index, after: bool) -> bool:
    """Tell whether labels are the expected ones, or come after them; so are labels of another kind."""
    dates = [isinstance(labels, (pd.DatetimeIndex, pd.PeriodIndex)) for labels in (index, expected)]
    integers = [pd.api.types.is_integer_dtype(labels.dtype) for labels in (index, expected)]
    if not all(dates) and not all(integers):
        return True
    if isinstance(expected, pd.PeriodIndex) and isinstance(index, pd.DatetimeIndex):
        index = index.to_period(expected.freqstr)
    elif isinstance(index, pd.PeriodIndex) and isinstance(expected, pd.DatetimeIndex):
        expected = expected.to_period(index.freqstr)
    try:
        return bool(index[0] > expected[-1]) if after else bool((index == expected).all())
    except (TypeError, ValueError):  # other frequencies or time zones
        return False
