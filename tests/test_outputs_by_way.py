"""Residuals, decompositions, portfolios and tests of models, in every way to get results, by label."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext import components

N, AHEAD, CUT = 26, 2, 16
ALL = N + AHEAD
TRADING = pd.DatetimeIndex(
    pd.bdate_range("2024-01-02", periods=ALL + 3).delete([4, 9, N + 2])[:ALL].to_numpy()
)
STAMPS = pd.DatetimeIndex((pd.date_range("2020-03-25 16:30", periods=ALL + 2)).delete([3, 11]).to_numpy())
LABELS: dict[str, pd.Index] = {
    "periods": pd.period_range("2001-01", periods=ALL, freq="M", name="month"),
    "stamps with a time zone": STAMPS.tz_localize("Europe/Berlin"),
    "years": pd.Index(np.arange(1980, 1980 + ALL), name="year"),
    "trading days": TRADING,
    "text": pd.Index([f"round {i:02}" for i in range(ALL)]),
}
WAYS = ("fit", "smooth", "append", "extend", "apply", "pickle", "deepcopy", "clone")
RNG = np.random.default_rng(12)
X = RNG.standard_normal((ALL, 3))
Y = (
    np.cumsum(0.4 * RNG.standard_normal((ALL, 2)), axis=0)
    + X[:, :1] * [1.0, 0.6]
    + RNG.standard_normal((ALL, 2))
)
Y[[5, 19], [0, 1]] = np.nan
SCALE = np.exp(0.3 * RNG.standard_normal((ALL, 2)))
WHEN = np.where(np.arange(ALL) < 12, "before", "after")
PATTERNS = {"before": [["r", 0], [0, "s"]], "after": [["2*r", 0], [0, "q"]]}
LEVELS = {"transition": "identity", "obs_intercept": "zero", "initialization": "diffuse"}


def endog(index: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(Y[: len(index)], index, ["A", "B"])


def factors(index: pd.Index, rows: slice) -> pd.DataFrame:
    return pd.DataFrame(X[rows, :2], index[rows], ["MKT", "SMB"])


def own(index: pd.Index, rows: slice) -> dict[str, pd.DataFrame]:
    both = factors(index, rows).assign(const=1.0)
    return {"A": both.assign(size=X[rows, 2]), "B": both.drop(columns="SMB")}


@dataclass(frozen=True)
class Subject:
    """A model of rows of the data, and the inputs that rows of later periods need."""

    build: Callable[[pd.Index, slice], Any]
    inputs: Callable[[pd.Index, slice], dict[str, Any]]
    is_regression: bool = False


def nothing(index: pd.Index, rows: slice) -> dict[str, Any]:
    return {}


def scale(index: pd.Index, rows: slice) -> pd.DataFrame:
    return pd.DataFrame(SCALE[rows], index[rows], ["A", "B"])


SUBJECTS = {
    "constraints": Subject(
        lambda index, rows: sse.CAPM(endog(index)[rows], factors(index, rows), state_cov="diagonal",
                                     constraints="SMB.A = SMB.B, alpha.A = 2*alpha.B"),
        lambda index, rows: {"market": factors(index, rows)},
        True,
    ),
    "regressors by series": Subject(
        lambda index, rows: sse.DynamicRegression(endog(index)[rows], own(index, rows), state_cov="diagonal",
                                                  dynamics={"MKT": "local_linear", "size": "ar1"}),
        lambda index, rows: {"exog": own(index, rows)},
        True,
    ),
    "a scale": Subject(
        lambda index, rows: sse.CAPM(endog(index)[rows], factors(index, rows)["MKT"], state_cov="scalar",
                                     obs_scale=scale(index, rows)),
        lambda index, rows: {"market": factors(index, rows)["MKT"], "obs_scale": scale(index, rows)},
        True,
    ),
    "regimes": Subject(
        lambda index, rows: sse.LGSSM(
            endog(index)[rows], 1, design=[[1], [1]], state_cov="diagonal", **LEVELS,
            obs_cov=sse.Regimes(WHEN[rows], PATTERNS)),
        lambda index, rows: {"obs_cov": WHEN[rows]},
    ),
    "components": Subject(
        lambda index, rows: (components.trend("local_level", loadings=[1, 0.5])
                             + components.seasonal(4)).lgssm(endog(index)[rows]),
        nothing,
    ),
    "words of MARSS": Subject(
        lambda index, rows: sse.from_marss(endog(index)[rows], {"Z": "onestate", "tinitx": 1, "U": "zero",
                                                                "V0": [[1.0]], "A": "zero"},
                                           d=factors(index, rows)[["MKT"]]),
        lambda index, rows: {"exog": factors(index, rows)[["MKT"]]},
    ),
}  # fmt: skip


def params_of(model: Any) -> np.ndarray:
    """Return parameters away from zero and from the boundary."""
    values = {"var": 0.3, "cov": 0.1, "ar1": 0.6}
    return np.array([next((v for k, v in values.items() if k in name), 0.4) for name in model.param_names])


def results(subject: Subject, way: str, index: pd.Index) -> Any:
    """Return results on all periods of the sample."""
    whole, first, later = slice(0, N), slice(0, CUT), slice(CUT, N)
    y = endog(index)
    model = subject.build(index, whole)
    at = params_of(model)
    if way == "fit":
        return model.fit(
            at, method="em" if not subject.is_regression else "lbfgs", maxiter=1, cov_type="none"
        )
    if way in ("append", "extend"):
        start = subject.build(index, first)
        part = start.smooth(at[[model.param_names.index(name) for name in start.param_names]])
        return getattr(part, way)(y[later], **subject.inputs(index, later))
    res = model.smooth(at)
    if way == "apply":
        return (
            subject.build(index, whole)
            .smooth(at * 1.1)
            .model.smooth(at)
            .apply(y[whole], **subject.inputs(index, whole))
        )
    if way == "clone":
        return model.clone(y[whole], **subject.inputs(index, whole)).smooth(at)
    return {"smooth": lambda: res, "pickle": lambda: pickle.loads(pickle.dumps(res)),
            "deepcopy": lambda: copy.deepcopy(res)}[way]()  # fmt: skip


def by_period(subject: Subject, res: Any) -> dict[str, pd.DataFrame]:
    """Return the outputs with one row a period of the results."""
    out = {f"residuals {kind}": res.residuals(kind) for kind in ("innovations", "smoothed", "auxiliary")}
    augmented = res.augment()
    out |= {f"augment {name}": augmented.pivot(index="period", columns="series", values=name).reindex(
        augmented["period"].unique()) for name in ("fitted", "std_error", "std_residual")}  # fmt: skip
    parts = res.historical_decomposition()
    out["decomposition"] = parts.T.groupby(level="variable").sum().T[["A", "B"]]
    out["imputed"] = res.impute().data
    if subject.is_regression:
        portfolio = res.portfolio({"A": 0.4, "B": 0.6})
        out |= {f"portfolio {key}": each.smoothed for key, each in portfolio.coefficients.items()}
        out |= {f"se {key}": each.smoothed_se for key, each in portfolio.coefficients.items()}
        out |= {f"filtered {key}": each.filtered for key, each in res.coefficients.items()}
    return out


def at_the_end(subject: Subject, res: Any, index: pd.Index) -> dict[str, Any]:
    """Return the outputs about the end of the sample and later periods, which have the labels of inputs."""
    inputs = subject.inputs(index, slice(N, ALL))
    forecast = res.get_forecast(AHEAD, **inputs)
    if "exog" in inputs or "market" in inputs or index is LABELS["periods"] or index is LABELS["years"]:
        assert list(forecast.predicted_mean.index) == list(index[N:])
    out = {"forecast": forecast.predicted_mean, "error": forecast.se_mean, "fevd": res.fevd(AHEAD, **inputs),
           "outliers": res.outliers(1.0)[["statistic", "size", "se"]]}  # fmt: skip
    if subject.is_regression:
        test = res.test_coefficients("MKT.A = MKT.B", date=index[N - 1], n_sim=2, rng=0)
        out |= {"test": [test.statistic], "test's estimate": test.estimate}
    return out


@cache
def expected(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outputs of the whole sample, smoothed, with months as labels."""
    subject, index = SUBJECTS[name], LABELS["periods"]
    res = results(subject, "smooth", index)
    return by_period(subject, res), at_the_end(subject, res, index)


