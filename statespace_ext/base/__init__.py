"""
The base classes of all models and results. To add a model, derive a class from `StateSpaceModel`.

docs/add_a_model.md shows a complete model.
"""

from .model import StateSpaceModel
from .results import StateSpaceResults, StateSpaceResultsWrapper

__all__ = ["StateSpaceModel", "StateSpaceResults", "StateSpaceResultsWrapper"]
