"""Rules of the source that no linter in `.ci/lint` knows: looks at versions, optional packages, sizes."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LIBRARY = TESTS.parent / "statespace_ext"
DEPENDENCIES = {"statsmodels", "numpy", "scipy", "pandas", "patsy", "statespace_ext"}
LINES_OF_A_FILE, LINES_OF_A_CLASS, METHODS_OF_A_CLASS, LINES_OF_A_FUNCTION = 600, 300, 20, 50
LARGE_CLASSES = {
    "StateSpaceModel": "one method for each of statsmodels' MLEModel that needs other work",
    "StateSpaceResults": "one method or property for each of statsmodels' MLEResults that needs other work",
    "SmoothedPoint": "the sums of one E-step, each a cached property that reads a few others",
    "LinearGaussianUpdates": "the closed-form updates, one short method a matrix",
    "ATSM": "one method for each part of the model that prices enter: matrices, score, starts, updates",
}
"""Classes over both limits, and why."""


def looks_at_a_version(node: ast.AST) -> bool:
    """Tell whether a node reads `__version__` or compares with a version, such as "0.14.0"."""
    match node:
        case ast.Attribute(attr="__version__"):
            return True
        case ast.ImportFrom(names=names, level=0):
            return any(each.name == "__version__" for each in names)
        case ast.Compare():
            return any(map(is_version, ast.walk(node)))
    return False


def is_version(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return re.fullmatch(r"\d+\.\d+[\w.]*", text) is not None
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return re.fullmatch(r"(.*_)?version_*", name, re.IGNORECASE) is not None
    return False


def executed_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes outside functions and outside `if TYPE_CHECKING:`."""
    yield node
    skipped = node.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) else []
    for child in ast.iter_child_nodes(node):
        if child not in skipped and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from executed_on_import(child)


def optional_packages(tree: ast.AST) -> set[str]:
    found = set()
    for node in executed_on_import(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found - DEPENDENCIES - set(sys.stdlib_module_names)


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines after the signature and the docstring."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def too_large(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LINES_OF_A_FUNCTION:
            found.append(f"{node.name}: {length(node)} lines")
        elif isinstance(node, ast.ClassDef) and node.name not in LARGE_CLASSES:
            methods = sum(isinstance(each, ast.FunctionDef) for each in node.body)
            if length(node) > LINES_OF_A_CLASS and methods > METHODS_OF_A_CLASS:
                found.append(f"{node.name}: {length(node)} lines and {methods} methods")
    return found


@pytest.mark.parametrize(
    "path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY))
)
def test_source(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert optional_packages(tree) == set(), "import an optional package inside the function that needs it"
    assert too_large(tree) == []
    assert len(source.splitlines()) <= LINES_OF_A_FILE
    if path.relative_to(LIBRARY).as_posix() != "engine/compat.py":
        lines = [node.lineno for node in ast.walk(tree) if looks_at_a_version(node)]  # type: ignore[attr-defined]
        assert lines == [], "only engine/compat.py looks at a version"


def test_files_of_tests_are_no_longer_than_those_of_the_library() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in TESTS.rglob("*.py")}
    assert {str(path.relative_to(TESTS)): n for path, n in lengths.items() if n > LINES_OF_A_FILE} == {}


@pytest.mark.parametrize(
    "source",
    [
        "ok = np.__version__ > x",
        "from statsmodels import __version__",
        "ok = parse(x) >= parse('0.14.6')",
        "ok = compat.SM_VERSION >= (0, 15)",
    ],
)
def test_a_look_at_a_version_is_found(source: str) -> None:
    assert any(map(looks_at_a_version, ast.walk(ast.parse(source))))
    other = "conversion = 1.5\nok = conversion > 1.5 and 'f1' == 'f2'"
    assert not any(map(looks_at_a_version, ast.walk(ast.parse(other))))


def test_optional_packages_are_found() -> None:
    assert optional_packages(ast.parse("import matplotlib.pyplot as plt")) == {"matplotlib"}
    assert optional_packages(
        ast.parse("try:\n    from tqdm import x\nexcept ImportError:\n    x = None")
    ) == {"tqdm"}
    assert optional_packages(ast.parse("def f():\n    import matplotlib")) == set()
    assert optional_packages(ast.parse("if TYPE_CHECKING:\n    import dask")) == set()
    assert optional_packages(ast.parse("if TYPE_CHECKING:\n    pass\nelse:\n    import dask")) == {"dask"}


def test_sizes_are_found() -> None:
    def function(name: str, lines: int) -> str:
        return f'def {name}():\n    """Doc.\n\n    More.\n    """\n' + lines * "    x = 1\n"

    assert too_large(ast.parse(function("long", 51) + function("short", 50))) == ["long: 51 lines"]
    short = "class A:\n" + 21 * "    def f(self): ...\n"
    assert too_large(ast.parse(short)) == []
    assert too_large(ast.parse(short + 300 * "    x = 1\n")) == ["A: 321 lines and 21 methods"]
