"""Whether all intercepts of a regression on traded factors are zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..exceptions import DataError, SpecificationError
from ..numerics.linear_algebra import Array


@dataclass(frozen=True)
class WaldTest:
    """
    Joint Wald test that the constant coefficients on a regressor are zero for all series.

    Attributes
    ----------
    statistic : float
        a' Var(a)^{-1} a.
    df : int
        Number of series: degrees of freedom of the chi-squared distribution.
    pvalue : float
        Its upper tail. The covariance matrices V and W are taken as known.
    regressor : str
        The regressor.
    estimate : Series
        a, by series.
    cov : DataFrame
        Var(a).
    """

    statistic: float
    df: int
    pvalue: float
    regressor: str
    estimate: pd.Series
    cov: pd.DataFrame

    def __str__(self) -> str:
        return (
            f"Wald test that all coefficients on {self.regressor} are zero, given V and W: "
            f"chi2({self.df}) = {self.statistic:.4f}, p = {self.pvalue:.4f}"
        )


@dataclass(frozen=True)
class GRSTest:
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


def wald_alpha(results: Any, regressor: str = "const") -> WaldTest:
    """
    Test that the static coefficients on a regressor are zero for all series.

    The smoothed states of static coefficients are their generalised least-squares estimates, with their
    joint covariance, at the estimated V and W (Durbin & Koopman 2012, section 6.2.3).

    Parameters
    ----------
    results : DynamicRegressionResults
        A fit.
    regressor : str
        Name of the regressor.

    Returns
    -------
    WaldTest

    Raises
    ------
    SpecificationError
        If the regressor is unknown, its coefficients move, or nothing was smoothed.
    """
    c = getattr(results.model, "coefficients", None)
    if c is None:
        raise SpecificationError("The test is for dynamic regressions", got=type(results.model).__name__)
    if regressor not in c.regressors:
        raise SpecificationError(
            "The model has no such regressor", got=repr(regressor), expected=f"one of {c.regressors}"
        )
    place = c.regressors.index(regressor)
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
    rows = c.level(place)
    estimate = np.asarray(results.smoothed_state)[rows, -1]
    cov = np.asarray(results.smoothed_state_cov)[np.ix_(rows, rows)][:, :, -1]
    try:
        statistic = float(estimate @ np.linalg.solve(cov, estimate))
    except np.linalg.LinAlgError as error:
        raise SpecificationError(
            "The covariance of the coefficients is singular", got=f"V of rank below {len(rows)}"
        ) from error
    return WaldTest(
        statistic,
        len(rows),
        float(stats.chi2.sf(statistic, len(rows))),
        regressor,
        pd.Series(estimate, index=c.endog, name="estimate"),
        pd.DataFrame(cov, index=c.endog, columns=c.endog),
    )


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
    # alpha / sqrt(c) and the residuals are independent, c the first element of (X'X)^{-1}: Hotelling's T2
    q, r = np.linalg.qr(X[:, ::-1])  # the constant last, so that c is one over the last pivot squared
    scaled = q[:, -1] @ Y
    residuals = Y - q @ (q.T @ Y)
    try:
        length = float(scaled @ np.linalg.solve(residuals.T @ residuals, scaled))
    except np.linalg.LinAlgError as error:
        raise DataError("The residuals of the series are collinear") from error
    statistic = (n - p - k) / p * length
    return GRSTest(
        statistic,
        (p, n - p - k),
        float(stats.f.sf(statistic, p, n - p - k)),
        pd.Series(scaled / r[-1, -1], index=names, name="alpha"),
    )


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
