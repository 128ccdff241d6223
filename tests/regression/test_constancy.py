"""The simulated likelihood ratio of W = 0 and Nyblom's statistic, against fits and GLS; invariances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, BOTH_MOVE, berndt, gls, random_cov, random_walks, simulated, static_llf
from numpy.testing import assert_allclose, assert_array_equal
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.diagnostic import breaks_hansen

import statespace_ext as sse
from statespace_ext.inference.many import model_on, spawn
from statespace_ext.regression import constancy_ratios
from statespace_ext.regression.capm import CAPM
from statespace_ext.regression.constancy import (
    ALL,
    ASYMPTOTIC_5_PERCENT,
    ConstancyTest,
    SimulatedRatio,
    _nyblom,
    _simulated,
    constancy_test,
    nyblom_cases,
)
from statespace_ext.regression.constancy_ratios import (
    ContrastedRatio,
    FittedRatio,
    ratio_of,
)

STRUCTURES = ["unstructured", "diagonal", "scalar", "equicorrelated", "factor:1"]
PIVOTAL = {
    ("unstructured", "unstructured"),
    ("unstructured", "proportional"),
    ("diagonal", "unstructured"),
    ("diagonal", "diagonal"),
    ("diagonal", "factor:1"),
    ("diagonal", "proportional"),
    ("scalar", "unstructured"),
    ("scalar", "diagonal"),
    ("scalar", "scalar"),
    ("scalar", "equicorrelated"),
    ("scalar", "factor:1"),
    ("scalar", "proportional"),
    ("equicorrelated", "unstructured"),
    ("equicorrelated", "equicorrelated"),
    ("equicorrelated", "proportional"),
}
PAIRS = [(V, W) for V in STRUCTURES for W in [*STRUCTURES, "proportional"]]


def sample(seed: int = 1, n: int = 40, p: int = 3, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    return simulated(np.random.default_rng(seed), n, p, **options)


def model_of(y: Any, x: Any, W: Any = "unstructured", V: Any = "unstructured", **options: Any) -> Any:
    return sse.DynamicRegression(y, x, **{"dynamics": BETA_MOVES, "obs_cov": V, "state_cov": W, **options})


def fitted(*args: Any, **options: Any) -> Any:
    return model_of(*args, **options).fit(method="lbfgs", cov_type="none")


# -- the statistic -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("V", "W"),
    [("unstructured", W) for W in ("unstructured", "diagonal", "proportional")]
    + [
        ("diagonal", "diagonal"),
        ("diagonal", "proportional"),
        ("factor:1", "scalar"),
        ("scalar", "proportional"),
    ],
)
def test_statistic_is_that_of_two_fits(V: str, W: str) -> None:
    y, x = sample(seed=5, n=60, move=0.2)
    res = fitted(y, x, W, V)
    null = sse.DynamicRegression(y, x, obs_cov=V).fit(method="lbfgs", cov_type="none")
    test = res.test_constancy(n_sim=2, rng=0)
    assert test.statistic > 1
    assert_allclose(test.statistic, 2 * (res.llf - null.llf), atol=1e-5)
    assert_allclose([test.llf, test.llf_null], [res.llf, null.llf], atol=1e-5)
    assert not test.notes
    assert (test.distribution == "pivotal") == ((V, W) in PIVOTAL)


def test_statistic_is_that_of_gls() -> None:
    """W = q V: no value of q on a fine grid is better, with V concentrated out of dense GLS."""
    y, x = sample(seed=6, n=25, p=2, move=0.3)
    test = fitted(y, x, "proportional").test_constancy(n_sim=1, rng=0)
    values = []
    X, n = x.to_numpy(), len(y)
    for q in np.geomspace(1e-4, 1.0, 60):
        omega = np.eye(n) + q * np.minimum.outer(np.arange(n), np.arange(n)) * np.outer(x["MKT"], x["MKT"])
        inverse = np.linalg.inv(omega)
        S = y.to_numpy().T @ (inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)) @ y
        V = np.asarray(S) / (n - 2)
        walks = random_walks(q * V, np.array([2, 3]), 4)
        values.append(gls(y.to_numpy(), X, V, walks).llf)
    residual = y.to_numpy() - X @ np.linalg.lstsq(X, y.to_numpy(), rcond=None)[0]
    null = static_llf(y.to_numpy(), X, residual.T @ residual / (n - 2))
    assert_allclose(test.llf_null, null, rtol=1e-12)
    best = 2 * (max(values) - null)
    assert best - 1e-9 <= test.statistic <= best + 0.01


def test_fits_again_and_contrasts_agree() -> None:
    y, x = sample(seed=7, n=50, p=2, move=0.1)
    for W, V in (("unstructured", "unstructured"), ("proportional", "diagonal"), ("factor:1", "diagonal")):
        model = model_of(y, x, W, V)
        ratio = ratio_of(model)
        assert isinstance(ratio, ContrastedRatio)
        again = FittedRatio(model, ratio.pivotal)
        for seed in range(3):
            data = again.draw(np.random.default_rng(seed))
            rows = ratio.sample_of(data)
            value, converged = again.ratio(data)
            assert converged
            assert_allclose(ratio.ratio(rows)[0], value, atol=1e-5)


def test_with_missing_values_the_kalman_filter_decides() -> None:
    y, x = sample(seed=8, n=40, p=2, move=0.3, missing=0.1)
    res = fitted(y, x, "scalar")
    test = res.test_constancy(n_sim=3, rng=0)
    assert isinstance(ratio_of(res.model), FittedRatio)
    assert test.distribution == "parametric bootstrap"
    null = sse.DynamicRegression(y, x).fit(method="lbfgs")
    assert_allclose(test.statistic, 2 * (res.llf - null.llf), atol=1e-5)
    draw = ratio_of(res.model).draw(np.random.default_rng(0))
    assert_array_equal(np.isnan(draw), y.isna())


def test_other_starts_are_a_bootstrap_around_the_null_fit() -> None:
    """With a proper start the likelihood does depend on the coefficients: they are those of the null fit."""
    y, x = sample(seed=8, n=40, p=2)
    ratio = ratio_of(model_of(y, x, "scalar", initialization="approximate_diffuse"))
    assert isinstance(ratio, FittedRatio) and not ratio.pivotal
    coefs = np.linalg.lstsq(x.to_numpy(), y.to_numpy(), rcond=None)[0]
    draws = np.mean([ratio.draw(np.random.default_rng(seed)) for seed in range(400)], axis=0)
    assert_allclose(np.linalg.lstsq(x.to_numpy(), draws, rcond=None)[0], coefs, atol=0.1)


def test_results_below_the_maximum_are_reported() -> None:
    y, x = sample(seed=5, n=60, move=0.2)
    model = model_of(y, x, "diagonal")
    test = model.smooth(model.start_params).test_constancy(n_sim=1, rng=0)
    assert_allclose(test.llf, fitted(y, x, "diagonal").llf, atol=1e-5)
    assert "below the maximum" in test.notes[0]


# -- what does not change the statistic --------------------------------------------------------------------


def change_of_basis(V: str, p: int, rng: np.random.Generator) -> np.ndarray:
    if V == "unstructured":
        return rng.standard_normal((p, p))
    if V == "diagonal":
        return np.diag(rng.uniform(0.2, 4.0, p))
    if V == "scalar":
        return 3.0 * np.eye(p)
    return 2.0 * np.eye(p) + 0.7


@pytest.mark.parametrize(("V", "W"), sorted(PIVOTAL))
def test_pivotal_statistics_are_invariant(V: str, W: str) -> None:
    """A change of basis that takes V to I, and coefficients added, leave the ratio as it is."""
    y, x = sample(seed=9, n=45, p=3, move=0.15)
    rng = np.random.default_rng(10)
    ratio = ratio_of(model_of(y, x, W, V))
    assert ratio.pivotal
    moved = y @ change_of_basis(V, 3, rng).T + x.to_numpy() @ rng.standard_normal((2, 3))
    other = ratio_of(model_of(moved.set_axis(y.columns, axis=1), x, W, V))
    before, after = (2 * np.subtract(*each.observed(None)[:2]) for each in (ratio, other))
    assert before > 0.5
    assert_allclose(after, before, atol=2e-5)


@pytest.mark.parametrize(("V", "W"), sorted(set(PAIRS) - PIVOTAL))
def test_other_structures_are_not_called_pivotal(V: str, W: str) -> None:
    y, x = sample()
    assert not ratio_of(model_of(y, x, W, V)).pivotal


def test_what_is_pivotal_needs_complete_rows_and_a_diffuse_start() -> None:
    y, x = sample()
    whole, partly = y.copy(), y.copy()
    whole.iloc[3] = np.nan
    partly.iloc[3, 0] = np.nan
    assert ratio_of(model_of(whole, x)).pivotal
    assert not ratio_of(model_of(partly, x)).pivotal
    assert not ratio_of(model_of(y, x, initialization="approximate_diffuse")).pivotal
    assert ratio_of(model_of(y, x, dynamics=BOTH_MOVE)).pivotal
    assert ratio_of(model_of(y, x, "joint", dynamics=BOTH_MOVE)).pivotal
    assert ratio_of(model_of(y, x, V=random_cov(np.random.default_rng(0), 3))).pivotal
    mixed = {"const": "proportional", "MKT": "diagonal"}
    assert not ratio_of(model_of(y, x, mixed, dynamics=BOTH_MOVE)).pivotal
    one = y[["A1"]]
    for W in ("unstructured", "diagonal", "scalar", "proportional"):
        ratio = ratio_of(model_of(one, x, W))
        assert ratio.pivotal and isinstance(ratio, ContrastedRatio)


def test_zero_ratios_are_those_without_slope() -> None:
    """One series: the ratio is positive wherever its slope at q = 0 is (Crainiceanu & Ruppert 2004)."""
    y, x = sample(n=60)
    ratio = ratio_of(model_of(y, x)._of_series(0))
    roots = ratio.axes.sizes
    zero = 0
    for seed in range(200):
        draw = ratio.draw(np.random.default_rng(seed))
        squares = draw[:, 0] ** 2
        slope = len(squares) * (roots @ squares) / squares.sum() - roots.sum()
        value = ratio.ratio(draw)[0]
        assert value > 1e-6 or slope < 1e-3 * roots.sum()
        zero += value < 1e-6
    assert 0.5 < zero / 200 < 0.8


# -- p-values ----------------------------------------------------------------------------------------------


def test_pvalue_and_its_error() -> None:
    ratio = SimulatedRatio(2.0, np.array([0.0, 0.0, 1.0, 2.0, 3.0]), 7, 2, 0)
    assert ratio.pvalue == 3 / 6
    assert ratio.pvalue_upper == 5 / 8
    assert_allclose(ratio.pvalue_se, np.sqrt(0.25 / 5))
    assert ratio.fraction_zero == 0.4
    assert_allclose(ratio.critical_values[0.05], np.quantile([0, 0, 1, 2, 3], 0.95))
    nothing = SimulatedRatio(2.0, np.zeros(0), 3, 3, 0)
    assert nothing.pvalue == 1.0 and nothing.pvalue_upper == 1.0 and np.isnan(nothing.fraction_zero)


class Fragile:
    """A ratio that fails on some samples and does not converge on others."""

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.random())

    def ratio(self, sample: float) -> tuple[float, bool]:
        if sample < 0.2:
            raise np.linalg.LinAlgError
        if sample < 0.4:
            raise sse.EstimationError("no start")
        return (np.nan, True) if sample < 0.5 else (sample, sample > 0.7)


def test_failures_are_counted() -> None:
    seeds = spawn(0, 200)
    draws = np.array([np.random.default_rng(seed).random() for seed in seeds])
    with pytest.warns(UserWarning, match="97 of 200 fits to samples failed .* EstimationError: no start"):
        found = _simulated(0.8, Fragile(), seeds, 1)
    assert found.n_sim == 200
    assert found.n_failed == np.sum(draws < 0.5)
    assert found.n_unconverged == np.sum((draws >= 0.5) & (draws <= 0.7))
    assert_allclose(np.sort(found.simulated), np.sort(draws[draws >= 0.5]), atol=1e-8)


def test_failures_and_doubts_are_said() -> None:
    y, x = sample(seed=5, n=40, p=2)
    test = fitted(y, x, "proportional").test_constancy(n_sim=9, rng=0)
    shown = str(ConstancyTest(**{**vars(test), "n_failed": 2, "n_unconverged": 1, "notes": ["A note"]}))
    assert "2 fits failed" in shown and "1 fits did not converge" in shown and "A note" in shown


def test_a_report_to_read() -> None:
    y, x = sample(seed=5, n=40, p=2)
    shown = str(fitted(y, x, "proportional").test_constancy(n_sim=19, rng=0, per_series=True))
    for text in ("LR = ", "p = ", "Monte Carlo", "pivotal, 19 samples", "LR = 0 in", "pvalue_holm", "Nyblom"):
        assert text in shown
    assert "failed and" not in shown


def test_constancy_on_the_data_of_the_question(shared_data: Path) -> None:
    """The likelihoods of reference.json; two betas of four move."""
    y, x = berndt(shared_data)
    test = fitted(y, x).test_constancy(n_sim=19, rng=1, per_series=True)
    assert_allclose([test.llf, test.llf_null], [-1543.09339332, -1549.96856941], atol=1e-6)
    assert test.distribution == "pivotal" and test.n_failed == 0
    assert test.per_series.loc["MOBIL", "statistic"] == 0.0
    assert test.per_series.loc["MOBIL", "pvalue"] == 1.0
    assert test.per_series["statistic"].idxmax() == "CITCRP"
    one = fitted(y["CITCRP"], x)
    null = sse.DynamicRegression(y["CITCRP"], x).fit()
    assert_allclose(test.per_series.loc["CITCRP", "statistic"], 2 * (one.llf - null.llf), atol=1e-6)


# -- one series at a time ----------------------------------------------------------------------------------


def test_long_samples_have_no_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Kalman filter gives the same ratios."""
    y, x = sample(seed=12, n=80, p=2, move=0.2)
    model = model_of(y, x, "scalar")
    short, usual = ratio_of(model._of_series(0)), ratio_of(model)
    monkeypatch.setattr(constancy_ratios, "LONGEST", 40)
    long, other = ratio_of(model._of_series(0)), ratio_of(model)
    assert isinstance(usual, ContrastedRatio) and isinstance(other, FittedRatio)
    assert isinstance(short, ContrastedRatio) and isinstance(long, FittedRatio) and long.pivotal
    for column in y.to_numpy().T:
        values = [ratio.ratio(ratio.sample_of(column[:, None]))[0] for ratio in (long, short)]
        assert_allclose(*values, atol=1e-5)
    assert_allclose(other.observed(None)[:2], usual.observed(None)[:2], atol=1e-5)


