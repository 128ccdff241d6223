"""
The Ornstein-Uhlenbeck process dX = (kappa - K X) dt + Sigma dW: between dates, for ever, and back.

Its steps come from the exponential of an affine generator and the quadratic integral of that, at many times
at once. Bond prices take the same flow.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..exceptions import ParameterError
from .linear_algebra import Array, is_positive_semidefinite, symmetrize
from .matrix_equations import continuous_covariance, stationary_covariance

LARGEST_RATE = 0.5
"""Largest norm of M h over the first step h; the rest is doubling."""
_WHOLE = 1e-3
"""Share of a period by which a time that a user wrote as a decimal fraction may miss a whole number."""
TERMS = 18
"""Terms of the power series over the first step: what follows is below 1e-16 of the first, in W too."""


def affine_flow(generator: Array, source: Array, times: Array, period: float | None = None) -> Flow:
    """
    Return the flow, from memory where it is among the last that were asked for. Its arrays are read-only.

    Loadings, their derivatives, and parameters that leave the generator as it is share one.

    Parameters
    ----------
    generator : ndarray, (n, n)
    source : ndarray, (n, n)
    times : ndarray, (m,)
        As for `AffineFlow`.
    period : float, optional
        Length of a period of discrete time, as for `SteppedFlow`; continuous time by default.
    """
    return _remembered(period, *((a.tobytes(), a.dtype.str, a.shape) for a in (generator, source, times)))


@lru_cache(maxsize=8)
def _remembered(period: float | None, *keys: tuple[bytes, str, tuple[int, ...]]) -> Flow:
    generator, source, times = (np.frombuffer(data, dtype).reshape(shape) for data, dtype, shape in keys)
    if period is None:
        flow: Flow = AffineFlow(generator, source, times)
    else:
        flow = SteppedFlow(generator, source, times, period)
    flow.increment.flags.writeable = flow.integral.flags.writeable = False
    return flow


class AffineFlow:
    """
    The flow of u' = G u and its quadratic integral, for any G = [[M, v], [0, 0]] and N = N'.

        E(t) = e^{Gt},    W(t) = int_0^t E(s) N E(s)' ds

    over a first step t / 2^j by power series, whose coefficients all times share, and then j times by

        E(2h) = E(h) E(h),    W(2h) = W(h) + E(h) W(h) E(h)'.

    Nothing is inverted, and no growing exponential meets a decaying one: M may be singular, defective, with
    complex eigenvalues or stiff. What is doubled is E - I, so that its small elements keep all their digits.

    Parameters
    ----------
    generator : ndarray, (n, n)
        G, whose last row is zero.
    source : ndarray, (n, n)
        N, symmetric.
    times : ndarray, (m,)
        t, positive.

    Raises
    ------
    ParameterError
        If a time is not positive, or a time or M is not finite.

    Attributes
    ----------
    increment : ndarray, (m, n, n)
        E(t) - I.
    integral : ndarray, (m, n, n)
        W(t).
    """

    def __init__(self, generator: Array, source: Array, times: Array) -> None:
        self._step, doublings = _first_step(generator, times)
        self._generator = self._step * generator
        self._series = _power_series(self._generator, self._step * source)
        self._powers = np.power.outer(times / times.max(), np.arange(1, TERMS + 1))
        n = len(generator)
        both = (self._powers @ self._series.reshape(TERMS, -1)).reshape(-1, n, 2 * n)
        self._levels = []
        for _ in range(doublings):
            moved = both[..., :n] @ both  # with D = E - I: D D and D W
            self._levels.append((both, moved))
            both = _doubled(both, moved)
        self.increment, self.integral = both[..., :n], symmetrize(both[..., n:])

    def vjp(self, bar_increment: Array, bar_integral: Array) -> tuple[Array, Array]:
        """
        Return the gradient by G and N of a function of E and W, the sum over all times.

        Parameters
        ----------
        bar_increment : ndarray, (m, n, n)
            Its gradient by E.
        bar_integral : ndarray, (m, n, n)
            Its gradient by W, symmetric: dL = tr(bar_integral dW).

        Returns
        -------
        bar_generator, bar_source : ndarray, (n, n)
            The latter symmetric.
        """
        n = self.increment.shape[-1]
        bars = np.concatenate([bar_increment, bar_integral], axis=-1)
        for both, moved in reversed(self._levels):
            bars = _doubled_vjp(both, moved, bars)
        bar_series = (self._powers.T @ bars.reshape(len(bars), -1)).reshape(TERMS, n, 2 * n)
        bar_generator, bar_source = _power_series_vjp(self._generator, self._series, bar_series)
        return self._step * bar_generator, self._step * bar_source


class SteppedFlow:
    """
    The flow of u_{s+h} = (I + h G) u_s in periods of length h, and the sum that is its quadratic integral.

        E(nh) = (I + h G)^n,    W(nh) = sum_{j<n} E(jh) h N E(jh)'

    By the binary digits of n, and the rule by which the flow of continuous time doubles:

        E(s + t) = E(s) E(t),    W(s + t) = W(s) + E(s) W(t) E(s)'.

    Parameters
    ----------
    generator, source, times
        As for `AffineFlow`; each time is a whole number of periods.
    period : float
        h.

    Raises
    ------
    ParameterError
        If a time is not a positive whole number of periods, or the generator is not finite.

    Attributes
    ----------
    increment, integral : ndarray, (m, n, n)
        E - I and W, as those of `AffineFlow`.
    """

    def __init__(self, generator: Array, source: Array, times: Array, period: float) -> None:
        _first_step(generator, times)
        counts, n, self._period = whole_periods(times, period), len(generator), period
        unit = period * np.concatenate([generator, source], axis=1)
        both = np.zeros((len(times), n, 2 * n), dtype=unit.dtype)
        self._levels = []
        for level in range(int(counts.max()).bit_length()):
            rows = np.flatnonzero(counts >> level & 1)
            moved, first = unit[:, :n] @ unit, both[rows]
            self._levels.append((unit, moved, rows, first))
            both[rows] = first + unit + first[..., :n] @ unit
            both[rows, :, n:] += (unit[:, n:] + first[..., :n] @ unit[:, n:]) @ _transposed(first[..., :n])
            unit = _doubled(unit, moved)
        self.increment, self.integral = both[..., :n], symmetrize(both[..., n:])

    def vjp(self, bar_increment: Array, bar_integral: Array) -> tuple[Array, Array]:
        """Return the gradient by G and N; see `AffineFlow.vjp`."""
        n = self.increment.shape[-1]
        bars = np.concatenate([bar_increment, bar_integral], axis=-1)
        by_unit = np.zeros((n, 2 * n), dtype=bars.dtype)
        for unit, moved, rows, first in reversed(self._levels):
            by_unit = _doubled_vjp(unit, moved, by_unit)
            E, later = first[..., :n] + np.eye(n), bars[rows]
            back = _transposed(E) @ later
            by_unit[:, :n] += back[..., :n].sum(axis=0)
            by_unit[:, n:] += (back[..., n:] @ E).sum(axis=0)
            bars[rows, :, :n] += later[..., :n] @ unit[:, :n].T + 2.0 * later[..., n:] @ E @ unit[:, n:]
        return self._period * by_unit[:, :n], self._period * symmetrize(by_unit[:, n:])


Flow = AffineFlow | SteppedFlow


def whole_periods(times: Array, period: float, off: float = _WHOLE) -> NDArray[np.int64]:
    """
    Return times as numbers of periods.

    Raises
    ------
    ParameterError
        If one is not a whole number of them, at least 1. ``off`` is the largest difference, in periods.
    """
    counts = np.rint(times / period).astype(np.int64)
    wrong = (np.abs(counts * period - times) > off * period) | (counts < 1)
    if np.any(wrong):
        raise ParameterError(
            "Times must be whole numbers of periods in discrete time",
            got=f"{times[wrong][0]:g} years, {times[wrong][0] / period:.4g} periods",
            expected=f"multiples of {period:.6g}",
            remedy='Use other maturities and horizons, or time="continuous" of `ATSM`.',
        )
    return counts


def _transposed(stack: Array) -> Array:
    return np.swapaxes(stack, -1, -2)


def _first_step(generator: Array, times: Array) -> tuple[float, int]:
    """Return the first step of the longest time, and how many doublings make it that time."""
    longest = float(times.max(initial=-math.inf))
    if not (times.min(initial=math.inf) > 0 and math.isfinite(longest)):
        wrong = times[~((times > 0) & np.isfinite(times))]
        raise ParameterError(
            "A time is not a positive number" if times.size else "There are no times",
            got=wrong[0] if times.size else None,
            expected="finite times above 0",
            remedy="Pass maturities and steps in years.",
        )
    size = np.abs(generator[:-1, :-1])
    rate = float(min(size.sum(axis=0).max(), size.sum(axis=1).max()))
    if not math.isfinite(rate):
        raise ParameterError(
            "The drift matrix is not finite",
            got=generator[:-1, :-1].tolist(),
            expected="finite elements",
            remedy="Look at the parameters: one of them is infinite or not a number.",
        )
    doublings = max(0, math.ceil(math.log2(max(rate * longest, 1e-300) / LARGEST_RATE)))
    return longest / 2.0**doublings, doublings


def _power_series(generator: Array, source: Array) -> Array:
    """
    Return the coefficients of t, ..., t^TERMS in [E(t) - I, W(t)].

        P_1 = G,    P_{j+1} = G P_j / (j + 1),    Q_1 = N,    Q_{j+1} = (G Q_j + Q_j G') / (j + 1)
    """
    n = len(generator)
    series = np.empty((TERMS, n, 2 * n), dtype=np.result_type(generator, source))
    series[0, :, :n], series[0, :, n:] = generator, source
    for j in range(1, TERMS):
        term = series[j]
        np.matmul(generator / (j + 1), series[j - 1], out=term)
        term[:, n:] += term[:, n:].T.copy()
    return series


def _power_series_vjp(generator: Array, series: Array, bars: Array) -> tuple[Array, Array]:
    """Return the gradient by G and N, given that by the coefficients (which is overwritten)."""
    n = len(generator)
    for j in range(TERMS - 1, 0, -1):
        back = (generator.T / (j + 1)) @ bars[j]
        back[:, n:] += back[:, n:].T.copy()
        bars[j - 1] += back
    P, Q = series[:-1, :, :n], series[:-1, :, n:]
    divided = bars[1:] / np.arange(2, TERMS + 1)[:, None, None]
    by_step = divided[..., :n] @ _transposed(P) + 2.0 * divided[..., n:] @ Q
    return bars[0, :, :n] + by_step.sum(axis=0), symmetrize(bars[0, :, n:])


def _doubled(both: Array, moved: Array) -> Array:
    """Return [D, W] at twice the time: 2 D + D D and 2 W + D W + W D' + D W D'."""
    n = both.shape[-2]
    out = 2.0 * both + moved
    shift = moved[..., n:]
    out[..., n:] += _transposed(shift) + shift @ _transposed(both[..., :n])
    return out


def _doubled_vjp(both: Array, moved: Array, bars: Array) -> Array:
    """Return the gradient by [D, W], given that by [D, W] at twice the time."""
    n = both.shape[-2]
    back = _transposed(both[..., :n])
    kept = bars + back @ bars  # E' bar_D and E' bar_W
    bar_E, bar_W = kept[..., :n], kept[..., n:]
    out = bars.copy()
    out[..., :n] += bar_E + bars[..., :n] @ back + 2.0 * bars[..., n:] @ (both[..., n:] + moved[..., n:])
    out[..., n:] += bar_W @ both[..., :n] + bar_W
    return out


NEGATIVE_AXIS = 1e-7
"""Angle to the negative real axis, in radians, within which an eigenvalue is on it (to rounding)."""


@dataclass(frozen=True)
class Discretisation:
    """
    The exact distribution of the next state: X_{t+dt} | X_t ~ N(c + Phi X_t, Omega).

    With several steps, each array has them as its first axis.

    Attributes
    ----------
    transition : ndarray, (k, k)
        Phi = e^{-K dt}.
    intercept : ndarray, (k,)
        c = int_0^dt e^{-K s} ds kappa.
    cov : ndarray, (k, k)
        Omega = int_0^dt e^{-K s} Sigma Sigma' e^{-K's} ds.
    """

    transition: Array
    intercept: Array
    cov: Array


def discretise(
    K: Array, kappa: Array, cov: Array, dt: float | Array, period: float | None = None
) -> Discretisation:
    """
    Return the exact discretisation of dX = (kappa - K X) dt + Sigma dW.

    In discrete time it is that of X_{t+h} = X_t + (kappa - K X_t) h + Sigma sqrt(h) e_t.

    Parameters
    ----------
    K : ndarray, (k, k)
        Any matrix: singular, defective, with complex eigenvalues, unstable or stiff.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    dt : float or ndarray, (m,)
        One step, or several: then the results are stacked along a first axis.
    period : float, optional
        h of discrete time; continuous time by default.

    Returns
    -------
    Discretisation

    Raises
    ------
    ParameterError
        If a step is not positive, or a step or K is not finite.
    """
    k, flow = len(K), _flow(K, kappa, cov, dt, period)
    increment, integral = flow.increment[:, :k], flow.integral[:, :k, :k].copy()
    parts = increment[:, :, :k] + np.eye(k), increment[:, :, k].copy(), integral
    return Discretisation(*(parts if np.ndim(dt) else (part[0] for part in parts)))


def discretise_vjp(
    K: Array,
    kappa: Array,
    cov: Array,
    dt: float | Array,
    bar_transition: Array,
    bar_intercept: Array,
    bar_cov: Array,
    period: float | None = None,
) -> tuple[Array, Array, Array]:
    """
    Return the gradient by (K, kappa, Sigma Sigma') of a function of the discretisation.

        dL = sum(bar_transition * dPhi) + bar_intercept' dc + tr(bar_cov dOmega)
           = sum(bar_K * dK) + bar_kappa' dkappa + tr(bar_cov d(Sigma Sigma'))

    Parameters
    ----------
    K, kappa, cov, dt, period
        As in `discretise`.
    bar_transition, bar_intercept, bar_cov : ndarray
        The gradient by Phi, c and Omega (symmetric), with a first axis where ``dt`` has one.

    Returns
    -------
    bar_K : ndarray, (k, k)
    bar_kappa : ndarray, (k,)
    bar_cov : ndarray, (k, k)
        Symmetric. All are sums over the steps.
    """
    k = len(K)
    flow = _flow(K, kappa, cov, dt, period)
    bar_increment, bar_integral = np.zeros_like(flow.increment), np.zeros_like(flow.integral)
    bar_increment[:, :k, :k], bar_increment[:, :k, k] = bar_transition, bar_intercept
    bar_integral[:, :k, :k] = bar_cov
    bar_generator, bar_source = flow.vjp(bar_increment, bar_integral)
    return -bar_generator[:k, :k], bar_generator[:k, k], bar_source[:k, :k]


def stationary_moments(
    K: Array, kappa: Array, cov: Array, period: float | None = None
) -> tuple[Array, Array]:
    """
    Return the mean and covariance of the stationary distribution.

        mean = K^{-1} kappa,    K P + P K' = Sigma Sigma'

    or, in discrete time, P = (I - h K) P (I - h K)' + h Sigma Sigma'.

    Parameters
    ----------
    K : ndarray, (k, k)
        All eigenvalues have positive real parts; in discrete time those of I - h K are inside the unit
        circle.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    period : float, optional
        h of discrete time; continuous time by default.

    Returns
    -------
    mean : ndarray, (k,)
    P : ndarray, (k, k)

    Raises
    ------
    ParameterError
        If there is no stationary distribution.
    """
    if period is None:
        worst, inside = float(np.min(np.linalg.eigvals(K).real)), "all real parts above 0"
        why, reverts = "an eigenvalue of K has no positive real part", worst > 0.0
    else:
        Phi = np.eye(len(K)) - period * K
        worst, inside = float(np.max(np.abs(np.linalg.eigvals(Phi)))), "all moduli below 1"
        why, reverts = "an eigenvalue of I - h K is not inside the unit circle", worst < 1.0
    if not reverts:
        raise ParameterError(
            f"The process has no stationary distribution: {why}",
            got=worst,
            expected=inside,
            remedy="Use a start other than the stationary one, or parameters at which the process reverts.",
        )
    P = continuous_covariance(K, cov) if period is None else stationary_covariance(Phi, period * cov)
    return np.linalg.solve(K, kappa), P


def continuous(
    Phi: Array, c: Array, Omega: Array, dt: float, period: float | None = None
) -> tuple[Array, Array, Array]:
    """
    Return (K, kappa, Sigma Sigma') of the process whose discretisation is (Phi, c, Omega).

        K = -log(Phi) / dt
        c = int_0^dt e^{-K s} ds kappa,    Omega = int_0^dt e^{-K s} Sigma Sigma' e^{-K's} ds

    with the principal matrix logarithm: |Im(eigenvalue of K)| dt < pi. A process that turns by half a circle
    or more within a step has the transition of a slower one, which is what comes back. An eigenvalue of K has
    as many digits as e^{-K dt} has of it: of one with K dt = 30, about three.

    Parameters
    ----------
    Phi : ndarray, (k, k)
        Transition over a step.
    c : ndarray, (k,)
        Its intercept.
    Omega : ndarray, (k, k)
        Its covariance.
    dt : float
        The step.
    period : float, optional
        h of discrete time, where (Phi, c, Omega) is the step over one period; continuous time by default.

    Returns
    -------
    K : ndarray, (k, k)
    kappa : ndarray, (k,)
    cov : ndarray, (k, k)
        Sigma Sigma'.

    Raises
    ------
    ParameterError
        If no real process has this discretisation (Phi is singular or has a negative eigenvalue, or
        Sigma Sigma' would not be positive semidefinite), if the logarithm is not determined, or if the step
        is not positive.
    """
    if not 0 < dt < np.inf:
        raise ParameterError("The step is not a positive number", got=dt, expected="a finite step above 0")
    K = drift_of(Phi, dt, period)
    if period is not None:
        return K, c / period, Omega / period
    k = len(K)
    kappa = np.linalg.solve(_integral(K, dt), c)
    both = np.kron(K, np.eye(k)) + np.kron(np.eye(k), K)
    cov = symmetrize(np.linalg.solve(_integral(both, dt), Omega.ravel()).reshape(k, k))
    if not is_positive_semidefinite(cov, 1e-8):
        raise ParameterError(
            "No continuous-time process has this covariance over a step: Sigma Sigma' would have a negative "
            "eigenvalue",
            got=float(np.linalg.eigvalsh(cov)[0]),
            expected="a positive semidefinite Sigma Sigma'",
            remedy="Estimate the continuous-time parameters themselves.",
        )
    return K, kappa, cov


def _flow(K: Array, kappa: Array, cov: Array, dt: float | Array, period: float | None) -> Flow:
    """Return the flow of u = (X, 1): increments [[Phi - I, c], [0, 0]], integrals [[Omega, 0], [0, 0]]."""
    k = len(K)
    generator = np.zeros((k + 1, k + 1), dtype=np.result_type(K, kappa, float))
    generator[:k, :k], generator[:k, k] = -K, kappa
    source = np.zeros((k + 1, k + 1), dtype=np.result_type(cov, float))
    source[:k, :k] = cov
    return affine_flow(generator, source, np.atleast_1d(np.asarray(dt, dtype=float)), period)


def _integral(K: Array, dt: float) -> Array:
    """Return int_0^dt e^{-K s} ds, column by column: the intercepts of unit drifts."""
    size = len(K)
    generator = np.zeros((2 * size, 2 * size))
    generator[:size, :size], generator[:size, size:] = -K * dt, np.eye(size) * dt
    return scipy.linalg.expm(generator)[:size, size:]


def drift_of(Phi: Array, dt: float, period: float | None = None) -> Array:
    """
    Return K = -log(Phi) / dt, with the principal logarithm; see `continuous`.

    In discrete time it is (I - Phi) / period, of one period.

    Raises
    ------
    ParameterError
        If Phi has no principal real logarithm.
    """
    if period is not None:
        return (np.eye(len(Phi)) - Phi) / period
    return -_real_logarithm(Phi) / dt


def _real_logarithm(Phi: Array) -> Array:
    """Return the principal logarithm, or raise an error if no real one exists."""
    values = np.linalg.eigvals(Phi)
    modulus = np.abs(values)
    if not modulus.min() > len(Phi) * np.finfo(float).eps * np.linalg.norm(Phi, 2):
        raise ParameterError(
            "The transition matrix is singular to rounding, so that it has no logarithm",
            got=f"an eigenvalue of modulus {modulus.min():.3g}",
            expected="a nonsingular matrix",
            remedy="Use a shorter step, or estimate the continuous-time parameters themselves.",
        )
    if np.any(np.pi - np.abs(np.angle(values)) < NEGATIVE_AXIS):
        worst = values[np.argmax(np.abs(np.angle(values)))]
        raise ParameterError(
            "The transition matrix has no principal real logarithm: an eigenvalue is negative. If it is "
            "simple, no real logarithm exists; if it is repeated, one may, but it is not determined",
            got=f"{worst.real:.6g}",
            expected="no eigenvalue on the negative real axis",
            remedy="Use a shorter step, or estimate the continuous-time parameters themselves.",
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "logm result may be inaccurate")  # what counts is checked here
        logarithm = np.real(scipy.linalg.logm(Phi))
    error = np.linalg.norm(scipy.linalg.expm(logarithm) - Phi, 1) / np.linalg.norm(Phi, 1)
    if not error < 1e-8:
        raise ParameterError(
            "The logarithm of the transition matrix could not be computed",
            got=f"exp(log(Phi)) differs from Phi by {error:.3g}, relative to it",
            expected="a well-conditioned matrix",
            remedy="Estimate the continuous-time parameters themselves.",
        )
    return logarithm
