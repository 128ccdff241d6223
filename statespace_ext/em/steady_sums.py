"""Sums of products of smoothed means, some thousand periods at a time, which the cache can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..numerics.linear_algebra import Array, gram

_PERIODS = 2**13
"""Number of periods of a block."""


def blocks(n: int) -> Iterator[slice]:
    """Yield slices of periods, in order, that cover a sample."""
    for start in range(0, n, _PERIODS):
        yield slice(start, min(start + _PERIODS, n))


class SteadySums(NamedTuple):
    """
    Sums over t of products of e_t, r_t, b_t = (E[x_t|Y], 1, exog_t) and s_t = (E[x_t|Y], 1, state_exog_t).

    Attributes
    ----------
    ee, eb, bb : ndarray, (p, p), (p, j) and (j, j)
        Sums of e_t e_t', e_t b_t' and b_t b_t' over t = 1..n.
    rr, rs, ss : ndarray, (k, k), (k, i) and (i, i)
        Sums of r_t r_t', r_t s_t' and s_t s_t' over t < n.
    """

    ee: Array
    eb: Array
    bb: Array
    rr: Array
    rs: Array
    ss: Array


def steady_sums(
    residual: Callable[[slice], Array], mean: Array, costate: Array, exog: Array, state_exog: Array
) -> SteadySums:
    """
    Return the sums.

    Parameters
    ----------
    residual : callable
        Returns e_t of a block.
    mean, costate : ndarray, (n, k)
        E[x_t|Y], and r_0, ..., r_{n-1}.
    exog, state_exog : ndarray, (n, j) and (n, i)
        Regressors of the two equations.
    """
    apart = exog.shape[1] + state_exog.shape[1] > 0
    totals: list[Array] = []
    for rows in blocks(len(mean)):
        e, b = residual(rows), _regressors(mean[rows], exog[rows])
        s = _regressors(mean[rows], state_exog[rows]) if apart else b
        r = costate[rows.start + 1 : rows.stop + 1]
        bb = gram(b)
        parts = [gram(e), e.T @ b, bb, gram(r), r.T @ s[: len(r)], gram(s) if apart else bb]
        totals = [total + part for total, part in zip(totals, parts, strict=True)] if totals else parts
    ee, eb, bb, rr, rs, ss = totals
    return SteadySums(ee, eb, bb, rr, rs, ss - np.outer(s[-1], s[-1]))


def _regressors(mean: Array, exog: Array) -> Array:
    return np.concatenate([mean, np.ones((len(mean), 1)), exog], axis=1)
