"""Linear constraints among coefficients, against RecursiveLS, restricted GLS and dense conditioning."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from oracle import dense_diffuse, richardson_gradient

import statespace_ext as sse
from statespace_ext.exceptions import DataError, SpecificationError, UnsupportedError
from statespace_ext.regression.alpha import grs, wald_alpha

N, NAMES = 16, ["const", "SMB", "HML"]
V = np.array([[2.0, 0.3], [0.3, 1.0]])
SUM = "SMB + HML = 1"


def data(n: int = N, missing: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(11)
    index = pd.period_range("2001-01", periods=n, freq="M")
    x = pd.DataFrame(rng.standard_normal((n, 3)), index, NAMES).assign(const=1.0)
    y = pd.DataFrame(x.to_numpy() @ [[0.1, 0.2], [0.4, 0.7], [0.6, 0.3]], index, ["A", "B"])
    y = y + rng.standard_normal((n, 2))
    if missing:
        y.iloc[5, 1] = np.nan
        y.iloc[9] = np.nan
    return y, x


# Hand-written: the equations R b = q, and the coefficients b = b_0 + N g of the free ones, b in the order
# const.A, const.B, SMB.A, SMB.B, HML.A, HML.B.
E = np.eye(6)
CASES: dict[str, dict[str, Any]] = {
    "sum to one": {
        "constraints": SUM,
        "dynamics": {"SMB": "random_walk", "HML": "random_walk"},
        "free": ["const.A", "const.B", "HML.A", "HML.B"],
        "R": np.array([E[2] + E[4], E[3] + E[5]]),
        "q": np.ones(2),
        "moves": [("HML.A", E[4] - E[2]), ("HML.B", E[5] - E[3])],
    },
    "across series": {
        "constraints": "SMB.A = SMB.B, 2*HML.A - HML.B = 0.5",
        "dynamics": {"SMB": "random_walk", "HML": "random_walk"},
        "free": ["const.A", "const.B", "SMB.B", "HML.B"],
        "R": np.array([E[2] - E[3], 2 * E[4] - E[5]]),
        "q": np.array([0.0, 0.5]),
        "moves": [("SMB.B", E[2] + E[3]), ("HML.B", 0.5 * E[4] + E[5])],
    },
    "static": {
        "constraints": ["const = 0", "SMB = SMB.A"],
        "dynamics": {"HML": "random_walk"},
        "free": ["SMB.B", "HML.A", "HML.B"],
        "R": np.array([E[0], E[1], E[3] - E[2]]),
        "q": np.zeros(3),
        "moves": [("HML.A", E[4]), ("HML.B", E[5])],
    },
    "by value": {
        "constraints": {"HML.A": 0.7},
        "dynamics": {"HML": "random_walk"},
        "free": ["const.A", "const.B", "SMB.A", "SMB.B", "HML.B"],
        "R": E[[4]],
        "q": np.array([0.7]),
        "moves": [("HML.B", E[5])],
    },
}


def model_of(case: str, **options: Any) -> sse.DynamicRegression:
    given = {key: CASES[case][key] for key in ("constraints", "dynamics")}
    return sse.DynamicRegression(*data(), **{"state_cov": "diagonal", **given, **options})


def smoothed(case: str) -> tuple[Any, np.ndarray]:
    """Return results at fixed parameters, and W of the free coefficients that move."""
    model = model_of(case)
    moves = np.linspace(0.03, 0.08, len(CASES[case]["moves"]))
    return model.smooth(model.params_from_matrices({"obs_cov": V, "state_cov": np.diag(moves)})), moves


def dense_of(case: str, moves: np.ndarray) -> Any:
    """Condition all six coefficients on the data and on R b_1 = q, an observation without noise."""
    y, x = data()
    own, rows = CASES[case], len(CASES[case]["R"])
    directions = np.array([direction for _, direction in own["moves"]])
    X = np.stack([np.kron(row, np.eye(2)) for row in x.to_numpy()], axis=2)
    system = {
        "design": np.concatenate([X, np.repeat(own["R"][:, :, None], N, axis=2)]),
        "obs_intercept": np.zeros(2 + rows),
        "obs_cov": np.pad(V, (0, rows)),
        "transition": np.eye(6),
        "state_intercept": np.zeros(6),
        "selection": directions.T,
        "state_cov": np.diag(moves),
        "initial_state": np.zeros(6),
        "initial_state_cov": np.zeros((6, 6)),
    }
    both = np.full((N, 2 + rows), np.nan)
    both[:, :2], both[0, 2:] = y.to_numpy(), own["q"]
    return dense_diffuse(both, system, np.ones(6, dtype=bool))


@pytest.mark.parametrize("case", CASES)
def test_all_coefficients_are_those_of_dense_conditioning(case: str) -> None:
    res, moves = smoothed(case)
    assert res.model.state_names == CASES[case]["free"]
    assert res.model.shock_names == [name for name, _ in CASES[case]["moves"]]
    want = dense_of(case, moves)
    found = res.coefficients
    values = np.concatenate([found[name].smoothed.to_numpy() for name in NAMES], axis=1)
    errors = np.concatenate([found[name].smoothed_se.to_numpy() for name in NAMES], axis=1)
    assert_allclose(values, want.smoothed_state, rtol=0, atol=1e-8)
    variances = np.diagonal(want.smoothed_cov, axis1=1, axis2=2)
    assert_allclose(errors**2, np.clip(variances, 0, None), rtol=0, atol=1e-8)
    left = values @ CASES[case]["R"].T
    assert_allclose(left, np.broadcast_to(CASES[case]["q"], left.shape), rtol=0, atol=1e-12)
    weights = {"A": 0.3, "B": 0.7}
    portfolio = res.portfolio(weights).coefficients["HML"]
    w = 0.3 * E[4] + 0.7 * E[5]
    assert_allclose(portfolio.smoothed.iloc[:, 0], want.smoothed_state @ w, rtol=0, atol=1e-8)
    variance = np.einsum("i,tij,j->t", w, want.smoothed_cov, w)
    assert_allclose(portfolio.smoothed_se.iloc[:, 0] ** 2, variance, rtol=0, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_filtered_and_predicted_coefficients_hold_the_constraint(case: str) -> None:
    found = smoothed(case)[0].coefficients
    for kind in ("filtered", "predicted"):
        values = np.concatenate([getattr(found[name], kind).to_numpy() for name in NAMES], axis=1)
        known = ~np.isnan(values).any(axis=1)
        assert known[-1] and (case == "static" or not known[0])
        left = values[known] @ CASES[case]["R"].T
        assert_allclose(left, np.broadcast_to(CASES[case]["q"], left.shape), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_the_likelihood_is_that_of_the_regression_rewritten_by_hand() -> None:
    """SMB = 1 - HML: y - SMB_t regressed on a constant and on HML_t - SMB_t."""
    y, x = data()
    rewritten = pd.DataFrame({"const": 1.0, "HML": x["HML"] - x["SMB"]})
    by_hand = sse.DynamicRegression(y.sub(x["SMB"], axis=0), rewritten, dynamics={"HML": "random_walk"})
    ours = model_of("sum to one", state_cov="unstructured")
    at = by_hand.start_params * 1.1
    assert ours.param_names == by_hand.param_names
    assert_allclose(ours.loglike(at), by_hand.loglike(at), rtol=1e-12)
    assert_allclose(ours.score(at), by_hand.score(at), rtol=1e-8, atol=1e-8)
    assert_allclose(ours.hessian(at), by_hand.hessian(at), rtol=1e-6, atol=1e-8)
    fitted, other = ours.fit(cov_type="none"), by_hand.fit(cov_type="none")
    assert_allclose(fitted.llf, other.llf, rtol=1e-8)
    samples = [res.bootstrap(n_boot=2, rng=0).params for res in (fitted, other)]
    assert_allclose(*samples, rtol=1e-4, atol=1e-6)
    trace = ours.fit(method="em", maxiter=6, cov_type="none").em_trace["llf"]
    assert np.all(np.diff(trace) > 0)


@pytest.mark.parametrize("case", CASES)
def test_the_score_is_that_of_differences(case: str) -> None:
    model = model_of(case)
    at = model.start_params * 1.1 + 0.01
    assert_allclose(model.score(at), richardson_gradient(model.loglike, at), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("constraints", ["SMB + HML = 1", "const = 0", "const = HML, SMB = 0.5"])
def test_static_coefficients_are_those_of_recursive_least_squares(constraints: str) -> None:
    y, x = data(missing=False)
    theirs = sm.RecursiveLS(y["A"], x, constraints=constraints).fit()
    model = sse.DynamicRegression(y["A"], x, constraints=constraints)
    res = model.smooth([float(theirs.scale)])
    estimate = [res.coefficients[name].estimate.iloc[0] for name in NAMES]
    errors = [res.coefficients[name].se.iloc[0] for name in NAMES]
    assert_allclose(estimate, theirs.params, rtol=0, atol=1e-8)
    variances = np.clip(np.diag(np.asarray(theirs.cov_params())), 0, None)
    assert_allclose(np.square(errors), variances, rtol=0, atol=1e-8)
    rows = res.tidy().set_index("term").loc[[f"{name}.A" for name in NAMES]]
    assert_allclose(rows["estimate"], estimate, rtol=0, atol=1e-12)
    assert np.isnan(rows["std_error"]).tolist() == [status == "fixed" for status in rows["status"]]


def test_static_coefficients_are_restricted_generalised_least_squares() -> None:
    y, x = data(missing=False)
    own = CASES["across series"]
    res = sse.DynamicRegression(y, x, constraints=own["constraints"], obs_cov=V).smooth([])
    X = np.concatenate([np.kron(row, np.eye(2)) for row in x.to_numpy()])
    weight = np.kron(np.eye(N), np.linalg.inv(V))
    R, q = own["R"], own["q"]
    both = np.block([[X.T @ weight @ X, R.T], [R, np.zeros((2, 2))]])
    want = np.linalg.solve(both, np.concatenate([X.T @ weight @ y.to_numpy().ravel(), q]))[:6]
    found = np.concatenate([res.coefficients[name].estimate for name in NAMES])
    assert_allclose(found, want, rtol=0, atol=1e-8)
    errors = np.concatenate([res.coefficients[name].se for name in NAMES])
    assert_allclose(errors**2, np.diag(np.linalg.inv(both)[:6, :6]), rtol=0, atol=1e-8)


def test_autoregressive_coefficients_hold_the_constraint() -> None:
    """Against the dense Gaussian of SMB = 1 - HML, written with the mean and the deviation of HML."""
    y, x = data()
    dynamics = {"SMB": "ar1", "HML": "ar1"}
    model = sse.DynamicRegression(y["A"], x, dynamics=dynamics, constraints=SUM)
    values = {"obs_var.A": 1.5, "state_var.HML.A": 0.2, "ar1.HML.A": 0.7}
    res = model.smooth([values[name] for name in model.param_names])
    Z = np.column_stack([np.ones(N), x["HML"] - x["SMB"], x["HML"] - x["SMB"]])
    system = {
        "design": Z.T[None], "obs_intercept": x["SMB"].to_numpy()[None], "obs_cov": np.array([[1.5]]),
        "transition": np.diag([1.0, 1.0, 0.7]), "state_intercept": np.zeros(3),
        "selection": np.eye(3)[:, [2]], "state_cov": np.array([[0.2]]), "initial_state": np.zeros(3),
        "initial_state_cov": np.diag([0.0, 0.0, 0.2 / (1 - 0.49)]),
    }  # fmt: skip
    want = dense_diffuse(y[["A"]].to_numpy(), system, np.array([True, True, False]))
    assert_allclose(res.llf, want.llf, rtol=0, atol=1e-8)
    hml = want.smoothed_state[:, 1] + want.smoothed_state[:, 2]
    assert_allclose(res.coefficients["HML"].smoothed["A"], hml, rtol=0, atol=1e-8)
    assert_allclose(res.coefficients["SMB"].smoothed["A"], 1.0 - hml, rtol=0, atol=1e-8)


# -- other periods, and what is made of the results ----------------------------------------------------------


def test_later_periods_and_copies_hold_the_constraint() -> None:
    y, x = data(24)
    own = CASES["sum to one"]
    whole = sse.DynamicRegression(y, x, dynamics=own["dynamics"], constraints=SUM, state_cov="diagonal")
    part = whole.clone(y[:N], x[:N])
    at = part.params_from_matrices({"obs_cov": V, "state_cov": np.diag([0.1, 0.2])})
    res, full = part.smooth(at), whole.smooth(at)
    assert_allclose(res.append(y[N:], x[N:]).llf, full.llf, rtol=1e-10)
    assert_allclose(res.apply(y, x).llf, full.llf, rtol=1e-10)
    extended = res.extend(y[N:], x[N:])
    last = full.coefficients["SMB"].filtered.iloc[-1]
    assert_allclose(extended.coefficients["SMB"].filtered.iloc[-1], last, rtol=1e-8)
    again = pickle.loads(pickle.dumps(res))
    assert_allclose(again.coefficients["SMB"].smoothed, res.coefficients["SMB"].smoothed)
    known = [found.predicted.iloc[-1] for found in res.coefficients.values()]
    by_hand = sum(np.outer(x[name].iloc[N : N + 3], level) for name, level in zip(NAMES, known, strict=True))
    assert_allclose(res.forecast(3, exog=x[N : N + 3]), by_hand, rtol=1e-8)
    parts = res.historical_decomposition()
    total = parts.T.groupby(level="variable").sum().T[["A", "B"]].to_numpy()
    assert_allclose(total, res.impute().data.to_numpy(), rtol=0, atol=1e-10)
    draw = res.simulate(3, exog=x[N : N + 3], anchor="end", rng=0, initial_state=np.zeros(4),
                        measurement_shocks=np.zeros((3, 2)), state_shocks=np.zeros((3, 2)))  # fmt: skip
    assert_allclose(draw, np.repeat(x["SMB"].to_numpy()[N : N + 3, None], 2, axis=1), atol=1e-12)


def test_measures_hypotheses_and_evaluation_use_the_constrained_coefficients() -> None:
    res, _ = smoothed("sum to one")
    y, x = data()
    fitted = sum(x[[name]].to_numpy() * res.coefficients[name].smoothed.to_numpy() for name in NAMES)
    error = ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert_allclose(res.fit_measures()["r2"], 1 - error, rtol=1e-10)
    test = res.test_coefficients("SMB.A = 0.5", date="2001-06", n_sim=3, rng=0)
    assert_allclose(test.estimate.iloc[0], res.coefficients["SMB"].smoothed.loc["2001-06", "A"], rtol=1e-10)
    twin = res.test_coefficients("HML.A = 0.5", date="2001-06", n_sim=3, rng=0)
    assert_allclose([test.statistic, test.pvalue], [twin.statistic, twin.pvalue], rtol=1e-8)
    with pytest.raises(SpecificationError, match="singular"):
        res.test_coefficients(SUM.replace("SMB", "SMB.A").replace("HML", "HML.A"), date="2001-06", n_sim=3)
    fig = res.plot_coefficients(["SMB"])
    assert len(fig.axes) == 2


def test_rolling_predictions_use_the_constraint() -> None:
    y, x = data(30, missing=False)
    model = sse.DynamicRegression(y["A"], x, constraints=SUM)
    got = model.fit(cov_type="none").rolling_evaluation(window=20, refit_every=5)
    last = x[:29]
    slope = np.linalg.lstsq(
        np.column_stack([np.ones(29), last["HML"] - last["SMB"]]), y["A"][:29] - last["SMB"], rcond=None
    )[0]
    want = x["SMB"].iloc[-1] + slope @ [1.0, x["HML"].iloc[-1] - x["SMB"].iloc[-1]]
    assert_allclose(got.predictions["dynamic"].iloc[-1, 0], want, rtol=1e-8)


def test_structures_of_one_constraint_compare() -> None:
    fits = [model_of("sum to one", state_cov=kind).fit(cov_type="none") for kind in ("diagonal", "scalar")]
    table = fits[0].compare(fits[1])
    assert table["df"].dropna().tolist() == [1.0]
    other = sse.DynamicRegression(*data(), dynamics=CASES["sum to one"]["dynamics"]).fit(cov_type="none")
    with pytest.raises(SpecificationError, match="constraints"):
        fits[0].compare(other)


@pytest.mark.parametrize("W", ["joint", [["2*v", "-v"], ["-v", "2*v"]]])
def test_forms_of_w_that_do_not_depend_on_the_order(W: Any) -> None:
    y, x = data(40, missing=False)
    orders = [["const", "SMB", "HML"], ["SMB", "HML", "const"], ["HML", "const", "SMB"]]
    found = [
        sse.DynamicRegression(y["A"], x[order], dynamics=dict.fromkeys(order, "random_walk"), state_cov=W,
                              constraints="const + SMB + HML = 1").fit(cov_type="none")
        for order in orders
    ]  # fmt: skip
    for res in found[1:]:
        assert_allclose(res.llf, found[0].llf, rtol=1e-6)
        for name in NAMES:
            paths = [each.coefficients[name].smoothed for each in (res, found[0])]
            assert_allclose(*paths, rtol=0, atol=1e-3)


def test_a_capm_names_alpha() -> None:
    y, x = data(40, missing=False)
    res = sse.CAPM(y, x["SMB"].rename("MKT"), constraints="alpha = 0", state_cov="diagonal").fit()
    assert res.model.state_names == ["MKT.A", "MKT.B"]
    assert np.all(res.alpha.estimate == 0.0) and np.all(res.alpha.se == 0.0)
    assert res.alpha.filtered.notna().all().all()
    with pytest.raises(SpecificationError, match="set all coefficients on alpha to zero"):
        res.test_alpha()
    again = res.model.clone(y.to_numpy(), market=x["SMB"].to_numpy())
    assert again.state_names == res.model.state_names


# -- tests of zero alphas and of constant coefficients -----------------------------------------------------


def rewritten(y: pd.DataFrame, x: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the regression in which SMB = 1 - HML."""
    return y.sub(x["SMB"], axis=0), pd.DataFrame({"const": 1.0, "HML": x["HML"] - x["SMB"]})


