"""Symbols, names and shapes of the models, and the notation of other texts, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

_NONE = "-"


@dataclass(frozen=True)
class Row:
    """
    What the rows of every table have.

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
    """

    symbol: str
    name: str | None
    statsmodels: bool
    shape: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class Quantity(Row):
    """
    One row of the table of the state-space form.

    Attributes
    ----------
    lgssm, term_structure, marss, dynamax, pykalman : str
        Letter in papers on linear Gaussian models, in those on the term structure of interest rates, and
        in the packages of these names.
    """

    lgssm: str
    term_structure: str
    marss: str
    dynamax: str
    pykalman: str


@dataclass(frozen=True)
class Letter(Row):
    """
    One row of the table of a model that has letters of its own.

    Attributes
    ----------
    elsewhere : str
        Letter in other texts and packages.
    """

    elsewhere: str


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
        "exog_t", "exog", True, ("nobs", "k_exog"), "covariates of the observations",
        "u", _NONE, "d", "u", _NONE,
    ),
    Quantity(
        "D", "obs_coef", False, ("k_endog", "k_exog"), "their coefficients",
        "D", _NONE, "D", "D", _NONE,
    ),
    Quantity(
        "state_exog_t", "state_exog", False, ("nobs", "k_state_exog"),
        "covariates of the states (t enters x_{t+1})",
        "u", _NONE, "c (t enters x_t)", "u", _NONE,
    ),
    Quantity(
        "G", "state_coef", False, ("k_factors", "k_state_exog"), "their coefficients",
        "B", _NONE, "C", "B", _NONE,
    ),
)  # fmt: skip
"""The state-space form; `markdown_table` renders it."""

REGRESSION: tuple[Letter, ...] = (
    Letter("y_t", "endog", True, ("nobs", "k_endog"), "series", "Y_t (dlm), y_t (Harvey)"),
    Letter("x_t", "exog", True, ("nobs", "k_exog"), "regressors", "x_t; X in a dlm"),
    Letter(
        "x_t' (x) I_p", "design", True, ("k_endog", "k_states"), "every regressor, for every series",
        "F_t (dlm), Z_t (Harvey)",
    ),
    Letter(
        "theta_t", None, False, ("k_states",), "coefficients, the states", "theta_t (dlm), alpha_t (Harvey)",
    ),
    Letter(
        "V", "obs_cov", True, ("k_endog", "k_endog"), "covariance of the errors",
        "V (dlm), H (Harvey)",
    ),
    Letter(
        "W", "state_cov", True, ("k_posdef", "k_posdef"), "covariance of the innovations of the coefficients",
        "W (dlm, rows with noise), Q (Harvey)",
    ),
    Letter(
        "phi", "ar1", False, ("k_ar1", "k_endog"), 'coefficients of "ar1" deviations',
        "a diagonal of G (dlm), T (Harvey)",
    ),
)  # fmt: skip
"""Dynamic regressions: Petris, Petrone & Campagnoli (the R package dlm), and Harvey."""

TERM_STRUCTURE: tuple[Letter, ...] = (
    Letter(
        "K_P", "K_P", False, ("k_factors", "k_factors"), "mean reversion under P",
        "K^P; in discrete time -K^P_1",
    ),
    Letter(
        "kappa_P", "kappa_P", False, ("k_factors",), "drift at X = 0 under P",
        "K^P theta^P; in discrete time K^P_0",
    ),
    Letter(
        "theta_P", "theta_P", False, ("k_factors",), "mean under P: K_P^{-1} kappa_P, if it exists",
        "long-run mean",
    ),
    Letter(
        "K_Q", "K_Q", False, ("k_factors", "k_factors"), "mean reversion under Q",
        "-K^Q_1 (Joslin, Singleton & Zhu); often without the Q",
    ),
    Letter(
        "kappa_Q", "kappa_Q", False, ("k_factors",), "drift at X = 0 under Q",
        "K^Q_0 (Joslin, Singleton & Zhu)",
    ),
    Letter(
        "theta_Q", "theta_Q", False, ("k_factors",), "mean under Q: K_Q^{-1} kappa_Q, if it exists",
        "theta^Q",
    ),
    Letter(
        "Sigma", "Sigma", False, ("k_factors", "k_factors"), "Cholesky factor of S, which is `state_cov`",
        "Sigma",
    ),
    Letter("lambda_0", "lambda_0", False, ("k_factors",), "price of risk at X = 0", "lambda_1 (Duffee)"),
    Letter(
        "lambda_1", "lambda_1", False, ("k_factors", "k_factors"), "how the price of risk moves with X",
        "lambda_2 (Duffee)",
    ),
    Letter("delta_0", "delta_0", False, (), "short rate at X = 0", "rho_0"),
    Letter("delta_1", "delta_1", False, ("k_factors",), "how the short rate moves with X", "rho_1"),
    Letter(
        "H", "obs_cov", True, ("k_endog", "k_endog"), "covariance of the measurement (or pricing) errors",
        "R",
    ),
)  # fmt: skip
"""The affine term structure model."""

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
    "elsewhere": "elsewhere",
}
"""Columns of the rendered tables: field of a row and heading."""


def markdown_table(rows: Sequence[Row] = NOTATION) -> str:
    """
    Render a table as markdown, aligned; names that statsmodels does not have carry an asterisk.

    Parameters
    ----------
    rows : sequence of Row
        What to render, all of one kind.

    Returns
    -------
    str
        Lines that each begin and end with a bar, without a newline at the end.
    """
    columns = [field.name for field in fields(rows[0]) if field.name in HEADINGS]
    cells = [[HEADINGS[column] for column in columns]]
    cells += [[_cell(row, column) for column in columns] for row in rows]
    widths = [max(len(line[j]) for line in cells) for j in range(len(columns))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    )


def _cell(row: Row, column: str) -> str:
    """Return the text of one cell."""
    if column == "symbol":
        return f"`{row.symbol}`"
    if column == "name":
        return _NONE if row.name is None else f"`{row.name}`" + ("" if row.statsmodels else " *")
    if column == "shape":
        return " x ".join(row.shape) or "1"
    return str(getattr(row, column))
