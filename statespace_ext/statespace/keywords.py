"""Keyword arguments that a function does not have."""

from __future__ import annotations

from collections.abc import Iterable

from ..exceptions import nearest


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
