"""Estimates of a model on windows of its sample, and a test that compares forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from ..display import Displayed
from ..engine.arguments import names_among, options_of, positive_integer, truth
from ..engine.system import has_part
from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array
from ..plots import CONSTANT, Size, draw_path, entries, few_dates, legend_above, panel_grid
from .many import (
    applied,
    data_of,
    fits_by_name,
    model_of,
    model_on,
    of_parameters,
    outcome_of,
    report_records,
    require_model,
)
from .records import FitRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class RollingFit(Displayed):
    """
    Estimates on windows of a sample, labelled by the last period of each window.

    Attributes
    ----------
    params, bse : DataFrame
        Estimates and standard errors, one row per window. A row is NaN if the fit failed.
    fits : DataFrame
        One row per window, with columns "first" (its first period), "nobs", "llf", "converged" and "error".
    forecasts : DataFrame
        Forecasts of the period after each window, labelled by that period. The columns are (mean, series),
        (se, series) and (error, series). The error is the observation minus the mean.
    full_sample : Series or None
        Estimates on the whole sample, if available.
    expanding : bool
        Whether every window starts at the beginning of the sample.
    """

    params: pd.DataFrame
    bse: pd.DataFrame
    fits: pd.DataFrame
    forecasts: pd.DataFrame
    full_sample: pd.Series | None
    expanding: bool

    def __str__(self) -> str:
        fits = self.fits
        bad, failed = int((~fits["converged"]).sum()), int((fits["error"] != "").sum())
        kind = "expanding windows" if self.expanding else f"windows of {fits['nobs'].iloc[0]} periods"
        return (
            f"{len(fits)} fits on {kind}, {fits['first'].iloc[0]} to {fits.index[-1]}"
            + (f"; {bad - failed} did not converge" if bad > failed else "")
            + (f"; {failed} failed, the first by {next(filter(None, fits['error']))}" if failed else "")
        )

    def plot(
        self,
        names: list[str] | None = None,
        fig: Figure | None = None,
        figsize: Size | None = None,
        alpha: float = 0.05,
    ) -> Figure:
        """
        Plot the estimates with confidence bands, and the estimates on the whole sample.

        Parameters
        ----------
        names : list of str, optional
            Parameters to show. By default all parameters.
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        alpha : float
            The bands have pointwise coverage 1 - alpha.

        Returns
        -------
        matplotlib.figure.Figure
        """
        names = names_among(names, self.params, "names")
        lines = {} if self.full_sample is None else dict(self.full_sample)
        fig, axes = panel_grid(fig, figsize, len(names), (3.4, 2.1), sharex=True)
        for axis, name in zip(axes.ravel(), names, strict=False):
            draw_path(axis, self.params[name], self.bse[name], alpha, "window", "window by window")
            if name in lines:
                axis.axhline(lines[name], color=CONSTANT, linewidth=1.0, linestyle="--", label="whole sample")
            axis.set_title(name, fontsize="small", loc="left")
            few_dates(axis)
        for axis in axes.ravel()[: len(names)][-axes.shape[1] :]:  # the lowest panel of each column
            axis.tick_params(labelbottom=True)
        legend_above(fig, *entries(axes), 3)
        return fig


def rolling_fit(
    model_or_results: Any,
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
    Fit a model to windows of its sample.

    Window i = 0, 1, ... starts with period ``1 + i step`` and ends with period ``window + i step``. With
    ``expanding``, every window starts with period 1.

    Parameters
    ----------
    model_or_results : model or results
        The model. If you pass results, fits start from the estimates and keep fixed parameters. Otherwise
        fits start from default start values.
    window : int
        Number of periods in the first window.
    step : int
        Number of periods from one window to the next.
    expanding : bool
        Whether every window starts at the beginning of the sample.
    fit_options : mapping, optional
        Arguments of `fit`, as in `fit_many`. By default ``method="lbfgs"`` and the start values above.
    rng, n_jobs, checkpoint : optional
        As in `fit_many`.

    Returns
    -------
    RollingFit

    Raises
    ------
    SpecificationError
        If ``window`` or ``step`` are invalid for the sample, or the model has a known initial state and
        ``expanding`` is False.
    EstimationError
        If fewer than two of several windows have a fit, or a single window has no fit.

    Notes
    -----
    A failed fit does not stop the others. A warning reports the number of failed fits, and ``fits`` has their
    errors. Standard errors refer to each window separately. Estimates on overlapping windows are dependent.

    Examples
    --------
    >>> import numpy as np, statespace_ext as sse
    >>> y = np.cumsum(np.random.default_rng(0).normal(size=120))
    >>> model = sse.LGSSM(y, 1, design=[[1]], obs_intercept="zero", transition="free")
    >>> sse.rolling_fit(model, window=60, step=20).params.shape
    (4, 3)
    """
    res = getattr(model_or_results, "_results", model_or_results)
    model = model_of(res) if hasattr(res, "model") else require_model(res)
    found = None if res is model else pd.Series(np.asarray(res.params, dtype=float), index=model.param_names)
    windows = windows_of(model, window, step, expanding)
    start = {} if found is None else {"start_params": found.to_numpy(), "includes_fixed": True}
    options = {**start, **options_of(fit_options, "fit_options")}
    records = fit_windows(
        model, windows, options, fixed_of(model_or_results), rng=rng, n_jobs=n_jobs, checkpoint=checkpoint
    )
    return _collected(model, windows, records, found, expanding)


