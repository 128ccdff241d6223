"""Function calls for several starts, in this process or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ..engine.parallel import stream
from ..numerics.linear_algebra import quiet


def spread(n_jobs: int | None, count: int) -> Callable[..., Iterable[Any]]:
    """
    Return `map`, or an equivalent function that uses worker processes.

    Parameters
    ----------
    n_jobs : int or None
        Number of processes. None uses the setting of `joblib.parallel_config`, or one process. With several
        processes, the mapped function and its attributes must be picklable.
    count : int
        Number of arguments of the mapped function.
    """
    return map if n_jobs == 1 or count < 2 else partial(_elsewhere, n_jobs)


def _elsewhere(n_jobs: int | None, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Return the values of a function, in the order of its arguments, from worker processes."""
    found = dict(stream(_at, [(place, function, item) for place, item in enumerate(items)], n_jobs))
    return [found[place] for place in range(len(items))]


def _at(place: int, function: Callable[[Any], Any], item: Any) -> tuple[int, Any]:
    with quiet():
        return place, function(item)
