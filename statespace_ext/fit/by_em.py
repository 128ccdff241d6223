"""EM from one start to its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..em.acceleration import Coordinates, run_accelerated_em
from ..em.driver import EMOptions, run_em
from ..exceptions import UnsupportedError, shown
from ..numerics.linear_algebra import Array
from .degenerate import Watch, lifted
from .objective import parameter_scale
from .outcome import FitResult, Verdict
from .problem import EstimationProblem
from .request import FitRequest
from .search import verdict_at


def to_the_end_by_em(
    problem: EstimationProblem,
    start: Array,
    request: FitRequest,
    maxiter: int,
    report: Callable[[int, float], object] | None,
) -> FitResult:
    """
    Run EM until the verdict is that of a maximum; parameters of the result are the free ones.

    Raises
    ------
    UnsupportedError
        If EM cannot estimate the specification.
    """
    obstacle = problem.updates.obstacle()
    if obstacle is not None:
        raise UnsupportedError(
            f"EM cannot estimate this specification: {obstacle}", remedy='Use method="lbfgs" or "auto".'
        )
    verdicts: list[Verdict] = []

    def shortfall(params: Array) -> float:
        verdicts.append(verdict_at(problem, params))
        at_zero = verdicts[-1].converged and lifted(problem, params) is not None
        return np.inf if at_zero else verdicts[-1].shortfall

    callback, watch = request.callback, partial(Watch(problem, start), problem)
    told = None if callback is None else lambda params: callback(problem.full(params))
    options = EMOptions(maxiter, request.tolerance, told, report, shortfall, watch)
    steps = problem.moments, problem.loglike, problem.updates.cycles()
    if request.method == "em":
        em = run_em(start, *steps, options)
    else:
        em = run_accelerated_em(start, *steps, options, _coordinates(problem, start))
    at = verdicts[-1] if em.converged and verdicts else verdict_at(problem, em.params)
    status = em.status
    if not (em.converged or em.dead_end):
        status = f"{status}; {at.in_words}"
        away = lifted(problem, em.params) if np.isfinite(em.llf) else None
        if away is not None:
            names = shown(problem.layout.names[i] for i in np.flatnonzero(away != em.params))
            status = (
                f"EM cannot leave a singular covariance, from which the log-likelihood rises ({names}); "
                'start from positive variances or use method="auto"'
            )
    return FitResult(
        em.params, em.llf, request.method, em.converged, status, at.score_norm, at.gain, em.iterations,
        em.iterations + 1, em.trace, dead_end=em.dead_end,
    )  # fmt: skip


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
