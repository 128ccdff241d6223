"""The forecaster of sktime, against sktime's own checks and against the results of the model."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse

MISSING = "sktime is not installed"


def data(index: str = "period") -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    n = 48
    made = {
        "period": pd.period_range("2019-01", periods=n, freq="M"),
        "datetime": pd.date_range("2019-01-01", periods=n, freq="MS"),
        "range": pd.RangeIndex(5, n + 5),
    }[index]
    x = pd.DataFrame({"rate": rng.standard_normal(n)}, made)
    common = rng.standard_normal(n).cumsum() * 0.3
    y = np.column_stack([common, 0.5 * common]) + 0.4 * rng.standard_normal((n, 2)) + 0.6 * x.to_numpy()
    return pd.DataFrame(y, made, ["a", "b"]), x


@pytest.mark.slow
def test_sktime_accepts_the_forecaster() -> None:
    pytest.importorskip("sktime", reason=MISSING)
    from sktime.utils.estimator_checks import check_estimator

    from statespace_ext.sktime import LGSSMForecaster

    found = check_estimator(LGSSMForecaster, raise_exceptions=False, verbose=False)
    assert len(found) > 100
    assert {name: result for name, result in found.items() if result != "PASSED"} == {}


@pytest.mark.parametrize("index", ["period", "datetime", "range"])
def test_forecasts_are_those_of_the_model(index: str) -> None:
    pytest.importorskip("sktime", reason=MISSING)
    from statespace_ext.sktime import LGSSMForecaster

    y, x = data(index)
    y.iloc[7, 1] = np.nan
    past, ahead = slice(0, 40), slice(40, 48)
    forecaster = LGSSMForecaster(k_factors=1, model_options={"obs_cov": "scalar"})
    forecaster.fit(y[past], X=x[past])
    model = sse.LGSSM(y[past], 1, exog=x[past], identification="unit", obs_cov="scalar")
    theirs = model.fit().get_forecast(8, exog=x[ahead])
    point = forecaster.predict(fh=[1, 3, 8], X=x[ahead])
    assert_allclose(point, theirs.predicted_mean.iloc[[0, 2, 7]])
    assert point.index.equals(y.index[[40, 42, 47]]) and list(point) == ["a", "b"]
    interval = forecaster.predict_interval(fh=[1, 3, 8], X=x[ahead], coverage=0.8)
    expected = theirs.conf_int(alpha=0.2).iloc[[0, 2, 7]]
    for name in y:
        for side in ("lower", "upper"):
            assert_allclose(interval[(name, 0.8, side)], expected[f"{side} {name}"])
    assert_allclose(forecaster.predict_var(fh=[1, 8], X=x[ahead]), theirs.se_mean.iloc[[0, 7]] ** 2)
    inside = forecaster.predict(fh=[-3, 0])
    assert_allclose(inside, forecaster.results_.predict().iloc[[-4, -1]])


def test_an_update_adds_data_with_or_without_a_new_fit() -> None:
    pytest.importorskip("sktime", reason=MISSING)
    from statespace_ext.sktime import LGSSMForecaster

    y, x = data()
    first = LGSSMForecaster().fit(y[:36], X=x[:36])
    kept = first.results_.append(y[36:40], exog=x[36:40])
    first.update(y[36:40], X=x[36:40], update_params=False)
    assert_allclose(first.predict([1, 2], X=x[40:42]), kept.forecast(2, exog=x[40:42]))
    first.update(y[40:44], X=x[40:44])
    again = sse.LGSSM(y[:44], 1, exog=x[:44], identification="unit").fit()
    assert_allclose(list(first.get_fitted_params().values()), again.params)


def test_a_missing_sktime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sktime.forecasting.base", None)
    module = runpy.run_path(str(Path(sse.__file__).with_name("sktime.py")), run_name="statespace_ext.sktime_")
    with pytest.raises(sse.UnsupportedError, match=r"sktime, which is not installed.*\[sktime\]"):
        module["LGSSMForecaster"]()
