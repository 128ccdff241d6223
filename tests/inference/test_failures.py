"""Fits that fail among many: a fault of the code is raised, failures are counted, fit_many records all."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capm import simulated

import statespace_ext as sse
from statespace_ext.inference.many import (
    Failure,
    attempt,
    report_failures,
    run_simulations,
    spawn,
    successes,
)

FAULT: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _no_fault() -> None:
    FAULT.clear()


class Faulty:
    """Raises what FAULT says, once some fits are done."""

    def estimate(self, request: Any) -> Any:
        if FAULT:
            FAULT["calls"] += 1
            number = FAULT["calls"] - FAULT["spare"]
            if number > 0 and number % FAULT["every"] == 0:
                raise FAULT["error"]
        return super().estimate(request)  # type: ignore[misc]


class FaultyRegression(Faulty, sse.DynamicRegression):
    """A regression of a user's own."""


class FaultyCAPM(Faulty, sse.CAPM):
    """A CAPM of a user's own."""


class FaultyFactors(Faulty, sse.LGSSM):
    """A factor model of a user's own."""


def factors() -> FaultyFactors:
    y = np.random.default_rng(0).normal(size=(80, 2)).cumsum(axis=0)
    return FaultyFactors(y, 1, identification="triangular")


def regression(missing: bool = False) -> FaultyRegression:
    y, x = simulated(np.random.default_rng(3), 40, 2)
    if missing:
        y.iloc[3, 1] = np.nan
    return FaultyRegression(y, x, dynamics={"MKT": "random_walk"}, state_cov="diagonal")


def bootstrap() -> Callable[[], Any]:
    res = regression().fit(cov_type="none")
    return lambda: res.bootstrap(6, rng=0)


def rolling_fit() -> Callable[[], Any]:
    model = regression()
    return lambda: sse.rolling_fit(model, window=30, step=2, fit_options={"cov_type": "none"})


def rolling_evaluation() -> Callable[[], Any]:
    res = regression().fit(cov_type="none")
    return lambda: res.rolling_evaluation(window=28, refit_every=2)


def select_order() -> Callable[[], Any]:
    model = factors()
    return lambda: sse.select_order(model, lags=[1, 2, 3], ic="aic", fit_options={"method": "lbfgs"})


def profile() -> Callable[[], Any]:
    res = regression().fit()
    return lambda: res.profile("obs_var.A1", grid=np.array(res.params["obs_var.A1"]) * [0.9, 1.1])


def constancy() -> Callable[[], Any]:
    res = regression(missing=True).fit(cov_type="none")
    return lambda: res.test_constancy(n_sim=4, rng=0)


def alpha() -> Callable[[], Any]:
    y, x = simulated(np.random.default_rng(3), 40, 2)
    res = FaultyCAPM(y, x["MKT"], state_cov="diagonal").fit(cov_type="none")
    return lambda: res.test_alpha(n_sim=6, rng=0)["wald"]


WAYS = {
    bootstrap: (0, 2, 6),
    rolling_fit: (0, 2, 6),
    rolling_evaluation: (0, 2, 6),
    select_order: (0, 3, 3),
    profile: (0, 5, None),
    constancy: (4, 7, 4),
    alpha: (1, 2, 6),
}
"""How many fits go before the repeated ones, which of these fail, how many there are."""
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def broken(way: Callable[[], Callable[[], Any]], error: Exception, every: int | None = None) -> Any:
    """Return the call with a fault in it."""
    call = way()
    spare, often, _ = WAYS[way]
    FAULT.update(calls=0, spare=spare, every=every or often, error=error)
    return call


@ways
def test_a_fault_of_the_code_is_raised(way: Callable[[], Callable[[], Any]]) -> None:
    with pytest.raises(TypeError, match="a fault of mine"):
        broken(way, TypeError("a fault of mine"))()


@ways
def test_a_plain_valueerror_is_raised(way: Callable[[], Callable[[], Any]]) -> None:
    with pytest.raises(ValueError, match="^a value of mine$"):
        broken(way, ValueError("a value of mine"))()


