"""The E-step without a loop, against the full smoother."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import dense, random_system
from systems import compare_moments, library_system

from statespace_ext.em import steady_state as module
from statespace_ext.em.steady_state import (
    SmoothedStates,
    SteadyState,
    states_by_limit,
    states_by_path,
    steady_state,
)
from statespace_ext.engine.expectation import expectation
from statespace_ext.engine.smoother import Smoother


def fast(y: np.ndarray, system: dict) -> SteadyState | None:
    c = np.asarray(system["state_intercept"]).T
    names = ("selection", "state_cov", "initial_state", "initial_state_cov")
    return steady_state(
        y - np.asarray(system["obs_intercept"]).T,
        *(system[name] for name in ("design", "obs_cov", "transition")),
        c,
        *(system[name] for name in names),
        *np.empty((2, len(y), 0)),
    )


def compare(y: np.ndarray, system: dict, rtol: float = 1e-10) -> None:
    """Compare every output with statsmodels' smoother, covariances relative to the largest."""
    ours = fast(y, system)
    assert ours is not None
    full = Smoother(y, *system["selection"].shape).smooth(library_system(system))
    assert_allclose(ours.llf, full.llf, rtol=rtol)
    assert_allclose(ours.states.mean.T, full.mean, rtol=rtol, atol=rtol * np.abs(full.mean).max())
    scale = np.abs(full.first_adjoint).max()
    assert_allclose(ours.states.adjoint[0], full.first_adjoint, rtol=rtol, atol=rtol * scale)
    for actual, wanted in (
        (ours.states.cov_sum, full.cov.sum(axis=2)),
        (ours.states.lag_sum, full.lag_cov.sum(axis=2)),
        (ours.states.first_cov, full.cov[:, :, 0]),
        (ours.states.last_cov, full.cov[:, :, -1]),
        (ours.states.first_adjoint_cov, full.first_adjoint_cov),
        (ours.states.adjoint_sums()[0], full.adjoint_cov.sum(axis=2)),
    ):
        assert_allclose(actual, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max(initial=0.0))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("singular", [False, True])
def test_equals_the_smoother(seed: int, initialization: str, lags: int, singular: bool) -> None:
    rng = np.random.default_rng(seed)
    n, k, p = (int(rng.integers(low, high)) for low, high in ((1, 90), (1, 4), (1, 5)))
    y, system = random_system(rng, n, k, p, lags=lags, initialization=initialization)
    if singular:
        system["state_cov"] = np.diag(np.arange(k) == 0).astype(float)
    compare(y, system)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("p", [1, 2, 4])
def test_one_and_two_periods(n: int, p: int) -> None:
    compare(*random_system(np.random.default_rng(p), n, 2, p))


@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("p", [1, 2, 4])
def test_intercepts_that_vary(lags: int, p: int) -> None:
    rng = np.random.default_rng(p)
    y, system = random_system(rng, 70, 2, p, lags=lags)
    system["obs_intercept"] = rng.standard_normal((p, 70))
    system["state_intercept"] = rng.standard_normal((2 * lags, 70))
    compare(y, system)


@pytest.mark.parametrize("root", [0.9, 0.999, 1.0, 1.01])
@pytest.mark.parametrize("noise", [1.0, 1e-4, 0.0])
def test_slow_convergence(root: float, noise: float) -> None:
    """Roots at, near and beyond one; little or no noise in the state."""
    rng = np.random.default_rng(1)
    y, system = random_system(rng, 400, 2, 3)
    system["transition"] = np.array([[root, 0.0], [0.1, 0.7]])
    system["state_cov"] = np.diag([noise, 1.0])
    compare(y, system)


def test_longer_than_one_banded_matrix() -> None:
    """Several chunks of the linear recursions, with a transient that ends within the second."""
    rng = np.random.default_rng(2)
    y, system = random_system(rng, 100, 4, 2)
    y = rng.standard_normal((20_000, 2))
    system["transition"] = np.diag([0.9999, 0.5, 0.2, 0.0])
    system["state_cov"] = np.diag([1e-9, 1.0, 1.0, 1.0])
    system["initial_state_cov"] = np.eye(4)
    compare(y, system)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("lags", [1, 2])
