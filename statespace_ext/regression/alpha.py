"""Whether all intercepts of a regression on traded factors are zero."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..display import Displayed
from ..engine.arguments import positive_integer
from ..engine.parallel import check_jobs
from ..exceptions import DataError, SpecificationError
from ..inference.bootstrap import Parametric
from ..inference.many import Failure, attempt, model_of, model_on, run_simulations, spawn, successes
from ..numerics.linear_algebra import Array
from .structures import obs_kind


class SimulatedLaw:
    """What tests say of p-values that are of simulated samples, or of a chi-squared variable."""

    statistic: float
    df: int
    pvalue: float
    simulated: Array

    @property
    def pvalue_chi2(self) -> float:
        """Upper tail of the chi-squared distribution: V and W are taken as known, and it is too small."""
        return float(stats.chi2.sf(self.statistic, self.df))

    @property
    def pvalue_se(self) -> float:
        """Monte Carlo standard error of the p-value; zero where nothing is simulated."""
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
        Upper tail of the distribution of the statistic in samples of this length; NaN where there are no
        more periods than series and other regressors.
    distribution : str
        Where ``pvalue`` is from: "F(p, n - p - k)" or "F(1, n - k - 1)" and their like, exact; "sum of F",
        exact to the simulation (independent series); "chi-squared", exact where no parameter is estimated;
        "parametric bootstrap", simulated at the estimates with coefficients of zero; "unknown".
    regressor : str
        The regressor.
    estimate : Series
        a, by series.
    cov : DataFrame
        Var(a).
    simulated : ndarray
        Simulated values of the statistic, without those of the samples in which the fit failed.
    n_failed : int
        Number of those samples.
    notes : list of str
        What else to know.
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
        F.
    df : tuple of int
        Degrees of freedom: p and n - p - k.
    pvalue : float
        Its upper tail; exact under independent normal errors, given the factors.
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

    The smoothed states of static coefficients are their generalised least-squares estimates, with their
    joint covariance, at the estimated V and W (Durbin & Koopman 2012, section 6.2.3). V and W are
    estimated from the same data, so that the statistic is larger than a chi-squared variable. With m
    regressors, all static, n periods and a diffuse start its distribution is known. It is that of

    - :math:`p\,(n - m)/(n - m - p + 1)\,F(p, n - m - p + 1)` for a full V and no row that is partly missing
      (Hotelling's T squared; on a constant it is the test of Gibbons, Ross & Shanken 1989);
    - :math:`\sum_i F(1, n_i - m)`, independent, for a diagonal V, with :math:`n_i` observations of series i;
    - :math:`p\,F(p, \sum_i (n_i - m))` for a V with one variance.

    These p-values are of the least-squares statistics, which the fit reaches at its maximum. Otherwise
    samples are drawn at the estimates with zeros for the coefficients, and the model is fitted to each from
    the estimates.

    Parameters
    ----------
    results : DynamicRegressionResults
        A fit.
    regressor : str
        Name of the regressor.
    n_sim : int
        Number of samples, where the distribution is simulated.
    rng : numpy.random.Generator or int, optional
        Source of the samples; each has a seed of its own, whatever ``n_jobs``.
    n_jobs : int, optional
        As in `fit_many`.

    Returns
    -------
    WaldTest
        Without a p-value (NaN) where n < p + m.

    Raises
    ------
    SpecificationError
        If the regressor is unknown, its coefficients move, or nothing was smoothed.
    EstimationError
        If fewer than two of the samples have a fit; a warning counts those that have none.
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
    """Return the states of the coefficients on a regressor; refuse those that move."""
    c = getattr(results.model, "coefficients", None)
    if c is None:
        raise SpecificationError("The test is for dynamic regressions", got=type(results.model).__name__)
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
    if results.smoothed_state is None:
        raise SpecificationError(
            "The coefficients were not computed",
            got="a fit with low_memory=True",
            remedy="Call `model.smooth(res.params)`.",
        )
    return np.asarray(c.level(place))


def quadratic_form(estimate: Array, cov: Array) -> float:
    """Return a' C^{-1} a."""
    return float(estimate @ np.linalg.solve(cov, estimate))


@dataclass(frozen=True)
class Law:
    """A p-value, the distribution that it is from, of which statistic it is, and what was simulated."""

    name: str
    pvalue: float
    at: float
    simulated: Array = field(default_factory=lambda: np.empty(0))
    n_failed: int = 0
    notes: list[str] = field(default_factory=list)


def _law(results: Any, statistic: float, place: int, rng: Any) -> Law | None:
    """Return the exact distribution of the statistic, None where it has to be simulated by fits."""
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
"""Samples of a sum of independent F variables: the standard error of a p-value is below .0016."""


def _independent_series(y: Array, X: Array, place: int, kind: str, rng: Any) -> Law:
    """Return the distribution for a diagonal V, or one variance, from least squares by series."""
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
"""Iterations of a fit to a sample from the estimates. Most converge before; with full V and W (10 series, 120
periods) the statistic then is within two percent of its value at the maximum."""
_ELSEWHERE = 0.01
"""A statistic this far, relatively, from that at the maximum is of parameters that are not the maximum."""


class _Refit:
    """The statistic of a sample, at what a few iterations from the estimates reach; it can be pickled."""

    def __init__(self, results: Any, rows: Array) -> None:
        self.model, self.rows = model_of(results), rows
        self.fixed, self.params = dict(results._fixed), np.asarray(results.params, dtype=float)
        self.sampler = Parametric(self.model, self.params)
        self.sampler.mean[rows] = 0.0
        self.sampler.spread[rows] = 0.0

    def __call__(self, rng: np.random.Generator) -> float | Failure:
        """Return the statistic of a sample without effects."""
        return attempt(lambda: self.statistic(model_on(self.model, self.sampler.draw(rng))))

    def statistic(self, model: Any) -> float:
        """Return the statistic of a model's data."""
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
    """Return the distribution of the statistic in samples without effects."""
    observed = refit.statistic(model_on(refit.model, np.asarray(refit.model.endog)))
    outcomes = run_simulations(refit, seeds, n_jobs)
    simulated = np.array(successes(outcomes, "fits to samples"))
    exceed = int(np.sum(simulated >= observed))
    pvalue = (1.0 + exceed) / (1.0 + len(simulated))
    return Law("parametric bootstrap", pvalue, observed, simulated, len(seeds) - len(simulated))


def grs(endog: Any, factors: Any) -> GRSTest:
    r"""
    Test that all intercepts of static regressions on traded factors are zero, exactly.

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
        Excess returns, none missing.
    factors : array_like, (nobs, k)
        Excess returns of the factors, without a constant.

    Returns
    -------
    GRSTest

    Raises
    ------
    DataError
        If values are missing or infinite, lengths or indexes differ, the factors have a constant or are
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
    Return a' (cS)^{-1} a, a / sqrt(c) and a: the least-squares coefficients a (p,) on one regressor.

    S are the sums of squares and products of the residuals, independent of a, and c is the element of
    (X'X)^{-1}.
    """
    order = [j for j in range(X.shape[1]) if j != place] + [place]
    q, r = np.linalg.qr(X[:, order])  # the regressor last, so that c is one over the last pivot squared
    scaled = q[:, -1] @ Y
    residuals = Y - q @ (q.T @ Y)
    return quadratic_form(scaled, residuals.T @ residuals), scaled, scaled / r[-1, -1]


def _balanced(endog: Any, factors: Any) -> tuple[list[str], Array, Array]:
    """Return names, series and regressors (a constant first) as finite arrays of the same length."""
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
