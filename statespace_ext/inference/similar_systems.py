r"""
Flat directions of any model with constant matrices, from its system at a parameter vector.

Two systems imply the same distribution of the data if the states of one are :math:`G x_t + g`, where x_t are
the states of the other (Komunjer & Ng 2011, Econometrica 79, 1995-2032). To first order, with
:math:`G = I + E` and W = R Q R',

.. math::

    dZ = -Z E, \quad dd = -Z g, \quad dT = E T - T E, \quad dc = E c + (I - T) g, \quad dW = E W + W E', \quad
    dH = 0, \quad da_1 = E a_1 + g, \quad dP_1 = E P_1 + P_1 E'.

A direction of the parameters is flat if it changes the matrices in this way, or does not change them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import scipy.linalg

from ..engine.system import MATRICES, System, axes_of
from ..exceptions import StateSpaceError
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import NOT_HERE, Array, quiet
from ..params.affine import IntArray
from ..params.layout import ParameterLayout

_SHARE = 1e-2
"""Step of differences in complete-data standard errors, and largest relative change of the matrices."""
_SHORTER = 16
"""Number of trial steps, each a tenth of the step before."""
_LONGER = 16
"""Number of trial steps after a small change, each ten times the step before."""
_SEEN = 1e-4
"""Relative change of the matrices for which rounding errors of differences are below the tolerances."""
_NOTHING = 1e-11
"""A relative change of the matrices below this size is rounding error."""
_NOISE = 1e-9
"""A share of a change in a flat combination below this size is rounding error."""
_RANK_TOLERANCE = 1e-7
"""Relative singular value below which a value from differences counts as zero."""


def flat_by_system(model: Any, params: Array, free: IntArray, errors: Array) -> tuple[Array, Array] | None:
    """
    Return flat directions, one per row, in units of steps of the free parameters, and these steps.

    The matrices must be constant. The result is None if a system does not exist at nearby parameters.
    """
    system = model.initialized_system(params)
    units = _units(model.endog, system)
    whole = float(np.linalg.norm(_vector(_scaled(system, units))))
    found = [_change(model, params, place, _SHARE * errors[place], (units, whole)) for place in free]
    changes = [each for each in found if each is not None]
    if len(changes) < len(free):
        return None
    null = _null(np.array([change for change, _ in changes]), _coordinates(_scaled(system, units)), whole)
    return null, np.array([step for _, step in changes])


def varies(system: System) -> bool:
    """Return whether matrices vary over time, or the start is one that no other system describes."""
    over_time = any(getattr(system, name).ndim > axes_of(name) for name in MATRICES)
    return over_time or system.initialization is not None


def series_sizes(data: Array | None) -> Array:
    """Return the standard deviation of each series, or one if it is zero; empty without series."""
    seen = [] if data is None else [series[~np.isnan(series)] for series in data.T]
    size = np.array([np.std(series) if len(series) else 0.0 for series in seen])
    return np.where(size > 0, size, 1.0)


def block_sizes(layout: ParameterLayout, params: Array) -> Array:
    """Return, for each parameter, the largest parameter of its block."""
    out = np.zeros(len(params))
    for block in layout.blocks.values():
        places = layout.positions(list(block.names))
        out[places] = np.maximum(out[places], np.max(np.abs(params[places]), initial=0.0))
    return out


Step = tuple[Array, float]
"""Change of the matrices, and step of a parameter."""


def _change(model: Any, params: Array, place: int, step: float, scale: tuple[Units, float]) -> Step | None:
    """
    Return the first-order change of the matrices by a step, and the step.

    The change is a central difference with one extrapolation. A step is shortened if the system does not
    exist or changes too much, since the initial step of a flat parameter is long. It is lengthened if the
    change is small, as for a parameter near zero, since rounding errors would then matter.
    """
    units, whole = scale

    def vector(at: Array) -> Array:
        """Return the scaled matrices as a vector."""
        return _vector(_scaled(model.initialized_system(at), units))

    def found(length: float) -> Step | None:
        """Return the change by a step, or None if it is too large or a system does not exist."""
        with quiet(), suppress(StateSpaceError, *NOT_HERE):
            steps = np.full(len(params), length / 2.0)
            change = length * jacobian(vector, params, steps, 4, [place])[..., 0]
            if np.linalg.norm(change) <= _SHARE * whole:
                return change, float(length)
        return None

    steps = (found(step / 10.0**i) for i in range(_SHORTER))
    best = next((each for each in steps if each is not None), None)
    longest = float(np.max(np.abs(params)))
    return None if best is None else _lengthened(best, found, whole, longest)


def _lengthened(best: Step, found: Callable[[float], Step | None], whole: float, longest: float) -> Step:
    """
    Return the change by a step that is long enough to exceed rounding errors.

    A longer step is used only if the change is proportional to it. Steps do not exceed the largest parameter,
    since rounding errors also grow with the step.
    """
    last, trusted = best, best
    for _ in range(_LONGER):
        seen = np.linalg.norm(last[0]) >= _SEEN * whole
        longer = None if seen or 10.0 * last[1] > longest else found(10.0 * last[1])
        if longer is None:
            break
        size, away = np.linalg.norm(longer[0]), np.linalg.norm(longer[0] - 10.0 * last[0])
        if size > _NOTHING * whole and away <= 0.1 * size:
            trusted = longer
        last = longer
    return trusted


def _null(changes: Array, coordinates: Array, whole: float) -> Array:
    """Return the combinations of parameter changes that are equivalent to changes of coordinates."""
    rows = np.concatenate([changes, coordinates])
    size = np.linalg.norm(rows, axis=1)
    nothing = size <= _NOTHING * whole
    scale = 1.0 / np.where(nothing, 1.0, size)
    null = scipy.linalg.null_space(np.where(nothing, 0.0, rows.T * scale), rcond=_RANK_TOLERANCE).T
    null = (np.where(np.abs(null) > _NOISE, null, 0.0) * scale)[:, : len(changes)]
    sizes = np.linalg.norm(null, axis=1)
    return np.asarray(null[sizes > _RANK_TOLERANCE * np.max(sizes, initial=0.0)])


Units = tuple[Array, Array, dict[str, float]]
"""Scales of the series, of the states (which change a series by its scale) and of covariance matrices."""


def _units(endog: Array, system: System) -> Units:
    series = series_sizes(endog)
    largest = np.max(np.abs(system.design) / series[:, None], axis=0)
    usual = np.max(largest, initial=0.0) or 1.0
    states = 1.0 / np.where(largest > 1e-8 * usual, largest, usual)
    plain = _scaled(system, (series, states, {}))
    covs = {"W", "H", "P"} & plain.keys()
    return series, states, {key: float(np.max(np.abs(plain[key]), initial=0.0)) or 1.0 for key in covs}


def _scaled(system: System, units: Units) -> dict[str, Array]:
    """Return the matrices in these units, with the start unless the other matrices determine it."""
    y, x, sizes = units
    out = {
        "Z": system.design * x / y[:, None],
        "d": system.obs_intercept / y,
        "T": system.transition * x / x[:, None],
        "c": system.state_intercept / x,
        "W": system.selection @ system.state_cov @ system.selection.T / np.outer(x, x),
        "H": system.obs_cov / np.outer(y, y),
    }
    if system.initialization_type == "known":
        out |= {"a": system.initial_state / x, "P": system.initial_state_cov / np.outer(x, x)}
    return {key: value / sizes.get(key, 1.0) for key, value in out.items()}


def _vector(matrices: dict[str, Array]) -> Array:
    return np.concatenate([np.ravel(value) for value in matrices.values()])


def _coordinates(at: dict[str, Array]) -> Array:
    """Return the changes of the matrices by E and g, one row each."""
    k, (Z, T, W) = len(at["T"]), (at[key] for key in "ZTW")
    n = k * k + k
    E, g = np.eye(n, k * k).reshape(n, k, k), np.eye(n, k, -k * k)
    transposed = np.swapaxes(E, 1, 2)
    moved = {
        "Z": -Z @ E,
        "d": -g @ Z.T,
        "T": E @ T - T @ E,
        "c": E @ at["c"] + g - g @ T.T,
        "W": E @ W + W @ transposed,
        "H": np.zeros((n, *at["H"].shape)),
    }
    if "a" in at:
        moved |= {"a": E @ at["a"] + g, "P": E @ at["P"] + at["P"] @ transposed}
    return np.concatenate([value.reshape(n, -1) for value in moved.values()], axis=1)
