"""The methods of `ATSM.fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..engine.arguments import one_of
from ..fit.fit import INTERRUPTED, best_so_far, estimate
from ..fit.outcome import FitResult
from ..fit.request import EM_METHODS, FitRequest, check_request
from ..fit.search import after, verdict_at
from ..numerics.linear_algebra import Array
from .concentrated import concentrated_starts
from .maximal import DaiSingleton

OWN = ("mle", "two-step", "jsz")
METHODS = ("auto", *OWN, "em", "lbfgs", "bfgs", "newton", "cg", "nm", "powell")
_MAXITER_EM = 500
"""Maximum number of EM iterations. Each M-step is a search; EM is slow if measurement errors are small."""


def estimate_term_structure(model: Any, request: FitRequest) -> FitResult:
    """
    Run a fit by one of the methods.

    Raises
    ------
    SpecificationError, UnsupportedError
        If the method is unknown or does not support the model.
    """
    one_of(request.method, METHODS, "method")
    check_request(replace(request, method="auto") if request.method in OWN else request)
    problem = model.problem()
    try:
        out = _estimate(model, problem, request)
    except KeyboardInterrupt:
        out = best_so_far(problem, request)
    if problem.layout is not model.layout and len(problem.layout) < len(model.layout):
        return out  # with fixed parameters, factors cannot be reordered
    return replace(out, params=model.normalised(out.params))


def _estimate(model: Any, problem: Any, request: FitRequest) -> FitResult:
    """Run a fit; the methods of the model differ in their starts."""
    method, start, most = request.method, request.start, request.maxiter
    if method == "two-step":
        return _two_step(problem, model.start_params if start is None else start, request)
    if method == "auto" and start is None and _has_twin(model):
        return _by_portfolios(model, problem, request)
    if method != "auto" and start is None:
        start = concentrated_starts(model)[0] if method == "jsz" else model.start_params
    if method in EM_METHODS and most is None:
        most = _MAXITER_EM
    common = "auto" if method in OWN else method
    found = estimate(problem, replace(request, method=common, start=start, maxiter=most))
    return replace(found, method=method)


def _has_twin(model: Any) -> bool:
    """Return whether a Dai-Singleton model is a rotation of a Joslin-Singleton-Zhu model."""
    given, rotates = model._given, isinstance(model.norm, DaiSingleton)
    free = isinstance(given["p_dynamics"], str) and given["p_dynamics"] == "unrestricted"
    plain = given["risk_prices"] is None and not model._has_fixed_params and model.user_initialization is None
    return rotates and free and plain


def _by_portfolios(model: Any, problem: Any, request: FitRequest) -> FitResult:
    """
    Fit the Dai-Singleton normalisation by fitting the model for portfolios and rotating the result.

    With latent factors the likelihood has long curved ridges; with portfolios it does not.
    """
    twin = model.clone(model.panel.endog, identification=model.norm.twin, portfolio_weights=None)
    found = estimate_term_structure(twin, request)
    start = rotated(model, twin, found.params)
    if found.status == INTERRUPTED:
        return replace(found, params=start)
    out = estimate(problem, replace(request, start=start, n_starts=1))
    reached = [out.llf if llf == max(found.starts) else llf for llf in found.starts]
    return replace(after(out, found), starts=reached, seconds=found.seconds + out.seconds)


def rotated(model: Any, twin: Any, params: Array) -> Array:
    """Return the parameters of a Dai-Singleton model at those of its twin, whose factors are portfolios."""
    at = twin.layout.matrices(params)
    both = twin.dynamics_at(at)
    values, turn, centre = model.norm.form(both.pricing, both.cov)
    values["K_P"] = turn @ both.K_P @ np.linalg.inv(turn)
    values["kappa_P"] = (turn @ (both.kappa_P - both.K_P @ centre))[:, None]
    values["obs_cov"] = at["obs_cov"]
    values["initial_state"] = (turn @ (at["initial_state"][:, 0] - centre))[:, None]
    return np.asarray(model.layout.project(values, np.zeros(len(model.layout))))


def _two_step(problem: Any, params: Array, request: FitRequest) -> FitResult:
    """Return least-squares estimates with their likelihood."""
    free = problem.reduced(params)
    llf, at = problem.value(free), verdict_at(problem, free)
    status = "least squares in two steps, not maximum likelihood"
    return FitResult(
        problem.full(free), llf, request.method, bool(np.isfinite(llf)), status, at.score_norm, at.gain,
        starts=[llf],
    )  # fmt: skip
