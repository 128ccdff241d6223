"""
Filter and smoother passes that compute what they need not keep when it is asked for.

statsmodels stores some six arrays of n p^2 numbers in a pass. Two kinds of passes store none:

- Rows of many series are collapsed (`collapsing`). All that belongs to the states is that of the collapsed
  rows, and what belongs to the observations follows from it: F_t = Z P_t Z' + H, for example.
- A pass over data whose first rows were filtered before, at the same matrices, filters the rows after them
  alone: the output of both is joined. Smoothed output comes from a pass over all rows.

Anything else that is asked for comes from a pass by statsmodels, once for each name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from statsmodels.tsa.statespace.kalman_filter import (
    FILTER_CONVENTIONAL,
    MEMORY_NO_GAIN,
    MEMORY_NO_SMOOTHING,
    FilterResults,
    PredictionResults,
)
from statsmodels.tsa.statespace.kalman_smoother import (
    SMOOTH_CONVENTIONAL,
    SMOOTHER_ALL,
    KalmanSmoother,
    SmootherResults,
)
from statsmodels.tsa.statespace.simulation_smoother import SimulationSmoother

from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array, is_diagonal
from .collapsing import FEWEST, collapsed_rows, collapses, standardized_errors
from .compat import without_absolute_tolerances
from .exact_results import Draws, ExactStartResults, with_exact_start
from .exact_start import after, system_of, take_options
from .smoother import Smoother
from .system import has_part, with_time, write

_STATES = ("filtered_state", "filtered_state_cov", "predicted_state", "predicted_state_cov")
_SINCE = (
    *("initial_state", "initial_state_cov", "initial_diffuse_state_cov", "nobs_diffuse", "scale"),
    *("filter_method", "inversion_method", "stability_method", "conserve_memory", "filter_timing"),
    *("tolerance", "loglikelihood_burn", "converged", "period_converged", "smoother_output", "filtered_flat"),
)
"""Attributes of a pass that more rows do not change."""
_SMOOTHED = (
    *("smoothed_state", "smoothed_state_cov", "smoothed_state_autocov", "scaled_smoothed_estimator"),
    *("scaled_smoothed_estimator_cov", "smoothed_state_disturbance", "smoothed_state_disturbance_cov"),
    *("forecasts_error_diffuse_cov", "predicted_diffuse_state_cov"),
)
_BESIDE = (
    *("scaled_smoothed_estimator_presample", "scaled_smoothed_estimator_cov_presample"),
    *("scaled_smoothed_diffuse_estimator", "scaled_smoothed_diffuse1_estimator_cov"),
    *("scaled_smoothed_diffuse2_estimator_cov", "univariate_filter"),
)
_OF_STATES = frozenset(
    {
        *(*_STATES, *_SINCE, *_SMOOTHED, *_BESIDE, "innovations_transition", "collapsed_forecasts"),
        *("collapsed_forecasts_error", "collapsed_forecasts_error_cov"),
    }
)
"""Attributes of a pass over collapsed rows that are those of the rows themselves."""
OUTPUT = (
    *(*_STATES, *_SMOOTHED, "forecasts", "forecasts_error", "forecasts_error_cov", "smoothing_error"),
    *("standardized_forecasts_error", "smoothed_measurement_disturbance"),
    "smoothed_measurement_disturbance_cov",
)
"""What `MLEResults` copies from a pass."""


_COMPUTED = frozenset(
    {
        *(*FilterResults._filter_attributes, *SmootherResults._smoother_attributes, *_BESIDE),
        *("_kalman_gain", "_standardized_forecasts_error", "M", "M_diffuse"),
        *("missing_forecasts", "missing_forecasts_error", "missing_forecasts_error_cov"),
    }
)
"""What lazy results compute when they do not hold it."""


class LazyResults(ExactStartResults):
    """Results of a pass whose missing attributes are computed when they are first read, and kept."""

    _pass: CollapsedPass | JoinedPass
    is_held_back = False

    @classmethod
    def of(cls, ssm: SimulationSmoother, known: dict[str, object]) -> LazyResults:
        """Return results of a representation as it is now, with some attributes known, `_pass` among them."""
        ssm._initialize_representation()  # which counts what is missing
        out = cls(ssm)
        options = {*out._filter_options, *out._smoother_options}
        kept = {*FilterResults._model_attributes, *options} - {"initial_state", "initial_state_cov"}
        for name in vars(out).keys() - kept:
            delattr(out, name)
        for name, value in known.items():
            setattr(out, name, value)
        out._SmootherResults__smoothed_state_autocovariance = {}
        out._smoothed_forecasts = out._smoothed_forecasts_error = out._smoothed_forecasts_error_cov = None
        return out

    def __getattr__(self, name: str) -> Any:
        if name not in _COMPUTED or "_pass" not in vars(self) or self.is_held_back:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = self._pass.output(self, name)
        setattr(self, name, value)
        return value

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Compute nothing meanwhile: what is not known is missing."""
        self.is_held_back = True
        try:
            yield
        finally:
            self.is_held_back = False

    def predict(self, *args: object, **kwargs: object) -> PredictionResults:
        """Return predictions; see `FilterResults.predict`."""
        out = super().predict(*args, **kwargs)
        out.__class__ = _Predictions
        return out


