"""Results of `CAPM`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.mlemodel import MLEResultsWrapper

from ..exceptions import SpecificationError
from ..inference.alpha import GRSTest, WaldTest, grs, wald_alpha
from .dynamic_regression import Coefficient, DynamicRegressionResults, DynamicRegressionResultsWrapper


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

    def test_alpha(self) -> dict[str, WaldTest | GRSTest | None]:
        """
        Test that all alphas are zero.

        Returns
        -------
        dict
            "wald": joint Wald test from the smoothed alphas, given V and W. "grs": the exact F test of
            Gibbons, Ross & Shanken (1989) on the static least-squares model, None with missing returns or
            too few periods.

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
        (n, p), k = model.endog.shape, len(model.factors)
        exact = n - p - k >= 1 and not np.any(np.isnan(model.endog))
        returns = pd.DataFrame(model.endog, columns=model.coefficients.endog)
        return {"wald": wald_alpha(self), "grs": grs(returns, model.exog[:, 1:]) if exact else None}

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


class CAPMResultsWrapper(DynamicRegressionResultsWrapper):
    """Wrapper that labels results, as statsmodels has it."""

    _attrs: dict[str, str] = {}
    _wrap_attrs = dict(MLEResultsWrapper._wrap_attrs)
    _wrap_methods = dict(MLEResultsWrapper._wrap_methods)
