"""How the results of every model report a fit: the summary, `tidy` and `glance`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import shown
from ..numerics.linear_algebra import quiet
from .summary import TITLES, FitSummary, describe_sample, parameter_tables, sample_line
from .tidy import parameter_rows, with_tests

_DEPENDENT = 1e-10
"""Smallest eigenvalue of a correlation matrix that counts as one of independent series."""


class Reporting:
    """Summary, `tidy` and `glance`; mixed into the results."""

    model: Any
    cov_kwds: dict[str, Any]
    _fit: Any

    def __repr__(self) -> str:
        res: Any = self
        verdict = "" if res._fit is None else ", converged" if res.converged else ", NOT CONVERGED"
        return f"<{type(self).__name__}: log-likelihood {res.llf:.6g}{verdict}; {self.model}>"

    # -- DataFrames ------------------------------------------------------------------------------------

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """
        Return the estimates, one row each, in the columns of broom.

        Parameters
        ----------
        alpha : float
            The intervals have coverage 1 - alpha.

        Returns
        -------
        DataFrame
            "matrix" (the system matrix), "term" (the name), "estimate", "std_error", "statistic" and
            "p_value" (of the test that it is zero), "conf_low", "conf_high", and "status": "free",
            "fixed", "boundary", or "coefficient" (constant, and given the parameters).
        """
        out = with_tests(self._rows(), alpha)
        return out[[*(name for name in out if name != "status"), "status"]]

    def glance(self) -> pd.DataFrame:
        """
        Return the fit in one row, in the columns of broom.

        Returns
        -------
        DataFrame
            "model", "nobs" (periods), "n_series", "missing" (share), "n_observed" (values: n of AICc),
            "n_periods" (periods with a value: n of BIC and HQIC), "n_params" (free), "df_residual",
            "log_lik", "aic", "aicc", "bic", "hqic", "method", "converged", "iterations", "score_norm",
            "n_boundary"; missing where there was no fit.
        """
        res: Any = self
        fit, endog = self._fit, self.model.endog
        row = {
            "model": type(self.model).__name__,
            "nobs": len(endog),
            "n_series": endog.shape[1],
            "missing": float(np.mean(np.isnan(endog))),
            "n_observed": res._counts[0],
            "n_periods": res._counts[1],
            "n_params": len(self.model.layout) - len(res._fixed),
            "df_residual": res.df_resid,
            "log_lik": res.llf,
            "aic": res.aic,
            "aicc": res.aicc,
            "bic": res.bic,
            "hqic": res.hqic,
            "method": None if fit is None else fit.method,
            "converged": None if fit is None else fit.converged,
            "iterations": None if fit is None else fit.iterations,
            "score_norm": np.nan if fit is None else fit.score_norm,
            "n_boundary": len(res.boundary),
        }
        return pd.DataFrame([row])

    def _rows(self) -> pd.DataFrame:
        """Return the rows of `tidy` without tests."""
        res: Any = self
        return parameter_rows(self.model.layout, res.params, res.bse, res._fixed, res.boundary)

    # -- the summary -----------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05, *args: Any, display_params: bool = True, **kwargs: Any) -> Any:
        """
        Return the summary: the estimates by system matrix, and below them the status of the fit.

        Parameters
        ----------
        alpha : float
            The intervals have coverage 1 - alpha.
        display_params : bool
            Whether to show the estimates.
        *args, **kwargs
            As in `MLEResults.summary`.

        Returns
        -------
        Summary
            With ``as_text()``, ``as_html()`` and ``as_latex()``.
        """
        res: Any = self
        with quiet():  # criteria and tests of very short samples
            kwargs["display_params"] = False
            out = super().summary(alpha, *args, **kwargs)  # type: ignore[misc]
        tables = out.tables
        if display_params and len(res.params):
            tables[1:1] = self._parameter_tables(alpha)
        note = self.cov_kwds.get("description", "") if res.params_cov is not None else ""
        endog = self.model.endog
        sample = sample_line(describe_sample(endog, self.model._index), endog.shape[1], res.filter_results)
        counts = (
            f"AICc {res.aicc:.3f}, of {res._counts[0]} observed values. BIC and HQIC are of the "
            f"{res._counts[1]} periods with a value."
        )
        return FitSummary(tables, [line for line in (note, sample, counts, *self.status_lines()) if line])

    def _parameter_tables(self, alpha: float) -> list[Any]:
        """Return the tables of the estimates."""
        rows = self._rows()
        rows["term"] += np.where(rows["status"] == "fixed", " (fixed)", "")
        keys = rows["matrix"].unique()
        blocks = [(TITLES.get(key, key), rows[rows["matrix"] == key]) for key in keys]
        return parameter_tables(blocks, alpha)

    def status_lines(self) -> list[str]:
        """Return what `summary` says of the fit: convergence, boundary, identification."""
        res: Any = self
        fit, lines = self._fit, []
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
        ends = [name for name in res.boundary if name in res.model.layout.bounded]
        singular = [name for name in res.boundary if name not in ends]
        if singular:
            lines.append(f"At a boundary (singular covariance), without standard errors: {shown(singular)}.")
        if ends:
            lines.append(f"At the end of its interval, 1 or -1, without a standard error: {shown(ends)}.")
        lines += [line for line in (self._dependence(), res.identification.message) if line]
        return lines + list(res.params_cov.notes)

    def _dependence(self) -> str:
        """Say which series the model forecasts without error from each other, empty where there are none."""
        res: Any = self
        complete = np.flatnonzero(~np.isnan(self.model.endog).any(axis=1))
        if res.forecasts_error_cov is None or not len(complete):
            return ""
        cov = res.forecasts_error_cov[:, :, complete[-1]]
        scale = np.sqrt(np.where(np.diag(cov) > 0, np.diag(cov), 1.0))
        values, vectors = np.linalg.eigh(cov / scale[:, None] / scale)
        names = np.atleast_1d(self.model.endog_names)[np.abs(vectors[:, 0]) > 1e-3]
        if len(values) == 1 or values[0] > _DEPENDENT:
            return ""
        return (
            f"Linearly dependent series: {shown(names)}. Their forecast errors have a singular covariance, "
            "and the log-likelihood has no maximum: no standard errors."
        )
