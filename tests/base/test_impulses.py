"""Impulse responses to a shock by its name, for every model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_data import BUILD, factor_series
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse

SHOCKS = {
    "LGSSM": ["f1"],
    "DynamicRegression": ["MKT.a", "MKT.b", "MKT.c"],
    "CAPM": ["MKT.a", "MKT.b", "MKT.c"],
    "ATSM": ["P1"],
}


def labelled(name: str) -> Any:
    """A model at its start values, of series that are called a, b and c."""
    build, sample = BUILD[name]
    model = build(pd.DataFrame(sample(), columns=["a", "b", "c"]))
    return model.smooth(model.start_params)


@pytest.mark.parametrize("name", BUILD)
def test_a_name_is_its_number(name: str) -> None:
    res = labelled(name)
    assert res.model.shock_names == SHOCKS[name] and len(SHOCKS[name]) == res.model.ssm.k_posdef
    for number, shock in enumerate(SHOCKS[name]):
        by_name = res.impulse_responses(3, impulse=shock)
        assert_array_equal(by_name, res.impulse_responses(3, impulse=number))
        assert_array_equal(by_name, res.impulse_responses(3, np.int64(number)))
        assert_array_equal(by_name, res.model.impulse_responses(res.params, 3, shock))


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("unknown", ["a", "nonsense", ""])
def test_a_name_that_no_shock_has(name: str, unknown: str) -> None:
    res = labelled(name)
    with pytest.raises(sse.SpecificationError, match="impulse is unknown") as caught:
        res.impulse_responses(3, impulse=unknown)
    assert all(shock in str(caught.value) for shock in SHOCKS[name])


def test_the_second_factor_of_series_with_the_names_of_factors() -> None:
    """The responses are Z T^h e_j; a series that is called f2 is no shock's name but by accident."""
    y = pd.DataFrame(factor_series(), columns=["f2", "f1", "c"])
    model = sse.LGSSM(y, 2, lags=2, identification="unit")
    res = model.smooth(model.start_params)
    transition, state = np.eye(4, k=-2), np.array([0.0, 1.0, 0.0, 0.0])
    transition[:2] = res.matrices["transition"]
    expected = []
    for _ in range(5):
        expected.append(res.matrices["design"].to_numpy() @ state[:2])
        state = transition @ state
    assert_allclose(res.impulse_responses(4, impulse="f2"), expected, rtol=1e-10, atol=1e-12)