@pytest.mark.parametrize("dynamics", [BETA_MOVES, BOTH_MOVE])
def test_per_series_is_the_fit_of_each_series(dynamics: dict[str, str]) -> None:
    y, x = sample(seed=12, n=50, p=3, move=0.2)
    y.iloc[:8, 1] = np.nan
    test = fitted(y, x, "diagonal", "diagonal", dynamics=dynamics).test_constancy(1, 0, per_series=True)
    for name in y:
        res = fitted(y[name], x, dynamics=dynamics)
        null = sse.DynamicRegression(y[name], x).fit(method="lbfgs")
        assert_allclose(test.per_series.loc[name, "statistic"], 2 * (res.llf - null.llf), atol=1e-5)


def test_holm() -> None:
    y, x = sample(seed=12, n=40)
    table = fitted(y, x, "proportional").test_constancy(19, 0, per_series=True).per_series
    ordered = np.sort(table["pvalue"])
    want = np.minimum(1.0, np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1)))
    assert_allclose(np.sort(table["pvalue_holm"]), want)


# -- other models and refusals ----------------------------------------------------------------------------


def test_capm() -> None:
    """Null fits of a model whose constructor knows alpha and beta, by contrasts and by the Kalman filter."""
    y, x = sample(seed=5, n=40, p=2, move=0.2)
    for data in (y, y.where(y != y.iloc[3, 0])):
        test = (
            CAPM(data, x["MKT"], state_cov="scalar").fit(method="lbfgs").test_constancy(2, 0, per_series=True)
        )
        same = fitted(data, x, "scalar").test_constancy(2, 0)
        assert_allclose([test.statistic, *test.simulated], [same.statistic, *same.simulated], atol=1e-6)


