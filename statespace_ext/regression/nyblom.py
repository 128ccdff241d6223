r"""
Nyblom's test of constant coefficients against random walks.

In a regression with least-squares residuals :math:`e_t` (a row of p series), for the regressors x whose
coefficients are tested (the columns of X), let :math:`G_t = \sum_{s \le t} x_s e_s'` and
:math:`\hat\Sigma = \sum_t e_t e_t' / n`. The statistic

.. math:: L = \frac{1}{n} \sum_t tr[ (X'X)^{-1} G_t \hat\Sigma^{-1} G_t' ]

is the locally best invariant one against random walks whose steps have a covariance proportional to
:math:`(X'X)^{-1} \otimes \Sigma` (Nyblom 1989, JASA 84, 223-230, with the information of the normal
regression; Hansen 1992, Journal of Policy Modeling 14, 517-533, has :math:`\sum x_t^2 e_t^2` in place of
:math:`\hat\Sigma X'X`). Given the regressors, its distribution under normal errors has no parameters, so it
is simulated; for many periods it is that of a sum of integrated squared Brownian bridges, one a coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..numerics.linear_algebra import Array
from .starts import series_by_series

ASYMPTOTIC_5_PERCENT = dict(
    enumerate(
        [
            0.461, 0.748, 1.000, 1.237, 1.465, 1.686, 1.903, 2.116, 2.326, 2.533,
            2.739, 2.942, 3.144, 3.345, 3.544, 3.743, 3.940, 4.136, 4.332, 4.526,
        ],
        start=1,
    )
)  # fmt: skip
"""
95 % points of the sum of k integrated squared Brownian bridges, by inversion of its characteristic
function (table 1 of Hansen 1992 has simulated ones: 0.470, 0.749, 1.01, ...).
"""

ALL = "(joint)"
"""Label of the tests of all series, or of all moving regressors, together."""


@dataclass(frozen=True)
class NyblomCase:
    """One statistic: the rows, the series and the tested regressors that it uses."""

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
        """Return L for data (nobs, p), of which the regression is taken."""
        chosen = errors[self.rows][:, self.columns]
        X = self.exog[self.rows]
        residuals = np.zeros((len(errors), len(self.columns)))
        residuals[self.rows] = chosen - X @ np.linalg.lstsq(X, chosen, rcond=None)[0]
        x = self.exog[:, self.tested]
        n = int(self.rows.sum())
        sums = np.cumsum(x[:, :, None] * residuals[:, None, :], axis=0)
        cov = residuals.T @ residuals / n
        tested = x[self.rows].T @ x[self.rows]
        weighted = np.linalg.solve(tested, np.moveaxis(sums, 1, 0).reshape(len(self.tested), -1))
        weighted = np.moveaxis(weighted.reshape(len(self.tested), *residuals.shape), 0, 1)
        return float(np.einsum("tja,tjb,ba->", sums, weighted, np.linalg.inv(cov)) / n)


def nyblom_cases(
    endog: Array, exog: Array, moving: list[int], regressors: list[str], series: list[str]
) -> list[NyblomCase]:
    """
    Return the statistics of a regression: each series, and all together on the rows that are complete.

    Parameters
    ----------
    endog : ndarray, (nobs, p)
        Series, NaN where missing.
    exog : ndarray, (nobs, m)
        Regressors.
    moving : list of int
        The regressors to test, each and (where there are several) all.
    regressors, series : list of str
        Names.
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


def nyblom_table(endog: Array, cases: list[NyblomCase], simulated: Array) -> pd.DataFrame:
    """
    Return statistics and p-values.

    Parameters
    ----------
    endog : ndarray, (nobs, p)
        Series.
    cases : list of NyblomCase
        The statistics.
    simulated : ndarray, (n_sim, cases)
        Their values in samples under constant coefficients.
    """
    values = np.array([case.statistic(residual_data(endog, case.exog)) for case in cases])
    exceed = np.sum(simulated >= values, axis=0)
    index = pd.MultiIndex.from_tuples(
        [(case.regressor, case.series) for case in cases], names=["regressor", "series"]
    )
    return pd.DataFrame(
        {
            "statistic": values,
            "pvalue": (1.0 + exceed) / (len(simulated) + 1.0),
            "coefficients": [case.size for case in cases],
            "asymptotic_5%": [ASYMPTOTIC_5_PERCENT.get(case.size, np.nan) for case in cases],
        },
        index=index,
    )


def residual_data(endog: Array, exog: Array) -> Array:
    """Return least-squares residuals by series: the statistic does not change, rounding does."""
    return series_by_series(endog, exog)[1]
