"""
Information matrices, covariance estimators of the parameters, and the delta method.

Let l_t be the log-likelihood of period t given its past, v_t and F_t the forecast errors of the observed
values and their covariance, and s_t = dl_t / dparams:

    A = -sum_t d2 l_t          the observed information         "oim", "approx": A^{-1}
    B = sum_t s_t s_t'         the outer products of scores     "opg": B^{-1};  "robust": A^{-1} B A^{-1}
    C_ij = sum_t 1/2 tr(F^{-1} dF_i F^{-1} dF_j) + dv_i' F^{-1} dv_j      "harvey": C^{-1}

If the model is correct, E[A] = E[B] = E[C]. B needs the scores of l_t. The terms of the smoothed score by
period have the same sum, but different products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.linalg.blas import dgemm
from scipy.linalg.lapack import dpotrf, dpotri
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

from ..engine.arguments import one_of
from ..numerics.differences import jacobian, nan_outside, second_differences, step_sizes
from ..numerics.linear_algebra import Array, quiet, symmetrize
from .identification import orthonormal


class Scored(Protocol):
    """A model with an exact score. ``exact_information`` is optional."""

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient."""


class Differentiated(Scored, Protocol):
    """A model with the terms of its log-likelihood by period, and steps for differences of them."""

    endog: Array
    ssm: KalmanFilter

    def difference_steps(self, params: Array, share: float = 1e-4) -> Array:
        """Return steps, as a share of the standard errors with complete data."""

    def loglike(self, params: object, *args: Any, **kwargs: Any) -> float:
        """Return the log-likelihood."""

    def update(self, params: object, transformed: bool = True, includes_fixed: bool = False) -> Array:
        """Write the matrices at parameters into ``ssm``."""


def observed_information(
    model: Scored, params: Array, index: Array | None = None, steps: Array | None = None
) -> Array:
    """
    Return minus the second derivatives of the log-likelihood.

    They are exact if the model has ``exact_information`` and it is available. Otherwise they are central
    differences of the exact score. Both are valid with missing data, unlike the implementation of Harvey's
    (1989) formula in statsmodels.

    Parameters
    ----------
    model : Scored
        The model.
    params : ndarray
        A full parameter vector.
    index : ndarray of int, optional
        Positions of the parameters. By default all parameters.
    steps : ndarray, optional
        Step sizes of the differences, one for each element of the full vector.
    """
    places = np.arange(len(params)) if index is None else np.asarray(index)
    exact = model.exact_information(params, places) if hasattr(model, "exact_information") else None
    if exact is not None and np.all(np.isfinite(exact)):
        return np.asarray(exact)

    def gradient(at: Array) -> Array:
        """Return the score by the selected parameters."""
        return model.loglike_and_score(at)[1][places]

    steps = step_sizes(params) if steps is None else steps
    return -symmetrize(
        jacobian(nan_outside(gradient, places.shape), params, steps, places=places, one_sided=True)
    )


_INDEFINITE = 1e-12
"""If the inverse of the largest variance, with unit information, is smaller, the information is singular."""


@dataclass(frozen=True)
class ParamsCov:
    """Covariance of the estimates, with NaN where it is not available, and notes on it."""

    cov: Array
    rank: int
    notes: list[str]


def without_errors(n_params: int, *notes: str) -> ParamsCov:
    """Return a covariance of NaN, which does not take memory, with notes."""
    return ParamsCov(np.broadcast_to(np.nan, (n_params, n_params)), 0, list(notes))


