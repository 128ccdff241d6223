r"""
Tests that the coefficients of a dynamic regression are constant: likelihood ratio and Nyblom's test.

Consider a regression with least-squares residuals :math:`e_t` (a row of p series). The columns of X are the
regressors x whose coefficients are tested. Let :math:`G_t = \sum_{s \le t} x_s e_s'` and
:math:`\hat\Sigma = \sum_t e_t e_t' / n`. The statistic

.. math:: L = \frac{1}{n} \sum_t tr[ (X'X)^{-1} G_t \hat\Sigma^{-1} G_t' ]

gives the locally best invariant test against random walks whose innovations have a covariance proportional
to :math:`(X'X)^{-1} \otimes \Sigma` (Nyblom 1989, JASA 84, 223-230). It uses the information matrix of the
normal regression, while Hansen (1992, Journal of Policy Modeling 14, 517-533) uses :math:`\sum x_t^2 e_t^2`
in place of :math:`\hat\Sigma X'X`. Given the regressors, the distribution under normal errors depends on no
unknown parameters, so it can be simulated. As the number of periods grows it tends to that of a sum of
integrated squared Brownian bridges, one for each coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from ..display import Displayed
from ..engine.arguments import check_jobs, positive_integer, truth
from ..exceptions import EstimationError, SpecificationError, UnsupportedError, shown
from ..inference.many import Failure, attempt, model_of, report_failures, run_simulations, spawn, successes
from ..numerics.linear_algebra import Array
from .constancy_ratios import ContrastedRatio, FittedRatio, common_regression, ratio_of
from .declaration import state_kinds
from .estimation import series_by_series

if TYPE_CHECKING:
    from .dynamic_regression import DynamicRegression
    from .results import DynamicRegressionResults

ZERO = 1e-6
"""Likelihood ratio below which the ratio counts as zero, with the maximum at W = 0."""
LEVELS = (0.10, 0.05, 0.01)
ModelRatio = ContrastedRatio | FittedRatio


@dataclass(frozen=True)
class SimulatedRatio:
    """
    A likelihood ratio and its simulated values under the null hypothesis.

    Attributes
    ----------
    statistic : float
        The likelihood ratio.
    simulated : ndarray
        Its values in the samples. Samples in which the fit failed are left out.
    n_sim, n_failed, n_unconverged : int
        Number of samples, number of samples in which the fit failed, and number of the remaining samples in
        which the fit did not converge. The values of unconverged samples can only be too small.
    """

    statistic: float
    simulated: Array
    n_sim: int
    n_failed: int
    n_unconverged: int

    @property
    def pvalue(self) -> float:
        """(1 + number of values not below the statistic) / (1 + number of values)."""
        return self._pvalue(0)

    @property
    def pvalue_upper(self) -> float:
        """The p-value when each failed sample counts as a value not below the statistic."""
        return self._pvalue(self.n_failed)

    def _pvalue(self, more: int) -> float:
        exceed = int(np.sum(self.simulated >= self.statistic - ZERO)) + more
        return (1.0 + exceed) / (1.0 + len(self.simulated) + more)

    @property
    def pvalue_se(self) -> float:
        """Monte Carlo standard error of the p-value."""
        return float(np.sqrt(self.pvalue * (1.0 - self.pvalue) / max(len(self.simulated), 1)))

    @property
    def fraction_zero(self) -> float:
        """Share of the samples with the maximum at W = 0."""
        return float(np.mean(self.simulated < ZERO)) if len(self.simulated) else np.nan

    @property
    def critical_values(self) -> dict[float, float]:
        """Quantiles of the simulated values, by level."""
        return {level: float(np.quantile(self.simulated, 1.0 - level)) for level in LEVELS}


@dataclass(frozen=True, repr=False)
class ConstancyTest(SimulatedRatio, Displayed):
    """
    Test that random-walk coefficients are constant.

    Attributes
    ----------
    distribution : str
        "pivotal" or "parametric bootstrap". A pivotal distribution has no unknown parameters under the null
        hypothesis, so the test is exact up to simulation error. The parametric bootstrap simulates at the
        null fit.
    llf, llf_null : float
        Log-likelihoods of the fit and of the null hypothesis.
    regressors : list of str
        The regressors with random-walk coefficients.
    per_series : DataFrame or None
        The test for each series separately, with Holm's correction.
    nyblom : DataFrame
        Nyblom's statistics.
    notes : list of str
        Further remarks on the test.
    """

    distribution: str
    llf: float
    llf_null: float
    regressors: list[str]
    per_series: pd.DataFrame | None
    nyblom: pd.DataFrame
    notes: list[str]

    def __str__(self) -> str:
        critical = ", ".join(
            f"{100 * level:g} %: {value:.3f}" for level, value in self.critical_values.items()
        )
        lines = [
            f"Constant coefficients on {', '.join(self.regressors)} (W = 0) against random walks",
            f"LR = {self.statistic:.4f} ({self.llf:.4f} against {self.llf_null:.4f}), "
            f"p = {self.pvalue:.4f} (Monte Carlo s.e. {self.pvalue_se:.4f})",
            f"{self.distribution}, {self.n_sim} samples, LR = 0 in {100 * self.fraction_zero:.1f} %",
            f"critical values  {critical}",
        ]
        if self.n_failed:
            lines.append(
                f"{self.n_failed} fits failed and are left out; counted as larger than LR "
                f"they give p = {self.pvalue_upper:.4f}"
            )
        if self.n_unconverged:
            lines.append(f"{self.n_unconverged} fits did not converge: their LR may be too small")
        lines += self.notes
        if self.per_series is not None:
            lines += ["", "Each series alone (univariate likelihood ratios)", _shown(self.per_series)]
        if len(self.nyblom):
            lines += ["", "Nyblom (1989), simulated p-values", _shown(self.nyblom)]
        return "\n".join(lines)


def constancy_test(
    results: DynamicRegressionResults,
    n_sim: int = 999,
    rng: object = None,
    n_jobs: int | None = None,
    per_series: bool = False,
) -> ConstancyTest:
    r"""
    Test W = 0 in a dynamic regression by a likelihood ratio with a simulated distribution.

    W = 0 is on the boundary of the parameter space, and the ratio is not a 50:50 mixture of chi-squared
    variables. For one series it is zero in about 65 % of the samples (Crainiceanu & Ruppert 2004, JRSS B 66,
    165-185). The exact diffuse likelihoods of both hypotheses use the same contrasts of the data, so their
    ratio does not depend on the constant coefficients. Constraints hold under both hypotheses.

    The ratio does not depend on V either if no row is partly missing and a change of basis of the series
    transforms any V to I and preserves the structure of W. This holds if W is proportional to V, if V and W
    are both unstructured or both diagonal, or if there is one series. The distribution is then exact up to
    simulation error. Samples are drawn at the null fit.

    Parameters
    ----------
    results : DynamicRegressionResults
        Results of a fit with "random_walk" coefficients; others may be "static".
    n_sim : int
        Number of samples.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed. Each sample has its own seed, so ``n_jobs`` does not change the
        result.
    n_jobs : int, optional
        As in `fit_many`.
    per_series : bool
        Whether to test each series separately too, with Holm's (1979) correction.

    Returns
    -------
    ConstancyTest

    Raises
    ------
    SpecificationError
        If all coefficients are static, a coefficient is "ar1", or W = 0 is not a special case of the model.
    UnsupportedError
        If parameters are fixed, ``per_series`` is asked for series that share coefficients, or joblib is
        needed and not installed.
    EstimationError
        If the fit succeeds in fewer than two samples. If it fails in some, a warning counts them.

    References
    ----------
    Nyblom, J. (1989), JASA 84, 223-230; Holm, S. (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    _check(results, n_sim)
    check_jobs(n_jobs)
    model = model_of(results)
    c = model.coefficients
    main, others, nyblom = (spawn(seed, n_sim) for seed in spawn(rng, 3))
    ratio = ratio_of(model)
    llf, llf_null, notes = _observed(results, ratio)
    simulated = _simulated(max(0.0, 2.0 * (llf - llf_null)), ratio, main, n_jobs)
    table = _per_series(model, others, n_jobs) if truth(per_series, "per_series") else None
    statistics = _nyblom(model, nyblom)
    if not len(statistics):
        notes.append("Nyblom's statistics do not exist: constraints join the coefficients of several series")
    return ConstancyTest(
        **vars(simulated),
        distribution="pivotal" if ratio.pivotal else "parametric bootstrap",
        llf=llf,
        llf_null=llf_null,
        regressors=c.moving_names,
        per_series=table,
        nyblom=statistics,
        notes=notes,
    )


def _check(results: DynamicRegressionResults, n_sim: int) -> None:
    """Raise if W = 0 is not a testable special case of the model."""
    model, c = results.model, results.model.coefficients
    if model.obs_scale is not None:
        raise UnsupportedError(
            "test_constancy needs a constant variance of the errors", got="a model with obs_scale"
        )
    positive_integer(n_sim, "n_sim")
    if c.autoregressive or c.trending:
        raise SpecificationError(
            'The test of constancy needs "random_walk" coefficients',
            got=f"other dynamics for {[c.labels[j] for j in c.autoregressive + c.trending]}",
            remedy='Fit the model with "random_walk" or "static" in its place.',
        )
    state = model.layout.blocks["state_cov"]
    if set(state_kinds(model).values()) <= {"zero"}:
        raise SpecificationError(
            "No coefficient varies over time, so there is nothing to test",
            got=f"dynamics {c.dynamics}",
            remedy='Fit the model with dynamics={...: "random_walk"}.',
        )
    shared = sorted(set(state.names) & set(model.layout.blocks["obs_cov"].names))
    if shared or np.any(state.fixed):
        raise SpecificationError(
            "W = 0 is not a special case of the model",
            got=f"V and W share {shared}" if shared else "fixed elements of state_cov that are not zero",
            remedy="Leave state_cov free.",
        )
    if results._has_fixed_params:
        raise UnsupportedError(
            "The test of constancy needs a fit without fixed parameters",
            got=sorted(results._fixed_params),
            remedy="Fit without fix_params; give obs_cov as an array to fix it.",
        )


def _observed(results: DynamicRegressionResults, ratio: ModelRatio) -> tuple[float, float, list[str]]:
    """Return the log-likelihoods with W free (at least that of the results) and with W = 0, and notes."""
    llf, llf_null, converged = ratio.observed(np.asarray(results.params, dtype=float))
    given, notes = float(results.llf), []
    if given >= llf - 1e-6:
        llf, converged = max(llf, given), converged or bool(results.converged)
    elif given < llf - 1e-4:
        notes.append(
            f"The results given stand {llf - given:.4f} below the maximum of the log-likelihood, "
            "which is used here"
        )
    if not converged:
        notes.append("The fit to the data did not converge: LR may be too small")
    return llf, llf_null, notes


def _one(ratio: ModelRatio, rng: np.random.Generator) -> tuple[float, bool] | Failure:
    """Return the likelihood ratio of one sample and whether the fit converged."""

    def found() -> tuple[float, bool]:
        """Draw a sample and return its likelihood ratio."""
        value, converged = ratio.ratio(ratio.draw(rng))
        if not np.isfinite(value):
            raise EstimationError("The likelihood ratio of a sample must be finite", got=value)
        return round(value, 9), converged  # rounding may differ between processes by 1e-12

    return attempt(found)


def _simulated(
    statistic: float, ratio: ModelRatio, seeds: list[np.random.SeedSequence], n_jobs: int | None
) -> SimulatedRatio:
    """Return a likelihood ratio together with its simulated values."""
    found = successes(run_simulations(partial(_one, ratio), seeds, n_jobs), "fits to samples")
    values, done = np.array([value for value, _ in found]), [converged for _, converged in found]
    return SimulatedRatio(statistic, values, len(seeds), len(seeds) - len(values), done.count(False))


_COLUMNS = ("statistic", "pvalue", "pvalue_se", "fraction_zero", "n_failed", "n_unconverged")


def _per_series(
    model: DynamicRegression, seeds: list[np.random.SeedSequence], n_jobs: int | None
) -> pd.DataFrame:
    """Test each series separately; series with the same rows and regressors share the simulated values."""
    c = model.coefficients
    if not c.separate.all():
        raise UnsupportedError(
            "per_series needs series without common coefficients",
            got=f"constraints that join {shown(c.endog[i] for i in np.flatnonzero(~c.separate))}",
            remedy="Leave per_series out, or fit the series without these constraints.",
        )
    rows: dict[str, dict[str, float]] = {}
    failures: list[Failure] = []
    known: dict[bytes, tuple[ModelRatio, SimulatedRatio]] = {}
    for name, alone in zip(c.endog, map(model._of_series, range(c.p)), strict=True):
        if not alone.coefficients.moving:
            continue
        key = np.isnan(alone.endog).tobytes() + alone.exog.tobytes()
        if key not in known:
            fresh = ratio_of(alone)
            known[key] = fresh, _simulated(0.0, fresh, seeds, n_jobs)
        ratio, simulated = known[key]
        value = attempt(ratio.ratio, ratio.sample_of(alone.endog))
        if isinstance(value, Failure):
            failures.append(value)
            rows[name] = dict.fromkeys(_COLUMNS, np.nan)
        else:
            found = replace(simulated, statistic=value[0])
            rows[name] = {key: getattr(found, key) for key in _COLUMNS}
    report_failures(failures, len(rows), "tests of one series")
    table = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="series"))
    table.insert(3, "pvalue_holm", multipletests(table["pvalue"], method="holm")[1])
    return table


