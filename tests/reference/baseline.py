"""
Write what a large change to the code must not make worse: sizes, number of tests, maxima, benchmark ratios.

    python tests/reference/baseline.py FOLDER [--only sizes tests maxima benchmarks]

Sizes are source lines by folder (`radon raw`) and by kind, modules, blocks of complexity above 10, and the
frames between a fit and its M-step. Run it before and after the change. `fit_panel.py compare` compares the
two files maxima.json, and diff compares the rest. All parts together take hours.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "statespace_ext"
BENCHMARKS = ("estep", "filters", "score", "scale", "atsm")


def run(*command: str, check: bool = True) -> str:
    """Return what a command prints; a benchmark that misses an aim may end with an exit status of one."""
    print("$", *command, flush=True)
    return subprocess.run(command, cwd=ROOT, check=check, capture_output=True, text=True).stdout


def sizes(folder: Path) -> None:
    raw = json.loads(run("radon", "raw", "-j", str(LIBRARY)))
    blocks = json.loads(run("radon", "cc", "-j", "-n", "C", str(LIBRARY)))
    rooms: dict[str, int] = {}
    for name, count in raw.items():
        parts = Path(name).relative_to(LIBRARY).parts
        room = parts[0] if len(parts) > 1 else "."
        rooms[room] = rooms.get(room, 0) + count["sloc"]
    parts = {"signatures": 0, "imports": 0, "errors": 0}
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                parts["signatures"] += node.body[0].lineno - node.lineno
            elif isinstance(node, ast.Import | ast.ImportFrom | ast.Raise):
                key = "errors" if isinstance(node, ast.Raise) else "imports"
                parts[key] += node.end_lineno - node.lineno + 1
    modules = sum(path.name != "__init__.py" for path in LIBRARY.rglob("*.py"))
    lines = [f"{room:16}{count:7}" for room, count in sorted(rooms.items())]
    lines += [
        f"{'all':16}{sum(rooms.values()):7}",
        *(f"{key:16}{n:7}" for key, n in parts.items()),
        f"modules beside __init__: {modules}",
    ]
    lines += [f"complexity: {Path(name).name} {each['name']}" for name in blocks for each in blocks[name]]
    lines += run(sys.executable, "tests/frames.py").splitlines()
    (folder / "sizes.txt").write_text("\n".join(lines) + "\n")


def tests(folder: Path) -> None:
    collected = run(sys.executable, "-m", "pytest", "--collect-only", "-q").splitlines()
    (folder / "tests.txt").write_text(collected[-1] + "\n")


def maxima(folder: Path) -> None:
    run(sys.executable, "tests/reference/fit_panel.py", "run", str(folder.resolve() / "maxima.json"))


def benchmarks(folder: Path) -> None:
    for name in BENCHMARKS:
        (folder / f"{name}.txt").write_text(
            run(sys.executable, f"tests/benchmarks/bench_{name}.py", check=False)
        )


PARTS = {part.__name__: part for part in (sizes, tests, maxima, benchmarks)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        PARTS[name](given.folder)
