"""
The Chandrasekhar recursions against the Kalman filter. Not collected by pytest.

    python tests/benchmarks/bench_filters.py

A seasonal autoregression with 186 states and 407 monthly observations, on simulated data, and a model of the
size of a DSGE model whose covariances do not converge. Each compares ``loglike`` of statsmodels' Kalman
filter with statsmodels' recursions and with `use_chandrasekhar`. With one thread of BLAS times are processor
times, with several (a second process) those of a clock; runs alternate, and medians are compared.
"""

from __future__ import annotations

import os
import subprocess
import sys

os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[1] if len(sys.argv) > 1 else "1"
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"]

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import statsmodels.api as sm
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse

THREADS = os.environ["OPENBLAS_NUM_THREADS"]
RUNS = 9 if THREADS == "1" else 3
CLOCK = time.process_time if THREADS == "1" else time.perf_counter


class Table:
    """Rows of a figure, its limit and the verdict."""

    def __init__(self) -> None:
        self.failed = 0
        title = f"loglike, {THREADS} thread(s) of BLAS"
        print(f"{title:<54}{'Kalman':>10}{'other':>10}{'ratio':>8}{'limit':>9}")

    def row(self, what: str, kalman: float, other: float, limit: float | None = None) -> None:
        """Print one row."""
        ratio = kalman / other
        self.failed += limit is not None and ratio < limit
        verdict = "" if limit is None else f"{f'>= {limit:g}':>9}  {'PASS' if ratio >= limit else 'FAIL'}"
        print(f"{what:<54}{1e3 * kalman:>8.1f}ms{1e3 * other:>8.1f}ms{ratio:>8.2f}{verdict}", flush=True)


def medians(calls: list[Callable[[], Any]]) -> list[float]:
    """Return the median times of calls that take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(RUNS):
        for call, taken in zip(calls, times, strict=True):
            start = CLOCK()
            call()
            taken.append(CLOCK() - start)
    return [median(taken) for taken in times]


def inflation(n: int = 407) -> np.ndarray:
    """Simulate a monthly series with a slowly changing season."""
    rng = np.random.default_rng(1986)
    y = np.concatenate([10.0 * rng.standard_normal(12), np.zeros(n)])
    for t in range(12, len(y)):
        y[t] = 0.9 * y[t - 12] + 0.1 * y[t - 1] + 4.0 * rng.standard_normal()
    return y[12:]


class Large(MLEModel):
    """Of the size of a DSGE model: 50 states, 7 series, 7 shocks, roots from 0 to 0.998, times phi."""

    start_params = np.array([1.0])
    param_names = ("phi",)

    def __init__(self, n: int, tolerance: float) -> None:
        rng = np.random.default_rng(50)
        k, p = 50, 7
        axes = np.linalg.qr(rng.standard_normal((k, k)))[0]
        self.transition = (axes * np.linspace(0.0, 0.998, k)) @ axes.T
        super().__init__(rng.standard_normal((n, p)), k_states=k, k_posdef=p, tolerance=tolerance)
        self["design"], self["selection"] = rng.standard_normal((p, k)), rng.standard_normal((k, p))
        self["state_cov"], self["obs_cov"] = np.eye(p), 0.1 * np.eye(p)
        self.ssm.initialize_stationary()

    def update(self, params: Any, **kwargs: Any) -> Any:
        params = super().update(params, **kwargs)
        self["transition"] = params[0] * self.transition
        return params


def compare(table: Table, what: str, build: Callable[[], Any], params: Any, limit: float | None) -> None:
    """Compare the Kalman filter with the recursions of statsmodels, also univariate, and with ours."""
    kalman, theirs, univariate, ours = (build() for _ in range(4))
    theirs.ssm.filter_chandrasekhar = True
    univariate.ssm.filter_chandrasekhar = univariate.ssm.filter_univariate = True
    sse.use_chandrasekhar(ours, params)
    models = (kalman, theirs, univariate, ours)
    exact, *others = (model.loglike(params) for model in models)
    if not np.allclose(others, exact, rtol=1e-8):
        raise SystemExit(f"the log-likelihoods differ: {exact}, {others}")
    times = medians([lambda model=model: model.loglike(params) for model in models])
    table.row(f"{what}: statsmodels' recursions", times[0], times[1])
    table.row(f"{what}: univariate with recursions", times[0], times[2])
    table.row(f"{what}: use_chandrasekhar", times[0], times[3], limit)


def main() -> int:
    """Print the table."""
    table = Table()
    y = inflation()

    def seasonal(**options: Any) -> Any:
        return sm.tsa.SARIMAX(y, order=(6, 0, 0), seasonal_order=(15, 0, 0, 12), **options)

    params = seasonal().start_params
    single = THREADS == "1"
    compare(table, "186 states, tolerance 0", lambda: seasonal(tolerance=0), params, 4.0 if single else None)
    compare(table, "186 states, convergence", seasonal, params, 3.2 if single else None)
    compare(table, "50 states, 7 series", lambda: Large(407, 1e-19), [1.0], 1.0 if single else None)
    models = {"186 states": (seasonal(), params), "50 states": (Large(407, 1e-19), [1.0])}
    for name, (model, at) in models.items():
        model.update(at)
        period = model.ssm.filter().period_converged
        print(f"{name}: converged at t = {period}" if period else f"{name}: not converged after {model.nobs}")
    return table.failed


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    failed = main()
    if THREADS == "1":
        print(flush=True)
        failed += subprocess.run([sys.executable, __file__, "2"]).returncode
    sys.exit(int(failed > 0))