def _statistics(cases: list[NyblomCase], shape: tuple[int, ...], rng: np.random.Generator) -> list[float]:
    """Return the statistics of one sample."""
    errors = rng.standard_normal(shape)
    return [case.statistic(errors) for case in cases]


def _nyblom(model: DynamicRegression, seeds: list[np.random.SeedSequence]) -> pd.DataFrame:
    """Return Nyblom's statistics; their distribution does not depend on V, so errors are drawn with V = I."""
    endog, cases = model.endog - model.coefficients.intercept(model.exog).T, _cases(model)
    simulated = np.array(run_simulations(partial(_statistics, cases, endog.shape), seeds, 1))
    # residuals leave the statistic unchanged but reduce rounding
    values = np.array([case.statistic(series_by_series(endog, case.exog)[1]) for case in cases])
    labels = [[case.regressor for case in cases], [case.series for case in cases]]
    return pd.DataFrame(
        {
            "statistic": values,
            "pvalue": (1.0 + np.sum(simulated >= values, axis=0)) / (len(simulated) + 1.0),
            "coefficients": [case.size for case in cases],
            "asymptotic_5%": [ASYMPTOTIC_5_PERCENT.get(case.size, np.nan) for case in cases],
        },
        index=pd.MultiIndex.from_arrays(labels, names=["regressor", "series"]),
    )


