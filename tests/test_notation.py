"""The table of notation: every name exists, nothing is left out, and the page shows the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from notation import NOTATION, REGRESSION, TERM_STRUCTURE, Letter, Quantity, Row, markdown_table
from statsmodels.tsa.statespace.mlemodel import MLEModel
from statsmodels.tsa.statespace.representation import FrozenRepresentation

import statespace_ext as sse

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "lgssm.md": "NOTATION",
    "notation.md": "NOTATION",
    "dynamic_regression.md": "REGRESSION",
    "atsm.md": "TERM_STRUCTURE",
}
TABLES: dict[str, tuple[Row, ...]] = {
    "NOTATION": NOTATION,
    "REGRESSION": REGRESSION,
    "TERM_STRUCTURE": TERM_STRUCTURE,
}
ROWS = {row.name: row for row in NOTATION if row.name is not None}


@pytest.fixture(scope="module")
def model() -> sse.LGSSM:
    """Sizes that all differ, so that one cannot stand for another."""
    rng = np.random.default_rng(0)
    return sse.LGSSM(
        rng.normal(size=(40, 7)),
        k_factors=2,
        lags=3,
        exog=rng.normal(size=(40, 4)),
        state_exog=rng.normal(size=(40, 5)),
    )


def size(model: Any, shape: tuple[str, ...]) -> tuple[int, ...]:
    """Evaluate a shape of the table on a model."""
    return tuple(int(getattr(model, name, None) or getattr(model.ssm, name)) for name in shape)


@pytest.mark.parametrize("table", TABLES)
def test_names_and_symbols_are_unique(table: str) -> None:
    names = [row.name for row in TABLES[table] if row.name is not None]
    symbols = [row.symbol for row in TABLES[table]]
    assert len(set(names)) == len(names)
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.statsmodels])
def test_statsmodels_has_the_name(name: str) -> None:
    model = MLEModel(np.arange(5.0), k_states=1, exog=np.ones(5))
    model.initialize_known(np.zeros(1), np.eye(1))
    known = set(model.ssm.shapes) | {"endog", "exog"} | set(FrozenRepresentation._model_attributes)
    assert name in known
    assert getattr(model, name, None) is not None or hasattr(model.filter([]).filter_results, name)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.statsmodels])
def test_statsmodels_does_not_have_our_names(name: str) -> None:
    model = MLEModel(np.arange(5.0), k_states=1)
    assert not hasattr(model, name)
    assert name not in model.ssm.shapes
    assert name not in FrozenRepresentation._model_attributes


def test_every_matrix_of_statsmodels_is_in_the_table(model: sse.LGSSM) -> None:
    matrices = set(model.ssm.shapes) - {"obs"}
    assert matrices <= set(ROWS)


def test_every_block_of_the_layout_is_in_the_table(model: sse.LGSSM) -> None:
    assert set(model.layout.blocks) <= set(ROWS)


def test_every_matrix_of_the_results_is_in_the_table(model: sse.LGSSM) -> None:
    assert set(model.smooth(model.start_params).matrices) <= set(ROWS)


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("exog", "endog", "state_exog")])
def test_shapes_of_matrices(model: sse.LGSSM, name: str) -> None:
    shape = size(model, ROWS[name].shape)
    if name in model.ssm.shapes:
        assert model.ssm.shapes[name][: len(shape)] == shape
    else:
        assert np.squeeze(model.matrices(model.start_params)[name]).shape == shape


@pytest.mark.parametrize("name", ["endog", "exog", "state_exog"])
def test_shapes_of_data(model: sse.LGSSM, name: str) -> None:
    assert getattr(model, name).shape == size(model, ROWS[name].shape)


def regression() -> Any:
    """Two regressors, one of them "ar1"."""
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(40, 5)), pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    model = sse.DynamicRegression(y, x, dynamics={"a": "ar1"}, obs_cov="diagonal", state_cov="diagonal")
    return model.smooth(model.start_params)


def term_structure() -> Any:
    """Two factors, five yields."""
    y = 0.05 + 0.005 * np.random.default_rng(0).normal(size=(40, 5)).cumsum(axis=0)
    model = sse.ATSM(y, [0.5, 1, 2, 5, 10], k_factors=2, dt=1 / 12)
    return model.smooth(model.start_params)


@pytest.mark.parametrize(("rows", "make"), [(REGRESSION, regression), (TERM_STRUCTURE, term_structure)])
def test_the_table_of_a_model_has_every_matrix_of_its_results(rows: tuple[Letter, ...], make: Any) -> None:
    res = make()
    named = {row.name: row for row in rows if row.name is not None}
    assert set(res.matrices) <= set(named)
    for name, row in named.items():
        shape = tuple(1 if part == "k_ar1" else size(res.model, (part,))[0] for part in row.shape)
        if name in res.matrices:
            assert np.shape(res.matrices[name]) == shape
        elif name in res.model.ssm.shapes:
            assert res.model.ssm.shapes[name][: len(shape)] == shape
        else:
            assert name in ("endog", "exog") and np.shape(getattr(res.model, name)) == shape


@pytest.mark.parametrize("table", ["REGRESSION", "TERM_STRUCTURE"])
def test_the_asterisk_is_right(table: str) -> None:
    ours = {row.name for row in TABLES[table] if row.name is not None and not row.statsmodels}
    known = {row.name for row in NOTATION if row.statsmodels}
    assert not ours & known
    assert {row.name for row in TABLES[table] if row.statsmodels} <= known


def test_rendering_of_a_row() -> None:
    row = Quantity("s", "own_name", False, ("rows", "columns"), "what it is", "a", "b", "c", "d", "e")
    head, rule, line = markdown_table([row]).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "here", "name in code", "shape", "what", "LGSSM papers", "term-structure papers", "MARSS",
        "dynamax", "pykalman",
    ]  # fmt: skip
    assert set(rule) == set("|- ")
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "`s`", "`own_name` *", "rows x columns", "what it is", "a", "b", "c", "d", "e",
    ]  # fmt: skip
    assert len({len(head), len(rule), len(line)}) == 1


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_the_table(page: str) -> None:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    begin = next(i for i, line in enumerate(table) if "name in code" in line)
    rendered = markdown_table(TABLES[PAGES[page]]).splitlines()
    assert table[begin : begin + len(rendered)] == rendered, (
        f"docs/{page} is behind docs/notation.py: paste the output of `PYTHONPATH=docs python -c "
        f'"from notation import *; print(markdown_table({PAGES[page]}))"`'
    )
