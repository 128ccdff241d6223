"""Ctrl-C while a fit runs: the best parameters so far, with a status that says so."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..exceptions import ConvergenceWarning
from .outcome import FitResult
from .problem import EstimationProblem
from .request import FitRequest
from .search import verdict_at

INTERRUPTED = "interrupted: the best parameters so far"


def or_best_so_far(
    problem: EstimationProblem, request: FitRequest, run: Callable[[], FitResult]
) -> FitResult:
    """
    Return what a fit returns, or where it was interrupted the best parameters that it had seen.

    Parameters
    ----------
    problem : EstimationProblem
        The problem, which remembers the best parameters.
    request : FitRequest
        Options of the fit.
    run : callable
        The fit.

    Raises
    ------
    KeyboardInterrupt
        If it came before any parameters had a log-likelihood.
    """
    began = time.perf_counter()
    try:
        return run()
    except KeyboardInterrupt:
        if problem.best is None:
            raise
    llf, params = problem.best
    path = list(problem.path)  # to which a verdict may add
    at = verdict_at(problem, params)
    return FitResult(
        problem.full(params), llf, request.method, False, INTERRUPTED, at.score_norm, at.gain, len(path) - 1,
        len(path), gradient_path=path, starts=[llf], seconds=time.perf_counter() - began,
        warnings=[(f"The fit was {INTERRUPTED}.", ConvergenceWarning)],
    )  # fmt: skip
