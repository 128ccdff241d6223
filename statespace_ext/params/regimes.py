"""Matrices that change between named regimes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array
from .affine import AffineMatrix, affine_matrix


@dataclass(frozen=True, repr=False)
class Regimes:
    """
    A matrix that changes over time between regimes, as an argument of `LGSSM`.

    Parameters
    ----------
    labels : array_like, (nobs,)
        The regime of each period.
    patterns : mapping
        The specification of the matrix in each regime. Named parameters are shared by all regimes in which
        they stand. Free elements of keywords and of NaN get the label as a suffix: ``obs_var.y1.before``, or
        ``obs_var_before`` for a variance of all rows.
    hold : bool
        Whether the last regime lasts in periods after the sample. By default these periods need labels.
    partial : bool
        Whether patterns may stand in no period, as in a part of a sample.

    Raises
    ------
    SpecificationError
        If a label has no pattern, or a pattern no period.

    Examples
    --------
    >>> import numpy as np
    >>> import statespace_ext as sse
    >>> y = np.cumsum(np.random.default_rng(0).normal(size=80))
    >>> when = np.where(np.arange(80) < 50, "before", "after")
    >>> noise = sse.Regimes(when, {"before": [["r"]], "after": [["4*r"]]})
    >>> level = {"design": [[1]], "transition": [[1]], "obs_intercept": "zero", "initialization": "diffuse"}
    >>> sse.LGSSM(y, 1, obs_cov=noise, **level).param_names
    ['r', 'state_var.f1']
    """

    labels: Any
    patterns: Mapping[Hashable, Any]
    hold: bool = False
    partial: bool = False

    def __post_init__(self) -> None:
        """Check that labels and patterns belong together."""
        labels = self.label_list
        if not isinstance(self.patterns, Mapping) or not self.patterns:
            raise SpecificationError(
                "patterns must be a mapping", got=repr(self.patterns)[:80], expected="{label: matrix, ...}"
            )
        unknown = [label for label in dict.fromkeys(labels) if label not in self.patterns]
        if unknown:
            raise SpecificationError(
                "A label has no pattern",
                got=shown(map(repr, unknown)),
                expected=shown(map(repr, self.patterns)),
            )
        nowhere = [label for label in self.patterns if label not in labels]
        if nowhere and not self.partial:
            raise SpecificationError(
                "A pattern is used in no period, so its parameters enter nowhere",
                got=shown(map(repr, nowhere)),
                expected=f"labels among {shown(map(repr, dict.fromkeys(labels)))}",
                remedy="Drop the pattern, or correct the labels.",
            )

    def __repr__(self) -> str:
        return f"Regimes({len(self.label_list)} periods: {shown(map(repr, self.patterns))})"

    def over(self, labels: Any) -> Regimes:
        """Return the patterns for other periods, of which none need have a certain regime."""
        return replace(self, labels=np.array(labels, dtype=object), partial=True)

    @property
    def label_list(self) -> list[Hashable]:
        """The regime of each period."""
        labels = self.labels
        if np.ndim(labels) != 1:
            raise SpecificationError(
                "labels must be one-dimensional",
                got=f"shape {np.shape(labels)}",
                expected="one label per period",
            )
        return list(labels.tolist() if hasattr(labels, "tolist") else labels)

    def matrix(self, nobs: int | None, where: str, parse: Callable[[Any, str], AffineMatrix]) -> AffineMatrix:
        """
        Return the matrix over time.

        Parameters
        ----------
        nobs : int or None
            Number of periods; None if the matrix must be constant.
        where : str
            Name of the argument.
        parse : callable
            From the pattern of a regime and the suffix of its names to a constant matrix.
        """
        labels = self.label_list
        if nobs is None:
            raise SpecificationError(f"{where} cannot vary over time", got="Regimes", expected="one matrix")
        if len(labels) != nobs:
            raise SpecificationError(
                f"{where} has the wrong number of labels", got=len(labels), expected=f"{nobs}, one per period"
            )
        matrices = {label: parse(pattern, f".{label}") for label, pattern in self.patterns.items()}
        place = {label: g for g, label in enumerate(matrices)}
        return over_regimes(list(matrices.values()), np.array([place[label] for label in labels]))


def over_regimes(matrices: list[AffineMatrix], place: Array) -> AffineMatrix:
    """Return a matrix that equals one of several constant ones in each period; all names are kept."""
    paths: dict[tuple[int, int, str], Array] = {}
    for g, each in enumerate(matrices):
        for i, j, name, coef in zip(
            each.rows.tolist(), each.columns.tolist(), each.names, each.coefs.tolist(), strict=True
        ):
            paths.setdefault((i, j, name), np.zeros(len(matrices)))[g] += coef
    fixed = np.stack([each.fixed for each in matrices], axis=2)[:, :, place]
    return affine_matrix(fixed, [(*key, path[place]) for key, path in paths.items()])


def continued(earlier: AffineMatrix, later: AffineMatrix, both: bool, where: str) -> AffineMatrix:
    """
    Return a matrix of later periods with the parameters of earlier ones, or of both one after the other.

    Raises
    ------
    SpecificationError
        If the later periods have parameters that the earlier ones do not have.
    """
    new = sorted(set(later.names) - set(earlier.names))
    if new:
        raise SpecificationError(
            f"{where} has parameters in the new periods that were not estimated",
            got=shown(new),
            expected=f"names among {shown(earlier.param_names)}",
            remedy="Fit a model of all periods.",
        )
    counts = earlier.fixed.shape[2], later.fixed.shape[2]
    elements: dict[tuple[int, int, str], list[Array]] = {}  # those of earlier periods first, for their order
    for k, matrix in enumerate((earlier, later)):
        coefs = matrix.coefs if matrix.moves else np.repeat(matrix.coefs[:, None], counts[k], 1)
        for i, j, name, path in zip(
            matrix.rows.tolist(), matrix.columns.tolist(), matrix.names, coefs, strict=True
        ):
            elements.setdefault((i, j, name), [np.zeros(count) for count in counts])[k] = path
    first = 0 if both else 1
    fixed = np.concatenate([earlier.fixed, later.fixed][first:], axis=2)
    coefs = np.array([np.concatenate(paths[first:]) for paths in elements.values()])
    if not len(coefs) or not np.any(np.ptp(coefs, axis=1)):
        coefs = coefs[:, 0] if len(coefs) else np.zeros(0)
    rows, columns = (np.array([key[axis] for key in elements], dtype=np.intp) for axis in (0, 1))
    return AffineMatrix(fixed, rows, columns, tuple(name for _, _, name in elements), coefs)


def repeated(matrix: AffineMatrix, periods: int) -> AffineMatrix:
    """Return a constant matrix with an axis over time; others are returned unchanged."""
    if matrix.time_varying:
        return matrix
    return replace(matrix, fixed=np.repeat(matrix.fixed[:, :, None], periods, 2))
