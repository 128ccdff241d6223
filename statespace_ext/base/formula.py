"""Formulas with several dependent series, without dropped rows, and regressors of later periods."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import patsy

from ..engine.validation import endog_frame, labels_of, regressor_array
from ..exceptions import DataError, SpecificationError, UnsupportedError, shown
from ..numerics.linear_algebra import Array
from .fitting import R
from .model import StateSpaceModel

_NAMESPACE = {"np": np, "numpy": np, "pd": pd, "pandas": pd}
"""Names that the formula of an unpickled model may use, besides its data and the functions of patsy."""


class FormulaDesign:
    """
    The right-hand side of a formula. It builds the regressors of other periods.

    The design of patsy cannot be pickled. A pickled `FormulaDesign` stores the formula and its data, and
    evaluates the formula again when needed, with numpy as ``np`` and pandas as ``pd``.

    Parameters
    ----------
    formula : str
        The formula.
    data : DataFrame
        The data. Only the columns on the right-hand side are stored.
    info : patsy.DesignInfo
        The design of patsy.

    Attributes
    ----------
    columns : list of str
        The columns that new data must contain.
    """

    def __init__(self, formula: str, data: pd.DataFrame, info: patsy.DesignInfo) -> None:
        self.formula = formula
        self.names = list(info.column_names)
        used = {name for factor in info.factor_infos for name in _names(factor.name())}
        self.columns = [column for column in data.columns if column in used]
        self.data = data[self.columns].copy()
        self._info: patsy.DesignInfo | None = info

    @property
    def info(self) -> patsy.DesignInfo:
        """
        The design of patsy for the right-hand side.

        Raises
        ------
        UnsupportedError
            If pickling removed the design, and the formula uses functions that are not available.
        """
        if self._info is None:
            desc = patsy.ModelDesc([], patsy.ModelDesc.from_formula(self.formula).rhs_termlist)
            try:
                info = patsy.dmatrix(desc, self.data, patsy.EvalEnvironment([_NAMESPACE])).design_info
            except patsy.PatsyError as error:
                raise self._lost(_first_line(error)) from error
            if list(info.column_names) != self.names:  # a function of the user has a name that patsy has
                raise self._lost(f"columns {shown(info.column_names)}")
            self._info = info
        return self._info

    def _lost(self, reason: str) -> UnsupportedError:
        return UnsupportedError(
            f"The formula {self.formula!r} cannot be evaluated again after pickling",
            got=reason,
            expected="functions of numpy (np), pandas (pd) or patsy, and data alone",
            remedy="Build the model again by from_formula, or pass the regressors themselves.",
        )

    def __getstate__(self) -> dict[str, object]:
        """Return the state without the design of patsy."""
        return {**self.__dict__, "_info": None}


def regression_frames(
    formula: str, data: pd.DataFrame, depth: int = 0, constant: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, FormulaDesign]:
    """
    Return the series and regressors of a formula, and its right-hand side for other periods.

    Names that are not columns are looked up ``depth`` calls above the caller, as in patsy. The right-hand
    side may be empty if the model has its own intercept rather than a ``constant`` regressor.

    Raises
    ------
    SpecificationError
        If the formula has no series or no regressors, or names columns that the data lack.
    DataError
        If a regressor has a missing value, or a series is not numeric.
    """
    environment = patsy.EvalEnvironment.capture(depth + 1)
    if not isinstance(formula, str):
        raise SpecificationError(
            "The formula is not a string", got=repr(formula), expected='"IBM + XOM ~ MKT"'
        )
    data = _plain_frame(data)
    left, right = _sides(formula, data, environment, constant)
    infos = left.design_info.factor_infos.values()
    categories = [each.factor.name() for each in infos if each.type == "categorical"]
    if categories:
        raise DataError(
            "The series on the left of the formula must be numeric",
            got=shown(categories),
            remedy="Convert them with `astype(float)`.",
        )
    series = left.drop(columns="Intercept", errors="ignore")
    if series.shape[1] == 0:
        raise SpecificationError("The formula has no series on the left", got=repr(formula))
    design = FormulaDesign(formula, data, right.design_info)
    return pd.DataFrame(series.astype(float)), _complete(right, data, formula), design


def _sides(formula: str, data: pd.DataFrame, environment: Any, constant: bool) -> tuple[Any, Any]:
    """Return the sides of a formula as frames of patsy: rows of NaN stay on the left and go on the right."""
    try:
        desc = patsy.ModelDesc.from_formula(formula)
        if not desc.rhs_termlist and constant:
            raise SpecificationError("The formula has no regressors on the right", got=repr(formula))
        keep = patsy.NAAction(NA_types=[])
        left, right = (
            patsy.dmatrix(
                patsy.ModelDesc([], terms), data, environment, NA_action=to, return_type="dataframe"
            )
            for terms, to in ((desc.lhs_termlist, keep), (desc.rhs_termlist, "drop"))
        )
    except patsy.PatsyError as error:
        raise SpecificationError(
            "The formula cannot be evaluated",
            got=repr(formula),
            expected=f"columns among {list(data.columns)}",
            remedy=_first_line(error),
        ) from error
    return left, right


def regressors_out_of_sample(design: FormulaDesign, data: pd.DataFrame) -> pd.DataFrame:
    """
    Return the regressors of other periods from the right-hand side of a formula.

    Raises
    ------
    DataError
        If columns or values are missing, or a category does not occur in the sample.
    """
    data = _plain_frame(data)
    absent = [name for name in design.columns if name not in data.columns]
    if absent:
        raise DataError(
            f"The data do not have all columns of the formula {design.formula!r}",
            got=f"columns {shown(data.columns)}",
            expected=f"also {shown(absent)}",
        )
    try:
        (matrix,) = patsy.build_design_matrices(
            [design.info], data, NA_action="drop", return_type="dataframe"
        )
    except patsy.PatsyError as error:
        raise DataError(
            f"The formula {design.formula!r} cannot be evaluated with these data", remedy=_first_line(error)
        ) from error
    return _complete(matrix, data, design.formula)


def _complete(matrix: pd.DataFrame, data: pd.DataFrame, formula: str) -> pd.DataFrame:
    """Return regressors with "const" as the intercept; raise an error if patsy dropped rows."""
    exog = matrix.rename(columns={"Intercept": "const"}).astype(float)
    missing = len(data) - len(exog)
    if missing or not np.all(np.isfinite(exog.to_numpy())):
        raise DataError(
            f"The regressors of the formula {formula!r} have missing or infinite values",
            got=f"{missing} of {len(data)} periods missing" if missing else "infinite values",
            remedy="Regressors cannot be missing: drop or fill those periods.",
        )
    return pd.DataFrame(exog)


def with_const(value: object, what: str) -> object:
    """Return an argument by regressor, with patsy's "Intercept" renamed to "const"."""
    if not isinstance(value, Mapping) or "Intercept" not in value:
        return value
    if "const" in value:
        raise SpecificationError(
            f"{what} names the constant twice", got=list(value), expected='"const" alone'
        )
    return {"const" if name == "Intercept" else name: item for name, item in value.items()}


