"""Observed factors, surveys, and macro factors that yields do not span."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..engine.validation import check_regressors, regressor_frame, regressor_names
from ..exceptions import DataError, SpecificationError
from ..numerics.bond_pricing import loadings_vjp
from ..numerics.linear_algebra import Array
from ..numerics.ornstein_uhlenbeck import whole_periods
from .dynamics import Dynamics, padded

_LONGEST = 60.0
"""Longest horizon in years. A longer one is probably in months by mistake."""


def survey_frame(surveys: object, nobs: int, index: Any, period: float | None) -> tuple[pd.DataFrame, Array]:
    """
    Return surveys at the dates of the yields (NaN if there is no survey), and their horizons in years.

    Raises
    ------
    SpecificationError
        If the surveys are not a DataFrame by horizon, or a horizon is invalid.
    DataError
        If a date is not among those of the yields, or there are no values.
    """
    values, horizons = _read(surveys)
    if period is not None:
        whole_periods(horizons, period)
    index = pd.RangeIndex(nobs) if index is None else index
    foreign = values.index.difference(index)
    if len(foreign) or values.index.has_duplicates:
        raise DataError(
            "surveys have dates that the yields do not have, or repeated dates",
            got=foreign[0] if len(foreign) else values.index[values.index.duplicated()][0],
            expected=f"dates of the yields, from {index[0]} to {index[-1]}",
            remedy="Give each survey the date of the last yields that the respondents knew.",
        )
    if np.isinf(values.to_numpy()).any():
        raise DataError(
            "surveys have infinite values", expected="finite numbers, or NaN where a value is missing"
        )
    return values.reindex(index).set_axis([f"survey.{h:g}y" for h in horizons], axis=1), horizons


def _read(surveys: object) -> tuple[pd.DataFrame, Array]:
    """Return the cells and the horizons of surveys; raise if they are invalid."""
    if not isinstance(surveys, pd.DataFrame):
        raise SpecificationError(
            "surveys must be a DataFrame by horizon",
            got=type(surveys).__name__,
            expected="a DataFrame with years as columns",
        )
    try:
        horizons = np.array([float(column) for column in surveys.columns])
        values = surveys.astype(float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            "surveys have columns or cells that are not numbers",
            got=list(surveys.columns)[:5],
            expected="horizons in years as columns, rates as cells",
        ) from error
    if (
        not len(horizons)
        or not np.all((horizons > 0) & (horizons <= _LONGEST))
        or len(set(horizons)) < len(horizons)
    ):
        raise SpecificationError(
            "A horizon of the surveys cannot be used",
            got=horizons.tolist(),
            expected=f"different years above 0, up to {_LONGEST:g}",
            remedy="Divide months by 12.",
        )
    return values, horizons


def survey_vjp(
    both: Dynamics, horizons: Array, by_intercept: Array, by_slope: Array
) -> tuple[Array, Array, float, Array]:
    """
    Return the gradient by (K_P, kappa_P, delta_0, delta_1) of a function of expected average short rates.

    Parameters
    ----------
    both : Dynamics
    horizons : ndarray, (q,)
        Horizons in years.
    by_intercept : ndarray, (q,)
        The gradient by the intercepts.
    by_slope : ndarray, (q, n)
        The gradient by the slopes.
    """
    q, n = both.pricing, len(both.K_P)
    K, kappa, _, delta_0, delta_1 = loadings_vjp(
        both.K_P, both.kappa_P, np.zeros((n, n)), q.delta_0, padded(q.delta_1, n), horizons,
        by_intercept, by_slope, both.period,
    )  # fmt: skip
    return K, kappa, delta_0, delta_1[: len(q.K)]


_SPANNED = 1e-9
"""Unexplained share of the variance of a macro factor below which yields span the factor up to rounding."""


def with_observed(
    given: Mapping[str, Any], frame: Any, values: Array, labels: list[str], index: Any, period: float | None
) -> tuple[Any, list[str] | None, list[str], Array]:
    """
    Return yields with the surveys and factors from the arguments of `ATSM` in front of them.

    The other values are the names of observed factors (or None) and of macro factors, and the horizons of the
    surveys in years.

    Raises
    ------
    SpecificationError, DataError
        If the arguments are invalid.
    """
    nobs, horizons, rest = len(values), np.zeros(0), pd.DataFrame(values, index=index, columns=labels)
    if given.get("surveys") is not None:
        surveys, horizons = survey_frame(given["surveys"], nobs, index, period)
        frame = rest = beside(surveys, rest, "surveys")[0]
    if given.get("factors") is not None:
        own, k = regressor_frame(given["factors"], nobs, index, "factors"), given["k_factors"]
        if own.shape[1] != k:
            raise DataError(
                "factors have the wrong number of columns", got=own.shape[1], expected=f"{k}, k_factors"
            )
        return *beside(own, rest, "factors"), [], horizons
    if given.get("macro") is None:
        return frame, None, [], horizons
    frame, names = beside(macro_frame(given["macro"], nobs, index), rest, "macro")
    check_macro(frame[names].to_numpy(), names, values, given["obs_cov"] == "exact-portfolios")
    return frame, None, names, horizons


def beside(frame: Any, rest: pd.DataFrame, what: str) -> tuple[pd.DataFrame, list[str]]:
    """
    Put observed columns in front of the yields, and return their names too.

    Raises
    ------
    DataError
        If a column has the name of a yield.
    """
    names, labels = regressor_names(frame, what[0]), list(rest)
    both = sorted(set(names) & set(labels))
    if both or len(set(names)) < len(names):
        raise DataError(f"{what} and yields have columns of the same name", got=both or names)
    columns = np.column_stack([frame, rest])
    return pd.DataFrame(columns, index=rest.index, columns=names + labels), names


def macro_frame(macro: Any, nobs: int, index: Any) -> Any:
    """
    Return macro factors as floats, with NaN for missing values.

    Raises
    ------
    DataError
        If the macro factors do not have the dates of the yields, or are not finite numbers.
    """
    if isinstance(macro, (pd.Series, pd.DataFrame)) and isinstance(index, pd.Index):
        absent = index.difference(macro.index) if index.dtype == macro.index.dtype else index[:0]
        if len(absent):
            raise DataError(
                "macro does not have all dates of the yields",
                got=f"{len(absent)} missing, the first {absent[0]}",
                expected=f"{index[0]} to {index[-1]}",
                remedy='Leave out these dates, or fill them with NaN (`macro.reindex(yields.index)`) and use '
                'obs_cov="diagonal" or "scalar".',
            )  # fmt: skip
    return regressor_frame(macro, nobs, index, "macro", may_miss=slice(None))


def check_macro(macro: Array, names: list[str], yields: Array, exact: bool) -> None:
    """
    Raise for macro factors that yields span, and for missing cells with exact portfolios.

    Raises
    ------
    DataError
        If a macro factor is a linear combination of the yields and the other factors, or a cell is missing.
    """
    both = np.column_stack([yields, macro])
    empty = np.isnan(both)
    if exact:
        _require_whole_dates(empty, names)
    seen = both[~empty.any(axis=1)]
    if len(seen) <= both.shape[1] + 1:
        return
    seen = seen - seen.mean(axis=0)
    size = np.sqrt(np.mean(seen**2, axis=0))
    seen = seen / np.where(size > 0, size, 1.0)
    p = yields.shape[1]
    for j, name in enumerate(names):
        others = np.delete(seen, p + j, axis=1)
        rest = seen[:, p + j] - others @ np.linalg.lstsq(others, seen[:, p + j], rcond=None)[0]
        if size[p + j] > 0 and np.mean(rest**2) < _SPANNED**2:
            raise DataError(
                f"The macro factor {name!r} is a combination of the yields and of the other macro factors",
                got="no variance of its own",
                expected="a factor that yields do not span",
                remedy="Leave it out: the portfolios of the yields are factors already.",
            )


def check_factors(observed: Array, name: str) -> None:
    """
    Raise for observed factors of which one is a linear combination of the others and a constant.

    Raises
    ------
    DataError
        If the factors are collinear.
    """
    complete = observed[~np.isnan(observed).any(axis=1)]
    if len(complete) > observed.shape[1] > 0:  # fewer rows are always combinations of each other
        check_regressors(complete - complete.mean(axis=0), name, with_constant=False)


def _require_whole_dates(empty: Array, names: list[str]) -> None:
    """Raise if yields and macro factors are partly missing at a date."""
    partly = empty.any(axis=1) & ~empty.all(axis=1)
    if not partly.any():
        return
    row = int(np.argmax(partly))
    column = int(np.argmax(empty[row])) - empty.shape[1] + len(names)
    raise DataError(
        'obs_cov="exact-portfolios" with macro= needs all yields and macro factors of a date, or none',
        got=f"row {row}: {'a yield' if column < 0 else names[column]} is missing",
        remedy='Use obs_cov="diagonal" or "scalar", or leave out this date.',
    )
