"""Bond prices and curves in discrete time, for maturities of whole periods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array
from ..numerics.ornstein_uhlenbeck import Discretisation
from .dynamics import Affine, Premia

_OFF = 0.02
"""Largest difference of a maturity from a whole number of periods, in periods."""


def whole_periods(tau: Array, dt: float) -> Array:
    """
    Convert maturities or horizons in years to numbers of periods.

    Raises
    ------
    SpecificationError
        If a value is not a whole number of periods.
    """
    exact = np.asarray(tau, dtype=float) / dt
    count = np.rint(exact).astype(int)
    off = (np.abs(exact - count) > _OFF) | (count < 1)
    if np.any(off):
        raise SpecificationError(
            "A model in discrete time has maturities and horizons of whole periods",
            got=f"{np.asarray(tau)[off][0]:g} years, {exact[off][0]:.4g} periods",
            expected=f"a multiple of {dt:.4g} years",
        )
    return count


@dataclass(frozen=True)
class PeriodCurves(Premia):
    """
    The curves of a model in discrete time.

        X_{t+1} = Phi X_t + v_{t+1},  v ~ N(0, S),     r_t = delta_0 + delta_1'X_t   (of one period)
        log P_{t,n} = A_n + B_n'X_t
        B_{n+1} = (Phi - lambda_1)'B_n - delta_1
        A_{n+1} = A_n - B_n'lambda_0 + (B_n'S B_n + s^2) / 2 - delta_0

    The recursions are equations 25 to 28 of Adrian, Crump & Moench (2013). The variance s^2 of the return
    errors enters from the second period on, and P_{t,0} = 1.

    Attributes
    ----------
    Phi, cov : ndarray, (k, k)
        The matrices Phi and S.
    lambda_0 : ndarray, (k,)
    lambda_1 : ndarray, (k, k)
    return_var : float
        The variance s^2.
    delta_0 : float
    delta_1 : ndarray, (k,)
    dt : float
        Length of a period in years.
    scale : float
        The size of one (100 percent) in the units of the rates.
    """

    Phi: Array
    cov: Array
    lambda_0: Array
    lambda_1: Array
    return_var: float
    delta_0: float
    delta_1: Array
    dt: float
    scale: float

    def _log_prices(self, count: int, priced: bool, convex: bool) -> tuple[Array, Array]:
        """Return A_n (count + 1,) and B_n (count + 1, k), with or without prices of risk and convexity."""
        k = len(self.delta_1)
        A, B = np.zeros(count + 1), np.zeros((count + 1, k))
        shift, turn = -priced * self.lambda_0, (self.Phi - priced * self.lambda_1).T
        for n in range(count):
            curved = B[n] @ self.cov @ B[n] + self.return_var * (n > 0)
            A[n + 1] = A[n] + B[n] @ shift + 0.5 * convex * curved - self.delta_0
            B[n + 1] = turn @ B[n] - self.delta_1
        return A, B

    def _of(self, tau: Array, priced: bool, convex: bool, ahead: int) -> Affine:
        """Return rates from P_n to P_0 (ahead=0), or rates of the single period after n (ahead=1)."""
        n = whole_periods(tau, self.dt)
        A, B = self._log_prices(int(n.max()) + ahead, priced, convex)
        far, near, length = n + ahead, n * ahead, np.where(ahead, 1, n)
        size = self.scale / (length * self.dt)
        return Affine((A[near] - A[far]) * size, (B[near] - B[far]) * size[:, None])

    def yields(self, tau: Array) -> Affine:
        """Return zero-coupon yields."""
        return self._of(tau, True, True, 0)

    def forwards(self, tau: Array) -> Affine:
        """Return forward rates over the single period that begins in tau years."""
        return self._of(tau, True, True, 1)

    def risk_neutral_yields(self, tau: Array) -> Affine:
        """Return the yields if lambda_0 and lambda_1 were zero."""
        return self._of(tau, False, True, 0)

    def risk_neutral_forwards(self, tau: Array) -> Affine:
        """Return the one-period forward rates if lambda_0 and lambda_1 were zero."""
        return self._of(tau, False, True, 1)

    def average_short_rate(self, horizon: Array) -> Affine:
        """Return the mean of E_t[r_t], ..., E_t[r_{t+n-1}]."""
        return self._of(horizon, False, False, 0)

    def short_rate_ahead(self, horizon: Array) -> Affine:
        """Return E_t[r_{t+n}]."""
        return self._of(horizon, False, False, 1)

    def short_rate(self) -> Affine:
        """Return the annualised one-period rate."""
        size = self.scale / self.dt
        return Affine(np.array([self.delta_0 * size]), self.delta_1[None] * size)

    def ahead(self, horizon: Array) -> Discretisation:
        """Return the stacked P-distributions of the factors after horizons (h,)."""
        n, k = whole_periods(horizon, self.dt), len(self.delta_1)
        powers, covs = np.tile(np.eye(k), (int(n.max()) + 1, 1, 1)), np.zeros((int(n.max()) + 1, k, k))
        for i in range(int(n.max())):
            powers[i + 1] = self.Phi @ powers[i]
            covs[i + 1] = self.Phi @ covs[i] @ self.Phi.T + self.cov
        return Discretisation(powers[n], np.zeros((len(n), k)), covs[n])

    def price_of_risk(self) -> Affine:
        """Return Sigma^{-1}(lambda_0 + lambda_1 X) / sqrt(dt), where Sigma is the Cholesky factor of S."""
        root = np.linalg.cholesky(self.cov) * np.sqrt(self.dt)
        return Affine(np.linalg.solve(root, self.lambda_0), np.linalg.solve(root, self.lambda_1))
