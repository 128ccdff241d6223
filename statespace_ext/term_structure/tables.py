"""Tables and lines of the summary: matrices, eigenvalues, pricing errors and flat directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from ..base.reporting import parameter_tables
from ..base.results import StateSpaceResults
from ..exceptions import UnsupportedError, shown
from ..inference.information import delta_errors
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import NOT_HERE, Array, quiet, symmetrize
from .declaration import spelled
from .dynamics import Affine, mean_reversion, structural_matrices

if TYPE_CHECKING:
    from .atsm import ATSM


@dataclass(frozen=True)
class Sensitivity:
    """
    Derivatives of estimated factors by the parameters.

    Attributes
    ----------
    params : ndarray
        The estimates, as a full parameter vector.
    places : ndarray of int, (q,)
        Positions of the free parameters.
    steps : ndarray
        Steps of finite differences, one for each parameter.
    cov : ndarray, (q, q)
        Covariance of the estimates of the free parameters.
    by_state : ndarray, (n, k, q)
        Derivatives of the factors by the free parameters.
    """

    params: Array
    places: Array
    steps: Array
    cov: Array
    by_state: Array

    def variance(self, rate: Callable[[Array], Affine], states: Array, rows: slice) -> Array:
        """
        Return the contribution of parameter uncertainty to the variance of rates A + B x, (n, m).

        It uses the delta method with d(A + B x) = dA + dB x + B dx.

        Parameters
        ----------
        rate : callable
            Function that maps a full parameter vector to A and B.
        states : ndarray, (n, k)
            The states x.
        rows : slice
            The rows of ``by_state`` with the derivatives dx.
        """

        def _joined(at: Array) -> Array:
            affine = rate(at)
            return np.column_stack([affine.intercept, affine.slope])

        moved = jacobian(_joined, self.params, self.steps, places=self.places)
        intercept, slope = moved[:, 0], moved[:, 1:]
        moves = intercept + np.einsum("nk,mkq->nmq", states, slope)
        moves = moves + np.einsum("mk,nkq->nmq", rate(self.params).slope, self.by_state[rows])
        flat = moves.reshape(-1, len(self.places))
        added = np.where((flat != 0).any(axis=1), delta_errors(flat, self.cov) ** 2, 0.0)
        return added.reshape(moves.shape[:2])


BASIS_POINTS = 1e4
_MULTIPLE = 1e-4
"""Distance of eigenvalues, relative to the largest (or to one), below which they count as equal."""
_VECTORS = ("kappa_P", "theta_P", "kappa_Q", "theta_Q", "lambda_0", "delta_0", "delta_1")
_Q = ("K_Q", "kappa_Q", "theta_Q", "delta_0", "delta_1")
BLOCKS = {
    "P dynamics (a year)": ("K_P", "kappa_P", "theta_P", "Sigma"),
    "Q dynamics and short rate": _Q,
    "Prices of risk": ("lambda_0", "lambda_1"),
}
"""The blocks of `summary`, except the observation equation."""


def structural_values(model: ATSM, params: Array) -> dict[str, Array]:
    """Return the matrices, including obs_cov, at a full parameter vector."""
    out = structural_matrices(model.dynamics(params), model.norm.arbitrage_free)
    return {**out, "obs_cov": model.layout.matrices(params)["obs_cov"]}


Axes = tuple[list[str], list[str]]
"""Labels of the rows and columns of a matrix. An axis without labels has one empty label."""


def labelled(values: Mapping[str, Array], axes: Callable[[str], Axes]) -> dict[str, Any]:
    """Return matrices as frames, vectors as series and numbers as floats, given the axes of each by name."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        rows, columns = axes(key)
        if rows == [""]:
            out[key] = float(value[0])
        elif value.ndim == 1:
            out[key] = pd.Series(value, index=rows, name=key)
        else:
            out[key] = pd.DataFrame(value, index=rows, columns=columns)
    return out


def axes_of(model: ATSM, key: str) -> Axes:
    """Return the axes of a matrix; Q and prices of risk have rows of pricing factors only."""
    names = model.factor_names
    own = names[: model.k_factors] if key in (*_Q, *BLOCKS["Prices of risk"]) else names
    if key == "obs_cov":
        return model.panel.labels, model.panel.labels
    if key in _VECTORS:
        return [""] if key == "delta_0" else own, [""]
    return own, own if key == "K_Q" else names


