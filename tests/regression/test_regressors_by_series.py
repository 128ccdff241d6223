"""Regressors that differ by series, against generalised least squares (SUR) and dense conditioning."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from oracle import dense_diffuse, richardson_gradient
from pandas.testing import assert_frame_equal
from scipy import stats

import statespace_ext as sse
from statespace_ext.exceptions import DataError, SpecificationError
from statespace_ext.inference.many import fingerprint
from statespace_ext.regression.alpha import wald_alpha
from statespace_ext.regression.constancy_ratios import ratio_of

N = 24
V = np.array([[2.0, 0.3], [0.3, 1.0]])
INDEX = pd.period_range("2001-01", periods=N + 6, freq="M")


def data(n: int = N) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return two series; A has a constant, its market and its size, B a constant and its market."""
    rng = np.random.default_rng(21)
    a = pd.DataFrame(rng.standard_normal((len(INDEX), 3)), INDEX, ["const", "MKT", "size"]).assign(const=1.0)
    b = pd.DataFrame(rng.standard_normal((len(INDEX), 2)), INDEX, ["const", "MKT"]).assign(const=1.0)
    y = pd.DataFrame({"A": a @ [0.2, 1.0, -0.4], "B": b @ [0.1, 0.7]}) + rng.standard_normal((len(INDEX), 2))
    y.iloc[6, 1] = y.iloc[11, 0] = np.nan
    return y[:n], {"A": a[:n], "B": b[:n]}


def stacked(x: dict[str, pd.DataFrame]) -> np.ndarray:
    """Return X_t (2, 5) by period, for the coefficients const.A, const.B, MKT.A, MKT.B, size.A."""
    out = np.zeros((2, 5, len(x["A"])))
    for place, (row, column) in enumerate(
        [("A", "const"), ("B", "const"), ("A", "MKT"), ("B", "MKT"), ("A", "size")]
    ):
        out["AB".index(row), place] = x[row][column]
    return out


def model_of(n: int = N, **options: Any) -> sse.DynamicRegression:
    y, x = data(n)
    return sse.DynamicRegression(
        y, x, **{"dynamics": {"MKT": "random_walk"}, "state_cov": "diagonal", **options}
    )


def params_of(model: Any) -> Any:
    return model.params_from_matrices({"obs_cov": V, "state_cov": np.diag([0.1, 0.2])})


def test_static_coefficients_are_seemingly_unrelated_regressions() -> None:
    y, x = data()
    res = sse.DynamicRegression(y, x, obs_cov=V).smooth([])
    X, seen = np.moveaxis(stacked(x), 2, 0), y.notna().to_numpy()
    information, score = np.zeros((5, 5)), np.zeros(5)
    for t in range(N):
        on = seen[t]
        weight = np.linalg.inv(V[np.ix_(on, on)])
        information += X[t, on].T @ weight @ X[t, on]
        score += X[t, on].T @ weight @ y.to_numpy()[t, on]
    want, cov = np.linalg.solve(information, score), np.linalg.inv(information)
    found = res.coefficients
    pairs = [("const", "A"), ("const", "B"), ("MKT", "A"), ("MKT", "B"), ("size", "A")]
    values = [found[name].estimate[i] for name, i in pairs]
    errors = [found[name].se[i] for name, i in pairs]
    assert_allclose(values, want, rtol=0, atol=1e-8)
    assert_allclose(np.square(errors), np.diag(cov), rtol=0, atol=1e-8)
    assert list(found["size"].smoothed) == ["A"]
    terms = res.tidy()["term"].tolist()[:5]
    assert terms == ["const.A", "const.B", "MKT.A", "MKT.B", "size.A"] == res.model.state_names


