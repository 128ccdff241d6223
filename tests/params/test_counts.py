"""Counts of parameters, against ranks and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.params.affine import affine_matrix
from statespace_ext.params.counts import (
    coefficients_by_series,
    most_identified,
    own_columns,
    without_noise,
)


def model_of(p: int, k: int, **spec: Any) -> sse.LGSSM:
    y = np.random.default_rng(0).standard_normal((30, p))
    free = {"state_cov": "unstructured", "initialization": "known", "initial_state": np.zeros(k)}
    return sse.LGSSM(y, k, **{**free, "initial_state_cov": np.zeros((k, k)), **spec})


def autocovariances(model: sse.LGSSM, params: np.ndarray) -> np.ndarray:
    """Return the mean and enough autocovariances of y to say all that the data can say."""
    system = model.system(params)
    Z, T = system.design, system.transition
    cov = np.eye(len(T))
    for _ in range(400):
        cov = T @ cov @ T.T + system.selection @ system.state_cov @ system.selection.T
    parts = [system.obs_intercept, (Z @ cov @ Z.T + system.obs_cov)[np.tril_indices(len(Z))]]
    parts += [(Z @ np.linalg.matrix_power(T, lag) @ cov @ Z.T).ravel() for lag in range(1, 2 * len(T) + 2)]
    return np.concatenate(parts)


@pytest.mark.parametrize(("p", "k"), [(1, 1), (2, 1), (3, 1), (3, 2)])
def test_no_more_are_identified_than_the_autocovariances_tell_apart(p: int, k: int) -> None:
    model = model_of(p, k, obs_cov="unstructured")
    rng = np.random.default_rng(1)
    layout = model.layout
    params = rng.uniform(0.5, 1.0, len(layout))
    at = {
        "transition": np.diag([0.8, -0.4][:k]),
        "design": rng.standard_normal((p, k)),
        "obs_cov": np.eye(p) + 0.2,
        "state_cov": np.eye(k),
    }
    params = layout.project(at, params)
    jacobian = richardson_gradient(
        lambda x: autocovariances(model, x), params, step=np.full(len(params), 1e-3)
    )
    rank = np.linalg.matrix_rank(np.atleast_2d(jacobian), tol=1e-6)
    bound = 2 * k * p + p * (p + 1) // 2 + p
    assert most_identified(layout, k) == min(bound, len(layout))
    assert rank <= most_identified(layout, k)
    assert p > 1 or rank == bound  # noises of states and series are not correlated: a bound for p > 1
    assert rank < len(layout)


def test_what_comes_on_top_and_what_is_no_bound() -> None:
    exog = np.random.default_rng(2).standard_normal((30, 2))
    plain, more = model_of(2, 1), model_of(2, 1, exog=exog)
    assert most_identified(more.layout, 1) == most_identified(plain.layout, 1) + 4
    loadings = np.random.default_rng(3).standard_normal((2, 1, 30))
    loadings[0, 0] = np.nan
    varying = model_of(2, 1, design=loadings)
    assert most_identified(varying.layout, 1) == len(varying.layout)


def test_coefficients_of_each_series_alone() -> None:
    model = model_of(3, 1, design=[["a"], ["b"], ["a"]], obs_cov=np.diag([np.nan, 1.0, np.nan]))
    assert coefficients_by_series(model.layout) == [
        1,
        0,
        1,
    ]  # intercepts: "a" is of two series, 2 has no noise


def test_columns_of_a_row() -> None:
    block = affine_matrix(
        np.zeros((2, 3)), [(0, 0, "a", 1.0), (0, 2, "b", 1.0), (1, 1, "a", 1.0), (1, 2, "c", 1)]
    )
    assert own_columns(block, 0).tolist() == [2] and own_columns(block, 1).tolist() == [2]


def test_rows_without_noise() -> None:
    free = [(1, 1, "v", 1.0)]
    assert without_noise(affine_matrix(np.diag([0.0, 0.0, 2.0, 0.0]), free)).tolist() == [0, 3]
    over_time = np.zeros((3, 3, 4))
    over_time[2, 2, 1] = 1.0
    assert without_noise(affine_matrix(over_time, free)).tolist() == [0]
