"""Inference that results reach by a method: functions of parameters, bootstrap, profile, windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..engine.arguments import arguments_of
from ..exceptions import SpecificationError, UnsupportedError, shown
from ..inference.bootstrap import Bootstrap, bootstrap
from ..inference.information import delta_method
from ..inference.profile import Profile, profile
from ..inference.windows import RollingFit, rolling_fit
from ..numerics.differences import jacobian, nan_outside
from ..numerics.linear_algebra import Array
from .reporting import with_tests


class Derived:
    """The delta method and tests of linear restrictions; mixed into the results."""

    model: Any
    params: Any
    params_cov: Any
    _fixed: Any
    _as_it_was: Any

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
        params, free = np.asarray(self.params, dtype=float), self._free_places

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

    @property
    def _free_places(self) -> Array:
        """Places of the parameters that are not fixed."""
        names = self.model.param_names
        return np.array([i for i, name in enumerate(names) if name not in self._fixed], dtype=np.intp)

    def param_slopes(self, function: Callable[[Array], Array]) -> tuple[Array, Array, Array]:
        """
        Return the derivatives (..., q) of a function of all parameters by the q free ones.

        Beside them, the covariance (q, q) of the free parameters, and the moves (q,) of the differences. A
        derivative is NaN where the function exists on neither side.

        Parameters
        ----------
        function : callable
            From a full parameter vector to an array.
        """
        params, free = np.asarray(self.params, dtype=float), self._free_places
        with self._as_it_was():
            steps = np.maximum(self.model.difference_steps(params), self._least_moves(params))
        inside = nan_outside(function, np.shape(function(params)))
        slopes = jacobian(inside, params, steps, places=free, one_sided=True)
        cov = np.asarray(self.params_cov.cov)[np.ix_(free, free)]
        return slopes, cov, steps[free]

    def _least_moves(self, params: Array) -> Array:
        """Return a visible share of what a variance can be, for variances at zero; zero for others."""
        out, sizes = np.zeros(len(params)), self.model.variance_sizes(params)
        lost = ~np.isfinite(np.diag(self.params_cov.cov))
        for key, size in sizes.items():
            block = self.model.layout.blocks.get(key)
            if block is not None and len(block.names):
                places = self.model.layout.positions(block.names)
                scale = np.sqrt(size[block.rows] * size[block.columns])
                np.maximum.at(out, places, 1e-6 * scale)
        return np.where(lost, out, 0.0)

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

        A function of parameters that have standard errors has one, whatever the other parameters have.
        Fixed parameters are known. It is NaN where a function depends on a parameter without standard error,
        or on no free parameter.

        Parameters
        ----------
        r_matrix, column, scale, cov_p, other : optional
            As in `LikelihoodModelResults.cov_params`.
        """
        with arguments_of("cov_params"):
            if r_matrix is None or cov_p is not None or column is not None:
                return super().cov_params(r_matrix, column, scale, cov_p, other)  # type: ignore[misc]
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

    def t_test(self, r_matrix: object, *args: Any, **kwargs: Any) -> Any:
        """
        Test linear restrictions one by one; see `LikelihoodModelResults.t_test`.

        Parameters
        ----------
        r_matrix : array_like, str or tuple
            The restrictions: names as in ``"a = b"``, a matrix R, or (R, q).
        *args, **kwargs
            As there.

        Returns
        -------
        ContrastResults
            NaN where `cov_params` of a restriction is.
        """
        with arguments_of("t_test"):
            return super().t_test(r_matrix, *args, **kwargs)  # type: ignore[misc]

    def wald_test(
        self, r_matrix: object, cov_p: object = None, invcov: object = None, *args: Any, **kwargs: Any
    ) -> Any:
        """
        Test linear restrictions jointly; see `LikelihoodModelResults.wald_test`.

        Parameters
        ----------
        r_matrix : array_like, str or tuple
            The restrictions, as in `t_test`.
        cov_p, invcov, *args, **kwargs
            As there.

        Raises
        ------
        UnsupportedError
            If a restriction depends on a parameter that has no standard error.
        SpecificationError
            If the restrictions are none.
        """
        if cov_p is None and invcov is None and np.isnan(self.t_test(r_matrix).sd).any():
            names = np.array(self.model.param_names)[~np.isfinite(np.diag(self.params_cov.cov))]
            raise UnsupportedError(
                "A restriction depends on a parameter that has no standard error",
                got=f"no standard error of {shown(names)}",
                remedy="Test other parameters, or pass cov_p; `summary` says why there is none.",
            )
        with arguments_of("wald_test"):
            return super().wald_test(r_matrix, cov_p, invcov, *args, **kwargs)  # type: ignore[misc]

    def f_test(self, r_matrix: object, *args: Any, **kwargs: Any) -> Any:
        """Test linear restrictions jointly by an F distribution; see `wald_test`."""
        with arguments_of("f_test"):
            return super().f_test(r_matrix, *args, **kwargs)  # type: ignore[misc]

    def wald_test_terms(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: statsmodels would take the columns of ``exog`` for the first parameters."""
        raise UnsupportedError(
            "The parameters are not those of the terms of a formula", remedy="Name parameters in `wald_test`."
        )

    def t_test_pairwise(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as `wald_test_terms`."""
        return self.wald_test_terms()


class Refitting:
    """Bootstrap, profile likelihood, windows; mixed into the results."""

    def bootstrap(
        self, n_boot: int = 199, method: str = "parametric", rng: object = None, n_jobs: int | None = None
    ) -> Bootstrap:
        """
        Estimate the model again on samples drawn at the estimates; see `inference.bootstrap.bootstrap`.

        Parameters
        ----------
        n_boot : int
            Number of samples.
        method : {"parametric", "innovations"}
            Normal samples, or forecast errors drawn with replacement (Stoffer & Wall 1991).
        rng : numpy.random.Generator or int, optional
            Source of the samples.
        n_jobs : int, optional
            Number of processes; None: what `joblib.parallel_config` says.

        Returns
        -------
        Bootstrap
        """
        return bootstrap(self, n_boot, method, rng, n_jobs)

    def profile(
        self,
        param: str,
        grid: object = None,
        level: float = 0.95,
        n_jobs: int | None = None,
    ) -> Profile:
        r"""
        Return the profile likelihood of a parameter, and the interval that it gives.

        .. math::

            \ell_p(v) = \max_{\theta:\,\theta_j = v} \ell(\theta), \qquad
            \{v : 2(\hat\ell - \ell_p(v)) \le \chi^2_{1,\mathrm{level}}\}

        Parameters
        ----------
        param : str
            Name of a free parameter.
        grid : array_like, optional
            Values of the table, beside the estimate and the ends; by default four more on each side.
        level : float
            Coverage of the interval.
        n_jobs : int, optional
            Number of processes, for the two sides; None: what `joblib.parallel_config` says.

        Returns
        -------
        Profile
            The interval (one-sided, with a flag, at a limit such as a variance of zero), the table, `plot`.
        """
        return profile(self, param, grid, level, n_jobs)

    def rolling(
        self,
        window: int,
        step: int = 1,
        *,
        expanding: bool = False,
        fit_options: Mapping[str, Any] | None = None,
        rng: object = None,
        n_jobs: int | None = None,
        checkpoint: str | Path | None = None,
    ) -> RollingFit:
        """
        Estimate the model again on windows of the sample, each from the estimates; see `rolling_fit`.

        Parameters
        ----------
        window : int
            Periods of the first window.
        step : int
            Periods from one window to the next.
        expanding : bool
            Whether every window begins with the sample.
        fit_options : mapping, optional
            Arguments of `fit`.
        rng, n_jobs, checkpoint : optional
            As in `fit_many`.

        Returns
        -------
        RollingFit
            Estimates and standard errors by the last period of each window, forecasts of the period after
            it, `plot`.
        """
        return rolling_fit(
            self, window, step, expanding=expanding, fit_options=fit_options,
            rng=rng, n_jobs=n_jobs, checkpoint=checkpoint,
        )  # fmt: skip