def test_refusals() -> None:
    y, x = sample(n=30, p=2)
    model = model_of(y, x, "diagonal", dynamics={"MKT": "ar1"})
    with pytest.raises(sse.SpecificationError, match='"random_walk" coefficients'):
        constancy_test(model.smooth(model.start_params))
    static = sse.DynamicRegression(y, x).fit()
    with pytest.raises(sse.SpecificationError, match="nothing to test"):
        static.test_constancy()
    zero = fitted(y, x, "zero")
    with pytest.raises(sse.SpecificationError, match="nothing to test"):
        zero.test_constancy()
    with pytest.raises(sse.SpecificationError, match="special case"):
        fitted(y, x, 0.1 * np.eye(2)).test_constancy()
    with pytest.raises(sse.SpecificationError, match="V and W share"):
        shared = [["v", 0], [0, "w"]]
        constancy_test((model := model_of(y, x, shared, shared)).smooth(model.start_params))
    model = model_of(y, x, "scalar")
    for n_sim in (0, -1, 2.5):
        with pytest.raises(sse.SpecificationError, match="n_sim"):
            model.smooth(model.start_params).test_constancy(n_sim)
    with model.fix_params({"state_var.MKT": 0.1}):
        res = model.fit(method="lbfgs")
    with pytest.raises(sse.UnsupportedError, match="without fixed parameters"):
        res.test_constancy(2)