class _Predictions(PredictionResults):
    """Predictions of which the covariances are computed for their own periods alone."""

    @property
    def forecasts_error_cov(self) -> Array:
        """Z P_t Z' + H."""
        return np.asarray(self._compute_forecasts(self.predicted_state, self.predicted_state_cov)[1])


class LazySmoother(SimulationSmoother):
    """
    The representation of a model: its passes are lazy where that pays.

    Attributes
    ----------
    earlier : FilterResults or None
        A pass over the first rows, from which one over all rows may go on.
    """

    earlier: SmootherResults | None = None
    likelihood_neutral = ("filter", "smooth")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"simulation_smooth_results_class": Draws, **kwargs})

    def smooth(self, *args: object, complex_step: bool = False, **kwargs: object) -> SmootherResults:
        """Return smoothed output; see `KalmanSmoother.smooth`."""
        found = None if args or kwargs or complex_step else lazy_pass(self, smooths=True)
        return super().smooth(*args, complex_step=complex_step, **kwargs) if found is None else found

    def filter(self, *args: object, complex_step: bool = False, **kwargs: object) -> FilterResults:
        """Return filtered output; see `KalmanFilter.filter`."""
        found = None if args or kwargs or complex_step else lazy_pass(self, smooths=False)
        return super().filter(*args, complex_step=complex_step, **kwargs) if found is None else found


def lazy_pass(ssm: LazySmoother, smooths: bool) -> LazyResults | None:
    """Return a pass that stores no more than it must, or None if it is not valid or does not pay."""
    if not _usual(ssm):
        return None
    if ssm.earlier is not None:
        found = _continued(ssm, ssm.earlier, smooths)
        if found is not None:
            return found
    return _collapsed(ssm, smooths)


def _usual(ssm: SimulationSmoother) -> bool:
    """Return whether the options are those that the package sets."""
    return bool(
        ssm.filter_method == FILTER_CONVENTIONAL
        and ssm.smooth_method in (0, SMOOTH_CONVENTIONAL)
        and ssm.smoother_output == SMOOTHER_ALL
        and not ssm.conserve_memory
        and not ssm.filter_timing
        and not ssm.loglikelihood_burn
        and ssm._scale is None
        and np.dtype(ssm.dtype).kind == "f"
        and ssm.initialization is not None
    )


# -- many series -----------------------------------------------------------------------------------------


def _collapsed(ssm: SimulationSmoother, smooths: bool) -> LazyResults | None:
    """Return a pass over collapsed rows."""
    if ssm.k_endog < FEWEST or has_part(ssm.initialization, "diffuse"):
        return None
    system = system_of(ssm)
    smoother = Smoother(np.asarray(ssm.endog).T, ssm.k_states, ssm.k_posdef)
    found = collapsed_rows(smoother, system) if collapses(ssm.k_endog, system) else None
    if found is None:
        return None
    inner = KalmanSmoother(found.endog.shape[1], ssm.k_states, ssm.k_posdef)
    without_absolute_tolerances(inner)
    take_options(inner, ssm)
    inner.bind(found.endog.T.copy(order="F"))
    write(inner, found.system)
    out = inner.smooth() if smooths else inner.filter()
    llf = np.where(smoother.missing.all(axis=1), 0.0, out.llf_obs - found.constant)
    known = {name: value for name, value in vars(out).items() if name in _OF_STATES}
    forecasts = system.design @ out.predicted_state[:, :-1] + np.atleast_2d(system.obs_intercept.T).T
    known |= {"llf_obs": llf, "llf": float(llf.sum()), "_pass": CollapsedPass(smooths)}
    known |= {"forecasts": forecasts, "forecasts_error": smoother.endog.T - forecasts}
    return LazyResults.of(ssm, known)


