"""Smoothed, filtered and predicted states and factors, with their standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from statsmodels.base.data import PandasData
from statsmodels.tsa.statespace.kalman_smoother import SmootherResults

from ..display import Displayed
from ..engine.passes import OUTPUT, LazyResults
from ..exceptions import SpecificationError
from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array

if TYPE_CHECKING:
    from .results import StateSpaceResults

_NOTHING = 1e-9
"""Size of a direction, relative to the largest, that counts as rounding."""


class Estimates(NamedTuple):
    """
    DataFrames with estimates of L x_t by period. NaN marks elements that the data do not determine yet.

    Attributes
    ----------
    filtered, filtered_se : DataFrame, (nobs, r)
        E[L x_t | y_1..y_t] and its standard error.
    predicted, predicted_se : DataFrame, (nobs + 1, r)
        E[L x_t | y_1..y_{t-1}] and its standard error. The last row is the period after the sample.
    """

    filtered: pd.DataFrame
    filtered_se: pd.DataFrame
    predicted: pd.DataFrame
    predicted_se: pd.DataFrame


def smoothed_output(results: StateSpaceResults) -> SmootherResults:
    """Return the output of the smoother; raise an error without smoothed states."""
    out = results.smoother_results
    if out is None or out.smoothed_state is None:
        raise SpecificationError(
            "The states were not smoothed",
            got="results of `filter`, or of a fit with low_memory=True",
            remedy="Call `model.smooth(res.params)`, and use the results that it returns.",
        )
    return out


def estimates_of(results: StateSpaceResults, loading: Array, index: pd.Index, names: list[str]) -> Estimates:
    """
    Return filtered and predicted estimates of L x_t.

    Parameters
    ----------
    results : StateSpaceResults
        Results that contain the states.
    loading : ndarray, (r, k)
        L.
    index : Index, (nobs,)
        Labels of the periods.
    names : list of str
        Labels of the rows of L.
    """
    output = results.filter_results
    after = results.model.calendar.between(0, len(index))
    frames = []
    for name, flat, labels in (
        ("filtered_state", getattr(output, "filtered_flat", None), index),
        ("predicted_state", output.predicted_diffuse_state_cov, after),
    ):
        mean = loading @ getattr(output, name)
        variance = quadratic(loading, getattr(output, f"{name}_cov"))
        if flat is not None:
            unknown = quadratic(loading, flat) > 0.0
            mean[:, : unknown.shape[1]][unknown] = np.nan
            variance[:, : unknown.shape[1]][unknown] = np.nan
        for values in (mean, np.sqrt(np.clip(variance, 0.0, None))):
            frames.append(pd.DataFrame(values.T, index=labels, columns=names))
    return Estimates(*frames)


def undetermined(results: StateSpaceResults, loading: Array) -> Array | None:
    """
    Return which elements of L x_t no data of the sample determine, (r, nobs); None if all are determined.

    x_t = A_t delta + ..., with the unknown delta of an exact-diffuse start. The data determine Z_t A_t delta.
    """
    output = results.filter_results
    if int(output.nobs_diffuse) < results.nobs:
        return None
    values, vectors = np.linalg.eigh(output.initial_diffuse_state_cov)
    A, paths, seen = vectors[:, values > 0.0], [], ~np.isnan(results.model.endog)
    rows = []
    for t in range(results.nobs):
        paths.append(loading @ A)
        rows.append(at(output.design, t)[seen[t]] @ A)
        A = at(output.transition, t) @ A
    _, sizes, right = np.linalg.svd(np.concatenate([*rows, np.zeros((A.shape[1], A.shape[1]))]))
    hidden = right[sizes <= _NOTHING * sizes[0]].T
    return np.abs(np.array(paths) @ hidden).max(axis=2, initial=0.0).T > _NOTHING


def quadratic(loading: Array, covs: Array) -> Array:
    """Return the diagonals of L V_t L', (r, n)."""
    return np.einsum("ri,ijt,rj->rt", loading, covs, loading, optimize=True)


