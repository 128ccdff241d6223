"""The CAPM of 12 industries over 819 months, the size that real panels have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from capm import static_llf
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.regression.constancy_ratios import ratio_of

INDUSTRIES = "NoDur Durbl Manuf Enrgy Chems BusEq Telcm Utils Shops Hlth Money Other".split()


@pytest.fixture(scope="module")
def industries() -> tuple[pd.DataFrame, pd.Series]:
    """Excess returns of the industries and of the market, in percent."""
    french = pytest.importorskip("linearmodels.datasets.french").load()
    french.index = pd.PeriodIndex(french["dates"], freq="M")
    return 100.0 * french[INDUSTRIES].sub(french["RF"], axis=0), 100.0 * french["MktRF"]


@pytest.mark.parametrize("state_cov", ["diagonal", "proportional"])
def test_fit_converges_to_the_maximum(industries: tuple, state_cov: str) -> None:
    """The maximum found without a filter, from independent contrasts of the data, is the same."""
    model = sse.CAPM(*industries, state_cov=state_cov)
    res = model.fit(cov_type="none")
    assert res.converged and not res.boundary
    llf, llf_null, found = ratio_of(model).observed(None)
    assert found
    assert_allclose(res.llf, llf, rtol=0, atol=1e-4)
    y, exog = industries[0].to_numpy(), model.exog
    residuals = y - exog @ np.linalg.lstsq(exog, y, rcond=None)[0]
    V = residuals.T @ residuals / (len(y) - 2)
    assert_allclose(llf_null, static_llf(y, exog, V), rtol=0, atol=1e-6)
