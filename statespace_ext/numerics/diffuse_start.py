r"""
Exact-diffuse starts: least squares of the first rows on the diffuse part of the first state.

Let x_1 = a_1 + D delta + xi with delta flat and xi ~ N(0, P_1). Given delta, the Kalman filter has a known
start. Its predicted states and forecast errors are linear in delta,

    x_t = a_t + A_t delta,     v_t(delta) = v_t - Z_t A_t delta,     F_t = Z_t P_t Z_t' + H_t,

so that delta given y_1..y_m is the least-squares solution of the rows F_t^{-1/2} v_t(delta) = 0, by a QR
factorisation R of them (Rosenberg 1973; de Jong 1991). With the residual sum of squares S and N observations

    log L(y_1..y_m) = -1/2 [N log 2 pi + sum_t log|F_t| + 2 log|R| + S].

No diffuse variance is compared with zero, and nothing infinite is subtracted: rows that nearly repeat each
other only make R ill-conditioned, and the error is its condition times the rounding error.

The rows after m go to a smoother with the known start (a_{m+1}, P_{m+1}) given y_1..y_m. From its presample
adjoint r_m and N_m = Var(r_m), for any q_t that is linear in the states and disturbances of the first rows,

    E[q_t|Y] = q_{t|m} + c_t r_m,   Cov(q_t, s_t|Y) = Cov(q_t, s_t|y_1..y_m) - c_t N_m d_t',

where c_t, d_t are the covariances of q_t, s_t with x_{m+1} given y_1..y_m.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dgeqrf, dpotrf, dtrtri, dtrtrs

from .linear_algebra import Array

SINGULAR_PIVOT = 1e-13
"""Pivot of a forecast covariance, as a share of its diagonal, that passes for zero."""
MOST_INFLATION = 5e7
"""Largest standard error of an element of delta, relative to the one that orthogonal rows would give."""
_ROUNDING = 1e-9
"""Share of an undetermined direction in a state that is rounding."""
NO_INFORMATION = 1e-13
"""Singular value of the scaled R, per element of delta, that is rounding: an exact dependence."""


class Period(NamedTuple):
    """Observed elements of y_t - d_t, their rows of Z_t and block of H_t, and T_t, c_t, R_t Q_t R_t'."""

    seen: Array
    endog: Array
    design: Array
    obs_cov: Array
    transition: Array
    intercept: Array
    noise: Array


class _Step(NamedTuple):
    """One period given delta: [A_t, a_t], P_t, F_t^{1/2}, F_t^{-1/2} [-Z_t A_t, v_t, Z_t P_t]."""

    period: Period
    states: Array
    cov: Array
    chol: Array
    errors: Array
    gain: Array

    @property
    def filtered(self) -> tuple[Array, Array]:
        """[A, a] and P given y_t."""
        return self.states + self.gain.T @ self.errors, self.cov - self.gain.T @ self.gain


class Solution(NamedTuple):
    """
    The least-squares solution.

    Attributes
    ----------
    mean, chol : ndarray
        E[delta|y] (q,) and M (q, rank) with Var[delta|y] = M M'.
    null : ndarray, (q, q - rank)
        Orthonormal directions of delta that are not determined.
    logdet, ssr : float
        log of the product of the squared singular values of R, and the residual sum of squares.
    inflation : float
        Largest standard error of an element of delta, relative to the one of orthogonal rows.
    exact : bool
        Whether the directions of ``null`` are without any information.
    """

    mean: Array
    chol: Array
    null: Array
    logdet: float
    ssr: float
    inflation: float
    exact: bool


class Determined(NamedTuple):
    """
    States given the rows up to one; with Var(delta) = kappa I, theirs is cov + kappa flat as kappa grows.

    Attributes
    ----------
    filtered, filtered_cov, filtered_flat : ndarray
        Mean, finite and infinite part of the covariance of x_t.
    predicted, predicted_cov, predicted_flat : ndarray
        Those of x_{t+1}.
    llf : float
        The log-likelihood of the row given those before.
    """

    filtered: Array
    filtered_cov: Array
    filtered_flat: Array
    predicted: Array
    predicted_cov: Array
    predicted_flat: Array
    llf: float


class SingularRowsError(np.linalg.LinAlgError):
    """A forecast covariance has no inverse."""


