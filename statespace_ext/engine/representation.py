"""The representation that results own, models left as they were, and copies of models without their data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from types import MethodType
from typing import Any, TypeVar

import numpy as np
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_filter import FilterResults
from statsmodels.tsa.statespace.mlemodel import MLEModel
from statsmodels.tsa.statespace.representation import Representation
from statsmodels.tsa.statespace.simulation_smoother import SimulationSmoother

from ..exceptions import DataError
from ..numerics.linear_algebra import Array
from .system import MATRICES, parts_of

T = TypeVar("T")

Mixin: Any = object
"""Base of the mixins. Type checkers take it for any class, as they take the statsmodels classes beside it."""

COMPILED = ("_representations", "_statespaces", "_kalman_filters", "_kalman_smoothers", "_simulators")
"""Attributes of a representation that hold compiled objects; each is made anew where it is absent."""


class OwnRepresentation(SimulationSmoother):
    """
    The representation of one result: the matrices, the start and the data of its pass, and no other.

    Notes
    -----
    The weights of the smoothed state (`get_smoothed_decomposition`, `news`) read compiled output: statsmodels
    supposes that the last pass was a smoother pass at the same matrices, and reads memory that does not exist
    where it was not. Here the compiled representation, which those functions read first, is that of such a
    pass.
    """

    @property
    def _statespace(self) -> object:
        """The compiled representation, after a smoother pass that keeps all output."""
        silent = {"update_representation": False, "update_filter": False, "update_smoother": False}
        self.smooth(conserve_memory=0, **silent)
        return self._statespaces[self.prefix]

    def __getstate__(self) -> dict[str, object]:
        """Leave the compiled objects behind: copies of them do not follow the matrices."""
        return {**self.__dict__, **{name: {} for name in COMPILED}}


def own_representation(results: FilterResults) -> OwnRepresentation:
    """
    Return a representation for the results of a filter or smoother pass alone.

    The data and the matrices are those that the results hold, not copies of them. Later changes of the model
    do not reach them.

    Parameters
    ----------
    results : FilterResults
        The results, with the representation that made them as ``model``.
    """
    ssm = results.model
    kept = {name: value for name, value in vars(ssm).items() if not isinstance(value, MethodType)}
    own = OwnRepresentation.__new__(OwnRepresentation)
    own.__dict__.update({**kept, **{name: {} for name in COMPILED}})
    own.shapes, own._time_invariant = dict(results.shapes), None
    for name in MATRICES:
        matrix = np.asfortranarray(getattr(results, name))  # the compiled representation takes no other order
        setattr(results, name, matrix)
        setattr(own, f"_{name}", matrix)
    if results.filter_concentrated:  # the results hold the covariances multiplied by the scale
        own._obs_cov, own._state_cov = own._obs_cov / results.scale, own._state_cov / results.scale
        own.filter_concentrated, own._scale = True, None
    own.initialization = _copied_initialization(ssm.initialization)
    return own


def _copied_initialization(initialization: Initialization) -> Initialization:
    """Return a copy of an initialisation, without its compiled part."""
    out = copy(initialization)
    for name in ("constant", "stationary_cov", "_initialization"):
        setattr(out, name, np.array(getattr(initialization, name)))
    vars(out).update(_representations={}, _initializations={})
    out.blocks = {place: _copied_initialization(each) for place, each in initialization.blocks.items()}
    return out


def forget_compiled(ssm: Representation) -> None:
    """Drop the compiled objects of a representation; once unpickled they no longer follow the matrices."""
    vars(ssm).update({name: {} for name in COMPILED})
    for start in parts_of(ssm.initialization):
        vars(start).update(_representations={}, _initializations={})


@contextmanager
def preserved(model: MLEModel, in_place: bool = True) -> Iterator[None]:
    """
    Put a model back as it was on leaving: matrices, start, flags, and its other attributes.

    Parameters
    ----------
    model : MLEModel
        The model. One that has a lock is locked meanwhile.
    in_place : bool
        Whether its ``update`` may write into arrays. If not, references to them suffice, and the attributes
        of the model stand as they are.
    """
    ssm = model.ssm
    with getattr(model, "_lock", nullcontext()):
        attributes, flags, shapes = dict(vars(model)), dict(vars(ssm)), dict(ssm.shapes)
        arrays = _arrays(model) if in_place else []
        try:
            yield
        finally:
            if in_place:
                _restore(model, attributes)
            _restore(ssm, flags)
            ssm.shapes = shapes
            for owner, name, array, value in arrays:
                if array.flags.writeable:
                    array[...] = value
                setattr(owner, name, array)


def _restore(owner: object, attributes: dict[str, object]) -> None:
    """Set the attributes of an object to what they were."""
    vars(owner).update(attributes)
    for name in vars(owner).keys() - attributes.keys():
        delattr(owner, name)


def _arrays(model: MLEModel) -> list[tuple[object, str, Array, Array]]:
    """Return the arrays of a model that ``update`` may write into, with copies of them."""
    owners = [(model, name) for name, value in vars(model).items() if isinstance(value, np.ndarray)]
    owners += [(model.ssm, f"_{name}") for name in MATRICES]
    for start in parts_of(model.ssm.initialization):
        owners += [(start, "constant"), (start, "stationary_cov")]
    kept = [(owner, name, getattr(owner, name)) for owner, name in owners if name not in ("endog", "exog")]
    return [(owner, name, value, np.array(value, order="K")) for owner, name, value in kept]


_DATA = ("endog", "exog", "orig_endog", "orig_exog")


class RemovedDataError(DataError, AttributeError):
    """An attribute went with the data (an `AttributeError`, so that `hasattr` answers)."""


class Removable(Mixin):
    """Names the cause where an attribute is missing since the data were removed; mixed in."""

    _removed: bool = False

    def __getattr__(self, name: str) -> Any:
        if vars(self).get("_removed") and not name.startswith("__"):
            raise RemovedDataError(
                f"{name} needs data that `remove_data` removed",
                remedy="Build the model again with its data, and call its `smooth` at `params`.",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def without(owner: T, names: tuple[str, ...]) -> T:
    """Return a shallow copy of an object without some attributes."""
    out = object.__new__(type(owner))
    out.__dict__.update({key: value for key, value in vars(owner).items() if key not in names})
    return out


def without_data(model: MLEModel) -> MLEModel:
    """Return a copy of a model without its data and its representation; the model keeps them."""
    out = without(model, (*_DATA, "state_exog", "ssm"))
    out.data, out._removed = without(model.data, ()), True
    vars(out.data).update({name: None for name in _DATA if name in vars(model.data)})
    return out
