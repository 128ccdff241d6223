"""An autoregression as a user writes it, with its likelihood by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse

N = 60
Y = np.random.default_rng(5).standard_normal(N).cumsum() * 0.3 + np.random.default_rng(6).standard_normal(N)


class AR1(MLEModel):
    """A user's autoregression: a stationary start, parameters without a transform."""

    start_params = np.array([0.5, 1.0])
    param_names = ["phi", "variance"]

    def __init__(self, endog: Any, **kwargs: Any) -> None:
        super().__init__(endog, k_states=1, initialization="stationary", **kwargs)
        self["design"] = self["selection"] = np.eye(1)
        self.ssm.tolerance = 0.0

    def update(self, params: Any, **kwargs: Any) -> Any:
        params = super().update(params, **kwargs)
        self["transition", 0, 0], self["state_cov", 0, 0] = params
        return params


class ExactAR1(sse.ExactScoreMixin, AR1):
    pass


def density(params: np.ndarray, y: np.ndarray = Y) -> float:
    """The log-likelihood of a stationary autoregression, by hand."""
    phi, variance = params
    if not abs(phi) < 1.0 or not variance > 0.0:
        return -np.inf
    errors = y[1:] - phi * y[:-1]
    total = errors @ errors + (1 - phi**2) * y[0] ** 2
    return float(-0.5 * (len(y) * np.log(2 * np.pi * variance) - np.log(1 - phi**2) + total / variance))


def best(function: Callable[[np.ndarray], float]) -> np.ndarray:
    found = minimize(
        lambda at: -function(at), [0.5, 1.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12}
    )
    return np.asarray(found.x)
