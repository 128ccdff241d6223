"""Exceptions and warnings: every message says what was wrong, the value, what was expected and what to do."""

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
"""Places of the code that may stand between a user's call and a warning."""


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the line of the user: the nearest of neither this package nor what it uses."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def shown(items: Iterable[object], most: int = 8) -> str:
    """Return the first items of a list, for a message."""
    names = [str(item) for item in items]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return a sentence with the known name that was probably meant, None where none is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"The nearest name is {found[0]}." if found else None


def _brief(value: object, most: int = 400) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


class StateSpaceError(Exception):
    """
    Base class of the errors that the package raises on purpose.

    Parameters
    ----------
    what : str
        What was wrong.
    got : object, optional
        The offending value.
    expected : object, optional
        What would have been right.
    remedy : str, optional
        What to do about it.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, remedy: str | None = None
    ) -> None:
        parts = []
        if got is not None:
            parts.append(f"got {_brief(got)}")
        if expected is not None:
            parts.append(f"expected {_brief(expected)}")
        whole = what if what.endswith(".") else f"{what}."  # as it is when unpickled
        message = f"{what}: {'; '.join(parts)}." if parts else whole
        if remedy is not None:
            message = f"{message} {remedy}"
        super().__init__(message)


class SpecificationError(StateSpaceError, ValueError):
    """The model as declared is contradictory, incomplete or unknown."""


class DataError(StateSpaceError, ValueError):
    """The data cannot be used as they are."""


class ParameterError(StateSpaceError, ValueError):
    """A parameter vector has the wrong length, names or values."""


class UnsupportedError(StateSpaceError, NotImplementedError):
    """A valid request that this combination of model, method or installed version cannot serve."""


class EstimationError(StateSpaceError, RuntimeError):
    """Estimation could not start or could not go on."""


class ConvergenceWarning(_ConvergenceWarning):
    """The fit stopped before its convergence criteria were met."""


class IdentificationWarning(UserWarning):
    """The likelihood is flat along some directions of the parameter space."""
