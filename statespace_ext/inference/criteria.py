"""Information criteria, by what was observed."""

from __future__ import annotations

import numpy as np
from statsmodels.tools import eval_measures

from ..numerics.linear_algebra import Array, quiet


def observed(seen: Array) -> tuple[int, int]:
    """Return the number of observed values, and of periods with one, from their places (nobs, p)."""
    return int(seen.sum()), int(seen.any(axis=1).sum())


def criteria(llf: float, n_params: int, values: int, periods: int) -> dict[str, float]:
    r"""
    Return AIC, AICc, BIC and HQIC.

    .. math::

        AIC = -2\ell + 2m, \quad AICc = -2\ell + 2m\,\frac{N}{N - m - 1}, \quad
        BIC = -2\ell + m\log n, \quad HQIC = -2\ell + 2m\log\log n

    with m parameters, N observed values and n periods with at least one. AICc is infinite for N <= m + 1.

    Parameters
    ----------
    llf : float
        Log-likelihood.
    n_params, values, periods : int
        m, N and n.
    """
    counts = {"aic": periods, "aicc": values, "bic": periods, "hqic": periods}
    with quiet():  # log log 1
        return {
            name: float(getattr(eval_measures, name)(llf, np.float64(n), n_params))
            for name, n in counts.items()
        }
