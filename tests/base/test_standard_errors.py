"""Standard errors of some parameters, and of models with too many for all."""

from functools import cache

import numpy as np
import pytest

import statespace_ext as sse
from statespace_ext.base import standard_errors
from statespace_ext.exceptions import IdentificationWarning, ParameterError, UnsupportedError


@cache
def fitted(missing, **kwargs):
    """Return a fit of two factors to six series."""
    rng = np.random.default_rng(4)
    f = np.zeros((120, 2))
    for t in range(1, 120):
        f[t] = np.array([0.8, 0.5]) * f[t - 1] + rng.standard_normal(2)
    y = f @ rng.standard_normal((2, 6)) + rng.standard_normal((120, 6))
    if missing:
        y[rng.random(y.shape) < 0.1] = np.nan
    return sse.LGSSM(y, 2, **{"identification": "triangular", **kwargs}).fit()


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("cov_type", ["oim", "robust", "opg"])
def test_errors_of_some_are_those_of_all(missing, cov_type):
    res = fitted(missing)
    names = [res.model.param_names[i] for i in (0, 5, 12, -1)]
    found = res.bse_of(names, cov_type)
    right = np.sqrt(np.diag(res.cov_params_of(cov_type)))[[0, 5, 12, -1]]
    assert list(found.index) == names
    np.testing.assert_allclose(found, right, rtol=1e-5 if cov_type == "robust" else 1e-6)


def test_what_is_not_identified_or_fixed_has_none():
    with pytest.warns(IdentificationWarning, match="rotated"):
        res = fitted(False, identification=None)
    for cov_type in ("oim", "robust"):
        assert not np.isfinite(res.bse_of(res.model.param_names[0], cov_type)).any()
    cov = [name for name in res.model.param_names if "obs_cov" in name]
    np.testing.assert_allclose(res.bse_of(cov), res.bse[res.model.layout.positions(cov)], rtol=1e-6)
    model = res.model
    name = model.param_names[-1]
    with model.fix_params({name: float(np.asarray(res.params)[-1])}):
        held = model.smooth(np.asarray(res.params)[:-1])
    assert np.isnan(held.bse_of([name])).all()


def test_where_the_information_is_not_positive_definite_there_are_none():
    """The variance of white noise, far above the estimate."""
    y = np.random.default_rng(0).standard_normal(50)
    noise = sse.LGSSM(y, 1, design=[[0]], transition=[[0]], state_cov=[[1]], obs_intercept="zero")
    assert np.isnan(noise.smooth([4.0], cov_type="none").bse_of("obs_var.y", "oim").iloc[0])


def test_too_many_parameters_raise_and_are_said_in_the_summary(monkeypatch):
    res = fitted(False)
    right = res.model.smooth(res.params).bse
    monkeypatch.setattr(standard_errors, "MOST", 10)
    many = res.model.smooth(res.params)
    for call in (many.cov_params, lambda: many.cov_params_of("oim")):
        with pytest.raises(UnsupportedError, match="bse_of"):
            call()
    assert f"Standard errors of all {len(right)} parameters were left out" in many.summary().as_text()
    assert np.isnan(many.bse).all() and np.isnan(many.tidy()["std_error"]).all()
    name = many.model.param_names[3]
    np.testing.assert_allclose(many.bse_of(name), right[3], rtol=1e-6)
    with pytest.raises(UnsupportedError, match="bse_of"):
        many.bse_of(name, "opg")


def test_unknown_names_are_refused():
    with pytest.raises(ParameterError, match="nothing"):
        fitted(False).bse_of(["nothing"])


def test_errors_of_results_for_other_data_are_those_of_the_fit():
    res = fitted(False)
    names = res.model.param_names[:3]
    later = res.append(res.model.endog[:2])
    np.testing.assert_array_equal(later.bse_of(names), res.bse[:3])
