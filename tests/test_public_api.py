"""The public names: complete, documented, few exceptions, one version."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import walk_subjects
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext import exceptions
from statespace_ext.base.model import _FOR_THE_ENGINE

MODULES = {"components": sse.components, "datasets": sse.datasets}
"""Public names that gather others."""
HIDDEN = {"TYPE_CHECKING", "annotations", "import_module"}
"""What the package imports for itself."""
OBJECTS = {
    name: getattr(module, name)
    for module in (sse, *MODULES.values())
    for name in module.__all__
    if not name.startswith("__") and name not in (*MODULES, "INDUSTRIES")
}
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
MODELS_AND_RESULTS = {
    name: value for name, value in CLASSES.items() if not issubclass(value, (Exception, Warning))
}
CALLABLE = {  # functions, and classes that do not take just what their base class takes
    name: vars(value)["__init__"] if inspect.isclass(value) else value
    for name, value in OBJECTS.items()
    if not inspect.isclass(value) or "__init__" in vars(value)
}
ERRORS = [
    value
    for value in vars(exceptions).values()
    if inspect.isclass(value) and value.__module__ == exceptions.__name__
]


def own_parameters(function: object) -> list[str]:
    """Names of the parameters that a caller may pass, without ``self``, ``*args`` and ``**kwargs``."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [p.name for p in parameters if p.kind not in kinds and p.name != "self"]


def documented_parameters(docstring: str) -> list[str]:
    """Names in the numpydoc section Parameters, or in Attributes of a dataclass."""
    sections = re.findall(
        r"^(?:Parameters|Attributes)\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", docstring, re.M | re.S
    )
    lines = [line for section in sections for line in section.splitlines() if re.match(r"[\w*]", line)]
    return [name.strip(" *") for line in lines for name in line.split(" : ")[0].split(",")]


def public_methods(cls: type) -> dict[str, object]:
    """Functions and properties that the package itself defines on a class or on its bases."""
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == sse.__name__:
            found.update({key: value for key, value in vars(base).items() if not key.startswith("_")})
    return {
        key: value
        for key, value in found.items()
        if inspect.isfunction(value) or isinstance(value, (property, staticmethod, classmethod))
    }


