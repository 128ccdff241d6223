"""The outcome of a fit, and when it counts as converged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..numerics.linear_algebra import Array
from .verdict import Verdict

SAME_MAXIMUM = 1e-4
"""Relative difference of log-likelihoods up to which two starts reach the same maximum."""


@dataclass(frozen=True)
class FitResult:
    """
    The outcome of a fit.

    Attributes
    ----------
    params : ndarray
        All parameters, the fixed ones included.
    llf : float
        Log-likelihood.
    method : str
        The method asked for.
    converged : bool
        Whether the scaled score and the predicted gain are below their tolerances.
    status : str
        What ended it, in words.
    score_norm : float
        Largest element of the score, each times the standard error that complete data would give; where a
        search has found second derivatives, in coordinates in which they are 1 or -1.
    gain : float
        What the log-likelihood would gain by a Newton step, s' I^{-1} s / 2.
    iterations, evaluations : int
        Iterations; evaluations of the likelihood or its gradient.
    em_trace : dict of list
        Trace of an EM method; empty after others.
    gradient_path : list of float
        Log-likelihoods of a gradient method, by iteration.
    starts : list of float
        Log-likelihoods that the starts reached, in their order. A start that goes no further, because a few
        steps bring it to where another start goes, or onto the slope of a maximum at hand, counts with that.
    seconds : float
        Time taken.
    warnings : list of (str, type)
        What to warn of.
    dead_end : bool
        Whether the search ran towards what has no maximum, as ``status`` says.
    """

    params: Array
    llf: float
    method: str
    converged: bool
    status: str
    score_norm: float = np.nan
    gain: float = np.nan
    iterations: int = 0
    evaluations: int = 1
    em_trace: dict[str, list[float]] = field(default_factory=dict)
    gradient_path: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    seconds: float = 0.0
    warnings: list[tuple[str, type[Warning]]] = field(default_factory=list)
    dead_end: bool = False

    @property
    def trace(self) -> dict[str, list[float]]:
        """The trace of EM, or the iterations of a gradient method in its columns."""
        path = self.gradient_path
        columns = [range(1, len(path) + 1), path, np.diff(path, prepend=np.nan), np.full(len(path), np.nan)]
        names = ("iteration", "llf", "change", "params_change")
        return self.em_trace or {key: list(column) for key, column in zip(names, columns, strict=True)}

    @property
    def starts_at_best(self) -> int:
        """Number of starts that reached the highest log-likelihood."""
        return int(
            np.sum(
                np.array(self.starts) > max(self.starts, default=0.0) - SAME_MAXIMUM * (1.0 + abs(self.llf))
            )
        )


def status_of(verdict: Verdict, message: str, dead_end: str = "") -> tuple[bool, str]:
    """Return whether a search has converged, and what ended it, in words."""
    if dead_end or verdict.converged:
        return not dead_end, dead_end or "converged"
    return False, f"{verdict.in_words} ({message})"
