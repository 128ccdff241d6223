"""Exact laws of the likelihood and the smoother, on random models of every class."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from numpy.testing import assert_allclose
from oracle import dense, dense_diffuse, richardson_gradient
from random_models import CASES, Case, dense_form
from systems import examples

import statespace_ext as sse
from statespace_ext.em.driver import EMOptions, run_em
from statespace_ext.numerics.linear_algebra import quiet

every_class = pytest.mark.parametrize("kind", CASES)


def close(found: Any, expected: Any, rtol: float = 1e-8) -> None:
    """Compare arrays to a share of their largest element."""
    size = np.max(np.abs(np.asarray(expected)), initial=1e-12)
    assert_allclose(found, expected, rtol=0, atol=rtol * size)


@every_class
@examples(12)
@given(data=st.data())
def test_smoothed_moments_are_those_of_the_dense_posterior(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    model, params = case.model, case.params
    res = model.smooth(params)
    system, flat = dense_form(model, params)
    want = dense_diffuse(model.endog, system, flat) if flat.any() else dense(model.endog, system)
    assert_allclose(res.llf, want.llf, rtol=1e-8, atol=1e-7)
    assert_allclose(model.loglike(params), want.llf, rtol=1e-8, atol=1e-7)
    close(res.smoothed_state.T, want.smoothed_state, 1e-6)
    close(np.moveaxis(res.smoothed_state_cov, -1, 0), want.smoothed_cov, 1e-6)
    if not flat.any():  # in diffuse periods statsmodels has zeros
        close(np.moveaxis(res.smoothed_state_autocov, -1, 0)[:-1], want.lag_cov, 1e-6)


@every_class
@examples(8)
@given(data=st.data())
def test_the_score_is_the_slope_of_the_log_likelihood(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    model, params = case.model, case.params
    steps = model.difference_steps(params, 0.02)
    want = richardson_gradient(model.loglike, params, step=steps, levels=3)
    close(model.score(params) * steps, want * steps, 1e-6)


@every_class
@examples(6)
@given(data=st.data())
def test_em_never_lowers_the_log_likelihood(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    problem = case.model.problem()
    assume(problem.updates.unsupported_reason() is None)  # "proportional" beside "ar1" is refused
    options = EMOptions(maxiter=4, tolerance=0.0)
    with quiet():  # as in `fit`: an M-step may try parameters that overflow
        result = run_em(case.params, problem.moments, problem.loglike, problem.updates.cycles(), options)
    llf = np.array(result.trace["llf"])
    assert len(llf) == 5, result.status
    assert np.all(np.diff(llf) >= -1e-8 * (1.0 + np.abs(llf[1:]))), llf


@every_class
@examples(15)
@given(data=st.data())
def test_packing_and_unpacking_are_inverse(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    layout, params = case.model.layout, case.params
    assert_allclose(layout.constrain(layout.unconstrain(params)), params, rtol=1e-9, atol=1e-12)
    assert_allclose(layout.project(layout.matrices(params), np.full_like(params, np.nan)), params, rtol=1e-12)
    by_name = dict(zip(layout.names, params, strict=True))
    np.testing.assert_array_equal(layout.vector(dict(reversed(by_name.items()))), params)
    half = dict(list(by_name.items())[::2])
    fixed = layout.fix(half)
    free = params[layout.positions(fixed.names)]
    for key, matrix in fixed.matrices(free).items():
        assert_allclose(matrix, layout.matrices(params)[key], rtol=1e-12, err_msg=key)


def canonical(name: str) -> tuple[str, ...]:
    """Return a name whatever the order of the two series of a covariance."""
    parts = name.split(".")
    return tuple(sorted(parts)) if parts[0] in ("obs_cov", "state_cov") else tuple(parts)


@every_class
@examples(10)
@given(data=st.data())
def test_the_order_of_the_series_does_not_matter(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    order = data.draw(st.permutations(range(case.endog.shape[1])))
    spec = dict(case.spec)
    for key in ("maturities", "portfolio_weights"):
        if key in spec:
            spec[key] = spec[key][..., order]
    if "design" in spec:
        spec["design"] = spec["design"][order]
    if "initial_state" in spec and kind != "LGSSM":
        p = len(order)
        places = [j * p + i for j in range(len(spec["initial_state"]) // p) for i in order]
        spec["initial_state"] = spec["initial_state"][places]
        spec["initial_state_cov"] = spec["initial_state_cov"][np.ix_(places, places)]
    other = case.changed(endog=case.endog.iloc[:, order], spec=spec)
    values = {canonical(name): v for name, v in zip(case.model.param_names, case.params, strict=True)}
    other = other.changed(params=np.array([values[canonical(name)] for name in other.model.param_names]))
    one, two = case.model.smooth(case.params), other.model.smooth(other.params)
    assert_allclose(two.llf, one.llf, rtol=1e-9, atol=1e-8)
    first = one.nobs_diffuse  # before, a one-step forecast has no variance, and depends on the order
    forecasts = [res.filter_results.forecasts[:, first:] for res in (one, two)]
    close(forecasts[1], forecasts[0][list(order)], 1e-7)
    smoothed = [res.filter_results.smoothed_forecasts for res in (one, two)]
    close(smoothed[1], smoothed[0][list(order)], 1e-7)


@every_class
@examples(10)
@given(data=st.data())
def test_a_row_without_data_adds_no_information(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    n = len(case.endog)
    longer = case.changed(
        endog=case.endog.reindex(range(n + 1)),
        inputs={key: value.reindex(range(n + 1), fill_value=0.7) for key, value in case.inputs.items()},
    )
    if np.ndim(case.spec.get("dt", 0.0)):
        longer = longer.changed(spec={**case.spec, "dt": np.append(case.spec["dt"], 0.1)})
    one, two = case.model.smooth(case.params), longer.model.smooth(case.params)
    assert_allclose(two.llf, one.llf, rtol=1e-10, atol=1e-9)
    close(two.smoothed_state[:, :n], one.smoothed_state)
    close(two.smoothed_state_cov[..., :n], one.smoothed_state_cov)
    close(longer.model.score(case.params), case.model.score(case.params), 1e-7)


@every_class
@examples(8)
@given(data=st.data())
def test_a_sample_in_two_parts_is_the_sample(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    n = len(case.endog)
    m = data.draw(st.integers(6, n - 2))
    first, rest = case.rows(slice(0, m)), case.rows(slice(m, n))
    if "state_exog" in rest.inputs:  # row t enters x_{t+1}: those of the new periods begin one earlier
        rest.inputs["state_exog"] = case.inputs["state_exog"].iloc[m - 1 : n - 1]
    if "dt" in case.spec:
        first = first.changed(spec={**case.spec, "dt": float(np.mean(case.spec["dt"]))})
        case = case.changed(spec=first.spec)
    whole = case.model.smooth(case.params)
    part = first.model.smooth(case.params)
    appended = part.append(rest.endog, **rest.inputs)
    assert_allclose(appended.llf, whole.llf, rtol=1e-9, atol=1e-8)
    close(appended.smoothed_state, whole.smoothed_state, 1e-7)
    extended = part.extend(rest.endog, **rest.inputs)
    assert_allclose(part.llf + extended.llf, whole.llf, rtol=1e-8, atol=1e-7)


def changed_units(case: Case, size: float) -> Case:
    """Return the same model in other units of its series."""
    kind, spec = case.kind, dict(case.spec)
    powers = {"obs_cov": 2, "obs_loading": 1, "obs_intercept": 1, "obs_coef": 1, "design": 1}
    if kind is not sse.LGSSM or case.is_diffuse:  # the states are in the units of the series
        powers |= {"state_cov": 2, "state_loading": 1, "k_inf": 1, "kappa_P": 1, "initial_state": 1}
        powers |= {"state_intercept": 1, "state_mean": 1, "state_coef": 1}
    if spec.get("identification") == "dai-singleton":
        powers = {"obs_cov": 2, "delta_0": 1, "delta_1": 1}
    if spec.get("initialization") == "known" and kind is not sse.LGSSM:
        spec["initial_state"] = size * spec["initial_state"]
        spec["initial_state_cov"] = size**2 * spec["initial_state_cov"]
    if kind is sse.ATSM:
        spec["units"] = "percent"
    params, layout = case.params.copy(), case.model.layout
    for key, power in powers.items():
        if key in layout.blocks:
            places = np.unique(layout.block_params(key))
            params[places] *= size**power
    return case.changed(endog=size * case.endog, spec=spec, params=params)


@every_class
@examples(10)
@given(data=st.data())
def test_units_shift_the_log_likelihood_by_their_logarithm(kind: str, data: Any) -> None:
    case = data.draw(CASES[kind]())
    size = 100.0 if kind == "ATSM" else data.draw(st.sampled_from([1e-6, 7.0, 1e4]))
    other = changed_units(case, size)
    flat = dense_form(case.model, case.params)[1].sum()
    seen = int(case.endog.notna().to_numpy().sum())
    assert_allclose(other.llf(), case.llf() - (seen - flat) * np.log(size), rtol=1e-9, atol=1e-7)
    places = case.params != 0
    ratio = np.where(places, other.params / np.where(places, case.params, 1.0), 1.0)
    score = other.model.score(other.params) * ratio
    close(score * case.params, case.model.score(case.params) * case.params, 1e-6)


@every_class
@examples(6)
@given(data=st.data(), scale=st.sampled_from([1e-16, 1e-10, 1e10]))
def test_an_evaluation_changes_no_later_one(kind: str, data: Any, scale: float) -> None:
    """What an evaluation keeps, such as the axes of the first rows, serves only where it is valid."""
    case = data.draw(CASES[kind]())
    model, params = case.model, np.asarray(case.params)
    used = deepcopy(model)
    sizes = ["var" in name or "cov" in name for name in model.param_names]
    with quiet(), suppress(sse.StateSpaceError):
        used.loglike(np.where(sizes, scale * params, params))
        used.score(np.where(sizes, scale * params, params))
    close(used.loglike(params), model.loglike(params), 1e-12)
    close(used.score(params), model.score(params), 1e-10)
