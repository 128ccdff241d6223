"""The tables of docs/benchmarks are what their commands print: each page names one, which exists."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "benchmarks").glob("*.md"))


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "tests" / "benchmarks" / "pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_pages() -> None:
    assert len(PAGES) > 5


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_a_command_and_its_output(path: Path, pages: ModuleType) -> None:
    text = path.read_text(encoding="utf-8")
    command, before, body, after = pages.parts(text)
    assert (ROOT / shlex.split(command)[1]).is_file()
    assert before + body + after == text and body.strip()
    assert pages.renewed(text, lambda _: body) == text


def test_only_the_output_changes(pages: ModuleType) -> None:
    page = (
        "# A\n\n```text\npython tests/benchmarks/x.py --quick\n```\n\nWords.\n\n```text\nold\n```\n\nMore.\n"
    )
    asked = []

    def run(command: str) -> str:
        asked.append(command)
        return "new\n"

    assert pages.renewed(page, run) == page.replace("old", "new")
    assert asked == ["python tests/benchmarks/x.py --quick"]


@pytest.mark.parametrize("page", ["no command", "    python tests/benchmarks/x.py\n\nno output"])
def test_a_page_without_either_is_refused(page: str, pages: ModuleType) -> None:
    with pytest.raises(ValueError, match="the page"):
        pages.parts(page)


def test_limits_and_verdicts_stay_out_of_a_page(pages: ModuleType) -> None:
    printed = """what      ours   ratio   limit
one      0.2ms           0.5 ms  PASS
two      0.3ms     3.0   >= 10  FAIL
three    0.4ms     4.0

our 11 PASS  13 FAIL  2
ratio: 1.2, limit 20  FAIL
PASS speed 0.9 (target 0.8)
"""
    assert pages.shown(printed).splitlines() == [
        "what      ours   ratio", "one      0.2ms", "two      0.3ms     3.0", "three    0.4ms     4.0", "",
        "our 11       13       2", "ratio: 1.2", "speed 0.9",
    ]  # fmt: skip
