"""Repeated work: seeds, processes, and what becomes of the calls that fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..engine.arguments import random_generator
from ..engine.parallel import check_jobs, stream
from ..exceptions import EstimationError, StateSpaceError, warn

__all__ = [
    "FAILURES",
    "Failure",
    "attempt",
    "check_jobs",
    "report_failures",
    "run_simulations",
    "spawn",
    "stream",
    "successes",
]

T = TypeVar("T")
_CHUNKS = 32
_FEWEST = 2
FAILURES: tuple[type[Exception], ...] = (StateSpaceError, np.linalg.LinAlgError)
"""What one of many fits may raise without stopping the others; anything else is a fault of the code."""


@dataclass(frozen=True)
class Failure:
    """
    What a call raised.

    Attributes
    ----------
    cause : Exception
        The exception.
    """

    cause: Exception

    def __str__(self) -> str:
        return f"{type(self.cause).__name__}: {self.cause}"


def attempt(
    function: Callable[..., T], *args: Any, catch: tuple[type[Exception], ...] = FAILURES
) -> T | Failure:
    """
    Return what a function returns, or its failure.

    Parameters
    ----------
    function : callable
        The function.
    *args
        Its arguments.
    catch : tuple of exception types
        Those that count as failures; others are raised.
    """
    try:
        return function(*args)
    except catch as raised:
        return Failure(raised)


def report_failures(failures: Sequence[Failure | str], total: int, what: str) -> None:
    """
    Warn of failures with their count.

    Parameters
    ----------
    failures : sequence of Failure or str
        The failures, in the order of the calls.
    total : int
        Number of calls.
    what : str
        What the calls were, in the plural.

    Raises
    ------
    EstimationError
        If fewer than two calls succeeded, of two or more, or the only one failed; its cause is the first
        failure.
    """
    if not failures:
        return
    first = failures[0]
    if total - len(failures) < min(_FEWEST, total):
        raise EstimationError(
            f"Too few {what} succeeded",
            got=f"{total - len(failures)} of {total}; the first failure was {first}",
            expected=f"at least {min(_FEWEST, total)}",
        ) from (first.cause if isinstance(first, Failure) else None)
    warn(f"{len(failures)} of {total} {what} failed and are left out; the first failure was {first}")


def successes(outcomes: Sequence[T | Failure], what: str) -> list[T]:
    """Return the outcomes that are no failures, after `report_failures` for the others."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    report_failures(failures, len(outcomes), what)
    return [outcome for outcome in outcomes if not isinstance(outcome, Failure)]


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
