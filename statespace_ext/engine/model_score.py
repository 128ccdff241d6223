"""
The log-likelihood, score and information of any `MLEModel` as a function of its parameters.

The score is the score by system matrix, through the derivatives of the matrices (the chain rule). The
information serves L-BFGS, in coordinates in which it is the identity. Where y_t shows the states without
noise (VARMAX without moving averages, whatever its trend and exog), it is that of the regression of x_{t+1}
on (x_t, 1): with B_t = [T_t, c_t], W_t = R_t Q_t R_t' and S_t = E[(x_t, 1)(x_t, 1)'|Y],

    I_ij = sum_t tr(W_t^+ dB_i S_t dB_j') + 1/2 sum_t tr(W_t^+ dW_i W_t^+ dW_j)

summed over t < n: a gradient method in these coordinates takes Gauss-Newton steps. Missing values make it a
little more than the data's.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Any

import numpy as np
from statsmodels.base.optimizer import _fit_lbfgs
from statsmodels.regression.recursive_ls import RecursiveLS
from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
from statsmodels.tsa.statespace.kalman_filter import FILTER_CONCENTRATED, KalmanFilter
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from statsmodels.tsa.statespace.mlemodel import MLEModel
from statsmodels.tsa.statespace.representation import Representation
from statsmodels.tsa.statespace.simulation_smoother import SimulationSmoother

from ..exceptions import UnsupportedError
from ..numerics.differences import jacobian as differences
from ..numerics.linear_algebra import Array, gram, square_root, symmetrize
from .smoother import Smoother, over_time
from .system import MATRICES, System, require_likelihood, require_stationary, stationary_radius, without_time
from .system_score import SystemScore, system_score
from .trials import Slope, Value

_ZERO = 1e-10
_FLOOR = 1e-4
_MOST_MISSING = 0.2
_GRADIENT = 1e-6
_OBSERVATION = frozenset({"design", "obs_intercept", "obs_cov"})
_START = frozenset({"initial_state", "initial_state_cov"})


def state_information(smoother: Smoother, system: System, jacobian: Mapping[str, Array]) -> Array | None:
    """
    Return the information (m, m) of the state equation about the parameters; None if it is not the data's.

    It is the data's where the parameters enter the state equation alone, in rows that have a disturbance, the
    observations have no noise, and are at least 0.8 times as many as the disturbances. What the parameters
    do to the initial state is left out.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    jacobian : mapping of str to ndarray
        Derivatives of matrices that depend on the m parameters, (rows, columns, 1 or nobs, m), of intercepts
        (rows, 1 or nobs, m).
    """
    given = {name: np.moveaxis(value, -2, 0) for name, value in jacobian.items() if name not in _START}
    if not given or given.keys() & _OBSERVATION or np.any(system.obs_cov):
        return None
    always, n = slice(None), len(smoother.endog)
    R, Q = over_time(system.selection, always), over_time(system.state_cov, always)
    W = R @ Q @ np.swapaxes(R, 1, 2)
    values, vectors = np.linalg.eigh(W)
    noisy = (values > _ZERO * np.maximum(values[:, -1:], np.finfo(float).tiny))[:, None, :]
    if np.sum(~smoother.missing) < (1.0 - _MOST_MISSING) * n * np.mean(np.sum(noisy, axis=2)):
        return None
    whitening = vectors * np.where(noisy, 1.0 / np.sqrt(np.where(noisy, values[:, None, :], 1.0)), 0.0)
    slopes, noises = _coefficients(given, system.k_states), _selected(given, R, Q)
    if _outside(vectors * ~noisy, slopes) or _outside(vectors * ~noisy, noises):
        return None
    whitening, slopes, noises = whitening[: n - 1], slopes[: n - 1], noises[: n - 1]
    half = _between(whitening, noises, whitening)
    return _regression(whitening, slopes, smoother, system) + 0.5 * (n - 1) / len(half) * _gram(half)


def _coefficients(given: Mapping[str, Array], k: int) -> Array:
    """Return the derivatives of [T_t, c_t], (1 or nobs, rows, columns, m), from those given, time first."""
    nothing = np.zeros((1, k, k, next(iter(given.values())).shape[-1]))
    T, c = given.get("transition", nothing), given.get("state_intercept", nothing[:, :, 0])
    out = np.empty((max(len(T), len(c)), k, k + 1, nothing.shape[-1]))
    out[:, :, :k], out[:, :, k] = T, c
    return out


def _selected(given: Mapping[str, Array], R: Array, Q: Array) -> Array:
    """Return the derivatives of W_t = R_t Q_t R_t', (1 or nobs, rows, columns, m)."""
    Rt = np.swapaxes(R, 1, 2)
    m = next(iter(given.values())).shape[-1]
    out = np.zeros((1, R.shape[1], R.shape[1], m))
    if "state_cov" in given:
        out = out + _between(Rt, given["state_cov"], Rt)
    if "selection" in given:
        half = _between(np.eye(R.shape[1])[None], given["selection"], Q @ Rt)
        out = out + half + np.swapaxes(half, 1, 2)
    return out


