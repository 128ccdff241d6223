"""
The exact score, by system matrix and by parameter, against differences of the log-likelihood.

The score without a loop over time, against the one from a pass of statsmodels' smoother.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose
from oracle import dense, random_system, richardson_gradient
from precise import precise_score
from systems import by_turns, dense_llf, draw_params, examples, library_system, sampled

from statespace_ext.engine import system_score as module
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.system import MATRICES, System, with_stationary_start
from statespace_ext.engine.system_score import ALL, SystemScore, settled_score, steady_score, system_score
from statespace_ext.exceptions import UnsupportedError
from statespace_ext.lgssm.model import LGSSM

NAN = np.nan
COVARIANCES = ("obs_cov", "state_cov")


# -- by system matrix ------------------------------------------------------------------------------------


def restarted(system: System) -> System:
    """The system with the stationary start that belongs to its matrices."""
    return with_stationary_start(system) if system.initialization_type == "stationary" else system


def difference(smoother: Smoother, system: System, name: str) -> np.ndarray:
    """Derivatives of the log-likelihood by the elements of a matrix, a covariance being kept symmetric."""

    def llf(value: np.ndarray) -> float:
        if name.endswith("_cov"):
            value = 0.5 * (value + np.swapaxes(value, 0, 1))
        return smoother.loglike(restarted(replace(system, **{name: value})))

    return richardson_gradient(llf, getattr(system, name))


def compare_by_matrix(y: np.ndarray, system: System, score: SystemScore, names: tuple = MATRICES) -> None:
    smoother = Smoother(y, *np.shape(system.selection)[:2])
    for name in names:
        found = score.by_matrix[name]
        if name.endswith("intercept") and getattr(system, name).ndim == 1:
            found = found.sum(axis=1) + (score.start_intercept if name == "state_intercept" else 0.0)
        want = difference(smoother, system, name)
        assert_allclose(found, want, rtol=0, atol=1e-7 * max(np.abs(want).max(), 1e-3), err_msg=name)


@by_turns(
    "start, lags, missing, singular", ["known", "stationary", "zero"], [1, 2], [0.0, 0.4], [False, True]
)
def test_score_by_matrix(start: str, lags: int, missing: float, singular: bool) -> None:
    rng = np.random.default_rng([lags, singular])
    y, given = random_system(
        rng, 8, 2, 3, lags=lags, missing=missing, initialization=start, singular=singular
    )
    system = library_system(given, "stationary" if start == "stationary" else "known")
    score = system_score(Smoother(y, 2 * lags, 2), system)
    assert_allclose(score.llf, dense(y, given).llf, rtol=1e-11)
    compare_by_matrix(y, system, score)
    if start == "known":
        smoother = Smoother(y, 2 * lags, 2)
        for name in ("initial_state", "initial_state_cov"):
            want = difference(smoother, system, name)
            assert_allclose(getattr(score, name), want, rtol=0, atol=1e-7 * np.abs(want).max())


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_score_by_matrix_and_period(missing: float) -> None:
    y, given = random_system(np.random.default_rng(1), 6, 2, 2, missing=missing, time_varying=True)
    system = library_system(given)
    compare_by_matrix(y, system, system_score(Smoother(y, 2, 2), system))


def test_score_by_singular_matrices() -> None:
    """No inverse of a covariance is taken: H, Q and P_1 may be zero."""
    rng = np.random.default_rng(2)
    y, given = random_system(rng, 8, 2, 2, missing=0.2)
    for change in (
        {"obs_cov": np.zeros((2, 2))},
        {"state_cov": np.diag([0.5, 0])},
        {"initial_state_cov": np.zeros((2, 2))},
    ):
        system = library_system(given | change)
        score = system_score(Smoother(y, 2, 2), system)
        names = ("design", "obs_intercept", "transition", "state_intercept")
        compare_by_matrix(y, system, score, names)


def test_score_by_a_covariance_at_its_boundary() -> None:
    """A zero variance has a derivative from above."""
    y, given = random_system(np.random.default_rng(3), 8, 2, 2)
    system = library_system(given | {"obs_cov": np.diag([0.0, 0.7])})
    score = system_score(Smoother(y, 2, 2), system)
    smoother = Smoother(y, 2, 2)

    def llf(h: float) -> float:
        return smoother.loglike(replace(system, obs_cov=np.diag([h, 0.7])))

    steps = 1e-4 / 2.0 ** np.arange(6)
    table = [(llf(h) - llf(0.0)) / h for h in steps]
    for order in range(1, 6):
        table = [
            fine + (fine - coarse) / (2**order - 1) for coarse, fine in zip(table, table[1:], strict=False)
        ]
    assert_allclose(score.by_matrix["obs_cov"][0, 0], table[0], rtol=1e-5)


@pytest.mark.parametrize("missing", [(), (0, 1), (1, 2)])
@pytest.mark.parametrize("k", [1, 2])
def test_score_of_a_diffuse_start_by_matrix(k: int, missing: tuple) -> None:
    y, given = random_system(np.random.default_rng([4, k]), 8, k, 2, initialization="diffuse")
    y[list(missing)] = np.nan
    y[5, 0] = np.nan
    given["obs_cov"] = np.diag([0.8, 1.1])
    system = library_system(given, "diffuse")
    smoother = Smoother(y, k, k)
    score = system_score(smoother, system)
    for name in set(MATRICES) - {"selection"}:
        found = score.by_matrix[name]
        found = found.sum(axis=1) if name.endswith("intercept") else found
        want = difference(smoother, system, name)
        assert_allclose(found, want, rtol=0, atol=1e-7 * np.abs(want).max(), err_msg=name)


FEW_STARTS = {(1, 0.0, 1e4), (1, 0.3, 1e8), (2, 0.0, 1e8), (2, 0.3, 1e6)}


@pytest.mark.parametrize(
    ("k", "missing", "variance"),
    [
        pytest.param(*case, marks=() if case in FEW_STARTS else pytest.mark.slow)
        for case in product((1, 2), (0.0, 0.3), (1e4, 1e6, 1e8))
    ],
)
def test_score_of_a_start_of_large_variance(k: int, missing: float, variance: float) -> None:
    """The digits that the filter keeps are kept: an approximate-diffuse start, more series than states."""
    y, given = random_system(np.random.default_rng([5, k]), 8, k, 3, missing=missing)
    given["initial_state_cov"] = variance * np.eye(k)
    system, known = library_system(given), np.zeros(k, dtype=bool)
    score = system_score(Smoother(y, k, k), system)
    for name in set(MATRICES) - {"selection"}:
        found = score.by_matrix[name]
        found = found.sum(axis=1) if name.endswith("intercept") else found
        variances = name in COVARIANCES
        places = [place for place in np.ndindex(found.shape) if not variances or len(set(place)) == 1]
        want = [precise_score(y, given, known, name, place) for place in places]
        ours = [found[place] for place in places]
        assert_allclose(ours, want, rtol=0, atol=1e-15 * variance * np.abs(want).max() + 1e-9, err_msg=name)


# -- by parameter ----------------------------------------------------------------------------------------

rng = np.random.default_rng(20)
N = 9
X, U = rng.standard_normal((N, 2)), rng.standard_normal((N, 1))
DESIGN = np.array([[1.0, 0.0], [0.5, 1.0], [-0.3, 0.7]])
SHARED = {
    "design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]],
    "transition": [["g", "h"], [0, "g - h"]],
    "obs_cov": [["v", 0, 0], [0, "v", 0], [0, 0, "w"]],
}
TWO_DIFFUSE = {"design": DESIGN, "initialization": "diffuse"}

SPECIFICATIONS: dict[str, dict] = {
    "stationary": {},
    "stationary, intercepts": {"state_intercept": "free"},
    "stationary, mean": {"state_mean": "free", "obs_intercept": "zero"},
    "stationary, fixed mean": {"state_mean": [1.0, -2.0]},
    "stationary, fixed intercept": {"state_intercept": [0.5, 1.0]},
    "stationary, both": {"state_mean": "free", "state_intercept": [0.3, NAN]},
    "stationary, two lags": {"lags": 2, "state_mean": "free"},
    "stationary, three lags": {
        "lags": 3, "state_intercept": "free", "transition": ["diagonal", "zero", "free"],
    },
    "stationary, regressors": {"exog": X, "state_exog": U, "state_mean": "free"},
    "stationary, two lags, regressors": {"lags": 2, "exog": X, "state_exog": U, "state_intercept": "free"},
    "known": {
        "initialization": "known", "initial_state": [0.5, 0], "initial_state_cov": [[1, 0.2], [0.2, 0.5]],
    },
    "known, no variance": {
        "initialization": "known", "initial_state": [0.5, 0], "initial_state_cov": "zero",
        "state_mean": "free",
    },
    "estimated": {"initialization": "estimated"},
    "estimated, two lags": {"initialization": "estimated", "lags": 2, "state_intercept": "free"},
    "estimated with variance": {"initialization": "estimated", "initial_state_cov": "free"},
    "estimated, variance only": {
        "initialization": "estimated", "initial_state": "zero", "initial_state_cov": "diagonal",
    },
    "estimated, strings": {"initialization": "estimated", "initial_state": ["m", "2*m + 1"]},
    "diffuse": TWO_DIFFUSE,
    "diffuse, intercept": TWO_DIFFUSE | {"state_intercept": "free", "obs_intercept": "zero"},
    "diffuse, regressors": TWO_DIFFUSE | {"exog": X, "state_exog": U},
    "diffuse, level": {
        "k_factors": 1, "design": [[1], [1], [1]], "transition": "identity", "initialization": "diffuse",
    },
    "diffuse, trend": {
        "design": [[1, 0], [1, 0], [0, 0]], "transition": [[1, 1], [0, 1]], "state_cov": "diagonal",
        "initialization": "diffuse",
    },
    "diffuse, strings": TWO_DIFFUSE | {"transition": [["g", 0], ["1 - g", "g"]], "state_mean": "zero"},
    "full obs_cov": {"obs_cov": "unstructured"},
    "equicorrelated": {"obs_cov": "equicorrelated"},
    "scalar": {"obs_cov": "scalar", "state_cov": "scalar"},
    "zero pattern": {"obs_cov": [[NAN, 0, NAN], [0, NAN, 0], [NAN, 0, NAN]]},
    "fixed variance": {"obs_cov": [[1.0, NAN, 0], [NAN, NAN, 0], [0, 0, 0.5]]},
    "zero row": {"obs_cov": np.diag([0.0, NAN, NAN])},
    "no noise": {"obs_cov": "zero", "k_factors": 3},
    "no state noise in a row": {"state_cov": np.diag([NAN, 0.0])},
    "strings": SHARED,
    "strings, two lags": SHARED | {"transition": [[["g", 0], [0, "g"]], [["h", 0], [0, "g - h"]]], "lags": 2},
    "shared by two equations": {
        "obs_cov": [["v", 0, 0], [0, "2*v", 0], [0, 0, 1]], "state_cov": [["v", 0], [0, "v + w"]],
    },
    "shared by design and transition": {
        "design": [["a", 0], [0, 1], [1, 1]], "transition": [["a", 0], [0, 0.5]], "state_cov": "diagonal",
    },
    "varying design": {"design": rng.standard_normal((3, 2, N)), "initialization": "estimated"},
    "varying covariances": {
        "obs_cov": np.stack([np.diag([1 + 0.1 * t, 1, 2]) for t in range(N)], axis=-1),
        "state_cov": np.stack([np.diag([1, 0.5 + 0.1 * t]) for t in range(N)], axis=-1),
        "initialization": "estimated",
    },
    "varying intercepts": {
        "obs_intercept": rng.standard_normal((3, N)), "state_intercept": rng.standard_normal((2, N)),
        "initialization": "estimated", "state_mean": "free",
    },
    "varying transition": {
        "transition": np.stack([[[NAN, 0.1 * t / N], [0, 0.5]] for t in range(N)], axis=-1),
        "initialization": "estimated", "state_mean": "free", "obs_intercept": "zero",
    },
    "nothing but variances": {"design": DESIGN, "transition": np.diag([0.5, 0.2]), "obs_intercept": "zero"},
}  # fmt: skip


def compare_score(model: LGSSM, params: np.ndarray, rtol: float = 1e-7) -> None:
    want = richardson_gradient(model.loglike, params)
    llf, found = model.loglike_and_score(params)
    assert_allclose(found, want, rtol=0, atol=rtol * np.abs(want).max())
    assert_allclose(llf, model.loglike(params), rtol=1e-12)
    assert_allclose(model.score(params), found, rtol=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_score_by_parameter(name: str, missing: float) -> None:
    spec = {"k_factors": 2} | SPECIFICATIONS[name]
    k = spec.pop("k_factors")
    model, params = sampled(np.random.default_rng(21), N, 3, k, missing=missing, **spec)
    assert_allclose(model.loglike(params), dense_llf(model, params), rtol=1e-11)
    compare_score(model, params)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("spec", [{}, {"exog": X, "state_exog": U}], ids=["plain", "regressors"])
def test_score_of_an_approximate_diffuse_start(spec: dict, missing: float) -> None:
    """Against differences of the oracle: at a variance of 1e6 the filter's own have few digits."""
    spec = {"initialization": "approximate_diffuse", **spec}
    model, params = sampled(np.random.default_rng(21), N, 3, 2, missing=missing, **spec)
    assert_allclose(model.loglike(params), dense_llf(model, params), rtol=1e-8)
    want = richardson_gradient(lambda at: dense_llf(model, at), params)
    assert_allclose(model.score(params), want, rtol=0, atol=1e-5 * np.abs(want).max())


