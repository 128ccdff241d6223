"""M-step of a covariance matrix, by the closed form of its structure or by Fisher scoring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics.linear_algebra import Array, gaussian_objective, scaled_solve
from ..params.affine import AffineMatrix, IntArray
from ..params.covariance import CovarianceStructure, precision_of
from ..params.curved import CurvedMatrix
from .moments import Regression

_MAX_SCORING = 50
_MAX_HALVING = 30


def by_group(cov: Array) -> Array:
    """Return a covariance matrix, (p, p) or (p, p, n), with the group as first axis."""
    return cov[None] if cov.ndim == 2 else np.moveaxis(cov, 2, 0)


def precisions(cov: Array) -> Array:
    """Return the inverse for each group, which is zero on rows without noise."""
    return np.stack([precision_of(sigma) for sigma in by_group(cov)])


@dataclass(frozen=True)
class CovarianceTerm:
    """
    One covariance matrix.

    Attributes
    ----------
    matrix : AffineMatrix
        Elements of the matrix. An axis over time has one period for each group of ``regression``.
    index : ndarray of int
        Position in the flat vector of the parameter of each nonzero element of D.
    regression : Regression
        Residual sums.
    structure : CovarianceStructure
        Structure that computes the maximum.
    places : ndarray of int
        Positions of the parameters of the structure in the flat vector.
    """

    matrix: AffineMatrix
    index: IntArray
    regression: Regression
    structure: CovarianceStructure
    places: IntArray

    def tangent(self, params: Array) -> tuple[AffineMatrix, IntArray]:
        """Return the matrix, affine at a parameter vector, and the place of the parameter of each element."""
        if not isinstance(self.matrix, CurvedMatrix):
            return self.matrix, self.index
        affine, names = self.matrix.tangent(params[self.places]), self.matrix.param_names
        return affine, self.places[[names.index(name) for name in affine.names]]

    def at(self, params: Array) -> Array:
        """Return the matrix by group."""
        covs = by_group(self.matrix.at(params[self.index]))
        return np.broadcast_to(covs, (len(self.regression.n), *covs.shape[1:]))

    def objective(self, params: Array) -> float:
        """Return -1/2 sum [n log|Sigma| + tr(Sigma^{-1} E sum e e')] over the rows that have noise."""
        total = 0.0
        for sigma, ee, n in zip(self.at(params), self.regression.ee, self.regression.n, strict=True):
            active = sigma.diagonal() != 0
            if not active.all():
                inner = np.ix_(active, active)
                sigma, ee = sigma[inner], ee[inner]
            total += gaussian_objective(sigma, ee, float(n))
        return total

    def element_score(self, params: Array) -> list[tuple[Array, Array, float]]:
        """Return (Pi, 1/2 Pi (E sum e e' - n Sigma) Pi, n) by group."""
        out = []
        for sigma, ee, n in zip(self.at(params), self.regression.ee, self.regression.n, strict=True):
            precision = precision_of(sigma)
            out.append((precision, 0.5 * precision @ (ee - n * sigma) @ precision, float(n)))
        return out


def closed_form(term: CovarianceTerm, params: Array) -> Array | None:
    """Return the parameters with the covariance at its closed-form maximum, or None if it does not exist."""
    if term.matrix.time_varying:
        return None
    estimate = term.structure.estimate(term.regression.mean)
    if estimate is None:
        return None
    out = np.array(params)
    out[term.places] = estimate
    return out


def scoring_step(
    terms: list[CovarianceTerm], params: Array, extra: list[Array | None] | None = None
) -> Array:
    """
    Return one Fisher-scoring step of the flat vector, over one or more covariance matrices.

    It solves sum n/2 D'(Pi kron Pi) D step = D' vec(1/2 Pi (E sum e e' - n Sigma) Pi + extra).

    Parameters
    ----------
    terms : list of CovarianceTerm
        Matrices that share parameters, or a single one.
    params : ndarray
        The flat vector.
    extra : list of ndarray, optional
        Additional gradients by element, one for each term.
    """
    used = np.unique(np.concatenate([term.index for term in terms]))
    information, score = np.zeros((len(used),) * 2), np.zeros(len(used))
    for i, term in enumerate(terms):
        matrix, index = term.tangent(params)
        places = np.searchsorted(used, index)
        rows, columns = matrix.rows, matrix.columns
        for g, (precision, gradient, n) in enumerate(term.element_score(params)):
            coefs = matrix.coefs[:, g] if matrix.moves else matrix.coefs
            pairs = precision[np.ix_(rows, rows)] * precision[np.ix_(columns, columns)]
            np.add.at(
                information, (places[:, None], places[None, :]), 0.5 * n * pairs * coefs[:, None] * coefs
            )
            if g == 0 and extra is not None and extra[i] is not None:
                gradient = gradient + extra[i]
            score += np.bincount(places, weights=coefs * gradient[rows, columns], minlength=len(used))
    step = np.zeros(len(params))
    step[used] = scaled_solve(information, score)
    return step


def update_covariance(terms: list[CovarianceTerm], params: Array) -> Array:
    """Maximise over one covariance matrix, or over several that share parameters; return the parameters."""
    estimate = closed_form(terms[0], params) if len(terms) == 1 else None
    if estimate is not None:
        return estimate
    value = _objective(terms, params)
    if not np.isfinite(value):
        return params
    for _ in range(_MAX_SCORING):
        before = value
        params, value = _risen(terms, params, value)
        if value - before <= 1e-12 * (1.0 + abs(value)):
            break
    return params


def _objective(terms: list[CovarianceTerm], params: Array) -> float:
    return sum(term.objective(params) for term in terms)


def _risen(terms: list[CovarianceTerm], params: Array, value: float) -> tuple[Array, float]:
    """Take a scoring step, halved until the objective does not fall; return parameters and value."""
    step = scoring_step(terms, params)
    for _ in range(_MAX_HALVING):
        trial = params + step
        new = _objective(terms, trial)
        if new >= value:
            return trial, new
        step = 0.5 * step
    return params, value
