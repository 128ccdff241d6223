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
is eliminated together with the elements that depend on it, so that the cost is linear in the number of
series. The lower rows of a companion form imply X_{j-1} = X_j T by blocks of rows. For a stationary start, dP
is block Toeplitz.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from ..numerics.linear_algebra import Array, companion
from ..numerics.matrix_equations import stationary_covariance
from ..params.affine import Elements, IntArray
from ..params.layout import ParameterLayout
from .similar_systems import series_sizes

_NULL = 1e-11
"""Relative singular value below which a direction is flat. Flat directions in tests have 1e-16."""
_NOT_MINIMAL = 1e-6
"""Smallest singular value of a minimal model in the rank tests, in standard units."""
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
        A model with constant matrices and a proper start.
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

    The result is None if the model is not minimal at the point, or if elements of the observation covariance
    are sums of parameters. The check then needs the moments of the data.
    """
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
        self.elements = {key: self._elements(key) for key in (*_OBSERVATION, *_STATE, "obs_cov")}
        squares = np.zeros(self.n)
        for each in self.elements.values():
            squares += np.bincount(each.params, each.values**2, self.n)
        self.size = np.where(squares > 0, np.sqrt(squares), 1.0)
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
        if len(self.R) == 0:
            return False
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
        observation, noise = _Coefficients(self), _Noise(self)
        if not noise.separable:
            return None
        rows = [each.reshape(self.n_unknowns, -1).T for each in self.equations()]
        matrix = np.concatenate([*rows, observation.constraints(), noise.constraints()])
        size = np.linalg.norm(matrix, axis=0)
        scale = 1.0 / np.where(size > 0, size, 1.0)
        reduced = np.linalg.qr(matrix * scale, mode="r") if len(matrix) > self.n_unknowns else matrix * scale
        unknowns = scipy.linalg.null_space(reduced, rcond=_NULL).T * scale
        null = np.zeros((len(unknowns), self.n))
        null[:, self.state_params] = unknowns[:, self.first_param :]
        observation.recover(unknowns, null)
        noise.recover(unknowns, null)
        return null * self.size, 1.0 / self.size


class _Coefficients:
    """Coefficients of the observation equation: dZ = -Z X, dd = -Z m, dD = 0, element by element."""

    def __init__(self, whole: _Realization) -> None:
        self.whole = whole
        starts, rows, params, values = 0, [], [], []
        for key in _OBSERVATION:
            each, shape = whole.elements[key], whole.layout.blocks[key].shape
            rows.append(starts + each.rows * shape[1] + each.columns)
            starts += shape[0] * shape[1]
            params.append(each.params)
            values.append(each.values)
        row, param, value = np.concatenate(rows), np.concatenate(params), np.concatenate(values)
        p = len(whole.Z)
        self.n_design, self.p = p * whole.k, p
        state = whole.place[param] >= 0
        self.of_state = scipy.sparse.csr_matrix(
            (value[state], (row[state], whole.first_param + whole.place[param[state]])),
            shape=(starts, whole.n_unknowns),
        )
        self.row, self.param, self.value = row[~state], param[~state], value[~state]
        by_row = np.bincount(self.row, minlength=starts)
        by_param = np.bincount(self.param, minlength=whole.n)
        self.own = (by_row[self.row] == 1) & (by_param[self.param] == 1)
        self.unmoved = np.flatnonzero(by_row == 0)
        self.groups = list(self._groups())

    def _groups(self) -> Iterator[tuple[IntArray, IntArray, Array]]:
        """Yield the rows, parameters and derivative of each connected set of elements and parameters."""
        row, param, value = self.row[~self.own], self.param[~self.own], self.value[~self.own]
        if not len(row):
            return
        rows, i = np.unique(row, return_inverse=True)
        params, j = np.unique(param, return_inverse=True)
        size = len(rows) + len(params)
        graph = scipy.sparse.coo_matrix((np.ones(len(i)), (i, len(rows) + j)), shape=(size, size))
        _, label = connected_components(graph, directed=False)
        order = np.argsort(label[i], kind="stable")
        for entries in np.split(order, np.flatnonzero(np.diff(label[i][order])) + 1):
            which_rows, a = np.unique(i[entries], return_inverse=True)
            which_params, b = np.unique(j[entries], return_inverse=True)
            derivative = np.zeros((len(which_rows), len(which_params)))
            np.add.at(derivative, (a, b), value[entries])
            yield rows[which_rows], params[which_params], derivative

    def change(self, rows: IntArray, X: Array, m: Array) -> Array:
        """Return the changes of elements by similarities, (rows, number of similarities)."""
        Z, k = self.whole.Z, self.whole.k
        out = np.zeros((len(rows), len(X)))
        design = rows < self.n_design
        i, j = np.divmod(rows[design], k)
        by_column = np.moveaxis(X[:, :k, :k], 2, 0)  # (column, similarity, row of X)
        for column in range(k):
            here = np.flatnonzero(design)[j == column]
            out[here] = -Z[i[j == column]] @ by_column[column].T
        intercept = ~design & (rows < self.n_design + self.p)
        out[intercept] = -Z[rows[intercept] - self.n_design] @ m[:, :k].T
        return out

    def _less_state(self, rows: IntArray) -> Array:
        return self.change(rows, self.whole.X, self.whole.m) - self.of_state[rows].toarray()

    def constraints(self) -> Array:
        """Return the equations after elimination of the parameters of the observation equation."""
        out = [self._less_state(self.unmoved)]
        for rows, _, derivative in self.groups:
            basis = scipy.linalg.orth(derivative)
            left = self._less_state(rows)
            out.append(left - basis @ (basis.T @ left))
        return np.concatenate(out)

    def recover(self, unknowns: Array, null: Array) -> None:
        """Fill in the parameters of the observation equation along solutions (q, unknowns)."""
        X, m = np.tensordot(unknowns, self.whole.X, 1), unknowns @ self.whole.m
        rows, params = self.row[self.own], self.param[self.own]
        change = self.change(rows, X, m) - self.of_state[rows] @ unknowns.T
        null[:, params] = (change / self.value[self.own][:, None]).T
        for rows, params, derivative in self.groups:
            change = self.change(rows, X, m) - self.of_state[rows] @ unknowns.T
            null[:, params] = np.linalg.lstsq(derivative, change, rcond=1e-12)[0].T


class _Noise:
    """
    The observation covariance: dH = -Z dP Z'.

    Random combinations w'(.)v replace its p^2 equations. The parameters of H are projected out. The number of
    combinations slightly exceeds the number of elements of dP that Z observes.
    """

    def __init__(self, whole: _Realization) -> None:
        self.whole, each = whole, whole.elements["obs_cov"]
        place = whole.place[each.params]
        own = place < 0
        self.i, self.j, self.value = each.rows[own], each.columns[own], each.values[own]
        self.params, self.local = np.unique(each.params[own], return_inverse=True)
        self.squares = np.bincount(self.local, self.value**2, len(self.params))
        self.state = (each.rows[~own], each.columns[~own], place[~own], each.values[~own])
        p = len(whole.Z)
        taken = np.concatenate([self.i, each.rows[~own]]) * p + np.concatenate([self.j, each.columns[~own]])
        self.separable = len(np.unique(taken)) == len(taken)
        self.saturated = 2 * len(self.params) == p * (p + 1) and not len(self.state[0])

    def constraints(self) -> Array:
        """Return combinations of the equations without the parameters of H."""
        whole, k, p = self.whole, self.whole.k, len(self.whole.Z)
        if self.saturated:
            return np.zeros((0, whole.n_unknowns))
        rng = np.random.default_rng(11)
        out = np.zeros((k * (k + 1) // 2 + _MORE_SKETCHES, whole.n_unknowns))
        rows, columns, place, values = self.state
        for equation in out:
            w, v = rng.standard_normal((2, p)) / np.sqrt(p)
            entries = 0.5 * (w[self.i] * v[self.j] + v[self.i] * w[self.j])
            share = np.bincount(self.local, self.value * entries, len(self.params)) / self.squares
            taken = scipy.sparse.csr_matrix((self.value * share[self.local], (self.i, self.j)), shape=(p, p))
            seen = np.outer(whole.Z.T @ w, whole.Z.T @ v) - whole.Z.T @ (taken @ whole.Z)
            equation -= np.tensordot(whole.dP[:, :k, :k], seen, 2)
            weights = 0.5 * (w[rows] * v[columns] + v[rows] * w[columns]) * values
            equation -= np.bincount(whole.first_param + place, weights, whole.n_unknowns)
        return out

    def recover(self, unknowns: Array, null: Array) -> None:
        """Fill in the parameters of H along solutions (q, unknowns)."""
        Z, k = self.whole.Z, self.whole.k
        change = np.tensordot(unknowns, self.whole.dP[:, :k, :k], 1)
        for row, dP in zip(null, change, strict=True):
            elements = -np.einsum("ea,ea->e", Z[self.i] @ dP, Z[self.j])
            row[self.params] = np.bincount(self.local, self.value * elements, len(self.params)) / self.squares


def _full_rank(transition: Array, inputs: Array) -> bool:
    """Return whether [T - z I, B] has full row rank at each eigenvalue z of T."""
    if not np.all(np.isfinite(transition)):
        return False
    size = len(transition)
    for eigenvalue in np.linalg.eigvals(transition):
        if eigenvalue.imag < 0:
            continue
        both = np.concatenate([transition - eigenvalue * np.eye(size), inputs], axis=1)
        if np.linalg.svd(both, compute_uv=False)[-1] < _NOT_MINIMAL:
            return False
    return True
