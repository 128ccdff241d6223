"""A panel of yields as the model takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..engine.arguments import positive_integer
from ..engine.validation import check_dates, endog_frame, regressor_frame
from ..exceptions import DataError, SpecificationError
from ..fit.start_values import fill_missing
from ..numerics.linear_algebra import Array
from .conventions import check_shortest, check_units, maturities_of, parse_maturities, time_steps


@dataclass(frozen=True)
class Panel:
    """
    Yields with what is needed to price them.

    Attributes
    ----------
    endog : DataFrame or ndarray, (nobs, m + p)
        Observed factors (m of them, or none), then yields.
    labels : list of str
        Names of the yields.
    maturities : ndarray, (p,)
        In years.
    scale : float
        The size of one (100 percent) in the units of the yields.
    steps : ndarray, () or (nobs,)
        Years from each date to the next; one number where they are all equal.
    k_factors : int
        Number of factors.
    factor_names : list of str or None
        Names of observed factors.
    weights : ndarray, (k, p)
        Portfolio weights.
    given_weights : ndarray or None
        Those that a model for other data must repeat.
    """

    endog: Any
    labels: list[str]
    maturities: Array
    scale: float
    steps: Array
    k_factors: int
    factor_names: list[str] | None
    weights: Array
    given_weights: Array | None

    @property
    def longest(self) -> float:
        """The longest maturity."""
        return float(np.max(self.maturities))

    @property
    def n_observed(self) -> int:
        """Number of observed factors."""
        return 0 if self.factor_names is None else len(self.factor_names)


def parts_of(yields: Any, maturities: Any, units: Any) -> tuple[Any, Any, Any]:
    """
    Return yields, their maturities and their units, from a panel that has them or from labels.

    Raises
    ------
    SpecificationError
        If what is given contradicts what the panel has, or no maturities are given and labels tell none.
    """
    names = ("maturities", "units")
    if not isinstance(yields, (pd.DataFrame, pd.Series)) and hasattr(yields, "yields"):
        own = [getattr(yields, name, None) for name in names]
        for name, given, has in zip(names, (maturities, units), own, strict=True):
            if given is not None and has is not None and not np.array_equal(given, has):
                raise SpecificationError(
                    f"{name} contradict the panel of yields",
                    got=repr(given)[:80],
                    expected=has,
                    remedy=f"Leave {name} out.",
                )
        yields = yields.yields
        maturities, units = (
            has if given is None else given for given, has in zip((maturities, units), own, strict=True)
        )
    if maturities is None:
        frame: Any = endog_frame(yields)
        named = isinstance(frame, pd.DataFrame) or isinstance(frame, pd.Series) and frame.name is not None
        if not named:
            raise SpecificationError(
                "Yields without labels do not tell their maturities",
                got=type(yields).__name__,
                remedy="Pass maturities, in years.",
            )
        maturities = maturities_of(_labels(frame, 1))
    return yields, maturities, "decimal" if units is None else units


def parse_panel(yields: Any, dates: Any, given: Mapping[str, Any]) -> Panel:
    """
    Return the panel of the arguments of `ATSM`.

    Raises
    ------
    SpecificationError, DataError
        If they cannot be used.
    """
    k = positive_integer(given["k_factors"], "k_factors")
    frame: Any = endog_frame(yields)
    values = np.asarray(frame, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    labels = _labels(frame, values.shape[1])
    maturities = parse_maturities(given["maturities"], labels, k)
    scale = check_units(values, given["units"])
    check_dates(dates, len(values))
    index = getattr(frame, "index", None) if dates is None else pd.Index(dates)
    steps = time_steps(given["dt"], index, len(values))
    check_shortest(maturities, labels, float(np.median(steps)))
    if steps.ndim:
        steps = np.append(steps, steps[-1])
    endog, names = frame, None
    if given["factors"] is not None:
        endog, names = _with_factors(given["factors"], k, values, labels, index)
    chosen = [value for value in (given["identification"], given["obs_cov"]) if isinstance(value, str)]
    uses = "jsz" in chosen and names is None or "exact-portfolios" in chosen
    weights = _weights(given["portfolio_weights"], values, k, labels, uses)
    return Panel(endog, labels, maturities, scale, steps, k, names, weights, weights if uses else None)


def _labels(frame: Any, count: int) -> list[str]:
    if isinstance(frame, pd.DataFrame):
        return [str(name) for name in frame.columns]
    if isinstance(frame, pd.Series):
        return [str(frame.name) if frame.name is not None else "y"]
    return ["y"] if count == 1 else [f"y{i + 1}" for i in range(count)]


def _with_factors(
    factors: Any, k: int, values: Array, labels: list[str], index: Any
) -> tuple[pd.DataFrame, list[str]]:
    """Return the observed factors beside the yields, and their names."""
    frame = regressor_frame(factors, len(values), index, "factors")
    rows = np.asarray(frame, dtype=float)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.shape[1] != k:
        raise DataError(
            "factors have the wrong number of columns", got=rows.shape[1], expected=f"{k}, k_factors"
        )
    names = [str(name) for name in frame.columns] if isinstance(frame, pd.DataFrame) else None
    names = names or [f"f{i + 1}" for i in range(k)]
    if set(names) & set(labels):
        raise DataError(
            "factors and yields have columns of the same name", got=sorted(set(names) & set(labels))
        )
    return pd.DataFrame(np.column_stack([rows, values]), index=index, columns=names + labels), names


def check_factors(factors: Array) -> None:
    """
    Refuse observed factors of which one is an exact combination of the others.

    Raises
    ------
    DataError
        If they are collinear.
    """
    seen = factors[~np.isnan(factors).any(axis=1)]
    centred = seen - seen.mean(axis=0) if len(seen) else seen
    size = np.abs(centred).max(axis=0, initial=0.0)
    rank = np.linalg.matrix_rank(centred / np.where(size > 0, size, 1.0)) if centred.size else 0
    if rank < factors.shape[1]:
        raise DataError(
            "Observed factors are exact combinations of each other",
            got=f"rank {rank} of {factors.shape[1]}",
            remedy="Leave out those that the others determine.",
        )


def _weights(given: Any, values: Array, k: int, labels: list[str], uses: bool) -> Array:
    """Return the portfolio weights: those given, or principal components of the yields."""
    if given is None:
        seen = ~np.isnan(values).all(axis=0)
        if uses and not seen.all():
            raise DataError("A maturity is all missing", got=labels[int(np.argmin(seen))], remedy="Drop it.")
        filled = np.zeros(values.shape)
        filled[:, seen] = fill_missing(values[:, seen])
        vectors = np.linalg.svd(filled - filled.mean(axis=0), full_matrices=False)[2][:k]
        signs = np.where(np.arange(len(vectors)) == 0, vectors.sum(axis=1), vectors[:, -1])
        return vectors * np.where(signs < 0, -1.0, 1.0)[:, None]
    try:
        weights = np.array(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError("portfolio_weights are not numbers", got=repr(given)[:80]) from error
    shape = (k, values.shape[1])
    if weights.shape != shape or not np.all(np.isfinite(weights)):
        raise SpecificationError("portfolio_weights have the wrong shape", got=weights.shape, expected=shape)
    if np.linalg.matrix_rank(weights) < k:
        raise SpecificationError("portfolio_weights are linearly dependent", expected=f"rank {k}")
    return weights


def first_portfolios(endog: Array, weights: Array, given: Mapping[str, Any]) -> Array | None:
    """
    Return the mean of a proper start that stands for a diffuse one, None where neither is needed.

    Portfolios P = W y that are priced without error are known from the first yields on. With
    P_1 ~ N(W y_1, I) their density there is a constant, that of statsmodels' exact-diffuse start for
    orthonormal weights. Its exact-diffuse filter itself can lose all digits with this singular H.

    Raises
    ------
    DataError
        If a yield of the first date is missing.
    """
    if given["initialization"] != "diffuse" or given["obs_cov"] != "exact-portfolios":
        return None
    if np.isnan(endog[0]).any():
        raise DataError(
            "Portfolios without error need all yields of the first date for a diffuse start",
            got=f"column {int(np.argmax(np.isnan(endog[0])))} missing",
            remedy='Leave out the first dates, or use initialization="stationary".',
        )
    return np.asarray(weights @ endog[0])
