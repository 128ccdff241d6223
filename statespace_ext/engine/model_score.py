"""The log-likelihood and score of any `MLEModel` as a function of its parameters: the chain rule."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from statsmodels.tsa.statespace.kalman_filter import FILTER_CONCENTRATED
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array, symmetrize
from .autoregression import state_information
from .smoother import Smoother
from .system import MATRICES, System, require_likelihood, require_stationary, stationary_radius
from .system_score import SystemScore, system_score

_STEP = np.finfo(float).eps ** (1 / 3)


class ModelScore:
    """
    The log-likelihood and score of one model, as a function of the parameters given to `fit`.

    Raises
    ------
    UnsupportedError
        If the exact form does not exist for the model.
    """

    def __init__(self, model: MLEModel, transformed: bool, includes_fixed: bool) -> None:
        self.model = model
        self.options = {"transformed": transformed, "includes_fixed": includes_fixed}
        _require_supported(model)

    def __call__(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and the score."""
        return self.chained(params, self.jacobian(params))

    def chained(self, params: Array, jacobian: dict[str, Array]) -> tuple[float, Array]:
        """Return the log-likelihood and the score, given the derivatives of the matrices."""
        ssm = self.model.ssm
        base, system, scale, llf = self._at(params)
        endog = np.asarray(ssm.endog).T
        needed = frozenset(name for name in MATRICES if name in jacobian)
        score = system_score(Smoother(endog, ssm.k_states, ssm.k_posdef), system, needed)
        total = _contract(score, jacobian, scale)
        burn = int(ssm.loglikelihood_burn)
        llf = score.llf if llf is None else llf
        if burn:
            early = _first_periods(system, burn)
            burnt = system_score(Smoother(endog[:burn], ssm.k_states, ssm.k_posdef), early, needed)
            total = total - _contract(burnt, _early(jacobian, base, burn), scale)
            llf = llf - burnt.llf if not ssm.filter_concentrated else llf
        return llf, total

    def jacobian(self, params: Array) -> dict[str, Array]:
        """Return the derivatives of the matrices that depend on the parameters, those on the last axis."""
        shapes = {name: part.shape for name, part in self._parts(params).items()}
        columns = []
        for i, value in enumerate(params):
            step = _STEP * max(abs(value), 1e-2)
            ahead, behind = np.array(params), np.array(params)
            ahead[i], behind[i] = value + step, value - step
            columns.append((self._elements(ahead) - self._elements(behind)) / (ahead[i] - behind[i]))
        flat = np.nan_to_num(np.array(columns)).T  # VARMAX: NaN after the sample
        out, first = {}, 0
        for name, shape in shapes.items():
            part = flat[first : first + math.prod(shape)]
            first += len(part)
            if np.any(part):
                out[name] = part.reshape((*shape, len(params)), order="F")
        return out

    def information(self, params: Array, jacobian: dict[str, Array]) -> Array | None:
        """Return the `state_information` of the parameters."""
        ssm = self.model.ssm
        smoother = Smoother(np.asarray(ssm.endog).T, ssm.k_states, ssm.k_posdef)
        return state_information(smoother, self._at(params)[1], jacobian)

    def _at(self, params: Array) -> tuple[dict[str, Array], System, float, float | None]:
        """Return the matrices, the system, the concentrated scale and its log-likelihood."""
        base = {name: np.nan_to_num(part) for name, part in self._parts(params).items()}
        scale, llf = self._scale()
        return base, _as_system(self.model.ssm, base, scale), scale, llf

    def _parts(self, params: Array) -> dict[str, Array]:
        """Return the matrices and the mean and finite covariance of the initial state: views, not copies."""
        model, ssm = self.model, self.model.ssm
        model.update(params, **self.options)
        out = {name: getattr(ssm, name) for name in MATRICES}
        if _is_stationary(ssm):
            return out
        require_stationary(stationary_radius(ssm))
        mean, _, cov = ssm.initialization(model=ssm)
        return {**out, "initial_state": np.asarray(mean), "initial_state_cov": np.asarray(cov)}

    def _elements(self, params: Array) -> Array:
        """Return a copy of all elements, one after another."""
        return np.concatenate([part.ravel("F") for part in self._parts(params).values()])

    def _scale(self) -> tuple[float, float | None]:
        """Return the concentrated scale and its log-likelihood, 1 and None where nothing is concentrated."""
        ssm = self.model.ssm
        if not ssm.filter_concentrated:
            return 1.0, None
        result = ssm.filter(conserve_memory=0)
        return float(result.scale), float(np.sum(result.llf_obs[ssm.loglikelihood_burn :]))