def params_covariance(
    information: Array, free: Array, flat: Array, n_params: int, middle: Array | None = None
) -> ParamsCov:
    """
    Invert the information of the free, identified parameters.

    Parameters
    ----------
    information : ndarray, (m, m)
        Information of the parameters ``free``.
    free : ndarray of int
        Positions of these parameters in the full vector.
    flat : ndarray, (m, q)
        Orthonormal directions along which the likelihood is flat. Parameters that change along such a
        direction have NaN as their standard error.
    n_params : int
        Length of the full vector.
    middle : ndarray, (m, m), optional
        B in the sandwich A^{-1} B A^{-1}, where A is the information.

    Returns
    -------
    ParamsCov
    """
    m = len(free)
    if m == 0:
        return without_errors(n_params)
    diagonal = np.diag(information)
    # in units in which the information of each parameter is one, for any units of the data
    scale = np.where(diagonal > 0, 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 1.0)
    basis = orthonormal(flat / scale[:, None])
    found, note = _inverse_beside(_scaled(information, scale), basis)
    if note:
        return without_errors(n_params, note)
    if middle is not None:
        found = found @ _projected(_scaled(middle, scale), basis) @ found
    found *= scale
    found *= scale[:, None]
    moved = np.linalg.norm(basis, axis=1) > 1e-6
    found[moved] = np.nan
    found[:, moved] = np.nan
    if np.array_equal(free, np.arange(n_params)):
        return ParamsCov(found, m - basis.shape[1], [])
    cov = np.full((n_params, n_params), np.nan)
    cov[np.ix_(free, free)] = found
    return ParamsCov(cov, m - basis.shape[1], [])


def _scaled(matrix: Array, scale: Array) -> Array:
    out = np.array(matrix, order="F")
    out *= scale
    out *= scale[:, None]
    return out


def _projected(matrix: Array, basis: Array) -> Array:
    """Return (I - B B') M (I - B B'), computed in place."""
    matrix = _with_product(matrix, -1.0, basis, basis.T @ matrix)
    return _with_product(matrix, -1.0, matrix @ basis, basis.T)


def _with_product(matrix: Array, factor: float, left: Array, right: Array) -> Array:
    """Return M + factor L R in the memory of M, which is in Fortran's order."""
    if not left.shape[1]:
        return matrix
    return np.asarray(dgemm(factor, left, right, beta=1.0, c=matrix, overwrite_c=1))


def _inverse_beside(information: Array, basis: Array) -> tuple[Array, str]:
    """Return the inverse on the complement of a basis, in place, or the reason why it does not exist."""
    if not np.all(np.isfinite(np.diag(information))) or not np.isfinite(information.sum()):
        note = "Second derivatives of the log-likelihood do not exist at the estimates: no standard errors."
        return information, note
    inverse = _with_product(_projected(information, basis), 1.0, basis, basis.T)
    inverse, failed = dpotrf(inverse, lower=1, clean=0, overwrite_a=1)
    if not failed:
        inverse, failed = dpotri(inverse, lower=1, overwrite_c=1)
    if failed or not np.max(np.diag(inverse)) < 1.0 / _INDEFINITE:
        note = (
            "The information matrix is not positive definite at the estimates (not a maximum, or a parameter "
            "at its boundary): no standard errors."
        )
        return inverse, note
    for column in range(1, len(inverse)):
        inverse[:column, column] = inverse[column, :column]
    return _with_product(inverse, -1.0, basis, basis.T), ""


MOST = 12_000
"""Largest number of parameters whose covariance is computed. It takes 1.1 GiB, and minutes to invert."""
_NEAR = 1e-7
"""Relative residual of the conjugate gradients. The relative error of a variance is its square."""
_SHARE = 1e-4
"""Step of the differences along a vector, as a share of a standard error."""


