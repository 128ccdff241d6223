"""Which methods of a model, or of its representation, replace those from which a log-likelihood comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

from statsmodels.regression.recursive_ls import RecursiveLS
from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from statsmodels.tsa.statespace.mlemodel import MLEModel
from statsmodels.tsa.statespace.representation import Representation
from statsmodels.tsa.statespace.simulation_smoother import SimulationSmoother

METHODS = ("loglike", "loglikeobs", "score", "score_obs", "filter", "smooth")
NEUTRAL = "likelihood_neutral"
"""The class attribute that names the methods of the class which leave the likelihood as it is."""
_PLAIN = (MLEModel, SimulationSmoother, KalmanSmoother, KalmanFilter, Representation)


def overrides(model: Any) -> dict[str, str]:
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
    found = dict(_replaced(model, "the model"))
    return {**found, **{f"ssm.{name}": where for name, where in _replaced(model.ssm, "its ssm")}}


def _replaced(owner: Any, whose: str) -> Iterator[tuple[str, str]]:
    """Yield method and class, the first class of the resolution order last."""
    above = list(takewhile(lambda kind: kind not in _PLAIN, type(owner).__mro__))
    for kind in reversed(above):
        neutral = _neutral(kind, owner)
        yield from ((name, kind.__name__) for name in METHODS if name in vars(kind) and name not in neutral)
    yield from ((name, whose) for name in METHODS if name in vars(owner))


def _neutral(kind: type, owner: Any) -> tuple[str, ...]:
    """Return the methods of a class that change no likelihood: it says so, or is of statsmodels."""
    if kind in (DynamicFactorMQ, RecursiveLS):  # other defaults and other results, from the same pass
        return ("filter", "smooth")
    if kind is ExponentialSmoothing and owner.initialization_method != "concentrated":
        return METHODS
    return tuple(vars(kind).get(NEUTRAL, ()))


def called(method: Callable[..., Any], model: Any, params: Any, options: dict[str, bool]) -> Any:
    """Call a method of parameters, with the options of `MLEModel.loglike` or, where it has none, without."""
    try:
        inspect.signature(method).bind(params, **options)
    except TypeError:
        vector = model.handle_params(params, **options)
        return method(vector[model._free_params_index] if model._has_fixed_params else vector)
    return method(params, **options)
