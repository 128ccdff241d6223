"""
Random calls with hostile arguments: only the package's own errors, no warnings of numpy, inputs unchanged.

``python tests/fuzz.py --calls 10000 --seconds 600 --seed 0`` runs a long one; the tests run a short one.
The seed of a call is printed with its failure: ``--seed S --calls 1`` repeats it.
"""

from __future__ import annotations

import argparse
import copy
import gc
import sys
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from edge_data import BUILD, ELSEWHERE, SAME, SHIFTED  # noqa: E402

import statespace_ext as sse  # noqa: E402

DATA = {name: make for name, make in {**SAME, **SHIFTED, **ELSEWHERE}.items() if name != "pyarrow"}
PLAIN = {"plain": np.asarray, "short": lambda y: y[:20], "gap": DATA["gap"]}
SLOW_DATA = {"units of 1e-8", "outlier", "different units", "units of 1e-6"}
HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    7,
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    10**12,
    "",
    "free",
    "zero",
    "diagonal",
    "unstructured",
    "scalar",
    "nonsense",
    "auto",
    [],
    [[]],
    {},
    [np.nan],
    [[1.0]],
    np.eye(2),
    np.eye(3),
    np.zeros((0, 0)),
    np.ones(3),
    np.full((3, 1), np.nan),
    [["a", "b"], ["b", "c"]],
    {"a": 1},
    object(),
    b"bytes",
    1j,
    slice(None),
    np.float32(1),
    (1, 2),
    "2001-01",
    pd.Timestamp("2001"),
    pd.Series([1.0, 2.0]),
    pd.DataFrame({"x": [1.0]}),
    lambda: None,
    "__import__('os')",
    "a+*b",
]
SPECS = {
    "LGSSM": [
        "k_factors",
        "lags",
        "exog",
        "state_exog",
        "obs_intercept",
        "state_intercept",
        "design",
        "transition",
        "obs_cov",
        "state_cov",
        "initialization",
        "initial_state",
        "initial_state_cov",
        "state_mean",
        "obs_coef",
        "state_coef",
        "identification",
        "dates",
        "freq",
    ],
    "DynamicRegression": [
        "dynamics",
        "obs_cov",
        "state_cov",
        "initialization",
        "initial_state",
        "initial_state_cov",
    ],
    "CAPM": ["risk_free", "alpha", "beta", "obs_cov", "state_cov", "initialization", "initial_state_cov"],
    "ATSM": [
        "maturities",
        "k_factors",
        "identification",
        "p_dynamics",
        "state_cov",
        "obs_cov",
        "dt",
        "units",
        "risk_prices",
        "factors",
        "initialization",
        "portfolio_weights",
    ],
}
FIT = [
    "start_params",
    "cov_type",
    "method",
    "maxiter",
    "tolerance",
    "n_starts",
    "rng",
    "estep",
    "cov_kwds",
    "unknown",
]
METHODS: dict[str, list[str]] = {
    "predict": ["start", "end", "dynamic", "exog"],
    "forecast": ["steps", "exog"],
    "get_forecast": ["steps"],
    "simulate": ["nsimulations", "rng", "anchor"],
    "append": ["endog", "exog"],
    "extend": ["endog", "exog"],
    "apply": ["endog", "exog"],
    "cov_params_of": ["cov_type"],
    "summary": ["alpha"],
    "conf_int": ["alpha"],
    "tidy": [],
    "glance": [],
    "plot_factors": ["fig", "figsize"],
    "plot_coefficients": ["fig", "figsize"],
    "impulse_responses": ["steps", "orthogonalized"],
}
FOREIGN = {
    "predict",
    "forecast",
    "get_forecast",
    "simulate",
    "append",
    "extend",
    "apply",
    "summary",
    "conf_int",
    "impulse_responses",
}
"""Methods of statsmodels, whose own errors about its own arguments are let through."""
QUIET = (sse.ConvergenceWarning, sse.IdentificationWarning, UserWarning)


@dataclass
class Report:
    """What came of the calls."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Fuzzer:
    """One source of random calls."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, options: Any) -> Any:
        options = list(options)
        return options[int(self.rng.integers(len(options)))]

    def arguments(self, names: list[str], most: int) -> dict[str, Any]:
        count = int(self.rng.integers(0, most + 1))
        drawn = {self.pick(names): self.pick(HOSTILE) for _ in range(count)} if names else {}
        for key in drawn.keys() & {"maxiter", "n_starts", "nsimulations", "steps", "end"}:
            if isinstance(drawn[key], int) and drawn[key] == 10**12:
                drawn[key] = 5  # asked for so much work, the library would set about it
        return drawn

    def call(self) -> tuple[str, Callable[[], Any], list[Any], bool]:
        """Return what is called, the call, its inputs, and whether errors of statsmodels are let through."""
        kind = self.pick(BUILD)
        build, sample = BUILD[kind]
        what = self.pick(["model", "model", "fit", "method"])
        plain = what != "model" or self.rng.random() < 0.5
        name = self.pick(PLAIN if plain else sorted(set(DATA) - SLOW_DATA))
        endog = (PLAIN if plain else DATA)[name](sample())
        spec = self.arguments(SPECS[kind], 2) if what == "model" else {}
        options = self.arguments(FIT, 2) if what == "fit" else {}
        method = self.pick(METHODS)
        arguments = self.arguments(METHODS[method], 2) if what == "method" else {}

        def run() -> Any:
            model = build(endog, **spec)
            if what == "model":
                return model.loglike(model.start_params)
            if what == "fit":
                return model.fit(**{"maxiter": 3, **options})
            res = model.smooth(model.start_params)
            given = {
                **arguments,
                **({"cov_type": "oim"} if method == "cov_params_of" and not arguments else {}),
            }
            return getattr(res, method)(**given) if hasattr(res, method) else None

        text = f"{kind}({name}, {spec}).{what} {options} {method if what == 'method' else ''}{arguments}"
        return text, run, [endog, spec, options, arguments], what == "method" and method in FOREIGN


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
    import matplotlib.pyplot as plt

    report, end = Report(), time.monotonic() + seconds
    for number in range(seed, seed + calls):
        if time.monotonic() > end:
            break
        text, call, inputs, foreign = Fuzzer(number).call()
        try:
            before = copy.deepcopy(inputs)
        except TypeError:
            before = inputs
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                call()
                outcome = "answered"
            except sse.StateSpaceError as error:
                outcome = type(error).__name__
            except TypeError as error:
                outcome = "TypeError"
                if "unexpected keyword" not in str(error) and not foreign:
                    report.failures.append(f"seed {number}: {text}\n{traceback.format_exc(limit=-4)}")
            except Exception:
                outcome = "of statsmodels" if foreign else "FAILURE"
                if not foreign:
                    report.failures.append(f"seed {number}: {text}\n{traceback.format_exc(limit=-4)}")
        plt.close("all")
        report.outcomes[outcome] += 1
        loud = [w for w in caught if issubclass(w.category, RuntimeWarning)]
        if loud and not foreign:
            where = f"{loud[0].filename}:{loud[0].lineno}"
            report.failures.append(f"seed {number}: {text}\n{loud[0].message} at {where}")
        if not same(inputs, before):
            report.failures.append(f"seed {number}: {text}\nan input was changed")
    return report


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
    report = run(options.calls, options.seconds, options.seed)
    print("\n\n".join(report.failures))
    print(dict(report.outcomes))
    print(f"{sum(report.outcomes.values())} calls, {len(report.failures)} failures")
    return int(bool(report.failures))


if __name__ == "__main__":
    sys.exit(main())
