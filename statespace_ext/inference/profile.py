"""Profile likelihood of one parameter and its confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2

from ..display import Displayed
from ..engine.arguments import probability, stream
from ..exceptions import ParameterError, SpecificationError, shown
from ..numerics.linear_algebra import Array
from ..params.affine import IntArray
from ..params.layout import ParameterLayout, real_array
from ..plots import CONSTANT, LINE, ZERO, entries, legend_above, new_figure
from .many import Failure, attempt, model_of, report_failures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT, OPEN, LAST = "limit of the parameter", "open", "no fit beyond"
_GRID = (0.25, 0.5, 0.75, 1.0, 1.25)
_STEPS, _GROWTH = 8, 3.0
_ACCURACY = 1e-5
_SHARE = 1e-3
_HIGHER = 1e-4
_NEAR = 1e-3
_END = 1.0 - 1e-6
_Point = tuple[float, bool, Array]
"""The log-likelihood of a constrained maximum, whether the fit converged, and the parameters."""


@dataclass(frozen=True, repr=False)
class Profile(Displayed):
    """
    Profile likelihood of a parameter and its confidence interval.

    Attributes
    ----------
    param : str
        The parameter.
    estimate, llf : float
        The estimate, and its log-likelihood.
    level : float
        Coverage probability of the interval.
    lower, upper : float
        Limits of the interval, at which the likelihood ratio equals the quantile of chi-squared(1).
    ends : dict of str to str
        The reason why "lower" or "upper" is not such a point. "limit of the parameter": the ratio stays below
        the quantile up to a variance of zero, or a coefficient of -1 or 1. "open": the ratio stays below the
        quantile in the whole range of the search, and the limit is infinite. "no fit beyond": the limit is
        the last value with a likelihood.
    at_boundary : bool
        Whether the parameter is at its limit, or belongs to a covariance matrix that is singular at the
        estimates. In the first case the interval is one-sided, and its coverage exceeds ``level``. In the
        second case, chi-squared(1) is not exact.
    table : DataFrame
        Log-likelihood, likelihood ratio and convergence, by value of the parameter.
    params : DataFrame
        All parameters at the constrained maximum, by value of the parameter.
    """

    param: str
    estimate: float
    llf: float
    level: float
    lower: float
    upper: float
    ends: dict[str, str]
    at_boundary: bool
    table: pd.DataFrame
    params: pd.DataFrame

    @property
    def interval(self) -> tuple[float, float]:
        """The limits of the interval."""
        return self.lower, self.upper

    @property
    def cut(self) -> float:
        """The quantile of chi-squared(1)."""
        return float(chi2.ppf(self.level, 1))

    def __str__(self) -> str:
        text = (
            f"{self.param} = {self.estimate:.6g}, {100 * self.level:g} % interval by profile likelihood "
            f"[{self.lower:.6g}, {self.upper:.6g}]"
        )
        notes = [f"{end} end: {why}" for end, why in self.ends.items()]
        if self.at_boundary:
            notes.append("the estimates are at a boundary, where chi-squared(1) is not exact")
        if self.table["lr"].min() < -_HIGHER:
            notes.append(f"the estimates are not the maximum: {self.table['llf'].max():.6f} was found")
        return "\n".join([text, *notes])

    def plot(self, fig: Figure | None = None, figsize: tuple[float, float] | None = None) -> Figure:
        """
        Plot the likelihood ratio by value of the parameter, with the quantile and the interval.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
        """
        fig = new_figure(fig, figsize, (5.4, 3.6))
        axis, ratios = fig.subplots(), self.table["lr"]
        axis.plot(
            ratios.index, ratios.to_numpy(), color=LINE, marker="o", markersize=3, linewidth=1.2,
            label="likelihood ratio",
        )  # fmt: skip
        label = f"critical value {self.cut:.2f}"
        axis.axhline(self.cut, color=CONSTANT, linewidth=1.0, linestyle="--", label=label)
        ends = [end for end in self.interval if np.isfinite(end)]
        for i, end in enumerate(ends):
            label = "_nolegend_" if i else "interval" if len(ends) == 2 else "end of the interval"
            axis.axvline(end, color=CONSTANT, linewidth=0.8, label=label)
        axis.axvline(self.estimate, color=ZERO, linewidth=0.8, label="estimate")
        axis.set_xlabel(self.param)
        axis.set_ylabel("likelihood ratio")
        axis.spines[["top", "right"]].set_visible(False)
        legend_above(fig, *entries(axis), 2)
        return fig


def profile(
    res: Any, param: str, grid: object = None, level: float = 0.95, n_jobs: int | None = None
) -> Profile:
    r"""
    Compute the profile likelihood of a parameter and its confidence interval.

    .. math::

        \ell_p(v) = \max_{\theta:\,\theta_j = v} \ell(\theta), \qquad
        \{v : 2(\hat\ell - \ell_p(v)) \le \chi^2_{1,\mathrm{level}}\}

    The search moves outward from the estimate to the first value at the quantile on each side. Every fit
    starts from the nearest earlier fit. If the sign of a loading is not identified, its interval may contain
    one sign or both.

    Parameters
    ----------
    param : str
        Name of a free parameter.
    grid : array_like, optional
        Values in the table in addition to the estimate and the limits. By default four on each side.
    level : float
        Coverage probability of the interval.
    n_jobs : int, optional
        Number of processes for the two sides, as in `fit_many`.

    Returns
    -------
    Profile

    Raises
    ------
    ParameterError, SpecificationError
        If the parameter is unknown or fixed, or ``level`` or ``grid`` are invalid.
    EstimationError
        If fewer than two values of the parameter have a fit. A warning reports the number of values in
        ``grid`` without a fit.
    """
    res = getattr(res, "_results", res)
    model, names = model_of(res), list(res.model.param_names)
    free = [name for name in names if name not in res._fixed]
    if not isinstance(param, str) or param not in free:
        raise ParameterError("No free parameter has this name", got=repr(param), expected=shown(free))
    level, values = probability(level, "level"), _values_of(grid)
    params = np.asarray(res.params, dtype=float)
    llf, at_boundary = float(model.loglike(params, includes_fixed=True)), param in res.boundary
    estimate = float(params[names.index(param)])
    limits = limits_of(model.layout, param)
    step = _first_step(res, param)
    tasks = [
        (_Side(model, param, res._fixed, params, llf, sign, limits[sign > 0]), level, step, values)
        for sign in (-1, 1)
    ]
    lower, upper = stream(_walk, tasks, n_jobs, ordered=True)
    _report(lower, upper)
    ends = {name: side.why for name, side in (("lower", lower), ("upper", upper)) if side.why}
    points = {**lower.points, **upper.points}
    index = pd.Index(sorted(points), name=param)
    rows = [(points[v][0], 2.0 * (llf - points[v][0]), points[v][1]) for v in index]
    table = pd.DataFrame(rows, index=index, columns=["llf", "lr", "converged"])
    every = pd.DataFrame([points[v][2] for v in index], index=index, columns=names)
    return Profile(param, estimate, llf, level, lower.end, upper.end, ends, at_boundary, table, every)


def _values_of(grid: object) -> Array | None:
    """Return the values of a grid, or None without a grid."""
    if grid is None:
        return None
    values = np.atleast_1d(real_array(grid, "The values of the grid"))
    if values.ndim > 1 or not np.all(np.isfinite(values)):
        raise SpecificationError("grid must be a list of finite numbers", got=values)
    return values


def limits_of(layout: ParameterLayout, param: str) -> tuple[float, float]:
    """Return the smallest and largest admissible value of a parameter, for any values of the others."""
    if param in layout.bounded:
        return -_END, _END
    return (0.0 if _variances(layout, param) else -np.inf), np.inf


def _variances(layout: ParameterLayout, param: str) -> dict[str, IntArray]:
    """Return the rows in which a parameter is the variance, by covariance block."""
    out = {}
    for key in sorted(layout.covariances & set(layout.blocks) - set(layout.curved)):
        block = layout.blocks[key]
        own = np.array([name == param for name in block.names], dtype=bool) & (block.rows == block.columns)
        if own.any():
            out[key] = block.rows[own]
    return out


def _first_step(res: Any, param: str) -> float:
    """Return the standard error, or a substitute if it is not available."""
    model, params = res.model, np.asarray(res.params, dtype=float)
    place = list(model.param_names).index(param)
    error = float(np.asarray(res.bse)[place])
    if np.isfinite(error) and error > 0:
        return error
    sizes = model.variance_sizes(params)
    for key, rows in _variances(model.layout, param).items():
        if key in sizes:
            return max(0.1 * params[place], _SHARE * float(np.max(sizes[key][rows])))
    return 1e4 * float(model.difference_steps(params)[place])


@dataclass
class _Side:
    """The outward search on one side of the estimate, in a picklable form for other processes."""

    model: Any
    param: str
    fixed: dict[str, float]
    params: Array
    llf: float
    sign: int
    limit: float

    def __post_init__(self) -> None:
        self.place = list(self.model.param_names).index(self.param)
        self.estimate = float(self.params[self.place])
        self.points: dict[float, _Point] = {self.estimate: (self.llf, True, self.params)}
        self.failures: dict[float, Failure] = {}

    def ratio(self, value: float) -> float:
        """Return 2 (llf - profile), or NaN without a fit, and store the fit."""
        if value not in self.points and value not in self.failures:
            self._fit(value)
        return 2.0 * (self.llf - self.points[value][0]) if value in self.points else np.nan

    def _fit(self, value: float) -> None:
        """Store the constrained maximum, from the nearest point or else from default start values."""
        nearest = self.points[min(self.points, key=lambda v: abs(v - value))][2]
        held = {**self.fixed, self.param: value}
        for start in (*_moved(self.model.layout, self.param, nearest, value), None):
            out = attempt(self.model.maximum, start, held)
            if not isinstance(out, Failure):
                self.points[value] = (out.llf, out.converged, out.params)
                return
        self.failures[value] = out

    def outward(self, values: Sequence[float]) -> list[float]:
        """Return the finite values on this side, up to the limit, from the estimate outward."""
        here = {float(v) for v in values if self.sign * (v - self.estimate) > 0 and np.isfinite(v)}
        return sorted((v for v in here if self.within(v) == v), key=lambda v: abs(v - self.estimate))

    def within(self, value: float) -> float:
        """Return the value, or the limit if the value is beyond it."""
        return max(value, self.limit) if self.sign < 0 else min(value, self.limit)


def _moved(layout: ParameterLayout, param: str, params: Array, value: float) -> list[Array]:
    """
    Return start values with a new value of one parameter.

    If the parameter is a variance, its covariances change so that the correlations are constant. If it is a
    covariance, a second start has larger variances in its block.
    """
    place = layout.positions([param])[0]
    plain = np.array(params)
    for key, rows in _variances(layout, param).items():
        old = params[place]
        if old > 0:
            scale = np.ones(layout.blocks[key].shape[0])
            scale[rows] = np.sqrt(max(value, 0.0) / old)
            cov = layout.matrices(plain)[key]
            if cov.ndim == 2:
                plain = layout.project({key: cov * np.outer(scale, scale)}, plain)
    plain[place] = value
    starts = [plain]
    for key in sorted(layout.covariances & set(layout.blocks)):
        cov = layout.matrices(params)[key]
        if param in layout.blocks[key].names and cov.ndim == 2 and limits_of(layout, param)[0] != 0.0:
            larger = layout.project({key: cov + np.diag(np.diag(cov))}, params)
            larger[place] = value
            starts.append(larger)
    return starts


class _Walk(NamedTuple):
    """
    The outcome of a search on one side.

    It consists of the limit of the interval, the reason if it is not at the cut, the points of the table, the
    requested values without a fit, and the number of fits and the failures at all values.
    """

    end: float
    why: str
    points: dict[float, _Point]
    lost: list[Failure]
    fits: int
    failures: list[Failure]


def _walk(side: _Side, level: float, step: float, grid: Array | None) -> _Walk:
    """Search on one side of the estimate."""
    cut = float(chi2.ppf(level, 1))
    end, why = _end(side, cut, step * np.sqrt(cut))
    reach = end - side.estimate if np.isfinite(end) else side.sign * step * np.sqrt(cut)
    usual = [side.within(side.estimate + share * reach) for share in _GRID]
    kept = side.outward([end, *(usual if grid is None else grid)])
    found = {v: side.points[v] for v in (side.estimate, *kept) if np.isfinite(side.ratio(v))}
    lost = [] if grid is None else [side.failures[v] for v in kept if v in side.failures]
    return _Walk(end, why, found, lost, len(side.points) - 1, list(side.failures.values()))


def _report(*sides: _Walk) -> None:
    """Issue a warning for requested values without a fit; raise an error if nearly all fits failed."""
    what = "fits with the parameter held"
    failures, fits = [one for side in sides for one in side.failures], sum(side.fits for side in sides)
    if fits < 2:
        report_failures(failures, len(failures) + fits, what)
    lost = [one for side in sides for one in side.lost]
    report_failures(lost, len(lost) + sum(len(side.points) - 1 for side in sides), what)


def _end(side: _Side, cut: float, step: float) -> tuple[float, str]:
    """Return the value at which the likelihood ratio reaches the cut, or its substitute and the reason."""
    room = abs(side.limit - side.estimate)
    inner = side.estimate
    for number in range(_STEPS):
        outer = side.within(side.estimate + side.sign * step * _GROWTH**number)
        last = np.isnan(side.ratio(outer))
        if last:
            outer = _last_fit(side, inner, outer)
        if side.ratio(outer) >= cut:
            width = _ACCURACY * abs(outer - side.estimate)
            return float(brentq(partial(_distance, side, cut), inner, outer, xtol=width)), ""
        if abs(side.limit - outer) <= _NEAR * room and np.isfinite(room):
            return side.limit, LIMIT
        if last:
            return outer, LAST
        inner = outer
    return side.sign * np.inf, OPEN


def _distance(side: _Side, cut: float, value: float) -> float:
    """Return sqrt(likelihood ratio) - sqrt(cut), which is nearly linear in the value."""
    lr = side.ratio(value)
    return np.inf if np.isnan(lr) else float(np.sqrt(max(lr, 0.0)) - np.sqrt(cut))


def _last_fit(side: _Side, inner: float, outer: float) -> float:
    """Return the last value with a fit between two values, by bisection."""
    for _ in range(2 * _STEPS):
        middle = 0.5 * (inner + outer)
        if np.isnan(side.ratio(middle)):
            outer = middle
        else:
            inner = middle
    return inner
