"""Tests of linear restrictions on the parameters, against r V r' over the parameters that they name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.tsa.statespace.mlemodel import MLEResults
from walk_subjects import SUBJECTS

import statespace_ext as sse

OURS = [name for name in SUBJECTS if not name.startswith("Mixed")]


def results(subject: str) -> tuple[Any, np.ndarray]:
    """Return results whose last parameter has no standard error, and a covariance of all of them."""
    s = SUBJECTS[subject]
    res = s.model().smooth(s.params, cov_type="none")
    root = np.random.default_rng(3).standard_normal((len(s.params),) * 2)
    cov = root @ root.T
    known = cov.copy()
    known[-1] = known[:, -1] = np.nan
    res._results.cov_params_default = known
    return res, cov


@pytest.mark.parametrize("subject", OURS)
def test_a_parameter_without_standard_error_spoils_no_test_of_others(subject: str) -> None:
    res, cov = results(subject)
    R, q = np.eye(len(cov))[:2] - np.eye(len(cov))[1:3], np.array([0.1, -0.2])
    R[:, -1] = 0.0
    if len(cov) == 3:
        R = R[:1, :]
    q = q[: len(R)]
    effect, V = R @ np.asarray(res.params), R @ cov @ R.T
    assert_allclose(res.cov_params(R), V, rtol=1e-12)
    assert_allclose(res.cov_params(R, other=R[:1]), V[:, :1], rtol=1e-12)
    assert res.cov_params(column=0) == cov[0, 0]
    assert_allclose(res.cov_params(column=[0, 1]), cov[:2, :2])
    assert list(res.cov_params().columns) == list(res.model.param_names)
    found = res.t_test((R, q))
    assert_allclose(np.ravel(found.sd), np.sqrt(np.diag(V)), rtol=1e-12)
    statistic = (effect - q) @ np.linalg.solve(V, effect - q)
    wald = res.wald_test((R, q), scalar=True)
    assert_allclose([wald.statistic, wald.pvalue], [statistic, stats.chi2.sf(statistic, len(R))], rtol=1e-8)
    f = res.f_test((R, q))
    assert_allclose(f.statistic, statistic / len(R), rtol=1e-8)
    names = res.model.param_names
    by_name = res.t_test(f"{names[0]} = {names[1]}")
    assert_allclose(np.ravel(by_name.effect), res.params.iloc[0] - res.params.iloc[1])


@pytest.mark.parametrize("subject", OURS)
def test_without_the_standard_error_that_it_needs(subject: str) -> None:
    """A t-test is NaN, as the standard error is; a joint test is a named error."""
    res, _ = results(subject)
    last = np.eye(len(res.params))[-1:]
    assert np.isnan(res.t_test(last).sd).all() and np.isnan(res.t_test(last).pvalue).all()
    for call in (res.wald_test, res.f_test):
        with pytest.raises(sse.UnsupportedError, match="no standard error"):
            call(last)
    assert np.isfinite(res.wald_test(last, invcov=np.eye(1), scalar=True).statistic)


def test_a_fixed_parameter_is_known() -> None:
    s = SUBJECTS["LGSSM"]
    model = s.model()
    names = model.param_names
    with model.fix_params({names[0]: 0.9}):
        res = model.smooth(s.params[1:], cov_type="oim")
    moved = [names[0], names[1]]
    table = res.delta_method(lambda p: p[moved[0]] - 2.0 * p[moved[1]])
    R = np.zeros((1, len(names)))
    R[0, :2] = 1.0, -2.0
    assert_allclose(np.ravel(res.t_test(R).sd), table["std_error"], rtol=1e-6)
    assert np.isnan(res.t_test(np.eye(len(names))[0]).sd).all()


@pytest.mark.parametrize("kind", ["LGSSM", "DynamicRegression", "CAPM", "ATSM"])
def test_a_wrapper_calls_the_methods_of_its_results(kind: str) -> None:
    """statsmodels binds those that it labels to the methods of `MLEResults`."""
    plain, ours = MLEResults, getattr(sse, f"{kind}Results")
    wrapper = SUBJECTS[kind].model()._res_classes["fit"][1]
    passed = [name for name in wrapper._wrap_methods if getattr(ours, name) is not getattr(plain, name)]
    assert passed and all(getattr(wrapper, name).__module__.startswith("statespace_ext") for name in passed)


CALLS: dict[str, list[tuple[Any, ...]]] = {
    "t_test": [("nonsense = 0",), ("((",), (np.eye(2),), (None,), ([],), (1.5,)],
    "f_test": [("nonsense = 0",), ("((",), (np.eye(2),), (None,), ([],), (1.5,)],
    "wald_test": [("nonsense = 0",), ("((",), (np.eye(2),), (None,), ([],), (1.5,)],
    "wald_test_terms": [(), (True,)],
    "t_test_pairwise": [("MKT",)],
    "cov_params": [(1.0,), (np.eye(2),), (None, 99), (None, "a")],
    "conf_int": [("x",), (2.0,)],
    "delta_method": [(None,)],
    "cov_params_of": [("x",)],
}
"""What cannot be answered, by inherited method that needs the covariance of the parameters."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("subject", OURS)
def test_what_cannot_be_answered_is_a_named_error(subject: str, name: str) -> None:
    res, _ = results(subject)
    for arguments in CALLS[name]:
        with pytest.raises(sse.StateSpaceError):
            getattr(res, name)(*arguments)
