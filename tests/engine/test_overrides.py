"""Models with a likelihood of their own: the score, and `fit` of the mixin, are of that likelihood."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from autoregression import AR1, ExactAR1, N, Y, best, density
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from scipy.optimize import minimize
from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.model_score import overrides


def prior(params: Any) -> Any:
    """A normal density for phi, mean -.2 and standard deviation .05, without its constant."""
    return -0.5 * ((params[0] + 0.2) / 0.05) ** 2


def posterior(params: np.ndarray) -> float:
    return density(params) + float(prior(params))


class Prior:
    """Adds the prior to the log-likelihood, as a user would."""

    def loglike(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().loglike(params, *args, **kwargs) + prior(params)  # type: ignore[misc]


class BareMap(AR1):
    """With the shortest signature that statsmodels permits."""

    def loglike(self, params: Any, *args: Any) -> Any:
        return super().loglike(params) + prior(params)


class Map(Prior, AR1):
    pass


class MapBelow(sse.ExactScoreMixin, Map):
    """The prior below the mixin."""


class MapAbove(Prior, sse.ExactScoreMixin, AR1):
    """The prior above it."""


class Whole(sse.ExactScoreMixin, AR1):
    """A log-likelihood that calls nothing of the mixin."""

    def loglike(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return MLEModel.loglike(self, params, *args, **kwargs) + prior(params)


def on_the_instance(model: MLEModel) -> MLEModel:
    plain = model.loglike
    model.loglike = lambda params, *args, **kwargs: plain(params, *args, **kwargs) + prior(params)
    return model


def on_ssm(model: MLEModel) -> MLEModel:
    plain = model.ssm.loglike
    model.ssm.loglike = lambda **kwargs: plain(**kwargs) + prior([model["transition", 0, 0]])
    return model


MAPS: dict[str, tuple[Callable[[], MLEModel], str]] = {
    "in the class": (lambda: Map(Y), "loglike of Prior"),
    "bare": (lambda: BareMap(Y), "loglike of BareMap"),
    "below the mixin": (lambda: MapBelow(Y), "loglike of Prior"),
    "above the mixin": (lambda: MapAbove(Y), "loglike of Prior"),
    "beside the mixin": (lambda: Whole(Y), "loglike of Whole"),
    "on the instance": (lambda: on_the_instance(AR1(Y)), "loglike of the model"),
    "on the instance with the mixin": (lambda: on_the_instance(ExactAR1(Y)), "loglike of the model"),
    "on ssm": (lambda: on_ssm(AR1(Y)), "ssm.loglike of its ssm"),
    "on ssm with the mixin": (lambda: on_ssm(ExactAR1(Y)), "ssm.loglike of its ssm"),
}


@pytest.mark.parametrize("name", MAPS)
def test_score_of_a_prior(name: str) -> None:
    build, where = MAPS[name]
    at = np.array([0.4, 0.7])
    result = sse.exact_score(build(), at)
    assert (result.method, result.llf) == ("numerical", pytest.approx(posterior(at), rel=1e-10))
    assert where in result.reason
    assert_allclose(result.score, richardson_gradient(posterior, at), rtol=1e-7)
    plain = sse.exact_score(AR1(Y), at)
    assert plain.method == "exact" and np.abs(plain.score - result.score)[0] > 1.0


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "nm"])
@pytest.mark.parametrize("name", [name for name in MAPS if "mixin" in name])
def test_fit_finds_the_mode_of_the_posterior(name: str, method: str) -> None:
    res = MAPS[name][0]().fit(disp=False, method=method, maxiter=1000, cov_type="none")
    want = best(posterior)
    assert np.abs(want - best(density))[0] > 0.3
    assert_allclose(res.params, want, rtol=1e-3)


def test_second_derivatives_of_the_posterior() -> None:
    model, at = MapBelow(Y), best(posterior)
    want = richardson_gradient(lambda a: richardson_gradient(posterior, a, step=1e-2), at, step=1e-2) / N
    assert_allclose(model.hessian(at), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


class CallsSuper(AR1):
    def loglike(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().loglike(params, *args, **kwargs)

    def smooth(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().smooth(params, *args, **kwargs)


class SaysSo(CallsSuper):
    """The attribute is of this class alone."""

    likelihood_neutral = ("filter",)

    def filter(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().filter(params, *args, **kwargs)


class Neutral(AR1):
    likelihood_neutral = ("filter", "loglikeobs")

    def filter(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().filter(params, *args, **kwargs)

    def loglikeobs(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().loglikeobs(params, *args, **kwargs)


@pytest.mark.parametrize("kind", [CallsSuper, SaysSo, Neutral])
def test_overrides_that_call_super(kind: type[AR1]) -> None:
    at = np.array([0.4, 0.7])
    result = sse.exact_score(kind(Y), at)
    assert_allclose(result.score, richardson_gradient(density, at), rtol=1e-7)
    assert result.method == ("exact" if kind is Neutral else "numerical")
    found = {} if kind is Neutral else {"loglike": "CallsSuper", "smooth": "CallsSuper"}
    assert overrides(kind(Y)) == found


@pytest.mark.parametrize("name", ["loglike", "loglikeobs", "score", "score_obs", "filter", "smooth"])
def test_each_method_counts_wherever_it_is(name: str) -> None:
    own = type("Own", (AR1,), {name: lambda self, *args, **kwargs: getattr(AR1, name)(self, *args, **kwargs)})
    assert overrides(own(Y)) == {name: "Own"}
    assert overrides(type("Own", (own, sse.ExactScoreMixin, AR1), {})(Y)) == {name: "Own"}
    model = AR1(Y)
    assert overrides(model) == {}
    setattr(model, name, getattr(model, name))
    assert overrides(model) == {name: "the model"}
    if hasattr(model.ssm, name):
        model = AR1(Y)
        setattr(model.ssm, name, getattr(model.ssm, name))
        assert overrides(model) == {f"ssm.{name}": "its ssm"}


class Shifted(AR1):
    """`handle_params` adds 0.1 to phi; it is called twice, by the log-likelihood and by `update`."""

    def handle_params(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().handle_params(params, *args, **kwargs) + np.array([0.1, 0.0])


class MovesData(AR1):
    """`update` takes the mean from the data; without its last lines, statsmodels keeps the old data."""

    start_params = np.array([0.3, 0.5, 1.0])
    param_names = ["mean", "phi", "variance"]

    def update(self, params: Any, **kwargs: Any) -> Any:
        super().update(params[1:], **kwargs)
        self.ssm.endog[...] = (Y - params[0])[None]
        for compiled in (self.ssm._representations, self.ssm._statespaces, self.ssm._kalman_filters):
            compiled.clear()


class BindsData(MovesData):
    def update(self, params: Any, **kwargs: Any) -> Any:
        AR1.update(self, params[1:], **kwargs)
        self.ssm.bind(np.asfortranarray((Y - params[0])[None]))


class OwnStart(type(AR1(Y).ssm)):  # type: ignore[misc]
    """A representation that sets the first state itself."""

    def _initialize_state(self, *args: Any, **kwargs: Any) -> Any:
        return super()._initialize_state(*args, **kwargs)


def test_parameters_are_handled_as_the_log_likelihood_does() -> None:
    at = np.array([0.2, 0.7])
    for model in (Shifted(Y), type("Exact", (sse.ExactScoreMixin, Shifted), {})(Y)):
        result = sse.exact_score(model, at)
        assert result.method == "exact"
        assert_allclose(result.llf, model.loglike(at), rtol=1e-12)
        assert_allclose(result.score, richardson_gradient(model.loglike, at), rtol=1e-7)


@pytest.mark.parametrize("kind", [MovesData, BindsData])
def test_data_that_depend_on_the_parameters(kind: type[AR1]) -> None:
    at = np.array([0.3, 0.4, 0.7])
    result = sse.exact_score(kind(Y), at)
    assert result.method == "numerical" and "data that do not depend on the parameters" in result.reason
    if kind is MovesData:
        assert_allclose(result.score, richardson_gradient(lambda v: density(v[1:], Y - v[0]), at), rtol=1e-6)


def test_stages_of_the_filter_that_are_replaced_count() -> None:
    model = AR1(Y)
    model.ssm.__class__ = OwnStart
    assert overrides(model) == {"ssm._initialize_state": "OwnStart"}
    assert sse.exact_score(model, np.array([0.4, 0.7])).method == "numerical"


# -- a score of its own ------------------------------------------------------------------------------------


class OwnScore(AR1):
    """Counts its calls, in a list: attributes themselves are put back after a score."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[Any] = []

    def score(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(params)
        options = args[0] if args and isinstance(args[0], dict) else kwargs
        given = options.get("transformed", True), options.get("includes_fixed", False)
        phi, variance = self.handle_params(params, *given)
        errors, rest = Y[1:] - phi * Y[:-1], (1 - phi**2) * Y[0] ** 2
        by_phi = -phi / (1 - phi**2) + (errors @ Y[:-1] + phi * Y[0] ** 2) / variance
        return np.array([by_phi, 0.5 * ((errors @ errors + rest) / variance - N) / variance])


class ExactOwnScore(OwnScore, sse.ExactScoreMixin, AR1):
    pass


class OwnScoreBelow(sse.ExactScoreMixin, OwnScore):
    """The score below the mixin."""


class ScoreOfPrior(MapBelow):
    """Both, and the score rests on that of the mixin, which is of the whole log-likelihood."""

    def score(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return super().score(params, *args, **kwargs)


def test_own_score_is_used() -> None:
    at = np.array([0.4, 0.7])
    for model in (OwnScore(Y), ExactOwnScore(Y), OwnScoreBelow(Y)):
        result = sse.exact_score(model, at)
        assert result.method == "own" and len(model.calls) == 1 and "score of OwnScore" in result.reason
        assert_allclose(result.score, richardson_gradient(density, at), rtol=1e-6)
    for model in (ExactOwnScore(Y), OwnScoreBelow(Y)):
        res = model.fit(disp=False, cov_type="none")
        assert len(model.calls) > 3
        assert_allclose(res.params, best(density), rtol=1e-3)
    above = type("Above", (Prior, OwnScoreBelow), {})(Y)  # the score below is not of the prior
    assert_allclose(above.score(at), richardson_gradient(posterior, at), rtol=1e-7)
    inherited = ScoreOfPrior(Y)
    assert_allclose(sse.exact_score(inherited, at).score, richardson_gradient(posterior, at), rtol=1e-7)
    assert_allclose(inherited.fit(disp=False, cov_type="none").params, best(posterior), rtol=1e-3)


class BareScore(OwnScore):
    """A score by the constrained parameters alone."""

    def transform_params(self, unconstrained: np.ndarray) -> np.ndarray:
        return np.array([unconstrained[0], unconstrained[1] ** 2])

    def score(self, params: Any) -> Any:
        return super().score(params)


def test_a_score_by_constrained_parameters_is_not_taken_for_that_of_others() -> None:
    model = type("Below", (sse.ExactScoreMixin, BareScore), {})(Y)
    at = np.array([0.4, 0.8])
    want = richardson_gradient(lambda each: density(model.transform_params(each)), at)
    assert_allclose(model.score(at, transformed=False), want, rtol=1e-6)


def test_score_of_a_prior_beside_the_border() -> None:
    """Steps are shorter where longer ones would leave the region."""
    at = np.array([0.9999, 1.0])
    slope_of_prior = np.array([-(at[0] + 0.2) / 0.05**2, 0.0])
    for model in (Map(Y), MapBelow(Y)):
        found = sse.exact_score(model, at)
        assert found.method == "numerical"
        assert_allclose(found.score, OwnScore(Y).score(at) + slope_of_prior, rtol=1e-5)


# -- statsmodels' own overriders ---------------------------------------------------------------------------


def smoothing_loglike(params: np.ndarray, y: np.ndarray) -> float:
    """Simple exponential smoothing with a level that least squares finds, and a given error variance."""
    alpha, variance = params
    effect = np.zeros((len(y), 2))  # of y, and of a first level of one, on the errors
    level = np.array([0.0, 1.0])
    for t, value in enumerate(y):
        effect[t] = [value - level[0], level[1]]
        level = np.array([level[0] + alpha * effect[t, 0], level[1] - alpha * level[1]])
    first = effect[:, 0] @ effect[:, 1] / (effect[:, 1] @ effect[:, 1])
    errors = effect[:, 0] - first * effect[:, 1]
    return float(-0.5 * (len(y) * np.log(2 * np.pi * variance) + errors @ errors / variance))


class ExactSmoothing(sse.ExactScoreMixin, ExponentialSmoothing):
    pass


@pytest.mark.parametrize("kind", [ExponentialSmoothing, ExactSmoothing])
def test_exponential_smoothing_with_a_concentrated_start(kind: type[ExponentialSmoothing]) -> None:
    model = kind(Y, initialization_method="concentrated", concentrate_scale=False)
    at = np.array([0.4, 0.7])
    result = sse.exact_score(model, at)
    assert result.method == "numerical" and "loglike of ExponentialSmoothing" in result.reason
    assert_allclose(result.llf, smoothing_loglike(at, Y), rtol=1e-8)
    want = richardson_gradient(lambda a: smoothing_loglike(a, Y), at)
    assert_allclose(result.score, want, rtol=1e-6)


def test_fit_of_exponential_smoothing_with_a_concentrated_start() -> None:
    res = ExactSmoothing(Y, initialization_method="concentrated", concentrate_scale=False).fit(
        disp=False, maxiter=500, cov_type="none"
    )
    found = minimize(
        lambda at: -smoothing_loglike(at, Y) if 0 < at[0] < 1 and at[1] > 0 else np.inf,
        [0.5, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11},
    )  # fmt: skip
    assert_allclose(smoothing_loglike(np.asarray(res.params), Y), -found.fun, atol=1e-5)


@pytest.mark.parametrize("method", ["estimated", "heuristic", "simple"])
def test_other_starts_of_exponential_smoothing_are_exact(method: str) -> None:
    model = ExponentialSmoothing(Y, initialization_method=method)
    params = np.asarray(model.start_params)
    model.ssm.tolerance = 0.0
    result = sse.exact_score(model, params)
    assert result.method == "exact"
    want = richardson_gradient(model.loglike, params, step=1e-3 * np.maximum(np.abs(params), 0.05))
    assert_allclose(result.score, want, rtol=0, atol=1e-6 * np.abs(want).max())


def mixed(kind: type[DynamicFactorMQ] = DynamicFactorMQ) -> DynamicFactorMQ:
    rng = np.random.default_rng(2)
    y = rng.standard_normal((N, 1)).cumsum(axis=0) * 0.3 + rng.standard_normal((N, 3))
    return kind(y, factors=1, factor_orders=1, standardize=False)


def test_filter_and_smoother_of_dynamic_factors_keep_the_likelihood() -> None:
    model = mixed()
    params = np.asarray(model.start_params) * 0.9
    assert {"filter", "smooth"} <= set(vars(DynamicFactorMQ)) and overrides(model) == {}
    result = sse.exact_score(model, params)
    assert result.method == "exact"
    want = richardson_gradient(model.loglike, params, step=1e-3 * np.maximum(np.abs(params), 0.05))
    assert_allclose(result.score, want, rtol=0, atol=1e-5 * np.abs(want).max())
    other = type("Other", (DynamicFactorMQ,), {"smooth": DynamicFactorMQ.smooth})
    assert overrides(mixed(other)) == {"smooth": "Other"}


@pytest.mark.parametrize("constraints", [None, "x1 + x2 = 1"])
def test_recursive_least_squares(constraints: str | None) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((N, 2))
    x, y = pd.DataFrame(x, columns=["x1", "x2"]), pd.Series(x @ [0.6, 0.5] + 0.3 * rng.standard_normal(N))

    class Exact(sse.ExactScoreMixin, sm.RecursiveLS):
        pass

    plain, ours = (kind(y, x, constraints=constraints) for kind in (sm.RecursiveLS, Exact))
    result = sse.exact_score(plain, [])
    assert result.score.shape == (0,)
    assert_allclose(result.llf, plain.loglike([]), rtol=1e-10)
    theirs, fitted = plain.fit(), ours.fit()
    assert_allclose(fitted.params, theirs.params, rtol=1e-12)
    assert_allclose(fitted.llf, theirs.llf, rtol=1e-12)


def test_our_own_models_keep_the_exact_score() -> None:
    rng = np.random.default_rng(4)
    model = sse.LGSSM(rng.standard_normal((30, 2)), 1)
    assert overrides(model) == {}

    class LGSSMWithPrior(sse.LGSSM):
        def loglike(self, params: Any, *args: Any, **kwargs: Any) -> float:
            return super().loglike(params, *args, **kwargs) + float(prior(np.asarray(params)))

    other = LGSSMWithPrior(model.endog, 1)
    params = np.asarray(model.start_params)
    result = sse.exact_score(other, params)
    assert result.method == "numerical"
    want = sse.exact_score(model, params).score
    want[0] -= (params[0] + 0.2) / 0.05**2
    assert_allclose(result.score, want, rtol=0, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_likelihood_of_the_parameters(copied: Callable[[Any], Any]) -> None:
    """A copy of statsmodels' compiled objects follows no matrices: the likelihood would not move."""
    model = MapBelow(Y)
    model.fit(disp=False, cov_type="none")
    other = copied(model)
    at = np.array([0.4, 0.7])
    assert_allclose(other.loglike(at), posterior(at), rtol=1e-10)
    assert_allclose(sse.exact_score(other, at).score, richardson_gradient(posterior, at), rtol=1e-7)
    plain = copied(_used(AR1(Y)))
    assert_allclose(sse.exact_score(plain, at).llf, density(at), rtol=1e-10)
    found = sse.exact_score(copied(_used(Map(Y))), at).score
    assert_allclose(found, richardson_gradient(posterior, at), rtol=1e-7)


def _used(model: MLEModel) -> MLEModel:
    model.loglike([0.1, 2.0])
    return model


@pytest.mark.parametrize("phi", [1.0, 1.01, -1.2, 30.0])
def test_no_score_outside_the_region(phi: float) -> None:
    for model in (AR1(Y), Map(Y), ExactAR1(Y), MapBelow(Y)):
        with pytest.raises(sse.exceptions.ParameterError, match="not stationary"):
            sse.exact_score(model, [phi, 1.0])


def test_no_finite_likelihood_is_a_named_error() -> None:
    """statsmodels' log-likelihood is 0 at a negative variance: it skips every observation."""
    assert AR1(Y).loglike([0.5, -1.0]) == 0.0
    for model in (AR1(Y), Map(Y), ExactAR1(Y)):
        with pytest.raises(sse.exceptions.ParameterError, match="state_cov must be a covariance"):
            sse.exact_score(model, [0.5, -1.0])
    model = AR1(Y)
    model.loglike = lambda params, *args, **kwargs: -np.inf
    with pytest.raises(sse.exceptions.ParameterError, match="not finite"):
        sse.exact_score(model, [0.5, 1.0])


# -- models of this package ----------------------------------------------------------------------------------


class PriorOnFactor(sse.LGSSM):
    """A model of the package with a prior, which its own methods of estimation do not see."""

    def loglike(self, params: Any, *args: Any, **kwargs: Any) -> float:
        return super().loglike(params, *args, **kwargs) - 0.5 * float(np.sum(np.square(params)))


class Watched(sse.LGSSM):
    """Counts its log-likelihoods, and says that this changes none."""

    likelihood_neutral = ("loglike",)

    def loglike(self, params: Any, *args: Any, **kwargs: Any) -> float:
        return super().loglike(params, *args, **kwargs)


@pytest.mark.parametrize("method", ["auto", "em", "lbfgs", "nm"])
def test_fit_of_the_package_refuses_a_likelihood_that_it_does_not_see(method: str) -> None:
    y = np.random.default_rng(5).standard_normal((60, 2))
    with pytest.raises(sse.UnsupportedError, match="loglike of PriorOnFactor"):
        PriorOnFactor(y, 1, identification="unit").fit(method=method)
    model = sse.LGSSM(y, 1, identification="unit")
    model.loglike = lambda params: 0.0
    with pytest.raises(sse.UnsupportedError, match="loglike of the model"):
        model.fit(method=method)


def test_an_override_that_says_it_is_neutral_is_fitted() -> None:
    y = np.random.default_rng(5).standard_normal((60, 2)).cumsum(axis=0)
    fits = [kind(y, 1, identification="unit").fit(cov_type="none") for kind in (sse.LGSSM, Watched)]
    assert fits[0].llf == fits[1].llf