def test_moving_coefficients_are_those_of_the_dense_gaussian() -> None:
    y, x = data()
    model = model_of()
    res = model.smooth(params_of(model))
    system = {
        "design": stacked(x), "obs_intercept": np.zeros(2), "obs_cov": V, "transition": np.eye(5),
        "state_intercept": np.zeros(5), "selection": np.eye(5)[:, [2, 3]], "state_cov": np.diag([0.1, 0.2]),
        "initial_state": np.zeros(5), "initial_state_cov": np.zeros((5, 5)),
    }  # fmt: skip
    want = dense_diffuse(y.to_numpy(), system, np.ones(5, dtype=bool))
    assert_allclose(res.llf, want.llf, rtol=0, atol=1e-8)
    assert_allclose(res.smoothed_state.T, want.smoothed_state, rtol=0, atol=1e-8)
    assert_allclose(np.moveaxis(res.smoothed_state_cov, 2, 0), want.smoothed_cov, rtol=0, atol=1e-8)
    fitted = np.einsum("ikt,tk->ti", stacked(x), want.smoothed_state)
    error = ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert_allclose(res.fit_measures()["r2"], 1 - error, rtol=1e-8)


def test_the_same_regressors_for_all_are_common_regressors() -> None:
    y, x = data()
    common = x["B"]
    by_series = {"A": common, "B": common}
    ours, plain = (
        sse.DynamicRegression(y, value, dynamics={"MKT": "random_walk"}) for value in (by_series, common)
    )
    assert ours.param_names == plain.param_names and ours.state_names == plain.state_names
    at = plain.start_params * 1.05
    assert_allclose(ours.start_params, plain.start_params, rtol=1e-10)
    assert_allclose(ours.loglike(at), plain.loglike(at), rtol=1e-10)
    assert_allclose(ours.score(at), plain.score(at), rtol=1e-7, atol=1e-7)


def test_a_frame_with_two_levels_and_arrays_are_the_same() -> None:
    y, x = data()
    frame = pd.concat(x, axis=1)
    model = model_of()
    at = params_of(model)
    two = sse.DynamicRegression(y, frame, dynamics={"MKT": "random_walk"}, state_cov="diagonal")
    assert_allclose(two.loglike(at), model.loglike(at), rtol=1e-12)
    arrays = {name: each.to_numpy() for name, each in x.items()}
    plain = sse.DynamicRegression(y, arrays, dynamics={"x2": "random_walk"}, state_cov="diagonal")
    assert plain.state_names == ["x1.A", "x1.B", "x2.A", "x2.B", "x3.A"]
    assert_allclose(plain.loglike(at), model.loglike(at), rtol=1e-12)
    later = {"A": np.ones((2, 3)), "B": np.ones((2, 2))}
    assert_allclose(
        plain.smooth(at).forecast(2, exog=later), two.smooth(at).forecast(2, exog=np.ones((2, 5)))
    )


@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_the_score_and_em_are_right() -> None:
    model = model_of(state_cov="unstructured")
    at = model.start_params * 1.1
    assert_allclose(model.score(at), richardson_gradient(model.loglike, at), rtol=1e-5, atol=1e-5)
    trace = model.fit(method="em", maxiter=5, cov_type="none").em_trace["llf"]
    assert np.all(np.diff(trace) > 0)
    assert model.fit(method="lbfgs", cov_type="none").llf >= trace.iloc[-1]


def test_later_periods_and_copies() -> None:
    y, x = data(N + 6)
    new, rows = y[N:], {name: each[N:] for name, each in x.items()}
    whole, part = model_of(N + 6), model_of()
    at = params_of(part)
    res, full = part.smooth(at), whole.smooth(at)
    arrays = {name: each.to_numpy() for name, each in rows.items()}
    for exog in (rows, arrays, pd.concat(rows, axis=1), full.model.data.orig_exog[N:]):
        assert_allclose(res.append(new, exog).llf, full.llf, rtol=1e-10)
        assert_allclose(res.llf + res.extend(new, exog).llf, full.llf, rtol=1e-9)
        forecast = res.forecast(6, exog=exog)
        last = res.predicted_state[:, -1]
        assert_allclose(forecast, np.einsum("ikt,k->ti", stacked(rows), last), rtol=1e-9)
        assert forecast.index.equals(INDEX[N:])
        assert res.simulate(6, exog=exog, anchor="end", rng=0).shape == (6, 2)
    assert_allclose(res.apply(y, x).llf, full.llf, rtol=1e-10)
    again = pickle.loads(pickle.dumps(res))
    assert_frame_equal(again.coefficients["MKT"].smoothed, res.coefficients["MKT"].smoothed)
    assert_allclose(part.clone(y, x).loglike(at), full.llf, rtol=1e-10)
    assert_allclose(part.clone(y.to_numpy(), np.asarray(whole.exog)).loglike(at), full.llf, rtol=1e-10)
    records = list(sse.fit_many({"one": part}, {"method": "lbfgs", "cov_type": "none"}))
    assert records[0].error == ""
    assert len(part.fit(method="lbfgs").bootstrap(n_boot=2, rng=0).params) == 2


