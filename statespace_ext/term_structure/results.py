"""Results of `ATSM`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..engine.arguments import one_of
from . import outlook, tables
from .plots import Pictures
from .rates import Rates


class ATSMResults(Pictures, outlook.NewData):
    """
    Results of fitting (or of filtering and smoothing) an `ATSM`.

    Beside what `MLEResults` has: `matrices`, `matrices_table`, `mean_reversion`, `mean_reversion_table`;
    `factors`, `fitted_yields`, `pricing_errors`, `pricing_error_summary`; `yield_curve`, `forward_curve`,
    `short_rate`, `zero_prices`, `expected_short_rate`, `risk_neutral_yields`, `term_premium`,
    `forward_premium`; `forecast_yields`, `curve_responses`; `plot_factors`, `plot_loadings`, `plot_fit`,
    `plot_term_premium`, `plot_curve`.
    Maturities are in years, rates in the units of the yields, pricing errors in basis points.
    """

    # -- estimates -------------------------------------------------------------------------------------

    @property
    def matrices(self) -> dict[str, Any]:
        """
        K_P, kappa_P, theta_P, K_Q, kappa_Q, theta_Q, Sigma, lambda_0, lambda_1, delta_0, delta_1 and obs_cov.

        Labelled by factor or yield. NaN where a matrix does not exist: `status_lines` says why.
        """
        return tables.labelled(self.model, tables.structural_values(self.model, np.asarray(self.params)))

    def matrices_table(self) -> pd.DataFrame:
        """Return estimate and delta-method se of the elements of `matrices`, by matrix, row and column."""
        return tables.matrices_table(self)

    @property
    def mean_reversion(self) -> pd.DataFrame:
        """Eigenvalues of K_P and K_Q, with half-lives and periods in years, the slowest first."""
        return tables.mean_reversion_table(tables.structural_values(self.model, np.asarray(self.params)))

    def mean_reversion_table(self) -> pd.DataFrame:
        """
        Return `mean_reversion` with delta-method standard errors of real parts and half-lives.

        Multiple roots, which have no derivative, and infinite half-lives have none (NaN).
        """
        return tables.mean_reversion_errors(self)

    def status_lines(self) -> list[str]:
        """Return what `summary` says of the fit."""
        values = tables.structural_values(self.model, np.asarray(self.params))
        return [
            *super().status_lines(),
            *tables.exact_line(self),
            *tables.matrix_lines(self.model, values),
            *tables.ridge_lines(self),
        ]

    def _parameter_tables(self, alpha: float) -> list[Any]:
        """Return the tables of the estimates: P, Q and risk prices, observation."""
        return tables.summary_tables(self, alpha)

    # -- fit -------------------------------------------------------------------------------------------

    @property
    def pricing_errors(self) -> pd.DataFrame:
        """Yields less fitted yields, in basis points, by date and maturity."""
        return (self._yields - self.fitted_yields) * (tables.BASIS_POINTS / self.model.panel.scale)

    def pricing_error_summary(self, by: str = "maturity") -> pd.DataFrame:
        """
        Return mean, std, rmse, max_abs (basis points) and number of the pricing errors.

        Parameters
        ----------
        by : {"maturity", "date"}
            What the rows are.
        """
        return tables.error_summary(self.pricing_errors, one_of(by, ("maturity", "date"), "by"))

    # -- beyond the sample -----------------------------------------------------------------------------

    def forecast_yields(
        self,
        steps: Any = None,
        *,
        horizons: Any = None,
        dates: Any = None,
        maturities: Any = None,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Forecast yields from the end of the sample, exactly at any horizon.

        Intervals are given the parameters.

        Parameters
        ----------
        steps : int, optional
            Number of periods (1); for regular dates.
        horizons : float or array_like, optional
            Years after the last date, instead of steps.
        dates : array_like of dates, optional
            Dates after the last one, instead of steps.
        maturities : float or array_like, optional
            Of the curve, without measurement errors. By default the yields of the panel, with them.
        extrapolate : bool
            Whether horizons and maturities may be beyond twice the longest maturity of the panel.
        """
        h, index = outlook.forecast_horizons(self, steps, horizons, dates, extrapolate)
        return outlook.forecast(self, h, index, maturities, extrapolate)

    def curve_responses(
        self, horizons: Any, maturities: Any = None, impulse: Any = None, *, extrapolate: bool = False
    ) -> pd.DataFrame:
        """
        Return responses of the yield curve to moves of the factors, by shock and horizon.

        Parameters
        ----------
        horizons : float or array_like
            Years after the move, from zero.
        maturities : float or array_like, optional
            In years; those of the panel by default.
        impulse : array_like, (k,), optional
            A move of the factors. By default one shock for each factor in turn: the columns of the Cholesky
            factor of the covariance of a step (the mean step, of irregular dates).
        extrapolate : bool
            Whether horizons and maturities may be beyond twice the longest maturity of the panel.
        """
        return outlook.responses(self, horizons, maturities, impulse, extrapolate)
