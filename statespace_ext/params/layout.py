"""The flat parameter vector: names, counts, matrices, gradients, transforms, bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import chain

import numpy as np

from ..exceptions import ParameterError, SpecificationError, UnsupportedError, shown
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import Array, at_period, by_diagonal
from .affine import AffineMatrix, Elements, IntArray, periods_alike
from .covariance import Chordal, CommonVariance, CovarianceStructure, General, structure_of
from .curved import CurvedMatrix

_LIMIT = 1.0 - 1e-7
"""
Bound of stationary coefficients. A stationary start exists at it, so a search along the bound does not fail.

Closer to one, the variance 1 / (1 - a^2) of a stationary start makes the score inexact. At 1 - 1e-9 its
errors are 1e-3, and L-BFGS finds no descent direction.
"""

_CURVATURE_STEP = 1e-4
"""Step of differences of the derivatives of transforms, most of which are linear or quadratic."""


class UnitInterval:
    """
    Parameters in (-1, 1), transformed as limit * sin z with a limit just below one.

    The limit is reached at a finite z, where the derivative is zero, as for the square root of a variance.
    """

    def __init__(self, param_names: list[str]) -> None:
        self.param_names = param_names

    def constrain(self, unconstrained: Array) -> Array:
        """Return parameters."""
        return np.asarray(_LIMIT * np.sin(unconstrained))

    def unconstrain(self, params: Array) -> Array:
        """Return the vector that `constrain` maps to ``params``."""
        return np.asarray(np.arcsin(np.clip(params / _LIMIT, -1.0, 1.0)))

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d unconstrained."""
        return np.diag(_LIMIT * np.cos(unconstrained))


