"""The E-step: every sum against the dense joint posterior, and what must not change it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import ExpectedSums, at, dense, dense_diffuse, expected_sums, random_system, richardson_gradient
from systems import dense_llf, examples, library_system, sampled

from statespace_ext.em.regressions import Moments
from statespace_ext.engine.smoother import Smoother
from statespace_ext.lgssm.model import LGSSM
from statespace_ext.numerics.linear_algebra import rotate_system

SUMS = {
    "observation.ee": ("obs_yy", "obs_yy", "obs_yy"),
    "observation.eb": ("obs_yx", "obs_yy", "obs_xx"),
    "observation.bb": ("obs_xx", "obs_xx", "obs_xx"),
    "state.ee": ("state_yy", "state_yy", "state_yy"),
    "state.eb": ("state_yx", "state_yy", "state_xx"),
    "state.bb": ("state_xx", "state_xx", "state_xx"),
}
"""A sum of the library, the sum of the oracle, and the two sums of squares that set its scale."""


def mask_of(system: dict, diffuse: bool) -> np.ndarray:
    return np.full(len(system["initial_state"]), diffuse)


def moments_of(y: np.ndarray, system: dict, start: str = "known") -> Moments:
    return Smoother(y, *system["selection"].shape).moments(library_system(system, start))


def without_empty_rows(sums: ExpectedSums, y: np.ndarray, system: dict, mask: np.ndarray) -> ExpectedSums:
    """Take rows without any data out of the sums of the observations: they say nothing of Z, d and H."""
    posterior = dense_diffuse(y, system, mask)
    yy, xx = np.array(sums.obs_yy), np.array(sums.obs_xx)
    for t in np.flatnonzero(np.isnan(y).all(axis=1)):
        mean = np.append(posterior.smoothed_state[t], 1.0)
        xx -= np.outer(mean, mean)
        xx[:-1, :-1] -= posterior.smoothed_cov[t]
        yy -= at(system, t)["obs_cov"]
    return dataclasses.replace(sums, obs_yy=yy, obs_xx=xx)


def compare(
    moments: Moments, y: np.ndarray, system: dict, diffuse: bool = False, rtol: float = 1e-10
) -> None:
    """
    Compare every element of every sum, relative to the root of its two sums of squares.

    A residual is a difference of states. Where there is no noise it is zero up to their rounding, so that the
    least size is a millionth of the states'.
    """
    mask = mask_of(system, diffuse)
    want = without_empty_rows(expected_sums(y, system, mask), y, system, mask)
    for name, (target, first, second) in SUMS.items():
        regression, sums = name.split(".")
        actual = getattr(getattr(moments, regression), sums).sum(axis=0)
        least = max(1e-4, 1e-6 * np.max(np.diag(want.state_xx), initial=0.0))
        squares = [np.maximum(np.diag(getattr(want, key)), least) for key in (first, second)]
        error = np.abs(actual - getattr(want, target)) / np.sqrt(np.multiply.outer(*squares))
        assert error.max(initial=0.0) < rtol, f"{name} is {error.max():.2g} off"
    scale = np.sqrt(np.diag(want.initial_cov) + want.initial_mean**2 + 1e-4)
    assert_allclose(moments.initial_mean / scale, want.initial_mean / scale, atol=rtol)
    cov_scale = np.multiply.outer(scale, scale)
    assert_allclose(moments.initial_cov / cov_scale, want.initial_cov / cov_scale, atol=rtol)
    assert moments.observation.n.sum() == (~np.isnan(y)).any(axis=1).sum()
    assert moments.state.n.sum() == len(y) - 1
    llf = dense_diffuse(y, system, mask).llf
    assert_allclose(moments.llf, llf, rtol=rtol, atol=rtol)


shapes = {
    "seed": st.integers(0, 2**32 - 1),
    "n": st.integers(2, 12),
    "k": st.integers(1, 3),
    "p": st.integers(1, 4),
}
some_missing = st.sampled_from([0.0, 0.3, 0.7])


# -- every sum, for any start ----------------------------------------------------------------------------


@examples(60)
@given(
    **shapes,
    lags=st.integers(1, 3),
    missing=some_missing,
    singular=st.booleans(),
    start=st.sampled_from(["known", "stationary", "zero"]),
)
def test_moments_are_the_dense_posteriors(seed, n, k, p, lags, missing, singular, start) -> None:
    rng = np.random.default_rng(seed)
    y, system = random_system(
        rng, n, k, p, lags=lags, missing=missing, singular=singular, initialization=start
    )
    kind = "stationary" if start == "stationary" else "known"
    compare(moments_of(y, system, kind), y, system)


@examples(30)
@given(**shapes, lags=st.integers(1, 2), missing=some_missing, singular=st.booleans())
def test_moments_with_time_varying_matrices(seed, n, k, p, lags, missing, singular) -> None:
    rng = np.random.default_rng(seed)
    y, system = random_system(rng, n, k, p, lags=lags, missing=missing, singular=singular, time_varying=True)
    system["selection"] = np.eye(k * lags, k)
    moments = moments_of(y, system)
    compare(moments, y, system, rtol=1e-8 if singular else 1e-10)  # Var(y_t) may be nearly singular
    assert len(moments.observation.n) == n  # a covariance of its own in each period
    assert len(moments.state.n) == n - 1


@pytest.mark.parametrize(
    "varying", ["design", "obs_intercept", "obs_cov", "transition", "state_intercept", "state_cov"]
)
def test_moments_with_one_time_varying_matrix(varying: str) -> None:
    y, system = random_system(np.random.default_rng(3), 9, 2, 3, missing=0.2, time_varying=True)
    system = {name: value if name == varying else at(system, 0)[name] for name, value in system.items()}
    compare(moments_of(y, system), y, system)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("which", ["obs_cov", "state_cov"])
def test_sums_by_period_where_a_covariance_varies(which: str, missing: float) -> None:
    """The sums of the first m periods are those of the oracle, given all data: so each period's are."""
    n, k, p = 8, 2, 3
    y, system = random_system(np.random.default_rng(4), n, k, p, missing=missing, time_varying=True)
    system = {name: value if name == which else at(system, 0)[name] for name, value in system.items()}
    system["selection"] = np.eye(k)
    moments = moments_of(y, system)
    posterior = dense(y, system)
    periods = moments.observation if which == "obs_cov" else moments.state
    count = periods.n  # one, or zero for a row without data
    assert_allclose(count, np.isfinite(y).any(axis=1) if which == "obs_cov" else np.ones(n - 1))
    second = posterior.smoothed_cov + np.einsum("ti,tj->tij", *[posterior.smoothed_state] * 2)
    want = count[:, None, None] * second[: len(count)]
    assert_allclose(periods.bb[:, :k, :k], want, rtol=1e-10, atol=1e-12)
    want = count[:, None] * posterior.smoothed_state[: len(count)]
    assert_allclose(periods.bb[:, :k, k], want, rtol=1e-10, atol=1e-12)
    if which == "state_cov":
        T, c = system["transition"], system["state_intercept"]
        gap = posterior.smoothed_state[1:] - c - posterior.smoothed_state[:-1] @ T.T
        cross = posterior.lag_cov @ T.T
        noise = posterior.smoothed_cov[1:] - cross - cross.transpose(0, 2, 1)
        noise = noise + T @ posterior.smoothed_cov[:-1] @ T.T + np.einsum("ti,tj->tij", gap, gap)
        assert_allclose(periods.ee, noise, rtol=1e-9, atol=1e-11)


