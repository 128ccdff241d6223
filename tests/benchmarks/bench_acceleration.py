"""
E-steps to the maximum: plain EM, accelerated EM, "auto". Not collected by pytest.

    python tests/benchmarks/bench_acceleration.py

An E-step is a smoother pass: each evaluation of the moments of EM counts one, and so does each exact score
of a gradient method, which is made of one. Filter passes, of which there are a few beside, are counted apart.
All start from the same values; counted is until the log-likelihood is within 1e-6 of the maximum, the highest
that any of them found. Plain EM is stopped after `MOST` iterations; its count is then a lower bound. Series
of `../shared/data` are left out where they are absent.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import statsmodels.api as sm

import statespace_ext as sse
from statespace_ext.fit.fit import estimate
from statespace_ext.fit.problem import EstimationProblem, FitRequest

CLOSE = 1e-6
FEWER = 10.0
MOST = 5_000
TREE_RINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "lgssm" / "r_treering_0_20.csv"


class CountedProblem(EstimationProblem):
    """A problem that notes the log-likelihood of each smoother pass, and counts filter passes."""

    def __init__(self, model: sse.LGSSM) -> None:
        super().__init__(model, {})
        self.passes: list[float] = []
        self.filters = 0

    def moments(self, params):
        moments = super().moments(params)
        self.passes.append(moments.llf)
        return moments

    def value_and_score(self, params):
        found = super().value_and_score(params)
        self.passes.append(-np.inf if found is None else found[0])
        return found

    def loglike(self, params):
        self.filters += 1
        return super().loglike(params)


def level(y: np.ndarray) -> sse.LGSSM:
    """Return the local level model."""
    return sse.LGSSM(
        y[:, None], 1, design=[[1.0]], transition=[[1.0]], obs_intercept="zero", initialization="diffuse"
    )


def small_noise(noise: float, n: int = 200) -> sse.LGSSM:
    """Return a factor seen three times, with little noise."""
    rng = np.random.default_rng(1)
    x = np.zeros((n, 1))
    for t in range(1, n):
        x[t] = 0.8 * x[t - 1] + rng.standard_normal(1)
    y = x @ rng.standard_normal((1, 3)) + noise * rng.standard_normal((n, 3))
    return sse.LGSSM(y, 1, identification="triangular")


def cases() -> Iterator[tuple[str, sse.LGSSM]]:
    """Yield the slow cases."""
    yield "Nile, local level", level(sm.datasets.nile.load_pandas().data["volume"].to_numpy(dtype=float))
    if TREE_RINGS.is_file():
        rings = np.loadtxt(TREE_RINGS, delimiter=",", skiprows=1)[:, 1]
        yield "tree rings, local level", level(rings)
        yield "tree rings, AR(1) and noise", sse.LGSSM(rings[:, None], 1, design=[[1.0]])
    else:
        print(f"the tree rings are left out: there is no file {TREE_RINGS}")
    yield "one factor, sd of noise 0.3", small_noise(0.3)
    yield "one factor, sd of noise 0.05", small_noise(0.05)


def path(model: sse.LGSSM, method: str) -> CountedProblem:
    """Return the passes of a fit from the default start values, to an end as tight as can be."""
    problem = CountedProblem(model)
    maxiter = {"em": MOST, "accelerated-em": MOST // 5, "auto": 2000}[method]
    tolerance = 0.0 if method == "auto" else 1e-15
    start = problem.full(model.default_start(problem))
    problem.passes.clear()
    estimate(problem, FitRequest(start_params=start, method=method, maxiter=maxiter, tolerance=tolerance))
    return problem


def needed(problem: CountedProblem, top: float) -> float:
    """Return the number of passes until the maximum was near, infinite if it never was."""
    near = np.flatnonzero(np.array(problem.passes) > top - CLOSE)
    return float(near[0] + 1) if len(near) else np.inf


def main() -> int:
    """Print the table."""
    failed = 0
    print(
        f"{'smoother passes to within 1e-6':<32}{'plain EM':>10}{'accelerated':>13}{'auto':>7}{'filters':>9}"
    )
    for name, model in cases():
        paths = [path(model, method) for method in ("em", "accelerated-em", "auto")]
        top = max(max(problem.passes) for problem in paths)
        plain, fast, auto = (needed(problem, top) for problem in paths)
        bound = "" if np.isfinite(plain) else ">"
        plain = min(plain, MOST)
        verdicts = ["PASS" if FEWER * count <= plain else "FAIL" for count in (fast, auto)]
        failed += verdicts.count("FAIL")
        print(
            f"{name:<32}{bound + f'{plain:.0f}':>10}{fast:>8.0f} {verdicts[0]}{auto:>7.0f} {verdicts[1]}"
            f"{paths[2].filters:>5}",
            flush=True,
        )
    return int(failed > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
