"""One search from one start value: gradient methods with the exact score, EM, and what they show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.optimize

from ..em.driver import Coordinates, DeadEnd, EMOptions, EMResult, run_em
from ..exceptions import UnsupportedError, shown
from ..numerics.linear_algebra import Array
from .degenerate import Watch, lifted
from .objective import GAIN_TOLERANCE, SCORE_TOLERANCE, FitResult, Objective, Verdict, judged, parameter_scale
from .problem import SCIPY_METHODS, WITHOUT_GRADIENT, EstimationProblem, FitRequest

_ROUND, _SHORT_ROUND = 40, 10
"""Number of iterations between two computations of second derivatives; if they are cheap, in a screening."""
_EVERY = 4
"""Number of iterations between two questions whether a screening may stop."""
_GENEROUS = 10.0
"""A start that is behind the best stops if this multiple of its predicted gain does not reach the best."""
_LONGEST_MEMORY, _MEMORY_OF_MANY, _MANY = 200, 50, 300
"""Largest memory of L-BFGS, and the memory above a number of parameters at which it dominates the cost."""
_NEAR = 3.0
"""Second derivatives come first if the scaled score at given start values is smaller, as one period later."""
_LITTLE_TO_GAIN = 1e-7
"""If the predicted gain is smaller, further iterations would not change reported values."""
_NO_GAIN, _MOST_STALLED = 1e-12, 2
_ITERATIONS_INSIDE = 500
"""Largest number of iterations for each weight of the barrier."""
BARRIER_WEIGHTS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
_ESCAPES = 4

Report = Callable[[int, float], object]


def _silent(iteration: int, llf: float) -> None:
    """Show nothing of an iteration."""


def maximise(
    problem: EstimationProblem,
    request: FitRequest,
    start_params: Array,
    maxiter: int,
    scale: Array | None = None,
) -> FitResult:
    """
    Maximise the log-likelihood by a gradient method; leave singular matrices that are not at a maximum.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    request : FitRequest
        The method and its options.
    start_params : ndarray
        Free parameters.
    maxiter : int
        Maximum number of iterations.
    scale : ndarray, optional
        As in `Search`.

    Returns
    -------
    FitResult
        The result, with the free parameters only.
    """
    with reporter(request.disp, request.progress, maxiter) as report:
        out = _ascended(problem, start_params, request, maxiter, report, scale)
        for _ in range(_ESCAPES):
            left = maxiter - out.iterations
            away = None if left <= 0 or out.dead_end else lifted(problem, out.params)
            if away is None:
                break
            again = _ascended(problem, away, request, left, report)
            if not again.llf > out.llf:
                break
            out = after(again, out)
    return out


def after(fit: FitResult, *earlier: FitResult) -> FitResult:
    """Return a fit whose counts and times include those of earlier fits."""
    parts = [*earlier, fit]
    return replace(
        fit,
        iterations=sum(part.iterations for part in parts),
        evaluations=sum(part.evaluations for part in parts),
        gradient_path=[llf for part in parts for llf in part.gradient_path],
    )


def _ascended(
    problem: EstimationProblem,
    start_params: Array,
    request: FitRequest,
    maxiter: int,
    report: Report,
    scale: Array | None = None,
) -> FitResult:
    """Maximise. With a barrier, reduce its weight in stages, each of which starts from the last point."""
    if not problem.layout.untransformed or request.method in WITHOUT_GRADIENT:
        return Search(problem, start_params, request, report, scale=scale).run(maxiter)
    stages: list[FitResult] = []
    for weight in BARRIER_WEIGHTS:
        stage = Search(problem, start_params, request, report, weight).run(min(maxiter, _ITERATIONS_INSIDE))
        stage = replace(stage, llf=problem.value(stage.params))
        if not np.isfinite(stage.llf):
            break
        stages.append(stage)
        start_params = stage.params
        if stage.dead_end:
            break
    return _of_stages(stages)


def _of_stages(stages: list[FitResult]) -> FitResult:
    """Return the last converged stage, or the highest, with the counts of all stages."""
    converged = [stage for stage in stages if stage.dead_end or stage.score_norm < SCORE_TOLERANCE]
    best = converged[-1] if converged else max(stages, key=lambda stage: stage.llf)
    return after(best, *(stage for stage in stages if stage is not best))


class Search:
    """
    One search, which consists of rounds.

    A SciPy method takes all its steps in one round, in units of complete data. For "auto", a round of L-BFGS
    takes longer than second derivatives. If a round does not end at a maximum, the second derivatives
    are computed from differences of the score. The next round uses coordinates in which they are 1 or -1,
    which removes long curved ridges. With many parameters, L-BFGS goes on from there.
    "newton" starts with second derivatives, and a round has one step.

    Parameters
    ----------
    problem, start, request, report
        As in `maximise`.
    weight : float
        Weight of the barrier of `Objective`.
    scale : ndarray, optional
        Scale of the unconstrained parameters in the round of L-BFGS that led to the start.
    """

    def __init__(
        self,
        problem: EstimationProblem,
        start_params: Array,
        request: FitRequest,
        report: Report = _silent,
        weight: float = 0.0,
        scale: Array | None = None,
    ) -> None:
        self.problem, self.request, self.report = problem, request, report
        self.objective = Objective(problem, start_params, weight, scale)
        self.watch = Watch(problem, start_params)
        self.path: list[float] = []
        self.message, self.dead_end = "maxiter reached", ""
        self.verdict = Verdict(np.nan, np.nan, np.zeros(0))
        self.passed: tuple[float, Array, Verdict] | None = None
        # near the boundary, the curvature of the barrier changes too fast for a quasi-Newton method
        able = request.method in (("auto", "lbfgs") if weight else ("auto",))
        newton = request.method == "newton"
        self.whitens = newton or able and problem.whitens
        self.resumes = able and not weight
        self.turns = newton or self.whitens and scale is not None
        self.longest = 1 if newton else _ROUND if self.whitens else sys.maxsize
        self.cheap = problem.model.has_average_information and not weight

    def run(self, maxiter: int) -> FitResult:
        """Run rounds until convergence or ``maxiter`` iterations, and return the result."""
        objective, n = self.objective, len(self.objective.origin)
        try:
            self._rounds(maxiter if n else 0)
        except DeadEnd as end:
            self.dead_end = end.reason
            self.objective = objective = Objective(self.problem, end.params, objective.weight)
            objective.move(np.zeros(n))
            self.judge(None, False)
            self.verdict = replace(self.verdict, gain=np.inf)
        verdict = replace(self.verdict, gain=self.verdict.gain + objective.shortfall())
        short = f"{verdict.in_words} ({self.message})"
        status = self.dead_end or ("converged" if verdict.converged else short)
        return FitResult(
            objective.params(),
            -objective.value_here,
            self.request.method,
            verdict.converged and not self.dead_end,
            status,
            verdict.score_norm,
            verdict.gain,
            len(self.path),
            objective.evaluations,
            gradient_path=self.path,
            dead_end=bool(self.dead_end),
        )

    def _rounds(self, maxiter: int) -> None:
        """Run rounds until convergence or ``maxiter`` iterations."""
        objective, stalled = self.objective, 0
        objective.move(np.zeros(len(objective.origin)))
        longest = self._first_round()
        while (left := maxiter - len(self.path)) > 0:
            if self._turned():
                return
            before, done, steps = objective.value_here, len(self.path), min(longest, left)
            inverse = self.round(steps)
            taken = len(self.path) - done
            settled = steps > 1 and self._scaled_score() < SCORE_TOLERANCE
            if (taken < steps or settled or not self.whitens) and self.judge(inverse, left > taken):
                return
            # a round without iterations has moved only by the steps of the verdict
            small = before - objective.value_here < _NO_GAIN * (1.0 + abs(before)) or not taken
            stalled = (stalled + 1) * small
            if stalled == _MOST_STALLED:
                break
            self.turns, longest = self.whitens, self.longest
        self.judge(None, False)
        self._as_judged_before()

    def _first_round(self) -> int:
        """Decide whether second derivatives come before the first round, and return its length."""
        # default start values need other steps before second derivatives pay, unless these are cheap
        # (nor if autoregressive coefficients give several maxima: the higher is reached by the other steps)
        cheap = self.cheap and not self.problem.layout.bounded
        later = 0.0 < self.objective.weight < BARRIER_WEIGHTS[0]
        given = self.request.start_params is not None or cheap or later
        self.turns = self.turns or self.whitens and given and self._scaled_score() < _NEAR
        # a few more iterations, for at most the price of second derivatives, may do without these
        several = self.whitens and not self.turns and not self.cheap
        return self.longest + several * len(self.objective.origin)

    def _as_judged_before(self) -> None:
        """Return to an earlier point that passed as a maximum if the last one is not higher and does not."""
        # beyond it, rounding in the score of a nearly singular matrix may look like a convex direction
        if self.passed is None or self.verdict.converged:
            return
        value, origin, verdict = self.passed
        if value - self.objective.value_here < GAIN_TOLERANCE:
            self.objective.origin, self.objective.value_here, self.verdict = origin, value, verdict

    def _turned(self) -> bool:
        """Scale coordinates by second derivatives if their turn has come; return whether the search ended."""
        if not self.turns:
            return False
        exist = self.objective.whiten(2 if self.request.method == "newton" else 1)
        if not exist:
            self.message = "second derivatives do not exist here"
        elif self._scaled_score() > SCORE_TOLERANCE:
            return False
        return self.judge(None, False) or not exist

    def _scaled_score(self) -> float:
        """Return the largest element of the score at the origin, or infinity without a score."""
        score = self.objective.score_here
        return np.inf if score is None else float(np.max(np.abs(score), initial=0.0))

    def screening(self, most: int) -> list[int]:
        """Return the number of steps of each round of a search that stops early."""
        return [_SHORT_ROUND] * (most // _SHORT_ROUND) if self.cheap else [most]

    def moves_on(self, best: float) -> bool:
        """Turn to coordinates scaled by second derivatives if these are cheap, and return whether it pays."""
        if not self.cheap or self._scaled_score() < SCORE_TOLERANCE:
            return False
        return self.objective.whiten() and self.most() > best

    def most(self) -> float:
        """
        Return the highest log-likelihood that the search can reach by a generous prediction.

        It is several times the predicted gain, in coordinates scaled by second derivatives. In others it is
        infinite.
        """
        score = self.objective.score_here
        if score is None or self.objective.basis.ndim == 1:
            return np.inf
        return -self.objective.value_here + _GENEROUS * max(0.5 * float(score @ score), GAIN_TOLERANCE)

    def judge(self, inverse: Callable[[Array], Array] | None, goes_on: bool) -> bool:
        """Set the verdict on the origin, and return whether the search has ended."""
        goes_on = goes_on and self.request.method not in WITHOUT_GRADIENT
        self.verdict = self.objective.finish(inverse, goes_on)
        if self.verdict.converged:
            self.passed = self.objective.value_here, self.objective.origin, self.verdict
        # another Newton step approximately squares the remaining gain
        limit = _LITTLE_TO_GAIN**2 if self.request.method == "newton" else _LITTLE_TO_GAIN
        if not self.whitens:
            return self.verdict.converged or not self.resumes
        return self.verdict.converged and self.verdict.gain < limit

    def round(
        self, steps: int, stops: Callable[[Array], bool] | None = None
    ) -> Callable[[Array], Array] | None:
        """
        Take steps from the origin, move it, and return the method's approximation of I^{-1}.

        ``stops`` tells after some iterations, at w, whether this one is the last.
        """
        objective, method = self.objective, self.request.method

        def after_each(w: Array, *_: object) -> None:
            """Check and report an iteration, and stop if it is the last."""
            params = objective.params(np.asarray(w))
            self.path.append(-objective.best)
            self.report(len(self.path), self.path[-1])
            if self.request.callback is not None:
                self.request.callback(self.problem.full(params))
            self.watch(params)
            if stops is not None and len(self.path) % _EVERY == 0 and stops(w):
                raise StopIteration

        gradient = method not in WITHOUT_GRADIENT
        options = {**_defaults(method, steps, len(objective.origin)), **self.request.options}
        result = scipy.optimize.minimize(  # type: ignore[call-overload]
            objective if gradient else objective.value,
            np.zeros(len(objective.origin)),
            jac=gradient or None,
            method=SCIPY_METHODS.get(method, "L-BFGS-B"),
            callback=after_each,
            options=options,
        )
        objective.move(np.asarray(result.x))
        self.watch(objective.params())  # may be a trial step rather than an iteration
        self.message = str(result.message)
        memory = result.get("hess_inv")
        return None if memory is None else memory.dot


def _defaults(method: str, maxiter: int, size: int) -> dict[str, Any]:
    if method in ("auto", "newton", "lbfgs"):
        # a memory of as many steps as parameters halves the iterations of a CAPM with ten assets
        memory = min(max(size, 30), _LONGEST_MEMORY) if size <= _MANY else _MEMORY_OF_MANY
        return {"maxiter": maxiter, "maxfun": 10 * maxiter, "maxcor": memory, "ftol": 1e-14, "gtol": 1e-6}
    if method in ("bfgs", "cg"):
        return {"maxiter": maxiter, "gtol": 1e-6}
    if method == "nm":
        return {"maxiter": 200 * maxiter, "xatol": 1e-8, "fatol": 1e-10, "adaptive": True}
    return {"maxiter": maxiter, "xtol": 1e-10, "ftol": 1e-14}


def verdict_at(problem: EstimationProblem, params: Array) -> Verdict:
    """Return the verdict on free parameters; with a barrier, relative to its smallest weight."""
    objective = Objective(problem, params, BARRIER_WEIGHTS[-1] if problem.layout.untransformed else 0.0)
    objective.move(np.zeros(len(params)))
    found = judged(objective.score, np.zeros(len(params)), objective.score_here)
    return replace(found, gain=found.gain + objective.shortfall())


def by_em(problem: EstimationProblem, request: FitRequest, start_params: Array, maxiter: int) -> FitResult:
    """
    Run EM from one start value until it reaches a maximum. The result has the free parameters only.

    Raises
    ------
    UnsupportedError
        If EM is not available for the specification.
    """
    unsupported_reason = problem.updates.unsupported_reason()
    if unsupported_reason is not None:
        raise UnsupportedError(
            f"EM cannot estimate this specification: {unsupported_reason}",
            remedy='Use method="lbfgs" or "auto".',
        )
    verdicts: list[Verdict] = []

    def shortfall(params: Array) -> float:
        """Return the distance from a maximum; infinite if EM cannot leave a singular covariance."""
        verdicts.append(verdict_at(problem, params))
        at_zero = verdicts[-1].converged and lifted(problem, params) is not None
        return np.inf if at_zero else verdicts[-1].shortfall

    callback, watch = request.callback, Watch(problem, start_params)
    told = None if callback is None else lambda params: callback(problem.full(params))
    steps = problem.moments, problem.loglike, problem.updates.cycles()
    with reporter(request.disp, request.progress, maxiter) as report:
        coordinates = None if request.method == "em" else _coordinates(problem, start_params)
        options = EMOptions(maxiter, request.tolerance, told, report, shortfall, watch, coordinates)
        em = run_em(start_params, *steps, options)
    at = verdicts[-1] if em.converged and verdicts else verdict_at(problem, em.params)
    status = em.status if em.converged or em.dead_end else _short_of_a_maximum(problem, em, at)
    return FitResult(
        em.params, em.llf, request.method, em.converged, status, at.score_norm, at.gain, em.iterations,
        em.iterations + 1, em.trace, dead_end=em.dead_end,
    )  # fmt: skip


def _short_of_a_maximum(problem: EstimationProblem, em: EMResult, at: Verdict) -> str:
    """Return the status of an EM run that has not converged."""
    away = lifted(problem, em.params) if np.isfinite(em.llf) else None
    if away is None:
        return f"{em.status}; {at.in_words}"
    names = shown(problem.layout.names[i] for i in np.flatnonzero(away != em.params))
    return (
        f"EM cannot leave a singular covariance, from which the log-likelihood rises ({names}); "
        'start from positive variances or use method="auto"'
    )


def _coordinates(problem: EstimationProblem, start_params: Array) -> Coordinates:
    """Return unconstrained coordinates that do not depend on the units of the data."""
    scale, layout = parameter_scale(problem, start_params), problem.layout
    square_roots = np.zeros(len(start_params), dtype=bool)
    for key in layout.structures:
        block = layout.blocks[key]
        square_roots[layout.index[key][block.rows == block.columns]] = True
    return Coordinates(
        lambda params: layout.unconstrain(params) / scale,
        lambda place: layout.constrain(place * scale),
        problem.feasible,
        square_roots,
    )


@contextmanager
def reporter(disp: bool, progress: bool, total: int) -> Iterator[Report]:
    """
    Yield a function of (iteration, log-likelihood) that shows them as asked for.

    Parameters
    ----------
    disp : bool
        Whether to print one line per iteration.
    progress : bool
        Whether to show a progress bar of tqdm.
    total : int
        Length of the bar.

    Raises
    ------
    UnsupportedError
        If a bar is requested and tqdm is not installed.
    """
    show = _print_line if disp else _silent
    if not progress:
        yield show
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise UnsupportedError(
            "A progress bar needs tqdm", remedy='Install it: pip install "statespace-ext[progress]".'
        ) from error
    with tqdm(total=total, desc="fit") as bar:

        def advance(iteration: int, llf: float) -> None:
            """Show an iteration."""
            bar.update(1)
            bar.set_postfix(llf=f"{llf:.6g}")
            show(iteration, llf)

        yield advance
        bar.total = bar.n  # most fits stop before the maximum number of iterations
        bar.refresh()


def _print_line(iteration: int, llf: float) -> None:
    print(f"Iteration {iteration:4d}: log-likelihood = {llf:.8g}")
