"""Run statsmodels' own tests of its state-space models with this package put under them; the same must pass.

    python tests/own_tests_of_statsmodels.py [score] [fastest] [guarded] [-- options of pytest]

First the tests run as they are. Then they run once for each of

- score: `MLEModel.score` is `exact_score`, and `fit` uses it in its gradient methods;
- fastest: `use_fastest_filter` for every representation that is filtered, smoothed or asked for a likelihood;
- guarded: the same, with the last valid filter of the report: the fastest is often the conventional one.

The file is a plugin of the pytest that it starts, and compares the outcomes. The exit code is the number of
tests that end otherwise than without the package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
import statsmodels
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine import filters
from statespace_ext.exceptions import StateSpaceError

VARIANT, OUTCOMES = "STATSMODELS_TESTS_WITH", "STATSMODELS_TESTS_OUTCOMES"
ROOT = Path(statsmodels.__file__).parent
TESTS = ROOT / "tsa" / "statespace" / "tests"


# -- what is put under the tests -----------------------------------------------------------------------------


class ExactMLEModel(sse.ExactScoreMixin, MLEModel):
    """What comes before `MLEModel` and after a model's own class while that fits."""


@cache
def exact(kind: type) -> type:
    """Return a model class with the mixin between its own methods and those of `MLEModel`."""
    return type(kind.__name__, (kind, ExactMLEModel), {"__module__": kind.__module__})


def with_score() -> None:
    plain_fit, plain_score = MLEModel.fit, MLEModel.score

    @wraps(plain_fit)  # the mixin looks at the signature
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, sse.ExactScoreMixin):
            return plain_fit(self, *args, **kwargs)
        kind = type(self)
        self.__class__ = exact(kind)
        try:
            return ExactMLEModel.fit(self, *args, **kwargs)
        finally:
            self.__class__ = kind

    def score(self: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        options = dict(zip(("transformed", "includes_fixed"), args, strict=False)) | kwargs
        if args and isinstance(args[0], dict) or options.keys() - {"transformed", "includes_fixed"}:
            return plain_score(self, params, *args, **kwargs)  # a method was asked for
        return sse.exact_score(self, params, **options).score

    MLEModel.fit, MLEModel.score = fit, score


def with_filter(choose: Callable[[Any], object]) -> None:
    choosing: list[Any] = []  # the report runs filters of its own, which are left as they are

    def chosen(plain: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not choosing and not isinstance(self, filters.GuardedFilter) and self.endog is not None:
                choosing.append(self)
                try:
                    choose(self)
                finally:
                    choosing.clear()
                if isinstance(self, filters.GuardedFilter):  # which has methods of its own now
                    return getattr(self, plain.__name__)(*args, **kwargs)
            return plain(self, *args, **kwargs)

        return run

    for kind, names in ((KalmanFilter, ("loglike", "loglikeobs", "filter")), (KalmanSmoother, ("smooth",))):
        for name in names:
            setattr(kind, name, chosen(getattr(kind, name)))


def fastest(ssm: Any) -> None:
    try:
        sse.use_fastest_filter(ssm)
    except StateSpaceError:
        pass  # no valid filter is an error on purpose: the test goes on as it is


def guarded(ssm: Any) -> None:
    report = sse.filter_report(ssm)
    if report.valid:
        filters._guard(ssm, report, report.valid[-1])


ON_PURPOSE = {
    "test_mlemodel.py::test_cov_params": "with the score, a result says that its covariance is not Harvey's",
    "test_mlemodel.py::test_fit_misc": "a perfect fit, whose likelihood is unbounded: no fit converges; "
    "test_the_likelihood_of_a_perfect_fit_has_no_maximum",
    "test_chandrasekhar.py::test_invalid": "a choice takes back a user's recursions that are not valid",
}
VARIANTS: dict[str, Callable[[], None]] = {
    "score": with_score,
    "fastest": lambda: with_filter(fastest),
    "guarded": lambda: with_filter(guarded),
}

# -- the plugin ----------------------------------------------------------------------------------------------

_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    VARIANTS.get(os.environ.get(VARIANT, ""), lambda: None)()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.nodeid] = "xfailed" if hasattr(report, "wasxfail") else report.outcome


def pytest_sessionfinish() -> None:
    if OUTCOMES in os.environ:
        Path(os.environ[OUTCOMES]).write_text(json.dumps(_outcomes), encoding="utf-8")


# -- the comparison ------------------------------------------------------------------------------------------


def outcomes(variant: str, options: list[str]) -> dict[str, str]:
    """Return how each test ends."""
    with tempfile.TemporaryDirectory() as folder:
        empty, found = Path(folder) / "empty.ini", Path(folder) / "outcomes.json"
        empty.write_text("[pytest]\n", encoding="utf-8")
        paths = [str(TESTS / each) for each in options if (TESTS / each).exists()] or [str(TESTS)]
        others = [each for each in options if not (TESTS / each).exists()]
        configuration = [
            "-c",
            str(empty),
            "--rootdir",
            str(ROOT),
            "-p",
            "no:cacheprovider",
            "-p",
            Path(__file__).stem,
        ]
        environment = {**os.environ, VARIANT: variant, OUTCOMES: str(found), "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        )
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--disable-warnings", *configuration]
        print(f"-- {variant or 'as they are'}", flush=True)
        subprocess.run([*command, *others, *paths], env=environment, cwd=folder, check=False)
        return dict(json.loads(found.read_text(encoding="utf-8")))


def main(arguments: list[str]) -> int:
    """Run the tests and print what differs."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:cut] or list(VARIANTS), arguments[cut + 1 :]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise SystemExit(f"unknown: {unknown}; known: {list(VARIANTS)}")
    plain, differences = outcomes("", options), 0
    for name in names:
        found = outcomes(name, options)
        differ = sorted(test for test in plain.keys() | found.keys() if plain.get(test) != found.get(test))
        differ = [test for test in differ if not test.endswith(tuple(ON_PURPOSE))]
        passed = sum(outcome == "passed" for outcome in found.values())
        print(f"-- {name}: {passed} passed, {len(differ)} of {len(plain)} end otherwise than as they are")
        for test in differ:
            print(f"   {test}: {plain.get(test)} -> {found.get(test)}")
        differences += len(differ)
    return min(differences, 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