def _regression(whitening: Array, slopes: Array, smoother: Smoother, system: System) -> Array:
    """Return sum_t tr(W_t^+ dB_i S_t dB_j')."""
    smoothed = smoother.smooth(system, lag_cov=False)
    x = np.concatenate([smoothed.mean, np.ones((1, smoothed.mean.shape[1]))]).T[:-1]
    moments = x[:, :, None] * x[:, None, :]
    moments[:, :-1, :-1] += np.moveaxis(smoothed.cov[:, :, :-1], 2, 0)
    if len(whitening) == len(slopes) == 1:
        moments = moments.sum(axis=0, keepdims=True)
    return _gram(_between(whitening, slopes, square_root(moments)))


def _outside(null: Array, slope: Array) -> bool:
    """Return whether a derivative has rows outside the range of the covariance matrix."""
    left = np.swapaxes(null, 1, 2) @ slope.reshape(*slope.shape[:2], -1)
    return bool(np.max(np.abs(left), initial=0.0) > _ZERO * np.max(np.abs(slope), initial=0.0))


def _between(left: Array, slope: Array, right: Array) -> Array:
    """Return L_t' dM_t R_t, for derivatives (t, rows, columns, m)."""
    turned = np.moveaxis(slope, 3, 1)
    return np.moveaxis(np.swapaxes(left, 1, 2)[:, None] @ turned @ right[:, None], 1, 3)


def _gram(half: Array) -> Array:
    """Return the sums of products over all but the last axis."""
    return gram(half.reshape(-1, half.shape[-1]))


def whitening(information: Array) -> Array:
    """
    Return M with M' I M the identity.

    Parameters that nothing is known of keep their units; directions known less than ``1e-4`` times as well
    as others are moved as if they were known that well.
    """
    diagonal = np.diag(information)
    known = np.isfinite(diagonal) & (diagonal > 0)
    scale = np.where(known, 1.0 / np.sqrt(np.where(known, diagonal, 1.0)), 1.0)
    correlation = np.where(np.outer(known, known), information * np.outer(scale, scale), np.eye(len(scale)))
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray(scale[:, None] * vectors / np.sqrt(np.maximum(values, _FLOOR * values[-1])))


def whitened_lbfgs(
    basis: Callable[[Array], Array | None],
    f: Value,
    score: Slope,
    start: Array,
    fargs: tuple[()],
    kwargs: dict[str, Any],
    **options: Any,
) -> tuple[Array, dict[str, Any] | None]:
    """
    Minimise as statsmodels' "lbfgs", in other coordinates where there are better ones.

    Parameters
    ----------
    basis : callable
        Returns M at the start values, or None: the optimiser moves w, with params = start + M w.
    f, score, start, fargs, kwargs, **options
        As those of statsmodels' optimisers, for a function of the parameters alone.
    """
    M = None if "bounds" in kwargs else basis(start)
    if M is None:
        return _fit_lbfgs(f, score, start, fargs, kwargs, **options)
    callback = options.pop("callback")
    found, retvals = _fit_lbfgs(
        lambda w: f(start + M @ w),
        lambda w: M.T @ score(start + M @ w),
        np.zeros(len(start)),
        fargs,
        {"pgtol": _GRADIENT, **kwargs},
        callback=lambda w: callback(start + M @ w),
        **options,
    )
    if retvals is not None:
        retvals = {**retvals, "gopt": np.linalg.solve(M.T, retvals["gopt"])}
    return start + M @ found, retvals


METHODS = ("loglike", "loglikeobs", "score", "score_obs", "filter", "smooth")
_STAGES = ("_initialize_filter", "_initialize_smoother", "_initialize_state", "_filter", "_smooth")
"""Further methods of the representation that make its likelihood."""
_PLAIN = (MLEModel, SimulationSmoother, KalmanSmoother, KalmanFilter, Representation)


def overrides(model: MLEModel) -> dict[str, str]:
    """
    Return the methods that replace those of statsmodels, and where.

    Parameters
    ----------
    model : MLEModel
        Looked at are its classes up to `MLEModel`, the instance, and the same of its ``ssm``. What a class
        names in ``likelihood_neutral`` does not count, for methods of that class alone.

    Returns
    -------
    dict
        By method, whose it is. Methods of the representation are called "ssm.loglike" and so on.
    """
    found = dict(_replaced(model, "the model", METHODS))
    of_ssm = _replaced(model.ssm, "its ssm", METHODS + _STAGES)
    return {**found, **{f"ssm.{name}": where for name, where in of_ssm}}