# -- portfolios and tests --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["random_walk", "local_linear", "ar1"])
def test_portfolios_are_those_of_the_dense_gaussian(kind: str) -> None:
    """A market in common and a size for each: paths and errors are those of the joint distribution."""
    y, x = data()
    x["B"] = x["B"].assign(MKT=x["A"]["MKT"], size=x["A"]["size"] ** 2)
    model = sse.DynamicRegression(y, x, dynamics={"MKT": kind, "size": kind}, state_cov="diagonal")
    values = {"obs_var.A": 2.0, "obs_cov.A.B": 0.3, "obs_var.B": 1.0}
    at = [
        values.get(n, 0.5 if n.startswith("ar1") else 0.1 + 0.01 * i) for i, n in enumerate(model.param_names)
    ]
    res = model.smooth(at)
    system = {
        key: np.array(model.ssm[key]) for key in ("design", "obs_cov", "transition", "selection", "state_cov")
    }
    system |= {"obs_intercept": np.zeros(2), "state_intercept": np.zeros(model.k_states)}
    start = model.ssm.initialization(model=model.ssm)
    diffuse = np.diag(start[1]) > 0
    system |= {"initial_state": start[0], "initial_state_cov": start[2]}
    want = dense_diffuse(y.to_numpy(), system, diffuse)
    weights = pd.DataFrame({"half": [0.5, 0.5], "spread": [1.0, -1.0]}, index=["A", "B"])
    found = res.portfolio(weights)
    states = model.state_names
    keys = {"const": ["const"], "MKT": ["MKT"], "size.A": ["size"], "size.B": ["size"]}
    assert [key for key in found.coefficients if "slope" not in key] == list(
        keys
    ) and found.constant == "const"
    assert list(found.beta) == list(keys)[1:] and found.alpha is found.coefficients["const"]
    for key, (name,) in keys.items():
        for column, w in weights.items():
            own = [key[-1]] if "." in key else ["A", "B"]
            row = np.zeros(len(states))
            for series in own:
                for state in (f"{name}.{series}", f"{name}.dev.{series}"):
                    if state in states:
                        row[states.index(state)] = w[series]
            path = found.coefficients[key]
            assert_allclose(path.smoothed[column], want.smoothed_state @ row, rtol=0, atol=1e-10)
            variance = np.einsum("i,tij,j->t", row, want.smoothed_cov, row)
            assert_allclose(path.smoothed_se[column] ** 2, variance, rtol=0, atol=1e-10)
    if kind == "local_linear":
        assert found.slopes == ["MKT.slope", "size.slope.A", "size.slope.B"]
        row = 0.5 * (np.array(states) == "size.slope.B")
        assert_allclose(
            found.coefficients["size.slope.B"].smoothed["half"], want.smoothed_state @ row, atol=1e-10
        )
    returns = sum(
        np.outer(x["A"]["MKT"] if key == "MKT" else x[key[-1]]["size"] if "." in key else np.ones(N), [1, 1])
        * found.coefficients[key].smoothed.to_numpy()
        for key in keys
    )
    fitted = np.einsum("ikt,tk->ti", system["design"], want.smoothed_state)
    assert_allclose(returns, fitted @ weights.to_numpy(), rtol=0, atol=1e-9)


def test_a_portfolio_of_a_regressor_that_not_all_have() -> None:
    res = model_of().smooth(params_of(model_of()))
    found = res.portfolio({"A": 0.4, "B": 0.6})
    assert list(found.coefficients) == ["const", "MKT.A", "MKT.B", "size"]
    assert_allclose(
        found.coefficients["size"].smoothed["portfolio"], 0.4 * res.coefficients["size"].smoothed["A"]
    )
    assert_allclose(
        found.coefficients["MKT.B"].smoothed_se["portfolio"], 0.6 * res.coefficients["MKT"].smoothed_se["B"]
    )