@pytest.mark.parametrize("obs_cov", ["unstructured", "diagonal", "scalar"])
def test_zero_alphas_are_those_of_the_regression_rewritten_by_hand(obs_cov: str) -> None:
    y, x = data(30, missing=False)
    ours = sse.CAPM(y, x[["SMB", "HML"]], beta="static", obs_cov=obs_cov, constraints=SUM).fit(
        cov_type="none"
    )
    by_hand = sse.DynamicRegression(*rewritten(y, x), obs_cov=obs_cov).fit(cov_type="none")
    test, want = ours.test_alpha(rng=0)["wald"], wald_alpha(by_hand, "const", rng=0)
    assert test.distribution == want.distribution != "parametric bootstrap"
    assert_allclose([test.statistic, test.pvalue], [want.statistic, want.pvalue], rtol=1e-7)
    if obs_cov == "unstructured":
        left, right = rewritten(y, x)
        assert_allclose(test.pvalue, grs(left, right["HML"]).pvalue, rtol=1e-7)
    joint = [res.test_coefficients(f"{name}.A = 0, HML.B = 0.5", rng=0, n_sim=3)
             for res, name in ((ours, "alpha"), (by_hand, "const"))]  # fmt: skip
    assert joint[0].distribution == joint[1].distribution
    assert_allclose(joint[0].statistic, joint[1].statistic, rtol=1e-6)