def _replaced(owner: object, whose: str, methods: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield method and class, the first class of the resolution order last."""
    above = list(takewhile(lambda kind: kind not in _PLAIN, type(owner).__mro__))
    for kind in reversed(above):
        neutral = _neutral(kind, owner)
        yield from ((name, kind.__name__) for name in methods if name in vars(kind) and name not in neutral)
    yield from ((name, whose) for name in methods if name in vars(owner))


def _neutral(kind: type, owner: Any) -> tuple[str, ...]:
    """Return the methods of a class that change no likelihood: it says so, or is of statsmodels."""
    if kind in (DynamicFactorMQ, RecursiveLS):  # other defaults and other results, from the same pass
        return ("filter", "smooth")
    if kind is ExponentialSmoothing and owner.initialization_method != "concentrated":
        return METHODS
    return tuple(vars(kind).get("likelihood_neutral", ()))


def called(method: Callable[..., Any], model: MLEModel, params: object, options: dict[str, bool]) -> Any:
    """Call a method of parameters, with the options of `MLEModel.loglike` or, where it has none, without."""
    try:
        inspect.signature(method).bind(params, **options)
    except TypeError:
        vector = model.handle_params(params, **options)
        return method(vector[model._free_params_index] if model._has_fixed_params else vector)
    return method(params, **options)


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
            early = system.over(slice(burn))
            burnt = system_score(Smoother(endog[:burn], ssm.k_states, ssm.k_posdef), early, needed)
            varying = {name for name in MATRICES if base[name].shape[-1] > 1}
            first = {
                name: value[..., :burn, :] if name in varying else value for name, value in jacobian.items()
            }
            total = total - _contract(burnt, first, scale)
            llf = llf - burnt.llf if not ssm.filter_concentrated else llf
        return llf, total

    def jacobian(self, params: Array) -> dict[str, Array]:
        """Return the derivatives of the matrices that depend on the parameters, those on the last axis."""
        shapes = {name: part.shape for name, part in self._parts(params).items()}
        data = np.array(self.model.ssm.endog)

        def elements(at: Array) -> Array:
            """Return all elements of the matrices, one after another."""
            out = np.concatenate([part.ravel("F") for part in self._parts(at).values()])
            if not np.array_equal(self.model.ssm.endog, data, equal_nan=True):
                raise UnsupportedError("The exact score needs data that do not depend on the parameters")
            return out

        steps = 2.0 ** np.round(np.log2(_STEP * np.maximum(np.abs(params), 1e-2)))  # exact differences
        flat = np.nan_to_num(differences(elements, params, steps))  # VARMAX: NaN after the sample
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
        """Return the matrices, the system, and the concentrated scale (or 1) and log-likelihood (or None)."""
        base = {name: np.nan_to_num(part) for name, part in self._parts(params).items()}
        ssm, scale, llf = self.model.ssm, 1.0, None
        if ssm.filter_concentrated:
            result = ssm.filter(conserve_memory=0)
            scale, llf = float(result.scale), float(np.sum(result.llf_obs[ssm.loglikelihood_burn :]))
        return base, _as_system(ssm, base, scale), scale, llf

    def _parts(self, params: Array) -> dict[str, Array]:
        """Return the matrices and the mean and finite covariance of the initial state: views, not copies."""
        model, ssm = self.model, self.model.ssm
        values = model.handle_params(params, **self.options)
        model.update(values, transformed=True, includes_fixed=True)
        out = {name: getattr(ssm, name) for name in MATRICES}
        if _is_stationary(ssm):
            return out
        require_stationary(stationary_radius(ssm))
        mean, _, cov = ssm.initialization(model=ssm)
        return {**out, "initial_state": np.asarray(mean), "initial_state_cov": np.asarray(cov)}


def _require_supported(model: MLEModel) -> None:
    """Raise where the representation has options that the exact form does not cover."""
    ssm = model.ssm
    if ssm._complex_endog:
        raise UnsupportedError("The exact score needs real data")
    if ssm.timing_init_filtered:
        raise UnsupportedError("The exact score needs the distribution of the state of the first period")
    if ssm.initialization is None:
        model.update(model.start_params, includes_fixed=True)
    if ssm.filter_method & FILTER_CONCENTRATED and ssm.initialization.initialization_type == "diffuse":
        raise UnsupportedError("The exact score does not cover a concentrated scale with a diffuse start")


def _is_stationary(ssm: KalmanFilter) -> bool:
    """Return whether all states have a stationary start, whose derivatives have a closed form."""
    constant = all(getattr(ssm, name).shape[-1] == 1 for name in _TRANSITION)
    return constant and ssm.initialization.initialization_type == "stationary"


_TRANSITION = ("transition", "selection", "state_cov", "state_intercept")


def _as_system(ssm: KalmanFilter, base: dict[str, Array], scale: float) -> System:
    """Return the matrices as a `System`, covariances multiplied by a concentrated scale."""
    values = without_time({name: base[name] for name in MATRICES})
    values["obs_cov"], values["state_cov"] = scale * values["obs_cov"], scale * values["state_cov"]
    require_likelihood(ssm)
    mean, diffuse, cov = ssm.initialization(model=ssm)
    kind, own = "known", None
    if _is_stationary(ssm):
        kind = "stationary"
    elif np.any(diffuse):
        kind, own = "custom", ssm.initialization
    return System(
        **values,
        initialization_type=kind,
        initial_state=np.array(mean),
        initial_state_cov=scale * np.array(cov),
        initialization=own,
    )


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
            if gradient.ndim == derivative.ndim - 2:
                gradient = gradient[..., None]
            if derivative.shape[-2] == 1:
                gradient = gradient.sum(axis=-1, keepdims=True)
        total = total + np.tensordot(gradient, derivative, axes=gradient.ndim)
    return np.asarray(total)
