"""The short form of the fuzz run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fuzz
import numpy as np
import pytest
from edge_data import atsm, capm, factor_series, lgssm, returns, yields

import statespace_ext as sse


def test_random_calls_with_hostile_arguments() -> None:
    report = fuzz.run(calls=250, seconds=30.0, seed=0)
    assert not report.failures, "\n\n".join(report.failures)
    assert report.outcomes["answered"] > 30 and report.outcomes["SpecificationError"] > 30


@pytest.mark.slow
def test_many_random_calls() -> None:
    report = fuzz.run(calls=10_000, seconds=600.0, seed=1000)
    assert not report.failures, "\n\n".join(report.failures)


@pytest.mark.parametrize("fits", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_fits_leave_no_memory_behind(fits: int) -> None:
    """The sample is 14 kB; compiled filters leave some hundred bytes of their own."""
    assert fuzz.leaked(fits) < 2_000 * fits + 30_000


def test_the_fuzzer_sees_a_changed_input() -> None:
    one, two = [np.zeros(3), {"a": np.ones(2)}], [np.zeros(3), {"a": np.array([1.0, 2.0])}]
    assert fuzz.same(one, one) and not fuzz.same(one, two)


def smoothed() -> Any:
    model = lgssm(factor_series())
    return model.smooth(model.start_params)


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
}


@pytest.mark.parametrize("name", FOUND)
def test_what_the_fuzz_run_found(name: str) -> None:
    with pytest.raises((sse.SpecificationError, sse.DataError)):
        FOUND[name]()
