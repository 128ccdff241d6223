"""Effects of new and revised observations on predictions of cells, by observation."""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..numerics.incomplete_rows import Row, Rows, at
from ..numerics.linear_algebra import Array, scaled_solve, symmetrize
from .smoother import Smoother
from .system import System, with_time

_SAME = 1e-10
"""Largest change of a value that is not a revision, as in statsmodels."""
_TOGETHER = 512
"""Cells whose weights are computed at once, so that memory does not grow with their number."""
_UPDATES = ("update_forecasts", "update_realized", "news", "gain", "update_impacts")
_REVISIONS = ("revised_all", "revised_prev_all", "revisions_all")
_DETAILS = ("revised", "revised_prev", "revisions", "revision_weights", "revision_detailed_impacts")


class States(NamedTuple):
    """E[x_t|Y] (k, nobs), P_t (k, k, nobs) after the first rows of a diffuse start, and their number."""

    mean: Array
    predicted_cov: Array
    nobs_diffuse: int


class Vintage:
    """
    The states, given a data set as it was known at some time.

    Parameters
    ----------
    system : System
        The matrices.
    endog : ndarray, (nobs, p)
        The data; NaN marks a missing value.
    periods : int
        Number of periods of interest: ``nobs`` or more.
    states : States, optional
        What a smoother made of the data; by default one is run.
    """

    def __init__(self, system: System, endog: Array, periods: int, states: States | None = None) -> None:
        self._system, self._periods, self._nobs = system, periods, len(endog)
        self.matrices = with_time(system)
        after = np.full((periods - len(endog), endog.shape[1]), np.nan)
        Z, d, H = (self.matrices[name] for name in ("design", "obs_intercept", "obs_cov"))
        self.rows = Rows(np.concatenate([endog, after]), Z, d, H)
        if states is None:
            states = States(*Smoother(endog, system.k_states, system.selection.shape[1]).states(system))
        self._smoothed = states

    @cached_property
    def states(self) -> Array:
        """E[x_t|Y] of all periods of interest, (k, periods)."""
        return self._continued(self._smoothed.mean, self.matrices["state_intercept"])

    def _continued(self, states: Array, intercept: Array | None = None) -> Array:
        """Return states (k, nobs, ..), and those that follow the data."""
        out = [states]
        for t in range(self._nobs - 1, self._periods - 1):
            following = at(self.matrices["transition"], t) @ out[-1][:, -1]
            out.append((following if intercept is None else following + at(intercept, t))[:, None])
        return np.concatenate(out, axis=1)

    def weights(self, cells: Array, start: int) -> Array:
        """
        Return the derivatives of E[x_t|Y] with respect to cells of Y, zero for a cell that is missing.

        Parameters
        ----------
        cells : ndarray of int, (m, 2)
            Rows and columns.
        start : int
            The first t.

        Returns
        -------
        ndarray, (periods - start, k, m)
        """
        diffuse, k = self._smoothed.nobs_diffuse, self._system.k_states
        out = np.empty((k, self._periods - start, len(cells)))
        early = (cells[:, 0] < diffuse) | (start < diffuse)
        if early.any():
            out[:, :, early] = self._differences(cells[early])[:, start:]
        late = np.flatnonzero(~early)
        if len(late):
            first = min(start, int(cells[late, 0].min()))
            steps = self._filter(first)
            for i in range(0, len(late), _TOGETHER):
                part = late[i : i + _TOGETHER]
                out[:, :, part] = self._smooth(cells[part], first, steps)[:, start:]
        return np.moveaxis(out, 1, 0)

    def _filter(self, first: int) -> list[tuple[Array, Array, Array, Array]]:
        """Return F^{-1} Z with zeros for missing cells, Z' F^{-1} Z, P_t and T, from a period on."""
        out = []
        for t in range(first, self._nobs):
            o, P = self.rows.seen[t], self._smoothed.predicted_cov[:, :, t]
            Z, H, T = (at(self.matrices[name], t) for name in ("design", "obs_cov", "transition"))
            U = np.zeros(Z.shape)
            if o.any():
                U[o] = scaled_solve(symmetrize(Z[o] @ P @ Z[o].T + H[np.ix_(o, o)]), Z[o])
            out.append((U, symmetrize(U.T @ Z), P, T))
        return out

    def _smooth(self, cells: Array, first: int, steps: list[tuple[Array, Array, Array, Array]]) -> Array:
        """Return smoothed states (k, .., m) of m data sets of zeros, but for a one in a cell of each."""
        k, n, m = self._system.k_states, self._nobs, len(cells)
        state, predicted, errors = np.zeros((k, m)), [], []
        for t, (U, S, P, T) in enumerate(steps, first):
            here = np.flatnonzero(cells[:, 0] == t)
            error = -S @ state
            error[:, here] += U[cells[here, 1]].T
            predicted.append(state)
            errors.append(error)
            state = T @ (state + P @ error)
        out, adjoint = np.zeros((k, n, m)), np.zeros((k, m))
        for t in range(n - 1, first - 1, -1):
            _, S, P, T = steps[t - first]
            back = T.T @ adjoint
            adjoint = errors[t - first] + back - S @ (P @ back)
            out[:, t] = predicted[t - first] + P @ adjoint
        return self._continued(out)

    def _differences(self, cells: Array) -> Array:
        """Return the changes of the smoothed states (k, .., m) as single cells change by one."""
        data, out = self.rows.endog[: self._nobs], []
        for t, i in cells.tolist():
            endog, step = data.copy(), float(np.nanstd(data[:, i])) or 1.0
            endog[t, i] += step
            out.append((Vintage(self._system, endog, self._periods).states - self.states) / step)
        return np.stack(out, axis=2)