def test_the_results_and_the_model_are_left_as_they_were() -> None:
    y, x = sample(seed=5, n=40, p=2, missing=0.05)
    res = fitted(y, x, "scalar")
    before = res.params.copy(), res.llf, res.model.ssm["state_cov"].copy(), res.smoothed_state.copy()
    res.test_constancy(2, 0, per_series=True)
    after = res.params, res.llf, res.model.ssm["state_cov"], res.smoothed_state
    for a, b in zip(before, after, strict=True):
        assert_array_equal(a, b)
    other = model_on(res.model, y.to_numpy())
    assert other.param_names == res.model.param_names


def test_a_series_whose_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is missing, with a warning; the others, and Holm's correction of all, stay."""
    y, x = sample(seed=5, n=40, p=3)
    res = fitted(y, x, "proportional")
    whole = res.test_constancy(n_sim=9, rng=0, per_series=True).per_series
    plain = ContrastedRatio.ratio
    second = ratio_of(res.model._of_series(1)).rows

    def fragile(self: ContrastedRatio, sample: np.ndarray, *also: None) -> tuple[float, bool]:
        if np.array_equal(sample, second):
            raise np.linalg.LinAlgError("no such series")
        return plain(self, sample, *also)

    monkeypatch.setattr(ContrastedRatio, "ratio", fragile)
    with pytest.warns(UserWarning, match="1 of 3 tests of one series failed .*LinAlgError: no such series"):
        found = res.test_constancy(n_sim=9, rng=0, per_series=True).per_series
    assert found.iloc[1].isna().all()
    kept = found.columns.drop("pvalue_holm")
    np.testing.assert_allclose(found[kept].iloc[[0, 2]], whole[kept].iloc[[0, 2]], rtol=1e-6)
    assert np.all(found["pvalue_holm"].iloc[[0, 2]] >= found["pvalue"].iloc[[0, 2]])


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