class ParameterLayout:
    """
    The blocks of a model and the positions of their parameters in the flat vector.

    Parameters
    ----------
    blocks : mapping of str to AffineMatrix
        All matrices of the model. The parameters are ordered by first appearance.
    covariances : collection of str
        The blocks that are covariance matrices.
    bounded : collection of str
        Parameters in (-1, 1).
    lean : collection of str
        The covariance matrices that are stored by their diagonals (`diagonal_matrix`) if they have nothing
        else at all parameter values.

    Raises
    ------
    SpecificationError
        If a name stands for a coefficient in one matrix and a covariance in another.
    """

    def __init__(
        self,
        blocks: Mapping[str, AffineMatrix],
        covariances: frozenset[str],
        bounded: frozenset[str] = frozenset(),
        lean: frozenset[str] = frozenset(),
    ) -> None:
        self.blocks = dict(blocks)
        self.covariances = covariances
        self.bounded = bounded
        self.lean = lean
        affine = (lean & self.blocks.keys()) - set(self.curved)
        self._by_diagonal = {key for key in affine if self.blocks[key].is_diagonal}
        self.names = list(dict.fromkeys(name for block in self.blocks.values() for name in block.names))
        self._position = {name: i for i, name in enumerate(self.names)}
        self.index = {key: self.positions(block.names) for key, block in self.blocks.items()}
        coefs, covs = set[str](), set[str]()
        for key, block in self.blocks.items():
            (covs if key in self.covariances else coefs).update(block.names)
        if coefs & covs:
            raise SpecificationError(
                "A parameter is a coefficient in one matrix and an element of a covariance matrix in another",
                got=sorted(coefs & covs),
                remedy="Give them different names.",
            )

    def __len__(self) -> int:
        return len(self.names)

    def positions(self, names: Sequence[str]) -> IntArray:
        """Return the positions of parameters in the flat vector; raise `ParameterError` if one is unknown."""
        unknown = [name for name in names if not (isinstance(name, str) and name in self._position)]
        if unknown:
            raise ParameterError(
                "Unknown parameter", got=shown(unknown), expected=f"names among {shown(self.names)}"
            )
        return np.array([self._position[name] for name in names], dtype=np.intp)

    def block_params(self, key: str) -> IntArray:
        """Return the positions of the distinct parameters of a block."""
        return self.positions(self.blocks[key].param_names)

    @cached_property
    def groups(self) -> dict[str, IntArray]:
        """
        The group of each period, for the equations ("observation", "state") with free elements over time.

        The periods of a group have the same D_t of every block, and the same fixed part of the covariance.
        """
        out = {}
        for equation, (keys, cov) in _EQUATIONS.items():
            blocks = [self.blocks[key] for key in (*keys, cov) if key in self.blocks]
            if any(block.moves for block in blocks):
                out[equation] = periods_alike(blocks, [self.blocks[cov]])[1]
        return out

    @cached_property
    def curved(self) -> list[str]:
        """The blocks that are not affine in their parameters."""
        return [key for key, block in self.blocks.items() if isinstance(block, CurvedMatrix)]

    def tangent(self, key: str, params: Array | None) -> tuple[AffineMatrix, IntArray]:
        """Return the affine approximation of a block at a parameter vector, and its parameter positions."""
        block = self.blocks[key]
        if not isinstance(block, CurvedMatrix):
            return block, self.index[key]
        if params is None:
            raise UnsupportedError(f"Derivatives of {key}, a function of its parameters, need their values")
        affine = block.tangent(params[self.block_params(key)])
        return affine, self.positions(list(affine.names))

    def derivative(self, key: str, place: IntArray, at: Array | None = None) -> Elements:
        """
        Return the derivative of a block by parameters at a parameter vector.

        ``place`` is the position of each parameter in the derivative; -1 marks a fixed parameter.
        """
        block, index = self.tangent(key, at)
        params = place[index]
        free = params >= 0
        return Elements(block.rows[free], block.columns[free], params[free], block.coefs[free])

    def matrices(self, params: Array) -> dict[str, Array]:
        """Return every block at a parameter vector."""
        return {key: self.matrix(key, params) for key in self.blocks}

    def matrix(self, key: str, params: Array) -> Array:
        """Return one block at a parameter vector."""
        block = self.blocks[key]
        if key in self._by_diagonal:
            return block.diagonal_at(params[self.index[key]])
        return np.array(block.fixed) if block.is_fixed else block.at(params[self.index[key]])

    def gradient(self, by_matrix: Mapping[str, Array], params: Array | None = None) -> Array:
        """
        Return the gradient by parameter at a parameter vector, given the gradient by matrix element.

        Gradients by element have the shape of the matrix, or a last axis over time, which is summed.
        """
        out = np.zeros(len(self))
        for key, gradient in by_matrix.items():
            block, index = self.tangent(key, params)
            total = gradient.sum(axis=2) if gradient.ndim == 3 and not block.moves else gradient
            weights = block.coefs * total[block.rows, block.columns]
            weights = weights.sum(axis=1) if block.moves else weights
            out += np.bincount(index, weights=weights, minlength=len(self))
        return out

    def project(self, matrices: Mapping[str, Array], params: Array) -> Array:
        """Set the parameters of the given matrices to their least-squares values; return the vector."""
        out = np.array(params, dtype=float)
        for key, matrix in matrices.items():
            block = self.blocks[key]
            if block.is_fixed:
                continue
            if isinstance(block, CurvedMatrix):
                out[self.block_params(key)] = block.near(np.asarray(matrix))
                continue
            target, index = matrix, self.index[key]
            if by_diagonal(target) and block.is_diagonal:
                block, target = block.along_diagonal, target.diagonal()[:, None]
            target = np.asarray(target)
            if block.moves:
                each = [at_period(target, t) for t in block.regimes.tolist()]
                block, target = block.joined(diagonal=False), np.concatenate(each, axis=1)
                index = self.positions(list(block.names))
            fixed = block.fixed.mean(axis=2) if block.time_varying else block.fixed
            places = np.unique(index)
            target = target.reshape(block.shape) - fixed
            out[places] = _least_squares(block, np.searchsorted(places, index), target)
        return out

    @cached_property
    def transforms(self) -> list[tuple[CovarianceStructure | UnitInterval, IntArray]]:
        """Transforms of constrained parameters with their positions; other parameters are unconstrained."""
        bounded = UnitInterval([name for name in self.names if name in self.bounded])
        curved = [structure for key, structure in self.recognised.items() if key in self.curved]
        found: list[CovarianceStructure | UnitInterval] = [*self.structures.values(), *curved, bounded]
        return [(each, self.positions(each.param_names)) for each in found if each.param_names]

    @cached_property
    def untransformed(self) -> list[str]:
        """Covariance blocks without a transform that keeps them positive semidefinite."""
        kept = {key for key, structure in self.structures.items() if not isinstance(structure, General)}
        return [key for key in self.recognised if key not in kept and key not in self.curved]

    @cached_property
    def recognised(self) -> dict[str, CovarianceStructure]:
        """Structures of the free covariance blocks, including those that share parameters with another."""
        keys = [key for key in self.covariances if key in self.blocks and not self.blocks[key].is_fixed]
        return {key: structure_of(self.blocks[key]) for key in sorted(keys)}

    @cached_property
    def places(self) -> dict[str, IntArray]:
        """Positions of the parameters of each recognised structure in the flat vector."""
        return {key: self.positions(structure.param_names) for key, structure in self.recognised.items()}

    @cached_property
    def structures(self) -> dict[str, CovarianceStructure]:
        """Structures of the affine covariance blocks that have a transform, by block."""
        found = {key: each for key, each in self.recognised.items() if key not in self.curved}
        uses = Counter(chain.from_iterable(each.param_names for each in found.values()))
        shared = {key for key, each in found.items() if max(map(uses.__getitem__, each.param_names)) > 1}
        if all(isinstance(found[key], CommonVariance) for key in shared):
            return found
        return {key: structure for key, structure in found.items() if key not in shared}

    def constrain(self, unconstrained: Array) -> Array:
        """Map an unconstrained vector to parameters."""
        out = np.array(unconstrained, dtype=float)
        for structure, places in self.transforms:
            out[places] = structure.constrain(unconstrained[places])
        return out

    def unconstrain(self, params: Array) -> Array:
        """Map parameters to an unconstrained vector."""
        out = np.array(params, dtype=float)
        for structure, places in self.transforms:
            out[places] = structure.unconstrain(params[places])
        return out

    def vjp(self, unconstrained: Array, gradient: Array) -> Array:
        """Return the gradient by unconstrained element, given the gradient by parameter."""
        out = np.array(gradient, dtype=float)
        for structure, places in self.transforms:
            at, slope = unconstrained[places], gradient[places]
            if isinstance(structure, Chordal):  # whose derivatives are p^4 elements
                out[places] = structure.vjp(at, slope)
            else:
                out[places] = _turned(structure, slope, at)
        return out

    def information(self, unconstrained: Array, information: Array, gradient: Array) -> Array:
        """
        Return the information about unconstrained elements, given the information about parameters.

        Parameters
        ----------
        unconstrained : ndarray
            Where.
        information : ndarray
            Minus the second derivatives of a function by parameters, or an approximation.
        gradient : ndarray
            The gradient of the function by parameters.
        """
        slopes, out = np.eye(len(self)), np.zeros((len(self), len(self)))
        for structure, places in self.transforms:
            at, slope, inner = unconstrained[places], gradient[places], np.ix_(places, places)
            slopes[inner] = structure.jacobian(at)
            if isinstance(structure, Chordal):
                out[inner] = -structure.curvature(slope)
            else:
                turned = partial(_turned, structure, slope)
                out[inner] = -jacobian(turned, at, np.full(len(at), _CURVATURE_STEP))
        return out + slopes.T @ information @ slopes

    def fix(self, values: Mapping[str, float]) -> ParameterLayout:
        """Return the layout with parameters fixed at values and dropped from the vector."""
        self.positions(list(values))
        blocks = {key: block.fix(values) for key, block in self.blocks.items()}
        return ParameterLayout(blocks, self.covariances, self.bounded - set(values), self.lean)

    def vector(self, params: object) -> Array:
        """
        Return a parameter vector from an array, or from a Series or dict by name.

        Raises
        ------
        ParameterError
            If the length or the names differ from those of the layout, or a value is not finite.
        """
        if hasattr(params, "items"):
            params = self._in_order(dict(params.items()))
        vector = np.atleast_1d(real_array(params, "Parameters"))
        if vector.shape != (len(self),):
            raise ParameterError(
                "The parameter vector has the wrong shape",
                got=vector.shape,
                expected=f"{(len(self),)}: {shown(self.names)}",
            )
        if not np.all(np.isfinite(vector)):
            bad = [name for name, value in zip(self.names, vector, strict=True) if not np.isfinite(value)]
            raise ParameterError("Parameters are not finite", got=shown(bad), expected="finite numbers")
        return vector

    def _in_order(self, given: Mapping[str, object]) -> list[object]:
        """Return values by name in the order of the vector."""
        unknown = [name for name in given if name not in self._position]
        missing = [name for name in self.names if name not in given]
        if unknown or missing:
            raise ParameterError(
                "Parameter names do not match",
                got=f"unknown: {shown(unknown) or 'none'}, missing: {shown(missing) or 'none'}",
                expected=shown(self.names),
            )
        return [given[name] for name in self.names]


