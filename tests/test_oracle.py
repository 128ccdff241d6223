"""The oracle against statsmodels' smoother, textbook formulas, and itself where nothing else is right."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_smoother import (
    SMOOTHER_STATE,
    SMOOTHER_STATE_AUTOCOV,
    SMOOTHER_STATE_COV,
    KalmanSmoother,
    SmootherResults,
)

from tests.oracle import (
    Dense,
    ExpectedSums,
    at,
    dense,
    dense_diffuse,
    expected_sums,
    joint,
    random_system,
    richardson_gradient,
    with_lagged_state,
)

OLD_STATSMODELS = tuple(int(part) for part in statsmodels.__version__.split(".")[:2]) < (0, 15)
MOMENTS = SMOOTHER_STATE | SMOOTHER_STATE_COV | SMOOTHER_STATE_AUTOCOV
MATRICES = ("design", "obs_intercept", "obs_cov", "transition", "state_intercept", "selection", "state_cov")
System = dict[str, np.ndarray]

KNOWN_STARTS = {
    "plain": {},
    "missing": {"missing": 0.3},
    "stationary": {"initialization": "stationary"},
    "zero": {"initialization": "zero"},
    "time-varying": {"time_varying": True},
    "time-varying, missing": {"time_varying": True, "missing": 0.3},
    "time-varying, zero": {"time_varying": True, "initialization": "zero"},
    "lags": {"lags": 2},
    "lags, stationary, missing": {"lags": 3, "initialization": "stationary", "missing": 0.3},
    "lags, zero": {"lags": 2, "initialization": "zero"},
    "lags, time-varying": {"lags": 2, "time_varying": True, "missing": 0.2},
    "singular": {"singular": True},
    "singular, missing": {"singular": True, "missing": 0.3, "lags": 2},
    "singular, stationary": {"singular": True, "initialization": "stationary"},
    "singular, zero": {"singular": True, "initialization": "zero"},
}
known_starts = pytest.mark.parametrize("options", KNOWN_STARTS.values(), ids=KNOWN_STARTS.keys())
sizes = pytest.mark.parametrize(("k", "p"), [(1, 1), (2, 3), (3, 2)])


def smooth(y: np.ndarray, system: System, diffuse: np.ndarray | None = None) -> SmootherResults:
    """Run statsmodels' smoother, with an exact diffuse start for the states in a mask."""
    k = len(system["initial_state"])
    ssm = KalmanSmoother(k_endog=y.shape[1], k_states=k, k_posdef=system["state_cov"].shape[0])
    ssm.bind(y.copy())
    for name in MATRICES:
        ssm[name] = system[name]
    ssm.tolerance, ssm.smoother_output = 0, MOMENTS
    if diffuse is None:
        ssm.initialize_known(system["initial_state"], system["initial_state_cov"])
    else:
        infinite = np.diag(diffuse.astype(float))
        start = (system["initial_state"], system["initial_state_cov"], infinite)
        ssm.initialize(Initialization.from_components(k, *start))
    return ssm.smooth()


def close(actual: np.ndarray, desired: np.ndarray, rtol: float = 1e-10) -> None:
    """Compare arrays relative to their largest element (to 1e-4, if all are smaller: true zeros)."""
    assert_allclose(actual, desired, rtol=0, atol=rtol * max(np.abs(desired).max(), 1e-4))


def compare(oracle: Dense, res: SmootherResults, rtol: float = 1e-10) -> None:
    """Compare log-likelihood and smoothed moments of the states that the oracle has."""
    k = oracle.smoothed_state.shape[1]
    close(res.llf_obs.sum(), oracle.llf, rtol)
    close(res.smoothed_state[:k].T, oracle.smoothed_state, rtol)
    close(res.smoothed_state_cov[:k, :k].transpose(2, 0, 1), oracle.smoothed_cov, rtol)


# Proper starts


@sizes
@known_starts
def test_dense_is_the_smoother(options: dict, k: int, p: int) -> None:
    y, system = random_system(np.random.default_rng([k, p]), 12, k, p, **options)
    oracle, res = dense(y, system), smooth(y, system)
    compare(oracle, res)
    close(res.smoothed_state_autocov.transpose(2, 0, 1)[:-1], oracle.lag_cov)


def test_trailing_axis_of_length_one_is_constant() -> None:
    y, system = random_system(np.random.default_rng(0), 10, 2, 2, missing=0.2)
    stored = {name: system[name][..., None] if name in MATRICES else system[name] for name in system}
    assert dense(y, stored).llf == dense(y, system).llf


