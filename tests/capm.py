"""The CAPM of the published question: its data, random data like them, and GLS without a filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import statespace_ext as sse

ASSETS = ["MOBIL", "IBM", "WEYER", "CITCRP"]
BETA_MOVES = {"MKT": "random_walk"}
BOTH_MOVE = {"const": "random_walk", "MKT": "random_walk"}
N, H = 60, 4
"""Periods of the samples `Raw` and `returns_with_gaps`, and of the future of `Raw`."""


def berndt(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return monthly excess returns of four assets, and a constant and that of the market; in percent."""
    data = pd.read_csv(shared_data / "capm" / "berndt_capm_1978_1987.csv")
    data.index = pd.PeriodIndex(data.pop("date"), freq="M")
    excess = 100.0 * data[[*ASSETS, "MARKET"]].sub(data["RKFREE"], axis=0)
    regressors = pd.DataFrame({"const": 1.0, "MKT": excess["MARKET"]})
    return excess[ASSETS], regressors


def structured_cases(shared_data: Path) -> dict[str, tuple[tuple[pd.DataFrame, pd.DataFrame], dict]]:
    """Return data and options of models whose likelihoods have several maxima, many at a singular W."""
    y, x = berndt(shared_data)
    nan = np.nan
    one_zero = np.array([[nan, 0, nan, nan], [0, nan, nan, nan], [nan] * 4, [nan] * 4])
    chain = np.where(np.abs(np.subtract.outer(range(4), range(4))) < 2, nan, 0.0)
    star = np.where(np.minimum.outer(range(4), range(4)) == 0, nan, np.diag([nan] * 4))
    options = {f"W with {name}": {"state_cov": W, "dynamics": BETA_MOVES} for name, W in (
        ("one zero", one_zero), ("a chain", chain), ("a star", star),
    )}  # fmt: skip
    for kind in ("diagonal", "scalar", "equicorrelated"):
        options[f"ar1, {kind}"] = {"state_cov": kind, "dynamics": {"MKT": "ar1"}}
    spans = {"first half": slice(0, 60), "second half": slice(60, None), "all": slice(None)}
    return {
        f"{name}, {span}": ((y.iloc[rows], x.iloc[rows]), option)
        for name, option in options.items()
        for span, rows in spans.items()
    }


def random_cov(rng: np.random.Generator, size: int, scale: float = 1.0) -> np.ndarray:
    """Draw a full covariance matrix."""
    root = rng.standard_normal((size, size + 2))
    return scale * root @ root.T / (size + 2)


