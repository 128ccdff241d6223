"""
Write the tables of docs/benchmarks anew: run the command that a page names and put in what it prints.

    python tests/benchmarks/pages.py [PAGE ...]

PAGE is the name of a page without .md; all of them without an argument, which takes about an hour. A page
shows what was measured, without the limits of the benchmarks and their verdicts. The words around a table are
a person's, and may need another look: `git diff` shows what changed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "benchmarks"
_COMMAND = re.compile(r"^ *(python tests/benchmarks/\S+\.py.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?:text)?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)

_VERDICT = re.compile(r"\b(?:PASS|FAIL)\b")
_AIM = re.compile(r"(?:, limit [\d.]+|, at most [\d.]+: *| \(target [\d.]+\))")
_JUDGED = re.compile(r"^(?:linear in n:|memory below )")


def shown(printed: str) -> str:
    """Return what a benchmark prints without limits and verdicts: a reader does not know these."""
    lines, width = [], 0
    for line in printed.splitlines():
        line = line.removeprefix("PASS ").removeprefix("FAIL ")
        if _JUDGED.match(line):
            continue
        line = _AIM.sub("", _VERDICT.sub(lambda match: " " * len(match[0]), line)).rstrip()
        if line.endswith(" limit"):
            width, line = len(line), line.removesuffix("limit").rstrip()
        elif not line:
            width = 0
        elif width and len(line) >= width - 1:  # a value in the last column, which is not in every row
            line = re.sub(r" +(?:>= *)?[\d.]+ ?(?:m?s)?$", "", line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def parts(page: str) -> tuple[str, str, str, str]:
    """Return the first command of a page, and what is before, in and after the block of its output."""
    command = _COMMAND.search(page)
    if command is None:
        raise ValueError("the page names no command of tests/benchmarks")
    for block in _BLOCK.finditer(page):
        if block.start("body") > command.end() and not _COMMAND.search(block["body"]):
            return command[1].strip(), page[: block.start("body")], block["body"], page[block.end("body") :]
    raise ValueError("the page has no block after its command")


def renewed(page: str, run: Callable[[str], str]) -> str:
    """Return a page with what its command prints."""
    command, before, _, after = parts(page)
    return before + shown(run(command).strip("\n")) + after


def printed(command: str) -> str:
    """Run a command in the root of the project; benchmarks end with 1 where a limit is not met."""
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{command} failed:\n{done.stderr}")
    return done.stdout


def main(names: list[str]) -> None:
    """Renew the pages named."""
    for path in [PAGES / f"{name}.md" for name in names] or sorted(PAGES.glob("*.md")):
        path.write_text(renewed(path.read_text(encoding="utf-8"), printed), encoding="utf-8")
        print(path.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
