"""Symbols, names and shapes of the model, and the letters that others use, as one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

_NONE = "-"


@dataclass(frozen=True)
class Quantity:
    """
    One row of the table.

    Attributes
    ----------
    symbol : str
        Letter in the documentation of this package (that of Durbin & Koopman, with x for the state).
    name : str or None
        Name in code; None for what is not an argument or a matrix.
    statsmodels : bool
        Whether the name is statsmodels'; the others are this package's.
    shape : tuple of str
        Rows and columns, in the names of the model's attributes.
    meaning : str
        What it is.
    lgssm, term_structure, marss, dynamax, pykalman : str
        Letter in papers on linear Gaussian models, in those on the term structure of interest rates, and
        in the packages of these names.
    """

    symbol: str
    name: str | None
    statsmodels: bool
    shape: tuple[str, ...]
    meaning: str
    lgssm: str
    term_structure: str
    marss: str
    dynamax: str
    pykalman: str


NOTATION: tuple[Quantity, ...] = (
    Quantity(
        "y_t", "endog", True, ("nobs", "k_endog"), "observations",
        "y", "yields", "y", "y", "z",
    ),
    Quantity(
        "x_t", None, False, ("k_states",), "state (alpha_t in Durbin & Koopman)",
        "x", "factors X", "x", "z", "x",
    ),
    Quantity(
        "Z", "design", True, ("k_endog", "k_states"), "loadings",
        "C", "B(tau)", "Z", "H", "C",
    ),
    Quantity(
        "d", "obs_intercept", True, ("k_endog",), "intercept of the observations",
        "c (observation mean)", "A(tau)", "a", "d", "d",
    ),
    Quantity(
        "H", "obs_cov", True, ("k_endog", "k_endog"), "covariance of the observation noise",
        "R", "covariance of the measurement errors", "R", "R", "R",
    ),
    Quantity(
        "T", "transition", True, ("k_states", "k_states"), "transition; with lags, the companion of A_1..A_L",
        "A", "Phi = exp(-K_P dt)", "B", "F", "A",
    ),
    Quantity(
        "c", "state_intercept", True, ("k_states",), "intercept of the states",
        "d", "(I - Phi) theta_P", "u", "b", "b",
    ),
    Quantity(
        "mu", "state_mean", False, ("k_factors",), "mean of the factors: c = (I - sum A_l) mu",
        "mu", "theta_P", _NONE, _NONE, _NONE,
    ),
    Quantity(
        "R", "selection", True, ("k_states", "k_posdef"), "which states have noise",
        _NONE, _NONE, "G", _NONE, _NONE,
    ),
    Quantity(
        "Q", "state_cov", True, ("k_posdef", "k_posdef"), "covariance of the state noise",
        "Q", "discrete Omega", "Q", "Q", "Q",
    ),
    Quantity(
        "a_1", "initial_state", True, ("k_states",), "mean of x_1",
        "mu_0, pi_1", "stationary mean", "x0", "m", "mu_0",
    ),
    Quantity(
        "P_1", "initial_state_cov", True, ("k_states", "k_states"), "covariance of x_1",
        "V_0, V_1", "stationary covariance", "V0", "S", "Sigma_0",
    ),
    Quantity(
        "exog_t", "exog", True, ("nobs", "k_exog"), "inputs of the observations",
        "u", _NONE, "d", "u", _NONE,
    ),
    Quantity(
        "D", "obs_coef", False, ("k_endog", "k_exog"), "their coefficients",
        "D", _NONE, "D", "D", _NONE,
    ),
    Quantity(
        "state_exog_t", "state_exog", False, ("nobs", "k_state_exog"),
        "inputs of the states (t enters x_{t+1})",
        "u", _NONE, "c (t enters x_t)", "u", _NONE,
    ),
    Quantity(
        "G", "state_coef", False, ("k_factors", "k_state_exog"), "their coefficients",
        "B", _NONE, "C", "B", _NONE,
    ),
)  # fmt: skip
"""The table; `markdown_table` renders it."""

HEADINGS = {
    "symbol": "here",
    "name": "name in code",
    "shape": "shape",
    "meaning": "what",
    "lgssm": "LGSSM papers",
    "term_structure": "term-structure papers",
    "marss": "MARSS",
    "dynamax": "dynamax",
    "pykalman": "pykalman",
}
"""Columns of the rendered table: field of `Quantity` and heading."""


def markdown_table(rows: Iterable[Quantity] = NOTATION) -> str:
    """
    Render the table as markdown, aligned; names that statsmodels does not have carry an asterisk.

    Parameters
    ----------
    rows : iterable of Quantity
        What to render.

    Returns
    -------
    str
        Lines that each begin and end with a bar, without a newline at the end.
    """
    cells = [list(HEADINGS.values())]
    cells += [[_cell(row, field.name) for field in fields(row) if field.name in HEADINGS] for row in rows]
    widths = [max(len(line[j]) for line in cells) for j in range(len(HEADINGS))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    )


def _cell(row: Quantity, column: str) -> str:
    """Return the text of one cell."""
    if column == "symbol":
        return f"`{row.symbol}`"
    if column == "name":
        return _NONE if row.name is None else f"`{row.name}`" + ("" if row.statsmodels else " *")
    if column == "shape":
        return " x ".join(row.shape)
    return str(getattr(row, column))