def fixed_of(model_or_results: Any) -> dict[str, float]:
    """Return the values of the fixed parameters."""
    return dict(model_or_results._fixed_params) if model_or_results._has_fixed_params else {}


def fit_windows(
    model: Any,
    windows: list[slice],
    options: Mapping[str, Any],
    fixed: Mapping[str, float],
    changed: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> list[FitRecord]:
    """
    Fit a model to windows of its sample, by default with lbfgs; return the records in their order.

    ``changed`` has arguments of the constructor that replace those of the model.
    """
    y, changed = data_of(model), changed or {}
    models = ((f"{rows.start}:{rows.stop}", model_on(model, y[rows], rows, **changed)) for rows in windows)
    records = fits_by_name(models, {"method": "lbfgs", **options}, fixed=fixed, **kwargs)
    return of_parameters((records[f"{rows.start}:{rows.stop}"] for rows in windows), model.param_names)


def windows_of(model: Any, window: int, step: int, expanding: bool, step_name: str = "step") -> list[slice]:
    """Return the windows; raise an error if they are invalid."""
    window, step = positive_integer(window, "window"), positive_integer(step, step_name)
    expanding = truth(expanding, "expanding")
    if window > model.nobs:
        raise SpecificationError("window is longer than the sample", got=window, expected=f"<= {model.nobs}")
    user = model.user_initialization
    kinds = getattr(model, "starts", [model.current_initialization])
    if not expanding and ("known" in kinds if user is None else has_part(user, "known")):
        raise SpecificationError(
            "A known start applies to the first period only, which a rolling window leaves",
            got="a known start, expanding=False",
            remedy="Use expanding=True, or another initialization.",
        )
    ends = range(window, model.nobs + 1, step)
    return [slice(0 if expanding else end - window, end) for end in ends]


def _collected(
    model: Any, windows: list[slice], records: list[FitRecord], found: pd.Series | None, expanding: bool
) -> RollingFit:
    """Collect the records in labelled DataFrames."""
    names, index = list(model.param_names), model._index
    ends = index[[rows.stop - 1 for rows in windows]]
    followed = np.array([rows.stop for rows in windows if rows.stop < model.nobs], dtype=int)
    columns = pd.MultiIndex.from_product(
        [["mean", "se", "error"], [str(name) for name in np.atleast_1d(model.endog_names)]]
    )
    forecasts = pd.DataFrame(index=index[followed], columns=columns, dtype=float)
    for place, forecast in enumerate(applied(partial(_forecast, model), records, windows)):
        if forecast is not None:
            forecasts.iloc[place] = forecast
    report_records(records, "windows")
    rows = [{"first": index[own.start], **outcome_of(one)} for own, one in zip(windows, records, strict=True)]
    return RollingFit(
        pd.DataFrame([record.params for record in records], index=ends, columns=names, dtype=float),
        pd.DataFrame([record.bse for record in records], index=ends, columns=names, dtype=float),
        pd.DataFrame(rows, index=ends),
        forecasts,
        found,
        expanding,
    )


def _forecast(model: Any, record: FitRecord, rows: slice) -> Array | None:
    """Return the means, standard errors and errors of the forecasts of the period after a window, or None."""
    if rows.stop >= model.nobs:
        return None
    longer = slice(rows.start, rows.stop + 1)
    y = data_of(model)[longer]
    clone = model_on(model, y, longer)
    out = clone.filter(list(record.params.values()), includes_fixed=True, cov_type="none").filter_results
    mean, cov = out.forecasts[:, -1], out.forecasts_error_cov[:, :, -1]
    return np.concatenate([mean, np.sqrt(np.diag(cov)), y[-1] - mean])


def diebold_mariano(loss: Array, horizon: int = 1) -> tuple[float, float]:
    """
    Return the t-statistic of a mean loss difference and its two-sided p-value.

    The long-run variance has ``horizon - 1`` autocovariances (Diebold & Mariano 1995, equation 1). It uses
    Bartlett weights if the unweighted sum is not positive. The statistic has the small-sample correction of
    Harvey, Leybourne & Newbold (1997, equation 9).

    Parameters
    ----------
    loss : ndarray
        Loss of one method minus the loss of another. NaN marks missing values.
    horizon : int
        Number of periods ahead.
    """
    loss = loss[~np.isnan(loss)]
    n = len(loss)
    if n <= horizon + 1:
        return np.nan, np.nan
    deviations = loss - loss.mean()
    autocov = np.array([deviations[lag:] @ deviations[: n - lag] / n for lag in range(horizon)])
    variance = autocov[0] + 2.0 * np.sum(autocov[1:])
    if variance <= 0:
        variance = autocov[0] + 2.0 * np.sum((1.0 - np.arange(1, horizon) / horizon) * autocov[1:])
    if variance <= 0:
        return np.nan, np.nan
    correction = (n + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / n) / n
    statistic = float(np.sqrt(max(correction, 0.0)) * loss.mean() / np.sqrt(variance / n))
    return statistic, float(2.0 * stats.t.sf(abs(statistic), n - 1))
