"""Residuals, and tests for outliers and breaks."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import chi2
from statsmodels.tsa.statespace.kalman_smoother import SmootherResults
from statsmodels.tsa.stattools import acf

from ..engine.arguments import arguments_of, listed, one_of, options_of, positive_number, truth
from ..engine.representation import Mixin, without
from ..exceptions import SpecificationError, shown
from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array, quiet
from ..plots import new_figure
from .forecasts import require_covariances
from .states import smoothed_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOTHING = 1e-12
"""Relative to the variance of the disturbance, a variance of a residual below this size is rounding error."""


def _ratio(value: Array, variance: Array, of: Array) -> Array:
    """Return value / sqrt(variance), with NaN where the variance is zero up to rounding."""
    with quiet():
        return np.where(variance > _NOTHING * of, value / np.sqrt(variance), np.nan)


def _disturbances(res: SmootherResults) -> Iterator[tuple[int, str, Array, Array, Array, Array]]:
    """
    Yield the period, equation, estimates e, Var[e], covariance of the disturbance, and its positions.

    The estimates are E[eps_t|Y] = y_t - d_t - Z_t E[x_t|Y] for observed values, with the variance
    H - Z_t V_t Z_t', and E[eta_t|Y], with the variance Q - Var[eta_t|Y].
    """
    for t in range(res.nobs):
        seen = np.flatnonzero(~np.isnan(res.endog[:, t]))
        Z, H = at(res.design, t)[seen], at(res.obs_cov, t)[np.ix_(seen, seen)]
        error = res.endog[seen, t] - at(res.obs_intercept, t)[seen] - Z @ res.smoothed_state[:, t]
        yield t, "observation", error, H - Z @ res.smoothed_state_cov[:, :, t] @ Z.T, H, seen
        Q, every = at(res.state_cov, t), np.arange(res.k_posdef)
        cov = Q - res.smoothed_state_disturbance_cov[:, :, t]
        yield t, "state", res.smoothed_state_disturbance[:, t], cov, Q, every


def portmanteau(series: Array, lags: Array, box_pierce: bool, model_df: int) -> Array:
    """
    Test for autocorrelation up to each lag m; return statistics and p-values, (2, lags).

    The statistic is Q_m = n (n + 2) sum_{k <= m} r_k^2 / (n - k) of Ljung & Box, or n sum_{k <= m} r_k^2 of
    Box & Pierce. It has a chi-squared distribution with m - model_df degrees of freedom. The autocorrelations
    r_k take n log n operations, compared with n^2 in statsmodels' `acorr_ljungbox`.
    """
    n, k = len(series), np.arange(1, lags.max() + 1)
    squares = acf(series, nlags=int(lags.max()), fft=True)[1:] ** 2
    weights = n * (1.0 if box_pierce else (n + 2) / (n - k))
    statistic = np.cumsum(weights * squares)[lags - 1]
    return np.array([statistic, chi2.sf(statistic, np.where(lags > model_df, lags - model_df, np.nan))])


def _place(one: object, names: list[str]) -> int:
    """
    Return the position of a series given by its number or name.

    Raises
    ------
    SpecificationError
        If the series is unknown.
    """
    if isinstance(one, str) and one in names:
        return names.index(one)
    if not isinstance(one, (int, np.integer)) or isinstance(one, bool) or not -len(names) <= one < len(names):
        raise SpecificationError(
            "variable is unknown",
            got=repr(one),
            expected=f"a number below {len(names)}, or a name among {shown(names)}",
        )
    return range(len(names))[one]


class Residuals(Mixin):
    """Mixin of the results with residuals and diagnostics."""

    def residuals(self, kind: str = "innovations", standardize: bool = True) -> pd.DataFrame:
        r"""
        Return residuals.

        .. math::

            v_t &= y_t - E[y_t \mid y_1, \dots, y_{t-1}] \\
            \hat\varepsilon_t &= y_t - d_t - Z_t E[x_t \mid Y], \qquad
            \hat\eta_t = E[\eta_t \mid Y]

        Parameters
        ----------
        kind : {"innovations", "smoothed", "auxiliary"}
            "innovations" are the forecast errors v_t, as ``resid``. "smoothed" are the smoothed residuals of
            the observations. "auxiliary" are these and the smoothed disturbances of the states, which enter
            :math:`x_{t+1}`.
        standardize : bool
            Whether to standardize the residuals. Innovations are divided by the lower Cholesky factor of
            their covariance F_t, so that the order of the series matters. Other residuals are divided by
            their standard deviations, from :math:`\operatorname{Var}\hat\varepsilon_t = H_t - Z_t V_t Z_t'`
            and :math:`\operatorname{Var}\hat\eta_t = Q_t - \operatorname{Var}[\eta_t \mid Y]`.

        Returns
        -------
        DataFrame
            One row per period, with its label. Auxiliary residuals have columns (equation, name). Residuals
            are NaN where the observation is missing, where an exact-diffuse state is not yet determined, and
            where a residual has no variance.

        Raises
        ------
        SpecificationError
            If ``kind`` is unknown, or the states were not smoothed and smoothed or auxiliary residuals are
            requested.

        References
        ----------
        Harvey, A. C. & Koopman, S. J. (1992), Diagnostic checking of unobserved-components time series
        models. Journal of Business & Economic Statistics 10, 377-389.
        """
        kind = one_of(kind, ("innovations", "smoothed", "auxiliary"), "kind")
        standardize = truth(standardize, "standardize")
        if kind == "innovations":
            return self._innovations(standardize)
        res = smoothed_output(self)
        names = {"observation": self._series, "state": self.model.shock_names}
        out = {each: np.full((res.nobs, len(names[each])), np.nan) for each in names}
        for t, equation, value, cov, of, seen in _disturbances(res):
            variance = np.diag(cov)
            value = _ratio(value, variance, np.diag(of)) if standardize else value
            out[equation][t, seen] = value
        labels = self.model.calendar.labels
        if kind == "smoothed":
            return pd.DataFrame(out["observation"], index=labels, columns=names["observation"])
        columns = pd.MultiIndex.from_tuples(
            [(each, name) for each in names for name in names[each]], names=["equation", "name"]
        )
        return pd.DataFrame(np.concatenate(list(out.values()), axis=1), index=labels, columns=columns)

    def _innovations(self, standardize: bool) -> pd.DataFrame:
        values = self.standardized_forecasts_error if standardize else self.forecasts_error
        values = np.where(np.isnan(self.model.endog.T), np.nan, values)
        values[:, : int(self.filter_results.nobs_diffuse)] = np.nan
        return pd.DataFrame(values.T, index=self.model.calendar.labels, columns=self._series)

    def outliers(self, threshold: float = 3.0) -> pd.DataFrame:
        r"""
        Find outliers among the observations, and breaks in the states.

        Each test adds one free constant to one observation :math:`y_{it}`, or to one disturbance
        :math:`\eta_{jt}` (a break in the state from t + 1 on). With the smoothing error
        :math:`u = H^{-1}\hat\varepsilon_t` and :math:`D = \operatorname{Var} u`, the generalised least
        squares estimate of the constant is

        .. math::

            \hat\delta = u_i / D_{ii}, \qquad \operatorname{se} = D_{ii}^{-1/2}, \qquad
            \text{statistic} = u_i D_{ii}^{-1/2}

        The test of a disturbance uses :math:`Q^{-1}\hat\eta_t` instead. For an observation,
        :math:`y_{it} - \hat\delta` is its expectation given all other observations, as if it were missing.
        Disturbances with a singular covariance matrix cannot change one at a time, and are omitted.

        Parameters
        ----------
        threshold : float
            Minimum absolute value of the statistics in the table.

        Returns
        -------
        DataFrame
            Columns "period", "equation" ("observation" or "state"), "name", "statistic", "size" (the
            estimate) and "se". Rows of observations also have "value" and "without" (the expectation given
            all other observations). The largest statistic comes first.

        Raises
        ------
        SpecificationError
            If the states were not smoothed, or the threshold is not a positive number.

        References
        ----------
        de Jong, P. & Penzer, J. (1998), Diagnosing shocks in time series. Journal of the American
        Statistical Association 93, 796-806.
        """
        least, res = positive_number(threshold, "threshold"), smoothed_output(self)
        names = {"observation": self._series, "state": self.model.shock_names}
        labels, rows = self.model.calendar.labels, []
        for t, equation, value, cov, of, seen in _disturbances(res):
            moving = np.flatnonzero(np.diag(of) > 0)
            block = of[np.ix_(moving, moving)]
            if not len(moving) or np.linalg.matrix_rank(block, hermitian=True) < len(moving):
                continue
            inverse = np.linalg.inv(block)
            D = np.diag(inverse @ cov[np.ix_(moving, moving)] @ inverse)
            u, scale = inverse @ value[moving], np.diag(inverse)
            statistic = _ratio(u, D, scale)
            for i in np.flatnonzero(np.abs(statistic) >= least).tolist():
                size, where = float(u[i] / D[i]), seen[moving[i]]
                given = float(res.endog[where, t]) if equation == "observation" else np.nan
                numbers = float(statistic[i]), size, float(D[i] ** -0.5), given, given - size
                rows.append((labels[t], equation, names[equation][where], *numbers))
        columns = ["period", "equation", "name", "statistic", "size", "se", "value", "without"]
        out = pd.DataFrame(rows, columns=columns)
        return out.sort_values("statistic", key=lambda each: -each.abs(), kind="stable", ignore_index=True)

    def plot_diagnostics(
        self,
        variable: object = None,
        lags: int = 10,
        fig: Figure | None = None,
        figsize: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> Figure:
        """
        Plot four diagnostics of the standardized innovations of each series.

        See `MLEResults.plot_diagnostics`.

        Parameters
        ----------
        variable : int, str or sequence of these, optional
            Numbers or names of the series. By default all series.
        lags : int
            Number of lags in the correlogram.
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        **kwargs
            As in `MLEResults.plot_diagnostics`. The correlogram omits missing residuals.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        SpecificationError
            If a series is unknown, or has too few residuals.
        """
        names = [str(name) for name in self._series]
        given = names if variable is None else listed(variable) or [variable]
        chosen = [_place(one, names) for one in given]
        fig = new_figure(fig, figsize, (10, 6.0 * len(chosen)))
        parts: Any = [fig] if len(chosen) == 1 else fig.subfigures(len(chosen), 1)
        options = {"missing": "conservative", **options_of(kwargs.pop("acf_kwargs", None), "acf_kwargs")}
        named = without(self, ())  # statsmodels expects a list of text, also for a single series
        named.model = SimpleNamespace(endog_names=names)
        for part, place in zip(parts, chosen, strict=True):
            with arguments_of("plot_diagnostics"):
                super(Residuals, named).plot_diagnostics(place, lags, part, acf_kwargs=options, **kwargs)
        return fig

    def augment(self) -> pd.DataFrame:
        """
        Return the data with one-step-ahead forecasts and residuals, with the column names of broom.

        Returns
        -------
        DataFrame
            One row per period and series, with the columns "period", "series", "observed", "fitted" (given
            the earlier periods), "std_error" (the square root of a diagonal element of F_t), "residual" and
            "std_residual" (as in `residuals` of kind "innovations"). Values are NaN where an exact-diffuse
            state is not yet determined.

        Raises
        ------
        UnsupportedError
            If the fit kept no covariances (``low_memory=True``).
        """
        require_covariances(self)
        variance = np.array(np.diagonal(self.forecasts_error_cov, axis1=0, axis2=1), dtype=float)
        fitted = np.array(self.forecasts, dtype=float).T
        for values in (variance, fitted):
            values[: int(self.filter_results.nobs_diffuse)] = np.nan
        columns = {
            "observed": self.model.endog,
            "fitted": fitted,
            "std_error": np.sqrt(variance),
            "residual": self._innovations(False).to_numpy(),
            "std_residual": self._innovations(True).to_numpy(),
        }
        index = pd.MultiIndex.from_product(
            [self.model.calendar.labels, self._series], names=["period", "series"]
        )
        return pd.DataFrame({key: value.ravel() for key, value in columns.items()}, index).reset_index()
