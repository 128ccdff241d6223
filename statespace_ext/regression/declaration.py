"""Conversion of the arguments of `DynamicRegression` to parameter blocks, and names of their structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from statsmodels.tsa.statespace.initialization import Initialization

from ..engine.arguments import names_among, one_of, options_of
from ..exceptions import SpecificationError, UnsupportedError
from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix, IntArray, affine_matrix, side_by_side
from ..params.covariance import CommonVariance, Equicorrelated, Unstructured, structure_of
from ..params.curved import CurvedMatrix
from ..params.layout import ParameterLayout
from ..params.parse import COVARIANCE_KEYWORDS, covariance_namer, parse_covariance, unknown_keyword
from .coefficients import DYNAMICS, Coefficients

if TYPE_CHECKING:
    from .dynamic_regression import DynamicRegression

COVARIANCES = frozenset({"obs_cov", "state_cov", "proportion", "initial_state_cov"})
STARTS = ("diffuse", "approximate_diffuse", "known")
_APPROXIMATE_VARIANCE = 1e6


def parse_dynamics(dynamics: Mapping[str, str] | None, regressors: list[str]) -> list[str]:
    """
    Return the dynamics by regressor; regressors that are not named have static coefficients.

    Raises
    ------
    SpecificationError
        If the name of a regressor or of the dynamics is unknown.
    """
    given = options_of(dynamics, "dynamics")
    names_among(list(given) or None, regressors, "regressors in dynamics")
    for name, kind in given.items():
        one_of(kind, DYNAMICS, f"dynamics of {name}")
    return [given.get(name, "static") for name in regressors]


def _check_complete(structures: list[Any], ranks: list[int], coefficients: Coefficients) -> None:
    """Raise if a structure over series is given for a regressor that some series do not have."""
    for value, rank, each in zip(structures, ranks, coefficients.noise, strict=True):
        if len(each.rows) < coefficients.p and (rank or _is_keyword(value, "proportional")):
            raise SpecificationError(
                f"state_cov of {each.label} needs coefficients of all series",
                got=f"{value!r} with {len(each.rows)} free coefficients of {coefficients.p} series",
                expected='"diagonal", "scalar", "unstructured" or an array',
            )


def regression_layout(
    coefficients: Coefficients, obs_cov: object, state_cov: object
) -> tuple[ParameterLayout, list[int]]:
    """
    Return the layout, and the positions of the time-varying regressors whose W is proportional to V.

    Raises
    ------
    SpecificationError
        If a covariance specification is unknown or contradictory.
    """
    p, k, q = coefficients.p, coefficients.k_states, len(coefficients.noise_rows)
    structures = _by_regressor(state_cov, coefficients)
    _check_keywords("obs_cov", [obs_cov])
    _check_keywords("state_cov", structures or [state_cov], "proportional", "joint")
    proportional = [i for i, value in enumerate(structures) if _is_keyword(value, "proportional")]
    obs_rank = factor_rank(obs_cov, p, "obs_cov")
    ranks = [factor_rank(value, p, "state_cov") for value in structures]
    shares = [
        (place, place, f"proportion.{coefficients.noise[i].label}", 1.0)
        for place, i in enumerate(proportional)
    ]
    _check_complete(structures, ranks, coefficients)
    loadings = [
        _loading(len(each.rows), rank, "state", f".{each.label}", coefficients.endog)
        for each, rank in zip(coefficients.noise, ranks, strict=True)
    ]
    shapes = {
        "design": (p, k), "obs_intercept": (p, 1), "obs_coef": (p, 0), "state_intercept": (q, 1),
        "state_mean": (q, 1), "state_coef": (q, 0), "initial_state": (k, 1), "initial_state_cov": (k, k),
    }  # fmt: skip
    blocks = {key: _zeros(*shape) for key, shape in shapes.items()} | {
        "transition": _transition(coefficients),
        "obs_cov": parse_covariance(
            "diagonal" if obs_rank else obs_cov, p, "obs_cov", covariance_namer("obs", coefficients.endog)
        ),
        "obs_loading": _loading(p, obs_rank, "obs", "", coefficients.endog),
        "state_cov": _state_cov(state_cov, structures, coefficients),
        "state_loading": _block_diagonal(loadings or [_zeros(q, 0)]),
        "proportion": affine_matrix(np.zeros((len(shares),) * 2), shares),
    }
    bounded = frozenset(blocks["transition"].names)
    return ParameterLayout(blocks, COVARIANCES, bounded), proportional


def _zeros(rows: int, columns: int) -> AffineMatrix:
    """Return a matrix of zeros."""
    return affine_matrix(np.zeros((rows, columns)), [])


def _check_keywords(where: str, values: list[object], *more: str) -> None:
    """Raise for an unknown string, which a 1 x 1 matrix would otherwise read as a parameter name."""
    known = (*COVARIANCE_KEYWORDS, "factor:r", *more)
    for value in values:
        if isinstance(value, str) and value not in known and not value.startswith("factor:"):
            raise unknown_keyword(where, value, known)


def factor_rank(value: object, p: int, where: str) -> int:
    """
    Return r of "factor:r"; zero for any other specification.

    Raises
    ------
    SpecificationError
        If p series cannot have r factors.
    """
    if not isinstance(value, str) or not value.startswith("factor:"):
        return 0
    text = value.removeprefix("factor:")
    if not text.isdigit() or not 0 < int(text) < p:
        raise SpecificationError(
            f"{where} has an invalid number of factors",
            got=repr(value),
            expected=f"factor:1 to factor:{p - 1}" if p > 1 else "two series or more",
        )
    return int(text)


def _loading(size: int, rank: int, stem: str, of: str, endog: list[str]) -> AffineMatrix:
    """Return lower triangular loadings of some factors, with names like ``stem_factor1.IBM``."""
    places = [(i, j) for j in range(rank) for i in range(j, size)]
    elements = [(i, j, f"{stem}_factor{j + 1}{of}.{endog[i]}", 1.0) for i, j in places]
    return affine_matrix(np.zeros((size, rank)), elements)


def _transition(coefficients: Coefficients) -> AffineMatrix:
    """Return the rows of T with disturbances: ones for levels and slopes, phi for deviations."""
    c, rows = coefficients, coefficients.noise_rows
    fixed, elements = np.zeros((len(rows), c.k_states)), []
    for place, (row, i) in enumerate(zip(rows, c.noisy, strict=True)):
        if row >= c.n_levels:
            elements.append((place, int(row), f"ar1.{c.names[i]}", 1.0))
        else:
            fixed[place, row] = 1.0
    for j in c.trending:
        places = np.flatnonzero(np.isin(rows, c.level(j)))
        fixed[places, c.slope(j)] = 1.0
    return affine_matrix(fixed, elements)


def _by_regressor(state_cov: object, coefficients: Coefficients) -> list[object]:
    """Return one covariance specification for each regressor with time-varying coefficients."""
    if not coefficients.moving and not isinstance(state_cov, (str, Mapping)):
        raise SpecificationError(
            "state_cov is given, but no coefficient varies over time",
            got=repr(state_cov),
            remedy='Set the dynamics of a regressor to "random_walk", or leave out state_cov.',
        )
    names, noise = coefficients.moving_names, coefficients.noise
    if isinstance(state_cov, Mapping):
        regressors = [coefficients.labels[each.regressor] for each in noise]
        if not set(regressors) <= set(state_cov) <= set(names):
            raise SpecificationError(
                "state_cov must have one entry per regressor with a time-varying coefficient",
                got=list(state_cov),
                expected=names,
            )
        return [
            state_cov.get(each.label, state_cov[name]) for each, name in zip(noise, regressors, strict=True)
        ]
    return ["joint" if _is_joint(state_cov, coefficients) else state_cov] * len(names)


def _is_joint(state_cov: object, coefficients: Coefficients) -> bool:
    """Return whether a specification is for the joint covariance of all disturbances."""
    if isinstance(state_cov, str):
        return state_cov == "joint"
    count = len(coefficients.noise)
    return count > 1 and np.shape(np.asarray(state_cov, dtype=object))[:1] == (len(coefficients.noise_rows),)


def _state_cov(state_cov: object, structures: list[object], coefficients: Coefficients) -> AffineMatrix:
    """Return Q, which is block-diagonal by regressor or joint."""
    p, q = coefficients.p, len(coefficients.noise_rows)
    if not coefficients.moving:
        factor_rank(state_cov, p, "state_cov")  # raises if the number of factors is invalid
        return _zeros(q, q)
    if _is_keyword(structures[0], "joint"):
        value = "unstructured" if isinstance(state_cov, str) else state_cov
        namer = covariance_namer("state", coefficients.disturbance_names)
        return parse_covariance(value, q, "state_cov", namer)
    return _block_diagonal([_own_block(value, i, coefficients) for i, value in enumerate(structures)])


def _block_diagonal(blocks: list[AffineMatrix]) -> AffineMatrix:
    """Return a block-diagonal matrix."""
    if len(blocks) == 1:
        return blocks[0]
    if any(isinstance(block, CurvedMatrix) for block in blocks):
        raise UnsupportedError(
            "A CovarianceFunction in state_cov needs exactly one regressor with a time-varying coefficient",
            got=f"{len(blocks)} such regressors",
            remedy="Use one of the keywords.",
        )
    return side_by_side(blocks, diagonal=True)


def _own_block(value: object, place: int, coefficients: Coefficients) -> AffineMatrix:
    """Return W of a regressor without its factors; zero if W is proportional to V."""
    group = coefficients.noise[place]
    size = len(group.rows)
    if _is_keyword(value, "proportional"):
        return _zeros(size, size)
    series = [
        coefficients.endog[i % coefficients.p] for i in coefficients.free[coefficients.level(group.regressor)]
    ]
    namer = covariance_namer("state", series, f".{group.label}")
    shared = (f"state_var.{group.label}", f"state_cov.{group.label}")
    rest = "diagonal" if factor_rank(value, coefficients.p, "state_cov") else value
    return parse_covariance(rest, size, "state_cov", namer, shared=shared)


def _is_keyword(value: object, keyword: str) -> bool:
    return isinstance(value, str) and value == keyword


def parse_start(kind: str, mean: object, cov: object, names: list[str]) -> tuple[str, Array, Array]:
    """
    Return the kind of initialization, and the mean and covariance of the levels.

    Raises
    ------
    SpecificationError
        If the kind is unknown, or mean and covariance are missing, not needed, or invalid.
    """
    one_of(kind, STARTS, "initialization")
    given, size = [value is not None for value in (mean, cov)], len(names)
    if given != [kind == "known"] * 2:
        raise SpecificationError(
            'initialization="known" and both initial_state and initial_state_cov must be given together',
            got=f"initialization={kind!r}, initial_state {'given' if given[0] else 'missing'}, "
            f"initial_state_cov {'given' if given[1] else 'missing'}",
        )
    if kind != "known":
        return kind, np.zeros(size), np.eye(size) * (_APPROXIMATE_VARIANCE if kind != "diffuse" else 0.0)
    mean = _known(mean, (size,), "initial_state", names)
    cov = _known(cov, (size, size), "initial_state_cov", names)
    return kind, mean, parse_covariance(cov, size, "initial_state_cov", lambda i, j: "").fixed


def _known(value: object, shape: tuple[int, ...], name: str, labels: list[str]) -> Array:
    """Return a mean or covariance as finite numbers; labelled input is put in the order of the levels."""
    try:
        array = np.asarray(_in_order(value, labels))
        if np.iscomplexobj(array):
            raise TypeError("complex numbers")
        array = np.array(array, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            f"{name} is not numeric", got=repr(value), expected=f"shape {shape}"
        ) from error
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise SpecificationError(
            f"{name} has the wrong shape or values that are not finite",
            got=array.shape if array.shape != shape else array,
            expected=shape,
            remedy=f"Its elements are those of {labels}." if len(labels) <= 8 else None,
        )
    return array


def _in_order(value: Any, labels: list[str]) -> Any:
    """Sort a labelled Series or frame in the order of the levels; return other objects unchanged."""
    axes = [[str(label) for label in axis] for axis in getattr(value, "axes", [])]
    if not axes or any(sorted(axis) != sorted(labels) for axis in axes):
        return value
    return value.to_numpy()[np.ix_(*([axis.index(label) for label in labels] for axis in axes))]


def partly_diffuse(n_levels: int, cov: Array) -> Initialization:
    """Return an initialization with diffuse levels and stationary deviations."""
    k = len(cov)
    out = Initialization(k)
    out.set((0, n_levels), "diffuse")
    inner = np.ascontiguousarray(cov[n_levels:, n_levels:])
    out.set((n_levels, k), "known", constant=np.zeros(k - n_levels), stationary_cov=inner)
    return out


# -- names of structures ----------------------------------------------------------------------------------


def covariance_kind(block: AffineMatrix, rows: IntArray | None = None) -> str:
    """
    Return the name of the structure of a covariance matrix, independent of how it was specified.

    Parameters
    ----------
    block : AffineMatrix
        The matrix.
    rows : ndarray of int, optional
        Rows of one of the blocks of a block-diagonal matrix; all by default.

    Returns
    -------
    str
        "unstructured", "diagonal", "scalar", "equicorrelated", "zero", "fixed", the class of a
        `CovarianceFunction`, or "patterned" for any other structure. A free 1 x 1 matrix is "scalar".
    """
    if isinstance(block, CurvedMatrix):
        return type(block.function).__name__
    part = block if rows is None else _part(block, rows)
    if part.is_fixed:
        return "fixed" if np.any(part.fixed) else "zero"
    return _free_kind(part)


def _free_kind(part: AffineMatrix) -> str:
    """Return the name of the structure of a matrix with free parameters."""
    structure, p, count = structure_of(part), part.shape[0], len(part.param_names)
    if len(np.unique(part.rows)) < p:
        return "patterned"
    equal = count == 1 and len(np.unique(part.coefs)) == 1
    if isinstance(structure, CommonVariance) and (equal or count == p):
        return "scalar" if count == 1 else "diagonal"
    if isinstance(structure, Equicorrelated):
        return "equicorrelated"
    whole = isinstance(structure, Unstructured) and 2 * count == p * (p + 1)
    return "unstructured" if whole else "patterned"


def _part(block: AffineMatrix, rows: IntArray) -> AffineMatrix:
    """Return one of the blocks of a block-diagonal matrix, given its consecutive rows."""
    part = block.row_block(rows)
    return replace(part, columns=part.columns - rows[0], fixed=part.fixed[:, rows])


def obs_kind(model: DynamicRegression) -> str:
    """Return the name of the structure of V."""
    rank = model.layout.blocks["obs_loading"].shape[1]
    return f"factor:{rank}" if rank else covariance_kind(model.layout.blocks["obs_cov"])


def state_kinds(model: DynamicRegression) -> dict[str, str]:
    """
    Return the names of the structures of W, by regressor with time-varying coefficients.

    A W that is not block-diagonal by regressor has one entry. Its key joins the names of all these regressors
    with "+".
    """
    c, block = model.coefficients, model.layout.blocks["state_cov"]
    if is_joint(model):
        return {"+".join(c.moving_names): covariance_kind(block)}
    out, loading = {}, model.layout.blocks["state_loading"]
    for place, name in enumerate(c.moving_names):
        rows = c.noise_places(place)
        rank = len(np.unique(loading.columns[np.isin(loading.rows, rows)]))
        out[name] = f"factor:{rank}" if rank else covariance_kind(block, rows)
        if place in model.proportional:
            out[name] = "proportional"
    return out


def is_joint(model: DynamicRegression) -> bool:
    """Return whether W is not block-diagonal by regressor."""
    sizes, block = list(model.coefficients.group_sizes.values()), model.layout.blocks["state_cov"]
    group = np.repeat(np.arange(len(sizes)), sizes)
    apart = group[:, None] != group
    return len(sizes) > 1 and bool(np.any(apart[block.rows, block.columns]) or np.any(block.fixed[apart]))
