"""Tests that all intercepts of a regression on traded factors are zero."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..display import Displayed
from ..engine.arguments import check_jobs, positive_integer
from ..exceptions import DataError, SpecificationError, UnsupportedError
from ..inference.bootstrap import Parametric
from ..inference.many import Failure, attempt, model_of, model_on, run_simulations, spawn, successes
from ..numerics.linear_algebra import Array
from .declaration import obs_kind
from .estimates import require_smoothed


class SimulatedLaw:
    """Properties of tests whose p-values come from simulated samples or a chi-squared distribution."""

    statistic: float
    df: int
    pvalue: float
    simulated: Array

    @property
    def pvalue_chi2(self) -> float:
        """Upper tail of the chi-squared distribution; too small, because it treats V and W as known."""
        return float(stats.chi2.sf(self.statistic, self.df))

    @property
    def pvalue_se(self) -> float:
        """Monte Carlo standard error of the p-value; zero if the p-value is not simulated."""
        count = len(self.simulated)
        return float(np.sqrt(self.pvalue * (1.0 - self.pvalue) / count)) if count else 0.0


@dataclass(frozen=True, repr=False)
class WaldTest(SimulatedLaw, Displayed):
    """
    Joint Wald test that the constant coefficients on a regressor are zero for all series.

    Attributes
    ----------
    statistic : float
        a' Var(a)^{-1} a, given the estimated V and W.
    df : int
        Number of series.
    pvalue : float
        Upper tail of the distribution of the statistic in samples of this length. It is NaN if the number
        of periods does not exceed the number of series plus the number of other regressors.
    distribution : str
        Distribution used for ``pvalue``. F distributions such as "F(p, n - p - k)" or "F(1, n - k - 1)" are
        exact. "sum of F" applies to independent series and is exact up to simulation error. "chi-squared"
        is exact if no parameter is estimated. "parametric bootstrap" is simulated at the estimates, with
        the coefficients set to zero. Otherwise "unknown".
    regressor : str
        Name of the regressor.
    estimate : Series
        The coefficients a, by series.
    cov : DataFrame
        Var(a).
    simulated : ndarray
        Simulated values of the statistic. Samples in which the fit failed are left out.
    n_failed : int
        Number of samples in which the fit failed.
    notes : list of str
        Further remarks on the test.
    """

    statistic: float
    df: int
    pvalue: float
    distribution: str
    regressor: str
    estimate: pd.Series
    cov: pd.DataFrame
    simulated: Array
    n_failed: int
    notes: list[str]

    def __str__(self) -> str:
        law = self.distribution + (f", {len(self.simulated)} samples" if len(self.simulated) else "")
        lines = [
            f"Wald test that all coefficients on {self.regressor} are zero: {self.statistic:.4f}, "
            f"{self.df} series, p = {self.pvalue:.4f} ({law})"
        ]
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, repr=False)
class GRSTest(Displayed):
    """
    F test of Gibbons, Ross & Shanken that all intercepts are zero.

    Attributes
    ----------
    statistic : float
        The F statistic.
    df : tuple of int
        Degrees of freedom: p and n - p - k.
    pvalue : float
        Upper tail of the F distribution, which is exact for independent normal errors given the factors.
    estimate : Series
        Least-squares intercepts.
    """

    statistic: float
    df: tuple[int, int]
    pvalue: float
    estimate: pd.Series

    def __str__(self) -> str:
        return (
            "Gibbons-Ross-Shanken test that all intercepts are zero, static betas: "
            f"F({self.df[0]}, {self.df[1]}) = {self.statistic:.4f}, p = {self.pvalue:.4f}"
        )


def wald_alpha(
    results: Any, regressor: str = "const", n_sim: int = 199, rng: Any = None, n_jobs: int | None = None
) -> WaldTest:
    r"""
    Test that the static coefficients on a regressor are zero for all series.

    The smoothed states of static coefficients equal their generalised least-squares estimates at the
    estimated V and W, and the smoother gives their joint covariance (Durbin & Koopman 2012, section 6.2.3).
    V and W are estimated from the same data, so the statistic tends to exceed a chi-squared variable. Its
    distribution is known if all m regressors are static and the start is diffuse. With n periods it is

    - :math:`p\,(n - m)/(n - m - p + 1)\,F(p, n - m - p + 1)` if V is full and no row is partly missing
      (Hotelling's T squared; on a constant it is the test of Gibbons, Ross & Shanken 1989);
    - :math:`\sum_i F(1, n_i - m)`, a sum of independent variables, if V is diagonal and series i has
      :math:`n_i` observations;
    - :math:`p\,F(p, \sum_i (n_i - m))` if V has one variance.

    These p-values belong to the least-squares statistics, which the fit attains at its maximum. In all other
    cases the test draws samples at the estimates with the coefficients set to zero. It fits the model to each
    sample, starting from the estimates.

    Parameters
    ----------
    results : DynamicRegressionResults
        Results of a fit.
    regressor : str
        Name of the regressor.
    n_sim : int
        Number of samples, if the distribution is simulated.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed. Each sample has its own seed, so ``n_jobs`` does not change the
        result.
    n_jobs : int, optional
        As in `fit_many`.

    Returns
    -------
    WaldTest
        The p-value is NaN if n < p + m.

    Raises
    ------
    SpecificationError
        If the regressor is unknown, its coefficients vary over time, or the results were not smoothed.
    EstimationError
        If the fit succeeds in fewer than two samples. If it fails in some, a warning counts them.
    """
    positive_integer(n_sim, "n_sim")
    check_jobs(n_jobs)
    rows = _static_rows(results, regressor)
    model = model_of(results)
    c = model.coefficients
    estimate = np.asarray(results.smoothed_state)[rows, -1]
    cov = np.asarray(results.smoothed_state_cov)[np.ix_(rows, rows)][:, :, -1]
    try:
        statistic = quadratic_form(estimate, cov)
    except np.linalg.LinAlgError as error:
        raise SpecificationError(
            "The covariance of the coefficients is singular", got=f"V of rank below {len(rows)}"
        ) from error
    law = _law(results, statistic, c.labels.index(regressor), rng)
    if law is None:
        law = _bootstrapped(_Refit(results, rows), spawn(rng, n_sim), n_jobs)
    notes = list(law.notes)
    if abs(law.at - statistic) > _ELSEWHERE * abs(law.at):
        notes.append(f"The p-value is that of {law.at:.4f}, the statistic at the maximum of the likelihood")
    return WaldTest(
        statistic,
        len(rows),
        law.pvalue,
        law.name,
        regressor,
        pd.Series(estimate, index=c.endog, name="estimate"),
        pd.DataFrame(cov, index=c.endog, columns=c.endog),
        law.simulated,
        law.n_failed,
        notes,
    )


def _static_rows(results: Any, regressor: str) -> Array:
    """Return the states of the coefficients on a regressor; raise if they vary over time."""
    c = getattr(results.model, "coefficients", None)
    if c is None:
        raise SpecificationError("The test is for dynamic regressions", got=type(results.model).__name__)
    if not c.is_plain:
        raise UnsupportedError(
            "The test of zero coefficients is for common regressors without constraints",
            got="a model with constraints" if c.columns is None else "regressors that differ by series",
            remedy=f'Use test_coefficients("{regressor}.{c.endog[0]} = 0").',
        )
    if regressor not in c.labels:
        raise SpecificationError(
            "The model has no such regressor", got=repr(regressor), expected=f"one of {c.labels}"
        )
    place = c.labels.index(regressor)
    if c.dynamics[place] != "static":
        raise SpecificationError(
            f"The test needs static coefficients on {regressor}",
            got=repr(c.dynamics[place]),
            remedy='Declare them "static", or look at the smoothed paths.',
        )
    require_smoothed(results)
    return np.asarray(c.level(place))


def quadratic_form(estimate: Array, cov: Array) -> float:
    """Return a' C^{-1} a."""
    return float(estimate @ np.linalg.solve(cov, estimate))


@dataclass(frozen=True)
class Law:
    """A p-value with its distribution, its statistic and the simulated values."""

    name: str
    pvalue: float
    at: float
    simulated: Array = field(default_factory=lambda: np.empty(0))
    n_failed: int = 0
    notes: list[str] = field(default_factory=list)


def _law(results: Any, statistic: float, place: int, rng: Any) -> Law | None:
    """Return the exact distribution of the statistic, or None if it must be simulated by fits."""
    model = model_of(results)
    y, X = np.asarray(model.endog), np.asarray(model.exog)
    seen = ~np.isnan(y)
    (p, m), n = (y.shape[1], X.shape[1]), int(seen.any(axis=1).sum())
    if set(model.layout.names) <= set(results._fixed):
        return Law("chi-squared", float(stats.chi2.sf(statistic, p)), statistic)
    if n < p + m:
        note = f"No p-value: {n} periods for {p} series and {m} regressors (at least {p + m} are needed)"
        return Law("unknown", np.nan, statistic, notes=[note])
    if (
        model.current_initialization != "diffuse"
        or model.obs_scale is not None
        or results._fixed
        or set(model.coefficients.dynamics) != {"static"}
    ):
        return None
    kind = "scalar" if p == 1 else obs_kind(model)
    if kind == "unstructured" and np.all(seen.all(axis=1) == seen.any(axis=1)):
        rows = seen.all(axis=1)
        df = (p, n - m - p + 1)
        length = _hotelling(y[rows], X[rows], place)[0]
        return Law(f"F({df[0]}, {df[1]})", float(stats.f.sf(df[1] / p * length, *df)), (n - m) * length)
    if kind not in ("diagonal", "scalar"):
        return None
    return _independent_series(y, X, place, kind, rng)


DRAWS = 99_999
"""Number of draws of a sum of independent F variables; the standard error of a p-value is below .0016."""


def _independent_series(y: Array, X: Array, place: int, kind: str, rng: Any) -> Law:
    """Return the distribution for a V that is diagonal or has one variance, from least squares by series."""
    freedom, squares, residual = [], [], []
    for column in y.T:
        seen = ~np.isnan(column)
        length, scaled, _ = _hotelling(column[seen, None], X[seen], place)
        freedom.append(int(seen.sum()) - X.shape[1])
        squares.append(float(scaled[0] ** 2))
        residual.append(squares[-1] / length)
    p = len(freedom)
    if kind == "scalar":
        df = (p, sum(freedom))
        value = sum(squares) / p / (sum(residual) / df[1])
        return Law(f"F({df[0]}, {df[1]})", float(stats.f.sf(value, *df)), p * value)
    value = sum(f * s / r for f, s, r in zip(freedom, squares, residual, strict=True))
    generator = np.random.default_rng(spawn(rng, 1)[0])
    draws = sum(generator.f(1, f, size=DRAWS) for f in freedom)
    pvalue = (1.0 + float(np.sum(draws >= value))) / (1.0 + DRAWS)
    return Law("sum of F", pvalue, value, np.asarray(draws))


ITERATIONS = 60
"""Maximum number of iterations of a fit to a sample, started at the estimates. Most fits converge earlier.
With full V and W (10 series, 120 periods) the statistic is then within two percent of its maximum."""
_ELSEWHERE = 0.01
"""Relative difference from the statistic at the maximum above which the parameters are not the maximum."""


class _Refit:
    """The statistic of a sample after a few iterations from the estimates; it can be pickled."""

    def __init__(self, results: Any, rows: Array) -> None:
        self.model, self.rows = model_of(results), rows
        self.fixed, self.params = dict(results._fixed), np.asarray(results.params, dtype=float)
        self.sampler = Parametric(self.model, self.params)
        self.sampler.mean[rows] = 0.0
        self.sampler.spread[rows] = 0.0

    def __call__(self, rng: np.random.Generator) -> float | Failure:
        """Return the statistic of a sample drawn under the null hypothesis."""
        return attempt(lambda: self.statistic(model_on(self.model, self.sampler.draw(rng))))

    def statistic(self, model: Any) -> float:
        """Return the statistic for the data of a model."""
        with warnings.catch_warnings(), model.fix_params(self.fixed) if self.fixed else nullcontext():
            warnings.simplefilter("ignore")  # few iterations do not converge
            params = model.fit(
                self.params, includes_fixed=True, method="lbfgs", maxiter=ITERATIONS, return_params=True
            )
            out = model.filter(params, includes_fixed=True, cov_type="none").filter_results
        # of a constant state, the last filtered mean and covariance are the smoothed ones
        cov = out.filtered_state_cov[np.ix_(self.rows, self.rows)][:, :, -1]
        return quadratic_form(out.filtered_state[self.rows, -1], cov)


def _bootstrapped(refit: _Refit, seeds: list[np.random.SeedSequence], n_jobs: int | None) -> Law:
    """Return the distribution of the statistic, simulated under the null hypothesis."""
    observed = refit.statistic(model_on(refit.model, np.asarray(refit.model.endog)))
    outcomes = run_simulations(refit, seeds, n_jobs)
    simulated = np.array(successes(outcomes, "fits to samples"))
    exceed = int(np.sum(simulated >= observed))
    pvalue = (1.0 + exceed) / (1.0 + len(simulated))
    return Law("parametric bootstrap", pvalue, observed, simulated, len(seeds) - len(simulated))


def grs(endog: Any, factors: Any) -> GRSTest:
    r"""
    Test that all intercepts of static regressions on traded factors are zero, by an exact F test.

    .. math::

        F = \frac{n - p - k}{p}\,
            \frac{\hat\alpha' \hat\Sigma^{-1} \hat\alpha}{1 + \bar f' \hat\Omega^{-1} \bar f}
        \sim F(p, n - p - k),

    with p series, k factors, and covariances :math:`\hat\Sigma` of the residuals and
    :math:`\hat\Omega` of the factors divided by n (Gibbons, Ross & Shanken 1989, Econometrica 57,
    1121-1152, equation 7).

    Parameters
    ----------
    endog : array_like, (nobs, p)
        Excess returns, without missing values.
    factors : array_like, (nobs, k)
        Excess returns of the factors, without a constant.

    Returns
    -------
    GRSTest

    Raises
    ------
    DataError
        If values are missing or infinite, lengths or indexes differ, the factors contain a constant or are
        collinear, or there are too few periods.
    """
    names, Y, X = _balanced(endog, factors)
    n, p, k = len(Y), Y.shape[1], X.shape[1] - 1
    if n - p - k < 1:
        raise DataError(
            "The F test needs more periods than series and factors",
            got=f"{n} periods, {p} series, {k} factors",
            expected=f"at least {p + k + 1} periods",
        )
    if np.linalg.matrix_rank(X / np.linalg.norm(X, axis=0)) <= k:
        raise DataError(
            "The factors and a constant are collinear",
            remedy="Leave the constant and doubles out of factors.",
        )
    try:
        length, _, alpha = _hotelling(Y, X, 0)
    except np.linalg.LinAlgError as error:
        raise DataError("The residuals of the series are collinear") from error
    statistic = (n - p - k) / p * length
    return GRSTest(
        statistic,
        (p, n - p - k),
        float(stats.f.sf(statistic, p, n - p - k)),
        pd.Series(alpha, index=names, name="alpha"),
    )


def _hotelling(Y: Array, X: Array, place: int) -> tuple[float, Array, Array]:
    """
    Return a' (cS)^{-1} a, a / sqrt(c) and a for the least-squares coefficients a (p,) on one regressor.

    S contains the sums of squares and products of the residuals, which are independent of a. c is the element
    of (X'X)^{-1} for the regressor.
    """
    order = [j for j in range(X.shape[1]) if j != place] + [place]
    q, r = np.linalg.qr(X[:, order])  # with the regressor last, c is one over the square of the last pivot
    scaled = q[:, -1] @ Y
    residuals = Y - q @ (q.T @ Y)
    return quadratic_form(scaled, residuals.T @ residuals), scaled, scaled / r[-1, -1]


def _balanced(endog: Any, factors: Any) -> tuple[list[str], Array, Array]:
    """Return names, series and regressors (with a constant first) as finite arrays of equal length."""
    frames = []
    for name, value in (("endog", endog), ("factors", factors)):
        frame = pd.DataFrame(value)
        try:
            array = frame.to_numpy(dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} is not numeric") from error
        if not np.all(np.isfinite(array)):
            raise DataError(
                f"The test needs balanced data, but {name} has missing or infinite values",
                got=f"{int(np.sum(~np.isfinite(array)))} values",
                remedy="Restrict series and periods, or use wald_alpha on a fitted model.",
            )
        frames.append(frame)
    series, regressors = frames
    labelled = all(isinstance(value, (pd.Series, pd.DataFrame)) for value in (endog, factors))
    if len(series) != len(regressors) or (labelled and not series.index.equals(regressors.index)):
        raise DataError(
            "endog and factors have different periods", got=f"{len(series)} and {len(regressors)} rows"
        )
    X = np.column_stack([np.ones(len(regressors)), regressors.to_numpy(dtype=float)])
    return [str(name) for name in series.columns], series.to_numpy(dtype=float), X
