"""
The exact-diffuse start of a system: first rows by least squares, the rest by statsmodels from a known start.

E-step, score, log-likelihood and results share it (`Smoother`); the algebra is in `numerics.diffuse_start`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from statsmodels.tsa.statespace.kalman_filter import FILTER_CONVENTIONAL, FILTER_UNIVARIATE, KalmanFilter
from statsmodels.tsa.statespace.representation import Representation

from ..exceptions import UnsupportedError
from ..numerics.diffuse_start import (
    MOST_INFLATION,
    SINGULAR_PIVOT,
    FirstRows,
    Period,
    SingularRowsError,
    first_rows,
)
from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array, square_root
from .system import MATRICES, System, with_time, without_time, write

LEAST_KEPT = 1e-3
"""Least share of Var(x_{m+1}|y_1..y_m) that later rows may leave: P - P N P costs its square in digits."""
_COLLINEAR = 30.0
"""Inflation of standard errors from which states are smoothed along their principal axes."""
_NARROWEST = 1e-9
_REGULAR = 1e-6
"""
Least pivot of the covariance of a row given delta, relative to its variance. Smaller ones cost their digits.

At the maximum of a CAPM, V is often singular. Where the least eigenvalue of its correlations was 2e-14, the
score had errors of 6e-3 in coordinates with unit information (industries on four factors from 1963-01).
"""

Start = tuple[Array, Array, Array]
"""a_1, D and P_1 of x_1 = a_1 + D delta + xi, xi ~ N(0, P_1)."""


@dataclass(frozen=True)
class Axes:
    """
    Coordinates S x of the states in which their distribution after the first rows has no collinearity.

    A covariance filter loses the square of the condition of Var(x_{m+1}|y_1..y_m): where rows of the design
    nearly repeat over the whole sample (a constant and a trend far from zero), all digits.

    Attributes
    ----------
    forward, back : ndarray, (k, k)
        S and its inverse.
    """

    forward: Array
    back: Array

    @staticmethod
    def of(rows: FirstRows) -> Axes | None:
        """Return the principal axes of x_{m+1} given the first rows, or None if they are not needed."""
        if rows.solution.inflation < _COLLINEAR:
            return None
        half = np.concatenate([rows.states[:, :-1] @ rows.solution.chol, square_root(rows.cov)], axis=1)
        size = np.linalg.norm(half, axis=1)
        size[size == 0.0] = 1.0
        axes, widths, _ = np.linalg.svd(half / size[:, None], full_matrices=False)
        widths = np.maximum(widths, _NARROWEST)
        return Axes(axes.T / widths[:, None] / size, size[:, None] * axes * widths)

    def system(self, system: System) -> System:
        """Return the system of S x."""
        S, back, T = self.forward, self.back, system.transition
        if T.ndim == 3:
            T = np.einsum("ij,jkt,kl->ilt", S, T, back)
        elif not np.array_equal(T, np.eye(len(T))):
            T = S @ T @ back
        Z, R = system.design, system.selection
        return replace(
            system,
            design=Z @ back if Z.ndim == 2 else np.tensordot(back, Z, (0, 1)).swapaxes(0, 1),
            transition=T,
            state_intercept=S @ system.state_intercept,
            selection=S @ R if R.ndim == 2 else np.einsum("ij,jkt->ikt", S, R),
        )

    def start(self, start: Start) -> Start:
        """Return the start of S x."""
        mean, directions, cov = start
        return self.forward @ mean, self.forward @ directions, self.forward @ cov @ self.forward.T

    def score(self, name: str, derivative: Array) -> Array:
        """Return the derivative by a matrix of the system of x, given that by one of S x."""
        if name in ("transition", "state_intercept", "selection"):
            derivative = np.tensordot(self.forward.T, derivative, 1)
        if name in ("transition", "design"):
            derivative = np.moveaxis(np.tensordot(derivative, self.back, (1, 1)), -1, 1)
        return derivative


def periods(endog: Array, missing: Array, system: System, count: int) -> Iterator[Period]:
    """Yield the observed elements of each of the first periods."""
    full = {name: np.asarray(value) for name, value in with_time(system).items()}
    for t in range(count):
        Z, d, H, T, c, R, Q = (at(full[name], t) for name in MATRICES)
        seen = np.flatnonzero(~missing[t])
        yield Period(seen, (endog[t] - d)[seen], Z[seen], H[np.ix_(seen, seen)], T, c, R @ Q @ R.T)


def begun(
    endog: Array, missing: Array, system: System, start: Start, count: int, axes: Axes | None = None
) -> FirstRows:
    """
    Return the first rows given delta.

    Parameters
    ----------
    endog, missing : ndarray, (nobs, k_endog)
        Observations, and where they are missing.
    system : System
        The matrices.
    start : Start
        The distribution of x_1.
    count : int
        m.
    axes : Axes, optional
        Those of the states of ``system``; ``start`` is that of x.
    """
    mean, directions, finite = start if axes is None else axes.start(start)

    every, series = list(periods(endog, missing, system, count)), endog.shape[1]
    try:
        return first_rows(every, mean, finite, directions, series, _REGULAR)
    except SingularRowsError:
        # with little noise, delta would be known too well; a proper part beside the flat one changes nothing
        finite = finite + directions @ np.diag(_sizes(system, directions)) @ directions.T
        return first_rows(every, mean, finite, directions, series, SINGULAR_PIVOT)


def _sizes(system: System, directions: Array) -> Array:
    """Return variances of delta that move no series more than the noise of the model does."""
    Z, H, R, Q = (
        np.moveaxis(value.reshape(*value.shape[:2], -1), 2, 0)[:100]
        for value in (system.design, system.obs_cov, system.selection, system.state_cov)
    )
    half = Z @ R
    variances = np.diagonal(H, axis1=1, axis2=2) + np.sum((half @ Q) * half, axis=2)
    noise = np.mean(variances, axis=0)
    noise = np.where(noise > 0.0, noise, np.min(noise, where=noise > 0.0, initial=np.inf))
    noise = np.where(np.isfinite(noise), noise, 1.0)
    largest = np.max(np.max((Z @ directions) ** 2, axis=0) / noise[:, None], axis=0)
    return np.asarray(1.0 / np.where(largest > 0.0, largest, 1.0))


def start_of(ssm: Representation) -> Start:
    """Return a_1, D with D D' = P_inf, which is diagonal, and the finite part of P_1."""
    mean, diffuse, finite = (np.real(part) for part in ssm.initialization(model=ssm))
    variances = np.diag(diffuse)
    directions = np.eye(len(diffuse))[:, variances > 0.0] * np.sqrt(variances[variances > 0.0])
    return np.array(mean), directions, np.array(finite)


