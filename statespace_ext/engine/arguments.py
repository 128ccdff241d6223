"""Checks of arguments before they are used, and calls in as many processes as an argument asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pandas.errors import InvalidIndexError
from patsy import PatsyError

from ..exceptions import SpecificationError, StateSpaceError, UnsupportedError, nearest, shown
from ..numerics.linear_algebra import quiet

T = TypeVar("T")


def positive_integer(value: Any, name: str) -> int:
    """
    Return a positive integer.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    _require(_is_integer(value, 1), value, f"{name} must be a positive integer", "1, 2, ...")
    return int(value)


def whole_number(value: Any, name: str, least: int) -> int:
    """
    Return an integer that is at least ``least``.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    _require(_is_integer(value, least), value, f"{name} must be a whole number", f"{least} or more")
    return int(value)


def _require(accepted: bool, value: object, what: str, expected: str) -> None:
    """Raise `SpecificationError` with the value if it is not accepted."""
    if not accepted:
        raise SpecificationError(what, got=repr(value), expected=expected)


def _is_integer(value: Any, least: float = -np.inf) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def positive_integers(value: object, name: str) -> list[int]:
    """
    Return a positive integer, or several, as a list.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    return [positive_integer(one, name) for one in listed(value) or [value]]


def listed(value: object) -> list[object]:
    """Return a sequence as a list, and a single value as a list of length one."""
    several = isinstance(value, (list, tuple, range, np.ndarray, pd.Index)) and getattr(value, "ndim", 1) > 0
    return list(value) if several else [value]  # type: ignore[call-overload]


def positive_number(value: Any, name: str) -> float:
    """
    Return a finite number above zero.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    accepted = isinstance(value, Real) and not isinstance(value, bool) and 0.0 < float(value) < np.inf
    _require(accepted, value, f"{name} must be a positive number", "a finite number above 0")
    return float(value)


def probability(value: Any, name: str) -> float:
    """
    Return a number between zero and one.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    accepted = isinstance(value, Real) and 0.0 < float(value) < 1.0
    _require(accepted, value, f"{name} must be between 0 and 1", "a number, such as 0.05")
    return float(value)


def truth(value: Any, name: str) -> bool:
    """
    Return a boolean.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    _require(isinstance(value, (bool, np.bool_)), value, f"{name} must be true or false", "True or False")
    return bool(value)


def one_of(value: object, known: Iterable[str], name: str) -> str:
    """
    Return a string that must be one of several choices.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    words = list(known)
    if not isinstance(value, str) or value not in words:
        raise SpecificationError(
            f"{name} is unknown",
            got=repr(value),
            expected=f"one of {shown(map(repr, words))}",
            remedy=nearest(value, words) if isinstance(value, str) else None,
        )
    return value


def names_among(value: object, known: Iterable[object], name: str) -> list[str]:
    """
    Return one name, or a list of names, as a list; None selects all names.

    Raises
    ------
    SpecificationError
        If a name is unknown.
    """
    words = [str(word) for word in known]
    if value is None:
        return words
    given = listed(value)
    unknown = [one for one in given if not (isinstance(one, str) and one in words)]
    if unknown or not given:
        raise SpecificationError(
            f"{name} are unknown",
            got=shown(unknown) or "none",
            expected=shown(words),
            remedy=nearest(str(next(iter(unknown), "")), words),
        )
    return [str(one) for one in given]


def options_of(value: Any, name: str) -> dict[str, Any]:
    """
    Return a mapping as a new dict, which is empty for None.

    Raises
    ------
    SpecificationError
        If the value is not a mapping, or a key is not a string.
    """
    value = {} if value is None else value
    accepted = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    _require(accepted, value, f"{name} must map names to values", "a dict with strings as keys")
    return dict(value)


def random_generator(rng: object) -> np.random.Generator:
    """
    Return a generator from a generator, a seed or None.

    Raises
    ------
    SpecificationError
        If the value is something else.
    """
    try:
        if isinstance(rng, np.random.RandomState):
            raise TypeError("a RandomState")
        return np.random.default_rng(rng)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            "rng cannot be used", got=repr(rng), expected="a numpy.random.Generator, a seed, or None"
        ) from error


def check_keywords(
    function: str, given: Iterable[str], known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> None:
    """
    Reject unknown keyword arguments, with a message that contains the nearest name.

    ``elsewhere`` contains explanations for names that other packages use.

    Raises
    ------
    TypeError
        If an argument is unknown.
    """
    known = list(known)
    for name in given:
        if name not in known:
            remedy = (elsewhere or {}).get(name) or nearest(name, known) or f"Known are {', '.join(known)}."
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}. {remedy}")


@contextmanager
def arguments_of(method: str) -> Iterator[None]:
    """
    Convert errors of statsmodels about its arguments to errors of this package.

    Raises
    ------
    SpecificationError, UnsupportedError
        With the message of statsmodels.
    """
    try:
        with quiet():
            yield
    except StateSpaceError:
        raise
    except NotImplementedError as error:
        raise UnsupportedError(
            f"statsmodels does not support these arguments of {method}", got=error
        ) from error
    except (AttributeError, InvalidIndexError, LookupError, PatsyError, TypeError, ValueError) as error:
        if isinstance(error, TypeError) and "keyword argument" in str(error):  # as Python words it
            raise
        raise SpecificationError(
            f"statsmodels rejects the arguments of {method}", got=f"{type(error).__name__}: {error}"
        ) from error


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
    accepted = n_jobs is None or _is_integer(n_jobs) and n_jobs != 0
    _require(accepted, n_jobs, "n_jobs must be a number of processes", "1, 2, ... or -1 (all)")
    if n_jobs not in (None, 1) and find_spec("joblib") is None:
        raise UnsupportedError(
            "Several processes need joblib, which is not installed",
            got=f"n_jobs={n_jobs}",
            remedy='Install the extra "parallel" (pip install "statespace-ext[parallel]"), or use n_jobs=1.',
        )


def stream(
    function: Callable[..., Any],
    tasks: Iterable[tuple[object, ...]],
    n_jobs: int | None = None,
    ordered: bool = False,
) -> Iterator[Any]:
    """
    Yield the results of a function; each process uses one BLAS thread.

    Parameters
    ----------
    function : callable
        The function. It must be picklable if there are several processes.
    tasks : iterable of tuple
        Arguments of the calls.
    n_jobs : int, optional
        Number of processes. None uses the setting of `joblib.parallel_config`, or one process.
    ordered : bool
        Whether the results are in the order of the tasks, rather than in that of completion.
    """
    check_jobs(n_jobs)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        for task in tasks:
            yield _limited(function, *task)
        return
    calls = (delayed(_limited)(function, *task) for task in tasks)
    yield from Parallel(n_jobs=n_jobs, return_as="generator" if ordered else "generator_unordered")(calls)


def _limited(function: Callable[..., T], *task: object) -> T:
    """Call a function with one BLAS thread, if threadpoolctl is available."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return function(*task)
    with threadpool_limits(1):
        return function(*task)
