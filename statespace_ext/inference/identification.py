"""
Local identification of the parameters.

The data cannot distinguish two parameter vectors with the same mean and covariance of y_1, ..., y_h. The
number of identified directions is the rank of the derivative of these moments, at a generic point near the
given one (Rothenberg 1971). The null space of the derivative contains the directions along which the
parameters can change freely, such as rotation and scale of the factors, or a mean together with a free
intercept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from ..display import Displayed
from ..exceptions import StateSpaceError
from ..numerics.linear_algebra import NOT_HERE, STABILITY_LIMIT, Array, at_period, companion, spectral_radius
from ..numerics.matrix_equations import stationary_covariance
from ..params.affine import Elements, IntArray
from ..params.layout import ParameterLayout
from .many import Failure, attempt
from .realization import Identifiable, flat_directions
from .similar_systems import block_sizes, flat_by_system, series_sizes, varies

_RANK_TOLERANCE = 1e-8
_LEAST = 1e-3
"""Smallest change of a parameter, relative to the largest of its block, since a variance may be zero."""
_WINDOWS = 12
_STEP = 1e-50j
"""Step of derivatives. Its square is below the rounding error of the moments."""
_LARGEST_PROBLEM = 3e7
"""Limit of parameters times squared series. For larger problems the check is skipped, with a message."""


@dataclass(frozen=True, repr=False)
class Identification(Displayed):
    """
    Identified and flat directions among the free parameters.

    Attributes
    ----------
    free : ndarray of int
        Positions of the free parameters in the full vector.
    flat : ndarray, (m, q)
        Orthonormal directions of the free parameters along which the likelihood is flat.
    names : list of str
        Parameters that change along these directions.
    message : str
        Description of the parameters that are not identified. Empty if all parameters are identified.
    """

    free: IntArray
    flat: Array
    names: list[str]
    message: str

    @property
    def n_flat(self) -> int:
        """The number of flat directions."""
        return int(self.flat.shape[1])


def identify(model: Identifiable, params: Array, fixed: Mapping[str, float]) -> Identification:
    """
    Check the identification of a model near a full parameter vector.

    Parameters
    ----------
    model : Identifiable
        The model.
    params : ndarray
        Full parameter vector. The check uses a random point near it.
    fixed : mapping of str to float
        Values of the fixed parameters by name.
    """
    layout = model.layout
    free = layout.positions([name for name in layout.names if name not in fixed])
    if len(free) == 0:
        return Identification(free, np.zeros((0, 0)), [], "")
    point = _general_position(model, params, free)
    found = flat_directions(model, point, free)
    if found is None:
        p = layout.blocks["design"].shape[0]
        if len(layout) * p * p > _LARGEST_PROBLEM:
            note = "Identification was not checked: the model is too large."
            return Identification(free, np.zeros((len(free), 0)), [], note)
        found = _by_moments(model, point, free)
    return _along(layout, free, *found, reasons=True)


def identify_by_system(model: Any, params: Array, fixed: Mapping[str, float]) -> Identification:
    """
    Check the identification of any model near a full parameter vector, from its system matrices.

    If the matrices vary over time, all parameters count as identified.
    """
    layout = model.layout
    free = layout.positions([name for name in layout.names if name not in fixed])
    found, sizes = None, block_sizes(layout, params)
    if len(free) and not varies(model.initialized_system(params)):
        # standard errors are not valid scales of flat parameters or of variances at zero
        most = np.where(sizes > 0, sizes, np.inf)
        errors = np.clip(model.difference_steps(params, 1.0), _LEAST * sizes, most)
        found = flat_by_system(model, _near(model, params, free, errors), free, errors)
    if found is None:
        return Identification(free, np.zeros((len(free), 0)), [], "")
    return _along(layout, free, *found, reasons=False)


def _along(
    layout: ParameterLayout, free: IntArray, null: Array, scale: Array, reasons: bool
) -> Identification:
    """Return the identification for given flat directions, one per row, in units of the parameters."""
    null = _apart(np.where(np.abs(null) > 1e-12, null, 0.0), scale)
    flat = orthonormal((null * scale).T)
    moved = np.linalg.norm(orthonormal(null.T), axis=1) > 1e-6  # for any units
    names = [layout.names[free[i]] for i in np.flatnonzero(moved)]
    return Identification(free, flat, names, _message(layout, names, flat.shape[1], reasons))


def _apart(null: Array, scale: Array) -> Array:
    """
    Return a basis of directions, one per row, in which each has a pivot that the others do not change.

    The pivots are parameters with a large scale. Directions that change only parameters with a small scale
    are then kept, and rounding errors of parameters with a large scale do not affect them.
    """
    rows = orthonormal(null.T).T
    out, order = np.zeros((0, rows.shape[1])), np.argsort(-scale, kind="stable")
    for place in order:
        column = rows[:, place]
        if not len(rows) or np.max(np.abs(column)) <= 1e-6:
            continue
        first = int(np.argmax(np.abs(column)))
        pivot = rows[first] / column[first]
        rows = np.delete(rows, first, axis=0)
        rows = rows - np.outer(rows[:, place], pivot)
        out = np.vstack([out - np.outer(out[:, place], pivot), pivot])
    return np.where(np.abs(out) > 1e-9 * np.max(np.abs(out), axis=1, initial=0.0)[:, None], out, 0.0)


def _near(model: Any, params: Array, free: IntArray, errors: Array) -> Array:
    """Return a random point near the parameters at which the system matrices exist."""
    z = model.layout.unconstrain(params)
    covariances = z != params  # also bounded coefficients
    sizes = np.where(
        covariances, np.abs(z) + 0.1 * block_sizes(model.layout, np.where(covariances, z, 0.0)), errors
    )

    def exists(point: Array) -> bool:
        """Return whether the system exists."""
        found = attempt(model.initialized_system, point, catch=(StateSpaceError, *NOT_HERE))
        return not isinstance(found, Failure)

    return next(filter(exists, _points(model.layout, z, free, sizes)), params)


def _by_moments(model: Identifiable, point: Array, free: IntArray) -> tuple[Array, Array]:
    """Return flat directions and their units from the derivatives of the moments of the data."""
    rows = _MomentDerivatives(model, point).reduced_rows()
    extra = rows.shape[1] - len(model.layout)
    columns = np.concatenate([free, len(model.layout) + np.arange(extra)])
    size = np.linalg.norm(rows[:, columns], axis=0)
    scale = np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 1.0)
    null = scipy.linalg.null_space(rows[:, columns] * scale, rcond=_RANK_TOLERANCE).T
    return null[:, : len(free)], scale[: len(free)]


def _triangular(groups: list[Array]) -> Array:
    """Return a triangular factor with the same Gram matrix as groups of rows."""
    return np.asarray(np.linalg.qr(np.concatenate(groups), mode="r"))


def orthonormal(columns: Array) -> Array:
    """Return an orthonormal basis of the column space, for columns in any units."""
    size = np.linalg.norm(columns, axis=0)
    units = columns / np.where(size > 0, size, 1.0)
    return np.asarray(scipy.linalg.orth(units, rcond=1e-10)) if columns.shape[1] else columns


def _message(layout: ParameterLayout, names: list[str], count: int, explained: bool) -> str:
    if not count:
        return ""
    touched = [key for key, block in layout.blocks.items() if set(block.names) & set(names)]
    reasons, dynamics = [], {"design", "transition", "state_cov"} & set(touched)
    if dynamics:
        reasons.append("the factors can be rotated or rescaled")
    if not dynamics or {"obs_intercept", "state_mean"} <= set(touched):
        reasons.append("a mean stands beside a free intercept")
    why = f" ({'; '.join(reasons)})" if explained else ""
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return (
        f"The likelihood is flat along {count} direction{'s' if count > 1 else ''}{why}, "
        f"in {', '.join(touched)}. Not identified, without standard errors: {shown}."
    )


def _general_position(model: Identifiable, params: Array, free: IntArray) -> Array:
    """Return a random nearby point with nonsingular covariance matrices at which the start exists."""
    z = model.layout.unconstrain(params)
    sizes = np.abs(z) + 0.1 * np.sqrt(np.mean(z**2)) + 1e-3

    def exists(point: Array) -> bool:
        """Return whether the start exists."""
        transition = companion(at_period(model.layout.matrix("transition", point)))
        return model.current_initialization != "stationary" or spectral_radius(transition) < STABILITY_LIMIT

    return next(filter(exists, _points(model.layout, z, free, sizes)), params)


def _points(layout: ParameterLayout, z: Array, free: IntArray, size: Array) -> Iterator[Array]:
    """Yield random points near unconstrained parameters, at decreasing distances."""
    rng = np.random.default_rng(20240229)
    for spread in (0.3, 0.1, 0.03, 0.01):
        moved = np.array(z)
        moved[free] += spread * size[free] * rng.uniform(-1.0, 1.0, len(free))
        yield layout.constrain(moved)


class _MomentDerivatives:
    """
    Derivatives of the mean and covariance of y_1..y_h with respect to the parameters and a diffuse x_1.

    The first axis of all matrices is over the parameters. Each matrix is at a point that is moved along the
    parameter by an imaginary step. The imaginary part of the moments is then the step times the derivative,
    without an error of differences. Each series is in units of its standard deviation, so that all series
    have the same weight.
    """

    def __init__(self, model: Identifiable, params: Array) -> None:
        self.model, self.layout = model, model.layout
        self.params, self.at = params, self.layout.matrices(params)
        self.k, self.size = model.k_factors, model.k_factors * model.lags
        self.constant: dict[str, Array] = {}
        self.horizon = 2 * self.size + 2
        self.varying = any(block.time_varying for block in self.layout.blocks.values())
        self.windows = self._windows()
        self.rng = np.random.default_rng(7)
        self.unit = 1.0 / series_sizes(model.endog)
        self.diffuse = model.current_initialization in ("diffuse", "approximate_diffuse")
        self.n = len(self.layout) + (self.size if self.diffuse else 0)

    def _block(self, key: str, t: int = 0) -> Array:
        """Return a block at a period, moved along each parameter, (n, rows, columns)."""
        if key not in self.constant:
            block, index = self.layout.tangent(key, self.params)
            coefs = block.coefs[:, min(t, block.coefs.shape[1] - 1)] if block.moves else block.coefs
            slopes = Elements(block.rows, block.columns, index, coefs).dense(self.n, block.shape)
            value = self.at[key]
            if value.ndim == 3:
                return value[:, :, min(t, value.shape[2] - 1)] + _STEP * slopes
            self.constant[key] = value + _STEP * slopes
        return self.constant[key]

    def _padded(self, block: Array, columns: int) -> Array:
        """Return a block of the first lag with zeros in the rows of the other lags, and further columns."""
        return np.pad(block, ((0, 0), (0, self.size - self.k), (0, columns)))

    def _moved(self, t: int, states: Array) -> Array:
        """Return T_t X, whose lower rows are the lags."""
        return np.concatenate(
            [self._block("transition", t) @ states, states[:, : self.size - self.k]], axis=1
        )

    def _moved_cov(self, t: int, cov: Array) -> Array:
        """Return T_t P T_t'."""
        return np.swapaxes(self._moved(t, np.swapaxes(self._moved(t, cov), 1, 2)), 1, 2)

    def _noise(self, t: int) -> Array:
        return self._padded(self._block("state_cov", t), self.size - self.k)

    def _intercepts(self, t: int, exog: Array, state_exog: Array) -> tuple[Array, Array]:
        """Return c_t and d_t at given regressors, as columns."""
        A, k = self._block("transition", t), self.k
        level = np.eye(k) - A.reshape(self.n, k, self.model.lags, k).sum(axis=2)
        c = self._block("state_intercept", t) + level @ self._block("state_mean")
        c = c + self._block("state_coef") @ state_exog[:, None]
        return self._padded(c, 0), self._block("obs_intercept", t) + self._block("obs_coef") @ exog[:, None]

    def _start(self) -> tuple[Array, Array]:
        """Return a_1, as a column, and P_1."""
        size = self.size
        if self.diffuse:
            moved = np.eye(self.n, size, -len(self.layout))[:, :, None]
            return 1.0 + _STEP * moved, np.zeros((self.n, size, size))
        if self.model.current_initialization != "stationary":
            return self._block("initial_state"), self._block("initial_state_cov")
        T, W = self._moved(0, np.broadcast_to(np.eye(size), (self.n, size, size))), self._noise(0)
        c, _ = self._intercepts(0, np.zeros(self.model.k_exog), np.zeros(self.model.k_state_exog))
        P = stationary_covariance(T[0].real, W[0].real)
        change = (self._moved_cov(0, np.broadcast_to(P, T.shape)) + W).imag
        return np.linalg.solve(np.eye(size) - T, c), P + 1j * stationary_covariance(T[0].real, change)

    def _windows(self) -> list[int]:
        """
        Return the periods s whose covariances with later periods are used.

        These are the first periods. If matrices vary over time, they also include periods spread over the
        sample, since the matrices may be constant at the beginning, and periods in which each free element
        that varies over time enters the observations.
        """
        first = list(range(self.horizon))
        if not self.varying:
            return first
        spread = np.linspace(self.horizon, max(self.model.nobs - 1, self.horizon), _WINDOWS)
        chosen = {*first, *spread.astype(int).tolist()}
        for block in self.layout.blocks.values():
            for path in block.coefs if block.moves else ():
                (stands,) = np.nonzero(path)
                ends = {*stands[:1], *stands[len(stands) // 2 :][:1], *stands[-1:]}
                chosen |= {min(int(t) + ahead, self.model.nobs - 1) for t in ends for ahead in (0, 1)}
        return sorted(chosen)

    def rows(self) -> Iterator[Array]:
        """Yield rows of the derivative, (number, n)."""
        a, P = self._start()
        converged = self.model.current_initialization == "stationary" and not self.varying
        for s in range(self.windows[-1] + 1):
            exog = self.rng.standard_normal(self.model.k_exog)
            c, d = self._intercepts(s, exog, self.rng.standard_normal(self.model.k_state_exog))
            mean = d + self._block("design", s) @ a[:, : self.k]
            yield (self.unit[:, None] * mean).imag[:, :, 0].T
            if s in self.windows and (s == 0 or not converged):
                yield from self._covariances(s, P)
            a = c + self._moved(s, a)
            if not converged:
                P = self._moved_cov(s, P) + self._noise(s)

    def _covariances(self, s: int, P: Array) -> Iterator[Array]:
        """Yield d Cov(y_t, y_s), t = s..h, projected on random directions."""
        now = self._block("design", s)
        p = now.shape[1]
        width = min(p, int(np.ceil(p * np.sqrt(2.0 / self.horizon))) + 2)
        X = P[:, :, : self.k]  # Cov(x_t, x_s); only the first lag of x_s is observed
        for t in range(s, max(self.horizon, min(s + 2, self.model.nobs))):
            left = self._directions(p, width)
            right = left if t == s or width == p else self._directions(p, width)
            cov = left.T @ self._block("design", t) @ X[:, : self.k] @ np.swapaxes(right.T @ now, 1, 2)
            if t == s:
                cov = cov + left.T @ self._block("obs_cov", s) @ right
            yield cov.imag.reshape(self.n, -1).T
            X = self._moved(t, X)

    def _directions(self, p: int, width: int) -> Array:
        """Return (p, width) directions, which are random if ``width`` is below p."""
        inner = np.eye(p) if width == p else self.rng.standard_normal((p, width))
        return self.unit[:, None] * inner

    def reduced_rows(self) -> Array:
        """Return a triangular factor with the same Gram matrix as all rows, with each group rescaled."""
        waiting: list[Array] = []
        for group in self.rows():
            size = np.max(np.abs(group), initial=0.0)
            if size > 0:
                waiting.append(group / size)
            if sum(len(part) for part in waiting) > 3 * self.n:
                waiting = [_triangular(waiting)]
        return _triangular([np.zeros((1, self.n)), *waiting])
