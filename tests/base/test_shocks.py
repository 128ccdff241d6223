"""Impulse responses with errors, and decompositions of forecast errors and of history."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest
from incomplete import MODELS, NAMES, evaluated, lgssm, sample
from numpy.testing import assert_allclose
from small_subjects import SMALL, derivatives, with_errors
from statsmodels.tsa.api import VAR
from walk_subjects import N

import statespace_ext as sse

matplotlib = pytest.importorskip("matplotlib")

every_model = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    """Return a vector autoregression of two lags by statsmodels, and the same as an LGSSM."""
    growth = 400 * np.log(sse.datasets.load_macro()[["realcons", "realinv"]]).diff().iloc[1:101]
    var = VAR(growth.to_numpy()).fit(2)
    first = growth.iloc[1::-1].to_numpy().ravel()
    rows = growth.iloc[1:].copy()
    rows.iloc[0] = np.nan  # the first state is known: the second row, and the first as its lag
    model = sse.LGSSM(
        rows, 2, lags=2, design=np.eye(2), obs_cov="zero", obs_intercept="zero",
        state_intercept="free", state_cov="unstructured", initialization="known",
        initial_state=first, initial_state_cov=np.zeros((4, 4)), identification=None,
    )  # fmt: skip
    return var, model.fit()


def test_responses_of_a_vector_autoregression(both: tuple[Any, Any]) -> None:
    """
    Responses and their errors are those of `VARResults.irf`.

    It divides by the degrees of freedom in the covariance of the coefficients.
    """
    var, res = both
    expected = var.irf(8)
    found = res.irf(8)
    assert list(found.estimate.index.names) == ["shock", "step"]
    share = np.sqrt((var.nobs - var.df_model) / var.nobs)
    for j, shock in enumerate(["f1", "f2"]):
        assert_allclose(found.estimate.loc[shock], expected.irfs[:, :, j], rtol=0, atol=1e-4)
        errors = expected.stderr(orth=False)[:, :, j]
        assert_allclose(found.se.loc[shock].iloc[1:], share * errors[1:], rtol=1e-3)
        assert (found.se.loc[shock].iloc[0] == 0).all()


def test_forecast_errors_of_a_vector_autoregression(both: tuple[Any, Any]) -> None:
    """At the parameters of statsmodels the shares are those of `VARResults.fevd`."""
    var, res = both
    values = dict.fromkeys(res.model.param_names, np.nan)
    for i in range(2):
        values[f"state_intercept.f{i + 1}"] = var.intercept[i]
        for j in range(2):
            for lag in range(2):
                values[f"L{lag + 1}.f{j + 1}->f{i + 1}"] = var.coefs[lag, i, j]
    values.update({"state_var.f1": var.sigma_u[0, 0], "state_var.f2": var.sigma_u[1, 1]})
    values["state_cov.f1.f2"] = var.sigma_u[0, 1]
    at = res.model.smooth(pd.Series(values), cov_type="none")
    found = at.fevd(8)
    for i, series in enumerate(at.model.endog_names):
        assert_allclose(found.loc[series]["shock"], var.fevd(8).decomp[i], rtol=1e-9, atol=1e-14)
    assert_allclose(found[["state", "noise"]], 0.0, atol=1e-12)


@every_model
def test_variances_add_up(name: str) -> None:
    """To those of `get_forecast`, each source by itself to a forecast without the others."""
    res, s = with_errors(name), SMALL[name]
    found = res.fevd(4, shares=False, **s.future(4))
    expected = np.asarray(res.get_forecast(4, **s.future(4)).se_mean).reshape(4, -1) ** 2
    total = found.sum(axis=1).unstack("series")[np.atleast_1d(res.model.endog_names).tolist()]
    assert_allclose(total, expected, rtol=1e-10)
    assert (found >= 0).all(axis=None) and list(found["shock"].columns) == res.model.shock_names
    shares = res.fevd(4, **s.future(4))
    assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    assert_allclose(shares.mul(found.sum(axis=1), axis=0), found, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("name", ["LGSSM", "two lags", "diffuse", "singular H"])
def test_variances_of_a_dense_joint_gaussian(name: str) -> None:
    """What the states at the end leave unknown, and each shock after it, from one joint covariance."""
    res, h = evaluated(name, sample()), 3
    n, k, p = int(res.nobs), res.model.k_states, 3
    system = res.model.system(np.asarray(res.params))
    prior = oracle.joint(
        {key: getattr(system, key) for key in NAMES}, n + h, np.full(system.k_states, system.diffuse)
    )
    data = np.asarray(res.model.endog)
    seen = np.flatnonzero(~np.isnan(data.ravel()))
    joint = oracle.condition(prior, (n + h) * k + seen, data.ravel()[seen])[1]
    factor = joint.factor[(n - 1) * k : n * k]
    last, T, Z = factor @ factor.T, system.transition, system.design
    load = system.selection @ np.linalg.cholesky(system.state_cov)
    found = res.fevd(h, shares=False)
    of_y = joint.factor[(n + h) * k :].reshape(n + h, p, -1)[n:]
    assert_allclose(found.sum(axis=1).unstack("series"), np.sum(of_y**2, axis=2), rtol=1e-8)
    for i in range(h):
        rows = found.xs(i + 1, level="step")
        power = np.linalg.matrix_power(T, i + 1)
        moves = [Z @ np.linalg.matrix_power(T, j) @ load for j in range(i + 1)]
        assert_allclose(rows["state"].iloc[:, 0], np.diag(Z @ power @ last @ power.T @ Z.T), rtol=1e-7)
        assert_allclose(rows["shock"], np.sum(np.square(moves), axis=0), rtol=1e-10, atol=1e-14)
        assert_allclose(rows["noise"].iloc[:, 0], np.diag(system.obs_cov))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("orthogonalized", [True, False])
def test_history_adds_up(name: str, orthogonalized: bool) -> None:
    """To the data, missing cells to their expectations, and to the smoothed states; diffuse starts too."""
    res = evaluated(name, sample())
    for of, expected in (("series", res.impute().data), ("states", res.smoothed_state.T)):
        found = res.historical_decomposition(of, orthogonalized=orthogonalized)
        names = res.model.endog_names if of == "series" else res.model.state_names
        assert list(found.columns.get_level_values(0).unique()) == list(names)
        total = np.asarray(found).reshape(len(found), len(names), -1).sum(axis=2)
        size = np.abs(np.asarray(found)).max()
        assert_allclose(total, np.asarray(expected), rtol=1e-10, atol=1e-10 * size)
        pd.testing.assert_index_equal(found.index, sample().index)


@every_model
def test_history_of_every_class(name: str) -> None:
    res = with_errors(name)
    found = res.historical_decomposition()
    names = np.atleast_1d(res.model.endog_names).tolist()
    total = np.asarray(found).reshape(len(found), len(names), -1).sum(axis=2)
    assert_allclose(total, np.asarray(res.impute().data).reshape(total.shape), rtol=1e-10, atol=1e-12)
    assert list(found[names[0]]["shock"].columns) == res.model.shock_names
    for other in (pickle.loads(pickle.dumps(res)), copy.deepcopy(res)):
        pd.testing.assert_frame_equal(other.historical_decomposition(), found)


def test_history_of_each_source() -> None:
    """Against a dense path: one source at a time enters the recursion, the others are zero."""
    res = evaluated("LGSSM", sample())
    at, n = res.model.system(np.asarray(res.params)), int(res.nobs)
    found = res.historical_decomposition(orthogonalized=False)
    powers = [np.linalg.matrix_power(at.transition, i) for i in range(n)]
    start = np.array([at.design @ powers[t] @ res.smoothed_state[:, 0] for t in range(n)])
    constant = [
        at.obs_intercept + at.design @ sum((powers[i] @ at.state_intercept for i in range(t)), np.zeros(2))
        for t in range(n)
    ]
    for i, series in enumerate("abc"):
        assert_allclose(found[series]["start"].iloc[:, 0], start[:, i], atol=1e-12)
        assert_allclose(found[series]["intercept"].iloc[:, 0], np.array(constant)[:, i], atol=1e-12)
        for k, shock in enumerate(res.model.shock_names):
            moved = [
                sum(
                    (at.design @ powers[t - 1 - s] @ at.selection[:, k] * res.smoothed_state_disturbance[k, s]
                     for s in range(t)), np.zeros(3),
                )[i] for t in range(n)
            ]  # fmt: skip
            assert_allclose(found[series]["shock"][shock], moved, atol=1e-12)


def test_history_of_regressors() -> None:
    """Each regressor has a column: D u_t in the series, what G v_t becomes in the states."""
    y = sample()
    x = pd.DataFrame(np.random.default_rng(0).standard_normal((len(y), 2)), y.index, ["u", "v"])
    w = x[["v"]].rename(columns={"v": "w"})
    D, G = np.array([[0.5, 0.0], [0.0, 1.0], [0.3, -0.4]]), np.array([[0.6], [-0.2]])
    res = lgssm(y, exog=x, obs_coef=D, state_exog=w, state_coef=G).smooth(np.zeros(0))
    found = res.historical_decomposition()
    assert_allclose(found["a"]["exog"], x * D[0], atol=1e-14)
    state, T = np.zeros((len(y), 2)), res.model.system(np.zeros(0)).transition
    for t in range(1, len(y)):
        state[t] = T @ state[t - 1] + G[:, 0] * w.iloc[t - 1, 0]
    states = res.historical_decomposition("states")
    assert_allclose(np.column_stack([states[name]["state_exog"] for name in states.columns.unique(0)]), state,
                    atol=1e-12)  # fmt: skip
    plain = lgssm(y).smooth(np.zeros(0)).historical_decomposition()
    assert_allclose(found["b"]["intercept"], plain["b"]["intercept"], atol=1e-12)


@every_model
def test_ways(name: str) -> None:
    """Copies, data that go on, and a model that was used for something else since."""
    s = SMALL[name]
    whole, first = with_errors(name, s.y), with_errors(name)
    last = s.y.index[-2:] + 2
    future = {} if s.x is None else {"exog": s.x.iloc[:2].set_axis(last, axis=0)}
    appended, extended = (
        getattr(first, way)(s.more(), **s.more_regressors()) for way in ("append", "extend")
    )
    first.model.ssm.initialize_approximate_diffuse(1e3)
    first.model.smooth(s.other)
    expected = whole.fevd(2, **future)
    for each in (appended, extended, pickle.loads(pickle.dumps(appended))):
        pd.testing.assert_frame_equal(each.fevd(2, **future), expected, rtol=1e-7)
    pd.testing.assert_frame_equal(
        appended.historical_decomposition(), whole.historical_decomposition(), rtol=1e-7, atol=1e-10
    )
    responses = with_errors(name).irf(3)
    for found in (first.irf(3), pickle.loads(pickle.dumps(first)).irf(3)):
        pd.testing.assert_frame_equal(found.estimate, responses.estimate)
        pd.testing.assert_frame_equal(found.se, responses.se, rtol=1e-9)


@every_model
def test_responses(name: str) -> None:
    """The values are those of `impulse_responses`; errors by differences of fourth order of them."""
    res, s = with_errors(name), SMALL[name]
    names = res.model.shock_names
    found = res.irf(3, orthogonalized=True, cumulative=True)
    cov, params = np.asarray(res.cov_params()), s.params
    for shock in names:

        def at(values: np.ndarray, shock: str = shock) -> np.ndarray:
            out = res.model.impulse_responses(values, 3, shock, orthogonalized=True, cumulative=True)
            return np.asarray(out).reshape(-1, res.model.k_endog)

        assert_allclose(found.estimate.loc[shock], at(params))
        J = derivatives(at, params)
        expected = np.einsum("hpi,ij,hpj->hp", J, cov, J)
        assert_allclose(found.se.loc[shock] ** 2, expected, rtol=1e-4, atol=1e-15)
    ends = found.conf_int(0.1)
    first = np.atleast_1d(res.model.endog_names)[0]
    assert list(ends.columns[:2]) == [(first, "low"), (first, "high")]
    assert (ends.xs("low", axis=1, level=1).to_numpy() <= found.estimate.to_numpy()).all()


def test_draws_of_responses() -> None:
    """The spread of responses at parameters drawn close to the estimates."""
    res, s, share = with_errors("LGSSM"), SMALL["LGSSM"], 1e-2
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal(s.params, share**2 * np.asarray(res.cov_params()), 150)
    values = [np.asarray(res.model.impulse_responses(draw, 3, "f1")) for draw in draws]
    assert_allclose(res.irf(3).se ** 2, np.var(values, axis=0) / share**2, rtol=0.4)


def test_a_response_without_an_error() -> None:
    """NaN where a parameter has no standard error; zero where the response depends on none."""
    y = sample()
    model = lgssm(y, transition=[[np.nan, 0.0], [0.0, 0.5]])
    none = model.smooth([0.7], cov_type="none").irf(2, "f1").se
    assert none.loc[("f1", 0)].eq(0.0).all() and none.loc["f1"].iloc[1:].isna().all(axis=None)
    fitted = model.fit()
    found = fitted.irf(2)
    assert found.se.loc["f2"].eq(0.0).all(axis=None) and (found.se.loc["f1"].iloc[1:] > 0).all(axis=None)


@every_model
def test_pictures(name: str) -> None:
    res = with_errors(name)
    fig = res.irf(3).plot(alpha=0.1)
    assert len(fig.axes) == res.model.ssm.k_posdef * res.model.k_endog
    texts = [text.get_text() for text in fig.legends[0].get_texts()]
    assert ("90 % interval, uncertainty of the parameters" in texts) == bool(
        (res.irf(3).se > 0).any(axis=None)
    )
    matplotlib.pyplot.close("all")


def test_bad_input() -> None:
    res = with_errors("LGSSM")
    for call, match in (
        (lambda: res.irf(0), "steps must be a positive integer"),
        (lambda: res.irf(3, "zz"), "impulse are unknown"),
        (lambda: res.irf(3, orthogonalized=1), "orthogonalized must be true or false"),
        (lambda: res.irf(3, anchor="3000"), "impulse_responses"),
        (lambda: res.irf(3).conf_int(2.0), "alpha"),
        (lambda: res.irf(3).plot(alpha=0.0), "alpha"),
        (lambda: res.fevd(2.5), "steps must be a positive integer"),
        (lambda: res.fevd(2, shares="yes"), "shares must be true or false"),
        (lambda: res.historical_decomposition("shocks"), "of is unknown"),
        (lambda: res.historical_decomposition(orthogonalized=None), "orthogonalized must be true or false"),
        (lambda: res.model.filter(res.params).historical_decomposition(), "not smoothed"),
    ):
        with pytest.raises(sse.SpecificationError, match=match):
            call()
    with pytest.raises(sse.UnsupportedError, match="low_memory"):
        res.model.filter(res.params, low_memory=True).fevd(2)
    with pytest.raises(TypeError, match="unexpected keyword"):
        res.fevd(2, exogg=3)
    with pytest.raises(sse.StateSpaceError):
        with_errors("CAPM").fevd(2)
    static = sse.DynamicRegression(
        SMALL["CAPM"].y.iloc[:N], SMALL["CAPM"].x.iloc[:N], dynamics={"MKT": "static"}, obs_cov="diagonal"
    )
    still = static.smooth(static.start_params)
    assert_allclose(still.fevd(2, exog=SMALL["CAPM"].x.iloc[N : N + 2]).sum(axis=1), 1.0)
    total = np.asarray(still.historical_decomposition()).reshape(N, 2, -1).sum(axis=2)
    assert_allclose(total, still.model.endog, rtol=1e-10)


def test_a_sample_that_does_not_determine_the_states() -> None:
    y = pd.DataFrame({"a": [0.3, np.nan, np.nan], "b": np.nan})
    model = sse.LGSSM(y, 2, design=np.eye(2), transition=np.eye(2), initialization="diffuse")
    res = model.smooth(np.ones(len(model.param_names)))
    with pytest.raises(sse.UnsupportedError, match="does not determine the states.*3 periods, all of them"):
        res.fevd(2)
