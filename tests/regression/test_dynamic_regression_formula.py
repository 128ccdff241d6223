"""DynamicRegression from formulas, in the sample and after it, and the formulas that it refuses."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, N, gls, random_walks
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.base.formula import regressors_out_of_sample
from statespace_ext.exceptions import (
    DataError,
    SpecificationError,
    StateSpaceError,
)

Data = tuple[pd.DataFrame, pd.DataFrame]


# -- formulas ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame(data: Data) -> pd.DataFrame:
    quarter = [str(1 + (i // 3) % 4) for i in range(N)]
    return data[0].join(data[1]["MKT"]).assign(quarter=quarter, SMB=np.linspace(-1, 1, N) ** 3)


from_formula = sse.DynamicRegression.from_formula


def test_formula_is_the_model_of_its_arrays(data: Data, frame: pd.DataFrame, res: Any) -> None:
    model = from_formula("A1 + A2 + A3 ~ MKT", frame, dynamics=BETA_MOVES)
    assert model.endog_names == ["A1", "A2", "A3"] and model.coefficients.regressors == ["const", "MKT"]
    assert_allclose(model.endog, data[0], rtol=0)
    assert model.nobs == N and np.isnan(model.endog).sum() == data[0].isna().sum().sum()
    assert_allclose(model.loglike(res.params), res.llf, rtol=0, atol=1e-9)
    assert model.data.row_labels.equals(data[0].index)


@pytest.mark.parametrize("name", ["const", "Intercept"])
def test_the_intercept_has_two_names(frame: pd.DataFrame, name: str) -> None:
    model = from_formula("A1 + A2 ~ MKT", frame, dynamics={name: "random_walk"}, state_cov={name: "diagonal"})
    assert model.param_names[-2:] == ["state_var.const.A1", "state_var.const.A2"]
    with pytest.raises(SpecificationError, match="dynamics"):
        from_formula("A1 + A2 ~ MKT - 1", frame, dynamics={name: "random_walk"})


def test_formula_with_transformations_and_categories(frame: pd.DataFrame) -> None:
    model = from_formula("np.log1p(A1 / 100) + A2 ~ center(MKT) + I(MKT ** 2) + C(quarter)", frame)
    market = frame["MKT"] - frame["MKT"].mean()
    expected = {
        "const": np.ones(N),
        **{f"C(quarter)[T.{q}]": (frame["quarter"] == q).astype(float) for q in "234"},
        "center(MKT)": market,
        "I(MKT ** 2)": frame["MKT"] ** 2,
    }
    assert model.coefficients.regressors == list(expected)
    assert_allclose(model.exog, np.column_stack(list(expected.values())), rtol=0, atol=1e-12)
    assert_allclose(model.endog[:, 0], np.log1p(frame["A1"] / 100), rtol=1e-14)


def test_formula_keeps_the_functions_of_its_caller(frame: pd.DataFrame) -> None:
    def twice(values: pd.Series) -> pd.Series:
        return 2.0 * values

    model = from_formula("A1 ~ twice(MKT)", frame)
    assert_allclose(model.exog[:, 1], 2.0 * frame["MKT"], rtol=1e-14)


def test_regressors_out_of_sample_by_the_same_formula(frame: pd.DataFrame) -> None:
    """`center` takes the mean of the sample, and a category that the future lacks keeps its column."""
    model = from_formula("A1 + A2 ~ center(MKT) + C(quarter)", frame)
    index = pd.period_range(frame.index[-1] + 1, periods=3, freq="M")
    new = pd.DataFrame({"MKT": [1.0, 2.0, 3.0], "quarter": ["1", "1", "4"]}, index=index)
    exog = regressors_out_of_sample(model.design_info, new)
    assert list(exog.columns) == model.coefficients.regressors and exog.index.equals(index)
    assert_allclose(exog["center(MKT)"], new["MKT"] - frame["MKT"].mean(), rtol=1e-12)
    assert exog["C(quarter)[T.4]"].tolist() == [0.0, 0.0, 1.0]
    assert exog["C(quarter)[T.2]"].tolist() == [0.0, 0.0, 0.0]
    res = model.smooth([4.0, 0.5, 5.0])
    last = np.stack([res.coefficients[name].filtered.iloc[-1] for name in model.coefficients.regressors])
    assert_allclose(res.forecast(3, exog=exog), exog.to_numpy() @ last, rtol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_seasonal_dummies_can_be_fitted(seed: int) -> None:
    """The first periods do not span the regressors. Rounding must not pass for information."""
    rng = np.random.default_rng(seed)
    quarters = (np.arange(40) // 3) % 4
    x = np.column_stack(
        [np.ones(40), *(1.0 * (quarters == q) for q in (1, 2, 3)), 4.0 * rng.standard_normal(40)]
    )
    y = x @ rng.standard_normal((5, 2)) + rng.standard_normal((40, 2))
    model = sse.DynamicRegression(y, x, dynamics={"x5": "random_walk"})
    V, W = np.eye(2) + 0.3, 0.01 * np.eye(2) + 0.002
    expected = gls(y, x, V, random_walks(W, np.array([8, 9]), 10)).llf
    assert_allclose(
        model.loglike(model.params_from_matrices({"obs_cov": V, "state_cov": W})), expected, atol=1e-8
    )
    assert model.fit().converged


def test_formula_results_can_be_pickled(frame: pd.DataFrame) -> None:
    res = from_formula("A1 + A2 ~ MKT", frame, dynamics=BETA_MOVES).fit()
    again = pickle.loads(pickle.dumps(res))
    assert again.llf == res.llf and again.model.coefficients == res.model.coefficients


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("A1 + NOPE ~ MKT", "NOPE"),
        ("A1 ~ MKT + NOPE", "NOPE"),
        ("A1 ~ MKT +", "formula"),
        ("~ MKT", "formula"),
        ("A1 ~ 0", "formula|exog"),
    ],
)
def test_refused_formulas(frame: pd.DataFrame, formula: str, match: str) -> None:
    with pytest.raises(StateSpaceError, match=match):
        from_formula(formula, frame)


@pytest.mark.parametrize("column", ["MKT", "quarter"])
def test_formula_with_a_missing_regressor(frame: pd.DataFrame, column: str) -> None:
    gap = frame.copy()
    gap.loc[gap.index[5], column] = None
    with pytest.raises(DataError, match="missing"):
        from_formula("A1 ~ MKT + C(quarter)", gap)


@pytest.mark.parametrize(
    "change", [{"quarter": ["1", "9"]}, {"quarter": None}, {"MKT": [1.0, np.nan]}], ids=str
)
def test_refused_regressors_out_of_sample(frame: pd.DataFrame, change: dict) -> None:
    """An unknown category, an absent column, a missing value."""
    model = from_formula("A1 ~ MKT + C(quarter)", frame)
    new = pd.DataFrame({"MKT": [1.0, 2.0], "quarter": ["1", "2"]}).assign(**change)
    new = new.drop(columns=[name for name, value in change.items() if value is None])
    raised = None
    try:
        exog = regressors_out_of_sample(model.design_info, new)
        model.smooth(model.start_params).forecast(2, exog=exog)
    except Exception as error:  # patsy's chained errors crash pytest's report on Python 3.10
        raised = type(error)
    assert raised is not None and issubclass(raised, StateSpaceError)
