"""
The information in the data of a vector autoregression, and L-BFGS in coordinates in which it is the identity.

Where y_t shows the states without noise (VARMAX without moving averages, whatever its trend and exog), the
information of the data is that of the regression of x_{t+1} on (x_t, 1): with B_t = [T_t, c_t],
W_t = R_t Q_t R_t' and S_t = E[(x_t, 1)(x_t, 1)'|Y],

    I_ij = sum_t tr(W_t^+ dB_i S_t dB_j') + 1/2 sum_t tr(W_t^+ dW_i W_t^+ dW_j)

summed over t < n: a gradient method in these coordinates takes Gauss-Newton steps. Missing values make it a
little more than the data's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from statsmodels.base.optimizer import _fit_lbfgs

from ..numerics.linear_algebra import Array
from .smoother import Smoother, over_time
from .system import System

_ZERO = 1e-10
_FLOOR = 1e-4
_MOST_MISSING = 0.2
_GRADIENT = 1e-6
_OBSERVATION = frozenset({"design", "obs_intercept", "obs_cov"})
_START = frozenset({"initial_state", "initial_state_cov"})


def state_information(smoother: Smoother, system: System, jacobian: Mapping[str, Array]) -> Array | None:
    """
    Return the information (m, m) of the state equation about the parameters; None where it is not the data's.

    It is the data's where the parameters enter the state equation alone, in rows that have a disturbance, the
    observations have no noise, and are at least 0.8 times as many as the disturbances. What the parameters
    do to the initial state is left out.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    jacobian : mapping of str to ndarray
        Derivatives of matrices that depend on the m parameters, (rows, columns, 1 or nobs, m), of intercepts
        (rows, 1 or nobs, m).
    """
    if np.any(system.obs_cov) or jacobian.keys() & _OBSERVATION:
        return None
    jacobian = {name: value for name, value in jacobian.items() if name not in _START}
    always, n = slice(None), len(smoother.endog)
    if not jacobian:
        return None
    R, Q = over_time(system.selection, always), over_time(system.state_cov, always)
    W = R @ Q @ np.swapaxes(R, 1, 2)
    values, vectors = np.linalg.eigh(W)
    noisy = (values > _ZERO * np.maximum(values[:, -1:], np.finfo(float).tiny))[:, None, :]
    if np.sum(~smoother.missing) < (1.0 - _MOST_MISSING) * n * np.mean(np.sum(noisy, axis=2)):
        return None
    root = vectors * np.where(noisy, 1.0 / np.sqrt(np.where(noisy, values[:, None, :], 1.0)), 0.0)
    slopes, noises = _coefficients(jacobian, system.k_states), _selected(jacobian, R, Q)
    if _outside(vectors * ~noisy, slopes) or _outside(vectors * ~noisy, noises):
        return None
    root, slopes, noises = root[: n - 1], slopes[: n - 1], noises[: n - 1]
    half = _between(root, noises, root)
    return _regression(root, slopes, smoother, system) + 0.5 * (n - 1) / len(half) * _gram(half)


def _coefficients(jacobian: Mapping[str, Array], k: int) -> Array:
    """Return the derivatives of [T_t, c_t], (1 or nobs, rows, columns, m)."""
    given = {name: np.moveaxis(value, -2, 0) for name, value in jacobian.items()}
    T, c = given.get("transition"), given.get("state_intercept")
    m = next(iter(given.values())).shape[-1]
    out = np.zeros((max(1 if T is None else len(T), 1 if c is None else len(c)), k, k + 1, m))
    if T is not None:
        out[:, :, :k] = T
    if c is not None:
        out[:, :, k] = c
    return out


def _selected(jacobian: Mapping[str, Array], R: Array, Q: Array) -> Array:
    """Return the derivatives of W_t = R_t Q_t R_t', (1 or nobs, rows, columns, m)."""
    given = {name: np.moveaxis(value, -2, 0) for name, value in jacobian.items()}
    Rt = np.swapaxes(R, 1, 2)
    m = next(iter(given.values())).shape[-1]
    out = np.zeros((1, R.shape[1], R.shape[1], m))
    if "state_cov" in given:
        out = out + _between(Rt, given["state_cov"], Rt)
    if "selection" in given:
        half = _between(np.eye(R.shape[1])[None], given["selection"], Q @ Rt)
        out = out + half + np.swapaxes(half, 1, 2)
    return out


