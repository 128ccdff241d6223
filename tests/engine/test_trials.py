"""Trials of statsmodels' optimisers: differences as statsmodels takes them; when the exact score serves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from autoregression import ExactAR1, best, density
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from scipy.optimize import approx_fprime
from statsmodels.regression.recursive_ls import RecursiveLS
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
from statsmodels.tsa.statespace.kalman_filter import MEMORY_CONSERVE
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.system import stationary_radius
from statespace_ext.engine.trials import Trials

Y = np.random.default_rng(0).normal(size=(90, 3)).cumsum(axis=0)
NOISE = np.diff(Y, axis=0)

SMALL: dict[str, tuple[Any, np.ndarray, dict[str, Any]]] = {
    "arma": (sm.tsa.SARIMAX, Y[:, 0], {"order": (1, 0, 1), "trend": "c"}),
    "seasonal": (sm.tsa.SARIMAX, Y[:, 0], {"order": (0, 1, 1), "seasonal_order": (0, 1, 1, 4)}),
    "concentrated": (sm.tsa.SARIMAX, NOISE[:, 0], {"order": (1, 0, 0), "concentrate_scale": True}),
    "level": (sm.tsa.UnobservedComponents, Y[:, 0], {"level": "llevel"}),
    "smoothing": (ExponentialSmoothing, Y[:, 0], {"trend": True}),
    "vector": (sm.tsa.VARMAX, NOISE[:, :2], {"order": (1, 0)}),
    "factor": (sm.tsa.DynamicFactor, NOISE, {"k_factors": 1, "factor_order": 1}),
}


def exact_kind(kind: Any) -> Any:
    return type("Exact", (sse.ExactScoreMixin, kind), {})


@pytest.mark.parametrize("name", SMALL)
def test_a_model_with_few_parameters_takes_the_steps_of_statsmodels(name: str) -> None:
    kind, y, options = SMALL[name]
    plain = kind(y, **options).fit(disp=False)
    ours = exact_kind(kind)(y, **options).fit(disp=False)
    assert ours.mle_retvals["iterations"] == plain.mle_retvals["iterations"]
    assert_allclose(ours.params, plain.params, rtol=1e-6, atol=1e-9)
    assert_allclose(ours.llf, plain.llf, rtol=1e-12)


def test_standard_errors_come_from_the_exact_score_at_any_size() -> None:
    kind, y, options = SMALL["arma"]
    ours = exact_kind(kind)(y, **options)
    by_differences = ours.fit(disp=False, maxiter=200, cov_type="oim")
    exact = ours.fit(disp=False, maxiter=200, optim_score="exact", cov_type="oim")
    assert "exact score" in by_differences.cov_kwds["description"]
    assert_allclose(by_differences.bse, exact.bse, rtol=1e-3)
    assert np.max(np.abs(ours.score(exact.params))) < np.max(np.abs(ours.score(by_differences.params)))


def test_a_model_with_many_parameters_has_one_pass_a_trial() -> None:
    model = exact_kind(sm.tsa.VARMAX)(NOISE, order=(1, 0))
    assert len(model.param_names) == 18 and model.k_states == 3
    res = model.fit(disp=False)
    assert res.mle_retvals["fcalls"] < 18
    asked = model.fit(disp=False, approx_grad=True)
    assert asked.mle_retvals["fcalls"] > res.mle_retvals["fcalls"]
    with model.fix_params({"sqrt.var.y1": 1.0, "intercept.y1": 0.0, "intercept.y2": 0.0}):
        assert model.fit(disp=False).llf < res.llf  # 15 are left: by differences


@pytest.mark.filterwarnings("ignore:Estimation of VARMA", "ignore:DataFrame.fillna with:FutureWarning")
def test_iterations_without_and_with_a_limit() -> None:
    model = exact_kind(sm.tsa.VARMAX)(NOISE, order=(1, 1))
    with pytest.warns(UserWarning, match="converge"):
        res = model.fit(disp=False, cov_type="none")
    assert 50 < res.mle_retvals["iterations"] <= 60
    with pytest.warns(UserWarning, match="converge"):
        assert model.fit(disp=False, maxiter=7, cov_type="none").mle_retvals["iterations"] == 7
    with pytest.warns(UserWarning, match="converge"):
        assert model.fit(None, True, False, "none", None, "lbfgs", 7, disp=0).mle_retvals["iterations"] == 7


def test_differences_are_those_of_scipy() -> None:
    kind, y, options = SMALL["vector"]
    model = exact_kind(kind)(y, **options)
    at = model.untransform_params(model.start_params) + 0.01
    model.update(at, transformed=False)
    trials = Trials(model, lambda *_: None, movable=False)

    def value(params: np.ndarray) -> float:
        return -model.loglike(params, transformed=False) / model.nobs

    assert_allclose(trials._forward(value, 1e-5, at), approx_fprime(at, value, 1e-5), rtol=0, atol=1e-10)


def test_an_observation_that_statsmodels_skips_is_counted() -> None:
    """A variance of 1e-14 is of these units; statsmodels gives a log-likelihood of zero there."""
    y = 1e-7 * NOISE[:, 0]
    plain = sm.tsa.SARIMAX(y, order=(1, 0, 0))
    at = np.array([0.1, 1e-14])
    assert plain.loglike(at) == 0.0
    trials = Trials(plain, lambda *_: None, movable=False)
    found = trials._unskipped(lambda params: -plain.loglike(params))(at)
    assert_allclose(-found, sse.exact_score(plain, at).llf, rtol=1e-10)
    same_units = sm.tsa.SARIMAX(NOISE[:, 0], order=(1, 0, 0)).loglike([0.1, 1.0])
    assert_allclose(-found, same_units + 7 * len(y) * np.log(10), rtol=1e-8)
    slope = trials._forward(lambda params: -plain.loglike(params), 1e-5, at)
    assert np.all(slope != 0.0)


def test_a_model_with_a_fit_of_its_own_keeps_it() -> None:
    x = np.column_stack([np.ones(90), Y[:, 1]])
    res, plain = (kind(Y[:, 0], exog=x).fit() for kind in (exact_kind(RecursiveLS), RecursiveLS))
    assert_allclose(res.params, plain.params, rtol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_an_error_of_the_score_at_the_start_is_raised(name: str) -> None:
    """A misspelt option raises the error of statsmodels; it is no trial without a likelihood."""
    kind, y, options = SMALL[name]
    for each in (kind, exact_kind(kind)):
        with pytest.raises((ValueError, NotImplementedError), match="method"):
            each(y, **options).fit(disp=False, optim_score="exakt")


@pytest.mark.filterwarnings("ignore:Non-")
def test_an_error_of_the_score_later_is_not_a_maximum() -> None:
    class Fails(sse.ExactScoreMixin, sm.tsa.SARIMAX):
        calls = 0

        def score(self, params, *args, **kwargs):
            self.calls += 1
            if self.calls > 2:
                raise ValueError("no score")
            return super().score(params, *args, **kwargs)

    with pytest.warns(ConvergenceWarning, match="failed to converge"):
        res = Fails(NOISE[:, 0], order=(1, 0, 1)).fit(disp=False)
    assert not res.mle_retvals["converged"]


def test_the_mixin_comes_first() -> None:
    with pytest.raises(sse.SpecificationError, match=r"got class Late\(VARMAX, ExactScoreMixin\)"):
        type("Late", (sm.tsa.VARMAX, sse.ExactScoreMixin), {})


# -- trials without a likelihood ---------------------------------------------------------------------------


def walk(seed: int, n: int = 80, p: int = 1) -> np.ndarray:
    return np.random.default_rng([seed, 8]).standard_normal((n, p)).cumsum(axis=0)


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "cg", "ncg", "newton", "nm", "powell", "basinhopping"])
@pytest.mark.parametrize("seed", range(3))
def test_fit_of_an_autoregression_on_a_random_walk(seed: int, method: str) -> None:
    y = walk(seed)[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.tools.sm_exceptions.ConvergenceWarning)
        hops = {"niter": 3} if method == "basinhopping" else {}
        res = ExactAR1(y).fit(disp=False, method=method, maxiter=1000, cov_type="none", **hops)
    want = best(lambda at: density(at, y))
    assert abs(res.params[0]) < 1.0
    assert_allclose(res.llf, density(want, y), atol=1e-4)
    assert_allclose(res.llf, density(res.params, y), rtol=1e-8)


def explosive(growth: float) -> np.ndarray:
    y = np.random.default_rng(1).standard_normal(80)
    for t in range(1, 80):
        y[t] += growth * y[t - 1]
    return y


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "cg", "ncg", "newton", "nm", "powell"])
@pytest.mark.parametrize("growth", [1.1, 1.3])
def test_fit_at_the_border_says_so(growth: float, method: str) -> None:
    """It ends inside, at the maximum; or it says that it does not."""
    y = explosive(growth)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        steps = 40 if method == "newton" else 500
        res = ExactAR1(y).fit(disp=False, method=method, maxiter=steps, cov_type="none")
    assert abs(res.params[0]) < 1.0 and res.params[1] > 0.0
    assert res.mle_retvals["trials_without_likelihood"] > 0
    assert_allclose(res.llf, density(res.params, y), rtol=1e-6)
    reached = res.llf > density(best(lambda at: density(at, y)), y) - 0.1
    assert reached or not res.mle_retvals["converged"]
    border = [each.filename for each in told if "border of the region" in str(each.message)]
    assert reached or border
    assert set(border) <= {__file__}


@pytest.mark.filterwarnings("ignore:Non-stationary starting")
def test_newton_takes_unconstrained_parameters() -> None:
    """statsmodels' own takes derivatives by constrained ones there, and divides by the periods twice."""
    y = walk(2)[:, 0]
    res = exact(sm.tsa.SARIMAX, y, order=(1, 0, 0)).fit(disp=False, method="newton", cov_type="none")
    assert res.mle_retvals["converged"] and res.mle_retvals["iterations"] < 25
    assert_allclose(res.params, best(lambda at: density(at, y)), rtol=1e-4)
    model = res.model
    free = model.untransform_params(res.params)
    want = -richardson_gradient(lambda at: model.score(at, transformed=False), free, step=1e-3) / len(y)
    assert_allclose(res.mle_retvals["Hessian"], want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_start_values_outside_the_region() -> None:
    y = walk(1)[:, 0]
    with pytest.raises(sse.exceptions.ParameterError, match="not stationary"):
        ExactAR1(y).fit([1.02, 1.0], disp=False)
    model = ExactAR1(y)
    model.start_params = np.array([1.02, 1.0])
    res = model.fit(disp=False, maxiter=500, cov_type="none")
    assert_allclose(res.llf, density(best(lambda at: density(at, y)), y), atol=1e-4)


def exact(kind: type[MLEModel], endog: np.ndarray, **options: Any) -> MLEModel:
    return exact_kind(kind)(endog, **options)


UC, FREE = sm.tsa.UnobservedComponents, {"enforce_stationarity": False}
CYCLE = {"cycle": True, "stochastic_cycle": True, "damped_cycle": True, "irregular": True}
RELATIVES: dict[str, Callable[[int], MLEModel]] = {
    "SARIMAX": lambda seed: exact(sm.tsa.SARIMAX, walk(seed), order=(2, 0, 0), **FREE),
    "VARMAX": lambda seed: exact(sm.tsa.VARMAX, walk(seed, p=2), order=(1, 0), trend="n", **FREE),
    "cycle": lambda seed: exact(UC, walk(seed), **CYCLE),
    "autoregression of a component": lambda seed: exact(UC, walk(seed), level="llevel", autoregressive=1),
    "DynamicFactor": lambda seed: exact(
        sm.tsa.DynamicFactor, walk(seed, p=3), k_factors=1, factor_order=1, **FREE
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # statsmodels' start values of random walks
@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.EstimationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", RELATIVES)
def test_fits_of_relatives_on_random_walks(name: str, seed: int) -> None:
    """They end where there is a likelihood, at least as high as statsmodels does where that is inside too."""
    model = RELATIVES[name](seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = model.fit(disp=False, maxiter=300, cov_type="none")
        plain = type(model).__mro__[2](model.endog, **model._get_init_kwds())
        theirs = plain.fit(disp=False, maxiter=300, cov_type="none")
    assert np.isfinite(res.llf) and stationary_radius(model.ssm) < 1.0
    model.update(res.params)
    assert_allclose(sse.exact_score(model, res.params).llf, res.llf, rtol=1e-6)
    if stationary_radius(plain.ssm) < 1.0:
        assert res.llf > theirs.llf - 1e-2


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.EstimationWarning", "ignore:Non-")
def test_a_likelihood_that_keeps_no_terms_has_a_fit() -> None:
    class Frugal(sse.ExactScoreMixin, sm.tsa.SARIMAX):
        def loglike(self, params: Any, *args: Any, **kwargs: Any) -> float:
            return super().loglike(params, *args, conserve_memory=MEMORY_CONSERVE, **kwargs)

    found, whole = (
        kind(Y[:, 0], order=(1, 0, 1)).fit(disp=False) for kind in (Frugal, exact_kind(sm.tsa.SARIMAX))
    )
    assert_allclose(found.llf, whole.llf, rtol=1e-8)


def test_start_values_that_cannot_be_moved_inside_have_a_remedy() -> None:
    class Explosive(sse.ExactScoreMixin, sm.tsa.SARIMAX):
        def update(self, params: Any, *args: Any, **kwargs: Any) -> None:
            super().update(params, *args, **kwargs)
            self["transition", 0, 0] = 1.5

    model = Explosive(NOISE[:, 0], order=(1, 0, 0), enforce_stationarity=False)
    model.ssm.initialize_stationary()
    with pytest.raises(sse.ParameterError, match="modulus 1.5.*Pass start_params with the roots"):
        model.fit(disp=False)
