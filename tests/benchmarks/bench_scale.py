"""
What a fit and its summary with standard errors cost as the number of series grows. Not collected by pytest.

    python tests/benchmarks/bench_scale.py [--quick]

LGSSM with 4 factors, a diagonal obs_cov and 400 periods: the default fit, then `summary()`, which computes
the standard errors of all parameters; complete data, and 10 % of the cells missing. Each size runs in a
process of its own, of one thread. "identification" is the share of the fit that the check of identification
takes. DynamicFactorMQ of statsmodels (idiosyncratic_ar1=False, standardize=False, its own tolerance) runs
beside it up to 100 series. It computes no standard errors, and stops below the maximum.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

N, K, MISSING = 400, 4, 0.1
SIZES = (10, 30, 100, 300, 1000)
BESIDE = 100
"""Largest number of series with which DynamicFactorMQ runs."""
SHARE, THIRD = 0.05, 1 / 3
"""Largest share of identification in a fit; largest time of fit and summary over that of DynamicFactorMQ."""
EXPONENTS = {"fit": 1.2, "summary": 2.3, "memory of the fit": 1.1}
"""Largest powers of the number of series with which the times, and the memory that the fit adds, grow."""


def sample(p: int, missing: float) -> np.ndarray:
    """Return data of 4 autoregressive factors."""
    rng = np.random.default_rng(p)
    factors = np.zeros((N, K))
    for t in range(1, N):
        factors[t] = np.array([0.9, 0.8, 0.6, 0.4]) * factors[t - 1] + rng.standard_normal(K)
    y = factors @ rng.standard_normal((K, p)) + rng.standard_normal((N, p))
    return np.where(rng.random(y.shape) < missing, np.nan, y)


def ours(p: int, missing: float) -> dict[str, float]:
    """Return times, log-likelihood and memory of this package."""
    import statespace_ext as sse

    sse.LGSSM(sample(5, 0.0), 1).fit(maxiter=2)  # imports, and what is made once
    before, began = peak_memory(), time.process_time()
    res = sse.LGSSM(sample(p, missing), K, identification="triangular").fit()
    fitted, added = time.process_time(), peak_memory() - before
    str(res.summary())
    summed = time.process_time()
    res.model.identification(res.params)
    checked = time.process_time() - summed
    return {
        "fit": fitted - began,
        "summary": summed - fitted,
        "identification": checked / (fitted - began),
        "llf": float(res.llf),
        "converged": float(res.converged),
        "memory of the fit": added,
        "errors": float(np.mean(np.isfinite(res.bse))),
    }


def peak_memory() -> float:
    """Return the peak memory of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def beside(p: int, missing: float) -> dict[str, float]:
    """Return times and log-likelihood of DynamicFactorMQ."""
    from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ

    options = {"idiosyncratic_ar1": False, "standardize": False, "factor_orders": 1}
    model = DynamicFactorMQ(sample(p, missing), factors=K, factor_multiplicities=None, **options)
    began = time.process_time()
    res = model.fit(disp=False, maxiter=1000)
    fitted = time.process_time()
    str(res.summary())
    return {"fit": fitted - began, "summary": time.process_time() - fitted, "llf": float(res.llf)}


def in_process(what: str, p: int, missing: float) -> dict[str, float]:
    """Run one size in a process of its own."""
    words = [sys.executable, __file__, what, str(p), str(missing)]
    return json.loads(
        subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )


def table(missing: float, sizes: tuple[int, ...]) -> int:
    """Print the table of a share of missing cells; return how many limits are broken."""
    print(f"\n{'complete data' if not missing else f'{missing:.0%} of the cells missing'}")
    columns = ("fit", 9), ("summary", 9), ("identification", 16), ("peak memory", 13), ("DynamicFactorMQ", 17)
    print(f"{'series':>7}" + "".join(f"{name:>{width}}" for name, width in columns))
    broken, rows = 0, []
    for p in sizes:
        row = in_process("ours", p, missing)
        rows.append(row)
        line = f"{p:>7}{row['fit']:>8.2f}s{row['summary']:>8.2f}s{row['identification']:>16.1%}"
        line += f"{row['memory']:>9.0f} MiB"
        broken += row["identification"] > SHARE
        broken += not (row["converged"] and row["errors"] == 1.0)
        if p <= BESIDE:
            other = in_process("beside", p, missing)
            line += f"{other['fit'] + other['summary']:>16.2f}s"
            if p == BESIDE:
                broken += row["fit"] + row["summary"] > THIRD * (other["fit"] + other["summary"])
        print(line, flush=True)
    first = sizes.index(BESIDE)
    if sizes[-1] > BESIDE:
        for name, most in EXPONENTS.items():
            slope = np.log(rows[-1][name] / rows[first][name]) / np.log(sizes[-1] / BESIDE)
            print(f"exponent of {name} from {BESIDE} to {sizes[-1]} series: {slope:.2f}")
            broken += slope > most
    return broken


def main(quick: bool) -> int:
    """Print the tables."""
    sizes = SIZES[:-1] if quick else SIZES
    broken = sum(table(missing, sizes) for missing in (0.0, MISSING))
    print(f"limits broken: {broken}: {'PASS' if not broken else 'FAIL'}", file=sys.stderr)
    return int(broken > 0)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = {"ours": ours, "beside": beside}[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]))
        found["memory"] = peak_memory()
        print(json.dumps(found))
    else:
        sys.exit(main("--quick" in sys.argv[1:]))
