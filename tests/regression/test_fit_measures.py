"""How much of the returns the regressors explain, against least squares."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose
from statsmodels.regression.linear_model import OLS

import statespace_ext as sse
from statespace_ext.exceptions import SpecificationError


def test_static_measures_are_those_of_least_squares() -> None:
    y, x = simulated(np.random.default_rng(4), 50, 2, missing=0.1, move=0.0)
    res = sse.CAPM(y, x["MKT"], beta="static", obs_cov="diagonal").fit()
    found = res.fit_measures()
    for name in y:
        rows = y[name].notna()
        fit = OLS(y[name][rows], x[rows]).fit()
        assert_allclose(found.loc[name, "r2"], fit.rsquared, rtol=1e-9)
        assert_allclose(found.loc[name, "idiosyncratic_vol"], np.sqrt(fit.scale), rtol=1e-4)
        assert_allclose(found.loc[name, "tracking_error"], (y[name] - x["MKT"]).std(), rtol=1e-12)
        own, X = y[name][rows].to_numpy(), x[rows].to_numpy()
        ahead = [own[t] - X[t] @ np.linalg.lstsq(X[:t], own[:t], rcond=None)[0] for t in range(2, len(own))]
        total = np.sum((own[2:] - own[2:].mean()) ** 2)
        assert_allclose(found.loc[name, "r2_predicted"], 1.0 - np.sum(np.square(ahead)) / total, rtol=1e-8)


def test_moving_measures_in_use() -> None:
    y, x = simulated(np.random.default_rng(4), 40, 2, move=0.2)
    y.iloc[[7, 20], 1] = np.nan
    scale = np.linspace(1.0, 2.0, 40)
    model = sse.DynamicRegression(
        y, x, dynamics=BETA_MOVES, obs_cov="diagonal", state_cov="diagonal", obs_scale=scale
    )
    params = model.start_params
    res = model.smooth(params)
    found = res.fit_measures()
    fitted = sum(res.coefficients[name].smoothed.mul(x[name], axis=0) for name in x)
    squares = ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert_allclose(found["r2"], 1.0 - squares, rtol=1e-10)
    assert_allclose(found["idiosyncratic_vol"], np.sqrt(params[:2] * np.mean(scale**2)), rtol=1e-12)
    assert np.all(found["r2_predicted"] < found["r2"])
    start = model.clone(y[:25], x[:25], obs_scale=scale[:25]).smooth(params)
    longer = start.append(y[25:], exog=x[25:], obs_scale=scale[25:])
    for same in (longer, pickle.loads(pickle.dumps(res))):
        pd.testing.assert_frame_equal(same.fit_measures(), found, rtol=1e-9)
    rest = start.extend(y[25:], exog=x[25:], obs_scale=scale[25:]).fit_measures()
    errors = (y - sum(res.coefficients[name].predicted[:-1].mul(x[name], axis=0) for name in x))[25:]
    late = y[25:]
    assert_allclose(
        rest["r2_predicted"], 1 - (errors**2).sum() / ((late - late.mean()) ** 2).sum(), rtol=1e-8
    )


def test_a_fit_that_kept_no_states_has_none() -> None:
    y, x = simulated(np.random.default_rng(4), 40, 2)
    res = sse.DynamicRegression(y, x, obs_cov="diagonal").fit(low_memory=True)
    with pytest.raises(SpecificationError, match="low_memory"):
        res.fit_measures()
