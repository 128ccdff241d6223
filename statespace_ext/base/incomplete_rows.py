"""Missing values: predictions that use the other values of the same period, and imputation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..engine.news import States, news
from ..engine.system import System, recorded_system, with_time
from ..exceptions import SpecificationError, shown
from ..numerics.incomplete_rows import Rows


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

    data: Any
    se: Any


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


class IncompleteRows:
    """Mixin of the results with imputation and news."""

    model: Any
    filter_results: Any
    smoother_results: Any

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
        previous: Any,
        start: int,
        end: int,
        periods: Any = None,
        revisions_details_start: bool | int = True,
        state_index: Any = None,
    ) -> Any:
        """Return the news relative to earlier results, for `MLEResults.news`. ``end`` is exclusive."""
        now, before = smoothed_output(self), smoothed_output(previous)
        system = recorded_system(now)
        _require_same(system, recorded_system(before), before.nobs, now.nobs)
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
        if not 0 <= start < end:
            raise SpecificationError(
                "The impacts must be of periods of the sample, or later", got=f"{start} to {end - 1}"
            )
        return news(
            system, before.endog.T, now.endog.T, (_states(before), _states(now)),
            start, end, revisions_details_start, state_index,
        )  # fmt: skip

    def _labelled(self, values: Any) -> Any:
        """Return values with the type and labels of the data."""
        labels, names = self.model.data.row_labels, np.atleast_1d(self.model.endog_names).tolist()
        frame = pd.DataFrame(values, index=labels, columns=names)
        return frame.iloc[:, 0] if isinstance(self.model.data.orig_endog, pd.Series) else frame


def smoothed_output(results: Any) -> Any:
    """Return the output of the smoother; raise an error without smoothed states."""
    out = results.smoother_results
    if out is None or out.smoothed_state is None:
        raise SpecificationError(
            "The states were not smoothed", remedy="Call `model.smooth(res.params)`, and use its results."
        )
    return out


def _states(results: Any) -> States:
    """Return the smoothed states with the moments that the news need."""
    return States(results.smoothed_state, results.predicted_state_cov, int(results.nobs_diffuse))


def _require_same(system: System, before: System, nobs: int, later: int) -> None:
    """Raise an error if two results differ in more than their data."""
    if nobs > later:
        raise SpecificationError(
            "The updated data must be as long as the previous data", got=f"{later} periods after {nobs}"
        )
    mine, theirs = with_time(system), with_time(before)
    different = []
    for name, value in mine.items():
        periods = nobs if name in ("design", "obs_intercept", "obs_cov") else max(nobs - 1, 1)
        first, second = (each[..., :periods] for each in (value, theirs[name]))
        if not (first.shape[:-1] == second.shape[:-1] and np.allclose(first, second, rtol=1e-8, atol=0.0)):
            different.append(name)
    for name in ("initial_state", "initial_state_cov"):
        if not np.allclose(getattr(system, name), getattr(before, name), rtol=1e-8, atol=0.0):
            different.append(name)
    if different:
        raise SpecificationError(
            "News are the effect of data: both results must have the same parameters, regressors and start",
            got=f"other values of {shown(different)}",
            remedy="Take `updated.apply(previous_data)` or `previous.append(new_data)`.",
        )
