"""
Many CAPM fits: efficiency against one process, and the projected cost of a panel. Not collected by pytest.

    python tests/benchmarks/bench_fit_many.py [FITS] [--jobs N] [--workers N] [--clock]

FITS assets (2,000; 100 for a quick look) over 120 months, in ten rounds: each first in one process, then in
N. The efficiency is the processor time of one process over that of all N and of the process that builds,
sends and collects, the start of the workers included. It counts all that parallel work costs but waiting. The
same by the clock, printed beside it and judged with --clock, needs a machine that does nothing else.

The projection, 10,000 assets x 500 months, is from measured parts: processor time of one fit of 500 months,
of building and sending a model, and of pickling one.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import pickle
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from joblib.externals.loky import get_reusable_executor

import statespace_ext as sse

OPTIONS = {"method": "lbfgs"}
TARGET = 0.8
"""Efficiency on two processes that counts as a pass."""
ROUNDS = 10


def assets(count: int, months: int, first: int = 0) -> Iterator[tuple[str, sse.CAPM]]:
    """Yield models of simulated excess returns with a beta that is a random walk."""
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        market = 4.0 * rng.standard_normal(months)
        beta = 1.0 + np.cumsum(0.05 * rng.standard_normal(months))
        yield f"A{i}", sse.CAPM(0.1 + beta * market + 3.0 * rng.standard_normal(months), market)


def run(count: int, months: int, jobs: int, first: int = 0) -> np.ndarray:
    """Return the time by the clock, processor time of this process, and that in fits."""
    wall, own = time.perf_counter(), time.process_time()
    records = list(sse.fit_many(assets(count, months, first), OPTIONS, rng=0, n_jobs=jobs))
    wall, own = time.perf_counter() - wall, time.process_time() - own
    failed = [record.error for record in records if record.error]
    if len(records) != count or failed:
        raise SystemExit(f"FAIL: {len(records)} records of {count} fits; errors {failed[:3]}")
    return np.array([wall, own, sum(record.seconds for record in records)])


def of_workers() -> float:
    """End the workers, and return the processor time of all so far, from their first line to their last."""
    get_reusable_executor().shutdown(wait=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def project(count: int, building: float, workers: int) -> None:
    """Print the cost of 10,000 assets x 500 months."""
    fit = run(count, 500, 1)[2] / count
    model = next(assets(1, 500))[1]
    began = time.process_time()
    for _ in range(20):
        payload = pickle.dumps(model)
        pickle.loads(payload)
    send = (time.process_time() - began) / 20
    total = 10_000 * (fit + building + send)
    print(
        f"one fit of 500 months {1e3 * fit:.0f} ms, building and sending {1e3 * building:.1f} ms, "
        f"pickling {1e3 * send:.1f} ms, {len(payload) / 1024:.0f} KiB"
    )
    print(
        f"10,000 assets x 500 months: {total / 3600:.2f} process hours; {workers} processes: "
        f"{10_000 * max((fit + send) / workers, building) / 60:.1f} minutes; "
        f"{10_000 * len(payload) / 2**20:.0f} MiB sent"
    )


def main() -> int:
    """Print the figures; return 1 where the efficiency is below the target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fits", nargs="?", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=100, help="processes of the projected cluster")
    parser.add_argument("--clock", action="store_true", help="judge by the clock")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    size = -(-given.fits // ROUNDS)
    one, many, before = np.zeros(3), np.zeros(3), of_workers()
    for first in range(0, given.fits, size):
        count = min(size, given.fits - first)
        one += run(count, 120, 1, first)
        many += run(count, 120, given.jobs, first)
    workers = of_workers() - before
    efficiency = {
        "processor time": one[1] / (many[1] + workers),
        "the clock": one[0] / (given.jobs * many[0]),
    }
    print(f"{given.fits} x 120 months, 1 process: {one[0]:.1f} s; processor {one[1]:.1f}, fits {one[2]:.1f}")
    print(
        f"{given.jobs} processes: {many[0]:.1f} s; processor {many[1]:.1f} here, {workers:.1f} in workers "
        f"(fits {many[2]:.1f})"
    )
    project(max(5, given.fits // 100), many[1] / given.fits, given.workers)
    judged = "the clock" if given.clock else "processor time"
    for name, value in efficiency.items():
        verdict = ("PASS " if value >= TARGET else "FAIL ") if name == judged else ""
        print(f"{verdict}efficiency by {name} {value:.2f}" + (f" (target {TARGET})" if verdict else ""))
    return 0 if efficiency[judged] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
