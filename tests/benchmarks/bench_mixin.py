"""
Fits of statsmodels' models with `ExactScoreMixin` against those without. Not collected by pytest.

    python tests/benchmarks/bench_mixin.py [NAME]

Default fits (``fit(disp=False)``), without and with the mixin in turn, each on a new model; times are the
least processor time of one thread of several runs. The third column of times is that of the mixin with
``optim_score="exact"``. "gain" is the log-likelihood above that of the plain fit. A row passes where the
fit with the mixin has at least 0.85 of the speed of the plain one and no lower log-likelihood, beyond 1e-5.
NAME restricts the rows to those that contain it.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import statsmodels.api as sm
from statsmodels.regression.recursive_ls import RecursiveLS
from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing

import statespace_ext as sse

SPEED, LOWER = 0.85, 1e-5
LEAST_TIME, RUNS = 1.0, (3, 31)
"""Runs go on for this time of a plain fit together, within these numbers."""
SARIMAX, UC, VARMAX = sm.tsa.SARIMAX, sm.tsa.UnobservedComponents, sm.tsa.VARMAX
Factor = sm.tsa.DynamicFactor
Row = tuple[Any, np.ndarray, dict[str, Any]]


def arma(rng: np.random.Generator, n: int) -> np.ndarray:
    """Simulate an ARMA(1, 1)."""
    noise, y = rng.normal(size=n + 100), np.zeros(n + 100)
    for t in range(1, n + 100):
        y[t] = 0.7 * y[t - 1] + noise[t] + 0.4 * noise[t - 1]
    return y[100:]


MACRO = sm.datasets.macrodata.load_pandas().data
INFLATION, GDP = MACRO["infl"].to_numpy(), MACRO["realgdp"].to_numpy()
CO2 = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().ffill().to_numpy()
NILE = sm.datasets.nile.load_pandas().data["volume"].to_numpy()
SERIES = ["realgdp", "realcons", "realinv", "realgovt", "realdpi", "m1", "cpi", "pop"]
RNG = np.random.default_rng(0)
SHORT, MIDDLE, LONG = (arma(RNG, n) for n in (100, 500, 2000))
X = RNG.normal(size=(500, 16))


def growth(p: int) -> np.ndarray:
    """Return standardised growth rates of p series, 202 quarters."""
    rates = np.diff(np.log(MACRO[SERIES[:p]].to_numpy()), axis=0)
    return (rates - rates.mean(axis=0)) / rates.std(axis=0)


def with_inputs(m: int) -> np.ndarray:
    """Return a series of 500 periods that depends on m inputs."""
    return MIDDLE + X[:, :m].sum(axis=1)


def of_one_series() -> dict[str, Row]:
    """Return class, data and options by name."""
    seasonal = MIDDLE + np.tile(np.arange(24) / 6.0, 21)[:500]
    cycle = {"level": "rtrend", "cycle": True, "stochastic_cycle": True, "damped_cycle": True}
    airline = {"order": (0, 1, 1), "seasonal_order": (0, 1, 1, 12)}
    quarterly = {"order": (2, 1, 1), "seasonal_order": (1, 0, 1, 4)}
    harmonics = [{"period": 12, "harmonics": 4}]
    rows: dict[str, Row] = {
        f"SARIMAX {order}, n = {len(y)}": (SARIMAX, y, {"order": order})
        for order, y in (
            ((1, 0, 1), SHORT), ((1, 0, 1), LONG), ((1, 1, 1), INFLATION), ((2, 0, 2), MIDDLE),
            ((4, 0, 0), MIDDLE), ((8, 0, 0), MIDDLE), ((3, 0, 3), LONG), ((12, 0, 0), LONG),
            ((24, 0, 0), MIDDLE),
        )
    }  # fmt: skip
    rows |= {
        "SARIMAX airline": (SARIMAX, CO2, airline),
        "SARIMAX quarterly": (SARIMAX, GDP / 1e3, quarterly),
        "SARIMAX concentrated": (SARIMAX, MIDDLE, {"order": (2, 0, 1), "concentrate_scale": True}),
        "SARIMAX (2,0,2), 16 inputs": (SARIMAX, with_inputs(16), {"order": (2, 0, 2), "exog": X}),
        "SARIMAX (12,0,2), 6 inputs": (SARIMAX, with_inputs(6), {"order": (12, 0, 2), "exog": X[:, :6]}),
    }
    for m in (5, 12):
        rows[f"SARIMAX (1,0,1), {m} inputs"] = SARIMAX, with_inputs(m), {"order": (1, 0, 1), "exog": X[:, :m]}
        rows[f"UC level, {m} inputs"] = UC, with_inputs(m), {"level": "llevel", "exog": X[:, :m]}
        rows[f"RecursiveLS, {m} inputs"] = RecursiveLS, with_inputs(m), {"exog": X[:, :m]}
    return rows | {
        "UC level": (UC, NILE, {"level": "llevel"}),
        "UC trend": (UC, INFLATION, {"level": "lltrend"}),
        "UC level and AR(2)": (UC, INFLATION, {"level": "llevel", "autoregressive": 2}),
        "UC level and AR(12)": (UC, INFLATION, {"level": "llevel", "autoregressive": 12}),
        "UC seasonal": (UC, CO2, {"level": "lltrend", "seasonal": 12}),
        "UC harmonics": (UC, CO2, {"level": "lltrend", "freq_seasonal": harmonics}),
        "UC cycle": (UC, 100.0 * np.log(GDP), cycle),
        "UC seasonal, 16 inputs": (UC, with_inputs(16), {"level": "lltrend", "seasonal": 12, "exog": X}),
        "ETS": (ExponentialSmoothing, INFLATION, {}),
        "ETS trend": (ExponentialSmoothing, CO2, {"trend": True}),
        "ETS damped, season 4": (
            ExponentialSmoothing,
            INFLATION,
            {"trend": True, "damped_trend": True, "seasonal": 4},
        ),
        "ETS trend, season 12": (ExponentialSmoothing, CO2, {"trend": True, "seasonal": 12}),
        "ETS season 24": (ExponentialSmoothing, seasonal, {"seasonal": 24}),
    }


def of_several_series() -> dict[str, Row]:
    """Return class, data and options by name."""
    rows: dict[str, Row] = {
        f"VARMAX {order}, p = {p}": (VARMAX, growth(p), {"order": order})
        for order, p in (
            ((1, 0), 2), ((2, 0), 2), ((4, 0), 2), ((1, 0), 3), ((2, 0), 3), ((1, 0), 5), ((0, 1), 2),
            ((1, 1), 2), ((2, 1), 2), ((1, 2), 2), ((1, 1), 3), ((0, 2), 3),
        )
    }  # fmt: skip
    for p in (2, 3):
        options = {"order": (1, 0), "measurement_error": True}
        rows[f"VARMAX (1,0), noise, p = {p}"] = VARMAX, growth(p), options
    rows["VARMAX (1,0), inputs, p = 3"] = VARMAX, growth(3), {"order": (1, 0), "exog": X[:202, :2]}
    for p, k, order, own in (
        (3, 1, 1, 0), (4, 1, 2, 0), (5, 1, 1, 1), (6, 2, 1, 0), (8, 1, 1, 0), (8, 1, 1, 1), (8, 2, 2, 0),
    ):  # fmt: skip
        options = {"k_factors": k, "factor_order": order, "error_order": own}
        rows[f"DynamicFactor {k},{order},{own}, p = {p}"] = Factor, growth(p), options
    return rows


def timed(kind: Any, y: np.ndarray, options: dict[str, Any], how: dict[str, Any]) -> tuple[float, Any]:
    """Return the processor time of a fit, and the fit."""
    model = kind(y, **options)
    start = time.process_time()
    res = model.fit(**how)
    return time.process_time() - start, res


def compared(kind: Any, y: np.ndarray, options: dict[str, Any]) -> tuple[list[float], list[Any]]:
    """Return the least times of fits in turn, and the fits: plain, with the mixin, by the exact score."""
    exact = type(kind.__name__, (sse.ExactScoreMixin, kind), {})
    quiet: dict[str, Any] = {} if kind is RecursiveLS else {"disp": False}
    always = quiet if kind is RecursiveLS else {**quiet, "optim_score": "exact"}
    each = [(kind, quiet), (exact, quiet), (exact, always)]
    times: list[list[float]] = [[], [], []]
    while len(times[0]) < RUNS[0] or (sum(times[0]) < LEAST_TIME and len(times[0]) < RUNS[1]):
        runs = [timed(which, y, options, how) for which, how in each]
        for taken, (seconds, _) in zip(times, runs, strict=True):
            taken.append(seconds)
    return [min(taken) for taken in times], [res for _, res in runs]


def main(part: str) -> int:
    """Print the table."""
    print(f"{'':<30}{'params':>6}{'states':>7}{'plain':>9}{'mixin':>9}{'exact':>9}{'speed':>7}{'gain':>9}")
    failed = 0
    for name, row in {**of_one_series(), **of_several_series()}.items():
        if part not in name:
            continue
        (plain, ours, exact), fits = compared(*row)
        gain, model = fits[1].llf - fits[0].llf, fits[0].model
        passed = plain / ours >= SPEED and gain >= -LOWER
        failed += not passed
        print(
            f"{name:<30}{len(fits[0].params):>6}{model.k_states:>7}{1e3 * plain:>7.0f}ms{1e3 * ours:>7.0f}ms"
            f"{1e3 * exact:>7.0f}ms{plain / ours:>7.2f}{gain:>9.1e}  {'PASS' if passed else 'FAIL'}",
            flush=True,
        )
    return int(failed > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main("".join(sys.argv[1:])))
