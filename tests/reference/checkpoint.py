"""
Write checkpoint.jsonl: records of `fit_many`, which every later version must read and not fit again.

    python tests/reference/checkpoint.py PATH

The file beside this script was written before the packages were arranged by family. It is not written anew.
Only the fingerprint of the ATSM was replaced: it hashed the last digits of principal components, which differ
between processors.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

import statespace_ext as sse


def models() -> dict[str, Any]:
    """Return a model of each class. The stored fingerprints hash these data: they are rounded, so that no
    version of numpy changes a bit."""
    rng = np.random.default_rng(11)
    index = pd.period_range("2001-01", periods=40, freq="M")
    y = pd.DataFrame(rng.normal(size=(40, 3)).cumsum(axis=0).round(6), index=index, columns=list("abc"))
    market = pd.Series(rng.normal(size=40).round(6), index=index, name="MKT")
    level, slope = rng.normal(size=(2, 40, 1)).cumsum(axis=1)
    loading = np.array([1.0, 0.75, 0.5, 0.25])
    yields = pd.DataFrame(
        (4 + level + slope * loading + 0.05 * rng.normal(size=(40, 4))).round(6), index=index
    )
    return {
        "LGSSM": sse.LGSSM(y, 1, identification="triangular"),
        "LGSSM with arrays": sse.LGSSM(
            y, 2, design=np.eye(3, 2), exog=market.to_frame(), state_cov="diagonal"
        ),
        "DynamicRegression": sse.DynamicRegression(y, market.to_frame(), obs_cov="diagonal"),
        "CAPM": sse.CAPM(y, market, state_cov="diagonal"),
        "ATSM": sse.ATSM(yields, [0.25, 1, 3, 10], k_factors=2, units="percent"),
    }


OPTIONS, SEED = {"maxiter": 3}, 5

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    list(sse.fit_many(models(), OPTIONS, rng=SEED, checkpoint=sys.argv[1]))
