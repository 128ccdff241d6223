"""Tests of linear hypotheses about the coefficients of a regression, across series and regressors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from ..base.states import smoothed_output
from ..display import Displayed
from ..engine.arguments import check_jobs, positive_integer
from ..exceptions import SpecificationError, shown, warn_renamed
from ..inference.bootstrap import Parametric
from ..inference.many import Failure, attempt, model_of, model_on, run_simulations, spawn, successes
from ..numerics.linear_algebra import Array
from ..params.parse import equation_label, parse_equations, require_independent
from .declaration import obs_kind

if TYPE_CHECKING:
    from .coefficients import Coefficients
    from .dynamic_regression import DynamicRegression
    from .results import DynamicRegressionResults

DRAWS = 99_999
"""Number of draws of a sum of independent F variables; the standard error of a p-value is below .0016."""
ITERATIONS = 60
"""Maximum number of iterations of a fit to a sample, started at the estimates. Most fits converge earlier.
With full V and W (10 series, 120 periods) the statistic is then within two percent of its maximum."""
_ELSEWHERE = 0.01
"""Relative difference from the statistic at the maximum above which the parameters are not the maximum."""


@dataclass(frozen=True, repr=False)
class SimulatedLaw(Displayed):
    """A Wald test whose p-value comes from an exact distribution or from simulated samples."""

    statistic: float
    df: int
    pvalue: float
    distribution: str
    estimate: pd.Series
    cov: pd.DataFrame
    simulated: Array
    n_failed: int
    notes: list[str]

    @property
    def pvalue_chi2(self) -> float:
        """Upper tail of the chi-squared distribution; too small, because it treats V and W as known."""
        return float(stats.chi2.sf(self.statistic, self.df))

    @property
    def pvalue_se(self) -> float:
        """Monte Carlo standard error of the p-value; zero if the p-value is not simulated."""
        count = len(self.simulated)
        return float(np.sqrt(self.pvalue * (1.0 - self.pvalue) / count)) if count else 0.0

    def _told(self, hypothesis: str, count: str) -> str:
        """Return the test as text, given its hypothesis and the number of restrictions."""
        law = self.distribution + (f", {len(self.simulated)} samples" if len(self.simulated) else "")
        line = f"{hypothesis}: {self.statistic:.4f}, {count}, p = {self.pvalue:.4f} ({law})"
        return "\n".join([line, *self.notes])


@dataclass(frozen=True)
class Law:
    """A p-value with its distribution, its statistic and the simulated values."""

    distribution: str
    pvalue: float
    at: float
    simulated: Array = field(default_factory=lambda: np.empty(0))
    n_failed: int = 0
    notes: list[str] = field(default_factory=list)

    def told(self, statistic: float) -> dict[str, Any]:
        """Return the attributes of a test with a given statistic; a note tells a p-value of another one."""
        notes = list(self.notes)
        if not abs(self.at - statistic) <= _ELSEWHERE * abs(self.at):
            notes.append(
                f"The p-value is that of {self.at:.4f}, the statistic at the maximum of the likelihood"
            )
        out = vars(self) | {"statistic": statistic, "notes": notes}
        del out["at"]
        return out


def quadratic_form(estimate: Array, cov: Array) -> float:
    """Return a' C^{-1} a."""
    return float(estimate @ np.linalg.solve(cov, estimate))


@dataclass(frozen=True, repr=False)
class CoefficientTest(SimulatedLaw):
    """
    Wald test of linear hypotheses R theta_t = q about the coefficients.

    Attributes
    ----------
    statistic : float
        (R theta - q)' (R P R')^{-1} (R theta - q) with the smoothed coefficients and their covariance P,
        given the estimated V and W.
    df : int
        Number of hypotheses.
    pvalue : float
        Upper tail of the distribution of the statistic in samples of this length. It is NaN if there are too
        few periods.
    distribution : str
        Distribution used for ``pvalue``. "F(r, d)" is exact. "sum of F" and "Lawley-Hotelling" are exact up
        to simulation error. "chi-squared" is exact if no parameter is estimated. The other values are
        "parametric bootstrap" and "unknown".
    date : object
        The period of time-varying coefficients; None if all coefficients in the hypotheses are constant.
    estimate : Series
        R theta, by hypothesis.
    value : Series
        The values q, by hypothesis.
    cov : DataFrame
        R P R'.
    simulated : ndarray
        Simulated values of the statistic. Samples in which the fit failed are left out.
    n_failed : int
        Number of samples in which the fit failed.
    notes : list of str
        Further remarks on the test.
    """

    date: Any
    value: pd.Series

    def __str__(self) -> str:
        when = "" if self.date is None else f" in {self.date}"
        return self._told(f"Wald test of {shown(self.estimate.index)}{when}", f"df = {self.df}")


