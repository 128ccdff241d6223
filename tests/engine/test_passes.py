"""Passes that compute what they do not keep: every output is that of statsmodels' own pass."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.statespace.simulation_smoother import SimulationSmoother

import statespace_ext as sse
from statespace_ext.engine import passes
from statespace_ext.engine.exact_results import with_exact_start
from statespace_ext.engine.exact_start import system_of
from statespace_ext.engine.smoother import Smoother
from statespace_ext.engine.system import has_part

N, P, K = 30, 20, 2
_ROWS = {"tmp1", "tmp2", "tmp3", "tmp4", "M", "M_diffuse", "collapsed_forecasts"}


def data(missing, n=N):
    """Return data of two factors; the second missing pattern has rows without any data."""
    rng = np.random.default_rng(3)
    y = rng.standard_normal((n, K)).cumsum(axis=0) @ rng.standard_normal((K, P)) + rng.standard_normal((n, P))
    if missing:
        y[rng.random(y.shape) < 0.2] = np.nan
        y[7] = np.nan
    return pd.DataFrame(y, pd.period_range("2000-01", periods=n, freq="M"), [f"y{i}" for i in range(P)])


def many(missing, obs_cov, n=N):
    """Return a model of many series and parameters."""
    model = sse.LGSSM(data(missing, n), K, identification="triangular", obs_cov=obs_cov)
    return model, model.start_params


def by_statsmodels(model, params, smooths=True):
    """Return statsmodels' pass, with the exact-diffuse start of the package."""
    model.update(params, includes_fixed=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The univariate filtering approach diagonalized")
        out = (SimulationSmoother.smooth if smooths else SimulationSmoother.filter)(model.ssm)
    if has_part(model.ssm.initialization, "diffuse"):
        smoother = Smoother(np.asarray(model.endog), model.k_states, model.ssm.k_posdef)
        with_exact_start(out, smoother, system_of(model.ssm))
    return out


def assert_same(found, right, left_out=()):
    """Compare every output of two passes."""
    compared = 0
    for name in sorted(passes._COMPUTED | {"kalman_gain", "standardized_forecasts_error", "llf"}):
        expected = getattr(right, name, None)
        if name in left_out or not isinstance(expected, (np.ndarray, float)):
            continue
        value = getattr(found, name)
        if name == "_standardized_forecasts_error":  # zero in empty rows in statsmodels
            expected = np.where(np.isnan(value) & (expected == 0.0), np.nan, expected)
        if name == "standardized_forecasts_error":
            continue
        scale = np.nanmax(np.abs(expected), initial=1e-300)
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-9 * scale, err_msg=name)
        compared += 1
    assert compared > 20
    if right.smoothed_state is not None:
        both = [each.smoothed_state_autocovariance(2) for each in (found, right)]
        np.testing.assert_allclose(*both, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("smooths", [True, False])
@pytest.mark.parametrize("obs_cov", ["diagonal", "unstructured"])
@pytest.mark.parametrize("missing", [False, True])
def test_every_output_of_collapsed_rows_is_that_of_the_rows(missing, obs_cov, smooths):
    model, params = many(missing, obs_cov)
    res = model.smooth(params) if smooths else model.filter(params)
    assert isinstance(res.filter_results, passes.LazyResults)
    assert_same(res.filter_results, by_statsmodels(model, params, smooths))


@pytest.mark.parametrize("missing", [False, True])
def test_no_array_of_all_pairs_of_series_by_period_is_kept(missing):
    model, params = many(missing, "diagonal")
    res = model.smooth(params)
    res.summary(), res.forecast(3), res.states.smoothed, res.news(data(missing, N - 1)).summary()
    kept = [value for each in (res._results, res.filter_results) for value in vars(each).values()]
    arrays = [np.size(value) for value in kept if isinstance(value, np.ndarray)]
    assert arrays and max(arrays) < N * P * P / 4


@pytest.mark.parametrize(
    "copied", [lambda res: res, copy.deepcopy, lambda res: pickle.loads(pickle.dumps(res))]
)
@pytest.mark.parametrize("missing", [False, True])
def test_what_a_user_reads_is_that_of_statsmodels(missing, copied, monkeypatch):
    model, params = many(missing, "diagonal")
    res = copied(model.smooth(params))
    monkeypatch.setattr(passes, "lazy_pass", lambda *args, **kwargs: None)
    right = model.smooth(params)
    assert not isinstance(right.filter_results, passes.LazyResults)
    for name in passes.OUTPUT:
        value, expected = getattr(res, name), getattr(right, name)
        if expected is None:
            assert value is None
        else:
            np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-10, err_msg=name)
    for name in ("predicted", "filtered", "smoothed"):
        for cov in ("", "_cov"):
            pd.testing.assert_frame_equal(
                getattr(res.states, name + cov), getattr(right.states, name + cov), rtol=1e-8
            )
    ours, theirs = (each.get_prediction(start=N - 3, end=N + 4) for each in (res, right))
    pd.testing.assert_frame_equal(ours.summary_frame(endog=2), theirs.summary_frame(endog=2), rtol=1e-8)
    np.testing.assert_allclose(ours.var_pred_mean, theirs.var_pred_mean, rtol=1e-8)
    np.testing.assert_allclose(res.llf_obs, right.llf_obs, rtol=1e-9, atol=1e-9)
    both = [each.get_smoothed_decomposition()[0] for each in (res, right)]
    pd.testing.assert_frame_equal(*both, rtol=1e-8)
    tables = [[table.as_text() for table in each.summary().tables[1:]] for each in (res, right)]
    assert tables[0] == tables[1]  # the first has the time of day


