"""The iteration: when it stops, what it tells, and what it says when something goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from frames import frames_to_update
from numpy.testing import assert_allclose, assert_array_equal
from systems import sampled

from statespace_ext.em.driver import EMOptions, EMResult, Run, decreased, run_em
from statespace_ext.em.regressions import Moments

TARGET = np.array([1.0, -2.0])
START = np.array([3.0, 2.0])
MOST_FRAMES = 7
"""Calls from `fit` to the update of obs_cov, `python tests/frames.py` prints them."""


def hill(params: np.ndarray) -> float:
    """A log-likelihood with its maximum at TARGET."""
    return 5.0 - float(np.sum((params - TARGET) ** 2))


def halfway(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
    """Half of the way to the maximum."""
    return 0.5 * (params + TARGET), moments


def run(
    options: EMOptions,
    cycles: list | None = None,
    loglike: Callable[[np.ndarray], float] = hill,
    start: np.ndarray = START,
) -> EMResult:
    """EM on a function, whose E-step is its value."""
    cycles = [[("halfway", halfway)]] if cycles is None else cycles
    return run_em(start, lambda params: SimpleNamespace(llf=loglike(params)), loglike, cycles, options)


# -- the stopping rule -----------------------------------------------------------------------------------


@pytest.mark.parametrize("maxiter", [1, 7])
def test_zero_tolerance_runs_exactly_maxiter_iterations(maxiter: int) -> None:
    result = run(EMOptions(maxiter, tolerance=0.0))
    assert result.iterations == maxiter
    assert not result.converged
    assert "maxiter" in result.status
    assert_allclose(result.params, TARGET + (START - TARGET) / 2**maxiter)
    assert_allclose(result.llf, hill(result.params))
    assert len(result.trace["llf"]) == maxiter + 1


def test_zero_tolerance_goes_on_where_nothing_moves() -> None:
    result = run(EMOptions(5, tolerance=0.0), start=TARGET)
    assert result.iterations == 5
    assert not result.converged


def test_no_iterations_return_the_start() -> None:
    result = run(EMOptions(0))
    assert_array_equal(result.params, START)
    assert result.iterations == 0
    assert result.trace["llf"] == [hill(START)]
    assert not result.converged


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_stops_at_the_first_iteration_that_meets_both_criteria(tolerance: float) -> None:
    result = run(EMOptions(200, tolerance))
    assert result.converged
    assert result.status == "converged"
    path = [TARGET + (START - TARGET) / 2**i for i in range(result.iterations + 1)]
    llf = np.array([hill(params) for params in path])

    def settled(i: int) -> bool:
        size = np.maximum(np.abs(path[i]), np.abs(path[i - 1]))
        moved = np.max(np.abs(path[i] - path[i - 1]) / size)
        return abs(llf[i] - llf[i - 1]) <= tolerance * (1 + abs(llf[i])) and moved <= np.sqrt(tolerance)

    assert [settled(i) for i in range(1, len(path))] == [False] * (result.iterations - 1) + [True]


def test_a_flat_likelihood_does_not_stop_parameters_that_move() -> None:
    """The false stop of a rule on the log-likelihood alone."""
    result = run(EMOptions(30, 1e-6), loglike=lambda params: 5.0 + 1e-9 * hill(params), start=START)
    last = np.abs(result.params - TARGET).max()
    assert last < 1e-2
    assert result.converged
    assert run(EMOptions(3, 1e-6), loglike=lambda params: 5.0).converged is False


def test_still_parameters_do_not_stop_a_likelihood_that_moves() -> None:
    values = iter([0.0, 1.0, 2.0, 2.0, 2.0])
    cycles = [[("nothing", lambda params, moments: (params, moments))]]
    result = run(EMOptions(30, 1e-6), cycles, loglike=lambda params: next(values))
    assert result.converged
    assert result.iterations == 3


def test_a_parameter_near_zero_does_not_hold_it_up() -> None:
    """Relative changes are bounded below: a parameter that goes to zero halves for ever."""
    target = np.array([100.0, 0.0])

    def update(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
        return 0.5 * (params + target), moments

    result = run(EMOptions(100, 1e-6), [[("update", update)]], lambda p: -float(np.sum((p - target) ** 2)))
    assert result.converged
    assert result.iterations < 40


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_of_the_parameters_do_not_matter(scale: float) -> None:
    def update(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
        return 0.5 * (params + scale * TARGET), moments

    result = run(
        EMOptions(100, 1e-6), [[("update", update)]], lambda params: hill(params / scale), scale * START
    )
    assert result.converged
    assert result.iterations == run(EMOptions(100, 1e-6)).iterations


def test_nothing_to_estimate() -> None:
    result = run(EMOptions(10), cycles=[])
    assert result.converged
    assert result.iterations == 0
    assert "nothing to estimate" in result.status


# -- what it tells ---------------------------------------------------------------------------------------


def test_trace() -> None:
    trace = run(EMOptions(6, tolerance=0.0)).trace
    assert trace["iteration"] == list(range(7))
    path = [TARGET + (START - TARGET) / 2**i for i in range(7)]
    assert_allclose(trace["llf"], [hill(params) for params in path])
    assert np.isnan(trace["change"][0])
    assert_allclose(trace["change"][1:], np.diff(trace["llf"]))
    assert np.isnan(trace["params_change"][0])
    assert np.all(np.array(trace["params_change"][1:]) > 0)


def test_callback_and_report() -> None:
    seen, told = [], []
    options = EMOptions(4, 0.0, callback=seen.append, report=lambda i, llf: told.append((i, llf)))
    result = run(options)
    assert len(seen) == 4
    assert_array_equal(seen[-1], result.params)
    assert [i for i, _ in told] == [0, 1, 2, 3, 4]
    assert_allclose([llf for _, llf in told], result.trace["llf"])


def test_the_start_is_left_as_it_was() -> None:
    start = START.copy()

    def in_place(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
        params = np.array(params)
        params += 0.5 * (TARGET - params)
        return params, moments

    run(EMOptions(3, 0.0), [[("in place", in_place)]], start=start)
    assert_array_equal(start, START)


def test_updates_of_a_cycle_share_an_e_step_and_pass_it_on() -> None:
    seen = []

    def first(params: np.ndarray, moments: SimpleNamespace) -> tuple[np.ndarray, SimpleNamespace]:
        seen.append(("first", moments.llf))
        return halfway(params, SimpleNamespace(llf="shifted"))

    def second(params: np.ndarray, moments: SimpleNamespace) -> tuple[np.ndarray, SimpleNamespace]:
        seen.append(("second", moments.llf))
        return halfway(params, moments)

    run(EMOptions(1, 0.0), [[("first", first), ("second", second)]])
    assert seen == [("first", hill(START)), ("second", "shifted")]
    seen.clear()
    run(EMOptions(1, 0.0), [[("first", first)], [("second", second)]])
    assert seen == [("first", hill(START)), ("second", hill(0.5 * (START + TARGET)))]


# -- what goes wrong -------------------------------------------------------------------------------------


def overshoot(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
    """A wrong update: past the maximum, further away than before."""
    return TARGET - 1.5 * (params - TARGET), moments


def test_a_fall_is_reported_with_the_update_that_caused_it() -> None:
    cycles = [
        [("halfway", halfway), ("overshoot", lambda p, m: (TARGET + 8 * (p - TARGET), m)), ("last", halfway)]
    ]
    result = run(EMOptions(50), cycles)
    assert not result.converged
    assert "overshoot" in result.status
    assert "halfway" not in result.status
    assert "iteration 1" in result.status
    assert_array_equal(result.params, START)  # before the fall
    assert result.llf == hill(START)
    assert result.iterations == 0


def test_a_fall_in_a_later_cycle_is_found() -> None:
    result = run(
        EMOptions(50), [[("halfway", halfway)], [("overshoot", lambda p, m: (TARGET + 9 * (p - TARGET), m))]]
    )
    assert "overshoot" in result.status


@pytest.mark.parametrize("size", [1e6, -1e6])
def test_rounding_is_not_blamed_for_a_fall(size: float) -> None:
    """Rounding grows with the log-likelihood: the first update lowers it by 5e-10 of its size."""
    loss = {"rounding": 5e-4, "small": 2e-3}
    updates = {
        name: lambda params, moments, loss=loss: (params - loss, moments) for name, loss in loss.items()
    }
    cycles = [[(name, update)] for name, update in updates.items()]

    def blamed(cycles: list) -> str:
        value = lambda params: size + params[0]  # noqa: E731
        return Run(
            np.zeros(1), lambda params: SimpleNamespace(llf=value(params)), value, cycles, EMOptions()
        ).guilty()

    assert blamed(cycles) == "small"
    assert "no single" in blamed(cycles[:1])


def test_a_fall_after_a_while_keeps_the_best() -> None:
    count = [0]

    def sometimes(params: np.ndarray, moments: object) -> tuple[np.ndarray, object]:
        count[0] += 1
        return halfway(params, moments) if count[0] < 4 else overshoot(params, moments)

    result = run(EMOptions(50, 0.0), [[("sometimes", sometimes)]])
    assert "sometimes" in result.status
    assert result.iterations == 3
    assert_allclose(result.params, TARGET + (START - TARGET) / 8)
    assert result.llf == max(result.trace["llf"])


@pytest.mark.parametrize("size", [1e6, -1e6])
def test_a_fall_is_relative_to_the_size(size: float) -> None:
    assert not decreased(size - 5e-4, size)
    assert decreased(size - 2e-3, size)
    assert not decreased(0.0, 5e-10) and decreased(0.0, 2e-9)
    assert decreased(np.nan, size) and decreased(-np.inf, size) and not decreased(size, -np.inf)


def test_rounding_is_no_fall() -> None:
    values = iter([100.0, 100.0 - 1e-8, 100.0])
    cycles = [[("nothing", lambda params, moments: (params, moments))]]
    assert run(EMOptions(5), cycles, lambda params: next(values)).converged


@pytest.mark.parametrize(
    ("wrong", "spec"),
    [
        ("state_cov", {"state_cov": "diagonal", "transition": np.diag([0.9, 0.5])}),
        ("obs_cov", {}),
    ],
)
def test_a_covariance_without_smoothing_variances_is_caught(wrong: str, spec: dict) -> None:
    """The common mistake: residuals of the smoothed states, as if they were the states."""
    model, params = sampled(np.random.default_rng(60), 60, 3, 2, **spec)
    problem = model.problem()

    def mistaken(params: np.ndarray, moments: Moments) -> tuple[np.ndarray, Moments]:
        smoothed = problem.smoother.smooth(problem.system(params))
        system, x = problem.system(params), smoothed.mean
        e = model.endog.T - system.obs_intercept[:, None] - system.design @ x
        if wrong == "state_cov":
            e = x[:, 1:] - system.transition @ x[:, :-1]
        out = params.copy()
        places = [model.param_names.index(name) for name in model.layout.blocks[wrong].param_names]
        out[places] = np.mean(e**2, axis=1)
        return out, moments

    cycles = [
        [(name, mistaken if name == wrong else update) for name, update in cycle]
        for cycle in problem.updates.cycles()
    ]
    result = run_em(params, problem.moments, problem.loglike, cycles, EMOptions(100, 0.0))
    assert f"in the update of {wrong}" in result.status
    assert result.llf == max(result.trace["llf"])


def test_zeroed_lag_one_covariances_are_caught() -> None:
    model, params = sampled(np.random.default_rng(61), 60, 2, 1, transition=[[np.nan]], root=0.95)
    problem = model.problem()

    def expectation(params: np.ndarray) -> Moments:
        moments = problem.moments(params)
        smoothed, system = problem.smoother.smooth(problem.system(params)), problem.system(params)
        lag = smoothed.lag_cov.sum(axis=2)
        state = moments.state
        bad = replace(
            state,
            ee=state.ee + 2 * lag @ system.transition.T,
            eb=state.eb - np.pad(lag, ((0, 0), (0, 1))),
        )
        return replace(moments, state=bad)

    result = run_em(params, expectation, problem.loglike, problem.updates.cycles(), EMOptions(100, 0.0))
    assert "fell" in result.status
    assert "state" in result.status


def failing_after(calls: int, error: Exception) -> Callable[[np.ndarray], SimpleNamespace]:
    count = [0]

    def expectation(params: np.ndarray) -> SimpleNamespace:
        count[0] += 1
        if count[0] > calls:
            raise error
        return SimpleNamespace(llf=hill(params))

    return expectation


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no Cholesky factor"), ValueError("bad matrix")])
def test_a_filter_that_fails_is_reported(error: Exception) -> None:
    result = run_em(START, failing_after(3, error), hill, [[("halfway", halfway)]], EMOptions(50, 0.0))
    assert not result.converged
    assert "filter failed" in result.status
    assert str(error) in result.status
    assert result.iterations == 2
    assert_allclose(result.params, TARGET + (START - TARGET) / 4)  # the last at which it ran
    assert_allclose(result.llf, hill(result.params))


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no Cholesky factor"), ValueError("bad matrix")])
def test_a_filter_that_fails_between_two_cycles_is_reported(error: Exception) -> None:
    """The second cycle has an E-step of its own."""
    cycles = [[("halfway", halfway)], [("again", halfway)]]
    result = run_em(START, failing_after(3, error), hill, cycles, EMOptions(50, 0.0))
    assert str(error) in result.status
    assert not result.converged
    assert np.all(np.isfinite(result.params))


def test_a_filter_that_fails_at_the_start_is_an_error() -> None:
    error = np.linalg.LinAlgError("no Cholesky factor")
    with pytest.raises(np.linalg.LinAlgError, match="Cholesky"):
        run_em(START, failing_after(0, error), hill, [[("halfway", halfway)]], EMOptions())


def test_a_likelihood_that_is_lost_on_the_way_is_reported() -> None:
    values = iter([1.0, 2.0, np.nan])
    result = run(EMOptions(50, 0.0), loglike=lambda params: next(values, np.nan))
    assert not result.converged
    assert result.llf == 2.0
    assert result.iterations == 1
    assert "fell by nan" not in result.status  # it did not fall: there is none


def test_a_start_without_a_likelihood_runs_no_iteration() -> None:
    result = run(EMOptions(50), loglike=lambda params: np.nan)
    assert not result.converged
    assert result.iterations == 0
    assert_array_equal(result.params, START)


@pytest.mark.filterwarnings("ignore::statespace_ext.exceptions.IdentificationWarning")
def test_the_iteration_calls_the_updates_itself() -> None:
    frames = frames_to_update()
    assert frames[-2:] == ["em/driver.py: run_em", "em/updates.py: LinearGaussianUpdates.obs_cov"]
    assert "fit" in frames[0] and len(frames) <= MOST_FRAMES, frames