def test_moments_of_an_approximate_diffuse_start() -> None:
    for seed in range(5):
        y, system = random_system(np.random.default_rng(seed), 10, 2, 3, missing=0.2)
        system |= {"initial_state": np.zeros(2), "initial_state_cov": 1e6 * np.eye(2)}
        compare(moments_of(y, system, "approximate_diffuse"), y, system, rtol=1e-6)


ZERO_ROWS = {
    "obs_cov": {"obs_cov": np.diag([0.0, 1.3, 0.6])},
    "obs_cov, full": {"obs_cov": np.array([[0, 0, 0], [0, 1.3, 0.5], [0, 0.5, 0.6]])},
    "obs_cov, all but one": {"obs_cov": np.diag([0.0, 0.9, 0.0])},
    "state_cov": {"state_cov": np.diag([0.7, 0.0])},
    "state_cov, all": {"state_cov": np.zeros((2, 2))},
    "both": {"obs_cov": np.diag([0.0, 1.3, 0.6]), "state_cov": np.diag([0.7, 0.0])},
    "start": {"initial_state_cov": np.diag([0.0, 1.0])},
}


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("change", ZERO_ROWS.values(), ids=ZERO_ROWS)
def test_moments_with_rows_without_noise(change: dict, missing: float) -> None:
    rng = np.random.default_rng(5)
    system = random_system(rng, 9, 2, 3)[1] | change
    y = rng.standard_normal((9, 3))
    y[rng.random(y.shape) < missing] = np.nan
    compare(moments_of(y, system), y, system)