def coefficient_test(
    results: DynamicRegressionResults,
    hypotheses: object,
    date: object = None,
    n_sim: int = 199,
    rng: object = None,
    n_jobs: int | None = None,
) -> CoefficientTest:
    r"""
    Test linear hypotheses about the coefficients, across series and regressors.

    .. math::

        W = (R\hat\theta_t - q)'\,(R\,P_{t|n} R')^{-1}(R\hat\theta_t - q),
        \qquad H_0: R\,\theta_t = q

    with the smoothed coefficients and their joint covariance at the estimated V and W. V and W are
    estimated from the same data, so the statistic tends to exceed a chi-squared variable. Its
    distribution is known if all coefficients are static and the start is diffuse. With r hypotheses, m
    regressors and n periods (n_i for series i) it is:

    - r F(r, sum of n_i - m), if V has one variance;
    - the sum of independent r_i F(r_i, n_i - m), if V is diagonal and no hypothesis involves two series;
    - for a full V, if no row is partly missing and the hypotheses have the form C B W = D for the
      coefficients B (m, p): r F(r, n - m) for one combination of series, Hotelling's T squared for one
      combination of regressors, and the Lawley-Hotelling trace otherwise.

    In all other cases the test draws samples at the estimates and fits the model to each of them,
    starting from the estimates. In each sample the statistic tests the true coefficients of that sample.

    A hypothesis about time-varying coefficients refers to a date. Conditional on that date, random-walk
    coefficients with a diffuse start are unknown constants, and the smoothed coefficients are their
    generalised least-squares estimates. The statistic is then chi-squared given V and W, as for static
    coefficients, and its distribution does not depend on the coefficients. This does not hold for a mean
    of the coefficients over the sample.

    Parameters
    ----------
    hypotheses : str, list of str, mapping or (R, q)
        Hypotheses such as ``"MKT.A = MKT.B, MKT.A = 1"``, with the names of coefficients and of slopes
        (``"MKT.slope.A = 0"``).
    date : optional
        The period of time-varying coefficients.
    n_sim : int
        Number of samples, if the distribution is simulated by fits.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed.
    n_jobs : int, optional
        As in `fit_many`.

    Returns
    -------
    CoefficientTest

    Raises
    ------
    SpecificationError
        If a hypothesis is not linear in the coefficients, hypotheses contradict or repeat each other,
        coefficients vary over time and ``date`` is missing, or the results were not smoothed.
    EstimationError
        If the fit succeeds in fewer than two samples. If it fails in some, a warning counts them.

    References
    ----------
    Anderson (2003), An Introduction to Multivariate Statistical Analysis, chapters 5 and 8.
    """
    positive_integer(n_sim, "n_sim")
    check_jobs(n_jobs)
    c = results.model.coefficients
    smoothed = smoothed_output(results)
    rows, offset, moves = _named(c)
    R, q, labels = restrictions(hypotheses, list(rows), former_names(c))
    moving = [name for name, on in zip(moves, np.any(R != 0, axis=0).tolist(), strict=True) if on and name]
    t = _period_of(results, moving, date)
    test = Restrictions(R @ np.array(list(rows.values())), q, t, R @ offset)
    at = test.at(smoothed.smoothed_state, smoothed.smoothed_state_cov)
    statistic = test.statistic(*at)
    law = exact_law(results, test, statistic, rng)
    law = law or bootstrapped(Refit(results, test), spawn(rng, n_sim), n_jobs)
    return CoefficientTest(
        **law.told(statistic),
        df=len(q),
        date=None if t == -1 else results.model._index[t],
        estimate=pd.Series(at[0], index=labels, name="estimate"),
        value=pd.Series(q, index=labels, name="value"),
        cov=pd.DataFrame(at[1], index=labels, columns=labels),
    )


def former_names(c: Coefficients) -> dict[str, str]:
    """Return the current names of states by their former names, which used those of the regressors."""
    pairs = [(old, new) for old, new in zip(c.regressors, c.labels, strict=True) if old != new]
    return {f"{old}.{name}": f"{new}.{name}" for old, new in pairs for name in c.endog}


