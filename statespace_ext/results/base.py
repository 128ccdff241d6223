"""What the results of every model share: lazy standard errors, convergence, boundaries, identification."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.mlemodel import MLEResults, MLEResultsWrapper

from ..exceptions import DataError, SpecificationError, shown
from ..inference.boundary import boundary_params
from ..inference.information import ParamsCov, numerical_information, observed_information, params_covariance
from ..numerics.linear_algebra import Array
from ..statespace.compat import simulation_seed

COV_TYPES = ("oim", "approx", "none")
_DESCRIPTIONS = {
    "oim": "Standard errors from the observed information: differences of the exact score.",
    "approx": "Standard errors from second differences of the log-likelihood.",
    "none": "Standard errors were not computed.",
}


class StateSpaceResults(MLEResults):
    """
    Results of a model of this package.

    Standard errors are computed when first asked for. Parameters that are not identified, or stand at a
    boundary, have none (NaN), and `summary` says which and why.
    """

    _fit: Any = None
    _cov: ParamsCov | None = None

    def __init__(self, model: Any, params: Any, results: Any, *args: Any, **kwargs: Any) -> None:
        errors = None if results.memory_no_forecast else results.standardized_forecasts_error
        if errors is not None:
            # statsmodels has zeros in a row that is all missing; its tests of residuals would count them
            unseen = np.asarray(results.missing, dtype=bool)
            results._standardized_forecasts_error = np.where(unseen, np.nan, errors)
        super().__init__(model, params, results, *args, **kwargs)

    # -- standard errors -------------------------------------------------------------------------------

    def _get_robustcov_results(self, cov_type: str = "oim", **kwargs: Any) -> StateSpaceResults:
        kwargs.pop("use_self", None)
        self.cov_kwds: dict[str, Any] = {}
        if cov_type == "custom":
            self.cov_type = kwargs["custom_cov_type"]
            self._cov = ParamsCov(np.asarray(kwargs["custom_cov_params"]), len(self.params), [])
            self.cov_kwds["description"] = kwargs["custom_description"]
            return self
        if cov_type in ("opg", None) and self._fit is None:
            cov_type = "oim"
        if cov_type not in COV_TYPES:
            raise SpecificationError(
                "cov_type is unknown", got=repr(cov_type), expected=f"one of {COV_TYPES}"
            )
        self.cov_type = cov_type
        self.cov_kwds["description"] = _DESCRIPTIONS[cov_type]
        return self

    @property
    def params_cov(self) -> ParamsCov:
        """Covariance of the estimates with its notes, computed once."""
        if self._cov is None:
            self._cov = self._compute_cov(self.cov_type)
        return self._cov

    def _compute_cov(self, cov_type: str) -> ParamsCov:
        params = np.asarray(self.params, dtype=float)
        if cov_type == "none":
            return ParamsCov(np.full((len(params),) * 2, np.nan), 0, [])
        with self.model.preserved():
            found = self.identification
            inner = ~np.isin(found.free, self._boundary_places)
            index = found.free[inner]
            if cov_type == "oim":
                information = observed_information(self.model, params, index)
            else:
                information = numerical_information(
                    lambda at: self.model.loglike(at, includes_fixed=True), params, index
                )
        flat = found.flat[inner]
        flat = flat[:, np.linalg.norm(flat, axis=0) > 1e-6] if flat.size else flat
        return params_covariance(information, index, flat, len(params))

    @property
    def cov_params_default(self) -> Array:
        """Covariance matrix of the estimates, of the type given to `fit`."""
        return self.params_cov.cov

    @cov_params_default.setter
    def cov_params_default(self, value: Array) -> None:
        self._cov = ParamsCov(np.asarray(value), len(value), [])

    @property
    def cov_params_oim(self) -> Array:
        """Covariance from differences of the exact score."""
        return self._compute_cov("oim").cov

    @property
    def cov_params_approx(self) -> Array:
        """Covariance from second differences of the log-likelihood."""
        return self._compute_cov("approx").cov

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
        if not hasattr(self, "_boundary"):
            params = np.asarray(self.params, dtype=float)
            self._boundary = boundary_params(self.model.layout, params, self.model.variance_sizes(params))
        return self._boundary

    @property
    def _boundary_places(self) -> Array:
        return self.model.layout.positions(self.boundary)

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

    def status_lines(self) -> list[str]:
        """Return what `summary` says of the fit: convergence, boundary, identification."""
        lines = []
        fit = self._fit
        if fit is not None:
            word = "Converged" if fit.converged else "NOT CONVERGED"
            lines.append(
                f"{word}: method {fit.method}, {fit.iterations} iterations, scaled score {fit.score_norm:.2g}"
                + ("." if fit.converged else f"; {fit.status}.")
            )
            if len(fit.starts) > 1:
                lines.append(
                    f"{fit.starts_at_best} of {len(fit.starts)} starts reached the best log-likelihood."
                )
        if self.boundary:
            lines.append(
                f"At a boundary (singular covariance), without standard errors: {shown(self.boundary)}."
            )
        if self.identification.message:
            lines.append(self.identification.message)
        return lines + self.params_cov.notes

    def summary(self, *args: Any, **kwargs: Any) -> Any:
        """Return the summary of statsmodels, with the status of the fit below it."""
        cov = self.params_cov
        out = super().summary(*args, **kwargs)
        note = [self.cov_kwds.get("description", "")] if cov is not None else []
        out.extra_txt = None
        lines = [line for line in note + self.status_lines() if line]
        out.add_extra_txt([f"[{i + 1}] {line}" for i, line in enumerate(lines)])
        return out

    # -- prediction and simulation ---------------------------------------------------------------------

    def get_prediction(self, *args: Any, exog: object = None, **kwargs: Any) -> Any:
        """Return predictions, as `MLEResults.get_prediction`; ``state_exog`` takes future values too."""
        for name, count, value in (
            ("exog", self.model.k_exog, exog),
            ("state_exog", self.model.k_state_exog, kwargs.get("state_exog")),
        ):
            if value is not None and not count:
                raise DataError(f"The model has no {name}", got=f"future {name}", remedy="Leave it out.")
        with self.model.preserved():
            out = super().get_prediction(*args, exog=exog, **kwargs)
        return out

    def simulate(self, nsimulations: int, *args: Any, rng: object = None, **kwargs: Any) -> Any:
        """Simulate at the estimates, as `MLEResults.simulate`; ``rng`` is a Generator or a seed."""
        with self.model.preserved():
            return super().simulate(nsimulations, *args, **simulation_seed(rng), **kwargs)

    def append(self, endog: object, exog: object = None, *args: Any, **kwargs: Any) -> Any:
        """Append data; see `MLEResults.append`. ``state_exog`` is that of the new periods."""
        added = kwargs.get("state_exog")
        if added is not None:
            rows = np.asarray(added, dtype=float).reshape(-1, self.model.k_state_exog)
            kwargs["state_exog"] = np.concatenate([self.model.state_exog, rows])
        return super().append(endog, exog, *args, **kwargs)


class StateSpaceResultsWrapper(MLEResultsWrapper):
    """Wrapper that labels results, as statsmodels has it."""