class Predictions:
    """
    Predictions of the cells of some periods from a data set.

    Parameters
    ----------
    vintage : Vintage
        The data set.
    earlier : Vintage
        Earlier data set. New cells of ``vintage`` are predicted from the cells of their row observed here.
    start, end : int
        The periods from ``start`` to ``end``, which is excluded.
    state_index : ndarray of int, optional
        The states whose changes count in weights; the noise then does not.
    """

    def __init__(
        self, vintage: Vintage, earlier: Vintage, start: int, end: int, state_index: Array | None
    ) -> None:
        self._vintage, self._start, self._index = vintage, start, state_index
        periods = range(start, end)
        self._rows = [_joined(vintage.rows(t), earlier.rows(t), vintage.rows.seen[t]) for t in periods]
        self._signal = [at(vintage.matrices["design"], t) for t in periods]

    @property
    def mean(self) -> Array:
        """The predictions, (periods, p)."""
        states = self._vintage.states.T[self._start :]
        return np.array([row.mean(x) for row, x in zip(self._rows, states, strict=False)])

    def weights(self, cells: Array) -> Array:
        """Return the derivatives of the predictions with respect to cells of the data, (periods, p, m)."""
        out = []
        for t, moved in enumerate(self._vintage.weights(cells, self._start)[: len(self._rows)]):
            if self._index is not None:
                out.append(self._signal[t][:, self._index] @ moved[self._index])
                continue
            own = self._rows[t].weights[:, cells[:, 1]] * (cells[:, 0] == self._start + t)
            out.append(self._rows[t].design @ moved + own)
        return np.array(out)


def _joined(missing: Row, observed: Row, seen: Array) -> Row:
    """Return the equations of one row for its missing cells, and of another for the observed cells."""
    both = {
        name: np.where(seen[:, None] if np.ndim(value) == 2 else seen, getattr(observed, name), value)
        for name, value in vars(missing).items()
    }
    return Row(**both)


