"""Likelihoods without a maximum."""

from __future__ import annotations

import numpy as np

from ..numerics.linear_algebra import Array
from .problem import EstimationProblem

_NOTHING = 1e-10
"""Share of a series' mean square from which the variance of its first forecast counts as zero."""


def unbounded_start(problem: EstimationProblem, params: Array) -> str:
    """
    Say that a free mean of x_1 fits the first observation exactly, empty where it does not.

    With H_jj -> 0 and Var(x_1) = 0 (or tending to it), -1/2 log|F_1| grows without limit, F_1 = Z P_1 Z' + H,
    as long as a_1 keeps v_1 = 0.

    Parameters
    ----------
    problem : EstimationProblem
        The model.
    params : ndarray
        Free parameters.
    """
    block = problem.layout.blocks.get("initial_state")
    seen = ~problem.smoother.missing[0]
    if block is None or block.is_fixed or not seen.any():
        return ""
    system = problem.system(params)
    if system.diffuse or system.initialization is not None:
        return ""
    Z, H = (m if m.ndim == 2 else m[:, :, 0] for m in (system.design, system.obs_cov))
    F = (Z @ system.initial_state_cov @ Z.T + H)[np.ix_(seen, seen)]
    size = np.sqrt(np.nanmean(problem.smoother.endog[:, seen] ** 2, axis=0))
    if np.linalg.eigvalsh(F / size[:, None] / size)[0] > _NOTHING:
        return ""
    return (
        "the likelihood is unbounded: an estimated x_1 fits the first observation exactly as its variance "
        "falls to zero; put an empty (NaN) row first"
    )
