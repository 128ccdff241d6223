"""Yields: the panels of the papers, and random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import statespace_ext as sse

PANELS = {
    "cdr": ("fama_bliss_unsmoothed_cdr2011_1987_2002.csv", "percent"),
    "dra": ("diebold_li_unsmoothed_fb_1972_2000.csv", "percent"),
    "jsz": ("jsz2011_zeros_1990_2007.csv", "decimal"),
    "gsw": ("gsw_zero_yields_monthend.csv", "percent"),
}


def panel(shared_data: Path, name: str, units: str | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the zero yields of a paper, in its units or those given, and the maturities in years."""
    file, own = PANELS[name]
    data = pd.read_csv(shared_data / "yields" / file, index_col=0, parse_dates=True)
    data = data[[column for column in data if column[0] == "m" and column[1:].isdigit()]]
    factor = {"percent": 100.0, "decimal": 1.0}
    if units is not None:
        data = data * (factor[units] / factor[own])
    return data, np.array([float(column[1:]) / 12.0 for column in data])


def jps(shared_data: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the yields of Joslin, Priebsch & Singleton (2014), made decimal a year."""
    file = shared_data / "yields" / "jps2014_bauer_rudebusch_yields_macro_1985_2007.csv"
    data = pd.read_csv(file, index_col=0, parse_dates=True)
    data = 12.0 * data[[column for column in data if column[0] == "m" and column[1:].isdigit()]]
    return data, np.array([float(column[1:]) / 12.0 for column in data])


def random_panel(
    rng: np.random.Generator, n: int, tau: Any, k: int = 3, missing: float = 0.0, irregular: bool = False
) -> pd.DataFrame:
    """Return decimal yields that move with k smooth functions of maturity, and noise."""
    tau = np.asarray(tau, dtype=float)
    shapes = np.stack([np.ones_like(tau), np.exp(-0.5 * tau), tau * np.exp(-tau)])[:k]
    moves = np.cumsum(0.003 * rng.standard_normal((n, k)), axis=0) * 0.8
    y = 0.05 + moves @ shapes + 0.001 * rng.standard_normal((n, len(tau)))
    y[rng.random(y.shape) < missing] = np.nan
    index = pd.date_range("1990-01-31", periods=n, freq="ME" if pd.__version__ >= "2.2" else "M")
    if irregular:
        days = np.cumsum(rng.integers(3, 40, size=n))
        index = pd.DatetimeIndex(pd.Timestamp("1990-01-01") + pd.to_timedelta(days, unit="D"))
    return pd.DataFrame(y, index=index, columns=[f"y{12 * t:g}m" for t in tau])


def jps_with_macro(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Return yields (decimal a month), macro factors, maturities in years and weights of that paper."""
    file = shared_data / "yields" / "jps2014_bauer_rudebusch_yields_macro_1985_2007.csv"
    data = pd.read_csv(file, index_col=0, parse_dates=True)
    weights = pd.read_csv(file.with_name("jps2014_bauer_rudebusch_pca_weights_W.csv"), index_col=0)
    tau = np.array([float(column[1:]) / 12.0 for column in data.columns[:12]])
    return data.iloc[:, :12], data.iloc[:, 12:], tau, weights.to_numpy()[:3]


def turning_panel(nobs: int = 300, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return decimal yields simulated with the Q-roots .02 and .45 +- .3i, and the maturities in years."""
    tau, rng = np.array([0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0]), np.random.default_rng(seed)
    weights = np.array([np.full(7, 1 / 7), [-1, 0, 0, 0, 0, 0, 1], [-1, 0, 0, 2, 0, 0, -1]])
    none, options = np.zeros((20, 7)), {"identification": "jsz-pairs", "portfolio_weights": weights}
    model = sse.ATSM(none, tau, dt=1 / 12, **options)
    K, mean, sd = np.diag([0.15, 0.4, 1.0]), np.array([0.05, 0.015, 0.0]), np.array([0.008, 0.01, 0.01])
    at = {
        "roots_Q": [[0.02]], "pairs_Q": [[0.45, -0.09]], "drift_Q": [[0.000585]], "K_P": K,
        "kappa_P": (K @ mean)[:, None], "state_cov": np.diag(sd**2), "obs_cov": 0.0005**2 * np.eye(7),
    }  # fmt: skip
    step = model.system(model.params_from_matrices({**at, "initial_state": np.zeros((3, 1))}))
    X = np.tile(mean, (nobs, 1))
    for t in range(1, nobs):
        shock = np.linalg.cholesky(step.state_cov) @ rng.standard_normal(3)
        X[t] = step.state_intercept + step.transition @ X[t - 1] + shock
    y = step.obs_intercept + X @ step.design.T + 0.0005 * rng.standard_normal((nobs, 7))
    return pd.DataFrame(y, pd.period_range("1990-01", periods=nobs, freq="M"), [f"y{t:g}" for t in tau]), tau
