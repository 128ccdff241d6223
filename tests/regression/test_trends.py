"""Coefficients with a level and a slope, against a plain `MLEModel` and dense conditioning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracle import dense_diffuse, richardson_gradient
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.exceptions import SpecificationError

N = 30
V = np.array([[2.0, 0.3], [0.3, 1.0]])
TREND = {"MKT": "local_linear"}
NAMES = ["const.A", "const.B", "MKT.A", "MKT.B", "MKT.slope.A", "MKT.slope.B"]
LEVELS, SLOPES = [0.05, 0.08], [0.002, 0.003]


def data(n: int = N, missing: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(31)
    index = pd.period_range("2001-01", periods=N + 6, freq="M")
    x = pd.DataFrame({"const": 1.0, "MKT": 2.0 * rng.standard_normal(N + 6)}, index)
    slopes = np.cumsum(0.05 * rng.standard_normal((N + 6, 2)), axis=0)
    beta = 1.0 + np.cumsum(slopes + 0.2 * rng.standard_normal((N + 6, 2)), axis=0)
    y = 0.2 + x[["MKT"]].to_numpy() * beta + rng.standard_normal((N + 6, 2))
    frame = pd.DataFrame(y, index, ["A", "B"])
    if missing:
        frame.iloc[7, 1] = np.nan
        frame.iloc[12] = np.nan
    return frame[:n], x[:n]


def model_of(n: int = N, missing: bool = True, **options: Any) -> sse.DynamicRegression:
    return sse.DynamicRegression(*data(n, missing), **{"dynamics": TREND, "state_cov": "diagonal", **options})


def params_of(model: Any) -> Any:
    return model.params_from_matrices({"obs_cov": V, "state_cov": np.diag(LEVELS + SLOPES)})


def system_of(x: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the matrices, for the states in the order of NAMES."""
    transition = np.eye(6)
    transition[2, 4] = transition[3, 5] = 1.0
    Z = np.zeros((2, 6, len(x)))
    Z[[0, 1], [0, 1]], Z[[0, 1], [2, 3]] = 1.0, x["MKT"].to_numpy()
    return {
        "design": Z, "obs_intercept": np.zeros(2), "obs_cov": V, "transition": transition,
        "state_intercept": np.zeros(6), "selection": np.eye(6)[:, 2:], "state_cov": np.diag(LEVELS + SLOPES),
        "initial_state": np.zeros(6), "initial_state_cov": np.zeros((6, 6)),
    }  # fmt: skip


class Plain(MLEModel):
    """statsmodels' filter with an exact-diffuse start."""

    def __init__(self, y: Any, system: dict[str, np.ndarray]) -> None:
        super().__init__(y, 6, k_posdef=4)
        for name in ("design", "obs_cov", "transition", "selection", "state_cov"):
            self[name] = system[name]
        self.ssm.initialize_diffuse()

    start_params = param_names = []


@pytest.mark.filterwarnings("ignore:The univariate filtering approach")
def test_it_is_a_plain_model_of_statsmodels() -> None:
    y, x = data(missing=False)
    model = model_of(missing=False)
    assert model.state_names == NAMES and model.shock_names == NAMES[2:]
    assert model.param_names[3:] == [f"state_var.{name}" for name in NAMES[2:]]
    res, plain = model.smooth(params_of(model)), Plain(y, system_of(x)).smooth([])
    assert_allclose(res.llf, plain.llf, rtol=1e-9)
    assert_allclose(res.smoothed_state, plain.smoothed_state, rtol=0, atol=1e-7)
    assert_allclose(res.smoothed_state_cov, plain.smoothed_state_cov, rtol=0, atol=1e-7)
    future = pd.DataFrame({"const": 1.0, "MKT": [1.0, -2.0, 0.5]})
    longer = np.concatenate([y, np.full((3, 2), np.nan)])
    want = Plain(longer, system_of(pd.concat([x, future]))).smooth([])
    got = res.get_forecast(3, exog=future.to_numpy())
    assert_allclose(got.predicted_mean, want.forecasts[:, -3:].T, rtol=1e-7)
    variances = np.diagonal(want.forecasts_error_cov[:, :, -3:])
    assert_allclose(got.se_mean**2, variances, rtol=1e-7)


def test_levels_and_slopes_are_those_of_the_dense_gaussian() -> None:
    y, x = data()
    model = model_of()
    res = model.smooth(params_of(model))
    want = dense_diffuse(y.to_numpy(), system_of(x), np.ones(6, dtype=bool))
    assert_allclose(res.llf, want.llf, rtol=0, atol=1e-8)
    found = res.coefficients
    assert list(found) == ["const", "MKT", "MKT.slope"]
    for name, rows in (("MKT", [2, 3]), ("MKT.slope", [4, 5])):
        assert_allclose(found[name].smoothed, want.smoothed_state[:, rows], rtol=0, atol=1e-8)
        variances = np.diagonal(want.smoothed_cov, axis1=1, axis2=2)[:, rows]
        assert_allclose(found[name].smoothed_se ** 2, variances, rtol=0, atol=1e-8)
    portfolio = res.portfolio({"A": 0.5, "B": 0.5})
    assert_allclose(
        portfolio.coefficients["MKT.slope"].smoothed.iloc[:, 0], found["MKT.slope"].smoothed.mean(axis=1)
    )
    assert_allclose(portfolio.beta.smoothed.iloc[:, 0], found["MKT"].smoothed.mean(axis=1))


