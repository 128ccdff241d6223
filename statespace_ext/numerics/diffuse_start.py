r"""
Exact-diffuse starts: least squares of the first rows on the diffuse part of the first state.

Let x_1 = a_1 + D delta + xi with delta flat and xi ~ N(0, P_1). Given delta, the Kalman filter has a known start.
Its predicted states and forecast errors are linear in delta,

    x_t = a_t + A_t delta,     v_t(delta) = v_t - Z_t A_t delta,     F_t = Z_t P_t Z_t' + H_t,

so that delta given y_1..y_m is the least-squares solution of the rows F_t^{-1/2} v_t(delta) = 0, by a QR
factorisation R of them (Rosenberg 1973; de Jong 1991). With the residual sum of squares S and N observations

    log L(y_1..y_m) = -1/2 [N log 2 pi + sum_t log|F_t| + 2 log|R| + S].

No diffuse variance is compared with zero, and nothing infinite is subtracted: rows that nearly repeat each other only
make R ill-conditioned, and the error is its condition times the rounding error.

The rows after m go to a smoother with the known start (a_{m+1}, P_{m+1}) given y_1..y_m. From its presample costate
r_m and N_m = Var(r_m), for any q_t that is linear in the states and disturbances of the first rows,

    E[q_t|Y] = q_{t|m} + c_t r_m,   Cov(q_t, s_t|Y) = Cov(q_t, s_t|y_1..y_m) - c_t N_m d_t',

where c_t, d_t are the covariances of q_t, s_t with x_{m+1} given y_1..y_m.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri, dtrtrs

from .linear_algebra import Array, symmetrize

SINGULAR_PIVOT = 1e-13
"""Pivot of a forecast covariance, as a share of its diagonal, that passes for zero."""
MOST_INFLATION = 5e7
"""Largest standard error of an element of delta, relative to the one that orthogonal regressors would give."""
NO_INFORMATION = 1e-13
"""Singular value of the scaled R, per element of delta, that is rounding: an exact dependence."""


class Period(NamedTuple):
    """Observed elements of one period: y_t - d_t, their rows of Z_t and block of H_t, and T_t, c_t, R_t Q_t R_t'."""

    seen: Array
    endog: Array
    design: Array
    obs_cov: Array
    transition: Array
    intercept: Array
    noise: Array


class _Step(NamedTuple):
    """One period of the filter given delta: [A_t, a_t], P_t and, whitened, the forecast errors and Z_t P_t."""

    period: Period
    states: Array
    cov: Array
    root: Array
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
    mean, root : ndarray
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
    root: Array
    null: Array
    logdet: float
    ssr: float
    inflation: float
    exact: bool


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
    count : int
        Number of observations.
    """

    steps: list[_Step]
    states: Array
    cov: Array
    logdet: float
    count: int

    @cached_property
    def solution(self) -> Solution:
        """The distribution of delta given the rows."""
        rows = [step.errors for step in self.steps]
        return solve(np.linalg.qr(np.concatenate([np.zeros((0, self.states.shape[1])), *rows]), mode="r"))

    @property
    def llf(self) -> float:
        """The log-likelihood of the rows."""
        return _loglike(self.count, self.logdet, self.solution)

    @cached_property
    def next_state(self) -> tuple[Array, Array]:
        """E and Var of x_{m+1} given the rows; the finite part, where it is not determined."""
        return _at(self.states, self.cov, self.solution)

    def smoothed(self, costate: Array, costate_cov: Array) -> SmoothedRows:
        """Return the smoothed first rows, given r_m and N_m of the rows after them."""
        return SmoothedRows(self, costate, costate_cov)


def _loglike(count: int, logdet: float, solution: Solution) -> float:
    return float(-0.5 * (count * np.log(2.0 * np.pi) + logdet + solution.logdet + solution.ssr))


def _at(states: Array, cov: Array, solution: Solution) -> tuple[Array, Array]:
    """Return mean and covariance of [A, a] (delta, 1) + N(0, P)."""
    half = states[:, :-1] @ solution.root
    return states[:, :-1] @ solution.mean + states[:, -1], cov + half @ half.T


def first_rows(periods: Iterable[Period], mean: Array, cov: Array, directions: Array) -> FirstRows:
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

    Raises
    ------
    SingularRowsError
        If the distribution of a row given delta and the rows before is singular.
    """
    states, logdet, count, steps = np.column_stack([directions, mean]), 0.0, 0, []
    for period in periods:
        step, states, cov, added = _step(period, states, cov)
        steps.append(step)
        logdet += added
        count += len(period.endog)
    return FirstRows(steps, states, cov, logdet, count)


