"""Conversion of the arguments of `LGSSM` to the layout of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..exceptions import SpecificationError, StateSpaceError, UnsupportedError, shown
from ..numerics.linear_algebra import STABILITY_LIMIT, at_period, companion, spectral_radius
from ..params.affine import AffineMatrix, IntArray, Regimes, affine_matrix, side_by_side
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

INITIALIZATIONS = ("stationary", "known", "estimated", "diffuse", "approximate_diffuse")
APPROXIMATE_DIFFUSE_VARIANCE = 1e6
_MOST_STATES = 10_000
BY_FACTOR = ("stationary", "known", "diffuse", "approximate_diffuse")
"""Initializations that may differ between factors."""
IDENTIFICATIONS = ("triangular", "unit")
TIMED = ("design", "obs_intercept", "transition", "state_intercept", "obs_cov", "state_cov")
"""The arguments that may have an axis over time."""
MARSS_ARGUMENTS = {
    "Z": "design", "A": "obs_intercept", "D": "obs_coef", "d": "exog", "R": "obs_cov", "B": "transition",
    "U": "state_intercept", "C": "state_coef", "c": "state_exog", "Q": "state_cov", "x0": "initial_state",
    "V0": "initial_state_cov",
}  # fmt: skip
"""The names of the arguments in the notation of MARSS."""


@dataclass(frozen=True)
class Labels:
    """Names of the series, factors, states (factors and their lags) and regressors."""

    endog: list[str]
    factors: list[str]
    states: list[str]
    exog: list[str]
    state_exog: list[str]


def names_of_factors(value: object, k_factors: int) -> list[str]:
    """
    Return the names of the factors, by default f1, f2, ...

    Raises
    ------
    SpecificationError
        If the number of names differs from the number of factors, or names repeat.
    """
    if value is None:
        return [f"f{i + 1}" for i in range(k_factors)]
    names = list(value) if isinstance(value, (list, tuple)) else []
    strings = all(isinstance(name, str) and name for name in names)
    if not strings or not len(names) == len(set(names)) == k_factors:
        raise SpecificationError(
            "factor_names must be different strings", got=repr(value), expected=f"{k_factors} strings"
        )
    return names


def lagged_names(factors: Sequence[str], lags: int) -> list[str]:
    """Return the names of the factors, followed by those of their lags."""
    return [name if lag == 0 else f"{name}.L{lag}" for lag in range(lags) for name in factors]


def transition_matrix(value: Any, labels: Labels, lags: int, nobs: int) -> AffineMatrix:
    """Parse ``transition``: one value for all lags (arrays side by side), or a list with one per lag."""
    k = len(labels.factors)
    namers = [matrix_namer(f"L{lag + 1}", labels.factors, labels.factors) for lag in range(lags)]
    by_lag = [value] * lags if isinstance(value, str) else value
    listed = isinstance(by_lag, (list, tuple)) and len(by_lag) == lags
    if not listed or not all(_is_block(each, k) for each in by_lag):
        return parse_matrix(value, (k, k * lags), "transition", lambda i, j: namers[j // k](i, j % k), nobs)
    pairs = zip(by_lag, namers, strict=True)
    return side_by_side([parse_matrix(each, (k, k), "transition", namer, nobs) for each, namer in pairs])


def _is_block(item: object, k: int) -> bool:
    if isinstance(item, str):
        return item in MATRIX_KEYWORDS or k == 1
    return isinstance(item, Regimes) or _shape(item)[:2] == (k, k) or (k == 1 and _shape(item) == ())


def _shape(value: object) -> tuple[int, ...]:
    """Return the shape of an array or of nested lists; that of ragged ones is wrong or empty."""
    try:
        return np.shape(np.asarray(value, dtype=object))
    except ValueError:
        return ()  # `parse_matrix` raises the error


def normalised(given: dict[str, object], n_endog: int, k_factors: int) -> dict[str, object]:
    """
    Return the arguments with ``design`` and ``state_cov`` in the requested normalisation.

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
    free, defaults = np.full((n_endog, k_factors), np.nan), {"design": "free", "state_cov": "unstructured"}
    own: dict[str, object] = {"design": np.concatenate([np.eye(k_factors), free[k_factors:]])}
    if identification == "triangular":
        own = {"design": np.tril(free), "state_cov": "identity"}
    for key in own:
        value = given[key]
        if not (isinstance(value, str) and value == defaults[key]):
            raise SpecificationError(
                f'identification="{identification}" sets {key} itself',
                got=f"{key}={value!r}",
                remedy=f"Leave {key} at its default, or restrict it without `identification`.",
            )
    return {**given, **own}


