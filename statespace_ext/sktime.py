"""A forecaster of sktime for `LGSSM`. Nothing in the package imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.stats import norm

from .exceptions import UnsupportedError
from .lgssm.model import LGSSM

__all__ = ["LGSSMForecaster"]


def _base() -> type:
    """Return the base class of forecasters, or `object` without sktime."""
    try:
        from sktime.forecasting.base import BaseForecaster
    except ImportError:
        return object
    return BaseForecaster


_Base: Any = _base()


class LGSSMForecaster(_Base):
    """
    Forecaster of sktime that fits an `LGSSM`.

    Parameters
    ----------
    k_factors : int
        Number of factors.
    lags : int
        Number of lags of the transition.
    identification : {"unit", "triangular", None}
        Normalisation of the factors.
    model_options : dict, optional
        Other arguments of `LGSSM`, such as ``{"obs_cov": "unstructured"}``.
    fit_options : dict, optional
        Arguments of `LGSSM.fit`, such as ``{"method": "em"}``.

    Attributes
    ----------
    results_ : LGSSMResults
        Results of the fit, with the data of later updates.

    Notes
    -----
    `update` adds data and fits again; with ``update_params=False`` it keeps the parameters. Prediction
    intervals take the parameters as known. Predictions within the sample are one-step-ahead predictions.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from statespace_ext.sktime import LGSSMForecaster
    >>> months = pd.period_range("2020-01", periods=60, freq="M")
    >>> y = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), months, ["a", "b"])
    >>> forecaster = LGSSMForecaster(k_factors=1).fit(y)
    >>> forecaster.predict(fh=[1, 3]).shape
    (2, 2)
    """

    _tags = {
        "authors": "statespace_ext developers",
        "maintainers": "statespace_ext developers",
        "python_dependencies": "statsmodels",
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:missing_values": True,
        "capability:categorical_in_X": False,
        "capability:non_contiguous_X": False,
        "capability:pred_int": True,
        "capability:update": True,
        "requires-fh-in-fit": False,
    }
    _config = {"remember_data": False}  # `_data` holds them
    _y = _X = None

    def __init__(
        self,
        k_factors: int = 1,
        lags: int = 1,
        identification: str | None = "unit",
        model_options: Mapping[str, Any] | None = None,
        fit_options: Mapping[str, Any] | None = None,
    ) -> None:
        if _Base is object:
            raise UnsupportedError(
                "The forecaster needs sktime, which is not installed",
                remedy='Install it: pip install "statespace-ext[sktime]".',
            )
        self.k_factors = k_factors
        self.lags = lags
        self.identification = identification
        self.model_options = model_options
        self.fit_options = fit_options
        super().__init__()

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: object) -> LGSSMForecaster:
        """Fit the model and keep the data, which an update needs."""
        self._data = y, X
        self.results_ = self._model().fit(**(self.fit_options or {}))
        return self

    def _model(self) -> LGSSM:
        """Return the model of all data so far."""
        y, X = self._data
        options = {"identification": self.identification, **(self.model_options or {})}
        return LGSSM(y, self.k_factors, self.lags, exog=X, **options)

    def _update(self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True) -> Any:
        """Add data, which replace earlier values of the same periods."""
        y_so_far, X_so_far = self._data
        if X is not None and X_so_far is not None:
            X_so_far = X.combine_first(X_so_far)
        self._data = y.combine_first(y_so_far), X_so_far
        if update_params:
            return self._fit(*self._data, None)
        self.results_ = self._model().smooth(self.results_.params)
        return self

    def _prediction(self, fh: Any, X: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the means and the standard errors of the periods of a forecasting horizon."""
        y, seen = self._data
        rows = fh.to_absolute_int(y.index[0], self.cutoff).to_numpy()
        ahead = max(int(rows.max()) + 1 - len(y), 0)
        if seen is None or not ahead:
            X = None
        elif X is not None:
            X = X[~X.index.isin(seen.index)].iloc[:ahead]
        found = self.results_.get_prediction(0, len(y) - 1 + ahead, exog=X)
        index = fh.to_absolute_index(self.cutoff)
        frames = (pd.DataFrame(each).iloc[rows] for each in (found.predicted_mean, found.se_mean))
        mean, error = (frame.set_axis(index).set_axis(y.columns, axis=1) for frame in frames)
        return mean, error

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        """Return the means."""
        return self._prediction(fh, X)[0]

    def _predict_quantiles(self, fh: Any, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        """Return normal quantiles, from which sktime derives intervals and variances."""
        mean, error = self._prediction(fh, X)
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        found = [mean[name] + norm.ppf(level) * error[name] for name in mean for level in alpha]
        return pd.concat(found, axis=1).set_axis(columns, axis=1)

    def _get_fitted_params(self) -> dict[str, float]:
        """Return the estimates by name."""
        return dict(zip(self.results_.model.param_names, map(float, self.results_.params), strict=True))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return arguments for the tests of sktime."""
        quick = {"method": "em", "maxiter": 3, "cov_type": "none"}
        return [
            {"fit_options": quick},
            {"lags": 2, "model_options": {"obs_cov": "scalar"}, "fit_options": quick},
        ]
