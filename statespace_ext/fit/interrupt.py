"""Ctrl-C while a fit runs: the best parameters so far, with a status that says so."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ..exceptions import ConvergenceWarning
from .fit import FitResult
from .optimize import verdict_at
from .problem import EstimationProblem
from .request import EM_METHODS, FitRequest

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
    path = list(problem.path)
    changes = np.diff(path, prepend=np.nan).tolist()
    trace = {
        "iteration": [*range(len(path))],
        "llf": path,
        "change": changes,
        "params_change": [np.nan] * len(path),
    }
    em, at = request.method in EM_METHODS, verdict_at(problem, params)
    return FitResult(
        problem.full(params), llf, request.method, False, INTERRUPTED,
        trace if em else {key: [] for key in trace}, [] if em else path, at.score_norm,
        len(path) - 1, len(path), [llf], time.perf_counter() - began,
        [(f"The fit was {INTERRUPTED}.", ConvergenceWarning)], at.gain,
    )  # fmt: skip