def test_approximate_diffuse_start(p: int, lags: int) -> None:
    """Against the dense posterior: statsmodels' smoother keeps seven digits there."""
    y, system = random_system(np.random.default_rng(p), 80, 2, p, lags=lags)
    system["initial_state_cov"] = 1e6 * np.eye(2 * lags)
    ours, want = fast(y, system), dense(y, system)
    assert ours is not None
    assert_allclose(ours.llf, want.llf, rtol=1e-10)
    assert_allclose(ours.states.mean, want.smoothed_state, atol=1e-9)
    assert_allclose(ours.states.cov_sum, want.smoothed_cov.sum(axis=0), rtol=1e-9, atol=1e-9)
    assert_allclose(ours.states.lag_sum, want.lag_cov.sum(axis=0), rtol=1e-9, atol=1e-9)


def test_collapse_to_the_rank_of_the_design() -> None:
    y, system = random_system(np.random.default_rng(3), 40, 3, 6)
    system["design"][:, 2] = system["design"][:, 0]
    compare(y, system)
    system["design"] = np.zeros((6, 3))
    compare(y, system)


@pytest.mark.parametrize("variance", [0.0, 1e-13])
def test_none_where_obs_cov_is_singular(variance: float) -> None:
    y, system = random_system(np.random.default_rng(4), 30, 2, 2)
    system["obs_cov"] = np.array([[1.0, 1.0], [1.0, 1.0 + variance]])
    assert fast(y, system) is None
    system["design"][:] = 1.0  # the states do not see it: the smoothed covariances keep their digits
    assert fast(y, system) is None


@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-8, 1e-12])
def test_small_noise_is_right_or_none(size: float) -> None:
    """Where one period determines some states nearly exactly, digits are kept or the answer is none."""
    for seed in range(8):
        y, system = random_system(np.random.default_rng(seed), 50, 3, 2)
        system["obs_cov"] = size * system["obs_cov"]
        if fast(y, system) is not None:
            compare(y, system, rtol=max(1e-10, 1e-14 / size))


# -- limits of the covariances, and their paths ----------------------------------------------------------


def both(white: tuple[np.ndarray, ...]) -> tuple[SmoothedStates, SmoothedStates]:
    """Return smoothed states from the limits and from the paths."""
    y, Z, T, c, noise, a1, P1 = white
    return states_by_limit(y, Z, Z, T, c, noise @ noise.T, a1, P1), states_by_path(*white)


