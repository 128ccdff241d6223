"""A fit from one or several starts: screening, convergence and interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from ..em.driver import DeadEnd
from ..engine.arguments import random_generator, stream
from ..exceptions import ConvergenceWarning, EstimationError
from ..numerics.linear_algebra import Array, quiet
from .degenerate import towards_singular, unbounded
from .objective import SAME_MAXIMUM, FitResult, Objective
from .problem import EM_METHODS, WITHOUT_GRADIENT, EstimationProblem, FitRequest
from .search import BARRIER_WEIGHTS, Search, after, by_em, maximise, verdict_at
from .start_values import inside, random_start, singular_blocks

S = TypeVar("S")
T = TypeVar("T")
_MAXITER = 2000
_SCREENING = 40
"""Iterations after which a start is compared with the other starts."""
_KEPT = 3
_LAPS = 4
"""Number of laps, each as long as the screening, of a start that is behind the best."""
_LEAST, _LONGER = 200, 2
"""Iteration limits of further starts: at least the first number, and the second times those of the first."""
_SAME = 1e-3
"""After the screening, starts whose log-likelihoods differ by less count as on one path to a maximum."""
_NEARER = 0.1
"""A start that leads to a maximum has come within this share of its initial distance to it."""
_ON_THE_WAY = np.array([0.3, 0.6])
"""Fractions of the line to a maximum at which the log-likelihood is evaluated."""
_PARABOLA, _LIKE_IT, _LOWEST = 1.0 - (1.0 - _ON_THE_WAY) ** 2, 0.05, 5.0
"""Values of a parabola with its vertex at the maximum, as shares of the increase; the largest difference from
it; and the largest increase to which the comparison applies."""
_SLOPE = 0.15
"""Largest relative difference from the slope of the parabola at the point, which is twice the increase."""
_CLOSE = 1.0
"""A random start leads to the highest maximum if it is lower by less and the line between them is concave.
With 5, this would stop three of the 304 starts of simulated models, which reach a higher maximum."""
_LEVEL, _HIGHER = 1e-6, 1e-6
"""A decrease in the log-likelihood below this size is ignored."""


def estimate(problem: EstimationProblem, request: FitRequest, first: Array | None = None) -> FitResult:
    """
    Run the requested starts, and those that the model adds, and return the best fit.

    If the model has several initial starts, only those that are ahead after some steps run to convergence.
    The model may add starts after the first maximum. Such a start stops if a few steps lead it onto the slope
    of a known maximum. No more starts are added once a start agrees with the best. Two agreements are needed
    if starts have disagreed, or if a covariance matrix is singular at the maximum, since such likelihoods
    often have several maxima.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    request : FitRequest
        Options of the fit.
    first : ndarray, optional
        Free parameters to begin with instead of the default start, without being a start that the user gave.

    Raises
    ------
    EstimationError
        If the likelihood does not exist at any start value.
    """
    first = _first_start(problem, request, first)
    generator = random_generator(request.rng)
    race = Race(problem, request)
    chooses = _chooses_starts(request, first)
    race.whole([first])
    if chooses:
        race.screened(problem.model.other_starts(problem))
    race.whole([random_start(problem, first, generator) for _ in range(int(request.n_starts) - 1)])
    if not np.isfinite(race.best.llf):
        raise EstimationError(
            "The log-likelihood does not exist at the start values",
            got=problem.unsupported_reason(first),
            remedy="Pass start_params with positive semidefinite covariances (and a stable transition).",
        )
    if chooses:
        race.until_starts_agree()
        race.to_the_highest_maximum()
    best = race.best
    reason = unbounded(problem, best.params) or towards_singular(problem, best.params, np.inf)
    if not best.dead_end and reason:
        best = replace(best, converged=False, status=reason, dead_end=True)
    notes: list[tuple[str, type[Warning]]] = []
    if not best.converged and request.tolerance > 0:
        notes = [(f"The fit did not converge: {best.status}.", ConvergenceWarning)]
    return replace(
        best,
        params=problem.full(best.params),
        starts=race.reached,
        seconds=time.perf_counter() - problem.began,
        warnings=notes,
    )


class Race:
    """
    The starts of one problem, and the best fit so far.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    request : FitRequest
        Options of the fit.
    """

    def __init__(self, problem: EstimationProblem, request: FitRequest) -> None:
        self.problem, self.request = problem, request
        self.run = partial(by_em if request.method in EM_METHODS else maximise, problem, request)
        self.best = FitResult(np.zeros(0), -np.inf, request.method, False, "")
        self.reached: list[float] = []
        self.maxima: list[FitResult] = []
        self.most = _MAXITER if request.maxiter is None else int(request.maxiter)

    def whole(self, starts: Sequence[Array], scale: Array | None = None) -> list[float]:
        """Run starts and return their log-likelihoods. The first run limits the iterations of the others."""
        limit, scaled = self.most, {} if scale is None else {"scale": scale}
        if self.reached:
            limit = min(limit, max(_LEAST, _LONGER * self.best.iterations))
        exist = np.isfinite([self.problem.value(start_params) for start_params in starts])
        able = [start_params for start_params, exists in zip(starts, exist, strict=True) if exists]
        fits = iter([*spread(partial(self.run, maxiter=limit, **scaled), able, self.request.n_jobs)])
        reached = [self._judged(next(fits), limit) if exists else -np.inf for exists in exist]
        self.reached += reached
        return reached

    def _judged(self, fit: FitResult, limit: int) -> float:
        """Return the log-likelihood of a start. Continue to convergence if it was cut short and is ahead."""
        if fit.llf > self.best.llf and limit <= fit.iterations < self.most:
            fit = after(self.run(fit.params, maxiter=self.most - fit.iterations), fit)
        if fit.llf > self.best.llf and (fit.converged or not self.best.converged):
            self.best = fit
        if fit.converged:
            others = [each for each in self.maxima if abs(each.llf - fit.llf) > _SAME]
            self.maxima = sorted([*others, fit], key=lambda each: -each.llf)
        self.problem.remember(fit.llf, fit.params)
        return fit.llf

    def screened(self, starts: Sequence[Array], close: float = 0.0) -> list[float]:
        """
        Take a few steps from each start, continue those that are ahead, and return log-likelihoods.

        ``close`` is as in `begun`.
        """
        begin = partial(begun, self.problem, self.maxima, close=close)
        found = [each for each in spread(begin, starts, self.request.n_jobs) if each]
        reached = [each.llf for each in found]
        before = len(self.reached)
        for i in ahead({i: each.llf for i, each in enumerate(found) if not each.arrives}, _KEPT):
            end, level = self._raced(found[i], close), found[i].llf
            reached = [end if abs(llf - level) <= _SAME else llf for llf in reached]
        self.reached[before:] = reached
        return reached

    def _raced(self, runner: Begun, close: float) -> float:
        """Return the log-likelihood of a start. Run it to convergence unless it is too far behind."""
        for _ in range(_LAPS):
            if runner.llf > self.best.llf:
                break
            if runner.most < self.best.llf:
                return runner.llf
            lap = begun(self.problem, self.maxima, runner.params, runner.scale, runner.far, close)
            if lap is None or lap.arrives or 2.0 * lap.llf - runner.llf < self.best.llf:
                return runner.llf if lap is None else lap.llf
            runner = lap
        return self.whole([runner.params], runner.scale)[0]

    def until_starts_agree(self) -> None:
        """Run further starts of the model until they agree with the best."""
        agreed, needed = 0, 2 if singular_blocks(self.problem, self.best.params) else 1
        for start_params in self.problem.model.later_starts(self.problem):
            before = self.best.llf
            reached = self.screened([start_params], _CLOSE)
            gain = max(reached, default=np.nan) - before
            same = abs(gain) < SAME_MAXIMUM * (1.0 + abs(before))
            needed = needed if same else 2
            agreed = agreed + 1 if same else 0 if gain > 0 else agreed
            if agreed == needed or not self.best.converged:
                break

    def to_the_highest_maximum(self) -> None:
        """Continue from other local maxima that the model proposes while they are higher."""
        before = -np.inf
        while self.best.converged and self.best.llf > before + _HIGHER:
            before = self.best.llf
            self.screened(self.problem.model.other_local_maxima(self.problem, self.best.params))


@dataclass(frozen=True)
class Begun:
    """
    The result of a few steps from a start.

    Attributes
    ----------
    params, llf
        The last parameters and their log-likelihood. On the slope of a maximum, ``llf`` is that of the
        maximum.
    scale : ndarray
        The scale of the steps.
    far : float
        Distance from the start to the highest maximum.
    arrives : bool
        Whether the last point is on the slope of a maximum.
    most : float
        The highest log-likelihood that further steps can reach by a generous prediction.
    """

    params: Array
    llf: float
    scale: Array
    far: float
    arrives: bool = False
    most: float = np.inf


def begun(
    problem: EstimationProblem,
    maxima: Sequence[FitResult],
    start_params: Array,
    scale: Array | None = None,
    far: float = 0.0,
    close: float = 0.0,
) -> Begun | None:
    """
    Take a few steps of L-BFGS from a start. Return None if the start has no likelihood.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    maxima : sequence of FitResult
        The known maxima, the highest first.
    start_params : ndarray
        Free parameters.
    scale : ndarray, optional
        The scale of the steps that led to the start. The new steps use second derivatives.
    far : float
        Distance from the first of these steps to the highest maximum; zero without earlier steps.
    close : float
        Distance in the log-likelihood, as in `_leads_to`.
    """
    search = _poised(problem, start_params, scale)
    if search is None:
        return None
    objective, zero = search.objective, np.zeros(len(start_params))
    if maxima and not far:
        far = float(np.linalg.norm(_way(problem, objective, maxima[0], zero) / objective.scale))
    goal: list[FitResult] = []

    def arrives(w: Array) -> bool:
        """Store the maximum to whose slope w belongs, and return whether there is one."""
        for maximum in maxima:
            first = maximum is maxima[0]
            if not goal and _leads_to(problem, objective, maximum, first * _NEARER * far, first * close, w):
                goal.append(maximum)
        return bool(goal)

    try:
        for steps in search.screening(_SCREENING):
            search.round(steps, arrives)
            if arrives(zero) or not search.moves_on(maxima[0].llf if maxima else -np.inf):
                break
        if arrives(zero):
            return Begun(objective.params(), goal[0].llf, objective.scale, far, arrives=True)
    except DeadEnd as end:
        return Begun(end.params, problem.value(end.params), objective.scale, far)
    return Begun(objective.params(), -objective.value_here, objective.scale, far, most=search.most())


def _poised(problem: EstimationProblem, start_params: Array, scale: Array | None) -> Search | None:
    """Return a search at a start; None without a likelihood or, with a scale, without second derivatives."""
    if not problem.feasible(start_params):
        return None
    weight = BARRIER_WEIGHTS[0] if problem.layout.untransformed else 0.0
    search = Search(problem, start_params, FitRequest(method="lbfgs"), weight=weight, scale=scale)
    search.objective.move(np.zeros(len(start_params)))
    whitens = (scale is not None or search.cheap) and problem.whitens
    exists = search.objective.score_here is not None and (not whitens or search.objective.whiten())
    return search if exists else None


def _way(problem: EstimationProblem, objective: Objective, maximum: FitResult, w: Array) -> Array:
    """Return the vector from w to a maximum or its mirror image, in unconstrained parameters."""
    mirror = problem.model.mirrored(problem, maximum.params, objective.params(w))
    return np.asarray(problem.layout.unconstrain(mirror) - objective.unconstrained(w))


def _leads_to(
    problem: EstimationProblem,
    objective: Objective,
    maximum: FitResult,
    radius: float,
    close: float,
    w: Array,
) -> bool:
    """
    Return whether w is on the slope of a maximum.

    This holds if w is as high as the maximum. It also holds if w is within a radius and the log-likelihood
    increases along the straight line to the maximum. (Without the radius, this would be true of any
    sufficiently high maximum.) If w is lower by less than ``close``, it also holds if the log-likelihood is
    concave along the line. Finally, it holds if w is slightly lower and the log-likelihood along the line is
    a parabola with its vertex at the maximum. With a zero radius and ``close``, only this last case counts.
    """
    found = objective.evaluate(w)
    if found is None:
        return False
    level = -found[0]
    rise = maximum.llf - level
    if radius and abs(rise) < _SAME:
        return True
    way = _way(problem, objective, maximum, w)
    near = np.linalg.norm(way / objective.scale) <= radius
    slope = objective.slope(way, found[1])
    concave = 0.0 < rise < close and slope >= rise
    if not any((near, concave, rise < _LOWEST and abs(slope - 2.0 * rise) < _SLOPE * 2.0 * rise)):
        return False
    origin, constrain = objective.unconstrained(w), problem.layout.constrain
    at = np.array([problem.value(constrain(origin + share * way)) for share in _ON_THE_WAY])
    rises = np.diff([level, *at, maximum.llf])
    slopes = [slope, *rises / np.diff([0.0, *_ON_THE_WAY, 1.0]), 0.0]
    rising, bends = np.all(rises > -_LEVEL), np.all(np.diff(slopes) < _LEVEL)
    parabola = np.all(np.abs(at - level - rise * _PARABOLA) < _LIKE_IT * rise)
    return bool(near & rising or concave & bends or parabola)


def ahead(llf: Mapping[int, float], keep: int) -> list[int]:
    """Return the starts with the highest log-likelihoods, one of each group on the same path."""
    out: list[int] = []
    for i in sorted(llf, key=lambda i: -llf[i]):
        if len(out) < keep and np.isfinite(llf[i]) and all(abs(llf[i] - llf[j]) > _SAME for j in out):
            out.append(i)
    return out


def _chooses_starts(request: FitRequest, first: Array) -> bool:
    """Return whether a fit adds starts: it has parameters, no start of the user, and a large ``maxiter``."""
    short = request.maxiter is not None and request.maxiter <= _SCREENING
    plain = request.method in (*EM_METHODS, *WITHOUT_GRADIENT)
    return request.start_params is None and not plain and not short and len(first) > 0


def _first_start(problem: EstimationProblem, request: FitRequest, first: Array | None) -> Array:
    """Return the parameters to begin with, the given start values, or the default ones."""
    if first is not None:
        return first
    if request.start_params is None:
        return problem.model.default_start(problem)
    start_params = problem.reduced(request.start_params)
    if request.method in EM_METHODS or request.maxiter == 0 or not np.isfinite(problem.value(start_params)):
        return start_params
    return inside(problem, start_params)


INTERRUPTED = "interrupted: the best parameters so far"


def best_so_far(problem: EstimationProblem, request: FitRequest) -> FitResult:
    """
    Return the best parameters so far after an interrupted fit.

    Parameters
    ----------
    problem : EstimationProblem
        The problem, which stores the best parameters.
    request : FitRequest
        Options of the fit.

    Raises
    ------
    KeyboardInterrupt
        If no log-likelihood has been evaluated successfully.
    """
    if problem.best is None:
        raise  # noqa: PLE0704  (the interrupt)
    llf, params = problem.best
    path = list(problem.path)  # the verdict may extend it
    at = verdict_at(problem, params)
    return FitResult(
        problem.full(params), llf, request.method, False, INTERRUPTED, at.score_norm, at.gain, len(path) - 1,
        len(path), gradient_path=path, starts=[llf], seconds=time.perf_counter() - problem.began,
        warnings=[(f"The fit was {INTERRUPTED}.", ConvergenceWarning)],
    )  # fmt: skip


def spread(function: Callable[[S], T], items: Sequence[S], n_jobs: int | None) -> Iterable[T]:
    """
    Return the values of a function, in the order of its arguments.

    Parameters
    ----------
    function : callable
        The function. With several processes, it and its attributes must be picklable.
    items : sequence
        The arguments.
    n_jobs : int or None
        Number of processes. None uses the setting of `joblib.parallel_config`, or one process.
    """
    if n_jobs == 1 or len(items) < 2:
        return map(function, items)
    return stream(_quietly, [(function, item) for item in items], n_jobs, ordered=True)


def _quietly(function: Callable[[S], T], item: S) -> T:
    with quiet():
        return function(item)
