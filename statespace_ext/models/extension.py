"""Matrices of the periods after the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, SpecificationError
from ..numerics.linear_algebra import Array
from ..statespace.system import MATRICES, System
from ..statespace.validation import check_same_columns, regressor_array


class OutOfSample:
    """Future intercepts from future regressors, future matrices from the user; mixed into the models."""

    k_exog: int
    k_state_exog: int
    regressor_names: dict[str, list[str]]
    _index: Any

    def handle_params(self, params: object, transformed: bool = True, includes_fixed: bool = False) -> Any:
        """Return the full parameter vector."""
        raise NotImplementedError

    def system(self, params: Array) -> System:
        """Return the system matrices at a full parameter vector."""
        raise NotImplementedError

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
        """Return the matrices of the periods after the sample, for prediction and simulation."""
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
        if not columns:
            if value is not None:
                raise DataError(f"The model has no {name}", got=f"future {name}", remedy="Leave it out.")
            return None
        if value is None:
            raise DataError(
                f"Out-of-sample periods need future values of {name}",
                expected=f"{steps} rows of {columns} columns",
            )
        given = self._future_frame(value, name)
        rows = given.T if columns > 1 and np.ndim(value) == 1 else given
        if name == "state_exog" and rows.shape == (steps - 1, columns):
            rows = np.concatenate([rows, np.zeros((1, columns))])
        if rows.shape != (steps, columns):
            raise DataError(
                f"Future {name} has the wrong shape", got=given.shape, expected=f"({steps}, {columns})"
            )
        return rows

    def _future_frame(self, value: Any, name: str) -> Array:
        """Return future regressors as an array, after a look at the labels that they may have."""
        if isinstance(value, pd.DataFrame):
            check_same_columns(value, self.regressor_names[name], f"Future {name}")
        index: Any = getattr(value, "index", None)
        dates = (pd.DatetimeIndex, pd.PeriodIndex)
        if isinstance(index, dates) and type(index) is type(self._index) and len(index):
            first: Any = index.min()
            try:
                inside = bool(first <= self._index[-1])
            except (TypeError, ValueError):  # other frequencies or time zones
                inside = False
            if inside:
                raise DataError(
                    f"Future {name} is not of the periods after the sample",
                    got=f"{first} first",
                    expected=f"periods after {self._index[-1]}",
                )
        return np.asarray(regressor_array(value, None, None, name))