def example(
    seed: int, n: int = 500, start: float = 1.0, signal: float = 1.0, unit: float = 8.0
) -> tuple[np.ndarray, ...]:
    """Return y, Z, T, c, noise, a_1, P_1; the first and second state are in other units than the rest."""
    rng = np.random.default_rng(seed)
    k, m = 4, 1 + seed % 4
    T = rng.standard_normal((k, k))
    T *= (0.5, 0.8)[seed % 2] / np.abs(np.linalg.eigvals(T)).max()
    noise = signal * rng.standard_normal((k, 1 + seed % 4))
    Z, root, s = (
        rng.standard_normal((m, k)),
        rng.standard_normal((k, k)),
        np.array([unit, 1.0 / unit, 1.0, 1.0]),
    )
    return (
        rng.standard_normal((n, m)) + 3.0,
        Z / s,
        s[:, None] * T / s,
        rng.standard_normal((n if seed % 3 else 1, k)) * s,
        s[:, None] * noise,
        rng.standard_normal(k) * s,
        start * s[:, None] * (root @ root.T) * s,
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("start", [0.0, 1e-8, 1.0, 1e4])
def test_limits_and_paths_agree(seed: int, start: float) -> None:
    """Two ways to the same sums, at a start far below and far above what the filter settles at."""
    white = example(seed, start=start)
    limit, path = both(white)
    size = np.sqrt(np.diag(path.cov_sum))
    for name in ("cov_sum", "lag_sum", "first_cov", "last_cov"):
        got, want = (getattr(states, name) / size[:, None] / size for states in (limit, path))
        assert_allclose(got, want, atol=1e-11 * max(np.abs(want).max(), 1.0 / len(white[0])), err_msg=name)
    for got, want, scale in (
        (limit.mean, path.mean, 1.0 / size),
        (limit.adjoint, path.adjoint, size),
        (limit.first_adjoint_cov, path.first_adjoint_cov, size[:, None] * size),
        (limit.adjoint_sums()[0], path.adjoint_sums()[0], size[:, None] * size),
        (limit.adjoint_sums()[1], path.adjoint_sums()[1], size[:, None] / size),
    ):
        assert_allclose(got * scale, want * scale, atol=1e-10 * np.abs(want * scale).max())
    assert_allclose(limit.log_det, path.log_det, rtol=1e-11)


def test_limits_are_left_where_they_would_not_do() -> None:
    """A sample too short; a start whose shift, under a strong signal, loses digits; states in odd units."""
    with pytest.raises(np.linalg.LinAlgError, match="within the sample"):
        both(example(0, n=8))
    for other in ({"start": 0.0, "signal": 1e3}, {"unit": 1e3}):
        with pytest.raises(np.linalg.LinAlgError, match="digits"):
            both(example(3, **other))


def test_the_usual_model_takes_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: np.ndarray) -> SmoothedStates:
        raise AssertionError("by the paths")

    y, system = random_system(np.random.default_rng(5), 300, 2, 3)
    monkeypatch.setattr(module, "states_by_path", never)
    compare(y, system)


@pytest.mark.parametrize("periods", [31, 60, 299])
@pytest.mark.parametrize("p", [2, 5])
def test_some_periods_at_a_time(monkeypatch: pytest.MonkeyPatch, periods: int, p: int) -> None:
    """Blocks of any length give what one gives, with regressors and intercepts that vary."""
    rng = np.random.default_rng(p)
    y, system = random_system(rng, 300, 3, p)
    system["obs_intercept"], system["state_intercept"] = (
        rng.standard_normal((p, 300)),
        rng.standard_normal((3, 300)),
    )
    smoother = Smoother(y, 3, 3, rng.standard_normal((300, 2)), rng.standard_normal((300, 1)))
    want = expectation(smoother, library_system(system), "fast")
    monkeypatch.setattr(module, "_PERIODS", periods)
    got = expectation(smoother, library_system(system), "fast")
    compare_moments(got, want)
    compare(y, system)


@pytest.mark.parametrize(("exog", "state_exog"), [(1, 0), (0, 1), (0, 0)])
def test_regressors_of_one_equation_alone(exog: int, state_exog: int) -> None:
    rng = np.random.default_rng(0)
    y, system = random_system(rng, 90, 2, 3)
    smoother = Smoother(y, 2, 2, rng.standard_normal((90, exog)), rng.standard_normal((90, state_exog)))
    at = library_system(system)
    compare_moments(expectation(smoother, at, "fast"), expectation(smoother, at, "statsmodels"))


@pytest.mark.parametrize("root", [0.5, 1.0])
def test_states_without_noise(root: float) -> None:
    y, system = random_system(np.random.default_rng(7), 60, 2, 3)
    system["transition"], system["state_cov"] = np.diag([root, 0.3]), np.zeros((2, 2))
    compare(y, system)


@pytest.mark.parametrize("n", [10, 300])
def test_none_where_state_cov_is_indefinite(n: int) -> None:
    y, system = random_system(np.random.default_rng(7), n, 2, 3)
    system["state_cov"] = np.diag([1.0, -1e-4])
    assert fast(y, system) is None
