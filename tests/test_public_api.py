"""The public names: complete, documented, few exceptions, one version."""

from __future__ import annotations

import importlib.metadata
import inspect
import pickle
import re
from types import ModuleType

import pytest

import statespace_ext as sse
from statespace_ext import exceptions

MODULES = {"datasets": sse.datasets}
"""Public names that gather others."""
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
    assert set(sse.__all__) == public | {"__version__", *MODULES}
    assert len(set(sse.__all__)) == len(sse.__all__)


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
