"""Numerical derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from .linear_algebra import NOT_HERE, Array

T = TypeVar("T")


def step_sizes(params: Array, relative: float = 1e-5) -> Array:
    """Return steps for central differences of a gradient."""
    return relative * np.maximum(np.abs(params), 1e-4 * np.max(np.abs(params), initial=1.0))


def jacobian(
    function: Callable[[Array], Array | float],
    x: Array,
    steps: Array,
    order: int = 2,
    places: Sequence[int] | Array | None = None,
    one_sided: bool = False,
) -> Array:
    """
    Return the derivatives of a function by differences, central by default, the arguments on the last axis.

    Parameters
    ----------
    function : callable
        From a vector to a number or an array.
    x : ndarray
        Where.
    steps : ndarray
        Steps, one for each element of ``x``.
    order : {1, 2, 4}
        Order of the error. Order four evaluates the function four times instead of twice. Order one evaluates
        it once, in addition to ``x``, on the side where the function is finite.
    places : ndarray of int, optional
        The elements to differentiate by; all of them by default.
    one_sided : bool
        Whether to take the difference from ``x`` itself where the function is not finite on one side; with
        order two.
    """
    here = np.array(function(np.array(x, dtype=float))) if order == 1 else None
    every = range(len(x)) if places is None else places

    def along(i: int) -> Callable[[float], Array]:
        """Return the function of a move of one element."""
        return lambda move: np.array(function(_moved(x, (i, move))))

    columns = [_slope(along(i), steps[i], order, here, one_sided) for i in every]
    return np.stack(columns, axis=-1) if columns else np.empty((*np.shape(function(x)), 0))


def _moved(x: Array, *moves: tuple[int, float]) -> Array:
    """Return a copy of a vector with some elements moved."""
    out = np.array(x, dtype=float)
    for place, move in moves:
        out[place] += move
    return out


def _slope(at: Callable[[float], Array], h: float, order: int, here: Array | None, one_sided: bool) -> Array:
    """Return the derivative along one element; see `jacobian`."""
    ahead = at(h)
    if here is not None:
        return (ahead - here) / h if np.all(np.isfinite(ahead)) else (here - at(-h)) / h
    behind, width = at(-h), 2.0 * h
    sides = [bool(np.all(np.isfinite(side))) for side in (ahead, behind)]
    if one_sided and sides[0] != sides[1]:
        ahead, behind, width = (ahead, at(0.0), h) if sides[0] else (at(0.0), behind, h)
    change = ahead - behind
    if order == 4:
        change = (8.0 * change - (at(2.0 * h) - at(-2.0 * h))) / 6.0
    return np.asarray(change / width)


def central_differences(function: Callable[[Array], float], params: Array, relative: float = 1e-3) -> Array:
    """Return the gradient of a function by central differences of fourth order."""
    return jacobian(function, params, 0.5 * step_sizes(params, relative), order=4)


def second_differences(
    function: Callable[[Array], float | Array], x: Array, steps: Array, places: Array
) -> Array:
    """
    Return the second derivatives of a function by some arguments, from its values alone.

    Parameters
    ----------
    function : callable
        From a vector to a number.
    x, steps : ndarray
        Where, and steps.
    places : ndarray of int
        The elements to differentiate by.
    """
    out = np.zeros((len(places), len(places)))
    base = float(function(x))

    def at(*moves: tuple[int, float]) -> float:
        """Return the function where some elements have moved."""
        return float(function(_moved(x, *moves)))

    for a, i in enumerate(places):
        h = steps[i]
        out[a, a] = (-at((i, 2 * h)) + 16 * at((i, h)) - 30 * base + 16 * at((i, -h)) - at((i, -2 * h))) / (
            12 * h * h
        )
        for b, j in enumerate(places[:a]):
            g = steps[j]
            cross = at((i, h), (j, g)) - at((i, h), (j, -g)) - at((i, -h), (j, g)) + at((i, -h), (j, -g))
            out[a, b] = out[b, a] = cross / (4 * h * g)
    return out


def nan_outside(function: Callable[[Array], T], shape: tuple[int, ...] = ()) -> Callable[[Array], T | Array]:
    """Return a function, with values of some shape, that is NaN where another does not exist."""

    def inside(x: Array) -> T | Array:
        """Return the value, or NaN."""
        try:
            return function(x)
        except NOT_HERE:
            return np.full(shape, np.nan)

    return inside
