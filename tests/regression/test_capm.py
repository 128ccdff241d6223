"""CAPM: a dynamic regression of excess returns on a constant and the factors, raw data in and out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import ASSETS, BETA_MOVES, BOTH_MOVE, N, Raw, berndt, raw_fit
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.exceptions import DataError, SpecificationError, StateSpaceError


@pytest.fixture(scope="module")
def res() -> sse.CAPMResults:
    return raw_fit()


# -- the model ---------------------------------------------------------------------------------------------


def test_it_is_a_regression_of_excess_returns(sample: Raw, res: Any, plain: Any) -> None:
    assert isinstance(res.model, sse.CAPM) and isinstance(res.model, sse.DynamicRegression)
    assert_allclose(res.model.endog, sample.excess, rtol=1e-14)
    assert_allclose(res.model.exog, sample.regressors(), rtol=1e-14)
    assert res.model.param_names == plain.model.param_names
    assert plain.model.state_names == ["const.A1", "const.A2", "MKT.A1", "MKT.A2"]
    assert res.model.state_names == ["alpha.A1", "alpha.A2", "MKT.A1", "MKT.A2"]
    assert_allclose(res.llf, plain.llf, rtol=1e-12)
    assert_allclose(plain.model.fit().llf, res.llf, rtol=0, atol=1e-8)
    assert_allclose(res.smoothed_state, plain.smoothed_state, rtol=0, atol=1e-9)


def test_excess_data_are_taken_as_they_are(sample: Raw, res: Any) -> None:
    model = sse.CAPM(sample.excess, sample.regressors()["MKT"])
    assert_allclose(model.loglike(res.params), res.llf, rtol=1e-12)


def test_the_rate_is_subtracted_from_the_market_only(sample: Raw) -> None:
    """The other factors are returns of portfolios that cost nothing."""
    model = sse.CAPM(sample.returns, sample.factors, sample.rate)
    assert model.factors == ["MKT", "SMB", "HML"]
    assert model.coefficients.regressors == ["const", "MKT", "SMB", "HML"]
    assert_allclose(model.exog, sample.regressors(several=True), rtol=1e-14)


def test_several_factors(sample: Raw) -> None:
    moves = dict.fromkeys(["MKT", "SMB", "HML"], "random_walk")
    for beta, dynamics in (("random_walk", moves), (BETA_MOVES, BETA_MOVES), ("static", {})):
        model = sse.CAPM(sample.returns, sample.factors, sample.rate, beta=beta, state_cov="diagonal")
        other = sse.DynamicRegression(
            sample.excess, sample.regressors(several=True), dynamics=dynamics, state_cov="diagonal"
        )
        assert model.param_names == other.param_names
        assert_allclose(model.loglike(other.start_params), other.loglike(other.start_params), rtol=1e-12)
    res = model.smooth(other.start_params)
    assert list(res.beta) == ["MKT", "SMB", "HML"]
    assert_allclose(res.beta["HML"].estimate, other.smooth(other.start_params).coefficients["HML"].estimate)


def test_a_formula_with_several_factors(raw: Raw, sample: Raw, future: Raw) -> None:
    frame = raw.returns.join(raw.factors).join(raw.rate)
    scale = 2.0
    built = sse.CAPM.from_formula(
        "A1 + A2 ~ MKT + I(SMB / scale) + HML",
        frame[:N],
        "RF",
        beta={"HML": "random_walk"},
        state_cov="scalar",
    )
    factors = sample.factors.assign(SMB=sample.factors["SMB"] / 2.0)
    plain = sse.CAPM(sample.returns, factors, sample.rate, beta={"HML": "random_walk"}, state_cov="scalar")
    assert built.factors == ["MKT", "I(SMB / scale)", "HML"]
    at = plain.start_params
    assert_allclose(built.loglike(at), plain.loglike(at), rtol=1e-12)
    res = pickle.loads(pickle.dumps(built.smooth(at)))
    later = future.factors.assign(SMB=future.factors["SMB"] / scale).set_axis(built.factors, axis=1)
    want = plain.smooth(at)
    own = future.factors.assign(SMB=future.factors["SMB"] / scale)
    found = res.append(future.returns, market=later, risk_free=future.rate)
    assert_allclose(found.llf, want.append(future.returns, market=own, risk_free=future.rate).llf, rtol=1e-12)
    with pytest.raises(DataError, match="market"):
        res.append(future.returns, market=own, risk_free=future.rate)


OLD = pytest.warns(DeprecationWarning, match="is now called")


def test_alphas_are_named_alpha(res: Any) -> None:
    assert list(res.coefficients) == ["alpha", "MKT"]
    rows = res.tidy().query("matrix == 'coefficients'")
    assert list(rows["term"]) == ["alpha.A1", "alpha.A2"]
    assert res.states.smoothed.columns[0] == "alpha.A1"
    assert res.portfolio({"A1": 1.0}).alpha.dynamics == "static"
    assert "coefficients on alpha" in str(res.test_alpha(n_sim=2, rng=0)["wald"])
    loaded = pickle.loads(pickle.dumps(res))
    assert (
        loaded.model.state_names
        == res.model.state_names
        == res.model.clone(res.model.endog, res.model.exog).state_names
    )
    with pytest.raises(KeyError):
        res.coefficients["SMB"]


def test_former_names_of_alpha_serve_with_a_warning(sample: Raw, res: Any) -> None:
    with OLD:
        old = res.coefficients["const"]
    assert_allclose(old.smoothed, res.alpha.smoothed, rtol=0, atol=0)
    options: dict[str, Any] = {"n_sim": 2, "rng": 0}
    new = res.test_coefficients("alpha.A1 = 2*alpha.A2", **options)
    with OLD:
        former = res.test_coefficients("const.A1 = 2*const.A2", **options)
    assert former.statistic == new.statistic
    assert_allclose(res.test_coefficients((np.eye(4)[:1], [0.0]), **options).estimate, res.alpha.estimate[:1])
    given: dict[str, Any] = {"alpha": "random_walk", "obs_cov": "diagonal"}
    structure = {"alpha": "diagonal", "MKT": "scalar"}
    moving = sse.CAPM(sample.returns, sample.market, sample.rate, state_cov=structure, **given)
    with OLD:
        same = sse.CAPM(
            sample.returns,
            sample.market,
            sample.rate,
            state_cov={"const": "diagonal", "MKT": "scalar"},
            **given,
        )
    assert same.param_names == moving.param_names
    assert moving.param_names[2:4] == ["state_var.alpha.A1", "state_var.alpha.A2"]
    assert moving.shock_names[0] == "alpha.A1"
    at = pd.Series(moving.start_params, moving.param_names)
    names = [name.replace("alpha", "const") for name in moving.param_names]
    with OLD:
        assert moving.loglike(at.set_axis(names)) == moving.loglike(at)
    with OLD, moving.fix_params({"state_var.const.A1": 0.1}):
        assert moving._fixed_params == {"state_var.alpha.A1": 0.1}
    with OLD, pytest.raises(SpecificationError, match="two names"):
        moving.clone(
            sample.returns,
            market=sample.market,
            risk_free=sample.rate,
            state_cov={"const": "scalar", **structure},
        )


def test_a_known_start_may_have_former_names(sample: Raw) -> None:
    names = ["MKT.A1", "alpha.A2", "alpha.A1", "MKT.A2"]
    mean = pd.Series([1.0, 0.2, 0.1, 2.0], names)
    cov = pd.DataFrame(np.diag([1.0, 2.0, 3.0, 4.0]), names, names)

    def start(mean: pd.Series, cov: pd.DataFrame) -> Any:
        known: dict[str, Any] = {"initialization": "known", "initial_state": mean, "initial_state_cov": cov}
        model = sse.CAPM(sample.returns, sample.market, sample.rate, **known)
        return model.system(model.start_params)

    found = start(mean, cov)
    assert_allclose(found.initial_state, [0.1, 0.2, 1.0, 2.0])
    old = [name.replace("alpha", "const") for name in names]
    with OLD:
        former = start(mean.set_axis(old), cov.set_axis(old, axis=0).set_axis(old, axis=1))
    assert_allclose(former.initial_state, found.initial_state)
    assert_allclose(former.initial_state_cov, found.initial_state_cov)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda d, r: sse.CAPM(d.returns, d.market, d.rate[:-1]), r"risk_free.*(60,): one rate"),
        (
            lambda d, r: sse.CAPM(d.returns, d.market, d.rate.where(d.rate > 0.6)),
            "risk_free cannot be missing",
        ),
        (lambda d, r: sse.CAPM(d.returns, d.market.where(d.market > 0.6)), "market cannot be missing"),
        (lambda d, r: sse.CAPM(d.returns, np.zeros((60, 2, 2))), "market.*factors"),
        (lambda d, r: sse.CAPM(d.returns, d.market * 0.0 + 1.0).fit(), "market is collinear"),
        (lambda d, r: sse.CAPM(d.returns, d.factors.rename(columns={"SMB": "alpha"})), "named 'alpha'"),
        (lambda d, r: r.forecast(2, market=[1.0], risk_free=[0.1]), "market of later periods.*length"),
        (lambda d, r: r.forecast(2, market=d.market[:2], risk_free=d.rate[:2]), "future market"),
    ],
)
def test_errors_speak_of_the_market_and_the_risk_free_rate(
    sample: Raw, res: Any, call: Any, match: str
) -> None:
    with pytest.raises(DataError, match=match.replace("(60,)", r"\(60,\)")) as caught:
        call(sample, res)
    assert "regressor" not in str(caught.value).lower() and "exog" not in str(caught.value)


def test_a_singular_w_says_what_to_do(sample: Raw, res: Any) -> None:
    at = res.params.copy()
    at[-3:] = [0.04, 0.04, 0.04]  # of rank one
    lines = res.model.smooth(at).status_lines()
    assert "state_cov of MKT is singular: rank 1 of 2." in lines
    assert "state_cov='diagonal' or 'factor:1' gives standard errors." in lines
    plain = sse.CAPM(sample.returns, sample.market, sample.rate, state_cov="diagonal")
    at = plain.start_params
    at[-1] = 0.0
    lines = plain.smooth(at).status_lines()
    assert any("rank 1 of 2" in line for line in lines) and not any("factor:1" in line for line in lines)


def test_alpha_may_move_too(sample: Raw) -> None:
    model = sse.CAPM(
        sample.returns,
        sample.market,
        sample.rate,
        alpha="random_walk",
        state_cov={"alpha": "scalar", "MKT": "diagonal"},
    )
    assert model.coefficients.dynamics == ["random_walk", "random_walk"]
    assert model.param_names[3:] == ["state_var.alpha", "state_var.MKT.A1", "state_var.MKT.A2"]
    other = sse.DynamicRegression(
        sample.excess,
        sample.regressors(),
        dynamics=BOTH_MOVE,
        state_cov={"const": "scalar", "MKT": "diagonal"},
    )
    params = other.start_params
    res = model.smooth(params)
    assert_allclose(res.llf, other.loglike(params), rtol=1e-12)
    assert_allclose(
        res.alpha.smoothed, other.smooth(params).coefficients["const"].smoothed, rtol=0, atol=1e-9
    )
    with pytest.raises(SpecificationError, match="smoothed"):
        _ = res.alpha.estimate


def test_arguments_of_the_regression_go_through(sample: Raw) -> None:
    model = sse.CAPM(
        sample.returns, sample.market, sample.rate, beta="ar1", obs_cov="diagonal", state_cov="scalar",
        initialization="approximate_diffuse",
    )  # fmt: skip
    assert model.param_names == ["ar1.MKT.A1", "ar1.MKT.A2", "obs_var.A1", "obs_var.A2", "state_var.MKT"]
    assert model.initialization_kind == "approximate_diffuse"
    known = {"initialization": "known", "initial_state": np.zeros(4), "initial_state_cov": np.eye(4)}
    assert sse.CAPM(sample.returns, sample.market, sample.rate, **known).initialization_kind == "known"


@pytest.mark.parametrize(
    ("form", "names"),
    [
        (lambda d: (d.returns, d.market, d.rate), ["A1", "A2"]),
        (lambda d: (d.returns, d.market.rename(None), d.rate), ["A1", "A2"]),
        (lambda d: (d.returns, d.market.to_frame(), d.rate.to_frame()), ["A1", "A2"]),
        (lambda d: (d.returns, d.market.to_numpy(), d.rate.to_numpy()), ["A1", "A2"]),
        (lambda d: (d.returns, d.market.tolist(), d.rate.tolist()), ["A1", "A2"]),
        (lambda d: (d.returns.to_numpy(), d.market, d.rate), ["y1", "y2"]),
        (lambda d: (d.returns.to_numpy(), d.market.to_numpy(), d.rate.to_numpy()[:, None]), ["y1", "y2"]),
        (lambda d: (d.returns.to_numpy().tolist(), d.market.tolist(), d.rate.tolist()), ["y1", "y2"]),
    ],
    ids=["pandas", "no name", "frames", "returns pandas", "lists", "market pandas", "numpy", "all lists"],
)
def test_every_form_of_data(sample: Raw, res: Any, form: Callable, names: list[str]) -> None:
    model = sse.CAPM(*form(sample))
    found = model.smooth(np.asarray(res.params))
    assert_allclose(found.llf, res.llf, rtol=1e-12)
    assert model.endog_names == names and model.factors == ["MKT"]
    assert model.param_names[0] == f"obs_var.{names[0]}"
    assert list(found.beta.smoothed.columns) == list(found.alpha.estimate.index) == names
    assert_allclose(found.beta.smoothed, res.beta.smoothed, rtol=0, atol=1e-9)
    assert found.forecast(2, market=[1.0, 2.0], risk_free=[0.5, 0.5]).shape == (2, 2)


@pytest.mark.parametrize("form", [lambda s: s, lambda s: s.to_frame(), lambda s: s.to_numpy()])
def test_one_asset(sample: Raw, form: Callable) -> None:
    res = sse.CAPM(form(sample.returns["A1"]), sample.market, sample.rate).fit()
    expected = sse.DynamicRegression(sample.excess["A1"], sample.regressors(), dynamics=BETA_MOVES).fit()
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-8)
    assert res.alpha.estimate.shape == (1,) and res.beta.smoothed.shape == (N, 1)
    assert len(res.forecast(3, market=[1.0, 2.0, 3.0], risk_free=[0.1] * 3)) == 3
    assert res.test_alpha(n_sim=2)["wald"].df == 1


def test_names_of_unnamed_factors(sample: Raw) -> None:
    model = sse.CAPM(sample.returns, sample.factors.to_numpy(), sample.rate, beta={"factor2": "random_walk"})
    assert model.factors == ["MKT", "factor2", "factor3"]
    assert model.coefficients.dynamics == ["static", "static", "random_walk", "static"]


def test_data_given_are_not_changed(raw: Raw, sample: Raw) -> None:
    kept = [sample.returns.copy(), sample.factors.copy(), sample.rate.copy()]
    arrays = [sample.returns.to_numpy(copy=True), sample.factors.to_numpy(copy=True)]
    copies = [array.copy() for array in arrays]
    sse.CAPM(*sample)
    sse.CAPM(*arrays, sample.rate.to_numpy())
    assert all(one.equals(other) for one, other in zip(kept, sample, strict=True))
    assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(arrays, copies, strict=True))


# -- results -----------------------------------------------------------------------------------------------


def test_alpha_and_beta(res: Any, plain: Any) -> None:
    alpha, beta = plain.coefficients["const"], plain.coefficients["MKT"]
    assert_allclose(res.alpha.estimate, alpha.estimate, rtol=1e-9)
    assert_allclose(res.alpha.se, alpha.se, rtol=1e-9)
    assert list(res.alpha.estimate.index) == ["A1", "A2"]
    for name in ("smoothed", "filtered", "smoothed_se"):
        assert_allclose(getattr(res.beta, name), getattr(beta, name), rtol=0, atol=1e-9)
        assert getattr(res.beta, name).index.equals(plain.model.data.row_labels)
        assert list(getattr(res.beta, name).columns) == ["A1", "A2"]
    with pytest.raises(SpecificationError, match="smoothed"):
        _ = res.beta.estimate
    assert "CAPM" in res.summary().as_text()


def test_a_fit_of_low_memory_says_what_it_lacks(sample: Raw) -> None:
    res = sse.CAPM(sample.returns, sample.market, sample.rate).fit(low_memory=True)
    for accessor in (lambda: res.alpha, lambda: res.beta, lambda: res.coefficients, res.test_alpha):
        with pytest.raises(SpecificationError, match="low_memory"):
            accessor()


def test_alphas_of_the_published_question(shared_data: Path, reference: dict) -> None:
    """Raw decimal returns times 100, at the book's V and W_beta."""
    figures = reference["capm"]["at_the_book_s_V_and_W_beta"]
    data = 100.0 * pd.read_csv(shared_data / "capm" / "berndt_capm_1978_1987.csv", index_col="date")
    data.index = pd.PeriodIndex(data.index, freq="M")
    model = sse.CAPM(data[ASSETS], data["MARKET"], data["RKFREE"])
    assert model.factors == ["MARKET"] and model.state_names[4] == "MARKET.MOBIL"
    params = model.params_from_matrices({"obs_cov": figures["V"], "state_cov": figures["W_beta"]})
    res = model.smooth(params)
    assert_allclose(res.llf, figures["llf_statsmodels_exact_diffuse"], rtol=0, atol=1e-8)
    assert_allclose(res.alpha.estimate, figures["alpha"], rtol=0, atol=1e-8)
    assert_allclose(res.alpha.se, figures["alpha_se"], rtol=0, atol=1e-8)
    for month, expected in figures["smoothed_beta"].items():
        assert_allclose(res.beta.smoothed.loc[month], expected, rtol=0, atol=1e-8)
    wald = res.test_alpha(n_sim=2)["wald"]
    assert_allclose(wald.statistic, 0.8100923943338649, rtol=1e-10)
    assert (wald.df, wald.regressor) == (4, "alpha")
    assert list(wald.estimate.index) == ASSETS


