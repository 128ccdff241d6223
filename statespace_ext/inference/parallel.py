"""Seeds, and simulations from them, the same whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ..statespace.arguments import random_generator
from ..statespace.parallel import check_jobs, stream

__all__ = ["check_jobs", "run_simulations", "spawn", "stream"]

T = TypeVar("T")
_CHUNKS = 32


def spawn(rng: object, count: int) -> list[np.random.SeedSequence]:
    """
    Return independent seeds.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        Source: the same integer (or a Generator in the same state) gives the same seeds.
    count : int
        Their number.
    """
    words = random_generator(rng).integers(0, 2**32, size=4)
    return np.random.SeedSequence([int(word) for word in words]).spawn(count)


def run_simulations(
    one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence], n_jobs: int | None = None
) -> list[T]:
    """
    Return a function's results at one random generator for each seed, in their order.

    Parameters
    ----------
    one : callable
        From a generator to a result; it can be pickled if there are several processes.
    seeds : list of SeedSequence
        Of `spawn`.
    n_jobs : int, optional
        As in `stream`.
    """
    count = max(1, min(len(seeds), _CHUNKS))
    chunks = ((place, one, seeds[place::count]) for place in range(count))
    parts = dict(stream(_simulated, chunks, n_jobs))
    return [parts[i % count][i // count] for i in range(len(seeds))]


def _simulated(
    place: int, one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence]
) -> tuple[int, list[T]]:
    return place, [one(np.random.default_rng(seed)) for seed in seeds]
