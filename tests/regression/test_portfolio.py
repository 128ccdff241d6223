"""Coefficients of portfolios against the dense joint distribution, and in use."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import simulated
from numpy.testing import assert_allclose
from oracle import dense_diffuse

import statespace_ext as sse
from statespace_ext.exceptions import DataError, SpecificationError

N = 24
EXACT = {"rtol": 0, "atol": 1e-10}
WEIGHTS = pd.DataFrame({"long": [0.5, 0.5, 0.0], "spread": [1.0, 0.0, -1.0]}, index=["A1", "A2", "A3"])
V = np.array([[2.0, 0.3, 0.2], [0.3, 1.0, 0.1], [0.2, 0.1, 1.5]])
W = np.array([[0.04, 0.01, 0.0], [0.01, 0.05, 0.02], [0.0, 0.02, 0.03]])
DYNAMICS = ("random_walk", "ar1")


def model_of(dynamics: str, **options: Any) -> sse.DynamicRegression:
    y, x = simulated(np.random.default_rng(3), N, 3, move=0.2)
    y.iloc[[5, 11], 1] = np.nan
    y.iloc[8] = np.nan
    y.iloc[:3, 2] = np.nan
    y.iloc[[1, 2], 1] = np.nan  # never two series of a row with a gap
    return sse.DynamicRegression(y, x, dynamics={"MKT": dynamics}, **options)


def results(dynamics: str = "random_walk") -> Any:
    model = model_of(dynamics)
    matrices = {"obs_cov": V, "state_cov": W}
    if dynamics == "ar1":
        matrices["transition"] = np.hstack([np.zeros((3, 6)), np.diag([0.7, 0.6, -0.2])])
    return model.smooth(model.params_from_matrices(matrices))


def system_of(model: Any, params: Any) -> dict[str, np.ndarray]:
    """Return the matrices of a model for the oracle."""
    found = model.system(np.asarray(params, dtype=float))
    names = "design obs_intercept obs_cov transition state_intercept selection state_cov initial_state"
    return {name: getattr(found, name) for name in [*names.split(), "initial_state_cov"]}


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_the_smoothed_path_is_that_of_the_joint_distribution(dynamics: str) -> None:
    res = results(dynamics)
    c = res.model.coefficients
    flat = np.arange(c.k_states) < c.n_levels
    joint = dense_diffuse(res.model.endog, system_of(res.model, res.params), flat)
    found = res.portfolio(WEIGHTS)
    for j, name in enumerate(c.regressors):
        place = [c.level(j)] + ([c.deviation(j)] if c.dynamics[j] == "ar1" else [])
        L = WEIGHTS.to_numpy().T @ sum(np.eye(c.k_states)[rows] for rows in place)
        variance = np.einsum("ri,tij,rj->tr", L, joint.smoothed_cov, L)
        path = found.coefficients[name]
        assert_allclose(path.smoothed, joint.smoothed_state @ L.T, **EXACT)
        assert_allclose(path.smoothed_se, np.sqrt(variance), **EXACT)
        assert path.dynamics == c.dynamics[j]


def test_the_filtered_path_is_that_of_the_data_so_far() -> None:
    res = results()
    found = res.portfolio(WEIGHTS).beta
    for t in (9, 15):
        y, x = res.model.data.orig_endog, res.model.data.orig_exog
        part = sse.DynamicRegression(y[:t], x[:t], dynamics={"MKT": "random_walk"}).smooth(res.params)
        last = part.portfolio(WEIGHTS).beta
        assert_allclose(found.filtered.iloc[t - 1], last.smoothed.iloc[-1], **EXACT)
        assert_allclose(found.filtered_se.iloc[t - 1], last.smoothed_se.iloc[-1], **EXACT)
        assert_allclose(found.predicted.iloc[t], last.smoothed.iloc[-1], **EXACT)


def test_what_the_data_do_not_determine_is_missing() -> None:
    found = results().portfolio(WEIGHTS).alpha
    assert found.filtered["spread"].iloc[:4].isna().all() and found.filtered["spread"].iloc[4:].notna().all()
    assert np.isnan(found.filtered["long"].iloc[0]) and np.isfinite(found.filtered["long"].iloc[3])
    assert len(found.predicted) == N + 1


def test_one_asset_is_the_asset_itself() -> None:
    res = results("ar1")
    found, own = res.portfolio({"A2": 1}), res.coefficients["MKT"]
    for name in ("smoothed", "smoothed_se", "filtered", "filtered_se", "predicted", "predicted_se"):
        path = getattr(found.beta, name)
        assert list(path.columns) == ["portfolio"] and path.index.equals(getattr(own, name).index)
        assert_allclose(path["portfolio"], getattr(own, name)["A2"], rtol=0, atol=1e-13)


def test_append_extend_and_pickle() -> None:
    res = results()
    y, x = res.model.data.orig_endog, res.model.data.orig_exog
    start = sse.DynamicRegression(y[:14], x[:14], dynamics={"MKT": "random_walk"}).smooth(res.params)
    longer, rest = start.append(y[14:], exog=x[14:]), start.extend(y[14:], exog=x[14:])
    whole = res.portfolio(WEIGHTS).beta
    for found, rows in (
        (longer, slice(None)),
        (rest, slice(14, None)),
        (pickle.loads(pickle.dumps(res)), slice(None)),
    ):
        beta = found.portfolio(WEIGHTS).beta
        assert_allclose(beta.smoothed, whole.smoothed[rows], **EXACT)
        assert_allclose(beta.smoothed_se, whole.smoothed_se[rows], **EXACT)
        assert_allclose(beta.filtered, whole.filtered[rows], **EXACT)
        assert beta.smoothed.index.equals(whole.smoothed.index[rows])
    again = pickle.loads(pickle.dumps(res.portfolio(WEIGHTS)))
    pd.testing.assert_frame_equal(again.beta.smoothed, whole.smoothed)


def test_a_capm_has_alpha_and_betas() -> None:
    y, x = simulated(np.random.default_rng(5), 40, 2)
    factors = pd.DataFrame({"MKT": x["MKT"], "SMB": np.sin(np.arange(40.0))}, index=x.index)
    res = sse.CAPM(y, factors, beta="static", obs_cov="diagonal").fit()
    found = res.portfolio(pd.Series({"A2": -1.0, "A1": 1.0}, name="spread"))
    assert_allclose(found.alpha.estimate["spread"], np.diff(res.alpha.estimate[::-1])[0], **EXACT)
    own = res.beta["SMB"]  # V is diagonal: uncorrelated across assets
    assert_allclose(found.beta["SMB"].se["spread"], np.sqrt(np.sum(own.se**2)), **EXACT)
    assert found.weights["spread"].to_dict() == {"A1": 1.0, "A2": -1.0}


def test_a_regression_without_a_constant_has_no_alpha() -> None:
    y, x = simulated(np.random.default_rng(5), 40, 2)
    found = sse.DynamicRegression(y, x[["MKT"]]).fit().portfolio({"A1": 1})
    assert found.beta.estimate.shape == (1,)
    with pytest.raises(SpecificationError, match="no constant"):
        _ = found.alpha


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ([0.5, 0.5, 0.0], SpecificationError, "must be given by series"),
        (np.eye(3), SpecificationError, "must be given by series"),
        ({}, SpecificationError, "must be given by series"),
        (None, SpecificationError, "must be given by series"),
        ({"A1": 1.0, "A9": 1.0}, SpecificationError, "A9"),
        (pd.Series([0.5, 0.5, 0.0]), SpecificationError, "unknown: got 0, 1, 2; expected A1, A2, A3"),
        (WEIGHTS.T, SpecificationError, "long"),
        ({"A1": np.nan}, DataError, "missing or infinite"),
        ({"A1": np.inf}, DataError, "missing or infinite"),
        ({"A1": "much"}, DataError, "not numeric"),
        (pd.Series([1.0, 2.0], index=["A1", "A1"]), DataError, "repeated name"),
        (WEIGHTS.set_axis(["a", "a"], axis=1), DataError, "repeated name"),
        (WEIGHTS[[]], DataError, "missing"),
    ],
)
def test_weights_that_are_none(weights: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        results().portfolio(weights)


def test_a_fit_that_kept_no_states() -> None:
    res = model_of("static", obs_cov="diagonal").fit(low_memory=True)
    with pytest.raises(SpecificationError, match="low_memory"):
        res.portfolio({"A1": 1.0})