def test_all_is_the_public_names() -> None:
    public = {
        name
        for name, value in vars(sse).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(sse.__all__) == public - HIDDEN | {"__version__", *MODULES}
    assert dir(sse) == sorted(sse.__all__)
    assert len(set(sse.__all__)) == len(sse.__all__)


def test_lazy_names_are_those_that_type_checkers_see() -> None:
    """`if TYPE_CHECKING:` and the table of `__getattr__` say the same, and it is true."""
    tree = ast.parse(Path(sse.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: f"{node.module or ''}.{alias.name}".strip(".") if alias.name in MODULES else node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == sse._HOMES
    assert set(sse.__all__) == {"__version__", *sse._HOMES}
    for name, value in OBJECTS.items():
        if name in sse._HOMES:
            home = getattr(value, "__module__", f"{sse.__name__}.{sse._HOMES[name]}")
            assert home == f"{sse.__name__}.{sse._HOMES[name]}"


def in_a_fresh_process(code: str) -> str:
    """Return what code prints in a new interpreter."""
    root = str(Path(sse.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def test_importing_the_package_imports_none_of_its_rooms() -> None:
    code = "import statespace_ext; print(sorted(m for m in sys.modules if m[:14] == 'statespace_ext'))"
    assert ast.literal_eval(in_a_fresh_process(code)) == ["statespace_ext"]


def test_names_before_their_first_use() -> None:
    code = (
        "import statespace_ext as sse; print(set(sse.__all__) <= set(dir(sse)), sse.ATSM.__name__,"
        " sse.datasets.__name__, 'ATSM' in vars(sse), hasattr(sse, 'ATMS'))"
    )
    assert in_a_fresh_process(code) == "True ATSM statespace_ext.datasets True False"


def test_star_imports_everything() -> None:
    code = "import statespace_ext as sse; from statespace_ext import *; print({*sse.__all__} <= {*globals()})"
    assert in_a_fresh_process(code) == "True"


def test_a_pickle_is_read_where_nothing_was_used_yet() -> None:
    """In this order none brings the module of the next: one process does for all."""
    names = ["DataError", "ATSMResults", "LGSSM"]
    data = [pickle.dumps(getattr(sse, name)) for name in names]
    modules = [getattr(sse, name).__module__ for name in names]
    code = (
        f"import pickle; print([(module in sys.modules, pickle.loads(one).__name__) "
        f"for module, one in zip({modules!r}, {data!r})])"
    )
    assert in_a_fresh_process(code) == str([(False, name) for name in names])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'LGSM'"):
        sse.LGSM  # noqa: B018


@pytest.mark.parametrize("name", OBJECTS)
def test_public_objects_are_documented(name: str) -> None:
    own = OBJECTS[name].__doc__
    assert own and own.strip(), f"{name} has no docstring of its own"


@pytest.mark.parametrize("name", CALLABLE)
def test_parameters_are_documented(name: str) -> None:
    """What a class or a function of the package takes is in its docstring, in order."""
    expected = own_parameters(CALLABLE[name])
    assert documented_parameters(inspect.cleandoc(OBJECTS[name].__doc__)) == expected


@pytest.mark.parametrize("name", MODELS_AND_RESULTS)
def test_public_methods_are_documented(name: str) -> None:
    bare = [
        key for key, value in public_methods(MODELS_AND_RESULTS[name]).items() if not inspect.getdoc(value)
    ]
    assert bare == []


def test_fit_documents_its_options() -> None:
    assert documented_parameters(inspect.getdoc(sse.LGSSM.fit) or "") == [
        *own_parameters(sse.LGSSM.fit),
        "kwargs",
    ]


def test_exceptions_are_few_and_public() -> None:
    assert len(ERRORS) <= 8
    assert {error.__name__ for error in ERRORS} == set(exceptions.__all__) <= set(sse.__all__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_exceptions_have_a_place_in_the_tree(error: type[BaseException]) -> None:
    assert issubclass(error, (sse.StateSpaceError, Warning))


def test_message_says_what_got_expected_and_what_to_do() -> None:
    error = sse.DataError("x is too long", got=3, expected=2, remedy="Cut it.")
    assert str(error) == "x is too long: got 3; expected 2. Cut it."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_version_is_that_of_the_installed_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z.]+\d+)?", sse.__version__)
    try:
        installed = importlib.metadata.version("statespace-ext")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed: this is a checkout")
    assert sse.__version__ == installed


SHOWN = {
    "identification", "k_exog", "k_state_exog", "layout", "matrices", "maximum", "params_from_matrices",
    "regressor_names", "shock_names", "state_exog", "system",
}  # fmt: skip
OWN = {
    "LGSSM": {"design_info", "k_factors", "labels", "lags", "regressors"},
    "DynamicRegression": {
        "coefficients", "design_info", "has_factors", "obs_scale", "proportional", "regressors",
    },
    "ATSM": {
        "convexity", "curves", "dynamics", "dynamics_at", "factor_names", "first_portfolios", "k_factors",
        "loadings", "loglike_parts", "norm", "normalised", "panel",
    },
}  # fmt: skip
OWN["CAPM"] = OWN["DynamicRegression"] | {"excess", "factors", "has_risk_free"}


@pytest.mark.parametrize("name", OWN)
def test_tab_completion_of_a_model_shows_what_is_for_users(name: str) -> None:
    """A new name is looked at: it is for users, or left out by `dir`; what is left out exists."""
    model = walk_subjects.SUBJECTS[name].model()
    plain = set(dir(MLEModel(np.zeros((9, 1)), 1)))
    assert {each for each in dir(model) if each[0] != "_"} - plain == SHOWN | OWN[name]
    classes = {base for cls in (sse.LGSSM, sse.CAPM, sse.ATSM) for base in cls.__mro__}
    assert {*vars(model), *[each for cls in classes for each in vars(cls)], "structure"} >= _FOR_THE_ENGINE
