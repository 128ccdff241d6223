"""The exact score of any statsmodels state-space model, and `fit` with it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..exceptions import SpecificationError, UnsupportedError
from ..numerics.differences import central_differences
from ..numerics.linear_algebra import NOT_HERE, Array, quiet, symmetrize
from ..params.layout import real_array
from .arguments import truth
from .autoregression import WhitenedLBFGS, whitening
from .model_score import ModelScore
from .representation import forget_compiled, own_representation, preserved

GRADIENT_METHODS = ("lbfgs", "bfgs", "newton", "cg", "ncg", "basinhopping")


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
    if not isinstance(model, MLEModel):
        raise SpecificationError("model is no state-space model", got=repr(model), expected="an MLEModel")
    params = np.atleast_1d(real_array(params, "params"))
    transformed = truth(transformed, "transformed")
    includes_fixed = truth(includes_fixed, "includes_fixed")
    with preserved(model):
        try:
            llf, score = ModelScore(model, transformed, includes_fixed)(params)
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state back."""
        self.__dict__.update(state)
        forget_compiled(cast(Any, self).ssm)

    def _wrap_results(self, params: Any, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Return results that own their representation."""
        result.model = own_representation(result)
        return super()._wrap_results(params, result, *args, **kwargs)  # type: ignore[misc]

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
        kwargs.setdefault("extra_fit_funcs", {"lbfgs": WhitenedLBFGS(self._coordinates)})
        self._fitting_exactly = True
        try:
            res = super().fit(start_params, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._fitting_exactly, self._score_memo = False, None
        if getattr(res, "cov_type", None) == "oim":
            res.cov_kwds["description"] = "Covariance matrix from differences of the exact score."
        return res

    def _coordinates(self, params: Array) -> Array | None:
        """Return what whitens the information at unconstrained start values, None where it is not known."""
        model = cast(MLEModel, self)
        with preserved(model), quiet():
            try:
                score = ModelScore(model, transformed=False, includes_fixed=False)
                jacobian = score.jacobian(params)
                llf, gradient = score.chained(params, jacobian)
                information = score.information(params, jacobian)
            except (UnsupportedError, *NOT_HERE):
                return None
        self._score_memo = (_key(params, False, False), ExactScore(gradient, llf, "exact", ""))
        return None if information is None else whitening(information / model.nobs)

    def _exact(self, params: Any, transformed: bool, includes_fixed: bool) -> ExactScore:
        """Return the exact score, remembered for one parameter vector."""
        key = _key(params, transformed, includes_fixed)
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
        with preserved(self):
            return cast(float, super().loglike(params, *args, **kwargs))  # type: ignore[misc]

    def score(self, params: Any, *args: Any, **kwargs: Any) -> Array:
        """Return the gradient of the log-likelihood, exact unless another method is asked for."""
        options = _options(args, kwargs)
        method = options.get("score_method") or options.get("method")
        if method not in (None, "exact"):
            with preserved(self):
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
            with preserved(self):
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


def _key(params: Any, transformed: bool, includes_fixed: bool) -> bytes:
    return np.asarray(params, dtype=float).tobytes() + bytes([transformed, includes_fixed])


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
