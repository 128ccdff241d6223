"""
The exact score of any statsmodels state-space model, and `fit` with it.

Trials of statsmodels' optimisers at parameters that have no likelihood step back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
from statsmodels.base import optimizer
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..display import Displayed
from ..exceptions import ParameterError, SpecificationError, UnsupportedError
from ..numerics.differences import central_differences, jacobian, nan_outside
from ..numerics.linear_algebra import NOT_HERE, Array, quiet, symmetrize
from ..params.layout import real_array
from .arguments import truth
from .filter_conditions import follows_matrices, without_skips
from .model_score import ModelScore, called, overrides, whitened_lbfgs, whitening
from .representation import Mixin, forget_compiled, own_representation, preserved
from .system import require_likelihood
from .trials import Trials

_FROM, _PER_STATE = 15, 0.5
"""Number of parameters, and more by state, from which on L-BFGS takes less time with the exact score."""
_ITERATIONS = 1.2
"""Iterations with the exact score where `maxiter` is left out, in those of the numerical one."""

METHODS_OF_FIT: dict[str, Callable[..., Any]] = {
    name: getattr(optimizer, f"_fit_{name}")
    for name in ("lbfgs", "bfgs", "newton", "cg", "ncg", "basinhopping", "nm", "powell")
}
GRADIENT_METHODS = ("lbfgs", "bfgs", "newton", "cg", "ncg", "basinhopping")
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""Relative steps of differences, the longest first: a root of .9999 leaves no room for the longer ones."""


@dataclass(frozen=True, repr=False)
class ExactScore(Displayed):
    """
    The score of a model at one parameter vector.

    Attributes
    ----------
    score : ndarray
        Derivatives of the log-likelihood, by parameter.
    llf : float
        The log-likelihood there.
    method : {"exact", "own", "numerical"}
        How the score was computed: from the smoother, by the model's own `score`, or by differences of the
        model's own `loglike`.
    reason : str
        Why the score is not exact; empty if it is exact.
    """

    score: Array
    llf: float
    method: str
    reason: str