@pytest.mark.filterwarnings("ignore:The fit did not converge")
@pytest.mark.parametrize(
    "state_cov",
    [
        "unstructured",
        "proportional",
        "factor:1",
        {"MKT": "zero", "MKT.slope": "diagonal"},
        {"MKT": "scalar"},
        "joint",
    ],
    ids=str,
)
def test_the_score_and_em_are_right(state_cov: Any) -> None:
    model = model_of(state_cov=state_cov, obs_cov="diagonal")
    at = model.start_params * 1.1
    want = richardson_gradient(model.loglike, at, step=np.maximum(0.02 * np.abs(at), 2e-6))
    assert_allclose(model.score(at), want, rtol=1e-5, atol=1e-4)
    trace = model.fit(method="em", maxiter=4, cov_type="none").em_trace["llf"]
    assert np.all(np.diff(trace) > -1e-9)


def test_a_fit_finds_at_least_the_maximum_of_random_walks() -> None:
    """A level without a slope variance is a random walk with drift."""
    model = model_of(state_cov="diagonal", obs_cov="diagonal")
    res = model.fit(method="lbfgs", cov_type="none")
    for trial in ([1.0, 1.0, 0.1, 0.1, 0.01, 0.01], [1.5, 0.7, 0.01, 0.2, 0.0, 0.001]):
        other = model.fit(np.array(trial), method="lbfgs", cov_type="none")
        assert res.llf >= other.llf - 1e-4
    assert_allclose(np.where(res.params > 1e-6, model.score(res.params), 0.0), 0.0, atol=2e-2)


def test_later_periods_and_a_capm() -> None:
    y, x = data(N + 6)
    whole, part = model_of(N + 6), model_of()
    at = params_of(part)
    res, full = part.smooth(at), whole.smooth(at)
    assert_allclose(res.append(y[N:], x[N:]).llf, full.llf, rtol=1e-10)
    assert_allclose(res.llf + res.extend(y[N:], x[N:]).llf, full.llf, rtol=1e-9)
    capm = sse.CAPM(y, x["MKT"], beta="local_linear", state_cov="diagonal")
    assert_allclose(capm.loglike(at), full.llf, rtol=1e-12)
    beta = capm.smooth(at).beta
    assert beta.dynamics == "local_linear"
    assert_allclose(beta.smoothed, full.coefficients["MKT"].smoothed, rtol=1e-10)
    with pytest.raises(SpecificationError, match="random_walk"):
        full.test_constancy(n_sim=3)


def test_a_constraint_holds_for_levels_and_slopes() -> None:
    y, x = data()
    both = x.assign(SMB=np.random.default_rng(5).standard_normal(N))
    dynamics = dict.fromkeys(["MKT", "SMB"], "local_linear")
    model = sse.DynamicRegression(
        y, both, dynamics=dynamics, constraints="MKT + 2*SMB = 1", state_cov="diagonal"
    )
    res = model.smooth(model.start_params)
    found = res.coefficients
    assert_allclose(found["MKT"].smoothed + 2 * found["SMB"].smoothed, 1.0, rtol=1e-10)
    assert_allclose(found["MKT.slope"].smoothed, -2 * found["SMB.slope"].smoothed, rtol=1e-8, atol=1e-12)


def test_hypotheses_and_pictures_of_slopes() -> None:
    y, x = data()
    model = model_of()
    res = model.smooth(params_of(model))
    date, slopes = y.index[9], res.coefficients["MKT.slope"]
    name = model.state_names[-1]
    assert name.startswith("MKT.slope.")
    test = res.test_coefficients(f"{name} = 0.1", date=date, n_sim=2, rng=0)
    series = name.removeprefix("MKT.slope.")
    want = (slopes.smoothed.loc[date, series] - 0.1) / slopes.smoothed_se.loc[date, series]
    assert_allclose(test.statistic, want**2, rtol=1e-8)
    with pytest.raises(SpecificationError, match=r"on MKT\.slope move"):
        res.test_coefficients(f"{name} = 0.1")
    both = res.test_coefficients(f"{name} = 0, MKT.{series} = 1", date=date, n_sim=2, rng=0)
    assert_allclose(both.estimate.iloc[1], res.coefficients["MKT"].smoothed.loc[date, series], rtol=1e-10)
    assert len(res.plot_coefficients(["MKT", "MKT.slope"]).axes) == 2 * len(y.columns)


def test_a_known_start_has_slopes_too() -> None:
    y, x = data()
    mean, cov = np.arange(6.0) / 10, np.diag(np.arange(1.0, 7.0))
    model = model_of(initialization="known", initial_state=mean, initial_state_cov=cov)
    res = model.smooth(params_of(model))
    system = {**system_of(x), "initial_state": mean, "initial_state_cov": cov}
    assert_allclose(res.llf, dense_diffuse(y.to_numpy(), system, np.zeros(6, dtype=bool)).llf, atol=1e-8)
    named = pd.Series(mean, NAMES)[::-1]
    again = model_of(initialization="known", initial_state=named, initial_state_cov=cov)
    assert_allclose(again.loglike(params_of(again)), res.llf, rtol=1e-12)


@pytest.mark.parametrize("state_cov", [{"MKT.slope": "diagonal"}, {"MKT": "zero", "const.slope": "zero"}])
def test_covariances_name_the_levels(state_cov: Any) -> None:
    with pytest.raises(SpecificationError, match=r"MKT\.slope"):
        model_of(state_cov=state_cov)
