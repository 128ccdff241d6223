"""What the tests of the engine share: systems in both notations, random models, the dense E-step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.testing import assert_allclose
from oracle import (
    System as DenseSystem,
    at,
    condition,
    dense,
    dense_diffuse,
    joint,
    richardson_gradient,
    square_root,
)
from scipy.optimize import minimize

from statespace_ext.em.regressions import Moments
from statespace_ext.engine.system import MATRICES, System
from statespace_ext.lgssm.model import LGSSM
from statespace_ext.numerics.linear_algebra import companion


def examples(count: int) -> settings:
    """Hypothesis without a clock and the same every time: a failure is a fault, not an accident."""
    return settings(max_examples=count, deadline=None, derandomize=True)


def by_turns(names: str, *factors: Iterable[Any]) -> Any:
    """
    Parametrize by a product of which every other cell is slow.

    Each value occurs in the others; with three factors or more, so does each pair of values of two of them.
    """
    values = [list(factor) for factor in factors]
    cells = [
        pytest.param(
            *(each[i] for each, i in zip(values, at, strict=True)), marks=[pytest.mark.slow] * (sum(at) % 2)
        )
        for at in product(*(range(len(each)) for each in values))
    ]
    return pytest.mark.parametrize(names, cells)


def library_system(system: DenseSystem, start: str = "known") -> System:
    """Return the library's form of the oracle's system."""
    return System(**{name: np.asarray(value) for name, value in system.items()}, initialization_type=start)


def dense_system(system: System) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the oracle's form of the library's system, and which initial states are diffuse."""
    names = (*MATRICES, "initial_state", "initial_state_cov")
    return {name: getattr(system, name) for name in names}, np.full(
        system.k_states, system.initialization_type == "diffuse"
    )


def dense_llf(model: LGSSM, params: np.ndarray, y: np.ndarray | None = None) -> float:
    """Return the log-likelihood of a model by the oracle."""
    system, diffuse = dense_system(model.system(np.asarray(params)))
    y = model.endog if y is None else y
    return dense_diffuse(y, system, diffuse).llf if diffuse.any() else dense(y, system).llf


def close(actual: np.ndarray, wanted: np.ndarray, rtol: float = 1e-10) -> None:
    assert_allclose(actual, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max(initial=1e-300))


def compare_moments(ours: Moments, other: Moments) -> None:
    """Compare all moments; sums of products relative to the roots of the sums of squares."""
    assert_allclose(ours.llf, other.llf, rtol=1e-10)
    for name in ("observation", "state"):
        mine, theirs = getattr(ours, name), getattr(other, name)
        sizes = [np.sqrt(np.diagonal(getattr(theirs, key)[0])) for key in ("ee", "bb")]
        for key, (left, right) in {"ee": (0, 0), "eb": (0, 1), "bb": (1, 1)}.items():
            scale = np.multiply.outer(sizes[left], sizes[right])[None]
            error = np.abs(getattr(mine, key) - getattr(theirs, key))
            assert np.all(error <= 1e-10 * scale), f"{name}.{key}"
        assert_allclose(mine.n, theirs.n)
    for key in ("initial_mean", "initial_cov", "initial_score", "initial_information"):
        close(getattr(ours, key), getattr(other, key))


class ExpectedLikelihood:
    """
    E[log f(complete data; params) | Y; params of the E-step] without its constant, from the dense posterior.

    Complete data are all states, and the observations of the periods with data, the missing ones there
    too. Rows without noise, at the start and in either equation, are left out. Nothing of it is the
    library's except params -> matrices.
    """

    def __init__(self, model: LGSSM, params: np.ndarray) -> None:
        self.model = model
        n, p = self.n, _ = model.endog.shape
        system, diffuse = dense_system(model.system(params))
        prior = joint(system, n, diffuse)
        seen = np.flatnonzero(~np.isnan(model.endog.ravel()))
        k = len(diffuse)
        posterior = condition(prior, n * k + seen, model.endog.ravel()[seen])[1]
        both = np.column_stack([posterior.mean, posterior.factor])  # E u v' = u @ v.T for linear u, v
        self.states, self.observations = both[: n * k].reshape(n, k, -1), both[n * k :].reshape(n, p, -1)

    def terms(self, params: np.ndarray) -> tuple[float, float, float]:
        """Return the parts of the observations, of the states and of the start."""
        system, k = self.model.system(np.asarray(params)), self.model.k_factors
        eps = self.observations - by_period(system.design, self.n) @ self.states
        eps[:, :, 0] -= by_period(system.obs_intercept, self.n)
        eta = self.states[1:, :k] - by_period(system.transition, self.n)[:-1, :k] @ self.states[:-1]
        eta[:, :, 0] -= by_period(system.state_intercept, self.n)[:-1, :k]
        start = 0.0
        if system.initialization_type != "diffuse":
            first = self.states[:1].copy()
            first[0, :, 0] -= system.initial_state
            start = log_density(first, system.initial_state_cov[None])
        seen = (~np.isnan(self.model.endog)).any(axis=1)
        observation = log_density(eps[seen], by_period(system.obs_cov, self.n)[seen])
        return observation, log_density(eta, by_period(system.state_cov, self.n)[:-1]), start

    def __call__(self, params: np.ndarray) -> float:
        """Return the sum of the parts, -inf where there is no stationary start."""
        if self.model.initialization_kind == "stationary" and largest_root(self.model, params) >= 1.0:
            return -np.inf
        return sum(self.terms(params))