def exact_score(
    model: MLEModel, params: object, transformed: bool = True, includes_fixed: bool = False
) -> ExactScore:
    r"""
    Return the gradient of the log-likelihood of any `MLEModel`, from one smoother pass.

    .. math::

        \frac{\partial \log L}{\partial \psi_j}
            = \sum_M \Big\langle G_M, \frac{\partial M}{\partial \psi_j} \Big\rangle

    The sum runs over the system matrices M and the initial state. The smoother returns the derivatives G_M
    with respect to the elements of the matrices, regardless of the number of parameters. The derivatives of
    the matrices with respect to the parameters are central differences of ``update``, which needs no filter
    pass.

    Parameters
    ----------
    model : MLEModel
        Any state-space model of statsmodels, or a subclass. It is not changed.
    params : array_like
        Parameters.
    transformed, includes_fixed : bool
        As in `MLEModel.loglike`.

    Returns
    -------
    ExactScore
        ``loglikelihood_burn`` excludes the burnt periods. With a concentrated scale, the derivative is
        taken at its maximiser (envelope theorem). If the model or its start does not permit the exact form,
        the score is numerical, and ``reason`` says why.

    Raises
    ------
    ParameterError
        If a stationary start does not exist, or the log-likelihood is not finite.

    Notes
    -----
    A model that overrides ``loglike``, ``loglikeobs``, ``score``, ``score_obs``, ``filter`` or
    ``smooth``, in a class, on the instance or on its ``ssm``, may have a likelihood that differs from that
    of its matrices: for example, ``loglike`` may add a prior. If the model has its own ``score``, it is
    used. Otherwise the score comes from differences of ``loglike``. A class whose overrides do not change
    the likelihood can declare them and keeps the exact score: ``likelihood_neutral = ("filter",
    "smooth")``. The attribute applies to the methods of that class, not to those of its subclasses.

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
    if not isinstance(model, MLEModel):
        raise SpecificationError("model must be a state-space model", got=repr(model), expected="an MLEModel")
    params = np.atleast_1d(real_array(params, "params"))
    transformed = truth(transformed, "transformed")
    includes_fixed = truth(includes_fixed, "includes_fixed")
    if not follows_matrices(model.ssm):  # a copied or unpickled one; simulation smoothers need the others
        forget_compiled(model.ssm)
    with preserved(model):
        options = {"transformed": transformed, "includes_fixed": includes_fixed}
        return _score(model, params, options, model.score)


def _score(
    model: MLEModel, params: Array, options: dict[str, bool], own_score: Callable[..., Any] | None
) -> ExactScore:
    """Return the score of a model: exact, of its own, or numerical."""
    changed = overrides(model)
    if not changed:
        try:
            llf, score = ModelScore(model, **options)(params)
            _require_finite(llf, score)
            return ExactScore(score, llf, "exact", "")
        except (UnsupportedError, np.linalg.LinAlgError) as error:
            reason = str(error)
    else:
        places = ", ".join(f"{name} of {where}" for name, where in changed.items())
        reason = f"The likelihood is not that of the matrices alone: overridden are {places}"
    llf = _loglike(model, params, options)
    if own_score is not None and "score" in changed:
        own = np.asarray(called(own_score, model, params, options), dtype=float)
        return ExactScore(own, llf, "own", reason)
    return ExactScore(_differences(model, params, options), llf, "numerical", reason)


def _loglike(model: MLEModel, params: Array, options: dict[str, bool]) -> float:
    """Return the log-likelihood of the model, whoever wrote it."""
    model.update(params, **options)
    require_likelihood(model.ssm)
    with without_skips(model.ssm):
        value = float(np.real(called(model.loglike, model, params, options)))
    _require_finite(value)
    return value


def _require_finite(llf: float, score: Array | float = 0.0) -> None:
    if not (np.isfinite(llf) and np.all(np.isfinite(score))):
        raise ParameterError("The log-likelihood or its score is not finite at these parameters", got=llf)


def _differences(model: MLEModel, params: Array, options: dict[str, bool]) -> Array:
    """
    Return central differences, extrapolated once; with shorter steps where the longer leave the region.

    The longest steps that stay in it may end just before its border, so that a tenth of them is taken.
    """

    def slope(relative: float) -> Array:
        """Return the differences with steps of some size."""
        return central_differences(lambda at: _loglike(model, at, options), params, relative)

    for longer, relative in pairwise(_STEPS):
        try:
            found = slope(longer)
        except ParameterError:
            continue
        return found if longer == _STEPS[0] else slope(relative)
    return slope(_STEPS[-1])


class ExactScoreMixin(Mixin):
    """
    Give any `MLEModel` the exact score: in `score`, `hessian`, `cov_type="oim"` and in `fit`.

    Put it before the model: ``class Model(sse.ExactScoreMixin, sm.tsa.VARMAX): pass``. In `fit` the
    log-likelihood and its gradient come from the same smoother pass. If the exact form does not apply (see
    `exact_score`), the score is numerical, or the model's own `score`.

    With k states, a fit by "lbfgs" (the default) is faster with the exact score if the model has at least
    15 + k/2 parameters (docs/benchmarks/mixin.md). `fit` then uses it, with up to 60 iterations instead of
    the 50 of statsmodels. Models with fewer parameters use statsmodels' forward differences. Pass
    ``optim_score="exact"`` to use the exact score at any size. Standard errors with ``cov_type="oim"``
    always use it. If the model has its own `score`, it is used at any size.

    The likelihood does not exist if a stationary start does not exist (a root on or outside the unit
    circle), or if a covariance matrix has a negative eigenvalue. `fit` treats the log-likelihood of such a
    trial as minus infinity, and the optimiser steps back. ``mle_retvals["trials_without_likelihood"]``
    counts these trials. A `ConvergenceWarning` reports a fit that ends at the border of the region, or that
    has not converged after such trials. Default start values outside the region are moved inside. Start
    values that you pass must lie inside.

    Examples
    --------
    >>> import numpy as np, statsmodels.api as sm, statespace_ext as sse
    >>> class FastVARMAX(sse.ExactScoreMixin, sm.tsa.VARMAX):
    ...     pass
    >>> y = np.random.default_rng(0).normal(size=(100, 3))
    >>> res = FastVARMAX(y, order=(1, 0)).fit(disp=False)
    >>> bool(np.max(np.abs(res.model.score(res.params))) < 0.01)
    True
    """

    likelihood_neutral = ("loglike", "score")
    _score_memo: tuple[bytes, ExactScore] | None = None
    _fitting: bool = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if MLEModel in order[: order.index(ExactScoreMixin)]:
            raise SpecificationError(
                "ExactScoreMixin has no effect after the class of a model",
                got=f"class {cls.__name__}({', '.join(base.__name__ for base in cls.__bases__)})",
                expected="ExactScoreMixin as the first base",
            )

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take the attributes of a copy; its compiled objects follow no matrices and are made anew."""
        take: Any = getattr(super(), "__setstate__", self.__dict__.update)
        take(state)
        forget_compiled(self.ssm)

    def _wrap_results(self, params: object, result: Any, *args: object, **kwargs: object) -> Any:
        """Return results that own their representation."""
        result.model = own_representation(result)
        return super()._wrap_results(params, result, *args, **kwargs)

    def fit(self, start_params: object = None, *args: object, **kwargs: object) -> Any:
        """Fit as the model does, gradient methods with the exact score; see `MLEModel.fit`."""
        signature = inspect.signature(super().fit)
        given = () if start_params is None and not signature.parameters else (start_params,)
        bound = signature.bind_partial(*given, *args, **kwargs)
        limited = "maxiter" in {**bound.arguments, **kwargs}
        bound.apply_defaults()
        kinds = {each.kind: name for name, each in signature.parameters.items()}
        further = kinds.get(inspect.Parameter.VAR_KEYWORD, "")
        more = bound.arguments.get(further, {})
        options = {**bound.arguments, **more} if further else {}
        if "optim_score" not in bound.arguments or options.get("method") not in METHODS_OF_FIT:
            return super().fit(*given, *args, **kwargs)
        for name, value in self._changed_options(options, limited, start_params is None).items():
            (bound.arguments if name in bound.arguments else more)[name] = value
        self._fitting = True
        try:
            res = super().fit(*bound.args, **bound.kwargs)
        finally:
            self._fitting, self._score_memo = False, None
        if getattr(res, "cov_type", None) == "oim":
            res.cov_kwds["description"] = "Covariance matrix from differences of the exact score."
        return res

    def _changed_options(self, options: dict[str, Any], limited: bool, movable: bool) -> dict[str, Any]:
        """Return the options of a fit with the exact score, where it pays, and with trials that step back."""
        method, changed = options["method"], dict[str, Any]()
        if self._exact_pays(options):
            changed["optim_score"] = "exact"
            if method == "lbfgs" and not limited and "maxiter" in options:
                changed["maxiter"] = int(_ITERATIONS * options["maxiter"])
        minimise = METHODS_OF_FIT[method]
        if method == "lbfgs" and {**options, **changed}["optim_score"] == "exact":
            minimise = partial(whitened_lbfgs, self._coordinates)
        trials = {method: Trials(self, minimise, movable)}
        return {**changed, "extra_fit_funcs": options.get("extra_fit_funcs", trials)}

    def _exact_pays(self, options: dict[str, Any]) -> bool:
        """Return whether a fit uses the exact score: by L-BFGS with an own score, or if it is faster."""
        if options["optim_score"] is not None or options.get("approx_grad"):
            return False
        if options["method"] != "lbfgs":
            return options["method"] in GRADIENT_METHODS
        if getattr(self.score, "__func__", None) is not ExactScoreMixin.score or "score" in overrides(self):
            return True  # an own score: above the mixin, on the instance, or below the mixin
        count = len(self._free_params_index if self._has_fixed_params else self.param_names)
        return bool(count >= _FROM + _PER_STATE * self.k_states)

    def _coordinates(self, params: Array) -> Array | None:
        """Return what whitens the information at unconstrained start values, or None if it is not known."""
        if overrides(self):
            return None
        with preserved(self), quiet():
            try:
                score = ModelScore(self, transformed=False, includes_fixed=False)
                jacobian = score.jacobian(params)
                llf, gradient = score.chained(params, jacobian)
                information = score.information(params, jacobian)
            except (UnsupportedError, *NOT_HERE):
                return None
        self._score_memo = (_key(params, False, False), ExactScore(gradient, llf, "exact", ""))
        return None if information is None else whitening(information / self.nobs)

    def _exact(self, params: object, transformed: bool, includes_fixed: bool) -> ExactScore:
        """Return the score of the likelihood at hand, remembered for one parameter vector."""
        key = _key(params, transformed, includes_fixed)
        if self._score_memo is None or self._score_memo[0] != key:
            vector = np.atleast_1d(real_array(params, "params"))
            options = {"transformed": transformed, "includes_fixed": includes_fixed}
            with preserved(self):
                # an override of score that calls this one would be called again
                below = super().score if _score_is_below(self, vector, options) else None
                score = _score(self, vector, options, below)
            self._score_memo = (key, score)
        return self._score_memo[1]

    def loglike(self, params: Any, *args: object, **kwargs: object) -> float:
        """Return the log-likelihood; see `MLEModel.loglike`."""
        options = _options(args, kwargs)
        in_fit = self._fitting and not np.iscomplexobj(params)
        if in_fit and options.get("score_method") == "exact" and not overrides(self):
            return self._exact(params, options["transformed"], options["includes_fixed"]).llf
        with nullcontext() if in_fit else preserved(self):
            return cast(float, super().loglike(params, *args, **kwargs))

    def score(self, params: object, *args: object, **kwargs: object) -> Array:
        """Return the gradient of the log-likelihood, exact unless another method is asked for."""
        options = _options(args, kwargs)
        method = options.get("score_method") or options.get("method")
        if method not in (None, "exact"):
            with preserved(self):
                return np.asarray(super().score(params, *args, **kwargs))
        try:
            return self._exact(params, options["transformed"], options["includes_fixed"]).score
        finally:
            if not self._fitting:
                self._score_memo = None

    def hessian(self, params: object, *args: object, **kwargs: object) -> Array:
        """Return second derivatives, divided by the number of periods as in statsmodels."""
        options = _options(args, kwargs)
        method = options.get("hessian_method") or options.get("method")
        if method not in (None, "oim"):
            with preserved(self):
                return np.asarray(super().hessian(params, *args, **kwargs))
        flags = options["transformed"], options["includes_fixed"]
        params = np.array(params, dtype=float, ndmin=1)
        steps = 1e-5 * np.maximum(np.abs(params), 1e-2)
        gradient = nan_outside(lambda at: exact_score(self, at, *flags).score, params.shape)
        second = jacobian(gradient, params, steps, one_sided=True)
        return symmetrize(second) / (self.ssm.nobs - self.ssm.loglikelihood_burn)


def _key(params: object, transformed: bool, includes_fixed: bool) -> bytes:
    return np.asarray(params, dtype=float).tobytes() + bytes([transformed, includes_fixed])


def _score_is_below(model: MLEModel, params: Array, options: dict[str, bool]) -> bool:
    """Return whether a class below the mixin defines the score, and none above changes the likelihood."""
    kinds, changed = type(model).__mro__, overrides(model)
    below = kinds[kinds.index(ExactScoreMixin) + 1 :]
    place = next(i for i, kind in enumerate(below) if "score" in vars(kind))
    if "score" not in changed or not {*changed.values()} <= {kind.__name__ for kind in below[place:]}:
        return False
    try:
        inspect.signature(vars(below[place])["score"]).bind(model, params, **options)
    except TypeError:  # of the constrained parameters alone
        return False
    return True


def _options(args: tuple[object, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the flags of a call by `fit` (a dict) or by a user (positional or keywords)."""
    out: dict[str, Any] = {"transformed": True, "includes_fixed": False}
    if args and isinstance(args[0], dict):
        out.update(args[0])
    else:
        out.update(zip(("transformed", "includes_fixed"), args, strict=False))
    return {**out, **kwargs}
