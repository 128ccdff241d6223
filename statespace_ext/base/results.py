"""The base class of all results: prediction, convergence, information criteria and labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from inspect import signature
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from statsmodels.base.wrapper import ResultsWrapper
from statsmodels.tools import eval_measures
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEResults, MLEResultsWrapper

from ..engine.arguments import (
    arguments_of,
    check_keywords,
    names_among,
    one_of,
    positive_integer,
    positive_integers,
    random_generator,
    truth,
)
from ..engine.calendars import said_once
from ..engine.compat import simulation_seed
from ..engine.passes import LazyResults
from ..engine.representation import Removable, without_data
from ..engine.system import MATRICES
from ..engine.validation import check_same_columns, endog_frame, future_labels, regressor_frame
from ..exceptions import DataError, SpecificationError, UnsupportedError, shown
from ..fit.objective import FitResult
from ..inference.information import ParamsCov
from ..inference.order import criteria, observed
from ..numerics.linear_algebra import Array
from .forecasts import Forecasts, Predictions, with_param_uncertainty
from .incomplete_rows import IncompleteRows, completed
from .inference import Derived
from .reporting import Reporting, normal_quantile
from .residuals import Residuals, portmanteau
from .shocks import Shocks
from .standard_errors import StandardErrors
from .states import LazyOutput, frames_of_states


class Inherited:
    """Mixin of the results without code, for type checkers and for editors that complete names."""

    params: pd.Series[float]
    tvalues: pd.Series[float]
    zvalues: pd.Series[float]
    pvalues: pd.Series[float]
    fittedvalues: pd.DataFrame | pd.Series[float]
    resid: pd.DataFrame | pd.Series[float]
    llf: float
    aic: float
    nobs: int
    mle_retvals: dict[str, Any] | None
    mle_settings: dict[str, Any]
    cov_type: str
    llf_obs: Array
    smoothed_state: Array
    smoothed_state_cov: Array
    filtered_state: Array
    filtered_state_cov: Array
    predicted_state: Array
    predicted_state_cov: Array
    forecasts: Array
    forecasts_error: Array
    forecasts_error_cov: Array
    standardized_forecasts_error: Array

    if TYPE_CHECKING:

        def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
            """Return intervals of the estimates; see `MLEResults.conf_int`."""
            ...

        def forecast(self, steps: Any = 1, **kwargs: object) -> pd.DataFrame | pd.Series[float]:
            """Return forecasts; see `MLEResults.forecast`."""
            ...

        def predict(
            self, start: Any = None, end: Any = None, dynamic: Any = False, **kwargs: object
        ) -> pd.DataFrame | pd.Series[float]:
            """Return predictions; see `MLEResults.predict`."""
            ...


class _Wrapped(type):
    """Metaclass of results. A wrapper of statsmodels counts as an instance of the results that it wraps."""

    def __instancecheck__(cls, instance: object) -> bool:
        wrapped = instance._results if isinstance(instance, ResultsWrapper) else instance
        return super().__instancecheck__(wrapped) or super().__instancecheck__(instance)


class StateSpaceResults(
    Inherited,
    Reporting,
    Residuals,
    Forecasts,
    Shocks,
    StandardErrors,
    Derived,
    IncompleteRows,
    Removable,
    LazyOutput,
    MLEResults,
    metaclass=_Wrapped,
):
    """
    Results of a model of this package.

    Standard errors are computed when they are first needed. Parameters that are not identified, or lie on a
    boundary, have NaN as their standard error. `summary` lists these parameters and the reason.
    """

    model: Any
    _fit: FitResult | None = None
    _constructed = False
    _cache: dict[str, Any]
    _cov: ParamsCov | None = None

    def __init__(
        self, model: Any, params: object, results: Any, cov_type: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        lazy = isinstance(results, LazyResults)
        unknown = model.unknown_next(np.asarray(params, dtype=float))
        if unknown.any() and not results.memory_no_predicted_mean:
            results.predicted_state = np.array(results.predicted_state)
            results.predicted_state[unknown, -1] = np.nan
        if not lazy and results.standardized_forecasts_error is not None:
            # statsmodels sets periods without observations to zero; its tests of residuals would count them
            errors, unseen = results.standardized_forecasts_error, np.asarray(results.missing, dtype=bool)
            results._standardized_forecasts_error = np.where(unseen, np.nan, errors)
        self._own_initialization = model.user_initialization is None
        with results.held_back() if lazy else nullcontext():
            super().__init__(model, params, results, cov_type or "oim", *args, **kwargs)
        self._constructed = True

    @property
    def _series(self) -> list[Hashable]:
        """The names of the series, as the data have them."""
        names: list[Hashable] = np.atleast_1d(self.model.endog_names).tolist()
        return names

    @cached_property
    def states(self) -> SimpleNamespace:
        """DataFrames of the predicted, filtered and smoothed states, and of their covariances."""
        return frames_of_states(self)

    # -- the model as it was at the pass of the filter -------------------------------------------------

    @property
    def user_initialization(self) -> Initialization | None:
        """The initialization of the pass if the user set it on ``model.ssm``; None if it was the model's."""
        return None if self._own_initialization else self.filter_results.model.initialization

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Temporarily restore the initialization and the flags that the model had at the pass."""
        own, model = self.filter_results.model, self.model
        flags = {name: value for name, value in vars(own).items() if isinstance(value, (bool, int, float))}
        with model.preserved():
            vars(model.ssm).update(flags)
            if not self._own_initialization:
                model.ssm.initialization = own.initialization
            elif model.user_initialization is not None:
                model.ssm.initialization = model._written_initialization = own.initialization
            yield

    def remove_data(self) -> None:
        """
        Remove the data and the output of the filter, as `MLEResults.remove_data`. Keep the standard errors.

        A copy without data replaces the model of these results. The original model and its other results
        keep their data. Afterwards, methods that need the data raise `DataError`.
        """
        if not self._removed:
            for name in ("params_cov", "llf", "_counts"):
                getattr(self, name)  # computed before the data are removed
            self.model, self._removed = without_data(self.model), True
            for name in (*self._data_attr, "states"):
                self.__dict__.pop(name, None)
            for name in [name for name, value in self._cache.items() if np.ndim(value)]:
                del self._cache[name]

    # -- information criteria --------------------------------------------------------------------------

    @cached_property
    def _counts(self) -> tuple[int, int]:
        """The number of observed values in the log-likelihood, and of periods with such a value."""
        return observed(np.asarray(self.filter_results.missing).T[self.loglikelihood_burn :] == 0)

    @property
    def _criteria(self) -> dict[str, float]:
        return criteria(self.llf, self.df_model, *self._counts)

    @property
    def aicc(self) -> float:
        """AICc; n counts observed values."""
        return self._criteria["aicc"]

    @property
    def bic(self) -> float:
        """BIC; n counts periods with data."""
        return self._criteria["bic"]

    @property
    def hqic(self) -> float:
        """HQIC; n counts periods with data."""
        return self._criteria["hqic"]

    def info_criteria(self, criteria: str, method: str = "standard") -> float:
        """Return an information criterion, as `MLEResults.info_criteria`. Its n is the number of periods."""
        name = str(criteria).lower()
        if str(method).lower() != "standard" or name not in ("bic", "hqic"):
            return float(super().info_criteria(criteria, method))
        return float(getattr(eval_measures, name)(self.llf, self.nobs_effective, self.df_model))

    # -- the fit ---------------------------------------------------------------------------------------

    def attach(self, fit: FitResult, full_output: bool = True) -> None:
        """Attach the outcome of an estimation to the results."""
        self._fit = fit
        self.mle_settings = {"optimizer": fit.method}
        self.mle_retvals = None
        if full_output:
            self.mle_retvals = {
                "converged": fit.converged,
                "iterations": fit.iterations,
                "fcalls": fit.evaluations,
                "warnflag": 0 if fit.converged else 1,
                "task": fit.status,
                "score_norm": fit.score_norm,
                "predicted_gain": fit.gain,
                "starts": len(fit.starts),
                "starts_at_best": fit.starts_at_best,
            }
        self.mlefit = SimpleNamespace(
            params=np.asarray(self.params), mle_retvals=self.mle_retvals, mle_settings=self.mle_settings
        )

    @property
    def converged(self) -> bool:
        """Whether the fit met its convergence criteria. False without a fit."""
        return bool(self._fit is not None and self._fit.converged)

    @property
    def em_trace(self) -> pd.DataFrame:
        """
        The trace of the fit: iteration, llf, change, params_change, and the final score_norm.

        For EM methods, the trace has one row per E-step, and begins with the start values. For gradient
        methods, including the default, it has one row per iteration, without params_change.
        """
        columns = ["iteration", "llf", "change", "params_change", "score_norm"]
        if self._fit is None:
            return pd.DataFrame(columns=columns, dtype=float)
        frame = pd.DataFrame(self._fit.trace)
        frame["iteration"] = frame["iteration"].astype(int)
        frame["score_norm"] = np.nan
        if len(frame):
            frame.loc[frame.index[-1], "score_norm"] = self._fit.score_norm
        return frame

    def test_serial_correlation(
        self, method: str | None = None, df_adjust: bool = False, lags: Any = None
    ) -> Array:
        """Test the residuals for autocorrelation, as in statsmodels. Missing residuals are omitted."""
        box_pierce = method is not None and one_of(method, ("ljungbox", "boxpierce"), "method") == "boxpierce"
        model_df = max(0, self.df_model - self.k_diffuse_states - 1) if truth(df_adjust, "df_adjust") else 0
        errors = self.filter_results.standardized_forecasts_error
        if errors is None:
            raise UnsupportedError(
                "The fit did not store the residuals", remedy="Fit without low_memory=True."
            )
        first = max(self.loglikelihood_burn, self.nobs_diffuse)
        residuals = [series[~np.isnan(series)] for series in errors[:, first:]]
        lags = max(1, min(10, (self.nobs - first) // 5)) if lags is None else lags
        longest = positive_integers(lags, "lags")
        fewest = min(map(len, residuals))
        if max(longest) >= fewest:
            raise SpecificationError(
                "lags must be smaller than the number of residuals",
                got=shown(longest),
                expected=f"fewer than {fewest}",
            )
        given = np.asarray(longest) if np.ndim(lags) else np.arange(1, longest[0] + 1)
        return np.array([portmanteau(series, given, box_pierce, model_df) for series in residuals])

    # -- prediction and simulation ---------------------------------------------------------------------

    def get_prediction(
        self, *args: Any, exog: object = None, param_uncertainty: bool = False, **kwargs: Any
    ) -> Any:
        """
        Return predictions; see `MLEResults.get_prediction`.

        Parameters
        ----------
        *args, **kwargs
            As in `MLEResults.get_prediction`. ``state_exog`` also accepts future values.
        exog : array_like, optional
            Future values of the regressors.
        param_uncertainty : bool
            Whether standard errors include parameter uncertainty, as in `get_forecast`.

        Returns
        -------
        PredictionResults
            The predictions. With ``information_set="smoothed"`` or ``"filtered"``, the prediction of a
            missing value also uses the noise of the observed values in the same period, if their noises are
            correlated. The prediction of an observed value is d + Z x.
        """
        uncertain = truth(param_uncertainty, "param_uncertainty")
        self._check_keywords("get_prediction", {**kwargs, "exog": exog}, "param_uncertainty")
        res = self._entered(kwargs.get("state_exog"))
        after = self.model.calendar.taken(future_labels(exog, self.model.k_exog))
        with res._as_it_was(), arguments_of("get_prediction"), res.model.following(after):
            out = completed(super(StateSpaceResults, res).get_prediction(*args, exog=exog, **kwargs))
        out._results.__class__ = Predictions
        if uncertain:
            plain = StateSpaceResults.get_prediction  # subclasses have already set exog
            with_param_uncertainty(self, out, lambda at: plain(at, *args, exog=exog, **kwargs))
        self.model.data.predict_dates = res.model.data.predict_dates
        return out

    def news(self, comparison: object, *args: object, **kwargs: object) -> Any:
        """
        Return the effect of new and revised data on predictions; see `MLEResults.news`.

        Parameters
        ----------
        comparison : array_like or results
            Previous or updated data, or results for these data at the same parameters.
        *args, **kwargs
            As in `MLEResults.news`.

        Returns
        -------
        NewsResults
            The impacts. For a value that is missing in both data sets, the impact is the change in E[y|Y].
            For an observed value, it is the change in d + Z x. For a newly observed value, the earlier
            prediction also uses the noise of the values of its period that were observed before. The
            contributions of news and revisions add up to the change.

        Raises
        ------
        SpecificationError
            If the results have different parameters or regressors, ``impacted_variable`` is not a series of
            the model, or statsmodels rejects the arguments.
        """
        with self._as_it_was(), said_once(), arguments_of("news"):
            given = signature(MLEResults.news).bind(self, comparison, *args, **kwargs).arguments
            names_among(given.get("impacted_variable"), self._series, "impacted_variable")
            return super().news(comparison, *args, **kwargs)

    def simulate(self, nsimulations: int, *args: object, rng: object = None, **kwargs: object) -> Any:
        """
        Simulate at the estimates, as `MLEResults.simulate`.

        ``rng`` is a Generator or a seed. ``random_state`` is its name before statsmodels 0.15.
        """
        self._check_keywords("simulate", kwargs, "rng", "random_state")
        earlier = kwargs.pop("random_state", None)
        if rng is not None and earlier is not None:
            raise SpecificationError("rng and random_state are both given", remedy="Give rng only.")
        rng = earlier if rng is None else rng
        count = positive_integer(nsimulations, "nsimulations")
        generator = None if rng is None else random_generator(rng)
        res = self._entered(kwargs.get("state_exog"))
        with res._as_it_was(), arguments_of("simulate"), simulation_seed(generator) as seed:
            return super(StateSpaceResults, res).simulate(count, *args, **seed, **kwargs)

    def _check_keywords(self, method: str, given: Mapping[str, object], *more: str) -> None:
        """Reject arguments that neither the method of statsmodels nor the periods after the sample take."""
        model = self.model
        for name, columns in model.regressor_names.items():
            if given.get(name) is not None and not columns:
                raise DataError(f"The model has no {name}", got=f"future {name}", remedy="Leave it out.")
        known = [*signature(getattr(MLEResults, method)).parameters, *more, "exog", "state_exog", *MATRICES]
        known += [*model.period_arguments, *model.arguments_of_periods(slice(None))]
        known = [name for name in known if name not in ("self", "kwargs")]
        check_keywords(method, given, known, model.elsewhere_ahead)

    def _entered(self, state_exog: object) -> StateSpaceResults:
        """Return results in which the last row of ``state_exog`` is the first of the given rows."""
        model = self.model.entered(state_exog)
        if model is self.model:
            return self
        run = model.filter if self.smoother_results is None else model.smooth
        return cast(StateSpaceResults, run(self.params, includes_fixed=True, cov_type="none")._results)

    def append(self, endog: Any, exog: object = None, *args: object, **kwargs: Any) -> Any:
        """
        Append new data; see `MLEResults.append`. Pass ``exog`` and ``state_exog`` for the new periods.

        An initialization that you set on ``model.ssm`` is kept.
        """
        model = self.model
        index = self._continuation(endog, exog)
        exog = self._new_rows(exog, len(endog), index)
        if index is not None and model.data.row_labels is None:
            kwargs.setdefault("dates", model.calendar.labels.append(index))
        if self.user_initialization is not None:
            kwargs.setdefault("initialization", self.user_initialization)
        if model.k_state_exog and kwargs.get("state_exog") is not None:
            first, rows = model.inputs_on(kwargs["state_exog"], len(endog))
            kwargs["state_exog"] = self._input_frame(
                np.concatenate([model.state_exog[:-1], first, rows]), 0, index
            )
        with model.following(index, counts=True):
            return super().append(endog, exog, *args, **kwargs)

    def extend(self, endog: Any, exog: object = None, fit_kwargs: object = None, **kwargs: Any) -> Any:
        """Continue with new data after the sample; see `MLEResults.extend`."""
        model, past = self.model, self.filter_results
        index = self._continuation(endog, exog)
        exog = self._new_rows(exog, len(endog), index)
        if model.k_state_exog and kwargs.get("state_exog") is not None:
            first, rows = model.inputs_on(kwargs["state_exog"], len(endog))
            kwargs["state_exog"] = self._input_frame(rows, model.nobs, index)
            past = self._entered(first).filter_results
        if index is not None and model.data.row_labels is None:
            kwargs.setdefault("dates", index)
        elif index is not None:
            endog = pd.DataFrame(np.asarray(endog), index=index, columns=self._series)
        longer = model.clone(endog, exog, **kwargs)
        mean, cov = past.predicted_state[..., -1], past.predicted_state_cov[..., -1]
        return self._extended(longer, mean, cov, fit_kwargs)

    def _extended(self, model: Any, mean: Array, cov: Array, fit_kwargs: object) -> Any:
        """Return results for later data at the estimates; mean and cov of their first state are given."""
        known = Initialization(model.k_states, "known", constant=mean, stationary_cov=cov)
        known.from_earlier_data = True
        model.ssm.initialization = known
        return self._apply(model, refit=False, fit_kwargs=fit_kwargs)

    def _apply(self, mod: Any, refit: bool = False, fit_kwargs: object = None) -> Any:
        """Return results for other data at the estimates; continue the pass if they extend this sample."""
        mod.ssm.earlier = None if refit else self.filter_results
        try:
            return super()._apply(mod, refit=refit, fit_kwargs=fit_kwargs)
        finally:
            mod.ssm.earlier = None

    def _continuation(self, endog: Any, exog: object) -> pd.Index | None:
        """Return labels of new periods, or None without labels; reject wrong series or periods."""
        check_same_columns(endog_frame(endog), self._series, "The new endog")
        calendar, steps = self.model.calendar, len(endog)
        return calendar.following(steps, endog, exog) if calendar.given else None

    def _input_frame(self, rows: Array, first: int, index: pd.Index | None) -> pd.DataFrame:
        """Return rows of ``state_exog`` from a given period on, labelled if the sample is labelled."""
        model, last = self.model, first + len(rows) - 1
        labels = None if model.data.row_labels is None else model.calendar.between(first, last, index)
        return pd.DataFrame(rows, index=labels, columns=model.regressor_names["state_exog"])

    def _new_rows(self, exog: object, steps: int, index: pd.Index | None) -> Array | pd.DataFrame | None:
        """Return ``exog`` of new periods, labelled if the sample is labelled."""
        frame, names = regressor_frame(exog, steps, index, "exog"), self.model.regressor_names["exog"]
        if frame is None:
            return None
        check_same_columns(frame, names, "The new exog")
        if index is None or self.model.data.row_labels is None:
            return np.asarray(frame)
        columns = getattr(self.model.data.orig_exog, "columns", names)  # an array has none
        return pd.DataFrame(np.asarray(frame), index=index, columns=columns)


class StateSpaceResultsWrapper(MLEResultsWrapper):
    """Wrapper that adds labels to results, as in statsmodels."""

    def __repr__(self) -> str:
        return repr(self._results)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return confidence intervals with coverage 1 - alpha; see `MLEResults.conf_int`."""
        normal_quantile(alpha)  # raises an error unless 0 < alpha < 1
        return super().conf_int(alpha)

    def cov_params(self, r_matrix: object = None, column: object = None, *args: Any, **kwargs: Any) -> Any:
        """Return the labelled covariance of the estimates, or that of functions of them; see `Derived`."""
        out = self._results.cov_params(r_matrix, column, *args, **kwargs)
        whole = r_matrix is None and column is None
        return self._results.model.data.wrap_output(out, "cov") if whole else out

    def impulse_responses(self, steps: int = 1, *args: object, **kwargs: object) -> Any:
        """Return the responses to an impulse of a shock; see `MLEResults.impulse_responses`."""
        with arguments_of("impulse_responses"):
            return super().impulse_responses(steps, *args, **kwargs)
