"""Fits of LGSSM to degenerate samples: they end, and say what is degenerate."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from refusals import NAN, N, Y, changed, model, not_converged, unidentified
from systems import by_turns

import statespace_ext as sse


@unidentified
def test_a_starting_variance_of_zero_is_left() -> None:
    """A gradient method could not: the derivative by its square root is zero there."""
    built = model()
    best = built.fit()
    start = built.matrices(built.start_params)
    start["obs_cov"] = np.diag([0.0, *np.diag(start["obs_cov"])[1:]])
    for method in ("auto", "lbfgs", "newton"):
        res = built.fit(start, method=method)
        assert_allclose(res.llf, best.llf, atol=1e-5)
        assert res.boundary == []


# -- degenerate, with a statement ----------------------------------------------------------------------------


def sound(res: Any) -> str:
    """Check what holds of any result, and return its summary."""
    params, bse = np.asarray(res.params), np.asarray(res.bse)
    assert np.all(np.isfinite(params)) and np.isfinite(res.llf)
    assert not np.any(np.isinf(bse)) and not np.any(bse < 0)
    size = np.maximum(np.abs(params), 1e-3 * np.max(np.abs(params), initial=0.0))
    assert not np.any(bse > 1e4 * size), "absurd standard errors"
    text = res.summary().as_text()
    assert re.search(r"\[\d\] (Converged|NOT CONVERGED): method ", text)
    assert ("At a boundary" in text) == bool(res.boundary)
    assert np.all(np.isnan(bse[[list(res.model.param_names).index(name) for name in res.boundary]]))
    assert all(
        np.all(np.isfinite(res.matrices[key])) for key in ("design", "transition", "obs_cov", "state_cov")
    )
    future = {} if res.model.exog is None else {"exog": res.model.exog[:3]}
    assert np.all(np.isfinite(res.factors.smoothed)) and np.all(np.isfinite(res.forecast(3, **future)))
    return text


methods = pytest.mark.parametrize("method", ["auto", "lbfgs", "em"])
gradient = pytest.mark.parametrize("method", ["auto", "lbfgs"])


@unidentified
@not_converged
@methods
@pytest.mark.parametrize("identification", [None, "triangular"])
def test_one_series_without_noise_is_an_autoregression(method: str, identification: str | None) -> None:
    y = Y[:, 0]
    creeps = {"maxiter": 60} if method == "em" else {}  # towards a variance of zero
    res = sse.LGSSM(y, 1, identification=identification).fit(method=method, **creeps)
    sound(res)
    reference = sm.tsa.SARIMAX(y, order=(1, 0, 0), trend="c").fit(disp=False, maxiter=200)
    if not creeps:
        assert_allclose(res.llf, reference.llf, atol=1e-5)
        assert res.converged and "obs_var.y" in res.boundary
        assert_allclose(res.matrices["transition"].iloc[0, 0], reference.params[1], atol=1e-3)
    assert res.llf <= reference.llf + 1e-6


@unidentified
@gradient
def test_more_factors_than_one_series_can_tell(method: str) -> None:
    res = sse.LGSSM(Y[:, 0], 2).fit(method=method)
    text = sound(res)
    assert res.boundary and "flat along" in text
    smaller = sse.LGSSM(Y[:, 0], 1).fit()
    assert res.llf >= smaller.llf - 1e-6 and res.df_model < len(res.params)


@gradient
def test_a_factor_without_variance(method: str) -> None:
    """The second factor, loading one on each series, is not in the data: its transition has no effect."""
    res = sse.LGSSM(
        Y, 2, design=[[NAN, 1], [NAN, 1], [NAN, 1]], state_cov=[[1, 0], [0, NAN]], transition="diagonal"
    ).fit(method=method)
    text = sound(res)
    assert_allclose(res.llf, model().fit().llf, atol=1e-4)
    assert res.boundary == ["state_var.f2"] and res.converged
    assert "Without effect while a variance is zero, and without standard errors: L1.f2->f2." in text
    assert np.flatnonzero(np.isnan(res.bse)).tolist() == [
        list(res.model.param_names).index(name) for name in ("L1.f2->f2", "state_var.f2")
    ]
    assert_allclose(res.bse[:7], model().fit().bse[:7], rtol=1e-3)


@gradient
def test_a_level_that_does_not_move(method: str) -> None:
    y = 5.0 + np.random.default_rng(3).normal(size=N)
    spec: dict[str, Any] = {"transition": [[1.0]], "obs_intercept": "zero", "initialization": "diffuse"}
    res = sse.LGSSM(y, 1, design=[[1.0]], **spec).fit(method=method)
    text = sound(res)
    assert res.boundary == ["state_var.f1"] and "state_var.f1" in text
    assert_allclose(res.params[0], np.var(y, ddof=1), rtol=1e-4)


TWICE: dict[str, tuple[np.ndarray, int, dict[str, Any]]] = {
    "duplicated series": (Y[:, [0, 0, 1]], 1, {}),
    "duplicated pair": (Y[:, [0, 0]], 1, {}),
    "duplicated series, full obs_cov": (Y[:, [0, 0, 1]], 1, {"obs_cov": "unstructured"}),
    "duplicated series, equicorrelated": (Y[:, [0, 0, 1]], 1, {"obs_cov": "equicorrelated"}),
    "a sum of series": (np.c_[Y[:, :2], Y[:, 0] + Y[:, 1]], 1, {"obs_cov": "unstructured"}),
    "a sum of series, two factors": (np.c_[Y[:, :2], Y[:, 0] + Y[:, 1]], 2, {}),
    "one series, three times": (np.outer(Y[:, 0], [1.0, 2.0, 3.0]), 1, {}),
}


@not_converged
@by_turns("name, method", TWICE, ["auto", "lbfgs", "em"])
def test_dependent_series_have_no_maximum(name: str, method: str) -> None:
    endog, k, spec = TWICE[name]
    res = sse.LGSSM(endog, k, identification="triangular", **spec).fit(method=method)
    text = sound(res)
    stopped = "stopped: the filter failed" in text  # the first M-step is singular: EM cannot go on
    assert stopped or "linearly dependent series" in text.lower() or "At a boundary" in text
    if "Linearly dependent series" in text:
        assert "the log-likelihood has no maximum" in " ".join(text.split()) and np.all(np.isnan(res.bse))


@not_converged
@pytest.mark.parametrize("method", ["bfgs", "cg", "newton", "nm", "powell"])
@pytest.mark.parametrize("columns", [[0], [0, 0, 1]])
def test_other_methods_at_a_boundary(method: str, columns: list[int]) -> None:
    sound(sse.LGSSM(Y[:, columns], 1, identification="triangular").fit(method=method, maxiter=5))


@not_converged
def test_random_starts_of_a_degenerate_model() -> None:
    for endog in (Y[:, :1], Y[:, [0, 0, 1]]):
        res = sse.LGSSM(endog, 1, identification="triangular").fit(n_starts=3, rng=0)
        count = re.search(r"of (\d+) starts reached the best log-likelihood", sound(res))
        assert count and int(count[1]) >= 3  # and those that the model adds


PERFECT: dict[str, dict[str, Any]] = {
    "a trend": {
        "endog": np.arange(60.0), "obs_intercept": "zero", "state_intercept": "free",
        "transition": [[1.0]], "initialization": "estimated",
    },
    "a trend, diffuse": {
        "endog": np.arange(60.0), "obs_intercept": "zero", "state_intercept": "free",
        "transition": [[1.0]], "initialization": "diffuse",
    },
    "a geometric series": {"endog": 0.9 ** np.arange(60.0)},
    "plus and minus": {"endog": (-1.0) ** np.arange(60)},
    "explained by exog": {"endog": 2.0 * np.sqrt(np.arange(60.0)), "exog": np.sqrt(np.arange(60.0))},
    "a random walk": {"endog": np.cumsum(np.random.default_rng(0).normal(size=80))},
}  # fmt: skip


@not_converged
@by_turns("name, method", PERFECT, ["auto", "lbfgs", "em"])
def test_data_without_noise(name: str, method: str) -> None:
    given = dict(PERFECT[name])
    maxiter = 30 if method == "em" else 300  # EM does not end: its variances fall without limit
    res = sse.LGSSM(given.pop("endog"), 1, design=[[1.0]], **given).fit(method=method, maxiter=maxiter)
    sound(res)
    if res.model.initialization_kind == "stationary":
        assert abs(res.matrices["transition"].iloc[0, 0]) < 1.0


UNITS = {"large": 1e8, "small": 1e-8, "mixed": np.array([1e6, 1.0, 1e-6])}


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_units_of_the_data(unit: Any) -> None:
    plain, res = model().fit(), sse.LGSSM(unit * Y, 1, identification="triangular").fit()
    sound(res)
    assert_allclose(res.llf, plain.llf - N * np.sum(np.log(unit * np.ones(3))), atol=1e-4)
    assert_allclose(res.tvalues, plain.tvalues, rtol=1e-2)


def test_a_level_far_from_zero() -> None:
    plain, res = model().fit(), sse.LGSSM(Y + 1e9, 1, identification="triangular").fit()
    sound(res)
    assert_allclose(res.llf, plain.llf, atol=1e-3)
    assert_allclose(res.bse, plain.bse, rtol=1e-2)


@not_converged
@gradient
def test_an_outlier(method: str) -> None:
    sound(sse.LGSSM(changed(1e12, 20, 1), 1, identification="triangular").fit(method=method))


@not_converged
@gradient
def test_nearly_everything_missing(method: str) -> None:
    endog = np.where(np.random.default_rng(0).random((N, 3)) < 0.8, NAN, Y)
    sound(sse.LGSSM(endog, 1, identification="triangular").fit(method=method))


@not_converged
@unidentified
@by_turns("sizes, method", [(4, 1, 3), (6, 1, 3), (12, 2, 3), (5, 1, 1), (12, 4, 2)], ["auto", "lbfgs"])
def test_short_samples(sizes: tuple[int, int, int], method: str) -> None:
    n, k, p = sizes
    sound(sse.LGSSM(Y[:n, :p], k).fit(method=method))


def test_samples_without_information_have_a_summary() -> None:
    """All missing, all zero, a single row: results at given parameters, without a warning."""
    built = model()
    for endog in (np.full((5, 3), NAN), np.zeros((5, 3)), Y[:1], changed(NAN, slice(None), 1)):
        res = built.clone(endog).smooth(built.start_params)
        assert "State" in res.summary().as_text() and np.all(np.isfinite(res.forecast(2)))


@pytest.mark.parametrize("cov_type", ["oim", "approx"])
def test_standard_errors_beside_a_boundary(cov_type: str) -> None:
    """They are those of the model with the variance fixed at zero."""
    y = Y[:, 0]
    res = sse.LGSSM(y, 1, identification="triangular").fit(cov_type=cov_type)
    inside = sse.LGSSM(y, 1, identification="triangular", obs_cov="zero").fit()
    assert np.isnan(res.bse[-1])
    assert_allclose(res.bse[:-1], inside.bse, rtol=1e-3)


def test_nothing_to_estimate() -> None:
    spec = {"design": [[1.0]], "transition": [[0.5]], "obs_intercept": "zero", "obs_cov": "identity"}
    built = sse.LGSSM(Y[:, 0], 1, state_cov="identity", **spec)
    for method in ("auto", "em", "lbfgs", "nm"):
        res = built.fit(method=method)
        assert len(res.params) == 0 and res.converged
        assert_allclose(res.llf, built.loglike([]), rtol=1e-9)
        assert "Converged" in res.summary().as_text()


@not_converged
def test_an_initial_variance_goes_to_zero() -> None:
    """One path has one initial state: its mean explains it, its variance is zero."""
    res = model(initialization="estimated", initial_state_cov="free").fit()
    sound(res)
    assert res.boundary == ["initial_var.f1"]
    assert_allclose(res.llf, model(initialization="estimated").fit().llf, atol=1e-5)


@pytest.mark.parametrize(("zero", "noted"), [("obs_var.y", True), ("state_var.f1", False)])
def test_the_summary_notes_an_unbounded_likelihood_without_noise(zero: str, noted: bool) -> None:
    y = np.random.default_rng(0).normal(size=60)
    level: dict[str, Any] = {"design": [[1.0]], "transition": [[1.0]], "obs_intercept": "zero"}
    model = sse.LGSSM(y, 1, initialization="estimated", **level)
    res = model.smooth(np.where(np.array(model.param_names) == zero, 0.0, y[0] ** 2))
    assert res.boundary == [zero]
    assert ("likelihood is unbounded" in str(res.summary())) is noted