def by_period(array: np.ndarray, n: int) -> np.ndarray:
    """Return a constant or varying matrix (or vector) of a system with time first."""
    varies = (
        array.shape[-1] == n and array.ndim == 3 or array.ndim == 2 and array.shape[-1] == n != array.shape[0]
    )
    return np.moveaxis(array, -1, 0) if varies else np.broadcast_to(array, (n, *array.shape))


def log_density(errors: np.ndarray, covs: np.ndarray) -> float:
    """
    Return the sum of E log N(e_t; 0, cov_t) over the rows with noise, -inf where one is no covariance.

    E e_t e_t' = errors[t] @ errors[t].T; constants are left out.
    """
    noisy = np.diag(covs[0]) != 0
    if not noisy.any():
        return 0.0
    covs, errors = covs[:, noisy][:, :, noisy], errors[:, noisy]
    if np.linalg.eigvalsh(covs).min() <= 0:
        return -np.inf
    return -0.5 * (np.linalg.slogdet(covs)[1].sum() + np.sum(errors * np.linalg.solve(covs, errors)))


def maximise(function: Callable, start: np.ndarray, free: np.ndarray | None = None) -> np.ndarray:
    """Return the maximiser of a smooth function over some elements of a vector, by quasi-Newton steps."""
    free = np.arange(len(start)) if free is None else np.asarray(free)

    def full(x: np.ndarray) -> np.ndarray:
        out = np.array(start)
        out[free] = x
        return out

    def value(x: np.ndarray) -> float:
        return min(-function(full(x)), 1e10)

    def gradient(x: np.ndarray) -> np.ndarray:
        return richardson_gradient(value, x, step=1e-3 * np.maximum(np.abs(x), 0.05), levels=2)

    x = start[free]
    for _ in range(2):  # a fresh approximation to the second derivatives each time
        x = minimize(value, x, jac=gradient, method="BFGS", options={"gtol": 1e-8, "maxiter": 300}).x
    return full(x)


def draw_params(rng: np.random.Generator, model: LGSSM, root: float = 0.9) -> np.ndarray:
    """Return random parameters: a stable transition, positive definite covariances."""
    layout = model.layout
    params = 0.7 * rng.standard_normal(len(layout))
    for key, block in layout.blocks.items():
        if key in layout.covariances:
            on_diagonal = block.rows == block.columns
            for place in np.unique(layout.index[key][~on_diagonal]):
                params[place] = rng.uniform(-0.1, 0.25)
            for place in np.unique(layout.index[key][on_diagonal]):
                params[place] = rng.uniform(0.6, 1.5)
    places = np.unique(layout.index["transition"])
    for _ in range(100):
        if largest_root(model, params) <= root:
            break
        params[places] *= 0.9
    return params


def largest_root(model: LGSSM, params: np.ndarray) -> float:
    """Return the largest modulus of a root of the transition, in its first period."""
    transition = model.layout.matrices(params)["transition"]
    first = companion(transition if transition.ndim == 2 else transition[:, :, 0])
    return float(np.abs(np.linalg.eigvals(first)).max())


def sampled(
    rng: np.random.Generator,
    n: int,
    p: int,
    k: int,
    *,
    missing: float = 0.0,
    root: float = 0.9,
    **spec: object,
) -> tuple[LGSSM, np.ndarray]:
    """Return a model of a sample drawn from it, and the parameters; ``missing``: one row at least."""
    blank = LGSSM(rng.standard_normal((n, p)), k, **spec)
    params = draw_params(rng, blank, root)
    system, diffuse = dense_system(blank.system(params))
    if diffuse.any() or np.max(system["initial_state_cov"]) > 1e3:
        system["initial_state_cov"] = np.eye(len(diffuse))
    q, states = blank.ssm.k_posdef, blank.k_states
    start, shocks, noise = np.split(rng.standard_normal(states + (n - 1) * q + n * p), [states, -n * p])
    shocks, noise, y = np.append(shocks, np.zeros(q)).reshape(n, q), noise.reshape(n, p), np.zeros((n, p))
    x = system["initial_state"] + square_root(system["initial_state_cov"]) @ start
    for t in range(n):
        m = at(system, t)
        y[t] = m["obs_intercept"] + m["design"] @ x + square_root(m["obs_cov"]) @ noise[t]
        shock = m["selection"] @ square_root(m["state_cov"]) @ shocks[t]
        x = m["state_intercept"] + m["transition"] @ x + shock
    if missing:
        y[rng.random((n, p)) < missing] = np.nan
        y[n // 2] = np.nan
    return LGSSM(y, k, **spec), params
