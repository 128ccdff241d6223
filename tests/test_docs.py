"""What the documentation shows is what happens: code blocks of the pages, docstrings, links, the example."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import runpy
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import statespace_ext

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for folder in ("", "docs/", "docs/benchmarks/") for page in ROOT.glob(f"{folder}*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOTEBOOKS = sorted(ROOT.glob("examples/*.ipynb"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TEST = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")
LONG = (
    "add_a_model atsm choose_model coming_from dynamic_regression em forecasts inference macro_factors "
    "missing_data nowcast persistence published_faults"
).split()
"""Pages whose code takes more than a second or two: `nox -s docs` runs it, once and not with every set."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run_examples(test: doctest.DocTest) -> str:
    """Run the examples of one doctest and return a report of those that fail."""
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
    return "".join(report)


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(Path(statespace_ext.__path__[0]))], f"{statespace_ext.__name__}.")
    absent = () if find_spec("sktime") else ("statespace_ext.sktime",)
    return [statespace_ext.__name__, *(item.name for item in found if item.name not in absent)]


def test_the_page_of_checks_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "what_is_checked.md").read_text(encoding="utf-8")
    named = set(re.findall(r"tests/[\w/]+\.py", page))
    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_pages_exist() -> None:
    named = ("architecture", "lgssm", "dynamic_regression", "atsm", "published_faults")
    assert {"README.md", *(f"docs/{name}.md" for name in named)} <= {relative(page) for page in PAGES}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=relative(page), marks=[pytest.mark.slow] * (page.stem in LONG))
        for page in PAGES
        if BLOCK.search(page.read_text("utf-8"))
    ],
)
def test_code_blocks_of_a_page(page: Path) -> None:
    """The blocks run in order, in one namespace; those with prompts print what they say."""
    text, names = page.read_text(encoding="utf-8"), {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        source = match.group(1)
        extras = [name for name in ("dynamax", "sktime") if name in source]
        if extras:  # not in the extra "test", and full of warnings: run where they are installed
            if None in map(find_spec, extras):
                continue
            warnings.simplefilter("ignore")
        if ">>>" not in source:
            exec(compile("\n" * line + source, str(page), "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(source, names, relative(page), str(page), line)
        report = run_examples(test)
        assert not report, report
        names = test.globs


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str) -> None:
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        report = run_examples(test)
        assert not report, report


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_code_fits_a_page_of_1280_pixels(page: Path) -> None:
    """By docs/static/site.css, 110 characters fit; a line that is longer has to be scrolled."""
    blocks = re.findall(r"^```.*?^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [line for block in blocks for line in block.splitlines() if len(line) > 110] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_tests_that_a_page_names_exist(page: Path) -> None:
    named = TEST.findall(page.read_text(encoding="utf-8"))
    sources = {path: (page.parent / path).read_text(encoding="utf-8") for _, path in named}
    assert [name for name, path in named if f"def {name}(" not in sources[path]] == []


def test_quickstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "Converged" in printed
    assert "NOT CONVERGED" not in printed
    assert "nan" not in printed
    assert [path.name for path in tmp_path.iterdir()] == ["quickstart.png"]
    assert (tmp_path / "quickstart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_stored_outputs_are_those_of_one_run_from_top_to_bottom(path: Path) -> None:
    """`.ci/examples` runs the notebooks again; here is what can be seen of a partial or a failed run."""
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds <= {"stream", "display_data", "execute_result"} and "display_data" in kinds
    assert path.stat().st_size < 300_000


def test_a_model_is_added_in_sixty_lines() -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "add_a_model.md").read_text("utf-8"))
    (model,) = [block for block in blocks if "class " in block]
    assert model.count("\n") <= 60


def test_every_public_name_is_on_the_page_of_public_names() -> None:
    """The site makes a page of each."""
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    listed = re.findall(r"^   ([A-Za-z_.]+)$", page, re.MULTILINE)
    modules = ("components", "datasets")
    public = [name for name in statespace_ext.__all__ if name not in ("__version__", *modules)]
    for module in modules:
        names = getattr(statespace_ext, module).__all__
        public += [f"{module}.{name}" for name in names if not name.isupper()]
    assert sorted(listed) == sorted(public)
