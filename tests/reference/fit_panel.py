"""
Fit many models, and compare the outcome with that of another checkout.

    PYTHONPATH=CHECKOUT python tests/reference/fit_panel.py run OUT.json [--part edges] [--only TEXT]
    python tests/reference/fit_panel.py compare BEFORE.json AFTER.json

A case is stored with its log-likelihood, whether it has converged, the processor time, the number of
iterations and evaluations and what the starts reached. Cases are the two halves of start_panel.py, the
likelihoods of several maxima of capm.py, the panels of yields, each method, data in other units, samples
that are short or have missing cells, and statsmodels' own models with the exact score.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np
import pandas as pd
import start_panel
import statsmodels.api as sm
from capm import BETA_MOVES, BOTH_MOVE, berndt, structured_cases
from conftest import SHARED_DATA
from yields import jps, panel, random_panel

import statespace_ext as sse

METHODS = ("auto", "lbfgs", "bfgs", "cg", "newton", "nm", "powell", "em", "accelerated-em")
TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])
AFNS = {"identification": "afns"}
INDEPENDENT = {**AFNS, "p_dynamics": "diagonal", "state_cov": "diagonal"}
HIGHER = 1e-4
"""Difference of log-likelihoods that is reported."""
Case = tuple[str, Callable[[], Any], dict[str, Any]]


def factors(seed: int, n: int, p: int, k: int = 1, missing: float = 0.0) -> np.ndarray:
    """Return series of k autoregressive factors and noise."""
    rng = np.random.default_rng(seed)
    f = np.zeros((n, k))
    for t in range(1, n):
        f[t] = 0.8 * f[t - 1] + rng.standard_normal(k)
    y = f @ rng.standard_normal((p, k)).T + 0.7 * rng.standard_normal((n, p))
    y[rng.random((n, p)) < missing] = np.nan
    return y


def returns(
    seed: int, n: int, p: int, missing: float = 0.0, move: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Return returns of betas that wander, and the market."""
    rng = np.random.default_rng(seed)
    market = rng.standard_normal(n)
    y = market[:, None] * (1.0 + np.cumsum(move * rng.standard_normal((n, p)), axis=0))
    y += 0.6 * rng.standard_normal((n, p))
    y[rng.random((n, p)) < missing] = np.nan
    return y, market


def of_start_panel() -> Iterator[Case]:
    """Models of both halves of the panel of starts."""
    for half in start_panel.HALVES:
        for entry in start_panel.entries(half):
            yield f"{half}: {entry['name']}", lambda entry=entry: start_panel.model_of(entry), {}


def of_regressions() -> Iterator[Case]:
    """Regressions on published data, many with several maxima."""
    for name, (data, options) in structured_cases(SHARED_DATA).items():
        for method in ("auto", "lbfgs"):
            build = lambda data=data, options=options: sse.DynamicRegression(*data, **options)  # noqa: E731
            yield f"berndt: {name}, {method}", build, {"method": method}
    y, x = berndt(SHARED_DATA)
    for name, moves in (("beta", BETA_MOVES), ("both", BOTH_MOVE)):
        for kind in ("unstructured", "diagonal", "factor:1", "proportional"):
            build = lambda moves=moves, kind=kind: sse.DynamicRegression(  # noqa: E731
                y, x, dynamics=moves, state_cov=kind
            )
            yield f"berndt: {name} moves, {kind}", build, {}
    data = pd.read_csv(SHARED_DATA / "capm" / "tsay_m_fac9003.csv")
    ten = pd.DataFrame({"const": 1.0, "MKT": data["SP5"]})
    yield "tsay", lambda: sse.DynamicRegression(data.iloc[:, 1:11], ten, dynamics=BETA_MOVES), {}
    french = _industries()
    for seed in range(8 if french is not None else 0):
        rng = np.random.default_rng(seed)
        drawn = rng.choice(french.columns.drop(["dates", "MktRF", "SMB", "HML", "Mom", "RF"]), 3, False)
        rows = slice(first := int(rng.integers(0, len(french) - 120)), first + 120)
        y, market = 100.0 * french[drawn].to_numpy()[rows], 100.0 * french["MktRF"].to_numpy()[rows]
        for kind in ("diagonal", "equicorrelated", "unstructured"):
            build = lambda y=y, market=market, kind=kind: sse.CAPM(  # noqa: E731
                y, market, beta="ar1", state_cov=kind
            )
            yield f"industries: {kind} {seed}", build, {}


