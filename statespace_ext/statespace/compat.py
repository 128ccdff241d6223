"""The only file that knows a statsmodels version."""

from __future__ import annotations

import numpy as np
import statsmodels

from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array

VERSION = tuple(int(part) for part in statsmodels.__version__.split(".")[:2])


def require_exact_diffuse(missing: Array, obs_cov: Array) -> None:
    """
    Refuse what an older statsmodels gets wrong about exact-diffuse starts.

    Before 0.15.0 the log-likelihood is silently wrong when a row is partly missing inside a diffuse
    period. The length of that period is not known beforehand, so any partly missing row is refused.

    Raises
    ------
    UnsupportedError
        If the installed statsmodels would return a wrong log-likelihood.
    """
    if VERSION >= (0, 15):
        return
    partly = missing.any(axis=1) & ~missing.all(axis=1)
    if partly.any():
        raise UnsupportedError(
            "statsmodels before 0.15.0 gives a wrong log-likelihood for an exact-diffuse start with partly "
            "missing rows",
            got=f"statsmodels {statsmodels.__version__}, row {int(np.argmax(partly))} partly missing",
            remedy='Install statsmodels>=0.15.0, or use initialization="approximate_diffuse".',
        )


def simulation_seed(rng: object) -> dict[str, object]:
    """Return the keyword under which the installed statsmodels takes a seed for simulation."""
    if rng is None:
        return {}
    return {"rng": rng} if VERSION >= (0, 15) else {"random_state": rng}
