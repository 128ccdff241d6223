"""
What statsmodels gets wrong without an error, on each supported version, beside what the library returns.

A test that fails because statsmodels is right again says so: the guard against it can go.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import statsmodels
import statsmodels.api as sm
from incomplete import Plain, dense as incomplete_dense, lgssm, sample
from numpy.testing import assert_allclose, assert_array_equal
from oracle import dense, dense_diffuse, expected_sums, random_system, richardson_gradient
from statsmodels.tsa.statespace.kalman_smoother import (
    SMOOTHER_STATE,
    SMOOTHER_STATE_COV,
    KalmanSmoother,
)
from statsmodels.tsa.statespace.mlemodel import MLEModel
from systems import library_system, sampled

import statespace_ext as sse
from statespace_ext.engine.compat import VERSION
from statespace_ext.engine.smoother import Smoother

MENDED = f"statsmodels {statsmodels.__version__} has this right: what guards against it can go"


def bound(y: np.ndarray, system: dict, start: str = "known", **options: object) -> KalmanSmoother:
    """Return statsmodels' own smoother, as a user would set it up."""
    (p, k), q = system["design"].shape[:2], system["selection"].shape[1]
    ssm = KalmanSmoother(p, k, q, **options)
    ssm.bind(y.T.copy(order="F"))
    for name, value in system.items():
        if not name.startswith("initial_"):
            ssm[name] = value if value.ndim > 1 else value[:, None]
    if start == "known":
        ssm.initialize_known(system["initial_state"], system["initial_state_cov"])
    else:
        getattr(ssm, f"initialize_{start}")()
    return ssm


def differs(found: object, right: object, by: float = 1e-6) -> bool:
    return float(np.max(np.abs(np.asarray(found) - np.asarray(right)))) > by


def test_lag_one_covariances_have_one_name_and_reach_one_period_too_far() -> None:
    y, system = random_system(np.random.default_rng(0), 8, 2, 2)
    res = bound(y, system).smooth()
    assert not hasattr(res, "smoothed_state_cov_all") and not hasattr(res, "smoothed_state_cov_state"), MENDED
    want = dense(y, system).lag_cov
    lag = np.moveaxis(res.smoothed_state_autocov, -1, 0)
    assert_allclose(lag[:-1], want, atol=1e-9)
    assert len(lag) == len(want) + 1
    predicted = np.moveaxis(res.predicted_state_cov, -1, 0)[:7]
    assert differs(predicted, want, 0.01)  # `P[..., :-1]` is no lag-one covariance


def test_smoother_output_that_was_not_asked_for_is_zero() -> None:
    y, system = random_system(np.random.default_rng(0), 8, 2, 2)
    back = bound(y, system)
    back._filter()
    asked = back._smooth(SMOOTHER_STATE | SMOOTHER_STATE_COV)
    assert not np.any(np.asarray(asked.smoothed_state_autocov)), MENDED
    moments = Smoother(y, 2, 2).moments(library_system(system))
    assert_allclose(moments.state.eb.sum(axis=0), expected_sums(y, system).state_yx, atol=1e-9)


@pytest.mark.filterwarnings("ignore:The univariate filtering approach diagonalized")
def test_lag_one_covariances_are_zero_in_diffuse_periods() -> None:
    y, system = random_system(np.random.default_rng(1), 8, 2, 2, initialization="diffuse")
    res = bound(y, system, "diffuse").smooth()
    want = dense_diffuse(y, system, np.ones(2, dtype=bool)).lag_cov
    assert not np.any(res.smoothed_state_autocov[..., 0]) and np.any(want[0]), MENDED
    sums = expected_sums(y, system, np.ones(2, dtype=bool))
    found = Smoother(y, 2, 2).moments(library_system(system, "diffuse"))
    assert_allclose(found.state.eb.sum(axis=0), sums.state_yx, atol=1e-8)


def test_residuals_without_their_smoothing_variances_lower_the_likelihood() -> None:
    """Q = the mean square of smoothed increments is no M-step; the library's rises from the same point."""
    y = np.cumsum(np.random.default_rng(2).standard_normal(60))
    model = sse.LGSSM(
        y, 1, design=[[1.0]], transition="identity", obs_intercept="zero", obs_cov=[[1.0]],
        initialization="known", initial_state=[0.0], initial_state_cov=[[1.0]],
    )  # fmt: skip
    best = model.fit()
    smooth = model.smooth(best.params)
    naive = float(np.mean(np.diff(smooth.smoothed_state[0]) ** 2))
    assert model.loglike([naive]) < best.llf - 0.1
    em = model.fit(best.params, method="em", maxiter=20, tolerance=0.0)
    assert em.llf >= best.llf - 1e-9