def _industries() -> Any:
    try:
        from linearmodels.datasets import french
    except ImportError:
        return None
    return french.load()


def of_yields() -> Iterator[Case]:
    """Panels of the papers, and simulated ones."""
    for source in ("cdr", "jsz", "jps", "gsw", "dra"):
        y, tau = jps(SHARED_DATA) if source == "jps" else panel(SHARED_DATA, source, "decimal")
        for name, options in (("independent-afns", INDEPENDENT), ("afns", AFNS), ("jsz", {})):
            build = lambda y=y, tau=tau, options=options: sse.ATSM(y, tau, **options)  # noqa: E731
            yield f"yields: {source}.{name}", build, {}
    drawn = random_panel(np.random.default_rng(1), 120, TAU)
    gaps = random_panel(np.random.default_rng(3), 60, TAU, 2, missing=0.1, irregular=True)
    for name, options in {
        "dai-singleton": {"identification": "dai-singleton"},
        "dns": {"identification": "dns"},
        "estimated": {**AFNS, "initialization": "estimated"},
        "diffuse": {**AFNS, "initialization": "diffuse"},
        "prices": {"risk_prices": {"lambda_1": "diagonal"}},
        "exact": {"obs_cov": "exact-portfolios"},
    }.items():
        yield f"yields: {name}", lambda options=options: sse.ATSM(drawn, TAU, **options), {}
        k = 3 if name == "dns" else 2
        yield f"yields: {name}, gaps", lambda options=options, k=k: sse.ATSM(gaps, TAU, k, **options), {}
    for name, options in {"dai-singleton": {"identification": "dai-singleton"}, "afns": AFNS}.items():
        for method in ("lbfgs", "newton", "mle"):
            build = lambda options=options: sse.ATSM(drawn, TAU, **options)  # noqa: E731
            yield f"yields: {name}, {method}", build, {"method": method}
    yield "yields: concentrated", lambda: sse.ATSM(drawn, TAU, obs_cov="exact-portfolios"), {"method": "jsz"}


