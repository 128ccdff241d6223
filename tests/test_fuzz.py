"""The short form of the fuzz run."""

from __future__ import annotations

import fuzz
import numpy as np
import pytest


def test_random_calls_with_hostile_arguments() -> None:
    report = fuzz.run(calls=250, seconds=30.0, seed=0)
    assert not report.failures, "\n\n".join(report.failures)
    assert report.outcomes["answered"] > 30 and report.outcomes["SpecificationError"] > 30


@pytest.mark.slow
def test_many_random_calls() -> None:
    report = fuzz.run(calls=10_000, seconds=600.0, seed=1000)
    assert not report.failures, "\n\n".join(report.failures)


@pytest.mark.parametrize("fits", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_fits_leave_no_memory_behind(fits: int) -> None:
    """The sample is 14 kB; compiled filters leave some hundred bytes of their own."""
    assert fuzz.leaked(fits) < 2_000 * fits + 30_000


def test_the_fuzzer_sees_a_changed_input() -> None:
    one, two = [np.zeros(3), {"a": np.ones(2)}], [np.zeros(3), {"a": np.array([1.0, 2.0])}]
    assert fuzz.same(one, one) and not fuzz.same(one, two)
