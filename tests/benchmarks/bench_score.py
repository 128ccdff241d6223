"""
Cost of the exact score, and of fits with it, against the aims of the project. Not collected by pytest.

    python tests/benchmarks/bench_score.py [--quick]

Times are processor times of one thread, so that what else runs on the machine counts little; runs
alternate, and medians are compared. A fit by statsmodels (its "lbfgs", numerical score) starts from the same
values, with the criteria that its users get. Beside the whole fit is the time in which each first came
within 0.01 of the log-likelihood that ours ends with. A ratio is a lower bound, marked ">", where
statsmodels' fit was stopped at the time limit or ended lower.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import statsmodels.api as sm
from capm import BETA_MOVES, simulated
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse

CLOSE = 0.01
LIMIT = 600.0
"""Seconds after which a fit by statsmodels is given up."""


def seconds(function: Callable[[], Any]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def alternating(first: Callable[[], Any], second: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Return the median times of two calls that take turns."""
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(runs)]
    return median(a for a, _ in pairs), median(b for _, b in pairs)


class Table:
    """Rows of a figure, its limit and the verdict."""

    def __init__(self) -> None:
        self.failed = 0
        print(f"{'what':<52}{'ours':>10}{'other':>11}{'ratio':>9}{'limit':>8}")

    def row(self, what: str, ours: float, other: float, ratio: str, limit: str, passed: bool) -> None:
        """Print one row."""
        self.failed += not passed
        verdict = "" if not limit else "PASS" if passed else "FAIL"
        beside = f"{1e3 * other:.1f}ms" if np.isfinite(other) else "-"
        print(
            f"{what:<52}{1e3 * ours:>8.1f}ms{beside:>11}{ratio:>9}{limit:>8}  {verdict}".rstrip(), flush=True
        )


def capm(p: int, n: int = 240) -> sse.DynamicRegression:
    """Return a CAPM of p assets on random data."""
    return sse.DynamicRegression(*simulated(np.random.default_rng(p), n, p), dynamics=BETA_MOVES)


def score_against_loglike(table: Table, p: int, runs: int) -> None:
    """Compare a score with one filter pass by statsmodels."""
    model = capm(p)
    params = np.asarray(model.start_params)
    model.update(params)
    loglike, score = alternating(model.ssm.loglike, lambda: model.score(params), runs)
    ratio = score / loglike
    table.row(
        f"score / ssm.loglike, CAPM of {p} assets", score, loglike, f"{ratio:.2f}", "<= 4", ratio <= 4.0
    )


class PlainCAPM(MLEModel):
    """The CAPM as a user of statsmodels writes it: Cholesky factors, exact diffuse start."""

    def __init__(self, endog: Any, exog: Any, start: dict[str, np.ndarray]) -> None:
        p = endog.shape[1]
        super().__init__(endog, exog=exog, k_states=2 * p, k_posdef=p, initialization="diffuse")
        self.p, self.lower = p, np.tril_indices(p)
        design = np.zeros((p, 2 * p, len(endog)))
        for i in range(p):
            design[i, i], design[i, p + i] = self.exog[:, 0], self.exog[:, 1]
        self["design"], self["transition"] = design, np.eye(2 * p)
        self["selection"] = np.vstack([np.zeros((p, p)), np.eye(p)])
        roots = [np.linalg.cholesky(start[key]) for key in ("obs_cov", "state_cov")]
        self._start = np.concatenate([root[self.lower] for root in roots])

    @property
    def start_params(self) -> np.ndarray:
        return self._start

    @property
    def param_names(self) -> list[str]:
        return [f"L{i}" for i in range(len(self._start))]

    def update(self, params: Any, **kwargs: Any) -> Any:
        params = super().update(params, **kwargs)
        for name, part in zip(("obs_cov", "state_cov"), np.split(params, 2), strict=True):
            root = np.zeros((self.p, self.p), dtype=params.dtype)
            root[self.lower] = part
            self[name] = root @ root.T
        return params


class TooLongError(Exception):
    """The time limit."""


