"""The choice of the E-step, and that it does not change what EM does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import condition, dense, expected_sums, joint, random_system
from systems import close, compare_moments, dense_system, library_system, sampled

from statespace_ext.em.regressions import Moments, Regression
from statespace_ext.engine.collapsing import collapses
from statespace_ext.engine.expectation import ESTEPS, EStep, expectation, unsupported_reason
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.system import System
from statespace_ext.engine.system_score import ALL, _collapsed_pass, _one_pass
from statespace_ext.exceptions import SpecificationError, UnsupportedError
from statespace_ext.lgssm.model import LGSSM


@pytest.mark.parametrize("regressors", [(0, 0), (2, 0), (0, 1), (1, 2)])
@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
def test_moments_equal(regressors: tuple[int, int], lags: int, initialization: str) -> None:
    rng = np.random.default_rng(5)
    y, system = random_system(rng, 60, 2, 3, lags=lags, initialization=initialization)
    system["obs_intercept"] = rng.standard_normal((3, 60))
    system["state_intercept"] = rng.standard_normal((2 * lags, 60))
    exog, state_exog = (rng.standard_normal((60, count)) for count in regressors)
    smoother = Smoother(y, 2 * lags, 2, exog, state_exog)
    at = library_system(system)
    compare_moments(expectation(smoother, at, "fast"), expectation(smoother, at, "statsmodels"))


def test_one_and_two_periods() -> None:
    for n in (1, 2):
        y, system = random_system(np.random.default_rng(n), n, 2, 3)
        smoother, at = Smoother(y, 2, 2), library_system(system)
        ours, other = (expectation(smoother, at, estep) for estep in ("fast", "statsmodels"))
        assert_allclose(ours.state.ee, other.state.ee, rtol=1e-10, atol=1e-14)
        assert_allclose(ours.observation.ee, other.observation.ee, rtol=1e-10)


SPECS = {
    "stationary": {"initialization": "stationary"},
    "estimated": {"initialization": "estimated"},
    "approximate diffuse": {"initialization": "approximate_diffuse"},
    "lags": {"lags": 2, "obs_cov": "unstructured"},
}


@pytest.mark.parametrize("spec", list(SPECS))
def test_em_takes_the_same_path(spec: str) -> None:
    model, _ = sampled(np.random.default_rng(6), 80, 4, 2, **SPECS[spec])
    paths = []
    for estep in ("fast", "statsmodels"):
        path: list[np.ndarray] = []
        model.fit(
            method="em", maxiter=20, tolerance=0.0, callback=path.append, return_params=True, estep=estep
        )
        paths.append(np.array(path))
    assert paths[0].shape == (20, len(model.param_names))
    assert_allclose(paths[0], paths[1], rtol=1e-8, atol=1e-8)


def test_auto_takes_the_fast_one_where_valid() -> None:
    model, params = sampled(np.random.default_rng(7), 30, 3, 1)
    automatic, fast, slow = (
        model.problem(estep).moments(params) for estep in ("auto", "fast", "statsmodels")
    )
    assert automatic.llf == fast.llf
    assert not np.array_equal(fast.observation.bb, slow.observation.bb)
    compare_moments(fast, slow)


def test_obstacles() -> None:
    y, system = random_system(np.random.default_rng(8), 20, 2, 3)
    at, smoother = library_system(system), Smoother(y, 2, 2)
    assert unsupported_reason(smoother, at) is None
    holes = np.array(y)
    holes[3, 1] = np.nan
    varying = replace(at, transition=np.repeat(at.transition[:, :, None], 20, axis=2))
    singular = replace(at, obs_cov=np.diag([1.0, 1.0, 0.0]))
    for data, trial, words in (
        (holes, at, "observations are missing"),
        (y, varying, "transition varies over time"),
        (y, replace(at, initialization_type="diffuse"), "exact diffuse"),
        (y, singular, "obs_cov is singular"),
    ):
        smoother = Smoother(data, 2, 2)
        with pytest.raises(UnsupportedError, match=words):
            expectation(smoother, trial, "fast")
        automatic, slow = (expectation(smoother, trial, estep).llf for estep in ("auto", "statsmodels"))
        assert automatic == slow


@pytest.mark.parametrize("value", ["quick", None, 1])
def test_unknown_estep(value: object) -> None:
    model = LGSSM(np.random.default_rng(9).standard_normal((30, 2)), 1)
    with pytest.raises(SpecificationError, match="estep is unknown"):
        model.fit(estep=value)


def dense_moments(smoother: Smoother, system: System) -> Moments:
    """Return the E-step of one lag without regressors from the joint distribution of everything."""
    matrices, _ = dense_system(system)
    (n, p), k = smoother.endog.shape, system.k_states
    llf, posterior = condition(joint(matrices, n), n * k + np.arange(n * p), smoother.endog.ravel())
    forms = np.column_stack([posterior.mean, posterior.factor])[: n * k].reshape(n, k, -1)  # E u v' = u @ v.T
    one = np.zeros((n, 1, forms.shape[2]))
    one[:, :, 0] = 1.0
    b = np.concatenate([forms, one], axis=1)
    eps, eta = -system.design @ forms, forms[1:] - system.transition @ forms[:-1]
    eps[:, :, 0] += smoother.endog - system.obs_intercept
    eta[:, :, 0] -= system.state_intercept

    def sums(e: np.ndarray, b: np.ndarray) -> Regression:
        ee, eb, bb = (np.einsum("tim,tjm->ij", *pair)[None] for pair in ((e, e), (e, b), (b, b)))
        return Regression(ee, eb, bb, np.array([float(len(e))]))

    mean, cov = forms[0, :, 0], forms[0, :, 1:] @ forms[0, :, 1:].T
    precision = np.linalg.inv(system.initial_state_cov)
    score = precision @ (mean - system.initial_state)
    return Moments(
        llf, sums(eps, b), sums(eta, b[:-1]), mean, cov, score, precision - precision @ cov @ precision
    )


def test_an_e_step_is_added_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = sampled(np.random.default_rng(10), 25, 3, 1, initialization="stationary")
    options = {"method": "em", "maxiter": 5, "tolerance": 0.0, "return_params": True}
    with pytest.raises(SpecificationError, match="estep is unknown"):
        model.fit(estep="dense", **options)
    dense = EStep(
        dense_moments,
        lambda smoother, system: "observations are missing" if smoother.incomplete else None,
        "complete data",
        lambda smoother, system: False,
    )
    monkeypatch.setitem(ESTEPS, "dense", dense)
    assert_allclose(model.fit(estep="dense", **options), model.fit(estep="statsmodels", **options), rtol=1e-8)
    holes = np.array(model.endog)
    holes[3, 1] = np.nan
    with pytest.raises(UnsupportedError, match='estep="dense" is not valid here.*observations are missing'):
        LGSSM(holes, 1, initialization="stationary").fit(estep="dense", **options)


def with_holes(rng: np.random.Generator, y: np.ndarray, share: float) -> np.ndarray:
    """Return data with scattered holes, at least one element a row left."""
    holes = rng.random(y.shape) < share
    holes[np.arange(len(y)), rng.integers(y.shape[1], size=len(y))] = False
    return np.where(holes, np.nan, y)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
@pytest.mark.parametrize(("k", "p"), [(1, 1), (1, 4), (2, 5), (3, 2)])
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
def test_equals_the_dense_posterior(
    diagonal: bool, share: float, k: int, p: int, initialization: str
) -> None:
    rng = np.random.default_rng(p)
    y, system = random_system(rng, 15, k, p, initialization=initialization)
    if diagonal:
        system["obs_cov"] = np.diag(rng.uniform(0.2, 2.0, p))
    y = with_holes(rng, y, share)
    ours = expectation(Smoother(y, k, k), library_system(system), "collapsed")
    assert_allclose(ours.llf, dense(y, system).llf, rtol=1e-10)
    want = expected_sums(y, system)
    for regression, name in ((ours.observation, "obs"), (ours.state, "state")):
        for key, suffix in (("ee", "yy"), ("eb", "yx"), ("bb", "xx")):
            close(getattr(regression, key)[0], getattr(want, f"{name}_{suffix}"))
    close(ours.initial_mean, want.initial_mean)
    close(ours.initial_cov, want.initial_cov)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("lags", [1, 2])
def test_regressors_intercepts_that_vary_and_rows_without_data(diagonal: bool, lags: int) -> None:
    rng = np.random.default_rng(5)
    y, system = random_system(rng, 60, 2, 5, lags=lags)
    y = with_holes(rng, y, 0.2)
    y[[0, 7, 8, 59]] = np.nan
    system["obs_intercept"] = 100.0 * rng.standard_normal((5, 60))
    system["state_intercept"] = rng.standard_normal((2 * lags, 60))
    system["transition"] = system["transition"][:, :, None] * rng.uniform(0.5, 1.0, 60)
    if diagonal:
        system["obs_cov"] = np.diag(rng.uniform(0.2, 2.0, 5))
    smoother = Smoother(y, 2 * lags, 2, rng.standard_normal((60, 2)), rng.standard_normal((60, 1)))
    at = library_system(system)
    compare_moments(expectation(smoother, at, "collapsed"), expectation(smoother, at, "statsmodels"))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("initialization", ["known", "stationary", "zero"])
def test_the_score_equals_that_of_whole_rows(diagonal: bool, share: float, initialization: str) -> None:
    rng = np.random.default_rng(11)
    y, system = random_system(rng, 50, 2, 5, lags=2, initialization=initialization)
    y = with_holes(rng, y, share)
    y[[3, 4]] = np.nan
    system["obs_intercept"] = rng.standard_normal((5, 50))
    if diagonal:
        system["obs_cov"] = np.diag(rng.uniform(0.2, 2.0, 5))
    smoother, at = Smoother(y, 4, 2), library_system(system)
    ours, whole = (way(smoother, at, ALL) for way in (_collapsed_pass, _one_pass))
    assert ours is not None
    assert_allclose(ours.llf, whole.llf, rtol=1e-12)
    for name in ALL:
        close(ours.by_matrix[name], whole.by_matrix[name])
    for name in ("initial_state", "initial_state_cov", "start_intercept"):
        close(getattr(ours, name), getattr(whole, name))


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("exponent", range(0, 19, 2))
def test_the_score_beside_small_noise_is_right_or_left_to_the_smoother(exponent: int, share: float) -> None:
    """Series that the states nearly determine: the collapsed rows stand back before digits are lost."""
    rng = np.random.default_rng(12)
    y, system = random_system(rng, 60, 2, 5)
    y = with_holes(rng, y, share)
    system["obs_cov"] = np.diag([10.0**-exponent, *rng.uniform(0.2, 2.0, 4)])
    smoother, at = Smoother(y, 2, 2), library_system(system)
    ours, whole = (way(smoother, at, ALL) for way in (_collapsed_pass, _one_pass))
    assert (ours is not None) == (exponent <= 4)
    for name in ALL:
        size = np.abs(whole.by_matrix[name]).max()
        assert_allclose((ours or whole).by_matrix[name], whole.by_matrix[name], atol=1e-8 * size)


def test_design_without_full_rank() -> None:
    y, system = random_system(np.random.default_rng(3), 40, 3, 6)
    for zeros in (0, 6):
        system["design"][:zeros] = 0.0
        system["design"][:, 2] = system["design"][:, 0]
        smoother, at = Smoother(with_holes(np.random.default_rng(0), y, 0.3), 3, 3), library_system(system)
        compare_moments(expectation(smoother, at, "collapsed"), expectation(smoother, at, "statsmodels"))


def test_auto_takes_it_where_it_pays() -> None:
    for p, wanted in ((3, False), (4, True)):
        y, system = random_system(np.random.default_rng(p), 30, 2, p, missing=0.1)
        smoother, at = Smoother(y, 2, 2), library_system(system)
        assert collapses(y.shape[1], at) is wanted
        assert not collapses(y.shape[1], replace(at, initialization_type="diffuse"))
        name = "collapsed" if wanted else "statsmodels"
        automatic, chosen = expectation(smoother, at), expectation(smoother, at, name)
        np.testing.assert_array_equal(automatic.observation.ee, chosen.observation.ee)
        assert automatic.llf == chosen.llf


def test_obstacles_by_collapsed_rows() -> None:
    y, system = random_system(np.random.default_rng(8), 20, 2, 4, missing=0.1)
    at, smoother = library_system(system), Smoother(y, 2, 2)
    varying = replace(at, design=np.repeat(at.design[:, :, None], 20, axis=2))
    zero = replace(at, obs_cov=np.diag([1.0, 1.0, 1.0, 0.0]))
    singular = replace(at, obs_cov=np.ones((4, 4)))
    for trial, words in (
        (varying, "design varies over time"),
        (replace(at, initialization_type="diffuse"), "exact diffuse"),
        (zero, "obs_cov is singular"),
        (singular, "obs_cov is singular"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            expectation(smoother, trial, "collapsed")
    assert expectation(smoother, zero).llf == expectation(smoother, zero, "statsmodels").llf


@pytest.mark.parametrize("share", [1e-2, 1e-5, 1e-7])
def test_series_that_others_nearly_determine(share: float) -> None:
    """Exact where 1e-5 of a variance is its own; refused before digits are lost."""
    y, system = random_system(np.random.default_rng(9), 40, 1, 4)
    common = np.array([1.0, -2.0, 50.0, 0.1])
    system["obs_cov"] = np.outer(common, common) + share * np.diag(common**2)
    smoother, at = Smoother(with_holes(np.random.default_rng(1), y, 0.3), 1, 1), library_system(system)
    if share < 1e-6:
        with pytest.raises(UnsupportedError, match="so near to it"):
            expectation(smoother, at, "collapsed")
    else:
        compare_moments(expectation(smoother, at, "collapsed"), expectation(smoother, at, "statsmodels"))


@pytest.mark.parametrize("obs_cov", ["diagonal", "unstructured"])
def test_em_takes_the_same_path_by_collapsed_rows(obs_cov: str) -> None:
    rng = np.random.default_rng(6)
    model, _ = sampled(rng, 80, 4, 2, obs_cov=obs_cov)
    holes = model.clone(with_holes(rng, np.asarray(model.endog), 0.2))
    paths = []
    for estep in ("collapsed", "statsmodels"):
        path: list[np.ndarray] = []
        holes.fit(
            method="em", maxiter=10, tolerance=0.0, callback=path.append, return_params=True, estep=estep
        )
        paths.append(np.array(path))
    assert_allclose(paths[0], paths[1], rtol=1e-8, atol=1e-8)
