"""Results of `LGSSM`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.multivariate.factor_rotation import rotate_factors

from ..base.results import StateSpaceResults
from ..base.states import Factors, factors_of
from ..display import Displayed
from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array, rotate_system

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .model import LGSSM

_ARGUMENTS: dict[str, tuple[float | str, ...]] = {"oblimin": (0.0, "oblique")}
_ROTATIONS = "varimax, quartimax, equamax, oblimin, quartimin or another that rotate_factors knows"


class LGSSMResults(StateSpaceResults):
    """
    Results from fitting, filtering or smoothing an `LGSSM`.

    In addition to the attributes of `MLEResults`, the results have `matrices`, `factors`, `em_trace`,
    `converged`, `identification`, `boundary`, `rotate` and `plot_factors`.
    """

    model: LGSSM

    @property
    def matrices(self) -> dict[str, pd.DataFrame]:
        """The estimated matrices as labelled DataFrames. A transition has its lags side by side."""
        model, params = self.model, np.asarray(self.params, dtype=float)
        labels, system = model.labels, model.system(params)
        lagged = pd.MultiIndex.from_product([[f"L{lag + 1}" for lag in range(model.lags)], labels.factors])
        axes: dict[str, tuple[list[str], list[str] | pd.MultiIndex]] = {
            "design": (labels.endog, labels.factors),
            "transition": (labels.factors, lagged),
            "obs_cov": (labels.endog, labels.endog),
            "state_cov": (labels.factors, labels.factors),
            "obs_intercept": (labels.endog, ["obs_intercept"]),
            "state_intercept": (labels.factors, ["state_intercept"]),
            "state_mean": (labels.factors, ["state_mean"]),
            "obs_coef": (labels.endog, labels.exog),
            "state_coef": (labels.factors, labels.state_exog),
            "initial_state": (labels.states, ["initial_state"]),
            "initial_state_cov": (labels.states, labels.states),
        }
        mean, cov, diffuse = system.initial_state, system.initial_state_cov, model.starts == "diffuse"
        if self.user_initialization is not None:
            mean, infinite, cov = self.user_initialization(model=self.filter_results.model)
            diffuse = np.diagonal(infinite) > 0
        at = model.matrices(params)
        at["initial_state"] = mean[:, None]
        at["initial_state_cov"] = cov + np.diag(np.where(diffuse, np.inf, 0.0))
        return {key: _frame(at[key], *axes[key], model._index) for key in axes}

    def status_lines(self) -> list[str]:
        """Return the notes of `summary` on the fit."""
        lines = super().status_lines()
        blocks = self.model.layout.blocks
        cov = blocks["initial_state_cov"]
        exact = self.model._given["initialization"] == "estimated" and cov.is_fixed and not np.any(cov.fixed)
        told = self._fit is not None and "unbounded" in self._fit.status
        noiseless = not set(self.boundary).isdisjoint(blocks["obs_cov"].names)
        if exact and noiseless and not told and not np.isnan(self.model.endog[0]).all():
            lines.append(
                "The likelihood is unbounded: an unknown constant x_1 fits the first observation exactly as "
                "its variance falls to zero. Put an empty (NaN) row first."
            )
        return lines

    def append(self, endog: Any, exog: Any = None, *args: Any, **kwargs: Any) -> Any:
        """
        Append data; see `MLEResults.append`. With a formula, ``exog`` has the raw data of new periods.

        Matrices that vary over time are passed for the new periods, as in `forecast`.
        """
        kwargs = self.model.later_arguments(kwargs, len(endog), "append")
        return super().append(endog, self.model.regressors(exog), *args, **kwargs)

    def extend(self, endog: Any, exog: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Continue with new data after the sample; see `MLEResults.extend`, and `append`."""
        kwargs = self.model.later_arguments(kwargs, len(endog), "extend")
        return super().extend(endog, self.model.regressors(exog), *args, **kwargs)

    def apply(self, endog: Any, exog: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Apply the parameters to other data; see `MLEResults.apply`, and `append`."""
        kwargs = self.model.later_arguments(kwargs, len(endog), "apply")
        return super().apply(endog, self.model.regressors(exog), *args, **kwargs)

    @property
    def factors(self) -> Factors:
        """The smoothed, filtered and predicted factors."""
        return factors_of(self, self.model.labels.factors, self.model._index)

    def rotate(self, method: str = "varimax", *method_args: Any) -> RotatedFactors:
        """
        Rotate the loadings after the fit; the likelihood does not change.

        Parameters
        ----------
        method : str
            An orthogonal or oblique method of
            `statsmodels.multivariate.factor_rotation.rotate_factors`.
        *method_args
            Further arguments of that function. "oblimin" takes gamma, and "oblique" or "orthogonal" (by
            default 0 and "oblique", which is quartimin). "orthomax" takes gamma. "CF" takes kappa, and
            "oblique" or "orthogonal". "target" takes a target, and "oblique" or "orthogonal".
            "partial_target" takes a target and its weights.

        Returns
        -------
        RotatedFactors
            The rotated loadings, transition, innovation covariance and smoothed factors.

        Raises
        ------
        SpecificationError
            If the method is unknown, or its arguments are missing or invalid.
        """
        matrices = self.model.matrices(np.asarray(self.params))
        at = {key: matrices[key] for key in ("design", "transition", "state_cov")}
        varying = [key for key, matrix in at.items() if matrix.ndim == 3]
        if varying:
            raise SpecificationError(f"The factors cannot be rotated, because {varying[0]} varies over time")
        rotation = np.eye(self.model.k_factors)
        # in units in which the innovations have variance one, so that the factors are comparable
        regular = np.all(np.linalg.eigvalsh(at["state_cov"]) > 0)
        square_root = np.linalg.cholesky(at["state_cov"]) if regular else rotation
        if self.model.k_factors > 1:
            more = method_args or _ARGUMENTS.get(method if isinstance(method, str) else "", ())
            try:
                rotation = np.linalg.inv(rotate_factors(at["design"] @ square_root, method, *more)[1].T)
            except (AssertionError, TypeError, ValueError) as error:  # statsmodels uses assertions
                raise SpecificationError(
                    "method is unknown, or its arguments are missing or wrong",
                    got=f"{method!r} with {more}; {error}",
                    expected=_ROTATIONS,
                ) from error
        whole = square_root @ rotation
        rotated = rotate_system(at, whole, self.model.lags)
        names = self.model.labels.factors
        square = partial(pd.DataFrame, index=names, columns=names)
        lagged = self.matrices["transition"].columns
        loadings = pd.DataFrame(rotated["design"], index=self.model.labels.endog, columns=names)
        transition = pd.DataFrame(rotated["transition"], index=names, columns=lagged)
        smoothed = self.factors.smoothed @ square(np.linalg.inv(whole).T)
        return RotatedFactors(loadings, transition, square(rotated["state_cov"]), smoothed, square(whole))

    def plot_factors(
        self, fig: Figure | None = None, figsize: tuple[float, float] | None = None, alpha: float = 0.05
    ) -> Figure:
        """
        Plot the smoothed factors with normal confidence bands.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        alpha : float
            The pointwise bands have coverage 1 - alpha, given the parameters.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from ..plots import plot_factors

        factors, names = self.factors, np.atleast_1d(self.model.endog_names)
        smoothed, se = factors.smoothed, factors.smoothed_se
        units = self._units()
        if self._are_series() and self.model._given["factor_names"] is None:
            smoothed, se = (frame.set_axis(names, axis=1) for frame in (smoothed, se))
        return plot_factors(smoothed, se, fig=fig, figsize=figsize, alpha=alpha, units=units)

    def _are_series(self) -> bool:
        """Return whether each factor is the signal of one series: the design is the identity."""
        design = self.model.layout.blocks["design"]
        return bool(design.is_fixed and np.array_equal(design.fixed, np.eye(self.model.k_endog)))

    def _units(self) -> list[str] | None:
        """Return the units of the factors, or None if the normalisation does not determine them."""
        k, names = self.model.k_factors, np.atleast_1d(self.model.endog_names)
        if self._are_series():
            return ["units of the series"] * k
        return {
            "unit": [f"units of {name}" for name in names[:k]],
            "triangular": ["s.d. of its innovation"] * k,
        }.get(self.model._given["identification"])


@dataclass(frozen=True, repr=False)
class RotatedFactors(Displayed):
    """Loadings, transition, innovation covariance and smoothed factors after a rotation x = G f."""

    loadings: pd.DataFrame
    transition: pd.DataFrame
    state_cov: pd.DataFrame
    smoothed: pd.DataFrame
    rotation: pd.DataFrame


def _frame(
    values: Array, rows: list[str], columns: list[str] | pd.MultiIndex, periods: pd.Index
) -> pd.DataFrame:
    """Return a labelled block. If it varies over time, the outer level of the rows is the period."""
    if values.ndim == 2:
        return pd.DataFrame(values, index=rows, columns=columns)
    stacked = np.moveaxis(values, 2, 0)
    index = pd.MultiIndex.from_product([periods, rows])
    return pd.DataFrame(stacked.reshape(-1, values.shape[1]), index=index, columns=columns)
