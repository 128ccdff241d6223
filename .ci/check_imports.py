"""Fail when an import in the library goes the wrong way.

    python .ci/check_imports.py [PACKAGE_FOLDER]

Rules (docs/architecture.md says why):

- a room imports itself and rooms of a lower rank, never upward and never a neighbour of its rank;
- `datasets` stands beside the rooms; `exceptions`, `notation` and `_version` are open to all;
- no cycle between modules: an import inside a function counts, it only hides the cycle;
- the pure rooms know neither statsmodels nor pandas, and patsy only in `params`;
- only the run-time dependencies are imported at module level: matplotlib and the like inside functions;
- only `engine/compat.py` looks at a version.

An `if TYPE_CHECKING:` import is never executed: it may point upward, close a cycle or name an optional
package, but the pure rooms stay pure in their annotations too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

RANK = {
    "term_structure": 8,
    "regression": 8,
    "lgssm": 8,
    "base": 7,
    "inference": 6,
    "fit": 6,
    "plots": 5,
    "engine": 4,
    "em": 3,
    "params": 2,
    "numerics": 1,
}
COMMON = {"exceptions", "notation", "_version"}
BESIDE = {"datasets": {"numerics"}}
DEPENDENCIES = {"statsmodels", "numpy", "scipy", "pandas", "patsy"}
FORBIDDEN = {
    "em": {"statsmodels", "pandas", "patsy"},
    "params": {"statsmodels", "pandas"},
    "numerics": {"statsmodels", "pandas", "patsy"},
}
COMPAT = "engine.compat"
VERSION_LITERAL = re.compile(r"\d+\.\d+[\w.]*")
VERSION_NAME = re.compile(r"(^|.*_)version(_*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Import:
    """One imported module: where, what, and whether importing the file executes it."""

    line: int
    target: str
    in_function: bool
    typing_only: bool


class Reader(ast.NodeVisitor):
    """Collect a module's imports and its looks at a version."""

    def __init__(self, package: list[str], known: set[str]) -> None:
        self.package, self.known = package, known
        self.imports: list[Import] = []
        self.version_lines: set[int] = set()
        self.in_function = self.typing_only = False

    def add(self, node: ast.stmt, target: str) -> None:
        self.imports.append(Import(node.lineno, target, self.in_function, self.typing_only))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        above = self.package[: len(self.package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for target in sorted({self.submodule(base, alias.name) for alias in node.names}):
            self.add(node, target)
        if base.split(".")[0] != self.package[0] and any(a.name == "__version__" for a in node.names):
            self.version_lines.add(node.lineno)

    def submodule(self, base: str, name: str) -> str:
        full = f"{base}.{name}"
        return full if full in self.known else base

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return self.generic_visit(node)
        before, self.typing_only = self.typing_only, True
        for child in node.body:
            self.visit(child)
        self.typing_only = before
        for child in node.orelse:
            self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        before, self.in_function = self.in_function, True
        self.generic_visit(node)
        self.in_function = before

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr == "__version__":
            self.version_lines.add(node.lineno)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if any(map(is_version, ast.walk(node))):
            self.version_lines.add(node.lineno)
        self.generic_visit(node)


def is_version(node: ast.AST) -> bool:
    """Tell whether a part of a comparison is a version: "0.14.0", or a name that ends in `version`."""
    match node:
        case ast.Constant(value=str(text)):
            return VERSION_LITERAL.fullmatch(text) is not None
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return VERSION_NAME.match(name) is not None
    return False


def modules(folder: Path) -> dict[str, Path]:
    """Map each dotted module name under a package folder to its file."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [folder.name, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read(name: str, path: Path, known: set[str]) -> Reader:
    """Parse one module."""
    parts = name.split(".")
    reader = Reader(parts if path.name == "__init__.py" else parts[:-1], known)
    reader.visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    return reader


def room_of(module: str) -> str:
    """Name the room of a module of the library; the package's own __init__ is in room ""."""
    return ".".join(module.split(".")[1:2])


def may_import(room: str, other: str) -> bool:
    """Tell whether a room may import another."""
    if room in ("", other) or other in COMMON:
        return True
    if room in BESIDE:
        return other in BESIDE[room]
    return RANK.get(other, 99) < RANK.get(room, 0)


def faults_of(name: str, reader: Reader) -> Iterator[tuple[int, str]]:
    """Yield line and message of all that is wrong inside one module."""
    root, room = name.split(".")[0], room_of(name)
    if room and room not in {*RANK, *COMMON, *BESIDE}:
        yield 1, f"unknown room '{room}': give it a rank in .ci/check_imports.py"
        return
    for item in reader.imports:
        top = item.target.split(".")[0]
        if top == root:
            other = room_of(item.target)
            if not item.typing_only and not may_import(room, other):
                yield item.line, f"{room} may not import {other or 'the package itself'} ({item.target})"
        elif top in FORBIDDEN.get(room, ()):
            yield item.line, f"{room} may not import {top}"
        elif top not in DEPENDENCIES | set(sys.stdlib_module_names) and not item.in_function:
            if not item.typing_only:
                yield item.line, f"{top} is optional: import it inside the function that needs it"
    if not name.endswith(f".{COMPAT}"):
        for line in sorted(reader.version_lines):
            yield line, "only engine/compat.py looks at a version"


def cycle_of(readers: dict[str, Reader]) -> list[str]:
    """Return one import cycle between modules, or nothing."""
    graph = {
        name: {i.target for i in reader.imports if i.target in readers and not i.typing_only} - {name}
        for name, reader in readers.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def check(folder: Path) -> list[str]:
    """Return a line for each fault of the package in a folder."""
    files = modules(folder)
    readers = {name: read(name, path, set(files)) for name, path in files.items()}
    lines = [
        f"{files[name].relative_to(folder.parent)}:{line}: {message}"
        for name, reader in readers.items()
        for line, message in faults_of(name, reader)
    ]
    if cycle := cycle_of(readers):
        lines.append("import cycle: " + " -> ".join(cycle))
    return lines


def main(argv: list[str]) -> int:
    """Print the faults and return the exit status."""
    folder = Path(argv[0] if argv else Path(__file__).parents[1] / "statespace_ext").resolve()
    faults = check(folder)
    print("\n".join(faults) if faults else f"import directions: {len(modules(folder))} modules, no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