def of_edges() -> Iterator[Case]:
    """Units, missing cells, short samples, singular matrices."""
    triangular = {"identification": "triangular"}
    for unit in (1e-6, 1.0, 1e6):
        y, market = returns(20, 80, 2, 0.1)
        for k in (1, 2):
            f = unit * factors(k, 80, 4, k)
            yield f"units {unit:g}: LGSSM {k}", lambda f=f, k=k: sse.LGSSM(f, k, **triangular), {}
        for kind in ("random_walk", "ar1"):
            build = lambda y=unit * y, m=unit * market, kind=kind: sse.CAPM(y, m, beta=kind)  # noqa: E731
            yield f"units {unit:g}: CAPM {kind}", build, {}
    for share in (0.1, 0.3, 0.5, 0.7):
        for seed in range(3):
            f = factors(seed, 120, 5, 2, share)
            yield f"missing {share}: LGSSM {seed}", lambda f=f: sse.LGSSM(f, 2, **triangular), {}
            y, market = returns(seed, 120, 3, share)
            for kind in ("random_walk", "ar1"):
                build = lambda y=y, market=market, kind=kind: sse.CAPM(y, market, beta=kind)  # noqa: E731
                yield f"missing {share}: CAPM {kind} {seed}", build, {}
    for n in (12, 20, 30, 38):
        for seed in range(3):
            f = factors(seed, n, 3)
            for kind in ("triangular", "unit"):
                build = lambda f=f, kind=kind: sse.LGSSM(f, 1, identification=kind)  # noqa: E731
                yield f"short {n}: {kind} {seed}", build, {}
            y, market = returns(seed, n, 2)
            yield f"short {n}: CAPM {seed}", lambda y=y, m=market: sse.CAPM(y, m, beta="random_walk"), {}
    for seed in range(4):
        y, market = returns(24 + seed, 80, 3, 0.12 * (seed % 2), move=0.0 if seed < 2 else 0.1)
        for kind in ("unstructured", "diagonal", "factor:1"):
            build = lambda y=y, m=market, kind=kind: sse.CAPM(  # noqa: E731
                y, m, beta="random_walk", state_cov=kind
            )
            yield f"singular: CAPM {kind} {seed}", build, {}
    y, market = returns(3, 120, 4, 0.12)
    yield "CAPM ar1 factor:1", lambda: sse.CAPM(y, market, beta="ar1", state_cov="factor:1"), {}
    yield (
        "Heywood",
        lambda: sse.LGSSM(np.random.default_rng(99).standard_normal((60, 3)), 1, **triangular),
        {},
    )
    band = np.where(np.abs(np.subtract.outer(range(3), range(3))) < 2, np.nan, 0.0)
    yield "pattern", lambda: sse.LGSSM(factors(8, 80, 3), 1, identification="unit", obs_cov=band), {}
    yield "not identified", lambda: sse.LGSSM(factors(5, 80, 3, 2), 2), {}
    for p in (30, 120):
        yield (
            f"{p} series",
            lambda p=p: sse.LGSSM(factors(7, 100, p, 2), 2, **triangular),
            {"cov_type": "none"},
        )


def of_methods() -> Iterator[Case]:
    """Each method."""
    models: dict[str, Callable[[], Any]] = {
        "LGSSM": lambda: sse.LGSSM(factors(1, 80, 3, missing=0.1), 1, identification="triangular"),
        "lags": lambda: sse.LGSSM(factors(6, 100, 3), 1, lags=2, identification="unit"),
        "CAPM": lambda: sse.CAPM(*returns(20, 80, 2, 0.1), beta="random_walk"),
        "CAPM ar1": lambda: sse.CAPM(*returns(27, 80, 2), beta="ar1", state_cov="diagonal"),
        "factor:1": lambda: sse.CAPM(*returns(22, 80, 3), beta="random_walk", state_cov="factor:1"),
    }
    for name, build in models.items():
        for method in METHODS:
            yield f"method {method}: {name}", build, {"method": method}


class SARIMAX(sse.ExactScoreMixin, sm.tsa.SARIMAX):
    """With the exact score."""


class VARMAX(sse.ExactScoreMixin, sm.tsa.VARMAX):
    """With the exact score."""


def of_statsmodels() -> Iterator[Case]:
    """Models of statsmodels with the exact score."""
    for seed in range(3):
        y = factors(seed, 100, 2)
        for order in ((1, 0, 1), (2, 1, 1)):
            build = lambda y=y, order=order: SARIMAX(y[:, 0].cumsum(), order=order)  # noqa: E731
            yield f"SARIMAX {order} {seed}", build, {"disp": False}
        for order in ((1, 0), (2, 0), (1, 1)):
            build = lambda y=y, order=order: VARMAX(y, order=order)  # noqa: E731
            yield f"VARMAX {order} {seed}", build, {"disp": False, "maxiter": 200}


PARTS = (of_edges, of_methods, of_statsmodels, of_regressions, of_start_panel, of_yields)


