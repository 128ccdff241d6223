"""Information criteria, by what was observed."""

from __future__ import annotations

import numpy as np
from statsmodels.tools import eval_measures

from ..numerics.linear_algebra import Array, quiet


def criteria(llf: float, n_params: int, seen: Array) -> dict[str, float]:
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
    n_params : int
        m.
    seen : ndarray of bool, (nobs, p)
        Whether a value is observed.
    """
    counts = {"aic": len(seen), "aicc": int(seen.sum())}
    periods = int(seen.any(axis=1).sum())
    with quiet():  # log log 1
        return {
            name: float(getattr(eval_measures, name)(llf, np.float64(counts.get(name, periods)), n_params))
            for name in ("aic", "aicc", "bic", "hqic")
        }
