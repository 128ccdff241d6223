"""Prediction errors that include parameter uncertainty, and plots of forecasts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..engine.arguments import names_among, positive_integer, probability
from ..exceptions import SpecificationError, UnsupportedError, shown
from ..inference.information import delta_covariance
from ..numerics.linear_algebra import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDING = 1e-12
"""Relative changes below this size are rounding errors: the value does not depend on the parameter."""


def with_param_uncertainty(results: Any, prediction: Any, again: Callable[[Any], Any]) -> None:
    r"""
    Add the contribution of parameter uncertainty to the covariances of predictions, in place.

    Parameters
    ----------
    results : StateSpaceResults
        Results with the covariance ``params_cov``.
    prediction : PredictionResults
        Predictions from these results.
    again : callable
        Function that computes the same predictions from results at other parameters.

    Raises
    ------
    UnsupportedError
        If no prediction would have a standard error, the initial state comes from earlier data, or the fit
        kept no covariances (``low_memory=True``).
    """
    if getattr(results.user_initialization, "from_earlier_data", False):
        raise UnsupportedError(
            "The uncertainty of the parameters is not known after `extend`: the first state depends on them "
            "through the earlier data",
            remedy="Use `append` in place of `extend`, which keeps the earlier data.",
        )
    require_covariances(results)
    out = prediction._results
    centre, several = out._predicted_mean, out._var_pred_mean.ndim == 3
    run = results.model.smooth if out.information_set == "smoothed" else results.model.filter

    def mean(params: Array) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the prediction at the estimates has already warned
            with results._as_it_was():
                at = run(params, includes_fixed=True, cov_type="none")._results
            found = np.asarray(again(at)._results._predicted_mean)
        return np.where(np.isfinite(centre), found, 0.0)

    variance = out._var_pred_mean if several else out._var_pred_mean[:, None, None]
    slopes, cov, moves = results.param_slopes(mean)
    if not several:
        slopes = slopes[:, None]
    sd = np.sqrt(np.clip(np.diagonal(variance, axis1=1, axis2=2), 0.0, None))
    least = ROUNDING * (sd + np.abs(np.nan_to_num(centre)).reshape(sd.shape))
    total = variance + delta_covariance(slopes, cov, moves, least)
    of_each = np.diagonal(total, axis1=1, axis2=2)
    if np.isfinite(sd).any() and not np.isfinite(of_each).any():
        lost = ~np.isfinite(np.diag(results.params_cov.cov))
        lost &= ~np.isin(results.model.param_names, list(results._fixed))
        raise UnsupportedError(
            "No prediction has a standard error that contains the uncertainty of the parameters",
            got=f"no standard error of {shown(np.array(results.model.param_names)[lost])}",
            remedy="Use param_uncertainty=False, fix these parameters, or choose another cov_type; `summary` "
            "says why they have none.",
        )
    out._var_pred_mean = total if several else total[:, 0, 0]


def require_covariances(results: Any) -> None:
    """Raise `UnsupportedError` if the filter kept no covariances of the states."""
    past = results.filter_results
    if past.memory_no_filtered_cov or past.memory_no_predicted_cov or past.memory_no_forecast_cov:
        raise UnsupportedError(
            "The fit kept no covariances of the states",
            got="low_memory=True",
            remedy="Call `model.smooth(res.params)`, and use its results.",
        )


def starts_from_earlier_data(start: Any) -> Any:
    """Mark an initialization whose moments come from earlier data at the estimates, and return it."""
    start.from_earlier_data = True
    return start


class Forecasts:
    """Mixin of the results with forecasts and their plot."""

    model: Any
    nobs: Any

    def get_forecast(
        self, steps: Any = 1, signal_only: bool = False, *, param_uncertainty: bool = False, **kwargs: Any
    ) -> Any:
        r"""
        Return forecasts with standard errors; see `MLEResults.get_forecast`.

        .. math::

            \mathrm{Var}[y_{n+h} - \hat y_{n+h}] \approx Z P_{n+h|n} Z' + H + J_h \Sigma J_h', \qquad
            J_h = \frac{\partial \hat y_{n+h}(\theta)}{\partial\theta'}

        where :math:`\Sigma` is the covariance of the estimates. Without ``param_uncertainty`` the last term
        is omitted, as in statsmodels.

        Parameters
        ----------
        steps : int, str or datetime
            Number of periods, or the label of the last period.
        signal_only : bool
            Whether to forecast :math:`Z x` alone.
        param_uncertainty : bool
            Whether standard errors include parameter uncertainty, by the delta method. The derivatives need
            two passes of the filter for each free parameter. They hold the data fixed, and include the effect
            of the parameters on the filtered state.
        **kwargs
            Arguments of `MLEResults.get_forecast`, and future regressors as in `get_prediction`.

        Returns
        -------
        PredictionResults
            Forecasts with ``predicted_mean``, ``se_mean``, ``conf_int()`` and ``summary_frame()``. With
            ``param_uncertainty``, ``se_mean`` is NaN where a forecast depends on a parameter without a
            standard error.

        Raises
        ------
        UnsupportedError
            With ``param_uncertainty``, if no forecast would have a standard error, the results come from
            `extend`, or the fit kept no covariances (``low_memory=True``).

        References
        ----------
        Hamilton, J. D. (1986), A standard error for the estimated state vector of a state-space model.
        Journal of Econometrics 33, 387-397.
        """
        steps = int(steps) if isinstance(steps, np.integer) else steps
        kwargs["param_uncertainty"] = param_uncertainty
        return super().get_forecast(steps, signal_only, **kwargs)  # type: ignore[misc]

    def plot_forecast(
        self,
        steps: Any = 12,
        series: str | Sequence[str] | None = None,
        *,
        levels: float | Sequence[float] = (0.5, 0.8, 0.95),
        history: int | None = None,
        param_uncertainty: bool = False,
        fig: Any = None,
        figsize: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> Figure:
        """
        Plot forecasts as a fan of intervals after the last observations, one panel per series.

        The legend states whether the intervals include parameter uncertainty.

        Parameters
        ----------
        steps : int, str or datetime
            As in `get_forecast`.
        series : str or sequence of str, optional
            Names of the series to show. By default all series.
        levels : float or sequence of float
            Coverage probabilities of the intervals.
        history : int, optional
            Number of periods of the sample to show. The default is three times the number of forecast
            periods, and at least 20.
        param_uncertainty : bool
            As in `get_forecast`.
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        **kwargs
            Future regressors, as in `get_forecast`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        SpecificationError
            If a series is unknown, a level is not between 0 and 1, or ``history`` is not a positive integer.
        UnsupportedError
            If the fit kept no covariances (``low_memory=True``).
        """
        from ..plots.forecasts import plot_forecast

        names = np.atleast_1d(self.model.endog_names).tolist()
        chosen = names_among(series, names, "series")
        coverages = sorted({probability(each, "levels") for each in np.ravel(np.asarray(levels)).tolist()})
        if not coverages:
            raise SpecificationError(
                "levels must not be empty", got=repr(levels), expected="numbers between 0 and 1"
            )
        back = None if history is None else positive_integer(history, "history")
        require_covariances(self)
        out = self.get_forecast(steps, param_uncertainty=param_uncertainty, **kwargs)._results
        h = len(out._predicted_mean)
        back = min(self.nobs, max(3 * h, 20) if back is None else back)
        columns = [names.index(name) for name in chosen]
        variance = out._var_pred_mean
        variance = np.diagonal(variance, axis1=1, axis2=2) if variance.ndim == 3 else variance
        mean = out._predicted_mean.reshape(h, -1)
        values = {
            "observed": np.concatenate([self.model.endog[self.nobs - back :], np.full(mean.shape, np.nan)]),
            "mean": np.concatenate([np.full((back, mean.shape[1]), np.nan), mean]),
            "se": np.concatenate([np.zeros((back, mean.shape[1])), np.sqrt(variance.reshape(h, -1))]),
        }
        index = self._labels_with(out.row_labels, back, h)
        frames = [pd.DataFrame(each[:, columns], index, chosen) for each in values.values()]
        words = "uncertainty of the parameters included" if param_uncertainty else "given the parameters"
        return plot_forecast(*frames, levels=coverages, band=words, fig=fig, figsize=figsize)

    def _labels_with(self, after: pd.Index | None, back: int, steps: int) -> pd.Index:
        """Return the labels of the last periods of the sample and of the forecast periods."""
        n, calendar = int(self.nobs), self.model.calendar
        index: pd.Index = calendar.between(n - back, n + steps - 1, calendar.taken(after))
        return index
