"""Which of several start values to go on from: a few steps from each, then those that are ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..numerics.linear_algebra import Array
from .optimize import maximise_likelihood
from .problem import EstimationProblem

SCREENING = 30
"""Iterations after which starts are compared."""
_KEPT, _BARRIER = 2, 1e-2
_SAME = 1e-3
"""Log-likelihoods nearer than this, after the screening, are taken to be on the way to the same maximum."""


def screened(problem: EstimationProblem, starts: Sequence[Array]) -> list[Array]:
    """
    Return where a few steps of L-BFGS lead, for the starts with the highest log-likelihoods, the best first.

    Parameters
    ----------
    problem : EstimationProblem
        The problem.
    starts : sequence of ndarray
        Vectors of free parameters.
    """
    able = [start for start in starts if np.isfinite(problem.value(start))]
    weight = _BARRIER if problem.layout.untransformed else None  # the first of those of a whole fit
    found = [maximise_likelihood(problem, start, "lbfgs", SCREENING, {}, weight=weight) for start in able]
    kept: list[tuple[float, Array]] = []
    for optimum in sorted(found, key=lambda optimum: -optimum.llf):
        if len(kept) < _KEPT and all(abs(optimum.llf - llf) > _SAME for llf, _ in kept):
            kept.append((optimum.llf, optimum.params))
    return [params for _, params in kept] or list(starts[:1])
