"""Results of `ATSM`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..base.results import StateSpaceResults
from ..base.states import Factors, estimates_of, factors_of
from ..engine.arguments import positive_integer
from ..engine.validation import read_dates
from ..exceptions import DataError, SpecificationError, UnsupportedError, shown
from ..inference.many import model_of
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import Array
from ..numerics.ornstein_uhlenbeck import drift_of
from . import evaluation, tables
from .declaration import spelled
from .dynamics import BiasCorrection, bias_corrected
from .panel import years_after
from .plots import Pictures
from .tables import Sensitivity

if TYPE_CHECKING:
    from .atsm import ATSM


def _require_free_dynamics(results: ATSMResults) -> None:
    """Raise if the results are already corrected for bias, or the P-dynamics are restricted."""
    model = results.model
    if results._correction is not None:
        raise SpecificationError(
            "These estimates are already corrected for bias", remedy="Use them as they are."
        )
    model.panel.require_regular("A bias correction needs steps of equal length")
    blocks, n = model.layout.blocks, model.k_states
    names = [name for key in ("K_P", "kappa_P") if key in blocks for name in blocks[key].param_names]
    free, fixed = len(names) == n * (n + 1), list(filter(results._fixed.__contains__, names))
    if not free or fixed:
        raise UnsupportedError(
            "A bias correction needs free P-dynamics: it moves all elements of K_P",
            got=f"fixed: {shown(fixed)}" if free else "restricted P-dynamics or prices of risk",
            expected='p_dynamics="unrestricted" and no restriction of the prices of risk',
        )


class EstimatedFactors(Pictures, StateSpaceResults):
    """Part of `ATSMResults` with the factors, their derivatives by the parameters, and new data."""

    @property
    def factors(self) -> Factors:
        """Smoothed and filtered factors."""
        return factors_of(self, self.model.factor_names, self.model.calendar.labels)

    def _paths(self, information_set: str) -> tuple[Array, Array]:
        """Return means (n, k) and covariances (n, k, k) of the factors."""
        if information_set == "smoothed":
            return self.factors.smoothed.to_numpy(), np.moveaxis(self.smoothed_state_cov, 2, 0)
        self._last()  # raises if the fit kept no factors
        names = self.model.factor_names
        found = estimates_of(self, np.eye(len(names)), self.model.calendar.labels, names)
        return found.filtered.to_numpy(), np.moveaxis(self.filtered_state_cov, 2, 0)

    def _sensitivity(self, information_set: str) -> Sensitivity:
        """Return the derivatives of the factors by the parameters, which are computed once."""
        model, params = model_of(self), np.asarray(self.params, dtype=float)
        places = np.setdiff1d(self._free_places, model.layout.positions(self.boundary))
        cov = np.asarray(self.params_cov.cov)[np.ix_(places, places)]
        key = f"{information_set}_by_params"
        steps = self._difference_steps

        def _path(trial: Array) -> Array:
            if information_set == "smoothed":
                system = model.initialized_system(trial)
                return np.array(model.private_smoother.smooth(system, lag_cov=False).mean.T)
            with model.preserved():
                found = model.filter(trial, includes_fixed=True, cov_type="none")
            return np.array(found.filtered_state.T)

        if key not in self._cache:
            none = not np.isfinite(cov).any()
            shape = (self.model.nobs, self.model.k_states, len(places))
            self._cache[key] = (
                np.full(shape, np.nan) if none else jacobian(_path, params, steps, places=places)
            )
        return Sensitivity(params, places, steps, cov, self._cache[key])

    def _last(self) -> tuple[Array, Array]:
        """Return the mean and covariance of the factors at the last date."""
        if self.filtered_state is None:
            raise SpecificationError(
                "The factors were not computed",
                got="a fit with low_memory=True",
                remedy="Call `model.smooth(res.params)`.",
            )
        return self.filtered_state[:, -1], self.filtered_state_cov[:, :, -1]

    def _error_variances(self) -> Array:
        """Return the variances of the measurement errors."""
        return np.diag(self.model.layout.matrices(np.asarray(self.params, dtype=float))["obs_cov"])

    _correction: BiasCorrection | None = None

    def _apply(self, mod: Any, refit: bool = False, fit_kwargs: Any = None) -> Any:
        """Return results of other data at the same parameters, or with parameters estimated again."""
        out = super()._apply(mod, refit=refit, fit_kwargs=fit_kwargs)
        if not refit:
            getattr(out, "_results", out)._correction = self._correction
        return out

    def _at(self, params: Array, description: str) -> Any:
        """Return results of the same data at other parameters, with the covariance of these estimates."""
        known: dict[str, Any] = {"cov_type": "none"}
        if self.cov_type != "none":
            custom = (self.cov_type, np.asarray(self.params_cov.cov), description)
            names = ("custom_cov_type", "custom_cov_params", "custom_description")
            known = {"cov_type": "custom", "cov_kwds": dict(zip(names, custom, strict=True))}
        with self._as_it_was(), self.model.fix_params(self._fixed):
            return self.model.smooth(params, includes_fixed=True, **known)

    def _require_prices(self, what: str) -> None:
        if not self.model.norm.arbitrage_free:
            raise SpecificationError(
                f"The model has no {what}, because it has no prices of risk",
                got=spelled(self.model._given["identification"]),
                remedy='Use identification="afns", or definition="expected".',
            )

    # -- new data: prediction with dates that statsmodels does not support ----------------------------------

    @property
    def _own_dates(self) -> bool:
        """Whether the sample has dates without a frequency."""
        return bool(self.model.calendar.dated and self.model.calendar.clock is None)

    def _continuation(self, endog: Any, exog: Any) -> pd.Index | None:
        """Return the labels of new periods; irregular steps need dates."""
        index = getattr(endog, "index", None)
        if self._own_dates and not isinstance(read_dates(index), (pd.DatetimeIndex, pd.PeriodIndex)):
            raise DataError(
                "The new endog has no dates",
                got=type(endog if index is None else index).__name__,
                expected=f"dates after {self.model.calendar.labels[-1]}",
            )
        return super()._continuation(endog, exog)

    def extend(self, endog: Any, exog: Any = None, fit_kwargs: Any = None, **kwargs: Any) -> Any:
        """
        Filter data that follow the sample; see `MLEResults.extend`.

        For irregular dates the filter starts from the exact distribution of the factors at the first new
        date.
        """
        if self.model.initialization_kind == "conditional":  # on a date, but the new start is known
            kwargs.setdefault("initialization", "stationary")
        told = not isinstance(self.model._given["dt"], str)
        if not self.model.panel.steps.ndim and (told or not self._own_dates):
            return super().extend(endog, exog, fit_kwargs=fit_kwargs, **kwargs)
        if not self._own_dates:
            raise UnsupportedError(
                "The time from the sample to the new data is not known",
                got="steps of different lengths without dates",
                remedy="Use `append` with dt= of all steps.",
            )
        index: Any = self._continuation(endog, exog)
        gap = years_after(self.model, index[:1])
        if self.model.panel.steps.ndim and len(index) == 1:
            kwargs.setdefault("dt", float(gap[0]))
        model = self.model.clone(endog, **kwargs)
        mean, cov = self.model.curves(np.asarray(self.params)).states_ahead(*self._last(), gap)
        return self._extended(model, mean[0], cov[0], fit_kwargs)

    def get_prediction(self, start: Any = None, end: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return predictions; see `MLEResults.get_prediction`. Irregular dates allow only in-sample ones."""
        beyond = isinstance(end, (int, np.integer)) and end >= self.model.nobs
        self._check_inside(int(end) - self.model.nobs + 1 if beyond else 0)
        return super().get_prediction(start, end, *args, **kwargs)

    def simulate(self, nsimulations: int, *args: Any, **kwargs: Any) -> Any:
        """Simulate yields; see `MLEResults.simulate`. Irregular dates allow only the sample period."""
        count, anchor = positive_integer(nsimulations, "nsimulations"), kwargs.get("anchor")
        after = isinstance(anchor, str) and anchor == "end" or count > self.model.nobs
        self._check_inside(count if after else 0)
        return super().simulate(count, *args, **kwargs)

    def _check_inside(self, outside: int) -> None:
        if outside and self.model.panel.steps.ndim:
            raise UnsupportedError(
                "The length of a period after irregular dates is unknown",
                got=f"{outside} periods",
                remedy="Use `forecast_yields` with dates= or horizons=.",
            )