def news(
    system: System,
    before: Array,
    after: Array,
    states: tuple[States, States],
    start: int,
    end: int,
    details_start: bool | int = True,
    state_index: Array | None = None,
) -> SimpleNamespace:
    r"""
    Return the effects of new and revised observations on predictions of cells.

    A cell that is missing in both data sets is predicted by E[y|Y]. A cell that is observed in both is
    predicted by d + Z x, as in statsmodels. The earlier prediction of a new cell is E[y|Y]: the sum of
    d + Z x and the expected noise, given the cells of its row that were observed before. The change is a sum
    of weights times news and of weights times revisions.

    Parameters
    ----------
    system : System
        The matrices, by period of ``after`` where they vary.
    before, after : ndarray, (nobs, p)
        The data sets. The second must be at least as long as the first.
    states : (States, States)
        Smoothed states of each data set.
    start, end : int
        The periods of the cells from ``start`` to ``end``, which is excluded.
    details_start : bool or int
        The first period whose revisions have weights, counted from the end of ``before`` if negative. True
        means all periods, False none.
    state_index : ndarray of int, optional
        The states whose changes enter weights and impacts. If given, the noise does not enter.

    Returns
    -------
    SimpleNamespace
        With the attributes of `SmootherResults.news` (``revision_results`` is None).
    """
    known = np.full(after.shape, np.nan)
    known[: len(before)] = before
    was = ~np.isnan(known)
    changed = was & ~(np.abs(after - known) <= _SAME)
    updates, revised = np.argwhere(~was & ~np.isnan(after)), np.argwhere(changed)
    periods = max(end, len(after))
    old, new = (
        Vintage(system, data, periods, known_states)
        for data, known_states in zip((before, after), states, strict=True)
    )
    middle = Vintage(system, np.where(was, after, np.nan), periods) if len(revised) else old
    first, between, now = (
        Predictions(*pair, start, end, state_index) for pair in ((old, old), (middle, middle), (new, middle))
    )
    detailed_from = _first_detailed(details_start, len(before))
    detailed = revised[revised[:, 0] >= detailed_from]
    return SimpleNamespace(
        prev_impacted_forecasts=first.mean.T,
        post_impacted_forecasts=now.mean.T,
        revision_impacts=between.mean - first.mean if len(revised) else None,
        updates_ix=_places(updates),
        revisions_ix=_places(revised),
        revisions_details=_places(detailed),
        revisions_grouped=_places(revised[revised[:, 0] < detailed_from]),
        revisions_details_start=max([detailed_from, *revised[:1, 0].tolist()]),
        revision_results=None,
        state_index=state_index,
        **_updates(middle, now, after, updates),
        **dict(zip(_REVISIONS, _revisions(known, after, revised), strict=True)),
        **_details(between, _revisions(known, after, detailed), detailed),
    )


def _first_detailed(details_start: bool | int, nobs: int) -> int:
    """Return the first period whose revisions have weights."""
    if isinstance(details_start, (bool, np.bool_)):
        return 0 if details_start else nobs
    return int(details_start) + (nobs if details_start < 0 else 0)


def _places(cells: Array) -> list[tuple[int, int]]:
    return [(t, i) for t, i in cells.tolist()]


def _updates(middle: Vintage, now: Predictions, after: Array, cells: Array) -> dict[str, Any]:
    """Return the news, their weights and their impacts; None if nothing is new."""
    if not len(cells):
        return dict.fromkeys(_UPDATES)
    realized = after[tuple(cells.T)]
    forecasts = np.array([middle.rows(t).mean(middle.states[:, t])[i] for t, i in cells.tolist()])
    gain = now.weights(cells)
    surprise = realized - forecasts
    return dict(zip(_UPDATES, (forecasts, realized, surprise, gain, gain @ surprise), strict=True))


def _revisions(known: Array, after: Array, cells: Array) -> tuple[Array | None, ...]:
    """Return new values, old values and differences; None if nothing is revised."""
    if not len(cells):
        return (None, None, None)
    place = tuple(cells.T)
    return after[place], known[place], after[place] - known[place]


def _details(between: Predictions, values: tuple[Array | None, ...], cells: Array) -> dict[str, Any]:
    """Return the revisions that have weights, the weights and the impacts."""
    if not len(cells):
        return dict.fromkeys(_DETAILS)
    weights = between.weights(cells)
    return dict(zip(_DETAILS, (*values, weights, weights @ values[2]), strict=True))
