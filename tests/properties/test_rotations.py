"""A change of coordinates of the states changes nothing that is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose
from random_models import atsm_cases, dense_form, lgssm_cases, regression_cases
from systems import examples


def turn(seed: int, k: int) -> np.ndarray:
    """Return a well-conditioned matrix."""
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.standard_normal((k, k)))[0] * rng.uniform(0.5, 2.0, k)


@examples(20)
@given(case=lgssm_cases(free=True), seed=st.integers(0, 1000))
def test_rotated_factors(case: Any, seed: int) -> None:
    model = case.model
    k, lags = model.k_factors, model.lags
    A = turn(seed, k)
    back, every = np.linalg.inv(A), np.kron(np.eye(lags), A)
    at = model.matrices(case.params)
    blocks = dict(at)
    blocks["design"] = at["design"] @ back
    blocks["transition"] = A @ at["transition"] @ np.kron(np.eye(lags), back)
    blocks["state_cov"] = A @ at["state_cov"] @ A.T
    for key in ("state_intercept", "state_mean", "state_coef"):
        blocks[key] = A @ at[key]
    blocks["initial_state"] = every @ at["initial_state"]
    spec = dict(case.spec)
    if spec["initialization"] == "known":
        spec |= {"initial_state": every @ spec["initial_state"]}
        spec |= {"initial_state_cov": every @ spec["initial_state_cov"] @ every.T}
    other = case.changed(spec=spec, params=model.layout.project(blocks, case.params))
    one, two = model.smooth(case.params), other.model.smooth(other.params)
    assert_allclose(two.llf, one.llf, rtol=1e-9, atol=1e-8)
    assert_allclose(two.smoothed_state, every @ one.smoothed_state, rtol=1e-6, atol=1e-7)
    assert_allclose(two.forecasts, one.forecasts, rtol=1e-6, atol=1e-7)


@examples(20)
@given(case=regression_cases(plain=True), sizes=st.tuples(*[st.sampled_from([0.01, 0.5, 3.0, 1e3])] * 2))
def test_regressors_in_other_units(case: Any, sizes: tuple[float, float]) -> None:
    """theta_j becomes theta_j / c_j; with a flat start that shifts the log-likelihood by log c_j."""
    model = case.model
    layout, p = model.layout, model.k_endog
    by_level = np.repeat(sizes, p)
    dynamics = [case.spec["dynamics"][name] for name in ("MKT", "other")]
    moving = [c for c, kind in zip(sizes, dynamics, strict=True) if kind != "static"]
    at, spec = layout.matrices(case.params), dict(case.spec)
    if moving:
        by_noise = np.repeat(moving, p)
        at["state_cov"] = at["state_cov"] / np.outer(by_noise, by_noise)
    if at["proportion"].size:
        at["proportion"] = at["proportion"] / np.outer(moving, moving)
    if "initial_state" in spec:
        spec["initial_state"] = spec["initial_state"] / by_level
        spec["initial_state_cov"] = spec["initial_state_cov"] / np.outer(by_level, by_level)
    other = case.changed(
        inputs={"exog": case.inputs["exog"] * np.array(sizes)},
        spec=spec,
        params=layout.project(at, case.params),
    )
    flat = dense_form(model, case.params)[1]
    shift = float(np.sum(np.log(by_level[flat[: len(by_level)]]))) if flat.any() else 0.0
    one, two = model.smooth(case.params), other.model.smooth(other.params)
    assert_allclose(two.llf, one.llf - shift, rtol=1e-8, atol=1e-7)
    assert_allclose(
        two.smoothed_state[: 2 * p] * by_level[:, None], one.smoothed_state[: 2 * p], rtol=1e-5, atol=1e-6
    )


@examples(15)
@given(case=atsm_cases(identifications=("jsz",)), seed=st.integers(0, 1000))
def test_other_portfolios_of_the_same_yields(case: Any, seed: int) -> None:
    model = case.model
    A = turn(seed, model.k_factors)
    at = model.layout.matrices(case.params)
    at["K_P"] = A @ at["K_P"] @ np.linalg.inv(A)
    at["state_cov"] = A @ at["state_cov"] @ A.T
    for key in ("kappa_P", "initial_state"):
        at[key] = A @ at[key]
    spec = {**case.spec, "portfolio_weights": A @ case.spec["portfolio_weights"]}
    other = case.changed(spec=spec, params=model.layout.project(at, case.params))
    one, two = model.smooth(case.params), other.model.smooth(other.params)
    assert_allclose(two.llf, one.llf, rtol=1e-8)
    assert_allclose(two.smoothed_state, A @ one.smoothed_state, rtol=1e-6, atol=1e-9)
