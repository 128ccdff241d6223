"""System matrices of periods after the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..engine.calendars import future_labels
from ..engine.representation import Mixin
from ..engine.system import MATRICES
from ..engine.validation import check_same_columns, regressor_array
from ..exceptions import DataError, SpecificationError, shown
from ..numerics.linear_algebra import Array


class OutOfSample(Mixin):
    """Mixin of the models with the intercepts and matrices of periods after the sample."""

    def _get_extension_time_varying_matrices(
        self,
        params: object,
        exog: object,
        out_of_sample: int,
        extend_kwargs: dict[str, Any] | None = None,
        transformed: bool = True,
        includes_fixed: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the matrices of periods after the sample, for prediction and simulation."""
        state_exog = kwargs.pop("state_exog", None)
        vector = self.handle_params(params, transformed, includes_fixed)
        future = {
            "obs_intercept": self._future(exog, self.k_exog, out_of_sample, "exog"),
            "state_intercept": self._future(state_exog, self.k_state_exog, out_of_sample, "state_exog"),
        }
        system = self.system(vector)
        for name in MATRICES:
            value = getattr(system, name)
            constant = value.ndim == (1 if name.endswith("intercept") else 2)
            if name in kwargs or constant:
                continue
            regressors = future.get(name)
            if regressors is None:
                raise SpecificationError(
                    f"{name} varies over time: its future values are needed",
                    remedy=f"Pass {name}=array with {out_of_sample} periods on the last axis.",
                )
            kwargs[name] = self.future_intercept(name, regressors, vector)
        return kwargs

    def future_intercept(self, name: str, exog: Array, params: Array) -> Array:
        """Return "obs_intercept" or "state_intercept" for future regressors."""
        raise NotImplementedError

    def _future(self, value: Any, columns: int, steps: int, name: str) -> Array | None:
        """Return the rows of future regressors that affect periods after the sample; None without any."""
        if not columns:
            if value is not None:
                raise DataError(f"The model has no {name}", got=f"future {name}", remedy="Leave it out.")
            return None
        if value is None:
            raise DataError(
                f"Out-of-sample periods need future values of {name}",
                expected=f"{steps} rows of {columns} columns",
            )
        rows = self.future_rows(value, name)
        if rows.shape != (steps, columns):
            raise DataError(
                f"Future {name} has the wrong shape", got=rows.shape, expected=f"({steps}, {columns})"
            )
        if name == "state_exog":  # its first row is the last row of the sample, see `entered`
            self._check_first(rows[0])
            rows = np.concatenate([rows[1:], np.zeros((1, columns))])
        return rows

    def future_rows(self, value: Any, name: str) -> Array:
        """
        Return future regressors as an array; check their labels if they have any.

        Row t of ``state_exog`` enters x_{t+1}. The rows that affect periods after the sample therefore begin
        with the last period of the sample. They may be labelled by their own periods.
        """
        names, back = self.regressor_names[name], int(name == "state_exog")
        if isinstance(value, pd.DataFrame):
            check_same_columns(value, names, f"Future {name}")
        _check_one_period(value, names, name)
        labels = future_labels(value, len(names))
        if labels is not None:
            self.calendar.check_future(labels, len(labels), name, back)
        rows = np.asarray(regressor_array(value, None, None, name))
        return rows.T if len(names) > 1 and np.ndim(value) == 1 else rows

    def entered(self, state_exog: object) -> Any:
        """
        Return the model with the first row of future ``state_exog`` as the last row of the sample.

        That row enters x_{n+1}. In the sample it may be NaN, which means unknown. A model whose last row is
        known is returned unchanged.
        """
        unknown = np.isnan(self.state_exog[-1]) if self.k_state_exog else np.zeros(0, dtype=bool)
        if state_exog is None or not unknown.any():
            return self
        rows = self.future_rows(state_exog, "state_exog")
        if rows.shape[1] != self.k_state_exog:
            raise DataError(
                "Future state_exog has the wrong shape",
                got=rows.shape,
                expected=f"rows of {self.k_state_exog} columns",
            )
        self._check_first(rows[0])
        return self._with_inputs(np.concatenate([self.state_exog[:-1], rows[:1]]))

    def _check_first(self, first: Array) -> None:
        """Raise `DataError` if the first row of future state_exog contradicts the last row of the sample."""
        last = self.state_exog[-1]
        known = ~np.isnan(last)
        if not np.allclose(first[known], last[known], rtol=1e-10, atol=0.0):
            raise DataError(
                "The first row of future state_exog is not the last row of the sample, which enters the "
                "first period after it",
                got=first.tolist(),
                expected=last.tolist(),
                remedy="Begin with the row of the last period, or make that row NaN in the sample.",
            )

    def _with_inputs(self, state_exog: Array) -> Any:
        """Return the model with other rows of ``state_exog``, the same data and the same initialization."""
        changed: dict[str, Any] = {}
        if self.user_initialization is not None:
            changed["initialization"] = self.user_initialization
        if self.calendar.given and self.data.row_labels is None:
            changed["dates"] = self.calendar.labels
        rows = pd.DataFrame(
            state_exog, index=self.data.row_labels, columns=self.regressor_names["state_exog"]
        )
        return self.clone(self.data.orig_endog, self.data.orig_exog, state_exog=rows, **changed)

    def inputs_on(self, value: Any, steps: int) -> tuple[Array, Array]:
        """
        Return the row of ``state_exog`` that enters the first new period, and the rows of the new periods.

        The last row of the new periods enters the period after them. It is not known yet, and is NaN.

        Raises
        ------
        DataError
            If the number of rows differs from the number of periods, or the first row contradicts the last
            row of the sample.
        """
        rows = self.future_rows(value, "state_exog")
        if rows.shape != (steps, self.k_state_exog):
            raise DataError(
                "state_exog of the new periods has the wrong shape",
                got=rows.shape,
                expected=f"({steps}, {self.k_state_exog})",
            )
        self._check_first(rows[0])
        return rows[:1], np.concatenate([rows[1:], np.full((1, self.k_state_exog), np.nan)])

    def unknown_next(self, params: Array) -> Array:
        """Return which states of the period after the sample depend on an unknown input."""
        out = np.zeros(self.ssm.k_states, dtype=bool)
        unknown = np.isnan(self.state_exog[-1]) if self.k_state_exog else np.zeros(0, dtype=bool)
        if unknown.any():
            each = np.concatenate([np.zeros((1, self.k_state_exog)), np.eye(self.k_state_exog)[unknown]])
            moved = self.input_part(params, each)
            out = np.any(moved[:, 1:] != moved[:, :1], axis=1)
        return out

    def input_part(self, params: Array, state_exog: Array) -> Array:
        """Return the contribution of rows of ``state_exog`` to the state intercept, (k_states, rows)."""
        raise NotImplementedError

    def simulate(self, params: Any, nsimulations: int, *args: Any, **kwargs: Any) -> Any:
        """Simulate, as `MLEModel.simulate`. ``state_exog`` after the sample is given as in `forecast`."""
        model = self.entered(kwargs.get("state_exog"))
        labels = future_labels(kwargs.get("exog"), self.k_exog)
        with model.following(self.calendar.taken(labels), counts=True):
            return super(OutOfSample, model).simulate(params, nsimulations, *args, **kwargs)


def _check_one_period(value: Any, names: list[str], name: str) -> None:
    """
    Reject a Series with one period of several regressors if its index lacks their names.

    Raises
    ------
    DataError
        If the index of the Series does not have the names of the regressors.
    """
    index = getattr(value, "index", None)
    if isinstance(value, pd.Series) and len(names) > 1 and isinstance(index, pd.Index):
        if index.equals(pd.RangeIndex(len(index))) or [str(each) for each in index] == names:
            return
        raise DataError(
            f"The index of {name}, a row, has not the names of the regressors",
            got=shown(index),
            expected=shown(names),
        )
