"""What a type checker finds on the term structure models and their results."""

from typing import assert_type

import pandas as pd
from matplotlib.figure import Figure

import statespace_ext as sse

yields = pd.DataFrame()
res = sse.ATSM(yields, [1.0, 5.0, 10.0]).fit()
assert_type(res, sse.ATSMResults)
assert_type(res.model, sse.ATSM)
assert_type(res.params, "pd.Series[float]")
assert_type(res.bse, "pd.Series[float]")
assert_type(res.converged, bool)
assert_type(res.fitted_yields, pd.DataFrame)
assert_type(res.term_premium(10).estimate, pd.DataFrame)
assert_type(res.plot_factors(), Figure)
assert_type(res.plot_loadings(), Figure)
assert_type(res.plot_term_premium(10), Figure)
assert_type(res.plot_curve("1981-09"), Figure)

acm = sse.ACM(yields, [1.0, 5.0, 10.0]).fit()
assert_type(acm, sse.ACMResults)
assert_type(acm.plot_term_premium(10), Figure)