def _turned(structure: CovarianceStructure | UnitInterval, gradient: Array, unconstrained: Array) -> Array:
    """Return the gradient by unconstrained element, given that by parameter."""
    return np.asarray(structure.jacobian(unconstrained).T @ gradient)


def real_array(value: object, what: str) -> Array:
    """
    Return a new array of floats from numbers.

    Raises
    ------
    ParameterError
        If the values are not real numbers, or are ragged.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"type {array.dtype}")
        return np.array(array, dtype=float)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{what} must be real numbers", got=repr(value)[:80]) from error


def checked_values(values: Mapping[str, object]) -> dict[str, float]:
    """
    Return values by name as floats.

    Raises
    ------
    ParameterError
        If a value is not a finite number.
    """
    out = {}
    for name, value in values.items():
        array = real_array(value, f"Values of {name}")
        if array.ndim or not np.isfinite(array):
            raise ParameterError(f"The value of {name} is not a finite number", got=repr(value)[:80])
        out[name] = float(array)
    return out


def _least_squares(block: AffineMatrix, columns: IntArray, target: Array) -> Array:
    """
    Return the parameters m for which D m is nearest to a matrix, given the column of each element of D.

    D'D is diagonal for parameters that enter no sum. Only the remaining parameters are solved for jointly.
    """
    n, places = int(columns.max()) + 1, block.rows * block.shape[1] + block.columns
    wanted = target.ravel()
    moment = np.bincount(columns, weights=block.coefs * wanted[places], minlength=n)
    out = np.asarray(moment / np.bincount(columns, weights=block.coefs**2, minlength=n))
    together = np.unique(columns[np.bincount(places)[places] > 1])
    if len(together):
        chosen = np.isin(columns, together)
        rows, row = np.unique(places[chosen], return_inverse=True)
        jacobian = np.zeros((len(rows), len(together)))
        np.add.at(jacobian, (row, np.searchsorted(together, columns[chosen])), block.coefs[chosen])
        out[together] = np.linalg.lstsq(jacobian, wanted[rows], rcond=None)[0]
    return out


_OBSERVATION = ("design", "obs_intercept", "obs_coef")
_EQUATIONS = {
    "observation": (_OBSERVATION, "obs_cov"),
    "state": (("transition", "state_intercept", "state_coef", "state_mean"), "state_cov"),
}
_BEYOND = ("obs_coef", "state_coef", "initial_state", "initial_state_cov")


def coefficients_by_series(layout: ParameterLayout) -> list[int]:
    """
    Return the number of free coefficients that enter the equation of one series only, by series.

    The number is zero if the variance of the series is fixed.
    """
    rows: dict[str, set[int]] = {}
    for key in _OBSERVATION:
        block = layout.blocks[key]
        for row, name in zip(block.rows.tolist(), block.names, strict=True):
            rows.setdefault(name, set()).add(row)
    count = Counter(row for where in rows.values() if len(where) == 1 for row in where)
    cov = layout.blocks["obs_cov"]
    noisy = set(cov.rows[cov.rows == cov.columns].tolist())
    return [count[row] if row in noisy else 0 for row in range(cov.shape[0])]


def most_identified(layout: ParameterLayout, k_states: int) -> int:
    """
    Return an upper bound of the number of identified free parameters.

    A linear system with m states and p outputs has at most 2 m p + p (p + 1) / 2 + p parameters that its
    output identifies, in addition to coefficients of regressors and an initial state.
    """
    p = layout.blocks["obs_cov"].shape[0]
    beyond = len({name for key in _BEYOND for name in layout.blocks[key].names})
    time_varying = any(block.time_varying for block in layout.blocks.values())
    within = len(layout) - beyond
    return beyond + (within if time_varying else min(within, 2 * k_states * p + p * (p + 3) // 2))


def own_columns(block: AffineMatrix, row: int) -> IntArray:
    """Return the columns of a row whose free elements are not shared."""
    uses = Counter(block.names)
    own = np.array([uses[name] == 1 for name in block.names], dtype=bool)
    return np.unique(block.columns[(block.rows == row) & own])


def without_noise(cov: AffineMatrix) -> IntArray:
    """Return the rows of a covariance matrix whose variance is fixed at zero."""
    fixed = cov.fixed if cov.time_varying else cov.fixed[:, :, None]
    zero = np.all(np.einsum("iit->it", fixed) == 0, axis=1)
    zero[cov.rows[cov.rows == cov.columns]] = False
    return np.flatnonzero(zero)
