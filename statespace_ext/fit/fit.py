"""One fit: options, starts, EM, gradient method, verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..em.acceleration import Coordinates, run_accelerated_em
from ..em.driver import EMOptions, EMResult, run_em
from ..engine.arguments import random_generator
from ..exceptions import ConvergenceWarning, EstimationError, UnsupportedError, shown
from ..numerics.linear_algebra import Array
from .optimize import (
    POLISH_UP_TO,
    Optimum,
    maximise_likelihood,
    parameter_scale,
    polish,
    verdict_at,
)
from .problem import EstimationProblem
from .progress import reporter
from .random_starts import inside, random_start, singular_blocks
from .request import EM_METHODS, FitRequest
from .saddle import lifted
from .screening import SCREENING, compared, screened
from .several import from_each
from .unbounded import Watch, unbounded
from .verdict import GAIN_TOLERANCE, SCORE_TOLERANCE, Verdict

_WITHOUT_SCREENING = (*EM_METHODS, "nm", "powell")
_MAXITER = 2000
_EM_BEFORE_GRADIENT = 3
_EM_TOLERANCE_BEFORE_GRADIENT = 1e-5
_LITTLE_TO_GAIN = 1e-7
"""Predicted gain below which Newton polishing would change nothing that is reported."""
_SAME_MAXIMUM = 1e-4
"""Relative difference of log-likelihoods up to which two starts reach the same maximum."""
_ESCAPES = 4
_LEAST_LATER, _LONGER = 200, 2
"""Later starts may take as many iterations, and as many times those of the first."""
_HIGHER, _NEARLY, _APART = 1e-6, 0.01, 0.5
"""Of another peak: log-likelihood by which it has to be higher; by which it may be lower after a few steps,
where some parameter is that many complete-data standard errors away."""


@dataclass(frozen=True)
class FitResult:
    """
    The outcome of a fit.

    Attributes
    ----------
    params : ndarray
        All parameters, the fixed ones included.
    llf : float
        Log-likelihood.
    method : str
        The method asked for.
    converged : bool
        Whether the scaled score and the predicted gain are below their tolerances.
    status : str
        What ended it, in words.
    em_trace : dict of list
        Trace of the EM phase.
    gradient_path : list of float
        Log-likelihoods of the gradient phase.
    score_norm : float
        Largest element of the score, each times the standard error that complete data would give; after
        `multi_start`, in the coordinates in which the second derivatives at hand are the identity.
    iterations, evaluations : int
        Iterations of all phases; evaluations of the likelihood or its gradient.
    starts : list of float
        Log-likelihoods that the starts reached, in their order. A later start that goes no further, because a
        few steps bring it onto the slope of a maximum at hand, counts with that maximum.
    seconds : float
        Time taken.
    warnings : list of (str, type)
        What to warn of.
    gain : float
        What the log-likelihood would gain by a Newton step, s' I^{-1} s / 2.
    """

    params: Array
    llf: float
    method: str
    converged: bool
    status: str
    em_trace: dict[str, list[float]]
    gradient_path: list[float]
    score_norm: float
    iterations: int
    evaluations: int
    starts: list[float]
    seconds: float
    warnings: list[tuple[str, type[Warning]]]
    gain: float = np.nan
    dead_end: bool = False
    """Whether the search ran towards what has no maximum, as ``status`` says."""

    @property
    def starts_at_best(self) -> int:
        """Number of starts that reached the highest log-likelihood."""
        return int(np.sum(np.array(self.starts) > max(self.starts) - _SAME_MAXIMUM * (1.0 + abs(self.llf))))


def estimate(problem: EstimationProblem, request: FitRequest) -> FitResult:
    """
    Run the starts of a request, and those that the model adds, and return the best fit.

    Raises
    ------
    EstimationError
        If no start value has a likelihood.
    """
    began = time.perf_counter()
    starts = _starts(problem, request)
    able = [i for i, start in enumerate(starts) if np.isfinite(problem.value(start))]
    one = partial(_one_start, request=request)
    fits = from_each(one, problem, [starts[i] for i in able], request.n_jobs)
    for fit in fits:
        problem.remember(fit.llf, fit.params)
    reached = np.full(len(starts), -np.inf)
    reached[able] = [fit.llf for fit in fits]
    if not fits:
        raise EstimationError(
            "The log-likelihood does not exist at the start values",
            got=problem.obstacle(starts[0]),
            remedy="Pass start_params with positive semidefinite covariances (and a stable transition).",
        )
    best = max(fits, key=lambda fit: fit.llf)
    later: list[float] = []
    if _chooses_starts(request):
        best, later = _from_later_starts(problem, best, request)
        best = _highest_peak(problem, best, request)
    if not best.dead_end and (reason := unbounded(problem, best.params)):
        best = replace(best, converged=False, status=reason, dead_end=True)
    notes = list(best.warnings)
    if not best.converged and request.tolerance > 0:
        notes.append((f"The fit did not converge: {best.status}.", ConvergenceWarning))
    return replace(
        best,
        params=problem.full(best.params),
        starts=[*reached.tolist(), *later],
        seconds=time.perf_counter() - began,
        warnings=notes,
    )


def _starts(problem: EstimationProblem, request: FitRequest) -> list[Array]:
    """Return the first start, those with which it was screened, and random ones."""
    generator = random_generator(request.rng)
    first = _first_start(problem, request)
    starts = [first]
    if _chooses_starts(request):
        others = problem.model.other_starts(problem)
        starts = screened(problem, [first, *others]) if others else starts
    return starts + [random_start(problem, first, generator) for _ in range(int(request.n_starts) - 1)]


def _chooses_starts(request: FitRequest) -> bool:
    """Tell whether a fit looks for starts of its own: none is given, and it is long enough."""
    short = request.maxiter is not None and request.maxiter <= SCREENING
    return request.start is None and request.method not in _WITHOUT_SCREENING and not short


def _from_later_starts(
    problem: EstimationProblem, best: FitResult, request: FitRequest
) -> tuple[FitResult, list[float]]:
    """
    Return the best of a fit and of fits from other starts, and what those reached.

    A start that a few steps bring onto the slope of the maximum at hand goes no further. The search ends
    when another start agrees with the best one. Two others must agree if starts disagree or if a covariance
    matrix is singular at the maximum, since such likelihoods tend to have several maxima.
    """
    reached: list[float] = []
    most = _MAXITER if request.maxiter is None else int(request.maxiter)
    limit = min(most, max(_LEAST_LATER, _LONGER * best.iterations))
    agreed, needed = 0, 2 if singular_blocks(problem, best.params) else 1
    for start in problem.model.later_starts(problem):
        at, on_the_way = compared(problem, start, best.params)
        if at is None:
            continue
        found = best if on_the_way else _one_start(problem, at.params, replace(request, maxiter=limit))
        reached.append(found.llf)
        gain = found.llf - best.llf
        same = abs(gain) < _SAME_MAXIMUM * (1.0 + abs(best.llf))
        needed = needed if same else 2
        agreed = agreed + 1 if same else 0 if gain > 0 else agreed
        best = found if gain > 0 and (found.converged or not best.converged) else best
        if agreed == needed or not (found.converged or best.converged):
            break
    return best, reached


def _highest_peak(problem: EstimationProblem, best: FitResult, request: FitRequest) -> FitResult:
    """Go on from other peaks that the model sees from a maximum, as long as they lead higher."""
    polishing = replace(request, method="auto") if request.method == "lbfgs" else request
    for _ in range(_ESCAPES):
        points = problem.model.other_peaks(problem, best.params)
        near = [at for at in screened(problem, points) if _elsewhere(problem, at, best)] if points else []
        found = [_one_start(problem, start, polishing) for start in near]
        highest = max(found, key=lambda fit: fit.llf, default=best)
        if not highest.llf > best.llf + _HIGHER:
            break
        best = replace(highest, method=request.method)
    return best


def _elsewhere(problem: EstimationProblem, params: Array, best: FitResult) -> bool:
    """Tell whether a few steps from another peak lead higher, or nearly so and not back to a maximum."""
    gain = problem.value(params) - best.llf
    if gain > _HIGHER:
        return True
    apart = np.abs(problem.layout.unconstrain(params) - problem.layout.unconstrain(best.params))
    return gain > -_NEARLY and bool(np.any(apart > _APART * parameter_scale(problem, best.params)))


def _first_start(problem: EstimationProblem, request: FitRequest) -> Array:
    """Return the start values given, or the default ones."""
    if request.start is None:
        return problem.model.default_start(problem)
    start = problem.reduced(request.start)
    if request.method in EM_METHODS or request.maxiter == 0 or not np.isfinite(problem.value(start)):
        return start
    return inside(problem, start)


def _one_start(problem: EstimationProblem, start: Array, request: FitRequest) -> FitResult:
    """Run the method from one start; parameters of the result are the free ones."""
    maxiter = _MAXITER if request.maxiter is None else int(request.maxiter)
    with reporter(request.disp, request.progress, maxiter) as report:
        if request.method in EM_METHODS:
            obstacle = problem.updates.obstacle()
            if obstacle is not None:
                raise UnsupportedError(
                    f"EM cannot estimate this specification: {obstacle}",
                    remedy='Use method="lbfgs" or "auto".',
                )
            return _to_the_end_by_em(problem, start, request, maxiter, report)
        em = None
        if request.method == "auto" and problem.updates.obstacle() is None and maxiter:
            limit = min(maxiter, _EM_BEFORE_GRADIENT)
            em = _em(problem, start, request, limit, _EM_TOLERANCE_BEFORE_GRADIENT, report)
            start = em.params
            maxiter = max(maxiter - em.iterations, 0)
        method = "lbfgs" if request.method == "auto" else request.method
        method = method if maxiter else "newton"  # which stops where it starts; scipy's take a step
        optimum = _gradient_method(problem, start, method, maxiter, request, report)
    done = optimum.score_norm < SCORE_TOLERANCE and optimum.gain < _LITTLE_TO_GAIN
    rough = not (done or optimum.dead_end)
    left = maxiter - optimum.iterations
    if request.method == "auto" and rough and 0 < len(start) <= POLISH_UP_TO and left > 0:
        optimum = polish(problem, optimum, left)
    return from_optimum(request, em, optimum)


def _gradient_method(
    problem: EstimationProblem,
    start: Array,
    method: str,
    maxiter: int,
    request: FitRequest,
    report: Callable[[int, float], object] | None,
) -> Optimum:
    """Run a gradient method, and again from off a singular covariance matrix where that is no maximum."""
    callback = _full_callback(problem, request.callback)
    optimum = maximise_likelihood(problem, start, method, maxiter, request.options, callback, report)
    for _ in range(_ESCAPES):
        left = maxiter - optimum.iterations
        goes_on = left > 0 and len(start) and not optimum.dead_end
        away = lifted(problem, optimum.params) if goes_on else None
        if away is None:
            break
        again = maximise_likelihood(problem, away, method, left, request.options, callback, report)
        if not again.llf > optimum.llf:
            break
        optimum = replace(
            again,
            iterations=optimum.iterations + again.iterations,
            evaluations=optimum.evaluations + again.evaluations,
            path=optimum.path + again.path,
        )
    return optimum


def _full_callback(
    problem: EstimationProblem, callback: Callable[[Array], object] | None
) -> Callable[[Array], object] | None:
    """Return the user's callback, made to receive all parameters."""
    return None if callback is None else lambda params: callback(problem.full(params))


