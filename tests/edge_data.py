"""Samples at the edge of what can be computed, and a small model of every class for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import statespace_ext as sse

N = 60
MARKET = np.random.default_rng(4).standard_normal(N)
TAU = [1.0, 3.0, 7.0]


def factor_series() -> np.ndarray:
    rng = np.random.default_rng(1)
    factor = np.zeros(N)
    for t in range(1, N):
        factor[t] = 0.8 * factor[t - 1] + rng.standard_normal()
    return np.outer(factor, [1.0, 0.6, -0.8]) + 0.5 * rng.standard_normal((N, 3))


def returns() -> np.ndarray:
    rng = np.random.default_rng(2)
    beta = 1.0 + 0.1 * np.cumsum(rng.standard_normal((N, 3)), axis=0)
    return MARKET[:, None] * beta + 0.5 * rng.standard_normal((N, 3))


def yields() -> np.ndarray:
    rng = np.random.default_rng(3)
    level = 0.05 + 0.003 * np.cumsum(rng.standard_normal(N))
    return level[:, None] + np.array([0.0, 0.002, 0.004]) + 0.0005 * rng.standard_normal((N, 3))


def market(endog: Any) -> pd.DataFrame:
    index = endog.index if isinstance(endog, pd.DataFrame) else None
    return pd.DataFrame({"MKT": MARKET[: len(endog)]}, index=index)


def lgssm(endog: Any, k_factors: int = 1, **spec: Any) -> sse.LGSSM:
    return sse.LGSSM(endog, k_factors, **{"identification": "triangular", **spec})


def regression(endog: Any, **spec: Any) -> sse.DynamicRegression:
    exog = market(endog).assign(const=1.0)
    spec = {"dynamics": {"MKT": "random_walk"}, "obs_cov": "diagonal", "state_cov": "diagonal", **spec}
    return sse.DynamicRegression(
        endog, exog if isinstance(endog, pd.DataFrame) else exog.to_numpy(), **named(endog, spec)
    )


def named(endog: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification with the names that regressors without labels have."""
    if isinstance(endog, pd.DataFrame) or not isinstance(spec["dynamics"], dict) or not spec["dynamics"]:
        return spec
    return {**spec, "dynamics": {"x1": next(iter(spec["dynamics"].values()))}}


def capm(endog: Any, **spec: Any) -> sse.CAPM:
    factor = market(endog) if isinstance(endog, pd.DataFrame) else MARKET[: len(endog)]
    return sse.CAPM(endog, factor, **{"obs_cov": "diagonal", "state_cov": "diagonal", **spec})


def atsm(endog: Any, **spec: Any) -> sse.ATSM:
    return sse.ATSM(endog, **{"maturities": TAU, "k_factors": 1, "dt": 1 / 12, **spec})


BUILD: dict[str, tuple[Callable[..., Any], Callable[[], np.ndarray]]] = {
    "LGSSM": (lgssm, factor_series),
    "DynamicRegression": (regression, returns),
    "CAPM": (capm, returns),
    "ATSM": (atsm, yields),
}


def missing(y: np.ndarray, rows: slice, column: Any = slice(None)) -> np.ndarray:
    out = np.array(y)
    out[rows, column] = np.nan
    return out


def read_only(y: np.ndarray) -> np.ndarray:
    out = y.copy()
    out.setflags(write=False)
    return out


def frame(y: np.ndarray, **kwargs: Any) -> pd.DataFrame:
    return pd.DataFrame(y, columns=["a", "b", "c"], **kwargs)


def constant_for_long(y: np.ndarray) -> np.ndarray:
    out = np.array(y)
    out[15:30, 1] = y[15, 1]
    return out


SAME: dict[str, Callable[[np.ndarray], Any]] = {
    "not contiguous": lambda y: np.repeat(np.asfortranarray(y), 2, axis=0)[::2],
    "read-only": read_only,
    "big-endian": lambda y: y.astype(">f8"),
    "long double": lambda y: y.astype(np.longdouble),
    "lists": lambda y: y.tolist(),
    "nullable": lambda y: frame(y).astype("Float64"),
    "time zone": lambda y: frame(y, index=pd.date_range("2000", periods=N, freq="MS", tz="Europe/Berlin")),
    "pyarrow": lambda y: frame(y).astype("float64[pyarrow]"),
}
"""The same numbers in other clothes: the same answer."""

SHIFTED: dict[str, Callable[[np.ndarray], Any]] = {
    "units of 1e-8": lambda y: 1e-8 * y,
    "units of 1e-6": lambda y: 1e-6 * y,
    "units of 1e6": lambda y: 1e6 * y,
    "different units": lambda y: y * np.array([1e-2, 1.0, 1e6]),
}
"""Other units: the same likelihood, shifted by their logarithm."""

ELSEWHERE: dict[str, Callable[[np.ndarray], Any]] = {
    "float32": lambda y: y.astype(np.float32),
    "late": lambda y: missing(y, slice(0, 40), 0),
    "both ends missing": lambda y: missing(missing(y, slice(0, 8)), slice(-8, None)),
    "gap": lambda y: missing(y, slice(20, 40)),
    "one series constant for long": constant_for_long,
    "outlier": lambda y: y + 1e6 * np.std(y) * (np.arange(3 * N).reshape(N, 3) == 100),
    "three periods": lambda y: y[:3],
    "five periods": lambda y: y[:5],
    "one period": lambda y: y[:1],
    "units of 1e-8": lambda y: 1e-8 * y,
    "units of 1e8": lambda y: 1e8 * y,
    "twice the same series": lambda y: y[:, [0, 0, 2]],
    "integers": lambda y: np.round(1000 * y).astype(int),
    "empty": lambda y: y[:0],
    "objects": lambda y: y.astype(object),
    "booleans": lambda y: y > 0,
    "infinite": lambda y: np.where(np.arange(3 * N).reshape(N, 3) == 7, np.inf, y),
    "all missing": lambda y: np.full_like(y, np.nan),
    "one series all missing": lambda y: missing(y, slice(None), 1),
    "constant": lambda y: np.full_like(y, 0.04),
    "a trend": lambda y: y + 0.01 * np.arange(N)[:, None],
}
"""A right answer, a warning that the fit did not converge, or an error of the package."""
