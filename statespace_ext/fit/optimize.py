"""Gradient methods on the unconstrained, scaled parameters, with the exact score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.optimize

from ..em.covariances import by_group
from ..em.driver import DeadEnd
from ..numerics.linear_algebra import NOT_HERE, Array
from ..params.covariance import precision_of
from ..params.layout import ParameterLayout
from .problem import EstimationProblem
from .unbounded import Watch
from .verdict import SCORE_TOLERANCE, Verdict, judged

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
"""Options of `scipy.optimize.minimize` that a user may set."""
_WITHOUT_GRADIENT = ("nm", "powell")
_LEAST_SHARE, _ROUNDING = 0.03, 1e-12
_NEWTON_STEPS = 25
_LAST_STEP = 1e-8
"""Newton decrement of a step after which the next would be its square."""
_LONGEST_MEMORY = 200
POLISH_UP_TO = 80
"""Newton steps cost two smoother passes a parameter; above this many they are left out."""
_ITERATIONS_INSIDE = 500
"""Largest number of iterations with one weight of the barrier."""
_BARRIER_WEIGHTS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
_NEAR_EDGE = 1e-3
"""Eigenvalue of a correlation matrix above which the barrier moves a maximum by the square of its weight."""
_FINISHING = 3
"""Largest number of Newton steps by conjugate gradients where a quasi-Newton method ended short."""


@dataclass
class Path:
    """Log-likelihoods of a gradient method, one by iteration, and its number of evaluations."""

    llf: list[float]
    evaluations: int = 0


@dataclass(frozen=True)
class Optimum:
    """
    Where a gradient method ended: parameters, log-likelihood, scaled score, predicted gain, what ended it.

    ``dead_end`` says why there is no maximum where the search went, and is empty elsewhere.
    """

    params: Array
    llf: float
    score_norm: float
    gain: float
    message: str
    iterations: int
    evaluations: int
    path: list[float]
    dead_end: str = ""


class ScaledObjective:
    """
    Minus the log-likelihood as a function of w, with params = constrain(z) and z = z_0 + scale * w.

    Where the likelihood does not exist (an unstable transition under a stationary start, a matrix
    that is no covariance) the value is the last one plus a wall, so that a line search steps back, and
    ``exists`` is False until the next evaluation.

    Covariance matrices without a transform of their own (patterns, expressions, fixed elements) are kept
    inside the cone by a barrier, weight * log|Sigma|: its maximum is within weight * rank of the true one.
    """

    def __init__(self, problem: EstimationProblem, params: Array, scale: Array, weight: float = 0.0) -> None:
        self.problem = problem
        self.weight = weight
        self.origin = problem.layout.unconstrain(params)
        self.scale = scale
        self.path = Path([])
        self.exists = True
        self._last = np.inf
        self._best: tuple[float, Array] = (np.inf, np.zeros(len(params)))

    def shortfall(self, w: Array) -> float:
        """Return how far the barrier keeps the maximum below a true one at the edge of the cone."""
        if not self.weight:
            return 0.0
        matrices, lost = self.problem.layout.matrices(self.params(w)), 0
        for key in self.problem.layout.untransformed:
            for sigma in by_group(matrices[key]):
                root = np.sqrt(np.where(np.diag(sigma) > 0, np.diag(sigma), 1.0))
                lost += int(np.sum(np.linalg.eigvalsh(sigma / root[:, None] / root) < _NEAR_EDGE))
        return self.weight * lost

    def params(self, w: Array) -> Array:
        """Return the parameters at w."""
        return self.problem.layout.constrain(self.origin + self.scale * w)

    def __call__(self, w: Array) -> tuple[float, Array]:
        """Return the value and the gradient."""
        self.path.evaluations += 1
        z = self.origin + self.scale * w
        found = self.problem.value_and_score(self.problem.layout.constrain(z))
        self.exists = found is not None
        if found is None:
            wall = self._last if np.isfinite(self._last) else 0.0
            return wall + 10.0 + abs(wall), np.zeros(len(w))
        llf, gradient = found
        if self.weight:
            inside, slope = log_determinants(self.problem.layout, self.problem.layout.constrain(z))
            llf, gradient = llf + self.weight * inside, gradient + self.weight * slope
        self._keep(-llf, w)
        return self._last, -self.problem.layout.pull_back(z, gradient) * self.scale

    def score(self, w: Array) -> Array | None:
        """Return minus the gradient, None where the likelihood does not exist."""
        gradient = self(w)[1]
        return -gradient if self.exists else None

    def value(self, w: Array) -> float:
        """Return the value alone, infinite where the likelihood does not exist."""
        self.path.evaluations += 1
        value = -self.problem.value(self.params(w))
        if np.isfinite(value) and self.weight:
            value -= self.weight * log_determinants(self.problem.layout, self.params(w))[0]
        if np.isfinite(value):
            self._keep(value, w)
        return value

    def _keep(self, value: float, w: Array) -> None:
        self._last = value
        if value < self._best[0]:
            self._best = (value, np.array(w))

    def at_end(self, end: Array) -> tuple[Array, float, Array]:
        """Return w, value and gradient where a search ended, or at the best w if better than rounding."""
        least, best = self._best
        value, gradient = self(end)
        if self.exists and value - least <= _ROUNDING * (1.0 + abs(least)):
            return end, value, gradient
        return best, *self(best)

    def hessian(self, w: Array) -> Array | None:
        """Return second derivatives by central differences of the gradient, None at an edge."""
        h = 1e-4
        rows = []
        for i in range(len(w)):
            step = np.zeros(len(w))
            step[i] = h
            ahead, behind = self.score(w + step), self.score(w - step)
            if ahead is None or behind is None:
                return None
            rows.append((behind - ahead) / (2.0 * h))
        matrix = np.array(rows)
        return 0.5 * (matrix + matrix.T)


def log_determinants(layout: ParameterLayout, params: Array) -> tuple[float, Array]:
    """Return the sum of log|Sigma| over the covariances without a transform, and its gradient."""
    total, slopes = 0.0, {}
    matrices = layout.matrices(params)
    for key in layout.untransformed:
        cov = matrices[key]
        groups = by_group(cov)
        inverse = np.stack([precision_of(sigma) for sigma in groups])
        for sigma in groups:
            active = np.diag(sigma) > 0
            total += float(np.linalg.slogdet(sigma[np.ix_(active, active)])[1])
        slopes[key] = inverse[0] if cov.ndim == 2 else np.moveaxis(inverse, 0, 2)
    return total, layout.gradient(slopes, params)


def parameter_scale(problem: EstimationProblem, params: Array) -> Array:
    """
    Return a scale for each unconstrained parameter: one over the root of its complete-data information.

    It makes the path of a gradient method independent of the units of the data.
    """
    z = problem.layout.unconstrain(params)
    fallback = np.maximum(np.abs(z), 1e-3)
    try:
        information = problem.updates.information(params, problem.moments(params))
    except NOT_HERE:
        return fallback
    out = np.array(information)
    for transform in problem.layout.transforms:
        places = problem.layout.positions(transform.param_names)
        jacobian = transform.jacobian(z[places])
        out[places] = np.einsum("ij,i,ij->j", jacobian, information[places], jacobian)
    good = np.isfinite(out) & (out > 0)
    scale = np.where(good, 1.0 / np.sqrt(np.where(good, out, 1.0)), fallback)
    ends = problem.layout.positions(sorted(problem.layout.bounded))
    known = np.isfinite(information[ends]) & (information[ends] > 0)
    # at an end of the interval the parameter moves by half the square of a step
    longest = np.where(known, np.sqrt(2.0) * np.where(known, information[ends], 1.0) ** -0.25, 1.0)
    scale[ends] = np.minimum(scale[ends], longest)
    return np.maximum(scale, _smallest_scale(problem, params))


def _smallest_scale(problem: EstimationProblem, params: Array) -> Array:
    """
    Return the least scale of roots and Cholesky factors, zero for other parameters.

    Complete data know a variance near zero to a hair, the data at hand do not: the least scale of a row is
    the root of the variance that would explain the data, over the number of periods.
    """
    layout = problem.layout
    out = np.zeros(len(layout))
    sizes = problem.model.variance_sizes(problem.full(params))
    nobs = len(problem.smoother.endog)
    for key in layout.structures:
        if key in sizes and key not in layout.untransformed:
            root = np.sqrt(np.minimum(sizes[key], 1e100) / nobs)
            rows = np.maximum(layout.blocks[key].rows, layout.blocks[key].columns)
            np.maximum.at(out, layout.index[key], _LEAST_SHARE * root[rows])
    return out


def maximise_likelihood(
    problem: EstimationProblem,
    start: Array,
    method: str,
    maxiter: int,
    options: dict[str, Any],
    callback: Callable[[Array], object] | None = None,
    report: Callable[[int, float], object] | None = None,
    weight: float | None = None,
) -> Optimum:
    """
    Maximise the log-likelihood from start values by one of `SCIPY_METHODS`, or "newton".

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    start : ndarray
        Free parameters.
    method : str
        The method.
    maxiter : int
        Largest number of iterations.
    options : dict
        Options of `scipy.optimize.minimize`.
    callback, report : callable, optional
        Called with the parameters, and with (iteration, log-likelihood), after each iteration.
    weight : float, optional
        Weight of the barrier of `ScaledObjective`; by default, where it is needed, a falling sequence.
    """
    if weight is None and problem.layout.untransformed and method not in _WITHOUT_GRADIENT:
        return _inside_the_cone(problem, start, method, maxiter, options, callback, report)
    objective = ScaledObjective(problem, start, parameter_scale(problem, start), weight or 0.0)
    watch = Watch(problem, start)
    count = [0]

    def after(w: Array, *_: object) -> None:
        count[0] += 1
        objective.path.llf.append(-objective._last)
        if report is not None:
            report(count[0], -objective._last)
        params = objective.params(np.asarray(w))
        if callback is not None:
            callback(params)
        watch(problem, params)

    if len(start) == 0:
        return Optimum(start, problem.loglike(start), 0.0, 0.0, "nothing to estimate", 0, 1, [])
    try:
        end, message, inverse = _searched(objective, method, maxiter, options, after)
        w, value, gradient = objective.at_end(end)
        watch(problem, objective.params(w))  # which may be a trial, and no iteration
    except DeadEnd as found:
        return _before(objective, found, count[0])
    goes_on = method not in (*_WITHOUT_GRADIENT, "newton") and count[0] < maxiter
    verdict = judged(objective.score, w, -gradient if objective.exists else None, inverse, goes_on)
    if goes_on:
        w, value, verdict = _finished(objective, w, value, verdict, inverse)
    return Optimum(
        objective.params(w), -value, verdict.score_norm, verdict.gain + objective.shortfall(w), message,
        count[0], objective.path.evaluations, objective.path.llf,
    )  # fmt: skip


def _searched(
    objective: ScaledObjective,
    method: str,
    maxiter: int,
    options: dict[str, Any],
    after: Callable[[Array], None],
) -> tuple[Array, str, Callable[[Array], Array] | None]:
    """Run a method from w = 0; return where it ended, its message and its approximation of I^{-1}."""
    w = np.zeros(len(objective.scale))
    if method == "newton":
        return *newton(objective, w, maxiter, after), None
    settings = {**_defaults(method, maxiter, len(w)), **options}
    gradient = method not in _WITHOUT_GRADIENT
    result = scipy.optimize.minimize(  # type: ignore[call-overload]
        objective if gradient else objective.value,
        w, jac=gradient or None, method=SCIPY_METHODS[method], callback=after, options=settings,
    )  # fmt: skip
    memory = result.get("hess_inv")
    return np.asarray(result.x), str(result.message), None if memory is None else memory.dot


def _finished(
    objective: ScaledObjective,
    w: Array,
    value: float,
    verdict: Verdict,
    inverse: Callable[[Array], Array] | None,
) -> tuple[Array, float, Verdict]:
    """Take the Newton steps that the verdicts found, as long as they are needed and lower the value."""
    for _ in range(_FINISHING):
        if verdict.converged or not np.any(verdict.step):
            break
        new, gradient = objective(w + verdict.step)
        if not (objective.exists and new < value):
            break
        w, value = w + verdict.step, new
        verdict = judged(objective.score, w, -gradient, inverse)
    return w, value, verdict


def _before(objective: ScaledObjective, found: DeadEnd, iterations: int) -> Optimum:
    """Return the last point before a search ran into what has no maximum."""
    at = verdict_at(objective.problem, found.params)
    return Optimum(
        found.params, objective.problem.value(found.params), at.score_norm, np.inf, found.reason,
        iterations, objective.path.evaluations, objective.path.llf, found.reason,
    )  # fmt: skip


def verdict_at(problem: EstimationProblem, params: Array) -> Verdict:
    """Return how near free parameters are to a maximum; inside the cone, to that with the least barrier."""
    if len(params) == 0:
        return Verdict(0.0, 0.0, params)
    weight = _BARRIER_WEIGHTS[-1] if problem.layout.untransformed else 0.0
    objective = ScaledObjective(problem, params, parameter_scale(problem, params), weight)
    w = np.zeros(len(params))
    found = judged(objective.score, w, objective.score(w))
    return replace(found, gain=found.gain + objective.shortfall(w))


def _inside_the_cone(
    problem: EstimationProblem,
    start: Array,
    method: str,
    maxiter: int,
    options: dict[str, Any],
    callback: Callable[[Array], object] | None,
    report: Callable[[int, float], object] | None,
) -> Optimum:
    """Maximise with a barrier whose weight falls, each time from where the last one ended."""
    stages: list[Optimum] = []
    limit = min(maxiter, _ITERATIONS_INSIDE)
    for weight in _BARRIER_WEIGHTS:
        stage = maximise_likelihood(problem, start, method, limit, options, callback, report, weight)
        if len(start) <= POLISH_UP_TO and method != "newton":
            # the barrier bends sharply near the edge of the cone, which a quasi-Newton method sees late
            sharper = maximise_likelihood(problem, stage.params, "newton", _NEWTON_STEPS, {}, weight=weight)
            stage = sharper if sharper.llf >= stage.llf else stage
        stage = replace(stage, llf=problem.value(stage.params))
        if not np.isfinite(stage.llf):
            break
        stages.append(stage)
        start = stage.params
        if stage.dead_end:
            break
    settled = [stage for stage in stages if stage.dead_end or stage.score_norm < SCORE_TOLERANCE]
    best = settled[-1] if settled else max(stages, key=lambda stage: stage.llf)
    return replace(
        best,
        iterations=sum(stage.iterations for stage in stages),
        evaluations=sum(stage.evaluations for stage in stages),
        path=[value for stage in stages for value in stage.path],
    )


def _defaults(method: str, maxiter: int, size: int) -> dict[str, Any]:
    if method == "lbfgs":
        # remembering as many steps as there are parameters halves the iterations of a CAPM of ten assets
        memory = min(max(size, 30), _LONGEST_MEMORY)
        return {"maxiter": maxiter, "maxfun": 10 * maxiter, "maxcor": memory, "ftol": 1e-14, "gtol": 1e-6}
    if method in ("bfgs", "cg"):
        return {"maxiter": maxiter, "gtol": 1e-6}
    if method == "nm":
        return {"maxiter": 200 * maxiter, "xatol": 1e-8, "fatol": 1e-10, "adaptive": True}
    return {"maxiter": maxiter, "xtol": 1e-10, "ftol": 1e-14}


def newton(
    objective: ScaledObjective, w: Array, maxiter: int, after: Callable[[Array], None]
) -> tuple[Array, str]:
    """Minimise by Newton steps with differenced second derivatives, damped where they do not descend."""
    value, gradient = objective(w)
    for _ in range(maxiter):
        hessian = objective.hessian(w)
        if hessian is None:
            return w, "second derivatives do not exist here"
        values, vectors = np.linalg.eigh(hessian)
        floor = 1e-9 * max(abs(values[-1]), abs(values[0]), 1e-300)
        flat = np.abs(values) <= floor
        step = -vectors @ (np.where(flat, 0.0, vectors.T @ gradient) / np.where(flat, 1.0, np.abs(values)))
        decrement = -float(gradient @ step)
        if decrement < 1e-14 * (1.0 + abs(value)):
            return w, "converged"
        for _ in range(40):
            new, new_gradient = objective(w + step)
            if new < value:
                break
            step = 0.5 * step
        else:
            return w, "no descent to rounding"
        w, value, gradient = w + step, new, new_gradient
        after(w)
        if decrement < _LAST_STEP:
            return w, "converged"
    return w, "maxiter reached"


def polish(problem: EstimationProblem, optimum: Optimum, maxiter: int = _NEWTON_STEPS) -> Optimum:
    """Return the optimum after Newton steps, where they raise the log-likelihood."""
    better = maximise_likelihood(problem, optimum.params, "newton", min(maxiter, _NEWTON_STEPS), {})
    if better.llf < optimum.llf:
        return optimum
    return replace(
        better,
        message=optimum.message,
        iterations=optimum.iterations + better.iterations,
        evaluations=optimum.evaluations + better.evaluations,
        path=optimum.path + better.path,
    )