@examples(15)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 12),
    k=st.integers(1, 3),
    p=st.integers(1, 4),
    lags=st.integers(1, 3),
    missing=st.sampled_from([0.0, 0.3, 0.7]),
    start=st.sampled_from(["stationary", "estimated"]),
    obs_cov=st.sampled_from(["diagonal", "unstructured", "scalar", "equicorrelated"]),
    mean=st.sampled_from([{}, {"state_mean": "free"}, {"state_intercept": "free"}]),
)
def test_score_of_random_models(seed, n, k, p, lags, missing, start, obs_cov, mean) -> None:
    spec = {"lags": lags, "initialization": start, "obs_cov": obs_cov, **mean}
    compare_score(*sampled(np.random.default_rng(seed), n, p, k, missing=missing, **spec), rtol=1e-6)


def test_score_with_fixed_parameters_is_that_of_the_others() -> None:
    model, params = sampled(np.random.default_rng(22), N, 3, 2, missing=0.2, state_mean="free")
    whole = model.score(params)
    held = {name: params[i] for i, name in enumerate(model.param_names) if i in (0, 3, 8)}
    kept = [i for i, name in enumerate(model.param_names) if name not in held]
    with model.fix_params(held):
        assert_allclose(model.score(params[kept]), whole[kept], rtol=1e-13)
        assert_allclose(model.score(params, includes_fixed=True), whole, rtol=1e-13)


