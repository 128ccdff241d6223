"""Tests that all intercepts of a regression on traded factors are zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.linalg
from scipy import stats

from ..base.states import smoothed_output
from ..display import Displayed
from ..engine.arguments import check_jobs, one_of, positive_integer
from ..exceptions import DataError, SpecificationError, shown
from ..inference.many import model_of, spawn
from ..numerics.linear_algebra import Array
from .hypotheses import Law, Refit, Restrictions, SimulatedLaw, bootstrapped, exact_law, quadratic_form

if TYPE_CHECKING:
    from .coefficients import Coefficients
    from .results import DynamicRegressionResults


@dataclass(frozen=True, repr=False)
class WaldTest(SimulatedLaw):
    """
    Joint Wald test that the constant coefficients on a regressor are zero for all series.

    Attributes
    ----------
    statistic : float
        a' Var(a)^{-1} a, given the estimated V and W. If constraints tie some of the coefficients to others,
        it is that of the others.
    df : int
        Number of series, or of coefficients that the constraints leave free.
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

    regressor: str

    def __str__(self) -> str:
        count = f"{self.df} series" if self.df == len(self.estimate) else f"df = {self.df}"
        return self._told(f"Wald test that all coefficients on {self.regressor} are zero", count)


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
    results: DynamicRegressionResults,
    regressor: str = "const",
    n_sim: int = 199,
    rng: object = None,
    n_jobs: int | None = None,
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

    With constraints, or regressors that differ by series, m counts the free coefficients of a series, and the
    degrees of freedom those of the least-squares regressions of the series. The first distribution needs the
    same regressors and constraints for all series, the second series without common coefficients.

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
        If the regressor is unknown, its coefficients vary over time, the constraints decide the hypothesis,
        or the results were not smoothed.
    EstimationError
        If the fit succeeds in fewer than two samples. If it fails in some, a warning counts them.
    """
    positive_integer(n_sim, "n_sim")
    check_jobs(n_jobs)
    c, rows, test = _zero(results, regressor)
    moments = np.asarray(results.smoothed_state), np.asarray(results.smoothed_state_cov)
    statistic = test.statistic(*test.at(*moments))
    estimate, cov = replace(test, loading=c.loading[rows], offset=c.offset[rows]).at(*moments)
    law = _law(results, test, statistic, rng)
    law = law or bootstrapped(Refit(results, test, null=True), spawn(rng, n_sim), n_jobs)
    names = [c.endog[i % c.p] for i in rows]
    return WaldTest(
        **law.told(statistic),
        df=len(test.value),
        regressor=regressor,
        estimate=pd.Series(estimate, index=names, name="estimate"),
        cov=pd.DataFrame(cov, index=names, columns=names),
    )


def _zero(results: DynamicRegressionResults, regressor: str) -> tuple[Coefficients, Array, Restrictions]:
    """Return the coefficients on a regressor, and the independent restrictions that set them to zero."""
    c = results.model.coefficients
    place = c.labels.index(one_of(regressor, c.labels, "regressor"))
    if c.dynamics[place] != "static":
        raise SpecificationError(
            f"The test needs static coefficients on {regressor}",
            got=repr(c.dynamics[place]),
            remedy='Declare them "static", or look at the smoothed paths.',
        )
    smoothed_output(results)
    rows = c.of(place)[c.series_with(place)]
    L, offset = c.loading[rows], c.offset[rows]
    _, upper, order = scipy.linalg.qr(L.T, pivoting=True)
    size = np.abs(np.diag(upper))
    chosen = np.sort(order[: int(np.sum(size > _RANK * max(size[0], 1.0)))])
    nearest = np.linalg.lstsq(L, -offset, rcond=None)[0]
    if np.max(np.abs(L @ nearest + offset)) > _RANK * np.max(np.abs(offset), initial=1.0):
        raise SpecificationError(
            f"The constraints exclude that all coefficients on {regressor} are zero",
            got=shown([c.constraints] if isinstance(c.constraints, str) else c.constraints),
            remedy="Test single coefficients with test_coefficients.",
        )
    if not len(chosen):
        raise SpecificationError(
            f"The constraints set all coefficients on {regressor} to zero: there is nothing to test",
            got=shown([c.constraints] if isinstance(c.constraints, str) else c.constraints),
            remedy="Fit the model without these constraints.",
        )
    return c, rows, Restrictions(L[chosen], np.zeros(len(chosen)), -1, offset[chosen])


_RANK = 1e-9
"""Size of a pivot or residual below which coefficients that constraints tie count as dependent."""


def _law(results: DynamicRegressionResults, test: Restrictions, statistic: float, rng: object) -> Law | None:
    """Return the exact distribution of the statistic, or None if it must be simulated by fits."""
    model = model_of(results)
    p, m = model.k_endog, int(model.coefficients.used.sum(axis=1).max())
    n = int((~np.isnan(model.endog)).any(axis=1).sum())
    if n < p + m and not set(model.layout.names) <= set(results._fixed):
        note = f"No p-value: {n} periods for {p} series and {m} regressors (at least {p + m} are needed)"
        return Law("unknown", np.nan, statistic, notes=[note])
    return exact_law(results, test, statistic, rng)


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
        Excess returns, without missing values. There must be more periods than series and factors.
    factors : array_like, (nobs, k)
        Excess returns of the factors, without a constant.

    Returns
    -------
    GRSTest

    Raises
    ------
    DataError
        If the factors contain a constant or are collinear, or the residuals of the series are.
    """
    series = pd.DataFrame(endog)
    Y, (n, p) = series.to_numpy(), series.shape
    X = np.column_stack([factors, np.ones(n)])
    k = X.shape[1] - 1
    if np.linalg.matrix_rank(X / np.linalg.norm(X, axis=0)) <= k:
        raise DataError(
            "The factors and a constant are collinear",
            remedy="Leave the constant and repeated columns out of factors.",
        )
    q, r = np.linalg.qr(X)  # the constant is last: 1 / r[-1, -1]^2 is its element of (X'X)^{-1}
    scaled, residuals = q[:, -1] @ Y, Y - q @ (q.T @ Y)
    try:
        length = quadratic_form(scaled, residuals.T @ residuals)
    except np.linalg.LinAlgError as error:
        raise DataError("The residuals of the series are collinear") from error
    statistic = (n - p - k) / p * length
    return GRSTest(
        statistic,
        (p, n - p - k),
        float(stats.f.sf(statistic, p, n - p - k)),
        pd.Series(scaled / r[-1, -1], index=series.columns, name="alpha"),
    )
