"""State-space models for statsmodels: EM and maximum likelihood, exact."""

from . import datasets
from ._version import __version__
from .exceptions import (
    ConvergenceWarning,
    DataError,
    EstimationError,
    IdentificationWarning,
    ParameterError,
    SpecificationError,
    StateSpaceError,
    UnsupportedError,
)
from .inference.many import FitRecord, fit_many
from .models.capm import CAPM
from .models.dynamic_regression import DynamicRegression
from .models.lgssm import LGSSM
from .models.term_structure.atsm import ATSM
from .results.atsm import ATSMResults
from .results.capm import CAPMResults
from .results.dynamic_regression import DynamicRegressionResults
from .results.lgssm import LGSSMResults
from .statespace.exact_score import ExactScore, ExactScoreMixin, exact_score
from .statespace.filters import FilterReport, filter_report, use_chandrasekhar, use_fastest_filter

__all__ = [
    "ATSM",
    "CAPM",
    "LGSSM",
    "ATSMResults",
    "CAPMResults",
    "ConvergenceWarning",
    "DataError",
    "DynamicRegression",
    "DynamicRegressionResults",
    "EstimationError",
    "ExactScore",
    "ExactScoreMixin",
    "FilterReport",
    "FitRecord",
    "IdentificationWarning",
    "LGSSMResults",
    "ParameterError",
    "SpecificationError",
    "StateSpaceError",
    "UnsupportedError",
    "__version__",
    "datasets",
    "exact_score",
    "filter_report",
    "use_chandrasekhar",
    "use_fastest_filter",
    "fit_many",
]
