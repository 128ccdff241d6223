"""
Fit the unrestricted CAPM of the published question from 200 random starts, and store the best likelihood.

    python tests/reference/capm_random_starts.py [FOLDER OF THE SHARED DATA]

Each start draws V near the scale of the data and W_beta over nine orders of magnitude, of random rank. The
starts are those of this script, not the library's; the method is "lbfgs", so that the reference does not
come by the path that the default fit takes.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from capm import BETA_MOVES, berndt

import statespace_ext as sse

STARTS, SEED = 200, 20210510
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"


def random_start(rng: np.random.Generator, variances: np.ndarray) -> dict[str, np.ndarray]:
    """Draw V and W_beta."""
    p = len(variances)
    root = rng.standard_normal((p, p + 2)) * np.sqrt(variances * 10.0 ** rng.uniform(-1, 1, p))[:, None]
    rank = rng.integers(1, p + 1)
    loading = rng.standard_normal((p, rank)) * np.sqrt(10.0 ** rng.uniform(-7, 2, rank))
    ridge = 1e-9 * np.eye(p)  # a start on the boundary would stay there
    return {"obs_cov": root @ root.T / (p + 2), "state_cov": loading @ loading.T + ridge}


def main(shared: Path) -> None:
    """Run the fits and write the file."""
    y, x = berndt(shared)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    rng = np.random.default_rng(SEED)
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sse.ConvergenceWarning)
        for number in range(STARTS):
            start = random_start(rng, y.var().to_numpy())
            res = model.fit(start, method="lbfgs", maxiter=2000, cov_type="none")
            results.append((float(res.llf), bool(res.converged)))
            print(number, *results[-1], flush=True)
    llf = np.array([value for value, _ in results])
    best = float(llf.max())
    out = {
        "script": Path(__file__).name,
        "data": "capm/berndt_capm_1978_1987.csv, percent; random-walk betas, V and W_beta unstructured",
        "starts": STARTS,
        "seed": SEED,
        "best_llf": best,
        "worst_llf": float(llf.min()),
        "within_1e-5_of_the_best": int(np.sum(llf > best - 1e-5)),
        "converged": int(sum(converged for _, converged in results)),
        "converged_below_the_best": [value for value, ok in results if ok and value < best - 1e-5],
    }
    path = HERE / "capm_random_starts.json"
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED)
