"""Nothing that the package reads is executed, formulas apart, which are patsy's."""

from __future__ import annotations

import ast
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_data import factor_series, lgssm, returns

import statespace_ext as sse

SOURCE = Path(sse.__file__).parent


class Payload:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def hostile_contents(trace: Path) -> dict[str, bytes]:
    pickled = pickle.dumps(Payload(trace))
    header = b'{"fit_options": "[]", "seed": [1, 2, 3, 4]}\n'
    return {
        "a pickle": pickled,
        "a pickle of text and a line end": pickle.dumps(Payload(trace), protocol=0) + b"\n",
        "a pickle after the header": header + pickled + b"\n",
        "Python": b"__import__('os').system('true')\n",
        "JSON of another kind": b"[1, 2]\n",
        "an object of another kind": b'{"a": 1}\n',
        "a record with a foreign entry": header + b'{"name": "m", "__class__": "os.system"}\n',
        "a text without a line end": b"not a checkpoint",
    }


@pytest.mark.parametrize("kind", hostile_contents(Path()))
def test_a_hostile_checkpoint_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    trace, file = tmp_path / "it ran", tmp_path / "run.jsonl"
    content = hostile_contents(trace)[kind]
    file.write_bytes(content)
    with pytest.raises(sse.SpecificationError, match="not a checkpoint"):
        list(sse.fit_many({"m": lgssm(factor_series())}, checkpoint=file))
    assert not trace.exists() and file.read_bytes() == content


def test_the_payload_would_run(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    trace = tmp_path / "it ran"
    pickle.loads(pickle.dumps(Payload(trace)))
    assert trace.exists()


@cache
def calls() -> list[tuple[str, str]]:
    """Return module and callee of every call in the library."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.append((str(path.relative_to(SOURCE)), ast.unparse(node.func)))
    return found


def test_the_library_calls_nothing_that_executes_what_it_reads() -> None:
    executing = {"eval", "exec", "compile", "__import__", "os.system", "np.load", "pd.read_pickle"}
    roots = ("pickle.", "marshal.", "shelve.", "subprocess.", "joblib.load", "dill.", "cloudpickle.")
    assert [call for call in calls() if call[1] in executing or call[1].startswith(roots)] == []


def test_only_the_formula_module_gives_patsy_an_environment() -> None:
    users = {module for module, callee in calls() if callee.startswith("patsy.") or callee == "DesignInfo"}
    assert users == {"base/formula.py", "params/parse.py"}  # the latter only parses linear equations


HOSTILE = "__import__('pathlib').Path({!r}).touch()"


def test_constraints_and_names_are_not_executed(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    code = HOSTILE.format(str(trace))
    with pytest.raises(sse.StateSpaceError):
        lgssm(factor_series(), design=[[code], ["b"], ["c"]])
    named = pd.DataFrame(factor_series(), columns=[code, "b", "c"])
    model = lgssm(named)
    assert np.isfinite(model.loglike(model.start_params))
    frame = pd.DataFrame(returns(), columns=["a", "b", "c"])
    with pytest.raises(sse.StateSpaceError):
        sse.DynamicRegression(frame, frame[["a"]].rename(columns={"a": code}), dynamics={code: code})
    for hypothesis in (code, f"MKT.a = {code}", f"{code} = 0"):
        with pytest.raises(sse.StateSpaceError):
            sse.CAPM(frame, frame.mean(axis=1), beta="static").fit().test_coefficients(hypothesis)
    assert not trace.exists()


def test_a_formula_is_executed_by_patsy_as_the_documentation_says(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    data = pd.DataFrame({"y": returns()[:, 0], "x": returns()[:, 1]})
    code = f"y ~ I(x * bool({HOSTILE.format(str(trace))} is None))"
    sse.DynamicRegression.from_formula(code, data)
    assert trace.exists()
    assert "Python code" in str(sse.DynamicRegression.from_formula.__doc__)
    page = SOURCE.parent / "docs" / "dynamic_regression.md"
    if page.exists():  # not beside an installed package
        assert "evaluates the terms of a formula as Python code" in page.read_text(encoding="utf-8")