def test_alphas_that_are_equal_are_one_hypothesis() -> None:
    """One variance: the F test of least squares on the stacked series."""
    y, x = data(30, missing=False)
    res = sse.CAPM(y, x["SMB"], beta="static", obs_cov="scalar", constraints="alpha.A = alpha.B").fit()
    test = res.test_alpha()["wald"]
    E2 = np.eye(2)
    X = np.concatenate([np.column_stack([np.ones(30), np.outer(x["SMB"], E2[i])]) for i in range(2)])
    want = sm.OLS(np.concatenate([y["A"], y["B"]]), X).fit()
    assert test.df == 1 and test.distribution == "F(1, 57)" and list(test.estimate.index) == ["A", "B"]
    assert_allclose(test.pvalue, want.pvalues[0], rtol=1e-7)
    assert_allclose(test.estimate, want.params[0], rtol=1e-8)
    assert np.linalg.matrix_rank(test.cov) == 1 and "df = 1" in str(test)
    full = sse.CAPM(y, x["SMB"], constraints="alpha.A = alpha.B", state_cov="diagonal").fit(cov_type="none")
    simulated = full.test_alpha(n_sim=2, rng=0)["wald"]
    assert simulated.distribution == "parametric bootstrap" and simulated.df == 1
    found = full.alpha
    assert_allclose(simulated.statistic, (found.estimate["A"] / found.se["A"]) ** 2, rtol=1e-8)


