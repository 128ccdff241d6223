"""
Random calls with hostile arguments: only the package's own errors, no warnings of numpy, inputs unchanged.

``python tests/fuzz.py --calls 10000 --seconds 600 --seed 0`` runs a long one; the tests run a short one.
The seed of a call is printed with its failure: ``--seed S --calls 1`` repeats it.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import sys
import tempfile
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from edge_data import BUILD  # noqa: E402
from fuzz_calls import (  # noqa: E402
    AGAIN,
    CALLS,
    DATA,
    FIT,
    FUNCTIONS,
    HOSTILE,
    METHODS,
    PLAIN,
    SLOW_DATA,
    SPECS,
    methods_of,
    needed,
)  # fmt: skip

import statespace_ext as sse  # noqa: E402

QUIET = (sse.ConvergenceWarning, sse.IdentificationWarning, UserWarning)
WORK = {"maxiter", "n_starts", "nsimulations", "steps", "end", "n_boot", "n_sim", "lags"}
"""Arguments that say how much work there is: asked for too much, the library would set about it."""


@dataclass
class Report:
    """What came of the calls."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    called: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)


@dataclass
class Call:
    """One random call: what it is, and its inputs."""

    name: str
    text: str
    run: Callable[[], Any]
    inputs: list[Any]


class Fuzzer:
    """One source of random calls."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, options: Any) -> Any:
        options = list(options)
        return options[int(self.rng.integers(len(options)))]

    def arguments(self, known: str, least: int = 0, most: int = 2) -> dict[str, Any]:
        names = known.split()
        count = int(self.rng.integers(least, most + 1))
        drawn = {self.pick(names): self.pick(HOSTILE) for _ in range(count)} if names else {}
        for key in drawn:
            whole = isinstance(drawn[key], int) and not isinstance(drawn[key], bool)
            if key in WORK and whole and drawn[key] == 10**12:
                drawn[key] = 5
            if key == "n_jobs" and whole and drawn[key] != 0:
                drawn[key] = 1
        return drawn

    def call(self) -> Call:
        kind = self.pick(BUILD)
        what = self.pick(["model"] * 4 + ["fit"] * 2 + ["method"] * 3 + ["again", "function"])
        if what == "model":
            return self.of_model(kind)
        build, sample = BUILD[kind]
        place = self.pick(["short"] if what in ("again", "function") else PLAIN)
        endog = PLAIN[place](sample())
        if what == "fit":
            options = self.arguments(FIT)
            return Call(
                "fit", f"{kind}({place}).fit({options})",
                lambda: build(endog).fit(**{"maxiter": 3, **options}), [endog, options],
            )  # fmt: skip
        if what == "function":
            name = self.pick(FUNCTIONS)
            given = self.arguments(FUNCTIONS[name])
            run = CALLS.get(name, getattr(sse, name))
            return Call(
                name, f"{name}({kind}({place}), {given})",
                lambda: run(**{**needed(name, build(endog)), **given}), [endog, given],
            )  # fmt: skip
        methods = METHODS if what == "method" else AGAIN
        name = self.pick(methods_of(kind, methods))
        given = self.arguments(methods[name], least=int(what == "again" and self.rng.random() < 0.8))

        def run_method() -> Any:
            model = build(endog)
            res = model.smooth(model.start_params)
            arguments = {**needed(name, model), **given}
            return CALLS[name](res, **arguments) if name in CALLS else getattr(res, name)(**arguments)

        text = f"{kind}({place}).{name}({given})"
        return Call(name, text, run_method, [endog, given])

    def of_model(self, kind: str) -> Call:
        build, sample = BUILD[kind]
        plain = self.rng.random() < 0.5
        place = self.pick(PLAIN if plain else sorted(set(DATA) - SLOW_DATA))
        endog = (PLAIN if plain else DATA)[place](sample())
        spec = self.arguments(SPECS[kind])

        def run() -> Any:
            model = build(endog, **spec)
            return model.loglike(model.start_params)

        return Call("model", f"{kind}({place}, {spec})", run, [endog, spec])


@contextmanager
def elsewhere() -> Iterator[None]:
    """Work in a folder that is removed, as some names of files are hostile too."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def same(one: Any, two: Any) -> bool:
    """Tell whether two inputs are the same, arrays by their bytes."""
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (pd.Series, pd.DataFrame)):
        return one.equals(two)
    if isinstance(one, np.ndarray):
        return one.tobytes() == two.tobytes() if one.dtype != object else True
    return True


def run(calls: int, seconds: float, seed: int) -> Report:
    """Make calls until there are enough or time is up."""
    report, end = Report(), time.monotonic() + seconds
    for number in range(seed, seed + calls):
        if time.monotonic() > end:
            break
        with elsewhere():
            try_one(Fuzzer(number).call(), f"seed {number}", report)
    return report


def try_one(call: Call, label: str, report: Report) -> None:
    """Make a call, and note what came of it."""
    import matplotlib.pyplot as plt

    def fail(why: str) -> None:
        report.failures.append(f"{label}: {call.text}\n{why}")

    try:
        before = copy.deepcopy(call.inputs)
    except TypeError:
        before = call.inputs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call.run()
            outcome = "answered"
            report.answered[call.name] += 1
        except sse.StateSpaceError as error:
            outcome = type(error).__name__
        except Exception as error:
            keyword = isinstance(error, TypeError) and "unexpected keyword" in str(error)
            outcome = "unexpected keyword" if keyword else "FAILURE"
            if outcome == "FAILURE":
                fail(traceback.format_exc(limit=-4))
    plt.close("all")
    report.outcomes[outcome] += 1
    report.called[call.name] += 1
    loud = [w for w in caught if issubclass(w.category, RuntimeWarning)]
    if loud:
        fail(f"{loud[0].message} at {loud[0].filename}:{loud[0].lineno}")
    if not same(call.inputs, before):
        fail("an input was changed")


def leaked(fits: int) -> int:
    """Return the bytes that fits leave behind after the first ones."""
    build, sample = BUILD["LGSSM"]
    y = np.tile(sample(), (10, 1))  # 14 kB: one array left behind is seen

    def several(count: int) -> None:
        for _ in range(count):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", sse.ConvergenceWarning)
                build(y).fit(method="em", maxiter=2)

    several(5)
    gc.collect()
    tracemalloc.start()
    several(5)
    gc.collect()
    first = tracemalloc.get_traced_memory()[0]
    several(fits)
    gc.collect()
    left = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    return left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    report = run(options.calls, options.seconds, options.seed)
    print("\n\n".join(report.failures))
    print(dict(report.outcomes))
    print(
        {name: f"{report.answered[name]} of {report.called[name]}" for name in sorted(report.called)},
        "answered",
    )
    took = time.monotonic() - began
    print(f"{sum(report.outcomes.values())} calls, {len(report.failures)} failures, {took:.0f} seconds")
    return int(bool(report.failures))


if __name__ == "__main__":
    sys.exit(main())
