"""The summary of a fit: blocks by system matrix, and lines below; in text, HTML and LaTeX."""

from __future__ import annotations

import copy
import html
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params
from statsmodels.tsa.statespace.kalman_filter import (
    FILTER_CHANDRASEKHAR,
    FILTER_COLLAPSED,
    FILTER_UNIVARIATE,
)

from .tidy import with_tests

TITLES = {
    "coefficients": "Constant coefficients",
    "design": "Loadings (design)",
    "transition": "Transition",
    "obs_intercept": "Intercepts of the observations",
    "state_intercept": "Intercepts of the states",
    "state_mean": "Means of the states",
    "obs_coef": "Regressors of the observations",
    "state_coef": "Regressors of the states",
    "obs_cov": "Covariance of the observations",
    "obs_loading": "Covariance of the observations, factors",
    "state_cov": "Covariance of the states",
    "state_loading": "Covariance of the states, factors",
    "proportion": "Covariance of the states / observations",
    "initial_state": "First state",
    "initial_state_cov": "Covariance of the first state",
}
"""Titles of the blocks, by block of the layout; others have their own name."""
_FILTERS = {
    FILTER_UNIVARIATE: "univariate",
    FILTER_COLLAPSED: "collapsed",
    FILTER_CHANDRASEKHAR: "Chandrasekhar",
}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
}  # fmt: skip


class FitSummary(Summary):
    """
    A summary of statsmodels whose names and lines may hold the special characters of HTML and LaTeX.

    Parameters
    ----------
    tables : iterable of SimpleTable
        The tables.
    lines : iterable of str
        What to say below them.
    """

    def __init__(self, tables: Iterable[SimpleTable], lines: Iterable[str]) -> None:
        super().__init__()
        self.tables = list(tables)
        self.add_extra_txt([f"[{i + 1}] {line}" for i, line in enumerate(lines)])

    def as_html(self) -> str:
        """Return the tables and the lines as HTML."""
        safe = copy.deepcopy(self)
        safe.extra_txt = html.escape(self.extra_txt, quote=False)
        for table in safe.tables:
            table.title = html.escape(table.title, quote=False) if table.title else table.title
            for cell in (cell for row in table for cell in row):
                cell.data = html.escape(str(cell.data), quote=False)
        return str(Summary.as_html(safe))

    def as_latex(self) -> str:
        """Return the tables and the lines as LaTeX (with booktabs)."""
        safe = copy.copy(self)  # statsmodels escapes the tables, but not the lines
        safe.extra_txt = "".join(_LATEX.get(letter, letter) for letter in self.extra_txt)
        return str(Summary.as_latex(safe))


def parameter_tables(blocks: Iterable[tuple[str, pd.DataFrame]], alpha: float) -> list[SimpleTable]:
    """
    Return one table a block, of one width.

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


def _number(value: float, column: int) -> str:
    if np.isnan(value):
        return " " * 9
    text = f"{value:.3f}" if column in (2, 3) else f"{value:#.4g}".rstrip(".")
    return f"{text:>9}"


def describe_sample(endog: Any, index: Any) -> str:
    """Return number of periods, first and last label where there are labels, and the missing share."""
    out = f"{len(endog)} periods"
    if not index.equals(pd.RangeIndex(len(endog))):
        first, last = (
            str(date.date() if isinstance(date, pd.Timestamp) else date) for date in index[[0, -1]]
        )
        out += f" from {first} to {last}"
    missing = float(np.mean(np.isnan(endog)))
    return out + (f", {100.0 * missing:.2g} % missing" if missing else "")


def sample_line(sample: str, series: int, filter_results: Any) -> str:
    """
    Return what a summary says of the sample, the filter and the start.

    Parameters
    ----------
    sample : str
        Periods and dates.
    series : int
        Number of series.
    filter_results : FilterResults
        The filter pass at the estimates.
    """
    method = int(filter_results.filter_method)
    names = [name for flag, name in _FILTERS.items() if method & flag] or ["conventional"]
    diffuse = int(filter_results.nobs_diffuse)
    start = f"exact diffuse start over {diffuse} period{'s' if diffuse > 1 else ''}" if diffuse else ""
    text = f"Sample: {series} series, {sample}. Filter: {', '.join(names)}"
    return f"{text}, {start}." if start else f"{text}."
