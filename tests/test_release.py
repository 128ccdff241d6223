"""Figures that are written down twice agree: versions, sets, extras."""

from __future__ import annotations

import importlib
import os
import re
import runpy
from pathlib import Path

import pytest

import statespace_ext as sse

ROOT = Path(__file__).parents[1]
CONSTRAINTS = sorted(path.stem for path in (ROOT / ".ci").glob("*.txt") if path.stem != "tools")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / ".ci" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_citation_has_the_version_and_the_date() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sse.__version__}\n" in text
    (date,) = re.findall(r"^date-released: (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.findall(rf"^## \[{re.escape(sse.__version__)}\] - (\S+)$", changes, re.MULTILINE)
    assert dated in ([], [date])


def dependencies() -> dict[str, str]:
    """The lower bound of each dependency in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    line = re.search(r"^dependencies = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert line
    return dict(each.split(">=") for each in re.findall(r'"([^"]+)"', line[1]))


def test_lower_bounds_are_the_oldest_tested_set() -> None:
    assert dependencies() == pins("oldest")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    nox = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    (oldest,) = re.findall(r'"oldest": "([\d.]+)"', nox)
    assert f'requires-python = ">={oldest}"' in text
    tested = set(re.findall(r'"\w+": "(3\.\d+)"', nox))
    assert set(re.findall(r"Python :: (3\.\d+)", text)) == tested


def test_conda_recipe_has_the_version_and_the_bounds() -> None:
    recipe = (ROOT / ".ci" / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    assert f'version: "{sse.__version__}"' in recipe
    run = recipe.split("\n  run:\n")[1].split("\n\n")[0]
    found = dict(re.findall(r"^    - (\w+) >=([\d.]+)$", run, re.MULTILINE))
    assert found == dependencies()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (built,) = re.findall(r"^requires = \[(.*)\]$", text, re.MULTILINE)
    for name, bound in re.findall(r'"([\w-]+)>=([\d.]+)"', built):
        assert f"- {name} >={bound}\n" in recipe


def test_sets_of_versions_are_those_of_the_table() -> None:
    rows = re.findall(
        r"^\| `(\w+)` +\| ([\d.]+) +\| ([\d.]+) +\| ([\d.]+) +\| ([\d.]+) +\| ([\d.]+) +\|$",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert sorted(row[0] for row in rows) == CONSTRAINTS
    for name, _, *versions in rows:
        found = pins(name)
        assert [found[package] for package in ("statsmodels", "numpy", "scipy", "pandas")] == versions
    assert {pins(name)["statsmodels"] for name in CONSTRAINTS} == {"0.14.0", "0.14.4", "0.14.6", "0.15.0"}


def test_nox_and_the_workflows_know_every_set() -> None:
    nox = pytest.importorskip("nox", reason="nox is not installed")
    sets = runpy.run_path(str(ROOT / "noxfile.py"))["SETS"]
    assert nox and sorted(sets) == CONSTRAINTS
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    for name, python in sets.items():
        session = "installed" if name == "newest" else f"tests({name})"
        assert f'{{ session: {session}, python: "{python}" }}' in workflow


def test_the_versions_at_hand_are_those_of_the_set() -> None:
    name = os.environ.get("VERSIONS_UNDER_TEST")
    if name is None:
        pytest.skip("the versions are not those of a set: this run is not by nox")
    modules = {package: importlib.import_module(package) for package in pins(name)}
    assert {package: module.__version__ for package, module in modules.items()} == pins(name)


def test_extras_are_in_the_table() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = re.findall(r"^(\w+) = ", section, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` +\| ", readme.split("## Extras")[1], re.MULTILINE) == extras