def test_a_diffuse_likelihood_grows_as_a_free_design_shrinks() -> None:
    y, system = random_system(np.random.default_rng(3), 12, 2, 3, initialization="diffuse")
    small = {
        **system, "design": 0.1 * system["design"], "state_cov": 100.0 * system["state_cov"],
        "state_intercept": 10.0 * system["state_intercept"],
    }  # fmt: skip
    gained = bound(y, small, "diffuse").loglike() - bound(y, system, "diffuse").loglike()
    assert_allclose(gained, 2 * np.log(10.0), rtol=1e-6)
    with pytest.raises(sse.SpecificationError, match="unbounded"):
        sse.LGSSM(y, 2, initialization="diffuse")


@pytest.mark.filterwarnings("ignore:The univariate filtering approach diagonalized")
def test_measurement_disturbances_of_the_univariate_filter_are_others() -> None:
    y, system = random_system(np.random.default_rng(4), 8, 1, 2)
    system["obs_cov"] = np.array([[1.0, 0.6], [0.6, 1.0]])
    res = bound(y, system, filter_univariate=True).smooth()
    sums = expected_sums(y, system)
    eps, cov = res.smoothed_measurement_disturbance, res.smoothed_measurement_disturbance_cov
    assert differs(eps @ eps.T + cov.sum(axis=2), sums.obs_yy, 0.01), MENDED
    found = Smoother(y, 1, 1).moments(library_system(system))
    assert_allclose(found.observation.ee.sum(axis=0), sums.obs_yy, atol=1e-9)


def test_chandrasekhar_recursions_from_another_start() -> None:
    y, system = random_system(np.random.default_rng(5), 30, 2, 2)
    right = dense(y, system).llf
    ssm = bound(y, system, filter_chandrasekhar=True, tolerance=0.0)
    assert differs(ssm.loglike(), right, 0.01), MENDED
    model = sse.LGSSM(
        y, 2, initialization="known", initial_state=system["initial_state"],
        initial_state_cov=system["initial_state_cov"],
    )  # fmt: skip
    with pytest.raises(sse.UnsupportedError, match=r"(?i)chandrasekhar"):
        sse.use_chandrasekhar(model)
    assert_allclose(Smoother(y, 2, 2).loglike(library_system(system)), right, rtol=1e-10)


def collapsed(y: np.ndarray, system: dict) -> KalmanSmoother:
    return bound(y, system, filter_univariate=True, filter_collapsed=True)


@pytest.mark.filterwarnings("ignore:The univariate filtering approach diagonalized")
def test_univariate_and_collapsed_with_missing_values() -> None:
    y, system = random_system(np.random.default_rng(1), 12, 2, 4, missing=0.3)
    system["obs_intercept"] = np.zeros(4)  # beside one, `filter_collapsed` raises
    want = dense(y, system)
    res = collapsed(y, system).smooth()
    assert differs(res.smoothed_state.T, want.smoothed_state, 1e-3), MENDED
    found = Smoother(y, 2, 2).smooth(library_system(system))
    assert_allclose(found.mean.T, want.smoothed_state, atol=1e-9)


@pytest.mark.filterwarnings("ignore:The univariate filtering approach diagonalized")
def test_partly_missing_rows_with_the_univariate_filter() -> None:
    y, system = random_system(np.random.default_rng(6), 12, 2, 4, missing=0.3)
    right = dense(y, system).llf
    found = bound(y, system, filter_univariate=True).loglike()
    assert differs(found, right, 1e-3) == (VERSION < (0, 15)), MENDED
    assert_allclose(Smoother(y, 2, 2).loglike(library_system(system)), right, rtol=1e-9)


def test_partly_missing_rows_in_an_exact_diffuse_period() -> None:
    y, system = random_system(np.random.default_rng(8), 8, 2, 4, initialization="diffuse")
    y[0, 0] = np.nan
    right = dense_diffuse(y, system, np.ones(2, dtype=bool)).llf
    found = bound(y, system, "diffuse").loglike()
    assert differs(found, right, 1e-3) == (VERSION < (0, 15)), MENDED
    assert_allclose(Smoother(y, 2, 2).loglike(library_system(system, "diffuse")), right, rtol=1e-8)