def elements(model: ATSM) -> list[tuple[str, str, str, int]]:
    """Return matrix, row, column and position of the elements in a table."""
    errors, out = model.layout.blocks["obs_cov"].free_elements, []
    for key in (*chain.from_iterable(BLOCKS.values()), "obs_cov"):
        rows, columns = axes_of(model, key)
        part = errors if key == "obs_cov" else np.ones((len(rows), len(columns)), bool)
        places = np.argwhere(np.tril(part) if key in ("Sigma", "obs_cov") else part)
        out += [(key, rows[i], columns[j], i * len(columns) + j) for i, j in places]
    return out


def matrices_table(results: StateSpaceResults) -> pd.DataFrame:
    """Return the elements of `matrices` with delta-method standard errors, by matrix, row and column."""
    shown = elements(results.model)

    def _chosen(values: Mapping[str, Array]) -> Array:
        return np.array([values[key].ravel()[place] for key, _, _, place in shown])

    estimate, se = with_errors(results, _chosen)
    index = pd.MultiIndex.from_tuples([item[:3] for item in shown], names=["matrix", "row", "column"])
    return pd.DataFrame({"estimate": estimate, "se": se}, index=index)


def with_errors(
    results: StateSpaceResults, function: Callable[[dict[str, Array]], Array]
) -> tuple[Array, Array]:
    """Return a function of the matrices and its standard errors; fixed parameters have no uncertainty."""
    return results._with_errors(lambda params: function(structural_values(results.model, params)))


def roots_of(K_P: Array, K_Q: Array, step: float | None) -> pd.DataFrame:
    """Return a table of `mean_reversion` of two matrices."""
    parts = {"P": mean_reversion(K_P, step), "Q": mean_reversion(K_Q, step)}
    index = pd.MultiIndex.from_tuples(
        [(measure, i + 1) for measure, rows in parts.items() for i in range(len(rows))],
        names=["measure", "root"],
    )
    columns = ["real", "imag", "half_life", "period"]
    return pd.DataFrame(np.concatenate(list(parts.values())), index=index, columns=columns)


def mean_reversion_table(results: StateSpaceResults) -> pd.DataFrame:
    """
    Return `mean_reversion` with delta-method standard errors of real parts and half-lives.

    Multiple roots have no derivative, so their standard errors are NaN. So are those of infinite half-lives.
    """
    out, step = results.mean_reversion, results.model.panel.period

    def _real_and_half(values: Mapping[str, Array]) -> Array:
        both = [mean_reversion(values[f"K_{measure}"], step)[:, [0, 2]] for measure in "PQ"]
        return np.concatenate(both).T.ravel()

    with quiet():  # half-lives at a unit root are infinite
        errors = with_errors(results, _real_and_half)[1].reshape(2, -1)
    for place, name in ((0, "real_se"), (1, "half_life_se")):
        out[name] = errors[place]
        out.loc[_repeated(out), name] = np.nan
    return out[["real", "real_se", "imag", "half_life", "half_life_se", "period"]]


def _repeated(roots: pd.DataFrame) -> Array:
    """Return which eigenvalues are multiple and therefore have no derivative."""
    out = []
    for measure in ("P", "Q"):
        z = roots.loc[[measure], ["real", "imag"]].to_numpy() @ np.array([1.0, 1j])
        apart = np.abs(z[:, None] - z) + np.where(np.eye(len(z), dtype=bool), np.inf, 0.0)
        out.append(apart.min(axis=1) < _MULTIPLE * max(float(np.abs(z).max()), 1.0))
    return np.concatenate(out)


