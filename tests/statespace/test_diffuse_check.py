"""The check of exact-diffuse starts against the dense joint Gaussian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import dense_diffuse, random_system
from yields import panel, random_panel

import statespace_ext as sse
from statespace_ext.statespace.compat import VERSION
from statespace_ext.statespace.diffuse_check import _least_squares, require_digits
from statespace_ext.statespace.smoother import Smoother
from statespace_ext.statespace.system import MATRICES, System


@pytest.mark.parametrize("time_varying", [False, True])
def test_least_squares_is_the_dense_likelihood(time_varying: bool) -> None:
    rng = np.random.default_rng(0)
    missing = 0.1 if VERSION >= (0, 15) else 0.0  # before, statsmodels is wrong about partly missing rows
    for _ in range(20):
        y, matrices = random_system(
            rng, 8, 2, 4, missing=missing, time_varying=time_varying, initialization="diffuse"
        )
        system = System(**matrices, start="diffuse")
        expected = dense_diffuse(y, matrices, np.ones(2, dtype=bool)).llf
        assert_allclose(_least_squares(y, system), expected, rtol=1e-10)
        require_digits(y, system)


def test_neighbouring_maturities_are_refused(shared_data: Path) -> None:
    """The loadings of 1, 3 and 6 months on level, slope and curvature are nearly dependent."""
    yields, tau = panel(shared_data, "dra", "decimal")
    model = sse.ATSM(yields, tau, identification="afns", initialization="diffuse")
    params = model.start_params
    with pytest.raises(sse.UnsupportedError, match="loses its digits here"):
        model.loglike(params)
    system = model.system(params)
    short = Smoother(model.endog[:30], 3, 3)
    short._diffuse_checked.add(False)  # what statsmodels returns
    matrices = {name: getattr(system, name) for name in (*MATRICES, "initial_state", "initial_state_cov")}
    right = dense_diffuse(model.endog[:30], matrices, np.ones(3, dtype=bool)).llf
    assert abs(short.loglike(system) - right) > 1e-5


def test_results_are_checked_where_they_stand() -> None:
    """The check of a fit at its start says nothing of its end."""
    yields = random_panel(np.random.default_rng(0), 40, [0.25, 1.0, 3.0, 7.0, 10.0])
    model = sse.ATSM(yields, [0.25, 1.0, 3.0, 7.0, 10.0], identification="afns", initialization="diffuse")
    params = np.asarray(model.start_params).copy()
    assert np.isfinite(model.smooth(params).llf)
    params[model.param_names.index("decay")] = 1e-4
    with pytest.raises(sse.UnsupportedError, match="loses its digits here"):
        model.smooth(params)
