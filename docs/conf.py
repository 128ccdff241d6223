"""
Sphinx: `sphinx-build -W -c docs . docs/_build/html`, or `python -m nox -s docs`.

The source folder is the checkout, so that links between docs/, examples/ and the files at the top lead to the
same places on the site and in the repository. Nothing is fetched, here or by a reader's browser. The tests
run the code of the pages, and `.ci/examples` runs the notebooks; their stored outputs are shown.
"""

from __future__ import annotations

import base64
import inspect
import json
from pathlib import Path
from typing import Any

from statespace_ext import __version__
from statespace_ext.base.model import _FOR_THE_ENGINE

project = "statespace_ext"
copyright = author = "statespace_ext developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "numpydoc",
    "myst_nb",
]
HERE = Path(__file__).parent
root_doc = "docs/index"
include_patterns = ["docs/**", "examples/*.ipynb", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["docs/_build", "docs/templates", ".nox", ".venv", "venv", "build", "dist", "**/.*"]
templates_path = [str(HERE / "templates")]

nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3
mathjax3_config = {"chtml": {"scale": 0.92}}
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True  # what is copied has neither prompts nor outputs

default_role = "py:obj"
highlight_language = "none"  # what is printed, unless a block says otherwise
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says them
numpydoc_show_class_members = False  # the template of the class lists them

html_theme = "pydata_sphinx_theme"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_title = f"statespace_ext {release}"
html_theme_options = {
    "show_prev_next": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_search_scorer = str(HERE / "static" / "scorer.js")
html_show_sourcelink = False
html_additional_pages = {"index": "to_start.html"}


THUMBNAILS = {"atsm_mcculloch_kwon": 3}
"""Which picture of a notebook the gallery shows, where it is not the first."""


def thumbnails() -> None:
    """Write a picture of each notebook for the gallery."""
    folder = HERE / "generated" / "thumbnails"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (HERE.parent / "examples").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
        pictures = [each["image/png"] for each in data if "image/png" in each]
        (folder / f"{path.stem}.png").write_bytes(base64.b64decode(pictures[THUMBNAILS.get(path.stem, 0)]))


def from_elsewhere(obj: Any) -> bool:
    """Return whether a member comes from statsmodels, pandas or Python, whose documentation is elsewhere."""
    inner = getattr(obj, "fget", None) or getattr(obj, "func", None) or inspect.unwrap(obj)
    return not str(getattr(inner, "__module__", "")).startswith("statespace_ext")


HOOKS = {
    *_FOR_THE_ENGINE,
    "attach",
    "handle_params",
    "initialize_statespace",
    "maximum",
    "params_cov",
    "states",
}
"""What the engine calls, and a user does not."""
FOR_AUTHORS = {"declare", "default_start", "score_by_block", "system"}
"""Hooks that a new model may override: on the page of the base class alone."""


def skip_member(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out inherited members of other packages, and hooks."""
    if what != "class":
        return None
    hooks = HOOKS | FOR_AUTHORS
    if app.env.docname.endswith(".StateSpaceModel"):
        hooks = HOOKS - FOR_AUTHORS
    return True if name in hooks or from_elsewhere(obj) else None


def setup(app: Any) -> None:
    """Connect."""
    thumbnails()
    app.connect("autodoc-skip-member", skip_member)