@pytest.mark.parametrize("obs_cov", ["diagonal", "scalar"])
def test_zero_coefficients_have_the_exact_law(obs_cov: str) -> None:
    """Least squares of each series: a sum of squared t, or their mean over one variance."""
    y, x = data()
    res = sse.DynamicRegression(y, x, obs_cov=obs_cov).fit(cov_type="none")
    fits = [sm.OLS(y[name], x[name], missing="drop").fit() for name in y]
    test = wald_alpha(res, "const", rng=0)
    if obs_cov == "diagonal":
        want = sum(fit.tvalues["const"] ** 2 for fit in fits)
        assert test.distribution == "sum of F"
    else:
        freedom = sum(fit.df_resid for fit in fits)
        variance = sum(fit.ssr for fit in fits) / freedom
        want = sum(fit.params["const"] ** 2 / fit.normalized_cov_params.loc["const", "const"] for fit in fits)
        want = want / variance
        assert_allclose(test.pvalue, stats.f.sf(want / 2, 2, freedom), rtol=1e-9)
    assert_allclose(test.statistic, want, rtol=1e-5)
    one = wald_alpha(res, "size", rng=0)
    freedom = fits[0].df_resid if obs_cov == "diagonal" else freedom
    assert list(one.estimate.index) == ["A"] and one.distribution == f"F(1, {int(freedom)})"
    again = res.test_coefficients("size.A = 0")
    assert_allclose([again.statistic, again.pvalue], [one.statistic, one.pvalue], rtol=1e-9)


