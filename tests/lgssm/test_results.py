"""Results of LGSSM: labels, identification, summary and rotation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from statsmodels.multivariate.factor_rotation import rotate_factors
from two_factors import (
    DESIGN,
    REGRESSORS,
    H,
    N,
    ar1,
    build,
    panel,
    quarterly,
    regressors,
    smoothed,
    unidentified,
    values,
)

import statespace_ext as sse

# -- pandas ------------------------------------------------------------------------------------------------


INDEXES = {
    "dates": pd.date_range("2000-01-31", periods=N, freq="M" if pd.__version__ < "2.2" else "ME"),
    "periods": pd.period_range("2000Q1", periods=N, freq="Q"),
    "range": pd.RangeIndex(N),
    "years": pd.RangeIndex(1950, 1950 + N),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
def test_indexes_are_kept(index: pd.Index) -> None:
    y = pd.DataFrame(panel(), index=index, columns=["gdp", "cons", "inv"])
    res = smoothed({"lags": 2}, y)
    factors = res.factors
    for frame in (factors.smoothed, factors.filtered, factors.smoothed_se, res.fittedvalues):
        assert frame.index.equals(index) and type(frame.index) is type(index)
        assert getattr(frame.index, "freq", None) == getattr(index, "freq", None)
    assert factors.smoothed.columns.tolist() == ["f1", "f2"]
    assert factors.smoothed_cov.index.get_level_values(0).unique().equals(index)
    forecast = res.forecast(H)
    assert type(forecast.index) is type(index)
    assert forecast.columns.tolist() == ["gdp", "cons", "inv"]
    if index.dtype.kind != "i":
        whole = pd.period_range if isinstance(index, pd.PeriodIndex) else pd.date_range
        assert forecast.index.equals(whole(index[-1], periods=H + 1, freq=index.freq)[1:])
        assert forecast.index.freq == index.freq
    else:
        assert forecast.index.tolist() == list(range(index[-1] + 1, index[-1] + 1 + H))
    frame = res.get_forecast(H).summary_frame(endog=1)
    assert frame.index.equals(forecast.index) and frame.columns.name == "cons"


def test_dates_of_the_constructor() -> None:
    index = INDEXES["dates"]
    res = sse.LGSSM(panel(), 2, dates=index, freq=index.freqstr)
    factors = res.smooth(res.start_params).factors
    assert factors.smoothed.index.equals(index)


def test_a_series_has_its_name() -> None:
    y = pd.Series(ar1(), index=pd.period_range("1990-01", periods=120, freq="M"), name="infl")
    res = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    assert res.model.param_names == ["obs_intercept.infl", "L1.f1->f1", "obs_var.infl", "state_var.f1"]
    assert res.params.index.tolist() == res.model.param_names
    assert res.bse.index.tolist() == res.model.param_names
    assert isinstance(res.forecast(2), pd.Series)


def test_matrices_are_labelled() -> None:
    y, index = quarterly(panel()), quarterly(panel()).index
    exog = pd.DataFrame(regressors(N, 2, 1), index=index, columns=["tax", "oil"])
    state_exog = pd.Series(regressors(N, 1, 2)[:, 0], index=index, name="money")
    at = smoothed({"lags": 2, "exog": exog, "state_exog": state_exog}, y).matrices
    series, factors = ["gdp", "cons", "inv"], ["f1", "f2"]
    states = ["f1", "f2", "f1.L1", "f2.L1"]
    axes = {
        "design": (series, factors),
        "obs_intercept": (series, None),
        "obs_coef": (series, ["tax", "oil"]),
        "obs_cov": (series, series),
        "transition": (factors, [("L1", "f1"), ("L1", "f2"), ("L2", "f1"), ("L2", "f2")]),
        "state_intercept": (factors, None),
        "state_coef": (factors, ["money"]),
        "state_cov": (factors, factors),
        "initial_state": (states, None),
        "initial_state_cov": (states, states),
    }
    for key, (rows, columns) in axes.items():
        assert at[key].index.tolist() == rows, key
        if columns is not None:
            assert at[key].columns.tolist() == columns, key
        else:
            assert at[key].shape[1] == 1


def test_parameter_names_and_matrices_agree() -> None:
    spec = {"lags": 2, "obs_cov": "unstructured", "state_mean": "free"}
    res = smoothed({**spec, **REGRESSORS["both"]}, quarterly(panel()))
    at, found = res.matrices, values(res)
    assert found["loading.f1->gdp"] == at["design"].loc["gdp", "f1"]
    assert found["L2.f1->f2"] == at["transition"].loc["f2", ("L2", "f1")]
    assert found["obs_var.gdp"] == at["obs_cov"].loc["gdp", "gdp"]
    assert found["obs_cov.gdp.cons"] == at["obs_cov"].loc["cons", "gdp"] == at["obs_cov"].loc["gdp", "cons"]
    assert found["state_cov.f1.f2"] == at["state_cov"].loc["f1", "f2"]
    assert found["obs_intercept.inv"] == at["obs_intercept"].loc["inv"].item()
    assert found["obs_coef.x2->cons"] == at["obs_coef"].loc["cons", "x2"]
    assert found["state_coef.u1->f2"] == at["state_coef"].loc["f2", "u1"]
    assert found["state_mean.f2"] == at["state_mean"].loc["f2"].item()


# -- identification, summary, rotation ---------------------------------------------------------------------


def test_identification_warns_once_and_says_it_in_the_summary() -> None:
    with pytest.warns(sse.IdentificationWarning) as caught:
        res = build({}, panel(80)).fit()
    assert len(caught) == 1 and "flat along 4 directions" in str(caught[0].message)
    text = res.summary().as_text()
    assert "flat along 4 directions" in text and "Converged" in text
    se = dict(zip(res.model.param_names, np.asarray(res.bse), strict=True))
    for name, value in se.items():
        moved = name.split(".")[0] in ("loading", "L1", "state_var", "state_cov")
        assert np.isnan(value) == moved, name
    # 3 x 2 loadings, 3 intercepts, 2 x 2 transition, 3 and 3 of the covariances, less 4 rotations
    assert len(res.model.param_names) == 19 and res.df_model == 15
    assert res.aic == pytest.approx(-2.0 * res.llf + 2.0 * 15.0)
    assert res.bic == pytest.approx(-2.0 * res.llf + np.log(79) * 15.0)  # one of 80 periods is empty


@pytest.mark.parametrize("use", ["identification", "df_model", "aic", "summary"])
def test_without_standard_errors_identification_is_checked_at_its_first_use(use: str) -> None:
    """Without standard errors, the check would be most of a short re-estimation."""
    model = build({}, panel(80))
    calls: list[Any] = []
    check = model.identification
    model.identification = lambda *args: calls.append(args) or check(*args)  # type: ignore[method-assign]
    res = model.fit(cov_type="none")  # warnings are errors here
    assert not calls
    with pytest.warns(sse.IdentificationWarning, match="flat along 4 directions"):
        found = getattr(res, use)
        if callable(found):
            found()
    assert res.aic == pytest.approx(-2.0 * res.llf + 2.0 * 15.0)  # the second use does not warn
    assert len(calls) == 1


def test_a_mean_beside_a_free_intercept() -> None:
    y = ar1()
    with pytest.warns(sse.IdentificationWarning, match="1 direction.*mean") as caught:
        res = sse.LGSSM(y, 1, design=[[1.0]], state_mean="free").fit()
    assert len(caught) == 1
    se = dict(zip(res.model.param_names, np.asarray(res.bse), strict=True))
    assert np.isnan(se["obs_intercept.y"]) and np.isnan(se["state_mean.f1"])
    expected = sse.LGSSM(y, 1, design=[[1.0]]).fit()
    same = ["L1.f1->f1", "obs_var.y", "state_var.f1"]
    assert_allclose(
        [se[name] for name in same],
        [np.asarray(expected.bse)[expected.model.param_names.index(name)] for name in same],
        rtol=1e-4,
    )
    assert_allclose(res.llf, expected.llf, rtol=0, atol=1e-8)
    assert res.df_model == expected.df_model == 4


@pytest.mark.parametrize("identification", ["triangular", "unit"])
def test_a_normalisation_has_standard_errors(identification: str) -> None:
    """And the same maximum; no warning, since warnings are errors here."""
    res = build({}, panel(80), identification=identification).fit()
    with pytest.warns(sse.IdentificationWarning):
        free = build({}, panel(80)).fit()
    assert_allclose(res.llf, free.llf, rtol=0, atol=1e-6)
    assert np.all(np.isfinite(res.bse)) and np.all(np.asarray(res.bse) > 0)
    assert res.df_model == free.df_model == len(res.model.param_names)
    design = res.matrices["design"].to_numpy()
    if identification == "triangular":
        assert design[0, 1] == 0.0
        assert_array_equal(res.matrices["state_cov"], np.eye(2))
    else:
        assert_array_equal(design[:2], np.eye(2))


def test_summary_states_the_convergence() -> None:
    model = sse.LGSSM(ar1(), 1, design=[[1.0]])
    text = model.fit().summary().as_text()
    assert "Converged: method auto" in text and "LGSSM" in text
    with pytest.warns(sse.ConvergenceWarning):
        short = model.fit(method="em", maxiter=3)
    text = short.summary().as_text()
    assert "NOT CONVERGED" in text and "maxiter" in text
    assert "onverged" not in model.smooth(model.start_params).summary().as_text()


@unidentified
@pytest.mark.parametrize("method", ["varimax", "quartimax", "quartimin"])
@pytest.mark.parametrize("lags", [1, 2])
def test_rotation_changes_no_fitted_value(method: str, lags: int) -> None:
    model = build({"lags": lags, "state_intercept": "free", "obs_intercept": "zero"})
    res = model.smooth(model.start_params)
    rotated = res.rotate(method)
    fitted = rotated.smoothed.to_numpy() @ rotated.loadings.to_numpy().T
    expected = res.factors.smoothed.to_numpy() @ res.matrices["design"].to_numpy().T
    assert_allclose(fitted, expected, rtol=1e-9, atol=1e-10)
    inverse = np.linalg.inv(rotated.rotation.to_numpy())
    turned = {
        "design": rotated.loadings,
        "transition": rotated.transition,
        "state_cov": rotated.state_cov,
        "state_intercept": inverse @ res.matrices["state_intercept"].to_numpy(),
    }
    same = model.params_from_matrices({**model.matrices(res.params), **turned})
    again = model.smooth(same)
    assert_allclose(again.llf, res.llf, rtol=1e-10)
    assert_allclose(again.fittedvalues, res.fittedvalues, rtol=1e-7, atol=1e-9)
    assert_allclose(again.factors.smoothed, rotated.smoothed, rtol=1e-7, atol=1e-9)
    assert rotated.loadings.index.tolist() == ["y1", "y2", "y3"]


def test_varimax_raises_the_varimax_criterion() -> None:
    model = build({})
    res = model.smooth(model.start_params)

    def criterion(loadings: np.ndarray) -> float:
        return float(np.sum(np.var(loadings**2, axis=0)))

    rotated = res.rotate()
    root = np.linalg.cholesky(res.matrices["state_cov"].to_numpy())
    assert criterion(rotated.loadings.to_numpy()) >= criterion(res.matrices["design"].to_numpy() @ root)
    assert_allclose(rotated.state_cov, np.eye(2), atol=1e-10)


@pytest.mark.parametrize("method", ["varimax", "quartimin"])
def test_rotated_loadings_are_those_of_statsmodels(method: str) -> None:
    """An oblique rotation has L = A (T')^{-1}, not A T."""
    res = smoothed({})
    root = np.linalg.cholesky(res.matrices["state_cov"].to_numpy())
    expected, _ = rotate_factors(res.matrices["design"].to_numpy() @ root, method)
    assert_allclose(res.rotate(method).loadings, expected, rtol=1e-8, atol=1e-10)


def test_unknown_rotation() -> None:
    with pytest.raises(sse.SpecificationError, match="no_such"):
        smoothed({}).rotate("no_such")


def test_rotations_with_arguments() -> None:
    """Oblimin with gamma 0 is quartimin; orthomax with gamma 1 is varimax."""
    res = smoothed({})
    assert_allclose(res.rotate("oblimin").loadings, res.rotate("quartimin").loadings)
    assert_allclose(res.rotate("oblimin", 0.5, "oblique").loadings, res.rotate("biquartimin").loadings)
    assert_allclose(res.rotate("orthomax", 1).loadings, res.rotate("varimax").loadings)


@pytest.mark.parametrize("method", ["orthomax", "CF", "target", "partial_target", 3, None])
@pytest.mark.parametrize("given", [(), (0.5,), (0.5, "skew"), (0.5, "oblique", 1), ("x", "oblique")])
def test_rotations_with_wrong_arguments(method: Any, given: tuple[Any, ...]) -> None:
    if (method, given) == ("orthomax", (0.5,)):
        given = (0.5, "oblique")
    with pytest.raises(sse.SpecificationError, match=r"arguments are missing or wrong: got .* with \("):
        smoothed({}).rotate(method, *given)


def test_a_design_over_time_has_no_rotation() -> None:
    design = np.repeat(DESIGN[:, :, None], N, axis=2)
    model = build({"design": design, "obs_intercept": "zero"})
    with pytest.raises(sse.SpecificationError, match="varies over time"):
        model.smooth(model.start_params).rotate()
