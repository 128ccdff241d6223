"""
Results of statsmodels with the exact-diffuse start of this package.

statsmodels runs its filter; then the rows after the first become those of a filter from the known start, and
the first ones those of least squares. Where a state is not yet determined the arrays keep their convention:
the finite part.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother, SmootherResults
from statsmodels.tsa.statespace.simulation_smoother import SimulationSmoothResults

from ..exceptions import UnsupportedError
from ..numerics.diffuse_start import Determined, FirstRows, SmoothedRows
from ..numerics.linear_algebra import Array, at_period
from ..params.covariance import sparse_cholesky
from .compat import without_absolute_tolerances
from .exact_start import Axes, after, system_of
from .smoother import Smoother
from .system import System, has_part, write

_LARGEST_ERROR = 1e-6
"""Largest error of statsmodels' smoothed states, in standard errors, with which draws of it pass."""
_LEFT = ("smoothed_state", "filtered_state", "predicted_state", "_kalman_gain", "tmp1", "M")
"""Output that S^-1 takes from the coordinates S x to x, on the left."""
_BOTH = ("smoothed_state_cov", "smoothed_state_autocov", "filtered_state_cov", "predicted_state_cov")
_ADJOINTS = ("scaled_smoothed_estimator", "scaled_smoothed_estimator_cov")
_AS_THEY_ARE = (
    *("forecasts", "forecasts_error", "forecasts_error_cov", "llf_obs", "smoothing_error", "tmp2", "tmp3"),
    *("tmp4", "_standardized_forecasts_error", "missing_forecasts", "missing_forecasts_error"),
    *("smoothed_measurement_disturbance", "smoothed_measurement_disturbance_cov"),
    *("smoothed_state_disturbance", "smoothed_state_disturbance_cov", "missing_forecasts_error_cov"),
)


_OF_PATH = {
    "filtered_state": "filtered",
    "predicted_state": "predicted",
    "filtered_state_cov": "filtered_cov",
    "predicted_state_cov": "predicted_cov",
    "predicted_diffuse_state_cov": "predicted_flat",
}
"""Output of the filter, and what it is of the first rows."""


class ExactStartResults(SmootherResults):
    """Smoother results whose covariances between periods are right in exact-diffuse periods too."""

    def _smoothed_state_autocovariance(
        self, shift: int, start: int, end: int, extend_kwargs: dict[str, Any] | None = None
    ) -> Array:
        """
        Return Cov(x_t, x_{t+shift}|Y) for t from start to end - 1, with the periods as the first axis.

        statsmodels computes it from the finite part of P_t, which is not Var(x_t|y_1..y_{t-1}) in a diffuse
        period. Given the data the states are a Markov chain, so that with V_s = Var(x_s|Y)

            Cov(x_t, x_{t+j}|Y) = Cov(x_t, x_s|Y) V_s^+ Cov(x_s, x_{t+j}|Y),  t <= s <= t + j.
        """
        out = super()._smoothed_state_autocovariance(shift, start, end, extend_kwargs)
        first = min(self.nobs_diffuse, self.nobs - 1)
        for t in range(max(start, 0), min(end, first)) if shift else ():
            between = self.smoothed_state_autocov[:, :, t].T
            for s in range(t + 1, min(t + shift, first)):
                between = between @ self._given(s) @ self.smoothed_state_autocov[:, :, s].T
            if t + shift > first:
                rest = super()._smoothed_state_autocovariance(
                    t + shift - first, first, first + 1, extend_kwargs
                )
                between = between @ self._given(first) @ rest[0]
            out[t - start] = between
        return np.asarray(out)

    def _given(self, t: int) -> Array:
        """Return the pseudo-inverse of Var(x_t|Y)."""
        cov = self.smoothed_state_cov[:, :, t]
        size = np.sqrt(np.diagonal(cov))
        size = np.where(size > 0.0, size, 1.0)
        return np.linalg.pinv(cov / np.outer(size, size), hermitian=True) / np.outer(size, size)


