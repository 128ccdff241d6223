"""The exponential of a generator and its quadratic integral against quadrature and complex steps."""

from __future__ import annotations

import numpy as np
import pytest
from affine import DRIFTS
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm

from statespace_ext.numerics.affine_flow import AffineFlow
from statespace_ext.numerics.linear_algebra import symmetrize

TIMES = np.array([0.1, 2.0, 0.7])


def flow_of(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a generator with the drift -K, and a source that touches every element."""
    n, rng = len(K) + 1, np.random.default_rng(4)
    G = np.zeros((n, n))
    G[:-1, :-1], G[:-1, -1] = -K, rng.standard_normal(n - 1)
    return G, symmetrize(rng.standard_normal((n, n)))


@pytest.mark.parametrize("name", [name for name in DRIFTS if "stiff" not in name])
def test_quadrature(name: str) -> None:
    G, N = flow_of(DRIFTS[name])
    flow = AffineFlow(G, N, TIMES)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for t, increment, integral in zip(TIMES, flow.increment, flow.integral, strict=True):
        assert_allclose(increment, expm(G * t) - np.eye(len(G)), rtol=0, atol=1e-13 * np.abs(increment).max())
        moved = [expm(G * s) for s in t * (nodes + 1) / 2]
        expected = sum(w * t / 2 * E @ N @ E.T for w, E in zip(weights, moved, strict=True))
        assert_allclose(integral, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", DRIFTS)
def test_pullback_is_exact(name: str) -> None:
    """Complex steps have no rounding error: all digits of the gradient, stiff or not."""
    G, N = flow_of(DRIFTS[name])
    n, rng = len(G), np.random.default_rng(5)
    bars = rng.standard_normal((3, n, n)), symmetrize(rng.standard_normal((3, n, n)))
    by_generator, by_source = AffineFlow(G, N, TIMES).pullback(*bars)
    for at, found, rows in ((0, by_generator, n - 1), (1, by_source, n)):
        expected = np.zeros((rows, n))
        for i, j in np.ndindex(rows, n):
            given = [G.astype(complex), N.astype(complex)]
            given[at][i, j] += 1e-30j
            given[1] = symmetrize(given[1])
            flow = AffineFlow(*given, TIMES)
            expected[i, j] = np.sum(bars[0] * flow.increment + bars[1] * flow.integral).imag / 1e-30
        assert_allclose(found[:rows], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_nothing_given_is_changed() -> None:
    G, N = flow_of(DRIFTS["stable"])
    bars = np.ones((3, 4, 4)), np.ones((3, 4, 4))
    kept = [array.copy() for array in (G, N, TIMES, *bars)]
    flow = AffineFlow(G, N, TIMES)
    first = flow.pullback(*bars)
    assert_array_equal(flow.pullback(*bars), first)
    for array, before in zip((G, N, TIMES, *bars), kept, strict=True):
        assert_array_equal(array, before)
