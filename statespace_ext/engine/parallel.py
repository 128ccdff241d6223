"""Work spread over processes by joblib, the same whatever their number."""

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
        If it is zero or not an integer.
    UnsupportedError
        If it is not one and joblib is not installed.
    """
    if n_jobs is None:
        return
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise SpecificationError(
            "n_jobs is not a number of processes", got=repr(n_jobs), expected="1, 2, ... or -1 (all)"
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
    Yield a function's results as they arrive, in no order; one BLAS thread in each process.

    Parameters
    ----------
    function : callable
        What to call; it can be pickled if there are several processes.
    tasks : iterable of tuple
        Its arguments.
    n_jobs : int, optional
        Number of processes. None: what `joblib.parallel_config` says, else one.
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
    """Call a function with one BLAS thread, where threadpoolctl can see to that."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        limits: Any = nullcontext()
    else:
        limits = threadpool_limits(1)
    with limits:
        return function(*task)