def _step(period: Period, states: Array, cov: Array) -> tuple[_Step, Array, Array, float]:
    """Return one period, [A_{t+1}, a_{t+1}], P_{t+1} and log|F_t|."""
    Z, T, wide = period.design, period.transition, states.shape[1]
    logdet = 0.0
    if len(Z):
        ZP = Z @ cov
        F = ZP @ Z.T + period.obs_cov
        root, failed = dpotrf(F, lower=1, clean=1)
        pivots = root.diagonal()
        if failed or not np.all(pivots**2 > SINGULAR_PIVOT * F.diagonal()):
            raise SingularRowsError("The covariance of a row is singular")
        errors = -(Z @ states)
        errors[:, -1] += period.endog
        both = dtrtrs(root, np.concatenate([errors, ZP], axis=1), lower=1)[0]
        step = _Step(period, states, cov, root, both[:, :wide], both[:, wide:])
        logdet = 2.0 * float(np.sum(np.log(pivots)))
        states, cov = step.filtered
    else:
        empty = np.zeros((0, wide))
        step = _Step(period, states, cov, np.zeros((0, 0)), empty, np.zeros((0, len(cov))))
    states = T @ states
    states[:, -1] += period.intercept
    return step, states, T @ cov @ T.T + period.noise, logdet


def solve(triangle: Array) -> Solution:
    """Return delta from the triangular factor (at most q + 1 rows) of the whitened rows [-Z_t A_t, v_t]."""
    q = triangle.shape[1] - 1
    R, z = triangle[:q, :q], triangle[:q, q]
    ssr = float(np.sum(triangle[q:, q] ** 2))
    if len(R) == q and np.all(R.diagonal()):
        inverse = dtrtri(R)[0]
        inflation = np.sqrt(np.sum(R**2, axis=0) * np.sum(inverse**2, axis=1))
        if np.all(inflation < MOST_INFLATION):  # False where an element is NaN
            logdet = 2.0 * float(np.sum(np.log(np.abs(R.diagonal()))))
            null = np.zeros((q, 0))
            return Solution(-inverse @ z, inverse, null, logdet, ssr, float(np.max(inflation)), True)
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


class _Smooth(NamedTuple):
    """
    One period of the smoother given delta, by columns for (delta, 1, x_{m+1}).

    ``costate`` is r_t and ``error`` u_t, whose covariances are N_t and D_t; ``state`` is x_t.
    """

    step: _Step
    costate: Array
    costate_cov: Array
    error: Array
    state: Array
    moved_cov: Array