@dataclass(frozen=True)
class FirstRows:
    """
    The filter over the first rows given delta, and delta given these rows.

    Attributes
    ----------
    steps : list
        Output by period.
    states, cov : ndarray
        [A_{m+1}, a_{m+1}] (k, q + 1) and P_{m+1} given delta.
    logdet : float
        Sum of log|F_t|.
    count, k_endog : int
        Number of observations, and of series.
    """

    steps: list[_Step]
    states: Array
    cov: Array
    logdet: float
    count: int
    k_endog: int

    @cached_property
    def solution(self) -> Solution:
        """The distribution of delta given the rows."""
        return solve(np.concatenate([step.errors for step in self.steps]))

    @property
    def llf(self) -> float:
        """The log-likelihood of the rows."""
        return _loglike(self.count, self.logdet, self.solution)

    @cached_property
    def next_state(self) -> tuple[Array, Array]:
        """E and Var of x_{m+1} given the rows; the finite part, where it is not determined."""
        return _at(self.states, self.cov, self.solution)

    def path(self) -> list[Determined]:
        """Return the information on the states in each of the first rows, given the rows before it."""
        out, rows, logdet, count, before = [], np.zeros((0, self.states.shape[1])), 0.0, 0, 0.0
        after = [*[(step.states, step.cov) for step in self.steps[1:]], (self.states, self.cov)]
        for step, later in zip(self.steps, after, strict=True):
            rows = np.concatenate([rows, step.errors])
            logdet += 2.0 * float(np.sum(np.log(step.chol.diagonal())))
            count += len(step.chol)
            solution = solve(rows)
            total = _loglike(count, logdet, solution)
            filtered = _determined(*step.filtered, solution)
            out.append(Determined(*filtered, *_determined(*later, solution), total - before))
            before = total
        return out


def _loglike(count: int, logdet: float, solution: Solution) -> float:
    return float(-0.5 * (count * np.log(2.0 * np.pi) + logdet + solution.logdet + solution.ssr))


def _at(states: Array, cov: Array, solution: Solution) -> tuple[Array, Array]:
    """Return mean and covariance of [A, a] (delta, 1) + N(0, P)."""
    half = states[:, :-1] @ solution.chol
    return states[:, :-1] @ solution.mean + states[:, -1], cov + half @ half.T


def _determined(states: Array, cov: Array, solution: Solution) -> tuple[Array, Array, Array]:
    """Return the mean, the finite and the infinite part of the covariance."""
    flat = states[:, :-1] @ solution.null
    known = np.linalg.norm(flat, axis=1) <= _ROUNDING * np.linalg.norm(states[:, :-1], axis=1)
    flat[known] = 0.0
    return *_at(states, cov, solution), flat @ flat.T


def first_rows(
    periods: Iterable[Period], mean: Array, cov: Array, directions: Array, k_endog: int, least: float
) -> FirstRows:
    """
    Run the filter given delta.

    Parameters
    ----------
    periods : iterable of Period
        The first rows.
    mean, cov : ndarray
        a_1 and the finite P_1.
    directions : ndarray, (k, q)
        D.
    k_endog : int
        Number of series.
    least : float
        Share of the diagonal of F_t below which one of its pivots counts as zero.

    Raises
    ------
    SingularRowsError
        If the distribution of a row given delta and the rows before is singular.
    """
    states, steps = np.column_stack([directions, mean]), []
    for period in periods:
        step, states, cov = _step(period, states, cov, least)
        steps.append(step)
    pivots = np.concatenate([step.chol.diagonal() for step in steps]) ** 2
    return FirstRows(steps, states, cov, float(np.sum(np.log(pivots))), len(pivots), k_endog)


def _step(period: Period, states: Array, cov: Array, least: float) -> tuple[_Step, Array, Array]:
    """Return one period, [A_{t+1}, a_{t+1}] and P_{t+1}."""
    Z, T, wide = period.design, period.transition, states.shape[1]
    if len(Z):
        ZP = Z @ cov
        F = ZP @ Z.T + period.obs_cov
        chol, failed = dpotrf(F, lower=1, clean=1)
        if failed or not np.all(chol.diagonal() ** 2 > least * F.diagonal()):  # False where one is NaN
            raise SingularRowsError("The covariance of a row is singular")
        both = np.concatenate([Z @ -states, ZP], axis=1)
        both[:, wide - 1] += period.endog
        both = dtrtrs(chol, both, lower=1)[0]
        step = _Step(period, states, cov, chol, both[:, :wide], both[:, wide:])
        states, cov = step.filtered
    else:
        empty, nothing = np.zeros((0, wide)), np.zeros((0, len(cov)))
        step = _Step(period, states, cov, np.zeros((0, 0)), empty, nothing)
    states = T @ states
    states[:, -1] += period.intercept
    return step, states, T @ cov @ T.T + period.noise


def solve(rows: Array) -> Solution:
    """Return delta from the whitened rows [-Z_t A_t, v_t]."""
    q = rows.shape[1] - 1
    factor = np.triu(dgeqrf(rows)[0][: q + 1]) if len(rows) else rows
    R, z, ssr = factor[:q, :q], factor[:q, q], float(np.sum(factor[q:, q] ** 2))
    inverse, failed = dtrtri(R) if len(R) == q else (R, True)
    if not failed:
        inflation = np.max(np.sum(R * R, axis=0) * np.sum(inverse * inverse, axis=1), initial=0.0)
        if inflation < MOST_INFLATION**2:  # False where an element is NaN
            logdet = 2.0 * float(np.sum(np.log(np.abs(R.diagonal()))))
            return Solution(
                -inverse @ z, inverse, np.zeros((q, 0)), logdet, ssr, float(inflation) ** 0.5, True
            )
    return _solve_deficient(R, z, ssr)


