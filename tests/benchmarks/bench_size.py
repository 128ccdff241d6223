"""
Size of the tests of a `CAPM`: how often they reject at 5 % where the null hypothesis holds. Not collected.

    python tests/benchmarks/bench_size.py [--samples 1050] [--only WORDS]

`test_alpha` where all alphas are zero. Where its p-value is exact, the share of p-values below .05. Where it
is a parametric bootstrap, one draw a sample: the statistics are compared with the 95 % quantile of all draws
("pooled"; Giacomini, Politis & White 2013, Econometric Theory 29, 567-589), of which the Monte Carlo error is
larger by the square root of two. "chi2" is the share that the chi-squared distribution would reject. PASS:
within two Monte Carlo errors of 5 %.

`test_constancy` (99 simulated values a p-value; a third of the samples) where the betas are constant: with
errors of constant variance, which the test assumes, and with a variance proportional to |market|.

Each sample has a seed of its own, so that the figures are the same each time. --only runs some of the rows.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import statespace_ext as sse

LEVEL = 0.05


@dataclass(frozen=True)
class Design:
    """A sample under the null hypothesis, and the model that is fitted to it."""

    name: str
    n: int
    p: int
    options: dict[str, Any]
    step: float = 0.05
    correlation: float = 0.4
    missing: float = 0.0
    rising: bool = False
    decay: float = 1.0

    def draw(self, seed: int) -> sse.CAPM:
        """Return the model of a sample; alphas are zero."""
        rng = np.random.default_rng([seed, self.n, self.p])
        market = 0.5 + 4.0 * rng.standard_normal(self.n)
        V = 9.0 * ((1.0 - self.correlation) * np.eye(self.p) + self.correlation)
        noise = rng.standard_normal((self.n, self.p)) @ np.linalg.cholesky(V).T
        if self.rising:
            noise *= np.sqrt(np.abs(market) / 3.2)[:, None]
        beta, path = rng.standard_normal(self.p) * 0.3, np.empty((self.n, self.p))
        for t in range(self.n):
            path[t] = 1.0 + beta
            beta = self.decay * beta + self.step * rng.standard_normal(self.p)
        y = path * market[:, None] + noise
        y[rng.random(y.shape) < self.missing] = np.nan
        return sse.CAPM(y, market, **self.options)


STATIC, FULL = {"beta": "static"}, {"beta": "random_walk"}
ALPHA = [
    Design("static betas", 60, 10, STATIC, step=0.0),
    Design("static betas", 60, 25, STATIC, step=0.0),
    Design(
        "static betas, V diagonal, 10 % missing", 60, 10, {**STATIC, "obs_cov": "diagonal"},
        step=0.0, correlation=0.0, missing=0.1,
    ),
    Design(
        "static betas, V scalar, 10 % missing", 30, 10, {**STATIC, "obs_cov": "scalar"},
        step=0.0, correlation=0.0, missing=0.1,
    ),
    Design("random walks, W = q V", 60, 10, {**FULL, "state_cov": "proportional"}, correlation=0.0),
    Design("static betas, 10 % missing", 60, 5, STATIC, step=0.0, missing=0.1),
    Design("random walks, W diagonal", 60, 3, {**FULL, "state_cov": "diagonal"}),
    Design("random walks, W full", 60, 3, {**FULL, "state_cov": "unstructured"}),
    Design(
        "autoregressive betas, W diagonal", 60, 2, {"beta": "ar1", "state_cov": "diagonal"},
        step=0.2, decay=0.8,
    ),
]  # fmt: skip
CONSTANCY = [
    Design("constant variance", 120, 3, {**FULL, "state_cov": "proportional"}, step=0.0),
    Design(
        "variance proportional to |market|",
        120,
        3,
        {**FULL, "state_cov": "proportional"},
        step=0.0,
        rising=True,
    ),
]


def least_squares(model: sse.CAPM) -> Any:
    """Return the maximum of the likelihood of constant coefficients with a full V, which is closed-form."""
    X, y = model.exog, model.endog
    residuals = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return model.params_from_matrices({"obs_cov": residuals.T @ residuals / (len(y) - X.shape[1])})


def wald(design: Design, seed: int) -> Any | None:
    """Return the test of a sample, None where a fit fails."""
    try:
        model = design.draw(seed)
        constant = design.step == 0.0 and not design.missing and "obs_cov" not in design.options
        res = model.smooth(least_squares(model)) if constant else model.fit(method="lbfgs", cov_type="none")
        return res.test_alpha(n_sim=1, rng=seed)["wald"]
    except sse.StateSpaceError:
        return None


def size_of_alpha(design: Design, samples: int) -> bool:
    """Print the size of the test of alpha; return whether it is within two Monte Carlo errors."""
    tests: list[Any] = [test for test in (wald(design, seed) for seed in range(samples)) if test is not None]
    pooled = tests[0].distribution == "parametric bootstrap"
    if pooled:
        draws = np.concatenate([test.simulated for test in tests])
        reject = np.array([test.statistic for test in tests]) > np.quantile(draws, 1.0 - LEVEL)
    else:
        reject = np.array([test.pvalue for test in tests]) <= LEVEL
    naive = float(np.mean([test.pvalue_chi2 <= LEVEL for test in tests]))
    error = float(np.sqrt(LEVEL * (1.0 - LEVEL) * (2.0 if pooled else 1.0) / len(tests)))
    passed = abs(reject.mean() - LEVEL) <= 2.0 * error
    row(design, len(tests), reject.mean(), error, f"{100 * naive:.1f}", "PASS" if passed else "FAIL")
    return bool(passed)


def size_of_constancy(design: Design, samples: int) -> None:
    """Print the size of the test of constancy."""
    rejected = []
    for seed in range(samples):
        res = design.draw(seed).fit(method="lbfgs", cov_type="none", low_memory=True)
        rejected.append(res.test_constancy(n_sim=99, rng=seed).pvalue <= LEVEL)
    row(design, samples, float(np.mean(rejected)), float(np.sqrt(LEVEL * (1 - LEVEL) / samples)), "", "")


def row(design: Design, count: int, share: float, error: float, naive: str, verdict: str) -> None:
    """Print one row."""
    print(
        f"{design.name:<42}{design.n:>5}{design.p:>4}{count:>7}{100 * share:>7.1f}{100 * error:>6.1f}"
        f"{naive:>7}  {verdict}".rstrip(),
        flush=True,
    )


def head(title: str) -> None:
    """Print the head of a table."""
    print(f"{title:<42}{'n':>5}{'p':>4}{'count':>7}{'size':>7}{'s.e.':>6}{'chi2':>7}")


def main() -> int:
    """Print the tables; return one where a size is off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1050)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    failed = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head("test_alpha: rejected at 5 %, in percent")
        for design in ALPHA:
            if given.only in design.name:
                failed += not size_of_alpha(design, given.samples)
        print()
        head("test_constancy: rejected at 5 %, in percent")
        for design in CONSTANCY:
            if given.only in design.name:
                size_of_constancy(design, given.samples // 3)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
