"""Missing cells: predictions that use the observed cells of their row, and the data with them filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import SpecificationError
from ..numerics.incomplete_rows import Rows


@dataclass(frozen=True)
class Imputed:
    """
    Data whose missing cells are replaced by their expectations.

    Attributes
    ----------
    data : DataFrame or Series, (nobs, p)
        The observations, and E[y|Y] where they are missing.
    se : DataFrame or Series, (nobs, p)
        Standard deviations of the missing cells given Y and the parameters; zero where observed.
    """

    data: Any
    se: Any


def completed(prediction: Any) -> Any:
    """Return smoothed or filtered predictions whose missing cells use the observed noise of their row."""
    out = prediction._results
    if out.signal_only or out.information_set == "predicted":
        return prediction
    inner = out.prediction_results
    rows = Rows(inner.endog.T, inner.design, inner.obs_intercept, inner.obs_cov)
    for t, row in rows.coupled():
        state = getattr(inner, f"{out.information_set}_state")[:, t]
        cov = getattr(inner, f"{out.information_set}_state_cov")[:, :, t]
        missing = ~rows.seen[t]
        out._predicted_mean[t, missing] = (row.intercept + row.design @ state)[missing]
        out._var_pred_mean[t] = row.design @ cov @ row.design.T + row.cov
    return prediction


class IncompleteRows:
    """What results say of missing cells; mixed into the results."""

    model: Any
    filter_results: Any
    smoother_results: Any

    def impute(self) -> Imputed:
        r"""
        Return the data with their missing cells replaced, and the errors of these.

        .. math::

            E[y_m | Y] = d_m + Z_m \hat x + H_{mo} H_{oo}^{+} (y_o - d_o - Z_o \hat x)

        for the missing cells m and the observed cells o of a row.

        Returns
        -------
        Imputed
            ``data`` and ``se``, labelled as the ``endog`` of the model (of a `CAPM`: excess returns).

        Raises
        ------
        SpecificationError
            If the fit kept no smoothed states.
        """
        res = self.smoother_results
        if res is None or res.smoothed_state is None:
            raise SpecificationError(
                "The states were not smoothed", remedy="Call `model.smooth(res.params)`, and `impute` of it."
            )
        rows = Rows(res.endog.T, res.design, res.obs_intercept, res.obs_cov)
        values, variance = np.array(rows.endog), np.zeros(rows.endog.shape)
        for t in np.flatnonzero(~rows.seen.all(axis=1)).tolist():
            row, missing = rows(t), ~rows.seen[t]
            Z = row.design[missing]
            values[t, missing] = row.intercept[missing] + Z @ res.smoothed_state[:, t]
            moving = np.sum(Z @ res.smoothed_state_cov[:, :, t] * Z, axis=1)
            variance[t, missing] = np.maximum(moving + np.diag(row.cov)[missing], 0.0)
        return Imputed(self._labelled(values), self._labelled(np.sqrt(variance)))

    def _labelled(self, values: Any) -> Any:
        """Return values in the form of the data."""
        labels, names = self.model.data.row_labels, np.atleast_1d(self.model.endog_names).tolist()
        frame = pd.DataFrame(values, index=labels, columns=names)
        return frame.iloc[:, 0] if isinstance(self.model.data.orig_endog, pd.Series) else frame
