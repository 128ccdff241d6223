"""What a type checker finds on an LGSSM and its results."""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

import statespace_ext as sse
from statespace_ext.base.reporting import FitSummary
from statespace_ext.base.states import Factors
from statespace_ext.inference.bootstrap import Bootstrap

model = sse.LGSSM(sse.datasets.load_macro(), k_factors=1, lags=2, identification="unit")
assert_type(model, sse.LGSSM)
assert_type(model.param_names, list[str])
assert_type(model.start_params, npt.NDArray[Any])
assert_type(sse.from_marss(np.zeros((9, 2)), {"tinitx": 1}), sse.LGSSM)

res = model.fit(cov_type="robust", disp=False)
assert_type(res, sse.LGSSMResults)
assert_type(model.smooth(res.params), sse.LGSSMResults)
assert_type(res.model, sse.LGSSM)

assert_type(res.params, "pd.Series[float]")
assert_type(res.bse, "pd.Series[float]")
assert_type(res.tvalues, "pd.Series[float]")
assert_type(res.pvalues, "pd.Series[float]")
assert_type(res.conf_int(alpha=0.1), pd.DataFrame)
assert_type(res.llf, float)
assert_type(res.aic, float)
assert_type(res.aicc, float)
assert_type(res.bic, float)
assert_type(res.nobs, int)
assert_type(res.converged, bool)
assert_type(res.mle_retvals, dict[str, Any] | None)
assert_type(res.matrices, dict[str, pd.DataFrame])
assert_type(res.em_trace, pd.DataFrame)
assert_type(res.tidy(), pd.DataFrame)

assert_type(res.factors, Factors)
assert_type(res.factors.smoothed, pd.DataFrame)
assert_type(res.forecast(4), "pd.DataFrame | pd.Series[float]")
assert_type(res.predict(0, 9), "pd.DataFrame | pd.Series[float]")
assert_type(res.fittedvalues, "pd.DataFrame | pd.Series[float]")
assert_type(res.bootstrap(9), Bootstrap)
assert_type(res.profile("L1.f1->f1"), sse.Profile)

summary = res.summary()
assert_type(summary, FitSummary)
assert_type(summary.as_latex(), str)
assert_type(res.plot_factors(), Figure)
assert_type(res.plot_forecast(8), Figure)
assert_type(res.plot_diagnostics(), Figure)
assert_type(res.profile("L1.f1->f1").plot(), Figure)
