"""
What `import statespace_ext` adds to the import of statsmodels' state-space models. Not collected by pytest.

    python tests/benchmarks/bench_import.py

Processor times of fresh interpreters, which take turns; medians. The last rows tell what the first use of a
model costs beside, and of all public names: imports are put off, not saved.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 0.10
RUNS = 15
STATSMODELS = "import statsmodels.tsa.statespace.api"
WHAT = {
    STATSMODELS: STATSMODELS,
    "... and statespace_ext": f"{STATSMODELS}, statespace_ext",
    "... and its LGSSM": f"{STATSMODELS}; from statespace_ext import LGSSM",
    "... and all of its names": f"{STATSMODELS}; from statespace_ext import *",
}


def seconds(code: str) -> float:
    """Return the processor time of a new interpreter that runs code, from its start to its end."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}; import time; print(time.process_time())"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return float(run.stdout)


def main() -> int:
    """Print the table."""
    rows = [[seconds(code) for code in WHAT.values()] for _ in range(RUNS + 1)][1:]  # the first compiles
    times = dict(zip(WHAT, map(median, zip(*rows, strict=True)), strict=True))
    base, added = times[STATSMODELS], 0.0
    for number, (what, taken) in enumerate(times.items()):
        verdict = ""
        if number == 1:
            added = taken / base - 1.0
            verdict = f"  limit {LIMIT:.0%}  {'PASS' if added <= LIMIT else 'FAIL'}"
        print(f"{what:<42}{1e3 * taken:>7.0f}ms{taken / base - 1.0:>+8.1%}{verdict}")
    return int(added > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
