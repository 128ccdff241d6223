"""Where a dynamic regression takes its likelihood from the axes of its regressors: that of a pass."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, BOTH_MOVE, simulated
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.regression import estimation
from statespace_ext.regression.estimation import RegressionSmoother

CASES: dict[str, dict[str, Any]] = {
    "unstructured": {},
    "diagonal": {"state_cov": "diagonal"},
    "scalar": {"obs_cov": "scalar", "state_cov": "scalar"},
    "equicorrelated": {"obs_cov": "equicorrelated", "state_cov": "diagonal"},
    "proportional": {"state_cov": "proportional"},
    "factor": {"state_cov": "factor:1"},
    "factors": {"obs_cov": "factor:2", "state_cov": "factor:1"},
    "fixed": {"obs_cov": np.eye(4) + 1.0},
    "intercept": {"dynamics": {"const": "random_walk"}},
    "other start": {"initialization": "approximate_diffuse"},
    "both": {"dynamics": BOTH_MOVE},
    "ar1": {"dynamics": {"MKT": "ar1"}, "state_cov": "diagonal"},
    "static": {"dynamics": None},
}
WITH_AXES = {name for name in CASES if name not in ("other start", "both", "ar1", "static")}
EMPTY = [4, 5, 30]


def model(name: str, missing: str) -> sse.DynamicRegression:
    y, x = simulated(np.random.default_rng(8), 60, 4)
    if missing == "rows":
        y.iloc[EMPTY] = np.nan
    if missing == "cells":
        y.iloc[EMPTY, 1] = np.nan
    return sse.DynamicRegression(y, x, **{"dynamics": BETA_MOVES, **CASES[name]})


def by_a_pass(given: sse.DynamicRegression, params: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return log-likelihood, score and log-likelihood alone from passes."""
    with monkeypatch.context() as patch:
        patch.setattr(estimation, "_MOST_ROWS", -1)
        other = given.clone(given.data.orig_endog, given.data.orig_exog)
        llf, score = other.loglike_and_score(params)
        assert other.private_smoother.common is None
        return llf, score, other.loglike(params)


@pytest.mark.parametrize("missing", ["none", "rows", "cells"])
@pytest.mark.parametrize("name", CASES)
def test_likelihood_and_score_are_those_of_a_pass(
    name: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = model(name, missing)
    params = np.asarray(given.start_params) * 0.9
    llf, score = given.loglike_and_score(params)
    want = by_a_pass(given, params, monkeypatch)
    assert_allclose(llf, want[0], rtol=1e-12)
    assert_allclose(score, want[1], rtol=1e-8, atol=1e-9 * np.max(np.abs(want[1]), initial=0.0))
    assert_allclose(given.loglike(params), want[2], rtol=1e-12)
    used = given.private_smoother.common is not None and given.initialization_kind == "diffuse"
    assert used == (name in WITH_AXES and missing != "cells")


def test_every_way_to_a_model_has_the_likelihood_of_its_own_data() -> None:
    given = model("unstructured", "rows")
    res = given.fit(maxiter=3, tolerance=0.0, cov_type="none")
    params = np.asarray(res.params)
    y, x = simulated(np.random.default_rng(9), 5, 4)
    y.index = x.index = given.calendar.announced(5)
    later = res.append(y, exog=x)
    ways = {
        "append": later.model,
        "apply": res.apply(2.0 * y, exog=x).model,
        "clone": given.clone(y * 2.0, x),
        "pickle": pickle.loads(pickle.dumps(given)),
        "deepcopy": copy.deepcopy(given),
        "extend": res.extend(y, exog=x).model,
    }
    for name, each in ways.items():
        system = each.initialized_system(params)
        smoother = each.private_smoother
        assert isinstance(smoother, RegressionSmoother)
        want = super(RegressionSmoother, smoother).loglike(system)
        assert_allclose(each.loglike(params), want, rtol=1e-11, err_msg=name)
        assert_allclose(each.loglike_and_score(params)[0], want, rtol=1e-11, err_msg=name)


def test_a_start_that_a_user_sets_is_kept() -> None:
    given = model("unstructured", "none")
    params = np.asarray(given.start_params)
    diffuse = given.loglike_and_score(params)[0]
    given.ssm.initialize_known(np.zeros(given.k_states), 10.0 * np.eye(given.k_states))
    known = given.loglike_and_score(params)[0]
    assert abs(known - diffuse) > 1.0
    assert_allclose(known, given.loglike(params), rtol=1e-12)
    given.ssm.initialize_diffuse()
    assert_allclose(given.loglike_and_score(params)[0], diffuse, rtol=1e-12)


def test_models_with_the_same_regressors_share_their_axes() -> None:
    y, x = simulated(np.random.default_rng(8), 60, 4)
    models = [sse.DynamicRegression(y[[name]], x, dynamics=BETA_MOVES) for name in y]
    axes = [each.private_smoother.common.sizes for each in models]  # type: ignore[union-attr]
    assert all(each is axes[0] for each in axes)
    other = sse.DynamicRegression(y, x.assign(MKT=x["MKT"] + 1.0), dynamics=BETA_MOVES)
    assert other.private_smoother.common.sizes is not axes[0]  # type: ignore[union-attr]


def test_a_nearly_singular_obs_cov_takes_a_pass() -> None:
    y, x = simulated(np.random.default_rng(8), 60, 2)
    given = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    V = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-13]])
    assert given.private_smoother.common.score(V, np.eye(2)) is None  # type: ignore[union-attr]
    params = given.layout.project({"obs_cov": V, "state_cov": np.eye(2)}, np.asarray(given.start_params))
    want = super(RegressionSmoother, given.private_smoother).loglike(given.initialized_system(params))
    assert_allclose(given.loglike(params), want, rtol=1e-12)


def test_a_fit_ends_where_one_by_passes_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("unstructured", "diagonal", "proportional", "factor"):
        fast = model(name, "rows").fit(cov_type="none")
        with monkeypatch.context() as patch:
            patch.setattr(estimation, "_MOST_ROWS", -1)
            slow = model(name, "rows").fit(cov_type="none")
        assert fast.converged and slow.converged
        assert_allclose(fast.llf, slow.llf, rtol=0, atol=1e-6)


def test_a_long_sample_of_one_series_takes_passes() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"const": 1.0, "MKT": rng.standard_normal(950)})
    given = sse.DynamicRegression(pd.Series(rng.standard_normal(950)), x, dynamics=BETA_MOVES)
    assert given.private_smoother.common is None
