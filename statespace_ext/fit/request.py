"""The options of a fit, which are checked before the computation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from ..engine.arguments import one_of, random_generator
from ..engine.expectation import ESTEPS
from ..engine.parallel import check_jobs
from ..exceptions import SpecificationError, nearest, shown
from ..numerics.linear_algebra import Array

SCIPY_METHODS = {
    "lbfgs": "L-BFGS-B",
    "bfgs": "BFGS",
    "cg": "CG",
    "nm": "Nelder-Mead",
    "powell": "Powell",
}
OPTIONS = {
    "lbfgs": ("maxcor", "ftol", "gtol", "maxfun", "maxls"),
    "bfgs": ("gtol", "norm", "xrtol"),
    "cg": ("gtol", "norm"),
    "nm": ("maxfev", "xatol", "fatol"),
    "powell": ("maxfev", "xtol", "ftol"),
}
"""Options of `scipy.optimize.minimize` that users may set."""
WITHOUT_GRADIENT = ("nm", "powell")
EM_METHODS = ("em", "accelerated-em")
METHODS = ("auto", *EM_METHODS, "newton", *SCIPY_METHODS)
ARGUMENTS = (
    "start_params", "transformed", "includes_fixed", "cov_type", "cov_kwds", "method", "maxiter",
    "full_output", "disp", "callback", "return_params", "low_memory", "tolerance", "n_starts", "rng",
    "progress", "estep", "n_jobs",
)  # fmt: skip
"""Arguments of `fit` in addition to the options of a method, for suggestions for misspelt names."""


@dataclass(frozen=True)
class FitRequest:
    """The options of `fit`."""

    start: Array | None = None
    method: str = "auto"
    maxiter: int | None = None
    tolerance: float = 1e-6
    n_starts: int = 1
    rng: object = None
    n_jobs: int | None = 1
    disp: bool = False
    progress: bool = False
    callback: Callable[[Array], object] | None = None
    estep: str = "auto"
    options: dict[str, Any] = field(default_factory=dict)


def check_request(request: FitRequest) -> None:
    """
    Check the options.

    Raises
    ------
    SpecificationError
        If an option is unknown, of the wrong type or out of range.
    """
    one_of(request.method, METHODS, "method")
    one_of(request.estep, ("auto", *ESTEPS), "estep")
    if request.maxiter is not None:
        _check_whole(request.maxiter, "maxiter", 0)
    _check_whole(request.n_starts, "n_starts", 1)
    if not _is_real(request.tolerance) or not 0.0 <= request.tolerance < 1.0:
        raise SpecificationError(
            "tolerance is out of range", got=repr(request.tolerance), expected="0 <= tolerance < 1"
        )
    if request.callback is not None and not callable(request.callback):
        raise SpecificationError(
            "callback cannot be called", got=repr(request.callback), expected="a function of the parameters"
        )
    random_generator(request.rng)
    check_jobs(request.n_jobs)
    if request.callback is not None and request.n_jobs != 1:
        raise SpecificationError(
            "callback cannot be called from several processes", got=f"n_jobs={request.n_jobs}",
            expected="n_jobs=1",
        )  # fmt: skip
    _check_options(request)


def _check_options(request: FitRequest) -> None:
    """Raise an error for options that the method does not have."""
    allowed = OPTIONS.get("lbfgs" if request.method == "auto" else request.method, ())
    unknown = [name for name in request.options if name not in allowed]
    if unknown:
        raise SpecificationError(
            f'method="{request.method}" takes no such options',
            got=shown(unknown),
            expected=f"options among {shown(allowed)}" if allowed else "no options",
            remedy=nearest(unknown[0], [*allowed, *ARGUMENTS]),
        )
    for name, value in request.options.items():
        if not _is_real(value) or value < 0:
            raise SpecificationError(f"{name} is not a number of zero or more", got=repr(value))


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)


def _check_whole(value: Any, name: str, least: int) -> None:
    if not _is_real(value) or value != int(value) or value < least:
        raise SpecificationError(
            f"{name} is not a whole number", got=repr(value), expected=f"{least} or more"
        )
