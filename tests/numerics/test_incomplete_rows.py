"""Noise of missing cells given that of observed cells, against the normal distribution itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.numerics.incomplete_rows import Rows, noise_of_missing

P, K, N = 4, 2, 6
PATTERNS = [np.array(list(f"{i:04b}")) == "1" for i in range(16)]


def covariance(rng: np.random.Generator, rank: int) -> np.ndarray:
    root = rng.normal(size=(P, rank)) * [1.0, 1e-3, 1e2, 1.0][:rank]
    return root @ root.T


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("seen", PATTERNS, ids=lambda seen: "".join("nx"[int(s)] for s in seen))
def test_the_regression(rank: int, seen: np.ndarray) -> None:
    """With eps = L z, the observed cells fix the part of z in the row space of L_o."""
    rng = np.random.default_rng(rank)
    root = rng.normal(size=(P, rank))
    H = root @ root.T
    weights, cov = noise_of_missing(H, seen)
    z = rng.normal(size=rank)
    known = np.linalg.pinv(root[seen]) @ root[seen] if seen.any() else np.zeros((rank, rank))
    m = ~seen
    assert_allclose(weights[m] @ np.where(seen, root @ z, 0.0), root[m] @ known @ z, atol=1e-10)
    left = root[m] @ (np.eye(rank) - known)
    assert_allclose(cov[np.ix_(m, m)], left @ left.T, atol=1e-10)
    assert_array_equal(cov[np.ix_(seen, seen)], H[np.ix_(seen, seen)])
    assert not weights[seen].any() and not weights[:, m].any() and not cov[np.ix_(m, seen)].any()
    assert np.all(np.diag(cov) >= 0.0)


@pytest.mark.parametrize("units", [1e-8, 1.0, 1e8])
def test_units_of_the_series(units: float) -> None:
    H = np.array([[1.0, 0.6, 0.2], [0.6, 2.0, -0.5], [0.2, -0.5, 1.5]])
    scale, seen = np.array([units, 1.0, 1.0 / units]), np.array([False, True, True])
    plain, cov = noise_of_missing(H, seen)
    weights, scaled = noise_of_missing(H * scale[:, None] * scale, seen)
    assert_allclose(weights * scale / scale[:, None], plain, rtol=1e-12)
    assert_allclose(scaled / scale[:, None] / scale, cov, rtol=1e-12)


def test_a_diagonal_covariance_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    y = np.where(rng.random((N, P)) < 0.5, np.nan, 1.0)
    Z, d, H = rng.normal(size=(P, K, N)), rng.normal(size=(P, N)), np.diag([1.0, 0.0, 2.0, 3.0])
    rows = Rows(y, Z, d, H)
    assert not list(rows.coupled())
    for t in range(N):
        row = rows(t)
        assert_array_equal(row.design, Z[:, :, t])
        assert_array_equal(row.intercept, d[:, t])
        assert_array_equal(row.cov, H)


def test_rows_are_joint_normal_given_their_cells() -> None:
    """E[y_m | x, y_o] of each row, with matrices that change in every period, and with constant ones."""
    rng = np.random.default_rng(1)
    y = np.where(rng.random((N, P)) < 0.5, np.nan, rng.normal(size=(N, P)))
    y[0], y[1] = np.nan, 1.0
    Z, d, x = rng.normal(size=(P, K, N)), rng.normal(size=(P, N)), rng.normal(size=K)
    H = np.stack([covariance(rng, 4) for _ in range(N)], axis=2)
    for constant in (False, True):
        rows = Rows(y, Z[:, :, 0], d[:, 0], H[:, :, 0]) if constant else Rows(y, Z, d, H)
        partly = [t for t in range(N) if 0 < np.isnan(y[t]).sum() < P]
        assert [t for t, _ in rows.coupled()] == partly
        for t in range(N):
            at = 0 if constant else t
            o, signal = ~np.isnan(y[t]), d[:, at] + Z[:, :, at] @ x
            expected = signal.copy()
            block = H[:, :, at]
            if o.any():
                B = np.linalg.solve(block[np.ix_(o, o)], block[np.ix_(o, ~o)]).T
                expected[~o] += B @ (y[t, o] - signal[o])
            assert_allclose(rows(t).mean(x), expected, rtol=1e-6, atol=1e-6)


def test_few_patterns_are_kept() -> None:
    """Memory does not grow with the number of patterns, and the matrices do not depend on it."""
    rng = np.random.default_rng(2)
    y = np.where(rng.random((300, 8)) < 0.5, np.nan, 1.0)
    root = rng.normal(size=(8, 8))
    rows = Rows(y, rng.normal(size=(8, 1)), np.zeros(8), root @ root.T)
    first = [rows(t).weights for t in range(300)]
    assert len(rows._known) <= 32
    for t in range(300):
        assert_array_equal(rows(t).weights, first[t])
