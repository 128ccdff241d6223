"""Observed information and standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from systems import dense_llf, sampled

from statespace_ext.inference.information import (
    observed_information,
    params_covariance,
)
from statespace_ext.lgssm.model import LGSSM
from statespace_ext.numerics.differences import second_differences, step_sizes

NAN = np.nan
NOTHING_FLAT = np.zeros((2, 0))
SPECIFICATIONS = {
    "stationary": {"identification": "triangular"},
    "two lags": {"identification": "triangular", "lags": 2, "obs_intercept": "zero"},
    "strings": {"design": [["a"], ["2*a"]], "obs_cov": [["v", 0], [0, "v"]]},
    "estimated": {"design": [[1], [NAN]], "initialization": "estimated", "obs_cov": "unstructured"},
    "diffuse": {"design": [[1], [1]], "initialization": "diffuse", "obs_intercept": [0, NAN]},
    "mean": {"design": [[1], [NAN]], "state_mean": "free", "obs_intercept": "zero"},
}


def richardson_information(model: LGSSM, params: np.ndarray) -> np.ndarray:
    """Minus the second derivatives from the log-likelihood alone, without any score."""

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(model.loglike, at, levels=3)

    return -richardson_gradient(gradient, params, levels=3)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_observed_information(name: str, missing: float) -> None:
    """Away from a maximum too: second derivatives, whatever the score."""
    model, params = sampled(np.random.default_rng(80), 25, 2, 1, missing=missing, **SPECIFICATIONS[name])
    want = richardson_information(model, params)
    found = observed_information(model, params)
    atol = 1e-5 * np.abs(want).max()
    assert_allclose(found, want, atol=atol)
    assert_allclose(found, found.T, rtol=1e-14)
    assert_allclose(-model.nobs * model.hessian(params), want, atol=atol)
    some = np.array([2, 0])
    assert_allclose(observed_information(model, params, some), want[np.ix_(some, some)], atol=atol)
    by_values = -second_differences(model.loglike, params, step_sizes(params, 2e-4), some)
    assert_allclose(by_values, want[np.ix_(some, some)], atol=1e-3 * np.abs(want).max())


def test_standard_errors_with_missing_data() -> None:
    """Inverse of the dense oracle's second derivatives; statsmodels' own count the missing rows."""
    model, params = sampled(
        np.random.default_rng(93), 40, 2, 1, missing=0.4, identification="triangular", root=0.7
    )
    res = model.fit(params)
    optimum = np.asarray(res.params)

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(lambda p: dense_llf(model, p), at, levels=2)

    want = np.sqrt(np.diag(np.linalg.inv(-richardson_gradient(gradient, optimum, levels=2))))
    assert_allclose(res.bse, want, rtol=1e-4)
    assert_allclose(np.sqrt(np.diag(res.cov_params_approx)), want, rtol=1e-2)


def test_more_missing_data_say_less() -> None:
    model, params = sampled(np.random.default_rng(82), 120, 2, 1, identification="triangular", root=0.7)
    thin = model.endog.copy()
    thin[::2] = np.nan
    full, half = model.fit(params), LGSSM(thin, 1, identification="triangular").fit(params)
    intercepts = [model.param_names.index(f"obs_intercept.y{i}") for i in (1, 2)]
    variances = [model.param_names.index(f"obs_var.y{i}") for i in (1, 2)]
    assert np.all(half.bse[variances] > 1.15 * full.bse[variances])
    assert np.all(half.bse[intercepts] > full.bse[intercepts])


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_standard_errors_follow_the_units_of_the_data(scale: float) -> None:
    spec = {"design": [[1], [NAN]], "obs_intercept": "free"}
    model, params = sampled(np.random.default_rng(83), 80, 2, 1, missing=0.2, root=0.8, **spec)
    res = model.fit(params)
    other = LGSSM(scale * model.endog, 1, **spec).fit()
    assert_allclose(other.llf, res.llf - np.isfinite(model.endog).sum() * np.log(scale), atol=1e-4)
    power = np.array([{"obs_v": 2, "state": 2, "obs_i": 1}.get(name[:5], 0) for name in model.param_names])
    assert_allclose(other.params, res.params * scale**power, rtol=1e-3)
    assert_allclose(other.bse, res.bse * scale**power, rtol=1e-3)


def test_the_information_next_to_the_edge_of_the_parameters() -> None:
    """One-sided where a step would leave them."""

    class Edge:
        def loglike_and_score(self, params: np.ndarray) -> tuple[float, np.ndarray]:
            if params[0] < 1.0:
                raise np.linalg.LinAlgError("no likelihood here")
            return -0.5 * float(params @ params), -params

    assert_allclose(observed_information(Edge(), np.array([1.0, 2.0])), np.eye(2), rtol=1e-4, atol=1e-9)


def test_no_information_where_there_is_no_likelihood() -> None:
    class Nowhere:
        def loglike_and_score(self, params: np.ndarray) -> tuple[float, np.ndarray]:
            raise ValueError("no likelihood")

    information = observed_information(Nowhere(), np.array([1.0, 2.0]))
    assert np.all(np.isnan(information))
    found = params_covariance(information, np.arange(2), NOTHING_FLAT, 2)
    assert np.all(np.isnan(found.cov))
    assert found.rank == 0
    assert "do not exist" in found.notes[0]


# -- the inverse -----------------------------------------------------------------------------------------


def test_params_covariance() -> None:
    information = np.array([[4.0, 1.0], [1.0, 2.0]])
    found = params_covariance(information, np.array([2, 0]), NOTHING_FLAT, 4)
    assert_allclose(found.cov[np.ix_([2, 0], [2, 0])], np.linalg.inv(information))
    assert np.all(np.isnan(found.cov[[1, 3]]))
    assert found.rank == 2
    assert found.notes == []


def test_params_covariance_with_flat_directions() -> None:
    """What they move has none; the rest is as if one of the moved parameters were held fixed."""
    root = np.random.default_rng(84).standard_normal((6, 4))
    flat = np.array([[1.0], [-1.0], [0.0], [0.0]]) / np.sqrt(2)
    root = root - root @ flat @ flat.T
    information = root.T @ root
    found = params_covariance(information, np.arange(4), flat, 4)
    assert np.all(np.isnan(found.cov[:2]))
    pinned = np.linalg.inv(information[1:, 1:])
    assert_allclose(found.cov[2:, 2:], pinned[1:, 1:])
    assert found.rank == 3


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_params_covariance_with_units_far_apart(unit: float) -> None:
    information = np.array([[4.0, 1.9], [1.9, 1.0]])
    scale = np.array([1.0, unit])
    found = params_covariance(information * scale[:, None] * scale, np.arange(2), NOTHING_FLAT, 2)
    assert found.notes == []
    assert_allclose(found.cov * scale[:, None] * scale, np.linalg.inv(information), rtol=1e-8)


@pytest.mark.parametrize(
    "information", [[[1, 2], [2, 1]], [[-1, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]]
)
def test_params_covariance_where_it_is_not_positive_definite(information: list) -> None:
    found = params_covariance(np.array(information, float), np.arange(2), NOTHING_FLAT, 2)
    assert np.all(np.isnan(found.cov))
    assert "not positive definite" in found.notes[0]


def test_params_covariance_of_nothing() -> None:
    found = params_covariance(np.zeros((0, 0)), np.zeros(0, int), np.zeros((0, 0)), 3)
    assert np.all(np.isnan(found.cov))
    assert found.rank == 0
