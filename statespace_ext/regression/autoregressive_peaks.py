"""Other maxima over one autoregressive coefficient and its variance, seen from one maximum."""

from __future__ import annotations

import itertools

import numpy as np

from ..fit.problem import EstimationProblem
from ..numerics.linear_algebra import Array
from ..params.affine import IntArray
from .regression_start import squared_errors

_PHI = np.array([-0.999, -0.95, -0.8, -0.5, -0.2, 0.2, 0.5, 0.8, 0.95, 0.999])
_SIZE = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
_WITHIN = 8.0
"""A peak that is lower than the maximum by more than this, all else as it is, is not followed."""


def autoregressive_peaks(
    problem: EstimationProblem, params: Array, exog: Array, noisy: IntArray
) -> list[Array]:
    """
    Return points from which a gradient method may reach a higher maximum, those of high likelihood first.

    For b_t = phi b_{t-1} + e_t with Var(e_t) = w, the likelihood tends to have several maxima over phi and
    the stationary variance w / (1 - phi^2): noise, slow movement and alternation may each explain a series.
    The points are the peaks on a grid of the two, for each coefficient in turn: its e_t uncorrelated with the
    others, since a correlation that suits one phi hides another, and all else held.

    Parameters
    ----------
    problem : EstimationProblem
        The problem, of a model with a diagonal "transition" whose rows are those of "state_cov".
    params : ndarray
        Free parameters at a maximum.
    exog : ndarray, (nobs, m)
        Regressors.
    noisy : ndarray of int, (q,)
        The level that each disturbance moves; the squared standard error of a static one is the unit of
        stationary variances.
    """
    unit = squared_errors(problem.smoother.endog, exog)[noisy]
    layout, found = problem.layout, []
    lowest = problem.value(params) - _WITHIN
    size = _SIZE if len(layout.block_params("state_cov")) else np.ones(1)
    for place in layout.block_params("transition"):
        rows = layout.blocks["transition"].rows[layout.index["transition"] == place]
        points = [
            _moved(problem, params, place, rows, phi, variance * unit[rows])
            for phi, variance in itertools.product(_PHI, size)
        ]
        values = np.array([problem.value(point) for point in points]).reshape(len(_PHI), len(size))
        for i, j in itertools.product(range(len(_PHI)), range(len(size))):
            around = values[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            if values[i, j] == around.max() and values[i, j] > lowest:
                found.append((values[i, j], points[i * len(size) + j]))
    return [point for _, point in sorted(found, key=lambda pair: -pair[0])]


def _moved(
    problem: EstimationProblem, params: Array, place: int, rows: IntArray, phi: float, variances: Array
) -> Array:
    """Return parameters with a coefficient and the stationary variances of its rows, without correlations."""
    cov = problem.layout.matrices(params)["state_cov"]
    cov[rows, :] = cov[:, rows] = 0.0
    cov[rows, rows] = variances * (1.0 - phi**2)
    out = problem.layout.project({"state_cov": cov}, params)
    out[place] = phi
    return out