def test_score_in_a_singular_diffuse_period_is_refused_or_right() -> None:
    """Fisher's identity, used there, needs the inverse of obs_cov."""
    spec = TWO_DIFFUSE | {"obs_cov": np.diag([0.0, NAN, NAN])}
    model, params = sampled(np.random.default_rng(23), N, 3, 2, **spec)
    try:
        compare_score(model, params)
    except UnsupportedError as error:
        assert "obs_cov" in str(error)


def test_score_away_from_the_data_generating_parameters() -> None:
    model, _ = sampled(np.random.default_rng(24), 30, 3, 2, missing=0.2, lags=2)
    for seed in range(3):
        compare_score(model, draw_params(np.random.default_rng(seed), model))


NAMES = ("llf", "initial_state", "initial_state_cov", "start_intercept")


def both(smoother: Smoother, system: System) -> tuple[SystemScore, SystemScore]:
    """Return the score by the fast way and by the other."""
    steady = steady_score(smoother, system, ALL)
    assert steady is not None
    return steady, module._one_pass(smoother, system, ALL)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("singular", [False, True])
def test_equals_the_smoothers(seed: int, initialization: str, lags: int, singular: bool) -> None:
    rng = np.random.default_rng(seed)
    n, k, p = (int(rng.integers(low, high)) for low, high in ((2, 200), (1, 4), (1, 6)))
    y, system = random_system(rng, n, k, p, lags=lags, initialization=initialization)
    system["obs_intercept"], system["state_intercept"] = (
        rng.standard_normal((size, n)) for size in (p, k * lags)
    )
    if singular:
        system["state_cov"] = np.diag(np.arange(k) == 0).astype(float)
    start = "stationary" if initialization == "stationary" else "known"
    fast, slow = both(Smoother(y, k * lags, k), library_system(system, start))
    for name in ALL:
        wanted = slow.by_matrix[name]
        assert_allclose(fast.by_matrix[name], wanted, atol=1e-10 * np.abs(wanted).max(), err_msg=name)
    for name in NAMES:
        wanted = getattr(slow, name)
        assert_allclose(getattr(fast, name), wanted, atol=1e-10 * np.abs(wanted).max(), err_msg=name)


