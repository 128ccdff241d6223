"""Rates with their uncertainty, labelled by date and maturity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from ..base.reporting import normal_quantile
from ..base.states import Factors
from ..engine.arguments import truth
from ..exceptions import DataError, SpecificationError
from ..inference.information import delta_method
from ..numerics.linear_algebra import Array
from .quantities import Affine, Curves

DEFINITIONS = ("expected", "risk-neutral")


@dataclass(frozen=True)
class Rates:
    """
    Rates a year in the units of the yields, by date (or horizon) and maturity in years.

    Attributes
    ----------
    estimate, se : DataFrame, (n, m)
        Means and standard deviations.
    """

    estimate: pd.DataFrame
    se: pd.DataFrame

    def lower(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the lower ends of intervals of coverage 1 - alpha."""
        return self.estimate - normal_quantile(alpha) * self.se

    def upper(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the upper ends of intervals of coverage 1 - alpha."""
        return self.estimate + normal_quantile(alpha) * self.se

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return one row a date and maturity: estimate, se, lower, upper."""
        parts: dict[str, pd.DataFrame] = {
            "estimate": self.estimate,
            "se": self.se,
            "lower": self.lower(alpha),
            "upper": self.upper(alpha),
        }
        levels: Any = [self.estimate.index, self.estimate.columns]
        rows: Any = pd.MultiIndex.from_product(
            levels,
            names=[self.estimate.index.name or "date", self.estimate.columns.name],
        )
        return pd.DataFrame({key: part.to_numpy().ravel() for key, part in parts.items()}, index=rows)


_LONGEST = 1000.0
"""Years; exponentials of roots times much longer ones are no numbers."""
_FAR = 2.0
"""Times the longest maturity; a longer one is more likely to be a number of months."""


def years(value: Any, name: str, model: Any, extrapolate: bool = False, *, zero: bool = False) -> Array:
    """
    Return maturities or horizons in years as an array.

    Parameters
    ----------
    value : float or array_like
        The maturities or horizons.
    name : str
        What they are called.
    model : ATSM
        The model.
    extrapolate : bool
        Whether they may be longer than twice the longest maturity of the panel.
    zero : bool
        Whether they may be zero.

    Raises
    ------
    SpecificationError
        If they are not positive numbers (or zero, where allowed), or too long.
    """
    try:
        out = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"{name} is no number of years", got=repr(value)[:80]) from error
    if out.ndim != 1 or not len(out) or not np.all(np.isfinite(out)) or np.any(out < 0):
        raise SpecificationError(f"{name} cannot be used", got=repr(value)[:80], expected="positive years")
    if np.any(out > _LONGEST):
        raise SpecificationError(f"{name} cannot be used", got=f"{out.max():g}", expected=f"<= {_LONGEST:g}")
    limit = _FAR * model.panel.longest
    if not truth(extrapolate, "extrapolate") and np.any(out > limit):
        raise SpecificationError(
            f"{name} must not be far beyond the data",
            got=f"{out.max():g} years",
            expected=f"at most {limit:g} years, twice the longest maturity of the panel",
            remedy="Divide months by 12, or pass extrapolate=True.",
        )
    if not zero and np.any(out == 0):
        raise SpecificationError(f"{name} is zero", got=repr(value)[:80], expected="positive years")
    return out


def check_definition(definition: Any) -> bool:
    """Return whether the definition of a premium is the risk-neutral one."""
    if not isinstance(definition, str) or definition not in DEFINITIONS:
        raise SpecificationError(
            "definition is unknown", got=repr(definition), expected=f"one of {DEFINITIONS}"
        )
    return definition == "risk-neutral"


def rows_of(index: Any, date: Any) -> slice | Array:
    """
    Return where a date is in an index; all of it for None.

    Raises
    ------
    DataError
        If it is not there.
    """
    if date is None:
        return slice(None)
    try:
        if isinstance(index, pd.PeriodIndex):
            date = pd.Period(date, cast(Any, index.freq))
        elif isinstance(index, pd.DatetimeIndex) and not isinstance(date, str):
            date = pd.Timestamp(date)
        at = index.get_loc(date)
    except (KeyError, TypeError, ValueError, pd.errors.InvalidIndexError) as error:
        raise DataError(
            "The date is not in the sample",
            got=date,
            expected=f"a date of the index, from {index[0]} to {index[-1]}",
        ) from error
    if isinstance(at, slice):
        return at
    return np.flatnonzero(at) if isinstance(at, np.ndarray) and at.dtype == bool else np.atleast_1d(at)


def implied_rates(
    results: Any,
    factors: Factors,
    rate: Callable[[Curves], Affine],
    columns: pd.Index,
    date: Any = None,
    param_uncertainty: bool = False,
) -> Rates:
    """
    Return rates at the smoothed factors.

    Parameters
    ----------
    results : ATSMResults
    factors : Factors
    rate : callable
        From the curves to the rates.
    columns : Index
        Labels of the rates.
    date : optional
        A date of the sample; all by default.
    param_uncertainty : bool
        Whether the standard deviations include the uncertainty of the parameters (delta method, the factors
        smoothed again at each), beside that of the factors.
    """
    rows = rows_of(results.model.calendar.read, date)
    model, params = results.model, np.asarray(results.params, dtype=float)
    k = len(factors.smoothed.columns)
    affine = rate(Curves(model.dynamics(params), model.convexity))
    states = factors.smoothed.to_numpy()[rows]
    covs = factors.smoothed_cov.to_numpy().reshape(-1, k, k)[rows]
    mean = affine.mean(states)
    variance = np.clip(affine.variance(covs), 0.0, None)
    if truth(param_uncertainty, "param_uncertainty"):

        def at(trial: Array) -> Array:
            smoothed = model.private_smoother.smooth(model.started_system(trial), lag_cov=False)
            curves = Curves(model.dynamics(trial), model.convexity)
            return rate(curves).mean(np.array(smoothed.mean.T[rows])).ravel()

        variance = variance + parameter_variance(results, at).reshape(mean.shape)
    index = factors.smoothed.index[rows]
    return Rates(
        pd.DataFrame(mean, index=index, columns=columns),
        pd.DataFrame(np.sqrt(variance), index=index, columns=columns),
    )


def parameter_variance(results: Any, function: Callable[[Array], Array]) -> Array:
    """Return the delta-method variances of a function; parameters at a boundary, or fixed, are held."""
    model, params = results.model, np.asarray(results.params, dtype=float)
    held = {*results.boundary, *results._fixed}
    free = np.array([i for i, name in enumerate(model.param_names) if name not in held], dtype=int)

    def at(values: Array) -> Array:
        full = params.copy()
        full[free] = values
        return function(full)

    cov = np.asarray(results.params_cov.cov)[np.ix_(free, free)]
    steps = model.difference_steps(params)[free]
    return np.asarray(delta_method(at, params[free], cov, steps)[1] ** 2)
