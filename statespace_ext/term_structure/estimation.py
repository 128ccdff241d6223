"""The methods of `ATSM.fit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..engine.arguments import one_of, random_generator
from ..fit.fit import FitResult, estimate
from ..fit.interrupt import INTERRUPTED, or_best_so_far
from ..fit.multi_start import multi_start
from ..fit.optimize import verdict_at
from ..fit.random_starts import random_start
from ..fit.request import EM_METHODS, FitRequest, check_request
from ..fit.saddle import lifted
from ..numerics.linear_algebra import Array
from .concentrated import concentrated_start
from .normalisation import DaiSingleton, dai_singleton_form
from .starts import candidates, exchanges, variants

METHODS = ("auto", "mle", "em", "two-step", "jsz", "lbfgs", "bfgs", "newton", "cg", "nm", "powell")
_MAXITER_EM = 500
"""An M-step is a search of its own here, and EM is slow where the measurement errors are small."""
_KEEP = 3
_KEEP_OTHERS, _ROUNDS, _HIGHER = 2, 6, 1e-4


def estimate_term_structure(model: Any, request: FitRequest) -> FitResult:
    """
    Run a fit by one of the methods.

    Raises
    ------
    SpecificationError, UnsupportedError
        If the method is unknown, or does not serve the model.
    """
    one_of(request.method, METHODS, "method")
    own = request.method in ("auto", "mle", "two-step", "jsz")
    check_request(replace(request, method="auto") if own else request)
    problem = model.problem()
    out = or_best_so_far(problem, request, lambda: _estimate(model, problem, request, own))
    if problem.layout is not model.layout and len(problem.layout) < len(model.layout):
        return out  # with parameters held fixed, a factor cannot be renamed
    return replace(out, params=model.normalised(out.params))


def _estimate(model: Any, problem: Any, request: FitRequest, own: bool) -> FitResult:
    """Run a fit by a method that is common to all models, or the model's own."""
    if not own:
        if request.maxiter is None and request.method in EM_METHODS:
            request = replace(request, maxiter=_MAXITER_EM)
        return estimate(problem, request)
    if request.method == "two-step":
        params = request.start if request.start is not None else candidates(model)[0]
        return _two_step(problem, params, request)
    if request.method == "auto" and request.start is None and _has_twin(model):
        return _by_portfolios(model, problem, request)
    starts, keep = _starts(model, problem, request)
    out = multi_start(problem, starts, request, keep)
    yearly = np.nanmean(np.nanvar(model.endog, axis=0)) / np.mean(model.panel.steps)  # a variance of yields
    sizes = {"state_cov": np.full(model.k_factors, yearly)}

    def off_singular(params: Array) -> list[Array]:
        away = lifted(problem, params, sizes)
        return [] if away is None else [away]

    out = _while_higher(problem, request, out, off_singular)
    if request.method == "auto" and request.start is None:
        out = _while_higher(problem, request, out, lambda params: exchanges(model, problem, params))
    return out


def _while_higher(
    problem: Any, request: FitRequest, best: FitResult, others: Callable[[Array], list[Array]]
) -> FitResult:
    """Go on from other points that are seen from a maximum, as long as they lead higher."""
    for _ in range(_ROUNDS):
        starts = others(problem.reduced(best.params)) if best.converged else []
        if not starts:
            break
        found = multi_start(problem, starts, request, _KEEP_OTHERS)
        higher = found.llf > best.llf + _HIGHER
        best = _both(best, found, found if higher else best)
        if not higher:
            break
    return best


def _both(first: FitResult, second: FitResult, better: FitResult) -> FitResult:
    """Return the better of two fits, with the work of both."""
    return replace(
        better,
        iterations=first.iterations + second.iterations,
        evaluations=first.evaluations + second.evaluations,
        starts=first.starts + second.starts,
        seconds=first.seconds + second.seconds,
    )


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


def _has_twin(model: Any) -> bool:
    """Tell whether a model of Dai & Singleton is, but for a rotation, one of Joslin, Singleton & Zhu."""
    given, rotates = model._given, isinstance(model.norm, DaiSingleton)
    free = isinstance(given["p_dynamics"], str) and given["p_dynamics"] == "unrestricted"
    plain = given["risk_prices"] is None and not model._has_fixed_params and model.user_start is None
    return rotates and free and plain


def _by_portfolios(model: Any, problem: Any, request: FitRequest) -> FitResult:
    """
    Return a fit of the normalisation of Dai & Singleton by way of the model for portfolios, rotated.

    In latent factors the likelihood has long curved ridges; in portfolios it has not.
    """
    twin = model.clone(model.panel.endog, identification="jsz", portfolio_weights=None)
    found = estimate_term_structure(twin, request)
    at = twin.layout.matrices(found.params)
    both = twin.dynamics_at(at)
    values, turn, centre = dai_singleton_form(both.pricing, both.cov)
    values["K_P"] = turn @ both.K_P @ np.linalg.inv(turn)
    values["kappa_P"] = (turn @ (both.kappa_P - both.K_P @ centre))[:, None]
    values["obs_cov"] = at["obs_cov"]
    values["initial_state"] = (turn @ (at["initial_state"][:, 0] - centre))[:, None]
    start = problem.reduced(model.layout.project(values, np.zeros(len(model.layout))))
    if found.status == INTERRUPTED:
        return replace(found, params=problem.full(start))
    out = multi_start(problem, [start], request, 1)
    reached = [out.llf if llf == max(found.starts) else llf for llf in found.starts]
    return replace(
        out,
        iterations=found.iterations + out.iterations,
        evaluations=found.evaluations + out.evaluations,
        starts=reached,
        seconds=found.seconds + out.seconds,
    )


def _two_step(problem: Any, params: Array, request: FitRequest) -> FitResult:
    """Return estimates by least squares, with the likelihood that they have."""
    free = problem.reduced(params)
    llf, at = problem.value(free), verdict_at(problem, free)
    status = "least squares in two steps, not maximum likelihood"
    return FitResult(
        problem.full(free), llf, request.method, bool(np.isfinite(llf)), status,
        {"iteration": [], "llf": [], "change": [], "params_change": []}, [], at.score_norm,
        0, 1, [llf], 0.0, [], at.gain,
    )  # fmt: skip