def counted(model: Any) -> dict[str, int]:
    """Return the number of calls of likelihood, score and E-step, which goes on being counted."""
    calls = dict.fromkeys(("value", "value_and_score", "moments"), 0)
    kind = type(model.problem())
    for name in calls:
        inner = getattr(getattr(kind, name), "counts", getattr(kind, name))

        def counting(self: Any, params: Any, name: str = name, inner: Any = inner) -> Any:
            calls[name] += 1
            return inner(self, params)

        counting.counts = inner  # type: ignore[attr-defined]
        setattr(kind, name, counting)
    return calls


def outcome(build: Callable[[], Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return what a fit reaches."""
    model = build()
    if isinstance(model, start_panel.sse.LGSSM | sse.DynamicRegression | sse.ATSM):
        options, calls = {"cov_type": "none", **options}, counted(model)
    else:
        calls = {}
    began = time.process_time()
    try:
        res = model.fit(**options)
    except (sse.StateSpaceError, np.linalg.LinAlgError) as error:
        return {"llf": None, "converged": False, "seconds": time.process_time() - began, "error": str(error)}
    seconds, told = time.process_time() - began, res.mle_retvals or {}
    out = {"llf": float(res.llf), "converged": bool(told.get("converged")), "seconds": seconds, **calls}
    fit = getattr(res, "_fit", None)
    if fit is not None:
        out |= {key: getattr(fit, key) for key in ("iterations", "evaluations", "starts", "status")}
    return out


def run(path: Path, part_of: str, only: str) -> None:
    """Run the cases and store what they reach."""
    stored: dict[str, Any] = {}
    print("the package of", Path(sse.__file__).parent, flush=True)
    for part in PARTS:
        for name, build, options in part() if part_of in part.__name__ else ():
            if only in name:
                stored[name] = outcome(build, options)
                path.write_text(json.dumps(stored, indent=0), encoding="utf-8")
        print(part.__name__, f"{sum(case['seconds'] for case in stored.values()):.0f} s in all", flush=True)


def compare(before: Path, after: Path) -> None:
    """Print where two runs differ, and the ratio of their processor time by part."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    groups: dict[str, list[tuple[float, ...]]] = {}
    counts = {"lower": 0, "higher": 0, "no longer converged": 0, "newly converged": 0}
    for name in (each for each in old if each in new):
        one, two = old[name], new[name]
        passes = (
            sum(case.get(key, 0) for key in ("value", "value_and_score", "moments")) for case in (one, two)
        )
        group = groups.setdefault(name.split(":")[0].split(" ")[0], [])
        group.append((one["seconds"], two["seconds"], *passes))
        change = (-np.inf if two["llf"] is None else two["llf"]) - (one["llf"] or -np.inf)
        what = "lower" if change < -HIGHER else "higher" if change > HIGHER else ""
        if one["converged"] != two["converged"]:
            turned = "newly converged" if two["converged"] else "no longer converged"
            counts[turned] += 1
            print(f"{name:44s} {turned}: {two.get('status', '')}")
        if what:
            counts[what] += 1
            print(f"{name:44s} {what} by {abs(change):.4g} ({one['llf']} {two['llf']})")
    print(counts, "of", sum(len(group) for group in groups.values()))
    for name, pairs in {**groups, "all": [pair for group in groups.values() for pair in group]}.items():
        first, second, calls, more = np.array(pairs).T
        ratio, passes = np.median(second / np.maximum(first, 1e-9)), more.sum() / max(calls.sum(), 1)
        print(
            f"{name:12s} {first.sum():7.1f} s to {second.sum():7.1f} s, {second.sum() / first.sum():.2f}; "
            f"median ratio {ratio:.2f}; passes {passes:.2f}, "
            f"median {np.median(more / np.maximum(calls, 1)):.2f}"
        )


def main() -> None:
    """Run a command."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=["run", "compare"])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--part", default="", help="one of edges, methods, statsmodels, ...")
    given = parser.parse_args()
    if given.command == "run":
        run(given.files[0], given.part, given.only)
    else:
        compare(*given.files)


if __name__ == "__main__":
    main()
