"""Panels of two factors, models of them by start and regressors, and what comes after their samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from oracle import Dense, dense, dense_diffuse

import statespace_ext as sse

unidentified = pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
not_converged = pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")

N, H = 50, 4
DESIGN = np.array([[1.0, 0.0], [0.5, 1.0], [-0.3, 0.8]])


def panel(n: int = N, missing: bool = True) -> np.ndarray:
    """Draw 3 series from two AR(1) factors, a level each, some values missing."""
    rng = np.random.default_rng(11)
    x = np.zeros((n, 2))
    for t in range(1, n):
        x[t] = [0.8, 0.4] * x[t - 1] + rng.normal(size=2)
    y = x @ DESIGN.T + [1.0, -2.0, 0.5] + 0.7 * rng.normal(size=(n, 3))
    if missing:
        y[rng.random((n, 3)) < 0.1] = np.nan
        y[n // 2] = np.nan
    return y


def regressors(n: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns))


def ar1(n: int = 120, seed: int = 13) -> np.ndarray:
    """Draw an AR(1) with a mean, observed with noise."""
    rng = np.random.default_rng(seed)
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = 0.8 * x[t - 1] + rng.normal()
    return x + 2.0 + 0.6 * rng.normal(size=n)


def over_time(matrix: np.ndarray, periods: int) -> np.ndarray:
    """Return a matrix (or a vector) that changes a little from period to period, on a last axis."""
    wave = 1.0 + 0.1 * np.sin(np.arange(periods))
    return np.asarray(matrix, dtype=float)[..., None] * wave


STARTS: dict[str, dict] = {
    "stationary": {},
    "stationary, two lags": {"lags": 2},
    "stationary, means": {"state_intercept": [0.3, np.nan]},
    "known": {
        "initialization": "known",
        "initial_state": [1.0, -1.0],
        "initial_state_cov": [[2.0, 0.5], [0.5, 1.0]],
    },
    "estimated": {"initialization": "estimated"},
    "estimated with covariance": {"initialization": "estimated", "initial_state_cov": "free"},
    "diffuse": {"initialization": "diffuse", "design": DESIGN},
    "approximate_diffuse": {"initialization": "approximate_diffuse"},
}
REGRESSORS: dict[str, dict] = {
    "exog": {"exog": regressors(N, 2, 1)},
    "state_exog": {"state_exog": regressors(N, 1, 2)},
    "both": {"exog": regressors(N, 2, 1), "state_exog": regressors(N, 1, 2)},
    "both, two lags": {"lags": 2, "exog": regressors(N, 2, 1), "state_exog": regressors(N, 1, 2)},
    "both, diffuse": {
        "initialization": "diffuse",
        "design": DESIGN,
        "exog": regressors(N, 2, 1),
        "state_exog": regressors(N, 1, 2),
    },
}
MODELS = STARTS | REGRESSORS
every_model = pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS.keys())


def build(spec: Mapping, y: np.ndarray | None = None, **more: object) -> sse.LGSSM:
    return sse.LGSSM(panel() if y is None else y, 2, **{**spec, **more})


def smoothed(spec: Mapping, y: np.ndarray | None = None) -> sse.LGSSMResults:
    """Return results at the default start values: no fit is needed to look at the mechanics."""
    model = build(spec, y)
    return model.smooth(model.start_params)


def future(spec: Mapping, steps: int = H) -> dict[str, np.ndarray]:
    """
    Return regressors that enter the periods after the sample, for a model that has some.

    The first row of state_exog is the last one of the sample: it enters the first period after it.
    """
    out = {
        key: regressors(steps, np.shape(spec[key])[1], 7 + i)
        for i, key in enumerate(("exog", "state_exog"))
        if key in spec
    }
    if "state_exog" in out:
        out["state_exog"] = np.concatenate([spec["state_exog"][-1:], out["state_exog"]])[:steps]
    return out


def brute_force(res: sse.LGSSMResults, spec: Mapping, steps: int, **new: np.ndarray) -> tuple[Dense, dict]:
    """Return the joint Gaussian posterior of the sample and ``steps`` periods without data after it."""
    at = {key: frame.to_numpy() for key, frame in res.matrices.items()}
    k, lags, y = 2, spec.get("lags", 1), res.model.endog
    n = len(y) + steps

    def stacked(name: str, columns: int) -> np.ndarray:
        known = len(y) - int(name == "state_exog" and name in new)
        parts = [
            np.asarray(spec.get(name, np.zeros((len(y), columns))))[:known],
            new.get(name, np.zeros((0, columns))),
        ]
        rows = np.concatenate(parts)
        return np.concatenate([rows, np.zeros((n - len(rows), columns))])

    exog = stacked("exog", at["obs_coef"].shape[1])
    state_exog = stacked("state_exog", at["state_coef"].shape[1])
    transition = np.eye(k * lags, k=-k)
    transition[:k] = at["transition"]
    state_intercept = np.zeros((k * lags, n))
    state_intercept[:k] = at["state_intercept"] + at["state_coef"] @ state_exog.T
    system = {
        "design": np.hstack([at["design"], np.zeros((3, k * (lags - 1)))]),
        "obs_intercept": at["obs_intercept"] + at["obs_coef"] @ exog.T,
        "obs_cov": at["obs_cov"],
        "transition": transition,
        "state_intercept": state_intercept,
        "selection": np.eye(k * lags, k),
        "state_cov": at["state_cov"],
        "initial_state": at["initial_state"][:, 0],
        "initial_state_cov": at["initial_state_cov"],
    }
    padded = np.concatenate([y, np.full((steps, y.shape[1]), np.nan)])
    if spec.get("initialization") == "diffuse":
        everywhere = np.ones(k * lags, dtype=bool)
        system["initial_state_cov"] = np.zeros((k * lags, k * lags))
        return dense_diffuse(padded, system, everywhere), system
    return dense(padded, system), system


def without_diffuse_missing(spec: Mapping) -> np.ndarray:
    """Return data; statsmodels before 0.15 has partly missing rows of a diffuse period wrong."""
    y = panel()
    if spec.get("initialization") == "diffuse":
        y = panel(missing=False)
        y[N // 2] = np.nan
    return y


def split(spec: Mapping, m: int) -> tuple[dict, dict]:
    """Return a specification for the first m periods, and the regressors that enter the rest."""
    rows = {"exog": slice(m, None), "state_exog": slice(m - 1, -1)}
    first = {key: value[:m] if key in rows else value for key, value in spec.items()}
    return first, {key: spec[key][own] for key, own in rows.items() if key in spec}


def quarterly(y: np.ndarray, start: str = "2000Q1") -> pd.DataFrame:
    index = pd.period_range(start, periods=len(y), freq="Q")
    return pd.DataFrame(y, index=index, columns=["gdp", "cons", "inv"])


def values(res: sse.LGSSMResults) -> dict[str, float]:
    return dict(zip(res.model.param_names, np.asarray(res.params), strict=True))
