"""A fit: its starts, which of them are ahead, where they lead, and what an interrupted one returns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..em.driver import DeadEnd
from ..engine.arguments import random_generator
from ..exceptions import ConvergenceWarning, EstimationError
from ..numerics.linear_algebra import Array
from .by_em import by_em
from .degenerate import unbounded
from .objective import Objective
from .outcome import SAME_MAXIMUM, FitResult
from .problem import EstimationProblem
from .request import EM_METHODS, WITHOUT_GRADIENT, FitRequest
from .search import WHITENED_UP_TO, Search, after, maximise, verdict_at
from .several import spread
from .start_values import inside, random_start, singular_blocks

_MAXITER = 2000
_SCREENING = (4, 8, 28)
"""Iterations after which a start is compared with the maximum at hand; after the last, with other starts."""
_KEPT = 3
_LAPS = 4
"""Laps, as long as the screening, that a start behind the best takes before it runs to convergence."""
_LEAST, _LONGER = 200, 2
"""Other starts may take as many iterations, and as many times those of the first."""
_BARRIER = 1e-2
_SAME = 1e-3
"""Log-likelihoods nearer than this, after the screening, are taken to be on the way to the same maximum."""
_NEARER = 0.1
"""Share of the distance to a maximum within which a start that goes there has come."""
_ON_THE_WAY = np.array([0.3, 0.6])
"""Shares of the way to a maximum at which the log-likelihood is looked at."""
_PARABOLA, _LIKE_IT, _LOWEST = 1.0 - (1.0 - _ON_THE_WAY) ** 2, 0.05, 5.0
"""Shares of the rise at which a parabola with its top at the maximum is there, the largest difference from
it, and the largest rise that is held against one."""
_SLOPE = 0.15
"""Largest relative difference from its slope at the origin, which is twice the rise."""
_LEVEL, _HIGHER = 1e-6, 1e-6
"""A log-likelihood that falls by less than this is taken to rise."""


def estimate(problem: EstimationProblem, request: FitRequest) -> FitResult:
    """
    Run the starts of a request, and those that the model adds, and return the best fit.

    Of several starts of the model, those that are ahead after some steps run to convergence. Of those that it
    tries from a maximum on, one that a few steps bring onto its slope goes no further. These end when they
    agree with the best one: a second time where starts have disagreed, or a covariance matrix is singular at
    the maximum, since such likelihoods tend to have several maxima.

    Raises
    ------
    EstimationError
        If no start value has a likelihood.
    """
    first, generator = _first_start(problem, request), random_generator(request.rng)
    race = Race(problem, request)
    chooses = _chooses_starts(request)
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
    if not best.dead_end and (reason := unbounded(problem, best.params)):
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
    Starts of one problem, and the best fit so far.

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
        """Return what starts reach: the first runs to convergence, others not much longer."""
        limit, scaled = self.most, {} if scale is None else {"scale": scale}
        if self.reached:
            limit = min(limit, max(_LEAST, _LONGER * self.best.iterations))
        exist = np.isfinite([self.problem.value(start) for start in starts])
        able = [start for start, exists in zip(starts, exist, strict=True) if exists]
        fits = iter(
            [*spread(self.request.n_jobs, len(able))(partial(self.run, maxiter=limit, **scaled), able)]
        )
        reached = [self._judged(next(fits), limit) if exists else -np.inf for exists in exist]
        self.reached += reached
        return reached

    def _judged(self, fit: FitResult, limit: int) -> float:
        """Return what a start reaches, after the rest of the way where it was cut short and is ahead."""
        if fit.llf > self.best.llf and limit <= fit.iterations < self.most:
            fit = after(self.run(fit.params, maxiter=self.most - fit.iterations), fit)
        if fit.llf > self.best.llf and (fit.converged or not self.best.converged):
            self.best = fit
        if fit.converged:
            others = [each for each in self.maxima if abs(each.llf - fit.llf) > _SAME]
            self.maxima = sorted([*others, fit], key=lambda each: -each.llf)
        self.problem.remember(fit.llf, fit.params)
        return fit.llf

    def screened(self, starts: Sequence[Array]) -> list[float]:
        """Return what starts reach: a few steps from each, then those that are ahead go on."""
        begin = partial(begun, self.problem, self.maxima)
        found = [each for each in spread(self.request.n_jobs, len(starts))(begin, starts) if each]
        reached = [each.llf for each in found]
        before = len(self.reached)
        for i in ahead({i: each.llf for i, each in enumerate(found) if not each.arrives}, _KEPT):
            end, level = self._raced(found[i]), found[i].llf
            reached = [end if abs(llf - level) <= _SAME else llf for llf in reached]
        self.reached[before:] = reached
        return reached

    def _raced(self, runner: Begun) -> float:
        """Return what a start reaches; run it to convergence unless it is behind by more than a lap gains."""
        for _ in range(_LAPS):
            if runner.llf > self.best.llf:
                break
            lap = begun(self.problem, self.maxima, runner.params, runner)
            if lap is None or lap.arrives or 2.0 * lap.llf - runner.llf < self.best.llf:
                return runner.llf if lap is None else lap.llf
            runner = lap
        return self.whole([runner.params], runner.scale)[0]

    def until_starts_agree(self) -> None:
        """Try other starts of the model until they agree with the best."""
        agreed, needed = 0, 2 if singular_blocks(self.problem, self.best.params) else 1
        for start in self.problem.model.later_starts(self.problem):
            before = self.best.llf
            reached = self.screened([start])
            gain = max(reached, default=np.nan) - before
            same = abs(gain) < SAME_MAXIMUM * (1.0 + abs(before))
            needed = needed if same else 2
            agreed = agreed + 1 if same else 0 if gain > 0 else agreed
            if agreed == needed or not self.best.converged:
                break

    def to_the_highest_maximum(self) -> None:
        """Continue from other local maxima that the model proposes, as long as they are higher."""
        before = -np.inf
        while self.best.converged and self.best.llf > before + _HIGHER:
            before = self.best.llf
            self.screened(self.problem.model.other_local_maxima(self.problem, self.best.params))


@dataclass(frozen=True)
class Begun:
    """
    Where steps from a start lead.

    Attributes
    ----------
    params, llf
        The end of the steps; of one on the slope of a maximum, the log-likelihood there.
    scale : ndarray
        Their scale.
    far : float
        How far the highest maximum was from the start.
    arrives : bool
        Whether they are on the slope of a maximum.
    """

    params: Array
    llf: float
    scale: Array
    far: float
    arrives: bool = False


def begun(
    problem: EstimationProblem, maxima: Sequence[FitResult], start: Array, earlier: Begun | None = None
) -> Begun | None:
    """
    Return where a few steps of L-BFGS lead, None from a start without a likelihood.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    maxima : sequence of FitResult
        The maxima at hand, the highest first.
    start : ndarray
        Free parameters.
    earlier : Begun, optional
        The steps that have led to the start: these are in coordinates of second derivatives.
    """
    search = _poised(problem, start, earlier.scale if earlier else None)
    if search is None:
        return None
    objective = search.objective
    far = earlier.far if earlier else 0.0
    if maxima:
        far = far or _distance(problem, objective, maxima[0])
    try:
        for steps in _SCREENING:
            search.round(steps)
            for maximum in maxima:
                radius = _NEARER * far if maximum is maxima[0] else 0.0
                if _leads_to(problem, objective, maximum, radius):
                    return Begun(objective.params(), maximum.llf, objective.scale, far, arrives=True)
    except DeadEnd as end:
        return Begun(end.params, problem.value(end.params), objective.scale, far)
    return Begun(objective.params(), -objective.value_here, objective.scale, far)


def _poised(problem: EstimationProblem, start: Array, scale: Array | None) -> Search | None:
    """Return a search at a start, None where that has no likelihood (or second derivatives, with a scale)."""
    if not problem.feasible(start):
        return None
    weight = _BARRIER if problem.layout.untransformed else 0.0  # the first of those of a whole fit
    search = Search(problem, start, FitRequest(method="lbfgs"), weight=weight, scale=scale)
    search.objective.move(np.zeros(len(start)))
    whitens = scale is not None and len(start) <= WHITENED_UP_TO
    exists = search.objective.score_here is not None and (not whitens or search.objective.whiten())
    return search if exists else None


def _way(problem: EstimationProblem, objective: Objective, maximum: FitResult) -> Array:
    """Return the way from the origin straight to a maximum or its mirror, in unconstrained parameters."""
    mirror = problem.model.mirrored(problem, maximum.params, objective.params())
    return np.asarray(problem.layout.unconstrain(mirror) - objective.origin)


def _distance(problem: EstimationProblem, objective: Objective, maximum: FitResult) -> float:
    return float(np.linalg.norm(_way(problem, objective, maximum) / objective.scale))


def _leads_to(problem: EstimationProblem, objective: Objective, maximum: FitResult, radius: float) -> bool:
    """
    Tell whether the origin is on the slope of a maximum.

    It is as high; or within a radius, and the log-likelihood rises all the way straight there (from afar it
    does that to any maximum which is high enough); or a little lower, and the log-likelihood on that way is a
    parabola whose top is the maximum. With no radius it is the last that counts.
    """
    level = -objective.value_here
    rise = maximum.llf - level
    if radius and abs(rise) < _SAME:
        return True
    way = _way(problem, objective, maximum)
    near = np.linalg.norm(way / objective.scale) <= radius
    slope = objective.slope(way)
    if not near and not (0.0 < rise < _LOWEST and abs(slope - 2.0 * rise) < _SLOPE * 2.0 * rise):
        return False
    on_the_way = (problem.layout.constrain(objective.origin + share * way) for share in _ON_THE_WAY)
    at = np.array([problem.value(params) for params in on_the_way])
    if near and np.all(np.diff([level, *at, maximum.llf]) > -_LEVEL):
        return True
    return bool(rise > 0.0 and np.all(np.abs((at - level) / rise - _PARABOLA) < _LIKE_IT))


def ahead(llf: Mapping[int, float], keep: int) -> list[int]:
    """Return the starts with the highest log-likelihoods, one of each group that goes the same way."""
    out: list[int] = []
    for i in sorted(llf, key=lambda i: -llf[i]):
        if len(out) < keep and np.isfinite(llf[i]) and all(abs(llf[i] - llf[j]) > _SAME for j in out):
            out.append(i)
    return out


def _chooses_starts(request: FitRequest) -> bool:
    """Tell whether a fit looks for starts of its own: none is given, and it is long enough."""
    short = request.maxiter is not None and request.maxiter <= sum(_SCREENING)
    return request.start is None and request.method not in (*EM_METHODS, *WITHOUT_GRADIENT) and not short


def _first_start(problem: EstimationProblem, request: FitRequest) -> Array:
    """Return the start values given, or the default ones."""
    if request.start is None:
        return problem.model.default_start(problem)
    start = problem.reduced(request.start)
    if request.method in EM_METHODS or request.maxiter == 0 or not np.isfinite(problem.value(start)):
        return start
    return inside(problem, start)


INTERRUPTED = "interrupted: the best parameters so far"


def best_so_far(problem: EstimationProblem, request: FitRequest) -> FitResult:
    """
    Return, where a fit is interrupted, the best parameters that it has seen.

    Parameters
    ----------
    problem : EstimationProblem
        The problem, which remembers the best parameters.
    request : FitRequest
        Options of the fit.

    Raises
    ------
    KeyboardInterrupt
        If no parameters have had a log-likelihood.
    """
    if problem.best is None:
        raise  # noqa: PLE0704  (the interrupt)
    llf, params = problem.best
    path = list(problem.path)  # to which a verdict may add
    at = verdict_at(problem, params)
    return FitResult(
        problem.full(params), llf, request.method, False, INTERRUPTED, at.score_norm, at.gain, len(path) - 1,
        len(path), gradient_path=path, starts=[llf], seconds=time.perf_counter() - problem.began,
        warnings=[(f"The fit was {INTERRUPTED}.", ConvergenceWarning)],
    )  # fmt: skip
