"""Formulas for `LGSSM`: ``exog`` of the sample and of other periods."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..base.formula import FormulaDesign, named_regressors, regression_frames
from ..base.model import StateSpaceModel
from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array
from .results import LGSSMResults


class ByFormula(StateSpaceModel[LGSSMResults]):
    """A model whose ``exog`` may be built by a formula."""

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, **kwargs: Any) -> Any:
        """
        Build the model from a formula, such as ``"IBM + XOM ~ MKT"``, by patsy.

        Parameters
        ----------
        formula : str
            The series on the left and ``exog`` on the right. The intercept is ``obs_intercept``. With
            ``- 1`` it is zero, unless you pass ``obs_intercept``.
        data : DataFrame
            The data. Rows with missing values on the left are kept.
        **kwargs
            Constructor arguments, including ``k_factors``.

        Raises
        ------
        SpecificationError, DataError
            If the formula or its data are invalid, or ``exog`` is also given.

        Notes
        -----
        patsy evaluates the terms of a formula as Python code. Do not use formulas from untrusted sources.
        """
        if "exog" in kwargs:
            raise SpecificationError(
                "exog and a formula cannot be combined", remedy="Put the regressors into the formula."
            )
        endog, exog, design_info = regression_frames(formula, data, depth=1, constant=False)
        if "const" not in exog:
            kwargs.setdefault("obs_intercept", "zero")
        exog = exog.drop(columns="const", errors="ignore")
        model: Any = cls(endog, exog=exog if exog.shape[1] else None, **kwargs)
        model.design_info = design_info if exog.shape[1] else None
        return model

    design_info: FormulaDesign | None = None
    """The right-hand side of the formula of `from_formula`, which builds ``exog`` of other periods."""

    def regressors(self, exog: Any) -> Any:
        """
        Return ``exog`` of other periods. If the model has a formula, build it from the frame.

        Raises
        ------
        DataError
            If the frame lacks columns of the formula, or has missing values.
        """
        if self.design_info is None or not isinstance(exog, pd.DataFrame):
            return exog
        found = named_regressors(exog, self.regressor_names["exog"], False, self.design_info)
        return found if found is exog else found.drop(columns="const", errors="ignore")

    def future_rows(self, value: Any, name: str) -> Array:
        """Return future regressors as an array. A frame with the columns of the formula is accepted too."""
        return super().future_rows(self.regressors(value) if name == "exog" else value, name)

    def clone(self, endog: object, exog: object = None, **kwargs: Any) -> Any:
        """
        Return the same model for other data.

        Parameters
        ----------
        endog, exog : array_like
            Data of the new model. A model with ``exog`` or ``state_exog`` needs new values of these. For a
            model from a formula, ``exog`` may be a frame with the columns of the formula.
        **kwargs
            Constructor arguments to change.
        """
        model = super().clone(endog, self.regressors(exog), **kwargs)
        model.design_info = self.design_info
        return model