def test_samples_of_alphas_satisfy_the_hypothesis() -> None:
    """Alphas of 100 in the data leave nothing in the samples."""
    y, x = data(40, missing=False)
    model = sse.CAPM(y + 100.0, x["SMB"], constraints="alpha.A = alpha.B + 1", state_cov="scalar",
                     initialization="approximate_diffuse")  # fmt: skip
    with pytest.raises(SpecificationError, match="exclude that all coefficients on alpha are zero"):
        model.smooth(model.start_params).test_alpha()
    model = sse.CAPM(y + 100.0, x["SMB"], constraints="alpha.A = 2*alpha.B", state_cov="scalar")
    test = model.fit(cov_type="none").test_alpha(n_sim=2, rng=0)["wald"]
    assert test.statistic > 100.0 and np.all(test.simulated < 60.0)


@pytest.mark.parametrize(
    ("constraints", "match"),
    [
        ("alpha.A = 1", "exclude"),
        ("alpha.A = 0, alpha.B = 0", "nothing to test"),
        ("alpha.A = alpha.B + 1", "exclude"),
        ("alpha = 0.5", "exclude"),
    ],
)
def test_constraints_that_decide_about_alpha(constraints: str, match: str) -> None:
    y, x = data(30, missing=False)
    res = sse.CAPM(y, x["SMB"], beta="static", constraints=constraints).fit()
    with pytest.raises(SpecificationError, match=match):
        res.test_alpha()
    one = sse.CAPM(y, x["SMB"], beta="static", obs_cov="diagonal", constraints="alpha.A = 0").fit()
    want = sm.OLS(y["B"], sm.add_constant(x["SMB"])).fit()
    assert_allclose(one.test_alpha()["wald"].pvalue, want.pvalues["const"], rtol=1e-7)