quiet_labels = pytest.mark.filterwarnings(
    "ignore:.*(labels|label|rule|steps 1, 2).*", "ignore:.*[Mm]aximum.*", "ignore:.*did not converge.*"
)


COMBINATIONS = [
    (name, way, label)
    for i, name in enumerate(SUBJECTS)
    for j, way in enumerate(WAYS)
    for k, label in enumerate(LABELS)
    if (i + j + k) % len(LABELS) == 0
]
"""Every pair of a subject, a way and a kind of label stands in one of them."""


@quiet_labels
@pytest.mark.parametrize(("name", "way", "label"), COMBINATIONS)
def test_outputs_are_those_of_the_whole_sample(name: str, way: str, label: str) -> None:
    subject, index = SUBJECTS[name], LABELS[label]
    res = results(subject, way, index)
    before, after = expected(name)
    if way == "fit":
        again = SUBJECTS[name].build(LABELS["periods"], slice(0, N)).smooth(np.asarray(res.params))
        before, after = by_period(subject, again), at_the_end(subject, again, LABELS["periods"])
    first = CUT if way == "extend" else 0
    for key, found in by_period(subject, res).items():
        want = before[key].to_numpy()[first:]
        assert list(found.index) == list(index[first:N]), key
        if way == "extend" and "state" in str(found.columns):
            found, want = found.iloc[:-1], want[:-1]
        assert_allclose(found.to_numpy(), want, rtol=1e-6, atol=1e-7, err_msg=key)
    for key, found in at_the_end(subject, res, index).items():
        if way == "extend" and key == "outliers":
            continue
        assert_allclose(found, after[key], rtol=1e-6, atol=1e-7, err_msg=key)