class SmoothedRows:
    """
    Smoothed states of the first rows, their costates, and the score by system matrix.

    Parameters
    ----------
    rows : FirstRows
        The first rows.
    costate, costate_cov : ndarray
        r_m and N_m.

    Attributes
    ----------
    mean, cov : ndarray, (k, m), (k, k, m)
        E[x_t|Y] and Var[x_t|Y].
    lag_cov : ndarray, (k, k, m)
        Cov(x_{t+1}, x_t|Y).
    costate, costate_cov : ndarray, (k, m), (k, k, m)
        r_t and N_t.
    first_costate, first_costate_cov : ndarray
        r_0 and N_0.
    kept : float
        Least ratio of Var[x_t|Y] to Var[x_t|y_1..y_m]: what the second term subtracts costs that many digits.
    """

    def __init__(self, rows: FirstRows, costate: Array, costate_cov: Array) -> None:
        self._rows, self._after = rows, (costate, costate_cov)
        solution = rows.solution
        self._root, self._delta = solution.root, solution.mean
        self._ahead = rows.states[:, :-1] @ self._root
        k, m = len(rows.cov), len(rows.steps)
        parts, first, first_cov = self._backward(k)
        self._parts = parts
        self.mean, self.cov = np.empty((k, m)), np.empty((k, k, m))
        self.lag_cov, self.costate = np.empty((k, k, m)), np.empty((k, m))
        self.costate_cov = np.empty((k, k, m))
        kept = [1.0]
        mean, cov = rows.next_state
        later, later_c = None, cov
        later_conditional = rows.cov
        for t in range(m - 1, -1, -1):
            part = parts[t]
            self.mean[:, t], b, c = self._linear(part.state)
            P, filtered_cov = part.step.cov, part.step.filtered[1]
            before = P - P @ self._costate_cov_before(t, first_cov) @ P + b @ b.T
            self.cov[:, :, t] = symmetrize(before - c @ costate_cov @ c.T)
            sizes = before.diagonal()
            kept.append(float(np.min(self.cov[:, :, t].diagonal()[sizes > 0] / sizes[sizes > 0], initial=1.0)))
            moved = part.step.period.transition @ filtered_cov
            lag = moved - later_conditional @ (part.costate_cov @ moved)
            b_later = self._ahead if later is None else later
            self.lag_cov[:, :, t] = lag + b_later @ b.T - later_c @ (costate_cov @ c.T)
            later, later_c, later_conditional = b, c, P
            self.costate[:, t], b, c = self._linear(part.costate)
            self.costate_cov[:, :, t] = part.costate_cov - b @ b.T + c @ costate_cov @ c.T
        self.first_costate, b, c = self._linear(first)
        self.first_costate_cov = first_cov - b @ b.T + c @ costate_cov @ c.T
        self.kept = min(kept)

    def _costate_cov_before(self, t: int, first_cov: Array) -> Array:
        return self._parts[t - 1].costate_cov if t else first_cov

    def _linear(self, columns: Array) -> tuple[Array, Array, Array]:
        """Return E[q|Y], q M for delta - E[delta] = M e, and c, of q given by (delta, 1, x_{m+1})."""
        q = len(self._delta)
        by_delta, fixed, ahead = columns[:, :q], columns[:, q], columns[:, q + 1 :]
        b = by_delta @ self._root
        c = b @ self._ahead.T + ahead
        return fixed + by_delta @ self._delta + c @ self._after[0], b, c

    def _backward(self, k: int) -> tuple[list[_Smooth], Array, Array]:
        """Return the smoother given delta, from r_m = x_{m+1}-column of ones, and r_0, N_0."""
        wide = self._rows.states.shape[1]
        costate = np.concatenate([np.zeros((k, wide)), np.eye(k)], axis=1)
        costate_cov = np.zeros((k, k))
        parts = []
        for step in reversed(self._rows.steps):
            Z, T, G = step.period.design, step.period.transition, step.gain
            moved, moved_cov = T.T @ costate, T.T @ costate_cov @ T
            before, before_cov = moved, moved_cov
            error = -(G @ moved)
            if len(Z):
                error[:, :wide] += step.errors
                error = dtrtrs(step.root, error, lower=1, trans=1)[0]
                before = Z.T @ error + moved
                whitened = dtrtrs(step.root, Z, lower=1)[0]
                left = np.eye(k) - whitened.T @ G
                before_cov = whitened.T @ whitened + left @ moved_cov @ left.T
            state = step.cov @ before
            state[:, :wide] += step.states
            parts.append(_Smooth(step, costate, costate_cov, error, state, moved_cov))
            costate, costate_cov = before, symmetrize(before_cov)
        return parts[::-1], costate, costate_cov

    def score(self, needed: frozenset[str], k_endog: int) -> dict[str, Array]:
        """
        Return the derivatives of the log-likelihood by Z_t, d_t, H_t and T_t.

        Parameters
        ----------
        needed : frozenset of str
            Of "design", "obs_intercept", "obs_cov", "transition".
        k_endog : int
            Number of series.

        Returns
        -------
        dict of ndarray
            Time first; zero in rows of missing elements.
        """
        p, m, k = k_endog, len(self._parts), len(self.mean)
        shapes = {"design": (p, k), "obs_intercept": (p,), "obs_cov": (p, p), "transition": (k, k)}
        out = {name: np.zeros((m, *shapes[name])) for name in shapes if name in needed}
        for t, part in enumerate(self._parts):
            _, b_state, c_state = self._linear(part.state)
            filtered_cov = part.step.filtered[1]
            if "transition" in out:
                _, b, c = self._linear(part.costate)
                moved = part.step.period.transition @ filtered_cov
                out["transition"][t] = (
                    np.outer(self.costate[:, t], self.mean[:, t])
                    - part.costate_cov @ moved
                    + b @ b_state.T
                    - c @ self._after[1] @ c_state.T
                )
            if len(part.error):
                self._observed_score(out, t, part, b_state, c_state, filtered_cov)
        return out

    def _observed_score(
        self, out: dict[str, Array], t: int, part: _Smooth, b_state: Array, c_state: Array, filtered_cov: Array
    ) -> None:
        """Put the derivatives by Z_t, d_t and H_t of one period into ``out``."""
        step, seen, N = part.step, part.step.period.seen, self._after[1]
        u, b, c = self._linear(part.error)
        if "obs_intercept" in out:
            out["obs_intercept"][t, seen] = u
        if "design" in out:
            by_state = step.gain - step.gain @ part.moved_cov @ filtered_cov
            by_state = -dtrtrs(step.root, by_state, lower=1, trans=1)[0]
            out["design"][t, seen] = (
                np.outer(u, self.mean[:, t]) + by_state + b @ b_state.T - c @ N @ c_state.T
            )
        if "obs_cov" in out:
            inner = np.eye(len(u)) + step.gain @ part.moved_cov @ step.gain.T
            inner = dtrtrs(step.root, inner, lower=1, trans=1)[0]
            inner = dtrtrs(step.root, inner.T, lower=1, trans=1)[0]
            cov = inner - b @ b.T + c @ N @ c.T
            out["obs_cov"][np.ix_([t], seen, seen)] = 0.5 * (np.outer(u, u) - cov)
