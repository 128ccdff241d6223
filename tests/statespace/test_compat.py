"""What the installed statsmodels gets wrong without an error is refused, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from capm import gls, static_llf
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.exceptions import UnsupportedError
from statespace_ext.statespace.compat import VERSION, require_diffuse_regressors

V = np.array([[1.3, 0.3], [0.3, 1.3]])


def draw(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return x @ rng.standard_normal((x.shape[1], 2)) + rng.standard_normal((len(x), 2))


def refused(y: np.ndarray, x: np.ndarray, correlated: bool = True) -> bool:
    try:
        require_diffuse_regressors(y, x, correlated)
    except UnsupportedError:
        return True
    return False


def test_regressors_are_refused_where_the_log_likelihood_is_wrong() -> None:
    """Random sizes, and a row nearly equal to the first: what passes is right, what is far off is refused."""
    rng = np.random.default_rng(0)
    passed, wrong = 0, 0
    for _ in range(300):
        m = int(rng.integers(2, 5))
        x = rng.standard_normal((20, m))
        x[:, 0] = 1.0
        x[:, 1:] *= 10.0 ** rng.uniform(-1, 4)
        row = rng.integers(1, m)
        x[row, 1:] = x[0, 1:] + 10.0 ** rng.uniform(-4, 0) * (x[row, 1:] - x[0, 1:])
        y = draw(rng, x)
        model = sse.DynamicRegression(y, x)
        model._regressors_checked = True
        model.private_smoother._diffuse_checked.update({True, False})  # what is refused is looked at here
        error = abs(model.loglike(model.params_from_matrices({"obs_cov": V})) - static_llf(y, x, V))
        if refused(y, x):
            wrong += error > 1e-4
        else:
            passed += 1
            assert error < 1e-3
    assert passed > 100 and wrong > 30


@pytest.mark.parametrize("size", [1e-3, 0.01, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(5))
def test_ordinary_regressors_pass(size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(50), 4.0 * size * rng.standard_normal((50, 2))])
    y = draw(rng, x)
    y[:7, 1] = np.nan
    y[20] = np.nan
    assert not refused(y, x) and not refused(y, x, False)


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_exactly_collinear_pass(seed: int) -> None:
    """Dummies, interactions, a regressor that starts late: nothing of the first rows but rounding."""
    rng = np.random.default_rng(seed)
    market = 10.0 * rng.standard_normal(200)
    late = (np.arange(200) >= 120).astype(float)
    quarter = (np.arange(200) // 3) % 4
    x = np.column_stack(
        [np.ones(200), market, late, late * market, *(1.0 * (quarter == q) for q in (1, 2, 3))]
    )
    assert not refused(draw(rng, x), x)
    y = draw(rng, x)[:40]
    x = x[:40, [0, 1, 4, 5, 6]]
    model = sse.DynamicRegression(y, x)
    expected = gls(y, x, V, lambda s, t: np.zeros((10, 10))).llf
    assert_allclose(model.loglike(model.params_from_matrices({"obs_cov": V})), expected, rtol=0, atol=1e-8)


def test_every_way_to_the_filter_is_checked() -> None:
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(30), 1e-7 * rng.standard_normal(30)])
    y = draw(rng, x)
    model = sse.DynamicRegression(y, x, obs_cov="scalar")
    for call in (
        model.fit,
        lambda: model.loglike([1.0]),
        lambda: model.score([1.0]),
        lambda: model.smooth([1.0]),
    ):
        with pytest.raises(UnsupportedError, match="exog"):
            call()
    proper = sse.DynamicRegression(y, x, obs_cov="scalar", initialization="approximate_diffuse")
    assert np.isfinite(proper.smooth([1.0]).llf)


def test_periods_that_follow_others_are_not_checked() -> None:
    """The start of `extend` is that of the sample before it."""
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(40), rng.standard_normal(40)])
    x[30:, 1] = 1.0 + 1e-9 * rng.standard_normal(10)
    y = draw(rng, x)
    whole = sse.DynamicRegression(y, x).smooth([1.0, 0.2, 1.0])
    first = sse.DynamicRegression(y[:30], x[:30]).smooth([1.0, 0.2, 1.0])
    assert_allclose(first.llf + first.extend(y[30:], exog=x[30:]).llf, whole.llf, rtol=1e-10)


@pytest.mark.skipif(VERSION >= (0, 15), reason="statsmodels has it right")
def test_smoothing_of_partly_missing_rows_is_refused_before_0_15() -> None:
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(30), rng.standard_normal(30)])
    y = np.column_stack([draw(rng, x), draw(rng, x)])
    y[4, 2] = np.nan
    model = sse.DynamicRegression(y, x)
    params = model.params_from_matrices({"obs_cov": np.eye(4) + 0.3})
    for call in (model.loglike, model.smooth, model.filter):
        with pytest.raises(UnsupportedError, match="row 4 partly missing"):
            call(params)
    assert np.isfinite(sse.DynamicRegression(y, x, obs_cov="diagonal").smooth(np.ones(4)).llf)


@pytest.mark.skipif(VERSION >= (0, 15), reason="statsmodels has an error of its own")
def test_singular_obs_cov_does_not_end_the_process() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(50), rng.standard_normal(50)])
    model = sse.DynamicRegression(rng.standard_normal((50, 3)), x)
    for call in (model.loglike, model.smooth, model.filter, model.score):
        with pytest.raises(sse.ParameterError, match="singular obs_cov that is not diagonal"):
            call(np.ones(6))