def with_exact_start(result: SmootherResults, smoother: Smoother, system: System) -> None:
    """
    Put the numbers of the exact-diffuse start into the results of a filter or smoother pass.

    Parameters
    ----------
    result : FilterResults or SmootherResults
        Changed in place. ``filtered_flat`` is added: by period of the first ones, the infinite part of the
        covariance of the filtered state.
    smoother : Smoother
        Of the same data.
    system : System
        The matrices, with an exact-diffuse start.
    """
    if system.obs_cov.ndim == 2:
        system = replace(system, obs_cov=np.asarray(system.obs_cov))  # every period adds it to a full matrix
    rows, along, axes = smoother.begin(system)
    m, n = len(rows.steps), len(smoother.endog)
    smooths = getattr(result, "smoothed_state", None) is not None
    later = None
    if m < n:
        later = _later(result, rows, along, smoother, smooths)
        _put_later(result, later, axes, m)
    _put_filtered(result, rows, smoother, system, axes)
    if smooths:
        _put_smoothed(result, rows, smoother, system, later)
    result.llf = float(rows.llf + (0.0 if later is None else later.llf))


def require_draws(ssm: KalmanSmoother) -> None:
    """
    Reject a simulation smoother that would draw from a wrong distribution.

    It runs statsmodels' smoother, which is wrong where first rows nearly repeat, and over a diffuse period
    longer than one with a transition that varies over time.

    Parameters
    ----------
    ssm : KalmanSmoother
        The representation, with its matrices.

    Raises
    ------
    UnsupportedError
        If statsmodels' smoothed states are not those of the exact-diffuse start of this package.
    """
    if not has_part(ssm.initialization, "diffuse"):
        return
    smoother = Smoother(np.asarray(ssm.endog).T, ssm.k_states, ssm.k_posdef)
    right, found = smoother.smooth(system_of(ssm)), ssm.smooth()
    size = np.sqrt(np.clip(np.diagonal(right.cov).T, 0.0, None)) + np.finfo(float).eps * np.abs(right.mean)
    size = np.where(size > 0.0, size, 1.0)
    of_means, of_covs = found.smoothed_state - right.mean, found.smoothed_state_cov - right.cov
    errors = np.abs(of_means / size), np.abs(of_covs / (size[:, None] * size))
    error = max(float(each.max()) for each in errors)
    if not error < _LARGEST_ERROR:
        raise UnsupportedError(
            "The simulation smoother of statsmodels draws from a wrong distribution here: its smoother loses "
            "digits in the first periods of this exact-diffuse start",
            got=f"smoothed states off by {error:.2g} standard errors",
            remedy='Use initialization="known" with the smoothed first state, or "approximate_diffuse".',
        )


class Draws(SimulationSmoothResults):
    """
    A simulator and simulation smoother that is right for singular covariance matrices.

    statsmodels multiplies normal variates by LAPACK's Cholesky factor. At the first pivot that is zero,
    LAPACK stops, and the rest of the factor holds variances in place of standard deviations. Here the draws
    from a singular matrix are made with a factor whose columns are zero where the pivots are.
    """

    def simulate(self, *args: Any, **kwargs: Any) -> None:
        """Draw once; see `SimulationSmoothResults.simulate`."""
        given = signature(SimulationSmoothResults.simulate).bind(self, *args, **kwargs).arguments
        given.pop("self")
        given |= given.pop("kwargs", {})
        seed = next((given[name] for name in ("rng", "random_state") if given.get(name) is not None), None)
        generator = self._generator(seed)
        ssm, n = self.model, self._simulation_smoother.nobs
        mean, _, first = ssm.initialization(model=ssm)
        for name, cov, rows in (
            ("measurement_disturbance", _first_periods(ssm["obs_cov"], n), n),
            ("state_disturbance", _first_periods(ssm["state_cov"], n), n),
            ("initial_state", first[None], 1),
        ):
            variates, done = f"{name}_variates", f"pretransformed_{name}_variates"
            drawn = given.get(variates)
            if _is_factored(cov) or drawn is not None and given.get(done):
                continue
            size = (rows, cov.shape[1])
            drawn = generator.standard_normal(size) if drawn is None else np.reshape(drawn, size)
            factors = np.stack([sparse_cholesky(each) for each in cov])
            made = (factors @ drawn[:, :, None])[:, :, 0]
            given |= {variates: mean + made[0] if name == "initial_state" else made, done: True}
        super().simulate(**given)

    def _generator(self, seed: Any) -> np.random.Generator:
        """Return the generator of a seed, by default that of the simulator."""
        if seed is None:
            seed = getattr(self, "rng", None) or getattr(self, "random_state", None)
        return seed if hasattr(seed, "standard_normal") else np.random.default_rng(seed)


