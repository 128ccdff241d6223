"""
Time and iterations of the CAPM of 12 industries over 819 months, by structure of W. Not collected by pytest.

    python tests/benchmarks/bench_industries.py

Times are processor times of one thread. PASS: the fit converged.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
from linearmodels.datasets import french

import statespace_ext as sse

INDUSTRIES = "NoDur Durbl Manuf Enrgy Chems BusEq Telcm Utils Shops Hlth Money Other".split()
STRUCTURES = ("diagonal", "proportional", "unstructured")


def main() -> int:
    """Print the table."""
    data = french.load()
    data.index = pd.PeriodIndex(data["dates"], freq="M")
    returns, market = 100.0 * data[INDUSTRIES].sub(data["RF"], axis=0), 100.0 * data["MktRF"]
    failed = 0
    print(f"{'W':<14}{'method':<8}{'seconds':>8}{'iterations':>12}{'log-likelihood':>16}")
    for structure in STRUCTURES:
        for method in ("auto", "lbfgs"):
            model = sse.CAPM(returns, market, state_cov=structure)
            start = time.process_time()
            res = model.fit(method=method, cov_type="none")
            taken = time.process_time() - start
            failed += not res.converged
            iterations, verdict = res.mle_retvals["iterations"], "PASS" if res.converged else "FAIL"
            print(f"{structure:<14}{method:<8}{taken:>8.1f}{iterations:>12}{res.llf:>16.4f}  {verdict}")
    return int(failed > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