def rows_needed(endog: Array, missing: Array, system: System, start: Start, least: int) -> int:
    """
    Return the least m, not below ``least``, from which later rows tell nothing new about what is diffuse.

    Raises
    ------
    UnsupportedError
        If the whole sample determines a diffuse direction by less than doubles carry.
    """
    n, q = len(endog), start[1].shape[1]
    seen = np.cumsum((~missing).sum(axis=1))
    count = max(least, int(np.searchsorted(seen, q)) + 1)
    while count < n:
        rows = begun(endog, missing, system, start, count)
        null = rows.solution.null
        if not null.shape[1] or _never_seen(system, rows.states[:, :-1] @ null):
            return count
        count += 1 + count // 4
    solution = begun(endog, missing, system, start, n).solution
    if not solution.exact:
        raise UnsupportedError(
            "The data determine the states with an exact-diffuse start by less than floating-point numbers "
            "carry: their rows of the design are nearly dependent over the whole sample",
            expected=f"standard errors at most {MOST_INFLATION:g} times those of orthogonal rows",
            remedy="Leave out states or regressors that repeat others, or use a proper start "
            '(initialization="approximate_diffuse").',
        )
    return n


def _never_seen(system: System, directions: Array) -> bool:
    """Return whether no later observation depends on the states along some directions."""
    if system.design.ndim == 3 or system.transition.ndim == 3:
        return not np.any(directions)
    Z, T = system.design, system.transition
    size = np.max(np.abs(directions), initial=0.0)
    for _ in range(len(T) + 1):
        if np.max(np.abs(Z @ directions), initial=0.0) > 1e-12 * np.max(np.abs(Z), initial=0.0) * size:
            return False
        directions = T @ directions
    return True