@dataclass(frozen=True, repr=False)
class Factors(Displayed):
    """
    Estimates of the factors, labelled by period.

    Attributes
    ----------
    smoothed, filtered : DataFrame, (nobs, k)
        E[x_t | all data] and E[x_t | data up to t].
    smoothed_cov : DataFrame, (nobs * k, k)
        Var[x_t | all data], indexed by period and factor.
    filtered_se : DataFrame, (nobs, k)
        Standard errors of the filtered factors, given the parameters.
    predicted, predicted_se : DataFrame, (nobs + 1, k)
        E[x_t | data up to t - 1] and its standard errors. The last row is the period after the sample.

    Notes
    -----
    A filtered factor is NaN if the data up to t do not determine it. A predicted factor is NaN if the data up
    to t - 1 do not determine it. A smoothed factor is NaN if no data determine it.
    """

    smoothed: pd.DataFrame
    filtered: pd.DataFrame
    smoothed_cov: pd.DataFrame
    filtered_se: pd.DataFrame
    predicted: pd.DataFrame
    predicted_se: pd.DataFrame

    @property
    def smoothed_se(self) -> pd.DataFrame:
        """The standard deviations of the smoothed factors."""
        k = self.smoothed.shape[1]
        values = self.smoothed_cov.to_numpy().reshape(-1, k, k)
        se = np.sqrt(np.clip(np.diagonal(values, axis1=1, axis2=2), 0.0, None))
        return pd.DataFrame(se, index=self.smoothed.index, columns=self.smoothed.columns)


def factors_of(results: StateSpaceResults, names: list[str], index: pd.Index) -> Factors:
    """
    Return the factors of results in which they are the first states.

    Raises
    ------
    SpecificationError
        If the results do not contain the states.
    """
    output, k = smoothed_output(results), len(names)
    mean = np.array(output.smoothed_state[:k].T)
    cov = np.transpose(output.smoothed_state_cov[:k, :k], (2, 0, 1)).reshape(-1, k)
    rows = pd.MultiIndex.from_product([index, names])
    loading = np.eye(k, results.model.k_states)
    unknown = undetermined(results, loading)
    if unknown is not None:
        mean[unknown.T], cov = np.nan, np.array(cov)
        cov[unknown.T.ravel()] = cov[np.repeat(unknown.T, k, axis=0)] = np.nan
    return Factors(
        smoothed=pd.DataFrame(mean, index=index, columns=names),
        smoothed_cov=pd.DataFrame(cov, index=rows, columns=names),
        **estimates_of(results, loading, index, names)._asdict(),
    )


def frames_of_states(results: StateSpaceResults) -> SimpleNamespace:
    """Return the DataFrames of ``MLEResults.states``: means and covariances of the states, by kind."""
    out, model = SimpleNamespace(), results.model
    for kind in ("predicted", "filtered", "smoothed"):
        for cov in ("", "_cov"):
            values = getattr(results, f"{kind}_state{cov}")
            if values is not None:
                values = np.moveaxis(values, -1, 0)
            if values is not None and isinstance(results.data, PandasData):
                index = model._get_index_with_final_state() if kind == "predicted" else model._index
                if cov:
                    index = pd.MultiIndex.from_product([index, model.state_names]).swaplevel()
                values = pd.DataFrame(values.reshape(len(index), -1), index=index, columns=model.state_names)
            setattr(out, kind + cov, values)
    return out


class _Output:
    """
    Descriptor for output of the filter or smoother. If the pass is lazy, reading it runs the pass.

    During the construction of `MLEResults` it is None. Otherwise statsmodels would make frames of it, which
    `states` makes when it is read.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, results: Any, owner: object = None) -> Any:
        if results is None:
            return self
        if self._name not in vars(results):
            raise AttributeError(self._name)
        if not results._constructed:
            return None
        value, source = vars(results)[self._name], vars(results).get("filter_results")
        if value is None and isinstance(source, LazyResults) and not source.is_held_back:
            return getattr(source, self._name)
        return value

    def __set__(self, results: Any, value: object) -> None:
        vars(results)[self._name] = value


class LazyOutput:
    """Mixin of the results that reads the output of a pass on demand, where `MLEResults` copies it."""


for _name in OUTPUT:
    setattr(LazyOutput, _name, _Output(_name))
