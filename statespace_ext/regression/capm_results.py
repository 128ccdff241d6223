"""Results of `CAPM`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import SpecificationError
from .alpha import GRSTest, WaldTest, grs, wald_alpha
from .results import Coefficient, DynamicRegressionResults


class CAPMResults(DynamicRegressionResults):
    """
    Results of fitting (or of filtering and smoothing) a `CAPM`.

    Beside what `DynamicRegressionResults` has: `alpha`, `beta`, `test_alpha`. Methods for other periods
    (`forecast`, `get_prediction`, `simulate`, `append`, `extend`, `apply`) take raw ``market`` and
    ``risk_free``, as the constructor, in place of ``exog``.
    """

    @property
    def alpha(self) -> Coefficient:
        """Alphas: ``estimate`` and ``se`` where static, ``smoothed`` paths where they move."""
        return self._coefficient(0)

    @property
    def beta(self) -> Any:
        """Betas (`Coefficient`); a dict by factor where there are several."""
        betas = {name: self._coefficient(j + 1) for j, name in enumerate(self.model.factors)}
        return next(iter(betas.values())) if len(betas) == 1 else betas

    def test_alpha(
        self, n_sim: int = 199, rng: Any = None, n_jobs: int | None = None
    ) -> dict[str, WaldTest | GRSTest | None]:
        """
        Test that all alphas are zero.

        Parameters
        ----------
        n_sim : int
            Number of samples, where the distribution of the Wald statistic is simulated.
        rng : numpy.random.Generator or int, optional
            Source of the samples.
        n_jobs : int, optional
            As in `fit_many`.

        Returns
        -------
        dict
            "wald": joint Wald test from the smoothed alphas. Its p-value is exact for static betas with a
            full, diagonal or scalar ``obs_cov`` (see `WaldTest`), from a parametric bootstrap otherwise,
            and NaN where there are no more periods than assets and factors. "grs": the exact F test of
            Gibbons, Ross & Shanken (1989) on the static least-squares model, None where a period is partly
            missing or there are too few periods.

        Raises
        ------
        SpecificationError
            If alpha is not static.
        """
        if self.model.coefficients.dynamics[0] != "static":
            raise SpecificationError(
                "test_alpha needs static alphas", got=f"alpha={self.model.coefficients.dynamics[0]!r}"
            )
        model = self.model
        seen = ~np.isnan(model.endog)
        rows, (p, k) = seen.all(axis=1), (model.k_endog, len(model.factors))
        exact = rows.sum() > p + k and np.array_equal(rows, seen.any(axis=1))
        returns = pd.DataFrame(model.endog[rows], columns=model.coefficients.endog)
        return {
            "wald": wald_alpha(self, n_sim=n_sim, rng=rng, n_jobs=n_jobs),
            "grs": grs(returns, model.exog[rows, 1:]) if exact else None,
        }

    def get_prediction(
        self, *args: Any, market: Any = None, risk_free: Any = None, exog: Any = None, **kwargs: Any
    ) -> Any:
        """Return predictions of excess returns; ``market`` and ``risk_free`` of periods after the sample."""
        _, exog = self.model.new_periods(None, exog, market, risk_free)
        return super().get_prediction(*args, exog=exog, **kwargs)

    def simulate(
        self,
        nsimulations: int,
        *args: Any,
        market: Any = None,
        risk_free: Any = None,
        exog: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Simulate excess returns; ``market`` and ``risk_free`` of periods after the sample."""
        _, exog = self.model.new_periods(None, exog, market, risk_free)
        return super().simulate(nsimulations, *args, exog=exog, **kwargs)
