"""Periods after the sample: their matrices, prediction errors with parameter uncertainty, and a plot."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.mlemodel import PredictionResults

from ..engine.arguments import names_among, positive_integer, probability
from ..engine.representation import Mixin
from ..engine.system import MATRICES, System, axes_of
from ..engine.validation import check_same_columns, future_labels, regressor_array
from ..exceptions import DataError, SpecificationError, StateSpaceError, UnsupportedError, shown
from ..inference.information import delta_covariance
from ..numerics.linear_algebra import Array
from ..plots import plot_forecast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .results import StateSpaceResults

ROUNDING = 1e-12
"""Relative changes below this size are rounding errors: the value does not depend on the parameter."""


class Predictions(PredictionResults):
    """Predictions of statsmodels that check their arguments, and take a series by its name."""

    def conf_int(self, method: str = "endpoint", alpha: float = 0.05, **kwds: object) -> pd.DataFrame:
        """
        Return intervals with coverage 1 - alpha, the lower and upper ends of each series.

        Raises
        ------
        SpecificationError
            If ``alpha`` is not between 0 and 1, or is given where statsmodels expects ``method``.
        """
        if method != "endpoint":
            raise SpecificationError(
                "method is not known",
                got=repr(method),
                expected="'endpoint'",
                remedy="Write conf_int(alpha=0.1).",
            )
        return super().conf_int(method, probability(alpha, "alpha"), **kwds)

    def summary_frame(self, endog: int | str = 0, alpha: float = 0.05) -> pd.DataFrame:
        """
        Return predictions, standard errors and intervals of one series.

        Parameters
        ----------
        endog : int or str
            Position or name of the series.
        alpha : float
            The intervals have coverage 1 - alpha.

        Raises
        ------
        SpecificationError
            If ``endog`` is not a series of the model, or ``alpha`` is not between 0 and 1.
        """
        names = [str(name) for name in np.atleast_1d(self.model.data.ynames)]
        place = names.index(endog) if isinstance(endog, str) and endog in names else endog
        if isinstance(place, bool) or not isinstance(place, (int, np.integer)) or not 0 <= place < len(names):
            raise SpecificationError(
                "endog must be the name or the position of a series", got=repr(endog), expected=shown(names)
            )
        return super().summary_frame(int(place), probability(alpha, "alpha"))


def with_param_uncertainty(results: StateSpaceResults, prediction: Any, again: Callable[[Any], Any]) -> None:
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
            remedy="Use `append` instead, which keeps the earlier data.",
        )
    require_covariances(results)
    out = prediction._results
    centre, p = out._predicted_mean, results.model.k_endog
    run = results.model.smooth if out.information_set == "smoothed" else results.model.filter

    def _mean(params: Array) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the prediction at the estimates has already warned
            with results._as_it_was():
                at = run(params, includes_fixed=True, cov_type="none")._results
            found = np.asarray(again(at)._results._predicted_mean)
        return np.where(np.isfinite(centre), found, 0.0)

    variance = out._var_pred_mean.reshape(-1, p, p)
    slopes, cov, moves = results.param_slopes(_mean)
    sd = np.sqrt(np.clip(np.diagonal(variance, axis1=1, axis2=2), 0.0, None))
    least = ROUNDING * (sd + np.abs(np.nan_to_num(centre)).reshape(sd.shape))
    total = variance + delta_covariance(slopes.reshape(*sd.shape, -1), cov, moves, least)
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
    out._var_pred_mean = total.reshape(out._var_pred_mean.shape)


def require_covariances(results: StateSpaceResults) -> None:
    """Raise `UnsupportedError` if the filter kept no covariances of the states."""
    past = results.filter_results
    if past.memory_no_filtered_cov or past.memory_no_predicted_cov or past.memory_no_forecast_cov:
        raise UnsupportedError(
            "The fit did not store the covariances of the states",
            got="low_memory=True",
            remedy="Call `model.smooth(res.params)`, and use the results that it returns.",
        )


class Forecasts(Mixin):
    """Mixin of the results with forecasts and their plot."""

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
        return super().get_forecast(steps, signal_only, **kwargs)

    def plot_forecast(
        self,
        steps: object = 12,
        series: str | Sequence[str] | None = None,
        *,
        levels: float | Sequence[float] = (0.5, 0.8, 0.95),
        history: int | None = None,
        param_uncertainty: bool = False,
        fig: Figure | None = None,
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
        names = [str(name) for name in self._series]
        chosen = names_among(series, names, "series")
        coverages = sorted({probability(each, "levels") for each in np.ravel(levels).tolist()})
        if not coverages:
            raise SpecificationError(
                "levels must not be empty", got=repr(levels), expected="numbers between 0 and 1"
            )
        require_covariances(self)
        found = self.get_forecast(steps, param_uncertainty=param_uncertainty, **kwargs)
        both = (found.predicted_mean, found.se_mean)
        mean, se = (np.asarray(each).reshape(-1, len(names)) for each in both)
        h = len(mean)
        back = min(self.nobs, max(3 * h, 20) if history is None else positive_integer(history, "history"))
        columns = [names.index(name) for name in chosen]
        past, ahead = self.model.endog[self.nobs - back :], np.full(mean.shape, np.nan)
        values = (
            np.concatenate([past, ahead]),
            np.concatenate([np.full(past.shape, np.nan), mean]),
            np.concatenate([np.zeros(past.shape), se]),
        )
        calendar, n = self.model.calendar, int(self.nobs)
        index = calendar.between(n - back, n + h - 1, calendar.taken(found.row_labels))
        frames = [pd.DataFrame(each[:, columns], index, chosen) for each in values]
        words = "uncertainty of the parameters included" if param_uncertainty else "given the parameters"
        return plot_forecast(*frames, levels=coverages, band=words, fig=fig, figsize=figsize)


def _after(sample: Array, whole: Array) -> Array | None:
    """Return the periods of a matrix after those of the sample, or None if the sample has other values."""
    nobs = sample.shape[-1]
    if whole.ndim != sample.ndim or whole.shape[-1] <= nobs:
        return None
    rounding = 1e-10 * np.max(np.abs(sample), initial=0.0)  # in the units of the matrix
    return whole[..., nobs:] if np.allclose(whole[..., :nobs], sample, rtol=1e-10, atol=rounding) else None


class OutOfSample(Mixin):
    """Mixin of the models with the intercepts and matrices of periods after the sample."""

    def _get_extension_time_varying_matrices(
        self,
        params: object,
        exog: object,
        out_of_sample: int,
        extend_kwargs: dict[str, object] | None = None,
        transformed: bool = True,
        includes_fixed: bool = False,
        **kwargs: object,
    ) -> dict[str, Any]:
        """Return the matrices of periods after the sample, for prediction and simulation."""
        vector = self.handle_params(params, transformed, includes_fixed)
        kwargs = self.patterns_ahead(vector, exog, out_of_sample, kwargs)
        future = {
            "obs_intercept": self._future(exog, out_of_sample, "exog"),
            "state_intercept": self._future(kwargs.pop("state_exog", None), out_of_sample, "state_exog"),
        }
        system, whole = self.system(vector), None
        for name in MATRICES:
            value = getattr(system, name)
            if name in kwargs or value.ndim == axes_of(name):
                continue
            regressors = future.get(name)
            found = None if regressors is None else self.future_intercept(name, regressors, vector)
            if found is None:
                whole = whole or self._with_later_periods(vector, exog, future, out_of_sample)
                found = _after(value, getattr(whole, name, value))
            if found is None:
                raise SpecificationError(
                    f"{name} varies over time, so a forecast needs its future values",
                    remedy=f"Pass {name}=array with {out_of_sample} periods on the last axis.",
                )
            kwargs[name] = found
        return kwargs

    def _with_later_periods(
        self, params: Array, exog: object, future: Mapping[str, Array | None], steps: int
    ) -> System | None:
        """Return the system over the sample and later periods, or None if a clone cannot have these."""
        index: pd.Index | None = None
        if self.calendar.given:
            labels = self.calendar.taken(future_labels(exog, self.k_exog))
            index = self.calendar.between(0, self.nobs + steps - 1, labels)

        def _longer(sample: Array, later: Array, names: Sequence[str]) -> Any:
            rows = np.concatenate([sample, later])
            return rows if index is None else pd.DataFrame(rows, index, list(names))

        names = np.atleast_1d(self.endog_names).tolist()
        endog = _longer(self.endog, np.full((steps, self.k_endog), np.nan), names)
        regressors = {
            name: _longer(getattr(self, name), rows, self.regressor_names[name])
            for name, rows in zip(("exog", "state_exog"), future.values(), strict=True)
            if rows is not None
        }
        if np.ndim(self.data.orig_endog) == 1:
            endog = endog.squeeze(axis=1)
        try:
            return self.clone(endog, **regressors).system(params)
        except (StateSpaceError, ValueError, TypeError, IndexError, KeyError):
            return None

    def patterns_ahead(
        self, params: Array, exog: object, steps: int, given: dict[str, object]
    ) -> dict[str, object]:
        """Return the arguments of a prediction, with numbers in place of patterns of matrices."""
        return given

    def future_intercept(self, name: str, exog: Array, params: Array) -> Array | None:
        """Return an intercept for future regressors; None: it is that of a model of all periods."""
        return None

    def _future(self, value: object, steps: int, name: str) -> Array | None:
        """Return the rows of future regressors that affect periods after the sample; None without any."""
        columns = len(self.regressor_names[name])
        if not columns:
            return None
        if value is None:
            raise DataError(
                f"Out-of-sample periods need future values of {name}",
                expected=f"{steps} rows of {columns} columns",
            )
        rows = self._checked_rows(value, name, steps)
        if name == "exog":
            return rows
        return np.concatenate([rows[1:], np.zeros((1, columns))])  # the first row is in the sample

    def future_rows(self, value: Any, name: str) -> Array:
        """
        Return future regressors as an array; check their labels if they have any.

        Row t of ``state_exog`` enters x_{t+1}. The rows that affect periods after the sample therefore begin
        with the last period of the sample. They may be labelled by their own periods.
        """
        names, back = self.regressor_names[name], int(name == "state_exog")
        if isinstance(value, pd.DataFrame):
            check_same_columns(value, names, f"Future {name}")
        _check_one_period(value, names, name)
        labels = future_labels(value, len(names))
        if labels is not None:
            self.calendar.check_future(labels, len(labels), name, back)
        rows = np.asarray(regressor_array(value, None, None, name))
        return rows.T if len(names) > 1 and np.ndim(value) == 1 else rows

    def entered(self, state_exog: object) -> Any:
        """
        Return the model with the first row of future ``state_exog`` as the last row of the sample.

        That row enters x_{n+1}. In the sample it may be NaN, which means unknown. A model whose last row is
        known is returned unchanged.
        """
        unknown = np.isnan(self.state_exog[-1]) if self.k_state_exog else np.zeros(0, dtype=bool)
        if state_exog is None or not unknown.any():
            return self
        rows = self._checked_rows(state_exog, "state_exog")
        changed: dict[str, object] = {}
        if self.user_initialization is not None:
            changed["initialization"] = self.user_initialization
        if self.calendar.given and self.data.row_labels is None:
            changed["dates"] = self.calendar.labels
        inputs = pd.DataFrame(
            np.concatenate([self.state_exog[:-1], rows[:1]]),
            index=self.data.row_labels,
            columns=self.regressor_names["state_exog"],
        )
        return self.clone(self.data.orig_endog, self.data.orig_exog, state_exog=inputs, **changed)

    def _checked_rows(self, value: object, name: str, steps: int | None = None) -> Array:
        """
        Return future regressors as an array.

        Raises
        ------
        DataError
            If the number of columns or periods is wrong, or the first row of ``state_exog`` contradicts the
            last row of the sample.
        """
        rows, columns = self.future_rows(value, name), len(self.regressor_names[name])
        if rows.shape[1] != columns or steps not in (None, len(rows)):
            expected = f"rows of {columns} columns" if steps is None else f"({steps}, {columns})"
            raise DataError(f"Future {name} has the wrong shape", got=rows.shape, expected=expected)
        if name == "state_exog":
            first, last = rows[0], self.state_exog[-1]
            known = ~np.isnan(last)
            if not np.allclose(first[known], last[known], rtol=1e-10, atol=0.0):
                raise DataError(
                    "The first row of future state_exog is not the last row of the sample, which enters the "
                    "first period after it",
                    got=first.tolist(),
                    expected=last.tolist(),
                    remedy="Begin with the row of the last period, or make that row NaN in the sample.",
                )
        return rows

    def inputs_on(self, value: object, steps: int) -> tuple[Array, Array]:
        """
        Return the row of ``state_exog`` that enters the first new period, and the rows of the new periods.

        The last row of the new periods enters the period after them. It is not known yet, and is NaN.

        Raises
        ------
        DataError
            If the number of rows differs from the number of periods, or the first row contradicts the last
            row of the sample.
        """
        rows = self._checked_rows(value, "state_exog", steps)
        return rows[:1], np.concatenate([rows[1:], np.full((1, self.k_state_exog), np.nan)])

    def unknown_next(self, params: Array) -> Array:
        """Return which states of the period after the sample depend on an unknown input."""
        out = np.zeros(self.ssm.k_states, dtype=bool)
        if self.k_state_exog:
            coefs = self.layout.matrix("state_coef", params)[:, np.isnan(self.state_exog[-1])]
            out[: len(coefs)] = coefs.any(axis=1)
        return out

    def simulate(self, params: object, nsimulations: int, *args: Any, **kwargs: Any) -> Any:
        """
        Simulate a series; see `MLEModel.simulate`. The state of the model does not change.

        ``state_exog`` after the sample is given as in `forecast`.
        """
        model = self.entered(kwargs.get("state_exog"))
        labels = future_labels(kwargs.get("exog"), self.k_exog)
        with self.preserved(), model.following(self.calendar.taken(labels), counts=True):
            return super(OutOfSample, model).simulate(params, nsimulations, *args, **kwargs)


def _check_one_period(value: object, names: list[str], name: str) -> None:
    """
    Reject a Series with one period of several regressors if its index lacks their names.

    Raises
    ------
    DataError
        If the index of the Series does not have the names of the regressors.
    """
    if not isinstance(value, pd.Series) or len(names) < 2:
        return
    labels = [str(each) for each in value.index]
    if labels != names and not value.index.equals(pd.RangeIndex(len(labels))):
        raise DataError(
            f"The labels of {name}, a single row, must be the names of the regressors",
            got=shown(labels),
            expected=shown(names),
        )
