"""A default fit against the best of stored random starts (tests/reference/atsm_random_starts.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from yields import jps, panel, turning_panel

import statespace_ext as sse

STORED = Path(__file__).resolve().parents[1] / "reference" / "atsm_random_starts"
SPECIFICATIONS = {
    "independent-afns": {"identification": "afns", "p_dynamics": "diagonal", "state_cov": "diagonal"},
    "afns": {"identification": "afns"},
    "jsz": {},
}
PAIRS = ("jsz-pairs", "dai-singleton-pairs")
"""One model in two coordinates, with complex Q-roots. 200 starts would take hours: there are 7 to 107."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(file.stem for file in STORED.glob("*.json")))
def test_default_fit_reaches_the_best_of_random_starts(name: str, shared_data: Path) -> None:
    source, specification = name.split(".")
    names = [f"{source}.{each}" for each in PAIRS] if specification in PAIRS else [name]
    stored = [json.loads((STORED / f"{each}.json").read_text()) for each in names]
    assert all(each["starts"] >= (5 if specification in PAIRS else 200) for each in stored)
    if source == "turning":
        yields, tau = turning_panel()
    else:
        yields, tau = jps(shared_data) if source == "jps" else panel(shared_data, source, "decimal")
    options = SPECIFICATIONS.get(specification, {"identification": specification})
    res = sse.ATSM(yields, tau, **options).fit()
    assert res.llf > max(each["best"] for each in stored) - 0.01
    assert res.converged
    if source == "turning":
        assert res.mean_reversion.loc["Q", "period"].notna().sum() == 2