@known_starts
def test_dense_is_textbook_conditioning(options: dict) -> None:
    k, p, n = 2, 2, 8
    y, system = random_system(np.random.default_rng(1), n, k, p, **options)
    oracle, prior, states = dense(y, system), joint(system, n), n * len(system["initial_state"])
    x, o = np.arange(states), states + np.flatnonzero(~np.isnan(y.ravel()))
    data, cov = y[~np.isnan(y)], prior.cov
    gain = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, x)]).T
    close(oracle.llf, multivariate_normal.logpdf(data, prior.mean[o], cov[np.ix_(o, o)]))
    close(oracle.posterior_mean, prior.mean[x] + gain @ (data - prior.mean[o]))
    close(oracle.posterior_cov, cov[np.ix_(x, x)] - gain @ cov[np.ix_(o, x)])


@pytest.mark.parametrize("mask", [[False, False], [True, True]])
def test_units_do_not_matter(mask: list) -> None:
    y, system = random_system(np.random.default_rng(3), 12, 2, 3, missing=0.2)
    scales = {"design": 1e-7, "obs_intercept": 1e-7, "obs_cov": 1e-14}
    small = system | {name: scale * system[name] for name, scale in scales.items()}
    oracle, rescaled = dense_diffuse(y, system, mask), dense_diffuse(1e-7 * y, small, mask)
    close(rescaled.llf + np.isfinite(y).sum() * np.log(1e-7), oracle.llf)
    close(rescaled.posterior_mean, oracle.posterior_mean)
    close(rescaled.posterior_cov, oracle.posterior_cov)


def test_singular_data_are_refused() -> None:
    y, system = random_system(np.random.default_rng(2), 5, 1, 2)
    with pytest.raises(ValueError, match="singular covariance"):
        dense(y, system | {"obs_cov": np.zeros((2, 2))})


# Expected sums


def fisher_scores(sums: ExpectedSums, system: System, n: int) -> System:
    """Compute the score by Fisher's identity; of the state equation, only the rows with noise."""
    obs, state, start = (np.linalg.inv(system[f"{name}_cov"]) for name in ("obs", "state", "initial_state"))
    shift = sums.initial_mean - system["initial_state"]
    start_yy = sums.initial_cov + np.outer(shift, shift)
    return {
        "design": obs @ sums.obs_yx[:, :-1],
        "obs_intercept": obs @ sums.obs_yx[:, -1],
        "obs_cov": 0.5 * (obs @ sums.obs_yy @ obs - n * obs),
        "transition": state @ sums.state_yx[:, :-1],
        "state_intercept": state @ sums.state_yx[:, -1],
        "state_cov": 0.5 * (state @ sums.state_yy @ state - (n - 1) * state),
        "initial_state": start @ shift,
        "initial_state_cov": 0.5 * (start @ start_yy @ start - start),
    }


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize(("lags", "k"), [(1, 2), (2, 1)])
def test_expected_sums_give_the_score(lags: int, k: int, missing: float) -> None:
    n, p = 8, 3
    y, system = random_system(np.random.default_rng([lags, k]), n, k, p, lags=lags, missing=missing)
    for name, score in fisher_scores(expected_sums(y, system), system, n).items():

        def llf(rows: np.ndarray, name: str = name) -> float:
            matrix = np.concatenate([rows, system[name][len(rows) :]])
            return dense(y, system | {name: matrix}).llf  # the oracle symmetrises a covariance

        close(richardson_gradient(llf, system[name][: len(score)]), score, 1e-9)


