"""What the installed statsmodels gets wrong without an error is refused, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from capm import gls, static_llf
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.engine.compat import VERSION

V = np.array([[1.3, 0.3], [0.3, 1.3]])


def draw(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return x @ rng.standard_normal((x.shape[1], 2)) + rng.standard_normal((len(x), 2))


def test_regressors_of_any_size_and_a_row_that_nearly_repeats() -> None:
    """Least squares in closed form; statsmodels' filter skips diffuse variances below 1e-10."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        m = int(rng.integers(2, 5))
        x = rng.standard_normal((20, m))
        x[:, 0] = 1.0
        x[:, 1:] *= 10.0 ** rng.uniform(-8, 4)
        row = rng.integers(1, m)
        x[row, 1:] = x[0, 1:] + 10.0 ** rng.uniform(-8, 0) * (x[row, 1:] - x[0, 1:])
        y = draw(rng, x)
        model = sse.DynamicRegression(y, x)
        found = model.loglike(model.params_from_matrices({"obs_cov": V}))
        assert_allclose(found, static_llf(y, x, V), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_exactly_collinear(seed: int) -> None:
    """Dummies, interactions, a regressor that starts late: nothing of the first rows but rounding."""
    rng = np.random.default_rng(seed)
    market = 10.0 * rng.standard_normal(200)
    late = (np.arange(200) >= 120).astype(float)
    quarter = (np.arange(200) // 3) % 4
    x = np.column_stack(
        [np.ones(200), market, late, late * market, *(1.0 * (quarter == q) for q in (1, 2, 3))]
    )
    y = draw(rng, x)
    model = sse.DynamicRegression(y, x)
    found = model.loglike(model.params_from_matrices({"obs_cov": V}))
    assert_allclose(found, static_llf(y, x, V), rtol=1e-11)
    x = x[:40, [0, 1, 4, 5, 6]]
    y = draw(rng, x)
    model = sse.DynamicRegression(y, x)
    expected = gls(y, x, V, lambda s, t: np.zeros((10, 10))).llf
    assert_allclose(model.loglike(model.params_from_matrices({"obs_cov": V})), expected, rtol=0, atol=1e-8)


def test_series_in_small_units() -> None:
    """statsmodels' filter skips forecast variances below 1e-10 while the start is diffuse."""
    rng = np.random.default_rng(1)
    y = rng.standard_normal((30, 2)).cumsum(axis=0)
    for scale in (1e-6, 1e-3, 1e5):
        one, other = (sse.DynamicRegression(each, np.ones(30)) for each in (y, scale * y))
        moved = (y.size - 2) * np.log(scale)  # a diffuse level is counted in the units of the series
        params = one.start_params
        assert_allclose(other.loglike(scale**2 * params) + moved, one.loglike(params), rtol=1e-10)


def test_periods_that_follow_others() -> None:
    """The start of `extend` is that of the sample before it."""
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(40), rng.standard_normal(40)])
    x[30:, 1] = 1.0 + 1e-9 * rng.standard_normal(10)
    y = draw(rng, x)
    whole = sse.DynamicRegression(y, x).smooth([1.0, 0.2, 1.0])
    first = sse.DynamicRegression(y[:30], x[:30]).smooth([1.0, 0.2, 1.0])
    assert_allclose(first.llf + first.extend(y[30:], exog=x[30:]).llf, whole.llf, rtol=1e-10)


def test_partly_missing_rows_beside_a_full_obs_cov() -> None:
    """Before 0.15.0 statsmodels' log-likelihood of such rows is wrong in a diffuse period."""
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(12), rng.standard_normal(12)])
    y = np.column_stack([draw(rng, x), draw(rng, x)])
    y[0, 2], y[4, 2] = np.nan, np.nan
    model = sse.DynamicRegression(y, x)
    cov = np.eye(4) + 0.3
    params = model.params_from_matrices({"obs_cov": cov})
    expected = gls(y, x, cov, lambda s, t: np.zeros((8, 8))).llf
    for found in (model.loglike(params), model.smooth(params).llf, model.filter(params).llf):
        assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.skipif(VERSION >= (0, 15), reason="statsmodels has an error of its own")
def test_singular_obs_cov_does_not_end_the_process() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(50), rng.standard_normal(50)])
    model = sse.DynamicRegression(rng.standard_normal((50, 3)), x)
    for call in (model.loglike, model.smooth, model.filter, model.score):
        with pytest.raises(sse.ParameterError, match="singular obs_cov that is not diagonal"):
            call(np.ones(6))


def test_an_obs_cov_whose_last_pivot_alone_is_zero_needs_no_refusal() -> None:
    """statsmodels never divides by it; the likelihood is that of the same noise, a little larger."""
    y = np.random.default_rng(0).normal(size=(60, 2)).cumsum(axis=0)
    given = {"design": np.eye(2), "transition": np.eye(2), "obs_intercept": "zero"}
    found = [
        sse.LGSSM(y, 2, obs_cov=cov, initialization="diffuse", **given).loglike([1.0, 0.2, 1.0])
        for cov in (np.ones((2, 2)), np.ones((2, 2)) + 1e-9 * np.eye(2))
    ]
    assert_allclose(*found, rtol=1e-7)
