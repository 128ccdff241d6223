"""From the arguments of `LGSSM` to the layout of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import SpecificationError
from ..numerics.linear_algebra import STABILITY_LIMIT, companion, spectral_radius
from ..params.affine import AffineMatrix, side_by_side
from ..params.layout import ParameterLayout
from ..params.parse import (
    COVARIANCE_KEYWORDS,
    COVARIANCES,
    MATRIX_KEYWORDS,
    covariance_namer,
    matrix_namer,
    parse_covariance,
    parse_matrix,
    unknown_keyword,
)

STARTS = ("stationary", "known", "estimated", "diffuse", "approximate_diffuse")
APPROXIMATE_DIFFUSE_VARIANCE = 1e6
_MOST_STATES = 10_000
IDENTIFICATIONS = ("triangular", "unit")
MARSS_ARGUMENTS = {
    "Z": "design", "A": "obs_intercept", "D": "obs_coef", "d": "exog", "R": "obs_cov", "B": "transition",
    "U": "state_intercept", "C": "state_coef", "c": "state_exog", "Q": "state_cov", "x0": "initial_state",
    "V0": "initial_state_cov",
}  # fmt: skip
"""MARSS's letters of the arguments."""


@dataclass(frozen=True)
class Labels:
    """Names of series, factors, states (factors and their lags) and regressors."""

    endog: list[str]
    factors: list[str]
    states: list[str]
    exog: list[str]
    state_exog: list[str]


def lagged_names(factors: Sequence[str], lags: int) -> list[str]:
    """Return factor names, then the names of their lags."""
    return [name if lag == 0 else f"{name}.L{lag}" for lag in range(lags) for name in factors]


