"""
What others get wrong in the sums and the steps of EM, beside what the library returns.

As in `test_traps`, a test that fails because the other package is right again says so.
"""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from oracle import dense, expected_sums, random_system
from precise import precise, precise_score
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from systems import library_system

import statespace_ext as sse
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.system import MATRICES

MENDED = f"statsmodels {statsmodels.__version__} has this right: what guards against it can go"


def bound(y: np.ndarray, system: dict, diffuse: bool = False, **options: object) -> KalmanSmoother:
    (p, k), q = system["design"].shape[:2], system["selection"].shape[1]
    ssm = KalmanSmoother(p, k, q, **options)
    ssm.bind(y.T.copy(order="F"))
    for name, value in system.items():
        if not name.startswith("initial_"):
            ssm[name] = value if value.ndim > 1 else value[:, None]
    if diffuse:
        ssm.initialize_diffuse()
    else:
        ssm.initialize_known(system["initial_state"], system["initial_state_cov"])
    return ssm


def test_the_collapsed_filter_beside_an_intercept_of_the_observations() -> None:
    y, system = random_system(np.random.default_rng(1), 12, 2, 4)
    assert np.any(system["obs_intercept"])
    with pytest.raises(RuntimeError, match="observation intercept"):
        bound(y, system, filter_collapsed=True).loglike()
        pytest.fail(MENDED)
    without = {**system, "obs_intercept": np.zeros(4)}
    assert_allclose(bound(y, without, filter_collapsed=True).loglike(), dense(y, without).llf, rtol=1e-9)
    model = sse.LGSSM(
        y, 2, design=system["design"], initialization="known", initial_state=system["initial_state"],
        initial_state_cov=system["initial_state_cov"],
    )  # fmt: skip
    params = np.where(np.array(model.start_params) == 0.0, 0.3, model.start_params)
    assert any("intercept" in reason for reason in sse.filter_report(model, params).reasons["collapsed"])
    assert_allclose(Smoother(y, 2, 2).loglike(library_system(system)), dense(y, system).llf, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:The univariate filtering approach diagonalized")
def test_measurement_disturbances_in_a_diffuse_period_are_others() -> None:
    y, system = random_system(np.random.default_rng(4), 8, 1, 2, initialization="diffuse")
    system["obs_cov"] = np.array([[1.0, 0.6], [0.6, 1.0]])
    res = bound(y, system, diffuse=True).smooth()
    assert res.nobs_diffuse == 1
    sums = expected_sums(y, system, np.ones(1, dtype=bool))
    eps, cov = res.smoothed_measurement_disturbance, res.smoothed_measurement_disturbance_cov
    assert np.max(np.abs(eps @ eps.T + cov.sum(axis=2) - sums.obs_yy)) > 0.01, MENDED
    found = Smoother(y, 1, 1).moments(library_system(system, "diffuse"))
    assert_allclose(found.observation.ee.sum(axis=0), sums.obs_yy, atol=1e-8)


def test_a_diffuse_likelihood_grows_as_the_second_lag_vanishes() -> None:
    """AR(2) beside noise: the second diffuse state is seen through the second coefficient alone."""
    y = np.random.default_rng(5).standard_normal(40)

    def terms(second: float) -> np.ndarray:
        ssm = KalmanSmoother(1, 2, 1)
        ssm.bind(y)
        ssm["design"], ssm["obs_cov"] = np.array([[1.0, 0.0]]), np.eye(1)
        ssm["transition"] = np.array([[0.9, second], [1.0, 0.0]])
        ssm["selection"], ssm["state_cov"] = np.array([[1.0], [0.0]]), np.eye(1)
        ssm.initialize_diffuse()
        return np.asarray(ssm.loglikeobs())

    gained = terms(0.01) - terms(0.1)
    assert_allclose(gained[1], np.log(10.0), rtol=1e-3)
    assert gained.sum() > 1.0
    with pytest.raises(sse.SpecificationError, match="unbounded"):
        sse.LGSSM(y, 1, lags=2, design=[[1.0]], initialization="diffuse")


def test_covariances_that_are_not_made_symmetric_drift_away() -> None:
    """pykalman on its own data: the asymmetry of Q grows a thousandfold every four steps or so."""
    pykalman = pytest.importorskip("pykalman")
    from pykalman.datasets import load_robot

    robot, n = load_robot(), 120
    observations, offsets = robot.observations[:n], robot.transition_offsets[: n - 1]
    start = {"transition_covariance": 10.0 * np.eye(5), "observation_covariance": 10.0 * np.eye(2)}
    known = {
        "transition_matrices": robot.transition_matrix,
        "observation_matrices": robot.observation_matrix,
        "transition_offsets": offsets,
        "observation_offsets": robot.observation_offset,
        "initial_state_mean": robot.initial_state_mean,
        "initial_state_covariance": robot.initial_state_covariance,
    }
    theirs = pykalman.KalmanFilter(**known, **start, em_vars=list(start)).em(observations, n_iter=15)
    Q = theirs.transition_covariance
    assert np.max(np.abs(Q - Q.T)) > 1e-9 * np.max(np.abs(Q)), "pykalman has this right now"

    model = sse.LGSSM(
        np.ma.filled(observations.astype(float), np.nan), 5,
        design=robot.observation_matrix, obs_intercept=robot.observation_offset,
        transition=robot.transition_matrix,
        state_intercept=np.column_stack([offsets.T, np.zeros(5)]),
        obs_cov="unstructured", state_cov="unstructured",
        initialization="known", initial_state=robot.initial_state_mean,
        initial_state_cov=robot.initial_state_covariance,
    )  # fmt: skip
    begin = {"obs_cov": 10.0 * np.eye(2), "state_cov": 10.0 * np.eye(5)}
    res = model.fit(begin, method="em", maxiter=60, tolerance=0.0, cov_type="none")
    state_cov = res.matrices["state_cov"].to_numpy()
    assert_array_equal(state_cov, state_cov.T)
    assert np.all(np.diff(res.em_trace["llf"]) > 0)


def test_a_stopping_rule_of_the_likelihood_alone_stops_far_from_the_maximum() -> None:
    """Nile, x_1 an unknown constant: EM without the rule on parameters stands at a Q 15 % too large."""
    y = sm.datasets.nile.load().data["volume"].to_numpy(dtype=float)
    model = sse.LGSSM(
        y, 1, design=[[1.0]], transition="identity", obs_intercept="zero", initialization="estimated"
    )
    best = model.fit()
    trace = model.fit(method="em", maxiter=150, tolerance=0.0, cov_type="none").em_trace
    change = np.abs(np.diff(trace["llf"])) / np.abs(trace["llf"].iloc[1:])
    stopped = int(np.argmax(change.to_numpy() < 1e-6)) + 1
    at = model.fit(method="em", maxiter=stopped, tolerance=0.0, cov_type="none")
    assert best.llf - at.llf < 0.05
    assert at.matrices["state_cov"].iloc[0, 0] > 1.1 * best.matrices["state_cov"].iloc[0, 0]


class ExactSARIMAX(sse.ExactScoreMixin, sm.tsa.SARIMAX):
    pass


@pytest.mark.filterwarnings("ignore")
def test_the_likelihood_of_a_perfect_fit_has_no_maximum() -> None:
    """
    statsmodels' test_fit_misc: y_t = 2 t b_t without any noise.

    The first row has no regressor, so that its variance is that of the noise and its term grows without bound
    as that falls; statsmodels leaves the term out from 1e-10 on. No fit converges, and where one ends on the
    way to zero rests on its steps; the score is that of the likelihood to the last digit at either end.
    """
    y = np.arange(12.0)
    options = {"order": (0, 0, 0), "time_varying_regression": True, "mle_regression": False}
    options |= {"exog": 2.0 * y, "use_exact_diffuse": True}
    plain, exact = (kind(y, **options) for kind in (sm.tsa.SARIMAX, ExactSARIMAX))
    plain.update([1.0, 1.0])
    system = {name: getattr(plain.ssm, name) for name in MATRICES}
    system = {name: value[..., 0] if name != "design" else value for name, value in system.items()}
    system |= {"initial_state": np.zeros(1), "initial_state_cov": np.zeros((1, 1))}
    flat = np.ones(1, dtype=bool)

    def at(params: np.ndarray) -> dict[str, np.ndarray]:
        return {**system, "state_cov": np.array([params[:1]]), "obs_cov": np.array([params[1:]])}

    ends = [model.fit(disp=False) for model in (plain, exact)]
    for end in ends:
        assert not end.mle_retvals["converged"]
        params = np.asarray(end.params)
        found = sse.exact_score(plain, params)
        names = ("state_cov", "obs_cov")
        want = [precise_score(y[:, None], at(params), flat, name, (0, 0)) for name in names]
        assert found.method == "exact"
        assert_allclose(found.score, want, rtol=1e-8)
        assert_allclose(found.llf, float(precise(y[:, None], at(params), flat, states=False).llf), rtol=1e-10)
    falling = [np.array([1e-4, variance]) for variance in (1e-12, 1e-16, 1e-20)]
    growing = [float(precise(y[:, None], at(params), flat, states=False).llf) for params in falling]
    assert_allclose(np.diff(growing), 0.5 * np.log(1e4), rtol=1e-6)
    assert_allclose([sse.exact_score(plain, params).llf for params in falling], growing, rtol=1e-10)
    assert np.ptp([plain.loglike(params) for params in falling]) < 1e-6, MENDED
