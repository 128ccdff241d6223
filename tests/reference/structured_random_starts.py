"""
Maximise likelihoods of the CAPM with zeros in W or autoregressive betas, from 20 random starts each.

    python tests/reference/structured_random_starts.py [FOLDER OF THE SHARED DATA]

These likelihoods have several maxima; the highest is stored by case.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from capm import structured_cases

import statespace_ext as sse

STARTS, SEED = 20, 20210510
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"


def main(shared: Path) -> None:
    """Run the fits and write the file."""
    warnings.simplefilter("ignore")
    out: dict[str, object] = {"script": Path(__file__).name, "starts": STARTS, "seed": SEED, "best_llf": {}}
    for name, (data, options) in structured_cases(shared).items():
        model = sse.DynamicRegression(*data, **options)
        res = model.fit(model.start_params, n_starts=STARTS + 1, rng=SEED, cov_type="none")
        out["best_llf"][name] = res.llf  # type: ignore[index]
        print(name, res.llf, flush=True)
    path = HERE / "structured_random_starts.json"
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED)