def _em(
    problem: EstimationProblem,
    start: Array,
    request: FitRequest,
    maxiter: int,
    tolerance: float,
    report: Callable[[int, float], object] | None,
    shortfall: Callable[[Array], float] | None = None,
) -> EMResult:
    callback, watch = _full_callback(problem, request.callback), partial(Watch(problem, start), problem)
    options = EMOptions(maxiter, tolerance, callback, report, shortfall, watch)
    steps = problem.moments, problem.loglike, problem.updates.cycles()
    if request.method != "accelerated-em":
        return run_em(start, *steps, options)
    return run_accelerated_em(start, *steps, options, _coordinates(problem, start))


def _coordinates(problem: EstimationProblem, start: Array) -> Coordinates:
    """Return unconstrained coordinates, free of the units of the data."""
    scale, layout = parameter_scale(problem, start), problem.layout
    roots = np.zeros(len(start), dtype=bool)
    for key in layout.structures:
        block = layout.blocks[key]
        roots[layout.index[key][block.rows == block.columns]] = True
    return Coordinates(
        lambda params: layout.unconstrain(params) / scale,
        lambda place: layout.constrain(place * scale),
        problem.feasible,
        roots,
    )


def _to_the_end_by_em(
    problem: EstimationProblem,
    start: Array,
    request: FitRequest,
    maxiter: int,
    report: Callable[[int, float], object] | None,
) -> FitResult:
    """Run EM until the verdict is that of a maximum."""
    verdicts: list[Verdict] = []

    def shortfall(params: Array) -> float:
        verdicts.append(verdict_at(problem, params))
        at_zero = verdicts[-1].converged and lifted(problem, params) is not None
        return np.inf if at_zero else verdicts[-1].shortfall

    em = _em(problem, start, request, maxiter, request.tolerance, report, shortfall)
    at = verdicts[-1] if em.converged and verdicts else verdict_at(problem, em.params)
    status = em.status
    if not (em.converged or em.dead_end):
        status = f"{status}; {_in_words(at.score_norm, at.gain)}"
        away = lifted(problem, em.params) if np.isfinite(em.llf) else None
        if away is not None:
            names = shown(problem.layout.names[i] for i in np.flatnonzero(away != em.params))
            status = (
                f"EM cannot leave a singular covariance, from which the log-likelihood rises ({names}); "
                'start from positive variances or use method="auto"'
            )
    return FitResult(
        em.params, em.llf, request.method, em.converged, status, em.trace, [],
        at.score_norm, em.iterations, em.iterations + 1, [], 0.0, [], at.gain, em.dead_end,
    )  # fmt: skip


def _in_words(score: float, gain: float) -> str:
    return f"the scaled score is {score:.2g} and the predicted gain {gain:.2g}"


def from_optimum(request: FitRequest, em: EMResult | None, optimum: Optimum) -> FitResult:
    """Return the result of a gradient method, after EM or alone; parameters are the free ones."""
    converged = (
        not optimum.dead_end and optimum.score_norm < SCORE_TOLERANCE and optimum.gain < GAIN_TOLERANCE
    )
    status = optimum.dead_end or "converged"
    if not (converged or optimum.dead_end):
        status = f"{_in_words(optimum.score_norm, optimum.gain)} ({optimum.message})"
    trace: dict[str, list[float]] = (
        em.trace if em else {"iteration": [], "llf": [], "change": [], "params_change": []}
    )
    return FitResult(
        optimum.params, optimum.llf, request.method, converged, status, trace, optimum.path,
        optimum.score_norm, optimum.iterations + (em.iterations if em else 0),
        optimum.evaluations + len(trace["llf"]), [], 0.0, [], optimum.gain, bool(optimum.dead_end),
    )  # fmt: skip
