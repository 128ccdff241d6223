"""Parallel work by joblib, with results that do not depend on the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..exceptions import SpecificationError, UnsupportedError


def check_jobs(n_jobs: int | None) -> None:
    """
    Check the number of processes before anything is computed.

    Raises
    ------
    SpecificationError
        If the number is zero or not an integer.
    UnsupportedError
        If the number is not one and joblib is not installed.
    """
    if n_jobs is None:
        return
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise SpecificationError(
            "n_jobs must be a number of processes", got=repr(n_jobs), expected="1, 2, ... or -1 (all)"
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


def stream(
    function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], n_jobs: int | None = None
) -> Iterator[Any]:
    """
    Yield the results of a function in the order of completion; each process uses one BLAS thread.

    Parameters
    ----------
    function : callable
        The function. It must be picklable if there are several processes.
    tasks : iterable of tuple
        Arguments of the calls.
    n_jobs : int, optional
        Number of processes. None uses the setting of `joblib.parallel_config`, or one process.
    """
    check_jobs(n_jobs)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        for task in tasks:
            yield _limited(function, *task)
        return
    calls = (delayed(_limited)(function, *task) for task in tasks)
    yield from Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls)


def _limited(function: Callable[..., Any], *task: Any) -> Any:
    """Call a function with one BLAS thread, if threadpoolctl is available."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        limits: Any = nullcontext()
    else:
        limits = threadpool_limits(1)
    with limits:
        return function(*task)
