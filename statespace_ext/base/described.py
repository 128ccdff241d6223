"""What a model says of itself in a session, and of a keyword that it does not know."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd

from ..engine.arguments import check_keywords
from ..exceptions import shown
from ..params.layout import ParameterLayout
from .summary import describe_sample


class Described:
    """`repr` of a model, and the check of the keywords of its constructor; mixed into the models."""

    __signature__: inspect.Signature
    layout: ParameterLayout
    endog: Any
    endog_names: Any
    nobs: int
    _given: dict[str, Any]
    _computed: tuple[str, ...] = ()
    """Arguments in ``_given`` that the user left to the model: kept for its clones, not shown."""
    _index: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments of the constructor, which those of `__new__` would hide, to whoever asks."""
        super().__init_subclass__(**kwargs)
        _, *others = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(others)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse unknown keywords before the constructor runs."""
        parameters = inspect.signature(cls.__init__).parameters
        if all(each.kind is not each.VAR_KEYWORD for each in parameters.values()):
            check_keywords(cls.__name__, kwargs, [name for name in parameters if name != "self"])
        return super().__new__(cls)

    def __repr__(self) -> str:
        names = np.atleast_1d(self.endog_names)
        series = f"{len(names)} series ({shown(names, 4)})" if len(names) > 1 else f"series {names[0]}"
        return (
            f"<{type(self).__name__}({', '.join(self._arguments())}): {series}, "
            f"{describe_sample(self.endog, self._index)}, {len(self.layout)} parameters>"
        )

    def _arguments(self) -> list[str]:
        """Return the arguments of the constructor that differ from their defaults."""
        parameters = inspect.signature(type(self).__init__).parameters
        out = []
        for name, value in self._given.items():
            default = parameters[name].default if name in parameters else None
            same = value is default or isinstance(value, (str, int)) and value == default
            if not same and name not in self._computed:
                out.append(f"{name}={_brief(value)}")
        return out


def _brief(value: Any) -> str:
    if isinstance(value, (np.ndarray, pd.Series, pd.DataFrame)):
        return f"array {np.shape(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class NoNames(list[str]):
    """No names: statsmodels takes an empty list for missing ones, and the names of regressors instead."""

    def __bool__(self) -> bool:
        return True