def test_the_exact_test_is_that_of_the_static_model(shared_data: Path) -> None:
    y, x = berndt(shared_data)
    res = sse.CAPM(y, x["MKT"])
    res = res.smooth(res.start_params)
    grs = res.test_alpha(n_sim=2)["grs"]
    coefficients = np.linalg.lstsq(x.to_numpy(), y.to_numpy(), rcond=None)[0]
    residual = y.to_numpy() - x.to_numpy() @ coefficients
    alpha, cov, market = coefficients[0], residual.T @ residual / 120, x["MKT"].to_numpy()
    ratio = alpha @ np.linalg.solve(cov, alpha) / (1.0 + market.mean() ** 2 / market.var())
    assert_allclose(grs.statistic, (120 - 4 - 1) / 4 * ratio, rtol=1e-10)
    assert grs.df == (4, 115)
    assert_allclose(grs.estimate[ASSETS], alpha, rtol=1e-9)


def test_the_exact_test_needs_balanced_data(res: Any, sample: Raw) -> None:
    assert np.isnan(res.model.endog).any()
    found = res.test_alpha(n_sim=2)
    assert found["grs"] is None and found["wald"].df == 2
    filled = sse.CAPM(sample.returns.fillna(0.0), sample.factors, sample.rate, beta="static").fit()
    assert filled.test_alpha()["grs"].df == (2, N - 2 - 3)