def test_only_what_is_needed() -> None:
    y, system = random_system(np.random.default_rng(0), 30, 2, 3)
    smoother, at = Smoother(y, 2, 2), library_system(system)
    for needed in (frozenset({"state_cov"}), frozenset({"design", "selection"}), frozenset[str]()):
        found = steady_score(smoother, at, needed)
        assert found is not None
        assert found.by_matrix.keys() == needed


def test_long_samples_take_it() -> None:
    for n, wanted in ((100, False), (400, True)):
        y, system = random_system(np.random.default_rng(3), n, 2, 3)
        smoother, at = Smoother(y, 2, 2), library_system(system)
        fast, slow = both(smoother, at)
        chosen = (fast if wanted else slow).by_matrix["transition"]
        np.testing.assert_array_equal(system_score(smoother, at).by_matrix["transition"], chosen)


@pytest.mark.parametrize("exponent", range(0, 13, 2))
def test_small_noise_is_right_or_left_to_the_smoother(exponent: int) -> None:
    """Where the differences y - Z x are small beside y, the fast way stands back before it loses digits."""
    y, system = random_system(np.random.default_rng(1), 60, 2, 3)
    system["obs_cov"] = 10.0**-exponent * system["obs_cov"]
    smoother, at = Smoother(y, 2, 2), library_system(system)
    steady, wanted = steady_score(smoother, at, ALL), module._one_pass(smoother, at, ALL)
    assert (steady is not None) == (exponent <= 2) or exponent == 4
    found = wanted if steady is None else steady
    for name in ALL:
        size = np.abs(wanted.by_matrix[name]).max()
        assert_allclose(found.by_matrix[name], wanted.by_matrix[name], atol=1e-8 * size, err_msg=name)