class ATSMResults(EstimatedFactors):
    """
    Results of fitting (or of filtering and smoothing) an `ATSM`.

    The class extends `MLEResults` with these attributes and methods: `matrices`, `matrices_table`,
    `mean_reversion`, `mean_reversion_table`; `factors`, `fitted_yields`, `pricing_errors`,
    `pricing_error_summary`; `yield_curve`, `forward_curve`, `short_rate`, `zero_prices`,
    `expected_short_rate`, `risk_neutral_yields`, `term_premium`, `forward_premium`;
    `expected_excess_returns`, `sharpe_ratios`, `price_of_risk`, `short_rate_parameters`; `forecast_yields`,
    `rolling_evaluation`, `curve_responses`; `bias_corrected`; `plot_factors`, `plot_loadings`, `plot_fit`,
    `plot_term_premium`, `plot_curve`.

    Standard deviations of rates include the uncertainty of the parameters unless
    ``param_uncertainty=False``. Maturities are in years, rates in the units of the yields, and pricing errors
    in basis points.
    """

    model: ATSM

    # -- estimates -------------------------------------------------------------------------------------

    @property
    def matrices(self) -> dict[str, Any]:
        """
        K_P, kappa_P, theta_P, K_Q, kappa_Q, theta_Q, Sigma, lambda_0, lambda_1, delta_0, delta_1 and obs_cov.

        The matrices have labels for factors or yields. A matrix that does not exist is NaN, and
        `status_lines` explains why.
        """
        values = tables.structural_values(self.model, np.asarray(self.params))
        return tables.labelled(values, partial(tables.axes_of, self.model))

    matrices_table = tables.matrices_table
    mean_reversion_table = tables.mean_reversion_table

    @property
    def mean_reversion(self) -> pd.DataFrame:
        """Eigenvalues of K_P and K_Q from the slowest, with half-lives and periods in years."""
        both = self.model.dynamics(self.params)
        return tables.roots_of(both.K_P, both.pricing.K, both.period)

    def status_lines(self) -> list[str]:
        """Return the lines of `summary` about the fit."""
        values = tables.structural_values(self.model, np.asarray(self.params))
        return [
            *([self._correction.line] if self._correction else []),
            *super().status_lines(),
            *self.model.norm.remarks(self.model.matrices(self.params)),
            *tables.exact_line(self),
            *tables.matrix_lines(self.model, values),
            *tables.ridge_lines(self),
        ]

    _parameter_tables = tables.summary_tables

    def bias_corrected(
        self, method: str = "analytic", *, n_boot: int = 1000, rng: object = None
    ) -> StateSpaceResults:
        r"""
        Correct the P-dynamics for the small-sample bias of estimated autoregressions.

        .. math::

            \Phi_c = \hat\Phi - \mathrm{bias}(\hat\Phi), \qquad \Phi = e^{-K_P \Delta t}

        In discrete time, Phi = I - K_P dt. The correction covers all factors, including macro factors.

        In samples of a few decades, least squares and maximum likelihood estimate too fast a mean reversion.
        Expected short rates then vary too little and term premia too much (Bauer, Rudebusch & Wu 2012).
        The corrected model sets the mean of the factors under P to that of the smoothed factors. Q-dynamics,
        short rate, Sigma, measurement errors and loadings do not change. The likelihood is below its maximum.

        Parameters
        ----------
        method : {"analytic", "bootstrap"}
            "analytic" uses the bias formula of Pope (1990). "bootstrap" uses the mean error of least squares
            in ``n_boot`` samples of the autoregression of the factors.
        n_boot : int
            Number of bootstrap samples.
        rng : numpy.random.Generator or int, optional
            Random number generator or seed.

        Returns
        -------
        ATSMResults
            Results for the same data. Standard errors are those of the estimates before the correction. If
            the full correction would leave the unit circle, it is shrunk (Kilian 1998) and `summary` reports
            this.

        Raises
        ------
        DataError
            If there are too few periods.
        UnsupportedError
            If K_P is restricted or steps are irregular.
        SpecificationError
            If these results are already corrected.
        ParameterError
            If the corrected transition has no real logarithm.
        """
        _require_free_dynamics(self)
        model, step = self.model, float(self.model.panel.steps)
        at = model.curves(self.params).ahead(np.array([step]))
        found = bias_corrected(at.transition[0], at.cov[0], self.nobs, method, n_boot, rng)
        K = drift_of(found.transition, step, model.panel.period)
        kappa = K @ self._paths("smoothed")[0].mean(axis=0)
        params = model.layout.project({"K_P": K, "kappa_P": kappa[:, None]}, np.asarray(self.params))
        out = self._at(params, found.line)
        out._results._correction = found
        return out

    short_rate_parameters = tables.short_rate_parameters

    # -- beyond the sample -----------------------------------------------------------------------------

    rolling_evaluation = evaluation.evaluate
