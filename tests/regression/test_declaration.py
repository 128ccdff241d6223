"""Arguments of DynamicRegression: data in every form, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, BOTH_MOVE, N
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.exceptions import (
    DataError,
    EstimationError,
    ParameterError,
    SpecificationError,
    StateSpaceError,
    UnsupportedError,
)

Data = tuple[pd.DataFrame, pd.DataFrame]


# -- bad input ---------------------------------------------------------------------------------------------


def with_value(x: pd.DataFrame, value: float) -> pd.DataFrame:
    out = x.copy()
    out.iloc[4, 1] = value
    return out


def model(*args: Any, **kwargs: Any) -> Callable[[pd.DataFrame, pd.DataFrame], Any]:
    """Return a constructor that ignores how the data are changed."""
    return lambda y, x: sse.DynamicRegression(y, x, *args, **kwargs)


BAD: dict[str, tuple[Callable[[pd.DataFrame, pd.DataFrame], Any], type[Exception], str]] = {
    "no regressors": (lambda y, x: sse.DynamicRegression(y, None), DataError, "exog"),
    "exog with NaN": (lambda y, x: sse.DynamicRegression(y, with_value(x, np.nan)), DataError, "row 4"),
    "exog with inf": (lambda y, x: sse.DynamicRegression(y, with_value(x, np.inf)), DataError, "row 4"),
    "exog of text": (lambda y, x: sse.DynamicRegression(y, x.astype(str) + "?"), DataError, "numeric"),
    "exog too short": (lambda y, x: sse.DynamicRegression(y, x[:-1]), DataError, "shape|index"),
    "exog of other periods": (
        lambda y, x: sse.DynamicRegression(y, x.set_axis(x.index + 1)),
        DataError,
        "index of exog",
    ),
    "exog shuffled": (lambda y, x: sse.DynamicRegression(y, x.iloc[::-1]), DataError, "index of exog"),
    "both shuffled": (lambda y, x: sse.DynamicRegression(y.iloc[::-1], x.iloc[::-1]), DataError, "order"),
    "endog with inf": (lambda y, x: sse.DynamicRegression(y.fillna(np.inf), x), DataError, "finite"),
    "endog of text": (lambda y, x: sse.DynamicRegression(y.astype(str), x), DataError, "numeric"),
    "endog a cube": (lambda y, x: sse.DynamicRegression(np.zeros((N, 2, 2)), x), DataError, "dimensions"),
    "empty": (lambda y, x: sse.DynamicRegression(y[:0], x[:0]), DataError, "empty"),
    "two series of one name": (
        lambda y, x: sse.DynamicRegression(y.set_axis(["A", "A", "B"], axis=1), x),
        StateSpaceError,
        "A",
    ),
    "two regressors of one name": (
        lambda y, x: sse.DynamicRegression(y, x.set_axis(["MKT", "MKT"], axis=1), dynamics=BETA_MOVES),
        StateSpaceError,
        "MKT",
    ),
    "series all missing": (
        lambda y, x: sse.DynamicRegression(y.assign(A2=np.nan), x, obs_cov="diagonal").fit(),
        DataError,
        "A2.* has no observations",
    ),
    "short series": (
        lambda y, x: sse.DynamicRegression(
            y.assign(A2=y["A2"].where(np.arange(len(y)) < x.shape[1])), x, obs_cov="diagonal"
        ).fit(),
        DataError,
        "A2.* too few observations",
    ),
    "other periods by series": (
        lambda y, x: sse.DynamicRegression(
            y[["A1", "A2"]].to_numpy(), {"y1": x, "y2": x.set_axis(x.index + 1)}
        ),
        DataError,
        "same periods",
    ),
    "a constraint of no series": (
        lambda y, x: sse.DynamicRegression(
            y[["A1", "A2"]], {"A1": x[["MKT"]], "A2": x[["const"]]}, constraints="MKT + const = 1"
        ),
        SpecificationError,
        "no series has together",
    ),
    "series constant": (lambda y, x: sse.DynamicRegression(y.assign(A2=1.0), x).fit(), DataError, "A2"),
    "regressor constant": (
        lambda y, x: sse.DynamicRegression(y, x.assign(two=2.0)).fit(),
        DataError,
        "collinear",
    ),
    "regressor zero": (lambda y, x: sse.DynamicRegression(y, x.assign(z=0.0)).fit(), DataError, "collinear"),
    "regressors collinear": (
        lambda y, x: sse.DynamicRegression(y, x.assign(z=1.0 - 2.0 * x["MKT"])).fit(),
        DataError,
        "collinear",
    ),
    "too many assets than periods": (
        lambda y, x: sse.DynamicRegression(
            np.random.default_rng(0).normal(size=(20, 25)), x[:20].to_numpy()
        ).fit(),
        DataError,
        "too many assets for the sample",
    ),
    "an asset twice": (
        lambda y, x: sse.DynamicRegression(y.assign(again=3.0 * y["A1"]), x, dynamics=BETA_MOVES).fit(),
        DataError,
        "A1, again are linearly dependent",
    ),
    "a portfolio of the assets": (
        lambda y, x: sse.DynamicRegression(y.assign(sum=y.sum(axis=1, skipna=False)), x).fit(),
        DataError,
        "linearly dependent",
    ),
    "an asset that is the market": (
        lambda y, x: sse.DynamicRegression(y.assign(M=x["MKT"]), x, obs_cov="diagonal").fit(),
        DataError,
        "explain M exactly",
    ),
    "too few periods": (
        lambda y, x: sse.DynamicRegression(y[13:16], x[13:16], dynamics=BETA_MOVES).fit(),
        DataError,
        "few|too many assets",
    ),
    "dynamics not by name": (model(dynamics="random_walk"), SpecificationError, "dynamics"),
    "dynamics of no regressor": (model(dynamics={"SMB": "random_walk"}), SpecificationError, "SMB"),
    "dynamics by number": (model(dynamics={1: "random_walk"}), SpecificationError, "strings as keys"),
    "dynamics unknown": (model(dynamics={"MKT": "ar2"}), SpecificationError, "ar2"),
    "obs_cov unknown": (model(obs_cov="full"), SpecificationError, "obs_cov"),
    "obs_cov proportional": (model(obs_cov="proportional"), SpecificationError, "obs_cov"),
    "obs_cov misspelt": (model(obs_cov="factr:1"), SpecificationError, "obs_cov.*not a known.*factor:r"),
    "obs_cov misspelt, one series": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, obs_cov="proportional"),
        SpecificationError,
        "obs_cov is not a known keyword",
    ),
    "state_cov misspelt": (
        model(dynamics=BETA_MOVES, state_cov="diagonl"),
        SpecificationError,
        "state_cov.*not a known.*factor:r, proportional, joint",
    ),
    "state_cov misspelt, one series": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, dynamics=BETA_MOVES, state_cov="diagonl"),
        SpecificationError,
        "state_cov is not a known keyword",
    ),
    "state_cov misspelt, one series, by regressor": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, dynamics=BETA_MOVES, state_cov={"MKT": "diagonl"}),
        SpecificationError,
        "state_cov is not a known keyword",
    ),
    "state_cov misspelt, nothing moves": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, state_cov="diagonl"),
        SpecificationError,
        "state_cov is not a known keyword",
    ),
    "factors of one series": (
        lambda y, x: sse.DynamicRegression(y["A1"], x, obs_cov="factor:1"),
        SpecificationError,
        "two series or more",
    ),
    "obs_cov of wrong shape": (model(obs_cov=np.eye(2)), SpecificationError, "shape"),
    "obs_cov not symmetric": (model(obs_cov=np.eye(3) + np.eye(3, k=1)), SpecificationError, "symmetric"),
    "obs_cov indefinite": (
        model(obs_cov=np.eye(3) - 0.6 * np.ones((3, 3))),
        SpecificationError,
        "semidefinite|negative",
    ),
    "state_cov unknown": (model(dynamics=BETA_MOVES, state_cov="full"), SpecificationError, "state_cov"),
    "state_cov of wrong shape": (
        model(dynamics=BETA_MOVES, state_cov=np.eye(4)),
        SpecificationError,
        "shape",
    ),
    "state_cov of nothing": (model(state_cov=np.eye(3)), SpecificationError, "state_cov"),
    "state_cov of some": (
        model(dynamics=BOTH_MOVE, state_cov={"MKT": "diagonal"}),
        SpecificationError,
        "const",
    ),
    "state_cov of others": (
        model(dynamics=BETA_MOVES, state_cov={"MKT": "diagonal", "SMB": "scalar"}),
        SpecificationError,
        "SMB",
    ),
    "start unknown": (model(initialization="stationary"), SpecificationError, "initialization"),
    "known start without values": (model(initialization="known"), SpecificationError, "initial_state"),
    "values without known start": (model(initial_state=np.zeros(6)), SpecificationError, "initial_state"),
    "known start of wrong shape": (
        model(initialization="known", initial_state=np.zeros(3), initial_state_cov=np.eye(3)),
        SpecificationError,
        "shape",
    ),
    "known start indefinite": (
        model(initialization="known", initial_state=np.zeros(6), initial_state_cov=-np.eye(6)),
        SpecificationError,
        "initial_state_cov",
    ),
    "method unknown": (lambda y, x: sse.DynamicRegression(y, x).fit(method="foo"), SpecificationError, "foo"),
    "start values too few": (
        lambda y, x: sse.DynamicRegression(y, x).fit([1.0]),
        ParameterError,
        "shape|length",
    ),
    "start values no covariance": (
        lambda y, x: sse.DynamicRegression(y, x).fit(-np.ones(6)),
        (EstimationError, ParameterError),
        "start values|semidefinite",
    ),
    "start matrix unknown": (
        lambda y, x: sse.DynamicRegression(y, x).fit({"obs_cov": np.eye(3), "nope": 1}),
        ParameterError,
        "nope",
    ),
    "fixed parameter unknown": (
        lambda y, x: sse.DynamicRegression(y, x).fit_constrained({"nope": 1.0}),
        (ParameterError, ValueError),
        "nope",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_clear_error(data: Data, name: str) -> None:
    call, kind, match = BAD[name]
    with pytest.raises(kind, match=match):
        call(*data)


def test_regressors_of_any_size_and_what_no_double_tells_apart(data: Data) -> None:
    """Units of a regressor move the log-likelihood by their logarithm; two that nearly agree are refused."""
    y, x = data
    params = sse.DynamicRegression(y, x).start_params
    small = sse.DynamicRegression(y, x.assign(MKT=1e-7 * x["MKT"])).loglike(params)
    moved = y.shape[1] * np.log(1e-7)
    assert_allclose(small + moved, sse.DynamicRegression(y, x).loglike(params), rtol=1e-10)
    with pytest.raises((UnsupportedError, DataError)):
        sse.DynamicRegression(y, x.assign(z=x["MKT"] + 1e-9 * np.arange(N)), dynamics=BETA_MOVES).fit()


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x["MKT"],
        lambda x: x["MKT"].to_numpy(),
        lambda x: x[["MKT"]],
        lambda x: x[["MKT"]].to_numpy(),
        lambda x: x["MKT"].tolist(),
    ],
    ids=["Series", "1-D array", "DataFrame", "2-D array", "list"],
)
@pytest.mark.parametrize("p", [1, 2])
def test_one_regressor_in_every_form(data: Data, form: Callable, p: int) -> None:
    y = data[0]["A1"] if p == 1 else data[0][["A1", "A2"]]
    if not isinstance(form(data[1]), (pd.Series, pd.DataFrame)):
        y = y.to_numpy()
    model = sse.DynamicRegression(y, form(data[1]))
    params = np.array([4.0]) if p == 1 else np.array([4.0, 1.0, 5.0])
    column = data[1][["MKT"]]
    expected = sse.DynamicRegression(
        y, column if isinstance(y, pd.Series | pd.DataFrame) else column.to_numpy()
    )
    assert model.loglike(params) == expected.loglike(params)
    assert model.fit().forecast(2, exog=[1.0, 2.0]).shape[0] == 2


@pytest.mark.parametrize("kind", ["int64", "float32", "bool", "object", "Int64", "Float64"])
def test_regressors_of_every_numeric_type(data: Data, kind: str) -> None:
    y, x = data
    up = (x["MKT"] > 0).astype(float)
    expected = sse.DynamicRegression(y, x.assign(up=up)).fit().llf
    try:
        found = sse.DynamicRegression(y, x.assign(up=up.astype(kind))).fit().llf
    except DataError as error:
        assert "numeric" in str(error)
    else:
        assert_allclose(found, expected, rtol=1e-12)


def test_data_given_are_not_changed(data: Data) -> None:
    y, x = data[0].copy(), data[1].copy()
    res = sse.DynamicRegression(y, x, dynamics=BETA_MOVES).fit()
    res.forecast(1, exog=x[:1].to_numpy())
    pd.testing.assert_frame_equal(y, data[0])
    pd.testing.assert_frame_equal(x, data[1])
