"""Nyblom's statistic, against its definition, its invariances and its limit."""

from __future__ import annotations

import numpy as np
import pytest
from capm import BETA_MOVES, BOTH_MOVE, random_cov, simulated
from numpy.testing import assert_allclose
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.diagnostic import breaks_hansen

import statespace_ext as sse
from statespace_ext.inference.many import spawn
from statespace_ext.regression.constancy import ALL, ASYMPTOTIC_5_PERCENT, _nyblom, nyblom_cases


def cases(y: np.ndarray, x: np.ndarray, moving: list[int]) -> dict:
    names = [f"x{j}" for j in range(x.shape[1])], [f"y{i}" for i in range(y.shape[1])]
    return {(case.regressor, case.series): case for case in nyblom_cases(y, x, moving, *names)}


def data(seed: int = 0, n: int = 50, p: int = 3) -> tuple[np.ndarray, np.ndarray]:
    y, x = simulated(np.random.default_rng(seed), n, p, move=0.1)
    return y.to_numpy(copy=True), x.to_numpy()


def test_definition_for_one_coefficient() -> None:
    """L = sum_t (sum_{s <= t} x_s e_s)^2 / (n s^2 sum x^2), and also e'DKDe over the same."""
    y, x = data()
    case = cases(y, x, [1])["x1", "y0"]
    e = OLS(y[:, 0], x).fit().resid
    sums = np.cumsum(x[:, 1] * e)
    want = np.sum(sums**2) / (len(e) * np.mean(e**2) * np.sum(x[:, 1] ** 2))
    assert_allclose(case.statistic(y), want, rtol=1e-12)
    walk = np.minimum.outer(np.arange(50), np.arange(50)) * np.outer(x[:, 1], x[:, 1])
    assert_allclose(want, e @ walk @ e / (np.sum(e**2) * np.sum(x[:, 1] ** 2)), rtol=1e-10)


def test_definition_for_all_coefficients_together() -> None:
    """S_t' (Sigma kron X'X)^{-1} S_t, S_t stacked by series."""
    y, x = data()
    case = cases(y, x, [0, 1])[ALL, ALL]
    assert case.size == 6
    e = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    middle = np.linalg.inv(np.kron(e.T @ e / 50, x.T @ x))
    steps = np.array([np.kron(e[t], x[t]) for t in range(50)])
    sums = np.cumsum(steps, axis=0)
    assert_allclose(case.statistic(y), np.einsum("ti,ij,tj->", sums, middle, sums) / 50, rtol=1e-10)


def test_invariances() -> None:
    """Coefficients and a change of basis of the series do not matter, so neither does V."""
    y, x = data()
    rng = np.random.default_rng(1)
    moved = y @ np.linalg.cholesky(random_cov(rng, 3)).T + x @ rng.standard_normal((2, 3))
    scaled = 3 * y[:, :1] + x @ rng.standard_normal((2, 1))
    for (name, series), case in cases(y, x, [0, 1]).items():
        if series == ALL:
            assert_allclose(case.statistic(moved), case.statistic(y), rtol=1e-9)
        elif series == "y0":
            other = cases(scaled, x, [0, 1])[name, series]
            assert_allclose(other.statistic(scaled), case.statistic(y), rtol=1e-9)


def test_missing_values() -> None:
    """Each series has its own rows; all together have the complete ones; a gap counts as time."""
    y, x = data()
    y[[3, 4], 0] = np.nan
    found = cases(y, x, [1])
    seen = ~np.isnan(y[:, 0])
    e = np.zeros(50)
    e[seen] = OLS(y[seen, 0], x[seen]).fit().resid
    want = np.sum(np.cumsum(x[:, 1] * e) ** 2) / (np.sum(e**2) * np.sum(x[seen, 1] ** 2))
    assert_allclose(found["x1", "y0"].statistic(y), want, rtol=1e-12)
    assert found["x1", ALL].rows.sum() == 48


def test_limit() -> None:
    """95 % points: those in statsmodels (Hansen 1992, by number of regressors less one), and a simulation."""
    y, x = data()
    for regressors, point in breaks_hansen(OLS(y[:, 0], x).fit())[1]:
        assert_allclose(ASYMPTOTIC_5_PERCENT[regressors + 1], point, rtol=0.015)
    assert_allclose([ASYMPTOTIC_5_PERCENT[k] for k in (1, 2, 4, 5)], [0.470, 0.749, 1.24, 1.47], rtol=0.02)
    rng = np.random.default_rng(2)
    steps = rng.standard_normal((4000, 200))
    bridges = np.cumsum(steps - steps.mean(axis=1, keepdims=True), axis=1) / np.sqrt(200)
    assert_allclose(np.quantile((bridges**2).mean(axis=1), 0.95), ASYMPTOTIC_5_PERCENT[1], rtol=0.06)


@pytest.mark.parametrize("dynamics", [BETA_MOVES, BOTH_MOVE])
def test_table(dynamics: dict[str, str]) -> None:
    y, x = simulated(np.random.default_rng(3), 60, 2, move=0.3)
    model = sse.DynamicRegression(y, x, dynamics=dynamics, state_cov="proportional")
    table = _nyblom(model, spawn(0, 99))
    assert table.index.names == ["regressor", "series"]
    assert table.loc[("MKT", ALL), "coefficients"] == 2
    assert ((table["pvalue"] > 0) & (table["pvalue"] <= 1)).all()
    assert (ALL in table.index.get_level_values(0)) == (len(dynamics) > 1)
    clear = table["statistic"] > 2 * table["asymptotic_5%"]
    assert clear.any() and (table.loc[clear, "pvalue"] <= 0.05).all()


def test_it_comes_with_the_likelihood_ratio() -> None:
    y, x = simulated(np.random.default_rng(3), 60, 2, move=0.3)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov="proportional")
    table = model.fit(method="lbfgs").test_constancy(n_sim=9, rng=0).nyblom
    case = cases(y.to_numpy(), x.to_numpy(), [1])["x1", "y0"]
    assert_allclose(table.loc[("MKT", "A1"), "statistic"], case.statistic(y.to_numpy()), rtol=1e-9)
