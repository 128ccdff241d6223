"""Which of several start values to go on from: a few steps from each, then those that are ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..numerics.linear_algebra import Array
from .optimize import Optimum, maximise_likelihood
from .problem import EstimationProblem

SCREENING = 30
"""Iterations after which starts are compared."""
_FEW = (4, 20)
"""Iterations after which a start is compared with a maximum at hand, and more where it leads elsewhere."""
_KEPT, _BARRIER = 2, 1e-2
_ON_THE_WAY = (0.25, 0.5, 0.75, 1.0)
"""Shares of the way to a maximum at which the log-likelihood is looked at."""
_LEVEL = 1e-6
"""A log-likelihood that falls by less than this is taken to rise."""
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
    kept = ahead({i: optimum.llf for i, optimum in enumerate(found)}, _KEPT)
    return [found[i].params for i in kept] or list(starts[:1])


def ahead(llf: Mapping[int, float], keep: int) -> list[int]:
    """Return the starts with the highest log-likelihoods, one of each group that goes the same way."""
    out: list[int] = []
    for i in sorted(llf, key=lambda i: -llf[i]):
        if len(out) < keep and all(abs(llf[i] - llf[j]) > _SAME for j in out):
            out.append(i)
    return out


def few_steps(problem: EstimationProblem, start: Array, steps: int) -> Optimum | None:
    """Return where a few steps of L-BFGS lead, None where a start has no likelihood."""
    if not np.isfinite(problem.value(start)):
        return None
    weight = _BARRIER if problem.layout.untransformed else None  # the first of those of a whole fit
    return maximise_likelihood(problem, start, "lbfgs", steps, {}, weight=weight)


def compared(problem: EstimationProblem, start: Array, maximum: Array) -> tuple[Optimum | None, bool]:
    """Return where a few steps from a start lead, and whether that is on the slope of a maximum at hand."""
    at: Optimum | None = None
    for steps in _FEW:
        at = few_steps(problem, start if at is None else at.params, steps)
        if at is None or _leads_to(problem, at, maximum):
            return at, at is not None
    return at, False


def _leads_to(problem: EstimationProblem, at: Optimum, maximum: Array) -> bool:
    """Tell whether the log-likelihood rises all the way from a point straight to a maximum or its mirror."""
    layout, model = problem.layout, problem.model
    first, last = (layout.unconstrain(p) for p in (at.params, model.mirrored(problem, maximum, at.params)))
    way = [problem.value(layout.constrain(first + share * (last - first))) for share in _ON_THE_WAY]
    arrives = way[-1] > problem.value(maximum) - _LEVEL
    return arrives and bool(np.all(np.diff([at.llf, *way]) > -_LEVEL))
