"""What the results of every model share: lazy standard errors, convergence, boundaries, identification."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.tsa.statespace.mlemodel import MLEResults, MLEResultsWrapper

from ..exceptions import DataError, SpecificationError, UnsupportedError, shown
from ..inference.boundary import boundary_params
from ..inference.cov_types import DESCRIPTIONS, check_cov_type, information_parts
from ..inference.information import ParamsCov, params_covariance
from ..inference.reduced_rank import reduced_rank_cov
from ..numerics.linear_algebra import NOT_HERE, Array, quiet
from ..statespace.arguments import one_of, positive_integer, positive_integers, random_generator, truth
from ..statespace.compat import simulation_seed
from ..statespace.keywords import arguments_of, check_keywords
from ..statespace.system import MATRICES
from ..statespace.validation import (
    check_same_columns,
    endog_frame,
    regressor_frame,
)
from .derived import Derived
from .refitting import Refitting
from .reporting import Reporting
from .tidy import normal_quantile


class StateSpaceResults(Reporting, Derived, Refitting, MLEResults):
    """
    Results of a model of this package.

    Standard errors are computed when first asked for. Parameters that are not identified, or stand at a
    boundary, have none (NaN), and `summary` says which and why.
    """

    _fit: Any = None
    _cov: ParamsCov | None = None

    def __init__(
        self, model: Any, params: Any, results: Any, cov_type: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        errors = None if results.memory_no_forecast else results.standardized_forecasts_error
        if errors is not None:
            # statsmodels has zeros in a row that is all missing; its tests of residuals would count them
            unseen = np.asarray(results.missing, dtype=bool)
            results._standardized_forecasts_error = np.where(unseen, np.nan, errors)
        super().__init__(model, params, results, cov_type or "oim", *args, **kwargs)

    # -- standard errors -------------------------------------------------------------------------------

    def _get_robustcov_results(self, cov_type: str = "oim", **kwargs: Any) -> StateSpaceResults:
        kwargs.pop("use_self", None)
        self.cov_kwds: dict[str, Any] = {}
        if cov_type == "custom":
            self.cov_type = kwargs["custom_cov_type"]
            self._cov = ParamsCov(np.asarray(kwargs["custom_cov_params"]), len(self.params), [])
            self.cov_kwds["description"] = kwargs["custom_description"]
            return self
        check_cov_type(cov_type)
        self.cov_type = cov_type
        self.cov_kwds["description"] = DESCRIPTIONS[cov_type]
        return self

    @property
    def params_cov(self) -> ParamsCov:
        """Covariance of the estimates with its notes, computed once."""
        if self._cov is None:
            self._cov = self._compute_cov(self.cov_type)
        return self._cov

    def _compute_cov(self, cov_type: str) -> ParamsCov:
        params = np.asarray(self.params, dtype=float)
        if cov_type == "none" or self._dependence():
            return ParamsCov(np.full((len(params),) * 2, np.nan), 0, [])
        found, index = self._found_inside, self._found_inside.free
        information, middle, steps = information_parts(self.model, params, index, cov_type)
        out = params_covariance(information, index, found.flat, len(params), middle)
        if cov_type == "oim" and self.boundary and not found.n_flat:
            out = self._reduced_rank(out, params, index, steps)
        lost = [name for name in found.names if name not in self.identification.names]
        if lost:
            note = f"Without effect while a variance is zero, and without standard errors: {shown(lost)}."
            out = replace(out, notes=[note, *out.notes])
        return out

    def _reduced_rank(self, held: ParamsCov, params: Array, index: Array, steps: Array) -> ParamsCov:
        """Return the covariance in the model of lower rank, where one covariance matrix is singular."""
        layout = self.model.layout
        keys = {key for key in layout.covariances if set(layout.blocks[key].names) & set(self.boundary)}
        if len(keys) != 1 or set(layout.blocks[next(iter(keys))].names) != set(self.boundary):
            return held
        try:
            with self.model.preserved(), quiet():
                found = reduced_rank_cov(self.model, layout, params, next(iter(keys)), index, steps)
        except NOT_HERE:  # no score, or no finite one, a step away
            return held
        if found is None or not np.all(np.isfinite(found)):
            return held
        cov = np.full_like(held.cov, np.nan)
        cov[np.ix_(index, index)] = found
        return replace(held, cov=cov)

    @cached_property
    def _found_inside(self) -> Any:
        """Flat directions among the parameters that are not at a boundary, with the others held there."""
        if not self._boundary_values:
            return self.identification
        params = np.array(self.params, dtype=float)
        params[self.model.layout.positions(self.boundary)] = list(self._boundary_values.values())
        return self.model.identification(params, {**self._fixed, **self._boundary_values})

    @property
    def cov_params_default(self) -> Array:
        """Covariance matrix of the estimates, of the type given to `fit`."""
        return self.params_cov.cov

    @cov_params_default.setter
    def cov_params_default(self, value: Array) -> None:
        self._cov = ParamsCov(np.asarray(value), len(value), [])

    def cov_params_of(self, cov_type: str) -> Array:
        """
        Return the covariance of the estimates by another estimate, without a new fit.

        Parameters
        ----------
        cov_type : {"oim", "opg", "robust", "harvey", "approx", "none"}
            As in `fit`.
        """
        check_cov_type(cov_type)
        return self._compute_cov(cov_type).cov

    cov_params_oim = property(lambda self: self.cov_params_of("oim"), doc="See `cov_params_of`.")
    cov_params_approx = property(lambda self: self.cov_params_of("approx"), doc="See `cov_params_of`.")
    cov_params_opg = property(lambda self: self.cov_params_of("opg"), doc="See `cov_params_of`.")
    cov_params_robust = property(lambda self: self.cov_params_of("robust"), doc="See `cov_params_of`.")
    cov_params_robust_oim = cov_params_robust

    @property
    def _rank(self) -> float:
        return float(len(self.params))

    @_rank.setter
    def _rank(self, value: object) -> None:
        pass

    # -- identification and boundaries -----------------------------------------------------------------

    @property
    def identification(self) -> Any:
        """Flat directions of the likelihood (`Identification`)."""
        if not hasattr(self, "_identification"):
            self._identification = self.model.identification(np.asarray(self.params), self._fixed)
        return self._identification

    @property
    def _fixed(self) -> dict[str, float]:
        return dict(self._fixed_params) if self._has_fixed_params else {}

    @property
    def boundary(self) -> list[str]:
        """Parameters of a covariance matrix that is singular at the estimates."""
        return list(self._boundary_values)

    @cached_property
    def _boundary_values(self) -> dict[str, float]:
        layout = self.model.layout.fix(self._fixed)
        params = np.asarray(self.params, dtype=float)
        free = params[self.model.layout.positions(layout.names)]
        return boundary_params(layout, free, self.model.variance_sizes(params))

    @property
    def df_model(self) -> int:
        """Number of identified free parameters, and of exact-diffuse states."""
        return int(self._df_declared) - self.identification.n_flat

    @df_model.setter
    def df_model(self, value: int) -> None:
        self._df_declared = value

    @property
    def df_resid(self) -> int:
        """Periods less `df_model`."""
        return int(self.nobs_effective) - self.df_model

    @df_resid.setter
    def df_resid(self, value: int) -> None:
        pass

    # -- the fit ---------------------------------------------------------------------------------------

    def attach(self, fit: Any, full_output: bool = True) -> None:
        """Attach the outcome of an estimation."""
        self._fit = fit
        self.mlefit = SimpleNamespace(params=np.asarray(self.params), mle_retvals=None, mle_settings=None)
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
            }
        self.mlefit.mle_retvals, self.mlefit.mle_settings = self.mle_retvals, self.mle_settings

    @property
    def converged(self) -> bool:
        """Whether the fit met its criteria; False where there was no fit."""
        return bool(self._fit is not None and self._fit.converged)

    @property
    def em_trace(self) -> pd.DataFrame:
        """Trace of EM, one row by E-step: iteration, llf, change, params_change, score_norm at the end."""
        columns = ["iteration", "llf", "change", "params_change", "score_norm"]
        if self._fit is None:
            return pd.DataFrame(columns=columns, dtype=float)
        frame = pd.DataFrame(self._fit.em_trace)
        frame["iteration"] = frame["iteration"].astype(int)
        frame["score_norm"] = np.nan
        if len(frame) and not self._fit.gradient_path:
            frame.loc[frame.index[-1], "score_norm"] = self._fit.score_norm
        return frame

    def test_serial_correlation(
        self, method: str | None = None, df_adjust: bool = False, lags: Any = None
    ) -> Array:
        """Test residuals for autocorrelation, as statsmodels does; missing ones are left out."""
        box_pierce = method is not None and one_of(method, ("ljungbox", "boxpierce"), "method") == "boxpierce"
        model_df = max(0, self.df_model - self.k_diffuse_states - 1) if truth(df_adjust, "df_adjust") else 0
        errors = self.filter_results.standardized_forecasts_error
        if errors is None:
            raise UnsupportedError("The fit kept no residuals", remedy="Fit without low_memory=True.")
        first = max(self.loglikelihood_burn, self.nobs_diffuse)
        residuals = [series[~np.isnan(series)] for series in errors[:, first:]]
        longest = positive_integers(
            max(1, min(10, (self.nobs - first) // 5)) if lags is None else lags, "lags"
        )
        fewest = min(map(len, residuals))
        if max(longest) >= fewest:
            raise SpecificationError(
                "lags are more than the residuals allow", got=shown(longest), expected=f"less than {fewest}"
            )
        out = []
        for series in residuals:
            given = longest if np.ndim(lags) else longest[0]
            table = acorr_ljungbox(series, lags=given, boxpierce=box_pierce, model_df=model_df)
            out.append(np.asarray(table)[:, [2, 3] if box_pierce else [0, 1]].T)
        return np.array(out)

    # -- prediction and simulation ---------------------------------------------------------------------

    def get_prediction(self, *args: Any, exog: object = None, **kwargs: Any) -> Any:
        """Return predictions, as `MLEResults.get_prediction`; ``state_exog`` takes future values too."""
        known = [*signature(MLEResults.get_prediction).parameters, "exog", "state_exog", *MATRICES]
        check_keywords("get_prediction", kwargs, [name for name in known if name not in ("self", "kwargs")])
        for name, count, value in (
            ("exog", self.model.k_exog, exog),
            ("state_exog", self.model.k_state_exog, kwargs.get("state_exog")),
        ):
            if value is not None and not count:
                raise DataError(f"The model has no {name}", got=f"future {name}", remedy="Leave it out.")
        with self.model.preserved(), arguments_of("get_prediction"):
            return super().get_prediction(*args, exog=exog, **kwargs)

    def simulate(self, nsimulations: int, *args: Any, rng: object = None, **kwargs: Any) -> Any:
        """Simulate at the estimates, as `MLEResults.simulate`; ``rng`` is a Generator or a seed."""
        count = positive_integer(nsimulations, "nsimulations")
        generator = None if rng is None else random_generator(rng)
        with self.model.preserved(), arguments_of("simulate"), simulation_seed(generator) as seed:
            return super().simulate(count, *args, **seed, **kwargs)

    def append(self, endog: object, exog: object = None, *args: Any, **kwargs: Any) -> Any:
        """Append data; see `MLEResults.append`. ``exog`` and ``state_exog`` are those of the new periods."""
        index = self._continuation(endog)
        exog = self._new_rows(exog, "exog", endog, index)
        added = self._new_rows(kwargs.get("state_exog"), "state_exog", endog, index)
        if added is not None:
            rows = np.concatenate([self.model.state_exog, np.asarray(added)])
            whole = None if index is None else self.model.data.row_labels.append(index)
            kwargs["state_exog"] = pd.DataFrame(
                rows, index=whole, columns=self.model.regressor_names["state_exog"]
            )
        return super().append(endog, exog, *args, **kwargs)

    def extend(self, endog: object, exog: object = None, *args: Any, **kwargs: Any) -> Any:
        """Go on with data that follow the sample; see `MLEResults.extend`."""
        exog = self._new_rows(exog, "exog", endog, self._continuation(endog))
        return super().extend(endog, exog, *args, **kwargs)

    def _continuation(self, endog: Any) -> pd.Index | None:
        """Return the index of new periods, None where the sample has none; refuse other series or periods."""
        names = np.atleast_1d(self.model.endog_names).tolist()
        check_same_columns(endog_frame(endog), names, "The new endog")
        if not hasattr(self.model.data.orig_endog, "index"):
            return None
        nobs, given = self.model.nobs, getattr(endog, "index", None)
        expected: pd.Index = self.model._get_prediction_index(nobs, nobs + len(endog) - 1)[3]
        if isinstance(given, pd.Index) and not given.equals(expected):
            raise DataError(
                "The index of the new endog does not continue that of the sample",
                got=f"{given[0]} to {given[-1]}",
                expected=f"{expected[0]} to {expected[-1]}",
            )
        return expected

    def _new_rows(self, value: object, name: str, endog: Any, index: pd.Index | None) -> Any:
        """Return regressors of new periods, labelled as those of the sample where these have labels."""
        frame = regressor_frame(value, len(endog), index, name)
        if frame is None:
            return None
        labels = self.model.regressor_names[name]
        check_same_columns(frame, labels, f"The new {name}")
        rows = np.asarray(frame)
        return rows if index is None else pd.DataFrame(rows, index=index, columns=labels)


class StateSpaceResultsWrapper(MLEResultsWrapper):
    """Wrapper that labels results, as statsmodels has it."""

    def __repr__(self) -> str:
        return repr(self._results)

    def conf_int(self, alpha: float = 0.05) -> Any:
        """Return intervals of the parameters of coverage 1 - alpha; see `MLEResults.conf_int`."""
        normal_quantile(alpha)  # which refuses what is no probability
        return super().conf_int(alpha)

    def impulse_responses(self, steps: int = 1, *args: Any, **kwargs: Any) -> Any:
        """Return responses to an impulse of a shock; see `MLEResults.impulse_responses`."""
        with arguments_of("impulse_responses"):
            return super().impulse_responses(steps, *args, **kwargs)
