"""
Random models, ways in and inherited methods, compared with a plain `MLEModel` that has the same matrices.

``python tests/fuzz_walk.py --calls 10000 --seed 0`` runs a long one; the tests run a short one. A call is one
of the names of `walk_verdicts`, on results that come about in one of the ways of `walk`, after the model was
used for something else. The answer must be that of a model left alone and that of the plain model: to 1e-8,
and to 1e-6 for what rests on differences. Where rounding in the plain model leaves more than that, ours is
compared with 50 digits. ``--seed S --first K --calls 5`` repeats call K, with those that
share its model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import walk  # noqa: E402
import walk_subjects  # noqa: E402
from precise import precise  # noqa: E402
from walk_verdicts import GROUPS  # noqa: E402

import statespace_ext as sse  # noqa: E402
from statespace_ext.engine.system import MATRICES  # noqa: E402

Build = Callable[[Any, Any], Any]
ROUNDING = 1e-8
CALLS_A_MODEL = 5
"""Calls that share a random model, whose answers are asked once."""


def pick(rng: np.random.Generator, *options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def with_gaps(rng: np.random.Generator, y: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return data with missing cells, the first rows and the last ones complete."""
    gaps = rng.random(y.shape) < share
    gaps[:6] = gaps[walk_subjects.N - 2 :] = False
    return y.mask(gaps)


def lgssm(rng: np.random.Generator, regressors: bool) -> tuple[Build, Any, Any]:
    p, k = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    spec: dict[str, Any] = {"lags": pick(rng, 1, 2), "identification": pick(rng, "triangular", "unit")}
    spec["obs_cov"] = pick(rng, "diagonal", "unstructured", "scalar", "equicorrelated")
    spec["initialization"] = pick(rng, "stationary", "stationary", "approximate_diffuse")
    spec |= pick(rng, {}, {"state_mean": "free", "obs_intercept": "zero"}, {"state_intercept": "free"})
    y = walk_subjects._series(p, int(rng.integers(1000)), "abc")
    full = spec["obs_cov"] in ("unstructured", "equicorrelated")
    y = with_gaps(rng, y, 0.0 if full else pick(rng, 0.0, 0.15))
    if not regressors:
        return lambda y, x: sse.LGSSM(y, k, **spec), y, None
    x = pd.DataFrame({"MKT": rng.standard_normal(len(y))}, index=y.index)
    return lambda y, x: sse.LGSSM(y, k, exog=x, **spec), y, x


def regression(rng: np.random.Generator, capm: bool) -> tuple[Build, Any, Any]:
    p = int(rng.integers(1, 4))
    y = walk_subjects._series(p, int(rng.integers(1000)), "abc")
    x = pd.DataFrame({"const": 1.0, "MKT": rng.standard_normal(len(y))}, index=y.index)
    y = with_gaps(rng, y + rng.uniform(0.5, 1.5, p) * x[["MKT"]].to_numpy(), pick(rng, 0.0, 0.1))
    spec = {"obs_cov": pick(rng, "diagonal", "scalar"), "state_cov": "diagonal"}
    if capm:
        beta = pick(rng, "static", "random_walk", "ar1")
        spec = {name: value for name, value in spec.items() if name != "state_cov" or beta != "static"}
        return lambda y, x: sse.CAPM(y, x[["MKT"]], beta=beta, **spec), y, x
    dynamics = {"const": pick(rng, "static", "random_walk"), "MKT": pick(rng, "random_walk", "ar1")}
    return lambda y, x: sse.DynamicRegression(y, x, dynamics=dynamics, **spec), y, x


def atsm(rng: np.random.Generator) -> tuple[Build, Any, Any]:
    y = 0.05 + 0.002 * walk_subjects._series(4, int(rng.integers(1000)), "wxyz")
    y = pd.DataFrame(y.to_numpy() + 0.001 * np.arange(4), index=y.index, columns=["1y", "2y", "5y", "10y"])
    k = pick(rng, 1, 2)
    return lambda y, x: sse.ATSM(y, maturities=[1.0, 2.0, 5.0, 10.0], k_factors=k, dt=1 / 12), y, None


def of_statsmodels(rng: np.random.Generator, trend: bool) -> tuple[Build, Any, Any, Build]:
    y = with_gaps(rng, walk_subjects._series(1, int(rng.integers(1000)), "y"), pick(rng, 0.0, 0.1))["y"]
    if trend:
        form = pick(rng, "local level", "local linear trend", "random walk with drift")
        options: dict[str, Any] = {"level": form, "autoregressive": 1}
        kinds = walk_subjects.MixedTrend, sm.tsa.UnobservedComponents
        return (*(lambda y, x: kinds[0](y, **options), y, None), lambda y, x: kinds[1](y, **options))
    options = {"order": pick(rng, (1, 0, 0), (1, 0, 1), (2, 0, 0), (0, 1, 1)), "trend": pick(rng, "n", "c")}
    x = pick(rng, None, pd.DataFrame({"MKT": rng.standard_normal(len(y))}, index=y.index))
    kinds = walk_subjects.MixedSARIMAX, sm.tsa.SARIMAX
    return lambda y, x: kinds[0](y, exog=x, **options), y, x, lambda y, x: kinds[1](y, exog=x, **options)


