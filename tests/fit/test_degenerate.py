"""A likelihood without a maximum: the fit names the cause, and shows the last point before it."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import dense
from systems import sampled
from yields import random_panel

import statespace_ext as sse
from statespace_ext.engine.system import MATRICES
from statespace_ext.fit.degenerate import Watch, unbounded


def estimated_start(first: float | None, seed: int) -> sse.LGSSM:
    spec = {"initialization": "estimated", "identification": "triangular"}
    model, _ = sampled(np.random.default_rng(seed), 80, 3, 2, missing=0.1, **spec)
    y = np.array(model.endog)
    if first is not None:
        y[0] = first
    return sse.LGSSM(y, 2, **spec)


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_an_estimated_first_state_fits_the_first_observation_exactly() -> None:
    model = estimated_start(None, 8)
    with pytest.warns(sse.ConvergenceWarning, match=r"unbounded.*put an empty \(NaN\) row first"):
        res = model.fit()
    assert not res.converged and "unbounded" in res.mle_retvals["task"]
    assert str(res.summary()).count("unbounded") == 1

    # it is: along v_1 = 0 the log-likelihood grows by log 10 / 2 for every tenth of the variance
    place = model.param_names.index("obs_var.y2")
    system = model.system(np.asarray(res.params))
    params = np.array(res.params)
    state = params[-2:]
    fitted = system.obs_intercept[1] + system.design[1] @ system.initial_state
    state += system.design[1] * (model.endog[0, 1] - fitted) / (system.design[1] @ system.design[1])
    params[-2:] = state
    params[place] = 1e-7
    high = model.loglike(params)
    params[place] = 1e-9
    np.testing.assert_allclose(model.loglike(params) - high, np.log(10.0), rtol=1e-3)


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_with_an_empty_first_row_it_has_a_maximum() -> None:
    res = estimated_start(np.nan, 10).fit()
    assert res.converged and "unbounded" not in str(res.summary())


def fitted(model: Any, method: str = "auto", **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sse.ConvergenceWarning)
        warnings.simplefilter("ignore", sse.IdentificationWarning)
        return model.fit(method=method, cov_type="none", **options)


# -- series that others determine --------------------------------------------------------------------------


def series(seed: int, n: int = 100, p: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    f = np.zeros(n)
    for t in range(1, n):
        f[t] = 0.8 * f[t - 1] + rng.standard_normal()
    return np.outer(f, rng.standard_normal(p)) + 0.7 * rng.standard_normal((n, p))


def combination(missing: float = 0.0, unit: float = 1.0) -> sse.LGSSM:
    y = series(40)
    y[:, 3] = y[:, 0] - 2.0 * y[:, 1]
    y[np.random.default_rng(1).random(y.shape) < missing] = np.nan
    return sse.LGSSM(unit * y, 1, identification="triangular", obs_cov="unstructured")


def twice(unit: float = 1.0) -> sse.LGSSM:
    y = series(41, p=3)
    y[:, 2] = 3.0 * y[:, 1]
    return sse.LGSSM(unit * y, 1, identification="triangular")


DEPENDENT = {
    "a combination": (combination, "y1, y2, y4"),
    "a combination, 30 % missing": (lambda: combination(0.3), "y1, y2, y4"),
    "a combination, units of 1e6": (lambda: combination(unit=1e6), "y1, y2, y4"),
    "twice the same": (twice, "y2, y3"),
    "twice the same, units of 1e-6": (lambda: twice(1e-6), "y2, y3"),
}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(name, method, marks=pytest.mark.slow if "," in name and "bfgs" in method else ())
        for name in DEPENDENT
        for method in ("auto", "lbfgs", "bfgs", "em")
    ],
)
def test_dependent_series(name: str, method: str) -> None:
    build, names = DEPENDENT[name]
    model = build()
    res = fitted(model, method, maxiter=3000)
    assert not res.converged
    if "unbounded" not in res.mle_retvals["task"]:  # EM is slow on the way
        assert method == "em" and "predicted gain" in res.mle_retvals["task"]
        return
    assert names in res.mle_retvals["task"] and "leave one of them out" in res.mle_retvals["task"]
    assert "the last iteration before that" in str(res.summary())
    # the estimates are those of a proper model: its likelihood is right, and no forecast is without error
    params, size = np.asarray(res.params), np.nanstd(model.endog, axis=0)
    F = model.filter(params).forecasts_error_cov[:, :, -1] / size[:, None] / size
    assert np.linalg.eigvalsh(F)[0] > 1e-11
    if "units" not in name:
        system = model.system(params)
        parts = {key: getattr(system, key) for key in (*MATRICES, "initial_state", "initial_state_cov")}
        assert_allclose(res.llf, dense(model.endog, parts).llf, rtol=1e-5)


def test_a_series_that_its_own_past_determines() -> None:
    """Neither V nor W is left of it."""
    y = series(42, p=3)
    y[:, 1] = 5.0 * 0.9 ** np.arange(len(y))
    design = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.0]])
    model = sse.LGSSM(
        y, 2, design=design, transition="diagonal", state_cov="diagonal", obs_intercept="zero",
        initialization="approximate_diffuse",
    )  # fmt: skip
    res = fitted(model)
    assert not res.converged
    assert (
        "y2 is fitted without error as its variances in obs_cov and in state_cov" in res.mle_retvals["task"]
    )


@pytest.mark.parametrize("share", [1e-3, 1e-6])
def test_a_level_far_from_zero_is_no_reason(share: float) -> None:
    """A variance is small beside that of the series, not beside its level; nor is one small error."""
    y = series(43, p=3)
    far = sse.LGSSM(y + np.std(y) / share, 1, identification="triangular")
    res, plain = fitted(far), fitted(sse.LGSSM(y, 1, identification="triangular"))
    assert res.converged
    assert_allclose(res.llf, plain.llf, rtol=1e-6)


def test_small_measurement_errors_are_no_reason() -> None:
    tau = [0.5, 1.0, 2.0, 5.0, 10.0]
    rng = np.random.default_rng(30)
    exact = sse.ATSM(random_panel(rng, 100, tau[:2], 2), maturities=tau[:2], k_factors=2)
    res = fitted(exact)  # two maturities, two factors: nothing is left for an error
    assert res.converged or "unbounded" not in res.mle_retvals["task"]
    assert np.isfinite(res.llf)


# -- a singular state_cov that cannot be reached -----------------------------------------------------------


def one_shock(identification: str, seed: int = 1, n: int = 200) -> sse.LGSSM:
    """Two factors, of which the second has no innovations of its own."""
    rng = np.random.default_rng(seed)
    f, transition = np.zeros((n, 2)), np.array([[0.6, 0.2], [0.5, 0.3]])
    for t in range(1, n):
        f[t] = transition @ f[t - 1] + np.array([1.0, 0.0]) * rng.standard_normal()
    y = f @ rng.standard_normal((4, 2)).T + 0.4 * rng.standard_normal((n, 4))
    return sse.LGSSM(y, 2, identification=identification)


@cache
def free_of_one_shock() -> Any:
    return fitted(one_shock("unit"))


@pytest.mark.parametrize("method", ["auto", "lbfgs", pytest.param("bfgs", marks=pytest.mark.slow)])
def test_a_singular_state_cov_under_unit_innovations(method: str) -> None:
    res = fitted(one_shock("triangular"), method)
    task = res.mle_retvals["task"]
    assert not res.converged and res.mle_retvals["iterations"] < 600
    assert "rises towards a singular state_cov" in task and 'identification="unit"' in task
    assert "singular state_cov" in str(res.summary())
    free = free_of_one_shock()
    assert free.converged and [name for name in free.boundary if name.startswith("state_var")]
    assert 0.0 < free.llf - res.llf < 0.02  # the supremum is its maximum


def test_with_two_shocks_there_is_a_maximum() -> None:
    """The first of 80 panels with as many shocks as factors that were tried; none was stopped."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        f = np.zeros((100, 2))
        for t in range(1, 100):
            f[t] = 0.8 * f[t - 1] + rng.standard_normal(2)
        y = f @ rng.standard_normal((5, 2)).T + 0.7 * rng.standard_normal((100, 5))
        assert fitted(sse.LGSSM(y, 2, identification="triangular")).converged


