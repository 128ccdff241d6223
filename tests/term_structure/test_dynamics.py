"""The bias correction against closed forms, simulation and what may not change."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.signal
from numpy.testing import assert_allclose
from yields import random_panel

import statespace_ext as sse
from statespace_ext.term_structure.dynamics import analytic_bias, bias_corrected, bootstrap_bias

TAU = np.array([0.25, 1.0, 3.0, 5.0, 10.0])
PHI, COV = np.array([[0.95, 0.05], [0.0, 0.7]]), np.array([[1.0, 0.3], [0.3, 0.5]])


@pytest.mark.parametrize("root", [-0.5, 0.0, 0.9])
def test_one_factor_has_the_bias_of_kendall(root: float) -> None:
    """Kendall (1954): -(1 + 3 phi) / n, with an estimated mean."""
    found = analytic_bias(np.array([[root]]), np.array([[2.0]]), 100)
    assert_allclose(found, [[-(1.0 + 3.0 * root) / 100.0]], rtol=1e-12)


def test_both_estimates_are_the_mean_error_of_least_squares() -> None:
    """In samples drawn and regressed one by one; the terms beyond 1/n are a tenth."""
    n, rng, errors = 120, np.random.default_rng(5), []
    start = np.linalg.cholesky(scipy.linalg.solve_discrete_lyapunov(PHI, COV))
    root = np.linalg.cholesky(COV)
    paths = np.empty((n + 1, 4000, 2))
    paths[0] = rng.standard_normal((4000, 2)) @ start.T
    for t in range(n):
        paths[t + 1] = paths[t] @ PHI.T + rng.standard_normal((4000, 2)) @ root.T
    for x in np.moveaxis(paths, 1, 0):
        design = np.column_stack([np.ones(n), x[:-1]])
        errors.append(np.linalg.lstsq(design, x[1:], rcond=None)[0][1:].T - PHI)
    mean, noise = np.mean(errors, axis=0), np.std(errors, axis=0) / np.sqrt(len(errors))
    assert_allclose(bootstrap_bias(PHI, COV, n, 4000, 1), mean, atol=6 * noise.max())
    assert_allclose(analytic_bias(PHI, COV, n), mean, atol=4 * noise.max() + 0.1 * np.abs(mean).max())
    assert mean[0, 0] < -10 * noise[0, 0]


def test_shrinkage_is_that_of_kilian() -> None:
    """Shares 1, .99, .99 * .98, ... of the bias, until the transition is stationary."""
    Phi = np.array([[0.985, 0.05], [0.0, 0.7]])
    found = bias_corrected(Phi, COV, 60, "analytic")
    bias = analytic_bias(Phi, COV, 59)
    shares = np.cumprod([1.0, *(1.0 - 0.01 * np.arange(1, 60))])
    radii = np.array([np.abs(np.linalg.eigvals(Phi - share * bias)).max() for share in shares])
    assert radii[0] >= 1.0
    assert_allclose(found.share, shares[np.argmax(radii < 1.0)], rtol=1e-12)
    assert_allclose(found.transition, Phi - found.share * bias, rtol=1e-12)
    assert "% of the correction" in found.line
    outside = bias_corrected(np.diag([1.01, 0.5]), COV, 60, "analytic")
    assert_allclose(outside.transition, np.diag([1.01, 0.5]))
    assert "no correction" in outside.line


def panel(n: int = 120) -> pd.DataFrame:
    return random_panel(np.random.default_rng(8), n, TAU, 2)


@pytest.fixture(scope="module")
def fitted() -> Any:
    return sse.ATSM(panel(), TAU, 2, obs_cov="exact-portfolios").fit(method="jsz")


def test_only_the_physical_dynamics_change(fitted: Any) -> None:
    res = fitted.bias_corrected()
    ours, before = res.matrices, fitted.matrices
    for key in ("K_Q", "kappa_Q", "Sigma", "delta_0", "delta_1", "obs_cov"):
        assert_allclose(ours[key], before[key], rtol=1e-12, err_msg=key)
    assert_allclose(res.fitted_yields, fitted.fitted_yields, atol=1e-9)
    mean = fitted.factors.smoothed.mean()
    assert_allclose(ours["theta_P"], mean, rtol=1e-8)
    Phi = [scipy.linalg.expm(-each["K_P"].to_numpy() / 12.0) for each in (before, ours)]
    assert_allclose(Phi[1], bias_corrected(Phi[0], step_cov(fitted), 120, "analytic").transition, atol=1e-9)
    assert res.llf < fitted.llf
    half = [each.mean_reversion.loc[("P", 1), "half_life"] for each in (res, fitted)]
    assert half[0] > half[1]


def test_in_discrete_time_and_with_macro_factors() -> None:
    """The transition of a period is I - K_P / 12; portfolios and macro factors are corrected together."""
    rng, yields = np.random.default_rng(2), panel()
    growth = scipy.signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal(120))
    macro = pd.DataFrame({"growth": growth}, index=yields.index)
    months = np.rint(12.0 * TAU) / 12.0
    model = sse.ATSM(yields, months, 2, macro=macro, time="discrete", dt=1 / 12, obs_cov="exact-portfolios")
    before = model.fit()
    ours = before.bias_corrected()
    Phi = [np.eye(3) - each.matrices["K_P"].to_numpy() / 12.0 for each in (before, ours)]
    sigma = before.matrices["Sigma"].to_numpy()
    want = bias_corrected(Phi[0], sigma @ sigma.T / 12.0, 120, "analytic")
    assert_allclose(Phi[1], want.transition, atol=1e-9)
    assert np.abs(Phi[1] - Phi[0]).max() > 1e-3
    roots = np.linalg.eigvals(Phi[1])
    half = -np.log(2.0) / 12.0 / np.log(np.abs(roots))  # powers of a root fall to one half
    assert_allclose(np.sort(ours.mean_reversion.loc["P", "half_life"]), np.sort(half), rtol=1e-7)
    assert_allclose(ours.fitted_yields, before.fitted_yields, atol=1e-9)


def step_cov(res: Any) -> np.ndarray:
    """The covariance of a step by quadrature."""
    K, sigma = res.matrices["K_P"].to_numpy(), res.matrices["Sigma"].to_numpy()
    nodes, weights = np.polynomial.legendre.leggauss(12)
    moves = [scipy.linalg.expm(-K * (s + 1.0) / 24.0) @ sigma for s in nodes]
    return sum(w * m @ m.T for w, m in zip(weights, moves, strict=True)) / 24.0


def test_premia_and_forecasts_are_the_corrected_ones(fitted: Any) -> None:
    res = fitted.bias_corrected()
    plain = fitted.model.smooth(np.asarray(res.params), cov_type="none")
    held = {"param_uncertainty": False}
    for call in (lambda r: r.term_premium(10, **held), lambda r: r.forecast_yields(12, **held)):
        assert_allclose(call(res).estimate, call(plain).estimate, rtol=1e-12)
        assert not np.allclose(call(res).estimate, call(fitted).estimate)
    assert_allclose(res.bse, fitted.bse, rtol=1e-12)
    assert np.all(np.isfinite(res.term_premium(10).se))


WAYS = {
    "summary": lambda r, y: r,
    "pickle": lambda r, y: pickle.loads(pickle.dumps(r)),
    "deepcopy": lambda r, y: copy.deepcopy(r),
    "append": lambda r, y: r.append(y),
    "extend": lambda r, y: r.extend(y),
    "apply": lambda r, y: r.apply(panel()),
}


@pytest.mark.parametrize("way", WAYS)
def test_results_say_that_they_are_corrected(fitted: Any, way: str) -> None:
    res = WAYS[way](fitted.bias_corrected(), panel(123).iloc[120:])
    assert "corrected for the bias" in str(res.summary())
    assert "corrected for the bias" not in str(fitted.summary())
    with pytest.raises(sse.SpecificationError, match="already corrected"):
        res.bias_corrected()


def test_estimates_of_more_data_are_not_corrected(fitted: Any) -> None:
    again = fitted.bias_corrected().append(panel(123).iloc[120:], refit=True)
    assert not any("corrected for the bias" in line for line in again.status_lines())


def test_acm() -> None:
    tau = np.array([1 / 12, 0.25, 0.5, 1, 2, 3, 5, 7, 10])
    y = random_panel(np.random.default_rng(8), 200, tau)
    res = sse.ACM(y, tau, k_factors=3).fit()
    for out in (res.bias_corrected(), res.bias_corrected("bootstrap", rng=1)):
        assert_allclose(out.fitted_yields, res.fitted_yields, atol=1e-12)
        moved = out.matrices["Phi"] - res.matrices["Phi"]
        assert_allclose(out.matrices["lambda_1"] - res.matrices["lambda_1"], moved, atol=1e-12)
        assert "corrected for the bias" in str(pickle.loads(pickle.dumps(out)).summary())
    expected = bias_corrected(
        res.matrices["Phi"].to_numpy(), res.matrices["state_cov"].to_numpy(), 200, "analytic"
    )
    assert_allclose(res.bias_corrected().matrices["Phi"], expected.transition, rtol=1e-10)
    with pytest.raises(sse.SpecificationError, match="already corrected"):
        out.bias_corrected()


def test_bad_input(fitted: Any) -> None:
    def at_start(y: pd.DataFrame | None = None, **options: Any) -> Any:
        model = sse.ATSM(panel(60) if y is None else y, TAU, 2, **options)
        return model.smooth(model.start_params, cov_type="none")

    with pytest.raises(sse.DataError, match="too few periods.*20 periods, 2 factors; expected at least 30"):
        at_start(panel(20)).bias_corrected()
    with pytest.raises(sse.UnsupportedError, match="free P-dynamics"):
        at_start(p_dynamics="diagonal").bias_corrected()
    prices = {"lambda_0": [np.nan, np.nan], "lambda_1": [[np.nan, 0.0], [0.0, np.nan]]}
    with pytest.raises(sse.UnsupportedError, match="free P-dynamics"):
        at_start(risk_prices=prices).bias_corrected()
    with pytest.raises(sse.UnsupportedError, match="steps of equal length"):
        at_start(random_panel(np.random.default_rng(8), 60, TAU, 2, irregular=True)).bias_corrected()
    with pytest.raises(sse.SpecificationError, match="method"):
        fitted.bias_corrected("exact")
    with pytest.raises(sse.SpecificationError, match="n_boot"):
        fitted.bias_corrected("bootstrap", n_boot=0)
    with fitted.model.fix_params({"K_P.P1.P2": 0.0}):
        held = fitted.model.smooth(np.asarray(fitted.params), includes_fixed=True, cov_type="none")
    with pytest.raises(sse.UnsupportedError, match="fixed: K_P.P1.P2"):
        held.bias_corrected()


@pytest.mark.slow
def test_the_largest_root_in_200_panels() -> None:
    """Before, it is too small by a hundredth a month; the correction takes most of that off."""
    model = sse.ATSM(panel(240), TAU, 2, obs_cov="exact-portfolios")
    W, K = model.panel.weights, np.array([[0.12, 0.0], [0.05, 0.8]])
    mean = W @ np.full(len(TAU), 0.05) + np.array([0.0, 0.01])
    truth = model.layout.project({"K_P": K, "kappa_P": (K @ mean)[:, None]}, np.asarray(model.start_params))
    roots: dict[str, list[float]] = {"before": [], "analytic": [], "bootstrap": []}
    for rng in range(200):
        y = pd.DataFrame(
            model.simulate(truth, 240, rng=rng), index=model.calendar.labels, columns=panel().columns
        )
        own = sse.ATSM(y, TAU, 2, obs_cov="exact-portfolios", portfolio_weights=W)
        res = own.fit(method="two-step", cov_type="none")
        found = {
            "before": res,
            **{how: res.bias_corrected(how, rng=rng) for how in ("analytic", "bootstrap")},
        }
        for key, each in found.items():
            roots[key].append(float(np.exp(-each.mean_reversion.loc[("P", 1), "real"] / 12.0)))
    bias = {key: float(np.mean(each) - np.exp(-0.01)) for key, each in roots.items()}
    print({key: round(each, 5) for key, each in bias.items()})
    assert bias["before"] < -0.01
    assert all(abs(bias[how]) < 0.4 * abs(bias["before"]) for how in ("analytic", "bootstrap"))