@pytest.mark.parametrize("factor", [[1.0, 1.0, 0.5], [0.1, 0.3, 0.7]])
def test_moments_with_perfectly_correlated_errors_and_missing_values(factor: list) -> None:
    """The observed block of obs_cov is singular where the third series is missing."""
    rng = np.random.default_rng(6)
    system = random_system(rng, 10, 2, 3)[1]
    system["obs_cov"] = np.outer(factor, factor) + np.diag([0.0, 0.0, 0.4])
    y = rng.standard_normal((10, 3))
    y[[1, 4, 5], 2] = np.nan
    y[[2, 5], 1] = np.nan
    compare(moments_of(y, system), y, system)


# -- exact diffuse starts --------------------------------------------------------------------------------


def level(design: list, transition: list, obs_cov: list, state_cov: list) -> dict:
    """A system without intercepts and with a zero start, to be made diffuse."""
    Z, T = np.array(design, float), np.array(transition, float)
    p, k = Z.shape
    return {
        "design": Z,
        "obs_intercept": np.zeros(p),
        "obs_cov": np.array(obs_cov, float),
        "transition": T,
        "state_intercept": np.zeros(k),
        "selection": np.eye(k),
        "state_cov": np.array(state_cov, float),
        "initial_state": np.zeros(k),
        "initial_state_cov": np.zeros((k, k)),
    }


def second_order() -> dict:
    """x_t on two lags: only the newest has noise."""
    return level([[1, 0]], [[1.2, -0.5], [1, 0]], [[0.6]], [[0.8]]) | {"selection": np.array([[1.0], [0.0]])}


DIFFUSE = {
    "local level": level([[1]], [[1]], [[1.5]], [[0.4]]),
    "local level without noise": level([[1]], [[1]], [[0.0]], [[0.4]]),
    "constant": level([[1]], [[1]], [[1.5]], [[0.0]]),
    "local linear trend": level([[1, 0]], [[1, 1], [0, 1]], [[1.5]], [[0.4, 0], [0, 0.1]]),
    "smooth trend": level([[1, 0]], [[1, 1], [0, 1]], [[1.5]], [[0, 0], [0, 0.1]]),
    "two lags": second_order(),
    "two levels, full obs_cov": level(np.eye(2), np.eye(2), [[1, 0.5], [0.5, 2]], [[0.3, 0.2], [0.2, 0.3]]),
    "common level, full obs_cov": level([[1], [2], [0.5]], [[1]], np.eye(3) + 0.3, [[0.4]]),
    "common level, one error zero": level([[1], [2], [0.5]], [[1]], np.diag([0, 1, 0.5]), [[0.4]]),
}
MISSING = {
    "complete": [],
    "first period": [(0, slice(None))],
    "second and third period": [(slice(1, 3), slice(None))],
    "first entry": [(0, 0)],
    "entries": [(0, 0), (1, -1), (7, 0)],
}


def diffuse_case(name: str, pattern: str = "complete") -> tuple[np.ndarray, dict]:
    system = DIFFUSE[name]
    p = len(system["design"])
    y = 3 + np.random.default_rng(6).standard_normal((12, p)).cumsum(axis=0)
    for where in MISSING[pattern]:
        y[where] = np.nan
    return y, system


@pytest.mark.parametrize("pattern", MISSING)
@pytest.mark.parametrize("name", DIFFUSE)
def test_moments_of_a_diffuse_start(name: str, pattern: str) -> None:
    y, system = diffuse_case(name, pattern)
    compare(moments_of(y, system, "diffuse"), y, system, diffuse=True)


