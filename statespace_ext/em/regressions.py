"""
The two regressions of a model, of the observations and of the states: expected sums, and their M-step.

An E-step gives the expected sums of Gaussian regressions of the complete data. The equation

    e = lhs - B b,   e ~ N(0, Sigma)

holds for the observations (lhs = y_t), the states (lhs = the rows of x_{t+1} that have noise) and the
initial state (lhs = x_1). The sums are deviations from the B at which the smoother ran: they contain
products of the residual e, not of lhs. Fixed, shared and time-varying elements therefore need no special
treatment, there is no cancellation of large terms, and the sums give the score directly.

The M-step of one equation updates its coefficients, then its covariance matrix. Coefficients are generalised
least squares under vec(B) = f + D m. A covariance matrix takes the closed form of its structure, or Fisher
scoring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..numerics.linear_algebra import (
    Array,
    by_diagonal,
    diagonal_matrix,
    gaussian_objective,
    is_diagonal,
    scaled_solve,
    symmetrize,
)
from ..params.affine import AffineMatrix, Elements, IntArray, with_time
from ..params.covariance import precision_of
from ..params.layout import ParameterLayout


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
        left = self.eb - change @ self.bb
        if by_diagonal(self.ee):
            moved = diagonal_matrix(((self.eb + left) * change).sum(axis=-1))
        else:
            moved = symmetrize((self.eb + left) @ change.swapaxes(-1, -2))
        return replace(self, ee=self.ee - moved, eb=left)

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
    weighted, k = Z @ cov, len(cov)
    eb, bb = eb.copy(), bb.copy()
    eb[:, :k] -= weighted
    bb[:k, :k] += cov
    ee = ee + (diagonal_matrix(np.einsum("ij,ij->i", weighted, Z)) if by_diagonal(ee) else weighted @ Z.T)
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
    ahead, k = lag - T @ cov_from, len(T)
    ee = ee + left @ (cov_to - ahead @ T.T - T @ lag.T) @ left.T
    eb, bb = eb.copy(), bb.copy()
    eb[:, :k] += left @ ahead
    bb[:k, :k] += cov_from
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


class StackedCoefficients:
    """
    The free elements of B = [B_1 | B_2 | ...], the joined matrices of one equation.

    Parameters
    ----------
    elements : list of Elements
        Elements of B, with positions in the flat vector. Values that vary over time have a last axis with one
        period for each group of the regression.
    shape : (int, int)
        Shape of B.
    n_params : int
        Length of the flat vector.
    """

    def __init__(self, elements: list[Elements], shape: tuple[int, ...], n_params: int) -> None:
        self.shape, self.n_params = shape, n_params
        self.rows = np.concatenate([each.rows for each in elements])
        self.columns = np.concatenate([each.columns for each in elements])
        self.index = np.concatenate([each.params for each in elements])
        groups = max((each.values.shape[1] for each in elements if each.values.ndim == 2), default=0)
        self.coefs = np.concatenate([with_time(each.values, groups, 2) for each in elements])
        self.params = np.unique(self.index)

    @cached_property
    def row_groups(self) -> list[tuple[IntArray, IntArray]] | None:
        """
        Groups of rows with the same free columns, and these columns.

        None if an element is shared, combined, scaled or varies over time, so that rows do not separate.
        """
        count = len(self.index)
        if self.coefs.ndim == 2 or len(self.params) < count or np.any(self.coefs != 1.0):
            return None
        if len(set(zip(self.rows.tolist(), self.columns.tolist(), strict=True))) < count:
            return None
        groups: dict[tuple[int, ...], list[int]] = {}
        for row in np.unique(self.rows).tolist():
            columns = np.sort(self.columns[self.rows == row])
            groups.setdefault(tuple(columns.tolist()), []).append(row)
        return [(np.array(rows), np.array(columns)) for columns, rows in groups.items()]

    def change(self, step: Array) -> Array:
        """Return the change of B, or of B by group, for a change of the flat vector."""
        out = np.zeros((*self.shape, *self.coefs.shape[1:]))
        np.add.at(out, (self.rows, self.columns), (self.coefs.T * step[self.index]).T)
        return np.moveaxis(out, 2, 0) if out.ndim == 3 else out

    def weighted(self, regression: Regression) -> bool:
        """Return whether the step depends on the precision; it does not if all rows share free columns."""
        groups = self.row_groups or []
        same = bool(groups) and len(groups[0][0]) == self.shape[0]
        return not same or len(regression.n) > 1

    def step(self, regression: Regression, precision: Array | None) -> Array:
        """
        Return the step of the flat vector to the maximum of -1/2 tr(Pi E sum e e').

        It solves D'(sum bb' kron Pi) D step = D' vec(Pi sum e b'). If all rows have the same free columns, or
        Pi is diagonal, the rows separate into independent least-squares problems.

        Parameters
        ----------
        regression : Regression
            Sums of g groups.
        precision : ndarray, (g, p, p), or None
            Pi = Sigma^{-1} by group, or one for all; None if the step does not depend on it.
        """
        if precision is not None:
            diagonal = len(precision) == 1 and is_diagonal(precision[0])
            if self.row_groups is None or not diagonal and self.weighted(regression):
                return self._general_step(regression, precision)
        change = np.zeros(self.shape)
        for rows, keep in self.row_groups or []:
            at = rows[:, None], keep
            change[at] = scaled_solve(regression.bb[0][keep[:, None], keep], regression.eb[0][at].T).T
        out = np.zeros(self.n_params)
        out[self.index] = change[self.rows, self.columns]
        return out

    def _general_step(self, regression: Regression, precision: Array) -> Array:
        places = np.searchsorted(self.params, self.index)
        size = len(self.params)
        information, score = np.zeros((size, size)), np.zeros(size)
        groups = len(regression.n)
        precision = np.broadcast_to(precision, (groups, *precision.shape[1:]))
        every = self.coefs.T if self.coefs.ndim == 2 else np.broadcast_to(self.coefs, (groups, len(places)))
        for coefs, pi, eb, bb in zip(every, precision, regression.eb, regression.bb, strict=True):
            here = np.flatnonzero(coefs)
            rows, columns, coefs, at = self.rows[here], self.columns[here], coefs[here], places[here]
            elements = coefs[:, None] * coefs * pi[np.ix_(rows, rows)] * bb[np.ix_(columns, columns)]
            np.add.at(information, (at[:, None], at[None, :]), elements)
            score += np.bincount(at, weights=coefs * (pi @ eb)[rows, columns], minlength=size)
        out = np.zeros(self.n_params)
        out[self.params] = scaled_solve(information, score)
        return out


_MAX_SCORING = 50
_MAX_HALVING = 40


def by_group(cov: Array) -> Array:
    """Return a covariance matrix, (p, p) or (p, p, n), with the group as first axis."""
    return cov[None] if cov.ndim == 2 else np.moveaxis(cov, 2, 0)


def repeated(covs: Array, groups: int) -> Array:
    """Return one matrix by group, given one by group or one for all."""
    return covs if len(covs) == groups else np.broadcast_to(covs, (groups, *covs.shape[1:]))


def precisions(cov: Array) -> Array:
    """Return the inverse for each group, which is zero on rows without noise."""
    return np.array([precision_of(sigma) for sigma in by_group(cov)])


@dataclass(frozen=True)
class CovarianceTerm:
    """
    One covariance matrix.

    Attributes
    ----------
    layout : ParameterLayout
        Blocks of the model.
    key : str
        The block of the matrix.
    regression : Regression
        Residual sums.
    """

    layout: ParameterLayout
    key: str
    regression: Regression

    @cached_property
    def matrix(self) -> AffineMatrix:
        """The matrix, whose axis over time has one period for each group of ``regression``."""
        return self.regression.of_groups(self.layout.blocks[self.key])

    def tangent(self, params: Array) -> tuple[AffineMatrix, IntArray]:
        """Return the matrix, affine at a parameter vector, and the place of the parameter of each element."""
        affine, index = self.layout.tangent(self.key, params)
        return self.regression.of_groups(affine), index

    def at(self, params: Array) -> Array:
        """Return the matrix by group."""
        values = params[self.layout.index[self.key]]
        if by_diagonal(self.regression.ee) and self.matrix.is_diagonal:
            return self.matrix.diagonal_at(values)[None]
        return repeated(by_group(self.matrix.at(values)), len(self.regression.n))

    def objective(self, params: Array) -> float:
        """Return -1/2 sum [n log|Sigma| + tr(Sigma^{-1} E sum e e')] over the rows that have noise."""
        total = 0.0
        for sigma, ee, n in zip(self.at(params), self.regression.ee, self.regression.n, strict=True):
            active = sigma.diagonal() != 0
            if np.count_nonzero(active) < len(sigma):
                sigma, ee = (_inner(each, active) for each in (sigma, ee))
            total += gaussian_objective(sigma, ee, float(n))
        return total


def _inner(matrix: Array, active: Array) -> Array:
    """Return the rows and columns that are active."""
    if by_diagonal(matrix):
        return diagonal_matrix(matrix.diagonal()[active])
    return matrix[np.ix_(active, active)]


def closed_form(term: CovarianceTerm, params: Array, more: Array | None = None) -> Array | None:
    """
    Return the parameters with the covariance at its closed-form maximum, or None if it does not exist.

    ``more`` is added to the sums of squares.
    """
    if term.matrix.time_varying:
        return None
    target = term.regression.mean if more is None else term.regression.mean + more / term.regression.n.sum()
    estimate = term.layout.recognised[term.key].estimate(target)
    if estimate is None:
        return None
    out = np.array(params)
    out[term.layout.places[term.key]] = estimate
    return out


def scoring_step(
    terms: list[CovarianceTerm], params: Array, extra: list[Array | None] | None = None
) -> Array:
    """
    Return one Fisher-scoring step of the flat vector, over one or more covariance matrices.

    It solves sum n/2 D'(Pi kron Pi) D step = D' vec(1/2 Pi (E sum e e' - n Sigma) Pi + extra).

    Parameters
    ----------
    terms : list of CovarianceTerm
        Matrices that share parameters, or a single one.
    params : ndarray
        The flat vector.
    extra : list of ndarray, optional
        Additional gradients by element, one for each term.
    """
    used = np.unique(np.concatenate([term.layout.index[term.key] for term in terms]))
    information, score = np.zeros((len(used),) * 2), np.zeros(len(used))
    for i, term in enumerate(terms):
        matrix, index = term.tangent(params)
        places = np.searchsorted(used, index)
        rows, columns = matrix.rows, matrix.columns
        sums = zip(term.at(params), term.regression.ee, term.regression.n.tolist(), strict=True)
        for g, (sigma, ee, n) in enumerate(sums):
            precision = precision_of(sigma)
            gradient = 0.5 * precision @ (ee - n * sigma) @ precision
            coefs = matrix.coefs[:, g] if matrix.moves else matrix.coefs
            pairs = precision[np.ix_(rows, rows)] * precision[np.ix_(columns, columns)]
            np.add.at(
                information, (places[:, None], places[None, :]), 0.5 * n * pairs * coefs[:, None] * coefs
            )
            if g == 0 and extra is not None and extra[i] is not None:
                gradient = gradient + extra[i]
            score += np.bincount(places, weights=coefs * gradient[rows, columns], minlength=len(used))
    step = np.zeros(len(params))
    step[used] = scaled_solve(information, score)
    return step


def update_covariance(terms: list[CovarianceTerm], params: Array) -> Array:
    """Maximise over one covariance matrix, or over several that share parameters; return the parameters."""
    estimate = closed_form(terms[0], params) if len(terms) == 1 else None
    if estimate is not None:
        return estimate

    def objective(trial: Array) -> float:
        """Return the sum of the objectives of all terms."""
        return sum(term.objective(trial) for term in terms)

    value = objective(params)
    if not np.isfinite(value):
        return params
    for _ in range(_MAX_SCORING):
        before = value
        params, value = halved(objective, params, scoring_step(terms, params), value)
        if value - before <= 1e-12 * (1.0 + abs(value)):
            break
    return params


def halved(
    objective: Callable[[Array], float], params: Array, step: Array, value: float
) -> tuple[Array, float]:
    """
    Halve a step until the objective does not fall; return parameters and objective.

    ``value`` is the objective at ``params``. Both are returned unchanged if every step lowers it.
    """
    for _ in range(_MAX_HALVING):
        trial = params + step
        new = objective(trial)
        if new >= value:
            return trial, new
        step = 0.5 * step
    return params, value