def _first_periods(cov: Array, nobs: int) -> Array:
    """Return a matrix with time as the first axis, of length one if it is constant."""
    return cov[None] if cov.ndim == 2 else np.moveaxis(cov, 2, 0)[:nobs]


def _is_factored(cov: Array) -> bool:
    """Return whether LAPACK's Cholesky factors L of matrices (n, p, p) have L L' = cov, as far as it gets."""
    for each in cov:
        lower = np.tril(dpotrf(each, lower=1)[0])
        if not np.allclose(lower @ lower.T, each, rtol=1e-6, atol=1e-9 * np.max(np.abs(each), initial=0.0)):
            return False
    return True


def _later(
    result: SmootherResults, rows: FirstRows, system: System, smoother: Smoother, smooths: bool
) -> SmootherResults:
    """Return statsmodels' results of the rows after the first, with the same options."""
    ssm = KalmanSmoother(result.k_endog, result.k_states, result.k_posdef, results_class=type(result))
    without_absolute_tolerances(ssm)
    ssm.set_conserve_memory(result.conserve_memory)
    ssm.bind(smoother.endog[len(rows.steps) :].T.copy(order="F"))
    write(ssm, after(system, len(rows.steps), *rows.next_state))
    return ssm.smooth(smoother_output=result.smoother_output) if smooths else ssm.filter()


def _put_later(result: SmootherResults, later: SmootherResults, axes: Axes | None, m: int) -> None:
    """Copy the output of the rows after the first."""
    for name in (*_LEFT, *_BOTH, *_ADJOINTS, *_AS_THEY_ARE):
        old, new = vars(result).get(name), vars(later).get(name)
        if not isinstance(old, np.ndarray) or not isinstance(new, np.ndarray) or not old.size:
            continue
        if axes is not None:
            new = _turned(name, new, axes)
        if old.shape[-1] - new.shape[-1] == m:
            old[..., m:] = new
        else:  # a pass that conserves memory keeps the last period or two
            setattr(result, name, new)


def _turned(name: str, value: Array, axes: Axes) -> Array:
    """Return output for x, given that for S x."""
    if name in _LEFT or name in _BOTH:
        value = np.tensordot(axes.back, value, 1)
    elif name in _ADJOINTS:
        value = np.tensordot(axes.forward.T, value, 1)
    if name in _BOTH:
        value = np.moveaxis(np.tensordot(value, axes.back, (1, 1)), -1, 1)
    elif name in ("scaled_smoothed_estimator_cov", "tmp3"):
        value = np.moveaxis(np.tensordot(value, axes.forward, (1, 0)), -1, 1)
    return value


def _put_filtered(
    result: SmootherResults, rows: FirstRows, smoother: Smoother, system: System, axes: Axes | None
) -> None:
    """Put filtered, predicted and forecast output of the first rows."""
    back = np.eye(system.k_states) if axes is None else axes.back
    path, m, n = rows.path(), len(rows.steps), len(smoother.endog)
    result.filtered_flat = _along(path, "filtered_flat", back)
    result.nobs_diffuse = _diffuse_periods(path, n)
    if result.llf_obs is not None and len(result.llf_obs) == n:
        result.llf_obs[:m] = [each.llf for each in path]
    for name, source in _OF_PATH.items():
        first, out = int(name.startswith("predicted")), getattr(result, name)  # of the period after
        if _has_periods(out, n + first):
            out[..., first : m + first] = _along(path, source, back)
    unknown = result.predicted_diffuse_state_cov
    if _has_periods(unknown, n + 1):
        unknown[:, :, m + 1 :] = 0.0
        for t in range(m + 1, n + 1) if np.any(path[-1].predicted_flat) else ():  # carry it on
            T = at_period(system.transition, t - 1)
            unknown[:, :, t] = T @ unknown[:, :, t - 1] @ T.T
    _put_forecasts(result, smoother, system, m)


def _along(path: list[Determined], name: str, back: Array) -> Array:
    """Return means or covariances of the first rows, time last."""
    values = np.stack([getattr(each, name) for each in path])
    return np.moveaxis(values @ back.T if values.ndim == 2 else back @ values @ back.T, 0, -1)


