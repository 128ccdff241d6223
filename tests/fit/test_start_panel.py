"""The default fit against the best of 20 random starts, over the models of tests/reference/start_panel.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference import start_panel

SAMPLE = start_panel.entries("develop")[2::12]


@pytest.mark.parametrize("half", start_panel.HALVES)
def test_the_data_are_those_of_the_random_starts(half: str) -> None:
    for entry in start_panel.entries(half):
        y, _ = start_panel.simulated(entry)
        np.testing.assert_allclose(start_panel._fingerprint(y), entry["fingerprint"], rtol=1e-8)


@pytest.mark.parametrize("entry", SAMPLE, ids=lambda entry: entry["name"])
@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_a_sample_reaches_the_best_of_the_random_starts(entry: dict[str, Any]) -> None:
    res = start_panel.model_of(entry).fit(cov_type="none")
    assert res.converged
    assert start_panel.is_reached(entry, res.llf)


@pytest.mark.slow
@pytest.mark.parametrize("half", start_panel.HALVES)
@pytest.mark.filterwarnings("ignore")
def test_the_default_fit_reaches_the_best_of_the_random_starts(half: str) -> None:
    """Within .01 for at least 95 of the 100 models of each half."""
    stored = start_panel.entries(half)
    reached = [start_panel.is_reached(entry, start_panel.default_fit(entry, 1)["llf"]) for entry in stored]
    assert len(reached) == 100
    assert sum(reached) >= 95