@examples(25)
@given(**(shapes | {"n": st.integers(5, 10)}), missing=some_missing, singular=st.booleans())
def test_moments_of_a_random_diffuse_start(seed, n, k, p, missing, singular) -> None:
    k = min(
        k, p
    )  # with more states than series the start may be barely observable, which statsmodels is not up to
    rng = np.random.default_rng(seed)
    y, system = random_system(rng, n, k, p, initialization="diffuse", singular=singular and p > 1)
    holes = rng.random((n, p)) < missing
    holes[:2] = False
    y[holes] = np.nan
    compare(moments_of(y, system, "diffuse"), y, system, diffuse=True, rtol=1e-9)


@pytest.mark.parametrize("name", DIFFUSE)
def test_lag_one_covariances_in_diffuse_periods(name: str) -> None:
    """The trap: statsmodels' `smoothed_state_autocov` is silently zero there."""
    y, system = diffuse_case(name)
    smoother = Smoother(y, *system["selection"].shape)
    smoothed = smoother.smooth(library_system(system, "diffuse"))
    want = dense_diffuse(y, system, mask_of(system, True))
    assert_allclose(smoothed.lag_cov.transpose(2, 0, 1), want.lag_cov, rtol=1e-9, atol=1e-11)
    assert_allclose(smoothed.cov.transpose(2, 0, 1), want.smoothed_cov, rtol=1e-9, atol=1e-11)
    assert_allclose(smoothed.mean.T, want.smoothed_state, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("k", "p"), [(2, 3), (3, 2), (3, 1)])
def test_diffuse_start_with_time_varying_matrices(k: int, p: int) -> None:
    """statsmodels' smoother takes T_t for T_{t-1} in a diffuse period longer than one."""
    y, system = random_system(
        np.random.default_rng([7, k, p]), 9, k, p, time_varying=True, initialization="diffuse"
    )
    system["selection"] = np.eye(k)
    compare(moments_of(y, system, "diffuse"), y, system, diffuse=True, rtol=1e-8)


# -- what must not change it -----------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["known", "stationary"])
def test_a_missing_row_at_the_end_is_no_information(start: str) -> None:
    y, system = random_system(np.random.default_rng(9), 10, 2, 3, missing=0.2, initialization=start)
    short = moments_of(y, system, start)
    longer = moments_of(np.vstack([y, np.full((2, 3), np.nan)]), system, start)
    assert_allclose(longer.llf, short.llf, rtol=1e-13)
    assert_allclose(longer.initial_mean, short.initial_mean, rtol=1e-12)
    assert_allclose(longer.initial_cov, short.initial_cov, rtol=1e-12)
    assert_allclose(longer.observation.ee, short.observation.ee, rtol=1e-10)
    assert_allclose(longer.observation.bb, short.observation.bb, rtol=1e-10)
    assert longer.observation.n == short.observation.n
    assert_allclose(longer.observation.eb, short.observation.eb, rtol=1e-11, atol=1e-12)
    assert_allclose(longer.state.ee[0], short.state.ee[0] + 2 * system["state_cov"], rtol=1e-12)
    assert_allclose(longer.state.eb, short.state.eb, rtol=1e-11, atol=1e-12)


