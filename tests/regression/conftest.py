"""What several modules of tests of regressions use: raw returns, returns with gaps, and a fit of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, N, Raw, raw_fit, raw_returns, returns_with_gaps

import statespace_ext as sse


@pytest.fixture(scope="module")
def raw() -> Raw:
    return raw_returns()


@pytest.fixture(scope="module")
def sample(raw: Raw) -> Raw:
    return raw[:N]


@pytest.fixture(scope="module")
def future(raw: Raw) -> Raw:
    """The periods after the sample."""
    return raw[N:]


@pytest.fixture(scope="module")
def plain(sample: Raw) -> sse.DynamicRegressionResults:
    """The model and the parameters of `raw_fit` without the thin form."""
    model = sse.DynamicRegression(sample.excess, sample.regressors(), dynamics=BETA_MOVES)
    return model.smooth(np.asarray(raw_fit().params))


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, pd.DataFrame]:
    return returns_with_gaps()


@pytest.fixture(scope="session")
def res() -> sse.DynamicRegressionResults:
    """The default fit of returns with gaps."""
    return sse.DynamicRegression(*returns_with_gaps(), dynamics=BETA_MOVES).fit()
