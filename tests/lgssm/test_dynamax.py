"""EM with everything free against another package: dynamax in double precision (see tests/reference)."""

import json
import pathlib

import numpy as np
import pytest
import statsmodels.api as sm

import statespace_ext as sse

REFERENCE = pathlib.Path(__file__).parents[1] / "reference" / "dynamax_em.json"


@pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
def test_em_path_of_dynamax() -> None:
    """Means, intercepts, full H, Q and P_1: 100 log-likelihoods; dynamax adds a ridge of 1e-9."""
    stored = json.loads(REFERENCE.read_text())
    data = sm.datasets.macrodata.load_pandas().data[["realgdp", "realcons", "realinv"]]
    y = 100.0 * np.diff(np.log(data.to_numpy()), axis=0)
    model = sse.LGSSM(
        y,
        2,
        state_intercept="free",
        obs_cov="unstructured",
        initialization="estimated",
        initial_state_cov="free",
    )
    expected = np.array(stored["loglikelihoods"])
    res = model.fit(stored["start"], method="em", maxiter=len(expected) - 1, tolerance=0.0)
    np.testing.assert_allclose(res.em_trace["llf"], expected, rtol=0, atol=1e-6)
