"""Exact second derivatives of the log-likelihood, against differences of the exact score."""

from __future__ import annotations

import tracemalloc
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.testing import assert_allclose
from systems import draw_params, sampled

from statespace_ext.em import smoothed_point
from statespace_ext.inference.information import observed_information, params_covariance
from statespace_ext.lgssm.model import LGSSM

NAN = np.nan
RNG = np.random.default_rng(4)
X, U = RNG.standard_normal((2, 30, 2))
SPECIFICATIONS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "one factor": (3, 1, {}),
    "two factors, two lags": (3, 2, {"lags": 2}),
    "triangular": (4, 2, {"identification": "triangular"}),
    "unit": (3, 2, {"identification": "unit", "lags": 3}),
    "more states than series": (1, 2, {"lags": 2, "transition": "diagonal"}),
    "scalars": (3, 2, {"obs_cov": "scalar", "state_cov": "scalar"}),
    "shared": (2, 1, {"design": [["a"], ["2*a"]], "obs_cov": [["v", 0], [0, "v"]]}),
    "fixed": (3, 2, {"design": [[1, 0], [NAN, 1], [2, -1]], "obs_cov": np.diag([1.0, 2.0, 3.0])}),
    "mean": (3, 2, {"state_mean": "free", "obs_intercept": "zero", "lags": 2}),
    "mean and intercept": (3, 2, {"state_mean": "free", "state_intercept": "free"}),
    "regressors": (3, 1, {"exog": X, "state_exog": U, "state_mean": "free"}),
    "known start": (
        3, 2, {
            "initialization": "known", "initial_state": [1.0, -1.0],
            "initial_state_cov": [[1.0, 0.3], [0.3, 2.0]],
        },
    ),
    "estimated start": (3, 2, {"initialization": "estimated", "lags": 2}),
    "estimated start and variance": (3, 1, {"initialization": "estimated", "initial_state_cov": "free"}),
}  # fmt: skip