def test_standard_errors_with_missing_rows() -> None:
    """statsmodels' own "oim" counts rows without data: its errors are too small (here by a third)."""
    y = np.cumsum(np.random.default_rng(9).standard_normal(150)) + np.random.default_rng(10).standard_normal(
        150
    )
    gaps = y.copy()
    gaps[np.arange(150) % 3 != 0] = np.nan
    theirs = sm.tsa.UnobservedComponents(gaps, "llevel").fit(disp=False, cov_type="oim")
    right = theirs.model.fit(disp=False, cov_type="approx").bse
    assert np.min(theirs.bse / right) < 0.8, MENDED
    model = sse.LGSSM(
        gaps,
        1,
        design=[[1.0]],
        transition="identity",
        obs_intercept="zero",
        initialization="approximate_diffuse",
    )
    res = model.fit()
    numerical = np.sqrt(np.diag(res.cov_params_of("approx")))
    assert_allclose(res.bse, numerical, rtol=1e-3)


class Walk(MLEModel):
    """A random walk from a known place, seen without noise."""

    param_names = ["variance"]
    start_params = np.ones(1)

    def __init__(self, y: np.ndarray) -> None:
        super().__init__(y, k_states=1)
        for name in ("design", "transition", "selection"):
            self.ssm[name] = np.eye(1)
        self.ssm.initialize_known(np.zeros(1), np.zeros((1, 1)))

    def update(self, params: np.ndarray, **kwargs: object) -> None:
        self.ssm["state_cov", 0, 0] = super().update(params, **kwargs)[0]


def test_standard_errors_with_a_missing_row_that_is_certain() -> None:
    """x_0 as a leading missing row has F = 0, which statsmodels' "oim" inverts all the same."""
    y = np.concatenate([[np.nan], np.cumsum(np.random.default_rng(12).standard_normal(80))])
    variance = np.mean(np.diff(y[1:], prepend=0.0) ** 2)
    theirs = Walk(y)
    try:
        theirs.observed_information_matrix([variance])
    except np.linalg.LinAlgError as error:
        assert "Singular matrix" in str(error)
    else:
        pytest.fail(MENDED)
    assert np.isnan(theirs.smooth([variance], cov_type="oim").bse).all()
    matrices = {"design": [[1.0]], "transition": "identity", "obs_intercept": "zero", "obs_cov": "zero"}
    start = {"initialization": "known", "initial_state": [0.0], "initial_state_cov": [[0.0]]}
    model = sse.LGSSM(y, 1, **matrices, **start)
    res = model.fit()
    assert_allclose(res.params, variance, rtol=1e-6)
    assert_allclose(res.bse, variance * np.sqrt(2 / 80), rtol=1e-4)


def test_burnt_periods_are_not_in_the_score_either() -> None:
    y = np.cumsum(np.random.default_rng(11).standard_normal(60))
    model = sm.tsa.UnobservedComponents(y, "llevel")
    assert model.loglikelihood_burn == 1, MENDED
    params = np.array([0.7, 1.3])
    want = richardson_gradient(model.loglike, params)
    assert_allclose(sse.exact_score(model, params).score, want, rtol=1e-6)


def test_the_steady_state_is_an_absolute_size() -> None:
    """In small units the filter takes covariances that still move for converged."""
    y, system = random_system(np.random.default_rng(12), 60, 2, 2)
    size = 1e-6
    small = {**system}
    for name, power in {"obs_cov": 2, "state_cov": 2, "initial_state_cov": 2, "initial_state": 1}.items():
        small[name] = size**power * system[name]
    for name in ("obs_intercept", "state_intercept"):
        small[name] = size * system[name]
    right = dense(y, system).llf - y.size * np.log(size)
    assert differs(bound(size * y, small).loglike(), right, 1e-3), MENDED
    assert_allclose(Smoother(size * y, 2, 2).loglike(library_system(small)), right, rtol=1e-9)


@pytest.mark.parametrize("size", [1e-7, 1e-9])
def test_a_single_series_of_small_variance_is_skipped(size: float) -> None:
    y, system = random_system(np.random.default_rng(13), 40, 1, 1)
    small = {
        **system, "design": size * system["design"], "obs_cov": size**2 * system["obs_cov"],
        "obs_intercept": size * system["obs_intercept"],
    }  # fmt: skip
    right = dense(y, system).llf - y.size * np.log(size)
    assert_allclose(bound(size * y, small).loglike(), 0.0, atol=1e-9, err_msg=MENDED)
    assert_allclose(Smoother(size * y, 1, 1).loglike(library_system(small)), right, rtol=1e-9)


