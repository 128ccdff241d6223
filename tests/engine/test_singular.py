"""A singular variance of the forecast errors: a name in place of the errors of numpy and of compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from edge_data import atsm, factor_series, lgssm, yields

import statespace_ext as sse

DIRECTION = np.array([1.0, 2.0, 3.0])
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    name: lambda model, params, name=name: getattr(model, name)(params)
    for name in ("loglike", "score", "filter", "smooth")
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("obs_cov", [np.ones((3, 3)), np.outer(DIRECTION, DIRECTION)])
def test_a_singular_obs_cov_that_is_not_diagonal(obs_cov: Any, name: str) -> None:
    """One factor and noise of rank one: three series have a variance of rank two."""
    model = lgssm(factor_series(), obs_cov=obs_cov)
    with pytest.raises(sse.ParameterError, match="does not exist at these parameters: got .* Let obs_cov be"):
        CALLS[name](model, model.start_params)


def test_the_start_of_a_fit() -> None:
    with pytest.raises(sse.EstimationError, match="a singular obs_cov that is not diagonal"):
        lgssm(factor_series(), obs_cov=np.ones((3, 3))).fit()


@pytest.mark.parametrize("name", CALLS)
def test_three_series_without_noise_and_one_factor(name: str) -> None:
    model = lgssm(factor_series(), obs_cov=np.zeros((3, 3)))
    with pytest.raises(sse.ParameterError, match="dependent loadings"):
        CALLS[name](model, model.start_params)


def test_enough_factors_carry_a_singular_obs_cov() -> None:
    """Three factors make F_t positive definite again: the limit of noise that goes to that of rank one."""
    models = [
        lgssm(factor_series(), k_factors=3, obs_cov=np.ones((3, 3)) + noise * np.eye(3))
        for noise in (0.0, 1e-9)
    ]
    values = [model.loglike(models[1].start_params) for model in models]
    assert np.isclose(*values, rtol=1e-6) and np.isfinite(values).all()


def test_errors_of_the_package_keep_their_name() -> None:
    with pytest.raises(sse.SpecificationError, match="unbounded"):
        lgssm(factor_series(), initialization="diffuse").loglike(np.ones(8))
    with pytest.raises(sse.ParameterError, match="wrong shape"):
        atsm(yields()).loglike([1.0])
