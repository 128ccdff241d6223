"""
Cost of an EM iteration against one pass of statsmodels' smoother. Not collected by pytest.

    python tests/benchmarks/bench_estep.py [--quick]

One iteration is what `fit(method="em")` does: parameters to matrices, E-step, M-step, trace. The other
side is a warm `ssm.smooth()` of the same model, at the same parameters. Times are processor times of one
thread; runs alternate, and medians are compared. "E-step" is the same E-step by statsmodels' smoother
(`estep="statsmodels"`) against the fast one.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import statespace_ext as sse
from statespace_ext.em.driver import EMOptions, run_em

SHAPES = (
    (200, 2, 3, 1.0),
    (1000, 4, 10, 6.0),
    (1000, 10, 30, 30.0),
    (500, 20, 100, 80.0),
    (10_000, 4, 4, 12.0),
)
"""n, k, p and the ratio to reach."""
ITERATIONS = 10


def sample(n: int, k: int, p: int) -> np.ndarray:
    """Return data of k autoregressive factors."""
    rng = np.random.default_rng(0)
    roots, design = np.linspace(0.5, 0.95, k), rng.standard_normal((p, k))
    states = np.zeros((n, k))
    for t in range(1, n):
        states[t] = roots * states[t - 1] + rng.standard_normal(k)
    return states @ design.T + rng.standard_normal((n, p))


def started(data: np.ndarray, k: int, initialization: str, **spec: Any) -> sse.LGSSM:
    """Return a model with a stationary start, or x_1 ~ N(0, I)."""
    known = {"initial_state": np.zeros(k), "initial_state_cov": np.eye(k)}
    return sse.LGSSM(
        data, k, initialization=initialization, **(known if initialization == "known" else {}), **spec
    )


def seconds(function: Callable[[], Any]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def alternating(functions: list[Callable[[], Any]], runs: int) -> list[float]:
    """Return the median times of calls that take turns."""
    for function in functions:
        function()
    rows = [[seconds(function) for function in functions] for _ in range(runs)]
    return [median(column) for column in zip(*rows, strict=True)]


def compare(n: int, k: int, p: int, initialization: str, runs: int) -> tuple[float, float, float, float]:
    """Return the times of an EM iteration, of smooth(), and of the two E-steps."""
    model = started(sample(n, k, p), k, initialization)
    problem, slow = model.problem("fast"), model.problem("statsmodels")
    start = model.default_start(problem)
    model.update(problem.full(start))
    options = EMOptions(maxiter=ITERATIONS, tolerance=0.0)
    cycles = problem.updates.cycles()

    def em() -> None:
        run_em(start, problem.moments, problem.loglike, cycles, options)

    iteration, smooth, fast_step, slow_step = alternating(
        [em, model.ssm.smooth, lambda: problem.moments(start), lambda: slow.moments(start)], runs
    )
    return iteration / (ITERATIONS + 1), smooth, fast_step, slow_step


def table(runs: int) -> int:
    """Print the comparison by shape; return how many fall short."""
    failed = 0
    print(
        f"{'start':<12}{'n':>7}{'k':>4}{'p':>5}{'iteration':>12}{'smooth()':>12}{'ratio':>8}{'E-step':>8}{'limit':>7}"
    )
    for initialization in ("known", "stationary"):
        for n, k, p, limit in SHAPES:
            iteration, smooth, fast, slow = compare(n, k, p, initialization, runs)
            ratio, verdict = smooth / iteration, ""
            if initialization == "known":
                verdict = f"{limit:>7g}  {'PASS' if ratio >= limit else 'FAIL'}"
                failed += ratio < limit
            print(
                f"{initialization:<12}{n:>7}{k:>4}{p:>5}{1e3 * iteration:>10.2f}ms{1e3 * smooth:>10.2f}ms"
                f"{ratio:>8.1f}{slow / fast:>8.1f}{verdict}",
                flush=True,
            )
    return failed


def missing(runs: int) -> int:
    """Print the comparison at 5 % scattered missing cells; return how many fall short."""
    n, k, p, limit, failed = 2000, 4, 20, 3.0, 0
    data = sample(n, k, p)
    data[np.random.default_rng(1).random(data.shape) < 0.05] = np.nan
    print(f"\n5 % missing, (n, k, p) = {(n, k, p)}")
    print(f"{'obs_cov':<14}{'E-step':>10}{'smooth()':>12}{'ratio':>8}{'E-step':>8}{'limit':>7}")
    for obs_cov in ("diagonal", "unstructured"):
        model = started(data, k, "known", obs_cov=obs_cov)
        problem, slow = model.problem(), model.problem("statsmodels")
        start = model.default_start(problem)
        model.update(problem.full(start))
        ours, smooth, other = alternating(
            [partial(problem.moments, start), model.ssm.smooth, partial(slow.moments, start)], runs
        )
        verdict = "PASS" if smooth >= limit * ours else "FAIL"
        failed += verdict == "FAIL"
        print(
            f"{obs_cov:<14}{1e3 * ours:>8.1f}ms{1e3 * smooth:>10.1f}ms{smooth / ours:>8.1f}"
            f"{other / ours:>8.1f}{limit:>7g}  {verdict}"
        )
    return failed


def growth(largest: int) -> int:
    """Print time and peak memory of an E-step by length; return how many limits are broken."""
    k, p = 2, 3
    data = sample(largest, k, p)
    per_period, memory = [], 0.0
    print(f"\n{'n':>9}{'E-step':>12}{'us a period':>13}{'memory / (data + states)':>26}")
    for n in (largest // 100, largest // 10, largest):
        model = started(data[:n], k, "known")
        problem = model.problem("fast")
        start = model.default_start(model.problem())
        taken = alternating([partial(problem.moments, start)], 3)[0]
        tracemalloc.start()
        problem.moments(start)
        memory = tracemalloc.get_traced_memory()[1] / (8.0 * n * (k + p))
        tracemalloc.stop()
        per_period.append(1e6 * taken / n)
        print(f"{n:>9}{1e3 * taken:>10.1f}ms{per_period[-1]:>13.3f}{memory:>26.1f}", flush=True)
    linear, small = per_period[-1] < 1.5 * per_period[-2], memory < 6.0
    print(f"linear in n: {'PASS' if linear else 'FAIL'}; memory below 6: {'PASS' if small else 'FAIL'}")
    return (not linear) + (not small)


def main(quick: bool) -> int:
    """Print the tables."""
    failed = table(5 if quick else 21) + missing(5 if quick else 21)
    return int(failed + growth(100_000 if quick else 1_000_000) > 0)


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