def test_stands_back() -> None:
    y, system = random_system(np.random.default_rng(2), 30, 2, 3)
    at = library_system(system)
    holes = np.array(y)
    holes[3, 1] = np.nan
    varying = replace(at, transition=np.repeat(at.transition[:, :, None], 30, axis=2))
    by_period = replace(at, obs_cov=np.repeat(at.obs_cov[:, :, None], 30, axis=2))
    singular = replace(at, obs_cov=np.diag([1.0, 1.0, 0.0]))
    for data, trial in (
        (holes, at),
        (y, varying),
        (y, by_period),
        (y, singular),
        (y, replace(at, initialization_type="diffuse")),
    ):
        assert steady_score(Smoother(data, 2, 2), trial, ALL) is None


@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize(
    ("initialization", "exponent"),
    [*product(["known", "stationary", "zero"], [0, 4, 8, 12]), ("known", np.inf), ("stationary", np.inf)],
)
def test_settled_score_equals_that_of_a_pass_for_any_noise(
    initialization: str, exponent: float, lags: int
) -> None:
    y, system = random_system(np.random.default_rng(1), 80, 2, 3, lags=lags, initialization=initialization)
    small = np.diag([10.0**-exponent, 10.0**-exponent, 1.0]) ** 0.5
    system["obs_cov"] = small @ system["obs_cov"] @ small
    at = library_system(system, "stationary" if initialization == "stationary" else "known")
    smoother = Smoother(y, 2 * lags, 2)
    found, wanted = settled_score(smoother, at, ALL), module._one_pass(smoother, at, ALL)
    assert found is not None
    assert_allclose(found.llf, wanted.llf, rtol=1e-12)
    pairs = [(found.by_matrix[name], wanted.by_matrix[name]) for name in ALL]
    starts = ("initial_state", "initial_state_cov", "start_intercept")
    pairs += [(getattr(found, name), getattr(wanted, name)) for name in starts]
    for one, other in pairs:
        assert_allclose(one, other, atol=1e-9 * np.abs(other).max())


