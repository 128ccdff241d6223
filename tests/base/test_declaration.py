"""A model declared by one call of `declare`, against LGSSM and a plain `MLEModel`."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.base import StateSpaceModel, StateSpaceResults

BLOCKS = ("design", "transition", "obs_intercept", "state_intercept", "obs_cov", "state_cov")
Y = np.random.default_rng(3).normal(size=(60, 3)).cumsum(axis=0) * 0.3


class Cycle(StateSpaceModel):
    """One AR(2) factor, its coefficients and loadings free, in companion form."""

    def __init__(self, endog, scale=1.0, *, initialization="stationary"):
        super().__init__(endog, k_states=2, k_posdef=1)
        self.scale = scale
        loadings = [[scale, 0.0], *[[np.nan, 0.0]] * (self.k_endog - 1)]
        self.declare(
            design=np.array(loadings),
            transition=np.array([[np.nan, np.nan], [1.0, 0.0]]),
            noise_rows=[0],
            obs_intercept="free",
            state_intercept="free",
            obs_cov="diagonal",
            state_cov="unstructured",
            initialization=initialization,
        )

    def default_start(self, problem):
        layout = problem.layout
        at = {
            "design": np.ones((self.k_endog, 2)),
            "transition": np.array([[0.5, 0.1]]),
            "obs_intercept": np.zeros((self.k_endog, 1)),
            "state_intercept": np.zeros((1, 1)),
            "obs_cov": np.eye(self.k_endog),
            "state_cov": np.eye(1),
        }
        return layout.project(at, np.zeros(len(layout)))


def lgssm(y):
    """The same model by LGSSM: two lags, the first loading fixed."""
    return sse.LGSSM(
        y,
        1,
        2,
        design=np.array([[1.0], [np.nan], [np.nan]]),
        state_cov="unstructured",
        state_intercept="free",
    )


def moved(start, seed=0):
    return start + 0.1 * np.random.default_rng(seed).uniform(-1, 1, len(start))


def test_the_likelihood_is_that_of_lgssm():
    ours, theirs = Cycle(Y), lgssm(Y)
    params = moved(ours.start_params)
    at = ours.matrices(params)
    matrices = {key: at[key] for key in BLOCKS}
    matrices["design"] = at["design"][:, :1]
    same = theirs.params_from_matrices(matrices)
    assert_allclose(ours.loglike(params), theirs.loglike(same), rtol=1e-12)
    assert_allclose(np.sort(ours.score(params)), np.sort(theirs.score(same)), rtol=1e-9, atol=1e-9)


def test_the_score_is_exact():
    model = Cycle(Y)
    params = moved(model.start_params, 1)
    expected = richardson_gradient(model.loglike, params)
    assert_allclose(model.score(params), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The likelihood is flat")  # an intercept of the state beside all others
@pytest.mark.parametrize("method", ["em", "auto"])
def test_fits_end_at_the_maximum_of_lgssm(method):
    theirs, model = lgssm(Y).fit(), Cycle(Y)
    at = theirs.model.matrices(theirs.params)
    at["design"] = np.column_stack([at["design"], np.zeros(3)])
    start = model.params_from_matrices({key: at[key] for key in model.layout.blocks if key in BLOCKS})
    start = (0.997 if method == "em" else 0.97) * start
    ours = model.fit(start, method=method, maxiter=3000, tolerance=1e-7)
    assert_allclose(ours.llf, theirs.llf, atol=1e-4)
    trace = model.fit(start, method="em", maxiter=20, tolerance=0, cov_type="none").em_trace["llf"]
    assert trace.is_monotonic_increasing


def test_a_clone_repeats_the_arguments_of_the_constructor():
    model = Cycle(Y, 2.0)
    assert model.clone(Y[:30]).scale == 2.0
    assert "scale=2.0" in repr(model)
    for given in (Cycle(Y, scale=2.0), Cycle(endog=Y, scale=2.0)):
        assert given.clone(Y[:30]).scale == 2.0


def test_arguments_are_kept_as_they_were():
    """What the caller does to an array afterwards does not reach a clone."""
    scale = np.array(1.0)
    model = Cycle(Y, scale)
    scale += 1.0
    assert model.clone(Y).scale == 1.0


def test_free_elements_in_a_row_without_noise_are_refused():
    class Wrong(Cycle):
        def declare(self, **kwargs):
            super().declare(**{**kwargs, "transition": np.full((2, 2), np.nan)})

    with pytest.raises(sse.SpecificationError, match="without noise"):
        Wrong(Y)


def test_an_unknown_start_is_refused():
    with pytest.raises(sse.SpecificationError, match="initialization"):
        Cycle(Y, initialization="known")


def test_default_starts_have_a_likelihood():
    class Trends(StateSpaceModel):
        def __init__(self, endog):
            p = np.shape(endog)[1]
            super().__init__(endog, k_states=p, k_posdef=p)
            self.declare(design=np.eye(p), transition=np.eye(p), initialization="diffuse")

    res = Trends(Y).fit()
    expected = sum(sse.LGSSM(y, 1, design="identity", transition="identity", obs_intercept="zero",
                             initialization="diffuse").fit().llf for y in Y.T)  # fmt: skip
    assert_allclose(res.llf, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_results_are_instances_of_their_class():
    """As the annotation of `fit` says, although statsmodels wraps them."""
    x = np.random.default_rng(4).normal(size=60)
    fits = {
        StateSpaceResults: Cycle(Y).smooth(Cycle(Y).start_params),
        sse.LGSSMResults: lgssm(Y).smooth(lgssm(Y).start_params),
        sse.DynamicRegressionResults: sse.DynamicRegression(Y, x[:, None]).fit(maxiter=0, cov_type="none"),
        sse.CAPMResults: sse.CAPM(Y, x).fit(maxiter=0, cov_type="none"),
    }
    for cls, res in fits.items():
        assert isinstance(res, cls) and isinstance(res._results, cls) and isinstance(res, StateSpaceResults)
        others = [other for other in fits if not issubclass(cls, other)]
        assert not any(isinstance(res, other) for other in others)
    assert not isinstance(Y, StateSpaceResults)