def smooth_trends(rng: np.random.Generator) -> tuple[Build, Any, Any]:
    y = with_gaps(rng, walk_subjects._series(2, int(rng.integers(1000)), "ab"), 0.1)
    return lambda y, x: walk_subjects.SmoothTrends(y), y, None


DRAW: dict[str, Callable[[np.random.Generator], tuple[Any, ...]]] = {
    "LGSSM": lambda rng: lgssm(rng, False),
    "LGSSM with regressors": lambda rng: lgssm(rng, True),
    "DynamicRegression": lambda rng: regression(rng, False),
    "CAPM": lambda rng: regression(rng, True),
    "ATSM": atsm,
    "SmoothTrends": lambda rng: smooth_trends(rng),
    "MixedSARIMAX": lambda rng: of_statsmodels(rng, False),
    "MixedTrend": lambda rng: of_statsmodels(rng, True),
}  # fmt: skip


def plain_of(build: Build, y: Any, x: Any) -> walk_subjects.Plain:
    return walk_subjects.Plain(build(y, x))


def near(rng: np.random.Generator, model: Any) -> np.ndarray:
    """Return parameters near the default start values, with covariances that stay positive definite."""
    start = np.asarray(model.start_params, dtype=float)
    bounded = [name in model.layout.bounded for name in model.param_names]
    z = model.layout.unconstrain(np.where(bounded, np.clip(start, -0.7, 0.7), start))
    return model.layout.constrain(z * (1.0 + rng.uniform(-0.15, 0.15, len(z))) + 0.01 * np.abs(z).max())


@contextmanager
def random_subject(rng: np.random.Generator) -> Iterator[str]:
    """Put a random model in the place of a subject of the walk."""
    while True:
        kind = pick(rng, *DRAW)
        build, y, x, *beside = DRAW[kind](rng)
        plain = beside[0] if beside else partial(plain_of, build)
        before = walk_subjects.SUBJECTS[kind]
        subject = walk_subjects.Subject(kind, build, plain, y, x, fit=before.fit)
        with suppress(sse.StateSpaceError, np.linalg.LinAlgError), walk_subjects.quietly():
            model = subject.model()
            if hasattr(model, "layout"):
                vars(subject).update({name: near(rng, model) for name in ("params", "other")})
            if all(np.isfinite(model.loglike(at)) for at in (subject.params, subject.other)):
                break
    walk_subjects.SUBJECTS[kind] = subject
    try:
        yield kind
    finally:
        walk_subjects.SUBJECTS[kind] = before
        walk._ASKED.clear()
        walk._CASES.clear()


def imprecise(subject: walk_subjects.Subject) -> str:
    """Return how smoothed states and covariances differ from those in 50 digits; nothing where they agree."""
    model = subject.model()
    res = model.smooth(subject.params, cov_type="none")
    mean, diffuse, cov = (np.real(part) for part in model.ssm.initialization(model=model.ssm))
    given = {name: getattr(model.ssm, name) for name in MATRICES}
    given = {name: value[..., 0] if value.shape[-1] == 1 else value for name, value in given.items()}
    start = {"initial_state": mean, "initial_state_cov": cov}
    want = precise(model.endog, {**given, **start}, np.diag(diffuse) > 0)
    found = walk.Answer((res.smoothed_state.T, np.moveaxis(res.smoothed_state_cov, 2, 0)))
    return found.differs(walk.Answer((want.mean, want.cov)), ROUNDING)


def run(calls: int, seed: int, seconds: float = np.inf, first: int = 0) -> tuple[int, list[str]]:
    """Return the number of calls that were compared, and what differed."""
    began, done, found = time.monotonic(), first - first % CALLS_A_MODEL, []
    calls += done
    names = [(group, name) for group in GROUPS for name in GROUPS[group] if GROUPS[group][name].call]
    while done < calls and time.monotonic() - began < seconds:
        rng = np.random.default_rng((seed, done // CALLS_A_MODEL))
        with random_subject(rng) as kind, tempfile.TemporaryDirectory() as folder:
            subject = walk_subjects.SUBJECTS[kind]
            if subject.rounding > ROUNDING and (wrong := imprecise(subject)):
                found.append(f"seed {seed}, call {done}: {subject.model()!r}, and 50 digits: {wrong}")
            for _ in range(min(CALLS_A_MODEL, calls - done)):
                group, name = pick(rng, *names)
                way, disturbance = pick(rng, *walk.WAYS), pick(rng, *walk.DISTURBANCES)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    differ = walk.step(kind, group, [name], way, disturbance, Path(folder))
                text = f"seed {seed}, call {done}: {subject.model()!r}, {group}.{name}, {way}"
                found += [f"{text}, after {disturbance}: {what}" for what in differ.values()]
                done += 1
    return done - first + first % CALLS_A_MODEL, found


def main() -> int:
    """Print what differs, and return the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=np.inf)
    given = parser.parse_args()
    began = time.monotonic()
    done, found = run(given.calls, given.seed, given.seconds, given.first)
    print("\n".join(found))
    print(f"{done} calls with seed {given.seed}: {len(found)} differences, {time.monotonic() - began:.0f} s")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
