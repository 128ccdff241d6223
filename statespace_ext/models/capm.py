"""The capital asset pricing model with moving betas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..exceptions import DataError, UnsupportedError
from ..results.capm import CAPMResults, CAPMResultsWrapper
from ..statespace.validation import endog_frame, regressor_array
from .dynamic_regression import DynamicRegression

CONSTANT = "const"
MARKET = "MKT"


class CAPM(DynamicRegression):
    r"""
    Excess returns of several assets on the excess return of the market, with static alphas and moving betas.

    .. math::

        r_{it} - r_{ft} = \alpha_{it} + \beta_{it}(r_{mt} - r_{ft}) + \varepsilon_{it}

    with full covariance matrices of the observations (V) and of the steps of beta (W) across assets, and
    an exact diffuse start: a `DynamicRegression` on a constant and the factors.

    Parameters
    ----------
    returns : array_like, (nobs, p)
        Returns of the assets, NaN where missing; excess returns if ``risk_free`` is None.
    market : array_like, (nobs,) or (nobs, f)
        Return of the market, or factors with the market first (Fama-French).
    risk_free : array_like, (nobs,), optional
        Risk-free rate, subtracted from the returns and from the first factor (the others are returns of
        portfolios that cost nothing).
    alpha, beta : {"static", "random_walk", "ar1"}
        Dynamics; ``beta`` may be a mapping by factor.
    **kwargs
        ``obs_cov``, ``state_cov``, ``initialization``, ``dates``, ``freq``: see `DynamicRegression`.

    Raises
    ------
    DataError
        If the inputs are not finite numbers of matching length and index.

    Examples
    --------
    >>> import numpy as np, statespace_ext as sse
    >>> rng = np.random.default_rng(0)
    >>> market = rng.normal(size=100)
    >>> returns = np.outer(market, [0.8, 1.2]) + rng.normal(size=(100, 2))
    >>> res = sse.CAPM(returns, market, state_cov="scalar").fit()
    >>> res.beta.smoothed.shape
    (100, 2)
    """

    def __init__(
        self,
        returns: Any,
        market: Any,
        risk_free: Any = None,
        *,
        alpha: str = "static",
        beta: str | Mapping[str, str] = "random_walk",
        **kwargs: Any,
    ) -> None:
        endog, exog = excess_data(returns, market, risk_free)
        factors = [str(name) for name in exog.columns[1:]]
        betas = dict(beta) if isinstance(beta, Mapping) else dict.fromkeys(factors, beta)
        super().__init__(endog, exog, dynamics={CONSTANT: alpha, **betas}, **kwargs)
        self.has_risk_free = risk_free is not None
        self._given = {
            **{key: value for key, value in self._given.items() if key != "dynamics"},
            "alpha": alpha,
            "beta": beta,
        }
        self.factors = factors

    def clone(self, endog: Any, exog: Any = None, **kwargs: Any) -> CAPM:
        """
        Return the same model for other excess returns and factors.

        Parameters
        ----------
        endog : array_like
            Excess returns.
        exog : array_like
            The constant and the factors, as ``model.exog``.
        **kwargs
            Arguments of the constructor to change.
        """
        if exog is None:
            raise DataError("A model of returns needs the factors of the new periods", got="exog=None")
        values = np.asarray(exog, dtype=float)[:, 1:]
        index = endog.index if isinstance(endog, (pd.Series, pd.DataFrame)) else None
        factors = pd.DataFrame(values, index=index, columns=self.factors)
        start = kwargs.pop("initialization", None)
        fresh = {} if start is None or not isinstance(start, str) else {"initialization": start}
        model = type(self)(endog, factors, **{**self._given, **fresh, **kwargs})
        if start is not None and not isinstance(start, str):
            model.ssm.initialization = start
        model.has_risk_free = self.has_risk_free
        return model

    def excess(self, returns: Any, market: Any, risk_free: Any = None) -> tuple[Any, Any]:
        """
        Return excess returns (None for None) and regressors of new periods from raw data.

        Raises
        ------
        DataError
            If the model was built with a risk-free rate and none is given now, or the reverse.
        """
        if market is None:
            raise DataError("New periods need the return of the market", expected=f"market={self.factors}")
        if self.has_risk_free != (risk_free is not None):
            raise DataError(
                "risk_free must be given for new periods exactly if the model was built with it",
                got=f"risk_free {'given' if risk_free is not None else 'missing'}",
            )
        endog, exog = excess_data(returns, market, risk_free)
        return endog, exog.set_axis(list(self.exog_names), axis=1)

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, **kwargs: Any) -> Any:
        """Not offered: use `DynamicRegression.from_formula`."""
        raise UnsupportedError(
            "CAPM takes returns and a market", remedy="Use DynamicRegression.from_formula."
        )

    @property
    def _res_classes(self) -> dict[str, tuple[type, type]]:
        return {"fit": (CAPMResults, CAPMResultsWrapper)}


def excess_data(returns: Any, market: Any, risk_free: Any) -> tuple[Any, pd.DataFrame]:
    """
    Return excess returns and the regressors (constant, factors).

    Raises
    ------
    DataError
        If lengths or indexes do not match, or the market or the risk-free rate is missing somewhere.
    """
    if market is None:
        raise DataError("The return of the market is missing", got="market=None")
    size = len(market)
    data: Any = None if returns is None else endog_frame(returns)
    if data is not None and len(data) != size:
        raise DataError("returns and market have different lengths", got=f"{len(data)} and {size}")
    pandas = next((d for d in (data, market) if isinstance(d, (pd.Series, pd.DataFrame))), None)
    index = None if pandas is None else pandas.index
    factors = _factor_frame(market, index)
    rate = regressor_array(risk_free, size, index, "risk_free")
    if rate is not None:
        if rate.shape[1] != 1:
            raise DataError("risk_free has several columns", got=rate.shape, expected=f"({size},)")
        factors = factors.copy()
        factors.iloc[:, 0] = factors.iloc[:, 0].to_numpy() - rate[:, 0]
        if isinstance(data, pd.DataFrame):
            data = data.sub(rate[:, 0], axis=0)
        elif data is not None:
            data = data - (rate[:, 0] if np.ndim(data) == 1 else rate)
    factors.insert(0, CONSTANT, 1.0)
    return data, factors


def _factor_frame(market: Any, index: pd.Index | None) -> pd.DataFrame:
    """Return the factors as a frame; a market without a name is called MKT."""
    values = np.array(regressor_array(market, None if index is None else len(index), index, "market"))
    if isinstance(market, pd.DataFrame):
        names = [str(name) for name in market.columns]
    elif isinstance(market, pd.Series):
        names = [str(market.name) if market.name is not None else MARKET]
    else:
        names = [MARKET] + [f"factor{i + 1}" for i in range(1, values.shape[1])]
    if CONSTANT in names:
        raise DataError(f"A factor is named {CONSTANT!r}, the name of the constant", remedy="Rename it.")
    return pd.DataFrame(values, index=index, columns=names)
