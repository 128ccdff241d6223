"""The checkers of `.ci`: small packages that break a rule, and the library itself, which does not."""

import importlib.util
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


imports = load("check_imports")
style = load("check_style")


@pytest.fixture
def package(tmp_path):
    """Write a small package, `{"em/driver.py": source}`, and return its folder."""

    def write(files):
        folder = tmp_path / "statespace_ext"
        rooms = {"em", "params", "numerics", "engine", "lgssm", "base", "plots", "datasets"}
        empty = {f"{room}/__init__.py": "" for room in rooms} | {"__init__.py": "", "exceptions.py": ""}
        for name, source in (empty | files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
        return folder

    return write


ALLOWED = {
    "down": {
        "lgssm/model.py": "from ..em import driver\nfrom ..base.base import Results",
        "em/driver.py": "from ..numerics import riccati",
        "base/results.py": "import pandas as pd",
        "numerics/riccati.py": "import numpy as np\nfrom scipy import linalg",
    },
    "own room": {
        "em/driver.py": "from .moments import x\nfrom statespace_ext.em import moments",
        "em/moments.py": "",
    },
    "common": {"numerics/a.py": "from ..exceptions import ModelError\nfrom .. import exceptions"},
    "datasets": {"datasets/simulate.py": "from ..numerics import a\nimport pandas", "numerics/a.py": ""},
    "top": {"__init__.py": "from .lgssm.a import A\nfrom .datasets import load", "lgssm/a.py": ""},
    "patsy in params": {"params/parse.py": "import patsy"},
    "lazy": {"plots/a.py": "def plot():\n    import matplotlib.pyplot as plt"},
    "typing upward": {
        "base/a.py": """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from matplotlib.figure import Figure
                from ..lgssm.a import A
            """,
        "lgssm/a.py": "from ..base.a import R",
    },
    "compat": {"engine/compat.py": "import statsmodels\nNEW = statsmodels.__version__ >= '0.15.0'"},
    "no version": {"em/a.py": "conversion = 1.5\nok = conversion > 1.5 and 'f1' == 'f2'"},
}

REFUSED = {
    "up": ({"em/a.py": "\nfrom ..lgssm import b", "lgssm/b.py": ""}, "em/a.py:2: em may not import lgssm"),
    "up, absolute": ({"base/a.py": "import statespace_ext.lgssm.b"}, "base may not import lgssm"),
    "up, in a function": ({"em/a.py": "def f():\n    from ..plots import p"}, "em may not import plots"),
    "neighbour": (
        {"inference/a.py": "from ..fit import b", "fit/b.py": ""},
        "may not import fit",
    ),
    "top": ({"em/a.py": "from .. import LGSSM"}, "em may not import the package itself"),
    "out of common": ({"exceptions.py": "from .numerics import a"}, "exceptions may not import numerics"),
    "datasets up": ({"datasets/a.py": "from ..em import b"}, "datasets may not import em"),
    "to datasets": ({"lgssm/a.py": "from ..datasets import b"}, "lgssm may not import datasets"),
    "else branch": (
        {"em/a.py": "if TYPE_CHECKING:\n    pass\nelse:\n    from ..lgssm import b"},
        "em/a.py:4: em may not import lgssm",
    ),
    "pandas in em": ({"em/a.py": "def f():\n    import pandas as pd"}, "em may not import pandas"),
    "statsmodels in numerics": (
        {"numerics/a.py": "from statsmodels.tsa import x"},
        "may not import statsmodels",
    ),
    "patsy in em": ({"em/a.py": "import patsy"}, "em may not import patsy"),
    "pandas in annotations": (
        {"params/a.py": "if typing.TYPE_CHECKING:\n    import pandas"},
        "params may not import pandas",
    ),
    "matplotlib": ({"plots/a.py": "import matplotlib.pyplot as plt"}, "matplotlib is optional"),
    "tqdm in try": (
        {"em/a.py": "try:\n    import tqdm\nexcept ImportError:\n    tqdm = None"},
        "tqdm is optional",
    ),
    "version": ({"em/a.py": "ok = np.__version__ > x"}, "only engine/compat.py"),
    "version imported": ({"lgssm/a.py": "from statsmodels import __version__"}, "only engine/compat.py"),
    "version literal": ({"lgssm/a.py": "ok = parse(x) >= parse('0.14.6')"}, "only engine/compat.py"),
    "version name": ({"lgssm/a.py": "ok = compat.SM_VERSION >= (0, 15)"}, "only engine/compat.py"),
    "unknown room": ({"utils/a.py": ""}, "unknown room 'utils'"),
    "cycle": (
        {
            "em/a.py": "from . import b",
            "em/b.py": "from .c import x",
            "em/c.py": "def f():\n    from .a import y",
        },
        "import cycle: statespace_ext.em.",
    ),
}


@pytest.mark.parametrize("files", ALLOWED.values(), ids=ALLOWED)
def test_allowed(package, files):
    assert imports.check(package(files)) == []


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(package, files, message):
    (line,) = imports.check(package(files))
    assert message in line


def test_exit_status(package, capsys):
    folder = package({"em/a.py": "import pandas"})
    assert imports.main([str(folder)]) == 1
    assert capsys.readouterr().out == "statespace_ext/em/a.py:1: em may not import pandas\n"
    (folder / "em" / "a.py").write_text("")
    assert imports.main([str(folder)]) == 0
    assert "no fault" in capsys.readouterr().out


def test_the_library_passes():
    assert imports.check(ROOT / "statespace_ext") == []


def test_style(package, capsys):
    def function(name, length):
        return f'def {name}():\n    """Doc.\n\n    More.\n    """\n' + length * "    x = 1\n"

    folder = package({"em/a.py": function("long", 51) + function("short", 50), "em/b.py": 601 * "\n"})
    (folder / "params" / "c.py").write_text("assert x\n" + 399 * "\n")
    assert style.main([str(folder)]) == 1
    long, file, bare = capsys.readouterr().out.splitlines()
    assert "em/a.py:1: long has 51 lines" in long
    assert "em/b.py:1: file has 601 lines" in file
    assert "params/c.py:1: bare assert" in bare


def test_style_of_the_library():
    assert style.check(ROOT / "statespace_ext") == []
