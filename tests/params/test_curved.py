"""A covariance structure of one's own: one object, made here, in models that do not know it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.inference.many import fingerprint
from statespace_ext.params.curved import CovarianceFunction, CurvedMatrix


class Decaying(CovarianceFunction):
    """Variances v and correlations rho ** |i - j|."""

    def parameters(self, size: int) -> list[str]:
        return ["var", "rho"]

    def matrix(self, values: np.ndarray, size: int) -> np.ndarray:
        gap = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        return values[0] * values[1] ** gap

    def near(self, target: np.ndarray) -> np.ndarray:
        variance = np.trace(target) / len(target)
        return np.array([variance, np.clip(np.mean(np.diag(target, 1)) / variance, 0.1, 0.9)])

    def constrain(self, unconstrained: np.ndarray) -> np.ndarray:
        return np.array([unconstrained[0] ** 2, np.tanh(unconstrained[1])])

    def unconstrain(self, values: np.ndarray) -> np.ndarray:
        return np.array([np.sqrt(values[0]), np.arctanh(values[1])])


class Alike(CovarianceFunction):
    """What "equicorrelated" is, by a function."""

    def parameters(self, size: int) -> list[str]:
        return ["var", "corr"]

    def matrix(self, values: np.ndarray, size: int) -> np.ndarray:
        return values[0] * ((1.0 - values[1]) * np.eye(size) + values[1])

    def near(self, target: np.ndarray) -> np.ndarray:
        return np.array([np.trace(target) / len(target), 0.3])

    def constrain(self, unconstrained: np.ndarray) -> np.ndarray:
        return np.array([unconstrained[0] ** 2, unconstrained[1]])

    def unconstrain(self, values: np.ndarray) -> np.ndarray:
        return np.array([np.sqrt(values[0]), values[1]])


class Plain(Alike):
    """The same without transforms."""

    constrain, unconstrain = CovarianceFunction.constrain, CovarianceFunction.unconstrain


def test_parameters_are_not_transformed_by_default() -> None:
    model = sse.LGSSM(series(), 1, identification="unit", obs_cov=Plain())
    params = model.start_params
    places = model.layout.positions(["obs_var", "obs_corr"])
    assert_array_equal(model.untransform_params(params)[places], params[places])
    assert_allclose(model.transform_params(model.untransform_params(params)), params)


def test_derivatives_of_a_function_need_its_values() -> None:
    layout = sse.LGSSM(series(), 1, obs_cov=Alike()).layout
    with pytest.raises(sse.UnsupportedError, match="Derivatives of obs_cov.*need their values"):
        layout.derivative("obs_cov", np.arange(len(layout)))


def series(n: int = 80, p: int = 4) -> np.ndarray:
    rng = np.random.default_rng(4)
    factor = np.zeros(n)
    for t in range(1, n):
        factor[t] = 0.7 * factor[t - 1] + rng.standard_normal()
    errors = rng.standard_normal((n, p)) @ np.linalg.cholesky(Decaying().matrix(np.array([0.8, 0.6]), p)).T
    return np.outer(factor, [1.0, 0.8, 1.2, 0.5][:p]) + errors


def factor_model(obs_cov: Any, missing: bool = False, **options: Any) -> sse.LGSSM:
    y = series()
    if missing:
        y[np.random.default_rng(1).random(y.shape) < 0.1] = np.nan
    return sse.LGSSM(y, 1, obs_cov=obs_cov, identification="triangular", obs_intercept="zero", **options)


def regression(p: int = 3, **spec: Any) -> sse.DynamicRegression:
    rng = np.random.default_rng(7)
    x = pd.DataFrame({"const": 1.0, "MKT": rng.standard_normal(70)})
    V = np.linalg.cholesky(Decaying().matrix(np.array([1.0, 0.5]), p))
    steps = 0.2 * rng.standard_normal((70, p)) @ V.T
    beta = 1.0 + np.cumsum(steps, axis=0)
    y = pd.DataFrame(
        beta * x[["MKT"]].to_numpy() + rng.standard_normal((70, p)) @ V.T, columns=list("ABC")[:p]
    )
    return sse.DynamicRegression(y, x, **{"dynamics": {"MKT": "random_walk"}, **spec})


MODELS = {
    "LGSSM": lambda: factor_model(Decaying()),
    "LGSSM, missing": lambda: factor_model(Decaying(), missing=True),
    "LGSSM, W": lambda: sse.LGSSM(series(), 2, state_cov=Decaying(), design=np.eye(4)[:, :2] + 0.1),
    "regression, V": lambda: regression(obs_cov=Decaying(), state_cov="scalar"),
    "regression, W": lambda: regression(state_cov=Decaying()),
    "regression, both": lambda: regression(obs_cov=Alike(), state_cov=Decaying()),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_score_and_the_information(name: str) -> None:
    model = MODELS[name]()
    params = np.asarray(model.start_params)
    score = model.score(params)
    assert_allclose(score, richardson_gradient(model.loglike, params), atol=1e-6 * np.abs(score).max())
    numerical = -richardson_gradient(model.score, params) / model.nobs
    assert_allclose(-model.hessian(params), numerical, atol=1e-5 * np.abs(numerical).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_em_and_the_gradient_reach_one_maximum(name: str) -> None:
    model = MODELS[name]()
    best = model.fit(method="lbfgs", cov_type="none")
    em = model.fit(method="em", maxiter=30, tolerance=0.0, cov_type="none")
    assert best.converged
    assert np.all(np.diff(em.em_trace["llf"]) > -1e-9)
    assert em.em_trace["llf"].iloc[0] < em.llf <= best.llf + 1e-6
    again = model.fit(best.params, method="em", maxiter=5, tolerance=0.0, cov_type="none")
    assert_allclose(again.llf, best.llf, atol=1e-5)


@pytest.mark.parametrize("missing", [False, True])
def test_a_known_structure_by_a_function_has_its_maximum_and_its_standard_errors(missing: bool) -> None:
    own, known = (factor_model(V, missing).fit() for V in (Alike(), "equicorrelated"))
    assert_allclose(own.llf, known.llf, atol=1e-6)
    assert own.identification.n_flat == known.identification.n_flat == 0
    values = pd.Series(np.asarray(known.params), index=known.model.param_names)
    correlation = values["obs_cov"] / values["obs_var"]
    found = pd.Series(np.asarray(own.params), index=own.model.param_names)
    assert_allclose([found["obs_var"], found["obs_corr"]], [values["obs_var"], correlation], rtol=1e-3)
    errors = [pd.Series(np.asarray(each.bse), index=each.model.param_names) for each in (own, known)]
    same = [name for name in values.index if name in found.index]
    assert len(same) == len(values) - 1
    assert_allclose(errors[0][same], errors[1][same], rtol=1e-3)


def test_static_coefficients_leave_two_parameters_to_a_search() -> None:
    """REML of V = v R(rho), by scipy, from the cross-products of the residuals."""
    model = regression(dynamics=None, obs_cov=Decaying())
    y, x = model.endog, model.exog
    residuals = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    S, free = residuals.T @ residuals, len(y) - x.shape[1]

    def minus(z: np.ndarray) -> float:
        V = Decaying().matrix(np.array([np.exp(z[0]), np.tanh(z[1])]), 3)
        return float(free * np.linalg.slogdet(V)[1] + np.trace(np.linalg.solve(V, S)))

    options = {"xatol": 1e-9, "fatol": 1e-9}
    found = scipy.optimize.minimize(minus, np.zeros(2), method="Nelder-Mead", options=options)
    res = model.fit()
    assert_allclose(np.asarray(res.params), [np.exp(found.x[0]), np.tanh(found.x[1])], rtol=1e-4)
    assert model.param_names == ["obs_var", "obs_rho"] and np.all(np.isfinite(res.bse))


def test_a_parameter_held_fixed() -> None:
    model = factor_model(Decaying())
    with model.fix_params({"obs_rho": 0.25}):
        held = model.fit(method="lbfgs")
    assert held.matrices["obs_cov"].iloc[0, 1] == pytest.approx(0.25 * held.matrices["obs_cov"].iloc[0, 0])
    free = model.fit(method="lbfgs")
    assert held.llf < free.llf - 0.1
    with model.fix_params({"obs_rho": 0.25, "obs_var": 0.8}):
        both = model.fit(method="lbfgs")
    fixed = factor_model(Decaying().matrix(np.array([0.8, 0.25]), 4)).fit(method="lbfgs")
    assert_allclose(both.llf, fixed.llf, atol=1e-6)


def test_everything_else_comes_from_below() -> None:
    res = factor_model(Decaying()).fit()
    again = pickle.loads(pickle.dumps(res.model))
    assert again.loglike(res.params) == res.model.loglike(res.params)
    more = res.append(series(5))
    assert_array_equal(np.asarray(more.params), np.asarray(res.params))
    found = res.bootstrap(2, rng=0)
    assert np.isfinite(found.params.to_numpy()).all()
    assert "obs_rho" in str(res.summary())
    low, high = res.profile("obs_rho").interval
    assert low < np.asarray(res.params)[res.model.param_names.index("obs_rho")] < high
    record = next(iter(sse.fit_many({"one": res.model}, {"method": "lbfgs"})))
    assert not record.error
    assert (
        fingerprint(factor_model(Decaying())) == fingerprint(res.model) != fingerprint(factor_model(Alike()))
    )


def test_regressions_compare_and_test_constancy() -> None:
    small, large = (
        regression(obs_cov=V, state_cov="scalar").fit(method="lbfgs") for V in (Decaying(), "unstructured")
    )
    assert small.compare(large).index[0] == "V unstructured, W scalar"
    assert "V Decaying, W scalar" in small.compare(large).index
    test = small.test_constancy(n_sim=3, rng=0)
    null = regression(dynamics=None, obs_cov=Decaying()).fit(method="lbfgs", cov_type="none")
    assert test.distribution == "parametric bootstrap"
    assert_allclose(test.statistic, 2 * (small.llf - null.llf), atol=1e-5)


def test_several_moving_regressors_are_refused() -> None:
    with pytest.raises(sse.UnsupportedError, match="one regressor with a time-varying coefficient"):
        regression(dynamics={"const": "random_walk", "MKT": "random_walk"}, state_cov=Decaying())


def test_what_a_block_says() -> None:
    block = CurvedMatrix.of(Decaying(), 3, "state_var.MKT")
    assert block.param_names == ["state_var.MKT", "state_rho.MKT"]
    values = np.array([2.0, 0.4])
    assert_allclose(
        block.values(dict(zip(block.param_names, values, strict=True))), Decaying().matrix(values, 3)
    )
    tangent = block.tangent(values)
    at = dict(zip(block.param_names, values, strict=True))
    assert_allclose(tangent.values(at), Decaying().matrix(values, 3), rtol=1e-12)
    near = {**at, "state_rho.MKT": 0.4 + 1e-5}
    assert_allclose(tangent.values(near), Decaying().matrix(np.array([2.0, 0.4 + 1e-5]), 3), atol=1e-8)
    moved = {name: np.zeros((3, 3), bool) for name in block.param_names}
    for i, j, name in zip(block.rows, block.columns, block.names, strict=True):
        moved[name][i, j] = True
    assert moved["state_var.MKT"].all()
    assert_array_equal(moved["state_rho.MKT"], ~np.eye(3, dtype=bool))
