"""Looks of the figures: each `plot_*` against a stored picture that somebody has looked at."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

matplotlib = pytest.importorskip("matplotlib")

import pictures  # noqa: E402
from matplotlib.testing.compare import compare_images  # noqa: E402

import statespace_ext  # noqa: E402

DRAWN_WITH = "3.11"
TOLERANCE = 2.0
"""Root mean square difference, of 255: a line moved by a twentieth of its size is above it."""

same_version = pytest.mark.skipif(
    not matplotlib.__version__.startswith(f"{DRAWN_WITH}."),
    reason=f"the pictures were drawn with matplotlib {DRAWN_WITH}: other versions set text in other sizes",
)


def difference(stored: Path, drawn: Path) -> str | None:
    """Return what differs, None where nothing does."""
    result: str | None = compare_images(str(stored), str(drawn), tol=TOLERANCE)
    return result


def test_every_plot_has_a_picture() -> None:
    modules = [
        import_module(each.name)
        for each in pkgutil.walk_packages(statespace_ext.__path__, f"{statespace_ext.__name__}.")
    ]
    places = [*modules, pictures.Pictures, pictures.Reporting]
    plots = {name for place in places for name, _ in inspect.getmembers(place, inspect.isfunction)}
    assert {name for name in plots if name.startswith("plot_")} == {
        f"plot_{name}" for name in pictures.PICTURES if name not in pictures.METHODS
    }
    assert {path.stem for path in pictures.FOLDER.glob("*.png")} == set(pictures.PICTURES)


@same_version
@pytest.mark.parametrize("name", pictures.PICTURES)
def test_picture(name: str, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    pictures.save(pictures.PICTURES[name], drawn)
    assert difference(pictures.FOLDER / f"{name}.png", drawn) is None


@same_version
@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_comparison_sees_a_line_that_moved(name: str, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    pictures.save(pictures.PICTURES[name], drawn, shift=0.05)
    assert difference(pictures.FOLDER / f"{name}.png", drawn) is not None


@same_version
def test_picture_of_the_start_page(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    pictures.save(pictures.start_page, drawn, pictures.START_DPI)
    assert difference(pictures.START_PAGE, drawn) is None