@ways
@pytest.mark.parametrize("error", [sse.DataError("no such sample"), np.linalg.LinAlgError("singular sample")])
def test_some_failures_are_counted(way: Callable[[], Callable[[], Any]], error: Exception) -> None:
    call, total = broken(way, error), WAYS[way][2]
    # of a parameter held there are other starts where one fails
    told = r"\d+ of \d+" if total is None else rf"[1-3] of {total}"
    if way is profile:
        FAULT["every"] = 1
        FAULT["spare"] = 12
    with pytest.warns(
        UserWarning, match=rf"{told} .* failed and are left out; .*{type(error).__name__}: {error}"
    ) as said:
        found = call()
    assert {each.filename for each in said if "left out" in str(each.message)} == {__file__}
    for name in ("n_failed", "failures"):
        if hasattr(found, name):
            assert getattr(found, name)
    for frame in ("fits", "refits"):
        if hasattr(found, frame):
            assert getattr(found, frame)["error"].str.contains("sample").any()


@ways
def test_all_failures_are_an_error_with_the_first_cause(way: Callable[[], Callable[[], Any]]) -> None:
    told = "No candidate could be fitted" if way is select_order else "Too few .* succeeded: got 0 of"
    kind = sse.SpecificationError if way is select_order else sse.EstimationError
    with pytest.raises(kind, match=f"{told}.*DataError: no such sample") as raised:
        broken(way, sse.DataError("no such sample"), every=1)()
    if way not in (rolling_fit, rolling_evaluation, select_order):  # whose records keep texts
        assert isinstance(raised.value.__cause__, sse.DataError)


def test_fit_many_records_whatever_is_raised() -> None:
    models = {str(i): factors() for i in range(4)}
    for error in (TypeError("mine"), ValueError("mine"), sse.DataError("mine"), AssertionError("mine")):
        FAULT.update(calls=0, spare=0, every=1, error=error)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            records = list(sse.fit_many(models))
        assert [record.error for record in records] == [f"{type(error).__name__}: {error}"] * 4
        assert all(np.isnan(record.llf) and not record.params for record in records)


def test_a_fault_is_raised_from_other_processes() -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")

    def one(rng: np.random.Generator) -> Any:
        if rng.random() < 0.3:
            return attempt(raising, sse.DataError("no such sample"))
        return attempt(raising, fault) if rng.random() < wrong else 1.0

    def raising(error: Exception) -> None:
        raise error

    fault, wrong = TypeError("a fault of mine"), 0.0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?!.*numbers)")  # of joblib: no semaphores, in some containers
        here, there = (run_simulations(one, spawn(0, 12), n_jobs) for n_jobs in (1, 2))
        assert [str(each) for each in here] == [str(each) for each in there]
        with pytest.warns(UserWarning, match="of 12 numbers failed .* DataError: no such sample"):
            assert set(successes(there, "numbers")) == {1.0}
        wrong = 0.5
        with pytest.raises(TypeError, match="a fault of mine"):
            run_simulations(one, spawn(0, 12), 2)


def test_the_helper() -> None:
    def one(value: int) -> int:
        if value > 2:
            raise sse.DataError("too large")
        return value

    outcomes = [attempt(one, i) for i in range(5)]
    with pytest.warns(
        UserWarning, match="2 of 5 numbers failed and are left out; the first failure was DataError"
    ):
        assert successes(outcomes, "numbers") == [0, 1, 2]
    with pytest.raises(sse.EstimationError, match="got 1 of 2") as raised:
        successes(outcomes[2:4], "numbers")
    assert isinstance(outcomes[3], Failure) and raised.value.__cause__ is outcomes[3].cause
    assert successes(outcomes[:1], "numbers") == [0] and successes([], "numbers") == []
    with pytest.raises(sse.EstimationError, match="got 0 of 1"):
        report_failures(["a text"], 1, "numbers")
    with pytest.raises(TypeError):
        attempt(lambda: one("a"))  # type: ignore[arg-type]


def test_nothing_catches_every_exception() -> None:
    """Only `attempt` catches what it is told, which is all exceptions for `fit_many` alone."""
    broad = []
    for path in sorted(Path(sse.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = "everything" if node.type is None else ast.unparse(node.type)
                if re.search(r"\b(everything|Exception|BaseException)\b", caught):
                    broad.append(f"{path.name}:{node.lineno}")
    assert broad == []
