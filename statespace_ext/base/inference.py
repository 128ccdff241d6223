"""Inference methods of the results: functions of parameters, bootstrap, profile likelihood, windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..engine.arguments import arguments_of
from ..engine.representation import Mixin
from ..exceptions import SpecificationError, UnsupportedError, shown
from ..inference.bootstrap import bootstrap as bootstrap_of
from ..inference.information import delta_errors
from ..inference.profile import profile as profile_of
from ..inference.windows import rolling_fit
from ..numerics.differences import jacobian, nan_outside
from ..numerics.linear_algebra import Array
from .reporting import with_tests


class Derived(Mixin):
    """Mixin of the results with the inference methods."""

    bootstrap = bootstrap_of
    profile = profile_of
    rolling = rolling_fit

    def delta_method(self, function: Callable[[pd.Series], object], alpha: float = 0.05) -> pd.DataFrame:
        r"""
        Compute functions of the parameters with standard errors by the delta method.

        .. math::

            \mathrm{Var}[g(\hat\theta)] \approx \frac{\partial g}{\partial\theta'}\,
            \mathrm{Var}[\hat\theta]\,\frac{\partial g'}{\partial\theta}

        Derivatives are central differences. Fixed parameters are treated as known.

        Parameters
        ----------
        function : callable
            Function of a Series with all parameters. It returns a number, a sequence of numbers, an array or
            a Series. ``model.matrices(params)`` returns the matrices.
        alpha : float, default 0.05
            The intervals have coverage 1 - alpha.

        Returns
        -------
        DataFrame
            One row for each value, with the columns "estimate", "std_error", "statistic", "p_value" (of the
            hypothesis that it is zero), "conf_low" and "conf_high". If the function returns a Series, its
            index labels the rows. The standard error is NaN where the value depends on a parameter without a
            standard error, or on no free parameter.

        Raises
        ------
        SpecificationError
            If ``function`` is not callable, or does not return finite numbers at the estimates.
        """
        if not callable(function):
            raise SpecificationError("function must be callable", got=repr(function), expected="a function")
        names = list(self.model.param_names)

        def _value(full: Array) -> Any:
            return function(pd.Series(full, index=names, copy=True))

        first = _value(np.asarray(self.params, dtype=float))
        try:
            finite = bool(np.isfinite(np.asarray(first, dtype=float)).all())
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise SpecificationError(
                "The function must return finite numbers at the estimates",
                got=repr(first)[:200],
                expected="a number, or an array or Series of numbers",
            )
        estimate, se = self._with_errors(lambda full: np.ravel(np.asarray(_value(full), dtype=float)))
        index = first.index if isinstance(first, pd.Series) else pd.RangeIndex(len(estimate))
        return with_tests(pd.DataFrame({"estimate": estimate, "std_error": se}, index=index), alpha)

    def _with_errors(self, function: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return a function of a full parameter vector and its standard errors by the delta method."""
        params, free = np.asarray(self.params, dtype=float), self._free_places
        slopes = jacobian(function, params, self._difference_steps, places=free)
        return function(params), delta_errors(slopes, np.asarray(self.params_cov.cov)[np.ix_(free, free)])

    @property
    def _difference_steps(self) -> Array:
        """The steps of numerical differences by the parameters, which are computed once."""
        if "difference_steps" not in self._cache:
            with self._as_it_was():
                self._cache["difference_steps"] = self.model.difference_steps(np.asarray(self.params))
        return self._cache["difference_steps"]

    @property
    def _free_places(self) -> Array:
        """The positions of the parameters that are not fixed."""
        names = self.model.param_names
        return np.array([i for i, name in enumerate(names) if name not in self._fixed], dtype=np.intp)

    def param_slopes(self, function: Callable[[Array], Array]) -> tuple[Array, Array, Array]:
        """
        Return the derivatives (..., q) of a function with respect to the q free parameters.

        Also return the covariance (q, q) of the free parameters and the step sizes (q,) of the differences.
        A derivative is NaN if the function exists on neither side.

        Parameters
        ----------
        function : callable
            Function of a full parameter vector that returns an array.
        """
        params, free = np.asarray(self.params, dtype=float), self._free_places
        steps = np.maximum(self._difference_steps, self._least_moves(params))
        inside = nan_outside(function, np.shape(function(params)))
        slopes = jacobian(inside, params, steps, places=free, one_sided=True)
        cov = np.asarray(self.params_cov.cov)[np.ix_(free, free)]
        return slopes, cov, steps[free]

    def _least_moves(self, params: Array) -> Array:
        """Return the smallest steps for variances at zero, relative to their scale; zero for others."""
        layout, out = self.model.layout, np.zeros(len(params))
        for key, size in self.model.variance_sizes(params).items():
            if key in layout.blocks:
                block = layout.blocks[key]
                np.maximum.at(out, layout.index[key], 1e-6 * np.sqrt(size[block.rows] * size[block.columns]))
        return np.where(np.isfinite(np.diag(self.params_cov.cov)), 0.0, out)

    # -- linear restrictions ---------------------------------------------------------------------------

    def cov_params(
        self,
        r_matrix: object = None,
        column: object = None,
        scale: float | None = None,
        cov_p: object = None,
        other: object = None,
    ) -> Any:
        """
        Return the covariance of the estimates, or of linear functions of them.

        A function of parameters with standard errors has a standard error, even if other parameters have
        none. Fixed parameters are treated as known. The covariance is NaN where a function depends on a
        parameter without a standard error, or on no free parameter.

        Parameters
        ----------
        r_matrix, column, scale, cov_p, other : optional
            As in `LikelihoodModelResults.cov_params`.

        Raises
        ------
        UnsupportedError
            If there are too many parameters to compute the covariance.
        """
        self._require_few()
        with arguments_of("cov_params"):
            if r_matrix is None or cov_p is not None or column is not None:
                return super().cov_params(r_matrix, column, scale, cov_p, other)
            left = np.asarray(r_matrix, dtype=float)
            right = left if other is None else np.asarray(other, dtype=float)
            cov = np.array(self.params_cov.cov)
            known = np.isfinite(np.diag(cov))
            held = np.isin(self.model.param_names, list(self._fixed))
            used = np.where(np.outer(known, known), cov, 0.0)
            out = np.asarray(left @ used @ right.T)
            uses = [each != 0 for each in (left, right)]
            none = [(use @ (~known & ~held) > 0) | (use @ ~held == 0) for use in uses]
            return np.where(np.logical_or.outer(*none), np.nan, out)

    def t_test(self, r_matrix: object, *args: object, **kwargs: object) -> Any:
        """
        Test linear restrictions one by one; see `LikelihoodModelResults.t_test`.

        Parameters
        ----------
        r_matrix : array_like, str or tuple
            The restrictions: a string such as ``"a = b"``, a matrix R, or a tuple (R, q).
        *args, **kwargs
            As in `LikelihoodModelResults.t_test`.

        Returns
        -------
        ContrastResults
            The tests. Values are NaN where `cov_params` of a restriction is NaN.
        """
        with arguments_of("t_test"):
            return super().t_test(r_matrix, *args, **kwargs)

    def wald_test(
        self, r_matrix: object, cov_p: object = None, invcov: object = None, *args: object, **kwargs: object
    ) -> Any:
        """
        Test linear restrictions jointly; see `LikelihoodModelResults.wald_test`.

        Parameters
        ----------
        r_matrix : array_like, str or tuple
            The restrictions, as in `t_test`.
        cov_p, invcov, *args, **kwargs
            As in `LikelihoodModelResults.wald_test`.

        Raises
        ------
        UnsupportedError
            If a restriction depends on a parameter without a standard error.
        SpecificationError
            If the restrictions are invalid.
        """
        if cov_p is None and invcov is None and np.isnan(self.t_test(r_matrix).sd).any():
            names = np.array(self.model.param_names)[~np.isfinite(np.diag(self.params_cov.cov))]
            raise UnsupportedError(
                "A restriction depends on a parameter that has no standard error",
                got=f"no standard error of {shown(names)}",
                remedy="Test other parameters, or pass cov_p; `summary` gives the reason.",
            )
        with arguments_of("wald_test"):
            return super().wald_test(r_matrix, cov_p, invcov, *args, **kwargs)

    def f_test(self, r_matrix: object, *args: object, **kwargs: object) -> Any:
        """Test linear restrictions jointly by an F distribution; see `wald_test`."""
        with arguments_of("f_test"):
            return super().f_test(r_matrix, *args, **kwargs)

    def wald_test_terms(self, *args: object, **kwargs: object) -> Any:
        """Raise an error: statsmodels would assume that the first parameters belong to ``exog``."""
        raise UnsupportedError(
            "The parameters are not terms of a formula, so `wald_test_terms` cannot group them",
            remedy="Name parameters in `wald_test`.",
        )

    def t_test_pairwise(self, *args: object, **kwargs: object) -> Any:
        """Raise an error, for the same reason as `wald_test_terms`."""
        return self.wald_test_terms()