@pytest.mark.parametrize("variance", 10.0 ** np.arange(-4, 13, 2))
def test_settled_score_is_right_or_left_to_the_pass(variance: float) -> None:
    """With a wide first state and little noise, F_1 is nearly singular. The truth has 50 digits."""
    y, system = random_system(np.random.default_rng(3), 12, 1, 3)
    system["obs_cov"], system["initial_state_cov"] = 1e-4 * np.eye(3), variance * np.eye(1)
    found = settled_score(Smoother(y, 1, 1), library_system(system), ALL)
    assert (found is not None) == (variance <= 1e4)
    if found is None:
        return
    given, known = {key: value for key, value in system.items() if key != "initialization"}, np.zeros(1, bool)
    for name in ("design", "transition", "state_cov"):
        wanted = precise_score(y, given, known, name, (0, 0))
        assert_allclose(found.by_matrix[name][0, 0], wanted, rtol=1e-10 + 1e-11 * variance)


@pytest.mark.parametrize("name", ["obs_cov", "design", "transition", "state_cov"])
def test_settled_score_keeps_digits(name: str) -> None:
    """Two of three series have almost no noise; differences of a log-likelihood of 50 digits are right."""
    y, system = random_system(np.random.default_rng(1), 12, 2, 3)
    system["obs_cov"] = np.diag([1e-14, 1e-13, 0.5])
    found = settled_score(Smoother(y, 2, 2), library_system(system), ALL)
    assert found is not None
    given, none = {key: value for key, value in system.items() if key != "initialization"}, np.zeros(2, bool)
    for place in ((0, 0), (1, 1)):
        wanted = precise_score(y, given, none, name, place)
        assert_allclose(found.by_matrix[name][place], wanted, rtol=1e-9)


def test_settled_score_stands_back() -> None:
    y, system = random_system(np.random.default_rng(2), 200, 2, 3)
    at = library_system(system)
    holes = np.array(y)
    holes[3, 1] = np.nan
    varying = replace(at, transition=np.repeat(at.transition[:, :, None], 200, axis=2))
    slow = replace(at, transition=0.999 * np.eye(2), state_cov=1e-9 * np.eye(2))
    for data, trial in (
        (holes, at),
        (y, varying),
        (y, slow),
        (y, replace(at, initialization_type="diffuse")),
    ):
        assert settled_score(Smoother(data, 2, 2), trial, ALL) is None
