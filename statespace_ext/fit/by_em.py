"""EM from one start value to convergence."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..em.acceleration import Coordinates, run_accelerated_em
from ..em.driver import EMOptions, EMResult, run_em
from ..exceptions import UnsupportedError, shown
from ..numerics.linear_algebra import Array
from .degenerate import Watch, lifted
from .objective import parameter_scale
from .outcome import FitResult, Verdict
from .problem import EstimationProblem
from .progress import reporter
from .request import FitRequest
from .search import verdict_at


def by_em(problem: EstimationProblem, request: FitRequest, start: Array, maxiter: int) -> FitResult:
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
        verdicts.append(verdict_at(problem, params))
        at_zero = verdicts[-1].converged and lifted(problem, params) is not None
        return np.inf if at_zero else verdicts[-1].shortfall

    callback, watch = request.callback, partial(Watch(problem, start), problem)
    told = None if callback is None else lambda params: callback(problem.full(params))
    steps = problem.moments, problem.loglike, problem.updates.cycles()
    with reporter(request.disp, request.progress, maxiter) as report:
        options = EMOptions(maxiter, request.tolerance, told, report, shortfall, watch)
        if request.method == "em":
            em = run_em(start, *steps, options)
        else:
            em = run_accelerated_em(start, *steps, options, _coordinates(problem, start))
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


def _coordinates(problem: EstimationProblem, start: Array) -> Coordinates:
    """Return unconstrained coordinates that do not depend on the units of the data."""
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