class CollapsedPass:
    """A pass over collapsed rows, for a constant design and obs_cov."""

    def __init__(self, smooths: bool) -> None:
        self._smooths = smooths

    def output(self, results: LazyResults, name: str) -> Any:
        """Return output of the observations."""
        made = getattr(self, name, None)
        value = None if made is None else made(results)
        return getattr(_by_statsmodels(results.model, self._smooths), name) if value is None else value

    def forecasts_error_cov(self, results: LazyResults) -> Array:
        """Return Z P_t Z' + H."""
        return _around(results.design[:, :, 0], results.predicted_state_cov[:, :, :-1]) + results.obs_cov

    def _standardized_forecasts_error(self, results: LazyResults) -> Array:
        """Return L_t^{-1} v_t with F_t = L_t L_t' for the observed series; NaN where missing."""
        Z, H, errors = results.design[:, :, 0], results.obs_cov[:, :, 0], results.forecasts_error
        covs = np.moveaxis(results.predicted_state_cov[:, :, :-1], 2, 0)
        if is_diagonal(H):
            sds = np.sqrt(np.diag(H))[:, None]
            return standardized_errors((errors / sds).T, Z / sds, covs).T
        if not np.isnan(errors).any():
            factor = np.linalg.cholesky(H)
            white, Z = (solve_triangular(factor, value, lower=True) for value in (errors, Z))
            return standardized_errors(white.T, Z, covs).T
        out = np.full(errors.shape, np.nan)
        for t, P in enumerate(covs):
            o = np.flatnonzero(~np.isnan(errors[:, t]))
            if len(o):
                F = Z[o] @ P @ Z[o].T + H[np.ix_(o, o)]
                out[o, t] = solve_triangular(np.linalg.cholesky(F), errors[o, t], lower=True)
        return out

    def smoothed_measurement_disturbance_cov(self, results: LazyResults) -> Array | None:
        """Return Var[eps_t|Y] = Z V_t Z', and H where the row misses elements."""
        H, holes = results.obs_cov[:, :, 0], np.asarray(results.missing, dtype=bool)
        if not self._smooths or np.any(holes) and not is_diagonal(H):
            return None
        out = _around(results.design[:, :, 0], results.smoothed_state_cov)
        for t in np.flatnonzero(holes.any(axis=0)):
            hole = holes[:, t]
            out[hole, :, t] = out[:, hole, t] = 0.0
            out[hole, hole, t] = np.diag(H)[hole]
        return out


def _around(Z: Array, covs: Array) -> Array:
    """Return Z P_t Z', time last."""
    return np.asfortranarray(np.moveaxis(Z @ np.moveaxis(covs, 2, 0) @ Z.T, 0, 2))


def _by_statsmodels(ssm: SimulationSmoother, smooths: bool) -> SmootherResults:
    """Return a pass by statsmodels."""
    return SimulationSmoother.smooth(ssm) if smooths else SimulationSmoother.filter(ssm)


# -- data that go on -------------------------------------------------------------------------------------


_FILTERED = (
    *(*_STATES, "forecasts", "forecasts_error", "forecasts_error_cov", "llf_obs"),
    "_standardized_forecasts_error",
)
"""Output of the filter, which more rows make longer."""
_KEPT = ~(MEMORY_NO_GAIN | MEMORY_NO_SMOOTHING)
"""Options of memory with which no rows can be added."""
_OF_NEXT = ("transition", "state_intercept", "selection", "state_cov")


