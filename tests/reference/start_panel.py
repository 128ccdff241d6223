"""
Simulate 200 small models whose default fit is compared with the best of 20 random starts.

    python tests/reference/start_panel.py write             store specifications, truths and seeds
    python tests/reference/start_panel.py random develop    add the best of the random starts of a half
    python tests/reference/start_panel.py judge develop     run the default fits of a half (or "final")
    python tests/reference/start_panel.py judge develop --against FOLDER    and those of another checkout

The data are not stored: seeds remake them, and a stored sum tells whether they did. Each structure gives its
models to the two halves in turn. The random starts are scattered around the truth and around the default
start values of the time at which they were run, ten each; each takes up to 300 iterations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
import zlib
from itertools import chain, combinations
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import statespace_ext as sse

PATH = Path(__file__).resolve().parent / "start_panel.json"
STARTS, MAXITER, WITHIN = 20, 300, 0.01
HALVES = ("develop", "final")
COUNTS = {
    "mixed frequency": 24,
    "one block, AR(1) errors": 20,
    "two blocks, AR(1) errors": 20,
    "triangular": 28,
    "unit with lags": 16,
    "zero pattern and signs": 16,
    "trend": 16,
    "missing": 16,
    "CAPM": 16,
    "regression": 14,
    "short": 14,
}
"""Number of models by structure."""
Drawn = tuple[str, dict[str, Any], dict[str, Any], dict[str, np.ndarray]]


# -- structures: a class, its arguments, the sample, matrices at the truth


def _signs(rng: np.random.Generator, size: Any) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size)


def _loadings(rng: np.random.Generator, *size: int) -> np.ndarray:
    return rng.uniform(0.3, 1.3, size) * _signs(rng, size)


def _diagonal(names: list[Any]) -> list[list[Any]]:
    """Return a diagonal matrix specification."""
    return [[name if i == j else 0.0 for j in range(len(names))] for i, name in enumerate(names)]


def mixed_frequency(rng: np.random.Generator) -> Drawn:
    """Mariano & Murasawa by hand: a monthly factor on five companion states, quarterly sums of it."""
    monthly, quarterly = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    lags, p = int(rng.integers(1, 3)), monthly + quarterly
    design: list[list[Any]] = [[1.0 if i == 0 else f"m{i}", 0.0, 0.0, 0.0, 0.0] for i in range(monthly)]
    design += [[f"l{i}", f"2*l{i}", f"3*l{i}", f"2*l{i}", f"l{i}"] for i in range(quarterly)]
    transition = [["phi1", "phi2" if lags == 2 else 0.0, 0.0, 0.0, 0.0]]
    transition += [[float(j == i) for j in range(5)] for i in range(4)]
    spec = {
        "k_factors": 5,
        "design": design,
        "transition": transition,
        "state_cov": _diagonal(["q"] + 4 * [0.0]),
    }
    first, second = rng.uniform(0.2, 0.9), rng.uniform(-0.3, 0.3) if lags == 2 else 0.0
    phi = np.array([first * (1 - second), second])
    quarter = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    Z = np.zeros((p, 5))
    Z[:, 0] = [1.0, *_loadings(rng, p - 1)]
    Z[monthly:] = np.outer(Z[monthly:, 0] / 3.0, quarter)
    T = np.eye(5, k=-1)
    T[0, :2] = phi
    H = np.diag(np.concatenate([rng.uniform(0.3, 3.0, monthly), rng.uniform(0.1, 3.0, quarterly)]))
    Q = np.diag([rng.uniform(0.5, 2.0), 0.0, 0.0, 0.0, 0.0])
    sample = {"n": int(rng.integers(90, 151)), "quarterly": quarterly}
    return "LGSSM", spec, sample, {"design": Z, "transition": T, "obs_cov": H, "state_cov": Q}


def _with_errors(rng: np.random.Generator, blocks: int) -> Drawn:
    """Factors, and AR(1) errors of the series as states beside them; obs_cov is zero."""
    p = int(rng.integers(3, 6)) if blocks == 1 else int(rng.integers(4, 7))
    lower, unit = blocks == 2 and rng.random() < 0.4, rng.random() < 0.5
    member = np.zeros(p, int) if blocks == 1 else (np.arange(p) >= p // 2).astype(int)
    Z = np.zeros((p, blocks + p))
    Z[:, blocks:] = np.eye(p)
    design = [[float(value) for value in row] for row in Z]
    for j in range(blocks):
        own = np.flatnonzero(member == j) if not lower else np.arange(j, p)
        Z[own, j] = _loadings(rng, len(own))
        for i in own:
            design[i][j] = f"z{i}{j}"  # type: ignore[call-overload]
        if unit:
            design[own[0]][j] = Z[own[0], j] = 1.0
    variances = [f"f{j}" if unit else 1.0 for j in range(blocks)] + [f"e{i}" for i in range(p)]
    spec = {
        "k_factors": blocks + p,
        "design": design,
        "transition": "diagonal",
        "obs_cov": "zero",
        "state_cov": _diagonal(variances),
    }
    phi = np.concatenate([rng.uniform(0.3, 0.95, blocks), rng.uniform(-0.4, 0.9, p)])
    scale = 10.0 ** rng.uniform(-1, 1) if unit else 1.0
    Q = np.concatenate([np.full(blocks, scale), scale * rng.uniform(0.2, 2.0, p)])
    sample = {"n": int(rng.integers(80, 151))}
    return "LGSSM", spec, sample, {"design": Z, "transition": np.diag(phi), "state_cov": np.diag(Q)}


def one_block(rng: np.random.Generator) -> Drawn:
    """One factor with AR(1) errors."""
    return _with_errors(rng, 1)


def two_blocks(rng: np.random.Generator) -> Drawn:
    """Two factors with AR(1) errors, of groups of series or lower triangular."""
    return _with_errors(rng, 2)


def _stable(rng: np.random.Generator, k: int, lags: int) -> np.ndarray:
    """Return a stable transition, (k, k * lags)."""
    first = np.diag(rng.uniform(-0.3, 0.9, k)) + np.triu(rng.uniform(-0.2, 0.2, (k, k)), 1)
    rest = [np.diag(rng.uniform(-0.25, 0.08, k)) for _ in range(lags - 1)]
    return np.concatenate([first, *rest], axis=1)


def triangular(rng: np.random.Generator) -> Drawn:
    """A plain model, triangular."""
    k = int(rng.choice([1, 2, 2, 3]))
    p, lags = int(rng.integers(k + 2, k + 4)), int(rng.choice([1, 1, 2])) if k < 3 else 1
    spec = {"k_factors": k, "lags": lags, "identification": "triangular"}
    truth = {
        "design": np.tril(_loadings(rng, p, k)),
        "transition": _stable(rng, k, lags),
        "obs_cov": np.diag(rng.uniform(0.2, 2.0, p)),
        "state_cov": np.eye(k),
    }
    return "LGSSM", spec, {"n": int(rng.integers(60, 151))}, truth


def unit(rng: np.random.Generator) -> Drawn:
    """The first rows of the design are the identity; several lags."""
    k, lags = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    p = int(rng.integers(k + 2, k + 4))
    root = 0.3 * rng.standard_normal((k, k)) + np.eye(k)
    truth = {
        "design": np.concatenate([np.eye(k), _loadings(rng, p - k, k)]),
        "transition": _stable(rng, k, lags),
        "obs_cov": np.diag(rng.uniform(0.2, 2.0, p)),
        "state_cov": root @ root.T * rng.uniform(0.3, 3.0),
    }
    spec = {"k_factors": k, "lags": lags if k == 1 else 2, "identification": "unit"}
    truth["transition"] = truth["transition"][:, : k * spec["lags"]]
    return "LGSSM", spec, {"n": int(rng.integers(80, 151))}, truth


def zero_pattern(rng: np.random.Generator) -> Drawn:
    """Dynamic factor analysis: random walks, loadings with zeros and with fixed values of either sign."""
    k, p = 2, int(rng.integers(4, 7))
    Z = np.where(rng.random((p, k)) < 0.3, 0.0, _loadings(rng, p, k))
    Z[0, 1] = 0.0
    Z[:, 0][np.all(Z == 0, axis=1)] = 0.7
    Z[0, 0], Z[1, 1] = (-1.0, 1.0) if rng.random() < 0.5 else (1.0, -1.0)
    design: list[list[Any]] = [[f"z{i}{j}" if Z[i, j] else 0.0 for j in range(k)] for i in range(p)]
    design[0][0], design[1][1] = float(Z[0, 0]), float(Z[1, 1])
    walk = rng.random() < 0.6
    spec: dict[str, Any] = {"k_factors": k, "design": design, "state_cov": "diagonal"}
    spec |= {"transition": "identity" if walk else "diagonal"}
    if walk:
        spec |= {
            "initialization": "known",
            "initial_state": [0.0] * k,
            "initial_state_cov": _diagonal([5.0] * k),
        }
    truth = {
        "design": Z,
        "transition": np.eye(k) if walk else np.diag(rng.uniform(0.3, 0.95, k)),
        "obs_cov": np.diag(rng.uniform(0.2, 2.0, p)),
        "state_cov": np.diag(rng.uniform(0.05, 0.5, k)),
    }
    return "LGSSM", spec, {"n": int(rng.integers(60, 121))}, truth


def trend(rng: np.random.Generator) -> Drawn:
    """A local level, a local linear trend, or a level and a cycle of AR(1)."""
    kind = rng.choice(["level", "linear", "cycle"])
    sample = {"n": int(rng.integers(60, 151))}
    if kind == "level":
        p = int(rng.integers(1, 3))
        spec = {"k_factors": p, "design": "identity", "transition": "identity", "state_cov": "unstructured"}
        root = 0.4 * rng.standard_normal((p, p)) + 0.3 * np.eye(p)
        truth = {"obs_cov": np.diag(rng.uniform(0.3, 2.0, p)), "state_cov": root @ root.T}
        return "LGSSM", {**spec, "obs_intercept": "zero", "initialization": "diffuse"}, sample, truth
    if kind == "linear":
        spec = {"k_factors": 2, "design": [[1.0, 0.0]], "transition": [[1.0, 1.0], [0.0, 1.0]]}
        spec |= {"state_cov": "diagonal", "obs_intercept": "zero", "initialization": "diffuse"}
        truth = {
            "obs_cov": np.diag(rng.uniform(0.3, 2.0, 1)),
            "state_cov": np.diag(rng.uniform(0.01, 0.3, 2)),
        }
        return "LGSSM", spec, sample, truth
    p = int(rng.integers(2, 4))
    design: list[list[Any]] = [[1.0, 0.0], [0.0, 1.0]] + [["a", "b"]] * (p - 2)
    spec = {
        "k_factors": 2,
        "design": design,
        "transition": [[1.0, 0.0], [0.0, "phi"]],
        "state_cov": "diagonal",
    }
    spec |= {
        "initialization": "known",
        "initial_state": [0.0, 0.0],
        "initial_state_cov": _diagonal([10.0, 1.0]),
    }
    truth = {
        "design": np.concatenate([np.eye(2), _loadings(rng, p - 2, 2)]),
        "transition": np.diag([1.0, rng.uniform(0.3, 0.9)]),
        "obs_cov": np.diag(rng.uniform(0.2, 1.5, p)),
        "state_cov": np.diag([rng.uniform(0.05, 0.5), rng.uniform(0.3, 1.0)]),
    }
    return "LGSSM", spec, sample, truth


def missing(rng: np.random.Generator) -> Drawn:
    """One of the models of factors, of which 10 to 50 % of the cells are missing."""
    kind, spec, sample, truth = [triangular, unit, zero_pattern][int(rng.integers(3))](rng)
    return kind, spec, {**sample, "missing": float(rng.uniform(0.1, 0.5))}, truth


def _dynamics(rng: np.random.Generator, names: list[str]) -> dict[str, str]:
    out = {name: str(rng.choice(["static", "random_walk", "ar1"])) for name in names}
    return out if set(out.values()) != {"static"} else {**out, names[-1]: "ar1"}


def capm(rng: np.random.Generator) -> Drawn:
    """One to three assets and the market."""
    p, kind = int(rng.integers(1, 4)), str(rng.choice(["static", "random_walk", "ar1", "ar1"]))
    spec = {"beta": kind}
    if kind != "static":
        spec["state_cov"] = str(rng.choice(["diagonal", "unstructured", "scalar"]))
    return "CAPM", spec, {"n": int(rng.integers(60, 151)), "p": p, "regressors": 1}, {}


def regression(rng: np.random.Generator) -> Drawn:
    """One or two series and two regressors beside the constant."""
    dynamics = _dynamics(rng, ["x2", "x3"])
    spec = {
        "dynamics": dynamics,
        "state_cov": str(rng.choice(["diagonal", "unstructured"])),
        "obs_cov": str(rng.choice(["diagonal", "unstructured"])),
    }
    sample = {"n": int(rng.integers(60, 151)), "p": int(rng.integers(1, 3)), "regressors": 3}
    return "DynamicRegression", spec, sample, {}


def short(rng: np.random.Generator) -> Drawn:
    """One of the models of factors over 25 to 40 periods."""
    kind, spec, sample, truth = [triangular, one_block, unit, zero_pattern][int(rng.integers(4))](rng)
    return kind, spec, {**sample, "n": int(rng.integers(25, 41))}, truth


DRAW = dict(
    zip(
        COUNTS,
        [mixed_frequency, one_block, two_blocks, triangular, unit, zero_pattern, trend, missing, capm]
        + [regression, short],
        strict=True,
    )
)


# -- data


def _regressors(rng: np.random.Generator, sample: dict[str, Any]) -> np.ndarray | None:
    count, n = sample.get("regressors", 0), sample["n"]
    if not count:
        return None
    drawn = rng.standard_normal((n, max(count - 1, 1))) * 2.0
    return drawn if count == 1 else np.column_stack([np.ones(n), drawn])


def _model(entry: dict[str, Any], y: np.ndarray, x: np.ndarray | None) -> Any:
    kind = getattr(sse, entry["class"])
    return kind(y, **entry["specification"]) if x is None else kind(y, x, **entry["specification"])


def _shapes(entry: dict[str, Any]) -> tuple[np.random.Generator, Any, np.ndarray | None]:
    """Return the generator of the data, a model on data that mean nothing, and the regressors."""
    rng, sample = np.random.default_rng(entry["seed"]), entry["sample"]
    x = _regressors(rng, sample)
    design = entry["specification"].get("design")
    p = sample["p"] if "p" in sample else len(design) if isinstance(design, list) else sample["series"]
    return rng, _model(entry, rng.standard_normal((sample["n"], p)), x), x


def simulated(entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """
    Return the observations and the regressors of an entry.

    Square roots of covariances are made of eigenvectors, whose signs differ between processors. The signs are
    those with which the data have the stored sum.
    """
    as_here = _simulated(entry, ())
    model = _shapes(entry)[1]
    columns = range(model.k_endog + model.ssm.k_posdef + model.k_states if "fingerprint" in entry else 0)
    for flipped in chain([()], combinations(columns, 1), combinations(columns, 2)):
        y, x = _simulated(entry, flipped)
        if np.isclose(_fingerprint(y), entry.get("fingerprint", np.nan), rtol=1e-8, atol=0.0):
            return y, x
    return as_here


def _simulated(entry: dict[str, Any], flipped: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the observations and the regressors with some columns of the square roots times -1."""
    rng, model, x = _shapes(entry)
    params = np.array([entry["truth"][name] for name in model.param_names])
    system, sample = model.system(params), entry["sample"]
    n, p, k = sample["n"], model.k_endog, len(system.transition)
    root = [_root(matrix) for matrix in (system.obs_cov, system.state_cov, system.initial_state_cov)]
    signs = np.ones(sum(len(matrix) for matrix in root))
    signs[list(flipped)] = -1.0
    root = [matrix * sign for matrix, sign in zip(root, np.split(signs, [p, p + len(root[1])]), strict=True)]
    state = system.initial_state + root[2] @ rng.standard_normal(k)
    if system.diffuse:
        state = state + (1.0 if x is not None else 0.0) + 0.5 * rng.standard_normal(k)
    y = np.zeros((n, p))
    for t in range(n):
        Z = system.design if system.design.ndim == 2 else system.design[:, :, t]
        d = system.obs_intercept if system.obs_intercept.ndim == 1 else system.obs_intercept[:, t]
        y[t] = d + Z @ state + root[0] @ rng.standard_normal(p)
        state = system.state_intercept + system.transition @ state
        state = state + system.selection @ (root[1] @ rng.standard_normal(len(root[1])))
    if "quarterly" in sample:
        y[np.arange(n) % 3 != 2, p - sample["quarterly"] :] = np.nan
    if "missing" in sample:
        y[rng.random(y.shape) < sample["missing"]] = np.nan
    return y, x


