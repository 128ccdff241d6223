"""
Sphinx: `sphinx-build -W -c docs . docs/_build/html`, or `python -m nox -s docs`.

The source folder is the checkout, so that links between docs/, examples/ and the files at the top lead to the
same places on the site and in the repository. Nothing is fetched. Code of the pages is run by the tests,
notebooks by `.ci/examples`; their stored outputs are shown.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from statespace_ext import __version__

project = "statespace_ext"
copyright = author = "statespace_ext developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "examples/*.ipynb", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["docs/_build", "docs/templates", ".nox", ".venv", "venv", "build", "dist", "**/.*"]
templates_path = [str(Path(__file__).parent / "templates")]

nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

default_role = "py:obj"
highlight_language = "none"  # what is printed, unless a block says otherwise
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says them
numpydoc_show_class_members = False  # the template of the class lists them

html_theme = "alabaster"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_title = f"statespace_ext {release}"
html_theme_options = {
    "description": "Gaussian state-space models by EM and maximum likelihood",
    "fixed_sidebar": True,
    "page_width": "1180px",
    "sidebar_width": "240px",
    "body_max_width": "900px",
}
html_show_sourcelink = False
html_additional_pages = {"index": "to_start.html"}


def from_elsewhere(obj: Any) -> bool:
    """Return whether a member comes from statsmodels, pandas or Python, whose documentation is elsewhere."""
    inner = getattr(obj, "fget", None) or getattr(obj, "func", None) or inspect.unwrap(obj)
    return not str(getattr(inner, "__module__", "")).startswith("statespace_ext")


def skip_member(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out inherited members of other packages."""
    return True if what == "class" and from_elsewhere(obj) else None


def setup(app: Any) -> None:
    """Connect."""
    app.connect("autodoc-skip-member", skip_member)
