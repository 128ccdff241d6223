"""
Data to try the models on: loaders around what pip brings, and simulators with known parameters.

A loader whose data come with another package says which, and how to install it:
``pip install "statespace-ext[datasets]"`` has them all.
"""

from .loaders import (
    INDUSTRIES,
    Industries,
    YieldPanel,
    load_industries,
    load_macro,
    load_yields,
)
from .simulators import (
    Simulated,
    simulate_atsm,
    simulate_capm,
    simulate_dynamic_regression,
    simulate_lgssm,
)

__all__ = [
    "INDUSTRIES",
    "Industries",
    "Simulated",
    "YieldPanel",
    "load_industries",
    "load_macro",
    "load_yields",
    "simulate_atsm",
    "simulate_capm",
    "simulate_dynamic_regression",
    "simulate_lgssm",
]
