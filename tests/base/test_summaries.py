"""Summaries of every model: what code for statsmodels reads, HTML that aligns, LaTeX that fits a page."""

from __future__ import annotations

import copy
import re
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

import statespace_ext as sse

N, TEXT_WIDTH = 60, 345.0
LONG = [f"growth_of_real_consumption_{i}" for i in range(10)]


def panel(names: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    y = np.outer(np.convolve(rng.standard_normal(N), [1, 0.8, 0.5])[:N], np.ones(len(names)))
    index = pd.period_range("2001Q1", periods=N, freq="Q")
    return pd.DataFrame(y + rng.standard_normal((N, len(names))), index, names)


def fitted(name: str) -> Any:
    market = panel(["MKT"])["MKT"]
    if name == "one series":
        return sse.LGSSM(panel(["a"]), 1, identification="unit", obs_cov="zero").fit()
    if name == "LGSSM of ten":
        model = sse.LGSSM(panel(LONG), 1, identification="unit")
        return model.smooth(model.start_params)
    if name == "fixed":
        model = sse.LGSSM(panel(LONG[:2]), 1, identification="unit")
        with model.fix_params({"L1.f1->f1": 0.5}):
            return model.fit()
    if name == "CAPM":
        return sse.CAPM(panel(LONG[:2]), market, obs_cov="diagonal", state_cov="scalar").fit()
    if name == "ACM":
        rng = np.random.default_rng(0)
        x = np.zeros((N, 2))
        for t in range(1, N):
            x[t] = [0.95, 0.8] * x[t - 1] + [0.3, 0.3] * rng.standard_normal(2)
        tau = np.array([0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
        curves = (
            5.0 + x @ np.array([1.0 / (1.0 + 0.1 * tau), -np.exp(-tau)]) + 0.02 * rng.standard_normal((N, 7))
        )
        index = pd.period_range("1990-01", periods=N, freq="Q")
        return sse.ACM(pd.DataFrame(curves, index), tau, k_factors=2, units="percent").fit()
    model = sse.ATSM(0.05 + 0.002 * panel(LONG[:3]), [1.0, 3.0, 7.0], k_factors=1)
    return model.smooth(model.start_params)


@pytest.fixture(scope="module", params=["one series", "LGSSM of ten", "fixed", "CAPM", "ATSM", "ACM"])
def res(request: pytest.FixtureRequest) -> Any:
    return fitted(request.param)


def test_the_second_table_has_all_coefficients(res: Any) -> None:
    """As code for statsmodels reads it: by pandas from HTML, and from the cells."""
    table = res.summary(alpha=0.1).tables[1]
    frame = pd.read_html(StringIO(table.as_html()), header=0, index_col=0)[0] if HAS_LXML else cells(table)
    expected = res.tidy(alpha=0.1)
    assert list(frame.columns) == ["coef", "std err", "z", "P>|z|", "[0.05", "0.95]"]
    assert [name.removesuffix(" (fixed)") for name in frame.index] == list(expected["term"])
    assert set(res.params.index) <= set(expected["term"])
    assert_allclose(frame["coef"], expected["estimate"], rtol=5.001e-4)
    assert_allclose(frame["[0.05"], expected["conf_low"], rtol=5.001e-4)
    assert_allclose(frame["P>|z|"], expected["p_value"], atol=6e-4)


def cells(table: Any) -> pd.DataFrame:
    (_, *header), *rows = table.data
    frame = pd.DataFrame([row[1:] for row in rows], [row[0] for row in rows], header)
    return frame.replace("", np.nan).astype(float)


try:
    import lxml  # noqa: F401

    HAS_LXML = True
except ImportError:
    HAS_LXML = False


def test_the_header_of_the_second_table_is_that_of_statsmodels() -> None:
    plain = sm.tsa.SARIMAX(panel(["a"]), order=(1, 0, 0))
    theirs, ours = plain.smooth(plain.start_params).summary(), fitted("one series").summary()
    for summary in (theirs, ours):
        assert [str(cell.data).strip() for cell in summary.tables[1][0]][1:] == [
            "coef", "std err", "z", "P>|z|", "[0.025", "0.975]"
        ]  # fmt: skip
    assert len(ours.tables) == 3


def test_the_text_shows_blocks_in_place_of_the_second_table(res: Any) -> None:
    summary = res.summary()
    text = summary.as_text()
    shown = [] if isinstance(res, sse.ATSMResults) else res.tidy()["term"]  # that of ATSM has its matrices
    assert len(shown) or "Prices of risk" in text
    for term in shown:
        assert 1 <= len(re.findall(rf"^{re.escape(term)}(?: \(fixed\))? ", text, re.M)) <= 2
    assert copy.deepcopy(summary).as_text() == text
    changed = copy.copy(summary)
    changed.tables = changed.tables[:1]
    assert res.tidy()["term"].iloc[0] not in changed.as_text().split("\n\n")[0]


def test_blocks_of_coefficients_share_a_table_in_html(res: Any) -> None:
    page = res.summary().as_html()
    tables = page.split("</table>")[:-1]
    assert page.count("<table") == len(tables) and all(each.count("<table") == 1 for each in tables)
    holders = [each for each in tables if "P&gt;|z|" in each]
    assert len(holders) == 1
    assert not re.search(r"<t[hd]>\s+\S|\S +</t[hd]>", page)


def test_diagnostics_of_ten_series_have_a_row_for_each() -> None:
    summary = fitted("LGSSM of ten").summary()
    lines = summary.as_text().split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 110
    rows = [line.split() for line in lines if line.startswith(tuple(LONG))]
    assert [row[0] for row in rows] == LONG and {len(row) for row in rows} == {9}
    kurtosis = fitted("LGSSM of ten").test_normality("jarquebera")[:, 3]
    assert_allclose([float(row[-1]) for row in rows], kurtosis, atol=0.0051)


# -- LaTeX -------------------------------------------------------------------------------------------------


def points(text: str) -> float:
    """A width in Computer Modern of 8 points, from the widths of cmr8 (a digit has 4.25 points)."""
    plain = re.sub(r"\\shortstack\[r\]\{(.*)\}", r"\1", text)
    plain = re.sub(r"\\(?:raggedright|hangindent=1em|allowbreak\{\})", "", plain)
    plain = plain.replace("$", "").replace("\\_", "_").replace("\\%", "%").replace("\\#", "#").strip()
    wide = {"-": 6.6, ".": 2.4, ",": 2.4, " ": 2.8, "m": 7.0, "w": 6.1, "i": 2.4, "l": 2.4, "M": 7.8}
    return max(sum(wide.get(each, 4.25) for each in line) for line in plain.split("\\\\"))


def longtables(latex: str) -> list[tuple[str, list[list[str]]]]:
    found = re.findall(r"\\begin\{longtable\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end\{longtable\}", latex, re.S)
    lines = [[line for line in body.split("\n") if line.endswith(r"\tabularnewline")] for _, body in found]
    rows = [[re.split(r"(?<!\\)&", line.removesuffix(r"\tabularnewline")) for line in each] for each in lines]
    return list(zip([columns for columns, _ in found], rows, strict=True))


def test_latex_fits_a_page(res: Any) -> None:
    """Of each table, the widest rows of the fixed columns leave room for the column that breaks lines."""
    latex = res.summary().as_latex()
    tables = longtables(latex)
    assert len(tables) >= 2 and latex.count(r"\caption{") == 1
    for columns, rows in tables:
        room = float(re.search(r"linewidth-(\d+)pt", columns)[1])
        kinds = re.sub(r"p\{.*?\}", "p", columns.replace(r"\dimexpr\linewidth", "").replace(r"\relax", ""))
        assert {len(row) for row in rows} == {len(kinds)}
        fixed = [j for j, kind in enumerate(kinds) if kind != "p"]
        used = sum(max(points(row[j]) for row in rows) for j in fixed) + 6.0 * (len(kinds) - 1)
        assert used <= room <= TEXT_WIDTH - 40.0
        for row in rows:
            pieces = re.split(r"\\allowbreak\{\}| ", row[kinds.index("p")].split("1em ")[-1])
            assert max(map(points, pieces)) <= TEXT_WIDTH - room


def test_latex_has_rules_and_notes(res: Any) -> None:
    summary = res.summary()
    latex = summary.as_latex()
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == len(longtables(latex))
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    notes = latex.split(r"\raggedright" + "\n")[-1]
    assert notes.count(r"\noindent [") == len(summary.extra_txt.split("\n"))