def test_complex_steps_at_zero_off_diagonals() -> None:
    """The derivative by a symmetric element: one half of the pair only moves the complex factor."""
    model, params = sampled(np.random.default_rng(14), 30, 2, 1, obs_cov="unstructured")
    params[model.param_names.index("obs_cov.y1.y2")] = 0.0
    want = richardson_gradient(model.loglike, params)
    assert_allclose(model.score(params), want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
    with pytest.raises(sse.UnsupportedError, match="Complex-step"):
        model.update(params + 0j, complex_step=True)


def test_a_log_likelihood_that_stands_nearly_still_is_no_maximum() -> None:
    """Nile with an unknown first state: EM is not said to have converged before its parameters stand."""
    y = sm.datasets.nile.load().data["volume"].to_numpy(dtype=float)
    model = sse.LGSSM(
        y, 1, design=[[1.0]], transition="identity", obs_intercept="zero", initialization="estimated"
    )
    best, em = model.fit(), model.fit(method="em", maxiter=2000)
    assert_allclose(best.matrices["state_cov"].to_numpy(), 1279.6, rtol=1e-3)
    if em.converged:
        last = em.em_trace["params_change"].iloc[-1]
        assert last <= 1e-3


# -- missing cells, news, impulses -------------------------------------------------------------------------


def test_smoothed_predictions_and_news_leave_the_row_out() -> None:
    """A missing cell beside an observed one, whose noises are correlated."""
    before, after = sample(), sample()
    before.iloc[-1] = np.nan, np.nan, 0.3
    after.iloc[-1] = np.nan, 1.2, 0.3
    models = [lgssm(each) for each in (before, after)]
    plain = [Plain(model.data.orig_endog, model.system(np.zeros(0))).smooth([]) for model in models]
    want = [incomplete_dense(model, [], model.endog)[0][-1, 0] for model in models]
    found = [res.get_prediction(information_set="smoothed").predicted_mean.iloc[-1, 0] for res in plain]
    assert differs(found, want, 0.01), MENDED
    when = {"start": len(after) - 1, "end": len(after) - 1, "comparison_type": "previous"}
    impact = plain[1].news(plain[0], **when).total_impacts.iloc[0, 0]
    assert differs(impact, want[1] - want[0], 0.01), MENDED
    ours = [model.smooth([]) for model in models]
    assert_allclose(ours[1].news(ours[0], **when).total_impacts.iloc[0, 0], want[1] - want[0], atol=1e-10)


def test_news_of_three_new_rows_do_not_add_up() -> None:
    """Even with a diagonal covariance the weights of rows after the sample are wrong."""
    y = sample().ffill()
    before, n = y.iloc[:-3], len(y)
    models = [lgssm(each, obs_cov=np.diag([1.0, 0.9, 0.7])) for each in (before, y)]
    plain = [Plain(model.data.orig_endog, model.system(np.zeros(0))).smooth([]) for model in models]
    when = {"start": n - 1, "end": n, "comparison_type": "previous"}
    theirs = plain[1].news(plain[0], **when)
    assert differs(theirs.update_impacts, theirs.total_impacts, 1e-3), MENDED
    ours = models[1].smooth([]).news(models[0].smooth([]), **when)
    assert_allclose(ours.total_impacts, theirs.total_impacts, atol=1e-9)
    assert_allclose(ours.update_impacts, ours.total_impacts, atol=1e-10)


def test_revisions_of_diffuse_periods_have_no_weight() -> None:
    y = sample()
    revised = y.copy()
    revised.iloc[0, 0] += 1.0
    models = [lgssm(each, obs_cov=np.eye(3), initialization="diffuse") for each in (y, revised)]
    plain = [Plain(model.data.orig_endog, model.system(np.zeros(0))).smooth([]) for model in models]
    when = {"start": 0, "end": 1, "comparison_type": "previous"}
    if "revisions_details_start" in inspect.signature(type(plain[0]._results).news).parameters:
        when["revisions_details_start"] = True
    assert not np.any(plain[1].news(plain[0], **when).revision_weights), MENDED
    ours = models[1].smooth([]).news(models[0].smooth([]), **when)
    by_weight = ours.revision_weights.to_numpy().reshape(2, 3) * ours.revisions.to_numpy()
    assert_allclose(by_weight, ours.total_impacts, atol=1e-10)


def test_an_impulse_by_name_is_the_number_of_a_series() -> None:
    """The second series has the number of the second factor."""
    model = lgssm(sample())
    plain = Plain(model.data.orig_endog, model.system(np.zeros(0))).smooth([])
    assert_array_equal(plain.impulse_responses(2, impulse="b"), plain.impulse_responses(2, impulse=1))
    with pytest.raises(sse.SpecificationError, match="impulse is unknown"):
        model.smooth([]).impulse_responses(2, impulse="b")
