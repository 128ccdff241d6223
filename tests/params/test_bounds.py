"""Parameters confined to an interval."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from oracle import richardson_gradient

from statespace_ext.params.bounds import UnitInterval


def test_round_trip_and_jacobian() -> None:
    bounds = UnitInterval(["a", "b", "c"])
    params = np.array([-0.999, 0.0, 0.5])
    z = bounds.unconstrain(params)
    assert_allclose(bounds.constrain(z), params, rtol=1e-12)
    assert_allclose(bounds.jacobian(z[1:]), richardson_gradient(bounds.constrain, z[1:]), atol=1e-9)


def test_any_number_is_inside() -> None:
    bounds = UnitInterval(["a"])
    for z in (-1e6, -1.0, 0.0, 3.0, 1e6):
        assert abs(bounds.constrain(np.array([z]))[0]) < 1.0


def test_the_edges_have_a_finite_image() -> None:
    bounds = UnitInterval(["a", "b", "c"])
    z = bounds.unconstrain(np.array([-1.0, 1.0, 1.5]))
    assert np.all(np.isfinite(z))
    assert_allclose(bounds.constrain(z), [-1, 1, 1], atol=1e-10)