def _diffuse_periods(path: list[Determined], nobs: int) -> int:
    """Return the number of periods until no predicted state is diffuse."""
    flat = [t for t, each in enumerate(path) if np.any(each.predicted_flat)]
    if not flat:
        return 1
    return nobs if flat[-1] == len(path) - 1 else flat[-1] + 2


def _has_periods(value: Array | None, count: int) -> bool:
    """Return whether a pass kept output of all periods; one that conserves memory keeps the last or two."""
    return value is not None and value.shape[-1] == count


def _put_forecasts(result: SmootherResults, smoother: Smoother, system: System, m: int) -> None:
    """Put forecasts d + Z a_t, their errors and covariances Z P_t Z' + H of the first rows."""
    n, states = len(smoother.endog), result.predicted_state
    if not (_has_periods(states, n + 1) and _has_periods(result.forecasts, n)):
        return
    d = system.obs_intercept if system.obs_intercept.ndim == 2 else system.obs_intercept[:, None]
    mean = np.stack([at_period(system.design, t) @ states[:, t] for t in range(m)], axis=1) + d[:, :m]
    result.forecasts[:, :m], result.forecasts_error[:, :m] = mean, smoother.endog[:m].T - mean
    if not (_has_periods(result.predicted_state_cov, n + 1) and _has_periods(result.forecasts_error_cov, n)):
        return
    for t in range(m):
        Z, P = at_period(system.design, t), result.predicted_state_cov[:, :, t]
        result.forecasts_error_cov[:, :, t] = Z @ P @ Z.T + at_period(system.obs_cov, t)
        if t >= result.nobs_diffuse and not smoother.missing[t].all():
            _put_standardized(result, system, t, ~smoother.missing[t])


def _put_standardized(result: SmootherResults, system: System, t: int, seen: Array) -> None:
    """Put standardized forecast errors and the gain of a period of the first rows that is not diffuse."""
    standardized, gain = result._standardized_forecasts_error, result._kalman_gain
    if standardized is None:
        return
    F = result.forecasts_error_cov[:, :, t][np.ix_(seen, seen)]
    standardized[seen, t] = np.linalg.solve(np.linalg.cholesky(F), result.forecasts_error[seen, t])
    if _has_periods(gain, result.forecasts.shape[-1]):
        inner = np.linalg.solve(F, at_period(system.design, t)[seen] @ result.predicted_state_cov[:, :, t])
        gain[:, :, t] = 0.0
        gain[:, seen, t] = at_period(system.transition, t) @ inner.T


def _put_smoothed(
    result: SmootherResults,
    rows: FirstRows,
    smoother: Smoother,
    system: System,
    later: SmootherResults | None,
) -> None:
    """Put smoothed output of the first rows."""
    smoothed = smoother.smooth(system)
    m = len(rows.steps)
    for name, value in (
        ("smoothed_state", smoothed.mean),
        ("smoothed_state_cov", smoothed.cov),
        ("smoothed_state_autocov", smoothed.lag_cov),
        ("scaled_smoothed_estimator", smoothed.adjoint),
        ("scaled_smoothed_estimator_cov", smoothed.adjoint_cov),
    ):
        out = getattr(result, name)
        if out is not None:
            count = min(m, value.shape[-1])
            out[..., :count] = value[..., :count]
    result.scaled_smoothed_estimator_presample = np.array(smoothed.first_adjoint)
    result.scaled_smoothed_estimator_cov_presample = np.array(smoothed.first_adjoint_cov)
    k = system.k_states
    after_rows = (np.zeros(k), np.zeros((k, k)))
    if later is not None:
        after_rows = later.scaled_smoothed_estimator_presample, later.scaled_smoothed_estimator_cov_presample
    errors, covs = SmoothedRows(rows, *after_rows).errors
    for t in range(m):
        H, R, Q = (at_period(value, t) for value in (system.obs_cov, system.selection, system.state_cov))
        r, N = smoothed.adjoint[:, t], smoothed.adjoint_cov[:, :, t]
        values = {
            "smoothing_error": errors[t],
            "smoothed_measurement_disturbance": H @ errors[t],
            "smoothed_state_disturbance": Q @ R.T @ r,
            "smoothed_measurement_disturbance_cov": H - H @ covs[t] @ H,
            "smoothed_state_disturbance_cov": Q - Q @ R.T @ N @ R @ Q,
        }
        for name, value in values.items():
            out = getattr(result, name)
            if out is not None:
                out[..., t] = value
