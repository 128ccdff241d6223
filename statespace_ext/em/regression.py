"""
Expected sums of one Gaussian regression of the complete data.

    e = lhs - B b,   e ~ N(0, Sigma)

holds for the observations (lhs = y_t), the states (lhs = the rows of x_{t+1} that have noise) and the
initial state (lhs = x_1). The sums are kept in deviations from the B at which the smoother ran: the
residual e itself, not lhs, is what is squared and summed. So fixed, shared and time-varying elements
need no treatment of their own, nothing large cancels, and the score is read off directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics.linear_algebra import Array


@dataclass(frozen=True)
class Regression:
    """
    Expected sums, given the data, over g groups of periods that share a Sigma.

    Attributes
    ----------
    ee : ndarray, (g, p, p)
        E sum e e'.
    eb : ndarray, (g, p, r)
        E sum e b'.
    bb : ndarray, (g, r, r)
        E sum b b'.
    n : ndarray, (g,)
        Number of periods.
    """

    ee: Array
    eb: Array
    bb: Array
    n: Array

    def shifted(self, change: Array) -> Regression:
        """Return the sums for the residuals e - change b, at B + change; one change, or one a group."""
        moved = change @ self.bb
        cross = (self.eb - 0.5 * moved) @ np.swapaxes(change, -1, -2)
        return Regression(self.ee - (cross + np.swapaxes(cross, 1, 2)), self.eb - moved, self.bb, self.n)

    def mapped(self, mapping: Array) -> Regression:
        """Return the sums for the regressors ``mapping @ b``."""
        return Regression(self.ee, self.eb @ mapping.T, mapping @ self.bb @ mapping.T, self.n)

    def rows(self, active: Array) -> Regression:
        """Return the sums for some rows of e."""
        return Regression(self.ee[:, active][:, :, active], self.eb[:, active], self.bb, self.n)

    @property
    def mean(self) -> Array:
        """The mean residual matrix over all groups, (p, p)."""
        return np.asarray(self.ee.sum(axis=0) / self.n.sum())