@sizes
@known_starts
def test_expected_sums_are_the_smoothers(options: dict, k: int, p: int) -> None:
    """Observed entries, and sums over states, from the smoother's own moments."""
    n = 9
    y, system = random_system(np.random.default_rng([k, p, 5]), n, k, p, **(options | {"missing": 0.0}))
    sums, res = expected_sums(y, system), smooth(y, system)
    state = np.vstack([res.smoothed_state, np.ones(n)])
    second = np.einsum("it,jt->tij", state, state)
    second[:, :-1, :-1] += res.smoothed_state_cov.transpose(2, 0, 1)
    cross = np.einsum("it,jt->tij", state[:-1, 1:], state[:, :-1])
    cross[:, :, :-1] += res.smoothed_state_autocov.transpose(2, 0, 1)[:-1]
    obs_yy, obs_yx, state_yy, state_yx = 0, 0, 0, 0
    for t in range(n):
        m = at(system, t)
        b = np.column_stack([m["design"], m["obs_intercept"]])
        y_state = np.outer(y[t], state[:, t])
        obs_yx = obs_yx + y_state - b @ second[t]
        obs_yy = obs_yy + np.outer(y[t], y[t]) - b @ y_state.T - y_state @ b.T + b @ second[t] @ b.T
        if t < n - 1:
            b = np.column_stack([m["transition"], m["state_intercept"]])
            pinv, to = np.linalg.pinv(m["selection"]), second[t + 1, :-1, :-1]
            state_yx = state_yx + pinv @ (cross[t] - b @ second[t])
            noise = to - b @ cross[t].T - cross[t] @ b.T + b @ second[t] @ b.T
            state_yy = state_yy + pinv @ noise @ pinv.T
    scale = np.abs(second).sum()
    for actual, desired in [
        (sums.obs_yy, obs_yy),
        (sums.obs_yx, obs_yx),
        (sums.obs_xx, second.sum(axis=0)),
        (sums.state_yy, state_yy),
        (sums.state_yx, state_yx),
        (sums.state_xx, second[:-1].sum(axis=0)),
        (sums.initial_mean, res.smoothed_state[:, 0]),
        (sums.initial_cov, res.smoothed_state_cov[:, :, 0]),
    ]:
        assert_allclose(actual, desired, rtol=0, atol=1e-11 * scale)


def test_expected_sums_with_nothing_observed_are_the_priors() -> None:
    n, k, p = 6, 2, 3
    _, system = random_system(np.random.default_rng(4), n, k, p, initialization="stationary")
    sums = expected_sums(np.full((n, p), np.nan), system)
    close(sums.obs_yy, n * system["obs_cov"])
    close(sums.state_yy, (n - 1) * system["state_cov"])
    close(sums.initial_cov, system["initial_state_cov"])
    assert_allclose(sums.obs_yx, 0, atol=1e-12)
    assert_allclose(sums.state_yx, 0, atol=1e-12)


# Diffuse starts

PERIODS = 12


def model(design: list, transition: list, obs_cov: list, state_cov: list) -> System:
    """Build a small model without intercepts, every state with noise, zero initial moments."""
    z, t = np.array(design, dtype=float), np.array(transition, dtype=float)
    p, k = z.shape
    return {
        "design": z,
        "obs_intercept": np.zeros(p),
        "obs_cov": np.array(obs_cov, dtype=float),
        "transition": t,
        "state_intercept": np.zeros(k),
        "selection": np.eye(k),
        "state_cov": np.array(state_cov, dtype=float),
        "initial_state": np.zeros(k),
        "initial_state_cov": np.zeros((k, k)),
    }


def autoregression_and_level() -> System:
    """Two series on a diffuse level and a stationary autoregression, with intercepts."""
    system = model([[1, 1], [0.5, -1]], [[1, 0], [0, 0.7]], [[1, 0.4], [0.4, 0.8]], [[0.3, 0], [0, 1]])
    stationary = np.diag([0, 1 / (1 - 0.7**2)])
    return system | {"obs_intercept": np.array([0.0, 2.0]), "initial_state_cov": stationary}


def random_diffuse(seed: int, k: int, p: int, **options: object) -> System:
    """Draw a model of `random_system`."""
    return random_system(np.random.default_rng(seed), PERIODS, k, p, initialization="diffuse", **options)[1]


def constant_transition(system: System) -> System:
    """Keep the first period's transition."""
    return system | {"transition": system["transition"][..., 0]}