def _continued(ssm: LazySmoother, earlier: SmootherResults, smooths: bool) -> LazyResults | None:
    """Return a pass that filters the rows after those of an earlier one, or None if it does not go on."""
    n, system = int(earlier.nobs), system_of(ssm)
    full = with_time(system)
    if not _goes_on(ssm, full, earlier):
        return None
    source = earlier._pass if isinstance(earlier, LazyResults) else None
    pieces = source.pieces if isinstance(source, JoinedPass) else [earlier]
    T, c, R, Q = (at(full[name], n - 1) for name in _OF_NEXT)
    state, cov = pieces[-1].filtered_state[:, -1], pieces[-1].filtered_state_cov[:, :, -1]
    rows = LazySmoother(ssm.k_endog, ssm.k_states, ssm.k_posdef, results_class=ExactStartResults)
    without_absolute_tolerances(rows)
    rows.bind(np.asarray(ssm.endog)[:, n:].copy(order="F"))
    write(rows, after(system, n, T @ state + c, T @ cov @ T.T + R @ Q @ R.T))
    new = rows.filter()
    new.model = None  # which is for these rows alone
    known = {name: vars(earlier)[name] for name in _SINCE if name in vars(earlier)}
    known |= {"llf": float(earlier.llf + new.llf), "_pass": JoinedPass([*pieces, new], smooths)}
    known["conserve_memory"] = ssm.conserve_memory | (0 if smooths else MEMORY_NO_SMOOTHING)
    return LazyResults.of(ssm, known)


def _goes_on(ssm: LazySmoother, full: dict[str, Array], earlier: SmootherResults) -> bool:
    """Return whether an earlier pass is that over the first rows."""
    n = int(earlier.nobs)
    if not max(int(earlier.nobs_diffuse), 1) < n < ssm.nobs or int(earlier.conserve_memory) & _KEPT:
        return False
    mean, diffuse, finite = ssm.initialization(model=ssm)
    before = getattr(earlier, "initial_diffuse_state_cov", None)
    starts = [
        (mean, earlier.initial_state),
        (finite, earlier.initial_state_cov),
        (diffuse, np.zeros_like(diffuse) if before is None else before),
    ]
    for start, other in starts:  # a stationary start is solved for, so that it differs by rounding
        if not np.allclose(start, other, rtol=0.0, atol=1e-12 * np.max(np.abs(other), initial=0.0)):
            return False
    same = [(np.asarray(ssm.endog)[:, :n], np.asarray(earlier.endog))]
    for name, value in full.items():
        there, rows = getattr(earlier, name), n - 1 if name in _OF_NEXT else n
        if (value.shape[-1] > 1) != (there.shape[-1] > 1):
            return False
        same.append((value[..., :rows], there[..., :rows]))
    return all(np.array_equal(one, other, equal_nan=True) for one, other in same)


class JoinedPass:
    """A pass over rows that were filtered in pieces."""

    def __init__(self, pieces: list[FilterResults], smooths: bool) -> None:
        self.pieces = pieces
        self._smooths = smooths
        self._full: SmootherResults | None = None

    def output(self, results: LazyResults, name: str) -> Any:
        """Return output of the filter by joining the pieces, of the smoother from all rows."""
        if name not in _FILTERED:
            return getattr(self._whole(results), name)
        parts = [getattr(piece, name) for piece in self.pieces]
        if name.startswith("predicted"):
            parts[:-1] = [part[..., :-1] for part in parts[:-1]]
        value = np.concatenate(parts, axis=-1)
        if name == "_standardized_forecasts_error":
            value[np.asarray(results.missing, dtype=bool)] = np.nan
        return value

    def _whole(self, results: LazyResults) -> SmootherResults:
        """Return a pass over all rows."""
        if self._full is None:
            ssm = results.model
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The univariate filtering approach diagonalized")
                self._full = _collapsed(ssm, self._smooths) or _by_statsmodels(ssm, self._smooths)
            self._full.model = ssm
            if has_part(ssm.initialization, "diffuse"):
                smoother = Smoother(np.asarray(ssm.endog).T, ssm.k_states, ssm.k_posdef)
                with_exact_start(self._full, smoother, system_of(ssm))
        return self._full