def inverse_columns(model: Differentiated, params: Array, index: Array, flat: Array, wanted: Array) -> Array:
    r"""
    Return columns of the inverse of the observed information, without forming the information.

    .. math::

        A v \approx -\frac{s(\theta + h v) - s(\theta - h v)}{2 h}

    is a product with the information A from two exact scores s. Conjugate gradients solve A x = e_j in units
    of complete-data standard errors, orthogonally to the flat directions.

    Parameters
    ----------
    model : Scored
        The model, with ``difference_steps``.
    params : ndarray
        A full parameter vector.
    index : ndarray of int, (m,)
        Positions of the free parameters.
    flat : ndarray, (m, q)
        Directions along which the likelihood is flat.
    wanted : ndarray of int
        The columns, as positions in ``index``.

    Returns
    -------
    ndarray, (m, len(wanted))
        The columns. A column is NaN if its parameter changes along a flat direction, or if A is not positive
        definite.
    """
    scale = model.difference_steps(params, _SHARE)[index] / _SHARE
    basis = orthonormal(flat / scale[:, None])

    def away(vector: Array) -> Array:
        """Return the part of a vector that is orthogonal to the flat directions."""
        return np.asarray(vector - basis @ (basis.T @ vector))

    def product(vector: Array) -> Array:
        """Return the product of the information with a vector."""
        step, size = np.zeros(len(params)), _SHARE / np.linalg.norm(vector)
        step[index] = size * scale * vector
        ahead, behind = (model.loglike_and_score(params + move)[1][index] for move in (step, -step))
        return away(scale * (behind - ahead) / (2.0 * size))

    out = np.full((len(index), len(wanted)), np.nan)
    for column, place in enumerate(wanted):
        unit = np.zeros(len(index))
        unit[place] = 1.0
        if np.linalg.norm(basis[place]) <= 1e-6:
            out[:, column] = scale * _conjugate_gradients(product, away(unit)) * scale[place]
    return out


def _conjugate_gradients(product: Callable[[Array], Array], right: Array) -> Array:
    """Solve A x = b; return NaN if A is not positive definite or the residual stays large."""
    x, residual = np.zeros(len(right)), right.copy()
    direction, size = residual.copy(), residual @ residual
    least = _NEAR**2 * size
    for _ in range(10 * len(right)):
        if size <= least:
            return x
        moved = product(direction)
        curvature = direction @ moved
        if not curvature > 0.0:
            break
        x += size / curvature * direction
        residual -= size / curvature * moved
        before, size = size, residual @ residual
        direction = residual + size / before * direction
    return np.full(len(right), np.nan)


@dataclass(frozen=True)
class CovType:
    """
    An estimator of the covariance of the parameters, selected by name or passed as ``cov_type``.

    Attributes
    ----------
    name : str
        Name of the estimator.
    description : str
        Text in the summary.
    parts : callable or None
        Function of a model, a full parameter vector, the positions of parameters, and step sizes. It returns
        the matrix to invert, and the middle matrix of a sandwich or None. If ``parts`` is None, the
        covariance is not computed.
    share : float
        Step size as a share of a standard error (`difference_steps`).
    """

    name: str
    description: str
    parts: Callable[[Differentiated, Array, Array, Array], tuple[Array, Array | None]] | None
    share: float = 1e-4


_COARSE = 0.02
"""Step of differences of the log-likelihood, as a share of a standard error."""


def _observed(model: Differentiated, params: Array, index: Array, steps: Array) -> tuple[Array, None]:
    return observed_information(model, params, index, steps), None


def _outer(model: Differentiated, params: Array, index: Array, steps: Array) -> tuple[Array, None]:
    scores = period_scores(model, params, index)
    return scores.T @ scores, None


def _robust(model: Differentiated, params: Array, index: Array, steps: Array) -> tuple[Array, Array]:
    middle, _ = _outer(model, params, index, steps)
    return observed_information(model, params, index, steps), middle


def _harvey(model: Differentiated, params: Array, index: Array, steps: Array) -> tuple[Array, None]:
    return innovations_information(model, params, index), None


def _by_values(model: Differentiated, params: Array, index: Array, steps: Array) -> tuple[Array, None]:
    loglike = nan_outside(partial(model.loglike, includes_fixed=True))
    return -second_differences(loglike, params, steps, index), None