def test_removed_data_take_lazy_output_with_them():
    model, params = many(True, "diagonal")
    res = model.smooth(params)
    res.remove_data()
    with pytest.raises(sse.exceptions.DataError, match="remove_data"):
        _ = res.forecasts_error_cov


def test_the_loglikelihood_of_collapsed_rows_is_that_of_the_rows():
    for obs_cov in ("diagonal", "unstructured"):
        model, params = many(True, obs_cov)
        right = by_statsmodels(model, params, False).llf
        np.testing.assert_allclose(model.loglike(params), right, rtol=1e-11)


# -- data that go on -------------------------------------------------------------------------------------


def lgssm(initialization="stationary", missing=False, n=40, **kwargs):
    """Return a small model, and the data of its sample and after it."""
    rng = np.random.default_rng(5)
    y = rng.standard_normal((n + 6, 3)).cumsum(axis=0) + rng.standard_normal((n + 6, 3))
    if missing:
        y[rng.random(y.shape) < 0.2] = np.nan
        y[[4, n + 1]] = np.nan
    y = pd.DataFrame(y, pd.period_range("2000-01", periods=n + 6, freq="M"), list("abc"))
    kwargs = {"identification": "triangular", "initialization": initialization, **kwargs}
    model = sse.LGSSM(y[:n], 2, **kwargs)
    return model, [{"endog": y[n : n + 1]}, {"endog": y[n + 1 :]}]


def with_inputs():
    """Return a model with regressors in both equations, of which the next one is not known yet."""
    rng = np.random.default_rng(7)
    index = pd.period_range("2000-01", periods=46, freq="M")
    y = pd.DataFrame(rng.standard_normal((46, 3)), index, list("abc"))
    u = pd.DataFrame(rng.standard_normal((46, 1)), index, ["u"])
    x = pd.DataFrame(rng.standard_normal((46, 1)), index, ["x"])
    sample = u[:40].copy()
    sample.iloc[-1] = np.nan
    model = sse.LGSSM(y[:40], 1, exog=x[:40], state_exog=sample)
    rows = (40, 41), (41, 46)
    more = [{"endog": y[i:j], "exog": x[i:j], "state_exog": u[i - 1 : j - 1]} for i, j in rows]
    return model, more


def many_series():
    """Return a model whose rows are collapsed."""
    y = data(True, N + 6)
    model = sse.LGSSM(y[:N], K, identification="triangular")
    return model, [{"endog": y[N : N + 1]}, {"endog": y[N + 1 :]}]


def capm(**kwargs):
    """Return a regression with a diffuse start."""
    rng = np.random.default_rng(6)
    index = pd.period_range("2000-01", periods=46, freq="M")
    market = pd.DataFrame(rng.standard_normal((46, 1)), index, ["m"])
    y = pd.DataFrame(market.to_numpy() + rng.standard_normal((46, 2)), index, ["a", "b"])
    model = sse.CAPM(y[:40], market[:40]["m"], **kwargs)
    exog = market.assign(const=1.0)[["const", "m"]]
    return model, [{"endog": y[i:j], "exog": exog[i:j]} for i, j in ((40, 41), (41, 46))]


def atsm():
    """Return a model of the term structure."""
    rng = np.random.default_rng(8)
    index = pd.period_range("2000-01", periods=46, freq="M")
    y = 0.03 + 0.001 * rng.standard_normal((46, 2)).cumsum(axis=0) @ np.array([[1.0] * 4, [1, 0.6, 0.3, 0.1]])
    y = pd.DataFrame(y + 1e-4 * rng.standard_normal(y.shape), index)
    model = sse.ATSM(y[:40], [0.25, 1.0, 5.0, 10.0], k_factors=2)
    return model, [{"endog": y[40:41]}, {"endog": y[41:]}]


