"""
Example data: loaders of data sets from other packages, and simulators with known parameters.

If a loader needs a package that is not installed, its error message names the package.
``pip install "statespace-ext[datasets]"`` installs all of these packages.
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