_MENU = (
    CovType(
        "oim",
        "Standard errors from the observed information: second derivatives of the log-likelihood.",
        _observed,
    ),
    CovType("opg", "Standard errors from the outer product of the scores of the periods.", _outer),
    CovType(
        "robust",
        "Robust standard errors: outer product of scores between inverse observed informations.",
        _robust,
    ),
    CovType(
        "harvey", "Standard errors from Harvey's (1989) information of the observed forecast errors.", _harvey
    ),
    CovType("approx", "Standard errors from second differences of the log-likelihood.", _by_values, _COARSE),
    CovType("none", "Standard errors were not computed.", None),
)
_BY_NAME = {each.name: each for each in _MENU}
COV_TYPES = tuple(_BY_NAME)


def cov_type_of(value: object) -> CovType:
    """
    Return the estimator with a given name. A `CovType` is returned unchanged.

    Raises
    ------
    SpecificationError
        If the name is unknown.
    """
    return value if isinstance(value, CovType) else _BY_NAME[one_of(value, COV_TYPES, "cov_type")]


def _terms(model: Differentiated) -> Callable[[Array], Array]:
    """Return the log-likelihoods of the periods given their past, as a function that is NaN outside."""

    def terms(at: Array) -> Array:
        """Return the log-likelihoods of the periods."""
        model.update(at, transformed=True, includes_fixed=True)
        return np.asarray(model.ssm.loglikeobs())

    return nan_outside(terms, (len(model.endog),))


def period_scores(model: Differentiated, params: Array, index: Array) -> Array:
    """
    Return the derivatives of the log-likelihood of each period given its past, (n, m).

    They are central differences of fourth order of the terms of the filter. A derivative is NaN if the
    likelihood does not exist at a step.
    """
    return jacobian(_terms(model), params, model.difference_steps(params, _COARSE), 4, index)


def scores_along(model: Differentiated, params: Array, index: Array, vector: Array) -> float:
    """Return (x' B x)^{1/2}, the norm of the derivatives of the log-likelihood terms along x."""
    change, terms = np.zeros(len(params)), _terms(model)
    change[index] = vector
    errors = model.difference_steps(params, _COARSE)[index]
    step = 1.0 / np.max(np.abs(vector) / errors)
    by_period = jacobian(lambda at: terms(params + at[0] * change), np.zeros(1), np.array([step]), 4)
    return float(np.linalg.norm(by_period))


def innovations_information(model: Differentiated, params: Array, index: Array) -> Array:
    """
    Return the information of Harvey (1989, section 3.4.5) from the observed values.

    The formula is that of statsmodels, but v_t and F_t exclude missing values, which statsmodels includes. As
    in statsmodels, the periods of an exact-diffuse start are excluded.
    """
    n, p = np.shape(model.endog)

    def forecasts(at: Array) -> Array:
        """Return the forecast errors and their covariances, one row per period."""
        model.update(at, transformed=True, includes_fixed=True)
        out = model.ssm.filter()
        return np.concatenate([out.forecasts_error.T, out.forecasts_error_cov.T.reshape(n, -1)], axis=1)

    centre = forecasts(params)
    steps = model.difference_steps(params, _COARSE)
    moved = np.moveaxis(jacobian(nan_outside(forecasts, centre.shape), params, steps, 4, index), -1, 0)
    first = max(int(model.ssm.loglikelihood_burn), int(model.ssm.filter().nobs_diffuse))
    total = np.zeros((len(index), len(index)))
    for t in range(first, n):
        seen = np.flatnonzero(~np.isnan(np.asarray(model.endog)[t]))
        square = np.ix_(seen, seen)
        F = centre[t, p:].reshape(p, p)[square]
        dv = moved[:, t, :p][:, seen]
        dF = np.stack([row.reshape(p, p)[square] for row in moved[:, t, p:]])
        G = np.linalg.solve(F, dF)
        total += 0.5 * np.einsum("iab,jba->ij", G, G) + dv @ np.linalg.solve(F, dv.T)
    return total


