"""
The model and the results that every family builds on: extend `StateSpaceModel` for a model of your own.

docs/add_a_model.md shows a complete model.
"""

from .model import StateSpaceModel
from .results import StateSpaceResults, StateSpaceResultsWrapper

__all__ = ["StateSpaceModel", "StateSpaceResults", "StateSpaceResultsWrapper"]
