"""Which maturities a fit prices without error, and other choices of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..numerics.linear_algebra import Array

_ZERO, _EXACT = 1e-7, 1e-10
"""Variances of pricing errors, as shares of those of the yields: taken to be zero, and put for zero."""


def exchanges(model: Any, problem: Any, params: Array) -> list[Array]:
    """
    Return starts at which a maturity priced without error gives way to one of its neighbours.

    The likelihood rises without a slope towards a variance of zero for as many maturities as there are
    factors, and has a maximum for each choice of them. A search does not leave one for another. (Where the
    first state is free too it rises without bound, and there is no choice to make.)

    Parameters
    ----------
    model : ATSM
        The model.
    problem : EstimationProblem
        The problem.
    params : ndarray
        Free parameters at a maximum.
    """
    layout = problem.layout
    block, places = layout.blocks["obs_cov"], layout.index["obs_cov"]
    unbounded = not layout.blocks["initial_state"].is_fixed
    if unbounded or len(set(places)) < 2 or np.any(block.rows != block.columns):
        return []
    sizes = model.variance_sizes(problem.full(params))["obs_cov"][block.rows]
    zero = params[places] < _ZERO * sizes
    if not zero.any() or zero.all():
        return []
    order = np.argsort(model.panel.maturities[block.rows], kind="stable")
    typical = float(np.median(params[places][~zero]))
    out = []
    for rank, i in enumerate(order):
        near = order[max(rank - 1, 0) : rank + 2]
        for j in near[~zero[near]] if zero[i] else ():
            trial = np.array(params)
            trial[places[i]], trial[places[j]] = typical, _EXACT * sizes[j]
            out.append(trial)
    return out