def test_an_iteration_with_a_regular_obs_cov_builds_no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is then the matrix. With factors in obs_cov it is not, and the system is looked at."""
    rng = np.random.default_rng(0)
    y, x = rng.standard_normal((60, 3)), rng.standard_normal(60)
    problem = sse.LGSSM(y, 1, identification="unit").problem()
    start = problem.model.default_start(problem)
    watch = Watch(problem, start)
    monkeypatch.setattr(problem, "system", lambda *_: pytest.fail("a system was built"))
    watch(start)
    factors = sse.CAPM(y + x[:, None], x, obs_cov="factor:1").problem()
    assert watch.by_block and not Watch(factors, factors.model.default_start(factors)).by_block


def test_a_series_without_noise_is_named() -> None:
    """Without measurement error, Z Q Z' is regular at the start; a series is certain where it is singular."""
    y = np.random.default_rng(0).standard_normal((60, 2))
    spec = {"k_factors": 2, "design": "identity", "transition": "diagonal", "obs_cov": "zero"}
    problem = sse.LGSSM(y, **spec, state_cov="diagonal").problem()
    start = problem.model.default_start(problem)
    Watch(problem, start)(start)
    singular = np.array(start)
    singular[problem.layout.block_params("state_cov")[1]] = 1e-14
    assert unbounded(problem, start) == "" and "y2" in unbounded(problem, singular)
