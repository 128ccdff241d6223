"""
What it costs to append rows to a sample: not collected by pytest.

    python tests/benchmarks/bench_append.py

Each model is smoothed at its start values over the days of the sample; then one day after the other is
appended. "all rows" is the time in which the last of these models is smoothed anew, and "error" the relative
difference of the two log-likelihoods. Processor times of one thread.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import statespace_ext as sse

DAYS = 2500
LIMIT = 10.0
"""Seconds of 250 appends of a day on 5 assets."""
SHARE = 0.1
"""Largest time of an append over that of a pass over all rows, for 25 assets."""
EQUAL = 1e-10


class Case(NamedTuple):
    """A model of rows, and what a row more is called with."""

    name: str
    model: Callable[[slice], Any]
    more: Callable[[slice], dict[str, Any]]
    appends: int


def returns(assets: int, days: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return excess returns of assets, and a constant and the market."""
    rng = np.random.default_rng(assets)
    index = pd.bdate_range("2000-01-03", periods=days)
    market = 0.01 * rng.standard_normal(days)
    noise = 0.01 * rng.standard_normal((days, assets))
    values = market[:, None] * rng.uniform(0.5, 1.5, assets) + noise
    names = [f"asset{i}" for i in range(assets)]
    return pd.DataFrame(values, index, names), pd.DataFrame({"const": 1.0, "market": market}, index)


def regression(assets: int, appends: int, dynamic: bool = False) -> Case:
    """Return a CAPM, or a DynamicRegression of the same returns."""
    y, x = returns(assets, DAYS + appends)
    if dynamic:
        return Case(
            f"DynamicRegression, {assets} assets",
            lambda rows: sse.DynamicRegression(y[rows], x[rows]),
            lambda rows: {"endog": y[rows], "exog": x[rows]},
            appends,
        )
    return Case(
        f"CAPM, {assets} assets",
        lambda rows: sse.CAPM(y[rows], x["market"][rows]),
        lambda rows: {"endog": y[rows], "exog": x[rows]},
        appends,
    )


def factors(series: int, appends: int) -> Case:
    """Return an LGSSM with two factors."""
    y, _ = returns(series, DAYS + appends)
    return Case(
        f"LGSSM, {series} series",
        lambda rows: sse.LGSSM(100.0 * y[rows], 2, identification="triangular"),
        lambda rows: {"endog": 100.0 * y[rows]},
        appends,
    )


def curve(appends: int) -> Case:
    """Return an ATSM with three factors of seven maturities."""
    rng = np.random.default_rng(7)
    maturities = np.array([0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
    levels = 0.0005 * rng.standard_normal((DAYS + appends, 3)).cumsum(axis=0)
    shapes = np.stack([np.ones(7), np.exp(-0.5 * maturities), maturities * np.exp(-maturities)])
    y = 0.03 + levels @ shapes + 0.0002 * rng.standard_normal((DAYS + appends, 7))
    y = pd.DataFrame(y, pd.bdate_range("2000-01-03", periods=DAYS + appends))
    return Case(
        "ATSM, 7 maturities",
        lambda rows: sse.ATSM(y[rows], maturities, k_factors=3),
        lambda rows: {"endog": y[rows]},
        appends,
    )


def measured(case: Case) -> tuple[float, float, float]:
    """Return the time of an append, that of a pass over all rows, and the relative error of llf."""
    model = case.model(slice(0, DAYS))
    res = model.smooth(model.start_params, cov_type="none")
    began = time.process_time()
    for day in range(DAYS, DAYS + case.appends):
        res = res.append(**case.more(slice(day, day + 1)))
    each = (time.process_time() - began) / case.appends
    began = time.process_time()
    right = res.model.smooth(res.params, cov_type="none")
    return each, time.process_time() - began, abs(res.llf / right.llf - 1.0)


def main() -> int:
    """Print the table."""
    cases = [regression(5, 250), regression(25, 10), regression(5, 25, True), factors(5, 25), curve(25)]
    print(f"{'model':<30}{'appends':>8}{'an append':>11}{'all rows':>10}{'ratio':>8}{'error':>9}")
    broken = 0
    for case in cases:
        each, whole, error = measured(case)
        line = f"{case.name:<30}{case.appends:>8}{each:>10.3f}s{whole:>9.2f}s"
        print(f"{line}{each / whole:>8.3f}{error:>9.0e}", flush=True)
        broken += error > EQUAL
        broken += case.appends == 250 and each * 250 > LIMIT
        broken += "25 assets" in case.name and each > SHARE * whole
    print(f"limits broken: {broken}: {'PASS' if not broken else 'FAIL'}", file=sys.stderr)
    return int(broken > 0)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.exit(main())