def _regression(root: Array, slopes: Array, smoother: Smoother, system: System) -> Array:
    """Return sum_t tr(W_t^+ dB_i S_t dB_j')."""
    smoothed = smoother.smooth(system, lag_cov=False)
    x = np.concatenate([smoothed.mean, np.ones((1, smoothed.mean.shape[1]))]).T[:-1]
    moments = x[:, :, None] * x[:, None, :]
    moments[:, :-1, :-1] += np.moveaxis(smoothed.cov[:, :, :-1], 2, 0)
    if len(root) == len(slopes) == 1:
        moments = moments.sum(axis=0, keepdims=True)
    values, vectors = np.linalg.eigh(moments)
    return _gram(_between(root, slopes, vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]))


def _outside(null: Array, slope: Array) -> bool:
    """Tell whether a derivative has rows outside the range of the covariance matrix."""
    left = np.swapaxes(null, 1, 2) @ slope.reshape(*slope.shape[:2], -1)
    return bool(np.max(np.abs(left), initial=0.0) > _ZERO * np.max(np.abs(slope), initial=0.0))


def _between(left: Array, slope: Array, right: Array) -> Array:
    """Return L_t' dM_t R_t, for derivatives (t, rows, columns, m)."""
    turned = np.moveaxis(slope, 3, 1)
    return np.moveaxis(np.swapaxes(left, 1, 2)[:, None] @ turned @ right[:, None], 1, 3)


def _gram(half: Array) -> Array:
    """Return the sums of products over all but the last axis."""
    flat = half.reshape(-1, half.shape[-1])
    return np.asarray(flat.T @ flat)


def whitening(information: Array) -> Array:
    """
    Return M with M' I M the identity.

    Parameters that nothing is known of keep their units; directions known less than ``1e-4`` times as well
    as others are moved as if they were known that well.
    """
    diagonal = np.diag(information)
    known = np.isfinite(diagonal) & (diagonal > 0)
    scale = np.where(known, 1.0 / np.sqrt(np.where(known, diagonal, 1.0)), 1.0)
    correlation = np.where(np.outer(known, known), information * np.outer(scale, scale), np.eye(len(scale)))
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray(scale[:, None] * vectors / np.sqrt(np.maximum(values, _FLOOR * values[-1])))


@dataclass(frozen=True)
class WhitenedLBFGS:
    """
    A replacement of statsmodels' "lbfgs", in other coordinates where there are better ones.

    Attributes
    ----------
    basis : callable
        Returns M at the start values, or None: the optimiser moves w, with params = start + M w.
    """

    basis: Callable[[Array], Array | None]

    def __call__(
        self, f: Any, score: Any, start_params: Any, fargs: Any, kwargs: dict[str, Any], **options: Any
    ) -> tuple[Array, dict[str, Any] | None]:
        """Minimise ``f``; arguments and return values are those of statsmodels' optimisers."""
        own = {name: value for name, value in kwargs.items() if name != "extra_fit_funcs"}
        start = np.asarray(start_params, dtype=float)
        M = None if "bounds" in own else self.basis(start)
        if M is None:
            found, retvals = _fit_lbfgs(f, score, start, fargs, own, **options)
            return found, retvals
        own.setdefault("pgtol", _GRADIENT)
        callback = options.pop("callback", None)
        found, retvals = _fit_lbfgs(
            lambda w, *args: f(start + M @ w, *args),
            lambda w, *args: M.T @ score(start + M @ w, *args),
            np.zeros(len(start)),
            fargs,
            own,
            callback=None if callback is None else lambda w: callback(start + M @ w),
            **options,
        )
        if retvals is not None:
            retvals = {**retvals, "gopt": np.linalg.solve(M.T, retvals["gopt"])}
        return start + M @ found, retvals
