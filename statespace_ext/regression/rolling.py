"""Out-of-sample evaluation of a dynamic regression against regressions with constant coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..engine.arguments import one_of, options_of, positive_integer
from ..exceptions import SpecificationError, warn_renamed
from ..inference.many import applied, model_of, model_on, outcome_of, report_records
from ..inference.records import FitRecord
from ..inference.windows import diebold_mariano, fit_windows, fixed_of, windows_of
from ..numerics.linear_algebra import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .dynamic_regression import DynamicRegression

DYNAMIC, STATIC, ROLLING = "dynamic", "static OLS", "rolling OLS"
METHODS = (DYNAMIC, STATIC, ROLLING)
_LOSSES = {"log_score": "log score ahead", "squared_error": "squared error saved"}


@dataclass(frozen=True, repr=False)
class RollingEvaluation(Displayed):
    """
    Predictions of each method for each target period, with their errors and scores.

    Frames have one row for each target period and columns (method, series). NaN marks a missing prediction
    or observation.

    Attributes
    ----------
    predictions, variances : DataFrame
        Mean and variance of the predictive normal distribution.
    errors : DataFrame
        Observations minus predictions.
    log_scores : DataFrame
        Log predictive densities of the observations.
    refits : DataFrame
        One row for each fit of the dynamic regression: first origin, periods used, llf, converged, error.
        Predictions of a failed fit are NaN.
    steps : int
        Number of periods from the origin to the target.
    """

    predictions: pd.DataFrame
    variances: pd.DataFrame
    errors: pd.DataFrame
    log_scores: pd.DataFrame
    refits: pd.DataFrame
    steps: int

    @property
    def squared_errors(self) -> pd.DataFrame:
        """Squared errors."""
        return self.errors**2

    def summary(self) -> pd.DataFrame:
        """
        Return the scores by series and method.

        Returns
        -------
        DataFrame
            Rows (series, method). The columns are the number ``n`` of predictions, ``rmse`` and the mean
            ``log_score``. ``dm_rmse`` and ``dm_log_score`` are Diebold-Mariano t-statistics of the losses of
            the method minus those of the dynamic regression, with p-values. Positive values favour the
            dynamic regression.
        """
        series = self.errors[DYNAMIC].columns
        table = pd.DataFrame({"n": self.errors.notna().sum()})
        table["rmse"], table["log_score"] = np.sqrt(self.squared_errors.mean()), self.log_scores.mean()
        for label, loss in (("rmse", self.squared_errors), ("log_score", -self.log_scores)):
            found = {
                (method, name): diebold_mariano(
                    (loss[method][name] - loss[DYNAMIC][name]).to_numpy(), self.steps
                )
                for method in METHODS[1:]
                for name in series
            }
            table[[f"dm_{label}", f"pvalue_{label}"]] = pd.DataFrame(found).T
        return table.swaplevel().loc[pd.MultiIndex.from_product([series, METHODS])]

    def plot(
        self, loss: str = "log_score", fig: Figure | None = None, figsize: tuple[float, float] | None = None
    ) -> Figure:
        """
        Plot the cumulative lead of the dynamic regression over the other methods, one panel for each series.

        Parameters
        ----------
        loss : {"log_score", "squared_error"}
            "log_score" cumulates the log densities of the dynamic regression minus those of the other method.
            "squared_error" cumulates the squared errors of the other method minus those of the dynamic
            regression. A rising line favours the dynamic regression.
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .plots import plot_lead

        scores = self.log_scores if one_of(loss, _LOSSES, "loss") == "log_score" else -self.squared_errors
        leads = {
            name: pd.DataFrame(scores[DYNAMIC] - scores[name]).cumsum() for name in METHODS if name != DYNAMIC
        }
        return plot_lead(leads, _LOSSES[loss], fig=fig, figsize=figsize)

    def __str__(self) -> str:
        failed = int((self.refits["error"] != "").sum())
        bad = int((~self.refits["converged"]).sum()) - failed
        lines = [
            f"Predictions {self.steps} ahead of {len(self.errors)} periods, "
            f"{self.errors.index[0]} to {self.errors.index[-1]}; {len(self.refits)} fits"
            + (f", {bad} of which did not converge" if bad else "")
            + (f", {failed} of which failed" if failed else ""),
            self.summary().to_string(float_format=lambda value: f"{value:.4f}"),
        ]
        return "\n".join(lines)