def loads_on_lags(design: object, k_factors: int, lags: int) -> bool:
    """Return whether a design also has columns for the lags of the factors, (p, k * L)."""
    wide = isinstance(design, (list, tuple, np.ndarray)) and _shape(design)[1:2] == (k_factors * lags,)
    return lags > 1 and wide


def _lags_as_factors(blocks: dict[str, AffineMatrix], lags: int) -> dict[str, AffineMatrix]:
    """Return the blocks with the lags as separate factors: fixed rows of the transition, without noise."""
    _require_no_mean(blocks["state_mean"], "a design on lags", UnsupportedError)
    size = blocks["transition"].shape[1]
    k = size // lags
    out = dict(blocks)
    for key in ("transition", "state_intercept", "state_mean", "state_coef", "state_cov"):
        fixed = blocks[key].fixed
        more = [(0, size - k), (0, size - k if key == "state_cov" else 0), (0, 0)][: fixed.ndim]
        fixed = np.pad(fixed, more)
        if key == "transition":
            fixed.T[..., : size - k, k:] = np.eye(size - k)  # with and without an axis over time
        out[key] = replace(blocks[key], fixed=fixed)
    return out


def layout_of(blocks: dict[str, AffineMatrix], labels: Labels, lags: int) -> ParameterLayout:
    """Return the layout of all blocks."""
    if blocks["design"].shape[1] > len(labels.factors):
        blocks = _lags_as_factors(blocks, lags)
    return ParameterLayout(blocks, COVARIANCES, lean=frozenset({"obs_cov"}))


def declared_blocks(
    given: dict[str, object], labels: Labels, lags: int, nobs: int
) -> dict[str, AffineMatrix]:
    """
    Return all blocks as they are declared.

    Raises
    ------
    SpecificationError
        If an argument cannot be parsed, or arguments contradict each other.
    """
    given = normalised(given, len(labels.endog), len(labels.factors))
    _check_keywords(given)
    for key, source in (("obs_coef", "exog"), ("state_coef", "state_exog")):
        if not getattr(labels, source) and not (isinstance(given[key], str) and given[key] == "free"):
            raise SpecificationError(
                f"{key} needs {source}, which is missing", got=given[key], remedy=f"Pass {source} as well."
            )
    blocks = {
        **_coefficient_blocks(given, labels, lags, nobs),
        "obs_cov": _covariance(given, "obs_cov", labels.endog, nobs),
        "state_cov": _covariance(given, "state_cov", labels.factors, nobs),
        **_initial_blocks(given, labels),
    }
    check_initialization(given["initialization"], blocks)
    _check_names(given, blocks)
    if blocks["transition"].moves:
        beside = "free elements of transition that vary over time, since such factors have no constant mean"
        _require_no_mean(blocks["state_mean"], beside, SpecificationError)
    return blocks


def _covariance(
    given: Mapping[str, object], key: str, names: list[str], nobs: int | None = None
) -> AffineMatrix:
    namer = covariance_namer(key.partition("_")[0], names)
    return parse_covariance(given[key], len(names), key, namer, nobs)


def _require_no_mean(mean: AffineMatrix, beside: str, error: type[StateSpaceError]) -> None:
    """Raise an error if factors have a mean beside a specification that excludes it."""
    if not mean.is_fixed or np.any(mean.fixed):
        raise error(
            f"state_mean cannot be combined with {beside}",
            expected='"zero"',
            remedy="Use state_intercept, or free elements of obs_intercept.",
        )


_NO_MATRICES = ("initialization", "identification", "factor_names")


def _check_keywords(given: dict[str, object]) -> None:
    """Reject a string that is not a keyword. In a 1 x 1 matrix it would become a parameter name."""
    for key, value in given.items():
        known = COVARIANCE_KEYWORDS if key in COVARIANCES else MATRIX_KEYWORDS
        if isinstance(value, str) and key not in _NO_MATRICES and value not in known:
            raise unknown_keyword(key, value, known)


def _places(blocks: dict[str, AffineMatrix]) -> dict[str, set[tuple[str, int, int]]]:
    """Return the elements that each name stands for; reject columns whose joined names are the same."""
    places: dict[str, set[tuple[str, int, int]]] = {}
    for key, block in blocks.items():
        for i, j, name in zip(block.rows.tolist(), block.columns.tolist(), block.names, strict=True):
            place = (key, max(i, j), min(i, j)) if key in COVARIANCES else (key, i, j)
            places.setdefault(name, set()).add(place)
    joined = [name for name, where in places.items() if "." in name and len(where) > 1]
    if joined:
        raise SpecificationError(
            "Two elements have the same name",
            got=joined[0],
            expected="series and regressors whose joined names differ",
            remedy="Rename columns that have dots or arrows in their names.",
        )
    return places