def _cases(model: DynamicRegression) -> list[NyblomCase]:
    """Return the cases of Nyblom's test: of all series, or of each series with coefficients of its own."""
    c, common = model.coefficients, common_regression(model)
    if common is not None:
        endog, exog, moving = common
        return nyblom_cases(endog, exog, moving, [c.labels[i // c.p] for i in c.free[:: c.p]], c.endog)
    out = []
    for i in np.flatnonzero(c.separate).tolist():
        alone = model._of_series(i)
        labels = [c.labels[c.regressors.index(name)] for name in alone.coefficients.regressors]
        found = nyblom_cases(alone.endog, alone.exog, alone.coefficients.moving, labels, [c.endog[i]])
        out += [replace(case, columns=[i]) for case in found]
    return out


def _shown(table: pd.DataFrame) -> str:
    return str(table.to_string(float_format=lambda value: f"{value:.4f}"))


_POINTS = (
    0.461, 0.748, 1.000, 1.237, 1.465, 1.686, 1.903, 2.116, 2.326, 2.533,
    2.739, 2.942, 3.144, 3.345, 3.544, 3.743, 3.940, 4.136, 4.332, 4.526,
)  # fmt: skip
ASYMPTOTIC_5_PERCENT = dict(enumerate(_POINTS, start=1))
"""
95 % points of the sum of k integrated squared Brownian bridges, from inversion of its characteristic
function. Table 1 of Hansen (1992) lists simulated values: 0.470, 0.749, 1.01, ...
"""

ALL = "(joint)"
"""Label of joint tests of all series, or of all regressors with time-varying coefficients."""


@dataclass(frozen=True)
class NyblomCase:
    """The rows, series and tested regressors that one statistic uses."""

    regressor: str
    series: str
    exog: Array
    tested: list[int]
    columns: list[int]
    rows: Array

    @property
    def size(self) -> int:
        """Number of coefficients tested."""
        return len(self.tested) * len(self.columns)

    def statistic(self, errors: Array) -> float:
        """Return L for residuals or data (nobs, p); the function runs the regression itself."""
        chosen = errors[self.rows][:, self.columns]
        X = self.exog[self.rows]
        residuals = np.zeros((len(errors), len(self.columns)))
        residuals[self.rows] = chosen - X @ np.linalg.lstsq(X, chosen, rcond=None)[0]
        x = self.exog[:, self.tested]
        n = int(self.rows.sum())
        sums = np.cumsum(x[:, :, None] * residuals[:, None, :], axis=0)
        cov = residuals.T @ residuals / n
        products = np.tensordot(sums, sums, axes=(0, 0))
        inner, outer = (np.linalg.inv(part) for part in (x[self.rows].T @ x[self.rows], cov))
        return float(np.einsum("jakb,jk,ab->", products, inner, outer) / n)


def nyblom_cases(
    endog: Array, exog: Array, moving: list[int], regressors: list[str], series: list[str]
) -> list[NyblomCase]:
    """
    Return the cases of a regression: each series alone, and all series jointly on the complete rows.

    Parameters
    ----------
    endog : ndarray, (nobs, p)
        Series; NaN marks a missing value.
    exog : ndarray, (nobs, m)
        Regressors.
    moving : list of int
        The regressors to test. Each is tested separately; several are tested jointly too.
    regressors, series : list of str
        Names of the regressors and series.
    """
    seen, out = ~np.isnan(endog), []
    tested = [(regressors[j], [j]) for j in moving]
    if len(moving) > 1:
        tested.append((ALL, list(moving)))
    for name, places in tested:
        for i, label in enumerate(series):
            out.append(NyblomCase(name, label, exog, places, [i], seen[:, i]))
        complete = np.asarray(seen.all(axis=1))
        if len(series) > 1 and complete.sum() > exog.shape[1] + len(series):
            out.append(NyblomCase(name, ALL, exog, places, list(range(len(series))), complete))
    return out
