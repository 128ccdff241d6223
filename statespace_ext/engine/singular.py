"""Parameters at which there is no likelihood, said by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..exceptions import ParameterError, StateSpaceError


@contextmanager
def named_singularity() -> Iterator[None]:
    """
    Give the errors of numpy and of compiled filters a name, where forecast errors have a singular variance.

    Raises
    ------
    ParameterError
        In their place.
    """
    try:
        yield
    except StateSpaceError:
        raise
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise ParameterError(
            "The log-likelihood does not exist at these parameters",
            got=reason(error),
            expected="forecast errors of positive definite variance, and stable roots for a stationary start",
            remedy="Let obs_cov be positive definite, or leave out a series that the others determine.",
        ) from error


def reason(error: BaseException) -> str:
    """Return what an error of a filter says, in words: it divides by pivots of obs_cov alone."""
    return "a singular obs_cov that is not diagonal" if isinstance(error, ZeroDivisionError) else str(error)