def _root(cov: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def model_of(entry: dict[str, Any]) -> Any:
    """Return the model of an entry on its data."""
    return _model(entry, *simulated(entry))


def _fingerprint(y: np.ndarray) -> float:
    return float(np.nansum(y * np.cos(np.arange(y.size)).reshape(y.shape)))


def load() -> dict[str, Any]:
    """Return what is stored."""
    return json.loads(PATH.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def entries(half: str) -> list[dict[str, Any]]:
    """Return the stored models of a half."""
    return [entry for entry in load()["models"] if entry["half"] == half]


# -- commands


def _truth(
    entry: dict[str, Any], matrices: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, float]:
    """Return the truth by name: from matrices, of regressions by what a name says."""
    model = _shapes(entry)[1]
    if matrices:
        values = model.layout.project(matrices, np.zeros(len(model.layout)))
        return {name: float(value) for name, value in zip(model.param_names, values, strict=True)}
    ranges = {
        "ar1": (-0.5, 0.95),
        "obs_var": (0.5, 3.0),
        "state_var": (0.005, 0.3),
        "state_cov": (-2e-3, 2e-3),
    }
    ranges["obs_cov"] = (-0.2, 0.2)
    return {name: float(rng.uniform(*ranges[name.split(".")[0]])) for name in model.param_names}


def write(seed: int = 20240601) -> None:
    """Draw the models and store them."""
    models: list[dict[str, Any]] = []
    for structure, count in COUNTS.items():
        for i in range(count):
            own = [seed, zlib.crc32(structure.encode()), i]
            rng = np.random.default_rng(own)
            kind, spec, sample, matrices = DRAW[structure](rng)
            if "design" in matrices:
                sample = {**sample, "series": len(matrices["design"])}
            elif "obs_cov" in matrices:
                sample = {**sample, "series": len(matrices["obs_cov"])}
            entry = {"name": f"{structure} {i}", "half": HALVES[i % 2], "class": kind}
            entry |= {"specification": spec, "sample": sample, "seed": int(rng.integers(2**31))}
            entry["truth"] = _truth(entry, matrices, rng)
            entry["fingerprint"] = _fingerprint(simulated(entry)[0])
            models.append(entry)
    _store(
        {"script": Path(__file__).name, "seed": seed, "starts": STARTS, "maxiter": MAXITER, "models": models}
    )


def _store(stored: dict[str, Any]) -> None:
    lines = ",\n".join(json.dumps(entry) for entry in stored["models"])
    head = json.dumps({key: value for key, value in stored.items() if key != "models"})
    PATH.write_text(f'{head[:-1]}, "models": [\n{lines}\n]}}\n', encoding="utf-8")


def random_starts(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what 20 random starts reach, each gone the whole way."""
    from statespace_ext.fit.fit import estimate
    from statespace_ext.fit.problem import FitRequest
    from statespace_ext.fit.start_values import random_start

    model = model_of(entry)
    problem, rng = model.problem(), np.random.default_rng([entry["seed"], 1])
    truth = np.array([entry["truth"][name] for name in model.param_names])
    centres = [truth, np.asarray(model.start_params)]
    reached, best = [], -np.inf
    for i in range(STARTS):
        start = random_start(problem, centres[i % 2], rng)
        try:
            fit = estimate(problem, FitRequest(start_params=start, maxiter=MAXITER))
        except sse.StateSpaceError:
            continue
        best = max(best, fit.llf)
        if fit.converged:
            reached.append(fit.llf)
    top = max(reached, default=None)
    at_top = 0 if top is None else sum(llf > top - WITHIN for llf in reached)
    return {"best": top, "converged": len(reached), "at_best": at_top, "best_of_all": best}


def default_fit(entry: dict[str, Any], repeat: int) -> dict[str, Any]:
    """Return what the default fit reaches, and the least processor time of some repetitions."""
    model, seconds = model_of(entry), []
    for _ in range(repeat):
        began = time.process_time()
        res = model.fit()
        seconds.append(time.process_time() - began)
    return {"llf": float(res.llf), "converged": bool(res.converged), "seconds": min(seconds)}


def _run_random(half: str) -> None:
    stored = load()
    for entry in stored["models"]:
        if entry["half"] != half or "random" in entry:
            continue
        began = time.process_time()
        entry["random"] = random_starts(entry)
        print(entry["name"], entry["random"], f"{time.process_time() - began:.1f} s", flush=True)
        _store(stored)


def is_reached(entry: dict[str, Any], llf: float) -> bool:
    """Tell whether a log-likelihood is within .01 of the best converged random start."""
    return entry["random"]["best"] is None or llf > entry["random"]["best"] - WITHIN


def starts_agree(entry: dict[str, Any]) -> bool:
    """Tell whether every random start that converged ended at the best."""
    return bool(entry["random"]["at_best"] == entry["random"]["converged"])


class Worker:
    """A process that runs default fits with the package of a folder."""

    def __init__(self, folder: str) -> None:
        command = [sys.executable, __file__, "serve"]
        env = {**os.environ, "PYTHONPATH": folder}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=folder
        )

    def fit(self, entry: dict[str, Any], repeat: int) -> dict[str, Any]:
        """Return what `default_fit` returns there."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        self.process.stdin.write(json.dumps([entry, repeat]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]


def _serve() -> None:
    for line in sys.stdin:
        print(json.dumps(default_fit(*json.loads(line))), flush=True)


def judge(half: str, against: str | None, repeat: int, only: str) -> None:
    """Print each default fit that ends lower than the random starts, and the sums by structure."""
    here = Worker(str(PATH.parents[2]))
    there = Worker(against) if against else None
    rows: list[tuple[str, bool, bool, bool, float, float]] = []
    for entry in entries(half):
        if only not in entry["name"]:
            continue
        ours = here.fit(entry, repeat)
        theirs = there.fit(entry, repeat) if there else ours
        good, agree = is_reached(entry, ours["llf"]), starts_agree(entry)
        structure = entry["name"].rsplit(" ", 1)[0]
        rows.append((structure, good, ours["converged"], agree, ours["seconds"], theirs["seconds"]))
        short = (
            "" if entry["random"]["best"] is None else f"{entry['random']['best'] - ours['llf']:9.4f} short"
        )
        if not good or not ours["converged"]:
            print(f"{entry['name']:28s} {short} converged={ours['converged']} {entry['random']}", flush=True)
        if there and ours["seconds"] > 1.5 * theirs["seconds"]:
            ratio = ours["seconds"] / theirs["seconds"]
            print(f"{entry['name']:28s} {ratio:.2f} times {theirs['seconds']:.3f} s, starts agree: {agree}")
    for structure in [*dict.fromkeys(row[0] for row in rows), ""]:
        _print_sums(structure or "all", [row for row in rows if structure in ("", row[0])])


def _print_sums(name: str, rows: list[tuple[str, bool, bool, bool, float, float]]) -> None:
    good, converged = sum(row[1] for row in rows), sum(row[2] for row in rows)
    ours, theirs = sum(row[4] for row in rows), sum(row[5] for row in rows)
    alike = [row[4] / row[5] for row in rows if row[3]]
    agree = f"{sum(r <= 1.5 for r in alike)} of {len(alike)} at most 1.5" if alike else "no model"
    agree += f", median {np.median(alike):.2f}, largest {max(alike):.2f}" if alike else ""
    total = sum(row[4] for row in rows if row[3]) / max(sum(row[5] for row in rows if row[3]), 1e-9)
    print(
        f"{name:26s} {good:3d} of {len(rows):3d} within {WITHIN}, {converged:3d} converged; "
        f"{ours:6.1f} s, ratio {ours / theirs:.2f}; where starts agree: {total:.2f} ({agree})"
    )


def main() -> None:
    """Run a command."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=["write", "random", "judge", "serve"])
    parser.add_argument("half", nargs="?", choices=HALVES, default=HALVES[0])
    parser.add_argument("--against", help="folder of another checkout")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a name")
    given = parser.parse_args()
    if given.command == "write":
        write()
    elif given.command == "random":
        _run_random(given.half)
    elif given.command == "serve":
        _serve()
    else:
        judge(given.half, given.against, given.repeat, given.only)


if __name__ == "__main__":
    main()
