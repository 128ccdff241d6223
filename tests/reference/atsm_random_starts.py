"""
Maxima of `ATSM` on the panels of the papers from random starts: makes atsm_random_starts/*.json.

    python tests/reference/atsm_random_starts.py [COUNT | MINUTESm] [PANEL.SPECIFICATION ...]

The starts are scattered around the first cross-sectional candidate: roots and decay rates by factors of
exp(N(0, 0.7^2)), P-coefficients by as much as their size, standard deviations by exp(N(0, 0.7^2)),
correlations anew. Pairs of Q-roots m +- sqrt(d) have m scattered likewise and d = m^2 N(0, 1), so that half
of them are complex. Starts with unit noise are those of portfolios, rotated. MINUTES of processor time stop a
search for which 200 starts would take hours. Needs the reference data beside the project.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import numpy as np
from conftest import SHARED_DATA
from yields import jps, panel, turning_panel

import statespace_ext as sse
from statespace_ext.fit.problem import FitRequest
from statespace_ext.fit.search import maximise
from statespace_ext.term_structure.estimation import rotated
from statespace_ext.term_structure.normalisation import candidates

OUTPUT = Path(__file__).with_suffix("")
SPECIFICATIONS: dict[str, dict[str, Any]] = {
    "independent-afns": {"identification": "afns", "p_dynamics": "diagonal", "state_cov": "diagonal"},
    "afns": {"identification": "afns"},
    "jsz": {},
}
PAIRS = ("jsz-pairs", "dai-singleton-pairs")
PANELS = ("cdr", "jsz", "jps", "gsw", "dra")


def yields_of(source: str) -> tuple[Any, np.ndarray]:
    """Return the decimal yields of a panel, and the maturities."""
    if source == "turning":
        return turning_panel()
    return jps(SHARED_DATA) if source == "jps" else panel(SHARED_DATA, source, "decimal")


def model(name: str) -> sse.ATSM:
    """Return the model of PANEL.SPECIFICATION, on decimal yields."""
    source, kind = name.split(".")
    options = {"identification": kind} if kind in PAIRS else SPECIFICATIONS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sse.ATSM(*yields_of(source), **options)


def scattered(fitted: sse.ATSM, centre: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Return a random start with a likelihood, None after many tries."""
    layout, problem = fitted.layout, fitted.problem()
    for _ in range(200):
        at = layout.matrices(centre)
        draw = {key: rng.standard_normal(value.shape) for key, value in at.items()}
        for key in ("decay", "roots_Q"):
            if key in at:
                at[key] = np.sort(np.abs(at[key]) * np.exp(0.7 * draw[key]), axis=0)
        if "pairs_Q" in at:
            before = np.linalg.det(fitted.norm._latent(at)[0])
            mean = at["pairs_Q"][:, :1] * np.exp(0.7 * draw["pairs_Q"][:, :1])
            at["pairs_Q"] = np.column_stack([mean, mean**2 * draw["pairs_Q"][:, 1:]])
            at["drift_Q"] = at["drift_Q"] * np.linalg.det(fitted.norm._latent(at)[0]) / before
        at["K_P"] = at["K_P"] + draw["K_P"] * np.sqrt(np.mean(np.diag(at["K_P"]) ** 2)) * (at["K_P"] != 0)
        mean = np.linalg.solve(layout.matrices(centre)["K_P"], at["kappa_P"])
        at["kappa_P"] = at["K_P"] @ (mean * np.exp(0.3 * draw["kappa_P"]))
        at["obs_cov"] = at["obs_cov"] * np.diag(np.exp(1.4 * np.diag(draw["obs_cov"])))
        scale = np.sqrt(np.diag(at["state_cov"])) * np.exp(0.7 * np.diag(draw["state_cov"]))
        root = np.eye(len(scale)) + 0.5 * draw["state_cov"] * (len(layout.blocks["state_cov"].names) > 3)
        cov = root @ root.T
        unit = scale / np.sqrt(np.diag(cov))
        at["state_cov"] = cov * unit[:, None] * unit
        start = layout.project(at, np.zeros(len(layout)))
        if np.isfinite(problem.value(start)):
            return start
    return None


def main(argv: list[str]) -> None:
    """Run the starts of each panel and specification, and store what they reached."""
    first = argv[0] if argv else "200"
    count, limit = (10**6, 60.0 * float(first[:-1])) if first.endswith("m") else (int(first), np.inf)
    names = argv[1:] or [f"{source}.{kind}" for source in PANELS for kind in SPECIFICATIONS]
    OUTPUT.mkdir(exist_ok=True)
    for name in names:
        began = time.process_time()
        fitted = model(name)
        twin = fitted if "dai" not in name else model(name.replace("dai-singleton", "jsz"))
        problem, centre = fitted.problem(), candidates(twin)[0]
        rng = np.random.default_rng(20261125)
        reached, best = [], (-np.inf, centre)
        while len(reached) < count and time.process_time() - began < limit:
            start = scattered(twin, centre, rng)
            if start is None:
                continue
            found = maximise(problem, FitRequest(), _turned(fitted, twin, start), 300)
            reached.append(found.llf)
            best = max(best, (found.llf, found.params), key=lambda item: item[0])
        ordered = np.sort(reached)[::-1]
        stored = {
            "starts": len(reached),
            "best": best[0],
            "within 0.01 of the best": int(np.sum(ordered > best[0] - 0.01)),
            "reached": np.round(ordered, 3).tolist(),
            "params": dict(zip(fitted.param_names, best[1].tolist(), strict=True)),
        }
        (OUTPUT / f"{name}.json").write_text(json.dumps(stored, indent=1) + "\n")
        took = f"{time.process_time() - began:.0f} s"
        print(name, best[0], stored["within 0.01 of the best"], len(reached), took, flush=True)


def _turned(fitted: sse.ATSM, twin: sse.ATSM, params: np.ndarray) -> np.ndarray:
    """Return the parameters of the twin in portfolios as those of the model."""
    return params if fitted is twin else rotated(fitted, twin, params)


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main(sys.argv[1:])
