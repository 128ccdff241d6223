"""Order selection: the truth of simulated samples, rows that are the separate fits, refusals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from yields import random_panel

import statespace_ext as sse


def two_factors(n: int = 160, p: int = 5) -> np.ndarray:
    """Return series that move with two autoregressions of one lag."""
    rng = np.random.default_rng(3)
    f = np.zeros((n, 2))
    for t in range(1, n):
        f[t] = f[t - 1] * [0.9, -0.5] + rng.standard_normal(2)
    return f @ rng.standard_normal((2, p)) + 0.7 * rng.standard_normal((n, p))


def cycle(n: int = 200) -> np.ndarray:
    """Return an autoregression of two lags with noise."""
    rng = np.random.default_rng(1)
    f = np.zeros(n)
    for t in range(2, n):
        f[t] = 1.6 * f[t - 1] - 0.8 * f[t - 2] + rng.standard_normal()
    return f[:, None] * [1.0, 0.7] + 0.5 * rng.standard_normal((n, 2))


@pytest.fixture(scope="module")
def order() -> Any:
    model = sse.LGSSM(two_factors(), 1, identification="triangular")
    return sse.select_order(model, [1, 2, 3], [1, 2], ic="bic", fit_options={"maxiter": 300}, rng=0)


def test_the_truth_is_found(order: Any) -> None:
    assert order.selected == {"k_factors": 2, "lags": 1}
    assert "lowest bic: k_factors = 2, lags = 1" in str(order)
    found = sse.select_order(sse.LGSSM(cycle(), 1, identification="triangular"), lags=[1, 2, 3], ic="bic")
    assert found.selected == {"lags": 2} and list(found.table.index) == [1, 2, 3]


def test_each_row_is_the_separate_fit(order: Any) -> None:
    for k, lags in ((1, 1), (1, 2), (2, 1)):
        model = sse.LGSSM(two_factors(), k, lags, identification="triangular")
        res = model.fit(maxiter=300)
        row = order.table.loc[(k, lags)]
        for name in ("llf", "aic", "aicc", "bic", "hqic"):
            assert_allclose(row[name], getattr(res, name), rtol=1e-8)
        assert row["n_params"] == res.df_model == len(res.params)
        assert row["converged"] and row["status"] == ""


def test_parameters_that_are_not_identified_do_not_count() -> None:
    """A rotation of two factors is one direction, k (k - 1) / 2; a free Q would add k (k + 1) / 2 more."""
    y = two_factors()
    free = sse.select_order(sse.LGSSM(y, 1, state_cov="identity"), [1, 2], ic="aic")
    tied = sse.select_order(sse.LGSSM(y, 1, identification="triangular"), [1, 2], ic="aic")
    assert_allclose(free.table["aic"], tied.table["aic"], rtol=1e-6)
    assert list(free.table["n_params"]) == list(tied.table["n_params"])


def test_the_best_is_a_fit(order: Any) -> None:
    res = order.best
    assert res.converged and res.model.k_factors == 2
    assert_allclose(res.llf, order.table.loc[(2, 1), "llf"], rtol=1e-9)


def test_any_model_by_a_function() -> None:
    y, x = simulated(np.random.default_rng(5), 60, 3)

    def make(k_factors: int) -> Any:
        V = f"factor:{k_factors}" if k_factors else "diagonal"
        return sse.DynamicRegression(y, x, dynamics=BETA_MOVES, obs_cov=V, state_cov="scalar")

    found = sse.select_order(make, [0, 1], ic="aic", fit_options={"method": "lbfgs"})
    for k in (0, 1):
        assert_allclose(found.table.loc[k, "bic"], make(k).fit(method="lbfgs").bic, rtol=1e-8)
    assert found.selected == {"k_factors": int(found.table["aic"].idxmin())}


def test_the_term_structure() -> None:
    tau = [0.5, 2.0, 5.0, 10.0]
    y = random_panel(np.random.default_rng(0), 60, tau, 1)
    found = sse.select_order(sse.ATSM(y, maturities=tau, k_factors=2), [1], ic="bic")
    res = sse.ATSM(y, maturities=tau, k_factors=1).fit(cov_type="none")
    assert_allclose(found.table.loc[1, "bic"], res.bic, rtol=1e-8)


def test_aicb() -> None:
    model = sse.LGSSM(cycle(60), 1, identification="triangular")
    found = sse.select_order(model, lags=[1, 2], ic="aicb", n_boot=5, rng=1)
    again = sse.select_order(model, lags=[1, 2], ic="aicb", n_boot=5, rng=1)
    assert found.table["aicb"].notna().all()
    assert_frame_equal(found.table, again.table)
    assert found.selected == {"lags": int(found.table["aicb"].idxmin())}
    assert (found.table["aicb"] > -2 * found.table["llf"]).all()


def test_failures_and_local_maxima_are_reported() -> None:
    """Three factors with two lags have too many states for the sample; no iteration: no maximum."""
    model = sse.LGSSM(two_factors(6), 1, identification="triangular")
    with pytest.raises(
        sse.EstimationError, match="Too few fits of candidates succeeded: got 1 of 2; .* Spec"
    ):
        sse.select_order(model, [1, 3], lags=[2], ic="aic")
    told = "2 of 4 fits of candidates failed and are left out; the first failure was DataError"
    with pytest.warns(UserWarning, match=told):
        found = sse.select_order(model, [1, 3], lags=[1, 2], ic="aic")
    assert found.table.loc[(3, 2), "status"].startswith("SpecificationError")
    assert np.isnan(found.table.loc[(3, 2), "aic"]) and found.selected["k_factors"] == 1

    many = sse.select_order(sse.LGSSM(cycle(), 1, identification="unit"), [1, 3], ic="aic")
    assert many.table.loc[3, "status"].startswith("SpecificationError") and many.selected == {"k_factors": 1}

    class Poor(sse.LGSSM):
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            return super().fit(*args, **{**kwargs, "maxiter": 0 if self.lags == 2 else None})

    poor = sse.select_order(Poor(two_factors(), 1, identification="triangular"), lags=[1, 2], ic="aic")
    assert "below (1,): not its maximum" in poor.table.loc[2, "status"]


def test_processes_and_a_checkpoint_change_nothing(tmp_path: Path) -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    model, file = sse.LGSSM(cycle(80), 1, identification="triangular"), tmp_path / "order.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one = sse.select_order(model, lags=[1, 2], rng=0, n_jobs=1, checkpoint=file)
        two = sse.select_order(model, lags=[1, 2], rng=0, n_jobs=2)
    assert_frame_equal(one.table, two.table)
    written = file.read_text()
    again = sse.select_order(model, lags=[1, 2], rng=0, checkpoint=file)
    assert_frame_equal(one.table, again.table)
    assert file.read_text() == written


def test_refusals() -> None:
    y = cycle(60)
    model = sse.LGSSM(y, 1, identification="triangular")
    cases = {
        "nothing to choose": ((model,), {}),
        "ic is unknown": ((model, [1]), {"ic": "dic"}),
        "needs a bootstrap": ((model, [1]), {"ic": "aicb"}),
        "has no lags": ((sse.DynamicRegression(*simulated(np.random.default_rng(0), 30, 1)),), {"lags": [1]}),
        "different observations": ((lambda lags: sse.LGSSM(y[lags:], 1, lags),), {"lags": [1, 2]}),
        "diffuse states": ((sse.LGSSM(y, 1, initialization="approximate_diffuse"), [1, 2]), {}),
    }
    for message, (args, options) in cases.items():
        with pytest.raises(sse.SpecificationError, match=message):
            sse.select_order(*args, **options)
    with pytest.raises(sse.SpecificationError, match="n_boot must not be 1"):
        sse.select_order(model, [1], n_boot=1)
    empty = sse.LGSSM(pd.DataFrame(y[:3]), 3, 2)
    with pytest.raises(sse.SpecificationError, match="No candidate could be fitted"):
        sse.select_order(empty, [3])


def test_aicb_of_a_candidate_that_cannot_be_built() -> None:
    model = sse.LGSSM(cycle(40), 1, identification="triangular")
    found = sse.select_order(model, [1, 9], n_boot=2, rng=1)
    assert np.isfinite(found.table["aicb"].loc[1]) and np.isnan(found.table["aicb"].loc[9])
    assert "Error" in found.table["status"].loc[9]
