"""A likelihood without a maximum is said to have none."""

from __future__ import annotations

import numpy as np
import pytest
from engine import sampled

import statespace_ext as sse


def estimated_start(first: float | None) -> sse.LGSSM:
    spec = {"initialization": "estimated", "identification": "triangular"}
    model, _ = sampled(np.random.default_rng(8), 80, 3, 2, missing=0.1, **spec)
    y = np.array(model.endog)
    if first is not None:
        y[0] = first
    return sse.LGSSM(y, 2, **spec)


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_an_estimated_first_state_fits_the_first_observation_exactly() -> None:
    model = estimated_start(None)
    with pytest.warns(sse.ConvergenceWarning, match=r"unbounded.*put an empty \(NaN\) row first"):
        res = model.fit()
    assert not res.converged and "unbounded" in res.mle_retvals["task"]
    assert str(res.summary()).count("unbounded") == 1

    # it is: along v_1 = 0 the log-likelihood grows by log 10 / 2 for every tenth of the variance
    place = model.param_names.index("obs_var.y2")
    system = model.system(np.asarray(res.params))
    params = np.array(res.params)
    state = params[-2:]
    fitted = system.obs_intercept[1] + system.design[1] @ system.initial_state
    state += system.design[1] * (model.endog[0, 1] - fitted) / (system.design[1] @ system.design[1])
    params[-2:] = state
    params[place] = 1e-7
    high = model.loglike(params)
    params[place] = 1e-9
    np.testing.assert_allclose(model.loglike(params) - high, np.log(10.0), rtol=1e-3)


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
def test_with_an_empty_first_row_it_has_a_maximum() -> None:
    res = estimated_start(np.nan).fit()
    assert res.converged and "unbounded" not in str(res.summary())