def error_summary(errors: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return mean, standard deviation, root mean square and largest modulus of pricing errors."""
    axis: Literal[0, 1] = 0 if by == "maturity" else 1
    return pd.DataFrame(
        {
            "mean": errors.mean(axis=axis),
            "std": errors.std(axis=axis, ddof=0),
            "rmse": np.sqrt((errors**2).mean(axis=axis)),
            "max_abs": errors.abs().max(axis=axis),
            "n": errors.notna().sum(axis=axis),
        }
    )


def short_rate_parameters(results: StateSpaceResults) -> pd.DataFrame:
    r"""
    Return the implied parameters of the Vasicek model (one factor) or the G2++ model (two factors).

    .. math::

        dr &= \kappa(\theta - r)\,dt + \sigma\,dW \\
        r &= \varphi + x + y, \quad dx = -a x\,dt + \sigma\,dW_1, \quad dy = -b y\,dt + \eta\,dW_2,
        \quad dW_1 dW_2 = \rho\,dt

    With one factor the parameters are kappa and theta under P and Q, and sigma. With two factors they are
    a < b, sigma, eta, rho and phi, all under Q.

    Returns
    -------
    DataFrame
        Columns "estimate" and "se" (delta method), in the units of the yields. phi and theta are NaN if
        K_Q (or K_P) is singular.

    Raises
    ------
    UnsupportedError
        If there are more than two factors, the model has no pricing under Q ("dns"), or roots under Q are
        equal or complex, which G2++ does not allow.

    References
    ----------
    Vasicek (1977), Journal of Financial Economics 5; Brigo & Mercurio (2006), Interest Rate Models,
    section 4.2.
    """
    model = results.model
    k, of = model.k_factors, {1: _vasicek, 2: _g2}
    alone = k in of and len(model.factor_names) == k and model.panel.period is None
    if not alone or not model.norm.arbitrage_free:
        raise UnsupportedError(
            "The table needs an arbitrage-free model of one or two factors in continuous time",
            got=f"{spelled(model._given['identification'])}, {len(model.factor_names)} factors, "
            f"time={model._given['time']!r}",
        )
    names = list(of[k](structural_values(model, np.asarray(results.params, dtype=float))))
    estimate, se = with_errors(results, lambda values: np.array(list(of[k](values).values())))
    return pd.DataFrame({"estimate": estimate, "se": se}, index=pd.Index(names, name="parameter"))


def _vasicek(at: Mapping[str, Array]) -> dict[str, float]:
    d0, d1 = float(at["delta_0"][0]), float(at["delta_1"][0])
    means = {f"theta_{m}": d0 + d1 * float(at[f"theta_{m}"][0]) for m in "PQ"}
    speeds = {f"kappa_{m}": float(at[f"K_{m}"][0, 0]) for m in "PQ"}
    return {**speeds, **means, "sigma": abs(d1 * float(at["Sigma"][0, 0]))}


def _g2(at: Mapping[str, Array]) -> dict[str, float]:
    eigenvalues, vectors = np.linalg.eig(at["K_Q"])
    if (
        np.iscomplexobj(eigenvalues)
        or abs(eigenvalues[1] - eigenvalues[0]) < _MULTIPLE * np.abs(eigenvalues).max()
    ):
        raise UnsupportedError(
            "G2++ needs two different real roots under Q", got=f"roots {shown(eigenvalues)} of K_Q"
        )
    order = np.argsort(eigenvalues)
    loading = np.linalg.solve(vectors[:, order], at["Sigma"]) * (at["delta_1"] @ vectors[:, order])[:, None]
    cov = loading @ loading.T
    sigma, eta = np.sqrt(np.diag(cov))
    mean = float(at["delta_0"][0] + at["delta_1"] @ at["theta_Q"])
    return {
        "a": eigenvalues[order[0]], "b": eigenvalues[order[1]], "sigma": sigma, "eta": eta,
        "rho": cov[0, 1] / (sigma * eta), "phi": mean,
    }  # fmt: skip


# -- blocks of the summary ---------------------------------------------------------------------------------


def summary_tables(results: StateSpaceResults, alpha: float) -> list[SimpleTable]:
    """Return the blocks of `summary`: P, Q and risk prices, then observation."""
    table = results.matrices_table()
    own = tuple(key for key in results.model.norm.blocks() if key not in ("state_cov", *_Q))
    out = []
    for title, keys in BLOCKS.items():
        part = table.loc[list(keys)]
        terms = [".".join(name for name in place if name) for place in part.index]
        rows = pd.DataFrame({"term": terms, "estimate": part["estimate"], "std_error": part["se"]})
        if "Q dyn" in title:
            rows = pd.concat([_parameters(results, own), _derived(results), rows])
        elif "P dyn" in title:
            rows = pd.concat([rows, _parameters(results, ("initial_state",))])
        free = rows["std_error"].notna() | (rows["estimate"].notna() & (rows["estimate"] != 0.0))
        out.append((title, rows[free]))
    return [*parameter_tables(out, alpha), _reversion(results), _observation(results)]


def _parameters(results: StateSpaceResults, keys: tuple[str, ...]) -> pd.DataFrame:
    """Return the parameters of blocks that are not elements of a structural matrix."""
    rows = results.tidy()
    return rows.loc[rows["matrix"].isin(keys), ["term", "estimate", "std_error"]]


def _derived(results: StateSpaceResults) -> pd.DataFrame:
    """Return the quantities that the normalisation derives from its parameters."""
    norm, layout = results.model.norm, results.model.layout
    names = list(norm.derived(layout.matrices(np.asarray(results.params, dtype=float))))

    def _values(params: Array) -> Array:
        found = norm.derived(layout.matrices(params))
        return np.array([found[name] for name in names])

    estimate, se = results._with_errors(_values) if names else ([], [])
    return pd.DataFrame({"term": names, "estimate": estimate, "std_error": se})


def _reversion(results: StateSpaceResults) -> SimpleTable:
    """Return the block of the eigenvalues of K."""
    table = results.mean_reversion
    cells = [[f"{value:.4f}".replace("nan", "") for value in row] for row in table.to_numpy()]
    stubs = [f"{measure} {i}" for measure, i in table.index]
    header = ["real", "imaginary", "half-life", "period"]
    title = "Mean reversion (eigenvalues of K a year; half-lives and periods in years)"
    return SimpleTable(cells, header, stubs, title=title, txt_fmt=fmt_params)


def _observation(results: StateSpaceResults) -> SimpleTable:
    """Return the block of the observation equation, with standard deviations in basis points."""
    model = results.model
    unit = BASIS_POINTS / model.panel.scale

    def _deviations(values: Mapping[str, Array]) -> Array:
        return unit * np.sqrt(np.clip(np.diag(values["obs_cov"]), 0.0, None))

    sd, se = with_errors(results, _deviations)
    errors = error_summary(results.pricing_errors, "maturity")
    cells = [
        [f"{tau:.4g}", f"{a:.3f}", f"{b:.3f}".replace("nan", ""), f"{mean:.3f}", f"{rmse:.3f}"]
        for tau, a, b, mean, rmse in zip(
            model.panel.maturities, sd, se, errors["mean"], errors["rmse"], strict=True
        )
    ]
    header = ["years", "std dev", "std err", "mean error", "rmse"]
    title = "Observation (basis points; errors at the smoothed factors)"
    return SimpleTable(cells, header, model.panel.labels, title=title, txt_fmt=fmt_params)


_RIDGE = 1e-3
"""Information along a direction, relative to that on single parameters, below which there is a ridge."""


def matrix_lines(model: ATSM, values: Mapping[str, Array]) -> list[str]:
    """Explain why theta or the prices of risk are NaN, and list maturities priced without error."""
    lines = []
    for measure in ("P", "Q"):
        if np.isnan(values[f"theta_{measure}"]).any():
            lines.append(
                f"The mean theta_{measure} does not exist, because K_{measure} is singular. "
                f"The drift kappa_{measure} exists."
            )
    if not model.norm.arbitrage_free:
        lines.append("lambda_0 and lambda_1 do not exist: the model has no prices of risk.")
    elif np.any(np.isnan(values["lambda_0"])):
        lines.append("lambda_0 and lambda_1 are not determined: Sigma is singular.")
    return lines


def exact_line(results: StateSpaceResults) -> list[str]:
    """List the maturities that are priced without error."""
    block, labels = results.model.layout.blocks["obs_cov"], results.model.panel.labels
    zero = [
        labels[i]
        for i, j, name in zip(block.rows, block.columns, block.names, strict=True)
        if i == j and results._boundary_values.get(name) == 0.0
    ]
    if not zero:
        return []
    out = [
        f"A measurement standard deviation is zero, so that the yield is priced without error: {shown(zero)}."
    ]
    if results.model.initialization_kind == "estimated":
        out.append(
            "With estimated first factors the likelihood then grows without bound, for the first yield is "
            'hit exactly: use initialization="stationary" or "diffuse".'
        )
    return out


def ridge_lines(results: StateSpaceResults) -> list[str]:
    """
    Describe a nearly flat direction of the likelihood, from the information at the estimates.

    Parameters are scaled so that the information on each of them alone is one. A smallest information near
    zero along any direction means that the likelihood has a ridge.
    """
    cov = np.asarray(results.params_cov.cov)
    known = np.flatnonzero(np.isfinite(np.diag(cov)))
    try:
        information = np.linalg.inv(cov[np.ix_(known, known)])
        scale = 1.0 / np.sqrt(np.diag(information))
        (least, *_), vectors = np.linalg.eigh(symmetrize(information * scale[:, None] * scale))
    except NOT_HERE:  # also where no parameter has a variance
        return []
    if not least < _RIDGE:
        return []
    weights = np.abs(vectors[:, 0])
    order = [i for i in np.argsort(-weights) if weights[i] > 0.1]
    names = [results.model.param_names[known[i]] for i in order]
    return [
        f"The likelihood has a ridge: along a direction in {shown(names)} there is {least:.1g} of the "
        "information that there is on each alone. Intervals by the delta method may be poor."
    ]
