"""What is left of a model and of results once their data are removed: named errors for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import DataError

_DATA = ("endog", "exog", "orig_endog", "orig_exog")


class RemovedDataError(DataError, AttributeError):
    """An attribute went with the data (an `AttributeError`, so that `hasattr` answers)."""


class Removable:
    """Names the cause where an attribute is missing since the data were removed; mixed in."""

    _removed: bool = False

    if not TYPE_CHECKING:  # with a __getattr__ in sight, mypy would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            if vars(self).get("_removed") and not name.startswith("__"):
                raise RemovedDataError(
                    f"{name} needs data that `remove_data` removed",
                    remedy="Build the model again with its data, and call its `smooth` at `params`.",
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def without(owner: Any, names: tuple[str, ...]) -> Any:
    """Return a shallow copy of an object without some attributes."""
    out = object.__new__(type(owner))
    out.__dict__.update({key: value for key, value in vars(owner).items() if key not in names})
    return out


def without_data(model: Any) -> Any:
    """Return a copy of a model without its data and its representation; the model keeps them."""
    out = without(model, (*_DATA, "state_exog", "ssm"))
    out.data, out._removed = without(model.data, ()), True
    vars(out.data).update({name: None for name in _DATA if name in vars(model.data)})
    return out
