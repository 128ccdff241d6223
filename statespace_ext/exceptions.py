"""Exceptions and warnings. Each message names the problem, the value, what was expected and the remedy."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import pandas
import statsmodels
from statsmodels.tools.sm_exceptions import ConvergenceWarning as _ConvergenceWarning

__all__ = [
    "ConvergenceWarning",
    "DataError",
    "EstimationError",
    "IdentificationWarning",
    "ParameterError",
    "SpecificationError",
    "StateSpaceError",
    "UnsupportedError",
]


_BETWEEN = (
    *(str(Path(str(module.__file__)).parent) for module in (pandas, statsmodels)),
    str(Path(__file__).parent),
    str(contextlib.__file__),
)
"""Directories whose frames are skipped when a warning is attributed to a line of user code."""


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the nearest caller outside this package and its dependencies."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def warn_renamed(old: str, new: str) -> None:
    """Warn that a name will be removed in the next version."""
    warn(f"{old!r} is now called {new!r}; the old name goes with the next version", DeprecationWarning)


def shown(items: Iterable[object], most: int = 8) -> str:
    """Return the first items of a list as text for a message."""
    names = [str(item) for item in items]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return a sentence that suggests the closest known name, or None if no known name is close."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"The nearest name is {found[0]}." if found else None


def _brief(value: object, most: int = 400) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


class StateSpaceError(Exception):
    """
    Base class of the exceptions that this package raises.

    Parameters
    ----------
    what : str
        Description of the problem.
    got : object, optional
        The value that caused the error.
    expected : object, optional
        A description of the values that are accepted.
    remedy : str, optional
        An action that solves the problem.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, remedy: str | None = None
    ) -> None:
        given = (("got", got), ("expected", expected))
        parts = [f"{word} {_brief(value)}" for word, value in given if value is not None]
        whole = what if what.endswith(".") else f"{what}."  # unpickling passes the whole message
        message = f"{what}: {'; '.join(parts)}." if parts else whole
        if remedy is not None:
            message = f"{message} {remedy}"
        super().__init__(message)


class SpecificationError(StateSpaceError, ValueError):
    """The specification of the model, or an option, is inconsistent, incomplete or unknown."""


class DataError(StateSpaceError, ValueError):
    """The data cannot be used in their present form."""


class ParameterError(StateSpaceError, ValueError):
    """A parameter vector has an invalid length, invalid names or invalid values."""


class UnsupportedError(StateSpaceError, NotImplementedError):
    """The request is valid, but not available for this model, method or installed version."""


class EstimationError(StateSpaceError, RuntimeError):
    """The estimation could not start or could not continue."""


class ConvergenceWarning(_ConvergenceWarning):
    """The fit stopped before it met its convergence criteria."""


class IdentificationWarning(UserWarning):
    """The likelihood is flat along some directions of the parameter space."""