WAYS = {
    "stationary": lgssm,
    "missing": lambda: lgssm(missing=True),
    "known": lambda: lgssm("known", initial_state=np.ones(2), initial_state_cov=np.eye(2)),
    "diffuse": lambda: lgssm("diffuse", identification=None, design=np.eye(3, 2), transition=np.eye(2)),
    "inputs": with_inputs,
    "many series": many_series,
    "CAPM": capm,
    "ATSM": atsm,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("smooths", [True, False])
def test_appended_rows_give_what_a_pass_over_all_rows_gives(way, smooths):
    model, more = WAYS[way]()
    run = model.smooth if smooths else model.filter
    res = run(model.start_params, cov_type="none")
    for kwargs in more:
        res = res.append(**kwargs)
        assert isinstance(res.filter_results._pass, passes.JoinedPass)
    right = by_statsmodels(res.model, res.params)
    right.predicted_state[res.model.unknown_next(np.asarray(res.params)), -1] = np.nan
    np.testing.assert_allclose(res.llf, right.llf, rtol=1e-10)
    assert_same(res.filter_results, right)
    for name in passes.OUTPUT:
        if getattr(right, name, None) is not None and name != "standardized_forecasts_error":
            expected = np.array(getattr(right, name))
            scale = np.nanmax(np.abs(expected), initial=1e-300)
            np.testing.assert_allclose(getattr(res, name), expected, rtol=1e-8, atol=1e-9 * scale)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_made_of_appended_results_is_that_of_results_of_all_rows(way, monkeypatch):
    model, more = WAYS[way]()
    first = model.smooth(model.start_params, cov_type="none")
    found = pickle.loads(pickle.dumps(first.append(**more[0])))
    monkeypatch.setattr(passes, "lazy_pass", lambda *args, **kwargs: None)
    right = first.append(**more[0])
    assert not isinstance(right.filter_results, passes.LazyResults)
    pd.testing.assert_frame_equal(found.states.smoothed, right.states.smoothed, rtol=1e-9, atol=1e-12)
    end = len(right.model.endog) - 1
    news = [each.news(first, start=0, end=end).total_impacts for each in (found, right)]
    pd.testing.assert_frame_equal(*news, rtol=1e-8, atol=1e-10)
    both = [each.get_smoothed_decomposition()[0] for each in (found, right)]
    pd.testing.assert_frame_equal(*both, rtol=1e-8, atol=1e-10)
    tables = [[table.as_text() for table in each.summary().tables[1:]] for each in (found, right)]
    assert tables[0] == tables[1]


def test_data_that_differ_before_they_go_on_are_filtered_anew():
    model, more = lgssm()
    res = model.smooth(model.start_params, cov_type="none")
    y = pd.concat([model.data.orig_endog, more[0]["endog"]])
    assert isinstance(res.apply(y).filter_results, passes.LazyResults)
    y.iloc[3, 1] += 1.0
    again = res.apply(y)
    assert not isinstance(again.filter_results, passes.LazyResults)
    np.testing.assert_allclose(again.llf, again.model.loglike(res.params), rtol=1e-10)


@pytest.mark.parametrize("initialization", ["stationary", "diffuse"])
def test_frames_of_states_are_made_when_they_are_asked_for(initialization, monkeypatch):
    """statsmodels makes six frames with each result; results of one pass are as its own, and wait."""
    y = pd.DataFrame(np.random.default_rng(0).standard_normal((40, 2)), columns=["a", "b"])
    options = {"transition": "identity"} if initialization == "diffuse" else {}
    model = sse.LGSSM(y, 1, design=[[1.0], [1.0]], initialization=initialization, **options)
    params = model.start_params
    made = []
    inner = pd.MultiIndex.from_product
    monkeypatch.setattr(pd.MultiIndex, "from_product", lambda *args: made.append(1) or inner(*args))
    res = model.smooth(params)
    assert not made
    filtered = model.filter(params)
    assert not made and filtered.states.smoothed is None and filtered.states.smoothed_cov is None
    names, later = model.state_names, pd.RangeIndex(41)
    for kind, index in (("predicted", later), ("filtered", y.index), ("smoothed", y.index)):
        mean, cov = getattr(res, f"{kind}_state"), getattr(res, f"{kind}_state_cov")
        expected = pd.DataFrame(mean.T, index=index, columns=names)
        pd.testing.assert_frame_equal(getattr(res.states, kind), expected, check_index_type=False)
        stacked = np.concatenate(np.moveaxis(cov, 2, 0))
        pairs = inner([index, names]).swaplevel()
        expected = pd.DataFrame(stacked, index=pairs, columns=names)
        pd.testing.assert_frame_equal(getattr(res.states, f"{kind}_cov"), expected, check_index_type=False)
