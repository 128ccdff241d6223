"""Forecasts of yields, and their out-of-sample evaluation against a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..engine.arguments import options_of, positive_integer, positive_integers, truth
from ..engine.validation import as_dates
from ..exceptions import SpecificationError, shown
from ..inference.many import applied, data_of, model_of, model_on, outcome_of, report_records
from ..inference.windows import diebold_mariano, fit_windows, fixed_of, windows_of
from ..numerics.linear_algebra import Array
from ..plots import CONSTANT, LINE, ZERO, new_figure
from .panel import years_after
from .rates import ImpliedReturns, Rates, years

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..inference.records import FitRecord
    from .atsm import ATSM

MODEL, RANDOM_WALK, OTHER = "model", "random walk", "other model"


def forecast_horizons(
    results: Any, steps: object, horizons: Any, dates: Any, extrapolate: bool = False
) -> tuple[Array, pd.Index]:
    """
    Return horizons in years and their labels.

    Raises
    ------
    SpecificationError
        If more than one of the three arguments is given, or ``steps`` is used with irregular dates.
    DataError
        If dates do not follow the sample.
    """
    model = results.model
    if sum(value is not None for value in (steps, horizons, dates)) > 1:
        raise SpecificationError("Only one of steps, horizons and dates can be given", expected="one of them")
    if horizons is not None:
        h = years(horizons, "horizons", model, extrapolate)
        return h, pd.Index(h, name="horizon")
    if dates is not None:
        index = as_dates(dates, "dates")
        return years_after(model, index), index
    count = positive_integer(1 if steps is None else steps, "steps")
    if model.panel.steps.ndim:
        raise SpecificationError(
            "The length of a step after irregular dates is unknown",
            got=f"steps={count}",
            remedy="Pass dates=, or horizons= in years.",
        )
    h = float(model.panel.steps) * np.arange(1, count + 1)
    calendar = model.calendar
    if calendar.clock is not None and not calendar.labels.equals(pd.RangeIndex(model.nobs)):
        return h, calendar.ahead(count)
    return h, pd.Index(h, name="horizon")


class Forecasts(ImpliedReturns):
    """Mixin with forecasts of yields from the end of the sample."""

    _last: Callable[[], tuple[Array, Array]]
    """Function that returns the mean and covariance of the factors at the last date."""
    _error_variances: Callable[[], Array]
    """Function that returns the variances of the measurement errors."""

    def forecast_yields(
        self,
        steps: object = None,
        *,
        horizons: object = None,
        dates: object = None,
        maturities: object = None,
        param_uncertainty: bool = True,
        extrapolate: bool = False,
    ) -> Rates:
        """
        Forecast yields from the end of the sample; the distribution is exact at any horizon.

        Parameters
        ----------
        steps : int, optional
            Number of periods (1). Dates must be regular.
        horizons : float or array_like, optional
            Years after the last date, in place of ``steps``. `ACM` needs whole periods.
        dates : array_like of dates, optional
            Dates after the last one, in place of ``steps``.
        maturities : float or array_like, optional
            Maturities of the model curve, without measurement errors. By default the yields of the panel are
            forecast, including measurement errors (of `ACM`, pricing errors).
        param_uncertainty : bool
            Whether standard deviations include the uncertainty of the parameters (delta method).
        extrapolate : bool
            Whether horizons and maturities may exceed twice the longest maturity of the panel.
        """
        h, index = forecast_horizons(self, steps, horizons, dates, extrapolate)
        model, own = self.model, maturities is None
        tau = model.panel.maturities if own else years(maturities, "maturities", model, extrapolate)
        (last, cov), curves = self._last(), model.curves(np.asarray(self.params, dtype=float))
        means, covs = curves.states_ahead(last, cov, h)
        rates = curves.yields(tau)
        variance = np.clip(rates.variance(covs), 0.0, None)
        if truth(param_uncertainty, "param_uncertainty"):
            trials = self._sensitivity("smoothed")  # the last filtered factors equal the smoothed ones
            moved = trials.variance(
                lambda at: model.curves(at).yields_ahead(tau, h), last[None], slice(-1, None)
            )
            variance = variance + moved.reshape(variance.shape)
        columns = pd.Index(model.panel.labels if own else tau, name="yield" if own else "maturity")
        if own:
            variance = variance + self._error_variances()
        se = pd.DataFrame(np.sqrt(variance), index, columns)
        return Rates(pd.DataFrame(rates.mean(means), index, columns), se)


@dataclass(frozen=True, repr=False)
class YieldEvaluation(Displayed):
    """
    Errors of the yield forecasts of a model and of a benchmark.

    Attributes
    ----------
    errors : DataFrame
        Yields minus forecasts, in the units of the yields. Rows are origins, the last period that a forecast
        uses. Columns are (method, step, yield). NaN marks a missing yield or forecast.
    refits : DataFrame
        One row for each fit of the model: first origin, periods used, llf, converged, error.
    maturities : ndarray
        Maturities of the yields in years.
    benchmark : str
        Name of the benchmark among the methods.
    """

    errors: pd.DataFrame
    refits: pd.DataFrame
    maturities: Array
    benchmark: str

    @property
    def steps(self) -> list[int]:
        """Numbers of steps ahead."""
        return [int(step) for step in dict.fromkeys(self.errors.columns.get_level_values("step"))]

    def summary(self) -> pd.DataFrame:
        """
        Return root mean square errors by step and yield, and tests of equal forecast accuracy.

        Returns
        -------
        DataFrame
            Rows (step, yield). The columns are the number ``n`` of origins, ``rmse`` and ``rmse_benchmark``
            in the units of the yields, their ``ratio``, ``dm`` and ``p_value``. ``dm`` is the Diebold-Mariano
            t-statistic of the squared errors of the benchmark minus those of the model, with the small-sample
            correction of Harvey, Leybourne & Newbold (1997). Positive values favour the model.
        """
        rows = {}
        for step, name in self.errors[MODEL]:
            pair: Any = [(method, step, name) for method in (MODEL, self.benchmark)]
            both = self.errors[pair].dropna().to_numpy()
            own, beside = np.sqrt(np.mean(both**2, axis=0)) if len(both) else (np.nan, np.nan)
            dm, p_value = diebold_mariano(both[:, 1] ** 2 - both[:, 0] ** 2, step)
            rows[step, name] = (len(both), own, beside, own / beside if beside else np.nan, dm, p_value)
        index = pd.MultiIndex.from_tuples(list(rows), names=["step", "yield"])
        columns = ["n", "rmse", "rmse_benchmark", "ratio", "dm", "p_value"]
        return pd.DataFrame(list(rows.values()), index, columns)

    def plot(self, fig: Figure | None = None, figsize: tuple[float, float] | None = None) -> Figure:
        """
        Plot root mean square errors by maturity, with one panel for each number of steps.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            Figure to draw in; it keeps its size and layout.
        figsize : (float, float), optional
            Size of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
        """
        table, order = self.summary(), np.argsort(self.maturities)
        fig = new_figure(fig, figsize, (3.0 * len(self.steps) + 0.6, 3.2))
        axes = np.ravel(fig.subplots(1, len(self.steps), squeeze=False, sharex=True))
        for axis, step in zip(axes, self.steps, strict=True):
            part = table.loc[step]
            for column, label, color, dashes in (
                ("rmse", MODEL, LINE, "o-"), ("rmse_benchmark", self.benchmark, CONSTANT, "s--"),
            ):  # fmt: skip
                values = part[column].to_numpy()[order]
                axis.plot(self.maturities[order], values, dashes, color=color, markersize=4, label=label)
            axis.set_ylim(bottom=0.0)
            axis.axhline(0.0, color=ZERO, linewidth=0.6)
            axis.set_title(f"{step} step{'s' if step > 1 else ''} ahead", loc="left", fontsize="medium")
            axis.set_xlabel("maturity in years")
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("root mean square error")
        axes[0].legend(frameon=False, fontsize="small", loc="lower right")
        return fig

    def __str__(self) -> str:
        table = self.summary().to_string(float_format=lambda value: f"{value:.3f}")
        first, last = self.errors.index[[0, -1]]
        return f"Forecasts from {len(self.errors)} origins, {first} to {last}\n{table}"


def evaluate(
    results: Any,
    steps: object = (1, 3, 6, 12),
    maturities: object = None,
    benchmark: Any = "random walk",
    *,
    window: int | None = None,
    refit_every: int = 12,
    expanding: bool = True,
    fit_options: Mapping[str, Any] | None = None,
) -> YieldEvaluation:
    """
    Evaluate forecasts of yields out of sample.

    At each origin the parameters come from the last refit and the factors are filtered with the data up
    to the origin. The targets are the observed yields some steps later. All steps use the same origins,
    from period ``window`` to the last one for which all targets are in the sample. No data after the
    origin are used.

    Parameters
    ----------
    steps : int or sequence of int
        Number of periods ahead.
    maturities : float or array_like, optional
        Maturities in years of yields in the panel; all of them by default.
    benchmark : "random walk" or ATSMResults
        Benchmark forecasts. "random walk" uses the yields at the origin. Results of another model for the
        panel are estimated again on the same windows.
    window : int, optional
        Number of periods up to the first origin, and length of rolling windows. By default half of the
        sample.
    refit_every : int
        Number of origins after which the model is estimated again.
    expanding : bool
        If True, the model uses all data up to its last refit. Otherwise it uses the last ``window``
        periods.
    fit_options : mapping, optional
        Arguments of `fit`. The default is ``method="mle"``.

    Returns
    -------
    YieldEvaluation
        The errors, a summary with root mean square errors and Diebold-Mariano statistics, and a plot.

    Raises
    ------
    SpecificationError
        If window, steps, maturities or benchmark do not fit the panel.
    UnsupportedError
        If dates are irregular.

    References
    ----------
    Diebold & Mariano (1995), Journal of Business & Economic Statistics 13; Harvey, Leybourne & Newbold
    (1997), International Journal of Forecasting 13; Diebold & Li (2006), Journal of Econometrics 130.
    """
    model, ahead = model_of(results), positive_integers(steps, "steps")
    model.panel.require_regular("The length of a step after irregular dates is unknown")
    places = _places(model, maturities)
    last = model.nobs - max(ahead)
    window = model.nobs // 2 if window is None else window
    blocks = [
        rows for rows in windows_of(model, window, refit_every, expanding, "refit_every") if rows.stop <= last
    ]
    if not blocks:
        raise SpecificationError(
            "window leaves nothing to forecast",
            got=f"window={window}, {max(ahead)} steps, {model.nobs} periods",
            expected=f"at most {last} periods",
        )
    origins = np.arange(blocks[0].stop, last + 1)
    other = _checked(benchmark, model)
    found, refits = _forecasts(results, blocks, origins, ahead, places, fit_options)
    y = data_of(model)[:, model.panel.n_observed :][:, places]
    beside = np.repeat(y[origins - 1][:, None], len(ahead), axis=1)
    if other is not None:
        beside = _forecasts(other, blocks, origins, ahead, places, fit_options)[0]
    name = RANDOM_WALK if other is None else OTHER
    targets = np.stack([y[origins - 1 + step] for step in ahead], axis=1)
    labels = [model.panel.labels[place] for place in places]
    columns = pd.MultiIndex.from_product([[MODEL, name], ahead, labels], names=["method", "step", "yield"])
    errors = np.stack([targets - found, targets - beside], axis=1).reshape(len(origins), -1)
    index = model.calendar.labels[origins - 1]
    tau = model.panel.maturities[places]
    return YieldEvaluation(pd.DataFrame(errors, index=index, columns=columns), refits, tau, name)


def _places(model: ATSM, maturities: object) -> Array:
    """Return the columns of the panel for the given maturities."""
    own = model.panel.maturities
    if maturities is None:
        return np.arange(len(own))
    tau = years(maturities, "maturities", model)
    apart = np.abs(own - tau[:, None])
    absent = apart.min(axis=1) > 1e-3 * tau
    if np.any(absent):
        raise SpecificationError(
            "Forecasts can be compared only with yields of the panel",
            got=f"{shown(tau[absent])} years",
            expected=f"maturities among {shown(own)} years",
        )
    return np.argmin(apart, axis=1)


def _checked(benchmark: object, model: ATSM) -> Any:
    """Return the results of a benchmark model of the same panel, or None for the random walk."""
    if isinstance(benchmark, str) and benchmark == RANDOM_WALK:
        return None
    other: Any = getattr(benchmark, "model", None)
    if not hasattr(other, "panel") or not hasattr(other, "system"):
        raise SpecificationError(
            "benchmark is unknown",
            got=repr(benchmark)[:80],
            expected=f"{RANDOM_WALK!r}, or results of `ATSM`",
        )
    same = np.array_equal(other.panel.maturities, model.panel.maturities) and other.nobs == model.nobs
    if not same or not np.array_equal(other.panel.steps, model.panel.steps):
        raise SpecificationError(
            "benchmark must be a fit to the same panel", expected="the same dates and maturities"
        )
    return benchmark


def _forecasts(
    results: Any,
    blocks: list[slice],
    origins: Array,
    ahead: list[int],
    places: Array,
    fit_options: Mapping[str, Any] | None,
) -> tuple[Array, pd.DataFrame]:
    """Return forecasts (origins, steps, yields) from fits on windows, and a table of the fits."""
    model = model_of(results)
    y, h = data_of(model), float(model.panel.steps) * np.array(ahead)
    # weights that the constructor computed are computed again from the data of each window
    changed = {"portfolio_weights": None} if "portfolio_weights" in model._computed else {}
    options = {"method": "mle", "cov_type": "none", **options_of(fit_options, "fit_options")}
    records = fit_windows(model, blocks, options, fixed_of(results), changed)
    ends = [*(rows.stop for rows in blocks[1:]), int(origins[-1]) + 1]

    def _predicted(record: FitRecord, rows: slice, end: int) -> Array:
        known = model_on(model, y[rows], rows, **changed)
        weights = {"portfolio_weights": known.panel.weights} if changed else {}
        longer = slice(rows.start, end - 1)
        clone = model_on(model, y[longer], longer, **weights)
        params = np.array(list(record.params.values()))
        states = clone.filter(params, includes_fixed=True, cov_type="none").filtered_state
        own = states[:, rows.stop - rows.start - 1 :].T
        affine = clone.curves(params).yields_ahead(clone.panel.maturities[places], h)
        return affine.mean(own).reshape(len(own), len(ahead), len(places))

    out = np.full((len(origins), len(ahead), len(places)), np.nan)
    parts = applied(_predicted, records, blocks, ends)
    for rows, end, part in zip(blocks, ends, parts, strict=True):
        if part is not None:
            out[rows.stop - origins[0] : end - origins[0]] = part
    report_records(records, "windows")
    refits = pd.DataFrame([outcome_of(record) for record in records])
    refits.insert(0, "origin", model.calendar.labels[[rows.stop - 1 for rows in blocks]])
    return out, refits
