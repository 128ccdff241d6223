"""Which of several start values to go on from: a few steps from each, then those that are ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..numerics.linear_algebra import Array
from .optimize import Optimum, maximise_likelihood
from .problem import EstimationProblem

SCREENING = 30
"""Iterations after which starts are compared."""
FEW = 10
"""Iterations after which a start is compared with a maximum at hand."""
_KEPT, _BARRIER = 2, 1e-2
_ON_THE_WAY = (0.25, 0.5, 0.75)
_LEVEL = 1e-6
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
    begun = [few_steps(problem, start, SCREENING) for start in starts]
    found = [optimum for optimum in begun if optimum is not None]
    kept: list[tuple[float, Array]] = []
    for optimum in sorted(found, key=lambda optimum: -optimum.llf):
        if len(kept) < _KEPT and all(abs(optimum.llf - llf) > _SAME for llf, _ in kept):
            kept.append((optimum.llf, optimum.params))
    return [params for _, params in kept] or list(starts[:1])


def few_steps(problem: EstimationProblem, start: Array, steps: int = FEW) -> Optimum | None:
    """Return where a few steps of L-BFGS lead, None where a start has no likelihood."""
    if not np.isfinite(problem.value(start)):
        return None
    weight = _BARRIER if problem.layout.untransformed else None  # the first of those of a whole fit
    return maximise_likelihood(problem, start, "lbfgs", steps, {}, weight=weight)


def leads_to(problem: EstimationProblem, at: Optimum, maximum: Array) -> bool:
    """Tell whether the log-likelihood rises all the way from a point straight to a maximum."""
    layout = problem.layout
    first, last = layout.unconstrain(at.params), layout.unconstrain(maximum)
    between = [problem.value(layout.constrain(first + share * (last - first))) for share in _ON_THE_WAY]
    return bool(np.all(np.diff([at.llf, *between, problem.value(maximum)]) > -_LEVEL))
