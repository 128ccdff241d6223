"""The only file that knows a statsmodels version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import statsmodels
from statsmodels.tsa.statespace.kalman_filter import SOLVE_CHOLESKY, KalmanFilter

from ..exceptions import ParameterError
from ..numerics.linear_algebra import Array

VERSION = tuple(int(part) for part in statsmodels.__version__.split(".")[:2])


def without_absolute_tolerances(ssm: KalmanFilter) -> None:
    """
    Make a filter independent of the units of the data.

    By default it stops to update covariances that change by less than 1e-19, and it skips a single observed
    series with a forecast variance below 1e-12, without an error: both are sizes, not shares.
    """
    ssm.tolerance = 0.0
    ssm.inversion_method = SOLVE_CHOLESKY


def univariate_is_wrong() -> bool:
    """Return whether the univariate filter is wrong about partly missing rows beside a full ``obs_cov``."""
    return VERSION < (0, 15)


def require_factorable(obs_cov: Array) -> None:
    """
    Reject a zero pivot of an H that is not diagonal, before statsmodels 0.15.0, with an exact-diffuse start.

    Its factorisation H = L D L' then divides by zero in compiled code, which can end the process.

    Parameters
    ----------
    obs_cov : ndarray, (p, p) or (p, p, nobs)
        H.

    Raises
    ------
    ParameterError
        If the installed statsmodels cannot factorise H.
    """
    if VERSION >= (0, 15) or not np.any(obs_cov[~np.eye(len(obs_cov), dtype=bool)]):
        return
    each = obs_cov[None] if obs_cov.ndim == 2 else np.moveaxis(obs_cov, 2, 0)
    if any(_has_zero_pivot(H) for H in each):
        raise ParameterError(
            "statsmodels before 0.15.0 fails on an exact-diffuse start with a singular obs_cov that is not "
            "diagonal",
            got=f"statsmodels {statsmodels.__version__}",
            remedy='Install statsmodels>=0.15.0, or use initialization="approximate_diffuse".',
        )


def _has_zero_pivot(H: Array) -> bool:
    """Return whether elimination meets a zero before the last row, in the order of statsmodels."""
    rows, pivots = np.array(H), np.zeros(len(H))
    for j in range(len(H)):
        left = rows[j, :j] * pivots[:j]
        pivots[j] = rows[j, j]
        for i in range(j):
            pivots[j] -= rows[j, i] * left[i]
        if pivots[j] == 0.0 and rows[j, j] > 0.0 and j < len(H) - 1:
            return True
        if pivots[j] != 0.0:
            rows[j + 1 :, j] = (rows[j + 1 :, j] - rows[j + 1 :, :j] @ left) / pivots[j]
    return False


@contextmanager
def simulation_seed(rng: object) -> Iterator[dict[str, object]]:
    """
    Yield the keyword under which the installed statsmodels takes a seed for simulation.

    Before 0.15.0 the initial state comes from numpy's global generator whatever the seed: that one is
    seeded meanwhile, and put back.
    """
    if rng is None:
        yield {}
    elif VERSION >= (0, 15):
        yield {"rng": rng}
    else:
        generator = np.random.default_rng(rng)  # type: ignore[arg-type]
        state = np.random.get_state()
        np.random.seed(int(deepcopy(generator).integers(2**32)))  # the draws of the generator stay
        try:
            yield {"random_state": generator}
        finally:
            np.random.set_state(state)
