"""
Fits of regressions of many assets on one market, against the aims. Not collected by pytest.

    python tests/benchmarks/bench_capm_scale.py [--quick]

Default fits (``fit(cov_type="none")``) on simulated returns, in processor time of one thread. "score" is the
time of one log-likelihood with its gradient, "pass" that of the same by a pass of the smoother. "flops" is
how many of its 6 n p^2 + 20 p^3 multiplications a score does in a second. --quick leaves out 49 assets,
"fit_many" and most windows of the industries.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from capm import BETA_MOVES, simulated

import statespace_ext as sse
from statespace_ext.base.model import StateSpaceModel

SHARED: tuple[tuple[str, int, int, dict[str, Any], float], ...] = (
    ("W factor:1", 480, 25, {"state_cov": "factor:1"}, 20.0),
    ("V factor:2, W factor:1", 480, 25, {"obs_cov": "factor:2", "state_cov": "factor:1"}, 20.0),
    ("W proportional", 480, 25, {"state_cov": "proportional"}, 20.0),
    ("W diagonal", 480, 49, {"state_cov": "diagonal"}, 20.0),
    ("V, W unstructured", 819, 10, {}, 4.0),
)


def model(n: int, p: int, options: dict[str, Any], dynamics: dict[str, str] = BETA_MOVES) -> Any:
    """Return a regression of p assets over n periods, of simulated returns."""
    return sse.DynamicRegression(*simulated(np.random.default_rng(p), n, p), dynamics=dynamics, **options)


def seconds(function: Callable[[], Any], runs: int = 1) -> float:
    """Return the median processor time of a call."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return median(taken)


def fitted(given: Any) -> tuple[float, Any]:
    """Return the processor time of a default fit, and the fit."""
    start = time.process_time()
    res = given.fit(cov_type="none")
    return time.process_time() - start, res


def scores(given: Any, params: np.ndarray) -> tuple[float, float]:
    """Return the times of a score along the axes of the regressors, and of one by a pass."""
    given.loglike_and_score(params)
    StateSpaceModel.loglike_and_score(given, params)
    fast = seconds(lambda: given.loglike_and_score(params), 21)
    return fast, seconds(lambda: StateSpaceModel.loglike_and_score(given, params), 3)


def shared_regressors(quick: bool) -> int:
    """Print the rows of regressions with one random walk."""
    title = f"{'beta a random walk':<32}{'n':>5}{'p':>4}{'params':>8}{'fit':>8}{'score':>9}{'pass':>9}"
    print(f"{title}{'flops':>8}{'limit':>8}")
    failed = 0
    for name, n, p, options, limit in SHARED:
        if quick and p > 25:
            continue
        given = model(n, p, options)
        taken, res = fitted(given)
        fast, slow = scores(given, np.asarray(res.params))
        passed = taken <= limit and bool(res.converged)
        failed += not passed
        speed = (6 * n * p**2 + 20 * p**3) / fast / 1e9
        print(
            f"{name:<32}{n:>5}{p:>4}{len(res.params):>8}{taken:>7.1f}s{1e3 * fast:>7.2f}ms"
            f"{1e3 * slow:>7.1f}ms{speed:>7.1f}G{limit:>7g}s  {'PASS' if passed else 'FAIL'}",
            flush=True,
        )
    return failed


def several_walks(quick: bool) -> int:
    """Print the rows of 12 industries on several factors, whose fits need passes of the smoother."""
    data = sse.datasets.load_industries()
    excess = data.returns.sub(data.risk_free, axis=0)
    print(
        f"\n{'12 industries, 120 months':<32}{'n':>5}{'p':>4}{'params':>8}{'fit':>8}{'score':>9}{'scores':>9}"
    )
    failed = 0
    for factors, first in ((3, 0), (3, 400), (4, 0), (4, 400))[: 1 if quick else None]:
        rows = slice(first, first + 120)
        given = sse.CAPM(excess.iloc[rows], data.factors.iloc[rows, :factors])
        score, count = given.loglike_and_score, [0]

        def counted(params: np.ndarray, score: Any = score, count: list[int] = count) -> Any:
            count[0] += 1
            return score(params)

        given.loglike_and_score = counted
        taken, res = fitted(given)
        scores = count[0]
        one = seconds(lambda given=given, res=res: given.loglike_and_score(np.asarray(res.params)), 11)
        failed += not res.converged
        name = f"{factors} factors, from {excess.index[first]:%Y-%m}"
        print(
            f"{name:<32}{120:>5}{12:>4}{len(res.params):>8}{taken:>7.1f}s{1e3 * one:>7.1f}ms{scores:>9}"
            f"{'PASS' if res.converged else 'FAIL':>15}",
            flush=True,
        )
    return failed


def autoregressive() -> int:
    """Print the rows of autoregressive coefficients."""
    print(f"\n{'beta ar1':<32}{'n':>5}{'p':>4}{'params':>8}{'fit':>8}{'limit':>17}")
    failed = 0
    for p in (2, 3, 4):
        for kind in ("unstructured", "diagonal"):
            taken, res = fitted(model(90, p, {"state_cov": kind}, {"MKT": "ar1"}))
            passed = taken <= 1.0 and bool(res.converged)
            failed += not passed
            print(
                f"{f'W {kind}':<32}{90:>5}{p:>4}{len(res.params):>8}{taken:>7.1f}s{'1s':>17}"
                f"  {'PASS' if passed else 'FAIL'}",
                flush=True,
            )
    return failed


def one_by_one() -> int:
    """Print the time a fit takes where assets are fitted one by one."""
    print(f"\n{'fit_many, one asset a model':<32}{'n':>5}{'fits':>12}{'a fit':>8}{'limit':>17}")
    failed = 0
    for n, count, limit in ((2500, 10, 0.3), (500, 100, None)):
        y, x = simulated(np.random.default_rng(n), n, count)
        models = {str(name): sse.DynamicRegression(y[name], x, dynamics=BETA_MOVES) for name in y}
        start = time.process_time()
        records = list(sse.fit_many(models, {"cov_type": "none"}))
        taken = (time.process_time() - start) / count
        passed = limit is None or taken <= limit and all(record.converged for record in records)
        failed += not passed
        verdict = "" if limit is None else f"{f'{limit:g}s':>17}  {'PASS' if passed else 'FAIL'}"
        print(f"{'beta a random walk':<32}{n:>5}{count:>12}{taken:>7.2f}s{verdict}", flush=True)
    return failed


def main(quick: bool) -> int:
    """Print the tables."""
    failed = shared_regressors(quick) + several_walks(quick) + autoregressive()
    return int(failed + (0 if quick else one_by_one()) > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main("--quick" in sys.argv[1:]))
