"""Habits that users bring along: indexes, Series, printed models, misspelt names, plain English."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import statespace_ext as sse
from statespace_ext.fit.problem import ARGUMENTS

N, AHEAD = 60, 3
WHOLE = {
    "period": pd.period_range("2001-01", periods=N + AHEAD, freq="M"),
    "datetime": pd.date_range("2001-01-01", periods=N + AHEAD, freq="MS"),
    "quarters": pd.period_range("2001Q1", periods=N + AHEAD, freq="Q"),
}
INDEXES = {key: whole[:N] for key, whole in WHOLE.items()}


def later(index: Any) -> Any:
    """The periods after the sample."""
    return next(whole[N:] for whole in WHOLE.values() if whole[:N].equals(index))


def factor_series(index: Any, p: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    factor = np.convolve(rng.standard_normal(N + 20), 0.8 ** np.arange(20), mode="full")[20 : N + 20]
    y = np.outer(factor, np.linspace(1.0, 0.5, p)) + rng.standard_normal((N, p))
    return pd.DataFrame(y, index=index, columns=list("abcdefg")[:p])


def lgssm(endog: Any, **kwargs: Any) -> Any:
    return sse.LGSSM(endog, k_factors=1, identification="unit", **kwargs)


def regression(endog: Any, **kwargs: Any) -> Any:
    return sse.DynamicRegression(endog, market(endog.index).assign(const=1.0), obs_cov="diagonal", **kwargs)


def capm(endog: Any, **kwargs: Any) -> Any:
    return sse.CAPM(endog, market(endog.index), obs_cov="diagonal", state_cov="diagonal", **kwargs)


def atsm(endog: Any, **kwargs: Any) -> Any:
    panel = 0.05 + 0.002 * endog
    return sse.ATSM(panel, [1.0, 3.0, 7.0], k_factors=1, **kwargs)


def market(index: Any) -> pd.DataFrame:
    return pd.DataFrame({"MKT": np.random.default_rng(4).standard_normal(len(index))}, index=index)


MODELS: dict[str, Callable[..., Any]] = {
    "LGSSM": lgssm,
    "DynamicRegression": regression,
    "CAPM": capm,
    "ATSM": atsm,
}


def future(name: str, index: Any) -> dict[str, Any]:
    """Regressors after the sample, by model."""
    frame = market(later(index))
    return {"DynamicRegression": {"exog": frame.assign(const=1.0)}, "CAPM": {"market": frame}}.get(name, {})


def evaluated(name: str, index: Any) -> Any:
    """Results of a model at its start values: what is labelled does not depend on the fit."""
    model = MODELS[name](factor_series(index))
    return model.smooth(model.start_params)


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
@pytest.mark.parametrize("name", MODELS)
def test_the_index_is_kept_and_forecasts_are_dated(name: str, index: Any) -> None:
    res = evaluated(name, index)
    inside = [res.fittedvalues, res.resid, res.predict()]
    inside += [res.factors.smoothed, res.factors.filtered] if name in ("LGSSM", "ATSM") else []
    inside += [
        part
        for each in getattr(res, "coefficients", {}).values()
        for part in (each.smoothed, each.smoothed_se)
    ]
    for table in inside:
        pd.testing.assert_index_equal(table.index, index)
        assert table.index.freq == index.freq
    options = future(name, index)
    ahead = [res.forecast(AHEAD, **options), res.get_forecast(AHEAD, **options).conf_int()]
    ahead += [res.simulate(AHEAD, anchor="end", rng=1, **options)]
    ahead += [res.forecast_yields(AHEAD).estimate] if name == "ATSM" else []
    for table in ahead:
        pd.testing.assert_index_equal(table.index, later(index), check_names=False)
    by_date = res.forecast(later(index)[-1], **options)
    pd.testing.assert_frame_equal(by_date, ahead[0])


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
@pytest.mark.parametrize("name", ["LGSSM", "DynamicRegression", "CAPM"])
def test_a_series_gives_series(name: str, index: Any) -> None:
    endog = factor_series(index)["b"]
    model = MODELS[name](endog)
    res = model.smooth(model.start_params)
    options = future(name, index)
    tables = [res.fittedvalues, res.resid, res.forecast(AHEAD, **options)]
    tables += [res.simulate(AHEAD, anchor="end", rng=1, **options)]
    assert all(isinstance(table, pd.Series) for table in tables)
    assert [len(table) for table in tables] == [N, N, AHEAD, AHEAD]
    assert isinstance(res.params, pd.Series) and list(res.params.index) == model.param_names


def test_arrays_give_arrays() -> None:
    model = lgssm(factor_series(INDEXES["period"]).to_numpy())
    res = model.smooth(model.start_params)
    assert isinstance(res.forecast(AHEAD), np.ndarray) and isinstance(res.fittedvalues, np.ndarray)


# -- printed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_model_prints_what_it_is(name: str) -> None:
    endog = factor_series(INDEXES["period"])
    endog.iloc[3:12, 0] = np.nan
    model = MODELS[name](endog)
    text = str(model)
    assert text == repr(model) and "\n" not in text
    assert text.startswith(f"<{name}(")
    for part in ("3 series (a, b, c)", "60 periods from 2001-01 to 2005-12", "5 % missing"):
        assert part in text
    assert f"{len(model.param_names)} parameters" in text


def test_a_model_prints_the_arguments_that_were_chosen() -> None:
    endog = factor_series(None)
    assert str(lgssm(endog)).startswith("<LGSSM(k_factors=1, identification='unit'): 3 series")
    known = lgssm(endog["a"], initialization="known", initial_state=np.zeros(1), initial_state_cov=np.eye(1))
    assert "initial_state_cov=array (1, 1)" in str(known)
    assert "series a, 60 periods, " in str(known)


def test_a_model_does_not_print_what_it_computed() -> None:
    endog = factor_series(INDEXES["period"])
    model = atsm(endog)
    for each in (model, pickle.loads(pickle.dumps(model))):
        assert str(each).startswith("<ATSM(maturities=[1.0, 3.0, 7.0], k_factors=1): 3 series")
    panel = 2.0 + endog.set_axis(["1y", "3y", "7y"], axis=1)
    percent = sse.ATSM(panel, k_factors=1, units="percent")
    assert str(percent).startswith("<ATSM(k_factors=1, units='percent'): 3 series")
    assert "portfolio_weights=array (1, 3)" in str(atsm(endog, portfolio_weights=np.ones((1, 3))))
    assert str(sse.CAPM(endog, market(endog.index))).startswith("<CAPM(): 3 series")
    assert str(sse.CAPM(endog, market(endog.index), beta="ar1")).startswith("<CAPM(beta='ar1'): 3 series")


def test_results_print_what_they_are() -> None:
    res = lgssm(factor_series(INDEXES["datetime"])).fit()
    assert str(res) == repr(res) == repr(res._results)
    assert str(res) == f"<LGSSMResults: log-likelihood {res.llf:.6g}, converged; {res.model}>"
    with pytest.warns(sse.ConvergenceWarning):
        early = lgssm(factor_series(INDEXES["datetime"])).fit(maxiter=1)
    assert "NOT CONVERGED" in str(early)
    assert "onverged" not in str(res.model.smooth(res.params))
    assert "from 2001-01-01 to 2005-12-01" in str(res)


@pytest.mark.parametrize("name", ["LGSSM", "DynamicRegression", "CAPM", "ATSM"])
def test_help_shows_the_arguments_of_a_model(name: str) -> None:
    model = getattr(sse, name)
    shown = list(inspect.signature(model).parameters)
    assert shown == list(inspect.signature(model.__init__).parameters)[1:]
    assert "kwargs" not in shown


@pytest.mark.parametrize("name", MODELS)
def test_models_can_still_be_copied_and_pickled(name: str) -> None:
    model = MODELS[name](factor_series(INDEXES["period"]))
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert str(other) == str(model)


# -- misspelt names ----------------------------------------------------------------------------------------

MISSPELT = {
    "LGSSM": {"identifcation": "identification", "obscov": "obs_cov", "initial_value": "initial_state"},
    "DynamicRegression": {"dynamic": "dynamics", "statecov": "state_cov"},
    "CAPM": {"betas": "beta", "riskfree": "risk_free"},
    "ATSM": {"factor": "factors", "p_dynamic": "p_dynamics", "risk_price": "risk_prices"},
}


@pytest.mark.parametrize(
    ("name", "wrong", "right"), [(name, *pair) for name, pairs in MISSPELT.items() for pair in pairs.items()]
)
def test_a_misspelt_argument_of_a_model(name: str, wrong: str, right: str) -> None:
    message = rf"^{name}\(\) got an unexpected keyword argument '{wrong}'. The nearest name is {right}\.$"
    with pytest.raises(TypeError, match=message):
        MODELS[name](factor_series(INDEXES["period"]), **{wrong: None})


def test_an_argument_like_none_of_them() -> None:
    with pytest.raises(TypeError, match=r"'zzz'\. Known are endog, k_factors, lags"):
        lgssm(factor_series(None), zzz=1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("metod", "method"),
        ("maxitr", "maxiter"),
        ("progess", "progress"),
        ("maxfn", "maxfun"),
        ("n_start", "n_starts"),
    ],
)
def test_a_misspelt_argument_of_fit(name: str, wrong: str, right: str) -> None:
    model = MODELS[name](factor_series(INDEXES["period"]))
    with pytest.raises(sse.SpecificationError, match=rf"got {wrong};.* The nearest name is {right}\.$"):
        model.fit(**{wrong: 1})


def test_arguments_of_fit_are_those_that_can_be_meant() -> None:
    parameters = inspect.signature(sse.LGSSM.fit).parameters
    assert set(ARGUMENTS) == set(parameters) - {"self", "kwargs"}


@pytest.mark.parametrize("name", MODELS)
def test_a_misspelt_method(name: str) -> None:
    with pytest.raises(sse.SpecificationError, match=r"got 'lbgfs';.* The nearest name is lbfgs\.$"):
        MODELS[name](factor_series(INDEXES["period"])).fit(method="lbgfs")


@pytest.mark.parametrize("name", MODELS)
def test_a_misspelt_argument_of_predictions(name: str) -> None:
    res = evaluated(name, INDEXES["period"])
    for method in (res.get_prediction, res.predict):
        with pytest.raises(TypeError, match=r"'dynamc'. The nearest name is dynamic\."):
            method(dynamc=3)
    with pytest.raises(TypeError, match="'stps'"):
        res.forecast(stps=3)


# -- plain English -----------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    r"\b(?:is|are|was|were) (?:said|told)\b": "say who says it, or print and report",
    r"\band is said\b|\bis (?:none|no default)\b|\bare none\b": "negate the verb: is not, does not exist",
    r"(?<!there )(?<!There )\b(?:is|are) no (?!longer\b|more\b)\w+": "negate the verb: is not a, must be",
    r"\btells? of\b|\bwhat (?:is|was) (?:told|said) of\b": "describe, contain information on",
    r"\bthe way of\b|\bgoes the way\b|\bthe whole way\b": "name the method or the path",
    r"\bof one's own\b|\bof its own is\b|\ba day more\b": "your own; one more day",
    r"\bletters?\b": "notation, names",
    r"\bpeaks\b": "maxima",
    r"\bdo not mind\b|\bmore or less\b|\bnext to no\b": "say how much, or what a test finds",
    r"\bas (?:it is|they are) known to\b|\bbeside that\b": "drop it",
}
"""Phrases that need two readings, and what to write."""
ONLY_DOCS = {
    r"\b(?:PASS|FAIL)\b": "a reader does not know the aim of a benchmark",
    r"\baims? (?:is|are) (?:not met|missed)\b|\bmiss(?:es|ed) its aim\b": "say what was measured",
}


def prose(path: Path) -> str:
    """The words of a page or of a notebook, without code and what it prints."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text("utf-8"))["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = path.read_text("utf-8")
    return text if path.suffix == ".py" else re.sub(r"^```python\n.*?^```$", "", text, flags=re.M | re.S)


DOCUMENTS = [
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/benchmarks/*.md", "examples/*.ipynb")
    for path in sorted(ROOT.glob(pattern))
]
SOURCES = sorted((ROOT / "statespace_ext").rglob("*.py"))


@pytest.mark.parametrize("path", DOCUMENTS + SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_plain_english(path: Path) -> None:
    text = " ".join(prose(path).replace("#", " ").split())
    phrases = FORBIDDEN | (ONLY_DOCS if path in DOCUMENTS and path.name != "CONTRIBUTING.md" else {})
    found = {match[0]: words for phrase, words in phrases.items() for match in re.finditer(phrase, text)}
    assert found == {}