def rolling_evaluation(
    model_or_results: Any,
    window: int | None = None,
    steps: int = 1,
    refit_every: int = 12,
    expanding: bool = True,
    fit_options: Mapping[str, Any] | None = None,
    horizon: int | None = None,
) -> RollingEvaluation:
    """
    Evaluate predictions of a dynamic regression out of sample, given the realised regressors.

    At each origin the parameters come from the last refit and the coefficients are filtered with the data up
    to the origin. The target is the period ``steps`` later. The predictions are compared with those of
    least squares for each series, on all data up to the origin ("static OLS") and on the last ``window``
    periods ("rolling OLS"). Apart from the regressors of the target, no data after the origin are used.

    Parameters
    ----------
    model_or_results : DynamicRegression or DynamicRegressionResults
        The model. Estimates from the whole sample are not used.
    window : int, optional
        Number of periods before the first origin, and length of the rolling windows. By default half of the
        sample.
    steps : int
        Number of periods ahead.
    refit_every : int
        Number of origins after which the dynamic regression is estimated again.
    expanding : bool
        If True, the dynamic regression uses all data up to the origin. Otherwise its data start ``window``
        periods before its last refit.
    fit_options : mapping, optional
        Arguments of `fit`. The default is ``method="lbfgs"``.
    horizon : int, optional
        The former name of ``steps``, which will be removed in the next version.

    Returns
    -------
    RollingEvaluation
        ``summary()`` has the root mean square errors, log scores and Diebold-Mariano statistics, and
        ``plot()`` the lead over least squares.

    Raises
    ------
    SpecificationError
        If window, steps or refit_every do not fit the sample.
    DataError
        If the model cannot be used with the data of a window.
    EstimationError
        If the fit succeeds in fewer than two windows. If it fails in some, a warning counts them.

    Notes
    -----
    Predictive distributions are normal. For least squares the variance is s^2 (1 + x'(X'X)^{-1}x). For the
    dynamic regression it includes the uncertainty about the coefficients too, given V and W.

    References
    ----------
    Diebold & Mariano (1995), Journal of Business & Economic Statistics 13, 253-263; Harvey, Leybourne &
    Newbold (1997), International Journal of Forecasting 13, 281-291.
    """
    if horizon is not None:
        warn_renamed("horizon", "steps")
        steps = horizon
    model: DynamicRegression
    model = model_of(model_or_results) if hasattr(model_or_results, "model") else model_or_results
    steps = positive_integer(steps, "steps")
    window = _checked_window(model, window, steps)
    blocks = windows_of(model, window, refit_every, expanding, "refit_every")
    blocks = [rows for rows in blocks if rows.stop <= model.nobs - steps]
    options = {"low_memory": True, "cov_type": "none", **options_of(fit_options, "fit_options")}
    records = fit_windows(model, blocks, options, fixed_of(model_or_results))
    origins = np.arange(window, model.nobs - steps + 1)
    endog, exog = np.asarray(model.endog), model.coefficients.by_series(np.asarray(model.exog))
    shape = (len(origins), len(METHODS), endog.shape[1])
    means, variances = np.full(shape, np.nan), np.full(shape, np.nan)
    parts = np.split(origins, np.arange(refit_every, len(origins), refit_every))

    def predicted(record: FitRecord, rows: slice, own: Array) -> tuple[Array, Array]:
        """Return the predictions from some origins, given the fit of a window."""
        return _dynamic(model, np.array(list(record.params.values())), rows.start, own, steps)

    made = applied(predicted, records, blocks, parts)
    for own, found in zip(parts, made, strict=True):
        if found is not None:
            means[own - window, 0], variances[own - window, 0] = found
    report_records(records, "windows")
    means[:, 1:], variances[:, 1:] = _static(endog, exog, origins, window, steps)
    refits = pd.DataFrame([outcome_of(record) for record in records])
    refits.insert(0, "origin", model._index[[rows.stop - 1 for rows in blocks]])
    return _collected(model, origins + steps - 1, means, variances, refits, steps)


