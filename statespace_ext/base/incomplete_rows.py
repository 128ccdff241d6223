"""Missing values: predictions that use the other values of the same period, imputation, and news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..engine.exact_start import system_of
from ..engine.representation import Mixin
from ..engine.smoother import Smoother
from ..engine.system import System, with_time
from ..exceptions import SpecificationError, shown
from ..numerics.incomplete_rows import Row, Rows, at
from ..numerics.linear_algebra import Array, scaled_solve, symmetrize
from .states import smoothed_output

if TYPE_CHECKING:
    from .results import StateSpaceResults


@dataclass(frozen=True, repr=False)
class Imputed(Displayed):
    """
    Data in which expectations replace the missing values.

    Attributes
    ----------
    data : DataFrame or Series, (nobs, p)
        The observations, and E[y|Y] where an observation is missing.
    se : DataFrame or Series, (nobs, p)
        Standard deviations of the missing values, given Y and the parameters. Zero for observed values.
    """

    data: pd.DataFrame | pd.Series
    se: pd.DataFrame | pd.Series


def completed(prediction: Any) -> Any:
    """Add the estimated noise of their period to smoothed or filtered predictions of missing values."""
    out = prediction._results
    if out.signal_only or out.information_set == "predicted":
        return prediction
    inner = out.prediction_results
    rows = Rows(inner.endog.T, inner.design, inner.obs_intercept, inner.obs_cov)
    for t, row in rows.coupled():
        state = getattr(inner, f"{out.information_set}_state")[:, t]
        cov = getattr(inner, f"{out.information_set}_state_cov")[:, :, t]
        missing = ~rows.seen[t]
        out._predicted_mean[t, missing] = row.mean(state)[missing]
        out._var_pred_mean[t] = row.design @ cov @ row.design.T + row.cov
    return prediction


class IncompleteRows(Mixin):
    """Mixin of the results with imputation and news."""

    def impute(self) -> Imputed:
        r"""
        Replace missing values by their expectations, and compute their standard errors.

        .. math::

            E[y_m | Y] = d_m + Z_m \hat x + H_{mo} H_{oo}^{+} (y_o - d_o - Z_o \hat x)

        for the missing values m and the observed values o of a period.

        Returns
        -------
        Imputed
            ``data`` and ``se``, with the labels of ``endog`` (the excess returns of a `CAPM`).

        Raises
        ------
        SpecificationError
            If the results have no smoothed states.
        """
        res = smoothed_output(self)
        rows = Rows(res.endog.T, res.design, res.obs_intercept, res.obs_cov)
        values, variance = np.array(rows.endog), np.zeros(rows.endog.shape)
        for t in np.flatnonzero(~rows.seen.all(axis=1)).tolist():
            row, missing = rows(t), ~rows.seen[t]
            Z = row.design[missing]
            values[t, missing] = row.intercept[missing] + Z @ res.smoothed_state[:, t]
            moving = np.sum(Z @ res.smoothed_state_cov[:, :, t] * Z, axis=1)
            variance[t, missing] = np.maximum(moving + np.diag(row.cov)[missing], 0.0)
        return Imputed(self._labelled(values), self._labelled(np.sqrt(variance)))

    def _news_previous_results(
        self,
        previous: StateSpaceResults,
        start: int,
        end: int,
        periods: object = None,
        revisions_details_start: bool | int = True,
        state_index: Array | None = None,
    ) -> SimpleNamespace:
        """
        Return the news relative to earlier results, for `MLEResults.news`. ``end`` is exclusive.

        An input that was unknown in the earlier sample is taken from this sample.
        """
        nobs, inputs = previous.nobs, self.model.state_exog
        if inputs is not None and nobs < self.nobs and np.isfinite(inputs[nobs - 1]).all():
            previous = previous._entered(inputs[nobs - 1 : nobs])
        now, before = smoothed_output(self), smoothed_output(previous)
        system = system_of(now.model)
        _require_same(system, system_of(before.model), before.nobs)
        index, earlier = self.model._index, previous.model._index
        if not index[: before.nobs].equals(earlier):
            raise SpecificationError(
                "The previous and the updated data must begin at the same period",
                got=f"{earlier[0]} and {index[0]}",
            )
        varying = [name for name, value in with_time(system).items() if value.shape[-1] > 1]
        if end > now.nobs and varying:
            raise SpecificationError(
                "The news need matrices of periods after the data",
                got=f"{shown(varying)} of {now.nobs} periods, impacts up to period {end - 1}",
                remedy="Append empty rows to the data, with their regressors.",
            )
        return news(system, before.endog.T, now.endog.T, start, end, revisions_details_start, state_index)

    def _labelled(self, values: Array) -> pd.DataFrame | pd.Series:
        """Return values with the type and labels of the data."""
        frame = pd.DataFrame(values, index=self.model.data.row_labels, columns=self._series)
        return frame.iloc[:, 0] if isinstance(self.model.data.orig_endog, pd.Series) else frame


def _require_same(system: System, before: System, nobs: int) -> None:
    """Raise an error if two results differ in more than their data."""
    different = []
    for name, value in with_time(system).items():
        periods = nobs if name in ("design", "obs_intercept", "obs_cov") else max(nobs - 1, 1)
        if not _agree(value[..., :periods], with_time(before)[name][..., :periods]):
            different.append(name)
    starts = ("initial_state", "initial_state_cov")
    different += [name for name in starts if not _agree(getattr(system, name), getattr(before, name))]
    if different:
        raise SpecificationError(
            "Both results must have the same parameters, regressors and initial distribution",
            got=f"different {shown(different)}",
            remedy="Make one from the other: `updated.apply(previous_data)` or `previous.append(new_data)`.",
        )


def _agree(first: Array, second: Array) -> bool:
    same = first.shape[0] == second.shape[0] and first.shape[:-1] == second.shape[:-1]
    return same and np.allclose(first, second, rtol=1e-8, atol=0.0)


_SAME = 1e-10
"""Largest change of a value that is not a revision, as in statsmodels."""
_TOGETHER = 512
"""Cells whose weights are computed at once, so that memory does not grow with their number."""
_UPDATES = ("update_realized", "update_forecasts", "news", "gain", "update_impacts")
_REVISIONS = ("revised_all", "revised_prev_all", "revisions_all")
_DETAILS = ("revised", "revised_prev", "revisions", "revision_weights", "revision_detailed_impacts")


class Vintage:
    """
    The states, given a data set as it was known at some time.

    Parameters
    ----------
    system : System
        The matrices.
    endog : ndarray, (nobs, p)
        The data; NaN marks a missing value.

    Attributes
    ----------
    states : ndarray, (k, nobs)
        E[x_t|Y].
    """

    def __init__(self, system: System, endog: Array) -> None:
        self._system, self._nobs, self.matrices = system, len(endog), with_time(system)
        Z, d, H = (self.matrices[name] for name in ("design", "obs_intercept", "obs_cov"))
        self.rows = Rows(endog, Z, d, H)
        smoother = Smoother(endog, system.k_states, system.selection.shape[1])
        self.states, self._predicted_cov, self._diffuse = smoother.states(system)

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
        ndarray, (nobs - start, k, m)
        """
        out = np.empty((self._system.k_states, self._nobs - start, len(cells)))
        early = (cells[:, 0] < self._diffuse) | (start < self._diffuse)
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
            o, P = self.rows.seen[t], self._predicted_cov[:, :, t]
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
        return out

    def _differences(self, cells: Array) -> Array:
        """Return the changes of the smoothed states (k, .., m) as single cells change by one."""
        out = []
        for t, i in cells.tolist():
            endog, step = self.rows.endog.copy(), float(np.nanstd(self.rows.endog[:, i])) or 1.0
            endog[t, i] += step
            out.append((Vintage(self._system, endog).states - self.states) / step)
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
        return np.array(
            [row.mean(self._vintage.states[:, t]) for t, row in enumerate(self._rows, self._start)]
        )

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
    start: int,
    end: int,
    details_start: bool | int,
    state_index: Array | None,
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
        Both data sets. The second must be at least as long as the first.
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
    nobs, periods = len(before), max(end, len(after))
    before, after = (_with_empty_rows(each, periods) for each in (before, after))
    was = ~np.isnan(before)
    changed = was & ~(np.abs(after - before) <= _SAME)
    updates, revised = np.argwhere(~was & ~np.isnan(after)), np.argwhere(changed)
    old, new = Vintage(system, before), Vintage(system, after)
    middle = Vintage(system, np.where(was, after, np.nan)) if len(revised) else old
    first, between, now = (
        Predictions(*pair, start, end, state_index) for pair in ((old, old), (middle, middle), (new, middle))
    )
    if isinstance(details_start, (bool, np.bool_)):
        details_start = 0 if details_start else nobs
    detailed_from = int(details_start) + (nobs if details_start < 0 else 0)
    detailed = revised[revised[:, 0] >= detailed_from]
    cells = tuple(revised.T)
    revisions = (after[cells], before[cells], after[cells] - before[cells]) if len(revised) else (None,) * 3
    forecasts = np.array([middle.rows(t).mean(middle.states[:, t])[i] for t, i in updates.tolist()])
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
        **_impacts(_UPDATES, now, updates, after[tuple(updates.T)], forecasts),
        **dict(zip(_REVISIONS, revisions, strict=True)),
        **_impacts(_DETAILS, between, detailed, after[tuple(detailed.T)], before[tuple(detailed.T)]),
    )


def _with_empty_rows(endog: Array, periods: int) -> Array:
    return np.concatenate([endog, np.full((periods - len(endog), endog.shape[1]), np.nan)])


def _places(cells: Array) -> list[tuple[int, int]]:
    return [(t, i) for t, i in cells.tolist()]


def _impacts(
    names: Sequence[str], predictions: Predictions, cells: Array, values: Array, before: Array
) -> dict[str, Array | None]:
    """Return by name: values of cells, values before, changes, weights and impacts; None without cells."""
    if not len(cells):
        return dict.fromkeys(names)
    weights, change = predictions.weights(cells), values - before
    return dict(zip(names, (values, before, change, weights, weights @ change), strict=True))