@pytest.mark.parametrize("options", [{}, {"obs_cov": "diagonal", "state_cov": "scalar"}])
def test_constancy_is_that_of_the_regression_rewritten_by_hand(options: dict[str, str]) -> None:
    y, x = data(40, missing=False)
    moves = {"SMB": "random_walk", "HML": "random_walk"}
    ours = sse.DynamicRegression(y, x, dynamics=moves, constraints=SUM, **options).fit(cov_type="none")
    by_hand = sse.DynamicRegression(*rewritten(y, x), dynamics={"HML": "random_walk"}, **options)
    given = {"n_sim": 9, "rng": 0, "per_series": True}
    test, want = ours.test_constancy(**given), by_hand.fit(cov_type="none").test_constancy(**given)
    assert test.distribution == want.distribution and test.regressors == ["HML"]
    assert_allclose([test.llf, test.llf_null], [want.llf, want.llf_null], atol=1e-5)
    assert_allclose(test.simulated, want.simulated, atol=1e-5)
    pd.testing.assert_frame_equal(test.nyblom, want.nyblom, rtol=1e-6)
    pd.testing.assert_frame_equal(test.per_series, want.per_series, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_constancy_with_coefficients_in_common_is_the_ratio_of_two_fits() -> None:
    y, x = data(40, missing=False)
    given = {"constraints": "HML.A = HML.B", "obs_cov": "scalar"}
    res = sse.DynamicRegression(y, x, dynamics={"HML": "random_walk"}, **given).fit(cov_type="none")
    test = res.test_constancy(n_sim=3, rng=0)
    null = sse.DynamicRegression(y, x, **given).fit(cov_type="none")
    assert_allclose([test.llf, test.llf_null], [res.llf, null.llf], atol=1e-5)
    assert test.distribution == "pivotal" and not len(test.nyblom) and "join the coefficients" in str(test)
    with pytest.raises(UnsupportedError, match="join A, B"):
        res.test_constancy(n_sim=2, per_series=True)


# -- constraints that are refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ("SMB + MOM = 1", "MOM"),
        ("SMB = 1, SMB = 2", "contradict"),
        ("SMB = 1, 2*SMB = 2", "is redundant"),
        ("SMB = HML, SMB.A = HML.A", "is redundant"),
        ("SMB * HML = 1", "not linear"),
        ("0*SMB = 1", "no variables"),
        ("SMB = HML, SMB.A - HML.A = 1", "contradict"),
        ([], "not linear"),
        (5, "not linear"),
        ("const = 0, SMB = 0, HML = 0", "no coefficient"),
        (f"SMB = {'9' * 400}", "finite"),
    ],
)
def test_constraints_that_say_no_equation_are_refused(constraints: Any, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        sse.DynamicRegression(*data(), constraints=constraints)


def test_constraints_as_matrices_are_those_of_the_text() -> None:
    rng = np.random.default_rng(4)
    x = pd.DataFrame({"const": 1.0, "MKT": rng.normal(size=30)})
    y = pd.DataFrame(rng.normal(size=(30, 2)), columns=["A", "B"])
    by_text = sse.DynamicRegression(y, x, constraints="MKT.A - 2*MKT.B = 1").coefficients
    by_array = sse.DynamicRegression(y, x, constraints=([[0.0, 0.0, 1.0, -2.0]], [1.0])).coefficients
    for one, other in zip(by_text.solution, by_array.solution, strict=True):
        assert_allclose(one, other, rtol=1e-15)


def test_a_constraint_between_dynamics_is_refused() -> None:
    with pytest.raises(SpecificationError, match="SMB.A static, HML.A random_walk"):
        model_of("sum to one", dynamics={"HML": "random_walk"})


@pytest.mark.parametrize("value", ["proportional", "factor:1"])
def test_structures_over_all_series_need_all_of_them(value: str) -> None:
    with pytest.raises(SpecificationError, match="HML needs coefficients of all series"):
        model_of("by value", state_cov=value)
    assert len(model_of("sum to one", state_cov=value).param_names)


def test_collinear_regressors_need_a_constraint() -> None:
    y, x = data(missing=False)
    double = x.assign(SUM=x["SMB"] + x["HML"])
    with pytest.raises(DataError, match="collinear"):
        sse.DynamicRegression(y, double).fit()
    with pytest.raises(DataError, match="also with the constraints"):
        sse.DynamicRegression(y, double, constraints="const = 0").fit()
    res = sse.DynamicRegression(y, double, constraints="SUM = 0").fit()
    plain = sse.DynamicRegression(y, x).fit()
    assert_allclose(res.coefficients["HML"].estimate, plain.coefficients["HML"].estimate, rtol=1e-8)