class Stopwatch:
    """Follow a fit by its callback: processor time without that of looking; when it came near a target."""

    def __init__(self, loglike: Callable[[Any], float], target: float, limit: float) -> None:
        self.loglike, self.target, self.limit = loglike, target, limit
        self.start, self.looking, self.near = time.process_time(), 0.0, np.nan
        self.best = -np.inf

    def elapsed(self) -> float:
        """Return the time taken by the fit alone."""
        return time.process_time() - self.start - self.looking

    def __call__(self, params: Any) -> None:
        """Look at the parameters after an iteration."""
        before, elapsed = time.process_time(), self.elapsed()
        self.best = max(self.best, float(self.loglike(params)))
        if np.isnan(self.near) and self.best > self.target - CLOSE:
            self.near = elapsed
        self.looking += time.process_time() - before
        if elapsed > self.limit:
            raise TooLongError


def race(fit: Callable[[Any], Any], loglike: Callable[[Any], float], target: float, limit: float) -> tuple:
    """Return the time of a fit, the time until it was near the target, its best value, and if it ended."""
    watch = Stopwatch(loglike, target, limit)
    try:
        fit(watch)
    except TooLongError:
        return watch.elapsed(), watch.near, watch.best, False
    return watch.elapsed(), watch.near, watch.best, True


def compare_fits(
    table: Table, what: str, ours: tuple[Callable, Callable], other: MLEModel, factor: float, limit: float
) -> None:
    """Compare a fit of ours (and its log-likelihood) with one by statsmodels from the same start values."""
    target = ours[0](None).llf
    runs = [race(*ours, target, limit) for _ in range(3)]
    mine, mine_near = (median(run[i] for run in runs) for i in (0, 1))

    def theirs(callback: Any) -> None:
        other.fit(disp=False, maxiter=10_000, maxfun=10**9, callback=callback, cov_type="none")

    taken, near, best, ended = race(
        theirs, lambda params: other.loglike(params, transformed=False), target, limit
    )
    print(f"    {what}: log-likelihoods {target:.5f} and {best:.5f}{'' if ended else ' (stopped)'}")
    bound = "" if ended and best > target - CLOSE else ">"
    ratio = taken / mine
    table.row(f"{what}, whole fit", mine, taken, f"{bound}{ratio:.1f}", f">= {factor:g}", ratio >= factor)
    bound, near = (">", taken) if np.isnan(near) else ("", near)
    ratio = near / mine_near
    limit_text = f">= {factor:g}"
    table.row(
        f"{what}, to within {CLOSE}", mine_near, near, f"{bound}{ratio:.1f}", limit_text, ratio >= factor
    )


def compare_capm_fits(table: Table, p: int, factor: float, limit: float) -> None:
    """Compare fits of the CAPM of p assets."""
    model = capm(p)
    plain = PlainCAPM(model.endog, model.exog, model.matrices(model.start_params))

    def fit(callback: Any) -> Any:
        return model.fit(cov_type="none", callback=callback)

    compare_fits(table, f"CAPM of {p} assets", (fit, model.loglike), plain, factor, limit)


class ExactVARMAX(sse.ExactScoreMixin, sm.tsa.VARMAX):
    """VARMAX with the exact score."""


def compare_varmax_fits(table: Table, limit: float) -> None:
    """Compare fits of VARMAX(2) of five series of growth rates."""
    names = ["realgdp", "realcons", "realinv", "realgovt", "realdpi"]
    data = sm.datasets.macrodata.load_pandas().data[names].to_numpy()
    y = 100.0 * np.diff(np.log(data), axis=0)
    options = {"order": (2, 0), "trend": "c"}
    exact, plain = ExactVARMAX(y, **options), sm.tsa.VARMAX(y, **options)

    def fit(callback: Any) -> Any:
        return exact.fit(disp=False, maxiter=10_000, callback=callback, cov_type="none")

    def loglike(params: np.ndarray) -> float:
        return plain.loglike(params, transformed=False)

    compare_fits(table, "VARMAX(2) of 5 series", (fit, loglike), plain, 10.0, limit)


def main(quick: bool) -> int:
    """Print the table."""
    table = Table()
    limit = 60.0 if quick else LIMIT
    for p, runs in ((2, 41), (4, 41), (10, 21), (25, 9)):
        score_against_loglike(table, p, runs)
    compare_capm_fits(table, 4, 6.0, limit)
    compare_varmax_fits(table, limit)
    compare_capm_fits(table, 10, 20.0, limit)
    return int(table.failed > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main("--quick" in sys.argv[1:]))
