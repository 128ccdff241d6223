"""Regressors of other periods: labels of every kind, and formulas after pickling."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.base.formula import regressors_out_of_sample
from statespace_ext.exceptions import DataError, SpecificationError, UnsupportedError

N = 40
PARAMS = [4.0, 0.5, 5.0, 0.1, 0.02, 0.1]
FUTURE = np.array([[1.0, 1.5], [1.0, -2.0], [1.0, 0.5]])


def fitted(index: pd.Index) -> Any:
    y, x = simulated(np.random.default_rng(71), N, 2)
    return sse.DynamicRegression(y.set_axis(index), x.set_axis(index), dynamics=BETA_MOVES).smooth(PARAMS)


def future(index: Any) -> pd.DataFrame:
    return pd.DataFrame(FUTURE, index=index, columns=["const", "MKT"])


MONTHS = pd.period_range("2001-01", periods=N + 6, freq="M")
STAMPS = pd.date_range("2001-01-01", periods=N + 6, freq="MS")
NUMBERS = pd.RangeIndex(N + 6)
AFTER = slice(N, N + 3)


@pytest.mark.parametrize(
    ("sample", "labels"),
    [
        (MONTHS, MONTHS[AFTER]),
        (MONTHS, STAMPS[AFTER]),
        (MONTHS, MONTHS[AFTER].to_timestamp(how="end")),
        (MONTHS, pd.RangeIndex(3)),
        (STAMPS, STAMPS[AFTER]),
        (STAMPS, STAMPS[AFTER].as_unit("s")),
        (STAMPS, MONTHS[AFTER]),
        (STAMPS, pd.Index(["a", "b", "c"])),
        (NUMBERS, NUMBERS[AFTER]),
        (NUMBERS, pd.Index([N, N + 1, N + 2])),
        (NUMBERS, pd.RangeIndex(3)),
    ],
    ids=str,
)
def test_labels_that_fit_or_say_nothing(sample: pd.Index, labels: pd.Index) -> None:
    res = fitted(sample[:N])
    expected = res.forecast(3, exog=FUTURE)
    found = res.forecast(3, exog=future(labels))
    assert_allclose(found, expected, rtol=1e-14)
    assert found.index.equals(expected.index)
    assert_allclose(res.predict(N - 3, N + 2, exog=future(labels))[3:], expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("sample", "labels"),
    [
        (MONTHS, MONTHS[N + 1 : N + 4]),
        (MONTHS, MONTHS[N - 3 : N]),
        (MONTHS, MONTHS[AFTER][::-1]),
        (MONTHS, STAMPS[N + 1 : N + 4]),
        (MONTHS, pd.period_range("2004Q2", periods=3, freq="Q")),
        (MONTHS, MONTHS[[N, N, N + 1]]),
        (MONTHS, MONTHS[[N, N + 1, N + 3]]),
        (STAMPS, STAMPS[N + 1 : N + 4]),
        (STAMPS, STAMPS[AFTER].tz_localize("UTC")),
        (STAMPS, MONTHS[N + 1 : N + 4]),
        (NUMBERS, NUMBERS[N - 3 : N]),
        (NUMBERS, pd.RangeIndex(2, -1, -1)),
    ],
    ids=str,
)
def test_labels_of_other_periods_are_refused(sample: pd.Index, labels: pd.Index) -> None:
    res = fitted(sample[:N])
    with pytest.raises(DataError, match="index of (future )?exog"):
        res.forecast(3, exog=future(labels))
    with pytest.raises(DataError, match="index of (future )?exog"):
        res.simulate(3, anchor="end", exog=future(labels), rng=0)


@pytest.mark.parametrize("method", ["append", "extend", "apply"])
def test_names_of_more_data(method: str) -> None:
    y, x = simulated(np.random.default_rng(71), N, 2)
    res = sse.DynamicRegression(y[:30], x[:30], dynamics=BETA_MOVES).smooth(PARAMS)
    call = getattr(res, method)
    expected = call(y[30:], exog=x[30:])
    for wrong in (x[["MKT", "const"]], x.rename(columns={"MKT": "SMB"}), x[["MKT"]], x.assign(SMB=1.0)):
        with pytest.raises(DataError, match="columns of exog"):
            call(y[30:], exog=wrong[30:])
    with pytest.raises(DataError, match="exog"):
        call(y[30:], exog=x[30:].set_axis(x.index[30:] + 1))
    for given in ((y[30:], x[30:].to_numpy()), (y[30:].to_numpy(), x[30:].to_numpy().tolist())):
        found = call(given[0], exog=given[1])
        assert_allclose(found.llf, expected.llf, rtol=1e-12)
        assert found.model.param_names == expected.model.param_names


def test_one_period_as_a_series() -> None:
    res = fitted(MONTHS[:N])
    row = future(MONTHS[AFTER]).iloc[0]
    assert_allclose(res.forecast(1, exog=row), res.forecast(1, exog=FUTURE[:1]), rtol=1e-14)
    with pytest.raises(DataError, match="names of the regressors"):
        res.forecast(1, exog=row[::-1])


# -- formulas ----------------------------------------------------------------------------------------------


FORMULA = "A1 + A2 ~ center(MKT) + C(quarter) + Q('a name')"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    y, x = simulated(np.random.default_rng(72), N + 3, 2)
    return y.join(x["MKT"]).assign(
        quarter=[str(i % 4) for i in range(N + 3)], **{"a name": np.arange(N + 3.0) ** 2 / 99}
    )


@pytest.fixture(scope="module")
def by_formula(frame: pd.DataFrame) -> Any:
    model = sse.DynamicRegression.from_formula(FORMULA, frame[:N], dynamics={"center(MKT)": "random_walk"})
    return model.smooth(PARAMS)


def test_raw_data_serve_wherever_regressors_do(frame: pd.DataFrame, by_formula: Any) -> None:
    design, y = by_formula.model.design_info, frame[["A1", "A2"]]
    new, sample = regressors_out_of_sample(design, frame[N:]), regressors_out_of_sample(design, frame[:N])
    assert_allclose(sample, by_formula.model.exog, rtol=1e-12, atol=1e-12)
    assert list(new.columns) == by_formula.model.coefficients.regressors
    for res in (by_formula, pickle.loads(pickle.dumps(by_formula)), copy.deepcopy(by_formula)):
        assert_allclose(res.forecast(3, exog=frame[N:]), by_formula.forecast(3, exog=new), rtol=1e-12)
        assert_allclose(
            res.extend(y[N:], exog=frame[N:]).llf, by_formula.extend(y[N:], exog=new).llf, rtol=1e-12
        )
        longer = res.append(y[N:], exog=frame[N:])
        assert_allclose(longer.llf, by_formula.append(y[N:], exog=new).llf, rtol=1e-12)
        assert longer.model.design_info is res.model.design_info
        assert_allclose(res.apply(y[:N], exog=frame[:N]).llf, by_formula.llf, rtol=1e-12)
    with pytest.raises(DataError, match="do not have all columns.*quarter"):
        by_formula.forecast(3, exog=frame[N:].drop(columns="quarter"))
    with pytest.raises(DataError, match="levels"):
        by_formula.forecast(3, exog=frame[N:].assign(quarter="9"))


def twice(values: Any) -> Any:
    return 2.0 * values


def bs(values: Any, df: int) -> Any:
    """Return two powers, where the function of patsy with this name returns ``df`` splines."""
    return np.column_stack([values, np.square(values)])


def test_a_function_of_the_caller_with_a_name_of_patsy_is_lost_by_pickling(frame: pd.DataFrame) -> None:
    model = sse.DynamicRegression.from_formula("A1 ~ bs(MKT, df=4)", frame[:N])
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        with pytest.raises(UnsupportedError, match="after pickling.*columns"):
            again.clone(frame["A1"][:N], frame[:N])


def test_a_function_of_the_caller_is_lost_by_pickling(frame: pd.DataFrame) -> None:
    model = sse.DynamicRegression.from_formula("A1 ~ twice(MKT)", frame[:N])
    again = pickle.loads(pickle.dumps(model)).smooth([4.0])
    with pytest.raises(UnsupportedError, match="after pickling.*twice"):
        again.forecast(3, exog=frame[N:])
    built = regressors_out_of_sample(model.design_info, frame[N:])
    assert_allclose(again.forecast(3, exog=built), model.smooth([4.0]).forecast(3, exog=built), rtol=1e-12)


def test_pickles_have_only_the_columns_that_the_formula_needs(frame: pd.DataFrame, by_formula: Any) -> None:
    assert by_formula.model.design_info.columns == ["MKT", "quarter", "a name"]
    assert len(pickle.dumps(by_formula.model.design_info)) < 20_000


def test_series_that_are_no_numbers(frame: pd.DataFrame) -> None:
    for change in ({"A1": frame["A1"].astype(object)}, {"A1": frame["quarter"]}, {"A1": frame["A1"] > 0}):
        with pytest.raises(DataError, match="must be numeric"):
            sse.DynamicRegression.from_formula("A1 ~ MKT", frame.assign(**change))
    nullable = frame["A1"].astype("Float64").mask(frame.index == frame.index[3])
    model = sse.DynamicRegression.from_formula(
        "A1 ~ MKT", frame.assign(A1=nullable, MKT=frame["MKT"].astype("Float64"))
    )
    assert np.flatnonzero(np.isnan(model.endog)).tolist() == [3]


def test_what_is_no_formula_or_frame(frame: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match="not a string"):
        sse.DynamicRegression.from_formula(None, frame)
    with pytest.raises(DataError, match="DataFrame"):
        sse.DynamicRegression.from_formula("A1 ~ MKT", dict(frame))
    with pytest.raises(SpecificationError, match="twice"):
        sse.DynamicRegression.from_formula(
            "A1 ~ MKT", frame, dynamics={"const": "static", "Intercept": "static"}
        )


# -- arguments ---------------------------------------------------------------------------------------------


def test_labels_of_a_known_start() -> None:
    """A mean and a covariance with the names of the states are put into their order."""
    y, x = simulated(np.random.default_rng(73), N, 2)
    names = ["MKT.A2", "const.A1", "MKT.A1", "const.A2"]
    root = np.random.default_rng(1).standard_normal((4, 5))
    mean, cov = pd.Series([2.0, 0.1, 1.0, 0.2], index=names), pd.DataFrame(root @ root.T, names, names)
    order = ["const.A1", "const.A2", "MKT.A1", "MKT.A2"]
    models = [
        sse.DynamicRegression(y, x, initialization="known", initial_state=m, initial_state_cov=c)
        for m, c in ((mean, cov), (mean[order].to_numpy(), cov.loc[order, order].to_numpy()))
    ]
    assert models[0].loglike([4.0, 0.5, 5.0]) == models[1].loglike([4.0, 0.5, 5.0])


@pytest.mark.parametrize(
    "start",
    [
        {"initial_state": np.zeros(4)},
        {"initial_state_cov": np.eye(4)},
        {"initial_state": "zero", "initial_state_cov": np.eye(4)},
        {"initial_state": np.zeros(4), "initial_state_cov": 1.0},
        {"initial_state": np.zeros(4), "initial_state_cov": np.full((4, 4), np.nan)},
        {"initial_state": np.full(4, np.inf), "initial_state_cov": np.eye(4)},
        {"initial_state": np.zeros(4) * 1j, "initial_state_cov": np.eye(4)},
        {"initial_state": [1.0, [2.0]], "initial_state_cov": np.eye(4)},
        {"initial_state": np.zeros(4), "initial_state_cov": np.eye(4) + np.eye(4, k=1)},
        {"initial_state": np.zeros(4), "initial_state_cov": np.diag([1.0, 1.0, 1.0, -1.0])},
    ],
    ids=str,
)
def test_refused_starts(start: dict) -> None:
    y, x = simulated(np.random.default_rng(73), N, 2)
    with pytest.raises(SpecificationError, match="initial_state"):
        sse.DynamicRegression(y, x, initialization="known", **start)


@pytest.mark.parametrize("kind", [None, 3, np.eye(2), ["diffuse"]], ids=str)
def test_refused_kinds_of_start(kind: Any) -> None:
    y, x = simulated(np.random.default_rng(73), N, 2)
    with pytest.raises(SpecificationError, match="initialization"):
        sse.DynamicRegression(y, x, initialization=kind)


@pytest.mark.parametrize("state_cov", ["full", "factor:7", None, np.eye(2), [["a", 0], [0, "a"]]], ids=str)
def test_refused_covariances_of_coefficients_that_do_not_move(state_cov: Any) -> None:
    y, x = simulated(np.random.default_rng(73), N, 2)
    with pytest.raises(SpecificationError, match="state_cov"):
        sse.DynamicRegression(y, x, state_cov=state_cov)


def test_arguments_changed_afterwards_do_not_change_the_model() -> None:
    y, x = simulated(np.random.default_rng(73), N, 2)
    pattern = np.full((2, 2), np.nan)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov=pattern)
    pattern[:] = 0.0
    assert model.clone(y, exog=x).param_names == model.param_names and len(model.param_names) == 6


@pytest.mark.parametrize("state_cov", [np.zeros((2, 2)), "zero", {"MKT": np.zeros((2, 2))}], ids=str)
def test_steps_fixed_at_zero_are_static_coefficients(state_cov: Any) -> None:
    y, x = simulated(np.random.default_rng(73), N, 2)
    res = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov=state_cov).fit()
    assert_allclose(res.llf, sse.DynamicRegression(y, x).fit().llf, rtol=0, atol=1e-8)
    assert res.state_cov_rank == {"MKT": 0} and "singular: rank 0 of 2" in res.summary().as_text()


@pytest.mark.parametrize("form", [lambda d: d, lambda d: d.to_numpy()], ids=["pandas", "numpy"])
def test_no_parameters(form: Any) -> None:
    """Everything fixed: a fit is a pass of the smoother, with results, a summary, forecasts, clones."""
    y, x = simulated(np.random.default_rng(73), N, 2)
    model = sse.DynamicRegression(form(y), form(x), obs_cov=np.eye(2))
    for method in ("auto", "em", "lbfgs"):
        res = model.fit(method=method)
        assert res.converged and len(res.params) == len(res.bse) == len(res.pvalues) == 0
        assert_allclose(res.llf, model.loglike([]), rtol=1e-14)
    assert res.summary().as_text() and res.cov_params().shape == (0, 0)
    assert model.score([]).shape == (0,)
    again = pickle.loads(pickle.dumps(res))
    assert len(again.params) == 0 and again.forecast(3, exog=FUTURE).shape == (3, 2)
    assert len(res.apply(form(y), exog=form(x), refit=True).params) == 0