def _solve_deficient(R: Array, z: Array, ssr: float) -> Solution:
    """Return delta within the directions that the rows determine: orthogonal to the null space."""
    q = R.shape[1]
    scale = np.linalg.norm(R, axis=0)
    scale[scale == 0.0] = 1.0
    _, values, rows = np.linalg.svd(R / scale)
    values = np.concatenate([values, np.zeros(q - len(values))])
    known = values > 1.0 / MOST_INFLATION
    exact = bool(np.all(values[~known] <= NO_INFORMATION * q))
    null = np.linalg.qr(rows[~known].T / scale[:, None])[0] if not known.all() else np.zeros((q, 0))
    basis = np.linalg.qr(null, mode="complete")[0][:, null.shape[1] :]
    Q, inner = np.linalg.qr(R @ basis)
    inverse = np.linalg.inv(inner)
    fitted = Q.T @ z
    ssr += float(np.sum((z - Q @ fitted) ** 2))
    logdet = 2.0 * float(np.sum(np.log(np.abs(inner.diagonal()))))
    return Solution(-basis @ (inverse @ fitted), basis @ inverse, null, logdet, ssr, np.inf, exact)


class SmoothedRows:
    """
    Smoothed states of the first rows, their adjoints, and the score by system matrix.

    Parameters
    ----------
    rows : FirstRows
        The first rows.
    adjoint, adjoint_cov : ndarray
        r_m and N_m.

    Attributes
    ----------
    adjoint, adjoint_cov : ndarray, (k, m), (k, k, m)
        r_t and N_t.
    first_adjoint, first_adjoint_cov : ndarray
        r_0 and N_0.

    Notes
    -----
    Given delta, the smoother's output is linear in delta and, through x_{m+1}, in the future. Arrays of
    "columns" hold the derivatives by delta, the value at delta = 0, and the covariance with x_{m+1}; time
    comes first. Rows of missing elements are zero.
    """

    def __init__(self, rows: FirstRows, adjoint: Array, adjoint_cov: Array) -> None:
        self._rows, self._after, self._after_cov = rows, adjoint, adjoint_cov
        self._chol, self._delta = rows.solution.chol, rows.solution.mean
        self._ahead = rows.states[:, :-1] @ self._chol
        steps = rows.steps
        self._T = np.array([step.period.transition for step in steps])
        self._gain = self._padded([step.gain for step in steps])
        inverses = [dtrtri(step.chol, lower=1)[0] if len(step.chol) else step.chol for step in steps]
        design = [inverse @ step.period.design for inverse, step in zip(inverses, steps, strict=True)]
        self._whiten = self._padded(inverses, square=True)
        self._columns, self._covs, self._errors = self._backward(self._padded(design))
        linear = self._linear(self._columns)
        covs = self._joint(self._covs, -1.0, linear[1:], linear[1:])
        self._adjoints = tuple(part[1:] for part in linear)
        self.adjoint, self.adjoint_cov = linear[0][1:].T, np.moveaxis(covs[1:], 0, 2)
        self.first_adjoint, self.first_adjoint_cov = linear[0][0], covs[0]

    def _padded(self, parts: list[Array], square: bool = False) -> Array:
        """Return arrays by period as one, with rows (and columns) of zeros for missing elements."""
        every, p = [step.period.seen for step in self._rows.steps], self._rows.k_endog
        out = np.zeros((len(parts), p, p if square else parts[0].shape[1]))
        for t, (seen, part) in enumerate(zip(every, parts, strict=True)):
            out[(t, seen[:, None], seen) if square else (t, seen)] = part
        return out

    def _linear(self, columns: Array) -> tuple[Array, Array, Array]:
        """Return E[q_t|Y], q_t M for delta - E[delta] = M e, and c_t, from the columns of q_t."""
        q = len(self._delta)
        by_delta = columns[..., :q]
        b = by_delta @ self._chol
        c = b @ self._ahead.T + columns[..., q + 1 :]
        return columns[..., q] + by_delta @ self._delta + c @ self._after, b, c

    def _joint(self, given: Array, sign: float, left: tuple[Array, ...], right: tuple[Array, ...]) -> Array:
        """Add to a covariance given delta what delta and the future do; adjoints have the other sign."""
        (b, c), (d, e) = left, right
        added = b @ np.swapaxes(d, -1, -2) - c @ self._after_cov @ np.swapaxes(e, -1, -2)
        return given + sign * added

    def _backward(self, design: Array) -> tuple[Array, Array, Array]:
        """Return the columns of r_0..r_m, N_0..N_m given delta, and the whitened columns of u_1..u_m."""
        steps, (m, p, k), wide = self._rows.steps, design.shape, self._rows.states.shape[1]
        columns, covs = np.zeros((m + 1, k, wide + k)), np.zeros((m + 1, k, k))
        columns[-1, :, wide:] = np.eye(k)
        errors = np.zeros((m, p, wide + k))
        errors[:, :, :wide] = self._padded([step.errors for step in steps])
        turned = np.swapaxes(design, 1, 2)
        information, left = turned @ design, np.eye(k) - turned @ self._gain
        for t in range(m - 1, -1, -1):
            T = self._T[t]
            moved = T.T @ columns[t + 1]
            errors[t] -= self._gain[t] @ moved
            columns[t] = moved + turned[t] @ errors[t]
            covs[t] = information[t] + left[t] @ (T.T @ covs[t + 1] @ T) @ left[t].T
        return columns, covs, errors

    @cached_property
    def _P(self) -> Array:
        return np.array([step.cov for step in self._rows.steps])

    @cached_property
    def _states(self) -> tuple[Array, Array, Array]:
        """E[x_t|Y] and its parts."""
        columns = self._P @ self._columns[:-1]
        columns[:, :, : self._rows.states.shape[1]] += np.array([step.states for step in self._rows.steps])
        return self._linear(columns)

    @cached_property
    def mean(self) -> Array:
        """E[x_t|Y], (k, m)."""
        return self._states[0].T

    @cached_property
    def cov(self) -> Array:
        """Var[x_t|Y], (k, k, m)."""
        given = self._P - self._P @ self._covs[:-1] @ self._P
        return np.moveaxis(self._joint(given, 1.0, self._states[1:], self._states[1:]), 0, 2)

    @cached_property
    def lag_cov(self) -> Array:
        """Cov(x_{t+1}, x_t|Y), (k, k, m)."""
        rows, (_, b, c) = self._rows, self._states
        ahead = np.concatenate([self._P[1:], rows.cov[None]])
        given = (np.eye(len(rows.cov)) - ahead @ self._covs[1:]) @ self._T @ self._filtered_cov
        later = (
            np.concatenate([b[1:], self._ahead[None]]),
            np.concatenate([c[1:], rows.next_state[1][None]]),
        )
        return np.moveaxis(self._joint(given, 1.0, later, (b, c)), 0, 2)

    @cached_property
    def _filtered_cov(self) -> Array:
        """P_{t|t}."""
        return self._P - np.swapaxes(self._gain, 1, 2) @ self._gain

    @property
    def errors(self) -> tuple[Array, Array]:
        """u_t = E[H^-1 eps_t|Y] (m, p) and D_t with Var[eps_t|Y] = H - H D_t H, (m, p, p)."""
        error = self._linear(np.swapaxes(self._whiten, 1, 2) @ self._errors)
        by_noise = self.score({"obs_cov"})["obs_cov"]
        return error[0], error[0][:, :, None] * error[0][:, None, :] - 2.0 * by_noise

    def score(self, needed: Set[str]) -> dict[str, Array]:
        """
        Return the derivatives of the log-likelihood by Z_t, d_t, H_t and T_t.

        Parameters
        ----------
        needed : set of str
            Of "design", "obs_intercept", "obs_cov", "transition".

        Returns
        -------
        dict of ndarray
            Time first; zero in rows of missing elements.
        """
        out = {}
        if "transition" in needed:
            given = -self._covs[1:] @ self._T @ self._filtered_cov
            out["transition"] = self._product(given, self._adjoints, self._states)
        whiten = np.swapaxes(self._whiten, 1, 2)
        error = self._linear(whiten @ self._errors)
        if "obs_intercept" in needed:
            out["obs_intercept"] = error[0]
        if needed & {"design", "obs_cov"}:
            moved = self._gain @ np.swapaxes(self._T, 1, 2) @ self._covs[1:] @ self._T
        if "design" in needed:
            given = whiten @ (moved @ self._filtered_cov - self._gain)
            out["design"] = self._product(given, error, self._states)
        if "obs_cov" in needed:
            inner = np.eye(moved.shape[1]) + moved @ np.swapaxes(self._gain, 1, 2)
            given = -whiten @ inner @ self._whiten
            out["obs_cov"] = 0.5 * self._product(given, error, error)
        return out

    def _product(self, given: Array, left: tuple[Array, ...], right: tuple[Array, ...]) -> Array:
        """Return E[q_t s_t'|Y], less what is constant of an adjoint."""
        return left[0][:, :, None] * right[0][:, None, :] + self._joint(given, 1.0, left[1:], right[1:])
