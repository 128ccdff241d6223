"""Matrices of the periods after the sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exceptions import DataError, SpecificationError
from ..numerics.linear_algebra import Array
from ..statespace.system import MATRICES, System
from ..statespace.validation import regressor_array


class OutOfSample:
    """Future intercepts from future regressors, future matrices from the user; mixed into the models."""

    k_exog: int
    k_state_exog: int

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

    def _future(self, value: object, columns: int, steps: int, name: str) -> Array | None:
        if not columns:
            if value is not None:
                raise DataError(f"The model has no {name}", got=f"future {name}", remedy="Leave it out.")
            return None
        if value is None:
            raise DataError(
                f"Out-of-sample periods need future values of {name}",
                expected=f"{steps} rows of {columns} columns",
            )
        given = np.asarray(regressor_array(value, None, None, name))
        rows = given.reshape(-1, columns) if given.size % columns == 0 else given
        if name == "state_exog" and len(rows) == steps - 1:
            rows = np.concatenate([rows, np.zeros((1, columns))])
        if rows.shape != (steps, columns):
            raise DataError(
                f"Future {name} has the wrong shape", got=given.shape, expected=f"({steps}, {columns})"
            )
        return rows
