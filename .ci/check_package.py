"""Fail when a built sdist or wheel lacks a file that users need, or the wheel holds one that they do not.

The long description must not have relative links, which lead nowhere on PyPI.

python .ci/check_package.py FILE...
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import PurePosixPath

WHEEL = {"statespace_ext/__init__.py", "statespace_ext/py.typed", "statespace_ext/lgssm/model.py"}
SDIST = {
    "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "noxfile.py",
    "tests/conftest.py", "docs/architecture.md", "examples/quickstart.py", *WHEEL,
}  # fmt: skip


def names(path: str) -> tuple[set[str], set[str]]:
    """Return the files in an archive, and those that are expected."""
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel:
            return set(wheel.namelist()), WHEEL
    with tarfile.open(path) as sdist:
        members = (PurePosixPath(member.name) for member in sdist.getmembers() if member.isfile())
        return {str(PurePosixPath(*member.parts[1:])) for member in members}, SDIST


def relative_links(path: str) -> list[str]:
    """Return the relative links of the long description of a wheel."""
    with zipfile.ZipFile(path) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        text = wheel.read(name).decode("utf-8")
    return re.findall(r"\]\(((?!https?:|#)[^)]*)\)", text)


def faults(path: str) -> list[str]:
    """Return what is wrong with an archive."""
    found, expected = names(path)
    out = [f"{path}: lacks {name}" for name in sorted(expected - found)]
    if path.endswith(".whl"):
        roots = {PurePosixPath(name).parts[0] for name in found}
        extra = sorted(root for root in roots if root != "statespace_ext" and not root.endswith(".dist-info"))
        out += [f"{path}: holds {root}" for root in extra]
        if not any(name.endswith("LICENSE") for name in found):
            out.append(f"{path}: lacks the licence")
        out += [f"{path}: the long description has the relative link {link}" for link in relative_links(path)]
    return out


if __name__ == "__main__":
    lines = [line for path in sys.argv[1:] for line in faults(path)]
    print("\n".join(lines) if lines else f"{len(sys.argv) - 1} archives, no fault")
    sys.exit(1 if lines or len(sys.argv) < 3 else 0)