def _plain_frame(data: object) -> pd.DataFrame:
    """Return the data with nullable numbers as floats, since patsy does not support them."""
    if not isinstance(data, pd.DataFrame):
        raise DataError("A formula needs its data in a DataFrame", got=type(data).__name__)
    out = data.copy()
    for name, kind in data.dtypes.items():
        if pd.api.types.is_extension_array_dtype(kind) and getattr(kind, "kind", "O") in "iuf":
            out[name] = data[name].to_numpy(float, na_value=np.nan)
    return out


def _names(code: str) -> set[str]:
    """Return the names in the code of a term, and the strings, as in ``Q("a name")``."""
    nodes = list(ast.walk(ast.parse(code)))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return texts | {node.id for node in nodes if isinstance(node, ast.Name)}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] + "."


def named_regressors(value: object, names: list[str], labelled: bool, design: FormulaDesign | None) -> Any:
    """
    Return the regressors of other periods, built by a formula or checked by name.

    Parameters
    ----------
    value : array_like
        Regressors. A model from a formula also accepts a frame with the columns of the formula.
    names : list of str
        Names of the regressors.
    labelled : bool
        Whether the names come from the sample rather than from defaults.
    design : FormulaDesign or None
        The right-hand side of the formula.

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
    """Return data of other periods; unnamed columns get the names of the model's series and regressors."""
    names = model.regressor_names["exog"]
    if isinstance(exog, (pd.Series, pd.DataFrame)) or not isinstance(model.data.orig_exog, pd.DataFrame):
        return endog, exog
    rows = regressor_array(exog, None, None, "exog")
    if rows is None or rows.shape[1] != len(names):
        return endog, exog
    index = labels_of(endog, len(rows))
    if index is None and np.ndim(endog) == 2 and np.shape(endog)[1] == len(model.coefficients.endog):
        endog = pd.DataFrame(np.asarray(endog_frame(endog)), columns=model.coefficients.endog)
    return endog, pd.DataFrame(rows, index=index, columns=names)


class ByFormula(StateSpaceModel[R]):
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

    def regressors(self, exog: object) -> Any:
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

    def future_rows(self, value: object, name: str) -> Array:
        """Return future regressors as an array. A frame with the columns of the formula is accepted too."""
        return super().future_rows(self.regressors(value) if name == "exog" else value, name)

    def clone(self, endog: object, exog: object = None, **kwargs: object) -> Any:
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
        return super().clone(endog, self.regressors(exog), **kwargs)
