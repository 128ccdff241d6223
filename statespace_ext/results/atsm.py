"""Results of `ATSM`."""

from __future__ import annotations

from statsmodels.tsa.statespace.mlemodel import MLEResultsWrapper

from .base import StateSpaceResults, StateSpaceResultsWrapper


class ATSMResults(StateSpaceResults):
    """Results of fitting (or of filtering and smoothing) an `ATSM`."""


class ATSMResultsWrapper(StateSpaceResultsWrapper):
    """Wrapper that labels results, as statsmodels has it."""

    _attrs: dict[str, str] = {}
    _wrap_attrs = dict(MLEResultsWrapper._wrap_attrs)
    _wrap_methods = dict(MLEResultsWrapper._wrap_methods)
