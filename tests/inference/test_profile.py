"""Profile likelihood: closed forms, constrained optimisation by scipy, limits, processes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq, minimize
from scipy.stats import chi2
from systems import sampled
from yields import random_panel

import statespace_ext as sse

CUT = chi2.ppf(0.95, 1)


def white_noise(n: int = 50) -> tuple[np.ndarray, Any]:
    y = np.random.default_rng(2).normal(1.0, 2.0, n)
    model = sse.LGSSM(y, 1, design=[[0]], transition=[[0]], state_cov=[[1]], obs_intercept="free")
    return y, model.fit()


def by_scipy(model: Any, name: str, value: float, start: np.ndarray, variances: list[int]) -> float:
    """
    Return the maximum over the other parameters of a model with diagonal covariances, by scipy alone.

    Variances start at 0.3 or more: near zero their logarithms are flat.
    """
    place = model.param_names.index(name)
    others = [i for i in range(len(start)) if i != place]

    def full(z: np.ndarray) -> np.ndarray:
        out = np.array(start, dtype=float)
        out[others] = z
        out[variances] = np.exp(out[variances])
        out[place] = value
        return out

    def loss(z: np.ndarray) -> float:
        try:
            return -model.loglike(full(z))
        except (ValueError, np.linalg.LinAlgError):
            return 1e6

    z = np.array(start, dtype=float)
    z[variances] = np.log(np.maximum(z[variances], 0.3))
    z = z[others]
    z = minimize(loss, z, method="BFGS", options={"gtol": 1e-7}).x
    return -loss(z)


def test_closed_forms_of_white_noise() -> None:
    """Mean: n log(1 + (v - m)^2 / s2). Variance: n (log(v / s2) + s2 / v - 1)."""
    y, res = white_noise()
    n, mean, s2 = len(y), y.mean(), y.var()
    found = res.profile("obs_intercept.y", level=0.9)
    half = np.sqrt(s2 * np.expm1(chi2.ppf(0.9, 1) / n))
    assert_allclose(found.interval, [mean - half, mean + half], rtol=1e-4)
    values = found.table.index.to_numpy()
    assert_allclose(found.table["lr"], n * np.log1p((values - mean) ** 2 / s2), atol=1e-6)
    found = res.profile("obs_var.y")

    def ratio(v: Any) -> Any:
        return n * (np.log(v / s2) + s2 / v - 1.0)

    assert_allclose(found.table["lr"], ratio(found.table.index.to_numpy()), atol=1e-6)
    ends = [brentq(lambda v: ratio(v) - CUT, *bracket) for bracket in ((0.1 * s2, s2), (s2, 10 * s2))]
    assert_allclose(found.interval, ends, rtol=1e-4)
    assert not found.ends and not found.at_boundary and found.table["converged"].all()
    assert_allclose(found.params["obs_intercept.y"], mean, rtol=1e-4)
    assert_array_equal(found.params["obs_var.y"], found.table.index)


def test_by_direct_optimisation() -> None:
    """A loading, a transition and a variance of a factor model with missing values."""
    model, params = sampled(
        np.random.default_rng(12), 60, 2, 1, identification="triangular", root=0.7, missing=0.1
    )
    res = model.fit(params, method="lbfgs")
    variances = [i for i, name in enumerate(model.param_names) if "var" in name]
    for name in ("loading.f1->y2", "L1.f1->f1", "obs_var.y1"):
        found = res.profile(name)
        for side, end in zip(("lower", "upper"), found.interval, strict=True):
            start = found.params.iloc[np.argmin(np.abs(found.params.index - end))]
            direct = by_scipy(model, name, end, start, variances)
            if side in found.ends:
                assert end == 0.0 and 2 * (res.llf - direct) < CUT
            else:
                assert_allclose(2 * (res.llf - direct), CUT, atol=2e-3)
        value = found.table.index[2]
        direct = by_scipy(model, name, value, found.params.loc[value], variances)
        assert_allclose(found.table.loc[value, "llf"], direct, atol=1e-5)


def test_the_unit_root_of_a_stationary_autoregression() -> None:
    """The end is just below one, where the exact likelihood of an AR(1), in closed form, falls steeply."""
    y = np.cumsum(np.random.default_rng(1).standard_normal(80))
    res = sse.LGSSM(y, 1, design=[[1]], obs_intercept="zero", obs_cov="zero").fit()

    def llf(phi: float) -> float:
        squares = (1 - phi**2) * y[0] ** 2 + np.sum((y[1:] - phi * y[:-1]) ** 2)
        return -0.5 * (80 * (np.log(2 * np.pi * squares / 80) + 1) - np.log(1 - phi**2))

    found = res.profile("L1.f1->f1")
    assert_allclose(found.table["llf"], [llf(phi) for phi in found.table.index], atol=1e-5)
    assert found.upper > 0.999 and not found.ends
    top = 2 * res.llf - CUT
    ends = [brentq(lambda phi: 2 * llf(phi) - top, *side) for side in ((0.7, 0.96), (0.97, 1 - 1e-9))]
    assert_allclose(found.interval, ends, atol=1e-5)


def test_without_standard_errors_it_is_the_same() -> None:
    _, res = white_noise()
    plain = res.model.fit(cov_type="none")
    for name in res.model.param_names:
        assert_allclose(plain.profile(name).interval, res.profile(name).interval, rtol=1e-4)


def test_a_grid() -> None:
    y, res = white_noise()
    grid = [0.5, 1.0, 1.6]
    found = res.profile("obs_intercept.y", grid)
    want = len(y) * np.log1p((np.array(grid) - y.mean()) ** 2 / y.var())
    assert_allclose(found.table.loc[grid, "lr"], want, atol=1e-6)


def test_a_covariance() -> None:
    """The ends of the interval of a covariance, against fits with it held there from default starts."""
    y, x = simulated(np.random.default_rng(0), 60, 2)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov="scalar")
    res = model.fit(method="lbfgs")
    found = res.profile("obs_cov.A1.A2")
    assert found.lower < res.params["obs_cov.A1.A2"] < found.upper
    for end in found.interval:
        with model.fix_params({"obs_cov.A1.A2": end}):
            llf = model.fit(method="lbfgs", cov_type="none").llf
        assert_allclose(2 * (res.llf - llf), CUT, atol=2e-3)


def test_a_variance_at_zero_has_one_side() -> None:
    y, x = simulated(np.random.default_rng(0), 40, 1, move=0.0)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    res = model.fit(method="lbfgs")
    name = "state_var.MKT.A1"
    assert name in res.boundary
    found = res.profile(name)
    assert found.at_boundary and found.lower == 0.0 and found.ends == {"lower": "limit of the parameter"}
    direct = by_scipy(model, name, found.upper, np.asarray(res.params), [0])
    assert_allclose(2 * (res.llf - direct), CUT, atol=1e-3)
    assert "not exact" in str(found) and "limit of the parameter" in str(found)


def test_a_variance_that_may_be_zero_ends_there() -> None:
    """The estimate is inside, but zero is not rejected; where it is, the end is inside."""
    for move, ends in ((0.05, {"lower": "limit of the parameter"}), (1.0, {})):
        y, x = simulated(np.random.default_rng(1), 40, 1, move=move)
        model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
        res = model.fit(method="lbfgs")
        with model.fix_params({"state_var.MKT.A1": 0.0}):
            ratio = 2 * (res.llf - model.fit(method="lbfgs", cov_type="none").llf)
        found = res.profile("state_var.MKT.A1")
        assert not res.boundary and not found.at_boundary
        assert found.ends == ends and (ratio < CUT) == bool(ends)
        assert found.lower == 0.0 if ends else found.lower > 0.0


def test_coefficients_end_at_the_unit_circle() -> None:
    y, x = simulated(np.random.default_rng(4), 60, 1, move=0.3)
    res = sse.DynamicRegression(y, x, dynamics={"MKT": "ar1"}).fit()
    name = next(name for name in res.model.param_names if name in res.model.layout.bounded)
    found = res.profile(name)
    assert found.ends.get("upper") == "limit of the parameter" and found.upper == pytest.approx(1.0, abs=1e-5)


def test_what_the_data_do_not_tell_is_open() -> None:
    """The loading and the transition of a factor without any effect on the likelihood."""
    y = np.random.default_rng(2).normal(size=40)
    model = sse.LGSSM(
        y, 1, transition=[[0]], state_cov=[[1]], design=[["a"]], obs_intercept="zero", obs_cov=[["b"]]
    )  # a^2 + b is all that is known
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = model.fit([0.1, 0.8], cov_type="none")
    found = res.profile("b")
    assert found.ends["lower"] == "limit of the parameter" and found.lower == 0.0
    with model.fix_params({"b": 0.5}):
        part = model.fit()
    alone = part.profile("a")
    assert (alone.params["b"] == 0.5).all()
    direct = [2 * (part.llf - model.loglike([end, 0.5])) for end in alone.interval]
    assert_allclose([ratio for ratio, end in zip(direct, ("lower", "upper"), strict=True)
                     if end not in alone.ends], CUT, atol=1e-3)  # fmt: skip


def test_a_direction_without_effect_is_open() -> None:
    """The scale of a loading, where the variance of its factor is free too."""
    y = np.random.default_rng(0).standard_normal((60, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = sse.LGSSM(y, 1, obs_cov="scalar").fit()
    found = res.profile("loading.f1->y1")
    assert found.interval == (-np.inf, np.inf) and set(found.ends.values()) == {"open"}
    assert np.max(np.abs(found.table["lr"])) < 1e-3
    assert len(found.plot().axes[0].get_lines()) == 3  # no ends to draw


def test_the_last_fit_is_the_end_where_there_are_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _, res = white_noise()
    maximum = res.model.maximum

    def limited(start: Any, fixed: dict[str, float]) -> Any:
        if fixed["obs_intercept.y"] > 1.2:
            raise sse.EstimationError("There is no fit")
        return maximum(start, fixed)

    lower = res.profile("obs_intercept.y").lower
    monkeypatch.setattr(res.model, "maximum", limited)
    found = res.profile("obs_intercept.y", n_jobs=1)
    assert found.ends == {"upper": "no fit beyond"} and found.lower == lower
    assert_allclose(found.upper, 1.2, atol=1e-4)


def test_the_term_structure() -> None:
    tau = [0.5, 2.0, 5.0, 10.0]
    model = sse.ATSM(random_panel(np.random.default_rng(0), 30, tau, 1), maturities=tau, k_factors=1)
    res = model.fit()
    name = model.param_names[-1]
    found = res.profile(name)
    for end in found.interval:
        with model.fix_params({name: end}):
            llf = model.fit(np.asarray(res.params), includes_fixed=True, method="mle", cov_type="none").llf
        assert_allclose(2 * (res.llf - llf), CUT, atol=5e-3)


def test_estimates_that_are_not_the_maximum() -> None:
    _, res = white_noise()
    poor = res.model.smooth(np.asarray(res.params) * [1.0, 1.3])
    assert "are not the maximum" in str(poor.profile("obs_intercept.y"))
    assert "are not the maximum" not in str(res.profile("obs_intercept.y"))


def test_processes_do_not_change_it() -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    _, res = white_noise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one, two = (res.profile("obs_var.y", n_jobs=jobs) for jobs in (1, 2))
    assert one.interval == two.interval and one.table.equals(two.table)


def test_the_model_is_left_as_it_was() -> None:
    _, res = white_noise()
    before = res.model.ssm["obs_cov"].copy()
    res.profile("obs_var.y")
    assert_array_equal(res.model.ssm["obs_cov"], before)
    assert not res.model._has_fixed_params


def test_the_picture() -> None:
    _, res = white_noise()
    found = res.profile("obs_var.y")
    (axis,) = found.plot().axes
    curve, cut = axis.get_lines()[:2]
    assert_allclose(curve.get_ydata(), found.table["lr"])
    assert_allclose(cut.get_ydata(), CUT)
    assert axis.get_xlabel() == "obs_var.y"


def test_refusals() -> None:
    _, res = white_noise()
    with pytest.raises(sse.ParameterError, match="No free parameter"):
        res.profile("beta")
    with res.model.fix_params({"obs_var.y": 4.0}):
        fixed = res.model.fit()
    with pytest.raises(sse.ParameterError, match="No free parameter"):
        fixed.profile("obs_var.y")
    for level in (95, "high"):
        with pytest.raises(sse.SpecificationError, match="level"):
            res.profile("obs_var.y", level=level)
    with pytest.raises(sse.ParameterError, match="must be real numbers"):
        res.profile("obs_var.y", ["a"])
    with pytest.raises(sse.SpecificationError, match="finite"):
        res.profile("obs_var.y", [np.nan])
