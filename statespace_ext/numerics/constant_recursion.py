"""
Linear recursions over time with a constant matrix.

Over a block of L periods a recursion is one product with the block Toeplitz matrix of the powers of M; what
comes from the periods before is a shorter recursion from block to block, with M^L.
"""

from __future__ import annotations

import numpy as np

from .linear_algebra import Array
from .recursions import LinearRecursion

_NARROW, _LONG, _SHORT = 4, 8, 4
"""Number of states up to which a block has eight periods; beyond it has four."""
_WORTHWHILE = 3000
"""Number of elements from which blocks are faster than one banded matrix."""
_FEWEST_PERIODS, _FEWEST_STATES = 20, 3
"""Numbers below which there are no blocks."""


def constant_recursion(M: Array, n: int) -> LinearRecursion | BlockRecursion:
    """Return the recursion a_{t+1} = u_{t+1} + M a_t over n periods, and its transpose."""
    k = len(M)
    blocks = n >= _FEWEST_PERIODS and k >= _FEWEST_STATES and n * k >= _WORTHWHILE
    return BlockRecursion(M, n) if blocks else LinearRecursion(M[None], n)


class BlockRecursion:
    """
    The recursion a_{t+1} = u_{t+1} + M a_t and its transpose.

    Parameters
    ----------
    M : ndarray, (k, k)
        The matrix.
    n : int
        Number of periods, more than those of a block.
    """

    def __init__(self, M: Array, n: int) -> None:
        self._k = k = len(M)
        self._length = length = _LONG if k <= _NARROW else _SHORT
        powers = np.empty((2 * length, k, k))  # zeros, then the powers of M' from 0 to L
        powers[: length - 1], powers[length - 1], powers[length] = 0.0, np.eye(k), M.T
        done = 1
        ahead = powers[length:]
        while done < length:
            np.matmul(ahead[:done], ahead[done - 1], out=ahead[done : 2 * done])
            done *= 2
        size, step = powers.itemsize, powers.strides[0]
        blocks: Array = np.ndarray(
            (length, k, length, k), float, powers, (length - 1) * step, (-step, k * size, step, size)
        )
        self._within = blocks.reshape(length * k, length * k)
        self._forward = np.ascontiguousarray(np.swapaxes(ahead, 0, 1)).reshape(k, length * k)
        self._backward = np.ascontiguousarray(ahead[::-1].transpose(2, 0, 1)).reshape(k, length * k)
        self._between = LinearRecursion(ahead[-1].T[None], -(-n // length) - 1)

    def forward(self, u: Array) -> Array:
        """Return a_1 = u_1, a_{t+1} = u_{t+1} + M a_t for u, (n, k)."""
        n, blocks = len(u), self._blocks(u)
        out = blocks @ self._within
        carried = self._between.forward(out[:-1, -self._k :].copy())
        out[1:] += carried @ self._forward
        return out.reshape(-1, self._k)[:n]

    def backward(self, u: Array) -> Array:
        """Return r_n = u_n, r_t = u_t + M' r_{t+1} for u, (n, k)."""
        n, blocks = len(u), self._blocks(u)
        out = blocks @ self._within.T
        carried = self._between.backward(out[1:, : self._k].copy())
        out[:-1] += carried @ self._backward
        return out.reshape(-1, self._k)[:n]

    def _blocks(self, u: Array) -> Array:
        """Return the rows by block, with zeros after the last."""
        rest = -len(u) % self._length
        if rest:
            u = np.concatenate([u, np.zeros((rest, self._k))])
        return u.reshape(-1, self._length * self._k)
