"""The same from several starts, in this process or in others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..engine.parallel import stream
from ..numerics.linear_algebra import quiet
from .problem import EstimationProblem

T = TypeVar("T")


def from_each(
    function: Callable[[EstimationProblem, Any], T],
    problem: EstimationProblem,
    items: Sequence[Any],
    n_jobs: int | None,
) -> list[T]:
    """
    Return what a function of a problem returns at each of several items, in their order.

    Parameters
    ----------
    function : callable
        It can be pickled if there are several processes.
    problem : EstimationProblem
        The problem; other processes have copies of it.
    items : sequence
        Start values, or other things to go on from.
    n_jobs : int or None
        Number of processes; None: what `joblib.parallel_config` says, else one.
    """
    if n_jobs == 1 or len(items) < 2:
        return [function(problem, item) for item in items]
    tasks = [(place, function, problem, item) for place, item in enumerate(items)]
    found = dict(stream(_at, tasks, n_jobs))
    return [found[place] for place in range(len(items))]


def _at(
    place: int, function: Callable[[EstimationProblem, Any], T], problem: EstimationProblem, item: Any
) -> tuple[int, T]:
    with quiet():
        return place, function(problem, item)
