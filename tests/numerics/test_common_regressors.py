"""The likelihood along the axes of common regressors, against the joint density with a flat prior."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from statespace_ext.numerics.common_regressors import CommonRegressors, RegressorAxes
from statespace_ext.numerics.differences import central_differences

N, P = 14, 3


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return series, regressors, V and W."""
    rng = np.random.default_rng(seed)
    exog = np.column_stack([np.ones(N), rng.standard_normal((N, 2))])
    roots = rng.standard_normal((2, P, P + 1))
    V, W = (root @ root.T for root in roots)
    return rng.standard_normal((N, P)), exog, V, W


def decomposed(y: np.ndarray, exog: np.ndarray, periods: np.ndarray, moving: int = 1) -> CommonRegressors:
    axes = RegressorAxes(exog, moving, periods)
    return CommonRegressors(axes, axes.vectors.T @ y)


def gls_loglike(
    y: np.ndarray, exog: np.ndarray, periods: np.ndarray, V: np.ndarray, W: np.ndarray, moving: int = 1
) -> float:
    """Return -1/2 [N log 2 pi + log|S| + log|X'S^-1 X| + residual], S the covariance of y given X."""
    z = exog[:, moving]
    S = np.kron(np.eye(len(y)), V) + np.kron(np.outer(z, z) * np.minimum.outer(periods, periods), W)
    X, flat = np.kron(exog, np.eye(y.shape[1])), y.ravel()
    inner = X.T @ np.linalg.solve(S, X)
    rest = flat - X @ np.linalg.solve(inner, X.T @ np.linalg.solve(S, flat))
    logdets = np.linalg.slogdet(S)[1] + np.linalg.slogdet(inner)[1]
    return -0.5 * (y.size * np.log(2 * np.pi) + logdets + rest @ np.linalg.solve(S, rest))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rank", [P, 1, 0])
def test_the_log_likelihood_is_that_of_gls(seed: int, rank: int) -> None:
    y, exog, V, W = drawn(seed)
    W = W[:, :rank] @ W[:rank, :rank].T @ W[:, :rank].T if rank < P else W
    periods = np.delete(np.arange(N + 3), [2, 3, 9])  # three periods without observations
    common = decomposed(y, exog, periods)
    found = common.score(V, W)
    assert found is not None
    assert_allclose(found[0], gls_loglike(y, exog, periods, V, W), rtol=1e-12)
    assert found[0] == common.loglike(V, W)


@pytest.mark.parametrize("seed", range(3))
def test_the_score_is_the_derivative(seed: int) -> None:
    y, exog, V, W = drawn(seed)
    periods = np.arange(N)
    found = decomposed(y, exog, periods).score(V, W)
    assert found is not None
    lower = np.tril_indices(P)

    def moved(at: np.ndarray) -> np.ndarray:
        out = np.zeros((P, P))
        out[lower] = at
        return out + np.tril(out, -1).T

    for name, cov in (("obs_cov", V), ("state_cov", W)):
        given = {"V": V, "W": W}

        def value(at: np.ndarray, key: str = "V" if name == "obs_cov" else "W", given: dict = given) -> float:
            return gls_loglike(y, exog, periods, **{**given, key: moved(at)})

        slope = found[1][name]
        want = central_differences(value, cov[lower], 1e-4)
        assert_allclose((slope + slope.T - np.diag(np.diag(slope)))[lower], want, rtol=1e-6, atol=1e-6)


def test_a_regressor_of_another_size_and_a_moving_constant() -> None:
    y, exog, V, W = drawn(5)
    exog = exog * np.array([1.0, 1e4, 1e-4])
    for moving in range(3):
        common = decomposed(y, exog, np.arange(N), moving)
        want = gls_loglike(y, exog, np.arange(N), V, 1e-3 * W, moving)
        assert_allclose(common.loglike(V, 1e-3 * W), want, rtol=1e-8)


@pytest.mark.parametrize("V", [np.diag([1.0, 0.0, 1.0]), np.ones((3, 3)), np.diag([1.0, -1.0, 1.0])])
def test_a_singular_obs_cov_has_no_answer(V: np.ndarray) -> None:
    y, exog, _, W = drawn(1)
    common = decomposed(y, exog, np.arange(N))
    assert common.loglike(V, W) is None and common.score(V, W) is None


@pytest.mark.parametrize("columns", [[0, 1, 1], [1] * 15])
def test_dependent_regressors_are_refused(columns: list[int]) -> None:
    _, exog, _, _ = drawn(1)
    with pytest.raises(np.linalg.LinAlgError, match="dependent"):
        RegressorAxes(exog[:, columns], 1, np.arange(N))
