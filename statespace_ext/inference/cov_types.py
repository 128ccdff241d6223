"""
The menu of covariance estimates of the parameters, from one model and one point.

With l_t the log-likelihood of period t given its past, v_t and F_t the errors of the forecasts of what was
observed and their covariance, and s_t = dl_t / dparams:

    A = -sum_t d2 l_t          the observed information         "oim", "approx": A^{-1}
    B = sum_t s_t s_t'         the outer products of scores     "opg": B^{-1};  "robust": A^{-1} B A^{-1}
    C_ij = sum_t 1/2 tr(F^{-1} dF_i F^{-1} dF_j) + dv_i' F^{-1} dv_j      "harvey": C^{-1}

E[A] = E[B] = E[C] in a model that is right. B needs the periods' own scores: the terms by period of the
smoothed score have the same sum and other products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exceptions import SpecificationError
from ..numerics.linear_algebra import NOT_HERE, Array, quiet
from .information import numerical_information, observed_information

DESCRIPTIONS = {
    "oim": "Standard errors from the observed information: second derivatives of the log-likelihood.",
    "opg": "Standard errors from the outer product of the scores of the periods.",
    "robust": "Robust standard errors: outer product of scores between inverse observed informations.",
    "harvey": "Standard errors from Harvey's (1989) information of the observed forecast errors.",
    "approx": "Standard errors from second differences of the log-likelihood.",
    "none": "Standard errors were not computed.",
}
COV_TYPES = tuple(DESCRIPTIONS)
_COARSE = 0.02
"""Share of a standard error that is a step of differences of the log-likelihood (`difference_steps`)."""


def check_cov_type(cov_type: object) -> None:
    """
    Refuse a type that is not on the menu.

    Raises
    ------
    SpecificationError
        If it is unknown.
    """
    if not isinstance(cov_type, str) or cov_type not in COV_TYPES:
        raise SpecificationError("cov_type is unknown", got=repr(cov_type), expected=f"one of {COV_TYPES}")


def information_parts(
    model: Any, params: Array, index: Array, cov_type: str
) -> tuple[Array, Array | None, Array]:
    """
    Return the matrix to invert, the one between its inverses ("robust"; else None), and the steps.

    Parameters
    ----------
    model : StateSpaceModel
        The model; it is left as it was.
    params : ndarray
        A full parameter vector.
    index : ndarray of int
        The parameters to differentiate by.
    cov_type : {"oim", "opg", "robust", "harvey", "approx"}
        The estimate.
    """
    with model.preserved(), quiet():
        steps = model.difference_steps(params, _COARSE if cov_type == "approx" else 1e-4)
        if cov_type == "approx":
            return numerical_information(_loglike_or_nan(model), params, index, steps), None, steps
        if cov_type == "harvey":
            return innovations_information(model, params, index), None, steps
        outer = None
        if cov_type in ("opg", "robust"):
            scores = period_scores(model, params, index)
            outer = scores.T @ scores
        if cov_type == "opg":
            return np.asarray(outer), None, steps
        return observed_information(model, params, index, steps), outer, steps


def period_scores(model: Any, params: Array, index: Array) -> Array:
    """
    Return the derivatives of the log-likelihood of each period given its past, (n, m).

    Central differences of the filter's terms, of fourth order; NaN where a step has no likelihood.
    """

    def terms(at: Array) -> Array:
        model.update(at, transformed=True, includes_fixed=True)
        return np.asarray(model.ssm.loglikeobs())

    return _derivatives(terms, params, index, model.difference_steps(params, _COARSE)).T


def innovations_information(model: Any, params: Array, index: Array) -> Array:
    """
    Return Harvey's (1989, section 3.4.5) information, as statsmodels has it, over what was observed.

    Missing elements are left out of v_t and F_t (statsmodels counts them); the periods of an exact-diffuse
    start too, as there.
    """
    n, p = np.shape(model.endog)

    def forecasts(at: Array) -> Array:
        model.update(at, transformed=True, includes_fixed=True)
        out = model.ssm.filter()
        return np.concatenate([out.forecasts_error.T, out.forecasts_error_cov.T.reshape(n, -1)], axis=1)

    centre = forecasts(params)
    moved = _derivatives(forecasts, params, index, model.difference_steps(params, _COARSE))
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


def _derivatives(function: Any, params: Array, index: Array, steps: Array) -> Array:
    """Return derivatives of an array by central differences of fourth order, the parameters first."""

    def at(place: int, move: float) -> Array | float:
        trial = np.array(params)
        trial[place] += move
        try:
            return np.asarray(function(trial))
        except NOT_HERE:
            return np.nan

    shape = np.shape(function(params))
    out = np.full((len(index), *shape), np.nan)
    for row, i in zip(out, index, strict=True):
        h = steps[i]
        near, far = at(i, h) - at(i, -h), at(i, 2 * h) - at(i, -2 * h)
        row[...] = (8.0 * near - far) / (12.0 * h)
    return out


def _loglike_or_nan(model: Any) -> Any:
    def loglike(params: Array) -> float:
        try:
            return float(model.loglike(params, includes_fixed=True))
        except NOT_HERE:
            return np.nan

    return loglike
