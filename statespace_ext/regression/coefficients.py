"""The coefficients of a dynamic regression as affine functions of its states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..engine.validation import regressor_frame, regressor_names
from ..exceptions import DataError, SpecificationError, nearest, shown
from ..numerics.linear_algebra import Array
from ..params.affine import IntArray
from ..params.parse import equation_label, parse_equations, require_independent

DYNAMICS = ("static", "random_walk", "ar1", "local_linear")
SLOPE = "slope"
_ZERO = 1e-10
"""Size of an element, relative to its equation, below which elimination takes it for rounding."""


class Noise(NamedTuple):
    """The disturbances of one regressor: of its random walks, deviations, levels or slopes."""

    label: str
    regressor: int
    rows: IntArray
    """The states that they enter."""
    levels: IntArray
    """The levels of the same coefficients; of slopes, the slopes themselves."""


@dataclass(frozen=True)
class Coefficients:
    """
    The coefficients of p series on m regressors, b_t = b_0 + M x_t, as functions of the states x_t.

    Coefficients are numbered regressor by regressor, and by series within a regressor. Those that no
    constraint determines are free. The states are the levels of the free coefficients, then the slopes of
    "local_linear" coefficients, then the deviations of "ar1" coefficients. The level of a static,
    random-walk or local-linear coefficient is the coefficient itself. The level of an "ar1" coefficient is
    its mean.

    Attributes
    ----------
    endog, regressors : list of str
        Names of the series and of the regressors.
    dynamics : list of str
        Dynamics, by regressor.
    readable : dict of str to str
        Names of coefficients that differ from the names of their regressors.
    columns : ndarray of int, (p, m), or None
        The column of ``exog`` for each series and regressor, -1 if a series does not have the regressor.
        None if all series have the same regressors.
    constraints : str, list, mapping or (R, q), optional
        Linear equations among the coefficients.
    """

    endog: list[str]
    regressors: list[str]
    dynamics: list[str]
    readable: Mapping[str, str] = field(default_factory=dict)
    columns: IntArray | None = None
    constraints: Any = None

    # -- names -----------------------------------------------------------------------------------------

    @property
    def labels(self) -> list[str]:
        """Names of the coefficients, by regressor."""
        return [self.readable.get(name, name) for name in self.regressors]

    @property
    def p(self) -> int:
        """Number of series."""
        return len(self.endog)

    @cached_property
    def present(self) -> Array:
        """Whether each coefficient exists: whether its series has its regressor."""
        if self.columns is None:
            return np.ones(self.p * len(self.regressors), dtype=bool)
        return np.asarray(self.columns.T.ravel() >= 0)

    def series_with(self, j: int) -> IntArray:
        """Return the series that have a regressor."""
        return np.flatnonzero(self.present[self.of(j)])

    def of(self, j: int) -> IntArray:
        """Return the numbers of the coefficients on a regressor."""
        return np.arange(j * self.p, (j + 1) * self.p)

    @property
    def names(self) -> list[str]:
        """Names of all coefficients, such as "MKT.IBM", whether they exist or not."""
        return [f"{name}.{asset}" for name in self.labels for asset in self.endog]

    @property
    def exog_names(self) -> list[str]:
        """Names of the columns of ``exog``."""
        if self.columns is None:
            return self.regressors
        names = [f"{name}.{asset}" for name in self.regressors for asset in self.endog]
        return [name for name, there in zip(names, self.present, strict=True) if there]

    @property
    def is_plain(self) -> bool:
        """Whether all series have the same regressors, without constraints."""
        return self.columns is None and self.constraints is None

    # -- coefficients and states -----------------------------------------------------------------------

    @cached_property
    def solution(self) -> tuple[IntArray, Array, Array]:
        """The free coefficients, and N and b_0 in b = b_0 + N b[free]."""
        return solved(*equations_of(self), self)

    @property
    def free(self) -> IntArray:
        """Numbers of the coefficients that no constraint determines."""
        return self.solution[0]

    @property
    def offset(self) -> Array:
        """b_0, by coefficient."""
        return self.solution[2]

    def level(self, j: int) -> IntArray:
        """Return the levels of the free coefficients on a regressor."""
        return np.flatnonzero(self.free // self.p == j)

    def _after(self, first: int, kind: str, j: int) -> IntArray:
        """Return the states of a regressor among those that only one kind of coefficient has."""
        before = sum(len(self.level(i)) for i in range(j) if self.dynamics[i] == kind)
        return np.arange(len(self.level(j))) + first + before

    def slope(self, j: int) -> IntArray:
        """Return the slopes of a "local_linear" regressor."""
        return self._after(len(self.free), "local_linear", j)

    def deviation(self, j: int) -> IntArray:
        """Return the deviation states of an "ar1" regressor."""
        return self._after(self.n_levels, "ar1", j)

    def _with(self, *kinds: str) -> list[int]:
        """Return the regressors with free coefficients of some kinds."""
        return [j for j, kind in enumerate(self.dynamics) if kind in kinds and len(self.level(j))]

    @cached_property
    def moving(self) -> list[int]:
        """The regressors with free time-varying coefficients, in the order of the disturbances."""
        return self._with("random_walk", "ar1", "local_linear")

    @property
    def autoregressive(self) -> list[int]:
        """The regressors with free "ar1" coefficients."""
        return self._with("ar1")

    @property
    def trending(self) -> list[int]:
        """The regressors with free "local_linear" coefficients."""
        return self._with("local_linear")

    @property
    def slopes(self) -> dict[str, int]:
        """The regressors with "local_linear" coefficients, by name of their slopes."""
        return {
            f"{self.labels[j]}.{SLOPE}": j for j, kind in enumerate(self.dynamics) if kind == "local_linear"
        }

    @cached_property
    def n_levels(self) -> int:
        """Number of levels and slopes: the states without a stationary start."""
        return len(self.free) + sum(len(self.level(j)) for j in self.trending)

    @cached_property
    def k_states(self) -> int:
        """Number of states."""
        return self.n_levels + sum(len(self.level(j)) for j in self.autoregressive)

    @cached_property
    def loading(self) -> Array:
        """M, (p * m, k_states)."""
        out = np.zeros((len(self.present), self.k_states))
        out[:, : len(self.free)] = self.solution[1]
        for j in self.autoregressive:
            out[:, self.deviation(j)] = self.solution[1][:, self.level(j)]
        return out

    @cached_property
    def slope_loading(self) -> Array:
        """The matrix from the states to the slopes of the coefficients, (p * m, k_states)."""
        out = np.zeros((len(self.present), self.k_states))
        for j in self.trending:
            out[:, self.slope(j)] = self.solution[1][:, self.level(j)]
        return out

    @property
    def state_names(self) -> list[str]:
        """Names of the states."""
        own = self.names
        levels = [own[i] for i in self.free]
        slopes = [self._between(SLOPE, i) for j in self.trending for i in self.free[self.level(j)]]
        deviations = [self._between("dev", i) for j in self.autoregressive for i in self.free[self.level(j)]]
        return levels + slopes + deviations

    def _between(self, middle: str, i: int) -> str:
        """Return the name of a coefficient with a word before that of the series."""
        return f"{self.labels[i // self.p]}.{middle}.{self.endog[i % self.p]}"

    # -- series ----------------------------------------------------------------------------------------

    @cached_property
    def used(self) -> Array:
        """Whether the coefficients of a series depend on each level, (p, levels)."""
        levels = self.loading[:, : len(self.free)].reshape(len(self.regressors), self.p, -1)
        return np.asarray(levels.any(axis=0))

    @property
    def separate(self) -> Array:
        """Whether each series shares no level with another, (p,)."""
        return np.asarray([np.all(self.used[:, own].sum(axis=0) == 1) for own in self.used])

    @cached_property
    def alike(self) -> Array | None:
        """N (m, r) if all series have the regressors X N, after constraints; None if they differ."""
        levels = self.loading[:, : len(self.free)]
        N = levels[:: self.p, :: self.p]
        same = self.columns is None and np.array_equal(np.kron(N, np.eye(self.p)), levels)
        return N if same else None

    # -- disturbances ----------------------------------------------------------------------------------

    @cached_property
    def noise(self) -> list[Noise]:
        """The disturbances, by regressor; those of levels come before those of slopes."""
        out = []
        for j in self.moving:
            level, kind = self.level(j), self.dynamics[j]
            out.append(Noise(self.labels[j], j, self.deviation(j) if kind == "ar1" else level, level))
            if kind == "local_linear":
                out.append(Noise(f"{self.labels[j]}.{SLOPE}", j, self.slope(j), self.slope(j)))
        return out

    @property
    def moving_names(self) -> list[str]:
        """Names of the groups of disturbances: regressors, and slopes such as "MKT.slope"."""
        return [each.label for each in self.noise]

    @property
    def group_sizes(self) -> dict[str, int]:
        """Number of disturbances, by name of the group."""
        return {each.label: len(each.rows) for each in self.noise}

    def noise_places(self, place: int) -> IntArray:
        """Return the positions of a group of disturbances in W."""
        sizes = [len(each.rows) for each in self.noise]
        return np.arange(sizes[place]) + sum(sizes[:place])

    @property
    def noise_rows(self) -> IntArray:
        """The state that each disturbance enters."""
        if not self.noise:  # statsmodels needs a disturbance; the first level gets one with variance zero
            return self.level(int(self.free[0] // self.p))
        return np.concatenate([each.rows for each in self.noise])

    @property
    def noisy(self) -> IntArray:
        """The number of the coefficient to which each disturbance belongs."""
        if not self.noise:
            return self.free[self.noise_rows]
        return np.concatenate([self.free[self.level(each.regressor)] for each in self.noise])

    def noise_sizes(self, nobs: int) -> Array:
        """Return variances of disturbances that move coefficients by about the same amount in a sample."""
        of_slope = (self.noise_rows >= len(self.free)) & (self.noise_rows < self.n_levels)
        return np.where(of_slope, 3.0 / nobs**2, 1.0)

    @property
    def disturbance_names(self) -> list[str]:
        """Names of the disturbances."""
        return [
            f"{each.label}.{self.endog[i % self.p]}"
            for each in self.noise
            for i in self.free[self.level(each.regressor)]
        ]

    # -- regressors ------------------------------------------------------------------------------------

    def by_series(self, exog: Array) -> Array:
        """Return the regressors of each series, (p, nobs, m), with zeros for those that it does not have."""
        if self.columns is None:
            return np.broadcast_to(exog, (self.p, *exog.shape))
        there = (self.columns >= 0)[:, None, :]
        return np.where(there, np.moveaxis(exog[:, self.columns], 0, 1), 0.0)

    def common(self, exog: Array) -> list[bool]:
        """Return whether the series that have a regressor have the same values of it, by regressor."""
        by, each = self.by_series(exog), range(len(self.regressors))
        own = [by[self.series_with(j), :, j] for j in each]
        return [self.columns is None or bool(np.all(rows == rows[0])) for rows in own]

    def design(self, exog: Array) -> Array:
        """Return Z_t = X_t M, (p, k_states, nobs), where y_t = X_t b_t + eps_t."""
        out = np.zeros((self.p, self.k_states, len(exog)), order="F")
        for i, rows in enumerate(self.by_series(exog)):
            own = self.loading[i :: self.p]
            used = np.flatnonzero(own.any(axis=0))
            out[i, used] = (rows @ own[:, used]).T
        return out

    def intercept(self, exog: Array) -> Array:
        """Return X_t b_0, (p, nobs); (p,) zeros without constants in the constraints."""
        if not self.offset.any():
            return np.zeros(self.p)
        by = self.offset.reshape(-1, self.p)
        return np.array([rows @ by[:, i] for i, rows in enumerate(self.by_series(exog))])

    def flat(self, exog: Any) -> Any:
        """
        Return regressors of other periods with the columns of the model's ``exog``.

        Raises
        ------
        DataError
            If they do not name the series and regressors of the model.
        """
        if self.columns is None or not is_by_series(exog):
            return exog
        there = self.present.reshape(-1, self.p)
        names = {
            series: [name for name, on in zip(self.regressors, there[:, i], strict=True) if on]
            for i, series in enumerate(self.endog)
        }
        frame = by_series_frame(exog, self.endog, None, None, names)[0]
        if sorted(frame.columns) != sorted(self.exog_names):
            raise DataError(
                "The regressors by series must be those of the model",
                got=shown(frame.columns),
                expected=shown(self.exog_names),
            )
        labelled = isinstance(exog, pd.DataFrame) or any(
            isinstance(each, (pd.Series, pd.DataFrame)) for each in exog.values()
        )
        return frame[self.exog_names] if labelled else frame[self.exog_names].to_numpy()

    def two_level(self, exog: pd.DataFrame) -> pd.DataFrame:
        """Return a frame with the columns of ``exog`` with columns (series, regressor)."""
        pairs = [(self.endog[i % self.p], self.regressors[i // self.p]) for i in np.flatnonzero(self.present)]
        return exog.set_axis(pd.MultiIndex.from_tuples(pairs), axis=1)


# -- regressors by series ------------------------------------------------------------------------------------


def is_by_series(exog: object) -> bool:
    """Return whether regressors are a mapping by series, or a frame with columns (series, regressor)."""
    return isinstance(exog, Mapping) or (isinstance(exog, pd.DataFrame) and exog.columns.nlevels == 2)


def by_series_frame(
    exog: Any, series: list[str], nobs: int | None, index: Any, names: Mapping[str, list[str]] | None = None
) -> tuple[pd.DataFrame, list[str], IntArray]:
    """
    Return regressors by series as one frame, the names of the regressors, and the column of each, (p, m).

    Parameters
    ----------
    exog : mapping or DataFrame
        Regressors by name of a series, or a frame with columns (series, regressor).
    series : list of str
        Names of the series.
    nobs : int or None
        Number of periods.
    index : Index or None
        Labels of the periods.
    names : mapping, optional
        Names of the regressors by series, for arrays. By default x1, x2, ...

    Raises
    ------
    DataError
        If the regressors do not name all series, or are not finite numbers for all periods.
    """
    frames = _frames(exog, series, nobs, index, names)
    for name, each in frames.items():
        if not each.index.equals(frames[series[0]].index):
            raise DataError(f"exog[{name!r}] must have the same periods as exog[{series[0]!r}]")
    table = pd.concat(frames, axis=1)
    regressors = table.columns.unique(level=1).tolist()
    pairs = [(name, own) for own in regressors for name in series if own in frames[name]]
    places = {pair: place for place, pair in enumerate(pairs)}
    columns = np.array([[places.get((name, own), -1) for own in regressors] for name in series])
    return table[pairs].set_axis([f"{own}.{name}" for name, own in pairs], axis=1), regressors, columns


def _frames(
    exog: Any, series: list[str], nobs: int | None, index: object, names: Mapping[str, list[str]] | None
) -> dict[str, pd.DataFrame]:
    """Return the regressors of each series as a frame of floats."""
    if isinstance(exog, pd.DataFrame):
        exog = {name: exog[name] for name in exog.columns.get_level_values(0).unique()}
    given = {str(name): value for name, value in exog.items()}
    _require_series(given, series)
    return {name: _frame(given[name], name, nobs, index, (names or {}).get(name, [])) for name in series}


def _require_series(given: Mapping[str, Any], series: list[str]) -> None:
    """Raise unless regressors are given for each series, and for no other."""
    unknown, missing = ([n for n in a if n not in b] for a, b in ((given, series), (series, given)))
    if unknown or missing:
        raise DataError(
            "exog by series must have one entry for each series",
            got=f"unknown {shown(unknown)}" if unknown else f"none for {shown(missing)}",
            expected=f"the names {shown(series)}",
            remedy=nearest(unknown[0], series) if unknown else None,
        )


def _frame(exog: object, name: str, nobs: int | None, index: Any, names: list[str]) -> pd.DataFrame:
    """Return the regressors of one series as a frame; columns without names get those of the sample."""
    rows = regressor_frame(exog, nobs, index, f"exog[{name!r}]")
    if rows is None:
        raise DataError(f"exog[{name!r}] is missing", got="None")
    own = regressor_names(exog, "x")
    if not hasattr(rows, "columns") and len(own) == len(names):
        own = names
    return pd.DataFrame(np.asarray(rows), getattr(rows, "index", index), own)


# -- constraints ---------------------------------------------------------------------------------------------


def equations_of(c: Coefficients) -> tuple[Array, Array]:
    """
    Return R (r, p * m) and q (r,) of the constraints R b = q.

    Names of regressors stand for the coefficients of each series that has them all; names such as "MKT.IBM"
    for a single coefficient.

    Raises
    ------
    SpecificationError
        If the constraints are not linear equations of the coefficients, contradict or repeat each other, or
        belong to no series.
    """
    if c.constraints is None:
        return np.zeros((0, len(c.present))), np.zeros(0)
    there, m = np.flatnonzero(c.present), len(c.labels)
    single = [c.names[i] for i in there]
    by_text = not isinstance(c.constraints, (tuple, np.ndarray, pd.DataFrame))
    names = [*c.labels, *single] if by_text else single
    R, q, texts = parse_equations(c.constraints, names, "constraints")
    if not by_text:
        R = np.hstack([np.zeros((len(R), m)), R])
    texts = texts or [
        equation_label(row, value, names) for row, value in zip(R[:, -len(names) :], q, strict=True)
    ]
    found = []
    for equation, value, text in zip(R, q, texts, strict=True):
        single_row = np.zeros(len(c.present))
        single_row[there] = equation[m:]
        found += [(*each, value) for each in _by_series(c, equation[:m], single_row, float(value), text)]
    rows, labels, values = zip(*found, strict=True)
    require_independent(np.array(rows), np.array(values), labels, "constraints")
    return np.array(rows), np.array(values)


def _by_series(
    c: Coefficients, common: Array, single: Array, value: float, text: str
) -> list[tuple[Array, str]]:
    """Return the rows of one equation: one for each series if it names regressors."""
    used = np.flatnonzero(common)
    if not len(used):
        return [(single, text)]
    out = []
    for i, name in enumerate(c.endog):
        if not c.present[used * c.p + i].all():
            continue
        row = single.copy()
        row[used * c.p + i] += common[used]
        if np.any(row) or value or not np.any(single):  # "MKT = MKT.A" says nothing of A
            out.append((row, f"{text} ({name})"))
    if not out:
        raise SpecificationError(
            "A constraint names regressors that no series has together",
            got=text,
            expected="regressors of the same series",
        )
    return out


def solved(R: Array, q: Array, c: Coefficients) -> tuple[IntArray, Array, Array]:
    """
    Return the free coefficients, and N and b_0 such that R b = q if and only if b = b_0 + N b[free].

    Each equation determines the first of its coefficients that the equations before do not determine.

    Raises
    ------
    SpecificationError
        If a coefficient would depend on coefficients with other dynamics, or no coefficient is free.
    """
    scale = np.abs(R).max(axis=1, initial=0.0, keepdims=True)
    A = np.column_stack([R, q]) / np.where(scale > 0, scale, 1.0)
    pivots: list[int] = []
    for column in np.flatnonzero(np.any(R != 0, axis=0)).tolist():
        if np.linalg.matrix_rank(A[:, [*pivots, column]], tol=_ZERO) > len(pivots):
            pivots.append(column)
    A = np.asarray(np.linalg.solve(A[:, pivots], A))
    A[:, :-1][np.abs(A[:, :-1]) <= _ZERO] = 0.0
    free = np.setdiff1d(np.flatnonzero(c.present), pivots)
    if not len(free):
        raise SpecificationError("The constraints leave no coefficient to estimate", got=repr(c.constraints))
    N, offset = np.zeros((R.shape[1], len(free))), np.zeros(R.shape[1])
    N[free, np.arange(len(free))] = 1.0
    N[pivots], offset[pivots] = -A[:, free], A[:, -1]
    for i in pivots:
        _require_same_dynamics(c, i, free[np.flatnonzero(N[i])])
    return free, N, offset


def _require_same_dynamics(c: Coefficients, i: int, others: IntArray) -> None:
    """Raise if a coefficient is a combination of coefficients with other dynamics."""
    kinds = [c.dynamics[k // c.p] for k in [i, *others]]
    if len(set(kinds)) > 1:
        names = [c.names[k] for k in [i, *others]]
        raise SpecificationError(
            "A constraint between coefficients with different dynamics cannot hold at every date",
            got=shown(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True)),
            expected="the same dynamics for all of them",
        )
