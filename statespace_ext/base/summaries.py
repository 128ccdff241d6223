"""Summaries: one table of all coefficients for programs, and blocks by matrix for readers."""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from ..engine.arguments import probability

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip
_SEPARATION = 3.0
"""Points on each side of a column of a LaTeX table."""
_RUN = 9
"""Number of characters after which a long word in a LaTeX table may break."""
_TESTS = ["Q", "Prob(Q)", "H", "Prob(H)", "JB", "Prob(JB)", "Skew", "Kurtosis"]


class FitSummary(Summary):
    """
    A statsmodels summary whose coefficients are shown in blocks.

    ``tables[1]`` has all coefficients, as in statsmodels. The text, HTML and LaTeX show the blocks in its
    place.

    Parameters
    ----------
    tables : iterable of SimpleTable
        The tables. The second has all coefficients if there are blocks.
    lines : iterable of str
        Notes below the tables.
    blocks : iterable of SimpleTable
        Tables of the coefficients by matrix.
    """

    def __init__(
        self, tables: Iterable[SimpleTable], lines: Iterable[str], blocks: Iterable[SimpleTable] = ()
    ) -> None:
        super().__init__()
        self.tables, self._blocks = list(tables), list(blocks)
        self._whole = self.tables[1] if self._blocks else None
        self.add_extra_txt([f"[{i + 1}] {line}" for i, line in enumerate(lines)])

    def _shown(self) -> list[SimpleTable]:
        """Return the tables with the blocks in place of the table of all coefficients."""
        parts = [self._blocks if table is self._whole else [table] for table in self.tables]
        return [table for part in parts for table in part]

    def as_text(self) -> str:
        """Return the tables and the notes as text."""
        shown = copy.copy(self)
        shown.tables, shown._whole = self._shown(), None
        return str(Summary.as_text(shown))

    def as_html(self) -> str:
        """Return the tables and the notes as HTML. Blocks of coefficients share one table."""
        out = []
        for group in _alike(self._shown()):
            tables = copy.deepcopy(group)
            for table in tables:
                table.title = html.escape(table.title, quote=False) if table.title else table.title
                for cell in (cell for row in table for cell in row):
                    cell.data = html.escape(str(cell.data).strip(), quote=False)
            rows = (re.sub(r"^<table[^>]*>\n|</table>$", "", table.as_html()) for table in tables)
            out.append('<table class="simpletable">\n' + "".join(rows) + "</table>")
        notes = html.escape(self.extra_txt, quote=False).replace("\n", "<br/>")
        return "\n".join(out) + f"<br/><br/>{notes}"

    def as_latex(self) -> str:
        r"""
        Return the tables and the notes as LaTeX.

        The tables are as wide as the text and continue on the next page. They need
        ``\usepackage{booktabs, longtable}``.
        """
        groups = _alike(self._shown())
        notes = [f"\\noindent {_escaped(line)}\\par" for line in self.extra_txt.split("\n") if line]
        body = "\n".join(_longtable(tables, caption=i == 0) for i, tables in enumerate(groups))
        begin = (
            f"\\begingroup\\fontsize{{8}}{{9.5}}\\selectfont\\setlength{{\\tabcolsep}}{{{_SEPARATION:g}pt}}"
        )
        return "\n".join([begin, body, r"\raggedright", *notes, r"\endgroup"])