def _early(jacobian: dict[str, Array], base: dict[str, Array], count: int) -> dict[str, Array]:
    """Return the derivatives over the first periods."""
    varying = {name for name in MATRICES if base[name].shape[-1] > 1}
    return {name: value[..., :count, :] if name in varying else value for name, value in jacobian.items()}


def _require_supported(model: MLEModel) -> None:
    """Raise where the representation has options that the exact form does not cover."""
    ssm = model.ssm
    if ssm._complex_endog:
        raise UnsupportedError("The exact score needs real data")
    if ssm.timing_init_filtered:
        raise UnsupportedError("The exact score needs the initial state to be that of the first period")
    if ssm.initialization is None:
        model.update(model.start_params, includes_fixed=True)
    if ssm.filter_method & FILTER_CONCENTRATED and ssm.initialization.initialization_type == "diffuse":
        raise UnsupportedError("The exact score does not cover a concentrated scale with a diffuse start")


def _is_stationary(ssm: Any) -> bool:
    """Tell whether all states have a stationary start, whose derivatives have a closed form."""
    constant = all(getattr(ssm, name).shape[-1] == 1 for name in _TRANSITION)
    return constant and ssm.initialization.initialization_type == "stationary"


_TRANSITION = ("transition", "selection", "state_cov", "state_intercept")


def _as_system(ssm: Any, base: dict[str, Array], scale: float) -> System:
    """Return the matrices as a `System`, covariances multiplied by a concentrated scale."""
    values = {}
    for name in MATRICES:
        value = base[name]
        values[name] = value[..., 0] if value.shape[-1] == 1 else value
    values["obs_cov"], values["state_cov"] = scale * values["obs_cov"], scale * values["state_cov"]
    require_likelihood(ssm)
    mean, diffuse, cov = ssm.initialization(model=ssm)
    mean, cov = np.array(mean), scale * np.array(cov)
    if _is_stationary(ssm):
        return System(**values, start="stationary", initial_state=mean, initial_state_cov=cov)
    if not np.any(diffuse):
        return System(**values, start="known", initial_state=mean, initial_state_cov=cov)
    return System(
        **values, start="custom", initial_state=mean, initial_state_cov=cov, initialization=ssm.initialization
    )


def _first_periods(system: System, count: int) -> System:
    """Return the system over its first periods."""
    changes = {}
    for name in MATRICES:
        value = getattr(system, name)
        if value.ndim == (2 if name.endswith("intercept") else 3):
            changes[name] = value[..., :count]
    return replace(system, **changes)


def _contract(score: SystemScore, jacobian: dict[str, Array], scale: float) -> Array:
    """Return the score by parameter."""
    total: Array | float = 0.0
    for name, derivative in jacobian.items():
        if name == "initial_state":
            gradient = score.initial_state
        elif name == "initial_state_cov":
            gradient = scale * symmetrize(score.initial_state_cov)
        else:
            gradient = score.by_matrix[name] * (scale if name in ("obs_cov", "state_cov") else 1.0)
            if name == "state_intercept" and derivative.shape[-2] == 1:
                gradient = gradient.sum(axis=-1) + score.start_intercept
            if derivative.shape[-2] == 1 and gradient.ndim == derivative.ndim - 1:
                gradient = gradient.sum(axis=-1, keepdims=True)
            elif gradient.ndim == derivative.ndim - 2:
                gradient = gradient[..., None]
        total = total + np.tensordot(gradient, derivative, axes=gradient.ndim)
    return np.asarray(total)
