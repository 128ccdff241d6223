#!/usr/bin/env python
"""
Mutation testing of one room: a reproducible sample of mutants, and those that its own tests do not kill.

``python .ci/mutants.py params --count 40 --seed 0`` needs cosmic-ray; it works on a copy of the checkout.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
[cosmic-ray]
module-path = ["statespace_ext/{room}"]
timeout = 600.0
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"
[cosmic-ray.distributor]
name = "local"
"""
UNREAD = ("core/ReplaceBinaryOperator_BitOr_",)
"""Operators that alter annotations (``Array | None``), which are never evaluated."""


def thin_out(session: Path, count: int, seed: int) -> int:
    """Keep a random sample of the mutants of a session; return how many there were."""
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select job_id, operator_name, module_path, start_pos_row, start_pos_col, occurrence "
            "from mutation_specs"
        ).fetchall()
        rows = sorted((row[1:], row[0]) for row in rows if not row[1].startswith(UNREAD))
        kept = {job for _, job in random.Random(seed).sample(rows, min(count, len(rows)))}
        for table in ("mutation_specs", "work_items"):
            jobs = [job for (job,) in database.execute(f"select job_id from {table}")]
            drop = [(job,) for job in jobs if job not in kept]
            database.executemany(f"delete from {table} where job_id = ?", drop)
    return len(rows)


def survivors(session: Path) -> tuple[int, list[str]]:
    """Return the number of mutants run and the differences of those that lived."""
    with sqlite3.connect(session) as database:
        results = database.execute("select test_outcome, diff from work_results").fetchall()
    return len(results), [diff for outcome, diff in results if str(outcome).upper().endswith("SURVIVED")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", choices=["em", "params", "numerics"])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", default=None, help="by default the tests of the room")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "checkout")
        skip = shutil.ignore_patterns(".git", ".nox", "_build", ".*_cache", "__pycache__", ".hypothesis")
        shutil.copytree(ROOT, copy, ignore=skip)
        tests = options.tests or f"tests/{options.room}"
        text = CONFIG.format(room=options.room, python=sys.executable, tests=tests)
        (copy / "mutants.toml").write_text(text, encoding="utf-8")

        def cosmic_ray(*words: str) -> None:
            subprocess.run(["cosmic-ray", *words], cwd=copy, check=True)

        cosmic_ray("init", "mutants.toml", "mutants.sqlite")
        total = thin_out(copy / "mutants.sqlite", options.count, options.seed)
        cosmic_ray("exec", "mutants.toml", "mutants.sqlite")
        run, alive = survivors(copy / "mutants.sqlite")
    print("\n".join(alive))
    print(f"{options.room}: {run} of {total} mutants, {run - len(alive)} killed, {len(alive)} survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