def transition_matrix(value: object, labels: Labels, lags: int, nobs: int) -> AffineMatrix:
    """Parse ``transition``: one value (an array has the lags side by side), or a list with one per lag."""
    k = len(labels.factors)
    namers = [matrix_namer(f"L{lag + 1}", labels.factors, labels.factors) for lag in range(lags)]
    if isinstance(value, str) and (value in MATRIX_KEYWORDS or k * lags > 1):
        per_lag: Sequence[Any] = [value] * lags
    elif (
        isinstance(value, (list, tuple)) and len(value) == lags and all(_is_block(each, k) for each in value)
    ):
        per_lag = value
    else:
        return parse_matrix(value, (k, k * lags), "transition", lambda i, j: namers[j // k](i, j % k), nobs)
    parsed = [
        parse_matrix(each, (k, k), "transition", namer, nobs)
        for each, namer in zip(per_lag, namers, strict=True)
    ]
    return side_by_side(parsed)


def _is_block(item: Any, k: int) -> bool:
    if isinstance(item, str):
        return item in MATRIX_KEYWORDS or k == 1
    try:
        shape = (
            np.shape(np.asarray(item, dtype=object)) if isinstance(item, (list, tuple)) else np.shape(item)
        )
    except ValueError:
        return False
    return shape[:2] == (k, k) or (k == 1 and shape == ())


def triangular_design(n_endog: int, k_factors: int) -> np.ndarray:
    """Return a design that is free on and below the diagonal, zero above it."""
    return np.where(np.tri(n_endog, k_factors, dtype=bool), np.nan, 0.0)


def unit_design(n_endog: int, k_factors: int) -> np.ndarray:
    """Return a design whose first rows are the identity, free below."""
    out = np.full((n_endog, k_factors), np.nan)
    out[:k_factors] = np.eye(k_factors)
    return out


def normalised(given: dict[str, object], n_endog: int, k_factors: int) -> dict[str, object]:
    """
    Return the arguments with ``design`` and ``state_cov`` in the normalisation asked for.

    Raises
    ------
    SpecificationError
        If the normalisation is unknown or contradicts another argument.
    """
    identification = given["identification"]
    if identification is None:
        return given
    if not isinstance(identification, str) or identification not in IDENTIFICATIONS:
        raise SpecificationError(
            "identification is unknown",
            got=repr(identification),
            expected=f"None or one of {IDENTIFICATIONS}",
        )
    if n_endog < k_factors:
        raise SpecificationError(
            f'identification="{identification}" needs at least as many series as factors',
            got=f"{n_endog} series, {k_factors} factors",
        )
    wanted = {"triangular": ("free", "unstructured"), "unit": ("free", None)}[identification]
    for key, default in zip(("design", "state_cov"), wanted, strict=True):
        value = given[key]
        if default is not None and not (isinstance(value, str) and value == default):
            raise SpecificationError(
                f'identification="{identification}" sets {key} itself',
                got=f"{key}={value!r}",
                remedy=f"Leave {key} at its default, or restrict it without `identification`.",
            )
    if identification == "triangular":
        return {**given, "design": triangular_design(n_endog, k_factors), "state_cov": "identity"}
    return {**given, "design": unit_design(n_endog, k_factors)}


def build_layout(given: dict[str, object], labels: Labels, lags: int, nobs: int) -> ParameterLayout:
    """
    Return the layout of all blocks.

    Raises
    ------
    SpecificationError
        If an argument cannot be parsed, or arguments contradict each other.
    """
    given = normalised(given, len(labels.endog), len(labels.factors))
    _check_keywords(given)
    for key, source, names in (
        ("obs_coef", "exog", labels.exog),
        ("state_coef", "state_exog", labels.state_exog),
    ):
        if not names and not (isinstance(given[key], str) and given[key] == "free"):
            raise SpecificationError(
                f"{key} is given without {source}", got=given[key], remedy=f"Pass {source} too."
            )
    blocks = {
        **_coefficient_blocks(given, labels, lags, nobs),
        "obs_cov": parse_covariance(
            given["obs_cov"], len(labels.endog), "obs_cov", covariance_namer("obs", labels.endog), nobs
        ),
        "state_cov": parse_covariance(
            given["state_cov"],
            len(labels.factors),
            "state_cov",
            covariance_namer("state", labels.factors),
            nobs,
        ),
        **_initial_blocks(given, labels),
    }
    check_start(given["initialization"], blocks)
    _check_names(given, blocks)
    return ParameterLayout(blocks, COVARIANCES)


def _check_keywords(given: dict[str, object]) -> None:
    """Refuse a string that is no keyword, where a 1 x 1 matrix would take it for the name of a parameter."""
    for key, value in given.items():
        known = (*COVARIANCE_KEYWORDS, "free") if key in COVARIANCES else MATRIX_KEYWORDS
        if isinstance(value, str) and key not in ("initialization", "identification") and value not in known:
            raise unknown_keyword(key, value, known)


def _check_names(given: dict[str, object], blocks: dict[str, AffineMatrix]) -> None:
    """Refuse names that would make one parameter of two that were not meant to be shared."""
    places: dict[str, set[tuple[str, int, int]]] = {}
    for key, block in blocks.items():
        for i, j, name in zip(block.rows.tolist(), block.columns.tolist(), block.names, strict=True):
            place = (key, max(i, j), min(i, j)) if key in COVARIANCES else (key, i, j)
            places.setdefault(name, set()).add(place)
    for name, where in places.items():
        if "." in name and len(where) > 1:
            raise SpecificationError(
                "Two elements have the same name",
                got=name,
                expected="series and regressors whose joined names differ",
                remedy="Rename columns that have dots or arrows in their names.",
            )
    for key in COVARIANCES:
        if not (isinstance(given[key], str) and given[key] in ("scalar", "equicorrelated")):
            continue
        taken = [name for name in blocks[key].param_names if {place[0] for place in places[name]} != {key}]
        if taken:
            raise SpecificationError(
                f"A named parameter has the name that {key}={given[key]!r} gives",
                got=repr(taken[0]),
                expected="another name",
                remedy=f"Rename it, or write {key} as nested lists to share the parameter.",
            )


def _coefficient_blocks(
    given: dict[str, object], labels: Labels, lags: int, nobs: int
) -> dict[str, AffineMatrix]:
    endog, factors = labels.endog, labels.factors

    def block(
        key: str, rows: list[str], columns: list[str] | None = None, stem: str = "", varies: bool = False
    ) -> AffineMatrix:
        shape = len(rows), 1 if columns is None else len(columns)
        value = given[key] if shape[1] else np.zeros(shape)
        namer = matrix_namer(stem or key, rows, columns)
        return parse_matrix(value, shape, key, namer, nobs if varies else None)

    return {
        "design": block("design", endog, factors, "loading", varies=True),
        "obs_intercept": block("obs_intercept", endog, varies=True),
        "obs_coef": block("obs_coef", endog, labels.exog),
        "transition": transition_matrix(given["transition"], labels, lags, nobs),
        "state_intercept": block("state_intercept", factors, varies=True),
        "state_mean": block("state_mean", factors),
        "state_coef": block("state_coef", factors, labels.state_exog),
    }


def _initial_blocks(given: dict[str, object], labels: Labels) -> dict[str, AffineMatrix]:
    start, size = given["initialization"], len(labels.states)
    if not isinstance(start, str) or start not in STARTS:
        raise SpecificationError("initialization is unknown", got=repr(start), expected=f"one of {STARTS}")
    state, cov = _initial_arguments(start, given["initial_state"], given["initial_state_cov"], size)
    blocks = {
        "initial_state": parse_matrix(
            state, (size, 1), "initial_state", matrix_namer("initial_state", labels.states)
        ),
        "initial_state_cov": parse_covariance(
            cov, size, "initial_state_cov", covariance_namer("initial", labels.states)
        ),
    }
    free = [key for key, block in blocks.items() if not block.is_fixed]
    if start == "known" and free:
        raise SpecificationError(
            f'initialization="known" has free elements in {" and ".join(free)}',
            remedy='Use initialization="estimated".',
        )
    if start == "estimated" and not free:
        raise SpecificationError(
            'initialization="estimated" has nothing to estimate', remedy='Use initialization="known".'
        )
    return blocks


def _initial_arguments(start: str, state: object, cov: object, size: int) -> tuple[object, object]:
    """Return the specifications of a_1 and P_1, those that were left out included."""
    if start == "estimated":
        return "free" if state is None else state, "zero" if cov is None else cov
    if start == "known":
        if state is None or cov is None:
            absent = "initial_state" if state is None else "initial_state_cov"
            raise SpecificationError(
                'initialization="known" needs initial_state and initial_state_cov', got=f"no {absent}"
            )
        return state, cov
    if state is not None or cov is not None:
        raise SpecificationError(
            f'initial_state and initial_state_cov do not go with initialization="{start}"',
            remedy='Use initialization="known" or "estimated".',
        )
    known = start == "approximate_diffuse"
    return "zero", APPROXIMATE_DIFFUSE_VARIANCE * np.eye(size) if known else "zero"


def check_size(k_factors: int, lags: int) -> None:
    """Refuse a state vector for whose covariances no machine has the memory."""
    if k_factors * lags > _MOST_STATES:
        raise SpecificationError(
            "The state vector is too long",
            got=f"{k_factors} factors x {lags} lags",
            expected=f"at most {_MOST_STATES} states",
        )


def check_start(start: object, blocks: Mapping[str, AffineMatrix]) -> None:
    """Refuse starts that the other arguments contradict, or that leave the likelihood unbounded."""
    design, transition = blocks["design"], blocks["transition"]
    if start == "stationary" and (transition.time_varying or blocks["state_cov"].time_varying):
        raise SpecificationError(
            "A stationary start needs a transition and a state_cov that are constant over time",
            remedy='Use initialization="known", "estimated" or "diffuse".',
        )
    if start == "stationary" and transition.is_fixed:
        radius = spectral_radius(companion(transition.fixed))
        if radius >= STABILITY_LIMIT:
            raise SpecificationError(
                "The fixed transition is not stationary",
                got=f"largest root {radius:.6g}",
                expected="roots inside the unit circle",
                remedy='Use initialization="diffuse", "estimated" or "known".',
            )
    if start != "diffuse":
        return
    reason = None
    if not design.is_fixed:
        reason = "design"
    elif not transition.is_fixed:
        fixed = design.fixed if design.fixed.ndim == 2 else design.fixed[:, :, 0]
        if np.linalg.matrix_rank(fixed) < transition.shape[1]:
            reason = "transition"
    if reason is not None:
        raise SpecificationError(
            f"The likelihood is unbounded: free elements of {reason} scale states with a diffuse start",
            remedy=f'Fix {reason}, or use initialization="stationary", "estimated" or "approximate_diffuse".',
        )
