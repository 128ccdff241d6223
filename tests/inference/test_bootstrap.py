"""The bootstrap: against closed forms, the data themselves, the information, and rotations."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose, assert_array_equal
from oracle import joint
from systems import dense_system, sampled
from walk_subjects import SUBJECTS
from yields import turning_panel

import statespace_ext as sse
from statespace_ext.inference.bootstrap import Bootstrap, Innovations, Parametric, aligned, bootstrap


def white_noise(n: int = 50) -> Any:
    y = np.random.default_rng(2).normal(1.0, 2.0, n)
    model = sse.LGSSM(y, 1, design=[[0]], transition=[[0]], state_cov=[[1]], obs_intercept="free")
    return model.fit()


def test_closed_form_of_white_noise() -> None:
    """Mean: N(m, s2/n). Variance: s2 chi2(n-1)/n, with bias -s2/n. AICb: the penalty in closed form."""
    res, n, count = white_noise(), 50, 200
    errors = 4.0 / np.sqrt(2 * count)  # four standard errors of a standard deviation
    boot = res.bootstrap(count, rng=1)
    s2 = res.params[[i for i, name in enumerate(res.model.param_names) if "var" in name][0]]
    var = [name for name in boot.bse.index if "var" in name][0]
    mean = [name for name in boot.bse.index if "var" not in name][0]
    assert_allclose(boot.bse[mean], np.sqrt(s2 / n), rtol=errors)
    assert_allclose(boot.bse[var], s2 * np.sqrt(2 * (n - 1)) / n, rtol=errors)
    assert abs(boot.bias[var] + s2 / n) < 4 * boot.bse[var] / np.sqrt(count)
    m, v = boot.params[mean], boot.params[var]
    loss = n * (np.log(v) + (s2 + (m - boot.estimates[mean]) ** 2) / v) - n * (np.log(s2) + 1.0)
    assert_allclose(boot.aicb, -2 * res.llf + 2 * loss.mean(), rtol=1e-6)
    assert not boot.failures and not boot.boundary


def test_parametric_samples_have_the_moments_of_the_model() -> None:
    """Mean and covariance of all observations, from the joint normal distribution."""
    model, params = sampled(np.random.default_rng(7), 4, 2, 1, identification="triangular", root=0.8)
    prior = joint(dense_system(model.system(params))[0], 4)
    mean, cov = prior.mean[4:], prior.cov[4:, 4:]
    sampler, rng = Parametric(model, params), np.random.default_rng(0)
    draws = np.array([sampler.draw(rng).ravel() for _ in range(20000)])
    scale = np.sqrt(np.diag(cov))
    assert np.max(np.abs(draws.mean(axis=0) - mean) / scale) < 0.035
    assert np.max(np.abs(np.cov(draws.T) - cov) / np.outer(scale, scale)) < 0.05


def test_missing_stay_missing() -> None:
    model, params = sampled(np.random.default_rng(7), 30, 2, 1, missing=0.3, identification="triangular")
    draw = Parametric(model, params).draw(np.random.default_rng(0))
    assert_array_equal(np.isnan(draw), np.isnan(model.endog))


@pytest.mark.parametrize("lags", [1, 2])
def test_the_innovations_in_their_order_give_the_data(lags: int) -> None:
    model, params = sampled(np.random.default_rng(7), 30, 2, 1, identification="triangular", lags=lags)
    sampler = Innovations(model, params)
    with model.preserved():
        model.update(params)
        found = model.ssm.filter()
    raw = np.array(
        [
            np.linalg.solve(sampler.square_roots[:, :, t], found.forecasts_error[:, t])
            for t in range(model.nobs)
        ]
    )
    assert_allclose(sampler.rebuilt(raw), model.endog, atol=1e-10)
    assert_allclose(sampler.errors.mean(axis=0), 0.0, atol=1e-12)


def test_both_agree_with_the_information() -> None:
    model, params = sampled(np.random.default_rng(12), 300, 2, 1, identification="triangular", root=0.7)
    res = model.fit(params, method="lbfgs")
    for method in ("parametric", "innovations"):
        boot = bootstrap(res, 20, method, rng=1)
        assert not boot.failures
        assert np.all(np.abs(np.log(boot.bse / res.bse)) < 0.5), method


def test_refusals() -> None:
    model, params = sampled(np.random.default_rng(7), 30, 2, 1, missing=0.3, identification="triangular")
    with pytest.raises(sse.DataError, match="complete data"):
        bootstrap(model.smooth(params), 5, "innovations")
    diffuse, params = sampled(
        np.random.default_rng(7),
        30,
        2,
        1,
        design=[[1], [1]],
        initialization="diffuse",
        obs_intercept=[0, 1.0],
    )
    with pytest.raises(sse.SpecificationError, match="proper distribution"):
        bootstrap(diffuse.smooth(params), 5, "innovations")
    for options in ({"method": "wild"}, {"n_boot": 1}):
        with pytest.raises(sse.SpecificationError):
            bootstrap(white_noise(), **options)


def test_a_variance_at_its_boundary_is_flagged_and_has_percentiles() -> None:
    y, x = simulated(np.random.default_rng(0), 40, 1, move=0.0)
    res = sse.DynamicRegression(y, x, dynamics=BETA_MOVES).fit(method="lbfgs")
    boot = bootstrap(res, 20, rng=0)
    table = boot.conf_int()
    name = [name for name in boot.params if "state" in name][0]
    assert name in boot.boundary and table.loc[name, "at_boundary"]
    assert_allclose(table.loc[name, "lower"], boot.params[name].quantile(0.025))
    assert table.loc[name, "lower"] >= 0.0


def test_a_rotation_is_turned_back() -> None:
    """Rotations are a symmetry of free loadings with unit innovations."""
    model, params = sampled(
        np.random.default_rng(4), 30, 3, 2, design=np.full((3, 2), np.nan), state_cov=np.eye(2)
    )
    at = model.layout.matrices(params)
    angle = 1.0
    G = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = model.params_from_matrices(
        {**at, "design": at["design"] @ G, "transition": G.T @ at["transition"] @ G}
    )
    assert np.max(np.abs(turned - params)) > 0.1
    assert_allclose(model.loglike(turned), model.loglike(params), rtol=1e-10)
    assert_allclose(aligned(model, turned, params), params, atol=1e-8)


def test_exchanged_factors_are_put_back() -> None:
    """With a diagonal transition only permutations and signs are symmetries; the loadings are not equal."""
    rng = np.random.default_rng(6)
    model, params = sampled(rng, 30, 4, 3, transition="diagonal", state_cov=np.eye(3))
    near = model.params_from_matrices(
        {key: value + 0.05 * rng.standard_normal(value.shape) * (value != 0)
         for key, value in model.layout.matrices(params).items() if key in ("design", "transition")}
        | {"obs_cov": model.layout.matrices(params)["obs_cov"]}
    )  # fmt: skip
    at = model.layout.matrices(near)
    G = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    turned = model.params_from_matrices(
        {**at, "design": at["design"] @ G, "transition": G.T @ at["transition"] @ G}
    )
    assert_allclose(model.loglike(turned), model.loglike(near), rtol=1e-10)
    assert np.max(np.abs(turned - near)) > 0.1
    assert_allclose(aligned(model, turned, params), near, atol=1e-12)


@pytest.mark.parametrize("key", ["transition", "state_cov"])
def test_matrices_that_vary_over_time(key: str) -> None:
    """The factors of the samples are not rotated, and no sample fails."""
    path = np.where(np.arange(40) < 20, 0.5, 0.9)[None, None]
    y = np.random.default_rng(0).standard_normal((40, 3))
    model = sse.LGSSM(y, 1, obs_cov="scalar", initialization="estimated", **{key: path})
    res = model.fit(method="lbfgs", cov_type="none")
    params = np.asarray(res.params)
    assert_array_equal(aligned(model, params, 0.5 * params), params)
    assert not res.bootstrap(2, rng=0).failures


def test_processes_do_not_change_the_samples() -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    res = white_noise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one, two = (bootstrap(res, 6, rng=3, n_jobs=jobs).params for jobs in (1, 2))
    assert_array_equal(one, two)


def test_a_diffuse_start_and_missing_returns() -> None:
    """Samples start at the smoothed coefficients of the data, and no warning comes of it."""
    y, x = simulated(np.random.default_rng(0), 40, 2, missing=0.1)
    res = sse.CAPM(y, x["MKT"]).fit(method="lbfgs", cov_type="none")
    sampler = Parametric(res.model, np.asarray(res.params))
    assert_allclose(sampler.mean, np.asarray(res.smoothed_state)[:, 0], atol=1e-8)
    assert not sampler.spread.any()
    boot = bootstrap(res, 2, rng=0, n_jobs=1)
    assert not boot.failures and np.isfinite(boot.aicb)


@pytest.mark.parametrize("kind", ["LGSSM", "one state of two", "DynamicRegression", "ar1"])
def test_an_approximately_diffuse_start_is_unknown(kind: str) -> None:
    """Samples start at the smoothed states, as with a diffuse start, and not from a variance of 1e6."""
    y, x = simulated(np.random.default_rng(0), 40, 2)
    vague = "approximate_diffuse"
    both = {"design": "identity", "transition": "diagonal", "state_cov": "diagonal"}
    model = {
        "LGSSM": lambda: sse.LGSSM(y, 1, design=[[1.0], [1.0]], initialization=vague),
        "one state of two": lambda: sse.LGSSM(y, 2, initialization=["stationary", vague], **both),
        "DynamicRegression": lambda: sse.DynamicRegression(y, x, dynamics=BETA_MOVES, initialization=vague),
        "ar1": lambda: sse.DynamicRegression(y, x, dynamics={"MKT": "ar1"}, initialization=vague),
    }[kind]()
    res = model.smooth(model.start_params, cov_type="none")
    sampler = Parametric(model, np.asarray(res.params))
    drawn = np.diag(sampler.spread) > 0
    assert list(np.flatnonzero(drawn)) == {"one state of two": [0], "ar1": [4, 5]}.get(kind, [])
    assert_allclose(sampler.mean[~drawn], np.asarray(res.smoothed_state)[~drawn, 0], atol=1e-8)
    assert np.abs(sampler.spread).max() < 10.0
    with pytest.raises(sse.SpecificationError, match="proper distribution"):
        Innovations(model, np.asarray(res.params))


@pytest.mark.parametrize("subject", ["LGSSM", "DynamicRegression", "ATSM"])
@pytest.mark.parametrize("start", ["diffuse", "approximate_diffuse"])
def test_a_diffuse_start_of_the_user_is_unknown(subject: str, start: str) -> None:
    s = SUBJECTS[subject]
    model = s.model()
    getattr(model.ssm, f"initialize_{start}")()
    sampler = Parametric(model, s.params)
    assert not sampler.spread.any()
    assert_allclose(sampler.mean, np.asarray(model.smooth(s.params).smoothed_state)[:, 0], atol=1e-8)


def test_a_diffuse_start_of_portfolios_without_errors_is_that_of_the_data() -> None:
    """Samples do not start from a standard deviation of one, which is 100 percentage points of a yield."""
    y, maturities = turning_panel(60)
    spec: dict[str, Any] = {"k_factors": 2, "dt": 1 / 12, "obs_cov": "exact-portfolios"}
    model = sse.ATSM(y, maturities, initialization="diffuse", **spec)
    sampler = Parametric(model, np.asarray(model.start_params))
    assert_allclose(sampler.mean, model.first_portfolios)
    assert not sampler.spread.any()


def test_intervals() -> None:
    """Percentiles are the quantiles of the samples; the basic interval is their mirror image."""
    boot = white_noise().bootstrap(40, rng=3)
    low, high = np.quantile(boot.params, [0.05, 0.95], axis=0)
    percentile = boot.conf_int(0.1, method="percentile")
    assert_allclose(percentile[["lower", "upper"]], np.column_stack([low, high]))
    basic = 2.0 * boot.estimates.to_numpy()[:, None] - np.column_stack([high, low])
    table = boot.summary(0.1)
    assert_allclose(table[["lower", "upper"]], basic)
    assert_allclose(table[["estimate", "bias", "se"]].T, [boot.estimates, boot.bias, boot.bse])
    for wrong in ({"method": "normal"}, {"alpha": 1.5}):
        with pytest.raises(sse.SpecificationError, match="is unknown|must be between 0 and 1"):
            boot.conf_int(**wrong)


def test_factors_that_cannot_be_aligned_stay_as_they_are() -> None:
    """Loadings of zero know no direction."""
    model, params = sampled(np.random.default_rng(7), 30, 3, 2, identification="triangular", root=0.8)
    loadings = [i for i, name in enumerate(model.param_names) if name.startswith("loading")]
    none = np.array(params)
    none[loadings] = 0.0
    assert_allclose(aligned(model, none, params), none, rtol=0, atol=1e-15)


def test_plot_of_the_samples() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    names = [f"p{i}" for i in range(14)]
    draws = pd.DataFrame(np.random.default_rng(0).normal(size=(99, 14)), columns=names)
    draws.iloc[7] = np.nan  # a fit that failed
    found = Bootstrap(draws, draws.mean(), 0.0, np.zeros(99), [], {7: "failed"}, "parametric")
    fig = found.plot(["p3", "p0"], alpha=0.1, method="percentile")
    assert [axis.get_title(loc="left") for axis in fig.axes] == ["p3", "p0"]
    axis = fig.axes[0]
    assert sum(patch.get_height() for patch in axis.patches) == 98
    places = [line.get_xdata()[0] for line in axis.lines]
    ends = found.conf_int(0.1, "percentile").loc["p3", ["lower", "upper"]]
    assert_allclose(places, [found.estimates["p3"], *ends])
    assert [text.get_text() for text in fig.legends[0].get_texts()][-1] == "90 % interval"
    assert len(found.plot(fig=plt.figure()).axes) == 12
    with pytest.raises(sse.SpecificationError, match="p99"):
        found.plot("p99")
