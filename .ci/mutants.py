#!/usr/bin/env python
"""
Mutation testing of one room: a reproducible sample of mutants, and those that its own tests do not kill.

``python .ci/mutants.py params --count 40 --seed 0`` needs cosmic-ray; it works on a copy of the checkout.
Tests whose name begins as that of the altered module run first. What takes four times as long as all
tests is killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).resolve().parents[1]
PYTEST = f"{sys.executable} -m pytest -x -q -p no:cacheprovider"
UNREAD = "core/ReplaceBinaryOperator_BitOr_"
"""Operators that alter annotations (``Array | None``), which are never evaluated."""


def mutants(room: str, files: list[str]) -> list[MutationSpec]:
    """Return every mutant of files of a room, in an order that depends on the source alone."""
    modules = {module for pattern in files for module in Path("statespace_ext", room).glob(pattern)}
    with use_db("mutants.sqlite", WorkDB.Mode.create) as database:
        init(sorted(modules), database, {})
        found = [mutant for item in database.work_items for mutant in item.mutations]
    read = [mutant for mutant in found if not mutant.operator_name.startswith(UNREAD)]
    return sorted(read, key=lambda m: (m.operator_name, str(m.module_path), m.start_pos, m.occurrence))


def command(tests: list[Path], module: Path) -> str:
    """Return the command that tests a mutant of a module, those first that share most of its name."""

    def shared(test: Path) -> int:
        return len(os.path.commonprefix([test.stem.removeprefix("test_"), module.stem]))

    ordered = sorted(tests, key=shared, reverse=True)
    return f"{PYTEST} {' '.join(map(str, ordered))}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", choices=["em", "params", "numerics"])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="+", default=["*.py"], help="patterns of names, all by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        skip = shutil.ignore_patterns(".git", ".nox", "_build", ".*_cache", "__pycache__", ".hypothesis")
        shutil.copytree(ROOT, Path(folder, "checkout"), ignore=skip)
        os.chdir(Path(folder, "checkout"))
        found = mutants(options.room, options.files)
        sample = random.Random(options.seed).sample(found, min(options.count, len(found)))
        tests = sorted(Path("tests", options.room).glob("test_*.py"))
        start = time.monotonic()
        subprocess.run(command(tests, tests[0]).split(), check=True)
        limit = 4 * (time.monotonic() - start)
        alive = 0
        for number, mutant in enumerate(sample, 1):
            result = mutate_and_test([mutant], command(tests, mutant.module_path), limit)
            alive += not result.is_killed
            outcome = "killed" if result.is_killed else result.diff
            print(number, f"{mutant.module_path}:{mutant.start_pos[0]}", outcome, flush=True)
        os.chdir(ROOT)
    killed = len(sample) - alive
    print(f"{options.room}: {len(sample)} of {len(found)} mutants, {killed} killed, {alive} survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
