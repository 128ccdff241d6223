"""Several starts, pruned: a few steps from each, the whole way from those that are ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..exceptions import ConvergenceWarning, EstimationError
from ..numerics.linear_algebra import Array
from .fit import FitResult, from_optimum
from .preconditioned import PreconditionedSearch
from .problem import EstimationProblem
from .progress import reporter
from .request import FitRequest
from .screening import ahead
from .several import from_each

_SCREENING = 40
"""Iterations after which a start is compared with the others."""
_LEAST, _LONGER = 200, 2
"""The others may take as many iterations, and as many times those of the start that was ahead."""


def multi_start(
    problem: EstimationProblem, starts: Sequence[Array], request: FitRequest, keep: int, maxiter: int = 1500
) -> FitResult:
    """
    Maximise the log-likelihood from several starts and return the best fit.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    starts : sequence of ndarray
        Vectors of free parameters.
    request : FitRequest
        Options of the fit.
    keep : int
        How many starts go the whole way.
    maxiter : int
        Largest number of iterations of each of them.

    Returns
    -------
    FitResult
        ``starts`` has the log-likelihood that each start reached, in their order; for those that were
        pruned, that after the screening.

    Raises
    ------
    EstimationError
        If no start has a likelihood.
    """
    began = time.perf_counter()
    able = [i for i, start in enumerate(starts) if np.isfinite(problem.value(start))]
    if not able:
        raise EstimationError(
            "The log-likelihood does not exist at the start values",
            got=problem.obstacle(starts[0]),
            remedy="Pass start_params with stable P-dynamics and positive variances.",
        )
    limit = maxiter if request.maxiter is None else int(request.maxiter)
    with reporter(request.disp, request.progress, limit) as report:
        begun = partial(_begun, limit=min(_SCREENING, limit), callback=request.callback, report=report)
        begin = from_each(begun, problem, [starts[i] for i in able], request.n_jobs)
        searches = {i: _here(problem, search) for i, search in zip(able, begin, strict=True)}
        reached_so_far = {i: -search.value for i, search in searches.items()}
        _finish(problem, searches, ahead(reached_so_far, keep), limit, request.n_jobs)
    found = {i: search.optimum() for i, search in searches.items()}
    best = max(found.values(), key=lambda optimum: optimum.llf)
    reached = [found[i].llf if i in found else -np.inf for i in range(len(starts))]
    out = from_optimum(request, None, best)
    notes: list[tuple[str, type[Warning]]] = (
        [] if out.converged else [(f"The fit did not converge: {out.status}.", ConvergenceWarning)]
    )
    return replace(
        out,
        params=problem.full(best.params),
        iterations=sum(optimum.iterations for optimum in found.values()),
        evaluations=sum(optimum.evaluations for optimum in found.values()),
        starts=reached,
        seconds=time.perf_counter() - began,
        warnings=notes,
    )


def _begun(
    problem: EstimationProblem,
    start: Array,
    limit: int,
    callback: Callable[[Array], object] | None,
    report: Callable[[int, float], object] | None,
) -> PreconditionedSearch:
    """Return a search after some iterations."""
    search = PreconditionedSearch(problem, start, callback, report)
    search.run(limit)
    return search


def _taken_up(problem: EstimationProblem, search: PreconditionedSearch, limit: int) -> PreconditionedSearch:
    """Return a search that went on."""
    search.run(limit)
    return search


def _here(problem: EstimationProblem, search: PreconditionedSearch) -> PreconditionedSearch:
    """Return a search, from another process or not, of the problem of this one."""
    search.problem = problem
    problem.remember(-search.value, problem.layout.constrain(search.z))
    return search


def _finish(
    problem: EstimationProblem,
    searches: dict[int, PreconditionedSearch],
    ahead: list[int],
    limit: int,
    n_jobs: int | None,
) -> None:
    """Run the first to its end, the others not much longer; one that is ahead by then to its end."""
    first, *others = ahead
    searches[first].run(limit)
    most = min(limit, max(_LEAST, _LONGER * len(searches[first].path)))
    found = from_each(partial(_taken_up, limit=most), problem, [searches[i] for i in others], n_jobs)
    searches.update({i: _here(problem, search) for i, search in zip(others, found, strict=True)})
    min((searches[i] for i in ahead), key=lambda search: search.value).run(limit)
