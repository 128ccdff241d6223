"""Samples drawn from a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.system import MATRICES
from ..exceptions import DataError, SpecificationError
from ..numerics.linear_algebra import Array, quiet

_MEANS = ("obs_intercept", "design", "state_intercept", "transition")
_COVARIANCES = ("obs_cov", "state_cov")


class Parametric:
    """
    Samples of the model at a parameter vector, missing where the data are.

    A diffuse initial state, on which the likelihood does not depend, is the smoothed one of the data.

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    params : ndarray
        A full parameter vector.
    """

    def __init__(self, model: Any, params: Array) -> None:
        self.like = np.array(model.endog)
        with model.preserved(), quiet():
            model.update(params, transformed=True, includes_fixed=True)
            self.at = _matrices(model.ssm)
            mean, diffuse, cov = (np.array(part) for part in model.ssm.initialization(model=model.ssm))
            unknown = np.diag(diffuse) > 0
            if model.ssm.initialization.initialization_type == "approximate_diffuse":
                unknown[:] = True
            if unknown.any():
                smoothed = _smoothed(model, params)[:, 0]
                mean, cov = np.where(unknown, smoothed, mean), np.where(unknown[:, None] | unknown, 0.0, cov)
        self.mean, self.spread = mean, root(cov)
        self.obs_root, self.state_root = ([root(part) for part in self.at[key]] for key in _COVARIANCES)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return a sample."""
        n, p = self.like.shape
        state = self.mean + self.spread @ rng.standard_normal(len(self.mean))
        out = np.empty((n, p))
        for t in range(n):
            d, Z, c, T, R = (_period(self.at[key], t) for key in (*_MEANS, "selection"))
            H, Q = _period(self.obs_root, t), _period(self.state_root, t)
            out[t] = d[:, 0] + Z @ state + H @ rng.standard_normal(p)
            state = c[:, 0] + T @ state + R @ (Q @ rng.standard_normal(len(Q)))
        return np.where(np.isnan(self.like), np.nan, out)


class Innovations:
    """
    The bootstrap of Stoffer & Wall (1991): the standardised errors of the forecasts, drawn with replacement.

        e_t = F_t^{-1/2} (y_t - d_t - Z_t a_t),   centred;   e*_t drawn from e_1..e_n
        y*_t = d_t + Z_t a*_t + F_t^{1/2} e*_t,   a*_{t+1} = c_t + T_t a*_t + K_t F_t^{1/2} e*_t,   a*_1 = a_1

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    params : ndarray
        A full parameter vector.

    Raises
    ------
    DataError
        If data are missing.
    SpecificationError
        If the start is diffuse, whose first errors have no finite variance.
    """

    def __init__(self, model: Any, params: Array) -> None:
        y = np.asarray(model.endog)
        if np.isnan(y).any():
            raise DataError(
                "The innovations bootstrap needs complete data",
                got=f"{int(np.isnan(y).sum())} missing values",
                remedy='Use method="parametric".',
            )
        with model.preserved(), quiet():
            model.update(params, transformed=True, includes_fixed=True)
            self.at = _matrices(model.ssm)
            kind = model.ssm.initialization.initialization_type
            diffuse = np.any(model.ssm.initialization(model=model.ssm)[1])
            found = model.ssm.filter()
        if diffuse or kind == "approximate_diffuse":
            raise SpecificationError(
                "The innovations bootstrap needs a proper distribution of the first state",
                got="a diffuse start",
                remedy='Use method="parametric".',
            )
        self.start = np.array(found.predicted_state[:, 0])
        self.gain = np.array(found.kalman_gain)
        self.roots = [root(found.forecasts_error_cov[:, :, t]) for t in range(len(y))]
        errors = np.array(
            [np.linalg.pinv(self.roots[t]) @ found.forecasts_error[:, t] for t in range(len(y))]
        )
        self.errors = errors - errors.mean(axis=0)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return a sample."""
        return self.rebuilt(self.errors[rng.integers(0, len(self.errors), size=len(self.errors))])

    def rebuilt(self, errors: Array) -> Array:
        """Return the sample that has these standardised errors."""
        state, out = self.start, np.empty_like(errors)
        for t, e in enumerate(errors):
            v = self.roots[t] @ e
            d, Z, c, T = (_period(self.at[key], t) for key in _MEANS)
            out[t] = d[:, 0] + Z @ state + v
            state = c[:, 0] + T @ state + self.gain[:, :, t] @ v
        return out


def root(cov: Array) -> Array:
    """Return the symmetric root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def _matrices(ssm: Any) -> dict[str, Array]:
    """Return copies of the matrices with time in front, of length one where they are constant."""
    return {name: np.moveaxis(np.array(_3d(getattr(ssm, name))), 2, 0) for name in MATRICES}


def _3d(value: Array) -> Array:
    """Return an intercept as a matrix of one column."""
    return value[:, None, :] if value.ndim == 2 else value


def _period(values: Any, t: int) -> Array:
    return np.asarray(values[t if len(values) > 1 else 0])


def _smoothed(model: Any, params: Array) -> Array:
    """Return the smoothed states, (k, n)."""
    res = model.smooth(params, includes_fixed=True, cov_type="none")
    return np.asarray(res.smoothed_state)
