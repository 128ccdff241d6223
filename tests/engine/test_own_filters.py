"""Likelihoods of our own models: Chandrasekhar where valid and cheaper, equal to the dense Gaussian."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from oracle import random_system
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import multivariate_normal
from statsmodels.tsa.statespace.kalman_filter import FILTER_CHANDRASEKHAR, KalmanFilter

import statespace_ext as sse
from statespace_ext.engine import filters
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.system import System, write

Case = tuple[np.ndarray, dict[str, np.ndarray], System]


def dense(y: np.ndarray, matrices: dict[str, Any]) -> float:
    """Return the density of the observed elements, from the mean and covariance of all of y."""
    n, p = y.shape

    def at(name: str, t: int) -> np.ndarray:
        value = matrices[name]
        constant = 1 if name.endswith("intercept") else 2
        return value[..., t] if value.ndim > constant else value

    mean, cov = np.zeros((n, p)), np.zeros((n, p, n, p))
    a, P = matrices["initial_state"], matrices["initial_state_cov"]
    for t in range(n):
        mean[t] = at("obs_intercept", t) + at("design", t) @ a
        cov[t, :, t] = at("design", t) @ P @ at("design", t).T + at("obs_cov", t)
        between = P
        for s in range(t + 1, n):
            between = at("transition", s - 1) @ between
            cov[s, :, t] = at("design", s) @ between @ at("design", t).T
            cov[t, :, s] = cov[s, :, t].T
        T, R = at("transition", t), at("selection", t)
        a, P = at("state_intercept", t) + T @ a, T @ P @ T.T + R @ at("state_cov", t) @ R.T
    seen = ~np.isnan(y.ravel())
    whole = cov.reshape(n * p, n * p)[np.ix_(seen, seen)]
    return float(multivariate_normal(mean.ravel()[seen], whole).logpdf(y.ravel()[seen]))


def stationary(k: int, p: int, n: int = 60) -> Case:
    rng = np.random.default_rng(k)
    _, matrices = random_system(rng, 2, k, p)
    T, c, R, Q = (matrices[name] for name in ("transition", "state_intercept", "selection", "state_cov"))
    matrices["initial_state"] = np.linalg.solve(np.eye(k) - T, c)
    matrices["initial_state_cov"] = solve_discrete_lyapunov(T, R @ Q @ R.T)
    y = matrices["obs_intercept"] + 2.0 * rng.standard_normal((n, p))
    return y, matrices, System(**matrices, initialization_type="stationary")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what each likelihood uses: recursions of this package or of statsmodels, or a Kalman filter."""
    names: list[str] = []
    own, compiled = filters.chandrasekhar_pass, KalmanFilter.loglike

    def in_python(*args: Any) -> float:
        names.append("python")
        return own(*args)

    def by_statsmodels(ssm: KalmanFilter, **kwargs: Any) -> float:
        names.append("compiled" if kwargs.get("filter_method", 0) & FILTER_CHANDRASEKHAR else "")
        return float(compiled(ssm, **kwargs))

    monkeypatch.setattr(filters, "chandrasekhar_pass", in_python)
    monkeypatch.setattr(KalmanFilter, "loglike", by_statsmodels)
    return names


@pytest.mark.parametrize(
    ("k", "p", "expected"),
    [(80, 1, "python"), (100, 3, "python"), (50, 3, "compiled"), (2, 2, ""), (10, 4, "")],
)
def test_the_cheapest_recursions_equal_the_dense_gaussian(
    k: int, p: int, expected: str, chosen: list[str]
) -> None:
    y, matrices, system = stationary(k, p)
    llf = Smoother(y, k, system.selection.shape[1]).loglike(system)
    assert chosen == [expected]
    assert llf == pytest.approx(dense(y, matrices), rel=1e-9)


