"""
The result of an E-step: expected sums of Gaussian regressions of the complete data.

    e = lhs - B b,   e ~ N(0, Sigma)

holds for the observations (lhs = y_t), the states (lhs = the rows of x_{t+1} that have noise) and the
initial state (lhs = x_1). The sums are deviations from the B at which the smoother ran: they contain
products of the residual e, not of lhs. Fixed, shared and time-varying elements therefore need no special
treatment, there is no cancellation of large terms, and the sums give the score directly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..numerics.linear_algebra import Array, by_diagonal, diagonal_matrix, symmetrize
from ..params.affine import AffineMatrix, IntArray


@dataclass(frozen=True)
class Regression:
    """
    Expected sums, given the data, over g groups of periods that share a Sigma.

    Attributes
    ----------
    ee : ndarray, (g, p, p)
        E sum e e'. Stored by its diagonal (`diagonal_matrix`) where Sigma is; the other elements are then
        not needed, and not computed.
    eb : ndarray, (g, p, r)
        E sum e b'.
    bb : ndarray, (g, r, r)
        E sum b b'.
    n : ndarray, (g,)
        Number of periods.
    periods : ndarray of int, (g,), optional
        A period of each group, at which the matrices are those of the group. By default the first g periods.
    """

    ee: Array
    eb: Array
    bb: Array
    n: Array
    periods: IntArray | None = None

    def of_groups(self, matrix: AffineMatrix) -> AffineMatrix:
        """Return a matrix with one period for each group; a constant one is returned unchanged."""
        return matrix.over(slice(len(self.n)) if self.periods is None else self.periods)

    def shifted(self, change: Array) -> Regression:
        """Return the sums for residuals e - change b at B + change, with one change or one for each group."""
        moved = change @ self.bb
        if by_diagonal(self.ee):
            squares = np.einsum("gij,...ij->gi", self.eb - 0.5 * moved, change)
            return replace(self, ee=self.ee - diagonal_matrix(2.0 * squares), eb=self.eb - moved)
        cross = (self.eb - 0.5 * moved) @ np.swapaxes(change, -1, -2)
        ee = self.ee - (cross + np.swapaxes(cross, 1, 2))
        return replace(self, ee=ee, eb=self.eb - moved)

    def rows(self, active: Array) -> Regression:
        """Return the sums for some rows of e."""
        ee = np.diagonal(self.ee, axis1=1, axis2=2)[:, active] if by_diagonal(self.ee) else None
        kept = self.ee[:, active][:, :, active] if ee is None else diagonal_matrix(ee)
        return replace(self, ee=kept, eb=self.eb[:, active])

    @property
    def mean(self) -> Array:
        """The mean residual matrix over all groups, (p, p)."""
        mean: Array = self.ee.sum(axis=0) / self.n.sum()
        return mean


def row_products(left: Array, right: Array, like: Array) -> Array:
    """Return L R', or its diagonal alone where ``like`` is stored by its diagonal."""
    return diagonal_matrix(np.einsum("ij,ij->i", left, right)) if by_diagonal(like) else left @ right.T


def padded(cov_sum: Array, width: int) -> Array:
    """Return the covariance of (x_t, 1, exog_t), where only x_t is random, over leading axes."""
    out = np.zeros((*cov_sum.shape[:-2], width, width))
    k = cov_sum.shape[-1]
    out[..., :k, :k] = cov_sum
    return out


def observation_equation(ee: Array, eb: Array, bb: Array, n: int, cov: Array, Z: Array) -> Regression:
    """
    Return the sums of e = y_t - d_t - Z x_t over complete rows.

    Parameters
    ----------
    ee, eb, bb : ndarray, (p, p), (p, r) and (r, r)
        Sums of products of the means of e_t and of b_t = (x_t, 1, exog_t).
    n : int
        Number of rows.
    cov : ndarray, (k, k)
        Sum of Var[x_t|Y].
    Z : ndarray, (p, k)
        Design.
    """
    weighted = Z @ cov
    eb = eb.copy()
    eb[:, : len(cov)] -= weighted
    ee, bb = ee + row_products(weighted, Z, ee), bb + padded(cov, len(bb))
    return Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(n)]))


def state_equation(
    ee: Array, eb: Array, bb: Array, n: int, cov_from: Array, cov_to: Array, lag: Array, T: Array, left: Array
) -> Regression:
    """
    Return the sums of e = R^+ (x_{t+1} - c_t - T x_t) over t = 1..n-1.

    Parameters
    ----------
    ee, eb, bb : ndarray, (q, q), (q, r) and (r, r)
        Sums of products of the means of e_t and of b_t = (x_t, 1, state_exog_t).
    n : int
        Number of rows.
    cov_from, cov_to, lag : ndarray, (k, k)
        Sums of Var[x_t|Y], Var[x_{t+1}|Y] and Cov(x_{t+1}, x_t|Y).
    T, left : ndarray
        Transition (k, k) and R^+ (q, k).
    """
    cross = lag @ T.T
    ee = ee + left @ (cov_to - cross - cross.T + T @ cov_from @ T.T) @ left.T
    eb = eb.copy()
    eb[:, : len(T)] += left @ (lag - T @ cov_from)
    bb = bb + padded(cov_from, len(bb))
    return Regression(symmetrize(ee)[None], eb[None], symmetrize(bb)[None], np.array([float(n)]))


@dataclass(frozen=True)
class Moments:
    """
    Output of the smoother that the M-step uses.

    Attributes
    ----------
    llf : float
        Log-likelihood at the parameters of the E-step.
    observation : Regression
        Sums of e = y_t - Z_t x_t - d_t over t = 1..n, on b = (x_t, 1, exog_t).
        A missing y_t is integrated out.
    state : Regression
        Sums of e = R^+ (x_{t+1} - T_t x_t - c_t) over t = 1..n-1, on b = (x_t, 1, state_exog_t).
    initial_mean, initial_cov : ndarray
        Mean (k,) and covariance (k, k) of x_1 given the data.
    initial_score, initial_information : ndarray
        r_0 and N_0, the derivative of the log-likelihood by a_1 and minus its second derivative.
    """

    llf: float
    observation: Regression
    state: Regression
    initial_mean: Array
    initial_cov: Array
    initial_score: Array
    initial_information: Array


Expectation = Callable[[Array], Moments]
"""An E-step: from a parameter vector to moments."""
