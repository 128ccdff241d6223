"""Quantities derived from the parameters, with their standard errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import SpecificationError
from ..inference.delta import delta_method
from ..numerics.linear_algebra import Array
from .tidy import with_tests


class Derived:
    """The delta method; mixed into the results."""

    model: Any
    params: Any
    params_cov: Any
    _fixed: Any

    def delta_method(self, function: Callable[[pd.Series], Any], alpha: float = 0.05) -> pd.DataFrame:
        r"""
        Return functions of the parameters with standard errors by the delta method.

        .. math::

            \mathrm{Var}[g(\hat\theta)] \approx \frac{\partial g}{\partial\theta'}\,
            \mathrm{Var}[\hat\theta]\,\frac{\partial g'}{\partial\theta}

        Derivatives are central differences. Fixed parameters are known.

        Parameters
        ----------
        function : callable
            From all parameters, a Series with their names, to a number, a sequence of numbers, an array or a
            Series. ``model.matrices(params)`` has the matrices.
        alpha : float, default 0.05
            One minus the coverage of the intervals.

        Returns
        -------
        DataFrame
            Columns "estimate", "std_error", "statistic", "p_value" (of zero), "conf_low" and "conf_high";
            a row for each value, indexed as a Series that the function returns. No standard error (NaN)
            where the value depends on a parameter that has none, or on no free parameter.

        Raises
        ------
        SpecificationError
            If the function does not return finite numbers at the estimates, or is none.
        """
        if not callable(function):
            raise SpecificationError("function cannot be called", got=repr(function), expected="a function")
        names = list(self.model.param_names)
        params = np.asarray(self.params, dtype=float)
        free = np.array([i for i, name in enumerate(names) if name not in self._fixed], dtype=np.intp)

        def value(full: Array) -> Any:
            return function(pd.Series(full, index=names))

        def at(values: Array) -> Array:
            full = params.copy()
            full[free] = values
            return np.ravel(np.asarray(value(full), dtype=float))

        first = value(params)
        try:
            finite = bool(np.isfinite(np.asarray(first, dtype=float)).all())
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise SpecificationError(
                "The function does not return finite numbers at the estimates",
                got=repr(first)[:200],
                expected="a number, or an array or Series of numbers",
            )
        cov = np.asarray(self.params_cov.cov)[np.ix_(free, free)]
        steps = self.model.difference_steps(params)[free]
        estimate, se = delta_method(at, params[free], cov, steps)
        index = first.index if isinstance(first, pd.Series) else pd.RangeIndex(len(estimate))
        return with_tests(pd.DataFrame({"estimate": estimate, "std_error": se}, index=index), alpha)