def simulated(
    rng: np.random.Generator, n: int, p: int, *, missing: float = 0.0, move: float = 0.05
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw returns with constant alphas and betas that move, and their regressors "const" and "MKT"."""
    market = 4.0 * rng.standard_normal(n)
    steps = move * rng.standard_normal((n, p)) @ np.linalg.cholesky(random_cov(rng, p)).T
    noise = 3.0 * rng.standard_normal((n, p)) @ np.linalg.cholesky(random_cov(rng, p)).T
    y = 0.2 * rng.standard_normal(p) + market[:, None] * (1.0 + np.cumsum(steps, axis=0)) + noise
    y[rng.random((n, p)) < missing] = np.nan
    index = pd.period_range("2001-01", periods=n, freq="M")
    names = [f"A{i + 1}" for i in range(p)]
    return (
        pd.DataFrame(y, index=index, columns=names),
        pd.DataFrame({"const": 1.0, "MKT": market}, index=index),
    )


class Raw(NamedTuple):
    """Raw returns, factors (the market first) and risk-free rate, H periods longer than the sample."""

    returns: pd.DataFrame
    factors: pd.DataFrame
    rate: pd.Series

    def __getitem__(self, rows: Any) -> Raw:  # type: ignore[override]
        return Raw(self.returns[rows], self.factors[rows], self.rate[rows])

    @property
    def market(self) -> pd.Series:
        return self.factors["MKT"]

    @property
    def excess(self) -> pd.DataFrame:
        return self.returns.sub(self.rate, axis=0)

    def regressors(self, several: bool = False) -> pd.DataFrame:
        frame = self.factors.assign(const=1.0, MKT=self.factors["MKT"] - self.rate)
        return frame[["const", "MKT", *(["SMB", "HML"] if several else [])]]


@cache
def raw_returns() -> Raw:
    """Return two assets with missing returns, three factors, and a rate that varies much."""
    n = N + H
    rng = np.random.default_rng(61)
    y, x = simulated(rng, n, 2, missing=0.04, move=0.15)
    rate = pd.Series(0.5 + rng.random(n), index=y.index, name="RF")
    others = pd.DataFrame(2.0 * rng.standard_normal((n, 2)), index=y.index, columns=["SMB", "HML"])
    y = y + others.to_numpy() @ np.array([[0.5, -0.3], [0.2, 0.6]])
    return Raw(y.add(rate, axis=0), others.assign(MKT=x["MKT"] + rate)[["MKT", "SMB", "HML"]], rate)


@cache
def raw_fit() -> sse.CAPMResults:
    sample = raw_returns()[:N]
    return sse.CAPM(sample.returns, sample.market, sample.rate).fit()


def returns_with_gaps() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return returns with missing values, never more than one series seen of a row with a gap; regressors."""
    y, x = simulated(np.random.default_rng(51), N, 3, move=0.15)
    y.iloc[[7, 30], 1] = np.nan
    y.iloc[12] = np.nan
    y.iloc[:4, 2] = np.nan
    return y, x


@dataclass(frozen=True)
class GLS:
    """
    What generalised least squares says of y_t = (x_t' kron I) theta_t + v_t.

    Attributes
    ----------
    llf : float
        Log-likelihood of REML, but with all observations in -(1/2) log(2 pi), as in statsmodels.
    coefficients, cov : ndarray
        theta_1, regressor by regressor, and its covariance.
    """

    llf: float
    coefficients: np.ndarray
    cov: np.ndarray


def gls(
    y: np.ndarray,
    exog: np.ndarray,
    obs_cov: np.ndarray,
    wander: Callable[[int, int], np.ndarray],
) -> GLS:
    """
    Regress the stacked y on x_t' kron I by GLS; missing values are dropped rows.

    Parameters
    ----------
    y : ndarray, (n, p)
    exog : ndarray, (n, m)
    obs_cov : ndarray, (p, p)
        V.
    wander : callable
        Cov(theta_s - theta_1, theta_t - theta_1) (m p, m p) by s and t, zero-based.
    """
    n, p = y.shape
    X = np.kron(exog, np.eye(p))
    cov = np.kron(np.eye(n), obs_cov)
    for s in range(n):
        for t in range(n):
            a, b = slice(s * p, (s + 1) * p), slice(t * p, (t + 1) * p)
            cov[a, b] += X[a] @ wander(s, t) @ X[b].T
    seen = np.flatnonzero(~np.isnan(y.ravel()))
    X, cov, values = X[seen], cov[np.ix_(seen, seen)], y.ravel()[seen]
    root = np.linalg.cholesky(cov)
    white, target = np.linalg.solve(root, X), np.linalg.solve(root, values)
    precision = white.T @ white
    coefficients = np.linalg.solve(precision, white.T @ target)
    residual = target - white @ coefficients
    log_dets = 2.0 * np.sum(np.log(np.diag(root))) + np.linalg.slogdet(precision)[1]
    llf = -0.5 * (len(seen) * np.log(2.0 * np.pi) + log_dets + residual @ residual)
    return GLS(float(llf), coefficients, np.linalg.inv(precision))


def random_walks(state_cov: np.ndarray, places: np.ndarray, size: int) -> Callable[[int, int], np.ndarray]:
    """Return `wander` of random walks: min(s, t) W, at the places of the coefficients that move."""
    step = np.zeros((size, size))
    step[np.ix_(places, places)] = state_cov
    return lambda s, t: min(s, t) * step


def least_squares(y: np.ndarray, exog: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (m, p) and the cross-products of the residuals S (p, p)."""
    coefficients = np.linalg.lstsq(exog, y, rcond=None)[0]
    residual = y - exog @ coefficients
    return coefficients, residual.T @ residual


def static_llf(y: np.ndarray, exog: np.ndarray, obs_cov: np.ndarray) -> float:
    """Return the log-likelihood of constant coefficients in closed form (exact diffuse start)."""
    (n, p), k = y.shape, exog.shape[1]
    S = least_squares(y, exog)[1]
    return -0.5 * float(
        n * p * np.log(2.0 * np.pi)
        + (n - k) * np.linalg.slogdet(obs_cov)[1]
        + p * np.linalg.slogdet(exog.T @ exog)[1]
        + np.trace(np.linalg.solve(obs_cov, S))
    )
