"""Many simulated samples, on several processes, the same whatever their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ..exceptions import SpecificationError, UnsupportedError

T = TypeVar("T")
_CHUNKS_PER_JOB = 4


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
    words = np.random.default_rng(rng).integers(0, 2**32, size=4)  # type: ignore[arg-type]
    return np.random.SeedSequence([int(word) for word in words]).spawn(count)


def check_jobs(n_jobs: int) -> None:
    """
    Check the number of processes before anything is computed.

    Raises
    ------
    SpecificationError
        If it is zero or not an integer.
    UnsupportedError
        If it is not one and joblib is not installed.
    """
    if isinstance(n_jobs, bool) or int(n_jobs) != n_jobs or n_jobs == 0:
        raise SpecificationError(
            "n_jobs is not a number of processes", got=n_jobs, expected="1, 2, ... or -1 (all)"
        )
    if n_jobs == 1:
        return
    try:
        import joblib  # noqa: F401
    except ImportError as error:
        raise UnsupportedError(
            "Several processes need joblib, which is not installed",
            got=f"n_jobs={n_jobs}",
            remedy='Install the extra "parallel" (pip install "statespace-ext[parallel]"), or use n_jobs=1.',
        ) from error


def run_simulations(
    one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence], n_jobs: int = 1
) -> list[T]:
    """
    Call a function once for each seed, with a generator of its own.

    Parameters
    ----------
    one : callable
        From a generator to a result; it can be pickled if there are several processes.
    seeds : list of SeedSequence
        Of `spawn`.
    n_jobs : int
        Number of processes; the results do not depend on it.
    """
    check_jobs(n_jobs)
    if n_jobs == 1:
        return _run(one, seeds)
    from joblib import Parallel, delayed, effective_n_jobs

    count = max(1, min(len(seeds), _CHUNKS_PER_JOB * effective_n_jobs(n_jobs)))
    chunks = [seeds[i::count] for i in range(count)]
    parts = Parallel(n_jobs=n_jobs)(delayed(_run)(one, chunk) for chunk in chunks)
    return [parts[i % count][i // count] for i in range(len(seeds))]


def _run(one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence]) -> list[T]:
    return [one(np.random.default_rng(seed)) for seed in seeds]