def parameter_tables(blocks: Iterable[tuple[str, pd.DataFrame]], alpha: float) -> list[SimpleTable]:
    """
    Return one table per block, all of the same width.

    Parameters
    ----------
    blocks : iterable of (str, DataFrame)
        Titles, and rows with "term", "estimate" and "std_error".
    alpha : float
        The intervals have coverage 1 - alpha.
    """
    blocks = [(title, with_tests(rows, alpha)) for title, rows in blocks if len(rows)]
    width = max((len(text) for title, rows in blocks for text in (title, *rows["term"])), default=0)
    header = ["coef", "std err", "z", "P>|z|", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
    out = []
    for title, rows in blocks:
        numbers = rows[["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]].to_numpy()
        cells = [[_number(value, i) for i, value in enumerate(row)] for row in numbers]
        table = SimpleTable(
            cells, [f"{name:>9}" for name in header], [str(term).ljust(width) for term in rows["term"]],
            txt_fmt=fmt_params,
        )  # fmt: skip
        corner = table[0][0]
        corner.data, corner.datatype = title.ljust(width), "stub"
        out.append(table)
    return out


def coefficient_table(rows: pd.DataFrame, alpha: float) -> SimpleTable:
    """Return the table of all coefficients: rows as in `parameter_tables`, cells without blanks."""
    (table,) = parameter_tables([("", rows)], alpha)
    for cell in (cell for row in table for cell in row):
        cell.data = str(cell.data).strip()
    return table


def diagnostics_table(table: SimpleTable, names: list[str]) -> SimpleTable:
    """Return statsmodels' table of the diagnostics of each series with whole names and narrow columns."""
    rows = [[str(value).strip() for value in row[-len(_TESTS) :]] for row in table.data[-len(names) :]]
    title = "Residuals: Ljung-Box of one lag (Q), heteroskedasticity (H), Jarque-Bera (JB)"
    return SimpleTable(rows, _TESTS, names, title=title, txt_fmt={**fmt_params, "colwidths": 8})


def normal_quantile(alpha: float) -> float:
    """
    Return the quantile of a two-sided interval with coverage 1 - alpha.

    Raises
    ------
    SpecificationError
        If alpha is not between 0 and 1.
    """
    return float(norm.ppf(1.0 - probability(alpha, "alpha") / 2.0))


def with_tests(rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Add the test that each estimate is zero, and its interval, to rows with estimates."""
    quantile = normal_quantile(alpha)
    error = rows["std_error"].where(rows["std_error"] > 0)
    statistic = rows["estimate"] / error
    return rows.assign(
        statistic=statistic,
        p_value=2.0 * norm.sf(np.abs(statistic)),
        conf_low=rows["estimate"] - quantile * rows["std_error"],
        conf_high=rows["estimate"] + quantile * rows["std_error"],
    )


def _number(value: float, column: int) -> str:
    if np.isnan(value):
        return " " * 9
    text = f"{value:.3f}" if column in (2, 3) else f"{value:#.4g}".rstrip(".")
    return f"{text:>9}"


def _alike(tables: list[SimpleTable]) -> Iterator[list[SimpleTable]]:
    """Group neighbouring tables with the same number of columns and no titles of their own."""
    for _, group in groupby(tables, key=lambda table: (len(table[0]), bool(table.title))):
        yield list(group)


# -- LaTeX -------------------------------------------------------------------------------------------------


def _longtable(tables: list[SimpleTable], caption: bool) -> str:
    """Return tables of the same columns as one LaTeX table, in which the widest column takes what is left."""
    rows = [[str(cell.data).strip() for cell in row] for table in tables for row in table]
    heads = [row[1].datatype == "header" for table in tables for row in table]
    columns = [[row[j] for row in rows] for j in range(len(rows[0]))]
    widths = [max(map(text_width, column)) for column in columns]
    wide = 0 if heads[0] else int(np.argmax(widths))
    rest = sum(widths) - widths[wide] + 2.0 * _SEPARATION * (len(columns) - 1)
    first = [next((text for text in column[heads[0] :] if text), "") for column in columns]
    kinds = ["l" if text[:1].isalpha() else "r" for text in first]
    kinds[wide] = f"p{{\\dimexpr\\linewidth-{rest:.0f}pt\\relax}}"
    out = [f"\\begin{{longtable}}{{@{{}}{''.join(kinds)}@{{}}}}"]
    title = tables[0].title
    if title and caption:
        out.append(f"\\caption{{{_escaped(title)}}}\\\\")
    elif title:
        box = f"\\parbox{{\\linewidth}}{{{_escaped(title)}}}"
        out.append(f"\\multicolumn{{{len(columns)}}}{{@{{}}l@{{}}}}{{{box}}}\\\\")
    for i, (row, head) in enumerate(zip(rows, heads, strict=True)):
        if head or not i:
            out.append(r"\midrule" if i else r"\toprule")
        cells = [_header(text) if head else _escaped(text) for text in row]
        cells[wide] = rf"\raggedright\hangindent=1em {_breakable(row[wide])}"
        out.append(" & ".join(cells) + r" \tabularnewline")
        if head:
            out.append(r"\midrule")
    return "\n".join([*out, r"\bottomrule", r"\end{longtable}"])


_WIDTHS = {"-": 6.7, "+": 6.7, ".": 2.4, ",": 2.4, ":": 2.4, " ": 2.9, "m": 7.1, "w": 6.2, "W": 8.8, "M": 7.8}
"""Widths of characters in points, in Computer Modern of 8 points; others are at most as wide as below."""


def text_width(text: str) -> float:
    """Return an upper bound of the width of a text in a LaTeX table, in points."""

    def width(each: str) -> float:
        return _WIDTHS.get(each, 4.7 if each.islower() else 4.3 if each.isdigit() else 6.2)

    return max(sum(map(width, line)) for line in text.split("\n"))


def _escaped(text: str) -> str:
    text = "".join(_LATEX.get(each, each) for each in text).replace("$$", "")
    return re.sub(r"(?<!\w)-(?=[\d.])", "$-$", text)


def _header(text: str) -> str:
    """Return the title of a column, whose lines are stacked."""
    lines = [_escaped(line) for line in text.split("\n")]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r"\\".join(lines) + "}"


def _breakable(text: str) -> str:
    """Return a text whose long words may break after signs, and after several characters."""
    words = [
        re.findall(rf"[A-Za-z0-9]{{1,{_RUN}}}[^A-Za-z0-9]*|[^A-Za-z0-9]+", word) for word in text.split()
    ]
    short = [
        [word] if len(word) <= _RUN else pieces for word, pieces in zip(text.split(), words, strict=True)
    ]
    return " ".join(r"\allowbreak{}".join(map(_escaped, pieces)) for pieces in short)