def _checked_window(model: DynamicRegression, window: int | None, steps: int) -> int:
    """Return the number of periods before the first origin; raise if window or model is not suitable."""
    window = positive_integer(model.nobs // 2 if window is None else window, "window")
    least, most = len(model.coefficients.regressors) + 1, model.nobs - steps
    if not least <= window <= most:
        raise SpecificationError(
            "window leaves nothing to estimate with or to predict",
            got=f"window={window}, steps={steps}, {model.nobs} periods",
            expected=f"a window from {least} to {most}",
        )
    return window


def _dynamic(
    model: DynamicRegression, params: Array, begin: int, origins: Array, steps: int
) -> tuple[Array, Array]:
    """Return predictive means and variances, (origins, p), given the data up to each origin."""
    end = int(origins[-1])
    rows = slice(begin, end)
    clone = model_on(model, np.asarray(model.endog)[rows], rows)
    filtered = clone.filter(params, includes_fixed=True, cov_type="none").filter_results
    system = clone.system(params)
    T, noise = system.transition, system.selection @ system.state_cov @ system.selection.T
    intercept = np.broadcast_to(model._intercept.T, model.endog.shape)
    scale = np.ones((model.nobs, 1)) if model.obs_scale is None else model.obs_scale
    ahead, targets = origins - begin, origins + steps - 1
    state, diffuse = filtered.predicted_state[:, ahead].T, filtered.predicted_diffuse_state_cov
    cov = np.moveaxis(filtered.predicted_state_cov[:, :, ahead], 2, 0)
    unknown = np.zeros_like(cov) if diffuse is None else np.moveaxis(diffuse[:, :, ahead], 2, 0)
    for _ in range(steps - 1):
        state, cov, unknown = state @ T.T, T @ cov @ T.T + noise, T @ unknown @ T.T
    Z = np.moveaxis(model._design[:, :, targets], 2, 0)
    known = np.einsum("tik,tkl,til->ti", Z, unknown, Z) <= 1e-8
    mean = intercept[targets] + (Z @ state[:, :, None])[:, :, 0]
    variance = np.einsum("tik,tkl,til->ti", Z, cov, Z)
    variance += np.diag(clone.matrices(params)["obs_cov"]) * scale[targets] ** 2
    return np.where(known, mean, np.nan), np.where(known, variance, np.nan)


def _static(endog: Array, exog: Array, origins: Array, window: int, steps: int) -> tuple[Array, Array]:
    """Return predictive means and variances of static and rolling least squares, (origins, 2, p)."""
    means, variances = np.empty((2, len(origins), 2, endog.shape[1]))
    for i, origin in enumerate(origins):
        x = exog[:, origin + steps - 1]
        for place, begin in enumerate((0, origin - window)):
            rows = slice(begin, origin)
            means[i, place], variances[i, place] = _least_squares(endog[rows], exog[:, rows], x)
    return means, variances


def _least_squares(endog: Array, exog: Array, x: Array) -> tuple[Array, Array]:
    """Return predictive means and variances of least squares, for each series on its observed rows."""
    p = endog.shape[1]
    mean, variance = np.full(p, np.nan), np.full(p, np.nan)
    for i in range(p):
        seen, own = ~np.isnan(endog[:, i]), exog[i].any(axis=0) | (x[i] != 0)
        X, y, m = exog[i][np.ix_(seen, own)], endog[seen, i], int(own.sum())
        if len(y) <= m or np.linalg.matrix_rank(X) < m:
            continue
        q, r = np.linalg.qr(X)
        coefs = np.linalg.solve(r, q.T @ y)
        leverage = np.sum(np.linalg.solve(r.T, x[i, own]) ** 2)
        mean[i] = x[i, own] @ coefs
        variance[i] = np.sum((y - X @ coefs) ** 2) / (len(y) - m) * (1.0 + leverage)
    return mean, variance


def _collected(
    model: DynamicRegression, targets: Array, means: Array, variances: Array, refits: pd.DataFrame, steps: int
) -> RollingEvaluation:
    """Collect the predictions in labelled frames."""
    names = model.coefficients.endog
    columns = pd.MultiIndex.from_product([METHODS, names], names=["method", "series"])
    index = model._index[targets]

    def frame(values: Array) -> pd.DataFrame:
        """Return values (targets, methods, p) with labels."""
        return pd.DataFrame(values.reshape(len(targets), -1), index=index, columns=columns)

    errors = np.asarray(model.endog)[targets][:, None, :] - means
    scores = -0.5 * (np.log(2.0 * np.pi * variances) + errors**2 / variances)
    return RollingEvaluation(frame(means), frame(variances), frame(errors), frame(scores), refits, steps)
