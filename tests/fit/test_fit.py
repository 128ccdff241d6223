"""The starts of a fit: which of them end at the maximum at hand, and which go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from capm import structured_cases

import statespace_ext as sse

STORED = Path(__file__).resolve().parents[1] / "reference" / "structured_random_starts.json"


@pytest.mark.parametrize(
    ("name", "above"), [("W with one zero, first half", 0.36), ("W with one zero, second half", 0.0)]
)
def test_a_start_that_comes_near_a_lower_maximum_does_not_end_there(
    name: str, above: float, shared_data: Path
) -> None:
    """The best of 20 random starts is above the maximum of the first start, or equal to it."""
    data, options = structured_cases(shared_data)[name]
    model = sse.DynamicRegression(*data, **options)
    res, best = model.fit(cov_type="none"), json.loads(STORED.read_text())["best_llf"][name]
    assert res.llf > best - 1e-4
    assert best - model.fit(model.start_params, cov_type="none").llf == pytest.approx(above, abs=0.01)
