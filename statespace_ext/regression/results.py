"""Results of `DynamicRegression`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..base.results import StateSpaceResults
from ..base.states import estimates_of, quadratic, smoothed_output, undetermined
from ..engine.arguments import names_among, one_of, truth
from ..inference.information import correlation_table
from ..numerics.linear_algebra import Array
from . import comparison, constancy, hypotheses, rolling
from .coefficients import SLOPE
from .declaration import is_joint, state_kinds
from .estimates import Coefficient, Portfolio, portfolio_weights
from .obs_scale import parse_scale, taken, with_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .dynamic_regression import DynamicRegression

_RANK_TOLERANCE = 1e-7
_FULL = ("unstructured", "patterned")
"""Structures of W that a diagonal or factor structure can replace."""


class DynamicRegressionResults(StateSpaceResults):
    """
    Results of fitting (or of filtering and smoothing) a `DynamicRegression`.

    The class extends `MLEResults` with `matrices`, `coefficients`, `portfolio`, `fit_measures`,
    `correlations`, `state_cov_rank`, `test_constancy`, `test_coefficients`, `compare`, `rolling_evaluation`,
    `plot_coefficients`, `converged`, `em_trace` and `boundary`.
    """

    model: DynamicRegression

    @property
    def matrices(self) -> dict[str, pd.DataFrame]:
        """V ("obs_cov") and W of the time-varying coefficients ("state_cov"), as labelled frames."""
        at = self.model.matrices(np.asarray(self.params))
        c = self.model.coefficients
        names = c.disturbance_names
        out = {"obs_cov": pd.DataFrame(at["obs_cov"], index=c.endog, columns=c.endog)}
        if names:
            out["state_cov"] = pd.DataFrame(at["state_cov"], index=names, columns=names)
        if c.autoregressive:
            phi = np.full(len(c.names), np.nan)
            phi[c.noisy] = at["transition"][np.arange(len(c.noisy)), c.noise_rows]
            labels = [c.labels[j] for j in c.autoregressive]
            values = phi.reshape(-1, c.p)[c.autoregressive]
            out["ar1"] = pd.DataFrame(values, index=labels, columns=c.endog)
        return out

    @property
    def coefficients(self) -> dict[str, Coefficient]:
        """Estimates of the coefficients, by regressor; those of slopes are named "MKT.slope"."""
        c = self.model.coefficients
        out = {name: self._coefficient(j) for j, name in enumerate(c.labels)}
        return out | {name: self._coefficient(j, slope=True) for name, j in c.slopes.items()}

    def _coefficient(
        self, j: int, weights: pd.DataFrame | None = None, slope: bool = False, only: int | None = None
    ) -> Coefficient:
        """Return the coefficients on a regressor, or their slopes, for series or for portfolios of them."""
        smoothed_output(self)
        c, index = self.model.coefficients, self.model._index
        places = c.series_with(j) if only is None else np.array([only])
        rows = c.of(j)[places]
        loading = (c.slope_loading if slope else c.loading)[rows]
        offset = np.zeros(len(rows)) if slope else c.offset[rows]
        names = [c.endog[i] for i in places]
        if weights is not None:
            W = weights.loc[names].to_numpy().T
            loading, offset, names = W @ loading, W @ offset, list(weights.columns)
        found = estimates_of(self, loading, index, names)
        variance = np.clip(quadratic(loading, self.smoothed_state_cov), 0.0, None)
        unknown = undetermined(self, loading)
        if unknown is not None:
            variance[unknown] = np.nan
        smoothed = (loading @ self.smoothed_state).T + np.where(np.isnan(variance.T), np.nan, offset)
        return Coefficient(
            c.dynamics[j],
            pd.DataFrame(smoothed, index=index, columns=names),
            found.filtered + offset,
            pd.DataFrame(np.sqrt(variance).T, index=index, columns=names),
            found.filtered_se,
            found.predicted + offset,
            found.predicted_se,
        )

    def portfolio(self, weights: object) -> Portfolio:
        r"""
        Return the coefficients of portfolios of the series, with standard errors.

        .. math::

            w'\theta_{j,t|s}, \qquad \mathrm{se} = (w' P_{j,t|s}\, w)^{1/2}

        where :math:`P_{j,t|s}` (p, p) is the joint covariance of the coefficients on regressor j across
        series, given the parameters.

        If regressors differ by series, a portfolio has one coefficient on a regressor with the same values
        for all series that have it. On other regressors it has one coefficient for each series,
        :math:`w_i\theta_{ij}`, named "size.A". The sum of regressors times coefficients is in all cases the
        mean of the portfolio.

        Parameters
        ----------
        weights : mapping, Series or DataFrame
            Constant weights by name of a series. A frame has a column for each portfolio. Series that are
            not named have weight zero. The weights do not need to sum to one.

        Returns
        -------
        Portfolio
            `Portfolio.alpha`, `Portfolio.beta` and `Portfolio.coefficients` contain smoothed, filtered and
            predicted paths with standard errors, as for the series.

        Raises
        ------
        SpecificationError
            If the weights do not name series of the model, or the results were not smoothed.
        DataError
            If the weights are not finite numbers.
        """
        c = self.model.coefficients
        frame = portfolio_weights(weights, c.endog)
        common = c.common(np.asarray(self.model.exog))
        constant = next((j for j, name in enumerate(c.regressors) if name == "const" and common[j]), None)
        found, slopes = {}, {}
        for j, name in enumerate(c.labels):
            for i in [None] if common[j] else c.series_with(j):
                own = "" if i is None else f".{c.endog[i]}"
                found[name + own] = self._coefficient(j, frame, only=i)
                if c.dynamics[j] == "local_linear":
                    slopes[f"{name}.{SLOPE}{own}"] = self._coefficient(j, frame, slope=True, only=i)
        return Portfolio(
            frame, found | slopes, None if constant is None else c.labels[constant], list(slopes)
        )

    def fit_measures(self) -> pd.DataFrame:
        r"""
        Return how much of each series the regressors explain.

        .. math::

            R^2 = 1 - \frac{\sum_t (y_{it} - x_t'\theta_{i,t|n})^2}{\sum_t (y_{it} - \bar y_i)^2}, \quad
            R^2_{pred} = 1 - \frac{\sum_t (y_{it} - x_t'\theta_{i,t|t-1})^2}{\sum_t (y_{it} - \bar y_i)^2},
            \quad \sigma_i = (V_{ii}\, \overline{s_{it}^2})^{1/2}

        Returns
        -------
        DataFrame
            One row for each series. "r2" uses the smoothed coefficients, which depend on later data too. With
            static coefficients and complete data it equals the R squared of least squares. "r2_predicted"
            uses the coefficients predicted from earlier periods, over the periods in which these are
            determined. It can be negative. "idiosyncratic_vol" is the standard deviation of the noise in one
            period.

        Raises
        ------
        SpecificationError
            If the results were not smoothed.
        """
        model, c = self.model, self.model.coefficients
        y, X = np.asarray(model.endog), c.by_series(np.asarray(model.exog))
        fitted = {"r2": np.zeros_like(y), "r2_predicted": np.zeros_like(y)}
        for j in range(len(c.regressors)):
            found, own = self._coefficient(j), c.series_with(j)
            fitted["r2"][:, own] += X[own, :, j].T * found.smoothed.to_numpy()
            fitted["r2_predicted"][:, own] += X[own, :, j].T * found.predicted.to_numpy()[:-1]
        out = {name: _explained(y, values) for name, values in fitted.items()}
        noise = np.diag(model.matrices(np.asarray(self.params))["obs_cov"])
        scale = np.ones_like(y) if model.obs_scale is None else model.obs_scale
        out["idiosyncratic_vol"] = np.sqrt(noise * np.mean(scale**2, axis=0))
        return pd.DataFrame(out, index=pd.Index(c.endog, name="series"))

    def _rows(self) -> pd.DataFrame:
        """Return the rows of `tidy` without tests; the constant coefficients come first."""
        c, rows = self.model.coefficients, super()._rows()
        constant = np.flatnonzero(np.array(c.dynamics) == "static").tolist()
        if self.smoothed_state is None or not constant:
            return rows
        found = [(c.labels[j], self._coefficient(j)) for j in constant]
        errors = np.concatenate([each.se for _, each in found])
        known = ~np.concatenate([c.loading[c.of(j)[c.series_with(j)]].any(axis=1) for j in constant])
        extra = {
            "matrix": "coefficients",
            "term": [f"{name}.{series}" for name, each in found for series in each.smoothed],
            "estimate": np.concatenate([each.estimate for _, each in found]),
            "std_error": np.where(known, np.nan, errors),
            "status": np.where(known, "fixed", "coefficient"),
        }
        return pd.concat([pd.DataFrame(extra), rows], ignore_index=True)

    get_prediction = with_scale(StateSpaceResults.get_prediction)
    news = with_scale(StateSpaceResults.news)

    def append(self, endog: Any, exog: object = None, *args: Any, **kwargs: Any) -> Any:
        """
        Append data; see `MLEResults.append`.

        ``exog`` and ``obs_scale`` contain the values of the new periods. If the model was built from a
        formula, ``exog`` contains raw data. In a model without ``obs_scale``, the earlier periods have the
        scale one.
        """
        endog, exog, kwargs = self.model.more_data(endog, exog, kwargs)
        if kwargs.get("obs_scale") is not None:
            y, names = self.model.endog, self.model.coefficients.endog
            new = parse_scale(taken(kwargs["obs_scale"]), len(endog), getattr(endog, "index", None), names)
            earlier = np.ones_like(y) if self.model.obs_scale is None else self.model.obs_scale
            kwargs["obs_scale"] = np.concatenate([earlier, np.asarray(new)])
        return super().append(endog, exog, *args, **kwargs)

    def extend(self, endog: object, exog: object = None, *args: Any, **kwargs: Any) -> Any:
        """Filter data that follow the sample; see `MLEResults.extend`."""
        endog, exog, kwargs = self.model.more_data(endog, exog, kwargs)
        return super().extend(endog, exog, *args, **kwargs)

    def apply(self, endog: object, exog: object = None, *args: Any, **kwargs: Any) -> Any:
        """Apply the parameters to other data; see `MLEResults.apply`."""
        endog, exog, kwargs = self.model.more_data(endog, exog, kwargs)
        return super().apply(endog, exog, *args, **kwargs)

    @property
    def state_cov_rank(self) -> dict[str, int]:
        """Numerical rank of W by regressor; "joint" is the rank of the whole W if blocks are correlated."""
        c = self.model.coefficients
        W = self.model.matrices(np.asarray(self.params))["state_cov"]
        sizes = self.model.variance_sizes(np.asarray(self.params))["state_cov"]
        places = {name: c.noise_places(place) for place, name in enumerate(c.moving_names)}
        if is_joint(self.model):
            places["joint"] = np.arange(len(W))
        return {name: _rank(W[np.ix_(rows, rows)], sizes[rows]) for name, rows in places.items()}

    def correlations(self, which: str = "obs_cov") -> pd.DataFrame:
        """
        Return standard deviations and correlations of V or W with delta-method standard errors.

        Parameters
        ----------
        which : {"obs_cov", "state_cov"}
            The matrix.

        Returns
        -------
        DataFrame
            Rows (quantity, series), columns "estimate" and "se". A standard error is NaN if the parameters
            have none.
        """
        one_of(which, ("obs_cov", "state_cov"), "which")
        c = self.model.coefficients
        labels = c.endog if which == "obs_cov" else c.disturbance_names

        def matrix(params: Array) -> Array:
            """Return the matrix at a full parameter vector."""
            return self.model.matrices(params)[which]

        return correlation_table(matrix, np.asarray(self.params), self.cov_params_default, labels)

    def status_lines(self) -> list[str]:
        """Return the lines of `summary` about the fit, including the rank of W."""
        lines = super().status_lines()
        c, kinds = self.model.coefficients, state_kinds(self.model)
        for name, rank in self.state_cov_rank.items():
            sizes = c.group_sizes
            what, full = (f" of {name}", sizes[name]) if name in sizes else ("", len(c.disturbance_names))
            if rank < full:
                lines.append(f"state_cov{what} is singular: rank {rank} of {full}.")
                if full > 1 and kinds.get(name, "unstructured") in _FULL:
                    lines.append("state_cov='diagonal' or 'factor:1' gives standard errors.")
        return lines

    test_constancy = constancy.constancy_test
    test_coefficients = hypotheses.coefficient_test
    compare = comparison.compare
    rolling_evaluation = rolling.rolling_evaluation

    def plot_coefficients(
        self,
        regressors: list[str] | None = None,
        fig: Figure | None = None,
        figsize: tuple[float, float] | None = None,
        alpha: float = 0.05,
        filtered: bool = False,
    ) -> Figure:
        """
        Plot smoothed coefficients with bands, and the constant least-squares coefficients.

        Parameters
        ----------
        regressors : list of str, optional
            Regressors to show, or slopes such as "MKT.slope". By default the regressors with time-varying
            coefficients, or all if none vary.
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        alpha : float
            The bands have coverage 1 - alpha, given the parameters.
        filtered : bool
            Whether to draw the filtered coefficients too. Unlike the smoothed ones, they use no later data.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .estimation import series_by_series
        from .plots import plot_coefficients

        c = self.model.coefficients
        moving = [c.labels[j] for j in c.moving]
        found = self.coefficients
        chosen = (moving or c.labels) if regressors is None else regressors
        names = names_among(chosen, list(found), "regressors")
        constant = series_by_series(self.model.endog, c.by_series(self.model.exog))[0]
        lines = {
            name: dict(zip(c.endog, row, strict=True)) for name, row in zip(c.labels, constant, strict=True)
        }
        paths = {name: (found[name].smoothed, found[name].smoothed_se) for name in names}
        beside = {name: found[name].filtered for name in names} if truth(filtered, "filtered") else None
        return plot_coefficients(paths, lines, fig=fig, figsize=figsize, alpha=alpha, filtered=beside)


def _explained(y: Array, fitted: Array) -> Array:
    """Return 1 - sum (y - fitted)^2 / sum (y - mean)^2 by series, over cells where both are present."""
    y = np.where(np.isnan(fitted), np.nan, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.sum(~np.isnan(y), axis=0)
        total = np.nansum((y - np.nansum(y, axis=0) / count) ** 2, axis=0)
        return np.asarray(1.0 - np.nansum((y - fitted) ** 2, axis=0) / total)


def _rank(cov: Array, size: Array) -> int:
    """Return the number of directions with non-negligible variance."""
    scale = np.sqrt(np.maximum(np.diag(cov), _RANK_TOLERANCE * size))
    values = np.linalg.eigvalsh(cov / scale[:, None] / scale)
    return int(np.sum(values > _RANK_TOLERANCE**0.5 * 1e-2))