def test_intercepts_may_vary(chosen: list[str]) -> None:
    y, matrices, system = stationary(80, 2)
    rng = np.random.default_rng(0)
    moving = {
        "obs_intercept": rng.standard_normal((2, len(y))),
        "state_intercept": rng.standard_normal((80, len(y))),
    }
    system = replace(system, **moving)
    expected = dense(y, {**matrices, **moving})
    assert Smoother(y, 80, system.selection.shape[1]).loglike(system) == pytest.approx(expected, rel=1e-9)
    assert chosen == ["python"]


def over_time(matrix: np.ndarray) -> np.ndarray:
    return matrix[:, :, None] * np.linspace(1.0, 1.1, 60)


@pytest.mark.parametrize("k", [50, 80])
@pytest.mark.parametrize(
    "what", ["missing", "known", "start", "design", "obs_cov", "transition", "selection", "state_cov"]
)
def test_what_is_not_valid_takes_the_kalman_filter(what: str, k: int, chosen: list[str]) -> None:
    y, matrices, system = stationary(k, 3)
    if what == "missing":
        y = y.copy()
        y[3, 0] = np.nan
    elif what == "known":
        matrices = {**matrices, "initial_state_cov": 1.5 * matrices["initial_state_cov"]}
        system = System(**matrices, initialization_type="known")
    elif what == "start":  # called stationary, and not
        matrices = {**matrices, "initial_state_cov": 1.5 * matrices["initial_state_cov"]}
        system = System(**matrices, initialization_type="stationary")
    else:
        matrices = {**matrices, what: over_time(matrices[what])}
        system = System(**matrices, initialization_type="stationary")
    assert Smoother(y, k, system.selection.shape[1]).loglike(system) == pytest.approx(
        dense(y, matrices), rel=1e-9
    )
    assert chosen == [""]


def test_recursions_that_lose_digits_are_not_used(chosen: list[str]) -> None:
    """A nearly constant state: the forecast variances fall from 1e8 to 1."""
    y, _, system = stationary(80, 1)
    roots = np.linspace(0.0, 0.5, 80)
    roots[0] = 1.0 - 1e-9
    cov = 1.0 / (1.0 - np.outer(roots, roots))  # of unit noise in common
    near = replace(
        system,
        transition=np.diag(roots),
        selection=np.ones((80, 1)),
        state_cov=np.eye(1),
        initial_state_cov=cov,
    )
    assert np.isfinite(Smoother(y, 80, 1).loglike(near)) and chosen == [""]


def test_a_singular_forecast_covariance_ends_as_it_does_in_statsmodels() -> None:
    _, _, system = stationary(80, 2)
    twice = replace(system, design=np.ones((2, 80)), obs_cov=np.zeros((2, 2)), obs_intercept=np.zeros(2))
    ssm = KalmanFilter(2, 80, system.selection.shape[1])
    ssm.bind(np.random.default_rng(0).standard_normal((60, 2)))
    write(ssm, twice)
    assert filters.filter_report(ssm).reasons["chandrasekhar"]
    with pytest.raises(np.linalg.LinAlgError):
        filters.chandrasekhar_pass(ssm, twice.initial_state, twice.initial_state_cov)


@pytest.mark.parametrize(("lags", "expected"), [(2, ""), (25, "compiled"), (40, "python")])
def test_lgssm(lags: int, expected: str, chosen: list[str]) -> None:
    """Many lags make many states."""
    rng = np.random.default_rng(1)
    y = rng.standard_normal((120, 2)).cumsum(axis=0) * 0.1 + rng.standard_normal((120, 2))
    model = sse.LGSSM(y, 2, lags=lags, initialization="stationary")
    params = np.asarray(model.start_params)
    llf = model.loglike(params)
    assert chosen == [expected]
    system = model.system(params)
    matrices: dict[str, Any] = {name: getattr(system, name) for name in FIELDS}
    assert llf == pytest.approx(dense(y, matrices), rel=1e-9)
    model.update(params)
    assert llf == pytest.approx(model.ssm.loglike(), rel=1e-10)


FIELDS = (
    "design", "obs_intercept", "obs_cov", "transition", "state_intercept", "selection", "state_cov",
    "initial_state", "initial_state_cov",
)  # fmt: skip