def kept_share(system: System, count: int, predicted_cov: Array) -> float:
    """
    Return what the rows after the first m leave of Var(x_{m+1}|y_1..y_m), at least, beside what T does to it.

    Parameters
    ----------
    system : System
        The matrices.
    count : int
        m.
    predicted_cov : ndarray, (k, k, nobs - m)
        Var(x_t|y_1..y_{t-1}) of the rows after the first m.
    """
    T = system.transition
    variances = np.diagonal(predicted_cov).T
    if T.ndim == 2 and np.array_equal(T, np.eye(len(T))):
        before = np.broadcast_to(variances[:, :1], variances.shape)
    else:
        before, carried = np.empty(variances.shape), predicted_cov[:, :, 0]
        for t in range(variances.shape[1]):
            before[:, t] = carried.diagonal()
            at = T if T.ndim == 2 else T[:, :, count + t]
            carried = at @ carried @ at.T
    positive = before > 0.0
    return float(np.min(variances[positive] / before[positive], initial=1.0))


def after(system: System, count: int, mean: Array, cov: Array) -> System:
    """Return the system over the periods after the first m, from a known start."""
    later = system.over(slice(count, None))
    return replace(
        later, initialization_type="known", initialization=None, initial_state=mean, initial_state_cov=cov
    )


def system_of(ssm: Representation) -> System:
    """Return the matrices (their real parts) that a representation holds now, its start as it is."""
    values = without_time({name: np.real(np.asarray(getattr(ssm, name))) for name in MATRICES})
    mean, _, finite = (np.real(part) for part in ssm.initialization(model=ssm))
    start = {"initial_state": mean, "initial_state_cov": finite, "initialization": ssm.initialization}
    return System(**values, initialization_type="custom", **start)


def take_options(new: KalmanFilter, ssm: KalmanFilter) -> None:
    """Give a filter the numerical options of another one."""
    for option in ("tolerance", "inversion_method", "stability_method"):
        setattr(new, option, getattr(ssm, option))


def filter_error(ssm: KalmanFilter, univariate: bool = False) -> float:
    """
    Return by how much statsmodels' log-likelihood is wrong over the rows that determine the states.

    Parameters
    ----------
    ssm : KalmanFilter
        A representation with its data, matrices and start.
    univariate : bool
        Whether to look at the univariate filter; default is the conventional one.

    Notes
    -----
    As many rows more as there are states show the error of the states after the diffuse period.

    Raises
    ------
    SingularRowsError
        If the rows before determine an observation exactly, so that it has no density.
    UnsupportedError
        If the whole sample determines a diffuse direction by less than doubles carry.
    """
    system, start, endog = system_of(ssm), start_of(ssm), np.real(np.asarray(ssm.endog)).T
    missing = np.isnan(endog)
    least = rows_needed(endog, missing, system, start, 1)
    count = min(least + system.k_states, len(endog))
    expected = [begun(endog, missing, system, start, each).llf for each in (least, count)]
    method = FILTER_UNIVARIATE if univariate else FILTER_CONVENTIONAL
    first = KalmanFilter(ssm.k_endog, ssm.k_states, ssm.k_posdef, filter_method=method)
    take_options(first, ssm)
    first.bind(endog[:count].T.copy(order="F"))
    write(first, system.over(slice(count)))
    found = np.cumsum(first.loglikeobs())[[least - 1, count - 1]]
    return float(np.max(np.abs(found - expected)))
