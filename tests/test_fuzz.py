"""The short form of the fuzz run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fuzz
import numpy as np
import pandas as pd
import pytest
from edge_data import atsm, capm, factor_series, lgssm, returns, yields

import statespace_ext as sse


def test_random_calls_with_hostile_arguments() -> None:
    report = fuzz.run(calls=200, seconds=300.0, seed=0)
    assert not report.failures, "\n\n".join(report.failures)
    assert report.outcomes["answered"] > 30 and report.outcomes["SpecificationError"] > 30
    assert len(report.called) > 20  # methods and functions, not constructors alone


@pytest.mark.slow
def test_many_random_calls() -> None:
    report = fuzz.run(calls=10_000, seconds=600.0, seed=1000)
    assert not report.failures, "\n\n".join(report.failures)


@pytest.mark.parametrize("fits", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_fits_leave_no_memory_behind(fits: int) -> None:
    """The sample is 14 kB; compiled filters leave some hundred bytes of their own."""
    assert fuzz.leaked(fits) < 2_000 * fits + 30_000


def test_the_fuzzer_sees_a_changed_input() -> None:
    one, two = [np.zeros(3), {"a": np.ones(2)}], [np.zeros(3), {"a": np.array([1.0, 2.0])}]
    assert fuzz.same(one, one) and not fuzz.same(one, two)


def smoothed(model: Any = None) -> Any:
    model = lgssm(factor_series()) if model is None else model
    return model.smooth(model.start_params)


def of_returns() -> Any:
    return smoothed(capm(returns()))


def of_yields() -> Any:
    return smoothed(atsm(yields()))


FOUND: dict[str, Callable[[], Any]] = {
    "cov_kwds": lambda: capm(returns()).fit(cov_kwds=np.eye(2)),
    "cov_kwds of another type": lambda: capm(returns()).fit(cov_kwds=0.0),
    "dates": lambda: lgssm(factor_series(), dates=np.inf),
    "initialization": lambda: lgssm(factor_series(), initialization=np.eye(3)),
    "identification": lambda: lgssm(factor_series(), identification=np.eye(3)),
    "lags": lambda: lgssm(factor_series(), lags=10**12),
    "identification of yields": lambda: atsm(yields(), identification=np.eye(3)),
    "obs_cov of yields": lambda: atsm(yields(), obs_cov=np.eye(3)),
    "one period": lambda: lgssm(factor_series()[:1]).start_params,
    "one period of yields": lambda: atsm(yields()[:1]).start_params,
    "fig": lambda: smoothed().plot_factors(fig="figure"),
    "figsize": lambda: smoothed().plot_factors(figsize=1.5),
    "alpha": lambda: smoothed().plot_factors(alpha=2.0),
    "alpha of a table": lambda: smoothed().tidy(alpha="free"),
    "n_boot": lambda: smoothed().bootstrap(n_boot=1j),
    "method of the bootstrap": lambda: smoothed().bootstrap(method=pd.DataFrame({"x": [1.0]})),
    "rng of the bootstrap": lambda: smoothed().bootstrap(2, rng="auto"),
    "n_jobs": lambda: smoothed().profile("obs_var.y1", n_jobs=np.inf),
    "param": lambda: smoothed().profile(np.eye(2)),
    "grid": lambda: smoothed().profile("obs_var.y1", grid=[[1.0]]),
    "expanding": lambda: smoothed().rolling(50, expanding=np.zeros((0, 0))),
    "fit_options of windows": lambda: smoothed().rolling(50, fit_options="zero"),
    "model of windows": lambda: sse.rolling_fit(np.eye(2), 2),
    "lags of residuals": lambda: smoothed().test_serial_correlation(lags="zero"),
    "more lags than residuals": lambda: smoothed().test_serial_correlation(lags=200),
    "method of residuals": lambda: smoothed().test_serial_correlation(method="diagonal"),
    "n_sim": lambda: of_returns().test_constancy(n_sim=[[]]),
    "others": lambda: of_returns().compare("diagonal"),
    "which": lambda: of_returns().correlations(np.eye(2)),
    "refit_every": lambda: of_returns().rolling_evaluation(refit_every="zero"),
    "models": lambda: list(sse.fit_many(7)),
    "entries of models": lambda: list(sse.fit_many([("a", None)])),
    "fixed": lambda: list(sse.fit_many({}, fixed=lambda: None)),
    "checkpoint": lambda: list(sse.fit_many({}, checkpoint=1.5)),
    "a folder as checkpoint": lambda: list(sse.fit_many({}, checkpoint="")),
    "ic": lambda: sse.select_order(lgssm(factor_series()), [1], ic=np.zeros((0, 0))),
    "orders": lambda: sse.select_order(lgssm(factor_series()), slice(None)),
    "model of orders": lambda: sse.select_order(object(), [1]),
    "no model": lambda: sse.filter_report("model"),
    "no model with a score": lambda: sse.exact_score("model", [1.0]),
    "by": lambda: of_yields().pricing_error_summary(by=np.eye(2)),
    "date": lambda: of_yields().forward_curve([1.0], date={"a": 1}),
    "param_uncertainty": lambda: of_yields().yield_curve([1.0], param_uncertainty=np.eye(2)),
    "alpha of a curve": lambda: of_yields().plot_curve(alpha=b"bytes"),
    "maturities beyond all numbers": lambda: of_yields().forward_curve(10**12),
    "dates of a forecast": lambda: of_yields().forecast_yields(dates=np.full((3, 1), np.nan)),
    "two maturities": lambda: of_yields().plot_term_premium((1.0, 2.0)),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_the_fuzz_run_found(name: str) -> None:
    with pytest.raises((sse.SpecificationError, sse.DataError, sse.ParameterError)):
        FOUND[name]()