LEVEL = model([[1]], [[1]], [[1.5]], [[0.4]])
TREND = model([[1, 0]], [[1, 1], [0, 1]], [[1.5]], [[0.4, 0], [0, 0.1]])
DIFFUSE = {
    "local level": (LEVEL, [True]),
    "local level without noise": (LEVEL | {"obs_cov": np.zeros((1, 1))}, [True]),
    "constant": (LEVEL | {"state_cov": np.zeros((1, 1))}, [True]),
    "local linear trend": (TREND, [True, True]),
    "trend, slope known": (TREND | {"initial_state_cov": np.diag([0, 2.0])}, [True, False]),
    "two levels": (model(np.eye(2), np.eye(2), [[1, 0.5], [0.5, 2]], [[0.3, 0.2], [0.2, 0.3]]), [True, True]),
    "common level": (model([[1], [2], [0.5]], [[1]], np.eye(3) + 0.3, [[0.4]]), [True]),
    "two levels, one fixed": (
        model(np.eye(2), np.eye(2), [[1, 0.5], [0.5, 2]], [[0, 0], [0, 1]]),
        [True, True],
    ),
    "autoregression and level": (autoregression_and_level(), [True, False]),
    "random": (random_diffuse(0, 2, 2), [True, True]),
    "random, time-varying": (random_diffuse(7, 3, 2, time_varying=True), [True] * 3),
    "random, time-varying but for T": (
        constant_transition(random_diffuse(5, 3, 2, time_varying=True)),
        [True] * 3,
    ),
    "random, lags": (random_diffuse(2, 1, 2, lags=2), [True, True]),
    "random, more states than series": (random_diffuse(3, 3, 2), [True] * 3),
    "random, four series": (random_diffuse(8, 2, 4), [True, True]),
    "random, singular": (random_diffuse(4, 2, 3, singular=True), [True, True]),
}
MISSING = {
    "complete": [],
    "first period": [(0, slice(None))],
    "second and third period": [(slice(1, 3), slice(None))],
    "first entry": [(0, 0)],
    "first entry of two periods": [(0, 0), (1, -1), (7, 0)],
}
diffuse_models = pytest.mark.parametrize("name", DIFFUSE)
missing_patterns = pytest.mark.parametrize("pattern", MISSING)

# Var(y) given the diffuse states, or obs_cov, has no inverse
SINGULAR = {"local level without noise", "random, singular"}
TIME_VARYING = {"random, time-varying", "random, time-varying but for T"}


def diffuse_case(name: str, pattern: str = "complete") -> tuple[np.ndarray, System, np.ndarray]:
    """Sample, model and mask of diffuse states."""
    system, mask = DIFFUSE[name]
    y = 3 + np.random.default_rng(6).standard_normal((PERIODS, system["design"].shape[0])).cumsum(axis=0)
    for where in MISSING[pattern]:
        y[where] = np.nan
    return y, system, np.array(mask)


def compare_diffuse(y: np.ndarray, oracle: Dense, res: SmootherResults) -> None:
    """Compare what statsmodels has right."""
    here = np.isfinite(y[: res.nobs_diffuse]).sum(axis=1)
    if OLD_STATSMODELS and ((here >= 3) & (here < y.shape[1])).any():
        pytest.skip(
            "statsmodels < 0.15: wrong likelihood where a partly missing row of a diffuse period, with a full"
            " obs_cov, has three or more entries"
        )
    if res.transition.shape[-1] > 1 and res.nobs_diffuse > 1:
        close(res.llf_obs.sum(), oracle.llf, 1e-9)
        pytest.skip(
            "statsmodels <= 0.15: its diffuse smoother takes T_t for T_{t-1}; only the likelihood is right"
        )
    compare(oracle, res, 1e-9)


@missing_patterns
@diffuse_models
def test_dense_diffuse_is_the_exact_smoother(name: str, pattern: str) -> None:
    y, system, mask = diffuse_case(name, pattern)
    compare_diffuse(y, dense_diffuse(y, system, mask), smooth(y, system, mask))


@missing_patterns
@diffuse_models
def test_diffuse_lag_cov_is_the_augmented_smoothers(name: str, pattern: str) -> None:
    y, system, mask = diffuse_case(name, pattern)
    k = len(mask)
    oracle = dense_diffuse(y, system, mask)
    augmented = smooth(y, with_lagged_state(system), np.concatenate([mask, np.zeros(k, dtype=bool)]))
    compare_diffuse(y, oracle, augmented)
    close(augmented.smoothed_state_cov[:k, k:, 1:].transpose(2, 0, 1), oracle.lag_cov, 1e-9)


@missing_patterns
@pytest.mark.parametrize("name", sorted(DIFFUSE.keys() - SINGULAR))
def test_dense_diffuse_is_generalised_least_squares(name: str, pattern: str) -> None:
    """With S = Var(y) given the diffuse states inverted, and minus q/2 log 2 pi."""
    y, system, mask = diffuse_case(name, pattern)
    oracle, prior, q = dense_diffuse(y, system, mask), joint(system, len(y), mask), mask.sum()
    x, o = slice(len(y) * len(mask)), len(y) * len(mask) + np.flatnonzero(~np.isnan(y.ravel()))
    s, b, c = prior.cov[np.ix_(o, o)], prior.loading[o], prior.cov[x, o]
    residual, inverse = y[~np.isnan(y)] - prior.mean[o], np.linalg.inv(s)
    information = b.T @ inverse @ b
    delta = np.linalg.solve(information, b.T @ inverse @ residual)
    residual = residual - b @ delta
    log_det = np.linalg.slogdet(s)[1] + np.linalg.slogdet(information)[1]
    reml = -0.5 * ((len(o) - q) * np.log(2 * np.pi) + log_det + residual @ inverse @ residual)
    close(oracle.llf, reml - q / 2 * np.log(2 * np.pi))
    left = prior.loading[x] - c @ inverse @ b
    cov = prior.cov[x, x] - c @ inverse @ c.T + left @ np.linalg.solve(information, left.T)
    close(oracle.posterior_mean, prior.mean[x] + prior.loading[x] @ delta + c @ inverse @ residual)
    close(oracle.posterior_cov, cov)