def test_a_leading_missing_row_moves_the_start_back() -> None:
    """x_0 at t = 0, as other packages have it."""
    y, system = random_system(np.random.default_rng(10), 10, 2, 3, missing=0.2)
    T, c, W = system["transition"], system["state_intercept"], system["state_cov"]
    mean, cov = system["initial_state"], system["initial_state_cov"]
    moved = system | {"initial_state": T @ mean + c, "initial_state_cov": T @ cov @ T.T + W}
    with_row = moments_of(np.vstack([np.full(3, np.nan), y]), system)
    without = moments_of(y, moved)
    assert_allclose(with_row.llf, without.llf, rtol=1e-12)
    assert_allclose(with_row.observation.ee, without.observation.ee, rtol=1e-10)
    assert_allclose(with_row.observation.eb, without.observation.eb, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("lags", [1, 2])
def test_a_rotation_of_the_states_changes_nothing_seen(lags: int, missing: float) -> None:
    k, p = 2, 3
    rng = np.random.default_rng(11)
    y, system = random_system(rng, 12, k, p, lags=lags, missing=missing, initialization="stationary")
    G = rng.standard_normal((k, k)) + 2 * np.eye(k)
    blocks = {
        "design": system["design"][:, :k],
        "transition": system["transition"][:k],
        "state_intercept": system["state_intercept"][:k],
        "state_cov": system["state_cov"],
    }
    turned = rotate_system(blocks, G, lags)
    wide = np.kron(np.eye(lags), G)
    rotated = system | {
        "design": system["design"] @ wide,
        "transition": np.linalg.solve(wide, system["transition"] @ wide),
        "state_intercept": np.linalg.solve(wide, system["state_intercept"]),
        "state_cov": turned["state_cov"],
        "initial_state": np.linalg.solve(wide, system["initial_state"]),
        "initial_state_cov": np.linalg.solve(wide, np.linalg.solve(wide, system["initial_state_cov"]).T),
    }
    assert_allclose(rotated["transition"][:k], turned["transition"], atol=1e-12)
    assert_allclose(rotated["design"][:, :k], turned["design"], atol=1e-12)
    before, after = moments_of(y, system, "stationary"), moments_of(y, rotated, "stationary")
    assert_allclose(after.llf, before.llf, rtol=1e-12)
    assert_allclose(after.observation.ee, before.observation.ee, rtol=1e-10)
    assert_allclose(after.observation.eb[0, :, -1], before.observation.eb[0, :, -1], rtol=1e-9, atol=1e-11)
    inverse = np.linalg.inv(G)
    assert_allclose(after.state.ee[0], inverse @ before.state.ee[0] @ inverse.T, rtol=1e-9, atol=1e-11)
    assert_allclose(wide @ after.initial_mean, before.initial_mean, rtol=1e-9, atol=1e-11)


def test_a_high_level_costs_no_digits() -> None:
    """States near 1e4 with innovations of 1e-5: the sums are those of the states near zero."""
    rng = np.random.default_rng(12)
    small = level(np.eye(2), np.eye(2), 1e-10 * np.eye(2), 1e-10 * np.eye(2))
    small["initial_state_cov"] = 1e-10 * np.eye(2)
    y = 1e-5 * rng.standard_normal((50, 2)).cumsum(axis=0)
    high = small | {"initial_state": np.full(2, 1e4)}
    near, far = moments_of(y, small), moments_of(y + 1e4, high)
    for name in ("observation", "state"):
        assert_allclose(
            getattr(far, name).ee, getattr(near, name).ee, rtol=1e-5, atol=1e-6 * near.state.ee.max()
        )
    assert_allclose(far.llf, near.llf, rtol=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("varying", [False, True])
def test_regressors_enter_both_equations(missing: float, varying: bool) -> None:
    """They are the oracle's states without noise, which a state intercept moves from row to row."""
    n, k, p = 9, 2, 3
    rng = np.random.default_rng(13)
    y, system = random_system(rng, n, k, p, missing=missing, time_varying=varying)
    if varying:
        system["selection"] = system["selection"][..., 0]
    for name, regressors in (("exog", 2), ("state_exog", 1)):
        x = rng.standard_normal((n, regressors))
        moments = Smoother(y, k, k, **{name: x}).moments(library_system(system))
        kind = "observation" if name == "exog" else "state"
        found, other = getattr(moments, kind), {"observation": "state", "state": "observation"}[kind]
        assert getattr(moments, other).bb.shape[1] == k + 1
        wide = with_regressor_states(system, x)
        want = without_empty_rows(expected_sums(y, wide), y, wide, mask_of(wide, False))
        order = [*range(k), k + regressors, *range(k, k + regressors)]  # (x, exog, 1) to (x, 1, exog)
        prefix = "obs" if name == "exog" else "state"
        assert_allclose(found.eb.sum(axis=0), getattr(want, f"{prefix}_yx")[:, order], rtol=1e-9, atol=1e-10)
        assert_allclose(
            found.bb.sum(axis=0), getattr(want, f"{prefix}_xx")[np.ix_(order, order)], rtol=1e-9, atol=1e-10
        )


def with_regressor_states(system: dict, x: np.ndarray) -> dict:
    """The system with the rows of x as further states, known and without effect."""
    n, r = x.shape
    m = [at(system, t) for t in range(n)]
    k = len(system["initial_state"])

    def stacked(name: str, pad: tuple) -> np.ndarray:
        return np.stack([np.pad(step[name], pad) for step in m], axis=-1)

    out = {
        "design": stacked("design", ((0, 0), (0, r))),
        "obs_intercept": stacked("obs_intercept", ((0, 0),)),
        "obs_cov": stacked("obs_cov", ((0, 0), (0, 0))),
        "transition": stacked("transition", ((0, r), (0, r))),
        "state_intercept": stacked("state_intercept", ((0, r),)),
        "selection": np.pad(system["selection"], ((0, r), (0, 0))),
        "state_cov": stacked("state_cov", ((0, 0), (0, 0))),
        "initial_state": np.concatenate([system["initial_state"], x[0]]),
        "initial_state_cov": np.pad(system["initial_state_cov"], ((0, r), (0, r))),
    }
    out["state_intercept"][k:, :-1] = x[1:].T
    return out


@pytest.mark.parametrize("start", ["known", "diffuse"])
def test_a_call_changes_nothing_that_exists(start: str) -> None:
    rng = np.random.default_rng(14)
    y, system = random_system(rng, 10, 2, 3, initialization=start)
    other = random_system(rng, 10, 2, 3)[1]
    given_y = y.copy()
    smoother = Smoother(y, 2, 2)
    first, second = library_system(system, start), library_system(other)
    moments = smoother.moments(first)
    kept = [moments.observation.ee.copy(), moments.state.eb.copy(), moments.initial_mean.copy(), moments.llf]
    score = moments.initial_score.copy()
    smoother.moments(second)
    smoother.loglike(second)
    assert_array_equal(y, given_y)
    assert_array_equal(moments.observation.ee, kept[0])
    assert_array_equal(moments.state.eb, kept[1])
    assert_array_equal(moments.initial_mean, kept[2])
    assert_array_equal(moments.initial_score, score)
    again = smoother.moments(first)
    assert_allclose([again.llf, smoother.loglike(first)], kept[3], rtol=1e-13)
    assert_allclose(again.observation.ee, kept[0], rtol=1e-12, atol=1e-12)


def test_loglike_is_that_of_the_smoother() -> None:
    for seed in range(10):
        y, system = random_system(np.random.default_rng(seed), 40, 2, 3, missing=0.3)
        smoother = Smoother(y, 2, 2)
        llf = smoother.loglike(library_system(system))
        assert_allclose(llf, smoother.moments(library_system(system)).llf, rtol=1e-13)
        assert_allclose(llf, dense(y, system).llf, rtol=1e-12)


def test_steady_state_is_not_assumed() -> None:
    """A long sample: covariances are carried on to the end, not frozen once they have nearly converged."""
    y, system = random_system(np.random.default_rng(15), 120, 1, 2)
    system["state_cov"] = np.array([[1e-4]])
    compare(moments_of(y, system), y, system)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_results_do_not_depend_on_the_units_of_the_data(scale: float) -> None:
    """Statsmodels stops updating covariances by an absolute criterion: early, for returns in decimals."""
    model, params = sampled(np.random.default_rng(83), 80, 2, 1, missing=0.2, design=[[1], [np.nan]])
    want = dense_llf(model, params) - np.isfinite(model.endog).sum() * np.log(scale)
    power = {"obs_var": 2, "state_v": 2, "obs_int": 1}
    scaled = np.array([scale ** power.get(name[:7], 0) for name in model.param_names]) * params
    small = LGSSM(scale * model.endog, 1, design=[[1], [np.nan]])
    for llf in (small.loglike(scaled), small.smooth(scaled).llf, small.filter(scaled).llf):
        assert_allclose(llf, want, rtol=1e-10)
    smoothed = model.smooth(params).smoothed_state
    assert_allclose(small.smooth(scaled).smoothed_state, scale * smoothed, rtol=1e-8, atol=1e-9 * scale)


def test_the_initial_score_is_a_derivative() -> None:
    y, system = random_system(np.random.default_rng(16), 10, 2, 3, missing=0.2)
    smoother, given = Smoother(y, 2, 2), library_system(system)

    def llf(mean: np.ndarray) -> float:
        return smoother.loglike(replace(given, initial_state=mean))

    def gradient(mean: np.ndarray) -> np.ndarray:
        return smoother.moments(replace(given, initial_state=mean)).initial_score

    moments = smoother.moments(given)
    mean = system["initial_state"]
    assert_allclose(moments.initial_score, richardson_gradient(llf, mean), rtol=1e-7)
    assert_allclose(-moments.initial_information, richardson_gradient(gradient, mean), rtol=1e-7)
