"""EM on the likelihood: it rises from everywhere, and stands still at a maximum and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from em_cases import BAND, DESIGN, NAN, SPECIFICATIONS, N, case, maximised, places, updates_of
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from systems import ExpectedLikelihood, dense_llf, draw_params, examples, sampled

from statespace_ext.em.driver import EMOptions, run_em
from statespace_ext.em.updates import companion_structure
from statespace_ext.fit.problem import EstimationProblem
from statespace_ext.lgssm.model import LGSSM

# -- the likelihood rises --------------------------------------------------------------------------------


def em_path(model: LGSSM, params: np.ndarray, iterations: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods of plain EM, and the parameters at its end."""
    problem = model.problem()
    result = run_em(
        params, problem.moments, problem.loglike, problem.updates.cycles(), EMOptions(iterations, 0.0)
    )
    assert result.status == "stopped: the number of iterations reached maxiter"
    return np.array(result.trace["llf"]), result.params


UNKNOWN_CONSTANTS = {
    "unknown constant": {"initialization": "estimated"},
    "unknown constant, two lags": {"initialization": "estimated", "lags": 2, "state_mean": "free"},
    "unknown constant and variance": {"initialization": "estimated", "initial_state_cov": np.diag([NAN, 0])},
}
SAMPLES = [
    (name, n, seed)
    for name, spec in (SPECIFICATIONS | UNKNOWN_CONSTANTS).items()
    for n, seed in zip(
        [N, N] if {"exog"} & set(spec) or "varying" in name else [12, 40], (44, 45), strict=True
    )
]


@pytest.mark.parametrize(("name", "n", "seed"), SAMPLES)
def test_the_likelihood_rises(name: str, n: int, seed: int) -> None:
    """At every iteration, of two samples from two starts; the dense oracle agrees with the last value."""
    model, _ = sampled(
        np.random.default_rng(seed), n, 3, 2, missing=0.2, **(SPECIFICATIONS | UNKNOWN_CONSTANTS)[name]
    )
    llf, last = em_path(model, draw_params(np.random.default_rng(seed + 10), model))
    assert len(llf) == 31
    assert np.all(np.diff(llf) > -1e-9 * (1 + np.abs(llf[1:])))
    assert llf[-1] > llf[0]
    diffuse = model.initialization_kind == "approximate_diffuse"
    assert_allclose(llf[-1], dense_llf(model, last), rtol=1e-6 if diffuse else 1e-9)


@examples(25)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 3),
    p=st.integers(1, 4),
    lags=st.integers(1, 2),
    missing=st.sampled_from([0.0, 0.3]),
    obs_cov=st.sampled_from(["diagonal", "unstructured", "scalar", "equicorrelated"]),
    mean=st.sampled_from([{}, {"state_mean": "free"}, {"state_intercept": "free"}]),
    start=st.sampled_from(["stationary", "estimated", "approximate_diffuse"]),
)
def test_the_likelihood_of_short_samples_rises(seed, k, p, lags, missing, obs_cov, mean, start) -> None:
    """n = 12: where a plain M-step under a stationary start makes it fall in most samples."""
    spec = {"lags": lags, "obs_cov": obs_cov, "initialization": start, **mean}
    model, params = sampled(np.random.default_rng(seed), 12, p, k, missing=missing, **spec)
    llf, _ = em_path(model, draw_params(np.random.default_rng(seed), model), 15)
    assert np.all(np.diff(llf) > -1e-9 * (1 + np.abs(llf[1:])))
    em_path(model, params, 15)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
@pytest.mark.parametrize("name", ["stationary, mean", "known, zero pattern", "estimated, mean shared"])
def test_the_path_does_not_depend_on_the_units_of_the_data(name: str, scale: float) -> None:
    """The design is rescaled with the data, so the states stay what they are."""
    model, params = case(name, n=20)
    scaled = LGSSM(scale * model.endog, 2, **SPECIFICATIONS[name])
    at = model.matrices(params)
    for key, power in (("design", 1), ("obs_intercept", 1), ("obs_cov", 2)):
        at[key] = at[key] * scale**power
    here, _ = em_path(model, params)
    there, _ = em_path(scaled, scaled.params_from_matrices(at))
    assert_allclose(there + np.isfinite(model.endog).sum() * np.log(scale), here, rtol=1e-7)


def test_the_plain_formulas_fall_where_the_library_rises() -> None:
    """The stationary start is part of the objective: without it the test above would mean nothing."""
    fell = 0
    for seed in range(10):
        model, params = sampled(np.random.default_rng(seed), 12, 2, 1, root=0.95)
        plain = EstimationProblem(model, {})
        plain.updates = replace(plain.updates, structure=companion_structure(1, 1, np.arange(0)))
        value = plain.loglike(params)
        for _ in range(30):
            params = maximised(plain, params, plain.moments(params))
            new = plain.value(params)
            fell += new < value - 1e-6
            value = new
            if not np.isfinite(new):
                break
    assert fell > 0


# -- fixed points ----------------------------------------------------------------------------------------

TRIANGULAR = {"identification": "triangular"}
FIXED_POINTS = {  # and a sample whose maximum is in the interior
    "stationary": (55, TRIANGULAR),
    "stationary, mean": (52, TRIANGULAR | {"state_mean": "free", "obs_intercept": "zero"}),
    "two lags": (50, TRIANGULAR | {"lags": 2, "transition": "diagonal"}),
    "strings": (
        53,
        {"design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]], "transition": [["g", "h"], [0, "g - h"]]},
    ),
    "zero pattern": (54, {"obs_cov": BAND, "design": DESIGN}),
    "unknown constant": (50, {"k_factors": 1, "design": [[1], [1], [1]], "initialization": "estimated"}),
    "diffuse": (52, {"design": DESIGN, "initialization": "diffuse"}),
}


@pytest.mark.parametrize("name", FIXED_POINTS)
def test_em_stands_still_at_a_maximum_and_nowhere_else(name: str) -> None:
    """Where the score is zero no update moves; from anywhere else each moves uphill."""
    seed, spec = FIXED_POINTS[name]
    spec = {"k_factors": 2} | spec
    k = spec.pop("k_factors")
    model, params = sampled(np.random.default_rng(seed), 100, 3, k, missing=0.1, **spec)
    problem = model.problem()
    optimum = model.fit(params, return_params=True)
    at = model.matrices(optimum)
    assert all(np.linalg.eigvalsh(at[cov]).min() > 0.1 for cov in ("obs_cov", "state_cov"))
    information = problem.updates.information(optimum, problem.moments(optimum))
    assert np.abs(model.score(optimum) / np.sqrt(information)).max() < 1e-4
    step = maximised(problem, optimum, problem.moments(optimum)) - optimum
    assert np.abs(step * np.sqrt(information)).max() < 1e-3
    moved = model.layout.constrain(1.05 * model.layout.unconstrain(optimum))
    score = model.score(moved)
    for block, update in updates_of(problem):
        own = places(model, block)
        away = update(moved, problem.moments(moved))[0] - moved
        assert score[own] @ away[own] > 0.0, block


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_the_slope_of_the_expected_likelihood(seed: int) -> None:
    """Fisher's identity, which ties the M-step to the score: both from nothing in common."""
    model, params = sampled(np.random.default_rng(seed), N, 3, 2, missing=0.3, obs_cov="unstructured")
    found = richardson_gradient(ExpectedLikelihood(model, params), params)
    assert_allclose(found, model.score(params), rtol=0, atol=1e-7 * np.abs(found).max())
