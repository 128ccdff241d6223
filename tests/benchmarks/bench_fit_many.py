"""
Many CAPM fits: efficiency against one process, and the projected cost of a panel. Not collected by pytest.

    python tests/benchmarks/bench_fit_many.py [FITS] [--jobs N] [--workers N]

Both runs fit the same FITS assets (2,000) over 120 months. The verdict is on the efficiency by the clock, the
time of one process over N times that of N processes: run it on a machine that does nothing else. That by
processor time, printed beside it, counts no waiting: one process over the fits in N processes and the process
that builds, sends and collects. The projection, 10,000 assets x 500 months, is from measured parts: processor
time of one fit of 500 months, of building and sending a model, and of pickling one.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import pickle
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import statespace_ext as sse

OPTIONS = {"method": "lbfgs"}
TARGET = 0.8
"""Efficiency on two processes that counts as a pass."""


def assets(count: int, months: int) -> Iterator[tuple[str, sse.CAPM]]:
    """Yield models of simulated excess returns with a beta that is a random walk."""
    for i in range(count):
        rng = np.random.default_rng(i)
        market = 4.0 * rng.standard_normal(months)
        beta = 1.0 + np.cumsum(0.05 * rng.standard_normal(months))
        yield f"A{i}", sse.CAPM(0.1 + beta * market + 3.0 * rng.standard_normal(months), market)


def run(count: int, months: int, jobs: int) -> tuple[float, float, float]:
    """Return the time by the clock, processor time of this process, and that in fits."""
    wall, own = time.perf_counter(), time.process_time()
    records = list(sse.fit_many(assets(count, months), OPTIONS, rng=0, n_jobs=jobs))
    wall, own = time.perf_counter() - wall, time.process_time() - own
    failed = [record.error for record in records if record.error]
    if len(records) != count or failed:
        raise SystemExit(f"FAIL: {len(records)} records of {count} fits; errors {failed[:3]}")
    return wall, own, sum(record.seconds for record in records)


def main() -> int:
    """Print the figures; return 1 where the efficiency is below the target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fits", nargs="?", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=100, help="processes of the projected cluster")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    run(4 * given.jobs, 60, given.jobs)  # start the processes
    wall_1, own_1, fits_1 = run(given.fits, 120, 1)
    wall, own, fits = run(given.fits, 120, given.jobs)
    efficiency = wall_1 / (given.jobs * wall)
    each = own / given.fits
    print(f"{given.fits} x 120 months, 1 process: {wall_1:.1f} s; processor {own_1:.1f}, fits {fits_1:.1f}")
    print(f"{given.jobs} processes: {wall:.1f} s; processor {own:.1f} here and {fits:.1f} in fits")
    print(f"efficiency by processor time: {own_1 / (own + fits):.2f}")

    count = max(5, given.fits // 100)
    long = run(count, 500, 1)[2] / count
    model = next(assets(1, 500))[1]
    began = time.process_time()
    for _ in range(20):
        payload = pickle.dumps(model)
        pickle.loads(payload)
    send = (time.process_time() - began) / 20
    total = 10_000 * (long + each + send)
    print(
        f"one fit of 500 months {1e3 * long:.0f} ms, building and sending {1e3 * each:.1f} ms, "
        f"pickling {1e3 * send:.1f} ms, {len(payload) / 1024:.0f} KiB"
    )
    print(
        f"10,000 assets x 500 months: {total / 3600:.2f} process hours; {given.workers} processes: "
        f"{10_000 * max((long + send) / given.workers, each) / 60:.1f} minutes; "
        f"{10_000 * len(payload) / 2**20:.0f} MiB sent"
    )
    good = efficiency >= TARGET
    print(f"{'PASS' if good else 'FAIL'} efficiency by the clock {efficiency:.2f} (target {TARGET})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
