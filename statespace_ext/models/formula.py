"""Formulas with several series on the left, parsed by patsy without dropping rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import patsy

from ..exceptions import DataError, SpecificationError


def regression_frames(
    formula: str, data: pd.DataFrame, depth: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """
    Return series and regressors of a formula, and patsy's description of the regressors.

    Names that are not columns are looked up ``depth`` calls above the caller, as patsy does.

    Raises
    ------
    SpecificationError
        If the formula has no left-hand side or names columns that the data do not have.
    DataError
        If a regressor is missing in some period.
    """
    keep = patsy.NAAction(NA_types=[])
    try:
        left, right = patsy.dmatrices(
            formula, data, eval_env=depth + 1, NA_action=keep, return_type="dataframe"
        )
    except patsy.PatsyError as error:
        raise SpecificationError(
            "The formula cannot be evaluated",
            got=repr(formula),
            expected=f"columns among {list(data.columns)}",
            remedy=str(error).splitlines()[0],
        ) from error
    info = right.design_info
    series = left.drop(columns="Intercept", errors="ignore")
    if series.shape[1] == 0:
        raise SpecificationError("The formula has no series on the left", got=repr(formula))
    exog = right.rename(columns={"Intercept": "const"})
    if not np.all(np.isfinite(exog.to_numpy())):
        raise DataError("The regressors of the formula have missing or infinite values", got=repr(formula))
    return pd.DataFrame(series.astype(float)), pd.DataFrame(exog.astype(float)), info


def regressors_out_of_sample(design_info: Any, data: pd.DataFrame) -> pd.DataFrame:
    """Return future regressors built from the formula's right-hand side."""
    keep = patsy.NAAction(NA_types=[])
    (matrix,) = patsy.build_design_matrices([design_info], data, NA_action=keep, return_type="dataframe")
    return pd.DataFrame(matrix.rename(columns={"Intercept": "const"}).astype(float))
