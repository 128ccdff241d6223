"""What every test may use: published figures and their data, a Hypothesis profile, a quiet matplotlib."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of 3 x 3 matrices only wait for each other
os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close what a test has drawn: matplotlib warns of many open figures, and a warning is an error here."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that are not part of the project (some are from GPL packages)."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the reference data are not part of the project, and {SHARED_DATA} does not exist here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def reference(shared_data: Path) -> dict[str, dict]:
    """Figures of other implementations and of papers, by id, and the sections of `reference.json` by name."""
    path = shared_data / "reference.json"
    if not path.is_file():
        pytest.skip(f"the figures of other implementations are absent: no file {path}")
    sections = json.loads(path.read_text(encoding="utf-8"))
    return {**sections, **{entry["id"]: entry for entry in sections["lgssm"]}}
