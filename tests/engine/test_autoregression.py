"""The information of a vector autoregression, and fits in the coordinates that it gives."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.model_score import ModelScore, whitening

VARMAX = sm.tsa.VARMAX

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # statsmodels' start values of VARMAX


class ExactVARMAX(sse.ExactScoreMixin, VARMAX):
    pass


def growth(gaps: float = 0.0) -> np.ndarray:
    """Growth of output, consumption, investment, government spending and income, percent."""
    names = ["realgdp", "realcons", "realinv", "realgovt", "realdpi"]
    data = sm.datasets.macrodata.load_pandas().data[names].to_numpy()
    y = 100.0 * np.diff(np.log(data), axis=0)
    y[np.random.default_rng(5).random(y.shape) < gaps] = np.nan
    return y


class Regression(MLEModel):
    """x_t = A x_{t-1} + b + g t + noise from a known x_1, seen without noise; Q by its elements."""

    param_names = ["a11", "a21", "a12", "a22", "b1", "b2", "g1", "g2", "q11", "q21", "q22"]
    start_params = np.array([0.5, 0.1, 0.2, 0.4, 0.3, -0.2, 0.5, 0.1, 1.0, 0.3, 1.5])

    def __init__(self, endog: np.ndarray) -> None:
        super().__init__(endog, k_states=2, k_posdef=2)
        self["design"], self["selection"] = np.eye(2), np.eye(2)
        self.initialize_known(endog[0], np.eye(2))
        self.trend = np.linspace(0.0, 1.0, self.nobs)

    def update(self, params: Any, **kwargs: Any) -> np.ndarray:
        params = super().update(params, **kwargs)
        self.ssm["transition"] = params[:4].reshape(2, 2).T
        self.ssm["state_intercept"] = params[4:6, None] + params[6:8, None] * self.trend
        self.ssm["state_cov"] = np.array([[params[8], params[9]], [params[9], params[10]]])
        return params

    def maximum(self) -> np.ndarray:
        """Return the maximum, which is least squares of x_{t+1} on (x_t, 1, t)."""
        x = np.column_stack([self.endog[:-1], np.ones(self.nobs - 1), self.trend[:-1]])
        coefficients, *_ = np.linalg.lstsq(x, self.endog[1:], rcond=None)
        e = self.endog[1:] - x @ coefficients
        cov = e.T @ e / len(e)
        return np.concatenate([coefficients.ravel(), [cov[0, 0], cov[1, 0], cov[1, 1]]])


def regression() -> Regression:
    rng = np.random.default_rng(8)
    y = np.zeros((60, 2))
    for t in range(1, 60):
        y[t] = np.array([[0.5, 0.2], [0.1, 0.4]]) @ y[t - 1] + [t / 60, -0.2] + rng.standard_normal(2)
    return Regression(y)


def information(model: MLEModel, params: Any, transformed: bool = True) -> np.ndarray | None:
    score = ModelScore(model, transformed, False)
    params = np.asarray(params, dtype=float)
    return score.information(params, score.jacobian(params))


def test_information_is_minus_the_second_derivatives_at_the_maximum() -> None:
    model = regression()
    params = model.maximum()
    assert np.abs(sse.exact_score(model, params).score).max() < 1e-6

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(model.loglike, at, step=2e-2)

    want = -richardson_gradient(gradient, params, step=2e-2)
    assert_allclose(information(model, params), want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def test_information_follows_the_chain_rule() -> None:
    model = VARMAX(growth()[:, :2], order=(1, 0), trend="ct")
    params = np.asarray(model.start_params)
    free = np.asarray(model.untransform_params(params))
    jacobian = richardson_gradient(model.transform_params, free, step=1e-3)
    want = jacobian.T @ information(model, params) @ jacobian
    found = information(model, free, transformed=False)
    assert_allclose(found, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize(
    "build",
    [
        lambda y: VARMAX(y, order=(1, 0), measurement_error=True),
        lambda y: VARMAX(y, order=(0, 1), trend="n"),
        lambda y: sm.tsa.SARIMAX(y[:, 0], order=(1, 0, 1)),
        lambda y: sm.tsa.UnobservedComponents(y[:, 0], "llevel"),
        lambda y: VARMAX(np.where(np.arange(len(y))[:, None] % 3, y, np.nan), order=(1, 0)),
    ],
    ids=["measurement error", "moving average", "ARMA", "local level", "a third missing"],
)
@pytest.mark.filterwarnings("ignore:Estimation of VARMA")
def test_no_information_where_the_data_do_not_show_the_states(build: Any) -> None:
    model = build(growth()[:, :2])
    assert information(model, model.start_params) is None


def test_whitening() -> None:
    root = np.random.default_rng(9).standard_normal((4, 4)) * np.array([1e-6, 1.0, 1e3, 1.0])
    matrix = root.T @ root
    M = whitening(matrix)
    assert_allclose(M.T @ matrix @ M, np.eye(4), atol=1e-8)
    matrix[3] = matrix[:, 3] = 0.0  # nothing is known of the last
    M = whitening(matrix)
    unknown = np.abs(M[3]) > 0
    assert_allclose(M.T @ matrix @ M, np.diag(1.0 * ~unknown), atol=1e-8)
    assert unknown.sum() == 1 and abs(M[3, unknown][0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "gaps"),
    [
        ({"order": (2, 0)}, 0.0),
        ({"order": (1, 0), "trend": "ct"}, 0.05),
        pytest.param({"order": (2, 0)}, 0.05, marks=pytest.mark.slow),
        pytest.param({"order": (1, 0), "trend": "ct"}, 0.0, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_fit_takes_few_evaluations(options: dict[str, Any], gaps: float) -> None:
    y = growth(gaps)[:, :3]
    res = ExactVARMAX(y, **options).fit(disp=False, maxiter=500, cov_type="none")
    assert res.mle_retvals["converged"] and res.mle_retvals["fcalls"] <= (10 if gaps == 0 else 25)
    plain = VARMAX(y, **options)
    for start in (None, res.params):  # statsmodels gets no further from its start nor from where ours ended
        how = {"maxiter": 500, "maxfun": 10**6, "warn_convergence": False, "disp": False, "cov_type": "none"}
        assert res.llf > plain.fit(start, **how).llf - 1e-5


def test_what_the_optimiser_reports_is_in_the_units_of_the_parameters() -> None:
    y = growth()[:, :2]
    model, seen = ExactVARMAX(y, order=(1, 0)), []
    how = {"maxiter": 1, "warn_convergence": False, "disp": False, "cov_type": "none"}
    res = model.fit(optim_score="exact", callback=lambda at: seen.append(np.array(at)), **how)
    assert_allclose(model.transform_params(seen[-1]), res.params, rtol=1e-10)
    want = -model.score(seen[-1], transformed=False) / model.nobs
    assert_allclose(res.mle_retvals["gopt"], want, rtol=1e-6, atol=1e-9)


def test_options_of_the_optimiser_and_fixed_parameters() -> None:
    y = growth()[:, :2]
    model, name = ExactVARMAX(y, order=(1, 0)), "sqrt.cov.y1.y2"
    plain = VARMAX(y, order=(1, 0))
    with plain.fix_params({name: 0.1}):
        theirs = plain.fit(disp=False, maxiter=500, maxfun=10**6, cov_type="none")
    for how in ({}, {"optim_score": "exact"}):
        best = model.fit(disp=False, maxiter=500, cov_type="none", **how)
        with model.fix_params({name: 0.1}):
            fixed = model.fit(disp=False, maxiter=500, cov_type="none", **how)
        assert best.mle_retvals["converged"] and fixed.mle_retvals["converged"]
        assert fixed.params[model.param_names.index(name)] == 0.1 and fixed.llf < best.llf
        assert_allclose(fixed.llf, theirs.llf, rtol=0, atol=1e-4)
    bounds = [(-0.5, 0.5)] * len(model.param_names)  # the start values are outside
    bounds[0] = (None, 0.5)
    theirs = plain.fit(disp=False, maxiter=500, bounds=bounds, cov_type="none")
    for how in ({}, {"optim_score": "exact"}):
        inside = model.fit(disp=False, maxiter=500, bounds=bounds, cov_type="none", **how)
        free = np.asarray(model.untransform_params(inside.params))
        assert np.all(np.abs(free) <= 0.5 + 1e-8) and inside.mle_retvals["converged"]
        assert_allclose(inside.llf, theirs.llf, rtol=0, atol=1e-4)
        assert inside.llf < best.llf


def test_results_can_be_pickled() -> None:
    res = ExactVARMAX(growth()[:, :2], order=(1, 0)).fit(disp=False, cov_type="none")
    again = pickle.loads(pickle.dumps(res))
    assert_allclose(again.llf, res.llf)
    assert_allclose(again.params, res.params)
