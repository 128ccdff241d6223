"""
State-space models for statsmodels, estimated by EM and by exact maximum likelihood.

A public name is imported when it is first used, so that importing the package itself is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

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

_NAMES = {
    "datasets": "datasets",
    "engine.exact_score": "ExactScore ExactScoreMixin exact_score",
    "engine.filters": "FilterReport filter_report use_chandrasekhar use_fastest_filter",
    "exceptions": "ConvergenceWarning DataError EstimationError IdentificationWarning ParameterError "
    "SpecificationError StateSpaceError UnsupportedError",
    "inference.many": "fit_many",
    "inference.order": "OrderSelection select_order",
    "inference.profile": "Profile",
    "inference.records": "FitRecord",
    "inference.windows": "RollingFit rolling_fit",
    "lgssm.components": "components",
    "lgssm.marss": "from_marss",
    "lgssm.model": "LGSSM",
    "lgssm.results": "LGSSMResults",
    "params.affine": "Regimes",
    "regression.capm": "CAPM CAPMResults",
    "regression.dynamic_regression": "DynamicRegression",
    "regression.results": "DynamicRegressionResults",
    "term_structure.acm": "ACM",
    "term_structure.acm_results": "ACMResults",
    "term_structure.atsm": "ATSM",
    "term_structure.dynamics": "Pricing",
    "term_structure.normalisation": "Normalisation",
    "term_structure.results": "ATSMResults",
}
"""The public names of each module. Two of them are the module itself."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
"""The module that each public name comes from."""

__all__ = [*_HOMES, "__version__"]

if not TYPE_CHECKING:  # if mypy saw __getattr__, it would accept any name as an attribute of the package

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{_HOMES[name]}", __name__)
        globals()[name] = value = getattr(module, name, module)
        return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