def _check_names(given: dict[str, object], blocks: dict[str, AffineMatrix]) -> None:
    """Reject names that would merge two parameters unintentionally."""
    places = _places(blocks)
    for key in COVARIANCES:
        shares = isinstance(given[key], str) and given[key] in ("scalar", "equicorrelated")
        own = blocks[key].param_names if shares else []
        taken = [name for name in own if {place[0] for place in places[name]} != {key}]
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
    columns = labels.states if loads_on_lags(given["design"], len(factors), lags) else factors

    def _block(key: str, rows: list[str], columns: list[str] | None = None, stem: str = "") -> AffineMatrix:
        shape = len(rows), 1 if columns is None else len(columns)
        value = given[key] if shape[1] else np.zeros(shape)
        namer = matrix_namer(stem or key, rows, columns)
        return parse_matrix(value, shape, key, namer, nobs if key in TIMED else None)

    return {
        "design": _block("design", endog, columns, "loading"),
        "obs_intercept": _block("obs_intercept", endog),
        "obs_coef": _block("obs_coef", endog, labels.exog),
        "transition": transition_matrix(given["transition"], labels, lags, nobs),
        "state_intercept": _block("state_intercept", factors),
        "state_mean": _block("state_mean", factors),
        "state_coef": _block("state_coef", factors, labels.state_exog),
    }


def _initial_blocks(given: dict[str, object], labels: Labels) -> dict[str, AffineMatrix]:
    initialization, names = given["initialization"], labels.states
    estimated = initialization == "estimated"
    kinds = kinds_of(initialization, len(names))
    defaults = {"initial_state": "free" if estimated else "zero", "initial_state_cov": "zero"}
    _check_initial_arguments(given, kinds)
    values = {key: default if given[key] is None else given[key] for key, default in defaults.items()}
    namer = matrix_namer("initial_state", names)
    blocks = {
        "initial_state": parse_matrix(values["initial_state"], (len(names), 1), "initial_state", namer),
        "initial_state_cov": _covariance(values, "initial_state_cov", names),
    }
    free = [key for key, block in blocks.items() if not block.is_fixed]
    if estimated != bool(free):
        what = f"free elements in {' and '.join(free)}" if free else "nothing to estimate"
        other = "estimated" if free else "known"
        remedy = f'Use initialization="{other}".'
        raise SpecificationError(f"initialization={initialization!r} has {what}", remedy=remedy)
    return blocks if estimated else _fixed_moments(kinds, blocks)


