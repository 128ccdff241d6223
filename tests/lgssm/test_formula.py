"""`LGSSM.from_formula`: the model of the same regressors, and data of later periods."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse

RNG = np.random.default_rng(8)
N = 40
DATA = pd.DataFrame(RNG.normal(size=(N + 3, 3)), columns=["a", "b", "x"]).assign(
    season=[str(t % 4) for t in range(N + 3)]
)
DATA.loc[5, "a"] = np.nan
SERIES = DATA[["a", "b"]]
PARTS = pd.get_dummies(DATA["season"]).astype(float).iloc[:, 1:].assign(square=DATA["x"] ** 2)


def by_formula(formula: str = "a + b ~ C(season) + np.power(x, 2)", **more: Any) -> sse.LGSSM:
    return sse.LGSSM.from_formula(formula, DATA[:N], k_factors=1, identification="unit", **more)


def by_hand(rows: slice = slice(N), **more: Any) -> sse.LGSSM:
    return sse.LGSSM(SERIES[rows], 1, exog=PARTS[rows], identification="unit", **more)


def test_the_model_is_that_of_the_regressors() -> None:
    model, plain = by_formula(), by_hand()
    params = RNG.uniform(0.2, 0.6, len(plain.param_names))
    assert_allclose(model.exog, plain.exog) and model.endog_names == ["a", "b"]
    assert "obs_intercept.a" in model.param_names and np.isnan(model.endog[5, 0])
    assert_allclose(model.loglike(params), plain.loglike(params), rtol=1e-12)
    assert model.regressor_names["exog"][-1] == "np.power(x, 2)"


def test_raw_data_serve_wherever_regressors_do() -> None:
    plain = by_hand()
    params = RNG.uniform(0.2, 0.6, len(plain.param_names))
    expected, later, new = plain.smooth(params), DATA[N:], SERIES[N:]
    for res in (by_formula().smooth(params), pickle.loads(pickle.dumps(by_formula().smooth(params)))):
        assert_allclose(res.forecast(3, exog=later), expected.forecast(3, exog=PARTS[N:]), rtol=1e-12)
        longer = res.append(new, exog=later)
        assert_allclose(longer.llf, expected.append(new, exog=PARTS[N:]).llf, rtol=1e-12)
        assert longer.model.design_info is res.model.design_info
        assert_allclose(res.extend(new, exog=later).llf, expected.extend(new, exog=PARTS[N:]).llf, rtol=1e-12)
        assert_allclose(res.apply(SERIES, exog=DATA).llf, by_hand(slice(None)).loglike(params), rtol=1e-12)
        with pytest.raises(sse.DataError, match="do not have all columns of the formula.*season"):
            res.forecast(3, exog=later.drop(columns="season"))


def test_the_intercept_is_that_of_the_observations() -> None:
    without = by_formula("a + b ~ x - 1")
    assert not any(name.startswith("obs_intercept") for name in without.param_names)
    assert "obs_intercept.a" in by_formula("a + b ~ x - 1", obs_intercept="free").param_names
    alone = by_formula("a + b ~ 1")
    assert alone.exog is None and "obs_intercept.b" in alone.param_names and alone.design_info is None
    assert by_formula("a + b ~ 0").exog is None
    assert np.isfinite(alone.loglike(np.full(len(alone.param_names), 0.5)))


def test_refused() -> None:
    with pytest.raises(sse.SpecificationError, match="exog and a formula cannot be combined"):
        by_formula(exog=PARTS[:N])
    with pytest.raises(sse.SpecificationError, match="no series on the left"):
        by_formula("~ x")
    with pytest.raises(sse.DataError, match="missing or infinite values: got 1 of 40 periods"):
        by_formula("b ~ a")
