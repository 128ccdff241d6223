"""Starts spread over processes: the same fit, computed elsewhere."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest
from edge_data import BUILD, factor_series, lgssm
from numpy.testing import assert_allclose

import statespace_ext as sse
from statespace_ext.fit.several import spread


@pytest.fixture(autouse=True)
def parallel() -> Any:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        yield


def test_elsewhere_and_in_order() -> None:
    problem = lgssm(factor_series()).problem()

    def pid_and(item: int) -> tuple[int, int, int]:
        return os.getpid(), item, len(problem.layout)

    found = [*spread(2, 6)(pid_and, range(6))]
    assert [item for _, item, _ in found] == [*range(6)]
    assert os.getpid() not in {pid for pid, _, _ in found}
    assert {size for _, _, size in found} == {len(problem.layout)}
    for n_jobs, count in ((1, 6), (2, 1)):
        assert {pid for pid, _, _ in spread(n_jobs, count)(pid_and, range(count))} == {os.getpid()}


@pytest.mark.parametrize("kind", ["LGSSM", "CAPM", "ATSM"])
def test_processes_do_not_change_the_fit(kind: str) -> None:
    build, sample = BUILD[kind]
    options = {"n_starts": 3, "rng": 1, "cov_type": "none"}
    one, two = (build(sample()).fit(n_jobs=jobs, **options)._results for jobs in (1, 2))
    assert_allclose(
        two.params, one.params, rtol=1e-7, atol=1e-9
    )  # rounding differs where memory is laid out anew
    assert_allclose(two.llf, one.llf, rtol=1e-11)
    assert len(two._fit.starts) == len(one._fit.starts) >= 3
    assert_allclose(two._fit.starts, one._fit.starts, rtol=1e-9)


def test_what_is_held_fixed_is_held_there_too() -> None:
    model = lgssm(factor_series())
    with model.fix_params({"obs_var.y1": 0.3}):
        res = model.fit(n_starts=2, rng=0, n_jobs=2, cov_type="none")
    assert res.params[model.param_names.index("obs_var.y1")] == 0.3
    assert np.isfinite(res.llf)


def test_what_cannot_be_had_from_other_processes(capsys: pytest.CaptureFixture[str]) -> None:
    model = lgssm(factor_series())
    with pytest.raises(sse.SpecificationError, match="callback"):
        model.fit(n_starts=2, n_jobs=2, callback=print)
    for bad in (0, 1.5, "two", True):
        with pytest.raises(sse.SpecificationError, match="n_jobs"):
            model.fit(n_jobs=bad)
    model.fit(n_starts=2, rng=0, n_jobs=2, disp=True, cov_type="none")
    assert capsys.readouterr().out == ""
