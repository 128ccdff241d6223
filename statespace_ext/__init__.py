"""
State-space models for statsmodels, estimated by EM and by exact maximum likelihood.

A public name is imported when it is first used, so that importing the package itself is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from . import datasets as datasets
    from .engine.exact_score import (
        ExactScore as ExactScore,
        ExactScoreMixin as ExactScoreMixin,
        exact_score as exact_score,
    )
    from .engine.filters import (
        FilterReport as FilterReport,
        filter_report as filter_report,
        use_chandrasekhar as use_chandrasekhar,
        use_fastest_filter as use_fastest_filter,
    )
    from .exceptions import (
        ConvergenceWarning as ConvergenceWarning,
        DataError as DataError,
        EstimationError as EstimationError,
        IdentificationWarning as IdentificationWarning,
        ParameterError as ParameterError,
        SpecificationError as SpecificationError,
        StateSpaceError as StateSpaceError,
        UnsupportedError as UnsupportedError,
    )
    from .inference.many import fit_many as fit_many
    from .inference.order import OrderSelection as OrderSelection, select_order as select_order
    from .inference.profile import Profile as Profile
    from .inference.records import FitRecord as FitRecord
    from .inference.windows import RollingFit as RollingFit, rolling_fit as rolling_fit
    from .lgssm import components as components
    from .lgssm.marss import from_marss as from_marss
    from .lgssm.model import LGSSM as LGSSM
    from .lgssm.results import LGSSMResults as LGSSMResults
    from .params.affine import Regimes as Regimes
    from .regression.capm import CAPM as CAPM, CAPMResults as CAPMResults
    from .regression.dynamic_regression import DynamicRegression as DynamicRegression
    from .regression.results import DynamicRegressionResults as DynamicRegressionResults
    from .term_structure.acm import ACM as ACM
    from .term_structure.acm_results import ACMResults as ACMResults
    from .term_structure.atsm import ATSM as ATSM
    from .term_structure.dynamics import Pricing as Pricing
    from .term_structure.normalisation import Normalisation as Normalisation
    from .term_structure.results import ATSMResults as ATSMResults

_HOMES = {
    "ACM": "term_structure.acm",
    "ACMResults": "term_structure.acm_results",
    "ATSM": "term_structure.atsm",
    "ATSMResults": "term_structure.results",
    "CAPM": "regression.capm",
    "CAPMResults": "regression.capm",
    "ConvergenceWarning": "exceptions",
    "DataError": "exceptions",
    "DynamicRegression": "regression.dynamic_regression",
    "DynamicRegressionResults": "regression.results",
    "EstimationError": "exceptions",
    "ExactScore": "engine.exact_score",
    "ExactScoreMixin": "engine.exact_score",
    "FilterReport": "engine.filters",
    "FitRecord": "inference.records",
    "IdentificationWarning": "exceptions",
    "LGSSM": "lgssm.model",
    "LGSSMResults": "lgssm.results",
    "Normalisation": "term_structure.normalisation",
    "OrderSelection": "inference.order",
    "ParameterError": "exceptions",
    "Pricing": "term_structure.dynamics",
    "Profile": "inference.profile",
    "Regimes": "params.affine",
    "RollingFit": "inference.windows",
    "SpecificationError": "exceptions",
    "StateSpaceError": "exceptions",
    "UnsupportedError": "exceptions",
    "components": "lgssm",
    "datasets": "datasets",
    "exact_score": "engine.exact_score",
    "filter_report": "engine.filters",
    "fit_many": "inference.many",
    "from_marss": "lgssm.marss",
    "rolling_fit": "inference.windows",
    "select_order": "inference.order",
    "use_chandrasekhar": "engine.filters",
    "use_fastest_filter": "engine.filters",
}
"""The module that each public name comes from."""
_MODULES = ("components", "datasets")
"""The public names that are modules."""

__all__ = [*_HOMES, "__version__"]

if not TYPE_CHECKING:  # if mypy saw __getattr__, it would accept any name as an attribute of the package

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = f".{_HOMES[name]}"
        if name in _MODULES:
            value = import_module(home if home == f".{name}" else f"{home}.{name}", __name__)
        else:
            value = getattr(import_module(home, __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
