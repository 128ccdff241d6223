"""A model declared by one call of `declare`, against LGSSM and a plain `MLEModel`."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
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


class MovingBetas(StateSpaceModel):
    """A regression whose coefficients are random walks, by an own ``system``; see `VARIANTS`."""

    def __init__(self, endog, exog=None, *, variant="as given"):
        columns = 2 if exog is None else np.shape(exog)[1]
        super().__init__(endog, k_states=columns, k_posdef=columns, exog=exog)
        self.variant = variant
        eye = np.eye(columns)
        self.declare(design=np.ones((1, columns)), transition=eye, initialization="diffuse")

    def system(self, params):
        return replace(super().system(params), **VARIANTS[self.variant](self.exog, np.arange(self.nobs)))

    def default_start(self, problem):
        at = {"obs_cov": [[0.5]], "state_cov": 0.01 * np.eye(self.k_states)}
        return problem.layout.project(at, np.zeros(len(problem.layout)))


def quarters(exog, period):
    """A constant and a dummy of the fourth quarter, from the number of the period."""
    return {"design": np.stack([np.ones(len(period)), period % 4 == 3.0]).astype(float)[None]}


VARIANTS = {
    "as given": lambda exog, period: {"design": exog.T[None]},
    "lagged": lambda exog, period: {"design": np.vstack([exog[:1], exog[:-1]]).T[None]},
    "an intercept": lambda exog, period: {"obs_intercept": exog.sum(axis=1)[None]},
    "quarters": quarters,
    "standardised": lambda exog, period: {"design": (exog / np.abs(exog).mean(axis=0)).T[None]},
}
LATER = 6


def betas(kind):
    """The regressors of a sample and of later periods, and the series."""
    rng = np.random.default_rng(7)
    x = np.column_stack([np.ones(70 + LATER), rng.normal(size=70 + LATER)])
    y = (x * (1 + np.cumsum(rng.normal(scale=0.1, size=x.shape), axis=0))).sum(axis=1) + rng.normal(
        size=len(x)
    )
    if kind == "arrays":
        return y, x
    dates = {
        "month ends": pd.date_range("2001-01-31", periods=len(x), freq=pd.offsets.MonthEnd()),
        "quarters": pd.period_range("2001Q1", periods=len(x), freq="Q"),
        "trading days with a hole": pd.bdate_range("2001-01-01", periods=len(x) + 1).delete(30),
    }[kind]
    return pd.Series(y, dates, name="y"), pd.DataFrame(x, dates, ["const", "x"])


KINDS = ("arrays", "month ends", "quarters", "trading days with a hole")
WAYS = ("smooth", "append", "pickle", "extend")
PAIRS = [
    (variant, kind, WAYS[(i + j) % 4])
    for i, variant in enumerate(("as given", "an intercept", "lagged", "quarters"))
    for j, kind in enumerate(KINDS)
]


@pytest.mark.filterwarnings("ignore:The labels of the sample have no frequency")
@pytest.mark.parametrize(("variant", "kind", "way"), PAIRS)
def test_later_periods_of_a_system_that_varies(variant, kind, way):
    """Forecasts are predictions of the missing end of the whole sample, by a model of all periods."""
    y, x = betas(kind)
    n = len(y) - LATER
    given, whole = (x[:n], x) if variant != "quarters" else (None, None)
    later = None if given is None else x[n:]
    missing = y.copy()
    missing[n:] = np.nan
    expected = MovingBetas(missing, whole, variant=variant).smooth([0.8, 0.02, 0.01])
    if way == "extend" and variant in ("lagged", "quarters"):
        way = "append"  # the matrices of an extension would depend on periods that it does not have
    part = 50 if way in ("append", "extend") else n
    first = MovingBetas(y[:part], None if given is None else x[:part], variant=variant)
    res = first.smooth([0.8, 0.02, 0.01])
    if part < n:
        res = getattr(res, way)(y[part:n], exog=None if given is None else x[part:n])
    elif way == "pickle":
        res = pickle.loads(pickle.dumps(res))
    found, there = res.get_forecast(LATER, exog=later), expected.get_prediction(n, n + LATER - 1)
    assert_allclose(found.predicted_mean, there.predicted_mean, rtol=1e-9, atol=1e-10)
    assert_allclose(found.se_mean, there.se_mean, rtol=1e-9)
    if kind != "arrays" and (given is not None or kind != "trading days with a hole"):
        assert list(found.row_labels) == list(y.index[n:])
    drawn = res.simulate(LATER, anchor="end", exog=later, rng=3)
    again = res.simulate(LATER, anchor="end", exog=later, rng=3)
    assert np.isfinite(np.asarray(drawn)).all() and np.array_equal(drawn, again)


def test_a_system_that_depends_on_the_whole_sample_asks_for_its_later_values():
    y, x = betas("arrays")
    res = MovingBetas(y[:70], x[:70], variant="standardised").smooth([0.8, 0.02, 0.01])
    with pytest.raises(sse.SpecificationError, match="Pass design=array with 6 periods"):
        res.forecast(LATER, exog=x[70:])
    design = VARIANTS["as given"](x[70:], None)["design"]
    assert np.isfinite(res.forecast(LATER, exog=x[70:], design=design)).all()


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e-8])
def test_matrices_of_the_sample_are_compared_in_the_units_of_the_data(unit):
    """Noise that grows from the first to the last period of the data has other values in a longer model."""

    class Growing(MovingBetas):
        def system(self, params):
            out = super().system(params)
            return replace(out, obs_cov=out.obs_cov[:, :, None] * np.linspace(1.0, 2.0, self.nobs))

    y, x = betas("arrays")
    res = Growing(unit * y[:70], x[:70]).smooth([0.8 * unit**2, 0.02 * unit**2, 0.01 * unit**2])
    with pytest.raises(sse.SpecificationError, match="Pass obs_cov=array with 6 periods"):
        res.forecast(LATER, exog=x[70:])


@pytest.mark.parametrize("strict", [False, True])
def test_a_matrix_of_the_sample_alone_cannot_be_continued(strict):
    """A model of more periods has the same matrix, or cannot be made."""

    class Given(MovingBetas):
        def __init__(self, endog, weights):
            if strict and len(weights) != len(endog):
                raise ValueError("one weight for each period")
            super().__init__(endog, np.ones((len(endog), 1)))
            self.weights = weights

        def system(self, params):
            return replace(StateSpaceModel.system(self, params), design=self.weights[None, None])

        def future_rows(self, value, name):
            return np.ones((LATER, 1))

    y, x = betas("arrays")
    res = Given(y[:70], x[:70, 1]).smooth([0.8, 0.02])
    with pytest.raises(sse.SpecificationError, match="Pass design=array with 6 periods"):
        res.forecast(LATER, exog=np.ones(LATER))


def test_later_periods_of_arrays_with_dates():
    class Dated(MovingBetas):
        def __init__(self, endog, exog=None, *, variant="as given", dates=None):
            StateSpaceModel.__init__(self, endog, 2, 2, exog=exog, dates=dates)
            self.variant = variant
            self.declare(design=np.ones((1, 2)), transition=np.eye(2), initialization="diffuse")

    y, x = betas("arrays")
    dates = pd.date_range("2001-01-31", periods=70, freq=pd.offsets.MonthEnd())
    params, later = [0.8, 0.02, 0.01], x[70:]
    res = Dated(y[:70], x[:70], dates=dates).smooth(params)
    expected = MovingBetas(y[:70], x[:70]).smooth(params)
    assert_allclose(res.forecast(LATER, exog=later), expected.forecast(LATER, exog=later), rtol=1e-12)


def test_arguments_that_the_constructor_does_not_take_are_explained_by_its_name():
    for arguments, given in (((Y, 1.0, 2.0), {}), ((Y, 1.0), {"scale": 1.0})):
        with pytest.raises(TypeError, match=r"Cycle.__init__\(\) (takes|got multiple)"):
            Cycle(*arguments, **given)


def test_transforms_take_parameters_by_name_and_check_them():
    model = Cycle(Y)
    params = model.start_params
    named = pd.Series(params, model.param_names)
    for transform in (model.transform_params, model.untransform_params):
        for given in (params, named[::-1], dict(named)):
            assert_allclose(transform(given), params)
        for wrong in (params[:-1], params[None], params + 1j, params * np.nan):
            with pytest.raises(sse.ParameterError):
                transform(wrong)


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_a_subclass_that_overrides_smooth_gets_the_name_of_the_covariance():
    class Noted(Cycle):
        def smooth(self, params, *args, cov_type=None, **kwargs):
            self.noted = cov_type
            return super().smooth(params, *args, cov_type=cov_type, **kwargs)

    model = Noted(Y)
    for given, want in ((None, "oim"), ("none", "none")):
        model.fit(cov_type=given)
        assert model.noted == want
