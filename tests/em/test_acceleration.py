"""Accelerated EM: the quasi-Newton step, the safeguard, and the maxima that plain EM reaches late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from systems import sampled

import statespace_ext as sse
from statespace_ext.em.driver import (
    Coordinates,
    EMOptions,
    EMResult,
    Secants,
    kept_away,
    run_em,
)

TARGET = np.array([1.0, -2.0, 0.5])
START = np.array([3.0, 2.0, 1.0])
SHARE = np.diag([0.97, 0.9, 0.5]) + 0.01
"""An EM iteration leaves this much of the way to the maximum."""


def hill(params: np.ndarray) -> float:
    """A log-likelihood with its maximum at TARGET."""
    return 5.0 - float(np.sum((params - TARGET) ** 2))


def slowly(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
    """An EM update that is linear and slow."""
    return TARGET + SHARE @ (params - TARGET), moments


def curved(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
    """An EM update that raises `hill` and is far from linear: secants mislead."""
    gap = params - TARGET
    return params - gap * (0.02 + 0.9 * np.sin(40.0 * gap) ** 2), moments


def run(
    options: EMOptions,
    update: Callable = slowly,
    loglike: Callable[[np.ndarray], float] = hill,
    feasible: Callable[[np.ndarray], bool] = lambda params: True,
) -> EMResult:
    """Accelerated EM on a function, whose E-step is its value."""
    coordinates = Coordinates(np.array, np.array, feasible, np.zeros(3, dtype=bool))
    return run_em(
        START,
        lambda params: SimpleNamespace(llf=loglike(params)),
        loglike,
        [[("update", update)]],
        replace(options, coordinates=coordinates),
    )


# -- the step --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_linear_iteration_is_solved_by_as_many_secants_as_parameters(size: int) -> None:
    rng = np.random.default_rng(size)
    matrix, constant = 0.9 * np.linalg.qr(rng.standard_normal((size, size)))[0], rng.standard_normal(size)
    secants = Secants(size)
    for _ in range(size + 1):
        place = rng.standard_normal(size)
        secants.add(place, matrix @ place + constant - place)
    assert len(secants) == size
    assert_allclose(secants.proposal(), np.linalg.solve(np.eye(size) - matrix, constant), rtol=1e-9)


def test_without_secants_the_proposal_is_the_em_step() -> None:
    secants = Secants(2)
    secants.add(np.array([1.0, 2.0]), np.array([0.5, -0.5]))
    assert_array_equal(secants.proposal(), [1.5, 1.5])
    secants.add(np.array([1.5, 1.5]), np.array([0.5, -0.5]))  # the same step: nothing to learn from
    assert_array_equal(secants.proposal(), [2.0, 1.0])


def test_the_memory_is_bounded_and_can_be_emptied() -> None:
    secants = Secants(30)
    for i in range(25):
        secants.add(np.full(30, float(i)), np.ones(30))
    assert len(secants) == 10
    assert secants.places[-1][0] == 24.0
    secants.forget()
    assert len(secants) == 0


def test_a_linear_iteration_ends_in_as_many_steps_as_parameters() -> None:
    result = run(EMOptions(100, 1e-12))
    assert result.converged
    assert result.iterations <= len(START) + 5
    assert_allclose(result.params, TARGET, atol=1e-7)


# -- the safeguard ---------------------------------------------------------------------------------------


def test_misleading_secants_never_lower_the_likelihood() -> None:
    result = run(EMOptions(200, 0.0), curved)
    assert result.iterations == 200
    assert len(result.trace["llf"]) < 201  # proposals were dropped
    assert np.all(np.diff(result.trace["llf"]) >= 0.0)
    assert result.llf == result.trace["llf"][-1] == hill(result.params)
    assert_allclose(result.trace["change"][1:], np.diff(result.trace["llf"]))


def test_a_dropped_proposal_is_followed_by_the_em_step() -> None:
    seen: list[np.ndarray] = []

    def loglike(params: np.ndarray) -> float:
        seen.append(params)
        return -np.inf if len(seen) == 3 else hill(params)  # the first proposal

    result = run(EMOptions(3, 0.0), loglike=loglike)
    assert_allclose(seen[1], slowly(START, None)[0])
    assert_allclose(seen[3], slowly(seen[1], None)[0])
    assert not np.allclose(seen[2], seen[3])
    assert result.trace["iteration"] == [0, 1, 3]
    assert_array_equal(result.params, seen[3])


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no factor"), ValueError("no stationary start")])
def test_a_proposal_at_which_the_filter_fails_is_dropped(error: Exception) -> None:
    calls = [0]

    def loglike(params: np.ndarray) -> float:
        calls[0] += 1
        if calls[0] in (3, 6):
            raise error
        return hill(params)

    result = run(EMOptions(60, 1e-12), loglike=loglike)
    assert result.converged
    assert_allclose(result.params, TARGET, atol=1e-7)


def test_an_infeasible_proposal_costs_no_e_step() -> None:
    calls = [0]

    def loglike(params: np.ndarray) -> float:
        calls[0] += 1
        return hill(params)

    result = run(EMOptions(30, 0.0), loglike=loglike, feasible=lambda params: False)
    plain = run_em(
        START, lambda params: SimpleNamespace(llf=hill(params)), hill, [[("u", slowly)]], EMOptions(30, 0.0)
    )
    assert calls[0] == 31
    assert_allclose(result.params, plain.params, rtol=1e-12)
    assert_allclose(result.trace["llf"], plain.trace["llf"])


def test_square_roots_of_variances_shrink_by_degrees() -> None:
    here, square_roots = np.array([1.0, -1.0, 1.0, -1.0, 1.0]), np.array([True, True, True, True, False])
    proposal = np.array([-2.0, 0.1, 0.9, -3.0, -2.0])
    assert_allclose(kept_away(proposal, here, square_roots), [0.3, -0.3, 0.9, -3.0, -2.0])


def test_a_variance_on_its_way_to_zero_does_not_stop_the_others(shared_data: Path) -> None:
    """
    Jump to obs_var near 0, where the maximum is, and the intercept stays where it was, 2.4 below it.

    From starts that differ by rounding, for it is chaotic: the intercept moves by multiples of obs_var.
    """
    rings = np.loadtxt(shared_data / "lgssm" / "r_treering_0_20.csv", delimiter=",", skiprows=1)[:, 1]
    model = sse.LGSSM(rings[:, None], 1, design=[[1.0]])
    best, start = model.fit(cov_type="none").llf, np.asarray(model.start_params)
    rng, options = np.random.default_rng(0), {"maxiter": 1000, "tolerance": 1e-13, "cov_type": "none"}
    for _ in range(8):
        near = start * (1.0 + 1e-13 * rng.standard_normal(len(start)))
        assert model.fit(near, method="accelerated-em", **options).llf > best - 1e-3


# -- what it tells ---------------------------------------------------------------------------------------


def test_a_wrong_update_is_named() -> None:
    result = run(EMOptions(50), lambda params, moments: (TARGET - 1.5 * (params - TARGET), moments))
    assert not result.converged
    assert "in the update of update" in result.status
    assert_array_equal(result.params, START)


def test_a_filter_that_fails_at_an_em_step_is_reported() -> None:
    def loglike(params: np.ndarray) -> float:
        if not np.array_equal(params, START):
            raise ValueError("bad matrix")
        return hill(params)

    result = run(EMOptions(50), loglike=loglike)
    assert not result.converged
    assert "filter failed" in result.status and "iteration 1 (bad matrix)" in result.status
    assert_array_equal(result.params, START)


@pytest.mark.parametrize("calls", [0, 1])
def test_an_update_that_fails_is_reported(calls: int) -> None:
    """At the start values, or where the first EM step leads: the last parameters with a step stay."""
    count = [0]

    def update(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
        count[0] += 1
        if count[0] > calls:
            raise np.linalg.LinAlgError("no inverse")
        return slowly(params, moments)

    result = run(EMOptions(50), update)
    assert not result.converged
    assert "(no inverse)" in result.status and "fell" not in result.status
    assert ("start values" in result.status) == (calls == 0)
    assert result.iterations == calls
    assert_array_equal(result.params, START)


@pytest.mark.parametrize("maxiter", [0, 1, 7])
def test_zero_tolerance_runs_exactly_maxiter_iterations(maxiter: int) -> None:
    seen, told = [], []
    options = EMOptions(maxiter, 0.0, seen.append, lambda i, llf: told.append(llf))
    result = run(options)
    assert result.iterations == len(seen) == maxiter
    assert not result.converged
    assert told == result.trace["llf"]


def test_a_start_without_a_likelihood_and_nothing_to_estimate() -> None:
    assert "no log-likelihood" in run(EMOptions(5), loglike=lambda params: np.nan).status
    expectation = lambda params: SimpleNamespace(llf=hill(params))  # noqa: E731
    coordinates = Coordinates(np.array, np.array, lambda params: True, np.zeros(3, dtype=bool))
    nothing = run_em(START, expectation, hill, [], EMOptions(5, coordinates=coordinates))
    assert nothing.converged
    assert nothing.trace["llf"] == [nothing.llf] == [hill(START)]


# -- models ----------------------------------------------------------------------------------------------


def nile(scale: float = 1.0) -> sse.LGSSM:
    y = scale * sm.datasets.nile.load_pandas().data["volume"].to_numpy(dtype=float)[:, None]
    return sse.LGSSM(y, 1, design=[[1.0]], transition=[[1.0]], obs_intercept="zero", initialization="diffuse")


def small_noise() -> sse.LGSSM:
    """One factor seen three times, the noise a twentieth of it: EM moves the loadings by ever so little."""
    rng = np.random.default_rng(1)
    x = np.zeros((200, 1))
    for t in range(1, 200):
        x[t] = 0.8 * x[t - 1] + rng.standard_normal(1)
    y = x @ rng.standard_normal((1, 3)) + 0.05 * rng.standard_normal((200, 3))
    return sse.LGSSM(y, 1, identification="triangular")


def tied_variances() -> sse.LGSSM:
    """A covariance without a transform of its own: it can be left by a proposal."""
    obs_cov = [["a", "c", "0"], ["c", "a", "c"], ["0", "c", "b"]]
    return sampled(np.random.default_rng(5), 80, 3, 1, obs_cov=obs_cov, identification="unit")[0]


def gappy() -> sse.LGSSM:
    """Two cycles an iteration: the first state is an unknown constant."""
    spec = {"initialization": "estimated", "identification": "unit"}
    return sampled(np.random.default_rng(8), 80, 3, 1, missing=0.1, **spec)[0]


@pytest.mark.parametrize("build", [nile, small_noise, tied_variances, gappy])
def test_the_path_is_monotone_and_ends_at_the_same_maximum(build: Callable[[], sse.LGSSM]) -> None:
    model = build()
    top = model.fit(cov_type="none").llf
    res = model.fit(method="accelerated-em", maxiter=1000, tolerance=1e-13, cov_type="none")
    llf = res.em_trace["llf"].to_numpy()
    assert res.converged
    assert res.mlefit.mle_retvals["score_norm"] < 1e-3
    assert_allclose(res.llf, top, atol=1e-6, rtol=0)
    assert np.all(np.diff(llf) >= -1e-11 * np.abs(top))
    assert_allclose(res.llf, llf[-1], rtol=1e-9)


@pytest.mark.parametrize("build", [nile, small_noise])
def test_ten_times_fewer_iterations(build: Callable[[], sse.LGSSM]) -> None:
    model = build()
    start, top = model.start_params, model.fit(cov_type="none").llf
    fast = model.fit(start, method="accelerated-em", maxiter=100, tolerance=0.0, cov_type="none").em_trace
    needed = int(fast.loc[fast["llf"] > top - 1e-6, "iteration"].iloc[0])
    plain = model.fit(start, method="em", maxiter=10 * needed, tolerance=0.0, cov_type="none")
    assert plain.llf < top - 1e-6


def test_the_first_iteration_is_that_of_em() -> None:
    fits = [
        small_noise().fit(method=method, maxiter=1, tolerance=0.0, cov_type="none").params
        for method in ("em", "accelerated-em")
    ]
    assert_array_equal(*fits)


def test_units_do_not_matter() -> None:
    iterations = [
        nile(scale).fit(method="accelerated-em", tolerance=1e-9, cov_type="none").mle_retvals["iterations"]
        for scale in (1e-3, 1.0, 1e3)
    ]
    assert iterations[0] == pytest.approx(iterations[1], abs=2)
    assert iterations[2] == pytest.approx(iterations[1], abs=2)


def test_fixed_parameters_stay() -> None:
    model = nile()
    with model.fix_params({"obs_var.y": 15000.0}):
        res = model.fit(method="accelerated-em", tolerance=1e-12, cov_type="none")
        best = model.fit(cov_type="none")
    assert res.params[model.param_names.index("obs_var.y")] == 15000.0
    assert_allclose(res.llf, best.llf, atol=1e-7, rtol=0)
