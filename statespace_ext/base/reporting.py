"""Reports of results: tables of coefficients, summary, tidy tables, repr and status of the fit."""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Iterable
from inspect import signature
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params
from statsmodels.tsa.statespace import kalman_filter
from statsmodels.tsa.statespace.mlemodel import MLEResults

from ..display import page
from ..engine.arguments import probability
from ..engine.representation import Mixin
from ..exceptions import UnsupportedError, shown
from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array, quiet
from ..plots import LINE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        notes = [f"\\noindent {_escaped(line)}\\par" for line in self.extra_txt.split("\n") if line]
        body = "\n".join(_longtable(tables, caption=i == 0) for i, tables in enumerate(_alike(self._shown())))
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


def _alike(tables: list[SimpleTable]) -> list[list[SimpleTable]]:
    """Group neighbouring tables with the same number of columns and no titles of their own."""
    groups = groupby(tables, key=lambda table: (len(table[0]), bool(table.title)))
    return [list(group) for _, group in groups]


# -- LaTeX -------------------------------------------------------------------------------------------------


def _longtable(tables: list[SimpleTable], caption: bool) -> str:
    """Return tables of the same columns as one LaTeX table, in which the widest column takes what is left."""
    lines = [row for table in tables for row in table]
    rows = [[str(cell.data).strip() for cell in row] for row in lines]
    heads = [row[1].datatype == "header" for row in lines]
    kinds, wide = _columns(rows, heads[0])
    out = [f"\\begin{{longtable}}{{@{{}}{''.join(kinds)}@{{}}}}"]
    if tables[0].title:
        title = _escaped(tables[0].title)
        box = f"\\multicolumn{{{len(kinds)}}}{{@{{}}l@{{}}}}{{\\parbox{{\\linewidth}}{{{title}}}}}\\\\"
        out.append(f"\\caption{{{title}}}\\\\" if caption else box)
    body = "\n".join(_row(row, head, wide) for row, head in zip(rows, heads, strict=True))
    body = body.removeprefix("\\midrule\n")
    return "\n".join([*out, r"\toprule", body, r"\bottomrule", r"\end{longtable}"])


def _row(cells: list[str], head: bool, wide: int) -> str:
    """Return a row of a LaTeX table; a row of titles is between lines."""
    out = list(map(_header if head else _escaped, cells))
    out[wide] = rf"\raggedright\hangindent=1em {_breakable(cells[wide])}"
    line = " & ".join(out) + r" \tabularnewline"
    return f"\\midrule\n{line}\n\\midrule" if head else line


