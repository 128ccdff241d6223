"""The exact score of any statsmodels state-space model, and `fit` with it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from statsmodels.tsa.statespace.kalman_filter import FILTER_CONCENTRATED
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..exceptions import UnsupportedError
from ..numerics.differences import central_differences
from ..numerics.linear_algebra import Array, symmetrize
from .smoother import Smoother
from .system import MATRICES, System
from .system_score import SystemScore, system_score

GRADIENT_METHODS = ("lbfgs", "bfgs", "newton", "cg", "ncg", "basinhopping")
_STEP = np.finfo(float).eps ** (1 / 3)


@dataclass(frozen=True)
class ExactScore:
    """
    The score of a model at one parameter vector.

    Attributes
    ----------
    score : ndarray
        Derivatives of the log-likelihood, by parameter.
    llf : float
        The log-likelihood there.
    method : {"exact", "numerical"}
        How the score was computed.
    reason : str
        Why it is numerical; empty where it is exact.
    """

    score: Array
    llf: float
    method: str
    reason: str


def exact_score(
    model: MLEModel, params: Any, transformed: bool = True, includes_fixed: bool = False
) -> ExactScore:
    r"""
    Return the gradient of the log-likelihood of any `MLEModel`, from one smoother pass.

    .. math::

        \frac{\partial \log L}{\partial \psi_j}
            = \sum_M \Big\langle G_M, \frac{\partial M}{\partial \psi_j} \Big\rangle

    over the system matrices M and the initial state: the derivatives G_M by matrix element come from the
    smoother, whatever the number of parameters; those of the matrices by the parameters are central
    differences of ``update``, which needs no filter pass.

    Parameters
    ----------
    model : MLEModel
        Any state-space model of statsmodels, or a subclass. It is left as it was.
    params : array_like
        Parameters.
    transformed, includes_fixed : bool
        As in `MLEModel.loglike`.

    Returns
    -------
    ExactScore
        With ``loglikelihood_burn``, the burnt periods are left out; with a concentrated scale, the
        derivative is taken at its maximiser (envelope theorem). Where neither the model nor its start
        permits the exact form, the score is numerical and ``reason`` says why.

    References
    ----------
    Koopman, S. J. & Shephard, N. (1992). Exact score for time series models in state space form.
    Biometrika 79(4).

    Examples
    --------
    >>> import numpy as np, statsmodels.api as sm, statespace_ext as sse
    >>> model = sm.tsa.SARIMAX(np.random.default_rng(0).normal(size=50), order=(1, 0, 1))
    >>> sse.exact_score(model, model.start_params).method
    'exact'
    """
    params = np.array(params, dtype=float, ndmin=1)
    with preserved(model):
        try:
            evaluator = _Evaluator(model, transformed, includes_fixed)
            llf, score = evaluator(params)
            return ExactScore(score, llf, "exact", "")
        except UnsupportedError as error:
            return _numerical(model, params, transformed, includes_fixed, str(error))


def _numerical(
    model: MLEModel, params: Array, transformed: bool, includes_fixed: bool, reason: str
) -> ExactScore:
    """Return the score by central differences of the log-likelihood, extrapolated once."""

    def loglike(at: Array) -> float:
        value = MLEModel.loglike(model, at, transformed=transformed, includes_fixed=includes_fixed)
        return float(np.real(value))

    return ExactScore(central_differences(loglike, params), loglike(params), "numerical", reason)


class ExactScoreMixin:
    """
    Give any `MLEModel` the exact score: in `score`, `hessian`, `cov_type="oim"` and in `fit`.

    Put it before the model: ``class Model(sse.ExactScoreMixin, sm.tsa.SARIMAX): pass``. In `fit` the
    log-likelihood and its gradient come from the same smoother pass. Where the exact form does not
    apply (see `exact_score`) the numerical score is used.

    Examples
    --------
    >>> import numpy as np, statsmodels.api as sm, statespace_ext as sse
    >>> class FastSARIMAX(sse.ExactScoreMixin, sm.tsa.SARIMAX):
    ...     pass
    >>> y = np.random.default_rng(0).normal(size=100).cumsum()
    >>> res = FastSARIMAX(y, order=(1, 1, 1)).fit(disp=False)
    >>> bool(np.max(np.abs(res.model.score(res.params))) < 0.01)
    True
    """

    _score_memo: tuple[bytes, ExactScore] | None = None
    _fitting_exactly: bool = False

    def fit(self, start_params: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Fit as the model does, gradient methods with the exact score; see `MLEModel.fit`."""
        bound = inspect.signature(super().fit).bind_partial(start_params, *args, **kwargs)  # type: ignore[misc]
        bound.apply_defaults()
        given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
        exact = given.get("method") in GRADIENT_METHODS and given.get("optim_score") is None
        if not exact or given.get("approx_grad"):
            return super().fit(start_params, *args, **kwargs)  # type: ignore[misc]
        if len(args) <= _OPTIM_SCORE:
            kwargs["optim_score"] = "exact"
        else:
            args = (*args[:_OPTIM_SCORE], "exact", *args[_OPTIM_SCORE + 1 :])
        self._fitting_exactly = True
        try:
            res = super().fit(start_params, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._fitting_exactly, self._score_memo = False, None
        if getattr(res, "cov_type", None) == "oim":
            res.cov_kwds["description"] = "Covariance matrix from differences of the exact score."
        return res

    def _exact(self, params: Any, transformed: bool, includes_fixed: bool) -> ExactScore:
        """Return the exact score, remembered for one parameter vector."""
        key = np.asarray(params, dtype=float).tobytes() + bytes([transformed, includes_fixed])
        if self._score_memo is None or self._score_memo[0] != key:
            result = exact_score(cast(MLEModel, self), params, transformed, includes_fixed)
            self._score_memo = (key, result)
        return self._score_memo[1]

    def loglike(self, params: Any, *args: Any, **kwargs: Any) -> float:
        """Return the log-likelihood; see `MLEModel.loglike`."""
        options = _options(args, kwargs)
        if self._fitting_exactly and options.get("score_method") == "exact" and not np.iscomplexobj(params):
            try:
                return self._exact(params, options["transformed"], options["includes_fixed"]).llf
            except (np.linalg.LinAlgError, ValueError):
                pass  # no score here, perhaps no likelihood either: statsmodels' own answer follows
        return cast(float, super().loglike(params, *args, **kwargs))  # type: ignore[misc]

    def score(self, params: Any, *args: Any, **kwargs: Any) -> Array:
        """Return the gradient of the log-likelihood, exact unless another method is asked for."""
        options = _options(args, kwargs)
        method = options.get("score_method") or options.get("method")
        if method not in (None, "exact"):
            return np.asarray(super().score(params, *args, **kwargs))  # type: ignore[misc]
        try:
            return self._exact(params, options["transformed"], options["includes_fixed"]).score
        finally:
            if not self._fitting_exactly:
                self._score_memo = None

    def hessian(self, params: Any, *args: Any, **kwargs: Any) -> Array:
        """Return second derivatives, divided by the number of periods as in statsmodels."""
        options = _options(args, kwargs)
        method = options.get("hessian_method") or options.get("method")
        if method not in (None, "oim"):
            return np.asarray(super().hessian(params, *args, **kwargs))  # type: ignore[misc]
        transformed, includes_fixed = options["transformed"], options["includes_fixed"]
        params = np.array(params, dtype=float, ndmin=1)
        rows = []
        for i, value in enumerate(params):
            move = np.zeros(len(params))
            move[i] = 1e-5 * max(abs(value), 1e-2)
            ahead, behind = (
                exact_score(cast(MLEModel, self), params + sign * move, transformed, includes_fixed).score
                for sign in (1, -1)
            )
            rows.append((ahead - behind) / (2 * move[i]))
        ssm = cast(Any, self).ssm
        return symmetrize(np.array(rows)) / (ssm.nobs - ssm.loglikelihood_burn)


_OPTIM_SCORE = 10
"""Place of ``optim_score`` among the positional arguments of `MLEModel.fit` after ``start_params``."""


def _options(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the flags of a call by `fit` (a dict) or by a user (positional or keywords)."""
    out: dict[str, Any] = {"transformed": True, "includes_fixed": False}
    if args and isinstance(args[0], dict):
        out.update(args[0])
    else:
        out.update(zip(("transformed", "includes_fixed"), args, strict=False))
    return {**out, **kwargs}


class _Evaluator:
    """The log-likelihood and score of one model, as a function of the parameters given to `fit`."""

    def __init__(self, model: MLEModel, transformed: bool, includes_fixed: bool) -> None:
        self.model = model
        self.options = {"transformed": transformed, "includes_fixed": includes_fixed}
        _require_supported(model)

    def __call__(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and the score."""
        ssm = self.model.ssm
        jacobian = self._jacobian(params)
        base = self._representation(params)
        scale, llf = self._scale()
        system = _as_system(ssm, base, scale)
        endog = np.asarray(ssm.endog).T
        needed = frozenset(name for name in MATRICES if name in jacobian)
        limit = _moves_quiet_rows(system, jacobian.get("transition"))
        score = system_score(Smoother(endog, ssm.k_states, ssm.k_posdef), system, needed, limit)
        total = _contract(score, jacobian, scale)
        burn = int(ssm.loglikelihood_burn)
        llf = score.llf if llf is None else llf
        if burn:
            early = _first_periods(system, burn)
            burnt = system_score(Smoother(endog[:burn], ssm.k_states, ssm.k_posdef), early, needed, limit)
            total = total - _contract(burnt, _early(jacobian, base, burn), scale)
            llf = llf - burnt.llf if not ssm.filter_concentrated else llf
        return llf, total

    def _representation(self, params: Array) -> dict[str, Array]:
        """Return copies of the matrices and of the mean and finite covariance of the initial state."""
        model, ssm = self.model, self.model.ssm
        model.update(params, **self.options)
        out = {name: np.nan_to_num(getattr(ssm, name)) for name in MATRICES}  # VARMAX: NaN after the sample
        if _is_stationary(ssm):
            return out
        mean, _, cov = ssm.initialization(model=ssm)
        return {**out, "initial_state": np.array(mean), "initial_state_cov": np.array(cov)}

    def _jacobian(self, params: Array) -> dict[str, Array]:
        """Return the derivatives of the matrices that depend on the parameters, those on the last axis."""
        columns: dict[str, list[Array]] = {}
        for i, value in enumerate(params):
            step = _STEP * max(abs(value), 1e-2)
            move = np.zeros(len(params))
            move[i] = step
            ahead, behind = self._representation(params + move), self._representation(params - move)
            span = (params + move)[i] - (params - move)[i]
            for name in ahead:
                columns.setdefault(name, []).append((ahead[name] - behind[name]) / span)
        stacked = {name: np.stack(parts, axis=-1) for name, parts in columns.items()}
        return {name: value for name, value in stacked.items() if np.any(value)}

    def _scale(self) -> tuple[float, float | None]:
        """Return the concentrated scale and its log-likelihood, 1 and None where nothing is concentrated."""
        ssm = self.model.ssm
        if not ssm.filter_concentrated:
            return 1.0, None
        result = ssm.filter()
        return float(result.scale), float(np.sum(result.llf_obs[ssm.loglikelihood_burn :]))


def _moves_quiet_rows(system: System, derivative: Array | None) -> bool:
    """Tell whether parameters move a row of T that has no disturbance of its own."""
    if derivative is None:
        return False
    rows = np.flatnonzero(np.abs(derivative).reshape(len(derivative), -1).any(axis=1))
    R = system.selection if system.selection.ndim == 2 else system.selection[:, :, 0]
    unit = np.eye(len(R))[:, rows]
    return bool(np.max(np.abs(unit - R @ np.linalg.lstsq(R, unit, rcond=None)[0]), initial=0.0) > 1e-10)


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


@contextmanager
def preserved(model: MLEModel) -> Iterator[None]:
    """Put the matrices and the initialisation of a model back on leaving; in-place changes included."""
    if hasattr(model, "preserved"):
        with model.preserved():
            yield
        return
    ssm = model.ssm
    saved = {name: np.array(getattr(ssm, name), order="F") for name in MATRICES}
    start = ssm.initialization
    values = _start_values(start)
    try:
        yield
    finally:
        for owner, name, value in values:
            setattr(owner, name, value)
        for name, value in saved.items():
            ssm[name] = value
        ssm.initialization = start


def _start_values(start: Any) -> list[tuple[Any, str, Array]]:
    """Return copies of the arrays of an initialisation, which some models change or replace."""
    if start is None:
        return []
    own = [(start, name, np.array(getattr(start, name))) for name in ("constant", "stationary_cov")]
    return own + [entry for block in start.blocks.values() for entry in _start_values(block)]
