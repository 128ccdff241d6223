"""
How time grows with n, k and p, and memory with n. Not collected by pytest.

    python tests/benchmarks/bench_growth.py [--quick]

One size grows, the others stay at (n, k, p) = (2000, 4, 10). The exponent is the slope of log time on log
size over the upper half of the sizes, where what does not depend on it counts least. E-step: the fast one.
M-step: all updates. score: the exact score. loglike: statsmodels' filter. Processor times of one thread;
medians. Memory is the peak of what an E-step allocates over the size of data and states.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import tracemalloc
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from bench_estep import alternating, sample, started

from statespace_ext.em.driver import EMOptions, Run

BASE = {"n": 2000, "k": 4, "p": 10}
SIZES = {
    "n": (500, 1000, 2000, 4000, 8000, 16_000, 32_000),
    "k": (1, 2, 4, 8, 16, 32),
    "p": (5, 10, 20, 40, 80, 160),
}
LENGTHS = (1000, 10_000, 100_000, 1_000_000)
LINEAR, MEMORY = 1.1, 6.0
"""Largest exponent of n between the last two lengths; largest memory."""


def times(n: int, k: int, p: int, runs: int) -> list[float]:
    """Return the times of an E-step, an M-step, a score and a log-likelihood."""
    model = started(sample(n, k, p), k, "known")
    problem = model.problem("fast")
    params = model.default_start(model.problem())
    moments = problem.moments(params)
    run = Run(params, problem.moments, problem.loglike, problem.updates.cycles(), EMOptions())

    def m_step() -> None:
        at = params, moments
        for _, update in run.updates:
            at = update(*at)

    return alternating(
        [
            partial(problem.moments, params),
            m_step,
            partial(problem.value_and_score, params),
            partial(problem.loglike, params),
        ],
        runs,
    )


def exponent(sizes: list[int], taken: list[float]) -> float:
    """Return the slope of log time over the upper half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(taken[half:]), 1)[0])


def grow(what: str, sizes: tuple[int, ...], runs: int) -> None:
    """Print times by one size."""
    others = ", ".join(f"{key} = {value}" for key, value in BASE.items() if key != what)
    print(
        f"\n{others}\n{what:>9}" + "".join(f"{name:>12}" for name in ("E-step", "M-step", "score", "loglike"))
    )
    rows = []
    for size in sizes:
        rows.append(times(**{**BASE, what: size}, runs=runs))
        print(f"{size:>9}" + "".join(f"{1e3 * taken:>10.2f}ms" for taken in rows[-1]), flush=True)
    slopes = [exponent(list(sizes), list(column)) for column in zip(*rows, strict=True)]
    print(f"{'exponent':>9}" + "".join(f"{slope:>12.2f}" for slope in slopes), flush=True)


def long(lengths: tuple[int, ...], k: int = 2, p: int = 3) -> int:
    """Print time and memory of an E-step up to a long series; return how many limits are broken."""
    data, taken, share = sample(lengths[-1], k, p), [], []
    print(f"\nk = {k}, p = {p}\n{'n':>9}{'E-step':>12}{'us a period':>13}{'memory / (data + states)':>26}")
    for n in lengths:
        problem = started(data[:n], k, "known").problem("fast")
        params = problem.model.default_start(problem)
        taken.append(alternating([partial(problem.moments, params)], 5)[0])
        tracemalloc.start()
        problem.moments(params)
        share.append(tracemalloc.get_traced_memory()[1] / (8.0 * n * (k + p)))
        tracemalloc.stop()
        print(f"{n:>9}{1e3 * taken[-1]:>10.1f}ms{1e6 * taken[-1] / n:>13.3f}{share[-1]:>26.1f}", flush=True)
    slope = float(np.diff(np.log(taken[-2:]))[0] / np.diff(np.log(lengths[-2:]))[0])
    linear, small = slope <= LINEAR, share[-1] < MEMORY
    print(f"exponent from n = {lengths[-2]}: {slope:.2f}, at most {LINEAR}: {'PASS' if linear else 'FAIL'}")
    print(
        f"memory below {MEMORY:g} times data and states at n = {lengths[-1]}: {'PASS' if small else 'FAIL'}"
    )
    return (not linear) + (not small)


def main(quick: bool) -> int:
    """Print the tables."""
    for what, sizes in SIZES.items():
        grow(what, sizes[:-2] if quick else sizes, 3 if quick else 7)
    return int(long(LENGTHS[:-1] if quick else LENGTHS) > 0)


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