def test_a_full_v_and_own_regressors_are_simulated() -> None:
    y, x = data()
    res = model_of().fit(cov_type="none")
    test = wald_alpha(res, "const", n_sim=3, rng=0)
    assert test.distribution == "parametric bootstrap" and test.df == 2
    rows = [res.model.state_names.index(f"const.{name}") for name in y]
    a, P = res.smoothed_state[rows, -1], res.smoothed_state_cov[np.ix_(rows, rows)][:, :, -1]
    assert_allclose(test.statistic, a @ np.linalg.solve(P, a), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_constancy_is_the_ratio_of_two_fits() -> None:
    y, x = data()
    model = model_of(obs_cov="diagonal")
    test = model.fit(cov_type="none").test_constancy(n_sim=3, rng=0, per_series=True)
    null = sse.DynamicRegression(y, x, obs_cov="diagonal").fit(cov_type="none")
    assert_allclose(test.llf_null, null.llf, atol=1e-6)
    alone = [
        sse.DynamicRegression(y[name], x[name], dynamics={"MKT": "random_walk"}).fit(cov_type="none").llf
        - sse.DynamicRegression(y[name], x[name]).fit(cov_type="none").llf
        for name in y
    ]
    assert_allclose(test.statistic, 2 * sum(alone), atol=1e-5)
    assert_allclose(test.per_series["statistic"], 2 * np.array(alone), atol=1e-5)
    assert test.distribution == "parametric bootstrap"  # a value is missing in part of a row
    for name in y:
        other = sse.DynamicRegression(y[name], x[name], dynamics={"MKT": "random_walk"}).fit(cov_type="none")
        want = other.test_constancy(n_sim=2, rng=0).nyblom.loc[("MKT", name), "statistic"]
        assert_allclose(test.nyblom.loc[("MKT", name), "statistic"], want, rtol=1e-10)


def test_what_is_pivotal_with_own_regressors() -> None:
    y, own = data()
    pairs = {
        ("diagonal", "diagonal"),
        ("scalar", "scalar"),
        ("diagonal", "scalar"),
        ("unstructured", "diagonal"),
    }
    for V, W in pairs:
        model = sse.DynamicRegression(
            y.fillna(0.3), own, dynamics={"MKT": "random_walk"}, obs_cov=V, state_cov=W
        )
        ratio = ratio_of(model)
        assert ratio.pivotal is (V == W), (V, W)
        if V == W:
            sample = ratio.draw(np.random.default_rng(0))
            moved = sample * (np.array([3.0, 0.2]) if V == "diagonal" else 3.0)
            moved = moved + np.column_stack([own[name] @ np.ones(own[name].shape[1]) for name in y])
            assert_allclose(ratio.ratio(sample)[0], ratio.ratio(moved)[0], atol=1e-5)


def test_a_checkpoint_tells_whose_regressors_they_are() -> None:
    y, x = data()
    third, one = x["A"][["size"]], x["B"]
    models = [
        sse.DynamicRegression(y, each)
        for each in ({"A": one.join(third), "B": one}, {"A": one, "B": one.join(third)})
    ]
    assert np.array_equal(*(model.exog for model in models))
    renamed = one.rename(columns={"const": "MKT", "MKT": "const"})
    models += [sse.DynamicRegression(y, each, constraints="MKT = 0") for each in (one, renamed)]
    assert len({fingerprint(model) for model in models}) == 4


def test_rolling_and_hypotheses() -> None:
    y, x = data()
    res = sse.DynamicRegression(y, x, obs_cov="diagonal").fit(cov_type="none")
    table = res.rolling_evaluation(window=18, refit_every=3)
    own, seen = x["B"].iloc[: N - 1], y["B"].iloc[: N - 1].notna()
    slope = np.linalg.lstsq(own[seen], y["B"].iloc[: N - 1][seen], rcond=None)[0]
    for method in ("dynamic", "static OLS"):
        assert_allclose(table.predictions[method]["B"].iloc[-1], x["B"].iloc[-1] @ slope, rtol=1e-6)
    test = res.test_coefficients("size.A = 0", n_sim=2, rng=0)
    assert_allclose(test.estimate.iloc[0], res.coefficients["size"].estimate["A"])
    with pytest.raises(SpecificationError, match=r"size\.B"):
        res.test_coefficients("size.B = 0")
    with pytest.raises(SpecificationError, match="nothing to test"):
        res.test_constancy()
    for names, count in ((["size"], 1), (["const", "size"], 3), (["size", "const"], 3)):
        titles = [axis.get_title(loc="left") for axis in res.plot_coefficients(names, filtered=True).axes]
        assert len(titles) == count and any(title.startswith("A") for title in titles)


def test_constraints_hold_for_the_series_with_all_regressors() -> None:
    y, x = data()
    model = sse.DynamicRegression(y, x, constraints="MKT + size = 1")
    assert model.state_names == ["const.A", "const.B", "MKT.B", "size.A"]
    res = model.smooth(model.start_params)
    sums = res.coefficients["MKT"].estimate["A"] + res.coefficients["size"].estimate["A"]
    assert_allclose(sums, 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: {"A": x["A"]}, "none for B"),
        (lambda x: {**x, "Bb": x["B"]}, "unknown Bb"),
        (lambda x: {**x, "B": None}, "missing"),
        (lambda x: {**x, "B": x["B"][:-1]}, "shape|index"),
        (lambda x: {**x, "B": x["B"].shift(1, freq="M")}, "index"),
        (lambda x: {**x, "B": x["B"] * np.nan}, "missing or infinite"),
        (lambda x: {**x, "B": x["B"].set_axis(["a", "a"], axis=1)}, "name|twice|same"),
        (lambda x: {**x, "B": x["B"].assign(again=x["B"]["MKT"])}, "collinear"),
        (lambda x: {}, "none for A, B"),
    ],
)
def test_what_are_no_regressors_by_series(change: Any, match: str) -> None:
    y, x = data()
    with pytest.raises(DataError, match=match):
        sse.DynamicRegression(y, change(x)).fit()


def test_later_regressors_must_be_those_of_the_model() -> None:
    model = model_of()
    res = model.smooth(params_of(model))
    with pytest.raises(DataError, match="must be those of the model"):
        res.forecast(1, exog={"A": np.ones((1, 2)), "B": np.ones((1, 2))})
    with pytest.raises(DataError, match="none for B"):
        res.forecast(1, exog={"A": np.ones((1, 3))})


def test_the_factors_of_a_capm_are_common() -> None:
    y, x = data()
    with pytest.raises(DataError, match="Use DynamicRegression"):
        sse.CAPM(y, {name: each["MKT"] for name, each in x.items()})
