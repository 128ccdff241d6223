"""How the likelihood ratio of W = 0 is computed and drawn: by independent contrasts, or by fitting again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ..numerics.linear_algebra import Array
from .contrasts import (
    LONGEST,
    MODERATE,
    SMALL,
    ContrastRatio,
    ProfileRatio,
    contrasts,
    largest_root,
    null_start,
    start_params,
)
from .structures import is_equivariant, obs_kind, state_kinds


class Ratio(Protocol):
    """A likelihood ratio of W = 0."""

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a sample under W = 0."""

    def ratio(self, sample: Any) -> tuple[float, bool]:
        """Return the likelihood ratio of a sample and whether the fit converged."""


class ModelRatio(Ratio, Protocol):
    """A likelihood ratio of W = 0 of a model with data."""

    pivotal: bool

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data, and whether the fit converged; ``params`` are a start."""


def ratio_of(model: Any) -> ModelRatio:
    """
    Return the fastest exact way to the likelihood ratio of a model.

    One moving regressor, an exact diffuse start and rows that are complete or missing: independent
    contrasts (and if W = q V, or with one series, the profile likelihood of q). Otherwise: fits by the
    Kalman filter.
    """
    missing = np.isnan(model.endog)
    whole = bool(np.all(missing.all(axis=1) == missing.any(axis=1)))
    diffuse = model.start_kind == "diffuse"
    pivotal = diffuse and whole and is_equivariant(obs_kind(model), list(state_kinds(model).values()))
    if diffuse and whole and len(model.coefficients.moving) == 1 and model.nobs <= LONGEST:
        return ContrastedRatio(model, pivotal)
    return FittedRatio(model, pivotal)


class ContrastedRatio:
    """
    By independent contrasts: the profile likelihood of q where W = q V, any other structures by L-BFGS.

    Samples are drawn with V = I if the distribution is pivotal, else with the V of the null fit.
    """

    def __init__(self, model: Any, pivotal: bool) -> None:
        seen = ~np.isnan(model.endog).any(axis=1)
        self.pivotal, self._model = pivotal, model
        self.found = contrasts(np.asarray(model.exog), model.coefficients.moving[0], seen)
        self.rows = self.found.basis.T @ np.asarray(model.endog)[seen]
        obs, state = obs_kind(model), list(state_kinds(model).values())
        multiple = state == ["proportional"] or (model.k_endog == 1 and state == ["scalar"])
        self._drawn: ProfileRatio | ContrastRatio
        if multiple and obs in ("unstructured", "diagonal", "scalar"):
            self._drawn = ProfileRatio(self.found, obs, model.k_endog)
        elif pivotal:
            null = model.layout.project({"obs_cov": np.eye(model.k_endog)}, np.zeros(len(model.layout)))
            self._drawn = ContrastRatio(model, self.found, null)
        else:
            self._drawn = self._in_data_units()

    def _in_data_units(self) -> ContrastRatio:
        """Return the ratio scaled to the data: at the V of the fit with constant coefficients."""
        model, rows = self._model, self.rows
        first = null_start(model.layout, rows.T @ rows / len(rows))
        return ContrastRatio(model, self.found, ContrastRatio(model, self.found, first).null(rows)[1])

    def draw(self, rng: np.random.Generator) -> Array:
        """Return rows."""
        return self._drawn.draw(rng)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the ratio."""
        return self._drawn.ratio(sample)

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data."""
        scaled = self._in_data_units()
        profiled = isinstance(self._drawn, ProfileRatio)
        value, found = self._drawn.ratio(self.rows) if profiled else scaled.ratio(self.rows, params)
        null = scaled.null_loglike(self.rows)
        return null + 0.5 * value, null, found


class FittedRatio:
    """Anything else: the model is fitted to each sample, from two starts."""

    def __init__(self, model: Any, pivotal: bool) -> None:
        self.model, self.pivotal = model, pivotal
        c = model.coefficients
        self._endog = np.array(model.endog)
        self._exog = np.array(model.exog)
        self._seen = ~np.isnan(self._endog)
        any_seen = self._seen.any(axis=1)
        self._largest = [largest_root(self._exog, j, any_seen) for j in c.moving]
        keys = [key for key in ("state_cov", "state_loading", "proportion") if key in model.layout.blocks]
        self._state = [name for key in keys for name in model.layout.blocks[key].param_names]
        self._mean, self._factor = self._null_moments()

    @cached_property
    def _null(self) -> tuple[float, Array, bool]:
        return self._fit_null(self.model)

    def _null_moments(self) -> tuple[Array, Array]:
        """Return means and the factor of V under which samples are drawn."""
        p, zero = self._endog.shape[1], np.zeros_like(self._endog)
        if self.pivotal and not self.model.layout.blocks["obs_cov"].is_fixed:
            return zero, np.eye(p)
        params = self._null[1]
        factor = np.linalg.cholesky(np.asarray(self.model.matrices(params)["obs_cov"]))
        if self.pivotal or self.model.start_kind == "diffuse":
            return zero, factor
        # these likelihoods do depend on the coefficients
        states = np.asarray(self.model.smooth(params, cov_type="none").smoothed_state)[:, -1]
        return self._exog @ states[: self._exog.shape[1] * p].reshape(-1, p), factor

    def draw(self, rng: np.random.Generator) -> Array:
        """Return data, missing where the data are."""
        noise = rng.standard_normal(self._endog.shape) @ self._factor.T
        return np.where(self._seen, self._mean + noise, np.nan)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the ratio of a sample."""
        model = clone_with(self.model, sample)
        llf_null, null, done_null = self._fit_null(model)
        llf, done = self._fit(model, null, None)
        return max(0.0, 2.0 * (llf - llf_null)), done and done_null

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data."""
        llf_null, null, done_null = self._null
        llf, done = self._fit(self.model, null, params)
        return max(llf, llf_null), llf_null, done and done_null

    def _fit_null(self, model: Any) -> tuple[float, Array, bool]:
        """Return log-likelihood and parameters with constant coefficients, and whether the fit converged."""
        with _quiet():
            found = model.maximum(None, dict.fromkeys(self._state, 0.0))
        return found.llf, found.params, found.converged

    def _fit(self, model: Any, null: Array, params: Array | None) -> tuple[float, bool]:
        """Return the highest log-likelihood of a few starts, and whether a fit reached it."""
        starts = [start_params(model, null, self._largest, size) for size in (SMALL, MODERATE)]
        starts += [] if params is None else [params]
        with _quiet():
            found = [model.maximum(start, {}) for start in starts]
        best = max(each.llf for each in found)
        return best, any(each.converged for each in found if each.llf > best - 1e-6 * (1.0 + abs(best)))


def clone_with(model: Any, endog: Array) -> Any:
    """Return the model for other data of the same periods."""
    c, index = model.coefficients, model._index
    data = pd.DataFrame(endog, index=index, columns=c.endog)
    return model.clone(data, pd.DataFrame(np.asarray(model.exog), index=index, columns=c.regressors))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of fits that are counted instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