def delta_method(
    function: Callable[[Array], Array], params: Array, cov: Array, steps: Array | None = None
) -> tuple[Array, Array]:
    """
    Return the values of a function and their standard errors.

    Parameters
    ----------
    function : callable
        Function of a parameter vector that returns a vector.
    params : ndarray
        The estimates.
    cov : ndarray
        Covariance of the estimates, with NaN where it is not available. The standard error of a value is NaN
        if it depends on a parameter without a covariance, or if the value is NaN one step from the estimates.
    steps : ndarray, optional
        Step sizes of the differences. By default a small share of each parameter.
    """
    value = np.asarray(function(params))
    steps = step_sizes(params) if steps is None else steps
    slopes = jacobian(function, params, steps)
    return value, delta_errors(slopes, cov)


def delta_errors(slopes: Array, cov: Array) -> Array:
    """
    Return standard errors by the delta method from given derivatives.

    Parameters
    ----------
    slopes : ndarray, (m, q)
        Derivatives of the values with respect to the parameters. NaN gives a standard error of NaN.
    cov : ndarray, (q, q)
        As in `delta_method`.
    """
    size = np.abs(slopes).max(axis=1, initial=0.0)
    used = np.abs(slopes) > 1e-12 * np.maximum(size, 1e-300)[:, None]
    known = np.isfinite(cov)
    lost = ((used @ ~known) & used).any(axis=1) | ~(size > 0)
    seen = np.where(used, slopes, 0.0)
    variance = np.einsum("mi,mi->m", seen @ np.where(known, cov, 0.0), seen)
    return np.where(lost, np.nan, np.sqrt(np.where(lost, 0.0, variance)))


def delta_covariance(slopes: Array, cov: Array, moves: Array, least: Array) -> Array:
    r"""
    Return the covariances J Sigma J' of values due to parameter uncertainty (delta method).

    Parameters
    ----------
    slopes : ndarray, (..., m, q)
        J, the derivatives of the values with respect to the parameters.
    cov : ndarray, (q, q)
        Sigma, with NaN in the row and column of a parameter without a standard error. If a value depends on
        such a parameter, its row and column in the result are NaN.
    moves : ndarray, (q,)
        Changes of the parameters.
    least : ndarray, (..., m)
        A value does not depend on a parameter if such a change affects it by at most ``least``.

    Returns
    -------
    ndarray, (..., m, m)
    """
    known = np.isfinite(np.diag(cov))
    with quiet():
        depends = ~(np.abs(slopes) * moves <= np.maximum(least, 0.0)[..., None])
    lost = (depends & ~known).any(axis=-1) | (depends & ~np.isfinite(slopes)).any(axis=-1)
    inside = np.where(known & np.isfinite(slopes), slopes, 0.0)
    out = inside @ np.where(np.outer(known, known), cov, 0.0) @ np.swapaxes(inside, -1, -2)
    return np.where(lost[..., :, None] | lost[..., None, :], np.nan, out)


def correlation_table(
    matrix: Callable[[Array], Array], params: Array, cov: Array, labels: list[str]
) -> pd.DataFrame:
    """
    Return the standard deviations and correlations of a covariance matrix, with delta-method errors.

    Parameters
    ----------
    matrix : callable
        Function of a parameter vector that returns the covariance matrix.
    params, cov : ndarray
        The estimates and their covariance.
    labels : list of str
        Names of the rows.
    """
    rows, columns = np.tril_indices(len(labels), -1)

    def quantities(at: Array) -> Array:
        """Return the standard deviations and the correlations."""
        sigma = matrix(at)
        sd = np.sqrt(np.clip(np.diag(sigma), 0.0, None))
        product = sd[rows] * sd[columns]
        correlation = np.divide(
            sigma[rows, columns], product, out=np.full(len(rows), np.nan), where=product > 0
        )
        return np.concatenate([sd, correlation])

    value, se = delta_method(quantities, params, cov)
    index = [("sd", name) for name in labels]
    index += [("corr", f"{labels[j]}, {labels[i]}") for i, j in zip(rows, columns, strict=True)]
    return pd.DataFrame(
        {"estimate": value, "se": se}, index=pd.MultiIndex.from_tuples(index, names=["quantity", "series"])
    )
