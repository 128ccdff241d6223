"""How the likelihood ratio of W = 0 is computed and drawn: by independent contrasts, or by fitting again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from ..inference.samples import model_on
from ..numerics.linear_algebra import Array
from .contrasts import (
    LONGEST,
    MODERATE,
    SMALL,
    ContrastRatio,
    Contrasts,
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
    diffuse = model.current_start == "diffuse"
    obs, state = obs_kind(model), list(state_kinds(model).values())
    pivotal = diffuse and whole and is_equivariant(obs, state)
    if not (diffuse and whole and len(model.coefficients.moving) == 1 and model.nobs <= LONGEST):
        return FittedRatio(model, pivotal)
    if obs in ("unstructured", "diagonal", "scalar") and (
        state == ["proportional"] or (model.k_endog == 1 and state == ["scalar"])
    ):
        return ProfiledRatio(model, obs)
    return SpectralRatio(model, pivotal)


class _Contrasted:
    """What the two ways by contrasts share."""

    def __init__(self, model: Any) -> None:
        seen = ~np.isnan(model.endog).any(axis=1)
        self.found = contrasts(np.asarray(model.exog), model.coefficients.moving[0], seen)
        self.rows = self.found.basis.T @ np.asarray(model.endog)[seen]


class ProfiledRatio(_Contrasted):
    """W = q V: the profile likelihood of q; always pivotal."""

    pivotal = True

    def __init__(self, model: Any, obs: str) -> None:
        super().__init__(model)
        self._model = model
        self._profile = ProfileRatio(self.found, obs, model.k_endog)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return rows with V = I."""
        return self._profile.draw(rng)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the ratio."""
        return self._profile.ratio(sample)

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data."""
        null = _in_data_units(self._model, self.found, self.rows).null_loglike(self.rows)
        value, found = self._profile.ratio(self.rows)
        return null + 0.5 * value, null, found


class SpectralRatio(_Contrasted):
    """Any structures: L-BFGS on the contrasts, drawn with V = I if pivotal and else with the null fit's V."""

    def __init__(self, model: Any, pivotal: bool) -> None:
        super().__init__(model)
        self.pivotal, self._model = pivotal, model
        if pivotal:
            null = model.layout.project({"obs_cov": np.eye(model.k_endog)}, np.zeros(len(model.layout)))
            self._drawn = ContrastRatio(model, self.found, null)
        else:
            self._drawn = _in_data_units(model, self.found, self.rows)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return rows."""
        return self._drawn.draw(rng)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the ratio."""
        return self._drawn.ratio(sample)

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data."""
        scaled = _in_data_units(self._model, self.found, self.rows)
        null = scaled.null_loglike(self.rows)
        value, found = scaled.ratio(self.rows, params)
        return null + 0.5 * value, null, found


def _in_data_units(model: Any, found: Contrasts, rows: Array) -> ContrastRatio:
    """Return the ratio scaled to the data: at the V of the fit with constant coefficients."""
    first = null_start(model.layout, rows.T @ rows / len(rows))
    return ContrastRatio(model, found, ContrastRatio(model, found, first).null(rows)[1])


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
        self._null = self._fit_null(model)
        self._mean, self._factor = self._null_moments()

    def _null_moments(self) -> tuple[Array, Array]:
        """Return means and the factor of V under which samples are drawn."""
        p, params = self._endog.shape[1], self._null[1]
        fixed = self.model.layout.blocks["obs_cov"].is_fixed
        V = np.asarray(self.model.matrices(params)["obs_cov"])
        if self.pivotal:
            return np.zeros_like(self._endog), np.linalg.cholesky(V if fixed else np.eye(p))
        coefs = np.zeros((self._exog.shape[1], p))
        if self.model.current_start != "diffuse":  # these likelihoods do depend on the coefficients
            null = self.model.smooth(params, cov_type="none")
            coefs = np.asarray(null.smoothed_state)[: coefs.size, -1].reshape(coefs.shape)
        return self._exog @ coefs, np.linalg.cholesky(V)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return data, missing where the data are."""
        noise = rng.standard_normal(self._endog.shape) @ self._factor.T
        return np.where(self._seen, self._mean + noise, np.nan)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the ratio of a sample."""
        model = model_on(self.model, sample)
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
        with _quiet(), model.fix_params(dict.fromkeys(self._state, 0.0)):
            res = model.fit(method="lbfgs", low_memory=True, cov_type="none")
        return float(res.llf), np.asarray(res.params, dtype=float), bool(res.converged)

    def _fit(self, model: Any, null: Array, params: Array | None) -> tuple[float, bool]:
        """Return the highest log-likelihood of a few starts, and whether a fit reached it."""
        starts = [start_params(model, null, self._largest, size) for size in (SMALL, MODERATE)]
        starts += [] if params is None else [params]
        found = []
        with _quiet():
            for start in starts:
                res = model.fit(start, method="lbfgs", low_memory=True, cov_type="none")
                found.append((float(res.llf), bool(res.converged)))
        best = max(value for value, _ in found)
        return best, any(done for value, done in found if value > best - 1e-6 * (1.0 + abs(best)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of fits that are counted instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
