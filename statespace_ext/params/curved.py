"""Covariance matrices that are arbitrary functions of their parameters, defined by one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..numerics.differences import jacobian, step_sizes
from ..numerics.linear_algebra import Array
from .affine import AffineMatrix, affine_matrix

_SHARE = 1e-3
"""Relative steps of derivatives by differences of fourth order."""


class CovarianceFunction(ABC):
    """
    Base class of your own covariance structures, used in place of a keyword such as "diagonal".

    Vectors are in the order of `parameters`. A subclass may define derivatives and transforms. By default
    derivatives are finite differences and parameters are not transformed.
    """

    @abstractmethod
    def parameters(self, size: int) -> list[str]:
        """Return the parameter names of a matrix with ``size`` rows; the model calls ``"a"`` obs_a."""

    @abstractmethod
    def matrix(self, values: Array, size: int) -> Array:
        """Return the matrix at given values, positive semidefinite for all values from `constrain`."""

    @abstractmethod
    def near(self, target: Array) -> Array:
        """Return start values, at which the matrix is near a given covariance matrix."""

    def __repr__(self) -> str:
        """Return text that identifies the structure; a checkpoint of `fit_many` stores its hash."""
        return f"{type(self).__qualname__}({vars(self)})"

    def derivative(self, values: Array, size: int) -> Array:
        """Return the derivatives of the matrix, (size, size, number of parameters)."""
        return jacobian(lambda at: self.matrix(at, size), values, step_sizes(values, _SHARE), order=4)

    def constrain(self, unconstrained: Array) -> Array:
        """Return values from an unconstrained vector."""
        return unconstrained

    def unconstrain(self, values: Array) -> Array:
        """Return an unconstrained vector that `constrain` maps to values."""
        return values


@dataclass(frozen=True)
class CurvedMatrix(AffineMatrix):
    """
    A covariance matrix defined by a function, with the elements that depend on each free parameter.

    Attributes
    ----------
    function : CovarianceFunction
        The function.
    every : tuple of str
        Names of all parameters of the function.
    held : mapping of str to float
        Values of fixed parameters.
    """

    function: CovarianceFunction
    every: tuple[str, ...]
    held: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, function: CovarianceFunction, size: int, stem: str) -> CurvedMatrix:
        """Return the matrix of a function; ``obs_var.x`` as a stem names a parameter ``obs_a.x``."""
        names = tuple(stem.replace("_var", f"_{name}", 1) for name in function.parameters(size))
        general = np.eye(size) + 0.3 * np.ones((size, size)) / size
        slopes = function.derivative(function.near(general), size)
        place, columns, rows = np.nonzero(np.moveaxis(slopes, -1, 0))
        moved = tuple(names[i] for i in place)
        return cls(np.zeros((size, size)), rows, columns, moved, np.ones(len(moved)), function, names)

    def values_of(self, params: Array) -> Array:
        """Return the arguments of the function from the free parameters, in the order of `param_names`."""
        known = {**self.held, **dict(zip(self.param_names, params, strict=True))}
        return np.array([known[name] for name in self.every])

    @cached_property
    def free(self) -> list[int]:
        """Places of the free parameters among the arguments."""
        return [self.every.index(name) for name in self.param_names]

    def at(self, element_values: Array) -> Array:
        """Return the matrix, given the parameter value behind each element that it moves."""
        first = [self.names.index(name) for name in self.param_names]
        return self.function.matrix(self.values_of(element_values[first]), self.shape[0])

    def tangent(self, params: Array) -> AffineMatrix:
        """Return the affine matrix with the same value and derivatives at the free parameters."""
        values, size = self.values_of(params), self.shape[0]
        slopes = self.function.derivative(values, size)[..., self.free]
        elements = [
            (i, j, self.param_names[place], float(slopes[i, j, place]))
            for i, j, place in np.argwhere(slopes).tolist()
        ]
        return affine_matrix(self.function.matrix(values, size) - slopes @ params, elements)

    def fix(self, values: Mapping[str, float]) -> AffineMatrix:
        """Return the matrix with parameters held at values."""
        held = {**self.held, **{name: values[name] for name in self.param_names if name in values}}
        keep = np.array([name not in held for name in self.names], dtype=bool)
        if not keep.any():
            full = np.array([held[name] for name in self.every])
            return affine_matrix(self.function.matrix(full, self.shape[0]), [])
        return replace(self._kept(keep, self.fixed, self.coefs), held=held)

    def near(self, target: Array) -> Array:
        """Return values of the free parameters at which the matrix is near another."""
        return self.function.near(target)[self.free]

    # -- as a `CovarianceStructure`; where parameters are held fixed there is no transform -----------------

    def constrain(self, unconstrained: Array) -> Array:
        """Return the parameters."""
        return unconstrained if self.held else self.function.constrain(unconstrained)

    def unconstrain(self, params: Array) -> Array:
        """Return an unconstrained vector that `constrain` maps to ``params``."""
        return params if self.held else self.function.unconstrain(params)

    def jacobian(self, unconstrained: Array) -> Array:
        """Return d params / d unconstrained."""
        return jacobian(self.constrain, unconstrained, step_sizes(unconstrained, _SHARE), order=4)

    def estimate(self, target: Array) -> Array | None:
        """Return None: there is no closed form."""
        return None
