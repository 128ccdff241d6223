"""Matrices of an `LGSSM` that vary over time, in other periods than those of the sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..base.formula import ByFormula
from ..engine.validation import future_labels
from ..exceptions import DataError, SpecificationError, shown
from ..numerics.linear_algebra import Array, companion
from ..params.affine import AffineMatrix, Regimes, continued, repeated, require_names
from ..params.layout import ParameterLayout
from .declaration import TIMED, Labels, declared_blocks
from .results import LGSSMResults

HOLD = "hold"
"""The value of such an argument in new periods that stands for the matrix of the last period."""


class OverTime(ByFormula[LGSSMResults]):
    """A model whose matrices may vary over time."""

    _timed: dict[str, AffineMatrix]
    """The arguments that vary over time, as they are declared."""
    _declared: Labels
    """The names with which they are declared."""

    def declare_timed(self, blocks: Mapping[str, AffineMatrix], labels: Labels) -> None:
        """Keep the blocks that vary over time, and check the labels of `Regimes`."""
        self._declared = labels
        self._timed = {key: blocks[key] for key in TIMED if blocks[key].time_varying}
        for key in self._timed:
            given = self._given[key]
            index = getattr(given.labels, "index", None) if isinstance(given, Regimes) else None
            own = self.data.row_labels
            if isinstance(index, pd.Index) and own is not None and not index.equals(own):
                raise DataError(
                    f"The labels of {key} must have the index of endog",
                    got=shown(index, 3),
                    expected=shown(own, 3),
                    remedy="Reindex them, or pass them without an index.",
                )

    def clone(self, endog: object, exog: object = None, **kwargs: Any) -> Any:
        """
        Return the same model for other data.

        Parameters
        ----------
        endog, exog : array_like
            Data of the new model. A model with ``exog`` or ``state_exog`` needs new values of these. For a
            model from a formula, ``exog`` may be a frame with the columns of the formula.
        **kwargs
            Constructor arguments to change. If the number of periods changes, matrices that vary over time
            are among them. The labels of the periods stand for `Regimes` with the same patterns.
        """
        count = len(endog) if hasattr(endog, "__len__") else self.nobs
        absent = [key for key in self._timed if key not in kwargs]
        if absent and count != self.nobs:
            raise self._unknown(absent[0], count)
        for key in self._timed.keys() & kwargs.keys():
            given = self._given[key]
            if isinstance(given, Regimes) and _is_labels(kwargs[key]):
                kwargs[key] = given.over(kwargs[key])
        return super().clone(endog, exog, **kwargs)

    def arguments_of_periods(self, rows: slice) -> dict[str, Any]:
        """Return the constructor arguments that vary over time, restricted to some periods."""
        out: dict[str, Any] = {}
        for key, block in self._timed.items():
            given = self._given[key]
            out[key] = given.over(given.label_list[rows]) if isinstance(given, Regimes) else block.over(rows)
        return out

    def later_arguments(self, kwargs: dict[str, Any], steps: int, kind: str) -> dict[str, Any]:
        """
        Return arguments of a model of new data, with the parameters of this one.

        Parameters
        ----------
        kwargs : dict
            The arguments of the user: of the new periods.
        steps : int
            Number of new periods.
        kind : {"append", "extend", "apply"}
            Whether the new periods follow the sample, and whether the new model contains the sample.
        """
        out = dict(kwargs)
        for key in self._timed:
            value = kwargs.get(key)
            if value is not None or kind != "apply" or steps != self.nobs:
                out[key] = self._later_argument(key, value, steps, kind)
        return out

    def _later_argument(self, key: str, value: object, steps: int, kind: str) -> object:
        """Return one of the `later_arguments`."""
        given, appended = self._given[key], kind == "append"
        if value is None and (kind == "apply" or not getattr(given, "hold", False)):
            raise self._unknown(key, steps)
        if kind == "apply" and isinstance(given, Regimes) and _is_labels(value):
            return given.over(value)  # of the new data, which need not follow the sample
        labels = self._labels_of(key, value, steps)
        if labels is not None:
            return given.over([*given.label_list, *labels] if appended else labels)
        return continued(self._timed[key], self._later(key, value, steps, appended), appended, key)

    def _later(self, key: str, value: Any, steps: int, appended: bool) -> AffineMatrix:
        """Return the matrix of new periods from an argument, which may be of all periods if they follow."""
        if appended and np.ndim(value) > 1 and np.shape(value)[-1] == self.nobs + steps:
            whole = repeated(self._parsed(key, value, self.nobs + steps), self.nobs + steps)
            return whole.over(slice(self.nobs, None))
        return self._pattern(key, value, steps)

    def patterns_ahead(
        self, params: Array, exog: object, steps: int, given: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the arguments of a prediction; patterns, "hold" and labels of `Regimes` become numbers."""
        out = dict(given)
        for key in self._timed:
            value = given.get(key)
            if value is None and not getattr(self._given[key], "hold", False):
                raise self._unknown(key, steps, "future values")
            words = np.asarray(value).dtype.kind in "OUS"  # None, strings, regimes
            if words or self._labels_of(key, value, steps) is not None:
                inputs = {"obs_intercept": exog, "state_intercept": given.get("state_exog")}.get(key)
                out[key] = self._future_matrix(key, value, steps, params, inputs)
        return out

    def _future_matrix(self, key: str, value: object, steps: int, params: Array, inputs: object) -> Array:
        """Return a system matrix of periods after the sample, the part of regressors included."""
        block = self._pattern(key, value, steps)
        at = block.at(params[self.layout.positions(list(block.names))])
        if key == "transition":
            return companion(at)
        if key.endswith("intercept"):
            name = "exog" if key == "obs_intercept" else "state_exog"
            rows = self._future(inputs, steps, name)
            return self._intercept(key, {**self.layout.matrices(params), key: at}, rows)
        out = np.zeros((*self.ssm[key].shape[:-1], steps))
        out[: at.shape[0], : at.shape[1]] = at
        return out

    def _labels_of(self, key: str, value: object, steps: int) -> list[Hashable] | None:
        """Return the labels of new periods; None if the value is a pattern or numbers."""
        given = self._given[key]
        if not isinstance(given, Regimes):
            return None
        if value is None or isinstance(value, str) and value == HOLD:
            return [given.label_list[-1]] * steps
        if not _is_labels(value):
            return None
        index = future_labels(value, 1)
        if index is not None and self.data.row_labels is not None:
            self.calendar.check_future(index, steps, key)
        return list(np.asarray(value).tolist())

    def _pattern(self, key: str, value: object, steps: int) -> AffineMatrix:
        """Return the declared block over new periods."""
        labels = self._labels_of(key, value, steps)
        if labels is not None:
            value = self._given[key].over(labels)
        elif isinstance(value, str) and value == HOLD:
            return self._timed[key].over(np.full(steps, self.nobs - 1))
        found = repeated(self._parsed(key, value, steps), steps)
        require_names(found, self.layout.names, key)
        return found

    def _parsed(self, key: str, value: object, periods: int) -> AffineMatrix:
        others = {name: block.over(np.zeros(periods, dtype=np.intp)) for name, block in self._timed.items()}
        given = {**self._given, **others, key: value}
        return declared_blocks(given, self._declared, self._given["lags"], periods)[key]

    def _unknown(self, key: str, steps: int, what: str = "values over the new periods") -> SpecificationError:
        """Return the error for a matrix whose new values are not given."""
        labelled = isinstance(self._given[key], Regimes)
        given = "the labels of these periods" if labelled else "array with these periods on the last axis"
        return SpecificationError(
            f"{key} varies over time: its {what} are needed",
            got=f"none for {steps} periods",
            remedy=f'Pass {key}={given}; {key}="{HOLD}" repeats the last period of the sample after it. '
            "Numbers contain the part of regressors, patterns do not.",
        )

    def check_patterns(self, layout: ParameterLayout) -> None:
        """Raise `SpecificationError` if a free parameter stands in no period with data."""
        seen, standing = ~np.isnan(self.endog).T, set[str]()
        for key, block in layout.blocks.items():
            if not block.moves:
                standing.update(block.names)
                continue
            stands = block.coefs != 0.0
            if key in ("transition", "state_intercept", "state_cov"):
                stands = stands[:, :-1]
            else:
                stands = stands & seen[block.rows] & (seen[block.columns] if key == "obs_cov" else True)
            standing.update(np.compress(stands.any(axis=1), block.names).tolist())
        nowhere = [name for name in layout.names if name not in standing]
        if nowhere:
            raise SpecificationError(
                "A parameter enters no period with data",
                got=shown(nowhere),
                expected="each parameter in a period of the sample; the last period of transition, "
                "state_intercept and state_cov enters the period after it",
                remedy="Change the pattern, or fix the parameter with `fix_params`.",
            )


def _is_labels(value: Any) -> bool:
    """Return whether a value has one label a period."""
    return not isinstance(value, Regimes) and np.ndim(value) == 1
