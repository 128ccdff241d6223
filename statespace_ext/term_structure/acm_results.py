"""Results of `ACM`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from ..base.reporting import (
    FitSummary,
    coefficient_table,
    describe_sample,
    normal_quantile,
    parameter_tables,
    with_tests,
)
from ..base.states import Factors
from ..engine.arguments import truth
from ..exceptions import SpecificationError, UnsupportedError
from ..numerics.linear_algebra import Array
from .dynamics import bias_corrected
from .plots import Pictures
from .tables import Sensitivity, labelled, roots_of

if TYPE_CHECKING:
    from .acm import ACM

_TITLES = {
    "Phi": "P dynamics, of a period: Phi",
    "state_cov": "Covariance of the shocks",
    "lambda_0": "Prices of risk: lambda_0",
    "lambda_1": "Prices of risk: lambda_1",
    "return_var": "Variance of the return errors",
    "delta_0": "Short rate, of a period",
    "delta_1": "Short rate, of a period",
}


_EXPLOSIVE, _POOR_FIT = 0.02, 100.0
"""Excess of a Q-root over one that makes ten-year yields unreliable; a large pricing error (basis points)."""


_INSTEAD = {
    "rolling": "Fit `res.model.clone(yields)` for the yields of each window.",
    "rolling_evaluation": "Fit `res.model.clone(yields)` up to each origin, and call `forecast_yields`.",
    "extend": "Use `append`.",
    "matrices_table": "Use `tidy`.",
    **dict.fromkeys(("forecast", "get_forecast"), "Use `forecast_yields`."),
    **dict.fromkeys(("fittedvalues", "predict", "get_prediction"), "Use `fitted_yields`."),
    "resid": "Use `pricing_errors`.",
}


class AbsentError(UnsupportedError, AttributeError):
    """The results do not have an attribute. The error is an `AttributeError`, so that `hasattr` works."""


class ACMResults(Pictures):
    """
    Results of `ACM`: parameters with asymptotic standard errors, curves, premia, forecasts and plots.

    Methods and attributes have the names of `ATSMResults` and the same units. Maturities are in years and
    rates are annual, in the units of the yields. Maturities and horizons must be whole periods. The factors
    are observed, so standard deviations of rates only contain the uncertainty of the parameters. By default
    the term premium is the yield minus the risk-neutral yield, as in the paper. There is no log-likelihood.

    Parameters
    ----------
    model : ACM
        The model.
    params : ndarray
        The estimates, in the order of ``model.param_names``.
    cov : ndarray
        Covariance of the estimates.
    components : (ndarray, ndarray)
        Means of the yields and weights of the principal components in the estimation sample.
    correction : str
        Line of the summary about a correction of the P-dynamics.
    sample : int, optional
        Number of periods in the estimation sample. By default all periods of the model.
    """

    _definition = "risk-neutral"

    def __init__(
        self, model: ACM, params: Array, cov: Array, components: tuple[Array, Array], correction: str = "",
        sample: int | None = None,
    ) -> None:  # fmt: skip
        self.model: Any = model
        self.params = pd.Series(params, index=model.param_names, name="params")
        self._cov, self._components, self._correction = cov, components, correction
        self._factors, self._sample = model.factors(components), sample or model.nobs

    def __getattr__(self, name: str) -> Any:
        """Explain why attributes of `ATSMResults` that need a likelihood do not exist."""
        from .results import ATSMResults

        if name.startswith("_") or not hasattr(ATSMResults, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AbsentError(
            f"Results of ACM have no {name}: three regressions have no likelihood and no state space",
            remedy=_INSTEAD.get(name, "Use `ATSM`."),
        )

    def __repr__(self) -> str:
        return f"<ACMResults: {self.model}>"

    # -- estimates -------------------------------------------------------------------------------------

    @property
    def nobs(self) -> int:
        """Number of periods."""
        return int(self.model.nobs)

    def cov_params(self) -> pd.DataFrame:
        """Return the asymptotic covariance of the estimates."""
        return pd.DataFrame(self._cov, index=self.params.index, columns=self.params.index)

    @property
    def bse(self) -> pd.Series:
        """Asymptotic standard errors."""
        return pd.Series(np.sqrt(np.diag(self._cov)), index=self.params.index, name="bse")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return confidence intervals of the parameters with coverage 1 - alpha."""
        half = normal_quantile(alpha) * self.bse
        return pd.DataFrame({"lower": self.params - half, "upper": self.params + half})

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return matrix, term, estimate, std_error, statistic, p_value and interval for each parameter."""
        names = list(self.params.index)
        rows = pd.DataFrame({"matrix": [name.split(".")[0] for name in names], "term": names})
        rows["estimate"], rows["std_error"] = self.params.to_numpy(), self.bse.to_numpy()
        return with_tests(rows, alpha)

    @property
    def matrices(self) -> dict[str, Any]:
        """
        Phi, state_cov, lambda_0, lambda_1, delta_0 and delta_1 with labels, for one period in decimal units.

        Under Q, X_{t+1} = -lambda_0 + (Phi - lambda_1) X_t + v. Signs and units are those of the paper, where
        lambda contains Sigma. `price_of_risk` returns the prices of one unit of each shock.
        """
        numbers, factors = ([""], [""]), (self.model.factor_names, self.model.factor_names)
        at = self.model.matrices(self.params)
        return labelled(at, lambda key: numbers if key in ("return_var", "delta_0") else factors)

    @property
    def mean_reversion(self) -> pd.DataFrame:
        """Roots of Phi (P) and Phi - lambda_1 (Q) from the slowest, with half-lives and periods in years."""
        both, dt = self.model.curves(self.params).dynamics, self.model.dt
        out = roots_of(both.K_P, both.pricing.K, dt)
        return out.assign(real=1.0 - dt * out["real"], imag=0.0 - dt * out["imag"])

    def bias_corrected(
        self, method: str = "analytic", *, n_boot: int = 1000, rng: object = None
    ) -> ACMResults:
        """
        Correct Phi for the bias of least squares; see `ATSMResults.bias_corrected`.

        Phi - lambda_1 does not change, so the fitted yields stay the same.

        Parameters
        ----------
        method : {"analytic", "bootstrap"}
            "analytic" uses the bias formula of Pope (1990). "bootstrap" uses the mean error of least squares
            in ``n_boot`` samples.
        n_boot : int
            Number of bootstrap samples.
        rng : numpy.random.Generator or int, optional
            Random number generator or seed.

        Raises
        ------
        DataError
            If there are too few periods.
        SpecificationError
            If these results are already corrected.
        """
        if self._correction:
            raise SpecificationError(
                "These estimates are already corrected for bias", remedy="Use them as they are."
            )
        at = self.model.matrices(self.params)
        found = bias_corrected(at["Phi"], at["state_cov"], self._sample, method, n_boot, rng)
        params, moved = self.params.copy(), (found.transition - at["Phi"]).ravel()
        for key in ("Phi", "lambda_1"):
            params[[name for name in params.index if name.split(".")[0] == key]] += moved
        return ACMResults(
            self.model, params.to_numpy(), self._cov, self._components, found.line, self._sample
        )

    # -- other yields ----------------------------------------------------------------------------------

    def append(self, yields: Any, refit: bool = False) -> ACMResults:
        """
        Return results for the sample extended by yields of later periods.

        Parameters
        ----------
        yields : array_like, (m, p)
            Yields with the columns of the model.
        refit : bool
            Whether to estimate again. If False, the parameters and the weights of the principal components
            are those of these results.

        Raises
        ------
        DataError
            If columns or dates do not continue those of the sample.
        """
        return self._of(self.model.followed_by(yields), refit)

    def apply(self, yields: Any, refit: bool = False) -> ACMResults:
        """
        Return results for other yields.

        Parameters
        ----------
        yields : array_like, (m, p)
            Yields with the columns of the model.
        refit : bool
            Whether to estimate again, as in `append`.
        """
        return self._of(self.model.clone(yields), refit)

    def _of(self, model: ACM, refit: bool) -> ACMResults:
        if truth(refit, "refit"):
            return model.fit()
        params = self.params.to_numpy()
        return ACMResults(model, params, self._cov, self._components, self._correction, self._sample)

    # -- the factors -----------------------------------------------------------------------------------

    @property
    def factors(self) -> Factors:
        """The principal components, as observed factors; "predicted" uses the autoregression."""
        names, k, labels = self.model.factor_names, self.model.k_factors, self._dates
        after = self.model.calendar.between(0, self.nobs)
        known = pd.DataFrame(self._factors, index=labels, columns=names)
        at = self.model.matrices(self.params)
        ahead = np.vstack([np.full(k, np.nan), self._factors @ at["Phi"].T])
        predicted = pd.DataFrame(ahead, index=after, columns=names)
        errors = np.where(np.isnan(ahead), np.nan, np.sqrt(np.diag(at["state_cov"])))
        cov = pd.DataFrame(0.0, index=pd.MultiIndex.from_product([labels, names]), columns=names)
        return Factors(
            known, known.copy(), cov, known * 0.0, predicted, pd.DataFrame(errors, index=after, columns=names)
        )

    def _paths(self, information_set: str) -> tuple[Array, Array]:
        k = self.model.k_factors
        return self._factors, np.zeros((self.nobs, k, k))

    def _last(self) -> tuple[Array, Array]:
        return self._factors[-1], np.zeros((self.model.k_factors,) * 2)

    def _sensitivity(self, information_set: str) -> Sensitivity:
        places = np.arange(len(self.params))
        by_state = np.zeros((self.nobs, self.model.k_factors, len(places)))
        return Sensitivity(self.params.to_numpy(), places, 1e-3 * self.bse.to_numpy(), self._cov, by_state)

    def _error_variances(self) -> Array:
        return np.asarray(((self._yields - self.fitted_yields) ** 2).mean(), dtype=float)

    # -- the summary -----------------------------------------------------------------------------------

    def _doubts(self) -> list[str]:
        """Return what speaks against the estimates: an explosive root under Q, large pricing errors."""
        lines, at = [], self.model.matrices(self.params)
        explosive = float(np.abs(np.linalg.eigvals(at["Phi"] - at["lambda_1"])).max())
        worst = self.pricing_error_summary()["rmse"]
        if explosive > 1.0 + _EXPLOSIVE:
            lines.append(
                f"A root of Phi - lambda_1 has the modulus {explosive:.3f}: long yields explode. Use fewer "
                "factors, or more maturities."
            )
        if worst.max() > _POOR_FIT:
            size = f"{worst.max():.0f} basis points ({worst.idxmax()})"
            lines.append(f"Poor fit: root mean square errors of up to {size}.")
        return lines

    def status_lines(self) -> list[str]:
        """Return the lines of `summary` about the estimates."""
        largest = float(np.abs(np.linalg.eigvals(self.model.matrices(self.params)["Phi"])).max())
        sample = describe_sample(self.model.endog, self._dates)
        lines = [
            "Three least-squares regressions (Adrian, Crump & Moench 2013); there is no likelihood. Standard "
            "errors are asymptotic, with the factors as observed.",
            f"Sample: {len(self.model.panel.labels)} series, {sample}.",
            f"The slowest root of Phi has the modulus {largest:.4f}"
            + ("." if largest < 1.0 else ": the factors do not revert to a mean."),
        ]
        lines += self._doubts()
        if self._sample != self.nobs:
            lines.append(f"Parameters and weights of the factors are estimates from {self._sample} periods.")
        return [*lines, *([self._correction] if self._correction else [])]

    def summary(self, alpha: float = 0.05) -> FitSummary:
        """
        Return a summary with the estimates by matrix and lines about the fit.

        Parameters
        ----------
        alpha : float
            One minus the coverage of the confidence intervals.
        """
        rows = self.tidy()[["matrix", "term", "estimate", "std_error"]]
        titles = rows["matrix"].map(_TITLES)
        blocks = [(title, rows[titles == title]) for title in dict.fromkeys(titles)]
        cells = [
            ["ACM", "No. Observations:", self.nobs],
            [len(self.model.panel.labels), "Factors:", self.model.k_factors],
        ]
        stubs = ["Model:", "Maturities:"]
        top = SimpleTable(cells, stubs=stubs, title="Term Structure Results", txt_fmt=fmt_params)
        tables = [top, coefficient_table(rows, alpha)]
        return FitSummary(tables, self.status_lines(), parameter_tables(blocks, alpha))
