"""
Maximise the likelihood of the published question's CAPM from 200 random starts, and store the best.

    python tests/reference/capm_random_starts.py [FOLDER OF THE SHARED DATA]

Each start draws V near the scale of the data and W_beta over nine orders of magnitude, of random rank. Only
the log-likelihood and the score are the library's: the parameters here are plain Cholesky factors in units of
the data, the optimiser is SciPy's, started again where it stopped until that gains nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from capm import BETA_MOVES, berndt
from scipy.optimize import minimize

import statespace_ext as sse

STARTS, SEED = 200, 20210510
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"
LOWER = np.tril_indices(4)


def random_start(rng: np.random.Generator, variances: np.ndarray) -> dict[str, np.ndarray]:
    """Draw V and W_beta."""
    p = len(variances)
    root = rng.standard_normal((p, p + 2)) * np.sqrt(variances * 10.0 ** rng.uniform(-1, 1, p))[:, None]
    rank = rng.integers(1, p + 1)
    loading = rng.standard_normal((p, rank)) * np.sqrt(10.0 ** rng.uniform(-7, 2, rank))
    ridge = 1e-9 * np.eye(p)  # a start on the boundary would stay there
    return {"obs_cov": root @ root.T / (p + 2), "state_cov": loading @ loading.T + ridge}


class Objective:
    """Minus the log-likelihood and its gradient, by Cholesky factors of V and W_beta in units of the data."""

    def __init__(self, model: sse.DynamicRegression, obs_scale: float, state_scale: float) -> None:
        self.model, self.scales = model, (obs_scale, state_scale)

    def factors(self, z: np.ndarray) -> list[np.ndarray]:
        """Return the lower triangular factors."""
        out = []
        for values, scale in zip(z.reshape(2, -1), self.scales, strict=True):
            factor = np.zeros((4, 4))
            factor[LOWER] = scale * values
            out.append(factor)
        return out

    def start(self, matrices: dict[str, np.ndarray]) -> np.ndarray:
        """Return z at V and W_beta."""
        roots = [np.linalg.cholesky(matrices[key]) for key in ("obs_cov", "state_cov")]
        return np.concatenate([root[LOWER] / scale for root, scale in zip(roots, self.scales, strict=True)])

    def __call__(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient."""
        factors = self.factors(z)
        covs = dict(zip(("obs_cov", "state_cov"), (f @ f.T for f in factors), strict=True))
        params = self.model.params_from_matrices(covs)
        try:
            llf, score = self.model.loglike_and_score(params)
        except (np.linalg.LinAlgError, ValueError):
            return 1e10, np.zeros_like(z)
        gradient = []
        rows, columns = np.triu_indices(4)  # the order of the parameters: by column of the lower triangle
        for part, factor, scale in zip(score.reshape(2, -1), factors, self.scales, strict=True):
            G = np.zeros((4, 4))
            G[rows, columns] = np.where(rows == columns, part, 0.5 * part)
            G = G + np.triu(G, 1).T
            gradient.append(scale * (2.0 * G @ factor)[LOWER])
        return -llf, -np.concatenate(gradient)


def maximise(objective: Objective, z: np.ndarray) -> float:
    """Return the log-likelihood where restarts of the optimiser gain nothing more."""
    last = np.inf
    for _ in range(20):
        found = minimize(objective, z, jac=True, method="BFGS", options={"maxiter": 1000, "gtol": 1e-6})
        z = found.x
        if last - found.fun < 1e-9:
            break
        last = found.fun
    return -float(found.fun)


def main(shared: Path) -> None:
    """Run the fits and write the file."""
    y, x = berndt(shared)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    rng, variances = np.random.default_rng(SEED), y.var().to_numpy()
    objective = Objective(model, float(np.sqrt(variances.mean())), 0.05)
    llf = []
    for number in range(STARTS):
        llf.append(maximise(objective, objective.start(random_start(rng, variances))))
        print(number, llf[-1], flush=True)
    values = np.array(llf)
    best = float(values.max())
    out = {
        "script": Path(__file__).name,
        "data": "capm/berndt_capm_1978_1987.csv, percent; random-walk betas, V and W_beta unstructured",
        "starts": STARTS,
        "seed": SEED,
        "best_llf": best,
        "worst_llf": float(values.min()),
        "within_1e-5_of_the_best": int(np.sum(values > best - 1e-5)),
        "others": sorted(round(v, 5) for v in values[values <= best - 1e-5]),
    }
    path = HERE / "capm_random_starts.json"
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED)
