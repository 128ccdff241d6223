"""Arguments that a function does not have, or cannot use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pandas.errors import InvalidIndexError
from patsy import PatsyError

from ..exceptions import SpecificationError, StateSpaceError, UnsupportedError, nearest
from ..numerics.linear_algebra import quiet


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """
    Refuse keyword arguments that a function does not have, as Python does, with the nearest name.

    Raises
    ------
    TypeError
        If an argument is unknown.
    """
    known = list(known)
    for name in given:
        if name not in known:
            remedy = nearest(name, known) or f"Known are {', '.join(known)}."
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}. {remedy}")


@contextmanager
def arguments_of(method: str) -> Iterator[None]:
    """
    Turn what statsmodels raises at its own arguments into an error of this package.

    Raises
    ------
    SpecificationError, UnsupportedError
        With what statsmodels said.
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
        if isinstance(error, TypeError) and "keyword argument" in str(error):  # as Python has it
            raise
        raise SpecificationError(
            f"statsmodels refuses the arguments of {method}", got=f"{type(error).__name__}: {error}"
        ) from error