def restrictions(
    hypotheses: object, names: list[str], former: Mapping[str, str]
) -> tuple[Array, Array, list[str]]:
    """
    Return R (r, k), q (r,) and a label for each linear hypothesis about named numbers.

    Parameters
    ----------
    hypotheses : str, list of str, mapping or (R, q)
        Hypotheses in the form of `patsy.DesignInfo.linear_constraint`, such as ``"a = b, c = 0"``.
    names : list of str
        Names of the numbers.
    former : mapping
        Current names by former name. Former names still work in texts, with a warning.

    Raises
    ------
    SpecificationError
        If a hypothesis is not linear in the named numbers, or hypotheses contradict or repeat each other.
    """
    old = list(former) if isinstance(hypotheses, (str, list, Mapping)) else []
    coefs, q, texts = parse_equations(hypotheses, [*names, *old])
    R = np.array(coefs[:, : len(names)])
    for column, name in zip(coefs.T[len(names) :], old, strict=True):
        if np.any(column):
            warn_renamed(name, former[name])
        R[:, names.index(former[name])] += column
    labels = texts or [equation_label(row, value, names) for row, value in zip(R, q, strict=True)]
    require_independent(R, q, labels)
    return R, q, labels


def _named(c: Coefficients) -> tuple[dict[str, Array], Array, list[str]]:
    """
    Return M and b_0 of coefficients M x + b_0 and of slopes, and what each moves with.

    The rows of M are by name. A constant coefficient moves with nothing, "".
    """
    there = np.flatnonzero(c.present)
    rows = {c.names[i]: c.loading[i] for i in there}
    moves = ["" if c.dynamics[i // c.p] == "static" else c.labels[i // c.p] for i in there]
    for name, j in c.slopes.items():
        for i in c.series_with(j):
            rows[f"{name}.{c.endog[i]}"] = c.slope_loading[c.of(j)[i]]
            moves.append(name)
    return rows, np.pad(c.offset[there], (0, len(rows) - len(there))), moves


def _period_of(results: DynamicRegressionResults, moving: list[str], date: object) -> int:
    """Return the period of a hypothesis, or -1 if its coefficients are constant."""
    if date is None and moving:
        raise SpecificationError(
            f"The coefficients on {shown(sorted(set(moving)))} vary over time, so a hypothesis about them "
            "needs a date",
            got="date=None",
            remedy=f"Pass a date of the sample, such as date={str(results.model._index[-1])!r}.",
        )
    t = -1 if date is None else results.model.calendar.position(date)
    if date is not None and not 0 <= t < results.model.nobs:
        raise SpecificationError("The date is not in the sample", got=repr(date))
    return int(t) if moving else -1


@dataclass(frozen=True)
class Restrictions:
    """The hypothesis R x_t + r = q about the states of period t."""

    loading: Array
    value: Array
    t: int
    offset: Array | float = 0.0

    def of(self, states: Array) -> Array:
        """Return R x + r."""
        return np.asarray(self.loading @ states[:, self.t] + self.offset)

    def at(self, states: Array, covs: Array) -> tuple[Array, Array]:
        """Return R x + r and R P R' from smoothed states and their covariances."""
        return self.of(states), self.loading @ covs[:, :, self.t] @ self.loading.T

    def statistic(self, estimate: Array, cov: Array, truth: Array | None = None) -> float:
        """Return the Wald statistic of the hypothesis, or of the true values in a simulated sample."""
        error = estimate - (self.value if truth is None else truth)
        scale = np.sqrt(np.clip(np.diag(cov), 0.0, None))
        if not np.all(scale > 0) or np.linalg.cond(cov / np.outer(scale, scale)) > _SINGULAR:
            raise SpecificationError(
                "The covariance of the tested coefficients is singular",
                got=f"standard errors {scale.tolist()}",
                remedy="Test fewer hypotheses: the constraints, or V and W, leave one of them certain.",
            )
        return quadratic_form(error, cov)


_SINGULAR = 1e12
"""Condition number of a correlation matrix from which its inverse has no reliable digits."""


# -- exact distributions -----------------------------------------------------------------------------------


def exact_law(
    results: DynamicRegressionResults, test: Restrictions, statistic: float, rng: object
) -> Law | None:
    """Return the exact distribution of the statistic, or None if it must be simulated by fits."""
    model = model_of(results)
    c = model.coefficients
    L, q = test.loading, np.asarray(test.value - test.offset)
    if set(model.layout.names) <= set(results._fixed):
        return Law("chi-squared", float(stats.chi2.sf(statistic, len(q))), statistic)
    if results._fixed or not _is_least_squares(model):
        return None
    y, Z = model.endog - c.intercept(model.exog).T, c.design(model.exog)
    kind = "scalar" if c.p == 1 else obs_kind(model)
    if kind == "scalar":
        return _f_law(*_pooled(y, Z, L, q))
    if kind == "diagonal":
        return _by_series(y, Z, c, L, q, rng)
    if kind != "unstructured" or c.alike is None:
        return None
    return _multivariate(y, model.exog @ c.alike, L.reshape(len(L), -1, c.p), q, rng)


def _is_least_squares(model: DynamicRegression) -> bool:
    """Return whether all coefficients are constant, with a diffuse start and noise of one covariance."""
    constant = set(model.coefficients.dynamics) == {"static"}
    return constant and model.current_initialization == "diffuse" and model.obs_scale is None


def _f_law(value: float, r: int, freedom: int) -> Law:
    """Return the distribution of a statistic that follows r F(r, freedom)."""
    if freedom < 1:
        return Law("unknown", np.nan, value, notes=["No p-value: there are too few periods"])
    return Law(f"F({r}, {freedom})", float(stats.f.sf(value / r, r, freedom)), value)


def _pooled(y: Array, Z: Array, L: Array, q: Array) -> tuple[float, int, int]:
    """
    Return the least-squares statistic with one variance for all cells, r and the degrees of freedom.

    y (n, p) has the mean Z_t x, with the design Z (p, k, n), and the hypothesis is L x = q.
    """
    seen = ~np.isnan(y)
    X, values = np.moveaxis(Z, 2, 0)[seen], y[seen]
    Q, upper = np.linalg.qr(X)
    rotated, loading = Q.T @ values, np.linalg.solve(upper.T, L.T)
    squares, freedom = float(np.sum((values - Q @ rotated) ** 2)), len(X) - X.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = quadratic_form(rotated @ loading - q, loading.T @ loading) * freedom / squares
    return value, len(q), freedom


def _by_series(y: Array, Z: Array, c: Coefficients, L: Array, q: Array, rng: object) -> Law | None:
    """Return the distribution for a diagonal V, or None if the hypotheses join series."""
    owns = (L != 0) @ c.used.T
    if np.any(owns.sum(axis=1) > 1) or not np.all(c.separate[owns.any(axis=0)]):
        return None
    parts = []
    for i in np.flatnonzero(owns.any(axis=0)):
        rows, own = owns[:, i], c.used[i]
        parts.append(_pooled(y[:, [i]], Z[[i]][:, own], L[rows][:, own], q[rows]))
    if len(parts) == 1 or any(freedom < 1 for _, _, freedom in parts):
        return _f_law(*min(parts, key=lambda part: part[2]))
    value = sum(part[0] for part in parts)
    generator = np.random.default_rng(spawn(rng, 1)[0])
    draws = np.asarray(sum(r * generator.f(r, freedom, size=DRAWS) for _, r, freedom in parts))
    return Law("sum of F", _tail(draws, value), value, draws)


def _multivariate(y: Array, X: Array, M: Array, q: Array, rng: object) -> Law | None:
    """
    Return the distribution for a full V, if the hypotheses have the form C B W = D for coefficients B (m, p).

    It is None for other hypotheses, or if a row is partly missing.

    With g rows of C, h columns of W and f = n - m the statistic is f tr(H E^{-1}), where H ~ Wishart_h(g) and
    E ~ Wishart_h(f) are independent. This is g F(g, f) for h = 1, Hotelling's T squared for g = 1, and the
    Lawley-Hotelling trace otherwise (Anderson 2003, sections 5.2 and 8.6).
    """
    seen = ~np.isnan(y)
    rows = seen.all(axis=1)
    if np.any(rows != seen.any(axis=1)):
        return None
    y, X = y[rows], X[rows]
    (r, m, p), freedom = M.shape, len(y) - X.shape[1]
    g = int(np.linalg.matrix_rank(np.moveaxis(M, 1, 0).reshape(m, -1)))
    h = int(np.linalg.matrix_rank(M.reshape(-1, p)))
    if r != g * h:
        return None
    if freedom < h:
        return _f_law(np.nan, r, 0)
    Q, upper = np.linalg.qr(X)
    rotated = Q.T @ y
    residual = y - Q @ rotated
    loading = np.linalg.solve(upper.T, M.transpose(1, 0, 2).reshape(m, -1)).reshape(m, r, p)
    error = np.einsum("mri,mi->r", loading, rotated) - q
    cov = np.einsum("mri,ij,msj->rs", loading, residual.T @ residual / freedom, loading)
    value = quadratic_form(error, cov)
    if h == 1:
        return _f_law(value, g, freedom)
    if g == 1:
        last = freedom - h + 1
        return Law(f"F({h}, {last})", float(stats.f.sf(last / freedom / h * value, h, last)), value)
    draws = _lawley_hotelling(g, h, freedom, np.random.default_rng(spawn(rng, 1)[0]))
    return Law("Lawley-Hotelling", _tail(draws, value), value, draws)


def _lawley_hotelling(g: int, h: int, freedom: int, rng: np.random.Generator) -> Array:
    """Draw f tr(H E^{-1}), with E from Bartlett's decomposition."""
    count = DRAWS // (g * h)
    square_root = np.tril(rng.standard_normal((count, h, h)), -1)
    square_root[:, range(h), range(h)] = np.sqrt(rng.chisquare(freedom - np.arange(h), size=(count, h)))
    return np.asarray(
        freedom * np.sum(np.linalg.solve(square_root, rng.standard_normal((count, h, g))) ** 2, axis=(1, 2))
    )


def _tail(draws: Array, value: float) -> float:
    return (1.0 + float(np.sum(draws >= value))) / (1.0 + len(draws))


# -- simulated distributions -------------------------------------------------------------------------------


class Refit:
    """
    The statistic of the true values in a sample, after a few iterations from the estimates.

    With ``null``, samples satisfy the hypothesis about constant coefficients.
    """

    def __init__(self, results: DynamicRegressionResults, test: Restrictions, null: bool = False) -> None:
        self.model, self.test = model_of(results), test
        self.fixed, self.params = dict(results._fixed), np.asarray(results.params, dtype=float)
        self.sampler = Parametric(self.model, self.params)
        if null:  # the nearest constant coefficients that satisfy the hypothesis
            L, back = test.loading, np.linalg.pinv(test.loading)
            self.sampler.mean += back @ (test.value - test.offset - L @ self.sampler.mean)
            self.sampler.spread -= back @ (L @ self.sampler.spread)

    def __call__(self, rng: np.random.Generator) -> float | Failure:
        """Return the statistic of a simulated sample."""

        def found() -> float:
            """Draw a sample and return its statistic."""
            sample, states = self.sampler.path(rng)
            return self.statistic(model_on(self.model, sample), self.test.of(states.T))

        return attempt(found)

    def statistic(self, model: DynamicRegression, truth: Array | None = None) -> float:
        """Return the statistic for the data of a model."""
        with warnings.catch_warnings(), model.fix_params(self.fixed) if self.fixed else nullcontext():
            warnings.simplefilter("ignore")  # few iterations do not converge
            params = model.fit(
                self.params, includes_fixed=True, method="lbfgs", maxiter=ITERATIONS, return_params=True
            )
            if self.test.t == -1:  # of constant states, the last filtered moments are the smoothed ones
                out = model.filter(params, includes_fixed=True, cov_type="none").filter_results
                at = self.test.at(out.filtered_state, out.filtered_state_cov)
            else:
                out = model.smooth(params, includes_fixed=True, cov_type="none")
                at = self.test.at(np.asarray(out.smoothed_state), np.asarray(out.smoothed_state_cov))
        return self.test.statistic(*at, truth)


def bootstrapped(refit: Refit, seeds: list[np.random.SeedSequence], n_jobs: int | None) -> Law:
    """Return the distribution of the statistic of the true coefficients in simulated samples."""
    observed = refit.statistic(model_on(refit.model, np.asarray(refit.model.endog)))
    simulated = np.array(successes(run_simulations(refit, seeds, n_jobs), "fits to samples"))
    return Law(
        "parametric bootstrap", _tail(simulated, observed), observed, simulated, len(seeds) - len(simulated)
    )
