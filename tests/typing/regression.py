"""What a type checker finds on a DynamicRegression, a CAPM and their results."""

from typing import assert_type

import pandas as pd
from matplotlib.figure import Figure

import statespace_ext as sse

data = sse.datasets.load_industries()
capm = sse.CAPM(data.returns, data.market, state_cov="scalar")
res = capm.fit()
assert_type(res, sse.CAPMResults)
assert_type(capm.smooth(res.params), sse.CAPMResults)
assert_type(res.params, "pd.Series[float]")
assert_type(res.bse, "pd.Series[float]")
assert_type(res.llf, float)
assert_type(res.fit_measures(), pd.DataFrame)
assert_type(res.plot_coefficients(), Figure)
assert_type(res.plot_forecast(), Figure)

other = sse.DynamicRegression(data.returns, data.market).fit()
assert_type(other, sse.DynamicRegressionResults)
assert_type(other.model, sse.DynamicRegression)
assert_type(other.resid, "pd.DataFrame | pd.Series[float]")
assert_type(other.plot_diagnostics(), Figure)