@pytest.mark.parametrize("alpha", ["random_walk", "ar1"])
def test_alphas_that_move_are_not_tested(sample: Raw, alpha: str) -> None:
    model = sse.CAPM(
        sample.returns, sample.market, sample.rate, alpha=alpha, beta="static", state_cov="diagonal"
    )
    with pytest.raises(SpecificationError, match="static"):
        model.smooth(model.start_params).test_alpha()


def test_inherited_results(res: Any, plain: Any) -> None:
    """Comparison and test of constancy work through clones of the model."""
    diagonal = res.model.clone(
        res.model.data.orig_endog, res.model.data.orig_exog, state_cov="diagonal"
    ).fit()
    assert len(res.compare(diagonal)) == 2
    test = res.test_constancy(n_sim=9, rng=0)
    assert 0.0 < test.pvalue <= 1.0


def changed(values: Any, value: float) -> Any:
    out = values.copy()
    out.iloc[5] = value
    return out


BAD: dict[str, tuple[Callable[[Raw], Any], type[Exception], str]] = {
    "no returns": (lambda d: sse.CAPM(None, d.market), DataError, "returns"),
    "no market": (lambda d: sse.CAPM(d.returns, None), DataError, "market"),
    "one number as market": (lambda d: sse.CAPM(d.returns, 1.0), DataError, "market"),
    "market with NaN": (lambda d: sse.CAPM(d.returns, changed(d.market, np.nan)), DataError, "market.*row 5"),
    "market with inf": (lambda d: sse.CAPM(d.returns, changed(d.market, np.inf)), DataError, "market.*row 5"),
    "market of text": (
        lambda d: sse.CAPM(d.returns, d.market.astype(str) + "?"),
        DataError,
        "market.*numeric",
    ),
    "market too short": (lambda d: sse.CAPM(d.returns, d.market[:-1]), DataError, "lengths"),
    "market of other periods": (
        lambda d: sse.CAPM(d.returns, d.market.set_axis(d.market.index + 1)),
        DataError,
        "index of market",
    ),
    "market shuffled": (lambda d: sse.CAPM(d.returns, d.market[::-1]), DataError, "index of market"),
    "market constant": (lambda d: sse.CAPM(d.returns, 0.0 * d.market + 1.0).fit(), DataError, "collinear"),
    "market is the rate": (lambda d: sse.CAPM(d.returns, d.rate, d.rate).fit(), DataError, "collinear"),
    "factors collinear": (
        lambda d: sse.CAPM(d.returns, d.factors.assign(HML=2.0 * d.factors["SMB"])).fit(),
        DataError,
        "collinear",
    ),
    "a factor named const": (
        lambda d: sse.CAPM(d.returns, d.factors.rename(columns={"SMB": "const"})),
        DataError,
        "const",
    ),
    "two factors of one name": (
        lambda d: sse.CAPM(d.returns, d.factors.rename(columns={"SMB": "MKT"})),
        DataError,
        "MKT",
    ),
    "rate with NaN": (
        lambda d: sse.CAPM(d.returns, d.market, changed(d.rate, np.nan)),
        DataError,
        "risk_free.*row 5",
    ),
    "rate too short": (lambda d: sse.CAPM(d.returns, d.market, d.rate[:-1]), DataError, "risk_free"),
    "rate of other periods": (
        lambda d: sse.CAPM(d.returns, d.market, d.rate.set_axis(d.rate.index + 1)),
        DataError,
        "index of risk_free",
    ),
    "one number as rate": (lambda d: sse.CAPM(d.returns, d.market, 0.01), DataError, "risk_free"),
    "two rates": (lambda d: sse.CAPM(d.returns, d.market, d.factors[["SMB", "HML"]]), DataError, "risk_free"),
    "returns with inf": (lambda d: sse.CAPM(changed(d.returns, np.inf), d.market), DataError, "finite"),
    "alpha unknown": (lambda d: sse.CAPM(d.returns, d.market, alpha="moving"), SpecificationError, "moving"),
    "beta unknown": (lambda d: sse.CAPM(d.returns, d.market, beta="moving"), SpecificationError, "moving"),
    "beta of no factor": (
        lambda d: sse.CAPM(d.returns, d.market, beta={"SMB": "random_walk"}),
        SpecificationError,
        "SMB",
    ),
    "beta of the constant": (
        lambda d: sse.CAPM(d.returns, d.market, beta={"const": "static"}),
        SpecificationError,
        "alpha",
    ),
    "formula": (
        lambda d: sse.CAPM.from_formula("A1 ~ MKT - 1", d.returns.join(d.market)),
        SpecificationError,
        "DynamicRegression",
    ),
    "formula without a market": (
        lambda d: sse.CAPM.from_formula("A1 ~ 1", d.returns.join(d.market)),
        SpecificationError,
        "does not describe a CAPM",
    ),
    "formula with an unknown rate": (
        lambda d: sse.CAPM.from_formula("A1 ~ MKT", d.returns.join(d.market), "RF"),
        SpecificationError,
        "risk_free",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_clear_error(sample: Raw, name: str) -> None:
    call, kind, match = BAD[name]
    with pytest.raises(kind, match=match) as error:
        call(sample)
    assert isinstance(error.value, StateSpaceError)