def _columns(rows: list[list[str]], titled: bool) -> tuple[list[str], int]:
    """Return the kinds of the columns of a LaTeX table, and which column takes what is left of the line."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(_text_width, column)) for column in columns]
    wide = 0 if titled else int(np.argmax(widths))
    rest = sum(widths) - widths[wide] + 2.0 * _SEPARATION * (len(columns) - 1)
    first = [next(filter(None, column[titled:]), "") for column in columns]
    kinds = ["l" if text[:1].isalpha() else "r" for text in first]
    kinds[wide] = f"p{{\\dimexpr\\linewidth-{rest:.0f}pt\\relax}}"
    return kinds, wide


_WIDTHS = {"-": 6.7, "+": 6.7, ".": 2.4, ",": 2.4, ":": 2.4, " ": 2.9, "m": 7.1, "w": 6.2, "W": 8.8, "M": 7.8}
"""Widths of characters in points, in Computer Modern of 8 points; others are at most as wide as below."""


def _text_width(text: str) -> float:
    """Return an upper bound of the width of a text in a LaTeX table, in points."""
    lines = [
        [_WIDTHS.get(each, 4.7 if each.islower() else 4.3 if each.isdigit() else 6.2) for each in line]
        for line in text.split("\n")
    ]
    return max(map(sum, lines))


def _escaped(text: str) -> str:
    text = "".join(_LATEX.get(each, each) for each in text).replace("$$", "")
    return re.sub(r"(?<!\w)-(?=[\d.])", "$-$", text)


def _header(text: str) -> str:
    """Return the title of a column, whose lines are stacked."""
    lines = [_escaped(line) for line in text.split("\n")]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r"\\".join(lines) + "}"


def _breakable(text: str) -> str:
    """Return a text whose long words may break after signs, and after several characters."""
    piece = rf"[A-Za-z0-9]{{1,{_RUN}}}[^A-Za-z0-9]*|[^A-Za-z0-9]+"
    words = [re.findall(piece, word) if len(word) > _RUN else [word] for word in text.split()]
    return " ".join(r"\allowbreak{}".join(map(_escaped, pieces)) for pieces in words)


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
"""Titles of the blocks of the layout. The title of any other block is its name."""
_FILTERS = ("univariate", "collapsed", "Chandrasekhar")


def describe_sample(endog: Array, index: pd.Index) -> str:
    """Return a text with the number of periods, the first and last label if any, and the missing share."""
    out = f"{len(endog)} periods"
    if not index.equals(pd.RangeIndex(len(endog))):
        first, last = (
            str(date.date() if isinstance(date, pd.Timestamp) else date) for date in index[[0, -1]]
        )
        out += f" from {first} to {last}"
    missing = float(np.mean(np.isnan(endog)))
    return out + (f", {100.0 * missing:.2g} % missing" if missing else "")


_DEPENDENT = 1e-10
"""A correlation matrix with an eigenvalue below this limit counts as singular."""


_MOST_SERIES = 3
"""Number of series up to which a summary has the diagnostics side by side."""
_FEW = 50
"""Number of parameters up to which a notebook shows standard errors without being asked."""


class Reporting(Mixin):
    """Mixin of the results with `summary`, `tidy` and `glance`."""

    def __repr__(self) -> str:
        verdict = "" if self._fit is None else ", converged" if self.converged else ", NOT CONVERGED"
        return f"<{type(self).__name__}: log-likelihood {self.llf:.6g}{verdict}; {self.model}>"

    def _repr_html_(self) -> str:
        """Return the line of `repr` and the estimates, with standard errors where they are few."""
        few = len(self.params) <= _FEW
        table = self.tidy() if few else pd.Series(self.params, index=self.model.param_names, name="estimate")
        return page(type(self).__name__, repr(self), {"": table})

    # -- DataFrames ------------------------------------------------------------------------------------

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """
        Return a table of the estimates with the column names of the R package broom.

        Parameters
        ----------
        alpha : float
            The intervals have coverage 1 - alpha.

        Returns
        -------
        DataFrame
            One row per estimate, with the columns "matrix" (the system matrix), "term" (the name),
            "estimate", "std_error", "statistic" and "p_value" (of the test that the parameter is zero),
            "conf_low", "conf_high" and "status". The status is "free", "fixed", "boundary", or "coefficient"
            (a constant coefficient, estimated given the parameters).
        """
        out = with_tests(self._rows(), alpha)
        return out[[*(name for name in out if name != "status"), "status"]]

    def glance(self) -> pd.DataFrame:
        """
        Return a table of one row that describes the fit, with the column names of the R package broom.

        Returns
        -------
        DataFrame
            Columns "model", "nobs" (periods), "n_series", "missing" (share), "n_observed" (observed values,
            the n of AICc), "n_periods" (periods with an observed value, the n of BIC and HQIC), "n_params"
            (free parameters), "df_residual", "log_lik", "aic", "aicc", "bic", "hqic", "method", "converged",
            "iterations", "score_norm" and "n_boundary". Values that describe a fit are missing if the model
            was not fitted.
        """
        fit, endog = self._fit, self.model.endog
        row = {
            "model": type(self.model).__name__,
            "nobs": len(endog),
            "n_series": endog.shape[1],
            "missing": float(np.mean(np.isnan(endog))),
            "n_observed": self._counts[0],
            "n_periods": self._counts[1],
            "n_params": len(self.model.layout) - len(self._fixed),
            "df_residual": self.df_resid,
            "log_lik": self.llf,
            **self._criteria,
            **{name: getattr(fit, name, None) for name in ("method", "converged", "iterations")},
            "score_norm": getattr(fit, "score_norm", np.nan),
            "n_boundary": len(self.boundary),
        }
        return pd.DataFrame([row])

    def _rows(self) -> pd.DataFrame:
        """Return the rows of `tidy` without the tests and intervals, by block of the layout."""
        layout, order = self.model.layout, list(self.model.layout.blocks)
        first = {name: key for key, block in reversed(layout.blocks.items()) for name in block.names}
        status = {**dict.fromkeys(self.boundary, "boundary"), **dict.fromkeys(self._fixed, "fixed")}
        rows = pd.DataFrame(
            {
                "matrix": [first[name] for name in layout.names],
                "term": layout.names,
                "estimate": np.asarray(self.params, dtype=float),
                "std_error": np.asarray(self.bse, dtype=float),
                "status": [status.get(name, "free") for name in layout.names],
            }
        )
        return rows.sort_values(
            "matrix", key=lambda keys: keys.map(order.index), kind="stable", ignore_index=True
        )

    def plot_em_trace(self, fig: Figure | None = None, figsize: tuple[float, float] | None = None) -> Figure:
        """
        Plot the trace of the fit: how far the log-likelihood is below its best value, by iteration.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        UnsupportedError
            If the results do not come from a fit, or the fit took no iteration.
        """
        trace = self.em_trace
        if not len(trace):
            raise UnsupportedError(
                "The results have no trace: they do not come from a fit, or it took no iteration",
                remedy="Call `fit`.",
            )
        fig = new_figure(fig, figsize, (6.0, 3.4))
        from matplotlib.ticker import MaxNLocator  # `new_figure` names a missing matplotlib

        axis = fig.subplots()
        best = trace["llf"].max()
        gap = (best - trace["llf"]).to_numpy()
        axis.plot(
            trace["iteration"], np.where(gap > 0.0, gap, np.nan), color=LINE, marker="o", markersize=3,
            linewidth=1.2,
        )  # fmt: skip
        axis.set_yscale("log")
        axis.set_xlabel("iteration")
        axis.set_ylabel("log points below the best")
        axis.set_title(f"best log-likelihood {best:.6g}", fontsize="medium", loc="left")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
        return fig

    # -- the summary -----------------------------------------------------------------------------------

    def summary(
        self, alpha: float = 0.05, *args: object, display_params: bool = True, **kwargs: object
    ) -> FitSummary:
        """
        Summarise the estimates by system matrix, and the status of the fit.

        Parameters
        ----------
        alpha : float
            The intervals have coverage 1 - alpha.
        display_params : bool
            Whether to show the estimates.
        *args, **kwargs
            As in `MLEResults.summary`. By default, the diagnostics of more than three series are in a table
            with one row for each series.

        Returns
        -------
        FitSummary
            A summary with ``as_text()``, ``as_html()`` and ``as_latex()``. Its ``tables[1]`` has all
            coefficients, as in statsmodels. The text shows them by system matrix.
        """
        given = signature(MLEResults.summary).bind_partial(self, alpha, *args, **kwargs).arguments
        names = [str(name) for name in self._series]
        many = "display_max_endog" not in given and len(names) > _MOST_SERIES
        if many:
            kwargs["display_max_endog"] = _MOST_SERIES
        with quiet():  # criteria and tests may warn in very short samples
            kwargs["display_params"] = False
            out = super().summary(alpha, *args, **kwargs)
        tables, blocks = out.tables, []
        if many and given.get("display_diagnostics", True):
            tables[-1] = diagnostics_table(tables[-1], names)
        if display_params and len(self.params):
            tables[1:1] = [coefficient_table(self._named_rows(), alpha)]
            blocks = self._parameter_tables(alpha)
        note = self.cov_kwds.get("description", "") if self.params_cov is not None else ""
        counts = (
            f"AICc {self.aicc:.3f}, of {self._counts[0]} observed values. BIC and HQIC are of the "
            f"{self._counts[1]} periods with a value."
        )
        return FitSummary(tables, filter(None, (note, self._sample(), counts, *self.status_lines())), blocks)

    def _sample(self) -> str:
        """Return the line of `summary` that describes the sample, the filter and the initialization."""
        res, endog = self.filter_results, self.model.endog
        flags = {name: getattr(kalman_filter, f"FILTER_{name.upper()}") for name in _FILTERS}
        names = [name for name in flags if int(res.filter_method) & flags[name]] or ["conventional"]
        diffuse = int(res.nobs_diffuse)
        start = f", exact diffuse start over {diffuse} period{'s' if diffuse > 1 else ''}" if diffuse else ""
        sample = f"{endog.shape[1]} series, {describe_sample(endog, self.model._index)}"
        return f"Sample: {sample}. Filter: {', '.join(names)}{start}."

    def _named_rows(self) -> pd.DataFrame:
        """Return the rows of `tidy` with a mark on the names of fixed parameters."""
        rows = self._rows()
        return rows.assign(term=rows["term"] + np.where(rows["status"] == "fixed", " (fixed)", ""))

    def _parameter_tables(self, alpha: float) -> list[SimpleTable]:
        """Return the tables of the estimates."""
        rows = self._named_rows()
        keys = rows["matrix"].unique()
        blocks = [(TITLES.get(key, key), rows[rows["matrix"] == key]) for key in keys]
        return parameter_tables(blocks, alpha)

    def status_lines(self) -> list[str]:
        """Return the notes of `summary` on convergence, boundaries and identification."""
        lines = [*self._convergence(), *self._boundary(), self._dependence(), self.identification.message]
        return [line for line in lines if line] + list(self.params_cov.notes)

    def _convergence(self) -> list[str]:
        fit = self._fit
        if fit is None:
            return []
        word, status = ("Converged", "") if fit.converged else ("NOT CONVERGED", f"; {fit.status}")
        of_starts = f"{fit.starts_at_best} of {len(fit.starts)} starts reached the best log-likelihood."
        return [
            f"{word}: method {fit.method}, {fit.iterations} iterations, scaled score {fit.score_norm:.2g}"
            f"{status}.",
            of_starts if len(fit.starts) > 1 else "",
        ]

    def _boundary(self) -> list[str]:
        ends = [name for name in self.boundary if name in self.model.layout.bounded]
        singular = [name for name in self.boundary if name not in ends]
        return [
            f"{where}: {shown(names)}."
            for where, names in (
                ("At a boundary (singular covariance), without standard errors", singular),
                ("At the end of its interval, 1 or -1, without a standard error", ends),
            )
            if names
        ]

    def _dependence(self) -> str:
        """Name the series that the model forecasts from each other without error, or return ""."""
        complete = np.flatnonzero(~np.isnan(self.model.endog).any(axis=1))
        out = self.filter_results
        if out.memory_no_forecast_cov or out.memory_no_predicted_cov or not len(complete):
            return ""
        Z, P, H = (
            at(getattr(out, name), complete[-1]) for name in ("design", "predicted_state_cov", "obs_cov")
        )
        cov = Z @ P @ Z.T + H
        scale = np.sqrt(np.where(np.diag(cov) > 0, np.diag(cov), 1.0))
        values, vectors = np.linalg.eigh(cov / scale[:, None] / scale)
        names = np.array(self._series, dtype=object)[np.abs(vectors[:, 0]) > 1e-3]
        if len(values) == 1 or values[0] > _DEPENDENT:
            return ""
        return (
            f"Linearly dependent series: {shown(names)}. Their forecast errors have a singular covariance, "
            "and the log-likelihood has no maximum: no standard errors."
        )
