"""Models with a full covariance of the observations and incomplete rows, and their dense joint Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import oracle
import pandas as pd
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.system import System, write

N, P = 24, 3
FULL = np.array([[1.0, 0.6, -0.3], [0.6, 0.9, 0.2], [-0.3, 0.2, 0.7]])
SINGULAR = np.outer([1.0, -0.5, 0.8], [1.0, -0.5, 0.8]) + np.outer([0.0, 1.0, 0.3], [0.0, 1.0, 0.3])
LOADINGS = [[1.0, 0.2], [0.5, -1.0], [-0.7, 0.4]]
EXOG = np.random.default_rng(7).normal(size=(2 * N, 2))


def sample(seed: int = 0, n: int = N) -> pd.DataFrame:
    """Correlated series, with missing cells, empty rows and complete rows."""
    rng = np.random.default_rng(seed)
    y = (
        np.cumsum(rng.normal(size=(n, 1)), axis=0) * 0.4
        + rng.normal(size=(n, P)) @ np.linalg.cholesky(FULL).T
    )
    holes = rng.random((n, P)) < 0.3
    holes[:4] = holes[n // 2] = False
    holes[n // 2 + 1] = True
    holes[-1] = [True, False, False]
    index = pd.period_range("2001-01", periods=n, freq="M")
    return pd.DataFrame(np.where(holes, np.nan, y), index=index, columns=list("abc"))


class Breathing(sse.LGSSM):
    """A user's model, whose observation covariance and design change over time."""

    def system(self, params: np.ndarray) -> System:
        system, t = super().system(params), np.arange(len(self.endog))
        return replace(
            system,
            obs_cov=system.obs_cov[:, :, None] * (1.0 + 0.5 * np.sin(t)) + 0.1 * np.eye(P)[:, :, None],
            design=system.design[:, :, None] * (1.0 + 0.2 * np.cos(t)),
        )


def lgssm(y: pd.DataFrame, kind: type[sse.LGSSM] = sse.LGSSM, **spec: Any) -> sse.LGSSM:
    given = {
        "design": LOADINGS,
        "transition": [[0.7, 0.1], [0.0, 0.5]],
        "obs_intercept": [[1.0], [0.0], [-2.0]],
        "state_intercept": [[0.4], [-0.2]],
    }
    covariances = {"obs_cov": FULL, "state_cov": [[0.8, 0.2], [0.2, 0.5]]}
    return kind(y, 2, **{**given, **covariances, **spec})


def with_exog(y: pd.DataFrame) -> sse.LGSSM:
    exog = pd.DataFrame(EXOG[: len(y)], index=y.index, columns=["u", "v"])
    return lgssm(y, exog=exog, obs_coef=[[0.5, 0.0], [0.0, 1.0], [0.3, -0.4]])


def two_lags(y: pd.DataFrame) -> sse.LGSSM:
    return lgssm(y, lags=2, transition=[[[0.5, 0.1], [0.0, 0.4]], [[0.2, 0.0], [0.1, -0.3]]])


def regression(y: pd.DataFrame) -> sse.DynamicRegression:
    x = pd.DataFrame({"const": 1.0, "u": EXOG[: len(y), 0]}, index=y.index)
    return sse.DynamicRegression(
        y, x, dynamics={"u": "random_walk"}, obs_cov=FULL, state_cov=0.3 * np.eye(P) + 0.1
    )


def capm(y: pd.DataFrame) -> sse.CAPM:
    market = pd.Series(EXOG[: len(y), 1], index=y.index, name="MKT")
    return sse.CAPM(y, market, obs_cov=FULL, state_cov=0.2 * np.eye(P))


MODELS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "LGSSM": lgssm,
    "two lags": two_lags,
    "exog": with_exog,
    "singular H": lambda y: lgssm(y, obs_cov=SINGULAR),
    "diffuse": lambda y: lgssm(y, initialization="diffuse"),
    "a user's": lambda y: lgssm(y, Breathing),
    "DynamicRegression": regression,
    "CAPM": capm,
}


def evaluated(name: str, y: pd.DataFrame) -> Any:
    """Smoothed results; everything is given."""
    model = MODELS[name](y)
    return model.smooth(model.start_params)


def dense(model: Any, params: Any, given: np.ndarray, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """
    Return mean (n, p) and covariance (n, p, p) of the rows of y, given the cells that are no NaN.

    Parameters
    ----------
    model
        Whose matrices to use.
    params
        Where.
    given : ndarray, (at most n, p)
        What is observed; later rows are not.
    n : int, optional
        Number of rows.
    """
    n = len(given) if n is None else n
    posterior, k, p = _posterior(model, params, given, n), model.k_states, given.shape[1]
    factor = posterior.factor[n * k :].reshape(n, p, -1)
    return posterior.mean[n * k :].reshape(n, p), factor @ factor.transpose(0, 2, 1)


def dense_states(model: Any, params: Any, given: np.ndarray, n: int | None = None) -> np.ndarray:
    """Return E[x_t|Y], (n, k), as `dense` does for rows of y."""
    n = len(given) if n is None else n
    return _posterior(model, params, given, n).mean[: n * model.k_states].reshape(n, -1)


def _posterior(model: Any, params: Any, given: np.ndarray, n: int) -> oracle.Joint:
    system = model.system(np.asarray(params, dtype=float))
    prior = oracle.joint(
        {name: getattr(system, name) for name in NAMES}, n, np.full(system.k_states, system.diffuse)
    )
    seen = np.flatnonzero(~np.isnan(given.ravel()))
    return oracle.condition(prior, n * system.k_states + seen, given.ravel()[seen])[1]


NAMES = (
    "design", "obs_intercept", "obs_cov", "transition", "state_intercept", "selection", "state_cov",
    "initial_state", "initial_state_cov",
)  # fmt: skip


class Plain(MLEModel):
    """Given matrices, and nothing of this package."""

    def __init__(self, endog: Any, system: System) -> None:
        super().__init__(endog, k_states=system.k_states, k_posdef=system.selection.shape[1])
        self._system = system
        write(self.ssm, system)

    start_params, param_names = np.zeros(0), []

    def update(self, params: Any, **kwargs: Any) -> Any:
        return params

    def clone(self, endog: Any, **kwargs: Any) -> Plain:
        return Plain(endog, self._system)