def by_differences(model: LGSSM, params: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Fourth-order central differences of the exact score."""
    steps = 10 * share * model.difference_steps(params)

    def column(j: int) -> np.ndarray:
        def score(count: float) -> np.ndarray:
            at = params.copy()
            at[j] += count * steps[j]
            return model.loglike_and_score(at)[1]

        return (8 * (score(1) - score(-1)) - (score(2) - score(-2))) / (12 * steps[j])

    return -np.column_stack([column(j) for j in range(len(params))])


CASES = [
    (name, missing, obs_cov)
    for i, (name, (_, _, spec)) in enumerate(SPECIFICATIONS.items())
    for missing, obs_cov in (
        (0.0, ["diagonal", "equicorrelated"][i % 2]),
        (0.0, "unstructured"),
        (0.3, "diagonal"),
    )
    if obs_cov == "diagonal" or "obs_cov" not in spec
]
"""Each specification with a full obs_cov and with missing values; the two other structures by turns."""


@pytest.mark.parametrize(("name", "missing", "obs_cov"), CASES)
def test_equals_differences_of_the_score(name: str, missing: float, obs_cov: str) -> None:
    p, k, spec = SPECIFICATIONS[name]
    model, _ = sampled(np.random.default_rng(5), 30, p, k, missing=missing, **{"obs_cov": obs_cov, **spec})
    params = draw_params(np.random.default_rng(6), model, root=0.8)
    found = model.exact_information(params, np.arange(len(params)))
    want = by_differences(model, params)
    size = np.sqrt(np.abs(np.diag(want)))
    size = np.where(size > 0, size, 1.0)
    assert_allclose(found / size[:, None] / size, want / size[:, None] / size, atol=2e-7)
    some = np.arange(len(params))[::-2]
    assert_allclose(
        model.exact_information(params, some), found[np.ix_(some, some)], atol=1e-12 * np.abs(found).max()
    )
    assert_allclose(
        observed_information(model, params, some), found[np.ix_(some, some)], atol=1e-12 * np.abs(found).max()
    )


@pytest.mark.parametrize("obs_cov", ["diagonal", "unstructured"])
@pytest.mark.parametrize("name", ["two factors, two lags", "mean", "known start", "estimated start"])
def test_settled_covariances_of_a_long_sample(name: str, obs_cov: str, monkeypatch: Any) -> None:
    """Periods in which no covariance changes are taken at once, which the sums over all of them equal."""
    p, k, spec = SPECIFICATIONS[name]
    model, _ = sampled(np.random.default_rng(5), 200, p, k, obs_cov=obs_cov, **spec)
    params = draw_params(np.random.default_rng(6), model, root=0.8)
    index, rows = np.arange(len(params)), MagicMock(side_effect=smoothed_point._change)
    with monkeypatch.context() as patch:
        patch.setattr(smoothed_point, "_change", rows)
        found = model.exact_information(params, index)
    assert rows.call_count < 200
    want = by_differences(model, params)
    size = np.sqrt(np.abs(np.diag(want)))
    assert_allclose(found / size[:, None] / size, want / size[:, None] / size, atol=2e-7)
    monkeypatch.setattr(smoothed_point, "_CONVERGED", -1.0)
    assert_allclose(found, model.exact_information(params, index), rtol=0, atol=1e-11 * np.abs(found).max())


@pytest.mark.parametrize(
    "spec",
    [
        {"initialization": "diffuse", "design": [[1.0], [0.5], [2.0]]},
        {"obs_cov": np.diag([0.0, 1.0, 1.0])},
        {"obs_cov": "unstructured", "missing": 0.3},
        {"design": RNG.standard_normal((3, 1, 30))},
    ],
    ids=["diffuse", "singular", "missing beside a full obs_cov", "varying"],
)
def test_declines_where_it_does_not_apply(spec: dict[str, Any]) -> None:
    model, params = sampled(np.random.default_rng(7), 30, 3, 1, **spec)
    assert model.exact_information(params, np.arange(len(params))) is None
    assert np.all(np.isfinite(observed_information(model, params)))


SMALL_NOISE: dict[str, tuple[int, dict[str, Any]]] = {
    "one factor": (1, {"missing": 0.1}),
    "two factors": (2, {}),
    "triangular": (2, {"identification": "triangular", "missing": 0.1}),
    "two lags": (2, {"lags": 2, "missing": 0.1}),
    "full obs_cov": (2, {"obs_cov": "unstructured"}),
}


@pytest.mark.parametrize("exponent", [1, 1.5, 2, 2.5, 3, 4, 6, 7, 18, 24, 30])
@pytest.mark.parametrize("name", SMALL_NOISE)
def test_beside_small_noise_they_are_right_or_left_to_differences(name: str, exponent: float) -> None:
    """A series that the factors fit leaves one direction of them no variance, and each factor alone a lot."""
    k, spec = SMALL_NOISE[name]
    model, given = sampled(np.random.default_rng(5), 30, 3, k, **spec)
    params = np.array(given)
    noise = model.layout.matrices(params)["obs_cov"]
    size = np.array([1.0, np.sqrt(10.0**-exponent / noise[1, 1]), 1.0])
    values = {**model.layout.matrices(params), "obs_cov": noise * size * size[:, None]}
    params = model.layout.project(values, params)
    found = model.exact_information(params, np.arange(len(params)))
    assert found is None or exponent < 4
    if found is not None:
        want = by_differences(model, params, 0.1)
        scale = np.sqrt(np.abs(np.diag(want)))
        assert_allclose(found / scale[:, None] / scale, want / scale[:, None] / scale, atol=1e-6)
    assert np.all(np.isfinite(observed_information(model, params)))


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("start", "p"), [("stationary", 6), ("approximate_diffuse", 3)])
def test_states_that_the_series_nearly_reveal(start: str, p: int, missing: float) -> None:
    """The prior variance of the states is 1e4 to 1e6 times the smoothed one, as with thousands of series."""
    model, given = sampled(np.random.default_rng(7), 30, p, 1, missing=missing, initialization=start)
    at = model.layout.matrices(np.array(given))
    size = 1e-4 if start == "stationary" else 1.0
    params = model.layout.project({**at, "obs_cov": size * np.asarray(at["obs_cov"])}, np.array(given))
    found = model.exact_information(params, np.arange(len(params)))
    assert found is not None
    want = by_differences(model, params, 10.0)
    scale = np.sqrt(np.abs(np.diag(want)))
    assert_allclose(found / scale[:, None] / scale, want / scale[:, None] / scale, atol=1e-6)


def test_a_start_set_by_the_user_is_not_taken_for_the_models_own() -> None:
    model, params = sampled(np.random.default_rng(8), 30, 3, 1)
    model.ssm.initialize_known(np.ones(1), np.eye(1))
    assert model.exact_information(params, np.arange(len(params))) is None


@pytest.mark.parametrize("directions", [0, 1])
def test_the_inverse_takes_one_matrix_beside_the_information(directions: int) -> None:
    rng = np.random.default_rng(10)
    root, flat = rng.standard_normal((500, 600)), rng.standard_normal((500, directions))
    away = root - flat @ np.linalg.lstsq(flat, root, rcond=None)[0]
    information = away @ away.T
    tracemalloc.start()
    found = params_covariance(information, np.arange(500), flat, 500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * information.nbytes
    if not directions:
        assert_allclose(found.cov, np.linalg.inv(information), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_many_series_take_memory_in_proportion_to_the_matrix(missing: float) -> None:
    model, params = sampled(np.random.default_rng(9), 60, 80, 2, missing=missing, identification="triangular")
    tracemalloc.start()
    model.exact_information(params, np.arange(len(params)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * 8 * len(params) ** 2
