r"""
Flat directions of a model with constant matrices and a proper start, without derivatives of moments.

Two minimal models with the same moments of y are related by a similarity x -> (I + X) x + m of the state and
by a change dP of the state covariance that does not affect the data. To first order, for a stationary start,

.. math::

    dZ = -Z X, \quad dT = X T - T X, \quad dc = X c + (I - T) m, \quad dd = -Z m, \quad dG = X G,

    dW = X W + W X' + dP - T dP T', \quad dH = -Z dP Z' \quad \text{with} \quad T dP Z' = 0.

For a given start, da_1 = X a_1 + m, dP_1 = X P_1 + P_1 X' + dP and dW = X W + W X' + E. With D_1 = dP and
D_{t+1} = T D_t T' + E, the conditions are T D_t Z' = 0 and Z (D_t - D_1) Z' = 0. A direction of the
parameters is flat if it changes the matrices in one of these ways.

The unknowns are X, m, dP and the parameters of the state equation. Each parameter of the observation equation
is eliminated by least squares on the elements that depend on it, so that the cost is linear in the number of
series. The lower rows of a companion form imply X_{j-1} = X_j T by blocks of rows. For a stationary start, dP
is block Toeplitz.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import scipy.linalg
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from ..numerics.linear_algebra import Array, companion
from ..numerics.matrix_equations import stationary_covariance
from ..params.affine import Elements, IntArray
from ..params.layout import ParameterLayout
from .similar_systems import series_sizes

_NULL = 1e-11
"""Relative singular value below which a direction is flat. Flat directions in tests have 1e-16."""
_NOT_MINIMAL = 1e-6
"""Smallest singular value of a minimal model in the rank tests, in standard units."""
_DEPENDENT = 1e-8
"""Pivot below which derivatives with respect to several parameters are linearly dependent."""
_MORE_SKETCHES = 8
_OBSERVATION = ("design", "obs_intercept", "obs_coef")
_STATE = (
    "transition", "state_cov", "state_intercept", "state_mean", "state_coef", "initial_state",
    "initial_state_cov",
)  # fmt: skip


class Identifiable(Protocol):
    """Interface of a model for the check."""

    layout: ParameterLayout
    endog: Array
    current_initialization: str
    k_factors: int
    lags: int
    nobs: int
    exog: Array | None
    state_inputs: Array | None
    k_exog: int
    k_state_exog: int


def flat_directions(model: Identifiable, params: Array, free: IntArray) -> tuple[Array, Array] | None:
    """
    Return the flat directions among the free parameters.

    Parameters
    ----------
    model : Identifiable
        The model.
    params : ndarray
        A generic point of the parameter space.
    free : ndarray of int, (m,)
        Positions of the free parameters.

    Returns
    -------
    null : ndarray, (q, m)
        Directions in units of the parameters. They are orthonormal apart from changes that do not affect any
        parameter.
    units : ndarray, (m,)
        A direction of the parameters themselves is ``null * units``.

    The result is None if matrices vary over time, if the start is diffuse, if the model is not minimal at the
    point, or if several parameters of the observation equation have linearly dependent effects. The check
    then needs the moments of the data.
    """
    varying = any(block.time_varying for block in model.layout.blocks.values())
    if varying or model.current_initialization in ("diffuse", "approximate_diffuse"):
        return None
    realization = _Realization(model, params, free)
    return realization.directions() if realization.is_minimal() else None


class _Realization:
    """The equations that relate a similarity of the state to changes of the parameters."""

    def __init__(self, model: Identifiable, params: Array, free: IntArray) -> None:
        self.layout, self.params, self.n = model.layout, params, len(free)
        self.k, self.lags, self.s = model.k_factors, model.lags, model.k_factors * model.lags
        self.stationary = model.current_initialization == "stationary"
        self.column = np.full(len(params), -1)
        self.column[free] = np.arange(len(free))
        self._set_system(*(series_sizes(data) for data in (model.endog, model.exog, model.state_inputs)))
        elements = {key: self._elements(key) for key in (*_OBSERVATION, *_STATE, "obs_cov")}
        squares = np.zeros(self.n)
        for each in elements.values():
            squares += np.bincount(each.params, each.values**2, self.n)
        self.size = np.where(squares > 0, np.sqrt(squares), 1.0)
        self.elements = {
            key: replace(each, values=each.values / self.size[each.params]) for key, each in elements.items()
        }
        self.state_params = np.unique(np.concatenate([self.elements[key].params for key in _STATE]))
        self.place = np.full(self.n, -1)
        self.place[self.state_params] = np.arange(len(self.state_params))
        self._set_unknowns()

    # -- the system in standard units ------------------------------------------------------------------

    def _set_system(self, endog_units: Array, exog_units: Array, state_exog_units: Array) -> None:
        k, s, at = self.k, self.s, self.layout.matrices(self.params)
        self.W = np.zeros((s, s))
        self.W[:k, :k] = at["state_cov"]
        T = companion(at["transition"])
        start_cov = stationary_covariance(T, self.W) if self.stationary else at["initial_state_cov"]
        variance, P = np.diag(start_cov), start_cov
        for _ in range(0 if self.stationary else s + 1):
            P = T @ P @ T.T + self.W
            variance = np.maximum(variance, np.diag(P))
        sds = np.sqrt(np.max(variance.reshape(self.lags, k), axis=0))
        factor = np.where(sds > 0, sds, 1.0)
        state, one = np.tile(factor, self.lags), np.ones(1)
        series = 1.0 / endog_units
        self.units = {  # of a row, and of a column, by block
            "design": (series, factor), "obs_intercept": (series, one),
            "obs_coef": (series, exog_units), "obs_cov": (series, series),
            "transition": (1 / factor, state), "state_cov": (1 / factor, 1 / factor),
            "state_intercept": (1 / factor, one), "state_mean": (1 / factor, one),
            "state_coef": (1 / factor, state_exog_units),
            "initial_state": (1 / state, one), "initial_state_cov": (1 / state, 1 / state),
        }  # fmt: skip
        scaled = {key: at[key] * rows[:, None] * columns for key, (rows, columns) in self.units.items()
                  if key != "obs_cov"}  # fmt: skip
        self.Z, self.A = scaled["design"], scaled["transition"]
        self.T, self.W = companion(self.A), self.W / np.outer(state, state)
        self.start_cov = start_cov / np.outer(state, state)
        self.mean = scaled["state_mean"][:, 0]
        self.level = np.eye(k) - self.A.reshape(k, self.lags, k).sum(axis=1)
        self.c = np.zeros(s)
        self.c[:k] = scaled["state_intercept"][:, 0] + self.level @ self.mean
        self.G = scaled["state_coef"]
        self.a1 = (
            np.linalg.solve(np.eye(s) - self.T, self.c) if self.stationary else scaled["initial_state"][:, 0]
        )
        # R observes the same part of the state as Z, with at most k rows
        self.R = np.asarray(np.linalg.qr(self.Z, mode="r"))

    def _elements(self, key: str) -> Elements:
        """Return the derivative of a block with respect to the free parameters, in standard units."""
        rows, columns = self.units[key]
        each = self.layout.derivative(key, self.column, self.params)
        return replace(each, values=each.values * rows[each.rows] * columns[each.columns])

    def is_minimal(self) -> bool:
        """Return whether the state is observable and reachable (Hautus test at each eigenvalue)."""
        s, k = self.s, self.k
        seen = np.zeros((len(self.R), s))
        seen[:, :k] = self.R
        moved = np.concatenate([self.T, self.c[:, None]], axis=1)
        affine = np.concatenate([moved, np.eye(1, s + 1, s)])
        P, inputs = self.start_cov, [np.append(self.a1, 1.0)[:, None]]
        for _ in range(1 if self.stationary else s + 1):
            inputs.append(np.pad(self.T @ P[:, :k] @ self.R.T, ((0, 1), (0, 0))))
            P = self.T @ P @ self.T.T + self.W
        inputs.append(np.pad(self.G, ((0, s + 1 - k), (0, 0))))
        return _full_rank(self.T.T, seen.T) and _full_rank(affine, np.concatenate(inputs, axis=1))

    # -- unknowns: X, m, dP and the parameters of the state equation --------------------------------------

    def _set_unknowns(self) -> None:
        k, s, lags = self.k, self.s, self.lags
        # elements of dP by lag: a block Toeplitz matrix with a symmetric block on its diagonal
        pairs = itertools.product(range(lags if self.stationary else 0), range(k), range(k))
        later = [(j, a, b) for j, a, b in pairs if j or a >= b]
        first_m = k * s
        first_P = first_m + s
        first_param = first_P + len(later)
        self.first_param, self.n_unknowns = first_param, first_param + len(self.state_params)
        nz = self.n_unknowns
        self.X = np.zeros((nz, s, s))
        self.X[np.arange(k * s), s - k + np.repeat(np.arange(k), s), np.tile(np.arange(s), k)] = 1.0
        for j in range(lags - 1, 0, -1):
            self.X[:, (j - 1) * k : j * k] = self.X[:, j * k : (j + 1) * k] @ self.T
        self.m = np.zeros((nz, s))
        self.m[first_m + np.arange(s), np.arange(s)] = 1.0
        XW = self.X @ self.W
        self.noise = XW + np.swapaxes(XW, 1, 2)
        if self.stationary:
            self.dP = np.zeros((nz, s, s))
            for place, (j, a, b) in enumerate(later, first_P):
                for lag in range(lags - j):
                    self.dP[place, lag * k + a, (lag + j) * k + b] = 1.0
                    self.dP[place, (lag + j) * k + b, lag * k + a] = 1.0
        else:
            XP = self.X @ self.start_cov
            self.dP = self._dense("initial_state_cov") - XP - np.swapaxes(XP, 1, 2)

    def _dense(self, key: str) -> Array:
        """Return the derivative of a block with respect to the unknowns, (unknowns, rows, columns)."""
        each = self.elements[key]
        moved = replace(each, params=self.first_param + self.place[each.params])
        return moved.dense(self.n_unknowns, self.layout.blocks[key].shape)

    # -- equations ---------------------------------------------------------------------------------------

    def equations(self) -> Iterator[Array]:
        """Yield rows of the equations in the unknowns, (number, unknowns)."""
        k, s, X, T = self.k, self.s, self.X, self.T
        dA = self._dense("transition")
        yield (X @ T - T @ X)[:, :k] - dA
        dc = np.zeros((self.n_unknowns, s))
        dlevel = -dA.reshape(self.n_unknowns, k, self.lags, k).sum(axis=2)
        dc[:, :k] = (
            self._dense("state_intercept")[:, :, 0] + dlevel @ self.mean
            + self._dense("state_mean")[:, :, 0] @ self.level.T
        )  # fmt: skip
        yield X @ self.c + self.m - self.m @ T.T - dc
        dG = np.pad(self._dense("state_coef"), ((0, 0), (0, s - k), (0, 0)))
        yield X[:, :, :k] @ self.G - dG
        yield self.R @ X[:, :k, k:]
        dW = np.pad(self._dense("state_cov"), ((0, 0), (0, s - k), (0, s - k)))
        if self.stationary:
            yield self.noise + self.dP - T @ self.dP @ T.T - dW
            yield T @ self.dP[:, :, :k] @ self.R.T
        else:
            yield X @ self.a1 + self.m - self._dense("initial_state")[:, :, 0]
            change, extra = self.dP, dW - self.noise
            for _ in range(2 * s + 2):
                yield T @ change[:, :, :k] @ self.R.T
                change = T @ change @ T.T + extra
                yield self.R @ (change - self.dP)[:, :k, :k] @ self.R.T

    def directions(self) -> tuple[Array, Array] | None:
        """Return the directions of the free parameters and their units, or None if moments are needed."""
        observation, noise = _Coefficients(self, _OBSERVATION, True), _Noise(self, ("obs_cov",), False)
        if not (observation.independent and noise.independent):
            return None
        rows = [each.reshape(self.n_unknowns, -1).T for each in self.equations()]
        matrix = np.concatenate([*rows, observation.constraints(), noise.constraints()])
        size = np.linalg.norm(matrix, axis=0)
        scale = 1.0 / np.where(size > 0, size, 1.0)
        reduced = np.linalg.qr(matrix * scale, mode="r") if len(matrix) > self.n_unknowns else matrix * scale
        unknowns = scipy.linalg.null_space(reduced, rcond=_NULL).T * scale
        null = np.zeros((len(unknowns), self.n))
        null[:, self.state_params] = unknowns[:, self.first_param :]
        for direction, unknown in zip(null, unknowns, strict=True):
            for part in (observation, noise):
                direction[part.params] = part.solution(part.change(unknown[None]))[:, 0]
        return null, 1.0 / self.size


class _Eliminated(ABC):
    """
    Blocks of the observation equation, side by side. Least squares eliminate their own parameters.

    These parameters are in no equation of the state. D is the derivative of the elements with respect to
    them. The elements are all elements, or those that any parameter moves.
    """

    def __init__(self, whole: _Realization, keys: Sequence[str], every: bool) -> None:
        self.whole, p = whole, len(whole.Z)
        parts = [whole.elements[key] for key in keys]
        widths = np.array([whole.layout.blocks[key].shape[1] for key in keys])
        rows, columns, params, values = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("rows", "columns", "params", "values")
        )
        before = np.repeat(np.cumsum(widths) - widths, [len(part.rows) for part in parts])
        elements, place = rows * widths.sum() + before + columns, whole.place[params]
        self.elements = np.arange(p * widths.sum()) if every else np.unique(elements)
        elements, size = np.searchsorted(self.elements, elements), len(self.elements)
        own = place < 0
        self.params, local = np.unique(params[own], return_inverse=True)
        self.derivative = csc_matrix((values[own], (elements[own], local)), shape=(size, len(self.params)))
        self.of_state = csc_matrix(
            (values[~own], (elements[~own], whole.first_param + place[~own])), shape=(size, whole.n_unknowns)
        )
        self.adjoint = self.derivative.T.tocsr()
        self.factor: Any = None
        with suppress(RuntimeError):  # which scipy raises for a singular matrix
            self.factor = splu((self.adjoint @ self.derivative).tocsc())

    @property
    def independent(self) -> bool:
        """Whether the columns of D are linearly independent."""
        return self.factor is not None and self.factor.U.diagonal().min(initial=1.0) > _DEPENDENT

    def solution(self, change: Array) -> Array:
        """Return the parameters for which D x is closest to changes of the elements, (elements, number)."""
        D = self.derivative
        first = self.factor.solve(self.adjoint @ change)
        # the normal equations square the condition of D; the second step removes their rounding error
        return np.asarray(first + self.factor.solve(self.adjoint @ (change - D @ first)))

    def residual(self, change: Array) -> Array:
        """Return the part of changes of the elements that no parameters cause."""
        return np.asarray(change - self.derivative @ self.solution(change))

    def change(self, unknowns: Array) -> Array:
        """Return the changes of the elements, less the effect of state parameters, (elements, number)."""
        return np.asarray(self.moved(unknowns).T - self.of_state @ unknowns.T)

    @abstractmethod
    def moved(self, unknowns: Array) -> Array:
        """Return the changes of the elements by X, m and dP, (number, elements)."""


class _Coefficients(_Eliminated):
    """Coefficients of the observation equation: dZ = -Z X, dd = -Z m, dD = 0."""

    def moved(self, unknowns: Array) -> Array:
        """Return the changes of the elements by X, m and dP, (number, elements)."""
        Z, k = self.whole.Z, self.whole.k
        X, m = np.tensordot(unknowns, self.whole.X[:, :k, :k], 1), unknowns @ self.whole.m[:, :k]
        out = np.zeros((len(unknowns), len(Z), len(self.elements) // len(Z)))
        out[:, :, :k], out[:, :, k] = -Z @ X, -m @ Z.T
        return out.reshape(len(unknowns), -1)

    def constraints(self) -> Array:
        """Return the equations without the parameters of the observation equation."""
        rows = self.residual(self.change(np.eye(self.whole.n_unknowns)))
        return rows[rows.any(axis=1)]


class _Noise(_Eliminated):
    """
    The observation covariance: dH = -Z dP Z'.

    Random combinations w'(.)v replace its p^2 equations. The number of combinations slightly exceeds the
    number of elements of dP that Z observes.
    """

    def moved(self, unknowns: Array) -> Array:
        """Return the changes of the elements by X, m and dP, (number, elements)."""
        Z, k = self.whole.Z, self.whole.k
        i, j = np.divmod(self.elements, len(Z))
        dP = np.tensordot(unknowns, self.whole.dP[:, :k, :k], 1)
        return -np.sum((Z[i] @ dP) * Z[j], axis=2)

    def constraints(self) -> Array:
        """Return combinations of the equations without the parameters of H."""
        Z, k, p = self.whole.Z, self.whole.k, len(self.whole.Z)
        count = k * (k + 1) // 2 + _MORE_SKETCHES
        w, v = np.moveaxis(np.random.default_rng(11).standard_normal((count, 2, p)) / np.sqrt(p), 1, 0)
        i, j = np.divmod(self.elements, p)
        weights = w[:, i] * v[:, j]
        left = self.residual(weights.T).T  # without the part along the parameters of H
        taken = np.array([(Z[i].T * each) @ Z[j] for each in weights - left])
        seen = (w @ Z)[:, :, None] * (v @ Z)[:, None, :] - taken
        moved = np.tensordot(seen, self.whole.dP[:, :k, :k], ((1, 2), (1, 2)))
        return np.asarray(-moved - (self.of_state.T @ left.T).T)


def _full_rank(transition: Array, inputs: Array) -> bool:
    """Return whether [T - z I, B] has full row rank at each eigenvalue z of T."""
    size = len(transition)
    for eigenvalue in np.linalg.eigvals(transition):
        if eigenvalue.imag < 0:
            continue
        both = np.concatenate([transition - eigenvalue * np.eye(size), inputs], axis=1)
        if np.linalg.svd(both, compute_uv=False)[-1] < _NOT_MINIMAL:
            return False
    return True
