"""The exponential of an affine generator and its quadratic integral, at many times at once; derivatives."""

from __future__ import annotations

import math

import numpy as np

from ..exceptions import ParameterError
from .linear_algebra import Array, symmetrize

LARGEST_RATE = 0.5
"""Largest norm of M h over the first step h; the rest is doubling."""
TERMS = 18
"""Terms of the power series over the first step: what follows is below 1e-16 of the first, in W too."""


class AffineFlow:
    """
    The flow of u' = G u and its quadratic integral, for any G = [[M, v], [0, 0]] and N = N'.

        E(t) = e^{Gt},    W(t) = int_0^t E(s) N E(s)' ds

    over a first step t / 2^j by power series, whose coefficients all times share, and then j times by

        E(2h) = E(h) E(h),    W(2h) = W(h) + E(h) W(h) E(h)'.

    Nothing is inverted, and no growing exponential meets a decaying one: M may be singular, defective, with
    complex roots or stiff. What is doubled is E - I, so that small elements of it keep all their digits.

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

    def pullback(self, bar_increment: Array, bar_integral: Array) -> tuple[Array, Array]:
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
            bars = _doubled_pullback(both, moved, bars)
        bar_series = (self._powers.T @ bars.reshape(len(bars), -1)).reshape(TERMS, n, 2 * n)
        bar_generator, bar_source = _power_series_pullback(self._generator, self._series, bar_series)
        return self._step * bar_generator, self._step * bar_source


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


def _power_series_pullback(generator: Array, series: Array, bars: Array) -> tuple[Array, Array]:
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


def _doubled_pullback(both: Array, moved: Array, bars: Array) -> Array:
    """Return the gradient by [D, W], given that by [D, W] at twice the time."""
    n = both.shape[-2]
    back = _transposed(both[..., :n])
    kept = bars + back @ bars  # E' bar_D and E' bar_W
    bar_E, bar_W = kept[..., :n], kept[..., n:]
    out = bars.copy()
    out[..., :n] += bar_E + bars[..., :n] @ back + 2.0 * bars[..., n:] @ (both[..., n:] + moved[..., n:])
    out[..., n:] += bar_W @ both[..., :n] + bar_W
    return out
