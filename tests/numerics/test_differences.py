"""Numerical derivatives."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from statespace_ext.numerics.differences import central_differences, step_sizes


def test_central_differences() -> None:
    x = np.array([0.3, -2.0, 40.0])

    def f(v: np.ndarray) -> float:
        return float(np.exp(v[0]) * np.sin(v[1]) + np.sqrt(v[2]))

    want = [np.exp(0.3) * np.sin(-2), np.exp(0.3) * np.cos(-2), 0.5 / np.sqrt(40)]
    assert_allclose(central_differences(f, x), want, rtol=1e-8)


def test_step_sizes() -> None:
    assert_allclose(step_sizes(np.array([2.0, -4.0]), 1e-3), [2e-3, 4e-3])
    assert np.all(step_sizes(np.zeros(3)) > 0)
