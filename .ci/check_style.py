"""Fail on what no linter here counts: long files, long functions, bare asserts in the library.

    python .ci/check_style.py [PACKAGE_FOLDER]

A function's length is that of its body after the docstring, from its first line to its last.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE = 600
MAX_FUNCTION = 50


def body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function after its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def faults_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of all that is wrong in one file."""
    if (length := len(source.splitlines())) > MAX_FILE:
        yield 1, f"file has {length} lines, limit {MAX_FILE}: split it"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            yield node.lineno, "bare assert: raise one of exceptions.py with what, got, expected, what to do"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if (length := body_length(node)) > MAX_FUNCTION:
                yield node.lineno, f"{node.name} has {length} lines, limit {MAX_FUNCTION}: name its parts"


def check(folder: Path) -> list[str]:
    """Return a line for each fault of the package in a folder."""
    return [
        f"{path.relative_to(folder.parent)}:{line}: {message}"
        for path in sorted(folder.rglob("*.py"))
        for line, message in sorted(faults_of(path.read_text(encoding="utf-8")))
    ]


def main(argv: list[str]) -> int:
    """Print the faults and return the exit status."""
    folder = Path(argv[0] if argv else Path(__file__).parents[1] / "statespace_ext").resolve()
    faults = check(folder)
    print("\n".join(faults) if faults else "sizes and asserts: no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