@pytest.mark.parametrize("name", sorted(DIFFUSE.keys() - SINGULAR - TIME_VARYING))
def test_expected_sums_give_the_diffuse_score(name: str) -> None:
    y, system, mask = diffuse_case(name, "first entry of two periods")
    sums, precision = expected_sums(y, system, mask), np.linalg.inv(system["obs_cov"])

    def llf(obs_cov: np.ndarray) -> float:
        return dense_diffuse(y, system | {"obs_cov": obs_cov}, mask).llf

    score = 0.5 * (precision @ sums.obs_yy @ precision - len(y) * precision)
    close(richardson_gradient(llf, system["obs_cov"]), score, 1e-9)


def test_diffuse_mask_overrides_the_initial_moments() -> None:
    y, system, mask = diffuse_case("autoregression and level")
    other = system | {
        "initial_state": system["initial_state"] + [5.0, 0.0],
        "initial_state_cov": system["initial_state_cov"] + [[3.0, 0.5], [0.5, 0.0]],
    }
    close(dense_diffuse(y, other, mask).llf, dense_diffuse(y, system, mask).llf)


def test_no_diffuse_state_is_a_proper_start() -> None:
    y, system = random_system(np.random.default_rng(7), 8, 2, 2, missing=0.2)
    assert dense_diffuse(y, system, [False, False]).llf == dense(y, system).llf


def test_unidentified_diffuse_state_is_refused() -> None:
    y, system, mask = diffuse_case("local linear trend")
    with pytest.raises(ValueError, match="do not identify"):
        dense_diffuse(y, system | {"transition": np.eye(2)}, mask)


# Tools


@pytest.mark.parametrize("lags", [1, 2, 3])
def test_random_system_is_stable_and_in_companion_form(lags: int) -> None:
    k = 2
    y, system = random_system(np.random.default_rng(8), 20, k, 3, lags=lags, missing=0.3)
    assert y.shape == (20, 3)
    assert np.isnan(y[10]).all()
    assert 0.6 <= np.abs(np.linalg.eigvals(system["transition"])).max() <= 0.9
    assert (system["transition"][k:] == np.eye(k * lags)[: k * (lags - 1)]).all()
    assert (system["selection"] == np.eye(k * lags, k)).all()


def test_random_system_singular_covariances() -> None:
    _, system = random_system(np.random.default_rng(9), 5, 3, 2, singular=True)
    assert np.linalg.matrix_rank(system["obs_cov"]) == 1
    assert np.linalg.matrix_rank(system["state_cov"]) == 2


def test_random_system_refuses() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown initialization"):
        random_system(rng, 5, 1, 1, initialization="none")
    with pytest.raises(ValueError, match="no stationary start"):
        random_system(rng, 5, 1, 1, initialization="stationary", time_varying=True)


def test_richardson_gradient() -> None:
    x = np.array([[0.3, -2.0], [1e-3, 40.0]])

    def f(v: np.ndarray) -> float:
        return np.exp(v[0, 0]) * np.sin(v[0, 1]) + np.log(2 + v[1, 0]) * np.sqrt(v[1, 1])

    expected = [
        [np.exp(0.3) * np.sin(-2), np.exp(0.3) * np.cos(2)],
        [np.sqrt(40) / 2.001, np.log(2.001) / (2 * np.sqrt(40))],
    ]
    assert_allclose(richardson_gradient(f, x), expected, rtol=1e-10)
    jacobian = richardson_gradient(lambda v: np.array([v[0] * v[1], v[1] ** 3]), [2.0, 3.0], step=[0.1, 0.01])
    assert_allclose(jacobian, [[3, 2], [0, 27]], rtol=1e-11, atol=1e-11)
