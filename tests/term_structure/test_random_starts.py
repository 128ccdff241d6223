"""A default fit against the best of 200 stored random starts (tests/reference/atsm_random_starts.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from yields import jps, panel

import statespace_ext as sse

STORED = Path(__file__).resolve().parents[1] / "reference" / "atsm_random_starts"
SPECIFICATIONS = {
    "independent-afns": {"identification": "afns", "p_dynamics": "diagonal", "state_cov": "diagonal"},
    "afns": {"identification": "afns"},
    "jsz": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(file.stem for file in STORED.glob("*.json")))
def test_default_fit_reaches_the_best_of_random_starts(name: str, shared_data: Path) -> None:
    source, specification = name.split(".")
    yields, tau = jps(shared_data) if source == "jps" else panel(shared_data, source, "decimal")
    res = sse.ATSM(yields, tau, **SPECIFICATIONS[specification]).fit()
    stored = json.loads((STORED / f"{name}.json").read_text())
    assert stored["starts"] == 200
    assert res.llf > stored["best"] - 0.01
    assert res.converged
