"""The methods of `ATSM.fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...estimation.fit import FitRequest, FitResult, check_request, estimate, score_norm
from ...estimation.multi_start import multi_start
from ...estimation.optimize import SCORE_TOLERANCE
from ...estimation.random_starts import random_start
from ...exceptions import SpecificationError
from ...numerics.linear_algebra import Array
from ...statespace.validation import random_generator
from .concentrated import concentrated_start
from .starts import candidates, variants

METHODS = ("auto", "mle", "em", "two-step", "jsz", "lbfgs", "bfgs", "newton", "cg", "nm", "powell")
_KEEP = 3


def estimate_term_structure(model: Any, request: FitRequest) -> FitResult:
    """
    Run a fit by one of the methods.

    Raises
    ------
    SpecificationError, UnsupportedError
        If the method is unknown, or does not serve the model.
    """
    if not isinstance(request.method, str) or request.method not in METHODS:
        raise SpecificationError("method is unknown", got=repr(request.method), expected=f"one of {METHODS}")
    own = request.method in ("auto", "mle", "two-step", "jsz")
    check_request(replace(request, method="auto") if own else request)
    problem = model.problem()
    if not own:
        out = estimate(problem, request)
    elif request.method == "two-step":
        params = request.start if request.start is not None else candidates(model)[0]
        return _as_found(
            model, problem, params, request, "least squares in two steps, not maximum likelihood"
        )
    elif request.method == "jsz" and model.start_kind == "diffuse" and request.start is None:
        out = _as_found(model, problem, concentrated_start(model), request, "")
    else:
        starts, keep = _starts(model, problem, request)
        out = multi_start(problem, starts, request, keep)
    if problem.layout is not model.layout and len(problem.layout) < len(model.layout):
        return out  # with parameters held fixed, a factor cannot be renamed
    return replace(out, params=model.normalised(out.params))


def _starts(model: Any, problem: Any, request: FitRequest) -> tuple[list[Array], int]:
    """Return the starts of a method, and how many of them go the whole way."""
    if request.start is not None:
        starts, keep = [problem.reduced(request.start)], 1
    elif request.method == "jsz":
        starts, keep = [problem.reduced(concentrated_start(model))], 1
    elif request.method == "mle":
        starts, keep = [problem.reduced(candidates(model)[0])], 1
    else:
        starts, keep = [problem.reduced(start) for start in variants(model, candidates(model))], _KEEP
    generator = random_generator(request.rng)
    more = int(request.n_starts) - 1
    starts += [random_start(problem, starts[0], generator) for _ in range(more)]
    return starts, keep + more


def _as_found(model: Any, problem: Any, params: Array, request: FitRequest, status: str) -> FitResult:
    """Return estimates that have been found without steps on the Kalman likelihood."""
    free = problem.reduced(params)
    llf, norm = problem.value(free), score_norm(problem, free)
    converged = bool(np.isfinite(llf)) and (bool(status) or norm < SCORE_TOLERANCE)
    return FitResult(
        problem.full(free), llf, request.method, converged, status or f"the scaled score is {norm:.2g}",
        {"iteration": [], "llf": [], "change": [], "params_change": []}, [], norm, 0, 1, [llf], 0.0, [],
    )  # fmt: skip