def kinds_of(initialization: object, k_states: int) -> np.ndarray:
    """Return the kind of initialization of each state; that of a factor also applies to its lags."""
    kinds = np.atleast_1d(np.asarray(initialization, dtype=str))
    return np.tile(kinds, k_states // len(kinds))


def initialization_of(value: Any, k_factors: int) -> str | tuple[str, ...]:
    """
    Return the initialization of all factors, or a tuple with one per factor if they differ.

    Raises
    ------
    SpecificationError
        If an initialization is unknown, or a list does not have one per factor.
    """
    if isinstance(value, str) and value in INITIALIZATIONS:
        return value
    listed = isinstance(value, (list, tuple))
    if listed and all(isinstance(each, str) and each in BY_FACTOR for each in value):
        if len(value) != k_factors:
            raise SpecificationError(
                "initialization has the wrong length", got=len(value), expected=f"{k_factors}, one per factor"
            )
        return value[0] if len(set(value)) == 1 else tuple(value)
    raise SpecificationError(
        "initialization is unknown",
        got=repr(value),
        expected=f"one of {INITIALIZATIONS}, or a list with one of {BY_FACTOR} per factor",
    )


def _fixed_moments(kinds: np.ndarray, blocks: dict[str, AffineMatrix]) -> dict[str, AffineMatrix]:
    """Return a_1 and P_1 by state: given moments for "known", variance 1e6 for "approximate_diffuse"."""
    mean, cov = blocks["initial_state"].fixed, blocks["initial_state_cov"].fixed
    others = kinds != "known"
    if np.any(mean[others]) or np.any(cov[others]):
        raise SpecificationError(
            'initial_state or initial_state_cov must be zero for a state whose initialization is not "known"',
            got=f"starts {shown(kinds)}",
            remedy='Use "known" for these states, or put zeros there.',
        )
    vague = np.where(kinds == "approximate_diffuse", APPROXIMATE_DIFFUSE_VARIANCE, 0.0)
    return {**blocks, "initial_state_cov": affine_matrix(cov + np.diag(vague), [])}


def _check_initial_arguments(given: dict[str, object], kinds: np.ndarray) -> None:
    """Reject an initial state or covariance that is missing, or that the initialization does not use."""
    initialization = given["initialization"]
    missing = [key for key in ("initial_state", "initial_state_cov") if given[key] is None]
    if missing and "known" in kinds:
        raise SpecificationError(
            f"initialization={initialization!r} needs initial_state and initial_state_cov",
            got=f"no {missing[0]}",
        )
    if len(missing) < 2 and initialization in ("stationary", "diffuse", "approximate_diffuse"):
        raise SpecificationError(
            f'initial_state and initial_state_cov cannot be combined with initialization="{initialization}"',
            remedy='Use initialization="known" or "estimated".',
        )


def check_size(k_factors: int, lags: int) -> None:
    """Raise an error if the state vector is too large for its covariances to fit in memory."""
    if k_factors * lags > _MOST_STATES:
        raise SpecificationError(
            "The state vector is too long",
            got=f"{k_factors} factors x {lags} lags",
            expected=f"at most {_MOST_STATES} states",
        )


def check_initialization(initialization: object, blocks: Mapping[str, AffineMatrix]) -> None:
    """Reject initializations that contradict other arguments or leave the likelihood unbounded."""
    kinds = kinds_of(initialization, blocks["transition"].shape[1])
    if "stationary" in kinds:
        _check_stationary(blocks, np.flatnonzero(kinds == "stationary"))
    if "diffuse" in kinds:
        _check_diffuse(blocks, np.flatnonzero(kinds == "diffuse"))
        _check_side_by_side(blocks, kinds)


def _check_stationary(blocks: Mapping[str, AffineMatrix], states: IntArray) -> None:
    """Reject a stationary initialization of states without a stationary distribution."""
    transition = blocks["transition"]
    if transition.time_varying or blocks["state_cov"].time_varying:
        raise SpecificationError(
            "A stationary start needs a transition and a state_cov that are constant over time",
            remedy='Use initialization="known", "estimated" or "diffuse".',
        )
    k, size = transition.shape
    kept = np.zeros(size, bool)
    kept[states] = True
    moves = transition.free_elements | (transition.fixed != 0)
    if np.any(moves[kept[:k]][:, ~kept]):
        raise SpecificationError(
            "A factor with a stationary start must not depend on a factor with another start",
            got="a nonzero transition from the second to the first",
            expected="zeros there",
            remedy="Give both factors the same start.",
        )
    inner = companion(transition.fixed)[np.ix_(states, states)]
    if not np.any(kept[transition.rows]) and spectral_radius(inner) >= STABILITY_LIMIT:
        raise SpecificationError(
            "The fixed transition is not stationary",
            got=f"largest root {spectral_radius(inner):.6g}",
            expected="roots inside the unit circle",
            remedy='Use initialization="diffuse", "estimated" or "known".',
        )


def _check_side_by_side(blocks: Mapping[str, AffineMatrix], kinds: np.ndarray) -> None:
    """Reject proper initial states that may be correlated across a diffuse one; blocks are contiguous."""
    size = len(kinds)
    linked = np.zeros((size, size), bool)
    for key in ("transition", "state_cov", "initial_state_cov"):
        block = blocks[key]
        rows, columns = block.shape
        nonzero = np.any(block.fixed.reshape(rows, columns, -1) != 0, axis=2)
        linked[:rows, :columns] |= block.free_elements | nonzero
    k = blocks["transition"].shape[0]
    linked[k:, : size - k] |= np.eye(size - k, dtype=bool)
    group = np.where(kinds == "diffuse", -1, np.cumsum(kinds == "diffuse"))
    apart = (group[:, None] != group) & (group[:, None] >= 0) & (group >= 0)
    if np.any(linked & apart):
        raise SpecificationError(
            "Factors with a proper start are correlated and have a factor with a diffuse start between them",
            got=shown(kinds),
            expected="correlated factors next to each other, and no lags beside a diffuse start",
            remedy="Reorder the factors; write lags as factors with fixed rows of transition.",
        )


def _check_diffuse(blocks: Mapping[str, AffineMatrix], states: IntArray) -> None:
    """Reject free elements that rescale diffuse states without an effect on the likelihood."""
    design, transition = blocks["design"], blocks["transition"]
    reason = None
    if np.isin(design.columns, states).any():
        reason = "design"
    elif np.isin(transition.columns, states).any():
        fixed = at_period(design.fixed)
        if np.linalg.matrix_rank(fixed[:, states[states < fixed.shape[1]]]) < len(states):
            reason = "transition"
    if reason is not None:
        raise SpecificationError(
            f"The likelihood is unbounded: free elements of {reason} scale states with a diffuse start",
            remedy=f'Fix {reason}, or use initialization="stationary", "estimated" or "approximate_diffuse".',
        )
