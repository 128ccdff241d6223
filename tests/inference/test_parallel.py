"""Simulated tests have seeds, and the number of processes does not change them."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from numpy.testing import assert_array_equal

import statespace_ext as sse
from statespace_ext.engine.parallel import stream
from statespace_ext.inference.many import run_simulations, spawn


def fitted(state_cov: str, missing: float = 0.0) -> Any:
    y, x = simulated(np.random.default_rng(5), 30, 2, missing=missing)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov=state_cov)
    return model.fit(method="lbfgs", cov_type="none")


def test_seeds() -> None:
    res = fitted("proportional")
    runs = [res.test_constancy(9, rng).simulated for rng in (3, 3, np.random.default_rng(3), 4)]
    assert_array_equal(runs[0], runs[1])
    assert_array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0], runs[3])
    generator = np.random.default_rng(3)
    assert not np.array_equal(
        res.test_constancy(9, generator).simulated, res.test_constancy(9, generator).simulated
    )


@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_processes_do_not_change_the_result(missing: float) -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    res = fitted("scalar", missing=missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one, two = (res.test_constancy(5, 1, n_jobs, per_series=True) for n_jobs in (1, 2))
    assert_array_equal(one.simulated, two.simulated)
    pd.testing.assert_frame_equal(one.per_series, two.per_series)


def test_one_blas_thread_while_a_task_runs() -> None:
    """Also in this process, whatever the environment says; afterwards as many as before."""
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="the extra 'parallel' is not installed")

    def threads() -> set[int]:
        pools = threadpoolctl.threadpool_info()
        return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2):
        if threads() != {2}:
            pytest.skip("a BLAS of one thread")
        assert list(stream(threads, [()], 1)) == [{1}]
        assert threads() == {2}


def test_processes_need_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    res = fitted("proportional")
    with pytest.raises(sse.UnsupportedError, match='extra "parallel"'):
        res.test_constancy(2, n_jobs=2)
    with pytest.raises(sse.SpecificationError, match="n_jobs"):
        res.test_constancy(2, n_jobs=0)
    assert run_simulations(lambda rng: 1, spawn(0, 2), 1) == [1, 1]
